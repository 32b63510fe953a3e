//! The example, the reference and what is filled in.

use super::schema;
use super::*;
use crate::*;
use serde::de::{Deserialize, Deserializer, Visitor, value::Error as Stop};
use std::collections::BTreeSet;

const EXAMPLE: &str = include_str!("../../../../docs/example.toml");
const REFERENCE: &str = include_str!("../../../../docs/config.md");

/// Takes note of the keys that a structure asks for, and stops there.
struct Keys<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = Stop;
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        self.0.extend_from_slice(fields);
        Err(serde::de::Error::custom("seen"))
    }
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(serde::de::Error::custom("not a structure"))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn keys<'de, T: Deserialize<'de>>() -> BTreeSet<&'static str> {
    let mut keys = Vec::new();
    assert!(T::deserialize(Keys(&mut keys)).is_err());
    assert!(!keys.is_empty());
    keys.into_iter().collect()
}

/// Every table with its header in the reference.
fn tables() -> Vec<(&'static str, BTreeSet<&'static str>)> {
    vec![
        ("[system]", keys::<schema::System>()),
        // And the names of the quotas, which another reference lists.
        ("[quotas]", BTreeSet::from(["preset"])),
        ("[records]", keys::<schema::Records>()),
        ("[resolver]", keys::<schema::Resolver>()),
        ("[locations]", keys::<schema::Locations>()),
        ("[[uplink]]", keys::<schema::Uplink>()),
        ("[[region]]", keys::<schema::Region>()),
        ("[[vpc]]", keys::<schema::Vpc>()),
        ("[[vswitch]]", keys::<schema::VSwitch>()),
        ("[[route_table]]", keys::<schema::RouteTable>()),
        ("[[route_table.route]]", keys::<schema::Route>()),
        ("[[security_group]]", keys::<schema::SecurityGroup>()),
        ("[[security_group.rule]]", keys::<schema::Rule>()),
        ("[[instance]]", keys::<schema::Instance>()),
        ("[instance.interface]", keys::<schema::Interface>()),
        ("[[eni]]", keys::<schema::Eni>()),
        ("[[eip]]", keys::<schema::Eip>()),
        ("[[bandwidth_package]]", keys::<schema::BandwidthPackage>()),
        ("[[nat_gateway]]", keys::<schema::NatGateway>()),
        ("[nat_gateway.timeouts]", keys::<schema::Timeouts>()),
        ("[[nat_gateway.snat]]", keys::<schema::Snat>()),
        ("[[nat_gateway.dnat]]", keys::<schema::Dnat>()),
        ("[[nat_ip]]", keys::<schema::NatIp>()),
        ("[[nat_ip_cidr]]", keys::<schema::NatIpCidr>()),
        ("[[peering]]", keys::<schema::Peering>()),
        ("[[nat_firewall]]", keys::<schema::NatFirewall>()),
        ("[firewall_license]", keys::<schema::FirewallLicense>()),
        ("[[address_book]]", keys::<schema::AddressBook>()),
        ("[[policy]]", keys::<schema::Policy>()),
        ("[policy.validity]", keys::<schema::Validity>()),
        ("[border_firewall]", keys::<schema::BorderFirewall>()),
        ("[dns_firewall]", keys::<schema::DnsFirewall>()),
        ("[[threat_feed]]", keys::<schema::ThreatFeed>()),
    ]
}

/// The sections of the reference that explain a table: header and keys.
fn sections() -> Vec<(&'static str, BTreeSet<&'static str>)> {
    let sections = REFERENCE.split("\n## `").skip(1);
    let section = |text: &'static str| {
        let (header, text) = text.split_once('`').expect("a header in backticks");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
        // Keys that are explained together are in one row.
        let cells = rows.filter_map(|row| Some(row.split_once(" |")?.0));
        let keys = cells.flat_map(|cell| cell.split("`, `").map(|key| key.trim_matches('`')));
        (header, keys.collect())
    };
    sections.map(section).collect()
}

