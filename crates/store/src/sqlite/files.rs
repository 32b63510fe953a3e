//! The files of a store: who may read them, who owns them, how one comes into its place.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::Error;

/// `path` with something appended to its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Makes the store's directory and takes its lock; returns the file's path with all links resolved, and the
/// lock.
///
/// The lock is on a file of its own: closing any descriptor of the database would drop SQLite's locks on it.
/// Links are resolved first, so that two ways to one file lead to one lock.
pub fn claim(path: &Path) -> Result<(PathBuf, File), Error> {
    let path = resolve(path)?;
    if path.is_dir() {
        return Err(Error::io(path, "open", io::ErrorKind::IsADirectory.into()));
    }
    let name = beside(&path, ".lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&name)
        .map_err(|e| Error::io(&name, "open the lock file", e))?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
        Err(TryLockError::Error(e)) => Err(Error::io(name, "lock", e)),
    }
}

/// The absolute path of a file that need not exist, its directory made if it is not there.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(path) {
        Ok(path) => return Ok(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io(path, "open", e)),
    }
    let Some(name) = path.file_name() else {
        return Err(Error::io(
            path,
            "open",
            io::ErrorKind::InvalidFilename.into(),
        ));
    };
    let directory = directory(path);
    make_directory(directory)?;
    let directory = fs::canonicalize(directory).map_err(|e| Error::io(directory, "open", e))?;
    Ok(directory.join(name))
}

/// Makes a directory and those above it, each durable before the next.
fn make_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    let above = directory(path);
    make_directory(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_directory(above),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(Error::io(path, "make the directory", e)),
    }
}

/// The directory that a path is in.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|d| d.sync_all())
        .map_err(|e| Error::io(path, "write the directory", e))
}

/// How large a file is, if there is one.
pub fn size(path: &Path) -> Result<Option<u64>, Error> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, "open", e)),
    }
}

/// Whether there is a database; an error if there is only a part of one.
pub fn exists(path: &Path) -> Result<bool, Error> {
    let damaged = |detail: &str| {
        Err(Error::Damaged {
            path: path.to_owned(),
            detail: detail.to_owned(),
        })
    };
    // SQLite would take both for a new database, and what was acknowledged would be gone without a word.
    match size(path)? {
        Some(0) => damaged("the file is empty; delete it if there was never anything in it"),
        Some(_) => Ok(true),
        None if size(&beside(path, "-wal"))?.is_some_and(|n| n > 0) => {
            damaged("only its log is there (NAME-wal)")
        }
        None => Ok(false),
    }
}

/// Takes the database and its log from everyone but their owner. SQLite gives new ones the database's mode.
pub fn restrict(path: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm"] {
        let name = beside(path, suffix);
        match fs::set_permissions(&name, Permissions::from_mode(0o600)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(name, "set the mode of", e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Gives a database and its log other names, with `.damaged` behind them. What was there under these goes.
pub fn put_aside(path: &Path) -> Result<(), Error> {
    let aside = beside(path, ".damaged");
    for suffix in ["-shm", "-wal", ""] {
        let [from, to] = [path, &aside].map(|path| beside(path, suffix));
        let moved = match fs::rename(&from, &to) {
            // Then the other's is not that of this one.
            Err(e) if e.kind() == io::ErrorKind::NotFound => match fs::remove_file(&to) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                gone => gone,
            },
            moved => moved,
        };
        moved.map_err(|e| Error::io(from, "put aside", e))?;
    }
    sync_directory(directory(path))
}

/// A new empty file for what will come into this place, readable by its owner only.
pub fn draft(path: &Path) -> Result<NamedTempFile, Error> {
    // What comes into its place would be the end of a device.
    if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        let why = io::Error::other("it is there, and is no file");
        return Err(Error::io(path, "replace", why));
    }
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(".partial")
        .tempfile_in(directory(path))
        .map_err(|e| Error::io(path, "make a temporary file beside", e))
}

/// Puts a finished draft in its place, at once and durably.
pub fn place(draft: NamedTempFile, path: &Path) -> Result<(), Error> {
    draft
        .as_file()
        .sync_all()
        .map_err(|e| Error::io(path, "write", e))?;
    draft
        .persist(path)
        .map_err(|e| Error::io(path, "replace", e.error))?;
    sync_directory(directory(path))
}
