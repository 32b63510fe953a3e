//! VPCs, vSwitches, route tables and peerings.

use super::overlap::{Range, overlaps};
use super::*;
use std::collections::BTreeMap;

/// Blocks that no network can have (RFC 6890, section 2.2.2), with the reason.
const SPECIAL: [(Ipv4Net, &str); 4] = [
    (block([0, 0, 0, 0], 8), "\"this network\""),
    (block([127, 0, 0, 0], 8), "loopback"),
    (block([169, 254, 0, 0], 16), "link-local"),
    (block([224, 0, 0, 0], 3), "multicast and reserved"),
];

const fn block([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// Whether two blocks have an address in common.
fn meet(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

impl<'a> Checker<'a> {
    pub(super) fn vpcs(&mut self) {
        let config = self.config;
        let (min, max) = limits::VPC_PREFIX.into_inner();
        for (item, vpc) in items(&config.vpcs, Item::Vpc) {
            let place = at(item, "cidrs");
            let count = vpc.cidrs.len();
            if !limits::VPC_CIDRS.contains(&count) {
                self.report(place, Fault::CidrCount { count });
            }
            for (n, &cidr) in vpc.cidrs.iter().enumerate() {
                let place = place.element(n);
                self.whole_block(cidr, place);
                if !(min..=max).contains(&cidr.prefix_len()) {
                    self.report(place, Fault::PrefixLength { cidr, min, max });
                }
                if let Some(&(block, purpose)) =
                    SPECIAL.iter().find(|(block, _)| meet(block, &cidr))
                {
                    let fault = Fault::SpecialBlock {
                        cidr,
                        block,
                        purpose,
                    };
                    self.report(place, fault);
                }
            }
            let ranges = vpc.cidrs.iter().enumerate();
            let ranges = ranges.map(|(n, &cidr)| Range::of(cidr, n)).collect();
            for (later, earlier) in overlaps(ranges) {
                let fault = Fault::Overlap {
                    cidr: vpc.cidrs[later],
                    other_cidr: vpc.cidrs[earlier],
                    other: "the same VPC".into(),
                };
                self.report(place.element(later), fault);
            }
        }
    }

    pub(super) fn vswitches(&mut self) {
        let config = self.config;
        let (min, max) = limits::VSWITCH_PREFIX.into_inner();
        let mut of_vpc: BTreeMap<&Id, Vec<Range<usize>>> = BTreeMap::new();
        for (n, vswitch) in config.vswitches.iter().enumerate() {
            let (item, cidr) = (Item::VSwitch(n), vswitch.cidr);
            let place = at(item, "cidr");
            self.whole_block(cidr, place);
            if !(min..=max).contains(&cidr.prefix_len()) {
                self.report(place, Fault::PrefixLength { cidr, min, max });
            }
            if let Some(table) = &vswitch.route_table {
                let place = at(item, "route_table");
                if let Some(n) = self.find(Kind::RouteTable, table, place) {
                    let vpc = &config.route_tables[n].vpc;
                    self.same_vpc(Kind::RouteTable, table, vpc, &vswitch.vpc, place);
                }
            }
            let Some(vpc) = self.find(Kind::Vpc, &vswitch.vpc, at(item, "vpc")) else {
                continue;
            };
            let vpc = &config.vpcs[vpc];
            of_vpc.entry(&vpc.id).or_default().push(Range::of(cidr, n));
            if !vpc.cidrs.iter().any(|block| block.contains(&cidr)) {
                let fault = Fault::OutsideVpc {
                    cidr,
                    vpc: vpc.id.clone(),
                    blocks: blocks(vpc),
                };
                self.report(place, fault);
            }
        }
        for (later, earlier) in of_vpc.into_values().flat_map(overlaps) {
            let other = Item::VSwitch(earlier);
            let fault = Fault::Overlap {
                cidr: config.vswitches[later].cidr,
                other_cidr: config.vswitches[earlier].cidr,
                other: self.name(other),
            };
            self.conflict(at(Item::VSwitch(later), "cidr"), fault, other);
        }
    }

    pub(super) fn route_tables(&mut self) {
        let config = self.config;
        let mut vswitches: HashMap<&Id, Vec<&VSwitch>> = HashMap::new();
        for vswitch in &config.vswitches {
            vswitches.entry(&vswitch.vpc).or_default().push(vswitch);
        }
        let mut system: HashMap<&Id, Vec<Item>> = HashMap::new();
        for (n, table) in config.route_tables.iter().enumerate() {
            let item = Item::RouteTable(n);
            if table.system {
                system.entry(&table.vpc).or_default().push(item);
            }
            self.find(Kind::Vpc, &table.vpc, at(item, "vpc"));
            let mut first: HashMap<Ipv4Net, Item> = HashMap::new();
            for (k, route) in table.routes.iter().enumerate() {
                let (item, destination) = (Item::Route(n, k), route.destination);
                let place = at(item, "destination");
                self.whole_block(destination, place);
                if let Some(&other) = first.get(&destination.trunc()) {
                    self.conflict(place, Fault::DuplicateRoute(destination), other);
                }
                first.entry(destination.trunc()).or_insert(item);
                let local = vswitches.get(&table.vpc).into_iter().flatten();
                if let Some(vswitch) = local
                    .copied()
                    .find(|vswitch| vswitch.cidr.contains(&destination))
                {
                    let fault = Fault::RouteInVSwitch {
                        destination,
                        vswitch: vswitch.id.clone(),
                        cidr: vswitch.cidr,
                    };
                    self.report(place, fault);
                }
                self.next_hop(&route.next_hop, &table.vpc, at(item, "next_hop"));
            }
        }
        for (n, vpc) in config.vpcs.iter().enumerate() {
            // Of two with the same identifier only the first can be meant.
            if self.ids.get(&(Kind::Vpc, vpc.id.as_str())) != Some(&n) {
                continue;
            }
            let tables = system.get(&vpc.id).map_or(&[][..], Vec::as_slice);
            if tables.len() != 1 {
                let fault = Fault::SystemTables {
                    vpc: vpc.id.clone(),
                    count: tables.len(),
                };
                match tables {
                    [other, .., last] => self.conflict(at(*last, "system"), fault, *other),
                    _ => self.report(at(Item::Vpc(n), "id"), fault),
                }
            }
        }
    }

    /// A next hop is in the VPC of its route table.
    fn next_hop(&mut self, next_hop: &'a NextHop, expected: &Id, place: Place) {
        let config = self.config;
        match next_hop {
            NextHop::Eni(id) => {
                if let Some(n) = self.find(Kind::Eni, id, place)
                    && let Some(vpc) = self.vpc_of(&config.enis[n])
                {
                    let kind = Subject::of(config, Item::Eni(n)).kind;
                    self.same_vpc(kind, id, vpc, expected, place);
                }
            }
            NextHop::NatGateway(id) => {
                if let Some(n) = self.find(Kind::NatGateway, id, place) {
                    let vpc = &config.nat_gateways[n].vpc;
                    self.same_vpc(Kind::NatGateway, id, vpc, expected, place);
                }
            }
            NextHop::NatFirewall(id) => {
                let Some(n) = self.find(Kind::NatFirewall, id, place) else {
                    return;
                };
                let Some(firewall) = config.firewalls.nat.get(n) else {
                    self.report(place, Fault::FirewallOff(id.clone()));
                    return;
                };
                let mut gateways = config.nat_gateways.iter();
                if let Some(gateway) = gateways.find(|it| it.id == firewall.gateway) {
                    self.same_vpc(Kind::NatFirewall, id, &gateway.vpc, expected, place);
                }
            }
            NextHop::Peering(id) => {
                if let Some(n) = self.find(Kind::Peering, id, place)
                    && !config.peerings[n].vpcs.contains(expected)
                {
                    let fault = Fault::NotPeered {
                        peering: id.clone(),
                        vpc: expected.clone(),
                    };
                    self.report(place, fault);
                }
            }
            NextHop::Blackhole => {}
        }
    }

    /// Each connects two VPCs, no two the same. They may have addresses in common: those are local in each,
    /// and reached from the other by NAT IPs.
    pub(super) fn peerings(&mut self) {
        let config = self.config;
        let mut first: HashMap<[usize; 2], Item> = HashMap::new();
        for (item, peering) in items(&config.peerings, Item::Peering) {
            let place = at(item, "vpcs");
            let [a, b] = &peering.vpcs;
            let found = [
                self.find(Kind::Vpc, a, place),
                self.find(Kind::Vpc, b, place.element(1)),
            ];
            let [Some(m), Some(n)] = found else {
                continue;
            };
            if m == n {
                self.report(place, Fault::SelfPeering(a.clone()));
                continue;
            }
            let pair = [m.min(n), m.max(n)];
            if let Some(&other) = first.get(&pair) {
                let name = self.name(other);
                self.conflict(place, Fault::DuplicatePeering { other: name }, other);
                continue;
            }
            first.insert(pair, item);
            self.peers.entry(a).or_default().push(n);
            self.peers.entry(b).or_default().push(m);
        }
    }
}