#[test]
fn reference_names_every_table_and_every_key_and_no_other() {
    assert_eq!(sections(), tables());
    let top = keys::<schema::File>();
    let headers = tables();
    let headers = headers
        .iter()
        .map(|(header, _)| header.trim_matches(['[', ']']));
    assert_eq!(
        top,
        headers.filter(|header| !header.contains('.')).collect()
    );
}

#[test]
fn example_uses_every_key() {
    let mut used = BTreeSet::new();
    let mut table = "";
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            table = line;
        } else if let Some((key, _)) = line.split_once(" = ") {
            used.insert((table, key));
        }
    }
    for (table, keys) in tables() {
        for key in keys {
            let inner = tables().iter().any(|(header, _)| {
                let header = header.trim_matches(['[', ']']);
                header.split_once('.') == Some((table.trim_matches(['[', ']']), key))
            });
            // Left out: they would say what another key says already.
            let other = [
                ("[[eip]]", "eni"),
                ("[[eni]]", "hosts"),
                ("[[route_table.route]]", "eni"),
            ];
            // What most tables have is shown in one.
            let common = [
                "name",
                "description",
                "tags",
                "resource_group",
                "region",
                "zone",
                "deletion_protection",
            ];
            let common = common.contains(&key) && used.iter().any(|(_, it)| *it == key);
            let other = common || other.contains(&(table, key));
            assert!(
                inner || other || used.contains(&(table, key)),
                "{table} {key}"
            );
        }
    }
}

#[test]
fn quotas_begin_with_a_preset() {
    let quotas = |text: &str| parse(text).unwrap().system.quotas;
    assert_eq!(quotas("").len(), 0);
    assert_eq!(quotas("[quotas]\neips = 10000\nvpcs = 0")["vpcs"], 0);
    assert_eq!(quotas("[quotas]\neips = 10000").len(), 0);
    let cloud = quotas("[quotas]\neips = 50\nvpcs = 1000\npreset = \"cloud\"");
    assert_eq!((cloud["eips"], cloud.get("vpcs")), (50, None));
    assert_eq!(cloud["snat-entries-per-nat-gateway"], 40);
    // What is written is read as the same.
    let config = parse("[quotas]\npreset = \"cloud\"\neips = 0").unwrap();
    assert_eq!(parse(&write(&config)).unwrap(), config);
}

#[test]
fn examples_of_the_reference_are_right() {
    let mut examples = REFERENCE.split("```toml\n").skip(1);
    let example = examples.next().expect("there is one");
    let example = example.split("```").next().expect("it ends");
    let config = parse(example).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.nat_gateways[0].dnat[0].id, "ngw-1/eip-1/tcp/80");
    assert!(examples.next().is_none());
}

fn example() -> Config {
    parse(EXAMPLE).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn example_is_right() {
    let config = example();
    assert_eq!(validate::check(&config), []);
    let services = config.system.services.clone();
    assert!(services.records != Records::default() && services.resolver != Resolver::default());
    let default = System::default();
    assert_eq!(
        config.system,
        System {
            services,
            ..default
        }
    );
    let wan = Uplink {
        id: "wan".into(),
        device: "eth1".into(),
        mode: UplinkMode::Own,
        address: Some("203.0.113.2/24".parse().unwrap()),
        gateway: Some("203.0.113.1".parse().unwrap()),
        mtu: Some(1500),
        pool: vec!["203.0.113.128/25".parse().unwrap()],
    };
    assert_eq!(config.uplinks, [wan]);
    assert_eq!(config.vpcs[0].cidrs.len(), 2);
    let lengths = [config.vswitches.len(), config.enis.len(), config.eips.len()];
    assert_eq!(lengths, [5, 7, 4]);
}

fn find<'a, T>(list: &'a [T], id: impl Fn(&'a T) -> &'a Id, wanted: &str) -> &'a T {
    list.iter().find(|it| id(it) == wanted).expect(wanted)
}

