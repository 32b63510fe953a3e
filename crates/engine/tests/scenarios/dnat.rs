//! Destination translation, EIPs bound one to one, precedence, hairpin.

use crate::common::*;

/// The base with these entries besides.
fn with(entries: &str) -> String {
    format!("{BASE}\n{entries}")
}

/// A packet comes in and its answer goes out, twice: by the engine, then by the kernel.
fn comes_in(world: &mut World, packet: Packet, to: &str, inside: &str) {
    for fast in [false, true] {
        let seen = one(world.net(packet.clone()));
        let syn = packet.flags() == SYN;
        assert_eq!((seen.at.as_str(), seen.fast), (to, fast && !syn));
        assert_eq!(seen.packet.tuple(), inside);
        assert_eq!(seen.packet.ttl, packet.ttl - 1);
        let back = one(world.from(to, seen.packet.answer(SYN | ACK)));
        assert!(back.at == "wan" && (back.fast || !fast));
        assert_eq!(back.packet.tuple(), packet.answer(0).tuple());
    }
}

#[test]
fn a_port_is_mapped() {
    let mut world = World::new(BASE);
    let syn = Packet::tcp((SERVER, 999), (EIP1, 80), SYN);
    comes_in(&mut world, syn, "b", "198.51.100.7:999 > 10.0.2.10:8080");
    let session = world.session();
    assert_eq!(session.direction, "in");
    assert_eq!((session.eni.as_str(), session.vpc.as_str()), ("b", "vpc"));
    assert_eq!(session.entry.as_deref(), Some("ngw/eip-1/tcp/80"));
    assert_eq!(session.original.dst_port, 80);
    assert_eq!(session.translated.dst_port, 8080);
    // Another port or protocol is not.
    for packet in [
        Packet::tcp((SERVER, 999), (EIP1, 81), SYN),
        Packet::udp((SERVER, 999), (EIP1, 80)),
        Packet::tcp((SERVER, 999), (EIP2, 80), SYN),
        Packet::other(47, SERVER, EIP1),
    ] {
        assert_eq!(reason(&mut world, |w| none(w.net(packet))), "not_mapped");
    }
}

#[test]
fn udp_is_mapped() {
    let mut world = World::new(&with(
        "[[nat_gateway.dnat]]\neip = \"eip-2\"\nprotocol = \"udp\"\nexternal_port = 53\ninstance = \"a\"\n",
    ));
    let query = Packet::udp((SERVER, 999), (EIP2, 53));
    comes_in(&mut world, query, "a", "198.51.100.7:999 > 10.0.1.10:53");
}

#[test]
fn a_range_of_ports_is_mapped_one_to_one() {
    let mut world = World::new(&with(
        "[[nat_gateway.dnat]]\neip = \"eip-2\"\nprotocol = \"tcp\"\nexternal_port = \"8000-8099\"\ninstance = \"a\"\ninternal_port = \"9000-9099\"\n",
    ));
    for n in [0, 1, 50, 99] {
        let syn = Packet::tcp((SERVER, 999), (EIP2, 8000 + n), SYN);
        assert_eq!(at("a", world.net(syn)).dport(), 9000 + n);
    }
    for port in [7999, 8100] {
        let syn = Packet::tcp((SERVER, 999), (EIP2, port), SYN);
        assert_eq!(reason(&mut world, |w| none(w.net(syn))), "not_mapped");
    }
}

const WHOLE: &str = "[[nat_gateway.dnat]]\neip = \"eip-2\"\nprotocol = \"any\"\ninstance = \"a\"\n";

#[test]
fn an_address_is_mapped_whole() {
    let mut world = World::new(&with(WHOLE));
    let syn = Packet::tcp((SERVER, 999), (EIP2, 22), SYN);
    comes_in(&mut world, syn, "a", "198.51.100.7:999 > 10.0.1.10:22");
    let ping = Packet::ping(SERVER, EIP2, 5);
    comes_in(&mut world, ping, "a", "198.51.100.7:5 > 10.0.1.10:0");
    let gre = Packet::other(47, SERVER, EIP2);
    comes_in(&mut world, gre, "a", "198.51.100.7:0 > 10.0.1.10:0");
    // Outwards, too: before SNAT, ports untouched, and protocols without ports.
    let out = at("wan", world.from("a", Packet::udp((A, 123), (SERVER, 123))));
    assert_eq!(out.tuple(), "203.0.113.11:123 > 198.51.100.7:123");
    let out = at("wan", world.from("a", Packet::other(50, A, "198.51.100.8")));
    assert_eq!(out.src, ip(EIP2));
    assert_eq!(world.ports_used("eip-2"), [0, 0, 0]);
}

