//! Judging sessions: those that begin, those that have told something, and all again when what they are judged by
//! changes.

use crate::again::Era;
use crate::curtain::Curtain;
use crate::decide::{Denied, Direction, Plan, Unreachable};
use crate::engine::Core;
use crate::explain::{Recorder, Silent};
use crate::io::Time;
use crate::neighbours::HopIx;
use crate::record::{AppState, CloseReason, Identified};
use crate::records::Path;
use crate::sessions::{Session, SessionIx};
use crate::snapshot::Snapshot;
use crate::tuple;
use crate::verdicts::{self, Evidence, Known, Outcome, Ruling, Rulings, STAGES, Says};
use crate::watch::{Judged, JudgedIx};
use flow::reason::Reason;
use flow::{Activity, Key, proto};
use model::{App, OnDrop, OverCapacity};
use policy::{Identity, KnownNames, Names};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Names that are kept of a session's destination.
const NAMES: usize = 8;

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
        self.with_evidence(now, kept, |evidence| {
            verdicts::judge(s, plan, original, reply, known, evidence, rec)
        })
    }

    /// Does something with what is known of the world, and `kept` names of a session's destination.
    pub(crate) fn with_evidence<R>(
        &self,
        now: Time,
        kept: &[Arc<str>],
        does: impl FnOnce(Evidence<'_>) -> R,
    ) -> R {
        let wall = self.watch.wall(now);
        let names = KeptNames {
            live: KnownNames {
                answers: &self.watch.answers,
                resolved: &self.watch.world.resolved,
                now: wall,
            },
            kept,
        };
        does(self.watch.evidence(&names, wall))
    }

    /// What the firewalls say about a session that is about to begin with a packet, and whose packets go by `hops`;
    /// nothing if none sees it.
    pub(crate) fn judge_first(
        &mut self,
        s: &Snapshot,
        plan: &Plan,
        keys: &[Key; 2],
        hops: [HopIx; 2],
        first: Activity,
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
            return Err(self.refuse_first(s, Path::of(plan, keys), rulings, ruling, first, now));
        }
        let waits = rulings.iter().flatten().any(Ruling::waits);
        let curtain = match () {
            () if waits => Curtain::Inspect,
            () if watched => Curtain::Dns,
            () => Curtain::Open,
        };
        let shown = match curtain {
            Curtain::Open => Some([0; 2]),
            _ => self.curtain_hops(hops, curtain.mark(), now),
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

    /// Whether a live session asks for names, and is looked at for that.
    pub(crate) fn asks(&self, s: &Snapshot, ix: SessionIx) -> bool {
        let key = &self.sessions.session(ix).keys[0];
        u16::from_be(key.dport) == 53
            && self
                .plan_of(s, ix)
                .is_some_and(|plan| self.asks_names(s, &plan, key))
    }

    /// A session is allowed, and what it is, is known: the kernel takes it, unless it asks for names.
    pub(crate) fn let_go(&mut self, s: &Snapshot, ix: SessionIx, now: Time) {
        if self.asks(s, ix) {
            self.draw(ix, Curtain::Dns, now);
        } else {
            self.lift(ix);
        }
    }

    /// A first packet is refused: it is counted and put down.
    pub(crate) fn refuse_first(
        &mut self,
        s: &Snapshot,
        path: Path<'_>,
        rulings: Rulings,
        ruling: Ruling,
        first: Activity,
        now: Time,
    ) -> Denied {
        self.watch.tally.refused_first += 1;
        let wall = self.watch.wall(now);
        self.watch.hits.decided_one(&ruling, wall);
        if s.records.is_some() {
            self.record_refused(s, path, rulings, first, now);
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
            judged.names = self.names_of(plan, &original, &reply, now).map(Box::new);
        }
        if let Some(app) = judgement.related {
            self.met_related(&original);
            judged.found(app, Identified::Related);
        }
        let wall = self.watch.wall(now);
        if judgement.curtain == Curtain::Inspect {
            judged.state = match original.proto {
                proto::TCP => AppState::TcpNotEstablish,
                _ => AppState::NoPayload,
            };
        } else {
            self.watch.hits.decided(&judgement.rulings, wall);
        }
        judged.curtain = judgement.curtain;
        judged.mark = judgement.curtain.mark();
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
    ) -> Option<Vec<Arc<str>>> {
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
        (!names.is_empty()).then_some(names)
    }

    /// Judges a live session again. It goes on, or is refused from now on.
    pub(crate) fn judge_again(&mut self, s: &Snapshot, ix: SessionIx, plan: &Plan, now: Time) {
        let session = self.sessions.session(ix);
        if s.firewalls.is_empty() && session.judged.is_none() {
            return;
        }
        let keys = session.keys;
        // What it was found to be stays. What nothing is known of began before a firewall was there, or before this
        // daemon.
        let mut unseen = Judged::new([None; STAGES], self.watch.epoch, now);
        unseen.earlier = self.watch.adopting;
        let judged = session.judged.map_or(&unseen, |ix| self.watch.get(ix));
        let known = judged.known(self.watch.alike);
        let kept = judged.names.as_deref().map_or(&[][..], |it| it);
        let (rulings, outcome) = self.judge(s, plan, &keys, known, kept, now, &mut Silent);
        let watched = self.asks_names(s, plan, &keys[0]);
        if outcome == Outcome::Unseen && !watched && session.judged.is_none() {
            return;
        }
        let judged_ix = match self.sessions.session(ix).judged {
            Some(judged) => judged,
            None => {
                unseen.counted = self.bytes_of(ix);
                // What was over before a firewall has seen it is not put down.
                unseen.recorded = self.is_over(ix);
                let judged = self.watch.add(unseen);
                self.sessions.session_mut(ix).judged = Some(judged);
                judged
            }
        };
        self.count_bytes(ix);
        let adopting = self.watch.adopting;
        let epoch = self.watch.epoch;
        let era = self.sessions.session(ix).era;
        let judged = self.watch.get_mut(judged_ix);
        judged.epoch = epoch;
        if era != self.again.era() {
            let lists = s.firewalls.lists.len();
            let dns = judged.dns.take();
            let dns = dns.and_then(|ruling| self.again.moved(era, *ruling));
            judged.dns = dns.filter(|it| usize::from(it.list) < lists).map(Box::new);
        }
        let found_refused = adopting && judged.curtain == Curtain::Refused;
        judged.set_rulings(rulings);
        match outcome {
            Outcome::Refused(ruling) => self.refuse(s, ix, ruling, now),
            _ if found_refused => {}
            Outcome::Pending => {}
            Outcome::Allowed if self.watch.inspections.watches(ix, s.records.is_some()) => {}
            _ if watched => self.draw(ix, Curtain::Dns, now),
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
        let known = judged.known(self.watch.alike);
        let kept = judged.names.as_deref().map_or(&[][..], |it| it);
        let (mut rulings, outcome) = self.judge(s, &plan, &keys, known, kept, now, &mut Silent);
        let judged = self.watch.get_mut(judged_ix);
        for (ruling, before) in rulings.iter_mut().zip(&judged.rulings()) {
            if let (Some(ruling), Some(before)) = (ruling, before) {
                ruling.pre = before.pre.or(ruling.pre);
            }
        }
        judged.set_rulings(rulings);
        outcome
    }

    /// The plan of a live session as it is now, if it still fits.
    fn plan_of(&self, s: &Snapshot, ix: SessionIx) -> Option<Plan> {
        let session = self.sessions.session(ix);
        let [original, reply] = &session.keys;
        let had = Some(tuple::reverse(reply, 0).src);
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
        let session = self.sessions.session(ix);
        if let Some(judged) = session.judged {
            let era = session.era;
            let bytes = self.bytes_of(ix);
            self.count_for(judged, era, bytes);
        }
    }

    /// `era` is that of the configuration by which it is judged.
    fn count_for(&mut self, judged: JudgedIx, era: Era, bytes: u64) {
        let judged = self.watch.get_mut(judged);
        let grown = bytes.saturating_sub(judged.counted);
        judged.counted = bytes;
        let rulings = self.again.all_moved(era, judged.rulings());
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
        if s.records.is_some() && !judged.recorded && judged.is_seen() {
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
        let loose = |it: &Ruling| matches!(it.says, Says::Unidentified(_) | Says::Earlier);
        match rulings.iter().flatten().any(loose) {
            true => AppState::UnknownLoose,
            false => AppState::UnknownStrict,
        }
    }
}
