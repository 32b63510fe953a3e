//! A process that is killed at any moment loses nothing that it acknowledged, and leaves nothing half done.
//!
//! This program starts itself again as the process that is killed: it writes with several threads, prints each
//! transaction when it is acknowledged, and makes backups all the while.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use store::{
    Compare, Error, KeyValue, List, Op, Options, Range, Relation, Revision, Sqlite, Store, Txn,
    Wanted, restore,
};

const CHILD: &str = "STORE_CRASH_DIRECTORY";
const WRITERS: u64 = 3;
/// Each writer keeps its last so many items.
const ITEMS: u64 = 10;
const LONG: Duration = Duration::from_secs(12);

fn options() -> Options {
    Options {
        history_revisions: 300,
        ..Options::default()
    }
}

/// The n-th item of a writer: of all sizes, up to some pages, and now and then so large that the log becomes long.
fn item(writer: u64, n: u64) -> Vec<u8> {
    let mut random = Random(writer << 32 | n);
    let size = random.next() as usize % 10_000;
    let byte = random.next() as u8;
    let size = match n {
        n if n.is_multiple_of(64) => size * 100,
        n if n.is_multiple_of(4) => size,
        _ => size % 200,
    };
    vec![byte; size]
}

/// The n-th transaction of a writer. It is refused unless the one before it is the last that was done.
fn transaction(writer: u64, n: u64) -> Txn {
    let count = format!("count/{writer}");
    let before = match n {
        1 => Compare::absent(&count),
        _ => Compare::new(
            Range::key(&count),
            Relation::Equal,
            Wanted::Value((n - 1).to_string().into()),
        ),
    };
    Txn::new()
        .when(before)
        .then(Op::put(count, n.to_string()))
        .then(Op::put(format!("item/{writer}/{n:09}"), item(writer, n)))
        .then(Op::delete(format!(
            "item/{writer}/{:09}",
            n.saturating_sub(ITEMS)
        )))
}

/// How far a writer has come, and the revision of its last transaction.
fn count(store: &Sqlite, writer: u64) -> (u64, Revision) {
    match store.get(&format!("count/{writer}")).unwrap() {
        Some(kv) => (
            String::from_utf8(kv.value).unwrap().parse().unwrap(),
            kv.mod_revision,
        ),
        None => (0, Revision(0)),
    }
}

/// Not a test by itself: the process that is killed.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD) else {
        return;
    };
    let directory = Path::new(&directory);
    let store = Sqlite::open_with(directory.join("state.db"), options()).unwrap();
    println!("open");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for n in count(store, writer).0 + 1.. {
                    let outcome = store.transact(transaction(writer, n)).unwrap();
                    assert!(outcome.succeeded);
                    println!("done {writer} {n} {}", outcome.revision);
                }
            });
        }
        scope.spawn(|| {
            loop {
                store.backup(directory.join("backup.db")).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
    });
}

