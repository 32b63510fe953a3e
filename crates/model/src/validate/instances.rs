//! Security groups and network interfaces.

use super::overlap::{Range, overlaps};
use super::*;
use crate::text::{TCP, UDP};
use std::collections::BTreeMap;

/// A network interface or NAT IP, and which of its blocks.
type Whose = (Item, usize);

impl<'a> Checker<'a> {
    pub(super) fn security_groups(&mut self) {
        let config = self.config;
        for (n, group) in config.security_groups.iter().enumerate() {
            self.find(Kind::Vpc, &group.vpc, at(Item::SecurityGroup(n), "vpc"));
            for (k, rule) in group.rules.iter().enumerate() {
                let item = Item::Rule(n, k);
                let bounds = limits::PRIORITY.into_inner();
                let place = at(item, "priority");
                self.range("priority", rule.priority.into(), bounds, place);
                if let Some(ports) = &rule.ports {
                    let place = at(item, "ports");
                    self.ports(ports, place);
                    if !matches!(rule.protocol, Some(TCP | UDP)) {
                        self.report(place, Fault::PortsWithoutProtocol);
                    }
                }
                let place = at(item, "peer");
                match &rule.peer {
                    RulePeer::Cidr(cidr) => self.whole_block(*cidr, place),
                    RulePeer::Group(id) => {
                        if let Some(n) = self.find(Kind::SecurityGroup, id, place) {
                            let vpc = &config.security_groups[n].vpc;
                            self.same_vpc(Kind::SecurityGroup, id, vpc, &group.vpc, place);
                        }
                    }
                }
            }
        }
    }

    /// Reports an empty range of ports and port 0.
    pub(super) fn ports(&mut self, ports: &std::ops::RangeInclusive<u16>, place: Place) -> bool {
        let (start, end) = (*ports.start(), *ports.end());
        let right = 1 <= start && start <= end;
        if !right {
            self.report(place, Fault::EmptyPorts { start, end });
        }
        right
    }

    pub(super) fn enis(&mut self) {
        let config = self.config;
        // Addresses by VPC. The tag is (ENI, 0) for its address and (ENI, 1 + n) for a block behind it; or
        // (NAT IP, 0).
        let mut of_vpc: BTreeMap<&Id, Vec<Range<Whose>>> = BTreeMap::new();
        let mut vswitches: HashMap<&Id, Vec<&VSwitch>> = HashMap::new();
        for vswitch in &config.vswitches {
            vswitches.entry(&vswitch.vpc).or_default().push(vswitch);
        }
        for (n, eni) in config.enis.iter().enumerate() {
            let item = Item::Eni(n);
            let bounds = limits::MTU.into_inner();
            self.range("mtu", eni.mtu.into(), bounds, at(item, "mtu"));
            if eni.driver == Driver::Netns && eni.instance.contains('/') {
                let fault = Fault::NamespaceName(eni.instance.clone());
                self.report(at(item, "id"), fault);
            }
            let place = at(item, "hosts");
            for (k, &block) in eni.hosts.iter().enumerate() {
                self.whole_block(block, place.element(k));
            }
            let place = at(item, "security_groups");
            self.no_repeats(Kind::SecurityGroup, &eni.security_groups, place);
            let groups = eni.security_groups.iter().enumerate();
            let groups: Vec<Option<usize>> = groups
                .map(|(k, id)| self.find(Kind::SecurityGroup, id, place.element(k)))
                .collect();

            let vswitch = self.find(Kind::VSwitch, &eni.vswitch, at(item, "vswitch"));
            let primary = match eni.is_primary() {
                true => None,
                false => self.primary(eni, at(item, "instance")),
            };
            let Some(vswitch) = vswitch.map(|n| &config.vswitches[n]) else {
                continue;
            };
            self.address(eni.address, vswitch, at(item, "address"));
            if let Some(vpc) = primary.and_then(|primary| self.vpc_of(primary)) {
                let place = at(item, "vswitch");
                self.same_vpc(Kind::Instance, &eni.instance, vpc, &vswitch.vpc, place);
            }
            if self.vpc(&vswitch.vpc).is_none() {
                continue;
            }
            if eni.security_groups.is_empty() {
                self.report(place, Fault::NoSecurityGroup);
            }
            for (k, group) in groups.into_iter().enumerate() {
                if let Some(group) = group.map(|n| &config.security_groups[n]) {
                    let (vpc, place) = (&group.vpc, place.element(k));
                    self.same_vpc(Kind::SecurityGroup, &group.id, vpc, &vswitch.vpc, place);
                }
            }

            let ranges = of_vpc.entry(&vswitch.vpc).or_default();
            ranges.push(Range::of(eni.address.into(), (item, 0)));
            for (k, &block) in eni.hosts.iter().enumerate() {
                ranges.push(Range::of(block, (item, 1 + k)));
                // A larger block may include them: they stay the vSwitch's.
                if block.prefix_len() == 32 {
                    let place = at(item, "hosts").element(k);
                    self.not_reserved(block.addr(), vswitch, place);
                }
                let mut others = vswitches.get(&vswitch.vpc).into_iter().flatten().copied();
                if let Some(other) = others.find(|other| {
                    let meets = other.cidr.contains(&block) || block.contains(&other.cidr);
                    meets && other.id != vswitch.id
                }) {
                    let fault = Fault::Overlap {
                        cidr: block,
                        other_cidr: other.cidr,
                        other: format!("{} {}", Kind::VSwitch, text::quote(&other.id)),
                    };
                    self.report(at(item, "hosts").element(k), fault);
                }
            }
        }
        for (item, nat_ip) in items(&config.nat_ips, Item::NatIp) {
            if let Some(gateway) = self.gateway_of(nat_ip) {
                let ranges = of_vpc.entry(&gateway.vpc).or_default();
                ranges.push(Range::of(nat_ip.address.into(), (item, 0)));
            }
        }
        for (later, earlier) in of_vpc.into_values().flat_map(overlaps) {
            // Blocks nest or are apart, so of two interfaces that overlap one range at least is paired
            // with one of another interface, although ranges of the same one are let off.
            if later.0 != earlier.0 {
                self.shared_address(later, earlier);
            }
        }
    }

