//! Security groups: a network interface's rules, in the order in which they are asked.
//!
//! The rules of all groups of an interface count together, as in the cloud: by priority, smaller
//! numbers first, and drop before accept among equals. Without a rule that matches, everything may
//! go out and nothing may come in, except from members of the same group, unless that is an enterprise
//! group. Rules are asked for the first packet of a session; its answers belong to it.

use crate::snapshot::SnapshotError;
use ipnet::Ipv4Net;
use model::{Config, Direction, Id, Policy, RulePeer, SecurityGroupKind};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// The rules of a network interface in one direction.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Members of these groups are let in if no rule matches.
    default: Vec<u32>,
    otherwise: Policy,
    /// Whether it matters which groups the other end is in.
    pub asks_groups: bool,
}

#[derive(Debug, PartialEq)]
struct Rule {
    policy: Policy,
    protocol: Option<u8>,
    ports: Option<RangeInclusive<u16>>,
    peer: Peer,
    /// For people: the group and the rule's number in it.
    group: u32,
    number: u32,
}

#[derive(Debug, PartialEq)]
enum Peer {
    Net(Ipv4Net),
    Group(u32),
}

/// The other end of a packet, and what it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Its address.
    pub address: Ipv4Addr,
    /// The groups of the network interface that has this address, if one does.
    pub groups: &'a [u32],
    /// IP protocol.
    pub protocol: u8,
    /// The receiver's port, for TCP and UDP.
    pub port: Option<u16>,
}

/// What the rules say, and which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub allowed: bool,
    /// Group and number of the rule (from 1); `None` for the default.
    pub rule: Option<(u32, u32)>,
}

/// Collects the rules of `groups` that look in `direction`.
pub(crate) fn compile(
    config: &Config,
    groups: &[u32],
    direction: Direction,
    group_ix: impl Fn(&Id) -> Result<u32, SnapshotError>,
) -> Result<Rules, SnapshotError> {
    let mut rules = Vec::new();
    let mut default = Vec::new();
    for &group in groups {
        let g = &config.security_groups[group as usize];
        for (number, r) in g
            .rules
            .iter()
            .enumerate()
            .filter(|(_, r)| r.direction == direction)
        {
            let peer = match &r.peer {
                RulePeer::Cidr(net) => Peer::Net(*net),
                RulePeer::Group(id) => Peer::Group(group_ix(id)?),
            };
            rules.push((
                r.priority,
                Rule {
                    policy: r.policy,
                    protocol: r.protocol,
                    ports: r.ports.clone(),
                    peer,
                    group,
                    number: number as u32 + 1,
                },
            ));
        }
        if direction == Direction::Ingress && g.kind == SecurityGroupKind::Normal {
            default.push(group);
        }
    }
    // Stable: rules of equal rank stay in the order in which they were given.
    rules.sort_by_key(|(priority, rule)| (*priority, rule.policy == Policy::Accept));
    let by_group = |(_, rule): &(_, Rule)| matches!(rule.peer, Peer::Group(_));
    Ok(Rules {
        asks_groups: !default.is_empty() || rules.iter().any(by_group),
        rules: rules.into_iter().map(|(_, rule)| rule).collect(),
        default,
        otherwise: match direction {
            Direction::Egress => Policy::Accept,
            Direction::Ingress => Policy::Drop,
        },
    })
}

impl Rules {
    /// What the rules say of a session's first packet.
    pub fn check(&self, subject: &Subject) -> Verdict {
        if let Some(rule) = self.rules.iter().find(|rule| rule.matches(subject)) {
            return Verdict {
                allowed: rule.policy == Policy::Accept,
                rule: Some((rule.group, rule.number)),
            };
        }
        let same_group = || {
            self.default
                .iter()
                .any(|group| subject.groups.contains(group))
        };
        Verdict {
            allowed: self.otherwise == Policy::Accept || same_group(),
            rule: None,
        }
    }
}

impl Rule {
    fn matches(&self, subject: &Subject) -> bool {
        self.protocol.is_none_or(|p| p == subject.protocol)
            && self
                .ports
                .as_ref()
                .is_none_or(|ports| subject.port.is_some_and(|port| ports.contains(&port)))
            && match &self.peer {
                Peer::Net(net) => net.contains(&subject.address),
                Peer::Group(group) => subject.groups.contains(group),
            }
    }
}
