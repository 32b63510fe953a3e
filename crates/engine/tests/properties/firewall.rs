//! Firewalls against "a list, read from the top": random policies, sessions, changes, switches and restarts.
//!
//! Policies about addresses decide exactly as the list says. Whatever the policies are about: every packet is sent on,
//! answered, held or counted ([`engine::Engine::check`], after each step), and a change touches no flow of a session that
//! is allowed before and after it.

use crate::common::*;
use crate::{cases, paces};
use model::{App, Config, ControlPolicy, DomainResolve, EngineMode, PolicyAction, PolicyPorts};
use proptest::prelude::*;
use std::collections::HashMap;

/// A policy, by numbers: source, destination, port, application, domain, action, how domains are told.
type Gene = (u8, u8, u8, u8, u8, u8, u8);

/// Something that happens.
#[derive(Clone, Debug)]
enum Op {
    /// An instance begins a session with a server: which, by which protocol, to which port, from which port.
    Begin(u8, u8, u8, u8),
    /// An end of an earlier session says something.
    Say(usize, bool, u8),
    Wait(u8),
    /// The engine goes on with what it has to do, for so many steps.
    Step(u8),
    Policies(Vec<Gene>, bool),
    /// The firewall is switched.
    Switch,
    Restart,
}

fn policies() -> impl Strategy<Value = Vec<Gene>> {
    proptest::collection::vec(any::<Gene>(), 0..6)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any::<(u8, u8, u8, u8)>().prop_map(|(a, b, c, d)| Op::Begin(a, b, c, d)),
        20 => any::<(usize, bool, u8)>().prop_map(|(n, end, what)| Op::Say(n, end, what)),
        3 => (0..40u8).prop_map(Op::Wait),
        3 => (1..6u8).prop_map(Op::Step),
        3 => (policies(), any::<bool>()).prop_map(|(genes, strict)| Op::Policies(genes, strict)),
        2 => Just(Op::Switch),
        1 => Just(Op::Restart),
    ]
}

const SERVERS: [&str; 3] = ["198.51.100.7", "198.51.100.8", "192.0.2.9"];
const PORTS: [u16; 4] = [443, 80, 53, 9999];

fn policy_of(n: usize, gene: &Gene, by_address: bool) -> ControlPolicy {
    let (source, destination, port, app, domain, action, resolve) = *gene;
    let action = [PolicyAction::Accept, PolicyAction::Drop, PolicyAction::Log][action as usize % 3];
    let mut it = policy(&format!("p{n}"), action);
    it = match source % 3 {
        0 => it.source("10.0.1.0/24"),
        1 => it.source("10.0.2.10/32"),
        _ => it,
    };
    it = match destination % 4 {
        0 => it.towards("198.51.100.0/24"),
        1 => it.towards("198.51.100.8/32"),
        2 if !by_address => {
            it.named(["*.bad.example", "www.good.example", "*"][domain as usize % 3])
        }
        _ => it,
    };
    if port.is_multiple_of(2) {
        it = it.port(PORTS[port as usize / 2 % PORTS.len()]);
    }
    if !by_address {
        let resolves = [DomainResolve::Fqdn, DomainResolve::Dns, DomainResolve::Both];
        it = it.by(resolves[resolve as usize % 3]);
        match app % 4 {
            0 => it.applications = vec![App::Https, App::Http],
            1 => it.applications = vec![App::Ssh],
            _ => {}
        }
    }
    it
}

fn config(genes: &[Gene], strict: bool, by_address: bool) -> Config {
    let mode = if strict {
        EngineMode::Strict
    } else {
        EngineMode::Loose
    };
    let policies = genes.iter().enumerate();
    let policies = policies.map(|(n, gene)| policy_of(n, gene, by_address));
    protect(BASE, mode, policies.collect())
}

