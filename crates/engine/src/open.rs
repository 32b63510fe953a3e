//! Opening and ending sessions.

use crate::again::NOBODY;
use crate::decide::{self, Denied, Exit, From, Plan, Source, still_fits};
use crate::engine::{Arrival, Core};
use crate::explain::{Recorder, Silent};
use crate::io::{Time, UPLINK_ZONE};
use crate::nat::{Choice, Inner};
use crate::neighbours::HopIx;
use crate::record::CloseReason;
use crate::routing;
use crate::sessions::{NO_SLOT, Session, SessionIx, Way};
use crate::snapshot::{EipIx, Snapshot};
use crate::source;
use crate::tuple;
use crate::wire::Ipv4;
use flow::reason::Reason;
use flow::{Activity, Key};
use std::cell::Cell;
use std::net::Ipv4Addr;

/// Ports that are tried when the tuple that a session would have is another's.
const ALTERNATIVES: u16 = 64;

/// The translation that a session gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Translation {
    /// The key of packets that answer.
    pub reply: Key,
    /// The SNAT port.
    pub choice: Option<Choice>,
    /// Where its packets leave.
    pub exit: (usize, Ipv4Addr),
}

impl std::convert::From<Reason> for Denied {
    fn from(reason: Reason) -> Denied {
        Denied {
            reason,
            notify: None,
        }
    }
}

impl Core {
    /// Opens a session for a packet that belongs to none, and counts the packet.
    pub(crate) fn open(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        packet: &Ipv4,
        key: &Key,
        first: Activity,
    ) -> Result<SessionIx, Denied> {
        let plan = decide::decide(s, &self.nat, at.from(), key, None, &mut Silent)?;
        if plan.routed && packet.ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        self.admit(s, &plan, key)?;
        let mut tried = 0;
        let translation = loop {
            let met = Cell::new(NOBODY);
            let translation = self.translate(s, &plan, key, &met, &mut Silent);
            match met.get() {
                NOBODY => break translation,
                waits => self.make_way(s, waits, &mut tried, at.now),
            }
        };
        let translation = match translation {
            Ok(translation) => translation,
            Err(denied) => {
                if denied.reason == Reason::PortsExhausted
                    && !self.again.is_under_way()
                    && let Source::Pool { first, .. } = plan.source
                {
                    self.nat.count_exhausted(s.eip(first).outer);
                }
                return Err(denied);
            }
        };
        let (exit_port, next) = translation.exit;
        let Exit::Port {
            port: back_port,
            next: back,
        } = plan.back
        else {
            return Err(Reason::NoRoute.into());
        };
        let hops = [(exit_port, next), (back_port, back)];
        let [Some(there), Some(home)] = hops.map(|(port, next)| self.hop(s, port, next, at.now))
        else {
            return Err(Reason::NeighbourQueueFull.into());
        };
        let keys = [*key, translation.reply];
        let judgement = match s.firewalls.is_empty() {
            true => None,
            false => self.judge_first(s, &plan, &keys, [there, home], first, at.now)?,
        };
        let limited = plan.limit(s).is_some();
        let ix = self.sessions.add(Session {
            keys,
            slots: [NO_SLOT; 2],
            hops: [there, home],
            meters: self.meters.of(s, plan.direction, &keys),
            accounts: self.usage.of(s, plan.direction, &keys, plan.entry),
            slow: None,
            mapping: None,
            let_in_by: None,
            eni: plan.eni,
            gateway: plan.gateway,
            entry: plan.entry,
            judged: None,
            start: at.now.second(),
            drains: None,
            direction: plan.direction,
            flags: plan.flags(),
            limited,
            era: self.again.era(),
        });
        let session = self.sessions.session_mut(ix);
        let choice = translation.choice;
        session.mapping = choice.map(|choice| self.nat.commit(&Inner::of(key), choice));
        session.let_in_by = plan.let_in_by.map(|mapping| self.nat.share(mapping));
        if limited {
            self.count_source(key, 1);
        }
        for hop in [there, home] {
            self.neighbours.count(hop, 1);
        }
        if let Some(judgement) = judgement {
            self.begin_watch(s, &plan, ix, judgement, at.now);
        }
        self.counters.opened += 1;
        let session = self.sessions.session(ix);
        self.sources.open(session);
        let accounts = session.accounts;
        self.usage.open(accounts);
        self.usage.live(accounts, 1);
        let none = Activity {
            last_seen: first.last_seen,
            ..Activity::default()
        };
        self.install(ix, [first, none]);
        Ok(ix)
    }

    /// Whether there may be one session more.
    pub(crate) fn admit(&self, s: &Snapshot, plan: &Plan, key: &Key) -> Result<(), Reason> {
        if self.sessions.len() >= s.max_sessions {
            return Err(Reason::SessionLimit);
        }
        let count = || self.per_source.get(&(key.zone, key.src));
        match plan.limit(s) {
            Some(limit) if count().is_some_and(|&count| count >= limit) => Err(Reason::SourceLimit),
            _ => Ok(()),
        }
    }

