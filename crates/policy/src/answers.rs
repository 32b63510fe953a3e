//! What clients were answered: which name stands for which address, for whom and for how long.

use crate::Names;
use crate::resolved::Resolved;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// The most names that are kept of an address for one client; those learned first go first.
const NAMES: usize = 64;

/// Of all answers that are kept, one client has no more than this part.
const SHARE: usize = 4;

/// Answers that clients got, kept until they expire. Bounded: when there are too many, those learned first and not again
/// since go first; a client that has its share loses its own.
#[derive(Debug)]
pub struct Answers {
    most: usize,
    /// Those learned first are in front. `None` is one that has gone.
    order: VecDeque<Option<Answer>>,
    /// The number of the answer in front.
    first: u64,
    live: usize,
    /// By client and address: the numbers of the answers.
    by_address: HashMap<(Ipv4Addr, Ipv4Addr), Vec<u64>>,
    by_client: HashMap<Ipv4Addr, Client>,
}

#[derive(Debug)]
struct Answer {
    client: Ipv4Addr,
    address: Ipv4Addr,
    name: Box<str>,
    /// In seconds since 1970 UTC.
    expires: u64,
    /// Whether it was learned again.
    again: bool,
}

/// The answers of a client.
#[derive(Debug, Default)]
struct Client {
    live: usize,
    /// Their numbers, ascending, and of some that have gone.
    numbers: VecDeque<u64>,
}

impl Answers {
    /// None yet, and never more than `most`.
    pub fn new(most: usize) -> Answers {
        Answers {
            most: most.max(1),
            order: VecDeque::new(),
            first: 0,
            live: 0,
            by_address: HashMap::new(),
            by_client: HashMap::new(),
        }
    }

    /// A client was answered that a name, in the form of [`model::domain::normalise`], stands for an address, until
    /// `expires`, in seconds since 1970 UTC. What is known to live longer does.
    pub fn learn(&mut self, client: Ipv4Addr, name: &str, address: Ipv4Addr, expires: u64) {
        let numbers = self.by_address.get(&(client, address));
        let numbers = numbers.map_or(&[][..], Vec::as_slice);
        let first_of_many = numbers.first().copied().filter(|_| numbers.len() >= NAMES);
        let is = |answer: &Answer| *answer.name == *name;
        let mut numbers = numbers.iter().copied();
        let known = numbers.find(|&number| self.get(number).is_some_and(is));
        if let Some(answer) = known.and_then(|number| self.get_mut(number)) {
            answer.expires = answer.expires.max(expires);
            answer.again = true;
            return;
        }
        if let Some(number) = first_of_many {
            self.take(number);
        }
        self.make_room(client);
        self.push(Answer {
            client,
            address,
            name: name.into(),
            expires,
            again: false,
        });
    }

    /// Lets answers go, so that there is room for another one of a client.
    fn make_room(&mut self, client: Ipv4Addr) {
        let share = (self.most / SHARE).max(1);
        let full = |it: &&mut Client| it.live >= share;
        while let Some(of) = self.by_client.get_mut(&client).filter(full)
            && let Some(number) = of.numbers.pop_front()
        {
            self.take(number);
        }
        while self.live >= self.most {
            self.second_chance();
        }
        // More have gone than are there: they are numbered anew, without those.
        if self.order.len() >= 2 * self.most {
            self.first += self.order.len() as u64;
            self.live = 0;
            self.by_address.clear();
            self.by_client.clear();
            for answer in std::mem::take(&mut self.order).into_iter().flatten() {
                self.push(answer);
            }
        }
    }

    fn push(&mut self, answer: Answer) {
        let number = self.first + self.order.len() as u64;
        let of = self.by_client.entry(answer.client).or_default();
        of.live += 1;
        of.numbers.push_back(number);
        let key = (answer.client, answer.address);
        self.by_address.entry(key).or_default().push(number);
        self.order.push_back(Some(answer));
        self.live += 1;
    }

