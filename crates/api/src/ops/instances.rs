//! Instances: what they are and what happens to them. Making them is in [`super::run`].

use super::ecs::{
    description, driver_view, eip_view, groups, mac_view, minute, name, page, private_addresses,
};
use super::run::{host_name, keep_user_data};
use super::vpc::{in_region, region_of};
use super::{A, C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, tag_key_list};
use crate::keys::Sealer;
use crate::service;
use crate::spec::{invalid, missing};
use control::records::{Eni, Instance, VSwitch, Vpc};
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeInstances", Q(describe)),
    ("DescribeInstanceStatus", Q(describe_status)),
    ("DescribeInstanceAttribute", Q(describe_one)),
    ("DescribeInstanceMaintenanceAttributes", Q(maintenance)),
    ("DescribeInstanceRamRole", Q(ram_roles)),
    ("DescribeUserData", A(user_data)),
    ("ModifyInstanceAttribute", Handler::Seal(modify)),
    ("ModifyInstanceSpec", C(modify_spec)),
    ("StartInstance", C(start)),
    ("StartInstances", C(start_several)),
    ("StopInstance", C(stop)),
    ("StopInstances", C(stop_several)),
    ("RebootInstance", C(reboot)),
    ("DeleteInstance", C(delete)),
    ("DeleteInstances", C(delete_several)),
];

/// The most instances of one call.
const MAX_INSTANCES: usize = 100;

/// Filters by what no instance here has.
const NEVER: [&str; 8] = [
    "HpcClusterId",
    "InnerIpAddresses",
    "KeyPairName",
    "LockReason",
    "PublicIpAddresses",
    "RdmaIpAddresses",
    "HttpEndpoint",
    "HttpTokens",
];

/// An instance with what it stands in.
#[derive(Clone, Copy)]
struct Place<'a> {
    instance: &'a Instance,
    eni: &'a Eni,
    vswitch: &'a VSwitch,
    vpc: &'a Vpc,
}

impl<'a> Place<'a> {
    fn of(cloud: &'a Cloud, instance: &'a Instance) -> Option<Place<'a>> {
        let eni = cloud.enis.get(&instance.eni)?;
        let vswitch = cloud.vswitches.get(&eni.vswitch)?;
        let vpc = cloud.vpcs.get(&vswitch.vpc)?;
        Some(Place {
            instance,
            eni,
            vswitch,
            vpc,
        })
    }
}

fn status(instance: &Instance) -> &'static str {
    match instance.running {
        true => "Running",
        false => "Stopped",
    }
}

/// `ecs.g6` of `ecs.g6.large`.
fn family(instance_type: &str) -> &str {
    match instance_type.rsplit_once('.') {
        Some((family, _)) if family.contains('.') => family,
        _ => instance_type,
    }
}

