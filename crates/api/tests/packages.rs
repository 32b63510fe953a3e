//! Bandwidth packages, through the API.

use crate::common::{World, refused, text};
use crate::nat::*;
use serde_json::Value;

fn package(world: &World, bandwidth: &str) -> String {
    let params = [("Bandwidth", bandwidth), ("Name", "shared")];
    let made = world.vpc("CreateCommonBandwidthPackage", &params).unwrap();
    text(&made, "/BandwidthPackageId")
}

fn on(
    world: &World,
    action: &str,
    package: &str,
    more: &[(&str, &str)],
) -> Result<Value, api::ApiError> {
    let params = [&[("BandwidthPackageId", package)], more].concat();
    world.vpc(action, &params)
}

fn add(world: &World, package: &str, eip: &str) -> Result<Value, api::ApiError> {
    on(
        world,
        "AddCommonBandwidthPackageIp",
        package,
        &[("IpInstanceId", eip)],
    )
}

fn shown(world: &World, package: &str) -> Value {
    let answer = on(world, "DescribeCommonBandwidthPackages", package, &[]).unwrap();
    assert_eq!(answer["TotalCount"], 1);
    answer["CommonBandwidthPackages"]["CommonBandwidthPackage"][0].clone()
}

fn eip_shown(world: &World, eip: &str) -> Value {
    let answer = world.vpc("DescribeEipAddresses", &[("AllocationId", eip)]);
    answer.unwrap()["EipAddresses"]["EipAddress"][0].clone()
}

#[test]
fn eips_share_a_package() {
    let world = World::new();
    let id = package(&world, "100");
    let (a, address) = eip(&world);
    let (b, _) = eip(&world);
    add(&world, &id, &a).unwrap();
    let one = shown(&world, &id);
    for (field, value) in [
        ("Name", "shared"),
        ("Bandwidth", "100"),
        ("Status", "Available"),
        ("BusinessStatus", "Normal"),
        ("InternetChargeType", "PayByBandwidth"),
    ] {
        assert_eq!(one[field], value, "{field}");
    }
    let ip = &one["PublicIpAddresses"]["PublicIpAddresse"][0];
    assert_eq!(
        (&ip["AllocationId"], &ip["IpAddress"]),
        (&a.clone().into(), &address.into())
    );
    let of_eip = eip_shown(&world, &a);
    for (field, value) in [
        ("Bandwidth", "100"),
        ("EipBandwidth", "5"),
        ("BandwidthPackageId", &*id),
        ("BandwidthPackageBandwidth", "100"),
        ("BandwidthPackageType", "CommonBandwidthPackage"),
    ] {
        assert_eq!(of_eip[field], *value, "{field}");
    }
    let config = world.control.config();
    assert_eq!(config.bandwidth_packages.len(), 1);
    assert_eq!(config.bandwidth_packages[0].bandwidth, 100);
    let package_of = |eip: &str| {
        let config = world.control.config();
        let eip = config.eips.iter().find(|it| it.id == eip).unwrap();
        eip.package.clone()
    };
    assert_eq!((package_of(&a), package_of(&b)), (Some(id.clone()), None));

    let spec = "ModifyCommonBandwidthPackageSpec";
    on(&world, spec, &id, &[("Bandwidth", "300")]).unwrap();
    assert_eq!(world.control.config().bandwidth_packages[0].bandwidth, 300);
    let attribute = "ModifyCommonBandwidthPackageAttribute";
    let named = [("Name", "all"), ("Description", "of the shop")];
    on(&world, attribute, &id, &named).unwrap();
    assert_eq!(shown(&world, &id)["Name"], "all");
    assert_eq!(shown(&world, &id)["Description"], "of the shop");

    let remove = |eip: &str| {
        let params = [("IpInstanceId", eip)];
        on(&world, "RemoveCommonBandwidthPackageIp", &id, &params)
    };
    remove(&a).unwrap();
    assert_eq!(package_of(&a), None);
    assert_eq!(eip_shown(&world, &a)["Bandwidth"], "5");
    assert_eq!(refused(remove(&a)), "OperationUnsupported.IpNotInCbwp");
    on(&world, "DeleteCommonBandwidthPackage", &id, &[]).unwrap();
    assert!(world.control.config().bandwidth_packages.is_empty());
}

