//! Taking changes through.

use crate::audit::{self, Event, Events, Trail};
use crate::cloud::{Cloud, PREFIX};
use crate::draft::Draft;
use crate::records::Seconds;
use crate::refusal::{Refusal, Result};
use model::{Config, Problem, validate};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use store::{List, Op, Store, Txn};

/// What moves packets.
pub trait DataPlane: Send + Sync {
    /// Brings a configuration into force: all of it, or with an error none.
    ///
    /// # Errors
    /// Why it cannot be brought into force.
    fn apply(&self, config: &Config) -> std::result::Result<(), String>;
}

/// Why a control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store holds something that is none of ours.
    #[error("the stored state cannot be used: {0}")]
    Records(String),
    /// The data path cannot be brought into the stored state.
    #[error("the stored state cannot be brought into force: {0}")]
    NotInForce(String),
    /// A change on the way was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What is in force.
struct InForce {
    cloud: Arc<Cloud>,
    /// What the data path has been told.
    config: Arc<Config>,
}

/// The control plane: the records that are in force, and the one way to change them.
pub struct Control {
    store: Arc<dyn Store>,
    plane: Box<dyn DataPlane>,
    /// What everybody sees.
    current: RwLock<InForce>,
    /// Held while a change is taken through, so they go one by one.
    changing: Mutex<Trail>,
}

impl Control {
    /// Reads the stored records, lets `first` change them, brings them into force with the data path that
    /// `plane` makes, and makes the changes durable.
    ///
    /// # Errors
    /// If any of that fails.
    pub fn start<E>(
        store: Arc<dyn Store>,
        now: Seconds,
        first: impl FnOnce(&mut Draft) -> std::result::Result<(), E>,
        plane: impl FnOnce(&Config) -> std::result::Result<Box<dyn DataPlane>, E>,
    ) -> std::result::Result<Control, E>
    where
        E: From<StartError>,
    {
        let stored = load(&*store)?;
        let mut draft = Draft::new(stored.clone(), now);
        first(&mut draft)?;
        let config = draft.rendered();
        refuse(validate::check(&config)).map_err(StartError::Refused)?;
        let plane = plane(&config)?;
        let trail = Trail::open(&*store, audit::MAX_EVENTS, audit::MAX_AGE);
        let trail = trail.map_err(StartError::Store)?;
        let (txn, trail) =
            transaction(&*store, trail, &stored, &draft).map_err(StartError::Refused)?;
        if !txn.success.is_empty() {
            store.transact(txn).map_err(StartError::Store)?;
        }
        Ok(Control {
            store,
            plane,
            current: RwLock::new(InForce {
                cloud: Arc::new(draft.into_cloud()),
                config,
            }),
            changing: Mutex::new(trail),
        })
    }

    /// The records in force.
    pub fn cloud(&self) -> Arc<Cloud> {
        Arc::clone(&self.current().cloud)
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.current().config)
    }

    fn current(&self) -> RwLockReadGuard<'_, InForce> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, for what is kept beside the records.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Takes a change through. When it returns, packets are treated by it and no crash undoes it; if it
    /// returns a refusal, nothing has changed. Changes go one by one.
    ///
    /// # Errors
    /// What `work` refused with; or what the whole, the data path or the store said to it.
    pub fn change<T>(&self, now: Seconds, work: impl FnOnce(&mut Draft) -> Result<T>) -> Result<T> {
        let mut trail = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.cloud();
        let told = self.config();
        let mut draft = Draft::new(Cloud::clone(&before), now);
        let answer = work(&mut draft)?;
        let config = draft.rendered();
        let differs = draft.renew || config != told;
        if differs {
            refuse(validate::check_after(&config, &told))?;
        }
        if draft.dry_run {
            return Err(Refusal::dry_run());
        }
        let (txn, longer) = transaction(&*self.store, *trail, &before, &draft)?;
        if differs {
            self.plane.apply(&config).map_err(|why| {
                Refusal::bad(
                    "OperationFailed.DataPath",
                    format!("It cannot be brought into force: {why}."),
                )
            })?;
        }
        if !txn.success.is_empty()
            && let Err(error) = self.store.transact(txn)
        {
            let mut message = format!("It cannot be made durable, and is undone: {error}.");
            if differs && let Err(why) = self.plane.apply(&told) {
                message = format!(
                    "It cannot be made durable ({error}), but is in force and cannot be undone: {why}."
                );
            }
            return Err(Refusal::internal(message));
        }
        *trail = longer;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = InForce {
            cloud: Arc::new(draft.into_cloud()),
            config,
        };
        Ok(answer)
    }

    /// Writes to the audit trail what changed nothing: a refused call. What changes something says so itself, with
    /// [`Draft::put_on_record`].
    ///
    /// # Errors
    /// If it cannot be made durable.
    pub fn record(&self, event: &Event) -> Result<()> {
        let mut trail = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (ops, longer) = trail.append(&*self.store, event)?;
        let txn = ops.into_iter().fold(Txn::new(), Txn::then);
        self.store.transact(txn).map_err(|error| {
            Refusal::internal(format!("It cannot be written to the audit trail: {error}."))
        })?;
        *trail = longer;
        Ok(())
    }

    /// At most so many events of the audit trail, from the newest to the oldest or, if `forward`, the other way
    /// round; those that come behind the number `after`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn events(&self, after: Option<u64>, forward: bool, most: usize) -> Result<Events> {
        audit::events(&*self.store, after, forward, most)
            .map_err(|error| Refusal::internal(format!("The audit trail cannot be read: {error}.")))
    }
}

fn load(store: &dyn Store) -> std::result::Result<Cloud, StartError> {
    let mut cloud = Cloud::default();
    let mut list = List::prefix(PREFIX);
    loop {
        let page = store.list(&list)?;
        cloud.load(&page.items).map_err(StartError::Records)?;
        match page.items.last() {
            Some(last) if page.more => list = list.after(&last.key),
            _ => return Ok(cloud),
        }
    }
}

/// What makes a draft durable, and the audit trail as it is then.
fn transaction(
    store: &dyn Store,
    trail: Trail,
    before: &Cloud,
    draft: &Draft,
) -> Result<(Txn, Trail)> {
    let changes = draft
        .changes(before)
        .map_err(|error| Refusal::internal(format!("It cannot be written: {error}.")))?;
    let records = changes.into_iter().map(|(key, value)| match value {
        Some(value) => Op::put(key, value),
        None => Op::delete(key),
    });
    let beside = draft.beside.iter().cloned();
    let beside = beside.map(|(key, value)| Op::put(key, value));
    let (event, trail) = match &draft.event {
        Some(event) => trail.append(store, event)?,
        None => (Vec::new(), trail),
    };
    let ops = records.chain(beside).chain(event);
    Ok((ops.fold(Txn::new(), Txn::then), trail))
}

/// The rules that go across resources; operations refuse most of what they find with a better code.
fn refuse(problems: Vec<Problem>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = problems.iter().take(3).map(|it| it.to_string()).collect();
    Err(Refusal::bad(
        "OperationConflict",
        format!("{}.", told.join("; ")),
    ))
}
