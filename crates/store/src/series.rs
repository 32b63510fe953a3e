//! Series of points in time: measurements, of which there are many, and of which the old ones go.
//!
//! They are kept apart from the resources, in a database of their own: they have no revisions and nobody
//! watches them, and whatever is written here keeps no change of a resource waiting.

use crate::Error;
use crate::sqlite::{Fault, files};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// "SLUM".
const APPLICATION: u32 = 0x534c_554d;

/// The format that this program writes.
const FORMAT: u32 = 1;

/// Points by series and time, and notes by name, in an SQLite database. Like a [`Sqlite`](crate::Sqlite) store it
/// belongs to one process at a time.
pub struct Series {
    connection: Mutex<Connection>,
    path: PathBuf,
    // Last, so that it goes free when the connection is closed.
    _lock: File,
}

/// What is written together: all of it, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Points: series, time, value. One at the same time is replaced.
    pub points: Vec<(String, u64, String)>,
    /// Notes by name; `None`: it goes.
    pub notes: Vec<(String, Option<String>)>,
    /// Points that go: of the series whose names begin like this, what is older.
    pub prune: Vec<(String, u64)>,
}

impl Batch {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.notes.is_empty() && self.prune.is_empty()
    }
}

impl Series {
    /// Opens the database in this file, or makes one if there is none.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Damaged`], [`Error::NotAStore`], [`Error::Newer`], and what the system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Series, Error> {
        let (path, lock) = files::claim(path.as_ref())?;
        Series::claimed(path, lock)
    }

    /// As [`open`](Series::open), but one that is damaged is put aside, under its name with `.damaged` behind it, and a new one
    /// made: for what is not worth standing still for. Gives also what was wrong.
    ///
    /// # Errors
    /// As [`open`](Series::open), and if it cannot be put aside.
    pub fn open_or_begin_anew(path: impl AsRef<Path>) -> Result<(Series, Option<Error>), Error> {
        let (path, lock) = files::claim(path.as_ref())?;
        let again = lock.try_clone();
        match Series::claimed(path.clone(), lock) {
            Err(error @ Error::Damaged { .. }) => {
                files::put_aside(&path)?;
                let lock = again.map_err(|e| Error::io(&path, "lock", e))?;
                Ok((Series::claimed(path, lock)?, Some(error)))
            }
            opened => Ok((opened?, None)),
        }
    }

    /// Opens the database whose lock this is.
    fn claimed(path: PathBuf, lock: File) -> Result<Series, Error> {
        let connection = prepare(&path).map_err(|fault| fault.at(&path, "open"))?;
        files::restrict(&path)?;
        Ok(Series {
            connection: Mutex::new(connection),
            path,
            _lock: lock,
        })
    }

    /// Writes a batch. When this returns, it is on the disk.
    ///
    /// # Errors
    /// If it cannot be written; then nothing of it is.
    pub fn write(&self, batch: &Batch) -> Result<(), Error> {
        self.work("write", |connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut name =
                    change.prepare_cached("INSERT OR IGNORE INTO series (name) VALUES (?1)")?;
                let mut point = change.prepare_cached(
                    "INSERT OR REPLACE INTO point VALUES ((SELECT id FROM series WHERE name = ?1), ?2, ?3)",
                )?;
                for (series, time, value) in &batch.points {
                    name.execute([series])?;
                    point.execute(params![series, time.cast_signed(), value])?;
                }
                let mut note =
                    change.prepare_cached("INSERT OR REPLACE INTO note VALUES (?1, ?2)")?;
                let mut no_note = change.prepare_cached("DELETE FROM note WHERE name = ?1")?;
                for (name, value) in &batch.notes {
                    match value {
                        Some(value) => note.execute([name, value])?,
                        None => no_note.execute([name])?,
                    };
                }
                for (prefix, before) in &batch.prune {
                    prune(&change, prefix, *before)?;
                }
            }
            Ok(change.commit()?)
        })
    }

    /// The points of a series in a time, at most so many, the oldest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn points(
        &self,
        series: &str,
        time: Range<u64>,
        most: usize,
    ) -> Result<Vec<(u64, String)>, Error> {
        self.work("read", |connection| {
            let mut query = connection.prepare_cached(
                "SELECT time, value FROM point
                 WHERE series = (SELECT id FROM series WHERE name = ?1) AND time >= ?2 AND time < ?3
                 ORDER BY time LIMIT ?4",
            )?;
            let [from, to] = [time.start, time.end].map(|it| it.min(i64::MAX as u64).cast_signed());
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let points = query.query_map(params![series, from, to, most], |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
            })?;
            Ok(points.collect::<Result<_, _>>()?)
        })
    }

    /// The names of the series that begin like this, in order.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.work("read", |connection| {
            let mut query = connection.prepare_cached(
                "SELECT name FROM series WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name",
            )?;
            let names = query.query_map([prefix], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
    }

    /// All notes.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn notes(&self) -> Result<BTreeMap<String, String>, Error> {
        self.work("read", |connection| {
            let mut query = connection.prepare_cached("SELECT name, value FROM note")?;
            let notes = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(notes.collect::<Result<_, _>>()?)
        })
    }

    fn work<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let mut connection: MutexGuard<Connection> = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|fault| fault.at(&self.path, doing))
    }
}

/// Removes old points, and series that have none left.
fn prune(connection: &Connection, prefix: &str, before: u64) -> Result<(), Fault> {
    let before = before.min(i64::MAX as u64).cast_signed();
    let of = "SELECT id FROM series WHERE substr(name, 1, length(?1)) = ?1";
    connection.execute(
        &format!("DELETE FROM point WHERE series IN ({of}) AND time < ?2"),
        params![prefix, before],
    )?;
    connection.execute(
        &format!(
            "DELETE FROM series WHERE id IN ({of}) \
             AND NOT EXISTS (SELECT 1 FROM point WHERE point.series = series.id)"
        ),
        [prefix],
    )?;
    Ok(())
}

fn prepare(path: &Path) -> Result<Connection, Fault> {
    let mut connection = Connection::open(path)?;
    let number = |connection: &Connection, name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u32>(0))
    };
    let objects: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application = number(&connection, "application_id")?;
    let format = number(&connection, "user_version")?;
    let empty = objects == 0 && application == 0;
    if !empty && application != APPLICATION {
        let path = path.to_owned();
        return Err(Error::NotAStore { path }.into());
    }
    if format > FORMAT {
        return Err(Error::Newer {
            path: path.to_owned(),
            found: format,
            known: FORMAT,
        }
        .into());
    }
    let problem: Option<String> = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .optional()?;
    if let Some(problem) = problem.filter(|it| it != "ok") {
        return Err(Fault::Damage(problem));
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    if empty {
        let make = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        make.execute_batch(
            "CREATE TABLE series (
                 id INTEGER PRIMARY KEY,
                 name TEXT NOT NULL UNIQUE
             ) STRICT;
             CREATE TABLE point (
                 series INTEGER NOT NULL,
                 time INTEGER NOT NULL,
                 value TEXT NOT NULL,
                 PRIMARY KEY (series, time)
             ) STRICT, WITHOUT ROWID;
             CREATE TABLE note (
                 name TEXT NOT NULL PRIMARY KEY,
                 value TEXT NOT NULL
             ) STRICT, WITHOUT ROWID;",
        )?;
        make.pragma_update(None, "application_id", APPLICATION)?;
        make.pragma_update(None, "user_version", FORMAT)?;
        make.commit()?;
    }
    Ok(connection)
}
