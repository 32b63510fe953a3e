//! Policies of NAT firewalls.

use super::policy_fields::policy;
use super::policy_shown::{page, shown_policy};
use super::{A, C, Handler, K, Q};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::service;
use crate::spec::{invalid, missing};
use control::firewall::policy::Order;
use control::{Cloud, Draft};
use model::{DomainResolve, PolicyScope};
use serde_json::{Map, Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateNatFirewallControlPolicy", C(create)),
    ("DescribeNatFirewallControlPolicy", A(describe)),
    ("ModifyNatFirewallControlPolicy", C(modify)),
    ("ModifyNatFirewallControlPolicyPosition", C(place)),
    ("DescribeNatFirewallPolicyPriorUsed", Q(places)),
    ("DeleteNatFirewallControlPolicy", C(delete)),
    ("DeleteNatFirewallControlPolicyBatch", C(delete_batch)),
    ("ResetNatFirewallRuleHitCount", K(reset)),
    ("DescribeNatFirewallAclGroupList", Q(groups)),
];

/// The firewall that a call is about: it has policies of one direction.
fn scope(call: &Call) -> Result<PolicyScope, ApiError> {
    call.word("Direction", &["out"])?;
    Ok(PolicyScope::NatGateway(call.need("NatGatewayId")?.into()))
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let scope = scope(call)?;
    draft.check_scope(&scope)?;
    let order = order(call, "NewOrder")?;
    let policy = policy(call, draft, None)?;
    let id = draft.create_policy(&scope, order, policy)?;
    Ok(json!({"AclUuid": id}))
}

/// The place that a parameter names.
pub(super) fn order(call: &Call, name: &str) -> Result<Order, ApiError> {
    let number = call.int(name)?.ok_or_else(|| missing(name))?;
    Ok(Order::of(number)?)
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let scope = scope(call)?;
    let id = call.need("AclUuid")?;
    let (_, had) = draft.policy(&scope, id)?;
    let had = had.policy.clone();
    let policy = policy(call, draft, Some(&had))?;
    draft.modify_policy(&scope, id, policy)?;
    Ok(json!({}))
}

fn place(call: &Call, draft: &mut Draft) -> Answer {
    let order = order(call, "NewOrder")?;
    draft.move_policy(&scope(call)?, call.need("AclUuid")?, order)?;
    Ok(json!({}))
}

/// The first and the last place of a firewall's policies; both 0 if it has none, as about IPv6.
pub(super) fn range(call: &Call, cloud: &Cloud, scope: &PolicyScope) -> Answer {
    let many = match call.word("IpVersion", &["4", "6"])? {
        Some("6") => 0,
        _ => cloud.policies.get(scope).map_or(0, |it| it.len()),
    };
    Ok(json!({"Start": many.min(1), "End": many}))
}

fn places(call: &Call, cloud: &Cloud) -> Answer {
    let scope = scope(call)?;
    cloud.check_scope(&scope)?;
    range(call, cloud, &scope)
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_policies(&scope(call)?, &[call.need("AclUuid")?])?;
    Ok(json!({}))
}

fn delete_batch(call: &Call, draft: &mut Draft) -> Answer {
    let ids = call.list("AclUuidList");
    if ids.len() > 1_000 {
        let why = format!(
            "There are {} policies: at most 1000 are deleted at once.",
            ids.len()
        );
        return Err(invalid("AclUuidList", why));
    }
    draft.delete_policies(&scope(call)?, &ids)?;
    Ok(json!({}))
}

fn reset(call: &Call, draft: &mut Draft, service: &service::Cloud) -> Answer {
    let id = call.need("AclUuid")?;
    let scope = match call.text("NatGatewayId") {
        Some(gateway) => {
            let scope = PolicyScope::NatGateway(gateway.into());
            draft.policy(&scope, id)?;
            scope
        }
        None => draft.scope_of(id, &scopes(draft))?,
    };
    if !draft.dry_run {
        service.firewalls().reset(&scope, id);
    }
    Ok(json!({}))
}

/// The NAT firewalls that have policies.
pub(super) fn scopes(cloud: &Cloud) -> Vec<PolicyScope> {
    let lists = cloud.policies.lists().map(|it| it.scope());
    let of_gateways = lists.filter(|it| matches!(it, PolicyScope::NatGateway(_)));
    of_gateways.cloned().collect()
}

fn describe(call: &Call, service: &service::Cloud) -> Answer {
    let cloud = service.control().cloud();
    let scope = scope(call)?;
    cloud.check_scope(&scope)?;
    let page = page(call, &cloud, service, &[scope])?;
    let firewalls = service.firewalls();
    let policies = page.policies.iter().map(|(scope, n, filed, hits)| {
        let mut shown = shown_policy(&cloud, firewalls, *n, filed, *hits);
        let spread = cloud.spread_of(&filed.policy);
        let resolve = match filed.policy.resolve {
            DomainResolve::Fqdn => 0,
            DomainResolve::Dns => 1,
            DomainResolve::Both => 2,
        };
        put(&mut shown, "NatGatewayId", scope.to_string());
        put(&mut shown, "SpreadCnt", spread.to_string());
        put(&mut shown, "DomainResolveType", resolve);
        Value::Object(shown)
    });
    let policies: Vec<Value> = policies.collect();
    let [count, ..] = page.position;
    Ok(json!({"Policys": policies, "TotalCount": count.to_string()}))
}

pub(super) fn put(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    fields.insert(name.into(), value.into());
}

/// The NAT gateways of the Internet, each with how many policies it has.
fn groups(call: &Call, cloud: &Cloud) -> Answer {
    let gateways = cloud.nat_gateways.iter().filter(|it| !it.intranet);
    let groups = gateways.map(|gateway| {
        let scope = PolicyScope::NatGateway(gateway.id.clone());
        let region = cloud.vpcs.get(&gateway.vpc).map(|it| &*it.region);
        json!({
            "NatGatewayId": gateway.id,
            "NatGatewayName": gateway.meta.name,
            "RegionNo": region.filter(|it| !it.is_empty()).unwrap_or(call.region),
            "AclRuleCount": cloud.policies.get(&scope).map_or(0, |it| it.len()),
            "IsDefault": false,
        })
    });
    Ok(json!({"NatFirewalls": groups.collect::<Vec<_>>()}))
}
