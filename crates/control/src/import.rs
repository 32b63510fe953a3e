//! Taking over what a configuration file says.
//!
//! A file owns what it has ever named: what an earlier file named and this one does not, goes; what has come
//! into being otherwise stays, and becomes the file's when it is named there. What a file does not say of a
//! resource (names, tags, identifiers of what it leaves unnamed) stays as it is.

use crate::draft::Draft;
use crate::records::*;
use crate::refusal::Result;
use crate::table::Table;
use hashbrown::{HashMap, HashSet};
use model::{Config, Id};
use std::collections::BTreeMap;

/// Removes those records of a table that a file named earlier and does not name now.
macro_rules! retire {
    ($table:expr, $kept:expr) => {
        let gone: Vec<Id> = $table
            .iter()
            .filter(|it| it.meta.of_file && !$kept.contains(&*it.id))
            .map(|it| it.id.clone())
            .collect();
        for id in gone {
            $table.remove(&id);
        }
    };
}

impl Draft {
    /// Brings the records to what a file says.
    ///
    /// # Errors
    /// If the system gives no random numbers for identifiers. Whether what comes out is consistent is for
    /// [`crate::Control::change`] to say.
    pub fn import(&mut self, config: &Config) -> Result<()> {
        self.system.put(System {
            id: System::ID.into(),
            regions: config.regions.clone(),
            quotas: config.system.quotas.clone(),
            services: config.system.services.clone(),
            name: config.system.name.clone(),
            hook: config.system.hook,
            max_sessions: config.system.max_sessions,
        });
        self.import_uplinks(config);
        self.import_networks(config)?;
        self.import_security_groups(config)?;
        self.import_instances(config)?;
        self.import_packages(config);
        self.import_eips(config);
        self.import_gateways(config)?;
        self.import_firewalls(config)?;
        self.let_go();
        self.expire();
        Ok(())
    }

    /// The meta data of a record that a file names: what it had, or new.
    pub(crate) fn filed(&self, had: Option<&Meta>) -> Meta {
        let meta = match had {
            Some(meta) => meta.clone(),
            None => self.meta("", ""),
        };
        Meta {
            of_file: true,
            ..meta
        }
    }

    fn import_uplinks(&mut self, config: &Config) {
        self.uplinks = Table::default();
        for uplink in &config.uplinks {
            self.uplinks.put(Uplink {
                id: uplink.id.clone(),
                device: uplink.device.clone(),
                mode: uplink.mode,
                address: uplink.address,
                gateway: uplink.gateway,
                mtu: uplink.mtu,
                pool: uplink.pool.clone(),
            });
        }
    }

    fn import_networks(&mut self, config: &Config) -> Result<()> {
        let kept: HashSet<&str> = config.vpcs.iter().map(|it| &*it.id).collect();
        retire!(self.vpcs, kept);
        for vpc in &config.vpcs {
            let record = match self.vpcs.get(&vpc.id) {
                Some(had) => Vpc {
                    meta: self.filed(Some(&had.meta)),
                    cidrs: vpc.cidrs.clone(),
                    ..had.clone()
                },
                None => Vpc {
                    id: vpc.id.clone(),
                    meta: self.filed(None),
                    region: String::new(),
                    router: self.new_id("vrt")?,
                    router_meta: self.meta("", ""),
                    cidrs: vpc.cidrs.clone(),
                    user_cidrs: Vec::new(),
                    default: false,
                },
            };
            self.vpcs.put(record);
        }

        let kept: HashSet<&str> = config.route_tables.iter().map(|it| &*it.id).collect();
        retire!(self.route_tables, kept);
        for table in &config.route_tables {
            let had = self.route_tables.get(&table.id);
            let meta = self.filed(had.map(|it| &it.meta));
            self.route_tables.put(RouteTable {
                id: table.id.clone(),
                meta,
                vpc: table.vpc.clone(),
                system: table.system,
            });
        }
        let system: HashMap<&str, &Id> = config
            .route_tables
            .iter()
            .filter(|it| it.system)
            .map(|it| (&*it.vpc, &it.id))
            .collect();

        let kept: HashSet<&str> = config.vswitches.iter().map(|it| &*it.id).collect();
        retire!(self.vswitches, kept);
        for vswitch in &config.vswitches {
            let had = self.vswitches.get(&vswitch.id);
            let table = vswitch.route_table.as_ref();
            let table = table.or_else(|| system.get(&*vswitch.vpc).copied());
            let record = VSwitch {
                id: vswitch.id.clone(),
                meta: self.filed(had.map(|it| &it.meta)),
                vpc: vswitch.vpc.clone(),
                zone: had.map(|it| it.zone.clone()).unwrap_or_default(),
                cidr: vswitch.cidr,
                route_table: table.cloned().unwrap_or_default(),
                default: had.is_some_and(|it| it.default),
            };
            self.vswitches.put(record);
        }

        let kept: HashSet<&str> = config.peerings.iter().map(|it| &*it.id).collect();
        retire!(self.peerings, kept);
        for peering in &config.peerings {
            let had = self.peerings.get(&peering.id);
            let [vpc, accepting_vpc] = peering.vpcs.clone();
            let record = Peering {
                meta: self.filed(had.map(|it| &it.meta)),
                vpc,
                accepting_vpc,
                accepted: true,
                rejected: false,
                ..had.cloned().unwrap_or(Peering::new(peering.id.clone()))
            };
            self.peerings.put(record);
        }
        self.import_routes(config)
    }

