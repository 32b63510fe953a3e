//! Policies of firewalls, through the API.

use crate::common::{World, refused, text};
use crate::nat::*;
use api::ApiError;
use api::firewall::{Firewalls, Hits, Resolved};
use model::{ControlPolicy, EngineMode, PolicyDestination, PolicyPorts, PolicyScope, Validity};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A policy with these parameters, and for the rest one that allows everything.
fn params<'a>(site: &'a Site, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("NatGatewayId", &*site.gateway),
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
    world.cfw("CreateNatFirewallControlPolicy", &params(site, more))
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
            offset: 480,
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
            offset: 480,
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
fn the_border_has_policies_in_both_directions() {
    let world = World::new();
    let add = |more: &[(&str, &str)]| {
        let usual = [
            ("NewOrder", "1"),
            ("Description", "border"),
            ("AclAction", "drop"),
            ("Proto", "TCP"),
            ("SourceType", "net"),
            ("Source", "0.0.0.0/0"),
            ("DestinationType", "net"),
            ("Destination", "203.0.113.16/28"),
            ("DestPort", "22/22"),
        ];
        world.cfw("AddControlPolicy", &[&usual, more].concat())
    };
    assert_eq!(refused(add(&[("Direction", "in")])), "MissingParameter");
    let inward = add(&[("Direction", "in"), ("ApplicationName", "SSH")]).unwrap();
    let inward = text(&inward, "/AclUuid");
    let first = add(&[("Direction", "out"), ("ApplicationNameList.1", "ANY")]).unwrap();
    let first = text(&first, "/AclUuid");
    let second = add(&[("Direction", "out"), ("ApplicationNameList.1", "ANY")]).unwrap();
    let second = text(&second, "/AclUuid");
    let list = |more: &[(&str, &str)]| {
        let pages = [("CurrentPage", "1"), ("PageSize", "10")];
        let answer = world.cfw("DescribeControlPolicy", &[&pages, more].concat());
        answer.unwrap()["Policys"].as_array().unwrap().clone()
    };
    let one = list(&[("Direction", "in")]).remove(0);
    assert_eq!(one["ApplicationName"], "SSH");
    assert_eq!(
        (&one["Direction"], &one["IpVersion"]),
        (&json!("in"), &json!(4))
    );
    assert_eq!(one["DomainResolveType"], "FQDN");
    let ids = |direction| {
        let list = list(&[("Direction", direction)]);
        list.iter()
            .map(|it| text(it, "/AclUuid"))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("out"), [second.clone(), first.clone()]);
    let places = [("Direction", "out"), ("OldOrder", "1"), ("NewOrder", "2")];
    world.cfw("ModifyControlPolicyPosition", &places).unwrap();
    assert_eq!(ids("out"), [first.clone(), second.clone()]);
    let place = [("AclUuid", &*second), ("Order", "1")];
    world.cfw("ModifyControlPolicyPriority", &place).unwrap();
    assert_eq!(ids("out"), [second.clone(), first.clone()]);
    let none = [("Direction", "out"), ("OldOrder", "3"), ("NewOrder", "1")];
    let none = world.cfw("ModifyControlPolicyPosition", &none);
    assert_eq!(refused(none), "InvalidParameter");
    // The direction need not be said.
    let change = [("AclUuid", &*inward), ("AclAction", "log")];
    world.cfw("ModifyControlPolicy", &change).unwrap();
    assert_eq!(list(&[("Direction", "in")])[0]["AclAction"], "log");
    let counts = world.cfw("DescribeAclRuleCount", &[]).unwrap();
    assert_eq!(
        (&counts["InternetInAclCount"], &counts["TotalAclCount"]),
        (&json!(1), &json!(3))
    );
    world
        .cfw("DeleteControlPolicy", &[("AclUuid", &first)])
        .unwrap();
    assert_eq!(ids("out"), [second]);
}

