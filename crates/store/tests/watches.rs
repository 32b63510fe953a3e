//! Watches: nothing missed, nothing twice, transactions whole, whoever writes at the same time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use store::{Changes, Error, Event, List, Op, Options, Range, Revision, Sqlite, Store, Txn, Watch};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

fn fresh(options: Options) -> (TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open_with(dir.path().join("state.db"), options).unwrap();
    (dir, store)
}

fn put(store: &Sqlite, key: &str, value: impl Into<Vec<u8>>) -> Revision {
    store
        .transact(Txn::new().then(Op::put(key, value)))
        .unwrap()
        .revision
}

/// All that there is to read now.
fn rest(watch: &mut dyn Watch) -> Vec<Changes> {
    std::iter::from_fn(|| watch.next(Duration::ZERO).unwrap()).collect()
}

/// What a store holds, by key.
type Contents = BTreeMap<String, Vec<u8>>;

fn contents(store: &Sqlite, range: Range) -> (Contents, Revision) {
    let page = store.list(&List::new(range)).unwrap();
    (
        page.items
            .into_iter()
            .map(|kv| (kv.key, kv.value))
            .collect(),
        page.revision,
    )
}

fn follow(contents: &mut Contents, changes: Changes) {
    for event in changes.events {
        match event {
            Event::Put(kv) => contents.insert(kv.key, kv.value),
            Event::Deleted { key } => contents.remove(&key),
        };
    }
}

#[test]
fn a_watch_gives_past_and_present_of_its_range() {
    let (_dir, store) = fresh(Options::default());
    put(&store, "a/1", "x");
    put(&store, "b/1", "x");
    let mut watch = store.watch(Range::prefix("a/"), Revision(1)).unwrap();
    let mut later = store.watch(Range::prefix("a/"), Revision(5)).unwrap();
    let txn = Txn::new()
        .then(Op::put("a/2", "y"))
        .then(Op::put("b/2", "y"))
        .then(Op::delete("a/1"));
    store.transact(txn).unwrap();
    put(&store, "a/2", "z");

    let found = rest(&mut *watch);
    let revisions: Vec<_> = found.iter().map(|c| c.revision.0).collect();
    assert_eq!(revisions, [2, 4, 5]);
    assert!(matches!(&found[0].events[..], [Event::Put(kv)] if kv.key == "a/1" && kv.version == 1));
    let [Event::Put(new), Event::Deleted { key }] = &found[1].events[..] else {
        panic!("{found:?}")
    };
    assert_eq!((new.key.as_str(), key.as_str()), ("a/2", "a/1"));
    let [Event::Put(again)] = &found[2].events[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        Some(again),
        store.get("a/2").unwrap().as_ref(),
        "what a get gives"
    );
    assert_eq!(rest(&mut *later), found[2..], "from where it was asked");
    assert_eq!(watch.next(Duration::from_millis(30)).unwrap(), None);
}

#[test]
fn who_waits_is_woken() {
    let (_dir, store) = fresh(Options::default());
    let mut watch = store.watch(Range::key("a"), Revision(2)).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let changes = watch.next(Duration::MAX).unwrap().unwrap();
            (changes, Instant::now())
        });
        thread::sleep(Duration::from_millis(50));
        put(&store, "b", "not this");
        thread::sleep(Duration::from_millis(50));
        let done = put(&store, "a", "this");
        let committed = Instant::now();
        let (changes, woken) = waiting.join().unwrap();
        assert_eq!(changes.revision, done);
        assert!(woken.saturating_duration_since(committed) < SOON);
    });
}

