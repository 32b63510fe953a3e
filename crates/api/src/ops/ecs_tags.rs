//! Tags and resource groups of ECS.

use super::tags::{Kinds, list_of, tag_of, untag_of};
use super::{C, Handler, Q};
use crate::call::{Answer, Call};
use control::tags::Tagged;
use control::{Cloud, Draft};
use serde_json::json;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("TagResources", C(tag)),
    ("UntagResources", C(untag)),
    ("ListTagResources", Q(list)),
    ("JoinResourceGroup", C(join_resource_group)),
];

/// How the API calls the kinds of resources.
const TYPES: Kinds = &[
    ("instance", Tagged::Instance),
    ("eni", Tagged::Eni),
    ("securitygroup", Tagged::SecurityGroup),
];

fn tag(call: &Call, draft: &mut Draft) -> Answer {
    tag_of(TYPES, call, draft)
}

fn untag(call: &Call, draft: &mut Draft) -> Answer {
    untag_of(TYPES, call, draft)
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    list_of(TYPES, call, cloud)
}

fn join_resource_group(call: &Call, draft: &mut Draft) -> Answer {
    let (_, kind) = super::tags::kind(TYPES, call)?;
    let (id, group) = (call.need("ResourceId")?, call.need("ResourceGroupId")?);
    draft.move_resource_group(kind, id, group)?;
    Ok(json!({}))
}
