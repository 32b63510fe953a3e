//! Bandwidth limits: whose meters there are, and which ones a session takes from.
//!
//! A limit, of an EIP or of a package, has a pair of meters ([`flow::meter`]), one for each direction. It
//! keeps them as long as it is in the configuration, over restarts too: the meters say whose they are. So
//! neither another rate nor another daemon fills a bucket that was empty.
//!
//! A packet takes from the meter of one EIP: that which it leaves by, else that which it comes to. So what goes
//! from one EIP of the gateway to another counts as outgoing where it comes from, and where that has no limit,
//! as incoming at the other.
//!
//! An EIP of a package has the package's meters, unless it has a limit within the package: then it has its own, and
//! theirs are the parents of these.

use crate::decide::Direction;
use crate::io::Time;
use crate::snapshot::{Limit, LimitIx, Snapshot};
use crate::tuple;
use crate::view::BandwidthView;
use flow::Key;
use flow::meter::{self, Meter};
use flow::reason::Reason;
use hashbrown::HashMap;
use model::{Id, Kind};
use std::sync::atomic::Ordering::Relaxed;

/// Index of a meter. 0 is none.
pub(crate) type MeterIx = u16;

/// Index of a pair of meters, which is half that of its meters. 0 is none.
type PairIx = u16;

/// The meters of a pair: of what comes in by an EIP, and of what goes out.
const IN: MeterIx = 0;
const OUT: MeterIx = 1;

/// The meters, and whose they are.
#[derive(Debug)]
pub(crate) struct Meters {
    memory: &'static [Meter],
    /// The pairs of the snapshot's limits.
    pairs: Vec<PairIx>,
    owners: HashMap<(Kind, Id), PairIx>,
    /// Pairs of an earlier daemon, by the owner that they name.
    found: HashMap<u64, PairIx>,
    /// Pairs whose limits are gone, while sessions may still have them.
    leaving: Vec<PairIx>,
    free: Vec<PairIx>,
}

impl Meters {
    /// Over memory that may be an earlier daemon's.
    pub fn new(memory: &'static [Meter]) -> Meters {
        let mut meters = Meters {
            memory,
            pairs: Vec::new(),
            owners: HashMap::new(),
            found: HashMap::new(),
            leaving: Vec::new(),
            free: Vec::new(),
        };
        let pairs = PairIx::try_from(memory.len() / 2).unwrap_or(PairIx::MAX / 2 + 1);
        for pair in (1..pairs).rev() {
            match meters.both(pair)[0].owner.load(Relaxed) {
                0 => meters.free.push(pair),
                owner => meters.leaving.extend(meters.found.insert(owner, pair)),
            }
        }
        meters
    }

    fn both(&self, pair: PairIx) -> [&'static Meter; 2] {
        let first = pair as usize * 2;
        [&self.memory[first], &self.memory[first + 1]]
    }

    /// Gives every limit of a new configuration its meters and its rate. Those of limits that are gone stay
    /// until [`Meters::settle`].
    pub fn configure(&mut self, s: &Snapshot) {
        let mut before = std::mem::take(&mut self.owners);
        self.pairs.clear();
        for limit in &s.limits {
            let name = (limit.kind, limit.id.clone());
            let word = owner(limit);
            let pair = before
                .remove(&name)
                .or_else(|| self.found.remove(&word))
                .or_else(|| self.free.pop())
                // There are twice as many pairs as a configuration may have limits.
                .unwrap_or(0);
            if pair != 0 {
                // Packages come before their EIPs.
                let within = limit
                    .within
                    .map_or(0, |package| self.pairs[package as usize]);
                for (direction, meter) in (IN..).zip(self.both(pair)) {
                    meter.owner.store(word, Relaxed);
                    meter.set_rate(limit.bandwidth as u64 * 1_000_000);
                    meter.parent.store(index(within, direction).into(), Relaxed);
                }
                self.owners.insert(name, pair);
            }
            self.pairs.push(pair);
        }
        self.leaving.extend(before.into_values());
        self.leaving
            .extend(self.found.drain().map(|(_, pair)| pair));
    }

    /// Whether there are meters for all limits of a new configuration, though those of limits that are gone are not free
    /// yet.
    pub fn have_room(&self, s: &Snapshot) -> bool {
        let new = |it: &&Limit| !self.owners.contains_key(&(it.kind, it.id.clone()));
        self.leaving.is_empty() || s.limits.iter().filter(new).count() <= self.free.len()
    }

