//! Meters: token buckets that flows share, so that together they keep to a rate.
//!
//! # The algorithm
//! A bucket is one number: the time up to which what was taken is paid for ("virtual scheduling", the
//! generic cell rate algorithm of ITU-T I.371). A packet passes if that time is not in the future, and
//! moves it on by the packet's share of a second. A bucket that was left alone fills up to [`BURST`]: its
//! time is never taken to be longer ago than that. The last packet that passes may be larger than what
//! was left; the debt is paid before another passes. So however large a packet is, it passes a full
//! bucket, and in any time *t* there pass at most rate × (*t* + [`BURST`]) and one packet.
//!
//! # Several processors
//! A packet costs one look at the number and one atomic addition; none waits for another, and nothing is
//! tried again. Packets that look at the same moment may all pass though there was room for one: at most
//! one more for each processor, and they are paid for like any other. A packet that is refused writes
//! nothing but the counters of what was refused.
//!
//! # Parents
//! A meter may have a parent: then a packet that takes from it takes from both, or, if either refuses it, from
//! neither. So flows can have a rate of their own within one that they share. A parent's own parent is not asked.
//!
//! # What is counted
//! Bytes of IP packets with their headers, as they are on the wire: of a large segment that stands for many,
//! each packet's own headers. Ethernet headers are not counted.

use crate::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// How many meters there can be; 0 stands for none.
pub const METER_SLOTS: u32 = 1 << 16;

/// What a full bucket holds: nanoseconds at its rate.
///
/// TCP needs this much to have its rate. Whole windows of it are dropped, after which it waits for its
/// retransmission timer, 200 ms and more, and what a bucket cannot hold meanwhile is lost to it: with 200 ms
/// it had 95 to 99 % of the rate, with 300 ms all of it. And it must not be much more, for it comes on
/// top of the rate: 3 % of ten seconds.
pub const BURST: u64 = 300_000_000;

/// Time is counted in sixteenths of a nanosecond, or the rounding would show in small packets at high rates.
/// That lasts for 36 years. What is rounded is rounded up, so the rate is never exceeded by it.
const NANOSECOND: u32 = 4;

/// Bits after the point of the time that a byte takes.
const FRACTION: u32 = 16;

/// A meter as it lies in shared memory: one cache line. All zeroes is one that lets everything pass.
///
/// Kernel and daemon take from it and count in it; the daemon alone writes the rest.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Meter {
    /// Up to when what was taken is paid for.
    paid: AtomicU64,
    /// The time that a byte takes; 0 if there is no limit.
    per_byte: AtomicU64,
    /// Whose meter it is, in the daemon's own words: for the daemon that adopts it. 0: nobody's.
    pub owner: AtomicU64,
    /// Packets that were refused.
    pub refused_packets: AtomicU64,
    /// Their bytes.
    pub refused_bytes: AtomicU64,
    /// Index of the meter that is taken from as well; 0 is none.
    pub parent: AtomicU64,
    spare: [AtomicU64; 2],
}

/// Takes `bytes` in so many `packets` from the meter with an index, 0 being none, and from its parent, at a moment in
/// nanoseconds; or counts with the one that refuses them that it did. Gives whether they may pass. The moment may lie a
/// little before that of an earlier call.
#[inline(always)]
pub fn take<'a>(
    meters: impl Fn(u32) -> Option<&'a Meter>,
    index: u32,
    now: u64,
    packets: u32,
    bytes: u32,
) -> bool {
    let Some(meter) = at(&meters, index) else {
        return true;
    };
    let Some(found) = meter.look(now, packets, bytes) else {
        return false;
    };
    if let Some(parent) = at(&meters, meter.parent.load(Relaxed) as u32) {
        let Some(found) = parent.look(now, packets, bytes) else {
            return false;
        };
        parent.pay(found, now, bytes);
    }
    meter.pay(found, now, bytes);
    true
}

#[inline(always)]
fn at<'a>(meters: &impl Fn(u32) -> Option<&'a Meter>, index: u32) -> Option<&'a Meter> {
    if index == 0 { None } else { meters(index) }
}

/// What a look at a meter found: up to when is paid, and the time that a byte takes.
#[derive(Clone, Copy)]
struct Found {
    paid: u64,
    per_byte: u64,
}

impl Meter {
    /// Sets the rate, in bits a second; 0 is no limit. What was taken stays taken.
    pub fn set_rate(&self, rate: u64) {
        let per_byte = match rate {
            0 => 0,
            rate => (8_000_000_000u64 << NANOSECOND << FRACTION).div_ceil(rate),
        };
        self.per_byte.store(per_byte, Relaxed);
    }

    /// Makes it nobody's, without limit and parent, full and with nothing counted.
    pub fn clear(&self) {
        self.per_byte.store(0, Relaxed);
        self.paid.store(0, Relaxed);
        self.owner.store(0, Relaxed);
        self.parent.store(0, Relaxed);
        self.refused_packets.store(0, Relaxed);
        self.refused_bytes.store(0, Relaxed);
    }

    /// [`take`] from this one alone.
    pub fn take(&self, now: u64, packets: u32, bytes: u32) -> bool {
        let found = self.look(now, packets, bytes);
        found.inspect(|it| self.pay(*it, now, bytes)).is_some()
    }

    /// Looks whether there is room, or counts that there was none.
    #[inline(always)]
    fn look(&self, now: u64, packets: u32, bytes: u32) -> Option<Found> {
        let paid = self.paid.load(Relaxed);
        let per_byte = self.per_byte.load(Relaxed);
        if paid > now << NANOSECOND && per_byte != 0 {
            self.refused_packets.fetch_add(packets as u64, Relaxed);
            self.refused_bytes.fetch_add(bytes as u64, Relaxed);
            return None;
        }
        Some(Found { paid, per_byte })
    }

    /// Takes what a look has found room for.
    #[inline(always)]
    fn pay(&self, found: Found, now: u64, bytes: u32) {
        let Found { paid, per_byte } = found;
        let time = (bytes as u64 * per_byte).div_ceil(1 << FRACTION);
        let full = (now << NANOSECOND).saturating_sub(BURST << NANOSECOND);
        // If another is faster with this, it remains to be added.
        let filled = paid < full
            && self
                .paid
                .compare_exchange(paid, full + time, Relaxed, Relaxed)
                .is_ok();
        if !filled {
            self.paid.fetch_add(time, Relaxed);
        }
    }
}

const _: () = assert!(size_of::<Meter>() == 64);
