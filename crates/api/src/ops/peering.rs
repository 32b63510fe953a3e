//! VPC peer connections: the product VpcPeer, with its own operations for tags and resource groups.
//!
//! Every VPC here is of one account, so a connection carries traffic at once, as the cloud's do within an account.
//! Who wants two sides to agree makes it with `AutoAccept=false`.

use super::tags::{Kinds, kind, list_of, tag_of, untag_of};
use super::vpc::{in_region, region_of};
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, join, stamp};
use crate::spec::invalid;
use control::peering::{NewPeering, PeeringChange};
use control::records::{Peering, Vpc};
use control::tags::Tagged;
use control::{Cloud, Draft};
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateVpcPeerConnection", C(create)),
    ("AcceptVpcPeerConnection", C(accept)),
    ("RejectVpcPeerConnection", C(reject)),
    ("ListVpcPeerConnections", Q(list)),
    ("GetVpcPeerConnectionAttribute", Q(get)),
    ("ModifyVpcPeerConnection", C(modify)),
    ("DeleteVpcPeerConnection", C(delete)),
    ("TagResources", C(tag)),
    ("UnTagResources", C(untag)),
    ("ListTagResources", Q(list_tags)),
    ("MoveResourceGroup", C(move_resource_group)),
];

const TYPES: Kinds = &[("PeerConnection", Tagged::Peering)];

const LINK_TYPES: [&str; 2] = ["Gold", "Platinum"];

/// What a connection between regions has if it is not named, in Mbit/s.
const DEFAULT_BANDWIDTH: u32 = 1024;

fn bandwidth(call: &Call) -> Result<Option<u32>, ApiError> {
    let Some(bandwidth) = call.int("Bandwidth")? else {
        return Ok(None);
    };
    match u32::try_from(bandwidth) {
        Ok(bandwidth @ 1..) => Ok(Some(bandwidth)),
        _ => {
            let why = format!("{bandwidth} is not a bandwidth of 1 Mbit/s or more.");
            Err(invalid("Bandwidth", why))
        }
    }
}

/// The accepting VPC must be in the region that is named with it.
fn vpc_in<'a>(cloud: &'a Cloud, id: &str, region: &str) -> Result<&'a Vpc, ApiError> {
    let vpc = cloud.vpc(id)?;
    if vpc.region.is_empty() || vpc.region == region {
        return Ok(vpc);
    }
    let why = format!("The VPC {id} is in {}, not in {region:?}.", vpc.region);
    Err(ApiError::not_found("InvalidVpcId.NotFound", why))
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    let vpc = draft.vpc(call.need("VpcId")?)?.id.clone();
    let accepting_vpc = call.need("AcceptingVpcId")?;
    let accepting_vpc = vpc_in(draft, accepting_vpc, call.need("AcceptingRegionId")?)?;
    let accepting_vpc = accepting_vpc.id.clone();
    let account = call.int("AcceptingAliUid")?.unwrap_or_default();
    let mut meta = draft.meta(
        call.name("Name", 2)?.unwrap_or_default(),
        call.description("Description")?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    meta.resource_group = call.text("ResourceGroupId").unwrap_or_default().into();
    let peering = draft.create_peering(NewPeering {
        meta,
        vpc,
        accepting_vpc,
        accepting_account: account
            .try_into()
            .map_err(|_| invalid("AcceptingAliUid", format!("{account} is no account.")))?,
        accepted: call.flag("AutoAccept")?.unwrap_or(true),
        bandwidth: bandwidth(call)?.unwrap_or(0),
        link_type: call
            .word("LinkType", &LINK_TYPES)?
            .unwrap_or_default()
            .into(),
    })?;
    Ok(json!({"InstanceId": peering.id}))
}

/// Tags and resource group of the accepting side: here both sides see the same.
fn accept(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("InstanceId")?;
    draft.accept_peering(id)?;
    draft.tag(Tagged::Peering, id, &call.tags()?)?;
    if let Some(group) = call.text("ResourceGroupId") {
        draft.move_resource_group(Tagged::Peering, id, group)?;
    }
    Ok(json!({}))
}

