//! What happens without packets: sessions that have been idle too long end, neighbours are asked again,
//! fragments are forgotten, EIPs are announced.
//!
//! Expiry reads the kernel's counters from the flow table: there are no timers for sessions. All of them
//! are looked at in turn, a slice at a time, at most once a second and slower if there are very many. While sessions wait to
//! be decided [again](crate::again), there is no pause.

use crate::engine::{Core, Engine};
use crate::io::{Offload, Output, Time};
use crate::record::CloseReason;
use crate::sessions::{Session, SessionIx, State};
use crate::snapshot::Snapshot;
use crate::wire::Arp;
use flow::reason::Reason;
use hashbrown::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Sessions that are looked at in one call.
const SLICE: u32 = 4096;
/// Sessions whose entries are fetched together, ahead of a walk through all of them: the less lies between, the more of
/// them the processor has on their way at once.
const TOGETHER: u32 = 16;
/// Between two rounds through all sessions.
const ROUND: Duration = Duration::from_secs(1);
/// With many sessions a round starts later, so that it takes about a fiftieth of the time: to look at a session is to
/// wait for two cache lines of the flow table that nothing else has touched, about 100 ns.
const PER_SESSION: Duration = Duration::from_micros(5);
/// How often and how far apart EIPs are announced (RFC 5227 suggests two; switches lose frames).
const ANNOUNCEMENTS: u8 = 3;

/// A place in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    round: u64,
    next: SessionIx,
}

impl Position {
    /// The same place in the round after this one.
    pub fn next_round(self) -> Position {
        Position {
            round: self.round + 1,
            ..self
        }
    }
}

/// Where the rounds are.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// Counts them.
    round: u64,
    next: SessionIx,
    round_started: Time,
    next_round: Time,
    housekeeping: Time,
    /// Addresses to announce, and how often still.
    announce: Vec<(Announced, u8)>,
}

impl Sweep {
    pub fn new(now: Time) -> Sweep {
        Sweep {
            round: 0,
            next: 0,
            round_started: now,
            next_round: now,
            housekeeping: now,
            announce: Vec::new(),
        }
    }

    /// Up to here this round has looked at the sessions.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// How far the rounds are.
    pub fn position(&self) -> Position {
        Position {
            round: self.round,
            next: self.next,
        }
    }

    /// Announces the EIPs and uplink addresses that `before` did not have, and no others any more.
    pub fn announce(&mut self, s: &Snapshot, before: Option<&Snapshot>) {
        let ours: HashSet<Announced> = announced(s).collect();
        self.announce.retain(|(what, _)| ours.contains(what));
        let before: HashSet<Announced> = before.into_iter().flat_map(announced).collect();
        for &what in ours.difference(&before) {
            self.announce.push((what, ANNOUNCEMENTS));
        }
    }
}

/// An address that we have on a link: interface index, our MAC address there, address.
type Announced = (u32, [u8; 6], Ipv4Addr);

/// The addresses that we have outside.
fn announced(s: &Snapshot) -> impl Iterator<Item = Announced> {
    let eips = s
        .eips
        .iter()
        .filter_map(|eip| Some((eip.address, s.uplink(eip.uplink?).port)));
    let own = s
        .uplinks
        .iter()
        .filter(|uplink| !uplink.shared)
        .filter_map(|uplink| Some((uplink.address?.addr(), uplink.port)));
    eips.chain(own).map(|(address, port)| {
        let link = &s.ports[port].link;
        (link.ifindex, link.mac, address)
    })
}

impl Engine {
    /// Does what is due. Gives the time at which it wants to be called again; that may be `now`, if
    /// there is more to do than fits between two packets.
    pub fn tick(&mut self, now: Time, out: &mut impl Output) -> Time {
        let next = self.core.tick(&self.snapshot, now, out);
        self.core.send_records(out);
        next
    }
}

