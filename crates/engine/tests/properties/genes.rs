//! Configurations from bytes: each byte decides one thing, so that changing a byte changes one thing, and
//! zeroes make the simplest configuration.

use ipnet::Ipv4Net;
use model::*;
use std::net::Ipv4Addr;
use std::time::Duration;

/// How many bytes decide.
pub const GENES: usize = 491 + NARROWED;

/// The last ones: whether SNAT entries are for nobody, four of each gateway and two of each VPC NAT gateway.
pub const NARROWED: usize = 18;

/// Servers outside.
pub const SERVERS: [&str; 2] = ["198.51.100.7", "198.51.100.8"];

struct Reader<'a>(std::slice::Iter<'a, u8>);

impl Reader<'_> {
    /// A number below `n`.
    fn pick(&mut self, n: usize) -> usize {
        *self.0.next().expect("there are too few genes") as usize % n
    }

    fn yes(&mut self) -> bool {
        self.pick(2) == 1
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.pick(choices.len())].clone()
    }
}

fn net(text: &str) -> Ipv4Net {
    text.parse().expect(text)
}

/// The first two bytes of a VPC's addresses. The second VPC may have those of the first.
fn prefix(vpc: usize, overlapping: bool) -> String {
    match vpc {
        0 => "10.0".into(),
        1 if overlapping => "10.0".into(),
        n => format!("10.{n}"),
    }
}

/// The interfaces: three in each VPC, two in the first vSwitch and one in the second.
pub const PLACES: [(usize, u8); 3] = [(0, 10), (0, 11), (1, 10)];

