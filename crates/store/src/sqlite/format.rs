//! What is in the database, how it came there, and whether it still is.
//!
//! `application_id` says whose database it is, `user_version` in which format. Each format has a step that
//! makes it out of the one before; the first makes it out of nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{Fault, files};
use crate::Error;

/// "SLUI".
const APPLICATION: u32 = 0x534c_5549;

/// Brings a database from the format of its number to the next.
type Step = fn(&Connection) -> rusqlite::Result<()>;

const STEPS: &[Step] = &[first];

/// How long to wait for another program that reads the database, say a person with `sqlite3`.
const PATIENCE: Duration = Duration::from_secs(5);

/// Format 1.
///
/// `kv` is the present; `event` the past: what each revision put (value not null) or deleted; `state` has one
/// row. Keys are blobs since SQLite orders those by their bytes, whatever is in them.
fn first(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE state (
             id INTEGER PRIMARY KEY CHECK (id = 1),
             revision INTEGER NOT NULL CHECK (revision >= oldest),
             oldest INTEGER NOT NULL CHECK (oldest >= 1),
             history_bytes INTEGER NOT NULL CHECK (history_bytes >= 0)
         ) STRICT;
         INSERT INTO state VALUES (1, 1, 1, 0);
         CREATE TABLE kv (
             key BLOB NOT NULL UNIQUE,
             value BLOB NOT NULL,
             create_revision INTEGER NOT NULL,
             mod_revision INTEGER NOT NULL,
             version INTEGER NOT NULL
         ) STRICT;
         CREATE TABLE event (
             revision INTEGER NOT NULL,
             position INTEGER NOT NULL,
             key BLOB NOT NULL,
             value BLOB,
             create_revision INTEGER NOT NULL,
             version INTEGER NOT NULL,
             PRIMARY KEY (revision, position)
         ) STRICT, WITHOUT ROWID;",
    )
}

