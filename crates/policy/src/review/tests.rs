use super::*;
use ipnet::Ipv4Net;
use model::{App, CloudService};
use proptest::prelude::*;
use std::time::Instant;

fn plain(id: &str) -> ControlPolicy {
    ControlPolicy {
        id: id.parse().unwrap(),
        description: String::new(),
        source: PolicySource::Net("10.0.0.0/8".parse().unwrap()),
        destination: PolicyDestination::Net("192.0.2.0/24".parse().unwrap()),
        protocol: Some(6),
        ports: PolicyPorts::Range(443..=443),
        applications: Vec::new(),
        action: PolicyAction::Accept,
        enabled: true,
        validity: Validity::Permanent,
        resolve: DomainResolve::Fqdn,
    }
}

fn with(id: &str, change: impl FnOnce(&mut ControlPolicy)) -> ControlPolicy {
    let mut policy = plain(id);
    change(&mut policy);
    policy
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn domain(text: &str) -> PolicyDestination {
    PolicyDestination::Domain(text.parse().unwrap())
}

fn book(id: &str, content: BookContent) -> AddressBook {
    AddressBook {
        id: id.parse().unwrap(),
        name: id.into(),
        content: Arc::new(content),
    }
}

fn named(id: &str) -> Id {
    id.parse().unwrap()
}

/// What is found, as `flaw policy other`.
fn found(policies: Vec<ControlPolicy>, books: &[AddressBook]) -> Vec<String> {
    found_with(policies, books, &Resolved::default(), Policy::Drop)
}

fn found_with(
    policies: Vec<ControlPolicy>,
    books: &[AddressBook],
    resolved: &Resolved,
    default_action: Policy,
) -> Vec<String> {
    let policies: Vec<_> = policies.into_iter().map(Arc::new).collect();
    let findings = review(&Review {
        policies: &policies,
        books,
        default_action,
        hits: &|id| (*id == named("unused")).then_some(0),
        resolved,
    });
    let text = |it: &Finding| {
        assert!(it.explanation.ends_with('.'));
        let ids = it
            .policies
            .iter()
            .inspect(|id| assert!(it.explanation.contains(id.as_str())));
        ids.fold(it.flaw.to_string(), |all, id| format!("{all} {id}"))
    };
    findings.iter().map(text).collect()
}

#[test]
fn what_is_never_reached() {
    let log = |it: &mut ControlPolicy| it.action = PolicyAction::Drop;
    let cases: Vec<(ControlPolicy, ControlPolicy, Option<&str>)> = vec![
        (plain("a"), plain("b"), Some("duplicate b a")),
        (plain("a"), with("b", log), Some("conflicting b a")),
        (
            plain("a"),
            with("b", |it| it.source = PolicySource::Net(net("10.1.0.0/16"))),
            Some("shadowed b a"),
        ),
        (
            with("a", |it| it.source = PolicySource::Net(net("10.1.0.0/16"))),
            plain("b"),
            None,
        ),
        (plain("a"), with("b", |it| it.protocol = None), None),
        (
            with("a", |it| it.protocol = None),
            plain("b"),
            Some("shadowed b a"),
        ),
        (
            plain("a"),
            with("b", |it| it.ports = PolicyPorts::Any),
            None,
        ),
        (
            with("a", |it| it.ports = PolicyPorts::Range(0..=65_535)),
            with("b", |it| it.ports = PolicyPorts::Any),
            Some("duplicate b a"),
        ),
        (
            with("a", |it| {
                (it.protocol, it.ports) = (None, PolicyPorts::Range(0..=65_535));
            }),
            with("b", |it| (it.protocol, it.ports) = (None, PolicyPorts::Any)),
            None,
        ),
        (
            with("a", |it| it.applications = vec![App::Http]),
            plain("b"),
            None,
        ),
        (with("a", |it| it.enabled = false), plain("b"), None),
        (
            with("a", |it| it.validity = Validity::Once { from: 0, until: 1 }),
            plain("b"),
            None,
        ),
        (
            plain("a"),
            with("b", |it| it.validity = Validity::Once { from: 0, until: 1 }),
            Some("shadowed b a"),
        ),
        (
            with("a", |it| it.destination = domain("*.x.test")),
            with("b", |it| it.destination = domain("a.x.test")),
            Some("shadowed b a"),
        ),
        (
            with("a", |it| it.destination = domain("*.x.test")),
            with("b", |it| it.destination = domain("x.test")),
            None,
        ),
        (
            with("a", |it| it.destination = domain("*")),
            with("b", |it| it.destination = domain("x.test")),
            Some("shadowed b a"),
        ),
        (
            plain("a"),
            with("b", |it| it.destination = domain("x.test")),
            None,
        ),
        (
            with("a", |it| it.destination = domain("x.test")),
            plain("b"),
            None,
        ),
        (
            with("a", |it| {
                it.destination = PolicyDestination::Location(vec!["CN".into(), "US".into()])
            }),
            with("b", |it| {
                it.destination = PolicyDestination::Location(vec!["US".into()])
            }),
            Some("shadowed b a"),
        ),
        (
            with("a", |it| {
                it.destination = PolicyDestination::Book(named("nets"))
            }),
            plain("b"),
            Some("shadowed b a"),
        ),
        (
            plain("a"),
            with("b", |it| {
                it.destination = PolicyDestination::Book(named("nets"))
            }),
            None,
        ),
        (
            with("a", |it| {
                it.destination = PolicyDestination::Book(named("names"))
            }),
            with("b", |it| it.destination = domain("b.y.test")),
            Some("shadowed b a"),
        ),
        (
            with("a", |it| it.destination = domain("*.y.test")),
            with("b", |it| {
                it.destination = PolicyDestination::Book(named("names"))
            }),
            None,
        ),
        (
            with("a", |it| {
                it.destination = PolicyDestination::Book(named("names"))
            }),
            with("b", |it| {
                it.destination = PolicyDestination::Book(named("fewer"))
            }),
            Some("shadowed b a"),
        ),
        (
            with("a", |it| {
                it.destination = domain("x.test");
                it.resolve = DomainResolve::Both;
            }),
            with("b", |it| {
                it.destination = domain("x.test");
                it.resolve = DomainResolve::Dns;
            }),
            Some("shadowed b a"),
        ),
        (
            with("a", |it| it.destination = domain("x.test")),
            with("b", |it| {
                it.destination = domain("x.test");
                it.resolve = DomainResolve::Dns;
            }),
            None,
        ),
        (
            with("a", |it| {
                it.destination = PolicyDestination::Book(named("cloud"))
            }),
            with("b", |it| {
                it.destination = PolicyDestination::Book(named("cloud"));
                it.ports = PolicyPorts::Range(80..=80);
            }),
            None,
        ),
        (
            with("a", |it| {
                it.destination = PolicyDestination::Book(named("cloud"));
                it.ports = PolicyPorts::Any;
            }),
            with("b", |it| {
                it.destination = PolicyDestination::Book(named("cloud"))
            }),
            Some("shadowed b a"),
        ),
        (
            with("a", |it| {
                it.destination = PolicyDestination::Book(named("other cloud"))
            }),
            with("b", |it| {
                it.destination = PolicyDestination::Book(named("cloud"))
            }),
            None,
        ),
    ];
    let cloud = || {
        BookContent::Cloud(CloudService {
            location: "/ranges".into(),
            services: Vec::new(),
            regions: Vec::new(),
            refresh: std::time::Duration::from_secs(60),
        })
    };
    let patterns =
        |all: &[&str]| BookContent::Domain(all.iter().map(|it| it.parse().unwrap()).collect());
    let books = [
        book(
            "nets",
            BookContent::Ip(vec![
                net("192.0.2.128/25"),
                net("192.0.2.0/25"),
                net("198.51.100.0/24"),
            ]),
        ),
        book("cloud", cloud()),
        book("other cloud", cloud()),
        book("names", patterns(&["x.test", "*.y.test"])),
        book("fewer", patterns(&["z.y.test", "x.test"])),
    ];
    for (n, (a, b, expected)) in cases.into_iter().enumerate() {
        let found = found(vec![a, b], &books);
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "case {n}");
    }
}

