//! Rate limits for what the engine sends of its own accord (RFC 1812, section 4.3.2.8).

use crate::io::Time;

/// A token bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Tokens a second.
    rate: u32,
    burst: u32,
    /// Nanoseconds that a full bucket is ahead of.
    empty_until: u64,
}

impl Bucket {
    pub fn new(rate: u32, burst: u32) -> Bucket {
        Bucket {
            rate,
            burst,
            empty_until: 0,
        }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        let each = 1_000_000_000 / self.rate as u64;
        let start = self
            .empty_until
            .max(now.0.saturating_sub(each * self.burst as u64));
        let taken = start + each;
        if taken > now.0 {
            return false;
        }
        self.empty_until = taken;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(100, 50);
        let second = 1_000_000_000;
        let start = 10 * second;
        assert_eq!((0..200).filter(|_| bucket.take(Time(start))).count(), 50);
        let later = (0..1000u64)
            .filter(|n| bucket.take(Time(start + n * second / 1000)))
            .count();
        assert!((99..=101).contains(&later), "{later}");
    }
}
