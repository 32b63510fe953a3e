//! Making a [`Snapshot`] of a configuration: names become indices, lists become tables.

use crate::drain::Drain;
use crate::firewall::Firewalls;
use crate::io::{Link, PortRef};
use crate::lpm::Lpm;
use crate::nat::Outer;
use crate::security;
use crate::snapshot::*;
use crate::tuple;
use hashbrown::HashMap;
use ipnet::Ipv4Net;
use model::{Config, DnatMapping, EipBinding, Id, Kind, NextHop, UplinkMode};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

/// Indices by identifier.
struct Names<'a> {
    kind: &'static str,
    by_id: HashMap<&'a str, u32>,
}

impl<'a> Names<'a> {
    fn new(kind: &'static str, ids: impl Iterator<Item = &'a Id>) -> Self {
        Names {
            kind,
            by_id: ids
                .enumerate()
                .map(|(ix, id)| (id.as_str(), ix as u32))
                .collect(),
        }
    }

    fn get(&self, id: &str) -> Result<u32, SnapshotError> {
        self.by_id
            .get(id)
            .copied()
            .ok_or_else(|| SnapshotError::Missing {
                kind: self.kind,
                id: id.to_owned(),
            })
    }
}

/// What tells the NAT IPs of the VPCs apart, which may have the same addresses; 0 is the Internet. As long as a VPC
/// is there it stays the same, unless two of them would get the same one.
fn realms(vpcs: &[model::Vpc]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..vpcs.len()).collect();
    order.sort_by_key(|&ix| &vpcs[ix].id);
    let mut realms = vec![0; vpcs.len()];
    let mut taken = HashSet::from([0]);
    for ix in order {
        let mut hasher = DefaultHasher::new();
        vpcs[ix].id.hash(&mut hasher);
        let mut realm = hasher.finish() as u32;
        while !taken.insert(realm) {
            realm = realm.wrapping_add(1);
        }
        realms[ix] = realm;
    }
    realms
}

impl Snapshot {
    /// Compiles a configuration whose interfaces are `links`.
    pub fn build(config: &Config, links: &[Link]) -> Result<Snapshot, SnapshotError> {
        Snapshot::build_after(config, links, None)
    }

