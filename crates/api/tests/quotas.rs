//! Quotas, through the API.

use crate::common::{World, refused};
use crate::nat::*;
use serde_json::Value;

fn quota(world: &World, name: &str) -> Value {
    let answer = world.vpc("DescribeQuotas", &[("Name", name)]).unwrap();
    assert_eq!(answer["Quotas"].as_array().map(Vec::len), Some(1), "{name}");
    answer["Quotas"][0].clone()
}

/// What is used of one, and by which.
fn used(world: &World, name: &str) -> (u64, String) {
    let quota = quota(world, name);
    let by = quota["UsedBy"].as_str().unwrap().to_owned();
    (quota["Used"].as_u64().unwrap(), by)
}

fn import(world: &World, text: &str) {
    let config = model::file::parse(text).unwrap();
    let done = world.control.change(0, |draft| draft.import(&config));
    done.unwrap();
}

#[test]
fn quotas_are_told_with_what_is_used_of_them() {
    let world = World::new();
    let all = world.vpc("DescribeQuotas", &[]).unwrap();
    let all = all["Quotas"].as_array().unwrap().clone();
    assert_eq!(all.len(), control::quota::Quota::ALL.len());
    for quota in &all {
        assert_eq!(quota["Limit"], quota["DefaultLimit"], "{quota}");
        assert!(
            quota["CloudLimit"].as_u64() <= quota["Limit"].as_u64(),
            "{quota}"
        );
        assert_eq!(
            (&quota["Used"], &quota["UsedBy"]),
            (&0.into(), &"".into()),
            "{quota}"
        );
    }

    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    bound_eip(&world, &site.gateway);
    snat(&world, &site, "192.168.1.0/24", &address);
    dnat(&world, &site, (&address, "80", "tcp", "192.168.1.9", "80"));
    dnat(&world, &site, (&address, "81", "tcp", "192.168.1.9", "81"));
    vswitch(&world, &site.vpc, "192.168.2.0/24");
    let vpc = || site.vpc.clone();
    let gateway = || site.gateway.clone();
    for (name, count, by) in [
        ("vpcs", 1, String::new()),
        ("vswitches-per-vpc", 2, vpc()),
        ("eips", 2, String::new()),
        ("nat-gateways-per-vpc", 1, vpc()),
        ("eips-per-nat-gateway", 2, gateway()),
        ("snat-entries-per-nat-gateway", 1, gateway()),
        ("dnat-entries-per-nat-gateway", 2, gateway()),
        ("bandwidth-packages", 0, String::new()),
    ] {
        assert_eq!(used(&world, name), (count, by), "{name}");
    }
}

#[test]
fn a_file_sets_them_and_takes_them_back() {
    let wan = "[[uplink]]\nid = \"wan\"\ndevice = \"eth1\"\naddress = \"203.0.113.2/24\"\n\
               gateway = \"203.0.113.1\"\npool = [\"203.0.113.16/28\"]\n";
    let world = World::new();
    import(
        &world,
        &format!("[quotas]\npreset = \"cloud\"\neips = 1\n{wan}"),
    );
    assert_eq!(quota(&world, "eips")["Limit"], 1);
    assert_eq!(quota(&world, "dnat-entries-per-nat-gateway")["Limit"], 100);
    eip(&world);
    assert_eq!(
        refused(world.vpc("AllocateEipAddress", &[])),
        "QuotaExceeded.Eip"
    );
    // They outlive the program, and go with the table.
    let world = world.restart();
    assert_eq!(
        refused(world.vpc("AllocateEipAddress", &[])),
        "QuotaExceeded.Eip"
    );
    import(&world, wan);
    assert_eq!(quota(&world, "eips")["Limit"], 10_000);
    eip(&world);
    assert_eq!(used(&world, "eips").0, 2);
}

#[test]
fn a_vpc_has_at_most_64_blocks() {
    let world = World::new();
    let vpc = crate::common::ecs::vpc(&world, "192.168.0.0/16");
    let add = |n: usize| {
        let block = format!("10.{n}.0.0/16");
        let params = [("VpcId", &*vpc), ("SecondaryCidrBlock", &*block)];
        world.vpc("AssociateVpcCidrBlock", &params)
    };
    (1..64).for_each(|n| drop(add(n).unwrap()));
    assert_eq!(refused(add(64)), "QuotaExceeded.SecondaryCidrBlock");
}

fn gateway(world: &World, vpc: &str, more: &[(&str, &str)]) -> Result<Value, api::ApiError> {
    world.vpc("CreateNatGateway", &[&[("VpcId", vpc)], more].concat())
}

#[test]
fn quotas_hold() {
    let world = World::new();
    set_quotas(
        &world,
        &[
            ("nat-gateways-per-vpc", 1),
            ("vpcs", 2),
            ("vswitches-per-vpc", 1),
        ],
    );
    let site = site(&world);
    let more = gateway(&world, &site.vpc, &[("VSwitchId", &site.vswitch)]);
    assert_eq!(refused(more), "QuotaExceeded.NatGateway");
    let params = [
        ("VpcId", &*site.vpc),
        ("CidrBlock", "192.168.2.0/24"),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    assert_eq!(
        refused(world.vpc("CreateVSwitch", &params)),
        "QuotaExceeded.VSwitch"
    );
    network(&world);
    let params = [("CidrBlock", "10.0.0.0/16")];
    assert_eq!(
        refused(world.vpc("CreateVpc", &params)),
        "QuotaExceeded.Vpc"
    );
    let cloud = control::quota::Quota::of_the_cloud();
    let cloud: Vec<(&str, u32)> = cloud.iter().map(|(name, most)| (&**name, *most)).collect();
    set_quotas(&world, &cloud);
    for _ in 1..5 {
        gateway(&world, &site.vpc, &[("VSwitchId", &site.vswitch)]).unwrap();
    }
    let more = gateway(&world, &site.vpc, &[("VSwitchId", &site.vswitch)]);
    assert_eq!(refused(more), "QuotaExceeded.NatGateway");
}
