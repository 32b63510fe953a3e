//! Fragments (RFC 4787, REQ-14), fragmentation, and packets that hardware would finish.

use crate::common::*;
use engine::Offload;
use flow::header::Checksum;
use flow::reason::Reason;

/// The fragments that come out, put together again.
#[track_caller]
fn together(port: &str, seen: Vec<Seen>) -> Packet {
    assert!(seen.len() > 1, "{seen:?}");
    assert!(seen.iter().all(|s| s.at == port), "{seen:?}");
    reassemble(seen.into_iter().map(|s| s.packet).collect())
}

fn send_all(world: &mut World, from: &str, parts: &[Packet]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for part in parts {
        seen.extend(world.send(from, part.clone(), Offload::NONE));
    }
    seen
}

/// Every order of three.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

#[test]
fn fragments_pass_in_any_order_both_ways() {
    for order in ORDERS {
        let mut world = World::new(BASE);
        world.from("b", Packet::udp((B, 5000), (SERVER, 53)));
        let sent = Packet::udp((A, 5000), (SERVER, 53))
            .len(2500)
            .id(order[0] as u16 + 7);
        let parts = sent.fragments(1000);
        let shuffled = order.map(|n| parts[n].clone());
        let seen = send_all(&mut world, "a", &shuffled);
        let out = together("wan", seen);
        assert_eq!(out.data(), sent.data());
        assert_ne!(out.sport(), 5000);
        assert_ne!(out.id, sent.id, "senders behind one address would meet");

        let answer = out.answer(0).len(2600).id(99);
        let parts = answer.fragments(1000);
        let shuffled = order.map(|n| parts[n].clone());
        let back = together("a", send_all(&mut world, "wan", &shuffled));
        assert_eq!(back.data(), answer.data());
        assert_eq!(back.tuple(), sent.answer(0).tuple());
        assert_eq!(world.sessions().len(), 2);
    }
}

#[test]
fn fragments_of_tcp_and_ping_and_without_ports() {
    let mut world = World::new(BASE);
    for sent in [
        Packet::tcp((A, 5000), (SERVER, 53), SYN).len(2500),
        Packet::ping(A, SERVER, 9).len(2500),
    ] {
        let parts: Vec<Packet> = sent.fragments(1000).into_iter().rev().collect();
        let out = together("wan", send_all(&mut world, "a", &parts));
        assert_eq!((out.src, out.data()), (ip(EIP1), sent.data()));
    }
    let sent = Packet::other(47, A, B).len(2500);
    let parts: Vec<Packet> = sent.fragments(1000).into_iter().rev().collect();
    let out = together("b", send_all(&mut world, "a", &parts));
    assert_eq!(out.data(), sent.data());
}

#[test]
fn the_identification_is_the_same_throughout_and_differs_between_datagrams() {
    let mut world = World::new(BASE);
    let mut ids = Vec::new();
    for (eni, from) in [("a", A), ("b", B)] {
        let sent = Packet::udp((from, 5000), (SERVER, 53)).len(2000).id(77);
        let out = together("wan", send_all(&mut world, eni, &sent.fragments(800)));
        ids.push(out.id);
    }
    assert_ne!(ids[0], ids[1]);
}

/// A sender uses an identification again for another flow before the first datagram is forgotten.
#[test]
fn an_identification_is_used_again() {
    let mut world = World::new(BASE);
    for port in 5000..5003 {
        let sent = Packet::udp((A, port), (SERVER, 53)).len(2000).id(77);
        let out = together("wan", send_all(&mut world, "a", &sent.fragments(800)));
        assert_eq!(
            out.tuple(),
            format!("203.0.113.10:{port} > 198.51.100.7:53")
        );
    }
}

