//! What a hit in the flow table costs: nanoseconds a packet, as the kernel itself measures them
//! (`BPF_PROG_TEST_RUN`), for both programs, at one flow and at a million, without and with a meter that
//! they share.
//!
//! ```text
//! cargo run --release -p datapath --example hit [ROUNDS]     (as root)
//! ```
//!
//! The flows form a ring in random order: each one's action turns its packet into the next one's. So
//! every packet meets another entry, though the kernel runs the program on the same packet again and
//! again. They are TCP flows whose source address is translated and whose ports stay, as most of a NAT
//! gateway's are; the time to live is left alone, or the packet would not last. `net` is without what an
//! empty program takes, which is the measurement itself. `line` is the measure to hold it against: what it
//! takes to read one cache line whose place only the line before tells, in memory as large and as used as
//! the table, at the same time on the same machine. One such line is what a hit cannot do without.

use aya::programs::TestRunOptions;
use datapath::maps::{Maps, Sizes};
use datapath::programs::{Hook, Programs};
use flow::abi::{Station, mac_word};
use flow::table::Table;
use flow::{Action, Activity, Key, checksum, proto};
use std::error::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

const DIR: &str = "/run/sluice/bpf/slkhit";
const LOOPBACK: u32 = 1;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const METER: u16 = 7;
/// Packets in a measurement.
const REPEAT: u32 = 250_000;
/// Measurements, if no other number is asked for, of which the best counts: the others were disturbed.
const ROUNDS: usize = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = match std::env::args().nth(1) {
        Some(rounds) => rounds.parse()?,
        None => ROUNDS,
    };
    println!(
        "{:>9} {:>5} {:>5} {:>10} {:>6} {:>6}",
        "flows", "meter", "hook", "ns/packet", "net", "line"
    );
    let slots = 1 << 21;
    for (flows, meter) in [(1, 0), (1, METER), (1_000_000, 0), (1_000_000, METER)] {
        let _ = std::fs::remove_dir_all(DIR);
        let (maps, _) = Maps::open(Path::new(DIR), Sizes::new(slots))?;
        let mut programs = Programs::load(&maps)?;
        let ring = fill(&maps, flows, meter)?;
        for (name, hook, kind) in [("tc", Hook::Tc, SCHED_CLS), ("xdp", Hook::Xdp, XDP)] {
            let gross = measure(&mut programs, &maps, hook, &ring, rounds)?;
            let empty = empty(kind, rounds)?;
            let net = gross.saturating_sub(empty);
            let line = chase(slots as usize, flows.max(2) as usize, rounds)?;
            let meter = if meter == 0 { "no" } else { "yes" };
            println!("{flows:>9} {meter:>5} {name:>5} {gross:>10} {net:>6} {line:>6}");
        }
        drop((programs, maps));
        std::fs::remove_dir_all(DIR)?;
    }
    Ok(())
}

/// Puts a ring of flows that take from a meter into the table and gives their keys.
fn fill(maps: &Maps, flows: u32, meter: u16) -> Result<Vec<Key>, Box<dyn Error>> {
    let port = maps.port(LOOPBACK);
    port.zone.store(7, Relaxed);
    port.mac.store(mac_word(MAC), Relaxed);
    port.ifindex.store(LOOPBACK, Relaxed);
    maps.hops()[1].set(&Station {
        ifindex: LOOPBACK,
        mtu: 1500,
        flags: 0,
        dst_mac: MAC,
        src_mac: MAC,
        addr: 0,
        zone: 7,
    });
    // So much that it refuses nothing.
    maps.meters()[usize::from(METER)].set_rate(100_000_000_000);
    // Two flows are the least that turn into each other.
    let mut keys: Vec<Key> = (0..flows.max(2))
        .map(|n| Key {
            src: (0x0a00_0001 + n).to_be(),
            dst: u32::from_ne_bytes([198, 51, 100, 7]),
            sport: 40000u16.to_be(),
            dport: 443u16.to_be(),
            zone: 7,
            proto: proto::TCP,
        })
        .collect();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for i in (1..keys.len()).rev() {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        keys.swap(i, ((random >> 33) % (i as u64 + 1)) as usize);
    }
    let mut table = Table::new(maps.flows(), maps.config().seed);
    for (i, key) in keys.iter().enumerate() {
        let next = &keys[(i + 1) % keys.len()];
        let action = Action {
            meter,
            ..Action::new(key, next, 1, 0)
        };
        table
            .insert(key, &action, &Activity::default(), 0)
            .map_err(|_| "the table is full")?;
    }
    Ok(keys)
}

