//! Configurations that a file cannot say, or that come from elsewhere: each rule by its fault, and
//! that nothing makes the check panic.

use ipnet::Ipv4Net;
use model::text::{GRE, TCP};
use model::validate::check;
use model::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

fn good() -> Config {
    let text = include_str!("../../../docs/example.toml");
    file::parse(text).unwrap()
}

/// What is wrong with the example after a change: subject, field, element, fault.
fn faults(change: impl FnOnce(&mut Config)) -> Vec<(String, &'static str, usize, Fault)> {
    let mut config = good();
    change(&mut config);
    let problems = check(&config).into_iter();
    problems
        .map(|it| {
            assert_eq!(it.subject, Subject::of(&config, it.place.item));
            let subject = it.subject.to_string();
            (subject, it.place.field, it.place.element, it.fault)
        })
        .collect()
}

#[test]
fn the_example_is_right() {
    assert_eq!(faults(|_| {}), []);
}

#[test]
fn each_vpc_has_one_system_table() {
    let found = faults(|config| config.route_tables[0].system = false);
    let fault = Fault::SystemTables {
        vpc: "vpc-shop".into(),
        count: 0,
    };
    assert_eq!(found, [("VPC \"vpc-shop\"".into(), "id", 0, fault)]);
}

#[test]
fn a_vpc_has_1_to_64_blocks() {
    let found = faults(|config| {
        config.vpcs.push(Vpc {
            id: "empty".into(),
            cidrs: Vec::new(),
        });
        config.route_tables.push(RouteTable {
            id: "empty/system".into(),
            vpc: "empty".into(),
            system: true,
            routes: Vec::new(),
        });
    });
    let fault = Fault::CidrCount { count: 0 };
    assert_eq!(found, [("VPC \"empty\"".into(), "cidrs", 0, fault)]);
    let found = faults(|config| {
        let block = |n: u8| Ipv4Net::new(Ipv4Addr::new(10, 100 + n, 0, 0), 16).unwrap();
        config.vpcs[0].cidrs.extend((0..63).map(block));
    });
    let fault = Fault::CidrCount { count: 65 };
    assert_eq!(found, [("VPC \"vpc-shop\"".into(), "cidrs", 0, fault)]);
}

#[test]
fn an_interface_is_in_a_group() {
    let found = faults(|config| config.enis[0].security_groups.clear());
    let fault = Fault::NoSecurityGroup;
    let expected = ("instance \"web-1\"".into(), "security_groups", 0, fault);
    assert_eq!(found, [expected]);
}

#[test]
fn bandwidth_is_limited_in_as_many_places_as_the_data_path_has_meters() {
    let limited = |count: usize, package: Option<&str>, package_bandwidth: Option<u32>| {
        let package = package.map(String::from);
        faults(move |config| {
            // Three are a package, an EIP in it, and one outside of it.
            let template = config.eips[2].clone();
            assert_eq!((template.bandwidth, &template.package), (Some(5), &None));
            config.eips.extend((3..count as u32).map(|n| Eip {
                id: format!("more-{n}"),
                address: Ipv4Addr::from(0x2d00_0000 + n),
                binding: None,
                package: package.clone(),
                package_bandwidth,
                ..template.clone()
            }));
        })
    };
    let most = *limits::BANDWIDTH_LIMITS.end();
    assert_eq!(limited(most, None, None), []);
    let count = most + 1;
    let fault = Fault::TooManyLimits { count, most };
    let subject = "bandwidth package \"cbwp-shop\"".into();
    let expected = [(subject, "bandwidth", 0, fault)];
    assert_eq!(limited(count, None, None), expected);
    // EIPs of a package have no limit of their own, unless they have one within it.
    let package = Some("cbwp-shop");
    assert_eq!(limited(count, package, None), []);
    assert_eq!(limited(most, package, Some(200)), []);
    assert_eq!(limited(count, package, Some(200)), expected);
}

#[test]
fn a_limit_within_a_package() {
    let limited = |package: Option<&str>, bandwidth: u32| {
        let package = package.map(String::from);
        faults(move |config| {
            config.eips[0].package = package;
            config.eips[0].package_bandwidth = Some(bandwidth);
        })
    };
    let fault = |fault| [("EIP \"eip-1\"".into(), "package_bandwidth", 0, fault)];
    let package = Some("cbwp-shop");
    assert_eq!(limited(package, 1), []);
    assert_eq!(limited(package, 200), []);
    let above = Fault::AbovePackage {
        bandwidth: 201,
        package: "cbwp-shop".into(),
        most: 200,
    };
    assert_eq!(limited(package, 201), fault(above));
    assert_eq!(limited(None, 100), fault(Fault::NoPackage));
    let range = Fault::OutOfRange {
        what: "package_bandwidth",
        value: 0,
        min: 1,
        max: 100_000,
    };
    assert_eq!(limited(package, 0), fault(range));
}

