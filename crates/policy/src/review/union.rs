//! Policies that mean together all that a later one means.
//!
//! What a policy means is cut into boxes: a range of sources, of destinations, of protocols, of ports, and some of its
//! applications. The lowest corner of a box is a session; if no earlier policy means it, it is one that gets through, and
//! the answer is no. If one does, what that one means is cut off the box, and what is left of it is looked at in the same
//! way. So an answer is exact, and most policies have theirs after one step; there are bounds for the others.

use super::cover::{ALL, Ranges, Shape, Shapes, Side};
use super::points::{Point, Points};
use std::cell::Cell;
use std::collections::BTreeSet;

/// How many steps one policy may take, and all together.
const STEPS: u32 = 1_000;
const STEPS_OF_ALL: u32 = 1_000_000;

/// How many policies about names, locations or threats are looked at beside those about addresses.
const NAMED: usize = 64;

/// The number of "no port" among ports.
const NO_PORT: u32 = 1 << 16;

/// Protocols that have ports: TCP and UDP.
const WITH_PORTS: [u32; 2] = [6, 17];

/// The protocols between and around them.
const WITHOUT_PORTS: [(u32, u32); 3] = [(0, 5), (7, 16), (18, 255)];

/// Ranges of sources, destinations, protocols and ports, and which of the policy's applications.
#[derive(Clone, Copy, Debug)]
struct Piece {
    ranges: [(u32, u32); 4],
    applications: u32,
}

impl Piece {
    /// What is left when another is cut off that has the lowest corner.
    fn without(self, cut: &Piece, mut each: impl FnMut(Piece)) {
        let mut inner = self;
        for (n, &(_, last)) in cut.ranges.iter().enumerate() {
            let (first, end) = inner.ranges[n];
            if last < end {
                let mut rest = inner;
                rest.ranges[n] = (last + 1, end);
                each(rest);
                inner.ranges[n] = (first, last);
            }
        }
        let others = inner.applications & !cut.applications;
        if others != 0 {
            each(Piece {
                applications: others,
                ..inner
            });
        }
    }
}

/// Finds policies that are covered by several others.
pub(super) struct Unions<'a, 'b> {
    shapes: &'b Shapes<'a>,
    points: &'b Points,
    left: Cell<u32>,
}

impl<'a, 'b> Unions<'a, 'b> {
    pub fn new(shapes: &'b Shapes<'a>, points: &'b Points) -> Unions<'a, 'b> {
        Unions {
            shapes,
            points,
            left: Cell::new(STEPS_OF_ALL),
        }
    }

    /// Policies before this one that mean together all that it means, in their order; `None` also if that would take
    /// too long to find out.
    pub fn covering(&self, place: usize) -> Option<Vec<usize>> {
        let shape = self.shapes.shape(place)?;
        let named = self.shapes.alike(place, NAMED);
        let steps = Cell::new(STEPS.min(self.left.get()));
        let given = steps.get();
        let found = self.cut(place, shape, &named, &steps);
        self.left.set(self.left.get() - (given - steps.get()));
        found
    }

    fn cut(
        &self,
        place: usize,
        shape: &Shape<'a>,
        named: &[usize],
        steps: &Cell<u32>,
    ) -> Option<Vec<usize>> {
        let mut used = BTreeSet::new();
        let mut open = pieces(shape)?;
        while let Some(piece) = open.pop() {
            let [source, destination, protocol, port] = piece.ranges.map(|it| it.0);
            let point = Point {
                source,
                destination,
                protocol: protocol as u8,
                port: u16::try_from(port).ok(),
            };
            let known = named.iter().copied();
            let mut earlier = known.chain(self.points.at(point, place));
            let (other, cut) = earlier.find_map(|other| {
                steps.set(steps.get().checked_sub(1)?);
                let outer = self.shapes.shape(other)?;
                self.shapes
                    .shares(outer, shape)
                    .then(|| around(outer, shape, &piece))?
                    .map(|cut| (other, cut))
            })?;
            if steps.get() == 0 {
                return None;
            }
            used.insert(other);
            piece.without(&cut, |rest| open.push(rest));
        }
        Some(used.into_iter().collect())
    }
}

