//! Address books.

use super::nat_firewalls::account;
use super::policy_fields::description;
use super::policy_shown::{entries, kind_of_book};
use super::{A, C, Handler};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::service;
use crate::spec::{invalid, missing, shown};
use control::firewall::books::{BookChange, Follows};
use control::records::{AddressBook, AssetKind, AssetRule, TagRule};
use control::{Draft, names};
use ipnet::Ipv6Net;
use model::BookContent;
use model::domain::Pattern;
use model::text::parse_ports;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AddAddressBook", C(add)),
    ("DescribeAddressBook", A(describe)),
    ("ModifyAddressBook", C(modify)),
    ("DeleteAddressBook", C(delete)),
];

/// Of a book of many networks so many are shown, and how many there are: as many as a book of the cloud may have.
const MOST_SHOWN: usize = 2_000;
/// The most bytes of a note.
const MAX_NOTE: usize = 256;

fn name(call: &Call) -> Result<String, ApiError> {
    let text = call.need("GroupName")?;
    let name = names::name(text, 1, "ErrorParametersGroupName");
    Ok(name?)
}

fn add(call: &Call, draft: &mut Draft) -> Answer {
    let meta = draft.meta(name(call)?, description(call.need("Description")?)?);
    let kind = kind_wanted(call)?;
    fits_kind(call, kind)?;
    let follows = match kind {
        "tag" => tags(call, None)?.map(Follows::Tags),
        "asset" => assets(call)?.map(Follows::Assets),
        _ => None,
    };
    match (kind, &follows) {
        ("tag", None) => return Err(missing("TagList")),
        ("asset", None) => return Err(missing("AssetRegionResourceTypes")),
        _ => {}
    }
    if follows.is_some() {
        let content = BookContent::Tag(Vec::new());
        let id = draft.create_book(meta, content, BTreeMap::new(), follows)?;
        return Ok(json!({"GroupUuid": id}));
    }
    let given = listed(kind, call.need("AddressList")?)?;
    let (content, notes) = put_together(kind, given)?;
    let id = draft.create_book(meta, content, notes, None)?;
    Ok(json!({"GroupUuid": id}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("GroupUuid")?;
    let book = draft.book_to_change(id)?;
    let mut change = BookChange {
        name: Some(name(call)?),
        description: Some(description(call.need("Description")?)?),
        ..BookChange::default()
    };
    let mode = call.word("ModifyMode", &["Cover", "Append", "Delete"])?;
    fits_kind(call, kind_of(book))?;
    if book.is_following() {
        if mode.is_some() {
            return Err(invalid("ModifyMode", NO_LIST));
        }
        change.follows = match book.assets {
            Some(_) => assets(call)?.map(Follows::Assets),
            None => tags(call, book.tags.as_ref())?.map(Follows::Tags),
        };
    } else if let BookContent::Threat(_) = *book.content {
        if call.text("AddressList").is_some() {
            let why = "What is in it is for threat intelligence to say.";
            return Err(invalid("AddressList", why));
        }
    } else if let Some(text) = call.text("AddressList") {
        let kind = kind_of_book(&book.content);
        let given = listed(kind, text)?;
        let all = match mode.unwrap_or("Cover") {
            "Cover" => given,
            mode => changed(book, mode, given),
        };
        change.content = Some(put_together(kind, all)?);
    }
    draft.modify_book(id, change)?;
    Ok(json!({}))
}

/// Why a list is refused.
const NO_LIST: &str = "A book that follows tags or assets has no list of its own.";
/// Parameters of books that follow Kubernetes clusters.
const OF_CLUSTERS: [&str; 3] = ["AckClusterConnectorId", "AckLabels", "AckNamespaces"];

/// The type of a book that is to be made.
fn kind_wanted(call: &Call) -> Result<&'static str, ApiError> {
    let kinds = ["ip", "ipv6", "domain", "port", "tag", "asset"];
    let asked = call.need("GroupType")?.to_lowercase();
    let why = match &*asked {
        "allcloud" => "Books of cloud services are the operator's: his configuration names them.",
        "threat" | "backsrc" => "Books of this type are the cloud's own.",
        "assetipv6" => "EIPs have no IPv6 addresses.",
        _ if asked.starts_with("ack") => NO_CLUSTERS,
        _ => {
            let kind = call.word("GroupType", &kinds)?;
            return kind.ok_or_else(|| missing("GroupType"));
        }
    };
    Err(invalid("GroupType", why))
}

/// Why a book of a cluster is refused.
const NO_CLUSTERS: &str =
    "There are no Kubernetes clusters here: name addresses, or the tags of instances.";

/// Refuses what says something about books of other types: nothing that is asked for is passed over.
fn fits_kind(call: &Call, kind: &str) -> Result<(), ApiError> {
    let sent = |name: &str| {
        let prefix = format!("{name}.");
        let of_it = |it: &str| it == name || it.starts_with(&prefix);
        let mut all = call.params.iter();
        all.any(|(it, value)| of_it(it) && !value.is_empty())
    };
    if let Some(name) = OF_CLUSTERS.into_iter().find(|it| sent(it)) {
        return Err(invalid(name, NO_CLUSTERS));
    }
    if matches!(kind, "tag" | "asset") && sent("AddressList") {
        return Err(invalid("AddressList", NO_LIST));
    }
    let others = [("TagList", "tag"), ("AssetRegionResourceTypes", "asset")];
    for (name, of) in others {
        if kind != of && sent(name) {
            let why = format!("Only books of the type `{of}` have it.");
            return Err(invalid(name, why));
        }
    }
    let own = account().to_string();
    let strangers = call.list("AssetMemberUids").into_iter();
    match strangers.filter(|it| *it != own).count() {
        0 => Ok(()),
        _ => Err(invalid("AssetMemberUids", "There are no other accounts.")),
    }
}

/// The type of a book.
fn kind_of(book: &AddressBook) -> &'static str {
    match book.assets {
        Some(_) => "asset",
        None => kind_of_book(&book.content),
    }
}

