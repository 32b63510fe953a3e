//! DNAT entries, which the API calls forward entries, through the API.

use crate::common::{World, refused, text};
use crate::nat::*;
use model::DnatMapping;
use serde_json::Value;

fn modify(
    world: &World,
    site: &Site,
    id: &str,
    more: &[(&str, &str)],
) -> Result<Value, api::ApiError> {
    let entry = [
        ("ForwardTableId", &*site.forward_table),
        ("ForwardEntryId", id),
    ];
    world.vpc("ModifyForwardEntry", &[&entry, more].concat())
}

fn delete(world: &World, site: &Site, id: &str) -> Result<Value, api::ApiError> {
    let entry = [
        ("ForwardTableId", &*site.forward_table),
        ("ForwardEntryId", id),
    ];
    world.vpc("DeleteForwardEntry", &entry)
}

fn shown(world: &World, id: &str) -> Value {
    let answer = world.vpc("DescribeForwardTableEntries", &[("ForwardEntryId", id)]);
    let answer = answer.unwrap();
    assert_eq!(answer["TotalCount"], 1);
    answer["ForwardTableEntries"]["ForwardTableEntry"][0].clone()
}

/// The entry as the engine is told.
fn told(world: &World, id: &str) -> model::DnatEntry {
    let config = world.control.config();
    let mut entries = config.nat_gateways.iter().flat_map(|it| &it.dnat);
    entries.find(|it| it.id == id).unwrap().clone()
}

#[test]
fn an_entry_is_made_shown_changed_and_deleted() {
    let world = World::new();
    let site = site(&world);
    let (a, address_a) = bound_eip(&world, &site.gateway);
    let (b, address_b) = bound_eip(&world, &site.gateway);
    let params = [
        ("ForwardTableId", &*site.forward_table),
        ("ExternalIp", &address_a),
        ("ExternalPort", "80"),
        ("IpProtocol", "tcp"),
        ("InternalIp", "192.168.1.10"),
        ("InternalPort", "8080"),
        ("ForwardEntryName", "web"),
        ("PortBreak", "true"),
    ];
    let id = text(
        &world.vpc("CreateForwardEntry", &params).unwrap(),
        "/ForwardEntryId",
    );
    let one = shown(&world, &id);
    for (field, value) in [
        ("ForwardEntryName", "web"),
        ("ForwardTableId", &*site.forward_table),
        ("NatGatewayId", &site.gateway),
        ("ExternalIp", &address_a),
        ("ExternalPort", "80"),
        ("InternalIp", "192.168.1.10"),
        ("InternalPort", "8080"),
        ("IpProtocol", "tcp"),
        ("Status", "Available"),
    ] {
        assert_eq!(one[field], *value, "{field}");
    }
    let ports = |protocol, external, internal| DnatMapping::Ports {
        protocol,
        external,
        internal,
    };
    let entry = told(&world, &id);
    assert_eq!(entry.eip, a);
    assert_eq!(entry.internal.to_string(), "192.168.1.10");
    assert_eq!(entry.mapping, ports(6, 80..=80, 8080));

    // What is not named stays.
    modify(&world, &site, &id, &[("ExternalPort", "9090")]).unwrap();
    assert_eq!(told(&world, &id).mapping, ports(6, 9090..=9090, 8080));
    assert_eq!(shown(&world, &id)["IpProtocol"], "tcp");
    let params = [
        ("ExternalIp", &*address_b),
        ("ExternalPort", "1000/1999"),
        ("InternalPort", "2000/2999"),
        ("IpProtocol", "UDP"),
        ("InternalIp", "192.168.1.11"),
        ("ForwardEntryName", "voice"),
    ];
    modify(&world, &site, &id, &params).unwrap();
    let entry = told(&world, &id);
    assert_eq!(entry.eip, b);
    assert_eq!(entry.internal.to_string(), "192.168.1.11");
    assert_eq!(entry.mapping, ports(17, 1000..=1999, 2000));
    let one = shown(&world, &id);
    assert_eq!(one["ExternalPort"], "1000/1999");
    assert_eq!(one["InternalPort"], "2000/2999");
    assert_eq!(one["ForwardEntryName"], "voice");
    modify(&world, &site, &id, &[("ForwardEntryName", "still voice")]).unwrap();
    assert_eq!(told(&world, &id), entry);

    let params = [
        ("IpProtocol", "any"),
        ("ExternalPort", "any"),
        ("InternalPort", "any"),
    ];
    modify(&world, &site, &id, &params).unwrap();
    assert_eq!(told(&world, &id).mapping, DnatMapping::Any);
    let one = shown(&world, &id);
    for field in ["IpProtocol", "ExternalPort", "InternalPort"] {
        assert_eq!(one[field], "any", "{field}");
    }
    let back = refused(modify(&world, &site, &id, &[("IpProtocol", "TCP")]));
    assert_eq!(
        back, "InvalidExternalPort.Malformed",
        "Any is no port of TCP"
    );

    delete(&world, &site, &id).unwrap();
    assert!(world.control.config().nat_gateways[0].dnat.is_empty());
    let gone = "InvalidForwardEntryId.NotFound";
    assert_eq!(refused(delete(&world, &site, &id)), gone);
    assert_eq!(refused(modify(&world, &site, &id, &[])), gone);
}

