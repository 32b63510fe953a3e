//! What is put down of sessions.

use crate::common::*;
use crate::inspection::hello;
use engine::record::{
    AppState, CloseReason, DecidedBy, FirewallKind, Identified, RecordEntry, RecordKind,
    RecordResult, Unknown,
};
use model::{App, PolicyAction};

#[test]
fn nothing_is_put_down_unless_it_is_asked_for() {
    let mut world = world(loose(vec![refuse("ntp").port(123)]));
    world.from("a", Packet::udp((A, 5000), (SERVER, 123)));
    world.from("a", Packet::udp((A, 5000), (SERVER, 53)));
    world.seconds(200);
    assert_eq!(world.take_records(), []);
}

#[test]
fn one_record_says_it_all() {
    let mut world = world(loose(vec![
        refuse("bad").named("*.bad.example"),
        accept("rest"),
    ]));
    world.record();
    world.engine.set_wall(1_800_000_000, world.now);
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    world.from("a", it.client_says(ACK, &hello("www.good.example")));
    world.seconds(2);
    world.from("a", it.client_says(ACK | FIN, b""));
    world.net(it.server_says(ACK | FIN, b"bye"));
    world.seconds(80);
    let records = world.take_records();
    let [record] = &records[..] else {
        panic!("{records:#?}")
    };
    assert_eq!(record.kind, RecordKind::Ended);
    assert_eq!(record.close, Some(CloseReason::TcpFin));
    assert_eq!(record.direction, "out");
    assert_eq!(
        (record.original.src, record.original.src_port),
        (ip(A), 5000)
    );
    assert_eq!(record.translated.src, ip(EIP1));
    let place = record.place.as_ref().unwrap();
    assert_eq!(
        [&place.vpc, &place.vswitch, &place.eni, &place.instance],
        ["vpc", "vsw-a", "a", "a"]
    );
    assert_eq!(record.gateway.as_deref(), Some("ngw"));
    assert_eq!(record.eip.as_deref(), Some("eip-1"));
    assert_eq!(
        record.entry,
        Some(RecordEntry::Snat("ngw/10.0.0.0/16".into()))
    );
    assert_eq!(
        (record.app, record.domain.as_deref()),
        (Some(App::Https), Some("www.good.example"))
    );
    assert_eq!(record.identified, Some(Identified::Payload));
    assert_eq!(
        (record.state, record.result),
        (AppState::Success, RecordResult::Allow)
    );
    assert_eq!((record.packets_out, record.packets_in), (4, 2));
    assert_eq!(record.start, 1_800_000_000);
    assert!((2..=4).contains(&(record.end - record.start)));
    let [said] = &record.firewalls[..] else {
        panic!("{record:#?}")
    };
    assert_eq!(
        (said.kind, said.firewall.as_deref()),
        (FirewallKind::Nat, Some("fw"))
    );
    assert_eq!(
        (said.action, said.by),
        (PolicyAction::Accept, DecidedBy::Policy)
    );
    let id = |policy: &Option<std::sync::Arc<model::ControlPolicy>>| {
        policy.as_ref().map(|it| it.id.clone())
    };
    assert_eq!(id(&said.policy).as_deref(), Some("rest"));
    assert_eq!(id(&said.pre_policy).as_deref(), Some("bad"));
}

