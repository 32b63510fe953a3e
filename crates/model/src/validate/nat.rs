//! NAT gateways with their SNAT and DNAT entries.

use super::overlap::{Range, overlaps};
use super::*;
use crate::text::{TCP, UDP, ports, protocol_name};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The entries that use an EIP, and which of them are IP mappings.
type Uses<'a> = BTreeMap<(Kind, &'a Id), Vec<(Item, bool)>>;

/// Port mappings by what no two of them may have in common: an EIP or an internal address (with the
/// position of its gateway), and the protocol.
struct Mappings<'a> {
    external: BTreeMap<(Kind, &'a Id, u8), Vec<Range<Item>>>,
    internal: BTreeMap<(usize, Ipv4Addr, u8), Vec<Range<Item>>>,
}

fn range(ports: &RangeInclusive<u16>, tag: Item) -> Range<Item> {
    Range {
        first: (*ports.start()).into(),
        last: (*ports.end()).into(),
        tag,
    }
}

impl<'a> Checker<'a> {
    pub(super) fn gateways(&mut self) {
        let mut uses = Uses::new();
        let mut mappings = Mappings {
            external: BTreeMap::new(),
            internal: BTreeMap::new(),
        };
        for (n, gateway) in self.config.nat_gateways.iter().enumerate() {
            self.settings(gateway, Item::NatGateway(n));
            let mut sources: HashMap<Ipv4Net, Item> = HashMap::new();
            for (k, entry) in gateway.snat.iter().enumerate() {
                self.snat(gateway, entry, Item::Snat(n, k), &mut sources, &mut uses);
            }
            let mut whole: HashMap<Ipv4Addr, Item> = HashMap::new();
            for (k, entry) in gateway.dnat.iter().enumerate() {
                let item = Item::Dnat(n, k);
                if self.bound(&entry.eip, gateway, at(item, "eip")) {
                    let any = entry.mapping == DnatMapping::Any;
                    let eip = (gateway.outside(), &entry.eip);
                    uses.entry(eip).or_default().push((item, any));
                }
                self.internal(gateway, entry.internal, at(item, "internal"));
                if entry.mapping != DnatMapping::Any {
                    self.port_mapping(entry, n, item, &mut mappings);
                } else if let Some(&other) = whole.get(&entry.internal) {
                    let address = entry.internal;
                    let name = self.name(other);
                    let fault = Fault::SecondAny {
                        address,
                        other: name,
                    };
                    self.conflict(at(item, "internal"), fault, other);
                } else {
                    whole.insert(entry.internal, item);
                }
            }
        }
        self.ports_taken(mappings);
        self.shared_ip_mappings(uses);
    }

    /// What a gateway has besides entries.
    fn settings(&mut self, gateway: &'a NatGateway, item: Item) {
        self.find(Kind::Vpc, &gateway.vpc, at(item, "vpc"));
        if let Some(id) = gateway.vswitch() {
            let place = at(item, "vswitch");
            if let Some(n) = self.find(Kind::VSwitch, id, place) {
                let vpc = &self.config.vswitches[n].vpc;
                self.same_vpc(Kind::VSwitch, id, vpc, &gateway.vpc, place);
            }
        }
        self.ports(&gateway.snat_ports, at(item, "snat_ports"));
        if let Some(most) = gateway.max_sessions_per_source {
            let field = "max_sessions_per_source";
            let bounds = limits::SESSIONS_PER_SOURCE.into_inner();
            self.range(field, most.into(), bounds, at(item, field));
        }
        let Timeouts {
            tcp_established,
            tcp_transitory,
            udp,
            icmp,
            other,
        } = gateway.timeouts;
        for (field, timeout) in [
            ("tcp_established", tcp_established),
            ("tcp_transitory", tcp_transitory),
            ("udp", udp),
            ("icmp", icmp),
            ("other", other),
        ] {
            let bounds = limits::TIMEOUT.into_inner();
            self.range(field, timeout.as_secs(), bounds, at(item, field));
        }
    }

    fn snat(
        &mut self,
        gateway: &'a NatGateway,
        entry: &'a SnatEntry,
        item: Item,
        sources: &mut HashMap<Ipv4Net, Item>,
        uses: &mut Uses<'a>,
    ) {
        let place = at(item, "source");
        self.whole_block(entry.source, place);
        if let Some(&other) = sources.get(&entry.source.trunc()) {
            let fault = Fault::SameSource {
                source_cidr: entry.source,
                other: self.name(other),
            };
            self.conflict(place, fault, other);
        }
        sources.entry(entry.source.trunc()).or_insert(item);

        let place = at(item, "eips");
        let (kind, count) = (gateway.outside(), entry.eips.len());
        if !limits::SNAT_EIPS.contains(&count) {
            self.report(place, Fault::EipCount { kind, count });
        }
        self.no_repeats(kind, &entry.eips, place);
        for (k, eip) in entry.eips.iter().enumerate() {
            if self.bound(eip, gateway, place.element(k)) {
                uses.entry((kind, eip)).or_default().push((item, false));
            }
        }
    }

    /// Whether an EIP is bound to a gateway, or a NAT IP is one of its; reports if not.
    fn bound(&mut self, eip: &'a Id, gateway: &NatGateway, place: Place) -> bool {
        let kind = gateway.outside();
        let Some(n) = self.find(kind, eip, place) else {
            return false;
        };
        let (to, item) = match kind {
            Kind::NatIp => (Some(&self.config.nat_ips[n].gateway), Item::NatIp(n)),
            _ => match &self.config.eips[n].binding {
                Some(EipBinding::NatGateway(id)) => (Some(id), Item::Eip(n)),
                _ => (None, Item::Eip(n)),
            },
        };
        let bound = to == Some(&gateway.id);
        if !bound {
            let fault = Fault::NotBound {
                kind,
                eip: eip.clone(),
                gateway: gateway.id.clone(),
            };
            self.conflict(place, fault, item);
        }
        bound
    }

