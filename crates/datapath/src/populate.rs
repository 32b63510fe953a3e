//! Having the kernel find memory before it is needed.
//!
//! Who touches memory for the first time waits until the kernel has found and cleared it. The thread that moves packets
//! should not, so another does it for what the engine will soon need (`MADV_POPULATE_WRITE`, madvise(2)), with the lowest
//! priority: if it is late, nothing is lost but its use.

use crate::huge::PAGE;
use std::ops::Range;
use std::sync::mpsc::{Sender, channel};

/// Memory is asked for in pieces of this size, or what is left.
const PIECE: usize = 4 << 20;

/// Populates tables that grow, and remembers up to where.
pub(crate) struct Populate<const N: usize> {
    to: Sender<Range<usize>>,
    /// Where what was asked for of each table ends.
    ends: [usize; N],
}

impl<const N: usize> Populate<N> {
    /// Starts the thread, which ends when this is dropped.
    pub fn start() -> std::io::Result<Populate<N>> {
        let (to, wanted) = channel::<Range<usize>>();
        std::thread::Builder::new()
            .name("sluice-memory".into())
            .spawn(move || {
                // SAFETY: it takes three integers. 0 is the calling thread alone.
                unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
                for range in wanted {
                    populate(range);
                }
            })?;
        Ok(Populate { to, ends: [0; N] })
    }

    /// These ranges will be used soon: of each table the next bytes. Of what was given before nothing is done again.
    pub fn soon(&mut self, ranges: [Range<usize>; N]) {
        for (end, range) in self.ends.iter_mut().zip(ranges) {
            let start = range.start.max(*end);
            // Little by little would be a call for each session; the last of a table may be less.
            if range.end >= start + PIECE || (start < range.end && range.start >= *end) {
                *end = range.end;
                // If the thread were gone, whoever needs the memory would touch it first: no harm but to time.
                let _ = self.to.send(start..range.end);
            }
        }
    }
}

/// Has the kernel find the memory of a range, page by page, so that others that need the memory map wait for one at most.
fn populate(range: Range<usize>) {
    let mut start = range.start / BASE * BASE;
    while start < range.end {
        let end = ((start / PAGE + 1) * PAGE).min(range.end.next_multiple_of(BASE));
        // SAFETY: the call changes no memory, whosever it may be by now: it has the kernel find pages that are not
        // there, with the contents that they would have when touched. Where nothing is mapped it fails.
        let result = unsafe {
            libc::madvise(
                start as *mut libc::c_void,
                end - start,
                libc::MADV_POPULATE_WRITE,
            )
        };
        if result != 0 {
            // A kernel before 5.14, no memory left, or the table is gone.
            return;
        }
        start = end;
    }
}

/// Bytes of a page at least; the kernel rounds up.
const BASE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// How many bytes of these pages are in memory, as mincore(2) says.
    fn resident(range: &Range<usize>) -> usize {
        let start = range.start / BASE * BASE;
        let mut pages = vec![0u8; (range.end - start).div_ceil(BASE)];
        let len = pages.len() * BASE;
        // SAFETY: `pages` has a byte for each page of the range, which is mapped; none of it is read.
        let result = unsafe { libc::mincore(start as *mut libc::c_void, len, pages.as_mut_ptr()) };
        assert_eq!(result, 0);
        pages.iter().filter(|&&page| page & 1 != 0).count() * BASE
    }

    #[test]
    fn memory_is_there_before_it_is_touched() {
        const MIB: usize = 1 << 20;
        let table: Vec<u8> = Vec::with_capacity(64 * MIB);
        let start = table.as_ptr() as usize;
        let all = start..start + table.capacity();
        let before = resident(&all);
        assert!(before < 4 * MIB, "{before} are there already");
        let none = 0..0;
        let mut populate = Populate::<2>::start().unwrap();
        populate.soon([start..start + 16 * MIB, none.clone()]);
        assert_eq!(populate.ends[0], start + 16 * MIB);
        // Not yet worth a call.
        populate.soon([start + 1..start + 16 * MIB + 1, none.clone()]);
        assert_eq!(populate.ends[0], start + 16 * MIB);
        populate.soon([start + 8 * MIB..start + 32 * MIB, none.clone()]);
        let begin = Instant::now();
        while resident(&all) < 32 * MIB && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let after = resident(&all);
        assert!((32 * MIB..40 * MIB).contains(&after), "{after}");
        assert_eq!(populate.ends[0], start + 32 * MIB);
        // The rest is less than a piece.
        populate.soon([all.end - 100..all.end, none.clone()]);
        assert_eq!(populate.ends[0], all.end);
        populate.soon([all.end..all.end, none.clone()]);
        assert_eq!(populate.ends[0], all.end);
    }
}
