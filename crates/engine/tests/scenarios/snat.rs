//! Source translation: mapping, filtering, pools, limits.

use crate::common::*;
use flow::reason::Reason;
use std::collections::HashSet;

/// A packet goes out and its answer comes back, twice: by the engine, then by the kernel.
fn round_trips(world: &mut World, packet: Packet, seen_as: &str, flags: (u8, u8)) {
    for fast in [false, true] {
        let out = one(world.from("a", packet.clone()));
        assert_eq!((out.at.as_str(), out.fast), ("wan", fast));
        assert_eq!(out.packet.tuple(), seen_as);
        assert_eq!(out.packet.ttl, packet.ttl - 1);
        assert_eq!(out.packet.data(), packet.data());
        let back = one(world.net(out.packet.answer(flags.1)));
        assert_eq!((back.at.as_str(), back.fast), ("a", true));
        let mut expected = packet.answer(flags.1);
        expected.ttl -= 1;
        assert_eq!(back.packet, expected);
    }
}

#[test]
fn udp_goes_out_and_comes_back() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 5000), (SERVER, 53));
    round_trips(
        &mut world,
        packet,
        "203.0.113.10:5000 > 198.51.100.7:53",
        (0, 0),
    );
    let session = world.session();
    assert_eq!(session.direction, "out");
    assert_eq!(session.eni, "a");
    assert_eq!(session.gateway.as_deref(), Some("ngw"));
    assert_eq!(session.entry.as_deref(), Some("ngw/10.0.0.0/16"));
    assert_eq!((session.packets_out, session.packets_in), (2, 2));
    assert_eq!((session.bytes_out, session.bytes_in), (2 * 51, 2 * 51));
    assert!(session.offloaded);
    assert_eq!(world.ports_used("eip-1"), [0, 1, 0]);
}

#[test]
fn tcp_goes_out_and_comes_back() {
    let mut world = World::new(BASE);
    let syn = Packet::tcp((A, 5000), (SERVER, 443), SYN);
    let out = at("wan", world.from("a", syn.clone()));
    assert_eq!(out.tuple(), "203.0.113.10:5000 > 198.51.100.7:443");
    let back = at("a", world.net(out.answer(SYN | ACK)));
    assert_eq!(back.tuple(), "198.51.100.7:443 > 10.0.1.10:5000");
    let ack = Packet::tcp((A, 5000), (SERVER, 443), ACK).len(1000);
    let out = one(world.from("a", ack));
    assert!(out.fast);
    assert_eq!(world.session().state, "established");
}

#[test]
fn ping_goes_out_and_comes_back() {
    let mut world = World::new(BASE);
    let packet = Packet::ping(A, SERVER, 77);
    round_trips(
        &mut world,
        packet,
        "203.0.113.10:77 > 198.51.100.7:0",
        (0, 0),
    );
    assert_eq!(world.ports_used("eip-1"), [0, 0, 1]);
}

#[test]
fn udp_without_checksum_stays_so() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 5000), (SERVER, 53)).unsummed();
    round_trips(
        &mut world,
        packet,
        "203.0.113.10:5000 > 198.51.100.7:53",
        (0, 0),
    );
}

#[test]
fn a_protocol_without_ports_is_not_translated() {
    let mut world = World::new(BASE);
    let why = reason(&mut world, |w| {
        let told = at("a", w.from("a", Packet::other(47, A, SERVER)));
        assert!(matches!(
            told.body,
            Body::Icmp {
                kind: 3,
                code: 13,
                ..
            }
        ));
    });
    assert_eq!(why, "protocol_not_translatable");
}

