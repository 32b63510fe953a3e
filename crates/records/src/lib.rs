//! What is told about each session.
//!
//! The thread that moves packets hands a record of each session to a [`Recorder`], which never makes it wait: a queue
//! that is full loses records and counts them. A [`Writer`] on a thread of its own writes them as lines of JSON to a
//! [file](CURRENT) that is put aside when it is large; a [`Reader`] finds the last of them, and those to come.
//!
//! What is written is in the hands of the kernel at once, so a daemon that is killed loses what waits in the queue; what
//! the machine loses when it stops is what the kernel has not brought to the disk.

#![forbid(unsafe_code)]

mod file;
mod line;
mod queue;
mod read;

pub use file::{CURRENT, Limits, put_aside};
pub use line::{Firewall, Line, rfc3339, seconds};
pub use queue::{CAPACITY, Counters, Recorder, Writer};
pub use read::Reader;
