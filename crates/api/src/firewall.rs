//! What the API asks the running firewalls: what has matched, what names stand for, and which addresses cloud services have.

use ipnet::Ipv4Net;
use model::PolicyScope;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What has matched a policy since it was made or reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// How many sessions (for the DNS firewall: questions).
    pub count: u64,
    /// Bytes of their packets, in both directions.
    pub bytes: u64,
    /// When the last one did, in seconds since 1970; `None`: never.
    pub last: Option<u64>,
}

/// What a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Its addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// When they were learned, in seconds since 1970.
    pub at: u64,
}

/// The running firewalls.
pub trait Firewalls: Send + Sync {
    /// What has matched policies of a firewall, in the order in which they are asked for; of one that is not in force
    /// nothing.
    fn hits(&self, scope: &PolicyScope, ids: &[&str]) -> Vec<Hits>;

    /// Whether it is known what has matched.
    fn counts(&self) -> bool {
        true
    }

    /// Counts anew from now on what matches a policy.
    fn reset(&self, scope: &PolicyScope, id: &str);

    /// What a name stands for, as far as policies go by that; `None` if that is not known.
    fn resolved(&self, name: &str) -> Option<Resolved>;

    /// Has a name resolved now. The answer is not waited for.
    fn resolve(&self, name: &str);

    /// The networks of a cloud service, by its address book: those that are in force.
    fn cloud_service(&self, book: &str) -> Arc<[Ipv4Net]>;
}

/// Without a data path nothing matches.
pub(crate) struct Idle;

impl Firewalls for Idle {
    fn hits(&self, _: &PolicyScope, ids: &[&str]) -> Vec<Hits> {
        vec![Hits::default(); ids.len()]
    }

    fn counts(&self) -> bool {
        false
    }

    fn reset(&self, _: &PolicyScope, _: &str) {}

    fn resolved(&self, _: &str) -> Option<Resolved> {
        None
    }

    fn resolve(&self, _: &str) {}

    fn cloud_service(&self, _: &str) -> Arc<[Ipv4Net]> {
        Arc::default()
    }
}
