//! The store's files: whose they are, one owner at a time, backups and the way back.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;

use rusqlite::Connection;
use store::{Error, List, Op, Options, Range, Revision, Sqlite, Store, Txn, restore};
use tempfile::TempDir;

const CHILD: &str = "STORE_OTHER_PROCESS";
const SMALL: &str = "STORE_SMALL_FILE_SYSTEM";

/// Held by tests: as writers by those that start programs. A process has, for a moment until it is another program, all
/// locks of the one that starts it, and a test that closes its store and opens it again would find it locked.
static TURN: RwLock<()> = RwLock::new(());

/// A directory for a test that starts no program.
fn place() -> (TempDir, RwLockReadGuard<'static, ()>) {
    let turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
    (tempfile::tempdir().unwrap(), turn)
}

/// A directory for a test that does.
fn place_alone() -> (TempDir, RwLockWriteGuard<'static, ()>) {
    let turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
    (tempfile::tempdir().unwrap(), turn)
}

fn put(store: &Sqlite, key: &str, value: &str) -> Revision {
    store
        .transact(Txn::new().then(Op::put(key, value)))
        .unwrap()
        .revision
}

fn value(path: &Path, key: &str) -> Option<String> {
    let kv = Sqlite::open(path).unwrap().get(key).unwrap()?;
    Some(String::from_utf8(kv.value).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = directory
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn only_the_owner_may_read() {
    let (dir, _turn) = place();
    let directory = dir.path().join("a/b");
    let path = directory.join("state.db");
    let store = Sqlite::open(&path).unwrap();
    put(&store, "secret", "x");
    assert_eq!([mode(&dir.path().join("a")), mode(&directory)], [0o700; 2]);
    assert_eq!(
        names(&directory),
        ["state.db", "state.db-shm", "state.db-wal", "state.db.lock"]
    );
    for name in names(&directory) {
        assert_eq!(mode(&directory.join(&name)), 0o600, "{name}");
    }
    drop(store);
    assert_eq!(
        names(&directory),
        ["state.db", "state.db.lock"],
        "the log is in the database"
    );

    // What was opened up is closed again; a directory that was there is left as it is.
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(mode(&directory), 0o755);
    for name in names(&directory) {
        assert_eq!(mode(&directory.join(&name)), 0o600, "{name}");
    }
    assert_eq!(store.path(), fs::canonicalize(&path).unwrap());
    assert!(store.get("secret").unwrap().is_some());
}

#[test]
fn what_cannot_be_is_an_error() {
    let (dir, _turn) = place();
    fs::write(dir.path().join("file"), "x").unwrap();
    for path in [
        dir.path().join("file/state.db"),
        dir.path().to_owned(),
        "".into(),
    ] {
        let error = Sqlite::open(&path).err().unwrap();
        assert!(
            matches!(error, Error::Io { .. }),
            "{}: {error}",
            path.display()
        );
    }
}

/// Not a test by itself: fills a small file system.
#[test]
fn filler() {
    let Some(directory) = std::env::var_os(SMALL) else {
        return;
    };
    let directory = Path::new(&directory);
    let (path, ballast) = (directory.join("state.db"), directory.join("ballast"));
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let store = Sqlite::open(&path).unwrap();
    let fill = |from: usize| {
        for n in from.. {
            match store.transact(Txn::new().then(Op::put(format!("k{n:05}"), vec![n as u8; 5_000])))
            {
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(error, Error::Full { .. }), "{error}");
                    return n;
                }
            }
        }
        unreachable!()
    };
    let fitted = fill(0);
    assert!(fitted > 20, "{fitted}");
    assert!(matches!(
        store.backup(directory.join("backup.db")),
        Err(Error::Full { .. })
    ));
    fs::remove_file(&ballast).unwrap();
    let more = fill(fitted);
    assert!(
        more > fitted,
        "{more}, {fitted} before: with more room it goes on"
    );
    assert_eq!(
        names(directory),
        ["state.db", "state.db-shm", "state.db-wal", "state.db.lock"]
    );

    let before = store.list(&List::new(Range::all())).unwrap();
    assert_eq!(before.items.len(), more);
    drop(store);
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.list(&List::new(Range::all())).unwrap(), before);
    println!("filled");
}

/// On a file system of 4 MiB, where one may mount one: as root, or in a user namespace.
#[test]
fn a_full_disk_is_no_more_than_that() {
    let (dir, _turn) = place_alone();
    let run = "mount -t tmpfs -o size=4m none \"$0\" || exit 77
               exec \"$1\" --exact filler --nocapture";
    for namespaces in [&["--mount"][..], &["--mount", "--user", "--map-root-user"]] {
        let filler = Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c", run])
            .arg(dir.path())
            .arg(std::env::current_exe().unwrap())
            .env(SMALL, dir.path())
            .output();
        let Ok(filler) = filler else { break };
        let told = [filler.stdout, filler.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        if told.contains("running 1 test") {
            assert!(filler.status.success() && told.contains("filled"), "{told}");
            return;
        }
    }
    println!("skipped: no file system can be mounted here");
}

/// Not a test by itself: another process that tries to open the store.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let error = Sqlite::open(Path::new(&path)).err().unwrap();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    let error = restore(
        Path::new(&path).with_file_name("backup.db"),
        Path::new(&path),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    println!("refused");
}

