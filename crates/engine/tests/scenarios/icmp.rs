//! ICMP errors: those that the gateway makes and those that it translates.

use crate::common::*;
use std::time::Duration;

#[track_caller]
fn icmp(packet: &Packet) -> (u8, u8, u16) {
    match packet.body {
        Body::Icmp {
            kind, code, rest, ..
        } => (kind, code, rest[1]),
        _ => panic!("{packet:?} is not ICMP"),
    }
}

#[test]
fn time_exceeded_comes_from_the_gateway_of_the_sender() {
    let mut world = World::new(BASE);
    for packet in [
        Packet::udp((A, 1), (SERVER, 33434)).ttl(1),
        Packet::tcp((A, 1), (B, 80), SYN).ttl(1),
        Packet::ping(A, SERVER, 4).ttl(0),
    ] {
        let why = reason(&mut world, |w| {
            let told = at("a", w.from("a", packet.clone()));
            assert_eq!(icmp(&told), (11, 0, 0));
            assert_eq!((told.src, told.dst), (ip("10.0.1.253"), ip(A)));
            assert_eq!(told.quoted(), packet);
        });
        assert_eq!(why, "ttl_expired");
    }
    assert_eq!(world.sessions(), [], "such a packet opens nothing");
    // On a session that is there, and from outside.
    let out = at("wan", world.from("a", Packet::udp((A, 1), (SERVER, 1))));
    let told = at(
        "a",
        world.from("a", Packet::udp((A, 1), (SERVER, 1)).ttl(1)),
    );
    assert_eq!(told.quoted().tuple(), "10.0.1.10:1 > 198.51.100.7:1");
    let told = at("wan", world.net(out.answer(0).ttl(1)));
    assert_eq!((told.src, told.dst), (ip("203.0.113.2"), ip(SERVER)));
    assert_eq!(told.quoted(), out.answer(0).ttl(1));
}

#[test]
fn without_an_address_of_its_own_the_uplink_speaks_as_the_eip() {
    let text = base(&[(
        "address = \"203.0.113.2/24\"\ngateway = \"203.0.113.1\"\n",
        "",
    )]);
    let text = text.replace(
        "device = \"eth1\"",
        "device = \"eth1\"\ngateway = \"203.0.113.1\"",
    );
    let mut world = World::new(&text);
    let told = at(
        "wan",
        world.net(Packet::tcp((SERVER, 1), (EIP1, 80), SYN).ttl(1)),
    );
    assert_eq!(told.src, ip(EIP1));
}

fn small_mtu() -> String {
    base(&[(
        "address = \"203.0.113.2/24\"",
        "address = \"203.0.113.2/24\"\nmtu = 1400",
    )])
}

#[test]
fn fragmentation_needed_says_the_mtu() {
    let mut world = World::new(&small_mtu());
    at(
        "wan",
        world.from("a", Packet::udp((A, 1), (SERVER, 1)).len(1372).df()),
    );
    let packet = Packet::udp((A, 1), (SERVER, 1)).len(1373).df();
    let why = reason(&mut world, |w| {
        let told = at("a", w.from("a", packet.clone()));
        assert_eq!(icmp(&told), (3, 4, 1400));
        assert_eq!(told.src, ip("10.0.1.253"));
        assert_eq!(told.quoted().tuple(), packet.tuple());
        // RFC 1812, section 4.3.2.3: as much as fits into 576 bytes.
        assert_eq!(told.data(), &packet.bytes()[..548]);
    });
    assert_eq!(why, "fragmentation_needed");
    // The first packet of a session, too.
    let packet = Packet::udp((A, 2), (SERVER, 1)).len(1400).df();
    assert_eq!(icmp(&at("a", world.from("a", packet))), (3, 4, 1400));
    // And from outside.
    let text = BASE.replace(
        "address = \"10.0.2.10\"",
        "address = \"10.0.2.10\"\nmtu = 1000",
    );
    let mut world = World::new(&text);
    at("b", world.net(Packet::tcp((SERVER, 9), (EIP1, 80), SYN)));
    let data = Packet::tcp((SERVER, 9), (EIP1, 80), ACK).len(1200).df();
    let told = at("wan", world.net(data.clone()));
    assert_eq!(icmp(&told), (3, 4, 1000));
    assert_eq!(told.quoted().tuple(), data.tuple());
}

