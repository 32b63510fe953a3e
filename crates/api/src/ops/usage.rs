//! What has gone by EIPs, NAT IPs and NAT gateways.

use super::Handler;
use crate::ApiError;
use crate::call::{Answer, Call, stamp};
use crate::service::{Cloud, now};
use crate::spec::{invalid, shown};
use crate::wire::parse_time;
use control::Refusal;
use control::metering::{self, MINUTES_KEPT, Metering, Of, Use};
use control::records::Seconds;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Range;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeNatGatewayUsage", Handler::Ask(gateways)),
    ("DescribeEipUsage", Handler::Ask(eips)),
    ("DescribeNatIpUsage", Handler::Ask(nat_ips)),
    ("DescribeEipMonitorData", Handler::Ask(monitor)),
];

/// The most points that one call is told.
const MAX_POINTS: u64 = 400;

const MINUTE: Seconds = 60;
const HOUR: Seconds = 3_600;
const DAY: Seconds = 24 * HOUR;

impl From<metering::Error> for ApiError {
    fn from(error: metering::Error) -> ApiError {
        ApiError::internal(format!("What was metered cannot be told: {error}."))
    }
}

fn gateways(call: &Call, service: &Cloud) -> Answer {
    let cloud = service.control().cloud();
    let ids = cloud.nat_gateways.iter().map(|it| it.id.clone());
    let (kind, code) = ("NAT gateway", "InvalidNatGatewayId.NotFound");
    usage(
        call,
        service.metering()?,
        Of::Gateway,
        ids.collect(),
        ("NatGatewayId", kind, code),
    )
}

fn eips(call: &Call, service: &Cloud) -> Answer {
    let cloud = service.control().cloud();
    let ids = cloud.eips.iter().map(|it| it.id.clone());
    let (kind, code) = ("EIP", "InvalidAllocationId.NotFound");
    usage(
        call,
        service.metering()?,
        Of::Eip,
        ids.collect(),
        ("AllocationId", kind, code),
    )
}

fn nat_ips(call: &Call, service: &Cloud) -> Answer {
    let cloud = service.control().cloud();
    let ids = cloud.nat_ips.iter().map(|it| it.id.clone());
    let (kind, code) = ("NAT IP", "ResourceNotFound.NatIp");
    usage(
        call,
        service.metering()?,
        Of::NatIp,
        ids.collect(),
        ("NatIpId", kind, code),
    )
}

/// The use of one, or of all that are or were there, by the hour or in all.
fn usage(
    call: &Call,
    metering: &Metering,
    of: Of,
    mut ids: BTreeSet<String>,
    (name, kind, code): (&'static str, &str, &'static str),
) -> Answer {
    let now = now();
    let time = hours(call, now)?;
    let total = call.word("Granularity", &["Hour", "Total"])? == Some("Total");
    ids.extend(metering.known(of, now)?);
    if let Some(id) = call.text(name) {
        if !ids.contains(id) {
            let why = format!("There is no {kind} {id:?}, and was none of which anything is kept.");
            return Err(Refusal::not_found(code, why).into());
        }
        ids = BTreeSet::from([id.to_owned()]);
    }
    let mut rows = Vec::new();
    for id in ids {
        let hours = metering.hours(of, &id, time.clone(), now)?;
        if !total {
            rows.extend(hours.into_iter().map(|(at, used)| {
                let units = used.capacity_units();
                (id.clone(), at, used, units)
            }));
            continue;
        }
        let mut sum = Use::default();
        let mut units = 0.0;
        for (_, used) in hours {
            sum.add(&used);
            units += used.capacity_units();
        }
        rows.push((id, time.start, sum, units));
    }
    let key = |(id, at, ..): &(String, Seconds, Use, f64)| format!("{id}/{at:012}");
    let (rows, next, most) = call.page_after("MaxResults", 100, 1_000, rows, key)?;
    let rows = rows.iter().map(|(id, at, used, units)| {
        let mut row = view(used, *units);
        row[name] = json!(id);
        row["StartTime"] = json!(stamp(*at));
        row
    });
    Ok(json!({
        "Usages": rows.collect::<Vec<_>>(),
        "NextToken": next,
        "MaxResults": most,
    }))
}

