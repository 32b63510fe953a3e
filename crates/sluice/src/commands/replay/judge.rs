//! What policies say of the sessions in a capture.

use crate::firewall::{List, ListKind, Table};
use inspect::capture::{Answered, Capture, Flow, Protocol};
use model::text::{TCP, UDP};
use model::{App, Config, EngineMode, FirewallSettings, PolicyAction, PolicyScope, ThreatAction};
use policy::{
    Answers, Because, Facts, Identity, KnownNames, Locations, Needs, Policies, Resolved, Subject,
    Verdict, World,
};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Answers of DNS that count at once.
const MOST_ANSWERS: usize = 1 << 20;

/// What would have happened to a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement<'a> {
    pub verdict: PolicyAction,
    /// The policy that decides, or that allows what is not known.
    pub policy: Option<&'a str>,
    /// The category of threat that it belongs to, if something is done about that.
    pub threat: Option<&'a str>,
    pub why: &'static str,
}

/// A firewall, with its policies and what it knows beside them.
pub(super) struct Judge {
    scope: PolicyScope,
    policies: Policies,
    mode: EngineMode,
    settings: FirewallSettings,
    world: World,
    locations: Option<Table>,
    answers: Answers,
}

impl Judge {
    /// The firewall of a configuration that has these policies.
    ///
    /// # Errors
    /// If a file that the configuration names, with threats or locations, cannot be read.
    pub fn new(
        config: &Config,
        scope: PolicyScope,
        mode: Option<EngineMode>,
    ) -> Result<Judge, String> {
        let settings = settings(config, &scope);
        let policies = config.firewalls.policies(&scope);
        let locations = config.system.services.locations.as_ref();
        let locations = locations
            .map(|path| Table::open(path).map_err(|error| format!("{}: {error}", path.display())));
        Ok(Judge {
            policies: Policies::compile(policies, &config.firewalls.books),
            mode: mode.unwrap_or(settings.mode),
            settings,
            world: world(config)?,
            locations: locations.transpose()?,
            answers: Answers::new(MOST_ANSWERS),
            scope,
        })
    }

    /// Gives `each` the sessions of a capture that the firewall sees, in their order, each judged by what was known
    /// when it began.
    pub fn judge<'a>(
        &mut self,
        capture: &'a Capture,
        mut each: impl FnMut(&'a Flow, Judgement<'_>),
    ) {
        let mut answers = capture.answers.iter().peekable();
        for (n, flow) in capture.flows.iter().enumerate() {
            while let Some(answer) = answers.next_if(|it| it.flows <= n) {
                self.learn(answer);
            }
            if let Some(judgement) = self.one(flow) {
                each(flow, judgement);
            }
        }
    }

    fn learn(&mut self, answer: &Answered) {
        if let (IpAddr::V4(client), IpAddr::V4(address)) = (answer.client, answer.address) {
            let until = answer.time.as_secs() + u64::from(answer.ttl.max(1));
            self.answers.learn(client, &answer.name, address, until);
        }
    }

    /// What becomes of a session. Those of IPv6 no firewall sees, and the DNS firewall only questions.
    fn one<'a>(&'a self, flow: &'a Flow) -> Option<Judgement<'a>> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (flow.client.0, flow.server.0) else {
            return None;
        };
        let dns = self.scope == PolicyScope::Dns;
        let identity = match flow.identity() {
            // Something that tells a name, whatever it is: policies about questions name no application.
            _ if dns => Identity::Known {
                app: App::Http,
                domain: Some(flow.query()?),
            },
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
        let now = match flow.start.as_secs() {
            0 => datapath::wall(),
            time => time,
        };
        let resolved = Resolved::default();
        let names = KnownNames {
            answers: &self.answers,
            resolved: &resolved,
            now,
        };
        let nowhere: &dyn Locations = &();
        let facts = Facts {
            names: &names,
            locations: self.locations.as_ref().map_or(nowhere, |it| it),
            threats: &self.world.threats,
            services: &self.world.services,
            now,
        };
        let judgement = self.ask(&subject, &facts);
        match judgement.verdict {
            PolicyAction::Drop => Some(judgement),
            _ => Some(self.look_further(&subject, judgement)),
        }
    }

    fn ask(&self, subject: &Subject, facts: &Facts) -> Judgement<'_> {
        let default = match self.settings.default_action {
            model::Policy::Accept => PolicyAction::Accept,
            model::Policy::Drop => PolicyAction::Drop,
        };
        let (verdict, place, why) = match self.policies.check(subject, facts, self.mode, default) {
            Verdict::Decided { action, because } => match because {
                Because::Policy(place) => (action, Some(place), "it matches"),
                Because::Default => (action, None, "none matches"),
                Because::Unidentified(place, Needs::App) => {
                    (action, Some(place), "application unknown")
                }
                Because::Unidentified(place, Needs::Domain) => {
                    (action, Some(place), "domain unknown")
                }
            },
            // Nothing more will be known of what is in a file.
            Verdict::Pending(place, _) => (default, Some(place), "not decided"),
        };
        let policy = place.and_then(|place| self.policies.get(place));
        Judgement {
            verdict,
            policy: policy.map(|it| &*it.id),
            threat: None,
            why,
        }
    }

    /// What threat intelligence adds to what the policies let pass.
    fn look_further<'a>(&'a self, subject: &Subject, judgement: Judgement<'a>) -> Judgement<'a> {
        let stranger: Ipv4Addr = match self.scope {
            PolicyScope::BorderIn => subject.source,
            _ => subject.destination,
        };
        let told = match subject.identity {
            Identity::Known { domain, .. } => domain,
            _ => None,
        };
        let by_domain = told.and_then(|name| self.world.threats.find_domain(name));
        let found = [self.world.threats.find_address(stranger), by_domain];
        let rules = &self.settings.threats;
        let rule = |category: &str| rules.iter().find(|it| it.category == category);
        let mut found: Vec<_> = found.into_iter().flatten().filter_map(rule).collect();
        // Of two findings the one that drops counts.
        found.sort_by_key(|it| it.action != ThreatAction::Drop);
        match found.first() {
            None => judgement,
            Some(rule) if rule.action == ThreatAction::Drop => Judgement {
                verdict: PolicyAction::Drop,
                policy: None,
                threat: Some(&rule.category),
                why: "a threat",
            },
            Some(rule) => Judgement {
                threat: Some(&rule.category),
                ..judgement
            },
        }
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
            // Nobody can answer for what is not asked.
            mode: EngineMode::Strict,
            ..FirewallSettings::default()
        }),
    }
    .unwrap_or_default()
}