/// Makes a configuration.
pub fn config(genes: &[u8]) -> Config {
    let (genes, narrowed) = genes.split_at(GENES - NARROWED);
    let mut g = Reader(genes.iter());
    let overlapping = g.yes();
    let mut c = Config::default();
    c.system.max_sessions = 4096;
    c.uplinks.push(Uplink {
        id: "wan".into(),
        device: "eth1".into(),
        mode: UplinkMode::Own,
        address: Some(net("203.0.113.2/24")),
        gateway: Some(Ipv4Addr::new(203, 0, 113, 1)),
        mtu: Some(1500),
        pool: Vec::new(),
    });
    // The third VPC is peered with the others, as the hub that it is.
    for vpc in 0..2 {
        if !g.yes() {
            c.peerings.push(Peering {
                id: format!("p{vpc}"),
                vpcs: [format!("v{vpc}"), "v2".into()],
            });
        }
    }
    let peered = |c: &Config, vpc: usize| c.peerings.iter().any(|p| p.id == format!("p{vpc}"));
    for vpc in 0..3 {
        let id = format!("v{vpc}");
        let block = prefix(vpc, overlapping);
        c.vpcs.push(Vpc {
            id: id.clone(),
            cidrs: vec![net(&format!("{block}.0.0/16"))],
        });
        for group in 0..2 {
            let mut rules = Vec::new();
            for _ in 0..3 {
                let rule = SecurityRule {
                    direction: g.of(&[Direction::Ingress, Direction::Ingress, Direction::Egress]),
                    policy: g.of(&[Policy::Accept, Policy::Accept, Policy::Drop]),
                    priority: 1 + g.pick(3) as u8,
                    protocol: g.of(&[None, None, Some(6), Some(17)]),
                    ports: g.of(&[None, None, Some(80..=80), Some(5000..=5001)]),
                    peer: match g.pick(4) {
                        0 | 1 => RulePeer::Cidr(net("0.0.0.0/0")),
                        2 => RulePeer::Cidr(net(&format!("{block}.1.0/24"))),
                        _ => RulePeer::Group(format!("{id}g0")),
                    },
                };
                // The first group is open unless its rule says otherwise; the others may have no rule.
                if g.pick(3) < 2 {
                    let ports = rule.ports.filter(|_| matches!(rule.protocol, Some(6 | 17)));
                    rules.push(SecurityRule { ports, ..rule });
                }
            }
            c.security_groups.push(SecurityGroup {
                id: format!("{id}g{group}"),
                vpc: id.clone(),
                kind: g.of(&[SecurityGroupKind::Normal, SecurityGroupKind::Enterprise]),
                rules,
            });
        }
        let system = RouteTable::system_id(&id);
        let custom = format!("{id}/custom");
        for vswitch in 0..2 {
            c.vswitches.push(VSwitch {
                id: format!("{id}s{vswitch}"),
                vpc: id.clone(),
                cidr: net(&format!("{block}.{}.0/24", vswitch + 1)),
                // The VPC NAT gateway's vSwitch has a table of its own, unless a gene says otherwise.
                route_table: (g.yes() != (vswitch == 1)).then(|| custom.clone()),
            });
        }
        for (n, (vswitch, host)) in PLACES.into_iter().enumerate() {
            let name = format!("{id}i{n}");
            let groups = match g.pick(4) {
                0 | 1 => vec![0],
                2 => vec![1],
                _ => vec![0, 1],
            };
            let lan = n == 1 && g.yes();
            c.enis.push(Eni {
                id: name.clone(),
                instance: name.clone(),
                vswitch: format!("{id}s{vswitch}"),
                address: format!("{block}.{}.{host}", vswitch + 1).parse().unwrap(),
                hosts: match lan {
                    true => vec![
                        net(&format!("{block}.1.64/29")),
                        net(&format!("172.16.{vpc}.0/24")),
                    ],
                    false => Vec::new(),
                },
                security_groups: groups.into_iter().map(|n| format!("{id}g{n}")).collect(),
                driver: match lan {
                    true => Driver::Device { device: name },
                    false => Driver::Netns,
                },
                mtu: 1500,
            });
        }
        let gateway = format!("n{vpc}");
        for (id_of, system) in [(system, true), (custom, false)] {
            let mut routes = Vec::new();
            let towards = |g: &mut Reader, c: &Config, default: usize| {
                let peer = match vpc {
                    2 => g.pick(2),
                    n => n,
                };
                let eni = g.pick(3);
                match g.pick(8).max(default) {
                    0 | 1 => Some(NextHop::NatGateway(gateway.clone())),
                    2 if peered(c, peer) => Some(NextHop::Peering(format!("p{peer}"))),
                    3 => Some(NextHop::Eni(format!("{id}i{eni}"))),
                    4 => Some(NextHop::Blackhole),
                    6 | 7 => Some(NextHop::NatGateway(format!("x{vpc}"))),
                    _ => None,
                }
            };
            let mut add = |g: &mut Reader, destination: &str, default| {
                if let Some(next_hop) = towards(g, &c, default) {
                    let destination = net(destination);
                    routes.push(Route {
                        destination,
                        next_hop,
                    });
                }
            };
            add(&mut g, "0.0.0.0/0", 0);
            add(&mut g, "198.51.100.8/32", 2);
            add(&mut g, "172.16.0.0/16", 2);
            for other in 0..3 {
                if other != vpc && prefix(other, overlapping) != block {
                    add(&mut g, &format!("{}.0.0/16", prefix(other, overlapping)), 2);
                } else {
                    (0..2 + vpc / 2).for_each(|_| _ = g.pick(1));
                }
            }
            for other in (0..3).filter(|&other| other != vpc) {
                // Through the VPC NAT gateway, and from there to the other VPC.
                let default = if system { 6 } else { 2 };
                add(&mut g, &format!("172.20.{other}.0/24"), default);
            }
            let twice = |r: &mut Route, earlier: &mut Route| r.destination == earlier.destination;
            routes.dedup_by(twice);
            c.route_tables.push(RouteTable {
                id: id_of,
                vpc: id.clone(),
                system,
                routes,
            });
        }
    }
    eips_and_gateways(&mut g, &mut c, overlapping);
    vpc_nat_gateways(&mut g, &mut c, overlapping);
    assert_eq!(g.0.len(), 0, "genes that decide nothing");
    narrow(&mut c, narrowed);
    c
}

