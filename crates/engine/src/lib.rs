//! The engine: what becomes of the first packet of every session, and of all packets that the kernel
//! programs do not take.
//!
//! Pure: frames and the time go in, frames come out. No I/O, no clock, no Linux; the flow table that it
//! shares with the kernel is memory that it is given. So all of it is tested without root, with time
//! as the test likes it.
//!
//! # How a packet goes
//! [`Engine::frame`] finds the packet's session or opens one. Opening (`open.rs`) asks `decide.rs`, which
//! walks source check, security group, routes, entries, and the security group at the other end
//! ([`Snapshot`] holds them compiled); gives the session its translation (`nat.rs` for SNAT ports); and
//! writes both directions into the flow table, so that the kernel takes the packets that follow.
//! Firewalls are asked in between (`verdicts.rs`, `judging.rs`); what must be inspected first, or is refused, is
//! kept from the kernel by a curtain (`curtain.rs`, `inspection.rs`, `dns.rs`; its fragments `gather.rs`). What goes no
//! further than to an EIP is shown to the Internet border in `border.rs`.
//! `forward.rs` sends on those that come here all the same: fragments (`fragments.rs`), packets too large
//! for the next link, SYNs. ICMP errors are translated in `icmp.rs`, ARP is answered in `arp.rs`.
//!
//! # What it promises
//! * No two live sessions have the same key in either direction: the index refuses it before a session
//!   is made.
//! * What a session holds (port, hops, slots, counts) is given back when it ends, in one place.
//! * Every frame is sent on, answered, held for a bounded time, or counted under a [`flow::reason::Reason`].
//! * A new [`Snapshot`] holds for the next packet; sessions that it still allows are not touched. Those of which no packet
//!   comes here are decided again soon after (`again.rs`).
//! * Memory is bounded: by the number of sessions, and by the limits in `fragments.rs`,
//!   `neighbours.rs`, `inspection.rs` and `dns.rs`.

#![forbid(unsafe_code)]

mod again;
mod answers;
mod apply;
mod arp;
mod border;
#[cfg(any(test, feature = "check"))]
mod check;
mod compile;
mod curtain;
mod decide;
mod details;
mod dns;
mod drain;
mod engine;
mod explain;
mod firewall;
mod firewall_query;
mod forward;
mod fragments;
mod gather;
mod heard;
mod hits;
mod icmp;
mod inbound;
mod index;
mod inspection;
mod intranet;
mod io;
mod judging;
mod limit;
mod lpm;
mod marks;
mod meters;
mod nat;
mod neighbours;
mod open;
mod packet;
mod ports;
mod query;
pub mod record;
mod records;
mod room;
mod routing;
mod security;
mod sessions;
mod snapshot;
mod source;
mod sources;
mod split;
mod sweep;

mod talks;
mod tuple;
mod usage;
mod verdicts;
mod view;
mod walk;
mod watch;
mod wire;

pub use engine::{Engine, Input, Memory};
pub use io::{Link, Offload, Output, PortRef, Time, UPLINK_ZONE};
pub use query::{Probe, ProbeFrom, SessionFilter, TraceError};
pub use snapshot::{Snapshot, SnapshotError};
pub use usage::{ACCOUNT_SLOTS, Account};
pub use view::*;