#[test]
fn no_errors_about_errors_nor_about_later_fragments() {
    let mut world = World::new(&small_mtu());
    let out = at("wan", world.from("a", Packet::udp((A, 1), (SERVER, 1))));
    let mut error = out.error(SERVER, 3, 3, 0, 548);
    error.ttl = 1;
    none(world.net(error));
    let parts = Packet::udp((A, 1), (SERVER, 1)).len(2000).fragments(1000);
    at("wan", world.from("a", parts[0].clone()));
    none(world.from("a", parts[1].clone().ttl(1)));
    // An ICMP message of an unknown kind could be an error.
    let mut strange = Packet::ping(A, SERVER, 1).ttl(1);
    if let Body::Icmp { kind, .. } = &mut strange.body {
        *kind = 13;
    }
    none(world.from("a", strange));
}

/// RFC 1812, section 4.3.2.8.
#[test]
fn errors_are_limited_in_rate() {
    let mut world = World::new(BASE);
    let packet = Packet::udp((A, 1), (SERVER, 1)).ttl(1);
    let told = |w: &mut World, n: usize| -> usize {
        (0..n).map(|_| w.from("a", packet.clone()).len()).sum()
    };
    assert_eq!(told(&mut world, 200), 50);
    world.advance(Duration::from_millis(100));
    assert_eq!(told(&mut world, 200), 10);
    // Others are not affected.
    let other = Packet::udp((B, 1), (SERVER, 1)).ttl(1);
    at("b", world.from("b", other));
}

#[test]
fn the_gateway_answers_ping_and_ends_a_traceroute() {
    let mut world = World::new(BASE);
    for gateway in ["10.0.1.253", "10.0.2.253", "203.0.113.2"] {
        let ping = Packet::ping(A, gateway, 7).len(100);
        let answer = at("a", world.from("a", ping.clone()));
        assert_eq!(answer, ping.answer(0));
    }
    let why = reason(&mut world, |w| {
        let told = at("a", w.from("a", Packet::udp((A, 1), ("10.0.1.253", 33434))));
        assert_eq!(icmp(&told), (3, 3, 0));
        assert_eq!(told.src, ip("10.0.1.253"));
    });
    assert_eq!(why, "gateway_unanswered");
    none(world.from("a", Packet::tcp((A, 1), ("10.0.1.253", 80), SYN)));
    let ping = Packet::ping(SERVER, "203.0.113.2", 7);
    assert_eq!(at("wan", world.net(ping.clone())), ping.answer(0));
}

#[test]
fn an_eip_answers_ping_unless_told_not_to() {
    let mut world = World::new(BASE);
    let ping = Packet::ping(SERVER, EIP1, 7);
    assert_eq!(at("wan", world.net(ping.clone())), ping.answer(0));
    let inside = Packet::ping(A, EIP1, 7);
    assert_eq!(at("a", world.from("a", inside.clone())), inside.answer(0));
    let mut world = World::new(&base(&[(
        "id = \"ngw\"",
        "id = \"ngw\"\nicmp_reply = false",
    )]));
    assert_eq!(reason(&mut world, |w| none(w.net(ping))), "not_mapped");
    // Not in parts: they would have to be put together.
    let mut world = World::new(BASE);
    for part in Packet::ping(SERVER, EIP1, 7).len(3000).fragments(1480) {
        none(world.net(part));
    }
    world.seconds(12);
}

