//! EIPs, through the API.

use crate::common::{World, refused, text};
use crate::nat::*;
use model::EipBinding;
use serde_json::Value;

/// The EIP as it is described.
fn shown(world: &World, id: &str) -> Value {
    let answer = world.vpc("DescribeEipAddresses", &[("AllocationId", id)]);
    let answer = answer.unwrap();
    assert_eq!(answer["TotalCount"], 1, "{id}");
    answer["EipAddresses"]["EipAddress"][0].clone()
}

/// How many EIPs meet conditions.
fn count(world: &World, conditions: &[(&str, &str)]) -> Value {
    world.vpc("DescribeEipAddresses", conditions).unwrap()["TotalCount"].clone()
}

fn associate(
    world: &World,
    eip: &str,
    to: &str,
    more: &[(&str, &str)],
) -> Result<Value, api::ApiError> {
    let params = [&[("AllocationId", eip), ("InstanceId", to)], more].concat();
    world.vpc("AssociateEipAddress", &params)
}

fn unassociate(world: &World, eip: &str, more: &[(&str, &str)]) -> Result<Value, api::ApiError> {
    let params = [&[("AllocationId", eip)], more].concat();
    world.vpc("UnassociateEipAddress", &params)
}

/// What the engine is told that an EIP is bound to.
fn told(world: &World, eip: &str) -> Option<EipBinding> {
    let config = world.control.config();
    let eip = config.eips.iter().find(|it| it.id == eip);
    eip.unwrap().binding.clone()
}

fn set_pool(world: &World, pool: &[&str]) {
    let pool = pool.iter().map(|it| it.parse().unwrap()).collect();
    let set = world.control.change(0, |draft| {
        draft.uplinks.get_mut("wan").unwrap().pool = pool;
        Ok(())
    });
    set.unwrap();
}

