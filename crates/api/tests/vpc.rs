//! VPCs, vSwitches and routes, through the API.

use crate::common::{World, refused, text};
use crate::nat::{network, set_regions};

fn world_with_vpc() -> (World, String) {
    let world = World::new();
    let params = [
        ("CidrBlock", "192.168.0.0/16"),
        ("VpcName", "shop"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    let vpc = text(&world.vpc("CreateVpc", &params).unwrap(), "/VpcId");
    (world, vpc)
}

fn vswitch(world: &World, vpc: &str, cidr: &str) -> String {
    let params = [
        ("VpcId", vpc),
        ("CidrBlock", cidr),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    text(&world.vpc("CreateVSwitch", &params).unwrap(), "/VSwitchId")
}

#[test]
fn a_vpc_is_made_shown_changed_and_deleted() {
    let (world, vpc) = world_with_vpc();
    let shown = world.vpc("DescribeVpcs", &[("VpcId", &vpc)]).unwrap();
    assert_eq!(shown["TotalCount"], 1);
    let one = &shown["Vpcs"]["Vpc"][0];
    assert_eq!(one["CidrBlock"], "192.168.0.0/16");
    assert_eq!(one["Status"], "Available");
    assert_eq!(one["Tags"]["Tag"][0]["Key"], "env");
    assert_eq!(
        one["RouterTableIds"]["RouterTableIds"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    world
        .vpc(
            "ModifyVpcAttribute",
            &[("VpcId", &vpc), ("VpcName", "store"), ("Description", "d")],
        )
        .unwrap();
    let shown = world
        .vpc("DescribeVpcAttribute", &[("VpcId", &vpc)])
        .unwrap();
    assert_eq!(
        (&shown["VpcName"], &shown["Description"]),
        (&"store".into(), &"d".into())
    );

    world.vpc("DeleteVpc", &[("VpcId", &vpc)]).unwrap();
    assert_eq!(world.vpc("DescribeVpcs", &[]).unwrap()["TotalCount"], 0);
    assert_eq!(
        refused(world.vpc("DeleteVpc", &[("VpcId", &vpc)])),
        "InvalidVpcId.NotFound"
    );
    assert!(world.control.cloud().route_tables.is_empty());
}

#[test]
fn blocks_that_a_vpc_may_not_have() {
    let world = World::new();
    for block in [
        "100.64.0.0/16",
        "127.0.0.0/16",
        "224.0.0.0/8",
        "192.168.0.0/29",
    ] {
        let refusal = refused(world.vpc("CreateVpc", &[("CidrBlock", block)]));
        assert_eq!(refusal, "InvalidCidrBlock.Malformed", "{block}");
    }
    for block in ["192.168.0.1/16", "192.168.0.0", "x"] {
        let refusal = refused(world.vpc("CreateVpc", &[("CidrBlock", block)]));
        assert_eq!(refusal, "InvalidParameter", "{block}");
    }
}

#[test]
fn vswitches_lie_in_their_vpc_and_do_not_overlap() {
    let (world, vpc) = world_with_vpc();
    let first = vswitch(&world, &vpc, "192.168.1.0/24");
    let shown = world
        .vpc("DescribeVSwitchAttributes", &[("VSwitchId", &first)])
        .unwrap();
    assert_eq!(shown["AvailableIpAddressCount"], 252);
    assert_eq!(shown["RouteTable"]["RouteTableType"], "System");
    let create = |cidr, zone| {
        refused(world.vpc(
            "CreateVSwitch",
            &[("VpcId", &vpc), ("CidrBlock", cidr), ("ZoneId", zone)],
        ))
    };
    assert_eq!(
        create("192.168.1.128/25", "cn-hangzhou-h"),
        "InvalidCidrBlock.Overlapped"
    );
    assert_eq!(
        create("10.0.0.0/24", "cn-hangzhou-h"),
        "InvalidCidrBlock.NotInVpc"
    );
    assert_eq!(
        create("192.168.2.0/30", "cn-hangzhou-h"),
        "InvalidCidrBlock.Malformed"
    );
    assert_eq!(create("192.168.2.0/24", "mars-a"), "InvalidZoneId.NotFound");
    assert_eq!(
        refused(world.vpc("DeleteVpc", &[("VpcId", &vpc)])),
        "DependencyViolation.VSwitch"
    );
    world
        .vpc("DeleteVSwitch", &[("VSwitchId", &first)])
        .unwrap();
    world.vpc("DeleteVpc", &[("VpcId", &vpc)]).unwrap();
}

#[test]
fn client_tokens_repeat_the_answer() {
    let world = World::new();
    let create = |cidr| world.vpc("CreateVpc", &[("CidrBlock", cidr), ("ClientToken", "t-1")]);
    let first = create("192.168.0.0/16").unwrap();
    assert_eq!(create("192.168.0.0/16").unwrap(), first);
    assert_eq!(
        refused(create("10.0.0.0/16")),
        "IdempotentParameterMismatch"
    );
    let world = world.restart();
    let again = world.vpc(
        "CreateVpc",
        &[("CidrBlock", "192.168.0.0/16"), ("ClientToken", "t-1")],
    );
    assert_eq!(again.unwrap(), first);
    assert_eq!(world.control.cloud().vpcs.len(), 1);
}

#[test]
fn a_dry_run_changes_nothing() {
    let world = World::new();
    let params = [("CidrBlock", "192.168.0.0/16"), ("DryRun", "true")];
    assert_eq!(refused(world.vpc("CreateVpc", &params)), "DryRunOperation");
    let params = [("CidrBlock", "127.0.0.0/16"), ("DryRun", "true")];
    assert_eq!(
        refused(world.vpc("CreateVpc", &params)),
        "InvalidCidrBlock.Malformed"
    );
    assert!(world.control.cloud().vpcs.is_empty());
}

#[test]
fn routes_in_custom_tables() {
    let (world, vpc) = world_with_vpc();
    let vsw = vswitch(&world, &vpc, "192.168.1.0/24");
    let table = text(
        &world.vpc("CreateRouteTable", &[("VpcId", &vpc)]).unwrap(),
        "/RouteTableId",
    );
    world
        .vpc(
            "AssociateRouteTable",
            &[("RouteTableId", &table), ("VSwitchId", &vsw)],
        )
        .unwrap();
    let create = |destination, kind| {
        let params = [
            ("RouteTableId", &*table),
            ("DestinationCidrBlock", destination),
            ("NextHopType", kind),
            ("NextHopId", "x"),
        ];
        world.vpc("CreateRouteEntry", &params)
    };
    let entry = text(
        &create("10.9.0.0/16", "BlackHole").unwrap(),
        "/RouteEntryId",
    );
    assert_eq!(
        refused(create("10.9.0.0/16", "BlackHole")),
        "RouterEntryConflict.Duplicated"
    );
    assert_eq!(
        refused(create("192.168.1.0/25", "BlackHole")),
        "InvalidDestinationCidrBlock.ConflictsWithVSwitch"
    );
    assert_eq!(
        refused(create("10.8.0.0/16", "NatGateway")),
        "InvalidNatGatewayId.NotFound"
    );
    assert_eq!(
        refused(create("10.8.0.0/16", "Moon")),
        "InvalidNextHopType.NotSupported"
    );

    let list = world
        .vpc("DescribeRouteEntryList", &[("RouteTableId", &table)])
        .unwrap();
    assert_eq!(list["TotalCount"], 2);
    let custom = world.vpc(
        "DescribeRouteEntryList",
        &[("RouteTableId", &table), ("RouteEntryType", "Custom")],
    );
    assert_eq!(
        text(&custom.unwrap(), "/RouteEntrys/RouteEntry/0/RouteEntryId"),
        entry
    );

    let delete = [("RouteTableId", &*table)];
    assert_eq!(
        refused(world.vpc("DeleteRouteTable", &delete)),
        "DependencyViolation.VSwitch"
    );
    world
        .vpc(
            "UnassociateRouteTable",
            &[("RouteTableId", &table), ("VSwitchId", &vsw)],
        )
        .unwrap();
    world.vpc("DeleteRouteTable", &delete).unwrap();
    assert!(world.control.cloud().routes.is_empty());
}

#[test]
fn everything_survives_a_restart() {
    let (world, vpc) = world_with_vpc();
    vswitch(&world, &vpc, "192.168.1.0/24");
    let before = world.control.cloud();
    let world = world.restart();
    assert_eq!(*world.control.cloud(), *before);
}

#[test]
fn a_region_has_its_own_networks() {
    let world = World::new();
    set_regions(&world, &["cn-hangzhou", "cn-beijing"]);
    let (vpc, vswitch) = network(&world);
    let there = |action: &str, params: &[(&str, &str)]| {
        let region = [("RegionId", "cn-beijing")];
        world.call("2016-04-28", action, &[&region, params].concat())
    };
    let of = [("VpcId", &*vpc)];
    let more = [("ZoneId", "cn-beijing-h"), ("CidrBlock", "192.168.2.0/24")];
    for (action, params, code) in [
        (
            "CreateVSwitch",
            [&of[..], &more].concat(),
            "InvalidVpcId.NotFound",
        ),
        ("CreateRouteTable", of.to_vec(), "InvalidVpcId.NotFound"),
        ("DeleteVpc", of.to_vec(), "InvalidVpcId.NotFound"),
        (
            "DeleteVSwitch",
            vec![("VSwitchId", &*vswitch)],
            "InvalidVSwitchId.NotFound",
        ),
        (
            "CreateNatGateway",
            vec![("VpcId", &*vpc), ("VSwitchId", &vswitch)],
            "InvalidVpcId.NotFound",
        ),
    ] {
        assert_eq!(refused(there(action, &params)), code, "{action}");
    }
    let shown = there("DescribeVpcs", &of).unwrap();
    assert_eq!(shown["TotalCount"], 0);
    // In its own they are there, also if a call leaves the region out.
    let params = [("VSwitchId", &*vswitch)];
    world.call("2016-04-28", "DeleteVSwitch", &params).unwrap();
    world.vpc("DeleteVpc", &of).unwrap();
}