/// Makes a new database. It comes into its place when it is whole, so an empty file is never one of ours.
pub fn create(path: &Path) -> Result<(), Error> {
    let draft = files::draft(path)?;
    let make = || {
        let mut connection =
            Connection::open_with_flags(draft.path(), flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
        // One reader at a time: no second file until it is in use.
        connection.pragma_update(None, "journal_mode", "MEMORY")?;
        migrate(&mut connection, STEPS)
    };
    make().map_err(|fault: Fault| fault.at(path, "make a database in"))?;
    files::place(draft, path)
}

/// Opens the database for writing, checked and in the newest format.
pub fn open(path: &Path, max_bytes: u64) -> Result<Connection, Error> {
    open_as(path, max_bytes, STEPS)
}

fn open_as(path: &Path, max_bytes: u64, steps: &[Step]) -> Result<Connection, Error> {
    let prepare = || {
        let alone = is_alone(path)?;
        let mut connection =
            Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
        settle(&connection)?;
        // Nothing is written before it is known to be ours, and whole.
        identify(&connection, path, steps)?;
        if alone {
            check_length(&connection, path)?;
        }
        check(&connection, "quick_check")?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            let problem = "the file system cannot share memory, which SQLite's log needs";
            let source = std::io::Error::new(std::io::ErrorKind::Unsupported, problem);
            return Err(Error::io(path, "open", source).into());
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // The log shrinks again after a large transaction.
        connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
        // A large transaction stays in memory until it is whole: what is put into the log early is written and read
        // several times. Afterwards the cache is as large as before.
        connection.pragma_update(None, "cache_spill", false)?;
        // SQLite knows fewer pages than u32 has numbers, and takes what is too large as its own most.
        let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = (max_bytes / u64::from(page.max(1))).clamp(1, u64::from(u32::MAX >> 1));
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        migrate(&mut connection, steps)?;
        check_content(&connection)?;
        Ok(connection)
    };
    prepare().map_err(|fault: Fault| fault.at(path, "open"))
}

/// A connection that only reads.
pub fn open_reader(path: &Path) -> Result<Connection, Fault> {
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    settle(&connection)?;
    Ok(connection)
}

/// Opens a database that may be older than this program and checks it thoroughly, without changing it.
pub fn open_copy(path: &Path) -> Result<Connection, Fault> {
    let alone = is_alone(path)?;
    let connection = open_reader(path)?;
    let found = identify(&connection, path, STEPS)?;
    if alone {
        check_length(&connection, path)?;
    }
    check(&connection, "integrity_check")?;
    // What is older is brought up to date and checked when it is opened for use.
    if found as usize == STEPS.len() {
        check_content(&connection)?;
    }
    Ok(connection)
}

/// Each connection is used by one thread at a time, so SQLite's own mutexes would only cost time.
fn flags(access: OpenFlags) -> OpenFlags {
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(64);
    // The file may be hostile: no functions from its schema, no trust in its pages.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Whether the database is ours and not from the future; returns its format.
fn identify(connection: &Connection, path: &Path, steps: &[Step]) -> Result<u32, Fault> {
    let application: u32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION {
        return Err(Error::NotAStore {
            path: path.to_owned(),
        }
        .into());
    }
    let found = format(connection)?;
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(Error::Newer {
            path: path.to_owned(),
            found,
            known,
        }
        .into());
    }
    Ok(found)
}

fn format(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Takes all steps that are missing, in one transaction.
fn migrate(connection: &mut Connection, steps: &[Step]) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = format(&transaction)?;
    let Some(missing) = steps
        .get(found as usize..)
        .filter(|missing| !missing.is_empty())
    else {
        return Ok(transaction.rollback()?);
    };
    for step in missing {
        step(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", steps.len() as u32)?;
    Ok(transaction.commit()?)
}

/// Whether the database has no log, so that all of it is in its file.
fn is_alone(path: &Path) -> Result<bool, Error> {
    Ok(files::size(&files::beside(path, "-wal"))?.unwrap_or(0) == 0)
}

/// Whether the file ends where it should. SQLite takes what is missing of the last page for zeros.
fn check_length(connection: &Connection, path: &Path) -> Result<(), Fault> {
    let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let pages: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let wanted = u64::from(pages) * u64::from(page);
    match files::size(path)? {
        Some(found) if found < wanted => Err(Fault::Damage(format!(
            "the file has {found} bytes instead of {wanted}"
        ))),
        _ => Ok(()),
    }
}

/// SQLite's own check of its structures.
fn check(connection: &Connection, pragma: &str) -> Result<(), Fault> {
    let found: String =
        connection.query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get(0))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(Fault::Damage(found))
    }
}

/// What SQLite cannot know: that the tables fit together.
fn check_content(connection: &Connection) -> Result<(), Fault> {
    let sound = connection.query_row(
        "SELECT (SELECT count(*) FROM state) = 1
            AND coalesce((SELECT max(mod_revision) FROM kv), 0) <= revision
            AND coalesce((SELECT min(revision) FROM event), oldest) >= oldest
            AND coalesce((SELECT max(revision) FROM event), revision) <= revision
         FROM state",
        [],
        |row| row.get(0),
    );
    match sound {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::Damage(
            "its revisions contradict each other".to_owned(),
        )),
        Err(error) => Err(match error.sqlite_error_code() {
            // A table is missing.
            Some(rusqlite::ErrorCode::Unknown) => Fault::Damage(error.to_string()),
            _ => error.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        create(&path).unwrap();
        (dir, path)
    }

    #[test]
    fn every_commit_is_synchronised() {
        let (_dir, path) = made();
        let connection = open(&path, 1 << 30).unwrap();
        let number = |pragma: &str| -> i64 {
            connection
                .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
                .unwrap()
        };
        let mode: String = connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal");
        assert_eq!(number("synchronous"), 2, "FULL");
        assert_eq!(number("foreign_keys"), 1);
        assert_eq!(number("busy_timeout"), 5_000);
        assert_eq!(number("max_page_count") * number("page_size"), 1 << 30);
        let reader = open_reader(&path).unwrap();
        assert!(
            reader.execute("UPDATE state SET revision = 7", []).is_err(),
            "it only reads"
        );
    }

    #[test]
    fn an_older_format_is_brought_up_to_date_once() {
        fn second(connection: &Connection) -> rusqlite::Result<()> {
            connection.execute_batch(
                "CREATE TABLE more (x INTEGER) STRICT; UPDATE state SET revision = revision + 1;",
            )
        }
        let (_dir, path) = made();
        for _ in 0..2 {
            let connection = open_as(&path, 1 << 30, &[first, second]).unwrap();
            assert_eq!(format(&connection).unwrap(), 2);
            let revision: i64 = connection
                .query_row("SELECT revision FROM state", [], |row| row.get(0))
                .unwrap();
            assert_eq!(revision, 2);
        }
        let error = open(&path, 1 << 30).unwrap_err();
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
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        fn broken(connection: &Connection) -> rusqlite::Result<()> {
            connection.execute_batch("DROP TABLE kv; CREATE TABLE state (x INTEGER);")
        }
        let (_dir, path) = made();
        let error = open_as(&path, 1 << 30, &[first, broken]).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let connection = open(&path, 1 << 30).unwrap();
        assert_eq!(format(&connection).unwrap(), 1);
        connection
            .query_row("SELECT count(*) FROM kv", [], |_| Ok(()))
            .unwrap();
    }
}
