//! Users, their keys and policies, and what the policies let them do.

use crate::common::{World, refused, text};
use api::{ApiError, Principal, Service};
use serde_json::{Value, json};

impl World {
    fn ram(&self, action: &str, params: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.call("2015-05-01", action, params)
    }

    /// A user with a policy of one statement that allows this, and the identifier of its key.
    fn user(&self, name: &str, actions: Value, resources: Value) -> String {
        self.ram("CreateUser", &[("UserName", name)]).unwrap();
        let document = json!({"Version": "1", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": resources}]});
        let document = document.to_string();
        let policy = [("PolicyName", name), ("PolicyDocument", &*document)];
        self.ram("CreatePolicy", &policy).unwrap();
        self.attach(name, "Custom", name).unwrap();
        self.key(name)
    }

    fn attach(&self, user: &str, kind: &str, policy: &str) -> Result<Value, ApiError> {
        let params = [
            ("UserName", user),
            ("PolicyType", kind),
            ("PolicyName", policy),
        ];
        self.ram("AttachPolicyToUser", &params)
    }

    fn key(&self, user: &str) -> String {
        let key = self.ram("CreateAccessKey", &[("UserName", user)]).unwrap();
        text(&key, "/AccessKey/AccessKeyId")
    }

    /// Calls an operation of the VPC product, or with `ecs:` before it of ECS, by an access key.
    fn by(&self, key: &str, action: &str, params: &[(&str, &str)]) -> Result<Value, ApiError> {
        let (version, action) = match action.split_once(':') {
            Some(("ecs", action)) => ("2014-05-26", action),
            Some((_, action)) => ("2015-05-01", action),
            None => ("2016-04-28", action),
        };
        let region = [("RegionId", "cn-hangzhou")];
        let params: Vec<_> = region.iter().chain(params).copied().collect();
        self.call_by(Principal::Key(key.into()), version, action, &params)
    }
}

const DENIED: &str = "Forbidden.RAM";

/// A VPC with a vSwitch, a gateway with an EIP and an SNAT entry.
struct Net {
    vpc: String,
    vswitch: String,
    gateway: String,
    snat_table: String,
    eip: String,
    entry: String,
}

fn net(world: &World) -> Net {
    let make = |action: &str, params: &[(&str, &str)], path: &str| {
        text(&world.vpc(action, params).unwrap(), path)
    };
    let vpc = make("CreateVpc", &[("CidrBlock", "192.168.0.0/16")], "/VpcId");
    let of_vpc = ("VpcId", &*vpc);
    let zone = ("ZoneId", "cn-hangzhou-h");
    let block = ("CidrBlock", "192.168.1.0/24");
    let vswitch = make("CreateVSwitch", &[of_vpc, zone, block], "/VSwitchId");
    let of_vswitch = ("VSwitchId", &*vswitch);
    let gateway = world
        .vpc("CreateNatGateway", &[of_vpc, of_vswitch])
        .unwrap();
    let snat_table = text(&gateway, "/SnatTableIds/SnatTableId/0");
    let gateway = text(&gateway, "/NatGatewayId");
    let eip = world.vpc("AllocateEipAddress", &[]).unwrap();
    let address = text(&eip, "/EipAddress");
    let eip = text(&eip, "/AllocationId");
    let bind = [
        ("AllocationId", &*eip),
        ("InstanceId", &gateway),
        ("InstanceType", "Nat"),
    ];
    world.vpc("AssociateEipAddress", &bind).unwrap();
    let entry = [
        ("SnatTableId", &*snat_table),
        ("SourceVSwitchId", &vswitch),
        ("SnatIp", &address),
    ];
    let entry = make("CreateSnatEntry", &entry, "/SnatEntryId");
    Net {
        vpc,
        vswitch,
        gateway,
        snat_table,
        eip,
        entry,
    }
}

#[test]
fn nothing_is_allowed_by_default_and_only_to_keys_that_there_are() {
    let world = World::new();
    world.ram("CreateUser", &[("UserName", "nobody")]).unwrap();
    let key = world.key("nobody");
    let error = world.by(&key, "DescribeVpcs", &[]).unwrap_err();
    assert_eq!((error.status, &*error.code), (403, DENIED));
    for part in ["vpc:DescribeVpcs", "vpc/*", "nobody"] {
        assert!(error.message.contains(part), "{error}");
    }
    assert_eq!(
        refused(world.by(&key, "ecs:DescribeInstances", &[])),
        DENIED
    );
    assert_eq!(
        refused(world.by(&key, "ram:ListUsers", &[])),
        "NoPermission"
    );
    assert_eq!(
        refused(world.by("testid", "DescribeVpcs", &[])),
        "InvalidAccessKeyId.NotFound"
    );
}

#[test]
fn who_may_only_read_changes_nothing() {
    let world = World::new();
    let net = net(&world);
    world.ram("CreateUser", &[("UserName", "reader")]).unwrap();
    world.attach("reader", "System", "ReadOnlyAccess").unwrap();
    let key = world.key("reader");
    for action in [
        "DescribeVpcs",
        "DescribeEipAddresses",
        "ecs:DescribeInstances",
        "ecs:DescribeRegions",
        "ram:ListUsers",
        "ram:ListPolicies",
    ] {
        world.by(&key, action, &[]).unwrap();
    }
    let vpc = ("VpcId", &*net.vpc);
    for (action, params) in [
        ("CreateVpc", &[][..]),
        ("DeleteVpc", &[vpc]),
        ("ModifyVpcAttribute", &[vpc, ("VpcName", "mine")]),
        ("AllocateEipAddress", &[]),
        ("ecs:CreateSecurityGroup", &[vpc]),
    ] {
        assert_eq!(refused(world.by(&key, action, params)), DENIED, "{action}");
    }
    for action in ["ram:CreateUser", "ram:CreateAccessKey"] {
        let user = [("UserName", "another")];
        assert_eq!(refused(world.by(&key, action, &user)), "NoPermission");
    }
}

#[test]
fn who_has_one_vpc_has_all_that_lies_in_it_and_nothing_else() {
    let world = World::new();
    let (own, other) = (net(&world), net(&world));
    let resource = format!("acs:vpc:*:*:vpc/{}", own.vpc);
    let key = world.user("tenant", json!("*"), json!(resource));
    let asks = |net: &Net| {
        vec![
            ("DescribeVpcs", vec![("VpcId", net.vpc.clone())]),
            ("DescribeVpcAttribute", vec![("VpcId", net.vpc.clone())]),
            ("DescribeNatGateways", vec![("VpcId", net.vpc.clone())]),
            (
                "GetNatGatewayAttribute",
                vec![("NatGatewayId", net.gateway.clone())],
            ),
            (
                "DescribeSnatTableEntries",
                vec![("SnatTableId", net.snat_table.clone())],
            ),
            (
                "DescribeEipAddresses",
                vec![("AllocationId", net.eip.clone())],
            ),
            (
                "ecs:DescribeInstances",
                vec![("VSwitchId", net.vswitch.clone())],
            ),
            (
                "ModifySnatEntry",
                vec![
                    ("SnatTableId", net.snat_table.clone()),
                    ("SnatEntryId", net.entry.clone()),
                    ("SnatEntryName", "named".into()),
                ],
            ),
            (
                "ModifyVSwitchAttribute",
                vec![
                    ("VSwitchId", net.vswitch.clone()),
                    ("VSwitchName", "named".into()),
                ],
            ),
            (
                "TagResources",
                vec![
                    ("ResourceType", "NATGATEWAY".into()),
                    ("ResourceId.1", net.gateway.clone()),
                    ("Tag.1.Key", "k".into()),
                ],
            ),
            ("ecs:CreateSecurityGroup", vec![("VpcId", net.vpc.clone())]),
        ]
    };
    let call = |(action, params): (&str, Vec<(&'static str, String)>)| {
        let params: Vec<_> = params.iter().map(|(name, text)| (*name, &**text)).collect();
        world.by(&key, action, &params)
    };
    for ask in asks(&own) {
        let action = ask.0;
        call(ask).unwrap_or_else(|error| panic!("{action}: {error}"));
    }
    for ask in asks(&other) {
        let action = ask.0;
        assert_eq!(refused(call(ask)), DENIED, "{action}");
    }
    // One of its own beside another's is not enough, however it is written.
    let both = format!("{},{}", own.vpc, other.vpc);
    for params in [
        vec![("VpcId", &*both)],
        // No list: the operation would not look at it.
        vec![("VpcId.1", &own.vpc)],
        // Not one that narrows the answer down.
        vec![("InstanceId", &own.vpc)],
        vec![("VpcId", ",")],
        vec![],
    ] {
        let answer = world.by(&key, "DescribeVpcs", &params);
        assert_eq!(refused(answer), DENIED, "{params:?}");
    }
    for params in [
        [
            ("SnatTableId", &*own.snat_table),
            ("SnatEntryId", &*other.entry),
        ],
        [
            ("SnatTableId", &other.snat_table),
            ("SnatEntryId", &own.entry),
        ],
        [
            ("SnatTableId", &own.snat_table),
            ("SnatEntryId", "snat-none"),
        ],
    ] {
        assert_eq!(refused(world.by(&key, "DeleteSnatEntry", &params)), DENIED);
    }
    // What is made outside of all VPCs, or in one that is not named.
    let vpc = ("VpcId", &*own.vpc);
    for action in [
        "CreateVpc",
        "CreateDefaultVpc",
        "CreateDefaultVSwitch",
        "AllocateEipAddress",
    ] {
        let params = [
            vpc,
            ("InstanceId", &*own.gateway),
            ("ZoneId", "cn-hangzhou-h"),
        ];
        assert_eq!(refused(world.by(&key, action, &params)), DENIED, "{action}");
    }
}

#[test]
fn an_eip_lies_in_a_vpc_as_long_as_it_is_bound() {
    let world = World::new();
    let net = net(&world);
    let resource = format!("acs:vpc:*:*:vpc/{}", net.vpc);
    let key = world.user("tenant", json!("*"), json!(resource));
    let eip = ("AllocationId", &*net.eip);
    let force = ("Force", "true");
    world
        .by(&key, "UnassociateEipAddress", &[eip, force])
        .unwrap();
    assert_eq!(refused(world.by(&key, "ReleaseEipAddress", &[eip])), DENIED);
    let gateway = ("InstanceId", &*net.gateway);
    let bind = [eip, gateway, ("InstanceType", "Nat")];
    assert_eq!(
        refused(world.by(&key, "AssociateEipAddress", &bind)),
        DENIED
    );
}

#[test]
fn what_denies_wins_over_what_allows() {
    let world = World::new();
    let net = net(&world);
    let key = world.user("ops", json!(["vpc:*", "ecs:*"]), json!("*"));
    let vpc = format!("acs:vpc:cn-hangzhou:*:vpc/{}", net.vpc);
    let document = json!({"Version": "1", "Statement": {}});
    let document = document.to_string();
    let named = ("PolicyName", "careful");
    let policy = [named, ("PolicyDocument", &*document)];
    assert_eq!(
        refused(world.ram("CreatePolicy", &policy)),
        "MalformedPolicyDocument"
    );
    let document = json!({"Version": "1", "Statement": [
        {"Effect": "Deny", "Action": ["vpc:Delete*"], "Resource": [vpc]}]});
    let document = document.to_string();
    let policy = [named, ("PolicyDocument", &*document)];
    world.ram("CreatePolicy", &policy).unwrap();
    world.attach("ops", "Custom", "careful").unwrap();
    let gateway = [("NatGatewayId", &*net.gateway), ("Force", "true")];
    let error = world.by(&key, "DeleteNatGateway", &gateway).unwrap_err();
    assert_eq!(&*error.code, DENIED);
    assert!(error.message.contains("careful"), "{error}");
    let name = [gateway[0], ("Name", "named")];
    world.by(&key, "ModifyNatGatewayAttribute", &name).unwrap();
    // It works until it is detached, and from then on no more.
    let detach = [("UserName", "ops"), ("PolicyType", "Custom"), named];
    world.ram("DetachPolicyFromUser", &detach).unwrap();
    world.by(&key, "DeleteNatGateway", &gateway).unwrap();
}

#[test]
fn users_and_policies_come_and_go_as_in_the_cloud() {
    let world = World::new();
    let params = [
        ("UserName", "alice"),
        ("DisplayName", "Alice"),
        ("Comments", "of the network team"),
    ];
    let made = world.ram("CreateUser", &params).unwrap();
    assert_eq!(text(&made, "/User/DisplayName"), "Alice");
    assert_eq!(text(&made, "/User/UserId").len(), 18);
    assert_eq!(
        refused(world.ram("CreateUser", &params)),
        "EntityAlreadyExists.User"
    );
    assert_eq!(
        refused(world.ram("CreateUser", &[("UserName", "a b")])),
        "InvalidParameter.UserName.InvalidChars"
    );
    let long = "a".repeat(65);
    assert_eq!(
        refused(world.ram("CreateUser", &[("UserName", &long)])),
        "InvalidParameter.UserName.Length"
    );
    let alice = ("UserName", "alice");
    world
        .attach("alice", "System", "AliyunVPCFullAccess")
        .unwrap();
    assert_eq!(
        refused(world.attach("alice", "System", "AliyunVPCFullAccess")),
        "EntityAlreadyExists.User.Policy"
    );
    assert_eq!(
        refused(world.attach("alice", "Custom", "AliyunVPCFullAccess")),
        "EntityNotExist.Policy"
    );
    assert_eq!(
        refused(world.attach("alice", "Other", "AliyunVPCFullAccess")),
        "InvalidParameter.PolicyType"
    );
    let policies = world.ram("ListPoliciesForUser", &[alice]).unwrap();
    assert_eq!(
        text(&policies, "/Policies/Policy/0/PolicyName"),
        "AliyunVPCFullAccess"
    );
    let system = [
        ("PolicyType", "System"),
        ("PolicyName", "AliyunVPCFullAccess"),
    ];
    let entities = world.ram("ListEntitiesForPolicy", &system).unwrap();
    assert_eq!(text(&entities, "/Users/User/0/UserName"), "alice");
    let policy = world.ram("GetPolicy", &system).unwrap();
    assert_eq!(policy["Policy"]["AttachmentCount"], 1);
    assert!(text(&policy, "/DefaultPolicyVersion/PolicyDocument").contains("vpc:*"));
    assert_eq!(
        refused(world.ram("DeleteUser", &[alice])),
        "DeleteConflict.User.Policy"
    );
    world
        .ram("DetachPolicyFromUser", &[alice, system[0], system[1]])
        .unwrap();
    assert_eq!(
        refused(world.ram("DetachPolicyFromUser", &[alice, system[0], system[1]])),
        "EntityNotExist.User.Policy"
    );
    let key = world.key("alice");
    assert_eq!(
        refused(world.ram("DeleteUser", &[alice])),
        "DeleteConflict.User.AccessKey"
    );
    let key = ("UserAccessKeyId", &*key);
    assert_eq!(
        refused(world.ram("DeleteAccessKey", &[key])),
        "EntityNotExist.User.AccessKey",
        "it is alice's, not the account's"
    );
    world.ram("DeleteAccessKey", &[alice, key]).unwrap();
    world.ram("DeleteUser", &[alice]).unwrap();
    assert_eq!(
        refused(world.ram("GetUser", &[alice])),
        "EntityNotExist.User"
    );
}

#[test]
fn lists_come_in_pages() {
    let world = World::new();
    for n in 0..7 {
        let name = format!("user-{n}");
        world.ram("CreateUser", &[("UserName", &name)]).unwrap();
    }
    let (mut seen, mut marker) = (Vec::new(), String::new());
    loop {
        let params = [("MaxItems", "3"), ("Marker", &*marker)];
        let page = world.ram("ListUsers", &params).unwrap();
        let users = page["Users"]["User"].as_array().unwrap().clone();
        seen.extend(users.iter().map(|it| text(it, "/UserName")));
        if page["IsTruncated"] == false {
            break;
        }
        marker = text(&page, "/Marker");
    }
    let expected: Vec<_> = (0..7).map(|n| format!("user-{n}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(
        refused(world.ram("ListUsers", &[("MaxItems", "0")])),
        "InvalidParameter"
    );
    let custom = [("PolicyType", "Custom")];
    let policies = world.ram("ListPolicies", &custom).unwrap();
    assert_eq!(policies["Policies"]["Policy"], json!([]));
}

#[test]
fn a_user_cares_for_its_own_keys_if_it_may() {
    let world = World::new();
    let own = json!(["acs:ram:*:*:user/alice"]);
    let first = world.user("alice", json!("ram:*AccessKey*"), own);
    world.ram("CreateUser", &[("UserName", "bob")]).unwrap();
    let made = world.by(&first, "ram:CreateAccessKey", &[]).unwrap();
    let second = text(&made, "/AccessKey/AccessKeyId");
    let secret = text(&made, "/AccessKey/AccessKeySecret");
    assert_eq!(world.cloud.secret(&second), Some(secret));
    let disable = [("UserAccessKeyId", &*first), ("Status", "Inactive")];
    world.by(&second, "ram:UpdateAccessKey", &disable).unwrap();
    assert_eq!(world.cloud.secret(&first), None);
    assert_eq!(
        refused(world.by(&first, "ram:ListAccessKeys", &[])),
        "InvalidAccessKeyId.NotFound"
    );
    let keys = world.by(&second, "ram:ListAccessKeys", &[]).unwrap();
    let keys = keys["AccessKeys"]["AccessKey"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|it| it.get("AccessKeySecret").is_none()));
    let bob = [("UserName", "bob")];
    assert_eq!(
        refused(world.by(&second, "ram:CreateAccessKey", &bob)),
        "NoPermission"
    );
}

#[test]
fn the_last_administrator_stays() {
    let world = World::new();
    let (root, _) = world.cloud.first_key().unwrap().unwrap();
    assert_eq!(world.cloud.first_key(), Ok(None));
    let last = "DeleteConflict.LastAdministrator";
    let key = ("UserAccessKeyId", &*root);
    let (off, on) = (("Status", "Inactive"), ("Status", "Active"));
    assert_eq!(
        refused(world.by(&root, "ram:DeleteAccessKey", &[key])),
        last
    );
    assert_eq!(
        refused(world.by(&root, "ram:UpdateAccessKey", &[key, off])),
        last
    );
    // A user with less than everything is no administrator.
    world.user("most", json!(["vpc:*", "ecs:*", "ram:*"]), json!("*"));
    assert_eq!(
        refused(world.by(&root, "ram:DeleteAccessKey", &[key])),
        last
    );
    // Another administrator, whoever made the policy.
    let admin = world.user("admin", json!("*"), json!(["*"]));
    world.ram("UpdateAccessKey", &[key, off]).unwrap();
    world.ram("UpdateAccessKey", &[key, on]).unwrap();
    world.by(&root, "ram:DeleteAccessKey", &[key]).unwrap();
    let detach = [
        ("UserName", "admin"),
        ("PolicyType", "Custom"),
        ("PolicyName", "admin"),
    ];
    assert_eq!(
        refused(world.by(&admin, "ram:DetachPolicyFromUser", &detach)),
        last
    );
    let cascade = [detach[2], ("CascadingDelete", "true")];
    assert_eq!(
        refused(world.by(&admin, "ram:DeletePolicy", &cascade)),
        last
    );
    let deny = json!({"Version": "1", "Statement": [
        {"Effect": "Deny", "Action": "ram:*", "Resource": "*"}]});
    let deny = deny.to_string();
    let policy = [("PolicyName", "deny"), ("PolicyDocument", &*deny)];
    world.ram("CreatePolicy", &policy).unwrap();
    assert_eq!(refused(world.attach("admin", "Custom", "deny")), last);
    // Nothing of it was left half done.
    world.by(&admin, "ram:ListUsers", &[]).unwrap();
    world
        .attach("admin", "System", "AdministratorAccess")
        .unwrap();
    world
        .by(&admin, "ram:DetachPolicyFromUser", &detach)
        .unwrap();
}

#[test]
fn a_secret_is_kept_nowhere_and_comes_back_after_a_restart() {
    let world = World::new();
    world.ram("CreateUser", &[("UserName", "alice")]).unwrap();
    // RAM knows no client tokens: the answer must not be kept with one.
    let params = [("UserName", "alice"), ("ClientToken", "once")];
    let one = world.ram("CreateAccessKey", &params).unwrap();
    let two = world.ram("CreateAccessKey", &params).unwrap();
    let id = text(&one, "/AccessKey/AccessKeyId");
    let secret = text(&one, "/AccessKey/AccessKeySecret");
    assert_ne!(id, text(&two, "/AccessKey/AccessKeyId"));
    assert!(!world.stored().contains(&secret));
    let world = world.restart();
    assert_eq!(world.cloud.secret(&id), Some(secret));
    assert_eq!(refused(world.by(&id, "DescribeVpcs", &[])), DENIED);
}

#[test]
fn callers_are_told_who_they_are() {
    let world = World::new();
    let key = world.user("alice", json!("vpc:*"), json!("*"));
    let ask = |principal| {
        let told = world.call_by(principal, "2015-04-01", "GetCallerIdentity", &[]);
        let told = told.unwrap();
        let (kind, arn) = (text(&told, "/IdentityType"), text(&told, "/Arn"));
        (kind, arn, text(&told, "/AccountId"))
    };
    let (kind, arn, account) = ask(Principal::Key(key));
    assert_eq!(kind, "RAMUser");
    assert_eq!(arn, format!("acs:ram::{account}:user/alice"));
    let (kind, arn, same) = ask(Principal::Local { uid: 0 });
    assert_eq!((&*kind, same), ("Account", account.clone()));
    assert_eq!(arn, format!("acs:ram::{account}:root"));
}
