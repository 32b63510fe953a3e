//! The programs on random packets, against what a slow and obvious reading of the rules says.

use super::rig::{LOOPBACK, MAC, Outcome, Rig, Verdict, ZONE};
use datapath::maps::Sizes;
use datapath::programs::Hook;
use flow::abi::{Punt, PuntHeader, Station, hop, port};
use flow::header::{Checksum, rewrite};
use flow::meter::{BURST, Meter};
use flow::reason::Reason;
use flow::{Action, Activity, Key, flags, seen};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;

const STATION: [u8; 6] = [0x02, 0x51, 0x1c, 0, 0, 2];
const HOP: u16 = 300;
const METER: u16 = 65_535;
const PARENT: u16 = 300;
/// A bit a millisecond: slow enough to tell every byte from the time that passes.
const RATE: u64 = 1000;
const MILLISECOND: u64 = 1_000_000;

/// The meter that a flow takes from, or that one's parent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Metered {
    Not,
    WithoutLimit,
    Full,
    Empty,
}

/// A packet and all that decides what becomes of it.
#[derive(Clone, Debug)]
struct Case {
    frame: Vec<u8>,
    gso: (u16, u16),
    /// Whether the interface is a port of ours.
    ours: bool,
    port: u16,
    /// Whether the destination is an EIP.
    eip: bool,
    /// Whether the table has the packet's flow; the translation, and what was seen of it before.
    known: bool,
    new: Key,
    routed: bool,
    seen: u8,
    hop: Option<(u16, u16)>,
    metered: Metered,
    parent: Metered,
}

