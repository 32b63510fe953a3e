//! The lab proves the gateway with real packets: network namespaces, veth pairs and the programs that
//! people use, against the real `sluice` binary.
//!
//! A [`Lab`] is a set of network namespaces that belong together; a [`Host`] is one of them. Programs run
//! inside with a time limit ([`Host::run`]) or beside the test ([`Host::spawn`]). [`Gateway`] is the
//! program under test. [`Site`] is what most tests start from: a gateway with an uplink, a router behind
//! it, and an Internet with servers and clients.
//!
//! ```no_run
//! let lab = lab::Lab::new("web");
//! let site = lab::Site::new(&lab, "tc");
//! let gateway = site.gateway(&site.standard());
//! gateway.instance("web-1").ok("ping -c 1 198.51.100.10");
//! ```
//!
//! Nothing outside of the lab's namespaces is touched, and whatever a test does to end, also by a panic,
//! its processes, namespaces and files go. What is left by a test run that was killed goes with the
//! next one. A lab whose environment has `LAB_KEEP` set stays as it is when its test fails.
//!
//! When a lab ends, no host in it may have seen a packet with a wrong checksum.

mod gateway;
mod host;
mod namespaces;
mod orphans;
mod program;
pub mod site;
mod wait;

pub mod config;
pub mod iperf;
pub mod locations;
pub mod names;
pub mod puppet;
pub mod quic;
pub mod raw;
pub mod servers;
pub mod sockets;
pub mod steady;

pub use gateway::{Gateway, binary};
pub use host::{Host, Lab};
pub use orphans::{clear as clear_named, left as orphans_named};
pub use program::{Output, Program};
pub use site::Site;
pub use wait::{wait_for, wait_some};

/// Makes a test of a function that takes a hook (`"tc"` or `"xdp"`), once for each.
#[macro_export]
macro_rules! in_both_hooks {
    ($($(#[$meta:meta])* fn $name:ident($hook:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;
            fn test($hook: &str) $body
            #[test]
            fn tc() { test("tc"); }
            #[test]
            fn xdp() { test("xdp"); }
        }
    )+};
}
