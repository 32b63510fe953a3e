//! Bandwidth: what an EIP or a package carries, and what becomes of sessions whose limit changes.

use crate::common::*;
use engine::{BandwidthView, Offload};
use flow::header::Checksum;
use flow::reason::Reason;
use std::time::Duration;

/// `eip-1` with 1 Mbit/s: a full bucket holds 37,500 bytes.
const ONE: &str = "address = \"203.0.113.10\"\nbandwidth = 1";
/// What it lets through of packets with 1,400 bytes: 26 of them, and the one that is a debt.
const FULL: usize = 27;

/// [`BASE`] with some text instead of the address of an EIP.
fn limited(changes: &[(&str, &str)]) -> String {
    let eip = |id| format!("address = \"{id}\"");
    let changes: Vec<_> = changes.iter().map(|(id, text)| (eip(id), *text)).collect();
    let changes: Vec<_> = changes.iter().map(|(old, new)| (&**old, *new)).collect();
    base(&changes)
}

fn one_mbit() -> String {
    limited(&[(EIP1, ONE)])
}

/// A datagram of 1,400 bytes.
fn datagram(from: (&str, u16), to: (&str, u16)) -> Packet {
    Packet::udp(from, to).len(1372)
}

/// Sends a packet again and again, and gives how often it came out before it did not.
fn drain(world: &mut World, from: &str, packet: &Packet) -> usize {
    let passes = |_: &usize| !world.send(from, packet.clone(), Offload::NONE).is_empty();
    let passed = (0..100_000).take_while(passes).count();
    assert!(passed < 100_000, "it never ends");
    passed
}

/// What was dropped of a limit: packets in, packets out.
fn dropped(world: &World, id: &str) -> (u64, u64) {
    let all = world.stats().bandwidth;
    let found: Vec<&BandwidthView> = all.iter().filter(|limit| limit.id == id).collect();
    assert_eq!(found.len(), 1, "{all:?}");
    (found[0].dropped_packets_in, found[0].dropped_packets_out)
}

#[test]
fn each_direction_has_a_bucket() {
    let mut world = World::new(&one_mbit());
    let out = datagram((A, 5000), (SERVER, 53));
    let seen = at("wan", world.from("a", out.clone()));
    let punts = world.kernel.punts;
    assert_eq!(drain(&mut world, "a", &out), FULL - 1);
    assert_eq!(dropped(&world, "eip-1"), (0, 1));
    assert_eq!(drain(&mut world, "wan", &seen.answer(0)), FULL);
    assert_eq!(dropped(&world, "eip-1"), (1, 1));
    assert_eq!(world.dropped(Reason::RateLimit), 2);

    // A tenth of a second brings 12,500 bytes, of which 300 pay a debt.
    world.advance(Duration::from_millis(100));
    assert_eq!(drain(&mut world, "a", &out), 9);
    // And in ten seconds there pass ten times 125,000 bytes.
    let mut passed = 0;
    for _ in 0..2000 {
        world.advance(Duration::from_millis(5));
        passed += world.from("a", out.clone()).len();
    }
    assert!((892..=894).contains(&passed), "{passed}");
    // Only the first packet was the engine's.
    assert_eq!(world.kernel.punts, punts);
}

#[test]
fn engine_and_kernel_take_from_one_bucket() {
    let mut world = World::new(&one_mbit());
    let out = datagram((A, 5000), (SERVER, 53));
    let seen = at("wan", world.from("a", out.clone()));
    drain(&mut world, "a", &out);
    // A first packet opens its session all the same, so that the next one finds it.
    let syn = Packet::tcp((A, 5000), (SERVER, 80), SYN);
    let why = reason(&mut world, |w| none(w.from("a", syn.clone())));
    assert_eq!(why, "rate_limit");
    assert_eq!(world.sessions().len(), 2);
    let fragments = datagram((A, 5000), (SERVER, 53)).fragments(800);
    for fragment in &fragments {
        let why = reason(&mut world, |w| none(w.from("a", fragment.clone())));
        assert_eq!(why, "rate_limit");
    }
    world.advance(Duration::from_millis(20));
    assert_eq!(at("wan", world.from("a", syn)).sport(), 5000);

    // An error about a packet is one of its session's.
    drain(&mut world, "a", &out);
    drain(&mut world, "wan", &seen.answer(0));
    let inward = seen.error("192.0.2.1", 3, 1, 0, 28);
    let why = reason(&mut world, |w| none(w.net(inward.clone())));
    assert_eq!(why, "rate_limit");
    world.advance(Duration::from_millis(20));
    at("a", world.net(inward));

    // What the engine takes the kernel has not.
    let mut other = World::new(&one_mbit());
    for n in 0..FULL as u16 {
        at(
            "wan",
            other.from("a", datagram((A, 6000 + n), (SERVER, 53))),
        );
    }
    let first = datagram((A, 6000), (SERVER, 53));
    let why = reason(&mut other, |w| none(w.from("a", first)));
    assert_eq!(why, "rate_limit");
    assert_eq!(other.kernel.drops[&Reason::RateLimit], 1);
}

