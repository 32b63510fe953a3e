//! Bandwidth packages.

use super::eip::{bandwidth, of_region};
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp, tag_list};
use crate::spec::{invalid, missing, parse_bool, shown};
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateCommonBandwidthPackage", C(create)),
    ("DescribeCommonBandwidthPackages", Q(describe)),
    ("AddCommonBandwidthPackageIp", C(add)),
    ("AddCommonBandwidthPackageIps", C(add_several)),
    ("RemoveCommonBandwidthPackageIp", C(remove)),
    ("ModifyCommonBandwidthPackageAttribute", C(modify)),
    ("ModifyCommonBandwidthPackageSpec", C(modify_bandwidth)),
    ("ModifyCommonBandwidthPackageIpBandwidth", C(limit)),
    ("CancelCommonBandwidthPackageIpBandwidth", C(unlimit)),
    ("DeleteCommonBandwidthPackage", C(delete)),
];

/// The most EIPs that are added at once.
const MAX_BATCH: usize = 10;

fn need_bandwidth(call: &Call) -> Result<u32, ApiError> {
    bandwidth(call)?.ok_or_else(|| missing("Bandwidth"))
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    call.word("InternetChargeType", &["PayByBandwidth"])?;
    call.word("ISP", &["BGP"])?;
    if let Some(ratio) = call.int("Ratio")?.filter(|it| *it != 100) {
        let why = format!("{ratio} is not 100, the only one for PayByBandwidth.");
        return Err(invalid("Ratio", why));
    }
    if !call.list("SecurityProtectionTypes").is_empty() {
        let why = "There is no protection against floods to order.";
        return Err(invalid("SecurityProtectionTypes", why));
    }
    let mut meta = draft.meta(
        call.name("Name", 2)?.unwrap_or_default(),
        call.description("Description")?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    meta.resource_group = call.text("ResourceGroupId").unwrap_or_default().into();
    let package = draft.create_package(meta, call.region, need_bandwidth(call)?)?;
    Ok(json!({
        "BandwidthPackageId": package.id,
        "ResourceGroupId": package.meta.resource_group(),
    }))
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let protected = call.flag("SecurityProtectionEnabled")? == Some(true);
    let packages = cloud.packages.iter().filter(|package| {
        !protected
            && call.is_one("BandwidthPackageId", &package.id)
            && call.is("Name", &package.meta.name)
            && of_region(call, &package.region)
            && call.matches(&package.meta)
    });
    let (packages, position) = call.page(packages.collect(), 50)?;
    let packages = packages.into_iter().map(|package| {
        let eips = cloud.eips_of_package(&package.id).map(|eip| {
            json!({
                "AllocationId": eip.id,
                "IpAddress": eip.address,
                "BandwidthPackageIpRelationStatus": "BINDED",
            })
        });
        json!({
            "BandwidthPackageId": package.id,
            "Name": package.meta.name,
            "Description": package.meta.description,
            "Bandwidth": package.bandwidth.to_string(),
            "Status": "Available",
            "BusinessStatus": "Normal",
            "CreationTime": stamp(package.meta.created),
            "InstanceChargeType": "PostPaid",
            "InternetChargeType": "PayByBandwidth",
            "ISP": "BGP",
            "Ratio": 100,
            "RegionId": call.region,
            "ResourceGroupId": package.meta.resource_group(),
            "DeletionProtection": package.deletion_protection,
            "HasReservationData": "false",
            "PublicIpAddresses": {"PublicIpAddresse": eips.collect::<Vec<_>>()},
            "Tags": tag_list(&package.meta),
        })
    });
    let packages: Vec<Value> = packages.collect();
    Ok(join(
        position,
        json!({"CommonBandwidthPackages": {"CommonBandwidthPackage": packages}}),
    ))
}

/// Only EIPs share packages.
fn check_type(call: &Call) -> Result<(), ApiError> {
    match call.text("IpType") {
        Some(kind) if !kind.eq_ignore_ascii_case("EIP") => {
            let why = format!("{} is not EIP.", shown(kind));
            Err(ApiError::bad("OperationUnsupported.IpType", why))
        }
        _ => Ok(()),
    }
}

fn add(call: &Call, draft: &mut Draft) -> Answer {
    check_type(call)?;
    draft.add_to_package(call.need("BandwidthPackageId")?, call.need("IpInstanceId")?)?;
    Ok(json!({}))
}

fn add_several(call: &Call, draft: &mut Draft) -> Answer {
    check_type(call)?;
    let package = call.need("BandwidthPackageId")?;
    let eips = call.list("IpInstanceIds");
    if eips.len() > MAX_BATCH {
        let why = format!("{} are given: at most {MAX_BATCH} are allowed.", eips.len());
        return Err(invalid("IpInstanceIds", why));
    }
    for eip in eips {
        draft.add_to_package(package, eip)?;
    }
    Ok(json!({}))
}

fn remove(call: &Call, draft: &mut Draft) -> Answer {
    draft.remove_from_package(call.need("BandwidthPackageId")?, call.need("IpInstanceId")?)?;
    Ok(json!({}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("BandwidthPackageId")?;
    draft.package(id)?;
    let name = call.name("Name", 2)?;
    let description = call.description("Description")?;
    if let Some(package) = draft.packages.get_mut(id) {
        package.meta.name = name.unwrap_or_else(|| package.meta.name.clone());
        package.meta.description = description.unwrap_or_else(|| package.meta.description.clone());
    }
    Ok(json!({}))
}

fn modify_bandwidth(call: &Call, draft: &mut Draft) -> Answer {
    draft.set_package_bandwidth(call.need("BandwidthPackageId")?, need_bandwidth(call)?)?;
    Ok(json!({}))
}

fn limit(call: &Call, draft: &mut Draft) -> Answer {
    let (package, eip) = (call.need("BandwidthPackageId")?, call.need("EipId")?);
    draft.limit_in_package(package, eip, Some(need_bandwidth(call)?))?;
    Ok(json!({}))
}

fn unlimit(call: &Call, draft: &mut Draft) -> Answer {
    let (package, eip) = (call.need("BandwidthPackageId")?, call.need("EipId")?);
    draft.limit_in_package(package, eip, None)?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    // The one flag that the API has as a text.
    let force = match call.text("Force") {
        None => false,
        Some(text) => parse_bool(text).ok_or_else(|| {
            invalid(
                "Force",
                format!("{} is neither true nor false.", shown(text)),
            )
        })?,
    };
    draft.delete_package(call.need("BandwidthPackageId")?, force)?;
    Ok(json!({}))
}
