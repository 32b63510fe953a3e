//! Which policies were looked at before.
//!
//! There may be 100,000, and nearly always a change leaves nearly all of them as they are: the same objects, of which an
//! earlier configuration shares each. Those that were right there are right, as long as the books that they may name are
//! there and hold things of the same kind.

use crate::{Config, ControlPolicy, PolicyList};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// So many policies that are new are compared with all others; more are put into an index with them.
const FEW: usize = 8;

/// The policies of a list that are to be looked at.
#[derive(Debug)]
pub(super) enum Fresh {
    /// All.
    All,
    /// Those at these places.
    Some(Vec<usize>),
}

impl Fresh {
    /// Those of each list of a configuration, after one in which nothing is wrong.
    pub fn of(config: &Config, valid: Option<&Config>) -> Vec<Fresh> {
        let lists = &config.firewalls.policies;
        let Some(valid) = valid.filter(|it| same_books(config, it)) else {
            return lists.iter().map(|_| Fresh::All).collect();
        };
        let fresh = lists.iter().map(|list| {
            let mut had = valid.firewalls.policies.iter();
            let had = had.find(|it| it.scope == list.scope);
            had.map_or(Fresh::All, |had| Fresh::Some(others(list, had)))
        });
        let fresh: Vec<Fresh> = fresh.collect();
        let count = |fresh: &Fresh| match fresh {
            Fresh::All => FEW + 1,
            Fresh::Some(places) => places.len(),
        };
        match fresh.iter().map(count).sum::<usize>() <= FEW {
            true => fresh,
            false => lists.iter().map(|_| Fresh::All).collect(),
        }
    }

    /// The places of a list of so many.
    pub fn places(&self, len: usize) -> impl Iterator<Item = usize> + '_ {
        let (all, some): (Range<usize>, &[usize]) = match self {
            Fresh::All => (0..len, &[]),
            Fresh::Some(places) => (0..0, places),
        };
        all.chain(some.iter().copied())
    }
}

/// Whether the books that were there are, and hold things of the same kind.
fn same_books(config: &Config, valid: &Config) -> bool {
    let books = config.firewalls.books.iter();
    let kinds: HashMap<&str, _> = books
        .map(|it| (&*it.id, std::mem::discriminant(&*it.content)))
        .collect();
    let mut had = valid.firewalls.books.iter();
    had.all(|it| kinds.get(&*it.id) == Some(&std::mem::discriminant(&*it.content)))
}

/// The places of the policies that are not those of another list.
fn others(list: &PolicyList, had: &PolicyList) -> Vec<usize> {
    let (new, old) = (&list.policies[..], &had.policies[..]);
    if Arc::ptr_eq(&list.policies, &had.policies) {
        return Vec::new();
    }
    let same = |(a, b): &(&Arc<ControlPolicy>, &Arc<ControlPolicy>)| Arc::ptr_eq(a, b);
    let front = new.iter().zip(old).take_while(same).count();
    let (new, old) = (&new[front..], &old[front..]);
    let back = new.iter().rev().zip(old.iter().rev());
    let back = back.take_while(same).count();
    let (new, old) = (&new[..new.len() - back], &old[..old.len() - back]);
    let old: HashSet<*const ControlPolicy> = old.iter().map(Arc::as_ptr).collect();
    let mut found = HashSet::new();
    let others = new.iter().enumerate().filter(|(_, it)| {
        // Twice the same one is an identifier twice.
        !old.contains(&Arc::as_ptr(it)) || !found.insert(Arc::as_ptr(it))
    });
    others.map(|(n, _)| front + n).collect()
}