    /// Reports that two network interfaces, or NAT IPs, have an address in common.
    fn shared_address(&mut self, later: Whose, earlier: Whose) {
        let config = self.config;
        let block = |(item, k): Whose| match (item, k) {
            (Item::NatIp(n), _) => config.nat_ips[n].address.into(),
            (Item::Eni(n), 0) => config.enis[n].address.into(),
            (Item::Eni(n), _) => config.enis[n].hosts[k - 1],
            // There are no others.
            _ => Ipv4Net::default(),
        };
        let field = match later {
            (item, 0) => at(item, "address"),
            (item, k) => at(item, "hosts").element(k - 1),
        };
        let other = self.name(earlier.0);
        let (cidr, other_cidr) = (block(later), block(earlier));
        let fault = if later.1 == 0 && earlier.1 == 0 {
            let address = cidr.addr();
            Fault::AddressTaken { address, other }
        } else {
            Fault::Overlap {
                cidr,
                other_cidr,
                other,
            }
        };
        self.conflict(field, fault, earlier.0);
    }

    /// The primary interface of an additional one's instance.
    fn primary(&mut self, eni: &'a Eni, place: Place) -> Option<&'a Eni> {
        let position = self.ids.get(&(Kind::Eni, eni.instance.as_str()));
        let primary = position.and_then(|&n| self.config.enis.get(n));
        match primary.filter(|primary| primary.is_primary()) {
            Some(primary) => Some(primary),
            // Unknown as an instance, even if an additional interface has this identifier.
            None => {
                self.find(Kind::Instance, &eni.instance, place);
                None
            }
        }
    }

    /// An interface's address is one that its vSwitch gives out.
    pub(super) fn address(&mut self, address: Ipv4Addr, vswitch: &VSwitch, place: Place) {
        let cidr = vswitch.cidr;
        if !cidr.contains(&address) {
            let fault = Fault::NotInVSwitch {
                address,
                vswitch: vswitch.id.clone(),
                cidr,
            };
            self.report(place, fault);
        } else {
            self.not_reserved(address, vswitch, place);
        }
    }

    /// Reports an address that a vSwitch keeps for itself.
    fn not_reserved(&mut self, address: Ipv4Addr, vswitch: &VSwitch, place: Place) {
        let cidr = vswitch.cidr;
        if cidr.contains(&address) && vswitch.is_reserved(address) {
            let fault = Fault::Reserved {
                address,
                vswitch: vswitch.id.clone(),
                cidr,
            };
            self.report(place, fault);
        }
    }

    /// Every interface that exists already has a name that Linux takes and is used once.
    pub(super) fn devices(&mut self) {
        let uplinks = items(&self.config.uplinks, Item::Uplink);
        let uplinks = uplinks.map(|(item, uplink)| (item, &uplink.device));
        let enis = items(&self.config.enis, Item::Eni);
        let enis = enis.filter_map(|(item, eni)| match &eni.driver {
            Driver::Device { device } => Some((item, device)),
            Driver::Netns => None,
        });
        let mut first: HashMap<&String, Item> = HashMap::new();
        for (item, device) in uplinks.chain(enis) {
            let place = at(item, "device");
            let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
            let name = limits::DEVICE.contains(&device.len()) && device.bytes().all(allowed);
            if !name || device == "." || device == ".." {
                self.report(place, Fault::BadDevice(device.clone()));
            } else if let Some(&other) = first.get(device) {
                let name = self.name(other);
                let fault = Fault::DeviceTaken {
                    device: device.clone(),
                    other: name,
                };
                self.conflict(place, fault, other);
            } else {
                first.insert(device, item);
            }
        }
    }
}
