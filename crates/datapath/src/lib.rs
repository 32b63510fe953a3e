//! The Linux half of the data path: namespaces, interfaces, the flow table's memory, the kernel
//! programs, the queue of punted packets and the thread that owns the engine.
mod error;
mod ethtool;
pub mod links;
mod netlink;
pub mod netns;

pub use error::Error;
pub use ethtool::Feature;
