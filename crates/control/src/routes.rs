//! Route tables and their custom entries.

use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use crate::vpc::overlap;
use ipnet::Ipv4Net;
use model::Id;
use std::net::Ipv4Addr;

/// The everything route.
pub const DEFAULT: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

impl Draft {
    /// Makes a custom route table.
    ///
    /// # Errors
    /// If the VPC does not exist or has its fill of tables.
    pub fn create_route_table(&mut self, vpc: &str, meta: Meta) -> Result<RouteTable> {
        self.vpc(vpc)?;
        let tables = self.route_tables.iter();
        let tables = tables.filter(|it| it.vpc == vpc && !it.system).count();
        self.room_for(Quota::RouteTables, &format!("The VPC {vpc} has"), tables)?;
        let table = RouteTable {
            id: self.new_id("vtb")?,
            meta,
            vpc: vpc.into(),
            system: false,
        };
        self.route_tables.put(table.clone());
        Ok(table)
    }

    /// Deletes a custom route table with its entries.
    ///
    /// # Errors
    /// If it is a system table, or a vSwitch uses it.
    pub fn delete_route_table(&mut self, id: &str) -> Result<()> {
        self.not_of_firewall(id)?;
        if self.route_table(id)?.system {
            let why = "A system route table goes with its VPC.";
            return Err(Refusal::bad("OperationDenied.SystemRouteTable", why));
        }
        if let Some(vswitch) = self.vswitches.find(|it| it.route_table == id) {
            let why = format!(
                "The vSwitch {} uses the route table: unassociate it first.",
                vswitch.id
            );
            return Err(Refusal::bad("DependencyViolation.VSwitch", why));
        }
        let diverts = |it: &NatFirewall| it.enabled && it.tables.iter().any(|it| it == id);
        if let Some(firewall) = self.nat_firewalls.find(diverts) {
            let why = format!("The NAT firewall {} diverts the route table.", firewall.id);
            return Err(Refusal::bad("OperationDenied.NatFirewall", why));
        }
        self.drop_route_table(id);
        Ok(())
    }

    /// Removes a route table and its entries.
    pub(crate) fn drop_route_table(&mut self, id: &str) {
        let routes = self.routes.iter().filter(|it| it.table == id);
        let routes: Vec<Id> = routes.map(|it| it.id.clone()).collect();
        for route in routes {
            self.routes.remove(&route);
        }
        self.route_tables.remove(id);
    }

    /// Has a vSwitch use a custom route table.
    ///
    /// # Errors
    /// If the table is a system table or of another VPC, or the vSwitch uses a custom table already.
    pub fn associate_route_table(&mut self, table: &str, vswitch: &str) -> Result<()> {
        let table = self.route_table(table)?;
        self.not_of_firewall(&table.id)?;
        self.not_diversion(vswitch)?;
        let (of, vswitch) = (table.vpc.clone(), self.vswitch(vswitch)?);
        if table.system {
            let why = "A vSwitch without a custom route table uses the system table by itself.";
            return Err(Refusal::bad("OperationDenied.SystemRouteTable", why));
        }
        if vswitch.vpc != of {
            let why = format!(
                "The route table is of {of}, the vSwitch of {}.",
                vswitch.vpc
            );
            return Err(Refusal::bad("InvalidVSwitchId.NotInSameVpc", why));
        }
        let other = self.route_tables.get(&vswitch.route_table);
        if let Some(other) = other.filter(|it| !it.system) {
            let why = format!(
                "The vSwitch uses the route table {}: unassociate it first.",
                other.id
            );
            return Err(Refusal::bad("ResourceAlreadyAssociated.VSwitch", why));
        }
        let (table, vswitch) = (table.id.clone(), vswitch.id.clone());
        if let Some(vswitch) = self.vswitches.get_mut(&vswitch) {
            vswitch.route_table = table;
        }
        Ok(())
    }

    /// Has a vSwitch use its VPC's system table again.
    ///
    /// # Errors
    /// If the vSwitch does not use this table.
    pub fn unassociate_route_table(&mut self, table: &str, vswitch: &str) -> Result<()> {
        let table = self.route_table(table)?;
        let vswitch = self.vswitch(vswitch)?;
        self.not_diversion(&vswitch.id)?;
        if table.system || vswitch.route_table != table.id {
            let why = format!(
                "The vSwitch {} does not use the route table {}.",
                vswitch.id, table.id
            );
            return Err(Refusal::bad("ResourceNotAssociated.VSwitch", why));
        }
        let system = self.system_table(&vswitch.vpc).map(|it| it.id.clone());
        let id = vswitch.id.clone();
        if let (Some(system), Some(vswitch)) = (system, self.vswitches.get_mut(&id)) {
            vswitch.route_table = system;
        }
        Ok(())
    }

