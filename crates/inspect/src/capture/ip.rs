//! IP packets: their ends, and what they carry.

use super::link;
use crate::bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;

/// The most packets within packets, and headers between IPv6 and what it carries.
const MAX_NESTED: usize = 8;

/// A packet of IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ip<'a> {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub fragment: Option<Fragment>,
    pub payload: &'a [u8],
}

/// Which part of a packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub id: u32,
    pub offset: u16,
    pub more: bool,
}

/// A packet of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub src: (IpAddr, u16),
    pub dst: (IpAddr, u16),
    pub transport: Transport,
    pub payload: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp { seq: u32, flags: u8 },
    Udp,
}

impl<'a> Ip<'a> {
    pub fn parse(packet: &'a [u8]) -> Option<Ip<'a>> {
        match packet.first()? >> 4 {
            4 => Ip::v4(packet),
            6 => Ip::v6(packet),
            _ => None,
        }
    }

    fn v4(packet: &'a [u8]) -> Option<Ip<'a>> {
        let header = packet.get(..20)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let address =
            |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        let len = usize::from(header[0] & 15) * 4;
        // 0, if the segment was to be cut later, by hardware.
        let total = match usize::from(word(2)) {
            0 => packet.len(),
            total => total.min(packet.len()),
        };
        let (more, offset) = (word(6) & 0x2000 != 0, (word(6) & 0x1fff) * 8);
        Some(Ip {
            src: address(12).into(),
            dst: address(16).into(),
            protocol: header[9],
            fragment: (more || offset > 0).then(|| Fragment {
                id: word(4).into(),
                offset,
                more,
            }),
            payload: packet.get(len.max(20)..total)?,
        })
    }

    fn v6(packet: &'a [u8]) -> Option<Ip<'a>> {
        let mut left = Bytes(packet);
        left.take(4)?;
        let (len, mut protocol, _hops) = (left.u16()?, left.u8()?, left.u8()?);
        let src: [u8; 16] = left.take(16)?.try_into().ok()?;
        let dst: [u8; 16] = left.take(16)?.try_into().ok()?;
        if len > 0 {
            left = Bytes(left.up_to(len.into()));
        }
        let mut fragment = None;
        for _ in 0..MAX_NESTED {
            let (next, len) = match protocol {
                // Hop by hop, routing, destination, mobility; authentication counts differently.
                0 | 43 | 60 | 135 => (left.u8()?, 8 * (usize::from(left.u8()?) + 1)),
                51 => (left.u8()?, 4 * (usize::from(left.u8()?) + 2)),
                FRAGMENT => {
                    let (next, _, offset) = (left.u8()?, left.u8()?, left.u16()?);
                    let id = left.u32()?;
                    let (offset, more) = (offset & !7, offset & 1 != 0);
                    if more || offset > 0 {
                        fragment = Some(Fragment { id, offset, more });
                    }
                    protocol = next;
                    if offset > 0 {
                        break;
                    }
                    continue;
                }
                _ => break,
            };
            left.take(len.checked_sub(2)?)?;
            protocol = next;
        }
        Some(Ip {
            src: Ipv6Addr::from(src).into(),
            dst: Ipv6Addr::from(dst).into(),
            protocol,
            fragment,
            payload: left.0,
        })
    }

    /// The packet in a tunnel.
    pub fn inner(&self) -> Option<Ip<'a>> {
        match self.protocol {
            4 | 41 => Ip::parse(self.payload),
            47 => Ip::parse(link::gre(self.payload)?),
            _ => None,
        }
    }

    /// What is carried, if it is TCP or UDP.
    pub fn datagram(&self) -> Option<Datagram<'a>> {
        let mut left = Bytes(self.payload);
        let (src, dst) = (left.u16()?, left.u16()?);
        let (transport, payload) = match self.protocol {
            TCP => {
                let seq = left.u32()?;
                left.take(4)?;
                let (len, flags) = (usize::from(left.u8()? >> 4) * 4, left.u8()?);
                // Of a header that is cut short there is no payload.
                let payload = self.payload.get(len.max(20)..).unwrap_or_default();
                (Transport::Tcp { seq, flags }, payload)
            }
            UDP => {
                let len = usize::from(left.u16()?).checked_sub(8);
                left.take(2)?;
                (Transport::Udp, left.up_to(len.unwrap_or(usize::MAX)))
            }
            _ => return None,
        };
        Some(Datagram {
            src: (self.src, src),
            dst: (self.dst, dst),
            transport,
            payload,
        })
    }
}
