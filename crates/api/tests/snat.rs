//! SNAT entries, through the API.

use crate::common::{World, refused, text};
use crate::nat::*;
use model::Pooling;
use serde_json::Value;

fn create(world: &World, site: &Site, more: &[(&str, &str)]) -> Result<Value, api::ApiError> {
    let params = [&[("SnatTableId", &*site.snat_table)], more].concat();
    world.vpc("CreateSnatEntry", &params)
}

fn modify(
    world: &World,
    site: &Site,
    id: &str,
    more: &[(&str, &str)],
) -> Result<Value, api::ApiError> {
    let entry = [("SnatTableId", &*site.snat_table), ("SnatEntryId", id)];
    world.vpc("ModifySnatEntry", &[&entry, more].concat())
}

fn shown(world: &World, id: &str) -> Value {
    let answer = world.vpc("DescribeSnatTableEntries", &[("SnatEntryId", id)]);
    let answer = answer.unwrap();
    assert_eq!(answer["TotalCount"], 1);
    answer["SnatTableEntries"]["SnatTableEntry"][0].clone()
}

/// The entry as the engine is told.
fn told(world: &World, id: &str) -> model::SnatEntry {
    let config = world.control.config();
    let mut entries = config.nat_gateways.iter().flat_map(|it| &it.snat);
    entries.find(|it| it.id == id).unwrap().clone()
}

#[test]
fn an_entry_is_made_shown_changed_and_deleted() {
    let world = World::new();
    let site = site(&world);
    let (a, address_a) = bound_eip(&world, &site.gateway);
    let (b, address_b) = bound_eip(&world, &site.gateway);
    let params = [
        ("SourceVSwitchId", &*site.vswitch),
        ("SnatIp", &address_a),
        ("SnatEntryName", "out"),
    ];
    let id = text(&create(&world, &site, &params).unwrap(), "/SnatEntryId");
    let one = shown(&world, &id);
    for (field, value) in [
        ("SnatEntryName", "out"),
        ("SnatTableId", &*site.snat_table),
        ("NatGatewayId", &site.gateway),
        ("SourceVSwitchId", &site.vswitch),
        ("SourceCIDR", "192.168.1.0/24"),
        ("SnatIp", &address_a),
        ("EipAffinity", "0"),
        ("Pooling", "Hash"),
        ("Status", "Available"),
    ] {
        assert_eq!(one[field], *value, "{field}");
    }
    let entry = told(&world, &id);
    assert_eq!(entry.source.to_string(), "192.168.1.0/24");
    assert_eq!(
        (&entry.eips[..], entry.pooling),
        (&[a.clone()][..], Pooling::Hash)
    );

    // EIPs, affinity and name as in the cloud …
    let both = format!("{address_b}, {address_a}");
    let params = [
        ("SnatIp", &*both),
        ("EipAffinity", "1"),
        ("SnatEntryName", "pool"),
    ];
    modify(&world, &site, &id, &params).unwrap();
    let entry = told(&world, &id);
    assert_eq!(entry.eips, [b.clone(), a], "in the order given");
    assert_eq!(entry.pooling, Pooling::Affinity);
    let one = shown(&world, &id);
    assert_eq!(one["SnatIp"], format!("{address_b},{address_a}"));
    assert_eq!(
        (&one["EipAffinity"], &one["SnatEntryName"]),
        (&"1".into(), &"pool".into())
    );
    // … and the source in place, beyond it.
    modify(&world, &site, &id, &[("SourceCIDR", "192.168.0.0/16")]).unwrap();
    assert_eq!(told(&world, &id).source.to_string(), "192.168.0.0/16");
    assert_eq!(shown(&world, &id)["SourceVSwitchId"], "");
    assert_eq!(told(&world, &id).eips.len(), 2, "the rest stays");
    modify(&world, &site, &id, &[("SourceVSwitchId", &site.vswitch)]).unwrap();
    assert_eq!(shown(&world, &id)["SourceVSwitchId"], site.vswitch);
    modify(&world, &site, &id, &[("Pooling", "Paired")]).unwrap();
    assert_eq!(told(&world, &id).pooling, Pooling::Paired);
    assert_eq!(shown(&world, &id)["Pooling"], "Paired");

    assert_eq!(
        refused(world.vpc("DeleteVSwitch", &[("VSwitchId", &site.vswitch)])),
        "DependencyViolation.NatGateway"
    );
    let params = [("SnatTableId", &*site.snat_table), ("SnatEntryId", &*id)];
    world.vpc("DeleteSnatEntry", &params).unwrap();
    assert!(world.control.config().nat_gateways[0].snat.is_empty());
    assert_eq!(
        refused(world.vpc("DeleteSnatEntry", &params)),
        "InvalidSnatEntryId.NotFound"
    );
    assert_eq!(
        refused(modify(&world, &site, &id, &[])),
        "InvalidSnatEntryId.NotFound"
    );
}

