//! Large pages for large tables.
//!
//! Tables of millions of sessions are read and written all over. With pages of 4 KiB nearly each access has the
//! processor look up the page, too, which under a hypervisor costs as much as the access; and each page is given by the
//! kernel one by one. [`HugePages`] asks for pages of 2 MiB where they are of use.

use std::alloc::{GlobalAlloc, Layout, System};

/// From this size on memory is asked to be in large pages.
const LARGE: usize = 4 << 20;
/// Bytes of a large page.
pub(crate) const PAGE: usize = 2 << 20;

/// The system's allocator, with large pages for what is large, if the kernel has some.
#[derive(Debug)]
pub struct HugePages;

// SAFETY: the system's allocator, whose memory is only given a hint.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        advised(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        advised(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller vouches.
        advised(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The memory, after the kernel was asked for large pages if it is large.
fn advised(memory: *mut u8, size: usize) -> *mut u8 {
    if size >= LARGE && !memory.is_null() {
        let start = (memory as usize).next_multiple_of(PAGE);
        let end = (memory as usize + size) / PAGE * PAGE;
        // SAFETY: whole pages of memory that is ours; it stays as it is. If the kernel does not want to, neither do we.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the memory at an address.
    fn flags(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split_whitespace().next().unwrap_or_default();
            let bound = |text: &str| usize::from_str_radix(text, 16).ok();
            if let Some((Some(from), Some(to))) =
                range.split_once('-').map(|(a, b)| (bound(a), bound(b)))
            {
                inside = (from..to).contains(&address);
            } else if inside && line.starts_with("VmFlags:") {
                return line.to_owned();
            }
        }
        String::new()
    }

    #[test]
    fn what_is_large_is_asked_to_be_in_large_pages() {
        for (size, large) in [(LARGE / 4, false), (LARGE, true), (64 << 20, true)] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: the layout has a size; the memory is freed with what it was last given with.
            unsafe {
                let memory = HugePages.alloc_zeroed(layout);
                assert!(!memory.is_null());
                memory.write(1);
                let middle = memory as usize + size / 2;
                assert_eq!(
                    flags(middle).split(' ').any(|flag| flag == "hg"),
                    large,
                    "{size}"
                );
                let memory = HugePages.realloc(memory, layout, size * 2);
                assert_eq!(memory.read(), 1);
                let layout = Layout::from_size_align(size * 2, 8).unwrap();
                HugePages.dealloc(memory, layout);
            }
        }
    }
}
