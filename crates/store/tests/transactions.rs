//! What get, list and transact promise, one by one.

use std::path::Path;
use std::time::{Duration, Instant};

use store::{
    Compare, Error, KeyValue, List, MAX_CHANGES, MAX_KEY, MAX_OPERATIONS, MAX_TRANSACTION,
    MAX_VALUE, Op, OpResult, Options, Outcome, Range, Relation, Revision, Sqlite, Store, Txn,
    Wanted,
};
use tempfile::TempDir;

fn fresh() -> (TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path().join("state.db")).unwrap();
    (dir, store)
}

fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    store
        .transact(Txn::new().then(Op::put(key, value)))
        .unwrap()
        .revision
}

fn keys(store: &dyn Store, list: &List) -> Vec<String> {
    store
        .list(list)
        .unwrap()
        .items
        .into_iter()
        .map(|kv| kv.key)
        .collect()
}

#[test]
fn revisions_and_versions_are_those_of_etcd() {
    let (_dir, store) = fresh();
    assert_eq!(store.revision().unwrap(), Revision(1));
    assert_eq!(store.get("a").unwrap(), None);
    assert_eq!(put(&store, "a", "x"), Revision(2));
    assert_eq!(
        put(&store, "a", "x"),
        Revision(3),
        "the same value is a change, too"
    );
    let kv = |create, modified, version| KeyValue {
        key: "a".into(),
        value: b"x".into(),
        create_revision: Revision(create),
        mod_revision: Revision(modified),
        version,
    };
    assert_eq!(store.get("a").unwrap(), Some(kv(2, 3, 2)));

    let deleted = store
        .transact(Txn::new().then(Op::delete("a")).then(Op::delete("b")))
        .unwrap();
    assert_eq!(
        deleted.results,
        [OpResult::Deleted(1), OpResult::Deleted(0)]
    );
    assert_eq!(deleted.revision, Revision(4));
    let nothing = store.transact(Txn::new().then(Op::delete("a"))).unwrap();
    assert_eq!(nothing.revision, Revision(4), "nothing changed");
    put(&store, "a", "x");
    assert_eq!(store.get("a").unwrap(), Some(kv(5, 5, 1)), "a new life");
}

#[test]
fn one_side_is_done_whole() {
    let (_dir, store) = fresh();
    let txn = Txn::new()
        .when(Compare::absent("a"))
        .then(Op::put("a", "1"))
        .then(Op::put("b", "2"))
        .then(Op::Get(List::new(Range::all())))
        .otherwise(Op::get("b"));
    let first = store.transact(txn.clone()).unwrap();
    assert!(first.succeeded);
    let OpResult::Page(page) = &first.results[2] else {
        panic!("{first:?}")
    };
    assert_eq!(page.revision, Revision(2), "the transaction's own");
    assert_eq!(page.items.len(), 2, "steps see the steps before them");
    assert!(page.items.iter().all(|kv| kv.mod_revision == Revision(2)));

    let second = store.transact(txn).unwrap();
    assert!(!second.succeeded);
    assert_eq!(second.revision, Revision(2));
    let [OpResult::Page(page)] = second.results.as_slice() else {
        panic!("{second:?}")
    };
    assert_eq!(page.items[0].value, b"2");
}

