//! Firewalls that decide by addresses, ports and protocols: on the first packet.

use crate::common::*;
use engine::record::{FirewallKind, RecordKind, RecordResult};
use flow::reason::Reason;
use model::{NextHop, PolicyScope, Route};

fn to(port: u16) -> Packet {
    Packet::tcp((A, 5000), (SERVER, port), SYN)
}

#[test]
fn the_first_policy_that_matches_decides() {
    let mut world = world(loose(vec![
        accept("web").port(443),
        refuse("net").towards("198.51.100.0/24"),
        accept("rest"),
    ]));
    at("wan", world.from("a", to(443)));
    let told = at("a", world.from("a", to(80)));
    assert!(matches!(
        told.body,
        Body::Icmp {
            kind: 3,
            code: 13,
            ..
        }
    ));
    assert_eq!(world.dropped(Reason::NatFirewall), 1);
    at(
        "wan",
        world.from("a", Packet::udp((A, 5000), ("192.0.2.1", 80))),
    );
    assert_eq!(world.sessions().len(), 2);
    let hits = world.engine.policy_hits(&scope());
    let hits: Vec<_> = hits
        .iter()
        .map(|it| (it.policy.as_str(), it.hits))
        .collect();
    assert_eq!(hits, [("web", 1), ("net", 1), ("rest", 1)]);
}

#[test]
fn what_no_policy_matches_passes_unless_the_default_says_otherwise() {
    let mut config = loose(vec![accept("web").port(443)]);
    let mut open = world(config.clone());
    at("wan", open.from("a", to(80)));
    config.firewalls.nat[0].settings.default_action = model::Policy::Drop;
    config.firewalls.nat[0].settings.on_drop = model::OnDrop::Silent;
    let mut closed = world(config);
    assert_eq!(
        reason(&mut closed, |w| none(w.from("a", to(80)))),
        "nat_firewall"
    );
    at("wan", closed.from("a", to(443)));
}

/// The kernel forwards what is allowed by addresses alone from the second packet on, as without a firewall.
#[test]
fn an_allowed_session_goes_through_the_kernel() {
    let mut world = world(loose(vec![accept("all")]));
    let packet = Packet::udp((A, 5000), (SERVER, 53));
    world.from("a", packet.clone());
    let out = one(world.from("a", packet));
    assert!(out.fast);
    assert!(one(world.net(out.packet.answer(0))).fast);
}

/// A more specific route straight to the gateway goes past the firewall.
#[test]
fn a_more_specific_route_bypasses_the_firewall() {
    let mut config = loose(vec![refuse("all")]);
    let routes = &mut config.route_tables[0].routes;
    routes.push(Route {
        destination: "198.51.100.0/24".parse().unwrap(),
        next_hop: NextHop::NatGateway("ngw".into()),
    });
    let mut world = world(config);
    at("wan", world.from("a", to(443)));
    let why = reason(&mut world, |w| {
        w.from("a", Packet::tcp((A, 5000), ("192.0.2.1", 443), SYN));
    });
    assert_eq!(why, "nat_firewall");
}

/// The border sees EIPs, the NAT firewall private addresses, and the border is asked first.
#[test]
fn each_firewall_sees_its_own_addresses_and_the_border_comes_first() {
    let mut config = border(
        vec![refuse("eip").source("203.0.113.10/32").port(25)],
        vec![],
    );
    add_firewall(&mut config, model::EngineMode::Loose);
    set_policies(
        &mut config,
        scope(),
        vec![
            refuse("private").source("10.0.1.10/32").port(25),
            refuse("telnet").source("10.0.1.10/32").port(23),
        ],
    );
    let mut world = world(config);
    assert_eq!(
        reason(&mut world, |w| drop(w.from("a", to(25)))),
        "border_firewall"
    );
    assert_eq!(
        reason(&mut world, |w| drop(w.from("a", to(23)))),
        "nat_firewall"
    );
    at("wan", world.from("a", to(443)));
    let private = world.engine.policy_hits(&scope());
    assert_eq!(
        private[0].hits, 0,
        "the first refusal is the one that counts"
    );
}