/// What a session has told besides: bounded, and fit to be shown.
#[test]
fn a_record_tells_what_else_was_told() {
    let mut world = world(loose(vec![refuse("bad").named("*.bad.example")]));
    world.record();
    let mut tell = |port: u16, data: &[u8]| {
        let mut it = Connection::open(&mut world, 5000, SERVER, port);
        world.from("a", it.client_says(ACK, data));
        world.from("a", it.client_says(ACK | FIN, b""));
        world.net(it.server_says(ACK | FIN, b""));
        world.seconds(100);
        let mut records = world.take_records();
        assert_eq!(records.len(), 1, "{records:#?}");
        records.remove(0)
    };
    let long = format!(
        "GET /\x1b[2J{} HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n",
        "x".repeat(2_000)
    );
    let odd = tell(80, long.replace('\x1b', "\u{9b}").as_bytes());
    let details = odd.details.unwrap();
    let request = details.request.as_deref().unwrap();
    assert!(request.starts_with("GET /.[2Jxx") && request.len() <= 255);
    assert_eq!(details.host.as_deref(), Some("198.51.100.7"));
    assert_eq!((odd.domain, odd.unknown), (None, None));

    let tls = tell(443, &hello("www.good.example"));
    let version = tls.details.as_ref().and_then(|it| it.version.clone());
    assert_eq!((version.as_deref(), tls.hidden), (Some("TLS 1.2"), false));
    // Encrypted ClientHello, as an empty extension: the name is the outer one.
    let mut hidden = hello("outer.good.example");
    hidden.extend([0xfe, 0x0d, 0, 0]);
    for (at, more) in [(3, 4), (7, 4), (52, 4)] {
        let len = u16::from_be_bytes([hidden[at], hidden[at + 1]]) + more;
        hidden[at..at + 2].copy_from_slice(&len.to_be_bytes());
    }
    let ech = tell(443, &hidden);
    assert_eq!(ech.domain.as_deref(), Some("outer.good.example"));
    assert!(ech.hidden);

    let other = tell(9999, b"\x01\x02 nothing that is known \xff");
    assert_eq!(other.unknown, Some(Unknown::NotRecognised));
    assert_eq!(other.details, None);
    let silent = tell(9999, b"");
    assert_eq!(silent.state, AppState::NoPayload);
}

/// The server's certificate is waited for while records are made, and no longer than it takes.
#[test]
fn what_the_server_of_tls_shows_is_waited_for() {
    // A hello of TLS 1.2, and of TLS 1.3, with the message after it.
    let server_hello = |extension: &[u8]| {
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend([0, 0xc0, 0x2f, 0]);
        body.extend((extension.len() as u16).to_be_bytes());
        body.extend(extension);
        let message = [&[2, 0, 0, body.len() as u8][..], &body].concat();
        [&[22, 3, 3, 0, message.len() as u8][..], &message].concat()
    };
    let change = [20, 3, 3, 0, 1, 1];
    for (extension, version) in [(&[][..], "TLS 1.2"), (&[0, 43, 0, 2, 3, 4], "TLS 1.3")] {
        let mut world = world(loose(vec![refuse("bad").named("*.bad.example")]));
        world.record();
        let mut it = Connection::open(&mut world, 5000, SERVER, 443);
        at(
            "wan",
            world.from("a", it.client_says(ACK, &hello("www.good.example"))),
        );
        assert_eq!(world.engine.firewall_stats().inspected, 1);
        let shown = [&server_hello(extension)[..], &change].concat();
        at("a", world.net(it.server_says(ACK, &shown)));
        assert_eq!(world.engine.firewall_stats().inspected, 0);
        assert!(one(world.from("a", it.client_says(ACK, b"more"))).fast);
        world.from("a", it.client_says(RST, b""));
        world.seconds(100);
        let records = world.take_records();
        let details = records[0].details.as_ref().unwrap();
        assert_eq!(details.version.as_deref(), Some(version));
    }
}

#[test]
fn a_refusal_is_put_down_at_once() {
    let mut world = world(loose(vec![
        refuse("ntp").port(123),
        refuse("bad").named("*.bad.example"),
    ]));
    world.record();
    world.from("a", Packet::udp((A, 5000), (SERVER, 123)));
    let records = world.take_records();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].kind, records[0].state),
        (RecordKind::Refused, AppState::PolicyDiscard)
    );
    assert_eq!(records[0].result, RecordResult::Drop);
    // What was dropped is counted.
    let counted = |it: &engine::record::Record| {
        let [out, back] = [(it.packets_out, it.bytes_out), (it.packets_in, it.bytes_in)];
        (out, back)
    };
    assert_eq!(counted(&records[0]), ((1, 51), (0, 0)));
    world.from("a", Packet::udp((A, 5001), (SERVER, 123)).len(958));
    assert_eq!(counted(&world.take_records()[0]), ((1, 1000), (0, 0)));

    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    world.from("a", it.client_says(ACK, &hello("www.bad.example")));
    world.seconds(200);
    let records = world.take_records();
    assert_eq!(records.len(), 1, "{records:#?}");
    assert_eq!(records[0].close, Some(CloseReason::Refused));
    assert_eq!(
        (records[0].state, records[0].result),
        (AppState::Success, RecordResult::Drop)
    );
}

