//! Sessions that the kernel does not forward: under inspection, or refused.
//!
//! Their two flows are in the flow table like all others, but name another next hop: a *curtain*, a hop of the same
//! port that never has a MAC address, so the kernel hands every packet up. Drawing and lifting the curtain is one store
//! in each flow. A daemon that takes over finds the port, and so the session, all the same.
//!
//! There are several curtains, so that it also finds how far an earlier daemon had come with the session: that is the
//! curtain's [mark](Mark).

use crate::engine::{Arrival, Core, Fate};
use crate::io::{Offload, Output, Time};
use crate::neighbours::HopIx;
use crate::record::{AppState, CloseReason, Identified};
use crate::sessions::{Session, SessionIx, Way};
use crate::snapshot::Snapshot;
use crate::verdicts::{Ruling, STAGES};
use crate::watch::{Judged, JudgedIx};
use crate::wire::{self, ERROR_MAX, Ipv4};
use flow::header::Checksum;
use flow::reason::Reason;
use flow::{Activity, Key, proto, seen};
use model::{App, OnDrop};
use std::net::Ipv4Addr;

/// Why a session's packets come to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curtain {
    /// They do not: the kernel forwards them.
    Open,
    /// What it is, is being found out.
    Inspect,
    /// It asks for names, and they are looked at as long as it lives.
    Dns,
    /// It is refused.
    Refused,
}

impl Curtain {
    /// Its mark at first.
    pub fn mark(self) -> Mark {
        match self {
            Curtain::Open | Curtain::Inspect => Mark::Fresh,
            Curtain::Dns => Mark::Known,
            Curtain::Refused => Mark::Refused,
        }
    }

    /// A word for people, if it is drawn.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Curtain::Open => None,
            Curtain::Inspect => Some("inspected"),
            Curtain::Dns => Some("dns"),
            Curtain::Refused => Some("refused"),
        }
    }
}

/// How far a session has come, as the curtain before it says to a daemon that takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing was said that was let pass.
    Fresh,
    /// It is refused.
    Refused,
    /// Something was said, and does not tell yet what it is.
    Heard,
    /// It is allowed, and known to be a control connection of FTP, which announces others.
    Control,
    /// It is allowed, and is looked at for what else it tells.
    Known,
}

impl Mark {
    const ALL: [Mark; 5] = [
        Mark::Fresh,
        Mark::Refused,
        Mark::Heard,
        Mark::Control,
        Mark::Known,
    ];

    /// The address that stands for the curtain on each link, which no station has.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(255, 255, 255, 255 - self as u8)
    }

    /// That of the curtain which this address stands for.
    pub fn of(address: Ipv4Addr) -> Option<Mark> {
        Mark::ALL.into_iter().find(|it| it.address() == address)
    }
}

const RST: u8 = 0x04;

impl Core {
    /// The curtain that hangs before the next hops of a session.
    pub(crate) fn curtain_hops(
        &mut self,
        hops: [HopIx; 2],
        mark: Mark,
        now: Time,
    ) -> Option<[HopIx; 2]> {
        let [there, home] = hops.map(|hop| self.neighbours.curtain(hop, mark, now));
        Some([there?, home?])
    }

    /// The next hops that a session is to show the kernel, if its packets go by `hops`: the curtain, while it is drawn.
    pub(crate) fn shown(
        &mut self,
        ix: SessionIx,
        hops: [HopIx; 2],
        now: Time,
    ) -> Option<[HopIx; 2]> {
        let Some(judged_ix) = self.sessions.session(ix).judged else {
            return Some(hops);
        };
        let judged = self.watch.get(judged_ix);
        if judged.curtain == Curtain::Open {
            return Some(hops);
        }
        let shown = self.curtain_hops(hops, judged.mark, now)?;
        let judged = self.watch.get_mut(judged_ix);
        let old = std::mem::replace(&mut judged.hops, hops);
        for (old, new) in old.into_iter().zip(hops) {
            self.neighbours.count(new, 1);
            self.neighbours.count(old, -1);
        }
        Some(shown)
    }

    /// Where a session's packets go in truth.
    pub(crate) fn way_out(&self, session: &Session, way: Way) -> HopIx {
        if let Some(judged) = session.judged {
            let judged = self.watch.get(judged);
            if judged.curtain != Curtain::Open {
                return judged.hops[way as usize];
            }
        }
        session.hops[way as usize]
    }

    /// Draws the curtain before a watched session. If there is no room for one, it stays open.
    pub(crate) fn draw(&mut self, ix: SessionIx, curtain: Curtain, now: Time) {
        let session = self.sessions.session(ix);
        let Some(judged_ix) = session.judged else {
            return;
        };
        let real = Way::BOTH.map(|way| self.way_out(session, way));
        let mark = curtain.mark();
        let Some(shown) = self.curtain_hops(real, mark, now) else {
            return;
        };
        if curtain != Curtain::Inspect {
            self.watch.inspections.remove(ix);
        }
        let judged = self.watch.get_mut(judged_ix);
        let was = std::mem::replace(&mut judged.curtain, curtain);
        judged.mark = mark;
        if was == Curtain::Open {
            judged.hops = real;
            for hop in real {
                self.neighbours.count(hop, 1);
            }
        }
        self.show(ix, shown);
    }