#[test]
fn one_at_a_time_has_it() {
    let (dir, _turn) = place_alone();
    let path = dir.path().join("state.db");
    let store = Sqlite::open(&path).unwrap();
    put(&store, "a", "1");
    store.backup(dir.path().join("backup.db")).unwrap();

    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    assert!(
        other.status.success(),
        "{}",
        String::from_utf8_lossy(&other.stderr)
    );
    assert!(String::from_utf8_lossy(&other.stdout).contains("refused"));

    // Nor does another name help.
    let link = dir.path().join("link.db");
    symlink("state.db", &link).unwrap();
    for path in [&path, &link, &dir.path().join("./state.db")] {
        let error = Sqlite::open(path).err().unwrap();
        assert!(matches!(error, Error::Locked { .. }), "{error}");
    }
    put(&store, "a", "2");
    drop(store);
    assert_eq!(value(&link, "a").as_deref(), Some("2"));
}

#[test]
fn another_program_that_writes_is_waited_for() {
    let (dir, _turn) = place();
    let path = dir.path().join("state.db");
    let store = Sqlite::open(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| put(&store, "a", "1"));
        thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(store.get("a").unwrap(), None, "reading goes on");
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(writer.join().unwrap(), Revision(2));
    });
}

/// Tells threads to end when it is dropped, also by a failure, which would wait for them otherwise.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_is_of_one_moment_while_others_write() {
    let (dir, _turn) = place();
    let store = Sqlite::open(dir.path().join("state.db")).unwrap();
    let (store, stop) = (&store, &AtomicBool::new(false));
    let large = "x".repeat(20_000);
    let mut last = Revision(0);
    thread::scope(|scope| {
        for writer in 0..2 {
            let large = &large;
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let puts = Txn::new()
                        .then(Op::put(
                            format!("left/{writer}/{}", n % 30),
                            format!("{n} {large}"),
                        ))
                        .then(Op::put(
                            format!("right/{writer}/{}", n % 30),
                            format!("{n} {large}"),
                        ));
                    store.transact(puts).unwrap();
                }
            });
        }
        let _end = Stop(stop);
        for n in 0..12 {
            // On a busy machine nobody may have got to writing since.
            while n > 0 && store.revision().unwrap() == last {
                thread::yield_now();
            }
            let path = dir.path().join(format!("{}.db", n % 3));
            let before = store.revision().unwrap();
            store.backup(&path).unwrap();
            let after = store.revision().unwrap();
            assert_eq!(mode(&path), 0o600);
            assert!(!path.with_extension("db-wal").exists());

            let copy = Sqlite::open(&path).unwrap();
            let page = copy.list(&List::new(Range::all())).unwrap();
            assert!((before..=after).contains(&page.revision));
            assert!(
                page.revision > last || n == 0,
                "the backup of another moment"
            );
            last = page.revision;
            let (left, right) = page.items.split_at(page.items.len() / 2);
            assert!(
                left.iter()
                    .map(|kv| &kv.value)
                    .eq(right.iter().map(|kv| &kv.value))
            );
            put(&copy, "left", "it is a store like any other");
        }
    });
}

#[test]
fn a_backup_that_fails_leaves_what_was_there() {
    let (dir, _turn) = place();
    let path = dir.path().join("state.db");
    let store = Sqlite::open(&path).unwrap();
    put(&store, "a", "1");
    let link = dir.path().join("link");
    symlink("state.db", &link).unwrap();
    for own in [
        &path,
        &link,
        &dir.path().join("state.db-wal"),
        &dir.path().join("state.db.lock"),
    ] {
        let error = store.backup(own).unwrap_err();
        assert!(error.to_string().contains("the store itself"), "{error}");
    }
    let before = names(dir.path());
    assert!(matches!(
        store.backup(dir.path().join("none/backup.db")),
        Err(Error::Io { .. })
    ));
    fs::create_dir(dir.path().join("directory")).unwrap();
    assert!(matches!(
        store.backup(dir.path().join("directory")),
        Err(Error::Io { .. })
    ));
    fs::remove_dir(dir.path().join("directory")).unwrap();
    // What is no file stays what it is: a device is not to be had back.
    let socket = dir.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = store.backup(&socket).unwrap_err();
    assert!(error.to_string().contains("is no file"), "{error}");
    fs::remove_file(socket).unwrap();
    assert_eq!(names(dir.path()), before, "nothing is left behind");
    put(&store, "a", "2");
    assert_eq!(store.get("a").unwrap().unwrap().value, b"2");
}

