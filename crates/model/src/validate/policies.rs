//! Policies, address books and what firewalls are told besides.

use super::known::Fresh;
use super::*;
use crate::domain::Pattern;
use crate::text::{ICMP, TCP, UDP, quote};
use hashbrown::HashSet;

/// What can be wrong with policies and address books.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "each variant's message says what its fields are"
)]
pub enum PolicyFault {
    #[error("protocol {0} cannot be told: TCP, UDP, ICMP or any")]
    Protocol(u8),
    #[error("ports are for TCP and UDP: ICMP has none")]
    IcmpPorts,
    #[error("{0} applications are named: at most five can be")]
    TooManyApplications(usize),
    #[error("application {0} is named twice")]
    ApplicationTwice(App),
    #[error("application {app} does not go over {protocol}: {}", goes_over(*app))]
    ApplicationProtocol { app: App, protocol: &'static str },
    #[error(
        "a domain is told by the name in the stream only over TCP: set the protocol, or tell it by DNS"
    )]
    DomainProtocol,
    #[error(
        "application {0} tells no name: a domain goes with {names}, or is told by DNS",
        names = names()
    )]
    DomainApplication(App),
    #[error(
        "{} is no location: write codes of countries or their subdivisions, like CN or US-CA",
        quote(.0)
    )]
    Location(String),
    #[error("no location is named")]
    NoLocation,
    #[error("the DNS firewall looks at names: give a domain or a book of domains")]
    DnsDestination,
    #[error("the DNS firewall looks at names only: leave {0} out")]
    DnsOnly(&'static str),
    #[error(
        "address book {} holds {holds}, where {wanted} are needed",
        quote(book)
    )]
    BookKind {
        book: Id,
        holds: &'static str,
        wanted: &'static str,
    },
    #[error("the time ends before it begins")]
    EndsBefore,
    #[error("the minutes of a day are 0 to 1439, and the first is not the last")]
    Minutes,
    #[error("days are named once each: 0 to 6 of a week, 1 to 31 of a month")]
    Days,
    #[error("a time zone is at most 14 hours from UTC")]
    Offset,
    #[error("{other} has this name, too: names of address books are unique")]
    BookName { other: String },
    #[error("{0} is in it twice")]
    EntryTwice(String),
    #[error("NAT gateway {} is a VPC NAT gateway: firewalls protect those of the Internet", quote(.0))]
    NotOfInternet(Id),
    #[error("{} is neither a path nor an http:// or https:// address", quote(.0))]
    FeedLocation(String),
    #[error("address book {} is of a cloud service: a policy about one is about TCP", quote(.0))]
    CloudProtocol(Id),
}

/// What an application goes over.
fn goes_over(app: App) -> &'static str {
    match (app.over_tcp(), app.over_udp()) {
        (true, true) => "it goes over TCP and UDP",
        (true, false) => "it goes over TCP",
        _ => "it goes over UDP",
    }
}

/// The applications that tell names.
fn names() -> String {
    let apps = App::ALL.iter().filter(|it| it.has_domain());
    apps.map(|it| it.name()).collect::<Vec<_>>().join(", ")
}