    /// Has the curtain before a session under inspection say how far that has come.
    pub(crate) fn mark(&mut self, ix: SessionIx, mark: Mark, now: Time) {
        let Some(judged_ix) = self.sessions.session(ix).judged else {
            return;
        };
        let judged = self.watch.get(judged_ix);
        if judged.curtain != Curtain::Inspect || judged.mark == mark {
            return;
        }
        let real = judged.hops;
        if let Some(shown) = self.curtain_hops(real, mark, now) {
            self.watch.get_mut(judged_ix).mark = mark;
            self.show(ix, shown);
        }
    }

    /// Lifts it: from now on the kernel forwards the session's packets.
    pub(crate) fn lift(&mut self, ix: SessionIx) {
        let Some(judged_ix) = self.sessions.session(ix).judged else {
            return;
        };
        let judged = self.watch.get_mut(judged_ix);
        if judged.curtain == Curtain::Open {
            return;
        }
        judged.settle();
        judged.curtain = Curtain::Open;
        let real = std::mem::take(&mut judged.hops);
        self.watch.inspections.remove(ix);
        self.watch.dns.remove(ix);
        self.show(ix, real);
        for hop in real {
            self.neighbours.count(hop, -1);
        }
    }

    /// Shows the kernel other next hops of a session.
    fn show(&mut self, ix: SessionIx, hops: [HopIx; 2]) {
        let session = self.sessions.session_mut(ix);
        let old = std::mem::replace(&mut session.hops, hops);
        let (slots, fast) = (session.slots, session.slow.is_none());
        for way in Way::BOTH.map(|way| way as usize) {
            if fast && old[way] != hops[way] {
                self.table.entry(slots[way]).set_hop(hops[way]);
            }
            self.neighbours.count(hops[way], 1);
            self.neighbours.count(old[way], -1);
        }
    }

    /// Why a session's packets come to the daemon.
    pub(crate) fn curtain(&self, ix: SessionIx) -> Curtain {
        let judged = self.sessions.session(ix).judged;
        judged.map_or(Curtain::Open, |judged| self.watch.get(judged).curtain)
    }

