//! The rules of security groups, through the API.

use crate::common::ecs::{Net, group, vpc};
use crate::common::{World, refused, text};
use model::{Direction, Policy, RulePeer, SecurityRule};
use serde_json::{Value, json};

fn rules(net: &Net) -> Vec<SecurityRule> {
    net.security_group(&net.group).unwrap().rules
}

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

const HTTP: [(&str, &str); 3] = [
    ("IpProtocol", "tcp"),
    ("PortRange", "80/80"),
    ("SourceCidrIp", "0.0.0.0/0"),
];

#[test]
fn rules_come_and_go() {
    let net = Net::new();
    let params = [
        ("Permissions.1.IpProtocol", "TCP"),
        ("Permissions.1.PortRange", "80/90"),
        ("Permissions.1.SourceCidrIp", "10.0.0.0/8"),
        ("Permissions.1.Priority", "5"),
        ("Permissions.1.Policy", "Drop"),
        ("Permissions.1.Description", "no web"),
        ("Permissions.2.IpProtocol", "icmp"),
        ("Permissions.2.PortRange", "-1/-1"),
        ("Permissions.2.SourceCidrIp", "10.1.2.3"),
        ("Permissions.2.NicType", "intranet"),
        ("Permissions.3.IpProtocol", "UDP"),
        ("Permissions.3.PortRange", "1/65535"),
        ("Permissions.3.SourceGroupId", &net.group),
        ("Permissions.4.IpProtocol", "89"),
        ("Permissions.4.SourceCidrIp", "0.0.0.0/0"),
    ];
    of_group(&net, "AuthorizeSecurityGroup", &params).unwrap();
    let rule = |policy, priority, protocol, ports, peer| SecurityRule {
        direction: Direction::Ingress,
        policy,
        priority,
        protocol,
        ports,
        peer,
    };
    let cidr = |text: &str| RulePeer::Cidr(text.parse().unwrap());
    let expected = [
        rule(Policy::Drop, 5, Some(6), Some(80..=90), cidr("10.0.0.0/8")),
        rule(Policy::Accept, 1, Some(1), None, cidr("10.1.2.3/32")),
        rule(
            Policy::Accept,
            1,
            Some(17),
            None,
            RulePeer::Group(net.group.clone()),
        ),
        rule(Policy::Accept, 1, Some(89), None, cidr("0.0.0.0/0")),
    ];
    assert_eq!(rules(&net), expected);
    // Once more changes nothing, in the old flat way neither.
    of_group(&net, "AuthorizeSecurityGroup", &params).unwrap();
    let flat = [
        ("IpProtocol", "tcp"),
        ("PortRange", "80/90"),
        ("SourceCidrIp", "10.0.0.0/8"),
        ("Priority", "5"),
        ("Policy", "drop"),
    ];
    let before = net.world.control.cloud();
    of_group(&net, "AuthorizeSecurityGroup", &flat).unwrap();
    assert_eq!(*net.world.control.cloud(), *before);

    let view = shown(&net.world, &net.group, &[]);
    let fields = json!({
        "IpProtocol": "TCP", "PortRange": "80/90", "SourceCidrIp": "10.0.0.0/8", "Policy": "Drop", "Priority": "5",
        "Direction": "ingress", "NicType": "intranet", "Description": "no web", "DestCidrIp": "", "SourceGroupId": "",
    });
    for (field, value) in fields.as_object().unwrap() {
        assert_eq!(&view[0][field], value, "{field}");
    }
    let short: Vec<Value> = view
        .iter()
        .map(|it| json!([it["IpProtocol"], it["PortRange"]]))
        .collect();
    assert_eq!(
        short,
        [
            json!(["TCP", "80/90"]),
            json!(["ICMP", "-1/-1"]),
            json!(["UDP", "1/65535"]),
            json!(["89", "-1/-1"])
        ]
    );
    assert_eq!(
        (&view[2]["SourceGroupId"], &view[2]["SourceGroupName"]),
        (&(&*net.group).into(), &"web".into())
    );

    let egress = [
        ("IpProtocol", "all"),
        ("DestCidrIp", "0.0.0.0/0"),
        ("Policy", "drop"),
        ("Priority", "100"),
    ];
    of_group(&net, "AuthorizeSecurityGroupEgress", &egress).unwrap();
    assert_eq!(
        shown(&net.world, &net.group, &[("Direction", "egress")]).len(),
        1
    );
    assert_eq!(
        shown(&net.world, &net.group, &[("Direction", "ingress")]).len(),
        4
    );
    assert_eq!(
        shown(&net.world, &net.group, &[("NicType", "internet")]).len(),
        0
    );
    assert_eq!(rules(&net)[4].direction, Direction::Egress);
    let net = net.restart();

    // By what they say: what is not there does not matter.
    of_group(&net, "RevokeSecurityGroup", &flat).unwrap();
    of_group(&net, "RevokeSecurityGroup", &flat).unwrap();
    assert_eq!(rules(&net).len(), 4);
    let other_way = [
        ("IpProtocol", "all"),
        ("SourceCidrIp", "0.0.0.0/0"),
        ("Policy", "drop"),
        ("Priority", "100"),
    ];
    of_group(&net, "RevokeSecurityGroup", &other_way).unwrap();
    assert_eq!(rules(&net).len(), 4);
    of_group(&net, "RevokeSecurityGroupEgress", &egress).unwrap();
    assert_eq!(rules(&net), expected[1..]);
    // By identifier: it must be there, and of this direction.
    let ids: Vec<String> = view[1..]
        .iter()
        .map(|it| text(it, "/SecurityGroupRuleId"))
        .collect();
    let code = |action, more: &[(&str, &str)]| refused(of_group(&net, action, more));
    let wrong = [
        ("SecurityGroupRuleId.1", &*ids[0]),
        ("SecurityGroupRuleId.2", "sgr-x"),
    ];
    assert_eq!(
        code("RevokeSecurityGroup", &wrong),
        "InvalidParam.SecurityGroupRuleId"
    );
    let wrong = [("SecurityGroupRuleId.1", &*ids[0])];
    assert_eq!(
        code("RevokeSecurityGroupEgress", &wrong),
        "InvalidParam.SecurityGroupRuleId"
    );
    let wrong = [wrong[0], ("Permissions.1.IpProtocol", "tcp")];
    assert_eq!(
        code("RevokeSecurityGroup", &wrong),
        "InvalidParam.Permissions"
    );
    assert_eq!(rules(&net).len(), 3);
    let right = [
        ("SecurityGroupRuleId.1", &*ids[0]),
        ("SecurityGroupRuleId.2", &*ids[2]),
    ];
    of_group(&net, "RevokeSecurityGroup", &right).unwrap();
    assert_eq!(rules(&net), expected[2..3]);
}