#[test]
fn the_dns_firewall_has_policies_about_names() {
    let world = World::new();
    let add = |more: &[(&str, &str)]| {
        let usual = [
            ("AclAction", "drop"),
            ("Description", "no ads"),
            ("DestinationType", "domain"),
            ("IpVersion", "4"),
            ("Priority", "1"),
            ("Release", "true"),
            ("Source", "0.0.0.0/0"),
            ("SourceType", "net"),
        ];
        world.cfw("AddDnsFirewallPolicy", &[&usual, more].concat())
    };
    let a = text(
        &add(&[("Destination", "*.ads.example")]).unwrap(),
        "/AclUuid",
    );
    let b = text(&add(&[("Destination", "b.example")]).unwrap(), "/AclUuid");
    let net = [("Destination", "192.0.2.1"), ("DestinationType", "net")];
    assert_eq!(refused(add(&net)), "ErrorParametersDestination");
    let list = || {
        let pages = [("CurrentPage", "1"), ("PageSize", "10")];
        let answer = world.cfw("DescribeDnsFirewallPolicy", &pages).unwrap();
        let list = answer["Policys"].as_array().unwrap().clone();
        let shown = list
            .iter()
            .map(|it| (text(it, "/AclUuid"), text(it, "/Destination")));
        shown.collect::<Vec<_>>()
    };
    let expected = [
        (b.clone(), "b.example".into()),
        (a.clone(), "*.ads.example".into()),
    ];
    assert_eq!(list(), expected);
    let change = [("AclUuid", &*a), ("Priority", "1"), ("Destination", "*")];
    world.cfw("ModifyDnsFirewallPolicy", &change).unwrap();
    assert_eq!(
        list(),
        [(a.clone(), "*".into()), (b.clone(), "b.example".into())]
    );
    let told = told(&world, &PolicyScope::Dns);
    assert_eq!(
        told[0].destination,
        PolicyDestination::Domain(model::domain::Pattern::Any)
    );
    world
        .cfw("DeleteDnsFirewallPolicy", &[("AclUuid", &a)])
        .unwrap();
    assert_eq!(list().len(), 1);
}

/// Firewalls that tell what they are told to, and remember what they are asked.
#[derive(Default)]
struct Running {
    hits: Mutex<BTreeMap<String, Hits>>,
    asked: Mutex<Vec<String>>,
}

struct Shared(Arc<Running>);

impl Firewalls for Shared {
    fn hits(&self, _: &PolicyScope, ids: &[&str]) -> Vec<Hits> {
        let hits = self.0.hits.lock().unwrap();
        ids.iter()
            .map(|id| hits.get(*id).copied().unwrap_or_default())
            .collect()
    }

    fn reset(&self, scope: &PolicyScope, id: &str) {
        self.0.hits.lock().unwrap().remove(id);
        self.0.asked.lock().unwrap().push(format!("reset {scope}"));
    }

    fn resolved(&self, name: &str) -> Option<Resolved> {
        (name == "a.example").then(|| Resolved {
            addresses: vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()],
            at: 1_700_000_000,
        })
    }

    fn resolve(&self, name: &str) {
        self.0.asked.lock().unwrap().push(format!("resolve {name}"));
    }
}

#[test]
fn hits_and_resolved_names_come_from_the_running_firewalls() {
    let mut world = World::new();
    let site = site(&world);
    let running = Arc::new(Running::default());
    world.run_firewalls(Box::new(Shared(Arc::clone(&running))));
    let id = create(
        &world,
        &site,
        &[
            ("DestinationType", "domain"),
            ("Destination", "A.example."),
            ("DomainResolveType", "1"),
        ],
    );
    let hits = Hits {
        count: 3,
        bytes: 4_000,
        last: Some(1_800_000_000),
    };
    running.hits.lock().unwrap().insert(id.clone(), hits);
    let one = listed(&world, &site, &[]).remove(0);
    assert_eq!(one["HitTimes"], 3);
    assert_eq!(one["HitBytes"], 4_000);
    assert_eq!(one["HitLastTime"], 1_800_000_000);
    assert_eq!(one["DnsResult"], "192.0.2.1,192.0.2.2");
    assert_eq!(one["DnsResultTime"], 1_700_000_000);
    let reset = |id: &str| world.cfw("ResetNatFirewallRuleHitCount", &[("AclUuid", id)]);
    reset(&id).unwrap();
    assert_eq!(refused(reset("none")), "ErrorAclNotExist");
    assert_eq!(listed(&world, &site, &[])[0]["HitTimes"], 0);
    let name = [("DomainName", "B.Example")];
    world.cfw("AddDomainResolveRealtimeTask", &name).unwrap();
    let asked = running.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            format!("reset {}", site.gateway),
            "resolve b.example".into()
        ]
    );
    let told = world
        .cfw("DescribeDomainResolve", &[("Domain", "a.example")])
        .unwrap();
    assert_eq!(told["ResolveResult"]["IpAddrs"], "192.0.2.1,192.0.2.2");
    let told = world
        .cfw("DescribeControlPolicyDomainResolve", &[])
        .unwrap();
    assert_eq!(told["ResolveResult"][0]["Domain"], "a.example");
    assert_eq!(told["ResolveResult"][0]["IpAddrList"][1], "192.0.2.2");
    // Both are changes that the audit trail tells.
    let stored = world.stored();
    assert!(stored.contains("ResetNatFirewallRuleHitCount"));
    assert!(stored.contains("AddDomainResolveRealtimeTask"));
}

