//! NAT firewalls and their license.

use super::super::time;
use super::firewall::read_settings;
use super::*;
use crate::names;
use crate::problem::Known;

impl Builder {
    /// Reads the firewalls, and leads the default routes that they divert to those that are on.
    pub(super) fn nat_firewalls(&mut self, tables: &[Spanned<schema::NatFirewall>]) {
        let (on, off): (Vec<_>, Vec<_>) = tables.iter().partition(|it| {
            let enabled = &it.get_ref().enabled;
            enabled.as_ref().is_none_or(|it| *it.get_ref())
        });
        on.into_iter().for_each(|it| self.nat_firewall(it, true));
        off.into_iter().for_each(|it| self.nat_firewall(it, false));
        let diversions = &mut self.config.firewalls.diversions;
        diversions.sort_by(|a, b| a.firewall.cmp(&b.firewall));
    }

    /// Has firewalls that are on do about threats what the Internet border does, unless they say otherwise.
    pub(super) fn inherit_threats(&mut self) {
        let firewalls = &mut self.config.firewalls;
        for firewall in &mut firewalls.nat {
            let border = &firewalls.border.settings;
            firewall.settings.inherit_threats(border);
        }
    }

    fn nat_firewall(&mut self, table: &Spanned<schema::NatFirewall>, enabled: bool) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::NatFirewall, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        if raw.nat_gateway.is_none() {
            entry.missing("nat_gateway");
        }
        let gateway = entry.read_as("gateway", "nat_gateway", &raw.nat_gateway, any);
        let words = [
            &raw.mode,
            &raw.default_action,
            &raw.on_drop,
            &raw.name_check,
        ];
        let settings = read_settings(&mut entry, words, &raw.threats);
        let vswitch = entry.read("vswitch", &raw.vswitch, any);
        let diverted = gateway.as_ref().map(|gateway| match &raw.route_tables {
            Some(tables) => self.named(&mut entry, gateway, tables, enabled),
            None => self.leading(&mut entry, gateway, vswitch.as_ref()),
        });
        let name = entry.read("name", &raw.name, |text| {
            names::firewall(text).map(|()| text.into())
        });
        let sound = self.sound(&mut entry, Kind::NatFirewall, &raw.id);
        let (true, Some(id), Some(gateway), Some(diverted)) = (sound, id, gateway, diverted) else {
            return;
        };
        if enabled {
            for table in &diverted {
                self.divert(table, &gateway, &id);
            }
        }
        let detail = Detail {
            name,
            ..Detail::default()
        };
        self.config.details.say(Kind::NatFirewall, &id, detail);
        let firewalls = &mut self.config.firewalls;
        let n = firewalls.nat.len() + firewalls.nat_off.len();
        firewalls.diversions.push(Diversion {
            firewall: id.clone(),
            route_tables: diverted,
            vswitch,
        });
        let firewall = NatFirewall {
            id,
            gateway,
            inbound: raw.inbound.as_ref().is_some_and(|it| *it.get_ref()),
            settings,
        };
        match enabled {
            true => firewalls.nat.push(firewall),
            false => firewalls.nat_off.push(firewall),
        }
        self.place(Item::NatFirewall(n), &entry);
    }

    /// The tables that a firewall names.
    fn named(&self, entry: &mut Entry, gateway: &Id, tables: &Texts, enabled: bool) -> Vec<Id> {
        for (n, table) in tables.iter().enumerate() {
            entry.mark("route_tables", n, table);
            let (id, at) = (table.get_ref(), table.span().start);
            let mut all = self.config.route_tables.iter();
            let Some(found) = all.find(|it| it.id == *id) else {
                let fault = Fault::Unknown {
                    kind: Kind::RouteTable,
                    id: id.clone(),
                    known: Known::new(self.config.route_tables.iter().map(|it| &it.id)),
                };
                if !self.is_consequence(&fault) {
                    entry.fail(at, fault);
                }
                continue;
            };
            // What is not there cannot be diverted; a firewall that is off diverts nothing.
            if enabled && !leads(found, gateway) {
                let what = format!(
                    "route table {} has no route to NAT gateway {} for 0.0.0.0/0, which could be diverted",
                    quote(id),
                    quote(gateway)
                );
                entry.fail(at, what);
            }
        }
        tables.iter().map(|it| it.get_ref().clone()).collect()
    }

    /// All tables whose default route leads to a gateway, but that of the firewall's vSwitch.
    fn leading(&self, entry: &mut Entry, gateway: &Id, vswitch: Option<&Id>) -> Vec<Id> {
        let mut vswitches = self.config.vswitches.iter();
        let own = vswitches.find(|it| Some(&it.id) == vswitch);
        let own = own.and_then(|it| it.route_table.as_ref());
        let tables = self.config.route_tables.iter();
        let tables = tables.filter(|it| leads(it, gateway) && Some(&it.id) != own);
        let tables: Vec<Id> = tables.map(|it| it.id.clone()).collect();
        let known = self.config.nat_gateways.iter().any(|it| it.id == *gateway);
        if tables.is_empty() && known {
            let what = format!(
                "no route table has a route to NAT gateway {} for 0.0.0.0/0, which could be diverted",
                quote(gateway)
            );
            entry.fail(entry.start, what);
        }
        tables
    }

    fn divert(&mut self, table: &Id, gateway: &Id, firewall: &Id) {
        let mut tables = self.config.route_tables.iter_mut();
        let Some(table) = tables.find(|it| it.id == *table) else {
            return;
        };
        for route in &mut table.routes {
            if is_lead(route, gateway) {
                route.next_hop = NextHop::NatFirewall(firewall.clone());
            }
        }
    }

    pub(super) fn firewall_license(&mut self, table: &Spanned<schema::FirewallLicense>) {
        let raw = table.get_ref();
        let mut entry = Entry::named("firewall_license".into(), table.span());
        let default = FirewallLicense::default();
        let firewalls = entry.number("firewalls", &raw.firewalls, 0u32..=1_000_000);
        let capacity = entry.number("capacity", &raw.capacity, 1u32..=10_000_000);
        let auto_renew = entry.number("auto_renew", &raw.auto_renew, 1u32..=36_500);
        for (key, given) in [("capacity", capacity), ("auto_renew", auto_renew)] {
            if given == Some(0) {
                entry.fail(
                    entry.start,
                    format!("{key} is at least 1; leave it out for none"),
                );
            }
        }
        let over_capacity = entry.read("over_capacity", &raw.over_capacity, word);
        let expires = raw.expires.as_ref().and_then(|value| {
            let read = time::seconds(value.get_ref());
            read.map_err(|error| entry.fail(value.span().start, format!("expires {error}")))
                .ok()
        });
        self.found.append(&mut entry.found);
        self.config.firewalls.license = FirewallLicense {
            firewalls: firewalls.unwrap_or(default.firewalls),
            capacity,
            over_capacity: over_capacity.unwrap_or_default(),
            expires,
            auto_renew,
        };
    }
}

/// Whether a table leads everything else to a gateway.
fn leads(table: &RouteTable, gateway: &Id) -> bool {
    table.routes.iter().any(|it| is_lead(it, gateway))
}

fn is_lead(route: &Route, gateway: &Id) -> bool {
    let hop = matches!(&route.next_hop, NextHop::NatGateway(id) if id == gateway);
    hop && route.destination == Ipv4Net::default()
}
