//! Policies of NAT firewalls, through the API, and what all firewalls' policies have in common.

mod backups;
mod borders;
mod checks;
mod running;

use crate::common::{World, refused, text};
use crate::nat::*;
use api::ApiError;
use model::{ControlPolicy, Offset, PolicyPorts, PolicyScope, Validity};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parameters of a policy of a gateway: these, and for the rest one that allows everything.
pub fn params<'a>(gateway: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("NatGatewayId", gateway),
        ("Direction", "out"),
        ("NewOrder", "-1"),
        ("Description", "a policy"),
        ("AclAction", "accept"),
        ("Proto", "TCP"),
        ("SourceType", "net"),
        ("Source", "192.168.0.0/16"),
        ("DestinationType", "net"),
        ("Destination", "0.0.0.0/0"),
        ("ApplicationNameList.1", "ANY"),
        ("DestPort", "443"),
    ];
    let other = |name: &str| more.iter().any(|(it, _)| *it == name);
    let usual = usual.into_iter().filter(|(name, _)| !other(name));
    // An empty value leaves a parameter out.
    let all = usual.chain(more.iter().copied());
    all.filter(|(_, value)| !value.is_empty()).collect()
}

fn try_create(world: &World, site: &Site, more: &[(&str, &str)]) -> Result<Value, ApiError> {
    world.cfw(
        "CreateNatFirewallControlPolicy",
        &params(&site.gateway, more),
    )
}

fn create(world: &World, site: &Site, more: &[(&str, &str)]) -> String {
    text(&try_create(world, site, more).unwrap(), "/AclUuid")
}

fn on<'a>(site: &'a Site, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let gateway = [("NatGatewayId", &*site.gateway), ("Direction", "out")];
    [&gateway, more].concat()
}

fn listed(world: &World, site: &Site, more: &[(&str, &str)]) -> Vec<Value> {
    let answer = world.cfw("DescribeNatFirewallControlPolicy", &on(site, more));
    answer.unwrap()["Policys"].as_array().unwrap().clone()
}

fn order(world: &World, site: &Site) -> Vec<String> {
    let all = listed(world, site, &[("PageSize", "50")]);
    for (n, policy) in all.iter().enumerate() {
        assert_eq!(policy["Order"], n + 1);
    }
    all.iter().map(|it| text(it, "/Description")).collect()
}

/// The policies as the engine is told.
fn told(world: &World, scope: &PolicyScope) -> Vec<Arc<ControlPolicy>> {
    world.control.config().firewalls.policies(scope).to_vec()
}

fn scope(site: &Site) -> PolicyScope {
    PolicyScope::NatGateway(site.gateway.clone())
}

