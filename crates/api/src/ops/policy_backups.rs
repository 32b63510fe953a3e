//! Backups of policies.

use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::spec::{invalid, shown};
use control::records::Seconds;
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AddAclBackupData", C(add)),
    ("DescribeAclBackupList", Q(list)),
    ("UseAclBackupData", C(restore)),
    ("DeleteAclBackupData", C(delete)),
];

/// The time that a backup is known by, in seconds since 1970.
fn time(call: &Call) -> Result<Seconds, ApiError> {
    let text = call.need("BackUpTime")?;
    let wrong = |_| {
        let why = format!("{} is no time in seconds since 1970.", shown(text));
        invalid("BackUpTime", why)
    };
    text.parse().map_err(wrong)
}

fn add(call: &Call, draft: &mut Draft) -> Answer {
    let about = super::policy_fields::description(call.text("Description").unwrap_or_default())?;
    draft.create_policy_backup(time(call)?, &about)?;
    Ok(json!({}))
}

fn restore(call: &Call, draft: &mut Draft) -> Answer {
    draft.use_policy_backup(time(call)?)?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_policy_backup(time(call)?)?;
    Ok(json!({}))
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    let backups = cloud.backups.iter().rev().map(|backup| {
        json!({
            "BackUpTime": backup.id.parse::<Seconds>().unwrap_or(0),
            "Description": backup.description,
            "AclCount": backup.count,
        })
    });
    let backups: Vec<Value> = backups.collect();
    let (page, [count, ..]) = call.page_of("CurrentPage", backups, 50)?;
    Ok(json!({"Backups": page, "TotalCount": count}))
}
