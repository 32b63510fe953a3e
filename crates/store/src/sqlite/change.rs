//! What a transaction writes: the keys, their history, the revision.

use rusqlite::{Connection, OptionalExtension, params};

use super::query::{self, State, bounds, key, number, signed};
use super::{Fault, Options};
use crate::{Error, MAX_CHANGES, Op, OpResult, Outcome, Range, Revision, Txn};

/// What a change costs besides its key and value, roughly.
const OVERHEAD: usize = 64;

/// Runs a transaction inside one of SQLite's. Returns its outcome, and the revision if it changed something.
pub fn run(
    connection: &Connection,
    txn: &Txn,
    options: &Options,
) -> Result<(Outcome, Option<Revision>), Fault> {
    let state = query::state(connection)?;
    let mut succeeded = true;
    for compare in &txn.compare {
        if !query::holds(connection, compare)? {
            succeeded = false;
            break;
        }
    }
    let mut change = Change {
        connection,
        revision: state.revision.next(),
        changes: 0,
        bytes: 0,
    };
    let mut results = Vec::new();
    for op in if succeeded {
        &txn.success
    } else {
        &txn.failure
    } {
        results.push(match op {
            Op::Put { key, value } => {
                change.put(key, value)?;
                OpResult::Put
            }
            Op::Delete(range) => OpResult::Deleted(change.delete(range)?),
            Op::Get(list) => OpResult::Page(query::page(connection, list, state.revision)?),
        });
    }
    if change.changes == 0 {
        return Ok((
            Outcome {
                succeeded,
                revision: state.revision,
                results,
            },
            None,
        ));
    }
    let revision = change.revision;
    for result in &mut results {
        if let OpResult::Page(page) = result {
            page.revision = revision;
        }
    }
    let bytes = state.history_bytes.saturating_add(change.bytes as u64);
    trim(
        connection,
        State {
            revision,
            history_bytes: bytes,
            ..state
        },
        options,
    )?;
    Ok((
        Outcome {
            succeeded,
            revision,
            results,
        },
        Some(revision),
    ))
}

/// A transaction that is being written.
struct Change<'a> {
    connection: &'a Connection,
    revision: Revision,
    /// How many keys have changed.
    changes: usize,
    /// How much history that makes.
    bytes: usize,
}

impl Change<'_> {
    fn put(&mut self, key: &str, value: &[u8]) -> Result<(), Fault> {
        let revision = signed(self.revision.0);
        let (created, version) = self
            .connection
            .prepare_cached(
                "INSERT INTO kv VALUES (?1, ?2, ?3, ?3, 1) ON CONFLICT (key) DO UPDATE
                 SET value = excluded.value, mod_revision = excluded.mod_revision, version = version + 1
                 RETURNING create_revision, version",
            )?
            .query_row(params![key.as_bytes(), value, revision], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
        self.record(key, Some(value), created, version)
    }

    fn delete(&mut self, range: &Range) -> Result<usize, Fault> {
        let (start, end) = bounds(range);
        // One more than may be, to see that there are more.
        let room = MAX_CHANGES - self.changes + 1;
        let keys = self
            .connection
            .prepare_cached(
                "SELECT key FROM kv WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
            )?
            .query_map(params![start, end, signed(room as u64)], |row| key(row, 0))?
            .collect::<Result<Vec<_>, _>>()?;
        for key in &keys {
            self.record(key, None, 0, 0)?;
        }
        self.connection
            .prepare_cached("DELETE FROM kv WHERE key >= ?1 AND key < ?2")?
            .execute(params![start, end])?;
        Ok(keys.len())
    }

    /// Adds an event to the history.
    fn record(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        created: u64,
        version: u64,
    ) -> Result<(), Fault> {
        if self.changes == MAX_CHANGES {
            return Err(Error::Changes.into());
        }
        self.connection
            .prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                signed(self.revision.0),
                signed(self.changes as u64),
                key.as_bytes(),
                value,
                signed(created),
                signed(version)
            ])?;
        self.changes += 1;
        self.bytes += key.len() + value.map_or(0, <[u8]>::len) + OVERHEAD;
        Ok(())
    }
}

/// Forgets what is too much history, and writes the state.
fn trim(connection: &Connection, mut state: State, options: &Options) -> Result<(), Fault> {
    let keep = options.history_revisions.max(1);
    while state.oldest < state.revision
        && (state.revision.0 - state.oldest.0 >= keep
            || state.history_bytes > options.history_bytes)
    {
        forget(connection, &mut state)?;
    }
    save(connection, state)
}

/// Forgets the changes before a revision. None of this is a change to the store.
pub fn compact(
    connection: &Connection,
    revision: Revision,
) -> Result<((), Option<Revision>), Fault> {
    let mut state = query::state(connection)?;
    if revision > state.revision {
        return Err(Error::Future {
            asked: revision,
            current: state.revision,
        }
        .into());
    }
    if revision <= state.oldest {
        return Ok(((), None));
    }
    while state.oldest < revision {
        forget(connection, &mut state)?;
    }
    save(connection, state)?;
    Ok(((), Some(state.revision)))
}

/// Forgets the oldest revision.
fn forget(connection: &Connection, state: &mut State) -> Result<(), Fault> {
    let oldest = signed(state.oldest.0);
    let size = format!(
        "SELECT sum(length(key) + coalesce(length(value), 0) + {OVERHEAD}) FROM event WHERE revision = ?1"
    );
    let bytes: Option<Option<i64>> = connection
        .prepare_cached(&size)?
        .query_row([oldest], |row| row.get(0))
        .optional()?;
    connection
        .prepare_cached("DELETE FROM event WHERE revision = ?1")?
        .execute([oldest])?;
    let bytes = u64::try_from(bytes.flatten().unwrap_or(0)).unwrap_or(0);
    state.history_bytes = state.history_bytes.saturating_sub(bytes);
    state.oldest = state.oldest.next();
    Ok(())
}

fn save(connection: &Connection, state: State) -> Result<(), Fault> {
    let row = params![
        signed(state.revision.0),
        signed(state.oldest.0),
        signed(state.history_bytes)
    ];
    let changed = connection
        .prepare_cached("UPDATE state SET revision = ?1, oldest = ?2, history_bytes = ?3")?
        .execute(row)?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Fault::Damage(format!("its state has {changed} rows")))
    }
}