#[test]
fn the_border_s_mode_is_that_of_all_eips_or_of_some() {
    let world = World::new();
    let eip = || {
        let made = world.vpc("AllocateEipAddress", &[]).unwrap();
        (text(&made, "/AllocationId"), text(&made, "/EipAddress"))
    };
    let ((a, address), (b, _)) = (eip(), eip());
    let set = |switch: &str, eips: &[(&str, &str)]| {
        let params = [&[("InternetSwitch", switch)], eips].concat();
        world.cfw("ModifyPolicyAdvancedConfig", &params)
    };
    let border = || world.control.config().firewalls.border.clone();
    set("on", &[("Eips.1", &*address)]).unwrap();
    assert_eq!(border().settings.mode, EngineMode::Loose);
    assert_eq!(border().strict_eips, std::slice::from_ref(&a));
    set("on", &[]).unwrap();
    assert_eq!(border().settings.mode, EngineMode::Strict);
    let told = world.cfw("DescribePolicyAdvancedConfig", &[]).unwrap();
    assert_eq!(told["InternetSwitch"], "on");
    // All but one.
    set("off", &[("Eips.1", &*a)]).unwrap();
    assert_eq!(border().settings.mode, EngineMode::Loose);
    assert_eq!(border().strict_eips, [b]);
    let none = set("on", &[("Eips.1", "192.0.2.99")]);
    assert_eq!(refused(none), "InvalidAllocationId.NotFound");
}

/// What no policy matches: of the Internet border and of the DNS firewall.
#[test]
fn the_default_actions_can_be_set() {
    let world = World::new();
    let told = || {
        let told = world.cfw("DescribeFirewallDefaults", &[]).unwrap();
        [text(&told, "/BorderAction"), text(&told, "/DnsAction")]
    };
    let set = |params: &[(&str, &str)]| world.cfw("ModifyFirewallDefaults", params);
    assert_eq!(told(), ["accept", "accept"]);
    set(&[("BorderAction", "drop")]).unwrap();
    assert_eq!(told(), ["drop", "accept"]);
    set(&[("DnsAction", "drop")]).unwrap();
    assert_eq!(told(), ["drop", "drop"]);
    let firewalls = world.control.config().firewalls.clone();
    let actions = (
        firewalls.border.settings.default_action,
        firewalls.dns.default_action,
    );
    assert_eq!(actions, (model::Policy::Drop, model::Policy::Drop));
    set(&[("BorderAction", "accept"), ("DnsAction", "accept")]).unwrap();
    assert_eq!(told(), ["accept", "accept"]);
    assert_eq!(refused(set(&[])), "MissingParameter");
    assert_eq!(refused(set(&[("DnsAction", "log")])), "InvalidParameter");
}

#[test]
fn backups_bring_back_the_policies_of_all_firewalls() {
    let world = World::new();
    let site = site(&world);
    create(&world, &site, &[("Description", "kept")]);
    let params = [("BackUpTime", "1700000000"), ("Description", "before")];
    world.cfw("AddAclBackupData", &params).unwrap();
    let again = world.cfw("AddAclBackupData", &params);
    assert_eq!(refused(again), "ErrorAclBackupExist");
    create(
        &world,
        &site,
        &[("Description", "later"), ("NewOrder", "1")],
    );
    let dns = [
        ("AclAction", "drop"),
        ("Description", "d"),
        ("DestinationType", "domain"),
        ("Destination", "d.example"),
        ("IpVersion", "4"),
        ("Priority", "1"),
        ("Release", "true"),
        ("Source", "0.0.0.0/0"),
        ("SourceType", "net"),
    ];
    world.cfw("AddDnsFirewallPolicy", &dns).unwrap();
    let pages = [("CurrentPage", "1"), ("PageSize", "10")];
    let world = world.restart();
    let list = world.cfw("DescribeAclBackupList", &pages).unwrap();
    assert_eq!(list["Backups"][0]["BackUpTime"], 1_700_000_000);
    assert_eq!(list["Backups"][0]["AclCount"], 1);
    let time = [("BackUpTime", "1700000000")];
    world.cfw("UseAclBackupData", &time).unwrap();
    assert_eq!(order(&world, &site), ["kept"]);
    assert!(told(&world, &PolicyScope::Dns).is_empty());
    world.cfw("DeleteAclBackupData", &time).unwrap();
    assert!(!world.stored().contains("/sluice/policy-backup"));
    let gone = world.cfw("UseAclBackupData", &time);
    assert_eq!(refused(gone), "ErrorAclBackupNotExist");
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
    let denied = by("CreateNatFirewallControlPolicy", &params(&site, &[]));
    assert_eq!(refused(denied), "NoPermission");
    let denied = by(
        "DescribeControlPolicy",
        &[("CurrentPage", "1"), ("PageSize", "10")],
    );
    assert_eq!(refused(denied), "NoPermission");
    assert_eq!(refused(by("AddAddressBook", &[])), "NoPermission");
}

