//! NAT firewalls: precheck, creation, switching, what they protect against change, deletion, bypasses.

use crate::common::firewall::{Site, eip, site, vswitch};
use crate::common::{refused, text};
use api::ApiError;
use model::NextHop;
use serde_json::Value;

#[test]
fn a_firewall_is_made_switched_and_deleted() {
    let site = site(2);
    let was = site.entry(&site.table, "0.0.0.0/0");
    assert_eq!(site.precheck(&[]), [""; 0]);
    let proxy = site.create(&[("StrictMode", "1")]).unwrap();
    assert!(proxy.starts_with("proxy-nat"), "{proxy}");

    let shown = site.shown(&proxy);
    assert_eq!(shown["ProxyStatus"], "normal");
    assert_eq!(shown["ProxyName"], "shop_firewall");
    assert_eq!(shown["StrictMode"], 1);
    assert_eq!(shown["NatGatewayName"], "out");
    assert_eq!(shown["VpcName"], "shop");
    assert_eq!(shown["RegionId"], "cn-hangzhou");
    let route = &shown["NatRouteEntryList"][0];
    assert_eq!(route["RouteTableId"], site.table);
    assert_eq!(route["NextHopId"], site.gateway);
    assert_eq!(route["NextHopType"], "NatGateway");

    // The system table's default route leads to the firewall's interface, that of its own table to the gateway.
    assert_eq!(
        site.default(&site.table),
        Some(NextHop::NatFirewall(proxy.clone()))
    );
    let entry = site.entry(&site.table, "0.0.0.0/0");
    assert_eq!(
        entry["NextHops"]["NextHop"][0]["NextHopType"],
        "NetworkInterface"
    );
    assert_eq!(
        entry["NextHops"]["NextHop"][0]["NextHopId"],
        shown["ProxyNetworkInterfaceId"]
    );
    let own = text(&shown, "/ProxyRouteTableId");
    assert_eq!(
        site.default(&own),
        Some(NextHop::NatGateway(site.gateway.clone()))
    );
    let config = site.world.control.config();
    assert_eq!(config.firewalls.nat.len(), 1);
    assert_eq!(
        config.firewalls.nat[0].settings.mode,
        model::EngineMode::Strict
    );

    // One SNAT entry for each EIP, beside the one that was there.
    let list = || {
        let params = [("NatGatewayId", &*site.gateway)];
        let list = site.world.vpc("DescribeSnatTableEntries", &params).unwrap();
        list["SnatTableEntries"]["SnatTableEntry"]
            .as_array()
            .unwrap()
            .clone()
    };
    assert_eq!(list().len(), 3);
    eip(&site.world, &site.gateway);
    assert_eq!(list().len(), 4);

    let switch = |to| {
        site.cfw(
            "SwitchSecurityProxy",
            &[("ProxyId", &proxy), ("Switch", to)],
        )
    };
    switch("close").unwrap();
    assert_eq!(site.shown(&proxy)["ProxyStatus"], "closed");
    assert_eq!(site.entry(&site.table, "0.0.0.0/0"), was);
    assert_eq!(site.world.control.config().firewalls.nat, []);
    switch("open").unwrap();
    assert_eq!(site.shown(&proxy)["ProxyStatus"], "normal");

    let quota = site.cfw("DescribeNatFirewallQuota", &[]).unwrap();
    assert_eq!(
        (&quota["UsedCount"], &quota["UnprotectedCount"]),
        (&1.into(), &0.into())
    );

    // Deleted while it is on: everything is as it was.
    site.cfw("DeleteSecurityProxy", &[("ProxyId", &proxy)])
        .unwrap();
    assert_eq!(site.entry(&site.table, "0.0.0.0/0"), was);
    assert_eq!(list().len(), 1);
    let list = site.cfw("DescribeNatFirewallList", &[]).unwrap();
    assert_eq!(list["TotalCount"], 0);
    let vswitches = site.world.vpc("DescribeVSwitches", &[]).unwrap();
    assert_eq!(vswitches["TotalCount"], 1);
    let tables = site.world.vpc("DescribeRouteTableList", &[]).unwrap();
    assert_eq!(tables["TotalCount"], 1);
    assert_eq!(
        refused(site.cfw("DeleteSecurityProxy", &[("ProxyId", &proxy)])),
        "ErrorNatFirewallNotFound"
    );
}

