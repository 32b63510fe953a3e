//! Which policy means all that another means.

use super::points::{Point, Points};
use hashbrown::HashMap;
use ipnet::Ipv4Net;
use model::{
    AddressBook, App, BookContent, ControlPolicy, DomainResolve, Id, PolicyDestination,
    PolicyPorts, PolicySource, Validity, domain::Pattern,
};
use std::cell::RefCell;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

/// Numbers from and to, ascending and apart.
pub(super) type Ranges = Rc<[(u32, u32)]>;

/// What a policy means.
pub(super) struct Shape<'a> {
    pub source: Side<'a>,
    pub destination: Side<'a>,
    pub protocol: Option<u8>,
    /// `None`: all, and what has none.
    pub ports: Option<Ranges>,
    pub applications: &'a [App],
    validity: &'a Validity,
    resolve: DomainResolve,
}

/// Where sessions come from or go to.
pub(super) enum Side<'a> {
    Addresses(Ranges),
    Codes(&'a [String]),
    Threats(&'a Id),
    /// A cloud service: its book.
    Service(&'a Id),
    Domains(Domains<'a>),
}

#[derive(Clone, Copy)]
pub(super) enum Domains<'a> {
    One(&'a Pattern),
    /// Those of a book: which.
    Book(usize),
}

/// The shapes of the policies that are enabled and mean something, and how they cover each other.
pub(super) struct Shapes<'a> {
    books: Books<'a>,
    shapes: Vec<Option<Shape<'a>>>,
    /// Those that look at locations, threats or cloud services, in their order.
    elsewhere: Vec<usize>,
    /// By pattern: policies that mean it, and books that have it.
    by_pattern: HashMap<&'a Pattern, Vec<Named>>,
    /// By book: the policies that mean its domains.
    by_book: HashMap<usize, Vec<usize>>,
    /// Whether one book's domains are all meant by another's.
    covered: RefCell<HashMap<(usize, usize), bool>>,
}

#[derive(Clone, Copy)]
enum Named {
    Policy(usize),
    Book(usize),
}

/// All addresses.
pub(super) const ALL: (u32, u32) = (0, u32::MAX);

struct Books<'a> {
    places: HashMap<&'a Id, usize>,
    contents: Vec<&'a BookContent>,
    addresses: HashMap<usize, Ranges>,
    ports: HashMap<usize, Ranges>,
    domains: HashMap<usize, HashSet<&'a Pattern>>,
}

impl<'a> Shapes<'a> {
    pub fn new(policies: &'a [Arc<ControlPolicy>], books: &'a [AddressBook]) -> Shapes<'a> {
        let mut books = Books::new(books);
        let shape = |policy: &'a Arc<ControlPolicy>| match policy.enabled {
            true => books.shape(policy),
            false => None,
        };
        let shapes: Vec<_> = policies.iter().map(shape).collect();
        let elsewhere = shapes.iter().enumerate().filter(|(_, shape)| {
            let shape = shape.as_ref();
            shape.is_some_and(|it| it.source.is_elsewhere() || it.destination.is_elsewhere())
        });
        let mut by_pattern: HashMap<_, Vec<Named>> = HashMap::new();
        let mut by_book: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, shape) in shapes.iter().enumerate() {
            match shape.as_ref().map(|it| &it.destination) {
                Some(Side::Domains(Domains::One(pattern))) => {
                    by_pattern
                        .entry(*pattern)
                        .or_default()
                        .push(Named::Policy(place));
                }
                Some(Side::Domains(Domains::Book(book))) => {
                    by_book.entry(*book).or_default().push(place);
                }
                _ => {}
            }
        }
        for book in by_book.keys() {
            for pattern in &books.domains[book] {
                by_pattern
                    .entry(*pattern)
                    .or_default()
                    .push(Named::Book(*book));
            }
        }
        Shapes {
            elsewhere: elsewhere.map(|it| it.0).collect(),
            books,
            by_pattern,
            by_book,
            covered: RefCell::default(),
            shapes,
        }
    }

    /// Whether a policy is enabled and means something.
    pub fn counts(&self, place: usize) -> bool {
        self.shapes[place].is_some()
    }

    /// What a policy means, if it is enabled and means something.
    pub fn shape(&self, place: usize) -> Option<&Shape<'a>> {
        self.shapes[place].as_ref()
    }

    /// The first policy before this one that means all that it means.
    pub fn covered_by(&self, place: usize, points: &Points) -> Option<usize> {
        let shape = self.shape(place)?;
        let covers = |other: &usize| self.covers(*other, place);
        let by_address = points.at(shape.corner(), place).find(covers);
        let elsewhere = self.elsewhere_before(place, shape).find(covers);
        let by_name = match shape.destination {
            Side::Domains(domains) => self.by_name(place, domains),
            _ => None,
        };
        [by_address, elsewhere, by_name].into_iter().flatten().min()
    }

    /// Policies before this one that look at locations, threats or cloud services, if it does.
    fn elsewhere_before(&self, place: usize, shape: &Shape) -> impl Iterator<Item = usize> {
        let does = shape.source.is_elsewhere() || shape.destination.is_elsewhere();
        let before = match does {
            true => self.elsewhere.partition_point(|it| *it < place),
            false => 0,
        };
        self.elsewhere[..before].iter().copied()
    }

    /// Policies before this one that look at the names, locations, threats or cloud services that it looks at: so many.
    pub fn alike(&self, place: usize, most: usize) -> Vec<usize> {
        let Some(shape) = self.shape(place) else {
            return Vec::new();
        };
        let mut named = Vec::new();
        if let Side::Domains(domains) = shape.destination {
            self.each_named(domains, |policies| {
                let before = policies.partition_point(|it| *it < place);
                let alike = policies[..before].iter().copied();
                let alike =
                    alike.filter(|it| self.shape(*it).is_some_and(|it| self.shares(it, shape)));
                named.extend(alike.take(most));
            });
        }
        let elsewhere = self.elsewhere_before(place, shape);
        let alike = elsewhere.filter(|it| self.shape(*it).is_some_and(|it| self.shares(it, shape)));
        named.extend(alike.take(most));
        named.sort_unstable();
        named.dedup();
        named.truncate(most);
        named
    }

    /// Whether a policy means what another means but for addresses, protocol, ports and applications.
    pub fn shares(&self, outer: &Shape<'a>, inner: &Shape<'a>) -> bool {
        let resolves = outer.resolve == inner.resolve || outer.resolve == DomainResolve::Both;
        let side = |a: &Side<'a>, b: &Side<'a>, resolves| match (a, b) {
            (Side::Addresses(_), Side::Addresses(_)) => true,
            _ => self.side_covers(a, b, resolves),
        };
        (*outer.validity == Validity::Permanent || outer.validity == inner.validity)
            && side(&outer.source, &inner.source, true)
            && side(&outer.destination, &inner.destination, resolves)
    }

    /// By the patterns that mean the first of these domains.
    fn by_name(&self, place: usize, domains: Domains<'a>) -> Option<usize> {
        let mut best: Option<usize> = None;
        self.each_named(domains, |policies| {
            let before = best.unwrap_or(place);
            let earlier = policies.iter().take_while(|&&other| other < before);
            let found = earlier.copied().find(|&other| self.covers(other, place));
            best = found.or(best);
        });
        best
    }

    /// The policies by each of the patterns that mean the first of these domains, in their order.
    fn each_named(&self, domains: Domains<'a>, mut each: impl FnMut(&[usize])) {
        let first = match domains {
            Domains::One(pattern) => Some(pattern),
            Domains::Book(book) => self.books.domains[&book].iter().min().copied(),
        };
        for pattern in first.into_iter().flat_map(around) {
            for named in self.by_pattern.get(&pattern).into_iter().flatten() {
                each(match named {
                    Named::Policy(other) => std::slice::from_ref(other),
                    Named::Book(book) => self.by_book.get(book).map_or(&[][..], Vec::as_slice),
                });
            }
        }
    }

    /// Whether a policy means all that another means.
    pub fn covers(&self, outer: usize, inner: usize) -> bool {
        let (Some(a), Some(b)) = (&self.shapes[outer], &self.shapes[inner]) else {
            return false;
        };
        (a.protocol.is_none() || a.protocol == b.protocol)
            && (*a.validity == Validity::Permanent || a.validity == b.validity)
            && (a.applications.is_empty()
                || !b.applications.is_empty()
                    && b.applications
                        .iter()
                        .all(|app| a.applications.contains(app)))
            && match (&a.ports, &b.ports) {
                (None, _) => true,
                (Some(a), None) => b.always_has_ports() && **a == [(0, u32::from(u16::MAX))],
                (Some(a), Some(b)) => within(a, b),
            }
            && self.side_covers(&a.source, &b.source, true)
            && self.side_covers(
                &a.destination,
                &b.destination,
                a.resolve == b.resolve || a.resolve == DomainResolve::Both,
            )
    }

    fn side_covers(&self, outer: &Side<'a>, inner: &Side<'a>, resolves: bool) -> bool {
        match (outer, inner) {
            (Side::Addresses(a), Side::Addresses(b)) => within(a, b),
            (Side::Addresses(a), _) => **a == [ALL],
            (Side::Codes(a), Side::Codes(b)) => b.iter().all(|code| a.contains(code)),
            (Side::Threats(a), Side::Threats(b)) => a == b && resolves,
            (Side::Service(a), Side::Service(b)) => a == b,
            (Side::Domains(a), Side::Domains(b)) => resolves && self.names_cover(*a, *b),
            _ => false,
        }
    }

    fn names_cover(&self, outer: Domains<'a>, inner: Domains<'a>) -> bool {
        let has = |pattern: &Pattern| match outer {
            Domains::One(one) => around(pattern).any(|it| it == *one),
            Domains::Book(book) => {
                around(pattern).any(|it| self.books.domains[&book].contains(&it))
            }
        };
        match (outer, inner) {
            (_, Domains::One(pattern)) => has(pattern),
            (Domains::Book(a), Domains::Book(b)) => {
                let known = self.covered.borrow().get(&(a, b)).copied();
                known.unwrap_or_else(|| {
                    let covered = a == b || self.books.domains[&b].iter().all(|it| has(it));
                    self.covered.borrow_mut().insert((a, b), covered);
                    covered
                })
            }
            (_, Domains::Book(book)) => self.books.domains[&book].iter().all(|it| has(it)),
        }
    }
}

