//! The Linux half of the data path: namespaces, interfaces, the flow table's memory, the kernel
//! programs, the queue of punted packets and the thread that owns the engine.
mod error;
mod ethtool;
mod grace;
pub mod links;
pub mod maps;
mod netlink;
pub mod netns;
pub mod object;
pub mod programs;
mod sender;
mod vnet;
mod worker;

pub use error::Error;
pub use ethtool::Feature;
pub use sender::{BATCH, SendCounters, Sender};
pub use worker::{Worker, now};
