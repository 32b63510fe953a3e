//! The rig's own kernel programs: a few instructions each, written as such, so that no compiler for them is needed.

use crate::flows::{FRAME, Flow};
use crate::load::Pace;
use crate::sys::{Kind, Program, Shared};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;

const KTIME_GET_NS: i32 = 5;
const REDIRECT: i32 = 23;
const RINGBUF_RESERVE: i32 = 131;
const RINGBUF_SUBMIT: i32 = 132;
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const TC_PASS: i32 = 0;
const TC_DROP: i32 = 2;

/// A program under construction.
#[derive(Default)]
struct Asm {
    code: Vec<u64>,
    /// Jumps to labels that come later.
    open: Vec<(usize, &'static str)>,
}

/// Sizes of loads and stores.
const U16: u8 = 0x08;
const U32: u8 = 0x00;
const U64: u8 = 0x18;

impl Asm {
    fn put(&mut self, code: u8, to: u8, from: u8, offset: i16, value: i32) {
        let head = u64::from(code) | u64::from(to) << 8 | u64::from(from) << 12;
        let rest = u64::from(offset as u16) << 16 | u64::from(value as u32) << 32;
        self.code.push(head | rest);
    }

    /// `to = *(from + offset)`
    fn load(&mut self, size: u8, to: u8, from: u8, offset: i16) {
        self.put(0x61 | size, to, from, offset, 0);
    }

    /// `*(to + offset) = from`
    fn store(&mut self, size: u8, to: u8, offset: i16, from: u8) {
        self.put(0x63 | size, to, from, offset, 0);
    }

    /// `*(to + offset) = value`
    fn store_value(&mut self, size: u8, to: u8, offset: i16, value: i32) {
        self.put(0x62 | size, to, 0, offset, value);
    }

    /// `to = from`
    fn copy(&mut self, to: u8, from: u8) {
        self.put(0xbf, to, from, 0, 0);
    }

    /// `to = value`
    fn set(&mut self, to: u8, value: i32) {
        self.put(0xb7, to, 0, 0, value);
    }

    /// `to += from`
    fn add(&mut self, to: u8, from: u8) {
        self.put(0x0f, to, from, 0, 0);
    }

    /// `to += value`
    fn add_value(&mut self, to: u8, value: i32) {
        self.put(0x07, to, 0, 0, value);
    }

    /// `*(to + offset) += from`, at once
    fn atomic_add(&mut self, to: u8, offset: i16, from: u8) {
        self.put(0xdb, to, from, offset, 0);
    }

    /// `to = address of the shared memory`
    fn address(&mut self, to: u8, memory: &Shared) {
        self.put(0x18, to, 2, 0, memory.fd());
        self.put(0, 0, 0, 0, 0);
    }

    /// `to = the map`
    fn map(&mut self, to: u8, map: BorrowedFd) {
        self.put(0x18, to, 1, 0, map.as_raw_fd());
        self.put(0, 0, 0, 0, 0);
    }

    fn call(&mut self, helper: i32) {
        self.put(0x85, 0, 0, 0, helper);
    }

    fn exit(&mut self) {
        self.put(0x95, 0, 0, 0, 0);
    }

    fn jump(&mut self, code: u8, a: u8, b: u8, value: i32, label: &'static str) {
        self.open.push((self.code.len(), label));
        self.put(code, a, b, 0, value);
    }

    /// `if a > b goto label`
    fn if_above(&mut self, a: u8, b: u8, label: &'static str) {
        self.jump(0x2d, a, b, 0, label);
    }

    /// `if a >= b goto label`
    fn if_least(&mut self, a: u8, b: u8, label: &'static str) {
        self.jump(0x3d, a, b, 0, label);
    }

    /// `if a > value goto label`
    fn if_above_value(&mut self, a: u8, value: i32, label: &'static str) {
        self.jump(0x25, a, 0, value, label);
    }

