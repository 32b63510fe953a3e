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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = vec![2 << 5 | text.len() as u8];
        bytes.extend(text.bytes());
        bytes
    }

    fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![7 << 5 | pairs.len() as u8];
        for (key, value) in pairs {
            bytes.extend(text(key));
            bytes.extend(value);
        }
        bytes
    }

    fn array(values: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![values.len() as u8, 4];
        values.iter().for_each(|it| bytes.extend(it));
        bytes
    }

    fn number(kind: u8, number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        // The kinds from 8 on are told in a byte of their own.
        let mut bytes = match kind {
            9.. => vec![2, kind - 7],
            _ => vec![kind << 5 | 2],
        };
        bytes.extend([high, low]);
        bytes
    }

    /// A table (as the format's specification, version 2.0, has it) that knows 203.0.113.0/24 alone.
    pub(crate) fn table(country: &str, part: &str) -> Vec<u8> {
        let (net, nodes) = (u32::from(Ipv4Addr::new(203, 0, 113, 0)), 24u32);
        let mut bytes = Vec::new();
        for n in 0..nodes {
            // The next node; behind the last one the data, whose place is told beyond the nodes and a gap of 16 bytes.
            let next = if n + 1 < nodes { n + 1 } else { nodes + 16 };
            let mut records = [nodes, nodes];
            records[(net >> (31 - n) & 1) as usize] = next;
            records
                .iter()
                .for_each(|it| bytes.extend(&it.to_be_bytes()[1..]));
        }
        bytes.extend([0; 16]);
        let code = |code: &str| map(&[("iso_code", text(code))]);
        let place = [
            ("country", code(country)),
            ("subdivisions", array(&[code(part)])),
        ];
        bytes.extend(map(&place));
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        bytes.extend(map(&[
            ("binary_format_major_version", number(5, 2)),
            ("binary_format_minor_version", number(5, 0)),
            ("build_epoch", number(9, 1_000)),
            ("database_type", text("Test-City")),
            ("description", map(&[("en", text("Test"))])),
            ("ip_version", number(5, 4)),
            ("languages", array(&[text("en")])),
            ("node_count", number(6, nodes as u16)),
            ("record_size", number(5, 24)),
        ]));
        bytes
    }

    fn codes(table: &Table, address: [u8; 4]) -> Vec<String> {
        let mut codes = Vec::new();
        table.locate(address.into(), &mut |code| codes.push(code.to_owned()));
        codes
    }

    #[test]
    fn a_table_is_read_again_when_it_changes_and_kept_when_it_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.mmdb");
        let mut watched = Watched::default();
        assert!(watched.look(Some(&path)).is_none());
        assert!(watched.status.as_ref().unwrap().is_err());
        std::fs::write(&path, table("US", "CA")).unwrap();
        let first = watched.look(Some(&path)).unwrap().unwrap();
        assert_eq!(watched.status, Some(Ok(1_000)));
        assert_eq!(codes(&first, [203, 0, 113, 9]), ["US", "US-CA"]);
        assert!(codes(&first, [203, 0, 114, 9]).is_empty());
        assert!(watched.look(Some(&path)).is_none());
        // Cut short: what was read stays.
        let whole = table("DE", "BY");
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(watched.look(Some(&path)).is_none());
        assert!(watched.status.as_ref().unwrap().is_err());
        std::fs::write(&path, [&whole[..], b""].concat()).unwrap();
        let second = watched.look(Some(&path)).unwrap().unwrap();
        assert_eq!(codes(&second, [203, 0, 113, 9]), ["DE", "DE-BY"]);
        assert!(watched.look(None).unwrap().is_none());
    }

    #[test]
    fn a_damaged_table_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.mmdb");
        let whole = table("US", "CA");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            std::fs::write(&path, damaged).unwrap();
            if let Ok(table) = Table::open(&path) {
                codes(&table, [203, 0, 113, 9]);
            }
        }
    }
}
