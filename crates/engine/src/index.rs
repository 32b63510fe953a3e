//! An index of what lies elsewhere: from hashes to numbers, in one array.
//!
//! Eight bytes for each place, half of them the number and half of them the hash, so whoever looks for something reads
//! one line of memory nearly always, and the thing itself only if it is there. That line can be fetched beforehand
//! ([`Index::prefetch`]), which is why this is no table of hashbrown's.
//!
//! A number lies in its hash's home or, if that is taken, in the first free place after it (linear probing). At most two
//! thirds of the places are in use. What is taken out leaves no gap: those behind it move up.

use crate::room;
use std::ops::Range;

/// A place: the number plus one in the lower half, the hash in the upper one. 0 is free.
type Place = u64;

/// Numbers by hash. Hashes are to be keyed with a secret, or others could choose what collides.
#[derive(Debug)]
pub(crate) struct Index {
    places: Vec<Place>,
    len: usize,
}

/// The fewest places.
const FEWEST: usize = 8;

impl Index {
    /// With room for `expected` numbers without growing. The room costs memory only as it is used.
    pub fn with_capacity(expected: usize) -> Index {
        Index {
            places: vec![0; expected.saturating_mul(3) / 2 + FEWEST],
            len: 0,
        }
    }

    /// The memory that numbers to come will be kept in.
    pub fn room(&self) -> Range<usize> {
        room::all(&self.places)
    }

    /// Numbers in it.
    #[cfg(any(test, feature = "check"))]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of this hash that is `wanted`.
    #[inline]
    pub fn find(&self, hash: u64, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        let at = self.position(hash, wanted)?;
        Some(self.places[at] as u32 - 1)
    }

    /// Puts a number in. It must not be in there, and not be `u32::MAX`.
    #[inline]
    pub fn insert(&mut self, hash: u64, number: u32) {
        if (self.len + 1) * 3 > self.places.len() * 2 {
            self.grow();
        }
        self.put(hash & !0xffff_ffff | u64::from(number + 1));
        self.len += 1;
    }

    /// Takes a number out, if it is in.
    pub fn remove(&mut self, hash: u64, number: u32) {
        let Some(mut gap) = self.position(hash, |found| found == number) else {
            return;
        };
        // Whatever is on the other side of the gap from its home would not be found any more: it fills the gap.
        let mut at = self.after(gap);
        while self.places[at] != 0 {
            let home = self.home(self.places[at]);
            if self.distance(home, at) >= self.distance(gap, at) {
                self.places[gap] = self.places[at];
                gap = at;
            }
            at = self.after(at);
        }
        self.places[gap] = 0;
        self.len -= 1;
    }

    /// Has the processor fetch the home of a hash, for use soon.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        flow::prefetch(&self.places[self.home(hash)]);
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.places.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.places.len() {
            0
        } else {
            at + 1
        }
    }

    /// Steps from one place to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        match to.checked_sub(from) {
            Some(steps) => steps,
            None => to + self.places.len() - from,
        }
    }

    #[inline]
    fn position(&self, hash: u64, wanted: impl Fn(u32) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            match self.places[at] {
                0 => return None,
                place if place >> 32 == hash >> 32 && wanted(place as u32 - 1) => return Some(at),
                _ => at = self.after(at),
            }
        }
    }

    #[inline]
    fn put(&mut self, place: Place) {
        let mut at = self.home(place);
        while self.places[at] != 0 {
            at = self.after(at);
        }
        self.places[at] = place;
    }

    #[cold]
    fn grow(&mut self) {
        let more = self.places.len() * 2;
        let before = std::mem::replace(&mut self.places, vec![0; more]);
        for place in before.into_iter().filter(|&place| place != 0) {
            self.put(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few hashes, so that many have the same home or the same hash, also around the end of the array.
        #[test]
        fn agrees_with_a_map(
            ops in proptest::collection::vec((any::<bool>(), 0u32..40, 0u64..6), 0..200),
            expected in 0usize..20
        ) {
            let hash = |which: u64| [0, 1 << 32, 1 << 61, 3 << 62, u64::MAX - 1, u64::MAX][which as usize];
            let mut index = Index::with_capacity(expected);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (add, number, which) in ops {
                match model.get(&number).copied() {
                    None if add => {
                        index.insert(hash(which), number);
                        model.insert(number, hash(which));
                    }
                    Some(had) if !add => {
                        index.remove(had, number);
                        model.remove(&number);
                    }
                    Some(_) => {}
                    None => index.remove(hash(which), number),
                }
                prop_assert_eq!(index.len(), model.len());
                for number in 0..40 {
                    for which in 0..6 {
                        let same = model.get(&number).is_some_and(|had| had >> 32 == hash(which) >> 32);
                        let found = index.find(hash(which), |found| found == number);
                        prop_assert_eq!(found, same.then_some(number));
                    }
                }
            }
        }
    }
}
