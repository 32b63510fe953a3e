//! The daemon dies and the next one takes over what is in the flow table.

use crate::common::*;
use flow::reason::Reason;
use std::collections::HashSet;

fn views(world: &World) -> Vec<engine::SessionView> {
    let mut all = world.sessions();
    all.sort_by_key(|s| format!("{:?}", s.original));
    all
}

/// Sessions of every kind and state.
fn busy(world: &mut World) -> Vec<(&'static str, Packet)> {
    let mut packets = Vec::new();
    let mut open =
        |world: &mut World, from: &'static str, packet: Packet, segments: &[(bool, u8)]| {
            let seen = one(world.send(from, packet.clone(), engine::Offload::NONE));
            let to = ["a", "b", "wan"]
                .into_iter()
                .find(|id| *id == seen.at)
                .unwrap();
            for &(out, flags) in segments {
                let (side, mut segment) = match out {
                    true => (from, packet.clone()),
                    false => (to, seen.packet.answer(flags)),
                };
                if let Body::Tcp { flags: f, .. } = &mut segment.body {
                    *f = flags;
                }
                one(world.send(side, segment, engine::Offload::NONE));
            }
            packets.push((to, seen.packet.answer(ACK)));
        };
    let hello = [(false, SYN | ACK), (true, ACK)];
    let fin = [hello[0], hello[1], (true, FIN | ACK)];
    let closed = [hello[0], hello[1], (true, FIN | ACK), (false, FIN | ACK)];
    open(
        world,
        "a",
        Packet::udp((A, 5000), (SERVER, 53)),
        &[(false, 0)],
    );
    open(world, "b", Packet::udp((B, 5000), (SERVER, 53)), &[]);
    open(world, "a", Packet::udp((A, 5000), (SERVER, 54)), &[]);
    open(world, "a", Packet::ping(A, SERVER, 5), &[(false, 0)]);
    open(
        world,
        "a",
        Packet::tcp((A, 5000), (SERVER, 80), SYN),
        &hello,
    );
    open(world, "a", Packet::tcp((A, 5001), (SERVER, 80), SYN), &fin);
    open(
        world,
        "a",
        Packet::tcp((A, 5002), (SERVER, 80), SYN),
        &closed,
    );
    open(world, "a", Packet::tcp((A, 5003), (SERVER, 80), SYN), &[]);
    open(
        world,
        "wan",
        Packet::tcp((SERVER, 999), (EIP1, 80), SYN),
        &hello,
    );
    open(world, "a", Packet::tcp((A, 5004), (EIP1, 80), SYN), &hello);
    open(world, "b", Packet::tcp((B, 5004), (EIP1, 80), SYN), &hello);
    open(world, "a", Packet::udp((A, 5005), (B, 7)), &[]);
    packets
}

#[test]
fn sessions_bindings_states_and_counters_are_taken_over() {
    let text = base(&[("id = \"ngw\"", "id = \"ngw\"\nmax_sessions_per_source = 9")]);
    let mut world = World::new(&text);
    let packets = busy(&mut world);
    world.seconds(7);
    let (before, flows, ports) = (views(&world), world.flows(), world.ports_used("eip-1"));
    let states: HashSet<&str> = before.iter().map(|s| s.state.as_str()).collect();
    assert_eq!(states.len(), 5, "{states:?}");
    for _ in 0..2 {
        world.restart();
        assert_eq!(world.stats().adopted, 12);
        assert_eq!(views(&world), before);
        assert_eq!(world.flows(), flows);
        assert_eq!(world.ports_used("eip-1"), ports);
    }
    // The kernel goes on alone, and the engine with what the kernel hands up.
    let punts = world.kernel.punts;
    for (from, packet) in &packets {
        assert!(one(world.send(from, packet.clone(), engine::Offload::NONE)).fast);
    }
    assert_eq!(world.kernel.punts, punts);
    let syn = Packet::tcp((A, 5003), (SERVER, 80), SYN);
    assert_eq!(at("wan", world.from("a", syn)).sport(), 5003);

    // Nobody gets a port that is taken, a mapping stays what it is.
    let other = at(
        "wan",
        world.from("b", Packet::tcp((B, 5000), (SERVER, 99), SYN)),
    );
    assert_ne!(other.sport(), 5000);
    let same = at(
        "wan",
        world.from("a", Packet::tcp((A, 5000), (SERVER, 99), SYN)),
    );
    assert_eq!(same.sport(), 5000);
    // That was a's ninth session that counts against its limit.
    let why = reason(&mut world, |w| {
        none(w.from("a", Packet::udp((A, 6000), (SERVER, 1))))
    });
    assert_eq!(why, "source_limit");

    // They end when they would have.
    world.seconds(32);
    assert!(world.sessions().iter().all(|s| s.protocol != "icmp"));
    world.seconds(30);
    assert!(world.sessions().iter().all(|s| s.protocol == "tcp"));
    world.seconds(900);
    assert_eq!(world.sessions(), []);
    assert_eq!(world.flows(), []);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
}

