//! The policies of all firewalls, in their order.
//!
//! They are kept in *pages* of up to 128, as the leaves of a tree would be: what changes one policy writes one page,
//! however many there are, and 100,000 are some hundreds of records. A page's rank says where it stands among the
//! others of its firewall; there is room between ranks, so a page that is split moves no other.
//!
//! Beside the pages there is the list as the engine gets it. It is shared: a change elsewhere neither copies nor
//! compares it.

use crate::records::Seconds;
use crate::table::{Change, Record};
use crate::written;
use hashbrown::{HashMap, HashSet};
use imbl::OrdMap;
use model::{ControlPolicy, Id, PolicyList, PolicyScope};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most policies on a page.
const PAGE: usize = 128;
/// How many are put on a page when many are.
const FILL: usize = 64;
/// The rank of a firewall's first page.
const FIRST: u64 = 1 << 62;
/// The room between pages that are put behind each other.
const STEP: u64 = 1 << 32;

/// A policy as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledPolicy {
    /// What it says.
    #[serde(with = "shared")]
    pub policy: Arc<ControlPolicy>,
    /// When it was made.
    pub created: Seconds,
    /// When it was changed last; 0: never.
    #[serde(default, skip_serializing_if = "is_default")]
    pub modified: Seconds,
    /// A configuration file has named it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub of_file: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Policies that stand behind each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyPage {
    /// Made of firewall and rank.
    id: Id,
    /// Whose they are.
    scope: PolicyScope,
    /// Where the page stands.
    rank: u64,
    /// They.
    policies: Vec<FiledPolicy>,
}

impl Record for PolicyPage {
    const KIND: &'static str = "policies";

    fn id(&self) -> &Id {
        &self.id
    }
}

impl PolicyPage {
    fn new(scope: &PolicyScope, rank: u64, policies: Vec<FiledPolicy>) -> PolicyPage {
        PolicyPage {
            id: page_id(scope, rank),
            scope: scope.clone(),
            rank,
            policies,
        }
    }
}

fn page_id(scope: &PolicyScope, rank: u64) -> Id {
    format!("{scope}:{rank:016x}")
}

/// The policies of a firewall.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    scope: PolicyScope,
    pages: Vec<Arc<PolicyPage>>,
    /// All of them, as the engine gets them.
    flat: Arc<Vec<Arc<ControlPolicy>>>,
}

impl List {
    fn new(scope: PolicyScope) -> List {
        List {
            scope,
            pages: Vec::new(),
            flat: Arc::default(),
        }
    }

    /// Whose they are.
    pub fn scope(&self) -> &PolicyScope {
        &self.scope
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.flat.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.flat.is_empty()
    }

    /// They, in their order, as the engine gets them.
    pub fn policies(&self) -> &Arc<Vec<Arc<ControlPolicy>>> {
        &self.flat
    }

    /// They, in their order, as they are kept.
    pub fn iter(&self) -> impl Iterator<Item = &FiledPolicy> {
        self.pages.iter().flat_map(|page| &page.policies)
    }