    /// `if a == value goto label`
    fn if_is(&mut self, a: u8, value: i32, label: &'static str) {
        self.jump(0x15, a, 0, value, label);
    }

    /// `if a != value goto label`
    fn if_not(&mut self, a: u8, value: i32, label: &'static str) {
        self.jump(0x55, a, 0, value, label);
    }

    /// The place that the jumps so far with this label lead to.
    fn label(&mut self, label: &str) {
        let here = self.code.len();
        let code = &mut self.code;
        self.open.retain(|&(at, of)| {
            if of == label {
                code[at] |= ((here - at - 1) as u64) << 16;
            }
            of != label
        });
    }

    /// The end of a program that counts or copies: at "drop", where it comes by itself, and at "pass" with these verdicts.
    fn end(&mut self, drop: i32, pass: i32) {
        for (label, verdict) in [("drop", drop), ("pass", pass)] {
            self.label(label);
            self.set(0, verdict);
            self.exit();
        }
    }

    fn load_as(self, kind: Kind) -> io::Result<Program> {
        debug_assert!(self.open.is_empty());
        Program::load(kind, &self.code)
    }
}

/// Sends everything to an interface without a look at it: what no gateway can do without.
pub fn redirect(kind: Kind, ifindex: u32) -> io::Result<Program> {
    let mut asm = Asm::default();
    asm.set(1, ifindex as i32);
    asm.set(2, 0);
    asm.call(REDIRECT);
    asm.exit();
    asm.load_as(kind)
}

/// Copies the first [`FRAME`] bytes of each IPv4 frame into a ring buffer and drops it. Everything else passes.
pub fn punt(kind: Kind, ring: BorrowedFd) -> io::Result<Program> {
    // Where the context has the packet's beginning and end.
    let (data, pass, drop) = match kind {
        Kind::Tc => (76, TC_PASS, TC_DROP),
        Kind::Xdp => (0, XDP_PASS, XDP_DROP),
    };
    let mut asm = Asm::default();
    asm.load(U32, 6, 1, data);
    asm.load(U32, 3, 1, data + 4);
    asm.copy(4, 6);
    asm.add_value(4, FRAME as i32);
    asm.if_above(4, 3, "pass");
    asm.load(U16, 1, 6, 12);
    asm.if_not(1, 8, "pass");
    asm.map(1, ring);
    asm.set(2, FRAME as i32);
    asm.set(3, 0);
    asm.call(RINGBUF_RESERVE);
    asm.if_is(0, 0, "drop");
    let words = FRAME as i16 / 8;
    for word in 0..words {
        asm.load(U64, 1, 6, word * 8);
        asm.store(U64, 0, word * 8, 1);
    }
    asm.load(U32, 1, 6, words * 8);
    asm.store(U32, 0, words * 8, 1);
    asm.copy(1, 0);
    asm.set(2, 0);
    asm.call(RINGBUF_SUBMIT);
    asm.end(drop, pass);
    asm.load_as(kind)
}

/// Buckets of the sink's histogram, and how many nanoseconds each is wide (as a power of two).
const BUCKETS: usize = 1 << 14;
const BUCKET_SHIFT: i32 = 7;
const HISTOGRAM: usize = 2;

/// Counts UDP packets and drops them. Everything else passes.
#[derive(Debug)]
pub struct Sink {
    memory: Shared,
    /// The program.
    pub program: Program,
}

impl Sink {
    /// Loads it.
    pub fn new() -> io::Result<Sink> {
        let memory = Shared::new(HISTOGRAM + BUCKETS)?;
        let mut asm = Asm::default();
        asm.load(U32, 6, 1, 0);
        asm.load(U32, 3, 1, 4);
        asm.copy(4, 6);
        asm.add_value(4, 50);
        asm.if_above(4, 3, "pass");
        asm.load(U16, 1, 6, 12);
        asm.if_not(1, 8, "pass");
        asm.put(0x71, 1, 6, 23, 0); // one byte: the protocol
        asm.if_not(1, 17, "pass");
        asm.address(9, &memory);
        asm.set(1, 1);
        asm.atomic_add(9, 0, 1);
        // Packets without a checksum carry the time when they were sent.
        asm.load(U16, 1, 6, 40);
        asm.if_not(1, 0, "drop");
        asm.load(U64, 7, 6, 42);
        asm.call(KTIME_GET_NS);
        asm.if_above(7, 0, "drop");
        asm.put(0x1f, 0, 7, 0, 0); // r0 -= r7
        asm.put(0x77, 0, 0, 0, BUCKET_SHIFT); // r0 >>= …
        asm.put(0xa5, 0, 0, 1, BUCKETS as i32); // if r0 < … goto +1
        asm.set(0, BUCKETS as i32 - 1);
        asm.put(0x67, 0, 0, 0, 3); // r0 <<= 3
        asm.add(9, 0);
        asm.set(1, 1);
        asm.atomic_add(9, HISTOGRAM as i16 * 8, 1);
        asm.end(XDP_DROP, XDP_PASS);
        let program = asm.load_as(Kind::Xdp)?;
        Ok(Sink { memory, program })
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.memory.words()[0].load(Relaxed)
    }

