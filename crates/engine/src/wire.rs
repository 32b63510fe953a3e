//! Reading and writing the packets that the engine itself deals with: IPv4, ICMP, ARP, TCP resets.
//!
//! Reading is by [`Ipv4::parse`], which checks every length once; what it returns can be trusted to lie
//! in the frame. Nothing here allocates but the builders of small answers, which write into a buffer
//! of the caller.

use crate::tuple;
use flow::abi::Punt;
use flow::header::{ETH, ETHERTYPE_ARP, ETHERTYPE_IPV4, IP};
use flow::{Key, checksum, proto};
use std::net::Ipv4Addr;

/// What an IPv4 frame says of itself. Offsets count from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv4 {
    /// Where the transport header begins.
    pub l4: usize,
    /// Where the packet ends; what follows in the frame is padding.
    pub end: usize,
    pub proto: u8,
    pub src: u32,
    pub dst: u32,
    pub ttl: u8,
    pub id: u16,
    pub dont_fragment: bool,
    pub more_fragments: bool,
    /// Where in its datagram the payload belongs, in bytes.
    pub offset: usize,
}

/// The frame is not an IPv4 packet that could be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn ne16(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn ne32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The EtherType, in memory order, of a frame with a whole Ethernet header.
pub(crate) fn ethertype(frame: &[u8]) -> Option<u16> {
    (frame.len() >= ETH).then(|| ne16(frame, 12))
}

impl Ipv4 {
    /// Reads the IPv4 header of an Ethernet frame: version, lengths, checksum.
    pub fn parse(frame: &[u8]) -> Result<Ipv4, Malformed> {
        Ipv4::parse_at(frame, ETH, true)
    }

    /// Reads the header of an IPv4 packet that begins at `at`. A packet that is quoted in an ICMP
    /// error is not `whole`: its end is the end of the quotation.
    pub fn parse_at(frame: &[u8], at: usize, whole: bool) -> Result<Ipv4, Malformed> {
        let packet = frame.get(at..).filter(|p| p.len() >= IP).ok_or(Malformed)?;
        let header = (packet[0] & 0x0f) as usize * 4;
        let total = be16(packet, 2) as usize;
        let end = if whole {
            total
        } else {
            packet.len().min(total)
        };
        let bad_lengths = header < IP || end < header || packet.len() < end;
        if packet[0] >> 4 != 4 || bad_lengths || checksum::sum(&packet[..header], 0) != 0xffff {
            return Err(Malformed);
        }
        let fragment = be16(packet, 6);
        Ok(Ipv4 {
            l4: at + header,
            end: at + end,
            proto: packet[9],
            src: ne32(packet, 12),
            dst: ne32(packet, 16),
            ttl: packet[8],
            id: ne16(packet, 4),
            dont_fragment: fragment & 0x4000 != 0,
            more_fragments: fragment & 0x2000 != 0,
            offset: (fragment & 0x1fff) as usize * 8,
        })
    }

    /// Whether the packet is a part of a larger datagram.
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.offset != 0
    }

    /// The packet's key, as the kernel would read it, options and fragmentation aside. The fragment
    /// must be a first one.
    pub fn key(&self, frame: &[u8], zone: u16) -> Result<Key, Punt> {
        let mut key = Key {
            src: self.src,
            dst: self.dst,
            zone,
            proto: self.proto,
            ..Key::default()
        };
        let needed = match self.proto {
            proto::TCP => 20,
            proto::UDP | proto::ICMP => 8,
            _ => return Ok(key),
        };
        if self.end - self.l4 < needed {
            return Err(Punt::Header);
        }
        if self.proto == proto::ICMP {
            let kind = ne16(frame, self.l4);
            if kind != tuple::ECHO_REQUEST && kind != tuple::ECHO_REPLY {
                return Err(Punt::Icmp);
            }
            key.sport = ne16(frame, self.l4 + 4);
            key.dport = kind;
        } else {
            key.sport = ne16(frame, self.l4);
            key.dport = ne16(frame, self.l4 + 2);
        }
        Ok(key)
    }

    /// The key of a packet that an ICMP error quotes: eight bytes of the transport header are enough.
    pub fn quoted_key(&self, frame: &[u8], zone: u16) -> Option<Key> {
        if self.offset != 0 {
            return None;
        }
        let mut key = Key {
            src: self.src,
            dst: self.dst,
            zone,
            proto: self.proto,
            ..Key::default()
        };
        if tuple::has_ports(self.proto) {
            if self.end - self.l4 < 8 {
                return None;
            }
            (key.sport, key.dport) = match self.proto {
                proto::ICMP => (ne16(frame, self.l4 + 4), ne16(frame, self.l4)),
                _ => (ne16(frame, self.l4), ne16(frame, self.l4 + 2)),
            };
            let echo = [tuple::ECHO_REQUEST, tuple::ECHO_REPLY];
            if self.proto == proto::ICMP && !echo.contains(&key.dport) {
                return None;
            }
        }
        Some(key)
    }

    /// The flags of a TCP packet whose key was read.
    pub fn tcp_flags(&self, frame: &[u8]) -> u8 {
        frame[self.l4 + 13]
    }
}

