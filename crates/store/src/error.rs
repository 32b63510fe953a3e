use std::io;
use std::path::PathBuf;

use crate::{MAX_CHANGES, MAX_KEY, MAX_OPERATIONS, MAX_TRANSACTION, MAX_VALUE, Revision};

/// Why the store could not do it. Unless an error says otherwise, nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process, or another part of this one, has the store open.
    #[error("{}: in use by another process; stop that one first, or give another path", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The file does not hold what was written to it.
    #[error("{}: damaged: {detail}; restore it from a backup", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A database, but of something else.
    #[error("{}: a database that is not of this program; give the path of one that is, or of none", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later release.
    #[error("{}: has format {found}, but this program knows formats up to {known}; use the newer program that wrote it", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// No room on the file system, or the database has reached its own limit.
    #[error("{}: full: free space on its file system, or raise the limit of its size", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The operating system refused. If it was while committing, the transaction may be found done after the
    /// store is opened again.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A write did not reach the disk, so what is on it is uncertain, and nothing more is written. What was
    /// acknowledged is there when the store is opened again; this transaction may be.
    #[error(
        "{}: a write did not reach the disk; see to the disk, then start again: what was acknowledged is there",
        path.display()
    )]
    Failed {
        /// The database.
        path: PathBuf,
    },
    /// The store was closed while this was under way.
    #[error("the store is closed")]
    Closed,

    /// A key, or the bound of a range, is too long, or a key is empty.
    #[error("a key has 1 to {MAX_KEY} bytes, not {bytes}")]
    KeyLength {
        /// How long it is.
        bytes: usize,
    },
    /// A value is too large.
    #[error("{key}: a value has at most {MAX_VALUE} bytes, not {bytes}")]
    ValueSize {
        /// Its key.
        key: String,
        /// How large it is.
        bytes: usize,
    },
    /// A transaction has too many comparisons, or too many operations on one side.
    #[error(
        "a transaction has at most {MAX_OPERATIONS} comparisons and operations on either side, not {count}"
    )]
    Operations {
        /// How many it has.
        count: usize,
    },
    /// A transaction is too large.
    #[error("a transaction has at most {MAX_TRANSACTION} bytes of keys and values, not {bytes}")]
    TransactionSize {
        /// How large it is.
        bytes: usize,
    },
    /// A transaction would change too many keys.
    #[error("a transaction changes at most {MAX_CHANGES} keys; delete a range in parts")]
    Changes,
    /// A transaction writes one key twice; which write is to stay?
    #[error("{key}: put twice, or put and deleted, in one transaction")]
    DuplicateKey {
        /// The key.
        key: String,
    },

    /// The events from this revision on are no longer kept: the watcher was too slow, or asked too late.
    #[error(
        "the events since revision {asked} are not kept any more, the oldest are of {oldest}; list again and watch from there"
    )]
    Compacted {
        /// From where they were wanted.
        asked: Revision,
        /// From where there are some.
        oldest: Revision,
    },
    /// A revision that the store has not reached.
    #[error("revision {asked} is in the future: the store is at {current}")]
    Future {
        /// What was asked for.
        asked: Revision,
        /// Where the store is.
        current: Revision,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, doing: &'static str, error: io::Error) -> Error {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path },
            _ => Error::Io {
                path,
                doing,
                source: error.into(),
            },
        }
    }
}