#[test]
fn what_it_diverts_survives_a_restart() {
    let site = site(1);
    let proxy = site.create(&[("FirewallSwitch", "open")]).unwrap();
    let Site { world, table, .. } = site;
    let before = world.control.config();
    let world = world.restart();
    assert_eq!(*world.control.config(), *before);
    let shown = world
        .cfw("DescribeNatFirewallList", &[("Status", "normal")])
        .unwrap();
    assert_eq!(shown["NatFirewallList"][0]["ProxyId"], proxy);
    assert_eq!(
        shown["NatFirewallList"][0]["NatRouteEntryList"][0]["RouteTableId"],
        table
    );
}

#[test]
fn settings_are_changed_one_by_one() {
    let site = site(1);
    let more = [
        ("DefaultAction", "drop"),
        ("OnDrop", "silent"),
        ("NameCheck", "report"),
        ("FirewallSwitch", "close"),
    ];
    let proxy = site.create(&more).unwrap();
    assert_eq!(site.shown(&proxy)["ProxyStatus"], "closed");
    let update = |more: &[(&str, &str)]| {
        let mut params = vec![("ProxyId", &*proxy), ("ProxyName", "another_name")];
        params.extend(more);
        site.cfw("UpdateSecurityProxy", &params)
    };
    update(&[("StrictMode", "1"), ("NameCheck", "drop")]).unwrap();
    let shown = site.shown(&proxy);
    assert_eq!(shown["ProxyName"], "another_name");
    assert_eq!(shown["StrictMode"], 1);
    assert_eq!(shown["DefaultAction"], "drop");
    assert_eq!(shown["OnDrop"], "silent");
    assert_eq!(shown["NameCheck"], "drop");
    update(&[("StrictMode", "0")]).unwrap();
    assert_eq!(site.shown(&proxy)["StrictMode"], 0);
    assert_eq!(refused(update(&[("StrictMode", "2")])), "InvalidParameter");
    for name in ["abc", "_abcd", "with space", &"x".repeat(51)] {
        let params = [("ProxyId", &*proxy), ("ProxyName", name)];
        assert_eq!(
            refused(site.cfw("UpdateSecurityProxy", &params)),
            "InvalidParameter"
        );
    }
}

#[test]
fn the_precheck_tells_what_is_missing() {
    let site = site(0);
    assert_eq!(site.precheck(&[]), ["EipCount", "SnatEntry"]);
    assert_eq!(refused_of(site.create(&[])), "ErrorNatFirewallEipCount");
    // What one can do without is passed over.
    let proxy = site.create(&[("SkipPrecheck", "true")]).unwrap();
    assert_eq!(
        site.precheck(&[]),
        ["NatFirewallExists", "EipCount", "SnatEntry"]
    );
    assert_eq!(
        refused_of(site.create(&[("SkipPrecheck", "true")])),
        "ErrorNatFirewallExists"
    );
    site.cfw("DeleteSecurityProxy", &[("ProxyId", &proxy)])
        .unwrap();

    let params = [
        ("RouteTableId", &*site.table),
        ("DestinationCidrBlock", "0.0.0.0/0"),
    ];
    site.world.vpc("DeleteRouteEntry", &params).unwrap();
    assert!(site.precheck(&[]).contains(&"DefaultRoute".into()));
    assert_eq!(refused_of(site.create(&[])), "ErrorDefaultRouteConflicts");
    assert_eq!(
        refused_of(site.create_of(&[], &[])),
        "MissingParameter",
        "without a table there is nothing to divert"
    );
}

fn refused_of(result: Result<String, ApiError>) -> String {
    refused(result.map(Value::String))
}

#[test]
fn dnat_entries_need_protection_of_what_comes_in() {
    let site = site(1);
    let tables = site.world.vpc("DescribeNatGateways", &[]).unwrap();
    let table = text(
        &tables,
        "/NatGateways/NatGateway/0/ForwardTableIds/ForwardTableId/0",
    );
    let params = [
        ("ForwardTableId", &*table),
        ("ExternalIp", &site.eips[0].1),
        ("ExternalPort", "80"),
        ("InternalIp", "192.168.1.10"),
        ("InternalPort", "80"),
        ("IpProtocol", "tcp"),
    ];
    site.world.vpc("CreateForwardEntry", &params).unwrap();
    assert_eq!(site.precheck(&[]), ["DnatEntry"]);
    assert_eq!(refused_of(site.create(&[])), "ErrorNatDnatEntryExists");
    assert_eq!(site.precheck(&[("Inbound", "true")]), [""; 0]);
    let proxy = site.create(&[("Inbound", "true")]).unwrap();
    assert_eq!(site.shown(&proxy)["Inbound"], true);
    assert!(site.world.control.config().firewalls.nat[0].inbound);
}