#[test]
fn ways_and_bindings() {
    let text = limited(&[
        (EIP1, ONE),
        (
            EIP2,
            "address = \"203.0.113.11\"\nbandwidth = 1\n[[eip]]\nid = \"eip-3\"\n\
             address = \"203.0.113.12\"\nbandwidth = 1\ninstance = \"b\"",
        ),
    ]);
    let mut world = World::new(&text);
    // Called from outside, by a port: the opener's packets come in.
    let call = Packet::tcp((SERVER, 999), (EIP1, 80), ACK).len(1360);
    let syn = Packet::tcp((SERVER, 999), (EIP1, 80), SYN);
    let seen = at("b", world.net(syn));
    assert_eq!(drain(&mut world, "wan", &call), FULL);
    assert_eq!(dropped(&world, "eip-1"), (1, 0));
    let answer = seen.answer(ACK).len(1360);
    assert_eq!(drain(&mut world, "b", &answer), FULL);
    assert_eq!(dropped(&world, "eip-1"), (1, 1));

    // An EIP of an interface's own.
    let out = datagram((B, 5000), (SERVER, 53));
    assert_eq!(drain(&mut world, "b", &out), FULL);
    assert_eq!(dropped(&world, "eip-3"), (0, 1));
    assert_eq!(
        drain(
            &mut world,
            "wan",
            &datagram((SERVER, 1), ("203.0.113.12", 2))
        ),
        FULL
    );
    assert_eq!(dropped(&world, "eip-3"), (1, 1));

    // What does not go by an EIP has no limit.
    for _ in 0..100 {
        at("b", world.from("a", datagram((A, 5000), (B, 7))));
    }
    assert_eq!(dropped(&world, "eip-2"), (0, 0));
    assert_eq!(world.dropped(Reason::RateLimit), 4);
}

/// From one EIP to another: a packet is the one's that it leaves by, and where that has no limit the other's.
#[test]
fn hairpin() {
    let dnat = "\n[[nat_gateway.dnat]]\neip = \"eip-2\"\nprotocol = \"udp\"\nexternal_port = 7\n\
                instance = \"b\"\n";
    let second = "address = \"203.0.113.11\"\nbandwidth = 1";
    let call = datagram((A, 5000), (EIP2, 7));
    let both = limited(&[(EIP1, ONE), (EIP2, second)]) + dnat;
    let mut world = World::new(&both);
    let seen = at("b", world.from("a", call.clone()));
    assert_eq!(seen.src, ip(EIP1));
    assert_eq!(drain(&mut world, "a", &call), FULL - 1);
    assert_eq!(drain(&mut world, "b", &seen.answer(0)), FULL);
    assert_eq!(dropped(&world, "eip-1"), (0, 1));
    assert_eq!(dropped(&world, "eip-2"), (0, 1));
    for (text, id) in [
        (limited(&[(EIP1, ONE)]), "eip-1"),
        (limited(&[(EIP2, second)]), "eip-2"),
    ] {
        let mut world = World::new(&(text + dnat));
        let seen = at("b", world.from("a", call.clone()));
        assert_eq!(drain(&mut world, "a", &call), FULL - 1);
        assert_eq!(drain(&mut world, "b", &seen.answer(0)), FULL);
        assert_eq!(dropped(&world, id), (1, 1));
    }
}

