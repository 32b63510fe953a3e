//! The bucket: against an exact one, by its promises, and from several threads.

use flow::meter::{BURST, METER_SLOTS, Meter, take};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};

const SECOND: u64 = 1_000_000_000;
const MBIT: u64 = 1_000_000;

fn limited(rate: u64) -> Meter {
    let meter = Meter::default();
    meter.set_rate(rate);
    meter
}

/// Bytes that a full bucket holds.
fn burst(rate: u64) -> u64 {
    rate / 8 * BURST / SECOND
}

/// A bucket in exact numbers: what is in it, in billionths of a bit, of which a nanosecond brings `rate`.
struct Exact {
    rate: u64,
    content: i128,
    at: u64,
}

impl Exact {
    fn full(rate: u64, at: u64) -> Exact {
        let content = rate as i128 * BURST as i128;
        Exact { rate, content, at }
    }

    fn fill(&mut self, now: u64) {
        let came = (now - self.at) as i128 * self.rate as i128;
        let most = self.rate as i128 * BURST as i128;
        self.content = most.min(self.content + came);
        self.at = now;
    }

    fn empty(&mut self, bytes: u32) {
        self.content -= bits(bytes as u64);
    }
}

fn bits(bytes: u64) -> i128 {
    bytes as i128 * 8 * SECOND as i128
}

/// A rate as it can be configured, and packets: the pause before each, and its size.
fn traffic() -> impl Strategy<Value = (u64, Vec<(u64, u32)>)> {
    let mbit = prop_oneof![Just(1), 1u64..=100, 1u64..=100_000];
    mbit.prop_flat_map(|mbit| {
        let rate = mbit * MBIT;
        // What 1,500 bytes take, so that the bucket is empty most of the time, and longer.
        let each = 12_000 * SECOND / rate;
        let pause = prop_oneof![
            8 => 0..=each,
            4 => each..=3 * each,
            1 => 0..=BURST,
            1 => BURST..=3 * BURST,
        ];
        let size = prop_oneof![4 => 28u32..=1500, 4 => Just(1500u32), 1 => 1500u32..=70_000];
        (Just(rate), prop::collection::vec((pause, size), 1..400))
    })
}

/// Meters by their index: the parent of the others is the first of them, and after that comes one for each rate.
fn family(parent: u64, children: &[u64]) -> Vec<Meter> {
    let rates = [&[0, parent], children].concat();
    let meters: Vec<Meter> = rates.into_iter().map(limited).collect();
    meters[2..]
        .iter()
        .for_each(|it| it.parent.store(1, Relaxed));
    meters
}

/// Takes from one of a family.
fn take_of(meters: &[Meter], index: u32, now: u64, bytes: u32) -> bool {
    take(|ix| meters.get(ix as usize), index, now, 1, bytes)
}

fn refused(meter: &Meter) -> (u64, u64) {
    let Meter {
        refused_packets,
        refused_bytes,
        ..
    } = meter;
    (refused_packets.load(Relaxed), refused_bytes.load(Relaxed))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Two rates within one that they share decide like exact ones: what either refuses is taken from neither.
    #[test]
    fn parents_as_exact_buckets(
        (rate, packets) in traffic(),
        tenths in prop::array::uniform2(1u64..=20),
        turns in prop::collection::vec(0..2usize, 400),
    ) {
        let mut now = 10 * SECOND;
        // The parent's, and smaller and larger ones than that.
        let rates = [rate, (rate * tenths[0] / 10).max(1), (rate * tenths[1] / 10).max(1)];
        let meters = family(rate, &rates[1..]);
        let mut exact = rates.map(|rate| Exact::full(rate, now));
        let (mut taken, mut counts) = ([0u64; 3], [(0u64, 0u64); 3]);
        for (n, ((pause, bytes), child)) in packets.into_iter().zip(turns).enumerate() {
            now += pause;
            exact.iter_mut().for_each(|it| it.fill(now));
            let asked = [1 + child, 0];
            let before = meters.iter().map(refused).collect::<Vec<_>>();
            let passes = take_of(&meters, 2 + child as u32, now, bytes);
            // The first one that has no room refuses it.
            let by = asked.into_iter().find(|&ix| refused(&meters[ix + 1]) != before[ix + 1]);
            prop_assert_eq!(passes, by.is_none());
            if by != asked.into_iter().find(|&ix| exact[ix].content < 0) {
                let close = |ix: usize| {
                    let rounding = n as i128 * rates[ix] as i128 / 16 + bits(taken[ix]) / 500_000;
                    exact[ix].content.abs() <= rounding
                };
                prop_assert!(asked.into_iter().any(close), "{:?}", asked.map(|ix| exact[ix].content));
            }
            for ix in asked.into_iter().filter(|_| passes) {
                exact[ix].empty(bytes);
                taken[ix] += bytes as u64;
            }
            if let Some(ix) = by {
                counts[ix] = (counts[ix].0 + 1, counts[ix].1 + bytes as u64);
            }
        }
        let counted: Vec<_> = meters[1..].iter().map(refused).collect();
        prop_assert_eq!(counted, counts);
    }

    /// It decides like the exact one. Only where that is empty to the last bit, rounding may.
    #[test]
    fn as_an_exact_bucket((rate, packets) in traffic()) {
        let mut now = 10 * SECOND;
        let (meter, mut exact) = (limited(rate), Exact::full(rate, now));
        let (mut taken, mut refused) = (0u64, (0u64, 0u64));
        for (n, (pause, bytes)) in packets.into_iter().enumerate() {
            now += pause;
            exact.fill(now);
            let passes = meter.take(now, 1, bytes);
            if passes != (exact.content >= 0) {
                // A sixteenth of a nanosecond for each packet, and a millionth or so of the time that
                // a byte takes.
                let rounding = n as i128 * rate as i128 / 16 + bits(taken) / 500_000;
                prop_assert!(exact.content.abs() <= rounding, "{} of {rounding}", exact.content);
            }
            // Both go on from the same decision.
            if passes {
                exact.empty(bytes);
                taken += bytes as u64;
            } else {
                refused = (refused.0 + 1, refused.1 + bytes as u64);
            }
        }
        let counted = (meter.refused_packets.load(Relaxed), meter.refused_bytes.load(Relaxed));
        prop_assert_eq!(counted, refused);
    }

    /// In no time does more pass than that time brings, a full bucket, and one packet.
    #[test]
    fn no_more_than_it_may((rate, packets) in traffic()) {
        let meter = limited(rate);
        let mut now = 10 * SECOND;
        let mut passed = Vec::new();
        for (pause, bytes) in packets {
            now += pause;
            if meter.take(now, 1, bytes) {
                passed.push((now, bytes as u64));
            }
        }
        for first in 0..passed.len() {
            let mut total = 0;
            for &(at, bytes) in &passed[first..] {
                let time = (at - passed[first].0 + BURST) as i128;
                // All but the last one had room.
                prop_assert!(bits(total) <= time * rate as i128);
                total += bytes;
            }
        }
    }
}

