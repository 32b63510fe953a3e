//! Network interfaces.

use super::ecs::{
    addresses, description, driver, driver_view, groups, mac_view, name, no_ipv6, page,
    private_addresses, secondary,
};
use super::vpc::in_region;
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp, tag_key_list};
use crate::spec::{invalid, missing};
use control::eni::{NewEni, Secondary};
use control::records::{Eip, Eni};
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateNetworkInterface", C(create)),
    ("DescribeNetworkInterfaces", Q(describe)),
    ("DescribeNetworkInterfaceAttribute", Q(describe_one)),
    ("ModifyNetworkInterfaceAttribute", C(modify)),
    ("AttachNetworkInterface", C(attach)),
    ("DetachNetworkInterface", C(detach)),
    ("DeleteNetworkInterface", C(delete)),
    ("AssignPrivateIpAddresses", C(assign)),
    ("UnassignPrivateIpAddresses", C(unassign)),
];

const NAME: &str = "InvalidParameter.NetworkInterfaceName";
const DESCRIPTION: &str = "InvalidParameter.Description";

/// The most interfaces that a list names.
const MAX_ENIS: usize = 100;

/// Prefixes are not given to interfaces: addresses are, one by one.
fn no_prefixes(call: &Call) -> Result<(), ApiError> {
    let asked = ["Ipv4Prefix", "Ipv4PrefixCount"]
        .into_iter()
        .find(|name| !call.list(name).is_empty() && call.text(name) != Some("0"));
    match asked {
        Some(name) => Err(invalid(name, "Prefixes are not supported, addresses are.")),
        None => Ok(()),
    }
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let ipv6 = [
        "Ipv6Address",
        "Ipv6AddressCount",
        "Ipv6Prefix",
        "Ipv6PrefixCount",
    ];
    no_ipv6(call, &ipv6)?;
    no_prefixes(call)?;
    if call
        .text("InstanceType")
        .is_some_and(|it| it != "Secondary")
    {
        return Err(invalid("InstanceType", "There is only Secondary."));
    }
    let groups = groups(call, "SecurityGroupId", "SecurityGroupIds")?;
    if groups.is_empty() {
        return Err(missing("SecurityGroupId"));
    }
    let mut meta = draft.meta(
        name(call, "NetworkInterfaceName", NAME)?.unwrap_or_default(),
        description(call, "Description", DESCRIPTION)?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    meta.resource_group = call.text("ResourceGroupId").unwrap_or_default().into();
    let eni = draft.create_eni(NewEni {
        meta,
        vswitch: call.need("VSwitchId")?.into(),
        address: call.address("PrimaryIpAddress")?,
        secondary: secondary(call, "PrivateIpAddress", "SecondaryPrivateIpAddressCount")?,
        security_groups: groups,
        driver: driver(call)?,
        delete_on_release: call.flag("DeleteOnRelease")? != Some(false),
    })?;
    let sets = addresses_view(&eni, None);
    Ok(join(
        common(draft, &eni),
        json!({"PrivateIpSets": {"PrivateIpSet": sets}}),
    ))
}

fn kind(eni: &Eni) -> &'static str {
    match eni.primary {
        true => "Primary",
        false => "Secondary",
    }
}

fn status(eni: &Eni) -> &'static str {
    match eni.instance {
        Some(_) => "InUse",
        None => "Available",
    }
}

fn addresses_view(eni: &Eni, eip: Option<&Eip>) -> Vec<Value> {
    let all = private_addresses(eni).into_iter().enumerate();
    let all = all.map(|(n, address)| {
        let one = json!({"PrivateIpAddress": address, "Primary": n == 0});
        match eip.filter(|_| n == 0) {
            Some(eip) => join(one, json!({"AssociatedPublicIp": public(eip)})),
            None => one,
        }
    });
    all.collect()
}

fn public(eip: &Eip) -> Value {
    json!({"AllocationId": eip.id, "PublicIpAddress": eip.address.to_string()})
}

/// What is told of an interface that has just been made, and of others, too.
fn common(cloud: &Cloud, eni: &Eni) -> Value {
    let (driver, device) = driver_view(eni);
    let vswitch = cloud.vswitches.get(&eni.vswitch);
    json!({
        "NetworkInterfaceId": eni.id,
        "NetworkInterfaceName": eni.meta.name,
        "Description": eni.meta.description,
        "Status": status(eni),
        "Type": kind(eni),
        "MacAddress": mac_view(cloud, eni),
        "PrivateIpAddress": eni.address.to_string(),
        "SecurityGroupIds": {"SecurityGroupId": eni.security_groups},
        "VSwitchId": eni.vswitch,
        "VpcId": vswitch.map(|it| &*it.vpc).unwrap_or_default(),
        "ZoneId": vswitch.map(|it| cloud.zone_of(it)).unwrap_or_default(),
        "ResourceGroupId": eni.meta.resource_group(),
        "Tags": tag_key_list(&eni.meta),
        "Driver": driver,
        "Device": device,
    })
}

