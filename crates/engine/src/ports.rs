//! The ports of one EIP and protocol: which are taken, and finding a free one.
//!
//! A bitmap of 65,536 bits with a summary above it: one bit for each word that is full. Finding a free
//! port costs a few instructions, however full it is.

use std::ops::RangeInclusive;

const WORDS: usize = 1 << 10;

/// A set of ports. An empty one costs nothing.
#[derive(Clone, Default)]
pub(crate) struct PortSet {
    bits: Option<Box<Bits>>,
    count: u32,
}

#[derive(Clone)]
struct Bits {
    words: [u64; WORDS],
    /// One bit for each word: whether it is full.
    full: [u64; WORDS / 64],
}

impl Default for Bits {
    fn default() -> Self {
        Bits {
            words: [0; WORDS],
            full: [0; WORDS / 64],
        }
    }
}

impl std::fmt::Debug for PortSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PortSet({} ports)", self.count)
    }
}

impl PortSet {
    /// How many ports it holds.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether it holds `port`.
    pub fn contains(&self, port: u16) -> bool {
        self.bits
            .as_ref()
            .is_some_and(|bits| bits.words[port as usize / 64] & 1 << (port % 64) != 0)
    }

    /// Has the processor fetch what says whether it holds `port`, for use soon.
    #[inline]
    pub fn prefetch(&self, port: u16) {
        if let Some(bits) = &self.bits {
            flow::prefetch(&bits.words[port as usize / 64]);
        }
    }

    /// Puts `port` in. Whether it was not there before.
    pub fn insert(&mut self, port: u16) -> bool {
        let bits = self.bits.get_or_insert_default();
        let at = port as usize / 64;
        let word = &mut bits.words[at];
        let bit = 1 << (port % 64);
        let new = *word & bit == 0;
        *word |= bit;
        if *word == u64::MAX {
            bits.full[at / 64] |= 1 << (at % 64);
        }
        self.count += new as u32;
        new
    }

    /// Takes `port` out. Whether it was there.
    pub fn remove(&mut self, port: u16) -> bool {
        let Some(bits) = &mut self.bits else {
            return false;
        };
        let at = port as usize / 64;
        let word = &mut bits.words[at];
        let bit = 1 << (port % 64);
        let old = *word & bit != 0;
        *word &= !bit;
        bits.full[at / 64] &= !(1 << (at % 64));
        self.count -= old as u32;
        old
    }

    /// Whether it holds what `a` and `b` hold, and nothing else.
    #[cfg(any(test, feature = "check"))]
    pub fn is_union(&self, a: &PortSet, b: &PortSet) -> bool {
        const NONE: &[u64; WORDS] = &[0; WORDS];
        let [all, a, b] =
            [self, a, b].map(|set| set.bits.as_ref().map_or(NONE, |bits| &bits.words));
        let empty = |words| std::ptr::eq(words, NONE);
        (empty(all) && empty(a) && empty(b)) || (0..WORDS).all(|at| all[at] == a[at] | b[at])
    }

    /// The first port of `range` that it does not hold, from `start` upwards and around.
    pub fn first_free(&self, range: &RangeInclusive<u16>, start: u16) -> Option<u16> {
        let (low, high) = (*range.start(), *range.end());
        let start = start.clamp(low, high);
        let Some(bits) = &self.bits else {
            return Some(start);
        };
        bits.free_between(start, high)
            .or_else(|| (start > low).then(|| bits.free_between(low, start - 1))?)
    }
}

impl Bits {
    fn free_between(&self, low: u16, high: u16) -> Option<u16> {
        let mut at = low as usize / 64;
        let last = high as usize / 64;
        // Bits below `low` in its word count as taken.
        let mut word = self.words[at] | ((1u64 << (low % 64)) - 1);
        loop {
            if word != u64::MAX {
                let port = at * 64 + word.trailing_ones() as usize;
                return (port <= high as usize).then_some(port as u16);
            }
            at = self.next_not_full(at + 1)?;
            if at > last {
                return None;
            }
            word = self.words[at];
        }
    }

    /// The first word from `at` on that is not full.
    fn next_not_full(&self, at: usize) -> Option<usize> {
        let mut group = at / 64;
        let mut mask = *self.full.get(group)? | ((1u64 << (at % 64)) - 1);
        loop {
            if mask != u64::MAX {
                return Some(group * 64 + mask.trailing_ones() as usize);
            }
            group += 1;
            mask = *self.full.get(group)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_set(
            ops in proptest::collection::vec((any::<bool>(), 0u16..300), 0..600),
            fill in proptest::option::of(0u16..280),
            low in 0u16..300, span in 0u16..300, start in 0u16..700
        ) {
            let mut set = PortSet::default();
            let mut model = BTreeSet::new();
            if let Some(to) = fill {
                for port in 0..=to {
                    set.insert(port);
                    model.insert(port);
                }
            }
            for (add, port) in ops {
                if add {
                    prop_assert_eq!(set.insert(port), model.insert(port));
                } else {
                    prop_assert_eq!(set.remove(port), model.remove(&port));
                }
                prop_assert_eq!(set.len() as usize, model.len());
                prop_assert_eq!(set.contains(port), model.contains(&port));
            }
            let high = low + span;
            let from = start.clamp(low, high);
            let expected = (from..=high).chain(low..from).find(|port| !model.contains(port));
            prop_assert_eq!(set.first_free(&(low..=high), start), expected);
        }
    }

    #[test]
    fn the_last_free_port_is_found() {
        let mut set = PortSet::default();
        for port in 0..=u16::MAX {
            set.insert(port);
        }
        assert_eq!(set.first_free(&(0..=u16::MAX), 0), None);
        for port in [0, 63, 64, 4095, 4096, 65535] {
            set.remove(port);
            assert_eq!(set.first_free(&(0..=u16::MAX), 30_000), Some(port));
            set.insert(port);
        }
    }
}
