//! SNAT entries that are changed in place: what is told to drain, and until when.

use crate::common::{World, refused, text};
use crate::nat::*;
use crate::support::now;
use model::{Config, Drain};
use serde_json::Value;
use std::time::Duration;

/// Changes an entry. Gives the seconds between which that was.
fn modify(world: &World, site: &Site, id: &str, more: &[(&str, &str)]) -> (u64, u64) {
    let begin = now();
    let entry = [("SnatTableId", &*site.snat_table), ("SnatEntryId", id)];
    let answer = world.vpc("ModifySnatEntry", &[&entry, more].concat());
    answer.unwrap();
    (begin, now())
}

/// What the engine is told to let drain of the only entry.
fn drains(world: &World) -> Vec<Drain> {
    let config = world.control.config();
    config.nat_gateways[0].snat[0].drains.clone()
}

/// What drains, as source and EIPs, without the moment.
fn what(drains: &[Drain]) -> Vec<(String, Vec<&str>)> {
    let mut found = Vec::new();
    for drain in drains {
        let mut ids: Vec<&str> = drain.eips.iter().map(|it| &**it).collect();
        ids.sort_unstable();
        found.push((drain.source.to_string(), ids));
    }
    found.sort();
    found
}

/// Whether something drains for so many seconds from a change on.
#[track_caller]
fn lasts(drain: &Drain, (begin, end): (u64, u64), seconds: u64) {
    let expected = begin + seconds..=end + seconds;
    assert!(expected.contains(&drain.until), "{drain:?}: {expected:?}");
}

fn shown(world: &World, id: &str) -> Vec<Value> {
    let answer = world.vpc("DescribeSnatTableEntries", &[("SnatEntryId", id)]);
    let answer = answer.unwrap();
    let drains = answer.pointer("/SnatTableEntries/SnatTableEntry/0/Drains/Drain");
    drains.unwrap().as_array().unwrap().clone()
}

#[test]
fn what_an_entry_does_not_cover_any_more_drains() {
    let world = World::new();
    let site = site(&world);
    let (a, address_a) = bound_eip(&world, &site.gateway);
    let (b, address_b) = bound_eip(&world, &site.gateway);
    let both = format!("{address_a},{address_b}");
    let id = snat(&world, &site, "192.168.0.0/16", &both);
    assert_eq!(drains(&world), []);
    assert_eq!(shown(&world, &id), [Value::Null; 0]);

    // Names, pooling, and more of everything let nothing go.
    modify(&world, &site, &id, &[("Pooling", "Paired")]);
    modify(&world, &site, &id, &[("SourceCIDR", "192.168.0.0/15")]);
    assert_eq!(drains(&world), []);
    // A smaller source lets all that it had go, a smaller pool what is gone from it.
    let at = modify(&world, &site, &id, &[("SourceVSwitchId", &site.vswitch)]);
    let told = drains(&world);
    assert_eq!(what(&told), [("192.168.0.0/15".into(), sorted(&a, &b))]);
    lasts(&told[0], at, 300);
    let one = &shown(&world, &id)[0];
    assert_eq!(one["SourceCIDR"], "192.168.0.0/15");
    assert_eq!(one["SnatIp"], both);
    assert!(text(one, "/EndTime").ends_with('Z'));
    let at = modify(&world, &site, &id, &[("SnatIp", &address_b)]);
    let told = drains(&world);
    let expected = [
        ("192.168.0.0/15".into(), sorted(&a, &b)),
        ("192.168.1.0/24".into(), vec![&*a]),
    ];
    assert_eq!(what(&told), expected);
    lasts(told.iter().max_by_key(|it| it.until).unwrap(), at, 300);
    // To and fro is remembered once.
    for _ in 0..3 {
        modify(&world, &site, &id, &[("SnatIp", &both)]);
        modify(&world, &site, &id, &[("SnatIp", &address_b)]);
    }
    assert_eq!(what(&drains(&world)), expected);

    // It is the state, so the next daemon is told so, too, and a file does not say it.
    let world = world.restart();
    assert_eq!(what(&drains(&world)), expected);
    assert!(
        world.control.cloud().file().nat_gateways[0].snat[0]
            .drains
            .is_empty()
    );

    // An EIP that is the gateway's no more takes its sessions with it; then the entry all of them.
    world
        .vpc("UnassociateEipAddress", &[("AllocationId", &a)])
        .unwrap();
    assert_eq!(
        what(&drains(&world)),
        [("192.168.0.0/15".into(), vec![&*b])]
    );
    assert_eq!(shown(&world, &id)[0]["SnatIp"], address_b);
    let params = [("SnatTableId", &*site.snat_table), ("SnatEntryId", &*id)];
    world.vpc("DeleteSnatEntry", &params).unwrap();
    assert!(world.control.cloud().snat.iter().next().is_none());
}

fn sorted<'a>(a: &'a str, b: &'a str) -> Vec<&'a str> {
    let mut both = vec![a, b];
    both.sort();
    both
}

