//! Which slots of the flow table are the home of a flow: a bit for each.
//!
//! The bits are 512 times smaller than the table, so they are in the processor's caches where an entry is not. A lookup whose
//! home is no flow's ends there, without a wait for far memory: four in five of those that find nothing, while the table is a
//! quarter full. Each first packet needs three of them, and whoever scans our addresses has us make many.

use crate::atomic::AtomicU64;
#[cfg(not(target_arch = "bpf"))]
use crate::prefetch::prefetch;
use core::sync::atomic::Ordering::Relaxed;

/// Words of 64 bits for the slots of a table.
pub const fn words(slots: u32) -> u32 {
    slots.div_ceil(64)
}

/// Whether a slot is the home of a flow. `get` gives the words.
#[inline(always)]
pub fn is_home<'a>(slot: u32, get: impl Fn(u32) -> Option<&'a AtomicU64>) -> bool {
    get(slot / 64).is_some_and(|word| word.load(Relaxed) >> (slot % 64) & 1 != 0)
}

/// The bits as the writer of the table has them.
#[cfg(not(target_arch = "bpf"))]
#[derive(Debug)]
pub(crate) struct Homes(pub &'static [AtomicU64]);

#[cfg(not(target_arch = "bpf"))]
impl Homes {
    /// Has the processor fetch a slot's bit, for use soon.
    #[inline]
    pub fn prefetch(&self, slot: u32) {
        if let Some(word) = self.0.get(slot as usize / 64) {
            prefetch(word);
        }
    }

    /// A slot becomes one. To be called before the flow is published.
    #[inline(always)]
    pub fn set(&self, slot: u32) {
        // There is one writer.
        let word = &self.0[slot as usize / 64];
        word.store(word.load(Relaxed) | 1 << (slot % 64), Relaxed);
    }

    /// A slot is none any more.
    pub fn clear(&self, slot: u32) {
        let word = &self.0[slot as usize / 64];
        word.store(word.load(Relaxed) & !(1 << (slot % 64)), Relaxed);
    }

    /// Makes them what `bits` says, while readers are at work: what is to stay set is set all the time.
    pub fn become_these(&self, bits: &[u64]) {
        for (word, &bits) in self.0.iter().zip(bits) {
            word.store(bits, Relaxed);
        }
    }
}