/// Two instances that use the same source port: the second gets another.
#[test]
fn a_port_that_is_taken_is_replaced_and_comes_free_again() {
    let mut world = World::new(BASE);
    let first = at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
    assert_eq!(first.sport(), 5000);
    let second = at("wan", world.from("b", Packet::udp((B, 5000), (SERVER, 53))));
    assert_ne!(second.sport(), 5000);
    assert!(second.sport() >= 1024);
    // Answers find their way apart.
    let a = at("a", world.net(first.answer(0)));
    assert_eq!(a.tuple(), "198.51.100.7:53 > 10.0.1.10:5000");
    let b = at("b", world.net(second.answer(0)));
    assert_eq!(b.tuple(), "198.51.100.7:53 > 10.0.2.10:5000");

    world.seconds(63);
    assert_eq!(world.sessions(), []);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
    let third = at("wan", world.from("b", Packet::udp((B, 5000), (SERVER, 53))));
    assert_eq!(third.sport(), 5000);
}

/// RFC 4787, REQ-1; RFC 5382, REQ-1.
#[test]
fn mapping_is_endpoint_independent() {
    let mut world = World::new(BASE);
    // Somebody else has the port, so that keeping it is not what makes the mapping the same.
    world.from("b", Packet::udp((B, 5000), (SERVER, 53)));
    let ports: HashSet<u16> = (1..=20)
        .map(|n| {
            let server = format!("198.51.100.{n}");
            let packet = Packet::udp((A, 5000), (&server, 50 + n));
            at("wan", world.from("a", packet)).sport()
        })
        .collect();
    assert_eq!(ports.len(), 1);
    assert!(!ports.contains(&5000));
    // Two ports in use: one for each instance.
    assert_eq!(world.ports_used("eip-1"), [0, 2, 0]);
    // The mapping outlives the session that made it.
    for _ in 0..3 {
        world.seconds(40);
        let server = Packet::udp((A, 5000), ("198.51.100.20", 70));
        assert!(ports.contains(&at("wan", world.from("a", server)).sport()));
    }
    assert_eq!(world.sessions().len(), 1);
    let other = Packet::udp((A, 5000), ("198.51.100.99", 70));
    assert!(ports.contains(&at("wan", world.from("a", other)).sport()));
}

/// RFC 4787, REQ-3: well-known ports stay well-known, others do not become so.
#[test]
fn port_ranges_are_kept() {
    let all = base(&[(
        "eips = [\"eip-1\", \"eip-2\"]",
        "eips = [\"eip-1\", \"eip-2\"]\nsnat_ports = \"1-65535\"",
    )]);
    let mut world = World::new(&all);
    for (port, low) in [(123, true), (1023, true), (1024, false), (40000, false)] {
        let kept = at("wan", world.from("a", Packet::udp((A, port), (SERVER, 53))));
        assert_eq!(kept.sport(), port);
        let other = at("wan", world.from("b", Packet::udp((B, port), (SERVER, 53))));
        assert_eq!(other.sport() < 1024, low, "{port} became {}", other.sport());
    }
    // By default SNAT does not use well-known ports at all.
    let mut world = World::new(BASE);
    let out = at("wan", world.from("a", Packet::udp((A, 123), (SERVER, 53))));
    assert!(out.sport() >= 1024);
}

#[test]
fn filtering_is_address_and_port_dependent_by_default() {
    let mut world = World::new(BASE);
    at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
    for stranger in [("198.51.100.8", 53), (SERVER, 54)] {
        let why = reason(&mut world, |w| {
            none(w.net(Packet::udp(stranger, (EIP1, 5000))))
        });
        assert_eq!(why, "not_mapped");
    }
    at("a", world.net(Packet::udp((SERVER, 53), (EIP1, 5000))));
}

fn endpoint_independent() -> String {
    base(&[(
        "id = \"ngw\"",
        "id = \"ngw\"\nfiltering = \"endpoint-independent\"",
    )])
}