#[test]
fn what_a_package_refuses() {
    let world = World::new();
    let create =
        |params: &[(&str, &str)]| refused(world.vpc("CreateCommonBandwidthPackage", params));
    for (params, code) in [
        (&[][..], "MissingParameter"),
        (&[("Bandwidth", "0")], "InvalidParameter.Bandwidth"),
        (&[("Bandwidth", "100001")], "InvalidParameter.Bandwidth"),
        (&[("Bandwidth", "-1")], "InvalidParameter"),
        (
            &[("Bandwidth", "10"), ("InternetChargeType", "PayBy95")],
            "InvalidParameter",
        ),
        (&[("Bandwidth", "10"), ("Ratio", "20")], "InvalidParameter"),
        (&[("Bandwidth", "10"), ("Name", "x")], "InvalidParameter"),
    ] {
        assert_eq!(create(params), code, "{params:?}");
    }
    let id = package(&world, "100");
    let (eip, _) = eip(&world);
    assert_eq!(
        refused(add(&world, &id, "eip-none")),
        "InvalidIpInstanceId.NotFound"
    );
    assert_eq!(
        refused(add(&world, "cbwp-none", &eip)),
        "InvalidBandwidthPackageId.NotFound"
    );
    let ipv6 = [("IpInstanceId", &*eip), ("IpType", "IPv6")];
    assert_eq!(
        refused(on(&world, "AddCommonBandwidthPackageIp", &id, &ipv6)),
        "OperationUnsupported.IpType"
    );
    add(&world, &id, &eip).unwrap();
    let other = package(&world, "100");
    let already = "IpInstanceId.AlreadyInBandwidthPackage";
    assert_eq!(refused(add(&world, &id, &eip)), already);
    assert_eq!(refused(add(&world, &other, &eip)), already);
    let delete = |more: &[(&str, &str)]| on(&world, "DeleteCommonBandwidthPackage", &id, more);
    assert_eq!(refused(delete(&[])), "DependencyViolation.Ips");
    assert_eq!(refused(delete(&[("Force", "perhaps")])), "InvalidParameter");
    let protect = |on| {
        let params = [
            ("InstanceId", &*id),
            ("Type", "CBWP"),
            ("ProtectionEnable", on),
        ];
        world.vpc("DeletionProtection", &params).unwrap();
    };
    protect("true");
    assert_eq!(shown(&world, &id)["DeletionProtection"], true);
    assert_eq!(
        refused(delete(&[("Force", "true")])),
        "InvalidOperation.DeletionProtection"
    );
    protect("false");
    delete(&[("Force", "true")]).unwrap();
    assert_eq!(world.control.config().eips[0].package, None);
}

fn limit(world: &World, package: &str, eip: &str, bandwidth: &str) -> Result<Value, api::ApiError> {
    let params = [("EipId", eip), ("Bandwidth", bandwidth)];
    let action = "ModifyCommonBandwidthPackageIpBandwidth";
    on(world, action, package, &params)
}

fn unlimit(world: &World, package: &str, eip: &str) -> Result<Value, api::ApiError> {
    let action = "CancelCommonBandwidthPackageIpBandwidth";
    on(world, action, package, &[("EipId", eip)])
}

