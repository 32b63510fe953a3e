//! VPC NAT gateways, their NAT IPs and entries, through the API.

use crate::common::{World, refused, text};
use crate::nat::*;
use serde_json::{Value, json};

/// A VPC 192.168.0.0/16 with a VPC NAT gateway in a vSwitch 192.168.1.0/24.
pub fn private_site(world: &World) -> Site {
    let (vpc, vswitch) = network(world);
    let params = [
        ("VpcId", &*vpc),
        ("VSwitchId", &vswitch),
        ("NetworkType", "intranet"),
        ("NatType", "Enhanced"),
    ];
    let made = world.vpc("CreateNatGateway", &params).unwrap();
    Site {
        gateway: text(&made, "/NatGatewayId"),
        snat_table: text(&made, "/SnatTableIds/SnatTableId/0"),
        forward_table: text(&made, "/ForwardTableIds/ForwardTableId/0"),
        vpc,
        vswitch,
    }
}

fn on(
    world: &World,
    action: &str,
    site: &Site,
    more: &[(&str, &str)],
) -> Result<Value, api::ApiError> {
    let gateway = [("NatGatewayId", &*site.gateway)];
    world.vpc(action, &[&gateway, more].concat())
}

/// A new NAT IP of the gateway's vSwitch: identifier and address.
pub fn nat_ip(world: &World, site: &Site) -> (String, String) {
    let made = on(
        world,
        "CreateNatIp",
        site,
        &[("NatIpCidr", "192.168.1.0/24")],
    )
    .unwrap();
    (text(&made, "/NatIpId"), text(&made, "/NatIp"))
}

fn nat_ips(world: &World, site: &Site, filter: &[(&str, &str)]) -> Vec<Value> {
    let answer = on(world, "ListNatIps", site, filter).unwrap();
    answer["NatIps"].as_array().unwrap().clone()
}

fn cidrs(world: &World, site: &Site, filter: &[(&str, &str)]) -> Vec<Value> {
    let answer = on(world, "ListNatIpCidrs", site, filter).unwrap();
    answer["NatIpCidrs"].as_array().unwrap().clone()
}

#[test]
fn a_gateway_is_made_with_a_nat_ip_and_shown() {
    let world = World::new();
    let site = private_site(&world);
    let shown = on(&world, "DescribeNatGateways", &site, &[]).unwrap();
    let one = &shown["NatGateways"]["NatGateway"][0];
    assert_eq!(
        (&one["NetworkType"], &one["Status"]),
        (&json!("intranet"), &json!("Available"))
    );
    let private = &one["NatGatewayPrivateInfo"];
    assert_eq!(private["PrivateIpAddress"], "192.168.1.1");
    assert_eq!(private["VswitchId"], json!(site.vswitch));
    let shown = on(&world, "GetNatGatewayAttribute", &site, &[]).unwrap();
    assert_eq!(shown["NetworkType"], "intranet");
    let of_type = |kind| {
        let shown = world.vpc("DescribeNatGateways", &[("NetworkType", kind)]);
        shown.unwrap()["TotalCount"].clone()
    };
    assert_eq!(
        (of_type("intranet"), of_type("internet")),
        (json!(1), json!(0))
    );

    let ips = nat_ips(&world, &site, &[]);
    assert_eq!(ips.len(), 1);
    for (field, value) in [
        ("NatIp", json!("192.168.1.1")),
        ("NatIpCidr", json!("192.168.1.0/24")),
        ("NatIpStatus", json!("Available")),
        ("NatGatewayId", json!(site.gateway)),
        ("IsDefault", json!(true)),
    ] {
        assert_eq!(ips[0][field], value, "{field}");
    }
    let blocks = cidrs(&world, &site, &[]);
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0]["NatIpCidr"], "192.168.1.0/24");
    assert_eq!(blocks[0]["IsDefault"], true);

    // The engine is told so, and nothing leads there by itself.
    let config = world.control.config();
    let gateway = &config.nat_gateways[0];
    assert_eq!(gateway.vswitch(), Some(&site.vswitch));
    assert_eq!(config.nat_ips[0].address.to_string(), "192.168.1.1");
    assert!(config.route_tables.iter().all(|it| it.routes.is_empty()));
    // It is not the VPC's first gateway for the Internet.
    let params = [("VpcId", &*site.vpc), ("VSwitchId", &site.vswitch)];
    world.vpc("CreateNatGateway", &params).unwrap();
    let config = world.control.config();
    assert_eq!(config.route_tables[0].routes.len(), 1);
}