/// Whether a name fits a pattern, in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The times between which the instances were made that a call asks for by `Filter.N`.
fn created_between(call: &Call) -> Result<(String, String), ApiError> {
    let mut between = (String::new(), "9".to_owned());
    for filter in call.params.objects("Filter") {
        let key = call.text(&format!("{filter}.Key"));
        let value = call.text(&format!("{filter}.Value")).unwrap_or_default();
        match key {
            Some("CreationStartTime") => between.0 = value.into(),
            Some("CreationEndTime") => between.1 = value.into(),
            _ => {
                let why = "There are CreationStartTime and CreationEndTime.";
                return Err(invalid(&format!("{filter}.Key"), why));
            }
        }
    }
    Ok(between)
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let ids = call.json_list("InstanceIds")?;
    let private = call.json_list("PrivateIpAddresses")?;
    let eips = call.json_list("EipAddresses")?;
    let (since, until) = created_between(call)?;
    let never = NEVER.iter().any(|name| call.text(name).is_some())
        || !call.list("Ipv6Address").is_empty()
        || call
            .text("InstanceNetworkType")
            .is_some_and(|it| it != "vpc")
        || call
            .text("InstanceChargeType")
            .is_some_and(|it| it != "PostPaid");
    let wanted = |place: &Place| {
        let Place {
            instance,
            eni,
            vswitch,
            vpc,
        } = *place;
        let created = minute(instance.meta.created);
        !never
            && ids.as_ref().is_none_or(|ids| ids.contains(&instance.id))
            && private.as_ref().is_none_or(|list| {
                let addresses = private_addresses(eni);
                list.iter().any(|it| addresses.contains(it))
            })
            && eips.as_ref().is_none_or(|list| {
                let eip = cloud.eip_of_eni(eni).map(|it| it.address.to_string());
                eip.is_some_and(|eip| list.contains(&eip))
            })
            && call
                .text("InstanceName")
                .is_none_or(|it| fits(it, &instance.meta.name))
            && call
                .text("Status")
                .is_none_or(|it| it.eq_ignore_ascii_case(status(instance)))
            && call.is("ImageId", &instance.image)
            && call.is("InstanceType", &instance.instance_type)
            && call.is("InstanceTypeFamily", family(&instance.instance_type))
            && call
                .text("SecurityGroupId")
                .is_none_or(|group| eni.security_groups.iter().any(|it| it == group))
            && call.is("VSwitchId", &vswitch.id)
            && call.is("VpcId", &vpc.id)
            && call
                .text("ZoneId")
                .is_none_or(|zone| cloud.zone_of(vswitch) == zone)
            && since <= created
            && created <= until
            && in_region(call, vpc)
            && call.matches(&instance.meta)
    };
    let places = cloud
        .instances
        .iter()
        .filter_map(|it| Place::of(cloud, it))
        .filter(wanted)
        .collect();
    let (places, position) = page(call, places, 100, |it| it.instance.id.clone())?;
    let instances = places.into_iter().map(|place| view(call, cloud, place));
    Ok(join(
        position,
        json!({"Instances": {"Instance": instances.collect::<Vec<_>>()}}),
    ))
}

/// What the list and the answer about one instance have in common.
fn common(call: &Call, cloud: &Cloud, place: Place) -> Value {
    let Place {
        instance,
        eni,
        vswitch,
        vpc,
    } = place;
    let (driver, device) = driver_view(eni);
    let host_name = match &*instance.host_name {
        "" => &instance.id,
        name => name,
    };
    json!({
        "InstanceId": instance.id,
        "InstanceName": instance.meta.name,
        "Description": instance.meta.description,
        "HostName": host_name,
        "ImageId": instance.image,
        "InstanceType": instance.instance_type,
        "Status": status(instance),
        "StoppedMode": "Not-applicable",
        "CreationTime": minute(instance.meta.created),
        "RegionId": region_of(call, vpc),
        "ZoneId": cloud.zone_of(vswitch),
        "InstanceNetworkType": "vpc",
        "InstanceChargeType": "PostPaid",
        "InternetChargeType": "PayByTraffic",
        "SecurityGroupIds": {"SecurityGroupId": eni.security_groups},
        "EipAddress": eip_view(cloud.eip_of_eni(eni)),
        "VpcAttributes": {
            "VpcId": vpc.id,
            "VSwitchId": vswitch.id,
            "PrivateIpAddress": {"IpAddress": [eni.address.to_string()]},
        },
        "Driver": driver,
        "Device": device,
    })
}

fn view(call: &Call, cloud: &Cloud, place: Place) -> Value {
    let instance = place.instance;
    let enis = cloud.enis_of(&instance.id).into_iter().map(|eni| {
        let addresses = private_addresses(eni);
        let addresses = addresses
            .iter()
            .enumerate()
            .map(|(n, it)| json!({"PrivateIpAddress": it, "Primary": n == 0}));
        json!({
            "NetworkInterfaceId": eni.id,
            "MacAddress": mac_view(cloud, eni),
            "PrimaryIpAddress": eni.address.to_string(),
            "Type": if eni.primary { "Primary" } else { "Secondary" },
            "PrivateIpSets": {"PrivateIpSet": addresses.collect::<Vec<_>>()},
        })
    });
    let more = json!({
        "InstanceTypeFamily": family(&instance.instance_type),
        "StartTime": minute(instance.started),
        "DeletionProtection": instance.deletion_protection,
        "ResourceGroupId": instance.meta.resource_group(),
        "OSType": "linux",
        "IoOptimized": true,
        "DeviceAvailable": true,
        "SpotStrategy": "NoSpot",
        "NetworkInterfaces": {"NetworkInterface": enis.collect::<Vec<_>>()},
        "Tags": tag_key_list(&instance.meta),
    });
    join(common(call, cloud, place), more)
}

