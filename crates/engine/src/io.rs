//! What goes in and what comes out: time, links, frames.

use flow::header::Checksum;
use std::time::Duration;

/// A moment: nanoseconds of a clock that never goes back (`CLOCK_MONOTONIC`, which the kernel programs
/// read too).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// The unit of an entry's `last_seen`: 2²⁰ ns. It wraps after 52 days.
    pub const fn tick(self) -> u32 {
        (self.0 >> 20) as u32
    }

    /// The unit of an entry's `start`: whole seconds since the clock's origin.
    pub const fn second(self) -> u32 {
        (self.0 / 1_000_000_000) as u32
    }

    /// A duration in ticks, rounded up.
    pub const fn ticks(duration: Duration) -> u32 {
        (duration.as_nanos() >> 20) as u32 + 1
    }

    /// The time since `earlier`; zero if that is later.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(duration.as_nanos() as u64))
    }
}

/// The zone that all uplinks share. Zones of network interfaces are greater.
pub const UPLINK_ZONE: u16 = 1;

/// A Linux interface as the engine knows it. The data path makes it and gives it a zone, which an
/// interface keeps as long as it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it is for.
    pub port: PortRef,
    /// [`UPLINK_ZONE`] for uplinks, else unique and greater.
    pub zone: u16,
    /// The interface index.
    pub ifindex: u32,
    /// The interface's MAC address: the one that stations there send to.
    pub mac: [u8; 6],
    /// The MAC address of the only station there, if it is known; otherwise stations are asked (ARP).
    pub station: Option<[u8; 6]>,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Whether the kernel may hand packets to the far end directly ([`flow::abi::hop::PEER`]).
    pub peer: bool,
}

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortRef {
    /// The network interface with this identifier.
    Eni(model::Id),
    /// The uplink with this identifier.
    Uplink(model::Id),
}

/// What the sender left to hardware.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offload {
    /// What the transport checksum field holds.
    pub checksum: Checksum,
    /// Payload bytes of each segment if the frame stands for several on the wire, else 0.
    pub gso_size: u16,
}

impl Offload {
    /// A frame as it is on the wire.
    pub const NONE: Offload = Offload {
        checksum: Checksum::Complete,
        gso_size: 0,
    };
}

/// Where frames go.
pub trait Output {
    /// Sends a frame by an interface. The frame is only borrowed: take a copy or send it at once.
    fn transmit(&mut self, ifindex: u32, frame: &[u8], offload: Offload);

    /// Takes a session's record. There are none unless the configuration asks for them
    /// ([`Snapshot::recording`](crate::Snapshot::recording)). It must not wait: packets do meanwhile.
    fn record(&mut self, _record: crate::record::Record) {}
}