/// The patterns that mean all that a pattern means: itself, those above it.
fn around(pattern: &Pattern) -> impl Iterator<Item = Pattern> {
    let name = match pattern {
        Pattern::Any => "",
        Pattern::Exact(name) | Pattern::Below(name) => name,
    };
    let above = std::iter::successors(name.split_once('.'), |it| it.1.split_once('.'));
    let above = above.map(|it| Pattern::Below(it.1.into()));
    let any = (*pattern != Pattern::Any).then_some(Pattern::Any);
    std::iter::once(pattern.clone()).chain(above).chain(any)
}

/// Whether all of `inner` is in `outer`.
fn within(outer: &Ranges, inner: &Ranges) -> bool {
    if Rc::ptr_eq(outer, inner) {
        return true;
    }
    inner.iter().all(|&(first, last)| {
        let after = outer.partition_point(|range| range.0 <= first);
        after.checked_sub(1).is_some_and(|at| outer[at].1 >= last)
    })
}

/// Joins ranges that overlap or touch.
fn join(mut ranges: Vec<(u32, u32)>) -> Ranges {
    ranges.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined.into()
}

fn range(net: &Ipv4Net) -> (u32, u32) {
    (net.network().into(), net.broadcast().into())
}

impl Side<'_> {
    /// Its addresses, if it is about addresses.
    pub fn addresses(&self) -> Option<&[(u32, u32)]> {
        match self {
            Side::Addresses(ranges) => Some(ranges),
            _ => None,
        }
    }

    /// Whether it is about locations, threats or cloud services.
    fn is_elsewhere(&self) -> bool {
        matches!(self, Side::Codes(_) | Side::Threats(_) | Side::Service(_))
    }

    /// An address of it; of what is no address the last, which few name.
    fn corner(&self) -> u32 {
        let first = self.addresses().and_then(<[_]>::first);
        first.map_or(u32::MAX, |it| it.0)
    }
}

