//! Captures: what the sessions in a file of packets are.
//!
//! Reads pcap and pcapng with the link layers Ethernet (with VLAN, MPLS, PPPoE), Linux cooked (both versions), BSD loopback,
//! PPP and raw IP; puts fragments together and looks into tunnels of IP in IP and GRE.

mod file;
mod flows;
mod fragments;
mod ip;
mod link;

pub use file::Error;
pub use flows::{Answered, Flow, Protocol};

use crate::Limits;
use flows::Flows;
use std::io::Read;

/// What was read of a capture.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Its sessions, in the order of their first packets.
    pub flows: Vec<Flow>,
    /// What clients were answered by DNS over UDP, in the order in which it came; a million at most.
    pub answers: Vec<Answered>,
    /// How many packets it has.
    pub packets: u64,
    /// It ends within a packet.
    pub truncated: bool,
}

impl Capture {
    /// Reads a capture.
    ///
    /// # Errors
    /// If it is no capture, is broken, or cannot be read.
    pub fn read(from: impl Read + Send, limits: Limits) -> Result<Capture, Error> {
        let mut flows = Flows::new(limits);
        let read = file::packets(from, |packet| flows.packet(packet))?;
        let (flows, answers) = flows.finish();
        Ok(Capture {
            flows,
            answers,
            packets: read.packets,
            truncated: read.truncated,
        })
    }
}
