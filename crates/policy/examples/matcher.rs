//! What a check of policies costs, and what compiling them does.
//!
//! `cargo run --release -p policy --example matcher [SHAPE]` compiles 10 to 100,000 policies of several shapes and asks them about
//! sessions, some of which a policy means and some of which none does: time of a check (the mean over many different
//! sessions), time to compile, memory.

use ipnet::Ipv4Net;
use model::domain::Pattern;
use model::{
    AddressBook, App, BookContent, ControlPolicy, DomainResolve, EngineMode, Id, PolicyAction,
    PolicyDestination, PolicyPorts, PolicySource, RepeatDays, Validity,
};
use policy::{CloudServices, Facts, Identity, Policies, Subject, Threats};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers that look random and are the same each time (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(end)) >> 32) as u32
    }
}

/// What there is to ask.
struct Set {
    policies: Vec<Arc<ControlPolicy>>,
    books: Vec<AddressBook>,
    sessions: Vec<Session>,
}

struct Session {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    port: u16,
    app: App,
    name: Option<String>,
}

type Shape = fn(usize, &mut Random) -> Set;

fn net(address: u32, len: u8) -> Ipv4Net {
    Ipv4Net::new(address.into(), len).unwrap().trunc()
}

fn id(text: String) -> Id {
    text.parse().unwrap()
}

fn policy(n: usize, source: Ipv4Net, destination: Ipv4Net) -> ControlPolicy {
    ControlPolicy {
        id: id(format!("p{n}")),
        description: String::new(),
        source: PolicySource::Net(source),
        destination: PolicyDestination::Net(destination),
        protocol: Some(6),
        ports: PolicyPorts::Range(443..=443),
        applications: Vec::new(),
        action: PolicyAction::Accept,
        enabled: true,
        validity: Validity::Permanent,
        resolve: DomainResolve::Fqdn,
    }
}

fn session(source: u32, destination: u32, port: u16) -> Session {
    Session {
        source: source.into(),
        destination: destination.into(),
        port,
        app: App::Https,
        name: None,
    }
}

fn set(policies: impl Iterator<Item = ControlPolicy>, sessions: Vec<Session>) -> Set {
    Set {
        policies: policies.map(Arc::new).collect(),
        books: Vec::new(),
        sessions,
    }
}

const SESSIONS: usize = 4_096;
const VPC: u32 = 0x0a00_0000;

/// From a host to a host; half of the sessions are those of some policy.
fn pairs(len: usize, random: &mut Random) -> Set {
    let ends: Vec<_> = (0..len)
        .map(|_| (VPC | random.below(1 << 24), random.next()))
        .collect();
    let sessions = (0..SESSIONS).map(|n| match (n % 2, ends[random.below(len as u32) as usize]) {
        (0, (source, destination)) => session(source, destination, 443),
        _ => session(VPC | random.below(1 << 24), random.next(), 443),
    });
    let sessions = sessions.collect();
    let policies = ends.iter().enumerate();
    set(
        policies.map(|(n, &(from, to))| policy(n, net(from, 32), net(to, 32))),
        sessions,
    )
}

/// Networks within networks on both sides, ports and protocols of all kinds.
fn nested(len: usize, random: &mut Random) -> Set {
    let policies: Vec<_> = (0..len)
        .map(|n| {
            let source = net(VPC | random.below(1 << 24), 8 + random.below(25) as u8);
            let destination = net(
                (random.below(1 << 20) << 12) | random.below(1 << 12),
                4 + random.below(29) as u8,
            );
            let mut policy = policy(n, source, destination);
            policy.protocol = [None, Some(6), Some(17)][random.below(3) as usize];
            let first = random.below(60_000) as u16;
            policy.ports = match random.below(3) {
                0 => PolicyPorts::Range(first..=first + random.below(5_000) as u16),
                _ => PolicyPorts::Range(first..=first),
            };
            policy
        })
        .collect();
    let sessions = (0..SESSIONS)
        .map(|_| {
            session(
                VPC | random.below(1 << 24),
                random.next(),
                random.below(65_536) as u16,
            )
        })
        .collect();
    set(policies.into_iter(), sessions)
}

/// The worst made up: every session is meant by very many policies by its source, by very many by its destination, and by
/// none by both.
fn apart(len: usize, random: &mut Random) -> Set {
    let policies = (0..len).map(|n| {
        let from = net(VPC, 8 + (n / 2 % 8) as u8);
        let to = net(0xc000_0000 + ((n as u32) << 8), 24);
        match n % 2 {
            0 => policy(n, from, to),
            _ => policy(
                n,
                net(0xac10_0000 + n as u32, 32),
                net(0, (n / 2 % 8) as u8),
            ),
        }
    });
    let sessions = (0..SESSIONS)
        .map(|_| session(VPC | random.below(1 << 14), random.below(1 << 24), 443))
        .collect();
    set(policies, sessions)
}

