//! What clients were answered: which name stands for which address, for whom and for how long.

use crate::Names;
use crate::resolved::Resolved;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// The most names that are kept of an address for one client; those learned first go first.
const NAMES: usize = 64;

/// Answers that clients got, kept until they expire. Bounded: when there are too many, those learned first go first.
#[derive(Debug)]
pub struct Answers {
    most: usize,
    /// Those learned first are in front. `None` is one that was learned again since.
    order: VecDeque<Option<Answer>>,
    /// The number of the answer in front.
    first: u64,
    live: usize,
    /// By client and address: the numbers of the answers.
    by_address: HashMap<(Ipv4Addr, Ipv4Addr), Vec<u64>>,
}

#[derive(Debug)]
struct Answer {
    client: Ipv4Addr,
    address: Ipv4Addr,
    name: Box<str>,
    /// In seconds since 1970 UTC.
    expires: u64,
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
        }
    }

    /// A client was answered that a name, in the form of [`model::domain::normalise`], stands for an address, until
    /// `expires`, in seconds since 1970 UTC. What is known to live longer does.
    pub fn learn(&mut self, client: Ipv4Addr, name: &str, address: Ipv4Addr, expires: u64) {
        let mut expires = expires;
        let numbers = self.by_address.get(&(client, address));
        let numbers = numbers.map_or(&[][..], Vec::as_slice);
        let known = numbers
            .iter()
            .copied()
            .find(|&number| self.get(number).is_some_and(|answer| *answer.name == *name));
        let oldest = numbers.first().copied().filter(|_| numbers.len() >= NAMES);
        if let Some(number) = known.or(oldest)
            && let Some(answer) = self.take(number)
            && known.is_some()
        {
            expires = expires.max(answer.expires);
        }
        while self.live >= self.most || self.order.len() >= 2 * self.most {
            self.drop_first();
        }
        let number = self.first + self.order.len() as u64;
        self.order.push_back(Some(Answer {
            client,
            address,
            name: name.into(),
            expires,
        }));
        self.live += 1;
        let numbers = self.by_address.entry((client, address)).or_default();
        numbers.push(number);
    }

    /// Lets go what has expired, as far as it was learned first. What expired in between is not told either way.
    pub fn expire(&mut self, now: u64) {
        while let Some(answer) = self.order.front() {
            if answer.as_ref().is_some_and(|it| it.expires > now) {
                return;
            }
            self.drop_first();
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

    fn take(&mut self, number: u64) -> Option<Answer> {
        let place = number.checked_sub(self.first)?;
        let answer = self.order.get_mut(usize::try_from(place).ok()?)?.take()?;
        self.forget(number, &answer);
        Some(answer)
    }

    fn drop_first(&mut self) {
        if let Some(answer) = self.order.pop_front() {
            let number = self.first;
            self.first += 1;
            if let Some(answer) = answer {
                self.forget(number, &answer);
            }
        }
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
    }

    #[test]
    fn those_learned_first_go_first() {
        let mut answers = Answers::new(3);
        let address = |n| Ipv4Addr::from(n);
        for n in 0..3 {
            answers.learn(A, "x.test", address(n), 100);
        }
        answers.learn(A, "x.test", address(0), 100);
        answers.learn(A, "x.test", address(3), 100);
        let kept = (0..4).filter(|&n| !names(&answers, A, address(n), 0).is_empty());
        assert_eq!(kept.collect::<Vec<_>>(), [0, 2, 3]);
        for _ in 0..1_000 {
            answers.learn(A, "x.test", address(2), 100);
        }
        assert!(answers.len() <= 3 && answers.order.len() <= 6);
        assert_eq!(names(&answers, A, address(2), 0), ["x.test"]);
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
}
