//! What a receiver does not take is not taken for what a session says: who would say one thing to the firewall and another
//! to the server says neither.

use super::dns;
use super::inspection::{client_hello, hello};
use super::quic::Initial;
use crate::common::*;
use engine::Offload;
use flow::reason::Reason;
use model::{App, DnsRefusal, DomainResolve, PolicyScope};

/// Only one name may go out.
fn only_good() -> World {
    world(strict(vec![
        accept("good").named("www.good.example"),
        refuse("rest"),
    ]))
}

/// Sends a packet of instance `a` whose bytes, from the IP header on, are changed before.
fn sends(world: &mut World, packet: &Packet, change: impl FnOnce(&mut [u8])) -> Vec<Seen> {
    let link = world.link("a").clone();
    let mut frame = world.frame(&link, packet.src, packet, Offload::NONE);
    change(&mut frame[14..]);
    world.inject(link.ifindex, frame, Offload::NONE)
}

/// What a client says to the firewall alone, and then to the server.
fn says_two_things(first: impl FnOnce(&mut World, &mut Connection) -> Vec<Seen>) {
    let mut world = only_good();
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    let next = it.client_next;
    none(first(&mut world, &mut it));
    assert_eq!(world.dropped(Reason::Malformed), 1);
    it.client_next = next;
    let seen = world.from("a", it.client_says(ACK, &hello("www.bad.example")));
    assert!(
        seen.iter().all(|it| it.packet.flags() & RST != 0),
        "{seen:#?}"
    );
    assert_eq!(world.engine.firewall_stats().refused, 1);
}

#[test]
fn a_segment_with_a_wrong_checksum_says_nothing() {
    says_two_things(|world, it| {
        let segment = it.client_says(ACK, &hello("www.good.example"));
        sends(world, &segment, |packet| packet[36] ^= 1)
    });
}

#[test]
fn data_that_acknowledges_nothing_says_nothing() {
    says_two_things(|world, it| world.from("a", it.client_says(0, &hello("www.good.example"))));
}

#[test]
fn a_segment_with_a_header_longer_than_it_is_says_nothing() {
    says_two_things(|world, it| {
        let segment = it.client_says(ACK, b"");
        sends(world, &segment, |packet| packet[32] = 0xf0)
    });
}

/// It passes the gateway, and expires before the server.
#[test]
fn what_may_not_arrive_says_nothing() {
    says_two_things(|world, it| {
        let segment = it.client_says(ACK, &hello("www.good.example"));
        world.from("a", segment.ttl(5))
    });
}

#[test]
fn what_acknowledges_what_was_never_sent_says_nothing() {
    for by in [1, 1 << 30, u32::MAX] {
        says_two_things(|world, it| {
            let heard = it.server_next;
            it.server_next = heard.wrapping_add(by);
            let segment = it.client_says(ACK, &hello("www.good.example"));
            it.server_next = heard;
            world.from("a", segment)
        });
    }
}

/// A segment with options, and the checksum that it has then.
fn with_options(packet: &mut [u8], options: &[u8]) {
    packet[32] = (((20 + options.len()) / 4) << 4) as u8;
    packet[36..38].fill(0);
    let len = (packet.len() as u16 - 20).to_be_bytes();
    let sum = checksum(&[&packet[12..20], &[0, 6], &len, &packet[20..]]);
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
}

fn says_with(world: &mut World, it: &mut Connection, options: &[u8], data: &[u8]) -> Vec<Seen> {
    let next = it.client_next + data.len() as u32;
    let segment = it.client_says(ACK, &[options, data].concat());
    it.client_next = next;
    sends(world, &segment, |packet| with_options(packet, options))
}

fn stamp(time: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &time.to_be_bytes(), &[0; 4]].concat()
}

