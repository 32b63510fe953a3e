//! Policies from a network to a network, found by what is narrowest in them.
//!
//! Most policies name one network on either side. Each of them lies under its source, its destination or its port, whichever
//! the fewest others name, too. A check goes through what lies under the networks around its addresses and under its
//! port, and compares: these are few networks, since each is within the next, and few policies under each. It stops where
//! nothing comes before what it has found. Policies that have everything in common with many others are not here but in
//! [sets](crate::sets), as are those that name books, domains and places of the world.

use crate::intervals::{Intervals, Prefix, cut};
use crate::subject::Subject;
use hashbrown::HashMap;
use ipnet::Ipv4Net;
use model::{ControlPolicy, PolicyDestination, PolicyPorts, PolicySource};

/// Policies under one network or port at most.
pub(crate) const MOST: u32 = 32;

/// What a policy says of a session before it is identified.
#[derive(Clone, Copy, Debug)]
struct Rule {
    source: u32,
    destination: u32,
    place: u32,
    ports: (u16, u16),
    source_len: u8,
    destination_len: u8,
    /// Whether it means all ports, and what has none.
    any_port: bool,
    protocol: Option<u8>,
}

impl Rule {
    /// What a policy says, if it names networks and ports of its own.
    fn of(place: u32, policy: &ControlPolicy) -> Option<Rule> {
        let (PolicySource::Net(source), PolicyDestination::Net(destination)) =
            (&policy.source, &policy.destination)
        else {
            return None;
        };
        let (any_port, ports) = match &policy.ports {
            PolicyPorts::Any => (true, (0, u16::MAX)),
            PolicyPorts::Range(range) => (false, (*range.start(), *range.end())),
            PolicyPorts::Book(_) => return None,
        };
        let start = |net: &Ipv4Net| net.network().into();
        Some(Rule {
            source: start(source),
            destination: start(destination),
            place,
            ports,
            source_len: source.prefix_len(),
            destination_len: destination.prefix_len(),
            any_port,
            protocol: policy.protocol,
        })
    }

    fn source(&self) -> (u32, u8) {
        (self.source, self.source_len)
    }

    fn destination(&self) -> (u32, u8) {
        (self.destination, self.destination_len)
    }

    /// Its port, if it is one.
    fn port(&self) -> Option<u16> {
        let (first, last) = self.ports;
        (first == last).then_some(first)
    }

    fn means(&self, subject: &Subject) -> bool {
        let (first, last) = self.ports;
        is_within(subject.destination.into(), self.destination())
            && is_within(subject.source.into(), self.source())
            && match subject.port {
                Some(port) => (first..=last).contains(&port),
                None => self.any_port,
            }
            && self.protocol.is_none_or(|it| it == subject.protocol)
    }
}

fn is_within(number: u32, (start, len): (u32, u8)) -> bool {
    let differ = number ^ start;
    differ.checked_shr(32 - u32::from(len)).unwrap_or(0) == 0
}

/// Names a node; 0 is none.
type NodeIx = u32;

/// A network or a port, and the policies that lie under it.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// The network around.
    around: NodeIx,
    /// Its rules: from here...
    from: u32,
    /// ... to here, in the order of their places.
    to: u32,
    /// The place of the first.
    first: u32,
}

/// Where networks lie.
#[derive(Debug)]
struct Side {
    intervals: Intervals,
    nodes: Vec<NodeIx>,
}

/// Policies that are found by a network or a port.
#[derive(Debug)]
pub(crate) struct Index {
    rules: Vec<Rule>,
    nodes: Vec<Node>,
    source: Side,
    destination: Side,
    ports: HashMap<u16, NodeIx>,
}

