//! What is put down of sessions.

use crate::common::*;
use crate::inspection::hello;
use engine::record::{
    AppState, CloseReason, DecidedBy, FirewallKind, Identified, RecordEntry, RecordKind,
    RecordResult,
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
