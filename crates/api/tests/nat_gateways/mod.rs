//! NAT gateways, through the API.

mod settings;

use crate::common::{World, refused, text};
use crate::nat::*;
use serde_json::{Value, json};

fn create(world: &World, vpc: &str, more: &[(&str, &str)]) -> Result<Value, api::ApiError> {
    world.vpc("CreateNatGateway", &[&[("VpcId", vpc)], more].concat())
}

fn on(
    world: &World,
    action: &str,
    id: &str,
    more: &[(&str, &str)],
) -> Result<Value, api::ApiError> {
    world.vpc(action, &[&[("NatGatewayId", id)], more].concat())
}

fn shown(world: &World, id: &str) -> Value {
    let answer = on(world, "DescribeNatGateways", id, &[]).unwrap();
    assert_eq!(answer["TotalCount"], 1);
    answer["NatGateways"]["NatGateway"][0].clone()
}

fn attributes(world: &World, id: &str) -> Value {
    on(world, "GetNatGatewayAttribute", id, &[]).unwrap()
}

fn system_table(world: &World, vpc: &str) -> String {
    let params = [("VpcId", vpc), ("RouteTableType", "System")];
    let tables = world.vpc("DescribeRouteTableList", &params).unwrap();
    text(
        &tables,
        "/RouterTableList/RouterTableListType/0/RouteTableId",
    )
}

/// The default routes that the engine is told.
fn default_routes(world: &World) -> Vec<model::NextHop> {
    let config = world.control.config();
    let routes = config.route_tables.iter().flat_map(|it| &it.routes);
    let routes = routes.filter(|it| it.destination == control::routes::DEFAULT);
    routes.map(|it| it.next_hop.clone()).collect()
}