    /// A packet of a session that the kernel does not forward, or of one that it does.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn along(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        frame: &mut [u8],
        packet: &Ipv4,
        offload: Offload,
        counted: bool,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        match self.curtain(ix) {
            Curtain::Inspect | Curtain::Dns if packet.is_fragment() => {
                return self.gather(s, at, ix, way, frame, packet, offload, counted, out);
            }
            Curtain::Open if packet.is_fragment() => {
                self.release_gathered(s, at, ix, way, packet, out);
            }
            Curtain::Open => {}
            _ => self.look(s, at, ix, way, frame, packet, offload, out)?,
        }
        self.forward(s, at, ix, way, frame, packet, offload, counted, out)
    }

    /// A live session is refused from now on. It stays until it is idle, so that what its ends still send is dropped
    /// and opens no other one.
    pub(crate) fn refuse(&mut self, s: &Snapshot, ix: SessionIx, ruling: Ruling, now: Time) {
        let Some(judged_ix) = self.sessions.session(ix).judged else {
            return;
        };
        let wall = self.watch.wall(now);
        let judged = self.watch.get_mut(judged_ix);
        judged.refused = ruling.reason();
        if judged.curtain == Curtain::Refused {
            return;
        }
        judged.settle();
        if judged.state == AppState::None || !judged.complete && judged.app.is_none() {
            judged.state = match judged.state {
                AppState::None => AppState::PolicyDiscard,
                state => state,
            };
        }
        self.watch.inspections.remove(ix);
        self.watch.hits.decided_one(&ruling, wall);
        self.watch.tally.refused += 1;
        self.draw(ix, Curtain::Refused, now);
        if self.sessions.session(ix).keys[0].proto == proto::TCP {
            self.mark_reset(ix, now);
        }
        if s.records.is_some() {
            self.record_close(s, ix, CloseReason::Refused, now);
        }
    }

    /// A refused connection has ended for us.
    fn mark_reset(&mut self, ix: SessionIx, now: Time) {
        let reset = Activity {
            seen: seen::RST,
            last_seen: now.tick(),
            ..Activity::default()
        };
        for way in Way::BOTH {
            self.count(ix, way, &reset);
        }
    }

    /// A packet of a refused session: it ends here. Ends of a TCP connection are told, unless the firewall is to be
    /// silent. Gives the reason to count.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn at_the_wall(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        frame: &[u8],
        packet: &Ipv4,
        out: &mut impl Output,
    ) -> Reason {
        let in_use = Activity {
            last_seen: at.now.tick(),
            ..Activity::default()
        };
        self.count(ix, way, &in_use);
        let Some(judged_ix) = self.sessions.session(ix).judged else {
            return Reason::NatFirewall;
        };
        let judged = self.watch.get(judged_ix);
        let (reason, told) = (judged.refused, judged.told);
        if packet.proto != proto::TCP || packet.is_fragment() || self.is_silent(s, ix) {
            return reason;
        }
        let Some(segment) = Segment::read(frame, packet) else {
            return reason;
        };
        if segment.flags & RST != 0 {
            return reason;
        }
        if !told {
            self.watch.get_mut(judged_ix).told = true;
            self.send_reset(ix, way, segment.seq, segment.ack, at.now, out);
        }
        if self.may_answer(at) {
            self.send_reset(ix, way.other(), segment.ack, segment.end(), at.now, out);
        }
        reason
    }

    /// Whether refused sessions end without a word.
    fn is_silent(&self, s: &Snapshot, ix: SessionIx) -> bool {
        let judged = self
            .sessions
            .session(ix)
            .judged
            .map(|ix| self.watch.get(ix));
        let rulings = judged.map_or([None; STAGES], Judged::rulings);
        let refusing = rulings.iter().flatten().find(|ruling| ruling.refuses());
        refusing.is_some_and(|it| s.firewalls.settings_of(it.list).on_drop == OnDrop::Silent)
    }

    /// Tells both ends of a refused connection, from which no packet is at hand. `next` are the sequence numbers that
    /// come next, of what goes either way.
    pub(crate) fn tell_both(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        next: [u32; 2],
        now: Time,
        out: &mut impl Output,
    ) {
        let Some(judged) = self.sessions.session(ix).judged else {
            return;
        };
        if self.is_silent(s, ix) {
            return;
        }
        self.watch.get_mut(judged).told = true;
        for way in Way::BOTH {
            let (seq, ack) = (next[way as usize], next[way.other() as usize]);
            self.send_reset(ix, way, seq, ack, now, out);
        }
    }

    /// Sends a reset along a session, as if from its other end.
    fn send_reset(
        &mut self,
        ix: SessionIx,
        way: Way,
        seq: u32,
        ack: u32,
        now: Time,
        out: &mut impl Output,
    ) {
        let session = self.sessions.session(ix);
        let (action, hop) = (session.action(way), self.way_out(session, way));
        let mut buffer = [0; ERROR_MAX];
        let len = wire::reset(&mut buffer, &session.keys[way as usize], seq, ack);
        let frame = &mut buffer[..len];
        if flow::header::rewrite(frame, &action, Checksum::Complete).is_ok() {
            self.counters.originated += 1;
            // It is nobody's packet: if it cannot be sent, nothing is lost that was given to us.
            if let Ok(Fate::Held) = self.neighbours.send(hop, frame, Offload::NONE, now, out) {
                self.counters.packets += 1;
            }
        }
    }
}

impl Core {
    /// What is known of a session that is found in the flow table behind a curtain.
    pub(crate) fn adopt_curtain(&mut self, hop: HopIx, now: Time) -> Option<JudgedIx> {
        let mark = self.neighbours.mark(hop)?;
        let mut judged = Judged::new([None; STAGES], self.watch.epoch, now);
        judged.mark = mark;
        judged.curtain = match mark {
            Mark::Refused => Curtain::Refused,
            _ => Curtain::Inspect,
        };
        judged.earlier = matches!(mark, Mark::Heard | Mark::Control | Mark::Known);
        match mark {
            Mark::Fresh | Mark::Refused | Mark::Heard => {}
            Mark::Known => judged.complete = true,
            Mark::Control => judged.found(App::Ftp, Identified::Payload),
        }
        Some(self.watch.add(judged))
    }

    /// Goes on with what an earlier daemon was about to find out.
    pub(crate) fn resume(&mut self, ix: SessionIx, key: &Key, now: Time) {
        let judged = self.sessions.session(ix).judged;
        let mark = judged.map(|judged| self.watch.get(judged).mark);
        if let Some(mark @ (Mark::Fresh | Mark::Heard | Mark::Control)) = mark {
            self.inspect_further(ix, key, mark, now);
        }
    }
}

/// What of a TCP segment matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// Reads the segment of a whole packet.
    pub fn read<'a>(frame: &'a [u8], packet: &Ipv4) -> Option<Segment<'a>> {
        let tcp = frame.get(packet.l4..packet.end)?;
        let word = |at: usize| Some(u32::from_be_bytes(tcp.get(at..at + 4)?.try_into().ok()?));
        let offset = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Segment {
            seq: word(4)?,
            ack: word(8)?,
            flags: *tcp.get(13)?,
            payload: tcp.get(offset.max(20)..).unwrap_or(&[]),
        })
    }

    /// The sequence number that comes after it.
    pub fn end(&self) -> u32 {
        let virtual_bytes = u32::from(self.flags & 0x01 != 0) + u32::from(self.flags & 0x02 != 0);
        let bytes = self.payload.len() as u32;
        self.seq.wrapping_add(bytes).wrapping_add(virtual_bytes)
    }
}
