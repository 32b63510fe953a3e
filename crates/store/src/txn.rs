//! What can be asked of a store: lists and transactions.

use std::collections::BTreeSet;

use crate::key::check_key;
use crate::{Error, KeyValue, Range, Revision};

/// Largest value in bytes: 1 MiB.
pub const MAX_VALUE: usize = 1 << 20;
/// Most comparisons of a transaction, and most operations on either of its sides. etcd allows 128 unless
/// it is started with another `--max-txn-ops`.
pub const MAX_OPERATIONS: usize = 262_144;
/// Most keys that a transaction changes.
pub const MAX_CHANGES: usize = 262_144;
/// Most bytes of keys and values in a transaction: 64 MiB, which are 100,000 policies of a firewall with room.
pub const MAX_TRANSACTION: usize = 64 << 20;

/// Which keys to list, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Where to look.
    pub range: Range,
    /// Where the page before this one ended: its last key. Need not exist any more.
    pub after: Option<String>,
    /// Most keys in the answer; 0 is no limit.
    pub limit: usize,
    /// In which order.
    pub order: Order,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Keys by their bytes.
    #[default]
    Ascending,
    /// The other way round.
    Descending,
}

impl List {
    /// All keys of the range, ascending, without limit.
    pub fn new(range: Range) -> List {
        List {
            range,
            after: None,
            limit: 0,
            order: Order::Ascending,
        }
    }

    /// All keys that begin with this, ascending, without limit.
    pub fn prefix(prefix: impl Into<String>) -> List {
        List::new(Range::prefix(prefix))
    }

    /// At most so many keys; 0 is no limit.
    pub fn limit(self, limit: usize) -> List {
        List { limit, ..self }
    }

    /// The page that follows this key.
    pub fn after(self, key: impl Into<String>) -> List {
        List {
            after: Some(key.into()),
            ..self
        }
    }

    /// From the last key to the first.
    pub fn descending(self) -> List {
        List {
            order: Order::Descending,
            ..self
        }
    }

    /// What is left of the range after the page before.
    pub(crate) fn rest(&self) -> Range {
        let range = self.range.clone();
        match (&self.after, self.order) {
            (None, _) => range,
            (Some(key), Order::Ascending) => range.above(key),
            (Some(key), Order::Descending) => range.below(key),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.range.check()?;
        match &self.after {
            Some(key) => check_key(key),
            None => Ok(()),
        }
    }
}

/// The answer to a [`List`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The keys, in the order asked for.
    pub items: Vec<KeyValue>,
    /// Whether the limit cut off more: ask again `after` the last key.
    pub more: bool,
    /// The store's revision when all of this was so. Watching from the next one misses nothing.
    pub revision: Revision,
}

/// A condition of a transaction.
///
/// It holds if it holds for every key of the range. If the range has no key, it is asked of a key with
/// version and revisions 0; one on the value then fails, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key or keys.
    pub range: Range,
    /// How what is there must relate to what is wanted.
    pub relation: Relation,
    /// What is wanted.
    pub wanted: Wanted,
}

/// How two values relate: *what is there* `relation` *what is wanted*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are the same.
    Equal,
    /// They differ.
    NotEqual,
    /// What is there is more.
    Greater,
    /// What is there is less.
    Less,
}

/// Which property of a key is compared, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// [`KeyValue::version`]
    Version(u64),
    /// [`KeyValue::create_revision`]
    CreateRevision(Revision),
    /// [`KeyValue::mod_revision`]
    ModRevision(Revision),
    /// [`KeyValue::value`], ordered by bytes.
    Value(Vec<u8>),
}

impl Compare {
    /// Any condition.
    pub fn new(range: Range, relation: Relation, wanted: Wanted) -> Compare {
        Compare {
            range,
            relation,
            wanted,
        }
    }

    /// The key does not exist.
    pub fn absent(key: impl Into<String>) -> Compare {
        Compare::none(Range::key(key))
    }

    /// The key exists.
    pub fn exists(key: impl Into<String>) -> Compare {
        Compare::new(Range::key(key), Relation::Greater, Wanted::Version(0))
    }

    /// The key was last put at this revision, or does not exist if it is 0.
    pub fn unchanged(key: impl Into<String>, revision: Revision) -> Compare {
        Compare::new(
            Range::key(key),
            Relation::Equal,
            Wanted::ModRevision(revision),
        )
    }

