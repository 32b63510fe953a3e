//! Sets of places in a list of policies, and the first place that is in several of them.
//!
//! A set is a bitmap in blocks of 512 places, one cache line each. It names its blocks by way of pages, and both are shared
//! with the set that it was made of: a set that differs from another in one place costs a block, a page and its own
//! directory, however many places they have in common. Blocks without places are passed over by masks of those that
//! have some, and a block costs a few vector instructions: 10,000 policies are 20 blocks at most.

/// 512 places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Block([u64; 8]);

/// Places in a block.
const BLOCK: u32 = 512;
/// Blocks in a page.
const PAGE: usize = 16;
/// Places in a page.
const PAGE_PLACES: u32 = BLOCK * PAGE as u32;

impl Block {
    fn and(&mut self, other: &Block) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word &= other;
        }
    }

    fn or(&mut self, other: &Block) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other;
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    fn insert(&mut self, place: u32) {
        self.0[(place % BLOCK / 64) as usize] |= 1 << (place % 64);
    }

    fn remove(&mut self, place: u32) {
        self.0[(place % BLOCK / 64) as usize] &= !(1 << (place % 64));
    }

    fn has(&self, place: u32) -> bool {
        self.0[(place % BLOCK / 64) as usize] >> (place % 64) & 1 == 1
    }

    /// Takes out what is before a place within.
    fn keep_from(&mut self, within: u32) {
        for (n, word) in self.0.iter_mut().enumerate() {
            let before = within.saturating_sub(n as u32 * 64);
            *word &= u64::MAX.checked_shl(before).unwrap_or(0);
        }
    }

    fn first(&self) -> Option<u32> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some(word as u32 * 64 + self.0[word].trailing_zeros())
    }
}

/// Places as plain blocks, for a set that changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain(Vec<Block>);

impl Plain {
    /// Empty, for places below `len`.
    pub fn new(len: usize) -> Plain {
        Plain(vec![Block::default(); len.div_ceil(BLOCK as usize)])
    }

    /// With all places below `len`.
    pub fn full(len: usize) -> Plain {
        let mut plain = Plain(vec![Block([u64::MAX; 8]); len.div_ceil(BLOCK as usize)]);
        if let Some(last) = plain.0.last_mut() {
            let beyond = len as u32..(len as u32).next_multiple_of(BLOCK);
            beyond.for_each(|place| last.remove(place));
        }
        plain
    }

    /// Takes a place in.
    pub fn insert(&mut self, place: u32) {
        self.0[(place / BLOCK) as usize].insert(place);
    }

    /// Takes a place out.
    pub fn remove(&mut self, place: u32) {
        self.0[(place / BLOCK) as usize].remove(place);
    }

    /// Whether a place is in it.
    pub fn has(&self, place: u32) -> bool {
        self.0[(place / BLOCK) as usize].has(place)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Block>()
    }
}

/// Names a set of [`Sets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SetId(u32);

/// The set without places.
pub(crate) const EMPTY: SetId = SetId(0);

/// A page of a set, and which of its blocks have places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PageRef {
    page: u32,
    mask: u32,
}

/// The sets of a list of policies.
#[derive(Debug)]
pub(crate) struct Sets {
    /// How many pages a set has.
    pages_each: usize,
    /// The pages of the sets, one set after the other.
    directory: Vec<PageRef>,
    /// The blocks of each page; the first page has none.
    pages: Vec<[u32; PAGE]>,
    /// The first block is empty.
    blocks: Vec<Block>,
}

/// Which places are looked for.
pub(crate) struct Query<'a> {
    /// A place is in one set of each of these...
    pub in_one: [&'a [SetId]; 3],
    /// ... and in all of these...
    pub in_all: &'a [SetId],
    /// ... and in these, if given...
    pub valid: Option<&'a Plain>,
    pub kept: Option<&'a Plain>,
    /// ... and below this.
    pub before: u32,
}

impl Sets {
    /// Sets of places below `len`: there is the empty one.
    pub fn new(len: usize) -> Sets {
        let pages_each = len.div_ceil(PAGE_PLACES as usize).max(1);
        Sets {
            pages_each,
            directory: vec![PageRef::default(); pages_each],
            pages: vec![[0; PAGE]],
            blocks: vec![Block::default()],
        }
    }

    /// A set and these places, which ascend.
    pub fn with(&mut self, set: SetId, places: &[u32]) -> SetId {
        if places.is_empty() {
            return set;
        }
        let made = self.copy(set);
        for same in places.chunk_by(|a, b| a / BLOCK == b / BLOCK) {
            let place = same[0];
            let at = made.0 as usize * self.pages_each + (place / PAGE_PLACES) as usize;
            let slot = (place / BLOCK) as usize % PAGE;
            let mut entry = self.directory[at];
            let of_set = set.0 as usize * self.pages_each + (place / PAGE_PLACES) as usize;
            if entry.page == self.directory[of_set].page {
                let page = self.pages[entry.page as usize];
                entry.page = self.pages.len() as u32;
                self.pages.push(page);
            }
            let block = &mut self.pages[entry.page as usize][slot];
            let mut places = self.blocks[*block as usize];
            same.iter().for_each(|&place| places.insert(place));
            *block = self.blocks.len() as u32;
            self.blocks.push(places);
            entry.mask |= 1 << slot;
            self.directory[at] = entry;
        }
        made
    }

