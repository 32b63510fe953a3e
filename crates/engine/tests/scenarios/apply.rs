//! A new configuration in force: what goes on, what ends, what changes.

use crate::common::*;

/// Sessions of every kind, and the packets that go on in them: interface and packet.
fn busy(world: &mut World) -> Vec<(&'static str, Packet)> {
    let mut packets: Vec<(&'static str, Packet)> = Vec::new();
    let mut both = |world: &mut World, from: &'static str, packet: Packet| {
        let seen = one(world.send(from, packet.clone(), engine::Offload::NONE));
        let to = ["a", "b", "wan"]
            .into_iter()
            .find(|id| *id == seen.at)
            .unwrap();
        let back = seen
            .packet
            .answer(if packet.flags() == SYN { SYN | ACK } else { 0 });
        one(world.send(to, back.clone(), engine::Offload::NONE));
        if packet.flags() != SYN {
            packets.push((from, packet));
        }
        packets.push((to, back));
    };
    both(world, "a", Packet::udp((A, 5000), (SERVER, 53)));
    both(world, "b", Packet::udp((B, 5000), (SERVER, 53)));
    both(world, "a", Packet::ping(A, SERVER, 5));
    both(world, "a", Packet::tcp((A, 5000), (SERVER, 80), SYN));
    both(world, "wan", Packet::tcp((SERVER, 999), (EIP1, 80), SYN));
    both(world, "a", Packet::tcp((A, 5001), (EIP1, 80), SYN));
    both(world, "a", Packet::udp((A, 5002), (B, 7)));
    packets
}

/// All packets still pass, by the kernel alone.
#[track_caller]
fn go_on(world: &mut World, packets: &[(&str, Packet)]) {
    let punts = world.kernel.punts;
    for (from, packet) in packets {
        assert!(one(world.send(from, packet.clone(), engine::Offload::NONE)).fast);
    }
    assert_eq!(world.kernel.punts, punts);
}

#[test]
fn what_does_not_concern_a_session_does_not_touch_it() {
    let mut world = World::new(BASE);
    let packets = busy(&mut world);
    let (flows, sessions) = (world.flows(), world.sessions());
    let more = format!(
        "{BASE}\n{}",
        r#"
[[nat_gateway.dnat]]
eip = "eip-2"
protocol = "tcp"
external_port = 22
instance = "a"
[[eip]]
id = "eip-0"
address = "203.0.113.9"
[[vpc]]
id = "another"
cidr = "10.0.0.0/16"
[[security_group]]
id = "another-group"
vpc = "vpc"
"#
    );
    // New resources, also before the others in order.
    let more = more.replacen(
        "[[instance]]",
        "[[instance]]\nid = \"0\"\nvswitch = \"vsw-a\"\naddress = \"10.0.1.5\"\n[[instance]]",
        1,
    );
    for text in [more.as_str(), BASE, more.as_str()] {
        world.apply(text);
        assert_eq!(world.flows(), flows);
        assert_eq!(world.sessions(), sessions);
    }
    go_on(&mut world, &packets);
    assert_eq!(world.stats().closed, 0);
}

#[test]
fn what_is_forbidden_now_ends() {
    let mut world = World::new(BASE);
    busy(&mut world);
    let of = |w: &World, direction: &str| {
        w.sessions()
            .iter()
            .filter(|s| s.direction == direction)
            .count()
    };
    assert_eq!(
        [
            of(&world, "out"),
            of(&world, "in"),
            of(&world, "hairpin"),
            of(&world, "local")
        ],
        [4, 1, 1, 1]
    );
    // The receiver's group lets in nobody from outside any more.
    world.apply(&BASE.replace("cidr = \"0.0.0.0/0\"", "cidr = \"10.0.0.0/16\""));
    assert_eq!(
        [
            of(&world, "out"),
            of(&world, "in"),
            of(&world, "hairpin"),
            of(&world, "local")
        ],
        [4, 0, 0, 1]
    );
    // UDP may not leave.
    let rule = "[[security_group.rule]]\ndirection = \"egress\"\npolicy = \"drop\"\nprotocol = \"udp\"\ncidr = \"0.0.0.0/0\"\n[[instance]]";
    world.apply(&base(&[("[[instance]]", rule)]));
    assert_eq!(
        [
            of(&world, "out"),
            of(&world, "in"),
            of(&world, "hairpin"),
            of(&world, "local")
        ],
        [2, 0, 0, 0]
    );
    assert_eq!(world.ports_used("eip-1"), [1, 0, 1]);
    // Without the SNAT entry nothing does.
    world.apply(&base(&[(
        "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-1\"]\n",
        "",
    )]));
    assert_eq!(world.sessions(), []);
    assert_eq!(world.flows(), []);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
}

#[test]
fn an_entry_that_leads_elsewhere_ends_its_sessions_only() {
    let mut world = World::new(BASE);
    busy(&mut world);
    world.apply(&BASE.replace("internal_port = 8080", "internal_port = 8081"));
    assert_eq!(world.sessions().len(), 5);
    let seen = at("b", world.net(Packet::tcp((SERVER, 999), (EIP1, 80), SYN)));
    assert_eq!(seen.dport(), 8081);
}