#[test]
fn a_policy_is_made_shown_changed_and_deleted() {
    let world = World::new();
    let site = site(&world);
    let id = create(
        &world,
        &site,
        &[
            ("DestinationType", "domain"),
            ("Destination", "*.Example.COM"),
            ("ApplicationNameList.1", "HTTPS"),
            ("ApplicationNameList.2", "HTTP"),
            ("DomainResolveType", "2"),
            ("AclAction", "drop"),
            ("Release", "False"),
            ("RepeatType", "Weekly"),
            ("RepeatDays.1", "1"),
            ("RepeatDays.2", "5"),
            ("RepeatStartTime", "21:30"),
            ("RepeatEndTime", "06:15"),
            ("RepeatTimeZone", "+08:00"),
            ("StartTime", "1699156800"),
            ("EndTime", "1888545600"),
        ],
    );
    assert_eq!(id.len(), 36);
    let one = listed(&world, &site, &[("AclUuid", &id)]).remove(0);
    for (field, value) in [
        ("NatGatewayId", json!(site.gateway)),
        ("AclAction", json!("drop")),
        ("DestinationType", json!("domain")),
        ("Destination", json!("*.example.com")),
        ("SourceType", json!("net")),
        ("Source", json!("192.168.0.0/16")),
        ("ApplicationNameList", json!(["HTTPS", "HTTP"])),
        ("DestPort", json!("443/443")),
        ("DestPortType", json!("port")),
        ("DomainResolveType", json!(2)),
        ("Release", json!("false")),
        ("RepeatType", json!("Weekly")),
        ("RepeatDays", json!([1, 5])),
        ("RepeatStartTime", json!("21:30")),
        ("RepeatEndTime", json!("06:15")),
        ("RepeatTimeZone", json!("+08:00")),
        ("StartTime", json!(1_699_156_800)),
        ("SpreadCnt", json!("2")),
        ("HitTimes", json!(0)),
    ] {
        assert_eq!(one[field], value, "{field}");
    }
    let policy = told(&world, &scope(&site)).remove(0);
    assert!(!policy.enabled);
    assert!(matches!(
        policy.validity,
        Validity::Repeated {
            start: 1_290,
            end: 375,
            offset: Offset::Minutes(480),
            ..
        }
    ));

    // What a change does not name stays.
    let change = [
        ("AclUuid", &*id),
        ("Release", "true"),
        ("RepeatEndTime", "07:00"),
        ("DestPort", "8000/8099"),
    ];
    world
        .cfw("ModifyNatFirewallControlPolicy", &on(&site, &change))
        .unwrap();
    let policy = told(&world, &scope(&site)).remove(0);
    assert_eq!(policy.id, id);
    assert!(policy.enabled);
    assert_eq!(policy.ports, PolicyPorts::Range(8000..=8099));
    assert!(matches!(
        &policy.validity,
        Validity::Repeated {
            start: 1_290,
            end: 420,
            offset: Offset::Minutes(480),
            ..
        }
    ));
    let change = [("AclUuid", &*id), ("RepeatType", "Permanent")];
    world
        .cfw("ModifyNatFirewallControlPolicy", &on(&site, &change))
        .unwrap();
    assert_eq!(told(&world, &scope(&site))[0].validity, Validity::Permanent);

    let world = world.restart();
    assert_eq!(listed(&world, &site, &[])[0]["RepeatType"], "Permanent");
    world
        .cfw(
            "DeleteNatFirewallControlPolicy",
            &on(&site, &[("AclUuid", &id)]),
        )
        .unwrap();
    assert_eq!(listed(&world, &site, &[]), Vec::<Value>::new());
    let again = world.cfw(
        "DeleteNatFirewallControlPolicy",
        &on(&site, &[("AclUuid", &id)]),
    );
    assert_eq!(refused(again), "ErrorAclNotExist");
    // The audit trail tells whose policy was deleted.
    assert!(world.stored().contains(&id));
}

#[test]
fn what_cannot_be_is_refused() {
    let world = World::new();
    let site = site(&world);
    let code = |more: &[(&str, &str)]| refused(try_create(&world, &site, more));
    let apps = "ErrorParametersApplicationName";
    for (more, expected) in [
        (
            &[("Proto", "UDP"), ("ApplicationNameList.1", "MySQL")][..],
            apps,
        ),
        (&[("Proto", "ANY"), ("ApplicationNameList.1", "HTTP")], apps),
        (&[("ApplicationNameList.1", "Gopher")], apps),
        (
            &[
                ("ApplicationNameList.1", "FTP"),
                ("ApplicationNameList.2", "SSH"),
                ("ApplicationNameList.3", "VNC"),
                ("ApplicationNameList.4", "RDP"),
                ("ApplicationNameList.5", "MQTT"),
                ("ApplicationNameList.6", "HTTP"),
            ],
            apps,
        ),
        (&[("ApplicationNameList.2", "HTTP")], "InvalidParameter"),
        (&[("ApplicationNameList.1", "")], "MissingParameter"),
        (
            &[
                ("DestinationType", "domain"),
                ("Destination", "a.example"),
                ("ApplicationNameList.1", "MySQL"),
            ],
            apps,
        ),
        (
            &[
                ("DestinationType", "domain"),
                ("Destination", "a.example"),
                ("Proto", "UDP"),
            ],
            "ErrorParametersProto",
        ),
        (
            &[("Proto", "ICMP"), ("DestPort", "80")],
            "ErrorParametersDestPort",
        ),
        (&[("DestPort", "0/80")], "InvalidParameter"),
        (&[("DestPortType", "group")], "MissingParameter"),
        (
            &[("DestPortGroup", "web"), ("DestPort", "")],
            "ErrorAddressBookNotExist",
        ),
        (&[("Source", "192.168.0.1/16")], "InvalidParameter"),
        (&[("Source", "somewhere")], "InvalidParameter"),
        (&[("SourceType", "group")], "ErrorAddressBookNotExist"),
        (
            &[("DestinationType", "location"), ("Destination", "[\"x\"]")],
            "ErrorParametersDestination",
        ),
        (
            &[("DestinationType", "domain"), ("Destination", "a..b")],
            "InvalidParameter",
        ),
        (&[("Direction", "in")], "InvalidParameter"),
        (&[("IpVersion", "6")], "InvalidParameter"),
        (&[("NewOrder", "0")], "ErrorParametersNewOrder"),
        (&[("NewOrder", "-2")], "ErrorParametersNewOrder"),
        (&[("RepeatType", "Daily")], "MissingParameter"),
        (
            &[("RepeatType", "None"), ("StartTime", "9"), ("EndTime", "9")],
            "ErrorParametersRepeat",
        ),
        (
            &[("NatGatewayId", "ngw-none")],
            "InvalidNatGatewayId.NotFound",
        ),
    ] {
        assert_eq!(code(more), expected, "{more:?}");
    }
    assert_eq!(listed(&world, &site, &[]), Vec::<Value>::new());
    // A domain by its addresses goes with any application and protocol; the schedule has no grid of half hours.
    create(
        &world,
        &site,
        &[
            ("DestinationType", "domain"),
            ("Destination", "a.example"),
            ("Proto", "ANY"),
            ("DestPort", "0/0"),
            ("DomainResolveType", "1"),
            ("RepeatType", "Daily"),
            ("RepeatStartTime", "08:01"),
            ("RepeatEndTime", "08:02"),
        ],
    );
    create(&world, &site, &[("Proto", "ICMP"), ("DestPort", "")]);
    // A list may be a plain text.
    let plain = [
        ("ApplicationNameList.1", ""),
        ("ApplicationNameList", "HTTP,HTTPS"),
    ];
    create(&world, &site, &plain);
    create(
        &world,
        &site,
        &[
            ("DestinationType", "location"),
            ("Destination", "[\"BJ11\",\"ZB\"]"),
        ],
    );
}

