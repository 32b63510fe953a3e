//! Lookups in the flow table with the rewrite that each leads to, for `bench/instructions` to count.
//!
//! `cargo run --release -p flow --example lookup [LOOKUPS]` makes that many (a million by default) in a table of
//! 100,000 flows, every one of them a hit.

use flow::header::{Checksum, rewrite};
use flow::table::Table;
use flow::{Action, Activity, Entry, Key, Seed, proto};

const FLOWS: u32 = 100_000;

fn key(n: u32) -> Key {
    Key {
        src: (0x0a00_0001 + n).to_be(),
        dst: u32::from_ne_bytes([198, 51, 100, 7]),
        sport: 40000u16.to_be(),
        dport: 443u16.to_be(),
        zone: 7,
        proto: proto::UDP,
    }
}

fn main() {
    let lookups: u32 = match std::env::args().nth(1).map(|n| n.parse()) {
        None => 1_000_000,
        Some(Ok(lookups)) => lookups,
        Some(Err(error)) => return eprintln!("the number of lookups: {error}"),
    };
    let entries: Vec<Entry> = (0..FLOWS * 2).map(|_| Entry::default()).collect();
    let mut table = Table::new(entries.leak(), Seed(3, 5));
    for n in 0..FLOWS {
        let action = Action::new(&key(n), &key(n + 1), 1, 0);
        let inserted = table.insert(&key(n), &action, &Activity::default(), 0);
        inserted.expect("a table of twice the size has room");
    }
    let mut frame = [0; 60];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[22..24].copy_from_slice(&[64, proto::UDP]);
    let mut hits = 0;
    for n in 0..lookups {
        let wanted = n.wrapping_mul(2_654_435_761) % FLOWS;
        if let Some((_, entry)) = table.find(&key(wanted)) {
            let rewritten = rewrite(&mut frame, &entry.action(), Checksum::Complete);
            hits += u32::from(rewritten.is_ok());
        }
    }
    assert_eq!(hits, lookups, "every lookup is a hit");
    std::hint::black_box(frame);
}
