//! The parts of the benchmark, each a piece of work.

pub mod packets;
