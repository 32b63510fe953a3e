//! A new configuration, and a table that an earlier daemon has left: deciding again about sessions.

use crate::again::Again;
use crate::decide::{self, Direction, Exit, From, Plan, Source, still_fits};
use crate::engine::{Core, Counters, Engine, Memory};
use crate::explain::Silent;
use crate::fragments::Fragments;
use crate::intranet;
use crate::io::{Output, Time, UPLINK_ZONE};
use crate::marks::Marks;
use crate::meters::{MeterIx, Meters};
use crate::nat::{Inner, MappingIx, Nat};
use crate::neighbours::{HopIx, Neighbours};
use crate::record::CloseReason;
use crate::routing;
use crate::sessions::{NO_SLOT, Session, SessionIx, Sessions, Way};
use crate::snapshot::{Owner, Port, Snapshot};
use crate::sources::Sources;
use crate::sweep::Sweep;
use crate::tuple;
use crate::usage::Usage;
use crate::watch::Watch;
use flow::reason::Reason;
use flow::{Action, Entry, Key, flags};
use hashbrown::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Flows whose answers' places are fetched before the first is looked at.
const ADOPTED_AT_ONCE: usize = 32;
/// Sessions that are decided again between the hint that one comes and that one.
const EXPECTED: SessionIx = 16;

impl Snapshot {
    /// The port with an interface index.
    pub(crate) fn port_by_ifindex(&self, ifindex: u32) -> Option<&Port> {
        self.by_ifindex.get(&ifindex).map(|&port| &self.ports[port])
    }

