//! Users.

use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, stamp};
use crate::spec::{invalid, shown};
use control::records::{Seconds, User};
use control::{Cloud, Draft, Refusal};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateUser", C(create)),
    ("GetUser", Q(get)),
    ("ListUsers", Q(list)),
    ("DeleteUser", C(delete)),
];

/// A text for people, of at most so many characters.
pub(super) fn remark(call: &Call, name: &str, longest: usize) -> Result<String, ApiError> {
    let text = call.text(name).unwrap_or_default();
    let length = text.chars().count();
    if length > longest || text.chars().any(|it| it.is_control() && it != '\n') {
        let why = format!(
            "The {name} has {length} characters: at most {longest} are allowed, no control characters."
        );
        return Err(ApiError::bad(
            format!("InvalidParameter.{name}.Length"),
            why,
        ));
    }
    Ok(text.into())
}

/// A number that no other user has or had: 18 digits.
fn number() -> Result<String, Refusal> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::internal(format!("no random numbers: {error}")))?;
    const LEAST: u64 = 100_000_000_000_000_000;
    Ok((LEAST + u64::from_be_bytes(bytes) % (9 * LEAST)).to_string())
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let user = User {
        id: call.need("UserName")?.into(),
        meta: draft.meta(
            remark(call, "DisplayName", 128)?,
            remark(call, "Comments", 128)?,
        ),
        number: number()?,
        email: remark(call, "Email", 128)?,
        mobile_phone: remark(call, "MobilePhone", 32)?,
        policies: Vec::new(),
    };
    Ok(json!({"User": view(draft.create_user(user)?)}))
}

fn view(user: &User) -> Value {
    json!({
        "UserId": user.number,
        "UserName": user.id,
        "DisplayName": user.meta.name,
        "Comments": user.meta.description,
        "Email": user.email,
        "MobilePhone": user.mobile_phone,
        "CreateDate": stamp(user.meta.created),
    })
}

/// A user as questions show it. There is nothing to be changed of it but its keys and policies.
fn full_view(user: &User) -> Value {
    crate::call::join(view(user), json!({"UpdateDate": stamp(user.meta.created)}))
}

fn get(call: &Call, cloud: &Cloud) -> Answer {
    Ok(json!({"User": full_view(cloud.user(call.need("UserName")?)?)}))
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    let (users, more) = page(call, cloud.users.iter().collect(), |it| it.id.clone())?;
    let users: Vec<Value> = users.into_iter().map(full_view).collect();
    Ok(crate::call::join(more, json!({"Users": {"User": users}})))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_user(call.need("UserName")?)?;
    Ok(json!({}))
}

/// The page of a list that a call asks for by `Marker` and `MaxItems`, and where it ends: `IsTruncated`, `Marker`.
pub(super) fn page<T>(
    call: &Call,
    mut all: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Value), ApiError> {
    let most = call.int("MaxItems")?.unwrap_or(100);
    if !(1..=1_000).contains(&most) {
        let why = format!("{most} is not between 1 and 1000.");
        return Err(invalid("MaxItems", why));
    }
    let after = call.text("Marker").unwrap_or_default();
    if after.len() > 256 {
        let why = format!("{} is no marker that was given out.", shown(after));
        return Err(invalid("Marker", why));
    }
    all.sort_by_cached_key(&key);
    all.retain(|it| after.is_empty() || &*key(it) > after);
    let truncated = all.len() > most as usize;
    all.truncate(most as usize);
    let marker = all.last().filter(|_| truncated).map(key);
    let more = json!({"IsTruncated": truncated, "Marker": marker.unwrap_or_default()});
    Ok((all, more))
}

/// When something was made; of what was always there, nothing.
pub(super) fn date(seconds: Seconds) -> String {
    match seconds {
        0 => String::new(),
        seconds => stamp(seconds),
    }
}