#[test]
fn protocols_are_read_in_any_case_and_told_as_given() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    for (n, protocol) in ["TCP", "tcp", "Tcp", "UDP", "udp"].into_iter().enumerate() {
        let port = format!("{}", 100 + n);
        let id = dnat(
            &world,
            &site,
            (&address, &port, protocol, "192.168.1.10", &port),
        );
        assert_eq!(shown(&world, &id)["IpProtocol"], protocol);
        let is_tcp = protocol.eq_ignore_ascii_case("tcp");
        let number = if is_tcp { 6 } else { 17 };
        match told(&world, &id).mapping {
            DnatMapping::Ports { protocol, .. } => assert_eq!(protocol, number),
            DnatMapping::Any => panic!("{protocol} is not Any"),
        }
    }
    let (_, whole) = bound_eip(&world, &site.gateway);
    let id = dnat(&world, &site, (&whole, "ANY", "Any", "192.168.1.11", "any"));
    assert_eq!(shown(&world, &id)["ExternalPort"], "Any");
}

#[test]
fn what_an_entry_cannot_be() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let (_, unbound) = eip(&world);
    let e = &*address;
    let i = "192.168.1.10";
    for (entry, code) in [
        (
            ("203.0.113", "80", "TCP", i, "80"),
            "InvalidExternalIp.Malformed",
        ),
        (
            (e, "80", "TCP", "192.168.1", "80"),
            "InvalidInternalIp.Malformed",
        ),
        (
            ("198.51.100.1", "80", "TCP", i, "80"),
            "InvalidIp.NotInNatgw",
        ),
        ((&*unbound, "80", "TCP", i, "80"), "InvalidIp.NotInNatgw"),
        (
            (e, "80", "ICMP", i, "80"),
            "InvalidProtocal.ValueNotSupported",
        ),
        ((e, "0", "TCP", i, "80"), "InvalidExternalPort.Malformed"),
        (
            (e, "65536", "TCP", i, "80"),
            "InvalidExternalPort.Malformed",
        ),
        ((e, "http", "TCP", i, "80"), "InvalidExternalPort.Malformed"),
        (
            (e, "20/10", "TCP", i, "20/10"),
            "InvalidExternalPort.Malformed",
        ),
        (
            (e, "10/20/30", "TCP", i, "10/20"),
            "InvalidExternalPort.Malformed",
        ),
        ((e, "80", "TCP", i, "0"), "InvalidInternalPort.Malformed"),
        ((e, "80", "TCP", i, "-1"), "InvalidInternalPort.Malformed"),
        (
            (e, "10/20", "TCP", i, "10/21"),
            "InvalidInternalPort.Malformed",
        ),
        (
            (e, "10/20", "TCP", i, "10"),
            "InvalidInternalPort.Malformed",
        ),
        ((e, "Any", "TCP", i, "Any"), "InvalidExternalPort.Malformed"),
        ((e, "80", "Any", i, "Any"), "InvalidExternalPort.Malformed"),
        ((e, "Any", "Any", i, "80"), "InvalidInternalPort.Malformed"),
        (
            (e, "80", "TCP", "10.0.0.1", "80"),
            "Forbidden.InternalIpOutOfVpcCIDR",
        ),
        ((e, "80", "TCP", "", "80"), "MissingParameter"),
        ((e, "", "TCP", i, "80"), "MissingParameter"),
        ((e, "80", "", i, "80"), "MissingParameter"),
    ] {
        assert_eq!(refused(try_dnat(&world, &site, entry)), code, "{entry:?}");
    }
    let lost = Site {
        forward_table: "ftb-none".into(),
        ..site
    };
    assert_eq!(
        refused(try_dnat(&world, &lost, (e, "80", "TCP", i, "80"))),
        "InvalidForwardTableId.NotFound"
    );
    assert!(world.control.config().nat_gateways[0].dnat.is_empty());
}