#[test]
fn comparisons_compare() {
    let (_dir, store) = fresh();
    put(&store, "a", "m");
    put(&store, "a", "m");
    put(&store, "b", "n");
    let holds = |range: Range, relation, wanted| {
        store
            .transact(Txn::new().when(Compare::new(range, relation, wanted)))
            .unwrap()
            .succeeded
    };
    use Relation::*;
    let three = |range: &Range, wanted: &Wanted| {
        [Less, Equal, Greater, NotEqual]
            .map(|relation| holds(range.clone(), relation, wanted.clone()))
    };
    let a = Range::key("a");
    let [less, equal, more] = [
        [true, false, false, true],
        [false, true, false, false],
        [false, false, true, true],
    ];
    assert_eq!(three(&a, &Wanted::Version(3)), less);
    assert_eq!(three(&a, &Wanted::Version(2)), equal);
    assert_eq!(three(&a, &Wanted::Version(1)), more);
    assert_eq!(three(&a, &Wanted::CreateRevision(Revision(3))), less);
    assert_eq!(three(&a, &Wanted::CreateRevision(Revision(2))), equal);
    assert_eq!(three(&a, &Wanted::ModRevision(Revision(3))), equal);
    assert_eq!(three(&a, &Wanted::ModRevision(Revision(2))), more);
    assert_eq!(three(&a, &Wanted::ModRevision(Revision(u64::MAX))), less);
    assert_eq!(three(&a, &Wanted::Value(b"z".into())), less);
    assert_eq!(three(&a, &Wanted::Value(b"m".into())), equal);
    assert_eq!(three(&a, &Wanted::Value(b"".into())), more);

    // What is not there has version and revisions 0, but no value.
    let none = Range::key("c");
    assert_eq!(three(&none, &Wanted::Version(0)), equal);
    assert_eq!(three(&none, &Wanted::ModRevision(Revision(1))), less);
    assert_eq!(three(&none, &Wanted::Value(b"".into())), [false; 4]);

    // Over a range a comparison holds if it does for all.
    let both = Range::all();
    assert_eq!(three(&both, &Wanted::Version(0)), more);
    assert_eq!(three(&both, &Wanted::Version(2)), [false; 4]);
    assert!(
        !store
            .transact(Txn::new().when(Compare::none(Range::all())))
            .unwrap()
            .succeeded
    );
    assert!(
        store
            .transact(Txn::new().when(Compare::none(Range::prefix("c"))))
            .unwrap()
            .succeeded
    );
    let all = Txn::new()
        .when(Compare::exists("a"))
        .when(Compare::absent("b"));
    assert!(!store.transact(all).unwrap().succeeded, "all must hold");
}

#[test]
fn of_two_who_compare_one_wins() {
    let (_dir, store) = fresh();
    let revision = put(&store, "a", "0");
    let wins = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|i| {
                let txn = Txn::new()
                    .when(Compare::unchanged("a", revision))
                    .then(Op::put("a", i.to_string()));
                let store = &store;
                scope.spawn(move || store.transact(txn).unwrap().succeeded)
            })
            .collect();
        tries
            .into_iter()
            .map(|t| t.join().unwrap())
            .filter(|won| *won)
            .count()
    });
    assert_eq!(wins, 1);
    assert_eq!(store.revision().unwrap(), revision.next());
}

#[test]
fn lists_have_pages_in_both_orders() {
    let (_dir, store) = fresh();
    for key in [
        "a/1",
        "a/2",
        "a/3",
        "a/4",
        "b",
        "a",
        "a0",
        "ä",
        "\u{10ffff}",
        "a/\0",
    ] {
        put(&store, key, "");
    }
    let list = List::prefix("a/");
    assert_eq!(keys(&store, &list), ["a/\0", "a/1", "a/2", "a/3", "a/4"]);
    assert_eq!(
        keys(&store, &list.clone().descending()),
        ["a/4", "a/3", "a/2", "a/1", "a/\0"]
    );
    assert_eq!(
        keys(&store, &List::new(Range::between("a/2", "a0"))),
        ["a/2", "a/3", "a/4"]
    );
    assert_eq!(keys(&store, &List::new(Range::between("b", "a"))), [""; 0]);
    assert_eq!(keys(&store, &List::new(Range::all())).len(), 10);

    for descending in [false, true] {
        let list = if descending {
            list.clone().descending()
        } else {
            list.clone()
        };
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = store
                .list(&List {
                    after,
                    ..list.clone().limit(2)
                })
                .unwrap();
            assert_eq!(page.revision, Revision(11));
            after = page.items.last().map(|kv| kv.key.clone());
            pages.extend(page.items.into_iter().map(|kv| kv.key));
            if !page.more {
                break;
            }
        }
        assert_eq!(pages, keys(&store, &list));
    }
    assert!(
        !store.list(&list.clone().limit(5)).unwrap().more,
        "exactly as many as there are"
    );
    assert_eq!(
        keys(&store, &list.clone().after("a/25")),
        ["a/3", "a/4"],
        "the key need not exist"
    );
    assert_eq!(keys(&store, &list.after("z")), [""; 0]);
}

