//! Threat intelligence, cloud services, times of policies, what was bought: what changes while sessions live.

use crate::common::*;
use crate::inspection::hello;
use flow::reason::Reason;
use model::{
    AddressBook, BookContent, CloudService, ControlPolicy, OverCapacity, PolicyDestination,
    RepeatDays, ThreatAction, ThreatRule, Validity,
};
use policy::{CloudServices, Indicator, Threats, World as Known};
use std::sync::Arc;
use std::time::Duration;

fn known() -> Known {
    let indicators = [
        (Indicator::Net("198.51.100.0/28".parse().unwrap()), "Tor"),
        (Indicator::Domain("evil.example".into()), "Mining"),
    ];
    Known {
        threats: Arc::new(Threats::new(indicators)),
        ..Known::default()
    }
}

fn watched(action: ThreatAction) -> model::Config {
    let mut config = loose(vec![accept("all")]);
    config.firewalls.nat[0].settings.threats = ["Tor", "Mining"]
        .map(|category| ThreatRule {
            category: category.into(),
            action,
        })
        .to_vec();
    config
}

#[test]
fn what_is_known_to_be_bad_is_dropped() {
    let mut world = world(watched(ThreatAction::Drop));
    let packet = Packet::udp((A, 5000), (SERVER, 999));
    at("wan", world.from("a", packet.clone()));
    world.know(known());
    let other = Packet::udp((A, 5001), (SERVER, 999));
    assert_eq!(reason(&mut world, |w| drop(w.from("a", other))), "threat");
    world.seconds(3);
    assert_eq!(reason(&mut world, |w| none(w.from("a", packet))), "threat");
    for (port, name) in [(6000, "www.evil.example"), (6001, "www.good.example")] {
        let mut it = Connection::open(&mut world, port, "192.0.2.1", 443);
        let seen = world.from("a", it.client_says(ACK, &hello(name)));
        let reset = seen.iter().any(|it| it.packet.flags() & RST != 0);
        assert_eq!(reset, port == 6000);
    }
}

#[test]
fn what_is_alerted_passes_and_is_in_the_records() {
    let mut world = world(watched(ThreatAction::Alert));
    world.record();
    world.know(known());
    at(
        "wan",
        world.from("a", Packet::udp((A, 5000), (SERVER, 999))),
    );
    world.seconds(70);
    let records = world.take_records();
    let threat = records[0].firewalls[0].threat.clone();
    assert_eq!(threat, Some(("Tor".into(), ThreatAction::Alert)));
    assert_eq!(records[0].result, engine::record::RecordResult::Alert);
}

/// The addresses of a cloud service are those of its list: another list decides about sessions that there are, too.
#[test]
fn cloud_services_decide_as_they_are_known() {
    let service = CloudService {
        location: "/ranges.json".into(),
        services: Vec::new(),
        regions: Vec::new(),
        refresh: Duration::from_secs(60),
    };
    let to_service = ControlPolicy {
        destination: PolicyDestination::Book("storage".into()),
        protocol: Some(6),
        ..accept("to the service")
    };
    let mut config = loose(vec![to_service, refuse("the rest")]);
    config.firewalls.books.push(AddressBook {
        id: "storage".into(),
        name: "storage".into(),
        content: Arc::new(BookContent::Cloud(service)),
    });
    let known = |nets: &[&str]| {
        let nets = nets.iter().map(|it| it.parse().unwrap()).collect();
        Known {
            services: Arc::new(CloudServices::new([("storage", nets)])),
            ..Known::default()
        }
    };
    let mut world = world(config);
    let syn = |port, server| Packet::tcp((A, port), (server, 443), SYN);
    let refused = |world: &mut World, port, server| {
        assert_eq!(
            reason(world, |w| drop(w.from("a", syn(port, server)))),
            "nat_firewall"
        );
    };
    refused(&mut world, 5000, SERVER);
    world.know(known(&["198.51.100.0/28", "192.0.2.1/32"]));
    let mut gone = Connection::open(&mut world, 5001, SERVER, 443);
    let mut kept = Connection::open(&mut world, 5002, "192.0.2.1", 443);
    refused(&mut world, 5003, "198.51.100.16");
    let udp = Packet::udp((A, 5004), (SERVER, 443));
    assert_eq!(
        reason(&mut world, |w| drop(w.from("a", udp))),
        "nat_firewall"
    );
    world.know(known(&["192.0.2.0/24", "198.51.100.16/28"]));
    world.seconds(3);
    let late = gone.client_says(ACK, b"more");
    let seen = world.from("a", late);
    assert!(
        seen.len() == 2 && seen.iter().all(|it| it.packet.flags() & RST != 0),
        "{seen:?}"
    );
    at("wan", world.from("a", kept.client_says(ACK, b"more")));
    Connection::open(&mut world, 5005, "198.51.100.16", 443);
}

/// A policy that counts at certain times: live sessions end when its time comes.
#[test]
fn a_schedule_takes_effect_on_live_sessions() {
    let mut nightly = refuse("nightly").port(999);
    nightly.validity = Validity::Repeated {
        from: None,
        until: None,
        days: RepeatDays::Daily,
        start: 60,
        end: 120,
        offset: model::Offset::default(),
    };
    let mut world = world(loose(vec![nightly]));
    // Half a minute before one o'clock.
    let midnight = 1_800_000_000 / 86_400 * 86_400;
    world.engine.set_wall(midnight + 3_570, world.now);
    let packet = Packet::udp((A, 5000), (SERVER, 999));
    at("wan", world.from("a", packet.clone()));
    world.seconds(20);
    assert!(one(world.from("a", packet.clone())).fast);
    world.seconds(13);
    assert_eq!(
        reason(&mut world, |w| none(w.from("a", packet.clone()))),
        "nat_firewall"
    );
    world.seconds(3_500);
    world.from("a", packet.clone());
    world.seconds(100);
    at("wan", world.from("a", packet));
}

#[test]
fn above_what_was_bought_sessions_pass_unseen_or_are_dropped() {
    for (then, passes) in [(OverCapacity::Degrade, true), (OverCapacity::Block, false)] {
        let mut config = loose(vec![refuse("telnet").port(23)]);
        config.firewalls.license.capacity = Some(1);
        config.firewalls.license.over_capacity = then;
        let mut world = world(config);
        let telnet = |port| Packet::tcp((A, port), (SERVER, 23), SYN);
        world.from("a", telnet(1));
        assert_eq!(world.dropped(Reason::NatFirewall), 1);
        // Two megabits in a second, again and again.
        for _ in 0..4 {
            for _ in 0..250 {
                world.from("a", Packet::udp((A, 5000), (SERVER, 999)).len(972));
            }
            world.seconds(1);
        }
        assert!(world.engine.firewall_stats().bits_per_second > 1_000_000);
        let seen = world.from("a", telnet(2));
        assert_eq!(seen.iter().any(|it| it.at == "wan"), passes);
        assert_eq!(world.dropped(Reason::FirewallCapacity), u64::from(!passes));
        assert_eq!(world.engine.firewall_stats().over_capacity, 1);
        // When there is room again, they are seen again.
        world.seconds(5);
        world.from("a", telnet(3));
        assert_eq!(world.dropped(Reason::NatFirewall), 2);
    }
}
