//! The vSwitch and the route table of a firewall.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use crate::routes::DEFAULT;
use crate::vpc::{NewVSwitch, overlap};
use ipnet::Ipv4Net;
use model::Id;
use std::net::Ipv4Addr;

/// The longest prefix of a firewall's vSwitch.
pub const LONGEST: u8 = 28;

/// The shortest.
const SHORTEST: u8 = 16;

/// Addresses of a vSwitch that nobody can have.
const RESERVED: u32 = 4;

/// Where a firewall gets its vSwitch from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewDiversion {
    /// It is made, with a route table.
    Automatic {
        /// Its block; `None`: the last free one that is large enough.
        cidr: Option<Ipv4Net>,
        /// Its zone; `None`: that of the gateway.
        zone: Option<String>,
    },
    /// One that is there.
    Manual {
        /// The vSwitch.
        vswitch: Id,
        /// The zone that it must be in; `None`: that of the gateway.
        zone: Option<String>,
    },
}

impl Cloud {
    /// The zone of a gateway: that of its vSwitch, or the first of its region.
    fn zone_of_gateway(&self, gateway: &NatGateway) -> String {
        let vswitch = gateway.vswitch.as_ref();
        if let Some(vswitch) = vswitch.and_then(|it| self.vswitches.get(it)) {
            return self.zone_of(vswitch);
        }
        let region = self.vpcs.get(&gateway.vpc).map(|it| &*it.region);
        let zones = self.zones(region.unwrap_or_default());
        zones.into_iter().next().unwrap_or_default()
    }

    /// Why a firewall of some gateway of its VPC cannot have a vSwitch, whatever the gateway.
    pub fn unfit_for_firewall(&self, vswitch: &VSwitch) -> Option<Refusal> {
        let zone = self.zone_of(vswitch);
        self.check_vswitch(&vswitch.vpc, 0, &vswitch.id, &zone)
            .err()
    }

    /// The own route table of a vSwitch that a firewall with so many EIPs can have.
    fn check_vswitch(&self, vpc: &str, eips: usize, id: &str, zone: &str) -> Result<Id> {
        let refuse = |code: &'static str, why: String| Err(Refusal::bad(code, why));
        let vswitch = self.vswitch(id)?;
        if vswitch.vpc != vpc {
            let why = format!("The vSwitch is of {}, not of {}.", vswitch.vpc, vpc);
            return refuse("ErrorVSwitchNotInVpc", why);
        }
        let its = self.zone_of(vswitch);
        if its != zone {
            let why = format!("The vSwitch is in the zone {its}, not in {zone}.");
            return refuse("ErrorVSwitchZone", why);
        }
        large_enough(vswitch.cidr)?;
        let gateways = || {
            self.nat_gateways
                .find(|it| it.vswitch.as_deref() == Some(id))
        };
        if let Some(eni) = self.enis.find(|it| it.vswitch == id).map(|it| &it.id) {
            return refuse(
                "ErrorVSwitchNotEmpty",
                format!("{eni} is in the vSwitch {id}."),
            );
        }
        if let Some(gateway) = gateways().map(|it| &it.id) {
            return refuse(
                "ErrorVSwitchNotEmpty",
                format!("{gateway} is in the vSwitch {id}."),
            );
        }
        if let Some(firewall) = self.firewall_of_vswitch(id) {
            let why = format!("The NAT firewall {} has the vSwitch {id}.", firewall.id);
            return refuse("ErrorVSwitchNotEmpty", why);
        }
        let free = self.free_addresses(vswitch) as usize;
        if free <= eips {
            return Err(too_full(free, eips));
        }
        let table = self.route_table(&vswitch.route_table)?;
        if table.system {
            let why = format!(
                "The vSwitch {id} uses the system route table: give it a custom one of its own."
            );
            return refuse("ErrorVSwitchRouteTable", why);
        }
        let table = &table.id;
        let other = self
            .vswitches
            .find(|it| it.route_table == *table && it.id != id);
        if let Some(other) = other {
            let why = format!(
                "The vSwitch {} uses the route table {table}, too.",
                other.id
            );
            return refuse("ErrorVSwitchRouteTable", why);
        }
        let everything = |it: &Route| it.table == *table && it.destination == DEFAULT;
        if let Some(route) = self.routes.find(everything) {
            let why = format!(
                "The route table {table} has the default route {}: delete it first.",
                route.id
            );
            return refuse("ErrorDefaultRouteConflicts", why);
        }
        Ok(table.clone())
    }