impl Case {
    /// Meter and parent, as far as the flow has them.
    fn meters(&self) -> [Metered; 2] {
        match self.metered {
            Metered::Not => [Metered::Not; 2],
            metered => [metered, self.parent],
        }
    }
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let often = |value: u8, rest: BoxedStrategy<u8>| prop_oneof![9 => Just(value), 1 => rest];
    let any_byte = || any::<u8>().boxed();
    let mac = prop_oneof![
        12 => Just(MAC),
        1 => Just([0xff; 6]),
        1 => Just([MAC[0], MAC[1], MAC[2], MAC[3], MAC[4], 9]),
        1 => any::<[u8; 6]>(),
    ];
    let kind = prop_oneof![
        12 => Just(0x0800u16),
        2 => Just(0x0806),
        1 => Just(0x86dd),
        1 => Just(0x8100),
        1 => any::<u16>(),
    ];
    let fragment = prop_oneof![
        9 => prop_oneof![Just(0u16), Just(0x4000)],
        1 => any::<u16>(),
    ];
    let ttl = prop_oneof![1 => 0u8..3, 3 => any::<u8>()];
    let proto = prop_oneof![
        4 => Just(6u8),
        3 => Just(17u8),
        3 => Just(1u8),
        1 => Just(47u8),
        1 => any::<u8>(),
    ];
    let transport = (
        prop_oneof![2 => Just([8u8, 0]), 2 => Just([0, 0]), 3 => any::<[u8; 2]>()],
        prop_oneof![3 => Just(0x10u8), 1 => any::<u8>()],
        prop_oneof![Just([0u8, 0]), Just([0xff, 0xff]), any::<[u8; 2]>()],
    );
    let len = prop_oneof![
        6 => 60usize..200,
        2 => 15usize..60,
        2 => 200usize..3000,
    ];
    let headers = (
        mac,
        kind,
        often(0x45, any_byte()),
        fragment,
        ttl,
        proto,
        transport,
    );
    (any::<[u8; 96]>(), headers, len).prop_map(
        |(random, (mac, kind, version, fragment, ttl, proto, transport), len)| {
            let ([kind_0, kind_1], tcp_flags, checksum) = transport;
            let mut frame: Vec<u8> = random.iter().copied().cycle().take(len.max(96)).collect();
            frame[..6].copy_from_slice(&mac);
            frame[12..14].copy_from_slice(&kind.to_be_bytes());
            frame[14] = version;
            frame[20..22].copy_from_slice(&fragment.to_be_bytes());
            frame[22] = ttl;
            frame[23] = proto;
            match proto {
                1 => frame[34..36].copy_from_slice(&[kind_0, kind_1]),
                6 => {
                    frame[46] |= 5 << 4;
                    frame[47] = tcp_flags;
                    frame[50..52].copy_from_slice(&checksum);
                }
                17 => frame[40..42].copy_from_slice(&checksum),
                _ => {}
            }
            frame.truncate(len);
            frame
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let new = (
        any::<u32>(),
        any::<u32>(),
        any::<u16>(),
        any::<u16>(),
        any::<[bool; 3]>(),
    );
    let port = prop_oneof![
        2 => Just(0),
        2 => Just(port::UPLINK),
        2 => Just(port::UPLINK | port::SHARED),
    ];
    let hop = prop_oneof![
        1 => Just(None),
        4 => Just(Some((1500, 0))),
        2 => Just(Some((1500, hop::PEER))),
        1 => Just(Some((100, 0))),
        1 => Just(Some((0, 0))),
    ];
    let gso = prop_oneof![
        3 => Just((0, 0)),
        1 => (1u16..1500, 2u16..40),
        1 => (1u16..1500, Just(0)),
    ];
    let metered = || {
        prop_oneof![
            4 => Just(Metered::Not),
            1 => Just(Metered::WithoutLimit),
            3 => Just(Metered::Full),
            3 => Just(Metered::Empty),
        ]
    };
    let often = || prop_oneof![4 => Just(true), 1 => Just(false)];
    (
        frame(),
        (gso, often(), port),
        (any::<bool>(), often(), any::<bool>()),
        new,
        0u8..64,
        (hop, metered(), metered()),
    )
        .prop_map(
            |(
                frame,
                (gso, ours, port),
                (eip, known, routed),
                new,
                seen,
                (hop, metered, parent),
            )| {
                let (src, dst, sport, dport, [keep_src, keep_dst, keep_ports]) = new;
                let old = key(&frame).unwrap_or_default();
                let new = Key {
                    src: if keep_src { old.src } else { src },
                    dst: if keep_dst { old.dst } else { dst },
                    sport: if keep_ports { old.sport } else { sport },
                    dport: if keep_ports { old.dport } else { dport },
                    ..old
                };
                Case {
                    frame,
                    gso,
                    ours,
                    port,
                    eip,
                    known,
                    new,
                    routed,
                    seen,
                    hop,
                    metered,
                    parent,
                }
            },
        )
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([frame[at], frame[at + 1]])
}

fn long(frame: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

/// The flow's key, as the documentation of [`Key`] says; why there is none for an IPv4 packet.
fn key(frame: &[u8]) -> Result<Key, Punt> {
    if frame.len() < 42 || frame[14] != 0x45 {
        return Err(Punt::Header);
    }
    let fragment = u16::from_be_bytes([frame[20], frame[21]]);
    if fragment & 0x3fff != 0 {
        return Err(Punt::Fragment);
    }
    let (sport, dport) = match frame[23] {
        6 | 17 => (word(frame, 34), word(frame, 36)),
        1 if [[8, 0], [0, 0]].contains(&[frame[34], frame[35]]) => {
            (word(frame, 38), word(frame, 34))
        }
        1 => return Err(Punt::Icmp),
        _ => (0, 0),
    };
    Ok(Key {
        src: long(frame, 26),
        dst: long(frame, 30),
        sport,
        dport,
        zone: ZONE,
        proto: frame[23],
    })
}

/// What should become of the packet, and what the entry should say afterwards.
enum Expected {
    Pass,
    Drop(Reason),
    Punt(Punt),
    PuntAndPass(Punt),
    /// The meter refuses it, or its parent, as which of these: so many packets and bytes.
    Refused(usize, u64, u64),
    /// The last number is what a meter is to be charged with.
    Sent {
        seen: u8,
        packets: u64,
        bytes: u64,
    },
}

fn expected(case: &Case, gso: (u16, u16)) -> Expected {
    let frame = &case.frame[..];
    let len = frame.len();
    let foreign = |reason| match case.port & port::SHARED {
        0 => Expected::Drop(reason),
        _ => Expected::Pass,
    };
    if !case.ours {
        return Expected::Pass;
    }
    match [frame[12], frame[13]] {
        [8, 0] => {}
        [8, 6] if len < 42 => return foreign(Reason::Malformed),
        [8, 6] if case.port & port::SHARED != 0 => return Expected::PuntAndPass(Punt::Arp),
        [8, 6] => return Expected::Punt(Punt::Arp),
        _ => return foreign(Reason::NotIpv4),
    }
    if frame[..6] != MAC {
        return foreign(Reason::NotForUs);
    }
    if len < 34 {
        return foreign(Reason::Malformed);
    }
    let key = match key(frame) {
        Ok(key) if case.known => key,
        other => {
            let reason = other.err().unwrap_or(Punt::Miss);
            return match case.port & port::UPLINK != 0 && !case.eip {
                true => foreign(Reason::NotOurAddress),
                false => Expected::Punt(reason),
            };
        }
    };
    let mut after = case.seen;
    let mut headers = 28;
    if key.proto == 6 {
        if len < 54 {
            return Expected::Drop(Reason::Malformed);
        }
        let (fin, syn, rst, ack) = {
            let bit = |n: u8| frame[47] & (1 << n) != 0;
            (bit(0), bit(1), bit(2), bit(4))
        };
        if syn && !ack && !rst {
            return Expected::Punt(Punt::Syn);
        }
        after |= match (rst, syn, fin) {
            (true, ..) => seen::RST,
            (_, true, _) => seen::SYN_ACK,
            (_, _, true) => seen::FIN | seen::DATA,
            _ => seen::DATA,
        };
        if !rst && case.seen & seen::RST != 0 {
            after |= seen::AFTER_RST;
        }
        headers = 20 + usize::from(frame[46] >> 4) * 4;
    }
    if case.routed && frame[22] <= 1 {
        return Expected::Punt(Punt::Ttl);
    }
    let Some((mtu, _)) = case.hop else {
        return Expected::Drop(Reason::HopGone);
    };
    let mut packets = 1;
    if len - 14 > usize::from(mtu) {
        if gso.0 == 0 || usize::from(gso.0) + headers > usize::from(mtu) {
            return Expected::Punt(Punt::Mtu);
        }
        packets = match gso.1 {
            0 => (len - 14 - headers).div_ceil(gso.0.into()) as u64,
            segments => segments.into(),
        };
    }
    let bytes = len as u64 - 14 + (packets - 1) * headers as u64;
    let meters = case.meters();
    if let Some(which) = meters.iter().position(|it| *it == Metered::Empty) {
        return Expected::Refused(which, packets, bytes);
    }
    Expected::Sent {
        seen: after,
        packets,
        bytes,
    }
}

fn counts(names: &[String]) -> BTreeMap<String, u64> {
    names.iter().map(|name| (name.clone(), 1)).collect()
}

fn check(rig: &mut Rig, hook: Hook, case: &Case) -> Result<(), TestCaseError> {
    let gso = if hook == Hook::Tc { case.gso } else { (0, 0) };
    let least = match [case.frame[12], case.frame[13]] {
        [8, 0] => 34,
        [0x86, 0xdd] => 54,
        _ => 0,
    };
    if hook == Hook::Tc && case.frame.len() < least {
        // The kernel's test facility takes no such frame; XDP's does.
        return Ok(());
    }
    rig.port(case.port);
    if !case.ours {
        rig.maps.port(LOOPBACK).ifindex.store(0, Relaxed);
    }
    let destination = case
        .frame
        .get(30..34)
        .map(|b| Ipv4Addr::new(b[0], b[1], b[2], b[3]));
    let eips: BTreeSet<Ipv4Addr> = destination.filter(|_| case.eip).into_iter().collect();
    rig.maps.set_eips(&eips).unwrap();
    let place = &rig.maps.hops()[usize::from(HOP)];
    place.clear();
    if let Some((mtu, flags)) = case.hop {
        place.set(&Station {
            ifindex: LOOPBACK,
            mtu,
            flags,
            dst_mac: STATION,
            src_mac: MAC,
            addr: 0,
            zone: ZONE,
        });
    }
    let start = Activity {
        seen: case.seen,
        last_seen: 0,
        packets: 10,
        bytes: 1000,
    };
    let old = key(&case.frame).ok();
    let routed = if case.routed { flags::ROUTED } else { 0 };
    let mut action = Action::new(&old.unwrap_or_default(), &case.new, HOP, routed);
    let meters = [METER, PARENT].map(|ix| &rig.maps.meters()[usize::from(ix)]);
    meters.iter().for_each(|meter| meter.clear());
    if case.metered != Metered::Not {
        action.meter = METER;
    }
    if case.parent != Metered::Not {
        meters[0].parent.store(PARENT.into(), Relaxed);
    }
    let before = now();
    for (meter, metered) in meters.into_iter().zip(case.meters()) {
        if matches!(metered, Metered::Full | Metered::Empty) {
            meter.set_rate(RATE);
        }
        if metered == Metered::Empty {
            meter.take(before, 1, 1 << 20);
        }
    }
    let slot = old
        .filter(|_| case.known)
        .map(|key| rig.table.insert(&key, &action, &start, 0).unwrap());

    let outcome = rig.run(hook, &case.frame, gso);

    let after = now();
    let refused = meters.map(|meter| {
        [&meter.refused_packets, &meter.refused_bytes].map(|number| number.load(Relaxed))
    });
    // A full bucket from which so many bytes were taken; the kernel's clock goes in steps.
    let has_given = |meter: &Meter, bytes: u64| {
        let earliest = before - 20 * MILLISECOND - BURST;
        let time = bytes * 8 * MILLISECOND;
        prop_assert!(
            bytes == 0 || !meter.take(earliest + time, 0, 0),
            "less than {} bytes",
            bytes
        );
        prop_assert!(
            meter.take(after - BURST + time, 0, 0),
            "more than {} bytes",
            bytes
        );
        Ok(())
    };
    let just_now = |activity: &Activity| {
        // Never in the future, and in the past by some of the kernel's ticks, or more if a processor was taken away.
        let earliest = (before - 100 * MILLISECOND) >> 20;
        let seen = u64::from(activity.last_seen);
        prop_assert!(
            (earliest..=after >> 20).contains(&seen),
            "seen at {} from {} to {}",
            seen,
            earliest,
            after >> 20
        );
        Ok(())
    };
    let activity = slot.map(|slot| rig.table.entry(slot).activity());
    if let Some(slot) = slot {
        rig.table.retire(slot);
        rig.table.release(slot);
    }
    let mut untouched = Outcome {
        verdict: Verdict::Drop,
        frame: case.frame.clone(),
        punts: Vec::new(),
        counted: BTreeMap::new(),
    };
    let punted = |reason: Punt| {
        let header = PuntHeader {
            len: case.frame.len() as u32,
            ifindex: LOOPBACK,
            gso_size: gso.0,
            gso_segs: gso.1,
            reason: reason as u8,
            spare: [0; 3],
        };
        vec![(header, case.frame.clone())]
    };
    match expected(case, gso) {
        Expected::Pass => {
            untouched.verdict = Verdict::Pass;
            untouched.counted = counts(&["pass".into()]);
        }
        Expected::Drop(reason) => {
            untouched.counted = counts(&[format!("drop_{}", reason.name())]);
        }
        Expected::Punt(reason) => {
            untouched.punts = punted(reason);
            untouched.counted = counts(&[format!("punt_{}", reason.name())]);
        }
        Expected::PuntAndPass(reason) => {
            untouched.verdict = Verdict::Pass;
            untouched.punts = punted(reason);
            untouched.counted = counts(&[format!("punt_{}", reason.name()), "pass".into()]);
        }
        Expected::Refused(which, packets, bytes) => {
            untouched.counted = counts(&["drop_rate_limit".into()]);
            prop_assert_eq!(outcome, untouched);
            prop_assert_eq!(refused[which], [packets, bytes]);
            prop_assert_eq!(refused[1 - which], [0; 2]);
            // What one refuses is taken from neither.
            for (meter, metered) in meters.into_iter().zip(case.meters()) {
                if metered == Metered::Full {
                    has_given(meter, 0)?;
                }
            }
            // The session is in use all the same.
            let activity = activity.expect("only a known flow has a meter");
            just_now(&activity)?;
            prop_assert_eq!(
                activity,
                Activity {
                    last_seen: activity.last_seen,
                    ..start
                }
            );
            return Ok(());
        }
        Expected::Sent {
            seen,
            packets,
            bytes,
        } => {
            untouched.verdict = Verdict::Redirect;
            let frame = &mut untouched.frame;
            frame[..6].copy_from_slice(&STATION);
            frame[6..12].copy_from_slice(&MAC);
            rewrite(frame, &action, Checksum::Complete).unwrap();
            untouched.counted = counts(&["hit".into()]);
            let activity = activity.expect("only a known flow is sent on");
            prop_assert_eq!(activity.seen, seen);
            prop_assert_eq!(activity.packets, 10 + packets);
            prop_assert_eq!(activity.bytes, 1000 + case.frame.len() as u64);
            just_now(&activity)?;
            prop_assert_eq!(outcome, untouched);
            prop_assert_eq!(refused, [[0; 2]; 2]);
            for (meter, metered) in meters.into_iter().zip(case.meters()) {
                if metered == Metered::Full {
                    has_given(meter, bytes)?;
                }
            }
            return Ok(());
        }
    }
    prop_assert_eq!(outcome, untouched);
    prop_assert_eq!(activity, slot.map(|_| start));
    prop_assert_eq!(refused, [[0; 2]; 2]);
    Ok(())
}

fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn agree(hook: Hook) {
    let mut rig = Rig::new(Sizes::new(1024));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 6000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let rig = std::cell::RefCell::new(&mut rig);
    runner
        .run(&case(), |case| check(&mut rig.borrow_mut(), hook, &case))
        .unwrap();
}

#[test]
fn tc_agrees_with_the_rules() {
    agree(Hook::Tc);
}

#[test]
fn xdp_agrees_with_the_rules() {
    agree(Hook::Xdp);
}

/// A UDP packet for us of `len` bytes.
fn udp(len: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..len).map(|n| n as u8).collect();
    frame[..6].copy_from_slice(&MAC);
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[20..24].copy_from_slice(&[0, 0, 64, 17]);
    frame
}

/// Each class of sizes of the queue's records, at its ends.
#[test]
fn punts_are_whole_whatever_their_size() {
    let mut rig = Rig::new(Sizes::new(1024));
    for hook in [Hook::Tc, Hook::Xdp] {
        let mut lengths = vec![42, 103, 104, 105, 239, 240, 241, 2031, 2032, 2033, 3500];
        if hook == Hook::Xdp {
            // Of several buffers; more is not copied out of them.
            lengths.extend([9000, 16368, 16369, 40000, 65535]);
        }
        for len in lengths {
            let frame = udp(len);
            let outcome = rig.run(hook, &frame, (0, 0));
            assert_eq!(outcome.verdict, Verdict::Drop, "{hook:?} {len}");
            assert_eq!(
                outcome.counted,
                counts(&["punt_miss".into()]),
                "{hook:?} {len}"
            );
            assert_eq!(outcome.punts.len(), 1, "{hook:?} {len}");
            assert_eq!(outcome.punts[0].1, frame, "{hook:?} {len}");
        }
    }
}

#[test]
fn a_full_queue_drops_and_counts() {
    let mut rig = Rig::new(Sizes {
        slots: 64,
        queue: 1 << 18,
    });
    rig.hold = true;
    let frame = udp(2000);
    for hook in [Hook::Tc, Hook::Xdp] {
        let mut queued = 0;
        loop {
            let outcome = rig.run(hook, &frame, (0, 0));
            assert_eq!(outcome.verdict, Verdict::Drop);
            if outcome.counted == counts(&["drop_queue_full".into()]) {
                break;
            }
            assert_eq!(outcome.counted, counts(&["punt_miss".into()]));
            queued += 1;
            assert!(queued < 1000, "256 KiB do not hold a thousand packets");
        }
        // The record's size is that of its class, 2 KiB and a header, and a port gets four fifths of the queue.
        assert!(
            (101..=104).contains(&queued),
            "{queued} packets of 2 KiB in 256 KiB"
        );
        // There is room for another port's, which has nothing in the queue yet: four fifths of what is left.
        let refused = rig.maps.shares().of(LOOPBACK).refused();
        let waiting = rig.maps.shares().of(LOOPBACK).waiting();
        rig.maps.shares().of(LOOPBACK).settle();
        let mut more = 0;
        while rig.run(hook, &frame, (0, 0)).counted == counts(&["punt_miss".into()]) {
            more += 1;
        }
        assert!((19..=21).contains(&more), "{more} packets besides");
        assert_eq!(rig.maps.shares().of(LOOPBACK).refused(), refused + 1);
        rig.maps.shares().of(LOOPBACK).put(waiting);
        queued += more;
        // On a shared uplink ARP goes on to the host though the daemon does not hear of it.
        rig.port(port::UPLINK | port::SHARED);
        let mut arp = udp(60);
        arp[12..14].copy_from_slice(&[8, 6]);
        let outcome = loop {
            let outcome = rig.run(hook, &arp, (0, 0));
            assert_eq!(outcome.verdict, Verdict::Pass);
            if !outcome.counted.contains_key("punt_arp") {
                break outcome;
            }
        };
        assert_eq!(
            outcome.counted,
            counts(&["drop_queue_full".into(), "pass".into()])
        );
        rig.port(0);
        rig.hold = false;
        let drained = rig.run(hook, &frame, (0, 0)).punts.len();
        assert!(drained >= queued, "{drained} of {queued} came out");
        rig.hold = true;
    }
}
