//! A new configuration, and a table that an earlier daemon has left: deciding again about sessions.

use crate::decide::{self, Direction, Exit, From, Source, still_fits};
use crate::engine::{Counters, Engine, Memory};
use crate::explain::Silent;
use crate::fragments::Fragments;
use crate::io::{Output, Time, UPLINK_ZONE};
use crate::nat::Nat;
use crate::neighbours::Neighbours;
use crate::sessions::{NO_SLOT, Session, SessionIx, Sessions, Way};
use crate::snapshot::{Owner, Port, Snapshot};
use crate::sweep::Sweep;
use crate::tuple;
use flow::reason::Reason;
use flow::{Key, flags};
use hashbrown::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

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
                        .find(|eip| eip.uplink == ix)
                        .map(|eip| eip.address)
                })
                .unwrap_or(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Where packets with this key come from.
    pub(crate) fn origin(&self, key: &Key) -> Option<From> {
        if key.zone == UPLINK_ZONE {
            let eip = *self.by_eip.get(&tuple::ip(key.dst))?;
            return Some(From::Uplink(self.eip(eip).uplink));
        }
        self.by_zone.get(&key.zone).map(|&eni| From::Eni(eni))
    }
}

impl Engine {
    /// An engine over shared memory. Flows that an earlier daemon has left there become sessions again,
    /// with their translations and counters, if `snapshot` still allows them; the others end.
    pub fn new(memory: Memory, snapshot: Arc<Snapshot>, now: Time) -> Engine {
        let seed = memory.table.geometry().seed;
        let neighbours = Neighbours::new(memory.hops, now, |ifindex| {
            let port = snapshot.port_by_ifindex(ifindex)?;
            Some((&port.link, snapshot.asker(port)))
        });
        let mut engine = Engine {
            snapshot: Arc::clone(&snapshot),
            table: memory.table,
            sessions: Sessions::new(seed),
            nat: Nat::new(seed),
            neighbours,
            fragments: Fragments::default(),
            counters: Counters {
                opened: 0,
                closed: 0,
                adopted: 0,
                packets: 0,
                forwarded: 0,
                originated: 0,
                drops: [0; Reason::COUNT],
            },
            per_source: HashMap::new(),
            limits: HashMap::new(),
            retired: Vec::new(),
            not_offloaded: 0,
            sweep: Sweep::new(now),
        };
        engine.nat.reserve(&snapshot);
        engine.adopt(&snapshot, now);
        engine.sweep.announce(&snapshot, None);
        engine
    }

    /// Puts a new configuration in force: for the next packet, and for every session. Sessions that it
    /// still allows with their present translation go on untouched; the others end.
    pub fn apply(&mut self, snapshot: Arc<Snapshot>, now: Time, _out: &mut impl Output) {
        let before = std::mem::replace(&mut self.snapshot, Arc::clone(&snapshot));
        self.nat.reserve(&snapshot);
        self.neighbours.relink(|ifindex| {
            let port = snapshot.port_by_ifindex(ifindex)?;
            Some((&port.link, port.mtu, snapshot.asker(port)))
        });
        self.limits
            .retain(|ifindex, _| snapshot.by_ifindex.contains_key(ifindex));
        for ix in 0..self.sessions.places() {
            if self.sessions.get(ix).is_some() && !self.refit(&snapshot, ix, now) {
                self.end(ix);
            }
        }
        self.sweep.announce(&snapshot, Some(&before));
    }

    /// Decides about a session again. If it may go on, what it says of resources and next hops is brought
    /// up to date.
    pub(crate) fn refit(&mut self, s: &Snapshot, ix: SessionIx, now: Time) -> bool {
        let session = self.sessions.session(ix);
        let original = session.keys[0];
        let reply = session.keys[1];
        let translated = tuple::reverse(&reply, 0);
        let Some(from) = s.origin(&original) else {
            return false;
        };
        let had = s.by_eip.get(&tuple::ip(translated.src)).copied();
        let Ok(plan) = decide::decide(s, &self.nat, from, &original, had, &mut Silent) else {
            return false;
        };
        if !still_fits(s, &plan, &original, &translated, reply.zone) {
            return false;
        }
        let exit = match (plan.exit, had) {
            (Exit::Port { port, next }, _) => Some((port, next)),
            (Exit::Uplink, Some(eip)) => {
                let dst = tuple::ip(original.dst);
                decide::uplink_hop(s, s.eip(eip).uplink, dst, &mut Silent).ok()
            }
            (Exit::Uplink, None) => None,
        };
        let (Some(exit), Exit::Port { port, next }) = (exit, plan.back) else {
            return false;
        };
        let mut hops = [0; 2];
        for (hop, (port, next)) in hops.iter_mut().zip([exit, (port, next)]) {
            let port = &s.ports[port];
            let asker = s.asker(port);
            match self.neighbours.hop(&port.link, port.mtu, next, asker, now) {
                Some(found) => *hop = found,
                None => return false,
            }
        }
        let session = self.sessions.session_mut(ix);
        let old = std::mem::replace(&mut session.hops, hops);
        session.eni = plan.eni;
        session.gateway = plan.gateway;
        session.entry = plan.entry;
        session.direction = plan.direction;
        let slots = session.slots;
        if session.routed != plan.routed {
            // The flows' action changes beyond its hop: new entries, with the old ones' counts.
            session.routed = plan.routed;
            let session = session.clone();
            let activity = self.activity(&session);
            self.retire(slots);
            self.install(ix, activity);
        } else if session.slow.is_none() {
            for (slot, hop) in slots.into_iter().zip(hops) {
                self.table.entry(slot).set_hop(hop);
            }
        }
        for (old, new) in old.into_iter().zip(hops) {
            if old != new {
                self.neighbours.count(old, -1);
                self.neighbours.count(new, 1);
            }
        }
        true
    }

