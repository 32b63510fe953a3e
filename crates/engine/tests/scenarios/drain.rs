//! SNAT entries that are changed in place: what they do not cover any more drains.

use crate::common::*;
use crate::intranet::{self, RIGHT_C, X};
use crate::trace::agrees;
use engine::record::CloseReason;
use model::{Config, Drain};

/// The time of day at which worlds begin, in seconds.
const START: u64 = 1000;

/// A configuration in which the first SNAT entry lets these sources drain for so many seconds more.
fn draining(world: &World, text: &str, source: &str, eips: &[&str], seconds: u64) -> Config {
    let mut config = parse(text);
    config.nat_gateways[0].snat[0].drains.push(Drain {
        source: source.parse().unwrap(),
        eips: eips.iter().map(|it| (*it).into()).collect(),
        until: u64::from(world.now.second()) + seconds,
    });
    config
}

/// [`BASE`] with another source of its SNAT entry. The entry's identifier is the same.
fn source(cidr: &str) -> String {
    base(&[(
        "[[nat_gateway.snat]]\nvpc = true\n",
        &format!("[[nat_gateway.snat]]\nid = \"snat\"\nsource = \"{cidr}\"\n"),
    )])
}

/// A world with an open connection of `a` to the server's port 443.
fn connected(text: &str) -> World {
    let mut world = World::new(text);
    assert_eq!(u64::from(world.now.second()), START);
    at("wan", world.from("a", segment(SYN)));
    let back = Packet::tcp((SERVER, 443), (EIP1, 5000), SYN | ACK);
    at("a", world.net(back));
    assert!(one(world.from("a", segment(ACK))).fast);
    world
}

fn segment(flags: u8) -> Packet {
    Packet::tcp((A, 5000), (SERVER, 443), flags)
}

#[test]
fn what_the_new_source_does_not_cover_goes_on_for_a_while() {
    let all = source("10.0.0.0/16");
    let mut world = connected(&all);
    let flows = world.flows();
    let config = draining(
        &world,
        &source("10.0.2.0/24"),
        "10.0.0.0/16",
        &["eip-1"],
        60,
    );
    world.apply_config(config);
    // The kernel notices nothing.
    assert_eq!(world.flows(), flows);
    let session = world.session();
    assert_eq!((session.drains, session.expires), (Some(60), 60));
    assert_eq!(session.entry.as_deref(), Some("snat"));
    for _ in 0..59 {
        world.seconds(1);
        assert!(one(world.from("a", segment(ACK))).fast);
        let back = Packet::tcp((SERVER, 443), (EIP1, 5000), ACK);
        assert!(one(world.net(back)).fast);
    }
    assert_eq!(world.session().drains, Some(1));
    // A new one of the same instance is not made, of another one it is.
    let why = reason(&mut world, |w| {
        w.from("a", Packet::tcp((A, 5001), (SERVER, 443), SYN));
    });
    assert_eq!(why, "no_snat");
    at("wan", world.from("b", Packet::udp((B, 5000), (SERVER, 53))));
    world.seconds(3);
    assert_eq!(world.session().eni, "b");
    assert_eq!(world.session().drains, None);
    let stats = world.stats();
    assert_eq!((stats.closed, stats.drained), (1, 1));
    assert_eq!(world.ports_used("eip-1"), [0, 1, 0]);
    // Its sender is told so.
    let why = reason(&mut world, |w| {
        let told = at("a", w.from("a", segment(ACK)));
        assert_eq!(told.flags() & RST, RST);
    });
    assert_eq!(why, "tcp_out_of_state");
}