    /// Adds a custom entry to a route table.
    ///
    /// # Errors
    /// If the destination or the next hop cannot be, or the table has an entry for the destination.
    pub fn create_route(
        &mut self,
        table: &str,
        destination: Ipv4Net,
        next_hop: NextHop,
        meta: Meta,
    ) -> Result<Route> {
        let vpc = self.route_table(table)?.vpc.clone();
        self.not_of_firewall(table)?;
        self.check_destination(&vpc, destination)?;
        self.check_next_hop(&vpc, &next_hop)?;
        let mut count = 0;
        for other in self.routes.iter().filter(|it| it.table == table) {
            if other.destination == destination {
                let why = format!(
                    "The route table has the entry {} for {destination}.",
                    other.id
                );
                return Err(Refusal::bad("RouterEntryConflict.Duplicated", why));
            }
            count += 1;
        }
        let whose = format!("The route table {table} has");
        self.room_for(Quota::RouteEntries, &whose, count)?;
        let route = Route {
            id: self.new_id("rte")?,
            meta,
            table: table.into(),
            destination,
            next_hop,
        };
        self.routes.put(route.clone());
        Ok(route)
    }

    /// Leads a route entry elsewhere.
    ///
    /// # Errors
    /// If the entry does not exist or the next hop cannot be.
    pub fn modify_route(&mut self, id: &str, next_hop: NextHop) -> Result<()> {
        let route = self.route(id)?;
        self.not_diverted(route)?;
        let table = &route.table;
        let vpc = self.route_table(table)?.vpc.clone();
        self.check_next_hop(&vpc, &next_hop)?;
        if let Some(route) = self.routes.get_mut(id) {
            route.next_hop = next_hop;
        }
        Ok(())
    }

    /// Deletes a route entry.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn delete_route(&mut self, id: &str) -> Result<()> {
        self.not_diverted(self.route(id)?)?;
        self.routes.remove(id);
        Ok(())
    }

    /// A destination may contain vSwitches, but neither be one nor lie in one.
    fn check_destination(&self, vpc: &str, destination: Ipv4Net) -> Result<()> {
        if let Some(vswitch) = self
            .vswitches
            .find(|it| it.vpc == vpc && it.cidr.contains(&destination))
        {
            let why = format!(
                "{destination} lies in {} of the vSwitch {}, which is local.",
                vswitch.cidr, vswitch.id
            );
            return Err(Refusal::bad(
                "InvalidDestinationCidrBlock.ConflictsWithVSwitch",
                why,
            ));
        }
        let reserved = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
        if destination == reserved || (destination != DEFAULT && is_special(destination)) {
            let why = format!("{destination} is reserved and cannot be routed.");
            return Err(Refusal::bad("InvalidDestinationCidrBlock.Reserved", why));
        }
        Ok(())
    }

    /// A next hop is of the table's VPC, or leads to another one.
    fn check_next_hop(&self, vpc: &str, hop: &NextHop) -> Result<()> {
        let (id, of) = match hop {
            NextHop::Blackhole => return Ok(()),
            NextHop::Instance(id) => {
                let eni = &self.instance(id)?.eni;
                (id, self.vpc_of_eni(eni)?)
            }
            NextHop::Eni(id) => (id, self.vpc_of_eni(id)?),
            NextHop::NatGateway(id) => {
                let gateway = self.nat_gateway(id)?;
                (id, gateway.vpc.clone())
            }
            NextHop::Peering(id) => {
                let peering = self.peering(id)?;
                if peering.vpc != vpc && peering.accepting_vpc != vpc {
                    (id, peering.vpc.clone())
                } else {
                    return peering.carries();
                }
            }
        };
        if of == vpc {
            return Ok(());
        }
        let why = format!("The next hop {id} is of {of}, the route table of {vpc}.");
        Err(Refusal::bad("InvalidNextHopId.NotInSameVpc", why))
    }

    fn vpc_of_eni(&self, id: &str) -> Result<Id> {
        let vswitch = &self.eni(id)?.vswitch;
        Ok(self.vswitch(vswitch)?.vpc.clone())
    }
}

fn is_special(block: Ipv4Net) -> bool {
    [
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([224, 0, 0, 0], 4),
    ]
    .into_iter()
    .any(|(address, prefix)| overlap(Ipv4Net::new_assert(address.into(), prefix), block))
}
