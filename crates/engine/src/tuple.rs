//! Keys as people and the engine read them, and how they turn around.

use crate::view::TupleView;
use flow::{Key, proto};
use std::net::Ipv4Addr;

/// An address of a key.
pub(crate) fn ip(raw: u32) -> Ipv4Addr {
    Ipv4Addr::from(raw.to_ne_bytes())
}

/// An address for a key.
pub(crate) fn raw(ip: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(ip.octets())
}

/// The type and code of an ICMP echo request, as a key has them in `dport`.
pub(crate) const ECHO_REQUEST: u16 = 0x0800u16.to_be();
/// The type and code of an ICMP echo reply.
pub(crate) const ECHO_REPLY: u16 = 0;

/// The key of packets that answer those of `key`, as they come in by `zone`.
#[inline(always)]
pub(crate) fn reverse(key: &Key, zone: u16) -> Key {
    let (sport, dport) = match key.proto {
        proto::ICMP if key.dport == ECHO_REQUEST => (key.sport, ECHO_REPLY),
        proto::ICMP => (key.sport, ECHO_REQUEST),
        _ => (key.dport, key.sport),
    };
    Key {
        src: key.dst,
        dst: key.src,
        sport,
        dport,
        zone,
        proto: key.proto,
    }
}

/// Whether SNAT can tell several senders of this protocol apart, by a port or an identifier.
pub(crate) fn has_ports(proto: u8) -> bool {
    matches!(proto, proto::TCP | proto::UDP | proto::ICMP)
}

/// The key for people.
pub(crate) fn view(key: &Key) -> TupleView {
    TupleView {
        src: ip(key.src),
        src_port: u16::from_be(key.sport),
        dst: ip(key.dst),
        dst_port: match key.proto {
            proto::ICMP => 0,
            _ => u16::from_be(key.dport),
        },
    }
}

/// A protocol's name, or its number.
pub(crate) fn protocol(number: u8) -> String {
    match number {
        proto::TCP => "tcp".into(),
        proto::UDP => "udp".into(),
        proto::ICMP => "icmp".into(),
        n => n.to_string(),
    }
}
