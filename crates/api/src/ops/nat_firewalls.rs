//! NAT firewalls, which the API calls security proxies: their life, and what there is.

use super::vpc::region_of;
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, parse_cidr};
use crate::service::now;
use crate::spec::{invalid, missing, shown};
use control::access::ACCOUNT;
use control::firewall::nat::{NatFirewallChange, NewDiversion, NewNatFirewall};
use control::records::{License, NatFirewall, NatGateway, Vpc};
use control::routes::DEFAULT;
use control::{Cloud, Draft};
use model::{EngineMode, FirewallSettings, Id, NameCheck, OnDrop, Policy};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateSecurityProxy", C(create)),
    ("SwitchSecurityProxy", C(switch)),
    ("UpdateSecurityProxy", C(update)),
    ("DeleteSecurityProxy", C(delete)),
    ("DescribeNatFirewallList", Q(list)),
    ("DescribeSecurityProxy", Q(describe)),
    ("DescribeCreatedNatFirewall", Q(created)),
    ("DescribeNatFirewallQuota", Q(quota)),
    ("DescribeNatAclPageStatus", Q(page_status)),
    ("DescribePostpayUserNatStatus", Q(postpay)),
    ("UpdatePostpayUserNatStatus", C(open_postpay)),
    ("DescribeFirewallTask", Q(task)),
    ("CreateNatFirewallSyncTask", Q(synchronised)),
];

const SWITCH: [&str; 2] = ["open", "close"];

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let gateway = draft.nat_gateway(call.need("NatGatewayId")?)?;
    let vpc = call.need("VpcId")?;
    if gateway.vpc != vpc {
        let why = format!("{} is of {}.", gateway.id, gateway.vpc);
        return Err(invalid("VpcId", why));
    }
    let new = NewNatFirewall {
        name: call.need("ProxyName")?.into(),
        gateway: gateway.id.clone(),
        tables: tables(call, &gateway.id)?,
        diversion: diversion(call)?,
        enabled: call.word("FirewallSwitch", &SWITCH)? != Some("close"),
        inbound: call.flag("Inbound")?.unwrap_or(false),
        settings: settings(call, FirewallSettings::default())?,
        skip_precheck: call.flag("SkipPrecheck")? == Some(true),
        service_mode: call
            .word("FirewallServiceMode", &["PrimaryStandby", "MultiPrimary"])?
            .unwrap_or_default()
            .into(),
        service_zones: texts(call.list("FirewallServiceZones")),
    };
    let firewall = draft.create_nat_firewall(new)?;
    Ok(json!({"ProxyId": firewall.id}))
}

fn texts(list: Vec<&str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

/// The route tables that a call wants diverted: it names their default routes, with their next hop.
fn tables(call: &Call, gateway: &str) -> Result<Vec<Id>, ApiError> {
    let objects = call.params.objects("NatRouteEntryList");
    let tables = objects.iter().map(|object| {
        let field = |name: &str| {
            let name = format!("{object}.{name}");
            call.text(&name).ok_or_else(|| missing(&name))
        };
        let wrong = |name: &str, why| Err(invalid(&format!("{object}.{name}"), why));
        let destination = field("DestinationCidr")?;
        if parse_cidr(&format!("{object}.DestinationCidr"), destination)? != DEFAULT {
            let why = format!("{destination} is not 0.0.0.0/0: a firewall diverts default routes.");
            return wrong("DestinationCidr", why);
        }
        if !field("NextHopType")?.eq_ignore_ascii_case("NatGateway") {
            return wrong("NextHopType", "It can only be NatGateway.".into());
        }
        let hop = field("NextHopId")?;
        if hop != gateway {
            return wrong("NextHopId", format!("{} is not {gateway}.", shown(hop)));
        }
        Ok(field("RouteTableId")?.to_owned())
    });
    tables.collect()
}

fn diversion(call: &Call) -> Result<NewDiversion, ApiError> {
    let zone = call.text("FwVswitchZoneId").map(str::to_owned);
    match call.flag("VswitchAuto")?.unwrap_or(true) {
        true if call.text("VswitchId").is_some() => {
            let why = "A vSwitch that is there is used with VswitchAuto=false.";
            Err(invalid("VswitchId", why))
        }
        true => Ok(NewDiversion::Automatic {
            cidr: call.cidr("VswitchCidr")?,
            zone,
        }),
        false => Ok(NewDiversion::Manual {
            vswitch: call.need("VswitchId")?.into(),
            zone,
        }),
    }
}

/// What a call wants of a firewall's settings: what it does not name stays as it was.
fn settings(call: &Call, had: FirewallSettings) -> Result<FirewallSettings, ApiError> {
    let mut settings = had;
    match call.int("StrictMode")? {
        None => {}
        Some(0) => settings.mode = EngineMode::Loose,
        Some(1) => settings.mode = EngineMode::Strict,
        Some(other) => {
            let why = format!("{other} is neither 0 (loose) nor 1 (strict).");
            return Err(invalid("StrictMode", why));
        }
    }
    match call.word("DefaultAction", &["accept", "drop"])? {
        Some("drop") => settings.default_action = Policy::Drop,
        Some(_) => settings.default_action = Policy::Accept,
        None => {}
    }
    match call.word("OnDrop", &["reset", "silent"])? {
        Some("silent") => settings.on_drop = OnDrop::Silent,
        Some(_) => settings.on_drop = OnDrop::Reset,
        None => {}
    }
    match call.word("NameCheck", &["off", "report", "drop"])? {
        Some("report") => settings.name_check = NameCheck::Report,
        Some("drop") => settings.name_check = NameCheck::Drop,
        Some(_) => settings.name_check = NameCheck::Off,
        None => {}
    }
    Ok(settings)
}

fn switch(call: &Call, draft: &mut Draft) -> Answer {
    let on = call.word("Switch", &SWITCH)? == Some("open");
    draft.switch_nat_firewall(call.need("ProxyId")?, on)?;
    Ok(json!({}))
}

fn update(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("ProxyId")?;
    let had = draft.nat_firewall(id)?.settings.clone();
    let change = NatFirewallChange {
        name: Some(call.need("ProxyName")?.into()),
        inbound: call.flag("Inbound")?,
        settings: Some(settings(call, had)?),
    };
    draft.modify_nat_firewall(id, change)?;
    let tables = call.list("RouteTableIds");
    let tables = tables.iter().flat_map(|it| it.split(','));
    let tables: Vec<Id> = tables.map(|it| it.trim().to_owned()).collect();
    if !tables.is_empty() {
        draft.set_diverted_tables(id, tables)?;
    }
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_nat_firewall(call.need("ProxyId")?)?;
    Ok(json!({}))
}

/// A firewall with what it protects.
struct Protection<'a> {
    firewall: &'a NatFirewall,
    gateway: &'a NatGateway,
    vpc: &'a Vpc,
    region: &'a str,
}

