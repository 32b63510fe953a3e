//! Who is where: ARP in both directions.

use crate::common::*;
use engine::Offload;
use flow::reason::Reason;

const ROUTER: &str = "203.0.113.1";

fn asked(world: &World, target: &str) -> usize {
    let asks = |arp: &&ArpSeen| !arp.reply && arp.target == ip(target) && arp.sender != arp.target;
    world.arps.iter().filter(asks).count()
}

#[test]
fn a_packet_waits_for_its_next_hop() {
    let mut world = World::new(BASE);
    world.silent.insert(ip(ROUTER));
    let packet = Packet::udp((A, 1), (SERVER, 1));
    none(world.from("a", packet.clone()));
    assert_eq!(asked(&world, ROUTER), 1);
    let question = world
        .arps
        .iter()
        .find(|arp| arp.target == ip(ROUTER))
        .unwrap();
    assert_eq!(question.sender, ip("203.0.113.2"));
    // The flow is in the table already: the kernel hands up what comes meanwhile.
    none(world.from("a", packet.clone()));
    assert_eq!((world.kernel.hits, asked(&world, ROUTER)), (0, 1));
    world.silent.clear();
    world.seconds(2);
    let seen = world.take();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter()
            .all(|s| s.at == "wan" && s.packet.src == ip(EIP1))
    );
    assert!(one(world.from("a", packet)).fast);
    assert_eq!(world.stats().forwarded, 2);
}

#[test]
fn who_does_not_answer_is_given_up_and_asked_again() {
    let mut world = World::new(BASE);
    world.silent.insert(ip(ROUTER));
    let packet = Packet::udp((A, 1), (SERVER, 1));
    for _ in 0..20 {
        none(world.from("a", packet.clone()));
    }
    assert_eq!(world.dropped(Reason::NeighbourQueueFull), 4);
    world.seconds(5);
    assert_eq!(asked(&world, ROUTER), 3);
    assert_eq!(world.dropped(Reason::NeighbourUnreachable), 16);
    world.seconds(5);
    assert_eq!(asked(&world, ROUTER), 3, "nobody wants to know");
    none(world.from("a", packet.clone()));
    assert_eq!(asked(&world, ROUTER), 4);
    world.silent.clear();
    world.seconds(2);
    at("wan", world.take());
    assert_eq!(world.stats().forwarded, 1);
}

#[test]
fn a_known_neighbour_is_asked_from_time_to_time() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 1), (SERVER, 1));
    at("wan", world.from("a", packet.clone()));
    assert_eq!(asked(&world, ROUTER), 1);
    for _ in 0..10 {
        world.seconds(10);
        assert!(one(world.from("a", packet.clone())).fast);
    }
    assert!(
        (3..=4).contains(&asked(&world, ROUTER)),
        "{}",
        asked(&world, ROUTER)
    );
    // Nobody is asked for whom no session leads to.
    world.seconds(70);
    let before = asked(&world, ROUTER);
    world.seconds(300);
    assert_eq!(asked(&world, ROUTER), before);
}

#[test]
fn a_neighbour_that_vanishes_and_comes_back_elsewhere() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 1), (SERVER, 1));
    at("wan", world.from("a", packet.clone()));
    world.silent.insert(ip(ROUTER));
    for _ in 0..4 {
        world.seconds(10);
        world.from("a", packet.clone());
    }
    // Packets are held now, not sent to where it was.
    none(world.from("a", packet.clone()));
    world.silent.clear();
    world.moved.insert(ip(ROUTER), [2, 9, 9, 9, 9, 9]);
    world.seconds(2);
    assert!(!world.take().is_empty());
    assert!(one(world.from("a", packet)).fast);
}

/// It says itself that it has moved: gratuitous ARP, as after a failover.
#[test]
fn a_neighbour_that_announces_another_address() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 1), (SERVER, 1));
    at("wan", world.from("a", packet.clone()));
    world.moved.insert(ip(ROUTER), [2, 9, 9, 9, 9, 9]);
    let link = world.link("wan").clone();
    for reply in [false, true] {
        let frame = world.arp_frame(&link, ip(ROUTER), reply, ip(ROUTER));
        none(world.inject(link.ifindex, frame, Offload::NONE));
        assert!(one(world.from("a", packet.clone())).fast);
        world.moved.insert(ip(ROUTER), [2, 8, 8, 8, 8, 8]);
    }
}

/// A LAN with many hosts behind one interface.
fn lan() -> String {
    BASE.replacen(
        "address = \"10.0.1.10\"",
        "address = \"10.0.1.10\"\ndriver = \"device\"\ndevice = \"eth2\"\nhosts = [\"10.0.1.128/26\", \"172.20.0.0/16\"]",
        1,
    )
}