#[test]
fn what_several_cover_together() {
    let from = |id: &str, source: &str| {
        with(id, |it| {
            it.source = PolicySource::Net(source.parse().unwrap())
        })
    };
    let ports = |id: &str, range| with(id, |it| it.ports = PolicyPorts::Range(range));
    let cases: Vec<(Vec<ControlPolicy>, Option<&str>)> = vec![
        (
            vec![
                from("a", "10.0.0.0/9"),
                from("b", "10.128.0.0/9"),
                plain("c"),
            ],
            Some("shadowed c a b"),
        ),
        (
            vec![
                from("a", "10.0.0.0/9"),
                from("b", "10.128.0.0/10"),
                plain("c"),
            ],
            None,
        ),
        (
            vec![
                from("a", "10.0.0.0/9"),
                with("b", |it| {
                    it.source = PolicySource::Net(net("10.128.0.0/9"));
                    it.action = PolicyAction::Drop;
                }),
                plain("c"),
            ],
            Some("conflicting c a b"),
        ),
        // All ports of TCP; what has none is not of TCP.
        (
            vec![
                ports("a", 0..=1_023),
                ports("b", 1_024..=65_535),
                with("c", |it| it.ports = PolicyPorts::Any),
            ],
            Some("shadowed c a b"),
        ),
        (
            vec![
                ports("a", 0..=1_023),
                ports("b", 1_024..=65_535),
                with("c", |it| (it.protocol, it.ports) = (None, PolicyPorts::Any)),
            ],
            None,
        ),
        // Of applications, too, and with a name.
        (
            vec![
                with("a", |it| it.applications = vec![App::Http]),
                with("b", |it| it.applications = vec![App::Ssh, App::Https]),
                with("c", |it| it.applications = vec![App::Https, App::Http]),
            ],
            Some("shadowed c a b"),
        ),
        (
            vec![
                with("a", |it| it.applications = vec![App::Http]),
                with("b", |it| it.applications = vec![App::Https]),
                plain("c"),
            ],
            None,
        ),
        (
            vec![
                with("a", |it| {
                    it.source = PolicySource::Net(net("10.0.0.0/9"));
                    it.destination = domain("*.x.test");
                }),
                with("b", |it| {
                    it.source = PolicySource::Net(net("10.128.0.0/9"));
                    it.destination = PolicyDestination::Net(Ipv4Net::default());
                }),
                with("c", |it| it.destination = domain("a.x.test")),
            ],
            Some("shadowed c a b"),
        ),
        (
            vec![
                from("a", "10.0.0.0/9"),
                with("b", |it| {
                    it.source = PolicySource::Net(net("10.128.0.0/9"));
                    it.validity = Validity::Once { from: 0, until: 1 };
                }),
                plain("c"),
            ],
            None,
        ),
    ];
    for (n, (policies, expected)) in cases.into_iter().enumerate() {
        let found = found(policies, &[]);
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "case {n}");
    }
}

