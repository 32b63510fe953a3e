//! What the firewalls say about a session: the Internet border, then the NAT firewall on its way out, and the same
//! on its way in. Each must allow it; the first refusal in this order counts.
//!
//! [`judge`] reads and changes nothing, like [`crate::decide`]: new sessions, those that are judged again and traces
//! are asked about by it.

use crate::decide::{Direction, Entry, Plan};
use crate::explain::Recorder;
use crate::firewall::{ListIx, default_action};
use crate::record::FirewallKind;
use crate::snapshot::{Binding, Snapshot};
use crate::tuple;
use flow::reason::Reason;
use flow::{Key, proto};
use model::{App, EngineMode, FirewallSettings, NameCheck, PolicyAction, ThreatAction};
use policy::{Because, Facts, Identity, Needs, Resolved, Subject, Verdict};
use std::net::Ipv4Addr;

/// Firewalls that one session meets at most: border and NAT firewall, out and in.
pub(crate) const STAGES: usize = 4;
/// The place of the border on the way in among them.
pub(crate) const BORDER_IN: usize = 2;

/// What a firewall says about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub kind: FirewallKind,
    pub list: ListIx,
    pub says: Says,
    /// The policy that the session met first and that needed to know more.
    pub pre: Option<u32>,
    /// The index of the firewall's rule for the category of threat that the session belongs to.
    pub threat: Option<u8>,
    /// The name that it tells does not stand for its destination.
    pub misnamed: bool,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Policy(u32, PolicyAction),
    Default(PolicyAction),
    /// Allowed since the policy in this place needs what cannot be known.
    Unidentified(u32),
    /// Allowed so far: the policy in this place needs to know more.
    Pending(u32, Needs),
    /// Allowed by all that is known, but what it tells still is of interest: threats are known by domain.
    Observe,
    /// Allowed since an earlier daemon had allowed it.
    Earlier,
    /// Refused: threat intelligence knows it.
    Threat,
    /// Refused: it tells a name that is not its destination's.
    Misnamed,
}

impl Ruling {
    pub fn refuses(&self) -> bool {
        matches!(
            self.says,
            Says::Policy(_, PolicyAction::Drop)
                | Says::Default(PolicyAction::Drop)
                | Says::Threat
                | Says::Misnamed
        )
    }

    pub fn waits(&self) -> bool {
        matches!(self.says, Says::Pending(..) | Says::Observe)
    }

    /// The policy that has decided.
    pub fn decided_by(&self) -> Option<u32> {
        match self.says {
            Says::Policy(place, _) => Some(place),
            _ => None,
        }
    }

    /// The reason for which packets are dropped, if it refuses.
    pub fn reason(&self) -> Reason {
        match (self.says, self.kind) {
            (Says::Threat, _) => Reason::Threat,
            (Says::Misnamed, _) => Reason::NameMismatch,
            (_, FirewallKind::Nat | FirewallKind::NatIn) => Reason::NatFirewall,
            (_, FirewallKind::Dns) => Reason::DnsFirewall,
            _ => Reason::BorderFirewall,
        }
    }
}

/// What all of them say: in the order in which they are asked.
pub(crate) type Rulings = [Option<Ruling>; STAGES];

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No firewall sees it.
    Unseen,
    Allowed,
    /// It is to be inspected.
    Pending,
    /// This one refuses it.
    Refused(Ruling),
}

/// What is known of a session's content, and whether that is all there will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub identity: Identity<'a>,
    /// An earlier daemon had allowed it, by the same policies.
    pub earlier: bool,
}

impl Known<'_> {
    /// Of a session that begins.
    pub fn nothing_yet(protocol: u8) -> Known<'static> {
        let identity = match protocol {
            proto::TCP | proto::UDP => Identity::Pending(None),
            _ => Identity::Unknown,
        };
        Known {
            identity,
            earlier: false,
        }
    }
}

/// What a judgement is made by.
#[derive(Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub facts: Facts<'a>,
    pub resolved: &'a Resolved,
}

/// One firewall and the session as it sees it.
struct Stage<'a> {
    kind: FirewallKind,
    id: Option<&'a str>,
    list: ListIx,
    settings: &'a FirewallSettings,
    mode: EngineMode,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    /// As in a packet.
    dport: u16,
    /// The end outside, that threat intelligence knows.
    stranger: Ipv4Addr,
}

/// Asks the firewalls on a session's way about it.
pub(crate) fn judge(
    s: &Snapshot,
    plan: &Plan,
    original: &Key,
    reply: &Key,
    known: Known<'_>,
    evidence: Evidence<'_>,
    rec: &mut impl Recorder,
) -> (Rulings, Outcome) {
    let mut rulings = [None; STAGES];
    let mut outcome = Outcome::Unseen;
    for (stage, ruling) in stages(s, plan, original, reply)
        .into_iter()
        .zip(&mut rulings)
    {
        let Some(stage) = stage else { continue };
        let said = stage.ask(s, original.proto, known, evidence, rec);
        *ruling = Some(said);
        outcome = match outcome {
            Outcome::Refused(_) => outcome,
            _ if said.refuses() => Outcome::Refused(said),
            Outcome::Pending => outcome,
            _ if said.waits() => Outcome::Pending,
            _ => Outcome::Allowed,
        };
        // What comes after a refusal is not asked.
        if said.refuses() {
            break;
        }
    }
    (rulings, outcome)
}