#[test]
fn what_an_entry_cannot_be() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let (_, unbound) = eip(&world);
    let (_, elsewhere) = network(&world);
    let ip = ("SnatIp", &*address);
    let cidr = ("SourceCIDR", "192.168.1.0/24");
    let twice = format!("{address},{address}");
    let one_unbound = format!("{address},{unbound}");
    for (params, code) in [
        (&[ip][..], "MissingParameter"),
        (&[cidr], "MissingParameter"),
        (
            &[ip, cidr, ("SourceVSwitchId", &*site.vswitch)],
            "InvalidParameter",
        ),
        (&[ip, ("SourceCIDR", "192.168.1.1/24")], "InvalidParameter"),
        (&[ip, ("SourceCIDR", "home")], "InvalidParameter"),
        (
            &[ip, ("SourceCIDR", "10.0.0.0/8")],
            "InvalidSourceCIDR.NotInVpc",
        ),
        (
            &[ip, ("SourceVSwitchId", "vsw-none")],
            "InvalidVSwitchId.NotFound",
        ),
        (
            &[ip, ("SourceVSwitchId", &*elsewhere)],
            "InvalidVSwitchId.NotInSameVpc",
        ),
        (&[cidr, ("SnatIp", "203.0.113")], "InvalidSnatIp.Malformed"),
        (
            &[cidr, ("SnatIp", "203.0.113.16,")],
            "InvalidSnatIp.Malformed",
        ),
        (&[cidr, ("SnatIp", "198.51.100.1")], "EIP_NOT_IN_GATEWAY"),
        (&[cidr, ("SnatIp", &*unbound)], "EIP_NOT_IN_GATEWAY"),
        (&[cidr, ("SnatIp", &*one_unbound)], "EIP_NOT_IN_GATEWAY"),
        (&[cidr, ("SnatIp", &*twice)], "InvalidSnatIp.Duplicated"),
        (
            &[cidr, ip, ("NetworkInterfaceId", "eni-1")],
            "InvalidParameter",
        ),
        (&[cidr, ip, ("EipAffinity", "2")], "InvalidParameter"),
        (&[cidr, ip, ("Pooling", "Random")], "InvalidParameter"),
        (
            &[cidr, ip, ("Pooling", "Paired"), ("EipAffinity", "1")],
            "InvalidParameter",
        ),
        (&[cidr, ip, ("SnatEntryName", "1")], "InvalidParameter"),
        (&[cidr, ip, ("DryRun", "true")], "DryRunOperation"),
    ] {
        assert_eq!(refused(create(&world, &site, params)), code, "{params:?}");
    }
    let params = [("SnatTableId", "stb-none"), cidr, ip];
    assert_eq!(
        refused(world.vpc("CreateSnatEntry", &params)),
        "InvalidSnatTableId.NotFound"
    );
    assert!(world.control.config().nat_gateways[0].snat.is_empty());
}

#[test]
fn a_source_is_in_one_entry() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let ip = ("SnatIp", &*address);
    let of_vswitch = [ip, ("SourceVSwitchId", &*site.vswitch)];
    let of_block = [ip, ("SourceCIDR", "192.168.1.0/24")];
    create(&world, &site, &of_vswitch).unwrap();
    assert_eq!(
        refused(create(&world, &site, &of_vswitch)),
        "Forbidden.SourceVSwitchId.Duplicated"
    );
    assert_eq!(
        refused(create(&world, &site, &of_block)),
        "OperationUnsupported.CidrConflict"
    );
    // Larger and smaller blocks are others: the longest prefix wins.
    snat(&world, &site, "192.168.0.0/16", &address);
    let host = snat(&world, &site, "192.168.1.7/32", &address);
    assert_eq!(world.control.config().nat_gateways[0].snat.len(), 3);
    assert_eq!(
        refused(modify(
            &world,
            &site,
            &host,
            &[("SourceCIDR", "192.168.0.0/16")]
        )),
        "OperationUnsupported.CidrConflict"
    );
    // An entry is not in its own way.
    modify(&world, &site, &host, &[("SourceCIDR", "192.168.1.7/32")]).unwrap();

    // Another gateway of the VPC has entries of its own.
    let params = [("VpcId", &*site.vpc), ("VSwitchId", &site.vswitch)];
    let made = world.vpc("CreateNatGateway", &params).unwrap();
    let (_, other) = bound_eip(&world, &text(&made, "/NatGatewayId"));
    let params = [
        ("SnatTableId", &*text(&made, "/SnatTableIds/SnatTableId/0")),
        ("SourceVSwitchId", &site.vswitch),
        ("SnatIp", &other),
    ];
    let theirs = world.vpc("CreateSnatEntry", &params).unwrap();
    let theirs = text(&theirs, "/SnatEntryId");
    let code = refused(modify(&world, &site, &theirs, &[("SnatEntryName", "mine")]));
    assert_eq!(
        code, "InvalidSnatEntryId.NotFound",
        "it is in another table"
    );
}

