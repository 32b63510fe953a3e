//! Whatever there is: the file that is written of it makes the same of an empty gateway, but for what
//! `operations.md` says of exports.

use control::records::*;
use control::{Cloud, Draft};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EXAMPLE: &str = include_str!("../../../docs/example.toml");

/// What is made anew by whoever reads a file, and is nothing but a name or a time.
const ANEW: [&str; 15] = [
    "created",
    "of_file",
    "router",
    "router_meta",
    "default",
    "started",
    "modified",
    "rejected",
    "of_pool",
    "snat_table",
    "forward_table",
    "full_nat_table",
    "own_vswitch",
    "service_mode",
    "service_zones",
];

fn import(text: &str) -> Cloud {
    let file = model::file::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut draft = Draft::new(Cloud::default(), 1_000);
    draft.import(&file).unwrap();
    draft.into_cloud()
}

/// Takes out what is made anew, at any depth.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !ANEW.contains(&&**name));
            fields.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

/// All records of the kinds that a file has words for, as they are kept.
fn records(cloud: &Cloud) -> BTreeMap<String, Value> {
    fn put(all: &mut BTreeMap<String, Value>, name: String, record: &impl Serialize) {
        let mut value = serde_json::to_value(record).unwrap();
        strip(&mut value);
        assert!(all.insert(name.clone(), value).is_none(), "{name} twice");
    }
    let mut all = BTreeMap::new();
    macro_rules! all {
        ($($table:ident)*) => {
            $(for record in cloud.$table.iter() {
                put(&mut all, format!("{} {}", stringify!($table), record.id), record);
            })*
        };
    }
    all! {
        system uplinks vpcs vswitches route_tables peerings packages eips nat_ips snat books firewall_settings feeds
        licenses
    }
    // Those whose identifiers are made, by what they are about.
    for route in cloud.routes.iter() {
        let name = format!("route {} {}", route.table, route.destination);
        let route = Route {
            id: String::new(),
            ..route.clone()
        };
        put(&mut all, name, &route);
    }
    for group in cloud.security_groups.iter() {
        let mut group = group.clone();
        group.rules.iter_mut().for_each(|it| it.id.clear());
        put(&mut all, format!("group {}", group.id), &group);
    }
    for instance in cloud.instances.iter() {
        let instance = Instance {
            eni: String::new(),
            ..instance.clone()
        };
        put(&mut all, format!("instance {}", instance.id), &instance);
    }
    for eni in cloud.enis.iter() {
        let mut eni = eni.clone();
        if let (true, Some(instance)) = (eni.primary, &eni.instance) {
            eni.id.clone_from(instance);
            // It goes with its instance, whatever this says.
            eni.delete_on_release = false;
        }
        put(&mut all, format!("eni {}", eni.id), &eni);
    }
    for gateway in cloud.nat_gateways.iter() {
        let gateway = NatGateway {
            eni: String::new(),
            ..gateway.clone()
        };
        put(&mut all, format!("gateway {}", gateway.id), &gateway);
    }
    for firewall in cloud.nat_firewalls.iter() {
        let firewall = NatFirewall {
            eni: String::new(),
            ..firewall.clone()
        };
        put(&mut all, format!("firewall {}", firewall.id), &firewall);
    }
    for entry in cloud.dnat.iter() {
        // As its maker wrote it: `any` or `Any`.
        let entry = DnatEntry {
            protocol: String::new(),
            ..entry.clone()
        };
        put(&mut all, format!("dnat {}", entry.id), &entry);
    }
    for block in cloud.nat_ip_cidrs.iter().filter(|it| !it.default) {
        put(&mut all, format!("block {}", block.id), block);
    }
    let policies = json!(format!("{:?}", cloud.file().firewalls.policies));
    all.insert("policies".into(), policies);
    all
}

/// A change of what there is: which, of what, to what.
#[derive(Clone, Debug)]
struct Turn {
    what: u8,
    which: prop::sample::Index,
    words: [String; 2],
    tags: BTreeMap<String, String>,
    flag: bool,
    number: u16,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let word = "([a-zäß中][a-zA-Z0-9 _.:\"'\\\\-]{1,20})?";
    let word = word.prop_filter("letters are allowed, and what names may hold", |it| {
        it.is_empty() || model::names::name(it, 2).is_ok()
    });
    let text = "[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]{0,60}";
    let tags = prop::collection::btree_map("[a-z\"= ]{1,8}", text, 0..4);
    let turn = (
        0..27u8,
        any::<prop::sample::Index>(),
        word,
        text,
        tags,
        any::<bool>(),
        any::<u16>(),
    );
    let turn = turn.prop_map(|(what, which, name, text, tags, flag, number)| Turn {
        what,
        which,
        words: [name, text],
        tags,
        flag,
        number,
    });
    prop::collection::vec(turn, 0..40)
}

/// The labels that the turn gives; a kind has all of them, a name and a description, or a name.
fn label(meta: &mut Meta, turn: &Turn, some: usize) {
    let [name, description] = &turn.words;
    meta.name.clone_from(name);
    if some > 1 {
        meta.description.clone_from(description);
    }
    if some > 2 {
        meta.tags.clone_from(&turn.tags);
        meta.resource_group.clone_from(description);
    }
}

