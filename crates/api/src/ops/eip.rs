//! EIPs.

use super::vpc::in_region;
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp, tag_list};
use crate::spec::{invalid, missing, shown};
use control::eip::{ChargeType, NewEip};
use control::records::{Eip, EipBinding, Eni};
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AllocateEipAddress", C(allocate)),
    ("AllocateEipAddressPro", C(allocate)),
    ("AssociateEipAddress", C(associate)),
    ("AssociateEipAddressBatch", C(associate_batch)),
    ("UnassociateEipAddress", C(unassociate)),
    ("ReleaseEipAddress", C(release)),
    ("DescribeEipAddresses", Q(describe)),
    ("ModifyEipAddressAttribute", C(modify)),
    ("ModifyEipForwardMode", C(modify_mode)),
    ("DeletionProtection", C(protect)),
];

/// Mbit/s of an EIP that asks for nothing.
const DEFAULT_BANDWIDTH: u32 = 5;

/// The most EIPs that one call names.
const MAX_BATCH: usize = 100;

fn allocate(call: &Call, draft: &mut Draft) -> Answer {
    call.word("InstanceChargeType", &["PostPaid"])?;
    call.word("ISP", &["BGP"])?;
    call.word("Netmode", &["public"])?;
    if !call.list("SecurityProtectionTypes").is_empty() {
        let why = "There is no protection against floods to order.";
        return Err(invalid("SecurityProtectionTypes", why));
    }
    if call.text("InstanceId").is_some() {
        let why = "An EIP that was released cannot be had again by its identifier; give IpAddress.";
        return Err(invalid("InstanceId", why));
    }
    let words = ["PayByBandwidth", "PayByTraffic"];
    let charge_type = match call.word("InternetChargeType", &words)? {
        Some("PayByTraffic") => ChargeType::Traffic,
        _ => ChargeType::Bandwidth,
    };
    let mut meta = draft.meta(
        call.name("Name", 1)?.unwrap_or_default(),
        call.description("Description")?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    meta.resource_group = call.text("ResourceGroupId").unwrap_or_default().into();
    let eip = draft.allocate_eip(NewEip {
        meta,
        region: call.region.into(),
        bandwidth: bandwidth(call)?.unwrap_or(DEFAULT_BANDWIDTH),
        charge_type,
        address: call.address("IpAddress")?,
        pool: call.text("PublicIpAddressPoolId").map(str::to_owned),
    })?;
    Ok(json!({
        "AllocationId": eip.id,
        "EipAddress": eip.address,
        "ResourceGroupId": eip.meta.resource_group(),
    }))
}

/// A number of Mbit/s, if it is given.
pub(super) fn bandwidth(call: &Call) -> Result<Option<u32>, ApiError> {
    let Some(text) = call.text("Bandwidth") else {
        return Ok(None);
    };
    let wrong = |_| {
        let why = format!("{} is not a number of Mbit/s.", shown(text));
        invalid("Bandwidth", why)
    };
    text.parse().map(Some).map_err(wrong)
}

/// What an EIP is bound to by a type (an instance, if it is left out) and an identifier.
fn binding(kind: Option<&str>, id: &str) -> Result<EipBinding, ApiError> {
    let kind = kind.unwrap_or("EcsInstance");
    type Binding = fn(String) -> EipBinding;
    let types: [(&str, Binding); 3] = [
        ("EcsInstance", EipBinding::Instance),
        ("NetworkInterface", EipBinding::Eni),
        ("Nat", EipBinding::NatGateway),
    ];
    match types
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind))
    {
        Some((_, binding)) => Ok(binding(id.into())),
        None => {
            let known = types.map(|(name, _)| name).join(", ");
            let why = format!("{} is none of {known}.", shown(kind));
            let code = "InvalidInstanceType.ValueNotSupported";
            Err(ApiError::bad(code, why))
        }
    }
}

/// The name of what an EIP is bound to.
fn binding_type(binding: &EipBinding) -> &'static str {
    match binding {
        EipBinding::Instance(_) => "EcsInstance",
        EipBinding::Eni(_) => "NetworkInterface",
        EipBinding::NatGateway(_) => "Nat",
    }
}

/// The interface always keeps its private address: its EIP is translated, never its own.
fn mode(call: &Call) -> Result<(), ApiError> {
    if let Some(region) = call.text("InstanceRegionId")
        && region != call.region
    {
        let why = format!("{} is another region than the EIP's.", shown(region));
        return Err(invalid("InstanceRegionId", why));
    }
    match call.word("Mode", &["NAT", "BINDED", "MULTI_BINDED"])? {
        None | Some("NAT") => Ok(()),
        Some(other) => {
            let why = format!("The mode {other} is not supported, only NAT.");
            Err(ApiError::bad("Mode.NotSupport", why))
        }
    }
}

fn associate(call: &Call, draft: &mut Draft) -> Answer {
    mode(call)?;
    let target = binding(call.text("InstanceType"), call.need("InstanceId")?)?;
    let private = call.address("PrivateIpAddress")?;
    draft.associate_eip(call.need("AllocationId")?, target, private)?;
    Ok(json!({}))
}