    /// No key of the range exists.
    pub fn none(range: Range) -> Compare {
        Compare::new(range, Relation::Equal, Wanted::CreateRevision(Revision(0)))
    }
}

/// A step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Creates the key or replaces its value. Counts as a change even if the value is the same.
    Put {
        /// 1 to [`MAX_KEY`](crate::MAX_KEY) bytes.
        key: String,
        /// At most [`MAX_VALUE`] bytes.
        value: Vec<u8>,
    },
    /// Deletes the keys of the range that exist.
    Delete(Range),
    /// Reads; sees what the steps before have written.
    Get(List),
}

impl Op {
    /// Puts one key.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Op {
        Op::Put {
            key: key.into(),
            value: value.into(),
        }
    }

    /// Deletes one key, if it exists.
    pub fn delete(key: impl Into<String>) -> Op {
        Op::Delete(Range::key(key))
    }

    /// Deletes all keys that begin with this.
    pub fn delete_prefix(prefix: impl Into<String>) -> Op {
        Op::Delete(Range::prefix(prefix))
    }

    /// Reads one key.
    pub fn get(key: impl Into<String>) -> Op {
        Op::Get(List::new(Range::key(key)))
    }
}

/// If all comparisons hold, all of `success` is done, otherwise all of `failure`; nobody sees a part of it.
///
/// A key may be put once on a side, and not be put and deleted there. The steps are done in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions; none is a condition that holds.
    pub compare: Vec<Compare>,
    /// What is done if all of them hold.
    pub success: Vec<Op>,
    /// What is done if one of them does not.
    pub failure: Vec<Op>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the comparisons held.
    pub succeeded: bool,
    /// The store's revision after it: its own if it changed something.
    pub revision: Revision,
    /// What each step gave, in order.
    pub results: Vec<OpResult>,
}

/// What a step of a transaction gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// The key was put.
    Put,
    /// So many keys were deleted.
    Deleted(usize),
    /// What was read; its revision is the transaction's.
    Page(Page),
}

impl Txn {
    /// A transaction without conditions and steps.
    pub fn new() -> Txn {
        Txn::default()
    }

    /// Adds a condition.
    pub fn when(mut self, compare: Compare) -> Txn {
        self.compare.push(compare);
        self
    }

    /// Adds a step for when all conditions hold.
    pub fn then(mut self, op: Op) -> Txn {
        self.success.push(op);
        self
    }

    /// Adds a step for when one does not.
    pub fn otherwise(mut self, op: Op) -> Txn {
        self.failure.push(op);
        self
    }

    /// Whether neither side can change anything.
    pub(crate) fn only_reads(&self) -> bool {
        self.success
            .iter()
            .chain(&self.failure)
            .all(|op| matches!(op, Op::Get(_)))
    }

    /// The bounds that can be checked without the store.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let count = self
            .compare
            .len()
            .max(self.success.len())
            .max(self.failure.len());
        if count > MAX_OPERATIONS {
            return Err(Error::Operations { count });
        }
        let mut bytes = 0;
        for compare in &self.compare {
            compare.range.check()?;
            if let Wanted::Value(value) = &compare.wanted {
                check_value(compare.range.start(), value)?;
                bytes += value.len();
            }
        }
        for side in [&self.success, &self.failure] {
            bytes += check_side(side)?;
        }
        if bytes > MAX_TRANSACTION {
            return Err(Error::TransactionSize { bytes });
        }
        Ok(())
    }
}

fn check_value(key: &str, value: &[u8]) -> Result<(), Error> {
    match value.len() {
        0..=MAX_VALUE => Ok(()),
        bytes => Err(Error::ValueSize {
            key: key.to_owned(),
            bytes,
        }),
    }
}

/// Checks one side; returns the bytes that it puts.
fn check_side(side: &[Op]) -> Result<usize, Error> {
    let mut bytes = 0;
    let mut put = BTreeSet::new();
    for op in side {
        match op {
            Op::Put { key, value } => {
                check_key(key)?;
                check_value(key, value)?;
                bytes += key.len() + value.len();
                if !put.insert(key.as_str()) {
                    return Err(Error::DuplicateKey { key: key.clone() });
                }
            }
            Op::Delete(range) => range.check()?,
            Op::Get(list) => list.check()?,
        }
    }
    for op in side {
        if let Op::Delete(range) = op
            && let Some(key) = put.range(range.start()..).next()
            && range.contains(key)
        {
            return Err(Error::DuplicateKey {
                key: (*key).to_owned(),
            });
        }
    }
    Ok(bytes)
}
