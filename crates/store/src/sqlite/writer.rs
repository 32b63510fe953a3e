//! The connection that writes, and sharing a commit.
//!
//! A commit waits for the disk. Transactions that come meanwhile wait in a queue, and the first of their callers
//! that finds the connection free does all of them in one commit: each in a savepoint of its own, with its own
//! revision and its own outcome. So ten callers are not ten times slower than one.

use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::log::{Log, News};
use super::pool::Pool;
use super::{Fault, Options, change};
use crate::{Error, Outcome, Revision, Txn};

/// Most transactions that share a commit.
const TOGETHER: usize = 64;

pub struct Writer {
    path: PathBuf,
    options: Options,
    pool: Arc<Pool>,
    queue: Mutex<Vec<Job>>,
    /// Tells those in the queue that there are answers, and that the connection is free.
    free: Condvar,
    core: Mutex<Core>,
}

struct Core {
    connection: Connection,
    log: Log,
    /// A write did not reach the disk. The kernel may have dropped it, and would not tell again.
    failed: bool,
}

/// The use of the connection.
struct Turn<'a> {
    core: MutexGuard<'a, Core>,
    // After the connection is free, which is why it stands behind it.
    _wake: Wake<'a>,
}

struct Wake<'a>(&'a Writer);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        // Those who have just found the connection in use are waiting once this is locked.
        let _queue = lock(&self.0.queue);
        self.0.free.notify_all();
    }
}

/// A transaction that waits, and where its answer goes.
struct Job {
    txn: Txn,
    answer: Arc<Mutex<Option<Result<Outcome, Error>>>>,
}

impl Writer {
    /// With the news that [`keep_short`](super::log::keep_short) goes by.
    pub fn new(
        path: PathBuf,
        options: Options,
        pool: Arc<Pool>,
        mut connection: Connection,
    ) -> Result<(Writer, News), Error> {
        let log = Log::watch(&mut connection);
        let (log, news) = log.map_err(|error| Fault::from(error).at(&path, "open"))?;
        let core = Mutex::new(Core {
            connection,
            log,
            failed: false,
        });
        let writer = Writer {
            path,
            options,
            pool,
            queue: Mutex::default(),
            free: Condvar::new(),
            core,
        };
        Ok((writer, news))
    }

    /// Does a transaction, perhaps with those of others.
    pub fn transact(&self, txn: Txn) -> Result<Outcome, Error> {
        let answer = Arc::default();
        let mut queue = lock(&self.queue);
        queue.push(Job {
            txn,
            answer: Arc::clone(&answer),
        });
        loop {
            if let Some(answer) = lock(&answer).take() {
                return answer;
            }
            let Some(mut turn) = self.turn() else {
                queue = self
                    .free
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let first = queue.len().min(TOGETHER);
            let later = queue.split_off(first);
            let jobs = mem::replace(&mut *queue, later);
            drop(queue);
            if jobs.is_empty() {
                // Who had taken it panicked; nobody knows how far it came.
                turn.core.failed = true;
                return Err(self.failed());
            }
            self.work(&mut turn.core, jobs);
            drop(turn);
            queue = lock(&self.queue);
        }
    }

    /// Forgets history.
    pub fn compact(&self, revision: Revision) -> Result<(), Error> {
        let mut turn = self.wait();
        self.attempt(&mut turn.core, "compact", |t| change::compact(t, revision))
    }

    /// Shortens the log, if it is long and nobody has done it since.
    pub fn shorten_log(&self) {
        let turn = self.wait();
        if !turn.core.failed {
            turn.core.log.shorten(&turn.core.connection);
        }
    }

    /// Ends the news of the log.
    pub fn leave_log(&self) {
        // It cannot fail: no statement is run.
        let _ = Log::leave(&mut self.wait().core.connection);
    }

    /// The connection, when it is free.
    fn wait(&self) -> Turn<'_> {
        let mut queue = lock(&self.queue);
        loop {
            match self.turn() {
                Some(turn) => return turn,
                None => {
                    queue = self
                        .free
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }

    /// The connection, if it is free. To be asked for with the queue locked, so that no wake-up is missed.
    fn turn(&self) -> Option<Turn<'_>> {
        let core = match self.core.try_lock() {
            Ok(core) => core,
            Err(TryLockError::Poisoned(core)) => core.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Turn {
            core,
            _wake: Wake(self),
        })
    }

    /// Does some transactions and answers them.
    fn work(&self, core: &mut Core, jobs: Vec<Job>) {
        if jobs.len() > 1 {
            match self.attempt(core, "commit", |t| together(t, &jobs, &self.options)) {
                Ok(results) => {
                    return jobs
                        .iter()
                        .zip(results)
                        .for_each(|(job, result)| job.answer(result));
                }
                // It was waited for long enough; not once more for each.
                Err(Error::Locked { path }) => {
                    return jobs
                        .iter()
                        .for_each(|job| job.answer(Err(Error::Locked { path: path.clone() })));
                }
                // The disk or the database has something against one of them; nothing has been done.
                Err(_) => {}
            }
        }
        for job in jobs {
            job.answer(self.attempt(core, "commit", |t| change::run(t, &job.txn, &self.options)));
        }
    }

    /// One of SQLite's transactions. `work` says which revision it comes to, if it changed something.
    fn attempt<T>(
        &self,
        core: &mut Core,
        doing: &'static str,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<(T, Option<Revision>), Fault>,
    ) -> Result<T, Error> {
        if core.failed {
            return Err(self.failed());
        }
        core.log.shorten(&core.connection);
        let run = || {
            let mut transaction = core
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (result, changed) = work(&mut transaction)?;
            match changed {
                Some(_) => transaction.commit()?,
                None => transaction.rollback()?,
            }
            Ok::<_, Fault>((result, changed))
        };
        match run() {
            Ok((result, changed)) => {
                if let Some(revision) = changed {
                    self.pool.publish(revision);
                }
                Ok(result)
            }
            Err(fault) => {
                core.failed = fault.lost_a_write();
                Err(fault.at(&self.path, doing))
            }
        }
    }

    fn failed(&self) -> Error {
        Error::Failed {
            path: self.path.clone(),
        }
    }
}

impl Job {
    fn answer(&self, result: Result<Outcome, Error>) {
        *lock(&self.answer) = Some(result);
    }
}

type Results = Vec<Result<Outcome, Error>>;

/// Does all transactions within one of SQLite's, each whole or not at all.
fn together(
    transaction: &mut Transaction<'_>,
    jobs: &[Job],
    options: &Options,
) -> Result<(Results, Option<Revision>), Fault> {
    let mut results = Vec::with_capacity(jobs.len());
    let mut last = None;
    for job in jobs {
        let savepoint = transaction.savepoint()?;
        match change::run(&savepoint, &job.txn, options) {
            Ok((outcome, changed)) => {
                savepoint.commit()?;
                last = changed.or(last);
                results.push(Ok(outcome));
            }
            // Refused; the savepoint takes back what it had done.
            Err(Fault::Ours(error)) => {
                savepoint.finish()?;
                results.push(Err(error));
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok((results, last))
}

/// What these hold is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