#[test]
fn an_eip_is_held_to_less_than_its_package_has() {
    let world = World::new();
    let id = package(&world, "100");
    let (a, _) = eip(&world);
    let (b, _) = eip(&world);
    add(&world, &id, &a).unwrap();
    add(&world, &id, &b).unwrap();
    let limits = || {
        let config = world.control.config();
        [&a, &b].map(|id| {
            let eip = config.eips.iter().find(|it| it.id == *id).unwrap();
            eip.package_bandwidth
        })
    };
    let bandwidths = |eip: &str| {
        let eip = eip_shown(&world, eip);
        ["Bandwidth", "EipBandwidth", "BandwidthPackageBandwidth"].map(|it| eip[it].clone())
    };
    assert_eq!(limits(), [None, None]);
    for bandwidth in ["40", "40", "100", "1"] {
        limit(&world, &id, &a, bandwidth).unwrap();
        assert_eq!(limits(), [bandwidth.parse().ok(), None]);
        assert_eq!(bandwidths(&a), [bandwidth, "5", "100"]);
        assert_eq!(bandwidths(&b), ["100", "5", "100"]);
    }
    // An EIP's own bandwidth is another thing.
    let own = [("AllocationId", &*a), ("Bandwidth", "7")];
    world.vpc("ModifyEipAddressAttribute", &own).unwrap();
    assert_eq!(bandwidths(&a), ["1", "7", "100"]);

    // The package may have as much as its EIPs are held to, and more.
    let spec = "ModifyCommonBandwidthPackageSpec";
    let modify = |bandwidth: &str| on(&world, spec, &id, &[("Bandwidth", bandwidth)]);
    limit(&world, &id, &a, "60").unwrap();
    assert_eq!(refused(modify("59")), "InvalidParameter.Bandwidth");
    modify("60").unwrap();
    assert_eq!(
        refused(limit(&world, &id, &a, "61")),
        "InvalidParameter.Bandwidth"
    );
    let world_before = world.control.cloud();
    let dry = [("EipId", &*a), ("Bandwidth", "20"), ("DryRun", "true")];
    let dry = on(&world, "ModifyCommonBandwidthPackageIpBandwidth", &id, &dry);
    assert_eq!(refused(dry), "DryRunOperation");
    let dry = [("EipId", &*a), ("DryRun", "true")];
    let dry = on(&world, "CancelCommonBandwidthPackageIpBandwidth", &id, &dry);
    assert_eq!(refused(dry), "DryRunOperation");
    assert_eq!(*world.control.cloud(), *world_before);

    for _ in 0..2 {
        unlimit(&world, &id, &a).unwrap();
        assert_eq!(limits(), [None, None]);
    }
    modify("10").unwrap();
    assert_eq!(bandwidths(&a), ["10", "7", "10"]);

    // The limit ends when the EIP leaves the package, however it does.
    limit(&world, &id, &a, "5").unwrap();
    limit(&world, &id, &b, "6").unwrap();
    let remove = [("IpInstanceId", &*a)];
    on(&world, "RemoveCommonBandwidthPackageIp", &id, &remove).unwrap();
    assert_eq!(limits(), [None, Some(6)]);
    add(&world, &id, &a).unwrap();
    assert_eq!(limits(), [None, Some(6)]);
    on(
        &world,
        "DeleteCommonBandwidthPackage",
        &id,
        &[("Force", "true")],
    )
    .unwrap();
    assert_eq!(limits(), [None, None]);
    assert_eq!(bandwidths(&b), ["5", "5", ""]);
}

#[test]
fn what_a_limit_within_a_package_refuses() {
    let world = World::new();
    let (id, other) = (package(&world, "100"), package(&world, "100"));
    let (a, _) = eip(&world);
    let (outside, _) = eip(&world);
    add(&world, &id, &a).unwrap();
    let missing = on(
        &world,
        "ModifyCommonBandwidthPackageIpBandwidth",
        &id,
        &[("EipId", &*a)],
    );
    assert_eq!(refused(missing), "MissingParameter");
    for (bandwidth, code) in [
        ("0", "InvalidParameter.Bandwidth"),
        ("101", "InvalidParameter.Bandwidth"),
        ("-1", "InvalidParameter"),
        ("much", "InvalidParameter"),
    ] {
        assert_eq!(
            refused(limit(&world, &id, &a, bandwidth)),
            code,
            "{bandwidth}"
        );
    }
    for (package, eip, code) in [
        ("cbwp-none", &*a, "InvalidBandwidthPackageId.NotFound"),
        (&*id, "eip-none", "InvalidIpInstanceId.NotFound"),
        (&*id, &*outside, "OperationUnsupported.IpNotInCbwp"),
        (&*other, &*a, "OperationUnsupported.IpNotInCbwp"),
    ] {
        assert_eq!(refused(limit(&world, package, eip, "10")), code);
        assert_eq!(refused(unlimit(&world, package, eip)), code);
    }
    assert!(
        world
            .control
            .config()
            .eips
            .iter()
            .all(|it| it.package_bandwidth.is_none())
    );
}

