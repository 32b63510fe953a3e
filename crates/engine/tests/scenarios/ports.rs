//! When ports run out.

use crate::common::*;
use flow::reason::Reason;
use std::collections::HashSet;
use std::time::Duration;

/// A gateway with so many ports, for a network of many hosts behind one interface.
fn crowd(ports: &str, eips: &str) -> String {
    base(&[
        ("max_sessions = 4096", "max_sessions = 400000"),
        (
            "id = \"ngw\"",
            &format!("id = \"ngw\"\nsnat_ports = \"{ports}\""),
        ),
        (
            "vpc = true\neips = [\"eip-1\"]",
            &format!("vpc = true\neips = {eips}"),
        ),
        ("cidr = \"10.0.1.0/24\"", "cidr = \"10.0.64.0/18\""),
        (
            "address = \"10.0.1.10\"",
            "address = \"10.0.64.10\"\nhosts = [\"10.0.96.0/19\"]",
        ),
    ])
}

/// A datagram from the `n`th host.
fn of_host(n: u32, port: u16, to: (&str, u16)) -> Packet {
    let host = format!("10.0.{}.{}", 96 + n / 256, n % 256);
    Packet::udp((&host, port), to)
}

fn exhausted(world: &World, eip: &str) -> u64 {
    let stats = world.stats();
    stats
        .eips
        .iter()
        .find(|e| e.eip == eip)
        .unwrap()
        .ports_exhausted
}

#[test]
fn exhaustion_of_a_small_range_is_counted_and_breaks_nothing() {
    let mut world = World::new(&crowd("2000-2009", "[\"eip-1\"]"));
    let to = (SERVER, 53);
    let mut ports = HashSet::new();
    for n in 0..10 {
        ports.insert(at("wan", world.from("a", of_host(n, 5000, to))).sport());
    }
    assert_eq!(ports, (2000..=2009).collect());
    for n in 10..15 {
        let why = reason(&mut world, |w| none(w.from("a", of_host(n, 5000, to))));
        assert_eq!(why, "ports_exhausted");
    }
    assert_eq!(
        (exhausted(&world, "eip-1"), exhausted(&world, "eip-2")),
        (5, 0)
    );
    // Those that are there go on, both ways.
    for n in 0..10 {
        let out = at("wan", world.from("a", of_host(n, 5000, to)));
        at("a", world.net(out.answer(0)));
    }
    // Other destinations are reached by the same ports, as often.
    for server in ["198.51.100.8", "198.51.100.9"] {
        for n in 10..20 {
            at("wan", world.from("a", of_host(n, 5000, (server, 53))));
        }
    }
    assert_eq!(world.sessions().len(), 30);
    assert_eq!(world.ports_used("eip-1"), [0, 10, 0]);
    // All come back.
    world.seconds(70);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
    for n in 10..20 {
        at("wan", world.from("a", of_host(n, 5000, to)));
    }
}

/// A shared port belongs to whom it belonged first: strangers reach nobody else.
#[test]
fn answers_to_shared_ports_go_where_they_belong() {
    let mut world = World::new(&crowd("2000-2003", "[\"eip-1\"]"));
    let mut sent = Vec::new();
    for server in 1..=10 {
        let server = format!("198.51.100.{server}");
        for n in 0..4 {
            let packet = of_host(n + server.len() as u32 * 7, 5000, (&server, 53));
            sent.push((packet.clone(), at("wan", world.from("a", packet))));
        }
    }
    for (packet, out) in &sent {
        assert_eq!(
            at("a", world.net(out.answer(0))).tuple(),
            packet.answer(0).tuple()
        );
    }
    let tuples: HashSet<String> = sent.iter().map(|(_, out)| out.tuple()).collect();
    assert_eq!(tuples.len(), 40);
}

#[test]
fn a_pool_helps_out() {
    let mut world = World::new(&crowd("2000-2009", "[\"eip-1\", \"eip-2\"]"));
    for n in 0..20 {
        at("wan", world.from("a", of_host(n, 5000, (SERVER, 53))));
    }
    let why = reason(&mut world, |w| {
        none(w.from("a", of_host(20, 5000, (SERVER, 53))))
    });
    assert_eq!(why, "ports_exhausted");
    assert_eq!(exhausted(&world, "eip-1") + exhausted(&world, "eip-2"), 1);
    assert_eq!(world.ports_used("eip-1"), [0, 10, 0]);
    assert_eq!(world.ports_used("eip-2"), [0, 10, 0]);
}