#[test]
fn a_dnat_entry_does_not_come_beside_a_firewall_of_outbound_traffic() {
    let site = site(2);
    let params = [("NatGatewayId", &*site.gateway)];
    let told = site.world.vpc("DescribeNatGateways", &params).unwrap();
    let path = "/NatGateways/NatGateway/0/ForwardTableIds/ForwardTableId/0";
    let table = text(&told, path);
    let forward = || {
        let params = [
            ("ForwardTableId", &*table),
            ("ExternalIp", &site.eips[1].1),
            ("ExternalPort", "80"),
            ("InternalIp", "192.168.1.10"),
            ("InternalPort", "80"),
            ("IpProtocol", "tcp"),
        ];
        site.world.vpc("CreateForwardEntry", &params)
    };
    let update = |proxy: &str, inbound: &str| {
        let params = [
            ("ProxyId", proxy),
            ("ProxyName", "shop_firewall"),
            ("Inbound", inbound),
        ];
        site.cfw("UpdateSecurityProxy", &params)
    };
    let proxy = site.create(&[("FirewallSwitch", "close")]).unwrap();
    // On or off: what it could not be made beside does not come beside it.
    assert_eq!(refused(forward()), "OperationDenied.NatFirewall");
    update(&proxy, "true").unwrap();
    let made = text(&forward().unwrap(), "/ForwardEntryId");
    assert_eq!(refused(update(&proxy, "false")), "ErrorNatDnatEntryExists");
    let params = [("ForwardTableId", &*table), ("ForwardEntryId", &made)];
    site.world.vpc("DeleteForwardEntry", &params).unwrap();
    update(&proxy, "false").unwrap();
    assert_eq!(refused(forward()), "OperationDenied.NatFirewall");
    site.cfw("DeleteSecurityProxy", &[("ProxyId", &proxy)])
        .unwrap();
    forward().unwrap();
    // Who has passed over the entries that there are may have them, and no more.
    let proxy = site.create(&[("SkipPrecheck", "true")]).unwrap();
    update(&proxy, "false").unwrap();
    assert_eq!(refused(forward()), "OperationDenied.NatFirewall");
}

#[test]
fn tables_with_different_entries_are_not_diverted_together() {
    let site = site(1);
    let made = site
        .world
        .vpc("CreateRouteTable", &[("VpcId", &site.vpc)])
        .unwrap();
    let other = text(&made, "/RouteTableId");
    let route = |table: &str, destination: &str| {
        let params = [
            ("RouteTableId", table),
            ("DestinationCidrBlock", destination),
            ("NextHopType", "NatGateway"),
            ("NextHopId", &*site.gateway),
        ];
        site.world.vpc("CreateRouteEntry", &params).unwrap();
    };
    route(&other, "0.0.0.0/0");
    route(&other, "198.51.100.0/24");
    assert_eq!(site.precheck(&[]), ["CustomRoutes"]);
    let both = [&*site.table, &*other];
    assert_eq!(
        refused_of(site.create_of(&both, &[])),
        "ErrorNatCustomRouteEntryDifferent"
    );
    route(&site.table, "198.51.100.0/24");
    let proxy = site.create_of(&both, &[]).unwrap();
    for table in both {
        assert_eq!(
            site.default(table),
            Some(NextHop::NatFirewall(proxy.clone()))
        );
    }
    // More specific routes go around the firewall.
    let around = ("SpecificRoute".into(), "198.51.100.0/24".into());
    assert_eq!(site.bypasses(&proxy), [around.clone(), around.clone()]);

    let update = |tables: &str| {
        let params = [
            ("ProxyId", &*proxy),
            ("ProxyName", "shop_firewall"),
            ("RouteTableIds.1", tables),
        ];
        site.cfw("UpdateSecurityProxy", &params)
    };
    update(&site.table).unwrap();
    assert_eq!(
        site.default(&other),
        Some(NextHop::NatGateway(site.gateway.clone()))
    );
    assert_eq!(
        site.bypasses(&proxy),
        [
            ("OtherExit".into(), "198.51.100.0/24".into()),
            ("OtherTable".into(), "0.0.0.0/0".into()),
            around
        ]
    );
    assert_eq!(refused(update("vtb-none")), "InvalidRouteTableId.NotFound");
}

