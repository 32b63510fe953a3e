//! What was bought of the firewalls.

use super::nat_firewalls::{account, only_ours};
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, stamp};
use crate::service::now;
use crate::spec::{invalid, shown};
use control::records::License;
use control::{Cloud, Draft};
use model::OverCapacity;
use serde_json::json;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeUserBuyVersion", Q(bought)),
    ("DescribeFirewallLicense", Q(describe)),
    ("ModifyFirewallLicense", C(modify)),
];

/// The cloud's number for what has no fixed size.
const AS_ONE_GOES: u32 = 10;

fn bought(call: &Call, cloud: &Cloud) -> Answer {
    only_ours(call)?;
    let license = cloud.license();
    let record = cloud.licenses.get(License::ID);
    let since = record.map(|it| it.meta.created).unwrap_or_default();
    let ended = cloud.has_expired(now());
    let capacity = license.capacity.unwrap_or_default();
    // Milliseconds, unlike all other times here.
    let millis = |seconds: u64| seconds.saturating_mul(1_000);
    Ok(json!({
        "AliUid": account(),
        "InstanceId": License::ID,
        "InstanceStatus": if ended { "abnormal" } else { "normal" },
        "UserStatus": !ended,
        "Version": AS_ONE_GOES,
        "MajorVersion": 2,
        "StartTime": millis(since),
        "Expire": license.expires.map(millis).unwrap_or_default(),
        "GeneralInstance": license.firewalls,
        "NatBandwidth": capacity,
        "DefaultBandwidth": capacity,
        "InternetBandwidth": capacity,
        "IpNumber": cloud.eips.len(),
        "LogStatus": true,
        "ThreatIntelligence": 1,
    }))
}

fn describe(_: &Call, cloud: &Cloud) -> Answer {
    let license = cloud.license();
    let record = cloud.licenses.get(License::ID);
    let renewed = record.map(|it| it.renewed).filter(|it| *it > 0);
    Ok(json!({
        "Firewalls": license.firewalls,
        "FirewallsInUse": cloud.nat_firewalls.len(),
        "Capacity": license.capacity.unwrap_or_default(),
        "OverCapacity": license.over_capacity.to_string(),
        "Expires": license.expires.map(stamp).unwrap_or_default(),
        "AutoRenewDays": license.auto_renew.unwrap_or_default(),
        "Renewed": renewed.map(stamp).unwrap_or_default(),
        "HasExpired": cloud.has_expired(now()),
    }))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let mut license = draft.license();
    let number = |name: &str| -> Result<Option<u32>, ApiError> {
        let given = call.int(name)?;
        let number = given.map(|it| {
            u32::try_from(it).map_err(|_| invalid(name, format!("{it} is out of bounds.")))
        });
        number.transpose()
    };
    if let Some(firewalls) = number("Firewalls")? {
        license.firewalls = firewalls;
    }
    if let Some(capacity) = number("Capacity")? {
        license.capacity = (capacity > 0).then_some(capacity);
    }
    if let Some(days) = number("AutoRenewDays")? {
        license.auto_renew = (days > 0).then_some(days);
    }
    match call.word("OverCapacity", &["degrade", "block"])? {
        Some("block") => license.over_capacity = OverCapacity::Block,
        Some(_) => license.over_capacity = OverCapacity::Degrade,
        None => {}
    }
    // An empty one is none.
    if let Some(text) = call.params.sent("Expires") {
        license.expires = match text {
            "" | "never" => None,
            text => Some(end(text)?),
        };
    }
    let of_file = draft
        .licenses
        .get(License::ID)
        .is_some_and(|it| it.meta.of_file);
    draft.set_license(license, of_file)?;
    Ok(json!({}))
}

/// A point in time, as `2027-01-31T00:00:00Z`.
fn end(text: &str) -> Result<u64, ApiError> {
    let seconds = crate::wire::parse_time(text);
    seconds.ok_or_else(|| {
        let why = format!(
            "{} is no time such as 2027-01-31T00:00:00Z, nor never.",
            shown(text)
        );
        invalid("Expires", why)
    })
}