#[test]
fn filtering_can_be_endpoint_independent() {
    let mut world = World::new(&endpoint_independent());
    at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
    for stranger in [("198.51.100.8", 53), (SERVER, 54)] {
        let packet = Packet::udp(stranger, (EIP1, 5000));
        let inside = at("a", world.net(packet.clone()));
        assert_eq!(inside.dst, ip(A));
        assert_eq!(inside.dport(), 5000);
        let back = at("wan", world.from("a", inside.answer(0)));
        assert_eq!(back.tuple(), packet.answer(0).tuple());
    }
    // A stranger's TCP connection, too.
    at(
        "wan",
        world.from("a", Packet::tcp((A, 6000), (SERVER, 80), SYN)),
    );
    at(
        "a",
        world.net(Packet::tcp(("198.51.100.8", 1), (EIP1, 6000), SYN)),
    );
    // But only what has a mapping, and not ping.
    assert_eq!(
        reason(&mut world, |w| none(
            w.net(Packet::udp((SERVER, 1), (EIP1, 5001)))
        )),
        "not_mapped"
    );
    // Strangers keep the mapping alive.
    for _ in 0..3 {
        world.seconds(40);
        at("a", world.net(Packet::udp((SERVER, 54), (EIP1, 5000))));
    }
    assert_eq!(world.ports_used("eip-1"), [0, 1, 0]);
    world.seconds(70);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
    assert_eq!(
        reason(&mut world, |w| none(
            w.net(Packet::udp((SERVER, 54), (EIP1, 5000)))
        )),
        "not_mapped"
    );
}

#[test]
fn what_a_mapping_lets_in_still_meets_the_security_group() {
    let text = endpoint_independent().replace("security_groups = [\"open\"]\n", "");
    let mut world = World::new(&text);
    at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
    let why = reason(&mut world, |w| {
        none(w.net(Packet::udp((SERVER, 54), (EIP1, 5000))))
    });
    assert_eq!(why, "security_group_in");
    at("a", world.net(Packet::udp((SERVER, 53), (EIP1, 5000))));
}

/// The configuration with SNAT entries instead of the one for the VPC.
fn entries(entries: &str) -> String {
    base(&[(
        "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-1\"]\n",
        entries,
    )])
}

#[test]
fn the_longest_prefix_wins() {
    let text = entries(
        r#"
[[nat_gateway.snat]]
source = "10.0.0.0/16"
eips = ["eip-1"]
[[nat_gateway.snat]]
vswitch = "vsw-a"
eips = ["eip-2"]
[[nat_gateway.snat]]
instance = "b"
eips = ["eip-2"]
"#,
    );
    let mut world = World::new(&text);
    let as_seen =
        |w: &mut World, eni, from| at("wan", w.from(eni, Packet::udp((from, 1), (SERVER, 1)))).src;
    assert_eq!(as_seen(&mut world, "a", A), ip(EIP2));
    assert_eq!(as_seen(&mut world, "b", B), ip(EIP2));
    let text = text.replacen("instance = \"b\"", "source = \"10.0.3.0/24\"", 1);
    let mut world = World::new(&text);
    assert_eq!(as_seen(&mut world, "a", A), ip(EIP2));
    assert_eq!(as_seen(&mut world, "b", B), ip(EIP1));
}

#[test]
fn without_an_entry_nothing_goes_out() {
    let mut world = World::new(&entries(
        "[[nat_gateway.snat]]\nvswitch = \"vsw-a\"\neips = [\"eip-1\"]\n",
    ));
    at("wan", world.from("a", Packet::udp((A, 1), (SERVER, 1))));
    let why = reason(&mut world, |w| {
        let told = at("b", w.from("b", Packet::udp((B, 1), (SERVER, 1))));
        assert!(matches!(
            told.body,
            Body::Icmp {
                kind: 3,
                code: 13,
                ..
            }
        ));
    });
    assert_eq!(why, "no_snat");
}

fn pool(pooling: &str) -> String {
    entries(&format!(
        "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-1\", \"eip-2\"]\npooling = \"{pooling}\"\n"
    ))
}

