//! Packets made by hand.

use crate::host::Host;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{Ipv4Addr, SocketAddrV4};

/// An IPv4 packet to be written by hand. Its checksums are right.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Source address: any, also another host's.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Protocol.
    pub protocol: u8,
    /// Identification: what fragments of one packet share. Not 0, which the kernel would replace.
    pub id: u16,
    /// Time to live.
    pub ttl: u8,
    /// Whether it must not be fragmented.
    pub dont_fragment: bool,
    /// What comes after the header.
    pub payload: Vec<u8>,
}

impl Packet {
    /// A packet with the usual header.
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: Vec<u8>) -> Packet {
        Packet {
            src,
            dst,
            protocol,
            id: 0x5105,
            ttl: 64,
            dont_fragment: false,
            payload,
        }
    }

    /// A UDP datagram.
    pub fn udp(from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Packet {
        let length = (data.len() + 8) as u16;
        let mut datagram = Vec::with_capacity(data.len() + 8);
        for field in [from.port(), to.port(), length, 0] {
            datagram.extend(field.to_be_bytes());
        }
        datagram.extend(data);
        let sum = checksum(&datagram, pseudo(*from.ip(), *to.ip(), 17, length));
        // 0 would say that there is no checksum.
        let sum = if sum == 0 { 0xffff } else { sum };
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
        Packet::new(*from.ip(), *to.ip(), 17, datagram)
    }

    /// A TCP segment without options and data.
    pub fn tcp(from: SocketAddrV4, to: SocketAddrV4, seq: u32, ack: u32, flags: u8) -> Packet {
        Packet::tcp_with(from, to, seq, ack, flags, &[])
    }

    /// A TCP segment without options.
    pub fn tcp_with(
        from: SocketAddrV4,
        to: SocketAddrV4,
        seq: u32,
        ack: u32,
        flags: u8,
        data: &[u8],
    ) -> Packet {
        let length = (data.len() + 20) as u16;
        let mut segment = Vec::with_capacity(length.into());
        segment.extend(from.port().to_be_bytes());
        segment.extend(to.port().to_be_bytes());
        segment.extend(seq.to_be_bytes());
        segment.extend(ack.to_be_bytes());
        segment.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        segment.extend(data);
        let sum = checksum(&segment, pseudo(*from.ip(), *to.ip(), 6, length));
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        Packet::new(*from.ip(), *to.ip(), 6, segment)
    }

    /// It in pieces with `size` bytes of payload each, a multiple of 8, in order.
    pub fn fragments(&self, size: usize) -> Vec<Vec<u8>> {
        assert!(size.is_multiple_of(8));
        let count = self.payload.len().div_ceil(size);
        let pieces = self.payload.chunks(size).enumerate();
        pieces
            .map(|(n, piece)| self.bytes(piece, n * size, n + 1 < count))
            .collect()
    }

    /// A single piece of it: `payload[from..to]`, with more to follow or not.
    pub fn piece(&self, from: usize, to: usize, more: bool) -> Vec<u8> {
        self.bytes(&self.payload[from..to], from, more)
    }

    /// It as a whole.
    pub fn whole(&self) -> Vec<u8> {
        self.bytes(&self.payload, 0, false)
    }

    fn bytes(&self, payload: &[u8], offset: usize, more: bool) -> Vec<u8> {
        let flags = (self.dont_fragment as u16) << 14 | (more as u16) << 13;
        let mut packet = vec![0x45, 0];
        packet.extend(((payload.len() + 20) as u16).to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend((flags | (offset / 8) as u16).to_be_bytes());
        packet.extend([self.ttl, self.protocol, 0, 0]);
        packet.extend(self.src.octets());
        packet.extend(self.dst.octets());
        let sum = checksum(&packet, 0);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }
}

fn pseudo(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, length: u16) -> u32 {
    let halves = |addr: Ipv4Addr| (u32::from(addr) >> 16) + (u32::from(addr) & 0xffff);
    halves(src) + halves(dst) + protocol as u32 + length as u32
}

/// The Internet checksum (RFC 1071), as plain as can be.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]) as u32);
    let mut sum = start + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Sends packets from a host as they are.
pub fn send<'a>(host: &Host, packets: impl IntoIterator<Item = &'a Vec<u8>> + Send) {
    host.inside(|| {
        let raw = Some(Protocol::from(255));
        let socket = Socket::new(Domain::IPV4, Type::RAW, raw).unwrap();
        for packet in packets {
            let to: [u8; 4] = packet[16..20].try_into().unwrap();
            let to = SocketAddrV4::new(to.into(), 0);
            socket.send_to(packet, &to.into()).unwrap();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_sums_up_to_nothing() {
        let (from, to) = (
            "192.0.2.1:7".parse().unwrap(),
            "192.0.2.2:9".parse().unwrap(),
        );
        let packet = Packet::udp(from, to, b"odd");
        let bytes = packet.whole();
        assert_eq!(checksum(&bytes[..20], 0), 0);
        assert_eq!(
            checksum(&bytes[20..], pseudo(*from.ip(), *to.ip(), 17, 11)),
            0
        );
        assert_eq!(bytes.len(), 31);
    }

    #[test]
    fn fragments_cover_the_packet() {
        let addr = Ipv4Addr::LOCALHOST;
        let packet = Packet::new(addr, addr, 17, (0..30).collect());
        let pieces = packet.fragments(16);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0][6..8], [0x20, 0]);
        assert_eq!(pieces[1][6..8], [0, 2]);
        let whole: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece[20..].to_vec())
            .collect();
        assert_eq!(whole, packet.payload);
    }
}