const OWN: &str = "[[eip]]\nid = \"eip-own\"\naddress = \"203.0.113.12\"\ninstance = \"a\"\n";

#[test]
fn the_own_eip_goes_before_the_ip_mapping_and_that_before_snat() {
    let out = |text: &str| {
        let mut world = World::new(text);
        at("wan", world.from("a", Packet::udp((A, 5), (SERVER, 1))))
            .src
            .to_string()
    };
    assert_eq!(out(BASE), EIP1);
    assert_eq!(out(&with(WHOLE)), EIP2);
    let text = with(WHOLE).replacen("[[eip]]", &format!("{OWN}\n[[eip]]"), 1);
    assert_eq!(out(&text), "203.0.113.12");
}

#[test]
fn an_eip_is_bound_one_to_one() {
    let text = BASE.replacen("[[eip]]", &format!("{OWN}\n[[eip]]"), 1);
    let mut world = World::new(&text);
    let syn = Packet::tcp((SERVER, 999), ("203.0.113.12", 22), SYN);
    comes_in(&mut world, syn, "a", "198.51.100.7:999 > 10.0.1.10:22");
    let session = world.session();
    assert_eq!(session.entry.as_deref(), Some("eip-own"));
    assert_eq!(session.gateway, None);
    let out = at("wan", world.from("a", Packet::other(47, A, SERVER)));
    assert_eq!(out.src, ip("203.0.113.12"));
    assert!(world.sessions().iter().all(|s| s.gateway.is_none()));
    // It needs no NAT gateway and no route.
    let (before, _) = text.split_once("[[nat_gateway]]").unwrap();
    let mut world = World::new(before);
    let out = at("wan", world.from("a", Packet::udp((A, 5), (SERVER, 1))));
    assert_eq!(out.src, ip("203.0.113.12"));
    // Others have nothing.
    let why = reason(&mut world, |w| {
        at("b", w.from("b", Packet::udp((B, 5), (SERVER, 1))));
    });
    assert_eq!(why, "no_route");
}

#[test]
fn one_eip_serves_both_ways_and_snat_skips_mapped_ports() {
    let text = with(
        "[[nat_gateway.dnat]]\neip = \"eip-1\"\nprotocol = \"udp\"\nexternal_port = \"2000-2099\"\ninstance = \"b\"\n",
    );
    let mut world = World::new(&text);
    for port in [2000, 2050, 2099] {
        let out = at("wan", world.from("a", Packet::udp((A, port), (SERVER, 1))));
        assert!(!(2000..=2099).contains(&out.sport()), "{}", out.sport());
    }
    let kept = at("wan", world.from("a", Packet::udp((A, 2100), (SERVER, 1))));
    assert_eq!(kept.sport(), 2100);
    // TCP has its own ports.
    let tcp = at(
        "wan",
        world.from("a", Packet::tcp((A, 2000), (SERVER, 1), SYN)),
    );
    assert_eq!(tcp.sport(), 2000);
    // The mapping takes the port of the very server that SNAT talks to.
    let inside = at("b", world.net(Packet::udp((SERVER, 1), (EIP1, 2000))));
    assert_eq!(inside.dst, ip(B));
}

/// A long range of mapped ports does not hide the free ones behind it.
#[test]
fn snat_finds_ports_behind_a_long_mapped_range() {
    let text = with(
        "[[nat_gateway.dnat]]\neip = \"eip-1\"\nprotocol = \"udp\"\nexternal_port = \"1024-60000\"\ninstance = \"b\"\n",
    );
    let mut world = World::new(&text);
    for port in 2000..2100 {
        let out = at("wan", world.from("a", Packet::udp((A, port), (SERVER, 1))));
        assert!(out.sport() > 60_000, "{}", out.sport());
    }
    assert_eq!(world.ports_used("eip-1"), [0, 100, 0]);
}

/// An entry is made for a port that SNAT has given away: the session goes on, the port is not given again.
#[test]
fn an_entry_for_a_port_in_use() {
    let mut world = World::new(BASE);
    let out = at("wan", world.from("a", Packet::udp((A, 2000), (SERVER, 1))));
    let entry = "[[nat_gateway.dnat]]\neip = \"eip-1\"\nprotocol = \"udp\"\nexternal_port = 2000\ninstance = \"b\"\n";
    world.apply(&with(entry));
    at("a", world.net(out.answer(0)));
    at(
        "b",
        world.net(Packet::udp(("198.51.100.8", 1), (EIP1, 2000))),
    );
    world.seconds(70);
    let out = at("wan", world.from("a", Packet::udp((A, 2000), (SERVER, 1))));
    assert_ne!(out.sport(), 2000);
    world.apply(BASE);
    let out = at("wan", world.from("b", Packet::udp((B, 2000), (SERVER, 1))));
    assert_eq!(out.sport(), 2000);
}