#[test]
fn several_are_added_at_once_or_none() {
    let world = World::new();
    let id = package(&world, "100");
    let (a, _) = eip(&world);
    let (b, _) = eip(&world);
    let several = |second: &str| {
        let params = [("IpInstanceIds.1", &*a), ("IpInstanceIds.2", second)];
        on(&world, "AddCommonBandwidthPackageIps", &id, &params)
    };
    let inside = || {
        let config = world.control.config();
        config.eips.iter().filter(|it| it.package.is_some()).count()
    };
    assert_eq!(refused(several("eip-none")), "InvalidIpInstanceId.NotFound");
    assert_eq!(inside(), 0);
    several(&b).unwrap();
    assert_eq!(inside(), 2);
    // A released EIP leaves its package.
    world
        .vpc("ReleaseEipAddress", &[("AllocationId", &a)])
        .unwrap();
    let ips = shown(&world, &id)["PublicIpAddresses"]["PublicIpAddresse"].clone();
    assert_eq!(ips.as_array().unwrap().len(), 1);
}

#[test]
fn packages_are_bounded_found_and_kept() {
    let world = World::new();
    set_quotas(
        &world,
        &[("bandwidth-packages", 2), ("eips-per-bandwidth-package", 1)],
    );
    let (first, second) = (package(&world, "100"), package(&world, "50"));
    let params = [("Bandwidth", "10")];
    assert_eq!(
        refused(world.vpc("CreateCommonBandwidthPackage", &params)),
        "QuotaExceeded.CommonBandwidthPackage"
    );
    let (a, _) = eip(&world);
    let (b, _) = eip(&world);
    add(&world, &first, &a).unwrap();
    assert_eq!(
        refused(add(&world, &first, &b)),
        "IpInstanceId.QuotaExceeded"
    );
    add(&world, &second, &b).unwrap();

    let both = format!("{first},{second}");
    for (conditions, found) in [
        (&[][..], 2),
        (&[("BandwidthPackageId", &*both)], 2),
        (&[("BandwidthPackageId", &*first)], 1),
        (&[("Name", "shared")], 2),
        (&[("Name", "other")], 0),
        (&[("SecurityProtectionEnabled", "true")], 0),
        (&[("Tag.1.Key", "env")], 0),
    ] {
        let answer = world
            .vpc("DescribeCommonBandwidthPackages", conditions)
            .unwrap();
        assert_eq!(answer["TotalCount"], found, "{conditions:?}");
    }
    let page = [("PageSize", "1"), ("PageNumber", "2")];
    let page = world.vpc("DescribeCommonBandwidthPackages", &page).unwrap();
    let on_it = page["CommonBandwidthPackages"]["CommonBandwidthPackage"].as_array();
    assert_eq!((on_it.unwrap().len(), &page["TotalCount"]), (1, &2.into()));

    limit(&world, &first, &a, "30").unwrap();
    let (before, config) = (world.control.cloud(), world.control.config());
    let world = world.restart();
    assert_eq!(
        (&*world.control.cloud(), world.control.config()),
        (&*before, config)
    );
}

#[test]
fn all_operations_are_there() {
    let mut products = api::spec::products().iter();
    let product = products.find(|it| it.product == "Vpc").unwrap();
    let of_packages = |action: &&String| action.contains("CommonBandwidthPackage");
    let operations: Vec<&String> = product.operations.keys().filter(of_packages).collect();
    assert_eq!(operations.len(), 10, "{operations:?}");
    for action in operations {
        assert!(api::answers(&product.version, action), "{action}");
    }
}