#[test]
fn system_tables_and_default_routes_are_filled_in() {
    let config = example();
    let table = |id| find(&config.route_tables, |it| &it.id, id);
    let shop = table("vpc-shop/system");
    let routes: Vec<String> = shop.routes.iter().map(Route::to_string).collect();
    let expected = [
        "172.16.0.0/16 -> peering pcx-lab",
        "0.0.0.0/0 -> NAT gateway ngw-shop",
    ];
    assert_eq!(routes, expected);
    assert!(shop.system && !table("vtb-office").system);
    // It has no gateway of its own.
    let lab = table("vpc-lab/system");
    assert_eq!(lab.routes[0].next_hop, NextHop::Peering("pcx-lab".into()));
    assert_eq!(lab.routes.len(), 2);

    // Two gateways: the first has it; a table that says otherwise is left alone.
    let text = "[[vpc]]\nid = 'a'\ncidr = '10.0.0.0/16'\n[[vpc]]\nid = 'b'\ncidr = '10.0.0.0/16'\n\
        [[nat_gateway]]\nid = 'one'\nvpc = 'a'\n[[nat_gateway]]\nid = 'two'\nvpc = 'a'\n\
        [[nat_gateway]]\nid = 'three'\nvpc = 'b'\n[[route_table]]\nid = 'sys'\nvpc = 'b'\nsystem = true\n\
        [[route_table.route]]\ndestination = '0.0.0.0/0'\nblackhole = true\n";
    let config = parse(text).unwrap();
    let table = |id| find(&config.route_tables, |it| &it.id, id);
    assert_eq!(table("sys").routes.len(), 1);
    assert_eq!(table("sys").routes[0].next_hop, NextHop::Blackhole);
    let next_hop = &table("a/system").routes[0].next_hop;
    assert_eq!(*next_hop, NextHop::NatGateway("one".into()));
    assert_eq!(table("a/system").routes.len(), 1);
    assert_eq!(config.route_tables.len(), 2);
}

#[test]
fn default_security_group_is_made_where_it_is_needed() {
    let config = example();
    let lab = find(&config.enis, |it| &it.id, "lab-2");
    assert_eq!(lab.security_groups, ["vpc-lab/default"]);
    let group = find(&config.security_groups, |it| &it.id, "vpc-lab/default");
    let made = SecurityGroup {
        id: "vpc-lab/default".into(),
        vpc: "vpc-lab".into(),
        kind: SecurityGroupKind::Normal,
        rules: Vec::new(),
    };
    assert_eq!(*group, made);
    assert_eq!(config.security_groups.len(), 4);

    // One that is declared is taken.
    let declared =
        "[[security_group]]\nid = 'vpc-lab/default'\nvpc = 'vpc-lab'\nkind = 'enterprise'\n";
    let config = parse(&format!("{EXAMPLE}\n{declared}")).unwrap();
    let group = find(&config.security_groups, |it| &it.id, "vpc-lab/default");
    assert_eq!(group.kind, SecurityGroupKind::Enterprise);
    assert_eq!(config.security_groups.len(), 4);
}

#[test]
fn interfaces() {
    let config = example();
    let eni = |id| find(&config.enis, |it| &it.id, id);
    let (web, backup) = (eni("web-1"), eni("db-backup"));
    assert!(web.is_primary() && !backup.is_primary());
    assert_eq!((&web.driver, web.mtu), (&Driver::Netns, 1500));
    assert_eq!(backup.instance, "db");
    assert_eq!(backup.mtu, 9000);
    let device = |name: &str| Driver::Device {
        device: name.into(),
    };
    assert_eq!(backup.driver, device("tap1"));
    // Naming a device says which driver.
    assert_eq!(eni("office").driver, device("eth2"));
    assert_eq!(eni("office").hosts.len(), 2);
}