/// RFC 5508, REQ-4: the router outside keeps its address, the quotation becomes what was sent.
#[test]
fn errors_from_outside_are_translated() {
    let mut world = World::new(BASE);
    // The source port is changed, so that there is something to translate back.
    world.from("b", Packet::udp((B, 5000), (SERVER, 53)));
    world.from("b", Packet::tcp((B, 5000), (SERVER, 80), SYN));
    world.from("b", Packet::ping(B, SERVER, 5000));
    for sent in [
        Packet::udp((A, 5000), (SERVER, 53)).len(700),
        Packet::udp((A, 5000), (SERVER, 53)).unsummed(),
        Packet::tcp((A, 5000), (SERVER, 80), SYN).options(&[1; 8]),
        Packet::ping(A, SERVER, 5000),
    ] {
        let mut out = at("wan", world.from("a", sent.clone()));
        assert_ne!(out.sport(), 5000);
        // Where the error arose the packet has come further.
        out.ttl = 3;
        for quote in [20 + sent.options.len() + 8, 64 + sent.options.len(), 548] {
            let error = out.error("192.0.2.33", 11, 0, 0, quote);
            let told = at("a", world.net(error.clone()));
            assert_eq!((told.src, told.dst), (ip("192.0.2.33"), ip(A)));
            assert_eq!(icmp(&told), (11, 0, 0));
            assert_eq!(told.data().len(), error.data().len());
            let mut expected = sent.bytes();
            expected[8] = 3;
            let quoted = told.quoted();
            assert_eq!(quoted.tuple(), sent.tuple());
            assert_eq!(quoted.ttl, 3);
            // All that is quoted is as it was sent, but for time to live and the header's sum of it.
            let (header, rest) = (20 + sent.options.len(), told.data());
            expected.truncate(rest.len());
            assert_eq!(rest[header..], expected[header..], "{sent:?} {quote}");
        }
    }
    // Path MTU discovery.
    let sent = Packet::tcp((A, 6000), (SERVER, 80), SYN).df();
    let out = at("wan", world.from("a", sent.clone()));
    let told = at("a", world.net(out.error("192.0.2.33", 3, 4, 1280, 28)));
    assert_eq!(icmp(&told), (3, 4, 1280));
    assert_eq!(told.quoted().tuple(), sent.tuple());
}

/// The end itself is translated, like its packets.
#[test]
fn errors_from_inside_are_translated() {
    let mut world = World::new(BASE);
    let sent = Packet::tcp((SERVER, 999), (EIP1, 80), SYN);
    let inside = at("b", world.net(sent.clone()));
    let error = inside.error(B, 3, 3, 0, 548);
    let told = at("wan", world.from("b", error));
    assert_eq!((told.src, told.dst), (ip(EIP1), ip(SERVER)));
    assert_eq!(icmp(&told), (3, 3, 0));
    assert_eq!(told.quoted().tuple(), sent.tuple());
    assert_eq!(told.data()[20..], sent.bytes()[20..]);
    // About an answer that an instance got.
    let sent = Packet::udp((A, 5000), (SERVER, 53));
    let out = at("wan", world.from("a", sent));
    let answer = at("a", world.net(out.answer(0)));
    let told = at("wan", world.from("a", answer.error(A, 3, 3, 0, 28)));
    assert_eq!((told.src, told.dst), (ip(EIP1), ip(SERVER)));
    assert_eq!(told.quoted().tuple(), out.answer(0).tuple());
}

/// RFC 5508, REQ-5: a router inside a translated network does not show its address.
#[test]
fn errors_from_routers_inside_hide_them() {
    let text = BASE.replace(
        "address = \"10.0.2.10\"",
        "address = \"10.0.2.10\"\nhosts = [\"10.0.2.128/28\"]",
    );
    let mut world = World::new(&text);
    let inside = at("b", world.net(Packet::tcp((SERVER, 999), (EIP1, 80), SYN)));
    let error = inside.error("10.0.2.130", 11, 0, 0, 28);
    let told = at("wan", world.from("b", error.clone()));
    assert_eq!((told.src, told.dst), (ip(EIP1), ip(SERVER)));
    // Between instances nothing is hidden.
    let direct = at("b", world.from("a", Packet::udp((A, 1), (B, 1))));
    let told = at(
        "a",
        world.from("b", direct.error("10.0.2.130", 11, 0, 0, 28)),
    );
    assert_eq!(told.src, ip("10.0.2.130"));
    // Whoever is not there cannot speak.
    let forged = inside.error("10.0.2.99", 11, 0, 0, 28);
    assert_eq!(reason(&mut world, |w| none(w.from("b", forged))), "spoofed");
    let forged = Packet::udp((EIP1, 1), (SERVER, 53)).error(EIP2, 11, 0, 0, 28);
    assert_eq!(reason(&mut world, |w| none(w.net(forged))), "spoofed");
}