    /// The address that ARP questions on a port come from.
    pub(crate) fn asker(&self, port: &Port) -> Ipv4Addr {
        match port.owner {
            Owner::Eni(ix) => self.vswitch_of(self.eni(ix)).gateway,
            Owner::Uplink(ix) => self
                .uplink(ix)
                .address
                .map(|net| net.addr())
                .or_else(|| {
                    self.eips
                        .iter()
                        .find(|eip| eip.uplink == Some(ix))
                        .map(|eip| eip.address)
                })
                .unwrap_or(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Where packets with this key come from.
    pub(crate) fn origin(&self, key: &Key) -> Option<From> {
        if key.zone == UPLINK_ZONE {
            let eip = *self.by_eip.get(&tuple::ip(key.dst))?;
            return self.eip(eip).uplink.map(From::Uplink);
        }
        self.by_zone.get(&key.zone).map(|&eni| From::Eni(eni))
    }
}

impl Engine {
    /// An engine over shared memory. Flows that an earlier daemon has left there become sessions again,
    /// with their translations and counters, if `snapshot` still allows them; the others end.
    pub fn new(memory: Memory, snapshot: Arc<Snapshot>, now: Time) -> Engine {
        Engine::new_at(memory, snapshot, now, 0)
    }

    /// As [`new`](Engine::new), with the time of day: seconds since 1970 UTC, `now`.
    pub fn new_at(memory: Memory, snapshot: Arc<Snapshot>, now: Time, wall: u64) -> Engine {
        let seed = memory.table.geometry().seed;
        let neighbours = Neighbours::new(memory.hops, now, |ifindex| {
            let port = snapshot.port_by_ifindex(ifindex)?;
            Some((port, snapshot.asker(port)))
        });
        let slots = memory.table.geometry().slots as usize;
        let sessions = Sessions::new(slots, snapshot.max_sessions);
        let mut core = Core {
            table: memory.table,
            sessions,
            nat: Nat::new(seed, snapshot.max_sessions),
            neighbours,
            meters: Meters::new(memory.meters),
            usage: Usage::new(memory.accounts),
            sources: Sources::default(),
            fragments: Fragments::default(),
            counters: Counters::default(),
            per_source: HashMap::new(),
            limits: HashMap::new(),
            retired: Vec::new(),
            sweep: Sweep::new(now),
            again: Again::new(),
            watch: Watch::new(),
        };
        core.nat.configure(&snapshot);
        core.meters.configure(&snapshot);
        core.usage.configure(&snapshot);
        core.sources.configure(&snapshot);
        core.watch.set_wall(wall, now);
        core.watch.configure(&snapshot.firewalls, None, now);
        core.adopt(&snapshot, now);
        core.meters.settle();
        core.see_all();
        core.sweep.announce(&snapshot, None);
        Engine { snapshot, core }
    }

    /// Puts a new configuration in force: for the next packet, and for every session. Sessions that it
    /// still allows with their present translation go on untouched; the others end. If there are many, the kernel
    /// forwards them as before until [`tick`](Engine::tick), which wants to be called now, has come to them.
    pub fn apply(&mut self, snapshot: Arc<Snapshot>, now: Time, out: &mut impl Output) {
        self.core.make_room(&self.snapshot, &snapshot, now);
        let before = std::mem::replace(&mut self.snapshot, snapshot);
        self.core.apply(&self.snapshot, before, now);
        self.core.send_records(out);
    }
}

impl Core {
    fn apply(&mut self, s: &Snapshot, before: Arc<Snapshot>, now: Time) {
        self.nat.configure(s);
        self.meters.configure(s);
        self.usage.configure(s);
        self.sources.configure(s);
        let dropped = self.neighbours.relink(|ifindex| {
            let port = s.port_by_ifindex(ifindex)?;
            Some((port, s.asker(port)))
        });
        self.counters.drops[Reason::HopGone as usize] += dropped;
        self.limits
            .retain(|ifindex, _| s.by_ifindex.contains_key(ifindex));
        let moved = self
            .watch
            .configure(&s.firewalls, Some(&before.firewalls), now);
        self.sweep.announce(s, Some(&before));
        self.begin_again(s, before, moved, now);
    }

    /// Decides about a session again. If it may go on, what it says of resources and next hops and what it
    /// counts for is brought up to date. Else gives why it is to end.
    pub(crate) fn refit(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        now: Time,
    ) -> Result<(), CloseReason> {
        let plan = self.plan_again(s, ix).ok_or(CloseReason::Reconfigured)?;
        if plan
            .drains
            .is_some_and(|until| self.has_drained(until, now))
        {
            return Err(CloseReason::Drained);
        }
        match self.refit_to(s, ix, &plan, now) {
            true => Ok(()),
            false => Err(CloseReason::Reconfigured),
        }
    }

    /// What is to be done with a session as it is now, if it may go on.
    pub(crate) fn plan_again(&self, s: &Snapshot, ix: SessionIx) -> Option<Plan> {
        let session = self.sessions.session(ix);
        let [original, reply] = session.keys;
        let translated = tuple::reverse(&reply, 0);
        let from = s.origin(&original)?;
        let had = Some(translated.src);
        let plan = decide::decide(s, &self.nat, from, &original, had, &mut Silent).ok()?;
        still_fits(s, &plan, &original, &translated, reply.zone).then_some(plan)
    }

    /// Brings a session up to date with a plan that it fits.
    fn refit_to(&mut self, s: &Snapshot, ix: SessionIx, plan: &Plan, now: Time) -> bool {
        let [original, reply] = self.sessions.session(ix).keys;
        let had = tuple::ip(tuple::reverse(&reply, 0).src);
        let exit = match (plan.exit, s.by_eip.get(&had)) {
            (Exit::Port { port, next }, _) => Some((port, next)),
            (Exit::Uplink, Some(&eip)) => {
                routing::eip_hop(s, eip, tuple::ip(original.dst), &mut Silent).ok()
            }
            (Exit::Uplink, None) => None,
        };
        let (Some(exit), Exit::Port { port, next }) = (exit, plan.back) else {
            return false;
        };
        let hops = [exit, (port, next)].map(|(port, next)| self.hop(s, port, next, now));
        let [Some(there), Some(home)] = hops else {
            return false;
        };
        let Some(shown) = self.shown(ix, [there, home], now) else {
            return false;
        };
        let keys = &self.sessions.session(ix).keys;
        let meters = self.meters.of(s, plan.direction, keys);
        self.redirect(ix, shown, meters, plan.flags());
        self.rebind(s, ix, plan);
        self.judge_again(s, ix, plan, now);
        true
    }

    /// Gives a session other next hops, meters and flags, if they are others.
    fn redirect(&mut self, ix: SessionIx, hops: [HopIx; 2], meters: [MeterIx; 2], flags: u8) {
        let session = self.sessions.session_mut(ix);
        let old = std::mem::replace(&mut session.hops, hops);
        let old_meters = std::mem::replace(&mut session.meters, meters);
        if session.flags != flags {
            // The flows' action changes beyond hop and meter: new entries, with the old ones' counts.
            session.flags = flags;
            let session = self.sessions.session(ix);
            let (slots, accounts) = (session.slots, session.accounts);
            let activity = match &session.slow {
                None => self.take_counters(slots),
                Some(slow) => {
                    // The accounts have it; if it gets entries now, those have it.
                    let activity = **slow;
                    self.usage.take_off(accounts, &activity, self.was_seen(ix));
                    activity
                }
            };
            self.retire(slots, accounts);
            self.install(ix, activity);
        } else if (old, old_meters) != (hops, meters) && session.slow.is_none() {
            for way in Way::BOTH.map(|way| way as usize) {
                let entry = self.table.entry(session.slots[way]);
                entry.set_hop(hops[way]);
                entry.set_meter(meters[way]);
            }
        }
        for (old, new) in old.into_iter().zip(hops) {
            if old != new {
                self.neighbours.count(new, 1);
                self.neighbours.count(old, -1);
            }
        }
    }

    /// Puts down for a session what `plan` says of it: whose it is, what mapping it holds, whether it counts
    /// against a limit.
    fn rebind(&mut self, s: &Snapshot, ix: SessionIx, plan: &Plan) {
        let session = self.sessions.session(ix);
        let accounts = self.usage.of(s, plan.direction, &session.keys, plan.entry);
        if accounts != session.accounts {
            let activity = match session.slow {
                Some(_) => Default::default(),
                None => self.activity(session),
            };
            let seen = self.was_seen(ix);
            self.usage.turn(session.accounts, accounts, &activity, seen);
        }
        let session = self.sessions.session_mut(ix);
        session.accounts = accounts;
        session.eni = plan.eni;
        session.gateway = plan.gateway;
        session.entry = plan.entry;
        session.direction = plan.direction;
        session.drains = plan.drains;
        let [original, reply] = session.keys;
        let limited = plan.limit(s).is_some();
        let was_limited = std::mem::replace(&mut session.limited, limited);
        if was_limited != limited {
            self.count_source(&original, if was_limited { -1 } else { 1 });
        }
        let session = self.sessions.session(ix);
        let old = [session.mapping, session.let_in_by];
        let mapping = match (plan.source, session.mapping) {
            (Source::Pool { gateway, .. }, None) => {
                let translated = tuple::reverse(&reply, 0);
                let inner = Inner::of(&original);
                // It is one of the gateway's, for the plan fits.
                let eip = s.gateway(gateway).eips.get(&tuple::ip(translated.src));
                eip.map(|&eip| {
                    let outer = s.eip(eip).outer;
                    self.nat.adopt(&inner, outer, translated.sport)
                })
            }
            (Source::Pool { .. }, had) => had,
            _ => None,
        };
        let let_in_by = plan.let_in_by;
        if let_in_by != old[1] {
            let_in_by.map(|mapping| self.nat.share(mapping));
        }
        let session = self.sessions.session_mut(ix);
        session.mapping = mapping;
        session.let_in_by = let_in_by;
        for (old, new) in old.into_iter().zip([mapping, let_in_by]) {
            if let Some(old) = old.filter(|_| old != new) {
                self.nat.release(old);
            }
        }
    }

    /// Makes sessions of the flows in the table.
    fn adopt(&mut self, s: &Snapshot, now: Time) {
        // Slots that a session has.
        let mut taken = Marks::new(self.table.geometry().slots as usize);
        // Live entries that made no session: the answers of those that did, and what has no partner.
        let mut others = Vec::new();
        let mut batch = Vec::with_capacity(ADOPTED_AT_ONCE);
        let mut entries = self.table.iter();
        loop {
            for (slot, entry) in entries.by_ref() {
                let Some(key) = entry.key() else { continue };
                match self.answer_to(&key, &entry.action()) {
                    Some(reply) => {
                        self.table.prefetch(&key);
                        self.table.prefetch(&reply);
                        batch.push((slot, entry, [key, reply]));
                    }
                    None => others.push(slot),
                }
                if batch.len() == ADOPTED_AT_ONCE {
                    break;
                }
            }
            if batch.is_empty() {
                break;
            }
            for (_, _, keys) in &batch {
                keys.iter().for_each(|key| self.table.prefetch_on(key));
            }
            for (slot, entry, keys) in batch.drain(..) {
                if !self.adopt_flow(slot, entry, keys, &mut taken, now) {
                    others.push(slot);
                }
            }
        }
        // What has no partner is half a session: the other half was never written or already gone. Or a lookup does
        // not lead to it.
        for slot in others {
            if !taken.has(slot) {
                self.retire([slot, NO_SLOT], [0; 2]);
            }
        }
        // Mappings that let sessions in come first: whoever made them may be gone, and their ports are not
        // to become another's.
        self.watch.adopting = true;
        let places = 0..self.sessions.places();
        let held: Vec<_> = places
            .clone()
            .filter_map(|ix| self.hold_entrance(s, ix))
            .collect();
        for ix in places {
            self.expect_mapping(s, ix + EXPECTED);
            if let Err(close) = self.refit(s, ix, now) {
                self.end(s, ix, close, now);
                self.counters.adopted -= 1;
                self.counters.closed -= 1;
            }
        }
        for mapping in held {
            self.nat.release(mapping);
        }
        self.counters.drained = 0;
        self.watch.adopting = false;
    }

    /// A hint that this session, if there is one, is decided again soon: where its mapping will be is fetched.
    fn expect_mapping(&self, s: &Snapshot, ix: SessionIx) {
        if let Some(session) = self.sessions.get(ix)
            && let [original, reply] = &session.keys
            && reply.dst != original.src
            && let Some(&eip) = s.by_eip.get(&tuple::ip(reply.dst))
        {
            self.nat.prefetch(&Inner::of(original), s.eip(eip).outer);
        }
    }

    /// The key of the answers to a flow in the original direction of its session.
    fn answer_to(&self, key: &Key, action: &Action) -> Option<Key> {
        if action.flags & flags::ORIGINAL == 0 {
            return None;
        }
        let zone = self.neighbours.zone(action.hop)?;
        let translated = Key {
            src: action.src,
            dst: action.dst,
            sport: action.sport,
            dport: action.dport,
            ..*key
        };
        Some(tuple::reverse(&translated, zone))
    }

    /// Makes a session of a flow in its original direction and the answers to it. `taken` are the slots that sessions
    /// have. Gives whether it did.
    fn adopt_flow(
        &mut self,
        slot: u32,
        entry: &Entry,
        keys: [Key; 2],
        taken: &mut Marks,
        now: Time,
    ) -> bool {
        let [key, reply] = keys;
        let Some((other, back)) = self.table.find(&reply) else {
            return false;
        };
        let (action, answer) = (entry.action(), back.action());
        let answers = answer.flags & flags::ORIGINAL == 0;
        let free = !taken.has(slot) && !taken.has(other);
        if !answers || key == reply || !free || !self.leads(slot, &key) {
            return false;
        }
        let hops = [action.hop, answer.hop];
        let accounts = self.usage.found(&keys);
        self.usage.live(accounts, 1);
        let judged = self.adopt_curtain(action.hop, now);
        let ix = self.sessions.add(Session {
            keys,
            slots: [NO_SLOT; 2],
            hops,
            meters: [action.meter, answer.meter],
            accounts,
            slow: None,
            mapping: None,
            let_in_by: None,
            eni: 0,
            gateway: None,
            entry: None,
            judged,
            start: entry.start.load(std::sync::atomic::Ordering::Relaxed),
            drains: None,
            direction: Direction::Local,
            flags: action.flags & !flags::ORIGINAL,
            limited: false,
            era: self.again.era(),
        });
        self.sessions.place(ix, [slot, other]);
        for slot in [slot, other] {
            taken.set(slot);
        }
        self.resume(ix, &key, now);
        for hop in hops {
            self.neighbours.count(hop, 1);
        }
        self.counters.adopted += 1;
        true
    }

    /// Makes the mapping that has let a session in, if one has.
    fn hold_entrance(&mut self, s: &Snapshot, ix: SessionIx) -> Option<MappingIx> {
        let session = self.sessions.session(ix);
        if session.flags & flags::MAPPED == 0 {
            return None;
        }
        let [original, reply] = &session.keys;
        let translated = tuple::reverse(reply, 0);
        let inner = Inner {
            zone: reply.zone,
            proto: original.proto,
            address: translated.dst,
            port: translated.dport,
        };
        let eip = intranet::called(s, s.origin(original)?, original)?;
        let (outer, port) = (s.eip(eip).outer, original.dport);
        Some(self.nat.adopt(&inner, outer, port))
    }

    /// Whether a lookup of `key` leads to this slot. It may not, if the earlier daemon died in the middle of
    /// writing it.
    fn leads(&self, slot: u32, key: &Key) -> bool {
        self.table.find(key).is_some_and(|(found, _)| found == slot)
    }
}
