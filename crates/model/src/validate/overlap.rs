//! Which ranges overlap.

use ipnet::Ipv4Net;

/// A range of addresses or ports, both ends included, and whose it is.
pub struct Range<T> {
    pub first: u32,
    pub last: u32,
    pub tag: T,
}

impl<T> Range<T> {
    /// The addresses of a block.
    pub fn of(cidr: Ipv4Net, tag: T) -> Range<T> {
        Range {
            first: cidr.network().into(),
            last: cidr.broadcast().into(),
            tag,
        }
    }
}

/// Pairs of tags of ranges that overlap, each greater tag first. Of ranges that overlap each other
/// every one is in at least one pair: the one that begins first and reaches farthest with each of the
/// others. n log n.
pub fn overlaps<T: Ord + Copy>(mut ranges: Vec<Range<T>>) -> Vec<(T, T)> {
    ranges.sort_by_key(|range| (range.first, std::cmp::Reverse(range.last), range.tag));
    let mut farthest: Option<Range<T>> = None;
    let mut pairs = Vec::new();
    for range in ranges {
        let reach = match &farthest {
            Some(before) if range.first <= before.last => {
                let (a, b) = (before.tag, range.tag);
                pairs.push((a.max(b), a.min(b)));
                before.last
            }
            _ => 0,
        };
        if farthest.is_none() || range.last > reach {
            farthest = Some(range);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against comparing all with all: the same ranges are in a pair, and every pair is right.
        #[test]
        fn finds_what_comparing_all_finds(given in prop::collection::vec((0u32..40, 0u32..8), 0..12)) {
            let list: Vec<(u32, u32)> = given.iter().map(|&(at, more)| (at, at + more)).collect();
            let meet = |a: usize, b: usize| list[a].0 <= list[b].1 && list[b].0 <= list[a].1;
            let range = |(tag, &(first, last))| Range { first, last, tag };
            let pairs = overlaps(list.iter().enumerate().map(range).collect());
            for &(later, earlier) in &pairs {
                prop_assert!(later > earlier && meet(later, earlier));
            }
            for a in 0..list.len() {
                let expected = (0..list.len()).any(|b| a != b && meet(a, b));
                let found = pairs.iter().any(|&(x, y)| x == a || y == a);
                prop_assert_eq!(found, expected);
            }
        }
    }
}