/// RFC 5508, REQ-7.
#[test]
fn errors_on_a_hairpin_are_translated() {
    let mut world = World::new(BASE);
    let sent = Packet::tcp((A, 5000), (EIP1, 80), SYN);
    let seen = at("b", world.from("a", sent.clone()));
    assert_eq!(seen.src, ip(EIP1));
    let told = at("a", world.from("b", seen.error(B, 3, 3, 0, 548)));
    assert_eq!((told.src, told.dst), (ip(EIP1), ip(A)));
    assert_eq!(told.quoted().tuple(), sent.tuple());
    assert_eq!(told.data()[20..], sent.bytes()[20..]);
    // And about the answer.
    let answer = at("a", world.from("b", seen.answer(SYN | ACK)));
    let told = at("b", world.from("a", answer.error(A, 3, 3, 0, 548)));
    assert_eq!((told.src, told.dst), (ip(EIP1), ip(B)));
    assert_eq!(told.quoted().tuple(), seen.answer(0).tuple());
}

#[test]
fn errors_neither_open_nor_refresh() {
    let mut world = World::new(BASE);
    let out = at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
    let error = out.error(SERVER, 3, 3, 0, 548);
    for _ in 0..6 {
        world.seconds(10);
        at("a", world.net(error.clone()));
    }
    world.seconds(3);
    assert_eq!(world.sessions(), []);
    assert_eq!(reason(&mut world, |w| none(w.net(error))), "icmp_unmatched");
    assert_eq!(world.sessions(), []);
}

#[test]
fn what_is_not_right_is_not_passed_on() {
    let mut world = World::new(BASE);
    let out = at("wan", world.from("a", Packet::udp((A, 5000), (SERVER, 53))));
    let right = out.error(SERVER, 3, 3, 0, 548);
    let link = world.link("wan").clone();
    let frame = |w: &World, p: &Packet| w.frame(&link, p.src, p, engine::Offload::NONE);
    // RFC 5508, REQ-3: its own checksum, and that of the quoted header.
    let mut bad = frame(&world, &right);
    bad[60] ^= 1;
    assert_eq!(
        reason(&mut world, |w| none(w.inject(
            link.ifindex,
            bad,
            engine::Offload::NONE
        ))),
        "malformed"
    );
    let mut quoted = right.clone();
    if let Body::Icmp { data, .. } = &mut quoted.body {
        data[10] ^= 1;
    }
    assert_eq!(reason(&mut world, |w| none(w.net(quoted))), "malformed");
    let short = out.error(SERVER, 3, 3, 0, 24);
    assert_eq!(reason(&mut world, |w| none(w.net(short))), "icmp_unmatched");
    // Another packet than the one that was sent.
    let mut other = out.clone();
    other.dst = ip("198.51.100.8");
    assert_eq!(
        reason(&mut world, |w| none(
            w.net(other.error(SERVER, 3, 3, 0, 548))
        )),
        "icmp_unmatched"
    );
    // Redirects and source quench are nobody's business.
    for kind in [4, 5, 9, 13] {
        let other = out.error(SERVER, kind, 0, 0, 548);
        assert_eq!(
            reason(&mut world, |w| none(w.net(other))),
            "icmp_unsupported"
        );
    }
    at("a", world.net(right));
}

/// What follows the quotation (RFC 4884) is not touched.
#[test]
fn extensions_are_left_alone() {
    let mut world = World::new(BASE);
    world.from("b", Packet::udp((B, 5000), (SERVER, 53)));
    let sent = Packet::udp((A, 5000), (SERVER, 53)).len(20);
    let out = at("wan", world.from("a", sent.clone()));
    let mut error = out.error("192.0.2.33", 11, 0, 0, 548);
    if let Body::Icmp { rest, data, .. } = &mut error.body {
        rest[0] = 32;
        data.resize(128, 0);
        data.extend([0x20, 0, 0xab, 0xcd, 0, 8, 1, 1, 0, 1, 2, 3]);
    }
    let told = at("a", world.net(error.clone()));
    assert_eq!(told.data()[48..], error.data()[48..]);
    assert_eq!(told.data()[20..48], sent.bytes()[20..]);
}

/// An answer nobody asked for.
#[test]
fn an_echo_reply_opens_nothing() {
    let mut world = World::new(BASE);
    let mut reply = Packet::ping(SERVER, EIP1, 5);
    if let Body::Icmp { kind, .. } = &mut reply.body {
        *kind = 0;
    }
    assert_eq!(reason(&mut world, |w| none(w.net(reply))), "icmp_unmatched");
}
