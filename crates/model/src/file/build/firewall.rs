//! Address books, policies, and what else firewalls are told.

use super::super::time;
use super::*;
use crate::domain::Pattern;
use std::fmt::{self, Write};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// How often a list of indicators is read unless the file says otherwise.
const REFRESH: Duration = Duration::from_secs(3_600);

impl Builder {
    pub(super) fn firewalls(&mut self, file: &schema::File) {
        file.address_book.iter().for_each(|it| self.book(it));
        if let Some(table) = &file.border_firewall {
            self.border(table);
        }
        if let Some(table) = &file.dns_firewall {
            let raw = table.get_ref();
            let mut entry = Entry::named("dns_firewall".into(), table.span());
            let refusal = entry.read("refusal", &raw.refusal, word);
            let default_action = entry.read("default_action", &raw.default_action, word);
            self.found.append(&mut entry.found);
            self.config.firewalls.dns = DnsFirewall {
                refusal: refusal.unwrap_or_default(),
                default_action: default_action.unwrap_or_default(),
            };
        }
        file.threat_feed.iter().for_each(|it| self.feed(it));
    }

    fn book(&mut self, table: &Spanned<schema::AddressBook>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::AddressBook, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let name = entry.read("name", &raw.name, any).or_else(|| id.clone());
        let content = read_content(&mut entry, raw);
        let description = entry.read("description", &raw.description, any);
        let sound = self.sound(&mut entry, Kind::AddressBook, &raw.id);
        let (true, Some(id), Some(name), Some(content)) = (sound, id, name, content) else {
            return;
        };
        let n = self.config.firewalls.books.len();
        self.place(Item::AddressBook(n), &entry);
        let detail = Detail {
            description,
            ..Detail::default()
        };
        self.config.details.say(Kind::AddressBook, &id, detail);
        let content = Arc::new(content);
        self.config
            .firewalls
            .books
            .push(AddressBook { id, name, content });
    }

    pub(super) fn policies(&mut self, tables: &[Spanned<schema::Policy>]) {
        let mut lists = Lists::default();
        for table in tables {
            let raw = table.get_ref();
            let mut entry = Entry::new(Kind::Policy, &raw.id, table.span());
            let policy = FilePolicy::read(&mut entry, raw);
            let sound = self.sound(&mut entry, Kind::Policy, &raw.id);
            let (true, Some(policy)) = (sound, policy) else {
                continue;
            };
            let item = lists.add(policy);
            self.place(item, &entry);
            if raw.id.is_none() {
                self.made.insert(item);
            }
        }
        self.config.firewalls.policies = lists.finish();
    }

    fn border(&mut self, table: &Spanned<schema::BorderFirewall>) {
        let raw = table.get_ref();
        let mut entry = Entry::named(Kind::BorderFirewall.to_string(), table.span());
        let eips = entry.list("eips", &raw.eips, any).unwrap_or_default();
        let strict = entry.list("strict_eips", &raw.strict_eips, any);
        let words = [
            &raw.mode,
            &raw.default_action,
            &raw.on_drop,
            &raw.name_check,
        ];
        let settings = read_settings(&mut entry, words, &raw.threats);
        self.sound(&mut entry, Kind::BorderFirewall, &None);
        self.place(Item::Border, &entry);
        self.config.firewalls.border = BorderFirewall {
            eips,
            strict_eips: strict.unwrap_or_default(),
            settings,
        };
    }

    fn feed(&mut self, table: &Spanned<schema::ThreatFeed>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::ThreatFeed, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let location = entry.need("location", &raw.location, any);
        let category = entry.need("category", &raw.category, any);
        let format = entry.read("format", &raw.format, word).unwrap_or_default();
        let refresh = entry.number("refresh", &raw.refresh, 60u64..=7 * 86_400);
        let sound = self.sound(&mut entry, Kind::ThreatFeed, &raw.id);
        let (true, Some(id), Some(location), Some(category)) = (sound, id, location, category)
        else {
            return;
        };
        let n = self.config.firewalls.feeds.len();
        self.place(Item::ThreatFeed(n), &entry);
        self.config.firewalls.feeds.push(ThreatFeed {
            id,
            location,
            category,
            format,
            refresh: refresh.map_or(REFRESH, Duration::from_secs),
        });
    }
}

/// A policy, and what of the file is not in it.
pub struct FilePolicy {
    /// Which firewall it is for.
    firewall: Id,
    /// What its identifier is made of, if it has none.
    said: Option<u64>,
    policy: ControlPolicy,
}