/// Policies about few addresses, protocols and ports.
fn small() -> impl Strategy<Value = ControlPolicy> {
    let near = |base: u32| {
        (0u32..8, 29u8..=32)
            .prop_map(move |(n, len)| Ipv4Net::new((base + n).into(), len).unwrap().trunc())
    };
    let ports = prop_oneof![
        2 => Just(PolicyPorts::Any),
        1 => Just(PolicyPorts::Range(0..=65_535)),
        4 => (80u16..84, 0u16..4).prop_map(|(first, more)| PolicyPorts::Range(first..=first + more)),
        1 => Just(PolicyPorts::Range(0..=81)),
        1 => Just(PolicyPorts::Range(82..=65_535)),
    ];
    let apps = prop_oneof![
        4 => Just(vec![]),
        1 => proptest::sample::subsequence(vec![App::Http, App::Https, App::Ssh], 1..=3),
    ];
    let protocol = proptest::sample::select(vec![None, Some(6), Some(6), Some(17), Some(1)]);
    (near(0x0a00_0000), near(0xc000_0200), protocol, ports, apps).prop_map(
        |(source, destination, protocol, ports, applications)| ControlPolicy {
            source: PolicySource::Net(source),
            destination: PolicyDestination::Net(destination),
            protocol,
            ports,
            applications,
            ..plain("p")
        },
    )
}

/// A session: source, destination, protocol, port, and what it was found to be.
type Session = (u32, u32, u8, Option<u16>, Option<App>);

/// The sessions that a small policy means: some of each kind.
fn meant(policy: &ControlPolicy) -> Vec<Session> {
    let (PolicySource::Net(source), PolicyDestination::Net(destination)) =
        (&policy.source, &policy.destination)
    else {
        unreachable!()
    };
    let apps: Vec<Option<App>> = match &policy.applications[..] {
        [] => [None, Some(App::Http), Some(App::Https), Some(App::Ssh)].into(),
        some => some.iter().copied().map(Some).collect(),
    };
    let mut all = Vec::new();
    for protocol in [1, 6, 17, 47u8]
        .into_iter()
        .filter(|it| policy.protocol.is_none_or(|p| p == *it))
    {
        let ports: Vec<Option<u16>> = match (&policy.ports, protocol) {
            (PolicyPorts::Any, 6 | 17) => (0..=1).chain(79..90).chain([65_535]).map(Some).collect(),
            (PolicyPorts::Range(range), 6 | 17) => {
                let some = (0..=1).chain(79..90).chain([65_535]);
                some.filter(|it| range.contains(it)).map(Some).collect()
            }
            (PolicyPorts::Any, _) => vec![None],
            _ => Vec::new(),
        };
        for from in source
            .hosts()
            .map(u32::from)
            .chain([source.network(), source.broadcast()].map(u32::from))
        {
            for to in [destination.network(), destination.broadcast()]
                .map(u32::from)
                .into_iter()
                .chain(destination.hosts().map(u32::from))
            {
                for port in &ports {
                    all.extend(apps.iter().map(|app| (from, to, protocol, *port, *app)));
                }
            }
        }
    }
    all
}

