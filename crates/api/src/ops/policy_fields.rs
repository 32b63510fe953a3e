//! Policies as calls say them: what the operations of all firewalls have in common.

use super::policy_shown::repeat;
use crate::ApiError;
use crate::call::Call;
use crate::spec::{invalid, missing, shown};
use control::Draft;
use model::text::{ICMP, TCP, UDP, parse_ports};
use model::{
    App, ControlPolicy, DomainResolve, Id, Offset, PolicyAction, PolicyDestination, PolicyPorts,
    PolicySource, RepeatDays, Validity, Zone,
};
use std::net::Ipv4Addr;

/// The most bytes of a description.
const MAX_DESCRIPTION: usize = 1_024;

/// The policy that a call wants. What it does not name is as in `had`, or the default.
pub(super) fn policy(
    call: &Call,
    draft: &mut Draft,
    had: Option<&ControlPolicy>,
) -> Result<ControlPolicy, ApiError> {
    only_ipv4(call)?;
    let mut policy = had.cloned().unwrap_or_else(blank);
    if let Some(text) = call.params.sent("Description") {
        policy.description = description(text)?;
    }
    if let Some(source) = source(call, draft, &policy.source)? {
        policy.source = source;
    }
    if let Some(destination) = destination(call, draft, &policy.destination)? {
        policy.destination = destination;
    }
    if let Some(word) = call.word("Proto", &["ANY", "TCP", "UDP", "ICMP"])? {
        policy.protocol = match word {
            "TCP" => Some(TCP),
            "UDP" => Some(UDP),
            "ICMP" => Some(ICMP),
            _ => None,
        };
    }
    if let Some(ports) = ports(call, draft)? {
        policy.ports = ports;
    }
    if policy.protocol == Some(ICMP) && call.text("DestPort").is_none_or(|it| it == "0/0") {
        policy.ports = PolicyPorts::Any;
    }
    if let Some(applications) = applications(call)? {
        policy.applications = applications;
    }
    if let Some(action) = action(call)? {
        policy.action = action;
    }
    if let Some(enabled) = call.flag("Release")? {
        policy.enabled = enabled;
    }
    if let Some(resolve) = resolve(call)? {
        policy.resolve = resolve;
    }
    if let Some(validity) = validity(call, &policy.validity)? {
        policy.validity = validity;
    }
    Ok(policy)
}

/// A policy that says nothing yet.
pub(super) fn blank() -> ControlPolicy {
    ControlPolicy {
        id: Id::new(),
        description: String::new(),
        source: PolicySource::Net(Default::default()),
        destination: PolicyDestination::Net(Default::default()),
        protocol: None,
        ports: PolicyPorts::Any,
        applications: Vec::new(),
        action: PolicyAction::Accept,
        enabled: true,
        validity: Validity::Permanent,
        resolve: DomainResolve::Fqdn,
    }
}

/// Policies are about IPv4.
pub(super) fn only_ipv4(call: &Call) -> Result<(), ApiError> {
    match call.text("IpVersion") {
        None | Some("4") => Ok(()),
        Some(other) => {
            let why = format!(
                "{} is not 4: policies about IPv6 are not supported.",
                shown(other)
            );
            Err(invalid("IpVersion", why))
        }
    }
}

pub(super) fn description(text: &str) -> Result<String, ApiError> {
    let control = |it: char| it.is_control() && it != '\n' && it != '\t';
    if text.len() > MAX_DESCRIPTION || text.chars().any(control) {
        let why = format!("It has more than {MAX_DESCRIPTION} bytes, or control characters.");
        return Err(invalid("Description", why));
    }
    Ok(text.into())
}

pub(super) fn action(call: &Call) -> Result<Option<PolicyAction>, ApiError> {
    let word = call.word("AclAction", &["accept", "drop", "log"])?;
    Ok(word.map(|word| match word {
        "drop" => PolicyAction::Drop,
        "log" => PolicyAction::Log,
        _ => PolicyAction::Accept,
    }))
}

/// The source that a call names; its type is that of `had` if the call does not say it.
pub(super) fn source(
    call: &Call,
    draft: &mut Draft,
    had: &PolicySource,
) -> Result<Option<PolicySource>, ApiError> {
    let kind = call.word("SourceType", &["net", "group", "location"])?;
    let Some(text) = call.text("Source") else {
        return match kind {
            Some(_) => Err(missing("Source")),
            None => Ok(None),
        };
    };
    let kind = kind.unwrap_or(match had {
        PolicySource::Net(_) => "net",
        PolicySource::Book(_) => "group",
        PolicySource::Location(_) => "location",
    });
    Ok(Some(match kind {
        "net" => PolicySource::Net(net("Source", text)?),
        "group" => PolicySource::Book(draft.book_to_use(text)?),
        _ => PolicySource::Location(codes("Source", text)?),
    }))
}