/// Twice the rate for a second, from an empty bucket.
#[test]
fn every_rate_is_kept() {
    for mbit in [1, 2, 3, 5, 7, 10, 20, 99, 100, 333, 1_000, 9_999, 10_000] {
        for bytes in [64, 577, 1500, 65_536] {
            let rate = mbit * MBIT;
            let meter = limited(rate);
            let mut now = SECOND;
            while meter.take(now, 1, 1500) {}
            let packets = 2 * rate / 8 / bytes as u64;
            // A packet more is a debt.
            let mut passed = 0;
            for n in 0..packets {
                now = SECOND + n * SECOND / packets;
                passed += u64::from(meter.take(now, 1, bytes)) * bytes as u64;
            }
            let off = passed.abs_diff(rate / 8);
            let most = bytes as u64 + 1500 + rate / 8 / 100;
            assert!(off <= most, "{mbit} Mbit/s in {bytes}: off by {off} bytes");
        }
    }
}

#[test]
fn a_large_segment_passes_a_full_bucket_and_is_paid_for() {
    let meter = limited(MBIT);
    let now = 100 * SECOND;
    assert!(meter.take(now, 45, 67_000));
    // It took 536 ms, of which the bucket had 300.
    assert!(!meter.take(now + 235_000_000, 1, 40));
    assert!(meter.take(now + 237_000_000, 1, 40));
}

#[test]
fn another_rate_leaves_what_was_taken() {
    let meter = limited(10 * MBIT);
    let now = 100 * SECOND;
    while meter.take(now, 1, 100) {}
    meter.set_rate(40 * MBIT);
    assert!(!meter.take(now, 1, 100));
    let later = now + SECOND / 10;
    let passed = (0..).take_while(|_| meter.take(later, 1, 100)).count() as u64;
    let expected = 40 * MBIT / 8 / 10 / 100;
    // The last packet at the old rate is a debt.
    assert!(passed.abs_diff(expected) <= 5, "{passed} of {expected}");
}

#[test]
fn without_a_rate_everything_passes() {
    let meter = Meter::default();
    assert!((0..1000).all(|_| meter.take(SECOND, 45, 67_000)));
    meter.set_rate(MBIT);
    while meter.take(SECOND, 1, 1500) {}
    assert_eq!(meter.refused_packets.load(Relaxed), 1);
    meter.set_rate(0);
    assert!((0..1000).all(|_| meter.take(SECOND, 45, 67_000)));
    meter.owner.store(7, Relaxed);
    meter.clear();
    assert_eq!(format!("{meter:?}"), format!("{:?}", Meter::default()));
}

