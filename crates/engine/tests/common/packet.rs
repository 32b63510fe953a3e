//! Packets as values: built, written to bytes, read back and verified. Slow and obvious on purpose, and
//! none of the code that is tested.

use std::net::Ipv4Addr;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// An address from text.
pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect(text)
}

/// An IPv4 packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub ttl: u8,
    pub id: u16,
    pub df: bool,
    /// Where in its datagram a fragment belongs, in bytes, and whether more come.
    pub fragment: (usize, bool),
    /// IP options, a multiple of four bytes.
    pub options: Vec<u8>,
    pub body: Body,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Tcp {
        sport: u16,
        dport: u16,
        flags: u8,
        seq: u32,
        ack: u32,
        data: Vec<u8>,
    },
    Udp {
        sport: u16,
        dport: u16,
        /// Whether it has a checksum.
        sum: bool,
        data: Vec<u8>,
    },
    Icmp {
        kind: u8,
        code: u8,
        /// The second word: identifier and sequence number, or unused and MTU.
        rest: [u16; 2],
        data: Vec<u8>,
    },
    /// Another protocol, or a fragment.
    Raw { proto: u8, data: Vec<u8> },
}

/// The Internet checksum of RFC 1071, one word after the other.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn pseudo(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, len: usize) -> Vec<u8> {
    let mut header = [src.octets(), dst.octets()].concat();
    header.extend([0, proto]);
    header.extend((len as u16).to_be_bytes());
    header
}

impl Packet {
    fn new(src: &str, dst: &str, body: Body) -> Packet {
        Packet {
            src: ip(src),
            dst: ip(dst),
            ttl: 64,
            id: 0x1234,
            df: false,
            fragment: (0, false),
            options: Vec::new(),
            body,
        }
    }

    /// A UDP datagram between `address:port`s.
    pub fn udp(from: (&str, u16), to: (&str, u16)) -> Packet {
        let body = Body::Udp {
            sport: from.1,
            dport: to.1,
            sum: true,
            data: b"some data".to_vec(),
        };
        Packet::new(from.0, to.0, body)
    }

    /// A TCP segment.
    pub fn tcp(from: (&str, u16), to: (&str, u16), flags: u8) -> Packet {
        let body = Body::Tcp {
            sport: from.1,
            dport: to.1,
            flags,
            seq: 1000,
            ack: 2000,
            data: Vec::new(),
        };
        Packet::new(from.0, to.0, body)
    }

    /// An ICMP echo request.
    pub fn ping(from: &str, to: &str, id: u16) -> Packet {
        let body = Body::Icmp {
            kind: 8,
            code: 0,
            rest: [id, 1],
            data: b"abcdefgh".to_vec(),
        };
        Packet::new(from, to, body)
    }

    /// A packet of a protocol without ports.
    pub fn other(proto: u8, from: &str, to: &str) -> Packet {
        let data = b"whatever it carries".to_vec();
        Packet::new(from, to, Body::Raw { proto, data })
    }

    pub fn ttl(mut self, ttl: u8) -> Packet {
        self.ttl = ttl;
        self
    }

    pub fn df(mut self) -> Packet {
        self.df = true;
        self
    }

    pub fn id(mut self, id: u16) -> Packet {
        self.id = id;
        self
    }

    pub fn options(mut self, options: &[u8]) -> Packet {
        self.options = options.to_vec();
        self
    }

    /// With `len` bytes of data.
    pub fn len(mut self, len: usize) -> Packet {
        *self.data_mut() = (0..len).map(|n| (n * 7 + n / 251) as u8).collect();
        self
    }

    pub fn set_data(&mut self, data: &[u8]) {
        *self.data_mut() = data.to_vec();
    }

    /// A UDP datagram without checksum.
    pub fn unsummed(mut self) -> Packet {
        if let Body::Udp { sum, .. } = &mut self.body {
            *sum = false;
        }
        self
    }

    pub fn proto(&self) -> u8 {
        match self.body {
            Body::Tcp { .. } => TCP,
            Body::Udp { .. } => UDP,
            Body::Icmp { .. } => ICMP,
            Body::Raw { proto, .. } => proto,
        }
    }

    pub fn data(&self) -> &[u8] {
        match &self.body {
            Body::Tcp { data, .. }
            | Body::Udp { data, .. }
            | Body::Icmp { data, .. }
            | Body::Raw { data, .. } => data,
        }
    }