/// The destination that a call names, as [`source`].
pub(super) fn destination(
    call: &Call,
    draft: &mut Draft,
    had: &PolicyDestination,
) -> Result<Option<PolicyDestination>, ApiError> {
    let kinds = ["net", "group", "domain", "location"];
    let kind = call.word("DestinationType", &kinds)?;
    let Some(text) = call.text("Destination") else {
        return match kind {
            Some(_) => Err(missing("Destination")),
            None => Ok(None),
        };
    };
    let kind = kind.unwrap_or(match had {
        PolicyDestination::Net(_) => "net",
        PolicyDestination::Book(_) => "group",
        PolicyDestination::Domain(_) => "domain",
        PolicyDestination::Location(_) => "location",
    });
    Ok(Some(match kind {
        "net" => PolicyDestination::Net(net("Destination", text)?),
        "group" => PolicyDestination::Book(draft.book_to_use(text)?),
        "domain" => {
            let pattern = text.parse();
            let pattern = pattern.map_err(|error: model::domain::BadDomain| {
                invalid("Destination", format!("{error}."))
            })?;
            PolicyDestination::Domain(pattern)
        }
        _ => PolicyDestination::Location(codes("Destination", text)?),
    }))
}

/// An address or a block.
fn net(name: &str, text: &str) -> Result<ipnet::Ipv4Net, ApiError> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => crate::call::parse_cidr(name, text),
    }
}

/// Codes of locations: a JSON array, or a list with commas.
fn codes(name: &str, text: &str) -> Result<Vec<String>, ApiError> {
    let codes: Vec<String> = match text.starts_with('[') {
        true => serde_json::from_str(text)
            .map_err(|_| invalid(name, format!("{} is no JSON array of texts.", shown(text))))?,
        false => text.split(',').map(|it| it.trim().to_owned()).collect(),
    };
    match codes.len() {
        1..=500 => Ok(codes),
        many => Err(invalid(
            name,
            format!("There are {many} locations: 1 to 500 are allowed."),
        )),
    }
}

fn ports(call: &Call, draft: &mut Draft) -> Result<Option<PolicyPorts>, ApiError> {
    let (port, group) = (call.text("DestPort"), call.text("DestPortGroup"));
    let kind = match call.word("DestPortType", &["port", "group"])? {
        Some(kind) => kind,
        None if group.is_some() && port.is_none() => "group",
        None => "port",
    };
    match (kind, port, group) {
        ("group", _, Some(name)) => Ok(Some(PolicyPorts::Book(draft.book_to_use(name)?))),
        ("group", _, None) => Err(missing("DestPortGroup")),
        (_, None, _) => Ok(None),
        (_, Some("0/0" | "0"), _) => Ok(Some(PolicyPorts::Any)),
        (_, Some(text), _) => {
            let wrong = |error| invalid("DestPort", format!("{error}."));
            let range = parse_ports(text).map_err(wrong)?;
            Ok(Some(PolicyPorts::Range(range)))
        }
    }
}

fn applications(call: &Call) -> Result<Option<Vec<App>>, ApiError> {
    let mut names = call.list("ApplicationNameList");
    names.extend(call.text("ApplicationName").filter(|_| names.is_empty()));
    let names: Vec<&str> = names.into_iter().flat_map(|it| it.split(',')).collect();
    match names.iter().any(|it| it.eq_ignore_ascii_case("ANY")) {
        _ if names.is_empty() => Ok(None),
        true if names.len() == 1 => Ok(Some(Vec::new())),
        true => Err(invalid("ApplicationNameList", "ANY stands alone.")),
        false => {
            let apps = names.iter().map(|name| name.trim().parse());
            let apps: Result<Vec<App>, model::text::UnknownWord> = apps.collect();
            let wrong = |error| {
                let code = "ErrorParametersApplicationName";
                ApiError::bad(code, format!("Application {error} and ANY."))
            };
            apps.map(Some).map_err(wrong)
        }
    }
}