/// What a list of policies about addresses says, read from the top.
fn allows(config: &Config, packet: &Packet) -> bool {
    let Some(list) = config
        .firewalls
        .policies
        .first()
        .filter(|_| !config.firewalls.nat.is_empty())
    else {
        return true;
    };
    let net = |net: &ipnet::Ipv4Net, address| net.contains(&address);
    let first = list.policies.iter().find(|it| {
        let model::PolicySource::Net(source) = &it.source else {
            panic!()
        };
        let model::PolicyDestination::Net(destination) = &it.destination else {
            panic!()
        };
        let port = match &it.ports {
            PolicyPorts::Range(range) => packet.proto() != ICMP && range.contains(&packet.dport()),
            _ => true,
        };
        net(source, packet.src) && net(destination, packet.dst) && port
    });
    first.is_none_or(|it| it.action != PolicyAction::Drop)
}

fn words(what: u8) -> &'static [u8] {
    match what % 6 {
        0 => b"GET / HTTP/1.1\r\nHost: www.bad.example\r\n\r\n",
        1 => b"GET / HTTP/1.1\r\nHost: www.good.example\r\n\r\n",
        2 => b"SSH-2.0-OpenSSH_9.7\r\n",
        3 => b"",
        4 => b"\x01\xfe\x02 nothing that is known",
        _ => b"G",
    }
}

/// A session as both of its ends see it.
struct Talk {
    eni: &'static str,
    first: Packet,
    seen_as: Packet,
    next: [u32; 2],
}

impl Talk {
    fn says(&mut self, client: bool, data: &[u8], flags: u8) -> Packet {
        let mut packet = match client {
            true => self.first.clone(),
            false => self.seen_as.answer(0),
        };
        packet.set_data(data);
        if let Body::Tcp {
            seq,
            ack,
            flags: bits,
            ..
        } = &mut packet.body
        {
            let end = usize::from(!client);
            (*seq, *ack, *bits) = (self.next[end], self.next[1 - end], flags);
            self.next[end] += data.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        }
        packet
    }
}

/// Flows of sessions that just pass, by key.
fn passing(world: &World) -> HashMap<String, (usize, String)> {
    let sessions = world.sessions().into_iter();
    let tuples: Vec<_> = sessions
        .filter(|it| it.firewall.is_none())
        .map(|it| {
            let t = it.original;
            (it.protocol, t.src, t.src_port, t.dst, t.dst_port)
        })
        .collect();
    let is_passing = |key: &flow::Key| {
        let ip = |raw: u32| std::net::Ipv4Addr::from(raw.to_ne_bytes());
        let (protocol, dport) = match key.proto {
            TCP => ("tcp", u16::from_be(key.dport)),
            UDP => ("udp", u16::from_be(key.dport)),
            _ => ("icmp", 0),
        };
        let sport = u16::from_be(key.sport);
        tuples.contains(&(protocol.into(), ip(key.src), sport, ip(key.dst), dport))
    };
    let flows = world.flows().into_iter();
    flows
        .filter(|(_, key, ..)| is_passing(key))
        .map(|(slot, key, action, _)| (format!("{key:?}"), (slot, format!("{action:?}"))))
        .collect()
}

/// A change touches no flow of a session that is allowed before and after it.
fn touches_none(world: &mut World, what: impl FnOnce(&mut World)) -> Result<(), TestCaseError> {
    let before = passing(world);
    what(world);
    let after = passing(world);
    for (key, flow) in before {
        if let Some(now) = after.get(&key) {
            prop_assert_eq!(now, &flow, "{}", key);
        }
    }
    Ok(())
}

/// Sessions that do not wait are refused if policies about addresses say so, and no others; but for those that an earlier
/// daemon had refused and had yet to decide again about (`found`).
fn as_the_list_says(world: &World, found: bool) -> Result<(), TestCaseError> {
    let waits = world.engine.waiting();
    for (it, _) in world.sessions().iter().zip(waits).filter(|it| !it.1) {
        let t = &it.original;
        let (src, dst) = (t.src.to_string(), t.dst.to_string());
        let (from, to) = ((src.as_str(), t.src_port), (dst.as_str(), t.dst_port));
        let first = match it.protocol.as_str() {
            "tcp" => Packet::tcp(from, to, SYN),
            "udp" => Packet::udp(from, to),
            _ => Packet::ping(from.0, to.0, from.1),
        };
        let refused = it.firewall.as_deref() == Some("refused");
        let allowed = allows(&world.config, &first);
        prop_assert!(refused != allowed || refused && found, "{:?}", it);
    }
    Ok(())
}

