//! What is kept of the sessions that firewalls see: what the firewalls say of them, and what they were found to be.
//!
//! It lies beside the sessions, so that those that no firewall sees cost nothing more. When policies, threats or the
//! time change, live sessions are judged again by it: the forbidden are refused, the others' flows are not touched.

use crate::curtain::Curtain;
use crate::decide::{Denied, Direction, Plan, Unreachable};
use crate::dns::Halves;
use crate::engine::Core;
use crate::explain::{Recorder, Silent};
use crate::firewall::Firewalls;
use crate::hits::Hits;
use crate::inspection::Inspections;
use crate::io::Time;
use crate::neighbours::HopIx;
use crate::record::{AppState, CloseReason, Identified, Record};
use crate::sessions::{Session, SessionIx};
use crate::snapshot::Snapshot;
use crate::tuple;
use crate::verdicts::{self, Evidence, Known, Outcome, Ruling, Rulings, STAGES, Says};
use flow::reason::Reason;
use flow::{Key, proto};
use hashbrown::HashSet;
use model::{App, OnDrop, OverCapacity};
use policy::{Answers, Facts, Identity, KnownNames, Names, World};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Answers of DNS that are kept, of all clients together.
const ANSWERS: usize = 262_144;
/// Names that are kept of a session's destination.
const NAMES: usize = 8;

/// Index of what is kept of a session, plus one.
pub(crate) type JudgedIx = NonZeroU32;

/// What is kept of a session that firewalls see.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub rulings: Rulings,
    /// What the DNS firewall says about the name that it has asked for last.
    pub dns: Option<Ruling>,
    /// What it speaks, as far as it is known.
    pub app: Option<App>,
    /// Whether all is known that will be.
    pub complete: bool,
    pub state: AppState,
    pub identified: Option<Identified>,
    pub domain: Option<Arc<str>>,
    /// The names that its destination had when it began.
    pub names: Option<Box<[Arc<str>]>>,
    pub curtain: Curtain,
    /// While the curtain is drawn: where its packets really go.
    pub hops: [HopIx; 2],
    /// Why it is refused.
    pub refused: Reason,
    /// Both ends of the refused connection were told.
    pub told: bool,
    /// Its end is in the records.
    pub recorded: bool,
    /// It was found in the flow table, allowed.
    pub earlier: bool,
    /// What was known of the world when it was judged last.
    pub epoch: u32,
    /// The second in which it was told of last.
    pub reported: u32,
    /// Bytes that are counted for its policies.
    pub counted: u64,
}

impl Judged {
    pub fn new(rulings: Rulings, epoch: u32, now: Time) -> Judged {
        Judged {
            rulings,
            dns: None,
            app: None,
            complete: false,
            state: AppState::None,
            identified: None,
            domain: None,
            names: None,
            curtain: Curtain::Open,
            hops: [0; 2],
            refused: Reason::NatFirewall,
            told: false,
            recorded: false,
            earlier: false,
            epoch,
            reported: now.second(),
            counted: 0,
        }
    }

    /// The session has asked for a name, and this was said about it.
    pub fn asked(&mut self, name: Arc<str>, ruling: Option<Ruling>) {
        self.app = Some(App::Dns);
        self.complete = true;
        self.state = AppState::Success;
        self.identified = Some(Identified::Payload);
        self.domain = Some(name);
        self.dns = ruling;
    }

    /// What is known of the session's content.
    pub fn identity(&self) -> Identity<'_> {
        match self.app {
            Some(app) if self.complete => Identity::Known {
                app,
                domain: self.domain.as_deref(),
            },
            app if self.curtain == Curtain::Inspect && !self.complete => Identity::Pending(app),
            _ => Identity::Unknown,
        }
    }
}

/// Numbers of the firewalls, since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Sessions that were refused after they had begun.
    pub refused: u64,
    /// First packets that were refused.
    pub refused_first: u64,
    /// Sessions whose inspection was given up since there were too many.
    pub given_up: u64,
    /// New sessions for which there was no capacity.
    pub over_capacity: u64,
    /// Questions for names that were refused.
    pub refused_names: u64,
    /// Records that were lost since there were too many at once.
    pub records_lost: u64,
}