#[test]
fn hosts_on_a_lan_are_asked_for_and_others_reached_through_it() {
    let mut world = World::new(&lan());
    let seen = at("a", world.from("b", Packet::udp((B, 1), ("10.0.1.130", 1))));
    assert_eq!(seen.dst, ip("10.0.1.130"));
    let question = world
        .arps
        .iter()
        .find(|arp| arp.target == ip("10.0.1.130"))
        .unwrap();
    assert_eq!(question.sender, ip("10.0.1.253"), "asked by the gateway");
    // The world checks that this goes to the interface's own address.
    let text = lan().replace(
        "[[security_group]]",
        "[[route_table]]\nvpc = \"vpc\"\nsystem = true\n[[route_table.route]]\ndestination = \"172.20.0.0/16\"\ninstance = \"a\"\n[[security_group]]",
    );
    let mut world = World::new(&text);
    let seen = at("a", world.from("b", Packet::udp((B, 1), ("172.20.3.4", 1))));
    assert_eq!(seen.dst, ip("172.20.3.4"));
    assert_eq!(asked(&world, A), 1);
    // Hosts have mappings of their own.
    let first = at(
        "wan",
        world.from("a", Packet::udp(("10.0.1.130", 5000), (SERVER, 1))),
    );
    let second = at(
        "wan",
        world.from("a", Packet::udp(("10.0.1.131", 5000), (SERVER, 1))),
    );
    assert_eq!(first.sport(), 5000);
    assert_ne!(first.sport(), second.sport());
    assert_eq!(at("a", world.net(second.answer(0))).dst, ip("10.0.1.131"));
}

#[test]
fn instances_get_their_gateway_and_each_other_from_us() {
    let text = lan().replacen(
        "[[eip]]",
        "[[instance]]\nid = \"a2\"\nvswitch = \"vsw-a\"\naddress = \"10.0.1.11\"\nsecurity_groups = [\"open\"]\n[[eip]]",
        1,
    );
    let mut world = World::new(&text);
    let mac = world.link("a").mac;
    let mut answers = |target: &str| -> bool {
        let answers = world.ask("a", ip("10.0.1.130"), ip(target));
        assert!(
            answers
                .iter()
                .all(|arp| arp.mac == mac && arp.sender == ip(target))
        );
        answers.len() == 1
    };
    assert!(answers("10.0.1.253"), "the gateway");
    assert!(answers("10.0.1.11"), "another interface of the vSwitch");
    assert!(!answers("10.0.1.10"), "this interface's own address");
    assert!(!answers("10.0.1.131"), "a host on the same link");
    assert!(!answers("10.0.1.50"), "nobody's address");
    assert!(!answers(B), "another vSwitch");
    assert!(!answers("10.0.2.253"));
    assert!(!answers(EIP1));
}

#[test]
fn eips_are_answered_for_and_announced() {
    let mut world = World::new(BASE);
    let host = ip("203.0.113.50");
    for target in [EIP1, EIP2, "203.0.113.2"] {
        let answers = world.ask("wan", host, ip(target));
        assert_eq!(answers.len(), 1, "{target}");
        assert_eq!(answers[0].mac, world.link("wan").mac);
    }
    for target in [ROUTER, "203.0.113.99", A] {
        assert_eq!(world.ask("wan", host, ip(target)), []);
    }
    let announced = |w: &World, address: &str| {
        let is =
            |arp: &&ArpSeen| !arp.reply && arp.sender == ip(address) && arp.target == arp.sender;
        w.arps.iter().filter(is).count()
    };
    world.seconds(5);
    for address in [EIP1, EIP2, "203.0.113.2"] {
        assert_eq!(announced(&world, address), 3);
    }
    // A new one is announced, the others not again; one that is gone not any more.
    let text = base(&[("address = \"203.0.113.11\"", "address = \"203.0.113.12\"")]);
    world.apply(&text);
    world.advance(std::time::Duration::from_millis(1500));
    world.apply(BASE);
    let half = announced(&world, "203.0.113.12");
    assert!((1..3).contains(&half));
    world.seconds(5);
    assert_eq!(announced(&world, "203.0.113.12"), half);
    assert_eq!(announced(&world, EIP1), 3);
    assert_eq!(announced(&world, EIP2), 6);
}

#[test]
fn a_shared_uplink_leaves_the_hosts_address_alone() {
    let text = base(&[(
        "address = \"203.0.113.2/24\"",
        "address = \"203.0.113.2/24\"\nmode = \"shared\"",
    )]);
    let mut world = World::new(&text);
    let host = ip("203.0.113.50");
    assert_eq!(world.ask("wan", host, ip(EIP1)).len(), 1);
    assert_eq!(world.ask("wan", host, ip("203.0.113.2")), []);
    world.seconds(5);
    let own = |arp: &&ArpSeen| arp.sender == ip("203.0.113.2") && arp.target == arp.sender;
    assert_eq!(world.arps.iter().filter(own).count(), 0);
}

