//! VPCs, vSwitches, virtual routers, regions and zones.

use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, ids, join, parse_cidr, stamp, tag_list};
use crate::spec::{invalid, missing};
use control::records::{RouteTable, VSwitch, Vpc};
use control::vpc::{NewVSwitch, NewVpc};
use control::{Cloud, Draft, Refusal};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateVpc", C(create_vpc)),
    ("CreateDefaultVpc", C(create_default_vpc)),
    ("DescribeVpcs", Q(describe_vpcs)),
    ("DescribeVpcAttribute", Q(describe_vpc)),
    ("ModifyVpcAttribute", C(modify_vpc)),
    ("DeleteVpc", C(delete_vpc)),
    ("AssociateVpcCidrBlock", C(associate_cidr)),
    ("UnassociateVpcCidrBlock", C(unassociate_cidr)),
    ("CreateVSwitch", C(create_vswitch)),
    ("CreateDefaultVSwitch", C(create_default_vswitch)),
    ("DescribeVSwitches", Q(describe_vswitches)),
    ("DescribeVSwitchAttributes", Q(describe_vswitch)),
    ("ModifyVSwitchAttribute", C(modify_vswitch)),
    ("DeleteVSwitch", C(delete_vswitch)),
    ("CheckCanAllocateVpcPrivateIpAddress", Q(check_address)),
    ("DescribeVRouters", Q(describe_routers)),
    ("ModifyVRouterAttribute", C(modify_router)),
    ("DescribeRegions", Q(describe_regions)),
    ("DescribeZones", Q(describe_zones)),
];

/// The block of a VPC that names none.
const DEFAULT_BLOCK: &str = "172.16.0.0/12";

fn no_ipv6(call: &Call, names: &[&str]) -> Result<(), ApiError> {
    match names.iter().find(|name| {
        call.text(name)
            .is_some_and(|it| !it.eq_ignore_ascii_case("false"))
    }) {
        Some(name) => Err(invalid(name, "IPv6 is not supported yet.")),
        None => Ok(()),
    }
}

fn create_vpc(call: &Call, draft: &mut Draft) -> Answer {
    no_ipv6(
        call,
        &[
            "EnableIpv6",
            "Ipv6CidrBlock",
            "Ipv6IpamPoolId",
            "Ipv4IpamPoolId",
        ],
    )?;
    let cidr = match call.cidr("CidrBlock")? {
        Some(cidr) => cidr,
        None => parse_cidr("CidrBlock", DEFAULT_BLOCK)?,
    };
    let user_cidrs = call.text("UserCidr").unwrap_or_default();
    let user_cidrs = user_cidrs
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty());
    let user_cidrs = user_cidrs
        .map(|it| parse_cidr("UserCidr", it))
        .collect::<Result<_, _>>()?;
    let mut meta = draft.meta(
        call.name("VpcName", 1)?.unwrap_or_default(),
        call.description("Description")?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    meta.resource_group = call.text("ResourceGroupId").unwrap_or_default().into();
    let (vpc, answer) = created(
        draft,
        NewVpc {
            meta,
            region: call.region.into(),
            cidr,
            user_cidrs,
            default: false,
        },
    )?;
    let group = json!({"ResourceGroupId": vpc.meta.resource_group()});
    Ok(join(answer, group))
}

fn create_default_vpc(call: &Call, draft: &mut Draft) -> Answer {
    no_ipv6(call, &["EnableIpv6", "Ipv6CidrBlock"])?;
    let cidr = parse_cidr("CidrBlock", "172.31.0.0/16")?;
    let mut meta = draft.meta("", "");
    meta.resource_group = call.text("ResourceGroupId").unwrap_or_default().into();
    let (_, answer) = created(
        draft,
        NewVpc {
            meta,
            region: call.region.into(),
            cidr,
            user_cidrs: Vec::new(),
            default: true,
        },
    )?;
    Ok(answer)
}

/// Makes a VPC, and tells of it what all that make one do.
fn created(draft: &mut Draft, new: NewVpc) -> Result<(Vpc, Value), ApiError> {
    let vpc = draft.create_vpc(new)?;
    let answer = json!({
        "VpcId": vpc.id,
        "VRouterId": vpc.router,
        "RouteTableId": draft.system_table(&vpc.id).map(|it| &it.id),
    });
    Ok((vpc, answer))
}