#[test]
fn policies_have_places() {
    let world = World::new();
    let site = site(&world);
    let range = || {
        let answer = world.cfw("DescribeNatFirewallPolicyPriorUsed", &on(&site, &[]));
        let answer = answer.unwrap();
        (answer["Start"].clone(), answer["End"].clone())
    };
    assert_eq!(range(), (json!(0), json!(0)));
    let mut ids = BTreeMap::new();
    for (name, place) in [("a", "1"), ("b", "-1"), ("c", "1"), ("d", "2"), ("e", "99")] {
        let id = create(&world, &site, &[("Description", name), ("NewOrder", place)]);
        ids.insert(name, id);
    }
    assert_eq!(order(&world, &site), ["c", "d", "a", "b", "e"]);
    assert_eq!(range(), (json!(1), json!(5)));
    let move_to = |name: &str, place: &str| {
        let id = &*ids[name];
        let params = on(&site, &[("AclUuid", id), ("NewOrder", place)]);
        world.cfw("ModifyNatFirewallControlPolicyPosition", &params)
    };
    move_to("c", "5").unwrap();
    assert_eq!(order(&world, &site), ["d", "a", "b", "e", "c"]);
    move_to("e", "1").unwrap();
    move_to("d", "2").unwrap();
    assert_eq!(order(&world, &site), ["e", "d", "a", "b", "c"]);
    for place in ["0", "6", "-3"] {
        assert_eq!(refused(move_to("a", place)), "ErrorParametersNewOrder");
    }
    let gone = [("AclUuidList.1", &*ids["d"]), ("AclUuidList.2", &*ids["b"])];
    let delete =
        |ids: &[(&str, &str)]| world.cfw("DeleteNatFirewallControlPolicyBatch", &on(&site, ids));
    let and_none = [gone[0], ("AclUuidList.2", "none")];
    assert_eq!(refused(delete(&and_none)), "ErrorAclNotExist");
    assert_eq!(order(&world, &site).len(), 5);
    delete(&gone).unwrap();
    assert_eq!(order(&world, &site), ["e", "a", "c"]);
    // What the engine has is the same order.
    let told = told(&world, &scope(&site));
    let told: Vec<&str> = told.iter().map(|it| &*it.description).collect();
    assert_eq!(told, ["e", "a", "c"]);
    let groups = world.cfw("DescribeNatFirewallAclGroupList", &[]).unwrap();
    assert_eq!(groups["NatFirewalls"][0]["AclRuleCount"], 3);
    // A gateway takes its policies with it.
    let force = [("NatGatewayId", &*site.gateway), ("Force", "true")];
    world.vpc("DeleteNatGateway", &force).unwrap();
    assert!(world.control.config().firewalls.policies.is_empty());
}

