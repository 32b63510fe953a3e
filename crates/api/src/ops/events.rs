//! The audit trail, in the form of ActionTrail.

use super::Handler;
use crate::ApiError;
use crate::call::{Answer, Call, stamp};
use crate::service::{Cloud, now};
use crate::spec::{invalid, shown};
use crate::wire::parse_time;
use control::access::ACCOUNT;
use control::audit::{Actor, Event};
use control::records::Seconds;
use serde_json::{Value, json};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[("LookupEvents", Handler::Ask(lookup))];

/// What is looked at if the call does not say since when: a week.
const WEEK: Seconds = 7 * 24 * 60 * 60;

/// The most events that a call looks at. If it has not found as many as were asked for, it says where to go on.
const MAX_LOOKED_AT: usize = 20_000;

/// How many are read at once.
const PAGE: usize = 1_000;

/// Conditions, with what they look for.
const CONDITIONS: [&str; 7] = [
    "ServiceName",
    "EventName",
    "User",
    "EventId",
    "ResourceName",
    "EventRW",
    "EventAccessKeyId",
];

fn time(call: &Call, name: &str, default: Seconds) -> Result<Seconds, ApiError> {
    let Some(text) = call.text(name) else {
        return Ok(default);
    };
    let wrong = || {
        let why = format!(
            "{} is not a time such as 2026-11-21T19:08:37Z.",
            shown(text)
        );
        invalid(name, why)
    };
    parse_time(text).ok_or_else(wrong)
}

/// The conditions of a call: key and value.
fn conditions<'a>(call: &Call<'a>) -> Result<Vec<(&'static str, &'a str)>, ApiError> {
    let mut conditions = Vec::new();
    for object in call.params.objects("LookupAttribute") {
        let name = format!("{object}.Key");
        let value = call.text(&format!("{object}.Value"));
        if let (Some(key), Some(value)) = (call.word(&name, &CONDITIONS)?, value) {
            conditions.push((key, value));
        }
    }
    Ok(conditions)
}

fn fits(event: &Event, (key, value): (&str, &str)) -> bool {
    match key {
        "ServiceName" => event.product.eq_ignore_ascii_case(value),
        "EventName" => event.action == value,
        "User" => user_name(&event.actor) == value,
        "EventId" => event.id == value,
        "ResourceName" => event.resources.iter().any(|it| it == value),
        // There are none of calls that change nothing.
        "EventRW" => value == "Write",
        _ => matches!(&event.actor, Actor::Key { key, .. } if key == value),
    }
}

fn lookup(call: &Call, service: &Cloud) -> Answer {
    let end = time(call, "EndTime", now())?;
    let start = time(call, "StartTime", end.saturating_sub(WEEK))?;
    let forward = call.word("Direction", &["FORWARD", "BACKWARD"])? == Some("FORWARD");
    let most = call.int("MaxResults")?.unwrap_or(20);
    let most = usize::try_from(most).ok().filter(|it| *it <= 50);
    let most = most.ok_or_else(|| invalid("MaxResults", "It is not between 0 and 50."))?;
    let conditions = conditions(call)?;
    let mut after = match call.text("NextToken") {
        None => None,
        Some(token) => Some(token.parse::<u64>().map_err(|_| {
            let why = format!("{} is no token that was given out.", shown(token));
            invalid("NextToken", why)
        })?),
    };
    let mut found = Vec::new();
    let mut looked_at = 0;
    let next = 'pages: loop {
        let page = service.control().events(after, forward, PAGE)?;
        for (number, event) in page.events {
            let within = (start..=end).contains(&event.time);
            if !within || !conditions.iter().all(|it| fits(&event, *it)) {
                continue;
            }
            if found.len() == most {
                break 'pages after;
            }
            found.push(view(&event));
            after = Some(number);
        }
        looked_at += PAGE;
        match page.more {
            Some(last) if looked_at < MAX_LOOKED_AT => after = Some(last),
            more => break more,
        }
    };
    Ok(json!({
        "Events": found,
        "StartTime": stamp(start),
        "EndTime": stamp(end),
        "NextToken": next.map(|it| it.to_string()).unwrap_or_default(),
    }))
}

/// The name by which a caller is known.
fn user_name(actor: &Actor) -> &str {
    match actor {
        Actor::Key { user, .. } if user.is_empty() => "root",
        Actor::Key { user, .. } => user,
        Actor::Local { .. } => "local",
        Actor::Start => "start",
    }
}

fn view(event: &Event) -> Value {
    let (kind, principal, key) = match &event.actor {
        Actor::Key { key, user, .. } if user.is_empty() => ("root-account", ACCOUNT.into(), &**key),
        Actor::Key { key, number, .. } => ("ram-user", number.clone(), &**key),
        Actor::Local { uid } => ("local-user", uid.to_string(), ""),
        Actor::Start => ("system", String::new(), ""),
    };
    let source = match (&event.actor, &*event.address) {
        (Actor::Local { .. }, "") => "control-socket",
        (_, address) => address,
    };
    let time = stamp(event.time);
    let region = event.params.get("RegionId");
    let mut view = json!({
        "eventId": event.id,
        "eventVersion": "1",
        "eventType": "ApiCall",
        "eventCategory": "Management",
        "eventRW": "Write",
        "eventName": event.action,
        "eventTime": time,
        "eventSource": event.product.to_lowercase(),
        "serviceName": event.product,
        "apiVersion": event.version,
        "requestId": event.id,
        "requestParameters": event.params,
        "sourceIpAddress": source,
        "userAgent": event.user_agent,
        "acsRegion": region,
        "userIdentity": {
            "type": kind,
            "accountId": ACCOUNT,
            "principalId": principal,
            "userName": user_name(&event.actor),
            "accessKeyId": key,
        },
        "resources": event.resources,
        "httpStatus": event.status,
    });
    // As in the cloud: only of what was refused.
    if let (Value::Object(fields), false) = (&mut view, event.code.is_empty()) {
        fields.insert("errorCode".into(), json!(event.code));
        fields.insert("errorMessage".into(), json!(event.message));
    }
    view
}