const PACKAGE: &str = "\n[[bandwidth_package]]\nid = \"cbwp\"\nbandwidth = 1\n";

/// Both EIPs in a package, the first with a limit of its own that does not count there; the second serves `b`.
fn packaged() -> String {
    let text = limited(&[
        (
            EIP1,
            "address = \"203.0.113.10\"\nbandwidth = 50\npackage = \"cbwp\"",
        ),
        (EIP2, "address = \"203.0.113.11\"\npackage = \"cbwp\""),
    ]);
    text + "\n[[nat_gateway.snat]]\ninstance = \"b\"\neips = [\"eip-2\"]\n" + PACKAGE
}

#[test]
fn a_package_is_one_bucket_for_its_eips() {
    let mut world = World::new(&packaged());
    let (a, b) = (
        datagram((A, 5000), (SERVER, 53)),
        datagram((B, 5000), (SERVER, 53)),
    );
    let mut passed = [0; 2];
    for _ in 0..100 {
        passed[0] += world.from("a", a.clone()).len();
        passed[1] += world.from("b", b.clone()).len();
    }
    assert_eq!(passed, [FULL / 2 + 1, FULL / 2]);
    let punts = world.kernel.punts;
    assert_eq!(dropped(&world, "cbwp"), (0, 200 - FULL as u64));
    assert_eq!(world.stats().bandwidth.len(), 1);

    // An EIP leaves the package: it has its own limit, and the other one what is left of the package's.
    let text = packaged().replace("bandwidth = 50\npackage = \"cbwp\"", "bandwidth = 1");
    world.apply(&text);
    assert_eq!(drain(&mut world, "a", &a), FULL);
    assert_eq!(drain(&mut world, "b", &b), 0);
    assert_eq!(dropped(&world, "eip-1"), (0, 1));
    assert_eq!(dropped(&world, "cbwp"), (0, 201 - FULL as u64));
    // And back.
    world.apply(&packaged());
    assert_eq!(drain(&mut world, "a", &a), 0);
    assert_eq!(world.stats().closed, 0);
    assert_eq!(world.kernel.punts, punts);
}

/// [`packaged`] with 4 Mbit/s for both, of which the first may have some.
fn within(limit: Option<u32>) -> String {
    let text = packaged().replace("\nbandwidth = 1\n", "\nbandwidth = 4\n");
    match limit {
        None => text,
        Some(limit) => {
            let limit = format!("bandwidth = 50\npackage_bandwidth = {limit}\n");
            text.replace("bandwidth = 50\n", &limit)
        }
    }
}

/// What a full bucket of 4 Mbit/s lets through: 150,000 bytes, and a debt of 1,200.
const FULL_OF_FOUR: usize = 108;

#[test]
fn an_eip_has_a_bucket_within_its_package() {
    let mut world = World::new(&within(Some(1)));
    let (a, b) = (
        datagram((A, 5000), (SERVER, 53)),
        datagram((B, 5000), (SERVER, 53)),
    );
    let seen = at("wan", world.from("a", a.clone()));
    let called = at("wan", world.from("b", b.clone()));
    let punts = world.kernel.punts;
    // Each direction by itself: its own is empty, while there is room in the package's.
    assert_eq!(drain(&mut world, "a", &a), FULL - 1);
    assert_eq!(drain(&mut world, "wan", &seen.answer(0)), FULL);
    assert_eq!(dropped(&world, "eip-1"), (1, 1));
    assert_eq!(dropped(&world, "cbwp"), (0, 0));
    // What is left is the other's.
    let left = FULL_OF_FOUR - FULL;
    assert_eq!(drain(&mut world, "b", &b), left - 1);
    assert_eq!(drain(&mut world, "wan", &called.answer(0)), left);
    assert_eq!(dropped(&world, "cbwp"), (1, 1));

    // After a tenth of a second there are 12,200 bytes for the first, but the other has all that the package has got.
    world.advance(Duration::from_millis(100));
    assert_eq!(drain(&mut world, "b", &b), 35);
    assert_eq!(drain(&mut world, "a", &a), 0);
    assert_eq!(dropped(&world, "cbwp"), (1, 3));
    assert_eq!(dropped(&world, "eip-1"), (1, 1));
    // What the package has refused was taken from no bucket: after another one there are 24,700.
    world.advance(Duration::from_millis(100));
    assert_eq!(drain(&mut world, "a", &a), 18);
    assert_eq!(dropped(&world, "eip-1"), (1, 2));
    assert_eq!(world.kernel.punts, punts);

    // The engine takes from both, too.
    let first = |n| datagram((A, 6000 + n), (SERVER, 53));
    world.seconds(1);
    for n in 0..FULL as u16 {
        at("wan", world.from("a", first(n)));
    }
    let why = reason(&mut world, |w| none(w.from("a", first(100))));
    assert_eq!(why, "rate_limit");
    assert_eq!(dropped(&world, "eip-1"), (1, 3));
    assert_eq!(drain(&mut world, "b", &b), left);
    world.advance(Duration::from_millis(30));
    assert!(drain(&mut world, "b", &b) > 0);
    let why = reason(&mut world, |w| none(w.from("a", first(101))));
    assert_eq!(why, "rate_limit");
    assert_eq!(dropped(&world, "eip-1"), (1, 3));
    let limits = world.stats().bandwidth;
    let limits: Vec<_> = limits.iter().map(|it| (&*it.id, it.bandwidth)).collect();
    assert_eq!(limits, [("cbwp", 4), ("eip-1", 1)]);
}