#[test]
fn sources_of_a_peered_vpc_and_of_networks_behind_an_instance() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let peered = [("SourceCIDR", "10.1.0.0/16"), ("SnatIp", &*address)];
    assert_eq!(
        refused(create(&world, &site, &peered)),
        "InvalidSourceCIDR.NotInVpc"
    );
    let made = world.vpc("CreateVpc", &[("CidrBlock", "10.1.0.0/16")]);
    peer(&world, &site.vpc, &text(&made.unwrap(), "/VpcId"));
    create(&world, &site, &peered).unwrap();

    let lan = [("SourceCIDR", "172.20.0.0/24"), ("SnatIp", &*address)];
    assert_eq!(
        refused(create(&world, &site, &lan)),
        "InvalidSourceCIDR.NotInVpc"
    );
    let (_, eni) = instance(&world, &site.vswitch, "192.168.1.10");
    let behind = world.control.change(0, |draft| {
        let hosts = vec!["172.20.0.0/16".parse().unwrap()];
        draft.enis.get_mut(&eni).unwrap().hosts = hosts;
        Ok(())
    });
    behind.unwrap();
    create(&world, &site, &lan).unwrap();
}

#[test]
fn an_eip_with_an_ip_mapping_has_no_snat() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let (_, free) = bound_eip(&world, &site.gateway);
    dnat(
        &world,
        &site,
        (&address, "Any", "Any", "192.168.1.10", "Any"),
    );
    let params = [("SourceCIDR", "192.168.1.0/24"), ("SnatIp", &*address)];
    assert_eq!(
        refused(create(&world, &site, &params)),
        "Forbidden.IpUsedInForwardTable"
    );
    let entry = snat(&world, &site, "192.168.1.0/24", &free);
    assert_eq!(
        refused(modify(&world, &site, &entry, &[("SnatIp", &address)])),
        "Forbidden.IpUsedInForwardTable"
    );
}

#[test]
fn an_eip_of_a_standard_gateway_is_for_snat_or_for_dnat() {
    let world = World::new();
    let site = site_of_type(&world, "Normal");
    let (_, for_dnat) = bound_eip(&world, &site.gateway);
    let (_, for_snat) = bound_eip(&world, &site.gateway);
    dnat(
        &world,
        &site,
        (&for_dnat, "80", "TCP", "192.168.1.10", "80"),
    );
    let params = [("SourceCIDR", "192.168.1.0/24"), ("SnatIp", &*for_dnat)];
    assert_eq!(
        refused(create(&world, &site, &params)),
        "Forbidden.IpUsedInForwardTable"
    );
    snat(&world, &site, "192.168.1.0/24", &for_snat);
    assert_eq!(
        refused(try_dnat(
            &world,
            &site,
            (&for_snat, "80", "TCP", "192.168.1.11", "80")
        )),
        "Forbidden.ExternalIp.UsedInSnatTable"
    );
    // As an enhanced one it may be both.
    let params = [
        ("NatGatewayId", &*site.gateway),
        ("NatType", "Enhanced"),
        ("VSwitchId", &site.vswitch),
    ];
    assert_eq!(
        refused(world.vpc("UpdateNatGatewayNatType", &params[..2])),
        "MissingParameter"
    );
    world.vpc("UpdateNatGatewayNatType", &params).unwrap();
    dnat(
        &world,
        &site,
        (&for_snat, "80", "TCP", "192.168.1.11", "80"),
    );
}

