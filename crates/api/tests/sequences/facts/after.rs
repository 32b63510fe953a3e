//! What is there after an operation.

use super::{DEFAULT, Dnat, Eip, Facts, Gateway, Instance, Map, Snat, Table, VSwitch};
use crate::sequences::op::{Hop, Op};
use std::net::Ipv4Addr;

impl Facts {
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
}

/// The one identifier that was not there before.
fn new<T>(before: &Map<T>, seen: &Map<T>) -> String {
    let mut new = seen.keys().filter(|it| !before.contains_key(*it));
    let id = new.next().expect("something was made").clone();
    assert_eq!(new.next(), None, "more than one was made");
    id
}
