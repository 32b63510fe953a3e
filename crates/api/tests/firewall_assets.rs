//! What the Internet border protects, and from when.

use crate::common::firewall::site;
use crate::common::{World, refused, text};
use serde_json::{Value, json};

fn assets(world: &World, more: &[(&str, &str)]) -> Vec<Value> {
    let params = [("CurrentPage", "1"), ("PageSize", "50")];
    let told = world.cfw("DescribeAssetList", &[&params, more].concat());
    let told = told.unwrap();
    let list = told["Assets"].as_array().unwrap();
    assert_eq!(told["TotalCount"], list.len());
    list.clone()
}

#[test]
fn new_eips_are_protected_if_that_is_wanted() {
    let world = World::new();
    let allocate = || {
        let made = world.vpc("AllocateEipAddress", &[]).unwrap();
        text(&made, "/EipAddress")
    };
    let set = |on| world.cfw("SetAutoProtectNewAssets", &[("AutoProtect", on)]);
    let automatic =
        || world.cfw("DescribeAssetStatistic", &[]).unwrap()["AutoResourceEnable"].clone();
    assert_eq!(
        refused(world.cfw("SetAutoProtectNewAssets", &[])),
        "MissingParameter"
    );
    assert_eq!(automatic(), false);
    let first = allocate();
    set("true").unwrap();
    assert_eq!(automatic(), true);
    let second = allocate();
    // It is about new ones only, and outlives a restart.
    let world = world.restart();
    let status = |world: &World, address: &str| {
        let found = assets(world, &[("SearchItem", address)]);
        assert_eq!(found.len(), 1);
        text(&found[0], "/ProtectStatus")
    };
    assert_eq!(status(&world, &first), "closed");
    assert_eq!(status(&world, &second), "open");
    let told = world.cfw("DescribeAssetStatistic", &[]).unwrap();
    assert_eq!(told["AutoResourceEnable"], true);
    let ended = [("Expires", "2020-01-01T00:00:00Z")];
    world.cfw("ModifyFirewallLicense", &ended).unwrap();
    let made = world.vpc("AllocateEipAddress", &[]).unwrap();
    assert_eq!(status(&world, &text(&made, "/EipAddress")), "closed");
    let on = [("AutoProtect", "true")];
    assert_eq!(
        refused(world.cfw("SetAutoProtectNewAssets", &on)),
        "not buy user"
    );
    let off = [("AutoProtect", "false")];
    world.cfw("SetAutoProtectNewAssets", &off).unwrap();
    let told = world.cfw("DescribeAssetStatistic", &[]).unwrap();
    assert_eq!(told["AutoResourceEnable"], false);
}

#[test]
fn assets_are_found_by_their_age() {
    let world = World::new();
    world.vpc("AllocateEipAddress", &[]).unwrap();
    let new = ("NewResourceTag", "discovered in 7 days");
    let found = assets(&world, &[new]);
    assert_eq!(found[0]["NewResourceTag"], "discovered in 1 hour");
    let time = text(&found[0], "/CreateTimeStamp");
    assert_eq!((time.len(), &time[10..11]), (19, " "), "{time}");
    let params = [
        ("CurrentPage", "1"),
        ("PageSize", "50"),
        ("NewResourceTag", "old"),
    ];
    assert_eq!(
        refused(world.cfw("DescribeAssetList", &params)),
        "InvalidParameter"
    );
}

#[test]
fn a_dry_run_is_answered_as_the_operation_has_it() {
    let site = site(1);
    let switch = |dry| {
        let params = [("IpaddrList.1", &*site.eips[0].1), ("DryRun", dry)];
        site.world.cfw("PutEnableFwSwitch", &params).unwrap()
    };
    let status = || text(&assets(&site.world, &[])[0], "/ProtectStatus");
    assert_eq!(switch("true")["DryRun"], true);
    assert_eq!(status(), "closed");
    assert_eq!(switch("false")["DryRun"], false);
    assert_eq!(status(), "open");
}

#[test]
fn nat_firewalls_are_open_to_those_who_bought_some() {
    let world = World::new();
    let status = || world.cfw("DescribePostpayUserNatStatus", &[]).unwrap()["Status"].clone();
    let open = |operate| world.cfw("UpdatePostpayUserNatStatus", &[("Operate", operate)]);
    assert_eq!(status(), "open");
    open("open").unwrap();
    assert_eq!(refused(open("close")), "InvalidParameter");
    let none = [("Firewalls", "0")];
    world.cfw("ModifyFirewallLicense", &none).unwrap();
    assert_eq!(status(), "closed");
    assert_eq!(refused(open("open")), "not buy user");
    let told = world.cfw("DescribeNatFirewallQuota", &[]).unwrap();
    assert_eq!(told["TotalCount"], json!(0));
}