#[test]
fn bindings_and_entries() {
    let config = example();
    let eip = |id| find(&config.eips, |it| &it.id, id);
    let gateway = EipBinding::NatGateway("ngw-shop".into());
    assert_eq!(eip("eip-2").binding, Some(gateway));
    assert_eq!(eip("eip-2").uplink, "wan");
    let database = EipBinding::Eni("db".into());
    assert_eq!(eip("eip-db").binding, Some(database));

    let bandwidth = |id| {
        let eip = eip(id);
        (eip.bandwidth, eip.package.as_deref(), eip.package_bandwidth)
    };
    assert_eq!(bandwidth("eip-1"), (None, Some("cbwp-shop"), None));
    assert_eq!(bandwidth("eip-2"), (None, Some("cbwp-shop"), Some(50)));
    assert_eq!(bandwidth("eip-3"), (Some(5), None, None));
    assert_eq!(bandwidth("eip-db"), (None, None, None));
    let package = BandwidthPackage {
        id: "cbwp-shop".into(),
        bandwidth: 200,
    };
    assert_eq!(config.bandwidth_packages, [package]);

    let gateway = &config.nat_gateways[0];
    let snat = |entry: &SnatEntry| format!("{} {} {}", entry.id, entry.source, entry.pooling);
    let entries: Vec<String> = gateway.snat.iter().map(snat).collect();
    let expected = [
        "snat-all 192.168.0.0/16 hash",
        "snat-all/10.20.0.0/16 10.20.0.0/16 hash",
        "ngw-shop/192.168.1.0/24 192.168.1.0/24 hash",
        "ngw-shop/192.168.1.11/32 192.168.1.11/32 hash",
        "ngw-shop/172.16.0.0/16 172.16.0.0/16 affinity",
    ];
    assert_eq!(entries, expected);
    let dnat = |entry: &DnatEntry| format!("{} {} {}", entry.id, entry.internal, entry.mapping);
    let entries: Vec<String> = gateway.dnat.iter().map(dnat).collect();
    let expected = [
        "dnat-web 192.168.1.10 tcp 80 -> 80",
        "ngw-shop/eip-1/tcp/8000-8099 192.168.1.11 tcp 8000-8099 -> 9000-9099",
        "ngw-shop/eip-3/any 172.16.1.10 any",
    ];
    assert_eq!(entries, expected);
    assert_eq!(gateway.timeouts, Timeouts::default());
    assert_eq!(gateway.max_sessions_per_source, Some(10000));
    assert_eq!(gateway.snat_ports, SNAT_PORTS);
}

#[test]
fn vpc_nat_gateways() {
    let config = example();
    let (internet, private) = (&config.nat_gateways[0], &config.nat_gateways[1]);
    assert_eq!((internet.vswitch(), internet.outside()), (None, Kind::Eip));
    assert_eq!(private.network, Network::Intranet("vsw-lab-nat".into()));
    let ids = [&private.snat[0].eips[0], &private.dnat[0].eip];
    assert_eq!(ids, ["ip-lab"; 2]);
    assert_eq!(private.dnat[0].id, "ngw-lab/ip-lab/tcp/80");
    let nat_ip = NatIp {
        id: "ip-lab".into(),
        gateway: "ngw-lab".into(),
        address: "172.16.2.10".parse().unwrap(),
    };
    assert_eq!(config.nat_ips, [nat_ip]);
    // Naming a vSwitch says which network, and nothing leads there by itself.
    let text = "[[vpc]]\nid = 'a'\ncidr = '10.0.0.0/16'\n[[vswitch]]\nid = 's'\nvpc = 'a'\n\
        cidr = '10.0.1.0/24'\n[[nat_gateway]]\nid = 'n'\nvpc = 'a'\nvswitch = 's'\n";
    let config = parse(text).unwrap();
    assert_eq!(config.nat_gateways[0].vswitch(), Some(&"s".into()));
    assert!(config.route_tables[0].routes.is_empty());
}

#[test]
fn nothing_is_a_configuration() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn services_are_read_with_their_bounds() {
    let services = |text: &str| parse(text).map(|it| it.system.services);
    assert_eq!(services("").unwrap(), Services::default());
    let given = services("[resolver]\nservers = ['192.0.2.53', '192.0.2.54:5353', '2001:db8::53']");
    let servers = given.unwrap().resolver.servers;
    let texts: Vec<String> = servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["192.0.2.53:53", "192.0.2.54:5353", "[2001:db8::53]:53"]
    );
    for (text, told) in [
        ("[records]\nmax_size = 0", "line 2: records: max_size 0"),
        ("[records]\ndirectory = 'x'", "no path that begins with `/`"),
        ("[resolver]\nservers = ['dns']", "like 192.0.2.53"),
        (
            "[resolver]\nmin_ttl = 60\nmax_ttl = 30",
            "more than max_ttl",
        ),
        ("[locations]", "path is missing"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}