#[test]
fn ranges_of_ports_are_ranges() {
    let empty = RangeInclusive::new(90, 80);
    let found = faults(|config| {
        config.security_groups[0].rules[0].ports = Some(empty.clone());
        config.security_groups[0].rules[1].ports = Some(0..=80);
        config.nat_gateways[0].snat_ports = 0..=0;
        let DnatMapping::Ports { external, .. } = &mut config.nat_gateways[0].dnat[0].mapping
        else {
            panic!("it maps ports");
        };
        *external = empty.clone();
    });
    let fault = |start, end| Fault::EmptyPorts { start, end };
    let group = "security group \"sg-web\", rule \"accept ingress tcp";
    let expected = [
        (
            format!("{group} 90-80 from 0.0.0.0/0\""),
            "ports",
            0,
            fault(90, 80),
        ),
        (
            format!("{group} 0-80 from 0.0.0.0/0\""),
            "ports",
            0,
            fault(0, 80),
        ),
        (
            "NAT gateway \"ngw-shop\"".into(),
            "snat_ports",
            0,
            fault(0, 0),
        ),
        (
            "DNAT entry \"dnat-web\"".into(),
            "external_port",
            0,
            fault(90, 80),
        ),
    ];
    assert_eq!(found, expected);
}

#[test]
fn port_mappings_are_of_tcp_and_udp_and_end_in_time() {
    let mapping = |protocol, external, internal| {
        faults(move |config| {
            config.nat_gateways[0].dnat[0].mapping = DnatMapping::Ports {
                protocol,
                external,
                internal,
            }
        })
    };
    let subject = || "DNAT entry \"dnat-web\"".to_string();
    let found = mapping(GRE, 80..=80, 80);
    assert_eq!(found, [(subject(), "protocol", 0, Fault::NoPorts(GRE))]);
    let found = mapping(TCP, 1..=65535, 2);
    let overflow = Fault::InternalOverflow {
        start: 2,
        count: 65535,
    };
    assert!(found.contains(&(subject(), "internal_port", 0, overflow)));
    assert_eq!(mapping(TCP, 100..=101, 65534), []);
    let found = mapping(TCP, 80..=80, 0);
    let zero = Fault::EmptyPorts { start: 0, end: 0 };
    assert_eq!(found, [(subject(), "internal_port", 0, zero)]);
}

#[test]
fn snat_entries_have_1_to_64_eips() {
    let found = faults(|config| config.nat_gateways[0].snat[0].eips.clear());
    let subject = "SNAT entry \"snat-all\"";
    let fault = Fault::EipCount {
        kind: Kind::Eip,
        count: 0,
    };
    assert_eq!(found, [(subject.into(), "eips", 0, fault)]);
    let count = |more: u8| {
        faults(|config| {
            for n in 0..more {
                let id = format!("more-{n}");
                config.nat_gateways[0].snat[0].eips.push(id.clone());
                config.eips.push(Eip {
                    id,
                    address: Ipv4Addr::new(203, 0, 113, 100 + n),
                    uplink: "wan".into(),
                    binding: Some(EipBinding::NatGateway("ngw-shop".into())),
                    bandwidth: None,
                    package: None,
                    package_bandwidth: None,
                });
            }
        })
    };
    assert_eq!(count(62), []);
    let fault = Fault::EipCount {
        kind: Kind::Eip,
        count: 65,
    };
    assert_eq!(count(63), [(subject.into(), "eips", 0, fault)]);
}

#[test]
fn identifiers_have_1_to_128_characters() {
    let peering = |id: String| {
        faults(|config| {
            config.peerings.push(Peering {
                id,
                vpcs: ["vpc-lab".into(), "none".into()],
            })
        })
    };
    let bad = |found: &[(String, &str, usize, Fault)]| found.iter().any(|it| it.3 == Fault::BadId);
    assert!(!bad(&peering("a_B-9./".into())));
    assert!(!bad(&peering("x".repeat(128))));
    assert!(bad(&peering("x".repeat(129))));
    assert!(bad(&peering("ä".into())));
}