    /// As [`build`](Snapshot::build). Policies that `before` has compiled are not compiled again.
    pub fn build_after(
        config: &Config,
        links: &[Link],
        before: Option<&Snapshot>,
    ) -> Result<Snapshot, SnapshotError> {
        let vpc_ix = Names::new("vpc", config.vpcs.iter().map(|r| &r.id));
        let vswitch_ix = Names::new("vswitch", config.vswitches.iter().map(|r| &r.id));
        let table_ix = Names::new("route table", config.route_tables.iter().map(|r| &r.id));
        let group_ix = Names::new(
            "security group",
            config.security_groups.iter().map(|r| &r.id),
        );
        let eni_ix = Names::new("network interface", config.enis.iter().map(|r| &r.id));
        let uplink_ix = Names::new("uplink", config.uplinks.iter().map(|r| &r.id));
        let gateway_ix = Names::new("NAT gateway", config.nat_gateways.iter().map(|r| &r.id));
        let eip_ix = Names::new("EIP", config.eips.iter().map(|r| &r.id));
        // NAT IPs come after the EIPs.
        let nat_ip_ix = Names::new("NAT IP", config.nat_ips.iter().map(|r| &r.id));
        let first_nat_ip = config.eips.len() as EipIx;
        let packages = &config.bandwidth_packages;
        let package_ix = Names::new("bandwidth package", packages.iter().map(|r| &r.id));
        let peering_ix = Names::new("peer connection", config.peerings.iter().map(|r| &r.id));

        let firewall_ix = Names::new("NAT firewall", config.firewalls.nat.iter().map(|r| &r.id));
        let before = before.map(|before| &before.firewalls);
        let firewalls = Firewalls::compile(config, |id| gateway_ix.get(id), before)?;

        let mut ports = Vec::new();
        let mut port = |port: PortRef, owner, mtu: Option<u16>| {
            let link = links
                .iter()
                .find(|link| link.port == port)
                .ok_or(SnapshotError::NoLink(port))?;
            let mtu = mtu.unwrap_or(u16::MAX).min(link.mtu);
            ports.push(Port {
                link: link.clone(),
                owner,
                mtu,
            });
            Ok(ports.len() - 1)
        };

        let mut uplinks = Vec::new();
        for (ix, u) in config.uplinks.iter().enumerate() {
            uplinks.push(Uplink {
                id: u.id.clone(),
                port: port(
                    PortRef::Uplink(u.id.clone()),
                    Owner::Uplink(ix as u32),
                    u.mtu,
                )?,
                shared: u.mode == UplinkMode::Shared,
                address: u.address,
                gateway: u.gateway,
            });
        }

        let system_table = |vpc: &Id| {
            config
                .route_tables
                .iter()
                .position(|t| t.system && t.vpc == *vpc)
                .ok_or_else(|| SnapshotError::Missing {
                    kind: "system route table of vpc",
                    id: vpc.clone(),
                })
        };

        let mut vswitches = Vec::new();
        for v in &config.vswitches {
            vswitches.push(VSwitch {
                id: v.id.clone(),
                vpc: vpc_ix.get(&v.vpc)?,
                cidr: v.cidr,
                gateway: v.gateway(),
                table: match &v.route_table {
                    Some(id) => table_ix.get(id)? as usize,
                    None => system_table(&v.vpc)?,
                },
            });
        }

        let mut enis = Vec::new();
        for (ix, e) in config.enis.iter().enumerate() {
            let vswitch = vswitch_ix.get(&e.vswitch)?;
            let mut groups = Vec::new();
            for id in &e.security_groups {
                groups.push(group_ix.get(id)?);
            }
            let rules =
                |direction| security::compile(config, &groups, direction, |id| group_ix.get(id));
            enis.push(Eni {
                id: e.id.clone(),
                instance: e.instance.clone(),
                vpc: vswitches[vswitch as usize].vpc,
                vswitch,
                address: e.address,
                port: port(
                    PortRef::Eni(e.id.clone()),
                    Owner::Eni(ix as u32),
                    Some(e.mtu),
                )?,
                inbound: rules(model::Direction::Ingress)?,
                outbound: rules(model::Direction::Egress)?,
                groups,
                eip: None,
            });
        }

        // The NAT IPs with their VPCs.
        let mut nat_ips: Vec<(VpcIx, Ipv4Addr, EipIx)> = Vec::new();
        for (n, nat_ip) in (first_nat_ip..).zip(&config.nat_ips) {
            let gateway = gateway_ix.get(&nat_ip.gateway)? as usize;
            let vpc = vpc_ix.get(&config.nat_gateways[gateway].vpc)?;
            nat_ips.push((vpc, nat_ip.address, n));
        }

        let mut vpcs = Vec::new();
        let host = |ip: Ipv4Addr| Ipv4Net::from(ip);
        for (ix, v) in config.vpcs.iter().enumerate() {
            let mine = |vpc: VpcIx| vpc == ix as u32;
            let gateways = vswitches
                .iter()
                .filter(|v| mine(v.vpc))
                .flat_map(|v| [(host(v.gateway), Local::Gateway), (v.cidr, Local::Nobody)]);
            let hosts = enis
                .iter()
                .enumerate()
                .filter(|(_, e)| mine(e.vpc))
                .flat_map(|(ix, e)| {
                    let hosts = &config.enis[ix].hosts;
                    let ix = ix as u32;
                    let behind = hosts.iter().map(move |net| (*net, Local::Behind(ix)));
                    std::iter::once((host(e.address), Local::Eni(ix))).chain(behind)
                });
            let nat_ips = nat_ips.iter().filter(|(vpc, ..)| mine(*vpc));
            let nat_ips = nat_ips.map(|&(_, address, n)| (host(address), Local::NatIp(n)));
            // Of equal prefixes the first counts: a LAN that fills its vSwitch before the vSwitch.
            vpcs.push(Vpc {
                id: v.id.clone(),
                local: Lpm::new(hosts.chain(nat_ips).chain(gateways)),
                table: system_table(&v.id)?,
            });
        }

        let mut tables = Vec::new();
        for t in &config.route_tables {
            let vpc = vpc_ix.get(&t.vpc)?;
            let mut routes = Vec::new();
            for v in vswitches.iter().filter(|v| v.vpc == vpc) {
                routes.push((v.cidr, Hop::Local));
            }
            for r in &t.routes {
                let hop = match &r.next_hop {
                    NextHop::Eni(id) => Hop::Eni(eni_ix.get(id)?),
                    NextHop::NatGateway(id) => Hop::Nat(gateway_ix.get(id)?),
                    NextHop::NatFirewall(id) => Hop::Firewall(firewall_ix.get(id)?),
                    NextHop::Peering(id) => {
                        let [a, b] = &config.peerings[peering_ix.get(id)? as usize].vpcs;
                        Hop::Vpc(vpc_ix.get(if *a == t.vpc { b } else { a })?)
                    }
                    NextHop::Blackhole => Hop::Blackhole,
                };
                routes.push((r.destination, hop));
            }
            // Last, so that an entry for the whole VPC counts before.
            for cidr in &config.vpcs[vpc as usize].cidrs {
                routes.push((*cidr, Hop::Local));
            }
            for (_, address, _) in nat_ips.iter().filter(|(of, ..)| *of == vpc) {
                if !config.vpcs[vpc as usize].contains(*address) {
                    routes.push((host(*address), Hop::Local));
                }
            }
            tables.push(Table {
                id: t.id.clone(),
                destinations: routes.iter().map(|(net, _)| *net).collect(),
                routes: Lpm::new(routes),
            });
        }

        let package = |package: &model::BandwidthPackage| Limit {
            kind: Kind::BandwidthPackage,
            id: package.id.clone(),
            bandwidth: package.bandwidth,
            within: None,
        };
        let mut limits: Vec<Limit> = packages.iter().map(package).collect();
        let mut eips = Vec::new();
        for (ix, e) in config.eips.iter().enumerate() {
            let binding = match &e.binding {
                None => Binding::None,
                Some(EipBinding::Eni(id)) => {
                    let eni = eni_ix.get(id)?;
                    enis[eni as usize].eip = Some(ix as u32);
                    Binding::Eni(eni)
                }
                Some(EipBinding::NatGateway(id)) => Binding::Gateway(gateway_ix.get(id)?),
            };
            let package = e
                .package
                .as_ref()
                .map(|id| package_ix.get(id))
                .transpose()?;
            let limit = match e.own_limit() {
                Some(bandwidth) => {
                    limits.push(Limit {
                        kind: Kind::Eip,
                        id: e.id.clone(),
                        bandwidth,
                        within: package,
                    });
                    Some(limits.len() as LimitIx - 1)
                }
                None => package,
            };
            eips.push(Eip {
                id: e.id.clone(),
                address: e.address,
                outer: Outer::new(e.address, 0),
                uplink: Some(uplink_ix.get(&e.uplink)?),
                binding,
                forwards: Vec::new(),
                any: None,
                limit,
                border: firewalls.protects(&e.id),
            });
        }

        let realms = realms(&config.vpcs);
        for (n, &(vpc, address, _)) in config.nat_ips.iter().zip(&nat_ips) {
            eips.push(Eip {
                id: n.id.clone(),
                address,
                outer: Outer::new(address, realms[vpc as usize]),
                uplink: None,
                binding: Binding::Gateway(gateway_ix.get(&n.gateway)?),
                forwards: Vec::new(),
                any: None,
                limit: None,
                border: None,
            });
        }

        let mut of_gateway = vec![HashMap::new(); config.nat_gateways.len()];
        for (ix, eip) in eips.iter().enumerate() {
            if let Binding::Gateway(g) = eip.binding {
                of_gateway[g as usize].insert(eip.address, ix as EipIx);
            }
        }
        let mut gateways = Vec::new();
        for (ix, (g, of_gateway)) in config.nat_gateways.iter().zip(of_gateway).enumerate() {
            let vpc = vpc_ix.get(&g.vpc)?;
            let table = match g.vswitch() {
                Some(id) => vswitches[vswitch_ix.get(id)? as usize].table,
                None => vpcs[vpc as usize].table,
            };
            let outside = |id: &Id| match g.outside() {
                Kind::NatIp => Ok(first_nat_ip + nat_ip_ix.get(id)?),
                _ => eip_ix.get(id),
            };
            let mut whole = HashMap::new();
            for (entry, d) in g.dnat.iter().enumerate() {
                let entry = entry as u32;
                let ix = outside(&d.eip)?;
                let eip = &mut eips[ix as usize];
                match &d.mapping {
                    DnatMapping::Any => {
                        eip.any = Some((d.internal, entry));
                        whole.insert(d.internal, (ix, entry));
                    }
                    DnatMapping::Ports {
                        protocol,
                        external,
                        internal,
                    } => eip.forwards.push(Forward {
                        protocol: *protocol,
                        external: external.clone(),
                        internal: d.internal,
                        first: *internal,
                        entry,
                    }),
                }
            }
            let mut entries = Vec::new();
            let mut sources = Vec::new();
            let mut drains = Vec::new();
            for (entry, s) in g.snat.iter().enumerate() {
                let mut pool = Vec::new();
                for id in &s.eips {
                    let ix = outside(id)?;
                    pool.push((tuple::raw(eips[ix as usize].address), ix));
                }
                sources.push((s.source, entry as u32));
                for drain in &s.drains {
                    // An EIP that is gone, or another's by now, has no sessions here.
                    let eips = drain.eips.iter().filter_map(|id| outside(id).ok());
                    drains.push(Drain {
                        source: drain.source,
                        eips: eips.collect(),
                        until: u32::try_from(drain.until).unwrap_or(u32::MAX),
                        entry: entry as u32,
                    });
                }
                entries.push(Snat {
                    id: s.id.clone(),
                    source: s.source,
                    eips: pool,
                    pooling: s.pooling,
                });
            }
            gateways.push(Gateway {
                id: g.id.clone(),
                vpc,
                private: g.vswitch().is_some(),
                table,
                eips: of_gateway,
                snat: Lpm::new(sources),
                entries,
                drains,
                dnat: g.dnat.iter().map(|d| d.id.clone()).collect(),
                whole,
                mapping: g.mapping,
                filtering: g.filtering,
                timeouts: Ticks::from(&g.timeouts),
                max_per_source: g.max_sessions_per_source,
                ports: g.snat_ports.clone(),
                icmp_reply: g.icmp_reply,
                watches_sources: g.source_metrics,
                out_of_state: g.tcp_out_of_state,
                firewall: firewalls.of_gateway(ix as GatewayIx),
            });
        }
        for eip in &mut eips {
            eip.forwards
                .sort_by_key(|f| (f.protocol, *f.external.start()));
        }

        Ok(Snapshot {
            by_ifindex: ports
                .iter()
                .enumerate()
                .map(|(ix, p)| (p.link.ifindex, ix))
                .collect(),
            by_zone: ports
                .iter()
                .filter_map(|p| match p.owner {
                    Owner::Eni(eni) => Some((p.link.zone, eni)),
                    Owner::Uplink(_) => None,
                })
                .collect(),
            by_eip: eips
                .iter()
                .enumerate()
                .filter(|(_, e)| e.uplink.is_some())
                .map(|(ix, e)| (e.address, ix as u32))
                .collect(),
            ports,
            uplinks,
            vpcs,
            vswitches,
            tables,
            groups: config
                .security_groups
                .iter()
                .map(|g| g.id.clone())
                .collect(),
            enis,
            eips,
            limits,
            gateways,
            firewalls,
            max_sessions: config.system.max_sessions,
            timeouts: Ticks::from(&model::Timeouts::default()),
            records: None,
        })
    }
}
