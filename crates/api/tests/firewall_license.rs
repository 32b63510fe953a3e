//! What was bought of the firewalls, its end and its renewal; the EIPs that the Internet border protects.

use crate::common::{World, refused, text};
use api::{ApiError, Principal};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;

/// A gateway with an EIP and an SNAT entry in a VPC of its own: gateway, VPC, system table, address.
fn gateway(world: &World, block: &str) -> [String; 4] {
    let (vpc_block, vswitch_block) = (format!("{block}.0.0/16"), format!("{block}.1.0/24"));
    let made = world
        .vpc("CreateVpc", &[("CidrBlock", &vpc_block)])
        .unwrap();
    let (vpc, table) = (text(&made, "/VpcId"), text(&made, "/RouteTableId"));
    let params = [
        ("VpcId", &*vpc),
        ("CidrBlock", &vswitch_block),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    let vswitch = text(&world.vpc("CreateVSwitch", &params).unwrap(), "/VSwitchId");
    let params = [("VpcId", &*vpc), ("VSwitchId", &vswitch)];
    let made = world.vpc("CreateNatGateway", &params).unwrap();
    let (gateway, snat) = (
        text(&made, "/NatGatewayId"),
        text(&made, "/SnatTableIds/SnatTableId/0"),
    );
    let made = world.vpc("AllocateEipAddress", &[]).unwrap();
    let (eip, address) = (text(&made, "/AllocationId"), text(&made, "/EipAddress"));
    let params = [
        ("AllocationId", &*eip),
        ("InstanceId", &gateway),
        ("InstanceType", "Nat"),
    ];
    world.vpc("AssociateEipAddress", &params).unwrap();
    let params = [
        ("SnatTableId", &*snat),
        ("SourceCIDR", &vpc_block),
        ("SnatIp", &address),
    ];
    world.vpc("CreateSnatEntry", &params).unwrap();
    [gateway, vpc, table, address]
}

fn protect(world: &World, [gateway, vpc, table, _]: &[String; 4]) -> Result<String, ApiError> {
    let params = [
        ("RegionNo", "cn-hangzhou"),
        ("ProxyName", "firewall"),
        ("NatGatewayId", &**gateway),
        ("VpcId", vpc),
        ("NatRouteEntryList.1.RouteTableId", table),
        ("NatRouteEntryList.1.DestinationCidr", "0.0.0.0/0"),
        ("NatRouteEntryList.1.NextHopType", "NatGateway"),
        ("NatRouteEntryList.1.NextHopId", gateway),
    ];
    let made = world.cfw("CreateSecurityProxy", &params)?;
    Ok(text(&made, "/ProxyId"))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn expire(world: &World, now: u64) -> Vec<String> {
    world.control.expire(now, || Ok("EVENT".into())).unwrap()
}

#[test]
fn there_are_as_many_firewalls_as_were_bought() {
    let world = World::new();
    let sites = ["10.1", "10.2"].map(|it| gateway(&world, it));
    world
        .cfw(
            "ModifyFirewallLicense",
            &[("Firewalls", "1"), ("Capacity", "200")],
        )
        .unwrap();
    let proxy = protect(&world, &sites[0]).unwrap();
    let refusal = protect(&world, &sites[1]).map(Value::String);
    assert_eq!(refused(refusal), "ErrorNatFirewallQuotaExceeded");
    let quota = world.cfw("DescribeNatFirewallQuota", &[]).unwrap();
    let counts = [
        "TotalCount",
        "UsedCount",
        "UnprotectedCount",
        "ExceptionCount",
    ];
    assert_eq!(counts.map(|it| quota[it].as_u64().unwrap()), [1, 1, 1, 0]);
    let bought = world.cfw("DescribeUserBuyVersion", &[]).unwrap();
    assert_eq!(bought["NatBandwidth"], 200);
    assert_eq!(bought["UserStatus"], true);
    assert_eq!(world.control.config().firewalls.license.capacity, Some(200));
    // One that is off has its place, too.
    let params = [("ProxyId", &*proxy), ("Switch", "close")];
    world.cfw("SwitchSecurityProxy", &params).unwrap();
    assert!(protect(&world, &sites[1]).is_err());
    world
        .cfw("DeleteSecurityProxy", &[("ProxyId", &proxy)])
        .unwrap();
    protect(&world, &sites[1]).unwrap();
}

#[test]
fn at_its_end_firewalls_are_released_and_traffic_goes_its_original_way() {
    let world = World::new();
    let site = gateway(&world, "10.1");
    let before = world.control.config();
    protect(&world, &site).unwrap();
    world
        .cfw("PutEnableFwSwitch", &[("IpaddrList.1", &site[3])])
        .unwrap();
    let end = now() + 30 * DAY;
    world
        .cfw("ModifyFirewallLicense", &[("Expires", &stamp(end))])
        .unwrap();
    let bought = world.cfw("DescribeUserBuyVersion", &[]).unwrap();
    assert_eq!(bought["Expire"], end * 1_000);

    assert_eq!(expire(&world, end - 1), [""; 0]);
    assert_eq!(world.control.config().firewalls.nat.len(), 1);
    assert_eq!(expire(&world, end).len(), 1);
    let after = world.control.config();
    assert_eq!(after.route_tables, before.route_tables);
    assert_eq!(after.vswitches, before.vswitches);
    assert_eq!(after.firewalls.nat, []);
    assert_eq!(after.firewalls.border.eips, [""; 0]);
    assert_eq!(expire(&world, end + DAY), [""; 0]);
    let trail = world.control.events(None, false, 1).unwrap();
    assert_eq!(trail.events[0].1.action, "ExpireFirewallLicense");

    // What has ended is for nobody.
    world
        .cfw(
            "ModifyFirewallLicense",
            &[("Expires", "2020-01-01T00:00:00Z")],
        )
        .unwrap();
    assert_eq!(
        refused(protect(&world, &site).map(Value::String)),
        "not buy user"
    );
    let code = refused(world.cfw("PutEnableAllFwSwitch", &[]));
    assert_eq!(code, "not buy user");
    world
        .cfw("ModifyFirewallLicense", &[("Expires", "never")])
        .unwrap();
    protect(&world, &site).unwrap();
}

#[test]
fn what_is_renewed_by_itself_goes_on() {
    let world = World::new();
    let site = gateway(&world, "10.1");
    protect(&world, &site).unwrap();
    let end = now() + DAY;
    let end_text = stamp(end);
    let params = [("Expires", &*end_text), ("AutoRenewDays", "30")];
    world.cfw("ModifyFirewallLicense", &params).unwrap();
    assert_eq!(expire(&world, end), [""; 0]);
    let license = world.control.cloud().license();
    assert_eq!(license.expires, Some(end + 30 * DAY));
    // Nobody looked for a year.
    assert_eq!(expire(&world, end + 365 * DAY), [""; 0]);
    let license = world.control.cloud().license();
    assert_eq!(license.expires, Some(end + 390 * DAY));
    assert_eq!(world.control.config().firewalls.nat.len(), 1);
}

fn stamp(seconds: u64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap();
    time.format(&time::format_description::well_known::Rfc3339)
        .unwrap()
}

#[test]
fn eips_are_protected_one_by_one_by_kind_or_all() {
    let world = World::new();
    let site = gateway(&world, "10.1");
    let made = world.vpc("AllocateEipAddress", &[]).unwrap();
    let (free, free_address) = (text(&made, "/AllocationId"), text(&made, "/EipAddress"));
    let page = [("CurrentPage", "1"), ("PageSize", "10")];
    let assets = |more: &[(&str, &str)]| -> Vec<(String, String, String)> {
        let params: Vec<_> = page.iter().chain(more).copied().collect();
        let told = world.cfw("DescribeAssetList", &params).unwrap();
        let list = told["Assets"].as_array().unwrap();
        assert_eq!(told["TotalCount"], list.len());
        let list = list.iter();
        list.map(|it| {
            let fields = ["/InternetAddress", "/ResourceType", "/ProtectStatus"];
            fields.map(|path| text(it, path)).into()
        })
        .collect()
    };
    let asset = |address: &str, kind: &str, status: &str| -> (String, String, String) {
        (address.into(), kind.into(), status.into())
    };
    let nat = |status: &str| asset(&site[3], "NatEIP", status);
    let loose = |status: &str| asset(&free_address, "EIP", status);
    let sorted = |mut list: Vec<(String, String, String)>| {
        list.sort();
        list
    };
    assert_eq!(
        sorted(assets(&[])),
        sorted(vec![nat("closed"), loose("closed")])
    );
    let by_kind = [
        ("ResourceTypeList.1", "NatEIP"),
        ("RegionList.1", "cn-hangzhou"),
    ];
    world.cfw("PutEnableFwSwitch", &by_kind).unwrap();
    assert_eq!(assets(&[("Status", "open")]), [nat("open")]);
    let told = world
        .cfw(
            "PutEnableFwSwitch",
            &[
                ("IpaddrList.1", &free_address),
                ("IpaddrList.2", "192.0.2.1"),
            ],
        )
        .unwrap();
    assert_eq!(
        told["AbnormalResourceStatusList"][0]["Resource"],
        "192.0.2.1"
    );
    assert_eq!(told["AbnormalResourceStatusList"][1], json!(null));
    assert_eq!(assets(&[("Status", "open")]).len(), 2);
    assert_eq!(world.control.config().firewalls.border.eips.len(), 2);
    world
        .cfw("PutDisableFwSwitch", &[("IpaddrList.1", &site[3])])
        .unwrap();
    assert_eq!(assets(&[("Status", "open")]), [loose("open")]);
    world.cfw("PutEnableAllFwSwitch", &[]).unwrap();
    assert_eq!(assets(&[("Status", "open")]).len(), 2);
    // An EIP that is given back is protected no more when it comes again.
    world
        .vpc("ReleaseEipAddress", &[("AllocationId", &free)])
        .unwrap();
    let again = [("IpAddress", &*free_address)];
    world.vpc("AllocateEipAddress", &again).unwrap();
    assert_eq!(assets(&[("SearchItem", &free_address)]), [loose("closed")]);
    world.cfw("PutDisableAllFwSwitch", &[]).unwrap();
    assert_eq!(assets(&[("Status", "open")]).len(), 0);
    assert_eq!(
        refused(world.cfw("PutEnableFwSwitch", &[])),
        "MissingParameter"
    );
    let none = [("IpaddrList.1", "192.0.2.1")];
    assert_eq!(
        refused(world.cfw("PutDisableFwSwitch", &none)),
        "InvalidParameter"
    );
}

#[test]
fn a_user_of_one_vpc_has_its_firewall_and_no_other() {
    let world = World::new();
    let sites = ["10.1", "10.2"].map(|it| gateway(&world, it));
    let ram =
        |action: &str, params: &[(&str, &str)]| world.call("2015-05-01", action, params).unwrap();
    ram("CreateUser", &[("UserName", "alice")]);
    let document = json!({"Version": "1", "Statement": [{
        "Effect": "Allow",
        "Action": "yundun-cloudfirewall:*",
        "Resource": format!("acs:vpc:*:*:vpc/{}", sites[0][1]),
    }]});
    let document = document.to_string();
    ram(
        "CreatePolicy",
        &[("PolicyName", "one"), ("PolicyDocument", &document)],
    );
    let attach = [
        ("UserName", "alice"),
        ("PolicyType", "Custom"),
        ("PolicyName", "one"),
    ];
    ram("AttachPolicyToUser", &attach);
    let key = ram("CreateAccessKey", &[("UserName", "alice")]);
    let key = text(&key, "/AccessKey/AccessKeyId");
    let [own, other] = [&sites[0], &sites[1]].map(|it| protect(&world, it).unwrap());
    let by = |action: &str, params: &[(&str, &str)]| {
        world.call_by(Principal::Key(key.clone()), "2017-12-07", action, params)
    };
    by("DescribeNatFirewallList", &[("ProxyId", &own)]).unwrap();
    by(
        "SwitchSecurityProxy",
        &[("ProxyId", &own), ("Switch", "close")],
    )
    .unwrap();
    by(
        "DescribeNatFirewallBypass",
        &[("NatGatewayId", &sites[0][0])],
    )
    .unwrap();
    for params in [
        &[][..],
        &[("ProxyId", &*other)],
        &[("VpcId", &*sites[1][1])],
    ] {
        let answer = by("DescribeNatFirewallList", params);
        assert_eq!(refused(answer), "NoPermission", "{params:?}");
    }
    assert_eq!(
        refused(by("DeleteSecurityProxy", &[("ProxyId", &other)])),
        "NoPermission"
    );
    by("DeleteSecurityProxy", &[("ProxyId", &own)]).unwrap();
}