#[test]
fn nat_ips_are_made_changed_and_deleted() {
    let world = World::new();
    let site = private_site(&world);
    let params = [
        ("NatIpCidr", "192.168.1.0/24"),
        ("NatIp", "192.168.1.77"),
        ("NatIpName", "to.partner"),
        ("NatIpDescription", "d"),
    ];
    let made = on(&world, "CreateNatIp", &site, &params).unwrap();
    let id = text(&made, "/NatIpId");
    assert!(id.starts_with("vpcnatip-"), "{id}");
    assert_eq!(made["NatIp"], "192.168.1.77");
    assert_eq!(made["NatIps"][0]["NatIpId"], json!(id));
    let (second, address) = nat_ip(&world, &site);
    assert_eq!(address, "192.168.1.2");
    for filter in [[("NatIpIds.1", &*id)], [("NatIpName.1", "to.partner")]] {
        let found = nat_ips(&world, &site, &filter);
        assert_eq!(found.len(), 1, "{filter:?}");
        assert_eq!(found[0]["NatIpDescription"], "d");
    }
    assert_eq!(
        nat_ips(&world, &site, &[("NatIpCidr", "192.168.1.0/24")]).len(),
        3
    );
    assert_eq!(
        nat_ips(&world, &site, &[("NatIpCidr", "10.0.0.0/24")]).len(),
        0
    );
    assert_eq!(nat_ips(&world, &site, &[("IpOrigin", "prefix")]).len(), 0);
    let params = [
        ("NatIpId", &*id),
        ("NatIpName", "new"),
        ("NatIpDescription", ""),
    ];
    world.vpc("ModifyNatIpAttribute", &params).unwrap();
    let found = nat_ips(&world, &site, &[("NatIpName.1", "new")]);
    assert_eq!(found[0]["NatIpDescription"], "");
    // Its address is taken.
    let params = [
        ("VSwitchId", &*site.vswitch),
        ("PrivateIpAddress", "192.168.1.77"),
    ];
    let free = world
        .vpc("CheckCanAllocateVpcPrivateIpAddress", &params)
        .unwrap();
    assert_eq!(free["CanAllocate"], false);

    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let params = [("MaxResults", "1"), ("NextToken", &*token)];
        let answer = on(&world, "ListNatIps", &site, &params).unwrap();
        assert_eq!(answer["TotalCount"], "3");
        seen.push(text(&answer, "/NatIps/0/NatIpId"));
        token = text(&answer, "/NextToken");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 3);
    assert!(seen.is_sorted());

    let restarted = world.restart();
    assert_eq!(nat_ips(&restarted, &site, &[]).len(), 3);
    for id in [&id, &second] {
        restarted.vpc("DeleteNatIp", &[("NatIpId", id)]).unwrap();
    }
    assert_eq!(nat_ips(&restarted, &site, &[]).len(), 1);
    assert_eq!(restarted.control.config().nat_ips.len(), 1);
}

