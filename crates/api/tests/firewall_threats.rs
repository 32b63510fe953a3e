//! What is done about threats: at the Internet border, and at each NAT firewall.

use crate::common::firewall::site;
use crate::common::{World, refused, text};
use model::ThreatAction;
use serde_json::json;

#[test]
fn threats_are_switched_by_category() {
    let world = World::new();
    let list = || {
        let answer = world.cfw("DescribeThreatIntelligenceSwitch", &[]).unwrap();
        answer["CategoryList"].as_array().unwrap().clone()
    };
    let tor = || {
        let list = list();
        let tor = list
            .iter()
            .find(|it| it["CategoryId"] == "IpOutThreatTorExit");
        tor.unwrap().clone()
    };
    assert_eq!(tor()["EnableStatus"], 0);
    let set = |category: &str, action: &str, enabled: &str| {
        let params = [
            ("CategoryList.1.CategoryId", category),
            ("CategoryList.1.Action", action),
            ("CategoryList.1.EnableStatus", enabled),
        ];
        world.cfw("ModifyThreatIntelligenceSwitch", &params)
    };
    set("IpOutThreatTorExit", "drop", "1").unwrap();
    assert_eq!(
        (&tor()["EnableStatus"], &tor()["Action"]),
        (&json!(1), &json!("drop"))
    );
    let told = world
        .control
        .config()
        .firewalls
        .border
        .settings
        .threats
        .clone();
    assert_eq!(told[0].action, ThreatAction::Drop);
    set("IpOutThreatTorExit", "", "0").unwrap();
    assert!(
        world
            .control
            .config()
            .firewalls
            .border
            .settings
            .threats
            .is_empty()
    );
    assert_eq!(
        refused(set("none", "drop", "1")),
        "ErrorThreatCategoryNotExist"
    );
}

#[test]
fn a_nat_firewall_may_do_something_else_about_threats() {
    let site = site(1);
    let world = &site.world;
    let firewall = site.create(&[]).unwrap();
    let told = |proxy: &str| {
        let answer = world.cfw("DescribeThreatIntelligenceSwitch", &[("ProxyId", proxy)]);
        let list = answer.unwrap()["CategoryList"].as_array().unwrap().clone();
        let tor = list
            .iter()
            .find(|it| it["CategoryId"] == "IpOutThreatTorExit")
            .unwrap();
        (text(tor, "/Action"), tor["EnableStatus"] == 1)
    };
    let set = |proxy: &str, action: &str, enabled: &str| {
        let params = [
            ("ProxyId", proxy),
            ("CategoryList.1.CategoryId", "IpOutThreatTorExit"),
            ("CategoryList.1.Action", action),
            ("CategoryList.1.EnableStatus", enabled),
        ];
        world.cfw("ModifyThreatIntelligenceSwitch", &params)
    };
    let in_force = || {
        let config = world.control.config();
        let firewalls = &config.firewalls;
        let rules = [&firewalls.border.settings, &firewalls.nat[0].settings];
        rules.map(|it| it.threats.first().map(|it| it.action))
    };
    let (alert, drop) = (Some(ThreatAction::Alert), Some(ThreatAction::Drop));
    set(&firewall, "alert", "1").unwrap();
    assert_eq!(in_force(), [None, alert]);
    // The border has its own, and others have the border's.
    set("", "drop", "1").unwrap();
    assert_eq!(in_force(), [drop, alert]);
    assert_eq!(told(""), ("drop".into(), true));
    assert_eq!(told(&firewall), ("alert".into(), true));
    set(&firewall, "", "0").unwrap();
    assert_eq!(in_force(), [drop, drop]);
    assert_eq!(told(&firewall), ("drop".into(), true));
    set("", "", "0").unwrap();
    assert_eq!(in_force(), [None, None]);
    assert_eq!(
        refused(set("proxy-1", "drop", "1")),
        "ErrorNatFirewallNotFound"
    );
}
