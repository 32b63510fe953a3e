//! Policies of the Internet border and of the DNS firewall, through the API.

use super::told;
use crate::common::{World, refused, text};
use model::{EngineMode, PolicyDestination, PolicyScope};
use serde_json::json;

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
