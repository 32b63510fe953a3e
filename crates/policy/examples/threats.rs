//! What a million threat indicators cost: memory, and the time of a look-up.
//!
//! `cargo run --release -p policy --example threats [INDICATORS]` makes lists of addresses and of domains, half of each (a
//! million by default), reads them as feeds are read, and asks for addresses and names of which a few are in them.

use model::FeedFormat;
use policy::{Indicator, Threats, feed};
use std::fmt::Write;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

fn random(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A name as such lists have them: about 20 bytes.
fn name(n: u64) -> String {
    format!(
        "{:x}.site-{}.example",
        random(n) as u16,
        random(n) % 100_000_000
    )
}

/// The mean time of a look-up: of each group of them the best of some rounds, which leaves out what else the machine does.
fn measure<T>(asked: &[T], find: impl Fn(&T) -> bool) -> (Duration, usize) {
    let groups = asked.chunks(64);
    let mut best = vec![Duration::MAX; groups.len()];
    let mut found = 0;
    for _ in 0..8 {
        found = 0;
        for (asked, best) in groups.clone().zip(&mut best) {
            let begin = Instant::now();
            found += asked.iter().filter(|it| black_box(find(it))).count();
            *best = begin.elapsed().min(*best);
        }
    }
    (best.iter().sum::<Duration>() / asked.len() as u32, found)
}

fn main() {
    let len = std::env::args()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or(1_000_000u64);
    let mut list = String::new();
    for n in 0..len / 2 {
        writeln!(list, "{}", Ipv4Addr::from(random(n) as u32)).unwrap();
        writeln!(list, "{}", name(n)).unwrap();
    }
    let begin = Instant::now();
    let mut found: Vec<(Indicator, &str)> = Vec::new();
    let report = feed::read(
        list.as_bytes(),
        FeedFormat::Plain,
        0,
        &mut |indicator, _| {
            found.push((indicator, "IpOutThreatC2"));
        },
    );
    let read = begin.elapsed();
    println!(
        "read {} indicators in {read:.0?}",
        report.unwrap().indicators
    );
    drop(list);
    let begin = Instant::now();
    let threats = Threats::new(found);
    let (built, bytes) = (begin.elapsed(), threats.bytes());
    println!("built in {built:.0?}: {:.1} MB", bytes as f64 / 1e6);
    // Many, so that they are not in the cache from the last time.
    let addresses: Vec<Ipv4Addr> = (0..200_000u64)
        .map(|n| match n % 10 {
            0 => Ipv4Addr::from(random(n % (len / 2)) as u32),
            _ => Ipv4Addr::from(random(n + (1 << 40)) as u32),
        })
        .collect();
    let (time, found) = measure(&addresses, |it| threats.find_address(*it).is_some());
    println!(
        "address: {} ns, {found} of {} found",
        time.as_nanos(),
        addresses.len()
    );
    let names: Vec<String> = (0..200_000u64)
        .map(|n| match n % 10 {
            0 => format!("www.{}", name(n % (len / 2))),
            _ => name(n + (1 << 40)),
        })
        .collect();
    let (time, found) = measure(&names, |it| threats.find_domain(it).is_some());
    println!(
        "domain: {} ns, {found} of {} found",
        time.as_nanos(),
        names.len()
    );
}
