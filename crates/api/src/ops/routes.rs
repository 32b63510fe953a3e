//! Route tables and route entries.

use super::vpc::in_region;
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call, ids, join, parse_cidr, stamp, tag_list};
use crate::spec::{invalid, missing};
use control::records::{NextHop, Route, RouteTable};
use control::{Cloud, Draft, Refusal};
use ipnet::Ipv4Net;
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateRouteTable", C(create_table)),
    ("DescribeRouteTableList", Q(list_tables)),
    ("DescribeRouteTables", Q(describe_tables)),
    ("ModifyRouteTableAttributes", C(modify_table)),
    ("DeleteRouteTable", C(delete_table)),
    ("AssociateRouteTable", C(associate)),
    ("UnassociateRouteTable", C(unassociate)),
    ("CreateRouteEntry", C(create_entry)),
    ("CreateRouteEntries", C(create_entries)),
    ("DescribeRouteEntryList", Q(list_entries)),
    ("ModifyRouteEntry", C(modify_entry)),
    ("DeleteRouteEntry", C(delete_entry)),
    ("DeleteRouteEntries", C(delete_entries)),
    ("GetVpcRouteEntrySummary", Q(summary)),
];

/// The most entries of one call.
const MAX_ENTRIES: usize = 50;

fn create_table(call: &Call, draft: &mut Draft) -> Answer {
    if call
        .text("AssociateType")
        .is_some_and(|it| !it.eq_ignore_ascii_case("VSwitch"))
    {
        return Err(invalid(
            "AssociateType",
            "Route tables of gateways are not supported, only VSwitch.",
        ));
    }
    let mut meta = draft.meta(
        call.name("RouteTableName", 1)?.unwrap_or_default(),
        call.description("Description")?.unwrap_or_default(),
    );
    meta.tags = call.tags()?;
    let table = draft.create_route_table(call.need("VpcId")?, meta)?;
    Ok(json!({"RouteTableId": table.id}))
}

fn kind(table: &RouteTable) -> &'static str {
    if table.system { "System" } else { "Custom" }
}

/// The tables that a call asks for, with their routers.
fn tables<'a>(call: &Call, cloud: &'a Cloud, name: &str) -> Vec<(&'a RouteTable, &'a str)> {
    let tables = cloud.route_tables.iter().filter_map(|table| {
        let vpc = cloud.vpcs.get(&table.vpc)?;
        let fits = call.is("RouteTableId", &table.id)
            && call.is("RouteTableName", &table.meta.name)
            && call.is("VpcId", &table.vpc)
            && call.is("RouterId", &vpc.router)
            && call.is("VRouterId", &vpc.router)
            && call.is("RouterType", "VRouter")
            && call
                .text(name)
                .is_none_or(|it| it.eq_ignore_ascii_case(kind(table)))
            && in_region(call, vpc)
            && call.is("ResourceGroupId", group(cloud, table))
            && call.has_tags("Tag", &table.meta);
        fits.then_some((table, &*vpc.router))
    });
    tables.collect()
}

/// The resource group of a route table: that of its VPC, until it is moved to another one.
fn group<'a>(cloud: &'a Cloud, table: &'a RouteTable) -> &'a str {
    match (&*table.meta.resource_group, cloud.vpcs.get(&table.vpc)) {
        ("", Some(vpc)) => vpc.meta.resource_group(),
        _ => table.meta.resource_group(),
    }
}

fn list_tables(call: &Call, cloud: &Cloud) -> Answer {
    let (page, position) = call.page(tables(call, cloud, "RouteTableType"), 50)?;
    let page = page.into_iter().map(|(table, router)| {
        json!({
            "RouteTableId": table.id,
            "RouteTableName": table.meta.name,
            "Description": table.meta.description,
            "RouteTableType": kind(table),
            "AssociateType": "VSwitch",
            "RouterId": router,
            "RouterType": "VRouter",
            "VpcId": table.vpc,
            "VSwitchIds": {"VSwitchId": ids(cloud.vswitches.iter(), |it| it.route_table == table.id, |it| &it.id)},
            "Status": "Available",
            "CreationTime": stamp(table.meta.created),
            "ResourceGroupId": group(cloud, table),
            "Tags": tag_list(&table.meta),
        })
    });
    let page: Vec<Value> = page.collect();
    Ok(join(
        position,
        json!({"RouterTableList": {"RouterTableListType": page}}),
    ))
}

