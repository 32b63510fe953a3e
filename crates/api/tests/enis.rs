//! Network interfaces, through the API.

use crate::common::ecs::{Net, eni, group, vpc, vswitch};
use crate::common::{refused, text};
use model::Driver;
use serde_json::{Value, json};

/// A call about an interface.
fn of(net: &Net, action: &str, eni: &str, more: &[(&str, &str)]) -> Result<Value, api::ApiError> {
    let mut params = vec![("NetworkInterfaceId", eni)];
    params.extend(more);
    net.world.ecs(action, &params)
}

fn shown(net: &Net, eni: &str) -> Value {
    of(net, "DescribeNetworkInterfaceAttribute", eni, &[]).unwrap()
}

fn listed(net: &Net, params: &[(&str, &str)]) -> Vec<String> {
    let answer = net.world.ecs("DescribeNetworkInterfaces", params).unwrap();
    let list = answer["NetworkInterfaceSets"]["NetworkInterfaceSet"]
        .as_array()
        .unwrap()
        .clone();
    list.iter()
        .map(|it| text(it, "/NetworkInterfaceId"))
        .collect()
}

fn hosts(net: &Net, id: &str) -> Vec<String> {
    net.eni(id)
        .unwrap()
        .hosts
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn mac(id: &str) -> String {
    let mac = model::mac::mac("sluice", id, model::mac::End::Far);
    mac.map(|it| format!("{it:02x}")).join(":")
}

#[test]
fn an_interface_lives_and_dies() {
    let net = Net::new();
    let params = [
        ("VSwitchId", &*net.vswitch),
        ("SecurityGroupIds.1", &*net.group),
        ("PrimaryIpAddress", "192.168.1.20"),
        ("PrivateIpAddress.1", "192.168.1.21"),
        ("PrivateIpAddress.2", "192.168.1.22"),
        ("NetworkInterfaceName", "leg"),
        ("Description", "d"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    let made = net.world.ecs("CreateNetworkInterface", &params).unwrap();
    let id = text(&made, "/NetworkInterfaceId");
    let one = shown(&net, &id);
    let expected = json!({
        "NetworkInterfaceName": "leg", "Description": "d", "Status": "Available", "Type": "Secondary",
        "PrivateIpAddress": "192.168.1.20", "VSwitchId": net.vswitch, "VpcId": net.vpc, "ZoneId": "cn-hangzhou-h",
        "SecurityGroupIds": {"SecurityGroupId": [net.group]}, "MacAddress": mac(&id),
        "Tags": {"Tag": [{"TagKey": "env", "TagValue": "test"}]}, "Driver": "netns", "Device": "",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!((&one[field], &made[field]), (value, value), "{field}");
    }
    let sets = |answer: &Value| {
        let sets = answer["PrivateIpSets"]["PrivateIpSet"]
            .as_array()
            .unwrap()
            .clone();
        sets.iter()
            .map(|it| (text(it, "/PrivateIpAddress"), it["Primary"] == true))
            .collect::<Vec<_>>()
    };
    let addresses = [
        ("192.168.1.20", true),
        ("192.168.1.21", false),
        ("192.168.1.22", false),
    ];
    let addresses = addresses.map(|(address, primary)| (address.to_owned(), primary));
    assert_eq!(
        (sets(&one), sets(&made)),
        (addresses.to_vec(), addresses.to_vec())
    );
    assert_eq!(one["DeleteOnRelease"], true);
    // What belongs to no instance is nothing to the engine.
    assert_eq!(net.eni(&id), None);

    let instance = net.run(&[]);
    of(
        &net,
        "AttachNetworkInterface",
        &id,
        &[("InstanceId", &instance)],
    )
    .unwrap();
    let told = net.eni(&id).unwrap();
    assert_eq!(
        (told.instance, told.address.to_string()),
        (instance.clone(), "192.168.1.20".into())
    );
    assert_eq!(hosts(&net, &id), ["192.168.1.21/32", "192.168.1.22/32"]);
    assert_eq!(told.security_groups, [&*net.group]);
    let one = shown(&net, &id);
    assert_eq!(
        (&one["Status"], &one["InstanceId"]),
        (&"InUse".into(), &(&*instance).into())
    );
    assert_eq!(
        (
            &one["Attachment"]["InstanceId"],
            &one["Attachment"]["DeviceIndex"]
        ),
        (&(&*instance).into(), &1.into())
    );
    // The address that is shown is the one that is set, attached or not.
    assert_eq!(one["MacAddress"], mac(&id));
    let primary = shown(&net, &net.primary(&instance));
    assert_eq!(
        (&primary["Type"], &primary["MacAddress"]),
        (&"Primary".into(), &mac(&instance).into())
    );
    let list = net.world.ecs("DescribeInstances", &[]).unwrap();
    let nics = &list["Instances"]["Instance"][0]["NetworkInterfaces"]["NetworkInterface"];
    let types = [
        &nics[0]["Type"],
        &nics[1]["Type"],
        &nics[1]["NetworkInterfaceId"],
        &nics[1]["MacAddress"],
    ];
    assert_eq!(types, ["Primary", "Secondary", &id, &mac(&id)]);

    let net = net.restart();
    let attached = [("InstanceId", &*instance)];
    assert_eq!(
        refused(of(&net, "AttachNetworkInterface", &id, &attached)),
        "InvalidOperation.InvalidEniState"
    );
    assert_eq!(
        refused(of(&net, "DeleteNetworkInterface", &id, &[])),
        "InvalidOperation.InvalidEniState"
    );
    // A stopped instance has no network at all.
    net.world.ecs("StopInstance", &attached).unwrap();
    assert!(net.world.control.config().enis.is_empty());
    net.world.ecs("StartInstance", &attached).unwrap();
    assert_eq!(net.world.control.config().enis.len(), 2);
    of(&net, "DetachNetworkInterface", &id, &attached).unwrap();
    assert_eq!(net.eni(&id), None);
    assert_eq!(
        refused(of(&net, "DetachNetworkInterface", &id, &attached)),
        "InvalidOperation.InvalidEniState"
    );
    of(&net, "DeleteNetworkInterface", &id, &[]).unwrap();
    assert_eq!(
        refused(of(&net, "DeleteNetworkInterface", &id, &[])),
        "InvalidEniId.NotFound"
    );
    assert_eq!(listed(&net, &[]), [net.primary(&instance)]);
}

#[test]
fn what_an_interface_cannot_be() {
    let net = Net::new();
    eni(&net, &[("PrimaryIpAddress", "192.168.1.20")]);
    let other = vpc(&net.world, "10.0.0.0/8");
    let foreign = group(&net.world, &other, "foreign");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("VSwitchId", "")], "MissingParameter"),
        (&[("VSwitchId", "vsw-x")], "InvalidVSwitchId.NotFound"),
        (&[("SecurityGroupId", "")], "MissingParameter"),
        (
            &[("SecurityGroupId", "sg-x")],
            "InvalidSecurityGroupId.NotFound",
        ),
        (
            &[("SecurityGroupId", &foreign)],
            "InvalidOperation.VpcMismatch",
        ),
        (&[("SecurityGroupIds.1", &net.group)], "InvalidParameter"),
        (
            &[("PrimaryIpAddress", "192.168.1.20")],
            "InvalidIp.IpAssigned",
        ),
        (
            &[("PrimaryIpAddress", "192.168.2.20")],
            "InvalidVSwitchId.IpInvalid",
        ),
        (
            &[("PrimaryIpAddress", "192.168.1.0")],
            "InvalidVSwitchId.IpInvalid",
        ),
        (
            &[("PrivateIpAddress.1", "192.168.1.20")],
            "InvalidIp.IpAssigned",
        ),
        (&[("PrivateIpAddress.1", "x")], "InvalidParameter"),
        (
            &[
                ("PrimaryIpAddress", "192.168.1.30"),
                ("PrivateIpAddress.1", "192.168.1.30"),
            ],
            "InvalidIp.IpAssigned",
        ),
        (
            &[("SecondaryPrivateIpAddressCount", "50")],
            "InvalidOperation.Ipv4CountExceeded",
        ),
        (
            &[("SecondaryPrivateIpAddressCount", "-1")],
            "InvalidParameter",
        ),
        (
            &[
                ("SecondaryPrivateIpAddressCount", "1"),
                ("PrivateIpAddress.1", "192.168.1.30"),
            ],
            "InvalidParameter",
        ),
        (&[("Ipv6AddressCount", "1")], "InvalidParameter"),
        (&[("Ipv4PrefixCount", "1")], "InvalidParameter"),
        (&[("InstanceType", "Trunk")], "InvalidParameter"),
        (
            &[("NetworkInterfaceName", "1")],
            "InvalidParameter.NetworkInterfaceName",
        ),
        (&[("Device", "eth1")], "InvalidDevice.InUse"),
    ];
    let before = net.world.control.cloud();
    for (more, code) in cases {
        let mut params = vec![
            ("VSwitchId", &*net.vswitch),
            ("SecurityGroupId", &*net.group),
        ];
        params.extend(*more);
        assert_eq!(
            refused(net.world.ecs("CreateNetworkInterface", &params)),
            *code,
            "{more:?}"
        );
    }
    assert_eq!(*net.world.control.cloud(), *before);
}

#[test]
fn where_an_interface_can_be_attached() {
    let net = Net::new();
    let instance = net.run(&[]);
    let attach = |eni: &str, instance: &str| {
        of(
            &net,
            "AttachNetworkInterface",
            eni,
            &[("InstanceId", instance)],
        )
    };
    let near = eni(&net, &[]);
    assert_eq!(refused(attach(&near, "i-x")), "InvalidEcsId.NotFound");
    assert_eq!(refused(attach("eni-x", &instance)), "InvalidEniId.NotFound");
    let far = vswitch(&net.world, &net.vpc, "192.168.2.0/24", "cn-hangzhou-i");
    let elsewhere = eni(&net, &[("VSwitchId", &far)]);
    assert_eq!(
        refused(attach(&elsewhere, &instance)),
        "InvalidOperation.AvailabilityZoneMismatch"
    );
    let other = vpc(&net.world, "10.0.0.0/8");
    let other_vswitch = vswitch(&net.world, &other, "10.0.0.0/24", "cn-hangzhou-h");
    let other_group = group(&net.world, &other, "other");
    let foreign = eni(
        &net,
        &[
            ("VSwitchId", &other_vswitch),
            ("SecurityGroupId", &other_group),
        ],
    );
    assert_eq!(
        refused(attach(&foreign, &instance)),
        "InvalidOperation.VpcMismatch"
    );
    let primary = net.primary(&instance);
    assert_eq!(
        refused(attach(&primary, &instance)),
        "InvalidOperation.InvalidEniState"
    );
    let detach = of(
        &net,
        "DetachNetworkInterface",
        &primary,
        &[("InstanceId", &instance)],
    );
    assert_eq!(
        refused(detach),
        "InvalidOperation.DetachPrimaryEniNotAllowed"
    );
    let delete = of(&net, "DeleteNetworkInterface", &primary, &[]);
    assert_eq!(refused(delete), "InvalidOperation.InvalidEniState");

    // A namespace takes devices; a device has no namespace to put an interface into.
    let device = eni(&net, &[("Device", "tap0")]);
    attach(&device, &instance).unwrap();
    assert_eq!(
        net.eni(&device).unwrap().driver,
        Driver::Device {
            device: "tap0".into()
        }
    );
    assert_eq!(shown(&net, &device)["MacAddress"], "");
    let adopted = net.run(&[("Device", "tap1")]);
    assert_eq!(
        refused(attach(&near, &adopted)),
        "InvalidOperation.InvalidEniType"
    );
    let second = eni(&net, &[("Device", "tap2")]);
    attach(&second, &adopted).unwrap();

    for _ in 2..100 {
        let id = eni(&net, &[]);
        attach(&id, &instance).unwrap();
    }
    assert_eq!(
        refused(attach(&near, &instance)),
        "EniPerInstanceLimitExceeded"
    );
    assert_eq!(net.world.control.config().enis.len(), 102);
}

#[test]
fn addresses_come_and_go() {
    let net = Net::new();
    let instance = net.run(&[("PrivateIpAddress", "192.168.1.10")]);
    let id = net.primary(&instance);
    let assign = |more: &[(&str, &str)]| of(&net, "AssignPrivateIpAddresses", &id, more);
    let unassign = |more: &[(&str, &str)]| of(&net, "UnassignPrivateIpAddresses", &id, more);
    let answer = assign(&[
        ("PrivateIpAddress.1", "192.168.1.11"),
        ("PrivateIpAddress.2", "192.168.1.12"),
    ])
    .unwrap();
    let expected = json!({
        "NetworkInterfaceId": id,
        "PrivateIpSet": {"PrivateIpAddress": ["192.168.1.11", "192.168.1.12"]},
        "Ipv4PrefixSet": {"Ipv4Prefixes": []},
    });
    assert_eq!(answer["AssignedPrivateIpAddressesSet"], expected);
    let answer = assign(&[("SecondaryPrivateIpAddressCount", "2")]).unwrap();
    let given = &answer["AssignedPrivateIpAddressesSet"]["PrivateIpSet"]["PrivateIpAddress"];
    assert_eq!(*given, json!(["192.168.1.1", "192.168.1.2"]));
    assert_eq!(
        hosts(&net, &instance),
        [
            "192.168.1.11/32",
            "192.168.1.12/32",
            "192.168.1.1/32",
            "192.168.1.2/32"
        ]
    );
    let vswitch = net
        .world
        .vpc("DescribeVSwitchAttributes", &[("VSwitchId", &net.vswitch)])
        .unwrap();
    assert_eq!(vswitch["AvailableIpAddressCount"], 252 - 5);

    assert_eq!(refused(assign(&[])), "MissingParameter");
    assert_eq!(
        refused(assign(&[("PrivateIpAddress.1", "192.168.1.11")])),
        "InvalidIp.IpAssigned"
    );
    assert_eq!(
        refused(assign(&[("PrivateIpAddress.1", "192.168.1.10")])),
        "InvalidIp.IpAssigned"
    );
    assert_eq!(
        refused(assign(&[("SecondaryPrivateIpAddressCount", "46")])),
        "InvalidOperation.Ipv4CountExceeded"
    );
    assert_eq!(refused(unassign(&[])), "MissingParameter");
    assert_eq!(
        refused(unassign(&[("PrivateIpAddress.1", "192.168.1.10")])),
        "InvalidIp.IpUnassigned"
    );
    let wrong = [
        ("PrivateIpAddress.1", "192.168.1.11"),
        ("PrivateIpAddress.2", "192.168.1.99"),
    ];
    assert_eq!(refused(unassign(&wrong)), "InvalidIp.IpUnassigned");
    assert_eq!(hosts(&net, &instance).len(), 4);
    unassign(&[
        ("PrivateIpAddress.1", "192.168.1.11"),
        ("PrivateIpAddress.2", "192.168.1.1"),
    ])
    .unwrap();
    assert_eq!(
        hosts(&net, &instance),
        ["192.168.1.12/32", "192.168.1.2/32"]
    );
    // What is given back is free again.
    net.run(&[("PrivateIpAddress", "192.168.1.11")]);
}

#[test]
fn attributes_are_modified() {
    let net = Net::new();
    let id = eni(&net, &[]);
    let second = group(&net.world, &net.vpc, "second");
    let modify = |more: &[(&str, &str)]| of(&net, "ModifyNetworkInterfaceAttribute", &id, more);
    modify(&[
        ("NetworkInterfaceName", "leg"),
        ("Description", "d"),
        ("SecurityGroupId.1", &second),
        ("DeleteOnRelease", "false"),
    ])
    .unwrap();
    let one = shown(&net, &id);
    assert_eq!(
        (&one["NetworkInterfaceName"], &one["Description"]),
        (&"leg".into(), &"d".into())
    );
    assert_eq!(one["SecurityGroupIds"]["SecurityGroupId"], json!([second]));
    assert_eq!(one["DeleteOnRelease"], false);
    // An interface that is not attached is a member all the same.
    let delete = net
        .world
        .ecs("DeleteSecurityGroup", &[("SecurityGroupId", &second)]);
    assert_eq!(refused(delete), "DependencyViolation");
    assert_eq!(
        refused(modify(&[("SecurityGroupId.1", "sg-x")])),
        "InvalidSecurityGroupId.NotFound"
    );
    let timeout = [("ConnectionTrackingConfiguration.UdpTimeout", "30")];
    assert_eq!(refused(modify(&timeout)), "InvalidParameter");
}

#[test]
fn an_instance_takes_its_interfaces_with_it_or_leaves_them() {
    let net = Net::new();
    let instance = net.run(&[]);
    let [goes, stays] = ["true", "false"].map(|release| eni(&net, &[("DeleteOnRelease", release)]));
    for id in [&goes, &stays] {
        of(
            &net,
            "AttachNetworkInterface",
            id,
            &[("InstanceId", &instance)],
        )
        .unwrap();
    }
    let eip = net.world.vpc("AllocateEipAddress", &[]).unwrap();
    let (eip, address) = (text(&eip, "/AllocationId"), text(&eip, "/EipAddress"));
    let params = [
        ("AllocationId", &*eip),
        ("InstanceId", &*goes),
        ("InstanceType", "NetworkInterface"),
    ];
    net.world.vpc("AssociateEipAddress", &params).unwrap();
    let one = shown(&net, &goes);
    assert_eq!(
        one["AssociatedPublicIp"],
        json!({"AllocationId": eip, "PublicIpAddress": address})
    );
    assert_eq!(
        one["PrivateIpSets"]["PrivateIpSet"][0]["AssociatedPublicIp"],
        one["AssociatedPublicIp"]
    );

    // A route to one that would go keeps the instance, one to the other does not.
    let table = net
        .world
        .control
        .cloud()
        .system_table(&net.vpc)
        .unwrap()
        .id
        .clone();
    let route = |destination: &str, eni: &str| {
        let params = [
            ("RouteTableId", &*table),
            ("DestinationCidrBlock", destination),
            ("NextHopType", "NetworkInterface"),
            ("NextHopId", eni),
        ];
        text(
            &net.world.vpc("CreateRouteEntry", &params).unwrap(),
            "/RouteEntryId",
        )
    };
    let (first, second) = (route("10.1.0.0/16", &goes), route("10.2.0.0/16", &stays));
    let delete = [("InstanceId", &*instance), ("Force", "true")];
    assert_eq!(
        refused(net.world.ecs("DeleteInstance", &delete)),
        "DependencyViolation.RouteEntry"
    );
    net.world
        .vpc("DeleteRouteEntry", &[("RouteEntryId", &first)])
        .unwrap();
    net.world.ecs("DeleteInstance", &delete).unwrap();
    assert_eq!(listed(&net, &[]), [&*stays]);
    assert_eq!(shown(&net, &stays)["Status"], "Available");
    assert_eq!(
        net.world.control.cloud().eips.get(&eip).unwrap().binding,
        None
    );
    let config = net.world.control.config();
    assert_eq!(
        config.route_tables[0].routes[0].next_hop,
        model::NextHop::Blackhole
    );
    assert_eq!(
        refused(of(&net, "DeleteNetworkInterface", &stays, &[])),
        "DependencyViolation.RouteEntry"
    );
    net.world
        .vpc("DeleteRouteEntry", &[("RouteEntryId", &second)])
        .unwrap();
    of(&net, "DeleteNetworkInterface", &stays, &[]).unwrap();
}

#[test]
fn instances_are_made_with_several_interfaces() {
    let net = Net::new();
    let second = group(&net.world, &net.vpc, "second");
    let existing = eni(&net, &[]);
    let params = [
        ("VSwitchId", ""),
        ("SecurityGroupId", ""),
        ("NetworkInterface.1.InstanceType", "Primary"),
        ("NetworkInterface.1.VSwitchId", &*net.vswitch),
        ("NetworkInterface.1.PrimaryIpAddress", "192.168.1.50"),
        ("NetworkInterface.1.SecurityGroupIds.1", &*net.group),
        ("NetworkInterface.1.SecondaryPrivateIpAddressCount", "1"),
        ("NetworkInterface.1.NetworkInterfaceName", "first"),
        ("NetworkInterface.2.SecurityGroupId", &*second),
        ("NetworkInterface.2.DeleteOnRelease", "false"),
        ("NetworkInterface.3.NetworkInterfaceId", &*existing),
    ];
    let id = net.run(&params);
    let primary = net.eni(&id).unwrap();
    assert_eq!(primary.address.to_string(), "192.168.1.50");
    assert_eq!(hosts(&net, &id).len(), 1);
    assert_eq!(
        shown(&net, &net.primary(&id))["NetworkInterfaceName"],
        "first"
    );
    let config = net.world.control.config();
    assert_eq!(config.enis.iter().filter(|it| it.instance == id).count(), 3);
    let made = config
        .enis
        .iter()
        .find(|it| !it.is_primary() && it.id != existing)
        .unwrap();
    // What is not said of it is as in the primary one.
    assert_eq!(
        (&*made.vswitch, made.security_groups.clone()),
        (&*net.vswitch, vec![second.clone()])
    );
    let made = made.id.clone();
    net.world
        .ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")])
        .unwrap();
    assert_eq!(listed(&net, &[]), [&*made]);

    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[
                ("NetworkInterface.1.InstanceType", "Primary"),
                ("NetworkInterface.1.VSwitchId", &net.vswitch),
            ],
            "InvalidParameter",
        ),
        (
            &[("NetworkInterface.1.NetworkInterfaceId", "eni-x")],
            "InvalidEniId.NotFound",
        ),
        (
            &[
                ("NetworkInterface.1.NetworkInterfaceId", &made),
                ("Amount", "2"),
            ],
            "InvalidParameter",
        ),
        (
            &[("NetworkInterface.1.InstanceType", "Trunk")],
            "InvalidParameter",
        ),
        (
            &[
                ("VSwitchId", ""),
                ("SecurityGroupId", ""),
                ("NetworkInterface.1.InstanceType", "Primary"),
                ("NetworkInterface.2.InstanceType", "Primary"),
            ],
            "InvalidParameter",
        ),
    ];
    let before = net.world.control.cloud();
    for (more, code) in cases {
        assert_eq!(
            refused(net.world.ecs("RunInstances", &net.params(more))),
            *code,
            "{more:?}"
        );
    }
    assert_eq!(*net.world.control.cloud(), *before);
}