#[test]
fn nat_ips_that_cannot_be_are_refused() {
    let world = World::new();
    let site = private_site(&world);
    let block = ("NatIpCidr", "192.168.1.0/24");
    let code = |more: &[(&str, &str)]| refused(on(&world, "CreateNatIp", &site, more));
    for (more, wanted) in [
        (vec![], "MissingParameter"),
        (
            vec![("NatIpCidr", "192.168.2.0/24")],
            "ResourceNotFound.NatIpCidr",
        ),
        (vec![("NatIpCidr", "192.168.1.1/24")], "InvalidParameter"),
        (
            vec![block, ("NatIp", "192.168.1.1")],
            "InvalidIpAddress.AlreadyUsed",
        ),
        (
            vec![block, ("NatIp", "192.168.1.253")],
            "InvalidIpAddress.Reserved",
        ),
        (
            vec![block, ("NatIp", "192.168.2.1")],
            "InvalidIpAddress.NotInVSwitch",
        ),
        (vec![block, ("NatIp", "x")], "InvalidParameter"),
        (vec![block, ("NatIpName", "x")], "InvalidParameter"),
        (
            vec![block, ("Ipv4PrefixCount", "1")],
            "OperationUnsupported.Ipv4Prefix",
        ),
        (vec![block, ("DryRun", "true")], "DryRunOperation"),
    ] {
        assert_eq!(code(&more), wanted, "{more:?}");
    }
    let nobody = [("NatGatewayId", "ngw-none"), block];
    assert_eq!(
        refused(world.vpc("CreateNatIp", &nobody)),
        "InvalidNatGatewayId.NotFound"
    );
    let internet = self::site(&world);
    for action in [
        "CreateNatIp",
        "CreateNatIpCidr",
        "ListNatIps",
        "ListNatIpCidrs",
    ] {
        let code = refused(on(&world, action, &internet, &[block]));
        assert_eq!(code, "OperationUnsupported.NetworkType", "{action}");
    }
    let token = [block, ("ClientToken", "once")];
    let first = on(&world, "CreateNatIp", &site, &token).unwrap();
    assert_eq!(on(&world, "CreateNatIp", &site, &token).unwrap(), first);
    set_quotas(&world, &[("nat-ips-per-nat-gateway", 2)]);
    assert_eq!(code(&[block]), "QuotaExceeded.NatIp");

    let all = nat_ips(&world, &site, &[]);
    let default = all.iter().find(|it| it["IsDefault"] == true);
    let default = text(default.unwrap(), "/NatIpId");
    let delete = |id: &str| refused(world.vpc("DeleteNatIp", &[("NatIpId", id)]));
    assert_eq!(delete(&default), "OperationDenied.DefaultNatIp");
    assert_eq!(delete("vpcnatip-none"), "ResourceNotFound.NatIp");
    let params = [("NatIpId", "vpcnatip-none"), ("NatIpName", "xyz")];
    let code = refused(world.vpc("ModifyNatIpAttribute", &params));
    assert_eq!(code, "ResourceNotFound.NatIp");
}

#[test]
fn blocks_outside_of_the_network() {
    let world = World::new();
    let site = private_site(&world);
    let block = ("NatIpCidr", "172.16.9.0/30");
    let params = [
        block,
        ("NatIpCidrName", "partner"),
        ("NatIpCidrDescription", "d"),
    ];
    let made = on(&world, "CreateNatIpCidr", &site, &params).unwrap();
    assert!(text(&made, "/NatIpCidrId").starts_with("vpcnatcidr-"));
    for filter in [
        ("NatIpCidr", "172.16.9.0/30"),
        ("NatIpCidrs.1", "172.16.9.0/30"),
        ("NatIpCidrName.1", "partner"),
    ] {
        let found = cidrs(&world, &site, &[filter]);
        assert_eq!(found.len(), 1, "{filter:?}");
        assert_eq!(
            (&found[0]["IsDefault"], &found[0]["NatIpCidrStatus"]),
            (&json!(false), &json!("Available"))
        );
    }
    let params = [block, ("NatIpCidrName", "other")];
    on(&world, "ModifyNatIpCidrAttribute", &site, &params).unwrap();
    let found = cidrs(&world, &site, &[("NatIpCidrName.1", "other")]);
    assert_eq!(found[0]["NatIpCidrDescription"], "d");

    // Two hosts fit.
    let mut ids = Vec::new();
    for address in ["172.16.9.1", "172.16.9.2"] {
        let made = on(&world, "CreateNatIp", &site, &[block]).unwrap();
        assert_eq!(made["NatIp"], address);
        ids.push(text(&made, "/NatIpId"));
    }
    assert_eq!(nat_ips(&world, &site, &[block]).len(), 2);
    for (more, wanted) in [
        (vec![block], "OperationFailed.NatIpNotEnough"),
        (
            vec![block, ("NatIp", "172.16.9.1")],
            "InvalidIpAddress.AlreadyUsed",
        ),
        (
            vec![block, ("NatIp", "172.16.9.3")],
            "InvalidIpAddress.NotInNatIpCidr",
        ),
        (
            vec![block, ("NatIp", "172.16.9.4")],
            "InvalidIpAddress.NotInNatIpCidr",
        ),
    ] {
        assert_eq!(
            refused(on(&world, "CreateNatIp", &site, &more)),
            wanted,
            "{more:?}"
        );
    }
    // They are nothing of the vSwitch's.
    let shown = world
        .vpc("DescribeVSwitches", &[("VSwitchId", &*site.vswitch)])
        .unwrap();
    assert_eq!(
        shown["VSwitches"]["VSwitch"][0]["AvailableIpAddressCount"],
        251
    );

    let code = |cidr: &str| refused(on(&world, "CreateNatIpCidr", &site, &[("NatIpCidr", cidr)]));
    for (cidr, wanted) in [
        ("172.16.9.0/24", "OperationUnsupported.NatIpCidrConflict"),
        ("192.168.9.0/24", "OperationUnsupported.NatIpCidrConflict"),
        ("8.8.8.0/24", "InvalidParameter.NatIpCidr"),
        ("100.64.0.0/24", "InvalidParameter.NatIpCidr"),
        ("10.0.0.0/8", "InvalidParameter.NatIpCidr"),
        ("10.0.0.1/24", "InvalidParameter"),
    ] {
        assert_eq!(code(cidr), wanted, "{cidr}");
    }
    let delete = |cidr: &str| on(&world, "DeleteNatIpCidr", &site, &[("NatIpCidr", cidr)]);
    assert_eq!(
        refused(delete("172.16.9.0/30")),
        "DependencyViolation.NatIp"
    );
    assert_eq!(
        refused(delete("192.168.1.0/24")),
        "OperationDenied.DefaultNatIpCidr"
    );
    assert_eq!(refused(delete("10.9.0.0/24")), "ResourceNotFound.NatIpCidr");
    for id in ids {
        world.vpc("DeleteNatIp", &[("NatIpId", &id)]).unwrap();
    }
    delete("172.16.9.0/30").unwrap();
    assert_eq!(cidrs(&world, &site, &[]).len(), 1);
    set_quotas(&world, &[("nat-ip-cidrs-per-nat-gateway", 1)]);
    assert_eq!(code("10.0.0.0/24"), "QuotaExceeded.NatIpCidr");
}

