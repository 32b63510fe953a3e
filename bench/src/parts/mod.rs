//! The parts of the benchmark, each a piece of work.

pub mod hit;
pub mod latency;
pub mod memory;
pub mod packets;
pub mod sessions;
