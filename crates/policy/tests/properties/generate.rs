//! Policies, books and sessions of few values, so that they meet.

use ipnet::Ipv4Net;
use model::domain::Pattern;
use model::{
    AddressBook, App, BookContent, CloudService, ControlPolicy, DomainResolve, Offset,
    PolicyAction, PolicyDestination, PolicyPorts, PolicySource, RepeatDays, Validity, Zone,
};
use policy::{CloudServices, Identity, Indicator, Subject, Threats};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use std::net::Ipv4Addr;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

/// How many policies are many: more than a page of the matcher's sets.
pub const LONG: usize = 9_000;

#[derive(Debug)]
pub struct Case {
    pub policies: Vec<Arc<ControlPolicy>>,
    pub books: Vec<AddressBook>,
    pub threats: Threats,
    /// Of which books, and which networks.
    pub services: Vec<(String, Vec<Ipv4Net>)>,
    pub known_services: CloudServices,
    /// For whom (`None`: all), which address, which name.
    pub names: Vec<(Option<Ipv4Addr>, Ipv4Addr, String)>,
    pub now: u64,
    probes: Vec<Probe>,
}

type Probe = (Ipv4Addr, Ipv4Addr, u8, Option<u16>, App, Option<String>);

pub fn case(policies: Range<usize>) -> impl Strategy<Value = Case> {
    let books = vec(content(), 6).prop_map(|contents| {
        let books = contents.into_iter().enumerate();
        let books = books.map(|(n, content)| AddressBook {
            id: format!("b{n}").parse().unwrap(),
            name: format!("book {n}"),
            content: Arc::new(content),
        });
        books.collect::<Vec<_>>()
    });
    let indicator = prop_oneof![
        net().prop_map(Indicator::Net),
        name().prop_map(Indicator::Domain),
        name().prop_map(Indicator::Host)
    ];
    let threats = vec((indicator, category()), 0..4).prop_map(Threats::new);
    // Some are of books that are no cloud services, and some of books that there are not.
    let services = (0usize..8).prop_map(|n| format!("b{n}"));
    let services = btree_map(services, vec(net(), 0..4), 0..6);
    let whose = proptest::option::of(address());
    let probe = (
        address(),
        address(),
        protocol(),
        proptest::option::of(port()),
        app(),
        proptest::option::of(name()),
    );
    (
        vec(policy().prop_map(Arc::new), policies),
        books,
        (threats, services),
        vec((whose, address(), name()), 0..6),
        0u64..200_000_000,
        vec(probe, 12),
    )
        .prop_map(
            |(policies, books, (threats, services), names, now, probes)| Case {
                policies,
                books,
                threats,
                known_services: CloudServices::new(services.clone()),
                services: services.into_iter().collect(),
                names,
                now,
                probes,
            },
        )
}

/// The sessions that are asked about, each with all that may be known of it.
pub fn subjects(case: &Case) -> Vec<Subject<'_>> {
    let of = |probe: &'_ Probe| (probe.0, probe.1, probe.2, probe.3);
    let mut subjects = Vec::new();
    for probe in &case.probes {
        let (source, destination, protocol, port) = of(probe);
        let (app, domain) = (probe.4, probe.5.as_deref());
        for identity in [
            Identity::Pending(None),
            Identity::Pending(Some(app)),
            Identity::Known { app, domain },
            Identity::Nameless(app),
            Identity::Unknown,
        ] {
            subjects.push(Subject {
                source,
                destination,
                protocol,
                port,
                identity,
            });
        }
    }
    subjects
}

/// A policy about everything.
pub fn plain() -> ControlPolicy {
    ControlPolicy {
        id: "p".parse().unwrap(),
        description: String::new(),
        source: PolicySource::Net(Ipv4Net::default()),
        destination: PolicyDestination::Net(Ipv4Net::default()),
        protocol: None,
        ports: PolicyPorts::Any,
        applications: Vec::new(),
        action: PolicyAction::Accept,
        enabled: true,
        validity: Validity::Permanent,
        resolve: DomainResolve::Fqdn,
    }
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    let number = prop_oneof![0x0a00_0000u32..0x0a00_0010, 0u32..4, Just(u32::MAX)];
    number.prop_map(Ipv4Addr::from)
}

fn net() -> impl Strategy<Value = Ipv4Net> {
    let len = prop_oneof![Just(0u8), Just(8), 26u8..=32];
    (address(), len).prop_map(|(address, len)| Ipv4Net::new(address, len).unwrap())
}