/// The assets that a call wants a book to follow.
fn assets(call: &Call) -> Result<Option<AssetRule>, ApiError> {
    let mut rule = AssetRule::default();
    for object in call.params.objects("AssetRegionResourceTypes") {
        let region = call.need(&format!("{object}.AssetRegionId"))?;
        let prefix = format!("{object}.ResourceType.");
        let mut kinds = Vec::new();
        for (name, _) in call.params.iter() {
            let Some(kind) = name.strip_prefix(&prefix) else {
                continue;
            };
            if call.flag(name)? != Some(true) {
                continue;
            }
            let of_name = |it: &AssetKind| kind.strip_prefix("Ipv4.") == Some(it.name());
            let found = AssetKind::ALL.into_iter().find(of_name);
            let why = "There are no assets of this type here, but EIP, EcsEIP, EniEIP and NatEIP.";
            kinds.push(found.ok_or_else(|| invalid(name, why))?);
        }
        if kinds.is_empty() {
            return Err(missing(&format!("{prefix}Ipv4")));
        }
        kinds.sort_unstable();
        rule.0.push((region.to_owned(), kinds));
    }
    Ok(Some(rule).filter(|it| !it.0.is_empty()))
}

fn delete(call: &Call, draft: &mut Draft) -> Answer {
    draft.delete_book(call.need("GroupUuid")?)?;
    Ok(json!({}))
}

/// An entry in its one form, and the note on it.
type Entry = (String, String);

/// The entries of a list: separated by commas, each with a note behind a space.
fn listed(kind: &str, text: &str) -> Result<Vec<Entry>, ApiError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for element in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let (entry, note) = element.split_once(' ').unwrap_or((element, ""));
        let (entry, note) = (one_form(kind, entry)?, note.trim());
        if note.len() > MAX_NOTE {
            let why = format!("The note on {entry} has more than {MAX_NOTE} bytes.");
            return Err(invalid("AddressList", why));
        }
        // What is given twice is in it once, with the later note.
        match places.get(&entry) {
            Some(&place) => entries[place].1 = note.into(),
            None => {
                places.insert(entry.clone(), entries.len());
                entries.push((entry, note.into()));
            }
        }
    }
    match entries.is_empty() {
        true => Err(missing("AddressList")),
        false => Ok(entries),
    }
}