    /// Where the one with an identifier stands, from 0.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.flat.iter().position(|it| it.id == id)
    }

    /// The one that stands at a position.
    pub fn get(&self, position: usize) -> Option<&FiledPolicy> {
        let (page, within) = self.find(position)?;
        self.pages.get(page)?.policies.get(within)
    }

    /// The page that a position is on, and where there.
    fn find(&self, position: usize) -> Option<(usize, usize)> {
        let mut left = position;
        for (n, page) in self.pages.iter().enumerate() {
            match left.checked_sub(page.policies.len()) {
                None => return Some((n, left)),
                Some(rest) => left = rest,
            }
        }
        None
    }

    fn insert(&mut self, position: usize, policy: FiledPolicy) {
        let position = position.min(self.len());
        Arc::make_mut(&mut self.flat).insert(position, Arc::clone(&policy.policy));
        let Some((n, within)) = self.find(position) else {
            return self.push(policy);
        };
        let page = Arc::make_mut(&mut self.pages[n]);
        page.policies.insert(within, policy);
        if page.policies.len() > PAGE {
            let rest = page.policies.split_off(PAGE / 2);
            let rank = self.room_behind(n);
            let page = PolicyPage::new(&self.scope, rank, rest);
            self.pages.insert(n + 1, Arc::new(page));
        }
    }

    /// Puts one behind all others.
    fn push(&mut self, policy: FiledPolicy) {
        match self.pages.last_mut() {
            Some(page) if page.policies.len() < PAGE => Arc::make_mut(page).policies.push(policy),
            last => {
                let rank = last.map_or(FIRST, |it| it.rank.saturating_add(STEP));
                let page = PolicyPage::new(&self.scope, rank, vec![policy]);
                self.pages.push(Arc::new(page));
            }
        }
    }

    /// A rank between a page and the next. If there is none, pages around it are moved apart: as few as will do.
    fn room_behind(&mut self, n: usize) -> u64 {
        let Some(next) = self.pages.get(n + 1) else {
            return self.pages[n].rank.saturating_add(STEP);
        };
        let (rank, next) = (self.pages[n].rank, next.rank);
        if next - rank >= 2 {
            return rank + (next - rank) / 2;
        }
        let last = self.pages.len() - 1;
        for width in 1..=last {
            let low = n.saturating_sub(width);
            let high = (n + 1 + width).min(last);
            let (bottom, top) = (self.pages[low].rank, self.pages[high].rank);
            let places = (high - low) as u64;
            let step = (top - bottom) / places;
            if step >= 1 << 8 {
                for k in low + 1..high {
                    self.rerank(k, bottom + step * (k - low) as u64);
                }
                return self.room_behind(n);
            }
        }
        for k in 0..=last {
            self.rerank(k, FIRST + STEP * k as u64);
        }
        self.pages[n].rank + STEP / 2
    }

    fn rerank(&mut self, n: usize, rank: u64) {
        if self.pages[n].rank != rank {
            let id = page_id(&self.scope, rank);
            let page = Arc::make_mut(&mut self.pages[n]);
            (page.id, page.rank) = (id, rank);
        }
    }

    fn remove(&mut self, position: usize) -> Option<FiledPolicy> {
        let (n, within) = self.find(position)?;
        Arc::make_mut(&mut self.flat).remove(position);
        let page = Arc::make_mut(&mut self.pages[n]);
        let gone = page.policies.remove(within);
        if page.policies.is_empty() {
            self.pages.remove(n);
        }
        Some(gone)
    }

    fn replace(&mut self, position: usize, policy: FiledPolicy) {
        if let Some((n, within)) = self.find(position) {
            Arc::make_mut(&mut self.flat)[position] = Arc::clone(&policy.policy);
            Arc::make_mut(&mut self.pages[n]).policies[within] = policy;
        }
    }

    /// Has these policies from now on. Pages at the beginning and at the end on which nothing changes stay.
    fn set(&mut self, policies: Vec<FiledPolicy>) {
        let common = self.iter().zip(&policies).take_while(|(a, b)| a == b);
        let mut same = common.count();
        if same == policies.len() && same == self.len() {
            return;
        }
        let mut front = 0;
        for page in &self.pages {
            match same.checked_sub(page.policies.len()) {
                Some(rest) => same = rest,
                None => break,
            }
            front += 1;
        }
        let kept: usize = self.pages[..front].iter().map(|it| it.policies.len()).sum();
        let mut end = policies.len();
        let mut back = self.pages.len();
        while back > front {
            let page = &self.pages[back - 1].policies;
            match end.checked_sub(page.len()) {
                Some(begin) if begin >= kept && policies[begin..end] == page[..] => end = begin,
                _ => break,
            }
            back -= 1;
        }
        let new: Vec<&[FiledPolicy]> = policies[kept..end].chunks(FILL).collect();
        let below = front.checked_sub(1).map(|it| self.pages[it].rank);
        let above = self.pages.get(back).map(|it| it.rank);
        let many = new.len() as u64;
        let rank = |k: u64| match (below, above) {
            (below, None) => Some(below.map_or(FIRST, |it| it + STEP) + STEP * k),
            (below, Some(above)) => {
                let below = below.unwrap_or(0);
                let step = (above - below) / (many + 1);
                (step > 0).then(|| below + step * (k + 1))
            }
        };
        let pages: Option<Vec<Arc<PolicyPage>>> = (0..many)
            .zip(&new)
            .map(|(k, chunk)| {
                let page = PolicyPage::new(&self.scope, rank(k)?, chunk.to_vec());
                Some(Arc::new(page))
            })
            .collect();
        match pages {
            Some(pages) => drop(self.pages.splice(front..back, pages)),
            None => {
                let pages = policies.chunks(FILL).zip(0..).map(|(chunk, k)| {
                    let page = PolicyPage::new(&self.scope, FIRST + STEP * k, chunk.to_vec());
                    Arc::new(page)
                });
                self.pages = pages.collect();
            }
        }
        let flat = policies.into_iter().map(|it| it.policy);
        self.flat = Arc::new(flat.collect());
    }
}

