//! Sessions that outlive what made them. An SNAT entry whose source or pool was changed in place lets go of some of its
//! sessions: these drain, that is, they go on as they are until a moment that the configuration names, and then end.
//! New ones are not made by it any more.
//!
//! The configuration says what drains and until when, not the sessions. So the next daemon knows it, too, and one
//! that an entry covers again stops draining.

use crate::snapshot::{EipIx, Gateway};
use crate::tuple;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Sources that an SNAT entry has had, with EIPs that it has had for them.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    pub source: Ipv4Net,
    pub eips: Vec<EipIx>,
    /// Seconds since 1970 UTC.
    pub until: u32,
    /// The entry.
    pub entry: u32,
}

/// What lets a source be seen as an EIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub eip: EipIx,
    /// The SNAT entry.
    pub entry: u32,
    /// Seconds since 1970 UTC at which that ends, if it drains.
    pub drains: Option<u32>,
}

impl Gateway {
    /// By what sessions of `source` that are seen as `eip` may go on: the SNAT entry with the longest prefix, else
    /// another one that has both, else what drains, the longest.
    pub fn holder(&self, source: Ipv4Addr, eip: Ipv4Addr) -> Option<Holder> {
        let &ix = self.eips.get(&eip)?;
        let raw = tuple::raw(eip);
        let has = |entry: &u32| {
            let pool = &self.entries[*entry as usize].eips;
            pool.iter().any(|&(address, _)| address == raw)
        };
        let longest = self.snat.get(source).filter(has);
        let another = || {
            let mut entries = (0..).zip(&self.entries);
            let found = entries.find(|(n, it)| it.source.contains(&source) && has(n));
            found.map(|(n, _)| n)
        };
        let holder = |entry, drains| Holder {
            eip: ix,
            entry,
            drains,
        };
        if let Some(entry) = longest.or_else(another) {
            return Some(holder(entry, None));
        }
        let drains = self.drains.iter();
        let mine = drains.filter(|it| it.source.contains(&source) && it.eips.contains(&ix));
        let last = mine.max_by_key(|it| it.until)?;
        Some(holder(last.entry, Some(last.until)))
    }
}