/// From everywhere to a domain, half of them below one; sessions with a name.
fn domains(len: usize, random: &mut Random) -> Set {
    let policies = (0..len).map(|n| {
        let mut policy = policy(n, Ipv4Net::default(), Ipv4Net::default());
        let name = format!("site-{}.example.com", n / 2);
        policy.destination = PolicyDestination::Domain(match n % 2 {
            0 => Pattern::Exact(name),
            _ => Pattern::Below(name),
        });
        policy.applications = vec![App::Http, App::Https];
        policy
    });
    let sessions = (0..SESSIONS).map(|n| {
        let prefix = ["", "www.", "other."][n % 3];
        let name = format!("{prefix}site-{}.example.com", random.below(len as u32));
        let source = VPC | random.below(1 << 24);
        Session {
            name: Some(name),
            ..session(source, random.next(), 443)
        }
    });
    let sessions = sessions.collect();
    set(policies, sessions)
}

/// Books of 2,000 networks and of 2,000 domains, many policies by each, in and out of season.
fn books(len: usize, random: &mut Random) -> Set {
    let count = (len / 100).clamp(2, 50);
    let mut books = Vec::new();
    for n in 0..count {
        let nets =
            (0..2_000).map(|_| net(VPC | random.below(1 << 24), 20 + random.below(13) as u8));
        let domains = (0..2_000).map(|m| Pattern::Exact(format!("{}.b{n}.test", m)));
        for (kind, content) in [
            ("net", BookContent::Ip(nets.collect())),
            ("domain", BookContent::Domain(domains.collect())),
        ] {
            books.push(AddressBook {
                id: id(format!("{kind}-{n}")),
                name: format!("{kind} {n}"),
                content: Arc::new(content),
            });
        }
    }
    let policies = (0..len).map(|n| {
        let mut policy = policy(
            n,
            Ipv4Net::default(),
            net(0xc000_0000 + ((n as u32) << 8), 24),
        );
        policy.source = PolicySource::Book(id(format!("net-{}", n % count)));
        if n % 2 == 1 {
            policy.destination = PolicyDestination::Book(id(format!("domain-{}", n / 2 % count)));
        }
        if n % 5 == 0 {
            policy.validity = Validity::Repeated {
                from: None,
                until: None,
                days: RepeatDays::Weekly(vec![(n % 7) as u8]),
                start: 0,
                end: 720,
                offset: model::Offset::Minutes(480),
            };
        }
        policy
    });
    let policies = policies.map(Arc::new).collect();
    let sessions = (0..SESSIONS).map(|_| Session {
        name: Some(format!(
            "{}.b{}.test",
            random.below(2_000),
            random.below(60)
        )),
        ..session(VPC | random.below(1 << 24), random.next(), 443)
    });
    Set {
        policies,
        books,
        sessions: sessions.collect(),
    }
}

/// The mean time of a check. Sessions are asked about in small groups, and of each group the best of some rounds counts:
/// what else the machine does is left out, and what the other groups do to the caches is not.
fn measure(policies: &Policies, sessions: &[Session], pending: bool) -> Duration {
    let (threats, services) = (Threats::default(), CloudServices::default());
    let facts = Facts {
        names: &(),
        locations: &(),
        threats: &threats,
        services: &services,
        now: 1_800_000_000,
    };
    let groups = sessions.chunks(64);
    let mut best = vec![Duration::MAX; groups.len()];
    for _ in 0..16 {
        for (sessions, best) in groups.clone().zip(&mut best) {
            let begin = Instant::now();
            for it in sessions {
                let subject = Subject {
                    source: it.source,
                    destination: it.destination,
                    protocol: 6,
                    port: Some(it.port),
                    identity: match pending {
                        true => Identity::Pending(None),
                        false => Identity::Known {
                            app: it.app,
                            domain: it.name.as_deref(),
                        },
                    },
                };
                let verdict =
                    policies.check(&subject, &facts, EngineMode::Loose, PolicyAction::Drop);
                black_box(verdict);
            }
            *best = begin.elapsed().min(*best);
        }
    }
    best.iter().sum::<Duration>() / sessions.len() as u32
}

fn main() {
    let shapes: [(&str, Shape); 5] = [
        ("pairs of hosts", pairs),
        ("nested networks", nested),
        ("the worst made up", apart),
        ("domains", domains),
        ("books, schedules", books),
    ];
    let only = std::env::args().nth(1).unwrap_or_default();
    println!("shape               policies   first packet    identified     compile      memory");
    for (name, shape) in shapes.into_iter().filter(|it| it.0.contains(&only)) {
        for len in [10, 1_000, 10_000, 100_000] {
            let set = shape(len, &mut Random(len as u64));
            // The best of a few: what else the machine does is left out.
            let compiled = (0..4).map(|_| {
                let begin = Instant::now();
                let policies = Policies::compile(&set.policies, &set.books);
                (begin.elapsed(), policies)
            });
            let (compile, policies) = compiled.min_by_key(|it| it.0).expect("four");
            let pending = measure(&policies, &set.sessions, true);
            let known = measure(&policies, &set.sessions, false);
            println!(
                "{name:18} {len:9} {:11} ns {:10} ns {:8.1} ms {:8.1} MB",
                pending.as_nanos(),
                known.as_nanos(),
                compile.as_secs_f64() * 1e3,
                policies.bytes() as f64 / 1e6
            );
        }
    }
}
