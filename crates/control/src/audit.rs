//! The audit trail: who asked for which change, from where, and what became of it.
//!
//! An event of a change is written in the same transaction as the change: none is acknowledged without it. Those
//! of refused calls have a transaction of their own. Events are numbered one by one, and are kept under their
//! numbers; when there are too many, or the oldest is too old, a new one takes the oldest out with it.

use crate::records::Seconds;
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{KeyValue, List, Op, Store};

/// The most events that are kept.
pub const MAX_EVENTS: u64 = 100_000;

/// How long they are kept: 400 days.
pub const MAX_AGE: Seconds = 400 * 24 * 60 * 60;

/// Where they are in the store: `PREFIX` and the number in 20 digits, so that they are in its order.
const PREFIX: &str = "/audit/";

/// The most characters of a message that are kept.
const MAX_MESSAGE: usize = 1_024;

/// The most of the oldest that one new event takes out.
const MAX_REMOVED: usize = 16;

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Actor {
    /// Who has this access key.
    Key {
        /// The key's identifier.
        key: String,
        /// The user whose key it is; empty: the account's own.
        user: String,
        /// The user's number; empty: the account.
        number: String,
    },
    /// A process on the control socket.
    Local {
        /// The number of its user.
        uid: u32,
    },
    /// The program itself, when it started.
    Start,
}

/// A call that changed something, or was to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The call's identifier.
    pub id: String,
    /// When.
    pub time: Seconds,
    /// Who asked.
    pub actor: Actor,
    /// From where: an IP address; empty if from this machine.
    #[serde(default)]
    pub address: String,
    /// What the client said that it is.
    #[serde(default)]
    pub user_agent: String,
    /// The product, e.g. `Vpc`.
    pub product: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// The operation, e.g. `CreateVpc`.
    pub action: String,
    /// The parameters, without secrets.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The resources that it was about.
    #[serde(default)]
    pub resources: Vec<String>,
    /// The HTTP status that was answered.
    pub status: u16,
    /// Why it was refused; empty: it was not.
    #[serde(default)]
    pub code: String,
    /// The same for people.
    #[serde(default)]
    pub message: String,
}

impl Event {
    /// A call of an operation (product, version, name) that went through, of which nothing else is known.
    pub fn new(
        id: String,
        time: Seconds,
        actor: Actor,
        [product, version, action]: [&str; 3],
    ) -> Event {
        Event {
            id,
            time,
            actor,
            address: String::new(),
            user_agent: String::new(),
            product: product.into(),
            version: version.into(),
            action: action.into(),
            params: BTreeMap::new(),
            resources: Vec::new(),
            status: 200,
            code: String::new(),
            message: String::new(),
        }
    }

    /// The same call, refused.
    pub fn refused(self, refusal: &Refusal) -> Event {
        Event {
            status: refusal.status,
            code: refusal.code.to_string(),
            message: refusal.message.chars().take(MAX_MESSAGE).collect(),
            ..self
        }
    }
}

/// Where the trail begins and ends. Held by whoever takes a change through, so events are written one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trail {
    /// The number of the oldest event, if there is one.
    first: u64,
    /// The number of the next event.
    next: u64,
    most: u64,
    oldest: Seconds,
}

impl Trail {
    /// The trail that a store holds, of at most so many events that are at most so old.
    pub(crate) fn open(
        store: &dyn Store,
        most: u64,
        oldest: Seconds,
    ) -> Result<Trail, store::Error> {
        let end = |list: List| -> Result<Option<u64>, store::Error> {
            let page = store.list(&list.limit(1))?;
            Ok(page.items.first().and_then(number))
        };
        let all = List::prefix(PREFIX);
        let first = end(all.clone())?.unwrap_or(0);
        let next = end(all.descending())?.map_or(first, |it| it + 1);
        Ok(Trail {
            first,
            next,
            most,
            oldest,
        })
    }

    /// What writes an event, and the trail as it is then.
    pub(crate) fn append(
        self,
        store: &dyn Store,
        event: &Event,
    ) -> Result<(Vec<Op>, Trail), Refusal> {
        let failed = |why: String| {
            Refusal::internal(format!("It cannot be written to the audit trail: {why}."))
        };
        let value = serde_json::to_vec(event).map_err(|error| failed(error.to_string()))?;
        let mut trail = self;
        let mut ops = vec![Op::put(key(trail.next), value)];
        trail.next += 1;
        while ops.len() <= MAX_REMOVED && trail.next - trail.first > 1 {
            let many = trail.next - trail.first > trail.most;
            let old = || -> Result<bool, store::Error> {
                let oldest = store.get(&key(trail.first))?;
                let oldest = oldest.as_ref().and_then(read);
                // What cannot be read is of no use to anybody.
                Ok(oldest.is_none_or(|it| it.time.saturating_add(trail.oldest) < event.time))
            };
            if !many && !old().map_err(|error| failed(error.to_string()))? {
                break;
            }
            ops.push(Op::delete(key(trail.first)));
            trail.first += 1;
        }
        Ok((ops, trail))
    }
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The events with their numbers.
    pub events: Vec<(u64, Event)>,
    /// The number of the last one that was looked at, if there may be more behind it.
    pub more: Option<u64>,
}