/// The firewalls that a call asks for.
fn found<'a>(call: &'a Call, cloud: &'a Cloud) -> Vec<Protection<'a>> {
    let firewalls = cloud.nat_firewalls.iter().filter_map(|firewall| {
        let gateway = cloud.nat_gateways.get(&firewall.gateway)?;
        let vpc = cloud.vpcs.get(&gateway.vpc)?;
        let region = region_of(call, vpc);
        let fits = is_of_account(call)
            && call.is("ProxyId", &firewall.id)
            && call.is("ProxyName", &firewall.meta.name)
            && call.is("NatGatewayId", &gateway.id)
            && call.is("VpcId", &vpc.id)
            && call.is("RegionNo", region)
            && call.is("Status", cloud.firewall_status(firewall).name());
        fits.then_some(Protection {
            firewall,
            gateway,
            vpc,
            region,
        })
    });
    firewalls.collect()
}

/// The default routes of tables that lead to a gateway.
pub(super) fn route_entries(tables: &[Id], gateway: &str) -> Vec<Value> {
    let tables = tables.iter().map(|table| {
        json!({
            "RouteTableId": table,
            "DestinationCidr": DEFAULT.to_string(),
            "NextHopId": gateway,
            "NextHopType": "NatGateway",
        })
    });
    tables.collect()
}

fn strict(firewall: &NatFirewall) -> u8 {
    (firewall.settings.mode == EngineMode::Strict).into()
}

/// The number of the account.
pub(super) fn account() -> u64 {
    ACCOUNT.parse().unwrap_or_default()
}

/// Whether a call asks for what is of this account: there are no others, which the cloud calls members.
pub(super) fn is_of_account(call: &Call) -> bool {
    call.is("MemberUid", ACCOUNT)
}

