//! NAT firewalls, and what was bought of them.

use super::super::time;
use super::firewall::read_threats;
use super::*;

impl Builder {
    /// Comes behind the route tables: a firewall takes their default routes.
    pub(super) fn nat_firewalls(&mut self, file: &schema::File) {
        file.nat_firewall
            .iter()
            .for_each(|it| self.nat_firewall(it));
        if let Some(table) = &file.firewall_license {
            self.license(table);
        }
    }

    fn nat_firewall(&mut self, table: &Spanned<schema::NatFirewall>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::NatFirewall, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let gateway = entry.need("nat_gateway", &raw.nat_gateway, any);
        let flag = |flag: &schema::Flag| flag.as_ref().map(|it| *it.get_ref());
        let settings = FirewallSettings {
            mode: entry.read("mode", &raw.mode, word).unwrap_or_default(),
            default_action: entry
                .read("default_action", &raw.default_action, word)
                .unwrap_or_default(),
            on_drop: entry
                .read("on_drop", &raw.on_drop, word)
                .unwrap_or_default(),
            name_check: entry
                .read("name_check", &raw.name_check, word)
                .unwrap_or_default(),
            threats: read_threats(&mut entry, &raw.threats),
        };
        let vswitch = entry.read("vswitch", &raw.vswitch, any);
        let vpc = gateway
            .as_ref()
            .and_then(|it| self.guarded(&mut entry, raw, it));
        let tables = vpc.map(|vpc| self.diverted(&mut entry, raw, gateway.as_ref(), &vpc));
        let sound = self.sound(&mut entry, Kind::NatFirewall, &raw.id);
        let (true, Some(id), Some(gateway), Some(tables)) = (sound, id, gateway, tables) else {
            return;
        };
        let on = flag(&raw.enabled).unwrap_or(true);
        for route in self.config.route_tables.iter_mut().flat_map(|table| {
            let ours = on && tables.contains(&table.id);
            table.routes.iter_mut().filter(move |_| ours)
        }) {
            if route.next_hop == NextHop::NatGateway(gateway.clone())
                && route.destination == Ipv4Net::default()
            {
                route.next_hop = NextHop::NatFirewall(id.clone());
            }
        }
        self.config.firewalls.diversions.push(Diversion {
            firewall: id.clone(),
            route_tables: tables,
            vswitch,
        });
        let firewall = NatFirewall {
            id,
            gateway,
            inbound: flag(&raw.inbound).unwrap_or(false),
            settings,
        };
        let firewalls = &mut self.config.firewalls;
        match on {
            true => {
                let item = Item::NatFirewall(firewalls.nat.len());
                firewalls.nat.push(firewall);
                self.place(item, &entry);
            }
            false => firewalls.nat_off.push(firewall),
        }
    }

    /// The VPC of the gateway that a firewall protects, if it can.
    fn guarded(&self, entry: &mut Entry, raw: &schema::NatFirewall, gateway: &Id) -> Option<Id> {
        let at = place(&raw.nat_gateway).unwrap_or(entry.start);
        if self.broken.contains(&(Kind::NatGateway, gateway.clone())) {
            return None;
        }
        let gateways = &self.config.nat_gateways;
        let Some(found) = gateways.iter().find(|it| it.id == *gateway) else {
            entry.fail(at, format!("there is no NAT gateway {}", quote(gateway)));
            return None;
        };
        if found.vswitch().is_some() {
            let what = format!("NAT gateway {} is not one of the Internet", quote(gateway));
            entry.fail(at, what);
            return None;
        }
        let firewalls = &self.config.firewalls;
        let mut all = firewalls.nat.iter().chain(&firewalls.nat_off);
        if let Some(other) = all.find(|it| it.gateway == *gateway) {
            let (gateway, other) = (quote(gateway), quote(&other.id));
            let what = format!("NAT gateway {gateway} has a firewall already, {other}");
            entry.fail(at, what);
            return None;
        }
        Some(found.vpc.clone())
    }

    /// The route tables that a firewall diverts: those that are named, else all of the VPC that lead to its gateway.
    fn diverted(
        &self,
        entry: &mut Entry,
        raw: &schema::NatFirewall,
        gateway: Option<&Id>,
        vpc: &Id,
    ) -> Vec<Id> {
        let leads = |table: &RouteTable| {
            table.routes.iter().any(|it| {
                let hop = matches!(&it.next_hop, NextHop::NatGateway(id) if Some(id) == gateway);
                hop && it.destination == Ipv4Net::default()
            })
        };
        let tables = &self.config.route_tables;
        let Some(named) = &raw.route_tables else {
            let all = tables.iter().filter(|it| it.vpc == *vpc && leads(it));
            return all.map(|it| it.id.clone()).collect();
        };
        for name in named {
            let id = name.get_ref();
            let found = tables.iter().find(|it| it.id == *id && it.vpc == *vpc);
            let at = name.span().start;
            match found {
                None if self.broken.contains(&(Kind::RouteTable, id.clone())) => {}
                None => {
                    let what = format!("there is no route table {} in its VPC", quote(id));
                    entry.fail(at, what);
                }
                Some(table) if !leads(table) => {
                    let what = format!(
                        "route table {} has no route for 0.0.0.0/0 to its NAT gateway",
                        quote(id)
                    );
                    entry.fail(at, what);
                }
                Some(_) => {}
            }
        }
        named.iter().map(|it| it.get_ref().clone()).collect()
    }

    fn license(&mut self, table: &Spanned<schema::FirewallLicense>) {
        let raw = table.get_ref();
        let mut entry = Entry::named("firewall_license".into(), table.span());
        let default = FirewallLicense::default();
        let expires = raw.expires.as_ref().and_then(|it| {
            let read = time::seconds(it.get_ref());
            read.map_err(|error| entry.fail(it.span().start, format!("expires {error}")))
                .ok()
        });
        let license = FirewallLicense {
            firewalls: entry
                .number("firewalls", &raw.firewalls, 0..=u32::MAX)
                .unwrap_or(default.firewalls),
            capacity: entry.number("capacity", &raw.capacity, 1..=u32::MAX),
            over_capacity: entry
                .read("over_capacity", &raw.over_capacity, word)
                .unwrap_or_default(),
            expires,
            auto_renew: entry.number("auto_renew", &raw.auto_renew, 1..=u32::MAX),
        };
        self.found.append(&mut entry.found);
        self.config.firewalls.license = license;
    }
}