#[test]
fn what_the_next_configuration_forbids_ends() {
    let mut world = World::new(BASE);
    busy(&mut world);
    world.restart_with(parse(
        &BASE.replace("cidr = \"0.0.0.0/0\"", "cidr = \"10.0.0.0/16\""),
    ));
    let stats = world.stats();
    assert_eq!((stats.adopted, stats.sessions, stats.closed), (9, 9, 0));
    assert_eq!(world.flows().len(), 18);
    world.restart_with(parse(&base(&[(
        "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-1\"]\n",
        "",
    )])));
    assert_eq!(world.stats().adopted, 1);
}

#[test]
fn links_that_are_gone() {
    let mut world = World::new(BASE);
    busy(&mut world);
    world.forget_link("b");
    world.restart();
    assert_eq!(
        world
            .sessions()
            .iter()
            .filter(|s| s.direction == "out")
            .count(),
        7
    );
    assert_eq!(world.sessions().len(), 7);
}

/// A daemon that died between two stores.
#[test]
fn half_sessions_are_cleared_away() {
    let mut world = World::new(BASE);
    busy(&mut world);
    let entries = world.shared().entries;
    for original in [true, false] {
        let flows = world.flows();
        let (slot, ..) = flows
            .iter()
            .find(|f| (f.2.flags & flow::flags::ORIGINAL != 0) == original && f.1.proto == UDP)
            .unwrap();
        let mut table = flow::table::Table::new(entries, world.geometry().seed);
        table.retire(*slot as u32);
    }
    world.restart();
    assert_eq!(world.sessions().len(), 10);
    assert_eq!(world.flows().len(), 20);
}

#[test]
fn a_next_hop_that_is_silent_during_the_restart() {
    let mut world = World::new(BASE);
    at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
    at(
        "wan",
        world.from("a", Packet::tcp((A, 5000), (SERVER, 53), SYN)),
    );
    world.silent.insert(ip("203.0.113.1"));
    world.seconds(40);
    // Asked three times, gone.
    let packet = Packet::udp((A, 5000), (SERVER, 53));
    none(world.from("a", packet.clone()));
    world.restart();
    assert_eq!(world.sessions().len(), 2);
    world.silent.clear();
    at("wan", world.from("a", packet.clone()));
    assert!(one(world.from("a", packet)).fast);
}

/// Nobody has heard it say so.
#[test]
fn a_next_hop_that_moved_during_the_restart() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 5000), (SERVER, 53));
    at("wan", world.from("a", packet.clone()));
    world.moved.insert(ip("203.0.113.1"), [2, 9, 9, 9, 9, 9]);
    world.restart();
    world.seconds(2);
    assert!(one(world.from("a", packet)).fast);
}

#[test]
fn next_hops_are_brought_up_to_date() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 5000), (SERVER, 53)).len(1300);
    at("wan", world.from("a", packet.clone()));
    // A smaller MTU and another router, while nobody was there.
    let text = BASE.replace(
        "gateway = \"203.0.113.1\"",
        "gateway = \"203.0.113.254\"\nmtu = 1000",
    );
    world.restart_with(parse(&text));
    assert_eq!(world.from("a", packet).len(), 2);
    assert_eq!(world.sessions().len(), 1);
}