#[test]
fn limits_within_a_package_come_and_go_without_losing_a_packet() {
    let mut world = World::new(&within(None));
    let out = datagram((A, 5000), (SERVER, 53));
    at("wan", world.from("a", out.clone()));
    let (sessions, slots, punts) = (world.sessions(), slots(&world), world.kernel.punts);
    let mut known = Vec::new();
    for text in [
        within(Some(1)),
        within(Some(3)),
        within(None),
        // Outside of the package its own bandwidth is its limit, and it has no parent.
        within(None).replace("bandwidth = 50\npackage = \"cbwp\"", "bandwidth = 2"),
        within(Some(4)),
        BASE.to_owned(),
        within(Some(1)),
    ] {
        world.apply(&text);
        let now = (world.sessions(), self::slots(&world));
        assert_eq!(now, (sessions.clone(), slots.clone()));
        known.push(meters_in_use(&world));
    }
    assert_eq!(known, [4, 4, 2, 4, 4, 0, 4]);
    assert_eq!(drain(&mut world, "a", &out), FULL);

    // More takes effect at once, and fills no bucket; as much as the package has is taken from the package.
    world.apply(&within(Some(2)));
    assert_eq!(drain(&mut world, "a", &out), 0);
    world.apply(&within(None));
    let left = FULL_OF_FOUR - FULL;
    assert_eq!(drain(&mut world, "a", &out), left);
    assert_eq!(world.stats().closed, 0);
    assert_eq!(world.kernel.punts, punts);
}

#[test]
fn the_next_daemon_finds_limits_within_a_package_as_they_were() {
    let mut world = World::new(&within(Some(1)));
    let (a, b) = (
        datagram((A, 5000), (SERVER, 53)),
        datagram((B, 5000), (SERVER, 53)),
    );
    at("wan", world.from("b", b.clone()));
    drain(&mut world, "a", &a);
    let flows = world.flows();
    world.restart();
    assert_eq!(world.flows(), flows);
    assert_eq!(dropped(&world, "eip-1"), (0, 1));
    assert_eq!(drain(&mut world, "a", &a), 0);
    assert_eq!(drain(&mut world, "b", &b), FULL_OF_FOUR - FULL - 1);
    // With the same buckets and no limit within; and again with one.
    world.restart_with(parse(&within(None)));
    assert_eq!(meters_in_use(&world), 2);
    assert_eq!(drain(&mut world, "a", &a), 0);
    assert_eq!(dropped(&world, "cbwp"), (0, 2));
    world.advance(Duration::from_millis(100));
    world.restart_with(parse(&within(Some(1))));
    assert_eq!(drain(&mut world, "a", &a), FULL);
    assert_eq!(dropped(&world, "eip-1"), (0, 1));
}

