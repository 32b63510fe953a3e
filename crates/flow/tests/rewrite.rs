//! The header rewrite against a slow and obvious one, which takes the packet apart, changes the fields and
//! works every checksum out from scratch.

use flow::header::{self, Checksum, ETH, L4, TCP_PREFIX, TooShort, rewrite};
use flow::{Action, Key, checksum, flags, proto};
use proptest::prelude::*;

/// An IPv4 packet, taken apart. Numbers as people say them.
#[derive(Clone, Debug)]
struct Packet {
    options: Vec<u8>,
    tos: u8,
    id: u16,
    ttl: u8,
    src: u32,
    dst: u32,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Tcp {
        ports: (u16, u16),
        middle: [u8; 12],
        urgent: u16,
        payload: Vec<u8>,
    },
    Udp {
        ports: (u16, u16),
        payload: Vec<u8>,
        no_checksum: bool,
    },
    Echo {
        kind: u8,
        id: u16,
        seq: u16,
        payload: Vec<u8>,
    },
    Other {
        proto: u8,
        payload: Vec<u8>,
    },
}

/// RFC 1071, the words added one by one.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut total = 0u32;
    for part in parts {
        for word in part.chunks(2) {
            total += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
            total = (total & 0xffff) + (total >> 16);
        }
    }
    total as u16
}

impl Packet {
    fn proto(&self) -> u8 {
        match self.body {
            Body::Tcp { .. } => proto::TCP,
            Body::Udp { .. } => proto::UDP,
            Body::Echo { .. } => proto::ICMP,
            Body::Other { proto, .. } => proto,
        }
    }

    fn pseudo(&self, len: usize) -> Vec<u8> {
        let mut pseudo = Vec::new();
        pseudo.extend(self.src.to_be_bytes());
        pseudo.extend(self.dst.to_be_bytes());
        pseudo.extend([0, self.proto()]);
        pseudo.extend((len as u16).to_be_bytes());
        pseudo
    }

