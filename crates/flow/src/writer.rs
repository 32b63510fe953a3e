//! The daemon's side of the flow table: putting flows in and taking them out.

use crate::atomic::AtomicU64;
use crate::entry::{Action, Activity, Entry, state};
use crate::homes::{Homes, words};
use crate::key::{Key, Seed};
use crate::prefetch::prefetch;
use crate::table::{Geometry, MAX_REACH, MIN_SLOTS, find};

/// No slot of the key's sequence is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// The writer's side of the table. There must be one for a piece of memory, in all processes.
#[derive(Debug)]
pub struct Table {
    entries: &'static [Entry],
    homes: Homes,
    geometry: Geometry,
    live: u32,
}

impl Table {
    /// Takes over `entries`, which may hold flows: then `seed` must be the one they were placed with. `homes` becomes
    /// what it has to be, whatever it was before; it has [so many words](crate::homes::words).
    ///
    /// Retired entries found there are released: their readers ended long before a new writer came.
    ///
    /// # Panics
    /// If there are fewer than [`MIN_SLOTS`] entries, an odd number, or more than 2³¹, or not as many words of homes.
    pub fn new(entries: &'static [Entry], homes: &'static [AtomicU64], seed: Seed) -> Table {
        let slots = u32::try_from(entries.len()).expect("a table has at most 2^31 entries");
        assert!(
            slots >= MIN_SLOTS && slots.is_multiple_of(2) && slots <= 1 << 31,
            "a table has an even number of entries, from {MIN_SLOTS} to 2^31, not {slots}"
        );
        let words = words(slots) as usize;
        assert_eq!(
            homes.len(),
            words,
            "{slots} slots have {words} words of homes"
        );
        let geometry = Geometry { slots, seed };
        let mut live = 0;
        let mut at_home = alloc::vec![0u64; words];
        for entry in entries {
            if let Some(key) = entry.key() {
                live += 1;
                let home = geometry.home(&key);
                at_home[home as usize / 64] |= 1 << (home % 64);
            } else if entry.state() != state::FREE {
                entry.set_state(state::FREE);
            }
        }
        let homes = Homes(homes);
        homes.become_these(&at_home);
        Table {
            entries,
            homes,
            geometry,
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
        find(
            &self.geometry,
            key,
            |word| self.homes.0.get(word as usize),
            |slot| self.entries.get(slot as usize),
        )
    }

    /// Has the processor fetch the place where `key` probably lies or will lie, for use soon.
    #[inline]
    pub fn prefetch(&self, key: &Key) {
        self.prefetch_home(self.geometry.home(key));
    }

    /// The same for a key with this home.
    #[inline]
    pub fn prefetch_home(&self, home: u32) {
        self.homes.prefetch(home);
        self.prefetch_slot(home);
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
        let home = probe.slot();
        for at in 0..=MAX_REACH {
            let slot = probe.slot();
            let entry = self.entry(slot);
            if entry.state() == state::FREE {
                self.homes.set(home);
                entry.publish(key, action, activity, start);
                // Who looks for it in the meantime comes too early.
                if at > 0 && self.entry(home).reach() < at {
                    self.entry(home).set_reach(at);
                }
                self.live += 1;
                return Ok(slot);
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

    /// Brings the reach of `key`'s home down to the farthest flow of that home, which is none any more if it has no flow.
    fn shrink(&self, key: &Key) {
        let mut probe = self.geometry.probe(key);
        let home_slot = probe.slot();
        let home = self.entry(home_slot);
        let mut farthest = None;
        for at in 0..=home.reach() {
            let here = self.entry(probe.slot()).key();
            if here.is_some_and(|key| self.geometry.home(&key) == home_slot) {
                farthest = Some(at);
            }
            probe = probe.next();
        }
        home.set_reach(farthest.unwrap_or(0));
        if farthest.is_none() {
            self.homes.clear(home_slot);
        }
    }
}