    fn data_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.body {
            Body::Tcp { data, .. }
            | Body::Udp { data, .. }
            | Body::Icmp { data, .. }
            | Body::Raw { data, .. } => data,
        }
    }

    /// Source port, or ICMP identifier.
    pub fn sport(&self) -> u16 {
        match self.body {
            Body::Tcp { sport, .. } | Body::Udp { sport, .. } => sport,
            Body::Icmp { rest, .. } => rest[0],
            Body::Raw { .. } => 0,
        }
    }

    /// Destination port; 0 if there is none.
    pub fn dport(&self) -> u16 {
        match self.body {
            Body::Tcp { dport, .. } | Body::Udp { dport, .. } => dport,
            _ => 0,
        }
    }

    pub fn flags(&self) -> u8 {
        match self.body {
            Body::Tcp { flags, .. } => flags,
            _ => 0,
        }
    }

    /// `src:port > dst:port`, for comparisons that are read by people.
    pub fn tuple(&self) -> String {
        let (sport, dport) = (self.sport(), self.dport());
        format!("{}:{sport} > {}:{dport}", self.src, self.dst)
    }

    /// What the receiver of this packet would send back. TCP flags are given.
    pub fn answer(&self, tcp_flags: u8) -> Packet {
        let mut answer = self.clone();
        answer.src = self.dst;
        answer.dst = self.src;
        answer.ttl = 64;
        match &mut answer.body {
            Body::Tcp {
                sport,
                dport,
                flags,
                seq,
                ack,
                ..
            } => {
                std::mem::swap(sport, dport);
                std::mem::swap(seq, ack);
                *flags = tcp_flags;
            }
            Body::Udp { sport, dport, .. } => std::mem::swap(sport, dport),
            Body::Icmp { kind, .. } => *kind ^= 8,
            Body::Raw { .. } => {}
        }
        answer
    }

    /// An ICMP error from `router` about this packet, quoting at most `quote` bytes of it.
    pub fn error(&self, router: &str, kind: u8, code: u8, mtu: u16, quote: usize) -> Packet {
        let mut data = self.bytes();
        data.truncate(quote);
        let body = Body::Icmp {
            kind,
            code,
            rest: [0, mtu],
            data,
        };
        let mut error = Packet::new(router, "0.0.0.0", body);
        error.dst = self.src;
        error
    }

    /// The packet that an ICMP error quotes, cut off or not. Its transport checksum is not looked at, its
    /// header's is.
    pub fn quoted(&self) -> Packet {
        let Body::Icmp { data, .. } = &self.body else {
            panic!("{self:?} quotes nothing");
        };
        Packet::read(data, Transport::Ignored, true).expect("the quoted packet is whole")
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let at = match &self.body {
            Body::Tcp {
                sport,
                dport,
                flags,
                seq,
                ack,
                data,
            } => {
                bytes.extend(sport.to_be_bytes());
                bytes.extend(dport.to_be_bytes());
                bytes.extend(seq.to_be_bytes());
                bytes.extend(ack.to_be_bytes());
                bytes.extend([0x50, *flags, 0xff, 0xff, 0, 0, 0, 0]);
                bytes.extend(data);
                Some(16)
            }
            Body::Udp {
                sport,
                dport,
                sum,
                data,
            } => {
                bytes.extend(sport.to_be_bytes());
                bytes.extend(dport.to_be_bytes());
                bytes.extend((8 + data.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(data);
                sum.then_some(6)
            }
            Body::Icmp {
                kind,
                code,
                rest,
                data,
            } => {
                bytes.extend([*kind, *code, 0, 0]);
                bytes.extend(rest[0].to_be_bytes());
                bytes.extend(rest[1].to_be_bytes());
                bytes.extend(data);
                Some(2)
            }
            Body::Raw { data, .. } => {
                bytes.extend(data);
                None
            }
        };
        if let Some(at) = at {
            let proto = self.proto();
            let header = match proto {
                ICMP => Vec::new(),
                _ => pseudo(self.src, self.dst, proto, bytes.len()),
            };
            let sum = match checksum(&[&header, &bytes]) {
                0 if proto == UDP => 0xffff,
                sum => sum,
            };
            bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    /// The packet as bytes, from the IP header on.
    pub fn bytes(&self) -> Vec<u8> {
        let transport = self.transport();
        let header = 20 + self.options.len();
        let (offset, more) = self.fragment;
        let bits = (offset / 8) as u16 | (more as u16) << 13 | (self.df as u16) << 14;
        let mut bytes = vec![0x40 | (header / 4) as u8, 0];
        bytes.extend(((header + transport.len()) as u16).to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(bits.to_be_bytes());
        bytes.extend([self.ttl, self.proto(), 0, 0]);
        bytes.extend(self.src.octets());
        bytes.extend(self.dst.octets());
        bytes.extend(&self.options);
        let sum = checksum(&[&bytes]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(transport);
        bytes
    }

    /// Reads a packet and verifies its lengths and checksums.
    pub fn parse(bytes: &[u8], transport: Transport) -> Result<Packet, String> {
        Packet::read(bytes, transport, false)
    }

    fn read(bytes: &[u8], transport: Transport, cut: bool) -> Result<Packet, String> {
        if bytes.len() < 20 || bytes[0] >> 4 != 4 {
            return Err("not an IPv4 packet".into());
        }
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let long =
            |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        let header = (bytes[0] & 0x0f) as usize * 4;
        let total = word(2) as usize;
        if header < 20 || total < header || (bytes.len() < total && !cut) || bytes.len() < header {
            return Err(format!(
                "lengths: {} bytes, header {header}, total {total}",
                bytes.len()
            ));
        }
        if checksum(&[&bytes[..header]]) != 0 {
            return Err("the header's checksum is wrong".into());
        }
        let bits = word(6);
        let (src, dst, proto) = (long(12), long(16), bytes[9]);
        let fragment = ((bits & 0x1fff) as usize * 8, bits & 0x2000 != 0);
        let payload = &bytes[header..total.min(bytes.len())];
        let whole = fragment == (0, false) && payload.len() == total - header;
        let body = Body::parse(src, dst, proto, payload, transport, whole, fragment.0 == 0)?;
        Ok(Packet {
            src,
            dst,
            ttl: bytes[8],
            id: word(4),
            df: bits & 0x4000 != 0,
            fragment,
            options: bytes[20..header].to_vec(),
            body,
        })
    }

    /// Cuts the packet into fragments with at most `size` bytes of payload.
    pub fn fragments(&self, size: usize) -> Vec<Packet> {
        assert_eq!(size % 8, 0);
        let (proto, transport) = (self.proto(), self.transport());
        let last = transport.len().div_ceil(size) - 1;
        transport
            .chunks(size)
            .enumerate()
            .map(|(n, part)| Packet {
                fragment: (n * size, n < last),
                body: Body::Raw {
                    proto,
                    data: part.to_vec(),
                },
                ..self.clone()
            })
            .collect()
    }
}

/// Puts fragments together, which must have everything but their offset in common.
pub fn reassemble(mut parts: Vec<Packet>) -> Packet {
    parts.sort_by_key(|part| part.fragment.0);
    let first = parts[0].clone();
    let mut data = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        assert_eq!(
            (part.src, part.dst, part.id, part.proto()),
            (first.src, first.dst, first.id, first.proto()),
            "fragments of one datagram"
        );
        assert_eq!(part.fragment, (data.len(), n + 1 < parts.len()));
        data.extend(part.raw());
    }
    let transport = Transport::Complete;
    let body = Body::parse(
        first.src,
        first.dst,
        first.proto(),
        &data,
        transport,
        true,
        true,
    );
    Packet {
        fragment: (0, false),
        body: body.expect("the datagram is whole"),
        ..first
    }
}

/// What is known of a transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// It must be right.
    Complete,
    /// It must be the sum of the pseudo-header.
    Partial,
    /// It is not looked at.
    Ignored,
}

impl Packet {
    /// The payload of a fragment.
    fn raw(&self) -> &[u8] {
        match &self.body {
            Body::Raw { data, .. } => data,
            _ => panic!("{self:?} is not a fragment"),
        }
    }
}

impl Body {
    fn parse(
        src: Ipv4Addr,
        dst: Ipv4Addr,
        proto: u8,
        bytes: &[u8],
        transport: Transport,
        whole: bool,
        first: bool,
    ) -> Result<Body, String> {
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let raw = Ok(Body::Raw {
            proto,
            data: bytes.to_vec(),
        });
        let quotation = transport == Transport::Ignored && first;
        if !whole && !quotation {
            return raw;
        }
        let (least, at) = match proto {
            TCP => (20, 16),
            UDP => (8, 6),
            ICMP => (8, 2),
            _ => return raw,
        };
        if bytes.len() < least && !(quotation && bytes.len() >= 8) {
            return Err(format!("{} bytes of protocol {proto}", bytes.len()));
        }
        let header = match proto {
            ICMP => Vec::new(),
            _ => pseudo(src, dst, proto, bytes.len()),
        };
        let no_sum = proto == UDP && word(at) == 0;
        match transport {
            Transport::Complete if !no_sum && checksum(&[&header, bytes]) != 0 => {
                return Err(format!("the checksum of protocol {proto} is wrong"));
            }
            Transport::Partial if word(at) != !checksum(&[&header]) => {
                return Err("the sum of the pseudo-header is wrong".into());
            }
            _ => {}
        }
        let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
        Ok(match proto {
            TCP if bytes.len() < 20 => Body::Tcp {
                sport: word(0),
                dport: word(2),
                flags: 0,
                seq: long(4),
                ack: 0,
                data: Vec::new(),
            },
            TCP => Body::Tcp {
                sport: word(0),
                dport: word(2),
                flags: bytes[13],
                seq: long(4),
                ack: long(8),
                data: bytes
                    .get((bytes[12] >> 4) as usize * 4..)
                    .ok_or("the TCP header is longer than the segment")?
                    .to_vec(),
            },
            UDP if whole && word(4) as usize != bytes.len() => {
                return Err("the UDP length is wrong".into());
            }
            UDP => Body::Udp {
                sport: word(0),
                dport: word(2),
                sum: !no_sum,
                data: bytes[8..].to_vec(),
            },
            _ => Body::Icmp {
                kind: bytes[0],
                code: bytes[1],
                rest: [word(4), word(6)],
                data: bytes[8..].to_vec(),
            },
        })
    }
}
