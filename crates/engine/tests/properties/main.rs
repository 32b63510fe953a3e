//! The engine against a naive reference: random configurations, packets, changes and restarts.

#[path = "../common/mod.rs"]
mod common;
mod firewall;
mod garbage;
mod genes;
mod reference;

use common::*;
use engine::Offload;
use genes::{GENES, NARROWED, SERVERS};
use model::Filtering;
use proptest::prelude::*;
use reference::{Expected, Reference, Tuple};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Something that happens. Numbers pick from what there is.
#[derive(Clone, Debug)]
enum Op {
    /// A packet by one of the ports.
    Send {
        port: usize,
        src: u8,
        dst: usize,
        ports: (u8, u8),
        kind: u8,
        ttl: u8,
        parts: bool,
    },
    /// The receiver of an earlier packet answers.
    Answer(usize, u8),
    /// An earlier packet comes again, perhaps with other flags.
    Again(usize, u8),
    /// An ICMP error about an earlier packet.
    Error(usize, bool),
    /// Another one than the receiver of an earlier packet sends to its sender.
    Stranger(usize, u8),
    /// All interfaces talk to one server, from the same few ports.
    Crowd(u8, u8),
    /// Time goes by.
    Wait(u8),
    /// The engine goes on with what it has to do, for so many steps.
    Step(u8),
    /// Some genes of the configuration change.
    Apply(Vec<(usize, u8)>),
    /// Some SNAT entries lose or get back their sources.
    Narrow(Vec<(usize, bool)>),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let send = (
        any::<usize>(),
        0..8u8,
        any::<usize>(),
        any::<(u8, u8)>(),
        any::<u8>(),
        any::<u8>(),
        0..20u8,
    )
        .prop_map(|(port, src, dst, ports, kind, ttl, parts)| Op::Send {
            port,
            src,
            dst,
            ports,
            kind,
            ttl,
            parts: parts == 0,
        });
    prop_oneof![
        40 => send,
        20 => (any::<usize>(), any::<u8>()).prop_map(|(n, flags)| Op::Answer(n, flags)),
        10 => (any::<usize>(), any::<u8>()).prop_map(|(n, flags)| Op::Again(n, flags)),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(n, end)| Op::Error(n, end)),
        8 => (any::<usize>(), any::<u8>()).prop_map(|(n, kind)| Op::Stranger(n, kind)),
        1 => any::<(u8, u8)>().prop_map(|(server, kind)| Op::Crowd(server, kind)),
        6 => (0..120u8).prop_map(Op::Wait),
        4 => (1..8u8).prop_map(Op::Step),
        4 => proptest::collection::vec((0..GENES, any::<u8>()), 1..6).prop_map(Op::Apply),
        4 => proptest::collection::vec((0..NARROWED, any::<bool>()), 1..12).prop_map(Op::Narrow),
        2 => Just(Op::Restart),
    ]
}

/// The world and what should be in it.
struct Test {
    world: World,
    reference: Reference,
    genes: Vec<u8>,
    /// Strangers are not let in, whatever the genes say.
    closed: bool,
    /// Packets that were sent, and those that came out of it.
    sent: Vec<(String, Packet)>,
    seen: Vec<(String, Packet)>,
}

