//! What ECS offers: regions, zones, instance types and images.
//!
//! Instances bring their own software and share the machine, so the lists are short: the types and the image
//! that are there say what an instance can be. Instances may be made with any other name of a type or an
//! image, too: programs that are written for the cloud name the cloud's.

use super::{Handler, Q};
use crate::call::{Answer, Call, join};
use control::Cloud;
use control::eni::{MAX_ENIS, MAX_SECONDARY};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeRegions", Q(regions)),
    ("DescribeZones", Q(zones)),
    ("DescribeInstanceTypes", Q(instance_types)),
    ("DescribeImages", Q(images)),
];

/// The instance types with their families: a network namespace, a device that exists.
const TYPES: [(&str, &str); 2] = [("sluice.netns", "sluice"), ("sluice.device", "sluice")];

/// The image.
const IMAGE: &str = "sluice-linux";

fn regions(_: &Call, cloud: &Cloud) -> Answer {
    let regions = cloud.regions();
    let regions = regions.iter().map(
        |region| json!({"RegionId": region.id, "LocalName": region.id, "Status": "available"}),
    );
    Ok(json!({"Regions": {"Region": regions.collect::<Vec<_>>()}}))
}

fn zones(call: &Call, cloud: &Cloud) -> Answer {
    let types = TYPES.map(|(name, _)| name);
    let zones = cloud.zones(call.region);
    let zones = zones.iter().map(|zone| {
        json!({
            "ZoneId": zone,
            "LocalName": zone,
            "ZoneType": "AvailabilityZone",
            "AvailableInstanceTypes": {"InstanceTypes": types},
            "AvailableResourceCreation": {"ResourceTypes": ["VSwitch", "Instance"]},
        })
    });
    Ok(json!({"Zones": {"Zone": zones.collect::<Vec<_>>()}}))
}

fn instance_types(call: &Call, _: &Cloud) -> Answer {
    let names = call.list("InstanceTypes");
    let families = call.list("InstanceTypeFamilies");
    let types = TYPES.iter().filter(|(name, family)| {
        (names.is_empty() || names.contains(name))
            && (families.is_empty() || families.contains(family))
            && call.is("InstanceTypeFamily", family)
    });
    let (types, next, _) =
        call.page_after("MaxResults", 100, 1600, types.collect(), |(name, _)| {
            (*name).to_owned()
        })?;
    let types = types.into_iter().map(|(name, family)| {
        json!({
            "InstanceTypeId": name,
            "InstanceTypeFamily": family,
            "EniQuantity": MAX_ENIS,
            "EniTotalQuantity": MAX_ENIS,
            "EniPrivateIpAddressQuantity": MAX_SECONDARY + 1,
        })
    });
    Ok(json!({
        "InstanceTypes": {"InstanceType": types.collect::<Vec<_>>()},
        "NextToken": next,
    }))
}

fn images(call: &Call, _: &Cloud) -> Answer {
    let default = call
        .text("Status")
        .is_none_or(|it| it.contains("Available"));
    let fits = default
        && call.is_one("ImageId", IMAGE)
        && call.is("ImageName", IMAGE)
        && call.is("ImageFamily", IMAGE)
        && call.is("ImageOwnerAlias", "system")
        && call
            .text("OSType")
            .is_none_or(|it| it.eq_ignore_ascii_case("linux"))
        && call.flag("IsPublic")? != Some(false)
        && call.params.objects("Tag").is_empty();
    let images: Vec<Value> = if fits {
        vec![json!({
            "ImageId": IMAGE,
            "ImageName": IMAGE,
            "ImageFamily": IMAGE,
            "ImageOwnerAlias": "system",
            "Description": "No image: the instance is a network namespace or a device, with the software that is there.",
            "OSType": "linux",
            "OSName": "Linux",
            "OSNameEn": "Linux",
            "Status": "Available",
            "Usage": "none",
            "IsPublic": true,
            "Progress": "100%",
        })]
    } else {
        Vec::new()
    };
    let (images, position) = call.page(images, 100)?;
    Ok(join(
        position,
        json!({"RegionId": call.region, "Images": {"Image": images}}),
    ))
}
