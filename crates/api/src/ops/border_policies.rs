//! Policies of the Internet border.

use super::nat_policies::{order, put, range, scopes};
use super::policy_fields::policy;
use super::policy_shown::{page, shown_policy};
use super::{A, C, Handler, K, Q};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::service;
use crate::spec::{invalid, missing};
use control::{Cloud, Draft};
use model::{App, DomainResolve, PolicyScope};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AddControlPolicy", C(add)),
    ("DescribeControlPolicy", A(describe)),
    ("ModifyControlPolicy", C(modify)),
    ("ModifyControlPolicyPosition", C(place)),
    ("ModifyControlPolicyPriority", C(priority)),
    ("DescribePolicyPriorUsed", Q(places)),
    ("DeleteControlPolicy", C(delete)),
    ("ResetRuleHitCount", K(reset)),
    ("DescribeAclRuleCount", Q(counts)),
];

/// Both directions: leaving first.
const BOTH: [PolicyScope; 2] = [PolicyScope::BorderOut, PolicyScope::BorderIn];

fn direction(call: &Call) -> Result<Option<PolicyScope>, ApiError> {
    let word = call.word("Direction", &["in", "out"])?;
    Ok(word.map(|word| match word {
        "in" => PolicyScope::BorderIn,
        _ => PolicyScope::BorderOut,
    }))
}

/// Where the policy that a call names is.
fn scope(call: &Call, cloud: &Cloud) -> Result<PolicyScope, ApiError> {
    match direction(call)? {
        Some(scope) => Ok(scope),
        None => Ok(cloud.scope_of(call.need("AclUuid")?, &BOTH)?),
    }
}

fn add(call: &Call, draft: &mut Draft) -> Answer {
    let scope = direction(call)?.ok_or_else(|| missing("Direction"))?;
    let named = call.text("ApplicationName").is_some();
    if !named && call.list("ApplicationNameList").is_empty() {
        return Err(missing("ApplicationNameList"));
    }
    let order = order(call, "NewOrder")?;
    let policy = policy(call, draft, None)?;
    let id = draft.create_policy(&scope, order, policy)?;
    Ok(json!({"AclUuid": id}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let scope = scope(call, draft)?;
    let id = call.need("AclUuid")?;
    let (_, had) = draft.policy(&scope, id)?;
    let had = had.policy.clone();
    let policy = policy(call, draft, Some(&had))?;
    draft.modify_policy(&scope, id, policy)?;
    Ok(json!({}))
}

/// Moves the policy at a place to another.
fn place(call: &Call, draft: &mut Draft) -> Answer {
    let scope = direction(call)?.ok_or_else(|| missing("Direction"))?;
    let old = call.int("OldOrder")?.ok_or_else(|| missing("OldOrder"))?;
    let new = order(call, "NewOrder")?;
    let position = usize::try_from(old).ok().and_then(|it| it.checked_sub(1));
    let list = draft.policies.get(&scope);
    let found = position.and_then(|position| list?.get(position));
    let Some(found) = found else {
        return Err(invalid(
            "OldOrder",
            format!("There is no policy at the place {old}."),
        ));
    };
    let id = found.policy.id.clone();
    draft.move_policy(&scope, &id, new)?;
    Ok(json!({}))
}

fn priority(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("AclUuid")?;
    let scope = draft.scope_of(id, &BOTH)?;
    draft.move_policy(&scope, id, order(call, "Order")?)?;
    Ok(json!({}))
}

fn places(call: &Call, cloud: &Cloud) -> Answer {
    let scope = direction(call)?.ok_or_else(|| missing("Direction"))?;
    range(call, cloud, &scope)
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    let scope = scope(call, draft)?;
    draft.delete_policies(&scope, &[call.need("AclUuid")?])?;
    Ok(json!({}))
}

fn reset(call: &Call, draft: &mut Draft, service: &service::Cloud) -> Answer {
    let id = call.need("AclUuid")?;
    let [out, inward] = BOTH;
    let scope = draft.scope_of(id, &[out, inward, PolicyScope::Dns])?;
    if !draft.dry_run {
        service.firewalls().reset(&scope, id);
    }
    Ok(json!({}))
}

fn describe(call: &Call, service: &service::Cloud) -> Answer {
    let cloud = service.control().cloud();
    let scopes = match direction(call)? {
        Some(scope) => vec![scope],
        None => BOTH.to_vec(),
    };
    // There are none about IPv6.
    let scopes = match call.text("IpVersion") {
        Some("6") => Vec::new(),
        _ => scopes,
    };
    let page = page(call, &cloud, service, &scopes)?;
    let firewalls = service.firewalls();
    let policies = page.policies.iter().map(|(scope, n, filed, hits)| {
        let mut shown = shown_policy(&cloud, firewalls, *n, filed, *hits);
        let apps = &filed.policy.applications;
        let direction = match scope {
            PolicyScope::BorderIn => "in",
            _ => "out",
        };
        let resolve = match filed.policy.resolve {
            DomainResolve::Fqdn => "FQDN",
            DomainResolve::Dns => "DNS",
            DomainResolve::Both => "FQDN_AND_DNS",
        };
        let id = apps.first().map_or(0, |app| application_id(*app));
        put(&mut shown, "Direction", direction);
        put(&mut shown, "IpVersion", 4);
        put(&mut shown, "SpreadCnt", cloud.spread_of(&filed.policy));
        put(&mut shown, "DomainResolveType", resolve);
        put(
            &mut shown,
            "ApplicationName",
            apps.first().map_or("ANY", |it| it.name()),
        );
        put(&mut shown, "ApplicationId", id.to_string());
        Value::Object(shown)
    });
    let policies: Vec<Value> = policies.collect();
    let [count, number, size] = page.position;
    Ok(json!({
        "Policys": policies,
        "TotalCount": count.to_string(),
        "PageNo": number.to_string(),
        "PageSize": size.to_string(),
    }))
}

/// The number of an application; 0 is any.
pub(super) fn application_id(app: App) -> usize {
    let all = App::ALL.iter();
    1 + all.take_while(|it| **it != app).count()
}

fn counts(_: &Call, cloud: &Cloud) -> Answer {
    let count = |scope: &PolicyScope| cloud.policies.get(scope).map_or(0, |it| it.len());
    let nat: usize = scopes(cloud).iter().map(count).sum();
    let [out, inward] = BOTH.map(|scope| count(&scope));
    Ok(json!({
        "InternetOutAclCount": out,
        "InternetInAclCount": inward,
        "NatOutAclCount": nat,
        "NatInAclCount": 0,
        "VpcAclCount": 0,
        "TotalAclCount": out + inward + nat,
    }))
}
