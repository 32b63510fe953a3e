//! Security groups, through the API.

use crate::common::ecs::{Net, group, vpc};
use crate::common::{World, refused, text};
use model::SecurityGroupKind;
use serde_json::{Value, json};

fn shown(world: &World, group: &str, more: &[(&str, &str)]) -> Vec<Value> {
    let mut params = vec![("SecurityGroupId", group)];
    params.extend(more);
    let answer = world
        .ecs("DescribeSecurityGroupAttribute", &params)
        .unwrap();
    answer["Permissions"]["Permission"]
        .as_array()
        .unwrap()
        .clone()
}

/// A call about the network's group.
fn of_group(net: &Net, action: &str, more: &[(&str, &str)]) -> Result<Value, api::ApiError> {
    let mut params = vec![("SecurityGroupId", &*net.group)];
    params.extend(more);
    net.world.ecs(action, &params)
}

#[test]
fn a_group_is_made_shown_changed_and_deleted() {
    let world = World::new();
    let vpc = vpc(&world, "192.168.0.0/16");
    let params = [
        ("VpcId", &*vpc),
        ("SecurityGroupName", "web"),
        ("Description", "front"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    let id = text(
        &world.ecs("CreateSecurityGroup", &params).unwrap(),
        "/SecurityGroupId",
    );
    let list = json!([id]).to_string();
    let answer = world
        .ecs("DescribeSecurityGroups", &[("SecurityGroupIds", &list)])
        .unwrap();
    assert_eq!(
        (&answer["TotalCount"], &answer["RegionId"]),
        (&1.into(), &"cn-hangzhou".into())
    );
    let one = &answer["SecurityGroups"]["SecurityGroup"][0];
    let expected = json!({
        "SecurityGroupId": id, "SecurityGroupName": "web", "Description": "front", "VpcId": vpc,
        "SecurityGroupType": "normal", "EcsCount": 0, "RuleCount": 0,
        "Tags": {"Tag": [{"TagKey": "env", "TagValue": "test"}]},
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&one[field], value, "{field}");
    }
    let modify = [
        ("SecurityGroupId", &*id),
        ("SecurityGroupName", "db"),
        ("Description", "back"),
    ];
    world.ecs("ModifySecurityGroupAttribute", &modify).unwrap();
    let answer = world
        .ecs(
            "DescribeSecurityGroupAttribute",
            &[("SecurityGroupId", &id)],
        )
        .unwrap();
    let expected = json!({
        "SecurityGroupId": id, "SecurityGroupName": "db", "Description": "back", "VpcId": vpc,
        "RegionId": "cn-hangzhou", "InnerAccessPolicy": "Accept",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&answer[field], value, "{field}");
    }
    assert_eq!(world.control.config().security_groups.len(), 1);
    world
        .ecs("DeleteSecurityGroup", &[("SecurityGroupId", &id)])
        .unwrap();
    assert!(world.control.config().security_groups.is_empty());
    let again = world.ecs("DeleteSecurityGroup", &[("SecurityGroupId", &id)]);
    assert_eq!(refused(again), "InvalidSecurityGroupId.NotFound");

    let create = |more: &[(&str, &str)]| refused(world.ecs("CreateSecurityGroup", more));
    assert_eq!(create(&[]), "MissingParameter");
    assert_eq!(create(&[("VpcId", "vpc-x")]), "InvalidVpcId.NotFound");
    let name = [("VpcId", &*vpc), ("SecurityGroupName", "1")];
    assert_eq!(create(&name), "InvalidSecurityGroupName.Malformed");
    let kind = [("VpcId", &*vpc), ("SecurityGroupType", "large")];
    assert_eq!(create(&kind), "InvalidParameter");
}

#[test]
fn members_and_references_keep_a_group() {
    let net = Net::new();
    let id = net.run(&[]);
    let delete = |group: &str| {
        net.world
            .ecs("DeleteSecurityGroup", &[("SecurityGroupId", group)])
    };
    let error = delete(&net.group).unwrap_err();
    assert_eq!((error.status, &*error.code), (403, "DependencyViolation"));

    let second = group(&net.world, &net.vpc, "second");
    let both = |action, group: &str| {
        net.world
            .ecs(action, &[("InstanceId", &*id), ("SecurityGroupId", group)])
    };
    both("JoinSecurityGroup", &second).unwrap();
    assert_eq!(
        net.eni(&id).unwrap().security_groups,
        [net.group.clone(), second.clone()]
    );
    assert_eq!(
        refused(both("JoinSecurityGroup", &second)),
        "InvalidInstanceId.AlreadyExists"
    );
    assert_eq!(refused(delete(&second)), "DependencyViolation");
    both("LeaveSecurityGroup", &net.group).unwrap();
    assert_eq!(net.eni(&id).unwrap().security_groups, [&*second]);
    assert_eq!(
        refused(both("LeaveSecurityGroup", &net.group)),
        "InstanceNotInSecurityGroup"
    );
    assert_eq!(
        refused(both("LeaveSecurityGroup", &second)),
        "InstanceLastSecurityGroup"
    );
    // The same of a network interface.
    let eni = net.primary(&id);
    let of_eni = |action, group: &str| {
        net.world.ecs(
            action,
            &[("NetworkInterfaceId", &*eni), ("SecurityGroupId", group)],
        )
    };
    of_eni("JoinSecurityGroup", &net.group).unwrap();
    of_eni("LeaveSecurityGroup", &net.group).unwrap();
    let neither = [("SecurityGroupId", &*second)];
    assert_eq!(
        refused(net.world.ecs("JoinSecurityGroup", &neither)),
        "MissingParameter"
    );
    let other = vpc(&net.world, "10.0.0.0/8");
    let foreign = group(&net.world, &other, "foreign");
    assert_eq!(
        refused(both("JoinSecurityGroup", &foreign)),
        "InvalidInstanceId.Mismatch"
    );
    assert_eq!(
        refused(both("JoinSecurityGroup", "sg-x")),
        "InvalidSecurityGroupId.NotFound"
    );

    // A rule of another group that names it keeps it, one of its own does not.
    let params = [
        ("SecurityGroupId", &*second),
        ("Permissions.1.IpProtocol", "all"),
        ("Permissions.1.SourceGroupId", &*net.group),
        ("Permissions.2.IpProtocol", "all"),
        ("Permissions.2.SourceGroupId", &*second),
    ];
    net.world.ecs("AuthorizeSecurityGroup", &params).unwrap();
    assert_eq!(refused(delete(&net.group)), "DependencyViolation");
    let of = [
        ("SecurityGroupId.1", &*net.group),
        ("SecurityGroupId.2", &*second),
    ];
    let answer = net
        .world
        .ecs("DescribeSecurityGroupReferences", &of)
        .unwrap();
    let expected = json!([{
        "SecurityGroupId": net.group,
        "ReferencingSecurityGroups": {"ReferencingSecurityGroup": [{"AliUid": "", "SecurityGroupId": second}]},
    }]);
    assert_eq!(
        answer["SecurityGroupReferences"]["SecurityGroupReference"],
        expected
    );
    let shown = net
        .world
        .ecs("DescribeSecurityGroups", &[("SecurityGroupId", &second)])
        .unwrap();
    let one = &shown["SecurityGroups"]["SecurityGroup"][0];
    let counts = ["EcsCount", "RuleCount", "GroupToGroupRuleCount"].map(|it| one[it].clone());
    assert_eq!(counts, [json!(1), json!(2), json!(2)]);
    net.world.ecs("RevokeSecurityGroup", &params).unwrap();
    delete(&net.group).unwrap();
    net.world
        .ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")])
        .unwrap();
    delete(&second).unwrap();
}

#[test]
fn members_of_a_group_reach_each_other_or_not() {
    let net = Net::new();
    let effect = |id: &str| net.security_group(id).unwrap().kind;
    assert_eq!(effect(&net.group), SecurityGroupKind::Normal);
    let policy = |group: &str, policy: &str| {
        let params = [("SecurityGroupId", group), ("InnerAccessPolicy", policy)];
        net.world.ecs("ModifySecurityGroupPolicy", &params)
    };
    policy(&net.group, "Drop").unwrap();
    assert_eq!(effect(&net.group), SecurityGroupKind::Enterprise);
    let answer = of_group(&net, "DescribeSecurityGroupAttribute", &[]).unwrap();
    assert_eq!(answer["InnerAccessPolicy"], "Drop");
    let list = net.world.ecs("DescribeSecurityGroups", &[]).unwrap();
    assert_eq!(
        list["SecurityGroups"]["SecurityGroup"][0]["SecurityGroupType"],
        "normal"
    );
    policy(&net.group, "accept").unwrap();
    assert_eq!(effect(&net.group), SecurityGroupKind::Normal);
    assert_eq!(refused(policy(&net.group, "maybe")), "InvalidParameter");

    let params = [("VpcId", &*net.vpc), ("SecurityGroupType", "enterprise")];
    let answer = net.world.ecs("CreateSecurityGroup", &params).unwrap();
    let enterprise = text(&answer, "/SecurityGroupId");
    assert_eq!(effect(&enterprise), SecurityGroupKind::Enterprise);
    assert_eq!(
        refused(policy(&enterprise, "Accept")),
        "InvalidGroupParameter.OperationDenied"
    );
    // Its rules name no groups, and an interface is in groups of one kind.
    let rule = [
        ("SecurityGroupId", &*enterprise),
        ("IpProtocol", "all"),
        ("SourceGroupId", &*net.group),
    ];
    let answer = net.world.ecs("AuthorizeSecurityGroup", &rule);
    assert_eq!(refused(answer), "InvalidGroupAuthParameter.OperationDenied");
    let id = net.run(&[]);
    let join = [("InstanceId", &*id), ("SecurityGroupId", &*enterprise)];
    let answer = net.world.ecs("JoinSecurityGroup", &join);
    assert_eq!(refused(answer), "InvalidOperation.InvalidSecurityGroupType");
}

#[test]
fn lists_are_filtered_and_come_in_pages() {
    let net = Net::new();
    for n in 0..14 {
        group(&net.world, &net.vpc, &format!("db-{n}"));
    }
    let other = vpc(&net.world, "10.0.0.0/8");
    let foreign = group(&net.world, &other, "far");
    let count = |params: &[(&str, &str)]| {
        let answer = net.world.ecs("DescribeSecurityGroups", params).unwrap();
        answer["TotalCount"].as_u64().unwrap()
    };
    assert_eq!(count(&[]), 16);
    assert_eq!(count(&[("VpcId", &other)]), 1);
    assert_eq!(count(&[("SecurityGroupId", &foreign)]), 1);
    assert_eq!(count(&[("SecurityGroupName", "db")]), 0);
    assert_eq!(
        count(&[("SecurityGroupName", "db"), ("FuzzyQuery", "true")]),
        14
    );
    assert_eq!(count(&[("SecurityGroupName", "db-3")]), 1);
    assert_eq!(count(&[("SecurityGroupType", "enterprise")]), 0);
    assert_eq!(count(&[("NetworkType", "classic")]), 0);
    assert_eq!(count(&[("NetworkType", "vpc")]), 16);
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let params = [("MaxResults", "6"), ("NextToken", &*token)];
        let answer = net.world.ecs("DescribeSecurityGroups", &params).unwrap();
        let page = answer["SecurityGroups"]["SecurityGroup"]
            .as_array()
            .unwrap()
            .clone();
        seen.extend(page.iter().map(|it| text(it, "/SecurityGroupId")));
        token = text(&answer, "/NextToken");
        if token.is_empty() {
            break;
        }
    }
    let all: Vec<String> = net
        .world
        .control
        .cloud()
        .security_groups
        .iter()
        .map(|it| it.id.clone())
        .collect();
    assert_eq!(seen, all);
    let page = net
        .world
        .ecs(
            "DescribeSecurityGroups",
            &[("PageNumber", "2"), ("PageSize", "10")],
        )
        .unwrap();
    assert_eq!(
        page["SecurityGroups"]["SecurityGroup"]
            .as_array()
            .unwrap()
            .len(),
        6
    );

    // The rules of one group, too.
    let params: Vec<(String, String)> = (1..=7)
        .flat_map(|n| {
            [
                (
                    format!("Permissions.{n}.IpProtocol"),
                    format!("{}", 100 + n),
                ),
                (format!("Permissions.{n}.SourceCidrIp"), "0.0.0.0/0".into()),
            ]
        })
        .collect();
    let params: Vec<(&str, &str)> = params
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    of_group(&net, "AuthorizeSecurityGroup", &params).unwrap();
    let first = of_group(
        &net,
        "DescribeSecurityGroupAttribute",
        &[("MaxResults", "5")],
    )
    .unwrap();
    assert_eq!(
        first["Permissions"]["Permission"].as_array().unwrap().len(),
        5
    );
    let token = text(&first, "/NextToken");
    assert_eq!(
        shown(
            &net.world,
            &net.group,
            &[("MaxResults", "5"), ("NextToken", &token)]
        )
        .len(),
        2
    );
}
