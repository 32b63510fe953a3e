//! NAT firewalls and their license.

use super::super::time;
use super::*;

impl Out<'_> {
    pub(super) fn nat_firewalls(&mut self, firewalls: &Firewalls) {
        let on = firewalls.nat.iter().map(|it| (it, true));
        let off = firewalls.nat_off.iter().map(|it| (it, false));
        for (firewall, enabled) in on.chain(off) {
            let mut diversions = firewalls.diversions.iter();
            let diversion = diversions.find(|it| it.firewall == firewall.id);
            let settings = match enabled {
                true => firewall
                    .settings
                    .without_inherited(&firewalls.border.settings),
                false => firewall.settings.clone(),
            };
            let firewall = &NatFirewall {
                settings,
                ..firewall.clone()
            };
            self.nat_firewall(firewall, enabled, diversion);
        }
    }

    fn nat_firewall(
        &mut self,
        firewall: &NatFirewall,
        enabled: bool,
        diversion: Option<&Diversion>,
    ) {
        let NatFirewall {
            id,
            gateway,
            inbound,
            settings,
        } = firewall;
        self.table("[[nat_firewall]]");
        self.set("id", id);
        self.set("nat_gateway", gateway);
        self.detail(Kind::NatFirewall, id);
        if !enabled {
            self.flag("enabled", false);
        }
        if *inbound {
            self.flag("inbound", true);
        }
        if let Some(Diversion {
            firewall: _,
            route_tables,
            vswitch,
        }) = diversion
        {
            self.list("route_tables", route_tables);
            vswitch.iter().for_each(|it| self.set("vswitch", it));
        }
        self.settings(settings);
    }

    pub(super) fn firewall_license(&mut self, license: &FirewallLicense) {
        let FirewallLicense {
            firewalls,
            capacity,
            over_capacity,
            expires,
            auto_renew,
        } = license;
        if *license == FirewallLicense::default() {
            return;
        }
        self.table("[firewall_license]");
        self.number("firewalls", *firewalls);
        capacity.iter().for_each(|it| self.number("capacity", *it));
        self.unless("over_capacity", *over_capacity, OverCapacity::default());
        if let Some(end) = expires {
            self.value("expires", Value::Datetime(time::datetime(*end)));
        }
        auto_renew
            .iter()
            .for_each(|it| self.number("auto_renew", *it));
    }
}