impl Shape<'_> {
    /// Whether all that it means has ports.
    fn always_has_ports(&self) -> bool {
        matches!(self.protocol, Some(model::text::TCP | model::text::UDP))
    }

    /// A session that all policies mean that mean all that it means.
    fn corner(&self) -> Point {
        let port = match &self.ports {
            Some(ranges) => ranges.first().and_then(|it| u16::try_from(it.0).ok()),
            None => self.always_has_ports().then_some(0),
        };
        Point {
            source: self.source.corner(),
            destination: self.destination.corner(),
            // Policies about all of them mean the last, too.
            protocol: self.protocol.unwrap_or(u8::MAX),
            port,
        }
    }
}

impl<'a> Books<'a> {
    fn new(books: &'a [AddressBook]) -> Books<'a> {
        let places = books.iter().enumerate().map(|(place, it)| (&it.id, place));
        Books {
            places: places.collect(),
            contents: books.iter().map(|it| &*it.content).collect(),
            addresses: HashMap::new(),
            ports: HashMap::new(),
            domains: HashMap::new(),
        }
    }

    /// What a policy means; `None` if nothing, because a book is empty or there is none.
    fn shape(&mut self, policy: &'a ControlPolicy) -> Option<Shape<'a>> {
        let net = |net| Side::Addresses([range(net)].into());
        let source = match &policy.source {
            PolicySource::Net(it) => net(it),
            PolicySource::Book(id) => self.side(id).filter(|it| !matches!(it, Side::Domains(_)))?,
            PolicySource::Location(codes) => Side::Codes(some(codes)?),
        };
        let destination = match &policy.destination {
            PolicyDestination::Net(it) => net(it),
            PolicyDestination::Book(id) => self.side(id)?,
            PolicyDestination::Domain(pattern) => Side::Domains(Domains::One(pattern)),
            PolicyDestination::Location(codes) => Side::Codes(some(codes)?),
        };
        let ports = match &policy.ports {
            PolicyPorts::Any => None,
            PolicyPorts::Range(it) => Some([(u32::from(*it.start()), u32::from(*it.end()))].into()),
            PolicyPorts::Book(id) => Some(self.ports(id)?),
        };
        Some(Shape {
            source,
            destination,
            protocol: policy.protocol,
            ports,
            applications: &policy.applications,
            validity: &policy.validity,
            resolve: policy.resolve,
        })
    }

    fn side(&mut self, id: &'a Id) -> Option<Side<'a>> {
        let place = *self.places.get(id)?;
        let addresses = |of: &dyn Fn() -> Vec<(u32, u32)>, known: &mut HashMap<_, Ranges>| {
            let ranges = known.entry(place).or_insert_with(|| join(of()));
            (!ranges.is_empty()).then(|| Side::Addresses(ranges.clone()))
        };
        match self.contents[place] {
            BookContent::Ip(nets) => {
                addresses(&|| nets.iter().map(range).collect(), &mut self.addresses)
            }
            BookContent::Tag(all) => {
                let one = |it: &Ipv4Addr| (u32::from(*it), u32::from(*it));
                addresses(&|| all.iter().map(one).collect(), &mut self.addresses)
            }
            BookContent::Domain(patterns) if !patterns.is_empty() => {
                let all = self.domains.entry(place);
                all.or_insert_with(|| patterns.iter().collect());
                Some(Side::Domains(Domains::Book(place)))
            }
            BookContent::Threat(category) => Some(Side::Threats(category)),
            BookContent::Cloud(_) => Some(Side::Service(id)),
            BookContent::Domain(_) | BookContent::Ipv6(_) | BookContent::Port(_) => None,
        }
    }

    fn ports(&mut self, id: &Id) -> Option<Ranges> {
        let place = *self.places.get(id)?;
        let BookContent::Port(all) = self.contents[place] else {
            return None;
        };
        let ranges = || {
            all.iter()
                .map(|it| (u32::from(*it.start()), u32::from(*it.end())))
        };
        let ranges = self
            .ports
            .entry(place)
            .or_insert_with(|| join(ranges().collect()));
        (!ranges.is_empty()).then(|| ranges.clone())
    }
}

fn some(codes: &[String]) -> Option<&[String]> {
    (!codes.is_empty()).then_some(codes)
}
