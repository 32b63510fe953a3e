//! How often policies have decided, and about how many bytes.
//!
//! Policies are counted as long as there are any: also while their firewall is off, and from one daemon to the next, if
//! somebody keeps what has [changed](Hits::changed) and [gives](Hits::restore) it back.

use crate::firewall::{Firewalls, ListIx};
use crate::verdicts::{Ruling, Rulings, Says};
use hashbrown::HashMap;
use model::{ControlPolicy, Id, PolicyScope};
use std::sync::Arc;

/// The counters of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Sessions, and refused first packets, that it has decided about.
    pub hits: u64,
    /// Bytes of these sessions, both ways.
    pub bytes: u64,
    /// When it last decided, in seconds since 1970 UTC; 0 if it never has.
    pub last: u64,
    /// They are others than somebody was told last.
    changed: bool,
}

/// Counters with whose they are: zeros are those of a policy that is gone or counts from zero again.
pub(crate) type Counted = (PolicyScope, Id, Hit);

/// The counters of all policies.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    /// By list and place: those of the lists that are asked, then those of the lists that are not.
    lists: Vec<Vec<Hit>>,
    /// Policies that have gone, with counters of which somebody was told.
    gone: Vec<(PolicyScope, Id)>,
    /// How far telling what has changed has come.
    told: (usize, usize),
}

impl Hits {
    /// Follows policies that have moved: what is known by scope and identifier stays. Gives where they are now, if that is
    /// `asked`.
    pub fn configure(&mut self, now: &Firewalls, before: Option<&Firewalls>, asked: bool) -> Moved {
        let mut places = Moved::default();
        let mut old = std::mem::take(&mut self.lists);
        let before: Vec<_> = before.into_iter().flat_map(Firewalls::counted).collect();
        places.lists.resize_with(before.len(), || None);
        let find = |scope| before.iter().position(|(it, _)| *it == scope);
        self.lists = (0..)
            .zip(now.counted())
            .map(|(list, (scope, policies))| {
                let Some(at) = find(scope) else {
                    return vec![Hit::default(); policies.len()];
                };
                let (was, hits) = (before[at].1, std::mem::take(&mut old[at]));
                let same = Arc::ptr_eq(was, policies);
                if asked {
                    places.lists[at] = Some(match same {
                        true => MovedList::same(list),
                        false => MovedList::new(list, was, policies),
                    });
                }
                match same {
                    true => hits,
                    false => self.moved(scope, was, &hits, policies),
                }
            })
            .collect();
        // Of those that are still there nothing is left.
        let gone = before.into_iter().zip(old).filter(|it| !it.1.is_empty());
        for ((scope, was), hits) in gone {
            self.moved(scope, was, &hits, &[]);
        }
        places
    }

    /// Counters of `was` for `policies`. The others are gone. There may be 100,000, of which nearly all are nearly always
    /// the same objects in the same order: those are not looked into.
    fn moved(
        &mut self,
        scope: &PolicyScope,
        was: &[Arc<ControlPolicy>],
        hits: &[Hit],
        policies: &[Arc<ControlPolicy>],
    ) -> Vec<Hit> {
        let (front, back) = unchanged(was, policies);
        let between = front..was.len() - back;
        let counted = was[between.clone()].iter().zip(&hits[between.clone()]);
        let counted = counted.filter(|(_, hit)| **hit != Hit::default());
        let mut known: HashMap<&str, Hit> =
            counted.map(|(it, hit)| (it.id.as_str(), *hit)).collect();
        let mut of = |id: &str| known.remove(id).unwrap_or_default();
        let mut moved = Vec::with_capacity(policies.len());
        moved.extend_from_slice(&hits[..front]);
        let others = &policies[front..policies.len() - back];
        moved.extend(others.iter().map(|policy| of(&policy.id)));
        moved.extend_from_slice(&hits[between.end..]);
        let gone = known.into_keys().map(|id| (scope.clone(), id.into()));
        self.gone.extend(gone);
        moved
    }

    /// Policies have decided about a session.
    pub fn decided(&mut self, rulings: &Rulings, now: u64) {
        for ruling in rulings.iter().flatten() {
            self.decided_one(ruling, now);
        }
    }

    /// A policy has decided.
    pub fn decided_one(&mut self, ruling: &Ruling, now: u64) {
        if let Some(hit) = self.of(ruling) {
            hit.hits += 1;
            hit.last = now;
            hit.changed = true;
        }
    }

    /// So many bytes have gone by in a session.
    pub fn bytes(&mut self, rulings: &Rulings, bytes: u64) {
        for ruling in rulings.iter().flatten().filter(|_| bytes > 0) {
            if let Some(hit) = self.of(ruling) {
                hit.bytes += bytes;
                hit.changed = true;
            }
        }
    }

    fn of(&mut self, ruling: &Ruling) -> Option<&mut Hit> {
        let place = ruling.decided_by()? as usize;
        self.lists.get_mut(ruling.list as usize)?.get_mut(place)
    }

    /// The counters of a list, in the order of its policies. It is named by its place in [`Firewalls::counted`].
    pub fn list(&self, list: usize) -> &[Hit] {
        self.lists.get(list).map_or(&[], |hits| hits)
    }

