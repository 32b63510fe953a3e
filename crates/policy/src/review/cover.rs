//! Which policy means all that another means.

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
type Ranges = Rc<[(u32, u32)]>;

/// What a policy means.
pub(super) struct Shape<'a> {
    source: Side<'a>,
    destination: Side<'a>,
    protocol: Option<u8>,
    /// `None`: all, and what has none.
    ports: Option<Ranges>,
    applications: &'a [App],
    validity: &'a Validity,
    resolve: DomainResolve,
}

/// Where sessions come from or go to.
enum Side<'a> {
    Addresses(Ranges),
    Codes(&'a [String]),
    Threats(&'a Id),
    Domains(Domains<'a>),
}

#[derive(Clone, Copy)]
enum Domains<'a> {
    One(&'a Pattern),
    /// Those of a book: which.
    Book(usize),
}

/// The shapes of the policies that are enabled and mean something, and how they cover each other.
pub(super) struct Shapes<'a> {
    books: Books<'a>,
    shapes: Vec<Option<Shape<'a>>>,
    /// The first and last source and destination of those that mean addresses, to look at few more closely.
    bounds: Vec<Bounds>,
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

#[derive(Clone, Copy)]
struct Bounds {
    source: (u32, u32),
    destination: (u32, u32),
}

/// The bounds of what covers nothing by its addresses.
const NONE: (u32, u32) = (u32::MAX, 0);
/// All addresses.
const ALL: (u32, u32) = (0, u32::MAX);

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
        let bounds = shapes.iter().map(|shape| Bounds {
            source: shape.as_ref().map_or(NONE, |it| it.source.bounds()),
            destination: shape.as_ref().map_or(NONE, |it| it.destination.bounds()),
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
            bounds: bounds.collect(),
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

    /// The first policy before this one that means all that it means.
    pub fn covered_by(&self, place: usize) -> Option<usize> {
        let shape = self.shapes[place].as_ref()?;
        let by_address = self.by_address(place, shape);
        let by_name = match shape.destination {
            Side::Domains(domains) => self.by_name(place, domains),
            _ => None,
        };
        match (by_address, by_name) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn by_address(&self, place: usize, shape: &Shape) -> Option<usize> {
        // What is no address may be any.
        let outer = |bounds: (u32, u32)| if bounds == NONE { ALL } else { bounds };
        let of = self.bounds[place];
        let (source, destination) = (outer(of.source), outer(of.destination));
        let exactly = |side: &Side| !matches!(side, Side::Addresses(_) | Side::Domains(_));
        let (any_source, any_destination) = (exactly(&shape.source), exactly(&shape.destination));
        let holds = |outer: (u32, u32), inner: (u32, u32)| outer.0 <= inner.0 && outer.1 >= inner.1;
        let earlier = self.bounds[..place].iter().enumerate();
        let mut candidates = earlier.filter(|(_, it)| {
            (holds(it.source, source) || any_source && it.source == NONE)
                && (holds(it.destination, destination) || any_destination && it.destination == NONE)
        });
        candidates
            .find(|&(other, _)| self.covers(other, place))
            .map(|it| it.0)
    }

    /// By the patterns that mean the first of these domains.
    fn by_name(&self, place: usize, domains: Domains<'a>) -> Option<usize> {
        let first = match domains {
            Domains::One(pattern) => pattern,
            Domains::Book(book) => self.books.domains[&book].iter().min()?,
        };
        let mut best: Option<usize> = None;
        for pattern in around(first) {
            for named in self.by_pattern.get(&pattern).into_iter().flatten() {
                let policies = match named {
                    Named::Policy(other) => std::slice::from_ref(other),
                    Named::Book(book) => self.by_book.get(book).map_or(&[][..], Vec::as_slice),
                };
                let earlier = policies
                    .iter()
                    .take_while(|&&other| other < best.unwrap_or(place));
                let found = earlier.copied().find(|&other| self.covers(other, place));
                best = found.or(best);
            }
        }
        best
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
                (Some(_), None) => false,
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
    fn bounds(&self) -> (u32, u32) {
        match self {
            Side::Addresses(ranges) => match (ranges.first(), ranges.last()) {
                (Some(first), Some(last)) => (first.0, last.1),
                _ => NONE,
            },
            _ => NONE,
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

    fn side(&mut self, id: &Id) -> Option<Side<'a>> {
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