/// The firewalls that a session meets, in the order in which they are asked.
fn stages<'a>(
    s: &'a Snapshot,
    plan: &Plan,
    original: &Key,
    reply: &Key,
) -> [Option<Stage<'a>>; STAGES] {
    let translated = tuple::reverse(reply, 0);
    let (src, dst) = (tuple::ip(original.src), tuple::ip(original.dst));
    let seen_as = tuple::ip(translated.src);
    let leaves = matches!(plan.direction, Direction::Out | Direction::Hairpin);
    let enters = matches!(plan.direction, Direction::In | Direction::Hairpin);
    let border = |kind, eip: Ipv4Addr, list: ListIx, source, stranger| {
        border(s, original, kind, eip, list, source, stranger)
    };
    let nat = |kind, ix: Option<u32>, source, destination, dport, stranger| {
        let firewall = &s.firewalls.nat[ix? as usize];
        Some(Stage {
            kind,
            id: Some(&*firewall.id),
            list: firewall.list,
            settings: &firewall.settings,
            mode: firewall.settings.mode,
            source,
            destination,
            dport,
            stranger,
        })
    };
    let lists = s.firewalls.border.as_ref();
    let (leaving, entering) = lists.map_or((0, 0), |border| (border.leaving, border.entering));
    let mut met = [const { None }; STAGES];
    if leaves {
        met[0] = border(FirewallKind::BorderOut, seen_as, leaving, seen_as, dst);
        met[1] = nat(
            FirewallKind::Nat,
            plan.firewall,
            src,
            dst,
            original.dport,
            dst,
        );
    }
    if enters {
        // What comes by hairpin has passed the border as its EIP.
        let from = if leaves { seen_as } else { src };
        met[BORDER_IN] = border(FirewallKind::BorderIn, dst, entering, from, from);
        let (to, dport) = (tuple::ip(translated.dst), translated.dport);
        met[3] = nat(
            FirewallKind::NatIn,
            inner(s, plan, dst),
            from,
            to,
            dport,
            from,
        );
    }
    met
}

/// The Internet border, if it protects an EIP.
fn border<'a>(
    s: &'a Snapshot,
    original: &Key,
    kind: FirewallKind,
    eip: Ipv4Addr,
    list: ListIx,
    source: Ipv4Addr,
    stranger: Ipv4Addr,
) -> Option<Stage<'a>> {
    let border = s.firewalls.border.as_ref()?;
    Some(Stage {
        kind,
        id: None,
        list,
        settings: &border.settings,
        mode: s.eip(*s.by_eip.get(&eip)?).border?,
        source,
        destination: tuple::ip(original.dst),
        dport: original.dport,
        stranger,
    })
}

/// What the Internet border says about a packet that comes in from `source` and goes no further than to an EIP.
pub(crate) fn at_the_border(
    s: &Snapshot,
    key: &Key,
    source: Ipv4Addr,
    known: Known<'_>,
    evidence: Evidence<'_>,
    rec: &mut impl Recorder,
) -> Option<Ruling> {
    let dst = tuple::ip(key.dst);
    let list = s.firewalls.border.as_ref()?.entering;
    let stage = border(s, key, FirewallKind::BorderIn, dst, list, source, source)?;
    Some(stage.ask(s, key.proto, known, evidence, rec))
}

/// The NAT firewall that what comes in by a DNAT entry of an EIP goes through.
fn inner(s: &Snapshot, plan: &Plan, eip: Ipv4Addr) -> Option<u32> {
    if s.firewalls.nat.is_empty() || plan.let_in_by.is_some() {
        return None;
    }
    let Binding::Gateway(gateway) = s.eip(*s.by_eip.get(&eip)?).binding else {
        return None;
    };
    let ix = s.gateway(gateway).firewall?;
    let mapped =
        plan.direction == Direction::Hairpin || matches!(plan.entry, Some(Entry::Dnat(..)));
    (mapped && s.firewalls.nat[ix as usize].inbound).then_some(ix)
}