    /// Begins at zero: one policy, or all of a list.
    pub fn reset(&mut self, list: usize, place: Option<usize>) {
        let hits = self.lists.get_mut(list).map_or(&mut [][..], |it| it);
        for (at, hit) in hits.iter_mut().enumerate() {
            if place.is_none_or(|place| place == at) {
                let changed = *hit != Hit::default();
                *hit = Hit {
                    changed,
                    ..Hit::default()
                };
            }
        }
    }

    /// Adds what was counted for the policies of a list before this daemon. Gives those that it does not have.
    pub fn restore(
        &mut self,
        list: usize,
        policies: &[Arc<ControlPolicy>],
        mut counted: HashMap<Id, Hit>,
    ) -> HashMap<Id, Hit> {
        let hits = self.lists.get_mut(list).map_or(&mut [][..], |it| it);
        for (policy, hit) in policies.iter().zip(hits) {
            if let Some(before) = counted.remove(&policy.id) {
                hit.hits += before.hits;
                hit.bytes += before.bytes;
                hit.last = hit.last.max(before.last);
            }
        }
        counted
    }

    /// Counters that have changed since they were told last: some of them, after a look at so many policies; and whether
    /// all have been looked at.
    pub fn changed(&mut self, now: &Firewalls, most: usize) -> (Vec<Counted>, bool) {
        let gone = std::mem::take(&mut self.gone).into_iter();
        let mut all: Vec<Counted> = gone
            .map(|(scope, id)| (scope, id, Hit::default()))
            .collect();
        let (list, mut place) = std::mem::take(&mut self.told);
        let mut left = most;
        let lists = self.lists.iter_mut().zip(now.counted());
        for (at, (hits, (scope, policies))) in lists.enumerate().skip(list) {
            let end = hits.len().min(place.saturating_add(left));
            left -= end.saturating_sub(place);
            for (hit, policy) in hits.iter_mut().zip(&**policies).take(end).skip(place) {
                if std::mem::take(&mut hit.changed) {
                    all.push((scope.clone(), policy.id.clone(), *hit));
                }
            }
            if end < hits.len() {
                self.told = (at, end);
                return (all, false);
            }
            place = 0;
        }
        (all, true)
    }
}

/// How many policies at the front and at the back are the same objects.
fn unchanged(was: &[Arc<ControlPolicy>], now: &[Arc<ControlPolicy>]) -> (usize, usize) {
    let same = |(a, b): &(&Arc<ControlPolicy>, &Arc<ControlPolicy>)| Arc::ptr_eq(a, b);
    let front = was.iter().zip(now).take_while(same).count();
    let back = was[front..].iter().rev().zip(now[front..].iter().rev());
    (front, back.take_while(same).count())
}

/// Where the policies of a configuration are in the next one. Lists are named by their places in [`Firewalls::counted`].
#[derive(Debug, Default)]
pub(crate) struct Moved {
    lists: Vec<Option<MovedList>>,
}

/// Where the policies of a list are.
#[derive(Debug)]
struct MovedList {
    list: ListIx,
    /// So many are where they were.
    front: usize,
    /// Those after them.
    between: Vec<Option<u32>>,
    /// The place of the first one after those.
    back: usize,
}

impl MovedList {
    /// They are all where they were.
    fn same(list: ListIx) -> MovedList {
        MovedList {
            list,
            front: usize::MAX,
            between: Vec::new(),
            back: 0,
        }
    }

    fn new(list: ListIx, was: &[Arc<ControlPolicy>], policies: &[Arc<ControlPolicy>]) -> MovedList {
        let (front, back) = unchanged(was, policies);
        let others = (0..).zip(policies).skip(front);
        let others = others.take(policies.len() - front - back);
        let places: HashMap<&str, u32> = others.map(|(at, it)| (it.id.as_str(), at)).collect();
        let between = was[front..was.len() - back].iter();
        MovedList {
            list,
            front,
            between: between
                .map(|it| places.get(it.id.as_str()).copied())
                .collect(),
            back: policies.len() - back,
        }
    }

    fn place(&self, place: u32) -> Option<u32> {
        let Some(after) = (place as usize).checked_sub(self.front) else {
            return Some(place);
        };
        match after.checked_sub(self.between.len()) {
            None => self.between[after],
            Some(after) => Some((self.back + after) as u32),
        }
    }
}

impl Moved {
    /// What a firewall has said, in the numbers of the next configuration; none if that does not have its list or policy.
    pub fn ruling(&self, ruling: &Ruling) -> Option<Ruling> {
        let to = self.lists.get(ruling.list as usize)?.as_ref()?;
        Some(Ruling {
            list: to.list,
            says: match ruling.says {
                Says::Policy(place, action) => Says::Policy(to.place(place)?, action),
                Says::Unidentified(place) => Says::Unidentified(to.place(place)?),
                Says::Pending(place, needs) => Says::Pending(to.place(place)?, needs),
                other => other,
            },
            pre: ruling.pre.and_then(|place| to.place(place)),
            ..*ruling
        })
    }
}

impl Hit {
    /// Those that somebody has kept.
    pub fn kept(hits: u64, bytes: u64, last: u64) -> Hit {
        Hit {
            hits,
            bytes,
            last,
            changed: false,
        }
    }
}
