//! Access keys. Calls that name no user are about the caller's own keys.

use super::{C, Handler, Q};
use crate::ApiError;
use crate::Principal;
use crate::call::{Answer, Call, stamp};
use crate::keys::Sealer;
use control::records::AccessKey;
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateAccessKey", Handler::Seal(create)),
    ("ListAccessKeys", Q(list)),
    ("UpdateAccessKey", C(update)),
    ("DeleteAccessKey", C(delete)),
];

/// Whose keys a call is about: a user's name, or empty for the account.
fn owner<'a>(call: &Call<'a>, cloud: &'a Cloud) -> Result<&'a str, ApiError> {
    match (call.text("UserName"), &call.caller.principal) {
        (Some(name), _) => Ok(&cloud.user(name)?.id),
        (None, Principal::Local { .. }) => Ok(""),
        (None, Principal::Key(id)) => {
            let own = cloud.access_keys.get(id);
            let gone = || {
                let why = "Specified access key is not found.";
                ApiError::not_found("InvalidAccessKeyId.NotFound", why)
            };
            own.map(|it| &*it.user).ok_or_else(gone)
        }
    }
}

fn status(enabled: bool) -> &'static str {
    match enabled {
        true => "Active",
        false => "Inactive",
    }
}

fn view(key: &AccessKey) -> Value {
    json!({
        "AccessKeyId": key.id,
        "Status": status(key.enabled),
        "CreateDate": stamp(key.meta.created),
    })
}

fn create(call: &Call, draft: &mut Draft, sealer: &Sealer) -> Answer {
    let owner = owner(call, draft)?.to_owned();
    let (id, secret) = sealer.create(draft, &owner)?;
    Ok(json!({"AccessKey": {
        "AccessKeyId": id,
        "AccessKeySecret": secret,
        "Status": status(true),
        "CreateDate": stamp(draft.now),
    }}))
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    let keys = cloud.keys_of(owner(call, cloud)?).map(view);
    Ok(json!({"AccessKeys": {"AccessKey": keys.collect::<Vec<_>>()}}))
}

fn update(call: &Call, draft: &mut Draft) -> Answer {
    let owner = owner(call, draft)?.to_owned();
    let status = call.word("Status", &["Active", "Inactive"])?;
    let id = call.need("UserAccessKeyId")?;
    draft.enable_access_key(&owner, id, status == Some("Active"))?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    let owner = owner(call, draft)?.to_owned();
    draft.delete_access_key(&owner, call.need("UserAccessKeyId")?)?;
    Ok(json!({}))
}