#[test]
fn another_rate_takes_effect_at_once_and_touches_no_session() {
    let mut world = World::new(&one_mbit());
    let out = datagram((A, 5000), (SERVER, 53));
    drain(&mut world, "a", &out);
    let (flows, sessions) = (world.flows(), world.sessions());
    world.apply(&one_mbit().replace("bandwidth = 1", "bandwidth = 4"));
    assert_eq!((world.flows(), world.sessions()), (flows, sessions));
    // The bucket is as empty as it was, with the debt of 2.4 ms, and fills four times as fast.
    assert_eq!(drain(&mut world, "a", &out), 0);
    world.advance(Duration::from_millis(100));
    assert_eq!(drain(&mut world, "a", &out), 35);
    assert_eq!(world.stats().bandwidth[0].bandwidth, 4);
}

#[test]
fn sessions_get_and_lose_limits_without_losing_a_packet() {
    let mut world = World::new(BASE);
    let out = datagram((A, 5000), (SERVER, 53));
    let seen = at("wan", world.from("a", out.clone()));
    at("a", world.net(seen.answer(0)));
    let (sessions, slots, punts) = (world.sessions(), slots(&world), world.kernel.punts);
    for _ in 0..3 {
        // Other limits come before it.
        for text in [one_mbit(), one_mbit() + PACKAGE] {
            world.apply(&text);
            assert_eq!(
                (world.sessions(), self::slots(&world)),
                (sessions.clone(), slots.clone())
            );
            assert!(
                world
                    .flows()
                    .iter()
                    .all(|(_, _, action, _)| action.meter != 0)
            );
        }
        assert!(meters_in_use(&world) >= 2);
        world.apply(BASE);
        assert_eq!(world.sessions(), sessions);
        assert_eq!(self::slots(&world), slots);
        assert!(
            world
                .flows()
                .iter()
                .all(|(_, _, action, _)| action.meter == 0)
        );
        assert_eq!(meters_in_use(&world), 0);
    }
    for _ in 0..100 {
        assert!(one(world.from("a", out.clone())).fast);
    }
    world.apply(&one_mbit());
    assert_eq!(drain(&mut world, "a", &out), FULL);
    assert_eq!(world.kernel.punts, punts);
}

fn slots(world: &World) -> Vec<(usize, flow::Key)> {
    let flows = world.flows().into_iter();
    flows.map(|(slot, key, ..)| (slot, key)).collect()
}

fn meters_in_use(world: &World) -> usize {
    let meters = world.shared().meters.iter();
    let owner =
        |meter: &&flow::meter::Meter| meter.owner.load(std::sync::atomic::Ordering::Relaxed) != 0;
    meters.filter(owner).count()
}

/// The memory has room for 31 limits; 15 at a time are allowed in it.
#[test]
fn all_limits_are_replaced_at_once() {
    let many = |kind: &str| {
        let package = |n| format!("\n[[bandwidth_package]]\nid = \"{kind}-{n}\"\nbandwidth = 1\n");
        (0..15).map(package).collect::<String>()
    };
    let mut world = World::new(BASE);
    for kind in ["a", "b", "c", "d"] {
        let text = limited(&[(
            EIP1,
            &format!("address = \"{EIP1}\"\npackage = \"{kind}-7\""),
        )]);
        world.apply(&(text + &many(kind)));
        let out = datagram((A, 5000), (SERVER, 53));
        assert_eq!(drain(&mut world, "a", &out), FULL);
        assert_eq!(dropped(&world, &format!("{kind}-7")), (0, 1));
    }
    assert_eq!(meters_in_use(&world), 30);
}

