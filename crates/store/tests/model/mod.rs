//! Random transactions, lists, watches, compactions and restarts, against a model that could not be simpler.

mod naive;

use std::time::Duration;

use self::naive::Naive;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use store::{
    Compare, Error, List, Op, Options, Order, Range, Relation, Revision, Sqlite, Store, Txn,
    Wanted, Watch,
};

/// Few, so that they meet; some that are tricky to order.
const KEYS: &[&str] = &[
    "a",
    "a/",
    "a/1",
    "a/2",
    "a/\u{ff}",
    "a0",
    "b",
    "b/\0",
    "\u{d7ff}",
    "\u{10ffff}x",
];
const PREFIXES: &[&str] = &["", "a", "a/", "b", "\u{d7ff}", "\u{10ffff}", "nothing"];
const VALUES: &[&[u8]] = &[b"", b"\0", b"v", b"w", b"\xff"];

/// So short that watches are overtaken.
const HISTORY: u64 = 12;

#[derive(Clone, Debug)]
enum Step {
    Transact(Txn),
    Get(&'static str),
    List(List),
    /// Starts a watch so many revisions before the next one, or after it if negative.
    Watch(Range, i64),
    /// Reads so much from one of the watches.
    Read(Index, usize),
    /// Compacts to a part of the history.
    Compact(Index),
    CompactFuture(u64),
    Reopen,
}

fn key() -> impl Strategy<Value = &'static str> {
    select(KEYS)
}

fn range() -> impl Strategy<Value = Range> {
    prop_oneof![
        key().prop_map(Range::key),
        select(PREFIXES).prop_map(Range::prefix),
        (key(), key()).prop_map(|(start, end)| Range::between(start, end)),
    ]
}

fn list() -> impl Strategy<Value = List> {
    (
        range(),
        proptest::option::of(key()),
        0usize..4,
        any::<bool>(),
    )
        .prop_map(|(range, after, limit, descending)| {
            let order = if descending {
                Order::Descending
            } else {
                Order::Ascending
            };
            List {
                range,
                after: after.map(str::to_owned),
                limit,
                order,
            }
        })
}

fn compare() -> impl Strategy<Value = Compare> {
    let relation = select(&[
        Relation::Equal,
        Relation::NotEqual,
        Relation::Greater,
        Relation::Less,
    ]);
    let wanted = prop_oneof![
        (0u64..4).prop_map(Wanted::Version),
        (0u64..30).prop_map(|n| Wanted::CreateRevision(Revision(n))),
        (0u64..30).prop_map(|n| Wanted::ModRevision(Revision(n))),
        select(VALUES).prop_map(|v| Wanted::Value(v.to_vec())),
    ];
    (range(), relation, wanted).prop_map(|(range, relation, wanted)| Compare {
        range,
        relation,
        wanted,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (key(), select(VALUES)).prop_map(|(key, value)| Op::put(key, value)),
        1 => range().prop_map(Op::Delete),
        1 => list().prop_map(Op::Get),
    ]
}

fn txn() -> impl Strategy<Value = Txn> {
    use proptest::collection::vec;
    (vec(compare(), 0..3), vec(op(), 0..5), vec(op(), 0..3)).prop_map(
        |(compare, success, failure)| Txn {
            compare,
            success,
            failure,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => txn().prop_map(Step::Transact),
        1 => key().prop_map(Step::Get),
        3 => list().prop_map(Step::List),
        3 => (range(), -2i64..20).prop_map(|(range, back)| Step::Watch(range, back)),
        6 => (any::<Index>(), 1usize..8).prop_map(|(which, n)| Step::Read(which, n)),
        1 => any::<Index>().prop_map(Step::Compact),
        1 => (1u64..3).prop_map(Step::CompactFuture),
        1 => Just(Step::Reopen),
    ]
}

/// A watch, and what it should give next.
struct Watched {
    watch: Box<dyn Watch>,
    range: Range,
    next: Revision,
}

impl Watched {
    /// Compares one call with the model; false if the watch has come to its end.
    fn read(&mut self, naive: &Naive) -> bool {
        // What it gives must be what comes next, even if that is forgotten by now: it may have read ahead.
        let expected = naive.changes(&self.range, self.next);
        match self.watch.next(Duration::ZERO) {
            Ok(found) => {
                assert_eq!(found, expected);
                self.next = found
                    .map_or(naive.revision, |changes| changes.revision)
                    .next()
                    .max(self.next);
                true
            }
            Err(Error::Compacted { asked, oldest }) => {
                assert_eq!(oldest, naive.oldest);
                assert!(self.next <= asked && asked < oldest);
                false
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn run(steps: Vec<Step>) {
    // In memory if possible: what is on the disk is for other tests.
    let dir = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let path = dir.path().join("state.db");
    let options = Options {
        history_revisions: HISTORY,
        ..Options::default()
    };
    let open = || Sqlite::open_with(&path, options).unwrap();
    let mut store = open();
    let mut naive = Naive::new(HISTORY);
    let mut watches: Vec<Watched> = Vec::new();
    for step in steps {
        match step {
            Step::Transact(txn) => match (store.transact(txn.clone()), naive.transact(&txn)) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected),
                (Err(Error::DuplicateKey { .. }), None) => {}
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            },
            Step::Get(key) => assert_eq!(store.get(key).unwrap(), naive.keys.get(key).cloned()),
            Step::List(list) => assert_eq!(store.list(&list).unwrap(), naive.list(&list)),
            Step::Watch(range, back) => {
                let from = Revision(naive.revision.next().0.saturating_add_signed(-back));
                match store.watch(range.clone(), from) {
                    Ok(watch) => {
                        assert!(from >= naive.oldest);
                        watches.push(Watched {
                            watch,
                            range,
                            next: from,
                        });
                    }
                    Err(Error::Compacted { asked, oldest }) => {
                        assert_eq!((asked, oldest), (from, naive.oldest));
                        assert!(from < oldest);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Read(which, n) if !watches.is_empty() => {
                let which = which.index(watches.len());
                if !(0..n).all(|_| watches[which].read(&naive)) {
                    watches.swap_remove(which);
                }
            }
            Step::Read(..) => {}
            Step::Compact(part) => {
                let revision = Revision(1 + part.index(naive.revision.0 as usize) as u64);
                store.compact(revision).unwrap();
                naive.oldest = naive.oldest.max(revision);
            }
            Step::CompactFuture(ahead) => {
                let error = store
                    .compact(Revision(naive.revision.0 + ahead))
                    .unwrap_err();
                assert!(matches!(error, Error::Future { .. }), "{error}");
            }
            Step::Reopen => {
                drop(store);
                for watched in &mut watches {
                    // What was read before may still come.
                    let end = loop {
                        match watched.watch.next(Duration::MAX) {
                            Ok(_) => {}
                            Err(error) => break error,
                        }
                    };
                    assert!(matches!(end, Error::Closed), "{end}");
                }
                watches.clear();
                store = open();
            }
        }
        assert_eq!(store.revision().unwrap(), naive.revision);
    }
    // At last all that the watches have left, and everything.
    for mut watched in watches {
        while watched.next <= naive.revision && watched.read(&naive) {}
    }
    let all = List::new(Range::all());
    assert_eq!(store.list(&all).unwrap(), naive.list(&all));
}

/// So many cases, unless `PROPTEST_CASES` says otherwise.
fn cases(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: wanted.and_then(|n| n.parse().ok()).unwrap_or(usual),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn the_store_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..80)) {
        run(steps);
    }
}
