//! What ECS offers, and tags of its resources, through the API.

use crate::common::ecs::{Net, eni};
use crate::common::{World, refused, text};
use serde_json::{Value, json};

#[test]
fn regions_and_zones() {
    let world = World::new();
    let answer = world.ecs("DescribeRegions", &[]).unwrap();
    assert_eq!(answer["Regions"]["Region"][0]["RegionId"], "cn-hangzhou");
    let answer = world.ecs("DescribeZones", &[]).unwrap();
    let zones = answer["Zones"]["Zone"].as_array().unwrap();
    assert_eq!(zones.len(), 3);
    assert_eq!(zones[0]["ZoneId"], "cn-hangzhou-h");
    assert_eq!(
        zones[0]["AvailableResourceCreation"]["ResourceTypes"],
        json!(["VSwitch", "Instance"])
    );
    let elsewhere = world.call("2014-05-26", "DescribeZones", &[("RegionId", "mars")]);
    assert_eq!(refused(elsewhere), "InvalidRegionId.NotFound");
}

#[test]
fn types_and_images_say_what_an_instance_is() {
    let net = Net::new();
    let types = |params: &[(&str, &str)]| {
        let answer = net.world.ecs("DescribeInstanceTypes", params).unwrap();
        let types = answer["InstanceTypes"]["InstanceType"]
            .as_array()
            .unwrap()
            .clone();
        types
            .iter()
            .map(|it| text(it, "/InstanceTypeId"))
            .collect::<Vec<_>>()
    };
    assert_eq!(types(&[]), ["sluice.device", "sluice.netns"]);
    assert_eq!(
        types(&[("InstanceTypes.1", "sluice.netns")]),
        ["sluice.netns"]
    );
    assert!(types(&[("InstanceTypeFamily", "ecs.g6")]).is_empty());
    let images = |params: &[(&str, &str)]| net.world.ecs("DescribeImages", params).unwrap();
    let all = images(&[]);
    let image = text(&all, "/Images/Image/0/ImageId");
    assert_eq!(
        (&all["TotalCount"], &all["RegionId"]),
        (&1.into(), &"cn-hangzhou".into())
    );
    assert_eq!(images(&[("ImageId", "x")])["TotalCount"], 0);
    assert_eq!(images(&[("OSType", "windows")])["TotalCount"], 0);
    assert_eq!(
        images(&[("ImageId", &*image), ("OSType", "linux")])["TotalCount"],
        1
    );
    net.run(&[("ImageId", &image), ("InstanceType", "sluice.netns")]);
}

#[test]
fn resources_are_tagged_and_moved() {
    let net = Net::new();
    let instance = net.run(&[]);
    let eni = eni(&net, &[]);
    let resources = [
        ("instance", &*instance),
        ("ENI", &*eni),
        ("securitygroup", &*net.group),
    ];
    for (kind, id) in resources {
        let of = [("ResourceType", kind), ("ResourceId.1", id)];
        let tags = [
            of[0],
            of[1],
            ("Tag.1.Key", "env"),
            ("Tag.1.Value", "test"),
            ("Tag.2.Key", "team"),
        ];
        net.world.ecs("TagResources", &tags).unwrap();
        let answer = net.world.ecs("ListTagResources", &of).unwrap();
        let list = answer["TagResources"]["TagResource"]
            .as_array()
            .unwrap()
            .clone();
        let keys: Vec<String> = list.iter().map(|it| text(it, "/TagKey")).collect();
        assert_eq!(keys, ["env", "team"], "{kind}");
        let untag = [of[0], of[1], ("TagKey.1", "team")];
        net.world.ecs("UntagResources", &untag).unwrap();
        let group = [of[0], ("ResourceId", id), ("ResourceGroupId", "rg-9")];
        net.world.ecs("JoinResourceGroup", &group).unwrap();
    }
    let filter = [
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
        ("ResourceGroupId", "rg-9"),
    ];
    for action in [
        "DescribeInstances",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
    ] {
        assert_eq!(
            net.world.ecs(action, &filter).unwrap()["TotalCount"],
            1,
            "{action}"
        );
    }
    let tag = |kind: &str, id: &str| {
        let params = [
            ("ResourceType", kind),
            ("ResourceId.1", id),
            ("Tag.1.Key", "k"),
        ];
        refused(net.world.ecs("TagResources", &params))
    };
    assert_eq!(tag("instance", "i-x"), "InvalidResourceId.NotFound");
    assert_eq!(tag("disk", &instance), "InvalidParameter");
}

/// Every operation of the product that is kept in the tables is answered, but those that make no sense here.
#[test]
fn all_operations_are_there() {
    let world = World::new();
    let product = api::spec::products()
        .iter()
        .find(|it| it.product == "Ecs")
        .unwrap();
    let missing: Vec<&String> = product
        .operations
        .keys()
        .filter(|action| {
            let answer: Result<Value, _> = world.ecs(action, &[]);
            answer.is_err_and(|error| error.code == "InvalidAction.NotFound")
        })
        .collect();
    // An instance has no public address but an EIP.
    assert_eq!(missing, ["AllocatePublicIpAddress"]);
}