    /// No session has the meters of limits that are gone any more.
    pub fn settle(&mut self) {
        for pair in std::mem::take(&mut self.leaving) {
            self.both(pair).into_iter().for_each(Meter::clear);
            self.free.push(pair);
        }
    }

    /// The meters that a session takes from, in both ways.
    pub fn of(&self, s: &Snapshot, direction: Direction, keys: &[Key; 2]) -> [MeterIx; 2] {
        if self.pairs.is_empty() {
            return [0; 2];
        }
        let limit = |address: u32| {
            let eip = *s.by_eip.get(&tuple::ip(address))?;
            s.eip(eip).limit
        };
        let [original, reply] = keys;
        // The EIP that the opener has, and the EIP that it calls.
        let (opener, called) = match direction {
            Direction::Out => (limit(reply.dst), None),
            Direction::In => (None, limit(original.dst)),
            Direction::Hairpin => (limit(reply.dst), limit(original.dst)),
            Direction::Local => (None, None),
        };
        [self.meter(opener, called), self.meter(called, opener)]
    }

    fn meter(&self, leaves: Option<LimitIx>, comes_to: Option<LimitIx>) -> MeterIx {
        let (limit, direction) = match (leaves, comes_to) {
            (Some(limit), _) => (limit, OUT),
            (None, Some(limit)) => (limit, IN),
            (None, None) => return 0,
        };
        index(self.pairs[limit as usize], direction)
    }

    /// Takes a packet, or several in one frame, from a meter and its parent.
    pub fn take(&self, meter: MeterIx, now: Time, packets: u32, bytes: u32) -> Result<(), Reason> {
        let meters = |ix| self.memory.get(ix as usize);
        match meter::take(meters, meter.into(), now.0, packets, bytes) {
            true => Ok(()),
            false => Err(Reason::RateLimit),
        }
    }

    /// The limits, and what did not keep to them.
    pub fn view(&self, s: &Snapshot) -> Vec<BandwidthView> {
        let limits = s.limits.iter().zip(&self.pairs);
        let view = |(limit, &pair): (&Limit, &PairIx)| {
            let both = self.both(pair);
            let packets = both.map(|meter| meter.refused_packets.load(Relaxed));
            let bytes = both.map(|meter| meter.refused_bytes.load(Relaxed));
            BandwidthView {
                kind: limit.kind.to_string(),
                id: limit.id.clone(),
                bandwidth: limit.bandwidth,
                dropped_packets_in: packets[IN as usize],
                dropped_packets_out: packets[OUT as usize],
                dropped_bytes_in: bytes[IN as usize],
                dropped_bytes_out: bytes[OUT as usize],
            }
        };
        limits.map(view).collect()
    }

    /// Checks that every pair is in one place, and says whose it is.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self, s: &Snapshot, settled: bool) {
        assert!(self.found.is_empty() && (!settled || self.leaving.is_empty()));
        let mut pairs: Vec<PairIx> = self.free.clone();
        pairs.extend(self.pairs.iter().chain(&self.leaving));
        pairs.sort_unstable();
        let all = (1..(self.memory.len() / 2) as PairIx).collect::<Vec<_>>();
        assert_eq!(pairs, all);
        assert_eq!(self.pairs.len(), s.limits.len());
        for (limit, &pair) in s.limits.iter().zip(&self.pairs) {
            assert_eq!(self.owners[&(limit.kind, limit.id.clone())], pair);
            let within = limit
                .within
                .map_or(0, |package| self.pairs[package as usize]);
            for (direction, meter) in (IN..).zip(self.both(pair)) {
                assert_eq!(meter.owner.load(Relaxed), owner(limit));
                let parent = u64::from(index(within, direction));
                assert_eq!(meter.parent.load(Relaxed), parent);
            }
        }
    }
}

/// The meter of a pair for a direction.
fn index(pair: PairIx, direction: MeterIx) -> MeterIx {
    match pair {
        0 => 0,
        pair => pair * 2 + direction,
    }
}

/// What a meter says of its owner: FNV-1a of kind and identifier. It finds the meters of an earlier daemon
/// again, and if two owners have the same, one of them begins with new ones.
fn owner(limit: &Limit) -> u64 {
    let kind = [limit.kind as u8];
    let bytes = kind.iter().chain(limit.id.as_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
    });
    hash.max(1)
}