/// An ARP message (RFC 826) about IPv4 on Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub reply: bool,
    pub sender_mac: [u8; 6],
    pub sender: Ipv4Addr,
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads the ARP message of an Ethernet frame.
    pub fn parse(frame: &[u8]) -> Result<Arp, Malformed> {
        let arp = frame.get(ETH..ETH + 28).ok_or(Malformed)?;
        if arp[..6] != [0, 1, 8, 0, 6, 4] {
            return Err(Malformed);
        }
        let reply = match be16(arp, 6) {
            1 => false,
            2 => true,
            _ => return Err(Malformed),
        };
        let mac: [u8; 6] = arp[8..14].try_into().map_err(|_| Malformed)?;
        if mac[0] & 1 != 0 || mac == [0; 6] || frame[6..12] != mac {
            return Err(Malformed);
        }
        Ok(Arp {
            reply,
            sender_mac: mac,
            sender: tuple::ip(ne32(arp, 14)),
            target: tuple::ip(ne32(arp, 24)),
        })
    }

    /// Writes a message: to everybody if it asks, else to `to`.
    pub fn build(
        reply: bool,
        from: [u8; 6],
        sender: Ipv4Addr,
        to: [u8; 6],
        target: Ipv4Addr,
    ) -> [u8; 42] {
        let mut frame = [0; 42];
        let broadcast = [0xff; 6];
        frame[..6].copy_from_slice(if reply { &to } else { &broadcast });
        frame[6..12].copy_from_slice(&from);
        frame[12..14].copy_from_slice(&ETHERTYPE_ARP.to_ne_bytes());
        frame[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        frame[21] = 1 + reply as u8;
        frame[22..28].copy_from_slice(&from);
        frame[28..32].copy_from_slice(&sender.octets());
        if reply {
            frame[32..38].copy_from_slice(&to);
        }
        frame[38..42].copy_from_slice(&target.octets());
        frame
    }
}

/// The most bytes that an ICMP error has (RFC 1812, section 4.3.2.3), with its Ethernet header.
pub(crate) const ERROR_MAX: usize = ETH + 576;

/// Writes Ethernet (without addresses) and IPv4 headers for `payload` bytes; gives the whole length.
fn headers(buffer: &mut [u8], protocol: u8, src: Ipv4Addr, dst: Ipv4Addr, payload: usize) -> usize {
    let total = (IP + payload) as u16;
    buffer[..12].fill(0);
    buffer[12..14].copy_from_slice(&ETHERTYPE_IPV4.to_ne_bytes());
    let ip = &mut buffer[ETH..ETH + IP];
    ip.fill(0);
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip[8] = 64;
    ip[9] = protocol;
    ip[12..16].copy_from_slice(&src.octets());
    ip[16..20].copy_from_slice(&dst.octets());
    let sum = !(checksum::sum(ip, 0) as u16);
    ip[10..12].copy_from_slice(&sum.to_ne_bytes());
    ETH + total as usize
}

/// An ICMP error about a packet: what an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub kind: u8,
    pub code: u8,
    /// The MTU of the next hop, for "fragmentation needed" (RFC 1191).
    pub mtu: u16,
}

/// Writes an ICMP error from `src` to the sender of `offending` (an Ethernet frame), quoting as much
/// of it as fits. Gives the length of the frame.
pub(crate) fn icmp_error(
    buffer: &mut [u8; ERROR_MAX],
    src: Ipv4Addr,
    error: IcmpError,
    offending: &[u8],
    packet: &Ipv4,
) -> usize {
    let quoted = &offending[ETH..packet.end.min(ETH + 576 - IP - 8)];
    let len = headers(
        buffer,
        proto::ICMP,
        src,
        tuple::ip(packet.src),
        8 + quoted.len(),
    );
    let icmp = &mut buffer[ETH + IP..len];
    icmp[..8].copy_from_slice(&[error.kind, error.code, 0, 0, 0, 0, 0, 0]);
    icmp[6..8].copy_from_slice(&error.mtu.to_be_bytes());
    icmp[8..].copy_from_slice(quoted);
    let sum = !(checksum::sum(icmp, 0) as u16);
    icmp[2..4].copy_from_slice(&sum.to_ne_bytes());
    len
}

/// A datagram of UDP with its header, without what may come after it in the packet.
pub(crate) fn datagram_of(packet: &[u8]) -> Option<&[u8]> {
    let len = usize::from(be16(packet.get(..8)?, 4));
    packet.get(..len).filter(|it| it.len() >= 8)
}

/// What a whole packet of UDP carries.
pub(crate) fn udp_payload<'a>(frame: &'a [u8], packet: &Ipv4) -> &'a [u8] {
    let datagram = frame.get(packet.l4..packet.end).and_then(datagram_of);
    datagram.and_then(|it| it.get(8..)).unwrap_or_default()
}