#[test]
fn a_wait_ends_with_its_time_or_with_the_store() {
    let (_dir, store) = fresh(Options::default());
    let mut watch = store.watch(Range::all(), Revision(2)).unwrap();
    let start = Instant::now();
    assert_eq!(watch.next(Duration::from_millis(100)).unwrap(), None);
    assert!(start.elapsed() >= Duration::from_millis(100));

    let waiting = thread::spawn(move || {
        let error = watch.next(Duration::MAX).unwrap_err();
        assert!(matches!(error, Error::Closed), "{error}");
        assert!(matches!(watch.next(Duration::ZERO), Err(Error::Closed)));
    });
    thread::sleep(Duration::from_millis(50));
    drop(store);
    waiting.join().unwrap();
}

#[test]
fn watches_and_writers_at_the_same_time() {
    const WRITERS: usize = 4;
    const EACH: usize = 150;
    let (_dir, store) = fresh(Options::default());
    let store = &store;
    let last = Revision(1 + (WRITERS * EACH) as u64);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for n in 0..EACH {
                    // Two keys that always change together, and one that comes and goes.
                    let name = format!("{}/{}", n % 5, (writer * 7 + n) % 11);
                    let value = format!("{writer} {n}");
                    let txn = Txn::new().then(Op::put(format!("x/{name}"), value.clone()));
                    let txn = txn.then(Op::put(format!("y/{name}"), value.clone()));
                    store
                        .transact(if n % 3 == 0 {
                            txn.then(Op::delete_prefix("z/"))
                        } else {
                            txn.then(Op::put(format!("z/{name}"), value))
                        })
                        .unwrap();
                }
            });
        }
        // Some watch everything from the start.
        for _ in 0..2 {
            scope.spawn(move || {
                let mut watch = store.watch(Range::all(), Revision(1)).unwrap();
                let mut seen = Contents::new();
                for revision in 2..=last.0 {
                    let changes = watch.next(SOON).unwrap().unwrap();
                    assert_eq!(changes.revision, Revision(revision), "each once, in order");
                    follow(&mut seen, changes);
                    for (key, value) in seen.range("x/".to_owned().."x0".to_owned()) {
                        assert_eq!(
                            seen.get(&key.replacen('x', "y", 1)),
                            Some(value),
                            "transactions are whole"
                        );
                    }
                }
                assert_eq!(seen, contents(store, Range::all()).0);
            });
        }
        // Others list a part at any time and watch from there.
        for n in 0..4 {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(n * 40));
                let range = Range::prefix(if n % 2 == 0 { "z/" } else { "x/3" });
                let (mut seen, revision) = contents(store, range.clone());
                let mut watch = store.watch(range.clone(), revision.next()).unwrap();
                let mut at = revision;
                while store.revision().unwrap() < last {
                    if let Some(changes) = watch.next(Duration::from_millis(5)).unwrap() {
                        assert!(
                            changes.revision > at
                                && changes.events.iter().all(|e| range.contains(e.key()))
                        );
                        at = changes.revision;
                        follow(&mut seen, changes);
                    }
                }
                rest(&mut *watch)
                    .into_iter()
                    .for_each(|changes| follow(&mut seen, changes));
                assert_eq!(seen, contents(store, range).0);
            });
        }
    });
    assert_eq!(store.revision().unwrap(), last);
}

#[test]
fn lists_are_of_one_moment() {
    let (_dir, store) = fresh(Options::default());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..300 {
                let txn = (0..5).fold(Txn::new(), |txn, i| {
                    txn.then(Op::put(format!("k{i}"), n.to_string()))
                });
                store.transact(txn).unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        while !stop.load(Ordering::Relaxed) {
            let page = store.list(&List::prefix("k")).unwrap();
            assert!(page.items.iter().all(|kv| kv.value == page.items[0].value));
            assert!(
                page.items.iter().all(|kv| kv.mod_revision == page.revision),
                "{page:?}"
            );
            assert!(page.revision <= store.revision().unwrap());
        }
    });
}

