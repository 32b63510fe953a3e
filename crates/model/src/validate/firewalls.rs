//! NAT firewalls: one for a gateway of the Internet, and what they divert is of its VPC.

use super::*;
use hashbrown::HashMap;

impl<'a> Checker<'a> {
    pub(super) fn nat_firewalls(&mut self) {
        let config = self.config;
        let firewalls = &config.firewalls;
        let mut first: HashMap<&Id, Item> = HashMap::new();
        let all = firewalls.nat.iter().chain(&firewalls.nat_off).enumerate();
        for (n, firewall) in all {
            let item = Item::NatFirewall(n);
            let place = at(item, "gateway");
            let Some(m) = self.find(Kind::NatGateway, &firewall.gateway, place) else {
                continue;
            };
            let gateway = &config.nat_gateways[m];
            if gateway.vswitch().is_some() {
                let fault = PolicyFault::NotOfInternet(gateway.id.clone());
                self.report(place, fault.into());
            }
            if let Some(&other) = first.get(&gateway.id) {
                let fault = Fault::SecondFirewall {
                    gateway: gateway.id.clone(),
                    other: self.name(other),
                };
                self.conflict(place, fault, other);
            }
            first.entry(&gateway.id).or_insert(item);
            let mut diversions = firewalls.diversions.iter();
            if let Some(diversion) = diversions.find(|it| it.firewall == firewall.id) {
                self.diversion(item, diversion, &gateway.vpc);
            }
        }
    }

    fn diversion(&mut self, item: Item, diversion: &'a Diversion, vpc: &Id) {
        let config = self.config;
        let place = at(item, "route_tables");
        for (n, table) in diversion.route_tables.iter().enumerate() {
            let place = place.element(n);
            if let Some(m) = self.find(Kind::RouteTable, table, place) {
                let of = &config.route_tables[m].vpc;
                self.same_vpc(Kind::RouteTable, table, of, vpc, place);
            }
        }
        self.no_repeats(Kind::RouteTable, &diversion.route_tables, place);
        let place = at(item, "vswitch");
        if let Some(vswitch) = &diversion.vswitch
            && let Some(m) = self.find(Kind::VSwitch, vswitch, place)
        {
            let of = &config.vswitches[m].vpc;
            self.same_vpc(Kind::VSwitch, vswitch, of, vpc, place);
        }
    }
}
