//! What a receiver does not take is not taken for what a session says: who would say one thing to the firewall and another
//! to the server says neither.

use super::dns;
use super::inspection::hello;
use crate::common::*;
use engine::Offload;
use flow::reason::Reason;
use model::DnsRefusal;

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
    let mut says = |world: &mut World, at: usize, data: &[u8]| {
        it.client_next = begin + at as u32;
        world.from("a", it.client_says(ACK, data))
    };
    // The end comes first, and then all of it, with another name.
    assert_eq!(one(says(&mut world, 40, &good[40..])).at, "wan");
    none(says(&mut world, 0, &evil));
    none(says(&mut world, 30, &evil[30..]));
    assert_eq!(world.dropped(Reason::Malformed), 2);
    assert_eq!(one(says(&mut world, 60, &good[60..])).at, "wan");
    assert_eq!(one(says(&mut world, 0, &good)).at, "wan");
    assert!(one(says(&mut world, good.len(), b"more")).fast);
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
