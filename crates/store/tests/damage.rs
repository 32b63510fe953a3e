//! Files that are torn, garbled, missing or foreign: an error that says so or an earlier state, whole; no panic.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::{Error, KeyValue, List, Op, Range, Revision, Sqlite, Store, Txn};
use tempfile::TempDir;

/// What a store had in it at each revision, and its files as a crash would have left them.
struct Image {
    states: Vec<Vec<KeyValue>>,
    database: Vec<u8>,
    log: Vec<u8>,
    /// The revision that is in the database without its log.
    settled: Revision,
}

impl Image {
    fn new() -> Image {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let mut states = vec![Vec::new(); 2];
        let mut write = |store: &Sqlite, part| {
            for n in 0..40 {
                store.transact(transaction(part, n)).unwrap();
                states.push(store.list(&List::new(Range::all())).unwrap().items);
            }
        };
        write(&Sqlite::open(&path).unwrap(), 0);
        let store = Sqlite::open(&path).unwrap();
        let settled = store.revision().unwrap();
        write(&store, 1);
        let read = |suffix| fs::read(with(&path, suffix)).unwrap();
        let (database, log) = (read(""), read("-wal"));
        assert!(log.len() > 100_000, "{}", log.len());
        Image {
            states,
            database,
            log,
            settled,
        }
    }

    fn restore(&self, database: &[u8], log: &[u8]) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let path = dir.path().join("state.db");
        fs::write(&path, database).unwrap();
        fs::write(with(&path, "-wal"), log).unwrap();
        (dir, path)
    }

    /// Finds the state of some revision, exactly; returns which.
    fn is_consistent(&self, store: &Sqlite) -> Revision {
        self.compare(store).unwrap()
    }

    fn compare(&self, store: &Sqlite) -> Result<Revision, Error> {
        let page = store.list(&List::new(Range::all()))?;
        assert_eq!(page.items, self.states[page.revision.0 as usize]);
        let mut watch = store.watch(Range::all(), Revision(1))?;
        for revision in 2..=page.revision.0 {
            let changes = watch.next(Default::default())?.unwrap();
            assert_eq!(changes.revision, Revision(revision));
        }
        Ok(page.revision)
    }
}

