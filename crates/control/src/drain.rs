//! Changing SNAT entries without cutting what is under way: sessions that a changed entry does not cover any more
//! drain. They go on for a while, and new ones are made by what the entry says now.
//!
//! What drains is kept with the entry, so it goes with it, and the next daemon knows it, too.

use crate::draft::Draft;
use crate::records::*;
use model::{Drain, Id, limits};
use std::time::Duration;

impl Draft {
    /// What drains of an SNAT entry that was `before` and is `after` now: what it does not cover any more, for `time`,
    /// beside what drained already. That goes on no longer than `at_most`, if that is given.
    pub(crate) fn drains(
        &self,
        before: &SnatEntry,
        after: &SnatEntry,
        time: Duration,
        at_most: Option<Duration>,
    ) -> Vec<Drain> {
        let (until, last) = (
            self.now.saturating_add(time.as_secs()),
            at_most.map_or(u64::MAX, |it| self.now.saturating_add(it.as_secs())),
        );
        let mut drains = before.drains.clone();
        for drain in &mut drains {
            drain.until = drain.until.min(last);
        }
        let blocks = (
            self.source_block(&before.source),
            self.source_block(&after.source),
        );
        if let (Some(source), Some(now)) = blocks {
            let lost = |eip: &&Id| !now.contains(&source) || !after.eips.contains(eip);
            let eips: Vec<Id> = before.eips.iter().filter(lost).cloned().collect();
            let same = |it: &&mut Drain| it.source == source && it.eips == eips;
            match drains.iter_mut().find(same) {
                _ if eips.is_empty() => {}
                Some(drain) => drain.until = drain.until.max(until),
                None => drains.push(Drain {
                    source,
                    eips,
                    until,
                }),
            }
        }
        drains.retain(|it| it.until > self.now);
        // Those that end first have the least to lose.
        drains.sort_by_key(|it| std::cmp::Reverse(it.until));
        drains.truncate(limits::DRAINS);
        drains
    }

    /// EIPs that are not their gateway's any more, and NAT IPs that are gone, take their sessions with them.
    pub(crate) fn let_go_of_drains(&mut self) {
        let bound = |entry: &SnatEntry, id: &Id| {
            let gateway = self.nat_gateways.get(&entry.gateway);
            match gateway.is_some_and(|it| it.intranet) {
                true => self.nat_ips.get(id).map(|it| &it.gateway) == Some(&entry.gateway),
                false => {
                    let wanted = Some(EipBinding::NatGateway(entry.gateway.clone()));
                    self.eips.get(id).is_some_and(|it| it.binding == wanted)
                }
            }
        };
        let draining = self.snat.iter().filter(|it| !it.drains.is_empty());
        let mut changed = Vec::new();
        for entry in draining {
            let mut drains = entry.drains.clone();
            for drain in &mut drains {
                drain.eips.retain(|id| bound(entry, id));
            }
            drains.retain(|it| !it.eips.is_empty());
            if drains != entry.drains {
                changed.push((entry.id.clone(), drains));
            }
        }
        for (id, drains) in changed {
            if let Some(entry) = self.snat.get_mut(&id) {
                entry.drains = drains;
            }
        }
    }
}
