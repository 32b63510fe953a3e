//! How many there may be of what, and how many there are.

use super::{Handler, Q};
use crate::call::{Answer, Call};
use control::Cloud;
use control::quota::{self, Quota};
use serde_json::json;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[("DescribeQuotas", Q(describe))];

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let quotas = Quota::ALL
        .into_iter()
        .filter(|it| call.is("Name", it.name()));
    let quotas = quotas.map(|quota| {
        let used = cloud.used(quota);
        json!({
            "Name": quota.name(),
            "Description": quota::what(quota),
            "Code": quota::code(quota),
            "Limit": cloud.limit(quota),
            "DefaultLimit": quota.default_limit(),
            "CloudLimit": quota.cloud_limit(),
            "Used": used.count,
            "UsedBy": used.of.unwrap_or_default(),
        })
    });
    Ok(json!({"Quotas": quotas.collect::<Vec<_>>()}))
}