#[test]
fn lists_are_filtered_and_paged() {
    let world = World::new();
    let site = site(&world);
    for n in 1..=25 {
        let about = format!("Rule {n}");
        let net = format!("10.0.{n}.0/24");
        let action = if n % 5 == 0 { "drop" } else { "accept" };
        create(
            &world,
            &site,
            &[
                ("Description", &about),
                ("Destination", &net),
                ("AclAction", action),
            ],
        );
    }
    let many = |more: &[(&str, &str)]| listed(&world, &site, more).len();
    assert_eq!(many(&[("AclAction", "drop")]), 5);
    assert_eq!(many(&[("Description", "rule 2"), ("PageSize", "50")]), 7);
    assert_eq!(many(&[("Destination", "10.0.7.")]), 1);
    assert_eq!(many(&[("Proto", "UDP")]), 0);
    assert_eq!(many(&[("CurrentPage", "3")]), 5);
    let last = listed(&world, &site, &[("CurrentPage", "3")]);
    assert_eq!(last[4]["Order"], 25);
    let wrong = world.cfw(
        "DescribeNatFirewallControlPolicy",
        &on(&site, &[("CurrentPage", "0")]),
    );
    assert_eq!(refused(wrong), "InvalidParameter");
}

#[test]
fn applications_are_listed_with_what_they_go_over() {
    let world = World::new();
    let pages = [("PageNo", "1"), ("PageSize", "100")];
    let list = |more: &[(&str, &str)]| {
        let answer = world
            .cfw("DescribeAclApps", &[&pages, more].concat())
            .unwrap();
        answer["AclApps"].as_array().unwrap().clone()
    };
    let all = list(&[("AclType", "NAT")]);
    assert_eq!(all.len(), 1 + model::App::ALL.len());
    let https = all.iter().find(|it| it["AppName"] == "HTTPS").unwrap();
    assert_eq!(
        (&https["SupportFqdn"], &https["Protocols"]),
        (&json!(1), &json!(["TCP"]))
    );
    let udp = list(&[("AclType", "All"), ("Protocols.1", "UDP")]);
    let udp: Vec<String> = udp.iter().map(|it| text(it, "/AppName")).collect();
    assert_eq!(udp, ["ANY", "DNS", "QUIC"]);
}

#[test]
fn who_may_see_policies_of_one_vpc_does_not_see_those_of_another() {
    let world = World::new();
    let site = site(&world);
    create(&world, &site, &[]);
    let vpc = format!("acs:vpc:*:*:vpc/{}", site.vpc);
    let statement = json!([{
        "Effect": "Allow",
        "Action": "yundun-cloudfirewall:DescribeNatFirewall*",
        "Resource": vpc,
    }]);
    let document = json!({"Version": "1", "Statement": statement}).to_string();
    let ram = |action: &str, params: &[(&str, &str)]| world.call("2015-05-01", action, params);
    ram("CreateUser", &[("UserName", "eve")]).unwrap();
    let policy = [("PolicyName", "see"), ("PolicyDocument", &*document)];
    ram("CreatePolicy", &policy).unwrap();
    let attach = [
        ("PolicyName", "see"),
        ("PolicyType", "Custom"),
        ("UserName", "eve"),
    ];
    ram("AttachPolicyToUser", &attach).unwrap();
    let key = ram("CreateAccessKey", &[("UserName", "eve")]).unwrap();
    let eve = api::Principal::Key(text(&key, "/AccessKey/AccessKeyId"));
    let by = |action: &str, params: &[(&str, &str)]| {
        world.call_by(eve.clone(), "2017-12-07", action, params)
    };
    by("DescribeNatFirewallControlPolicy", &on(&site, &[])).unwrap();
    let denied = by(
        "CreateNatFirewallControlPolicy",
        &params(&site.gateway, &[]),
    );
    assert_eq!(refused(denied), "NoPermission");
    let denied = by(
        "DescribeControlPolicy",
        &[("CurrentPage", "1"), ("PageSize", "10")],
    );
    assert_eq!(refused(denied), "NoPermission");
    assert_eq!(refused(by("AddAddressBook", &[])), "NoPermission");
}
