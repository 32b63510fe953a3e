//! What may be done to what there is, and why not.

use super::{DEFAULT, Dnat, Facts, known};
use crate::sequences::op::{Hop, Op, Ports, Source};
use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

impl Facts {
    /// Why an operation is to be refused, if it is.
    pub fn refuses(&self, op: &Op) -> Option<String> {
        self.try_allow(op).err()
    }

    fn try_allow(&self, op: &Op) -> Result<(), String> {
        match op {
            Op::CreateVpc { .. } => Ok(()),
            Op::DeleteVpc { vpc } => {
                known(&self.vpcs, vpc)?;
                unless(
                    self.vswitches.values().any(|it| it.vpc == *vpc),
                    "it has a vSwitch",
                )?;
                unless(
                    self.gateways.values().any(|it| it.vpc == *vpc),
                    "it has a gateway",
                )?;
                unless(
                    self.tables.values().any(|it| it.vpc == *vpc && !it.system),
                    "it has a route table",
                )?;
                unless(
                    self.groups.values().any(|it| it == vpc),
                    "it has a security group",
                )
            }
            Op::CreateVSwitch { vpc, cidr } => {
                let block = known(&self.vpcs, vpc)?;
                let cidr: Ipv4Net = cidr.parse().unwrap();
                unless(!block.contains(&cidr), "not in the VPC")?;
                let mut others = self.vswitches.values().filter(|it| it.vpc == *vpc);
                unless(others.any(|it| overlap(it.cidr, cidr)), "overlaps")?;
                let mut routes = self
                    .routes
                    .keys()
                    .filter(|(table, _)| self.tables[table].vpc == *vpc);
                unless(
                    routes.any(|(_, to)| cidr.contains(&to.parse::<Ipv4Net>().unwrap())),
                    "a route leads there",
                )
            }
            Op::DeleteVSwitch { vswitch } => {
                known(&self.vswitches, vswitch)?;
                unless(
                    self.instances.values().any(|it| it.vswitch == *vswitch),
                    "an instance is in it",
                )?;
                unless(
                    self.gateways.values().any(|it| it.vswitch == *vswitch),
                    "a gateway is in it",
                )?;
                let source = Source::VSwitch(vswitch.clone());
                unless(
                    self.snat.values().any(|it| it.source == source),
                    "an SNAT entry is for it",
                )
            }
            Op::CreateRouteTable { vpc } => known(&self.vpcs, vpc).map(drop),
            Op::DeleteRouteTable { table } => {
                unless(known(&self.tables, table)?.system, "a system table")?;
                unless(
                    self.vswitches.values().any(|it| it.table == *table),
                    "in use",
                )
            }
            Op::AssociateRouteTable { table, vswitch } => {
                let table = known(&self.tables, table)?;
                let vswitch = known(&self.vswitches, vswitch)?;
                unless(table.system, "a system table")?;
                unless(table.vpc != vswitch.vpc, "another VPC's")?;
                unless(!self.tables[&vswitch.table].system, "it has one")
            }
            Op::UnassociateRouteTable { table, vswitch } => {
                let vswitch = known(&self.vswitches, vswitch)?;
                unless(
                    known(&self.tables, table)?.system || vswitch.table != *table,
                    "not its table",
                )
            }
            Op::CreateRouteEntry {
                table,
                destination,
                hop,
            } => {
                let vpc = &known(&self.tables, table)?.vpc;
                let to: Ipv4Net = destination.parse().unwrap();
                let mut vswitches = self.vswitches.values().filter(|it| it.vpc == *vpc);
                unless(vswitches.any(|it| it.cidr.contains(&to)), "local")?;
                unless(
                    self.routes.contains_key(&(table.clone(), to.to_string())),
                    "there is one",
                )?;
                unless(self.vpc_of(hop)? != vpc, "the next hop is another VPC's")
            }
            Op::DeleteRouteEntry {
                table,
                destination,
                hop,
            } => match self.routes.get(&(table.clone(), destination.clone())) {
                Some(leads) => unless(leads != hop, "it leads elsewhere"),
                None => Err("no such entry".into()),
            },
            Op::CreateSecurityGroup { vpc } => known(&self.vpcs, vpc).map(drop),
            Op::DeleteSecurityGroup { group } => {
                known(&self.groups, group)?;
                unless(
                    self.instances.values().any(|it| it.group == *group),
                    "it has members",
                )
            }
            Op::RunInstances {
                vswitch,
                group,
                address,
            } => {
                let vswitch = known(&self.vswitches, vswitch)?;
                unless(
                    *known(&self.groups, group)? != vswitch.vpc,
                    "a group of another VPC",
                )?;
                let free = self.free(vswitch);
                unless(free.is_empty(), "the vSwitch is full")?;
                unless(
                    address.is_some_and(|it| !free.contains(&it)),
                    "the address is not free",
                )
            }
            Op::StopInstance { instance } => {
                unless(!known(&self.instances, instance)?.running, "it is stopped")
            }
            Op::StartInstance { instance } => {
                unless(known(&self.instances, instance)?.running, "it runs")
            }
            Op::DeleteInstance { instance, force } => {
                unless(
                    known(&self.instances, instance)?.running && !force,
                    "it runs",
                )?;
                let hop = Hop::Instance(instance.clone());
                unless(
                    self.routes.values().any(|it| *it == hop),
                    "a route leads to it",
                )
            }
            Op::AllocateEip => unless(self.eips.len() == 16, "the pool is empty"),
            Op::AssociateEip { eip, to } => {
                unless(known(&self.eips, eip)?.bound.is_some(), "it is bound")?;
                let vpc = self.vpc_of(to)?;
                let Hop::Instance(instance) = to else {
                    return Ok(());
                };
                unless(
                    self.eips.values().any(|it| it.bound.as_ref() == Some(to)),
                    "the instance has one",
                )?;
                let address = self.instances[instance].address;
                let leads =
                    |it: &Dnat| it.internal == address && self.gateways[&it.gateway].vpc == *vpc;
                unless(
                    self.dnat.values().any(leads),
                    "a DNAT entry leads to the instance",
                )
            }
            Op::UnassociateEip { eip, force } => {
                unless(known(&self.eips, eip)?.bound.is_none(), "it is not bound")?;
                let snat = self.snat.values().any(|it| it.eips.contains(eip));
                let dnat = self.dnat.values().any(|it| it.eip == *eip);
                unless((snat || dnat) && !force, "entries use it")
            }
            Op::ReleaseEip { eip } => {
                unless(known(&self.eips, eip)?.bound.is_some(), "it is bound")
            }
            Op::CreateNatGateway { vpc, vswitch } => {
                known(&self.vpcs, vpc)?;
                let vswitch = known(&self.vswitches, vswitch)?;
                unless(vswitch.vpc != *vpc, "another VPC's vSwitch")?;
                unless(self.free(vswitch).is_empty(), "the vSwitch is full")?;
                let first = !self.gateways.values().any(|it| it.vpc == *vpc);
                unless(
                    first
                        && self
                            .routes
                            .contains_key(&(self.system_table(vpc), DEFAULT.into())),
                    "there is a default route",
                )
            }
            Op::DeleteNatGateway { gateway, force } => {
                let vpc = &known(&self.gateways, gateway)?.vpc;
                let own = (self.system_table(vpc), DEFAULT.to_owned());
                let hop = Hop::Gateway(gateway.clone());
                let mut routes = self.routes.iter().filter(|(at, _)| **at != own);
                unless(routes.any(|(_, it)| *it == hop), "a route leads to it")?;
                let used = self.snat.values().any(|it| it.gateway == *gateway)
                    || self.dnat.values().any(|it| it.gateway == *gateway)
                    || self.eips.values().any(|it| it.bound.as_ref() == Some(&hop));
                unless(used && !force, "it has entries or EIPs")
            }
            Op::CreateSnat {
                table,
                source,
                addresses,
            } => self.allow_snat(&self.snat_gateway(table)?, None, source, addresses),
            Op::ModifySnat {
                table,
                entry,
                addresses,
            } => {
                let had = known(&self.snat, entry)?;
                self.allow_snat(
                    &self.snat_gateway(table)?,
                    Some(entry),
                    &had.source,
                    addresses,
                )
            }
            Op::DeleteSnat { table, entry } => {
                self.snat_gateway(table)?;
                known(&self.snat, entry).map(drop)
            }
            Op::CreateForward {
                table,
                external,
                internal,
                ports,
            } => {
                let gateway = self.forward_gateway(table)?;
                let eip = self.bound_to(&gateway, *external)?;
                self.allow_dnat(&gateway, None, &eip, *internal, ports)
            }
            Op::ModifyForward {
                table,
                entry,
                internal,
                ports,
            } => {
                let had = known(&self.dnat, entry)?;
                self.allow_dnat(
                    &self.forward_gateway(table)?,
                    Some(entry),
                    &had.eip,
                    *internal,
                    ports,
                )
            }
            Op::DeleteForward { table, entry } => {
                self.forward_gateway(table)?;
                known(&self.dnat, entry).map(drop)
            }
        }
    }

