//! Finding out what sessions are whose firewalls want to know: their first packets are shown to [`inspect`].
//!
//! Such a session is behind a [curtain](crate::curtain): its handshake and its first bytes pass, one packet at a time
//! through here, until its application and domain are known or given up. Then it is judged by that, before the packet
//! that told it goes on.
//!
//! Bounded: so many sessions and bytes at once. If there are more, those that began first are given up.

use crate::curtain::{Mark, Segment};
use crate::engine::{Arrival, Core};
use crate::heard::Ear;
use crate::io::{Offload, Output, Time, UPLINK_ZONE};
use crate::record::{AppState, Identified, Unknown};
use crate::sessions::{SessionIx, Way};
use crate::snapshot::Snapshot;
use crate::tuple;
use crate::verdicts::Outcome;
use crate::wire::{self, Ipv4};
use flow::reason::Reason;
use flow::{Key, proto, seen};
use hashbrown::HashMap;
use inspect::{Flags, From, Limits, Progress, Stream};
use model::App;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Sessions under inspection at once.
const MOST: usize = 16_384;
/// Bytes that are kept of all of them.
const MOST_BYTES: u64 = 64 << 20;
/// Names that wait for being resolved.
const MOST_UNRESOLVED: usize = 4_096;
/// Data connections that control connections have announced and that are not there yet.
const MOST_EXPECTED: usize = 4_096;
/// How long one is waited for.
const EXPECTED_FOR: Duration = Duration::from_secs(60);

/// What is looked at of one session.
const LIMITS: Limits = Limits {
    packets: 32,
    bytes: 16 * 1024,
    time: Duration::from_secs(5),
};

/// A session under inspection.
#[derive(Debug)]
struct Inspection {
    stream: Stream,
    /// Tells it from an earlier one in the same place.
    number: u64,
    /// Bytes of payload that it may hold.
    bytes: u32,
    /// When its handshake was complete.
    established: Option<Time>,
    /// Somebody has said something.
    spoken: bool,
    /// It was judged by its silence.
    silent: bool,
    /// Sequence numbers that come next, of what goes either way.
    next: [u32; 2],
    /// The number of its opener's first byte, if its SYN was seen.
    begins: Option<u32>,
    /// Which of its opener's data arrive.
    ear: Ear,
    /// Of TCP the number up to which its other end has acknowledged.
    acknowledged: Option<u32>,
    /// The number behind what it was allowed by.
    allowed: Option<u32>,
}

impl Inspection {
    /// Whether it is that of a control connection of FTP.
    fn is_control(&self) -> bool {
        matches!(self.stream.progress(), Progress::Done(identity) if identity.app == App::Ftp)
    }

    /// Its opener begins anew, with another number. Whether it may: once it has said something, that would be forgotten.
    fn reopen(&mut self, begins: u32, port: u16) -> bool {
        if self.begins != Some(begins) && !self.spoken {
            self.stream = Stream::tcp(port, LIMITS);
            self.ear = Ear::default();
            self.next = [0; 2];
            self.established = None;
            self.acknowledged = None;
            self.begins = Some(begins);
        }
        self.begins == Some(begins)
    }

    /// Whether its other end has heard what it is allowed by: what is lost on its way can be told otherwise.
    fn is_answered(&self) -> bool {
        let heard = |end: u32| {
            let reaches = |it: u32| it.wrapping_sub(end) as i32 >= 0;
            self.acknowledged.is_some_and(reaches)
        };
        self.allowed.is_none_or(heard) && self.stream.is_answered()
    }
}

/// An announced connection: zone and address of who opens it, address and port of who listens.
type Expected = (u16, u32, u32, u16);

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Inspections {
    live: HashMap<SessionIx, Inspection>,
    /// Those that began first are in front; some have ended.
    order: VecDeque<(u64, SessionIx)>,
    number: u64,
    bytes: u64,
    expected: HashMap<Expected, Time>,
}

impl Inspections {
    fn add(&mut self, ix: SessionIx, stream: Stream, now: Option<Time>) {
        self.number += 1;
        let inspection = Inspection {
            stream,
            number: self.number,
            bytes: 0,
            established: now,
            spoken: false,
            silent: false,
            next: [0; 2],
            begins: None,
            ear: Ear::default(),
            acknowledged: None,
            allowed: None,
        };
        self.live.insert(ix, inspection);
        self.order.push_back((self.number, ix));
        if self.order.len() > 2 * self.live.len() + 1_024 {
            let live = &self.live;
            let is_live = |(number, ix): &(u64, SessionIx)| {
                live.get(ix).is_some_and(|it| it.number == *number)
            };
            self.order.retain(is_live);
        }
    }