impl FilePolicy {
    fn read(entry: &mut Entry, raw: &schema::Policy) -> Option<FilePolicy> {
        let firewall = entry.need("firewall", &raw.firewall, any);
        let policy = read_policy(entry, raw)?;
        Some(FilePolicy {
            firewall: firewall?,
            said: raw.id.is_none().then(|| said(&policy)),
            policy,
        })
    }
}

/// Reads policies, if nothing is wrong with them by themselves.
pub fn read_policies(
    tables: &[Spanned<schema::Policy>],
    policies: &mut Vec<FilePolicy>,
) -> Option<()> {
    // What it would say and where it stands is told when the file is read as one.
    let mut entry = Entry::named(String::new(), 0..0);
    for table in tables {
        policies.push(FilePolicy::read(&mut entry, table.get_ref())?);
        entry.places.clear();
    }
    entry.found.is_empty().then_some(())
}

/// Policies by firewall, in the order of the file.
#[derive(Default)]
pub(super) struct Lists {
    lists: Vec<(PolicyScope, Vec<Arc<ControlPolicy>>)>,
    numbers: HashMap<Id, usize>,
    /// How many of a list say the same and have no identifier.
    alike: HashMap<(usize, u64), u32>,
}

impl Lists {
    /// Puts a policy behind those of its firewall.
    pub fn add(&mut self, read: FilePolicy) -> Item {
        let FilePolicy {
            firewall,
            said,
            mut policy,
        } = read;
        let n = match self.numbers.get(&firewall) {
            Some(&n) => n,
            None => {
                let scope = PolicyScope::from(&*firewall);
                self.lists.push((scope, Vec::new()));
                self.numbers.insert(firewall, self.lists.len() - 1);
                self.lists.len() - 1
            }
        };
        let (scope, policies) = &mut self.lists[n];
        if let Some(said) = said {
            let alike = self.alike.entry((n, said)).or_default();
            *alike += 1;
            policy.id = made_id(scope, said, *alike);
        }
        // Only now, so that they lie side by side.
        policies.push(Arc::new(policy));
        Item::Policy(n, policies.len() - 1)
    }

    /// All.
    pub fn finish(self) -> Vec<PolicyList> {
        let lists = self.lists.into_iter().map(|(scope, policies)| PolicyList {
            scope,
            policies: Arc::new(policies),
        });
        lists.collect()
    }
}

/// What firewalls have in common: mode, default action, how refused sessions end, whether names are checked; and
/// threats.
pub(super) fn read_settings(
    entry: &mut Entry,
    [mode, default_action, on_drop, name_check]: [&Text; 4],
    threats: &schema::Threats,
) -> FirewallSettings {
    FirewallSettings {
        mode: entry.read("mode", mode, word).unwrap_or_default(),
        default_action: entry
            .read("default_action", default_action, word)
            .unwrap_or_default(),
        on_drop: entry.read("on_drop", on_drop, word).unwrap_or_default(),
        name_check: entry
            .read("name_check", name_check, word)
            .unwrap_or_default(),
        threats: read_threats(entry, threats),
    }
}

/// What is done about threats, by category.
fn read_threats(entry: &mut Entry, given: &schema::Threats) -> Vec<ThreatRule> {
    let mut rules = Vec::with_capacity(given.len());
    for (category, value) in given {
        match word(value.get_ref()) {
            Ok(action) => rules.push(ThreatRule {
                category: category.clone(),
                action,
            }),
            Err(error) => entry.fail(value.span().start, format!("{category} {error}")),
        }
    }
    rules
}