#[test]
fn a_prefix_is_deleted_whole() {
    let (_dir, store) = fresh();
    for key in ["a", "a/1", "a/2", "b"] {
        put(&store, key, "");
    }
    let outcome = store
        .transact(Txn::new().then(Op::delete_prefix("a/")))
        .unwrap();
    assert_eq!(
        outcome,
        Outcome {
            succeeded: true,
            revision: Revision(6),
            results: vec![OpResult::Deleted(2)]
        }
    );
    assert_eq!(keys(&store, &List::new(Range::all())), ["a", "b"]);
}

#[test]
fn what_is_too_much_is_refused_and_changes_nothing() {
    let (_dir, store) = fresh();
    let refused = |txn: Txn| {
        let error = store.transact(txn).unwrap_err();
        assert_eq!(store.revision().unwrap(), Revision(1), "{error}");
        error
    };
    let long = "k".repeat(MAX_KEY + 1);
    assert!(matches!(
        refused(Txn::new().then(Op::put("", ""))),
        Error::KeyLength { bytes: 0 }
    ));
    assert!(matches!(
        refused(Txn::new().then(Op::put(&long, ""))),
        Error::KeyLength { .. }
    ));
    assert!(matches!(
        refused(Txn::new().otherwise(Op::put(&long, ""))),
        Error::KeyLength { .. }
    ));
    assert!(matches!(
        refused(Txn::new().then(Op::delete_prefix(long.repeat(2)))),
        Error::KeyLength { .. }
    ));
    assert!(matches!(
        refused(Txn::new().when(Compare::absent(long.repeat(2)))),
        Error::KeyLength { .. }
    ));
    let large = vec![0; MAX_VALUE + 1];
    assert!(matches!(
        refused(Txn::new().then(Op::put("a", large.clone()))),
        Error::ValueSize { .. }
    ));
    let compare = Compare::new(Range::key("a"), Relation::Equal, Wanted::Value(large));
    assert!(matches!(
        refused(Txn::new().when(compare)),
        Error::ValueSize { .. }
    ));

    let puts = |n: usize, bytes: usize| {
        (0..n).fold(Txn::new(), |txn, i| {
            txn.then(Op::put(format!("k{i}"), vec![b'x'; bytes]))
        })
    };
    assert!(matches!(
        refused(puts(MAX_OPERATIONS + 1, 0)),
        Error::Operations { .. }
    ));
    assert!(matches!(
        refused(puts(MAX_TRANSACTION / MAX_VALUE, MAX_VALUE)),
        Error::TransactionSize { .. }
    ));

    let twice = [
        Txn::new().then(Op::put("a/1", "")).then(Op::put("a/1", "")),
        Txn::new().then(Op::put("a/1", "")).then(Op::delete("a/1")),
        Txn::new()
            .then(Op::delete_prefix("a/"))
            .then(Op::put("a/1", "")),
        Txn::new()
            .otherwise(Op::delete_prefix(""))
            .otherwise(Op::put("a/1", "")),
    ];
    for txn in twice {
        assert!(matches!(refused(txn), Error::DuplicateKey { key } if key == "a/1"));
    }
    let fine = Txn::new()
        .then(Op::put("a", ""))
        .then(Op::delete_prefix("a/"))
        .then(Op::delete("a/1"))
        .then(Op::delete(""))
        .then(Op::Delete(Range::between("b", "a")))
        .otherwise(Op::delete("a"));
    store.transact(fine).unwrap();
    assert!(store.get(&long).is_err() || store.get(&long).unwrap().is_none());
    assert!(store.list(&List::prefix("a").after("")).is_err());
}

