//! Metering: every frame counts once, for the right EIP, through ends, changes and restarts.

use crate::common::*;
use engine::AccountView;
use std::net::Ipv4Addr;

/// The account of an EIP that is bound to a gateway. What is in it is asked for when a round is over.
pub fn account(world: &mut World, eip: &str, gateway: &str) -> AccountView {
    world.seconds(2);
    read(world, eip, gateway).unwrap_or_else(|| panic!("{eip} at {gateway} has no account"))
}

fn read(world: &mut World, eip: &str, gateway: &str) -> Option<AccountView> {
    let accounts = world.engine.usage().accounts.into_iter();
    let mut fitting = accounts
        .filter(|it| it.eip.as_deref() == Some(eip) && it.gateway.as_deref() == Some(gateway));
    fitting.next()
}

/// Packets and bytes in, packets and bytes out.
pub fn numbers(account: &AccountView) -> [u64; 4] {
    let a = account;
    [a.packets_in, a.bytes_in, a.packets_out, a.bytes_out]
}

/// A frame's length.
pub fn frame(packet: &Packet) -> u64 {
    14 + packet.bytes().len() as u64
}

/// A client's datagram and the server's answer.
fn exchange(world: &mut World, from: &str, source: &str, port: u16, size: usize) -> [u64; 2] {
    let packet = Packet::udp((source, port), (SERVER, 53)).len(size);
    let out = world.from(from, packet.clone());
    assert_eq!(out.len(), 1, "{out:?}");
    let answer = out[0].packet.answer(0);
    assert_eq!(world.net(answer.clone()).len(), 1);
    [frame(&packet), frame(&answer)]
}

#[test]
fn frames_of_snat_count_both_ways_and_outlive_their_session() {
    let mut world = World::new(BASE);
    let mut sent = [0; 2];
    for n in 0..10 {
        let [out, back] = exchange(&mut world, "a", A, 5000 + n % 3, 10 * n as usize);
        sent = [sent[0] + back, sent[1] + out];
    }
    let seen = account(&mut world, "eip-1", "ngw");
    assert_eq!(numbers(&seen), [10, sent[0], 10, sent[1]]);
    assert_eq!((seen.opened, seen.live, seen.peak), (3, 3, 3));
    // They time out; what they have counted stays.
    world.seconds(90);
    let seen = account(&mut world, "eip-1", "ngw");
    assert_eq!(numbers(&seen), [10, sent[0], 10, sent[1]]);
    assert_eq!((seen.opened, seen.live), (3, 0));
    assert_eq!(numbers(&account(&mut world, "eip-2", "ngw")), [0; 4]);
}

#[test]
fn dnat_comes_in_and_hairpin_counts_at_both_ends() {
    let text = base(&[(
        "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-1\"]",
        "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-2\"]",
    )]);
    let mut world = World::new(&text);
    let syn = Packet::tcp((SERVER, 4000), (EIP1, 80), SYN);
    let there = world.net(syn.clone());
    let back = there[0].packet.answer(SYN | ACK);
    assert_eq!(world.from("b", back.clone()).len(), 1);
    let (syn, back) = (frame(&syn), frame(&back));
    assert_eq!(
        numbers(&account(&mut world, "eip-1", "ngw")),
        [1, syn, 1, back]
    );

    // An instance goes out by one EIP and comes in by the other.
    let syn = Packet::tcp((A, 4001), (EIP1, 80), SYN);
    let there = world.from("a", syn.clone());
    assert_eq!(there[0].at, "b");
    let reply = there[0].packet.answer(SYN | ACK);
    assert_eq!(world.from("b", reply.clone())[0].at, "a");
    let (out, home) = (frame(&syn), frame(&reply));
    assert_eq!(
        numbers(&account(&mut world, "eip-2", "ngw")),
        [1, home, 1, out]
    );
    let called = account(&mut world, "eip-1", "ngw");
    let counted = [2, frame(&syn) + out, 2, back + home];
    assert_eq!(numbers(&called), counted);
    // The gateway has both ends of it.
    world.seconds(2);
    let gateways = world.engine.usage().gateways;
    assert_eq!((gateways[0].live, gateways[0].peak), (3, 3));
}

