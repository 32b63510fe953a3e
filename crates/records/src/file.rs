//! Lines in a file that is put aside when it is large.
//!
//! `sessions.jsonl` is the one that is written; one that is put aside is called `sessions-00000007.jsonl`, with a number
//! that only grows. Putting aside is one rename, so whoever looks finds each line once, and a daemon that is killed
//! at any moment leaves files that the next goes on with.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name of the file that is written.
pub const CURRENT: &str = "sessions.jsonl";

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A file that would be larger in bytes is put aside.
    pub max_size: u64,
    /// How many files are kept besides the one that is written.
    pub keep: u32,
}

/// The name of a file that was put aside.
fn aside(number: u64) -> String {
    format!("sessions-{number:08}.jsonl")
}

/// The files that were put aside, by their number, the oldest first.
///
/// # Errors
/// If the directory cannot be read.
pub fn put_aside(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("sessions-")?.strip_suffix(".jsonl"))
            .filter(|digits| digits.len() >= 8)
            .and_then(|digits| digits.parse().ok());
        files.extend(number.map(|number| (number, entry.path())));
    }
    files.sort();
    Ok(files)
}

/// The file that is written, with those that were put aside.
#[derive(Debug)]
pub(crate) struct Rotated {
    directory: PathBuf,
    path: PathBuf,
    limits: Limits,
    file: File,
    size: u64,
    /// The number of the next one that is put aside.
    next: u64,
}

impl Rotated {
    /// Goes on with what is in a directory, which is made if it is not there, for its owner only. The end of a
    /// line that was not written whole is cut off.
    pub(crate) fn open(directory: &Path, limits: Limits) -> io::Result<Rotated> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let path = directory.join(CURRENT);
        let file = create(&path)?;
        let last = put_aside(directory)?.pop();
        let mut rotated = Rotated {
            directory: directory.to_owned(),
            size: whole_lines(&file)?,
            path,
            limits,
            file,
            next: last.map_or(1, |(number, _)| number.saturating_add(1)),
        };
        rotated.cut();
        rotated.tidy()?;
        Ok(rotated)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines: all of them or none.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + lines.len() as u64 > self.limits.max_size {
            self.rotate()?;
        }
        match self.file.write_all(lines) {
            Ok(()) => {
                self.size += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.cut();
                Err(error)
            }
        }
    }

    /// Cuts off what does not belong to a whole line.
    fn cut(&mut self) {
        // Where this fails, the disk does: that is told where it is written to.
        let _ = self.file.set_len(self.size);
    }

    fn rotate(&mut self) -> io::Result<()> {
        match fs::rename(&self.path, self.directory.join(aside(self.next))) {
            Ok(()) => self.next += 1,
            // It was renamed the last time, and then no other could be made; or somebody has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.file = create(&self.path)?;
        self.size = 0;
        self.tidy()
    }

    /// Removes what is more than is to be kept.
    fn tidy(&self) -> io::Result<()> {
        let files = put_aside(&self.directory)?;
        let more = files.len().saturating_sub(self.limits.keep as usize);
        files
            .iter()
            .take(more)
            .try_for_each(|(_, path)| fs::remove_file(path))
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// The size of a file up to the end of its last whole line.
fn whole_lines(mut file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut piece = [0; 4096];
    while end > 0 {
        let begin = end.saturating_sub(piece.len() as u64);
        let part = &mut piece[..(end - begin) as usize];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_size: 100,
        keep: 2,
    };

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap();
        let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn large_files_are_put_aside_and_old_ones_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotated::open(dir.path(), LIMITS).unwrap();
        for n in 0..50 {
            // Ten lines of ten bytes are a file.
            file.append(format!("line {n:04}\n").as_bytes()).unwrap();
        }
        let kept = [
            "sessions-00000003.jsonl",
            "sessions-00000004.jsonl",
            CURRENT,
        ];
        assert_eq!(names(dir.path()), kept);
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(read(kept[0]).starts_with("line 0020\n"));
        assert!(read(CURRENT).ends_with("line 0049\n"));
        // The next daemon goes on where this one was.
        drop(file);
        let mut file = Rotated::open(dir.path(), LIMITS).unwrap();
        file.append(b"line 0050\n").unwrap();
        assert_eq!(names(dir.path())[1], "sessions-00000005.jsonl");
        assert_eq!(read(CURRENT), "line 0050\n");
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CURRENT);
        let long = "x".repeat(10_000);
        for (torn, whole) in [
            ("a\nb\nc".to_owned(), "a\nb\n"),
            ("a\n".into(), "a\n"),
            ("torn".into(), ""),
            (format!("a\n{long}"), "a\n"),
        ] {
            fs::write(&path, torn).unwrap();
            let mut file = Rotated::open(dir.path(), LIMITS).unwrap();
            file.append(b"next\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{whole}next\n"));
        }
    }

    #[test]
    fn a_batch_larger_than_a_file_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotated::open(dir.path(), LIMITS).unwrap();
        let batch = "line 0000\n".repeat(30);
        for _ in 0..2 {
            file.append(batch.as_bytes()).unwrap();
        }
        let current = fs::read_to_string(dir.path().join(CURRENT)).unwrap();
        assert_eq!(current, batch);
        assert_eq!(names(dir.path()).len(), 2);
    }
}
