//! Reads a configuration from TOML, and writes it.
//!
//! Three steps: `schema` says which keys there are (a key or a type that does not fit ends it here);
//! `build` reads the values and fills in what was left out; [`validate`](crate::validate) checks the
//! whole. Whatever the last two find is told together, each with its line. What could not be read is
//! left out of the check, and what refers to it is not blamed.
//!
//! A file with many policies goes another way through the same steps first, [`parts`], which is several times as fast and knows no
//! lines.
mod build;
mod entry;
mod parts;
mod schema;
pub(crate) mod time;
mod write;

#[cfg(test)]
mod tests;

pub use write::write;

use crate::{Config, Id, System};
use std::fmt;

/// Errors that are told one by one; the others are only counted.
const MOST: usize = 20;

/// What is wrong with a file: at least one line of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// What is wrong, in the order of the file; at most 20.
    pub lines: Vec<Line>,
    /// How many more there are.
    pub more: usize,
}

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Line {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with what, and what would be right.
    pub message: String,
}

/// One error a line: `line 14: instance "web-1": address …`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Line { line, message }) in self.lines.iter().enumerate() {
            let newline = if n > 0 { "\n" } else { "" };
            write!(f, "{newline}line {line}: {message}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Error {}

/// Reads a configuration. What comes back has passed [`validate::check`](crate::validate::check).
///
/// Defaults are filled in: a system route table for each VPC that declares none, a default route to
/// the first NAT gateway of a VPC, a default security group, identifiers of SNAT and DNAT entries.
pub fn parse(text: &str) -> Result<Config, Error> {
    match parts::read(text) {
        Some(config) => Ok(config),
        None => read_whole(text),
    }
}

/// The gateway that a configuration is for, without a look at what else it says; `None` if it cannot be read. Whether that
/// is a name is not checked.
pub fn system_name(text: &str) -> Option<Id> {
    let read = |text: &str| toml::from_str::<schema::File>(text).ok();
    let rest = parts::without_policies(text).and_then(|rest| read(&rest));
    let file = rest.or_else(|| read(text))?;
    let said = file.system.and_then(|it| it.into_inner().name);
    Some(said.map_or_else(|| System::default().name, |it| it.into_inner()))
}

/// Reads a text as one.
fn read_whole(text: &str) -> Result<Config, Error> {
    let lines = Lines(text);
    let file: schema::File = toml::from_str(text).map_err(|error| Error {
        lines: vec![Line {
            line: lines.number(error.span().map_or(0, |span| span.start)),
            message: plain(&error, text),
        }],
        more: 0,
    })?;
    build::build(&file, lines)
}

/// Where the lines of a text are.
#[derive(Clone, Copy)]
struct Lines<'a>(&'a str);

impl Lines<'_> {
    /// The number, from 1, of the line that a byte is in.
    fn number(self, offset: usize) -> usize {
        let before = self.0.as_bytes().get(..offset).unwrap_or(self.0.as_bytes());
        before.iter().filter(|&&byte| byte == b'\n').count() + 1
    }
}

/// The reader's message in words of the file instead of words of the program.
fn plain(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().trim_end();
    let header = error.span().and_then(|span| text.get(span));
    if let Some(header) = header
        && message.ends_with("expected a sequence")
        && header.starts_with('[')
    {
        return format!("there can be several of these: write [{header}] instead of {header}");
    }
    message
        .replace("unknown field", "unknown key")
        .replace("invalid type: map", "invalid type: table")
        .replace("invalid type: sequence", "invalid type: list")
        .replace("expected i64", "expected a number")
        .replace("expected a sequence", "expected a list")
        .replace('\n', ", ")
}
