//! `sluice replay`

use crate::cli::records::Replay;
use crate::error::Error;
use crate::output::table::{Column, Table};
use crate::output::units::{count, plural};
use crate::state::read_config;
use inspect::Limits;
use inspect::capture::{Capture, Flow, Protocol};
use model::text::{TCP, UDP};
use model::{App, Config, EngineMode, FirewallSettings, PolicyAction, PolicyScope};
use policy::{Because, Facts, Identity, Needs, Policies, Subject, Threats, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const COLUMNS: &[Column] = &[
    Column::Text("VERDICT"),
    Column::Text("POLICY"),
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
    policy: Option<&'a str>,
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
    let settings = settings(&config, &scope);
    let mode = args.mode.unwrap_or(settings.mode);
    let policies = config.firewalls.policies(&scope);
    let policies = Policies::compile(policies, &config.firewalls.books);
    let judge = |flow| judge(flow, &policies, mode, settings.default_action);
    let lines: Vec<Line> = capture.flows.iter().filter_map(judge).collect();
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

fn settings(config: &Config, scope: &PolicyScope) -> FirewallSettings {
    let firewalls = &config.firewalls;
    let all = firewalls.nat.iter().chain(&firewalls.nat_off);
    match scope {
        PolicyScope::NatGateway(id) => {
            let mut of_gateway = all.filter(|it| it.gateway == *id);
            of_gateway.next().map(|it| it.settings.clone())
        }
        PolicyScope::BorderIn | PolicyScope::BorderOut => Some(firewalls.border.settings.clone()),
        PolicyScope::Dns => Some(FirewallSettings {
            default_action: firewalls.dns.default_action,
            ..FirewallSettings::default()
        }),
    }
    .unwrap_or_default()
}

/// What the policies say of a session. Those of IPv6 no firewall sees.
fn judge<'a>(
    flow: &'a Flow,
    policies: &'a Policies,
    mode: EngineMode,
    default: model::Policy,
) -> Option<Line<'a>> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (flow.client.0, flow.server.0) else {
        return None;
    };
    let identity = match flow.identity() {
        Some(known) if known.is_nameless() => Identity::Nameless(known.app),
        Some(known) => Identity::Known {
            app: known.app,
            domain: known.domain.as_deref(),
        },
        None => Identity::Unknown,
    };
    let subject = Subject {
        source,
        destination,
        protocol: match flow.protocol {
            Protocol::Tcp => TCP,
            Protocol::Udp => UDP,
        },
        port: Some(flow.server.1),
        identity,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let threats = Threats::default();
    let facts = Facts {
        names: &(),
        locations: &(),
        threats: &threats,
        now: now.map_or(0, |it| it.as_secs()),
    };
    let default = match default {
        model::Policy::Accept => PolicyAction::Accept,
        model::Policy::Drop => PolicyAction::Drop,
    };
    let (verdict, place, why) = match policies.check(&subject, &facts, mode, default) {
        Verdict::Decided { action, because } => match because {
            Because::Policy(place) => (action, Some(place), "it matches"),
            Because::Default => (action, None, "none matches"),
            Because::Unidentified(place, Needs::App) => {
                (action, Some(place), "application unknown")
            }
            Because::Unidentified(place, Needs::Domain) => (action, Some(place), "domain unknown"),
        },
        // Nothing more will be known of what is in a file.
        Verdict::Pending(place, _) => (default, Some(place), "not decided"),
    };
    let policy = place.and_then(|place| policies.get(place));
    Some(Line {
        verdict,
        policy: policy.map(|it| &*it.id),
        why,
        proto: flow.protocol.name(),
        client: flow.client.0,
        client_port: flow.client.1,
        server: flow.server.0,
        server_port: flow.server.1,
        application: flow.application(),
        domain: flow.domain(),
        state: flow.state(),
    })
}

fn render(lines: &[Line], flows: usize) -> String {
    let mut table = Table::new(COLUMNS);
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines {
        let verdict = line.verdict.to_string();
        *verdicts.entry(verdict.clone()).or_default() += 1;
        table.row([
            verdict,
            line.policy.unwrap_or_default().to_owned(),
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
            "{} of IPv6, which no firewall sees",
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

    #[test]
    fn a_session_is_judged_by_what_is_known_of_it() {
        let policies = "[[policy]]\nid = \"web\"\nfirewall = \"border-out\"\nprotocol = \"tcp\"\nports = 443\n\
                        applications = [\"HTTPS\"]\naction = \"accept\"\n\
                        [[policy]]\nid = \"rest\"\nfirewall = \"border-out\"\naction = \"drop\"\n";
        let config = config(policies);
        let policies = config.firewalls.policies(&PolicyScope::BorderOut);
        let policies = Policies::compile(policies, &[]);
        let flow = |app: Option<App>, client: &str| Flow {
            protocol: Protocol::Tcp,
            client: (client.parse().unwrap(), 40_000),
            server: ("198.51.100.7".parse().unwrap(), 443),
            packets: 3,
            packets_needed: None,
            progress: match app {
                None => inspect::Progress::GaveUp(inspect::Unknown::NoPayload),
                Some(app) => inspect::Progress::Done(inspect::Identity {
                    app,
                    domain: None,
                    hidden: false,
                    details: inspect::Details::default(),
                }),
            },
            related: false,
        };
        for (app, mode, verdict, policy, why) in [
            (
                Some(App::Https),
                EngineMode::Loose,
                PolicyAction::Accept,
                "web",
                "it matches",
            ),
            (
                Some(App::Ssh),
                EngineMode::Loose,
                PolicyAction::Drop,
                "rest",
                "it matches",
            ),
            (
                None,
                EngineMode::Loose,
                PolicyAction::Accept,
                "web",
                "application unknown",
            ),
            (
                None,
                EngineMode::Strict,
                PolicyAction::Drop,
                "rest",
                "it matches",
            ),
        ] {
            let flow = flow(app, "192.168.1.10");
            let line = judge(&flow, &policies, mode, model::Policy::Accept).unwrap();
            assert_eq!(
                (line.verdict, line.policy, line.why),
                (verdict, Some(policy), why)
            );
        }
        let six = flow(None, "2001:db8::1");
        assert!(judge(&six, &policies, EngineMode::Loose, model::Policy::Accept).is_none());
    }
}