/// What is known by the lists that are files, and the threats that are built in.
fn world(config: &Config) -> Result<World, String> {
    let mut tables = [ListKind::Services, ListKind::Threats].map(|it| (it, it.table()));
    for list in List::of(config) {
        let location = list.location();
        let path = location.strip_prefix("file://").unwrap_or(location);
        if path.contains("://") {
            tracing::warn!("{list} is not looked at: {location}");
            continue;
        }
        let wrong = |error: String| format!("{path}: {error}");
        let file = File::open(Path::new(path)).map_err(|error| wrong(error.to_string()))?;
        let kind = list.kind();
        for (_, table) in tables.iter_mut().filter(|(it, _)| *it == kind) {
            let read = table.add(&list, &file, datapath::wall());
            read.map_err(|error| wrong(error.to_string()))?;
        }
    }
    let mut world = World::default();
    tables.into_iter().for_each(|(_, it)| it.tell()(&mut world));
    Ok(world)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inspect::{Details, Progress, Unknown};
    use std::time::Duration;

    /// 2026-11-30, a Monday, at noon.
    const NOON: u64 = 1_796_040_000;

    fn judge(text: &str) -> Judge {
        let config = model::file::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let scope = config.firewalls.policies[0].scope.clone();
        Judge::new(&config, scope, None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn policy(keys: &str) -> String {
        policy_of("border-out", keys)
    }

    fn policy_of(firewall: &str, keys: &str) -> String {
        let keys = keys.replace("; ", "\n");
        format!("[[policy]]\nfirewall = \"{firewall}\"\n{keys}\n")
    }

    fn flow(app: Option<App>, domain: Option<&str>) -> Flow {
        Flow {
            protocol: Protocol::Tcp,
            client: ("192.168.1.10".parse().unwrap(), 40_000),
            server: ("203.0.113.7".parse().unwrap(), 443),
            start: Duration::from_secs(NOON),
            packets: 3,
            packets_needed: None,
            progress: match app {
                None => Progress::GaveUp(Unknown::NoPayload),
                Some(app) => Progress::Done(inspect::Identity {
                    app,
                    domain: domain.map(Into::into),
                    hidden: false,
                    details: Details::default(),
                }),
            },
            related: false,
        }
    }

    fn verdict(judge: &Judge, flow: &Flow) -> PolicyAction {
        judge.one(flow).unwrap().verdict
    }

    use PolicyAction::{Accept, Drop};

    #[test]
    fn a_session_is_judged_by_what_is_known_of_it() {
        let web = "id = \"web\"; protocol = \"tcp\"; ports = 443; applications = [\"HTTPS\"]; action = \"accept\"";
        let mut judge = judge(&(policy(web) + &policy("id = \"rest\"; action = \"drop\"")));
        let (loose, strict) = (EngineMode::Loose, EngineMode::Strict);
        for (app, mode, verdict, policy, why) in [
            (Some(App::Https), loose, Accept, "web", "it matches"),
            (Some(App::Ssh), loose, Drop, "rest", "it matches"),
            (None, loose, Accept, "web", "application unknown"),
            (None, strict, Drop, "rest", "it matches"),
        ] {
            judge.mode = mode;
            let judgement = Judgement {
                verdict,
                policy: Some(policy),
                threat: None,
                why,
            };
            assert_eq!(judge.one(&flow(app, None)), Some(judgement));
        }
        let mut six = flow(None, None);
        six.client.0 = "2001:db8::1".parse().unwrap();
        assert_eq!(judge.one(&six), None);
    }

    /// What clients were answered counts for those who were, from then on and for as long as it was said to.
    #[test]
    fn names_are_those_that_clients_were_answered() {
        let mut judge = judge(&policy(
            "domain = \"*.shop.test\"; resolve = \"dns\"; action = \"drop\"",
        ));
        let ssh = |client: &str, seconds| Flow {
            client: (client.parse().unwrap(), 40_000),
            start: Duration::from_secs(NOON + seconds),
            ..flow(Some(App::Ssh), None)
        };
        let (me, other) = ("192.168.1.10", "192.168.1.11");
        let capture = Capture {
            flows: vec![ssh(me, 0), ssh(me, 10), ssh(other, 10), ssh(me, 70)],
            answers: vec![Answered {
                flows: 1,
                time: Duration::from_secs(NOON + 5),
                client: me.parse().unwrap(),
                name: "www.shop.test".into(),
                address: "203.0.113.7".parse().unwrap(),
                ttl: 60,
            }],
            packets: 4,
            truncated: false,
        };
        let mut verdicts = Vec::new();
        judge.judge(&capture, |_, it| verdicts.push(it.verdict));
        assert_eq!(verdicts, [Accept, Drop, Accept, Accept]);
    }

    #[test]
    fn times_are_those_of_the_capture() {
        let daily = "action = \"drop\"; [policy.validity]; repeat = \"daily\"; start = \"12:00\"; end = \"13:00\"";
        let judge = judge(&policy(daily));
        let at = |minutes: u64| Flow {
            start: Duration::from_secs(NOON / 86_400 * 86_400 + minutes * 60),
            ..flow(Some(App::Ssh), None)
        };
        assert_eq!(verdict(&judge, &at(12 * 60 + 30)), Drop);
        assert_eq!(verdict(&judge, &at(13 * 60 + 30)), Accept);
    }

    #[test]
    fn the_dns_firewall_sees_questions_alone() {
        let judge = judge(&policy_of(
            "dns",
            "domain = \"*.ads.test\"; action = \"drop\"",
        ));
        let asked = |name| flow(Some(App::Dns), Some(name));
        assert_eq!(verdict(&judge, &asked("www.ads.test")), Drop);
        assert_eq!(verdict(&judge, &asked("www.shop.test")), Accept);
        assert_eq!(
            judge.one(&flow(Some(App::Https), Some("www.ads.test"))),
            None
        );
        assert_eq!(judge.one(&flow(None, None)), None);
    }

    #[test]
    fn threats_and_locations_are_those_of_the_files_that_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (list, table) = (dir.path().join("list"), dir.path().join("table.mmdb"));
        std::fs::write(&list, "203.0.113.7\nbad.test\n").unwrap();
        std::fs::write(&table, crate::firewall::table_for_tests("NZ", "AUK")).unwrap();
        let head = format!(
            "[locations]\npath = \"{}\"\n[[threat_feed]]\nid = \"list\"\nlocation = \"{}\"\ncategory = \"IpOutThreatMining\"\n",
            table.display(),
            list.display()
        );
        let there = policy(
            "destination_location = [\"NZ\"]; applications = [\"SSH\"]; protocol = \"tcp\"; action = \"drop\"",
        );
        let watched = |action: &str| {
            let rule =
                format!("[border_firewall]\nthreats = {{ IpOutThreatMining = \"{action}\" }}\n");
            judge(&(rule + &head + &there))
        };
        let (ssh, web) = (flow(Some(App::Ssh), None), flow(Some(App::Https), None));
        let by_policy = watched("drop");
        assert_eq!(by_policy.one(&ssh).unwrap().why, "it matches");
        let found = by_policy.one(&web).unwrap();
        assert_eq!(
            (found.verdict, found.threat, found.why),
            (Drop, Some("IpOutThreatMining"), "a threat")
        );
        let found = watched("alert");
        let found = found.one(&web).unwrap();
        assert_eq!(
            (found.verdict, found.threat, found.why),
            (Accept, Some("IpOutThreatMining"), "none matches")
        );
        let named = Flow {
            server: ("198.51.100.9".parse().unwrap(), 443),
            ..flow(Some(App::Https), Some("www.bad.test"))
        };
        assert_eq!(verdict(&watched("drop"), &named), Drop);
        std::fs::remove_file(&list).unwrap();
        let config = model::file::parse(&(head + &there)).unwrap();
        let error = Judge::new(&config, PolicyScope::BorderOut, None)
            .err()
            .unwrap();
        assert!(error.contains("list"), "{error}");
    }
}