#[test]
fn rules_that_cannot_be() {
    let net = Net::new();
    let other = vpc(&net.world, "10.0.0.0/8");
    let foreign = group(&net.world, &other, "other");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("IpProtocol", "")], "MissingParameter"),
        (
            &[("IpProtocol", "sctp")],
            "InvalidIpProtocol.ValueNotSupported",
        ),
        (
            &[("IpProtocol", "256")],
            "InvalidIpProtocol.ValueNotSupported",
        ),
        (&[("PortRange", "")], "InvalidPortRange.Malformed"),
        (&[("PortRange", "80")], "InvalidParam.PortRange"),
        (&[("PortRange", "0/80")], "InvalidParam.PortRange"),
        (&[("PortRange", "90/80")], "InvalidParam.PortRange"),
        (&[("PortRange", "80/65536")], "InvalidParam.PortRange"),
        (&[("PortRange", "-1/-1")], "OperationDenied"),
        (&[("IpProtocol", "icmp")], "OperationDenied"),
        (&[("Policy", "reject")], "InvalidPolicy.Malformed"),
        (&[("Priority", "0")], "InvalidPriority.ValueNotSupported"),
        (&[("Priority", "101")], "InvalidPriority.ValueNotSupported"),
        (&[("Priority", "high")], "InvalidPriority.Malformed"),
        (&[("SourceCidrIp", "")], "MissingParameter.Source"),
        (
            &[("SourceCidrIp", "10.0.0.1/8")],
            "InvalidSourceCidrIp.Malformed",
        ),
        (&[("SourceCidrIp", "x")], "InvalidSourceCidrIp.Malformed"),
        (
            &[("SourceCidrIp", ""), ("SourceGroupId", "sg-x")],
            "InvalidSourceGroupId.NotFound",
        ),
        (
            &[("SourceCidrIp", ""), ("SourceGroupId", &foreign)],
            "InvalidSourceGroupId.Mismatch",
        ),
        (
            &[("SourceCidrIp", ""), ("SourcePrefixListId", "pl-1")],
            "InvalidPrefixListId.NotFound",
        ),
        (
            &[("Ipv6SourceCidrIp", "::/0")],
            "InvalidParam.Ipv6SourceCidrIp",
        ),
        (&[("DestCidrIp", "10.0.0.0/8")], "InvalidParam.DestCidrIp"),
        (
            &[("SourcePortRange", "1/2")],
            "InvalidSourcePortRange.Malformed",
        ),
        (
            &[("NicType", "internet")],
            "InvalidNicType.ValueNotSupported",
        ),
        (
            &[("Description", "http://x")],
            "InvalidSecurityGroupDiscription.Malformed",
        ),
        (
            &[("Permissions.1.IpProtocol", "tcp")],
            "InvalidParam.Permissions",
        ),
    ];
    for (more, code) in cases {
        let params: Vec<_> = HTTP.iter().chain(*more).copied().collect();
        assert_eq!(
            refused(of_group(&net, "AuthorizeSecurityGroup", &params)),
            *code,
            "{more:?}"
        );
    }
    let egress = [("IpProtocol", "tcp"), ("PortRange", "80/80")];
    assert_eq!(
        refused(of_group(&net, "AuthorizeSecurityGroupEgress", &egress)),
        "MissingParameter.Dest"
    );
    let egress = [egress[0], egress[1], ("DestGroupId", &*foreign)];
    assert_eq!(
        refused(of_group(&net, "AuthorizeSecurityGroupEgress", &egress)),
        "InvalidDestGroupId.Mismatch"
    );
    let twice: Vec<(String, &str)> = (1..=2)
        .flat_map(|n| HTTP.map(|(name, value)| (format!("Permissions.{n}.{name}"), value)))
        .collect();
    let twice: Vec<(&str, &str)> = twice
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    assert_eq!(
        refused(of_group(&net, "AuthorizeSecurityGroup", &twice)),
        "InvalidParam.DuplicatePermissions"
    );
    let names: Vec<String> = (1..=101)
        .map(|n| format!("Permissions.{n}.IpProtocol"))
        .collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "tcp")).collect();
    assert_eq!(
        refused(of_group(&net, "AuthorizeSecurityGroup", &many)),
        "InvalidParameter"
    );
    // One wrong rule among others: none is made.
    let mixed = [
        ("Permissions.1.IpProtocol", "icmp"),
        ("Permissions.1.SourceCidrIp", "0.0.0.0/0"),
        ("Permissions.2.IpProtocol", "icmp"),
        ("Permissions.2.SourceGroupId", "sg-x"),
    ];
    assert_eq!(
        refused(of_group(&net, "AuthorizeSecurityGroup", &mixed)),
        "InvalidSourceGroupId.NotFound"
    );
    let unknown = [("SecurityGroupId", "sg-x"), HTTP[0], HTTP[1], HTTP[2]];
    assert_eq!(
        refused(net.world.ecs("AuthorizeSecurityGroup", &unknown)),
        "InvalidSecurityGroupId.NotFound"
    );
    assert!(rules(&net).is_empty());
}

