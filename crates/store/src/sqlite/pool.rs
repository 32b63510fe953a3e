//! The connections that read, and the news that something was committed.
//!
//! Watches share it with the store, and outlive it: closing waits for those that read at that moment, and
//! from then on nobody gets a connection.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::{Connection, TransactionBehavior};

use super::{Fault, format};
use crate::{Error, Revision};

/// How many connections are kept for the next who reads; more are made and closed again.
const KEPT: usize = 4;

pub struct Pool {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The last revision that was committed, as far as told.
    published: Revision,
    closed: bool,
    idle: Vec<Connection>,
    /// How many connections are in use.
    lent: usize,
}

impl Pool {
    pub fn new(path: PathBuf) -> Pool {
        let state = State {
            published: Revision(0),
            closed: false,
            idle: Vec::new(),
            lent: 0,
        };
        Pool {
            path,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Runs `work` on a snapshot of the database.
    pub fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let mut lent = self.lend()?;
        let run = || {
            let connection = match &mut lent.connection {
                Some(connection) => connection,
                empty => empty.insert(format::open_reader(&self.path)?),
            };
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            work(&transaction)
        };
        run().map_err(|fault: Fault| fault.at(&self.path, doing))
    }

    /// Tells that this revision is committed.
    pub fn publish(&self, revision: Revision) {
        let mut state = self.lock();
        state.published = state.published.max(revision);
        self.changed.notify_all();
    }

    /// Waits until this revision is committed: false if it was not before the deadline. No deadline is none.
    pub fn wait(&self, revision: Revision, deadline: Option<Instant>) -> Result<bool, Error> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Error::Closed);
            }
            if state.published >= revision {
                return Ok(true);
            }
            state = match deadline {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(false);
                    }
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Closes all connections and ends all waiting.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.idle.clear();
        self.changed.notify_all();
        while state.lent > 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lend(&self) -> Result<Lent<'_>, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.lent += 1;
        Ok(Lent {
            pool: self,
            connection: state.idle.pop(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is under it is whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use; `None` is one that has still to be made.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        match self.connection.take() {
            Some(connection) if !state.closed && state.idle.len() < KEPT => {
                state.idle.push(connection)
            }
            // Closed before it counts as returned.
            other => drop(other),
        }
        state.lent -= 1;
        if state.closed {
            self.pool.changed.notify_all();
        }
    }
}
