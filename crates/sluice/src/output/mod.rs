//! What is printed: tables and human units, or JSON.

pub mod table;
pub mod units;

use serde::Serialize;
use std::io::{self, Write};

/// Prints a value as indented JSON and a line end.
pub fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
