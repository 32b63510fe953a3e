//! Tags and resource groups of the VPC product.

use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::spec::{invalid, missing};
use control::tags::Tagged;
use control::{Cloud, Draft};
use serde_json::json;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("TagResources", C(tag)),
    ("UnTagResources", C(untag)),
    ("ListTagResources", Q(list)),
    ("MoveResourceGroup", C(move_resource_group)),
];

/// How an API calls kinds of resources.
pub(super) type Kinds = &'static [(&'static str, Tagged)];

const TYPES: Kinds = &[
    ("VPC", Tagged::Vpc),
    ("VSWITCH", Tagged::VSwitch),
    ("ROUTETABLE", Tagged::RouteTable),
    ("EIP", Tagged::Eip),
    ("NATGATEWAY", Tagged::NatGateway),
    ("COMMONBANDWIDTHPACKAGE", Tagged::BandwidthPackage),
    // What `MoveResourceGroup` calls it.
    ("BANDWIDTHPACKAGE", Tagged::BandwidthPackage),
    ("PEERCONNECTION", Tagged::Peering),
];

/// The most resources of one call.
const MAX_RESOURCES: usize = 20;

/// The kind of resource that a call is about.
pub(super) fn kind(kinds: Kinds, call: &Call) -> Result<(&'static str, Tagged), ApiError> {
    let name = call.need("ResourceType")?;
    let known = kinds
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.copied().ok_or_else(|| {
        let known: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
        invalid(
            "ResourceType",
            format!("It is none of {}.", known.join(", ")),
        )
    })
}

fn resources<'a>(call: &Call<'a>) -> Result<Vec<&'a str>, ApiError> {
    let resources = call.list("ResourceId");
    match resources.len() {
        0..=MAX_RESOURCES => Ok(resources),
        many => Err(invalid(
            "ResourceId",
            format!("{many} are given: at most {MAX_RESOURCES} are allowed."),
        )),
    }
}

fn tag(call: &Call, draft: &mut Draft) -> Answer {
    tag_of(TYPES, call, draft)
}

fn untag(call: &Call, draft: &mut Draft) -> Answer {
    untag_of(TYPES, call, draft)
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    list_of(TYPES, call, cloud)
}

pub(super) fn tag_of(kinds: Kinds, call: &Call, draft: &mut Draft) -> Answer {
    let (_, kind) = kind(kinds, call)?;
    let tags = call.tags()?;
    if tags.is_empty() {
        return Err(missing("Tag"));
    }
    for id in resources(call)? {
        draft.tag(kind, id, &tags)?;
    }
    Ok(json!({}))
}

pub(super) fn untag_of(kinds: Kinds, call: &Call, draft: &mut Draft) -> Answer {
    let (_, kind) = kind(kinds, call)?;
    let keys = call.list("TagKey");
    let all = keys.is_empty() && call.flag("All")? == Some(true);
    for id in resources(call)? {
        draft.untag(kind, id, (!all).then_some(&keys))?;
    }
    Ok(json!({}))
}

pub(super) fn list_of(kinds: Kinds, call: &Call, cloud: &Cloud) -> Answer {
    let (name, kind) = kind(kinds, call)?;
    let wanted = resources(call)?;
    let mut found = Vec::new();
    for (id, meta) in cloud.metas(kind) {
        if (wanted.is_empty() || wanted.contains(&id)) && call.matches(meta) {
            found.extend(meta.tags.iter().map(|(key, value)| (id, key, value)));
        }
    }
    let key = |(id, key, _): &(&str, &String, &String)| format!("{id} {key}");
    let (page, next, _) = call.page_after("MaxResults", 50, 50, found, key)?;
    let page = page.into_iter().map(|(id, key, value)| {
        json!({"ResourceId": id, "ResourceType": name, "TagKey": key, "TagValue": value})
    });
    Ok(json!({"TagResources": {"TagResource": page.collect::<Vec<_>>()}, "NextToken": next}))
}

fn move_resource_group(call: &Call, draft: &mut Draft) -> Answer {
    let (_, kind) = kind(TYPES, call)?;
    draft.move_resource_group(
        kind,
        call.need("ResourceId")?,
        call.need("NewResourceGroupId")?,
    )?;
    Ok(json!({}))
}
