//! Instances, through the API.

use crate::common::ecs::{Net, group, vpc, vswitch};
use crate::common::{refused, text};
use model::Driver;
use serde_json::{Value, json};

fn ids(answer: &Value) -> Vec<String> {
    let ids = answer["InstanceIdSets"]["InstanceIdSet"]
        .as_array()
        .unwrap();
    ids.iter().map(|it| it.as_str().unwrap().into()).collect()
}

fn described(net: &Net, params: &[(&str, &str)]) -> Vec<String> {
    let answer = net.world.ecs("DescribeInstances", params).unwrap();
    let list = answer["Instances"]["Instance"].as_array().unwrap().clone();
    list.iter().map(|it| text(it, "/InstanceId")).collect()
}

#[test]
fn an_instance_lives_and_dies() {
    let net = Net::new();
    let params = [
        ("InstanceName", "web"),
        ("Description", "front"),
        ("HostName", "web-1"),
        ("PrivateIpAddress", "192.168.1.10"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    let id = net.run(&params);
    let eni = net.eni(&id).unwrap();
    assert_eq!(eni.address.to_string(), "192.168.1.10");
    assert_eq!(eni.security_groups, [&*net.group]);
    assert_eq!((eni.driver, eni.mtu), (Driver::Netns, 1500));
    assert_eq!(
        (eni.instance, eni.vswitch),
        (id.clone(), net.vswitch.clone())
    );

    let list = json!([id]).to_string();
    let shown = net
        .world
        .ecs("DescribeInstances", &[("InstanceIds", &list)])
        .unwrap();
    assert_eq!(shown["TotalCount"], 1);
    let one = &shown["Instances"]["Instance"][0];
    let expected = json!({
        "InstanceId": id, "InstanceName": "web", "Description": "front", "HostName": "web-1", "Status": "Running",
        "ImageId": "image-1", "InstanceType": "ecs.g6.large", "InstanceTypeFamily": "ecs.g6",
        "RegionId": "cn-hangzhou", "ZoneId": "cn-hangzhou-h", "InstanceNetworkType": "vpc",
        "InstanceChargeType": "PostPaid", "DeletionProtection": false, "Driver": "netns", "Device": "",
        "ResourceGroupId": "rg-default",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&one[field], value, "{field}");
    }
    assert_eq!(
        one["VpcAttributes"]["PrivateIpAddress"]["IpAddress"],
        json!(["192.168.1.10"])
    );
    assert_eq!(one["VpcAttributes"]["VpcId"], *net.vpc);
    assert_eq!(one["VpcAttributes"]["VSwitchId"], *net.vswitch);
    assert_eq!(
        one["SecurityGroupIds"]["SecurityGroupId"],
        json!([net.group])
    );
    assert_eq!(
        one["Tags"]["Tag"],
        json!([{"TagKey": "env", "TagValue": "test"}])
    );
    let nic = &one["NetworkInterfaces"]["NetworkInterface"][0];
    assert_eq!(
        (&nic["Type"], &nic["PrimaryIpAddress"]),
        (&"Primary".into(), &"192.168.1.10".into())
    );
    assert_eq!(nic["PrivateIpSets"]["PrivateIpSet"][0]["Primary"], true);
    let created = text(one, "/CreationTime");
    assert!(created.len() == 17 && created.ends_with('Z'), "{created}");
    assert_eq!(one["StartTime"], created);
    let same = net
        .world
        .ecs("DescribeInstanceAttribute", &[("InstanceId", &id)])
        .unwrap();
    for field in [
        "InstanceId",
        "HostName",
        "Status",
        "VpcAttributes",
        "SecurityGroupIds",
        "CreationTime",
    ] {
        assert_eq!(same[field], one[field], "{field}");
    }

    let instance = [("InstanceId", &*id)];
    assert_eq!(
        refused(net.world.ecs("StartInstance", &instance)),
        "IncorrectInstanceStatus"
    );
    assert_eq!(
        refused(net.world.ecs("DeleteInstance", &instance)),
        "IncorrectInstanceStatus"
    );
    net.world.ecs("RebootInstance", &instance).unwrap();
    net.world.ecs("StopInstance", &instance).unwrap();
    assert_eq!(net.eni(&id), None);
    assert_eq!(
        refused(net.world.ecs("StopInstance", &instance)),
        "IncorrectInstanceStatus"
    );
    assert_eq!(
        refused(net.world.ecs("RebootInstance", &instance)),
        "IncorrectInstanceStatus"
    );
    let net = net.restart();
    let status = net
        .world
        .ecs("DescribeInstanceStatus", &[("InstanceId.1", &id)])
        .unwrap();
    assert_eq!(
        status["InstanceStatuses"]["InstanceStatus"],
        json!([{"InstanceId": id, "Status": "Stopped"}])
    );
    net.world.ecs("StartInstance", &instance).unwrap();
    assert_eq!(net.eni(&id).unwrap().address.to_string(), "192.168.1.10");
    net.world.ecs("StopInstance", &instance).unwrap();
    net.world.ecs("DeleteInstance", &instance).unwrap();
    assert!(net.world.control.cloud().enis.is_empty());
    assert_eq!(
        refused(net.world.ecs("DeleteInstance", &instance)),
        "InvalidInstanceId.NotFound"
    );
    assert_eq!(described(&net, &[]), Vec::<String>::new());
}

#[test]
fn create_instance_makes_a_stopped_one() {
    let net = Net::new();
    let answer = net.world.ecs("CreateInstance", &net.params(&[])).unwrap();
    let id = text(&answer, "/InstanceId");
    assert_eq!(net.eni(&id), None);
    let shown = net.world.ecs("DescribeInstances", &[]).unwrap();
    let one = &shown["Instances"]["Instance"][0];
    assert_eq!(
        (&one["Status"], &one["StartTime"]),
        (&"Stopped".into(), &"".into())
    );
    // Without a name it is called by its identifier.
    assert_eq!(
        (&one["InstanceName"], &one["HostName"]),
        (&(&*id).into(), &(&*id).into())
    );
    net.world
        .ecs("StartInstance", &[("InstanceId", &id)])
        .unwrap();
    assert!(net.eni(&id).is_some());
}

#[test]
fn what_an_instance_cannot_be() {
    let net = Net::new();
    let other = vpc(&net.world, "10.0.0.0/8");
    let foreign = group(&net.world, &other, "other");
    let taken = net.run(&[("PrivateIpAddress", "192.168.1.10")]);
    assert!(!taken.is_empty());
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("VSwitchId", "")], "MissingParameter"),
        (&[("ImageId", "")], "MissingParameter"),
        (&[("InstanceType", "")], "MissingParameter"),
        (&[("SecurityGroupId", "")], "MissingParameter"),
        (&[("VSwitchId", "vsw-x")], "InvalidVSwitchId.NotFound"),
        (
            &[("SecurityGroupId", "sg-x")],
            "InvalidSecurityGroupId.NotFound",
        ),
        (
            &[("SecurityGroupId", &foreign)],
            "InvalidSecurityGroupId.VPCMismatch",
        ),
        (&[("SecurityGroupIds.1", &net.group)], "InvalidParameter"),
        (
            &[("PrivateIpAddress", "192.168.1.10")],
            "InvalidPrivateIpAddress.Duplicated",
        ),
        (
            &[("PrivateIpAddress", "192.168.2.10")],
            "InvalidPrivateIpAddress",
        ),
        (
            &[("PrivateIpAddress", "192.168.1.253")],
            "InvalidPrivateIpAddress",
        ),
        (&[("PrivateIpAddress", "x")], "InvalidParameter"),
        (
            &[("PrivateIpAddress", "192.168.1.11"), ("Amount", "2")],
            "InvalidParameter",
        ),
        (&[("Amount", "0")], "InvalidParameter"),
        (&[("Amount", "101")], "InvalidParameter"),
        (&[("Amount", "2"), ("MinAmount", "3")], "InvalidParameter"),
        (&[("ZoneId", "cn-hangzhou-i")], "InvalidParameter"),
        (&[("InstanceName", "1x")], "InvalidInstanceName.Malformed"),
        (
            &[("Description", "http://x")],
            "InvalidDescription.Malformed",
        ),
        (&[("HostName", "-x")], "InvalidHostName.Malformed"),
        (
            &[("UserData", "a?==")],
            "InvalidUserData.Base64FormatInvalid",
        ),
        (
            &[("UserData", &"A".repeat(43_696))],
            "InvalidUserData.SizeExceeded",
        ),
        (&[("InternetMaxBandwidthOut", "5")], "InvalidParameter"),
        (
            &[("InstanceChargeType", "PrePaid")],
            "InvalidInstanceChargeType.ValueNotSupported",
        ),
        (&[("Ipv6AddressCount", "1")], "InvalidParameter"),
        (
            &[("LaunchTemplateId", "lt-1")],
            "InvalidLaunchTemplate.NotFound",
        ),
        (&[("Driver", "vm")], "InvalidParameter"),
        (&[("Driver", "device")], "MissingParameter"),
        (
            &[("Driver", "netns"), ("Device", "tap0")],
            "InvalidParameter",
        ),
        (&[("Device", "tap/0")], "InvalidDevice.Malformed"),
        (&[("Device", "eth1")], "InvalidDevice.InUse"),
        (&[("Device", "tap0"), ("Amount", "2")], "InvalidParameter"),
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
    let fits = "A".repeat(43_692);
    net.run(&[("UserData", &fits)]);
}

