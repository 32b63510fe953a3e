//! What is told of disks. An instance brings its own: each has one system disk, which is told back as its maker has said
//! it, for programs that ask. Data disks are passed over, so there are none.

use super::ecs::{description, name, page};
use super::vpc::{in_region, region_of};
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp, tag_key_list};
use crate::spec::{invalid, missing};
use control::records::{Instance, SystemDisk};
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeDisks", Q(describe)),
    ("ModifyDiskAttribute", C(modify)),
    ("ReplaceSystemDisk", C(replace)),
    ("ResizeDisk", C(resize)),
];

/// GiB of the largest disk.
const MAX_SIZE: u32 = 65_536;

/// The identifier of an instance's disk: `d-` and what the instance has behind its `i-`.
fn disk_id(instance: &str) -> String {
    format!("d-{}", instance.strip_prefix("i-").unwrap_or(instance))
}

/// The instance that has a disk.
fn instance_of<'a>(cloud: &'a Cloud, disk: &str) -> Result<&'a Instance, ApiError> {
    let mut instances = cloud.instances.iter();
    let instance = instances.find(|it| disk_id(&it.id) == disk);
    instance.ok_or_else(|| {
        let why = format!("There is no disk {disk:?}.");
        ApiError::not_found("InvalidDiskId.NotFound", why)
    })
}

/// GiB, if they are given.
fn size(call: &Call, parameter: &str, code: &'static str) -> Result<Option<u32>, ApiError> {
    match call.int(parameter)? {
        None => Ok(None),
        Some(size) => match u32::try_from(size) {
            Ok(size @ 1..=MAX_SIZE) => Ok(Some(size)),
            _ => {
                let why = format!("{size} GiB is not between 1 and {MAX_SIZE}.");
                Err(ApiError::bad(code, why))
            }
        },
    }
}

/// The system disk of an instance that is made.
pub(super) fn system_disk(call: &Call) -> Result<SystemDisk, ApiError> {
    let mut disk = SystemDisk::default();
    let (code, field) = ("InvalidSystemDiskSize.ValueNotSupported", "SystemDisk.Size");
    disk.size = size(call, field, code)?.unwrap_or(disk.size);
    let code = "InvalidDiskName.Malformed";
    disk.name = name(call, "SystemDisk.DiskName", code)?.unwrap_or_default();
    let code = "InvalidDescription.Malformed";
    disk.description = description(call, "SystemDisk.Description", code)?.unwrap_or_default();
    if let Some(category) = call.text("SystemDisk.Category") {
        disk.category = category.into();
    }
    // Other kinds have no such level.
    if disk.category != "cloud_essd" {
        disk.performance_level.clear();
    }
    if let Some(level) = call.text("SystemDisk.PerformanceLevel") {
        disk.performance_level = level.into();
    }
    Ok(disk)
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let ids = call.json_list("DiskIds")?;
    // Of these there are none: what asks for them asks for nothing.
    let other = [
        "AutoSnapshotPolicyId",
        "KMSKeyId",
        "LockReason",
        "SnapshotId",
    ];
    let never = call.text("DiskType").is_some_and(|it| it == "data")
        || call
            .text("Status")
            .is_some_and(|it| it != "All" && it != "In_use")
        || call.flag("Encrypted")? == Some(true)
        || call.flag("Portable")? == Some(true)
        || other.iter().any(|name| call.text(name).is_some());
    let disks = cloud.instances.iter().filter_map(|instance| {
        let disk = disk_id(&instance.id);
        let vswitch = cloud
            .vswitches
            .get(&cloud.enis.get(&instance.eni)?.vswitch)?;
        let vpc = cloud.vpcs.get(&vswitch.vpc)?;
        let zone = cloud.zone_of(vswitch);
        let wanted = !never
            && ids.as_ref().is_none_or(|ids| ids.contains(&disk))
            && call.is("InstanceId", &instance.id)
            && call.is("DiskName", &instance.disk.name)
            && call.is("Category", &instance.disk.category)
            && call.is("PerformanceLevel", &instance.disk.performance_level)
            && call.is("ZoneId", &zone)
            && in_region(call, vpc)
            && call.matches(&instance.meta);
        wanted.then(|| view(instance, disk, region_of(call, vpc), &zone))
    });
    let (disks, position) = page(call, disks.collect(), 100, |it| it["DiskId"].to_string())?;
    Ok(join(position, json!({"Disks": {"Disk": disks}})))
}

fn view(instance: &Instance, id: String, region: &str, zone: &str) -> Value {
    let disk = &instance.disk;
    let created = stamp(instance.meta.created);
    json!({
        "DiskId": id,
        "DiskName": disk.name,
        "Description": disk.description,
        "Size": disk.size,
        "Category": disk.category,
        "PerformanceLevel": disk.performance_level,
        "Type": "system",
        "Status": "In_use",
        "InstanceId": instance.id,
        "ImageId": instance.image,
        "RegionId": region,
        "ZoneId": zone,
        "CreationTime": created,
        "AttachedTime": created,
        "DeleteWithInstance": true,
        "DiskChargeType": "PostPaid",
        "ResourceGroupId": instance.meta.resource_group(),
        "Tags": tag_key_list(&instance.meta),
    })
}

/// Changes what is told of the disks that a call names.
fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let mut disks = call.list("DiskIds");
    disks.extend(call.text("DiskId"));
    if disks.is_empty() {
        return Err(missing("DiskId"));
    }
    let name = name(call, "DiskName", "InvalidDiskName.Malformed")?;
    let description = description(call, "Description", "InvalidDescription.Malformed")?;
    for disk in disks {
        let instance = instance_of(draft, disk)?.id.clone();
        if let Some(instance) = draft.instances.get_mut(&instance) {
            let disk = &mut instance.disk;
            disk.name = name.clone().unwrap_or_else(|| disk.name.clone());
            disk.description = description
                .clone()
                .unwrap_or_else(|| disk.description.clone());
        }
    }
    Ok(json!({}))
}

/// Disks grow and do not shrink.
fn grown(instance: &Instance, size: u32) -> Result<(), ApiError> {
    let has = instance.disk.size;
    if size < has {
        let why = format!(
            "The disk of {} has {has} GiB: it cannot shrink to {size}.",
            instance.id
        );
        return Err(ApiError::bad("InvalidDiskSize.TooSmall", why));
    }
    Ok(())
}

fn resize(call: &Call, draft: &mut Draft) -> Answer {
    let Some(size) = size(call, "NewSize", "InvalidDiskSize.NotSupported")? else {
        return Err(missing("NewSize"));
    };
    call.word("Type", &["offline", "online"])?;
    let instance = instance_of(draft, call.need("DiskId")?)?;
    grown(instance, size)?;
    let id = instance.id.clone();
    if let Some(instance) = draft.instances.get_mut(&id) {
        instance.disk.size = size;
    }
    Ok(json!({}))
}

/// Gives an instance another image. Its disk stays the one that it is.
fn replace(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("InstanceId")?;
    let instance = draft.instance(id)?;
    let disk = disk_id(id);
    if !call.is("DiskId", &disk) {
        return Err(invalid(
            "DiskId",
            format!("The system disk of {id} is {disk}."),
        ));
    }
    let code = "InvalidSystemDiskSize.ValueNotSupported";
    let size = size(call, "SystemDisk.Size", code)?;
    size.map_or(Ok(()), |size| grown(instance, size))?;
    draft.replace_image(id, call.text("ImageId"), size)?;
    Ok(json!({"DiskId": disk}))
}
