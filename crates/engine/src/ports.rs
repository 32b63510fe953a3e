//! The ports of one EIP and protocol: which are taken and by whom, and finding a free one.
//!
//! Two bits for each port, whether an SNAT mapping owns it and whether a DNAT entry has it, side by side, so that both are in
//! one line of memory. Above them is a summary: one bit for each 64 ports of which none is free. Finding a free port
//! costs a few instructions, however few there are.

use std::ops::RangeInclusive;

const WORDS: usize = 1 << 10;

/// The ports of an EIP and protocol. If none is taken they cost nothing.
#[derive(Default)]
pub(crate) struct Ports {
    bits: Option<Box<Bits>>,
    owned: u32,
}

/// 64 ports.
#[derive(Clone, Copy, Default)]
struct Word {
    owned: u64,
    reserved: u64,
}

impl Word {
    /// Those that are not free.
    fn busy(self) -> u64 {
        self.owned | self.reserved
    }
}

struct Bits {
    words: [Word; WORDS],
    /// One bit for each word: whether it is full.
    full: [u64; WORDS / 64],
}

impl Default for Bits {
    fn default() -> Self {
        Bits {
            words: [Word::default(); WORDS],
            full: [0; WORDS / 64],
        }
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ports({} owned)", self.owned)
    }
}

impl Ports {
    /// How many have owners.
    pub fn owned(&self) -> u32 {
        self.owned
    }

    /// Whether a port has an owner.
    pub fn is_owned(&self, port: u16) -> bool {
        self.word(port).owned & bit(port) != 0
    }

    /// Whether a port cannot get an owner: it has one, or is a DNAT entry's.
    pub fn is_busy(&self, port: u16) -> bool {
        self.word(port).busy() & bit(port) != 0
    }

    /// Whether a port has an owner and may have other users beside him.
    pub fn is_shareable(&self, port: u16) -> bool {
        let word = self.word(port);
        word.owned & !word.reserved & bit(port) != 0
    }

    fn word(&self, port: u16) -> Word {
        let bits = self.bits.as_ref();
        bits.map_or_else(Word::default, |bits| bits.words[port as usize / 64])
    }

    /// A port has an owner from now on.
    pub fn own(&mut self, port: u16) {
        let bits = self.bits.get_or_insert_default();
        let word = &mut bits.words[port as usize / 64];
        self.owned += u32::from(word.owned & bit(port) == 0);
        word.owned |= bit(port);
        bits.summarize(port);
    }

    /// A port has no owner any more.
    pub fn disown(&mut self, port: u16) {
        if let Some(bits) = &mut self.bits {
            let word = &mut bits.words[port as usize / 64];
            self.owned -= u32::from(word.owned & bit(port) != 0);
            word.owned &= !bit(port);
            bits.summarize(port);
        }
    }

    /// A port is a DNAT entry's from now on.
    pub fn reserve(&mut self, port: u16) {
        let bits = self.bits.get_or_insert_default();
        bits.words[port as usize / 64].reserved |= bit(port);
        bits.summarize(port);
    }

    /// No port is a DNAT entry's any more.
    pub fn unreserve_all(&mut self) {
        if self.owned == 0 {
            self.bits = None;
        }
        if let Some(bits) = &mut self.bits {
            bits.words.iter_mut().for_each(|word| word.reserved = 0);
            (0..=u16::MAX)
                .step_by(64)
                .for_each(|port| bits.summarize(port));
        }
    }

    /// The first port of `range` that is free, from `start` upwards and around.
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

/// A port's place in its word.
fn bit(port: u16) -> u64 {
    1 << (port % 64)
}

impl Bits {
    /// Brings the summary up to date with a port's word.
    fn summarize(&mut self, port: u16) {
        let at = port as usize / 64;
        let full = &mut self.full[at / 64];
        *full &= !(1 << (at % 64));
        *full |= u64::from(self.words[at].busy() == u64::MAX) << (at % 64);
    }

    fn free_between(&self, low: u16, high: u16) -> Option<u16> {
        let mut at = low as usize / 64;
        let last = high as usize / 64;
        // Bits below `low` in its word count as taken.
        let mut word = self.words[at].busy() | ((1u64 << (low % 64)) - 1);
        loop {
            if word != u64::MAX {
                let port = at * 64 + word.trailing_ones() as usize;
                return (port <= high as usize).then_some(port as u16);
            }
            at = self.next_not_full(at + 1)?;
            if at > last {
                return None;
            }
            word = self.words[at].busy();
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
        fn agrees_with_two_sets(
            ops in proptest::collection::vec((0u8..40, 0u16..300), 0..600),
            fill in proptest::option::of(0u16..280),
            low in 0u16..300, span in 0u16..300, start in 0u16..700
        ) {
            let mut ports = Ports::default();
            let (mut owned, mut reserved) = (BTreeSet::new(), BTreeSet::new());
            for port in 0..=fill.unwrap_or(0) {
                ports.own(port);
                owned.insert(port);
            }
            for (what, port) in ops {
                match what {
                    0 => {
                        ports.unreserve_all();
                        reserved.clear();
                    }
                    1..=15 => {
                        ports.own(port);
                        owned.insert(port);
                    }
                    16..=30 => {
                        ports.disown(port);
                        owned.remove(&port);
                    }
                    _ => {
                        ports.reserve(port);
                        reserved.insert(port);
                    }
                }
                let (has_owner, is_reserved) = (owned.contains(&port), reserved.contains(&port));
                prop_assert_eq!(ports.owned() as usize, owned.len());
                prop_assert_eq!(ports.is_owned(port), has_owner);
                prop_assert_eq!(ports.is_busy(port), has_owner || is_reserved);
                prop_assert_eq!(ports.is_shareable(port), has_owner && !is_reserved);
            }
            let high = low + span;
            let from = start.clamp(low, high);
            let free = |port: &u16| !owned.contains(port) && !reserved.contains(port);
            let expected = (from..=high).chain(low..from).find(free);
            prop_assert_eq!(ports.first_free(&(low..=high), start), expected);
        }
    }

    #[test]
    fn the_last_free_port_is_found() {
        let mut ports = Ports::default();
        for port in 0..=u16::MAX {
            match port % 2 {
                0 => ports.own(port),
                _ => ports.reserve(port),
            }
        }
        assert_eq!(ports.first_free(&(0..=u16::MAX), 0), None);
        for port in [0, 64, 4096, 65534] {
            ports.disown(port);
            assert_eq!(ports.first_free(&(0..=u16::MAX), 30_000), Some(port));
            ports.own(port);
        }
        ports.unreserve_all();
        assert_eq!(ports.first_free(&(0..=u16::MAX), 30_000), Some(30_001));
    }
}