#[test]
fn what_goes_around_a_firewall_is_told() {
    let site = site(1);
    let proxy = site.create(&[]).unwrap();
    assert_eq!(site.bypasses(&proxy), []);
    let switch = |to| {
        site.cfw(
            "SwitchSecurityProxy",
            &[("ProxyId", &proxy), ("Switch", to)],
        )
    };
    switch("close").unwrap();
    assert_eq!(
        site.bypasses(&proxy),
        [("FirewallOff".into(), String::new())]
    );
    switch("open").unwrap();
    // Private networks are not the Internet.
    let route = |destination: &str, hop: &str| {
        let params = [
            ("RouteTableId", &*site.table),
            ("DestinationCidrBlock", destination),
            ("NextHopType", hop),
            ("NextHopId", &*site.gateway),
        ];
        site.world.vpc("CreateRouteEntry", &params).unwrap();
    };
    route("10.9.0.0/16", "NatGateway");
    route("198.51.100.0/24", "BlackHole");
    assert_eq!(site.bypasses(&proxy), []);
    route("203.0.113.0/24", "NatGateway");
    assert_eq!(
        site.bypasses(&proxy),
        [("SpecificRoute".into(), "203.0.113.0/24".into())]
    );
    let by_gateway = [("NatGatewayId", &*site.gateway)];
    let told = site.cfw("DescribeNatFirewallBypass", &by_gateway).unwrap();
    assert_eq!(told["ProxyId"], proxy);
    assert_eq!(told["Bypasses"][0]["VSwitchIds"][0], site.vswitch);
}

#[test]
fn what_is_the_firewall_s_nobody_else_changes() {
    let site = site(1);
    let proxy = site.create(&[]).unwrap();
    let shown = site.shown(&proxy);
    let (own, vswitch) = (
        text(&shown, "/ProxyRouteTableId"),
        text(&shown, "/ProxyVSwitchId"),
    );
    let entries = site.world.vpc("DescribeSnatTableEntries", &[]).unwrap();
    let entries = entries["SnatTableEntries"]["SnatTableEntry"]
        .as_array()
        .unwrap();
    let made = entries
        .iter()
        .find(|it| it["SnatEntryName"] == "Cloud_Firewall_SNAT")
        .unwrap();
    let (snat, table) = (text(made, "/SnatEntryId"), text(made, "/SnatTableId"));
    let default = text(&site.entry(&site.table, "0.0.0.0/0"), "/RouteEntryId");
    let lead = text(&site.entry(&own, "0.0.0.0/0"), "/RouteEntryId");
    let group = [("VpcId", &*site.vpc)];
    let group = text(
        &site.world.ecs("CreateSecurityGroup", &group).unwrap(),
        "/SecurityGroupId",
    );
    let custom = site
        .world
        .vpc("CreateRouteTable", &[("VpcId", &site.vpc)])
        .unwrap();
    let custom = text(&custom, "/RouteTableId");
    let denied: &[(&str, &[(&str, &str)])] = &[
        ("DeleteRouteEntry", &[("RouteEntryId", &default)]),
        ("DeleteRouteEntry", &[("RouteEntryId", &lead)]),
        (
            "ModifyRouteEntry",
            &[
                ("RouteEntryId", &default),
                ("NewNextHopType", "NatGateway"),
                ("NewNextHopId", &site.gateway),
            ],
        ),
        (
            "CreateRouteEntry",
            &[
                ("RouteTableId", &own),
                ("DestinationCidrBlock", "198.51.100.0/24"),
                ("NextHopType", "NatGateway"),
                ("NextHopId", &site.gateway),
            ],
        ),
        ("DeleteRouteTable", &[("RouteTableId", &own)]),
        (
            "UnassociateRouteTable",
            &[("RouteTableId", &own), ("VSwitchId", &vswitch)],
        ),
        (
            "AssociateRouteTable",
            &[("RouteTableId", &custom), ("VSwitchId", &vswitch)],
        ),
        (
            "AssociateRouteTable",
            &[("RouteTableId", &own), ("VSwitchId", &site.vswitch)],
        ),
        ("DeleteVSwitch", &[("VSwitchId", &vswitch)]),
        (
            "CreateNatGateway",
            &[("VpcId", &site.vpc), ("VSwitchId", &vswitch)],
        ),
        (
            "DeleteSnatEntry",
            &[("SnatTableId", &table), ("SnatEntryId", &snat)],
        ),
        (
            "ModifySnatEntry",
            &[
                ("SnatTableId", &table),
                ("SnatEntryId", &snat),
                ("SnatEntryName", "mine"),
            ],
        ),
    ];
    for (action, params) in denied {
        let code = refused(site.world.vpc(action, params));
        assert_eq!(code, "OperationDenied.NatFirewall", "{action} {params:?}");
    }
    let params = [("VSwitchId", &*vswitch), ("SecurityGroupId", &group)];
    let code = refused(site.world.ecs("CreateNetworkInterface", &params));
    assert_eq!(code, "OperationDenied.NatFirewall");
    for force in ["false", "true"] {
        let params = [("NatGatewayId", &*site.gateway), ("Force", force)];
        let code = refused(site.world.vpc("DeleteNatGateway", &params));
        assert_eq!(code, "DependencyViolation.NatFirewall");
    }
    // An EIP can leave in spite of the entry that is shown for it; its address is free again.
    eip(&site.world, &site.gateway);
    let extra = &eip(&site.world, &site.gateway).0;
    site.world
        .vpc("UnassociateEipAddress", &[("AllocationId", extra)])
        .unwrap();
}