#[test]
fn the_border_decides_about_what_comes_in() {
    let mut world = world(border(
        vec![],
        vec![accept("friend").source("198.51.100.7/32"), refuse("all")],
    ));
    at("b", world.net(Packet::tcp((SERVER, 7), (EIP1, 80), SYN)));
    let stranger = Packet::tcp(("198.51.100.8", 7), (EIP1, 80), SYN);
    assert_eq!(
        reason(&mut world, |w| none(w.net(stranger))),
        "border_firewall"
    );
    let hits = world.engine.policy_hits(&PolicyScope::BorderIn);
    assert_eq!(hits.iter().map(|it| it.hits).collect::<Vec<_>>(), [1, 1]);
}

/// What the border refuses on the way in is counted and put down, whether or not something behind it would take it.
#[test]
fn what_the_border_refuses_on_the_way_in_is_put_down() {
    let mut world = world(border(vec![], vec![refuse("all")]));
    world.record();
    let knock = |port| Packet::tcp((SERVER, 7), (EIP1, port), SYN);
    let tries = [
        // A DNAT entry takes it; nothing does; the EIP would answer itself.
        knock(80),
        knock(22),
        Packet::ping(SERVER, EIP2, 1),
    ];
    for (n, packet) in (1..).zip(tries) {
        let (tuple, mapped) = (packet.tuple(), packet.dport() == 80);
        assert_eq!(
            reason(&mut world, |w| none(w.net(packet))),
            "border_firewall"
        );
        assert_eq!(world.engine.firewall_stats().refused_first, n);
        assert_eq!(world.engine.policy_hits(&PolicyScope::BorderIn)[0].hits, n);
        let records = world.take_records();
        let [record] = &records[..] else {
            panic!("{tuple}: {records:#?}")
        };
        assert_eq!(
            (record.kind, record.result, record.direction),
            (RecordKind::Refused, RecordResult::Drop, "in")
        );
        let [said] = &record.firewalls[..] else {
            panic!("{record:#?}")
        };
        assert_eq!(said.kind, FirewallKind::BorderIn);
        let policy = said.policy.as_ref().map(|it| it.id.as_str());
        assert_eq!(policy, Some("all"));
        assert_eq!(record.place.is_some(), mapped, "{tuple}");
        assert!(record.eip.is_some() && record.gateway.is_some(), "{tuple}");
        assert_eq!(record.packets_out, 1, "{tuple}");
    }
}

/// What the border lets pass and nothing takes is no refusal of the border's.
#[test]
fn what_the_border_lets_pass_goes_on_as_it_would() {
    let mut world = world(border(vec![], vec![refuse("ssh").port(22)]));
    world.record();
    let knock = Packet::tcp((SERVER, 7), (EIP1, 23), SYN);
    assert_eq!(reason(&mut world, |w| none(w.net(knock))), "not_mapped");
    let pong = at("wan", world.net(Packet::ping(SERVER, EIP2, 1)));
    assert_eq!(pong.dst, ip(SERVER));
    assert_eq!(world.engine.firewall_stats().refused_first, 0);
    assert_eq!(world.take_records(), []);
}

#[test]
fn what_comes_in_goes_through_the_nat_firewall_if_it_is_to() {
    let mut config = loose(vec![refuse("b").towards("10.0.2.10/32").port(8080)]);
    let knock = || Packet::tcp((SERVER, 7), (EIP1, 80), SYN);
    let mut outward = world(config.clone());
    at("b", outward.net(knock()));
    config.firewalls.nat[0].inbound = true;
    let mut both = world(config);
    assert_eq!(reason(&mut both, |w| none(w.net(knock()))), "nat_firewall");
}

