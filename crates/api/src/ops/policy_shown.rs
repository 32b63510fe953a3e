//! Policies as answers show them: what the operations of all firewalls have in common.

use crate::ApiError;
use crate::call::Call;
use crate::firewall::{Firewalls, Hits};
use crate::service;
use control::Cloud;
use control::firewall::policies::FiledPolicy;
use model::text::{ICMP, TCP, UDP};
use model::{
    BookContent, ControlPolicy, DomainResolve, Id, PolicyAction, PolicyDestination, PolicyPorts,
    PolicyScope, PolicySource, RepeatDays, Validity,
};
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;

/// The word for how a policy's time repeats.
pub(super) fn repeat(validity: &Validity) -> &'static str {
    match validity {
        Validity::Permanent => "Permanent",
        Validity::Once { .. } => "None",
        Validity::Repeated { days, .. } => match days {
            RepeatDays::Daily => "Daily",
            RepeatDays::Weekly(_) => "Weekly",
            RepeatDays::Monthly(_) => "Monthly",
        },
    }
}

fn of_day(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The source of a policy as it is shown: its type and text.
pub(super) fn shown_source(cloud: &Cloud, source: &PolicySource) -> (&'static str, String) {
    match source {
        PolicySource::Net(net) => ("net", net.to_string()),
        PolicySource::Book(id) => ("group", book_name(cloud, id)),
        PolicySource::Location(codes) => ("location", json!(codes).to_string()),
    }
}

/// The same of the destination.
pub(super) fn shown_destination(
    cloud: &Cloud,
    destination: &PolicyDestination,
) -> (&'static str, String) {
    match destination {
        PolicyDestination::Net(net) => ("net", net.to_string()),
        PolicyDestination::Book(id) => ("group", book_name(cloud, id)),
        PolicyDestination::Domain(pattern) => ("domain", pattern.to_string()),
        PolicyDestination::Location(codes) => ("location", json!(codes).to_string()),
    }
}

fn book_name(cloud: &Cloud, id: &str) -> String {
    let book = cloud.books.get(id);
    book.map_or_else(|| id.to_owned(), |it| it.meta.name.clone())
}

/// What kind of book it is, and what is in it.
pub(super) fn shown_book(cloud: &Cloud, id: Option<&Id>) -> (&'static str, Vec<String>) {
    let Some(book) = id.and_then(|id| cloud.books.get(id)) else {
        return ("", Vec::new());
    };
    let content = cloud.content(book);
    (kind_of_book(&content), entries(&content))
}

/// The word for a kind of book.
pub(super) fn kind_of_book(content: &BookContent) -> &'static str {
    match content {
        BookContent::Ip(_) => "ip",
        BookContent::Ipv6(_) => "ipv6",
        BookContent::Domain(_) => "domain",
        BookContent::Port(_) => "port",
        BookContent::Tag(_) => "tag",
        BookContent::Threat(_) => "threat",
        BookContent::Cloud(_) => "allCloud",
    }
}

/// The entries of a book as texts. What is in one of a cloud service only the running firewalls know.
pub(super) fn entries(content: &BookContent) -> Vec<String> {
    fn texts<T: ToString>(list: &[T]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }
    match content {
        BookContent::Ip(list) => texts(list),
        BookContent::Ipv6(list) => texts(list),
        BookContent::Domain(list) => texts(list),
        BookContent::Port(list) => {
            let ports = list.iter();
            let ports = ports.map(|it| format!("{}/{}", it.start(), it.end()));
            ports.collect()
        }
        BookContent::Tag(list) => list.iter().map(|it| format!("{it}/32")).collect(),
        BookContent::Threat(category) => vec![category.clone()],
        BookContent::Cloud(_) => Vec::new(),
    }
}

/// The word for an IP protocol.
pub(super) fn protocol(policy: &ControlPolicy) -> &'static str {
    match policy.protocol {
        Some(TCP) => "TCP",
        Some(UDP) => "UDP",
        Some(ICMP) => "ICMP",
        _ => "ANY",
    }
}

/// The word for an action.
pub(super) fn action_word(action: PolicyAction) -> &'static str {
    match action {
        PolicyAction::Accept => "accept",
        PolicyAction::Drop => "drop",
        PolicyAction::Log => "log",
    }
}