#[test]
fn a_gateway_is_made_shown_changed_and_deleted() {
    let world = World::new();
    let (vpc, vswitch) = network(&world);
    let params = [
        ("VSwitchId", &*vswitch),
        ("Name", "out"),
        ("Description", "of the shop"),
        ("NatType", "Enhanced"),
        ("NetworkType", "internet"),
        ("InternetChargeType", "PayByLcu"),
        ("InstanceChargeType", "PostPaid"),
        ("EipBindMode", "MULTI_BINDED"),
        ("Spec", "Small"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    let made = create(&world, &vpc, &params).unwrap();
    let id = text(&made, "/NatGatewayId");
    let stb = text(&made, "/SnatTableIds/SnatTableId/0");
    let ftb = text(&made, "/ForwardTableIds/ForwardTableId/0");
    let full = text(&made, "/FullNatTableIds/FullNatTableId/0");
    for (id, prefix) in [
        (&id, "ngw-"),
        (&stb, "stb-"),
        (&ftb, "ftb-"),
        (&full, "fulltb-"),
    ] {
        assert!(id.starts_with(prefix), "{id}");
    }
    let one = shown(&world, &id);
    for (field, value) in [
        ("Name", "out"),
        ("Description", "of the shop"),
        ("VpcId", &*vpc),
        ("RegionId", "cn-hangzhou"),
        ("NatType", "Enhanced"),
        ("NetworkType", "internet"),
        ("Status", "Available"),
        ("BusinessStatus", "Normal"),
        ("InternetChargeType", "PayByLcu"),
        ("InstanceChargeType", "PostPaid"),
        ("EipBindMode", "MULTI_BINDED"),
    ] {
        assert_eq!(one[field], *value, "{field}");
    }
    assert_eq!(one["IcmpReplyEnabled"], true);
    assert_eq!(
        one["Tags"]["Tag"],
        json!([{"TagKey": "env", "TagValue": "test"}])
    );
    assert_eq!(one["SnatTableIds"]["SnatTableId"], json!([stb]));
    assert_eq!(one["ForwardTableIds"]["ForwardTableId"], json!([ftb]));
    assert_eq!(one["FullNatTableIds"]["FullNatTableId"], json!([full]));
    let private = &one["NatGatewayPrivateInfo"];
    assert_eq!(private["PrivateIpAddress"], "192.168.1.1");
    assert_eq!(private["VswitchId"], vswitch);
    assert_eq!(private["IzNo"], "cn-hangzhou-h");
    assert!(text(private, "/EniInstanceId").starts_with("eni-"));

    let one = attributes(&world, &id);
    assert_eq!(
        one["SnatTable"],
        json!({"SnatTableId": stb, "SnatEntryCount": 0})
    );
    assert_eq!(
        one["ForwardTable"],
        json!({"ForwardTableId": ftb, "ForwardEntryCount": 0})
    );
    assert_eq!(one["PrivateInfo"]["PrivateIpAddress"], "192.168.1.1");
    assert_eq!(one["BillingConfig"]["InternetChargeType"], "PayByLcu");
    assert_eq!(one["DeletionProtectionInfo"]["Enabled"], false);

    let params = [
        ("VSwitchId", &*vswitch),
        ("PrivateIpAddress", "192.168.1.1"),
    ];
    let can = world.vpc("CheckCanAllocateVpcPrivateIpAddress", &params);
    assert_eq!(
        can.unwrap()["CanAllocate"],
        false,
        "the gateway has the address"
    );
    assert_eq!(
        default_routes(&world),
        [model::NextHop::NatGateway(id.clone())]
    );
    let config = world.control.config();
    assert_eq!(config.nat_gateways[0].id, id);
    assert_eq!(config.nat_gateways[0].vpc, vpc);
    assert!(config.nat_gateways[0].icmp_reply);

    let params = [
        ("Name", "way out"),
        ("Description", ""),
        ("IcmpReplyEnabled", "false"),
    ];
    on(&world, "ModifyNatGatewayAttribute", &id, &params).unwrap();
    let one = shown(&world, &id);
    assert_eq!(
        (&one["Name"], &one["Description"]),
        (&"way out".into(), &"".into())
    );
    assert_eq!(one["IcmpReplyEnabled"], false);
    assert!(!world.control.config().nat_gateways[0].icmp_reply);

    on(&world, "DeleteNatGateway", &id, &[]).unwrap();
    assert!(world.control.config().nat_gateways.is_empty());
    assert!(default_routes(&world).is_empty());
    for action in [
        "DeleteNatGateway",
        "GetNatGatewayAttribute",
        "ModifyNatGatewayAttribute",
    ] {
        let code = refused(on(&world, action, &id, &[]));
        assert_eq!(code, "InvalidNatGatewayId.NotFound", "{action}");
    }
    assert_eq!(
        on(&world, "DescribeNatGateways", &id, &[]).unwrap()["TotalCount"],
        0
    );
    world
        .vpc("DeleteVSwitch", &[("VSwitchId", &vswitch)])
        .unwrap();
    world.vpc("DeleteVpc", &[("VpcId", &vpc)]).unwrap();
}

#[test]
fn what_a_gateway_cannot_be() {
    let world = World::new();
    let (vpc, vswitch) = network(&world);
    let (_, elsewhere) = network(&world);
    let of = ("VSwitchId", &*vswitch);
    for (params, code) in [
        (&[][..], "MissingParameter"),
        (&[("VSwitchId", "vsw-none")], "InvalidVSwitchId.NotFound"),
        (
            &[("VSwitchId", &*elsewhere)],
            "OperationFailed.VswNotBelongToVpc",
        ),
        (&[of, ("NetworkType", "extranet")], "InvalidParameter"),
        (&[of, ("NetworkType", "hybrid")], "InvalidParameter"),
        (&[of, ("NatType", "Super")], "InvalidParameter"),
        (
            &[of, ("InternetChargeType", "PayBySpec")],
            "InvalidParameter",
        ),
        (&[of, ("InstanceChargeType", "PrePaid")], "InvalidParameter"),
        (&[of, ("AvailabilityMode", "CrossAZ")], "InvalidParameter"),
        (&[of, ("EipBindMode", "BINDED")], "InvalidParameter"),
        (
            &[of, ("PrivateLinkEnabled", "true")],
            "OperationUnsupported.PrivateLink",
        ),
        (
            &[of, ("AccessMode", "{\"ModeValue\":\"route\"}")],
            "OperationUnsupported.PrivateLink",
        ),
        (
            &[of, ("AccessMode.ModeValue", "route")],
            "OperationUnsupported.PrivateLink",
        ),
        (
            &[of, ("Ipv4Prefix", "192.168.1.16/28")],
            "OperationUnsupported.Ipv4Prefix",
        ),
        (&[of, ("IcmpReplyEnabled", "perhaps")], "InvalidParameter"),
        (&[of, ("Name", "1st")], "InvalidParameter"),
        (
            &[of, ("NatIp", "192.168.2.9")],
            "InvalidIpAddress.NotInVSwitch",
        ),
        (
            &[of, ("NatIp", "192.168.1.253")],
            "InvalidIpAddress.Reserved",
        ),
        (
            &[("NatType", "Normal"), ("NatIp", "192.168.1.9")],
            "InvalidParameter",
        ),
    ] {
        assert_eq!(refused(create(&world, &vpc, params)), code, "{params:?}");
    }
    assert_eq!(
        refused(create(&world, "vpc-none", &[of])),
        "InvalidVpcId.NotFound"
    );
    assert!(world.control.config().nat_gateways.is_empty());
    assert!(default_routes(&world).is_empty());

    let made = create(&world, &vpc, &[of, ("NatIp", "192.168.1.9")]).unwrap();
    let private = &attributes(&world, &text(&made, "/NatGatewayId"))["PrivateInfo"];
    assert_eq!(private["PrivateIpAddress"], "192.168.1.9");
    let again = create(&world, &vpc, &[of, ("NatIp", "192.168.1.9")]);
    assert_eq!(refused(again), "InvalidIpAddress.AlreadyUsed");
}

#[test]
fn the_first_gateway_of_a_vpc_gets_its_default_route() {
    let world = World::new();
    let (vpc, vswitch) = network(&world);
    let table = system_table(&world, &vpc);
    let of = [("VSwitchId", &*vswitch)];
    let params = [
        ("RouteTableId", &*table),
        ("DestinationCidrBlock", "0.0.0.0/0"),
        ("NextHopType", "BlackHole"),
    ];
    let route = world.vpc("CreateRouteEntry", &params).unwrap();
    let route = text(&route, "/RouteEntryId");
    assert_eq!(
        refused(create(&world, &vpc, &of)),
        "RouterEntryConflict.Duplicated"
    );
    let params = [("RouteTableId", &*table), ("RouteEntryId", &*route)];
    world.vpc("DeleteRouteEntry", &params).unwrap();

    let first = text(&create(&world, &vpc, &of).unwrap(), "/NatGatewayId");
    let second = text(&create(&world, &vpc, &of).unwrap(), "/NatGatewayId");
    let to_first = model::NextHop::NatGateway(first.clone());
    assert_eq!(default_routes(&world), [to_first]);
    let params = [
        ("RouteTableId", &*table),
        ("DestinationCidrBlock", "0.0.0.0/0"),
    ];
    let entries = world.vpc("DescribeRouteEntryList", &params).unwrap();
    let entry = &entries["RouteEntrys"]["RouteEntry"][0];
    assert_eq!(entry["NextHops"]["NextHop"][0]["NextHopId"], first);
    assert_eq!(entry["NextHops"]["NextHop"][0]["NextHopType"], "NatGateway");

    // Only the gateway that the default route leads to takes it along.
    on(&world, "DeleteNatGateway", &second, &[]).unwrap();
    assert_eq!(default_routes(&world).len(), 1);
    on(&world, "DeleteNatGateway", &first, &[]).unwrap();
    assert!(default_routes(&world).is_empty());
}

#[test]
fn a_gateway_in_use_is_not_deleted_but_by_force() {
    let world = World::new();
    let site = site(&world);
    let (eip, address) = bound_eip(&world, &site.gateway);
    let source = snat(&world, &site, "192.168.1.0/24", &address);
    let forward = dnat(&world, &site, (&address, "80", "TCP", "192.168.1.10", "80"));
    let delete = |more: &[(&str, &str)]| on(&world, "DeleteNatGateway", &site.gateway, more);
    let force = [("Force", "true")];
    let protect = |on| {
        let params = [
            ("InstanceId", &*site.gateway),
            ("Type", "NATGW"),
            ("ProtectionEnable", on),
        ];
        world.vpc("DeletionProtection", &params).unwrap();
    };
    protect("true");
    assert_eq!(shown(&world, &site.gateway)["DeletionProtection"], true);
    assert_eq!(
        refused(delete(&force)),
        "InvalidOperation.DeletionProtection"
    );
    protect("false");

    assert_eq!(refused(delete(&[])), "DependencyViolation.SnatEntry");
    let params = [
        ("SnatTableId", &*site.snat_table),
        ("SnatEntryId", &*source),
    ];
    world.vpc("DeleteSnatEntry", &params).unwrap();
    assert_eq!(refused(delete(&[])), "DependencyViolation.ForwardEntry");
    let params = [
        ("ForwardTableId", &*site.forward_table),
        ("ForwardEntryId", &*forward),
    ];
    world.vpc("DeleteForwardEntry", &params).unwrap();
    assert_eq!(
        refused(delete(&[("Force", "false")])),
        "DependencyViolation.EIPS"
    );

    // A route that somebody has made is somebody's to delete.
    let params = [
        ("RouteTableId", &*system_table(&world, &site.vpc)),
        ("DestinationCidrBlock", "10.0.0.0/8"),
        ("NextHopType", "NatGateway"),
        ("NextHopId", &site.gateway),
    ];
    let route = world.vpc("CreateRouteEntry", &params).unwrap();
    assert_eq!(refused(delete(&force)), "DependencyViolation.RouterEntry");
    let params = [("RouteEntryId", &*text(&route, "/RouteEntryId"))];
    world.vpc("DeleteRouteEntry", &params).unwrap();

    snat(&world, &site, "192.168.1.0/24", &address);
    dnat(&world, &site, (&address, "80", "TCP", "192.168.1.10", "80"));
    delete(&force).unwrap();
    let config = world.control.config();
    assert!(config.nat_gateways.is_empty());
    assert_eq!((&config.eips[0].id, &config.eips[0].binding), (&eip, &None));
    let cloud = world.control.cloud();
    assert!(cloud.snat.is_empty() && cloud.dnat.is_empty() && cloud.routes.is_empty());
}

#[test]
fn what_the_eips_of_a_gateway_are_used_for() {
    let world = World::new();
    let site = site(&world);
    let eips: Vec<(String, String)> = (0..5).map(|_| bound_eip(&world, &site.gateway)).collect();
    let address = |n: usize| &*eips[n].1;
    let pool = format!("{},{}", address(1), address(3));
    snat(&world, &site, "192.168.1.0/24", &pool);
    dnat(
        &world,
        &site,
        (address(2), "80", "TCP", "192.168.1.10", "80"),
    );
    dnat(
        &world,
        &site,
        (address(3), "80", "TCP", "192.168.1.11", "80"),
    );
    dnat(
        &world,
        &site,
        (address(4), "Any", "Any", "192.168.1.12", "Any"),
    );
    let one = shown(&world, &site.gateway);
    let list = one["IpLists"]["IpList"].as_array().unwrap();
    let of = |n: usize| {
        let eip = list
            .iter()
            .find(|it| it["AllocationId"] == eips[n].0)
            .unwrap();
        assert_eq!(eip["IpAddress"], *address(n));
        (text(eip, "/UsingStatus"), eip["SnatEntryEnabled"] == true)
    };
    let expected = [
        ("Idle", true),
        ("UsedBySnatTable", true),
        ("UsedByForwardTable", true),
        ("UsedByForwardSnatTable", true),
        ("UsedByForwardTable", false),
    ];
    for (n, (status, free)) in expected.into_iter().enumerate() {
        assert_eq!(of(n), (status.to_owned(), free), "{n}");
    }
    let one = attributes(&world, &site.gateway);
    let mut statuses: Vec<String> = (0..5)
        .map(|n| text(&one, &format!("/IpList/{n}/UsingStatus")))
        .collect();
    statuses.sort();
    let mut wanted: Vec<&str> = expected.map(|it| it.0).into();
    wanted.sort();
    assert_eq!(statuses, wanted);
}

#[test]
fn gateways_are_found_by_what_they_are() {
    let world = World::new();
    let (vpc, vswitch) = network(&world);
    for n in 0..12 {
        let name = format!("gateway-{n}");
        create(&world, &vpc, &[("VSwitchId", &vswitch), ("Name", &name)]).unwrap();
    }
    let (other, _) = network(&world);
    let tag = [
        ("NatType", "Normal"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    create(&world, &other, &tag).unwrap();
    for (conditions, found) in [
        (&[][..], 13),
        (&[("VpcId", &*vpc)], 12),
        (&[("VpcId", &*other)], 1),
        (&[("Name", "gateway-3")], 1),
        (&[("NatType", "Normal")], 1),
        (&[("NatType", "enhanced")], 12),
        (&[("NetworkType", "internet")], 13),
        (&[("NetworkType", "intranet")], 0),
        (&[("ZoneId", "cn-hangzhou-h")], 12),
        (&[("ZoneId", "cn-hangzhou-i")], 0),
        (&[("Status", "Available")], 13),
        (&[("Status", "Creating")], 0),
        (&[("InstanceChargeType", "PrePaid")], 0),
        (&[("Tag.1.Key", "env")], 1),
        (&[("ResourceGroupId", "rg-x")], 0),
    ] {
        let answer = world.vpc("DescribeNatGateways", conditions).unwrap();
        assert_eq!(answer["TotalCount"], found, "{conditions:?}");
    }
    let page = [("PageSize", "10"), ("PageNumber", "2")];
    let page = world.vpc("DescribeNatGateways", &page).unwrap();
    assert_eq!(
        page["NatGateways"]["NatGateway"].as_array().unwrap().len(),
        3
    );
    assert_eq!(
        refused(world.vpc("DescribeNatGateways", &[("PageSize", "51")])),
        "InvalidParameter"
    );
    let zones = world
        .vpc("ListEnhanhcedNatGatewayAvailableZones", &[])
        .unwrap();
    assert_eq!(zones["Zones"].as_array().unwrap().len(), 3);
    assert_eq!(zones["Zones"][0]["ZoneId"], "cn-hangzhou-h");
}

#[test]
fn a_restart_keeps_everything() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    snat(&world, &site, "192.168.1.0/24", &address);
    dnat(
        &world,
        &site,
        (&address, "80/90", "tcp", "192.168.1.10", "8080/8090"),
    );
    let settings = [("UdpTimeout", "120"), ("EipBindMode", "NAT")];
    on(
        &world,
        "ModifyNatGatewayAttribute",
        &site.gateway,
        &settings,
    )
    .unwrap();
    let (before, config) = (world.control.cloud(), world.control.config());
    let described = (
        shown(&world, &site.gateway),
        attributes(&world, &site.gateway),
    );
    let world = world.restart();
    assert_eq!(
        (&*world.control.cloud(), world.control.config()),
        (&*before, config)
    );
    let again = (
        shown(&world, &site.gateway),
        attributes(&world, &site.gateway),
    );
    assert_eq!(again, described);
}