/// What an instance sends to an EIP of ours leaves by one and comes in by the other.
#[test]
fn a_hairpin_is_asked_about_on_both_sides() {
    let knock = || Packet::tcp((A, 5000), (EIP1, 80), SYN);
    for (out, inward) in [
        (vec![refuse("out").towards("203.0.113.10/32")], vec![]),
        (vec![], vec![refuse("in").source("203.0.113.10/32")]),
    ] {
        let mut world = world(border(out, inward));
        assert_eq!(
            reason(&mut world, |w| drop(w.from("a", knock()))),
            "border_firewall"
        );
    }
    let mut world = world(border(vec![], vec![refuse("private").source("10.0.0.0/8")]));
    at("b", world.from("a", knock()));
}

/// An instance's ping to an EIP, which answers it itself, is asked about as what goes out and comes in; and so is what
/// nothing takes.
#[test]
fn a_hairpin_that_goes_nowhere_is_asked_about_on_both_sides() {
    let all = || vec![refuse("all")];
    let towards = |net: &str| vec![refuse("net").towards(net)];
    let configs = [
        (
            border(towards("203.0.113.11/32"), vec![]),
            Reason::BorderFirewall,
            FirewallKind::BorderOut,
        ),
        (
            border(vec![], vec![refuse("in").source("203.0.113.10/32")]),
            Reason::BorderFirewall,
            FirewallKind::BorderIn,
        ),
        (
            loose(vec![refuse("private").source("10.0.1.0/24")]),
            Reason::NatFirewall,
            FirewallKind::Nat,
        ),
    ];
    for (config, reason, kind) in configs {
        let mut world = world(config);
        world.record();
        for packet in [
            Packet::ping(A, EIP2, 1),
            Packet::tcp((A, 5000), (EIP2, 22), SYN),
        ] {
            let told = at("a", world.from("a", packet.clone()));
            assert!(
                matches!(
                    told.body,
                    Body::Icmp {
                        kind: 3,
                        code: 13,
                        ..
                    }
                ),
                "{told:?}"
            );
            let records = world.take_records();
            let [record] = &records[..] else {
                panic!("{records:#?}")
            };
            assert_eq!(
                (record.kind, record.direction, record.packets_out),
                (RecordKind::Refused, "hairpin", 1)
            );
            assert_eq!(
                (record.original.src, record.translated.src),
                (ip(A), ip(EIP1))
            );
            let last = record.firewalls.last().unwrap();
            assert_eq!((last.kind, last.action), (kind, model::PolicyAction::Drop));
        }
        assert_eq!(world.dropped(reason), 2);
        assert_eq!(world.engine.firewall_stats().refused_first, 2);
    }
    // What is let pass is answered as ever, and stays between instance and gateway.
    let mut open = world(border(
        vec![refuse("web").port(80)],
        vec![refuse("private").source("10.0.0.0/8")],
    ));
    let pong = at("a", open.from("a", Packet::ping(A, EIP2, 1)));
    assert_eq!(pong.src, ip(EIP2));
    // What stays inside is no business of the border's.
    let mut inside = world(border(all(), all()));
    at("b", inside.from("a", Packet::ping(A, B, 1)));
}

/// What is forbidden from now on ends; the entries of the rest are not touched.
#[test]
fn a_change_of_policies_ends_the_forbidden_and_touches_nothing_else() {
    let mut config = loose(vec![accept("all")]);
    let mut world = world(config.clone());
    let kept = Packet::udp((A, 5000), (SERVER, 53));
    let gone = Packet::udp((A, 5001), (SERVER, 123));
    for packet in [&kept, &gone] {
        world.from("a", packet.clone());
    }
    let flows = world.flows();
    set_policies(&mut config, scope(), vec![refuse("ntp").port(123)]);
    world.apply_config(config.clone());
    assert!(one(world.from("a", kept.clone())).fast);
    assert_eq!(
        reason(&mut world, |w| none(w.from("a", gone.clone()))),
        "nat_firewall"
    );
    let untouched = world
        .flows()
        .into_iter()
        .filter(|(_, key, ..)| key.dport != 123u16.to_be());
    let untouched = untouched.filter(|(_, key, ..)| key.sport != 123u16.to_be());
    for (slot, key, action, _) in untouched {
        let same = flows
            .iter()
            .any(|it| (it.0, it.1, it.2) == (slot, key, action));
        assert!(same, "{key:?}");
    }
    // It is allowed again before it was forgotten: it goes on.
    set_policies(&mut config, scope(), vec![accept("all")]);
    world.apply_config(config);
    world.from("a", gone.clone());
    assert!(one(world.from("a", gone)).fast);
}

