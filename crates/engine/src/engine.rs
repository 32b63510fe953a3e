//! The engine: what becomes of a frame.

use crate::again::Again;
use crate::decide::From;
use crate::fragments::Fragments;
use crate::io::{Offload, Output, Time};
use crate::limit::Bucket;
use crate::meters::Meters;
use crate::nat::Nat;
use crate::neighbours::Neighbours;
use crate::sessions::{SessionIx, Sessions, Way};
use crate::snapshot::{Port, Snapshot};
use crate::sources::Sources;
use crate::sweep::Sweep;
use crate::usage::{Account, Usage};
use crate::watch::Watch;
use crate::wire;
use flow::Key;
use flow::abi::Hop;
use flow::header::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4};
use flow::meter::Meter;
use flow::reason::Reason;
use flow::table::Table;
use hashbrown::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// From so many flows on it pays to fetch them ahead.
const FETCHED: u32 = 1 << 14;

/// The memory that kernel and engine share.
#[derive(Debug)]
pub struct Memory {
    /// The flow table.
    pub table: Table,
    /// Next hops.
    pub hops: &'static [Hop],
    /// Meters: an even number, at most 65,536. Each bandwidth limit needs two, and two more while it is
    /// replaced.
    pub meters: &'static [Meter],
    /// Accounts: at most [`ACCOUNT_SLOTS`](crate::ACCOUNT_SLOTS). An EIP that is bound has one; those for
    /// which there is none are not metered.
    pub accounts: &'static [Account],
}

/// A frame that came in.
#[derive(Debug)]
pub struct Input<'a> {
    /// The interface that it came in by.
    pub ifindex: u32,
    /// The frame, from the Ethernet header on. It is rewritten in place.
    pub frame: &'a mut [u8],
    /// What its sender left to hardware.
    pub offload: Offload,
}

/// Counters of the engine, since it was made.
#[derive(Debug)]
pub(crate) struct Counters {
    pub opened: u64,
    pub closed: u64,
    pub drained: u64,
    pub adopted: u64,
    pub packets: u64,
    pub forwarded: u64,
    pub answered: u64,
    pub originated: u64,
    pub drops: [u64; Reason::COUNT],
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            opened: 0,
            closed: 0,
            drained: 0,
            adopted: 0,
            packets: 0,
            forwarded: 0,
            answered: 0,
            originated: 0,
            drops: [0; Reason::COUNT],
        }
    }
}

/// Decides about packets that the kernel does not take, and keeps the sessions.
///
/// The engine is the single writer of the flow table. It has no clock and does no I/O: every call is
/// given the time, which must not go back, and an [`Output`] for frames.
#[derive(Debug)]
pub struct Engine {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) core: Core,
}

/// All of the engine but its configuration, which is lent to it with every call.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) table: Table,
    pub(crate) sessions: Sessions,
    pub(crate) nat: Nat,
    pub(crate) neighbours: Neighbours,
    pub(crate) meters: Meters,
    pub(crate) usage: Usage,
    pub(crate) sources: Sources,
    pub(crate) fragments: Fragments,
    pub(crate) counters: Counters,
    /// Sessions by source that count against a limit.
    pub(crate) per_source: HashMap<(u16, u32), u32>,
    /// Rate limits of what ports are sent, by interface index.
    pub(crate) limits: HashMap<u32, Bucket>,
    /// Slots of the flow table that await a grace period.
    pub(crate) retired: Vec<u32>,
    pub(crate) sweep: Sweep,
    pub(crate) again: Again,
    pub(crate) watch: Watch,
}

/// What becomes of a frame that is not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was sent on.
    Sent,
    /// It waits: for its first fragment or its next hop's address.
    Held,
    /// It was for us: it was answered, or taken note of.
    Answered,
}

/// Where and when a frame came in, for the functions that deal with it.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub port: &'a Port,
    pub now: Time,
}

impl Arrival<'_> {
    pub fn zone(&self) -> u16 {
        self.port.link.zone
    }

    pub fn from(&self) -> From {
        From::of(self.port.owner)
    }
}

impl Engine {
    /// Deals with a frame.
    pub fn frame(&mut self, input: Input<'_>, now: Time, out: &mut impl Output) {
        self.core.frame(&self.snapshot, input, now, out);
        self.core.send_records(out);
    }

    /// A hint that these frames come soon, each with the index of its interface. What they will need of the flow table is
    /// fetched from memory, while the frames before them are dealt with.
    pub fn expect<'a>(&self, frames: impl Iterator<Item = (u32, &'a [u8])>) {
        // A small table is in the processor's caches.
        if self.core.table.len() < FETCHED {
            return;
        }
        for (ifindex, frame) in frames {
            if let Some(&port) = self.snapshot.by_ifindex.get(&ifindex)
                && let Some(key) = header::key_of(frame, self.snapshot.ports[port].link.zone)
            {
                self.core.table.prefetch(&key);
            }
        }
    }

    /// The memory that sessions to come will be kept in, as ranges of addresses, always as many: a part of what was set
    /// aside for `max_sessions`, enough for some ten thousand sessions. That it is there is not needed, but who
    /// sees to it before they come saves them the wait for the kernel to find it.
    pub fn room(&self) -> [Range<usize>; 4] {
        let [sessions, slots] = self.core.sessions.room();
        let [mappings, index] = self.core.nat.room();
        [sessions, slots, mappings, index]
    }

    /// Slots of the flow table that no lookup finds any more. They may be [released](Engine::release)
    /// when every kernel program that was running now has ended.
    pub fn take_retired(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.core.retired)
    }

    /// Makes retired slots usable again.
    pub fn release(&mut self, slots: &[u32]) {
        for &slot in slots {
            self.core.settle(slot);
            self.core.table.release(slot);
        }
    }
}

impl Core {
    fn frame(&mut self, s: &Snapshot, input: Input<'_>, now: Time, out: &mut impl Output) {
        self.counters.packets += 1;
        let Some(&port) = s.by_ifindex.get(&input.ifindex) else {
            return self.account(Err(Reason::NotForUs));
        };
        let at = Arrival {
            port: &s.ports[port],
            now,
        };
        let result = match wire::ethertype(input.frame) {
            Some(ETHERTYPE_IPV4) => self.ipv4(s, at, input.frame, input.offload, out),
            Some(ETHERTYPE_ARP) => self.arp(s, at, input.frame, out),
            Some(_) => Err(Reason::NotIpv4),
            None => Err(Reason::Malformed),
        };
        self.account(result);
    }

    /// The session that packets with this key belong to, and which way they go.
    pub(crate) fn find(&self, key: &Key) -> Option<(SessionIx, Way)> {
        self.sessions.find(&self.table, key)
    }

    /// Counts a frame under what became of it.
    pub(crate) fn account(&mut self, result: Result<Fate, Reason>) {
        match result {
            Ok(Fate::Sent) => self.counters.forwarded += 1,
            Ok(Fate::Held) => {}
            Ok(Fate::Answered) => self.counters.answered += 1,
            Err(reason) => self.counters.drops[reason as usize] += 1,
        }
    }
}