    /// The transport header and what follows.
    fn transport(&self, checksum: Checksum) -> Vec<u8> {
        let mut bytes = Vec::new();
        let at = match &self.body {
            Body::Tcp {
                ports,
                middle,
                urgent,
                payload,
            } => {
                bytes.extend(ports.0.to_be_bytes());
                bytes.extend(ports.1.to_be_bytes());
                bytes.extend(middle);
                bytes.extend([0, 0]);
                bytes.extend(urgent.to_be_bytes());
                bytes.extend(payload);
                16
            }
            Body::Udp { ports, payload, .. } => {
                bytes.extend(ports.0.to_be_bytes());
                bytes.extend(ports.1.to_be_bytes());
                bytes.extend((8 + payload.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(payload);
                6
            }
            Body::Echo {
                kind,
                id,
                seq,
                payload,
            } => {
                bytes.extend([*kind, 0, 0, 0]);
                bytes.extend(id.to_be_bytes());
                bytes.extend(seq.to_be_bytes());
                bytes.extend(payload);
                2
            }
            Body::Other { payload, .. } => return payload.clone(),
        };
        let pseudo = match self.body {
            Body::Echo { .. } => Vec::new(),
            _ => self.pseudo(bytes.len()),
        };
        let field = match (checksum, &self.body) {
            (
                _,
                Body::Udp {
                    no_checksum: true, ..
                },
            ) => 0,
            (Checksum::Partial, Body::Tcp { .. } | Body::Udp { .. }) => sum(&[&pseudo]),
            (_, Body::Udp { .. }) => match !sum(&[&pseudo, &bytes]) {
                0 => 0xffff,
                field => field,
            },
            _ => !sum(&[&pseudo, &bytes]),
        };
        bytes[at..at + 2].copy_from_slice(&field.to_be_bytes());
        bytes
    }

    /// The frame with bytes `from..to` of the transport part, as a fragment if that is not all.
    fn frame(&self, checksum: Checksum, from: usize, to: usize) -> Vec<u8> {
        let transport = self.transport(checksum);
        let to = to.min(transport.len());
        let part = &transport[from..to];
        let more = if to < transport.len() { 0x2000 } else { 0 };
        let header = 20 + self.options.len();

        let mut ip = vec![0x40 | (header / 4) as u8, self.tos];
        ip.extend(((header + part.len()) as u16).to_be_bytes());
        ip.extend(self.id.to_be_bytes());
        ip.extend((more | (from / 8) as u16).to_be_bytes());
        ip.extend([self.ttl, self.proto(), 0, 0]);
        ip.extend(self.src.to_be_bytes());
        ip.extend(self.dst.to_be_bytes());
        ip.extend(&self.options);
        let field = !sum(&[&ip]);
        ip[10..12].copy_from_slice(&field.to_be_bytes());

        let mut frame = vec![0xee; ETH];
        frame.extend(ip);
        frame.extend(part);
        frame
    }

    fn ports(&self) -> (u16, u16) {
        match &self.body {
            Body::Tcp { ports, .. } | Body::Udp { ports, .. } => *ports,
            Body::Echo { kind, id, .. } => (*id, u16::from(*kind) << 8),
            Body::Other { .. } => (0, 0),
        }
    }

    fn key(&self) -> Key {
        let (sport, dport) = self.ports();
        Key {
            src: self.src.to_be(),
            dst: self.dst.to_be(),
            sport: sport.to_be(),
            dport: dport.to_be(),
            zone: 1,
            proto: self.proto(),
        }
    }

    /// The translated packet, the obvious way.
    fn translated(&self, new: &New) -> Packet {
        let mut packet = self.clone();
        packet.src = new.src;
        packet.dst = new.dst;
        match &mut packet.body {
            Body::Tcp { ports, .. } | Body::Udp { ports, .. } => *ports = new.ports,
            Body::Echo { id, .. } => *id = new.ports.0,
            Body::Other { .. } => {}
        }
        if new.routed {
            packet.ttl -= 1;
        }
        packet
    }

    fn action(&self, new: &New) -> Action {
        let key = Key {
            src: new.src.to_be(),
            dst: new.dst.to_be(),
            sport: new.ports.0.to_be(),
            dport: new.ports.1.to_be(),
            ..self.key()
        };
        let flags = if new.routed { flags::ROUTED } else { 0 };
        Action::new(&self.key(), &key, 9, flags)
    }
}

/// What a packet is translated to.
#[derive(Clone, Debug)]
struct New {
    src: u32,
    dst: u32,
    ports: (u16, u16),
    routed: bool,
}

/// Mostly any number, sometimes one where carries and zeroes meet.
fn word() -> impl Strategy<Value = u16> {
    prop_oneof![4 => any::<u16>(), 1 => prop_oneof![Just(0u16), Just(1), Just(0xfffe), Just(0xffff)]]
}

fn address() -> impl Strategy<Value = u32> {
    (word(), word()).prop_map(|(high, low)| u32::from(high) << 16 | u32::from(low))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        proptest::collection::vec(prop_oneof![Just(0u8), Just(0xff)], 0..40),
    ]
}

/// Of an echo, `seq` is odd, since the sum of a message of zeroes only has two representations.
fn body() -> impl Strategy<Value = Body> {
    let ports = || (word(), word());
    prop_oneof![
        (ports(), any::<[u8; 12]>(), word(), payload()).prop_map(
            |(ports, middle, urgent, payload)| Body::Tcp {
                ports,
                middle,
                urgent,
                payload
            }
        ),
        (ports(), payload(), any::<bool>()).prop_map(|(ports, payload, no_checksum)| Body::Udp {
            ports,
            payload,
            no_checksum
        }),
        (any::<bool>(), word(), word(), payload()).prop_map(|(request, id, seq, payload)| {
            Body::Echo {
                kind: if request { 8 } else { 0 },
                id,
                seq: seq | 1,
                payload,
            }
        }),
        (any::<u8>(), payload())
            .prop_filter("a protocol without ports", |(proto, _)| ![1, 6, 17]
                .contains(proto))
            .prop_map(|(proto, payload)| Body::Other { proto, payload }),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    let options =
        (0usize..=10).prop_flat_map(|words| proptest::collection::vec(any::<u8>(), words * 4));
    let fields = (any::<u8>(), any::<u16>(), 1u8.., address(), address());
    (options, fields, body()).prop_map(|(options, (tos, id, ttl, src, dst), body)| Packet {
        options,
        tos,
        id,
        ttl,
        src,
        dst,
        body,
    })
}

/// A translation: every part is changed or left alone.
fn translation() -> impl Strategy<Value = (Packet, New)> {
    let change = (
        any::<[bool; 4]>(),
        address(),
        address(),
        (word(), word()),
        any::<bool>(),
    );
    (packet(), change).prop_map(|(packet, ([a, b, c, d], src, dst, ports, routed))| {
        let old = packet.ports();
        let new = New {
            src: if a { src } else { packet.src },
            dst: if b { dst } else { packet.dst },
            ports: (
                if c { ports.0 } else { old.0 },
                if d { ports.1 } else { old.1 },
            ),
            routed,
        };
        (packet, new)
    })
}

fn apply(mut frame: Vec<u8>, action: &Action, checksum: Checksum) -> Vec<u8> {
    rewrite(&mut frame, action, checksum).expect("the packet is whole");
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whole_packets((packet, new) in translation()) {
        let frame = packet.frame(Checksum::Complete, 0, usize::MAX);
        let expected = packet.translated(&new).frame(Checksum::Complete, 0, usize::MAX);
        prop_assert_eq!(apply(frame, &packet.action(&new), Checksum::Complete), expected);
    }

    /// A fragment's checksum covers the whole datagram, in the first fragment and nowhere else.
    #[test]
    fn fragments((packet, new) in translation(), cut: usize) {
        let whole = packet.transport(Checksum::Complete).len();
        if whole <= 24 {
            return Ok(());
        }
        // A multiple of 8, behind the header.
        let cut = 24 + cut % (whole - 24) / 8 * 8;
        let (action, translated) = (packet.action(&new), packet.translated(&new));
        for (from, to) in [(0, cut), (cut, whole)] {
            let frame = packet.frame(Checksum::Complete, from, to);
            let mut expected = translated.frame(Checksum::Complete, from, to);
            if from > 0 {
                // What looks like a transport header there is payload.
                let ip = ETH + 20 + packet.options.len();
                expected[ip..].copy_from_slice(&frame[ip..]);
            }
            prop_assert_eq!(apply(frame, &action, Checksum::Complete), expected);
        }
    }

    #[test]
    fn partial_checksums((packet, new) in translation()) {
        if matches!(packet.body, Body::Udp { no_checksum: true, .. }) {
            return Ok(());
        }
        let frame = packet.frame(Checksum::Partial, 0, usize::MAX);
        let expected = packet.translated(&new).frame(Checksum::Partial, 0, usize::MAX);
        let checksum = match packet.body {
            // Nobody leaves these to hardware.
            Body::Echo { .. } | Body::Other { .. } => Checksum::Complete,
            _ => Checksum::Partial,
        };
        prop_assert_eq!(apply(frame, &packet.action(&new), checksum), expected);
    }

    /// What the sum over the whole packet changes by, which a card may have told the kernel.
    #[test]
    fn the_sum_of_the_whole((packet, new) in translation()) {
        if !packet.options.is_empty() {
            return Ok(());
        }
        let (proto, action) = (packet.proto(), packet.action(&new));
        let mut frame = packet.frame(Checksum::Complete, 0, usize::MAX);
        frame.resize(frame.len().max(TCP_PREFIX), 0);
        let before = checksum::sum(&frame[ETH..], 0);
        let eth = frame.as_mut_ptr();
        // SAFETY: the frame has TCP_PREFIX bytes.
        let change = unsafe {
            header::rewrite_l3(eth, &action);
            header::rewrite_ports(eth, L4, proto, &action);
            header::update_checksum(eth, L4, proto, &action)
        };
        let after = checksum::sum(&frame[ETH..], 0);
        prop_assert_eq!(after % 0xffff, (before + u32::from(change)) % 0xffff);
    }

    /// There and back is the identity but for the time to live.
    #[test]
    fn back_again((packet, mut new) in translation()) {
        new.routed = false;
        let frame = packet.frame(Checksum::Complete, 0, usize::MAX);
        let there = apply(frame.clone(), &packet.action(&new), Checksum::Complete);
        let old = New {
            src: packet.src,
            dst: packet.dst,
            ports: packet.ports(),
            routed: false,
        };
        let back = packet.translated(&new).action(&old);
        prop_assert_eq!(apply(there, &back, Checksum::Complete), frame);
    }

    /// A wrong checksum stays wrong: a packet that was damaged on its way is not made good.
    #[test]
    fn damage_stays_visible((packet, new) in translation(), bit in 0usize..8) {
        let Body::Tcp { .. } = packet.body else { return Ok(()) };
        let mut frame = packet.frame(Checksum::Complete, 0, usize::MAX);
        let at = frame.len() - 1;
        frame[at] ^= 1 << bit;
        let good = packet.translated(&new).frame(Checksum::Complete, 0, usize::MAX);
        let mut expected = good;
        expected[at] ^= 1 << bit;
        prop_assert_eq!(apply(frame, &packet.action(&new), Checksum::Complete), expected);
    }

    #[test]
    fn any_bytes_do_no_harm(
        mut frame in proptest::collection::vec(any::<u8>(), 0..120),
        src: u32, dst: u32, sport: u16, dport: u16, partial: bool, proto in 0u8..20
    ) {
        if let Some(byte) = frame.get_mut(23) {
            *byte = proto;
        }
        let key = Key { src, dst, sport, dport, zone: 0, proto };
        let action = Action::new(&Key::default(), &key, 0, flags::ROUTED);
        let checksum = if partial { Checksum::Partial } else { Checksum::Complete };
        let before = frame.clone();
        match rewrite(&mut frame, &action, checksum) {
            Ok(()) => prop_assert_eq!(&frame[26..30], &src.to_ne_bytes()),
            Err(TooShort) => prop_assert_eq!(frame, before),
        }
    }
}
