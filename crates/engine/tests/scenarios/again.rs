//! A change of the configuration while there are many sessions: it holds for new ones at once, and the others are decided
//! again one after the other.

use crate::common::*;
use crate::dns::{dns_firewall, question};
use engine::record::{CloseReason, DecidedBy, FirewallKind, Record};
use engine::{Offload, Probe, ProbeFrom};
use model::{EngineMode, PolicyScope};

/// A world in which sessions wait, with so many of them: from ports 5000 on to port 53 of the server.
fn lazy(config: model::Config, sessions: u16) -> World {
    let mut world = world(config);
    world.set_pace(Pace::Lazy);
    for n in 0..sessions {
        at("wan", world.from("a", udp(5000 + n)));
    }
    world
}

fn udp(sport: u16) -> Packet {
    Packet::udp((A, sport), (SERVER, 53))
}

/// A packet of the session that the kernel does not take.
fn slow(sport: u16) -> Packet {
    udp(sport).len(60).ttl(1)
}

fn refusing() -> model::Config {
    loose(vec![refuse("dns").port(53), accept("rest")])
}

fn allowing() -> model::Config {
    loose(vec![accept("dns").port(53), accept("rest")])
}

/// The slots and actions of all flows.
fn actions(world: &World) -> Vec<(usize, flow::Key, flow::Action)> {
    let flows = world.flows().into_iter();
    flows.map(|(slot, key, it, _)| (slot, key, it)).collect()
}

#[test]
fn new_sessions_go_by_a_change_at_once_and_live_ones_when_it_is_their_turn() {
    let mut world = lazy(allowing(), 3);
    world.apply_config(refusing());
    assert_eq!(world.waiting(), 3);
    let new = reason(&mut world, |w| drop(w.from("a", udp(6000))));
    assert_eq!(new, "nat_firewall");
    // Live ones go on with the kernel until the engine comes by.
    for done in 1..=3 {
        assert!(one(world.from("a", udp(5002))).fast);
        world.step();
        assert_eq!(world.waiting(), 3 - done);
        let refused = reason(&mut world, |w| none(w.from("a", udp(4999 + done as u16))));
        assert_eq!(refused, "nat_firewall");
    }
    assert_eq!(world.engine.firewall_stats().refused, 3);
}

/// Time does not go by before all have been decided again.
#[test]
fn the_engine_does_not_rest_while_sessions_wait() {
    let mut world = lazy(allowing(), 9);
    world.seconds(3);
    world.apply_config(refusing());
    let now = world.now;
    while world.waiting() > 0 {
        let next = world.step();
        assert!(next <= now || world.waiting() == 0);
    }
    assert_eq!(world.engine.firewall_stats().refused, 9);
    assert!(world.step() > now);
}

#[test]
fn a_session_is_decided_again_before_anything_is_done_with_its_packet() {
    let mut world = lazy(allowing(), 3);
    world.apply_config(refusing());
    let refused = reason(&mut world, |w| none(w.from("a", slow(5001))));
    assert_eq!((refused.as_str(), world.waiting()), ("nat_firewall", 2));
    // So it is with what fails to arrive.
    let sent = one(world.from("a", udp(5002))).packet;
    let error = sent.error(SERVER, 3, 3, 0, 64);
    let refused = reason(&mut world, |w| none(w.net(error)));
    assert_eq!((refused.as_str(), world.waiting()), ("nat_firewall", 1));
    // And a connection begins anew under the new configuration only.
    let syn = |flags| Packet::tcp((A, 7000), (SERVER, 22), flags);
    let mut world = lazy(parse(BASE), 1);
    at("wan", world.from("a", syn(SYN)));
    world.apply(&base(&[(
        "[[instance]]",
        "[[security_group.rule]]\ndirection = \"egress\"\npolicy = \"drop\"\nprotocol = \"tcp\"\ncidr = \"0.0.0.0/0\"\n[[instance]]",
    )]));
    assert_eq!(world.waiting(), 2);
    let denied = reason(&mut world, |w| drop(w.from("a", syn(SYN))));
    assert_eq!(denied, "security_group_out");
    assert_eq!((world.sessions().len(), world.waiting()), (1, 1));
}

