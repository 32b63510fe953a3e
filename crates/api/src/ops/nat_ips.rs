//! NAT IPs of VPC NAT gateways, and the blocks that they are taken from.

use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, stamp};
use crate::spec::missing;
use control::records::{Meta, NatGateway, NatIp, NatIpCidr};
use control::{Cloud, Draft};
use ipnet::Ipv4Net;
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateNatIpCidr", C(create_cidr)),
    ("ListNatIpCidrs", Q(list_cidrs)),
    ("ModifyNatIpCidrAttribute", C(modify_cidr)),
    ("DeleteNatIpCidr", C(delete_cidr)),
    ("CreateNatIp", C(create)),
    ("ListNatIps", Q(list)),
    ("ModifyNatIpAttribute", C(modify)),
    ("DeleteNatIp", C(delete)),
];

fn cidr(call: &Call) -> Result<Ipv4Net, ApiError> {
    call.cidr("NatIpCidr")?.ok_or_else(|| missing("NatIpCidr"))
}

fn no_prefix(call: &Call) -> Result<(), ApiError> {
    let given = ["Ipv4Prefix", "Ipv4PrefixCount"];
    match given.iter().any(|name| call.text(name).is_some()) {
        true => {
            let why = "NAT IPs are made one by one, not by prefixes.";
            Err(ApiError::bad("OperationUnsupported.Ipv4Prefix", why))
        }
        false => Ok(()),
    }
}

fn create_cidr(call: &Call, draft: &mut Draft) -> Answer {
    let meta = draft.meta(
        call.name("NatIpCidrName", 2)?.unwrap_or_default(),
        call.description("NatIpCidrDescription")?
            .unwrap_or_default(),
    );
    let made = draft.create_nat_ip_cidr(call.need("NatGatewayId")?, cidr(call)?, meta)?;
    Ok(json!({"NatIpCidrId": made.id}))
}

/// Changes name and description, as far as they are given.
fn rename(call: &Call, meta: &mut Meta, name: &str, description: &str) -> Result<(), ApiError> {
    meta.name = call
        .name(name, 2)?
        .unwrap_or(std::mem::take(&mut meta.name));
    let had = std::mem::take(&mut meta.description);
    meta.description = call.description(description)?.unwrap_or(had);
    Ok(())
}

fn modify_cidr(call: &Call, draft: &mut Draft) -> Answer {
    let gateway = call.need("NatGatewayId")?;
    let mut changed = draft.nat_ip_cidr(gateway, cidr(call)?)?.clone();
    rename(
        call,
        &mut changed.meta,
        "NatIpCidrName",
        "NatIpCidrDescription",
    )?;
    draft.nat_ip_cidrs.put(changed);
    Ok(json!({}))
}

fn delete_cidr(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_nat_ip_cidr(call.need("NatGatewayId")?, cidr(call)?)?;
    Ok(json!({}))
}

/// Whether the texts of a list are left out or one of them is this one.
fn is_listed(call: &Call, name: &str, text: &str) -> bool {
    let wanted = call.list(name);
    wanted.is_empty() || wanted.contains(&text)
}

fn is_available(call: &Call, name: &str) -> bool {
    let wanted = call.text(name);
    wanted.is_none_or(|it| it.eq_ignore_ascii_case("Available"))
}

/// These lists take the number of results as a text.
fn page<T>(
    call: &Call,
    found: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Value), ApiError> {
    let total = found.len().to_string();
    let (page, next, _) = call.page_after("MaxResults", 20, 100, found, key)?;
    Ok((page, json!({"NextToken": next, "TotalCount": total})))
}

