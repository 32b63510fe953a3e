//! NAT firewalls, and what was bought of them.

use super::super::time;
use super::*;

impl Out {
    pub(super) fn nat_firewalls(&mut self, firewalls: &Firewalls) {
        let all = [(true, &firewalls.nat), (false, &firewalls.nat_off)];
        for (enabled, firewall) in all
            .iter()
            .flat_map(|(on, them)| them.iter().map(|it| (*on, it)))
        {
            let NatFirewall {
                id,
                gateway,
                inbound,
                settings,
            } = firewall;
            self.table("[[nat_firewall]]");
            self.set("id", id);
            self.set("nat_gateway", gateway);
            if !enabled {
                self.flag("enabled", false);
            }
            if *inbound {
                self.flag("inbound", true);
            }
            let mut diversions = firewalls.diversions.iter();
            if let Some(Diversion {
                firewall: _,
                route_tables,
                vswitch,
            }) = diversions.find(|it| it.firewall == *id)
            {
                self.list("route_tables", route_tables);
                vswitch.iter().for_each(|it| self.set("vswitch", it));
            }
            self.settings(settings);
        }
        self.license(&firewalls.license);
    }

    fn license(&mut self, license: &FirewallLicense) {
        if *license == FirewallLicense::default() {
            return;
        }
        let FirewallLicense {
            firewalls,
            capacity,
            over_capacity,
            expires,
            auto_renew,
        } = license;
        self.table("[firewall_license]");
        self.number("firewalls", *firewalls);
        capacity.iter().for_each(|it| self.number("capacity", *it));
        self.unless("over_capacity", *over_capacity, OverCapacity::default());
        if let Some(expires) = expires {
            self.value("expires", Value::Datetime(time::datetime(*expires)));
        }
        let renew = auto_renew.iter();
        renew.for_each(|it| self.number("auto_renew", *it));
    }
}