/// The newest configuration decides, whatever was in between.
#[test]
fn what_only_a_configuration_in_between_forbids_goes_on() {
    let mut world = lazy(allowing(), 4);
    let before = actions(&world);
    world.apply_config(refusing());
    world.step();
    // One session was refused, three wait.
    world.apply_config(allowing());
    assert_eq!(world.waiting(), 4);
    world.seconds(2);
    assert_eq!(world.waiting(), 0);
    assert_eq!(actions(&world), before);
    assert_eq!(world.engine.firewall_stats().refused, 1);
    // The other way round nothing is forgotten.
    world.apply_config(allowing());
    world.apply_config(refusing());
    world.apply_config(loose(vec![refuse("all")]));
    world.seconds(2);
    assert_eq!(world.engine.firewall_stats().refused, 5);
}

/// There is an end to what is kept of earlier configurations: then all are decided again.
#[test]
fn many_changes_in_a_row() {
    let mut world = lazy(allowing(), 20);
    for n in 0..600 {
        world.apply_config(if n % 2 == 0 { refusing() } else { allowing() });
        if n % 3 == 0 {
            world.step();
        }
        at("wan", world.from("a", Packet::udp((A, 9000), (SERVER, 54))));
    }
    world.apply_config(refusing());
    world.seconds(2);
    assert_eq!(world.waiting(), 0);
    for n in 0..20 {
        none(world.from("a", udp(5000 + n)));
    }
}

/// What waits keeps its port and its tuples until it is decided again; what needs them decides.
#[test]
fn an_eip_that_changes_hands_takes_no_port_from_the_new_owner() {
    let eip = |instance: &str| {
        base(&[
            ("eips = [\"eip-1\", \"eip-2\"]", "eips = [\"eip-1\"]"),
            (
                "id = \"eip-2\"",
                &format!("id = \"eip-2\"\ninstance = \"{instance}\""),
            ),
        ])
    };
    let mut world = lazy(parse(&eip("a")), 3);
    assert_eq!(world.sessions()[1].translated.src, ip(EIP2));
    world.apply(&eip("b"));
    let out = at("wan", world.from("b", Packet::udp((B, 5001), (SERVER, 53))));
    assert_eq!((out.src, out.sport()), (ip(EIP2), 5001));
    assert_eq!((world.waiting(), world.sessions().len()), (2, 3));
    // What comes back is the new owner's.
    assert_eq!(at("b", world.net(out.answer(0))).dst, ip(B));
    // Also without ports there is one who has the tuple.
    let gre = |from| Packet::other(47, from, SERVER);
    at("wan", world.from("b", gre(B)));
    world.apply(&eip("a"));
    at("wan", world.from("a", gre(A)));
}

/// A session that could have room if those that wait are over is not refused.
#[test]
fn there_is_room_for_a_new_session_where_the_forbidden_had_it() {
    // What each has of its own is for all ports but 53, if `a` is told so.
    let narrow = |rules: &str| {
        let own = format!(
            "[[security_group]]\nid = \"own\"\nvpc = \"vpc\"\n{rules}\n[[instance]]\nid = \"a\""
        );
        base(&[
            (
                "id = \"ngw\"",
                "id = \"ngw\"\nsnat_ports = \"5000-5003\"\nmax_sessions_per_source = 5",
            ),
            (
                "security_groups = [\"open\"]",
                "security_groups = [\"own\"]",
            ),
            ("[[instance]]\nid = \"a\"", &own),
        ])
    };
    let rule = "[[security_group.rule]]\ndirection = \"egress\"\npolicy = \"drop\"\n\
                protocol = \"udp\"\nports = 53\ncidr = \"0.0.0.0/0\"";
    // All ports towards the server are taken.
    let mut world = lazy(parse(&narrow("")), 4);
    let of_b = Packet::udp((B, 9000), (SERVER, 53));
    let refused = reason(&mut world, |w| none(w.from("b", of_b.clone())));
    assert_eq!(refused, "ports_exhausted");
    world.apply(&narrow(rule));
    assert_eq!(world.waiting(), 4);
    let out = at("wan", world.from("b", of_b));
    assert!((5000..=5003).contains(&out.sport()));
    // The source's limit is counted by what goes on.
    let mut world = lazy(parse(&narrow("")), 4);
    let another = |sport| Packet::udp((A, sport), (SERVER, 1));
    at("wan", world.from("a", another(1)));
    let refused = reason(&mut world, |w| none(w.from("a", another(2))));
    assert_eq!(refused, "source_limit");
    world.apply(&narrow(rule));
    assert_eq!(world.waiting(), 5);
    at("wan", world.from("a", another(2)));
    assert_eq!((world.waiting(), world.sessions().len()), (0, 2));
}