fn measure(
    programs: &mut Programs,
    maps: &Maps,
    hook: Hook,
    ring: &[Key],
    rounds: usize,
) -> Result<u64, Box<dyn Error>> {
    let mut best = u128::MAX;
    for round in 0..rounds {
        // Each goes on where the last one ended, so that it finds nothing in the caches.
        let first = &ring[round * REPEAT as usize % ring.len()];
        let before = maps.counters()?.hit();
        let options = TestRunOptions {
            data_in: Some(&frame(first)),
            repeat: REPEAT,
            ..Default::default()
        };
        let result = programs.test_run(hook, options)?;
        let hits = maps.counters()?.hit() - before;
        if hits != u64::from(REPEAT) {
            return Err(format!("{hits} hits in {REPEAT} packets").into());
        }
        best = best.min(result.duration.as_nanos());
    }
    Ok(best as u64)
}

/// Nanoseconds to read a cache line whose place the line before tells: `used` lines in random order,
/// spread over memory of `lines`, in pages of 4 KiB as the table's.
fn chase(lines: usize, used: usize, rounds: usize) -> Result<u64, Box<dyn Error>> {
    #[repr(align(64))]
    #[derive(Clone, Copy)]
    struct Line(u32);
    let mut memory = Vec::<Line>::with_capacity(lines);
    let bytes = lines * size_of::<Line>();
    let start = memory.as_mut_ptr() as usize & !4095;
    // SAFETY: advice on how to back memory that is ours; pages that are only partly ours at its ends
    // keep their content.
    unsafe { libc::madvise(start as *mut libc::c_void, bytes, libc::MADV_NOHUGEPAGE) };
    memory.resize(lines, Line(0));
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |n: usize| {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        ((random >> 33) % n as u64) as usize
    };
    let mut order: Vec<u32> = (0..lines as u32).collect();
    for i in (1..lines).rev() {
        order.swap(i, below(i + 1));
    }
    order.truncate(used);
    for (i, &line) in order.iter().enumerate() {
        memory[line as usize] = Line(order[(i + 1) % used]);
    }
    let mut at = order[0];
    let mut best = u128::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..REPEAT {
            at = memory[at as usize].0;
        }
        best = best.min(start.elapsed().as_nanos() / u128::from(REPEAT));
        std::hint::black_box(at);
    }
    Ok(best as u64)
}

/// A TCP segment without payload, on the wire.
fn frame(key: &Key) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&MAC);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&40u16.to_be_bytes());
    frame[22] = 255;
    frame[23] = key.proto;
    frame[26..30].copy_from_slice(&key.src.to_ne_bytes());
    frame[30..34].copy_from_slice(&key.dst.to_ne_bytes());
    frame[34..36].copy_from_slice(&key.sport.to_ne_bytes());
    frame[36..38].copy_from_slice(&key.dport.to_ne_bytes());
    frame[46] = 5 << 4;
    frame[47] = 0x10;
    let sum = checksum::sum(
        &frame[34..54],
        checksum::pseudo(key.src, key.dst, key.proto, 20),
    );
    frame[50..52].copy_from_slice(&(!checksum::fold(sum)).to_ne_bytes());
    frame
}

const SCHED_CLS: u32 = 3;
const XDP: u32 = 6;

/// Nanoseconds that a run of an empty program takes.
fn empty(kind: u32, rounds: usize) -> Result<u64, Box<dyn Error>> {
    /// The start of `union bpf_attr` for `BPF_PROG_LOAD`.
    #[repr(C)]
    #[derive(Default)]
    struct Load {
        kind: u32,
        instructions: u32,
        program: u64,
        licence: u64,
        log: [u32; 2],
        log_buffer: u64,
        rest: [u32; 2],
    }
    /// The start of `union bpf_attr` for `BPF_PROG_TEST_RUN`.
    #[repr(C)]
    #[derive(Default)]
    struct Run {
        program: u32,
        result: u32,
        size_in: u32,
        size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    // r0 = 0; exit
    let program = [0xb7u64, 0x95];
    let load = Load {
        kind,
        instructions: 2,
        program: program.as_ptr() as u64,
        licence: c"GPL".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: BPF_PROG_LOAD reads the attributes and what they point at, which lives as long.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 5, &load, size_of::<Load>()) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: a new descriptor, which nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let frame = [0; 60];
    let mut best = u32::MAX;
    for _ in 0..rounds {
        let mut run = Run {
            program: fd.as_raw_fd() as u32,
            size_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat: REPEAT,
            ..Run::default()
        };
        // SAFETY: BPF_PROG_TEST_RUN reads the frame and writes into the attributes.
        if unsafe { libc::syscall(libc::SYS_bpf, 10, &raw mut run, size_of::<Run>()) } < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        best = best.min(run.duration);
    }
    Ok(u64::from(best))
}