    /// Lets go what has expired, as far as it was learned first. What expired in between is not told either way.
    pub fn expire(&mut self, now: u64) {
        while let Some(answer) = self.order.front() {
            match answer {
                Some(answer) if answer.expires > now && !answer.again => return,
                Some(answer) if answer.expires > now => self.second_chance(),
                _ => drop(self.drop_first()),
            }
        }
    }

    /// Gives the first answer a second chance, as it was learned again, or lets it go.
    fn second_chance(&mut self) {
        if let Some(mut answer) = self.drop_first().filter(|it| it.again) {
            answer.again = false;
            self.push(answer);
        }
    }

    /// Gives `each` every name that `client` was answered an address for.
    pub fn names(&self, client: Ipv4Addr, address: Ipv4Addr, now: u64, each: &mut dyn FnMut(&str)) {
        let numbers = self.by_address.get(&(client, address));
        for answer in numbers.into_iter().flatten().filter_map(|&it| self.get(it)) {
            if answer.expires > now {
                each(&answer.name);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn get(&self, number: u64) -> Option<&Answer> {
        let place = number.checked_sub(self.first)?;
        self.order.get(usize::try_from(place).ok()?)?.as_ref()
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Answer> {
        let place = number.checked_sub(self.first)?;
        self.order.get_mut(usize::try_from(place).ok()?)?.as_mut()
    }

    fn take(&mut self, number: u64) -> Option<Answer> {
        let place = number.checked_sub(self.first)?;
        let answer = self.order.get_mut(usize::try_from(place).ok()?)?.take()?;
        self.forget(number, &answer);
        Some(answer)
    }

    fn drop_first(&mut self) -> Option<Answer> {
        let answer = self.order.pop_front()?;
        let number = self.first;
        self.first += 1;
        self.forget(number, answer.as_ref()?);
        answer
    }

    fn forget(&mut self, number: u64, answer: &Answer) {
        self.live -= 1;
        let key = (answer.client, answer.address);
        if let Some(numbers) = self.by_address.get_mut(&key) {
            numbers.retain(|&it| it != number);
            if numbers.is_empty() {
                self.by_address.remove(&key);
            }
        }
        if let Some(of) = self.by_client.get_mut(&answer.client) {
            of.live -= 1;
            let gone = |it: &u64| *it == number || *it < self.first;
            while of.numbers.front().is_some_and(gone) {
                of.numbers.pop_front();
            }
            if of.live == 0 {
                self.by_client.remove(&answer.client);
            }
        }
    }
}

/// The names of addresses as they are known at a moment: from answers and from our own resolution.
#[derive(Clone, Copy, Debug)]
pub struct KnownNames<'a> {
    /// What clients were answered.
    pub answers: &'a Answers,
    /// What we found ourselves.
    pub resolved: &'a Resolved,
    /// The moment, in seconds since 1970 UTC.
    pub now: u64,
}

impl Names for KnownNames<'_> {
    fn names(&self, client: Ipv4Addr, address: Ipv4Addr, each: &mut dyn FnMut(&str)) {
        self.answers.names(client, address, self.now, each);
        self.resolved.names(address, each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const WEB: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn names(answers: &Answers, client: Ipv4Addr, address: Ipv4Addr, now: u64) -> Vec<String> {
        let mut names = Vec::new();
        answers.names(client, address, now, &mut |name| names.push(name.into()));
        names
    }

    #[test]
    fn an_answer_is_the_clients_own_and_expires() {
        let mut answers = Answers::new(10);
        answers.learn(A, "a.test", WEB, 100);
        answers.learn(A, "b.test", WEB, 50);
        assert_eq!(names(&answers, A, WEB, 49), ["a.test", "b.test"]);
        assert_eq!(names(&answers, A, WEB, 50), ["a.test"]);
        assert!(names(&answers, B, WEB, 49).is_empty());
        answers.learn(A, "a.test", WEB, 60);
        assert_eq!(names(&answers, A, WEB, 99), ["a.test"], "lives on");
        answers.learn(A, "a.test", WEB, 200);
        assert_eq!(names(&answers, A, WEB, 199), ["a.test"]);
        assert_eq!(answers.len(), 2);
        answers.expire(150);
        assert_eq!(answers.len(), 1);
        answers.expire(200);
        assert!(answers.is_empty() && answers.by_address.is_empty());
        assert!(answers.by_client.is_empty());
    }

    #[test]
    fn those_learned_first_go_first() {
        let mut answers = Answers::new(3);
        let client = |n| Ipv4Addr::from(n);
        for n in 0..3 {
            answers.learn(client(n), "x.test", WEB, 100);
        }
        answers.learn(client(0), "x.test", WEB, 100);
        answers.learn(client(3), "x.test", WEB, 100);
        let kept = (0..4).filter(|&n| !names(&answers, client(n), WEB, 0).is_empty());
        assert_eq!(kept.collect::<Vec<_>>(), [0, 2, 3]);
        for _ in 0..1_000 {
            answers.learn(client(2), "x.test", WEB, 100);
        }
        assert!(answers.len() <= 3 && answers.order.len() <= 6);
        assert_eq!(names(&answers, client(2), WEB, 0), ["x.test"]);
    }

    #[test]
    fn a_client_that_learns_very_much_loses_its_own() {
        let mut answers = Answers::new(100);
        answers.learn(B, "b.test", WEB, 100);
        for n in 0..10_000 {
            answers.learn(A, "a.test", Ipv4Addr::from(n), 100);
        }
        assert_eq!(names(&answers, B, WEB, 0), ["b.test"]);
        assert_eq!(answers.len(), 1 + 100 / SHARE);
        assert_eq!(names(&answers, A, Ipv4Addr::from(9_999), 0), ["a.test"]);
        assert!(answers.order.len() <= 200 && answers.by_client[&A].numbers.len() <= 200);
        answers.expire(100);
        assert!(
            answers.is_empty() && answers.by_address.is_empty() && answers.by_client.is_empty()
        );
    }

    #[test]
    fn an_address_has_so_many_names() {
        let mut answers = Answers::new(1_000);
        for n in 0..2 * NAMES {
            answers.learn(A, &format!("{n}.test"), WEB, 100);
        }
        let names = names(&answers, A, WEB, 0);
        assert_eq!(names.len(), NAMES);
        assert_eq!(names[0], format!("{NAMES}.test"));
        assert_eq!(answers.len(), NAMES);
    }

    proptest! {
        // Against a list of all that was ever learned: nothing else is told, and all of it while there is room.
        #[test]
        fn no_more_is_told_than_was_learned(
            learned in proptest::collection::vec((0u32..3, 0u8..4, 0u32..3, 1u64..100, prop::bool::ANY), 0..120),
            most in prop_oneof![1usize..20, Just(10_000)]
        ) {
            let mut answers = Answers::new(most);
            let mut all: Vec<(Ipv4Addr, String, Ipv4Addr, u64)> = Vec::new();
            for (now, (client, name, address, ttl, expire)) in (0u64..).zip(learned) {
                let name = format!("{name}.test");
                let (client, address) = (Ipv4Addr::from(client), Ipv4Addr::from(address));
                answers.learn(client, &name, address, now + ttl);
                all.push((client, name, address, now + ttl));
                if expire {
                    answers.expire(now);
                }
                prop_assert!(answers.len() <= most && answers.order.len() <= 2 * most);
                prop_assert_eq!(answers.order.iter().flatten().count(), answers.len());
                prop_assert_eq!(answers.by_client.values().map(|it| it.live).sum::<usize>(), answers.len());
                prop_assert_eq!(answers.by_address.values().map(Vec::len).sum::<usize>(), answers.len());
                let told = names(&answers, client, address, now);
                let mut known: Vec<_> = all.iter().filter(|it| it.0 == client && it.2 == address && it.3 > now).map(|it| it.1.clone()).collect();
                known.sort();
                known.dedup();
                prop_assert!(told.iter().all(|name| known.contains(name)));
                let mut distinct = told.clone();
                distinct.sort();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), told.len());
                if most == 10_000 {
                    prop_assert_eq!(distinct, known);
                }
            }
        }
    }
}
