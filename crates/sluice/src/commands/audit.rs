//! `sluice audit`

use super::call::{self, Params};
use crate::cli::access::Audit;
use crate::error::Error;
use crate::output;
use crate::output::table::{Column, Table};
use serde_json::Value;
use std::io::Write;

use Column::Text as T;

const COLUMNS: &[Column] = &[
    T("TIME"),
    T("WHO"),
    T("FROM"),
    T("ACTION"),
    T("RESOURCES"),
    T("RESULT"),
];

/// The most resources of an event in the table.
const RESOURCES: usize = 3;

/// The largest page that the operation gives.
const PAGE: &str = "50";

pub fn run(args: &Audit, out: &mut impl Write) -> Result<(), Error> {
    let product = call::product("actiontrail")?;
    let given = conditions(args);
    let limit = match args.limit {
        0 => usize::MAX,
        limit => limit,
    };
    let (mut events, mut token) = (Vec::new(), String::new());
    loop {
        let mut params = given.clone();
        params.push(("NextToken".into(), token));
        let page = call::call(&args.daemon.find()?, product, "LookupEvents", params)?;
        let found = page.get("Events").and_then(Value::as_array);
        let failed = |it: &&Value| !args.failed || it.get("errorCode").is_some();
        events.extend(found.into_iter().flatten().filter(failed).cloned());
        token = match page.get("NextToken").and_then(Value::as_str) {
            Some(next) if !next.is_empty() && events.len() < limit => next.to_owned(),
            _ => break,
        };
    }
    events.truncate(limit);
    if args.json {
        return output::json(out, &events).map_err(Error::Output);
    }
    out.write_all(render(&events).as_bytes())
        .map_err(Error::Output)
}

/// The conditions as the operation takes them.
fn conditions(args: &Audit) -> Params {
    let given = [
        ("User", &args.user),
        ("EventAccessKeyId", &args.key),
        ("EventName", &args.action),
        ("ResourceName", &args.resource),
    ];
    let given = given
        .iter()
        .filter_map(|(key, value)| Some((*key, value.as_ref()?)));
    let mut params = vec![("MaxResults".to_owned(), PAGE.to_owned())];
    for (n, (key, value)) in given.enumerate() {
        let name = |part| format!("LookupAttribute.{}.{part}", n + 1);
        params.push((name("Key"), key.into()));
        params.push((name("Value"), value.clone()));
    }
    for (name, time) in [("StartTime", &args.since), ("EndTime", &args.until)] {
        params.extend(time.iter().map(|it| (name.to_owned(), it.clone())));
    }
    params
}

fn render(events: &[Value]) -> String {
    let mut table = Table::new(COLUMNS);
    for event in events {
        let text = |path: &str| {
            let text = event.pointer(path).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let who = match &*text("/userIdentity/type") {
            "local-user" => format!("uid {}", text("/userIdentity/principalId")),
            _ => text("/userIdentity/userName"),
        };
        let resources = event.get("resources").and_then(Value::as_array);
        let resources = resources.into_iter().flatten().filter_map(Value::as_str);
        let mut resources: Vec<&str> = resources.collect();
        if resources.len() > RESOURCES {
            resources.truncate(RESOURCES);
            resources.push("…");
        }
        let result = match &*text("/errorCode") {
            "" => "done".to_owned(),
            code => code.to_owned(),
        };
        table.row([
            text("/eventTime"),
            who,
            text("/sourceIpAddress"),
            format!("{}:{}", text("/eventSource"), text("/eventName")),
            resources.join(", "),
            result,
        ]);
    }
    table.part()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use serde_json::json;

    #[test]
    fn conditions_are_numbered() {
        let line = "sluice audit --user alice --resource vpc-1 --since 2026-11-21T00:00:00Z";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Audit(args) = cli.command else {
            unreachable!()
        };
        let params = conditions(&args);
        let pairs: Vec<_> = params.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(
            pairs,
            [
                ("MaxResults", "50"),
                ("LookupAttribute.1.Key", "User"),
                ("LookupAttribute.1.Value", "alice"),
                ("LookupAttribute.2.Key", "ResourceName"),
                ("LookupAttribute.2.Value", "vpc-1"),
                ("StartTime", "2026-11-21T00:00:00Z"),
            ]
        );
    }

    #[test]
    fn an_event_is_a_line() {
        let event = json!({
            "eventTime": "2026-11-21T19:08:37Z", "eventSource": "vpc", "eventName": "DeleteVpc",
            "sourceIpAddress": "control-socket", "resources": ["a", "b", "c", "d"],
            "errorCode": "DependencyViolation",
            "userIdentity": {"type": "local-user", "principalId": "0", "userName": "local"}});
        let lines = render(&[event]);
        let line = lines.lines().nth(1).unwrap();
        for part in [
            "uid 0",
            "control-socket",
            "vpc:DeleteVpc",
            "a, b, c, …",
            "DependencyViolation",
        ] {
            assert!(line.contains(part), "{line}");
        }
    }
}
