//! The state directory of a gateway.
//!
//! `STATE/NAME/state.db` holds the resources (see the crate `control`), and with them the hash of the
//! configuration file that they were taken from last. At a start
//!
//! * what is stored goes on if the file is still the same: neither a restart nor a crash undoes an `apply` or a
//!   call of the API;
//! * if somebody has edited the file since, it is applied: editing the file and restarting does what one expects.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest configuration in bytes.
pub const MAX_CONFIG: u64 = 32 << 20;

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another daemon has it.
    #[error("a gateway with this name runs already on the state directory {}", .0.display())]
    Locked(PathBuf),
    /// The operating system said no.
    #[error("cannot {action} {}: {error}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |error| StateError::Io {
        action,
        path,
        error,
    }
}

/// SHA-256 in hexadecimal.
pub fn hash(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Reads a configuration file.
///
/// # Errors
/// If it cannot be read, is larger than [`MAX_CONFIG`] or is not UTF-8.
pub fn read_config(path: &Path) -> Result<String, StateError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    read_text(file).map_err(io_error("read", path))
}

/// Reads the text of a configuration to its end.
///
/// # Errors
/// If it cannot be read, is larger than [`MAX_CONFIG`] or is not UTF-8.
pub fn read_text(input: impl Read) -> io::Result<String> {
    let mut text = Vec::new();
    input.take(MAX_CONFIG + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_CONFIG {
        let why = format!("it is larger than {} MiB", MAX_CONFIG >> 20);
        return Err(io::Error::other(why));
    }
    String::from_utf8(text).map_err(|error| io::Error::other(not_text(&error)))
}

/// Where a file is no UTF-8, and that it should be.
fn not_text(error: &std::string::FromUtf8Error) -> String {
    let (read, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
    let line = 1 + read.iter().filter(|it| **it == b'\n').count();
    let byte = rest.first().copied().unwrap_or_default();
    format!(
        "line {line}: the byte {byte:#04x} is no UTF-8 there: a configuration is a text in UTF-8"
    )
}

/// The state directory of one gateway, locked as long as this lives.
#[derive(Debug)]
pub struct StateDir {
    dir: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Opens the directory of the gateway `name` under `base` and takes its lock; makes it if it is not
    /// there, readable by its owner only.
    ///
    /// # Errors
    /// [`StateError::Locked`] if another process has it, [`StateError::Io`] if it cannot be made.
    pub fn open(base: &Path, name: &str) -> Result<StateDir, StateError> {
        let dir = base.join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(io_error("make the directory", &dir))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(StateDir { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked(dir)),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The database of the resources.
    pub fn database(&self) -> PathBuf {
        self.dir.join("state.db")
    }

    /// The database of what has gone by.
    pub fn usage(&self) -> PathBuf {
        self.dir.join("usage.db")
    }

    /// The database of what policies have counted.
    pub fn hits(&self) -> PathBuf {
        self.dir.join("hits.db")
    }

    /// The directory of the cloud API: its keys, its certificate, the calls that it has seen. It is made if it
    /// is not there, readable by its owner only.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn api_dir(&self) -> Result<PathBuf, StateError> {
        let dir = self.dir.join("api");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(io_error("make the directory", &dir))?;
        Ok(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn open() -> (TempDir, StateDir) {
        let base = TempDir::new().unwrap();
        let state = StateDir::open(base.path(), "gw").unwrap();
        (base, state)
    }

    #[test]
    fn a_hash_is_sha_256() {
        assert_eq!(
            hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn two_daemons_cannot_share_a_directory_but_names_are_apart() {
        let (base, first) = open();
        assert!(matches!(
            StateDir::open(base.path(), "gw"),
            Err(StateError::Locked(_))
        ));
        StateDir::open(base.path(), "other").unwrap();
        drop(first);
        StateDir::open(base.path(), "gw").unwrap();
    }

    #[test]
    fn a_configuration_that_is_too_large_or_not_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gw.toml");
        fs::write(&path, "a = 1\n").unwrap();
        assert_eq!(read_config(&path).unwrap(), "a = 1\n");
        fs::write(&path, b"a = 1\nb = \xff\n").unwrap();
        let error = read_config(&path).unwrap_err().to_string();
        assert!(error.contains("line 2: the byte 0xff"), "{error}");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_CONFIG).unwrap();
        assert_eq!(read_config(&path).unwrap().len() as u64, MAX_CONFIG);
        file.set_len(MAX_CONFIG + 1).unwrap();
        assert!(
            read_config(&path)
                .unwrap_err()
                .to_string()
                .contains("32 MiB")
        );
        assert!(read_config(Path::new("/nonexistent/gw.toml")).is_err());
        let error = read_text(io::repeat(b'#')).unwrap_err().to_string();
        assert!(error.contains("32 MiB"), "{error}");
    }
}
