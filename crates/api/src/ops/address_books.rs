//! Address books.

use super::policy_fields::description;
use super::policy_shown::{entries, kind_of_book};
use super::{C, Handler, Q};
use crate::ApiError;
use crate::call::{Answer, Call};
use crate::spec::{invalid, missing, shown};
use control::firewall::books::BookChange;
use control::records::{AddressBook, TagRule};
use control::{Cloud, Draft, names};
use ipnet::Ipv6Net;
use model::BookContent;
use model::domain::Pattern;
use model::text::parse_ports;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AddAddressBook", C(add)),
    ("DescribeAddressBook", Q(describe)),
    ("ModifyAddressBook", C(modify)),
    ("DeleteAddressBook", C(delete)),
];

/// The most bytes of a note.
const MAX_NOTE: usize = 256;

fn name(call: &Call) -> Result<String, ApiError> {
    let text = call.need("GroupName")?;
    let name = names::name(text, 1, "ErrorParametersGroupName");
    Ok(name?)
}

fn add(call: &Call, draft: &mut Draft) -> Answer {
    let meta = draft.meta(name(call)?, description(call.need("Description")?)?);
    let kinds = ["ip", "ipv6", "domain", "port", "tag"];
    let kind = call.word("GroupType", &kinds)?;
    let kind = kind.ok_or_else(|| missing("GroupType"))?;
    if kind == "tag" {
        let rule = tags(call, None)?.ok_or_else(|| missing("TagList"))?;
        let content = BookContent::Tag(Vec::new());
        let id = draft.create_book(meta, content, BTreeMap::new(), Some(rule))?;
        return Ok(json!({"GroupUuid": id}));
    }
    let given = listed(kind, call.need("AddressList")?)?;
    let (content, notes) = put_together(kind, given)?;
    let id = draft.create_book(meta, content, notes, None)?;
    Ok(json!({"GroupUuid": id}))
}

fn modify(call: &Call, draft: &mut Draft) -> Answer {
    let id = call.need("GroupUuid")?;
    let book = draft.address_book(id)?;
    let mut change = BookChange {
        name: Some(name(call)?),
        description: Some(description(call.need("Description")?)?),
        ..BookChange::default()
    };
    let mode = call.word("ModifyMode", &["Cover", "Append", "Delete"])?;
    if book.tags.is_some() {
        if mode.is_some() || call.text("AddressList").is_some() {
            let why = "A book that follows tags has no list of its own.";
            return Err(invalid("ModifyMode", why));
        }
        change.tags = tags(call, book.tags.as_ref())?;
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

fn describe(call: &Call, cloud: &Cloud) -> Answer {
    let users = cloud.users_of_books();
    let kinds = [
        "ip", "ipv6", "domain", "port", "tag", "threat", "allCloud", "all",
    ];
    let kind = call.word("GroupType", &kinds)?;
    let wanted = call.text("Query").map(str::to_lowercase);
    let port = call.text("ContainPort");
    let port =
        port.map(|it| parse_ports(it).map_err(|error| invalid("ContainPort", format!("{error}."))));
    let port = port.transpose()?;
    let mut found: Vec<Value> = Vec::new();
    let known = |id: &str| {
        cloud
            .books
            .find(|it| it.id == id || it.meta.name == id)
            .is_some()
    };
    let unused = policy::CATEGORIES.iter().filter(|it| !known(it.id));
    let unused: Vec<(&str, &str, BookContent)> = unused
        .map(|it| (it.id, it.description, BookContent::Threat(it.id.into())))
        .collect();
    let books = cloud
        .books
        .iter()
        .map(|book| (Some(book), cloud.content(book)));
    let books: Vec<_> = books.collect();
    let fits = |content: &BookContent, id: &str, name: &str, about: &str| {
        let this = kind_of_book(content);
        let in_text = |text: &str| {
            wanted
                .as_ref()
                .is_none_or(|it| text.to_lowercase().contains(it))
        };
        let has_port = port.as_ref().is_none_or(|port| match content {
            BookContent::Port(list) => list.iter().any(|it| it.contains(port.start())),
            _ => false,
        });
        let of_kind = match kind {
            // What threat intelligence knows is told when it is asked for.
            None => this != "threat",
            Some("all") => true,
            Some(kind) => kind == this,
        };
        let text =
            || in_text(name) || in_text(about) || entries(content).iter().any(|it| in_text(it));
        call.is("GroupUuid", id)
            && (of_kind || call.text("GroupUuid").is_some())
            && has_port
            && text()
    };
    for (book, content) in &books {
        let Some(book) = book else { continue };
        if fits(content, &book.id, &book.meta.name, &book.meta.description) {
            found.push(shown_book(book, content, users.get(&*book.id).copied()));
        }
    }
    for (id, about, content) in &unused {
        if fits(content, id, id, about) {
            found.push(json!({
                "GroupUuid": id,
                "GroupName": id,
                "GroupType": "threat",
                "Description": about,
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
    let list = entries(content);
    let addresses = list.iter().map(|entry| {
        let note = book.notes.get(entry).map_or("", |it| &**it);
        json!({"Address": entry, "Note": note})
    });
    let addresses: Vec<Value> = addresses.collect();
    let rule = book.tags.as_ref();
    let tags = rule.iter().flat_map(|it| &it.tags);
    let tags = tags.map(|(key, value)| json!({"TagKey": key, "TagValue": value}));
    json!({
        "GroupUuid": book.id,
        "GroupName": book.meta.name,
        "GroupType": kind_of_book(content),
        "Description": book.meta.description,
        "AddressListCount": list.len(),
        "AddressList": list,
        "Addresses": addresses,
        "AutoAddTagEcs": rule.map_or(0, |it| i32::from(it.auto)),
        "TagRelation": rule.map_or("", |it| if it.all { "and" } else { "or" }),
        "TagList": tags.collect::<Vec<_>>(),
        "ReferenceCount": users.unwrap_or(0),
    })
}