/// Refuses a call that would change something of another account, or means something else that was bought.
pub(super) fn only_ours(call: &Call) -> Result<(), ApiError> {
    if !is_of_account(call) {
        return Err(invalid("MemberUid", "There are no other accounts."));
    }
    match call.text("InstanceId").filter(|it| *it != License::ID) {
        None => Ok(()),
        Some(other) => {
            let why = format!("{} is not {}.", shown(other), License::ID);
            Err(invalid("InstanceId", why))
        }
    }
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    let (page, [count, ..]) = call.page_of("PageNo", found(call, cloud), 50)?;
    let page = page.into_iter().map(|it| {
        let firewall = it.firewall;
        let status = cloud.firewall_status(firewall);
        let settings = &firewall.settings;
        json!({
            "AliUid": account(),
            "MemberUid": account(),
            "ProxyId": firewall.id,
            "ProxyName": firewall.meta.name,
            "ProxyStatus": status.name(),
            "ErrorDetail": status.detail(),
            "NatGatewayId": it.gateway.id,
            "NatGatewayName": it.gateway.meta.name,
            "VpcId": it.vpc.id,
            "VpcName": it.vpc.meta.name,
            "RegionId": it.region,
            "StrictMode": strict(firewall),
            "NatRouteEntryList": route_entries(&firewall.tables, &it.gateway.id),
            "ProxyNetworkInterfaceId": firewall.eni,
            "ProxyRouteTableId": cloud.own_table(firewall).unwrap_or_default(),
            "ProxyVSwitchId": firewall.vswitch.as_deref().unwrap_or_default(),
            "FirewallServiceMode": firewall.service_mode,
            "FirewallServiceZones": firewall.service_zones,
            "DefaultAction": settings.default_action.to_string(),
            "OnDrop": settings.on_drop.to_string(),
            "NameCheck": settings.name_check.to_string(),
            "Inbound": firewall.inbound,
        })
    });
    Ok(json!({"NatFirewallList": page.collect::<Vec<_>>(), "TotalCount": count}))
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let (page, [count, ..]) = call.page_of("PageNo", found(call, cloud), 50)?;
    let page = page.into_iter().map(|it| {
        let firewall = it.firewall;
        let status = cloud.firewall_status(firewall);
        let vswitch = firewall.vswitch.as_ref();
        let vswitch = vswitch.and_then(|it| cloud.vswitches.get(it));
        let eips = cloud.eips_of_gateway(&it.gateway.id);
        json!({
            "ProxyId": firewall.id,
            "ProxyName": firewall.meta.name,
            "Status": status.name(),
            "Detail": status.detail(),
            "NatGatewayId": it.gateway.id,
            "NatGatewayName": it.gateway.meta.name,
            "VpcId": it.vpc.id,
            "VpcName": it.vpc.meta.name,
            "RegionNo": it.region,
            "StrictMode": strict(firewall),
            "VSwitchId": firewall.vswitch.as_deref().unwrap_or_default(),
            "CidrBlock": vswitch.map(|it| it.cidr.to_string()).unwrap_or_default(),
            "SnatIpList": eips.map(|it| it.address.to_string()).collect::<Vec<_>>(),
            "MemberUid": ACCOUNT,
        })
    });
    Ok(json!({"ProxyList": page.collect::<Vec<_>>(), "TotalCount": count}))
}

fn created(call: &Call, cloud: &Cloud) -> Answer {
    let firewalls = found(call, cloud).into_iter().map(|it| {
        json!({
            "NatFirewallId": it.firewall.id,
            "NatGatewayId": it.gateway.id,
            "NatGatewayName": it.gateway.meta.name,
        })
    });
    Ok(json!({"CreatedNatFirewalls": firewalls.collect::<Vec<_>>()}))
}

fn quota(_: &Call, cloud: &Cloud) -> Answer {
    let firewalls = cloud.nat_firewalls.iter();
    let abnormal = firewalls.filter(|it| !cloud.firewall_status(it).detail().is_empty());
    let gateways = cloud.nat_gateways.iter().filter(|it| !it.intranet);
    let unprotected = gateways.filter(|it| cloud.firewall_of_gateway(&it.id).is_none());
    Ok(json!({
        "TotalCount": cloud.license().firewalls,
        "UsedCount": cloud.nat_firewalls.len(),
        "ExceptionCount": abnormal.count(),
        "UnprotectedCount": unprotected.count(),
    }))
}

/// Whether there is something that policies could be made for.
fn page_status(_: &Call, cloud: &Cloud) -> Answer {
    let none = cloud.nat_firewalls.is_empty();
    Ok(json!({
        "NatAclPageEnable": !none,
        "Detail": if none { "proxy_not_exist" } else { "" },
    }))
}

/// Whether there can be NAT firewalls. Nothing is paid for as one goes: they are there if they were bought.
fn postpay(call: &Call, cloud: &Cloud) -> Answer {
    only_ours(call)?;
    let can_be = cloud.license().firewalls > 0 && !cloud.has_expired(now());
    Ok(json!({"Status": if can_be { "open" } else { "closed" }}))
}

/// Opens what is open, or says what it takes.
fn open_postpay(call: &Call, draft: &mut Draft) -> Answer {
    only_ours(call)?;
    call.need("Operate")?;
    call.word("Operate", &["open"])?;
    draft.open_nat_firewalls()?;
    Ok(json!({}))
}

/// What was asked for is done when it is answered, so the only tasks are those that have ended: the making of
/// firewalls that are there.
fn task(call: &Call, cloud: &Cloud) -> Answer {
    let firewall = call.text("ChildInstanceId");
    let firewall = firewall.and_then(|it| cloud.nat_firewalls.get(it));
    // They have no numbers.
    let Some(firewall) = firewall.filter(|_| call.text("TaskId").is_none()) else {
        return Ok(json!({"IsFound": false}));
    };
    let time = firewall.meta.created.to_string();
    Ok(json!({
        "IsFound": true,
        "TaskName": "CreateSecurityProxy",
        "TaskStatus": "finished",
        "TaskStartTimestamp": time,
        "TaskFinishTimestamp": time,
        "TaskWaitingTime": "0",
    }))
}

/// Assets are always as they are.
pub(super) fn synchronised(_: &Call, _: &Cloud) -> Answer {
    Ok(json!({}))
}
