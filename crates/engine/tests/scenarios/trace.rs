//! A trace says what would happen: the same packet is then sent.

use crate::common::*;
use engine::{Probe, ProbeFrom, TraceError, TraceView};

fn trace(world: &World, from: &str, packet: &Packet) -> TraceView {
    let probe = Probe {
        from: match from {
            "wan" => ProbeFrom::Address(packet.src),
            eni => ProbeFrom::Eni(eni.into()),
        },
        src_port: packet.sport(),
        to: packet.dst,
        dst_port: packet.dport(),
        protocol: packet.proto(),
        app: None,
        domain: None,
    };
    world.engine.trace(&probe).expect("a trace")
}

/// Traces a packet, sends it, and compares.
#[track_caller]
pub fn agrees(world: &mut World, from: &str, packet: Packet) -> TraceView {
    let stats = world.stats();
    let view = trace(world, from, &packet);
    assert_eq!(world.stats(), stats, "a trace changes nothing");
    let drops = world.drops();
    let seen = world.send(from, packet.clone(), engine::Offload::NONE);
    let after = world.drops();
    let dropped = after
        .iter()
        .find(|(reason, n)| drops.get(*reason) != Some(n));
    match dropped {
        Some((reason, _)) => {
            assert_eq!(view.verdict, *reason, "{view:#?}");
            assert_eq!(view.translated, None);
        }
        None if view.verdict == "answered" => assert_eq!(at(from, seen), packet.answer(0)),
        None => {
            assert_eq!(view.verdict, "forwarded", "{view:#?}");
            let t = view.translated.clone().unwrap();
            let said = format!("{}:{} > {}:{}", t.src, t.src_port, t.dst, t.dst_port);
            assert_eq!(one(seen).packet.tuple(), said, "{view:#?}");
        }
    }
    view
}

#[test]
fn what_is_traced_happens() {
    let text = format!(
        "{}\n[[nat_gateway.snat]]\nsource = \"10.0.2.0/24\"\neips = [\"eip-1\", \"eip-2\"]\n",
        base(&[(
            "id = \"ngw\"",
            "id = \"ngw\"\nsnat_ports = \"2000-2003\"\nmax_sessions_per_source = 7"
        )])
    );
    let mut world = World::new(&text);
    for round in 0..3 {
        for n in 0..4 {
            agrees(&mut world, "a", Packet::udp((A, 2001 + n), (SERVER, 53)));
            agrees(&mut world, "b", Packet::udp((B, 2000 + n), (SERVER, 53)));
            agrees(
                &mut world,
                "b",
                Packet::tcp((B, 5), ("198.51.100.9", n), SYN),
            );
            agrees(
                &mut world,
                "wan",
                Packet::tcp((SERVER, 7 + n), (EIP1, 80), SYN),
            );
            agrees(&mut world, "a", Packet::udp((A, 1), (B, n)));
        }
        agrees(&mut world, "a", Packet::tcp((A, 5), (EIP1, 80), SYN));
        agrees(&mut world, "b", Packet::tcp((B, 5), (EIP1, 80), SYN));
        agrees(&mut world, "a", Packet::ping(A, SERVER, 5));
        agrees(&mut world, "a", Packet::ping(A, EIP1, 5));
        agrees(&mut world, "a", Packet::ping(A, "10.0.1.253", 5));
        agrees(&mut world, "a", Packet::udp((A, 1), ("10.0.1.253", 5)));
        agrees(&mut world, "a", Packet::udp((A, 1), ("10.0.9.9", 5)));
        agrees(&mut world, "a", Packet::udp((A, 1), ("224.0.0.1", 5)));
        agrees(&mut world, "a", Packet::other(47, A, SERVER));
        agrees(&mut world, "wan", Packet::ping(SERVER, EIP1, 5));
        agrees(&mut world, "wan", Packet::ping(SERVER, "203.0.113.2", 5));
        agrees(&mut world, "wan", Packet::udp((SERVER, 1), (EIP1, 80)));
        agrees(
            &mut world,
            "wan",
            Packet::udp((SERVER, 1), ("203.0.113.90", 80)),
        );
        agrees(&mut world, "wan", Packet::udp((EIP1, 1), (EIP1, 80)));
        agrees(
            &mut world,
            "wan",
            Packet::udp((EIP1, 1), ("203.0.113.2", 80)),
        );
        world.seconds(if round == 0 { 1 } else { 70 });
    }
}

