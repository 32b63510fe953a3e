//! What tells flows apart, and the instances behind them.

use crate::common::*;
use std::net::Ipv4Addr;

/// What tells flows apart: the port that a packet comes in by, addresses and ports. For ICMP echo the
/// source port is the identifier and the destination port the type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub at: String,
    pub proto: u8,
    pub src: Ipv4Addr,
    pub sport: u16,
    pub dst: Ipv4Addr,
    pub dport: u16,
}

impl Tuple {
    pub fn of(at: &str, packet: &Packet) -> Tuple {
        Tuple {
            at: at.to_owned(),
            proto: packet.proto(),
            src: packet.src,
            sport: packet.sport(),
            dst: packet.dst,
            dport: match packet.body {
                Body::Icmp { kind, .. } => kind.into(),
                _ => packet.dport(),
            },
        }
    }

    /// That of packets which answer, as they come in at `at`.
    pub fn reverse(&self, at: &str) -> Tuple {
        let (sport, dport) = match self.proto {
            ICMP => (self.sport, 8 - self.dport),
            _ => (self.dport, self.sport),
        };
        Tuple {
            at: at.to_owned(),
            proto: self.proto,
            src: self.dst,
            sport,
            dst: self.src,
            dport,
        }
    }
}

/// An instance's address and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inner {
    pub(super) at: String,
    pub(super) proto: u8,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
}

impl Inner {
    pub(super) fn of(key: &Tuple) -> Inner {
        Inner {
            at: key.at.clone(),
            proto: key.proto,
            address: key.src,
            port: key.sport,
        }
    }
}
