//! What the kernel programs and user space share.
//!
//! * [`Key`]: which flow a packet belongs to;
//! * [`Action`]: what is done with the packets of a flow;
//! * [`Entry`] and [`table`]: the flow table, one cache line an entry, written by
//!   one daemon and read by the kernel on every CPU without a lock;
//! * [`header`]: reading a key from a frame, and the header rewrite;
//! * [`checksum`]: Internet checksum arithmetic on precomputed differences;
//! * [`meter`]: token buckets that flows share;
//! * [`share`]: what ports may have waiting for the daemon;
//! * [`atomic`]: the cells of that memory;
//! * [`abi`]: the other records in shared memory: ports, next hops, punted packets;
//! * [`reason`]: why a packet was dropped.
//!
//! The crate is `no_std`, allocates nothing and does no I/O: the eBPF programs
//! and the daemon compile the very same code, so what a user-space test shows of
//! the rewrite holds in the kernel.
//!
//! Addresses and ports in [`Key`] and [`Action`] are kept as they stand in the
//! packet (network byte order in memory), so that neither side ever swaps bytes.
//!
//! x86-64 is the supported machine. On a weakly ordered one the kernel's reader
//! would need an acquire load in [`table::find`], which the BPF target of today's
//! compilers lacks.
#![no_std]
// The eBPF target has atomic operations, but not under the names of `core::sync::atomic`.
#![cfg_attr(
    target_arch = "bpf",
    feature(core_intrinsics),
    allow(internal_features)
)]

pub mod abi;
pub mod atomic;
pub mod checksum;
mod entry;
pub mod header;
mod key;
pub mod meter;
mod prefetch;
pub mod reason;
pub mod share;
pub mod table;

pub use entry::{Action, Activity, Entry, flags, seen};
pub use key::{Key, Seed, proto};
pub use prefetch::prefetch;