    fn allow_snat(
        &self,
        gateway: &str,
        this: Option<&String>,
        source: &Source,
        addresses: &[Ipv4Addr],
    ) -> Result<(), String> {
        let vpc = &self.gateways[gateway].vpc;
        let distinct: BTreeSet<_> = addresses.iter().collect();
        unless(distinct.len() < addresses.len(), "an address twice")?;
        let block = match source {
            Source::VSwitch(id) => {
                let vswitch = known(&self.vswitches, id)?;
                unless(vswitch.vpc != *vpc, "another VPC's vSwitch")?;
                vswitch.cidr
            }
            Source::Cidr(cidr) => {
                let cidr = cidr.parse().unwrap();
                unless(!overlap(self.vpcs[vpc], cidr), "not of the VPC")?;
                cidr
            }
        };
        let mut others = self
            .snat
            .values()
            .filter(|it| it.gateway == gateway && Some(&it.id) != this);
        unless(
            others.any(|it| self.block(&it.source) == block),
            "another entry is for it",
        )?;
        for address in addresses {
            let eip = self.bound_to(gateway, *address)?;
            let mut mappings = self.dnat.values().filter(|it| it.ports.is_none());
            unless(
                mappings.any(|it| it.eip == eip),
                "an IP mapping has the EIP",
            )?;
        }
        Ok(())
    }