#[test]
fn entries_have_nat_ips() {
    let world = World::new();
    let site = private_site(&world);
    let (_, second) = nat_ip(&world, &site);
    let (third_id, third) = nat_ip(&world, &site);
    let ips = format!("192.168.1.1,{second}");
    let snat = snat(&world, &site, "192.168.0.0/16", &ips);
    let shown = world
        .vpc("DescribeSnatTableEntries", &[("SnatIp", &*second)])
        .unwrap();
    let one = &shown["SnatTableEntries"]["SnatTableEntry"][0];
    assert_eq!(
        (&one["SnatEntryId"], &one["SnatIp"]),
        (&json!(snat), &json!(ips))
    );
    // Beside SNAT there is DNAT of ports, but no IP mapping.
    let web = dnat(&world, &site, (&second, "80", "TCP", "192.168.2.7", "8080"));
    let shown = world
        .vpc("DescribeForwardTableEntries", &[("ExternalIp", &*second)])
        .unwrap();
    let one = &shown["ForwardTableEntries"]["ForwardTableEntry"][0];
    assert_eq!(
        (&one["ForwardEntryId"], &one["InternalPort"]),
        (&json!(web), &json!("8080"))
    );
    let whole = (&*second, "Any", "Any", "192.168.2.8", "Any");
    let code = refused(try_dnat(&world, &site, whole));
    assert_eq!(code, "Forbidden.ExternalIp.UsedInSnatTable");
    dnat(&world, &site, (&third, "any", "any", "192.168.2.8", "any"));
    for external in ["192.168.1.9", "203.0.113.16"] {
        let entry = (external, "80", "TCP", "192.168.2.7", "80");
        assert_eq!(
            refused(try_dnat(&world, &site, entry)),
            "InvalidIp.NotInNatgw"
        );
        let params = [
            ("SnatTableId", &*site.snat_table),
            ("SourceCIDR", "192.168.5.0/24"),
            ("SnatIp", external),
        ];
        let code = refused(world.vpc("CreateSnatEntry", &params));
        assert_eq!(code, "EIP_NOT_IN_GATEWAY");
    }
    let config = world.control.config();
    let gateway = &config.nat_gateways[0];
    assert_eq!((gateway.snat[0].eips.len(), gateway.dnat.len()), (2, 2));
    assert_eq!(model::validate::check(&config), []);

    // What is used stays.
    let code = refused(world.vpc("DeleteNatIp", &[("NatIpId", &third_id)]));
    assert_eq!(code, "DependencyViolation.ForwardEntry");
    let params = [
        ("SnatTableId", &*site.snat_table),
        ("SnatEntryId", &snat),
        ("SnatIp", "192.168.1.1"),
    ];
    world.vpc("ModifySnatEntry", &params).unwrap();
    for kind in ["SnatEntry", "ForwardEntry"] {
        let code = refused(on(&world, "DeleteNatGateway", &site, &[]));
        assert_eq!(code, format!("DependencyViolation.{kind}"));
        if kind == "SnatEntry" {
            world.vpc("DeleteSnatEntry", &params[..2]).unwrap();
        }
    }
    on(&world, "DeleteNatGateway", &site, &[("Force", "true")]).unwrap();
    let config = world.control.config();
    assert!(config.nat_gateways.is_empty() && config.nat_ips.is_empty());
    world
        .vpc("DeleteVSwitch", &[("VSwitchId", &*site.vswitch)])
        .unwrap();
    world.vpc("DeleteVpc", &[("VpcId", &*site.vpc)]).unwrap();
}