#[test]
fn the_next_daemon_finds_the_buckets_as_they_were() {
    let mut world = World::new(&packaged());
    let out = datagram((A, 5000), (SERVER, 53));
    drain(&mut world, "a", &out);
    let flows = world.flows();
    for _ in 0..2 {
        world.restart();
        assert_eq!(world.flows(), flows);
        assert_eq!(dropped(&world, "cbwp"), (0, 1));
    }
    assert_eq!(drain(&mut world, "a", &out), 0);

    // With other limits before it, and with other rates.
    let more = "\n[[bandwidth_package]]\nid = \"another\"\nbandwidth = 7\n";
    let (start, package) = packaged()
        .split_once(PACKAGE)
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let faster = PACKAGE.replace("= 1\n", "= 2\n");
    world.restart_with(parse(&(start + more + &faster + &package)));
    assert_eq!(world.flows(), flows);
    assert_eq!(drain(&mut world, "a", &out), 0);
    world.advance(Duration::from_millis(100));
    assert_eq!(drain(&mut world, "a", &out), 18);

    // Without limits nothing is left of them.
    world.restart_with(parse(BASE));
    assert_eq!(world.stats().adopted, 1);
    assert_eq!(meters_in_use(&world), 0);
    for _ in 0..100 {
        assert!(one(world.from("a", out.clone())).fast);
    }
    // And a daemon that knows limits finds sessions without.
    world.restart_with(parse(&one_mbit()));
    assert_eq!(drain(&mut world, "a", &out), FULL);
}

#[test]
fn a_large_segment_counts_as_what_it_is_on_the_wire() {
    let mut world = World::new(&one_mbit());
    let syn = Packet::tcp((A, 5000), (SERVER, 80), SYN);
    at("wan", world.from("a", syn));
    let large = Packet::tcp((A, 5000), (SERVER, 80), ACK).len(45_000);
    let offload = Offload {
        checksum: Checksum::Partial,
        gso_size: 1000,
    };
    let link = world.link("a").ifindex;
    let frame = world.frame(&world.link("a").clone(), ip(A), &large, offload);
    // A full bucket takes it, whatever it is; then it is empty, for kernel and engine.
    assert_eq!(world.send("a", large.clone(), offload).len(), 1);
    none(world.send("a", large, offload));
    none(world.punt(link, frame, offload));
    let limit = &world.stats().bandwidth[0];
    assert_eq!(limit.dropped_packets_out, 2 * 45);
    assert_eq!(limit.dropped_bytes_out, 2 * (45_000 + 45 * 40));
    // 40 and 46,800 bytes were taken, of which the bucket had 37,500: 74.7 ms are missing.
    let ack = Packet::tcp((A, 5000), (SERVER, 80), ACK);
    world.advance(Duration::from_millis(74));
    none(world.from("a", ack.clone()));
    world.advance(Duration::from_millis(2));
    at("wan", world.from("a", ack));
}

/// The sender goes on, so the session is in use, though nothing of it gets through.
#[test]
fn dropped_packets_keep_their_session_alive() {
    let mut world = World::new(&one_mbit());
    let flood = datagram((B, 5000), (SERVER, 53));
    let (fast, slow) = (
        Packet::udp((A, 5000), (SERVER, 53)),
        Packet::udp((A, 5001), (SERVER, 53)),
    );
    for packet in [&fast, &slow] {
        at("wan", world.from("a", packet.clone()));
    }
    for _ in 0..10 {
        world.seconds(30);
        drain(&mut world, "b", &flood);
        none(world.from("a", fast.clone()));
        let link = world.link("a").clone();
        let frame = world.frame(&link, ip(A), &slow, Offload::NONE);
        none(world.punt(link.ifindex, frame, Offload::NONE));
    }
    assert_eq!((world.stats().opened, world.stats().closed), (3, 0));
    let counts: Vec<u64> = world.sessions().iter().map(|s| s.packets_out).collect();
    assert_eq!(counts.iter().filter(|&&n| n == 1).count(), 2, "{counts:?}");
}

#[test]
fn sessions_without_room_in_the_table_have_limits_too() {
    let mut world = World::with_slots(&one_mbit(), 64);
    for n in 0..40 {
        at(
            "wan",
            world.from("a", Packet::udp((A, 5000 + n), (SERVER, 53))),
        );
    }
    let sessions = world.sessions();
    let slow = sessions
        .iter()
        .find(|s| !s.offloaded)
        .expect("a table that is full");
    let out = datagram((A, slow.original.src_port), (SERVER, 53));
    // 40 datagrams of 37 bytes have passed.
    assert_eq!(drain(&mut world, "a", &out), FULL - 1);
    assert_eq!(world.kernel.drops.len(), 0);
    world.apply(&BASE.replace("max_sessions = 4096", "max_sessions = 4097"));
    for _ in 0..100 {
        assert!(!one(world.from("a", out.clone())).fast);
    }
}