    /// The places that are in either set.
    pub fn union(&mut self, a: SetId, b: SetId) -> SetId {
        if a == b || b == EMPTY {
            return a;
        }
        if a == EMPTY {
            return b;
        }
        let (from_a, from_b) = (
            a.0 as usize * self.pages_each,
            b.0 as usize * self.pages_each,
        );
        let made = self.directory.len();
        for n in 0..self.pages_each {
            let (a, b) = (self.directory[from_a + n], self.directory[from_b + n]);
            let joined = self.join_pages(a, b);
            self.directory.push(joined);
        }
        // What adds nothing is what it was.
        for set in [a, b] {
            let from = set.0 as usize * self.pages_each;
            if self.directory[from..from + self.pages_each] == self.directory[made..] {
                self.directory.truncate(made);
                return set;
            }
        }
        SetId((made / self.pages_each) as u32)
    }

    /// How many blocks have places of both sets: as many as a union may have to make.
    pub fn shared_blocks(&self, a: SetId, b: SetId) -> u32 {
        let pages = (0..self.pages_each).map(|page| (self.entry(a, page), self.entry(b, page)));
        let pages = pages.filter(|(a, b)| a.page != b.page);
        pages.map(|(a, b)| (a.mask & b.mask).count_ones()).sum()
    }

    fn join_pages(&mut self, a: PageRef, b: PageRef) -> PageRef {
        if a.page == b.page || b.mask == 0 {
            return a;
        }
        if a.mask == 0 {
            return b;
        }
        let (of_a, of_b) = (self.pages[a.page as usize], self.pages[b.page as usize]);
        let mut joined = [0; PAGE];
        for (slot, block) in joined.iter_mut().enumerate() {
            let (a, b) = (of_a[slot], of_b[slot]);
            *block = match (a, b) {
                (a, 0) => a,
                (0, b) => b,
                (a, b) if a == b => a,
                (a, b) => {
                    let (of_a, of_b) = (self.blocks[a as usize], self.blocks[b as usize]);
                    let mut both = of_a;
                    both.or(&of_b);
                    match both {
                        both if both == of_a => a,
                        both if both == of_b => b,
                        both => {
                            self.blocks.push(both);
                            self.blocks.len() as u32 - 1
                        }
                    }
                }
            };
        }
        let page = match joined {
            joined if joined == of_a => a.page,
            joined if joined == of_b => b.page,
            joined => {
                self.pages.push(joined);
                self.pages.len() as u32 - 1
            }
        };
        PageRef {
            page,
            mask: a.mask | b.mask,
        }
    }

    fn copy(&mut self, set: SetId) -> SetId {
        let made = SetId((self.directory.len() / self.pages_each) as u32);
        let from = set.0 as usize * self.pages_each;
        self.directory
            .extend_from_within(from..from + self.pages_each);
        made
    }

    /// Whether a place is in a set.
    pub fn has(&self, set: SetId, place: u32) -> bool {
        let (page, slot) = (place / PAGE_PLACES, place / BLOCK % PAGE as u32);
        self.block(set, page as usize, slot as usize).has(place)
    }

    /// The first place that is looked for.
    pub fn first(&self, query: &Query) -> Option<u32> {
        self.search(query, 0)
    }

    /// The first place from `from` on that is looked for.
    pub fn next(&self, query: &Query, from: u32) -> Option<u32> {
        self.search(query, from)
    }

    #[inline(always)]
    fn search(&self, query: &Query, from: u32) -> Option<u32> {
        for page in (from / PAGE_PLACES) as usize..self.pages_each {
            let first = page as u32 * PAGE_PLACES;
            if first >= query.before {
                break;
            }
            let mut mask = u32::MAX;
            for sets in query.in_one {
                let masks = sets.iter().map(|set| self.entry(*set, page).mask);
                mask &= masks.fold(0, |all, mask| all | mask);
            }
            for set in query.in_all {
                mask &= self.entry(*set, page).mask;
            }
            if mask == 0 {
                continue;
            }
            let [sources, destinations, ports] = query.in_one;
            while mask != 0 {
                let slot = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let first = first + slot as u32 * BLOCK;
                if first >= query.before {
                    break;
                }
                if first + (BLOCK - 1) < from {
                    continue;
                }
                let mut places = self.one_of(destinations, page, slot);
                places.and(&self.one_of(sources, page, slot));
                if places.is_empty() {
                    continue;
                }
                places.and(&self.one_of(ports, page, slot));
                for set in query.in_all {
                    places.and(self.block(*set, page, slot));
                }
                for plain in [query.valid, query.kept].into_iter().flatten() {
                    places.and(&plain.0[page * PAGE + slot]);
                }
                if first < from {
                    places.keep_from(from - first);
                }
                if let Some(within) = places.first() {
                    return Some(first + within).filter(|&place| place < query.before);
                }
            }
        }
        None
    }