#[test]
fn a_rate_within_another() {
    let meters = family(4 * MBIT, &[MBIT, 0]);
    let full = |rate| burst(rate) / 1500;
    let now = 100 * SECOND;
    // Its own bucket is empty, while there is room in the parent's.
    let passed = (0..).take_while(|_| take_of(&meters, 2, now, 1500)).count() as u64;
    assert_eq!(passed, full(MBIT) + 1);
    assert_eq!([1, 2, 3].map(|ix| refused(&meters[ix]).0), [0, 1, 0]);
    // The other has what is left, and what is refused there is missing in no bucket.
    let rest = (0..).take_while(|_| take_of(&meters, 3, now, 1500)).count() as u64;
    assert_eq!(passed + rest, full(4 * MBIT) + 1);
    let later = now + SECOND / 10;
    for _ in 0..1000 {
        take_of(&meters, 3, later, 1500);
    }
    let refused_by_parent = refused(&meters[1]).0;
    // Its own bucket has 12,500 bytes by then, the parent's none.
    assert!((0..100).all(|_| !take_of(&meters, 2, later, 1500)));
    assert_eq!(refused(&meters[1]).0, refused_by_parent + 100);
    assert_eq!(refused(&meters[2]).0, 1);
    meters[2].parent.store(0, Relaxed);
    let own = (0..)
        .take_while(|_| take_of(&meters, 2, later, 1500))
        .count();
    assert!((8..=9).contains(&own), "{own}");

    // Nothing is taken from meter 0, and a parent that is none does nothing.
    assert!((0..1000).all(|_| take_of(&meters, 0, later, 1500)));
    meters[2].clear();
    meters[2].set_rate(MBIT);
    meters[2].parent.store(u64::from(METER_SLOTS), Relaxed);
    assert!(take_of(&meters, 2, later, 1500));
}

/// The kernel's clock goes in steps, and processors look at it at different times.
#[test]
fn a_clock_that_is_behind_fills_nothing() {
    let (steady, jumping) = (limited(10 * MBIT), limited(10 * MBIT));
    let mut passed = [0u32; 2];
    for n in 0..20_000u64 {
        let now = SECOND + n * 500_000;
        let behind = now - n % 3 * 2_000_000;
        passed[0] += u32::from(steady.take(now, 1, 1500));
        passed[1] += u32::from(jumping.take(behind, 1, 1500));
    }
    // What a step brings waits for its end.
    assert!(passed[0].abs_diff(passed[1]) <= 5, "{passed:?}");
}

const THREADS: u64 = 4;
const SIZE: u64 = 1000;

/// Threads that find a bucket full at once have no more than it holds, but for one packet each; and not
/// less. A thread takes at a moment in the way that is given.
fn full_once(rate: u64, rounds: u32, take: impl Fn(u32, u64) -> bool + Sync) {
    let (start, end) = (
        Barrier::new(THREADS as usize),
        Barrier::new(THREADS as usize),
    );
    let (now, passed) = (AtomicU64::new(10 * SECOND), AtomicU64::new(0));
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (take, start, end) = (&take, &start, &end);
            let (now, passed, all) = (&now, &passed, &all);
            scope.spawn(move || {
                for _ in 0..rounds {
                    start.wait();
                    let at = now.load(Relaxed);
                    let mut mine = 0;
                    while take(thread as u32, at) {
                        mine += SIZE;
                    }
                    passed.fetch_add(mine, Relaxed);
                    end.wait();
                    if thread == 0 {
                        all.lock().unwrap().push(passed.swap(0, Relaxed));
                        now.fetch_add(SECOND, Relaxed);
                    }
                }
            });
        }
    });
    let (least, most) = (burst(rate) / 10_000 * 9_999, burst(rate) + THREADS * SIZE);
    for passed in all.into_inner().unwrap() {
        assert!((least..=most).contains(&passed), "{passed} of {most}");
    }
}

#[test]
fn threads_find_a_small_bucket_full_once() {
    let meter = limited(MBIT);
    full_once(MBIT, 5_000, |_, at| meter.take(at, 1, SIZE as u32));
}

#[test]
fn threads_find_a_large_bucket_full_once() {
    let meter = limited(10_000 * MBIT);
    full_once(10_000 * MBIT, 50, |_, at| meter.take(at, 1, SIZE as u32));
}

#[test]
fn threads_with_a_bucket_each_find_that_of_the_parent_full_once() {
    let meters = family(10 * MBIT, &[100 * MBIT; THREADS as usize]);
    full_once(10 * MBIT, 1_000, |thread, at| {
        take_of(&meters, 2 + thread, at, SIZE as u32)
    });
}

/// Threads that send four times the rate together have the rate, but for one packet each.
#[test]
fn threads_share_the_rate() {
    let rate = 100 * MBIT;
    let meter = limited(rate);
    let (start, end) = (10 * SECOND, 20 * SECOND);
    let step = SIZE * 8 * SECOND / rate / 4;
    let (now, passed) = (AtomicU64::new(start), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let at = now.fetch_add(step, Relaxed);
                    if at >= end {
                        break;
                    }
                    if meter.take(at, 1, SIZE as u32) {
                        passed.fetch_add(SIZE, Relaxed);
                    }
                }
            });
        }
    });
    let (passed, expected) = (passed.into_inner(), rate / 8 * 10 + burst(rate));
    // A thread that was stopped between clock and bucket comes with a moment that is over.
    let (least, most) = (expected - expected / 1000, expected + THREADS * SIZE);
    assert!((least..=most).contains(&passed), "{passed} of {expected}");
}