#[test]
fn an_eip_has_55_000_sessions_to_one_destination_and_more_to_others() {
    let mut world = World::with_slots(&crowd("1024-65535", "[\"eip-1\"]"), 1 << 19);
    world.checked = false;
    let mut tuples = HashSet::new();
    let mut open = |world: &mut World, n: u32, to: (&str, u16)| {
        let out = world.from("a", of_host(n % 4096, 5000 + (n / 4096) as u16, to));
        if let Some(out) = out.first() {
            let p = &out.packet;
            assert_eq!(p.src, ip(EIP1));
            assert!(
                tuples.insert((p.sport(), p.dst, p.dport())),
                "{}",
                p.tuple()
            );
        }
        out.len() as u32
    };
    // All ports, to the last one.
    let reached: u32 = (0..64_512).map(|n| open(&mut world, n, (SERVER, 53))).sum();
    assert_eq!(reached, 64_512);
    assert_eq!(open(&mut world, 70_000, (SERVER, 53)), 0);
    assert_eq!(exhausted(&world, "eip-1"), 1);
    // By sharing: from other clients to other destinations.
    for (server, port) in [
        ("198.51.100.8", 53),
        ("198.51.100.8", 54),
        ("198.51.100.9", 53),
    ] {
        let reached: u32 = (100_000..155_000)
            .map(|n| open(&mut world, n, (server, port)))
            .sum();
        assert_eq!(reached, 55_000);
    }
    world.engine.check();
    assert_eq!(world.stats().sessions, 64_512 + 3 * 55_000);
    assert_eq!(world.ports_used("eip-1"), [0, 64_512, 0]);
    world.advance(Duration::from_secs(75));
    assert_eq!(world.stats().sessions, 0);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
    world.engine.check();
}

/// No room in the flow table: everything goes on, only slower.
#[test]
fn a_full_flow_table() {
    let mut world = World::with_slots(BASE, 64);
    let mut sent = Vec::new();
    for port in 2000..2200 {
        let packet = Packet::udp((A, port), (SERVER, 53));
        sent.push((packet.clone(), at("wan", world.from("a", packet))));
    }
    let stats = world.stats();
    assert_eq!(stats.sessions, 200);
    assert!(
        (168..200).contains(&stats.not_offloaded),
        "{}",
        stats.not_offloaded
    );
    let slow = world.sessions().iter().filter(|s| !s.offloaded).count();
    assert_eq!(slow as u64, stats.not_offloaded);
    for _ in 0..2 {
        for (packet, out) in &sent {
            let again = one(world.from("a", packet.clone()));
            assert_eq!(again.packet, *out);
            at("a", world.net(out.answer(0)));
        }
    }
    for session in world.sessions() {
        assert_eq!((session.packets_out, session.packets_in), (3, 2));
        assert_eq!((session.bytes_out, session.bytes_in), (3 * 51, 2 * 51));
    }
    world.seconds(30);
    at("wan", world.from("a", sent[199].0.clone()));
    world.seconds(35);
    assert_eq!(world.sessions().len(), 1);
    world.seconds(30);
    let stats = world.stats();
    assert_eq!((stats.sessions, stats.not_offloaded), (0, 0));
    assert_eq!(world.dropped(Reason::SessionLimit), 0);
}

/// TCP in the slow path has its states, too.
#[test]
fn a_connection_without_room_in_the_flow_table() {
    let mut world = World::with_slots(BASE, 64);
    for port in 2000..2200 {
        world.from("a", Packet::udp((A, port), (SERVER, 53)));
    }
    let mut segment = |out: bool, flags| {
        let packet = Packet::tcp((A, 5000), (SERVER, 80), flags);
        match out {
            true => at("wan", world.from("a", packet)),
            false => at(
                "a",
                world.net(Packet::tcp((SERVER, 80), (EIP1, 5000), flags)),
            ),
        };
        let all = world.sessions();
        let mine = all.iter().find(|s| s.protocol == "tcp").unwrap();
        assert!(!mine.offloaded);
        mine.state.clone()
    };
    assert_eq!(segment(true, SYN), "syn_sent");
    assert_eq!(segment(false, SYN | ACK), "syn_sent");
    assert_eq!(segment(true, ACK), "established");
    assert_eq!(segment(true, FIN | ACK), "half_closed");
    assert_eq!(segment(false, FIN | ACK), "closed");
    assert_eq!(segment(true, SYN), "syn_sent");
}