fn read_content(entry: &mut Entry, raw: &schema::AddressBook) -> Option<BookContent> {
    let start = entry.start;
    let given = |there: bool| there.then_some(start);
    let keys = [
        ("ip", given(raw.ip.is_some())),
        ("ipv6", given(raw.ipv6.is_some())),
        ("domains", given(raw.domains.is_some())),
        ("ports", given(raw.ports.is_some())),
        ("tagged", given(raw.tagged.is_some())),
        ("threat", place(&raw.threat)),
        ("cloud", place(&raw.cloud)),
    ];
    let list = |values: &Option<Texts>| values.as_ref().map_or(&[][..], |it| it).to_vec();
    let key = entry.choice(&keys)?;
    let of_cloud = [
        ("services", list_place(&raw.services, start)),
        ("regions", list_place(&raw.regions, start)),
        ("refresh", place(&raw.refresh)),
    ];
    for (other, at) in of_cloud {
        if let Some(at) = at.filter(|_| key != "cloud") {
            entry.fail(at, format!("{other} goes with cloud, and here is {key}"));
        }
    }
    match key {
        "cloud" => {
            let location = entry.read_as("content", "cloud", &raw.cloud, any);
            let services = entry.list_as("content", "services", &list(&raw.services), any);
            let regions = entry.list_as("content", "regions", &list(&raw.regions), any);
            let refresh = entry.number("refresh", &raw.refresh, 60u64..=7 * 86_400);
            Some(BookContent::Cloud(CloudService {
                location: location?,
                services: services?,
                regions: regions?,
                refresh: refresh.map_or(REFRESH, Duration::from_secs),
            }))
        }
        "ip" => entry
            .list_as("content", "ip", &list(&raw.ip), net)
            .map(BookContent::Ip),
        "ipv6" => entry
            .list_as("content", "ipv6", &list(&raw.ipv6), |text| {
                let net: Option<ipnet::Ipv6Net> = text.parse().ok();
                let net = net.or_else(|| text.parse::<std::net::Ipv6Addr>().ok().map(Into::into));
                net.ok_or_else(|| format!("{} is no IPv6 address or block", quote(text)))
            })
            .map(BookContent::Ipv6),
        "domains" => entry
            .list_as("content", "domains", &list(&raw.domains), pattern)
            .map(BookContent::Domain),
        "tagged" => entry
            .list_as("content", "tagged", &list(&raw.tagged), address)
            .map(BookContent::Tag),
        "threat" => entry
            .read_as("content", "threat", &raw.threat, any)
            .map(BookContent::Threat),
        _ => {
            let mut ports: Vec<RangeInclusive<u16>> = Vec::new();
            for value in raw.ports.iter().flatten() {
                match crate::text::parse_ports(&value.get_ref().to_string()) {
                    Ok(range) => ports.push(range),
                    Err(error) => entry.fail(value.span().start, format!("ports {error}")),
                }
            }
            Some(BookContent::Port(ports))
        }
    }
}

/// An address or an address block.
fn net(text: &str) -> Result<Ipv4Net, String> {
    let net = text.parse().ok();
    let net = net.or_else(|| text.parse::<std::net::Ipv4Addr>().ok().map(Into::into));
    net.ok_or_else(|| {
        format!(
            "{} is no address or address block, like 192.0.2.0/24",
            quote(text)
        )
    })
}

fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse()
        .map_err(|error: crate::domain::BadDomain| error.to_string())
}

fn app(text: &str) -> Result<App, String> {
    word(text)
}

