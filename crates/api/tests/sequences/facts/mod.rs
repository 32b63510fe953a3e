//! A naive model: what there is, what may be done to it, and what is there afterwards.

mod after;
mod refusals;

use super::op::{Hop, Ports, Source};
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
