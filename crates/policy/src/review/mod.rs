//! A look at policies as an administrator would take it: which of them do nothing, say too much, or are not what they seem.

mod cover;
mod points;
mod union;

use crate::resolved::Resolved;
use cover::Shapes;
use hashbrown::{HashMap, HashSet};
use model::{
    AddressBook, BookContent, ControlPolicy, DomainResolve, Id, Policy, PolicyAction,
    PolicyDestination, PolicyPorts, PolicySource, Validity, domain::Pattern,
};
use points::Points;
use std::fmt;
use std::sync::Arc;
use union::Unions;

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Review<'a> {
    /// The policies, in their order.
    pub policies: &'a [Arc<ControlPolicy>],
    /// The books that they name.
    pub books: &'a [AddressBook],
    /// What happens to what no policy matches.
    pub default_action: Policy,
    /// How often a policy was hit; `None` where that is not known, or has not been counted for long enough to tell.
    pub hits: &'a dyn Fn(&Id) -> Option<u64>,
    /// What names stand for, as far as they were resolved.
    pub resolved: &'a Resolved,
}

/// What is wrong with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flaw {
    /// An earlier policy means the same and does the same.
    Duplicate,
    /// An earlier policy, or several together, mean all that it means, and do the same.
    Shadowed,
    /// An earlier policy, or several together, mean all that it means, and do something else.
    Conflicting,
    /// It names a book that is empty, or that there is not.
    Ineffective,
    /// It was never hit.
    NeverHit,
    /// It lets pass whatever goes anywhere.
    OverBroad,
    /// It lets pass sessions to any address at a port that is known for attacks.
    HighRiskPort,
    /// It names a domain that will never match.
    InvalidDomain,
    /// What no policy matches passes.
    DefaultNotDeny,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Flaw; 9] = [
        Flaw::Duplicate,
        Flaw::Shadowed,
        Flaw::Conflicting,
        Flaw::Ineffective,
        Flaw::NeverHit,
        Flaw::OverBroad,
        Flaw::HighRiskPort,
        Flaw::InvalidDomain,
        Flaw::DefaultNotDeny,
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Flaw::Duplicate => "duplicate",
            Flaw::Shadowed => "shadowed",
            Flaw::Conflicting => "conflicting",
            Flaw::Ineffective => "ineffective",
            Flaw::NeverHit => "never-hit",
            Flaw::OverBroad => "over-broad",
            Flaw::HighRiskPort => "high-risk-port",
            Flaw::InvalidDomain => "invalid-domain",
            Flaw::DefaultNotDeny => "default-not-deny",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub flaw: Flaw,
    /// The policy that it is about, and then those that make it so: the first of them. None: the list as a whole.
    pub policies: Vec<Id>,
    /// One sentence for people.
    pub explanation: String,
}

/// Ports that are known for attacks, and what listens there.
const HIGH_RISK: &[(u16, &str)] = &[
    (21, "FTP"),
    (22, "SSH"),
    (23, "Telnet"),
    (135, "RPC"),
    (137, "NetBIOS"),
    (138, "NetBIOS"),
    (139, "NetBIOS"),
    (445, "SMB"),
    (1433, "SQL Server"),
    (1521, "Oracle"),
    (2375, "Docker"),
    (3306, "MySQL"),
    (3389, "RDP"),
    (5432, "PostgreSQL"),
    (5900, "VNC"),
    (6379, "Redis"),
    (9200, "Elasticsearch"),
    (11211, "Memcached"),
    (27017, "MongoDB"),
];

/// How many of several policies that make something so are named.
const NAMED: usize = 8;