#[test]
fn what_is_older_than_what_came_before_says_nothing() {
    says_two_things(|world, it| {
        one(says_with(world, it, &stamp(1_000), b""));
        says_with(world, it, &stamp(900), &hello("www.good.example"))
    });
    let mut world = only_good();
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    one(says_with(&mut world, &mut it, &stamp(u32::MAX), b""));
    one(says_with(
        &mut world,
        &mut it,
        &stamp(3),
        &hello("www.good.example"),
    ));
    it.acknowledge(&mut world);
    assert!(one(world.from("a", it.client_says(ACK, b"more"))).fast);
}

#[test]
fn what_is_signed_says_nothing() {
    let signature = [&[19, 18][..], &[7; 16], &[0, 0]].concat();
    says_two_things(|world, it| says_with(world, it, &signature, &hello("www.good.example")));
}

/// Of a part that comes again with other bytes, some servers take the first and some the last. What comes again as it was
/// passes.
#[test]
fn what_contradicts_what_was_said_does_not_pass() {
    let (good, evil) = (hello("www.good.example"), hello("www.evil.example"));
    assert_eq!(good.len(), evil.len());
    let mut world = only_good();
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    let begin = it.client_next;
    let says = |world: &mut World, it: &mut Connection, at: usize, data: &[u8]| {
        it.client_next = begin + at as u32;
        world.from("a", it.client_says(ACK, data))
    };
    // The end comes first, and then all of it, with another name.
    assert_eq!(one(says(&mut world, &mut it, 40, &good[40..])).at, "wan");
    none(says(&mut world, &mut it, 0, &evil));
    none(says(&mut world, &mut it, 30, &evil[30..]));
    assert_eq!(world.dropped(Reason::Malformed), 2);
    assert_eq!(one(says(&mut world, &mut it, 60, &good[60..])).at, "wan");
    assert_eq!(one(says(&mut world, &mut it, 0, &good)).at, "wan");
    // Whether it has arrived, its acknowledgement tells: until then nothing else can be said instead.
    none(says(&mut world, &mut it, 0, &evil));
    it.client_next = begin + 40;
    it.acknowledge(&mut world);
    none(says(&mut world, &mut it, 40, &evil[40..]));
    assert_eq!(world.dropped(Reason::Malformed), 4);
    assert_eq!(one(says(&mut world, &mut it, 40, &good[40..])).at, "wan");
    assert_eq!(world.engine.firewall_stats().inspected, 1);
    it.acknowledge(&mut world);
    assert!(one(says(&mut world, &mut it, good.len(), b"more")).fast);
}

/// A segment that is larger than the way of its packets, and must not be cut, does not arrive.
#[test]
fn what_is_too_large_says_nothing() {
    let mut world = only_good();
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    let next = it.client_next;
    let show = [&hello("www.good.example")[..], &[0; 9_500]].concat();
    let offload = Offload::NONE;
    let seen = world.send("a", it.client_says(ACK, &show).df(), offload);
    assert!(seen.iter().all(|it| it.at == "a"), "{seen:#?}");
    assert_eq!(world.dropped(Reason::FragmentationNeeded), 1);
    it.client_next = next;
    none(world.from("a", it.client_says(ACK, &hello("www.bad.example"))));
    assert_eq!(world.dropped(Reason::Malformed), 1);
}

/// Some servers take data that comes with a SYN, and some do not. The next SYN has none.
#[test]
fn data_with_a_syn_does_not_pass() {
    let mut world = only_good();
    let mut it = Connection::new(5000, SERVER, 443);
    none(world.from("a", it.client_says(SYN, &hello("www.good.example"))));
    assert_eq!(world.dropped(Reason::Malformed), 1);
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    let good = it.client_says(ACK, &hello("www.good.example"));
    assert_eq!(one(world.from("a", good)).at, "wan");
    it.acknowledge(&mut world);
    assert!(one(world.from("a", it.client_says(ACK, b"more"))).fast);
}