#[test]
fn an_eip_that_leaves_the_pool_keeps_its_ports_until_it_has_drained() {
    let both = base(&[(
        "vpc = true\neips = [\"eip-1\"]",
        "vpc = true\neips = [\"eip-1\"]\n[[nat_gateway.snat]]\nsource = \"10.0.2.0/24\"\neips = [\"eip-1\"]",
    )]);
    let mut world = connected(&both);
    let text = both.replacen("eips = [\"eip-1\"]\n[[", "eips = [\"eip-2\"]\n[[", 1);
    let config = draining(&world, &text, "10.0.0.0/16", &["eip-1"], 60);
    world.apply_config(config);
    assert_eq!(world.session().drains, Some(60));
    // The same instance and port to somewhere else: by the new EIP. The old connection goes on.
    let syn = Packet::tcp((A, 5000), ("198.51.100.9", 443), SYN);
    assert_eq!(at("wan", world.from("a", syn)).src, ip(EIP2));
    assert!(one(world.from("a", segment(ACK))).fast);
    // Somebody else by the old EIP does not get the port.
    let syn = Packet::tcp((B, 5000), (SERVER, 443), SYN);
    let other = at("wan", world.from("b", syn.clone()));
    assert_eq!(other.src, ip(EIP1));
    assert_ne!(other.sport(), 5000);
    for _ in 0..63 {
        world.seconds(1);
        world.from("a", segment(ACK));
    }
    assert_eq!(world.stats().drained, 1);
    world.seconds(70);
    assert_eq!(world.sessions(), []);
    let other = at("wan", world.from("b", syn));
    assert_eq!((other.src, other.sport()), (ip(EIP1), 5000));
}

#[test]
fn it_may_end_by_itself_before() {
    let mut world = connected(&source("10.0.0.0/16"));
    let config = draining(
        &world,
        &source("10.0.2.0/24"),
        "10.0.0.0/16",
        &["eip-1"],
        600,
    );
    world.apply_config(config);
    world.from("a", segment(ACK | FIN));
    world.net(Packet::tcp((SERVER, 443), (EIP1, 5000), ACK | FIN));
    world.seconds(63);
    let stats = world.stats();
    assert_eq!((stats.sessions, stats.closed, stats.drained), (0, 1, 0));
}

#[test]
fn what_is_covered_again_does_not_drain_any_more() {
    let all = source("10.0.0.0/16");
    let mut world = connected(&all);
    let flows = world.flows();
    let config = draining(
        &world,
        &source("10.0.2.0/24"),
        "10.0.0.0/16",
        &["eip-1"],
        60,
    );
    world.apply_config(config);
    world.seconds(30);
    // The entry still lets drain what it covers again.
    let config = draining(&world, &all, "10.0.0.0/16", &["eip-1"], 30);
    world.apply_config(config);
    assert_eq!(world.session().drains, None);
    world.seconds(60);
    assert_eq!(world.session().drains, None);
    assert_eq!(world.flows(), flows);
    // So does another entry that has the EIP, whichever it is.
    let other = "[[nat_gateway.snat]]\nid = \"other\"\nvpc = true\neips = [\"eip-1\"]\n[[nat_gateway.dnat]]";
    let more = source("10.0.1.0/24").replacen("[[nat_gateway.dnat]]", other, 1);
    world.apply(&more.replacen("\neips = [\"eip-1\"]", "\neips = [\"eip-2\"]", 1));
    let session = world.session();
    assert_eq!(
        (session.drains, session.entry.as_deref()),
        (None, Some("other"))
    );
    let syn = Packet::tcp((A, 5001), (SERVER, 443), SYN);
    assert_eq!(at("wan", world.from("a", syn)).src, ip(EIP2));
}

#[test]
fn a_later_end_counts_and_an_earlier_one_does_not() {
    let mut world = connected(&source("10.0.0.0/16"));
    let mut config = draining(
        &world,
        &source("10.0.2.0/24"),
        "10.0.0.0/16",
        &["eip-1"],
        60,
    );
    let drains = &mut config.nat_gateways[0].snat[0].drains;
    drains.push(Drain {
        source: "10.0.1.0/24".parse().unwrap(),
        until: START + 100,
        ..drains[0].clone()
    });
    drains.push(Drain {
        until: START + 20,
        ..drains[0].clone()
    });
    // This one is for others.
    drains.push(Drain {
        source: "10.0.2.0/24".parse().unwrap(),
        until: START + 900,
        ..drains[0].clone()
    });
    world.apply_config(config.clone());
    assert_eq!(world.session().drains, Some(100));
    // Cut short.
    for drain in &mut config.nat_gateways[0].snat[0].drains {
        drain.until = drain.until.min(START + 10);
    }
    world.apply_config(config.clone());
    assert_eq!(world.session().drains, Some(10));
    // At once.
    config.nat_gateways[0].snat[0].drains.clear();
    world.apply_config(config);
    assert_eq!(world.sessions(), []);
    assert_eq!(world.stats().drained, 0);
}

