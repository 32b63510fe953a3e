//! Policies and books, taken apart into what the matcher's tables are made of.

use crate::chain::{Builder, Meant};
use crate::sets::{EMPTY, SetId};
use crate::tables::{Addresses, Names, Nets, Ports, Words, net};
use hashbrown::HashMap;
use ipnet::Ipv4Net;
use model::{
    App, BookContent, ControlPolicy, DomainResolve, Id, PolicyDestination, PolicyPorts,
    PolicySource, domain::Pattern,
};
use std::ops::RangeInclusive;

/// Address books by their ids.
pub(crate) type Books<'a> = HashMap<&'a Id, &'a BookContent>;

/// Policies that name the same thing.
type Places = Vec<u32>;

/// What the policies that are enabled say, by field.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    source: Side<'a>,
    destination: Side<'a>,
    by_fqdn: Domains<'a>,
    by_dns: Domains<'a>,
    any_port: Places,
    ranges: Vec<(RangeInclusive<u16>, Meant)>,
    port_books: HashMap<&'a Id, Places>,
    any_protocol: Places,
    protocols: HashMap<u8, Places>,
    any_app: Places,
    apps: HashMap<App, Places>,
}

/// The addresses that policies mean as sources, or as destinations.
#[derive(Default)]
struct Side<'a> {
    nets: Nets,
    books: HashMap<&'a Id, Places>,
    codes: HashMap<&'a str, Places>,
    threats: HashMap<&'a str, Places>,
    services: HashMap<&'a str, Places>,
}

/// The domains that policies mean.
#[derive(Default)]
struct Domains<'a> {
    patterns: Vec<(&'a Pattern, Meant)>,
    books: HashMap<&'a Id, Places>,
    threats: HashMap<&'a str, Places>,
    all: Places,
}

/// Where a session comes from, or where it goes to.
#[derive(Debug)]
pub(crate) struct SideTables {
    pub addresses: Addresses,
    pub locations: Words,
    pub threats: Words,
    /// By the address books of cloud services.
    pub services: Words,
}

/// Domains.
#[derive(Debug)]
pub(crate) struct DomainTables {
    pub names: Names,
    pub threats: Words,
    /// The policies that mean names.
    pub all: SetId,
}

/// Everything that is looked up.
#[derive(Debug)]
pub(crate) struct Tables {
    pub source: SideTables,
    pub destination: SideTables,
    /// By the names that streams tell.
    pub by_fqdn: DomainTables,
    /// By the names that addresses stand for.
    pub by_dns: DomainTables,
    pub ports: Ports,
    /// By protocol.
    pub protocols: Box<[SetId; 256]>,
    /// By application, if some policy looks at it.
    pub apps: Option<Apps>,
}

/// Policies by application.
#[derive(Debug)]
pub(crate) struct Apps {
    /// Those that mean any.
    pub any: SetId,
    by_app: Vec<SetId>,
}

impl Apps {
    /// Those that mean an application.
    pub fn of(&self, app: App) -> SetId {
        self.by_app.get(app as usize).copied().unwrap_or(self.any)
    }
}

impl<'a> Draft<'a> {
    /// Takes a policy that is enabled. Places ascend.
    pub fn add(&mut self, place: u32, policy: &'a ControlPolicy, books: &Books<'a>) {
        self.add_apps(place, policy);
        match &policy.source {
            PolicySource::Net(it) => self.source.nets.push(net(*it, Meant::Place(place))),
            PolicySource::Book(id) => self.source.add_book(place, id, books),
            PolicySource::Location(codes) => self.source.add_codes(place, codes),
        }
        let (by_fqdn, by_dns) = match policy.resolve {
            DomainResolve::Fqdn => (true, false),
            DomainResolve::Dns => (false, true),
            DomainResolve::Both => (true, true),
        };
        let domains = [(&mut self.by_fqdn, by_fqdn), (&mut self.by_dns, by_dns)];
        let domains = domains.into_iter().filter_map(|(it, on)| on.then_some(it));
        match &policy.destination {
            PolicyDestination::Net(it) => {
                self.destination.nets.push(net(*it, Meant::Place(place)));
            }
            PolicyDestination::Location(codes) => self.destination.add_codes(place, codes),
            PolicyDestination::Domain(pattern) => domains.for_each(|it| {
                it.patterns.push((pattern, Meant::Place(place)));
                it.all.push(place);
            }),
            PolicyDestination::Book(id) => match books.get(id) {
                Some(BookContent::Domain(patterns)) if !patterns.is_empty() => {
                    domains.for_each(|it| {
                        it.books.entry(id).or_default().push(place);
                        it.all.push(place);
                    });
                }
                Some(BookContent::Threat(category)) => {
                    self.destination.add_book(place, id, books);
                    domains.for_each(|it| {
                        let places = it.threats.entry(category.as_str());
                        places.or_default().push(place);
                    });
                }
                _ => self.destination.add_book(place, id, books),
            },
        }
        match &policy.ports {
            PolicyPorts::Any => self.any_port.push(place),
            PolicyPorts::Range(range) => self.ranges.push((range.clone(), Meant::Place(place))),
            PolicyPorts::Book(id) => self.port_books.entry(id).or_default().push(place),
        }
        match policy.protocol {
            None => self.any_protocol.push(place),
            Some(protocol) => self.protocols.entry(protocol).or_default().push(place),
        }
    }