#[test]
fn two_eips_of_one_instance_are_told_apart_by_the_source_port() {
    let entries = "[[nat_gateway.dnat]]\neip = \"eip-2\"\nprotocol = \"tcp\"\nexternal_port = 80\ninstance = \"b\"\ninternal_port = 8081\n";
    let mut world = World::new(&with(entries));
    let first = at("b", world.net(Packet::tcp((SERVER, 999), (EIP1, 80), SYN)));
    let second = at("b", world.net(Packet::tcp((SERVER, 999), (EIP2, 80), SYN)));
    assert_eq!((first.dport(), second.dport()), (8080, 8081));
    // One to one and by an entry, to the very same port: the second gets another source port.
    let own = OWN.replace("instance = \"a\"", "instance = \"b\"");
    let mut world = World::new(&BASE.replacen("[[eip]]", &format!("{own}\n[[eip]]"), 1));
    let one = Packet::tcp((SERVER, 999), (EIP1, 80), SYN);
    let other = Packet::tcp((SERVER, 999), ("203.0.113.12", 8080), SYN);
    let first = at("b", world.net(one.clone()));
    let second = at("b", world.net(other.clone()));
    assert_eq!((first.dport(), second.dport()), (8080, 8080));
    assert_ne!(first.sport(), second.sport());
    let back = at("wan", world.from("b", second.answer(SYN | ACK)));
    assert_eq!(back.tuple(), other.answer(0).tuple());
    let back = at("wan", world.from("b", first.answer(SYN | ACK)));
    assert_eq!(back.tuple(), one.answer(0).tuple());
}

/// That A reaches B through an EIP and is seen as it, by this entry.
fn reaches_the_other_by(world: &mut World, entry: &str) {
    let syn = Packet::tcp((A, 5000), (EIP1, 80), SYN);
    let seen = at("b", world.from("a", syn.clone()));
    assert_eq!(seen.tuple(), "203.0.113.10:5000 > 10.0.2.10:8080");
    assert_eq!(seen.ttl, 63);
    let back = at("a", world.from("b", seen.answer(SYN | ACK)));
    assert_eq!(back.tuple(), syn.answer(0).tuple());
    let data = one(world.from("a", Packet::tcp((A, 5000), (EIP1, 80), ACK).len(100)));
    assert!(data.fast);
    let session = world.session();
    assert_eq!(session.direction, "hairpin");
    assert_eq!(session.entry.as_deref(), Some(entry));
}

/// RFC 4787, REQ-9: the other sees the EIP, not the private address.
#[test]
fn hairpin_to_another() {
    let mut world = World::new(BASE);
    reaches_the_other_by(&mut world, "ngw/10.0.0.0/16");
}

#[test]
fn hairpin_to_oneself() {
    let mut world = World::new(BASE);
    let syn = Packet::tcp((B, 5000), (EIP1, 80), SYN);
    let seen = at("b", world.from("b", syn.clone()));
    assert_eq!(seen.tuple(), "203.0.113.10:5000 > 10.0.2.10:8080");
    let back = at("b", world.from("b", seen.answer(SYN | ACK)));
    assert_eq!(back.tuple(), syn.answer(0).tuple());

    // By one's own EIP, from and to the same port.
    let text = BASE.replacen("[[eip]]", &format!("{OWN}\n[[eip]]"), 1);
    let mut world = World::new(&text);
    let own = "203.0.113.12";
    let packet = Packet::udp((A, 7000), (own, 7000));
    let seen = at("a", world.from("a", packet.clone()));
    assert_eq!((seen.src, seen.dst, seen.dport()), (ip(own), ip(A), 7000));
    let back = at("a", world.from("a", seen.answer(0)));
    assert_eq!(back.tuple(), packet.answer(0).tuple());
    let ping = Packet::ping(A, own, 9);
    let seen = at("a", world.from("a", ping.clone()));
    let back = at("a", world.from("a", seen.answer(0)));
    assert_eq!(back.tuple(), ping.answer(0).tuple());
}

#[test]
fn hairpin_to_a_mapping_with_endpoint_independent_filtering() {
    let text = base(&[(
        "id = \"ngw\"",
        "id = \"ngw\"\nfiltering = \"endpoint-independent\"",
    )]);
    let mut world = World::new(&text);
    let out = at("wan", world.from("b", Packet::udp((B, 6000), (SERVER, 1))));
    assert_eq!(out.sport(), 6000);
    let packet = Packet::udp((A, 5000), (EIP1, 6000));
    let seen = at("b", world.from("a", packet.clone()));
    assert_eq!(seen.tuple(), "203.0.113.10:5000 > 10.0.2.10:6000");
    let back = at("a", world.from("b", seen.answer(0)));
    assert_eq!(back.tuple(), packet.answer(0).tuple());
}

