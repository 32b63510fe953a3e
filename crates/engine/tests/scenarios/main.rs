//! What the gateway promises, one test a promise: packets through the engine and a simulated kernel, with
//! time as the test likes it.

#[path = "../common/mod.rs"]
mod common;

mod again;
mod apply;
mod bandwidth;
mod dnat;
mod dns;
mod drain;
mod firewall;
mod fragments;
mod gather;
mod heard;
mod icmp;
mod inside;
mod inspection;
mod intranet;
mod neighbours;
mod ports;
mod quic;
mod records;
mod restart;
mod snat;
mod tcp;
mod threats;
mod trace;
mod usage;