/// A policy in an answer, with all that those of all firewalls but the DNS firewall have; `SpreadCnt` and
/// `DomainResolveType`, which they write in two ways, are not in it.
pub(super) fn shown_policy(
    cloud: &Cloud,
    firewalls: &dyn Firewalls,
    position: usize,
    filed: &FiledPolicy,
    hits: Hits,
) -> Map<String, Value> {
    let policy = &*filed.policy;
    let (source_type, source) = shown_source(cloud, &policy.source);
    let (destination_type, destination) = shown_destination(cloud, &policy.destination);
    let book = |field: &str| {
        let mut books = policy.books().into_iter().flatten();
        books.find(|(it, _)| *it == field).map(|(_, id)| id)
    };
    let (source_group, source_cidrs) = shown_book(cloud, book("source"));
    let (destination_group, destination_cidrs) = shown_book(cloud, book("destination"));
    let (_, group_ports) = shown_book(cloud, book("ports"));
    let (port_type, port, port_group) = match &policy.ports {
        PolicyPorts::Any if policy.protocol == Some(ICMP) => ("port", String::new(), String::new()),
        PolicyPorts::Any => ("port", "0/0".into(), String::new()),
        PolicyPorts::Range(range) => {
            let text = format!("{}/{}", range.start(), range.end());
            ("port", text, String::new())
        }
        PolicyPorts::Book(id) => ("group", String::new(), book_name(cloud, id)),
    };
    let resolved = match (&policy.destination, policy.resolve) {
        (PolicyDestination::Domain(pattern), DomainResolve::Dns | DomainResolve::Both) => {
            firewalls.resolved(&pattern.to_string())
        }
        _ => None,
    };
    let resolved = resolved.unwrap_or_default();
    let addresses: Vec<String> = resolved.addresses.iter().map(Ipv4Addr::to_string).collect();
    let (mut from, mut until, mut days, mut clock) = (0, 0, Vec::new(), None);
    match &policy.validity {
        Validity::Permanent => {}
        Validity::Once { from: a, until: b } => (from, until) = (*a, *b),
        Validity::Repeated {
            from: a,
            until: b,
            days: on,
            start,
            end,
            offset,
        } => {
            (from, until) = (a.unwrap_or(0), b.unwrap_or(0));
            if let RepeatDays::Weekly(on) | RepeatDays::Monthly(on) = on {
                days.clone_from(on);
            }
            clock = Some((of_day(*start), of_day(*end), offset.to_string()));
        }
    }
    let (start, end, zone) = clock.unwrap_or_default();
    let value = json!({
        "AclUuid": policy.id,
        "Order": position + 1,
        "Description": policy.description,
        "AclAction": action_word(policy.action),
        "Proto": protocol(policy),
        "SourceType": source_type,
        "Source": source,
        "SourceGroupType": source_group,
        "SourceGroupCidrs": source_cidrs,
        "DestinationType": destination_type,
        "Destination": destination,
        "DestinationGroupType": destination_group,
        "DestinationGroupCidrs": destination_cidrs,
        "DestPortType": port_type,
        "DestPort": port,
        "DestPortGroup": port_group,
        "DestPortGroupPorts": group_ports,
        "ApplicationNameList": application_names(policy),
        "Release": if policy.enabled { "true" } else { "false" },
        "RepeatType": repeat(&policy.validity),
        "StartTime": from,
        "EndTime": until,
        "RepeatDays": days,
        "RepeatStartTime": start,
        "RepeatEndTime": end,
        "RepeatTimeZone": zone,
        "DnsResult": addresses.join(","),
        "DnsResultTime": resolved.at,
        "CreateTime": filed.created,
        "ModifyTime": filed.modified.max(filed.created),
        "HitTimes": hits.count,
        "HitBytes": hits.bytes,
        "HitLastTime": hits.last.unwrap_or(0),
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The names of a policy's applications.
pub(super) fn application_names(policy: &ControlPolicy) -> Vec<&'static str> {
    match policy.applications.is_empty() {
        true => vec!["ANY"],
        false => policy.applications.iter().map(|it| it.name()).collect(),
    }
}

/// Whether a policy meets the conditions that the lists of all firewalls have.
pub(super) fn fits(call: &Call, cloud: &Cloud, policy: &ControlPolicy) -> bool {
    let contains = |name: &str, text: &dyn Fn() -> String| {
        let wanted = call.text(name);
        wanted.is_none_or(|wanted| text().to_lowercase().contains(&wanted.to_lowercase()))
    };
    let word = |name: &str, text: &str| {
        let wanted = call.text(name);
        wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(text))
    };
    call.is("AclUuid", &policy.id)
        && word("AclAction", action_word(policy.action))
        && word("Proto", protocol(policy))
        && word("Release", if policy.enabled { "true" } else { "false" })
        && word("RepeatType", repeat(&policy.validity))
        && contains("Description", &|| policy.description.clone())
        && contains("Source", &|| shown_source(cloud, &policy.source).1)
        && contains("Destination", &|| {
            shown_destination(cloud, &policy.destination).1
        })
}

/// A page of the policies of firewalls that meet the conditions of a call, each with where it stands and what has
/// matched it.
pub(super) struct Page {
    /// They.
    pub policies: Vec<(PolicyScope, usize, FiledPolicy, Hits)>,
    /// How many there are in all, the page's number and its size.
    pub position: [i64; 3],
}

/// The parameters of [`fits`].
const CONDITIONS: [&str; 8] = [
    "AclUuid",
    "AclAction",
    "Proto",
    "Release",
    "RepeatType",
    "Description",
    "Source",
    "Destination",
];

/// The largest page of policies.
const LARGEST: i64 = 100;

pub(super) fn page(
    call: &Call,
    cloud: &Cloud,
    service: &service::Cloud,
    scopes: &[PolicyScope],
) -> Result<Page, ApiError> {
    // Without a condition there is nothing to look at in any.
    let all = CONDITIONS.iter().all(|it| call.text(it).is_none());
    let mut found = Vec::new();
    for scope in scopes {
        let Some(list) = cloud.policies.get(scope) else {
            continue;
        };
        if all {
            found.extend((0..list.len()).map(|n| (scope, list, n)));
            continue;
        }
        let policies = list.policies().iter().enumerate();
        let fitting = policies.filter(|(_, policy)| fits(call, cloud, policy));
        found.extend(fitting.map(|(n, _)| (scope, list, n)));
    }
    let (page, position) = call.page_of("CurrentPage", found, LARGEST)?;
    let firewalls = service.firewalls();
    let mut policies = Vec::with_capacity(page.len());
    for (scope, list, n) in page {
        if let Some(filed) = list.get(n) {
            let hits = firewalls.hits(scope, &[&filed.policy.id]);
            let hits = hits.first().copied().unwrap_or_default();
            policies.push((scope.clone(), n, filed.clone(), hits));
        }
    }
    Ok(Page { policies, position })
}
