//! Tables of locations in MaxMind's format, as the specification (version 2.0) has it.

use std::net::Ipv4Addr;

fn text(text: &str) -> Vec<u8> {
    [&[2 << 5 | text.len() as u8], text.as_bytes()].concat()
}

fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![7 << 5 | pairs.len() as u8];
    for (key, value) in pairs {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

/// A number of 16 bits (kind 5) or 32 (kind 6), in two bytes.
fn number(kind: u8, number: u16) -> Vec<u8> {
    [&[kind << 5 | 2][..], &number.to_be_bytes()].concat()
}

/// A table that knows one network of 24 bits alone: its country.
pub fn table(network: Ipv4Addr, country: &str) -> Vec<u8> {
    const NODES: u32 = 24;
    let mut bytes = Vec::new();
    for n in 0..NODES {
        // The next node; behind the last one the data, whose place is told beyond the nodes and a gap of 16 bytes.
        let next = if n + 1 < NODES { n + 1 } else { NODES + 16 };
        let mut records = [NODES; 2];
        records[(u32::from(network) >> (31 - n) & 1) as usize] = next;
        for record in records {
            bytes.extend(&record.to_be_bytes()[1..]);
        }
    }
    bytes.extend([0; 16]);
    let code = map(&[("iso_code", text(country))]);
    bytes.extend(map(&[("country", code)]));
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    // A number of 64 bits, and a list: kinds that are told in a byte of their own.
    let epoch = vec![2, 2, 3, 0xe8];
    let languages = [&[1, 4][..], &text("en")].concat();
    bytes.extend(map(&[
        ("binary_format_major_version", number(5, 2)),
        ("binary_format_minor_version", number(5, 0)),
        ("build_epoch", epoch),
        ("database_type", text("Test-Country")),
        ("description", map(&[("en", text("Test"))])),
        ("ip_version", number(5, 4)),
        ("languages", languages),
        ("node_count", number(6, NODES as u16)),
        ("record_size", number(5, 24)),
    ]));
    bytes
}
