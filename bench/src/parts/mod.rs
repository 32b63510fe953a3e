//! The parts of the benchmark, each a piece of work.

pub mod api;
pub mod bulk;
pub mod change;
pub mod commit;
pub mod entries;
pub mod firewall;
pub mod hit;
pub mod http;
pub mod inspection;
pub mod latency;
pub mod memory;
pub mod packets;
pub mod restart;
pub mod sessions;