    /// The routes of the file's tables are the file's, all of them.
    fn import_routes(&mut self, config: &Config) -> Result<()> {
        let mut had = BTreeMap::new();
        let gone: Vec<Route> = self
            .routes
            .iter()
            .filter(|it| it.meta.of_file || config.route_tables.iter().any(|t| t.id == it.table))
            .cloned()
            .collect();
        for route in gone {
            self.routes.remove(&route.id);
            had.insert((route.table.clone(), route.destination), route);
        }
        let instances = instances(config);
        for table in &config.route_tables {
            for route in &table.routes {
                let had = had.remove(&(table.id.clone(), route.destination));
                let record = Route {
                    meta: self.filed(had.as_ref().map(|it| &it.meta)),
                    id: match had {
                        Some(had) => had.id,
                        None => self.new_id("rte")?,
                    },
                    table: table.id.clone(),
                    destination: route.destination,
                    next_hop: match route.next_hop.clone() {
                        model::NextHop::Eni(id) if instances.contains(&*id) => {
                            NextHop::Instance(id)
                        }
                        model::NextHop::Eni(id) => NextHop::Eni(id),
                        model::NextHop::NatGateway(id) => NextHop::NatGateway(id),
                        model::NextHop::NatFirewall(id) => {
                            // It diverts what leads to its gateway.
                            let mut firewalls = config.firewalls.nat.iter();
                            let firewall = firewalls.find(|it| it.id == id);
                            let gateway = firewall.map(|it| it.gateway.clone());
                            gateway.map_or(NextHop::Blackhole, NextHop::NatGateway)
                        }
                        model::NextHop::Peering(id) => NextHop::Peering(id),
                        model::NextHop::Blackhole => NextHop::Blackhole,
                    },
                };
                self.routes.put(record);
            }
        }
        Ok(())
    }

    fn import_security_groups(&mut self, config: &Config) -> Result<()> {
        let kept: HashSet<&str> = config.security_groups.iter().map(|it| &*it.id).collect();
        retire!(self.security_groups, kept);
        for group in &config.security_groups {
            let had = self.security_groups.get(&group.id);
            let mut old = had.map(|it| it.rules.clone()).unwrap_or_default();
            let mut rules = Vec::new();
            for rule in &group.rules {
                let same = old.iter().position(|it| it.says() == *rule);
                rules.push(match same {
                    Some(position) => old.remove(position),
                    None => SecurityRule {
                        id: self.new_id("sgr")?,
                        description: String::new(),
                        created: self.now,
                        direction: rule.direction,
                        policy: rule.policy,
                        priority: rule.priority,
                        protocol: rule.protocol,
                        ports: rule.ports.clone(),
                        peer: rule.peer.clone(),
                    },
                });
            }
            // A file does not tell an enterprise group from an isolated one.
            let (kind, isolated) = match had {
                Some(had) if had.effect() == group.kind => (had.kind, had.isolated),
                _ => (group.kind, false),
            };
            let record = SecurityGroup {
                id: group.id.clone(),
                meta: self.filed(had.map(|it| &it.meta)),
                vpc: group.vpc.clone(),
                kind,
                isolated,
                rules,
            };
            self.security_groups.put(record);
        }
        Ok(())
    }

