//! The configuration that runs, kept across restarts.
//!
//! A gateway is started with a configuration file and may be changed with `apply` while it runs. What
//! was applied last is written to `STATE/NAME/running.toml` before the change is acknowledged, together
//! with the hash of the configuration file that the gateway was started with. At the next start
//!
//! * the applied configuration goes on if the file is still the same;
//! * the file wins if somebody has edited it since, and replaces the record.
//!
//! So neither a restart nor a crash undoes an `apply`, and editing the file and restarting does what one
//! expects. The record is the text of the applied file under four comment lines, and stays readable as
//! TOML:
//!
//! ```text
//! # The running configuration, kept by sluice. Do not edit: change it with `sluice apply`.
//! # format 1
//! # config-sha256 …
//! # text-sha256 …
//! ```
//!
//! It is replaced as a whole: written to another file, synced, renamed, and the directory synced. A crash
//! leaves the old record or the new one, never a mixture; if a record is found damaged all the same, the
//! hash of the text shows it, and the gateway does not start on it.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest configuration in bytes.
pub const MAX_CONFIG: u64 = 8 << 20;

const TITLE: &str =
    "# The running configuration, kept by sluice. Do not edit: change it with `sluice apply`.";
const FORMAT: &str = "# format 1";
const CONFIG_HASH: &str = "# config-sha256 ";
const TEXT_HASH: &str = "# text-sha256 ";

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another daemon has it.
    #[error("a gateway with this name runs already on the state directory {}", .0.display())]
    Locked(PathBuf),
    /// The record is not what was written.
    #[error(
        "the record of the running configuration {} is damaged: {reason}. \
         Restore the file, or remove it to start from the --config file \
         (what was changed with `sluice apply` is then lost)",
        .path.display()
    )]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
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

/// What is recorded of a running gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// SHA-256 of the configuration file that the gateway was started with, in hexadecimal.
    pub config_hash: String,
    /// The text of the configuration that runs.
    pub text: String,
}

/// Which configuration a gateway starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The one that was applied last: the configuration file is the same as then.
    Applied(String),
    /// The configuration file, for the first time.
    First,
    /// The configuration file, since it has changed.
    Edited,
}

