//! The space of 32-bit numbers cut into intervals, and which one a number is in.

/// Intervals without gaps, by their first numbers.
#[derive(Debug)]
pub(crate) struct Intervals {
    /// First numbers, ascending; the first is 0.
    starts: Vec<u32>,
    /// By the highest bits of a number: how many intervals start below the numbers that begin with them.
    below: Vec<u32>,
    /// How many lower bits that leaves.
    shift: u32,
}

impl Intervals {
    /// Of ascending first numbers, of which the first is 0.
    fn new(starts: Vec<u32>) -> Intervals {
        // About two intervals to an entry, so that a search looks at one or two cache lines.
        let bits = (starts.len() / 2).max(2).ilog2().min(20);
        let shift = 32 - bits;
        let mut below = Vec::with_capacity((1 << bits) + 1);
        let mut at = 0;
        for first in (0..1u64 << bits).map(|high| high << shift) {
            while starts
                .get(at)
                .is_some_and(|&start| u64::from(start) < first)
            {
                at += 1;
            }
            below.push(at as u32);
        }
        below.push(starts.len() as u32);
        Intervals {
            starts,
            below,
            shift,
        }
    }

    /// Which one a number is in.
    pub fn find(&self, number: u32) -> usize {
        let high = (number >> self.shift) as usize;
        let (from, to) = (self.below[high] as usize, self.below[high + 1] as usize);
        let within = self.starts[from..to].partition_point(|&start| start <= number);
        // The one before the first that starts behind the number; the first of all starts at 0.
        (from + within).saturating_sub(1)
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        4 * (self.starts.capacity() + self.below.capacity())
    }
}

/// Numbers that begin with the same bits, and what is said of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix<V> {
    /// The first of them.
    pub start: u32,
    /// How many bits they have in common.
    pub len: u8,
    /// What is said of them.
    pub value: V,
}

impl<V> Prefix<V> {
    fn last(&self) -> u32 {
        self.start | u32::MAX.checked_shr(self.len.into()).unwrap_or(0)
    }
}

/// Cuts the space at the ends of prefixes. What holds in an interval comes of `nest`, which is given what holds around
/// a prefix (`root` around all) and what is said of the prefix, in the order given.
pub(crate) fn cut<V, T: Copy + PartialEq>(
    mut prefixes: Vec<Prefix<V>>,
    root: T,
    mut nest: impl FnMut(T, &[Prefix<V>]) -> T,
) -> (Intervals, Vec<T>) {
    // The wider first, so that of a stack of open prefixes the top is the one around.
    prefixes.sort_by_key(|it| (it.start, it.len));
    let mut cuts = Cuts {
        starts: vec![0],
        values: vec![root],
    };
    let mut open: Vec<(u32, T)> = Vec::new();
    for same in prefixes.chunk_by(|a, b| (a.start, a.len) == (b.start, b.len)) {
        let first = &same[0];
        cuts.close(&mut open, root, Some(first.start));
        let around = open.last().map_or(root, |&(_, value)| value);
        let value = nest(around, same);
        cuts.from(first.start, value);
        open.push((first.last(), value));
    }
    cuts.close(&mut open, root, None);
    cuts.starts.shrink_to_fit();
    cuts.values.shrink_to_fit();
    (Intervals::new(cuts.starts), cuts.values)
}

struct Cuts<T> {
    starts: Vec<u32>,
    values: Vec<T>,
}

impl<T: Copy + PartialEq> Cuts<T> {
    /// Closes the open prefixes that end before `next`.
    fn close(&mut self, open: &mut Vec<(u32, T)>, root: T, next: Option<u32>) {
        while let Some(&(last, _)) = open.last() {
            if next.is_some_and(|next| last >= next) {
                return;
            }
            open.pop();
            if let Some(after) = last.checked_add(1) {
                self.from(after, open.last().map_or(root, |&(_, value)| value));
            }
        }
    }

    /// From `start` on, `value` holds.
    fn from(&mut self, start: u32, value: T) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix() -> impl Strategy<Value = Prefix<u8>> {
        // Few distinct bits, so that prefixes nest and touch; and both ends of the space.
        let number = prop_oneof![0u32..64, (u32::MAX - 63)..=u32::MAX, any::<u32>()];
        (number, 0u8..=32, 0u8..4).prop_map(|(number, len, value)| Prefix {
            start: number & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0),
            len,
            value,
        })
    }

    proptest! {
        #[test]
        fn an_interval_holds_what_the_narrowest_prefix_says(
            prefixes in proptest::collection::vec(prefix(), 0..40),
            probes in proptest::collection::vec(prop_oneof![0u32..80, (u32::MAX - 80)..=u32::MAX, any::<u32>()], 20)
        ) {
            let (intervals, values) = cut(prefixes.clone(), None, |_, same| Some(same[0].value));
            for probe in probes.into_iter().chain(prefixes.iter().flat_map(|it| [it.start, it.last()])) {
                let mut best: Option<&Prefix<u8>> = None;
                for it in prefixes.iter().filter(|it| (it.start..=it.last()).contains(&probe)) {
                    if best.is_none_or(|best| it.len > best.len) {
                        best = Some(it);
                    }
                }
                prop_assert_eq!(values[intervals.find(probe)], best.map(|it| it.value));
            }
        }
    }
}