fn associate_batch(call: &Call, draft: &mut Draft) -> Answer {
    mode(call)?;
    let kind = call.need("BindedInstanceType")?;
    let target = binding(Some(kind), call.need("BindedInstanceId")?)?;
    let eips = call.list("InstanceIds");
    if eips.len() > MAX_BATCH {
        let why = format!("{} are given: at most {MAX_BATCH} are allowed.", eips.len());
        return Err(invalid("InstanceIds", why));
    }
    for eip in eips {
        draft.associate_eip(eip, target.clone(), None)?;
    }
    Ok(json!({}))
}

fn unassociate(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("AllocationId")?;
    let bound = draft.eip(id)?.binding.as_ref();
    if let Some(bound) = bound {
        let kind = call.text("InstanceType");
        let kind = kind.is_none_or(|it| it.eq_ignore_ascii_case(binding_type(bound)));
        if !kind || !call.is("InstanceId", bound.id()) {
            let why = format!(
                "The EIP is bound to the {} {}.",
                binding_type(bound),
                bound.id()
            );
            return Err(ApiError::not_found("InvalidBindInstance.NotFound", why));
        }
    }
    draft.unassociate_eip(id, call.flag("Force")? == Some(true))?;
    Ok(json!({}))
}

fn release(call: &Call, draft: &mut Draft) -> Answer {
    draft.release_eip(call.need("AllocationId")?)?;
    Ok(json!({}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("AllocationId")?;
    draft.eip(id)?;
    if let Some(bandwidth) = bandwidth(call)? {
        draft.set_eip_bandwidth(id, bandwidth)?;
    }
    let name = call.name("Name", 1)?;
    let description = call.description("Description")?;
    if let Some(eip) = draft.eips.get_mut(id) {
        eip.meta.name = name.unwrap_or_else(|| eip.meta.name.clone());
        eip.meta.description = description.unwrap_or_else(|| eip.meta.description.clone());
    }
    Ok(json!({}))
}

/// An EIP has the one mode that there is, whatever it is bound to.
fn modify_mode(call: &Call, draft: &mut Draft) -> Answer {
    draft.eip(call.need("InstanceId")?)?;
    mode(call)?;
    Ok(json!({}))
}

/// Deletion protection of EIPs, bandwidth packages and NAT gateways.
fn protect(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("InstanceId")?;
    let Some(on) = call.flag("ProtectionEnable")? else {
        return Err(missing("ProtectionEnable"));
    };
    let flag = match call.word("Type", &["EIP", "CBWP", "NATGW"])? {
        Some("EIP") => {
            draft.eip(id)?;
            draft.eips.get_mut(id).map(|it| &mut it.deletion_protection)
        }
        Some("CBWP") => {
            draft.package(id)?;
            let package = draft.packages.get_mut(id);
            package.map(|it| &mut it.deletion_protection)
        }
        _ => {
            draft.nat_gateway(id)?;
            let gateway = draft.nat_gateways.get_mut(id);
            gateway.map(|it| &mut it.deletion_protection)
        }
    };
    if let Some(flag) = flag {
        *flag = on;
    }
    Ok(json!({}))
}

/// Whether a region is the call's; what a file declares is in each.
pub(super) fn of_region(call: &Call, region: &str) -> bool {
    region.is_empty() || region == call.region
}

/// Points of time between which an EIP was allocated, as [`stamp`] writes them.
#[derive(Default)]
struct Period<'a> {
    start: Option<&'a str>,
    end: Option<&'a str>,
}

fn period<'a>(call: &Call<'a>) -> Result<Period<'a>, ApiError> {
    let mut period = Period::default();
    for filter in call.params.objects("Filter") {
        let key = call.text(&format!("{filter}.Key")).unwrap_or_default();
        let Some(value) = call.text(&format!("{filter}.Value")) else {
            continue;
        };
        // Times that are cut off behind the minute compare as texts, too.
        let time = value.trim_end_matches('Z');
        let digits = |pattern: &str| {
            pattern.len() == time.len()
                && pattern.bytes().zip(time.bytes()).all(|(p, t)| match p {
                    b'0' => t.is_ascii_digit(),
                    _ => p == t,
                })
        };
        if !digits("0000-00-00T00:00") && !digits("0000-00-00T00:00:00") {
            let why = format!("{} is not a time such as 2026-11-21T19:08Z.", shown(value));
            return Err(invalid(&filter, why));
        }
        match key {
            "CreationStartTime" => period.start = Some(time),
            "CreationEndTime" => period.end = Some(time),
            _ => {
                let why = format!(
                    "{} is none of CreationStartTime, CreationEndTime.",
                    shown(key)
                );
                return Err(invalid(&filter, why));
            }
        }
    }
    Ok(period)
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let period = period(call)?;
    // Of these there are none: what asks for them asks for nothing.
    let protected = call.flag("SecurityProtectionEnabled")? == Some(true);
    let managed = call.flag("ServiceManaged")? == Some(true);
    let other = ["LockReason", "SegmentInstanceId"];
    let none = protected || managed || other.iter().any(|name| call.text(name).is_some());
    let eips = cloud.eips.iter().filter(|eip| {
        let binding = eip.binding.as_ref();
        let kind = call.text("AssociatedInstanceType");
        let allocated = stamp(eip.meta.created);
        !none
            && call.is_one("AllocationId", &eip.id)
            && call.is_one("EipAddress", &eip.address.to_string())
            && call.is("EipName", &eip.meta.name)
            && call.is("Status", status(eip))
            && call.is("ISP", "BGP")
            && call.is("ChargeType", "PostPaid")
            && call.is("PublicIpAddressPoolId", pool(eip))
            && call
                .text("AssociatedInstanceId")
                .is_none_or(|id| binding.is_some_and(|it| it.id() == id))
            && kind.is_none_or(|kind| {
                binding.is_some_and(|it| binding_type(it).eq_ignore_ascii_case(kind))
            })
            && period.start.is_none_or(|it| &*allocated >= it)
            && period.end.is_none_or(|it| &*allocated <= it)
            && of_region(call, &eip.region)
            && call.matches(&eip.meta)
    });
    let (eips, position) = call.page(eips.collect(), 100)?;
    let eips: Vec<Value> = eips.into_iter().map(|it| view(call, cloud, it)).collect();
    Ok(join(
        position,
        json!({"EipAddresses": {"EipAddress": eips}}),
    ))
}

