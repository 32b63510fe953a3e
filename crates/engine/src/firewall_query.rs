//! What the firewalls tell about themselves, and what they are told.

use crate::engine::{Core, Engine};
use crate::firewall::PolicyVec;
use crate::hits::Hit;
use crate::io::{Output, Time};
use crate::sessions::SessionIx;
use crate::snapshot::Snapshot;
use crate::view::{FirewallView, PolicyHits};
use model::{Id, PolicyScope};
use policy::World;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Policies that are looked at in one call for what has changed: packets wait meanwhile.
const LOOKED_AT: usize = 8_192;

impl Engine {
    /// Tells what is known of the world: threats, what names stand for, where addresses are. It counts for the next
    /// packet; live sessions are judged again within a round through them, which takes about a second.
    pub fn know(&mut self, world: World) {
        self.core.watch.world = world;
        let resolved = self.core.watch.world.resolved.clone();
        let unresolved = &mut self.core.watch.unresolved;
        unresolved.retain(|name| resolved.addresses(name).is_none());
        self.core.watch.epoch = self.core.watch.epoch.wrapping_add(1);
    }

    /// Tells the time of day: seconds since 1970 UTC, `now`. Policies that count at certain times go by it.
    pub fn set_wall(&mut self, seconds: u64, now: Time) {
        if self.core.watch.set_wall(seconds, now) {
            self.core.watch.epoch = self.core.watch.epoch.wrapping_add(1);
            self.core.watch.schedule(&self.snapshot.firewalls, now);
        }
    }

    /// The names that our own resolution should know: those of policies, and those that sessions have told and that
    /// are to be checked.
    pub fn names_to_resolve(&self) -> Vec<String> {
        let lists = self.snapshot.firewalls.lists.iter();
        let of_policies = lists.flat_map(|list| list.policies.domains());
        let told = self.core.watch.unresolved.iter().map(|name| &**name);
        let names: BTreeSet<&str> = of_policies.chain(told).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The names that sessions have told and that are to be checked, and are not known yet.
    pub fn unresolved_names(&self) -> Vec<String> {
        let told = self.core.watch.unresolved.iter();
        told.map(|name| name.to_string()).collect()
    }

    /// The place of a scope among those that are counted, and its policies.
    fn counted(&self, scope: &PolicyScope) -> Option<(usize, &PolicyVec)> {
        let counted = self.snapshot.firewalls.counted().enumerate();
        let mut of = counted.filter(|(_, (it, _))| *it == scope);
        of.next().map(|(at, (_, policies))| (at, policies))
    }

    /// How often each policy of a scope has decided, its firewall on or off; in the order of the policies.
    pub fn policy_hits(&self, scope: &PolicyScope) -> Vec<PolicyHits> {
        let Some((at, policies)) = self.counted(scope) else {
            return Vec::new();
        };
        let hits = self.core.watch.hits.list(at);
        let policies = policies.iter().zip(hits);
        policies
            .map(|(policy, hit)| hits_view(policy.id.clone(), hit))
            .collect()
    }

    /// How often policies have decided, of all scopes. Those that never have are left out.
    pub fn policy_counters(&self) -> Vec<(PolicyScope, Vec<PolicyHits>)> {
        let all = self.snapshot.firewalls.counted();
        let counted = all.map(|(scope, _)| {
            let mut hits = self.policy_hits(scope);
            hits.retain(|it| it.hits > 0 || it.bytes > 0);
            (scope.clone(), hits)
        });
        counted.filter(|(_, hits)| !hits.is_empty()).collect()
    }

    /// What has changed of that since it was told last, for somebody who keeps it: zeros are those of a policy that is
    /// gone, or was [reset](Engine::reset_policy). Some of it at a time; says whether that was all.
    pub fn changed_hits(&mut self) -> (Vec<(PolicyScope, PolicyHits)>, bool) {
        let hits = &mut self.core.watch.hits;
        let (changed, all) = hits.changed(&self.snapshot.firewalls, LOOKED_AT);
        let changed = changed.into_iter();
        let changed = changed.map(|(scope, id, hit)| (scope, hits_view(id, &hit)));
        (changed.collect(), all)
    }

    /// Adds what an earlier daemon has counted for a scope. Gives the policies of which there are none any more.
    pub fn restore_hits(&mut self, scope: &PolicyScope, counted: Vec<PolicyHits>) -> Vec<Id> {
        let kept = |it: PolicyHits| {
            let hit = Hit::kept(it.hits, it.bytes, it.last.unwrap_or(0));
            (it.policy, hit)
        };
        let counted = counted.into_iter().map(kept).collect();
        let none = (usize::MAX, PolicyVec::default());
        let (at, policies) = self
            .counted(scope)
            .map_or(none, |(at, policies)| (at, Arc::clone(policies)));
        let gone = self.core.watch.hits.restore(at, &policies, counted);
        gone.into_keys().collect()
    }

    /// Counts a policy from zero again, or all of its scope. Says whether there is such a policy.
    pub fn reset_policy(&mut self, scope: &PolicyScope, policy: Option<&Id>) -> bool {
        let Some((at, policies)) = self.counted(scope) else {
            return false;
        };
        let place = policy.map(|id| policies.iter().position(|it| it.id == *id));
        if place == Some(None) {
            return false;
        }
        self.core.watch.hits.reset(at, place.flatten());
        true
    }

    /// Numbers of the firewalls.
    pub fn firewall_stats(&self) -> FirewallView {
        let watch = &self.core.watch;
        FirewallView {
            sessions: watch.len() as u64,
            inspected: watch.inspections.len() as u64,
            refused: watch.tally.refused,
            refused_first: watch.tally.refused_first,
            refused_names: watch.tally.refused_names,
            given_up: watch.tally.given_up,
            over_capacity: watch.tally.over_capacity,
            records_lost: watch.tally.records_lost,
            learned_names: watch.answers.len() as u64,
            bits_per_second: watch.capacity.rate,
        }
    }
}

fn hits_view(policy: Id, hit: &Hit) -> PolicyHits {
    PolicyHits {
        policy,
        hits: hit.hits,
        bytes: hit.bytes,
        last: (hit.last != 0).then_some(hit.last),
    }
}

impl Core {
    /// What is due about once a second.
    pub(crate) fn tick_watch(&mut self, s: &Snapshot, now: Time, out: &mut impl Output) {
        self.watch.latest = now;
        self.tick_inspections(s, now, out);
        let due = self
            .watch
            .next_change
            .is_some_and(|at| at <= self.watch.wall(now));
        if due {
            self.watch.epoch = self.watch.epoch.wrapping_add(1);
            self.watch.schedule(&s.firewalls, now);
        }
    }

    /// What is due for a session in each round.
    pub(crate) fn look_after(&mut self, s: &Snapshot, ix: SessionIx, now: Time) {
        let Some(session) = self.sessions.get(ix) else {
            return;
        };
        let Some(judged) = session.judged else {
            return;
        };
        self.count_bytes(ix);
        if s.records.is_some() {
            self.record_live(s, ix, now);
        }
        if self.watch.get(judged).epoch != self.watch.epoch
            && let Err(close) = self.refit(s, ix, now)
        {
            self.end(s, ix, close, now);
        }
    }
}