#[test]
fn an_address_that_is_gone_takes_its_sessions_with_it() {
    let narrow = source("10.0.2.0/24");
    let gone = [
        // The entry is gone.
        (
            "[[nat_gateway.snat]]\nid = \"snat\"\nsource = \"10.0.2.0/24\"\neips = [\"eip-1\"]\n",
            "",
        ),
        // The EIP is not the gateway's any more.
        ("eips = [\"eip-1\", \"eip-2\"]", "eips = [\"eip-2\"]"),
        // Somebody has it for himself.
        (
            "protocol = \"tcp\"\nexternal_port = 80\ninstance = \"b\"\ninternal_port = 8080",
            "protocol = \"any\"\ninstance = \"b\"",
        ),
    ];
    for (n, change) in gone.into_iter().enumerate() {
        let mut world = connected(&source("10.0.0.0/16"));
        let config = draining(&world, &narrow, "10.0.0.0/16", &["eip-1"], 60);
        world.apply_config(config);
        assert_eq!(world.session().drains, Some(60));
        let mut text = narrow.replacen(change.0, change.1, 1);
        assert_ne!(text, narrow);
        if n > 0 {
            text = text.replacen(
                "source = \"10.0.2.0/24\"\neips = [\"eip-1\"]",
                "source = \"10.0.2.0/24\"\neips = [\"eip-2\"]",
                1,
            );
        }
        if n == 1 {
            text = text.replacen("eip = \"eip-1\"", "eip = \"eip-2\"", 1);
        }
        let config = match n {
            0 => parse(&text),
            _ => draining(&world, &text, "10.0.0.0/16", &["eip-1"], 60),
        };
        world.apply_config(config);
        assert_eq!(world.sessions(), [], "{n}");
        assert_eq!(world.ports_used("eip-1"), [0, 0, 0]);
        assert_eq!(world.stats().drained, 0);
    }
}

#[test]
fn the_next_daemon_keeps_the_moment() {
    let mut world = connected(&source("10.0.0.0/16"));
    let config = draining(
        &world,
        &source("10.0.2.0/24"),
        "10.0.0.0/16",
        &["eip-1"],
        60,
    );
    world.apply_config(config);
    let flows = world.flows();
    world.seconds(20);
    world.restart();
    assert_eq!(world.flows(), flows);
    assert_eq!(world.session().drains, Some(40));
    assert_eq!(world.ports_used("eip-1"), [1, 0, 0]);
    assert!(one(world.from("a", segment(ACK))).fast);
    let why = reason(&mut world, |w| {
        w.from("a", Packet::tcp((A, 5001), (SERVER, 443), SYN));
    });
    assert_eq!(why, "no_snat");
    world.seconds(43);
    assert_eq!(world.sessions(), []);
    assert_eq!(world.stats().drained, 1);

    // It comes too late.
    let mut world = connected(&source("10.0.0.0/16"));
    let config = draining(
        &world,
        &source("10.0.2.0/24"),
        "10.0.0.0/16",
        &["eip-1"],
        60,
    );
    world.apply_config(config);
    world.now = world.now + std::time::Duration::from_secs(60);
    world.restart();
    assert_eq!(world.sessions(), []);
    assert_eq!(world.flows(), []);
}

#[test]
fn security_groups_hold_for_what_drains() {
    let mut world = connected(&source("10.0.0.0/16"));
    let narrow = source("10.0.2.0/24");
    let config = draining(&world, &narrow, "10.0.0.0/16", &["eip-1"], 60);
    world.apply_config(config);
    let rule = "[[security_group.rule]]\ndirection = \"egress\"\npolicy = \"drop\"\nprotocol = \"tcp\"\ncidr = \"0.0.0.0/0\"\n[[instance]]";
    let text = narrow.replacen("[[instance]]", rule, 1);
    let config = draining(&world, &text, "10.0.0.0/16", &["eip-1"], 60);
    world.apply_config(config);
    assert_eq!(world.sessions(), []);
}

