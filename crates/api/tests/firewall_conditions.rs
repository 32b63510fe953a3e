//! What calls about Cloud Firewall ask for is looked at: a condition that nothing meets gives nothing, and what is not
//! there is refused.

use crate::common::firewall::{Site, site};
use crate::common::{refused, text};
use crate::nat::set_regions;
use serde_json::Value;

/// How much is in the first list of an answer.
fn many(answer: &Value) -> usize {
    let lists = answer.as_object().unwrap().values();
    lists.filter_map(Value::as_array).next().unwrap().len()
}

fn told(site: &Site, action: &str, more: &[(&str, &str)]) -> Value {
    let page = [("CurrentPage", "1"), ("PageNo", "1"), ("PageSize", "10")];
    let answer = site.cfw(action, &[&page, more].concat());
    answer.unwrap_or_else(|error| panic!("{action} {more:?}: {error:?}"))
}

#[test]
fn a_condition_that_nothing_meets_gives_nothing() {
    let site = site(1);
    site.create(&[]).unwrap();
    let vpc = site.vpc.clone();
    let region = ("RegionNo", "cn-hangzhou");
    let account = control::access::ACCOUNT;
    let of = |action: &str, with: &[(&str, &str)], ours: (&str, &str), other: (&str, &str)| {
        let count = |more| many(&told(&site, action, &[with, &[more]].concat()));
        assert_ne!(count(ours), 0, "{action} {ours:?}");
        assert_eq!(count(other), 0, "{action} {other:?}");
    };
    let (mine, another) = (("MemberUid", account), ("MemberUid", "1"));
    for action in [
        "DescribeNatFirewallList",
        "DescribeSecurityProxy",
        "DescribeSecurityProxyResources",
        "DescribeFirewallVSwitch",
        "DescribeAssetList",
    ] {
        of(action, &[], mine, another);
    }
    of("DescribeVpcZone", &[region], mine, another);
    let assets = "DescribeAssetList";
    of(assets, &[], ("Type", "NatEIP"), ("Type", "EcsEIP"));
    of(assets, &[], ("UserType", "buy"), ("UserType", "free"));
    for name in ["SgStatus", "SensitiveStatus"] {
        of(assets, &[], ("OutStatistic", "1"), (name, "on"));
    }
    // A VPC is in its region.
    set_regions(&site.world, &["cn-hangzhou", "cn-beijing"]);
    for (action, name) in [
        ("DescribeFirewallVswitchResources", "VpcId"),
        ("DescribeNatFirewallPrecheckDetail", "NatGatewayId"),
        ("CreateNatFirewallPreCheck", "NatGatewayId"),
    ] {
        let id = if name == "VpcId" { &vpc } else { &site.gateway };
        let ask = |region| {
            let params = [
                ("VpcId", &*vpc),
                (name, id),
                ("FirewallType", "nat"),
                ("RegionNo", region),
            ];
            site.cfw(action, &params)
        };
        ask("cn-hangzhou").unwrap();
        assert_eq!(refused(ask("cn-beijing")), "InvalidParameter", "{action}");
    }
}

#[test]
fn nothing_is_about_ipv6() {
    let site = site(1);
    let policy = [
        ("NatGatewayId", &*site.gateway),
        ("Direction", "out"),
        ("AclAction", "accept"),
        ("Description", "a partner"),
        ("Source", "192.168.0.0/16"),
        ("SourceType", "net"),
        ("Destination", "api.partner.example"),
        ("DestinationType", "domain"),
        ("DomainResolveType", "1"),
        ("Proto", "TCP"),
        ("DestPort", "443"),
        ("ApplicationNameList.1", "ANY"),
        ("NewOrder", "-1"),
    ];
    site.cfw("CreateNatFirewallControlPolicy", &policy).unwrap();
    let gateway = [("NatGatewayId", &*site.gateway), ("Direction", "out")];
    let places = |version| {
        let params = [&gateway[..], &[("IpVersion", version)]].concat();
        site.cfw("DescribeNatFirewallPolicyPriorUsed", &params)
    };
    assert_eq!(places("4").unwrap()["End"], 1);
    assert_eq!(places("6").unwrap()["End"], 0);
    assert_eq!(refused(places("5")), "InvalidParameter");
    let names = |version| {
        let action = "DescribeControlPolicyDomainResolve";
        many(&told(&site, action, &[("IpVersion", version)]))
    };
    assert_eq!((names("4"), names("6")), (1, 0));
    let wrong = [("DomainName", "a.example"), ("FirewallType", "moat")];
    let asked = site.cfw("AddDomainResolveRealtimeTask", &wrong);
    assert_eq!(refused(asked), "InvalidParameter");
}

#[test]
fn nothing_else_was_bought_and_there_is_no_other_account() {
    let site = site(1);
    let bought = site.cfw("DescribeUserBuyVersion", &[]).unwrap();
    let license = text(&bought, "/InstanceId");
    for (action, more) in [
        ("DescribeUserBuyVersion", None),
        ("DescribePostpayUserNatStatus", None),
        ("UpdatePostpayUserNatStatus", Some(("Operate", "open"))),
        ("PutEnableAllFwSwitch", None),
        ("PutDisableAllFwSwitch", None),
    ] {
        let call = |instance| {
            let instance = [("InstanceId", instance)];
            let params = instance.into_iter().chain(more).collect::<Vec<_>>();
            site.cfw(action, &params)
        };
        call(&license).unwrap();
        assert_eq!(
            refused(call("vipcloudfw-1")),
            "InvalidParameter",
            "{action}"
        );
    }
    for action in ["PutEnableFwSwitch", "PutDisableFwSwitch"] {
        let params = [("IpaddrList.1", &*site.eips[0].1), ("MemberUid", "1")];
        assert_eq!(refused(site.cfw(action, &params)), "InvalidParameter");
    }
    let firewall = site.create(&[]).unwrap();
    let task = |more: &[(&str, &str)]| {
        let params = [&[("ChildInstanceId", &*firewall)], more].concat();
        site.cfw("DescribeFirewallTask", &params).unwrap()["IsFound"].clone()
    };
    assert_eq!(
        (task(&[]), task(&[("TaskId", "7")])),
        (true.into(), false.into())
    );
}