#[test]
fn how_long_is_the_gateways_or_the_calls_to_say() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let id = snat(&world, &site, "192.168.0.0/16", &address);
    let on_gateway = |seconds: &str| {
        let params = [("NatGatewayId", &*site.gateway), ("DrainSeconds", seconds)];
        world.vpc("ModifyNatGatewayAttribute", &params)
    };
    let attribute = || {
        let params = [("NatGatewayId", &*site.gateway)];
        world.vpc("GetNatGatewayAttribute", &params).unwrap()["DrainSeconds"].clone()
    };
    assert_eq!(attribute(), 300);
    on_gateway("20").unwrap();
    assert_eq!(attribute(), 20);
    let at = modify(&world, &site, &id, &[("SourceCIDR", "192.168.1.0/24")]);
    lasts(&drains(&world)[0], at, 20);
    // The call's word counts for what it lets go; nothing goes on for longer than it says.
    let params = [("SourceCIDR", "192.168.2.0/24"), ("DrainSeconds", "5000")];
    let at = modify(&world, &site, &id, &params);
    let told = drains(&world);
    assert_eq!(told.len(), 2);
    lasts(&told[0], at, 5000);
    let at = modify(&world, &site, &id, &[("DrainSeconds", "10")]);
    for drain in drains(&world) {
        assert!(drain.until <= at.1 + 10, "{drain:?}");
    }
    modify(&world, &site, &id, &[("DrainSeconds", "0")]);
    assert_eq!(drains(&world), []);
    // At once, by the gateway.
    on_gateway("0").unwrap();
    modify(&world, &site, &id, &[("SourceCIDR", "192.168.3.0/24")]);
    assert_eq!(drains(&world), []);

    for wrong in ["-1", "604801", "soon"] {
        assert_eq!(refused(on_gateway(wrong)), "InvalidParameter", "{wrong}");
        let params = [
            ("SnatTableId", &*site.snat_table),
            ("SnatEntryId", &*id),
            ("DrainSeconds", wrong),
        ];
        let answer = world.vpc("ModifySnatEntry", &params);
        assert_eq!(refused(answer), "InvalidParameter", "{wrong}");
    }
}

#[test]
fn the_last_changes_are_remembered() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let id = snat(&world, &site, "192.168.0.0/32", &address);
    for n in 1..=20 {
        let (cidr, seconds) = (format!("192.168.{n}.0/32"), (300 + n).to_string());
        let params = [("SourceCIDR", &*cidr), ("DrainSeconds", &*seconds)];
        modify(&world, &site, &id, &params);
    }
    let told = drains(&world);
    assert_eq!(told.len(), model::limits::DRAINS);
    assert!(
        told.iter()
            .any(|it| it.source.to_string() == "192.168.19.0/32")
    );
    assert!(
        told.iter()
            .all(|it| it.source.to_string() != "192.168.0.0/32")
    );
}

/// A file that changes an entry is a change in place, too.
#[test]
fn files_let_drain_as_calls_do() {
    let file = |source: &str, eips: &str, more: &str| -> Config {
        let text = format!(
            r#"
[[uplink]]
id = "wan"
device = "eth1"
address = "203.0.113.2/24"
gateway = "203.0.113.1"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
[[vswitch]]
id = "vsw"
vpc = "vpc"
cidr = "10.0.1.0/24"
[[eip]]
id = "eip-1"
address = "203.0.113.10"
[[eip]]
id = "eip-2"
address = "203.0.113.11"
[[nat_gateway]]
id = "ngw"
vpc = "vpc"
eips = [{eips}]
{more}
[[nat_gateway.snat]]
id = "snat"
source = "{source}"
eips = [{eips}]
"#
        );
        model::file::parse(&text).unwrap()
    };
    let world = World::new();
    let both = "\"eip-1\", \"eip-2\"";
    let import = |at: u64, config: &Config| {
        world
            .control
            .change(at, |draft| draft.import(config))
            .unwrap();
        drains(&world)
    };
    assert_eq!(import(2000, &file("10.0.0.0/16", both, "")), []);
    assert_eq!(import(2010, &file("10.0.0.0/16", both, "")), []);
    let drained = |source: &str, eips: &[&str], until| Drain {
        source: source.parse().unwrap(),
        eips: eips.iter().map(|it| (*it).into()).collect(),
        until,
    };
    let first = drained("10.0.0.0/16", &["eip-1", "eip-2"], 2320);
    let narrow = file("10.0.1.0/24", both, "drain_seconds = 300");
    assert_eq!(import(2020, &narrow), *std::slice::from_ref(&first));
    // The same again lets nothing go, nor does it end what drains.
    assert_eq!(import(2030, &narrow), *std::slice::from_ref(&first));
    assert_eq!(
        world
            .control
            .cloud()
            .nat_gateways
            .get("ngw")
            .unwrap()
            .nat
            .drain,
        Duration::from_secs(300)
    );
    // The gateway loses an EIP.
    let one = file("10.0.2.0/24", "\"eip-2\"", "drain_seconds = 50");
    let told = import(2040, &one);
    let expected = [
        drained("10.0.0.0/16", &["eip-2"], 2320),
        drained("10.0.1.0/24", &["eip-2"], 2090),
    ];
    assert_eq!(told, expected);
    // What has drained is forgotten with the next change.
    assert_eq!(import(2100, &one), expected[..1]);
    assert_eq!(import(2320, &one), []);
}
