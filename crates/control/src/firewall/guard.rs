//! What nobody but the firewall may change: the routes that it diverts, its vSwitch with its route table, its SNAT
//! entries; and what may not come beside it.

use crate::cloud::Cloud;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use crate::routes::DEFAULT;

impl Cloud {
    /// The firewall of a NAT gateway.
    pub fn firewall_of_gateway(&self, gateway: &str) -> Option<&NatFirewall> {
        self.nat_firewalls.find(|it| it.gateway == gateway)
    }

    /// The firewall that a vSwitch was given to.
    pub fn firewall_of_vswitch(&self, vswitch: &str) -> Option<&NatFirewall> {
        self.nat_firewalls
            .find(|it| it.vswitch.as_deref() == Some(vswitch))
    }

    /// The firewall whose own a route table is: that of its vSwitch.
    pub fn firewall_of_table(&self, table: &str) -> Option<&NatFirewall> {
        self.nat_firewalls
            .find(|it| self.own_table(it) == Some(table))
    }

    /// The route table of a firewall's vSwitch, if that has one of its own.
    pub fn own_table(&self, firewall: &NatFirewall) -> Option<&str> {
        let vswitch = self.vswitches.get(firewall.vswitch.as_ref()?)?;
        let table = self.route_tables.get(&vswitch.route_table)?;
        (!table.system).then_some(&*table.id)
    }

    /// The firewall that a route entry leads to now, instead of to the gateway that it names.
    pub fn diverts(&self, route: &Route) -> Option<&NatFirewall> {
        let NextHop::NatGateway(gateway) = &route.next_hop else {
            return None;
        };
        if route.destination != DEFAULT {
            return None;
        }
        self.nat_firewalls
            .find(|it| it.enabled && it.gateway == *gateway && it.tables.contains(&route.table))
    }

    /// Refuses to touch a route entry that is a firewall's: one that it diverts, or of its own table.
    pub(crate) fn not_diverted(&self, route: &Route) -> Result<()> {
        if let Some(firewall) = self.diverts(route) {
            let why = format!(
                "The route entry {} leads to the NAT firewall {}: switch that off first.",
                route.id, firewall.id
            );
            return denied(why);
        }
        self.not_of_firewall(&route.table)
    }

    /// Refuses to touch the route table of a firewall's vSwitch.
    pub(crate) fn not_of_firewall(&self, table: &str) -> Result<()> {
        match self.firewall_of_table(table) {
            None => Ok(()),
            Some(firewall) => denied(format!(
                "The route table {table} is that of the NAT firewall {}, which alone changes it.",
                firewall.id
            )),
        }
    }

    /// Refuses to touch a vSwitch that was given to a firewall.
    pub(crate) fn not_diversion(&self, vswitch: &str) -> Result<()> {
        match self.firewall_of_vswitch(vswitch) {
            None => Ok(()),
            Some(firewall) => denied(format!(
                "The vSwitch {vswitch} is that of the NAT firewall {}, which has it for itself.",
                firewall.id
            )),
        }
    }

    /// Refuses a DNAT entry by which traffic would come in past the firewall of its gateway: there is none for firewalls
    /// of outbound traffic alone, as there is none when they are made.
    pub(crate) fn not_around_firewall(&self, gateway: &NatGateway) -> Result<()> {
        match self.firewall_of_gateway(&gateway.id) {
            Some(firewall) if !firewall.inbound => denied(format!(
                "The NAT firewall {} protects what leaves by {} alone, and DNAT entries let traffic in past it: have it \
                 protect that, too, with Inbound=true, or delete it first.",
                firewall.id, gateway.id
            )),
            _ => Ok(()),
        }
    }

    /// Refuses to touch an SNAT entry that a firewall has made.
    pub(crate) fn not_shown(&self, gateway: &NatGateway, entry: &str) -> Result<()> {
        let Some(firewall) = self.firewall_of_gateway(&gateway.id) else {
            return Ok(());
        };
        match self.shown_snat(firewall).iter().any(|it| it.id == entry) {
            false => Ok(()),
            true => denied(format!(
                "The SNAT entry {entry} is that of the NAT firewall {}, which alone changes it.",
                firewall.id
            )),
        }
    }
}

fn denied(why: String) -> Result<()> {
    Err(Refusal::bad("OperationDenied.NatFirewall", why))
}