/// The policies of all firewalls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies(OrdMap<PolicyScope, Arc<List>>);

impl Policies {
    /// Those of a firewall, if it has any.
    pub fn get(&self, scope: &PolicyScope) -> Option<&List> {
        self.0.get(scope).map(|it| &**it)
    }

    /// The lists that are not empty.
    pub fn lists(&self) -> impl Iterator<Item = &List> {
        self.0.values().map(|it| &**it)
    }

    /// What the engine is told.
    pub(crate) fn render(&self) -> Vec<PolicyList> {
        let lists = self.lists().map(|list| PolicyList {
            scope: list.scope.clone(),
            policies: Arc::clone(&list.flat),
        });
        lists.collect()
    }

    /// The list of a firewall, to be changed; an empty one is not kept.
    fn change<T>(&mut self, scope: &PolicyScope, change: impl FnOnce(&mut List) -> T) -> T {
        let mut list = match self.0.remove(scope) {
            Some(list) => list,
            None => Arc::new(List::new(scope.clone())),
        };
        let answer = change(Arc::make_mut(&mut list));
        if !list.is_empty() {
            self.0.insert(scope.clone(), list);
        }
        answer
    }

    /// Puts a policy at a position; behind the end it is put at the end.
    pub(super) fn insert(&mut self, scope: &PolicyScope, position: usize, policy: FiledPolicy) {
        self.change(scope, |list| list.insert(position, policy));
    }

    /// Takes away the policy at a position.
    pub(super) fn remove(&mut self, scope: &PolicyScope, position: usize) -> Option<FiledPolicy> {
        self.change(scope, |list| list.remove(position))
    }

    /// Has another policy at a position.
    pub(super) fn replace(&mut self, scope: &PolicyScope, position: usize, policy: FiledPolicy) {
        self.change(scope, |list| list.replace(position, policy));
    }

    /// Gives a firewall these policies instead of those that it has.
    pub(super) fn set(&mut self, scope: &PolicyScope, policies: Vec<FiledPolicy>) {
        self.change(scope, |list| list.set(policies));
    }

    /// Takes away all policies of a firewall.
    pub(crate) fn clear(&mut self, scope: &PolicyScope) {
        self.0.remove(scope);
    }