#[test]
fn an_instance_that_is_gone() {
    let mut world = World::new(BASE);
    busy(&mut world);
    let text = base(&[(
        "[[instance]]\nid = \"b\"\nvswitch = \"vsw-b\"\naddress = \"10.0.2.10\"\nsecurity_groups = [\"open\"]\n",
        "",
    )])
    .replace("instance = \"b\"", "internal = \"10.0.2.10\"");
    world.apply(&text);
    assert!(
        world
            .sessions()
            .iter()
            .all(|s| s.eni == "a" && s.direction == "out")
    );
    assert_eq!(world.sessions().len(), 3);
    let syn = Packet::tcp((SERVER, 999), (EIP1, 80), SYN);
    assert_eq!(reason(&mut world, |w| none(w.net(syn))), "no_host");
    // It comes back.
    world.apply(BASE);
    at("b", world.net(Packet::tcp((SERVER, 999), (EIP1, 80), SYN)));
}

#[test]
fn another_next_hop_is_written_in_place() {
    let mut world = World::new(BASE);
    let packets = busy(&mut world);
    let before = world.flows();
    world.apply(&BASE.replace("gateway = \"203.0.113.1\"", "gateway = \"203.0.113.254\""));
    let after = world.flows();
    let key = |flows: &[(usize, flow::Key, flow::Action, u64)]| {
        flows.iter().map(|f| (f.0, f.1, f.3)).collect::<Vec<_>>()
    };
    assert_eq!(key(&after), key(&before), "slots, keys, counts");
    assert_ne!(after, before);
    // The new router is asked for its address, then all goes by it. The world checks the MAC address.
    for (from, packet) in &packets {
        one(world.send(from, packet.clone(), engine::Offload::NONE));
    }
    go_on(&mut world, &packets);
}

/// The interface of an instance is made anew: another index, another MAC address, another zone.
#[test]
fn an_interface_that_is_made_anew() {
    let mut world = World::new(BASE);
    let packets = busy(&mut world);
    world.forget_link("b");
    world.apply(BASE);
    // Sessions that b opened came in by the old zone; sessions towards it end as well, since their
    // answers would.
    assert!(
        world
            .sessions()
            .iter()
            .all(|s| s.eni == "a" && s.direction == "out")
    );
    assert_eq!(world.sessions().len(), 3);
    world.seconds(2);
    let kept: Vec<_> = packets
        .into_iter()
        .filter(|(from, p)| *from == "a" && p.dst == ip(SERVER))
        .collect();
    assert_eq!(kept.len(), 2);
    go_on(&mut world, &kept);
    at("b", world.net(Packet::tcp((SERVER, 999), (EIP1, 80), SYN)));
}

#[test]
fn an_uplink_that_is_made_anew() {
    let mut world = World::new(BASE);
    let packets = busy(&mut world);
    world.forget_link("wan");
    world.apply(BASE);
    // All uplinks share a zone: every session goes on by the new one.
    assert_eq!(world.sessions().len(), 7);
    for (from, packet) in &packets {
        one(world.send(from, packet.clone(), engine::Offload::NONE));
    }
    go_on(&mut world, &packets);
    // The old hops are given back in time.
    world.seconds(200);
    at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
}

#[test]
fn an_eip_changes_hands() {
    let mut world = World::new(BASE);
    let out = Packet::udp((A, 5000), (SERVER, 53));
    assert_eq!(at("wan", world.from("a", out.clone())).src, ip(EIP1));
    assert_eq!(world.ports_used("eip-1"), [0, 1, 0]);
    // From the gateway to the instance itself: the session keeps its translation, the port is free.
    let own = "[[eip]]\nid = \"eip-1\"\naddress = \"203.0.113.10\"\ninstance = \"a\"\n";
    let text = base(&[
        ("[[eip]]\nid = \"eip-1\"\naddress = \"203.0.113.10\"\n", own),
        ("eips = [\"eip-1\", \"eip-2\"]", "eips = [\"eip-2\"]"),
        (
            "vpc = true\neips = [\"eip-1\"]",
            "vpc = true\neips = [\"eip-2\"]",
        ),
        (
            "[[nat_gateway.dnat]]\neip = \"eip-1\"",
            "[[nat_gateway.dnat]]\neip = \"eip-2\"",
        ),
    ]);
    world.apply(&text);
    assert_eq!(world.session().entry.as_deref(), Some("eip-1"));
    assert_eq!(world.session().gateway, None);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
    assert!(one(world.from("a", out.clone())).fast);
    // And back: it holds its port again, and nobody else gets it.
    world.apply(BASE);
    assert_eq!(world.session().gateway.as_deref(), Some("ngw"));
    assert_eq!(world.ports_used("eip-1"), [0, 1, 0]);
    let other = at(
        "wan",
        world.from("b", Packet::udp((B, 5000), ("198.51.100.9", 53))),
    );
    assert_ne!(other.sport(), 5000);
}

#[test]
fn sessions_count_against_a_limit_that_comes_later() {
    let mut world = World::new(BASE);
    for port in 1..=5 {
        world.from("a", Packet::udp((A, port), (SERVER, 1)));
    }
    world.apply(&base(&[(
        "id = \"ngw\"",
        "id = \"ngw\"\nmax_sessions_per_source = 5",
    )]));
    let why = reason(&mut world, |w| {
        none(w.from("a", Packet::udp((A, 6), (SERVER, 1))))
    });
    assert_eq!(why, "source_limit");
    world.seconds(70);
    at("wan", world.from("a", Packet::udp((A, 6), (SERVER, 1))));
}