/// At most so many events, from the newest to the oldest or, if `forward`, the other way round; those that
/// come behind the number `after`.
pub(crate) fn events(
    store: &dyn Store,
    after: Option<u64>,
    forward: bool,
    most: usize,
) -> Result<Events, store::Error> {
    let mut list = List::prefix(PREFIX).limit(most);
    if let Some(after) = after {
        list = list.after(key(after));
    }
    if !forward {
        list = list.descending();
    }
    let page = store.list(&list)?;
    let last = page.items.last().and_then(number);
    let events = page
        .items
        .iter()
        .filter_map(|it| Some((number(it)?, read(it)?)));
    Ok(Events {
        events: events.collect(),
        more: last.filter(|_| page.more),
    })
}

fn key(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

fn number(item: &KeyValue) -> Option<u64> {
    item.key.strip_prefix(PREFIX)?.parse().ok()
}

fn read(item: &KeyValue) -> Option<Event> {
    serde_json::from_slice(&item.value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Sqlite, Txn};

    fn event(id: u64, time: Seconds) -> Event {
        let operation = ["Vpc", "2016-04-28", "CreateVpc"];
        Event::new(id.to_string(), time, Actor::Local { uid: 0 }, operation)
    }

    fn write(store: &Sqlite, trail: Trail, event: &Event) -> Trail {
        let (ops, trail) = trail.append(store, event).unwrap();
        store
            .transact(ops.into_iter().fold(Txn::new(), Txn::then))
            .unwrap();
        trail
    }

    fn ids(store: &Sqlite) -> Vec<String> {
        let all = events(store, None, true, 1_000).unwrap();
        all.events.into_iter().map(|(_, it)| it.id).collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_and_when_they_are_too_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let mut store = Sqlite::open(&path).unwrap();
        let mut trail = Trail::open(&store, 5, 100).unwrap();
        for n in 0..8 {
            trail = write(&store, trail, &event(n, 1_000 + n));
            if n == 5 {
                // The numbers go on after a restart.
                drop(store);
                store = Sqlite::open(&path).unwrap();
                assert_eq!(Trail::open(&store, 5, 100).unwrap(), trail);
            }
        }
        assert_eq!(ids(&store), ["3", "4", "5", "6", "7"]);
        // Of 1003 to 1007 those before 1005 are older than 100.
        trail = write(&store, trail, &event(8, 1_105));
        assert_eq!(ids(&store), ["5", "6", "7", "8"]);
        // A clock that was set back takes nothing out.
        trail = write(&store, trail, &event(9, 500));
        assert_eq!(ids(&store), ["5", "6", "7", "8", "9"]);
        // The event itself stays, however old the others are.
        write(&store, trail, &event(10, 1_000_000));
        assert_eq!(ids(&store), ["10"]);
    }

    #[test]
    fn a_smaller_bound_is_reached_step_by_step() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(dir.path().join("state.db")).unwrap();
        let mut trail = Trail::open(&store, 100, 100).unwrap();
        for n in 0..60 {
            trail = write(&store, trail, &event(n, 1_000));
        }
        let mut trail = Trail::open(&store, 10, 100).unwrap();
        for (n, left) in [(60, 45), (61, 30), (62, 15), (63, 10)] {
            trail = write(&store, trail, &event(n, 1_000));
            assert_eq!(ids(&store).len(), left);
        }
    }

    #[test]
    fn events_come_in_pages_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(dir.path().join("state.db")).unwrap();
        let mut trail = Trail::open(&store, 100, 100).unwrap();
        for n in 0..7 {
            trail = write(&store, trail, &event(n, 1_000 + n));
        }
        for forward in [true, false] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = events(&store, after, forward, 3).unwrap();
                seen.extend(page.events.into_iter().map(|(number, _)| number));
                after = page.more;
                if after.is_none() {
                    break;
                }
            }
            let mut expected: Vec<u64> = (0..7).collect();
            if !forward {
                expected.reverse();
            }
            assert_eq!(seen, expected);
        }
    }
}
