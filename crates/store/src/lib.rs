//! Durable state: keys with values, changed by transactions, each with a revision.
//!
//! The model is that of etcd v3, so that an etcd can stand behind the same trait:
//!
//! * [`Store`]: get, list, transact, watch, compact;
//! * [`Txn`]: comparisons, and operations for when they hold and when they do not;
//! * [`Revision`]: one number for the whole store, which each transaction that changes something raises by
//!   one; an empty store is at 1;
//! * [`Watch`]: the changes from a revision on, transaction by transaction;
//! * [`Sqlite`]: a store in one file of this machine;
//! * [`Series`]: beside it, points in time that have neither revisions nor watches: measurements.
//!
//! ```
//! use std::time::Duration;
//! use store::{Compare, List, Op, Sqlite, Store, Txn};
//!
//! # fn main() -> Result<(), store::Error> { run(&tempfile::tempdir().unwrap().path().join("state.db")) }
//! # fn run(path: &std::path::Path) -> Result<(), store::Error> {
//! let store = Sqlite::open(path)?;
//! let create = Txn::new().when(Compare::absent("vpc/1")).then(Op::put("vpc/1", "10.0.0.0/8"));
//! assert!(store.transact(create.clone())?.succeeded);
//! assert!(!store.transact(create)?.succeeded);
//!
//! let page = store.list(&List::prefix("vpc/"))?;
//! assert_eq!(page.items[0].key, "vpc/1");
//!
//! let mut watch = store.watch(store::Range::prefix("vpc/"), page.revision.next())?;
//! store.transact(Txn::new().then(Op::delete("vpc/1")))?;
//! let changes = watch.next(Duration::from_secs(1))?.expect("a deletion");
//! assert_eq!(changes.revision, page.revision.next());
//! # Ok(())
//! # }
//! ```
//!
//! What it promises:
//!
//! * A transaction happens whole or not at all, and one after the other: lists and watches never show a part.
//! * When `transact` has returned, the change is on the disk: neither kill -9 nor a power failure takes it back.
//! * A watch gives every change of its range once, in order, or an error that says from where they are lost.
//! * Memory is bounded whatever is stored: a watcher that does not read costs nothing; it finds the history gone.
//! * A file that is damaged, of another program or of a later release, is refused and not touched.
//!
//! What it does not do: it knows nothing of what it stores; it has no leases and no reads of past revisions
//! (as etcd has); it does not notice single bits that the disk changed inside a value, as SQLite does not.

mod error;
mod key;
mod series;
mod sqlite;
mod txn;
mod watch;

pub use error::Error;
pub use key::{KeyValue, MAX_KEY, Range, Revision};
pub use series::{Batch, Series};
pub use sqlite::{Options, Sqlite, restore};
pub use txn::{
    Compare, List, MAX_CHANGES, MAX_OPERATIONS, MAX_TRANSACTION, MAX_VALUE, Op, OpResult, Order,
    Outcome, Page, Relation, Txn, Wanted,
};
pub use watch::{Changes, Event, Watch};

/// Keys with values, changed by transactions. Calls block until they are done, and may come from any thread.
pub trait Store: Send + Sync {
    /// The key, if it exists.
    fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        let page = self.list(&List::new(Range::key(key)))?;
        Ok(page.items.into_iter().next())
    }

    /// The keys of a range, all as of one revision. Further pages are as of the revision of their own.
    fn list(&self, list: &List) -> Result<Page, Error>;

    /// Does one side of a transaction. When it returns, what it did is durable and seen by all that follows.
    fn transact(&self, txn: Txn) -> Result<Outcome, Error>;

    /// The changes to keys of the range, from this revision on: [`Error::Compacted`] if they are not kept any
    /// more. To miss nothing after a [`list`](Store::list), watch from its [`Revision::next`].
    fn watch(&self, range: Range, from: Revision) -> Result<Box<dyn Watch>, Error>;

    /// The revision now.
    fn revision(&self) -> Result<Revision, Error>;

    /// Forgets the changes before this revision, for watches. Keys and values are not concerned. Does nothing
    /// if they are forgotten already; [`Error::Future`] if the store has not come so far.
    fn compact(&self, revision: Revision) -> Result<(), Error>;
}
