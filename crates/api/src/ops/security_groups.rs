//! Security groups; their rules are in [`super::rules`].

use super::ecs::{description, name, page};
use super::vpc::{in_region, region_of};
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp, tag_key_list};
use crate::service::one_of;
use crate::spec::{invalid, missing};
use control::quota::Quota;
use control::records::{SecurityGroup, SecurityRule};
use control::{Cloud, Draft};
use model::{RulePeer, SecurityGroupKind};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateSecurityGroup", C(create)),
    ("DescribeSecurityGroups", Q(describe)),
    ("DescribeSecurityGroupReferences", Q(references)),
    ("ModifySecurityGroupAttribute", C(modify)),
    ("ModifySecurityGroupPolicy", C(modify_policy)),
    ("JoinSecurityGroup", C(join_group)),
    ("LeaveSecurityGroup", C(leave_group)),
    ("DeleteSecurityGroup", C(delete)),
];

const NAME: &str = "InvalidSecurityGroupName.Malformed";
const DESCRIPTION: &str = "InvalidSecurityGroupDiscription.Malformed";

const NORMAL: &str = "normal";
const ENTERPRISE: &str = "enterprise";

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let kind = match call.word("SecurityGroupType", &[NORMAL, ENTERPRISE])? {
        Some(ENTERPRISE) => SecurityGroupKind::Enterprise,
        _ => SecurityGroupKind::Normal,
    };
    let mut meta = draft.meta(
        name(call, "SecurityGroupName", NAME)?.unwrap_or_default(),
        description(call, "Description", DESCRIPTION)?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    meta.resource_group = call.text("ResourceGroupId").unwrap_or_default().into();
    let group = draft.create_security_group(call.need("VpcId")?, kind, meta)?;
    Ok(json!({"SecurityGroupId": group.id}))
}

fn kind(group: &SecurityGroup) -> &'static str {
    match group.kind {
        SecurityGroupKind::Normal => NORMAL,
        SecurityGroupKind::Enterprise => ENTERPRISE,
    }
}

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let ids = call.json_list("SecurityGroupIds")?;
    let fuzzy = call.flag("FuzzyQuery")? == Some(true);
    let count = call.flag("IsQueryEcsCount")? != Some(false);
    let name = call.text("SecurityGroupName");
    // There are neither groups outside VPCs nor ones that a service manages.
    let none = call.text("NetworkType").is_some_and(|it| it != "vpc")
        || call.flag("ServiceManaged")? == Some(true);
    let groups = cloud.security_groups.iter().filter(|group| {
        !none
            && ids.as_ref().is_none_or(|ids| ids.contains(&group.id))
            && call.is("SecurityGroupId", &group.id)
            && call.is("VpcId", &group.vpc)
            && call
                .text("SecurityGroupType")
                .is_none_or(|it| it == kind(group))
            && name.is_none_or(|name| match fuzzy {
                true => group.meta.name.contains(name.trim_matches('*')),
                false => group.meta.name == name,
            })
            && here(call, cloud, group)
            && call.matches(&group.meta)
    });
    let (groups, position) = page(call, groups.collect(), 100, |it| it.id.clone())?;
    let room = cloud.limit(Quota::Instances) as usize;
    let groups = groups.into_iter().map(|group| {
        let named = |it: &&SecurityRule| matches!(&it.peer, RulePeer::Group(_));
        let mut members: Vec<&str> = match count {
            true => cloud
                .members(&group.id)
                .filter_map(|it| it.instance.as_deref())
                .collect(),
            false => Vec::new(),
        };
        members.sort_unstable();
        members.dedup();
        json!({
            "SecurityGroupId": group.id,
            "SecurityGroupName": group.meta.name,
            "Description": group.meta.description,
            "SecurityGroupType": kind(group),
            "VpcId": group.vpc,
            "CreationTime": stamp(group.meta.created),
            "ResourceGroupId": group.meta.resource_group(),
            "EcsCount": members.len(),
            "AvailableInstanceAmount": room.saturating_sub(members.len()),
            "RuleCount": group.rules.len(),
            "GroupToGroupRuleCount": group.rules.iter().filter(named).count(),
            "Tags": tag_key_list(&group.meta),
        })
    });
    let groups: Vec<Value> = groups.collect();
    Ok(join(
        position,
        json!({"RegionId": call.region, "SecurityGroups": {"SecurityGroup": groups}}),
    ))
}