fn status(eip: &Eip) -> &'static str {
    match eip.binding {
        None => "Available",
        Some(_) => "InUse",
    }
}

/// The pool that an EIP was asked from.
fn pool(eip: &Eip) -> &str {
    if eip.of_pool { &eip.uplink } else { "" }
}

/// The interface that an EIP is bound to.
fn interface<'a>(cloud: &'a Cloud, eip: &Eip) -> Option<&'a Eni> {
    match eip.binding.as_ref()? {
        EipBinding::Instance(id) => cloud.primary_eni(id),
        EipBinding::Eni(id) => cloud.enis.get(id),
        EipBinding::NatGateway(_) => None,
    }
}

/// The VPC of what an EIP is bound to.
fn vpc_of<'a>(cloud: &'a Cloud, eip: &Eip) -> Option<&'a str> {
    if let Some(EipBinding::NatGateway(id)) = &eip.binding {
        return Some(&cloud.nat_gateways.get(id)?.vpc);
    }
    let vswitch = &interface(cloud, eip)?.vswitch;
    Some(&cloud.vswitches.get(vswitch)?.vpc)
}

/// Mbit/s as a text; `0` is unlimited, which only a configuration file makes an EIP.
fn mbits(bandwidth: Option<u32>) -> String {
    bandwidth.unwrap_or(0).to_string()
}

fn view(call: &Call, cloud: &Cloud, eip: &Eip) -> Value {
    let package = eip.package.as_ref().and_then(|it| cloud.packages.get(it));
    // In a package an EIP may have as much as the package has, or what it is limited to there.
    let bandwidth = match package {
        Some(package) => eip.package_bandwidth.or(Some(package.bandwidth)),
        None => eip.bandwidth,
    };
    let binding = eip.binding.as_ref();
    let vpc = vpc_of(cloud, eip).and_then(|it| cloud.vpcs.get(it));
    json!({
        "AllocationId": eip.id,
        "IpAddress": eip.address,
        "Name": eip.meta.name,
        "Description": eip.meta.description,
        "Status": status(eip),
        "BusinessStatus": "Normal",
        "AllocationTime": stamp(eip.meta.created),
        "Bandwidth": mbits(bandwidth),
        "EipBandwidth": mbits(eip.bandwidth),
        "BandwidthPackageId": package.map(|it| &*it.id).unwrap_or_default(),
        "BandwidthPackageBandwidth": package.map(|it| it.bandwidth.to_string()).unwrap_or_default(),
        "BandwidthPackageType": package.map(|_| "CommonBandwidthPackage").unwrap_or_default(),
        "ChargeType": "PostPaid",
        "InternetChargeType": match &*eip.internet_charge_type {
            "" => ChargeType::default().name(),
            given => given,
        },
        "ISP": "BGP",
        "Netmode": "public",
        "PublicIpAddressPoolId": pool(eip),
        "InstanceId": binding.map(|it| &**it.id()).unwrap_or_default(),
        "InstanceType": binding.map(binding_type).unwrap_or_default(),
        "InstanceRegionId": vpc.filter(|it| in_region(call, it)).map(|_| call.region).unwrap_or_default(),
        "Mode": if interface(cloud, eip).is_some() { "NAT" } else { "" },
        // Terraform takes an address that was not asked for, and a VPC, for a change.
        "PrivateIpAddress": interface(cloud, eip)
            .filter(|_| eip.address_named)
            .map(|it| it.address.to_string())
            .unwrap_or_default(),
        "RegionId": call.region,
        "ResourceGroupId": eip.meta.resource_group(),
        "DeletionProtection": eip.deletion_protection,
        "HasReservationData": "false",
        "HDMonitorStatus": "OFF",
        "Tags": tag_list(&eip.meta),
    })
}