/// Where a new session depends on all that are there, none waits.
#[test]
fn nothing_waits_where_all_are_concerned() {
    let limit = base(&[("id = \"ngw\"", "id = \"ngw\"\nmax_sessions_per_source = 3")]);
    let mut world = lazy(parse(BASE), 3);
    world.apply(&limit);
    assert_eq!(world.waiting(), 0);
    let fourth = reason(&mut world, |w| none(w.from("a", udp(6000))));
    assert_eq!(fourth, "source_limit");
    world.apply(&limit);
    assert_eq!(world.waiting(), 3);
    // Strangers are let in by mappings that the new configuration allows, and by no others.
    let open = base(&[(
        "id = \"ngw\"",
        "id = \"ngw\"\nfiltering = \"endpoint-independent\"",
    )]);
    let mut world = lazy(parse(&open), 3);
    let stranger = || Packet::udp(("198.51.100.99", 9), (EIP1, 5000));
    let closed = open.replacen(
        "[[instance]]",
        "[[security_group.rule]]\ndirection = \"egress\"\npolicy = \"drop\"\nprotocol = \"udp\"\ncidr = \"0.0.0.0/0\"\n[[instance]]",
        1,
    );
    world.apply(&closed);
    assert_eq!((world.waiting(), world.sessions().len()), (0, 0));
    assert_eq!(
        reason(&mut world, |w| none(w.net(stranger()))),
        "not_mapped"
    );
}

#[test]
fn the_next_daemon_decides_about_what_has_waited() {
    let mut world = lazy(allowing(), 3);
    world.apply_config(refusing());
    world.step();
    world.restart();
    assert_eq!(world.waiting(), 0);
    for n in 0..3 {
        let refused = reason(&mut world, |w| none(w.from("a", udp(5000 + n))));
        assert_eq!(refused, "nat_firewall");
    }
    let mut world = lazy(parse(BASE), 3);
    world.apply(&BASE.replace("eips = [\"eip-1\"]", "eips = [\"eip-2\"]"));
    world.step();
    world.restart();
    assert_eq!((world.sessions(), world.flows()), (vec![], vec![]));
}

/// What has gone by before counts for the policies that have let it pass, wherever these are now.
#[test]
fn bytes_are_counted_for_the_policy_that_a_session_had() {
    let mut world = lazy(allowing(), 2);
    world.from("a", udp(5000).len(958));
    let moved = |front: &str| {
        loose(vec![
            accept(front).port(1),
            accept("dns").port(53),
            refuse("rest"),
        ])
    };
    world.apply_config(moved("new"));
    world.from("a", udp(5001).len(958));
    world.apply_config(moved("newer"));
    world.apply_config(loose(vec![
        refuse("rest"),
        accept("a").port(2),
        accept("b").port(3),
        accept("dns").port(53),
    ]));
    assert_eq!(world.waiting(), 2);
    world.seconds(2);
    let hits = world.engine.policy_hits(&scope()).into_iter();
    let hits: Vec<_> = hits.map(|it| (it.policy, it.hits, it.bytes)).collect();
    let zero = |id: &str| (id.to_owned(), 0, 0);
    let all: u64 = world.sessions().iter().map(|it| it.bytes_out).sum();
    assert!(all > 2000);
    assert_eq!(
        hits,
        [
            ("rest".to_owned(), 2, 0),
            zero("a"),
            zero("b"),
            ("dns".to_owned(), 2, all),
        ]
    );
}

fn said(record: &Record, kind: FirewallKind) -> Option<&str> {
    let said = record.firewalls.iter().find(|it| it.kind == kind)?;
    assert_eq!(said.by, DecidedBy::Policy);
    said.policy.as_ref().map(|it| it.id.as_str())
}

