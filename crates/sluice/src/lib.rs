//! The program: the gateway as a service, its control socket, its commands and the demo.
//!
//! * [`cli`] is the command line, [`commands`] what talks to a running gateway;
//! * [`serve`] runs the [`gateway`], [`state`] keeps its configuration across restarts, [`metering`] what has gone
//!   by, and [`clock`] does what is due;
//! * [`firewall`] gathers what the firewalls need beside the configuration, and takes records of sessions away;
//! * [`socket`] is what the two say to each other;
//! * [`demo`] builds a gateway with everything around it and proves that it works.
//!
//! No packet passes through this crate: the data path moves them, the engine decides about them.

#![forbid(unsafe_code)]

pub mod changes;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod demo;
pub mod error;
pub mod export;
pub mod firewall;
pub mod gateway;
pub mod metering;
pub mod output;
mod periodic;
pub mod remote;
pub mod serve;
pub mod socket;
pub mod state;
pub mod target;
mod tracer;