/// Counts how many policies name the same.
fn count<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, u32> {
    let mut counts = HashMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

impl Index {
    /// Takes those policies that can be found by a network or a port under which there are at most `most`. The places of policies ascend, and so do those that
    /// are given with it: those of the policies that it has taken.
    pub fn new<'a>(
        policies: impl Iterator<Item = (u32, &'a ControlPolicy)>,
        most: u32,
    ) -> (Index, Vec<u32>) {
        let rules = policies.filter_map(|(place, policy)| Rule::of(place, policy));
        let rules: Vec<Rule> = rules.collect();
        let sources = count(rules.iter().map(Rule::source));
        let destinations = count(rules.iter().map(Rule::destination));
        let ports = count(rules.iter().filter_map(Rule::port));
        let mut nets = [Vec::new(), Vec::new()];
        let mut by_port: Vec<(u16, Rule)> = Vec::new();
        let mut taken = Vec::with_capacity(rules.len());
        for rule in rules {
            let [from, to] = [sources[&rule.source()], destinations[&rule.destination()]];
            let of_port = rule.port().map(|port| (ports[&port], port));
            let few = from.min(to);
            if of_port.map_or(few, |it| it.0.min(few)) > most {
                continue;
            }
            taken.push(rule.place);
            if let Some((_, port)) = of_port.filter(|&(count, _)| count < few) {
                by_port.push((port, rule));
                continue;
            }
            // Of two that as many name, the narrower.
            let by_source = (from, rule.destination_len) < (to, rule.source_len);
            let (start, len) = match by_source {
                true => rule.source(),
                false => rule.destination(),
            };
            nets[usize::from(!by_source)].push(Prefix {
                start,
                len,
                value: rule,
            });
        }
        let mut index = Index {
            rules: Vec::with_capacity(taken.len()),
            nodes: vec![Node::default()],
            source: Side::default(),
            destination: Side::default(),
            ports: HashMap::new(),
        };
        let [from, to] = nets.map(|nets| index.side(nets));
        (index.source, index.destination) = (from, to);
        by_port.sort_by_key(|&(port, rule)| (port, rule.place));
        for same in by_port.chunk_by(|a, b| a.0 == b.0) {
            let node = index.node(0, same.iter().map(|it| it.1));
            index.ports.insert(same[0].0, node);
        }
        index.nodes.shrink_to_fit();
        (index, taken)
    }

    fn side(&mut self, nets: Vec<Prefix<Rule>>) -> Side {
        let nest =
            |around, same: &[Prefix<Rule>]| self.node(around, same.iter().map(|it| it.value));
        let (intervals, nodes) = cut(nets, 0, nest);
        Side { intervals, nodes }
    }

    /// Makes a node of rules, in the order of their places.
    fn node(&mut self, around: NodeIx, rules: impl Iterator<Item = Rule>) -> NodeIx {
        let from = self.rules.len();
        self.rules.extend(rules);
        self.nodes.push(Node {
            around,
            from: from as u32,
            to: self.rules.len() as u32,
            first: self.rules[from].place,
        });
        self.nodes.len() as u32 - 1
    }

    /// The first policy that means a session and that `fits`.
    pub fn first(&self, subject: &Subject, fits: impl Fn(u32) -> bool) -> Option<u32> {
        if self.rules.is_empty() {
            return None;
        }
        let by_port = subject.port.and_then(|port| self.ports.get(&port));
        let nodes = [
            self.destination.find(subject.destination.into()),
            self.source.find(subject.source.into()),
            by_port.copied().unwrap_or(0),
        ];
        let mut best = u32::MAX;
        for mut ix in nodes {
            while ix != 0 {
                let node = &self.nodes[ix as usize];
                ix = node.around;
                if node.first >= best {
                    continue;
                }
                let rules = &self.rules[node.from as usize..node.to as usize];
                let mut before = rules.iter().take_while(|rule| rule.place < best);
                if let Some(rule) = before.find(|it| it.means(subject) && fits(it.place)) {
                    best = rule.place;
                }
            }
        }
        (best != u32::MAX).then_some(best)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.rules.capacity() * size_of::<Rule>()
            + self.nodes.capacity() * size_of::<Node>()
            + [&self.source, &self.destination]
                .map(Side::bytes)
                .iter()
                .sum::<usize>()
            + self.ports.allocation_size()
    }
}

impl Default for Side {
    fn default() -> Self {
        let (intervals, nodes) = cut(Vec::<Prefix<()>>::new(), 0, |around, _| around);
        Side { intervals, nodes }
    }
}

impl Side {
    /// The narrowest network around an address.
    fn find(&self, address: u32) -> NodeIx {
        self.nodes[self.intervals.find(address)]
    }

    fn bytes(&self) -> usize {
        self.intervals.bytes() + self.nodes.capacity() * size_of::<NodeIx>()
    }
}
