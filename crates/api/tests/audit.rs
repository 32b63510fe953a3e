//! The audit trail: each change is in it, also a refused one, and none is acknowledged without it.

use crate::common::{World, refused, text};
use api::{ApiError, Principal};
use serde_json::{Value, json};

impl World {
    fn look_up(&self, params: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.call("2020-07-06", "LookupEvents", params)
    }

    /// The newest events first.
    fn events(&self, params: &[(&str, &str)]) -> Vec<Value> {
        let answer = self.look_up(params).unwrap();
        answer["Events"].as_array().unwrap().clone()
    }
}

/// A condition: name and value.
fn condition<'a>(key: &'a str, value: &'a str) -> [(&'a str, &'a str); 2] {
    [
        ("LookupAttribute.1.Key", key),
        ("LookupAttribute.1.Value", value),
    ]
}

fn names(events: &[Value]) -> Vec<String> {
    events.iter().map(|it| text(it, "/eventName")).collect()
}

/// The VPC that an event names.
fn made(event: &Value) -> String {
    let mut all = event["resources"].as_array().unwrap().iter();
    let vpc = all.find_map(|it| it.as_str().filter(|it| it.starts_with("vpc-")));
    vpc.unwrap().to_owned()
}

#[test]
fn a_change_is_told_with_who_what_from_where_and_the_result() {
    let world = World::new();
    let (key, _) = world.cloud.first_key().unwrap().unwrap();
    let params = [("RegionId", "cn-hangzhou"), ("CidrBlock", "10.0.0.0/8")];
    let version = "2016-04-28";
    let made = world.call_by(Principal::Key(key.clone()), version, "CreateVpc", &params);
    let vpc = text(&made.unwrap(), "/VpcId");
    world
        .vpc("DeleteVpc", &[("VpcId", &vpc), ("Password", "hidden")])
        .unwrap();
    assert_eq!(
        refused(world.vpc("DeleteVpc", &[("VpcId", &vpc)])),
        "InvalidVpcId.NotFound"
    );
    // What only asks is not in it.
    world.vpc("DescribeVpcs", &[]).unwrap();

    let events = world.events(&[]);
    assert_eq!(
        names(&events),
        ["DeleteVpc", "DeleteVpc", "CreateVpc", "CreateAccessKey"]
    );
    let [failed, deleted, created, first] = &events[..] else {
        unreachable!()
    };
    assert_eq!(text(created, "/userIdentity/type"), "root-account");
    assert_eq!(text(created, "/userIdentity/accessKeyId"), key);
    assert_eq!(text(created, "/sourceIpAddress"), "127.0.0.1");
    assert_eq!(text(created, "/userAgent"), "test");
    assert_eq!(text(created, "/serviceName"), "Vpc");
    assert_eq!(text(created, "/acsRegion"), "cn-hangzhou");
    assert_eq!(text(created, "/requestParameters/CidrBlock"), "10.0.0.0/8");
    assert!(
        created["resources"]
            .as_array()
            .unwrap()
            .contains(&json!(vpc))
    );
    assert_eq!(created["httpStatus"], 200);
    assert_eq!(created.get("errorCode"), None);
    assert_eq!(text(deleted, "/userIdentity/type"), "local-user");
    assert_eq!(text(deleted, "/userIdentity/principalId"), "0");
    assert_eq!(text(deleted, "/sourceIpAddress"), "control-socket");
    assert_eq!(text(deleted, "/requestParameters/Password"), "***");
    assert_eq!(text(failed, "/errorCode"), "InvalidVpcId.NotFound");
    assert_eq!(failed["httpStatus"], 404);
    assert_eq!(text(first, "/userIdentity/type"), "system");
}

#[test]
fn what_is_not_allowed_or_malformed_is_told_and_what_is_tried_dry_is_not() {
    let world = World::new();
    let ram = |action: &str, params: &[(&str, &str)]| world.call("2015-05-01", action, params);
    let alice = ("UserName", "alice");
    ram("CreateUser", &[alice]).unwrap();
    let made = ram("CreateAccessKey", &[alice]).unwrap();
    let key = text(&made, "/AccessKey/AccessKeyId");
    let secret = text(&made, "/AccessKey/AccessKeySecret");
    let by_alice = |action: &str, params: &[(&str, &str)]| {
        let principal = Principal::Key(key.clone());
        refused(world.call_by(principal, "2016-04-28", action, params))
    };
    assert_eq!(by_alice("CreateVpc", &[]), "Forbidden.RAM");
    assert_eq!(refused(world.vpc("DeleteVpc", &[])), "MissingParameter");
    let dry = [("CidrBlock", "10.0.0.0/8"), ("DryRun", "true")];
    assert_eq!(refused(world.vpc("CreateVpc", &dry)), "DryRunOperation");
    let events = world.events(&[]);
    assert_eq!(
        names(&events),
        ["DeleteVpc", "CreateVpc", "CreateAccessKey", "CreateUser"]
    );
    assert_eq!(text(&events[0], "/errorCode"), "MissingParameter");
    assert_eq!(text(&events[1], "/errorCode"), "Forbidden.RAM");
    assert_eq!(text(&events[1], "/userIdentity/userName"), "alice");
    assert_eq!(events[2]["resources"], json!(["alice", key]));
    assert!(!json!(events).to_string().contains(&secret));
    // Reading it needs a permission, too.
    let principal = Principal::Key(key.clone());
    let denied = world.call_by(principal, "2020-07-06", "LookupEvents", &[]);
    assert_eq!(refused(denied), "NoPermission");
}

