//! Taking over what a configuration file says.
//!
//! A file owns what it has ever named: what an earlier file named and this one does not, goes; what has come
//! into being otherwise stays, and becomes the file's when it is named there. What a file can say of a resource and
//! does not ([`model::Detail`]: names, tags and the like), and what it has no word for, stays as it is.

use crate::draft::Draft;
use crate::records::*;
use crate::refusal::Result;
use crate::table::Table;
use hashbrown::{HashMap, HashSet};
use model::{Config, Detail, Id, Kind};
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

    /// The meta data of a record that a file names: what it says, else what it had, or new.
    pub(crate) fn filed(&self, had: Option<&Meta>, says: &Detail) -> Meta {
        let meta = match had {
            Some(meta) => meta.clone(),
            None => self.meta("", ""),
        };
        Meta {
            of_file: true,
            ..labelled(meta, says)
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
            let says = config.details.of(Kind::Vpc, &vpc.id);
            let mut record = match self.vpcs.get(&vpc.id) {
                Some(had) => Vpc {
                    meta: self.filed(Some(&had.meta), says),
                    cidrs: vpc.cidrs.clone(),
                    ..had.clone()
                },
                None => Vpc {
                    id: vpc.id.clone(),
                    meta: self.filed(None, says),
                    region: String::new(),
                    router: self.new_id("vrt")?,
                    router_meta: self.meta("", ""),
                    cidrs: vpc.cidrs.clone(),
                    user_cidrs: Vec::new(),
                    default: false,
                },
            };
            set(&mut record.region, &says.region);
            set(&mut record.user_cidrs, &says.user_cidrs);
            self.vpcs.put(record);
        }

        let kept: HashSet<&str> = config.route_tables.iter().map(|it| &*it.id).collect();
        retire!(self.route_tables, kept);
        for table in &config.route_tables {
            let had = self.route_tables.get(&table.id);
            let says = config.details.of(Kind::RouteTable, &table.id);
            let meta = self.filed(had.map(|it| &it.meta), says);
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
            let says = config.details.of(Kind::VSwitch, &vswitch.id);
            let mut record = VSwitch {
                id: vswitch.id.clone(),
                meta: self.filed(had.map(|it| &it.meta), says),
                vpc: vswitch.vpc.clone(),
                zone: had.map(|it| it.zone.clone()).unwrap_or_default(),
                cidr: vswitch.cidr,
                route_table: table.cloned().unwrap_or_default(),
                default: had.is_some_and(|it| it.default),
            };
            set(&mut record.zone, &says.zone);
            self.vswitches.put(record);
        }

        let kept: HashSet<&str> = config.peerings.iter().map(|it| &*it.id).collect();
        retire!(self.peerings, kept);
        for peering in &config.peerings {
            let had = self.peerings.get(&peering.id);
            let says = config.details.of(Kind::Peering, &peering.id);
            let [vpc, accepting_vpc] = peering.vpcs.clone();
            let mut record = Peering {
                meta: self.filed(had.map(|it| &it.meta), says),
                vpc,
                accepting_vpc,
                accepted: says.accepted.unwrap_or(true),
                rejected: false,
                ..had.cloned().unwrap_or(Peering::new(peering.id.clone()))
            };
            set(&mut record.accepting_account, &says.accepting_account);
            set(&mut record.bandwidth, &says.bandwidth);
            set(&mut record.link_type, &says.link_type);
            set(&mut record.deletion_protection, &says.deletion_protection);
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
                let says = config.details.of_route(&table.id, route.destination);
                let record = Route {
                    meta: self.filed(had.as_ref().map(|it| &it.meta), says),
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
            let says = config.details.of(Kind::SecurityGroup, &group.id);
            let mut old = had.map(|it| it.rules.clone()).unwrap_or_default();
            let mut rules = Vec::new();
            for (n, rule) in group.rules.iter().enumerate() {
                let same = old.iter().position(|it| it.says() == *rule);
                let mut rule = match same {
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
                };
                let description = says.rules.get(n).filter(|it| !it.is_empty());
                set(&mut rule.description, &description.cloned());
                rules.push(rule);
            }
            let (kind, isolated) = match (says.isolated, had) {
                (Some(true), _) => (model::SecurityGroupKind::Normal, true),
                // It may leave open which of the two an isolated group is.
                (None, Some(had)) if had.effect() == group.kind => (had.kind, had.isolated),
                _ => (group.kind, false),
            };
            let record = SecurityGroup {
                id: group.id.clone(),
                meta: self.filed(had.map(|it| &it.meta), says),
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
            let primary = config.details.is_instance(eni);
            let id = match primary {
                true => self.import_instance(config, eni)?,
                false => eni.id.clone(),
            };
            let says = config.details.of(Kind::Eni, &eni.id);
            let had = self.enis.get(&id);
            let (secondary, hosts) = match &says.secondary_addresses {
                Some(said) => {
                    let hosts = eni.hosts.get(said.len()..).unwrap_or_default();
                    (said.clone(), hosts.to_vec())
                }
                None => {
                    // What is behind it by itself, and what was given to it one by one.
                    let given = had.map(|it| it.secondary.clone()).unwrap_or_default();
                    let (secondary, hosts): (Vec<_>, Vec<_>) = eni
                        .hosts
                        .iter()
                        .partition(|host| host.prefix_len() == 32 && given.contains(&host.addr()));
                    let secondary = secondary.iter();
                    let secondary = secondary.map(|it: &ipnet::Ipv4Net| it.addr()).collect();
                    (secondary, hosts)
                }
            };
            let mut record = Eni {
                meta: self.filed(had.map(|it| &it.meta), says),
                delete_on_release: had.is_some_and(|it| it.delete_on_release),
                id: id.clone(),
                vswitch: eni.vswitch.clone(),
                instance: (!says.detached).then(|| eni.instance.clone()),
                primary,
                address: eni.address,
                secondary,
                hosts,
                security_groups: eni.security_groups.clone(),
                driver: eni.driver.clone(),
                mtu: eni.mtu,
            };
            set(&mut record.delete_on_release, &says.delete_with_instance);
            self.enis.put(record);
            enis.insert(id);
        }
        retire!(self.enis, enis);
        Ok(())
    }

    /// An instance by its primary interface; the identifier of that.
    fn import_instance(&mut self, config: &Config, eni: &model::Eni) -> Result<Id> {
        let had = self.instances.get(&eni.id);
        let interface = match had {
            Some(had) => had.eni.clone(),
            None => self.new_id("eni")?,
        };
        let says = config.details.of(Kind::Instance, &eni.id);
        let mut record = Instance {
            meta: self.filed(had.map(|it| &it.meta), says),
            eni: interface.clone(),
            running: says.running.unwrap_or(true),
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
                disk: SystemDisk::default(),
                user_data: String::new(),
            })
        };
        set(&mut record.zone, &says.zone);
        set(&mut record.host_name, &says.host_name);
        set(&mut record.image, &says.image);
        set(&mut record.instance_type, &says.instance_type);
        set(&mut record.deletion_protection, &says.deletion_protection);
        self.instances.put(record);
        Ok(interface)
    }

    fn import_packages(&mut self, config: &Config) {
        let packages = &config.bandwidth_packages;
        let kept: HashSet<&str> = packages.iter().map(|it| &*it.id).collect();
        retire!(self.packages, kept);
        for package in packages {
            let had = self.packages.get(&package.id);
            let says = config.details.of(Kind::BandwidthPackage, &package.id);
            let mut record = BandwidthPackage {
                id: package.id.clone(),
                meta: self.filed(had.map(|it| &it.meta), says),
                region: had.map(|it| it.region.clone()).unwrap_or_default(),
                bandwidth: package.bandwidth,
                deletion_protection: had.is_some_and(|it| it.deletion_protection),
            };
            set(&mut record.region, &says.region);
            set(&mut record.deletion_protection, &says.deletion_protection);
            self.packages.put(record);
        }
    }

    fn import_eips(&mut self, config: &Config) {
        let instances = instances(config);
        let kept: HashSet<&str> = config.eips.iter().map(|it| &*it.id).collect();
        retire!(self.eips, kept);
        for eip in &config.eips {
            let had = self.eips.get(&eip.id);
            let says = config.details.of(Kind::Eip, &eip.id);
            let mut record = Eip {
                id: eip.id.clone(),
                meta: self.filed(had.map(|it| &it.meta), says),
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
                address_named: had.is_some_and(|it| it.address_named),
                package: eip.package.clone(),
                package_bandwidth: eip.package_bandwidth,
                protected: had.is_some_and(|it| it.protected),
                protected_of_file: had.is_some_and(|it| it.protected_of_file),
                deletion_protection: had.is_some_and(|it| it.deletion_protection),
            };
            set(&mut record.region, &says.region);
            set(&mut record.internet_charge_type, &says.charge_type);
            set(&mut record.deletion_protection, &says.deletion_protection);
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
                mapping: gateway.mapping,
                filtering: gateway.filtering,
                timeouts: gateway.timeouts,
                max_sessions_per_source: gateway.max_sessions_per_source,
                snat_ports: gateway.snat_ports.clone(),
                tcp_out_of_state: gateway.tcp_out_of_state,
                drain: gateway.drain,
            };
            let says = config.details.of(Kind::NatGateway, &gateway.id);
            let mut record = match self.nat_gateways.get(&gateway.id) {
                Some(had) => NatGateway {
                    meta: self.filed(Some(&had.meta), says),
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
                    meta: self.filed(None, says),
                    vpc: gateway.vpc.clone(),
                    intranet: gateway.vswitch().is_some(),
                    vswitch: gateway.vswitch().cloned(),
                    private_address: None,
                    eni: self.new_id("eni")?,
                    snat_table: self.new_id("stb")?,
                    forward_table: self.new_id("ftb")?,
                    full_nat_table: self.new_id("fulltb")?,
                    enhanced: true,
                    eip_bind_mode: NatGateway::BIND_MODE.into(),
                    icmp_reply: gateway.icmp_reply,
                    deletion_protection: false,
                    ecs_metric: gateway.source_metrics,
                    nat,
                },
            };
            if says.vswitch.is_some() {
                record.vswitch.clone_from(&says.vswitch);
            }
            if says.private_address.is_some() {
                record.private_address = says.private_address;
            }
            set(&mut record.enhanced, &says.standard.map(|it| !it));
            set(&mut record.eip_bind_mode, &says.bind_mode);
            set(&mut record.deletion_protection, &says.deletion_protection);
            self.nat_gateways.put(record);
            for entry in &gateway.snat {
                let had = self.snat.get(&entry.id);
                let says = config.details.of(Kind::SnatEntry, &entry.id);
                // A vSwitch stays a vSwitch if the file's block is still its own.
                let said = says.vswitch.clone().map(SnatSource::VSwitch);
                let source = said.or(had.map(|it| it.source.clone()));
                let source = source.filter(|source| match source {
                    SnatSource::VSwitch(id) => self
                        .vswitches
                        .get(id)
                        .is_some_and(|it| it.cidr == entry.source),
                    SnatSource::Cidr(_) => false,
                });
                let mut record = SnatEntry {
                    id: entry.id.clone(),
                    meta: self.filed(had.map(|it| &it.meta), says),
                    gateway: gateway.id.clone(),
                    source: source.unwrap_or(SnatSource::Cidr(entry.source)),
                    eips: entry.eips.clone(),
                    pooling: entry.pooling,
                    drains: Vec::new(),
                };
                if let Some(had) = had.filter(|it| it.gateway == record.gateway) {
                    record.drains = self.drains(had, &record, gateway.drain, None);
                }
                self.snat.put(record);
            }
            for entry in &gateway.dnat {
                let had = self.dnat.get(&entry.id);
                let says = config.details.of(Kind::DnatEntry, &entry.id);
                let record = DnatEntry {
                    id: entry.id.clone(),
                    meta: self.filed(had.map(|it| &it.meta), says),
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
        let blocks = &config.details.nat_ip_cidrs;
        let kept: HashSet<&str> = blocks.iter().map(|it| &*it.id).collect();
        retire!(self.nat_ip_cidrs, kept);
        for block in blocks {
            let had = self.nat_ip_cidrs.get(&block.id);
            let record = NatIpCidr {
                id: block.id.clone(),
                meta: self.filed(had.map(|it| &it.meta), &block.detail),
                gateway: block.gateway.clone(),
                cidr: block.cidr,
                default: false,
            };
            self.nat_ip_cidrs.put(record);
        }
        let kept: HashSet<&str> = config.nat_ips.iter().map(|it| &*it.id).collect();
        retire!(self.nat_ips, kept);
        for nat_ip in &config.nat_ips {
            let had = self.nat_ips.get(&nat_ip.id);
            let says = config.details.of(Kind::NatIp, &nat_ip.id);
            // The first one is the gateway's own address.
            let own = config.details.of(Kind::NatGateway, &nat_ip.gateway);
            let own = own.private_address == Some(nat_ip.address);
            let record = NatIp {
                id: nat_ip.id.clone(),
                meta: self.filed(had.map(|it| &it.meta), says),
                gateway: nat_ip.gateway.clone(),
                address: nat_ip.address,
                default: own || had.is_some_and(|it| it.default),
            };
            self.nat_ips.put(record);
        }
        Ok(())
    }
}

/// The identifiers of a configuration's instances.
fn instances(config: &Config) -> HashSet<&str> {
    let enis = config.enis.iter();
    let primary = enis.filter(|it| config.details.is_instance(it));
    primary.map(|it| &*it.id).collect()
}

/// Meta data with the labels that a file says.
fn labelled(mut meta: Meta, says: &Detail) -> Meta {
    set(&mut meta.name, &says.name);
    set(&mut meta.description, &says.description);
    set(&mut meta.tags, &says.tags);
    set(&mut meta.resource_group, &says.resource_group);
    meta
}

/// Takes over what a file says; what it does not say stays.
fn set<T: Clone>(field: &mut T, says: &Option<T>) {
    if let Some(says) = says {
        field.clone_from(says);
    }
}
