//! Whether a NAT gateway can have a firewall, where that can be, and what goes around it.

use super::nat_firewalls::{is_of_account, route_entries};
use super::vpc::region_of;
use super::{Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::service::now;
use crate::spec::{invalid, missing};
use control::access::ACCOUNT;
use control::firewall::precheck::{Group, Options};
use control::records::{NatFirewall, NatGateway, VSwitch};
use control::{Cloud, Refusal};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateNatFirewallPreCheck", Q(check)),
    ("DescribeNatFirewallPrecheckDetail", Q(detail)),
    ("DescribeNatFirewallBypass", Q(bypass)),
    ("DescribeSecurityProxyResources", Q(resources)),
    ("DescribeFirewallVswitchResources", Q(vswitch_resources)),
    ("DescribeFirewallVSwitch", Q(vswitches)),
];

fn groups(call: &Call, cloud: &Cloud, gateway: &NatGateway) -> Result<Vec<Group>, ApiError> {
    let options = Options {
        inbound: call.flag("Inbound")?.unwrap_or(false),
        tables: None,
        room: true,
        now: now(),
    };
    Ok(cloud.precheck(gateway, options))
}

/// The gateway that a call is about.
fn gateway<'a>(call: &Call, cloud: &'a Cloud) -> Result<&'a NatGateway, ApiError> {
    let gateway = cloud.nat_gateway(call.need("NatGatewayId")?)?;
    let region = region_of(call, cloud.vpc(&gateway.vpc)?);
    for (name, is) in [("VpcId", &*gateway.vpc), ("RegionNo", region)] {
        if !call.is(name, is) {
            return Err(invalid(name, format!("{} is of {is}.", gateway.id)));
        }
    }
    Ok(gateway)
}

/// A check is made when its result is asked for: it takes no time, and what it tells is as it is then.
fn check(call: &Call, cloud: &Cloud) -> Answer {
    let gateway = gateway(call, cloud)?;
    groups(call, cloud, gateway)?;
    Ok(json!({"PreCheckId": format!("precheck-{}", gateway.id)}))
}

fn status(failed: usize) -> &'static str {
    match failed {
        0 => "passed",
        _ => "failed",
    }
}

fn detail(call: &Call, cloud: &Cloud) -> Answer {
    if call
        .text("NatGatewayId")
        .is_some_and(|it| !cloud.nat_gateways.contains(it))
    {
        return Ok(json!({"IsFound": false}));
    }
    let gateway = gateway(call, cloud)?;
    let groups = groups(call, cloud, gateway)?;
    let failed: usize = groups.iter().map(Group::failed).sum();
    let groups = groups.iter().map(|group| {
        let items = group.items.iter().map(|item| {
            json!({
                "Name": item.name,
                "Status": if item.passed { "passed" } else { "failed" },
                "Info": item.info,
                "Suggestion": item.suggestion,
                "Code": item.code,
                "Skippable": item.skippable,
            })
        });
        json!({
            "Name": group.name,
            "FailedCount": group.failed(),
            "PrecheckEntityGroupStatus": status(group.failed()),
            "PrecheckEntities": items.collect::<Vec<_>>(),
        })
    });
    let firewall = cloud.firewall_of_gateway(&gateway.id);
    Ok(json!({
        "IsFound": true,
        "PrecheckDetail": {
            "FirewallId": firewall.map(|it| &*it.id).unwrap_or_default(),
            "NetworkInstanceId": gateway.id,
            "PrecheckStatus": status(failed),
            "PrecheckTimestamp": now().to_string(),
            "PrecheckEntityGroups": groups.collect::<Vec<_>>(),
            "RegionNo": region_of(call, cloud.vpc(&gateway.vpc)?),
        },
    }))
}

/// The firewall that a call names, or that of the gateway that it names.
fn firewall<'a>(call: &Call, cloud: &'a Cloud) -> Result<&'a NatFirewall, ApiError> {
    if let Some(id) = call.text("ProxyId") {
        return Ok(cloud.nat_firewall(id)?);
    }
    let gateway = call
        .text("NatGatewayId")
        .ok_or_else(|| missing("ProxyId"))?;
    let none = || {
        let why = format!("The NAT gateway {gateway} has no firewall.");
        Refusal::not_found("ErrorNatFirewallNotFound", why)
    };
    Ok(cloud.firewall_of_gateway(gateway).ok_or_else(none)?)
}

fn bypass(call: &Call, cloud: &Cloud) -> Answer {
    let firewall = firewall(call, cloud)?;
    let found = cloud.bypasses(firewall).into_iter().map(|it| {
        json!({
            "Way": it.way.name(),
            "RouteTableId": it.table.unwrap_or_default(),
            "RouteEntryId": it.route.unwrap_or_default(),
            "DestinationCidr": it.destination.map(|it| it.to_string()).unwrap_or_default(),
            "TargetId": it.target,
            "VSwitchIds": it.vswitches,
            "Reason": it.reason,
            "Suggestion": it.suggestion,
        })
    });
    let found: Vec<Value> = found.collect();
    Ok(json!({
        "ProxyId": firewall.id,
        "NatGatewayId": firewall.gateway,
        "TotalCount": found.len(),
        "Bypasses": found,
    }))
}

