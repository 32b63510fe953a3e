//! The nonces of calls that were accepted: none is accepted twice, also after a crash and a restart.
//!
//! A call is only accepted within [`WINDOW`] of its time, so a nonce has to be kept until its call's time plus the
//! window. Nonces that end within the same quarter of an hour share a set in memory and a file; both go
//! as a whole when that has passed, and at most three are in use.
//!
//! A nonce is written to its file before its call is carried out. That takes no sync: what was written survives
//! the process, if not the machine. Against a loss of power there is the machine's boot id. If it is another
//! one at the next start, all calls from before that start are refused as expired; and since a call may
//! have been dated ahead of its acceptance, the nonces of such calls are synced. The same is done when
//! a file turns out damaged.
//!
//! ```text
//! DIR/lock     held by the process
//! DIR/boot     the boot id, and the time before which all calls are refused
//! DIR/PERIOD   a head, and a record of 32 bytes for each nonce: key, nonce, check
//! ```

use super::time::WINDOW;
use sha2::{Digest, Sha256};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most nonces that are kept for one access key: about 290 calls a second for as long as nonces are kept.
pub const MAX_PER_KEY: usize = 1 << 18;

/// The most nonces that are kept altogether: 80 MB in memory and 64 MB on disk at most.
pub const MAX: usize = 1 << 21;

const HEAD: &[u8; RECORD] = b"sluice nonces, format 1, 32 byte";
const RECORD: usize = 32;

/// Why the files of nonces cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoncesError {
    /// Another process has them.
    #[error("another process uses the nonces in {}", .0.display())]
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

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NoncesError {
    let path = path.to_owned();
    move |error| NoncesError::Io {
        action,
        path,
        error,
    }
}

/// Why a nonce is not accepted.
#[derive(Debug)]
pub enum Rejected {
    /// It was accepted before.
    Used,
    /// It cannot be known whether it was accepted before: the call is older than what is known.
    Expired,
    /// There are too many nonces; how long until some are forgotten.
    Full(Duration),
    /// It cannot be written down.
    Unwritten(NoncesError),
}

/// The nonces that were accepted.
#[derive(Debug)]
pub struct Nonces {
    dir: PathBuf,
    /// Calls from before are refused, in seconds since 1970.
    floor: u64,
    known: Mutex<Known>,
    _lock: File,
}

#[derive(Debug)]
struct Known {
    /// By when they end, in units of [`WINDOW`] since 1970.
    periods: BTreeMap<u64, Period>,
    /// The oldest period that is still kept; never goes back, also if the clock does.
    oldest: u64,
}

#[derive(Debug)]
struct Period {
    nonces: HashSet<u128>,
    /// Nonces of each key.
    keys: HashMap<u64, usize>,
    path: PathBuf,
    file: Arc<File>,
    /// Where the next record goes.
    end: u64,
}

/// A nonce of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    key: u64,
    nonce: u128,
}

impl Record {
    fn of(access_key_id: &str, nonce: &str) -> Record {
        let key = Sha256::digest(access_key_id);
        let hash = Sha256::new().chain_update(key).chain_update(nonce);
        Record {
            key: u64::from_le_bytes(begin(&key)),
            nonce: u128::from_le_bytes(begin(&hash.finalize())),
        }
    }

    fn write(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&self.key.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.nonce.to_le_bytes());
        let check: [u8; 8] = begin(&Sha256::digest(&bytes[..24]));
        bytes[24..].copy_from_slice(&check);
        bytes
    }

    /// None if it is damaged.
    fn read(bytes: &[u8]) -> Option<Record> {
        let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
        let record = Record {
            key: u64::from_le_bytes(begin(&bytes[..8])),
            nonce: u128::from_le_bytes(begin(&bytes[8..24])),
        };
        (record.write() == *bytes).then_some(record)
    }
}

fn begin<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut begin = [0; N];
    begin.copy_from_slice(&bytes[..N]);
    begin
}