/// The firewall is switched on and off under traffic: no packet is lost, no entry of the flow table changes.
#[test]
fn toggling_loses_nothing() {
    let mut config = loose(vec![refuse("domain").named("*.bad.example"), accept("all")]);
    divert(&mut config, false);
    let mut world = world(config.clone());
    let mut tcp = Connection::open(&mut world, 5000, SERVER, 22);
    let flows = |world: &World| -> Vec<_> {
        let flows = world.flows().into_iter();
        flows
            .map(|(slot, key, action, _)| (slot, key, action))
            .collect()
    };
    let before = flows(&world);
    let with = loose(vec![refuse("domain").named("*.bad.example"), accept("all")]);
    for n in 0..50 {
        world.apply_config(if n % 2 == 0 {
            with.clone()
        } else {
            config.clone()
        });
        let ping = tcp.client_says(ACK, b"ping");
        assert!(one(world.from("a", ping)).fast);
        let pong = tcp.server_says(ACK, b"pong");
        assert!(one(world.net(pong)).fast);
        assert_eq!(flows(&world), before);
    }
}

#[test]
fn counters_follow_their_policies_and_can_be_reset() {
    let mut config = loose(vec![accept("web").port(443), accept("rest")]);
    let mut world = world(config.clone());
    world.from("a", to(443));
    world.from("a", Packet::udp((A, 1), (SERVER, 1)).len(972));
    set_policies(
        &mut config,
        scope(),
        vec![
            refuse("new").port(1),
            accept("rest").port(2),
            accept("web").port(443),
        ],
    );
    world.apply_config(config);
    let hits = world.engine.policy_hits(&scope());
    let hits: Vec<_> = hits
        .iter()
        .map(|it| (it.policy.as_str(), it.hits, it.bytes))
        .collect();
    assert_eq!(hits, [("new", 1, 0), ("rest", 1, 1014), ("web", 1, 54)]);
    assert!(world.engine.reset_policy(&scope(), Some(&"web".into())));
    assert!(!world.engine.reset_policy(&scope(), Some(&"none".into())));
    let hits = world.engine.policy_hits(&scope());
    assert_eq!((hits[1].hits, hits[2].hits), (1, 0));
}

fn counts(world: &World) -> Vec<(String, u64, u64)> {
    let hits = world.engine.policy_hits(&scope()).into_iter();
    hits.map(|it| (it.policy, it.hits, it.bytes)).collect()
}

/// Counters are the policies': they go on when the firewall is switched on again, and are there while it is off.
#[test]
fn counters_go_on_after_the_firewall_was_off() {
    let web = || accept("web").port(443);
    let on = loose(vec![web(), accept("rest")]);
    let mut off = on.clone();
    divert(&mut off, false);
    let mut world = world(on.clone());
    let udp = |port| Packet::udp((A, port), (SERVER, 1)).len(972);
    world.from("a", to(443));
    world.from("a", udp(1));
    world.apply_config(off.clone());
    let counted = |rest: (u64, u64)| {
        let web = ("web".to_owned(), 1, 54);
        [web, ("rest".to_owned(), rest.0, rest.1)]
    };
    assert_eq!(counts(&world), counted((1, 1014)));
    // Off, nothing is counted: neither new sessions nor what is said in those of before.
    world.from("a", udp(1));
    world.from("a", udp(2));
    world.seconds(2);
    assert_eq!(counts(&world), counted((1, 1014)));
    world.apply_config(on.clone());
    world.from("a", udp(3));
    world.seconds(2);
    assert_eq!(counts(&world), counted((2, 2028)));

    // Off they can be reset, and go with their policies.
    world.apply_config(off.clone());
    assert!(world.engine.reset_policy(&scope(), Some(&"web".into())));
    world.apply_config(on.clone());
    assert_eq!(counts(&world)[0], ("web".into(), 0, 0));
    for config in [&mut off, &mut on.clone()] {
        set_policies(config, scope(), vec![web()]);
        world.apply_config(config.clone());
    }
    world.apply_config(on);
    assert_eq!(counts(&world)[1], ("rest".into(), 0, 0));
}