fn view(cloud: &Cloud, eni: &Eni) -> Value {
    let eip = cloud.eip_of_eni(eni);
    let instance = eni.instance.as_deref().unwrap_or_default();
    let index = cloud
        .enis_of(instance)
        .iter()
        .position(|it| it.id == eni.id);
    let more = json!({
        "InstanceId": instance,
        "Attachment": {"InstanceId": instance, "DeviceIndex": index.unwrap_or_default()},
        "AssociatedPublicIp": eip.map(public).unwrap_or(json!({})),
        "PrivateIpSets": {"PrivateIpSet": addresses_view(eni, eip)},
        "CreationTime": stamp(eni.meta.created),
        "DeleteOnRelease": eni.primary || eni.delete_on_release,
        "NetworkInterfaceTrafficMode": "Standard",
    });
    join(common(cloud, eni), more)
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let ids = call.list("NetworkInterfaceId");
    let addresses = call.list("PrivateIpAddress");
    for (name, list) in [
        ("NetworkInterfaceId", &ids),
        ("PrivateIpAddress", &addresses),
    ] {
        if list.len() > MAX_ENIS {
            let why = format!("{} are given: at most {MAX_ENIS} are allowed.", list.len());
            return Err(invalid(name, why));
        }
    }
    // There are neither IPv6 addresses nor interfaces that a service manages.
    let none = !call.list("Ipv6Address").is_empty() || call.flag("ServiceManaged")? == Some(true);
    let enis = cloud.enis.iter().filter(|eni| {
        let Some(vswitch) = cloud.vswitches.get(&eni.vswitch) else {
            return false;
        };
        let vpc = cloud.vpcs.get(&vswitch.vpc);
        !none
            && (ids.is_empty() || ids.contains(&&*eni.id))
            && (addresses.is_empty()
                || private_addresses(eni)
                    .iter()
                    .any(|it| addresses.contains(&&**it)))
            && call.is("PrimaryIpAddress", &eni.address.to_string())
            && call.is("NetworkInterfaceName", &eni.meta.name)
            && call.is("InstanceId", eni.instance.as_deref().unwrap_or_default())
            && call
                .text("SecurityGroupId")
                .is_none_or(|group| eni.security_groups.iter().any(|it| it == group))
            && call
                .text("Status")
                .is_none_or(|it| it.eq_ignore_ascii_case(status(eni)))
            && call
                .text("Type")
                .is_none_or(|it| it.eq_ignore_ascii_case(kind(eni)))
            && call.is("VSwitchId", &eni.vswitch)
            && call.is("VpcId", &vswitch.vpc)
            && vpc.is_some_and(|vpc| in_region(call, vpc))
            && call.matches(&eni.meta)
    });
    let (enis, position) = page(call, enis.collect(), 500, |it| it.id.clone())?;
    let enis: Vec<Value> = enis.into_iter().map(|it| view(cloud, it)).collect();
    Ok(join(
        position,
        json!({"NetworkInterfaceSets": {"NetworkInterfaceSet": enis}}),
    ))
}

fn describe_one(call: &Call, cloud: &Cloud) -> Answer {
    Ok(view(cloud, cloud.eni(call.need("NetworkInterfaceId")?)?))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("NetworkInterfaceId")?;
    draft.eni(id)?;
    let timeouts = [
        "TcpClosedAndTimeWaitTimeout",
        "TcpEstablishedTimeout",
        "UdpTimeout",
    ];
    for timeout in timeouts {
        let parameter = format!("ConnectionTrackingConfiguration.{timeout}");
        if call.text(&parameter).is_some() {
            let why = "Timeouts are those of the NAT gateway.";
            return Err(invalid(&parameter, why));
        }
    }
    let name = name(call, "NetworkInterfaceName", NAME)?;
    let description = description(call, "Description", DESCRIPTION)?;
    let release = call.flag("DeleteOnRelease")?;
    let groups = call.list("SecurityGroupId");
    if !groups.is_empty() {
        let groups = groups.into_iter().map(str::to_owned).collect();
        draft.set_security_groups(id, groups, "InvalidOperation.VpcMismatch")?;
    }
    if let Some(eni) = draft.enis.get_mut(id) {
        let meta = &mut eni.meta;
        meta.name = name.unwrap_or_else(|| meta.name.clone());
        meta.description = description.unwrap_or_else(|| meta.description.clone());
        eni.delete_on_release = release.unwrap_or(eni.delete_on_release);
    }
    Ok(json!({}))
}

fn attach(call: &Call, draft: &mut Draft) -> Answer {
    draft.attach_eni(call.need("NetworkInterfaceId")?, call.need("InstanceId")?)?;
    Ok(json!({}))
}

fn detach(call: &Call, draft: &mut Draft) -> Answer {
    draft.detach_eni(call.need("NetworkInterfaceId")?, call.need("InstanceId")?)?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_eni(call.need("NetworkInterfaceId")?)?;
    Ok(json!({}))
}

fn assign(call: &Call, draft: &mut Draft) -> Answer {
    no_prefixes(call)?;
    let id = call.need("NetworkInterfaceId")?;
    draft.eni(id)?;
    let wanted = secondary(call, "PrivateIpAddress", "SecondaryPrivateIpAddressCount")?;
    if matches!(&wanted, Secondary::These(these) if these.is_empty()) {
        return Err(missing("PrivateIpAddress"));
    }
    let given = draft.assign_addresses(id, wanted)?;
    let given: Vec<String> = given.iter().map(ToString::to_string).collect();
    Ok(json!({"AssignedPrivateIpAddressesSet": {
        "NetworkInterfaceId": id,
        "PrivateIpSet": {"PrivateIpAddress": given},
    }}))
}

fn unassign(call: &Call, draft: &mut Draft) -> Answer {
    no_prefixes(call)?;
    let id = call.need("NetworkInterfaceId")?;
    draft.eni(id)?;
    let addresses = addresses(call, "PrivateIpAddress")?;
    if addresses.is_empty() {
        return Err(missing("PrivateIpAddress"));
    }
    draft.unassign_addresses(id, &addresses)?;
    Ok(json!({}))
}
