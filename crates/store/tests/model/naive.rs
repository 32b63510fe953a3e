//! A store as one would write it down to explain it: a map, and a list of all that ever happened.

use std::collections::{BTreeMap, BTreeSet};

use store::{
    Changes, Compare, Event, KeyValue, List, Op, OpResult, Order, Outcome, Page, Range, Relation,
    Revision, Txn, Wanted,
};

pub struct Naive {
    pub revision: Revision,
    pub keys: BTreeMap<String, KeyValue>,
    /// All changes since the beginning.
    history: Vec<Changes>,
    /// The first revision whose changes the store should still have.
    pub oldest: Revision,
    keep: u64,
}

impl Naive {
    pub fn new(keep: u64) -> Naive {
        Naive {
            revision: Revision(1),
            keys: BTreeMap::new(),
            history: Vec::new(),
            oldest: Revision(1),
            keep,
        }
    }

    /// `None` if the transaction is to be refused.
    pub fn transact(&mut self, txn: &Txn) -> Option<Outcome> {
        if clashes(&txn.success) || clashes(&txn.failure) {
            return None;
        }
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let revision = self.revision.next();
        let mut events = Vec::new();
        let mut results = Vec::new();
        for op in if succeeded {
            &txn.success
        } else {
            &txn.failure
        } {
            results.push(match op {
                Op::Put { key, value } => {
                    let before = self.keys.get(key);
                    let kv = KeyValue {
                        key: key.clone(),
                        value: value.clone(),
                        create_revision: before.map_or(revision, |kv| kv.create_revision),
                        mod_revision: revision,
                        version: before.map_or(0, |kv| kv.version) + 1,
                    };
                    events.push(Event::Put(kv.clone()));
                    self.keys.insert(key.clone(), kv);
                    OpResult::Put
                }
                Op::Delete(range) => {
                    let gone: Vec<_> = self
                        .keys
                        .keys()
                        .filter(|key| range.contains(key))
                        .cloned()
                        .collect();
                    for key in &gone {
                        self.keys.remove(key);
                        events.push(Event::Deleted { key: key.clone() });
                    }
                    OpResult::Deleted(gone.len())
                }
                Op::Get(list) => OpResult::Page(self.list(list)),
            });
        }
        if !events.is_empty() {
            self.revision = revision;
            self.history.push(Changes { revision, events });
            self.oldest = self
                .oldest
                .max(Revision((revision.0 + 1).saturating_sub(self.keep)));
        }
        for result in &mut results {
            if let OpResult::Page(page) = result {
                page.revision = self.revision;
            }
        }
        Some(Outcome {
            succeeded,
            revision: self.revision,
            results,
        })
    }

    fn holds(&self, compare: &Compare) -> bool {
        let of = |kv: &KeyValue| {
            let ordering = match &compare.wanted {
                Wanted::Version(n) => kv.version.cmp(n),
                Wanted::CreateRevision(r) => kv.create_revision.cmp(r),
                Wanted::ModRevision(r) => kv.mod_revision.cmp(r),
                Wanted::Value(v) => kv.value.cmp(v),
            };
            match compare.relation {
                Relation::Equal => ordering.is_eq(),
                Relation::NotEqual => ordering.is_ne(),
                Relation::Greater => ordering.is_gt(),
                Relation::Less => ordering.is_lt(),
            }
        };
        let found: Vec<_> = self
            .keys
            .values()
            .filter(|kv| compare.range.contains(&kv.key))
            .collect();
        if found.is_empty() {
            let nothing = KeyValue {
                key: String::new(),
                value: Vec::new(),
                create_revision: Revision(0),
                mod_revision: Revision(0),
                version: 0,
            };
            return !matches!(compare.wanted, Wanted::Value(_)) && of(&nothing);
        }
        found.into_iter().all(of)
    }

    pub fn list(&self, list: &List) -> Page {
        let mut items: Vec<_> = self
            .keys
            .values()
            .filter(|kv| list.range.contains(&kv.key))
            .cloned()
            .collect();
        if list.order == Order::Descending {
            items.reverse();
        }
        if let Some(after) = &list.after {
            match list.order {
                Order::Ascending => items.retain(|kv| kv.key > *after),
                Order::Descending => items.retain(|kv| kv.key < *after),
            }
        }
        let more = list.limit != 0 && items.len() > list.limit;
        if more {
            items.truncate(list.limit);
        }
        Page {
            items,
            more,
            revision: self.revision,
        }
    }

    /// What a watch of a range should give next from a revision on, if nothing were ever forgotten.
    pub fn changes(&self, range: &Range, from: Revision) -> Option<Changes> {
        self.history
            .iter()
            .filter(|changes| changes.revision >= from)
            .find_map(|changes| {
                let events: Vec<_> = changes
                    .events
                    .iter()
                    .filter(|e| range.contains(e.key()))
                    .cloned()
                    .collect();
                (!events.is_empty()).then_some(Changes {
                    revision: changes.revision,
                    events,
                })
            })
    }
}

/// Whether a side puts a key twice, or puts and deletes it.
fn clashes(side: &[Op]) -> bool {
    let mut put = BTreeSet::new();
    let twice = side
        .iter()
        .any(|op| matches!(op, Op::Put { key, .. } if !put.insert(key.clone())));
    let deletes = |key: &String| {
        side.iter()
            .any(|op| matches!(op, Op::Delete(range) if range.contains(key)))
    };
    twice || put.iter().any(deletes)
}
