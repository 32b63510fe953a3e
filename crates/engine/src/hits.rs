//! How often policies have decided, and about how many bytes.

use crate::firewall::{Firewalls, List, ListIx};
use crate::verdicts::{Ruling, Rulings};
use hashbrown::HashMap;
use model::ControlPolicy;
use std::sync::Arc;

/// The counters of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Sessions, and refused first packets, that it has decided about.
    pub hits: u64,
    /// Bytes of these sessions, both ways.
    pub bytes: u64,
    /// When it last decided, in seconds since 1970 UTC; 0 if it never has.
    pub last: u64,
}

/// The counters of all policies: by list and place, as the snapshot has them.
#[derive(Debug, Default)]
pub(crate) struct Hits(Vec<Vec<Hit>>);

impl Hits {
    /// Follows policies that have moved: what is known by scope and identifier stays.
    pub fn configure(&mut self, now: &Firewalls, before: Option<&Firewalls>) {
        let mut old = std::mem::take(&mut self.0);
        self.0 = now
            .lists
            .iter()
            .map(|list| {
                let lists = before.map_or(&[][..], |before| &before.lists);
                let at = lists.iter().position(|it| it.scope == list.scope);
                match at.map(|at| (&lists[at], std::mem::take(&mut old[at]))) {
                    Some((was, hits)) if Arc::ptr_eq(&was.policies, &list.policies) => hits,
                    Some((was, hits)) => moved(was, &hits, list),
                    None => vec![Hit::default(); list.all().len()],
                }
            })
            .collect();
    }

    /// Policies have decided about a session.
    pub fn decided(&mut self, rulings: &Rulings, now: u64) {
        for ruling in rulings.iter().flatten() {
            self.decided_one(ruling, now);
        }
    }

    /// A policy has decided.
    pub fn decided_one(&mut self, ruling: &Ruling, now: u64) {
        if let Some(hit) = self.of(ruling) {
            hit.hits += 1;
            hit.last = now;
        }
    }

    /// So many bytes have gone by in a session.
    pub fn bytes(&mut self, rulings: &Rulings, bytes: u64) {
        for ruling in rulings.iter().flatten() {
            if let Some(hit) = self.of(ruling) {
                hit.bytes += bytes;
            }
        }
    }

    fn of(&mut self, ruling: &Ruling) -> Option<&mut Hit> {
        let place = ruling.decided_by()? as usize;
        self.0.get_mut(ruling.list as usize)?.get_mut(place)
    }

    /// The counters of a list, in the order of its policies.
    pub fn list(&self, list: ListIx) -> &[Hit] {
        self.0.get(list as usize).map_or(&[], |hits| hits)
    }

    /// Begins at zero: one policy, or all of a list.
    pub fn reset(&mut self, list: ListIx, place: Option<usize>) {
        let hits = self.0.get_mut(list as usize).map_or(&mut [][..], |it| it);
        for (at, hit) in hits.iter_mut().enumerate() {
            if place.is_none_or(|place| place == at) {
                *hit = Hit::default();
            }
        }
    }
}

/// Counters of `was` for the policies of `list`. There may be 100,000, of which nearly all are nearly always the same
/// objects in the same order: those are not looked into.
fn moved(was: &List, hits: &[Hit], list: &List) -> Vec<Hit> {
    let same = |(a, b): &(&Arc<ControlPolicy>, &Arc<ControlPolicy>)| Arc::ptr_eq(a, b);
    let (old, new) = (was.all(), list.all());
    let front = old.iter().zip(new).take_while(same).count();
    let back = old[front..].iter().rev().zip(new[front..].iter().rev());
    let back = back.take_while(same).count();
    let between = front..old.len() - back;
    let counted = old[between.clone()].iter().zip(&hits[between.clone()]);
    let counted = counted.filter(|(_, hit)| **hit != Hit::default());
    let known: HashMap<&str, Hit> = counted.map(|(it, hit)| (it.id.as_str(), *hit)).collect();
    let of = |id: &str| known.get(id).copied().unwrap_or_default();
    let mut all = Vec::with_capacity(new.len());
    all.extend_from_slice(&hits[..front]);
    all.extend(new[front..new.len() - back].iter().map(|it| of(&it.id)));
    all.extend_from_slice(&hits[between.end..]);
    all
}
