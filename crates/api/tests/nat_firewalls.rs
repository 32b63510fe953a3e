//! NAT firewalls: precheck, creation, switching, what they protect against change, deletion, bypasses.

use crate::common::{World, refused, text};
use api::ApiError;
use model::NextHop;
use serde_json::Value;

/// A VPC with a vSwitch, and a gateway with EIPs and an SNAT entry.
struct Site {
    world: World,
    vpc: String,
    vswitch: String,
    gateway: String,
    table: String,
    eips: Vec<(String, String)>,
}

fn site(eips: usize) -> Site {
    let world = World::new();
    let block = [("CidrBlock", "192.168.0.0/16"), ("VpcName", "shop")];
    let vpc = text(&world.vpc("CreateVpc", &block).unwrap(), "/VpcId");
    let vswitch = vswitch(&world, &vpc, "192.168.1.0/24");
    let params = [("VpcId", &*vpc), ("VSwitchId", &*vswitch), ("Name", "out")];
    let made = world.vpc("CreateNatGateway", &params).unwrap();
    let gateway = text(&made, "/NatGatewayId");
    let eips = (0..eips).map(|_| eip(&world, &gateway)).collect::<Vec<_>>();
    if let Some((_, address)) = eips.first() {
        let table = text(&made, "/SnatTableIds/SnatTableId/0");
        let params = [
            ("SnatTableId", &*table),
            ("SourceCIDR", "192.168.0.0/16"),
            ("SnatIp", address),
        ];
        world.vpc("CreateSnatEntry", &params).unwrap();
    }
    let tables = world.vpc("DescribeRouteTableList", &[("VpcId", &vpc)]);
    let path = "/RouterTableList/RouterTableListType/0/RouteTableId";
    let table = text(&tables.unwrap(), path);
    Site {
        world,
        vpc,
        vswitch,
        gateway,
        table,
        eips,
    }
}

fn eip(world: &World, gateway: &str) -> (String, String) {
    let made = world.vpc("AllocateEipAddress", &[]).unwrap();
    let id = text(&made, "/AllocationId");
    let params = [
        ("AllocationId", &*id),
        ("InstanceId", gateway),
        ("InstanceType", "Nat"),
    ];
    world.vpc("AssociateEipAddress", &params).unwrap();
    (id, text(&made, "/EipAddress"))
}

fn vswitch(world: &World, vpc: &str, block: &str) -> String {
    let params = [
        ("VpcId", vpc),
        ("CidrBlock", block),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    text(&world.vpc("CreateVSwitch", &params).unwrap(), "/VSwitchId")
}

impl Site {
    fn cfw(&self, action: &str, params: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.world.cfw(action, params)
    }

    fn create_of(&self, tables: &[&str], more: &[(&str, &str)]) -> Result<String, ApiError> {
        let mut params: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: &str| params.push((name.into(), value.into()));
        add("RegionNo", "cn-hangzhou");
        add("VpcId", &self.vpc);
        add("NatGatewayId", &self.gateway);
        add("ProxyName", "shop_firewall");
        for (n, table) in tables.iter().enumerate() {
            let n = n + 1;
            add(&format!("NatRouteEntryList.{n}.RouteTableId"), table);
            add(
                &format!("NatRouteEntryList.{n}.DestinationCidr"),
                "0.0.0.0/0",
            );
            add(&format!("NatRouteEntryList.{n}.NextHopType"), "NatGateway");
            add(&format!("NatRouteEntryList.{n}.NextHopId"), &self.gateway);
        }
        more.iter().for_each(|(name, value)| add(name, value));
        let params: Vec<(&str, &str)> = params.iter().map(|(a, b)| (&**a, &**b)).collect();
        self.cfw("CreateSecurityProxy", &params)
            .map(|it| text(&it, "/ProxyId"))
    }

    fn create(&self, more: &[(&str, &str)]) -> Result<String, ApiError> {
        self.create_of(&[&self.table], more)
    }

    fn shown(&self, proxy: &str) -> Value {
        let list = self
            .cfw("DescribeNatFirewallList", &[("ProxyId", proxy)])
            .unwrap();
        assert_eq!(list["TotalCount"], 1, "{list}");
        list["NatFirewallList"][0].clone()
    }

    /// Where a table's default route leads in the engine's eyes.
    fn default(&self, table: &str) -> Option<NextHop> {
        let config = self.world.control.config();
        let table = config.route_tables.iter().find(|it| it.id == table)?;
        let mut routes = table.routes.iter();
        let route = routes.find(|it| it.destination.prefix_len() == 0)?;
        Some(route.next_hop.clone())
    }

    /// The entries of a table as the API shows them, by destination.
    fn entry(&self, table: &str, destination: &str) -> Value {
        let params = [
            ("RouteTableId", table),
            ("DestinationCidrBlock", destination),
        ];
        let list = self.world.vpc("DescribeRouteEntryList", &params).unwrap();
        list["RouteEntrys"]["RouteEntry"][0].clone()
    }

    fn precheck(&self, params: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![
            ("NatGatewayId", &*self.gateway),
            ("RegionNo", "cn-hangzhou"),
        ];
        all.extend(params);
        let mut with_vpc = all.clone();
        with_vpc.push(("VpcId", &self.vpc));
        let made = self.cfw("CreateNatFirewallPreCheck", &with_vpc).unwrap();
        assert_ne!(made["PreCheckId"], "");
        let told = self.cfw("DescribeNatFirewallPrecheckDetail", &all).unwrap();
        assert_eq!(told["IsFound"], true);
        let detail = &told["PrecheckDetail"];
        let groups = detail["PrecheckEntityGroups"].as_array().unwrap();
        let items = groups
            .iter()
            .flat_map(|it| it["PrecheckEntities"].as_array().unwrap());
        let failed: Vec<String> = items
            .filter(|it| it["Status"] == "failed")
            .inspect(|it| {
                assert_ne!(it["Info"], "");
                assert_ne!(it["Suggestion"], "");
            })
            .map(|it| text(it, "/Name"))
            .collect();
        let status = if failed.is_empty() {
            "passed"
        } else {
            "failed"
        };
        assert_eq!(detail["PrecheckStatus"], status);
        failed
    }

    fn bypasses(&self, proxy: &str) -> Vec<(String, String)> {
        let told = self
            .cfw("DescribeNatFirewallBypass", &[("ProxyId", proxy)])
            .unwrap();
        let list = told["Bypasses"].as_array().unwrap().clone();
        let mut list: Vec<_> = list
            .iter()
            .map(|it| (text(it, "/Way"), text(it, "/DestinationCidr")))
            .collect();
        list.sort();
        list
    }
}

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