#[test]
fn the_external_address_is_not_the_internal_one() {
    let world = World::new();
    // A VPC may have public addresses, even those of the pool.
    let params = [("CidrBlock", "203.0.113.0/24")];
    let vpc = text(&world.vpc("CreateVpc", &params).unwrap(), "/VpcId");
    let vswitch = vswitch(&world, &vpc, "203.0.113.0/24");
    let params = [("VpcId", &*vpc), ("VSwitchId", &vswitch)];
    let made = world.vpc("CreateNatGateway", &params).unwrap();
    let (_, address) = bound_eip(&world, &text(&made, "/NatGatewayId"));
    let site = Site {
        gateway: text(&made, "/NatGatewayId"),
        snat_table: text(&made, "/SnatTableIds/SnatTableId/0"),
        forward_table: text(&made, "/ForwardTableIds/ForwardTableId/0"),
        vpc,
        vswitch,
    };
    assert_eq!(
        refused(try_dnat(
            &world,
            &site,
            (&address, "80", "TCP", &address, "80")
        )),
        "InvalidInternalIp.Malformed"
    );
    dnat(&world, &site, (&address, "80", "TCP", "203.0.113.99", "80"));
}

#[test]
fn ports_are_mapped_once_on_either_side() {
    let world = World::new();
    let site = site(&world);
    let (_, a) = bound_eip(&world, &site.gateway);
    let (_, b) = bound_eip(&world, &site.gateway);
    let first = dnat(
        &world,
        &site,
        (&a, "100/200", "TCP", "192.168.1.10", "1100/1200"),
    );
    let external = "Forbidden.ExternalPort.Duplicated";
    let internal = "Forbidden.InternalPort.Duplicated";
    for (entry, code) in [
        ((&*a, "100/200", "tcp", "192.168.1.11", "100/200"), external),
        ((&*a, "150", "TCP", "192.168.1.11", "150"), external),
        ((&*a, "200/300", "TCP", "192.168.1.11", "200/300"), external),
        ((&*a, "1/100", "TCP", "192.168.1.11", "1/100"), external),
        ((&*b, "80", "TCP", "192.168.1.10", "1150"), internal),
        ((&*b, "80", "TCP", "192.168.1.10", "1100"), internal),
    ] {
        assert_eq!(refused(try_dnat(&world, &site, entry)), code, "{entry:?}");
    }
    // Another protocol, address or port is another matter.
    dnat(&world, &site, (&a, "150", "UDP", "192.168.1.10", "1150"));
    dnat(&world, &site, (&b, "150", "TCP", "192.168.1.11", "1150"));
    let beside = dnat(&world, &site, (&a, "201", "TCP", "192.168.1.10", "1201"));
    assert_eq!(
        refused(modify(&world, &site, &beside, &[("ExternalPort", "200")])),
        external
    );
    assert_eq!(
        refused(modify(&world, &site, &beside, &[("InternalPort", "1200")])),
        internal
    );
    // An entry is not in its own way.
    let params = [("ExternalPort", "101/199"), ("InternalPort", "1101/1199")];
    modify(&world, &site, &first, &params).unwrap();
    modify(&world, &site, &beside, &[("ExternalPort", "200")]).unwrap();
}

