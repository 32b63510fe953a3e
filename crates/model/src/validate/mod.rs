//! Whether a configuration as a whole makes sense.
//!
//! The rules, by file: `outside` the program's own settings, uplinks, EIPs and bandwidth; `network` VPCs,
//! vSwitches, route tables and peerings; `instances` security groups and network interfaces;
//! `nat` gateways with their entries and NAT IPs; `firewalls` NAT firewalls; `policies` those of firewalls, and
//! address books. A rule whose reference leads nowhere says so and stops there:
//! one mistake, one problem.
mod firewalls;
mod instances;
mod known;
mod nat;
mod network;
mod outside;
mod overlap;
mod policies;

pub use policies::PolicyFault;

use crate::problem::Known;
use crate::*;
use hashbrown::HashMap;
use ipnet::Ipv4Net;
use known::Fresh;
use std::net::Ipv4Addr;

/// Everything that is wrong with a configuration, in the order of its resources. Empty: it is right.
pub fn check(config: &Config) -> Vec<Problem> {
    check_all(config, None)
}

/// The same of a configuration that came of one in which nothing is wrong, with less work: policies that both share are
/// not looked at again.
pub fn check_after(config: &Config, valid: &Config) -> Vec<Problem> {
    check_all(config, Some(valid))
}

fn check_all(config: &Config, valid: Option<&Config>) -> Vec<Problem> {
    let mut checker = Checker {
        config,
        fresh: Fresh::of(config, valid),
        ids: HashMap::new(),
        peers: HashMap::new(),
        problems: Vec::new(),
    };
    checker.ids();
    checker.peerings();
    checker.system();
    checker.uplinks();
    checker.vpcs();
    checker.vswitches();
    checker.route_tables();
    checker.security_groups();
    checker.enis();
    checker.devices();
    checker.eips();
    checker.bandwidths();
    checker.gateways();
    checker.nat_ips();
    checker.nat_firewalls();
    checker.border();
    checker.books();
    checker.policies();
    checker.feeds();
    checker.problems.sort_by_key(|problem| problem.place);
    checker.problems
}

/// Walks through a configuration and writes down what is wrong.
struct Checker<'a> {
    config: &'a Config,
    /// The policies of each list that are to be looked at.
    fresh: Vec<Fresh>,
    /// Positions of the resources in their lists. Instances and ENIs share [`Kind::Eni`].
    ids: HashMap<(Kind, &'a str), usize>,
    /// The positions of the VPCs that are peered with a VPC.
    peers: HashMap<&'a str, Vec<usize>>,
    problems: Vec<Problem>,
}

/// A field of an item, or an element of it.
fn at(item: Item, field: &'static str) -> Place {
    Place {
        item,
        field,
        element: 0,
    }
}

/// All positions of a slice, as items.
fn items<T>(list: &[T], item: fn(usize) -> Item) -> impl Iterator<Item = (Item, &T)> {
    list.iter()
        .enumerate()
        .map(move |(n, element)| (item(n), element))
}

impl Place {
    /// An element of a field that is a list.
    fn element(self, element: usize) -> Place {
        Place { element, ..self }
    }
}

/// The blocks of a VPC, for a message.
fn blocks(vpc: &Vpc) -> String {
    let blocks: Vec<String> = vpc.cidrs.iter().map(Ipv4Net::to_string).collect();
    blocks.join(", ")
}

impl<'a> Checker<'a> {
    /// Writes down a problem.
    fn report(&mut self, place: Place, fault: Fault) {
        self.conflict(place, fault, None);
    }

    /// Writes down a problem that has to do with another part.
    fn conflict(&mut self, place: Place, fault: Fault, other: impl Into<Option<Item>>) {
        let subject = Subject::of(self.config, place.item);
        self.problems.push(Problem {
            subject,
            place,
            fault,
            other: other.into(),
        });
    }

    /// A part's name, for a message about another.
    fn name(&self, item: Item) -> String {
        Subject::of(self.config, item).to_string()
    }