    /// The last block of a VPC that is free and large enough for the interfaces of a firewall with so many EIPs.
    pub fn free_block(&self, vpc: &Vpc, eips: usize) -> Option<Ipv4Net> {
        let prefix = (SHORTEST..=LONGEST).rev().find(|it| room(*it) > eips)?;
        let taken = self.vswitches.iter().filter(|it| it.vpc == vpc.id);
        let mut taken: Vec<Ipv4Net> = taken.map(|it| it.cidr).collect();
        taken.extend(self.routes_of_vpc(&vpc.id).map(|it| it.destination));
        taken.retain(|it| *it != DEFAULT);
        let size = 1u32 << (32 - u32::from(prefix));
        let fitting = vpc.cidrs.iter().filter(|it| it.prefix_len() <= prefix);
        for block in fitting {
            let first = u32::from(block.network());
            let mut at = u32::from(block.broadcast()) - (size - 1);
            loop {
                let found = Ipv4Net::new(Ipv4Addr::from(at), prefix).ok()?;
                let in_the_way = taken.iter().filter(|it| overlap(**it, found));
                // Before all that is in the way.
                match in_the_way.map(|it| u32::from(it.network())).min() {
                    None => return Some(found),
                    Some(start) => match start.min(at).checked_sub(size) {
                        Some(before) if before >= first => at = before & !(size - 1),
                        _ => break,
                    },
                }
            }
        }
        None
    }
}

/// How many addresses a block of this prefix length has to give.
fn room(prefix: u8) -> usize {
    ((1u32 << (32 - u32::from(prefix))) - RESERVED) as usize
}

impl Draft {
    /// The vSwitch for the firewall of a gateway, and whether it was made for it.
    pub(super) fn divert(&mut self, gateway: &NatGateway, new: NewDiversion) -> Result<(Id, bool)> {
        match new {
            NewDiversion::Automatic { cidr, zone } => {
                let zone = zone.unwrap_or_else(|| self.zone_of_gateway(gateway));
                Ok((self.make_vswitch(gateway, cidr, zone)?, true))
            }
            NewDiversion::Manual { vswitch, zone } => {
                let zone = zone.unwrap_or_else(|| self.zone_of_gateway(gateway));
                let eips = self.eips_of_gateway(&gateway.id).count();
                let table = self.check_vswitch(&gateway.vpc, eips, &vswitch, &zone)?;
                self.lead_on(gateway, table)?;
                Ok((vswitch, false))
            }
        }
    }

    fn make_vswitch(
        &mut self,
        gateway: &NatGateway,
        cidr: Option<Ipv4Net>,
        zone: String,
    ) -> Result<Id> {
        let eips = self.eips_of_gateway(&gateway.id).count();
        let cidr = match cidr {
            Some(cidr) => cidr,
            None => {
                let none = || {
                    let why = format!(
                        "The VPC {} has no free block for {eips} EIPs: add a secondary one.",
                        gateway.vpc
                    );
                    Refusal::bad("ErrorVSwitchCidrNotEnough", why)
                };
                self.free_block(self.vpc(&gateway.vpc)?, eips)
                    .ok_or_else(none)?
            }
        };
        large_enough(cidr)?;
        if room(cidr.prefix_len()) <= eips {
            return Err(too_full(room(cidr.prefix_len()), eips));
        }
        let vswitch = self.create_vswitch(NewVSwitch {
            meta: self.meta("Cloud_Firewall_VSWITCH", ""),
            vpc: gateway.vpc.clone(),
            zone,
            cidr,
            default: false,
        })?;
        let meta = self.meta("Cloud_Firewall_ROUTE_TABLE", "");
        let table = self.create_route_table(&gateway.vpc, meta)?;
        self.associate_route_table(&table.id, &vswitch.id)?;
        self.lead_on(gateway, table.id)?;
        Ok(vswitch.id)
    }

    /// Leads everything in the firewall's own table to its gateway.
    fn lead_on(&mut self, gateway: &NatGateway, table: Id) -> Result<()> {
        let hop = NextHop::NatGateway(gateway.id.clone());
        let meta = self.meta("", "Created with NAT firewall by system.");
        self.create_route(&table, DEFAULT, hop, meta)?;
        Ok(())
    }

    /// Takes its vSwitch and route table from a firewall that goes.
    pub(super) fn undivert(&mut self, firewall: &NatFirewall) {
        let table = self.own_table(firewall).map(str::to_owned);
        if firewall.own_vswitch {
            if let Some(vswitch) = &firewall.vswitch {
                self.vswitches.remove(vswitch);
            }
            table.iter().for_each(|it| self.drop_route_table(it));
            return;
        }
        // A file's own entries are the file's.
        let ours = self.routes.iter().filter(|it| {
            Some(&it.table) == table.as_ref() && it.destination == DEFAULT && !it.meta.of_file
        });
        let ours: Vec<Id> = ours.map(|it| it.id.clone()).collect();
        ours.iter().for_each(|it| drop(self.routes.remove(it)));
    }
}

fn large_enough(cidr: Ipv4Net) -> Result<()> {
    if cidr.prefix_len() <= LONGEST {
        return Ok(());
    }
    let why =
        format!("{cidr} is too small for a NAT firewall, which needs a /{LONGEST} or larger.");
    Err(Refusal::bad("ErrorVSwitchCidrNotEnough", why))
}

fn too_full(free: usize, eips: usize) -> Refusal {
    let why = format!(
        "The vSwitch has {free} free addresses, and the gateway {eips} EIPs: there must be more addresses than EIPs."
    );
    Refusal::bad("ErrorVSwitchIpNotEnough", why)
}