/// What a policy means, in pieces; `None` if there are none or too many.
fn pieces(shape: &Shape) -> Option<Vec<Piece>> {
    let one = [(u32::MAX, u32::MAX)];
    let sources = shape.source.addresses().unwrap_or(&one);
    let destinations = shape.destination.addresses().unwrap_or(&one);
    let applications = match shape.applications.len() {
        0 => 1,
        many => 1u32.checked_shl(many as u32)? - 1,
    };
    let services = services(shape);
    // One that can mean no session is covered by nothing.
    if services.is_empty() {
        return None;
    }
    let many = sources.len().checked_mul(destinations.len())?;
    if many.checked_mul(services.len())? > STEPS as usize {
        return None;
    }
    let mut pieces = Vec::new();
    for source in sources {
        for destination in destinations {
            pieces.extend(services.iter().map(|(protocol, ports)| Piece {
                ranges: [*source, *destination, *protocol, *ports],
                applications,
            }));
        }
    }
    Some(pieces)
}

/// Protocols and ports that there are of those that a policy means.
fn services(shape: &Shape) -> Vec<((u32, u32), (u32, u32))> {
    let all = [(0, NO_PORT - 1)];
    let ports = shape.ports.as_deref().unwrap_or(&all);
    let means = |protocol: u32| shape.protocol.is_none_or(|it| u32::from(it) == protocol);
    let mut services = Vec::new();
    for protocol in WITH_PORTS.into_iter().filter(|it| means(*it)) {
        services.extend(ports.iter().map(|it| ((protocol, protocol), *it)));
    }
    if shape.ports.is_none() {
        let others = WITHOUT_PORTS.into_iter().filter_map(|(first, last)| {
            match shape.protocol.map(u32::from) {
                None => Some((first, last)),
                Some(only) => (first..=last).contains(&only).then_some((only, only)),
            }
        });
        services.extend(others.map(|it| (it, (NO_PORT, NO_PORT))));
    }
    services
}

/// What an earlier policy means around the lowest corner of a piece, if it means that.
fn around(outer: &Shape, shape: &Shape, piece: &Piece) -> Option<Piece> {
    let side = |outer: &Side, inner: &Side, at: u32| match (outer, inner) {
        (Side::Addresses(ranges), Side::Addresses(_)) => containing(ranges, at),
        _ => Some(ALL),
    };
    let [source, destination, protocol, port] = piece.ranges.map(|it| it.0);
    let protocols = match outer.protocol.map(u32::from) {
        None => (0, 255),
        Some(only) if only == protocol => (only, only),
        Some(_) => return None,
    };
    let ports = match &outer.ports {
        None => (0, NO_PORT),
        Some(ranges) => containing(ranges, port)?,
    };
    let applications = match outer.applications {
        [] => u32::MAX,
        some => {
            let inner = shape.applications.iter().enumerate();
            let common = inner.filter(|(_, app)| some.contains(app));
            common.fold(0, |all, (n, _)| all | 1 << n)
        }
    };
    let lowest = piece.applications & piece.applications.wrapping_neg();
    let cut = Piece {
        ranges: [
            side(&outer.source, &shape.source, source)?,
            side(&outer.destination, &shape.destination, destination)?,
            protocols,
            ports,
        ],
        applications,
    };
    (applications & lowest != 0).then_some(cut)
}

/// The range that a number is in.
fn containing(ranges: &Ranges, number: u32) -> Option<(u32, u32)> {
    let after = ranges.partition_point(|range| range.0 <= number);
    let range = *ranges.get(after.checked_sub(1)?)?;
    (range.1 >= number).then_some(range)
}
