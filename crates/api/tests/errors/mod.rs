//! What each operation refuses, and with which status and code: the tables beside this file have the calls.
//!
//! Each block of a table has a cloud of its own. Its lines are calls that make something, or calls with what they are
//! refused with; a call that is refused must leave everything as it was:
//!
//! ```text
//! [VPCs]
//! vpc.CreateVpc CidrBlock=10.0.0.0/8
//!     VpcId -> vpc                                       a value, for `{vpc}` in what follows
//! vpc.DeleteVpc VpcId=none ! 404 InvalidVpcId.NotFound
//! own.limit vpcs=1                                       sets a quota
//! vpc.CreateVpc ! 400 QuotaExceeded.Vpc
//! vpc.TagResources ResourceType=VPC ResourceId.1={vpc} Tag*=20       as many tags
//! vpc.CreateVpc VpcName=a*200                                        an `a` as many times
//! ```
//!
//! An operation that is in no table and in none of the lists here fails [`every_operation_has_its_refusals`].
//!
//! No call brings these about, so no table has them: `OperationFailed.DataPath` and `OperationConflict`, which say that
//! the data path refuses or the whole would be inconsistent; `InvalidOperation.AtLeastInOneGroup` and
//! `MissingNatRouteEntryList`, since an empty list is a missing parameter before; `ErrorRegionNotSupported`, for a region
//! that a configuration file has taken away; `Throttling.User`, which is of the wire and tested there.

use crate::common::{World, refused};
use crate::tables::{self, Call, Product, Want};
use api::spec::{self, Operation};
use control::quota::Quota;
use control::records::System;
use std::collections::{BTreeMap, BTreeSet};

const TABLES: &[(&str, &str)] = &[
    ("requests", include_str!("requests.txt")),
    ("networks", include_str!("networks.txt")),
    ("gateways", include_str!("gateways.txt")),
    ("ecs", include_str!("ecs.txt")),
    ("access", include_str!("access.txt")),
    ("firewall", include_str!("firewall.txt")),
    ("policies", include_str!("policies.txt")),
];

/// Operations that nothing can be wrong with but what is the same for all: they take nothing, or only what selects
/// among what there is, and are told of nothing then, as by the cloud.
const NOTHING_TO_REFUSE: &[&str] = &[
    "CreateInstanceSyncTask",
    "CreateNatFirewallSyncTask",
    "DescribeAclCheckQuota",
    "DescribeAclRuleCount",
    "DescribeAssetStatistic",
    "DescribeControlPolicyDomainResolve",
    "DescribeCreatedNatFirewall",
    "DescribeFirewallDefaults",
    "DescribeFirewallLicense",
    "DescribeFirewallTask",
    "DescribeNatAclPageStatus",
    "DescribeNatFirewallAclGroupList",
    "DescribeNatFirewallPrecheckDetail",
    "DescribeNatFirewallQuota",
    "DescribePolicyAdvancedConfig",
    "DescribePostpayUserNatStatus",
    "DescribeQuotas",
    "DescribeRegionInfo",
    "DescribeRegions",
    "DescribeSecurityProxyResources",
    "DescribeThreatIntelligenceSwitch",
    "DescribeUserBuyVersion",
    "DescribeVpcListLite",
    "GetCallerIdentity",
    "ListEnhanhcedNatGatewayAvailableZones",
    "PutDisableAllFwSwitch",
    "PutEnableAllFwSwitch",
];

/// Operations whose refusals are in tests of their own.
const ELSEWHERE: &[&str] = &[
    // It tells what it could not delete, entry by entry.
    "DeleteRouteEntries",
    "AllocatePublicIpAddress",
];