/// What is left to hardware is right when it leaves.
#[test]
fn a_checksum_that_is_left_to_hardware_is_none_that_is_wrong() {
    let mut world = only_good();
    let mut it = Connection::open(&mut world, 5000, SERVER, 443);
    let offload = Offload {
        checksum: flow::header::Checksum::Partial,
        gso_size: 0,
    };
    let segment = it.client_says(ACK, &hello("www.good.example"));
    assert_eq!(one(world.send("a", segment, offload)).at, "wan");
    it.acknowledge(&mut world);
    assert!(one(world.from("a", it.client_says(ACK, b"more"))).fast);
}

#[test]
fn a_datagram_with_a_wrong_checksum_or_length_asks_for_nothing() {
    let mut world = world(dns::dns_firewall(DnsRefusal::Refused));
    let question = dns::datagram(5000, &dns::question("www.good.example"));
    none(sends(&mut world, &question, |packet| packet[30] ^= 1));
    // Longer than the packet, and shorter than its own header.
    none(sends(&mut world, &question, |packet| packet[24] = 1));
    none(sends(&mut world, &question, |packet| packet[25] = 7));
    assert_eq!(world.dropped(Reason::Malformed), 3);
    assert_eq!(one(world.from("a", question.clone())).at, "wan");
    let unsummed = dns::datagram(5001, &dns::question("www.good.example")).unsummed();
    assert_eq!(one(world.from("a", unsummed)).at, "wan");
}

const SESSION: (&str, u16) = (A, 5000);

fn quic(data: &[u8]) -> Packet {
    let mut packet = Packet::udp(SESSION, (SERVER, 443));
    packet.set_data(data);
    packet
}

/// What the server says to who has sent a packet.
fn answers(world: &mut World, sent: &Packet, data: &[u8]) {
    let mut packet = sent.answer(0);
    packet.set_data(data);
    at("a", world.net(packet));
}

/// A name that is told for show, in a datagram that expires before the server, and then another one: by another
/// connection, and by the same.
#[test]
fn a_hello_that_nobody_answers_is_not_the_last() {
    let bad = client_hello("www.bad.example");
    for origin in [b"another!", b"for show"] {
        let mut world = only_good();
        let show = Initial::of(b"for show").says(&client_hello("www.good.example"));
        at("wan", world.from("a", quic(&show).ttl(2)));
        none(world.from("a", quic(&Initial::of(origin).number(1).says(&bad))));
        let stats = world.engine.firewall_stats();
        let refused = u64::from(origin != b"for show");
        assert_eq!((stats.refused, stats.inspected), (refused, 1 - refused));
    }
}

/// The second hello is refused though it comes in parts, and the server has heard something else of it.
#[test]
fn a_hello_in_parts_is_not_the_last() {
    let mut world = only_good();
    let show = Initial::of(b"for show").says(&client_hello("www.good.example"));
    at("wan", world.from("a", quic(&show).ttl(2)));
    let bad = client_hello("www.bad.example");
    let begins = Initial::of(b"another!").says(&bad[..30]);
    let out = at("wan", world.from("a", quic(&begins)));
    answers(
        &mut world,
        &out,
        &Initial::of(b"another!").answers(&[2, 0, 0, 0, 0]),
    );
    // Nor does what anyone says.
    answers(&mut world, &out, b"\xc0\0\0\0\0\x08for show\0\0\0\0\x01");
    assert_eq!(world.engine.firewall_stats().inspected, 1);
    let rest = Initial::of(b"another!").number(1).at(30).says(&bad[30..]);
    none(world.from("a", quic(&rest)));
    assert_eq!(world.engine.firewall_stats().refused, 1);
}