/// One of several keys, or none.
fn at_most_one(entry: &mut Entry, keys: &[(&'static str, Option<usize>)]) -> Option<&'static str> {
    match keys.iter().any(|(_, at)| at.is_some()) {
        true => entry.choice(keys),
        false => None,
    }
}

fn list_place(list: &Option<Texts>, start: usize) -> Option<usize> {
    list.as_ref()
        .map(|list| list.first().map_or(start, |it| it.span().start))
}

fn read_policy(entry: &mut Entry, raw: &schema::Policy) -> Option<ControlPolicy> {
    let id = entry.read("id", &raw.id, any).unwrap_or_default();
    let description = entry.read("description", &raw.description, any);
    let start = entry.start;
    let everything = Ipv4Net::default();
    let keys = [
        ("source", place(&raw.source)),
        ("source_book", place(&raw.source_book)),
        ("source_location", list_place(&raw.source_location, start)),
    ];
    let source = match at_most_one(entry, &keys) {
        Some("source") => entry
            .read("source", &raw.source, net)
            .map(PolicySource::Net),
        Some("source_book") => entry
            .read_as("source", "source_book", &raw.source_book, any)
            .map(PolicySource::Book),
        Some(key) => entry
            .list_as("source", key, raw.source_location.as_ref()?, any)
            .map(PolicySource::Location),
        None => Some(PolicySource::Net(everything)),
    };
    let keys = [
        ("destination", place(&raw.destination)),
        ("domain", place(&raw.domain)),
        ("destination_book", place(&raw.destination_book)),
        (
            "destination_location",
            list_place(&raw.destination_location, start),
        ),
    ];
    let destination = match at_most_one(entry, &keys) {
        Some("destination") => entry
            .read("destination", &raw.destination, net)
            .map(PolicyDestination::Net),
        Some("domain") => entry
            .read_as("destination", "domain", &raw.domain, pattern)
            .map(PolicyDestination::Domain),
        Some("destination_book") => entry
            .read_as(
                "destination",
                "destination_book",
                &raw.destination_book,
                any,
            )
            .map(PolicyDestination::Book),
        Some(key) => entry
            .list_as("destination", key, raw.destination_location.as_ref()?, any)
            .map(PolicyDestination::Location),
        None => Some(PolicyDestination::Net(everything)),
    };
    let protocol = entry.read("protocol", &raw.protocol, |text| match text {
        "any" => Ok(None),
        name => protocol_number(name)
            .map(Some)
            .ok_or_else(|| format!("{} is none of tcp, udp, icmp, any", quote(name))),
    });
    let keys = [
        ("ports", place(&raw.ports)),
        ("port_book", place(&raw.port_book)),
    ];
    let ports = match at_most_one(entry, &keys) {
        Some("ports") => entry.ports("ports", &raw.ports).map(PolicyPorts::Range),
        Some(_) => entry
            .read_as("ports", "port_book", &raw.port_book, any)
            .map(PolicyPorts::Book),
        None => Some(PolicyPorts::Any),
    };
    let applications = entry.list("applications", &raw.applications, app);
    let action = entry.need("action", &raw.action, word);
    let resolve = entry.read("resolve", &raw.resolve, word);
    let validity = match &raw.validity {
        None => Some(Validity::Permanent),
        Some(table) => {
            entry.mark("validity", 0, table);
            read_validity(entry, table)
        }
    };
    Some(ControlPolicy {
        id,
        description: description.unwrap_or_default(),
        source: source?,
        destination: destination?,
        protocol: protocol.flatten(),
        ports: ports?,
        applications: applications?,
        action: action?,
        enabled: raw.enabled.as_ref().is_none_or(|it| *it.get_ref()),
        validity: validity?,
        resolve: resolve.unwrap_or_default(),
    })
}

fn read_validity(entry: &mut Entry, table: &Spanned<schema::Validity>) -> Option<Validity> {
    let raw = table.get_ref();
    let at = table.span().start;
    let mut moment = |key: &str, value: &schema::Time| {
        let value = value.as_ref()?;
        let seconds = time::seconds(value.get_ref());
        seconds
            .map_err(|error| entry.fail(value.span().start, format!("{key} {error}")))
            .ok()
    };
    let from = moment("from", &raw.from);
    let until = moment("until", &raw.until);
    let start = entry.read("start", &raw.start, time::minutes);
    let end = entry.read("end", &raw.end, time::minutes);
    let offset = entry.read("offset", &raw.offset, time::offset);
    let zone = entry.read("zone", &raw.zone, |name| {
        let unknown = || format!("{} is no time zone, like Europe/Berlin", quote(name));
        Zone::named(name).ok_or_else(unknown)
    });
    if offset.is_some() && zone.is_some() {
        entry.fail(at, "what counts has an offset or a zone, not both");
    }
    let repeat = entry.read("repeat", &raw.repeat, |text| match text {
        "once" | "daily" | "weekly" | "monthly" => Ok(text.to_owned()),
        other => Err(format!(
            "{} is none of once, daily, weekly, monthly",
            quote(other)
        )),
    })?;
    let mut days = Vec::with_capacity(raw.days.len());
    for day in &raw.days {
        match u8::try_from(*day.get_ref()) {
            Ok(day) => days.push(day),
            Err(_) => entry.fail(
                day.span().start,
                format!("day {} is none of a month or week", day.get_ref()),
            ),
        }
    }
    let days = match &*repeat {
        "once" => {
            let (Some(from), Some(until)) = (from, until) else {
                entry.fail(at, "what counts once has from and until");
                return None;
            };
            return Some(Validity::Once { from, until });
        }
        "daily" => RepeatDays::Daily,
        "weekly" => RepeatDays::Weekly(days),
        _ => RepeatDays::Monthly(days),
    };
    let (Some(start), Some(end)) = (start, end) else {
        entry.fail(at, "what counts again and again has start and end");
        return None;
    };
    Some(Validity::Repeated {
        from,
        until,
        days,
        start,
        end,
        offset: match zone {
            Some(zone) => Offset::Zone(zone),
            None => Offset::Minutes(offset.unwrap_or(0)),
        },
    })
}

/// A number for what a policy says: FNV-1a of its form for debugging, the same in every version.
fn said(policy: &ControlPolicy) -> u64 {
    struct Hash(u64);
    impl fmt::Write for Hash {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
            Ok(())
        }
    }
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    // Nothing in it fails.
    let _ = write!(hash, "{policy:?}");
    hash.0
}

/// An identifier for a policy that has none: it depends on what the policy says, not on where it stands. It is the
/// `nth` of its firewall that says so.
fn made_id(scope: &PolicyScope, said: u64, nth: u32) -> Id {
    match nth {
        1 => format!("{scope}/{said:016x}"),
        n => format!("{scope}/{said:016x}-{n}"),
    }
}
