//! Token buckets: a rate that a client may keep up, and a burst that it may have saved up for.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A rate and its burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens that come in per second; more than 0.
    pub per_second: f64,
    /// Tokens that a bucket holds; at least 1.
    pub burst: f64,
}

/// A bucket for each key, in bounded memory.
#[derive(Debug)]
pub struct Throttle<K> {
    rate: Rate,
    buckets: HashMap<K, Bucket>,
    limit: usize,
    /// For all keys that find no room.
    shared: Bucket,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Eq + Hash> Throttle<K> {
    /// Full buckets for at most `limit` keys; those that come when as many others are in use share one.
    pub fn new(rate: Rate, limit: usize, now: Instant) -> Throttle<K> {
        Throttle {
            rate,
            buckets: HashMap::new(),
            limit,
            shared: Bucket::full(&rate, now),
            swept: None,
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none: how long until there is.
    pub fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        if self.buckets.len() >= self.limit && !self.buckets.contains_key(&key) {
            self.sweep(now);
        }
        let bucket = match self.buckets.len() < self.limit || self.buckets.contains_key(&key) {
            true => {
                let full = Bucket::full(&self.rate, now);
                self.buckets.entry(key).or_insert(full)
            }
            false => &mut self.shared,
        };
        bucket.take(&self.rate, now)
    }

    /// Forgets the buckets that are full again: they are as new. At most once a second, since it looks at all.
    fn sweep(&mut self, now: Instant) {
        let recent = |swept: Instant| now.duration_since(swept) < Duration::from_secs(1);
        if !self.swept.is_some_and(recent) {
            self.swept = Some(now);
            let rate = self.rate;
            self.buckets
                .retain(|_, bucket| bucket.level(&rate, now) < rate.burst);
        }
    }
}

impl Bucket {
    fn full(rate: &Rate, now: Instant) -> Bucket {
        Bucket {
            tokens: rate.burst,
            at: now,
        }
    }

    fn level(&self, rate: &Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + passed * rate.per_second).min(rate.burst)
    }

    fn take(&mut self, rate: &Rate, now: Instant) -> Result<(), Duration> {
        let level = self.level(rate, now);
        self.at = self.at.max(now);
        match level >= 1.0 {
            true => {
                self.tokens = level - 1.0;
                Ok(())
            }
            false => {
                self.tokens = level;
                let wait = (1.0 - level) / rate.per_second;
                Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10.0,
        burst: 5.0,
    };

    fn taken<K: Eq + Hash + Copy>(throttle: &mut Throttle<K>, key: K, now: Instant) -> usize {
        (0..1_000)
            .take_while(|_| throttle.take(key, now).is_ok())
            .count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut throttle = Throttle::new(RATE, 10, start);
        assert_eq!(taken(&mut throttle, 1, at(0)), 5);
        let wait = throttle.take(1, at(0)).unwrap_err();
        assert!(wait > Duration::from_millis(99) && wait < Duration::from_millis(101));
        assert_eq!(taken(&mut throttle, 1, at(90)), 0);
        assert_eq!(taken(&mut throttle, 1, at(310)), 3);
        assert_eq!(
            taken(&mut throttle, 1, at(60_000)),
            5,
            "no more than a burst"
        );
        assert_eq!(taken(&mut throttle, 1, at(0)), 0, "a clock that goes back");
    }

    #[test]
    fn keys_do_not_take_from_each_other() {
        let now = Instant::now();
        let mut throttle = Throttle::new(RATE, 10, now);
        assert_eq!(taken(&mut throttle, 1, now), 5);
        assert_eq!(taken(&mut throttle, 2, now), 5);
    }

    #[test]
    fn many_keys_share_what_is_left() {
        let start = Instant::now();
        let mut throttle = Throttle::new(RATE, 10, start);
        for key in 0..1_000 {
            let _ = throttle.take(key, start);
        }
        assert_eq!(throttle.buckets.len(), 10);
        assert!(
            throttle.take(1_001, start).is_err(),
            "the shared one is empty"
        );
        assert!(
            throttle.take(3, start).is_ok(),
            "those that were first go on"
        );
        let later = start + Duration::from_secs(2);
        assert!(throttle.take(1_001, later).is_ok());
        assert_eq!(
            throttle.buckets.len(),
            1,
            "buckets that are full again make room"
        );
    }
}