/// EIPs that are seen of packets with these source ports to these servers.
fn eips_seen(
    world: &mut World,
    ports: std::ops::Range<u16>,
    servers: std::ops::Range<u8>,
) -> Vec<String> {
    let mut seen = Vec::new();
    for port in ports {
        for server in servers.clone() {
            let server = format!("198.51.100.{server}");
            let out = at(
                "wan",
                world.from("a", Packet::udp((A, port), (&server, 53))),
            );
            seen.push(out.src.to_string());
        }
    }
    seen
}

#[test]
fn hash_spreads_connections_over_the_pool() {
    let mut world = World::new(&pool("hash"));
    let seen = eips_seen(&mut world, 2000..2400, 1..2);
    let first = seen.iter().filter(|eip| *eip == EIP1).count();
    assert!(
        (150..250).contains(&first),
        "{first} of 400 by the first EIP"
    );
    // One source port keeps its EIP whatever the destination.
    let seen = eips_seen(&mut world, 3000..3001, 1..100);
    assert!(seen.iter().all(|eip| *eip == seen[0]));
}

#[test]
fn affinity_keeps_the_eip_towards_a_destination() {
    let mut world = World::new(&pool("affinity"));
    let mut both = HashSet::new();
    for server in 1..50 {
        let seen = eips_seen(&mut world, 2000..2005, server..server + 1);
        assert!(seen.iter().all(|eip| *eip == seen[0]));
        both.insert(seen[0].clone());
    }
    assert_eq!(both.len(), 2);
}

#[test]
fn paired_keeps_the_eip_of_a_client() {
    let mut world = World::new(&pool("paired"));
    let seen = eips_seen(&mut world, 2000..2020, 1..20);
    assert!(seen.iter().all(|eip| *eip == seen[0]));
    // Not all clients have the same.
    let text = pool("paired").replace(
        "address = \"10.0.1.10\"",
        "address = \"10.0.1.10\"\nhosts = [\"10.0.1.128/26\"]",
    );
    let mut world = World::new(&text);
    let eips: HashSet<_> = (128..192)
        .map(|n| {
            let host = format!("10.0.1.{n}");
            at("wan", world.from("a", Packet::udp((&host, 1), (SERVER, 1)))).src
        })
        .collect();
    assert_eq!(eips.len(), 2);
}

#[test]
fn a_change_of_the_pool_keeps_sessions() {
    let mut world = World::new(&pool("hash"));
    let seen = eips_seen(&mut world, 2000..2100, 1..2);
    let flows = world.flows();
    // The first EIP leaves the pool but not the gateway: its sessions drain.
    let mut config = parse(&entries(
        "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-2\"]\n",
    ));
    config.nat_gateways[0].snat[0].drains.push(model::Drain {
        source: "10.0.0.0/16".parse().unwrap(),
        eips: vec!["eip-1".into()],
        until: 10_000,
    });
    world.apply_config(config);
    assert_eq!(world.flows(), flows);
    assert_eq!(eips_seen(&mut world, 2000..2100, 1..2), seen);
    assert!(
        eips_seen(&mut world, 3000..3100, 1..2)
            .iter()
            .all(|eip| eip == EIP2)
    );
    // It leaves the gateway: they end, the others go on.
    let kept = seen.iter().filter(|eip| *eip == EIP2).count();
    world.apply(
        &entries("[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-2\"]\n")
            .replace("eips = [\"eip-1\", \"eip-2\"]", "eips = [\"eip-2\"]")
            .replace(
                "[[nat_gateway.dnat]]\neip = \"eip-1\"",
                "[[nat_gateway.dnat]]\neip = \"eip-2\"",
            ),
    );
    assert_eq!(world.sessions().len(), kept + 100);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
}

