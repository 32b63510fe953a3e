//! One end's bytes in order: from segments in any order, retransmitted, overlapping.

/// The most ranges that are kept apart; a segment that would make another is not taken.
const MAX_RANGES: usize = 1024;

/// How far before the first segment that was seen another may begin, if no SYN said where the stream begins.
const MAX_BEFORE: u32 = 64 * 1024;

/// The first bytes of one end. Of bytes that come twice the first stay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Half {
    origin: Origin,
    /// From the origin on; what is in no range is not yet known.
    bytes: Vec<u8>,
    /// What is known: sorted, not touching each other.
    ranges: Vec<(u32, u32)>,
    /// The sequence number behind the last byte.
    end: Option<u32>,
}

/// The sequence number of the first byte.
#[derive(Clone, Copy, Debug, Default)]
enum Origin {
    #[default]
    Unknown,
    /// The least that was seen.
    Guessed(u32),
    Known(u32),
}

impl Half {
    /// The stream begins after this SYN.
    pub fn syn(&mut self, seq: u32, room: usize) {
        let first = seq.wrapping_add(1);
        match self.origin {
            Origin::Known(_) => return,
            Origin::Unknown => {}
            Origin::Guessed(guess) => self.earlier(guess.wrapping_sub(first), room),
        }
        self.origin = Origin::Known(first);
    }

    /// An empty segment in the middle of a stream tells where the next byte belongs.
    pub fn next(&mut self, seq: u32) {
        if let Origin::Unknown = self.origin {
            self.origin = Origin::Known(seq);
        }
    }

    /// Takes a segment; `room` is how many bytes may be added. Whether all of it found room.
    pub fn insert(&mut self, seq: u32, payload: &[u8], room: usize) -> bool {
        let origin = match self.origin {
            Origin::Known(origin) => origin,
            Origin::Unknown => {
                self.origin = Origin::Guessed(seq);
                seq
            }
            Origin::Guessed(guess) => {
                let before = guess.wrapping_sub(seq);
                if before == 0 || before > MAX_BEFORE {
                    guess
                } else {
                    self.earlier(before, room);
                    self.origin = Origin::Guessed(seq);
                    seq
                }
            }
        };
        // Before the origin, by less than half the space of numbers.
        let offset = seq.wrapping_sub(origin) as i32;
        let skip = usize::try_from(-i64::from(offset)).unwrap_or(0);
        let payload = payload.get(skip..).unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(0);
        let end = start
            .saturating_add(payload.len())
            .min(self.bytes.len().saturating_add(room));
        let taken = end.saturating_sub(start);
        let whole = taken == payload.len();
        match payload.get(..taken) {
            Some(payload) if taken > 0 => self.put(start as u32, payload) && whole,
            _ => whole,
        }
    }

    /// Whether a segment says something else where something was said before.
    pub fn contradicts(&self, seq: u32, payload: &[u8]) -> bool {
        let (Origin::Guessed(origin) | Origin::Known(origin)) = self.origin else {
            return false;
        };
        self.differs(i64::from(seq.wrapping_sub(origin) as i32), payload)
    }

    /// The same of bytes at a place of the stream.
    pub fn differs(&self, begin: i64, payload: &[u8]) -> bool {
        let end = begin + payload.len() as i64;
        self.ranges.iter().any(|&(from, to)| {
            let (start, end) = (begin.max(from.into()), end.min(to.into()));
            let part = |first: i64| (start - first) as usize..(end - first) as usize;
            start < end && self.bytes.get(part(0)) != payload.get(part(begin))
        })
    }

    /// Takes bytes at a place of the stream, as far as there is room. Whether all of them found room.
    pub fn at(&mut self, offset: u64, bytes: &[u8], room: usize) -> bool {
        let end = self.bytes.len().saturating_add(room);
        let Ok(start) = u32::try_from(offset) else {
            return false;
        };
        let taken = end.saturating_sub(start as usize).min(bytes.len());
        let whole = taken == bytes.len();
        match bytes.get(..taken) {
            Some(bytes) if taken > 0 => self.put(start, bytes) && whole,
            _ => whole,
        }
    }

    fn put(&mut self, start: u32, payload: &[u8]) -> bool {
        let end = start + payload.len() as u32;
        // Those that it touches.
        let first = self.ranges.partition_point(|range| range.1 < start);
        let after = self.ranges.partition_point(|range| range.0 <= end);
        if first == after && self.ranges.len() >= MAX_RANGES {
            return false;
        }
        if self.bytes.len() < end as usize {
            self.bytes.resize(end as usize, 0);
        }
        let mut at = start;
        let touched = &self.ranges[first..after];
        for &(from, to) in touched.iter().chain(&[(end, end)]) {
            let until = from.min(end);
            if at < until {
                let new = &payload[(at - start) as usize..(until - start) as usize];
                self.bytes[at as usize..until as usize].copy_from_slice(new);
            }
            at = at.max(to);
        }
        let from = touched.first().map_or(start, |range| range.0.min(start));
        let to = touched.last().map_or(end, |range| range.1.max(end));
        self.ranges.splice(first..after, [(from, to)]);
        true
    }

