//! Another configuration or another daemon: which sessions go on, and with which mappings.

use super::{Inner, Plan, Reference, Source, Tuple};
use crate::common::*;
use model::*;
use std::time::Duration;

impl Reference {
    /// Whether packets with this key, which leave with the tuple `out`, may go on under a plan.
    pub(super) fn fits(&self, plan: &Plan, key: &Tuple, out: &Tuple) -> bool {
        let source = match &plan.source {
            Source::Keep => out.src == key.src,
            Source::Fixed(eip) => out.src == *eip,
            Source::Pool { gateway, .. } => self.outside(gateway, out.src).is_some_and(|eip| {
                let whole = |d: &DnatEntry| d.eip == eip.id && d.mapping == DnatMapping::Any;
                let gateway = self.gateway(gateway);
                self.held(gateway, key.src, out.src).is_some() && !gateway.dnat.iter().any(whole)
            }),
        };
        let dport = key.proto == ICMP || out.dport == plan.dport;
        source && out.dst == plan.dst && dport && out.at == plan.exit
    }

    /// Decides about a session again: whether it may go on.
    fn refit(&mut self, n: usize, now: Duration) -> bool {
        let session = self.sessions[n].clone();
        let key = &session.keys[0];
        let known = key.at == "wan" || self.config.enis.iter().any(|e| e.id == key.at);
        let out = session.leaves(0);
        let exists = out.at == "wan" || self.config.enis.iter().any(|e| e.id == out.at);
        if !known || !exists {
            return false;
        }
        let Ok(plan) = self.decide(key, Some(out.src), true) else {
            return false;
        };
        let drained = plan.drains.is_some_and(|until| until <= now.as_secs());
        if drained || !self.fits(&plan, key, &out) {
            return false;
        }
        let mapping = match &plan.source {
            Source::Pool { gateway, .. } => {
                Some(self.adopt_again(session.mapping, key, gateway, &out))
            }
            _ => None,
        };
        let let_in_by = plan
            .let_in_by
            .inspect(|&id| self.mapping_mut(id).sessions += 1);
        for old in [session.mapping, session.let_in_by].into_iter().flatten() {
            self.release(old);
        }
        let session = &mut self.sessions[n];
        session.plan = plan;
        session.mapping = mapping;
        session.let_in_by = let_in_by;
        session.waits = false;
        true
    }

    /// Another configuration, by which sessions are to be decided about again.
    pub fn apply(&mut self, config: Config) {
        self.config = config;
        self.picks.clear();
        for session in &mut self.sessions {
            session.waits = true;
        }
    }

    /// Decides again about the session with this key. Gives whether it goes on.
    pub fn decide_again(&mut self, key: &Tuple, now: Duration) -> bool {
        let (n, _) = self.position(key).expect("a session");
        let goes_on = self.refit(n, now);
        if !goes_on {
            self.end(n);
        }
        goes_on
    }

    /// Another daemon, which finds the sessions in this order: all of them but those that have drained. Mappings that
    /// let sessions in come first.
    pub fn restart(&mut self, order: &[Tuple], now: Duration) {
        for n in (0..self.sessions.len()).rev() {
            if self.sessions[n].waits && !self.refit(n, now) {
                self.end(n);
            }
        }
        self.sessions.retain(|session| {
            let there = order.contains(&session.keys[0]);
            let drained = session.plan.drains.is_some_and(|it| it <= now.as_secs());
            assert_eq!(there, !drained, "{session:?}");
            there
        });
        let had = std::mem::take(&mut self.mappings);
        let eip_of = |id: usize| {
            let mapping = had.iter().find(|it| it.id == id);
            mapping.expect("a mapping").eip.clone()
        };
        let position = |key| self.position(key).expect("a session").0;
        let order: Vec<usize> = order.iter().map(position).collect();
        for &n in &order {
            let session = self.sessions[n].clone();
            let (key, out) = (&session.keys[0], session.leaves(0));
            if let Some(let_in_by) = session.let_in_by {
                let inner = Inner {
                    at: out.at,
                    proto: out.proto,
                    address: out.dst,
                    port: out.dport,
                };
                let id = self.adopt(inner, eip_of(let_in_by), key.dport);
                self.sessions[n].let_in_by = Some(id);
                self.sessions[n].plan.let_in_by = Some(id);
            }
        }
        for &n in &order {
            let session = self.sessions[n].clone();
            let (key, out) = (&session.keys[0], session.leaves(0));
            if let Some(mapping) = session.mapping {
                let mapping = self.adopt(Inner::of(key), eip_of(mapping), out.sport);
                self.sessions[n].mapping = Some(mapping);
            }
        }
    }
}