    fn one_of(&self, sets: &[SetId], page: usize, slot: usize) -> Block {
        let Some((first, rest)) = sets.split_first() else {
            return Block::default();
        };
        let mut places = *self.block(*first, page, slot);
        for set in rest {
            places.or(self.block(*set, page, slot));
        }
        places
    }

    fn block(&self, set: SetId, page: usize, slot: usize) -> &Block {
        let page = self.entry(set, page).page;
        &self.blocks[self.pages[page as usize][slot] as usize]
    }

    fn entry(&self, set: SetId, page: usize) -> PageRef {
        self.directory[set.0 as usize * self.pages_each + page]
    }

    /// Lets go the memory that building took beyond what is needed.
    pub fn shrink(&mut self) {
        self.directory.shrink_to_fit();
        self.pages.shrink_to_fit();
        self.blocks.shrink_to_fit();
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.directory.len() * size_of::<PageRef>()
            + self.pages.len() * size_of::<[u32; PAGE]>()
            + self.blocks.len() * size_of::<Block>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const LEN: u32 = 2 * PAGE_PLACES + 700;

    fn places() -> impl Strategy<Value = BTreeSet<u32>> {
        let near = (0..LEN / 100).prop_map(|n| n * 100);
        proptest::collection::btree_set(prop_oneof![near, 0u32..1_500, 0..LEN], 0..60)
    }

    fn make(sets: &mut Sets, places: &BTreeSet<u32>) -> SetId {
        let places: Vec<u32> = places.iter().copied().collect();
        sets.with(EMPTY, &places)
    }

    fn read(sets: &Sets, set: SetId) -> BTreeSet<u32> {
        let mut places = BTreeSet::new();
        for page in 0..sets.pages_each {
            for slot in 0..PAGE {
                let entry = sets.entry(set, page);
                let block = sets.blocks[sets.pages[entry.page as usize][slot] as usize];
                let masked = entry.mask >> slot & 1 == 1;
                assert_eq!(masked, !block.is_empty());
                let first = page as u32 * PAGE_PLACES + slot as u32 * BLOCK;
                let within = (0..BLOCK).filter(|n| block.0[*n as usize / 64] >> (n % 64) & 1 == 1);
                places.extend(within.map(|n| first + n));
            }
        }
        places
    }

    proptest! {
        #[test]
        fn a_set_made_of_others_has_their_places(a in places(), b in places(), c in places()) {
            let mut sets = Sets::new(LEN as usize);
            let (set_a, set_b) = (make(&mut sets, &a), make(&mut sets, &b));
            let both = sets.union(set_a, set_b);
            let more: Vec<u32> = c.iter().copied().collect();
            let all = sets.with(both, &more);
            prop_assert_eq!(read(&sets, set_a), a.clone());
            prop_assert_eq!(read(&sets, set_b), b.clone());
            prop_assert_eq!(read(&sets, both), &a | &b);
            prop_assert_eq!(read(&sets, all), &(&a | &b) | &c);
            let bytes = sets.bytes();
            for (one, other) in [(both, set_a), (both, set_b)] {
                let again = sets.union(one, other);
                prop_assert_eq!(read(&sets, again), &a | &b);
            }
            prop_assert_eq!(sets.bytes(), bytes, "nothing new");
        }

        #[test]
        fn the_first_place_is_found(
            given in proptest::collection::vec(places(), 7), valid in places(), before in prop_oneof![0..LEN, Just(u32::MAX)]
        ) {
            let mut sets = Sets::new(LEN as usize);
            let ids: Vec<SetId> = given.iter().map(|it| make(&mut sets, it)).collect();
            let query = Query { in_one: [&ids[..2], &ids[2..4], &ids[4..6]], in_all: &[], valid: None, kept: None, before };
            let pair = |n: usize| &given[n] | &given[n + 1];
            let expected = &(&pair(0) & &pair(2)) & &pair(4);
            let below = |set: BTreeSet<u32>| set.into_iter().find(|&it| it < before);
            prop_assert_eq!(sets.first(&query), below(expected.clone()));
            let mut from = 0;
            let every = std::iter::from_fn(|| {
                let place = sets.next(&query, from)?;
                from = place + 1;
                Some(place)
            });
            let every: Vec<u32> = every.collect();
            prop_assert_eq!(every, expected.iter().copied().filter(|&it| it < before).collect::<Vec<_>>());
            let all = &expected & &given[6];
            let query = Query { in_all: &ids[6..], ..query };
            prop_assert_eq!(sets.first(&query), below(all.clone()));
            let mut plain = Plain::new(LEN as usize);
            valid.iter().for_each(|&place| plain.insert(place));
            let query = Query { valid: Some(&plain), ..query };
            prop_assert_eq!(sets.first(&query), below(&all & &valid));
        }
    }
}