/// What is not the client's handshake does not pass before that is answered: it could be for anyone.
#[test]
fn nothing_else_passes_before_an_answer() {
    let mut world = only_good();
    let show = Initial::of(b"for show").says(&client_hello("www.good.example"));
    at("wan", world.from("a", quic(&show).ttl(2)));
    none(world.from("a", quic(b"something else")));
    none(world.from("a", quic(b"\xc0\x77\x77\x77\x77\x08a version\0\0\x04....")));
    assert_eq!(world.dropped(Reason::Malformed), 2);
    // Several datagrams in one frame, of which the last is another.
    let offload = Offload {
        checksum: flow::header::Checksum::Partial,
        gso_size: show.len() as u16,
    };
    let two = [&show[..], &[0x45; 100]].concat();
    none(world.send("a", quic(&two), offload));
    at("wan", world.send("a", quic(&show.repeat(2)), offload));
}

/// Whose hello is answered, goes on in the kernel. Until then its packets pass: early data, what is sent again, another
/// attempt after a Retry.
#[test]
fn an_answered_hello_is_the_last() {
    let mut world = only_good();
    let hello = client_hello("www.good.example");
    let first = Initial::of(b"original").says(&hello);
    let early = [&b"\xd0\0\0\0\x01\x08original\0\x1e"[..], &[7; 30]].concat();
    for datagram in [&first, &[&first[..], &early].concat(), &early] {
        at("wan", world.from("a", quic(datagram)));
    }
    let retried = Initial::of(b"retried!").number(1);
    let out = at("wan", world.from("a", quic(&retried.says(&hello))));
    assert_eq!(world.engine.policy_hits(&scope())[0].hits, 1);
    answers(
        &mut world,
        &out,
        &Initial::of(b"retried!").answers(&[6, 0, 2, 2, 0]),
    );
    assert_eq!(world.engine.firewall_stats().inspected, 0);
    assert!(one(world.from("a", quic(b"\x45 more"))).fast);
    assert_eq!(world.session().domain.as_deref(), Some("www.good.example"));
}

/// One that nobody has answered is not let go because there are too many.
#[test]
fn too_many_do_not_make_an_unanswered_one_pass() {
    let mut config = strict(vec![
        accept("good").named("www.good.example"),
        refuse("rest"),
    ]);
    config.system.max_sessions = 40_000;
    let mut world = World::of(config, 131_072);
    world.checked = false;
    let show = Initial::of(b"for show").says(&client_hello("www.good.example"));
    at("wan", world.from("a", quic(&show)));
    for n in 0..16_384 {
        let server = format!("198.51.{}.{}", n / 250, 1 + n % 250);
        let syn = Packet::tcp((A, 6000), (&server, 443), SYN);
        at("wan", world.from("a", syn));
    }
    let stats = world.engine.firewall_stats();
    assert_eq!((stats.given_up, stats.refused), (1, 1));
    none(world.from("a", quic(&show)));
}

/// Over UDP, who asks for a name goes on doing so until it is answered.
#[test]
fn a_question_for_show_does_not_open_a_session() {
    let mut world = world(strict(vec![
        accept("dns").apps(&[App::Dns]),
        refuse("rest"),
    ]));
    let question = |port| {
        let mut packet = Packet::udp(SESSION, (SERVER, port));
        packet.set_data(&dns::question("www.good.example"));
        packet
    };
    for port in [53, 5300] {
        let out = at("wan", world.from("a", question(port)));
        let mut other = question(port);
        other.set_data(&Initial::of(b"another!").says(&client_hello("www.bad.example")));
        none(world.from("a", other.clone()));
        at("wan", world.from("a", question(port)));
        let answer = dns::answer("www.good.example", SERVER, 30);
        answers(&mut world, &out, &answer[..answer.len().min(11)]);
        none(world.from("a", other));
        answers(&mut world, &out, &answer);
        assert!(one(world.from("a", question(port))).fast);
    }
}