/// What has changed is told once, and a daemon that is given it goes on from there.
#[test]
fn counters_outlive_the_daemon() {
    let config = loose(vec![accept("web").port(443), accept("rest")]);
    let mut world = world(config.clone());
    world.from("a", to(443));
    world.from("a", Packet::udp((A, 1), (SERVER, 1)).len(972));
    world.seconds(2);
    let (mut told, all) = world.engine.changed_hits();
    assert!(all);
    told.sort_by(|a, b| a.1.policy.cmp(&b.1.policy));
    let of = |it: &(PolicyScope, engine::PolicyHits)| (it.1.policy.clone(), it.1.hits, it.1.bytes);
    let before: Vec<_> = told.iter().map(of).collect();
    assert_eq!(before, [("rest".into(), 1, 1014), ("web".into(), 1, 54)]);
    assert_eq!(world.engine.changed_hits(), (vec![], true));

    world.restart();
    world.from("a", Packet::udp((A, 2), (SERVER, 1)).len(972));
    let mut kept: Vec<_> = told.into_iter().map(|(_, it)| it).collect();
    kept.push(engine::PolicyHits {
        policy: "no more".into(),
        ..kept[0].clone()
    });
    let gone = world.engine.restore_hits(&scope(), kept);
    assert_eq!(gone, ["no more"]);
    world.seconds(2);
    assert_eq!(
        counts(&world),
        [("web".into(), 1, 54), ("rest".into(), 2, 2028)]
    );
    let none = world.engine.restore_hits(&PolicyScope::Dns, Vec::new());
    assert!(none.is_empty());

    // A policy that goes, or is reset, is told as one that has counted nothing.
    let _ = world.engine.changed_hits();
    let mut config = config;
    set_policies(&mut config, scope(), vec![accept("web").port(443)]);
    world.apply_config(config);
    assert!(world.engine.reset_policy(&scope(), None));
    let (mut told, _) = world.engine.changed_hits();
    told.sort_by(|a, b| a.1.policy.cmp(&b.1.policy));
    let told: Vec<_> = told.iter().map(of).collect();
    assert_eq!(told, [("rest".into(), 0, 0), ("web".into(), 0, 0)]);
}

/// With very many policies what has changed is told in parts.
#[test]
fn changed_counters_of_many_policies() {
    let mut policies: Vec<_> = (1..=20_000)
        .map(|port| accept(&format!("p{port}")).port(port))
        .collect();
    policies.push(accept("rest"));
    let mut world = world(loose(policies));
    for port in [1, 8_191, 8_192, 8_193, 16_385, 20_000, 20_001] {
        world.from("a", to(port));
    }
    let (mut told, mut calls) = (Vec::new(), 0);
    loop {
        let (some, all) = world.engine.changed_hits();
        told.extend(some.into_iter().map(|(_, it)| it.policy));
        calls += 1;
        if all {
            break;
        }
    }
    let expected = ["p1", "p8191", "p8192", "p8193", "p16385", "p20000", "rest"];
    assert_eq!((&told[..], calls), (&expected.map(String::from)[..], 3));
    assert_eq!(world.engine.changed_hits().0, []);
}