    /// Moves everything back, since the stream begins earlier than it seemed.
    fn earlier(&mut self, by: u32, room: usize) {
        if by == 0 || by > MAX_BEFORE || by as usize > room || self.bytes.is_empty() {
            return;
        }
        self.bytes.splice(0..0, vec![0; by as usize]);
        for range in &mut self.ranges {
            range.0 += by;
            range.1 += by;
        }
    }

    /// The first bytes, as far as none is missing.
    pub fn prefix(&self) -> &[u8] {
        match self.ranges.first() {
            Some(&(0, end)) => &self.bytes[..end as usize],
            _ => &[],
        }
    }

    /// The first bytes from a sequence number on.
    pub fn since(&self, seq: u32) -> Option<&[u8]> {
        let (Origin::Guessed(origin) | Origin::Known(origin)) = self.origin else {
            return None;
        };
        self.prefix().get(seq.wrapping_sub(origin) as usize..)
    }

    /// There is nothing from this sequence number on.
    pub fn finish(&mut self, seq: u32) {
        self.end.get_or_insert(seq);
    }

    /// Whether all is there that will be.
    pub fn is_finished(&self) -> bool {
        self.end
            .and_then(|end| self.since(end))
            .is_some_and(|rest| rest.is_empty())
    }

    /// How much memory is used.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the first bytes: they were understood.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.prefix().len());
        self.bytes.drain(..count);
        let count = count as u32;
        for range in &mut self.ranges {
            range.0 = range.0.saturating_sub(count);
            range.1 -= count;
        }
        self.ranges.retain(|range| range.0 < range.1);
        self.origin = match self.origin {
            Origin::Unknown => Origin::Unknown,
            Origin::Guessed(origin) | Origin::Known(origin) => {
                Origin::Known(origin.wrapping_add(count))
            }
        };
    }

    /// Forgets everything: what comes next is the first.
    pub fn clear(&mut self) {
        *self = Half::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1000;

    fn half(segments: &[(u32, &[u8])]) -> Half {
        let mut half = Half::default();
        half.syn(u32::MAX - 1, ROOM);
        for (seq, payload) in segments {
            half.insert(*seq, payload, ROOM - half.len());
        }
        half
    }

    #[test]
    fn order_does_not_matter() {
        assert_eq!(half(&[(u32::MAX, b"abc"), (2, b"def")]).prefix(), b"abcdef");
        assert_eq!(half(&[(2, b"def"), (u32::MAX, b"abc")]).prefix(), b"abcdef");
        assert_eq!(half(&[(2, b"def")]).prefix(), b"");
    }

    #[test]
    fn the_first_bytes_stay() {
        let seen = half(&[(1, b"CD"), (u32::MAX, b"abcdef"), (u32::MAX, b"xyz")]);
        assert_eq!(seen.prefix(), b"abCDef");
        let seen = half(&[(u32::MAX, b"ab"), (4, b"F"), (0, b"xcdexgh")]);
        assert_eq!(seen.prefix(), b"abcdeFgh");
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut half = half(&[(u32::MAX, b"abc")]);
        assert!(!half.insert(2, b"defgh", 2));
        assert_eq!(half.prefix(), b"abcde");
        assert!(!half.insert(1_000_000, b"x", 2));
        assert_eq!(half.len(), 5);
        assert!(half.insert(u32::MAX - 10, b"old", 0));
        assert!(half.insert(u32::MAX.wrapping_sub(1), b"xabc", 0));
        let mut half = Half::default();
        half.syn(0, 0);
        for at in 0..4000u32 {
            half.insert(3 + 2 * at, b"x", 1 << 20);
        }
        assert!(half.ranges.len() <= MAX_RANGES && half.len() <= 2 * MAX_RANGES + 2);
    }

    #[test]
    fn without_a_syn_the_least_is_the_first() {
        let mut half = Half::default();
        half.insert(10, b"ghi", ROOM);
        half.insert(4, b"abcdef", ROOM);
        assert_eq!(half.prefix(), b"abcdefghi");
        half.syn(1, ROOM);
        assert_eq!(half.prefix(), b"");
        half.insert(2, b"..", ROOM);
        assert_eq!(half.prefix(), b"..abcdefghi");
    }

    #[test]
    fn what_was_understood_is_forgotten() {
        let mut half = half(&[(u32::MAX, b"abc"), (3, b"e")]);
        half.consume(2);
        assert_eq!(half.prefix(), b"c");
        half.insert(2, b"d", ROOM);
        assert_eq!(half.prefix(), b"cde");
        half.consume(100);
        assert_eq!((half.prefix(), half.len()), (&b""[..], 0));
        half.insert(4, b"f", ROOM);
        assert_eq!(half.prefix(), b"f");
    }
}