    /// Ends an inspection, if there is one.
    pub fn remove(&mut self, ix: SessionIx) {
        if let Some(inspection) = self.live.remove(&ix) {
            self.bytes -= u64::from(inspection.bytes);
        }
    }

    /// The one that began first, if there are too many.
    fn too_many(&mut self) -> Option<SessionIx> {
        if self.live.len() <= MOST && self.bytes <= MOST_BYTES {
            return None;
        }
        while let Some((number, ix)) = self.order.pop_front() {
            if self.live.get(&ix).is_some_and(|it| it.number == number) {
                return Some(ix);
            }
        }
        None
    }

    /// Whether a session's packets are of interest though it is known what it is: its other end may not have heard that,
    /// control connections of FTP announce others, and servers of TLS show their certificate, by which nothing is decided,
    /// but which records tell.
    pub fn watches(&self, ix: SessionIx, recording: bool) -> bool {
        self.live.get(&ix).is_some_and(|it| {
            !it.is_answered() || it.stream.watches() && (recording || it.is_control())
        })
    }

    /// A TCP session is allowed by what it has said.
    fn allow(&mut self, ix: SessionIx) {
        if let Some(it) = self.live.get_mut(&ix)
            && let Progress::Done(_) | Progress::App(_) = it.stream.progress()
        {
            it.allowed = Some(it.next[Way::Original as usize]);
        }
    }

    /// Whether a session's other end has heard what it is allowed by.
    fn is_answered(&self, ix: SessionIx) -> bool {
        self.live.get(&ix).is_none_or(Inspection::is_answered)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Checks the books.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self, is_inspected: impl Fn(SessionIx) -> bool) {
        assert!(self.live.keys().all(|&ix| is_inspected(ix)));
        let bytes: u64 = self.live.values().map(|it| u64::from(it.bytes)).sum();
        assert_eq!(bytes, self.bytes);
        assert!(self.live.len() <= MOST && self.expected.len() <= MOST_EXPECTED);
    }
}

fn duration(now: Time) -> Duration {
    Duration::from_nanos(now.0)
}

impl Core {
    /// A session is inspected from its first packet on.
    pub(crate) fn inspect_from_start(&mut self, ix: SessionIx, key: &Key, now: Time) {
        let port = u16::from_be(key.dport);
        let (stream, established) = match key.proto {
            proto::TCP => (Stream::tcp(port, LIMITS), None),
            _ => (Stream::udp(port, LIMITS), Some(now)),
        };
        self.watch.inspections.add(ix, stream, established);
    }

    /// A session is inspected further that an earlier daemon had inspected, as far as its curtain says.
    pub(crate) fn inspect_further(&mut self, ix: SessionIx, key: &Key, mark: Mark, now: Time) {
        let port = u16::from_be(key.dport);
        let stream = match (key.proto, mark) {
            (proto::TCP, Mark::Fresh) => Stream::tcp(port, LIMITS),
            (proto::TCP, Mark::Control) => Stream::ftp_control(port, LIMITS),
            (proto::TCP, _) => Stream::midstream(port, LIMITS),
            _ => Stream::udp(port, LIMITS),
        };
        let [sent, _] = self.activity(self.sessions.session(ix));
        let established = key.proto != proto::TCP || sent.seen & seen::DATA != 0;
        let established = established.then_some(now);
        self.watch.inspections.add(ix, stream, established);
    }

    /// A daemon that takes over is to find how far the inspection of a session has come.
    fn mark_progress(&mut self, ix: SessionIx, now: Time) {
        let inspections = &self.watch.inspections;
        let (Some(it), Some(judged)) =
            (inspections.live.get(&ix), self.sessions.session(ix).judged)
        else {
            return;
        };
        match (self.watch.get(judged).complete, it.is_control()) {
            (true, true) => self.mark(ix, Mark::Control, now),
            (true, false) => self.mark(ix, Mark::Known, now),
            (false, _) if it.spoken => self.mark(ix, Mark::Heard, now),
            _ => {}
        }
    }