#[test]
fn restore_brings_back_what_was_saved() {
    let (dir, _turn) = place();
    let (path, backup) = (dir.path().join("state.db"), dir.path().join("backup.db"));
    let store = Sqlite::open(&path).unwrap();
    put(&store, "a", "saved");
    store.backup(&backup).unwrap();
    put(&store, "a", "changed");
    put(&store, "b", "later");
    assert!(
        matches!(restore(&backup, &path), Err(Error::Locked { .. })),
        "it is in use"
    );
    // As a kill would leave it, with a log that belongs to the old database.
    let log = fs::read(dir.path().join("state.db-wal")).unwrap();
    let database = fs::read(&path).unwrap();
    drop(store);
    fs::write(&path, &database).unwrap();
    fs::write(dir.path().join("state.db-wal"), &log).unwrap();

    restore(&backup, &path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.revision().unwrap(), Revision(2));
    assert_eq!(store.get("a").unwrap().unwrap().value, b"saved");
    assert_eq!(store.get("b").unwrap(), None);
    put(&store, "a", "goes on");
    drop(store);

    // A damaged store can be replaced, and one that is not there made.
    fs::write(&path, vec![7; 30_000]).unwrap();
    fs::write(dir.path().join("state.db-wal"), &log).unwrap();
    restore(&backup, &path).unwrap();
    assert_eq!(value(&path, "a").as_deref(), Some("saved"));
    let new = dir.path().join("new/place/state.db");
    restore(&backup, &new).unwrap();
    assert_eq!(value(&new, "a").as_deref(), Some("saved"));
    assert!(
        !names(dir.path())
            .iter()
            .any(|name| name.ends_with(".partial"))
    );
}

#[test]
fn a_bad_backup_is_refused_before_anything_is_lost() {
    let (dir, _turn) = place();
    let (path, good, bad) = (
        dir.path().join("state.db"),
        dir.path().join("good.db"),
        dir.path().join("bad.db"),
    );
    let store = Sqlite::open(&path).unwrap();
    for n in 0..50 {
        put(&store, &format!("key/{n}"), &"value".repeat(300));
    }
    store.backup(&good).unwrap();
    put(&store, "a", "kept");
    drop(store);

    let refuses = |expected: fn(&Error) -> bool| {
        let error = restore(&bad, &path).unwrap_err();
        assert!(expected(&error), "{error}");
        assert_eq!(value(&path, "a").as_deref(), Some("kept"));
    };
    refuses(|e| e.to_string().contains("there is no such file"));
    fs::write(&bad, "").unwrap();
    refuses(|e| matches!(e, Error::Damaged { .. }));
    let whole = fs::read(&good).unwrap();
    for length in [
        100,
        4096,
        whole.len() / 2,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        fs::write(&bad, &whole[..length]).unwrap();
        refuses(|e| matches!(e, Error::Damaged { .. }));
    }
    // A table that lost its index.
    fs::write(&bad, &whole).unwrap();
    let connection = Connection::open(&bad).unwrap();
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'UNIQUE', '') WHERE name = 'kv';
             DELETE FROM sqlite_schema WHERE name LIKE 'sqlite_autoindex_kv%';
             PRAGMA writable_schema = RESET;",
        )
        .unwrap();
    drop(connection);
    refuses(|e| matches!(e, Error::Damaged { .. }));
    fs::remove_file(&bad).unwrap();
    Connection::open(&bad)
        .unwrap()
        .execute_batch("CREATE TABLE notes (text TEXT)")
        .unwrap();
    refuses(|e| matches!(e, Error::NotAStore { .. }));
    fs::write(&bad, &whole).unwrap();
    Connection::open(&bad)
        .unwrap()
        .pragma_update(None, "user_version", 9)
        .unwrap();
    refuses(|e| matches!(e, Error::Newer { found: 9, .. }));

    let error = restore(&path, &path).unwrap_err();
    assert!(error.to_string().contains("the store itself"), "{error}");
    assert_eq!(value(&path, "a").as_deref(), Some("kept"));
}

#[test]
fn limits_may_change_between_two_lives() {
    let (dir, _turn) = place();
    let path = dir.path().join("state.db");
    let store = Sqlite::open(&path).unwrap();
    for n in 0..50 {
        put(&store, "a", &n.to_string());
    }
    drop(store);
    let options = Options {
        history_revisions: 5,
        max_bytes: 1,
        ..Options::default()
    };
    let store = Sqlite::open_with(&path, options).unwrap();
    assert!(
        store.watch(Range::all(), Revision(1)).is_ok(),
        "until the next transaction"
    );
    put(&store, "a", "fits into what is there");
    let error = store.watch(Range::all(), Revision(1)).err().unwrap();
    assert!(
        matches!(
            error,
            Error::Compacted {
                oldest: Revision(48),
                ..
            }
        ),
        "{error}"
    );
    let error = store
        .transact(Txn::new().then(Op::put("b", vec![0; 500_000])))
        .unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
}