fn limit(world: &World, params: &[(String, String)]) {
    let changed = world.control.change(2_000, |draft| {
        let system = model::System::default();
        let mut system = draft.system.get(System::ID).cloned().unwrap_or(System {
            id: System::ID.into(),
            name: system.name,
            hook: system.hook,
            max_sessions: system.max_sessions,
            regions: Vec::new(),
            quotas: BTreeMap::new(),
            services: Default::default(),
        });
        for (name, limit) in params {
            let known = Quota::ALL.iter().any(|it| it.name() == name);
            assert!(known, "there is no quota {name}");
            system.quotas.insert(name.clone(), limit.parse().unwrap());
        }
        draft.system.put(system);
        Ok(())
    });
    changed.unwrap();
}

#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn fill(&self, text: &str) -> String {
        if let Some((what, times)) = text.split_once('*')
            && let Ok(times) = times.parse()
        {
            return what.repeat(times);
        }
        let mut out = text.to_owned();
        for (name, value) in &self.0 {
            out = out.replace(&format!("{{{name}}}"), value);
        }
        out.replace('\\', "")
    }
}

/// Makes a call of a table. Returns what is not as it is wanted.
fn play(world: &World, names: &mut Names, call: &Call) -> Result<(), String> {
    let mut params = call.product.params();
    for (name, value) in &call.params {
        if let Some(name) = name.strip_suffix('*') {
            let tags = 1..=value.parse::<u32>().unwrap();
            params.extend(tags.map(|n| (format!("{name}.{n}.Key"), format!("key-{n}"))));
            continue;
        }
        params.retain(|(it, _)| it != name);
        params.push((name.clone(), names.fill(value)));
    }
    if let Product::Own = call.product {
        limit(world, &params);
        return Ok(());
    }
    let params: Vec<(&str, &str)> = params.iter().map(|(a, b)| (&**a, &**b)).collect();
    let before = world.control.cloud();
    let answer = world.call(call.product.version(), &call.action, &params);
    if call.is_refused() && *world.control.cloud() != *before {
        return Err("something has changed".into());
    }
    if let (false, Err(error)) = (call.is_refused(), &answer) {
        return Err(error.to_string());
    }
    for want in &call.wants {
        let want = want.clone().map(|text| names.fill(text));
        if let Some((name, value)) = want.check(&answer)? {
            names.0.insert(name, value);
        }
    }
    Ok(())
}

#[test]
fn calls_are_refused_as_the_tables_have_it() {
    let mut complaints = Vec::new();
    for (name, table) in TABLES {
        for block in tables::read(table) {
            let world = World::new();
            let mut names = Names::default();
            for call in &block.calls {
                if let Err(why) = play(&world, &mut names, call) {
                    complaints.push(format!(
                        "{name}, line {}: {}: {why}",
                        call.line, call.action
                    ));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// The operations that are answered, each with its version.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Operation)> {
    spec::products().iter().flat_map(|product| {
        let operations = product.operations.iter();
        operations
            .filter(|(action, _)| api::answers(&product.version, action))
            .map(|(action, operation)| (&*product.version, &**action, operation))
    })
}

#[test]
fn every_operation_has_its_refusals() {
    let blocks = TABLES.iter().flat_map(|(_, table)| tables::read(table));
    let refused: BTreeSet<(&str, String)> = blocks
        .flat_map(|block| block.calls)
        .filter(|call| matches!(call.wants.first(), Some(Want::Refusal(..))))
        .map(|call| (call.product.version(), call.action))
        .collect();
    let mut missing = Vec::new();
    for (version, action, _) in operations() {
        let in_table = refused.contains(&(version, action.to_owned()));
        let exempt = NOTHING_TO_REFUSE.contains(&action);
        if exempt && in_table {
            missing.push(format!("{version} {action} is in a table all the same"));
        }
        if !in_table && !exempt && !ELSEWHERE.contains(&action) {
            missing.push(format!("{version} {action}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn what_is_needed_is_missed() {
    let world = World::new();
    for (version, action, operation) in operations() {
        let mut needed = operation
            .request
            .iter()
            .filter(|it| it.required && it.name != "RegionId");
        if needed.next().is_some() {
            let region = [("RegionId", "cn-hangzhou")];
            let code = refused(world.call(version, action, &region));
            assert_eq!(code, "MissingParameter", "{version} {action}");
        }
    }
}