impl Test {
    fn new(genes: Vec<u8>, pace: Pace, closed: bool) -> Test {
        let config = valid(&genes, closed);
        let mut world = World::of(config.clone(), 2048);
        world.set_pace(pace);
        Test {
            world,
            reference: Reference::new(config),
            genes,
            closed,
            sent: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now.0)
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Send {
                port,
                src,
                dst,
                ports,
                kind,
                ttl,
                parts,
            } => {
                let at = port_name(*port);
                let packet = self.packet(&at, *src, *dst, *ports, *kind, *ttl);
                match parts {
                    true => self.send_parts(&at, packet),
                    false => self.send(&at, packet),
                }
            }
            Op::Answer(n, flags) => {
                if let Some((at, packet)) = pick(&self.seen, *n) {
                    let natural = match packet.flags() {
                        SYN => SYN | ACK,
                        flags => ACK | flags & FIN,
                    };
                    let odd = tcp_flags(*flags);
                    let answer = packet.answer(if *flags < 200 { natural } else { odd });
                    self.send(&at, answer);
                }
            }
            Op::Again(n, flags) => {
                if let Some((at, mut packet)) = pick(&self.sent, *n) {
                    if let Body::Tcp { flags: f, .. } = &mut packet.body {
                        *f = match *flags {
                            ..100 => ACK,
                            flags => tcp_flags(flags),
                        };
                    }
                    // This one the kernel does not take.
                    if (70..100).contains(flags) {
                        packet = packet.ttl(1);
                    }
                    self.send(&at, packet);
                }
            }
            Op::Error(n, end) => self.error(*n, *end),
            Op::Stranger(n, kind) => {
                let outside: Vec<_> = self.seen.iter().filter(|(at, _)| at == "wan").collect();
                if let Some((_, packet)) = pick(&outside, *n) {
                    let (from, to) = (SERVERS[1], packet.src.to_string());
                    let (from, to) = ((from, 9), (to.as_str(), packet.sport()));
                    let stranger = match packet.proto() {
                        TCP => Packet::tcp(from, to, SYN),
                        _ => Packet::udp(from, to),
                    };
                    let inside = self.packet(&port_name(*n), 0, 0, (1, 0), 0, 64);
                    match kind % 3 {
                        0 => self.send("wan", Packet::udp(from, to)),
                        1 => self.send("wan", stranger),
                        _ if inside.src == ip(SERVERS[0]) => {}
                        _ => {
                            let packet = Packet {
                                src: inside.src,
                                ..stranger
                            };
                            self.send(&port_name(*n), packet);
                        }
                    }
                }
            }
            Op::Crowd(server, kind) => {
                for port in 0..9 {
                    for (sport, _) in [(0, 0), (2, 0), (3, 0)] {
                        let at = port_name(port);
                        let mut packet = self.packet(&at, 0, 0, (sport, *server), *kind, 64);
                        packet.dst = ip(SERVERS[usize::from(*server) % 2]);
                        self.send(&at, packet);
                    }
                }
            }
            Op::Wait(seconds) => {
                while self.world.waiting() > 0 {
                    self.step();
                }
                self.world.seconds((*seconds).into());
                self.expire();
            }
            Op::Step(steps) => (0..*steps).for_each(|_| self.step()),
            Op::Narrow(changes) => {
                let first = GENES - NARROWED;
                let genes = changes.iter().map(|&(n, on)| (first + n, on.into()));
                return self.run(&Op::Apply(genes.collect()));
            }
            Op::Apply(changes) => {
                for &(at, value) in changes {
                    self.genes[at] = value;
                }
                let config = valid(&self.genes, self.closed);
                let order = self.keys();
                self.world.apply_config(config.clone());
                self.reference.apply(config);
                self.catch_up(&order, None);
            }
            Op::Restart => {
                self.world.restart();
                let order = self.keys();
                let now = self.now();
                self.reference.restart(&order, now);
            }
        }
        self.compare();
    }

    /// The engine goes on with what it has to do.
    fn step(&mut self) {
        let order = self.keys();
        self.world.step();
        self.catch_up(&order, None);
        self.expire();
    }

    /// Sessions that have ended must have been idle.
    fn expire(&mut self) {
        let there = self.keys();
        let now = self.now();
        self.reference.expire(now, |key| there.contains(key));
    }

    /// Since the engine's sessions were these, it has decided again about those that wait no more, in this order. `met` is
    /// one that a packet has come of: something else may have happened to it, too.
    fn catch_up(&mut self, order: &[Tuple], met: Option<&Tuple>) {
        let waits = self.world.engine.waiting();
        let there: HashMap<Tuple, bool> = self.keys().into_iter().zip(waits).collect();
        let now = self.now();
        for key in order {
            let (n, _) = self.reference.position(key).expect("a session");
            let waits = there.get(key).copied();
            if !self.reference.sessions[n].waits || waits == Some(true) {
                assert_ne!(waits, Some(!self.reference.sessions[n].waits));
                continue;
            }
            let goes_on = self.reference.decide_again(key, now);
            assert!(goes_on || waits.is_none() || met == Some(key), "{key:?}");
        }
    }

    /// The session that a packet belongs to.
    fn session_of(&self, key: &Tuple) -> Option<Tuple> {
        let (n, _) = self.reference.position(key)?;
        Some(self.reference.sessions[n].keys[0].clone())
    }

    /// A packet has come of a session: if that waits still, the kernel has forwarded it.
    fn must_be_fast(&self, met: Option<&Tuple>, seen: &[Seen]) {
        if let Some(key) = met
            && let Some((n, _)) = self.reference.position(key)
            && self.reference.sessions[n].waits
        {
            assert!(!seen.is_empty() && seen.iter().all(|it| it.fast), "{key:?}");
        }
    }

    /// The keys of the engine's sessions, in its order.
    fn keys(&self) -> Vec<Tuple> {
        let sessions = self.world.sessions().into_iter();
        let key = |s: engine::SessionView| {
            let proto = match s.protocol.as_str() {
                "tcp" => TCP,
                "udp" => UDP,
                "icmp" => ICMP,
                other => other.parse().unwrap(),
            };
            Tuple {
                at: if s.direction == "in" {
                    "wan".into()
                } else {
                    s.eni
                },
                proto,
                src: s.original.src,
                sport: s.original.src_port,
                dst: s.original.dst,
                dport: if proto == ICMP {
                    8
                } else {
                    s.original.dst_port
                },
            }
        };
        sessions.map(key).collect()
    }

    /// The engine's sessions are those of the reference.
    fn compare(&mut self) {
        let (views, keys) = (self.world.sessions(), self.keys());
        assert_eq!(views.len(), self.reference.sessions.len());
        for (view, key) in views.iter().zip(&keys) {
            let (n, way) = self
                .reference
                .position(key)
                .unwrap_or_else(|| panic!("what is {view:?}?"));
            let session = &self.reference.sessions[n];
            assert_eq!(way, 0);
            let out = session.leaves(0);
            let t = &view.translated;
            assert_eq!(
                (t.src, t.src_port, t.dst),
                (out.src, out.sport, out.dst),
                "{view:?}"
            );
            assert_eq!(view.state, session.state(), "{session:?}");
            assert_eq!(
                [view.packets_out, view.packets_in],
                session.packets,
                "{session:?}"
            );
            assert_eq!(view.gateway, session.plan().gateway, "{session:?}");
            assert_eq!(view.direction, session.plan().direction);
            let wall = self.now().as_secs();
            let drains = session.plan().drains;
            let drains = drains.map(|until| until.saturating_sub(wall));
            assert_eq!(view.drains, drains, "{session:?}");
            assert!(view.offloaded);
        }
        let stats = self.world.stats();
        for eip in &stats.eips {
            assert_eq!(
                eip.ports_used,
                self.reference.ports_used(&eip.eip),
                "{}",
                eip.eip
            );
        }
    }

    fn packet(&self, at: &str, src: u8, dst: usize, ports: (u8, u8), kind: u8, ttl: u8) -> Packet {
        let eni = self.world.config.enis.iter().find(|e| e.id == at);
        let src: Ipv4Addr = match (eni, src) {
            (Some(_), 7) => ip("10.0.2.10"),
            (Some(eni), 5 | 6) if !eni.hosts.is_empty() => {
                let net = eni.hosts[usize::from(src) - 5];
                Ipv4Addr::from(u32::from(net.network()) + 2)
            }
            (Some(eni), _) => eni.address,
            (None, 4) => ip("10.2.1.66"),
            (None, 5) => ip("10.0.2.10"),
            (None, 6) => ip("172.16.0.5"),
            (None, 7) => ip("203.0.113.11"),
            (None, n) => ip(SERVERS[usize::from(n) % 2]),
        };
        let dst = self.destinations(at)[dst % self.destinations(at).len()];
        let (src, dst) = (src.to_string(), dst.to_string());
        let sport = [5000, 5000, 5001, 2000, 80, 1023][usize::from(ports.0) % 6];
        let dport =
            [80, 80, 53, 5000, 5001, 5002, 5003, 6011, 2000, 443][usize::from(ports.1) % 10];
        let packet = match kind % 8 {
            0..=2 => Packet::udp((&src, sport), (&dst, dport)),
            3..=4 => Packet::tcp((&src, sport), (&dst, dport), SYN),
            5 => Packet::tcp((&src, sport), (&dst, dport), tcp_flags(kind / 8)),
            6 => Packet::ping(&src, &dst, sport),
            _ => Packet::other(47, &src, &dst),
        };
        packet.ttl(match ttl {
            0..=8 => 1,
            9..=12 => 2,
            _ => 64,
        })
    }

    /// Where packets could go, what leads somewhere more than once.
    fn destinations(&self, at: &str) -> Vec<Ipv4Addr> {
        let config = &self.world.config;
        let mut all: Vec<Ipv4Addr> = config.eips.iter().map(|eip| eip.address).collect();
        if at == "wan" {
            all.extend(all.clone());
            all.extend([ip("203.0.113.2"), ip("203.0.113.99")]);
            return all;
        }
        all.extend(config.enis.iter().map(|eni| eni.address));
        for _ in 0..3 {
            all.extend(config.nat_ips.iter().map(|nat_ip| nat_ip.address));
        }
        all.extend(SERVERS.map(ip));
        all.extend(SERVERS.map(ip));
        all.extend(SERVERS.map(ip));
        let others = [
            "10.0.1.253",
            "10.0.1.66",
            "10.2.1.66",
            "172.16.0.5",
            "172.16.2.5",
            "10.0.1.99",
            "203.0.113.2",
            "8.8.8.8",
            "224.0.0.1",
        ];
        all.extend(others.map(ip));
        all
    }

    /// Sends a packet and compares what becomes of it.
    fn send(&mut self, at: &str, packet: Packet) {
        let (order, met) = (self.keys(), self.session_of(&Tuple::of(at, &packet)));
        let before = self.world.drops();
        let seen = self.world.send(at, packet.clone(), Offload::NONE);
        let reason = changed(before, &self.world);
        self.catch_up(&order, met.as_ref());
        self.must_be_fast(met.as_ref(), &seen);
        let expected = self.reference.expect(at, &packet);
        self.judge(at, packet, expected, seen, reason, 1);
    }

    fn judge(
        &mut self,
        at: &str,
        packet: Packet,
        expected: Expected,
        mut seen: Vec<Seen>,
        reason: Option<String>,
        parts: u64,
    ) {
        let key = Tuple::of(at, &packet);
        self.sent.push((at.to_owned(), packet.clone()));
        let told = format!("{packet:?} at {at}: {expected:?}, but {seen:?} {reason:?}");
        let (n, way) = match expected {
            Expected::Drop(expected) => {
                assert_eq!(reason.as_deref(), Some(expected), "{told}");
                // At most it is told why.
                for seen in seen {
                    assert_eq!(
                        (seen.at.as_str(), seen.packet.dst),
                        (at, packet.src),
                        "{told}"
                    );
                    assert!(matches!(
                        seen.packet.body,
                        Body::Icmp { kind: 3 | 11, .. } | Body::Tcp { .. }
                    ));
                }
                return;
            }
            Expected::Answered => {
                assert_eq!(reason, None, "{told}");
                assert_eq!(at_port(at, seen), packet.answer(0), "{told}");
                return;
            }
            Expected::New(plan) => {
                if let Some(reason) = reason {
                    self.reference.refused(&plan, &key, &reason);
                    return;
                }
                assert_eq!(seen.len(), 1, "{told}");
                let out = &seen[0];
                self.reference.opened(*plan, &key, &out.at, &out.packet);
                (self.reference.sessions.len() - 1, 0)
            }
            Expected::Known(n, way) => (n, way),
        };
        assert_eq!((reason, seen.len()), (None, 1), "{told}");
        let now = self.now();
        self.reference.passed(n, way, &packet, parts, now);
        let out = seen.remove(0);
        let session = &self.reference.sessions[n];
        assert_eq!(
            Tuple::of(&out.at, &out.packet),
            session.leaves(way),
            "{told}"
        );
        assert_eq!(
            out.packet.ttl,
            packet.ttl - session.plan().routed as u8,
            "{told}"
        );
        assert_eq!(out.packet.data(), packet.data());
        assert_eq!(out.packet.flags(), packet.flags());
        self.seen.push((out.at, out.packet));
    }

    /// The same in fragments, in any order.
    fn send_parts(&mut self, at: &str, packet: Packet) {
        // An identification that no earlier one had.
        let packet = packet.len(60).id(self.sent.len() as u16 + 2000);
        let (order, met) = (self.keys(), self.session_of(&Tuple::of(at, &packet)));
        let mut parts = packet.fragments(24);
        let turn = self.sent.len() % parts.len();
        parts.rotate_left(turn);
        let count = parts.len() as u64;
        let before = self.world.drops();
        let mut seen = Vec::new();
        for part in parts {
            seen.extend(self.world.send(at, part, Offload::NONE));
        }
        let dropped = changed_all(before, &self.world);
        self.catch_up(&order, met.as_ref());
        self.must_be_fast(met.as_ref(), &[]);
        let expected = self.reference.expect(at, &packet);
        let answered = matches!(expected, Expected::Answered);
        // A ping to the gateway itself is not put together.
        if answered || matches!(expected, Expected::Drop(_)) {
            let told = format!("{packet:?} at {at}: {expected:?}, but {seen:?} {dropped:?}");
            self.sent.push((at.to_owned(), packet));
            assert!(!dropped.is_empty(), "{told}");
            if let Expected::Drop(reason) = expected {
                assert!(dropped.iter().any(|(r, _)| r == reason), "{told}");
            }
            assert_eq!(dropped.iter().map(|(_, n)| n).sum::<u64>(), count, "{told}");
            return;
        }
        if seen.is_empty() {
            let first = dropped.iter().find(|(r, _)| r != "fragment_timeout");
            let reason = first.map(|(reason, _)| reason.clone());
            return self.judge(at, packet, expected, seen, reason, count);
        }
        assert_eq!(dropped, []);
        let fast = seen.iter().any(|s| s.fast);
        let port = seen[0].at.clone();
        assert!(!fast && seen.iter().all(|s| s.at == port));
        let whole = reassemble(seen.into_iter().map(|s| s.packet).collect());
        let seen = Seen {
            at: port,
            packet: whole,
            offload: Offload::NONE,
            fast,
        };
        // Of the parts only the first one has flags: they count once.
        self.judge(at, packet, expected, vec![seen], None, count);
    }

    fn error(&mut self, n: usize, end: bool) {
        let Some((at, packet)) = pick(&self.seen, n) else {
            return;
        };
        let from = match end {
            true => packet.dst,
            false if at == "wan" => ip("192.0.2.1"),
            false => ip("10.0.1.66"),
        };
        let error = packet.error(&from.to_string(), 3, 3, 0, 64);
        let answers = Tuple::of(&at, &packet).reverse(&at);
        let (order, met) = (self.keys(), self.session_of(&answers));
        let before = self.world.drops();
        let seen = self.world.send(&at, error, Offload::NONE);
        let reason = changed(before, &self.world);
        self.catch_up(&order, met.as_ref());
        let expected = self.reference.expect_error(&at, from, &packet);
        if !matches!(expected, Err("spoofed")) {
            self.must_be_fast(met.as_ref(), &[]);
        }
        match expected {
            Err(expected) => {
                assert_eq!((seen.len(), reason.as_deref()), (0, Some(expected)));
            }
            Ok((src, key)) => {
                let told = at_port(&key.at, seen);
                assert_eq!((told.src, told.dst), (src, key.src));
                assert_eq!(Tuple::of(&key.at, &told.quoted()), key);
            }
        }
    }

    /// After all sessions have ended nothing is left.
    fn drain(&mut self) {
        self.world.seconds(1000);
        assert_eq!(self.world.sessions(), []);
        assert_eq!(self.world.flows(), []);
        assert!(
            self.world
                .stats()
                .eips
                .iter()
                .all(|e| e.ports_used == [0, 0, 0] && e.sessions == 0)
        );
        self.world.engine.check();
    }
}

