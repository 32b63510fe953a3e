//! Where addresses are: a file in MaxMind's format, read again when it changes.

use maxminddb::{PathElement, Reader};
use policy::Locations;
use std::fs::Metadata;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file that is read.
const MAX_FILE: u64 = 1 << 30;
/// Subdivisions of an address that are looked at: a province and a city have one each.
const SUBDIVISIONS: usize = 4;

/// A table that was read.
pub struct Table(Reader<Vec<u8>>);

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is too large, or is damaged.
    pub fn open(path: &Path) -> Result<Table, String> {
        let size = std::fs::metadata(path).map_err(|error| error.to_string())?;
        if size.len() > MAX_FILE {
            return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
        }
        let reader = Reader::open_readfile(path).map_err(|error| error.to_string())?;
        reader.verify().map_err(|error| error.to_string())?;
        Ok(Table(reader))
    }
}

impl Locations for Table {
    fn locate(&self, address: Ipv4Addr, each: &mut dyn FnMut(&str)) {
        let Ok(found) = self.0.lookup(address.into()) else {
            return;
        };
        let text = |path: &[PathElement]| found.decode_path::<&str>(path).ok().flatten();
        let [country, code, parts] = ["country", "iso_code", "subdivisions"].map(PathElement::Key);
        let Some(country) = text(&[country, code.clone()]) else {
            return;
        };
        each(country);
        for n in 0..SUBDIVISIONS {
            let part = [parts.clone(), PathElement::Index(n), code.clone()];
            let Some(part) = text(&part) else { break };
            each(&format!("{country}-{part}"));
        }
    }
}

/// What tells one content of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, i64, i64);

impl Stamp {
    fn of(file: &Metadata) -> Stamp {
        Stamp(file.ino(), file.size(), file.mtime(), file.mtime_nsec())
    }
}

/// The table that the configuration names.
#[derive(Default)]
pub struct Watched {
    path: Option<PathBuf>,
    seen: Option<Stamp>,
    /// What it is, or why there is none.
    pub status: Option<Result<SystemTimeOfBuild, String>>,
}

/// When a table was made, in seconds since 1970.
pub type SystemTimeOfBuild = u64;

impl Watched {
    /// Looks whether there is another table now: if so it, or nothing where none is to be any more. One that cannot be
    /// read leaves the one before in force.
    pub fn look(&mut self, path: Option<&Path>) -> Option<Option<Arc<Table>>> {
        if self.path.as_deref() != path {
            self.path = path.map(Path::to_owned);
            self.seen = None;
            self.status = None;
            if path.is_none() {
                return Some(None);
            }
        }
        let path = self.path.as_deref()?;
        let stamp = std::fs::metadata(path).map(|file| Stamp::of(&file));
        let stamp = match stamp {
            Ok(stamp) if self.seen == Some(stamp) => return None,
            Ok(stamp) => stamp,
            Err(error) => {
                self.failed(error.to_string());
                return None;
            }
        };
        self.seen = Some(stamp);
        match Table::open(path) {
            Ok(table) => {
                let build = table.0.metadata().build_epoch;
                tracing::info!("locations are those of {}", path.display());
                self.status = Some(Ok(build));
                Some(Some(Arc::new(table)))
            }
            Err(error) => {
                self.failed(error);
                None
            }
        }
    }

    fn failed(&mut self, error: String) {
        let path = self.path.as_deref().unwrap_or(Path::new("")).display();
        let status = Some(Err(error.clone()));
        if self.status != status {
            tracing::warn!("the locations of {path} cannot be read: {error}");
            self.status = status;
        }
    }
}
