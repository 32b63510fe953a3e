//! Who calls: of the product Sts the one operation that needs no temporary credentials.

use super::{Handler, Q};
use crate::Principal;
use crate::call::{Answer, Call};
use control::Cloud;
use control::access::{ACCOUNT, Arn};
use serde_json::json;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[("GetCallerIdentity", Q(identity))];

fn identity(call: &Call, cloud: &Cloud) -> Answer {
    let user = match &call.caller.principal {
        Principal::Key(id) => cloud.access_keys.get(id).map(|it| &*it.user),
        Principal::Local { .. } => None,
    };
    let user = user.and_then(|user| cloud.users.get(user));
    let (kind, arn, number) = match user {
        Some(user) => {
            let arn = Arn::new("ram", "", "user", &*user.id);
            ("RAMUser", arn.to_string(), &*user.number)
        }
        None => ("Account", format!("acs:ram::{ACCOUNT}:root"), ACCOUNT),
    };
    Ok(json!({
        "AccountId": ACCOUNT,
        "IdentityType": kind,
        "Arn": arn,
        "PrincipalId": number,
        "UserId": number,
    }))
}