#[test]
fn a_new_connection_on_the_tuple_of_one_that_drains_is_a_new_one() {
    let text = source("10.0.0.0/16");
    let elsewhere = text.replacen(
        "source = \"10.0.0.0/16\"\neips = [\"eip-1\"]",
        "source = \"10.0.0.0/16\"\neips = [\"eip-2\"]",
        1,
    );
    for (text, expected) in [
        (elsewhere.clone(), Some(ip(EIP2))),
        (source("10.0.2.0/24"), None),
    ] {
        let mut world = connected(&source("10.0.0.0/16"));
        let config = draining(&world, &text, "10.0.0.0/16", &["eip-1"], 600);
        world.apply_config(config);
        // Not while it is there: its end answers such a thing.
        assert_eq!(at("wan", world.from("a", segment(SYN))).src, ip(EIP1));
        world.from("a", segment(ACK | FIN));
        world.net(Packet::tcp((SERVER, 443), (EIP1, 5000), ACK | FIN));
        let view = agrees(&mut world, "a", segment(SYN));
        match expected {
            Some(eip) => assert_eq!(view.translated.unwrap().src, eip),
            None => assert_eq!(view.verdict, "no_snat"),
        }
    }
}

/// Endpoint-independent filtering.
#[test]
fn what_a_mapping_let_in_drains_with_it() {
    let open = |cidr: &str| {
        source(cidr).replacen(
            "id = \"ngw\"",
            "id = \"ngw\"\nfiltering = \"endpoint-independent\"",
            1,
        )
    };
    let mut world = World::new(&open("10.0.0.0/16"));
    at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
    let stranger = |n: u16| Packet::udp(("198.51.100.9", n), (EIP1, 5000));
    at("a", world.net(stranger(1)));
    let config = draining(&world, &open("10.0.2.0/24"), "10.0.0.0/16", &["eip-1"], 30);
    world.apply_config(config);
    let drains: Vec<_> = world.sessions().iter().map(|it| it.drains).collect();
    assert_eq!(drains, [Some(30); 2]);
    // It goes on, and nobody else is let in.
    assert!(one(world.net(stranger(1))).fast);
    let why = reason(&mut world, |w| none(w.net(stranger(2))));
    assert_eq!(why, "not_mapped");
    world.restart();
    let drains: Vec<_> = world.sessions().iter().map(|it| it.drains).collect();
    assert_eq!(drains, [Some(30); 2]);
    assert!(one(world.net(stranger(1))).fast);
    world.seconds(33);
    assert_eq!(world.sessions(), []);
    assert_eq!(world.stats().drained, 2);
}

#[test]
fn nat_ips_drain_like_eips() {
    let mut world = World::new(&intranet::text());
    let packet = Packet::udp((X, 5000), (RIGHT_C, 53));
    let seen = at("right-c", world.from("left-a", packet.clone()));
    let text = intranet::text().replacen("source = \"10.0.0.0/16\"", "source = \"10.0.2.0/24\"", 1);
    let config = draining(&world, &text, "10.0.0.0/16", &["left-one"], 30);
    world.apply_config(config);
    assert_eq!(world.session().drains, Some(30));
    assert!(one(world.from("left-a", packet.clone())).fast);
    assert!(one(world.from("right-c", seen.answer(0))).fast);
    let why = reason(&mut world, |w| {
        w.from("left-a", Packet::udp((X, 5001), (RIGHT_C, 53)));
    });
    assert_eq!(why, "no_snat");
    world.restart();
    assert_eq!(world.session().drains, Some(30));
    world.seconds(33);
    assert_eq!(world.sessions(), []);
    assert_eq!(world.stats().drained, 1);
    // What the other side's gateway does is its own.
    let mut config = draining(&world, &intranet::text(), "10.0.0.0/16", &["left-one"], 30);
    config.nat_gateways[0].snat.clear();
    world.apply_config(config);
    let why = reason(&mut world, |w| {
        w.from("left-a", packet);
    });
    assert_eq!(why, "no_snat");
}

#[test]
fn the_record_says_that_it_has_drained() {
    let mut config = loose(vec![accept("all")]);
    let mut world = world(config.clone());
    world.record();
    at(
        "wan",
        world.from("a", Packet::udp((A, 5000), (SERVER, 123))),
    );
    config.nat_gateways[0].snat[0].source = "10.0.2.0/24".parse().unwrap();
    config.nat_gateways[0].snat[0].drains.push(Drain {
        source: "10.0.0.0/16".parse().unwrap(),
        eips: vec!["eip-1".into()],
        until: START + 30,
    });
    world.apply_config(config);
    for _ in 0..33 {
        world.from("a", Packet::udp((A, 5000), (SERVER, 123)));
        world.seconds(1);
    }
    let records = world.take_records();
    let ended = records.iter().find(|it| it.close.is_some()).unwrap();
    assert_eq!(ended.close, Some(CloseReason::Drained));
}
