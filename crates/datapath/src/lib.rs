//! The Linux half of the data path: namespaces, interfaces, the flow table's memory, the kernel
//! programs, the queue of punted packets and the thread that owns the engine.
//!
//! [`Datapath`] is the whole of it, in operation. Below it:
//!
//! * [`maps`], [`programs`], [`object`], `pin`: the kernel half: shared memory, programs, and loading both;
//! * `worker`, `grace`: the thread that feeds punted packets to the engine; slots that wait for readers;
//! * [`Sender`], `vnet`: sending frames, with what is left to hardware;
//! * `huge`: memory for the engine's tables;
//! * `ports`, `instance`, `zones`, `names`: bringing Linux and the configuration together;
//! * [`links`], `ethtool`, `netlink`, [`netns`]: Linux interfaces and network namespaces.
//!
//! What it promises: a change is put in force whole or not at all; what is right already is not touched;
//! only what was made here is deleted. What it does not do: it never forwards by itself, and it does not
//! watch for interfaces that others delete; the next change finds out.

mod datapath;
mod error;
mod ethtool;
mod grace;
mod huge;
mod instance;
pub mod links;
pub mod maps;
mod names;
mod netlink;
pub mod netns;
pub mod object;
mod pin;
mod populate;
mod ports;
pub mod programs;
mod sender;
mod vnet;
mod worker;
mod zones;

pub use crate::datapath::{Datapath, PINS, remove};
pub use error::Error;
pub use ethtool::Feature;
pub use huge::HugePages;
pub use ports::PortStatus;
pub use sender::{BATCH, Recorder, SendCounters, Sender};
pub use worker::{Worker, now, wall};