fn eips_and_gateways(g: &mut Reader, c: &mut Config, overlapping: bool) {
    // EIPs: two for each of the first and third VPC's gateways, one for an interface, one for nobody.
    for n in 0..6u8 {
        let wanted = match n {
            0 | 1 => g.of(&["n0", "n0", "n2", ""]),
            2 | 3 => g.of(&["n2", "n2", "n1", ""]),
            4 => g.of(&["", "n1", "v0i0", "v2i2"]),
            _ => g.of(&["", "n0", "v1i1", "v2i1"]),
        };
        let binding = match wanted {
            "" => None,
            id if id.starts_with('n') => Some(EipBinding::NatGateway(id.into())),
            id => Some(EipBinding::Eni(id.into())),
        };
        c.eips.push(Eip {
            id: format!("e{n}"),
            address: Ipv4Addr::new(203, 0, 113, 10 + n),
            uplink: "wan".into(),
            binding,
            // So much that nothing is dropped: the reference knows no time.
            bandwidth: g.yes().then_some(100_000),
            package: None,
            package_bandwidth: None,
        });
    }
    for n in 0..2usize {
        let id = format!("p{n}");
        for eip in &mut c.eips[n * 2..n * 2 + g.pick(4)] {
            eip.package = Some(id.clone());
        }
        let first = &mut c.eips[n * 2];
        if g.yes() && first.package.is_some() {
            first.package_bandwidth = Some(100_000);
        }
        let bandwidth = 100_000;
        c.bandwidth_packages
            .push(BandwidthPackage { id, bandwidth });
    }
    for vpc in 0..3 {
        let id = format!("n{vpc}");
        let mine: Vec<Id> = c
            .eips
            .iter()
            .filter(|e| e.binding == Some(EipBinding::NatGateway(id.clone())))
            .map(|e| e.id.clone())
            .collect();
        let block = prefix(vpc, overlapping);
        // VPCs that it may serve.
        let served: Vec<usize> = (0..3)
            .filter(|&other| {
                let name = format!("v{other}");
                let peers =
                    |p: &&Peering| p.vpcs.contains(&name) && p.vpcs.contains(&format!("v{vpc}"));
                other == vpc || c.peerings.iter().any(|p| peers(&p))
            })
            .collect();
        let mut whole: Option<Id> = None;
        let mut dnat = Vec::new();
        for n in 0..4u16 {
            let eip = g.pick(2);
            let internal = {
                let vpc = served[g.pick(served.len())];
                let (vswitch, host) = g.of(&[(1, 10), (2, 10), (1, 66), (1, 99)]);
                let address = format!("{}.{vswitch}.{host}", prefix(vpc, overlapping));
                address.parse::<Ipv4Addr>().unwrap()
            };
            let any = g.pick(4) == 3;
            let udp = g.yes();
            let wide = g.yes();
            if g.pick(3) == 2 || mine.is_empty() {
                continue;
            }
            let eip = mine[eip % mine.len()].clone();
            if any && whole.is_none() && mine.len() > 1 && dnat.is_empty() {
                whole = Some(eip.clone());
                dnat.push(DnatEntry {
                    id: format!("{id}d{n}"),
                    eip,
                    internal,
                    mapping: DnatMapping::Any,
                });
                continue;
            }
            let Some(eip) = mine
                .iter()
                .find(|e| Some(*e) != whole.as_ref() && (**e == eip || whole.is_some()))
            else {
                continue;
            };
            // Ports by number, so that no two meet: 80, and 5000 to 5003.
            let external = match (n, wide) {
                (0, _) => 80..=80,
                (n, false) => 5000 + n..=5000 + n,
                (n, true) => 6000 + 10 * n..=6001 + 10 * n,
            };
            dnat.push(DnatEntry {
                id: format!("{id}d{n}"),
                eip: eip.clone(),
                internal,
                mapping: DnatMapping::Ports {
                    protocol: if udp { 17 } else { 6 },
                    internal: 80 + 10 * n,
                    external,
                },
            });
        }
        let pool: Vec<Id> = mine
            .into_iter()
            .filter(|e| Some(e) != whole.as_ref())
            .collect();
        let mut snat = Vec::new();
        let sources = [
            "0.0.0.0/0".to_owned(),
            format!("{block}.0.0/16"),
            format!("{block}.1.0/24"),
            format!("{block}.1.10/32"),
        ];
        for (n, source) in sources.into_iter().enumerate() {
            let all = g.yes();
            let pooling = g.of(&[Pooling::Hash, Pooling::Affinity, Pooling::Paired]);
            // What an entry has covered before drains, unless a gene says otherwise.
            let drained = g.of(&["0.0.0.0/0".to_owned(), format!("{block}.1.0/24")]);
            let until = g.of(&[Some(1_000_000), Some(1060), Some(1200), Some(1010), None]);
            let there = match n {
                0 => g.pick(6) != 5,
                _ => g.pick(3) == 2,
            };
            if !there || pool.is_empty() {
                continue;
            }
            let first = n % pool.len();
            snat.push(SnatEntry {
                id: format!("{id}s{n}"),
                source: net(&source),
                eips: match all {
                    true => pool.clone(),
                    false => vec![pool[first].clone()],
                },
                pooling,
                drains: until
                    .map(|until| Drain {
                        source: net(&drained),
                        eips: pool.clone(),
                        until,
                    })
                    .into_iter()
                    .collect(),
            });
        }
        let seconds = |s| Duration::from_secs(s);
        c.nat_gateways.push(NatGateway {
            id: id.clone(),
            vpc: format!("v{vpc}"),
            network: Network::Internet,
            snat,
            dnat,
            mapping: Mapping::default(),
            filtering: g.of(&[
                Filtering::EndpointIndependent,
                Filtering::AddressAndPortDependent,
            ]),
            timeouts: Timeouts {
                tcp_established: seconds(g.of(&[900, 100])),
                udp: seconds(g.of(&[60, 20])),
                ..Timeouts::default()
            },
            max_sessions_per_source: g.of(&[None, None, Some(2), Some(4)]),
            snat_ports: g.of(&[
                5000..=5004,
                1024..=65535,
                1..=65535,
                2000..=2001,
                4990..=5500,
            ]),
            icmp_reply: !g.yes(),
            tcp_out_of_state: g.of(&[OutOfState::Reset, OutOfState::Drop]),
            source_metrics: g.yes(),
            drain: DRAIN,
        });
    }
}

