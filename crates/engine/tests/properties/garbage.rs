//! Frames that are not what they should be: nothing panics, nothing is lost or counted twice, and after
//! all sessions have ended nothing is left.

use crate::cases;
use crate::common::*;
use crate::genes::{self, GENES};
use engine::Offload;
use flow::header::Checksum;
use proptest::prelude::*;

/// Something that happens.
#[derive(Clone, Debug)]
enum Op {
    /// A frame that begins as a right one.
    Frame {
        port: usize,
        dst: usize,
        kind: u8,
        /// Bytes that are put in, most of them in the headers.
        changes: Vec<(u8, u8)>,
        /// What is cut off or added at the end.
        length: i8,
        /// Whether the IP header's checksum is made right again.
        mend: bool,
        offload: Option<(bool, u16)>,
        /// Whether the kernel looks at it first.
        kernel: bool,
    },
    /// Any bytes.
    Noise(usize, Vec<u8>),
    /// An answer to something that came out, with changes.
    Answer(usize, Vec<(u8, u8)>),
    Wait(u8),
    Apply(Vec<(usize, u8)>),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let changes = || proptest::collection::vec((14u8..70, any::<u8>()), 0..4);
    let offload =
        proptest::option::weighted(0.3, (any::<bool>(), prop_oneof![0u16..3000, Just(0u16)]));
    let frame = (
        any::<usize>(),
        any::<usize>(),
        any::<u8>(),
        changes(),
        -60i8..60,
        prop::bool::weighted(0.9),
        offload,
        any::<bool>(),
    );
    let frame = frame.prop_map(
        |(port, dst, kind, changes, length, mend, offload, kernel)| Op::Frame {
            port,
            dst,
            kind,
            changes,
            length,
            mend,
            offload,
            kernel,
        },
    );
    prop_oneof![
        50 => frame,
        3 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 0..100)).prop_map(|(port, bytes)| Op::Noise(port, bytes)),
        20 => (any::<usize>(), changes()).prop_map(|(n, changes)| Op::Answer(n, changes)),
        5 => (0..100u8).prop_map(Op::Wait),
        3 => proptest::collection::vec((0..GENES, any::<u8>()), 1..6).prop_map(Op::Apply),
        2 => Just(Op::Restart),
    ]
}

/// A right frame of some kind: the engine's world is wide.
fn frame(world: &World, port: usize, dst: usize, kind: u8) -> (u32, Vec<u8>) {
    let links = &world.links;
    let link = &links[port % links.len()];
    let (src, to) = match name(&link.port) {
        "wan" => (
            "198.51.100.7".to_owned(),
            &world.config.eips[dst % world.config.eips.len()].address,
        ),
        id => {
            let eni = world.config.enis.iter().find(|e| e.id == id).unwrap();
            let enis = &world.config.enis;
            let other = match dst % 3 {
                0 => &enis[dst / 3 % enis.len()].address,
                _ => &world.config.eips[dst / 3 % world.config.eips.len()].address,
            };
            (eni.address.to_string(), other)
        }
    };
    let to = match dst % 5 {
        0 => "198.51.100.8".to_owned(),
        _ => to.to_string(),
    };
    let (from, to) = ((src.as_str(), 5000), (to.as_str(), 80));
    let udp = || Packet::udp(from, to);
    let error = Packet::udp(to, from).error(to.0, 3, kind / 16 % 5, 1000, 64);
    let packet = match kind % 12 {
        0 | 1 => udp(),
        2 | 3 => Packet::tcp(from, to, SYN),
        4 => Packet::tcp(from, to, kind / 12),
        5 => Packet::ping(from.0, to.0, 7),
        6 => udp().len(90).fragments(48)[usize::from(kind / 12) % 3]
            .clone()
            .id(kind.into()),
        7 => error,
        8 => udp().options(&[7, 7, 4, 0, 0, 0, 0, 0]),
        9 => Packet::other(kind, from.0, to.0),
        10 => udp().len(1400).ttl(kind / 12),
        _ => {
            let target = ip(if kind > 128 { to.0 } else { "10.0.1.253" });
            return (
                link.ifindex,
                world.arp_frame(link, ip(from.0), kind & 32 == 0, target),
            );
        }
    };
    (
        link.ifindex,
        world.frame(link, packet.src, &packet, Offload::NONE),
    )
}

fn change(frame: &mut [u8], changes: &[(u8, u8)], mend: bool) {
    for &(at, value) in changes {
        if let Some(byte) = frame.get_mut(usize::from(at)) {
            *byte = value;
        }
    }
    let header = frame.get(14).map_or(0, |byte| (byte & 0x0f) as usize * 4);
    if mend && header >= 20 && frame.len() >= 14 + header && frame[12..14] == [8, 0] {
        frame[24..26].fill(0);
        let sum = checksum(&[&frame[14..14 + header]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
}

fn run(world: &mut World, genes: &mut [u8], seen: &mut Vec<Seen>, op: &Op) {
    let came = match op {
        Op::Frame {
            port,
            dst,
            kind,
            changes,
            length,
            mend,
            offload,
            kernel,
        } => {
            let (ifindex, mut frame) = frame(world, *port, *dst, *kind);
            if *length < -20 || *length > 40 {
                frame.resize(frame.len().saturating_add_signed((*length).into()), 0);
            }
            change(&mut frame, changes, *mend);
            let offload = offload.map_or(Offload::NONE, |(partial, gso_size)| Offload {
                checksum: if partial {
                    Checksum::Partial
                } else {
                    Checksum::Complete
                },
                gso_size,
            });
            match kernel {
                true => world.inject(ifindex, frame, offload),
                false => world.punt(ifindex, frame, offload),
            }
        }
        Op::Noise(port, bytes) => {
            let ifindex = world.links[port % world.links.len()].ifindex;
            world.punt(ifindex, bytes.clone(), Offload::NONE)
        }
        Op::Answer(n, changes) if !seen.is_empty() => {
            let seen = seen[n % seen.len()].clone();
            let link = world.link(&seen.at).clone();
            let answer = seen.packet.answer(ACK);
            let mut frame = world.frame(&link, answer.src, &answer, Offload::NONE);
            change(&mut frame, changes, true);
            world.inject(link.ifindex, frame, Offload::NONE)
        }
        Op::Answer(..) => Vec::new(),
        Op::Wait(seconds) => {
            world.seconds((*seconds).into());
            Vec::new()
        }
        Op::Apply(changes) => {
            for &(at, value) in changes {
                genes[at] = value;
            }
            world.apply_config(genes::config(genes));
            Vec::new()
        }
        Op::Restart => {
            world.restart();
            Vec::new()
        }
    };
    seen.extend(came);
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn garbage_does_no_harm(
        genes in crate::genes(),
        ops in proptest::collection::vec(op(), 1..150)
    ) {
        let mut genes = genes;
        // Few slots: some sessions find no room in the flow table.
        let mut world = World::of(genes::config(&genes), 64);
        world.clean = false;
        let mut seen = Vec::new();
        for op in &ops {
            run(&mut world, &mut genes, &mut seen, op);
        }
        world.seconds(1000);
        prop_assert_eq!(world.sessions(), vec![]);
        prop_assert_eq!(world.flows(), vec![]);
        for eip in world.stats().eips {
            prop_assert_eq!((eip.ports_used, eip.sessions), ([0, 0, 0], 0));
        }
        world.engine.check();
    }
}