impl Stage<'_> {
    fn ask(
        &self,
        s: &Snapshot,
        protocol: u8,
        known: Known<'_>,
        evidence: Evidence<'_>,
        rec: &mut impl Recorder,
    ) -> Ruling {
        let subject = Subject {
            source: self.source,
            destination: self.destination,
            protocol,
            port: matches!(protocol, proto::TCP | proto::UDP).then(|| u16::from_be(self.dport)),
            identity: known.identity,
        };
        let list = &s.firewalls.lists[self.list as usize];
        let default = default_action(self.settings.default_action);
        let verdict = list
            .policies
            .check(&subject, &evidence.facts, self.mode, default);
        let mut ruling = Ruling {
            kind: self.kind,
            list: self.list,
            says: match verdict {
                Verdict::Decided { action, because } => match because {
                    Because::Policy(place) => Says::Policy(place, action),
                    Because::Default => Says::Default(action),
                    Because::Unidentified(place, _) => Says::Unidentified(place),
                },
                Verdict::Pending(..) if known.earlier => Says::Earlier,
                Verdict::Pending(place, needs) => Says::Pending(place, needs),
            },
            pre: match verdict {
                Verdict::Pending(place, _) => Some(place),
                _ => None,
            },
            threat: None,
            misnamed: false,
        };
        // A daemon that has just started knows little of the world: what an earlier one had allowed by it, stays so.
        if known.earlier && list.worldly && ruling.refuses() {
            ruling.says = Says::Earlier;
        }
        if !ruling.refuses() {
            self.look_further(known, &subject, evidence, &mut ruling);
        }
        rec.step(step(self.kind), || {
            let id = self.id.map(str::to_owned);
            (id, self.tell(s, &ruling))
        });
        ruling
    }

    /// What threat intelligence and the check of names add to what the policies allow.
    fn look_further(
        &self,
        known: Known<'_>,
        subject: &Subject<'_>,
        evidence: Evidence<'_>,
        ruling: &mut Ruling,
    ) {
        let threats = evidence.facts.threats;
        let rules = &self.settings.threats;
        let checks_names = self.settings.name_check != NameCheck::Off;
        if rules.is_empty() && !checks_names {
            return;
        }
        let rule = |category: &str| rules.iter().position(|it| it.category == category);
        let told = match known.identity {
            Identity::Known { domain, .. } => domain,
            _ => None,
        };
        let by_domain = || {
            told.and_then(|name| threats.find_domain(name))
                .and_then(rule)
        };
        let by_address = threats.find_address(self.stranger).and_then(rule);
        // Of two findings the one that drops counts.
        let found = match (by_address, by_domain()) {
            (Some(a), Some(b)) if rules[a].action == ThreatAction::Alert => Some(b),
            (a, b) => a.or(b),
        };
        if let Some(ix) = found {
            ruling.threat = u8::try_from(ix).ok();
            if rules[ix].action == ThreatAction::Drop {
                ruling.says = Says::Threat;
                return;
            }
        }
        if checks_names && let Some(name) = told {
            ruling.misnamed = misnamed(name, subject, evidence);
            if ruling.misnamed && self.settings.name_check == NameCheck::Drop {
                ruling.says = Says::Misnamed;
                return;
            }
        }
        let may_tell = match known.identity {
            Identity::Pending(app) => app.is_none_or(App::has_domain) && !known.earlier,
            _ => false,
        };
        let outward = matches!(self.kind, FirewallKind::BorderOut | FirewallKind::Nat);
        let wanted = || checks_names || rules.iter().any(|it| threats.has_domains(&it.category));
        if may_tell && outward && !ruling.waits() && wanted() {
            ruling.says = Says::Observe;
        }
    }

    fn tell(&self, s: &Snapshot, ruling: &Ruling) -> String {
        let list = &s.firewalls.lists[self.list as usize];
        let id = |place: u32| list.policy(place).map_or("?", |policy| policy.id.as_str());
        let needs = |needs| match needs {
            Needs::App => "the application",
            Needs::Domain => "the domain",
        };
        let mut text = match ruling.says {
            Says::Policy(place, action) => {
                format!("policy {} ({}): {action}", id(place), place + 1)
            }
            Says::Default(action) => format!("no policy matches: {action}"),
            Says::Unidentified(place) => {
                let place_id = id(place);
                format!(
                    "policy {place_id} ({}) needs what is not known: accept",
                    place + 1
                )
            }
            Says::Pending(place, what) => format!(
                "needs {}: pre-matches policy {} ({})",
                needs(what),
                id(place),
                place + 1
            ),
            Says::Observe => "accept, and its domain is looked at".into(),
            Says::Earlier => "was allowed before the daemon was started again".into(),
            Says::Threat => "is a threat: drop".into(),
            Says::Misnamed => "its name does not stand for its destination: drop".into(),
        };
        if let Some(rule) = ruling.threat {
            text += &format!(
                " (threat {})",
                self.settings.threats[rule as usize].category
            );
        }
        if ruling.misnamed && ruling.says != Says::Misnamed {
            text += " (its name does not stand for its destination)";
        }
        text
    }
}

/// Whether a name is known not to stand for the destination that it is used with.
fn misnamed(name: &str, subject: &Subject<'_>, evidence: Evidence<'_>) -> bool {
    let mut stands = false;
    let (client, address) = (subject.source, subject.destination);
    let names = evidence.facts.names;
    names.names(client, address, &mut |it| stands |= it == name);
    let resolved = evidence.resolved.addresses(name);
    !stands && resolved.is_some_and(|addresses| !addresses.contains(&address))
}

/// What a firewall is called in a trace.
pub(crate) fn step(kind: FirewallKind) -> &'static str {
    match kind {
        FirewallKind::BorderOut => "border firewall out",
        FirewallKind::Nat => "NAT firewall",
        FirewallKind::Dns => "DNS firewall",
        FirewallKind::BorderIn => "border firewall in",
        FirewallKind::NatIn => "NAT firewall in",
    }
}