/// Rates in bits a second.
fn view(used: &Use, units: f64) -> Value {
    let rate = |bytes: u64| bytes.saturating_mul(8) / MINUTE;
    let amounts = &used.amounts;
    json!({
        "PacketsIn": amounts.packets_in,
        "BytesIn": amounts.bytes_in,
        "PacketsOut": amounts.packets_out,
        "BytesOut": amounts.bytes_out,
        "NewSessions": amounts.opened,
        "PeakSessions": used.peak_sessions,
        "PeakBpsIn": rate(used.peak_in),
        "PeakBpsOut": rate(used.peak_out),
        "PeakBps": rate(used.peak_both),
        "PeakNewSessionRate": used.peak_opened as f64 / MINUTE as f64,
        "CapacityUnits": units,
    })
}

/// The hours that are asked for: from the one of `StartTime` on, a day ago if it is left out, to the one before
/// `EndTime`.
fn hours(call: &Call, now: Seconds) -> Result<Range<Seconds>, ApiError> {
    let end = moment(call, "EndTime")?.unwrap_or(now + 1);
    let start = moment(call, "StartTime")?.unwrap_or(end.saturating_sub(DAY));
    if start >= end {
        let why = format!("{} is not before the end.", stamp(start));
        return Err(invalid("StartTime", why));
    }
    Ok(start / HOUR * HOUR..end)
}

/// A point in time, if it is given.
fn moment(call: &Call, name: &'static str) -> Result<Option<Seconds>, ApiError> {
    let Some(text) = call.text(name) else {
        return Ok(None);
    };
    let at = parse_time(text).map(Some);
    at.ok_or_else(|| {
        let code = match name {
            "StartTime" => "InvalidStartTime.Malformed",
            _ => "InvalidEndTime.Malformed",
        };
        let why = format!(
            "The specified parameter \"{name}\" is not valid: {} is not like 2026-11-21T19:08:37Z.",
            shown(text)
        );
        ApiError::bad(code, why)
    })
}

/// What has gone by an EIP in each period.
fn monitor(call: &Call, service: &Cloud) -> Answer {
    let cloud = service.control().cloud();
    let metering = service.metering()?;
    let eip = cloud.eip(call.need("AllocationId")?)?;
    let now = now();
    let period = match call.int("Period")?.unwrap_or(60) {
        period @ (60 | 300 | 900 | 3_600) => period.cast_unsigned(),
        other => {
            let why = format!("{other} is none of 60, 300, 900, 3600.");
            return Err(ApiError::bad("InvalidPeriod.ValueNotSupported", why));
        }
    };
    let minute = |at: Seconds| at.div_ceil(MINUTE) * MINUTE;
    let start = minute(moment(call, "StartTime")?.unwrap_or(0));
    let end = minute(moment(call, "EndTime")?.unwrap_or(now));
    if start >= end {
        let why = format!("{} is not before the end.", stamp(start));
        return Err(ApiError::bad("InvalidStartTime.ValueNotSupported", why));
    }
    if (end - start).div_ceil(period) > MAX_POINTS {
        let why = format!(
            "monitor parameter too many data required: there would be {} periods, at most {MAX_POINTS} are told.",
            (end - start).div_ceil(period)
        );
        return Err(ApiError::bad("InvalidParameter.TooMany", why));
    }
    if start + MINUTES_KEPT < now {
        let why = format!("{} is more than 30 days ago.", stamp(start));
        return Err(ApiError::bad("InvalidStartTime.TooEarly", why));
    }
    let known = metering.periods(&eip.id, start..end, period, now)?;
    // Periods that have begun since there is the EIP.
    let since = eip.meta.created.saturating_sub(period);
    let points = (start..end)
        .step_by(period as usize)
        .take_while(|at| *at <= now)
        .filter(|at| *at > since || known.contains_key(at))
        .map(|at| {
            let it = known.get(&at).copied().unwrap_or_default();
            json!({
                "EipRX": it.bytes_in,
                "EipTX": it.bytes_out,
                "EipFlow": it.bytes(),
                "EipPackets": it.packets_in.saturating_add(it.packets_out),
                "EipBandwidth": it.bytes() / period,
                "TimeStamp": stamp(at),
            })
        });
    Ok(json!({"EipMonitorDatas": {"EipMonitorData": points.collect::<Vec<_>>()}}))
}
