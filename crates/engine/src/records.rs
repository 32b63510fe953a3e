//! Making records of sessions that firewalls see, if the configuration asks for them.

use crate::decide::{Direction, Entry, Plan};
use crate::engine::Core;
use crate::io::{Output, Time};
use crate::record::{
    AppState, CloseReason, DecidedBy, FirewallKind, FirewallRecord, Place, Record, RecordEntry,
    RecordKind, RecordResult,
};
use crate::sessions::{Session, SessionIx, State};
use crate::snapshot::{EniIx, GatewayIx, Snapshot};
use crate::tuple;
use crate::verdicts::{Ruling, Rulings, STAGES, Says};
use crate::watch::Judged;
use flow::{Activity, Key};
use model::{NameCheck, PolicyAction};
use std::sync::Arc;
use std::time::Duration;

/// Records that are made before somebody takes them: all of one call to the engine, and no more.
const MOST: usize = 65_536;
/// How often sessions that go on are told of, in seconds.
const EVERY: u32 = 60;
/// One that has been idle for so long is told of when it ends or something goes by again.
const IDLE: Duration = Duration::from_secs(30);

/// The names of resources, shared by all records.
#[derive(Debug)]
pub(crate) struct RecordNames {
    places: Vec<Arc<Place>>,
    gateways: Vec<Arc<str>>,
    eips: Vec<Arc<str>>,
    /// By gateway.
    snat: Vec<Vec<Arc<str>>>,
    dnat: Vec<Vec<Arc<str>>>,
}

impl RecordNames {
    pub fn new(s: &Snapshot) -> RecordNames {
        let place = |eni: &crate::snapshot::Eni| {
            Arc::new(Place {
                vpc: s.vpc(eni.vpc).id.clone(),
                vswitch: s.vswitch_of(eni).id.clone(),
                eni: eni.id.clone(),
                instance: eni.instance.clone(),
            })
        };
        let name = |id: &model::Id| Arc::<str>::from(id.as_str());
        let gateways = s.gateways.iter();
        RecordNames {
            places: s.enis.iter().map(place).collect(),
            gateways: gateways.clone().map(|it| name(&it.id)).collect(),
            eips: s.eips.iter().map(|it| name(&it.id)).collect(),
            snat: gateways
                .clone()
                .map(|it| it.entries.iter().map(|it| name(&it.id)).collect())
                .collect(),
            dnat: gateways
                .map(|it| it.dnat.iter().map(name).collect())
                .collect(),
        }
    }

    fn entry(&self, entry: Entry) -> RecordEntry {
        match entry {
            Entry::Snat(g, n) => RecordEntry::Snat(self.snat[g as usize][n as usize].clone()),
            Entry::Dnat(g, n) => RecordEntry::Dnat(self.dnat[g as usize][n as usize].clone()),
            Entry::Eip(eip) => RecordEntry::Eip(self.eips[eip as usize].clone()),
        }
    }
}

/// What a record says of the network.
pub(crate) struct Path<'a> {
    pub keys: &'a [Key; 2],
    pub direction: Direction,
    /// The network interface on our side, if it is known.
    pub eni: Option<EniIx>,
    pub gateway: Option<GatewayIx>,
    pub entry: Option<Entry>,
}