#[test]
fn the_largest_transaction_fits() {
    let (_dir, store) = fresh();
    let txn = (0..15).fold(Txn::new(), |txn, i| {
        txn.then(Op::put(format!("k{i}"), vec![i; MAX_VALUE]))
    });
    store.transact(txn).unwrap();
    assert_eq!(
        store.get("k14").unwrap().unwrap().value,
        vec![14; MAX_VALUE]
    );
    let txn = (0..MAX_OPERATIONS).fold(Txn::new(), |txn, i| txn.then(Op::put(format!("m{i}"), "")));
    store.transact(txn).unwrap();
    assert_eq!(
        store.list(&List::prefix("m")).unwrap().items.len(),
        MAX_OPERATIONS
    );

    // One key too many to be deleted at once.
    put(&store, "n", "");
    let range = Range::between("m", "o");
    let error = store
        .transact(Txn::new().then(Op::put("z", "")).then(Op::Delete(range)))
        .unwrap_err();
    assert!(matches!(error, Error::Changes), "{error}");
    assert_eq!(store.get("z").unwrap(), None, "nothing of it was done");
    let outcome = store
        .transact(Txn::new().then(Op::delete_prefix("m")))
        .unwrap();
    assert_eq!(outcome.results, [OpResult::Deleted(MAX_CHANGES)]);
}