    fn import_instances(&mut self, config: &Config) -> Result<()> {
        let kept = instances(config);
        retire!(self.instances, kept);
        let mut enis: HashSet<Id> = HashSet::new();
        for eni in &config.enis {
            let primary = eni.is_primary();
            let id = if primary {
                match self.instances.get(&eni.id) {
                    Some(had) => had.eni.clone(),
                    None => self.new_id("eni")?,
                }
            } else {
                eni.id.clone()
            };
            if primary {
                let had = self.instances.get(&eni.id);
                let record = Instance {
                    meta: self.filed(had.map(|it| &it.meta)),
                    eni: id.clone(),
                    running: true,
                    ..had.cloned().unwrap_or(Instance {
                        id: eni.id.clone(),
                        meta: Meta::default(),
                        zone: String::new(),
                        eni: Id::new(),
                        running: true,
                        host_name: String::new(),
                        image: String::new(),
                        instance_type: String::new(),
                        started: self.now,
                        deletion_protection: false,
                    })
                };
                self.instances.put(record);
            }
            let had = self.enis.get(&id);
            // What is behind it by itself, and what was given to it one by one.
            let secondary = had.map(|it| it.secondary.clone()).unwrap_or_default();
            let (secondary, hosts): (Vec<_>, Vec<_>) = eni
                .hosts
                .iter()
                .partition(|host| host.prefix_len() == 32 && secondary.contains(&host.addr()));
            let record = Eni {
                meta: self.filed(had.map(|it| &it.meta)),
                delete_on_release: had.is_some_and(|it| it.delete_on_release),
                id: id.clone(),
                vswitch: eni.vswitch.clone(),
                instance: Some(eni.instance.clone()),
                primary,
                address: eni.address,
                secondary: secondary
                    .iter()
                    .map(|it: &ipnet::Ipv4Net| it.addr())
                    .collect(),
                hosts,
                security_groups: eni.security_groups.clone(),
                driver: eni.driver.clone(),
                mtu: eni.mtu,
            };
            self.enis.put(record);
            enis.insert(id);
        }
        retire!(self.enis, enis);
        Ok(())
    }

    fn import_packages(&mut self, config: &Config) {
        let packages = &config.bandwidth_packages;
        let kept: HashSet<&str> = packages.iter().map(|it| &*it.id).collect();
        retire!(self.packages, kept);
        for package in packages {
            let had = self.packages.get(&package.id);
            let record = BandwidthPackage {
                id: package.id.clone(),
                meta: self.filed(had.map(|it| &it.meta)),
                region: had.map(|it| it.region.clone()).unwrap_or_default(),
                bandwidth: package.bandwidth,
                deletion_protection: had.is_some_and(|it| it.deletion_protection),
            };
            self.packages.put(record);
        }
    }

    fn import_eips(&mut self, config: &Config) {
        let instances = instances(config);
        let kept: HashSet<&str> = config.eips.iter().map(|it| &*it.id).collect();
        retire!(self.eips, kept);
        for eip in &config.eips {
            let had = self.eips.get(&eip.id);
            let record = Eip {
                id: eip.id.clone(),
                meta: self.filed(had.map(|it| &it.meta)),
                region: had.map(|it| it.region.clone()).unwrap_or_default(),
                address: eip.address,
                uplink: eip.uplink.clone(),
                of_pool: had.is_some_and(|it| it.of_pool),
                bandwidth: eip.bandwidth,
                internet_charge_type: had
                    .map(|it| it.internet_charge_type.clone())
                    .unwrap_or_default(),
                binding: eip.binding.clone().map(|binding| match binding {
                    model::EipBinding::NatGateway(id) => EipBinding::NatGateway(id),
                    model::EipBinding::Eni(id) if instances.contains(&*id) => {
                        EipBinding::Instance(id)
                    }
                    model::EipBinding::Eni(id) => EipBinding::Eni(id),
                }),
                package: eip.package.clone(),
                protected: had.is_some_and(|it| it.protected),
                deletion_protection: had.is_some_and(|it| it.deletion_protection),
            };
            self.eips.put(record);
        }
    }

