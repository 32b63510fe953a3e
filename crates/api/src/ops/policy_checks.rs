//! Checks of policies.

use super::border_policies::application_id;
use super::nat_policies::put;
use super::policy_shown::shown_policy;
use super::{A, Handler, K, Q};
use crate::ApiError;
use crate::call::{Answer, Call, stamp};
use crate::service;
use crate::spec::{invalid, missing, shown};
use control::firewall::checks::{Checked, Found, FoundStatus, PolicyCheck};
use control::{Cloud, Draft};
use model::{DomainResolve, Id, PolicyScope};
use policy::review::Flaw;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateAclCheck", K(create)),
    ("DescribeAclChecks", Q(list)),
    ("DescribeAclCheck", A(describe)),
    ("DescribeAclCheckQuota", Q(quota)),
    ("UpdateAclCheckDetailStatus", K(update)),
];

fn checked(call: &Call) -> Result<Checked, ApiError> {
    let words = Checked::ALL.map(Checked::name);
    let word = call.word("AclType", &words)?;
    let found = Checked::ALL.into_iter().find(|it| Some(it.name()) == word);
    found.ok_or_else(|| missing("AclType"))
}

/// How much it matters, and what it is about.
fn about(flaw: Flaw) -> (&'static str, &'static str) {
    match flaw {
        Flaw::Duplicate => ("low", "Policies that say what one before them says"),
        Flaw::Shadowed => (
            "medium",
            "Policies that one before them keeps from ever deciding",
        ),
        Flaw::Conflicting => ("high", "Policies that one before them contradicts"),
        Flaw::Ineffective => ("medium", "Policies that match nothing"),
        Flaw::NeverHit => ("low", "Policies that nothing has matched yet"),
        Flaw::OverBroad => ("high", "Policies that let everything pass"),
        Flaw::HighRiskPort => (
            "high",
            "Policies that open ports that are known for attacks",
        ),
        Flaw::InvalidDomain => ("medium", "Policies about domains that never match"),
        Flaw::DefaultNotDeny => ("high", "Firewalls that let pass what no policy matches"),
    }
}

fn create(call: &Call, draft: &mut Draft, service: &service::Cloud) -> Answer {
    let checked = checked(call)?;
    let names = call.list("CheckNames");
    let mut flaws = Vec::with_capacity(names.len());
    for name in &names {
        let known = Flaw::ALL
            .into_iter()
            .find(|it| it.name().eq_ignore_ascii_case(name));
        let wrong = || {
            let all = Flaw::ALL.map(Flaw::name).join(", ");
            invalid("CheckNames", format!("{} is none of {all}.", shown(name)))
        };
        flaws.push(known.ok_or_else(wrong)?);
    }
    if flaws.is_empty() {
        flaws = Flaw::ALL.to_vec();
    }
    let firewalls = service.firewalls();
    let mut hits: HashMap<(PolicyScope, Id), u64> = HashMap::new();
    if firewalls.counts() && flaws.contains(&Flaw::NeverHit) {
        for list in draft.policies.lists() {
            let ids: Vec<&str> = list.policies().iter().map(|it| &*it.id).collect();
            let counts = firewalls.hits(list.scope(), &ids);
            for (id, count) in ids.iter().zip(counts) {
                hits.insert((list.scope().clone(), (*id).into()), count.count);
            }
        }
    }
    let hits = |scope: &PolicyScope, id: &Id| hits.get(&(scope.clone(), id.clone())).copied();
    let ids = draft.check_policies(checked, &flaws, &hits)?;
    Ok(json!({"TaskIds": ids}))
}

fn flaw(check: &PolicyCheck) -> Option<Flaw> {
    Flaw::ALL.into_iter().find(|it| it.name() == check.flaw)
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    let checked = checked(call)?;
    let checks = cloud
        .policy_checks
        .iter()
        .filter(|it| it.checked == checked);
    let checks = checks.map(|check| {
        let pending = |it: &&Found| it.status == FoundStatus::Pending;
        let settled = check.findings.iter().filter(|it| !pending(it)).count();
        json!({
            "TaskId": check.id,
            "CheckName": check.flaw,
            "CheckType": checked.name(),
            "CheckStatus": "finished",
            "Level": flaw(check).map_or("", |it| about(it).0),
            "LastCheckTime": stamp(check.time),
            "AclTotalCount": check.count,
            "AclPendingCount": check.count - settled,
        })
    });
    let checks: Vec<Value> = checks.collect();
    Ok(json!({"CheckRecords": {"AclType": checked.name(), "Records": checks}}))
}