fn describe_one(call: &Call, cloud: &Cloud) -> Answer {
    let instance = cloud.instance(call.need("InstanceId")?)?;
    let Some(place) = Place::of(cloud, instance) else {
        let why = format!("{} has no network interface.", instance.id);
        return Err(ApiError::internal(why));
    };
    let more = json!({"IoOptimized": "optimized"});
    Ok(join(common(call, cloud, place), more))
}

fn describe_status(call: &Call, cloud: &Cloud) -> Answer {
    let ids = call.list("InstanceId");
    let places = cloud
        .instances
        .iter()
        .filter_map(|it| Place::of(cloud, it))
        .filter(|place| {
            (ids.is_empty() || ids.contains(&&*place.instance.id))
                && call
                    .text("ZoneId")
                    .is_none_or(|zone| cloud.zone_of(place.vswitch) == zone)
                && in_region(call, place.vpc)
        });
    let (places, position) = call.page(places.collect(), 50)?;
    let statuses = places
        .into_iter()
        .map(|place| json!({"InstanceId": place.instance.id, "Status": status(place.instance)}));
    Ok(join(
        position,
        json!({"InstanceStatuses": {"InstanceStatus": statuses.collect::<Vec<_>>()}}),
    ))
}

/// What happens to instances when their host is mended. Nobody mends it for them, so there is nothing to choose.
fn maintenance(call: &Call, cloud: &Cloud) -> Answer {
    let ids = call.list("InstanceId");
    let places = cloud.instances.iter().filter_map(|it| Place::of(cloud, it));
    let places = places.filter(|place| {
        (ids.is_empty() || ids.contains(&&*place.instance.id)) && in_region(call, place.vpc)
    });
    let (places, position) = call.page(places.collect(), 100)?;
    let attributes = places.into_iter().map(|place| {
        json!({
            "InstanceId": place.instance.id,
            "ActionOnMaintenance": {
                "Value": "AutoRecover",
                "DefaultValue": "AutoRecover",
                "SupportedValues": {"SupportedValue": ["AutoRecover"]},
            },
        })
    });
    Ok(join(
        position,
        json!({"MaintenanceAttributes": {"MaintenanceAttribute": attributes.collect::<Vec<_>>()}}),
    ))
}

/// The roles of instances: there are no roles, so none has one.
fn ram_roles(call: &Call, _: &Cloud) -> Answer {
    call.json_list("InstanceIds")?;
    let (_, position) = call.page(Vec::<()>::new(), 50)?;
    let sets = json!({"InstanceRamRoleSet": []});
    Ok(
        json!({"InstanceRamRoleSets": sets, "RegionId": call.region, "TotalCount": position["TotalCount"]}),
    )
}

fn user_data(call: &Call, cloud: &service::Cloud) -> Answer {
    let records = cloud.control().cloud();
    let instance = records.instance(call.need("InstanceId")?)?;
    let sealed = &*instance.user_data;
    let text = match sealed {
        "" => Some(String::new()),
        _ => cloud.sealer().open_text(&instance.id, sealed),
    };
    let lost = || ApiError::internal("The user data was sealed with another key file.");
    let text = text.ok_or_else(lost)?;
    Ok(json!({"InstanceId": instance.id, "RegionId": call.region, "UserData": text}))
}

/// Gives an instance another type; what is said of its bandwidth and disks is passed over.
fn modify_spec(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("InstanceId")?;
    draft.instance(id)?;
    if call.int("InternetMaxBandwidthOut")?.unwrap_or(0) != 0 {
        let why =
            "Instances have no public address of their own: leave it at 0, and associate an EIP.";
        return Err(invalid("InternetMaxBandwidthOut", why));
    }
    if let Some(instance_type) = call.text("InstanceType") {
        draft.set_instance_type(id, instance_type)?;
    }
    Ok(json!({}))
}