#[test]
fn fragments_without_a_first_one_are_forgotten() {
    let mut world = World::new(BASE);
    let parts = Packet::udp((A, 5000), (SERVER, 53))
        .len(3000)
        .fragments(1000);
    none(send_all(&mut world, "a", &parts[1..]));
    world.seconds(12);
    assert_eq!(world.dropped(Reason::FragmentTimeout), 3);
    // The first one alone does what it can.
    let out = at("wan", world.from("a", parts[0].clone()));
    assert_eq!(out.fragment, (0, true));
    // Its followers find it for a while, and not later.
    at("wan", world.from("a", parts[1].clone()));
    world.seconds(12);
    none(world.from("a", parts[2].clone()));
}

#[test]
fn fragments_of_what_is_not_allowed_are_dropped_for_the_same_reason() {
    let mut world = World::new(&BASE.replace("cidr = \"0.0.0.0/0\"", "cidr = \"10.0.0.0/16\""));
    let parts = Packet::tcp((SERVER, 1), (EIP1, 80), SYN)
        .len(3000)
        .fragments(1000);
    let mut backwards = parts.clone();
    backwards.reverse();
    none(send_all(&mut world, "wan", &backwards));
    assert_eq!(world.dropped(Reason::SecurityGroupIn), 4);
}

#[test]
fn memory_for_fragments_is_bounded() {
    let mut world = World::new(BASE);
    world.checked = false;
    let part = Packet::udp((A, 5000), (SERVER, 53))
        .len(2000)
        .fragments(1000)
        .remove(1);
    for id in 0..9000 {
        none(world.from("a", part.clone().id(id)));
    }
    let refused = world.dropped(Reason::FragmentLimit);
    assert!((9000 - 8192..9000).contains(&refused), "{refused}");
    world.engine.check();
    world.seconds(12);
    assert_eq!(world.dropped(Reason::FragmentTimeout), 9000 - refused);
    // One datagram cannot have all.
    let again: u64 = (0..100)
        .map(|_| world.from("a", part.clone()).len() as u64)
        .sum();
    assert_eq!(again, 0);
    assert_eq!(world.dropped(Reason::FragmentLimit), refused + 36);
}

#[test]
fn attacks_with_fragments() {
    let mut world = World::new(BASE);
    let whole = Packet::tcp((A, 5000), (SERVER, 53), SYN).len(3000);
    let part = |offset: usize, more: bool, len: usize| Packet {
        fragment: (offset, more),
        body: Body::Raw {
            proto: TCP,
            data: vec![0; len],
        },
        ..whole.clone()
    };
    for (what, bad) in [
        (
            "RFC 1858: the flags in a part of their own",
            part(8, true, 800),
        ),
        ("RFC 1858: a tiny first one", part(0, true, 8)),
        ("ends beyond the largest packet", part(65_528, false, 800)),
        (
            "a middle part that is no multiple of eight",
            part(800, true, 801),
        ),
        ("an empty one", part(800, true, 0)),
    ] {
        let why = reason(&mut world, |w| none(w.from("a", bad)));
        assert_eq!(why, "fragment_malformed", "{what}");
    }
    world.seconds(12);
}

fn small_mtu() -> String {
    base(&[(
        "address = \"203.0.113.2/24\"",
        "address = \"203.0.113.2/24\"\nmtu = 1000",
    )])
}

#[test]
fn what_is_too_large_is_cut_unless_it_must_not_be() {
    let mut world = World::new(&small_mtu());
    for sent in [
        Packet::udp((A, 5000), (SERVER, 53)).len(1400),
        Packet::udp((A, 5000), (SERVER, 53)).len(1400).unsummed(),
        Packet::udp((A, 5000), (SERVER, 53))
            .len(1400)
            .options(&[1, 1, 1, 0]),
        Packet::tcp((A, 5000), (SERVER, 53), SYN).len(1400),
        Packet::ping(A, SERVER, 3).len(1400),
    ] {
        // The first packet of a session, and one that the kernel hands up.
        for _ in 0..2 {
            let seen = world.from("a", sent.clone());
            assert_eq!(seen.len(), 2);
            let out = together("wan", seen);
            assert_eq!((out.src, out.data()), (ip(EIP1), sent.data()));
            assert_ne!(out.id, sent.id);
        }
    }
    // A fragment is cut again.
    let sent = Packet::udp((A, 5001), (SERVER, 53)).len(2600);
    let seen = send_all(&mut world, "a", &sent.fragments(1400));
    assert_eq!(seen.len(), 4);
    assert_eq!(together("wan", seen).data(), sent.data());
}

