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