fn modify(call: &Call, draft: &mut Draft, sealer: &Sealer) -> Answer {
    let id = call.need("InstanceId")?;
    let eni = draft.instance(id)?.eni.clone();
    let name = name(call, "InstanceName", "InvalidInstanceName.Malformed")?;
    let description = description(call, "Description", "InvalidDescription.Malformed")?;
    let host_name = call.text("HostName").map(host_name).transpose()?;
    let protection = call.flag("DeletionProtection")?;
    keep_user_data(call, draft, sealer, id)?;
    let groups = groups(call, "SecurityGroupId", "SecurityGroupIds")?;
    if !groups.is_empty() {
        draft.set_security_groups(&eni, groups, "InvalidSecurityGroupId.VPCMismatch")?;
    }
    if let Some(instance) = draft.instances.get_mut(id) {
        let meta = &mut instance.meta;
        meta.name = name.unwrap_or_else(|| meta.name.clone());
        meta.description = description.unwrap_or_else(|| meta.description.clone());
        instance.host_name = host_name.unwrap_or_else(|| instance.host_name.clone());
        instance.deletion_protection = protection.unwrap_or(instance.deletion_protection);
    }
    Ok(json!({}))
}

fn start(call: &Call, draft: &mut Draft) -> Answer {
    draft.start_instance(call.need("InstanceId")?)?;
    Ok(json!({}))
}

fn stop(call: &Call, draft: &mut Draft) -> Answer {
    draft.stop_instance(call.need("InstanceId")?)?;
    Ok(json!({}))
}

fn reboot(call: &Call, draft: &mut Draft) -> Answer {
    draft.reboot_instance(call.need("InstanceId")?)?;
    Ok(json!({}))
}

fn start_several(call: &Call, draft: &mut Draft) -> Answer {
    several(call, draft, Draft::start_instance)
}

fn stop_several(call: &Call, draft: &mut Draft) -> Answer {
    several(call, draft, Draft::stop_instance)
}

/// The instances of a call about several.
fn instances<'a>(call: &Call<'a>) -> Result<Vec<&'a str>, ApiError> {
    let mut ids = call.list("InstanceId");
    if ids.len() > MAX_INSTANCES {
        let why = format!(
            "{} are given: at most {MAX_INSTANCES} are allowed.",
            ids.len()
        );
        return Err(ApiError::new(
            403,
            "InvalidParameter.TooManyInstanceIds",
            why,
        ));
    }
    if ids.is_empty() {
        return Err(missing("InstanceId"));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Does something to several instances: to all or to none of them, or, with `BatchOptimization=SuccessFirst`, to
/// those that allow it. The answer tells of each what came of it.
fn several(
    call: &Call,
    draft: &mut Draft,
    work: fn(&mut Draft, &str) -> control::Result<()>,
) -> Answer {
    let each = call.word("BatchOptimization", &["AllTogether", "SuccessFirst"])?;
    let each = each == Some("SuccessFirst");
    let mut responses = Vec::new();
    let ids = instances(call)?;
    for id in &ids {
        draft.instance(id)?;
    }
    for id in ids {
        let before = status(draft.instance(id)?);
        let (code, message) = match work(draft, id) {
            Ok(()) => ("200".into(), "success".into()),
            Err(refusal) if each => (refusal.code, refusal.message),
            Err(refusal) => return Err(refusal.into()),
        };
        responses.push(json!({
            "InstanceId": id,
            "Code": code,
            "Message": message,
            "PreviousStatus": before,
            "CurrentStatus": status(draft.instance(id)?),
        }));
    }
    Ok(json!({"InstanceResponses": {"InstanceResponse": responses}}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    let force = call.flag("Force")? == Some(true);
    draft.delete_instance(call.need("InstanceId")?, force)?;
    Ok(json!({}))
}

fn delete_several(call: &Call, draft: &mut Draft) -> Answer {
    let force = call.flag("Force")? == Some(true);
    for id in instances(call)? {
        draft.delete_instance(id, force)?;
    }
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("web", "web"),
            ("web*", "web-1"),
            ("*", ""),
            ("*-1", "web-1"),
            ("w*b*1", "web-1"),
            ("*eb*", "web-1"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("web", "web-1"), ("*-2", "web-1"), ("a*a", "a"), ("", "a")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn families() {
        assert_eq!(family("ecs.g6.large"), "ecs.g6");
        assert_eq!(family("netns"), "netns");
    }
}