/// Whoever may not go out reaches the gateway's own EIPs all the same, as everybody does, and is seen as the one it asks.
#[test]
fn hairpin_without_an_snat_entry() {
    let snat = "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-1\"]\n";
    let any = "[[nat_gateway.dnat]]\neip = \"eip-2\"\nprotocol = \"any\"\ninstance = \"b\"\n";
    let text = base(&[(snat, any)]);
    let mut world = World::new(&text);
    reaches_the_other_by(&mut world, "ngw/eip-1/tcp/80");
    let seen = at("b", world.from("a", Packet::ping(A, EIP2, 4)));
    assert_eq!(seen.src, ip(EIP2));
    // The gateway answers for an EIP that nothing takes a ping to.
    let ping = Packet::ping(A, EIP1, 7);
    assert_eq!(at("a", world.from("a", ping.clone())), ping.answer(0));
    // The next daemon and another configuration let it go on.
    world.restart();
    world.apply(&(text.clone() + "\n[[eip]]\nid = \"eip-3\"\naddress = \"203.0.113.12\"\n"));
    let data = one(world.from("a", Packet::tcp((A, 5000), (EIP1, 80), ACK).len(100)));
    assert_eq!((data.fast, &*data.at), (true, "b"));
    // Out it does not go, nor to what nothing takes.
    for (to, why) in [(SERVER, "no_snat"), (EIP1, "not_mapped")] {
        let packet = Packet::udp((A, 1), (to, 1));
        assert_eq!(reason(&mut world, |w| drop(w.from("a", packet))), why);
    }
}

#[test]
fn hairpin_meets_the_receivers_security_group() {
    let text = BASE.replace(
        "id = \"b\"\nvswitch = \"vsw-b\"\naddress = \"10.0.2.10\"\nsecurity_groups = [\"open\"]",
        "id = \"b\"\nvswitch = \"vsw-b\"\naddress = \"10.0.2.10\"",
    );
    let mut world = World::new(&text);
    let syn = Packet::tcp((A, 5000), (EIP1, 80), SYN);
    let why = reason(&mut world, |w| {
        at("a", w.from("a", syn));
    });
    assert_eq!(why, "security_group_in");
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
}

#[test]
fn an_eip_that_is_not_bound_takes_nothing() {
    let text = base(&[(
        "[[nat_gateway]]",
        "[[eip]]\nid = \"eip-free\"\naddress = \"203.0.113.20\"\n\n[[nat_gateway]]",
    )]);
    let mut world = World::new(&text);
    let syn = Packet::tcp((SERVER, 1), ("203.0.113.20", 80), SYN);
    assert_eq!(reason(&mut world, |w| none(w.net(syn))), "not_mapped");
    let ping = Packet::ping(SERVER, "203.0.113.20", 1);
    assert_eq!(reason(&mut world, |w| none(w.net(ping))), "not_mapped");
    let other = Packet::ping(SERVER, "203.0.113.99", 1);
    assert_eq!(
        reason(&mut world, |w| none(w.net(other))),
        "not_our_address"
    );
}

/// Rules that let in a VPC's own addresses mean nobody outside (RFC 3704).
#[test]
fn what_is_inside_cannot_come_from_outside() {
    let lan = "address = \"10.0.1.10\"\nhosts = [\"172.20.0.0/16\"]\n";
    let peer = r#"
[[vpc]]
id = "peer"
cidr = "172.16.0.0/16"
[[peering]]
id = "pcx"
vpcs = ["vpc", "peer"]
[[route_table]]
vpc = "vpc"
system = true
route = [
    { destination = "172.16.0.0/16", peering = "pcx" },
    { destination = "172.20.0.0/16", instance = "a" },
]
"#;
    let text = base(&[("address = \"10.0.1.10\"\n", lan)]) + peer;
    let mut world = World::new(&text);
    for inside in [A, B, "10.0.1.253", "10.0.9.9", "172.16.3.4", "172.20.0.1"] {
        let packet = Packet::tcp((inside, 1), (EIP1, 80), SYN);
        assert_eq!(
            reason(&mut world, |w| none(w.net(packet))),
            "spoofed",
            "{inside}"
        );
    }
    assert_eq!(world.sessions(), []);
    for outside in ["10.1.0.1", "172.17.0.1", SERVER] {
        at("b", world.net(Packet::tcp((outside, 1), (EIP1, 80), SYN)));
    }
}