proptest! {
    // Exactly what earlier policies cover, by themselves or together, is found.
    #[test]
    fn what_is_covered_is_found(policies in proptest::collection::vec(small(), 2..12)) {
        let policies: Vec<Arc<ControlPolicy>> = policies.into_iter().enumerate().map(|(n, it)| {
            Arc::new(ControlPolicy { id: named(&format!("p{n}")), ..it })
        }).collect();
        let found = review(&Review {
            policies: &policies,
            books: &[],
            default_action: Policy::Drop,
            hits: &|_| None,
            resolved: &Resolved::default(),
        });
        let never = [Flaw::Duplicate, Flaw::Shadowed, Flaw::Conflicting];
        let found = found.iter().filter(|it| never.contains(&it.flaw)).map(|it| it.policies[0].clone());
        let found: Vec<Id> = found.collect();
        let mut before = std::collections::HashSet::new();
        let mut expected = Vec::new();
        for policy in &policies {
            let means = meant(policy);
            // One that can mean nothing is no question of cover.
            if !means.is_empty() && means.iter().all(|it| before.contains(it)) {
                expected.push(policy.id.clone());
            }
            before.extend(means);
        }
        let no_ports = |id: &Id| {
            let it = policies.iter().find(|it| it.id == *id).unwrap();
            meant(it).is_empty()
        };
        let found: Vec<Id> = found.into_iter().filter(|it| !no_ports(it)).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn what_says_too_much_or_nothing() {
    let anywhere =
        |it: &mut ControlPolicy| it.destination = PolicyDestination::Net(Ipv4Net::default());
    let all = |it: &mut ControlPolicy| {
        anywhere(it);
        it.source = PolicySource::Net(Ipv4Net::default());
        (it.ports, it.protocol) = (PolicyPorts::Any, None);
    };
    let resolved = Resolved::new([("gone.test".into(), vec![])]);
    let policies = vec![
        with("unused", |it| it.ports = PolicyPorts::Range(1..=2)),
        with("ssh", |it| {
            anywhere(it);
            it.ports = PolicyPorts::Range(20..=22);
        }),
        with("empty", |it| {
            it.source = PolicySource::Book(named("nothing"))
        }),
        with("off", |it| {
            it.enabled = false;
            it.source = PolicySource::Book(named("nothing"));
        }),
        with("gone", |it| {
            (it.destination, it.resolve) = (domain("gone.test"), DomainResolve::Dns)
        }),
        with("top", |it| it.destination = domain("*.com")),
        with("broad", |it| {
            anywhere(it);
            it.ports = PolicyPorts::Any;
        }),
        with("rest", |it| {
            all(it);
            it.action = PolicyAction::Drop;
        }),
    ];
    let expected = [
        "never-hit unused",
        "high-risk-port ssh",
        "ineffective empty",
        "invalid-domain gone",
        "invalid-domain top",
        "over-broad broad",
    ];
    let found = |policies, default| found_with(policies, &[], &resolved, default);
    assert_eq!(found(policies.clone(), Policy::Accept), expected);
    let rest = found(policies[..1].to_vec(), Policy::Accept);
    assert_eq!(rest, ["never-hit unused", "default-not-deny"]);
}

// How long it takes is told, not tested: `cargo test --release -p policy -- --ignored --nocapture ten_thousand`.
#[test]
#[ignore = "a measurement"]
fn ten_thousand() {
    let policies: Vec<_> = (0..10_000u32)
        .map(|n| {
            Arc::new(with(&format!("p{n}"), |it| {
                let source = Ipv4Net::new((0x0a00_0000 | (n << 8)).into(), 16 + (n % 17) as u8);
                it.source = PolicySource::Net(source.unwrap());
                it.destination = match n % 3 {
                    0 => PolicyDestination::Net(Ipv4Net::default()),
                    1 => domain(&format!("{}.x.test", n % 100)),
                    _ => PolicyDestination::Net(Ipv4Net::new((n << 16).into(), 24).unwrap()),
                };
                it.ports = PolicyPorts::Range(n as u16..=n as u16);
            }))
        })
        .collect();
    let begin = Instant::now();
    let findings = review(&Review {
        policies: &policies,
        books: &[],
        default_action: Policy::Accept,
        hits: &|_| None,
        resolved: &Resolved::default(),
    });
    println!("{} findings in {:?}", findings.len(), begin.elapsed());
}