    /// Takes only the applications of a policy that is enabled, and that is found without the tables.
    pub fn add_apps(&mut self, place: u32, policy: &ControlPolicy) {
        if policy.applications.is_empty() {
            self.any_app.push(place);
        }
        for app in &policy.applications {
            self.apps.entry(*app).or_default().push(place);
        }
    }

    /// Makes the tables.
    pub fn finish(mut self, books: &Books<'a>, builder: &mut Builder) -> Tables {
        for (id, places) in &self.port_books {
            if let Some(BookContent::Port(ranges)) = books.get(id) {
                let meant = Meant::Set(builder.sets.with(EMPTY, places));
                let ranges = ranges.iter().map(|range| (range.clone(), meant));
                self.ranges.extend(ranges);
            }
        }
        let any_protocol = builder.sets.with(EMPTY, &self.any_protocol);
        let mut protocols = Box::new([any_protocol; 256]);
        for (protocol, places) in &self.protocols {
            protocols[usize::from(*protocol)] = builder.sets.with(any_protocol, places);
        }
        let apps = (!self.apps.is_empty()).then(|| {
            let any = builder.sets.with(EMPTY, &self.any_app);
            let by_app = App::ALL.iter().map(|app| {
                let mut places = self.apps.remove(app).unwrap_or_default();
                places.dedup();
                builder.sets.with(any, &places)
            });
            Apps {
                any,
                by_app: by_app.collect(),
            }
        });
        Tables {
            source: self.source.finish(books, builder),
            destination: self.destination.finish(books, builder),
            by_fqdn: self.by_fqdn.finish(books, builder),
            by_dns: self.by_dns.finish(books, builder),
            ports: Ports::new(&self.any_port, &self.ranges, builder),
            protocols,
            apps,
        }
    }
}

impl<'a> Side<'a> {
    fn add_book(&mut self, place: u32, id: &'a Id, books: &Books<'a>) {
        match books.get(id) {
            Some(BookContent::Ip(_) | BookContent::Tag(_)) => {
                self.books.entry(id).or_default().push(place);
            }
            Some(BookContent::Threat(category)) => {
                let places = self.threats.entry(category.as_str());
                places.or_default().push(place);
            }
            Some(BookContent::Cloud(_)) => {
                self.services.entry(id.as_str()).or_default().push(place);
            }
            // Nothing that has an IPv4 address.
            _ => {}
        }
    }

    fn add_codes(&mut self, place: u32, codes: &'a [String]) {
        for code in codes {
            self.codes.entry(code.as_str()).or_default().push(place);
        }
    }

    fn finish(self, books: &Books<'a>, builder: &mut Builder) -> SideTables {
        let mut nets = self.nets;
        for (id, places) in &self.books {
            let meant = Meant::Set(builder.sets.with(EMPTY, places));
            match books.get(id) {
                Some(BookContent::Ip(all)) => nets.extend(all.iter().map(|it| net(*it, meant))),
                Some(BookContent::Tag(all)) => {
                    nets.extend(all.iter().map(|it| net(Ipv4Net::from(*it), meant)));
                }
                _ => {}
            }
        }
        SideTables {
            addresses: Addresses::new(nets, builder),
            locations: Words::new(self.codes, builder),
            threats: Words::new(self.threats, builder),
            services: Words::new(self.services, builder),
        }
    }
}

impl<'a> Domains<'a> {
    fn finish(self, books: &Books<'a>, builder: &mut Builder) -> DomainTables {
        let mut patterns = self.patterns;
        for (id, places) in &self.books {
            if let Some(BookContent::Domain(all)) = books.get(id) {
                let meant = Meant::Set(builder.sets.with(EMPTY, places));
                patterns.extend(all.iter().map(|pattern| (pattern, meant)));
            }
        }
        DomainTables {
            names: Names::new(&patterns, builder),
            threats: Words::new(self.threats, builder),
            all: builder.sets.with(EMPTY, &self.all),
        }
    }
}

impl SideTables {
    /// Whether some policy looks at locations, threats or cloud services.
    pub fn is_worldly(&self) -> bool {
        let mut words = [&self.locations, &self.threats, &self.services].into_iter();
        words.any(|it| !it.is_empty())
    }
}

impl DomainTables {
    /// Whether no policy means names.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.threats.is_empty()
    }
}

impl Tables {
    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        let side = |it: &SideTables| {
            let words = [&it.locations, &it.threats, &it.services];
            it.addresses.bytes() + words.map(Words::bytes).iter().sum::<usize>()
        };
        let domains = |it: &DomainTables| it.names.bytes() + it.threats.bytes();
        side(&self.source)
            + side(&self.destination)
            + domains(&self.by_fqdn)
            + domains(&self.by_dns)
            + self.ports.bytes()
            + size_of::<[SetId; 256]>()
    }
}