#[test]
fn checks_find_what_is_wrong_and_remember_what_became_of_it() {
    let mut world = World::new();
    let site = site(&world);
    world.run_firewalls(Box::new(Shared(Arc::default())));
    create(&world, &site, &[("Description", "all out")]);
    let hidden = create(
        &world,
        &site,
        &[("AclAction", "drop"), ("Source", "192.168.1.0/24")],
    );
    let check = world.cfw("CreateAclCheck", &[("AclType", "nat")]).unwrap();
    let tasks = check["TaskIds"].as_array().unwrap().clone();
    assert_eq!(tasks.len(), policy::review::Flaw::ALL.len());
    let records = || {
        let answer = world
            .cfw("DescribeAclChecks", &[("AclType", "nat")])
            .unwrap();
        answer["CheckRecords"]["Records"]
            .as_array()
            .unwrap()
            .clone()
    };
    let record = |name: &str| {
        let records = records();
        records
            .iter()
            .find(|it| it["CheckName"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(record("conflicting")["AclTotalCount"], 1);
    assert_eq!(record("default-not-deny")["AclTotalCount"], 1);
    let task = text(&record("conflicting"), "/TaskId");
    let shown = || {
        let params = [("TaskId", &*task), ("PageNo", "1"), ("PageSize", "10")];
        world.cfw("DescribeAclCheck", &params).unwrap()["CheckRecord"].clone()
    };
    let found = shown()["Acls"][0].clone();
    assert_eq!(text(&found, "/Acl/AclUuid"), hidden);
    assert_eq!(found["Acl"]["Order"], 2);
    assert_eq!(found["Acl"]["ApplicationName"], "ANY");
    assert_eq!(
        (&found["Firewall"], &found["AclStatus"]),
        (&json!(site.gateway), &json!("pending"))
    );
    let settle = |uuid: &str, status: &str| {
        let params = [("TaskId", &*task), ("Uuid", uuid), ("Status", status)];
        world.cfw("UpdateAclCheckDetailStatus", &params)
    };
    let settled = settle(&hidden, "ignored").unwrap()["CheckRecord"].clone();
    assert_eq!(text(&settled, "/Acls/0/Acl/AclUuid"), hidden);
    assert_eq!(settled["Acls"][0]["AclStatus"], "ignored");
    assert_eq!(settled["CheckName"], "conflicting");
    assert_eq!(settled["PolicyTotalCount"], 1);
    assert_eq!(refused(settle("none", "ignored")), "ErrorAclNotExist");
    assert_eq!(refused(settle(&hidden, "gone")), "InvalidParameter");
    assert_eq!(shown()["Acls"][0]["AclStatus"], "ignored");
    assert_eq!(record("conflicting")["AclPendingCount"], 0);
    // The same check again takes the place of the first.
    let again = [("AclType", "nat"), ("CheckNames.1", "conflicting")];
    world.cfw("CreateAclCheck", &again).unwrap();
    assert_eq!(records().len(), tasks.len());
    assert_eq!(record("conflicting")["AclPendingCount"], 1);
    let wrong = [("AclType", "nat"), ("CheckNames.1", "ugly")];
    assert_eq!(
        refused(world.cfw("CreateAclCheck", &wrong)),
        "InvalidParameter"
    );
    let quota = world.cfw("DescribeAclCheckQuota", &[]).unwrap();
    assert_eq!(quota["Quota"]["ConsumedQuota"], tasks.len());
}
