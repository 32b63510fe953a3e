//! SNAT entries.

use super::vpc::in_region;
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp};
use crate::service::{now, one_of};
use crate::spec::{invalid, missing, shown};
use control::records::{NatGateway, SnatEntry, SnatSource};
use control::snat::{NewSnatEntry, SnatChange};
use control::{Cloud, Draft};
use model::{Drain, Pooling};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateSnatEntry", C(create)),
    ("DescribeSnatTableEntries", Q(describe)),
    ("ModifySnatEntry", C(modify)),
    ("DeleteSnatEntry", C(delete)),
];

/// The addresses of a comma-separated list, if it is given.
fn addresses(call: &Call) -> Result<Option<Vec<Ipv4Addr>>, ApiError> {
    if call.text("NetworkInterfaceId").is_some() {
        let why = "Addresses of network interfaces are not supported: give SnatIp.";
        return Err(invalid("NetworkInterfaceId", why));
    }
    let Some(text) = call.text("SnatIp") else {
        return Ok(None);
    };
    let parse = |text: &str| {
        let wrong = |_| {
            let why = format!("{} is not an IPv4 address.", shown(text));
            ApiError::bad("InvalidSnatIp.Malformed", why)
        };
        text.trim().parse().map_err(wrong)
    };
    text.split(',')
        .map(parse)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// How an entry picks among its EIPs: `EipAffinity` as the cloud has it, or `Pooling`, which knows one way more.
fn pooling(call: &Call) -> Result<Option<Pooling>, ApiError> {
    let affinity = match call.int("EipAffinity")? {
        None => None,
        Some(0) => Some(Pooling::Hash),
        Some(1) => Some(Pooling::Affinity),
        Some(other) => {
            let why = format!("{other} is neither 0 nor 1.");
            return Err(invalid("EipAffinity", why));
        }
    };
    let pooling = match call.word("Pooling", &["Hash", "Affinity", "Paired"])? {
        None => None,
        Some("Hash") => Some(Pooling::Hash),
        Some("Affinity") => Some(Pooling::Affinity),
        Some(_) => Some(Pooling::Paired),
    };
    match (affinity, pooling) {
        (Some(_), Some(_)) => {
            let why = "Give EipAffinity or Pooling, not both.";
            Err(invalid("Pooling", why))
        }
        (affinity, pooling) => Ok(affinity.or(pooling)),
    }
}

/// How long sessions drain, if it is given.
pub(super) fn drain(call: &Call) -> Result<Option<Duration>, ApiError> {
    let Some(seconds) = call.int("DrainSeconds")? else {
        return Ok(None);
    };
    let bounds = model::limits::DRAIN;
    match u64::try_from(seconds) {
        Ok(seconds) if bounds.contains(&seconds) => Ok(Some(Duration::from_secs(seconds))),
        _ => {
            let why = format!("{seconds} is not between 0 and {} seconds.", bounds.end());
            Err(invalid("DrainSeconds", why))
        }
    }
}

/// Exactly one source.
fn source(call: &Call) -> Result<SnatSource, ApiError> {
    let (_, vswitch) = one_of(call, "SourceCIDR", "SourceVSwitchId")?;
    if let Some(vswitch) = vswitch {
        return Ok(SnatSource::VSwitch(vswitch.into()));
    }
    let cidr = call.cidr("SourceCIDR")?;
    let cidr = cidr.ok_or_else(|| missing("SourceCIDR"))?;
    Ok(SnatSource::Cidr(cidr))
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let new = NewSnatEntry {
        meta: draft.meta(call.name("SnatEntryName", 2)?.unwrap_or_default(), ""),
        table: call.need("SnatTableId")?.into(),
        source: source(call)?,
        addresses: addresses(call)?.ok_or_else(|| missing("SnatIp"))?,
        pooling: pooling(call)?.unwrap_or_default(),
    };
    Ok(json!({"SnatEntryId": draft.create_snat_entry(new)?.id}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let given = |name| call.text(name).is_some();
    let source = match given("SourceCIDR") || given("SourceVSwitchId") {
        true => Some(source(call)?),
        false => None,
    };
    let change = SnatChange {
        name: call.name("SnatEntryName", 2)?,
        source,
        addresses: addresses(call)?,
        pooling: pooling(call)?,
        drain: drain(call)?,
    };
    draft.modify_snat_entry(call.need("SnatTableId")?, call.need("SnatEntryId")?, change)?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_snat_entry(call.need("SnatTableId")?, call.need("SnatEntryId")?)?;
    Ok(json!({}))
}

/// An entry as the API shows it.
struct Shown<'a> {
    entry: &'a SnatEntry,
    gateway: &'a NatGateway,
    cidr: String,
    addresses: Vec<String>,
}

impl Shown<'_> {
    fn vswitch(&self) -> &str {
        match &self.entry.source {
            SnatSource::VSwitch(id) => id,
            SnatSource::Cidr(_) => "",
        }
    }
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    if let Some(table) = call.text("SnatTableId") {
        cloud.gateway_of_snat_table(table)?;
    }
    if let Some(gateway) = call.text("NatGatewayId") {
        cloud.nat_gateway(gateway)?;
    }
    // No entry takes addresses of network interfaces.
    let of_interfaces = !call.list("NetworkInterfaceIds").is_empty();
    let made = cloud.nat_firewalls.iter();
    let made: Vec<SnatEntry> = made.flat_map(|it| cloud.shown_snat(it)).collect();
    let found = cloud.snat.iter().chain(&made).filter_map(|entry| {
        let gateway = cloud.nat_gateways.get(&entry.gateway)?;
        let vpc = cloud.vpcs.get(&gateway.vpc)?;
        let eips = entry.eips.iter();
        let addresses = eips.filter_map(|id| cloud.outer_address(gateway, id));
        let shown = Shown {
            entry,
            gateway,
            cidr: cloud.source_block(&entry.source)?.to_string(),
            addresses: addresses.map(|it| it.to_string()).collect(),
        };
        let by_address = |wanted: &str| {
            let mut wanted = wanted.split(',').map(str::trim);
            wanted.any(|wanted| shown.addresses.iter().any(|it| it == wanted))
        };
        let fits = !of_interfaces
            && call.is("SnatTableId", &gateway.snat_table)
            && call.is("NatGatewayId", &gateway.id)
            && call.is_one("SnatEntryId", &entry.id)
            && call.is("SnatEntryName", &entry.meta.name)
            && call.is("SourceCIDR", &shown.cidr)
            && call.is("SourceVSwitchId", shown.vswitch())
            && call.text("SnatIp").is_none_or(by_address)
            && in_region(call, vpc);
        fits.then_some(shown)
    });
    let (page, position) = call.page(found.collect(), 50)?;
    let page = page.iter().map(|shown| {
        let entry = shown.entry;
        let (affinity, pooling) = match entry.pooling {
            Pooling::Hash => ("0", "Hash"),
            Pooling::Affinity => ("1", "Affinity"),
            Pooling::Paired => ("1", "Paired"),
        };
        json!({
            "SnatEntryId": entry.id,
            "SnatEntryName": entry.meta.name,
            "SnatTableId": shown.gateway.snat_table,
            "NatGatewayId": shown.gateway.id,
            "SourceCIDR": shown.cidr,
            "SourceVSwitchId": shown.vswitch(),
            "SnatIp": shown.addresses.join(","),
            "EipAffinity": affinity,
            "Pooling": pooling,
            "Drains": {"Drain": drains(cloud, shown)},
            "Status": "Available",
        })
    });
    let page: Vec<Value> = page.collect();
    Ok(join(
        position,
        json!({"SnatTableEntries": {"SnatTableEntry": page}}),
    ))
}

/// What an entry does not cover any more, and lets go on.
fn drains(cloud: &Cloud, shown: &Shown) -> Vec<Value> {
    let now = now();
    let drains = shown.entry.drains.iter().filter(|it| it.until > now);
    let view = |drain: &Drain| {
        let eips = drain.eips.iter();
        let addresses = eips.filter_map(|id| cloud.outer_address(shown.gateway, id));
        let addresses: Vec<String> = addresses.map(|it| it.to_string()).collect();
        json!({
            "SourceCIDR": drain.source,
            "SnatIp": addresses.join(","),
            "EndTime": stamp(drain.until),
        })
    };
    drains.map(view).collect()
}