/// An entry as routing goes by it: custom ones, and the local ones of the vSwitches.
enum Entry<'a> {
    Custom(&'a Route),
    Local {
        table: &'a RouteTable,
        vswitch: &'a str,
        destination: Ipv4Net,
    },
}

impl<'a> Entry<'a> {
    fn id(&self) -> String {
        match self {
            Entry::Custom(route) => route.id.clone(),
            Entry::Local { table, vswitch, .. } => format!("rte-{}-{vswitch}", table.id),
        }
    }

    fn destination(&self) -> Ipv4Net {
        match self {
            Entry::Custom(route) => route.destination,
            Entry::Local { destination, .. } => *destination,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Entry::Custom(_) => "Custom",
            Entry::Local { .. } => "System",
        }
    }

    /// Type and identifier of the next hop.
    fn next_hop(&self, cloud: &'a Cloud) -> (&'static str, &'a str) {
        match self {
            Entry::Local { .. } => ("local", ""),
            Entry::Custom(route) => match cloud.diverts(route) {
                // A person sees the interface by which packets enter it.
                Some(firewall) => ("NetworkInterface", &firewall.eni),
                None => next_hop_view(&route.next_hop),
            },
        }
    }
}

fn next_hop_view(hop: &NextHop) -> (&'static str, &str) {
    match hop {
        NextHop::Instance(id) => ("Instance", id),
        NextHop::Eni(id) => ("NetworkInterface", id),
        NextHop::NatGateway(id) => ("NatGateway", id),
        NextHop::Peering(id) => ("VpcPeer", id),
        NextHop::Blackhole => ("BlackHole", ""),
    }
}

fn entries<'a>(cloud: &'a Cloud, table: &'a RouteTable) -> Vec<Entry<'a>> {
    let custom = cloud
        .routes
        .iter()
        .filter(|it| it.table == table.id)
        .map(Entry::Custom);
    let local = cloud.vswitches.iter().filter(|it| it.vpc == table.vpc);
    let local = local.map(|vswitch| Entry::Local {
        table,
        vswitch: &vswitch.id,
        destination: vswitch.cidr,
    });
    custom.chain(local).collect()
}

fn describe_tables(call: &Call, cloud: &Cloud) -> Answer {
    let (page, position) = call.page(tables(call, cloud, "Type"), 50)?;
    let page = page.into_iter().map(|(table, router)| {
        let entries = entries(cloud, table);
        let entries = entries.iter().map(|entry| {
            let (hop_type, hop) = entry.next_hop(cloud);
            json!({
                "RouteTableId": table.id,
                "RouteEntryId": entry.id(),
                "RouteEntryName": entry_meta(entry).0,
                "Description": entry_meta(entry).1,
                "DestinationCidrBlock": entry.destination().to_string(),
                "Type": entry.kind(),
                "Status": "Available",
                "InstanceId": hop,
                "NextHopType": hop_type,
                "NextHops": {"NextHop": [
                    {"NextHopId": hop, "NextHopType": hop_type, "Enabled": 1, "Weight": 0},
                ]},
            })
        });
        json!({
            "RouteTableId": table.id,
            "RouteTableType": kind(table),
            "VRouterId": router,
            "Status": "Available",
            "CreationTime": stamp(table.meta.created),
            "ResourceGroupId": group(cloud, table),
            "VSwitchIds": {"VSwitchId": ids(cloud.vswitches.iter(), |it| it.route_table == table.id, |it| &it.id)},
            "RouteEntrys": {"RouteEntry": entries.collect::<Vec<_>>()},
        })
    });
    let page: Vec<Value> = page.collect();
    Ok(join(position, json!({"RouteTables": {"RouteTable": page}})))
}