#[test]
fn a_device_has_one_instance() {
    let net = Net::new();
    let id = net.run(&[("Device", "tap0")]);
    assert_eq!(
        net.eni(&id).unwrap().driver,
        Driver::Device {
            device: "tap0".into()
        }
    );
    let shown = net.world.ecs("DescribeInstances", &[]).unwrap();
    let one = &shown["Instances"]["Instance"][0];
    assert_eq!(
        (&one["Driver"], &one["Device"]),
        (&"device".into(), &"tap0".into())
    );
    // A stopped instance keeps it.
    net.world
        .ecs("StopInstance", &[("InstanceId", &id)])
        .unwrap();
    let again = net
        .world
        .ecs("RunInstances", &net.params(&[("Device", "tap0")]));
    assert_eq!(refused(again), "InvalidDevice.InUse");
    net.world
        .ecs("DeleteInstance", &[("InstanceId", &id)])
        .unwrap();
    net.run(&[("Device", "tap0")]);
}

#[test]
fn several_at_once() {
    let net = Net::new();
    let params = [
        ("Amount", "3"),
        ("InstanceName", "web"),
        ("HostName", "web"),
        ("UniqueSuffix", "true"),
    ];
    let made = ids(&net.world.ecs("RunInstances", &net.params(&params)).unwrap());
    let cloud = net.world.control.cloud();
    let names: Vec<_> = made
        .iter()
        .map(|id| cloud.instances.get(id).unwrap())
        .collect();
    let names: Vec<_> = names
        .iter()
        .map(|it| (&*it.meta.name, &*it.host_name))
        .collect();
    assert_eq!(
        names,
        [
            ("web001", "web001"),
            ("web002", "web002"),
            ("web003", "web003")
        ]
    );
    assert_eq!(net.world.control.config().enis.len(), 3);

    let params = [
        ("Amount", "2"),
        ("HostNames.1", "db-1"),
        ("HostNames.2", "db-2"),
        ("InstanceName", "db"),
    ];
    let made = ids(&net.world.ecs("RunInstances", &net.params(&params)).unwrap());
    let cloud = net.world.control.cloud();
    let hosts: Vec<_> = made
        .iter()
        .map(|id| cloud.instances.get(id).unwrap().host_name.clone())
        .collect();
    assert_eq!(hosts, ["db-1", "db-2"]);

    // Four addresses are free in a /29: five instances are too many, unless four are enough.
    let small = vswitch(&net.world, &net.vpc, "192.168.2.0/29", "cn-hangzhou-h");
    let five = [("VSwitchId", &*small), ("Amount", "5")];
    let answer = net.world.ecs("RunInstances", &net.params(&five));
    assert_eq!(refused(answer), "InvalidVSwitchId.IpNotEnough");
    let five = [("VSwitchId", &*small), ("Amount", "5"), ("MinAmount", "4")];
    let made = ids(&net.world.ecs("RunInstances", &net.params(&five)).unwrap());
    assert_eq!(made.len(), 4);
    let in_small = net
        .world
        .control
        .cloud()
        .enis
        .iter()
        .filter(|it| it.vswitch == small)
        .count();
    assert_eq!(in_small, 4);
}