impl Nonces {
    /// Opens the nonces in a directory, which is made if it is not there. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// If another process has them, or they cannot be read or written. Damaged files are no error: see above.
    pub fn open(dir: &Path, now: u64) -> Result<Nonces, NoncesError> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot = fs::read_to_string(path).map_err(io_error("read", path))?;
        Nonces::open_on(dir, boot.trim(), now)
    }

    fn open_on(dir: &Path, boot: &str, now: u64) -> Result<Nonces, NoncesError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(dir).map_err(io_error("make", dir))?;
        let lock = lock(&dir.join("lock"))?;
        let (periods, damaged) = load(dir, now / WINDOW)?;
        let path = dir.join("boot");
        let before = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // Not UTF-8.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(String::new()),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let same = before.as_deref().and_then(|text| {
            let (id, floor) = text.split_once('\n')?;
            let floor: u64 = floor.trim_end().parse().ok()?;
            (id == boot).then_some(floor)
        });
        let floor = match (same, &before) {
            // The clock may have been wrong, and set back since.
            (Some(floor), _) if !damaged => floor.min(now + 1),
            (None, None) if !damaged && periods.is_empty() => 0,
            _ => {
                tracing::warn!(
                    "the record of accepted calls in {} may not be complete, after a loss of power or since it is \
                     damaged: calls signed before now are refused",
                    dir.display()
                );
                now + 1
            }
        };
        if same != Some(floor) {
            replace(dir, "boot", format!("{boot}\n{floor}\n").as_bytes())?;
        }
        let oldest = now / WINDOW;
        Ok(Nonces {
            dir: dir.to_owned(),
            floor,
            known: Mutex::new(Known { periods, oldest }),
            _lock: lock,
        })
    }

    /// Accepts the nonce of a call dated `time` if it was not accepted before, and keeps that on file. Both
    /// times are in seconds since 1970; they are within [`WINDOW`] of each other.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn accept(
        &self,
        access_key_id: &str,
        nonce: &str,
        time: u64,
        now: u64,
    ) -> Result<(), Rejected> {
        if time < self.floor || now.abs_diff(time) > WINDOW {
            return Err(Rejected::Expired);
        }
        let record = Record::of(access_key_id, nonce);
        let file = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.forget(now / WINDOW);
            known.accept(&self.dir, record, (time + WINDOW) / WINDOW, now)?
        };
        if time > now {
            // The call is valid longer than a machine may take to start again.
            let error = io_error("sync", &self.dir);
            file.sync_data()
                .map_err(|it| Rejected::Unwritten(error(it)))?;
        }
        Ok(())
    }
}

impl Known {
    /// Forgets what has passed.
    fn forget(&mut self, current: u64) {
        self.oldest = self.oldest.max(current);
        while let Some(first) = self.periods.first_entry() {
            if *first.key() >= self.oldest {
                break;
            }
            let period = first.remove();
            if let Err(error) = fs::remove_file(&period.path) {
                tracing::warn!("cannot remove {}: {error}", period.path.display());
            }
        }
    }

    /// The file that a nonce was written to.
    fn accept(
        &mut self,
        dir: &Path,
        record: Record,
        end: u64,
        now: u64,
    ) -> Result<Arc<File>, Rejected> {
        if end < self.oldest {
            return Err(Rejected::Expired);
        }
        let all = self.periods.values();
        if all.clone().any(|it| it.nonces.contains(&record.nonce)) {
            return Err(Rejected::Used);
        }
        let of_key = all.clone().filter_map(|it| it.keys.get(&record.key));
        if of_key.sum::<usize>() >= MAX_PER_KEY
            || all.map(|it| it.nonces.len()).sum::<usize>() >= MAX
        {
            let first = self.periods.keys().next().unwrap_or(&self.oldest);
            let wait = ((first + 1) * WINDOW).saturating_sub(now).max(1);
            return Err(Rejected::Full(Duration::from_secs(wait)));
        }
        let period = match self.periods.entry(end) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Period::create(dir, end, &[]).map_err(Rejected::Unwritten)?)
            }
        };
        // At its own place: what a failed attempt left there is overwritten.
        let written = period.file.write_all_at(&record.write(), period.end);
        written.map_err(|error| Rejected::Unwritten(io_error("write", &period.path)(error)))?;
        period.insert(record);
        Ok(period.file.clone())
    }
}