    /// Makes sessions of the flows in the table.
    fn adopt(&mut self, s: &Snapshot, now: Time) {
        for (slot, entry) in self.table.iter() {
            let action = entry.action();
            let original = entry.key().filter(|_| action.flags & flags::ORIGINAL != 0);
            let Some(key) = original else { continue };
            let zone = self.neighbours.zone(action.hop);
            let translated = Key {
                src: action.src,
                dst: action.dst,
                sport: action.sport,
                dport: action.dport,
                ..key
            };
            let reply = zone.map(|zone| tuple::reverse(&translated, zone));
            let pair = reply.and_then(|reply| self.table.find(&reply));
            let (Some(reply), Some((other, back))) = (reply, pair) else {
                continue;
            };
            let taken = |key| self.sessions.find(key).is_some();
            if key == reply || taken(&key) || taken(&reply) {
                continue;
            }
            let hops = [action.hop, back.action().hop];
            self.sessions.add(Session {
                keys: [key, reply],
                slots: [slot, other],
                hops,
                slow: None,
                mapping: None,
                eni: 0,
                gateway: None,
                entry: None,
                start: entry.start.load(std::sync::atomic::Ordering::Relaxed),
                direction: Direction::Local,
                routed: action.flags & flags::ROUTED != 0,
                limited: false,
                live: true,
            });
            for hop in hops {
                self.neighbours.count(hop, 1);
            }
            self.counters.adopted += 1;
        }
        // What has no partner is half a session: the other half was never written or already gone.
        for (slot, entry) in self.table.iter() {
            if entry
                .key()
                .is_some_and(|key| self.sessions.find(&key).is_none())
            {
                self.retire([slot, NO_SLOT]);
            }
        }
        // Outbound sessions first: their mappings are what lets others in.
        for outbound in [true, false] {
            for ix in 0..self.sessions.places() {
                let Some(session) = self.sessions.get(ix) else {
                    continue;
                };
                if (session.keys[0].zone != UPLINK_ZONE) == outbound {
                    self.adopt_session(s, ix, now);
                }
            }
        }
    }

    fn adopt_session(&mut self, s: &Snapshot, ix: SessionIx, now: Time) {
        let session = self.sessions.session(ix);
        let original = session.keys[Way::Original as usize];
        let translated = tuple::reverse(&session.keys[Way::Reply as usize], 0);
        if !self.refit(s, ix, now) {
            self.end(ix);
            self.counters.adopted -= 1;
            self.counters.closed -= 1;
            return;
        }
        let had = s.by_eip.get(&tuple::ip(translated.src)).copied();
        let from = s.origin(&original);
        let plan = from
            .and_then(|from| decide::decide(s, &self.nat, from, &original, had, &mut Silent).ok());
        let Some(plan) = plan else { return };
        let mapping = match plan.source {
            Source::Pool { .. } => {
                let inner = crate::nat::Inner::of(&original);
                Some(self.nat.adopt(&inner, translated.src, translated.sport))
            }
            _ => plan.mapping.map(|ix| {
                let inner = self.nat.mapping(ix).inner;
                self.nat.commit(&inner, crate::nat::Choice::Existing(ix))
            }),
        };
        let limited = original.zone != UPLINK_ZONE && plan.gateway.is_some();
        if limited {
            *self
                .per_source
                .entry((original.zone, original.src))
                .or_default() += 1;
        }
        let session = self.sessions.session_mut(ix);
        session.mapping = mapping;
        session.limited = limited;
    }
}
