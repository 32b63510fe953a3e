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
//! At half load nine lookups in ten end in the first pair. At 90 % load a sequence of
//! [`MAX_REACH`] slots is full with a probability of about 10⁻⁶; the flow then stays out of the table
//! ([`Full`]) and its packets take the slow path.
//!
//! # Concurrency
//! An entry is written while free and published by one store. Its action never changes afterwards
//! but for the next hop and the meter, one store each. An entry taken out is *retired*: readers no longer find it, but
//! one that already has goes on using it; only after a grace period (every CPU has left the program it
//! was in) may the writer [`Table::release`] it for reuse. So no reader acts on a half-changed entry.

use crate::entry::{Action, Activity, Entry, state};
use crate::key::{Key, Seed};
use crate::prefetch::prefetch;

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

/// Finds the live entry of `key`. `get` gives the entry of a slot.
#[inline(always)]
pub fn find<'a>(
    geometry: &Geometry,
    key: &Key,
    get: impl Fn(u32) -> Option<&'a Entry>,
) -> Option<(u32, &'a Entry)> {
    let mut probe = geometry.probe(key);
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

/// No slot of the key's sequence is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// The writer's side of the table. There must be one for a piece of memory, in all processes.
#[derive(Debug)]
pub struct Table {
    entries: &'static [Entry],
    geometry: Geometry,
    live: u32,
}

impl Table {
    /// Takes over `entries`, which may hold flows: then `seed` must be the one they were placed with.
    ///
    /// Retired entries found there are released: their readers ended long before a new writer came.
    ///
    /// # Panics
    /// If there are fewer than [`MIN_SLOTS`] entries, an odd number, or more than 2³¹.
    pub fn new(entries: &'static [Entry], seed: Seed) -> Table {
        let slots = u32::try_from(entries.len()).expect("a table has at most 2^31 entries");
        assert!(
            slots >= MIN_SLOTS && slots.is_multiple_of(2) && slots <= 1 << 31,
            "a table has an even number of entries, from {MIN_SLOTS} to 2^31, not {slots}"
        );
        let mut live = 0;
        for entry in entries {
            match entry.state() {
                state::LIVE => live += 1,
                state::FREE => {}
                _ => entry.set_state(state::FREE),
            }
        }
        Table {
            entries,
            geometry: Geometry { slots, seed },
            live,
        }
    }

    /// Where keys lie.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Live entries.
    pub fn len(&self) -> u32 {
        self.live
    }

    /// Whether no entry is live.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The entry of a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn entry(&self, slot: u32) -> &'static Entry {
        &self.entries[slot as usize]
    }

    /// All slots and their entries.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &'static Entry)> + use<> {
        self.entries
            .iter()
            .enumerate()
            .map(|(slot, entry)| (slot as u32, entry))
    }

    /// Finds the live entry of `key`.
    pub fn find(&self, key: &Key) -> Option<(u32, &'static Entry)> {
        find(&self.geometry, key, |slot| self.entries.get(slot as usize))
    }

    /// Has the processor fetch the place where `key` probably lies, for a lookup soon.
    #[inline]
    pub fn prefetch(&self, key: &Key) {
        let home = self.geometry.home(key);
        for slot in [home, home ^ 1] {
            self.prefetch_slot(slot);
        }
    }

    /// Has the processor fetch a slot's entry, for use soon. If there is no such slot, it does nothing.
    #[inline]
    pub fn prefetch_slot(&self, slot: u32) {
        if let Some(entry) = self.entries.get(slot as usize) {
            prefetch(entry);
        }
    }

    /// Has the processor fetch the second place where `key` may lie, if it does not lie in the first. To be called
    /// when that has come, some time after [`Table::prefetch`].
    #[inline]
    pub fn prefetch_on(&self, key: &Key) {
        let probe = self.geometry.probe(key);
        let home = self.entry(probe.slot());
        if home.reach() > 1 && !home.is(key) && !self.entry(probe.slot() ^ 1).is(key) {
            let slot = probe.next().next().slot();
            self.prefetch_slot(slot);
            self.prefetch_slot(slot ^ 1);
        }
    }

    /// Puts a flow in and gives its slot. `key` must not be in the table.
    ///
    /// `activity` is what the flow counts from; `start` is the second in which its session began.
    pub fn insert(
        &mut self,
        key: &Key,
        action: &Action,
        activity: &Activity,
        start: u32,
    ) -> Result<u32, Full> {
        debug_assert!(self.find(key).is_none(), "{key:?} is in the table already");
        let mut probe = self.geometry.probe(key);
        let home = self.entry(probe.slot());
        for at in 0..=MAX_REACH {
            let entry = self.entry(probe.slot());
            if entry.state() == state::FREE {
                entry.publish(key, action, activity, start);
                if home.reach() < at {
                    home.set_reach(at);
                }
                self.live += 1;
                return Ok(probe.slot());
            }
            probe = probe.next();
        }
        Err(Full)
    }

    /// Takes a live flow out. From now on no reader finds it; the slot stays unused until it is
    /// [released](Table::release).
    ///
    /// # Panics
    /// If the slot holds no live flow.
    pub fn retire(&mut self, slot: u32) {
        let entry = self.entry(slot);
        let key = entry.key().expect("only a live entry can be retired");
        entry.set_state(state::RETIRED);
        self.live -= 1;
        self.shrink(&key);
    }

    /// Makes a retired slot usable again. Every reader that might have found it must be gone.
    ///
    /// # Panics
    /// If the slot is not retired.
    pub fn release(&mut self, slot: u32) {
        let entry = self.entry(slot);
        assert_eq!(entry.state(), state::RETIRED, "slot {slot} is not retired");
        entry.set_state(state::FREE);
    }

    /// Brings the reach of `key`'s home down to the farthest flow of that home.
    fn shrink(&self, key: &Key) {
        let mut probe = self.geometry.probe(key);
        let home_slot = probe.slot();
        let home = self.entry(home_slot);
        let mut farthest = 0;
        for at in 1..=home.reach() {
            probe = probe.next();
            let here = self.entry(probe.slot()).key();
            if here.is_some_and(|key| self.geometry.home(&key) == home_slot) {
                farthest = at;
            }
        }
        home.set_reach(farthest);
    }
}