fn endpoint_independent() -> String {
    base(&[(
        "id = \"ngw\"",
        "id = \"ngw\"\nfiltering = \"endpoint-independent\"",
    )])
}

/// The session that made the mapping is over; those that it let in go on, and the mapping with them.
#[test]
fn a_mapping_that_only_strangers_hold() {
    let mut world = World::new(&endpoint_independent());
    // The external port is not the internal one.
    at(
        "wan",
        world.from("b", Packet::tcp((B, 5000), (SERVER, 53), SYN)),
    );
    let syn = Packet::tcp((A, 5000), (SERVER, 53), SYN);
    let port = at("wan", world.from("a", syn)).sport();
    assert_ne!(port, 5000);
    let stranger = Packet::tcp(("198.51.100.8", 7), (EIP1, port), SYN);
    let inside = at("a", world.net(stranger.clone()));
    at("wan", world.from("a", inside.answer(SYN | ACK)));
    let ack = Packet::tcp(("198.51.100.8", 7), (EIP1, port), ACK);
    at("a", world.net(ack.clone()));
    world.seconds(70);
    let session = world.session();
    assert_eq!(
        (session.direction.as_str(), session.state.as_str()),
        ("in", "established")
    );
    assert_eq!(world.ports_used("eip-1"), [1, 0, 0]);

    world.restart();
    assert_eq!(world.session(), session);
    assert_eq!(world.ports_used("eip-1"), [1, 0, 0]);
    assert!(one(world.net(ack.clone())).fast);
    // The mapping is there for others and for the instance.
    at(
        "a",
        world.net(Packet::tcp(("198.51.100.9", 7), (EIP1, port), SYN)),
    );
    let out = at(
        "wan",
        world.from("a", Packet::tcp((A, 5000), (SERVER, 99), SYN)),
    );
    assert_eq!(out.sport(), port);
    // An unrelated change does not end it, another kind of filtering does.
    world.apply(&format!(
        "{}\n[[vpc]]\nid = \"x\"\ncidr = \"10.0.0.0/16\"\n",
        endpoint_independent()
    ));
    assert!(one(world.net(ack.clone())).fast);
    world.restart_with(parse(BASE));
    assert!(world.sessions().iter().all(|s| s.direction == "out"));
    none(world.net(ack));
    world.seconds(1000);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
}

/// A session by an entry does not become one by a mapping.
#[test]
fn a_session_of_an_entry_that_is_gone_is_not_taken_over() {
    let entry = "[[nat_gateway.dnat]]\neip = \"eip-2\"\nprotocol = \"tcp\"\nexternal_port = 2000\ninstance = \"a\"\n";
    let text = endpoint_independent();
    let mut world = World::new(&format!("{text}\n{entry}"));
    at("a", world.net(Packet::tcp((SERVER, 1), (EIP2, 2000), SYN)));
    world.restart_with(parse(&text));
    assert_eq!(world.sessions(), []);
}

#[test]
fn shared_ports_are_taken_over() {
    let text = base(&[("id = \"ngw\"", "id = \"ngw\"\nsnat_ports = \"2000-2001\"")]);
    let mut world = World::new(&text);
    let mut outs = Vec::new();
    for (n, server) in ["198.51.100.1", "198.51.100.2", "198.51.100.3"]
        .iter()
        .enumerate()
    {
        for (eni, host) in [("a", A), ("b", B)] {
            let packet = Packet::udp((host, 5000 + n as u16), (server, 53));
            let out = at("wan", world.from(eni, packet.clone()));
            outs.push((eni, packet, out));
        }
    }
    let before = views(&world);
    world.restart();
    assert_eq!(views(&world), before);
    for (eni, packet, out) in &outs {
        assert_eq!(
            at(eni, world.net(out.answer(0))).tuple(),
            packet.answer(0).tuple()
        );
    }
    let why = reason(&mut world, |w| {
        none(w.from("a", Packet::udp((A, 6000), ("198.51.100.1", 53))))
    });
    assert_eq!(why, "ports_exhausted");
    assert_eq!(world.dropped(Reason::TupleConflict), 0);
}
