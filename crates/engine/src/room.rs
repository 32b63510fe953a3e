//! Where tables will lie that are not full yet: addresses for whoever has the kernel find the memory beforehand.
//!
//! The tables are as large as they may become, but the kernel gives memory only to what is touched, a page at a time, and
//! whoever touches it first waits: some 100 µs for 2 MiB, and under a hypervisor that must find it first itself, milliseconds.

use std::ops::Range;

/// Bytes that a table which grows at its end will soon need.
const SOON: usize = 16 << 20;

/// Of a table that grows at its end: what comes next.
pub(crate) fn ahead<T>(table: &Vec<T>) -> Range<usize> {
    let bytes = |items: usize| items * size_of::<T>();
    let start = table.as_ptr() as usize + bytes(table.len());
    let free = bytes(table.capacity() - table.len());
    start..start + free.min(SOON)
}

/// Of a table that is written all over: everything.
pub(crate) fn all<T>(table: &[T]) -> Range<usize> {
    let start = table.as_ptr() as usize;
    start..start + size_of_val(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_lies_behind_what_there_is() {
        let mut table: Vec<u64> = Vec::with_capacity(SOON);
        for len in [0, 1, 1000] {
            table.resize(len, 7);
            let next = ahead(&table);
            assert_eq!(next.start, table.as_ptr_range().end as usize);
            assert_eq!(next.len(), SOON);
        }
        table.resize(SOON - 3, 7);
        assert_eq!(ahead(&table).len(), 3 * 8);
        assert_eq!(all(&table).len(), (SOON - 3) * 8);
        table.resize(SOON, 7);
        assert_eq!(ahead(&table).len(), 0);
    }
}
