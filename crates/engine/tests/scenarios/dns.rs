//! Names: what clients ask for, what they are answered, and what is made of it.

use crate::common::*;
use crate::inspection::hello;
use engine::record::{FirewallKind, RecordKind, RecordResult};
use flow::reason::Reason;
use model::{App, DnsRefusal, DomainResolve, EngineMode, NameCheck, PolicyScope};
use policy::{Resolved, World as Known};
use std::sync::Arc;

const RESOLVER: &str = "192.0.2.53";

fn name_bytes(name: &str) -> Vec<u8> {
    let labels = name.split('.');
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

/// A question for the address of a name.
pub fn question(name: &str) -> Vec<u8> {
    let header = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&header[..], &name_bytes(name), &[0, 1, 0, 1]].concat()
}

/// The answer to it.
pub fn answer(name: &str, address: &str, ttl: u32) -> Vec<u8> {
    let header = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let mut bytes = [&header[..], &name_bytes(name), &[0, 1, 0, 1]].concat();
    bytes.extend([0xc0, 12, 0, 1, 0, 1]);
    bytes.extend(ttl.to_be_bytes());
    bytes.extend([0, 4]);
    bytes.extend(ip(address).octets());
    bytes
}

pub fn datagram(sport: u16, data: &[u8]) -> Packet {
    let mut packet = Packet::udp((A, sport), (RESOLVER, 53));
    packet.set_data(data);
    packet
}

/// The client asks for a name and is answered.
fn ask(world: &mut World, sport: u16, name: &str, address: &str, ttl: u32) {
    let asked = at("wan", world.from("a", datagram(sport, &question(name))));
    let mut answered = asked.answer(0);
    answered.set_data(&answer(name, address, ttl));
    at("a", world.net(answered));
}

#[test]
fn a_domain_is_known_by_what_the_client_was_answered() {
    let by_dns = refuse("bad").named("bad.example").by(DomainResolve::Dns);
    let mut world = world(loose(vec![by_dns]));
    let connect = || Packet::tcp((A, 5000), (SERVER, 22), SYN);
    at("wan", world.from("a", connect()));
    ask(&mut world, 6000, "bad.example", SERVER, 30);
    ask(&mut world, 6001, "good.example", "198.51.100.8", 300);
    assert_eq!(world.engine.firewall_stats().learned_names, 4);
    let again = Packet::tcp((A, 5001), (SERVER, 22), SYN);
    assert_eq!(
        reason(&mut world, |w| drop(w.from("a", again.clone()))),
        "nat_firewall"
    );
    // It is this client's answer, and it has an end.
    at(
        "wan",
        world.from("b", Packet::tcp((B, 5001), (SERVER, 22), SYN)),
    );
    at(
        "wan",
        world.from("a", Packet::tcp((A, 5001), ("198.51.100.8", 22), SYN)),
    );
    world.seconds(31);
    at(
        "wan",
        world.from("a", Packet::tcp((A, 5002), (SERVER, 22), SYN)),
    );
}

/// What a session was allowed by holds as long as it lives, though the answer has expired.
#[test]
fn a_session_keeps_the_names_that_its_destination_had() {
    let allow = accept("good").named("good.example").by(DomainResolve::Dns);
    let mut config = loose(vec![accept("dns").port(53), allow.clone(), refuse("all")]);
    let mut world = world(config.clone());
    ask(&mut world, 6000, "good.example", SERVER, 5);
    let packet = Packet::udp((A, 5000), (SERVER, 999));
    at("wan", world.from("a", packet.clone()));
    world.seconds(10);
    set_policies(&mut config, scope(), vec![allow, refuse("all")]);
    world.apply_config(config);
    assert!(one(world.from("a", packet)).fast);
    let late = Packet::udp((A, 5001), (SERVER, 999));
    assert_eq!(
        reason(&mut world, |w| drop(w.from("a", late))),
        "nat_firewall"
    );
}

#[test]
fn a_domain_is_known_by_our_own_resolution() {
    let by_dns = refuse("bad").named("bad.example").by(DomainResolve::Both);
    let mut world = world(loose(vec![by_dns]));
    assert_eq!(world.engine.names_to_resolve(), ["bad.example"]);
    let packet = Packet::udp((A, 5000), (SERVER, 999));
    at("wan", world.from("a", packet.clone()));
    world.know(Known {
        resolved: Arc::new(Resolved::new([("bad.example".into(), vec![ip(SERVER)])])),
        ..Known::default()
    });
    // Live sessions are judged again within a round.
    world.seconds(3);
    assert_eq!(
        reason(&mut world, |w| none(w.from("a", packet))),
        "nat_firewall"
    );
}

pub fn dns_firewall(refusal: DnsRefusal) -> model::Config {
    let mut config = parse(BASE);
    config.firewalls.dns.refusal = refusal;
    set_policies(
        &mut config,
        PolicyScope::Dns,
        vec![refuse("bad").named("*.bad.example"), accept("all")],
    );
    config
}