/// A transaction with a put or two, and a deletion in two of three.
fn transaction(part: u32, n: u32) -> Txn {
    let txn = Txn::new()
        .then(Op::put(
            format!("part/{part}/{:02}", n % 16),
            vec![n as u8; (n * 97 % 3000) as usize],
        ))
        .then(Op::put("last", format!("{part} {n}")));
    match n % 3 {
        0 => txn,
        _ => txn.then(Op::delete(format!("part/0/{:02}", (n + 5) % 16))),
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn last(image: &Image) -> Revision {
    Revision(image.states.len() as u64 - 1)
}

#[test]
fn a_torn_log_gives_an_earlier_state() {
    let image = Image::new();
    let mut found = Vec::new();
    let mut lengths: Vec<usize> = (0..image.log.len()).step_by(2_711).collect();
    // Around the borders of frames, too.
    lengths.extend(
        (0..20).flat_map(|i| [-1isize, 0, 1].map(|d| (32 + i * 4 * 4120isize + d) as usize)),
    );
    lengths.push(image.log.len());
    lengths.sort_unstable();
    for length in lengths {
        let (_dir, path) = image.restore(&image.database, &image.log[..length]);
        let store = Sqlite::open(&path).unwrap();
        found.push(image.is_consistent(&store));
        // It goes on from there.
        let next = store
            .transact(Txn::new().then(Op::put("more", "")))
            .unwrap()
            .revision;
        assert_eq!(next, found[found.len() - 1].next());
    }
    assert!(
        found.is_sorted(),
        "a longer log never gives less: {found:?}"
    );
    assert_eq!(found[0], image.settled);
    assert_eq!(found[found.len() - 1], last(&image));
    found.dedup();
    assert!(found.len() > 20, "{found:?}");
}

#[test]
fn a_garbled_log_gives_an_earlier_state() {
    let image = Image::new();
    let mut found = Vec::new();
    for i in 0..120 {
        let mut log = image.log.clone();
        let at = i * 7_919 % log.len();
        let end = log.len().min(at + 1 + i * 13 % 600);
        for (n, byte) in log[at..end].iter_mut().enumerate() {
            *byte ^= (n as u8).wrapping_mul(37) | 1;
        }
        let (_dir, path) = image.restore(&image.database, &log);
        found.push(image.is_consistent(&Sqlite::open(&path).unwrap()));
    }
    found.sort();
    found.dedup();
    assert!(found.len() > 20, "{found:?}");

    for log in [
        vec![0; 50_000],
        vec![0xa5; 50_000],
        image.database.clone(),
        image.log[32..].to_vec(),
    ] {
        let (_dir, path) = image.restore(&image.database, &log);
        assert_eq!(
            image.is_consistent(&Sqlite::open(&path).unwrap()),
            image.settled
        );
    }
    // The file that SQLite shares memory by is made anew at the start, whatever is in it.
    let (_dir, path) = image.restore(&image.database, &image.log);
    fs::write(with(&path, "-shm"), vec![0x5a; 32_768]).unwrap();
    assert_eq!(
        image.is_consistent(&Sqlite::open(&path).unwrap()),
        last(&image)
    );
}

/// Does what can be done with a store; only `Damaged` may come of it.
fn use_it(store: &Sqlite) -> Result<(), Error> {
    let page = store.list(&List::new(Range::all()))?;
    store.list(&List::new(Range::all()).descending().limit(7))?;
    match store.watch(Range::all(), Revision(1)) {
        Ok(mut watch) => while watch.next(Default::default())?.is_some() {},
        Err(Error::Compacted { .. }) => {}
        Err(error) => return Err(error),
    }
    for kv in page.items {
        store.transact(Txn::new().then(Op::put(kv.key, kv.value)))?;
    }
    store.transact(Txn::new().then(Op::delete_prefix("")))?;
    store.compact(store.revision()?)
}

fn refused(error: &Error) -> bool {
    matches!(
        error,
        Error::Damaged { .. } | Error::NotAStore { .. } | Error::Newer { .. }
    )
}

#[test]
fn a_truncated_database_is_refused_or_whole() {
    let image = Image::new();
    // A database without a log must be whole. With one, the log may make up for what is missing.
    for log in [&[][..], &image.log] {
        let mut whole = 0;
        for length in (0..image.database.len()).step_by(1_531) {
            let (_dir, path) = image.restore(&image.database[..length], log);
            match Sqlite::open(&path).and_then(|store| image.compare(&store)) {
                Ok(_) => whole += 1,
                Err(Error::Damaged { .. } | Error::NotAStore { .. }) => {}
                Err(error) => panic!("{length}: {error}"),
            }
        }
        assert!(whole == 0 || !log.is_empty(), "{whole} taken for whole");
    }
}

#[test]
fn a_garbled_database_never_panics() {
    let image = Image::new();
    let (mut refusals, mut later) = (0, 0);
    for i in 0..400 {
        let mut database = image.database.clone();
        // Half of them near the start of a page, where its structure is.
        let at = match i % 2 {
            0 => i * 65_537 % database.len(),
            _ => (i * 31 % (database.len() / 4096)) * 4096 + i % 40,
        };
        let end = database.len().min(at + 1 + i * i % 64);
        for (n, byte) in database[at..end].iter_mut().enumerate() {
            *byte = byte.wrapping_add((n * 89 + i) as u8 | 1);
        }
        let (_dir, path) = image.restore(&database, &[]);
        match Sqlite::open(&path) {
            Ok(store) => {
                if let Err(error) = use_it(&store) {
                    assert!(refused(&error), "{i}: {error}");
                    later += 1;
                }
            }
            Err(error) => {
                assert!(refused(&error), "{i}: {error}");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 40, "{refusals} refused, {later} noticed later");
}

#[test]
fn what_sqlite_cannot_see_is_seen() {
    let image = Image::new();
    for sql in [
        "DELETE FROM state",
        "UPDATE state SET revision = 3, oldest = 1",
        "UPDATE state SET oldest = 5",
        "UPDATE event SET revision = 100000 WHERE revision = 7",
        "DROP TABLE event",
        "DROP TABLE state",
    ] {
        let (_dir, path) = image.restore(&image.database, &[]);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let error = Sqlite::open(&path)
            .err()
            .unwrap_or_else(|| panic!("{sql} was not noticed"));
        assert!(matches!(error, Error::Damaged { .. }), "{sql}: {error}");
    }
    // A key that is no text is found when it is read.
    let (_dir, path) = image.restore(&image.database, &[]);
    Connection::open(&path)
        .unwrap()
        .execute(
            "UPDATE kv SET key = x'ff' WHERE key = CAST('last' AS BLOB)",
            [],
        )
        .unwrap();
    let store = Sqlite::open(&path).unwrap();
    assert!(store.list(&List::prefix("part/")).is_ok());
    // Beyond every range, since no text is there.
    assert!(store.list(&List::new(Range::all())).is_ok());
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE kv SET key = x'61ff' WHERE key = x'ff'", [])
        .unwrap();
    let error = store.list(&List::new(Range::all())).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn what_is_missing_is_not_made_anew() {
    let image = Image::new();
    let (_dir, path) = image.restore(b"", &[]);
    assert!(
        matches!(Sqlite::open(&path), Err(Error::Damaged { .. })),
        "an empty file"
    );
    let (_dir, path) = image.restore(b"", &image.log);
    assert!(
        matches!(Sqlite::open(&path), Err(Error::Damaged { .. })),
        "an empty file with a log"
    );
    fs::remove_file(&path).unwrap();
    assert!(
        matches!(Sqlite::open(&path), Err(Error::Damaged { .. })),
        "a log alone"
    );
    assert_eq!(
        fs::read(with(&path, "-wal")).unwrap(),
        image.log,
        "and it is still there"
    );
}

#[test]
fn what_is_not_ours_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.db");
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('x');")
        .unwrap();
    drop(other);
    let image = || {
        (
            fs::read(&path).unwrap(),
            fs::metadata(&path).unwrap().permissions(),
        )
    };
    let before = image();
    let error = Sqlite::open(&path).err().unwrap();
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");
    assert_eq!(image(), before);

    for content in [&b"hello"[..], &[b'#'; 9000]] {
        fs::write(&path, content).unwrap();
        let error = Sqlite::open(&path).err().unwrap();
        assert!(refused(&error), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn what_is_newer_is_refused() {
    let image = Image::new();
    let (_dir, path) = image.restore(&image.database, &[]);
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 2)
        .unwrap();
    let before = fs::read(&path).unwrap();
    let error = Sqlite::open(&path).err().unwrap();
    assert!(
        matches!(
            error,
            Error::Newer {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("format 2"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}