#[test]
fn a_call_that_is_repeated_is_told_again() {
    let world = World::new();
    let params = [("CidrBlock", "10.0.0.0/8"), ("ClientToken", "once")];
    let one = world.vpc("CreateVpc", &params).unwrap();
    assert_eq!(world.vpc("CreateVpc", &params).unwrap(), one);
    assert_eq!(names(&world.events(&[])), ["CreateVpc", "CreateVpc"]);
}

#[test]
fn events_are_found_by_conditions_and_in_pages() {
    let world = World::new();
    let mut vpcs = Vec::new();
    for n in 0..5 {
        let block = format!("10.{n}.0.0/16");
        let made = world.vpc("CreateVpc", &[("CidrBlock", &block)]).unwrap();
        vpcs.push(text(&made, "/VpcId"));
    }
    let vpc = ("VpcId", &*vpcs[2]);
    world
        .vpc("ModifyVpcAttribute", &[vpc, ("VpcName", "shop")])
        .unwrap();
    world.ecs("CreateSecurityGroup", &[vpc]).unwrap();
    let count = |key: &str, value: &str| world.events(&condition(key, value)).len();
    assert_eq!(count("ServiceName", "ecs"), 1);
    assert_eq!(count("EventName", "CreateVpc"), 5);
    assert_eq!(count("ResourceName", &vpcs[2]), 3);
    assert_eq!(count("ResourceName", "vpc-none"), 0);
    assert_eq!(count("User", "local"), 7);
    assert_eq!(count("EventRW", "Read"), 0);
    assert_eq!(count("EventAccessKeyId", "LTAInone"), 0);
    let unknown = condition("ResourceType", "ACS::VPC::VPC");
    assert_eq!(refused(world.look_up(&unknown)), "InvalidParameter");

    for direction in ["FORWARD", "BACKWARD"] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let name = condition("EventName", "CreateVpc");
            let more = [
                ("MaxResults", "2"),
                ("Direction", direction),
                ("NextToken", &token),
            ];
            let params: Vec<_> = name.into_iter().chain(more).collect();
            let page = world.look_up(&params).unwrap();
            let events = page["Events"].as_array().unwrap();
            assert!(events.len() <= 2);
            seen.extend(events.iter().map(made));
            token = text(&page, "/NextToken");
            if token.is_empty() {
                break;
            }
        }
        let mut expected = vpcs.clone();
        if direction == "BACKWARD" {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
    let begin = [("StartTime", "2100-01-01T00:00:00Z")];
    assert_eq!(world.events(&begin).len(), 0);
    let end = [("EndTime", "2020-01-01T00:00:00Z")];
    assert_eq!(world.events(&end).len(), 0);
    for wrong in [
        ("StartTime", "yesterday"),
        ("MaxResults", "51"),
        ("NextToken", "x"),
        ("Direction", "UP"),
    ] {
        assert_eq!(refused(world.look_up(&[wrong])), "InvalidParameter");
    }
}

#[test]
fn the_trail_survives_a_restart() {
    let world = World::new();
    world
        .vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")])
        .unwrap();
    refused(world.vpc("DeleteVpc", &[("VpcId", "vpc-none")]));
    let before = world.events(&[]);
    let world = world.restart();
    assert_eq!(world.events(&[]), before);
    world
        .vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")])
        .unwrap();
    let after = world.events(&[]);
    assert_eq!(after[1..], before[..]);
}

#[test]
fn no_change_is_acknowledged_that_is_not_in_the_trail() {
    let world = World::new();
    let create = || world.vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")]);
    create().unwrap();
    world.fail_audit(true);
    assert_eq!(refused(create()), "InternalError");
    // A refusal is told also if it cannot be written down.
    assert_eq!(
        refused(world.vpc("DeleteVpc", &[("VpcId", "vpc-none")])),
        "InvalidVpcId.NotFound"
    );
    world.fail_audit(false);
    let vpcs = world.vpc("DescribeVpcs", &[]).unwrap();
    assert_eq!(vpcs["TotalCount"], 1);
    create().unwrap();
    assert_eq!(world.events(&[]).len(), 2);
}

/// Writers come at once, and each of their changes has an event of its own.
#[test]
fn events_of_calls_that_come_at_once_do_not_take_each_others_place() {
    let world = World::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let world = &world;
            scope.spawn(move || {
                for m in 0..5 {
                    let block = format!("10.{}.0.0/16", n * 8 + m);
                    world.vpc("CreateVpc", &[("CidrBlock", &block)]).unwrap();
                    refused(world.vpc("DeleteVpc", &[("VpcId", "vpc-none")]));
                }
            });
        }
    });
    let count = |name: &str| {
        let condition = condition("EventName", name);
        let most = [("MaxResults", "50")];
        let params: Vec<_> = condition.into_iter().chain(most).collect();
        world.events(&params).len()
    };
    assert_eq!((count("CreateVpc"), count("DeleteVpc")), (40, 40));
}

#[test]
fn events_are_found_by_their_time() {
    let world = World::new();
    world
        .vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")])
        .unwrap();
    let time = text(&world.events(&[])[0], "/eventTime");
    let then = [("StartTime", &*time), ("EndTime", &*time)];
    assert_eq!(world.events(&then).len(), 1);
    let year = time[..4].parse::<u32>().unwrap();
    let earlier = time.replacen(&time[..4], &(year - 1).to_string(), 1);
    let before = [("StartTime", &*earlier), ("EndTime", &*earlier)];
    assert_eq!(world.events(&before).len(), 0);
    assert_eq!(world.events(&[("StartTime", &earlier)]).len(), 1);
}