    /// See [`Table::changes`](crate::Table).
    pub(crate) fn changes(
        &self,
        old: &Policies,
        prefix: &str,
        out: &mut Vec<Change>,
    ) -> serde_json::Result<()> {
        let key = |page: &PolicyPage| format!("{prefix}{}/{}", PolicyPage::KIND, page.id);
        for list in old.0.values() {
            let new = self.0.get(&list.scope);
            if new.is_some_and(|it| Arc::ptr_eq(it, list)) {
                continue;
            }
            let new = new.iter().flat_map(|it| &it.pages).map(|it| &*it.id);
            let new: HashSet<&str> = new.collect();
            let gone = list.pages.iter().filter(|it| !new.contains(&*it.id));
            out.extend(gone.map(|page| (key(page), None)));
        }
        for list in self.0.values() {
            let old = old.0.get(&list.scope);
            if old.is_some_and(|it| Arc::ptr_eq(it, list)) {
                continue;
            }
            let old = old.iter().flat_map(|it| &it.pages).map(|it| (&*it.id, it));
            let old: HashMap<&str, &Arc<PolicyPage>> = old.collect();
            for page in &list.pages {
                let had = old.get(&*page.id);
                if had.is_none_or(|had| !Arc::ptr_eq(had, page) && *had != page) {
                    out.push((key(page), Some(written::write(&**page)?)));
                }
            }
        }
        Ok(())
    }

    /// Takes a page in from the store.
    pub(crate) fn load(&mut self, id: &str, value: &[u8]) -> std::result::Result<(), String> {
        let page: PolicyPage = written::read(value)?;
        if page.id != id || page.id != page_id(&page.scope, page.rank) {
            return Err(format!("it holds {:?}", page.id));
        }
        self.change(&page.scope.clone(), |list| {
            // A store lists pages in the order of their identifiers, which is that of their ranks.
            let place = list.pages.partition_point(|it| it.rank < page.rank);
            let before: usize = list.pages[..place].iter().map(|it| it.policies.len()).sum();
            let policies = page.policies.iter().map(|it| Arc::clone(&it.policy));
            Arc::make_mut(&mut list.flat).splice(before..before, policies);
            list.pages.insert(place, Arc::new(page));
        });
        Ok(())
    }
}

/// Something shared, kept as what it is.
pub(super) mod shared {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub fn serialize<T: Serialize, S: Serializer>(it: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        it.as_ref().serialize(to)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DomainResolve, PolicyAction, PolicyDestination, PolicyPorts, PolicySource};
    use proptest::prelude::*;

    const DNS: PolicyScope = PolicyScope::Dns;

    fn filed(n: usize) -> FiledPolicy {
        FiledPolicy {
            policy: Arc::new(ControlPolicy {
                id: format!("p{n}"),
                description: String::new(),
                source: PolicySource::Net("10.0.0.0/8".parse().unwrap()),
                destination: PolicyDestination::Domain("a.example".parse().unwrap()),
                protocol: None,
                ports: PolicyPorts::Any,
                applications: Vec::new(),
                action: PolicyAction::Drop,
                enabled: true,
                validity: model::Validity::Permanent,
                resolve: DomainResolve::Fqdn,
            }),
            created: 7,
            modified: 0,
            of_file: false,
        }
    }

    /// What a store would hold, brought up to date by changes.
    #[derive(Default)]
    struct Stored(std::collections::BTreeMap<String, Vec<u8>>);

    impl Stored {
        fn take(&mut self, new: &Policies, old: &Policies) -> usize {
            let mut changes = Vec::new();
            new.changes(old, "/", &mut changes).unwrap();
            let many = changes.len();
            for (key, value) in changes {
                match value {
                    Some(value) => drop(self.0.insert(key, value)),
                    None => drop(self.0.remove(&key)),
                }
            }
            many
        }

        fn load(&self) -> Policies {
            let mut policies = Policies::default();
            for (key, value) in &self.0 {
                let id = key.strip_prefix("/policies/").unwrap();
                policies.load(id, value).unwrap();
            }
            policies
        }
    }