#[test]
fn a_vswitch_of_one_s_own_meets_every_condition() {
    let site = site(1);
    let world = &site.world;
    let manual = |vswitch: &str| site.create(&[("VswitchAuto", "false"), ("VswitchId", vswitch)]);
    assert_eq!(
        refused_of(site.create(&[("VswitchAuto", "false")])),
        "MissingParameter"
    );
    assert_eq!(refused_of(manual("vsw-none")), "InvalidVSwitchId.NotFound");
    assert_eq!(refused_of(manual(&site.vswitch)), "ErrorVSwitchNotEmpty");
    let small = vswitch(world, &site.vpc, "192.168.2.0/29");
    assert_eq!(refused_of(manual(&small)), "ErrorVSwitchCidrNotEnough");
    let block = [("CidrBlock", "192.168.0.0/16")];
    let vpc = text(&world.vpc("CreateVpc", &block).unwrap(), "/VpcId");
    let elsewhere = vswitch(world, &vpc, "192.168.3.0/28");
    assert_eq!(refused_of(manual(&elsewhere)), "ErrorVSwitchNotInVpc");
    let own = vswitch(world, &site.vpc, "192.168.3.0/28");
    assert_eq!(
        refused_of(manual(&own)),
        "ErrorVSwitchRouteTable",
        "it uses the system table"
    );
    let made = world
        .vpc("CreateRouteTable", &[("VpcId", &site.vpc)])
        .unwrap();
    let table = text(&made, "/RouteTableId");
    let associate = |vswitch: &str| {
        let params = [("RouteTableId", &*table), ("VSwitchId", vswitch)];
        world.vpc("AssociateRouteTable", &params).unwrap();
    };
    associate(&own);
    associate(&small);
    assert_eq!(
        refused_of(manual(&own)),
        "ErrorVSwitchRouteTable",
        "another one uses it, too"
    );
    let params = [("RouteTableId", &*table), ("VSwitchId", &small)];
    world.vpc("UnassociateRouteTable", &params).unwrap();
    let params = [
        ("RouteTableId", &*table),
        ("DestinationCidrBlock", "0.0.0.0/0"),
        ("NextHopType", "NatGateway"),
        ("NextHopId", &site.gateway),
    ];
    let route = text(
        &world.vpc("CreateRouteEntry", &params).unwrap(),
        "/RouteEntryId",
    );
    assert_eq!(refused_of(manual(&own)), "ErrorDefaultRouteConflicts");
    world
        .vpc("DeleteRouteEntry", &[("RouteEntryId", &route)])
        .unwrap();
    let zone = [
        ("VswitchAuto", "false"),
        ("VswitchId", &*own),
        ("FwVswitchZoneId", "cn-hangzhou-j"),
    ];
    assert_eq!(refused_of(site.create(&zone)), "ErrorVSwitchZone");

    let list = [
        ("FirewallType", "nat"),
        ("RegionNo", "cn-hangzhou"),
        ("VpcId", &*site.vpc),
    ];
    let fit = |id: &str| {
        let told = site.cfw("DescribeFirewallVswitchResources", &list).unwrap();
        let list = told["VswitchList"].as_array().unwrap().clone();
        let it = list.into_iter().find(|it| it["VswitchId"] == id).unwrap();
        text(&it, "/Status")
    };
    assert_eq!((&*fit(&own), &*fit(&small)), ("available", "unavailable"));
    let proxy = manual(&own).unwrap();
    assert_eq!(site.shown(&proxy)["ProxyVSwitchId"], own);
    assert_eq!(site.shown(&proxy)["ProxyRouteTableId"], table);
    assert_eq!(fit(&own), "unavailable");
    let told = site
        .cfw("DescribeFirewallVSwitch", &[("FirewallId", &proxy)])
        .unwrap();
    assert_eq!(told["VswitchList"][0]["VswitchId"], own);

    // It stays when the firewall goes, as it was.
    site.cfw("DeleteSecurityProxy", &[("ProxyId", &proxy)])
        .unwrap();
    assert_eq!(site.entry(&table, "0.0.0.0/0"), Value::Null);
    assert_eq!(fit(&own), "available");
}