fn one_form(kind: &str, text: &str) -> Result<String, ApiError> {
    let wrong = |what: &str| {
        let why = format!("{} is no {what}.", shown(text));
        ApiError::bad("ErrorParametersAddressList", why)
    };
    match kind {
        "ip" => match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(format!("{address}/32")),
            Err(_) => {
                let net = crate::call::parse_cidr("AddressList", text)?;
                Ok(net.to_string())
            }
        },
        "ipv6" => match text.parse::<Ipv6Addr>() {
            Ok(address) => Ok(format!("{address}/128")),
            Err(_) => {
                let net: Result<Ipv6Net, _> = text.parse();
                let net = net.map_err(|_| wrong("IPv6 address or block"))?;
                Ok(net.trunc().to_string())
            }
        },
        "domain" => {
            let pattern: Result<Pattern, _> = text.parse();
            let pattern = pattern.map_err(|_| wrong("domain"))?;
            Ok(pattern.to_string())
        }
        _ => {
            let range = parse_ports(text).map_err(|_| wrong("port or range of ports"))?;
            Ok(format!("{}/{}", range.start(), range.end()))
        }
    }
}

/// The entries of a book after something was added or taken away.
fn changed(book: &AddressBook, mode: &str, given: Vec<Entry>) -> Vec<Entry> {
    let had = entries(&book.content).into_iter();
    let mut all: Vec<Entry> = had
        .map(|entry| {
            let note = book.notes.get(&entry).cloned().unwrap_or_default();
            (entry, note)
        })
        .collect();
    let named: HashMap<&str, &str> = given.iter().map(|(a, b)| (&**a, &**b)).collect();
    if mode == "Delete" {
        all.retain(|(entry, _)| !named.contains_key(&**entry));
        return all;
    }
    let mut known = std::collections::HashSet::new();
    for (entry, note) in &mut all {
        if let Some(new) = named.get(&**entry) {
            *note = (*new).to_owned();
        }
        known.insert(entry.clone());
    }
    all.extend(
        given
            .into_iter()
            .filter(|(entry, _)| !known.contains(entry)),
    );
    all
}

/// A book's content and notes of entries in their one form.
fn put_together(
    kind: &str,
    all: Vec<Entry>,
) -> Result<(BookContent, BTreeMap<String, String>), ApiError> {
    fn parsed<T: std::str::FromStr>(all: &[Entry]) -> Option<Vec<T>> {
        all.iter().map(|(entry, _)| entry.parse().ok()).collect()
    }
    let ports = || {
        let ports = all.iter().map(|(entry, _)| parse_ports(entry).ok());
        ports.collect::<Option<Vec<_>>>()
    };
    let content = match kind {
        "ip" => parsed(&all).map(BookContent::Ip),
        "ipv6" => parsed(&all).map(BookContent::Ipv6),
        "domain" => parsed(&all).map(BookContent::Domain),
        _ => ports().map(BookContent::Port),
    };
    let content = content.ok_or_else(|| invalid("AddressList", "It cannot be read."))?;
    let notes = all.into_iter().filter(|(_, note)| !note.is_empty());
    Ok((content, notes.collect()))
}

/// The tags that a call wants a book to follow; what it does not name is as in `had`.
fn tags(call: &Call, had: Option<&TagRule>) -> Result<Option<TagRule>, ApiError> {
    let objects = call.params.objects("TagList");
    let mut tags = Vec::with_capacity(objects.len());
    for object in &objects {
        let key = format!("{object}.TagKey");
        let value = call.text(&format!("{object}.TagValue")).unwrap_or_default();
        tags.push((call.need(&key)?.to_owned(), value.to_owned()));
    }
    if tags.len() > 500 {
        return Err(invalid("TagList", "A book follows at most 500 tags."));
    }
    let all = call
        .word("TagRelation", &["and", "or"])?
        .map(|it| it == "and");
    let auto = call.word("AutoAddTagEcs", &["0", "1"])?.map(|it| it == "1");
    let Some(tags) = Some(tags)
        .filter(|it| !it.is_empty())
        .or(had.map(|it| it.tags.clone()))
    else {
        return Ok(None);
    };
    Ok(Some(TagRule {
        tags,
        all: all.or(had.map(|it| it.all)).unwrap_or(true),
        auto: auto.or(had.map(|it| it.auto)).unwrap_or(true),
        members: Vec::new(),
    }))
}