impl Core {
    fn tick(&mut self, s: &Snapshot, now: Time, out: &mut impl Output) -> Time {
        if now >= self.sweep.housekeeping {
            self.sweep.housekeeping = now + ROUND;
            self.counters.drops[Reason::NeighbourUnreachable as usize] +=
                self.neighbours.tick(now, out);
            self.counters.drops[Reason::FragmentTimeout as usize] += self.fragments.tick(now);
            self.send_announcements(out);
            self.tick_watch(s, now, out);
        }
        if now >= self.sweep.next_round || self.again.is_under_way() {
            if self.sweep.next == 0 {
                self.sweep.round_started = self.sweep.round_started.min(now);
            }
            let slice = self.again.slice(SLICE);
            let end = self.sessions.places().min(self.sweep.next + slice);
            for ix in self.sweep.next..end {
                self.fetch_ahead(ix);
                if self.sessions.get(ix).is_some() {
                    self.decide_waiting(s, ix, now);
                }
                let expired = self
                    .sessions
                    .get(ix)
                    .and_then(|session| self.is_expired(s, session, now));
                match expired {
                    Some(close) => self.end(s, ix, close, now),
                    None => self.see(ix),
                }
                self.sweep.next = ix + 1;
                self.look_after(s, ix, now);
            }
            if end < self.sessions.places() {
                self.pass();
                return now;
            }
            self.usage.end_round();
            self.sources.end_round();
            self.watch.end_round(&s.firewalls, now);
            let pause = ROUND.max(PER_SESSION * self.sessions.places());
            self.sweep.next = 0;
            self.sweep.round += 1;
            self.pass();
            self.sweep.next_round = self.sweep.round_started + pause;
            if self.sweep.next_round <= now {
                self.sweep.next_round = now + ROUND;
            }
            self.sweep.round_started = self.sweep.next_round;
            if self.again.is_under_way() {
                return now;
            }
        }
        self.sweep.next_round.min(self.sweep.housekeeping)
    }

    /// The sweep has come further: perhaps no session waits any more.
    fn pass(&mut self) {
        if self.again.pass(self.sweep.position()) {
            self.meters.settle();
        }
    }

    /// For a walk through all sessions, which are in the flow table in no order: has the entries of those that come
    /// soon fetched from memory.
    #[inline]
    pub(crate) fn fetch_ahead(&self, ix: SessionIx) {
        if ix.is_multiple_of(TOGETHER) {
            let soon = ix + TOGETHER..ix + 2 * TOGETHER;
            let slots = soon
                .filter_map(|ix| self.sessions.get(ix))
                .flat_map(|it| it.slots);
            slots.for_each(|slot| self.table.prefetch_slot(slot));
        }
    }

    fn send_announcements(&mut self, out: &mut impl Output) {
        let mut announce = std::mem::take(&mut self.sweep.announce);
        for ((ifindex, mac, address), left) in &mut announce {
            // An ARP announcement (RFC 5227, section 3): a question about one's own address.
            let frame = Arp::build(false, *mac, *address, [0; 6], *address);
            out.transmit(*ifindex, &frame, Offload::NONE);
            self.counters.originated += 1;
            *left -= 1;
        }
        announce.retain(|&(_, left)| left > 0);
        self.sweep.announce = announce;
    }

    /// State, ticks since the last packet, and the ticks that may pass without one.
    pub(crate) fn idleness(&self, s: &Snapshot, session: &Session, now: Time) -> (State, u32, u32) {
        let [original, reply] = self.activity(session);
        let proto = session.keys[0].proto;
        let state = State::of(proto, original.seen, reply.seen);
        let timeouts = match session.gateway {
            Some(gateway) => &s.gateway(gateway).timeouts,
            None => &s.timeouts,
        };
        let timeout = state.timeout(proto, timeouts);
        let idle = |last: u32| {
            // A packet that the kernel has just counted may be later than `now`.
            let idle = now.tick().wrapping_sub(last);
            if idle > u32::MAX / 2 { 0 } else { idle }
        };
        (
            state,
            idle(original.last_seen).min(idle(reply.last_seen)),
            timeout,
        )
    }

    /// Whether a session that drains until then has drained.
    pub(crate) fn has_drained(&self, until: u32, now: Time) -> bool {
        self.watch.wall(now) >= u64::from(until)
    }

    /// Whether a session has been idle for too long, and how it had ended before; or has drained.
    fn is_expired(&self, s: &Snapshot, session: &Session, now: Time) -> Option<CloseReason> {
        if session
            .drains
            .is_some_and(|until| self.has_drained(until, now))
        {
            return Some(CloseReason::Drained);
        }
        let (state, idle, timeout) = self.idleness(s, session, now);
        (idle > timeout).then_some(match state {
            State::Closed => CloseReason::TcpFin,
            State::Reset => CloseReason::TcpRst,
            _ => CloseReason::Idle,
        })
    }
}