/// Checks that the store is as after some whole transactions of each writer; returns how many.
fn whole_transactions(store: &Sqlite) -> Vec<(u64, Revision)> {
    let counts: Vec<_> = (0..WRITERS).map(|writer| count(store, writer)).collect();
    for (writer, &(n, revision)) in (0..).zip(&counts) {
        let page = store
            .list(&List::prefix(format!("item/{writer}/")))
            .unwrap();
        let expected = (1.max((n + 1).saturating_sub(ITEMS))..=n)
            .map(|i| (format!("item/{writer}/{i:09}"), item(writer, i)));
        let found = page
            .items
            .iter()
            .map(|kv: &KeyValue| (kv.key.clone(), kv.value.clone()));
        assert!(
            found.eq(expected),
            "writer {writer} at {n}: {:?}",
            page.items
        );
        assert!(
            page.items
                .iter()
                .all(|kv| kv.version == 1 && kv.mod_revision <= revision)
        );
        assert_eq!(
            page.items.last().map_or(Revision(0), |kv| kv.mod_revision),
            revision
        );
    }
    let sum: u64 = counts.iter().map(|(n, _)| n).sum();
    let now = store.revision().unwrap();
    assert_eq!(now, Revision(1 + sum), "each transaction has one revision");

    // The history is there without a gap.
    let (mut watch, oldest) = match store.watch(Range::all(), Revision(1)) {
        Ok(watch) => (watch, Revision(2)),
        Err(Error::Compacted { oldest, .. }) => {
            (store.watch(Range::all(), oldest).unwrap(), oldest)
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(
        oldest,
        Revision(2.max((now.0 + 1).saturating_sub(options().history_revisions)))
    );
    for revision in oldest.0..=now.0 {
        let changes = watch.next(Duration::ZERO).unwrap().unwrap();
        assert_eq!(changes.revision, Revision(revision));
        assert!((2..=3).contains(&changes.events.len()));
    }
    assert_eq!(watch.next(Duration::ZERO).unwrap(), None);
    counts
}

#[test]
fn nothing_acknowledged_is_lost() {
    let mut random = Random(u64::from(std::process::id()));
    let seed = random.0;
    let start = Instant::now();
    let mut directory = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![(0, Revision(0)); WRITERS as usize];
    let (mut rounds, mut total, mut backups) = (0, 0, 0);
    while start.elapsed() < LONG {
        // Now and then from nothing, so that the making of a store is interrupted, too.
        if rounds % 6 == 5 {
            directory = tempfile::tempdir().unwrap();
            acknowledged.fill((0, Revision(0)));
        }
        let life =
            Duration::from_micros(random.next() % if rounds % 6 == 5 { 30_000 } else { 400_000 });
        let before: u64 = acknowledged.iter().map(|(n, _)| n).sum();
        live_and_die(directory.path(), life, &mut acknowledged);
        total += acknowledged.iter().map(|(n, _)| n).sum::<u64>() - before;

        let store = Sqlite::open_with(directory.path().join("state.db"), options()).unwrap();
        let found = whole_transactions(&store);
        for (found, acknowledged) in found.iter().zip(&acknowledged) {
            // What was under way may have been done.
            assert!(
                (acknowledged.0..=acknowledged.0 + 1).contains(&found.0),
                "seed {seed}: {found:?} {acknowledged:?}"
            );
            assert!(
                found.0 > acknowledged.0 || found.1 == acknowledged.1,
                "seed {seed}: {found:?} {acknowledged:?}"
            );
        }
        acknowledged = found;

        let backup = directory.path().join("backup.db");
        if backup.exists() {
            let copy = directory.path().join("copy.db");
            restore(&backup, &copy).unwrap();
            whole_transactions(&Sqlite::open_with(&copy, options()).unwrap());
            backups += 1;
        }
        for entry in directory.path().read_dir().unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().ends_with(".partial") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        rounds += 1;
    }
    println!("{rounds} kills, {total} transactions acknowledged, {backups} backups");
    assert!(
        rounds >= 10 && total >= 100 && backups > 0,
        "{rounds} {total} {backups}"
    );
}

/// Starts the process, kills it after its time, and notes what it has acknowledged.
fn live_and_die(directory: &Path, life: Duration, acknowledged: &mut [(u64, Revision)]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = thread::spawn(move || {
        output
            .split(b'\n')
            .map(|line| String::from_utf8(line.unwrap()).unwrap())
            .collect::<Vec<_>>()
    });
    thread::sleep(life);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut complaint = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaint)
        .unwrap();
    assert_eq!(status.signal(), Some(9), "it ended by itself: {complaint}");
    // A line is written in one piece, and the kernel keeps what was written.
    for line in reader.join().unwrap() {
        if let Some(done) = line.strip_prefix("done ") {
            let numbers: Vec<u64> = done.split(' ').map(|n| n.parse().unwrap()).collect();
            let last = &mut acknowledged[numbers[0] as usize];
            assert_eq!(numbers[1], last.0 + 1);
            *last = (numbers[1], Revision(numbers[2]));
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