/// What firewalls know of sessions and of the world.
#[derive(Debug)]
pub(crate) struct Watch {
    places: Vec<Option<Judged>>,
    free: Vec<u32>,
    pub hits: Hits,
    pub inspections: Inspections,
    pub dns: Halves,
    pub world: World,
    pub answers: Answers,
    /// Names that are told by sessions and that nobody has resolved yet.
    pub unresolved: HashSet<Arc<str>>,
    domains: HashSet<Arc<str>>,
    /// Seconds since 1970 UTC at the origin of the engine's clock.
    pub origin: u64,
    /// When the engine last did what is due.
    pub latest: Time,
    /// Counts changes of what is known of the world.
    pub epoch: u32,
    /// When policies begin or cease to count, in seconds since 1970 UTC.
    pub next_change: Option<u64>,
    /// Whether sessions are being found in the flow table.
    pub adopting: bool,
    /// Whether the firewalls decide as before about what an earlier daemon had allowed.
    pub alike: bool,
    pub tally: Tally,
    pub capacity: Capacity,
    /// For who takes them.
    pub records: Vec<Record>,
}

/// How much the firewalls process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capacity {
    /// Bytes in this round.
    pub bytes: u64,
    since: Time,
    /// Bits a second in the last one.
    pub rate: u64,
    /// Whether that is more than is allowed.
    pub over: bool,
}

/// A verdict on a session that is about to begin.
pub(crate) struct Judgement {
    pub rulings: Rulings,
    pub curtain: Curtain,
    /// The next hops that the kernel is shown instead, if the curtain is drawn.
    pub shown: [HopIx; 2],
    /// What another session has announced it to be.
    pub related: Option<App>,
}

/// Names of addresses as they are known now, and those that a session's destination had when it began.
struct KeptNames<'a> {
    live: KnownNames<'a>,
    kept: &'a [Arc<str>],
}

impl Names for KeptNames<'_> {
    fn names(&self, client: Ipv4Addr, address: Ipv4Addr, each: &mut dyn FnMut(&str)) {
        self.live.names(client, address, each);
        self.kept.iter().for_each(|name| each(name));
    }
}

impl Watch {
    pub fn new() -> Watch {
        Watch {
            places: Vec::new(),
            free: Vec::new(),
            hits: Hits::default(),
            inspections: Inspections::default(),
            dns: Halves::default(),
            world: World::default(),
            answers: Answers::new(ANSWERS),
            unresolved: HashSet::new(),
            domains: HashSet::new(),
            origin: 0,
            latest: Time(0),
            epoch: 0,
            next_change: None,
            adopting: false,
            alike: true,
            tally: Tally::default(),
            capacity: Capacity::default(),
            records: Vec::new(),
        }
    }

    /// Seconds since 1970 UTC.
    pub fn wall(&self, now: Time) -> u64 {
        self.origin + u64::from(now.second())
    }

    /// Sets the time of day. Says whether that is another one than before.
    pub fn set_wall(&mut self, seconds: u64, now: Time) -> bool {
        let origin = seconds.saturating_sub(u64::from(now.second()));
        // Two clocks whose seconds begin at different moments differ by one now and then.
        let changed = origin.abs_diff(self.origin) > 1;
        if changed {
            self.origin = origin;
        }
        self.latest = self.latest.max(now);
        changed
    }

    pub fn get(&self, ix: JudgedIx) -> &Judged {
        self.places[ix.get() as usize - 1]
            .as_ref()
            .expect("what a session refers to is there")
    }

    pub fn get_mut(&mut self, ix: JudgedIx) -> &mut Judged {
        self.places[ix.get() as usize - 1]
            .as_mut()
            .expect("what a session refers to is there")
    }

    pub fn add(&mut self, judged: Judged) -> JudgedIx {
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(judged);
                place
            }
            None => {
                self.places.push(Some(judged));
                self.places.len() as u32 - 1
            }
        };
        NonZeroU32::MIN.saturating_add(place)
    }

    pub fn remove(&mut self, ix: JudgedIx) -> Option<Judged> {
        let place = ix.get() - 1;
        self.free.push(place);
        self.places[place as usize].take()
    }

    /// How many sessions firewalls see or have seen.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// One copy of a domain for all sessions.
    pub fn intern(&mut self, name: &Arc<str>) -> Arc<str> {
        self.domains.get_or_insert_with(name, Arc::clone).clone()
    }

    fn evidence<'a>(&'a self, names: &'a dyn Names, now: u64) -> Evidence<'a> {
        Evidence {
            facts: Facts {
                names,
                locations: self.world.locations(),
                threats: &self.world.threats,
                now,
            },
            resolved: &self.world.resolved,
        }
    }

    /// Follows a new configuration.
    pub fn configure(&mut self, s: &Firewalls, before: Option<&Firewalls>, now: Time) {
        self.hits.configure(s, before);
        self.alike = before.is_none_or(|before| s.decide_alike(before));
        self.schedule(s, now);
    }

    /// Finds out when policies begin or cease to count.
    pub fn schedule(&mut self, s: &Firewalls, now: Time) {
        let wall = self.wall(now);
        let lists = s.lists.iter();
        self.next_change = lists.filter_map(|it| it.policies.next_change(wall)).min();
    }

    /// A round through the sessions is over: what went by in it says how much there is.
    pub fn end_round(&mut self, s: &Firewalls, now: Time) {
        let nanos = now.since(self.capacity.since).as_nanos();
        if nanos > 0 {
            let bits = u128::from(self.capacity.bytes) * 8 * 1_000_000_000 / nanos;
            self.capacity.rate = bits as u64;
        }
        self.capacity.bytes = 0;
        self.capacity.since = now;
        self.capacity.over = s.capacity.is_some_and(|most| self.capacity.rate > most);
        self.domains.retain(|name| Arc::strong_count(name) > 1);
        self.answers.expire(self.wall(now));
    }

    /// Checks that there is one session for each.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self, sessions: &[JudgedIx]) {
        let mut seen = HashSet::new();
        for judged in sessions {
            assert!(seen.insert(*judged), "two sessions have {judged}");
            self.get(*judged);
        }
        assert_eq!(seen.len(), self.len(), "what is kept of sessions");
    }
}