/// The fields that the list of VPCs and the answer about one have in common.
fn vpc_view(call: &Call, cloud: &Cloud, vpc: &Vpc) -> Value {
    json!({
        "VpcId": vpc.id,
        "VpcName": vpc.meta.name,
        "Description": vpc.meta.description,
        "RegionId": region_of(call, vpc),
        "Status": "Available",
        "CreationTime": stamp(vpc.meta.created),
        "CidrBlock": vpc.cidrs.first().map(ToString::to_string).unwrap_or_default(),
        "SecondaryCidrBlocks": {"SecondaryCidrBlock": texts(vpc.cidrs.iter().skip(1))},
        "UserCidrs": {"UserCidr": texts(&vpc.user_cidrs)},
        "VRouterId": vpc.router,
        "VSwitchIds": {"VSwitchId": ids(cloud.vswitches.iter(), |it| it.vpc == vpc.id, |it| &it.id)},
        "IsDefault": vpc.default,
        "ResourceGroupId": vpc.meta.resource_group(),
        "DnsHostnameStatus": "DISABLED",
        "DhcpOptionsSetStatus": "Available",
        "Tags": tag_list(&vpc.meta),
    })
}

fn describe_vpcs(call: &Call, cloud: &Cloud) -> Answer {
    let default = call.flag("IsDefault")?;
    let vpcs = cloud.vpcs.iter().filter(|vpc| {
        call.is_one("VpcId", &vpc.id)
            && call.is("VpcName", &vpc.meta.name)
            && default.is_none_or(|default| default == vpc.default)
            && in_region(call, vpc)
            && call.matches(&vpc.meta)
    });
    let (vpcs, position) = call.page(vpcs.collect(), 50)?;
    let vpcs = vpcs.into_iter().map(|vpc| {
        let tables = |it: &RouteTable| it.vpc == vpc.id;
        let gateways = ids(cloud.nat_gateways.iter(), |it| it.vpc == vpc.id, |it| &it.id);
        let more = json!({
            "RouterTableIds": {"RouterTableIds": ids(cloud.route_tables.iter(), tables, |it| &it.id)},
            "NatGatewayIds": {"NatGatewayIds": gateways},
        });
        join(vpc_view(call, cloud, vpc), more)
    });
    Ok(join(
        position,
        json!({"Vpcs": {"Vpc": vpcs.collect::<Vec<_>>()}}),
    ))
}

fn describe_vpc(call: &Call, cloud: &Cloud) -> Answer {
    let vpc = cloud.vpc(call.need("VpcId")?)?;
    let tables = cloud
        .route_tables
        .iter()
        .filter(|it| it.vpc == vpc.id)
        .count();
    let vswitches = cloud.vswitches.iter().filter(|it| it.vpc == vpc.id).count();
    let gateways = cloud
        .nat_gateways
        .iter()
        .filter(|it| it.vpc == vpc.id)
        .count();
    let count = |kind, count| json!({"ResourceType": kind, "ResourceCount": count});
    let more = json!({
        "CloudResources": {"CloudResourceSetType": [
            count("VSwitch", vswitches), count("VRouter", 1), count("RouteTable", tables), count("NatGateway", gateways),
        ]},
    });
    Ok(join(vpc_view(call, cloud, vpc), more))
}

fn modify_vpc(call: &Call, draft: &mut Draft) -> Answer {
    no_ipv6(call, &["EnableIPv6", "Ipv6CidrBlock"])?;
    let id = call.need("VpcId")?;
    let vpc = draft.vpc(id)?;
    if let Some(cidr) = call.cidr("CidrBlock")?
        && vpc.cidrs.first() != Some(&cidr)
    {
        let why = "The primary block of a VPC stays; add a secondary one.";
        return Err(ApiError::bad("OperationUnsupported.CidrBlock", why));
    }
    let name = call.name("VpcName", 1)?;
    let description = call.description("Description")?;
    if let Some(vpc) = draft.vpcs.get_mut(id) {
        vpc.meta.name = name.unwrap_or_else(|| vpc.meta.name.clone());
        vpc.meta.description = description.unwrap_or_else(|| vpc.meta.description.clone());
    }
    Ok(json!({}))
}

fn delete_vpc(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_vpc(call.need("VpcId")?, call.flag("ForceDelete")? == Some(true))?;
    Ok(json!({}))
}