    fn import_gateways(&mut self, config: &Config) -> Result<()> {
        let gateways = &config.nat_gateways;
        let kept: HashSet<&str> = gateways.iter().map(|it| &*it.id).collect();
        retire!(self.nat_gateways, kept);
        let kept: HashSet<&str> = gateways
            .iter()
            .flat_map(|it| &it.snat)
            .map(|it| &*it.id)
            .collect();
        retire!(self.snat, kept);
        let kept: HashSet<&str> = gateways
            .iter()
            .flat_map(|it| &it.dnat)
            .map(|it| &*it.id)
            .collect();
        retire!(self.dnat, kept);
        for gateway in gateways {
            let nat = NatSettings {
                filtering: gateway.filtering,
                timeouts: gateway.timeouts,
                max_sessions_per_source: gateway.max_sessions_per_source,
                snat_ports: gateway.snat_ports.clone(),
                tcp_out_of_state: gateway.tcp_out_of_state,
            };
            let record = match self.nat_gateways.get(&gateway.id) {
                Some(had) => NatGateway {
                    meta: self.filed(Some(&had.meta)),
                    vpc: gateway.vpc.clone(),
                    intranet: gateway.vswitch().is_some(),
                    vswitch: gateway.vswitch().cloned().or(had.vswitch.clone()),
                    icmp_reply: gateway.icmp_reply,
                    ecs_metric: gateway.source_metrics,
                    nat,
                    ..had.clone()
                },
                None => NatGateway {
                    id: gateway.id.clone(),
                    meta: self.filed(None),
                    vpc: gateway.vpc.clone(),
                    intranet: gateway.vswitch().is_some(),
                    vswitch: gateway.vswitch().cloned(),
                    private_address: None,
                    eni: self.new_id("eni")?,
                    snat_table: self.new_id("stb")?,
                    forward_table: self.new_id("ftb")?,
                    full_nat_table: self.new_id("fulltb")?,
                    enhanced: true,
                    eip_bind_mode: "MULTI_BINDED".into(),
                    icmp_reply: gateway.icmp_reply,
                    deletion_protection: false,
                    ecs_metric: gateway.source_metrics,
                    nat,
                },
            };
            self.nat_gateways.put(record);
            for entry in &gateway.snat {
                let had = self.snat.get(&entry.id);
                // A vSwitch stays a vSwitch if the file's block is still its own.
                let source = had
                    .map(|it| it.source.clone())
                    .filter(|source| match source {
                        SnatSource::VSwitch(id) => self
                            .vswitches
                            .get(id)
                            .is_some_and(|it| it.cidr == entry.source),
                        SnatSource::Cidr(_) => false,
                    });
                let record = SnatEntry {
                    id: entry.id.clone(),
                    meta: self.filed(had.map(|it| &it.meta)),
                    gateway: gateway.id.clone(),
                    source: source.unwrap_or(SnatSource::Cidr(entry.source)),
                    eips: entry.eips.clone(),
                    pooling: entry.pooling,
                };
                self.snat.put(record);
            }
            for entry in &gateway.dnat {
                let had = self.dnat.get(&entry.id);
                let record = DnatEntry {
                    id: entry.id.clone(),
                    meta: self.filed(had.map(|it| &it.meta)),
                    gateway: gateway.id.clone(),
                    eip: entry.eip.clone(),
                    internal: entry.internal,
                    mapping: entry.mapping.clone(),
                    protocol: had.map(|it| it.protocol.clone()).unwrap_or_default(),
                };
                self.dnat.put(record);
            }
        }
        self.import_nat_ips(config)
    }

    fn import_nat_ips(&mut self, config: &Config) -> Result<()> {
        for gateway in &config.nat_gateways {
            let had = self.nat_ip_cidrs_of(&gateway.id).find(|it| it.default);
            let had = had.cloned();
            let vswitch = gateway.vswitch().and_then(|it| self.vswitches.get(it));
            match (vswitch, had) {
                (None, None) => {}
                (None, Some(had)) => drop(self.nat_ip_cidrs.remove(&had.id)),
                (Some(vswitch), had) => {
                    let record = NatIpCidr {
                        cidr: vswitch.cidr,
                        ..had.unwrap_or(NatIpCidr {
                            id: self.new_id("vpcnatcidr")?,
                            meta: self.meta("", ""),
                            gateway: gateway.id.clone(),
                            cidr: vswitch.cidr,
                            default: true,
                        })
                    };
                    self.nat_ip_cidrs.put(record);
                }
            }
        }
        let kept: HashSet<&str> = config.nat_ips.iter().map(|it| &*it.id).collect();
        retire!(self.nat_ips, kept);
        for nat_ip in &config.nat_ips {
            let had = self.nat_ips.get(&nat_ip.id);
            let record = NatIp {
                id: nat_ip.id.clone(),
                meta: self.filed(had.map(|it| &it.meta)),
                gateway: nat_ip.gateway.clone(),
                address: nat_ip.address,
                default: had.is_some_and(|it| it.default),
            };
            self.nat_ips.put(record);
        }
        Ok(())
    }
}

/// The identifiers of a configuration's instances.
fn instances(config: &Config) -> HashSet<&str> {
    let primary = config.enis.iter().filter(|it| it.is_primary());
    primary.map(|it| &*it.id).collect()
}
