//! The flow table: a hash table of cache lines, one writer, any number of readers without locks.
//!
//! # Layout
//! An array of [`Entry`]. A key has a home slot and a fixed sequence of further slots: the other
//! half of the home's pair of lines (which processors fetch together with it), then pairs in steps that
//! depend on the home (so that the runs of neighbours do not grow together). A new flow takes the
//! first free slot of its sequence and never moves, since the kernel counts in it. The home slot's
//! `reach` says how far along the sequence a flow of that home may lie, so a lookup that finds nothing
//! usually costs one line, and taking flows out leaves no tombstones.
//!
//! Beside the entries lies a bit for each slot that says whether it is the home of a flow ([`crate::homes`]): where it is
//! not set, a lookup looks at no entry at all.
//!
//! At half load nine lookups in ten end in the first pair. At 90 % load a sequence of
//! [`MAX_REACH`] slots is full with a probability of about 10⁻⁶; the flow then stays out of the table
//! ([`Full`]) and its packets take the slow path.
//!
//! # Concurrency
//! An entry is written while free and published by one store. Its action never changes afterwards
//! but for the next hop and the meter, one store each. An entry taken out is *retired*: readers no longer find it, but
//! one that already has goes on using it; only after a grace period (every CPU has left the program it
//! was in) may the writer [`Table::release`] it for reuse. So no reader acts on a half-changed entry.

use crate::atomic::AtomicU64;
use crate::entry::Entry;
use crate::homes::is_home;
use crate::key::{Key, Seed};

#[cfg(not(target_arch = "bpf"))]
pub use crate::writer::{Full, Table};

/// The most slots that a lookup visits after the home slot.
pub const MAX_REACH: u8 = 127;

/// The fewest slots that a table can have.
pub const MIN_SLOTS: u32 = 64;

/// Where keys lie: the same in the kernel and the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of entries: even, at least [`MIN_SLOTS`].
    pub slots: u32,
    /// The hash's secret.
    pub seed: Seed,
}

/// A position in a home's sequence of slots.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pair: u32,
    pairs: u32,
    step: u32,
    side: u32,
    at: u32,
}

impl Geometry {
    /// The start of a key's sequence of slots: its home.
    #[inline(always)]
    pub fn probe(&self, key: &Key) -> Probe {
        let hash = key.hash(self.seed);
        let pairs = self.slots / 2;
        let home = (((hash >> 32) * self.slots as u64) >> 32) as u32;
        let pair = home / 2;
        let scattered = pair.wrapping_mul(0x9e37_79b1) as u64;
        Probe {
            pair,
            pairs,
            // Odd, so that the sequence visits every pair of a table whose size is a power of two.
            step: 1 + 2 * ((scattered * (pairs as u64 / 2)) >> 32) as u32,
            side: home & 1,
            at: 0,
        }
    }

    /// The home slot of a key.
    pub fn home(&self, key: &Key) -> u32 {
        self.probe(key).slot()
    }
}

impl Probe {
    /// The slot at this position.
    #[inline(always)]
    pub const fn slot(&self) -> u32 {
        self.pair * 2 + (self.side ^ (self.at & 1))
    }

    /// The next position.
    #[inline(always)]
    pub const fn next(mut self) -> Probe {
        self.at += 1;
        if self.at & 1 == 0 {
            self.pair += self.step;
            if self.pair >= self.pairs {
                self.pair -= self.pairs;
            }
        }
        self
    }
}

/// Finds the live entry of `key`. `homes` gives the words of the bits that say which slots are homes, `get` the entry
/// of a slot.
#[inline(always)]
pub fn find<'a>(
    geometry: &Geometry,
    key: &Key,
    homes: impl Fn(u32) -> Option<&'a AtomicU64>,
    get: impl Fn(u32) -> Option<&'a Entry>,
) -> Option<(u32, &'a Entry)> {
    let mut probe = geometry.probe(key);
    if !is_home(probe.slot(), homes) {
        return None;
    }
    let home = get(probe.slot())?;
    if home.is(key) {
        return Some((probe.slot(), home));
    }
    let reach = home.reach();
    let mut at = 0;
    while at < MAX_REACH && at < reach {
        at += 1;
        probe = probe.next();
        let entry = get(probe.slot())?;
        if entry.is(key) {
            return Some((probe.slot(), entry));
        }
    }
    None
}