    fn allow_dnat(
        &self,
        gateway: &str,
        this: Option<&String>,
        eip: &String,
        internal: Ipv4Addr,
        ports: &Ports,
    ) -> Result<(), String> {
        let vpc = &self.gateways[gateway].vpc;
        unless(!self.vpcs[vpc].contains(&internal), "not in the VPC")?;
        let own = self.eips.values().any(|it| match &it.bound {
            Some(Hop::Instance(id)) => {
                let instance = &self.instances[id];
                instance.address == internal && self.vswitches[&instance.vswitch].vpc == *vpc
            }
            _ => false,
        });
        unless(own, "the instance has an EIP")?;
        let snat = self.snat.values().any(|it| it.eips.contains(eip));
        unless(snat && ports.is_none(), "SNAT uses the EIP")?;
        for other in self
            .dnat
            .values()
            .filter(|it| it.gateway == gateway && Some(&it.id) != this)
        {
            let every = |ports: &Ports| ports.is_none();
            if other.eip == *eip {
                let meet = every(ports)
                    || every(&other.ports)
                    || meet(external(ports), external(&other.ports));
                unless(meet, "the external port is taken")?;
            }
            if other.internal == internal {
                let both = every(ports) && every(&other.ports);
                let meet = !every(ports)
                    && !every(&other.ports)
                    && meet(inner(ports), inner(&other.ports));
                unless(both || meet, "the internal port is taken")?;
            }
        }
        Ok(())
    }
}

fn unless(refused: bool, why: &str) -> Result<(), String> {
    if refused { Err(why.into()) } else { Ok(()) }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

type Range = (&'static str, u16, u16);

fn external(ports: &Ports) -> Range {
    ports
        .map(|(protocol, first, last, _)| (protocol, first, last))
        .unwrap()
}

fn inner(ports: &Ports) -> Range {
    ports
        .map(|(protocol, first, last, to)| (protocol, to, to + (last - first)))
        .unwrap()
}

fn meet(a: Range, b: Range) -> bool {
    a.0 == b.0 && a.1 <= b.2 && b.1 <= a.2
}
