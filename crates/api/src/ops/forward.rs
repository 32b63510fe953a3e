//! DNAT entries, which the API calls forward entries.

use super::vpc::in_region;
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join};
use crate::spec::shown;
use control::dnat::{DnatChange, NewDnatEntry};
use control::records::{DnatEntry, NatGateway};
use control::{Cloud, Draft};
use model::DnatMapping;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateForwardEntry", C(create)),
    ("DescribeForwardTableEntries", Q(describe)),
    ("ModifyForwardEntry", C(modify)),
    ("DeleteForwardEntry", C(delete)),
];

const PROTOCOLS: [(&str, u8); 2] = [("TCP", 6), ("UDP", 17)];

/// An address, if it is given.
fn address(call: &Call, name: &str) -> Result<Option<Ipv4Addr>, ApiError> {
    let Some(text) = call.text(name) else {
        return Ok(None);
    };
    let wrong = |_| {
        let why = format!("{} is not an IPv4 address.", shown(text));
        ApiError::bad(format!("Invalid{name}.Malformed"), why)
    };
    text.parse().map(Some).map_err(wrong)
}

/// One port, or a range such as `10/20`.
fn ports(name: &str, text: &str) -> Result<RangeInclusive<u16>, ApiError> {
    let (first, last) = text.split_once('/').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if 1 <= first && first <= last => Ok(first..=last),
        _ => {
            let why = format!(
                "{} is neither a port (1 to 65535) nor a range such as 10/20.",
                shown(text)
            );
            Err(ApiError::bad(format!("Invalid{name}.Malformed"), why))
        }
    }
}

/// What is mapped by a protocol and the ports on both sides.
fn mapping(protocol: &str, external: &str, internal: &str) -> Result<DnatMapping, ApiError> {
    let any = |text: &str| text.eq_ignore_ascii_case("Any");
    if any(protocol) {
        for (name, text) in [("ExternalPort", external), ("InternalPort", internal)] {
            if !any(text) {
                let why = format!(
                    "With the protocol Any the port is Any, not {}.",
                    shown(text)
                );
                return Err(ApiError::bad(format!("Invalid{name}.Malformed"), why));
            }
        }
        return Ok(DnatMapping::Any);
    }
    let known = PROTOCOLS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(protocol));
    let Some((_, protocol)) = known else {
        let why = format!("{} is none of TCP, UDP, Any.", shown(protocol));
        return Err(ApiError::bad("InvalidProtocal.ValueNotSupported", why));
    };
    let external = ports("ExternalPort", external)?;
    let internal = ports("InternalPort", internal)?;
    if external.len() != internal.len() {
        let why = format!(
            "There are {} external and {} internal ports: there must be as many.",
            external.len(),
            internal.len()
        );
        return Err(ApiError::bad("InvalidInternalPort.Malformed", why));
    }
    Ok(DnatMapping::Ports {
        protocol: *protocol,
        external,
        internal: *internal.start(),
    })
}