/// Looks at policies. Findings come in the order of the policies, what is about all of them at the end. What several
/// policies cover only together is found as far as that takes a bounded number of steps.
pub fn review(of: &Review) -> Vec<Finding> {
    let shapes = Shapes::new(of.policies, of.books);
    let points = Points::new(of.policies, of.books, |place| shapes.counts(place));
    let unions = Unions::new(&shapes, &points);
    let books: HashMap<&Id, &BookContent> =
        of.books.iter().map(|it| (&it.id, &*it.content)).collect();
    let names = Names {
        resolved: of.resolved,
        books: &books,
    };
    let mut findings = Vec::new();
    for (place, policy) in of.policies.iter().enumerate().filter(|(_, it)| it.enabled) {
        let mut tell = |flaw, others: &[&Id], explanation| {
            let others = others.iter().copied();
            findings.push(Finding {
                flaw,
                policies: std::iter::once(&policy.id).chain(others).cloned().collect(),
                explanation,
            });
        };
        let id = &policy.id;
        if !shapes.counts(place) {
            let why = format!(
                "Policy {id} never matches, since a book or list that it names is empty, of another kind, or does not exist."
            );
            tell(Flaw::Ineffective, &[], why);
            continue;
        }
        if let Some(other) = shapes.covered_by(place, &points) {
            let earlier = &of.policies[other];
            let (flaw, why) = match earlier.action == policy.action {
                true if shapes.covers(place, other) => (
                    Flaw::Duplicate,
                    format!(
                        "Policy {id} says what policy {} before it says, and can be deleted.",
                        earlier.id
                    ),
                ),
                true => (
                    Flaw::Shadowed,
                    format!(
                        "Policy {id} is never reached, since policy {} before it matches all that it would and does the same.",
                        earlier.id
                    ),
                ),
                false => (
                    Flaw::Conflicting,
                    format!(
                        "Policy {id} never gets to {} anything, since policy {} before it matches all that it would and has the action {}.",
                        word(policy.action),
                        earlier.id,
                        word(earlier.action)
                    ),
                ),
            };
            tell(flaw, &[&earlier.id], why);
        } else if let Some(others) = unions.covering(place) {
            let others = || others.iter().map(|other| &of.policies[*other]);
            let named: Vec<&Id> = others().take(NAMED).map(|it| &it.id).collect();
            let together = together(&named, others().count());
            let (flaw, why) = match others().all(|it| it.action == policy.action) {
                true => (
                    Flaw::Shadowed,
                    format!(
                        "Policy {id} is never reached, since {together} match all that it would and do the same."
                    ),
                ),
                false => (
                    Flaw::Conflicting,
                    format!(
                        "Policy {id} never gets to {} anything, since {together} match all that it would, and not all of them do that.",
                        word(policy.action)
                    ),
                ),
            };
            tell(flaw, &named, why);
        } else if (of.hits)(id) == Some(0) {
            let why = format!("Policy {id} has never been hit, and may not be needed.");
            tell(Flaw::NeverHit, &[], why);
        }
        if policy.action != PolicyAction::Drop && anywhere(policy) && policy.applications.is_empty()
        {
            match (&policy.ports, high_risk(policy, &books)) {
                (PolicyPorts::Any, _) => {
                    let why = format!(
                        "Policy {id} lets pass whatever goes anywhere, at every port and with every application."
                    );
                    tell(Flaw::OverBroad, &[], why);
                }
                (_, Some((port, what))) => {
                    let why = format!(
                        "Policy {id} lets pass sessions to any address at port {port} ({what}), which is known for attacks."
                    );
                    tell(Flaw::HighRiskPort, &[], why);
                }
                _ => {}
            }
        }
        if let Some(why) = names.wrong(policy) {
            tell(Flaw::InvalidDomain, &[], format!("Policy {id} {why}."));
        }
    }
    let denies = |policy: &Arc<ControlPolicy>| {
        policy.enabled
            && policy.action == PolicyAction::Drop
            && policy.source == PolicySource::Net(Default::default())
            && anywhere(policy)
            && policy.protocol.is_none()
            && policy.ports == PolicyPorts::Any
            && policy.applications.is_empty()
            && policy.validity == Validity::Permanent
    };
    if of.default_action == Policy::Accept && !of.policies.iter().any(denies) {
        findings.push(Finding {
            flaw: Flaw::DefaultNotDeny,
            policies: Vec::new(),
            explanation: "What no policy matches passes, since the default is to accept and no policy drops the rest.".into(),
        });
    }
    findings
}

/// Some of so many policies before another.
fn together(named: &[&Id], many: usize) -> String {
    let ids: Vec<&str> = named.iter().map(|it| it.as_str()).collect();
    let policies = match (&ids[..], many - named.len()) {
        ([some @ .., last], 0) => format!("{} and {last}", some.join(", ")),
        (some, more) => format!("{} and {more} more", some.join(", ")),
    };
    format!("policies {policies} before it together")
}

fn word(action: PolicyAction) -> &'static str {
    match action {
        PolicyAction::Accept => "accept",
        PolicyAction::Drop => "drop",
        PolicyAction::Log => "log",
    }
}

fn anywhere(policy: &ControlPolicy) -> bool {
    matches!(&policy.destination, PolicyDestination::Net(net) if net.prefix_len() == 0)
}

/// The first port that is known for attacks among those of a policy.
fn high_risk(
    policy: &ControlPolicy,
    books: &HashMap<&Id, &BookContent>,
) -> Option<(u16, &'static str)> {
    if policy.protocol.is_some_and(|it| it != model::text::TCP) {
        return None;
    }
    let ranges = match &policy.ports {
        PolicyPorts::Any => &[],
        PolicyPorts::Range(range) => std::slice::from_ref(range),
        PolicyPorts::Book(id) => match books.get(id) {
            Some(BookContent::Port(ranges)) => ranges.as_slice(),
            _ => &[],
        },
    };
    let mut all = HIGH_RISK.iter();
    all.find(|(port, _)| ranges.iter().any(|range| range.contains(port)))
        .copied()
}

struct Names<'a> {
    resolved: &'a Resolved,
    books: &'a HashMap<&'a Id, &'a BookContent>,
}

impl Names<'_> {
    /// What is wrong with the domains of a policy, as the end of a sentence about it.
    fn wrong(&self, policy: &ControlPolicy) -> Option<String> {
        let (patterns, book) = match &policy.destination {
            PolicyDestination::Domain(pattern) => (std::slice::from_ref(pattern), None),
            PolicyDestination::Book(id) => match self.books.get(id) {
                Some(BookContent::Domain(patterns)) => (patterns.as_slice(), Some(id)),
                _ => return None,
            },
            _ => return None,
        };
        let from = book.map_or(String::new(), |id| format!(" in book {id}"));
        let mut seen = HashSet::new();
        let patterns = patterns.iter().filter(|it| seen.insert(*it));
        for pattern in patterns {
            let why = match pattern {
                Pattern::Exact(name) if !name.contains('.') => {
                    "has one label, which no name of the Internet has"
                }
                Pattern::Below(name) if !name.contains('.') => "is a whole top-level domain",
                Pattern::Exact(name)
                    if policy.resolve == DomainResolve::Dns
                        && self.resolved.addresses(name).is_some_and(<[_]>::is_empty) =>
                {
                    "does not resolve to an address, by which it would be told"
                }
                _ => continue,
            };
            return Some(format!("names the domain {pattern}{from}, which {why}"));
        }
        None
    }
}

#[cfg(test)]
mod tests;