#[test]
fn long_sessions_are_told_of_each_minute() {
    let mut world = world(loose(vec![accept("all")]));
    world.record();
    for _ in 0..10 {
        world.from("a", Packet::udp((A, 5000), (SERVER, 999)));
        world.seconds(20);
    }
    let records = world.take_records();
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|it| it.kind == RecordKind::Ongoing));
    assert!(
        records
            .windows(2)
            .all(|it| it[0].packets_out < it[1].packets_out)
    );
}

/// How far identification has come, in the cloud's words.
#[test]
fn a_record_says_how_far_identification_has_come() {
    let policies = || vec![refuse("bad").named("*.bad.example"), refuse("all")];
    for (config, state) in [
        (loose(policies()), AppState::UnknownLoose),
        (strict(policies()), AppState::UnknownStrict),
    ] {
        let mut world = World::of(config, 16_384);
        world.record();
        let mut it = Connection::open(&mut world, 5000, SERVER, 9999);
        world.from(
            "a",
            it.client_says(ACK, b"\x01\x02 nothing that is known \xff"),
        );
        world.seconds(3_000);
        let records = world.take_records();
        assert!(records.iter().any(|it| it.state == state), "{records:#?}");
    }
    let mut world = World::of(strict(policies()), 16_384);
    world.record();
    let _telnet = Connection::open(&mut world, 5000, SERVER, 443);
    world.from("a", Packet::tcp((A, 5001), (SERVER, 443), SYN));
    world.seconds(100);
    let states: Vec<_> = world.take_records().iter().map(|it| it.state).collect();
    assert_eq!(states, [AppState::NoPayload, AppState::TcpNotEstablish]);
}

/// A connection that had ended before policies changed is put down as what it was.
#[test]
fn what_had_ended_is_put_down_by_the_policies_that_it_met() {
    let mut world = world(loose(vec![accept("web").port(443)]));
    world.record();
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    world.from("a", it.client_says(ACK | FIN, b""));
    world.net(it.server_says(ACK | FIN, b"bye"));
    world.apply_config(loose(vec![refuse("all")]));
    world.seconds(5);
    let records = world.take_records();
    let [record] = &records[..] else {
        panic!("{records:#?}")
    };
    assert_eq!(
        (record.kind, record.close, record.result),
        (
            RecordKind::Ended,
            Some(CloseReason::TcpFin),
            RecordResult::Allow
        )
    );
    let policy = record.firewalls[0].policy.as_ref().unwrap();
    assert_eq!(policy.id.as_str(), "web");
}

/// Nor is it the firewall's what was over before there was one.
#[test]
fn what_had_ended_before_there_was_a_firewall_is_not_put_down() {
    let with = loose(vec![accept("all")]);
    let mut without = with.clone();
    divert(&mut without, false);
    let mut world = world(without);
    world.record();
    let mut over = Connection::open(&mut world, 5000, SERVER, 443);
    world.from("a", over.client_says(ACK | FIN, b""));
    world.net(over.server_says(ACK | FIN, b"bye"));
    let mut live = Connection::open(&mut world, 5001, SERVER, 443);
    world.apply_config(with);
    world.seconds(5);
    assert_eq!(world.take_records(), []);
    world.from("a", live.client_says(ACK | FIN, b""));
    world.net(live.server_says(ACK | FIN, b"bye"));
    world.seconds(5);
    let ports = world.take_records().into_iter();
    let ports: Vec<u16> = ports.map(|it| it.original.src_port).collect();
    assert_eq!(ports, [5001]);
}