#[test]
fn a_refused_question_is_answered_by_us() {
    for (refusal, code) in [(DnsRefusal::Refused, 5), (DnsRefusal::Empty, 0)] {
        let mut world = world(dns_firewall(refusal));
        ask(&mut world, 6000, "www.good.example", SERVER, 30);
        let asked = datagram(6000, &question("www.bad.example"));
        let told = at("a", world.from("a", asked.clone()));
        assert_eq!(told.tuple(), asked.answer(0).tuple());
        assert_eq!(told.data()[..2], [0x12, 0x34]);
        assert_eq!(told.data()[3] & 15, code);
        assert_eq!(told.data()[6..8], [0, 0], "no records");
        assert_eq!(world.dropped(Reason::DnsFirewall), 1);
        let hits = world.engine.policy_hits(&PolicyScope::Dns);
        assert_eq!((hits[0].hits, hits[1].hits), (1, 1));
    }
}

/// Over TCP, in pieces that come in any order.
#[test]
fn a_refused_question_over_tcp_ends_the_connection() {
    for name in ["www.bad.example", "www.good.example"] {
        let mut world = world(dns_firewall(DnsRefusal::Refused));
        let mut it = Connection::open(&mut world, 5000, RESOLVER, 53);
        let message = question(name);
        let bytes = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        let parts: Vec<_> = bytes
            .chunks(5)
            .map(|part| it.client_says(ACK, part))
            .collect();
        // What comes too early is dropped, and sent again.
        let mut seen = world.from("a", parts[1].clone());
        assert_eq!(seen, []);
        for part in &parts {
            seen.extend(world.from("a", part.clone()));
        }
        let reset = seen.iter().any(|it| it.packet.flags() & RST != 0);
        assert_eq!(reset, name == "www.bad.example", "{seen:#?}");
    }
}

/// A name that is told must stand for the address that it is used with.
#[test]
fn a_false_name_is_refused() {
    let mut config = loose(vec![]);
    config.firewalls.nat[0].settings.name_check = NameCheck::Drop;
    let mut world = world(config);
    let tell = |world: &mut World, port, name: &str| {
        let mut it = Connection::open(world, port, SERVER, 443);
        let seen = world.from("a", it.client_says(ACK, &hello(name)));
        seen.iter().all(|it| it.packet.flags() & RST == 0)
    };
    ask(&mut world, 6000, "answered.example", SERVER, 300);
    assert!(tell(&mut world, 5000, "answered.example"));
    // Nobody knows yet; it is asked for.
    assert!(tell(&mut world, 5001, "elsewhere.example"));
    assert_eq!(world.engine.names_to_resolve(), ["elsewhere.example"]);
    world.know(Known {
        resolved: Arc::new(Resolved::new([
            ("elsewhere.example".into(), vec![ip("198.51.100.9")]),
            ("resolved.example".into(), vec![ip(SERVER)]),
        ])),
        ..Known::default()
    });
    assert!(!tell(&mut world, 5002, "elsewhere.example"));
    assert!(tell(&mut world, 5003, "resolved.example"));
    assert_eq!(world.dropped(Reason::NameMismatch), 1);
}

#[test]
fn a_session_tells_what_it_has_asked_for() {
    let mut config = dns_firewall(DnsRefusal::Refused);
    add_firewall(&mut config, EngineMode::Loose);
    set_policies(&mut config, scope(), vec![accept("all")]);
    let mut world = world(config);
    world.record();
    ask(&mut world, 6000, "www.good.example", SERVER, 30);
    let session = world.session();
    assert_eq!(session.domain.as_deref(), Some("www.good.example"));
    world.seconds(70);
    let records = world.take_records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].app, Some(App::Dns));
    let kinds: Vec<_> = records[0].firewalls.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [FirewallKind::Nat, FirewallKind::Dns]);
    let details = records[0].details.as_ref().unwrap();
    assert_eq!(details.code, Some(0));
    assert_eq!(details.answers, [std::net::IpAddr::V4(ip(SERVER))]);
}

/// Each refused question is put down, whatever is asked after it; also if the DNS firewall is the only one.
#[test]
fn a_refused_question_is_put_down() {
    let mut world = world(dns_firewall(DnsRefusal::Refused));
    world.record();
    ask(&mut world, 6000, "www.good.example", SERVER, 30);
    world.from("a", datagram(6000, &question("www.bad.example")));
    ask(&mut world, 6000, "other.good.example", SERVER, 30);
    world.seconds(70);
    let records = world.take_records();
    let told: Vec<_> = records
        .iter()
        .map(|it| (it.kind, it.result, it.domain.as_deref().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (RecordKind::Refused, RecordResult::Drop, "www.bad.example"),
            (RecordKind::Ended, RecordResult::Allow, "other.good.example"),
        ]
    );
    assert!(records.iter().all(|it| it.app == Some(App::Dns)));
    let bytes = 42 + question("www.bad.example").len() as u64;
    assert_eq!((records[0].packets_out, records[0].bytes_out), (1, bytes));
    let policy = records[0].firewalls[0].policy.as_ref().unwrap();
    assert_eq!(policy.id.as_str(), "bad");
}