fn entry_meta<'a>(entry: &'a Entry) -> (&'a str, &'a str) {
    match entry {
        Entry::Custom(route) => (&route.meta.name, &route.meta.description),
        Entry::Local { .. } => ("", "Created with vSwitch by system."),
    }
}

fn modify_table(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("RouteTableId")?;
    draft.route_table(id)?;
    let name = call.name("RouteTableName", 1)?;
    let description = call.description("Description")?;
    if let Some(table) = draft.route_tables.get_mut(id) {
        table.meta.name = name.unwrap_or_else(|| table.meta.name.clone());
        table.meta.description = description.unwrap_or_else(|| table.meta.description.clone());
    }
    Ok(json!({}))
}

fn delete_table(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_route_table(call.need("RouteTableId")?)?;
    Ok(json!({}))
}

fn associate(call: &Call, draft: &mut Draft) -> Answer {
    draft.associate_route_table(call.need("RouteTableId")?, call.need("VSwitchId")?)?;
    Ok(json!({}))
}

fn unassociate(call: &Call, draft: &mut Draft) -> Answer {
    draft.unassociate_route_table(call.need("RouteTableId")?, call.need("VSwitchId")?)?;
    Ok(json!({}))
}

/// A next hop by its type (an instance, if it is left out) and identifier.
fn next_hop(kind: Option<&str>, id: Option<&str>) -> Result<NextHop, ApiError> {
    let kind = kind.unwrap_or("Instance");
    if kind.eq_ignore_ascii_case("BlackHole") {
        return Ok(NextHop::Blackhole);
    }
    let id = id.ok_or_else(|| missing("NextHopId"))?.to_owned();
    type Hop = fn(String) -> NextHop;
    let types: [(&str, Hop); 4] = [
        ("Instance", NextHop::Instance),
        ("NetworkInterface", NextHop::Eni),
        ("NatGateway", NextHop::NatGateway),
        ("VpcPeer", NextHop::Peering),
    ];
    match types
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind))
    {
        Some((_, hop)) => Ok(hop(id)),
        None => {
            let known = types.map(|(name, _)| name).join(", ");
            let why = format!("{kind:?} is none of {known}, BlackHole.");
            Err(ApiError::bad("InvalidNextHopType.NotSupported", why))
        }
    }
}

fn create_entry(call: &Call, draft: &mut Draft) -> Answer {
    let Some(destination) = call.cidr("DestinationCidrBlock")? else {
        return Err(missing("DestinationCidrBlock"));
    };
    let hop = match &*call.params.objects("NextHopList") {
        [] => next_hop(call.text("NextHopType"), call.text("NextHopId"))?,
        [one] => next_hop(
            call.text(&format!("{one}.NextHopType")),
            call.text(&format!("{one}.NextHopId")),
        )?,
        _ => {
            return Err(invalid(
                "NextHopList",
                "Several next hops of one entry are not supported.",
            ));
        }
    };
    let meta = draft.meta(
        call.name("RouteEntryName", 1)?.unwrap_or_default(),
        call.description("Description")?.unwrap_or_default(),
    );
    let route = draft.create_route(call.need("RouteTableId")?, destination, hop, meta)?;
    Ok(json!({"RouteEntryId": route.id}))
}