fn at_port(port: &str, seen: Vec<Seen>) -> Packet {
    at(port, seen)
}

fn valid(genes: &[u8], closed: bool) -> model::Config {
    let mut config = genes::config(genes);
    for gateway in config.nat_gateways.iter_mut().filter(|_| closed) {
        gateway.filtering = Filtering::AddressAndPortDependent;
    }
    let problems = model::validate::check(&config);
    assert!(problems.is_empty(), "{problems:#?}");
    config
}

fn port_name(n: usize) -> String {
    match n % 12 {
        n @ 0..=8 => format!("v{}i{}", n / 3, n % 3),
        _ => "wan".into(),
    }
}

fn tcp_flags(n: u8) -> u8 {
    [SYN, SYN | ACK, ACK, ACK, FIN | ACK, RST, RST | ACK, FIN][usize::from(n) % 8]
}

fn pick<T: Clone>(all: &[T], n: usize) -> Option<T> {
    // Rather one of the last ones.
    let recent = &all[all.len().saturating_sub(20)..];
    (!recent.is_empty()).then(|| recent[n % recent.len()].clone())
}

fn changed_all(
    before: std::collections::BTreeMap<String, u64>,
    world: &World,
) -> Vec<(String, u64)> {
    let old = |reason: &str| before.get(reason).copied().unwrap_or(0);
    let after = world.drops().into_iter();
    after
        .map(|(reason, n)| (reason.clone(), n - old(&reason)))
        .filter(|&(_, n)| n > 0)
        .collect()
}