    /// Each is a VPC NAT gateway's, in its vSwitch or outside of the VPC. That nobody else has its address is
    /// seen with those of the interfaces.
    pub(super) fn nat_ips(&mut self) {
        let config = self.config;
        for (item, nat_ip) in items(&config.nat_ips, Item::NatIp) {
            let (address, place) = (nat_ip.address, at(item, "address"));
            let at_gateway = at(item, "gateway");
            let Some(n) = self.find(Kind::NatGateway, &nat_ip.gateway, at_gateway) else {
                continue;
            };
            let gateway = &config.nat_gateways[n];
            let Some(vswitch) = gateway.vswitch() else {
                let fault = Fault::NoNatIps(gateway.id.clone());
                self.conflict(at_gateway, fault, Item::NatGateway(n));
                continue;
            };
            let inside = self
                .vpc(&gateway.vpc)
                .is_some_and(|it| it.contains(address));
            let vswitch = self.ids.get(&(Kind::VSwitch, vswitch.as_str()));
            match vswitch.map(|&n| &config.vswitches[n]) {
                Some(vswitch) if inside => self.address(address, vswitch, place),
                _ => self.unicast(address, place),
            }
        }
    }

    /// A DNAT entry leads into the gateway's VPC or one that is peered with it.
    fn internal(&mut self, gateway: &'a NatGateway, address: Ipv4Addr, place: Place) {
        let Some(vpc) = self.vpc(&gateway.vpc) else {
            return;
        };
        let peers = self.peers.get(vpc.id.as_str()).into_iter().flatten();
        let mut reached = peers.filter_map(|&n| self.config.vpcs.get(n)).chain([vpc]);
        if !reached.any(|vpc| vpc.contains(address)) {
            let fault = Fault::InternalOutside {
                address,
                vpc: vpc.id.clone(),
                blocks: blocks(vpc),
            };
            self.report(place, fault);
        }
    }

    /// What a port mapping is by itself; enters it among all others.
    fn port_mapping(
        &mut self,
        entry: &'a DnatEntry,
        gateway: usize,
        item: Item,
        mappings: &mut Mappings<'a>,
    ) {
        let DnatMapping::Ports {
            protocol,
            external,
            internal: start,
        } = &entry.mapping
        else {
            return;
        };
        if !matches!(*protocol, TCP | UDP) {
            self.report(at(item, "protocol"), Fault::NoPorts(*protocol));
        }
        if !self.ports(external, at(item, "external_port")) {
            return;
        }
        let kind = self.config.nat_gateways[gateway].outside();
        let key = (kind, &entry.eip, *protocol);
        let ranges = mappings.external.entry(key).or_default();
        ranges.push(range(external, item));

        let place = at(item, "internal_port");
        match entry.mapping.internal_ports() {
            Some(internal) => {
                if self.ports(&internal, place) {
                    let key = (gateway, entry.internal, *protocol);
                    let ranges = mappings.internal.entry(key).or_default();
                    ranges.push(range(&internal, item));
                }
            }
            None => {
                let (start, count) = (*start, external.len() as u32);
                self.report(place, Fault::InternalOverflow { start, count });
            }
        }
    }

    /// No two mappings have an external port in common, nor an internal one.
    fn ports_taken(&mut self, mappings: Mappings<'a>) {
        for ((kind, eip, protocol), ranges) in mappings.external {
            for (later, earlier) in overlaps(ranges) {
                let fault = Fault::ExternalTaken {
                    kind,
                    protocol: protocol_name(protocol),
                    ports: self.ports_of(later, |mapping| mapping.external_ports()),
                    eip: eip.clone(),
                    other: self.name(earlier),
                };
                self.conflict(at(later, "external_port"), fault, earlier);
            }
        }
        for ((_, address, protocol), ranges) in mappings.internal {
            for (later, earlier) in overlaps(ranges) {
                let fault = Fault::InternalTaken {
                    protocol: protocol_name(protocol),
                    ports: self.ports_of(later, |mapping| mapping.internal_ports()),
                    address,
                    other: self.name(earlier),
                };
                self.conflict(at(later, "internal_port"), fault, earlier);
            }
        }
    }

    /// Some ports of a DNAT entry, for a message.
    fn ports_of(
        &self,
        item: Item,
        which: fn(&DnatMapping) -> Option<RangeInclusive<u16>>,
    ) -> String {
        let Item::Dnat(n, k) = item else {
            return String::new();
        };
        let mapping = &self.config.nat_gateways[n].dnat[k].mapping;
        which(mapping).as_ref().map(ports).unwrap_or_default()
    }

    /// An EIP with an IP mapping has nothing else.
    fn shared_ip_mappings(&mut self, uses: Uses<'a>) {
        for ((kind, eip), uses) in uses {
            for &(item, _) in uses.iter().filter(|(_, any)| *any) {
                let Some(&(other, _)) = uses.iter().find(|(other, _)| *other != item) else {
                    continue;
                };
                let fault = Fault::AnyShared {
                    kind,
                    eip: eip.clone(),
                    other: self.name(other),
                };
                self.conflict(at(item, "eip"), fault, other);
            }
        }
    }
}
