//! Copies of a store, and back.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tempfile::NamedTempFile;

use super::{Fault, Sqlite, files, format};
use crate::Error;

impl Sqlite {
    /// Copies the store as it is at one moment into a file, while it is used. Readers and writers go on; the
    /// log grows meanwhile.
    ///
    /// The copy is checked, then put in its place at once, replacing what was there; if something fails, the
    /// place is as before. It is a database of its own that [`Sqlite::open`] opens, in one file that only its
    /// owner may read.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        // Over its own files it would take the store from under itself.
        for suffix in ["", "-wal", "-shm", ".lock"] {
            if is_same(path, &files::beside(&self.path, suffix)) {
                return Err(refused(
                    path,
                    "back up into",
                    "it is the store itself; give another path",
                ));
            }
        }
        let source =
            format::open_reader(&self.path).map_err(|fault| fault.at(&self.path, "read"))?;
        files::place(copy(&source, &self.path, path)?, path)
    }
}

/// Puts a backup in the place of a store that nobody has open. What that store held is lost.
///
/// The backup is checked thoroughly first, and the copy again; if something fails, the store is as before.
/// A backup in an older format than this program's will do, a newer one will not.
pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Error> {
    let from = from.as_ref();
    if !files::exists(from)? {
        let why = io::Error::new(io::ErrorKind::NotFound, "there is no such file");
        return Err(Error::io(from, "restore", why));
    }
    let (to, _lock) = files::claim(to.as_ref())?;
    if is_same(from, &to) {
        return Err(refused(
            from,
            "restore",
            "it is the store itself; give the path of a backup",
        ));
    }
    let source = format::open_copy(from).map_err(|fault| fault.at(from, "restore"))?;
    let draft = copy(&source, from, &to)?;
    // The old log must be gone before the new database is there, or SQLite would take it for its own. What
    // it holds goes into the old database first, so that a failure in between loses nothing.
    settle_log(&to);
    for suffix in ["-wal", "-shm"] {
        let name = files::beside(&to, suffix);
        match fs::remove_file(&name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(name, "delete", e));
            }
            _ => {}
        }
    }
    files::place(draft, &to)
}

/// Whether two paths lead to one file. What does not exist is none.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn refused(path: &Path, doing: &'static str, problem: &'static str) -> Error {
    Error::io(
        path,
        doing,
        io::Error::new(io::ErrorKind::InvalidInput, problem),
    )
}

/// Moves the log of a store into its database, if that is still possible; if not, it is damaged, and about to
/// be replaced.
fn settle_log(path: &Path) {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > 0)
        && let Ok(old) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    {
        let _ = old.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

/// A checked copy of a database, beside the place where it is to go: one file, without a log.
fn copy(source: &Connection, name: &Path, place: &Path) -> Result<NamedTempFile, Error> {
    let draft = files::draft(place)?;
    let fill = || {
        let mut target =
            Connection::open_with_flags(draft.path(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Nobody else knows the file, and it is synchronised at the end.
        target.pragma_update(None, "synchronous", "OFF")?;
        // All pages in one step are one snapshot.
        let done = Backup::new(source, &mut target)?.step(-1)?;
        if !matches!(done, StepResult::Done) {
            return Err(Fault::Ours(Error::Locked {
                path: name.to_owned(),
            }));
        }
        let mode: String =
            target.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("delete") {
            return Err(Fault::Damage(format!("its copy is in journal mode {mode}")));
        }
        target.close().map_err(|(_, error)| error)?;
        format::open_copy(draft.path())?;
        Ok(())
    };
    fill().map_err(|fault| match fault.at(place, "copy into") {
        // A copy is damaged because what it is of is.
        Error::Damaged { detail, .. } => Error::Damaged {
            path: name.to_owned(),
            detail,
        },
        other => other,
    })?;
    Ok(draft)
}
