//! What the API asks whoever knows packets.

use std::net::SocketAddrV4;

/// A packet that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// An instance or a network interface, or an address of the Internet.
    pub from: String,
    /// Source port; `None`: any.
    pub from_port: Option<u16>,
    /// An address, or the EIP, the instance or the interface that has it.
    pub to: String,
    /// Destination port; `None` for protocols without ports.
    pub to_port: Option<u16>,
    /// The IP protocol's number.
    pub protocol: u8,
}

/// A step of a packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was asked: `route`, `snat` …
    pub step: String,
    /// The resource that answered.
    pub resource: Option<String>,
    /// What it said.
    pub result: String,
}

/// What would happen to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its way.
    pub steps: Vec<Step>,
    /// Whether it would arrive.
    pub forwarded: bool,
    /// `forwarded`, or the reason for which it is dropped.
    pub verdict: String,
    /// Source and destination as the receiver sees them, if it would arrive.
    pub arrives_as: Option<(SocketAddrV4, SocketAddrV4)>,
}

/// What follows a made-up packet through the engine.
pub trait Tracer: Send + Sync {
    /// What would happen to the packet. Nothing is sent, and nothing changes.
    ///
    /// # Errors
    /// Why it cannot be told: an end that there is not.
    fn trace(&self, flow: &Flow) -> Result<Trace, String>;
}