#[test]
fn an_ip_mapping_has_its_eip_for_itself() {
    let world = World::new();
    let site = site(&world);
    let (_, ports) = bound_eip(&world, &site.gateway);
    let (_, source) = bound_eip(&world, &site.gateway);
    let (_, whole) = bound_eip(&world, &site.gateway);
    let (_, spare) = bound_eip(&world, &site.gateway);
    dnat(&world, &site, (&ports, "80", "TCP", "192.168.1.10", "80"));
    snat(&world, &site, "192.168.1.0/24", &source);
    let any =
        |eip: &str, internal: &str| try_dnat(&world, &site, (eip, "Any", "Any", internal, "Any"));
    let duplicated = "Forbidden.ExternalPort.Duplicated";
    assert_eq!(refused(any(&ports, "192.168.1.11")), duplicated);
    assert_eq!(
        refused(any(&source, "192.168.1.11")),
        "Forbidden.ExternalIp.UsedInSnatTable"
    );
    any(&whole, "192.168.1.11").unwrap();
    assert_eq!(refused(any(&whole, "192.168.1.12")), duplicated);
    assert_eq!(
        refused(any(&spare, "192.168.1.11")),
        "Forbidden.InternalPort.Duplicated"
    );
    let port = (&*whole, "80", "TCP", "192.168.1.12", "80");
    assert_eq!(refused(try_dnat(&world, &site, port)), duplicated);
    // Other EIPs may have single ports of the same instance.
    dnat(&world, &site, (&ports, "81", "TCP", "192.168.1.11", "80"));
}

#[test]
fn an_instance_with_an_eip_of_its_own_has_no_dnat() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let (instance, eni) = instance(&world, &site.vswitch, "192.168.1.10");
    let (own, _) = eip(&world);
    let associate = |to: &str, kind| {
        let params = [
            ("AllocationId", &*own),
            ("InstanceId", to),
            ("InstanceType", kind),
        ];
        world.vpc("AssociateEipAddress", &params).unwrap();
    };
    let unassociate = || {
        let params = [("AllocationId", &*own)];
        world.vpc("UnassociateEipAddress", &params).unwrap();
    };
    let entry = (&*address, "80", "TCP", "192.168.1.10", "80");
    let free = dnat(&world, &site, (&address, "81", "TCP", "192.168.1.11", "81"));
    associate(&instance, "EcsInstance");
    assert_eq!(refused(try_dnat(&world, &site, entry)), "Forbindden");
    let moved = modify(&world, &site, &free, &[("InternalIp", "192.168.1.10")]);
    assert_eq!(refused(moved), "Forbindden");
    unassociate();
    associate(&eni, "NetworkInterface");
    assert_eq!(refused(try_dnat(&world, &site, entry)), "Forbindden");
    unassociate();
    dnat(&world, &site, entry);
}

#[test]
fn entries_lead_into_peered_vpcs_and_keep_their_blocks() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let made = world.vpc("CreateVpc", &[("CidrBlock", "10.1.0.0/16")]);
    let peered = text(&made.unwrap(), "/VpcId");
    let entry = (&*address, "80", "TCP", "10.1.0.10", "80");
    let outside = "Forbidden.InternalIpOutOfVpcCIDR";
    assert_eq!(refused(try_dnat(&world, &site, entry)), outside);
    peer(&world, &peered, &site.vpc);
    dnat(&world, &site, entry);

    let block = [
        ("VpcId", &*site.vpc),
        ("SecondaryCidrBlock", "172.16.0.0/16"),
    ];
    let entry = (&*address, "81", "TCP", "172.16.0.10", "81");
    assert_eq!(refused(try_dnat(&world, &site, entry)), outside);
    world.vpc("AssociateVpcCidrBlock", &block).unwrap();
    let entry = dnat(&world, &site, entry);
    assert_eq!(
        refused(world.vpc("UnassociateVpcCidrBlock", &block)),
        "DependencyViolation.ForwardEntry"
    );
    delete(&world, &site, &entry).unwrap();
    world.vpc("UnassociateVpcCidrBlock", &block).unwrap();
}