/// The firewalls have words of their own for it.
fn resolve(call: &Call) -> Result<Option<DomainResolve>, ApiError> {
    let words = ["0", "1", "2", "FQDN", "DNS", "FQDN_AND_DNS"];
    let word = call.word("DomainResolveType", &words)?;
    Ok(word.map(|word| match word {
        "1" | "DNS" => DomainResolve::Dns,
        "2" | "FQDN_AND_DNS" => DomainResolve::Both,
        _ => DomainResolve::Fqdn,
    }))
}

const REPEAT: [&str; 5] = ["Permanent", "None", "Daily", "Weekly", "Monthly"];

/// When a policy is to count, if the call says anything of that.
fn validity(call: &Call, had: &Validity) -> Result<Option<Validity>, ApiError> {
    let names = [
        "StartTime",
        "EndTime",
        "RepeatStartTime",
        "RepeatEndTime",
        "RepeatTimeZone",
    ];
    let repeat_now = call.word("RepeatType", &REPEAT)?;
    let named = names.iter().any(|it| call.text(it).is_some())
        || !call.list("RepeatDays").is_empty()
        || repeat_now.is_some();
    if !named {
        return Ok(None);
    }
    let moment = |name| match call.int(name)? {
        None => Ok(None),
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(invalid(name, "It is before 1970.")),
        },
    };
    let (mut from, mut until) = (moment("StartTime")?, moment("EndTime")?);
    let minutes = |name: &str| {
        let wrong = |text| {
            invalid(
                name,
                format!("{} is no time of day, like 18:30.", shown(text)),
            )
        };
        let text = call.text(name);
        text.map(|text| minutes(text).ok_or_else(|| wrong(text)))
            .transpose()
    };
    let (mut start, mut end) = (minutes("RepeatStartTime")?, minutes("RepeatEndTime")?);
    let mut zone = match call.text("RepeatTimeZone") {
        None => None,
        Some(text) => {
            let wrong = || {
                let why = format!(
                    "{} is no time zone, like +08:00 or Europe/Berlin.",
                    shown(text)
                );
                invalid("RepeatTimeZone", why)
            };
            Some(offset(text).ok_or_else(wrong)?)
        }
    };
    let mut days = Vec::new();
    let said = call.list("RepeatDays");
    for text in said.into_iter().flat_map(|it| it.split(',')).map(str::trim) {
        let wrong = |_| invalid("RepeatDays", format!("{} is no day.", shown(text)));
        days.push(text.parse::<u8>().map_err(wrong)?);
    }
    let word = repeat_now.unwrap_or(repeat(had));
    // What is not named stays, unless another kind of repetition begins.
    if word == repeat(had) {
        match had {
            Validity::Permanent => {}
            Validity::Once { from: a, until: b } => {
                (from, until) = (from.or(Some(*a)), until.or(Some(*b)));
            }
            Validity::Repeated {
                from: a,
                until: b,
                days: on,
                start: s,
                end: e,
                offset,
            } => {
                (from, until) = (from.or(*a), until.or(*b));
                (start, end) = (start.or(Some(*s)), end.or(Some(*e)));
                zone = zone.or_else(|| Some(offset.clone()));
                if let (true, RepeatDays::Weekly(on) | RepeatDays::Monthly(on)) =
                    (days.is_empty(), on)
                {
                    days.clone_from(on);
                }
            }
        }
    }
    let days = match word {
        "Permanent" => return Ok(Some(Validity::Permanent)),
        "None" => {
            let from = from.ok_or_else(|| missing("StartTime"))?;
            let until = until.ok_or_else(|| missing("EndTime"))?;
            return Ok(Some(Validity::Once { from, until }));
        }
        "Daily" => RepeatDays::Daily,
        "Weekly" => RepeatDays::Weekly(days),
        _ => RepeatDays::Monthly(days),
    };
    Ok(Some(Validity::Repeated {
        from,
        until,
        days,
        start: start.ok_or_else(|| missing("RepeatStartTime"))?,
        end: end.ok_or_else(|| missing("RepeatEndTime"))?,
        offset: zone.unwrap_or_default(),
    }))
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let part = |text: &str| match text.len() {
        1 | 2 if text.bytes().all(|it| it.is_ascii_digit()) => text.parse::<u16>().ok(),
        _ => None,
    };
    let (hour, minute) = (part(hour)?, part(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

fn offset(text: &str) -> Option<Offset> {
    let Some(rest) = text.strip_prefix(['+', '-']) else {
        return Zone::named(text).map(Offset::Zone);
    };
    let minutes = i16::try_from(minutes(rest)?).ok()?;
    Some(Offset::Minutes(match text.starts_with('-') {
        true => -minutes,
        false => minutes,
    }))
}
