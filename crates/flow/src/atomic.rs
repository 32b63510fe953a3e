//! The cells that kernel and daemon share.
//!
//! User space has `core`'s atomics. The BPF target has none narrower than 64 bits, though its loads and
//! stores of every aligned width are single instructions: there the cells are volatile accesses under
//! the same names, as the kernel's `READ_ONCE` and `WRITE_ONCE` are.

#[cfg(not(target_arch = "bpf"))]
pub use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
pub use bpf::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
mod bpf {
    use core::cell::UnsafeCell;
    use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};
    use core::sync::atomic::Ordering;

    macro_rules! cell {
        ($(#[doc = $doc:literal] $name:ident($inner:ty, $align:literal),)+) => {$(
            #[doc = $doc]
            #[repr(C, align($align))]
            #[derive(Debug, Default)]
            pub struct $name(UnsafeCell<$inner>);

            // SAFETY: every access is one instruction.
            unsafe impl Sync for $name {}

            impl $name {
                /// A cell with this value.
                pub const fn new(value: $inner) -> $name {
                    $name(UnsafeCell::new(value))
                }

                /// Reads the value. The ordering is that of the machine.
                #[inline(always)]
                pub fn load(&self, _: Ordering) -> $inner {
                    // SAFETY: the cell is valid and aligned.
                    unsafe { self.0.get().read_volatile() }
                }

                /// Writes the value. The ordering is that of the machine.
                #[inline(always)]
                pub fn store(&self, value: $inner, _: Ordering) {
                    // SAFETY: the cell is valid and aligned.
                    unsafe { self.0.get().write_volatile(value) }
                }

                /// The address of the value.
                #[inline(always)]
                pub const fn as_ptr(&self) -> *mut $inner {
                    self.0.get()
                }
            }
        )+};
    }

    cell! {
        /// A shared byte.
        AtomicU8(u8, 1),
        /// A shared 16-bit number.
        AtomicU16(u16, 2),
        /// A shared 32-bit number.
        AtomicU32(u32, 4),
        /// A shared 64-bit number.
        AtomicU64(u64, 8),
    }

    impl AtomicU64 {
        /// Adds to the value, also if other CPUs do so at the same time.
        #[inline(always)]
        pub fn fetch_add(&self, n: u64, _: Ordering) {
            const RELAXED: AtomicOrdering = AtomicOrdering::Relaxed;
            // SAFETY: the cell is valid and aligned.
            unsafe { atomic_xadd::<u64, u64, RELAXED>(self.as_ptr(), n) };
        }

        /// Makes the value `new` if it is `old`; else gives it as an error.
        #[inline(always)]
        pub fn compare_exchange(
            &self,
            old: u64,
            new: u64,
            _: Ordering,
            _: Ordering,
        ) -> Result<u64, u64> {
            const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
            // SAFETY: the cell is valid and aligned.
            let (found, done) =
                unsafe { atomic_cxchg::<u64, ORDER, ORDER>(self.as_ptr(), old, new) };
            if done { Ok(found) } else { Err(found) }
        }
    }
}