fn list_cidrs(call: &Call, cloud: &Cloud) -> Answer {
    let gateway = cloud.vpc_nat_gateway(call.need("NatGatewayId")?)?;
    let found = cloud.nat_ip_cidrs_of(&gateway.id).filter(|it| {
        let block = it.cidr.to_string();
        call.is("NatIpCidr", &block)
            && is_listed(call, "NatIpCidrs", &block)
            && is_listed(call, "NatIpCidrName", &it.meta.name)
            && is_available(call, "NatIpCidrStatus")
    });
    let (page, mut answer) = page(call, found.collect(), |it| it.id.clone())?;
    let page = page.into_iter().map(|it: &NatIpCidr| {
        json!({
            "NatIpCidrId": it.id,
            "NatGatewayId": it.gateway,
            "NatIpCidr": it.cidr.to_string(),
            "NatIpCidrName": it.meta.name,
            "NatIpCidrDescription": it.meta.description,
            "NatIpCidrStatus": "Available",
            "CreationTime": stamp(it.meta.created),
            "IsDefault": it.default,
        })
    });
    answer["NatIpCidrs"] = page.collect();
    Ok(answer)
}

fn create(call: &Call, draft: &mut Draft) -> Answer {
    no_prefix(call)?;
    let meta = draft.meta(
        call.name("NatIpName", 2)?.unwrap_or_default(),
        call.description("NatIpDescription")?.unwrap_or_default(),
    );
    let (gateway, wanted) = (call.need("NatGatewayId")?, call.address("NatIp")?);
    let made = draft.create_nat_ip(gateway, cidr(call)?, wanted, meta)?;
    let one = json!({"NatIp": made.address, "NatIpId": made.id});
    Ok(json!({"NatIp": made.address, "NatIpId": made.id, "NatIps": [one]}))
}

/// The block that a NAT IP is of; one that a configuration file has put outside of all blocks is one by itself.
fn block_of(cloud: &Cloud, nat_ip: &NatIp) -> Ipv4Net {
    let mut blocks = cloud.nat_ip_cidrs_of(&nat_ip.gateway).map(|it| it.cidr);
    let found = blocks.find(|it| it.contains(&nat_ip.address));
    found.unwrap_or(nat_ip.address.into())
}

fn list(call: &Call, cloud: &Cloud) -> Answer {
    let gateway: &NatGateway = cloud.vpc_nat_gateway(call.need("NatGatewayId")?)?;
    // There are none of a prefix.
    let of_prefix = call.word("IpOrigin", &["cidr", "prefix"])? == Some("prefix");
    let found = cloud.nat_ips_of(&gateway.id).filter_map(|it| {
        let block = block_of(cloud, it).to_string();
        let fits = call.is("NatIpCidr", &block)
            && is_listed(call, "NatIpIds", &it.id)
            && is_listed(call, "NatIpName", &it.meta.name)
            && is_available(call, "NatIpStatus")
            && !of_prefix
            && call.text("Ipv4Prefix").is_none();
        fits.then_some((it, block))
    });
    let (page, mut answer) = page(call, found.collect(), |(it, _)| it.id.clone())?;
    let page = page.into_iter().map(|(it, block): (&NatIp, String)| {
        json!({
            "NatIpId": it.id,
            "NatGatewayId": it.gateway,
            "NatIp": it.address,
            "NatIpCidr": block,
            "NatIpName": it.meta.name,
            "NatIpDescription": it.meta.description,
            "NatIpStatus": "Available",
            "IsDefault": it.default,
        })
    });
    answer["NatIps"] = page.collect();
    Ok(answer)
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let mut changed = draft.nat_ip(call.need("NatIpId")?)?.clone();
    rename(call, &mut changed.meta, "NatIpName", "NatIpDescription")?;
    draft.nat_ips.put(changed);
    Ok(json!({}))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    no_prefix(call)?;
    let id = call.need("NatIpId")?;
    let nat_ip = draft.nat_ip(id)?;
    if !call.is("NatGatewayId", &nat_ip.gateway) {
        let why = format!("The NAT IP {id} is of {}.", nat_ip.gateway);
        return Err(ApiError::not_found("ResourceNotFound.NatIp", why));
    }
    draft.delete_nat_ip(id)?;
    Ok(json!({}))
}
