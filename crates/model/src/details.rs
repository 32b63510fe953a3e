//! What is kept of resources for people and for the cloud API. No packet depends on it, and the engine is not told.

use crate::{Eni, Id, Kind};
use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What a configuration says of its resources besides what the engine is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// By resource. What belongs to the primary interface of an instance is under [`Kind::Eni`] and the
    /// instance's identifier.
    of: BTreeMap<Kind, BTreeMap<Id, Detail>>,
    /// Of route entries, by route table and destination.
    routes: BTreeMap<(Id, Ipv4Net), Detail>,
    /// Blocks that NAT IPs are taken from, besides those of the gateways' vSwitches.
    pub nat_ip_cidrs: Vec<NatIpCidr>,
}

/// What is said of one resource. `None`: nothing, and what is kept of it stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// For people.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Key and value.
    pub tags: Option<BTreeMap<String, String>>,
    /// The resource group.
    pub resource_group: Option<String>,
    /// Whether the API refuses to delete it.
    pub deletion_protection: Option<bool>,
    /// Its region: of VPCs, EIPs and bandwidth packages.
    pub region: Option<Id>,
    /// Its zone: of vSwitches and instances.
    pub zone: Option<Id>,
    /// Further blocks that routes of a VPC may name although they are not private.
    pub user_cidrs: Option<Vec<Ipv4Net>>,
    /// Whether members of a normal security group do not reach each other.
    pub isolated: Option<bool>,
    /// Descriptions of a security group's rules, in their order; empty: nothing is said.
    pub rules: Vec<String>,
    /// Whether an instance runs: one that does not has no network.
    pub running: Option<bool>,
    /// An instance's name for itself.
    pub host_name: Option<String>,
    /// The image of an instance.
    pub image: Option<String>,
    /// The type of an instance.
    pub instance_type: Option<String>,
    /// Those of an interface's [`hosts`](Eni::hosts), the first ones, that are its secondary addresses.
    pub secondary_addresses: Option<Vec<Ipv4Addr>>,
    /// Whether an interface goes when its instance goes.
    pub delete_with_instance: Option<bool>,
    /// Whether an interface is attached to no instance; it is then its own, as [`Eni::instance`] says.
    pub detached: bool,
    /// How an EIP is charged.
    pub charge_type: Option<String>,
    /// Whether an EIP of a NAT gateway is in SNAT entries or in DNAT entries, not in both.
    pub standard: Option<bool>,
    /// How EIPs of a NAT gateway are shown.
    pub bind_mode: Option<String>,
    /// The vSwitch that a NAT gateway for the Internet is shown in; the one that an SNAT entry's source is.
    pub vswitch: Option<Id>,
    /// The private address of a NAT gateway.
    pub private_address: Option<Ipv4Addr>,
    /// Whether a peer connection is accepted: only then it carries traffic.
    pub accepted: Option<bool>,
    /// The account that a peer connection names.
    pub accepting_account: Option<u64>,
    /// The bandwidth that a peer connection names.
    pub bandwidth: Option<u32>,
    /// The type of link that a peer connection names.
    pub link_type: Option<String>,
}

/// A block that NAT IPs of a VPC NAT gateway may be taken from.
#[derive(Clone, Debug, PartialEq)]
pub struct NatIpCidr {
    /// Identifier.
    pub id: Id,
    /// Its NAT gateway.
    pub gateway: Id,
    /// The block.
    pub cidr: Ipv4Net,
    /// Its name and description.
    pub detail: Detail,
}

/// What is said of those of whom nothing is said.
static NOTHING: Detail = Detail {
    name: None,
    description: None,
    tags: None,
    resource_group: None,
    deletion_protection: None,
    region: None,
    zone: None,
    user_cidrs: None,
    isolated: None,
    rules: Vec::new(),
    running: None,
    host_name: None,
    image: None,
    instance_type: None,
    secondary_addresses: None,
    delete_with_instance: None,
    detached: false,
    charge_type: None,
    standard: None,
    bind_mode: None,
    vswitch: None,
    private_address: None,
    accepted: None,
    accepting_account: None,
    bandwidth: None,
    link_type: None,
};

impl Details {
    /// What is said of a resource.
    pub fn of(&self, kind: Kind, id: &str) -> &Detail {
        let of = self.of.get(&kind).and_then(|of| of.get(id));
        of.unwrap_or(&NOTHING)
    }

    /// What is said of a route entry.
    pub fn of_route(&self, table: &Id, destination: Ipv4Net) -> &Detail {
        match self.routes.is_empty() {
            true => &NOTHING,
            false => {
                let of = self.routes.get(&(table.clone(), destination));
                of.unwrap_or(&NOTHING)
            }
        }
    }

    /// Says something of a resource; nothing is not written down.
    pub fn say(&mut self, kind: Kind, id: &Id, detail: Detail) {
        if detail != NOTHING {
            self.of.entry(kind).or_default().insert(id.clone(), detail);
        }
    }

    /// Says something of a route entry.
    pub fn say_of_route(&mut self, table: &Id, destination: Ipv4Net, detail: Detail) {
        if detail != NOTHING {
            self.routes.insert((table.clone(), destination), detail);
        }
    }

    /// Whether a network interface is an instance's primary one, and so the instance itself.
    pub fn is_instance(&self, eni: &Eni) -> bool {
        eni.is_primary() && !self.of(Kind::Eni, &eni.id).detached
    }
}