/// Only one name may be asked for, over TCP.
fn asks_two_things(first: impl FnOnce(&mut World, &mut Connection, &[u8])) {
    let asked = |name: &str| {
        let question = dns::question(name);
        [&(question.len() as u16).to_be_bytes()[..], &question].concat()
    };
    let (good, bad) = (asked("www.bat.example"), asked("www.bad.example"));
    let mut config = dns::dns_firewall(DnsRefusal::Refused);
    let policies = vec![accept("good").named("www.bat.example"), refuse("rest")];
    set_policies(&mut config, PolicyScope::Dns, policies);
    let mut world = World::of(config, 16_384);
    let mut it = Connection::open(&mut world, 5000, SERVER, 53);
    let begin = it.client_next;
    first(&mut world, &mut it, &good);
    let before = world.dropped(Reason::Malformed);
    it.client_next = begin;
    let seen = world.from("a", it.client_says(ACK, &bad));
    let refused = world.engine.firewall_stats().refused == 1;
    assert!(refused || world.dropped(Reason::Malformed) == before + 1);
    assert!(
        seen.iter().all(|it| it.packet.flags() & RST != 0),
        "{seen:#?}"
    );
    if !refused {
        // As it was, it may come again; and what comes next is looked at.
        it.client_next = begin;
        at("wan", world.from("a", it.client_says(ACK, &good)));
        it.acknowledge(&mut world);
        world.from("a", it.client_says(ACK, &bad));
        assert_eq!(world.engine.firewall_stats().refused, 1);
    }
    world.engine.check();
}

#[test]
fn a_question_that_is_not_heard_asks_for_nothing() {
    asks_two_things(|world, it, good| {
        let segment = it.client_says(ACK, good).ttl(5);
        none(world.from("a", segment));
    });
    asks_two_things(|world, it, good| {
        it.server_next += 1 << 20;
        none(world.from("a", it.client_says(ACK, good)));
        it.server_next -= 1 << 20;
    });
    asks_two_things(|world, it, good| {
        one(says_with(world, it, &stamp(1_000), b""));
        none(says_with(world, it, &stamp(900), good));
    });
}

/// What passes may be lost all the same: until it is acknowledged, nothing else can be asked in its place.
#[test]
fn a_question_that_is_not_acknowledged_is_not_replaced() {
    asks_two_things(|world, it, good| drop(at("wan", world.from("a", it.client_says(ACK, good)))));
    asks_two_things(|world, it, good| {
        for part in good.chunks(7) {
            at("wan", world.from("a", it.client_says(ACK, part)));
        }
    });
}

/// One that is too long is no question, however often it comes.
#[test]
fn a_question_that_is_too_long_does_not_pass() {
    let mut world = world(dns::dns_firewall(DnsRefusal::Refused));
    let mut it = Connection::open(&mut world, 5000, SERVER, 53);
    let begin = it.client_next;
    for _ in 0..3 {
        it.client_next = begin;
        let bytes = [&[0xff, 0xff][..], &[1; 3_000]].concat();
        none(world.from("a", it.client_says(ACK, &bytes)));
    }
}

/// Of urgent data some receivers take out a byte.
#[test]
fn what_is_urgent_says_nothing() {
    const URG: u8 = 0x20;
    says_two_things(|world, it| {
        let segment = it.client_says(ACK | URG, &hello("www.good.example"));
        world.from("a", segment)
    });
}

