//! What the engine is told of the records.

use crate::cloud::Cloud;
use crate::records::{self, EipBinding, NextHop, SnatSource};
use hashbrown::HashMap;
use model::{Config, Details, Id};

/// What of the records is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What is in use: the engine is told.
    InForce,
    /// What is not in use, too.
    All,
}

impl Extent {
    fn has(self, peering: &records::Peering) -> bool {
        peering.accepted || self == Extent::All && !peering.rejected
    }
}

impl Cloud {
    /// The configuration that the records stand for. Of what is not in use there is nothing in it: instances
    /// that are stopped, interfaces that are not attached, peer connections that are not accepted, and the
    /// routes that lead to them (they drop what they match, as a route to nowhere does).
    pub fn config(&self) -> Config {
        self.render(Extent::InForce)
    }

    /// What a file says that stands for the records: of what is not in use, too, and with names, tags and the like.
    /// Left out are peer connections that were rejected.
    pub fn file(&self) -> Config {
        let mut file = self.render(Extent::All);
        // Their identifiers are not in it, and of two files that say the same both should look the same.
        for table in &mut file.route_tables {
            table.routes.sort_by_key(|it| it.destination);
        }
        file.details = self.details();
        file
    }

    fn render(&self, extent: Extent) -> Config {
        let mut routes: HashMap<&Id, Vec<model::Route>> = HashMap::new();
        let diverted = self.diverted();
        for route in self.routes.iter() {
            let next_hop = match diverted.by(route) {
                Some(firewall) => model::NextHop::NatFirewall(firewall.clone()),
                None => self.next_hop(&route.next_hop, extent),
            };
            routes.entry(&route.table).or_default().push(model::Route {
                destination: route.destination,
                next_hop,
            });
        }
        let mut snat: HashMap<&Id, Vec<model::SnatEntry>> = HashMap::new();
        for entry in self.snat.iter() {
            if let Some(source) = self.source(&entry.source) {
                snat.entry(&entry.gateway)
                    .or_default()
                    .push(model::SnatEntry {
                        id: entry.id.clone(),
                        source,
                        eips: entry.eips.clone(),
                        pooling: entry.pooling,
                        drains: match extent {
                            Extent::InForce => entry.drains.clone(),
                            // It is of the moment.
                            Extent::All => Vec::new(),
                        },
                    });
            }
        }
        let mut dnat: HashMap<&Id, Vec<model::DnatEntry>> = HashMap::new();
        for entry in self.dnat.iter() {
            dnat.entry(&entry.gateway)
                .or_default()
                .push(model::DnatEntry {
                    id: entry.id.clone(),
                    eip: entry.eip.clone(),
                    internal: entry.internal,
                    mapping: entry.mapping.clone(),
                });
        }
        // Their names are not those of the records.
        let mut enis: Vec<_> = self
            .enis
            .iter()
            .filter_map(|eni| self.render_eni(eni, extent))
            .collect();
        enis.sort_by(|a, b| a.id.cmp(&b.id));
        Config {
            system: self.settings(),
            regions: self
                .system
                .get(records::System::ID)
                .map(|it| it.regions.clone())
                .unwrap_or_default(),
            uplinks: self.uplinks.iter().map(uplink).collect(),
            vpcs: self
                .vpcs
                .iter()
                .map(|vpc| model::Vpc {
                    id: vpc.id.clone(),
                    cidrs: vpc.cidrs.clone(),
                })
                .collect(),
            vswitches: self
                .vswitches
                .iter()
                .map(|vswitch| model::VSwitch {
                    id: vswitch.id.clone(),
                    vpc: vswitch.vpc.clone(),
                    cidr: vswitch.cidr,
                    route_table: self.custom_table(&vswitch.route_table),
                })
                .collect(),
            route_tables: self
                .route_tables
                .iter()
                .map(|table| model::RouteTable {
                    id: table.id.clone(),
                    vpc: table.vpc.clone(),
                    system: table.system,
                    routes: routes.remove(&table.id).unwrap_or_default(),
                })
                .collect(),
            security_groups: self.security_groups.iter().map(security_group).collect(),
            enis,
            eips: self
                .eips
                .iter()
                .map(|eip| self.render_eip(eip, extent))
                .collect(),
            bandwidth_packages: self
                .packages
                .iter()
                .map(|package| model::BandwidthPackage {
                    id: package.id.clone(),
                    bandwidth: package.bandwidth,
                })
                .collect(),
            nat_gateways: self
                .nat_gateways
                .iter()
                .map(|gateway| model::NatGateway {
                    id: gateway.id.clone(),
                    vpc: gateway.vpc.clone(),
                    network: match (gateway.intranet, &gateway.vswitch) {
                        (true, Some(vswitch)) => model::Network::Intranet(vswitch.clone()),
                        _ => model::Network::Internet,
                    },
                    snat: snat.remove(&gateway.id).unwrap_or_default(),
                    dnat: dnat.remove(&gateway.id).unwrap_or_default(),
                    mapping: gateway.nat.mapping,
                    filtering: gateway.nat.filtering,
                    timeouts: gateway.nat.timeouts,
                    max_sessions_per_source: gateway.nat.max_sessions_per_source,
                    snat_ports: gateway.nat.snat_ports.clone(),
                    icmp_reply: gateway.icmp_reply,
                    tcp_out_of_state: gateway.nat.tcp_out_of_state,
                    source_metrics: gateway.ecs_metric,
                    drain: gateway.nat.drain,
                })
                .collect(),
            nat_ips: self
                .nat_ips
                .iter()
                .map(|nat_ip| model::NatIp {
                    id: nat_ip.id.clone(),
                    gateway: nat_ip.gateway.clone(),
                    address: nat_ip.address,
                })
                .collect(),
            peerings: self
                .peerings
                .iter()
                .filter(|peering| extent.has(peering))
                .map(|peering| model::Peering {
                    id: peering.id.clone(),
                    vpcs: [peering.vpc.clone(), peering.accepting_vpc.clone()],
                })
                .collect(),
            firewalls: self.firewalls(),
            details: Details::default(),
        }
    }