fn here(call: &Call, cloud: &Cloud, group: &SecurityGroup) -> bool {
    let vpc = cloud.vpcs.get(&group.vpc);
    vpc.is_some_and(|vpc| in_region(call, vpc))
}

/// What the answer about one group says besides its rules.
pub(super) fn view(call: &Call, cloud: &Cloud, group: &SecurityGroup) -> Value {
    let vpc = cloud.vpcs.get(&group.vpc);
    let reach = group.effect() == SecurityGroupKind::Normal;
    json!({
        "SecurityGroupId": group.id,
        "SecurityGroupName": group.meta.name,
        "Description": group.meta.description,
        "VpcId": group.vpc,
        "RegionId": vpc.map_or(call.region, |vpc| region_of(call, vpc)),
        "InnerAccessPolicy": if reach { "Accept" } else { "Drop" },
    })
}

fn references(call: &Call, cloud: &Cloud) -> Answer {
    let ids = call.list("SecurityGroupId");
    if ids.len() > 10 {
        return Err(invalid(
            "SecurityGroupId",
            format!("{} are given: at most 10 are allowed.", ids.len()),
        ));
    }
    let mut found = Vec::new();
    for id in ids {
        cloud.security_group(id)?;
        let by: Vec<Value> = cloud
            .references(id)
            .map(|group| json!({"SecurityGroupId": group.id}))
            .collect();
        if !by.is_empty() {
            found.push(json!({
                "SecurityGroupId": id,
                "ReferencingSecurityGroups": {"ReferencingSecurityGroup": by},
            }));
        }
    }
    Ok(json!({"SecurityGroupReferences": {"SecurityGroupReference": found}}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("SecurityGroupId")?;
    draft.security_group(id)?;
    let name = name(call, "SecurityGroupName", NAME)?;
    let description = description(call, "Description", DESCRIPTION)?;
    if let Some(group) = draft.security_groups.get_mut(id) {
        let meta = &mut group.meta;
        meta.name = name.unwrap_or_else(|| meta.name.clone());
        meta.description = description.unwrap_or_else(|| meta.description.clone());
    }
    Ok(json!({}))
}

fn modify_policy(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("SecurityGroupId")?;
    let Some(policy) = call.word("InnerAccessPolicy", &["Accept", "Drop"])? else {
        return Err(missing("InnerAccessPolicy"));
    };
    draft.isolate_security_group(id, policy == "Drop")?;
    Ok(json!({}))
}

/// The interface that joins or leaves: one that is named, or the primary one of an instance.
fn member(call: &Call, draft: &Draft) -> Result<String, ApiError> {
    match one_of(call, "InstanceId", "NetworkInterfaceId")? {
        (Some(instance), _) => Ok(draft.instance(instance)?.eni.clone()),
        (None, eni) => Ok(draft.eni(eni.unwrap_or_default())?.id.clone()),
    }
}

fn join_group(call: &Call, draft: &mut Draft) -> Answer {
    let eni = member(call, draft)?;
    draft.join_security_group(&eni, call.need("SecurityGroupId")?)?;
    Ok(json!({}))
}

fn leave_group(call: &Call, draft: &mut Draft) -> Answer {
    let eni = member(call, draft)?;
    draft.leave_security_group(&eni, call.need("SecurityGroupId")?)?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_security_group(call.need("SecurityGroupId")?)?;
    Ok(json!({}))
}
