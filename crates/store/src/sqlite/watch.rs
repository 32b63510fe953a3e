//! Watching: a place in the history, and the wait for more.
//!
//! A watch holds no queue that a slow reader could fill. It reads the history table from where it is, a
//! bounded piece at a time, so that past and present come from one place and nothing can fall between them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::Fault;
use super::pool::Pool;
use super::query::{self, bounds, key, number, signed};
use crate::{Changes, Error, Event, KeyValue, Range, Revision, Watch};

/// After so many events, or bytes, a piece ends with the transaction that it is in.
const PIECE_EVENTS: usize = 256;
const PIECE_BYTES: usize = 1 << 20;

pub struct Cursor {
    pool: Arc<Pool>,
    range: Range,
    /// The first revision that has not been read yet.
    next: Revision,
    /// What has been read but not handed out.
    ready: VecDeque<Changes>,
}

impl Cursor {
    pub fn new(pool: Arc<Pool>, range: Range, from: Revision) -> Result<Cursor, Error> {
        pool.read("watch", |c| not_forgotten(c, from).map(|_| ()))?;
        Ok(Cursor {
            pool,
            range,
            next: from,
            ready: VecDeque::new(),
        })
    }

    /// Reads on, as far as there is something and a piece goes.
    fn read(&mut self) -> Result<(), Error> {
        let (ready, next) = self
            .pool
            .read("watch", |c| piece(c, &self.range, self.next))?;
        self.ready = ready;
        self.next = next;
        Ok(())
    }
}

impl Watch for Cursor {
    fn next(&mut self, timeout: Duration) -> Result<Option<Changes>, Error> {
        // None is a time that never comes.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(changes) = self.ready.pop_front() {
                return Ok(Some(changes));
            }
            if !self.pool.wait(self.next, deadline)? {
                return Ok(None);
            }
            self.read()?;
        }
    }
}

/// The store's revision, if the history still reaches back to this one.
fn not_forgotten(connection: &Connection, from: Revision) -> Result<Revision, Fault> {
    let state = query::state(connection)?;
    if from < state.oldest {
        return Err(Error::Compacted {
            asked: from,
            oldest: state.oldest,
        }
        .into());
    }
    Ok(state.revision)
}

/// The transactions from a revision on that changed something in the range, and where to go on.
fn piece(
    connection: &Connection,
    range: &Range,
    from: Revision,
) -> Result<(VecDeque<Changes>, Revision), Fault> {
    let current = not_forgotten(connection, from)?;
    let (start, end) = bounds(range);
    let mut statement = connection.prepare_cached(
        "SELECT revision, key, value, create_revision, version FROM event
         WHERE revision >= ?1 AND key >= ?2 AND key < ?3 ORDER BY revision, position",
    )?;
    let mut rows = statement.query(params![signed(from.0), start, end])?;
    let mut ready: VecDeque<Changes> = VecDeque::new();
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        let revision = Revision(number(row, 0)?);
        let same = ready.back().is_some_and(|last| last.revision == revision);
        if !same {
            if count >= PIECE_EVENTS || bytes >= PIECE_BYTES {
                return Ok((ready, revision));
            }
            ready.push_back(Changes {
                revision,
                events: Vec::new(),
            });
        }
        let key = key(row, 1)?;
        count += 1;
        bytes += key.len();
        let event = match row.get::<_, Option<Vec<u8>>>(2)? {
            None => Event::Deleted { key },
            Some(value) => {
                bytes += value.len();
                Event::Put(KeyValue {
                    key,
                    value,
                    create_revision: Revision(number(row, 3)?),
                    mod_revision: revision,
                    version: number(row, 4)?,
                })
            }
        };
        if let Some(last) = ready.back_mut() {
            last.events.push(event);
        }
    }
    // Watching may have begun at a revision that is still to come.
    Ok((ready, current.next().max(from)))
}