    pub(crate) fn settings(&self) -> model::System {
        match self.system.get(records::System::ID) {
            None => model::System::default(),
            Some(system) => model::System {
                name: system.name.clone(),
                hook: system.hook,
                max_sessions: system.max_sessions,
                quotas: system.quotas.clone(),
                services: system.services.clone(),
            },
        }
    }

    /// The engine's table of a vSwitch: `None` is the VPC's system table.
    fn custom_table(&self, id: &Id) -> Option<Id> {
        let table = self.route_tables.get(id)?;
        (!table.system).then(|| id.clone())
    }

    /// The name that the engine knows an interface by, if it is in use: a primary one has its instance's.
    fn eni_name(&self, id: &Id, extent: Extent) -> Option<Id> {
        let eni = self.enis.get(id)?;
        let Some(instance) = &eni.instance else {
            return (extent == Extent::All).then(|| eni.id.clone());
        };
        let instance = self.instances.get(instance)?;
        let name = if eni.primary { &instance.id } else { &eni.id };
        (instance.running || extent == Extent::All).then(|| name.clone())
    }

    fn instance_name(&self, id: &Id, extent: Extent) -> Option<Id> {
        let instance = self.instances.get(id)?;
        self.eni_name(&instance.eni, extent)
    }

    fn next_hop(&self, hop: &NextHop, extent: Extent) -> model::NextHop {
        let hop = match hop {
            NextHop::Instance(id) => self.instance_name(id, extent).map(model::NextHop::Eni),
            NextHop::Eni(id) => self.eni_name(id, extent).map(model::NextHop::Eni),
            NextHop::NatGateway(id) => Some(model::NextHop::NatGateway(id.clone())),
            NextHop::Peering(id) => {
                let peering = self.peerings.get(id).filter(|it| extent.has(it));
                peering.map(|it| model::NextHop::Peering(it.id.clone()))
            }
            NextHop::Blackhole => None,
        };
        hop.unwrap_or(model::NextHop::Blackhole)
    }

    fn source(&self, source: &SnatSource) -> Option<ipnet::Ipv4Net> {
        match source {
            SnatSource::Cidr(cidr) => Some(*cidr),
            SnatSource::VSwitch(id) => Some(self.vswitches.get(id)?.cidr),
        }
    }

    fn render_eni(&self, eni: &records::Eni, extent: Extent) -> Option<model::Eni> {
        let secondary = eni.secondary.iter().map(|&it| it.into());
        let id = self.eni_name(&eni.id, extent)?;
        Some(model::Eni {
            // One that is attached to nothing is its own.
            instance: eni.instance.clone().unwrap_or(id.clone()),
            id,
            vswitch: eni.vswitch.clone(),
            address: eni.address,
            hosts: secondary.chain(eni.hosts.iter().copied()).collect(),
            security_groups: eni.security_groups.clone(),
            driver: eni.driver.clone(),
            mtu: eni.mtu,
        })
    }

    fn render_eip(&self, eip: &records::Eip, extent: Extent) -> model::Eip {
        let binding = match &eip.binding {
            None => None,
            Some(EipBinding::NatGateway(id)) => Some(model::EipBinding::NatGateway(id.clone())),
            Some(EipBinding::Eni(id)) => self.eni_name(id, extent).map(model::EipBinding::Eni),
            Some(EipBinding::Instance(id)) => {
                let name = self.instance_name(id, extent);
                name.map(model::EipBinding::Eni)
            }
        };
        model::Eip {
            id: eip.id.clone(),
            address: eip.address,
            uplink: eip.uplink.clone(),
            binding,
            bandwidth: eip.bandwidth,
            package: eip.package.clone(),
            package_bandwidth: eip.package_bandwidth,
        }
    }
}

fn uplink(uplink: &records::Uplink) -> model::Uplink {
    model::Uplink {
        id: uplink.id.clone(),
        device: uplink.device.clone(),
        mode: uplink.mode,
        address: uplink.address,
        gateway: uplink.gateway,
        mtu: uplink.mtu,
        pool: uplink.pool.clone(),
    }
}

fn security_group(group: &records::SecurityGroup) -> model::SecurityGroup {
    model::SecurityGroup {
        id: group.id.clone(),
        vpc: group.vpc.clone(),
        kind: group.effect(),
        rules: group.rules.iter().map(|rule| rule.says()).collect(),
    }
}