#[test]
fn what_waits_for_its_next_hop_is_cut_when_it_leaves() {
    let mut world = World::new(&small_mtu());
    world.silent.insert(ip("203.0.113.1"));
    let sent = Packet::udp((A, 5000), (SERVER, 53)).len(1400);
    none(world.from("a", sent.clone()));
    world.silent.clear();
    world.seconds(2);
    let seen = world.take();
    assert_eq!(together("wan", seen).data(), sent.data());
    assert_eq!(world.stats().forwarded, 1);
}

const PARTIAL: Offload = Offload {
    checksum: Checksum::Partial,
    gso_size: 0,
};

#[test]
fn a_checksum_left_to_hardware_stays_so() {
    let mut world = World::new(BASE);
    for sent in [
        Packet::udp((A, 5000), (SERVER, 53)),
        Packet::tcp((A, 5000), (SERVER, 53), SYN),
    ] {
        for _ in 0..2 {
            // The receiver verifies the sum of the pseudo-header.
            let out = one(world.send("a", sent.clone(), PARTIAL));
            assert_eq!(out.offload, PARTIAL);
            assert_eq!(out.packet.src, ip(EIP1));
        }
    }
}

#[test]
fn a_packet_that_is_cut_has_its_checksum_completed() {
    let mut world = World::new(&small_mtu());
    world.from("b", Packet::udp((B, 5000), (SERVER, 53)));
    let sent = Packet::udp((A, 5000), (SERVER, 53)).len(1401);
    let out = together("wan", world.send("a", sent.clone(), PARTIAL));
    assert_eq!(out.data(), sent.data());
}

#[test]
fn segments_that_are_not_yet_made_stay_together() {
    let mut world = World::new(BASE);
    let offload = |gso_size| Offload {
        checksum: Checksum::Partial,
        gso_size,
    };
    at(
        "wan",
        world.from("a", Packet::tcp((A, 5000), (SERVER, 53), SYN)),
    );
    at(
        "a",
        world.net(Packet::tcp((SERVER, 53), (EIP1, 5000), SYN | ACK)),
    );
    let bulk = Packet::tcp((A, 5000), (SERVER, 53), ACK).len(40_000).df();
    let out = one(world.send("a", bulk.clone(), offload(1448)));
    assert_eq!((out.offload, out.fast), (offload(1448), true));
    assert_eq!(out.packet.data(), bulk.data());
    assert_eq!(world.session().packets_out, 1 + 40_000u64.div_ceil(1448));

    // A next link that takes less: smaller segments, unless they must not be.
    world.apply(&small_mtu());
    let out = one(world.send("a", bulk.clone(), offload(960)));
    assert_eq!(out.offload, offload(960));
    let told = at("a", world.send("a", bulk.clone(), offload(1448)));
    assert!(matches!(
        told.body,
        Body::Icmp {
            kind: 3,
            code: 4,
            rest: [0, 1000],
            ..
        }
    ));
    let mut may = bulk;
    may.df = false;
    let out = one(world.send("a", may, offload(1448)));
    assert_eq!(out.offload, offload(960));

    // Datagrams cannot be made smaller.
    let datagrams = Packet::udp((A, 5000), (SERVER, 53)).len(9000);
    let told = at("a", world.send("a", datagrams.clone(), offload(1200)));
    assert!(matches!(
        told.body,
        Body::Icmp {
            kind: 3,
            code: 4,
            ..
        }
    ));
    let out = one(world.send("a", datagrams, offload(900)));
    assert_eq!(out.offload, offload(900));
}