/// A field of a policy, and what is wrong with it.
type Wrong = (&'static str, PolicyFault);

impl ControlPolicy {
    /// What is wrong with it, as far as it does not depend on address books: the first thing.
    pub fn fault(&self, scope: &PolicyScope) -> Option<Wrong> {
        if *scope == PolicyScope::Dns {
            return self.dns_fault().or_else(|| self.where_fault());
        }
        let protocol = match self.protocol {
            None => "any protocol",
            Some(TCP) => "TCP",
            Some(UDP) => "UDP",
            Some(ICMP) => "ICMP",
            Some(other) => return Some(("protocol", PolicyFault::Protocol(other))),
        };
        if self.protocol == Some(ICMP) && self.ports != PolicyPorts::Any {
            return Some(("ports", PolicyFault::IcmpPorts));
        }
        if self.applications.len() > 5 {
            let count = self.applications.len();
            return Some(("applications", PolicyFault::TooManyApplications(count)));
        }
        for (n, app) in self.applications.iter().enumerate() {
            let fits = match self.protocol {
                Some(TCP) => app.over_tcp(),
                Some(UDP) => app.over_udp(),
                _ => false,
            };
            if !fits {
                let app = *app;
                let fault = PolicyFault::ApplicationProtocol { app, protocol };
                return Some(("applications", fault));
            }
            if self.applications[..n].contains(app) {
                return Some(("applications", PolicyFault::ApplicationTwice(*app)));
            }
        }
        if let PolicyDestination::Domain(_) = self.destination {
            return self.domain_fault().or_else(|| self.where_fault());
        }
        self.where_fault()
    }

    /// What is wrong with a policy about names in streams.
    fn domain_fault(&self) -> Option<Wrong> {
        if self.resolve == DomainResolve::Dns {
            return None;
        }
        let over_quic = self.protocol == Some(UDP) && !self.applications.is_empty();
        if self.protocol != Some(TCP) && !over_quic {
            return Some(("protocol", PolicyFault::DomainProtocol));
        }
        let silent = self.applications.iter().find(|it| !it.has_domain());
        silent.map(|app| ("applications", PolicyFault::DomainApplication(*app)))
    }

    fn dns_fault(&self) -> Option<Wrong> {
        if matches!(
            self.destination,
            PolicyDestination::Net(_) | PolicyDestination::Location(_)
        ) {
            return Some(("destination", PolicyFault::DnsDestination));
        }
        let only = [
            ("protocol", self.protocol.is_some()),
            ("ports", self.ports != PolicyPorts::Any),
            ("applications", !self.applications.is_empty()),
        ];
        let more = only.into_iter().find(|(_, given)| *given);
        more.map(|(field, _)| (field, PolicyFault::DnsOnly(field)))
    }

    /// Locations and times.
    fn where_fault(&self) -> Option<Wrong> {
        if let PolicySource::Location(codes) = &self.source
            && let Some(fault) = location_fault(codes)
        {
            return Some(("source", fault));
        }
        if let PolicyDestination::Location(codes) = &self.destination
            && let Some(fault) = location_fault(codes)
        {
            return Some(("destination", fault));
        }
        self.validity.fault().map(|fault| ("validity", fault))
    }
}

fn location_fault(codes: &[String]) -> Option<PolicyFault> {
    let good = |code: &&String| {
        let letter = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit();
        let mut parts = code.split('-');
        let country = parts
            .next()
            .is_some_and(|it| (2..=4).contains(&it.len()) && it.bytes().all(letter));
        let rest = parts.all(|it| (1..=3).contains(&it.len()) && it.bytes().all(letter));
        country && rest
    };
    if codes.is_empty() {
        return Some(PolicyFault::NoLocation);
    }
    let bad = codes.iter().find(|code| !good(code))?;
    Some(PolicyFault::Location(bad.clone()))
}

impl Validity {
    /// What is wrong with it.
    pub fn fault(&self) -> Option<PolicyFault> {
        match self {
            Validity::Permanent => None,
            Validity::Once { from, until } => (from >= until).then_some(PolicyFault::EndsBefore),
            Validity::Repeated {
                from,
                until,
                days,
                start,
                end,
                offset,
            } => {
                if let (Some(from), Some(until)) = (from, until)
                    && from >= until
                {
                    return Some(PolicyFault::EndsBefore);
                }
                if *start >= 1_440 || *end >= 1_440 || start == end {
                    return Some(PolicyFault::Minutes);
                }
                if matches!(offset, Offset::Minutes(it) if it.unsigned_abs() > 14 * 60) {
                    return Some(PolicyFault::Offset);
                }
                let (days, bounds) = match days {
                    RepeatDays::Daily => return None,
                    RepeatDays::Weekly(days) => (days, 0..=6),
                    RepeatDays::Monthly(days) => (days, 1..=31),
                };
                let once: HashSet<_> = days.iter().collect();
                let good = !days.is_empty()
                    && once.len() == days.len()
                    && days.iter().all(|it| bounds.contains(it));
                (!good).then_some(PolicyFault::Days)
            }
        }
    }
}

impl BookContent {
    /// What is in it, for a message.
    pub fn holds(&self) -> &'static str {
        match self {
            BookContent::Ip(_) | BookContent::Tag(_) => "IPv4 addresses",
            BookContent::Ipv6(_) => "IPv6 addresses",
            BookContent::Domain(_) => "domains",
            BookContent::Port(_) => "ports",
            BookContent::Threat(_) => "what threat intelligence knows",
            BookContent::Cloud(_) => "the addresses of a cloud service",
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        match self {
            BookContent::Ip(list) => list.len(),
            BookContent::Ipv6(list) => list.len(),
            BookContent::Domain(list) => list.len(),
            BookContent::Port(list) => list.len(),
            BookContent::Tag(list) => list.len(),
            BookContent::Threat(_) | BookContent::Cloud(_) => 1,
        }
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a policy cannot do with it: as a source, a destination, or ports.
    pub fn misfit(&self, field: &str, scope: &PolicyScope) -> Option<&'static str> {
        let addresses = matches!(
            self,
            BookContent::Ip(_) | BookContent::Tag(_) | BookContent::Cloud(_)
        );
        let names = matches!(self, BookContent::Domain(_) | BookContent::Threat(_));
        let (fits, wanted) = match (field, scope) {
            ("ports", _) => (matches!(self, BookContent::Port(_)), "ports"),
            ("source", _) => {
                let threat = matches!(self, BookContent::Threat(_));
                (addresses || threat, "IPv4 addresses")
            }
            (_, PolicyScope::Dns) => (names, "domains"),
            (_, PolicyScope::BorderIn) => (addresses, "IPv4 addresses"),
            _ => (addresses || names, "IPv4 addresses or domains"),
        };
        (!fits).then_some(wanted)
    }

    /// What is wrong with it: the first thing.
    pub fn fault(&self) -> Option<Fault> {
        let twice = match self {
            BookContent::Ip(list) => {
                if let Some(net) = list.iter().find(|it| **it != it.trunc()) {
                    return Some(Fault::HostBits(*net));
                }
                twice(list)
            }
            BookContent::Ipv6(list) => twice(list),
            BookContent::Domain(list) => twice::<Pattern>(list),
            BookContent::Port(list) => {
                let empty = list.iter().find(|it| it.is_empty() || *it.start() == 0);
                if let Some(range) = empty {
                    let (start, end) = (*range.start(), *range.end());
                    return Some(Fault::EmptyPorts { start, end });
                }
                let texts: Vec<String> = list.iter().map(text::ports).collect();
                twice(&texts)
            }
            BookContent::Tag(list) => twice(list),
            BookContent::Threat(_) => None,
            BookContent::Cloud(service) => {
                if let Some(fault) = location_of_list(&service.location) {
                    return Some(fault.into());
                }
                twice(&service.services).or_else(|| twice(&service.regions))
            }
        };
        twice.map(|it| PolicyFault::EntryTwice(it).into())
    }
}

/// How often lists may be read, in seconds.
const REFRESH: (u64, u64) = (60, 7 * 86_400);

/// What is wrong with where a list is.
fn location_of_list(location: &str) -> Option<PolicyFault> {
    let good = ["/", "http://", "https://"];
    let bad = !good.iter().any(|it| location.starts_with(it));
    bad.then(|| PolicyFault::FeedLocation(location.into()))
}

/// What a list has twice.
fn twice<T: std::hash::Hash + Eq + ToString>(list: &[T]) -> Option<String> {
    let mut seen = HashSet::with_capacity(list.len());
    let again = list.iter().find(|it| !seen.insert(*it))?;
    Some(again.to_string())
}

impl<'a> Checker<'a> {
    pub(super) fn books(&mut self) {
        let config = self.config;
        let mut names: HashMap<&str, Item> = HashMap::new();
        for (item, book) in items(&config.firewalls.books, Item::AddressBook) {
            if let Some(&other) = names.get(&*book.name) {
                let fault = PolicyFault::BookName {
                    other: self.name(other),
                };
                self.conflict(at(item, "name"), fault.into(), other);
            }
            names.insert(&book.name, item);
            if let Some(fault) = book.content.fault() {
                self.report(at(item, "content"), fault);
            }
            if let BookContent::Cloud(service) = &*book.content {
                let place = at(item, "refresh");
                self.range("refresh", service.refresh.as_secs(), REFRESH, place);
            }
        }
    }

    pub(super) fn policies(&mut self) {
        for (n, list) in self.config.firewalls.policies.iter().enumerate() {
            if let PolicyScope::NatGateway(id) = &list.scope {
                let place = at(Item::Policy(n, 0), "firewall");
                let gateway = self.find(Kind::NatGateway, id, place);
                let gateway = gateway.and_then(|it| self.config.nat_gateways.get(it));
                if gateway.is_some_and(|it| it.vswitch().is_some()) {
                    let fault = PolicyFault::NotOfInternet(id.clone());
                    self.report(place, fault.into());
                }
            }
            let places: Vec<usize> = self.fresh[n].places(list.policies.len()).collect();
            for k in places {
                self.policy(Item::Policy(n, k), &list.scope, &list.policies[k]);
            }
        }
        self.not_known();
    }

    /// Reports identifiers of policies that are looked at which others have that are not.
    fn not_known(&mut self) {
        let lists = &self.config.firewalls.policies;
        let mut looked_at: Vec<(Item, &Id)> = Vec::new();
        for (n, (list, fresh)) in lists.iter().zip(&self.fresh).enumerate() {
            match fresh {
                Fresh::All => return,
                Fresh::Some(places) => {
                    let some = places.iter();
                    looked_at.extend(some.map(|k| (Item::Policy(n, *k), &list.policies[*k].id)));
                }
            }
        }
        if looked_at.is_empty() {
            return;
        }
        for (n, list) in lists.iter().enumerate() {
            for (k, policy) in list.policies.iter().enumerate() {
                let other = Item::Policy(n, k);
                if looked_at.iter().any(|(item, _)| *item == other) {
                    continue;
                }
                let same = looked_at.iter().find(|(_, id)| **id == policy.id);
                if let Some((item, _)) = same {
                    self.conflict(at(*item, "id"), Fault::DuplicateId, other);
                }
            }
        }
    }

    fn policy(&mut self, item: Item, scope: &PolicyScope, policy: &'a ControlPolicy) {
        if let Some((field, fault)) = policy.fault(scope) {
            self.report(at(item, field), fault.into());
        }
        if let PolicySource::Net(net) = policy.source {
            self.whole_block(net, at(item, "source"));
        }
        if let PolicyDestination::Net(net) = policy.destination {
            self.whole_block(net, at(item, "destination"));
        }
        if let PolicyPorts::Range(range) = &policy.ports
            && (range.is_empty() || *range.start() == 0)
        {
            let (start, end) = (*range.start(), *range.end());
            self.report(at(item, "ports"), Fault::EmptyPorts { start, end });
        }
        for (field, book) in policy.books().into_iter().flatten() {
            let place = at(item, field);
            let Some(found) = self.find(Kind::AddressBook, book, place) else {
                continue;
            };
            let Some(content) = self.config.firewalls.books.get(found) else {
                continue;
            };
            let of_cloud = matches!(*content.content, BookContent::Cloud(_));
            if let Some(wanted) = content.content.misfit(field, scope) {
                let holds = content.content.holds();
                let book = book.clone();
                let fault = PolicyFault::BookKind {
                    book,
                    holds,
                    wanted,
                };
                self.report(place, fault.into());
            } else if of_cloud && policy.protocol != Some(TCP) {
                let fault = PolicyFault::CloudProtocol(book.clone());
                self.report(at(item, "protocol"), fault.into());
            }
        }
    }

    pub(super) fn border(&mut self) {
        let config = self.config;
        let border = &config.firewalls.border;
        for (field, eips) in [("eips", &border.eips), ("strict_eips", &border.strict_eips)] {
            let place = at(Item::Border, field);
            for (n, eip) in eips.iter().enumerate() {
                self.find(Kind::Eip, eip, place.element(n));
            }
            self.no_repeats(Kind::Eip, eips, place);
        }
    }

    pub(super) fn feeds(&mut self) {
        for (item, feed) in items(&self.config.firewalls.feeds, Item::ThreatFeed) {
            if let Some(fault) = location_of_list(&feed.location) {
                self.report(at(item, "location"), fault.into());
            }
            let place = at(item, "refresh");
            self.range("refresh", feed.refresh.as_secs(), REFRESH, place);
        }
    }
}