/// Bounds of numbers: what is at the edge is right, what is beyond is not.
#[test]
fn numbers_have_bounds() {
    let out = |change: fn(&mut Config, u64), value: u64, what: &str| {
        let found = faults(|config| change(config, value));
        match &found[..] {
            [] => false,
            [(_, field, 0, Fault::OutOfRange { what: named, .. })] => {
                assert_eq!((*field, *named), (what, what));
                true
            }
            other => panic!("{other:?}"),
        }
    };
    type Change = fn(&mut Config, u64);
    let table: [(Change, &str, u64, u64); 8] = [
        (|config, n| config.enis[0].mtu = n as u16, "mtu", 576, 9216),
        (
            |config, n| config.uplinks[0].mtu = Some(n as u16),
            "mtu",
            576,
            9216,
        ),
        (
            |config, n| config.system.max_sessions = n as u32,
            "max_sessions",
            1024,
            100_000_000,
        ),
        (
            |config, n| config.security_groups[0].rules[0].priority = n as u8,
            "priority",
            1,
            100,
        ),
        (
            |config, n| config.nat_gateways[0].timeouts.tcp_established = Duration::from_secs(n),
            "tcp_established",
            1,
            604_800,
        ),
        (
            |config, n| config.nat_gateways[0].timeouts.tcp_transitory = Duration::from_secs(n),
            "tcp_transitory",
            1,
            604_800,
        ),
        (
            |config, n| config.nat_gateways[0].timeouts.icmp = Duration::from_secs(n),
            "icmp",
            1,
            604_800,
        ),
        (
            |config, n| config.nat_gateways[0].timeouts.other = Duration::from_secs(n),
            "other",
            1,
            604_800,
        ),
    ];
    for (change, what, min, max) in table {
        assert!(
            out(change, min - 1, what) && out(change, max + 1, what),
            "{what}"
        );
        assert!(!out(change, min, what) && !out(change, max, what), "{what}");
    }
}

/// Reserved addresses of a vSwitch, against the cloud's list for a /24 and the smallest block.
#[test]
fn addresses_that_a_vswitch_keeps() {
    let reserved = |cidr: &str| {
        let vswitch = VSwitch {
            id: "v".into(),
            vpc: "v".into(),
            cidr: cidr.parse().unwrap(),
            route_table: None,
        };
        let hosts = vswitch.cidr.network().to_bits()..=vswitch.cidr.broadcast().to_bits();
        let hosts = hosts.map(Ipv4Addr::from_bits);
        let kept: Vec<u8> = hosts
            .filter(|&it| vswitch.is_reserved(it))
            .map(|it| it.octets()[3])
            .collect();
        (kept, vswitch.gateway().octets()[3])
    };
    assert_eq!(reserved("192.168.1.0/24"), (vec![0, 253, 254, 255], 253));
    assert_eq!(reserved("192.168.1.8/29"), (vec![8, 13, 14, 15], 13));
    // Nothing to hold on to, but no panic either.
    assert_eq!(reserved("0.0.0.0/32"), (vec![0], 0));
}

/// Few names and few addresses, so that most references lead somewhere and most things collide.
fn id() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "a/b", "a/system", "", "ä"]).prop_map(String::from)
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    let few = prop::sample::select(vec![
        0u32,
        1,
        0x0a00_0001,
        0x0a00_0002,
        0x0aff_ffff,
        u32::MAX,
    ]);
    prop_oneof![few, any::<u32>()].prop_map(Ipv4Addr::from_bits)
}

fn block() -> impl Strategy<Value = Ipv4Net> {
    (address(), 0u8..=32).prop_map(|(address, prefix)| Ipv4Net::new(address, prefix).unwrap())
}

fn ports() -> impl Strategy<Value = RangeInclusive<u16>> {
    let port = prop_oneof![Just(0u16), Just(1), Just(80), Just(65535), any::<u16>()];
    (port.clone(), port).prop_map(|(start, end)| start..=end)
}

fn some<T: std::fmt::Debug>(it: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(it, 0..4)
}

