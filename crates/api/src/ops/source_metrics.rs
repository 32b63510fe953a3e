//! What private addresses behind a NAT gateway do (`EcsMetric`): off until it is switched on for a gateway.

use super::Handler;
use super::Handler::Change as C;
use crate::call::{Answer, Call};
use crate::service::{Cloud, now};
use crate::spec::{invalid, shown};
use control::Draft;
use control::metering::SourceUse;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("EnableNatGatewayEcsMetric", C(enable)),
    ("DisableNatGatewayEcsMetric", C(disable)),
    ("ListNatGatewayEcsMetric", Handler::Ask(list)),
];

fn enable(call: &Call, draft: &mut Draft) -> Answer {
    switch(call, draft, true)
}

fn disable(call: &Call, draft: &mut Draft) -> Answer {
    switch(call, draft, false)
}

fn switch(call: &Call, draft: &mut Draft, on: bool) -> Answer {
    let id = call.need("NatGatewayId")?;
    draft.nat_gateway(id)?;
    if let Some(gateway) = draft.nat_gateways.get_mut(id) {
        gateway.ecs_metric = on;
    }
    Ok(json!({}))
}

/// A column.
type Column = fn(&SourceUse) -> u64;

/// What rows can be ordered by.
const KEYS: [(&str, Column); 6] = [
    ("RxBps", |it| it.bits.0),
    ("TxBps", |it| it.bits.1),
    ("RxPps", |it| it.packets.0),
    ("TxPps", |it| it.packets.1),
    ("ActiveSessionNum", |it| it.sessions),
    ("NewSessionRate", |it| it.opened),
];

fn list(call: &Call, service: &Cloud) -> Answer {
    let id = call.need("NatGatewayId")?;
    let cloud = service.control().cloud();
    cloud.nat_gateway(id)?;
    let moment = call.int("TimePoint")?;
    let moment = moment.map(|it| {
        let why = || format!("{it} is no time in seconds since 1970.");
        u64::try_from(it).map_err(|_| invalid("TimePoint", why()))
    });
    let address: Option<Ipv4Addr> = match call.text("PrivateIpAddress") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let why = format!("{} is no IPv4 address.", shown(text));
            invalid("PrivateIpAddress", why)
        })?),
    };
    let key = call.word("OrderKey", &KEYS.map(|(name, _)| name))?;
    let key = KEYS.iter().find(|(name, _)| Some(*name) == key);
    let (_, key) = key.unwrap_or(&KEYS[0]);
    let rises = call.word("OrderType", &["asc", "desc"])? == Some("asc");
    let (minute, mut rows) = service
        .metering()?
        .sources(id, moment.transpose()?, now())?;
    rows.retain(|it| address.is_none_or(|address| it.address == address));
    // In hexadecimal, so that the order of texts is that of the numbers.
    let place = |it: &SourceUse| {
        let n = if rises { key(it) } else { u64::MAX - key(it) };
        format!("{n:016x}/{:08x}", u32::from(it.address))
    };
    let (rows, next, most) = call.page_after("MaxResults", 20, 100, rows, place)?;
    let rows = rows.iter().map(|it| row(it, id, minute));
    Ok(json!({
        "MetricDataList": rows.collect::<Vec<_>>(),
        "NextToken": next,
        "MaxResults": most,
    }))
}

fn row(it: &SourceUse, gateway: &str, minute: u64) -> Value {
    json!({
        "NatGatewayId": gateway,
        "PrivateIpAddress": it.address,
        "Timestamp": minute,
        "RxBps": it.bits.0,
        "TxBps": it.bits.1,
        "RxPps": it.packets.0,
        "TxPps": it.packets.1,
        "ActiveSessionNum": it.sessions,
        "NewSessionRate": it.opened,
    })
}
