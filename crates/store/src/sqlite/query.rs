//! Reading: the state's row, pages of keys, comparisons.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::Fault;
use crate::{Compare, KeyValue, List, Order, Page, Range, Relation, Revision, Wanted};

/// What the one row of `state` says.
#[derive(Clone, Copy)]
pub struct State {
    pub revision: Revision,
    /// The oldest revision whose changes are kept.
    pub oldest: Revision,
    /// About how many bytes the kept changes are.
    pub history_bytes: u64,
}

/// The state as of the transaction that this is in.
pub fn state(connection: &Connection) -> Result<State, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT revision, oldest, history_bytes FROM state")?;
    Ok(statement.query_row([], |row| {
        Ok(State {
            revision: Revision(number(row, 0)?),
            oldest: Revision(number(row, 1)?),
            history_bytes: number(row, 2)?,
        })
    })?)
}

/// SQLite's integers are signed; none of ours is negative.
pub fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// The other way; no store lives long enough to reach the end.
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    String::from_utf8(row.get(column)?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, e.into()))
}

/// The bounds of a range, as SQLite compares them. No UTF-8 has the byte ff.
pub fn bounds(range: &Range) -> (&[u8], &[u8]) {
    (
        range.start().as_bytes(),
        range.end().map_or(b"\xff", str::as_bytes),
    )
}

/// The keys of a list, as of the transaction that this is in; `revision` is its revision.
pub fn page(connection: &Connection, list: &List, revision: Revision) -> Result<Page, Fault> {
    let range = list.rest();
    let (start, end) = bounds(&range);
    let mut statement = connection.prepare_cached(match list.order {
        Order::Ascending => {
            "SELECT key, value, create_revision, mod_revision, version FROM kv
             WHERE key >= ?1 AND key < ?2 ORDER BY key"
        }
        Order::Descending => {
            "SELECT key, value, create_revision, mod_revision, version FROM kv
             WHERE key >= ?1 AND key < ?2 ORDER BY key DESC"
        }
    })?;
    let mut rows = statement.query(params![start, end])?;
    let mut page = Page {
        items: Vec::new(),
        more: false,
        revision,
    };
    while let Some(row) = rows.next()? {
        if list.limit != 0 && page.items.len() == list.limit {
            page.more = true;
            break;
        }
        page.items.push(KeyValue {
            key: key(row, 0)?,
            value: row.get(1)?,
            create_revision: Revision(number(row, 2)?),
            mod_revision: Revision(number(row, 3)?),
            version: number(row, 4)?,
        });
    }
    Ok(page)
}

/// Whether a comparison holds: for all keys of its range, or for the key that is not there.
pub fn holds(connection: &Connection, compare: &Compare) -> Result<bool, Fault> {
    let (column, wanted): (_, &dyn rusqlite::ToSql) = match &compare.wanted {
        Wanted::Version(n) => ("version", &signed(*n)),
        Wanted::CreateRevision(r) => ("create_revision", &signed(r.0)),
        Wanted::ModRevision(r) => ("mod_revision", &signed(r.0)),
        Wanted::Value(value) => ("value", value),
    };
    let relation = match compare.relation {
        Relation::Equal => "=",
        Relation::NotEqual => "<>",
        Relation::Greater => ">",
        Relation::Less => "<",
    };
    // Of a key that is not there the value is unknown, which no relation holds for.
    let absent = if column == "value" {
        "0"
    } else {
        "0 {relation} ?3"
    }
    .replace("{relation}", relation);
    let sql = format!(
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM kv WHERE key >= ?1 AND key < ?2)
                THEN NOT EXISTS (SELECT 1 FROM kv WHERE key >= ?1 AND key < ?2 AND NOT ({column} {relation} ?3))
                ELSE {absent} END"
    );
    let (start, end) = bounds(&compare.range);
    Ok(connection
        .prepare_cached(&sql)?
        .query_row(params![start, end, wanted], |row| row.get(0))?)
}