fn reject(call: &Call, draft: &mut Draft) -> Answer {
    draft.reject_peering(call.need("InstanceId")?)?;
    Ok(json!({}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let link_type = call.word("LinkType", &LINK_TYPES)?;
    let change = PeeringChange {
        name: call.name("Name", 1)?,
        description: call.description("Description")?,
        bandwidth: bandwidth(call)?,
        link_type: link_type.map(str::to_owned),
    };
    draft.modify_peering(call.need("InstanceId")?, change)?;
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_peering(call.need("InstanceId")?, call.flag("Force")? == Some(true))?;
    Ok(json!({}))
}

fn ends<'a>(cloud: &'a Cloud, peering: &Peering) -> Option<[&'a Vpc; 2]> {
    let end = |id| cloud.vpcs.get(id);
    Some([end(&peering.vpc)?, end(&peering.accepting_vpc)?])
}

fn end_view(vpc: &Vpc) -> Value {
    let cidrs: Vec<String> = vpc.cidrs.iter().map(ToString::to_string).collect();
    json!({"VpcId": vpc.id, "Ipv4Cidrs": cidrs})
}

fn view(call: &Call, cloud: &Cloud, peering: &Peering, [a, b]: [&Vpc; 2]) -> Value {
    let crosses = cloud.crosses_regions(a, b);
    let bandwidth = match (crosses, peering.bandwidth) {
        (false, _) => -1,
        (true, 0) => DEFAULT_BANDWIDTH.into(),
        (true, named) => i64::from(named),
    };
    let link_type = match (crosses, &*peering.link_type) {
        (true, "") => LINK_TYPES[0],
        (_, named) => named,
    };
    let meta = &peering.meta;
    let tags = meta.tags.iter();
    let tags: Vec<Value> = tags
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    json!({
        "InstanceId": peering.id,
        "Name": meta.name,
        "Description": meta.description,
        "Status": peering.status().name(),
        "BizStatus": "Normal",
        "Bandwidth": bandwidth,
        "LinkType": link_type,
        "RegionId": region_of(call, a),
        "AcceptingRegionId": region_of(call, b),
        "OwnerId": peering.accepting_account,
        "AcceptingOwnerUid": peering.accepting_account,
        "Vpc": end_view(a),
        "AcceptingVpc": end_view(b),
        "GmtCreate": stamp(meta.created),
        "GmtModified": stamp(peering.modified.max(meta.created)),
        "ResourceGroupId": meta.resource_group(),
        "Tags": tags,
    })
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    // A list travels as one text with commas; some clients write one parameter for each element.
    let wanted = call.list("VpcId");
    let wanted: Vec<&str> = wanted.iter().flat_map(|it| it.split(',')).collect();
    let found = cloud.peerings.iter().filter_map(|peering| {
        let ends = ends(cloud, peering)?;
        let fits = call.is("InstanceId", &peering.id)
            && call.is("Name", &peering.meta.name)
            && (wanted.is_empty() || ends.iter().any(|vpc| wanted.contains(&&*vpc.id)))
            && ends.iter().any(|vpc| in_region(call, vpc))
            && call.matches_tags("Tags", &peering.meta);
        fits.then_some((peering, ends))
    });
    let found: Vec<_> = found.collect();
    let total = found.len();
    let key = |(peering, _): &(&Peering, [&Vpc; 2])| peering.id.clone();
    let (page, next, size) = call.page_after("MaxResults", 20, 100, found, key)?;
    let page = page.into_iter();
    let page: Vec<Value> = page
        .map(|(peering, ends)| view(call, cloud, peering, ends))
        .collect();
    Ok(json!({
        "VpcPeerConnects": page,
        "NextToken": next,
        "MaxResults": size,
        "TotalCount": total,
    }))
}

fn get(call: &Call, cloud: &Cloud) -> Answer {
    let peering = cloud.peering(call.need("InstanceId")?)?;
    let ends = [cloud.vpc(&peering.vpc)?, cloud.vpc(&peering.accepting_vpc)?];
    Ok(view(call, cloud, peering, ends))
}

fn tag(call: &Call, draft: &mut Draft) -> Answer {
    let answer = tag_of(TYPES, call, draft)?;
    Ok(join(answer, json!({"Success": true})))
}

fn untag(call: &Call, draft: &mut Draft) -> Answer {
    let answer = untag_of(TYPES, call, draft)?;
    Ok(join(answer, json!({"Success": true})))
}

/// As the other products list tags, but nested as this one does.
fn list_tags(call: &Call, cloud: &Cloud) -> Answer {
    let mut answer = list_of(TYPES, call, cloud)?;
    let mut tags = answer["TagResources"]["TagResource"].take();
    for tag in tags.as_array_mut().into_iter().flatten() {
        tag["RegionNo"] = call.region.into();
    }
    answer["TagResources"] = tags;
    answer["MaxResults"] = call.int("MaxResults")?.unwrap_or(50).into();
    Ok(answer)
}

fn move_resource_group(call: &Call, draft: &mut Draft) -> Answer {
    let (_, kind) = kind(TYPES, call)?;
    let (id, group) = (call.need("ResourceId")?, call.need("NewResourceGroupId")?);
    draft.move_resource_group(kind, id, group)?;
    Ok(json!({"Success": true}))
}