#[test]
fn starting_stopping_and_deleting_several() {
    let net = Net::new();
    let [a, b] = [net.run(&[]), net.run(&[])];
    net.world
        .ecs("StopInstance", &[("InstanceId", &a)])
        .unwrap();
    let both = [("InstanceId.1", &*a), ("InstanceId.2", &*b)];
    // All or none, unless it says otherwise.
    assert_eq!(
        refused(net.world.ecs("StopInstances", &both)),
        "IncorrectInstanceStatus"
    );
    assert!(net.eni(&b).is_some());
    let each = [both[0], both[1], ("BatchOptimization", "SuccessFirst")];
    let answer = net.world.ecs("StopInstances", &each).unwrap();
    let of = |id: &str| {
        let list = answer["InstanceResponses"]["InstanceResponse"]
            .as_array()
            .unwrap();
        list.iter()
            .find(|it| it["InstanceId"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(of(&a)["Code"], "IncorrectInstanceStatus");
    assert_eq!(
        (&of(&b)["Code"], &of(&b)["PreviousStatus"]),
        (&"200".into(), &"Running".into())
    );
    assert_eq!(of(&b)["CurrentStatus"], "Stopped");
    assert_eq!(net.eni(&b), None);

    net.world.ecs("StartInstances", &both).unwrap();
    assert_eq!(net.world.control.config().enis.len(), 2);
    let unknown = [("InstanceId.1", &*a), ("InstanceId.2", "i-x")];
    assert_eq!(
        refused(net.world.ecs("StartInstances", &unknown)),
        "InvalidInstanceId.NotFound"
    );
    assert_eq!(
        refused(net.world.ecs("DeleteInstances", &[])),
        "MissingParameter"
    );
    assert_eq!(
        refused(net.world.ecs("DeleteInstances", &both)),
        "IncorrectInstanceStatus"
    );
    let names: Vec<String> = (1..=101).map(|n| format!("InstanceId.{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &*a)).collect();
    assert_eq!(
        refused(net.world.ecs("DeleteInstances", &many)),
        "InvalidParameter.TooManyInstanceIds"
    );
    net.world
        .ecs("DeleteInstances", &[both[0], both[1], ("Force", "true")])
        .unwrap();
    assert!(net.world.control.cloud().instances.is_empty());
    assert!(net.world.control.config().enis.is_empty());
}

#[test]
fn attributes_are_modified() {
    let net = Net::new();
    let id = net.run(&[]);
    let second = group(&net.world, &net.vpc, "second");
    let modify = |more: &[(&str, &str)]| {
        let mut params = vec![("InstanceId", &*id)];
        params.extend(more);
        net.world.ecs("ModifyInstanceAttribute", &params)
    };
    modify(&[
        ("InstanceName", "db"),
        ("Description", "d"),
        ("HostName", "db-1"),
    ])
    .unwrap();
    let list = [("InstanceName", "d*")];
    assert_eq!(described(&net, &list), [&*id]);
    modify(&[("Description", "")]).unwrap();
    let shown = net
        .world
        .ecs("DescribeInstanceAttribute", &[("InstanceId", &id)])
        .unwrap();
    assert_eq!(
        (&shown["InstanceName"], &shown["Description"]),
        (&"db".into(), &"".into())
    );
    modify(&[
        ("SecurityGroupIds.1", &second),
        ("SecurityGroupIds.2", &net.group),
    ])
    .unwrap();
    assert_eq!(
        net.eni(&id).unwrap().security_groups,
        [&*second, &*net.group]
    );
    assert_eq!(
        refused(modify(&[("SecurityGroupIds.1", "sg-x")])),
        "InvalidSecurityGroupId.NotFound"
    );
    assert_eq!(
        refused(modify(&[("HostName", "a_b")])),
        "InvalidHostName.Malformed"
    );
    assert_eq!(
        refused(modify(&[("InstanceName", "x")])),
        "InvalidInstanceName.Malformed"
    );

    modify(&[("DeletionProtection", "true")]).unwrap();
    let delete = [("InstanceId", &*id), ("Force", "true")];
    assert_eq!(
        refused(net.world.ecs("DeleteInstance", &delete)),
        "InvalidOperation.DeletionProtection"
    );
    modify(&[("DeletionProtection", "false")]).unwrap();
    net.world.ecs("DeleteInstance", &delete).unwrap();
}

#[test]
fn lists_are_filtered() {
    let net = Net::new();
    let other = group(&net.world, &net.vpc, "other");
    let far = vswitch(&net.world, &net.vpc, "192.168.2.0/24", "cn-hangzhou-i");
    let a = net.run(&[
        ("InstanceName", "web-a"),
        ("PrivateIpAddress", "192.168.1.10"),
    ]);
    let b = net.run(&[
        ("InstanceName", "db-b"),
        ("VSwitchId", &far),
        ("SecurityGroupId", &other),
        ("InstanceType", "ecs.c7.xlarge"),
        ("ImageId", "image-2"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "prod"),
        ("ResourceGroupId", "rg-2"),
    ]);
    net.world
        .ecs("StopInstance", &[("InstanceId", &b)])
        .unwrap();
    let (only_a, only_b) = (vec![a.clone()], vec![b.clone()]);
    let ids = json!([a, "i-x"]).to_string();
    let cases: &[(&str, &str, &Vec<String>)] = &[
        ("InstanceIds", &ids, &only_a),
        ("InstanceName", "web-*", &only_a),
        ("InstanceName", "web-a", &only_a),
        ("PrivateIpAddresses", "[\"192.168.1.10\"]", &only_a),
        ("Status", "Running", &only_a),
        ("Status", "Stopped", &only_b),
        ("VSwitchId", &far, &only_b),
        ("ZoneId", "cn-hangzhou-i", &only_b),
        ("SecurityGroupId", &other, &only_b),
        ("InstanceType", "ecs.c7.xlarge", &only_b),
        ("InstanceTypeFamily", "ecs.c7", &only_b),
        ("ImageId", "image-2", &only_b),
        ("Tag.1.Key", "env", &only_b),
        ("ResourceGroupId", "rg-2", &only_b),
        ("VpcId", "vpc-x", &vec![]),
        ("InstanceNetworkType", "classic", &vec![]),
        ("KeyPairName", "k", &vec![]),
        ("InstanceIds", "[]", &vec![]),
    ];
    for (name, value, expected) in cases {
        assert_eq!(
            described(&net, &[(name, value)]),
            **expected,
            "{name}={value}"
        );
    }
    let long_ago = [
        ("Filter.1.Key", "CreationEndTime"),
        ("Filter.1.Value", "2001-01-01T00:00Z"),
    ];
    assert_eq!(described(&net, &long_ago), Vec::<String>::new());
    let since = [
        ("Filter.1.Key", "CreationStartTime"),
        ("Filter.1.Value", "2001-01-01T00:00Z"),
    ];
    assert_eq!(described(&net, &since).len(), 2);
    for wrong in [
        ("InstanceIds", "i-1"),
        ("InstanceIds", "{}"),
        ("Filter.1.Key", "Color"),
    ] {
        assert_eq!(
            refused(net.world.ecs("DescribeInstances", &[wrong])),
            "InvalidParameter"
        );
    }
    let zone = net
        .world
        .ecs("DescribeInstanceStatus", &[("ZoneId", "cn-hangzhou-i")])
        .unwrap();
    assert_eq!(zone["TotalCount"], 1);
}

#[test]
fn lists_come_in_pages_of_both_kinds() {
    let net = Net::new();
    let mut all = ids(&net
        .world
        .ecs("RunInstances", &net.params(&[("Amount", "25")]))
        .unwrap());
    all.sort();
    let mut seen = Vec::new();
    for number in ["1", "2", "3"] {
        let answer = net
            .world
            .ecs("DescribeInstances", &[("PageNumber", number)])
            .unwrap();
        assert_eq!(
            (&answer["TotalCount"], &answer["PageSize"]),
            (&25.into(), &10.into())
        );
        seen.extend(described(&net, &[("PageNumber", number)]));
    }
    assert_eq!(seen, all);
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let params = [("MaxResults", "10"), ("NextToken", &*token)];
        let answer = net.world.ecs("DescribeInstances", &params).unwrap();
        seen.extend(described(&net, &params));
        token = text(&answer, "/NextToken");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, all);
    for wrong in [
        ("PageSize", "101"),
        ("MaxResults", "101"),
        ("MaxResults", "0"),
        ("NextToken", "zz"),
    ] {
        assert_eq!(
            refused(net.world.ecs("DescribeInstances", &[wrong])),
            "InvalidParameter"
        );
    }
}

#[test]
fn user_data_is_told_back_and_kept_sealed() {
    let net = Net::new();
    // `password=hunter2`
    let data = "cGFzc3dvcmQ9aHVudGVyMg==";
    let id = net.run(&[("UserData", data)]);
    let told = |net: &Net| {
        let params = [("InstanceId", &*id)];
        let told = net.world.ecs("DescribeUserData", &params).unwrap();
        text(&told, "/UserData")
    };
    assert_eq!(told(&net), data);
    let stored = net.world.stored();
    assert!(!stored.contains(data.trim_end_matches('=')) && !stored.contains("hunter2"));
    let net = net.restart();
    assert_eq!(told(&net), data);
    let none = [("InstanceId", &*id), ("UserData", "")];
    net.world.ecs("ModifyInstanceAttribute", &none).unwrap();
    assert_eq!(told(&net), "");
}