/// Entries one by one; those that cannot be made are told, the others are made.
fn create_entries(call: &Call, draft: &mut Draft) -> Answer {
    let objects = objects(call)?;
    let mut made = Vec::new();
    let mut failed = Vec::new();
    for object in &objects {
        let field = |name: &str| call.text(&format!("{object}.{name}"));
        let create = |draft: &mut Draft| -> Result<String, ApiError> {
            let destination = field("DstCidrBlock").ok_or_else(|| missing("DstCidrBlock"))?;
            let destination = parse_cidr("DstCidrBlock", destination)?;
            let hop = next_hop(field("NextHopType"), field("NextHop"))?;
            let meta = draft.meta(
                call.name(&format!("{object}.Name"), 1)?.unwrap_or_default(),
                call.description(&format!("{object}.Description"))?
                    .unwrap_or_default(),
            );
            let table = field("RouteTableId").ok_or_else(|| missing("RouteTableId"))?;
            Ok(draft.create_route(table, destination, hop, meta)?.id)
        };
        match create(draft) {
            Ok(id) => made.push(id),
            Err(error) => failed.push(json!({
                "DstCidrBlock": field("DstCidrBlock").unwrap_or_default(),
                "NextHop": field("NextHop").unwrap_or_default(),
                "FailedCode": error.code,
                "FailedMessage": error.message,
            })),
        }
    }
    Ok(json!({
        "RouteEntryIds": made,
        "SuccessCount": made.len(),
        "FailedCount": failed.len(),
        "FailedRouteEntries": failed,
    }))
}

fn objects(call: &Call) -> Result<Vec<String>, ApiError> {
    let objects = call.params.objects("RouteEntries");
    match objects.len() {
        0..=MAX_ENTRIES => Ok(objects),
        many => Err(invalid(
            "RouteEntries",
            format!("{many} are given: at most {MAX_ENTRIES} are allowed."),
        )),
    }
}

fn list_entries(call: &Call, cloud: &Cloud) -> Answer {
    let table = cloud.route_table(call.need("RouteTableId")?)?;
    let destinations = call.list("DestCidrBlockList");
    let found: Vec<Entry> = entries(cloud, table)
        .into_iter()
        .filter(|entry| {
            let (hop_type, hop) = entry.next_hop(cloud);
            let destination = entry.destination().to_string();
            call.is("RouteEntryId", &entry.id())
                && call.is("RouteEntryName", entry_meta(entry).0)
                && call.is("DestinationCidrBlock", &destination)
                && (destinations.is_empty() || destinations.contains(&&*destination))
                && call.is("NextHopId", hop)
                && call
                    .text("NextHopType")
                    .is_none_or(|it| it.eq_ignore_ascii_case(hop_type))
                && call
                    .text("RouteEntryType")
                    .is_none_or(|it| it.eq_ignore_ascii_case(entry.kind()))
                && call
                    .text("IpVersion")
                    .is_none_or(|it| it.eq_ignore_ascii_case("ipv4"))
        })
        .collect();
    let total = found.len();
    let (page, next, _) = call.page_after("MaxResult", 50, 100, found, Entry::id)?;
    let page = page.iter().map(|entry| {
        let (hop_type, hop) = entry.next_hop(cloud);
        json!({
            "RouteTableId": table.id,
            "RouteEntryId": entry.id(),
            "RouteEntryName": entry_meta(entry).0,
            "Description": entry_meta(entry).1,
            "DestinationCidrBlock": entry.destination().to_string(),
            "IpVersion": "ipv4",
            "Type": entry.kind(),
            "Status": "Available",
            "NextHops": {"NextHop": [
                {"NextHopId": hop, "NextHopType": hop_type, "Enabled": 1, "Weight": 0, "NextHopRegionId": call.region},
            ]},
        })
    });
    let page: Vec<Value> = page.collect();
    Ok(json!({"RouteEntrys": {"RouteEntry": page}, "NextToken": next, "TotalCount": total}))
}

fn modify_entry(call: &Call, draft: &mut Draft) -> Answer {
    let id = match call.text("RouteEntryId") {
        Some(id) => draft.route(id)?.id.clone(),
        None => find(call, draft, "RouteTableId", "DestinationCidrBlock")?,
    };
    if let Some(hop) = call.text("NewNextHopId") {
        let had = draft.route(&id)?;
        let kind = call
            .text("NewNextHopType")
            .unwrap_or(next_hop_view(&had.next_hop).0);
        draft.modify_route(&id, next_hop(Some(kind), Some(hop))?)?;
    }
    let name = call.name("RouteEntryName", 1)?;
    let description = call.description("Description")?;
    if let Some(route) = draft.routes.get_mut(&id) {
        route.meta.name = name.unwrap_or_else(|| route.meta.name.clone());
        route.meta.description = description.unwrap_or_else(|| route.meta.description.clone());
    }
    Ok(json!({}))
}