#[test]
fn an_eip_is_allocated_shown_changed_and_released() {
    let world = World::new();
    let params = [
        ("Bandwidth", "20"),
        ("Name", "web"),
        ("Description", "the shop's"),
        ("InternetChargeType", "PayByTraffic"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    let made = world.vpc("AllocateEipAddress", &params).unwrap();
    let id = text(&made, "/AllocationId");
    assert_eq!(made["EipAddress"], "203.0.113.16");
    assert_eq!(made["ResourceGroupId"], "rg-default");
    let one = shown(&world, &id);
    for (field, value) in [
        ("IpAddress", "203.0.113.16"),
        ("Status", "Available"),
        ("Bandwidth", "20"),
        ("EipBandwidth", "20"),
        ("InternetChargeType", "PayByTraffic"),
        ("ChargeType", "PostPaid"),
        ("ISP", "BGP"),
        ("InstanceId", ""),
        ("InstanceType", ""),
        ("PublicIpAddressPoolId", ""),
    ] {
        assert_eq!(one[field], value, "{field}");
    }
    assert_eq!(one["Tags"]["Tag"][0]["Key"], "env");
    let config = world.control.config();
    assert_eq!(config.eips[0].address.to_string(), "203.0.113.16");
    assert_eq!(config.eips[0].uplink, "wan");
    assert_eq!(
        (config.eips[0].bandwidth, &config.eips[0].binding),
        (Some(20), &None)
    );

    let params = [
        ("AllocationId", &*id),
        ("Bandwidth", "200"),
        ("Name", "shop"),
        ("Description", ""),
    ];
    world.vpc("ModifyEipAddressAttribute", &params).unwrap();
    let one = shown(&world, &id);
    assert_eq!(
        (&one["Name"], &one["Bandwidth"]),
        (&"shop".into(), &"200".into())
    );
    assert_eq!(one["Description"], "");
    assert_eq!(world.control.config().eips[0].bandwidth, Some(200));
    let params = [("AllocationId", &*id), ("Bandwidth", "201")];
    assert_eq!(
        refused(world.vpc("ModifyEipAddressAttribute", &params)),
        "InvalidBandwidth.Malformed"
    );

    world
        .vpc("ReleaseEipAddress", &[("AllocationId", &id)])
        .unwrap();
    assert!(world.control.config().eips.is_empty());
    for action in ["ReleaseEipAddress", "ModifyEipAddressAttribute"] {
        assert_eq!(
            refused(world.vpc(action, &[("AllocationId", &id)])),
            "InvalidAllocationId.NotFound",
            "{action}"
        );
    }
}

#[test]
fn what_an_eip_may_ask_for() {
    let world = World::new();
    let allocate = |params: &[(&str, &str)]| world.vpc("AllocateEipAddressPro", params);
    for (params, code) in [
        (&[("Bandwidth", "0")][..], "InvalidBandwidth.Malformed"),
        (&[("Bandwidth", "501")], "InvalidBandwidth.Malformed"),
        (&[("Bandwidth", "much")], "InvalidParameter"),
        (&[("Bandwidth", "-5")], "InvalidParameter"),
        (
            &[("Bandwidth", "201"), ("InternetChargeType", "PayByTraffic")],
            "InvalidBandwidth.Malformed",
        ),
        (&[("InternetChargeType", "PayByLove")], "InvalidParameter"),
        (&[("InstanceChargeType", "PrePaid")], "InvalidParameter"),
        (&[("ISP", "ChinaTelecom")], "InvalidParameter"),
        (&[("Netmode", "hybrid")], "InvalidParameter"),
        (
            &[("SecurityProtectionTypes.1", "AntiDDoS_Enhanced")],
            "InvalidParameter",
        ),
        (&[("InstanceId", "eip-1")], "InvalidParameter"),
        (&[("IpAddress", "203.0.113")], "InvalidParameter"),
        (&[("IpAddress", "203.0.113.99")], "ResourceNotFound.Ip"),
        (
            &[("PublicIpAddressPoolId", "moon")],
            "ResourceNotFound.PublicIpAddressPool",
        ),
        (
            &[
                ("PublicIpAddressPoolId", "wan"),
                ("IpAddress", "203.0.113.99"),
            ],
            "Mismatch.IpAndPublicIpAddressPool",
        ),
    ] {
        assert_eq!(refused(allocate(params)), code, "{params:?}");
    }
    assert!(world.control.config().eips.is_empty());

    let made = allocate(&[("IpAddress", "203.0.113.20"), ("Bandwidth", "500")]).unwrap();
    assert_eq!(made["EipAddress"], "203.0.113.20");
    assert_eq!(
        shown(&world, &text(&made, "/AllocationId"))["Bandwidth"],
        "500"
    );
    assert_eq!(
        refused(allocate(&[("IpAddress", "203.0.113.20")])),
        "Ip.Allocated"
    );
    let plain = text(&allocate(&[]).unwrap(), "/AllocationId");
    assert_eq!(shown(&world, &plain)["Bandwidth"], "5");
    assert_eq!(
        shown(&world, &plain)["InternetChargeType"],
        "PayByBandwidth"
    );
    let pooled = allocate(&[("PublicIpAddressPoolId", "wan")]).unwrap();
    let pooled = text(&pooled, "/AllocationId");
    assert_eq!(shown(&world, &pooled)["PublicIpAddressPoolId"], "wan");
    assert_eq!(count(&world, &[("PublicIpAddressPoolId", "wan")]), 1);
}

#[test]
fn addresses_come_from_the_pools_and_never_from_the_uplink_itself() {
    let world = World::new();
    // The network's, the router's and the uplink's own are in the first block, the broadcast is in the second.
    set_pool(&world, &["203.0.113.0/29", "203.0.113.254/31"]);
    for own in ["203.0.113.0", "203.0.113.1", "203.0.113.2", "203.0.113.255"] {
        let params = [("IpAddress", own)];
        assert_eq!(
            refused(world.vpc("AllocateEipAddress", &params)),
            "Ip.Allocated",
            "{own}"
        );
    }
    let addresses: Vec<String> = (0..6).map(|_| eip(&world).1).collect();
    let wanted = [3, 4, 5, 6, 7, 254].map(|last| format!("203.0.113.{last}"));
    assert_eq!(addresses, wanted);
    let exhausted = || refused(world.vpc("AllocateEipAddress", &[]));
    assert_eq!(exhausted(), "OperationFailed.InsufficientEIP");
    let params = [("PublicIpAddressPoolId", "wan")];
    assert_eq!(
        refused(world.vpc("AllocateEipAddress", &params)),
        "ResourceNotEnough.PublicIpAddressPool"
    );
    let params = [("EipAddress", "203.0.113.5")];
    let five = world.vpc("DescribeEipAddresses", &params).unwrap();
    let five = text(&five, "/EipAddresses/EipAddress/0/AllocationId");
    world
        .vpc("ReleaseEipAddress", &[("AllocationId", &five)])
        .unwrap();
    assert_eq!(eip(&world).1, "203.0.113.5");

    set_pool(&world, &[]);
    assert_eq!(exhausted(), "OperationFailed.InsufficientEIP");
}

#[test]
fn an_eip_is_bound_to_an_instance_an_interface_or_a_gateway() {
    let world = World::new();
    let site = site(&world);
    let (instance, eni) = instance(&world, &site.vswitch, "192.168.1.10");
    let (first, address) = eip(&world);
    associate(&world, &first, &instance, &[]).unwrap();
    assert_eq!(
        told(&world, &first),
        Some(EipBinding::Eni(instance.clone()))
    );
    let one = shown(&world, &first);
    for (field, value) in [
        ("Status", "InUse"),
        ("InstanceId", &*instance),
        ("InstanceType", "EcsInstance"),
        ("InstanceRegionId", "cn-hangzhou"),
        ("PrivateIpAddress", ""),
        ("VpcId", ""),
        ("Mode", "NAT"),
    ] {
        assert_eq!(one[field], *value, "{field}");
    }

    // An interface has one EIP, however it is named.
    let interface = [("InstanceType", "NetworkInterface")];
    let (second, _) = eip(&world);
    let duplicated = "InvalidAssociation.Duplicated";
    assert_eq!(
        refused(associate(&world, &second, &eni, &interface)),
        duplicated
    );
    assert_eq!(
        refused(associate(&world, &second, &instance, &[])),
        duplicated
    );
    assert_eq!(
        refused(associate(&world, &first, &instance, &[])),
        "IncorrectEipStatus"
    );
    assert_eq!(
        refused(world.vpc("ReleaseEipAddress", &[("AllocationId", &first)])),
        "IncorrectEipStatus"
    );
    unassociate(&world, &first, &[]).unwrap();
    assert_eq!(told(&world, &first), None);
    assert_eq!(
        refused(unassociate(&world, &first, &[])),
        "IncorrectEipStatus"
    );

    let private = [
        interface[0],
        ("PrivateIpAddress", "192.168.1.10"),
        ("Mode", "NAT"),
    ];
    associate(&world, &first, &eni, &private).unwrap();
    assert_eq!(
        told(&world, &first),
        Some(EipBinding::Eni(instance.clone()))
    );
    assert_eq!(shown(&world, &first)["InstanceType"], "NetworkInterface");
    assert_eq!(
        refused(associate(&world, &second, &instance, &[])),
        duplicated
    );

    bind(&world, &second, &site.gateway);
    assert_eq!(
        told(&world, &second),
        Some(EipBinding::NatGateway(site.gateway.clone()))
    );
    let one = shown(&world, &second);
    assert_eq!(one["InstanceType"], "Nat");
    assert_eq!(one["PrivateIpAddress"], "");

    assert_eq!(count(&world, &[("EipAddress", &address)]), 1);
    assert_eq!(count(&world, &[("AssociatedInstanceType", "Nat")]), 1);
    assert_eq!(
        count(&world, &[("AssociatedInstanceType", "EcsInstance")]),
        0
    );
    assert_eq!(count(&world, &[("AssociatedInstanceId", &eni)]), 1);
}

#[test]
fn what_an_eip_cannot_be_bound_to() {
    let world = World::new();
    let site = site(&world);
    let (instance, _) = instance(&world, &site.vswitch, "192.168.1.10");
    let (id, _) = eip(&world);
    let refuse = |to: &str, more: &[(&str, &str)]| refused(associate(&world, &id, to, more));
    assert_eq!(refuse("i-none", &[]), "InvalidInstanceId.NotFound");
    let interface = ("InstanceType", "NetworkInterface");
    assert_eq!(refuse("eni-none", &[interface]), "InvalidEniId.NotFound");
    assert_eq!(
        refuse("ngw-none", &[("InstanceType", "Nat")]),
        "InvalidNatGatewayId.NotFound"
    );
    for other in ["SlbInstance", "HaVip", "IpAddress"] {
        let code = refuse("x", &[("InstanceType", other)]);
        assert_eq!(code, "InvalidInstanceType.ValueNotSupported", "{other}");
    }
    for mode in ["BINDED", "MULTI_BINDED"] {
        assert_eq!(refuse(&instance, &[("Mode", mode)]), "Mode.NotSupport");
    }
    assert_eq!(
        refuse(&instance, &[("PrivateIpAddress", "192.168.1.11")]),
        "InvalidPrivateIpAddress.NotPrimary"
    );
    assert_eq!(
        refuse(&instance, &[("InstanceRegionId", "cn-beijing")]),
        "InvalidParameter"
    );
    assert_eq!(
        refused(associate(&world, "eip-none", &instance, &[])),
        "InvalidAllocationId.NotFound"
    );

    // A DNAT entry leads to it.
    let (_, external) = bound_eip(&world, &site.gateway);
    dnat(
        &world,
        &site,
        (&external, "80", "TCP", "192.168.1.10", "80"),
    );
    assert_eq!(
        refuse(&instance, &[]),
        "BIND_INSTANCE_HAVE_PORTMAP_OR_BIND_EIP"
    );

    // It is in another region.
    let moved = world.control.change(0, |draft| {
        draft.eips.get_mut(&id).unwrap().region = "cn-beijing".into();
        Ok(())
    });
    moved.unwrap();
    assert_eq!(
        refuse(&site.gateway, &[("InstanceType", "Nat")]),
        "InvalidParameter.Mismatch"
    );
    assert_eq!(count(&world, &[("AllocationId", &id)]), 0);
    assert_eq!(told(&world, &id), None);
}

#[test]
fn several_are_bound_at_once_or_none() {
    let world = World::new();
    let site = site(&world);
    let (a, _) = eip(&world);
    let (b, _) = eip(&world);
    let batch = |first: &str, second: &str| {
        let params = [
            ("InstanceIds.1", first),
            ("InstanceIds.2", second),
            ("BindedInstanceId", &site.gateway),
            ("BindedInstanceType", "Nat"),
        ];
        world.vpc("AssociateEipAddressBatch", &params)
    };
    assert_eq!(
        refused(batch(&a, "eip-none")),
        "InvalidAllocationId.NotFound"
    );
    assert_eq!(told(&world, &a), None);
    batch(&a, &b).unwrap();
    let gateway = Some(EipBinding::NatGateway(site.gateway.clone()));
    assert_eq!(
        (told(&world, &a), told(&world, &b)),
        (gateway.clone(), gateway)
    );
    let many: Vec<String> = (1..=101).map(|n| format!("InstanceIds.{n}")).collect();
    let mut params: Vec<(&str, &str)> = many.iter().map(|name| (&**name, "eip-x")).collect();
    params.push(("BindedInstanceId", &site.gateway));
    params.push(("BindedInstanceType", "Nat"));
    assert_eq!(
        refused(world.vpc("AssociateEipAddressBatch", &params)),
        "InvalidParameter"
    );
}

#[test]
fn an_eip_that_entries_use_is_unbound_by_force_only() {
    let world = World::new();
    let site = site(&world);
    let (a, address_a) = bound_eip(&world, &site.gateway);
    let (b, address_b) = bound_eip(&world, &site.gateway);
    let both = snat(
        &world,
        &site,
        "192.168.1.0/24",
        &format!("{address_a},{address_b}"),
    );
    let alone = snat(&world, &site, "192.168.2.0/24", &address_a);
    let forward = dnat(
        &world,
        &site,
        (&address_b, "80", "TCP", "192.168.1.10", "80"),
    );
    let other = dnat(
        &world,
        &site,
        (&address_a, "80", "TCP", "192.168.1.11", "80"),
    );

    let used = "InvalidIpStatus.HasBeenUsedBySnatTable";
    assert_eq!(refused(unassociate(&world, &a, &[])), used);
    assert_eq!(
        refused(unassociate(&world, &b, &[("Force", "false")])),
        used
    );
    let wrong = "InvalidBindInstance.NotFound";
    assert_eq!(
        refused(unassociate(&world, &a, &[("InstanceId", "ngw-other")])),
        wrong
    );
    assert_eq!(
        refused(unassociate(&world, &a, &[("InstanceType", "EcsInstance")])),
        wrong
    );

    let force = [
        ("InstanceId", &*site.gateway),
        ("InstanceType", "Nat"),
        ("Force", "true"),
    ];
    unassociate(&world, &a, &force).unwrap();
    let config = world.control.config();
    let gateway = &config.nat_gateways[0];
    let ids = |entries: &[model::SnatEntry]| -> Vec<String> {
        entries.iter().map(|it| it.id.clone()).collect()
    };
    assert_eq!(
        ids(&gateway.snat),
        std::slice::from_ref(&both),
        "{alone} has lost its only EIP"
    );
    assert_eq!(gateway.snat[0].eips, std::slice::from_ref(&b));
    assert_eq!(gateway.dnat.len(), 1, "{other} has lost its EIP");
    assert_eq!(gateway.dnat[0].id, forward);
    assert_eq!(told(&world, &a), None);

    let params = [("SnatTableId", &*site.snat_table), ("SnatEntryId", &*both)];
    world.vpc("DeleteSnatEntry", &params).unwrap();
    assert_eq!(
        refused(unassociate(&world, &b, &[])),
        "InvalidIpStatus.HasBeenUsedByForwardEntry"
    );
    let params = [
        ("ForwardTableId", &*site.forward_table),
        ("ForwardEntryId", &*forward),
    ];
    world.vpc("DeleteForwardEntry", &params).unwrap();
    unassociate(&world, &b, &[]).unwrap();
}

#[test]
fn a_protected_eip_is_not_released() {
    let world = World::new();
    let (id, _) = eip(&world);
    let protect = |on, kind| {
        let params = [
            ("InstanceId", &*id),
            ("Type", kind),
            ("ProtectionEnable", on),
        ];
        world.vpc("DeletionProtection", &params)
    };
    protect("True", "EIP").unwrap();
    assert_eq!(shown(&world, &id)["DeletionProtection"], true);
    let release = || world.vpc("ReleaseEipAddress", &[("AllocationId", &id)]);
    assert_eq!(refused(release()), "InvalidOperation.DeletionProtection");
    assert_eq!(
        refused(protect("true", "NATGW")),
        "InvalidNatGatewayId.NotFound"
    );
    assert_eq!(
        refused(protect("true", "CBWP")),
        "InvalidBandwidthPackageId.NotFound"
    );
    assert_eq!(refused(protect("true", "VPC")), "InvalidParameter");
    protect("false", "EIP").unwrap();
    release().unwrap();
}

#[test]
fn eips_are_found_by_what_they_are() {
    let world = World::new();
    set_pool(&world, &["203.0.113.128/25"]);
    let all: Vec<(String, String)> = (0..105).map(|_| eip(&world)).collect();
    let name = [("AllocationId", &*all[0].0), ("Name", "first")];
    world.vpc("ModifyEipAddressAttribute", &name).unwrap();
    let resources = [
        ("ResourceType", "EIP"),
        ("ResourceId.1", &all[1].0),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "test"),
    ];
    world.vpc("TagResources", &resources).unwrap();

    let two = format!("{},{}", all[3].0, all[4].0);
    let two_addresses = format!("{},{}", all[3].1, all[4].1);
    for (conditions, found) in [
        (&[][..], 105),
        (&[("EipName", "first")], 1),
        (&[("Tag.1.Key", "env"), ("Tag.1.Value", "test")], 1),
        (&[("Tag.1.Key", "env"), ("Tag.1.Value", "live")], 0),
        (&[("AllocationId", &*two)], 2),
        (&[("EipAddress", &*two_addresses)], 2),
        (&[("AllocationId", &*two), ("EipAddress", &all[3].1)], 1),
        (&[("Status", "Available")], 105),
        (&[("Status", "InUse")], 0),
        (&[("ChargeType", "PrePaid")], 0),
        (&[("ISP", "BGP")], 105),
        (&[("LockReason", "financial")], 0),
        (&[("SegmentInstanceId", "eipsg-1")], 0),
        (&[("SecurityProtectionEnabled", "true")], 0),
        (&[("ServiceManaged", "false")], 105),
        (&[("ResourceGroupId", "rg-default")], 105),
        (&[("ResourceGroupId", "rg-other")], 0),
        (&[("AssociatedInstanceType", "Nat")], 0),
        (
            &[
                ("Filter.1.Key", "CreationStartTime"),
                ("Filter.1.Value", "2020-01-01T00:00Z"),
            ],
            105,
        ),
        (
            &[
                ("Filter.1.Key", "CreationEndTime"),
                ("Filter.1.Value", "2020-01-01T00:00Z"),
            ],
            0,
        ),
    ] {
        assert_eq!(count(&world, conditions), found, "{conditions:?}");
    }
    for wrong in [
        [
            ("Filter.1.Key", "CreationStartTime"),
            ("Filter.1.Value", "yesterday"),
        ],
        [
            ("Filter.1.Key", "Colour"),
            ("Filter.1.Value", "2020-01-01T00:00Z"),
        ],
        [("PageSize", "101"), ("PageNumber", "1")],
    ] {
        let refusal = refused(world.vpc("DescribeEipAddresses", &wrong));
        assert_eq!(refusal, "InvalidParameter", "{wrong:?}");
    }

    let mut seen = std::collections::BTreeSet::new();
    for (page, on_it) in [("1", 100), ("2", 5), ("3", 0)] {
        let params = [("PageSize", "100"), ("PageNumber", page)];
        let answer = world.vpc("DescribeEipAddresses", &params).unwrap();
        let eips = answer["EipAddresses"]["EipAddress"].as_array().unwrap();
        assert_eq!((eips.len(), &answer["TotalCount"]), (on_it, &105.into()));
        seen.extend(eips.iter().map(|it| text(it, "/AllocationId")));
    }
    assert_eq!(seen.len(), 105);
}

#[test]
fn quotas_hold() {
    let world = World::new();
    let site = site(&world);
    set_quotas(&world, &[("eips", 2), ("eips-per-nat-gateway", 1)]);
    let (a, _) = eip(&world);
    let (b, _) = eip(&world);
    assert_eq!(
        refused(world.vpc("AllocateEipAddress", &[])),
        "QuotaExceeded.Eip"
    );
    bind(&world, &a, &site.gateway);
    let nat = [("InstanceType", "Nat")];
    assert_eq!(
        refused(associate(&world, &b, &site.gateway, &nat)),
        "QuotaExceeded.NumberOfEip"
    );
}

#[test]
fn a_restart_keeps_everything() {
    let world = World::new();
    let site = site(&world);
    let (instance, _) = instance(&world, &site.vswitch, "192.168.1.10");
    let (a, _) = bound_eip(&world, &site.gateway);
    let (b, _) = eip(&world);
    associate(&world, &b, &instance, &[]).unwrap();
    let (before, config) = (world.control.cloud(), world.control.config());
    let described = shown(&world, &a);
    let world = world.restart();
    assert_eq!(
        (&*world.control.cloud(), world.control.config()),
        (&*before, config)
    );
    assert_eq!(shown(&world, &a), described);
}
