//! A naive model: what there is, what may be done to it, and what is there afterwards.

use super::op::{Hop, Op, Ports, Source};
use control::Cloud;
use control::records::{EipBinding, NextHop, SnatSource};
use ipnet::Ipv4Net;
use model::DnatMapping;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

type Map<T> = BTreeMap<String, T>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub vpcs: Map<Ipv4Net>,
    pub vswitches: Map<VSwitch>,
    pub tables: Map<Table>,
    /// By table and destination.
    pub routes: BTreeMap<(String, String), Hop>,
    /// The VPC of each.
    pub groups: Map<String>,
    pub instances: Map<Instance>,
    pub eips: Map<Eip>,
    pub gateways: Map<Gateway>,
    pub snat: Map<Snat>,
    pub dnat: Map<Dnat>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VSwitch {
    pub id: String,
    pub vpc: String,
    pub cidr: Ipv4Net,
    pub table: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub vpc: String,
    pub system: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub vswitch: String,
    pub group: String,
    pub address: Ipv4Addr,
    pub running: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Eip {
    pub address: Ipv4Addr,
    pub bound: Option<Hop>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    pub vpc: String,
    pub vswitch: String,
    pub address: Ipv4Addr,
    pub snat_table: String,
    pub forward_table: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Snat {
    pub id: String,
    pub gateway: String,
    pub source: Source,
    pub eips: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Dnat {
    pub id: String,
    pub gateway: String,
    pub eip: String,
    pub internal: Ipv4Addr,
    pub ports: Ports,
}

const DEFAULT: &str = "0.0.0.0/0";

impl Facts {
    /// What the records say.
    pub fn of(cloud: &Cloud) -> Facts {
        let mut facts = Facts::default();
        for it in cloud.vpcs.iter() {
            facts.vpcs.insert(it.id.clone(), it.cidrs[0]);
        }
        for it in cloud.vswitches.iter() {
            let vswitch = VSwitch {
                id: it.id.clone(),
                vpc: it.vpc.clone(),
                cidr: it.cidr,
                table: it.route_table.clone(),
            };
            facts.vswitches.insert(it.id.clone(), vswitch);
        }
        for it in cloud.route_tables.iter() {
            let table = Table {
                vpc: it.vpc.clone(),
                system: it.system,
            };
            facts.tables.insert(it.id.clone(), table);
        }
        for it in cloud.routes.iter() {
            let hop = match &it.next_hop {
                NextHop::Instance(id) => Hop::Instance(id.clone()),
                NextHop::NatGateway(id) => Hop::Gateway(id.clone()),
                other => panic!("nobody made a route to {other:?}"),
            };
            let twice = facts
                .routes
                .insert((it.table.clone(), it.destination.to_string()), hop);
            assert_eq!(twice, None, "two routes for {}", it.destination);
        }
        for it in cloud.security_groups.iter() {
            facts.groups.insert(it.id.clone(), it.vpc.clone());
        }
        for it in cloud.instances.iter() {
            let eni = cloud
                .enis
                .get(&it.eni)
                .expect("an instance has its interface");
            assert_eq!((eni.instance.as_ref(), eni.primary), (Some(&it.id), true));
            let instance = Instance {
                vswitch: eni.vswitch.clone(),
                group: eni.security_groups[0].clone(),
                address: eni.address,
                running: it.running,
            };
            facts.instances.insert(it.id.clone(), instance);
        }
        assert_eq!(
            cloud.enis.len(),
            cloud.instances.len(),
            "no other interfaces"
        );
        for it in cloud.eips.iter() {
            let bound = it.binding.as_ref().map(|it| match it {
                EipBinding::Instance(id) => Hop::Instance(id.clone()),
                EipBinding::NatGateway(id) => Hop::Gateway(id.clone()),
                other => panic!("nobody bound an EIP to {other:?}"),
            });
            let eip = Eip {
                address: it.address,
                bound,
            };
            facts.eips.insert(it.id.clone(), eip);
        }
        for it in cloud.nat_gateways.iter() {
            let gateway = Gateway {
                vpc: it.vpc.clone(),
                vswitch: it
                    .vswitch
                    .clone()
                    .expect("a gateway of the API has a vSwitch"),
                address: it.private_address.expect("and an address there"),
                snat_table: it.snat_table.clone(),
                forward_table: it.forward_table.clone(),
            };
            facts.gateways.insert(it.id.clone(), gateway);
        }
        for it in cloud.snat.iter() {
            let source = match &it.source {
                SnatSource::VSwitch(id) => Source::VSwitch(id.clone()),
                SnatSource::Cidr(cidr) => Source::Cidr(cidr.to_string()),
            };
            let entry = Snat {
                id: it.id.clone(),
                gateway: it.gateway.clone(),
                source,
                eips: it.eips.clone(),
            };
            facts.snat.insert(it.id.clone(), entry);
        }
        for it in cloud.dnat.iter() {
            let ports = match &it.mapping {
                DnatMapping::Any => None,
                DnatMapping::Ports {
                    protocol,
                    external,
                    internal,
                } => {
                    let protocol = if *protocol == 6 { "tcp" } else { "udp" };
                    Some((protocol, *external.start(), *external.end(), *internal))
                }
            };
            let entry = Dnat {
                id: it.id.clone(),
                gateway: it.gateway.clone(),
                eip: it.eip.clone(),
                internal: it.internal,
                ports,
            };
            facts.dnat.insert(it.id.clone(), entry);
        }
        facts
    }

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

    /// What is there after an operation that was allowed. `seen` is what is seen afterwards: identifiers
    /// and addresses that nobody can foretell are taken from it, if they are possible.
    pub fn after(&self, op: &Op, seen: &Facts) -> Facts {
        let mut after = self.clone();
        match op.clone() {
            Op::CreateVpc { cidr } => {
                let id = new(&self.vpcs, &seen.vpcs);
                let table = new(&self.tables, &seen.tables);
                after.vpcs.insert(id.clone(), cidr.parse().unwrap());
                after.tables.insert(
                    table,
                    Table {
                        vpc: id,
                        system: true,
                    },
                );
            }
            Op::DeleteVpc { vpc } => {
                after.vpcs.remove(&vpc);
                after.drop_table(&self.system_table(&vpc));
            }
            Op::CreateVSwitch { vpc, cidr } => {
                let id = new(&self.vswitches, &seen.vswitches);
                let vswitch = VSwitch {
                    id: id.clone(),
                    cidr: cidr.parse().unwrap(),
                    table: self.system_table(&vpc),
                    vpc,
                };
                after.vswitches.insert(id, vswitch);
            }
            Op::DeleteVSwitch { vswitch } => drop(after.vswitches.remove(&vswitch)),
            Op::CreateRouteTable { vpc } => {
                let id = new(&self.tables, &seen.tables);
                after.tables.insert(id, Table { vpc, system: false });
            }
            Op::DeleteRouteTable { table } => after.drop_table(&table),
            Op::AssociateRouteTable { table, vswitch } => {
                after.vswitches.get_mut(&vswitch).unwrap().table = table
            }
            Op::UnassociateRouteTable { vswitch, .. } => {
                let vswitch = after.vswitches.get_mut(&vswitch).unwrap();
                vswitch.table = self.system_table(&vswitch.vpc);
            }
            Op::CreateRouteEntry {
                table,
                destination,
                hop,
            } => drop(after.routes.insert((table, destination.into()), hop)),
            Op::DeleteRouteEntry {
                table, destination, ..
            } => drop(after.routes.remove(&(table, destination))),
            Op::CreateSecurityGroup { vpc } => {
                drop(after.groups.insert(new(&self.groups, &seen.groups), vpc))
            }
            Op::DeleteSecurityGroup { group } => drop(after.groups.remove(&group)),
            Op::RunInstances {
                vswitch,
                group,
                address,
            } => {
                let id = new(&self.instances, &seen.instances);
                let got = seen.instances[&id].address;
                assert!(
                    self.free(&self.vswitches[&vswitch]).contains(&got),
                    "{got} is not free"
                );
                let instance = Instance {
                    vswitch,
                    group,
                    address: address.unwrap_or(got),
                    running: true,
                };
                after.instances.insert(id, instance);
            }
            Op::StopInstance { instance } => {
                after.instances.get_mut(&instance).unwrap().running = false
            }
            Op::StartInstance { instance } => {
                after.instances.get_mut(&instance).unwrap().running = true
            }
            Op::DeleteInstance { instance, .. } => {
                after.instances.remove(&instance);
                after.unbind(&Hop::Instance(instance));
            }
            Op::AllocateEip => {
                let id = new(&self.eips, &seen.eips);
                let pool = (16..32).map(|n| Ipv4Addr::new(203, 0, 113, n));
                let mut free = pool.filter(|it| !self.eips.values().any(|eip| eip.address == *it));
                let eip = Eip {
                    address: free.next().unwrap(),
                    bound: None,
                };
                after.eips.insert(id, eip);
            }
            Op::AssociateEip { eip, to } => after.eips.get_mut(&eip).unwrap().bound = Some(to),
            Op::UnassociateEip { eip, .. } => {
                after.eips.get_mut(&eip).unwrap().bound = None;
                after.dnat.retain(|_, it| it.eip != eip);
                after
                    .snat
                    .values_mut()
                    .for_each(|it| it.eips.retain(|it| *it != eip));
                after.snat.retain(|_, it| !it.eips.is_empty());
            }
            Op::ReleaseEip { eip } => drop(after.eips.remove(&eip)),
            Op::CreateNatGateway { vpc, vswitch } => {
                let id = new(&self.gateways, &seen.gateways);
                let got = seen.gateways[&id].clone();
                assert!(
                    self.free(&self.vswitches[&vswitch]).contains(&got.address),
                    "{} is not free",
                    got.address
                );
                if !self.gateways.values().any(|it| it.vpc == vpc) {
                    let at = (self.system_table(&vpc), DEFAULT.into());
                    after.routes.insert(at, Hop::Gateway(id.clone()));
                }
                after.gateways.insert(
                    id,
                    Gateway {
                        vpc,
                        vswitch,
                        ..got
                    },
                );
            }
            Op::DeleteNatGateway { gateway, .. } => {
                let hop = Hop::Gateway(gateway.clone());
                after.gateways.remove(&gateway);
                after.routes.retain(|_, it| *it != hop);
                after.snat.retain(|_, it| it.gateway != gateway);
                after.dnat.retain(|_, it| it.gateway != gateway);
                after.unbind(&hop);
            }
            Op::CreateSnat {
                table,
                source,
                addresses,
            } => {
                let gateway = self.snat_gateway(&table).unwrap();
                let id = new(&self.snat, &seen.snat);
                let eips = self.eips_at(&gateway, &addresses);
                let entry = Snat {
                    id: id.clone(),
                    gateway,
                    source,
                    eips,
                };
                after.snat.insert(id, entry);
            }
            Op::ModifySnat {
                table,
                entry,
                addresses,
            } => {
                let gateway = self.snat_gateway(&table).unwrap();
                after.snat.get_mut(&entry).unwrap().eips = self.eips_at(&gateway, &addresses);
            }
            Op::DeleteSnat { entry, .. } => drop(after.snat.remove(&entry)),
            Op::CreateForward {
                table,
                external,
                internal,
                ports,
            } => {
                let gateway = self.forward_gateway(&table).unwrap();
                let id = new(&self.dnat, &seen.dnat);
                let entry = Dnat {
                    id: id.clone(),
                    eip: self.bound_to(&gateway, external).unwrap(),
                    gateway,
                    internal,
                    ports,
                };
                after.dnat.insert(id, entry);
            }
            Op::ModifyForward {
                entry,
                internal,
                ports,
                ..
            } => {
                let entry = after.dnat.get_mut(&entry).unwrap();
                (entry.internal, entry.ports) = (internal, ports);
            }
            Op::DeleteForward { entry, .. } => drop(after.dnat.remove(&entry)),
        }
        after
    }

    fn drop_table(&mut self, table: &str) {
        self.tables.remove(table);
        self.routes.retain(|(at, _), _| at != table);
    }

    fn unbind(&mut self, hop: &Hop) {
        for eip in self.eips.values_mut() {
            eip.bound.take_if(|it| it == hop);
        }
    }

    fn system_table(&self, vpc: &str) -> String {
        let mut of = self
            .tables
            .iter()
            .filter(|(_, it)| it.vpc == vpc && it.system);
        of.next().unwrap().0.clone()
    }

    fn vpc_of(&self, hop: &Hop) -> Result<&String, String> {
        Ok(match hop {
            Hop::Gateway(id) => &known(&self.gateways, id)?.vpc,
            Hop::Instance(id) => &self.vswitches[&known(&self.instances, id)?.vswitch].vpc,
        })
    }

    fn block(&self, source: &Source) -> Ipv4Net {
        match source {
            Source::VSwitch(id) => self.vswitches[id].cidr,
            Source::Cidr(cidr) => cidr.parse().unwrap(),
        }
    }

    fn snat_gateway(&self, table: &str) -> Result<String, String> {
        let mut of = self
            .gateways
            .iter()
            .filter(|(_, it)| it.snat_table == table);
        of.next()
            .map(|it| it.0.clone())
            .ok_or("no such table".into())
    }

    fn forward_gateway(&self, table: &str) -> Result<String, String> {
        let mut of = self
            .gateways
            .iter()
            .filter(|(_, it)| it.forward_table == table);
        of.next()
            .map(|it| it.0.clone())
            .ok_or("no such table".into())
    }

    /// The EIP with an address, if it is bound to the gateway.
    fn bound_to(&self, gateway: &str, address: Ipv4Addr) -> Result<String, String> {
        let hop = Hop::Gateway(gateway.to_owned());
        let mut eips = self.eips.iter().filter(|(_, it)| it.address == address);
        let eip = eips
            .next()
            .filter(|(_, it)| it.bound.as_ref() == Some(&hop));
        eip.map(|it| it.0.clone())
            .ok_or("the EIP is not the gateway's".into())
    }

    fn eips_at(&self, gateway: &str, addresses: &[Ipv4Addr]) -> Vec<String> {
        addresses
            .iter()
            .map(|it| self.bound_to(gateway, *it).unwrap())
            .collect()
    }

    /// The addresses of a vSwitch that can be given: neither its first, nor its last three, nor used.
    fn free(&self, vswitch: &VSwitch) -> BTreeSet<Ipv4Addr> {
        let first = u32::from(vswitch.cidr.network()) + 1;
        let last = u32::from(vswitch.cidr.broadcast()) - 3;
        let mut free: BTreeSet<Ipv4Addr> = (first..=last).map(Ipv4Addr::from).collect();
        for instance in self
            .instances
            .values()
            .filter(|it| it.vswitch == vswitch.id)
        {
            assert!(
                free.remove(&instance.address),
                "two have {}",
                instance.address
            );
        }
        for gateway in self.gateways.values().filter(|it| it.vswitch == vswitch.id) {
            assert!(
                free.remove(&gateway.address),
                "two have {}",
                gateway.address
            );
        }
        free
    }
}

fn known<'a, T>(of: &'a Map<T>, id: &str) -> Result<&'a T, String> {
    of.get(id).ok_or_else(|| format!("there is no {id}"))
}

fn unless(refused: bool, why: &str) -> Result<(), String> {
    if refused { Err(why.into()) } else { Ok(()) }
}

/// The one identifier that was not there before.
fn new<T>(before: &Map<T>, seen: &Map<T>) -> String {
    let mut new = seen.keys().filter(|it| !before.contains_key(*it));
    let id = new.next().expect("something was made").clone();
    assert_eq!(new.next(), None, "more than one was made");
    id
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
