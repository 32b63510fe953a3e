//! What the operations of ECS have in common.

use crate::ApiError;
use crate::call::Call;
use crate::spec::{invalid, missing};
use control::eni::Secondary;
use control::records::{Eip, Eni, Seconds};
use control::{Cloud, names};
use model::{Driver, Id};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// Cuts the page out of a list that the call asks for, by `NextToken` and `MaxResults` or, if it gives neither,
/// by `PageNumber` and `PageSize`, and says where it is from.
pub(super) fn page<T>(
    call: &Call,
    all: Vec<T>,
    largest: i64,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Value), ApiError> {
    if call.text("MaxResults").is_none() && call.text("NextToken").is_none() {
        return call.page(all, largest);
    }
    let total = all.len();
    let (page, next, size) = call.page_after("MaxResults", 10, largest, all, key)?;
    let position = json!({"TotalCount": total, "PageSize": size, "NextToken": next});
    Ok((page, position))
}

/// A name of 2 to 128 characters, if it is given.
pub(super) fn name(
    call: &Call,
    parameter: &str,
    code: &'static str,
) -> Result<Option<String>, ApiError> {
    let checked = call
        .text(parameter)
        .map(|text| names::name(text, 2, code).map_err(ApiError::from));
    checked.transpose()
}

/// A description, if it was sent: an empty one clears it.
pub(super) fn description(
    call: &Call,
    parameter: &str,
    code: &'static str,
) -> Result<Option<String>, ApiError> {
    let checked = call
        .params
        .sent(parameter)
        .map(|text| names::description(text, code).map_err(ApiError::from));
    checked.transpose()
}

/// The security groups in one of two parameters, of which one at most may be given.
pub(super) fn groups(call: &Call, one: &str, several: &str) -> Result<Vec<Id>, ApiError> {
    let list = call.list(several);
    match call.text(one) {
        Some(_) if !list.is_empty() => {
            let why = format!("Give {one} or {several}, not both.");
            Err(invalid(several, why))
        }
        Some(one) => Ok(vec![one.to_owned()]),
        None => Ok(list.into_iter().map(str::to_owned).collect()),
    }
}

/// Addresses in a list, or how many there are to be, of which one at most may be given.
pub(super) fn secondary(call: &Call, list: &str, count: &str) -> Result<Secondary, ApiError> {
    let these = addresses(call, list)?;
    match call.int(count)? {
        None => Ok(Secondary::These(these)),
        Some(_) if !these.is_empty() => {
            Err(invalid(count, format!("Give {list} or {count}, not both.")))
        }
        Some(number) => match usize::try_from(number) {
            Ok(number) => Ok(Secondary::Count(number)),
            Err(_) => Err(invalid(count, format!("{number} is less than 0."))),
        },
    }
}

/// A list of IPv4 addresses.
pub(super) fn addresses(call: &Call, parameter: &str) -> Result<Vec<Ipv4Addr>, ApiError> {
    let list = call.list(parameter).into_iter();
    let parsed = list.map(|text| {
        let wrong = |_| invalid(parameter, format!("{text:?} is not an IPv4 address."));
        text.parse().map_err(wrong)
    });
    parsed.collect()
}

/// How an interface is brought to Linux: `Driver` is `netns`, which is the default, or `device`; `Device` names an
/// interface that exists and is enough to say so. The cloud does not have these parameters.
pub(super) fn driver(call: &Call) -> Result<Driver, ApiError> {
    let device = call.text("Device");
    match (call.word("Driver", &["netns", "device"])?, device) {
        (None | Some("device"), Some(device)) => Ok(Driver::Device {
            device: device.to_owned(),
        }),
        (Some("device"), None) => Err(missing("Device")),
        (_, None) => Ok(Driver::Netns),
        (_, Some(_)) => Err(invalid("Device", "It is only for Driver=device.")),
    }
}

/// IPv6 is not there yet: parameters that ask for it are refused, not passed over.
pub(super) fn no_ipv6(call: &Call, names: &[&str]) -> Result<(), ApiError> {
    let asked = names
        .iter()
        .find(|name| !call.list(name).is_empty() && call.text(name) != Some("0"));
    match asked {
        Some(name) => Err(invalid(name, "IPv6 is not supported yet.")),
        None => Ok(()),
    }
}

/// What the API shows of an interface's Linux side: driver and device.
pub(super) fn driver_view(eni: &Eni) -> (&'static str, &str) {
    match &eni.driver {
        Driver::Netns => ("netns", ""),
        Driver::Device { device } => ("device", device),
    }
}

/// All private addresses of an interface, the primary one first.
pub(super) fn private_addresses(eni: &Eni) -> Vec<String> {
    let all = std::iter::once(&eni.address).chain(&eni.secondary);
    all.map(ToString::to_string).collect()
}

/// The EIP of an instance.
pub(super) fn eip_view(eip: Option<&Eip>) -> Value {
    match eip {
        None => json!({}),
        Some(eip) => json!({
            "AllocationId": eip.id,
            "IpAddress": eip.address.to_string(),
            "Bandwidth": eip.bandwidth.unwrap_or_default(),
            "InternetChargeType": eip.internet_charge_type,
        }),
    }
}

/// A point in time as ECS writes it of instances, to the minute: `2026-11-21T19:08Z`. Never: empty.
pub(super) fn minute(seconds: Seconds) -> String {
    let stamp = crate::call::stamp(seconds);
    match stamp.get(..16) {
        Some(minute) if seconds > 0 => format!("{minute}Z"),
        _ => String::new(),
    }
}

/// The MAC address of an interface; empty if it is a device's own.
pub(super) fn mac_view(cloud: &Cloud, eni: &Eni) -> String {
    let mac = cloud.mac(eni).map(|mac| mac.map(|it| format!("{it:02x}")));
    mac.map(|it| it.join(":")).unwrap_or_default()
}
