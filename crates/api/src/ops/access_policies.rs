//! Access policies, and whom they are attached to.

use super::users::{date, page, remark};
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp};
use control::access::{Policy, builtin};
use control::records::{AccessPolicy, User};
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreatePolicy", C(create)),
    ("GetPolicy", Q(get)),
    ("ListPolicies", Q(list)),
    ("DeletePolicy", C(delete)),
    ("AttachPolicyToUser", C(attach)),
    ("DetachPolicyFromUser", C(detach)),
    ("ListPoliciesForUser", Q(list_of_user)),
    ("ListEntitiesForPolicy", Q(list_users)),
];

/// Policies have one version here.
const VERSION: &str = "v1";

/// Whether a call is about the policies that are always there (`System`), if it says.
fn builtin(call: &Call) -> Result<Option<bool>, ApiError> {
    let kind = call
        .word("PolicyType", &["System", "Custom"])
        .map_err(|error| ApiError::bad("InvalidParameter.PolicyType", error.message))?;
    Ok(kind.map(|it| it == "System"))
}

/// The policy that a call names.
fn named<'a>(call: &Call, cloud: &'a Cloud) -> Result<Policy<'a>, ApiError> {
    let builtin = builtin(call)?.unwrap_or(false);
    Ok(cloud.access_policy(builtin, call.need("PolicyName")?)?)
}

fn kind(policy: Policy) -> &'static str {
    match policy.is_builtin() {
        true => "System",
        false => "Custom",
    }
}

fn view(policy: Policy) -> Value {
    json!({
        "PolicyName": policy.name(),
        "PolicyType": kind(policy),
        "Description": policy.description(),
        "DefaultVersion": VERSION,
    })
}

fn full_view(cloud: &Cloud, policy: Policy) -> Value {
    let more = json!({
        "AttachmentCount": cloud.users_of(policy).count(),
        "CreateDate": date(policy.created()),
        "UpdateDate": date(policy.created()),
    });
    join(view(policy), more)
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let policy = AccessPolicy {
        id: call.need("PolicyName")?.into(),
        meta: draft.meta("", remark(call, "Description", 1_024)?),
        document: call.need("PolicyDocument")?.into(),
    };
    draft.create_access_policy(policy.clone())?;
    let created = json!({"CreateDate": stamp(draft.now)});
    Ok(json!({"Policy": join(view(Policy::Custom(&policy)), created)}))
}

fn get(call: &Call, cloud: &Cloud) -> Answer {
    let policy = named(call, cloud)?;
    let document = json!({"PolicyDocument": policy.document()});
    let version = json!({
        "VersionId": VERSION,
        "IsDefaultVersion": true,
        "CreateDate": date(policy.created()),
        "PolicyDocument": policy.document(),
    });
    Ok(json!({
        "Policy": join(full_view(cloud, policy), document),
        "DefaultPolicyVersion": version,
    }))
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    let wanted = builtin(call)?;
    let system = builtin::ALL.iter().map(Policy::Builtin);
    let all = system.chain(cloud.access_policies.iter().map(Policy::Custom));
    let all = all.filter(|it| wanted.is_none_or(|wanted| wanted == it.is_builtin()));
    let (policies, more) = page(call, all.collect(), |it| it.name().to_owned())?;
    let policies = policies.into_iter().map(|it| full_view(cloud, it));
    let policies: Vec<Value> = policies.collect();
    Ok(join(more, json!({"Policies": {"Policy": policies}})))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    let detach = call.flag("CascadingDelete")? == Some(true);
    draft.delete_access_policy(call.need("PolicyName")?, detach)?;
    Ok(json!({}))
}

fn attach(call: &Call, draft: &mut Draft) -> Answer {
    let builtin = builtin(call)?.unwrap_or(false);
    draft.attach_policy(call.need("UserName")?, builtin, call.need("PolicyName")?)?;
    Ok(json!({}))
}

fn detach(call: &Call, draft: &mut Draft) -> Answer {
    let builtin = builtin(call)?.unwrap_or(false);
    draft.detach_policy(call.need("UserName")?, builtin, call.need("PolicyName")?)?;
    Ok(json!({}))
}

fn list_of_user(call: &Call, cloud: &Cloud) -> Answer {
    let user = cloud.user(call.need("UserName")?)?;
    let policies = user.policies.iter().filter_map(|it| {
        let policy = cloud.access_policy(it.builtin, &it.policy).ok()?;
        Some(join(
            view(policy),
            json!({"AttachDate": stamp(it.attached)}),
        ))
    });
    Ok(json!({"Policies": {"Policy": policies.collect::<Vec<_>>()}}))
}

fn list_users(call: &Call, cloud: &Cloud) -> Answer {
    let policy = named(call, cloud)?;
    let users = cloud.users_of(policy).map(|user: &User| {
        json!({
            "UserId": user.number,
            "UserName": user.id,
            "DisplayName": user.meta.name,
            "AttachDate": user.attachment(policy).map(|it| stamp(it.attached)),
        })
    });
    Ok(json!({"Users": {"User": users.collect::<Vec<_>>()}}))
}
