//! A table of records of one kind.

use crate::written;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use model::Id;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A record: something with an identifier that is kept.
pub trait Record: Clone + PartialEq + Serialize + DeserializeOwned {
    /// The kind's name in the store's keys, e.g. `vpc`.
    const KIND: &'static str;

    /// The identifier, unique among the records of the kind.
    fn id(&self) -> &Id;
}

/// Records by identifier. A copy shares everything with the original until one of them changes, so a draft
/// of a change costs nothing, and what has changed is found without looking at the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<T: Clone>(OrdMap<Id, Arc<T>>);

impl<T: Clone> Default for Table<T> {
    fn default() -> Self {
        Table(OrdMap::new())
    }
}

impl<T: Record> Table<T> {
    /// The record with this identifier.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.0.get(id).map(|it| &**it)
    }

    /// The record with this identifier, to be changed.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.0.get_mut(id).map(Arc::make_mut)
    }

    /// Whether there is a record with this identifier.
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Adds a record, or replaces the one with its identifier. One that is there already stays as it is, and goes on
    /// being shared.
    pub fn put(&mut self, record: T) {
        if self.get(record.id()) == Some(&record) {
            return;
        }
        self.0.insert(record.id().clone(), Arc::new(record));
    }

    /// Removes a record.
    pub fn remove(&mut self, id: &str) -> Option<Arc<T>> {
        self.0.remove(id)
    }

    /// All records, in the order of their identifiers.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.values().map(|it| &**it)
    }

    /// The first record that fits.
    pub fn find(&self, fits: impl Fn(&T) -> bool) -> Option<&T> {
        self.iter().find(|it| fits(it))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What must be written to a store that holds `old` so that it holds this: key, and the value or `None`
    /// if the key is to go.
    pub(crate) fn changes(
        &self,
        old: &Table<T>,
        prefix: &str,
        out: &mut Vec<Change>,
    ) -> serde_json::Result<()> {
        for item in old.0.diff(&self.0) {
            let (id, value) = match item {
                DiffItem::Add(id, record)
                | DiffItem::Update {
                    new: (id, record), ..
                } => (id, Some(written::write(&**record)?)),
                DiffItem::Remove(id, _) => (id, None),
            };
            out.push((format!("{prefix}{}/{id}", T::KIND), value));
        }
        Ok(())
    }

    /// Takes a record in from the store.
    pub(crate) fn load(&mut self, id: &str, value: &[u8]) -> std::result::Result<(), String> {
        let record: T = written::read(value)?;
        if record.id() != id {
            return Err(format!("it holds {:?}", record.id()));
        }
        self.put(record);
        Ok(())
    }
}

/// A key of the store with its new value; `None`: it goes.
pub(crate) type Change = (String, Option<Vec<u8>>);