/// Chooses between the record and the configuration file with the hash `config_hash`.
pub fn choose(record: Option<Record>, config_hash: &str) -> Start {
    match record {
        None => Start::First,
        Some(record) if record.config_hash == config_hash => Start::Applied(record.text),
        Some(_) => Start::Edited,
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
    let mut text = String::new();
    file.take(MAX_CONFIG + 1)
        .read_to_string(&mut text)
        .map_err(io_error("read", path))?;
    if text.len() as u64 > MAX_CONFIG {
        let error = io::Error::other(format!("it is larger than {} MiB", MAX_CONFIG >> 20));
        return Err(io_error("read", path)(error));
    }
    Ok(text)
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

    /// The record.
    pub fn path(&self) -> PathBuf {
        self.dir.join("running.toml")
    }

    /// Reads the record, if there is one.
    ///
    /// # Errors
    /// [`StateError::Damaged`] if it is not what was written, [`StateError::Io`] if it cannot be read.
    pub fn load(&self) -> Result<Option<Record>, StateError> {
        let path = self.path();
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => file
                .take(MAX_CONFIG + 1_024)
                .read_to_end(&mut bytes)
                .map_err(io_error("read", &path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        match parse(bytes) {
            Ok(record) => Ok(Some(record)),
            Err(reason) => Err(StateError::Damaged { path, reason }),
        }
    }

    /// Writes a record beside the one that is valid, synced to disk. It takes effect with
    /// [`Staged::commit`]; dropped, it is as if it had never been.
    ///
    /// # Errors
    /// [`StateError::Io`] if it cannot be written.
    pub fn stage(&self, record: &Record) -> Result<Staged<'_>, StateError> {
        let staged = Staged {
            state: self,
            temporary: self.dir.join("running.toml.new"),
        };
        let path = &staged.temporary;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(io_error("open", path))?;
        file.write_all(render(record).as_bytes())
            .map_err(io_error("write", path))?;
        file.sync_all().map_err(io_error("sync", path))?;
        Ok(staged)
    }
}

/// A record that is on disk, but not valid yet.
#[derive(Debug)]
#[must_use = "a staged record takes effect when it is committed"]
pub struct Staged<'a> {
    state: &'a StateDir,
    temporary: PathBuf,
}

impl Staged<'_> {
    /// Makes the record the valid one. When this returns, a crash does not undo it.
    ///
    /// # Errors
    /// [`StateError::Io`]: then the old record may or may not be valid still; it is not damaged.
    pub fn commit(self) -> Result<(), StateError> {
        let path = self.state.path();
        fs::rename(&self.temporary, &path).map_err(io_error("replace", &path))?;
        let dir = &self.state.dir;
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(io_error("sync the directory", dir))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // After a commit there is nothing left to remove, and what a crash leaves is overwritten.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn render(record: &Record) -> String {
    format!(
        "{TITLE}\n{FORMAT}\n{CONFIG_HASH}{}\n{TEXT_HASH}{}\n{}",
        record.config_hash,
        hash(&record.text),
        record.text
    )
}

fn parse(bytes: Vec<u8>) -> Result<Record, String> {
    let content = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut rest = content.as_str();
    let mut line = |what: &str| -> Result<&str, String> {
        let (line, after) = rest
            .split_once('\n')
            .ok_or_else(|| format!("it ends before the line with {what}"))?;
        rest = after;
        Ok(line)
    };
    if line("the title")? != TITLE {
        return Err("it does not begin with the title of a record".into());
    }
    let format = line("the format")?;
    if format != FORMAT {
        return Err(format!(
            "its format is `{format}`, this program knows `{FORMAT}`"
        ));
    }
    let config_hash = sha256_line(line("the hash of the configuration file")?, CONFIG_HASH)?;
    let text_hash = sha256_line(line("the hash of the text")?, TEXT_HASH)?;
    if hash(rest) != text_hash {
        return Err("the text is not the one whose hash was recorded".into());
    }
    Ok(Record {
        config_hash: config_hash.to_owned(),
        text: rest.to_owned(),
    })
}

fn sha256_line<'a>(line: &'a str, prefix: &str) -> Result<&'a str, String> {
    line.strip_prefix(prefix)
        .filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
        .ok_or_else(|| format!("`{line}` is not `{prefix}` with 64 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn record(config: &str, text: &str) -> Record {
        Record {
            config_hash: hash(config),
            text: text.to_owned(),
        }
    }

    fn open() -> (TempDir, StateDir) {
        let base = tempfile::tempdir().unwrap();
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
    fn there_is_no_record_at_first() {
        let (_base, state) = open();
        assert_eq!(state.load().unwrap(), None);
    }

    #[test]
    fn a_committed_record_is_found_again() {
        let (base, state) = open();
        for text in [
            "",
            "a",
            "[system]\nname = \"gw\"\n",
            "no line end",
            "ü\r\n\n\n",
        ] {
            let record = record("config", text);
            state.stage(&record).unwrap().commit().unwrap();
            assert_eq!(state.load().unwrap(), Some(record));
        }
        drop(state);
        let again = StateDir::open(base.path(), "gw").unwrap();
        assert_eq!(again.load().unwrap().unwrap().text, "ü\r\n\n\n");
    }

    #[test]
    fn a_staged_record_counts_only_when_committed() {
        let (_base, state) = open();
        state.stage(&record("c", "old")).unwrap().commit().unwrap();
        drop(state.stage(&record("c", "new")).unwrap());
        assert_eq!(state.load().unwrap().unwrap().text, "old");
        assert!(!state.dir.join("running.toml.new").exists());
    }

    #[test]
    fn what_a_crash_left_half_written_is_not_read_and_does_not_hinder() {
        let (_base, state) = open();
        state.stage(&record("c", "old")).unwrap().commit().unwrap();
        let new = render(&record("c", "new and longer"));
        for length in 0..new.len() {
            fs::write(state.dir.join("running.toml.new"), &new[..length]).unwrap();
            assert_eq!(state.load().unwrap().unwrap().text, "old");
        }
        state
            .stage(&record("c", "newer"))
            .unwrap()
            .commit()
            .unwrap();
        assert_eq!(state.load().unwrap().unwrap().text, "newer");
    }

    #[test]
    fn a_torn_record_is_an_error_at_every_length() {
        let (_base, state) = open();
        let whole = render(&record("c", "[system]\nname = \"gw\"\n"));
        for length in 0..whole.len() {
            fs::write(state.path(), &whole[..length]).unwrap();
            let error = state.load().unwrap_err();
            assert!(
                matches!(error, StateError::Damaged { .. }),
                "{length}: {error}"
            );
            assert!(error.to_string().contains("running.toml"), "{error}");
        }
    }

    #[test]
    fn a_record_with_any_bit_flipped_is_an_error_or_makes_the_file_win() {
        let (_base, state) = open();
        let good = record("c", "[system]\nname = \"gw\"\n");
        let whole = render(&good).into_bytes();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                fs::write(state.path(), &bytes).unwrap();
                match state.load() {
                    Err(StateError::Damaged { .. }) => {}
                    // Only the other hash can change unseen: then the file wins as if edited.
                    Ok(Some(record)) => {
                        assert_eq!(record.text, good.text);
                        assert_eq!(choose(Some(record), &good.config_hash), Start::Edited);
                    }
                    other => panic!("byte {at} bit {bit}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn text_after_the_record_and_another_format_are_errors() {
        let (_base, state) = open();
        let whole = render(&record("c", "text\n"));
        for content in [
            format!("{whole}more"),
            whole.replace("# format 1", "# format 2"),
            String::new(),
        ] {
            fs::write(state.path(), content).unwrap();
            assert!(matches!(state.load(), Err(StateError::Damaged { .. })));
        }
    }

    #[test]
    fn the_applied_configuration_goes_on_unless_the_file_was_edited() {
        let before = hash("before");
        assert_eq!(choose(None, &before), Start::First);
        let record = record("before", "applied");
        assert_eq!(
            choose(Some(record.clone()), &before),
            Start::Applied("applied".into())
        );
        assert_eq!(choose(Some(record), &hash("after")), Start::Edited);
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
        fs::write(&path, b"a = \xff\n").unwrap();
        assert!(read_config(&path).is_err());
        let file = File::create(&path).unwrap();
        file.set_len(MAX_CONFIG).unwrap();
        assert_eq!(read_config(&path).unwrap().len() as u64, MAX_CONFIG);
        file.set_len(MAX_CONFIG + 1).unwrap();
        assert!(
            read_config(&path)
                .unwrap_err()
                .to_string()
                .contains("8 MiB")
        );
        assert!(read_config(Path::new("/nonexistent/gw.toml")).is_err());
    }
}