/// RFC 6888, REQ-4.
#[test]
fn a_source_has_so_many_sessions_and_no_more() {
    let text = base(&[("id = \"ngw\"", "id = \"ngw\"\nmax_sessions_per_source = 3")]);
    let mut world = World::new(&text);
    for port in 1..=3 {
        at("wan", world.from("a", Packet::udp((A, port), (SERVER, 1))));
    }
    let why = reason(&mut world, |w| {
        none(w.from("a", Packet::udp((A, 4), (SERVER, 1))))
    });
    assert_eq!(why, "source_limit");
    // Others are not concerned, nor what comes in, nor what stays inside.
    at("wan", world.from("b", Packet::udp((B, 4), (SERVER, 1))));
    at("b", world.from("a", Packet::udp((A, 4), (B, 1))));
    for port in 1..=5 {
        at("b", world.net(Packet::tcp((SERVER, port), (EIP1, 80), SYN)));
    }
    world.seconds(30);
    at("wan", world.from("a", Packet::udp((A, 1), (SERVER, 1))));
    world.seconds(33);
    // Two have ended.
    for port in 4..=5 {
        at("wan", world.from("a", Packet::udp((A, port), (SERVER, 1))));
    }
    let why = reason(&mut world, |w| {
        none(w.from("a", Packet::udp((A, 6), (SERVER, 1))))
    });
    assert_eq!(why, "source_limit");
}

#[test]
fn there_are_so_many_sessions_and_no_more() {
    let mut world = World::new(&base(&[("max_sessions = 4096", "max_sessions = 1024")]));
    world.checked = false;
    for port in 1..=1024 {
        at("wan", world.from("a", Packet::udp((A, port), (SERVER, 1))));
    }
    let why = reason(&mut world, |w| {
        none(w.from("a", Packet::udp((A, 2000), (SERVER, 1))))
    });
    assert_eq!(why, "session_limit");
    // Those that are there go on.
    at("wan", world.from("a", Packet::udp((A, 1), (SERVER, 1))));
    world.engine.check();
    assert_eq!(world.dropped(Reason::SessionLimit), 1);
}

/// A gateway that maps dependent on the endpoint: every destination sees another port, also when there are fewer ports than
/// destinations, and after a restart.
#[test]
fn mapping_may_depend_on_the_endpoint() {
    let file = |mapping: &str, ports: &str| {
        let gateway = format!("id = \"ngw\"\nmapping = \"{mapping}\"\nsnat_ports = \"{ports}\"");
        base(&[("id = \"ngw\"", &gateway)])
    };
    let dependent = "address-and-port-dependent";
    let mut world = World::new(&file(dependent, "5000-5009"));
    let destinations = [(SERVER, 53), (SERVER, 54), ("198.51.100.8", 53)];
    let sent = destinations.map(|to| at("wan", world.from("a", Packet::udp((A, 5000), to))));
    assert_eq!(sent[0].sport(), 5000, "the first keeps its port");
    let ports: HashSet<u16> = sent.iter().map(Packet::sport).collect();
    assert_eq!(ports.len(), destinations.len());
    for _ in 0..2 {
        for packet in &sent {
            let back = at("a", world.net(packet.answer(0)));
            assert_eq!(back.dport(), 5000);
        }
        assert_eq!(world.ports_used("eip-1"), [0, 3, 0]);
        world.restart();
    }
    // More destinations than ports.
    for port in 100..130 {
        let out = at(
            "wan",
            world.from("a", Packet::udp((A, 5000), (SERVER, port))),
        );
        at("a", world.net(out.answer(0)));
    }
    assert_eq!(world.sessions().len(), 33);
    // What is open stays as it is; what is new goes by one port.
    world.apply(&file("endpoint-independent", "5000-5009"));
    for packet in &sent {
        at("a", world.net(packet.answer(0)));
    }
    let later = [200, 201, 202].map(|port| {
        let packet = Packet::udp((A, 6000), (SERVER, port));
        at("wan", world.from("a", packet)).sport()
    });
    assert_eq!(later, [later[0]; 3]);
    world.seconds(70);
    assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
}