#[test]
fn false_claims_are_not_believed() {
    let mut world = World::new(&lan());
    at("wan", world.from("a", Packet::udp((A, 1), (SERVER, 1))));
    // An instance claims to be another one, the gateway, somebody outside.
    let link = world.link("a").clone();
    for sender in [B, "10.0.1.253", SERVER, "10.0.1.50"] {
        let frame = world.arp_frame(&link, ip(sender), true, ip("10.0.1.253"));
        let why = reason(&mut world, |w| {
            none(w.inject(link.ifindex, frame, Offload::NONE))
        });
        assert_eq!(why, "spoofed", "{sender}");
    }
    // Somebody outside claims our EIP.
    let link = world.link("wan").clone();
    for sender in [EIP1, "203.0.113.2"] {
        let frame = world.arp_frame(&link, ip(sender), false, ip(ROUTER));
        let why = reason(&mut world, |w| {
            none(w.inject(link.ifindex, frame, Offload::NONE))
        });
        assert_eq!(why, "spoofed", "{sender}");
    }
    // Sender in the ARP message and on the frame differ; a group address; our own frame comes back.
    let good = world.arp_frame(&link, ip(ROUTER), true, ip("203.0.113.2"));
    let mut bad = good.clone();
    bad[22..28].copy_from_slice(&[2, 3, 4, 5, 6, 7]);
    assert_eq!(
        reason(&mut world, |w| none(w.inject(
            link.ifindex,
            bad,
            Offload::NONE
        ))),
        "malformed"
    );
    let mut bad = good.clone();
    bad[22] |= 1;
    bad[6] |= 1;
    assert_eq!(
        reason(&mut world, |w| none(w.inject(
            link.ifindex,
            bad,
            Offload::NONE
        ))),
        "malformed"
    );
    let mut bad = good;
    bad[22..28].copy_from_slice(&link.mac);
    bad[6..12].copy_from_slice(&link.mac);
    assert_eq!(
        reason(&mut world, |w| none(w.inject(
            link.ifindex,
            bad,
            Offload::NONE
        ))),
        "arp_ignored"
    );
    at("wan", world.from("a", Packet::udp((A, 1), (SERVER, 1))));
}

/// Whether an address is free (RFC 5227): asked without a sender.
#[test]
fn a_probe_finds_addresses_of_others_taken_and_ones_own_free() {
    let mut world = World::new(&lan());
    let nobody = ip("0.0.0.0");
    assert_eq!(world.ask("a", nobody, ip(A)), []);
    assert_eq!(world.ask("a", nobody, ip("10.0.1.130")), []);
    assert_eq!(world.ask("a", nobody, ip("10.0.1.253")).len(), 1);
    assert_eq!(world.ask("wan", nobody, ip(EIP1)).len(), 1);
}

/// The table of next hops is small: hops that nobody uses make room.
#[test]
fn hops_are_given_back() {
    let text = lan().replace(
        "hosts = [\"10.0.1.128/26\"",
        "hosts = [\"10.0.1.128/26\", \"10.0.1.64/26\"",
    );
    let mut world = World::new(&text);
    for round in 0..2 {
        for n in 64..120 {
            let host = format!("10.0.1.{n}");
            at("a", world.from("b", Packet::udp((B, 1), (&host, 1))));
        }
        if round == 0 {
            // 62 hops, two of them in use for others: no room for ten more.
            for n in 120..130 {
                let host = format!("10.0.1.{n}");
                world.from("b", Packet::udp((B, 1), (&host, 1)));
            }
            assert!(world.dropped(Reason::NeighbourQueueFull) > 0);
        }
        world.seconds(200);
    }
}

/// A LAN that fills its vSwitch does not have the vSwitch's own addresses.
#[test]
fn a_lan_does_not_speak_for_the_gateway() {
    let text = lan().replace("\"10.0.1.128/26\"", "\"10.0.1.0/24\"");
    let mut world = World::new(&text);
    at(
        "wan",
        world.from("a", Packet::udp(("10.0.1.77", 1), (SERVER, 1))),
    );
    for address in ["10.0.1.253", "10.0.1.99"] {
        let ours = address.ends_with("253");
        let packet = Packet::udp((address, 1), (SERVER, 1));
        assert_eq!(world.from("a", packet).is_empty(), ours);
        let asked = world.ask("a", ip("10.0.1.77"), ip(address));
        assert_eq!(asked.len(), ours as usize);
    }
    assert_eq!(world.dropped(Reason::Spoofed), 1);
}