#[test]
fn entries_are_found_by_what_they_are() {
    let world = World::new();
    let first = site(&world);
    let second = site(&world);
    let (_, a) = bound_eip(&world, &first.gateway);
    let (_, b) = bound_eip(&world, &first.gateway);
    let (_, c) = bound_eip(&world, &second.gateway);
    for n in 1..=60 {
        let port = n.to_string();
        dnat(&world, &first, (&a, &port, "TCP", "192.168.1.10", &port));
    }
    let range = dnat(
        &world,
        &first,
        (&a, "100/200", "udp", "192.168.1.11", "300/400"),
    );
    dnat(&world, &first, (&b, "Any", "Any", "192.168.1.12", "Any"));
    dnat(&world, &second, (&c, "7", "TCP", "192.168.1.10", "8"));
    modify(&world, &first, &range, &[("ForwardEntryName", "voice")]).unwrap();
    for (conditions, found) in [
        (&[][..], 63),
        (&[("ForwardTableId", &*first.forward_table)], 62),
        (&[("NatGatewayId", &*second.gateway)], 1),
        (&[("ForwardEntryId", &*range)], 1),
        (&[("ForwardEntryName", "voice")], 1),
        (&[("ExternalIp", &*a)], 61),
        (&[("ExternalIp", &*a), ("ExternalPort", "7")], 1),
        (&[("ExternalPort", "7")], 2),
        (&[("ExternalPort", "100/200")], 1),
        (&[("ExternalPort", "any")], 1),
        (&[("InternalIp", "192.168.1.10")], 61),
        (&[("InternalPort", "8")], 2),
        (&[("IpProtocol", "UDP")], 1),
        (&[("IpProtocol", "tcp")], 61),
    ] {
        let answer = world
            .vpc("DescribeForwardTableEntries", conditions)
            .unwrap();
        assert_eq!(answer["TotalCount"], found, "{conditions:?}");
    }
    let mut seen = std::collections::BTreeSet::new();
    for (page, on_it) in [("1", 50), ("2", 13)] {
        let params = [("PageSize", "50"), ("PageNumber", page)];
        let answer = world.vpc("DescribeForwardTableEntries", &params).unwrap();
        let entries = answer["ForwardTableEntries"]["ForwardTableEntry"]
            .as_array()
            .unwrap();
        assert_eq!(entries.len(), on_it);
        seen.extend(entries.iter().map(|it| text(it, "/ForwardEntryId")));
    }
    assert_eq!(seen.len(), 63);
    for (wrong, code) in [
        (
            ("ForwardTableId", "ftb-none"),
            "InvalidForwardTableId.NotFound",
        ),
        (("NatGatewayId", "ngw-none"), "InvalidNatGatewayId.NotFound"),
        (("PageNumber", "0"), "InvalidParameter"),
    ] {
        assert_eq!(
            refused(world.vpc("DescribeForwardTableEntries", &[wrong])),
            code
        );
    }
    // An entry is of one table.
    assert_eq!(
        refused(delete(&world, &second, &range)),
        "InvalidForwardEntryId.NotFound"
    );
}

#[test]
fn quotas_hold() {
    let world = World::new();
    let site = site(&world);
    set_quotas(&world, &[("dnat-entries-per-nat-gateway", 1)]);
    let (_, address) = bound_eip(&world, &site.gateway);
    dnat(&world, &site, (&address, "80", "TCP", "192.168.1.10", "80"));
    let more = (&*address, "81", "TCP", "192.168.1.10", "81");
    assert_eq!(
        refused(try_dnat(&world, &site, more)),
        "QuotaExceeded.ForwardEntry"
    );
}

#[test]
fn a_token_makes_an_entry_once() {
    let world = World::new();
    let site = site(&world);
    let (_, address) = bound_eip(&world, &site.gateway);
    let create = |port: &str| {
        let params = [
            ("ForwardTableId", &*site.forward_table),
            ("ExternalIp", &address),
            ("ExternalPort", port),
            ("IpProtocol", "TCP"),
            ("InternalIp", "192.168.1.10"),
            ("InternalPort", "80"),
            ("ClientToken", "once"),
        ];
        world.vpc("CreateForwardEntry", &params)
    };
    let first = create("80").unwrap();
    assert_eq!(create("80").unwrap(), first);
    assert_eq!(refused(create("81")), "IdempotentParameterMismatch");
    assert_eq!(world.control.config().nat_gateways[0].dnat.len(), 1);
}

/// 100 entries each way over 10 VPCs; `examples/entries.rs` measures ten times as many.
#[test]
fn many_entries_over_many_vpcs() {
    let world = World::new();
    for _ in 0..10 {
        let site = site(&world);
        let (_, address) = bound_eip(&world, &site.gateway);
        for n in 0..10 {
            snat(&world, &site, &format!("192.168.{n}.0/24"), &address);
            let port = (1000 + n).to_string();
            dnat(
                &world,
                &site,
                (&address, &port, "TCP", "192.168.1.10", &port),
            );
        }
    }
    let config = world.control.config();
    assert_eq!(config.nat_gateways.len(), 10);
    for gateway in &config.nat_gateways {
        assert_eq!((gateway.snat.len(), gateway.dnat.len()), (10, 10));
    }
    let before = world.control.cloud();
    let world = world.restart();
    assert_eq!(
        (&*world.control.cloud(), world.control.config()),
        (&*before, config)
    );
}
