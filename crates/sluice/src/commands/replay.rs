//! `sluice replay`

mod judge;

use crate::cli::records::Replay;
use crate::error::Error;
use crate::output::table::{Column, Table};
use crate::output::units::{count, plural};
use crate::state::read_config;
use inspect::Limits;
use inspect::capture::{Capture, Flow};
use judge::{Judge, Judgement};
use model::{App, Config, PolicyAction, PolicyScope};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::Path;

const COLUMNS: &[Column] = &[
    Column::Text("VERDICT"),
    Column::Text("POLICY"),
    Column::Text("THREAT"),
    Column::Text("WHY"),
    Column::Text("PROTO"),
    Column::Text("CLIENT"),
    Column::Text("SERVER"),
    Column::Text("APPLICATION"),
    Column::Text("DOMAIN"),
    Column::Text("STATE"),
];

/// What would have happened to a session.
#[derive(Debug, Serialize)]
struct Line<'a> {
    verdict: PolicyAction,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threat: Option<String>,
    why: &'static str,
    proto: &'static str,
    client: IpAddr,
    client_port: u16,
    server: IpAddr,
    server_port: u16,
    application: Option<App>,
    domain: Option<&'a str>,
    state: &'static str,
}

impl<'a> Line<'a> {
    fn new(flow: &'a Flow, judgement: &Judgement) -> Line<'a> {
        Line {
            verdict: judgement.verdict,
            policy: judgement.policy.map(str::to_owned),
            threat: judgement.threat.map(str::to_owned),
            why: judgement.why,
            proto: flow.protocol.name(),
            client: flow.client.0,
            client_port: flow.client.1,
            server: flow.server.0,
            server_port: flow.server.1,
            application: flow.application(),
            domain: flow.domain().or(flow.query()),
            state: flow.state(),
        }
    }
}

pub fn run(args: &Replay, out: &mut impl Write) -> Result<(), Error> {
    let text = read_config(&args.policy)?;
    let config = model::file::parse(&text).map_err(|error| Error::Config {
        path: args.policy.clone(),
        error,
    })?;
    let capture = read(&args.capture).map_err(|error| {
        let path = args.capture.display();
        Error::Other(format!("{path}: {error}"))
    })?;
    let scope = scope(&config, args.firewall.as_deref())?;
    let mut judge = Judge::new(&config, scope, args.mode).map_err(Error::Other)?;
    let mut lines = Vec::new();
    judge.judge(&capture, |flow, it| lines.push(Line::new(flow, &it)));
    let text = match args.json {
        true => {
            let lines: Result<Vec<String>, _> = lines.iter().map(serde_json::to_string).collect();
            let lines = lines.map_err(|error| Error::Other(error.to_string()))?;
            lines.iter().map(|line| format!("{line}\n")).collect()
        }
        false => render(&lines, capture.flows.len()),
    };
    out.write_all(text.as_bytes()).map_err(Error::Output)
}

fn read(path: &Path) -> Result<Capture, String> {
    let from: Box<dyn Read + Send> = match path.as_os_str() {
        name if name == "-" => Box::new(io::stdin()),
        _ => Box::new(File::open(path).map_err(|error| error.to_string())?),
    };
    Capture::read(from, Limits::default()).map_err(|error| error.to_string())
}

/// The firewall whose policies are tried.
fn scope(config: &Config, given: Option<&str>) -> Result<PolicyScope, Error> {
    let lists = &config.firewalls.policies;
    let known = || {
        let scopes: Vec<String> = lists.iter().map(|it| it.scope.to_string()).collect();
        scopes.join(", ")
    };
    match (given, &lists[..]) {
        (Some(given), _) => {
            let scope = PolicyScope::from(given);
            let found = lists.iter().any(|it| it.scope == scope);
            let why = || {
                format!(
                    "the file has no policies of {given}: it has those of {}",
                    known()
                )
            };
            found.then_some(scope).ok_or_else(|| Error::Other(why()))
        }
        (None, [only]) => Ok(only.scope.clone()),
        (None, []) => Err(Error::Other("the file has no policies".into())),
        (None, _) => Err(Error::Other(format!(
            "the file has policies of several firewalls: say with --firewall which one is meant: {}",
            known()
        ))),
    }
}

fn render(lines: &[Line], flows: usize) -> String {
    let mut table = Table::new(COLUMNS);
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines {
        let verdict = line.verdict.to_string();
        *verdicts.entry(verdict.clone()).or_default() += 1;
        table.row([
            verdict,
            line.policy.clone().unwrap_or_default(),
            line.threat.clone().unwrap_or_default(),
            line.why.to_owned(),
            line.proto.to_owned(),
            format!("{}:{}", line.client, line.client_port),
            format!("{}:{}", line.server, line.server_port),
            line.application
                .map(|it| it.to_string())
                .unwrap_or_default(),
            line.domain.unwrap_or_default().to_owned(),
            line.state.to_owned(),
        ]);
    }
    let verdicts = verdicts.iter();
    let mut sums: Vec<String> = verdicts
        .map(|(it, n)| format!("{it}: {}", count(*n)))
        .collect();
    let left = (flows - lines.len()) as u64;
    if left > 0 {
        sums.push(format!(
            "{} that the firewall does not see",
            plural(left, "session")
        ));
    }
    match table.is_empty() {
        true => "There is no session in it that a firewall would see.\n".into(),
        false => format!("{}\n{}\n", table.part(), sums.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(policies: &str) -> Config {
        model::file::parse(policies).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn which_policies_are_meant_is_not_guessed_at() {
        let one = "[[policy]]\nfirewall = \"border-out\"\naction = \"drop\"\n";
        let two = format!("{one}[[policy]]\nfirewall = \"border-in\"\naction = \"drop\"\n");
        assert_eq!(scope(&config(one), None).unwrap(), PolicyScope::BorderOut);
        let error = scope(&config(&two), None).unwrap_err().to_string();
        assert!(error.contains("border-out, border-in"), "{error}");
        let found = scope(&config(&two), Some("border-in")).unwrap();
        assert_eq!(found, PolicyScope::BorderIn);
        assert!(scope(&config(one), Some("dns")).is_err());
        assert!(scope(&config(""), None).is_err());
    }
}