    /// Registers all identifiers: each is well-formed and used once.
    fn ids(&mut self) {
        let config = self.config;
        let mut all: Vec<(Kind, Item, &'a Id)> = Vec::new();
        all.extend(
            items(&config.uplinks, Item::Uplink).map(|(item, it)| (Kind::Uplink, item, &it.id)),
        );
        all.extend(items(&config.vpcs, Item::Vpc).map(|(item, it)| (Kind::Vpc, item, &it.id)));
        all.extend(
            items(&config.vswitches, Item::VSwitch).map(|(item, it)| (Kind::VSwitch, item, &it.id)),
        );
        all.extend(
            items(&config.route_tables, Item::RouteTable)
                .map(|(item, it)| (Kind::RouteTable, item, &it.id)),
        );
        all.extend(
            items(&config.security_groups, Item::SecurityGroup)
                .map(|(item, it)| (Kind::SecurityGroup, item, &it.id)),
        );
        all.extend(items(&config.enis, Item::Eni).map(|(item, it)| (Kind::Eni, item, &it.id)));
        all.extend(items(&config.eips, Item::Eip).map(|(item, it)| (Kind::Eip, item, &it.id)));
        all.extend(
            items(&config.bandwidth_packages, Item::BandwidthPackage)
                .map(|(item, it)| (Kind::BandwidthPackage, item, &it.id)),
        );
        all.extend(
            items(&config.nat_gateways, Item::NatGateway)
                .map(|(item, it)| (Kind::NatGateway, item, &it.id)),
        );
        all.extend(
            items(&config.nat_ips, Item::NatIp).map(|(item, it)| (Kind::NatIp, item, &it.id)),
        );
        all.extend(
            items(&config.peerings, Item::Peering).map(|(item, it)| (Kind::Peering, item, &it.id)),
        );
        all.extend(
            items(&config.firewalls.nat, Item::NatFirewall)
                .map(|(item, it)| (Kind::NatFirewall, item, &it.id)),
        );
        let (on, off) = (config.firewalls.nat.len(), &config.firewalls.nat_off);
        let off = off.iter().enumerate();
        all.extend(off.map(|(n, it)| (Kind::NatFirewall, Item::NatFirewall(on + n), &it.id)));
        all.extend(
            items(&config.firewalls.books, Item::AddressBook)
                .map(|(item, it)| (Kind::AddressBook, item, &it.id)),
        );
        all.extend(
            items(&config.firewalls.feeds, Item::ThreatFeed)
                .map(|(item, it)| (Kind::ThreatFeed, item, &it.id)),
        );
        for (n, (list, fresh)) in config
            .firewalls
            .policies
            .iter()
            .zip(&self.fresh)
            .enumerate()
        {
            let places = fresh.places(list.policies.len());
            all.extend(places.map(|k| {
                let id = &list.policies[k].id;
                (Kind::Policy, Item::Policy(n, k), id)
            }));
        }
        for (n, gateway) in config.nat_gateways.iter().enumerate() {
            let snat = gateway.snat.iter().enumerate();
            all.extend(snat.map(|(k, it)| (Kind::SnatEntry, Item::Snat(n, k), &it.id)));
            let dnat = gateway.dnat.iter().enumerate();
            all.extend(dnat.map(|(k, it)| (Kind::DnatEntry, Item::Dnat(n, k), &it.id)));
        }

        let mut first: HashMap<(Kind, &'a str), Item> = HashMap::with_capacity(all.len());
        for (kind, item, id) in all {
            let allowed = |byte: u8| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')
            };
            if !limits::ID.contains(&id.len()) || !id.bytes().all(allowed) {
                self.report(at(item, "id"), Fault::BadId);
            }
            if let Some(&other) = first.get(&(kind, id.as_str())) {
                self.conflict(at(item, "id"), Fault::DuplicateId, other);
                continue;
            }
            first.insert((kind, id), item);
            let position = match item {
                Item::Uplink(n) | Item::Vpc(n) | Item::VSwitch(n) | Item::RouteTable(n) => n,
                Item::SecurityGroup(n) | Item::Eni(n) | Item::Eip(n) => n,
                Item::BandwidthPackage(n) | Item::NatGateway(n) | Item::Peering(n) => n,
                Item::NatIp(n) | Item::NatFirewall(n) | Item::AddressBook(n) => n,
                // Nothing refers to these.
                Item::System | Item::Route(..) | Item::Rule(..) => continue,
                Item::Snat(..) | Item::Dnat(..) | Item::Policy(..) => continue,
                Item::Border | Item::ThreatFeed(..) => continue,
            };
            self.ids.insert((kind, id), position);
        }
    }

    /// Where a reference leads, by position in the list of its kind. Reports one that leads nowhere.
    fn find(&mut self, kind: Kind, id: &'a Id, place: Place) -> Option<usize> {
        let found = self.ids.get(&(kind, id.as_str())).copied();
        if found.is_none() {
            let config = self.config;
            let known = match kind {
                Kind::Uplink => Known::new(config.uplinks.iter().map(|it| &it.id)),
                Kind::Vpc => Known::new(config.vpcs.iter().map(|it| &it.id)),
                Kind::VSwitch => Known::new(config.vswitches.iter().map(|it| &it.id)),
                Kind::RouteTable => Known::new(config.route_tables.iter().map(|it| &it.id)),
                Kind::SecurityGroup => Known::new(config.security_groups.iter().map(|it| &it.id)),
                Kind::Eni => Known::new(config.enis.iter().map(|it| &it.id)),
                Kind::Eip => Known::new(config.eips.iter().map(|it| &it.id)),
                Kind::BandwidthPackage => {
                    Known::new(config.bandwidth_packages.iter().map(|it| &it.id))
                }
                Kind::NatGateway => Known::new(config.nat_gateways.iter().map(|it| &it.id)),
                Kind::NatIp => Known::new(config.nat_ips.iter().map(|it| &it.id)),
                Kind::Peering => Known::new(config.peerings.iter().map(|it| &it.id)),
                Kind::NatFirewall => Known::new(config.firewalls.nat.iter().map(|it| &it.id)),
                Kind::Instance => Known::new(
                    config
                        .enis
                        .iter()
                        .filter(|it| it.is_primary())
                        .map(|it| &it.id),
                ),
                Kind::AddressBook => Known::new(config.firewalls.books.iter().map(|it| &it.id)),
                Kind::System | Kind::SnatEntry | Kind::DnatEntry => Known::default(),
                Kind::BorderFirewall | Kind::Policy | Kind::ThreatFeed => Known::default(),
            };
            let id = id.clone();
            self.report(place, Fault::Unknown { kind, id, known });
        }
        found
    }

    /// A VPC by identifier, without a report.
    fn vpc(&self, id: &'a str) -> Option<&'a Vpc> {
        let position = *self.ids.get(&(Kind::Vpc, id))?;
        self.config.vpcs.get(position)
    }

    /// The gateway of a NAT IP, without a report.
    fn gateway_of(&self, nat_ip: &'a NatIp) -> Option<&'a NatGateway> {
        let position = *self.ids.get(&(Kind::NatGateway, nat_ip.gateway.as_str()))?;
        self.config.nat_gateways.get(position)
    }

    /// The VPC of a network interface, without a report.
    fn vpc_of(&self, eni: &'a Eni) -> Option<&'a Id> {
        let position = *self.ids.get(&(Kind::VSwitch, eni.vswitch.as_str()))?;
        Some(&self.config.vswitches.get(position)?.vpc)
    }

    /// Reports a reference to a resource of another VPC.
    fn same_vpc(&mut self, kind: Kind, id: &Id, vpc: &Id, expected: &Id, place: Place) {
        if vpc != expected {
            let fault = Fault::OtherVpc {
                kind,
                id: id.clone(),
                vpc: vpc.clone(),
                expected: expected.clone(),
            };
            self.report(place, fault);
        }
    }

    /// Reports identifiers that a list has twice.
    fn no_repeats(&mut self, kind: Kind, ids: &'a [Id], place: Place) {
        let mut seen = hashbrown::HashSet::new();
        for (n, id) in ids.iter().enumerate() {
            if !seen.insert(id) {
                let id = id.clone();
                self.report(place.element(n), Fault::ListedTwice { kind, id });
            }
        }
    }

    /// Reports an address block with host bits.
    fn whole_block(&mut self, cidr: Ipv4Net, place: Place) {
        if cidr != cidr.trunc() {
            self.report(place, Fault::HostBits(cidr));
        }
    }

    /// Reports a number out of its bounds.
    fn range(
        &mut self,
        what: &'static str,
        value: u64,
        bounds: (impl Into<u64>, impl Into<u64>),
        place: Place,
    ) {
        let (min, max) = (bounds.0.into(), bounds.1.into());
        if !(min..=max).contains(&value) {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            let fault = Fault::OutOfRange {
                what,
                value,
                min,
                max,
            };
            self.report(place, fault);
        }
    }

    /// Reports an address that no host can have: this network, loopback, link-local, multicast,
    /// reserved (RFC 6890, section 2.2.2).
    fn unicast(&mut self, address: Ipv4Addr, place: Place) {
        let [first, ..] = address.octets();
        if first == 0 || address.is_loopback() || address.is_link_local() || first >= 224 {
            self.report(place, Fault::NotUnicast(address));
        }
    }
}