/// A transaction that makes the log long.
fn large(n: u8) -> Txn {
    let puts = (0..8).map(|i| Op::put(format!("k{i}"), vec![n; 300_000]));
    puts.fold(Txn::new(), Txn::then)
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[test]
fn a_long_log_is_brought_into_the_database_soon() {
    let (_dir, store) = fresh();
    let empty = size(store.path());
    store.transact(large(1)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while size(store.path()) == empty {
        assert!(Instant::now() < deadline, "it stays in the log");
        std::thread::sleep(Duration::from_millis(10));
    }
    put(&store, "after", "it");
    assert_eq!(store.get("k7").unwrap().unwrap().value, vec![1; 300_000]);
}

#[test]
fn who_does_not_stop_to_write_makes_the_log_no_longer() {
    let (_dir, store) = fresh();
    let log = store.path().with_extension("db-wal");
    store.transact(large(0)).unwrap();
    let first = size(&log);
    assert!(first > 4 << 20, "{first}");
    for n in 1..20 {
        store.transact(large(n)).unwrap();
    }
    // Pages that go free and a state that grows make some difference.
    assert!(size(&log) < 2 * first, "{} {first}", size(&log));
    assert_eq!(store.get("k0").unwrap().unwrap().value, vec![19; 300_000]);
}

#[test]
fn a_full_store_says_so_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let options = Options {
        max_bytes: 1 << 20,
        history_revisions: 1,
        ..Options::default()
    };
    let store = Sqlite::open_with(&path, options).unwrap();
    let mut stored = 0;
    let error = loop {
        match store.transact(Txn::new().then(Op::put(format!("k{stored}"), vec![1; 10_000]))) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 105, "more than fits");
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(stored > 80, "only {stored}");
    assert_eq!(store.list(&List::prefix("k")).unwrap().items.len(), stored);
    assert_eq!(
        store.revision().unwrap(),
        Revision(1 + stored as u64),
        "the failed one left nothing"
    );
    let outcome = store
        .transact(Txn::new().then(Op::delete_prefix("k")))
        .unwrap();
    assert_eq!(outcome.results, [OpResult::Deleted(stored)]);
    put(&store, "k", &"x".repeat(100_000));
}

/// Lets transactions come one after the other while none can be committed, so that all but the first are
/// committed together.
fn at_once(store: &Sqlite, txns: Vec<Txn>) -> Vec<Result<Outcome, Error>> {
    let other = rusqlite::Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let come = |txn| {
            let thread = scope.spawn(|| store.transact(txn));
            std::thread::sleep(std::time::Duration::from_millis(10));
            thread
        };
        let waiting: Vec<_> = txns.into_iter().map(come).collect();
        std::thread::sleep(std::time::Duration::from_millis(200));
        other.execute_batch("COMMIT").unwrap();
        waiting
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn who_shares_a_commit_does_not_notice() {
    let (_dir, store) = fresh();
    let many = (0..MAX_CHANGES).fold(Txn::new(), |txn, i| {
        txn.then(Op::put(format!("many/{i}"), ""))
    });
    store.transact(many).unwrap();
    put(&store, "many/one too many", "");
    let start = store.revision().unwrap();

    // All of them put the same key; one is refused when it has begun, one changes nothing, one of two wins.
    let mut txns: Vec<_> = (0..20)
        .map(|n| Txn::new().then(Op::put("last", n.to_string())))
        .collect();
    txns.push(
        Txn::new()
            .then(Op::put("refused", ""))
            .then(Op::delete_prefix("many/")),
    );
    txns.push(Txn::new().then(Op::delete("nothing")));
    for _ in 0..2 {
        txns.push(
            Txn::new()
                .when(Compare::absent("first"))
                .then(Op::put("first", "")),
        );
    }
    let mut watch = store.watch(Range::all(), start.next()).unwrap();
    let outcomes = at_once(&store, txns);

    let mut revisions: Vec<_> = outcomes[..20]
        .iter()
        .map(|o| o.as_ref().unwrap().revision)
        .collect();
    let last = store.get("last").unwrap().unwrap();
    let winner = revisions
        .iter()
        .position(|r| *r == last.mod_revision)
        .unwrap();
    assert_eq!(last.value, winner.to_string().as_bytes());
    assert_eq!(last.version, 20);
    assert!(
        matches!(outcomes[20], Err(Error::Changes)),
        "{:?}",
        outcomes[20]
    );
    assert_eq!(store.get("refused").unwrap(), None);
    assert_eq!(
        outcomes[21].as_ref().unwrap().results,
        [OpResult::Deleted(0)]
    );
    let first: Vec<_> = outcomes[22..].iter().map(|o| o.as_ref().unwrap()).collect();
    assert!(first[0].succeeded != first[1].succeeded, "{first:?}");
    revisions.extend(first.iter().filter(|o| o.succeeded).map(|o| o.revision));

    revisions.sort_unstable();
    let all: Vec<_> = (1..=21).map(|n| Revision(start.0 + n)).collect();
    assert_eq!(revisions, all, "each has a revision of its own");
    for revision in all {
        let changes = watch.next(std::time::Duration::ZERO).unwrap().unwrap();
        assert_eq!((changes.revision, changes.events.len()), (revision, 1));
    }
}

#[test]
fn who_is_refused_leaves_nothing_to_those_who_share() {
    let (_dir, store) = fresh();
    let many = (0..MAX_CHANGES).fold(Txn::new(), |txn, i| {
        txn.then(Op::put(format!("many/{i}"), ""))
    });
    store.transact(many).unwrap();
    let refused = Txn::new()
        .then(Op::put("refused", ""))
        .then(Op::delete_prefix("many/"));
    let txns = vec![
        Txn::new().then(Op::put("a", "")),
        Txn::new().then(Op::put("b", "")),
        refused,
    ];
    let outcomes = at_once(&store, txns);
    assert_eq!(outcomes[0].as_ref().unwrap().revision, Revision(3));
    assert_eq!(outcomes[1].as_ref().unwrap().revision, Revision(4));
    assert!(
        matches!(outcomes[2], Err(Error::Changes)),
        "{:?}",
        outcomes[2]
    );
    assert_eq!(store.get("refused").unwrap(), None);
    assert_eq!(put(&store, "refused", ""), Revision(5));
}

#[test]
fn one_that_does_not_fit_leaves_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        max_bytes: 1 << 20,
        ..Options::default()
    };
    let store = Sqlite::open_with(dir.path().join("state.db"), options).unwrap();
    let mut txns: Vec<_> = (0..10)
        .map(|n| Txn::new().then(Op::put(format!("k{n}"), "x")))
        .collect();
    txns.insert(5, Txn::new().then(Op::put("large", vec![0; 1 << 20])));
    let outcomes = at_once(&store, txns);
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Err(error) => assert!(
                n == 5 && matches!(error, Error::Full { .. }),
                "{n}: {error}"
            ),
            Ok(outcome) => assert!(n != 5 && outcome.succeeded),
        }
    }
    assert_eq!(keys(&store, &List::new(Range::all())).len(), 10);
    assert_eq!(store.revision().unwrap(), Revision(11));
}