/// The entry of a table for a destination.
fn find(call: &Call, cloud: &Cloud, table: &str, destination: &str) -> Result<String, ApiError> {
    let of = cloud.route_table(call.need(table)?)?;
    let wanted = parse_cidr(destination, call.need(destination)?)?;
    let mut routes = cloud.routes.iter().filter(|it| it.table == of.id);
    match routes.find(|it| it.destination == wanted) {
        Some(route) => Ok(route.id.clone()),
        None => {
            let why = format!(
                "The route table {} has no custom entry for {wanted}.",
                of.id
            );
            Err(ApiError::not_found("InvalidRouteEntry.NotFound", why))
        }
    }
}

/// Whether the entry leads where the caller believes.
fn leads_to(draft: &Draft, id: &str, hop: Option<&str>) -> Result<(), Refusal> {
    let has = Entry::Custom(draft.route(id)?).next_hop(draft).1;
    match hop {
        Some(hop) if hop != has => {
            let why = format!("The route entry leads to {has:?}, not to {hop:?}.");
            Err(Refusal::not_found("InvalidRouteEntry.NotFound", why))
        }
        _ => Ok(()),
    }
}

fn delete_entry(call: &Call, draft: &mut Draft) -> Answer {
    let id = match call.text("RouteEntryId") {
        Some(id) => id.to_owned(),
        None => find(call, draft, "RouteTableId", "DestinationCidrBlock")?,
    };
    leads_to(draft, &id, call.text("NextHopId"))?;
    draft.delete_route(&id)?;
    Ok(json!({}))
}

fn delete_entries(call: &Call, draft: &mut Draft) -> Answer {
    let objects = objects(call)?;
    let mut failed = Vec::new();
    for object in &objects {
        let field = |name: &str| call.text(&format!("{object}.{name}"));
        let delete = |draft: &mut Draft| -> Result<(), ApiError> {
            let id = match field("RouteEntryId") {
                Some(id) => id.to_owned(),
                None => find(
                    call,
                    draft,
                    &format!("{object}.RouteTableId"),
                    &format!("{object}.DstCidrBlock"),
                )?,
            };
            leads_to(draft, &id, field("NextHop"))?;
            Ok(draft.delete_route(&id)?)
        };
        if let Err(error) = delete(draft) {
            failed.push(json!({
                "RouteEntryId": field("RouteEntryId").unwrap_or_default(),
                "DstCidrBlock": field("DstCidrBlock").unwrap_or_default(),
                "NextHop": field("NextHop").unwrap_or_default(),
                "FailedCode": error.code,
                "FailedMessage": error.message,
            }));
        }
    }
    Ok(json!({
        "SuccessCount": objects.len() - failed.len(),
        "FailedCount": failed.len(),
        "FailedRouteEntries": failed,
    }))
}

fn summary(call: &Call, cloud: &Cloud) -> Answer {
    let vpc = cloud.vpc(call.need("VpcId")?)?;
    let wanted = call.need("RouteEntryType")?;
    let tables = cloud.route_tables.iter();
    let tables = tables.filter(|it| it.vpc == vpc.id && call.is("RouteTableId", &it.id));
    let tables = tables.map(|table| {
        let entries = entries(cloud, table);
        let count = |kind: &str| entries.iter().filter(|it| it.kind() == kind).count();
        let counts = ["Custom", "System"].into_iter();
        let counts = counts
            .filter(|kind| wanted.eq_ignore_ascii_case("All") || wanted.eq_ignore_ascii_case(kind));
        let counts = counts.map(|kind| json!({"RouteEntryType": kind, "Count": count(kind)}));
        json!({"RouteTableId": table.id, "EntrySummarys": counts.collect::<Vec<_>>()})
    });
    Ok(json!({"RouteEntrySummarys": tables.collect::<Vec<_>>()}))
}
