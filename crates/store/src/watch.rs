//! What a watcher sees.

use std::time::Duration;

use crate::{Error, KeyValue, Revision};

/// One key that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key was created (its version is 1) or replaced.
    Put(KeyValue),
    /// The key was deleted.
    Deleted {
        /// The key.
        key: String,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Event::Put(kv) => &kv.key,
            Event::Deleted { key } => key,
        }
    }
}

/// What one transaction changed among the keys that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The transaction's revision.
    pub revision: Revision,
    /// In the order of its steps, each key at most once; never empty.
    pub events: Vec<Event>,
}

/// The changes of a range of keys, in order of revision, none missing, none twice, transactions whole.
pub trait Watch: Send {
    /// The next transaction that changed something here, as soon as there is one; `None` if there was none for
    /// so long (zero does not wait, [`Duration::MAX`] waits for ever).
    ///
    /// [`Error::Compacted`] says that the history was cut off before it was read here: list again and start a
    /// new watch. [`Error::Closed`] says that the store is closed. Other errors may pass: calling again goes
    /// on where it was.
    fn next(&mut self, timeout: Duration) -> Result<Option<Changes>, Error>;
}