impl Core {
    /// Asks the firewalls about a session. `kept` are the names that its destination had when it began.
    #[expect(
        clippy::too_many_arguments,
        reason = "a session and what is known of it"
    )]
    pub(crate) fn judge(
        &self,
        s: &Snapshot,
        plan: &Plan,
        [original, reply]: &[Key; 2],
        known: Known<'_>,
        kept: &[Arc<str>],
        now: Time,
        rec: &mut impl Recorder,
    ) -> (Rulings, Outcome) {
        let wall = self.watch.wall(now);
        let names = KeptNames {
            live: KnownNames {
                answers: &self.watch.answers,
                resolved: &self.watch.world.resolved,
                now: wall,
            },
            kept,
        };
        let evidence = self.watch.evidence(&names, wall);
        verdicts::judge(s, plan, original, reply, known, evidence, rec)
    }

    /// Does something with what is known of the world.
    pub(crate) fn with_facts<R>(&self, now: Time, does: impl FnOnce(&Facts<'_>) -> R) -> R {
        let wall = self.watch.wall(now);
        let names = KnownNames {
            answers: &self.watch.answers,
            resolved: &self.watch.world.resolved,
            now: wall,
        };
        does(&self.watch.evidence(&names, wall).facts)
    }

    /// What the firewalls say about a session that is about to begin, whose packets go by `hops`; nothing if none sees
    /// it.
    pub(crate) fn judge_first(
        &mut self,
        s: &Snapshot,
        plan: &Plan,
        keys: &[Key; 2],
        hops: [HopIx; 2],
        now: Time,
    ) -> Result<Option<Judgement>, Denied> {
        let related = self.is_related(&keys[0], now);
        let known = match related {
            Some(app) => Known {
                identity: Identity::Known { app, domain: None },
                earlier: false,
            },
            None => Known::nothing_yet(keys[0].proto),
        };
        let (rulings, outcome) = self.judge(s, plan, keys, known, &[], now, &mut Silent);
        let watched = self.asks_names(s, plan, &keys[0]);
        if outcome == Outcome::Unseen && !watched {
            return Ok(None);
        }
        if self.watch.capacity.over && outcome != Outcome::Unseen {
            self.watch.tally.over_capacity += 1;
            return match s.firewalls.over_capacity {
                OverCapacity::Degrade => Ok(None),
                OverCapacity::Block => Err(Reason::FirewallCapacity.into()),
            };
        }
        if let Outcome::Refused(ruling) = outcome {
            return Err(self.refuse_first(s, plan, keys, rulings, ruling, now));
        }
        let waits = rulings.iter().flatten().any(Ruling::waits);
        let curtain = match () {
            () if watched => Curtain::Dns,
            () if waits => Curtain::Inspect,
            () => Curtain::Open,
        };
        let shown = match curtain {
            Curtain::Open => Some([0; 2]),
            _ => self.curtain_hops(hops, curtain, now),
        };
        Ok(Some(Judgement {
            rulings,
            curtain,
            shown: shown.ok_or(Reason::NeighbourQueueFull)?,
            related,
        }))
    }

    /// Whether a session's packets are looked at as long as it lives, since it asks for names.
    pub(crate) fn asks_names(&self, s: &Snapshot, plan: &Plan, key: &Key) -> bool {
        (s.firewalls.learns || s.firewalls.dns.is_some())
            && matches!(key.proto, proto::TCP | proto::UDP)
            && u16::from_be(key.dport) == 53
            && plan.direction != Direction::In
    }

    /// A first packet is refused: it is counted and put down.
    fn refuse_first(
        &mut self,
        s: &Snapshot,
        plan: &Plan,
        keys: &[Key; 2],
        rulings: Rulings,
        ruling: Ruling,
        now: Time,
    ) -> Denied {
        self.watch.tally.refused_first += 1;
        let wall = self.watch.wall(now);
        self.watch.hits.decided_one(&ruling, wall);
        if s.records.is_some() {
            self.record_refused(s, plan, keys, rulings, now);
        }
        let silent = s.firewalls.settings_of(ruling.list).on_drop == OnDrop::Silent;
        Denied {
            reason: ruling.reason(),
            notify: (!silent).then_some(Unreachable::Prohibited),
        }
    }

    /// A session that firewalls see begins. Its hops are counted already; it is not in the flow table yet.
    pub(crate) fn begin_watch(
        &mut self,
        s: &Snapshot,
        plan: &Plan,
        ix: SessionIx,
        judgement: Judgement,
        now: Time,
    ) {
        let mut judged = Judged::new(judgement.rulings, self.watch.epoch, now);
        let [original, reply] = self.sessions.session(ix).keys;
        if s.firewalls.learns {
            judged.names = self.names_of(plan, &original, &reply, now);
        }
        if let Some(app) = judgement.related {
            self.met_related(&original);
            judged.app = Some(app);
            judged.complete = true;
            judged.state = AppState::Success;
            judged.identified = Some(Identified::Related);
        }
        let wall = self.watch.wall(now);
        if judgement.curtain == Curtain::Inspect {
            judged.state = match original.proto {
                proto::TCP => AppState::TcpNotEstablish,
                _ => AppState::NoPayload,
            };
        } else {
            self.watch.hits.decided(&judged.rulings, wall);
        }
        judged.curtain = judgement.curtain;
        let session = self.sessions.session_mut(ix);
        if judged.curtain != Curtain::Open {
            judged.hops = std::mem::replace(&mut session.hops, judgement.shown);
            for hop in judgement.shown {
                self.neighbours.count(hop, 1);
            }
        }
        session.judged = Some(self.watch.add(judged));
        if judgement.curtain == Curtain::Inspect {
            self.inspect_from_start(ix, &original, now);
        }
    }

    /// The names that a session's destination has now.
    fn names_of(
        &self,
        plan: &Plan,
        original: &Key,
        reply: &Key,
        now: Time,
    ) -> Option<Box<[Arc<str>]>> {
        let live = KnownNames {
            answers: &self.watch.answers,
            resolved: &self.watch.world.resolved,
            now: self.watch.wall(now),
        };
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut keep = |name: &str| {
            if names.len() < NAMES && !names.iter().any(|it| **it == *name) {
                names.push(name.into());
            }
        };
        let destination = tuple::ip(original.dst);
        live.names(tuple::ip(original.src), destination, &mut keep);
        if plan.direction == Direction::Out {
            // The Internet border sees it with another source.
            let seen_as = tuple::ip(tuple::reverse(reply, 0).src);
            live.names(seen_as, destination, &mut keep);
        }
        (!names.is_empty()).then(|| names.into())
    }

    /// Judges a live session again. It goes on, or is refused from now on.
    pub(crate) fn judge_again(&mut self, s: &Snapshot, ix: SessionIx, plan: &Plan, now: Time) {
        let session = self.sessions.session(ix);
        if s.firewalls.is_empty() && session.judged.is_none() {
            return;
        }
        let keys = session.keys;
        let judged = session.judged.map(|ix| self.watch.get(ix));
        let earlier = judged.map_or(self.watch.adopting, |it| it.earlier);
        let known = Known {
            identity: judged.map_or(Identity::Unknown, Judged::identity),
            earlier: earlier && self.watch.alike,
        };
        // What it was found to be stays, and what an earlier daemon has allowed has told already.
        let known = match known.identity {
            Identity::Unknown if known.earlier => Known {
                identity: Identity::Pending(None),
                ..known
            },
            _ => known,
        };
        let kept = judged.and_then(|it| it.names.as_deref()).unwrap_or(&[]);
        let (rulings, outcome) = self.judge(s, plan, &keys, known, kept, now, &mut Silent);
        let watched = self.asks_names(s, plan, &keys[0]);
        if outcome == Outcome::Unseen && !watched && session.judged.is_none() {
            return;
        }
        let epoch = self.watch.epoch;
        let judged_ix = match self.sessions.session(ix).judged {
            Some(judged) => judged,
            None => {
                let mut judged = Judged::new(rulings, epoch, now);
                judged.earlier = earlier;
                judged.counted = self.bytes_of(ix);
                let judged = self.watch.add(judged);
                self.sessions.session_mut(ix).judged = Some(judged);
                judged
            }
        };
        self.count_bytes(ix);
        let adopting = self.watch.adopting;
        let judged = self.watch.get_mut(judged_ix);
        judged.epoch = epoch;
        let found_refused = adopting && judged.curtain == Curtain::Refused;
        judged.rulings = rulings;
        match outcome {
            Outcome::Refused(ruling) => self.refuse(s, ix, ruling, now),
            _ if found_refused => {}
            _ if watched => self.draw(ix, Curtain::Dns, now),
            Outcome::Pending => {}
            _ if self.watch.inspections.watches(ix) => {}
            _ => self.lift(ix),
        }
    }

    /// More is known of a session: it is judged by that. Gives whether it may go on.
    pub(crate) fn judge_known(&mut self, s: &Snapshot, ix: SessionIx, now: Time) -> Outcome {
        let Some(plan) = self.plan_of(s, ix) else {
            return Outcome::Unseen;
        };
        let session = self.sessions.session(ix);
        let Some(judged_ix) = session.judged else {
            return Outcome::Unseen;
        };
        let keys = session.keys;
        let judged = self.watch.get(judged_ix);
        let known = Known {
            identity: judged.identity(),
            earlier: false,
        };
        let kept = judged.names.as_deref().unwrap_or(&[]);
        let (mut rulings, outcome) = self.judge(s, &plan, &keys, known, kept, now, &mut Silent);
        let judged = self.watch.get_mut(judged_ix);
        for (ruling, before) in rulings.iter_mut().zip(&judged.rulings) {
            if let (Some(ruling), Some(before)) = (ruling, before) {
                ruling.pre = before.pre.or(ruling.pre);
            }
        }
        judged.rulings = rulings;
        outcome
    }

    /// The plan of a live session as it is now, if it still fits.
    fn plan_of(&self, s: &Snapshot, ix: SessionIx) -> Option<Plan> {
        let session = self.sessions.session(ix);
        let [original, reply] = &session.keys;
        let had = Some(tuple::ip(tuple::reverse(reply, 0).src));
        let from = s.origin(original)?;
        crate::decide::decide(s, &self.nat, from, original, had, &mut Silent).ok()
    }

    /// Bytes that have gone by in a session, both ways.
    pub(crate) fn bytes_of(&self, ix: SessionIx) -> u64 {
        let activity = self.activity(self.sessions.session(ix));
        activity.iter().map(|way| way.bytes).sum()
    }

    /// Counts what has gone by in a session since the last time, for the policies that let it pass.
    pub(crate) fn count_bytes(&mut self, ix: SessionIx) {
        if let Some(judged) = self.sessions.session(ix).judged {
            let bytes = self.bytes_of(ix);
            self.count_for(judged, bytes);
        }
    }

    fn count_for(&mut self, judged: JudgedIx, bytes: u64) {
        let judged = self.watch.get_mut(judged);
        let grown = bytes.saturating_sub(judged.counted);
        judged.counted = bytes;
        let rulings = judged.rulings;
        self.watch.hits.bytes(&rulings, grown);
        self.watch.capacity.bytes += grown;
    }

    /// A session has ended that was watched.
    pub(crate) fn end_watch(&mut self, s: &Snapshot, ix: SessionIx, close: CloseReason, now: Time) {
        self.count_bytes(ix);
        self.watch.inspections.remove(ix);
        self.watch.dns.remove(ix);
        let Some(judged_ix) = self.sessions.session_mut(ix).judged.take() else {
            return;
        };
        let Some(judged) = self.watch.remove(judged_ix) else {
            return;
        };
        if judged.curtain != Curtain::Open {
            for hop in judged.hops {
                self.neighbours.count(hop, -1);
            }
        }
        if s.records.is_some() && !judged.recorded && judged.rulings != [None; STAGES] {
            self.record_end(s, ix, &judged, close, now);
        }
    }

    /// Whether a session is refused.
    pub(crate) fn is_refused(&self, session: &Session) -> Option<Reason> {
        let judged = self.watch.get(session.judged?);
        (judged.curtain == Curtain::Refused).then_some(judged.refused)
    }

    /// How long finding out has come, if it is decided without.
    pub(crate) fn state_unknown(rulings: &Rulings) -> AppState {
        let loose = |it: &Ruling| matches!(it.says, Says::Unidentified(_));
        match rulings.iter().flatten().any(loose) {
            true => AppState::UnknownLoose,
            false => AppState::UnknownStrict,
        }
    }
}