fn changed(before: std::collections::BTreeMap<String, u64>, world: &World) -> Option<String> {
    let mut all = changed_all(before, world);
    assert!(
        all.len() <= 1 && all.iter().all(|(_, n)| *n == 1),
        "{all:?}"
    );
    all.pop().map(|(reason, _)| reason)
}

/// Genes are mostly zero: the simplest choice, which is the one that works.
fn genes() -> impl Strategy<Value = Vec<u8>> {
    let gene = prop_oneof![2 => Just(0u8), 1 => any::<u8>()];
    proptest::collection::vec(gene, GENES)
}

/// When the engine decides again about sessions, and whether no strangers are let in: with them it is always at once.
fn paces() -> impl Strategy<Value = (Pace, bool)> {
    prop_oneof![
        1 => Just((Pace::AtOnce, false)),
        1 => Just((Pace::Lazy, false)),
        2 => Just((Pace::Lazy, true)),
    ]
}

/// So many cases, unless `PROPTEST_CASES` says otherwise.
fn cases(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: wanted.and_then(|n| n.parse().ok()).unwrap_or(usual),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn the_engine_does_what_the_lists_say(
        genes in genes(),
        (pace, closed) in paces(),
        ops in proptest::collection::vec(op(), 1..120)
    ) {
        let mut test = Test::new(genes, pace, closed);
        for op in &ops {
            test.run(op);
        }
        test.drain();
    }
}