#[test]
fn another_daemon_finds_what_was_counted() {
    let mut world = World::new(BASE);
    let mut sent = [0; 2];
    let mut more = |world: &mut World, port| {
        let [out, back] = exchange(world, "a", A, port, 500);
        sent = [sent[0] + back, sent[1] + out];
        sent
    };
    more(&mut world, 5000);
    world.seconds(90);
    more(&mut world, 5001);
    let sent = more(&mut world, 5001);
    // No round has looked at the second session.
    world.restart();
    let seen = read(&mut world, "eip-1", "ngw").unwrap();
    assert_eq!(numbers(&seen), [3, sent[0], 3, sent[1]]);
    assert_eq!((seen.opened, seen.live), (2, 1));
}

#[test]
fn an_eip_s_traffic_stays_with_the_gateway_that_it_was_bound_to() {
    let two = base(&[(
        "[[nat_gateway]]\nid = \"ngw\"\nvpc = \"vpc\"\neips = [\"eip-1\", \"eip-2\"]",
        "[[nat_gateway]]\nid = \"other\"\nvpc = \"vpc\"\neips = [\"eip-1\", \"eip-2\"]",
    )]);
    for restart in [false, true] {
        let mut world = World::new(BASE);
        let [out, back] = exchange(&mut world, "a", A, 5000, 700);
        // The gateway is replaced by one that does the same: the session goes on.
        match restart {
            false => world.apply(&two),
            true => world.restart_with(parse(&two)),
        }
        let live = world.sessions().len();
        assert_eq!(live, 1);
        let [out2, back2] = exchange(&mut world, "a", A, 5000, 300);
        assert_eq!(
            numbers(&account(&mut world, "eip-1", "other")),
            [1, back2, 1, out2]
        );
        let left: Vec<_> = world.engine.usage().accounts;
        let left: Vec<_> = left.iter().filter(|it| !it.configured).collect();
        let mut left: Vec<_> = left.iter().map(|it| (it.owner, numbers(it))).collect();
        left.sort_unstable_by_key(|(_, numbers)| *numbers);
        let counted: Vec<_> = left.iter().map(|(_, numbers)| *numbers).collect();
        assert_eq!(counted, [[0; 4], [1, back, 1, out]]);
        // Whoever has kept the numbers gives the accounts back.
        let owners: Vec<u64> = left.iter().map(|(owner, _)| *owner).collect();
        world.engine.forget_usage(&owners);
        assert_eq!(world.engine.usage().accounts.len(), 2);
        world.engine.check();
    }
}

#[test]
fn an_account_in_use_is_not_forgotten() {
    let mut world = World::new(BASE);
    exchange(&mut world, "a", A, 5000, 1);
    let owner = account(&mut world, "eip-1", "ngw").owner;
    world.engine.forget_usage(&[owner, 1, 2]);
    assert_eq!(account(&mut world, "eip-1", "ngw").live, 1);
}

/// A round goes over several slices: in the middle of one, sessions end and others begin.
#[test]
fn totals_never_go_back_and_miss_nothing() {
    let mut world = World::with_slots(BASE, 4096 * 4);
    world.checked = false;
    let mut sent = [0; 2];
    let mut last = [0; 4];
    for n in 0..30_000u64 {
        let port = 1024 + (n * 7919 % 4000) as u16;
        let [out, back] = exchange(&mut world, "a", A, port, (n % 900) as usize);
        sent = [sent[0] + back, sent[1] + out];
        if n % 64 == 0 {
            // Less than a round, mostly; sometimes long enough for sessions to time out.
            world.advance(std::time::Duration::from_millis(n % 1_700 * (1 + n % 40)));
            let now = numbers(&read(&mut world, "eip-1", "ngw").unwrap());
            assert!(now.iter().zip(last).all(|(now, last)| *now >= last));
            last = now;
        }
        match n {
            9_000 => world.apply(&base(&[(
                "id = \"ngw\"",
                "id = \"ngw\"\nicmp_reply = false",
            )])),
            20_000 => world.restart(),
            _ => {}
        }
    }
    let seen = account(&mut world, "eip-1", "ngw");
    assert_eq!(numbers(&seen), [30_000, sent[0], 30_000, sent[1]]);
    world.engine.check();
}

/// With a table that has room for few of them, the daemon counts the others.
#[test]
fn the_slow_path_counts_too() {
    let mut world = World::with_slots(BASE, 64);
    let mut sent = [0; 2];
    for n in 0..400 {
        let [out, back] = exchange(&mut world, "a", A, 1024 + n % 200, n as usize);
        sent = [sent[0] + back, sent[1] + out];
    }
    assert!(world.engine.stats().not_offloaded > 50);
    let counted = [400, sent[0], 400, sent[1]];
    assert_eq!(numbers(&account(&mut world, "eip-1", "ngw")), counted);
    // Those that the table has no room for end with the daemon, not what they have counted.
    world.restart();
    assert_eq!(numbers(&account(&mut world, "eip-1", "ngw")), counted);
    world.seconds(90);
    assert_eq!(numbers(&account(&mut world, "eip-1", "ngw")), counted);
}