    #[test]
    fn one_change_among_many_writes_little() {
        let mut policies = Policies::default();
        policies.set(&DNS, (0..10_000).map(filed).collect());
        let mut stored = Stored::default();
        assert_eq!(stored.take(&policies, &Policies::default()), 157);
        let before = policies.clone();
        policies.insert(&DNS, 5_000, filed(10_000));
        assert_eq!(stored.take(&policies, &before), 1);
        // Always before the last, as before a policy that denies the rest.
        for n in 10_001..11_000 {
            let before = policies.clone();
            let last = policies.get(&DNS).unwrap().len() - 1;
            policies.insert(&DNS, last, filed(n));
            assert!(stored.take(&policies, &before) <= 2);
        }
        // Always in the same place: pages are split until there is no room between their ranks.
        for n in 11_000..14_000 {
            let before = policies.clone();
            policies.insert(&DNS, 300, filed(n));
            assert!(stored.take(&policies, &before) < 16);
        }
        assert_eq!(stored.load(), policies);
        // The same again, with one left out, writes what is around it.
        let before = policies.clone();
        let mut all: Vec<_> = before.get(&DNS).unwrap().iter().cloned().collect();
        policies.set(&DNS, all.clone());
        assert_eq!(stored.take(&policies, &before), 0);
        all.retain(|it| it.policy.id != "p77");
        policies.set(&DNS, all);
        assert!(stored.take(&policies, &before) <= 4);
        assert_eq!(stored.load(), policies);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize),
        Remove(usize),
        Replace(usize),
        Move(usize, usize),
        Keep(usize),
        Reverse(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => any::<usize>().prop_map(Step::Insert),
            2 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::Replace),
            1 => any::<(usize, usize)>().prop_map(|(a, b)| Step::Move(a, b)),
            1 => (2usize..9).prop_map(Step::Keep),
            1 => any::<usize>().prop_map(Step::Reverse),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_a_list(
            begin in 0usize..700,
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let mut policies = Policies::default();
            let mut list: Vec<FiledPolicy> = (0..begin).map(filed).collect();
            policies.set(&DNS, list.clone());
            let mut stored = Stored::default();
            stored.take(&policies, &Policies::default());
            for (n, step) in steps.into_iter().enumerate() {
                let before = policies.clone();
                let many = list.len();
                let new = filed(1_000 + n);
                match step {
                    Step::Insert(at) => {
                        list.insert(at % (many + 1), new.clone());
                        policies.insert(&DNS, at % (many + 1), new);
                    }
                    Step::Remove(at) if many > 0 => {
                        let gone = policies.remove(&DNS, at % many);
                        prop_assert_eq!(gone, Some(list.remove(at % many)));
                    }
                    Step::Replace(at) if many > 0 => {
                        list[at % many] = new.clone();
                        policies.replace(&DNS, at % many, new);
                    }
                    Step::Move(from, to) if many > 0 => {
                        let it = list.remove(from % many);
                        list.insert(to % many, it);
                        let it = policies.remove(&DNS, from % many).unwrap();
                        policies.insert(&DNS, to % many, it);
                    }
                    Step::Keep(every) => {
                        let mut at = 0;
                        list.retain(|_| { at += 1; at % every != 0 });
                        policies.set(&DNS, list.clone());
                    }
                    Step::Reverse(from) if many > 0 => {
                        list[from % many..].reverse();
                        policies.set(&DNS, list.clone());
                    }
                    _ => {}
                }
                stored.take(&policies, &before);
            }
            let found = policies.get(&DNS);
            prop_assert_eq!(found.map_or(0, |it| it.len()), list.len());
            let filed: Vec<FiledPolicy> = found.iter().flat_map(|it| it.iter()).cloned().collect();
            prop_assert_eq!(&filed, &list);
            if let Some(found) = found {
                let flat: Vec<_> = list.iter().map(|it| Arc::clone(&it.policy)).collect();
                prop_assert_eq!(&**found.policies(), &flat);
                for (n, it) in list.iter().enumerate() {
                    prop_assert_eq!(found.get(n), Some(it));
                }
                prop_assert_eq!(found.get(list.len()), None);
            }
            prop_assert_eq!(stored.load(), policies);
        }
    }
}