    /// Shows the inspection a whole packet. An error is a packet that must not go on.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn inspect(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        frame: &[u8],
        packet: &Ipv4,
        offload: Offload,
        out: &mut impl Output,
    ) -> Result<(), Reason> {
        if !self.show_inspection(ix, way, frame, packet, offload, at.now) {
            return Err(Reason::Malformed);
        }
        self.take_related(ix, at.now);
        let outcome = self.learn(s, ix, at.now);
        if let Outcome::Refused(ruling) = outcome {
            self.refuse(s, ix, ruling, at.now);
            return Err(self.at_the_wall(s, at, ix, way, frame, packet, out));
        }
        // Before the packet goes on: it does not come again.
        self.mark_progress(ix, at.now);
        while let Some(oldest) = self.watch.inspections.too_many() {
            self.watch.tally.given_up += 1;
            self.give_up(s, oldest, at.now, out);
        }
        // It may have been this one.
        let session = self.sessions.session(ix);
        self.is_refused(session).map_or(Ok(()), Err)
    }

    /// Whether the receiver takes it: nothing else is shown.
    fn show_inspection(
        &mut self,
        ix: SessionIx,
        way: Way,
        frame: &[u8],
        packet: &Ipv4,
        offload: Offload,
        now: Time,
    ) -> bool {
        let key = &self.sessions.session(ix).keys[0];
        let (inside, port) = (key.zone != UPLINK_ZONE, u16::from_be(key.dport));
        let Some(it) = self.watch.inspections.live.get_mut(&ix) else {
            return true;
        };
        let from = match way {
            Way::Original => From::Client,
            Way::Reply => From::Server,
        };
        let payload = match packet.proto {
            proto::TCP => {
                let Some(segment) = Segment::read(frame, packet) else {
                    return false;
                };
                let payload = segment.payload;
                let opens = way == Way::Original && segment.flags & 0x02 != 0;
                if opens && !it.reopen(segment.seq.wrapping_add(1), port) {
                    return false;
                }
                let taken =
                    it.is_control() || it.ear.takes(way, frame, packet, &segment, it.next, inside);
                if !taken || it.stream.contradicts(from, segment.seq, payload) {
                    return false;
                }
                let (syn, ack) = (segment.flags & 0x02 != 0, segment.flags & 0x10 != 0);
                if way == Way::Reply && ack {
                    it.acknowledged = Some(segment.ack);
                }
                let next = &mut it.next[way as usize];
                if syn || segment.end().wrapping_sub(*next) < 1 << 31 || *next == 0 {
                    *next = segment.end();
                }
                if way == Way::Original && ack && !syn && it.established.is_none() {
                    it.established = Some(now);
                }
                let flags = Flags {
                    syn,
                    fin: segment.flags & 0x05 != 0,
                };
                it.stream
                    .segment(from, segment.seq, flags, payload, duration(now));
                payload
            }
            _ => {
                let payload = wire::udp_payload(frame, packet);
                // One frame may stand for several datagrams.
                let each = match offload.gso_size {
                    0 => payload.len().max(1),
                    size => size.into(),
                };
                for datagram in payload.chunks(each) {
                    it.stream.datagram(from, datagram, duration(now));
                    if it.stream.is_lost() {
                        return false;
                    }
                }
                payload
            }
        };
        it.spoken |= !payload.is_empty();
        let room = LIMITS.bytes.saturating_sub(it.bytes);
        let more = room.min(payload.len() as u32);
        it.bytes += more;
        self.watch.inspections.bytes += u64::from(more);
        true
    }

    /// Judges a session by what its inspection has found, if that is new.
    fn learn(&mut self, s: &Snapshot, ix: SessionIx, now: Time) -> Outcome {
        let Some(judged_ix) = self.sessions.session(ix).judged else {
            return Outcome::Unseen;
        };
        let Some(it) = self.watch.inspections.live.get(&ix) else {
            return Outcome::Unseen;
        };
        let (spoken, established) = (it.spoken, it.established.is_some());
        let answered = it.stream.is_answered();
        let progress = it.stream.progress().clone();
        let judged = self.watch.get_mut(judged_ix);
        let tells_other = match &progress {
            Progress::Done(identity) => !answered && identity.domain != judged.domain,
            _ => false,
        };
        let before = judged.complete;
        if before && !tells_other {
            if !self.watch.inspections.watches(ix, s.records.is_some()) {
                if let Progress::Done(identity) = progress {
                    self.note_details(s, judged_ix, identity.details);
                }
                self.let_go(s, ix, now);
            }
            return Outcome::Allowed;
        }
        judged.state = match () {
            () if before => judged.state,
            () if !established => AppState::TcpNotEstablish,
            () if !spoken => AppState::NoPayload,
            () => AppState::Analysing,
        };
        match progress {
            Progress::Analysing => return Outcome::Pending,
            Progress::App(app) if judged.app == Some(app) => return Outcome::Pending,
            Progress::App(app) => judged.app = Some(app),
            Progress::Done(identity) => {
                judged.found(identity.app, Identified::Payload);
                judged.earlier = false;
                judged.hidden = identity.hidden;
                judged.nameless = identity.is_nameless();
                self.note_details(s, judged_ix, identity.details);
                let domain = identity.domain.map(|name| self.watch.intern(&name));
                if s.firewalls.checks_names
                    && identity.app != App::Dns
                    && let Some(name) = &domain
                {
                    self.want_resolved(ix, name, now);
                }
                self.watch.get_mut(judged_ix).domain = domain;
            }
            Progress::GaveUp(why) => {
                judged.complete = true;
                judged.unknown = Some(match judged.earlier {
                    true => Unknown::Restart,
                    false => why.into(),
                });
            }
        }
        self.decide_known(s, ix, before, now)
    }

    /// Wants to know what a name stands for, unless that can be told already.
    fn want_resolved(&mut self, ix: SessionIx, name: &Arc<str>, now: Time) {
        let watch = &mut self.watch;
        if watch.world.resolved.addresses(name).is_some()
            || watch.unresolved.len() >= MOST_UNRESOLVED
        {
            return;
        }
        let [original, reply] = &self.sessions.session(ix).keys;
        let wall = watch.wall(now);
        let mut known = false;
        for client in [original.src, reply.dst] {
            let mut same = |it: &str| known |= it == &**name;
            let destination = tuple::ip(original.dst);
            watch
                .answers
                .names(tuple::ip(client), destination, wall, &mut same);
        }
        if !known {
            watch.unresolved.insert(name.clone());
        }
    }

    /// Judges a session under inspection by what is known now. If it is allowed, the kernel takes it, as soon as its other
    /// end has heard what it is allowed by. `before` is whether it was allowed already.
    fn decide_known(&mut self, s: &Snapshot, ix: SessionIx, before: bool, now: Time) -> Outcome {
        let judged = self.sessions.session(ix).judged;
        let said = judged.map(|ix| self.watch.get(ix).rulings());
        let outcome = self.judge_known(s, ix, now);
        let Some(judged_ix) = self.sessions.session(ix).judged else {
            return outcome;
        };
        let wall = self.watch.wall(now);
        let judged = self.watch.get_mut(judged_ix);
        // What has said nothing stays what it is.
        if judged.complete && judged.state == AppState::Analysing {
            judged.state = Core::state_unknown(&judged.rulings());
        }
        if matches!(outcome, Outcome::Allowed | Outcome::Unseen) {
            let rulings = judged.rulings();
            judged.settle();
            if !before || said != Some(rulings) {
                self.watch.hits.decided(&rulings, wall);
            }
            if self.sessions.session(ix).keys[0].proto == proto::TCP {
                self.watch.inspections.allow(ix);
            }
            let watches = self.watch.inspections.watches(ix, s.records.is_some());
            if watches && outcome == Outcome::Allowed {
                self.watch.get_mut(judged_ix).complete = true;
            } else {
                self.let_go(s, ix, now);
            }
        }
        outcome
    }

    /// What a session is, will not be known.
    fn give_up(&mut self, s: &Snapshot, ix: SessionIx, now: Time, out: &mut impl Output) {
        if !self.is_inspected(s, ix, now) {
            return;
        }
        let Some(judged) = self.sessions.session(ix).judged else {
            return self.watch.inspections.remove(ix);
        };
        let inspections = &mut self.watch.inspections;
        let next = inspections.live.get(&ix).map(|it| it.next);
        let answered = inspections.is_answered(ix);
        inspections.remove(ix);
        let judged = self.watch.get_mut(judged);
        let known = std::mem::replace(&mut judged.complete, true);
        if known && answered {
            return self.let_go(s, ix, now);
        }
        judged.doubt();
        judged.unknown = Some(Unknown::TooMany);
        if let Outcome::Refused(ruling) = self.decide_known(s, ix, false, now) {
            self.refuse(s, ix, ruling, now);
            self.tell_ends(s, ix, next, now, out);
        }
    }

    /// Whether a session is under inspection still, when it has been decided again if it waited for that.
    fn is_inspected(&mut self, s: &Snapshot, ix: SessionIx, now: Time) -> bool {
        self.decide_waiting(s, ix, now) && self.watch.inspections.live.contains_key(&ix)
    }

    fn tell_ends(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        next: Option<[u32; 2]>,
        now: Time,
        out: &mut impl Output,
    ) {
        let is_tcp = self.sessions.session(ix).keys[0].proto == proto::TCP;
        if let Some(next) = next.filter(|next| is_tcp && next[0] != 0 && next[1] != 0) {
            self.tell_both(s, ix, next, now, out);
        }
    }

    /// Looks after sessions that are silent. One that has said nothing when its time is up is judged as one that is
    /// not known; if that is allowed, it stays under inspection, for it may still speak.
    pub(crate) fn tick_inspections(&mut self, s: &Snapshot, now: Time, out: &mut impl Output) {
        let mut over = Vec::new();
        let mut silent = Vec::new();
        for (&ix, it) in &mut self.watch.inspections.live {
            if it.spoken {
                it.stream.timeout(duration(now));
                over.push(ix);
            } else if let Some(since) = it.established
                && !it.silent
                && now.since(since) >= LIMITS.time
            {
                it.silent = true;
                silent.push((ix, it.next));
            }
        }
        for ix in over {
            if !self.is_inspected(s, ix, now) {
                continue;
            }
            let next = self.watch.inspections.live.get(&ix).map(|it| it.next);
            if let Outcome::Refused(ruling) = self.learn(s, ix, now) {
                self.refuse(s, ix, ruling, now);
                self.tell_ends(s, ix, next, now, out);
            } else {
                self.mark_progress(ix, now);
            }
        }
        for (ix, next) in silent {
            if !self.is_inspected(s, ix, now) {
                continue;
            }
            let Some(judged) = self.sessions.session(ix).judged else {
                continue;
            };
            if std::mem::replace(&mut self.watch.get_mut(judged).complete, true) {
                continue;
            }
            let outcome = self.judge_known(s, ix, now);
            let judged = self.watch.get_mut(judged);
            judged.complete = false;
            judged.state = match judged.earlier {
                true => AppState::Analysing,
                false => AppState::NoPayload,
            };
            if let Outcome::Refused(ruling) = outcome {
                self.refuse(s, ix, ruling, now);
                self.tell_ends(s, ix, Some(next), now, out);
            }
        }
        self.watch
            .inspections
            .expected
            .retain(|_, until| *until > now);
    }

    /// Takes down the data connections that a control connection has announced: of passive mode from its client to its
    /// server, of active mode back. Only those of the session's own ends count, under the addresses by which either end
    /// may know them: nobody can announce others.
    fn take_related(&mut self, ix: SessionIx, now: Time) {
        let [original, reply] = self.sessions.session(ix).keys;
        let inspections = &mut self.watch.inspections;
        let Some(it) = inspections.live.get_mut(&ix) else {
            return;
        };
        for related in it.stream.related() {
            let (way, listens) = match related.from {
                From::Server => (original, [original.dst, reply.src]),
                From::Client => (reply, [reply.dst, original.src]),
            };
            let is_its_own = |it: IpAddr| listens.iter().any(|&end| it == tuple::ip(end));
            if related.address.is_none_or(is_its_own) && inspections.expected.len() < MOST_EXPECTED
            {
                let key = (way.zone, way.src, way.dst, related.port.to_be());
                inspections.expected.insert(key, now + EXPECTED_FOR);
            }
        }
    }

    /// Whether a session was announced by another one: then it is FTP's.
    pub(crate) fn is_related(&self, key: &Key, now: Time) -> Option<App> {
        let expected = &self.watch.inspections.expected;
        if key.proto != proto::TCP || expected.is_empty() {
            return None;
        }
        let until = expected.get(&(key.zone, key.src, key.dst, key.dport))?;
        (*until > now).then_some(App::Ftp)
    }

    /// An announced session has begun.
    pub(crate) fn met_related(&mut self, key: &Key) {
        let key = (key.zone, key.src, key.dst, key.dport);
        self.watch.inspections.expected.remove(&key);
    }
}