/// A VPC NAT gateway in the second vSwitch of each VPC, with two NAT IPs: one of the vSwitch, which another VPC may have,
/// too, and one of its own.
fn vpc_nat_gateways(g: &mut Reader, c: &mut Config, overlapping: bool) {
    for vpc in 0..3u8 {
        let id = format!("x{vpc}");
        let block = prefix(vpc.into(), overlapping);
        let addresses = [format!("{block}.2.200"), format!("172.20.{vpc}.5")];
        let nat_ips = [0, 1].map(|n| format!("{id}a{n}"));
        for (nat_ip, address) in nat_ips.iter().zip(addresses) {
            c.nat_ips.push(NatIp {
                id: nat_ip.clone(),
                gateway: id.clone(),
                address: address.parse().unwrap(),
            });
        }
        let mut dnat = Vec::new();
        let mut pool = nat_ips.to_vec();
        for (n, nat_ip) in nat_ips.iter().enumerate() {
            let (vswitch, host) = g.of(&[(1, 10), (1, 11), (2, 10), (1, 99)]);
            let internal = format!("{block}.{vswitch}.{host}").parse().unwrap();
            let mapping = match g.pick(5) {
                0 | 1 => DnatMapping::Ports {
                    protocol: 6,
                    external: 80..=80,
                    internal: 8080 + n as u16,
                },
                2 => DnatMapping::Ports {
                    protocol: 17,
                    external: 5000..=5003,
                    internal: 53 + 10 * n as u16,
                },
                // The other one is left for SNAT.
                3 if n == 1 => {
                    pool.pop();
                    DnatMapping::Any
                }
                _ => continue,
            };
            dnat.push(DnatEntry {
                id: format!("{id}d{n}"),
                eip: nat_ip.clone(),
                internal,
                mapping,
            });
        }
        let mut snat = Vec::new();
        let sources = ["0.0.0.0/0".to_owned(), format!("{block}.1.0/24")];
        for (n, source) in sources.into_iter().enumerate() {
            let there = g.pick(3) != 2 - 2 * n;
            let all = g.yes();
            let until = g.of(&[Some(1_000_000), Some(1060), None]);
            let drained = Drain {
                source: net("0.0.0.0/0"),
                eips: nat_ips.to_vec(),
                until: until.unwrap_or_default(),
            };
            if !there {
                continue;
            }
            snat.push(SnatEntry {
                id: format!("{id}s{n}"),
                source: net(&source),
                eips: match all {
                    true => pool.clone(),
                    false => vec![pool[n % pool.len()].clone()],
                },
                pooling: Pooling::Hash,
                drains: until.map(|_| drained).into_iter().collect(),
            });
        }
        c.nat_gateways.push(NatGateway {
            id,
            vpc: format!("v{vpc}"),
            network: Network::Intranet(format!("v{vpc}s1")),
            snat,
            dnat,
            mapping: Mapping::default(),
            filtering: g.of(&[
                Filtering::EndpointIndependent,
                Filtering::AddressAndPortDependent,
            ]),
            timeouts: Timeouts::default(),
            max_sessions_per_source: g.of(&[None, None, Some(4)]),
            snat_ports: g.of(&[5000..=5004, 1024..=65535]),
            icmp_reply: !g.yes(),
            tcp_out_of_state: OutOfState::Reset,
            source_metrics: false,
            drain: DRAIN,
        });
    }
}

/// Gives SNAT entries sources that nobody has, so that what they covered drains.
fn narrow(c: &mut Config, genes: &[u8]) {
    let entries = c.nat_gateways.iter_mut().flat_map(|it| &mut it.snat);
    for entry in entries {
        let [kind, vpc, _, n] = entry.id.as_bytes() else {
            unreachable!("{}", entry.id)
        };
        let (vpc, n) = (usize::from(vpc - b'0'), usize::from(n - b'0'));
        let gene = match kind {
            b'n' => vpc * 4 + n,
            _ => 12 + vpc * 2 + n,
        };
        if genes[gene] % 2 == 1 {
            let second = c.vpcs[vpc].cidrs[0].addr().octets()[1];
            let nobody = Ipv4Addr::new(10, second, 200, 4 * n as u8);
            entry.source = Ipv4Net::new(nobody, 30).expect("a block");
        }
    }
}
