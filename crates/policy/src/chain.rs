//! What holds at a number or a name: sets of places, most often one.
//!
//! What a narrow network says is joined with what the networks around it say when policies are compiled, so that a check
//! finds one set. Sets of many policies (those that name a book) stay apart while they are few, and a check joins them:
//! they are hot in the cache where each joined set would be another one, and there may be as many of those as networks.
//! So does everything once sets take more memory than they may.

use crate::sets::{EMPTY, SetId, Sets};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Sets that a check has found: nearly always few.
pub(crate) type Found = SmallVec<[SetId; 16]>;

/// Names a chain of [`Chains`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChainId(u32);

/// The chain without sets.
pub(crate) const NOTHING: ChainId = ChainId(0);

/// Sets one after the other, with what others have in common at their ends.
#[derive(Debug)]
pub(crate) struct Chains {
    links: Vec<(SetId, ChainId)>,
}

impl Chains {
    /// Adds the sets of a chain to those found.
    pub fn collect(&self, mut chain: ChainId, found: &mut Found) {
        while chain != NOTHING {
            let (set, next) = self.links[chain.0 as usize];
            if !found.contains(&set) {
                found.push(set);
            }
            chain = next;
        }
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<(SetId, ChainId)>()
    }
}

/// How many sets with many places stay apart.
const APART: u8 = 16;
/// How many blocks a joined set may take for nothing but that a check has one set less.
const CHEAP: u32 = 2;

/// Joins sets to chains.
pub(crate) struct Builder {
    /// The sets so far.
    pub sets: Sets,
    chains: Chains,
    /// How many sets each chain has, up to 255.
    lengths: Vec<u8>,
    /// From how many bytes on sets are no longer joined.
    budget: usize,
    joined: HashMap<(ChainId, SetId), ChainId>,
}

impl Builder {
    /// For places below `len`. Sets are joined until they take `budget` bytes.
    pub fn new(len: usize, budget: usize) -> Builder {
        Builder {
            sets: Sets::new(len),
            chains: Chains {
                links: vec![(EMPTY, NOTHING)],
            },
            lengths: vec![0],
            budget,
            joined: HashMap::new(),
        }
    }

    /// What holds where a chain holds, and a set too.
    pub fn join(&mut self, chain: ChainId, set: SetId) -> ChainId {
        if set == EMPTY {
            return chain;
        }
        if let Some(&known) = self.joined.get(&(chain, set)) {
            return known;
        }
        let (first, next) = self.chains.links[chain.0 as usize];
        let cheap = self.sets.shared_blocks(first, set) <= CHEAP;
        let apart = !cheap && self.lengths[chain.0 as usize] < APART;
        let joined = if chain == NOTHING || !apart && self.sets.bytes() < self.budget {
            let union = self.sets.union(first, set);
            match union == first {
                true => chain,
                false => self.link(union, next),
            }
        } else {
            self.link(set, chain)
        };
        self.joined.insert((chain, set), joined);
        joined
    }

    /// What holds where a chain holds, and these places, which ascend.
    pub fn with(&mut self, chain: ChainId, places: &[u32]) -> ChainId {
        if places.is_empty() {
            return chain;
        }
        let (first, next) = self.chains.links[chain.0 as usize];
        if chain == NOTHING || self.sets.bytes() < self.budget {
            let more = self.sets.with(first, places);
            self.link(more, next)
        } else {
            let set = self.sets.with(EMPTY, places);
            self.link(set, chain)
        }
    }

    fn link(&mut self, set: SetId, next: ChainId) -> ChainId {
        self.chains.links.push((set, next));
        let length = self.lengths[next.0 as usize].saturating_add(1);
        self.lengths.push(length);
        ChainId(self.chains.links.len() as u32 - 1)
    }

    /// What was built.
    pub fn finish(mut self) -> (Sets, Chains) {
        self.sets.shrink();
        self.chains.links.shrink_to_fit();
        (self.sets, self.chains)
    }
}

/// Places that are meant: of one policy, or of all policies that name a book.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meant {
    /// One policy.
    Place(u32),
    /// Several.
    Set(SetId),
}

impl Builder {
    /// What holds where a chain holds, and all these.
    pub fn nest(&mut self, chain: ChainId, meant: impl Iterator<Item = Meant>) -> ChainId {
        let mut places: SmallVec<[u32; 8]> = SmallVec::new();
        let mut nested = chain;
        for it in meant {
            match it {
                Meant::Place(place) => places.push(place),
                Meant::Set(set) => nested = self.join(nested, set),
            }
        }
        places.sort_unstable();
        places.dedup();
        self.with(nested, &places)
    }
}
