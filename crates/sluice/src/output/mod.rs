//! What is printed: tables and human units, or JSON.

pub mod progress;
pub mod table;
pub mod units;

use engine::TupleView;
use serde::Serialize;
use std::io::{self, Write};

/// Prints a value as indented JSON and a line end.
pub fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// A tuple: with ports, with the identifier of an ICMP echo, or with addresses alone.
pub fn tuple(tuple: &TupleView, protocol: &str) -> String {
    let TupleView {
        src,
        src_port,
        dst,
        dst_port,
    } = tuple;
    match protocol {
        "tcp" | "udp" => format!("{src}:{src_port} > {dst}:{dst_port}"),
        "icmp" => format!("{src} id {src_port} > {dst}"),
        _ => format!("{src} > {dst}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_where_there_are_any() {
        let example = TupleView {
            src: "192.168.1.10".parse().unwrap(),
            src_port: 40_000,
            dst: "198.51.100.7".parse().unwrap(),
            dst_port: 443,
        };
        for (protocol, text) in [
            ("tcp", "192.168.1.10:40000 > 198.51.100.7:443"),
            ("udp", "192.168.1.10:40000 > 198.51.100.7:443"),
            ("icmp", "192.168.1.10 id 40000 > 198.51.100.7"),
            ("47", "192.168.1.10 > 198.51.100.7"),
        ] {
            assert_eq!(tuple(&example, protocol), text);
        }
    }
}
