//! What time it is, to the kernel's tick (1 to 10 ms), for the price of two loads and a multiplication.
//!
//! The helper that reads the coarse clock is a call, and so is what it calls: 14 ns of a hit, since kernels that guard
//! against return stack overflow pay for every return. The number of ticks since boot is a variable of the kernel's, which
//! the verifier puts the address of into the program. It advances with `CLOCK_MONOTONIC`, so the two
//! need to be compared once: by [`set`], which the loader runs before the programs are put to use.

use aya_ebpf::Global;
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use core::sync::atomic::Ordering::Relaxed;
use flow::atomic::AtomicU64;

/// Nanoseconds of a tick: a constant of the loaded program, which the loader writes.
#[unsafe(no_mangle)]
static TICK: Global<u64> = Global::new(4_000_000);

/// What the time of the ticks since boot must be given to be that of `CLOCK_MONOTONIC`. Under its plain name, or the
/// object would depend on the folder that it is built in.
#[unsafe(no_mangle)]
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// The time of the ticks since boot.
#[inline(always)]
fn ticks() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_jiffies64() }.wrapping_mul(TICK.load())
}

/// Nanoseconds of `CLOCK_MONOTONIC`, not later than it is and at most two ticks earlier.
#[inline(always)]
pub fn now() -> u64 {
    ticks().wrapping_add(OFFSET.load(Relaxed))
}

/// Compares the clocks.
#[inline(always)]
pub fn set() {
    // SAFETY: the helper takes nothing.
    let coarse = unsafe { bpf_ktime_get_coarse_ns() };
    // The ticks are counted a moment before the clock moves.
    let offset = coarse.wrapping_sub(ticks()).wrapping_sub(TICK.load());
    OFFSET.store(offset, Relaxed);
}