/// A packet that answers, and a connection that begins again.
#[test]
fn what_belongs_to_a_session_is_traced_by_it() {
    let mut world = World::new(BASE);
    world.from("b", Packet::tcp((B, 5000), (SERVER, 80), SYN));
    let syn = Packet::tcp((A, 5000), (SERVER, 80), SYN);
    let out = at("wan", world.from("a", syn.clone()));
    assert_ne!(out.sport(), 5000);
    let view = agrees(&mut world, "a", syn.clone());
    assert!(view.steps.iter().any(|step| step.step == "session"));
    agrees(&mut world, "wan", out.answer(SYN | ACK));
    world.net(out.answer(RST));
    agrees(&mut world, "wan", out.answer(SYN));
    agrees(&mut world, "a", syn);
    // A connection by an entry that is over, and another one.
    let syn = Packet::tcp((SERVER, 9), (EIP1, 80), SYN);
    let inside = at("b", world.net(syn.clone()));
    world.from("b", inside.answer(RST | ACK));
    agrees(&mut world, "wan", syn);
}

#[test]
fn every_step_names_what_decided() {
    let world = World::new(BASE);
    let view = trace(&world, "a", &Packet::tcp((A, 5000), (SERVER, 443), SYN));
    let route = "198.51.100.7 by NAT gateway ngw (0.0.0.0/0)";
    assert_eq!(view.steps[2].result, route);
    let said: Vec<(String, Option<String>)> = view
        .steps
        .into_iter()
        .map(|s| (s.step, s.resource))
        .collect();
    let expected = [
        ("port", Some("a")),
        ("security group out", None),
        ("route", Some("vpc/system")),
        ("snat", Some("ngw/10.0.0.0/16")),
        ("uplink", Some("wan")),
        ("port", Some("eip-1")),
        ("translation", Some("ngw/10.0.0.0/16")),
    ];
    let expected: Vec<_> = expected
        .map(|(s, r)| (s.to_owned(), r.map(str::to_owned)))
        .into();
    assert_eq!(said, expected);
    let view = trace(&world, "wan", &Packet::tcp((SERVER, 5000), (EIP1, 80), SYN));
    // Of the routes that hold an address the one that counts: the vSwitch's, not the VPC's.
    assert_eq!(
        view.steps[2].result,
        "10.0.2.10 is local in vpc (10.0.2.0/24)"
    );
    let last = view.steps.last().unwrap();
    assert_eq!(last.resource.as_deref(), Some("ngw/eip-1/tcp/80"));
    let view = trace(&world, "wan", &Packet::tcp((SERVER, 5000), (EIP1, 81), SYN));
    assert_eq!(view.steps.last().unwrap().step, "drop");
}

#[test]
fn a_trace_of_nobody() {
    let world = World::new(BASE);
    let probe = |from| Probe {
        from,
        src_port: 1,
        to: ip(SERVER),
        dst_port: 1,
        protocol: UDP,
        app: None,
        domain: None,
    };
    let error = world
        .engine
        .trace(&probe(ProbeFrom::Eni("x".into())))
        .unwrap_err();
    assert_eq!(error, TraceError::UnknownEni("x".into()));
}

#[test]
fn sessions_are_told_in_pages_and_filtered() {
    use engine::SessionFilter;
    let mut world = World::new(BASE);
    for port in 1000..1100 {
        world.from("a", Packet::udp((A, port), (SERVER, 1)));
    }
    world.from("b", Packet::tcp((B, 1), (SERVER, 1), SYN));
    at("b", world.from("a", Packet::udp((A, 1), (B, 1))));
    let all = |filter: SessionFilter, limit: usize| {
        let (mut found, mut cursor) = (0, Some(0));
        while let Some(at) = cursor {
            let (page, next) = world.engine.sessions(at, limit, &filter, world.now);
            assert!(page.len() <= limit);
            assert!(next.is_none_or(|next| next > at));
            found += page.len();
            cursor = next;
        }
        found
    };
    let any = SessionFilter::default;
    for limit in [1, 7, 1000, usize::MAX, 1 << 28] {
        assert_eq!(all(any(), limit), 102);
        assert_eq!(
            all(
                SessionFilter {
                    protocol: Some(TCP),
                    ..any()
                },
                limit
            ),
            1
        );
        assert_eq!(
            all(
                SessionFilter {
                    eni: Some("a".into()),
                    ..any()
                },
                limit
            ),
            101
        );
        assert_eq!(
            all(
                SessionFilter {
                    gateway: Some("ngw".into()),
                    ..any()
                },
                limit
            ),
            101
        );
        assert_eq!(
            all(
                SessionFilter {
                    address: Some(ip(B)),
                    ..any()
                },
                limit
            ),
            2
        );
        assert_eq!(
            all(
                SessionFilter {
                    address: Some(ip(EIP1)),
                    ..any()
                },
                limit
            ),
            101
        );
    }
    assert_eq!(
        world.engine.sessions(5000, 10, &any(), world.now),
        (vec![], None)
    );
}