#[test]
fn who_is_too_slow_is_told() {
    let (_dir, store) = fresh(Options {
        history_revisions: 10,
        ..Options::default()
    });
    let mut slow = store.watch(Range::prefix("a"), Revision(2)).unwrap();
    let mut idle = store.watch(Range::prefix("b"), Revision(2)).unwrap();
    for n in 0..9 {
        put(&store, "a", n.to_string());
    }
    assert_eq!(idle.next(Duration::ZERO).unwrap(), None);
    for n in 9..15 {
        put(&store, "a", n.to_string());
    }
    let error = slow.next(Duration::ZERO).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Compacted {
                asked: Revision(2),
                oldest: Revision(7)
            }
        ),
        "{error}"
    );
    assert_eq!(
        idle.next(Duration::ZERO).unwrap(),
        None,
        "it has read on, though nothing was for it"
    );
    assert!(matches!(
        store.watch(Range::all(), Revision(6)),
        Err(Error::Compacted { .. })
    ));
    assert_eq!(
        rest(&mut *store.watch(Range::all(), Revision(7)).unwrap()).len(),
        10
    );

    store.compact(Revision(15)).unwrap();
    store.compact(Revision(3)).unwrap();
    assert_eq!(
        rest(&mut *store.watch(Range::all(), Revision(15)).unwrap()).len(),
        2
    );
    assert!(matches!(
        store.watch(Range::all(), Revision(14)),
        Err(Error::Compacted { .. })
    ));
    assert!(matches!(
        store.compact(Revision(17)),
        Err(Error::Future { .. })
    ));
    assert_eq!(
        store.get("a").unwrap().unwrap().version,
        15,
        "keys are not concerned"
    );
}

#[test]
fn the_history_is_bounded_in_bytes() {
    let (_dir, store) = fresh(Options {
        history_bytes: 4 << 20,
        max_bytes: 32 << 20,
        ..Options::default()
    });
    // Many times the bound, and more than would fit into the file.
    for n in 0..60u8 {
        put(&store, "a", vec![n; 900_000]);
    }
    let Err(Error::Compacted { oldest, .. }) = store.watch(Range::all(), Revision(1)) else {
        panic!("kept all")
    };
    assert!((57..=59).contains(&oldest.0), "{oldest}");
    assert_eq!(
        rest(&mut *store.watch(Range::all(), oldest).unwrap()).len() as u64,
        62 - oldest.0
    );

    // A transaction larger than the bound is still kept, alone.
    let txn = (0..8).fold(Txn::new(), |txn, i| {
        txn.then(Op::put(format!("k{i}"), vec![i; 900_000]))
    });
    let revision = store.transact(txn).unwrap().revision;
    let changes = rest(&mut *store.watch(Range::all(), revision).unwrap());
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].events.len(), 8);
    assert!(matches!(
        store.watch(Range::all(), Revision(revision.0 - 1)),
        Err(Error::Compacted { .. })
    ));
    // And what it cost is known: after small ones it is gone again, they are not.
    let small = put(&store, "a", "");
    put(&store, "a", "");
    assert_eq!(
        rest(&mut *store.watch(Range::all(), small).unwrap()).len(),
        2
    );
    assert!(matches!(
        store.watch(Range::all(), revision),
        Err(Error::Compacted { .. })
    ));
}

#[test]
fn a_long_history_is_read_in_pieces() {
    let (_dir, store) = fresh(Options::default());
    for n in 0..40u8 {
        let txn = (0..20).fold(Txn::new(), |txn, i| {
            txn.then(Op::put(format!("k{i:02}"), vec![n; 5_000]))
        });
        store.transact(txn).unwrap();
    }
    let found = rest(&mut *store.watch(Range::all(), Revision(2)).unwrap());
    assert_eq!(found.len(), 40);
    for (n, changes) in (0..).zip(&found) {
        assert_eq!(changes.revision, Revision(2 + u64::from(n)));
        assert!(changes.events.iter().enumerate().all(|(i, event)| {
            matches!(event, Event::Put(kv) if kv.key == format!("k{i:02}") && kv.value == vec![n; 5_000])
        }));
        assert_eq!(changes.events.len(), 20);
    }
}
