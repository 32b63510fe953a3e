//! The program's own settings, uplinks, EIPs and their bandwidth.

use super::*;

impl<'a> Checker<'a> {
    pub(super) fn system(&mut self) {
        let System {
            name, max_sessions, ..
        } = &self.config.system;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !limits::SYSTEM_NAME.contains(&name.len()) || !name.bytes().all(allowed) {
            let fault = Fault::SystemName(name.clone());
            self.report(at(Item::System, "name"), fault);
        }
        self.range(
            "max_sessions",
            (*max_sessions).into(),
            limits::MAX_SESSIONS.into_inner(),
            at(Item::System, "max_sessions"),
        );
    }

    pub(super) fn uplinks(&mut self) {
        let mut taken: HashMap<Ipv4Addr, Item> = HashMap::new();
        for (item, uplink) in items(&self.config.uplinks, Item::Uplink) {
            if let Some(mtu) = uplink.mtu {
                let bounds = limits::MTU.into_inner();
                self.range("mtu", mtu.into(), bounds, at(item, "mtu"));
            }
            if let Some(prefix) = uplink.address {
                let place = at(item, "address");
                self.unicast(prefix.addr(), place);
                self.host(prefix.addr(), prefix, place);
                if let Some(&other) = taken.get(&prefix.addr()) {
                    let address = prefix.addr();
                    let name = self.name(other);
                    let fault = Fault::AddressTaken {
                        address,
                        other: name,
                    };
                    self.conflict(place, fault, other);
                }
                taken.entry(prefix.addr()).or_insert(item);
            }
            if let Some(gateway) = uplink.gateway {
                let place = at(item, "gateway");
                self.unicast(gateway, place);
                match uplink.address {
                    Some(prefix) if gateway == prefix.addr() => {
                        self.report(place, Fault::GatewayIsSelf(gateway));
                    }
                    Some(prefix) if !prefix.contains(&gateway) => {
                        let prefix = prefix.trunc();
                        self.report(place, Fault::GatewayOutside { gateway, prefix });
                    }
                    Some(prefix) => self.host(gateway, prefix, place),
                    None => {}
                }
            }
        }
    }

    /// Reports the network and the broadcast address of a prefix that has them (RFC 3021: one of 31
    /// bits has none).
    fn host(&mut self, address: Ipv4Addr, prefix: Ipv4Net, place: Place) {
        let edge = address == prefix.network() || address == prefix.broadcast();
        if edge && prefix.prefix_len() < 31 {
            let prefix = prefix.trunc();
            self.report(place, Fault::NotHost { address, prefix });
        }
    }

    pub(super) fn eips(&mut self) {
        let mut own: HashMap<Ipv4Addr, (&'static str, Item)> = HashMap::new();
        for (item, uplink) in items(&self.config.uplinks, Item::Uplink) {
            if let Some(gateway) = uplink.gateway {
                own.insert(gateway, ("gateway", item));
            }
            if let Some(prefix) = uplink.address {
                own.insert(prefix.addr(), ("address", item));
            }
        }
        let mut taken: HashMap<Ipv4Addr, Item> = HashMap::new();
        let mut bound: HashMap<&Id, Item> = HashMap::new();
        for (item, eip) in items(&self.config.eips, Item::Eip) {
            let (address, place) = (eip.address, at(item, "address"));
            self.unicast(address, place);
            if let Some(n) = self.find(Kind::Uplink, &eip.uplink, at(item, "uplink"))
                && let Some(prefix) = self.config.uplinks[n].address
            {
                self.host(address, prefix, place);
            }
            if let Some(&(role, uplink)) = own.get(&address) {
                let name = self.name(uplink);
                let fault = Fault::UplinkAddress {
                    address,
                    role,
                    uplink: name,
                };
                self.conflict(place, fault, uplink);
            }
            if let Some(&other) = taken.get(&address) {
                let name = self.name(other);
                let fault = Fault::AddressTaken {
                    address,
                    other: name,
                };
                self.conflict(place, fault, other);
            }
            taken.entry(address).or_insert(item);

            let place = at(item, "binding");
            match &eip.binding {
                Some(EipBinding::NatGateway(id)) => {
                    if let Some(n) = self.find(Kind::NatGateway, id, place)
                        && self.config.nat_gateways[n].vswitch().is_some()
                    {
                        let fault = Fault::NoEips(id.clone());
                        self.conflict(place, fault, Item::NatGateway(n));
                    }
                }
                Some(EipBinding::Eni(id)) => {
                    let Some(n) = self.find(Kind::Eni, id, place) else {
                        continue;
                    };
                    if let Some(&other) = bound.get(id) {
                        let (target, name) = (self.name(Item::Eni(n)), self.name(other));
                        let fault = Fault::SecondEip {
                            target,
                            other: name,
                        };
                        self.conflict(place, fault, other);
                    }
                    bound.entry(id).or_insert(item);
                }
                None => {}
            }
        }
    }

    /// What EIPs and packages carry, and that there are not more limits than the data path enforces.
    pub(super) fn bandwidths(&mut self) {
        let config = self.config;
        let most = *limits::BANDWIDTH_LIMITS.end();
        let mut count = 0;
        for (item, eip) in items(&config.eips, Item::Eip) {
            if let Some(bandwidth) = eip.bandwidth {
                self.bandwidth("bandwidth", bandwidth, item);
            }
            if let Some(bandwidth) = eip.package_bandwidth {
                self.bandwidth("package_bandwidth", bandwidth, item);
            }
            let package = eip.package.as_ref().and_then(|package| {
                let place = at(item, "package");
                self.find(Kind::BandwidthPackage, package, place)
            });
            self.within_package(item, eip, package);
            if eip.own_limit().is_some() {
                count += 1;
                if count == most + 1 {
                    let key = match eip.package {
                        Some(_) => "package_bandwidth",
                        None => "bandwidth",
                    };
                    self.report(at(item, key), Fault::TooManyLimits { count, most });
                }
            }
        }
        for (item, package) in items(&config.bandwidth_packages, Item::BandwidthPackage) {
            self.bandwidth("bandwidth", package.bandwidth, item);
            count += 1;
            if count == most + 1 {
                self.report(at(item, "bandwidth"), Fault::TooManyLimits { count, most });
            }
        }
    }

    /// An EIP may have at most as much of its package as that has.
    fn within_package(&mut self, item: Item, eip: &Eip, package: Option<usize>) {
        let Some(bandwidth) = eip.package_bandwidth else {
            return;
        };
        let place = at(item, "package_bandwidth");
        if eip.package.is_none() {
            self.report(place, Fault::NoPackage);
        }
        let Some(n) = package else {
            return;
        };
        let BandwidthPackage {
            id,
            bandwidth: most,
        } = &self.config.bandwidth_packages[n];
        if bandwidth > *most {
            let (package, most) = (id.clone(), *most);
            let fault = Fault::AbovePackage {
                bandwidth,
                package,
                most,
            };
            self.conflict(place, fault, Item::BandwidthPackage(n));
        }
    }

    fn bandwidth(&mut self, key: &'static str, value: u32, item: Item) {
        let bounds = limits::BANDWIDTH.into_inner();
        self.range(key, value.into(), bounds, at(item, key));
    }
}