fn describe(call: &Call, service: &service::Cloud) -> Answer {
    let cloud = &*service.control().cloud();
    let users = cloud.users_of_books();
    let kinds = [
        "ip",
        "ipv6",
        "domain",
        "port",
        "tag",
        "asset",
        "assetIpv6",
        "threat",
        "allCloud",
        "backsrc",
        "all",
    ];
    let kind = call.word("GroupType", &kinds)?;
    let wanted = call.text("Query").map(str::to_lowercase);
    let port = call.text("ContainPort");
    let port =
        port.map(|it| parse_ports(it).map_err(|error| invalid("ContainPort", format!("{error}."))));
    let port = port.transpose()?;
    let in_text = |text: &str| {
        let wanted = wanted.as_ref();
        wanted.is_none_or(|it| text.to_lowercase().contains(it))
    };
    let is_meant = |this: &str, id: &str| {
        let of_kind = match kind {
            // What threat intelligence knows, and what the operator keeps, is told when it is asked for.
            None => !matches!(this, "threat" | "allCloud"),
            Some("all") => true,
            Some(kind) => kind == this,
        };
        call.is("GroupUuid", id) && (of_kind || call.text("GroupUuid").is_some())
    };
    let fits = |content: &BookContent, name: &str, about: &str| {
        let has_port = port.as_ref().is_none_or(|port| match content {
            BookContent::Port(list) => list.iter().any(|it| it.contains(port.start())),
            _ => false,
        });
        let text =
            || in_text(name) || in_text(about) || entries(content).iter().any(|it| in_text(it));
        has_port && text()
    };
    let mut found: Vec<Value> = Vec::new();
    for book in cloud
        .books
        .iter()
        .filter(|it| is_meant(kind_of(it), &it.id))
    {
        let content = match book.is_of_cloud() {
            true => {
                let networks = service.firewalls().cloud_service(&book.id);
                BookContent::Ip(networks.to_vec()).into()
            }
            false => cloud.content(book),
        };
        if fits(&content, &book.meta.name, &book.meta.description) {
            let users = users.get(&*book.id).copied();
            found.push(shown_book(book, &content, users));
        }
    }
    let known = |id: &str| {
        let books = &cloud.books;
        books.find(|it| it.id == id || it.meta.name == id).is_some()
    };
    let unused = policy::CATEGORIES.iter().filter(|it| !known(it.id));
    for it in unused.filter(|it| is_meant("threat", it.id)) {
        let content = BookContent::Threat(it.id.into());
        if fits(&content, it.id, it.description) {
            found.push(json!({
                "GroupUuid": it.id,
                "GroupName": it.id,
                "GroupType": "threat",
                "Description": it.description,
            }));
        }
    }
    let (page, [count, number, size]) = call.page_of("CurrentPage", found, 100)?;
    Ok(json!({
        "Acls": page,
        "TotalCount": count.to_string(),
        "PageNo": number.to_string(),
        "PageSize": size.to_string(),
    }))
}

fn shown_book(book: &AddressBook, content: &BookContent, users: Option<usize>) -> Value {
    let list = match content {
        BookContent::Ip(all) if all.len() > MOST_SHOWN => {
            entries(&BookContent::Ip(all[..MOST_SHOWN].to_vec()))
        }
        _ => entries(content),
    };
    let addresses = list.iter().map(|entry| {
        let note = book.notes.get(entry).map_or("", |it| &**it);
        json!({"Address": entry, "Note": note})
    });
    let addresses: Vec<Value> = addresses.collect();
    let rule = book.tags.as_ref();
    let tags = rule.iter().flat_map(|it| &it.tags);
    let tags = tags.map(|(key, value)| json!({"TagKey": key, "TagValue": value}));
    let assets = book.assets.iter().flat_map(|it| &it.0);
    let assets = assets.map(|(region, kinds)| {
        let kinds = kinds.iter().map(|it| (it.name().to_owned(), json!(true)));
        let kinds: serde_json::Map<String, Value> = kinds.collect();
        json!({"AssetRegionId": region, "ResourceType": {"Ipv4": kinds}})
    });
    json!({
        "AssetRegionResourceTypes": assets.collect::<Vec<_>>(),
        "GroupUuid": book.id,
        "GroupName": book.meta.name,
        "GroupType": kind_of(book),
        "Description": book.meta.description,
        "AddressListCount": content.len(),
        "AddressList": list,
        "Addresses": addresses,
        "AutoAddTagEcs": rule.map_or(0, |it| i32::from(it.auto)),
        "TagRelation": rule.map_or("", |it| if it.all { "and" } else { "or" }),
        "TagList": tags.collect::<Vec<_>>(),
        "ReferenceCount": users.unwrap_or(0),
    })
}