fn associate_cidr(call: &Call, draft: &mut Draft) -> Answer {
    no_ipv6(call, &["IPv6CidrBlock", "Ipv6CidrMask", "IpamPoolId"])?;
    let Some(cidr) = call.cidr("SecondaryCidrBlock")? else {
        return Err(missing("SecondaryCidrBlock"));
    };
    draft.add_vpc_cidr(call.need("VpcId")?, cidr)?;
    Ok(json!({"CidrBlock": cidr.to_string(), "IpVersion": "IPV4"}))
}

fn unassociate_cidr(call: &Call, draft: &mut Draft) -> Answer {
    no_ipv6(call, &["IPv6CidrBlock"])?;
    let Some(cidr) = call.cidr("SecondaryCidrBlock")? else {
        return Err(missing("SecondaryCidrBlock"));
    };
    draft.remove_vpc_cidr(call.need("VpcId")?, cidr)?;
    Ok(json!({}))
}

fn create_vswitch(call: &Call, draft: &mut Draft) -> Answer {
    no_ipv6(call, &["Ipv6CidrBlock", "VpcIpv6CidrBlock"])?;
    let Some(cidr) = call.cidr("CidrBlock")? else {
        return Err(missing("CidrBlock"));
    };
    let mut meta = draft.meta(
        call.name("VSwitchName", 1)?.unwrap_or_default(),
        call.description("Description")?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    let vswitch = draft.create_vswitch(NewVSwitch {
        meta,
        vpc: call.need("VpcId")?.into(),
        zone: call.need("ZoneId")?.into(),
        cidr,
        default: false,
    })?;
    Ok(json!({"VSwitchId": vswitch.id}))
}

/// A vSwitch in the default VPC of the region: the first /20 that is free.
fn create_default_vswitch(call: &Call, draft: &mut Draft) -> Answer {
    let vpc = draft
        .vpcs
        .find(|it| it.default && in_region(call, it))
        .ok_or_else(|| {
            let why = "The region has no default VPC: make one with CreateDefaultVpc.";
            Refusal::not_found("InvalidVpcId.NotFound", why)
        })?;
    let taken = |block: ipnet::Ipv4Net| {
        let overlaps = |it: &VSwitch| it.vpc == vpc.id && control::vpc::overlap(it.cidr, block);
        draft.vswitches.find(overlaps).is_some()
    };
    let free = vpc
        .cidrs
        .iter()
        .find_map(|cidr| cidr.subnets(20).ok()?.find(|it| !taken(*it)));
    let cidr = free.ok_or_else(|| {
        Refusal::bad(
            "OperationFailed.CidrNotEnough",
            "The default VPC has no free /20 block.",
        )
    })?;
    let vswitch = draft.create_vswitch(NewVSwitch {
        meta: draft.meta("", ""),
        vpc: vpc.id.clone(),
        zone: call.need("ZoneId")?.into(),
        cidr,
        default: true,
    })?;
    Ok(json!({"VSwitchId": vswitch.id}))
}

fn vswitch_view(cloud: &Cloud, vswitch: &VSwitch) -> Value {
    let system = cloud
        .route_tables
        .get(&vswitch.route_table)
        .is_some_and(|it| it.system);
    json!({
        "VSwitchId": vswitch.id,
        "VSwitchName": vswitch.meta.name,
        "Description": vswitch.meta.description,
        "VpcId": vswitch.vpc,
        "ZoneId": cloud.zone_of(vswitch),
        "CidrBlock": vswitch.cidr.to_string(),
        "Status": "Available",
        "CreationTime": stamp(vswitch.meta.created),
        "AvailableIpAddressCount": cloud.free_addresses(vswitch),
        "IsDefault": vswitch.default,
        "ResourceGroupId": vswitch.meta.resource_group(),
        "RouteTable": {
            "RouteTableId": vswitch.route_table,
            "RouteTableType": if system { "System" } else { "Custom" },
        },
        "Tags": tag_list(&vswitch.meta),
    })
}

fn describe_vswitches(call: &Call, cloud: &Cloud) -> Answer {
    let default = call.flag("IsDefault")?;
    let vswitches = cloud.vswitches.iter().filter(|vswitch| {
        call.is_one("VSwitchId", &vswitch.id)
            && call.is("VSwitchName", &vswitch.meta.name)
            && call.is("VpcId", &vswitch.vpc)
            && call.is("ZoneId", &cloud.zone_of(vswitch))
            && call.is("RouteTableId", &vswitch.route_table)
            && default.is_none_or(|default| default == vswitch.default)
            && cloud
                .vpcs
                .get(&vswitch.vpc)
                .is_some_and(|vpc| in_region(call, vpc))
            && call.matches(&vswitch.meta)
    });
    let (vswitches, position) = call.page(vswitches.collect(), 50)?;
    let vswitches: Vec<Value> = vswitches
        .into_iter()
        .map(|it| vswitch_view(cloud, it))
        .collect();
    Ok(join(position, json!({"VSwitches": {"VSwitch": vswitches}})))
}

fn describe_vswitch(call: &Call, cloud: &Cloud) -> Answer {
    Ok(vswitch_view(cloud, cloud.vswitch(call.need("VSwitchId")?)?))
}

fn modify_vswitch(call: &Call, draft: &mut Draft) -> Answer {
    no_ipv6(call, &["EnableIPv6", "Ipv6CidrBlock", "VpcIpv6CidrBlock"])?;
    let id = call.need("VSwitchId")?;
    draft.vswitch(id)?;
    let name = call.name("VSwitchName", 1)?;
    let description = call.description("Description")?;
    if let Some(vswitch) = draft.vswitches.get_mut(id) {
        vswitch.meta.name = name.unwrap_or_else(|| vswitch.meta.name.clone());
        vswitch.meta.description = description.unwrap_or_else(|| vswitch.meta.description.clone());
    }
    Ok(json!({}))
}

fn delete_vswitch(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_vswitch(call.need("VSwitchId")?)?;
    Ok(json!({}))
}

fn check_address(call: &Call, cloud: &Cloud) -> Answer {
    let vswitch = cloud.vswitch(call.need("VSwitchId")?)?;
    let address = call.address("PrivateIpAddress")?;
    Ok(json!({"CanAllocate": cloud.pick_address(vswitch, address).is_ok()}))
}

fn describe_routers(call: &Call, cloud: &Cloud) -> Answer {
    let vpcs = cloud.vpcs.iter();
    let vpcs = vpcs.filter(|vpc| call.is("VRouterId", &vpc.router) && in_region(call, vpc));
    let (vpcs, position) = call.page(vpcs.collect(), 50)?;
    let routers = vpcs.into_iter().map(|vpc| {
        let tables = ids(
            cloud.route_tables.iter(),
            |it| it.vpc == vpc.id,
            |it| &it.id,
        );
        json!({
            "VRouterId": vpc.router,
            "VRouterName": vpc.router_meta.name,
            "Description": vpc.router_meta.description,
            "VpcId": vpc.id,
            "RegionId": region_of(call, vpc),
            "CreationTime": stamp(vpc.meta.created),
            "RouteTableIds": {"RouteTableId": tables},
        })
    });
    Ok(join(
        position,
        json!({"VRouters": {"VRouter": routers.collect::<Vec<_>>()}}),
    ))
}

fn modify_router(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("VRouterId")?;
    let Some(vpc) = draft
        .vpcs
        .find(|it| it.router == id)
        .map(|it| it.id.clone())
    else {
        let why = format!("There is no virtual router {id:?}.");
        return Err(ApiError::not_found("InvalidVRouterId.NotFound", why));
    };
    let name = call.name("VRouterName", 1)?;
    let description = call.description("Description")?;
    if let Some(vpc) = draft.vpcs.get_mut(&vpc) {
        let meta = &mut vpc.router_meta;
        meta.name = name.unwrap_or_else(|| meta.name.clone());
        meta.description = description.unwrap_or_else(|| meta.description.clone());
    }
    Ok(json!({}))
}

fn describe_regions(_: &Call, cloud: &Cloud) -> Answer {
    let regions = cloud.regions();
    let regions = regions
        .iter()
        .map(|region| json!({"RegionId": region.id, "LocalName": region.id}));
    Ok(json!({"Regions": {"Region": regions.collect::<Vec<_>>()}}))
}

fn describe_zones(call: &Call, cloud: &Cloud) -> Answer {
    let zones = cloud.zones(call.region);
    let zones = zones
        .iter()
        .map(|zone| json!({"ZoneId": zone, "LocalName": zone, "ZoneType": "AvailabilityZone"}));
    Ok(json!({"Zones": {"Zone": zones.collect::<Vec<_>>()}}))
}

/// A VPC of a file has no region: it is in each.
pub(super) fn in_region(call: &Call, vpc: &Vpc) -> bool {
    vpc.region.is_empty() || vpc.region == call.region
}

pub(super) fn region_of<'a>(call: &'a Call, vpc: &'a Vpc) -> &'a str {
    match &*vpc.region {
        "" => call.region,
        region => region,
    }
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|it| it.to_string()).collect()
}