fn run(
    genes: &[Gene],
    strict: bool,
    by_address: bool,
    pace: Pace,
    ops: &[Op],
) -> Result<(), TestCaseError> {
    let mut with = config(genes, strict, by_address);
    let mut on = true;
    let mut world = World::of(with.clone(), 16_384);
    world.recording = true;
    world.set_pace(pace);
    let mut found = false;
    let mut talks: Vec<Talk> = Vec::new();
    for op in ops {
        match op {
            Op::Begin(eni, protocol, port, sport) => {
                let (eni, src) = [("a", A), ("b", B)][*eni as usize % 2];
                let server = SERVERS[*sport as usize % 3];
                let (from, to) = (
                    (src, 5000 + u16::from(*sport % 16)),
                    (server, PORTS[*port as usize % 4]),
                );
                let first = match protocol % 4 {
                    0 => Packet::udp(from, to),
                    1 => Packet::ping(src, server, from.1),
                    _ => Packet::tcp(from, to, SYN),
                };
                let known = world.sessions().iter().any(|it| {
                    (it.original.src, it.original.src_port, it.original.dst)
                        == (first.src, first.sport(), first.dst)
                });
                let expected = allows_if(by_address, &world.config, &first);
                let seen = world.from(eni, first.clone());
                let out = seen.into_iter().find(|it| it.at == "wan");
                if let Some(expected) = expected.filter(|_| !known) {
                    prop_assert_eq!(out.is_some(), expected, "{:?}", first);
                }
                if let Some(out) = out {
                    let next = match first.body {
                        Body::Tcp { seq, .. } => [seq.wrapping_add(1), 7_000],
                        _ => [0; 2],
                    };
                    talks.push(Talk {
                        eni,
                        first,
                        seen_as: out.packet,
                        next,
                    });
                    if let Some(talk) = talks.last_mut().filter(|it| it.first.proto() == TCP) {
                        let packet = talk.says(false, b"", SYN | ACK);
                        world.net(packet);
                        let packet = talk.says(true, b"", ACK);
                        world.from(talk.eni, packet);
                    }
                }
            }
            Op::Say(n, client, what) if !talks.is_empty() => {
                let n = n % talks.len();
                let talk = &mut talks[n];
                let flags = if what % 16 == 15 { ACK | FIN } else { ACK };
                let packet = talk.says(*client, words(*what), flags);
                match client {
                    true => world.from(talk.eni, packet),
                    false => world.net(packet),
                };
            }
            Op::Say(..) => {}
            Op::Wait(seconds) => world.seconds(u64::from(*seconds)),
            Op::Step(steps) => {
                touches_none(&mut world, |world| {
                    for _ in 0..*steps {
                        world.step();
                    }
                })?;
            }
            Op::Policies(genes, strict) => {
                with = config(genes, *strict, by_address);
                let mut next = with.clone();
                divert(&mut next, on);
                touches_none(&mut world, |world| world.apply_config(next))?;
            }
            Op::Switch => {
                on = !on;
                let mut next = with.clone();
                divert(&mut next, on);
                touches_none(&mut world, |world| world.apply_config(next))?;
            }
            Op::Restart => {
                found |= world.waiting() > 0;
                world.restart();
            }
        }
        world.take();
        if by_address {
            as_the_list_says(&world, found)?;
        }
    }
    world.seconds(2_000);
    prop_assert_eq!(world.sessions(), vec![]);
    prop_assert_eq!(world.engine.firewall_stats().sessions, 0);
    Ok(())
}

/// What the list says, if it is about addresses alone.
fn allows_if(by_address: bool, config: &Config, packet: &Packet) -> Option<bool> {
    by_address.then(|| allows(config, packet))
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn addresses_decide_as_a_list_read_from_the_top(
        genes in policies(),
        strict in any::<bool>(),
        (pace, _) in paces(),
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        run(&genes, strict, true, pace, &ops)?;
    }

    #[test]
    fn nothing_is_lost_whatever_the_policies_are_about(
        genes in policies(),
        strict in any::<bool>(),
        (pace, _) in paces(),
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        run(&genes, strict, false, pace, &ops)?;
    }
}