    /// Forgets the latencies so far.
    pub fn forget(&self) {
        let buckets = &self.memory.words()[HISTOGRAM..];
        buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
    }

    /// The latencies, in nanoseconds, that these shares of the packets had at most.
    pub fn latencies(&self, shares: &[f64]) -> Vec<f64> {
        let buckets = &self.memory.words()[HISTOGRAM..];
        let counts: Vec<u64> = buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let at = |share: f64| {
            let mut sum = 0;
            let wanted = (all as f64 * share) as u64;
            let bucket = counts.iter().position(|count| {
                sum += count;
                sum > wanted
            });
            (bucket.unwrap_or(BUCKETS) as f64 + 0.5) * f64::from(1 << BUCKET_SHIFT)
        };
        shares.iter().map(|&share| at(share)).collect()
    }
}

// The generator's memory, in words.
const NEXT: usize = 0;
const FLOWS: usize = 1;
const INTERVAL: usize = 2;
const DUE: usize = 3;
const HEADER: usize = 4;
const STAMP: usize = 8;
const SENT: usize = 9;
const BUDGET: usize = 10;
const BURST_MASK: usize = 11;
const TEMPLATES: usize = 16;
/// How far behind the pace it may fall and make up for it, in nanoseconds.
const SLACK: i32 = 100_000;

/// Makes frames of the kernel's test run into packets of many flows, one after the other, and sends them by an
/// interface.
#[derive(Debug)]
pub struct Generator {
    memory: Shared,
    flows: usize,
}

impl Generator {
    /// Prepares it for these flows. `header` is the beginning of the frames.
    pub fn new(flows: &[Flow], header: &[u8; 24]) -> io::Result<Generator> {
        let memory = Shared::new(TEMPLATES + 2 * flows.len())?;
        let words = memory.words();
        for (n, flow) in flows.iter().enumerate() {
            let template = flow.template();
            words[TEMPLATES + 2 * n].store(template[0], Relaxed);
            words[TEMPLATES + 2 * n + 1].store(template[1], Relaxed);
        }
        for (n, word) in header.chunks_exact(8).enumerate() {
            let word = word.try_into().expect("eight bytes");
            words[HEADER + n].store(u64::from_ne_bytes(word), Relaxed);
        }
        let flows = flows.len();
        Ok(Generator { memory, flows })
    }

