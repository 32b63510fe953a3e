//! A mark for each of many things: one bit, so that the marks of millions stay in the processor's caches.

/// Marks, of which none is set at first.
#[derive(Debug)]
pub(crate) struct Marks(Vec<u64>);

impl Marks {
    /// Room for `count` marks.
    pub fn new(count: usize) -> Marks {
        Marks(vec![0; count.div_ceil(64)])
    }

    /// Whether the mark is set.
    #[inline]
    pub fn has(&self, at: u32) -> bool {
        self.0[at as usize / 64] & 1 << (at % 64) != 0
    }

    /// Sets the mark.
    #[inline]
    pub fn set(&mut self, at: u32) {
        self.0[at as usize / 64] |= 1 << (at % 64);
    }
}