    /// A session of a source that is limited begins (or ends, with `by` -1).
    pub(crate) fn count_source(&mut self, key: &Key, by: i32) {
        let source = (key.zone, key.src);
        let count = self.per_source.entry(source).or_default();
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.per_source.remove(&source);
        }
    }

    /// The translation of a new session, without making it. `met` gets a session that waits to be decided again and has a
    /// tuple that it could have had.
    pub(crate) fn translate(
        &self,
        s: &Snapshot,
        plan: &Plan,
        key: &Key,
        met: &Cell<SessionIx>,
        rec: &mut impl Recorder,
    ) -> Result<Translation, Denied> {
        let exit = |eip: EipIx| match plan.exit {
            Exit::Port { port, next } => Ok((port, next)),
            Exit::Uplink => routing::eip_hop(s, eip, tuple::ip(key.dst), &mut Silent),
        };
        let zone = match plan.exit {
            Exit::Port { port, .. } => s.ports[port].link.zone,
            Exit::Uplink => UPLINK_ZONE,
        };
        let reply = |src: u32, sport: u16| {
            let translated = Key {
                src,
                sport,
                dst: plan.dst,
                dport: plan.dport,
                ..*key
            };
            tuple::reverse(&translated, zone)
        };
        let usable = |reply: &Key| {
            let found = self.find(reply);
            if let Some((ix, _)) = found
                && self.again.waits(self.sessions.session(ix))
            {
                met.set(ix);
            }
            reply != key && found.is_none()
        };

        if let Source::Pool {
            gateway,
            snat,
            first,
        } = plan.source
        {
            let inner = Inner::of(key);
            let wanted = s.gateway(gateway);
            let (mapping, ports) = (wanted.mapping, &wanted.ports);
            let mut attempt = |eip: EipIx| -> Result<Translation, Denied> {
                let exit = exit(eip)?;
                let outer = s.eip(eip).outer;
                let address = outer.address;
                // Probably the source port is kept: two things are then looked up at once.
                self.table.prefetch(&reply(address, key.sport));
                let free = |port| usable(&reply(address, port));
                let Some(choice) = self.nat.choose(&inner, outer, mapping, ports, free) else {
                    rec.step("port", || {
                        (
                            Some(s.eip(eip).id.clone()),
                            "no port is free towards this destination".into(),
                        )
                    });
                    return Err(Reason::PortsExhausted.into());
                };
                let port = match choice {
                    Choice::Existing(ix) => self.nat.mapping(ix).port,
                    Choice::New { port, .. } => port,
                };
                rec.step("port", || {
                    let how = match choice {
                        Choice::Existing(_) => "the source's mapping",
                        Choice::New { owner: true, .. } => "a port of its own",
                        Choice::New { owner: false, .. } => "a port that is shared by destination",
                    };
                    (
                        Some(s.eip(eip).id.clone()),
                        format!("{}: {how}", u16::from_be(port)),
                    )
                });
                Ok(Translation {
                    reply: reply(address, port),
                    choice: Some(choice),
                    exit,
                })
            };
            let mut result = attempt(first);
            if result.is_err() {
                let pool = source::pool(s, &self.nat, gateway, snat, key);
                for eip in pool.filter(|&eip| eip != first) {
                    match attempt(eip) {
                        Ok(translation) => return Ok(translation),
                        // That an EIP is out of reach says more than that it has no port.
                        Err(denied) if denied.reason != Reason::PortsExhausted => {
                            result = Err(denied);
                        }
                        Err(_) => {}
                    }
                }
            }
            return result;
        }

        let (src, exit) = match (plan.source, plan.exit) {
            (Source::Fixed(eip), _) => (tuple::raw(s.eip(eip).address), exit(eip)?),
            (_, Exit::Port { port, next }) => (key.src, (port, next)),
            (_, Exit::Uplink) => return Err(Reason::NoRoute.into()),
        };
        // The source port stays, unless the tuple is another session's: one that came to the same
        // instance by another EIP.
        let first = u16::from_be(key.sport);
        let alternatives = (0..ALTERNATIVES).map(|n| match n {
            0 => first,
            n => 1024 + (self.nat.spread(key.src, key.dst, first.wrapping_add(n)) % 64_512) as u16,
        });
        let tries = if tuple::has_ports(key.proto) {
            ALTERNATIVES
        } else {
            1
        };
        for port in alternatives.take(tries as usize) {
            let reply = reply(src, port.to_be());
            if usable(&reply) {
                return Ok(Translation {
                    reply,
                    choice: None,
                    exit,
                });
            }
        }
        Err(Reason::TupleConflict.into())
    }

    /// The hop to a station behind a port.
    pub(crate) fn hop(
        &mut self,
        s: &Snapshot,
        port: usize,
        next: Ipv4Addr,
        now: Time,
    ) -> Option<HopIx> {
        let port = &s.ports[port];
        self.neighbours.hop(port, next, || s.asker(port), now)
    }

    /// Puts a session's flows into the flow table, counting from `activity`. If there is no room, the
    /// slow path counts.
    pub(crate) fn install(&mut self, ix: SessionIx, mut activity: [Activity; 2]) {
        let session = self.sessions.session(ix);
        let mut slots = [NO_SLOT; 2];
        for way in Way::BOTH {
            let n = way as usize;
            let action = session.action(way);
            match self
                .table
                .insert(&session.keys[n], &action, &activity[n], session.start)
            {
                Ok(slot) => slots[n] = slot,
                Err(flow::table::Full) => break,
            }
        }
        if slots[1] != NO_SLOT {
            self.sessions.place(ix, slots);
        } else {
            let accounts = session.accounts;
            if slots[0] != NO_SLOT {
                activity[0] = self.take_counters(slots)[0];
            }
            self.usage.add(accounts, &activity, self.was_seen(ix));
            self.retire(slots, accounts);
            self.sessions.place_slow(ix, activity);
        }
    }

    /// Ends a session: its flows leave the table, its port, hops and counts are given back. `s` is what it was last
    /// decided by.
    pub(crate) fn end(&mut self, s: &Snapshot, ix: SessionIx, close: CloseReason, now: Time) {
        if self.sessions.session(ix).judged.is_some() {
            self.end_watch(s, ix, close, now);
        }
        let all = self
            .sources
            .watch()
            .then(|| self.activity(self.sessions.session(ix)));
        let mut session = self.sessions.remove(ix);
        let activity = self.take_counters(session.slots);
        let seen = self.was_seen(ix);
        self.usage.add(session.accounts, &activity, seen);
        if let Some(activity) = all {
            session.gateway = self.again.gateway(&session, &self.sources);
            self.sources.end(&session, &activity, seen);
        }
        self.usage.live(session.accounts, -1);
        self.counters.drained += u64::from(close == CloseReason::Drained);
        self.retire(session.slots, session.accounts);
        for mapping in [session.mapping, session.let_in_by].into_iter().flatten() {
            self.nat.release(mapping);
        }
        for hop in session.hops {
            self.neighbours.count(hop, -1);
        }
        if session.limited {
            self.count_source(&session.keys[0], -1);
        }
        self.counters.closed += 1;
    }

    /// A SYN has come on the tuple of a session that has ended. If the session may go on as it is, from that
    /// side too, it begins anew with its translation. If another one is to be opened instead, it makes
    /// room. Gives whether it is still there.
    ///
    /// A stranger who forges a reset and a SYN of the other end gains nothing: if the SYN could not open a
    /// session, this one stays, and the end that he wants to cut off answers the SYN (RFC 5961).
    pub(crate) fn reopen(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        key: &Key,
    ) -> bool {
        // What firewalls have seen of the old connection says nothing about the new one.
        let seen = self.sessions.session(ix).judged.is_some();
        let goes_on = match way {
            // One that drains is not what a new connection would be.
            Way::Original => {
                let drains = self.sessions.session(ix).drains.is_some();
                !seen && !drains && self.refit(s, ix, at.now).is_ok()
            }
            Way::Reply => match self.may_turn(s, at.from(), ix, key) {
                Some(same) => same && !seen,
                None => return true,
            },
        };
        if !goes_on {
            self.end(s, ix, CloseReason::Replaced, at.now);
            return false;
        }
        let session = self.sessions.session_mut(ix);
        session.start = at.now.second();
        let accounts = session.accounts;
        let slots = std::mem::replace(&mut session.slots, [NO_SLOT; 2]);
        let activity = self.take_counters(slots);
        let seen = self.was_seen(ix);
        self.usage.add(accounts, &activity, seen);
        self.usage.open(accounts);
        let session = self.sessions.session(ix);
        self.sources.end(session, &activity, seen);
        self.sources.open(session);
        self.retire(slots, accounts);
        let fresh = Activity {
            last_seen: at.now.tick(),
            ..Activity::default()
        };
        self.install(ix, [fresh; 2]);
        self.counters.closed += 1;
        self.counters.opened += 1;
        true
    }

    /// Whether a session that the other end opened, with the key of this one's answers, would be the same. `None`
    /// if it may not open one.
    pub(crate) fn may_turn(
        &self,
        s: &Snapshot,
        from: From,
        ix: SessionIx,
        key: &Key,
    ) -> Option<bool> {
        let [original, _] = &self.sessions.session(ix).keys;
        let translated = tuple::reverse(original, 0);
        let had = Some(translated.src);
        let plan = decide::decide(s, &self.nat, from, key, had, &mut Silent).ok()?;
        if plan.drains.is_some() {
            let new = decide::decide(s, &self.nat, from, key, None, &mut Silent);
            return new.ok().map(|_| false);
        }
        Some(still_fits(s, &plan, key, &translated, original.zone))
    }
}