fn status(status: FoundStatus) -> &'static str {
    match status {
        FoundStatus::Pending => "pending",
        FoundStatus::Ignored => "ignored",
        FoundStatus::Handled => "handled",
    }
}

fn describe(call: &Call, service: &service::Cloud) -> Answer {
    let cloud = service.control().cloud();
    let check = cloud.policy_check(call.need("TaskId")?)?;
    let findings: Vec<&Found> = check.findings.iter().collect();
    let (page, _) = call.page_of("PageNo", findings, 100)?;
    let mut record = shown_check(&cloud, service, check, page);
    put(&mut record, "AclTotalCount", check.count);
    Ok(json!({"CheckRecord": record}))
}

/// A check with some of what it has found.
fn shown_check(
    cloud: &Cloud,
    service: &service::Cloud,
    check: &PolicyCheck,
    findings: Vec<&Found>,
) -> Map<String, Value> {
    let about = flaw(check).map(about).unwrap_or_default();
    let findings = findings.into_iter();
    let findings = findings.map(|found| shown_finding(cloud, service, found));
    let mut record = Map::new();
    put(&mut record, "TaskId", check.id.clone());
    put(&mut record, "CheckName", check.flaw.clone());
    put(&mut record, "Level", about.0);
    put(&mut record, "Description", about.1);
    put(&mut record, "LastCheckTime", stamp(check.time));
    put(&mut record, "Acls", findings.collect::<Vec<Value>>());
    record
}

fn shown_finding(cloud: &Cloud, service: &service::Cloud, found: &Found) -> Value {
    let mut acl = Map::new();
    if let Ok((n, filed)) = cloud.policy(&found.scope, &found.policy) {
        let firewalls = service.firewalls();
        let hits = firewalls.hits(&found.scope, &[&filed.policy.id]);
        let hits = hits.first().copied().unwrap_or_default();
        acl = shown_policy(cloud, firewalls, n, filed, hits);
        acl.remove("RepeatTimeZone");
        acl.remove("HitBytes");
        let resolve = match filed.policy.resolve {
            DomainResolve::Fqdn => 0,
            DomainResolve::Dns => 1,
            DomainResolve::Both => 2,
        };
        let app = filed.policy.applications.first();
        let id = app.map_or(0, |app| application_id(*app));
        put(
            &mut acl,
            "ApplicationName",
            app.map_or("ANY", |it| it.name()),
        );
        put(&mut acl, "ApplicationId", id.to_string());
        put(&mut acl, "DomainResolveType", resolve);
        put(&mut acl, "SpreadCnt", cloud.spread_of(&filed.policy));
        put(&mut acl, "IpVersion", 4);
    }
    put(&mut acl, "AclUuid", found.policy.clone());
    match &found.scope {
        PolicyScope::NatGateway(id) => put(&mut acl, "NatGatewayId", id.clone()),
        PolicyScope::BorderIn => put(&mut acl, "Direction", "in"),
        PolicyScope::BorderOut => put(&mut acl, "Direction", "out"),
        PolicyScope::Dns => {}
    }
    json!({
        "Acl": acl,
        "Firewall": found.scope.to_string(),
        "AclAssessmentDetail": found.explanation,
        "AclStatus": status(found.status),
    })
}

/// A check takes the place of an earlier one of the same, so there are only so many.
fn quota(_: &Call, cloud: &Cloud) -> Answer {
    let total = Checked::ALL.len() * Flaw::ALL.len();
    let made = cloud.policy_checks.len();
    let last = cloud.policy_checks.iter().map(|it| it.time).max();
    Ok(json!({"Quota": {
        "TotalQuota": total,
        "ConsumedQuota": made,
        "AvailableQuota": total.saturating_sub(made),
        "UpdateTime": last.map(stamp).unwrap_or_default(),
    }}))
}

fn update(call: &Call, draft: &mut Draft, service: &service::Cloud) -> Answer {
    let word = call.word("Status", &["pending", "ignored", "handled"])?;
    let status = match word {
        Some("ignored") => FoundStatus::Ignored,
        Some("handled") => FoundStatus::Handled,
        Some(_) => FoundStatus::Pending,
        None => return Err(missing("Status")),
    };
    let (task, policy) = (call.need("TaskId")?, call.need("Uuid")?);
    draft.set_found_status(task, policy, status)?;
    let check = draft.policy_check(task)?;
    let changed = check.findings.iter().filter(|it| it.policy == policy);
    let mut record = shown_check(draft, service, check, changed.collect());
    put(&mut record, "PolicyTotalCount", check.count);
    Ok(json!({"CheckRecord": record}))
}