    /// Loads the program that sends by an interface.
    pub fn program(&self, ifindex: u32) -> io::Result<Program> {
        let (memory, flows) = (&self.memory, self.flows);
        let word = |n: usize| n as i16 * 8;
        let mut asm = Asm::default();
        asm.load(U32, 7, 1, 0);
        asm.load(U32, 3, 1, 4);
        asm.copy(4, 7);
        asm.add_value(4, FRAME as i32);
        asm.if_above(4, 3, "drop");
        asm.address(9, memory);
        // Within the budget?
        asm.load(U64, 8, 9, word(SENT));
        asm.load(U64, 1, 9, word(BUDGET));
        asm.if_least(8, 1, "drop");
        // Is the next burst due, if one begins?
        asm.load(U64, 1, 9, word(BURST_MASK));
        asm.put(0x5f, 1, 8, 0, 0); // r1 &= r8
        asm.if_not(1, 0, "go");
        asm.load(U64, 6, 9, word(INTERVAL));
        asm.if_is(6, 0, "go");
        asm.call(KTIME_GET_NS);
        asm.load(U64, 1, 9, word(DUE));
        asm.if_above(1, 0, "drop");
        asm.add(1, 6);
        asm.add_value(0, -SLACK);
        asm.if_above(1, 0, "paced");
        asm.copy(1, 0);
        asm.label("paced");
        asm.store(U64, 9, word(DUE), 1);
        asm.label("go");
        asm.add_value(8, 1);
        asm.store(U64, 9, word(SENT), 8);
        // The flow, and the one after it.
        asm.load(U64, 8, 9, word(NEXT));
        asm.if_above_value(8, flows as i32 - 1, "drop");
        asm.load(U64, 1, 9, word(FLOWS));
        asm.copy(2, 8);
        asm.add_value(2, 1);
        asm.if_above(1, 2, "more");
        asm.set(2, 0);
        asm.label("more");
        asm.store(U64, 9, word(NEXT), 2);
        // The packet.
        for n in 0..3 {
            asm.load(U64, 1, 9, word(HEADER + n));
            asm.store(U64, 7, word(n), 1);
        }
        asm.put(0x67, 8, 0, 0, 4); // r8 <<= 4
        asm.copy(6, 9);
        asm.add(6, 8);
        let template = word(TEMPLATES);
        asm.load(U64, 1, 6, template);
        asm.store(U64, 7, 24, 1);
        asm.load(U32, 1, 6, template + 8);
        asm.store(U32, 7, 32, 1);
        asm.load(U16, 1, 6, template + 12);
        asm.store(U16, 7, 36, 1);
        asm.store_value(U16, 7, 38, i32::from((FRAME as u16 - 34).to_be()));
        asm.load(U16, 1, 6, template + 14);
        asm.store(U16, 7, 40, 1);
        asm.load(U64, 1, 9, word(STAMP));
        asm.set(2, 0);
        asm.if_is(1, 0, "plain");
        asm.store(U16, 7, 40, 2);
        asm.call(KTIME_GET_NS);
        asm.copy(2, 0);
        asm.label("plain");
        asm.store(U64, 7, 42, 2);
        asm.set(1, ifindex as i32);
        asm.set(2, 0);
        asm.call(REDIRECT);
        asm.exit();
        asm.label("drop");
        asm.set(0, XDP_DROP);
        asm.exit();
        asm.load_as(Kind::Xdp)
    }

    fn set(&self, word: usize, value: u64) {
        self.memory.words()[word].store(value, Relaxed);
    }

    /// Begins anew.
    pub fn begin(&self, pace: Pace) {
        self.set(BUDGET, 0);
        self.set(SENT, 0);
        self.set(NEXT, pace.first);
        self.set(FLOWS, pace.flows);
        self.set(INTERVAL, pace.interval);
        self.set(BURST_MASK, pace.burst - 1);
        self.set(STAMP, pace.stamp.into());
        self.set(BUDGET, pace.budget);
    }

    /// Packets since it began.
    pub fn sent(&self) -> u64 {
        self.memory.words()[SENT].load(Relaxed)
    }
}