fn name() -> impl Strategy<Value = String> {
    select(vec![
        "a.test",
        "b.test",
        "x.a.test",
        "y.x.a.test",
        "test",
        "ba.test",
    ])
    .prop_map(String::from)
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        4 => name().prop_map(Pattern::Exact),
        4 => name().prop_map(Pattern::Below),
        1 => Just(Pattern::Any)
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![78u16..84, Just(443), Just(1), Just(65_535)]
}

fn ports() -> impl Strategy<Value = RangeInclusive<u16>> {
    (port(), port()).prop_map(|(a, b)| a.min(b)..=a.max(b))
}

fn protocol() -> impl Strategy<Value = u8> {
    select(vec![1, 6, 6, 6, 17])
}

fn app() -> impl Strategy<Value = App> {
    select(vec![App::Http, App::Https, App::Ssh, App::Quic])
}

fn category() -> impl Strategy<Value = String> {
    select(vec!["c1", "c2"]).prop_map(String::from)
}

fn content() -> impl Strategy<Value = BookContent> {
    prop_oneof![
        3 => vec(net(), 0..6).prop_map(BookContent::Ip),
        1 => Just(BookContent::Ipv6(Vec::new())),
        3 => vec(pattern(), 0..4).prop_map(BookContent::Domain),
        2 => vec(ports(), 0..3).prop_map(BookContent::Port),
        1 => vec(address(), 0..4).prop_map(BookContent::Tag),
        1 => category().prop_map(|it| BookContent::Threat(it.parse().unwrap())),
        2 => Just(BookContent::Cloud(CloudService {
            location: "/ranges".into(),
            services: Vec::new(),
            regions: Vec::new(),
            refresh: Duration::from_secs(60),
        }))
    ]
}

fn book() -> impl Strategy<Value = model::Id> {
    // One of them is not there.
    (0..7).prop_map(|n| format!("b{n}").parse().unwrap())
}

fn codes() -> impl Strategy<Value = Vec<String>> {
    let code = select(vec!["CN", "US", "US-CA", "FR"]).prop_map(String::from);
    vec(code, 0..3)
}

fn validity() -> impl Strategy<Value = Validity> {
    let moment = || proptest::option::of(0u64..200_000_000);
    let days = prop_oneof![
        Just(RepeatDays::Daily),
        vec(0u8..7, 0..4).prop_map(RepeatDays::Weekly),
        vec(1u8..32, 0..4).prop_map(RepeatDays::Monthly)
    ];
    let repeated = (
        moment(),
        moment(),
        days,
        0u16..1_441,
        0u16..1_441,
        prop_oneof![
            3 => (-720i16..840).prop_map(Offset::Minutes),
            1 => Just(Offset::Zone(Zone::named("Asia/Shanghai").unwrap())),
        ],
    );
    prop_oneof![
        8 => Just(Validity::Permanent),
        1 => (0u64..200_000_000, 0u64..200_000_000).prop_map(|(from, until)| Validity::Once { from, until }),
        2 => repeated.prop_map(|(from, until, days, start, end, offset)| Validity::Repeated {
            from, until, days, start, end, offset
        })
    ]
}

fn policy() -> impl Strategy<Value = ControlPolicy> {
    let source = prop_oneof![
        4 => net().prop_map(PolicySource::Net),
        2 => book().prop_map(PolicySource::Book),
        1 => codes().prop_map(PolicySource::Location)
    ];
    let destination = prop_oneof![
        3 => net().prop_map(PolicyDestination::Net),
        3 => book().prop_map(PolicyDestination::Book),
        3 => pattern().prop_map(PolicyDestination::Domain),
        1 => codes().prop_map(PolicyDestination::Location)
    ];
    let ports = prop_oneof![
        3 => Just(PolicyPorts::Any),
        2 => ports().prop_map(PolicyPorts::Range),
        1 => book().prop_map(PolicyPorts::Book)
    ];
    let action = select(vec![
        PolicyAction::Accept,
        PolicyAction::Drop,
        PolicyAction::Log,
    ]);
    let resolve = select(vec![
        DomainResolve::Fqdn,
        DomainResolve::Dns,
        DomainResolve::Both,
    ]);
    let applications = prop_oneof![3 => Just(Vec::new()), 1 => vec(app(), 1..3)];
    let shape = (source, destination, proptest::option::of(protocol()), ports);
    let rest = (
        applications,
        action,
        prop::bool::weighted(0.9),
        validity(),
        resolve,
    );
    (shape, rest).prop_map(
        |(
            (source, destination, protocol, ports),
            (applications, action, enabled, validity, resolve),
        )| {
            ControlPolicy {
                source,
                destination,
                protocol,
                ports,
                applications,
                action,
                enabled,
                validity,
                resolve,
                ..plain()
            }
        },
    )
}