#[test]
fn rules_are_modified() {
    let net = Net::new();
    of_group(&net, "AuthorizeSecurityGroup", &HTTP).unwrap();
    let id = text(
        &shown(&net.world, &net.group, &[])[0],
        "/SecurityGroupRuleId",
    );
    let modify = |more: &[(&str, &str)]| {
        let mut params = vec![("SecurityGroupRuleId", &*id)];
        params.extend(more);
        of_group(&net, "ModifySecurityGroupRule", &params)
    };
    modify(&[
        ("PortRange", "443/443"),
        ("Priority", "7"),
        ("Policy", "drop"),
        ("Description", "d"),
    ])
    .unwrap();
    let rule = &rules(&net)[0];
    assert_eq!(
        (rule.ports.clone(), rule.priority, rule.policy),
        (Some(443..=443), 7, Policy::Drop)
    );
    assert_eq!(rule.peer, RulePeer::Cidr("0.0.0.0/0".parse().unwrap()));
    modify(&[("SourceCidrIp", "10.0.0.0/8")]).unwrap();
    let view = &shown(&net.world, &net.group, &[])[0];
    let fields = [
        ("SecurityGroupRuleId", &*id),
        ("SourceCidrIp", "10.0.0.0/8"),
        ("Description", "d"),
        ("PortRange", "443/443"),
    ];
    for (field, value) in fields {
        assert_eq!(view[field], value);
    }
    assert_eq!(
        refused(modify(&[("IpProtocol", "icmp")])),
        "OperationDenied"
    );
    modify(&[("IpProtocol", "icmp"), ("PortRange", "-1/-1")]).unwrap();
    assert_eq!(rules(&net)[0].ports, None);
    assert_eq!(
        refused(modify(&[("SourceGroupId", &net.group)])),
        "InvalidOperation.ModifySgRuleEntityType"
    );
    of_group(&net, "AuthorizeSecurityGroup", &HTTP).unwrap();
    let same = [
        HTTP[0],
        HTTP[1],
        HTTP[2],
        ("Priority", "1"),
        ("Policy", "accept"),
    ];
    assert_eq!(refused(modify(&same)), "InvalidOperation.RuleDuplicate");
    // Told by what it says, a rule gets another description.
    let told = [HTTP[0], HTTP[1], HTTP[2], ("Description", "web")];
    of_group(&net, "ModifySecurityGroupRule", &told).unwrap();
    assert_eq!(
        shown(&net.world, &net.group, &[])
            .iter()
            .filter(|it| it["Description"] == "web")
            .count(),
        1
    );
    let none = [HTTP[0], ("PortRange", "81/81"), HTTP[2]];
    assert_eq!(
        refused(of_group(&net, "ModifySecurityGroupRule", &none)),
        "SecurityGroupRule.NotFound"
    );
    let egress = [("SecurityGroupRuleId", &*id), ("Priority", "3")];
    let wrong = of_group(&net, "ModifySecurityGroupEgressRule", &egress);
    assert_eq!(refused(wrong), "InvalidParam.SecurityGroupRuleId");
    let out = [("IpProtocol", "all"), ("DestGroupId", &*net.group)];
    of_group(&net, "AuthorizeSecurityGroupEgress", &out).unwrap();
    let id = text(
        &shown(&net.world, &net.group, &[("Direction", "egress")])[0],
        "/SecurityGroupRuleId",
    );
    let egress = [("SecurityGroupRuleId", &*id), ("Policy", "drop")];
    of_group(&net, "ModifySecurityGroupEgressRule", &egress).unwrap();
    assert_eq!(rules(&net)[2].policy, Policy::Drop);
}