#[test]
fn a_gateway_with_nat_ips_goes_only_with_force() {
    let world = World::new();
    let site = private_site(&world);
    on(
        &world,
        "CreateNatIpCidr",
        &site,
        &[("NatIpCidr", "10.0.0.0/24")],
    )
    .unwrap();
    let code = refused(on(&world, "DeleteNatGateway", &site, &[]));
    assert_eq!(code, "DependencyViolation.NatIpCidr");
    let (id, _) = nat_ip(&world, &site);
    let code = refused(on(&world, "DeleteNatGateway", &site, &[]));
    assert_eq!(code, "DependencyViolation.NatIp");
    world.vpc("DeleteNatIp", &[("NatIpId", &*id)]).unwrap();
    on(
        &world,
        "DeleteNatIpCidr",
        &site,
        &[("NatIpCidr", "10.0.0.0/24")],
    )
    .unwrap();
    on(&world, "DeleteNatGateway", &site, &[]).unwrap();
    // Everything that it had is gone with it.
    let cloud = world.control.cloud();
    assert!(cloud.nat_ips.is_empty() && cloud.nat_ip_cidrs.is_empty());
}

#[test]
fn eips_are_not_for_it() {
    let world = World::new();
    let site = private_site(&world);
    let (id, _) = eip(&world);
    let params = [
        ("AllocationId", &*id),
        ("InstanceId", &site.gateway),
        ("InstanceType", "Nat"),
    ];
    let code = refused(world.vpc("AssociateEipAddress", &params));
    assert_eq!(code, "OperationUnsupported.NetworkType");
    // An instance may have an EIP and be the target of its entries: that is another network.
    let (instance, _) = instance(&world, &site.vswitch, "192.168.1.50");
    dnat(
        &world,
        &site,
        ("192.168.1.1", "80", "TCP", "192.168.1.50", "80"),
    );
    let params = [
        ("AllocationId", &*id),
        ("InstanceId", &instance),
        ("InstanceType", "EcsInstance"),
    ];
    world.vpc("AssociateEipAddress", &params).unwrap();
    dnat(
        &world,
        &site,
        ("192.168.1.1", "81", "TCP", "192.168.1.50", "81"),
    );
    // It has a vSwitch, and is enhanced.
    let other = vswitch(&world, &site.vpc, "192.168.7.0/24");
    for (more, wanted) in [
        (vec![], "MissingParameter"),
        (
            vec![("VSwitchId", &*other), ("NatType", "Normal")],
            "InvalidParameter",
        ),
        (vec![("VSwitchId", "vsw-none")], "InvalidVSwitchId.NotFound"),
    ] {
        let of = [("VpcId", &*site.vpc), ("NetworkType", "intranet")];
        let made = world.vpc("CreateNatGateway", &[&of[..], &more].concat());
        assert_eq!(refused(made), wanted, "{more:?}");
    }
}