fn take(cloud: &mut Cloud, turn: &Turn) {
    let Turn { flag, number, .. } = *turn;
    let n = u32::from(number) + 1;
    let [word, text] = &turn.words;
    macro_rules! one {
        ($table:ident, |$record:ident| $change:expr) => {{
            let ids: Vec<String> = cloud.$table.iter().map(|it| it.id.clone()).collect();
            if !ids.is_empty() {
                let $record = cloud
                    .$table
                    .get_mut(turn.which.get::<String>(&ids))
                    .unwrap();
                $change
            }
        }};
    }
    match turn.what {
        0 => one!(vpcs, |it| label(&mut it.meta, turn, 3)),
        1 => one!(vswitches, |it| label(&mut it.meta, turn, 3)),
        2 => one!(route_tables, |it| label(&mut it.meta, turn, 3)),
        3 => one!(routes, |it| label(&mut it.meta, turn, 2)),
        4 => one!(peerings, |it| label(&mut it.meta, turn, 3)),
        5 => one!(security_groups, |it| label(&mut it.meta, turn, 3)),
        6 => one!(instances, |it| label(&mut it.meta, turn, 3)),
        7 => one!(enis, |it| label(&mut it.meta, turn, 3)),
        8 => one!(eips, |it| label(&mut it.meta, turn, 3)),
        9 => one!(packages, |it| label(&mut it.meta, turn, 3)),
        10 => one!(nat_gateways, |it| label(&mut it.meta, turn, 3)),
        11 => one!(snat, |it| label(&mut it.meta, turn, 1)),
        12 => one!(dnat, |it| label(&mut it.meta, turn, 1)),
        13 => one!(nat_ips, |it| label(&mut it.meta, turn, 2)),
        14 => one!(books, |it| it.meta.description.clone_from(text)),
        15 => one!(instances, |it| {
            it.running = flag;
            it.image.clone_from(text);
            it.instance_type.clone_from(word);
            it.deletion_protection = flag;
            it.host_name = format!("host-{number}");
            it.zone = "cn-hangzhou-i".into();
        }),
        16 => one!(peerings, |it| {
            it.accepted = flag;
            it.accepting_account = number.into();
            it.bandwidth = n;
            it.link_type = "Gold".into();
            it.deletion_protection = flag;
        }),
        17 => one!(eips, |it| {
            it.deletion_protection = flag;
            it.bandwidth = Some(n);
            it.package_bandwidth = it.package.is_some().then_some(u32::from(number % 200) + 1);
            it.internet_charge_type = "PayByTraffic".into();
            it.region = "cn-hangzhou".into();
        }),
        18 => one!(packages, |it| {
            it.deletion_protection = flag;
            // Not less than its EIPs may have of it.
            it.bandwidth = n + 200;
            it.region = "cn-hangzhou".into();
        }),
        19 => one!(nat_gateways, |it| {
            it.deletion_protection = flag;
            it.enhanced = !flag;
            it.eip_bind_mode = if flag { "NAT" } else { NatGateway::BIND_MODE }.into();
            it.ecs_metric = flag;
            it.icmp_reply = flag;
            it.nat.max_sessions_per_source = Some(n);
        }),
        20 => one!(security_groups, |it| {
            it.isolated = flag && it.kind == model::SecurityGroupKind::Normal;
            for rule in &mut it.rules {
                rule.description.clone_from(text);
            }
        }),
        21 => one!(vpcs, |it| {
            it.region = "cn-hangzhou".into();
            it.user_cidrs = vec!["9.0.0.0/8".parse().unwrap()];
        }),
        22 => one!(vswitches, |it| it.zone = "cn-hangzhou-i".into()),
        // Addresses of their own, in vSwitches that are 24 bits long and have nothing there.
        23 => one!(enis, |it| {
            let [a, b, c, _] = it.address.octets();
            let free = [200, 201].map(|d| [a, b, c, d].into());
            if it.secondary.is_empty() && it.hosts.is_empty() && it.id != "db-backup" {
                let others = ["web-2", "lab-2", "db"];
                let of = it.instance.as_deref().unwrap_or_default();
                if !others.contains(&of) {
                    it.secondary = free.into();
                }
            }
        }),
        // An additional interface is detached.
        24 => one!(enis, |it| if !it.primary {
            it.instance = None;
            it.delete_on_release = flag;
        }),
        25 => one!(nat_gateways, |it| {
            let internet = (it.id == "ngw-shop").then(|| "vsw-web".to_owned());
            it.vswitch = internet.or(it.vswitch.take());
            it.private_address = flag.then_some(match it.intranet {
                true => [172, 16, 2, 10].into(),
                false => [192, 168, 1, 100].into(),
            });
        }),
        _ => {
            let gateways = cloud.nat_gateways.iter();
            let gateways: Vec<String> = gateways
                .filter(|it| it.intranet)
                .map(|it| it.id.clone())
                .collect();
            if let Some(gateway) = gateways.first() {
                let mut block = NatIpCidr {
                    id: "vpcnatcidr-1".into(),
                    meta: Meta::default(),
                    gateway: gateway.clone(),
                    cidr: "10.200.0.0/24".parse().unwrap(),
                    default: false,
                };
                label(&mut block.meta, turn, 2);
                cloud.nat_ip_cidrs.put(block);
            }
        }
    }
}

/// What the engine is told, in an order that does not depend on identifiers that are made.
fn told(cloud: &Cloud) -> model::Config {
    let mut config = cloud.config();
    for table in &mut config.route_tables {
        table.routes.sort_by_key(|it| it.destination);
    }
    config
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_makes_the_same_of_an_empty_gateway(turns in turns()) {
        let mut cloud = import(EXAMPLE);
        turns.iter().for_each(|it| take(&mut cloud, it));
        let text = model::file::write(&cloud.file());
        let again = import(&text);
        let (was, is) = (records(&cloud), records(&again));
        for (name, record) in &was {
            prop_assert_eq!(is.get(name), Some(record), "{}\n{}", name, text);
        }
        prop_assert_eq!(is.len(), was.len());
        prop_assert_eq!(model::file::write(&again.file()), text);
        // The engine is told the same.
        prop_assert_eq!(told(&again), told(&cloud));
    }
}
