//! Fragments of sessions that firewalls look at: a session is what its whole datagrams say.

use crate::common::*;
use crate::dns::{answer, question};
use crate::inspection::hello;
use engine::Offload;
use flow::reason::Reason;
use model::{App, PolicyScope};

fn send_all(world: &mut World, parts: impl IntoIterator<Item = Packet>) -> Vec<Seen> {
    let send = |part| world.send("a", part, Offload::NONE);
    parts.into_iter().flat_map(send).collect()
}

/// A question to a server that no DNS firewall looks at, in parts.
fn asked(sport: u16, name: &str) -> Vec<Packet> {
    let mut packet = Packet::udp((A, sport), (SERVER, 53)).id(sport);
    packet.set_data(&question(name));
    packet.fragments(16)
}

fn only_dns() -> Vec<model::ControlPolicy> {
    vec![accept("dns").apps(&[App::Dns]), refuse("all")]
}

#[test]
fn parts_of_what_is_allowed_pass_together_in_any_order() {
    let orders: [fn(&mut Vec<Packet>); 3] = [|_| {}, |it| it.reverse(), |it| it.swap(0, 1)];
    for reorder in orders {
        let mut world = world(strict(only_dns()));
        let mut parts = asked(5000, "www.good.example");
        assert!(parts.len() > 2);
        reorder(&mut parts);
        let last = parts.pop().unwrap();
        none(send_all(&mut world, parts));
        let seen = send_all(&mut world, [last]);
        assert!(seen.iter().all(|it| it.at == "wan"), "{seen:#?}");
        let whole = reassemble(seen.into_iter().map(|it| it.packet).collect());
        assert_eq!(whole.data(), question("www.good.example"));
        let mut answered = whole.answer(0);
        answered.set_data(&answer("www.good.example", SERVER, 30));
        at("a", world.net(answered));
        let session = world.session();
        assert_eq!(
            (session.app.as_deref(), session.firewall),
            (Some("DNS"), None)
        );
        assert_eq!(session.packets_out, 3, "each counts once");
        // Later ones go on as they come.
        let more = asked(5000, "www.good.example");
        assert_eq!(send_all(&mut world, more).len(), 3);
        world.engine.check();
    }
}

/// Nothing of a datagram passes in strict mode that is not what is allowed, however it is cut.
#[test]
fn parts_of_what_is_not_known_do_not_pass_in_strict_mode() {
    let mut world = world(strict(only_dns()));
    let sent = Packet::udp((A, 5000), (SERVER, 999)).len(2_500);
    let mut parts = sent.fragments(1_000);
    none(send_all(&mut world, parts.drain(..2)));
    // Nor if its end never comes.
    world.seconds(20);
    none(world.take());
    assert_eq!(world.dropped(Reason::FragmentTimeout), 2);
}

/// A hello in a segment that is cut by IP names its server all the same.
#[test]
fn a_hello_in_fragments_is_understood() {
    for (name, passes) in [("www.bad.example", false), ("www.good.example", true)] {
        let mut world = world(loose(vec![refuse("bad").named("*.bad.example")]));
        let mut it = Connection::open(&mut world, 5000, SERVER, 443);
        let parts = it.client_says(ACK, &hello(name)).fragments(40);
        let count = parts.len();
        let seen = send_all(&mut world, parts);
        let resets = seen
            .iter()
            .filter(|it| it.packet.flags() & RST != 0)
            .count();
        let whole = seen
            .iter()
            .filter(|it| it.packet.fragment != (0, false))
            .count();
        assert_eq!((resets, whole), if passes { (0, count) } else { (2, 0) });
    }
}

/// Which of two parts for the same place counts is for the receiver to say: neither goes on.
#[test]
fn parts_that_overlap_do_not_pass() {
    let good = asked(5000, "www.good.example");
    let evil = asked(5000, "xxx.evil.example");
    let mut world = world(strict(only_dns()));
    let overlapping = [
        good[0].clone(),
        good[1].clone(),
        evil[1].clone(),
        good[2].clone(),
    ];
    none(send_all(&mut world, overlapping));
    assert_eq!(world.dropped(Reason::FragmentMalformed), 3);
    // The same once more is no harm.
    let mut again = world_of_dns();
    let twice = [
        good[0].clone(),
        good[1].clone(),
        good[1].clone(),
        good[2].clone(),
    ];
    assert_eq!(send_all(&mut again, twice).len(), 3);
    assert_eq!(again.dropped(Reason::FragmentMalformed), 1);
    // Nor does what lies behind the end.
    let mut behind = world_of_dns();
    let mut end = good[1].clone();
    end.fragment.1 = false;
    none(send_all(
        &mut behind,
        [good[0].clone(), good[2].clone(), end],
    ));
    assert_eq!(behind.dropped(Reason::FragmentMalformed), 3);
}

fn world_of_dns() -> World {
    world(strict(only_dns()))
}

/// The DNS firewall reads questions that come in parts.
#[test]
fn the_dns_firewall_is_asked_about_questions_in_parts() {
    let mut config = parse(BASE);
    set_policies(
        &mut config,
        PolicyScope::Dns,
        vec![refuse("bad").named("*.bad.example")],
    );
    let mut world = world(config);
    let seen = send_all(&mut world, asked(5000, "www.good.example"));
    assert_eq!(seen.len(), 3);
    let told = at("a", send_all(&mut world, asked(5001, "www.bad.example")));
    assert_eq!(told.data()[3] & 15, 5, "refused");
    assert_eq!(world.dropped(Reason::DnsFirewall), 3);
}