impl Period {
    /// Makes the file of a period, in place of one that may be there.
    fn create(dir: &Path, number: u64, records: &[Record]) -> Result<Period, NoncesError> {
        let mut bytes = HEAD.to_vec();
        bytes.extend(records.iter().flat_map(Record::write));
        let name = number.to_string();
        let file = replace(dir, &name, &bytes)?;
        let mut period = Period::empty(dir.join(name), file);
        records.iter().for_each(|record| period.insert(*record));
        Ok(period)
    }

    fn empty(path: PathBuf, file: File) -> Period {
        Period {
            nonces: HashSet::new(),
            keys: HashMap::new(),
            path,
            file: Arc::new(file),
            end: RECORD as u64,
        }
    }

    fn insert(&mut self, record: Record) {
        self.end += RECORD as u64;
        if self.nonces.insert(record.nonce) {
            *self.keys.entry(record.key).or_default() += 1;
        }
    }
}

fn lock(path: &Path) -> Result<File, NoncesError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(io_error("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(NoncesError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error("lock", path)(error)),
    }
}

/// Replaces a file as a whole, so that a crash leaves the old one or the new one.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<File, NoncesError> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new).map_err(io_error("make", &new))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(io_error("write", &new))?;
    fs::rename(&new, &path).map_err(io_error("replace", &path))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", dir))?;
    Ok(file)
}

/// The periods on file that have not passed, and whether one was damaged; a damaged one is written anew with what
/// is left of it.
fn load(dir: &Path, current: u64) -> Result<(BTreeMap<u64, Period>, bool), NoncesError> {
    let mut periods = BTreeMap::new();
    let mut damaged = false;
    let mut room = MAX;
    for entry in fs::read_dir(dir).map_err(io_error("read", dir))? {
        let path = entry.map_err(io_error("read", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.parse::<u64>().ok());
        let unfinished = path.extension().is_some_and(|it| it == "new");
        if unfinished || number.is_some_and(|number| number < current) {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            continue;
        }
        let Some(number) = number else {
            continue;
        };
        let (records, whole) = read(&path, room)?;
        room -= records.len();
        let period = match whole {
            true => {
                let mut options = OpenOptions::new();
                let file = options.write(true).open(&path);
                let mut period =
                    Period::empty(path.clone(), file.map_err(io_error("open", &path))?);
                records.into_iter().for_each(|record| period.insert(record));
                period
            }
            false => {
                tracing::warn!(
                    "{} is damaged: {} accepted calls can be read in it",
                    path.display(),
                    records.len()
                );
                damaged = true;
                Period::create(dir, number, &records)?
            }
        };
        periods.insert(number, period);
    }
    Ok((periods, damaged))
}

/// The records of a file, at most `room`, and whether that is all that ever was in it.
fn read(path: &Path, room: usize) -> Result<(Vec<Record>, bool), NoncesError> {
    let length = fs::metadata(path).map_err(io_error("read", path))?.len();
    if length > ((room + 1) * RECORD) as u64 {
        return Ok((Vec::new(), false));
    }
    let bytes = fs::read(path).map_err(io_error("read", path))?;
    let (head, rest) = bytes.split_at(RECORD.min(bytes.len()));
    let records: Vec<_> = rest.chunks(RECORD).map(Record::read).collect();
    let whole = head == HEAD && records.iter().all(Option::is_some);
    Ok((records.into_iter().flatten().collect(), whole))
}

#[cfg(test)]
mod tests;