#[test]
fn there_are_so_many_rules_and_groups() {
    let net = Net::new();
    net.limit_as_the_cloud();
    let id = net.run(&[]);
    // Groups that a rule may name.
    let others: Vec<String> = (0..21)
        .map(|n| group(&net.world, &net.vpc, &format!("g{n:02}")))
        .collect();
    let names: Vec<[String; 2]> = (1..=21)
        .map(|n| {
            [
                format!("Permissions.{n}.IpProtocol"),
                format!("Permissions.{n}.SourceGroupId"),
            ]
        })
        .collect();
    let params: Vec<(&str, &str)> = names
        .iter()
        .zip(&others)
        .flat_map(|([protocol, group], id)| [(&**protocol, "all"), (&**group, &**id)])
        .collect();
    assert_eq!(
        refused(of_group(&net, "AuthorizeSecurityGroup", &params)),
        "AuthorizedGroupRule.LimitExceed"
    );
    of_group(&net, "AuthorizeSecurityGroup", &params[..40]).unwrap();
    // Groups that an interface is in.
    let join = |group: &str| {
        net.world.ecs(
            "JoinSecurityGroup",
            &[("InstanceId", &*id), ("SecurityGroupId", group)],
        )
    };
    for other in &others[..4] {
        join(other).unwrap();
    }
    assert_eq!(
        refused(join(&others[4])),
        "InstanceSecurityGroupLimitExceeded"
    );
    // Rules of all groups of an interface.
    let authorize = |group: &str, from: usize, count: usize| {
        let rules: Vec<[(String, String); 3]> = (0..count)
            .map(|n| {
                [
                    ("IpProtocol", "tcp".to_owned()),
                    ("SourceCidrIp", "0.0.0.0/0".into()),
                    ("PortRange", format!("{0}/{0}", from + n)),
                ]
                .map(|(name, value)| (format!("Permissions.{}.{name}", n + 1), value))
            })
            .collect();
        let mut params = vec![("SecurityGroupId", group)];
        params.extend(
            rules
                .iter()
                .flatten()
                .map(|(name, value)| (&**name, &**value)),
        );
        net.world.ecs("AuthorizeSecurityGroup", &params)
    };
    for n in 0..9 {
        authorize(&net.group, 1 + n * 100, 100).unwrap();
    }
    authorize(&others[0], 1, 80).unwrap();
    assert_eq!(
        refused(authorize(&others[0], 81, 1)),
        "AuthorizationLimitExceed"
    );
    assert_eq!(
        refused(authorize(&net.group, 901, 1)),
        "AuthorizationLimitExceed"
    );
    net.world
        .ecs(
            "LeaveSecurityGroup",
            &[("InstanceId", &*id), ("SecurityGroupId", &others[0])],
        )
        .unwrap();
    authorize(&others[0], 81, 1).unwrap();
    assert_eq!(refused(join(&others[0])), "AuthorizationLimitExceed");
}
