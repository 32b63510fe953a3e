//! What a configuration file says of firewalls.

use crate::draft::Draft;
use crate::records::*;
use crate::refusal::Result;
use hashbrown::HashSet;
use model::{Config, Firewalls, Id, Kind};

impl Draft {
    pub(crate) fn import_firewalls(&mut self, config: &Config) -> Result<()> {
        let Firewalls {
            nat,
            nat_off,
            diversions,
            border,
            license,
            ..
        } = &config.firewalls;
        let on = nat.iter().map(|it| (true, it));
        let all: Vec<(bool, &model::NatFirewall)> =
            on.chain(nat_off.iter().map(|it| (false, it))).collect();
        let kept: HashSet<&str> = all.iter().map(|(_, it)| &*it.id).collect();
        let firewalls = self.nat_firewalls.iter();
        let gone = firewalls.filter(|it| it.meta.of_file && !kept.contains(&*it.id));
        let gone: Vec<Id> = gone.map(|it| it.id.clone()).collect();
        gone.iter().for_each(|it| self.drop_nat_firewall(it));
        for (enabled, firewall) in all {
            let diversion = diversions.iter().find(|it| it.firewall == firewall.id);
            let had = self.nat_firewalls.get(&firewall.id);
            let vswitch = diversion.and_then(|it| it.vswitch.clone());
            let says = config.details.of(Kind::NatFirewall, &firewall.id);
            let record = NatFirewall {
                id: firewall.id.clone(),
                meta: self.filed(had.map(|it| &it.meta), says),
                gateway: firewall.gateway.clone(),
                enabled,
                inbound: firewall.inbound,
                settings: firewall.settings.without_inherited(&border.settings),
                tables: diversion
                    .map(|it| it.route_tables.clone())
                    .unwrap_or_default(),
                own_vswitch: had.is_some_and(|it| it.own_vswitch && it.vswitch == vswitch),
                vswitch,
                eni: match had {
                    Some(had) => had.eni.clone(),
                    None => self.new_id("eni")?,
                },
                service_mode: had.map(|it| it.service_mode.clone()).unwrap_or_default(),
                service_zones: had.map(|it| it.service_zones.clone()).unwrap_or_default(),
            };
            self.nat_firewalls.put(record);
        }
        let protected: HashSet<&str> = border.eips.iter().map(|it| &**it).collect();
        let named = config.eips.iter().map(|it| &it.id);
        for id in named {
            let Some(had) = self.eips.get(id) else {
                continue;
            };
            let says = protected.contains(&**id);
            // Nobody but a file takes away what a file has given, and no file what it has not.
            let is = says || (had.protected && !had.protected_of_file);
            if (had.protected, had.protected_of_file) != (is, says)
                && let Some(eip) = self.eips.get_mut(id)
            {
                (eip.protected, eip.protected_of_file) = (is, says);
            }
        }
        self.import_policies(config);
        let had = self.licenses.get(License::ID);
        if *license != model::FirewallLicense::default() {
            self.set_license(license.clone(), true)?;
        } else if had.is_some_and(|it| it.meta.of_file) {
            self.licenses.remove(License::ID);
        }
        Ok(())
    }

    /// Lets go of what firewalls name and is not there.
    pub(crate) fn let_go_of_firewalls(&mut self) {
        self.let_go_of_policies();
        let of_none = self.nat_firewalls.iter();
        let of_none = of_none.filter(|it| !self.nat_gateways.contains(&it.gateway));
        let of_none: Vec<Id> = of_none.map(|it| it.id.clone()).collect();
        of_none.iter().for_each(|it| self.drop_nat_firewall(it));
        let all: Vec<NatFirewall> = self.nat_firewalls.iter().cloned().collect();
        for mut firewall in all {
            let had = (firewall.tables.len(), firewall.vswitch.is_some());
            firewall.tables.retain(|it| self.route_tables.contains(it));
            firewall.vswitch.take_if(|it| !self.vswitches.contains(it));
            if had != (firewall.tables.len(), firewall.vswitch.is_some()) {
                self.nat_firewalls.put(firewall);
            }
        }
    }
}