#[test]
fn a_vswitch_is_made_where_there_is_room() {
    let site = site(13);
    let proxy = site.create(&[]).unwrap();
    let own = text(&site.shown(&proxy), "/ProxyVSwitchId");
    let told = site
        .world
        .vpc("DescribeVSwitches", &[("VSwitchId", &own)])
        .unwrap();
    let block = text(&told, "/VSwitches/VSwitch/0/CidrBlock");
    // A /28 has 12 addresses to give.
    assert_eq!(block, "192.168.255.224/27");
    site.cfw("DeleteSecurityProxy", &[("ProxyId", &proxy)])
        .unwrap();
    let code = refused_of(site.create(&[("VswitchCidr", "192.168.9.0/28")]));
    assert_eq!(code, "ErrorVSwitchIpNotEnough");
    let code = refused_of(site.create(&[("VswitchCidr", "192.168.9.0/29")]));
    assert_eq!(code, "ErrorVSwitchCidrNotEnough");
    vswitch(&site.world, &site.vpc, "192.168.255.0/24");
    vswitch(&site.world, &site.vpc, "192.168.254.0/26");
    let proxy = site
        .create(&[("FwVswitchZoneId", "cn-hangzhou-i")])
        .unwrap();
    let own = text(&site.shown(&proxy), "/ProxyVSwitchId");
    let told = site
        .world
        .vpc("DescribeVSwitches", &[("VSwitchId", &own)])
        .unwrap();
    let made = &told["VSwitches"]["VSwitch"][0];
    assert_eq!(made["CidrBlock"], "192.168.254.224/27");
    assert_eq!(made["ZoneId"], "cn-hangzhou-i");
}

#[test]
fn wrong_calls_are_refused() {
    let site = site(1);
    let wrong: &[(&str, &str)] = &[
        ("VpcId", "vpc-none"),
        ("NatRouteEntryList.1.DestinationCidr", "10.0.0.0/8"),
        ("NatRouteEntryList.1.NextHopType", "Instance"),
        ("NatRouteEntryList.1.NextHopId", "ngw-none"),
        ("StrictMode", "7"),
        ("FirewallSwitch", "on"),
        ("DefaultAction", "deny"),
        ("ProxyName", "x"),
        ("VswitchId", "vsw-none"),
    ];
    for (name, value) in wrong {
        assert_eq!(
            refused_of(site.create(&[(name, value)])),
            "InvalidParameter",
            "{name}"
        );
    }
    let none = [("NatRouteEntryList.1.RouteTableId", "vtb-none")];
    assert_eq!(
        refused_of(site.create(&none)),
        "InvalidRouteTableId.NotFound"
    );
    assert_eq!(
        refused_of(site.create(&[("DryRun", "true")])),
        "DryRunOperation"
    );
    assert_eq!(site.world.control.cloud().nat_firewalls.len(), 0);
    let params = [("ProxyId", "proxy-nat1"), ("Switch", "open")];
    assert_eq!(
        refused(site.cfw("SwitchSecurityProxy", &params)),
        "ErrorNatFirewallNotFound"
    );
}
