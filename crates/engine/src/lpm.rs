//! Longest prefix match over a fixed set of prefixes.
//!
//! The prefixes are cut into disjoint ranges once; a lookup is a binary search. Building costs
//! O(n log n), a lookup O(log n), whatever the prefixes.

use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// An immutable table from prefixes to values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lpm<T> {
    /// First address of each range, ascending.
    starts: Vec<u32>,
    /// What the range's longest prefix says.
    values: Vec<Option<T>>,
}

impl<T> Default for Lpm<T> {
    fn default() -> Self {
        Lpm {
            starts: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<T: Copy + PartialEq> Lpm<T> {
    /// Builds the table. Of two equal prefixes the first counts.
    pub fn new(prefixes: impl IntoIterator<Item = (Ipv4Net, T)>) -> Lpm<T> {
        let mut prefixes: Vec<(Ipv4Net, T)> = prefixes.into_iter().collect();
        // By start, the wider first, so that a stack of open prefixes gives the longest at its top.
        prefixes.sort_by_key(|(net, _)| (u32::from(net.network()), net.prefix_len()));
        prefixes.dedup_by(|later, earlier| later.0.trunc() == earlier.0.trunc());
        let mut table = Lpm::default();
        let mut open: Vec<(u32, T)> = Vec::new();
        for (net, value) in prefixes {
            let start = u32::from(net.network());
            table.close(&mut open, Some(start));
            table.cut(start, Some(value));
            open.push((u32::from(net.broadcast()), value));
        }
        table.close(&mut open, None);
        table
    }

    /// Closes the open prefixes that end before `next`.
    fn close(&mut self, open: &mut Vec<(u32, T)>, next: Option<u32>) {
        while let Some(&(end, _)) = open.last() {
            if next.is_some_and(|next| end >= next) {
                return;
            }
            open.pop();
            if let Some(after) = end.checked_add(1) {
                self.cut(after, open.last().map(|&(_, value)| value));
            }
        }
    }

    /// From `start` on the answer is `value`.
    fn cut(&mut self, start: u32, value: Option<T>) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last().copied().flatten() != value {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// What the longest prefix that holds `address` says.
    pub fn get(&self, address: Ipv4Addr) -> Option<T> {
        let after = self
            .starts
            .partition_point(|&start| start <= u32::from(address));
        self.values[after.checked_sub(1)?]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net() -> impl Strategy<Value = Ipv4Net> {
        // Few distinct bits, so that prefixes nest and touch; and both ends of the space.
        (prop_oneof![0u32..64, (u32::MAX - 63)..=u32::MAX], 0u8..=32)
            .prop_map(|(address, len)| Ipv4Net::new(Ipv4Addr::from(address), len).unwrap().trunc())
    }

    proptest! {
        #[test]
        fn agrees_with_a_list(
            prefixes in proptest::collection::vec((net(), 0u8..4), 0..12),
            probes in proptest::collection::vec(prop_oneof![0u32..80, (u32::MAX - 80)..=u32::MAX, any::<u32>()], 20)
        ) {
            let table = Lpm::new(prefixes.clone());
            for probe in probes {
                let probe = Ipv4Addr::from(probe);
                let mut best: Option<(u8, u8)> = None;
                for (net, value) in &prefixes {
                    if net.contains(&probe) && best.is_none_or(|(len, _)| net.prefix_len() > len) {
                        best = Some((net.prefix_len(), *value));
                    }
                }
                prop_assert_eq!(table.get(probe), best.map(|(_, value)| value));
            }
        }
    }
}