/// The allocator never gives SNAT a port of a DNAT entry, so `PortBreak` is not needed: it is checked, and that is
/// all.
fn port_break(call: &Call) -> Result<(), ApiError> {
    call.flag("PortBreak").map(|_| ())
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    port_break(call)?;
    let protocol = call.need("IpProtocol")?;
    let need = |name| {
        let address = address(call, name)?;
        address.ok_or_else(|| crate::spec::missing(name))
    };
    let new = NewDnatEntry {
        meta: draft.meta(call.name("ForwardEntryName", 2)?.unwrap_or_default(), ""),
        table: call.need("ForwardTableId")?.into(),
        external: need("ExternalIp")?,
        internal: need("InternalIp")?,
        mapping: mapping(
            protocol,
            call.need("ExternalPort")?,
            call.need("InternalPort")?,
        )?,
        protocol: protocol.into(),
    };
    Ok(json!({"ForwardEntryId": draft.create_dnat_entry(new)?.id}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    port_break(call)?;
    let (table, id) = (call.need("ForwardTableId")?, call.need("ForwardEntryId")?);
    let had = draft.dnat_entry(table, id)?;
    let named = ["IpProtocol", "ExternalPort", "InternalPort"];
    let mapping = match named.iter().any(|name| call.text(name).is_some()) {
        true => {
            let (external, internal) = port_texts(had);
            let protocol = call.text("IpProtocol").unwrap_or(protocol(had));
            let external = call.text("ExternalPort").unwrap_or(&external);
            let internal = call.text("InternalPort").unwrap_or(&internal);
            Some((mapping(protocol, external, internal)?, protocol.to_owned()))
        }
        false => None,
    };
    let change = DnatChange {
        name: call.name("ForwardEntryName", 2)?,
        external: address(call, "ExternalIp")?,
        internal: address(call, "InternalIp")?,
        mapping,
    };
    draft.modify_dnat_entry(table, id, change)?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_dnat_entry(call.need("ForwardTableId")?, call.need("ForwardEntryId")?)?;
    Ok(json!({}))
}

/// The protocol as its maker wrote it; a configuration file writes it as the cloud does.
fn protocol(entry: &DnatEntry) -> &str {
    if !entry.protocol.is_empty() {
        return &entry.protocol;
    }
    match entry.mapping {
        DnatMapping::Any => "Any",
        DnatMapping::Ports { protocol, .. } => {
            let known = PROTOCOLS.iter().find(|(_, number)| *number == protocol);
            known.map(|(name, _)| *name).unwrap_or_default()
        }
    }
}

/// External and internal ports. Those of an IP mapping are written as its protocol is: clients that write `any`
/// want to read `any`.
fn port_texts(entry: &DnatEntry) -> (String, String) {
    let text = |ports: Option<RangeInclusive<u16>>| match ports {
        None => protocol(entry).to_owned(),
        Some(ports) if ports.start() == ports.end() => ports.start().to_string(),
        Some(ports) => format!("{}/{}", ports.start(), ports.end()),
    };
    (
        text(entry.mapping.external_ports()),
        text(entry.mapping.internal_ports()),
    )
}

/// An entry as the API shows it.
struct Shown<'a> {
    entry: &'a DnatEntry,
    gateway: &'a NatGateway,
    external: String,
    external_port: String,
    internal_port: String,
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    if let Some(table) = call.text("ForwardTableId") {
        cloud.gateway_of_forward_table(table)?;
    }
    if let Some(gateway) = call.text("NatGatewayId") {
        cloud.nat_gateway(gateway)?;
    }
    let found = cloud.dnat.iter().filter_map(|entry| {
        let gateway = cloud.nat_gateways.get(&entry.gateway)?;
        let vpc = cloud.vpcs.get(&gateway.vpc)?;
        let (external_port, internal_port) = port_texts(entry);
        let shown = Shown {
            entry,
            gateway,
            external: cloud.outer_address(gateway, &entry.eip)?.to_string(),
            external_port,
            internal_port,
        };
        let word = |name, is: &str| {
            let wanted = call.text(name);
            wanted.is_none_or(|it| it.eq_ignore_ascii_case(is))
        };
        let fits = call.is("ForwardTableId", &gateway.forward_table)
            && call.is("NatGatewayId", &gateway.id)
            && call.is_one("ForwardEntryId", &entry.id)
            && call.is("ForwardEntryName", &entry.meta.name)
            && call.is("ExternalIp", &shown.external)
            && call.is("InternalIp", &entry.internal.to_string())
            && word("ExternalPort", &shown.external_port)
            && word("InternalPort", &shown.internal_port)
            && word("IpProtocol", protocol(entry))
            && in_region(call, vpc);
        fits.then_some(shown)
    });
    let (page, position) = call.page(found.collect(), 50)?;
    let page = page.iter().map(|shown| {
        json!({
            "ForwardEntryId": shown.entry.id,
            "ForwardEntryName": shown.entry.meta.name,
            "ForwardTableId": shown.gateway.forward_table,
            "NatGatewayId": shown.gateway.id,
            "ExternalIp": shown.external,
            "ExternalPort": shown.external_port,
            "InternalIp": shown.entry.internal,
            "InternalPort": shown.internal_port,
            "IpProtocol": protocol(shown.entry),
            "Status": "Available",
        })
    });
    let page: Vec<Value> = page.collect();
    Ok(join(
        position,
        json!({"ForwardTableEntries": {"ForwardTableEntry": page}}),
    ))
}
