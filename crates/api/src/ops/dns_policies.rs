//! Policies of the DNS firewall, and what names stand for.

use super::nat_policies::order;
use super::policy_fields::{action, blank, description, destination, only_ipv4, source};
use super::policy_shown::{action_word, page, shown_book, shown_destination, shown_source};
use super::{A, C, Handler, K};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::firewall::Resolved;
use crate::service;
use crate::spec::{invalid, missing};
use control::Draft;
use model::{ControlPolicy, DomainResolve, PolicyDestination, PolicyScope};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AddDnsFirewallPolicy", C(add)),
    ("DescribeDnsFirewallPolicy", A(describe)),
    ("ModifyDnsFirewallPolicy", C(modify)),
    ("DeleteDnsFirewallPolicy", C(delete)),
    ("DescribeDomainResolve", A(resolved)),
    (
        "DescribeControlPolicyDomainResolve",
        A(resolved_by_policies),
    ),
    ("AddDomainResolveRealtimeTask", K(resolve)),
];

const SCOPE: PolicyScope = PolicyScope::Dns;

/// The firewalls that resolve names, as the API calls them.
const FIREWALLS: [&str; 3] = ["internet", "nat", "vpc"];

/// The policy that a call wants; what it does not name is as in `had`.
fn policy(
    call: &Call,
    draft: &mut Draft,
    had: Option<&ControlPolicy>,
) -> Result<ControlPolicy, ApiError> {
    only_ipv4(call)?;
    call.word("Direction", &["out"])?;
    let mut policy = had.cloned().unwrap_or_else(blank);
    if let Some(text) = call.params.sent("Description") {
        policy.description = description(text)?;
    }
    if let Some(source) = source(call, draft, &policy.source)? {
        policy.source = source;
    }
    if let Some(destination) = destination(call, draft, &policy.destination)? {
        policy.destination = destination;
    }
    policy.action = action(call)?.unwrap_or(policy.action);
    policy.enabled = call.flag("Release")?.unwrap_or(policy.enabled);
    Ok(policy)
}

fn add(call: &Call, draft: &mut Draft) -> Answer {
    let order = order(call, "Priority")?;
    let policy = policy(call, draft, None)?;
    let id = draft.create_policy(&SCOPE, order, policy)?;
    Ok(json!({"AclUuid": id}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("AclUuid")?;
    let (_, had) = draft.policy(&SCOPE, id)?;
    let had = had.policy.clone();
    let policy = policy(call, draft, Some(&had))?;
    draft.modify_policy(&SCOPE, id, policy)?;
    if call.text("Priority").is_some() {
        draft.move_policy(&SCOPE, id, order(call, "Priority")?)?;
    }
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_policies(&SCOPE, &[call.need("AclUuid")?])?;
    Ok(json!({}))
}

fn describe(call: &Call, service: &service::Cloud) -> Answer {
    let cloud = service.control().cloud();
    // There are none about IPv6.
    let scopes = match call.text("IpVersion") {
        Some("6") => &[][..],
        _ => &[SCOPE],
    };
    let page = page(call, &cloud, service, scopes)?;
    let policies = page.policies.iter().map(|(_, n, filed, hits)| {
        let policy = &filed.policy;
        let (source_type, source) = shown_source(&cloud, &policy.source);
        let (destination_type, destination) = shown_destination(&cloud, &policy.destination);
        let book = |field: &str| {
            let mut books = policy.books().into_iter().flatten();
            books.find(|(it, _)| *it == field).map(|(_, id)| id)
        };
        let (source_group, sources) = shown_book(&cloud, book("source"));
        let (destination_group, destinations) = shown_book(&cloud, book("destination"));
        json!({
            "AclUuid": policy.id,
            "Priority": n + 1,
            "Description": policy.description,
            "AclAction": action_word(policy.action),
            "Direction": "out",
            "IpVersion": 4,
            "Release": if policy.enabled { "true" } else { "false" },
            "SourceType": source_type,
            "Source": source,
            "SourceGroupType": source_group,
            "SourceAddrs": sources,
            "DestinationType": destination_type,
            "Destination": destination,
            "DestinationGroupType": destination_group,
            "DestinationAddrs": destinations,
            "HitTimes": hits.count,
            "HitLastTime": hits.last.unwrap_or(0),
        })
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

/// A domain name in its one form.
fn name(parameter: &str, text: &str) -> Result<String, ApiError> {
    let wrong = |error| invalid(parameter, format!("{error}."));
    model::domain::normalise(text).map_err(wrong)
}

fn texts(resolved: &Resolved) -> Vec<String> {
    resolved.addresses.iter().map(Ipv4Addr::to_string).collect()
}

fn resolved(call: &Call, service: &service::Cloud) -> Answer {
    let name = name("Domain", call.need("Domain")?)?;
    let resolved = match call.word("IpVersion", &["4", "6"])? {
        Some("6") => None,
        _ => service.firewalls().resolved(&name),
    };
    let resolved = resolved.unwrap_or_default();
    Ok(json!({"ResolveResult": {
        "IpAddrs": texts(&resolved).join(","),
        "UpdateTime": resolved.at,
    }}))
}

/// What the names stand for that policies go by the addresses of: all, or one.
fn resolved_by_policies(call: &Call, service: &service::Cloud) -> Answer {
    let cloud = service.control().cloud();
    let wanted = call.text("Domain").map(|text| name("Domain", text));
    let wanted = wanted.transpose()?;
    let kind = call.word("FirewallType", &FIREWALLS)?;
    let no_ipv4 = call.word("IpVersion", &["4", "6"])? == Some("6");
    let mut names = BTreeSet::new();
    for list in cloud.policies.lists() {
        let of_kind = match list.scope() {
            PolicyScope::NatGateway(_) => kind.is_none_or(|it| it == "nat"),
            PolicyScope::BorderIn | PolicyScope::BorderOut => {
                kind.is_none_or(|it| it == "internet")
            }
            PolicyScope::Dns => false,
        };
        for policy in list.policies().iter().filter(|_| of_kind) {
            if let PolicyDestination::Domain(pattern) = &policy.destination
                && policy.resolve != DomainResolve::Fqdn
            {
                names.insert(pattern.to_string());
            }
        }
    }
    names.retain(|it| !no_ipv4 && wanted.as_ref().is_none_or(|wanted| wanted == it));
    let firewalls = service.firewalls();
    let results = names.into_iter().take(1_000).map(|name| {
        let resolved = firewalls.resolved(&name).unwrap_or_default();
        json!({
            "Domain": name,
            "IpVersion": 4,
            "IpAddrList": texts(&resolved),
            "UpdateTime": resolved.at,
        })
    });
    Ok(json!({"ResolveResult": results.collect::<Vec<_>>()}))
}

fn resolve(call: &Call, draft: &mut Draft, service: &service::Cloud) -> Answer {
    let text = call
        .text("DomainName")
        .ok_or_else(|| missing("DomainName"))?;
    let name = name("DomainName", text)?;
    call.word("FirewallType", &FIREWALLS)?;
    if !draft.dry_run {
        service.firewalls().resolve(&name);
    }
    Ok(json!({}))
}
