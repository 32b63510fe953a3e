//! The engine's books, audited: for tests only.

use crate::curtain::Curtain;
use crate::engine::{Core, Engine};
use crate::sessions::{NO_SLOT, Session, SessionIx, Way};
use crate::snapshot::Snapshot;
use crate::tuple;
use crate::watch::Judged;
use hashbrown::HashMap;

impl Engine {
    /// Has the engine go through so many places for sessions at a time after a change of the configuration, however few
    /// there are; or as usual.
    pub fn decide_slowly(&mut self, slice: Option<u32>) {
        self.core.again.set_slice(slice);
    }

    /// Which live sessions, in their order, wait to be decided again.
    pub fn waiting(&self) -> Vec<bool> {
        let all = self.core.live();
        all.map(|(_, session)| self.core.again.waits(session))
            .collect()
    }

    /// Checks that everything that is kept twice agrees: sessions with index, flow table, mappings, hops and
    /// counts; and that each packet was counted once.
    ///
    /// # Panics
    /// If something does not agree.
    pub fn check(&self) {
        self.core.check();
        self.core.check_waiting();
        self.core.check_meters(&self.snapshot);
        self.core.check_usage(&self.snapshot);
        self.core.check_drains(&self.snapshot);
    }
}

impl Core {
    fn live(&self) -> impl Iterator<Item = (SessionIx, &Session)> {
        let places = 0..self.sessions.places();
        places.filter_map(|ix| Some((ix, self.sessions.get(ix)?)))
    }

    /// Those that the configuration has decided about.
    fn decided_ones(&self) -> impl Iterator<Item = (SessionIx, &Session)> {
        self.live().filter(|(_, it)| !self.again.waits(it))
    }

    /// What was decided by another configuration, waits: it is known by which.
    fn check_waiting(&self) {
        for (_, session) in self.live().filter(|(_, it)| self.again.waits(it)) {
            assert!(self.again.snapshot(session).is_some(), "{session:?}");
        }
    }

    fn check_meters(&self, s: &Snapshot) {
        self.meters.check(s, !self.again.is_under_way());
        for (_, session) in self.decided_ones() {
            let meters = self.meters.of(s, session.direction, &session.keys);
            assert_eq!(session.meters, meters, "{session:?}");
        }
    }

    fn check_usage(&self, s: &Snapshot) {
        for (_, session) in self.decided_ones() {
            let accounts = self
                .usage
                .of(s, session.direction, &session.keys, session.entry);
            assert_eq!(session.accounts, accounts, "{session:?}");
        }
        self.usage.check(self.live().map(|(_, session)| session));
    }

    /// Each session is one that the configuration lets go on, for as long as it says.
    fn check_drains(&self, s: &Snapshot) {
        for (ix, session) in self.decided_ones() {
            let plan = self.plan_again(s, ix);
            let drains = plan.map(|plan| plan.drains);
            assert_eq!(drains, Some(session.drains), "{session:?}");
        }
    }

    /// A session is shown to the kernel with curtains exactly while one is drawn, and leads somewhere in truth.
    fn check_curtain(&self, session: &Session, judged: &Judged, hops: &mut HashMap<u16, u32>) {
        let shown = session.hops.map(|hop| self.neighbours.mark(hop));
        let expected = match judged.curtain {
            Curtain::Open => None,
            Curtain::Inspect => Some(judged.mark),
            Curtain::Dns | Curtain::Refused => Some(judged.curtain.mark()),
        };
        assert_eq!(shown, [expected; 2], "{session:?}: {judged:?}");
        if judged.curtain != Curtain::Open {
            for hop in judged.hops {
                assert_eq!(self.neighbours.mark(hop), None, "{judged:?}");
                *hops.entry(hop).or_default() += 1;
            }
        }
    }

    fn check(&self) {
        let mut mappings: HashMap<u32, u32> = HashMap::new();
        let mut hops: HashMap<u16, u32> = HashMap::new();
        let mut sources: HashMap<(u16, u32), u32> = HashMap::new();
        let mut flows = 0;
        let mut watched = Vec::new();
        for ix in 0..self.sessions.places() {
            let Some(session) = self.sessions.get(ix) else {
                continue;
            };
            if let Some(judged_ix) = session.judged {
                watched.push(judged_ix);
                self.check_curtain(session, self.watch.get(judged_ix), &mut hops);
            }
            for way in Way::BOTH {
                let key = &session.keys[way as usize];
                assert_eq!(self.find(key), Some((ix, way)), "{session:?}");
                *hops.entry(session.hops[way as usize]).or_default() += 1;
                let slot = session.slots[way as usize];
                if session.slow.is_some() {
                    assert_eq!(slot, NO_SLOT);
                    assert!(self.table.find(key).is_none());
                    continue;
                }
                let entry = self.table.entry(slot);
                assert_eq!(entry.key().as_ref(), Some(key), "{session:?}");
                assert_eq!(entry.action(), session.action(way), "{session:?}");
                flows += 1;
            }
            let translated = tuple::reverse(&session.keys[1], 0);
            let outer = [
                (session.mapping, translated.src, translated.sport),
                (
                    session.let_in_by,
                    session.keys[0].dst,
                    session.keys[0].dport,
                ),
            ];
            for (mapping, eip, port) in outer {
                let Some(mapping) = mapping else { continue };
                *mappings.entry(mapping).or_default() += 1;
                let m = self.nat.mapping(mapping);
                assert_eq!((m.eip.address, m.port), (eip, port), "{session:?}: {m:?}");
            }
            if session.limited {
                *sources
                    .entry((session.keys[0].zone, session.keys[0].src))
                    .or_default() += 1;
            }
        }
        assert_eq!(self.table.len(), flows, "flows in the table");
        assert_eq!(self.per_source, sources);
        self.sessions.check();
        self.nat.check(&mappings);
        self.neighbours.check(&hops);
        self.watch.check(&watched);
        let curtain = |ix| {
            let judged = self.sessions.get(ix).and_then(|session| session.judged);
            judged.map(|judged| self.watch.get(judged).curtain)
        };
        self.watch
            .inspections
            .check(|ix| curtain(ix) == Some(Curtain::Inspect));
        self.watch.dns.check(|ix| curtain(ix).is_some());
        let held = self.neighbours.held() + self.fragments.check();
        let c = &self.counters;
        let dropped: u64 = c.drops.iter().sum();
        assert_eq!(
            c.packets,
            c.forwarded + c.answered + dropped + held,
            "{c:?}, {held} held"
        );
    }
}
