//! Reads what was written: the last lines, and those that come.

use crate::file::{CURRENT, put_aside};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The longest line that is read: records are far shorter.
const MAX_LINE: u64 = 1 << 20;

/// Reads the files of a directory, and goes on with what is written to them.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    current: Option<BufReader<File>>,
    /// The beginning of a line whose end is not there yet.
    begun: Vec<u8>,
}

impl Reader {
    /// The last lines of a directory that `wanted` makes something of, at most `limit`, the oldest first, and what
    /// reads those that come after them.
    ///
    /// # Errors
    /// If the directory or a file in it cannot be read.
    pub fn last<T>(
        directory: &Path,
        limit: usize,
        wanted: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<(Vec<T>, Reader)> {
        let mut reader = Reader {
            directory: directory.to_owned(),
            current: None,
            begun: Vec::new(),
        };
        // The file that is written first: while the others are read, it may be put aside.
        reader.current = reader.open()?;
        let files = put_aside(directory)?;
        let mut parts = vec![last_of(limit, |each| {
            reader.more(|line| wanted(line).into_iter().for_each(&mut *each))
        })?];
        let here = reader.inode()?;
        for (_, path) in files.iter().rev() {
            let found: usize = parts.iter().map(VecDeque::len).sum();
            if found >= limit {
                break;
            }
            let file = match File::open(path) {
                Ok(file) => file,
                // It was the oldest, and is gone.
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            if Some(file.metadata()?.ino()) == here {
                continue;
            }
            let (mut file, mut begun) = (BufReader::new(file), Vec::new());
            parts.push(last_of(limit - found, |each| {
                lines(&mut file, &mut begun, &mut |line| {
                    wanted(line).into_iter().for_each(&mut *each);
                })
            })?);
        }
        let lines = parts.into_iter().rev().flatten().collect();
        Ok((lines, reader))
    }

    /// Gives `each` the lines that were written since.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub fn more(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            if self.current.is_none() {
                self.current = self.open()?;
            }
            let Some(current) = &mut self.current else {
                return Ok(());
            };
            // Another one is written since: this one is complete, if it is read after that was seen.
            let put_aside = match std::fs::metadata(self.directory.join(CURRENT)) {
                Ok(now) => now.ino() != current.get_ref().metadata()?.ino(),
                Err(_) => false,
            };
            lines(current, &mut self.begun, &mut each)?;
            if !put_aside {
                return Ok(());
            }
            self.begun.clear();
            self.current = None;
        }
    }

    fn open(&self) -> io::Result<Option<BufReader<File>>> {
        match File::open(self.directory.join(CURRENT)) {
            Ok(file) => Ok(Some(BufReader::new(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn inode(&self) -> io::Result<Option<u64>> {
        let current = self.current.as_ref();
        current
            .map(|it| Ok(it.get_ref().metadata()?.ino()))
            .transpose()
    }
}

/// The last that `fill` gives, at most `limit`.
fn last_of<T>(
    limit: usize,
    fill: impl FnOnce(&mut dyn FnMut(T)) -> io::Result<()>,
) -> io::Result<VecDeque<T>> {
    let mut last = VecDeque::new();
    fill(&mut |it| {
        last.push_back(it);
        if last.len() > limit {
            last.pop_front();
        }
    })?;
    Ok(last)
}

/// Reads whole lines to the end of a file; the beginning of one that is not whole is kept.
fn lines(
    file: &mut BufReader<File>,
    begun: &mut Vec<u8>,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    loop {
        let read = file.by_ref().take(MAX_LINE).read_until(b'\n', begun)?;
        if read == 0 {
            return Ok(());
        }
        if let Some(line) = begun.strip_suffix(b"\n") {
            each(line);
            begun.clear();
        } else if begun.len() as u64 > MAX_LINE {
            // This is none of ours.
            begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{Limits, Rotated};

    const LIMITS: Limits = Limits {
        max_size: 100,
        keep: 3,
    };

    fn text(line: &[u8]) -> Option<String> {
        let line = std::str::from_utf8(line).unwrap();
        (!line.ends_with('7')).then(|| line.to_owned())
    }

    fn numbers(lines: &[String]) -> Vec<usize> {
        let number = |line: &String| line.rsplit(' ').next().unwrap().parse().unwrap();
        lines.iter().map(number).collect()
    }

    #[test]
    fn the_last_lines_come_in_order_from_several_files_and_then_those_that_follow() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotated::open(dir.path(), LIMITS).unwrap();
        let mut write = |n: usize| file.append(format!("line {n:04}\n").as_bytes()).unwrap();
        (0..35).for_each(&mut write);
        let (lines, mut reader) = Reader::last(dir.path(), 12, text).unwrap();
        assert_eq!(
            numbers(&lines),
            [22, 23, 24, 25, 26, 28, 29, 30, 31, 32, 33, 34]
        );
        let (all, _) = Reader::last(dir.path(), usize::MAX, text).unwrap();
        assert_eq!(all.len(), 32);
        // A file is put aside between two looks.
        (35..45).for_each(&mut write);
        let mut more = Vec::new();
        reader.more(|line| more.extend(text(line))).unwrap();
        assert_eq!(numbers(&more), [35, 36, 38, 39, 40, 41, 42, 43, 44]);
        more.clear();
        reader.more(|line| more.extend(text(line))).unwrap();
        assert!(more.is_empty());
    }

    #[test]
    fn a_line_is_given_when_it_is_whole_and_a_file_when_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (none, mut reader) = Reader::last(dir.path(), 10, text).unwrap();
        assert!(none.is_empty());
        let path = dir.path().join(CURRENT);
        let mut seen = Vec::new();
        for (written, expected) in [("a\nb", 1), ("a\nbb", 1), ("a\nbb\n", 2)] {
            std::fs::write(&path, written).unwrap();
            reader.more(|line| seen.extend(text(line))).unwrap();
            assert_eq!(seen.len(), expected, "{seen:?}");
        }
        assert_eq!(seen, ["a", "bb"]);
        assert!(Reader::last(&dir.path().join("none"), 1, text).is_err());
    }
}