/// The record of a session that a change ends says by what it was allowed before.
#[test]
fn records_and_views_name_what_was_in_force() {
    let mut world = lazy(allowing(), 2);
    world.record();
    world.seconds(1);
    // Another gateway, which comes first, with what was this one's; and another list of policies.
    let text = base(&[
        ("id = \"ngw\"", "id = \"another\""),
        ("eips = [\"eip-1\"]", "eips = [\"eip-2\"]"),
    ]);
    let mut other = parse(&text);
    set_policies(&mut other, PolicyScope::Dns, vec![accept("all")]);
    world.apply_config(other);
    assert_eq!(world.waiting(), 2);
    let sessions = world.sessions();
    assert_eq!(sessions[0].gateway.as_deref(), Some("ngw"));
    assert_eq!(sessions[0].entry.as_deref(), Some("ngw/10.0.0.0/16"));
    // A packet of it would be one of a new session.
    let probe = Probe {
        from: ProbeFrom::Eni("a".into()),
        src_port: 5000,
        to: ip(SERVER),
        dst_port: 53,
        protocol: UDP,
        app: None,
        domain: None,
    };
    let trace = world.engine.trace(&probe).unwrap();
    assert_eq!(trace.translated.unwrap().src, ip(EIP2));
    world.seconds(1);
    assert_eq!(world.sessions(), []);
    let records = world.take_records();
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!(record.close, Some(CloseReason::Reconfigured));
        assert_eq!(record.gateway.as_deref(), Some("ngw"));
        assert_eq!(said(record, FirewallKind::Nat), Some("dns"));
    }
}

/// What the DNS firewall has said is told by the name of the policy, though its list stands elsewhere since.
#[test]
fn a_record_names_the_dns_policy_after_a_change() {
    for pace in [Pace::AtOnce, Pace::Driven] {
        let mut with = dns_firewall(model::DnsRefusal::Empty);
        add_firewall(&mut with, EngineMode::Loose);
        set_policies(&mut with, scope(), vec![accept("nat")]);
        let mut world = world(with);
        world.set_pace(pace);
        world.record();
        let mut ask = Packet::udp((A, 6000), ("192.0.2.53", 53));
        ask.set_data(&question("www.good.example"));
        at("wan", world.from("a", ask));
        // Without the NAT firewall there is one list instead of two, and its policies have moved.
        let mut without = dns_firewall(model::DnsRefusal::Empty);
        let policies = vec![accept("other").named("x.example"), accept("all")];
        set_policies(&mut without, PolicyScope::Dns, policies);
        world.apply_config(without);
        world.seconds(300);
        let records = world.take_records();
        let last = records.last().unwrap();
        assert_eq!(said(last, FirewallKind::Dns), Some("all"), "{last:#?}");
    }
}

/// A session that waits under inspection is not forgotten.
#[test]
fn what_is_inspected_is_decided_by_the_new_configuration() {
    let with = |id: &str| strict(vec![accept("good").named("*.good.example"), refuse(id)]);
    let mut world = lazy(with("all"), 0);
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    let silent = Connection::open(&mut world, 5001, SERVER, 443);
    world.apply_config(with("others"));
    assert_eq!(world.waiting(), 2);
    let hello = crate::inspection::hello("www.bad.example");
    let refused = reason(&mut world, |w| {
        drop(w.from("a", it.client_says(ACK, &hello)))
    });
    assert_eq!((refused.as_str(), world.waiting()), ("nat_firewall", 1));
    world.seconds(10);
    let hits = world.engine.policy_hits(&scope());
    assert_eq!((hits[1].policy.as_str(), hits[1].hits), ("others", 2));
    drop(silent);
}

/// Meters of limits that are gone are not given to others while sessions that wait take from them.
#[test]
fn limits_that_come_and_go_do_not_share_meters() {
    let limited = |id: &str, bandwidth: u32| {
        let text = BASE.replace("\"eip-1\"", &format!("\"{id}\""));
        text.replace(
            &format!("id = \"{id}\"\naddress"),
            &format!("id = \"{id}\"\nbandwidth = {bandwidth}\naddress"),
        )
    };
    let mut world = lazy(parse(&limited("first", 1)), 3);
    for n in 0..100 {
        world.apply(&limited(&format!("eip-{n}x"), 2 + n));
        if n % 5 == 0 {
            world.step();
        }
        at("wan", world.from("a", Packet::udp((A, 9000), (SERVER, 54))));
    }
    world.seconds(2);
    assert_eq!(world.sessions().len(), 4);
    let all = Offload::NONE;
    assert!(one(world.send("a", udp(5001), all)).fast);
}
