//! A port's share of the queue of punted packets, so that one that sends what no flow takes, as fast as it can, does not
//! keep the others' first packets from the daemon.
//!
//! # The algorithm
//! A port may have as much waiting in the queue as [`MOST`] times what is free there: the dynamic thresholds of switches
//! that share a buffer (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998).
//! A port alone gets four fifths of the queue; two that want more than there is get four ninths each; and there is always
//! something left for one that has nothing in it yet. As long as the queue is not half full nobody is looked at.
//!
//! # What is counted
//! Bytes of records, that went in and that came out, since the map was made. What waits is the difference. A daemon that is
//! killed may leave up to a batch of records counted in and not out, which the next one puts right ([`Share::settle`]).

use crate::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// How many times what is free in the queue a port may have waiting.
pub const MOST: u64 = 4;

/// What a port has in the queue. Slot: as of its [`Port`](crate::abi::Port).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Share {
    /// Bytes that the kernel has put in.
    put: AtomicU64,
    /// Bytes that the daemon has taken out. It alone writes them.
    taken: AtomicU64,
    /// Packets that there was no room for.
    refused: AtomicU64,
    /// Not used; zero.
    spare: AtomicU64,
}

impl Share {
    /// Whether the port may put something in, when `used` of the queue's `size` bytes are.
    #[inline(always)]
    pub fn has_room(&self, used: u64, size: u64) -> bool {
        used < size / 2 || self.waiting() <= size.saturating_sub(used) * MOST
    }

    /// Bytes that wait.
    #[inline(always)]
    pub fn waiting(&self) -> u64 {
        let waiting = self
            .put
            .load(Relaxed)
            .wrapping_sub(self.taken.load(Relaxed));
        // What was put in while somebody settled is taken out twice.
        if waiting > u64::MAX / 2 { 0 } else { waiting }
    }

    /// So many bytes were put in.
    #[inline(always)]
    pub fn put(&self, bytes: u64) {
        self.put.fetch_add(bytes, Relaxed);
    }

    /// So many bytes were taken out.
    #[inline]
    pub fn take(&self, bytes: u64) {
        let taken = self.taken.load(Relaxed).wrapping_add(bytes);
        self.taken.store(taken, Relaxed);
    }

    /// A packet was refused.
    #[inline(always)]
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Packets that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The queue is empty: nothing waits.
    pub fn settle(&self) {
        self.taken.store(self.put.load(Relaxed), Relaxed);
    }
}

const _: () = assert!(size_of::<Share>() == 32);

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    /// Ports that send as they please, and a daemon that takes nothing: what each gets of the queue.
    fn fill(size: u64, order: impl Iterator<Item = usize>, ports: usize) -> Vec<u64> {
        let shares: Vec<Share> = (0..ports).map(|_| Share::default()).collect();
        let mut used = 0;
        for port in order {
            let share = &shares[port];
            if used + 256 <= size && share.has_room(used, size) {
                share.put(256);
                used += 256;
            }
        }
        shares.iter().map(Share::waiting).collect()
    }

    #[test]
    fn one_alone_gets_four_fifths() {
        let got = fill(1 << 20, std::iter::repeat_n(0, 10_000), 1);
        assert!(
            (got[0] as f64 / (1 << 20) as f64 - 0.8).abs() < 0.001,
            "{got:?}"
        );
    }

    #[test]
    fn two_that_want_all_get_the_same() {
        let got = fill(1 << 20, (0..20_000).map(|n| n % 2), 2);
        let part = |port: usize| got[port] as f64 / (1 << 20) as f64;
        assert!(
            (part(0) - 4.0 / 9.0).abs() < 0.001 && (part(1) - part(0)).abs() < 0.001,
            "{got:?}"
        );
    }

    #[test]
    fn who_comes_last_finds_room() {
        // One that was there first, and one that comes with a hundred packets when it has taken all that it may have.
        let order = std::iter::repeat_n(0, 10_000).chain(std::iter::repeat_n(1, 100));
        let got = fill(1 << 20, order, 2);
        assert_eq!(got[1], 100 * 256);
    }

    #[test]
    fn what_was_left_by_a_daemon_is_settled() {
        let share = Share::default();
        share.put(1000);
        share.take(600);
        assert_eq!(share.waiting(), 400);
        share.settle();
        assert_eq!(share.waiting(), 0);
        // It had been on its way while that was settled.
        share.take(100);
        assert_eq!(share.waiting(), 0);
        share.put(300);
        assert_eq!(share.waiting(), 200);
    }
}