/// At the port of names, too, a session is what it says.
#[test]
fn at_the_port_of_names_a_session_is_what_it_says() {
    let learned = || {
        accept("known")
            .named("known.example")
            .by(DomainResolve::Dns)
    };
    let other = |name: &str| {
        let mut packet = Packet::udp(SESSION, (SERVER, 53));
        packet.set_data(&Initial::of(b"another!").says(&client_hello(name)));
        packet
    };
    let dns = accept("names").apps(&[App::Dns]);
    let only_names = strict(vec![dns, learned(), refuse("rest")]);
    let all_but = loose(vec![learned(), refuse("bad").named("*.bad.example")]);
    for config in [only_names, all_but] {
        let mut world = World::of(config, 16_384);
        none(world.from("a", other("www.bad.example")));
        let mut it = Connection::open(&mut world, 5000, SERVER, 53);
        let seen = world.from("a", it.client_says(ACK, &hello("www.bad.example")));
        assert!(
            seen.iter().all(|it| it.packet.flags() & RST != 0),
            "{seen:#?}"
        );
        assert_eq!(world.engine.firewall_stats().refused, 2);
        // Who asks for names is looked at for good.
        let mut asked = Packet::udp((A, 6000), (SERVER, 53));
        asked.set_data(&dns::question("known.example"));
        let out = at("wan", world.from("a", asked.clone()));
        answers(&mut world, &out, &dns::answer("known.example", SERVER, 30));
        assert_eq!(world.engine.firewall_stats().learned_names, 2);
        assert!(!one(world.from("a", asked)).fast);
    }
    // Whoever does not ask for names goes on, though no message of DNS is that long.
    let mut world = World::of(
        loose(vec![learned(), refuse("bad").named("*.bad.example")]),
        16_384,
    );
    let mut it = Connection::open(&mut world, 5000, SERVER, 53);
    let tls = hello("www.good.example");
    at("wan", world.from("a", it.client_says(ACK, &tls)));
    it.acknowledge(&mut world);
    for _ in 0..4 {
        at("wan", world.from("a", it.client_says(ACK, &[0xff; 1_400])));
    }
}

/// A connection that is opened again by another number is another one: its server may have heard of this one only.
#[test]
fn who_begins_anew_has_said_nothing() {
    let (good, bad) = (hello("www.good.example"), hello("www.bad.example"));
    let mut world = only_good();
    let mut it = Connection::new(5000, SERVER, 443);
    at("wan", world.from("a", it.client_says(SYN, b"").ttl(3)));
    let said = it.client_says(ACK, &good).ttl(3);
    at("wan", world.from("a", said));
    none(world.from("a", it.client_says(SYN, b"")));
    assert_eq!(world.dropped(Reason::Malformed), 1);

    // Nothing was said: it is the new one that counts.
    for (name, passes) in [(&good, true), (&bad, false)] {
        let mut world = only_good();
        let syn = Connection::new(5000, SERVER, 443).client_says(SYN, b"");
        at("wan", world.from("a", syn));
        let mut it = Connection::new(5000, SERVER, 443);
        it.client_next = 70_000;
        let out = at("wan", world.from("a", it.client_says(SYN, b"")));
        it.seen_as = Some((out.src.to_string(), out.sport()));
        at("a", world.net(it.server_says(SYN | ACK, b"")));
        at("wan", world.from("a", it.client_says(ACK, b"")));
        let seen = world.from("a", it.client_says(ACK, name));
        assert_eq!(seen.iter().all(|it| it.packet.flags() & RST == 0), passes);
    }
}

/// So it is with questions: what comes next is the begin of one.
#[test]
fn who_begins_anew_has_asked_for_nothing() {
    let mut world = world(dns::dns_firewall(DnsRefusal::Refused));
    let mut it = Connection::new(5000, SERVER, 53);
    at("wan", world.from("a", it.client_says(SYN, b"").ttl(3)));
    let said = it.client_says(ACK, &[0, 100]).ttl(3);
    at("wan", world.from("a", said));
    none(world.from("a", it.client_says(SYN, b"")));
    assert_eq!(world.dropped(Reason::Malformed), 1);
    world.engine.check();
}

/// Nothing is asked of a session that no firewall sees any more.
#[test]
fn an_unanswered_session_is_let_go_with_its_firewall() {
    let mut config = strict(vec![
        accept("good").named("www.good.example"),
        refuse("rest"),
    ]);
    let mut world = World::of(config.clone(), 16_384);
    let show = Initial::of(b"for show").says(&client_hello("www.good.example"));
    at("wan", world.from("a", quic(&show)));
    none(world.from("a", quic(b"something else")));
    divert(&mut config, false);
    world.apply_config(config);
    world.seconds(3);
    assert!(one(world.from("a", quic(b"something else"))).fast);
}