#[test]
fn entries_are_found_by_what_they_are() {
    let world = World::new();
    let first = site(&world);
    let second = site(&world);
    let (_, a) = bound_eip(&world, &first.gateway);
    let (_, b) = bound_eip(&world, &first.gateway);
    let (_, c) = bound_eip(&world, &second.gateway);
    let all: Vec<String> = (0..60)
        .map(|n| snat(&world, &first, &format!("192.168.2.{n}/32"), &a))
        .collect();
    let pool = format!("{a},{b}");
    let params = [
        ("SourceVSwitchId", &*first.vswitch),
        ("SnatIp", &pool),
        ("SnatEntryName", "pool"),
    ];
    create(&world, &first, &params).unwrap();
    snat(&world, &second, "192.168.2.0/24", &c);
    let two = format!("{},{}", all[0], all[1]);
    for (conditions, found) in [
        (&[][..], 62),
        (&[("SnatTableId", &*first.snat_table)], 61),
        (&[("NatGatewayId", &*second.gateway)], 1),
        (
            &[
                ("SnatTableId", &*first.snat_table),
                ("NatGatewayId", &*second.gateway),
            ],
            0,
        ),
        (&[("SnatEntryId", &*two)], 2),
        (&[("SnatEntryName", "pool")], 1),
        (&[("SnatIp", &*a)], 61),
        (&[("SnatIp", &*b)], 1),
        (&[("SourceCIDR", "192.168.2.7/32")], 1),
        (&[("SourceCIDR", "192.168.1.0/24")], 1),
        (&[("SourceVSwitchId", &*first.vswitch)], 1),
        (&[("NetworkInterfaceIds.1", "eni-1")], 0),
    ] {
        let answer = world.vpc("DescribeSnatTableEntries", conditions).unwrap();
        assert_eq!(answer["TotalCount"], found, "{conditions:?}");
    }
    let mut seen = std::collections::BTreeSet::new();
    for (page, on_it) in [("1", 50), ("2", 11)] {
        let params = [
            ("SnatTableId", &*first.snat_table),
            ("PageSize", "50"),
            ("PageNumber", page),
        ];
        let answer = world.vpc("DescribeSnatTableEntries", &params).unwrap();
        let entries = answer["SnatTableEntries"]["SnatTableEntry"]
            .as_array()
            .unwrap();
        assert_eq!(entries.len(), on_it);
        seen.extend(entries.iter().map(|it| text(it, "/SnatEntryId")));
    }
    assert_eq!(seen.len(), 61);
    for (wrong, code) in [
        (("SnatTableId", "stb-none"), "InvalidSnatTableId.NotFound"),
        (("NatGatewayId", "ngw-none"), "InvalidNatGatewayId.NotFound"),
        (("PageSize", "51"), "InvalidParameter"),
    ] {
        assert_eq!(
            refused(world.vpc("DescribeSnatTableEntries", &[wrong])),
            code
        );
    }
}

#[test]
fn quotas_hold() {
    let world = World::new();
    let site = site(&world);
    set_quotas(&world, &[("snat-entries-per-nat-gateway", 1)]);
    let (_, address) = bound_eip(&world, &site.gateway);
    snat(&world, &site, "192.168.1.0/24", &address);
    let params = [("SourceCIDR", "192.168.2.0/24"), ("SnatIp", &*address)];
    assert_eq!(
        refused(create(&world, &site, &params)),
        "QuotaExceeded.SnatEntry"
    );
}

#[test]
fn a_vswitch_with_an_entry_stays() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let source = vswitch(&world, &site.vpc, "192.168.2.0/24");
    let params = [("SourceVSwitchId", &*source), ("SnatIp", &address)];
    create(&world, &site, &params).unwrap();
    assert_eq!(
        refused(world.vpc("DeleteVSwitch", &[("VSwitchId", &source)])),
        "DependencyViolation.SnatEntry"
    );
}

#[test]
fn a_pool_has_64_eips_at_most() {
    let world = World::new();
    let pool = world.control.change(0, |draft| {
        let pool = vec!["203.0.113.128/25".parse().unwrap()];
        draft.uplinks.get_mut("wan").unwrap().pool = pool;
        Ok(())
    });
    pool.unwrap();
    let site = site(&world);
    let all: Vec<String> = (0..65)
        .map(|_| bound_eip(&world, &site.gateway).1)
        .collect();
    let params = [
        ("SourceCIDR", "192.168.1.0/24"),
        ("SnatIp", &*all.join(",")),
    ];
    assert_eq!(
        refused(create(&world, &site, &params)),
        "SNAT_IP_POOL_COUNT_TOO_MANY"
    );
    let id = snat(&world, &site, "192.168.1.0/24", &all[..64].join(","));
    assert_eq!(told(&world, &id).eips.len(), 64);
}
