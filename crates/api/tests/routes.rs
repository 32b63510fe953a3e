//! Route tables and entries: several at once, what they are called, what their VPC's router says of them.

use crate::common::{World, refused, text};
use serde_json::Value;

/// A VPC with a system and a custom route table and an instance.
fn world() -> (World, String, String, String) {
    let world = World::new();
    let vpc = world.vpc("CreateVpc", &[("CidrBlock", "192.168.0.0/16")]);
    let vpc = text(&vpc.unwrap(), "/VpcId");
    let vswitch = [
        ("VpcId", &*vpc),
        ("CidrBlock", "192.168.1.0/24"),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    let vswitch = text(&world.vpc("CreateVSwitch", &vswitch).unwrap(), "/VSwitchId");
    let group = world.ecs("CreateSecurityGroup", &[("VpcId", &vpc)]);
    let group = text(&group.unwrap(), "/SecurityGroupId");
    let run = [
        ("ImageId", "image-1"),
        ("InstanceType", "ecs.g6.large"),
        ("VSwitchId", &*vswitch),
        ("SecurityGroupId", &*group),
    ];
    let instance = world.ecs("RunInstances", &run).unwrap();
    let instance = text(&instance, "/InstanceIdSets/InstanceIdSet/0");
    let table = world.vpc("CreateRouteTable", &[("VpcId", &vpc)]);
    let table = text(&table.unwrap(), "/RouteTableId");
    (world, vpc, instance, table)
}

fn entries(world: &World, table: &str) -> Vec<Value> {
    let params = [("RouteTableId", table), ("RouteEntryType", "Custom")];
    let list = world.vpc("DescribeRouteEntryList", &params).unwrap();
    list["RouteEntrys"]["RouteEntry"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn several_entries_are_made_and_deleted_at_once() {
    let (world, vpc, instance, table) = world();
    let made = [
        ("RouteEntries.1.RouteTableId", &*table),
        ("RouteEntries.1.DstCidrBlock", "10.1.0.0/16"),
        ("RouteEntries.1.NextHop", &*instance),
        ("RouteEntries.1.NextHopType", "Instance"),
        ("RouteEntries.1.Name", "first"),
        ("RouteEntries.2.RouteTableId", &*table),
        ("RouteEntries.2.DstCidrBlock", "10.2.0.0/16"),
        ("RouteEntries.2.NextHop", &*instance),
        ("RouteEntries.2.NextHopType", "Instance"),
    ];
    let answer = world.vpc("CreateRouteEntries", &made).unwrap();
    assert_eq!(answer["SuccessCount"], 2, "{answer}");
    assert_eq!(answer["FailedCount"], 0);
    assert_eq!(answer["RouteEntryIds"].as_array().unwrap().len(), 2);
    let all = entries(&world, &table);
    assert_eq!(all.len(), 2);
    assert!(all.iter().any(|it| it["RouteEntryName"] == "first"));
    let params = [
        ("VpcId", &*vpc),
        ("RouteTableId", &*table),
        ("RouteEntryType", "Custom"),
    ];
    let summary = world.vpc("GetVpcRouteEntrySummary", &params).unwrap();
    let counts = &summary["RouteEntrySummarys"][0]["EntrySummarys"];
    assert_eq!(counts[0]["Count"], 2, "{summary}");

    let gone = [
        ("RouteEntries.1.RouteTableId", &*table),
        ("RouteEntries.1.DstCidrBlock", "10.1.0.0/16"),
        ("RouteEntries.1.NextHop", &*instance),
        ("RouteEntries.2.RouteTableId", &*table),
        ("RouteEntries.2.DstCidrBlock", "10.2.0.0/16"),
        ("RouteEntries.2.NextHop", &*instance),
    ];
    let answer = world.vpc("DeleteRouteEntries", &gone).unwrap();
    assert_eq!(answer["SuccessCount"], 2, "{answer}");
    assert!(entries(&world, &table).is_empty());
}

#[test]
fn tables_and_the_router_are_renamed_and_shown() {
    let (world, vpc, instance, table) = world();
    let name = [
        ("RouteTableId", &*table),
        ("RouteTableName", "beyond"),
        ("Description", "What lies beyond"),
    ];
    world.vpc("ModifyRouteTableAttributes", &name).unwrap();
    let route = [
        ("RouteTableId", &*table),
        ("DestinationCidrBlock", "10.1.0.0/16"),
        ("NextHopId", &*instance),
        ("NextHopType", "Instance"),
    ];
    world.vpc("CreateRouteEntry", &route).unwrap();
    let shown = world.vpc("DescribeRouteTables", &[("RouteTableId", &table)]);
    let shown = shown.unwrap();
    let shown = &shown["RouteTables"]["RouteTable"];
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown[0]["RouteTableType"], "Custom");
    let entries = shown[0]["RouteEntrys"]["RouteEntry"].as_array().unwrap();
    let custom = entries
        .iter()
        .find(|it| it["DestinationCidrBlock"] == "10.1.0.0/16");
    assert_eq!(custom.unwrap()["InstanceId"], *instance);
    let list = world.vpc("DescribeRouteTableList", &[("RouteTableId", &table)]);
    let list = list.unwrap();
    let item = &list["RouterTableList"]["RouterTableListType"][0];
    assert_eq!(item["RouteTableName"], "beyond");
    assert_eq!(item["Description"], "What lies beyond");

    let attribute = world
        .vpc("DescribeVpcAttribute", &[("VpcId", &vpc)])
        .unwrap();
    let router = text(&attribute, "/VRouterId");
    let name = [("VRouterId", &*router), ("VRouterName", "hub")];
    world.vpc("ModifyVRouterAttribute", &name).unwrap();
    let routers = world
        .vpc("DescribeVRouters", &[("VRouterId", &router)])
        .unwrap();
    let shown = &routers["VRouters"]["VRouter"][0];
    assert_eq!(shown["VRouterName"], "hub");
    assert_eq!(shown["VpcId"], *vpc);
    let tables = shown["RouteTableIds"]["RouteTableId"].as_array().unwrap();
    assert_eq!(tables.len(), 2, "{shown}");
    assert!(tables.iter().any(|it| *it == *table));
    let bad = [("VRouterId", &*router), ("VRouterName", "http://hub")];
    assert_eq!(
        refused(world.vpc("ModifyVRouterAttribute", &bad)),
        "InvalidParameter"
    );
}