/// A packet that found its entry while that was being taken out.
#[test]
fn what_is_counted_in_an_entry_on_its_way_out_counts() {
    let mut world = World::new(BASE);
    let [out, back] = exchange(&mut world, "a", A, 5000, 40);
    let address: Ipv4Addr = EIP1.parse().unwrap();
    let eip = u32::from_ne_bytes(address.octets());
    let entries = world.shared().entries;
    let entry = entries
        .iter()
        .find(|it| it.key().is_some() && it.action().src == eip);
    let entry = entry.expect("the way out");
    // Nobody has an SNAT entry any more: the session ends.
    world.apply(&base(&[("vpc = true\n", "source = \"10.0.9.0/24\"\n")]));
    assert_eq!(entry.key(), None);
    entry.count(world.now.tick(), 1, 1000, 0);
    let seen = account(&mut world, "eip-1", "ngw");
    assert_eq!(numbers(&seen), [1, back, 2, out + 1000]);
}

/// What a gateway's private addresses have done: address, live, opened, bytes received and sent.
fn sources(world: &mut World) -> Vec<(Ipv4Addr, u32, u64, u64, u64)> {
    world.seconds(2);
    let gateways = world.engine.usage().sources;
    let sources = gateways.into_iter().flat_map(|it| it.sources);
    let mut rows: Vec<_> = sources
        .map(|it| {
            (
                it.address,
                it.live,
                it.opened,
                it.bytes_received,
                it.bytes_sent,
            )
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn private_addresses_are_watched_where_that_is_wanted() {
    let watched = base(&[("id = \"ngw\"", "id = \"ngw\"\nsource_metrics = true")]);
    let mut world = World::new(&watched);
    let [out, back] = exchange(&mut world, "a", A, 5000, 100);
    let [more, again] = exchange(&mut world, "a", A, 5001, 50);
    // What comes in by DNAT is its receiver's.
    let syn = Packet::tcp((SERVER, 4000), (EIP1, 80), SYN);
    let there = world.net(syn.clone());
    let answer = there[0].packet.answer(SYN | ACK);
    assert_eq!(world.from("b", answer.clone()).len(), 1);
    let (a, b) = (A.parse().unwrap(), there[0].packet.dst);
    let of_a = |live| (a, live, 2, back + again, out + more);
    let of_b = |live| (b, live, 1, frame(&syn), frame(&answer));
    let mut expected = vec![of_a(2), of_b(1)];
    expected.sort();
    assert_eq!(sources(&mut world), expected);
    // Ends keep what was counted, until that was told.
    world.seconds(90);
    let mut expected = vec![of_a(0), of_b(0)];
    expected.sort();
    assert_eq!(sources(&mut world), expected);
    assert_eq!(sources(&mut world), []);

    world.apply(BASE);
    exchange(&mut world, "a", A, 5002, 10);
    assert_eq!(sources(&mut world), []);
    assert_eq!(world.engine.usage().sources, []);
}

/// Sessions that a change ends are counted where they were, though their gateway is another one in the order since.
#[test]
fn what_a_change_ends_is_its_source_s() {
    let watched = base(&[("id = \"ngw\"", "id = \"ngw\"\nsource_metrics = true")]);
    for pace in [Pace::AtOnce, Pace::Driven] {
        let mut world = World::new(&watched);
        world.set_pace(pace);
        let [out, back] = exchange(&mut world, "a", A, 5000, 100);
        let before = "[[vpc]]\nid = \"other\"\ncidr = \"10.0.0.0/16\"\n\
                      [[nat_gateway]]\nid = \"first\"\nvpc = \"other\"\nsource_metrics = true\n\
                      [[nat_gateway]]\nid = \"ngw\"";
        let without = watched.replace("[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-1\"]\n", "");
        world.apply(&without.replace("[[nat_gateway]]\nid = \"ngw\"", before));
        assert_eq!(world.sessions(), []);
        world.seconds(2);
        let sources = world.engine.usage().sources;
        let of = |id: &str| sources.iter().find(|it| it.gateway == id).unwrap();
        assert_eq!(of("first").sources, []);
        let [source] = &of("ngw").sources[..] else {
            panic!("{sources:?}")
        };
        assert_eq!((source.bytes_received, source.bytes_sent), (back, out));
    }
}