/// Turns an ICMP echo request into its reply, in place: addresses, type, checksums, TTL. The Ethernet
/// header is left alone.
pub(crate) fn echo_reply(frame: &mut [u8], packet: &Ipv4) {
    frame[packet.l4] = 0;
    let icmp = packet.l4..packet.end;
    frame[packet.l4 + 2..packet.l4 + 4].fill(0);
    let sum = !(checksum::sum(&frame[icmp], 0) as u16);
    frame[packet.l4 + 2..packet.l4 + 4].copy_from_slice(&sum.to_ne_bytes());
    frame[ETH + 8] = 64;
    frame[ETH + 12..ETH + 16].copy_from_slice(&packet.dst.to_ne_bytes());
    frame[ETH + 16..ETH + 20].copy_from_slice(&packet.src.to_ne_bytes());
    header_checksum(frame, ETH, packet.l4);
}

/// Writes the checksum of the IPv4 header in `from..to`.
pub(crate) fn header_checksum(frame: &mut [u8], from: usize, to: usize) {
    frame[from + 10..from + 12].fill(0);
    let sum = !(checksum::sum(&frame[from..to], 0) as u16);
    frame[from + 10..from + 12].copy_from_slice(&sum.to_ne_bytes());
}

/// Writes the TCP reset that answers a segment of no connection (RFC 9293, section 3.10.7.1). Gives the
/// length of the frame.
pub(crate) fn tcp_reset(buffer: &mut [u8; ERROR_MAX], offending: &[u8], packet: &Ipv4) -> usize {
    let (src, dst) = (tuple::ip(packet.dst), tuple::ip(packet.src));
    let len = headers(buffer, proto::TCP, src, dst, 20);
    let from = &offending[packet.l4..packet.end];
    let flags = from[13];
    let data = (from.len() as u32).saturating_sub((from[12] >> 4) as u32 * 4);
    let tcp = &mut buffer[ETH + IP..len];
    tcp.fill(0);
    tcp[0..2].copy_from_slice(&from[2..4]);
    tcp[2..4].copy_from_slice(&from[0..2]);
    tcp[12] = 5 << 4;
    if flags & 0x10 != 0 {
        tcp[4..8].copy_from_slice(&from[8..12]);
        tcp[13] = 0x04;
    } else {
        let sequence = u32::from_be_bytes([from[4], from[5], from[6], from[7]]);
        let virtual_bytes = (flags & 0x01 != 0) as u32 + (flags & 0x02 != 0) as u32;
        let acknowledged = sequence.wrapping_add(data).wrapping_add(virtual_bytes);
        tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
        tcp[13] = 0x14;
    }
    let pseudo = checksum::pseudo(tuple::raw(src), tuple::raw(dst), proto::TCP, 20);
    let sum = !(checksum::sum(tcp, pseudo) as u16);
    tcp[16..18].copy_from_slice(&sum.to_ne_bytes());
    len
}

/// Makes the frame of a datagram with this key.
pub(crate) fn datagram(key: &Key, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (tuple::ip(key.src), tuple::ip(key.dst));
    let udp_length = 8 + payload.len().min(MAX_PAYLOAD);
    let mut frame = vec![0; ETH + IP + udp_length];
    headers(&mut frame, proto::UDP, src, dst, udp_length);
    let udp = &mut frame[ETH + IP..];
    udp[0..2].copy_from_slice(&key.sport.to_ne_bytes());
    udp[2..4].copy_from_slice(&key.dport.to_ne_bytes());
    udp[4..6].copy_from_slice(&(udp_length as u16).to_be_bytes());
    udp[8..].copy_from_slice(&payload[..udp_length - 8]);
    let pseudo = checksum::pseudo(key.src, key.dst, proto::UDP, udp_length as u16);
    let sum = match !(checksum::sum(udp, pseudo) as u16) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_ne_bytes());
    frame
}

/// The most payload of a datagram that is made here: it fits every link.
const MAX_PAYLOAD: usize = 548;

/// Writes the TCP reset that the sender of packets with this key would send. Gives the length of the frame.
pub(crate) fn reset(buffer: &mut [u8; ERROR_MAX], key: &Key, seq: u32, ack: u32) -> usize {
    let (src, dst) = (tuple::ip(key.src), tuple::ip(key.dst));
    let len = headers(buffer, proto::TCP, src, dst, 20);
    let tcp = &mut buffer[ETH + IP..len];
    tcp.fill(0);
    tcp[0..2].copy_from_slice(&key.sport.to_ne_bytes());
    tcp[2..4].copy_from_slice(&key.dport.to_ne_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12..14].copy_from_slice(&[5 << 4, 0x14]);
    let pseudo = checksum::pseudo(key.src, key.dst, proto::TCP, 20);
    let sum = !(checksum::sum(tcp, pseudo) as u16);
    tcp[16..18].copy_from_slice(&sum.to_ne_bytes());
    len
}

/// Writes the MAC addresses of a frame.
pub(crate) fn set_macs(frame: &mut [u8], dst: [u8; 6], src: [u8; 6]) {
    frame[..6].copy_from_slice(&dst);
    frame[6..12].copy_from_slice(&src);
}

/// The MAC address that a frame came from.
pub(crate) fn source_mac(frame: &[u8]) -> [u8; 6] {
    let mut mac = [0; 6];
    mac.copy_from_slice(&frame[6..12]);
    mac
}