#[test]
fn lists_are_filtered_and_come_in_pages() {
    let net = Net::new();
    let second = group(&net.world, &net.vpc, "second");
    let far = vswitch(&net.world, &net.vpc, "192.168.2.0/24", "cn-hangzhou-i");
    let instance = net.run(&[("PrivateIpAddress", "192.168.1.10")]);
    let a = net.primary(&instance);
    let b = eni(
        &net,
        &[
            ("VSwitchId", &far),
            ("SecurityGroupId", &second),
            ("NetworkInterfaceName", "leg"),
            ("PrimaryIpAddress", "192.168.2.20"),
            ("PrivateIpAddress.1", "192.168.2.21"),
            ("Tag.1.Key", "env"),
        ],
    );
    let cases: &[(&str, &str, &str)] = &[
        ("NetworkInterfaceId.1", &a, &a),
        ("InstanceId", &instance, &a),
        ("PrimaryIpAddress", "192.168.1.10", &a),
        ("PrivateIpAddress.1", "192.168.2.21", &b),
        ("NetworkInterfaceName", "leg", &b),
        ("SecurityGroupId", &second, &b),
        ("Status", "Available", &b),
        ("Status", "InUse", &a),
        ("Type", "Primary", &a),
        ("Type", "Secondary", &b),
        ("VSwitchId", &far, &b),
        ("Tag.1.Key", "env", &b),
    ];
    for (name, value, expected) in cases {
        assert_eq!(
            listed(&net, &[(name, value)]),
            [*expected],
            "{name}={value}"
        );
    }
    assert_eq!(listed(&net, &[("VpcId", &net.vpc)]).len(), 2);
    assert!(listed(&net, &[("VpcId", "vpc-x")]).is_empty());
    assert!(listed(&net, &[("Ipv6Address.1", "::1")]).is_empty());
    let mut all = listed(&net, &[]);
    all.extend((0..10).map(|_| eni(&net, &[])));
    all.sort();
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let params = [("MaxResults", "5"), ("NextToken", &*token)];
        seen.extend(listed(&net, &params));
        token = text(
            &net.world.ecs("DescribeNetworkInterfaces", &params).unwrap(),
            "/NextToken",
        );
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, all);
    assert_eq!(
        listed(&net, &[("PageNumber", "2"), ("PageSize", "10")]),
        all[10..]
    );
}