/// The gateways that could have a firewall, by region and VPC.
fn resources(call: &Call, cloud: &Cloud) -> Answer {
    let mut regions: Vec<(&str, Vec<Value>)> = Vec::new();
    for vpc in cloud.vpcs.iter().filter(|_| is_of_account(call)) {
        let gateways = cloud.nat_gateways.iter();
        let gateways = gateways
            .filter(|it| it.vpc == vpc.id && !it.intranet && call.is("NatGatewayId", &it.id));
        let gateways = gateways.map(|gateway| {
            let options = Options {
                room: true,
                now: now(),
                ..Options::default()
            };
            let groups = cloud.precheck(gateway, options);
            let mut items = groups.iter().flat_map(|it| &it.items);
            let failed = items.find(|it| !it.passed);
            json!({
                "NatGatewayId": gateway.id,
                "NatGatewayName": gateway.meta.name,
                "NatRouteEntryList": route_entries(&cloud.divertible(&gateway.id), &gateway.id),
                "Status": if failed.is_none() { "available" } else { "unavailable" },
                "Detail": failed.map(|it| it.code).unwrap_or_default(),
            })
        });
        let gateways: Vec<Value> = gateways.collect();
        if gateways.is_empty() {
            continue;
        }
        let view = json!({
            "VpcId": vpc.id,
            "VpcName": vpc.meta.name,
            "CidrBlock": vpc.cidrs.first().map(|it| it.to_string()).unwrap_or_default(),
            "MemberUid": ACCOUNT,
            "NatGateways": gateways,
        });
        let region = region_of(call, vpc);
        match regions.iter_mut().find(|(it, _)| *it == region) {
            Some((_, vpcs)) => vpcs.push(view),
            None => regions.push((region, vec![view])),
        }
    }
    let regions = regions.into_iter();
    let regions = regions.map(|(region, vpcs)| json!({"RegionNo": region, "VpcList": vpcs}));
    Ok(json!({"ResourceList": regions.collect::<Vec<_>>()}))
}

/// The firewalls of a vSwitch: at most one.
fn firewalls_of<'a>(cloud: &'a Cloud, vswitch: &str) -> Option<&'a NatFirewall> {
    cloud.firewall_of_vswitch(vswitch)
}

/// The vSwitches of a VPC, and whether a firewall could have them.
fn vswitch_resources(call: &Call, cloud: &Cloud) -> Answer {
    call.word("FirewallType", &["nat"])?;
    let vpc = cloud.vpc(call.need("VpcId")?)?;
    let region = region_of(call, vpc);
    if !call.is("RegionNo", region) {
        return Err(invalid("RegionNo", format!("{} is in {region}.", vpc.id)));
    }
    let vswitches = cloud.vswitches.iter().filter(|it| it.vpc == vpc.id);
    let vswitches = vswitches.map(|vswitch| {
        let firewall = firewalls_of(cloud, &vswitch.id);
        let unfit = cloud.unfit_for_firewall(vswitch);
        let system = cloud.route_tables.get(&vswitch.route_table);
        let system = system.is_some_and(|it| it.system);
        let firewalls = firewall.into_iter().map(
            |it| json!({"FirewallId": it.id, "FirewallName": it.meta.name, "FirewallType": "nat"}),
        );
        json!({
            "VswitchId": vswitch.id,
            "VswitchName": vswitch.meta.name,
            "CidrBlock": vswitch.cidr.to_string(),
            "ZoneId": cloud.zone_of(vswitch),
            "RouteTableId": vswitch.route_table,
            "RouteTableType": if system { "System" } else { "Custom" },
            "AvailableIpCount": cloud.free_addresses(vswitch).to_string(),
            "Status": if unfit.is_none() { "available" } else { "unavailable" },
            "Detail": unfit.map(|it| it.message).unwrap_or_default(),
            "FirewallList": firewalls.collect::<Vec<_>>(),
        })
    });
    let vswitches: Vec<Value> = vswitches.collect();
    Ok(json!({"TotalCount": vswitches.len(), "VswitchList": vswitches}))
}

/// The vSwitches that firewalls have.
fn vswitches(call: &Call, cloud: &Cloud) -> Answer {
    let found = cloud.vswitches.iter().filter_map(|vswitch| {
        let firewall = firewalls_of(cloud, &vswitch.id)?;
        let region = region_of(call, cloud.vpcs.get(&vswitch.vpc)?);
        let fits = is_of_account(call)
            && call.is("FirewallId", &firewall.id)
            && call.is("VpcId", &vswitch.vpc)
            && call.is("VswitchId", &vswitch.id)
            && call.is("RegionNo", region);
        fits.then_some((vswitch, firewall, region))
    });
    let (page, [count, ..]) = call.page_of("PageNo", found.collect(), 50)?;
    let view = |(vswitch, firewall, region): (&VSwitch, &NatFirewall, &str)| {
        json!({
            "VswitchId": vswitch.id,
            "VswitchName": vswitch.meta.name,
            "VpcId": vswitch.vpc,
            "RegionNo": region,
            "ZoneId": cloud.zone_of(vswitch),
            "CidrBlock": vswitch.cidr.to_string(),
            "AvailableIpCount": cloud.free_addresses(vswitch).to_string(),
            "FirewallCount": "1",
            "FirewallList": [{"FirewallId": firewall.id, "FirewallName": firewall.meta.name}],
            "MemberUid": ACCOUNT,
        })
    };
    let page: Vec<Value> = page.into_iter().map(view).collect();
    Ok(json!({"TotalCount": count, "VswitchList": page}))
}
