//! A store in one SQLite database.
//!
//! * `files`: directories, the lock file, putting a file in its place;
//! * `format`: what is in the database, its versions, its checks;
//! * `query`: lists and comparisons;
//! * `change`: what a transaction writes, and how much history stays;
//! * `writer`: the connection that writes, and who shares a commit;
//! * `log`: keeping SQLite's log short;
//! * `pool`: the connections that read, and the news that something was committed;
//! * `watch`: reading the history as it grows;
//! * `backup`: copies while running, and back.

mod backup;
mod change;
pub(crate) mod files;
mod format;
mod log;
mod pool;
mod query;
mod watch;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{ErrorCode, ffi};

use crate::{Error, List, Outcome, Page, Range, Revision, Store, Txn, Watch};
pub use backup::restore;
use pool::Pool;
use writer::Writer;

/// How much a [`Sqlite`] store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Of how many transactions the changes are kept for watches: at least 1.
    pub history_revisions: u64,
    /// How many bytes of changes are kept, roughly. Those of the last transaction always are.
    pub history_bytes: u64,
    /// How large the database may grow in bytes, history included. Beyond it transactions give
    /// [`Error::Full`]. The log beside it comes on top: usually 4 MiB, more after large transactions.
    pub max_bytes: u64,
}

impl Default for Options {
    /// 10,000 transactions or 64 MiB of history; 2 GiB in all, as etcd's default.
    fn default() -> Options {
        Options {
            history_revisions: 10_000,
            history_bytes: 64 << 20,
            max_bytes: 2 << 30,
        }
    }
}

/// A [`Store`] in one file of this machine, by SQLite.
///
/// The file belongs to one `Sqlite` at a time: a lock file beside it (`NAME.lock`, never deleted) keeps
/// others out, and goes free with the process, however it ends. Directory, file, and SQLite's log beside it
/// (`NAME-wal`, `NAME-shm`) are the owner's alone (modes 0700 and 0600).
///
/// One connection writes, with the log synchronised at each commit (`journal_mode=WAL`,
/// `synchronous=FULL`); transactions that wait for it at the same time share a commit. Other connections read
/// snapshots meanwhile, so no read waits for a disk. Dropping the store closes it and ends its watches with
/// [`Error::Closed`]; nothing is written then that a kill would lose.
pub struct Sqlite {
    path: PathBuf,
    pool: Arc<Pool>,
    writer: Arc<Writer>,
    /// The thread that keeps the log short.
    keeper: Option<JoinHandle<()>>,
    options: Options,
    // Last, so that it goes free when all connections are closed.
    _lock: File,
}

impl Sqlite {
    /// Opens the store in this file, or makes one if there is none, with its directories.
    ///
    /// The database is checked first (`quick_check`, about a second for each GiB), and brought to this
    /// program's format if it is older. [`Error::Locked`], [`Error::Damaged`], [`Error::NotAStore`] and
    /// [`Error::Newer`] leave it as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Sqlite, Error> {
        Sqlite::open_with(path, Options::default())
    }

    /// The same, with other limits.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Sqlite, Error> {
        let (path, lock) = files::claim(path.as_ref())?;
        if !files::exists(&path)? {
            format::create(&path)?;
        }
        let connection = format::open(&path, options.max_bytes)?;
        files::restrict(&path)?;
        let pool = Arc::new(Pool::new(path.clone()));
        let (writer, news) = Writer::new(path.clone(), options, Arc::clone(&pool), connection)?;
        let writer = Arc::new(writer);
        let keeper = log::keep_short(Arc::clone(&writer), news);
        let keeper = keeper.map_err(|error| Error::io(&path, "start a thread for", error))?;
        let store = Sqlite {
            path,
            pool,
            writer,
            keeper: Some(keeper),
            options,
            _lock: lock,
        };
        store.pool.publish(store.revision()?);
        Ok(store)
    }

    /// The database's file, all links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.pool.close();
        // It has the connection, too.
        self.writer.leave_log();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

impl Store for Sqlite {
    fn list(&self, list: &List) -> Result<Page, Error> {
        list.check()?;
        self.pool
            .read("list", |c| query::page(c, list, query::state(c)?.revision))
    }

    fn transact(&self, txn: Txn) -> Result<Outcome, Error> {
        txn.check()?;
        if txn.only_reads() {
            return self.pool.read("read", |c| {
                change::run(c, &txn, &self.options).map(|(outcome, _)| outcome)
            });
        }
        self.writer.transact(txn)
    }

    fn watch(&self, range: Range, from: Revision) -> Result<Box<dyn Watch>, Error> {
        range.check()?;
        let watch = watch::Cursor::new(self.pool.clone(), range, from)?;
        Ok(Box::new(watch))
    }

    fn revision(&self) -> Result<Revision, Error> {
        self.pool.read("read", |c| Ok(query::state(c)?.revision))
    }

    fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.writer.compact(revision)
    }
}

/// What went wrong inside: SQLite's answer, or what is already an error of ours.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Damage(String),
    Ours(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sqlite(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Ours(error)
    }
}

impl Fault {
    /// Names the file and what was being done with it.
    pub(crate) fn at(self, path: &Path, doing: &'static str) -> Error {
        let path = path.to_owned();
        let error = match self {
            Fault::Sqlite(error) => error,
            Fault::Damage(detail) => return Error::Damaged { path, detail },
            Fault::Ours(error) => return error,
        };
        use rusqlite::Error as E;
        let extended = error.sqlite_error().map_or(0, |e| e.extended_code);
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Locked { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Damaged {
                path,
                detail: error.to_string(),
            },
            Some(ErrorCode::DiskFull) => Error::Full { path },
            // A page that should be there is not.
            Some(ErrorCode::SystemIoFailure) if extended == ffi::SQLITE_IOERR_SHORT_READ => {
                Error::Damaged {
                    path,
                    detail: error.to_string(),
                }
            }
            None if matches!(
                error,
                E::FromSqlConversionFailure(..)
                    | E::IntegralValueOutOfRange(..)
                    | E::InvalidColumnType(..)
                    | E::Utf8Error(..)
                    | E::QueryReturnedNoRows
            ) =>
            {
                Error::Damaged {
                    path,
                    detail: format!("unexpected content: {error}"),
                }
            }
            _ => Error::Io {
                path,
                doing,
                source: error.into(),
            },
        }
    }

    /// Whether the kernel could not say that written data reached the disk.
    fn lost_a_write(&self) -> bool {
        let Fault::Sqlite(error) = self else {
            return false;
        };
        let code = error.sqlite_error().map_or(0, |e| e.extended_code);
        matches!(
            code,
            ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_DIR_FSYNC
                | ffi::SQLITE_IOERR_CLOSE
                | ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_TRUNCATE
        )
    }
}