impl<'a> Path<'a> {
    /// That of a session that is about to begin.
    pub fn of(plan: &Plan, keys: &'a [Key; 2]) -> Path<'a> {
        Path {
            keys,
            direction: plan.direction,
            eni: Some(plan.eni),
            gateway: plan.gateway,
            entry: plan.entry,
        }
    }

    /// That of a session.
    fn of_session(session: &Session, keys: &'a [Key; 2]) -> Path<'a> {
        Path {
            keys,
            direction: session.direction,
            eni: Some(session.eni),
            gateway: session.gateway,
            entry: session.entry,
        }
    }
}

/// How far a session has come.
struct Course {
    kind: RecordKind,
    activity: [Activity; 2],
    start: u64,
    close: Option<CloseReason>,
}

impl Core {
    /// Hands records over.
    #[inline]
    pub(crate) fn send_records(&mut self, out: &mut impl Output) {
        if !self.watch.records.is_empty() {
            let mut records = std::mem::take(&mut self.watch.records);
            records.drain(..).for_each(|record| out.record(record));
            // The next ones need no new memory.
            self.watch.records = records;
        }
    }

    /// A first packet was refused: it is what the record counts.
    pub(crate) fn record_refused(
        &mut self,
        s: &Snapshot,
        path: Path<'_>,
        rulings: Rulings,
        first: Activity,
        now: Time,
    ) {
        let mut judged = Judged::new(rulings, 0, now);
        judged.state = AppState::PolicyDiscard;
        self.record(s, path, &judged, self.refusal(first, now), now);
    }

    /// A question for a name was refused, in a datagram of so many bytes: the session that has asked it goes on.
    pub(crate) fn record_question(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        name: Arc<str>,
        ruling: Ruling,
        bytes: u64,
        now: Time,
    ) {
        let session = self.sessions.session(ix);
        let keys = session.keys;
        let path = Path::of_session(session, &keys);
        let mut judged = Judged::new([None; STAGES], 0, now);
        judged.asked(name, Some(ruling));
        let datagram = Activity {
            packets: 1,
            bytes,
            ..Activity::default()
        };
        self.record(s, path, &judged, self.refusal(datagram, now), now);
    }

    /// A packet that is refused at once.
    fn refusal(&self, packet: Activity, now: Time) -> Course {
        Course {
            kind: RecordKind::Refused,
            activity: [packet, Activity::default()],
            start: self.watch.wall(now),
            close: Some(CloseReason::Refused),
        }
    }

    /// A live session is over: its record is not to wait until it is idle.
    pub(crate) fn record_close(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        close: CloseReason,
        now: Time,
    ) {
        let Some(judged_ix) = self.sessions.session(ix).judged else {
            return;
        };
        let judged = self.watch.get_mut(judged_ix);
        if !std::mem::replace(&mut judged.recorded, true) {
            let judged = judged.clone();
            self.record_end(s, ix, &judged, close, now);
        }
    }

    /// A session has ended.
    pub(crate) fn record_end(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        judged: &Judged,
        close: CloseReason,
        now: Time,
    ) {
        self.record_session(s, ix, judged, RecordKind::Ended, Some(close), now);
    }

    /// A connection that is over is put down as it was, before it is decided about again. Says whether it is over.
    pub(crate) fn record_over(&mut self, s: &Snapshot, ix: SessionIx, now: Time) -> bool {
        let session = self.sessions.session(ix);
        if s.records.is_none() || session.judged.is_none() {
            return false;
        }
        let close = match self.idleness(s, session, now).0 {
            State::Closed => CloseReason::TcpFin,
            State::Reset => CloseReason::TcpRst,
            _ => return false,
        };
        self.record_close(s, ix, close, now);
        true
    }

    /// A live session is looked at: a TCP connection that is over is put down though its tuple is kept for a while, and
    /// one that goes on is told of if it was not for a minute in which something went by.
    pub(crate) fn record_live(&mut self, s: &Snapshot, ix: SessionIx, now: Time) {
        let session = self.sessions.session(ix);
        let Some(judged_ix) = session.judged else {
            return;
        };
        let (_, idle, _) = self.idleness(s, session, now);
        if self.record_over(s, ix, now) {
            return;
        }
        let judged = self.watch.get_mut(judged_ix);
        let long_ago = now.second().saturating_sub(judged.reported) >= EVERY;
        let in_use = Duration::from_nanos(u64::from(idle) << 20) < IDLE;
        if judged.recorded || !long_ago || !in_use {
            return;
        }
        judged.reported = now.second();
        let judged = judged.clone();
        if judged.is_seen() {
            self.record_session(s, ix, &judged, RecordKind::Ongoing, None, now);
        }
    }

    fn record_session(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        judged: &Judged,
        kind: RecordKind,
        close: Option<CloseReason>,
        now: Time,
    ) {
        let session = self.sessions.session(ix);
        let activity = self.activity(session);
        let keys = session.keys;
        let path = Path::of_session(session, &keys);
        let start = self.watch.origin + u64::from(session.start);
        let course = Course {
            kind,
            activity,
            start,
            close,
        };
        self.record(s, path, judged, course, now);
    }

    fn record(&mut self, s: &Snapshot, path: Path, judged: &Judged, course: Course, now: Time) {
        let Some(names) = s.records.as_ref() else {
            return;
        };
        if self.watch.records.len() >= MOST {
            self.watch.tally.records_lost += 1;
            return;
        }
        let [original, reply] = path.keys;
        let translated = tuple::reverse(reply, 0);
        let public = match path.direction {
            Direction::In => original.dst,
            _ => translated.src,
        };
        let eip = s.by_eip.get(&tuple::ip(public));
        let said = judged.rulings();
        let rulings = || said.iter().flatten().chain(judged.dns.as_deref());
        let alerts = |it: &Ruling| {
            it.threat.is_some()
                || it.misnamed
                || matches!(it.says, Says::Policy(_, PolicyAction::Log))
        };
        let [there, back] = course.activity;
        self.watch.records.push(Record {
            kind: course.kind,
            protocol: original.proto,
            direction: path.direction.name(),
            original: tuple::view(original),
            translated: tuple::view(&translated),
            place: path.eni.map(|eni| names.places[eni as usize].clone()),
            gateway: path.gateway.map(|g| names.gateways[g as usize].clone()),
            eip: eip.map(|&eip| names.eips[eip as usize].clone()),
            entry: path.entry.map(|entry| names.entry(entry)),
            app: judged.app,
            domain: judged.domain.clone(),
            identified: judged.identified,
            state: judged.state,
            unknown: judged.unknown,
            hidden: judged.hidden,
            details: judged.details.clone(),
            firewalls: rulings().map(|ruling| tell(s, ruling)).collect(),
            result: match () {
                () if rulings().any(Ruling::refuses) => RecordResult::Drop,
                () if rulings().any(alerts) => RecordResult::Alert,
                () => RecordResult::Allow,
            },
            packets_out: there.packets,
            bytes_out: there.bytes,
            packets_in: back.packets,
            bytes_in: back.bytes,
            start: course.start,
            end: self.watch.wall(now),
            close: course.close,
        });
    }
}

/// What a firewall says, for a record.
fn tell(s: &Snapshot, ruling: &Ruling) -> FirewallRecord {
    let list = &s.firewalls.lists[ruling.list as usize];
    let policy = |place: u32| list.policy(place).cloned();
    let (action, by, place) = match ruling.says {
        Says::Policy(place, action) => (action, DecidedBy::Policy, Some(place)),
        Says::Default(action) => (action, DecidedBy::Default, None),
        Says::Unidentified(place) => (PolicyAction::Accept, DecidedBy::Unidentified, Some(place)),
        Says::Pending(..) | Says::Observe => (PolicyAction::Accept, DecidedBy::Pending, None),
        Says::Earlier => (PolicyAction::Accept, DecidedBy::Earlier, None),
        Says::Threat => (PolicyAction::Drop, DecidedBy::Threat, None),
        Says::Misnamed => (PolicyAction::Drop, DecidedBy::NameCheck, None),
    };
    let nat = matches!(ruling.kind, FirewallKind::Nat | FirewallKind::NatIn);
    let firewall = s.firewalls.nat.get(ruling.list as usize).filter(|_| nat);
    let settings = s.firewalls.settings_of(ruling.list);
    let threat = ruling
        .threat
        .and_then(|rule| settings.threats.get(rule as usize));
    FirewallRecord {
        kind: ruling.kind,
        firewall: firewall.map(|it| it.id.clone()),
        action,
        by,
        policy: place.and_then(policy),
        pre_policy: ruling.pre.and_then(policy),
        threat: threat.map(|rule| (rule.category.clone(), rule.action)),
        name_check: ruling.misnamed.then_some(match ruling.says {
            Says::Misnamed => NameCheck::Drop,
            _ => NameCheck::Report,
        }),
    }
}