prop_compose! {
    fn networks()(
        uplinks in some((id(), id(), prop::option::of(block()), prop::option::of(address()))),
        vpcs in some((id(), some(block()))),
        vswitches in some((id(), id(), block(), prop::option::of(id()))),
        tables in some((id(), id(), any::<bool>(), some((block(), 0u8..4, id())))),
        peerings in some((id(), id(), id())),
    ) -> Config {
        let hop = |(destination, kind, id)| Route {
            destination,
            next_hop: match kind {
                0 => NextHop::Eni(id),
                1 => NextHop::NatGateway(id),
                2 => NextHop::Peering(id),
                _ => NextHop::Blackhole,
            },
        };
        Config {
            uplinks: uplinks.into_iter().map(|(id, device, address, gateway)| Uplink {
                id, device, mode: UplinkMode::Own, address, gateway, mtu: Some(1), pool: Vec::new(),
            }).collect(),
            vpcs: vpcs.into_iter().map(|(id, cidrs)| Vpc { id, cidrs }).collect(),
            vswitches: vswitches.into_iter().map(|(id, vpc, cidr, route_table)| VSwitch {
                id, vpc, cidr, route_table,
            }).collect(),
            route_tables: tables.into_iter().map(|(id, vpc, system, routes)| RouteTable {
                id, vpc, system, routes: routes.into_iter().map(hop).collect(),
            }).collect(),
            peerings: peerings.into_iter().map(|(id, a, b)| Peering { id, vpcs: [a, b] }).collect(),
            ..Config::default()
        }
    }
}

prop_compose! {
    fn configs()(
        mut config in networks(),
        groups in some((id(), id(), some((any::<bool>(), prop::option::of(ports()), block(), id())))),
        enis in some((id(), id(), id(), address(), some(block()), some(id()), prop::option::of(id()))),
        eips in some((
            id(),
            address(),
            id(),
            prop::option::of((any::<bool>(), id())),
            prop::option::of(any::<u32>()),
            prop::option::of(id()),
            prop::option::of(any::<u32>()),
        )),
        packages in some((id(), any::<u32>())),
        gateways in some((
            id(),
            id(),
            some((id(), block(), some(id()))),
            some((id(), id(), address(), prop::option::of((any::<u8>(), ports(), any::<u16>())))),
            ports(),
        )),
    ) -> Config {
        for (id, vpc, rules) in groups {
            let rule = |(tcp, ports, cidr, group): (bool, _, _, _)| SecurityRule {
                direction: Direction::Ingress,
                policy: Policy::Drop,
                priority: 0,
                protocol: tcp.then_some(TCP),
                ports,
                peer: if tcp { RulePeer::Cidr(cidr) } else { RulePeer::Group(group) },
            };
            let rules = rules.into_iter().map(rule).collect();
            config.security_groups.push(SecurityGroup {
                id, vpc, kind: SecurityGroupKind::Normal, rules,
            });
        }
        for (id, instance, vswitch, address, hosts, security_groups, device) in enis {
            let driver = device.map_or(Driver::Netns, |device| Driver::Device { device });
            config.enis.push(Eni {
                id, instance, vswitch, address, hosts, security_groups, driver, mtu: 0,
            });
        }
        for (id, address, uplink, binding, bandwidth, package, package_bandwidth) in eips {
            let binding = binding.map(|(eni, id)| match eni {
                true => EipBinding::Eni(id),
                false => EipBinding::NatGateway(id),
            });
            config.eips.push(Eip {
                id, address, uplink, binding, bandwidth, package, package_bandwidth,
            });
        }
        let package = |(id, bandwidth)| BandwidthPackage { id, bandwidth };
        config.bandwidth_packages.extend(packages.into_iter().map(package));
        for (id, vpc, snat, dnat, snat_ports) in gateways {
            let snat = snat.into_iter().map(|(id, source, eips)| SnatEntry {
                id, source, eips, pooling: Pooling::Hash, drains: Vec::new(),
            });
            let dnat = dnat.into_iter().map(|(id, eip, internal, mapping)| DnatEntry {
                id,
                eip,
                internal,
                mapping: mapping.map_or(DnatMapping::Any, |(protocol, external, internal)| {
                    DnatMapping::Ports { protocol, external, internal }
                }),
            });
            config.nat_gateways.push(NatGateway {
                id,
                vpc,
                network: Network::default(),
                snat: snat.collect(),
                dnat: dnat.collect(),
                mapping: Mapping::default(),
                filtering: Filtering::default(),
                timeouts: Timeouts::default(),
                max_sessions_per_source: None,
                snat_ports,
                icmp_reply: true,
                tcp_out_of_state: OutOfState::Reset,
                source_metrics: false,
                drain: DRAIN,
            });
        }
        config
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever it is given: no panic, problems in order, each about something that is there.
    #[test]
    fn no_configuration_makes_it_panic(config in configs()) {
        let problems = check(&config);
        prop_assert!(problems.is_sorted_by_key(|problem| problem.place));
        for problem in &problems {
            prop_assert!(!problem.to_string().is_empty());
            prop_assert_eq!(&problem.subject, &Subject::of(&config, problem.place.item));
            prop_assert_ne!(problem.other, Some(problem.place.item));
        }
    }
}
