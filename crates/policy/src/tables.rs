//! From what a session has to the policies that mean it: addresses, ports, names.

use crate::chain::{Builder, ChainId, Chains, Found, Meant, NOTHING};
use crate::intervals::{Intervals, Prefix, cut};
use hashbrown::{DefaultHashBuilder, HashMap};
use ipnet::Ipv4Net;
use model::domain::Pattern;
use std::hash::BuildHasher;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// Policies by addresses.
#[derive(Debug)]
pub(crate) struct Addresses {
    intervals: Intervals,
    chains: Vec<ChainId>,
}

/// Networks and the policies that mean them, before they are made a table.
pub(crate) type Nets = Vec<Prefix<Meant>>;

/// The addresses of a network.
pub(crate) fn net(net: Ipv4Net, value: Meant) -> Prefix<Meant> {
    Prefix {
        start: net.network().into(),
        len: net.prefix_len(),
        value,
    }
}

impl Addresses {
    /// Makes a table of networks.
    pub fn new(nets: Nets, builder: &mut Builder) -> Addresses {
        let nest = |around, same: &[Prefix<Meant>]| {
            builder.nest(around, same.iter().map(|prefix| prefix.value))
        };
        let (intervals, chains) = cut(nets, NOTHING, nest);
        Addresses { intervals, chains }
    }

    /// What holds at an address.
    pub fn find(&self, address: Ipv4Addr) -> ChainId {
        self.chains[self.intervals.find(address.into())]
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.intervals.bytes() + self.chains.capacity() * size_of::<ChainId>()
    }
}

/// Policies by ports.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Those that mean all, and what has no ports.
    any: ChainId,
    intervals: Intervals,
    chains: Vec<ChainId>,
}

impl Ports {
    /// Makes a table of ranges, with the places of the policies that mean all ports.
    pub fn new(
        any: &[u32],
        ranges: &[(RangeInclusive<u16>, Meant)],
        builder: &mut Builder,
    ) -> Ports {
        let any = builder.with(NOTHING, any);
        let prefixes = ranges.iter().flat_map(|(range, value)| {
            prefixes(range.clone()).map(|(start, len)| Prefix {
                start: u32::from(start) << 16,
                len,
                value: *value,
            })
        });
        let nest = |around, same: &[Prefix<Meant>]| {
            builder.nest(around, same.iter().map(|prefix| prefix.value))
        };
        let (intervals, chains) = cut(prefixes.collect(), any, nest);
        Ports {
            any,
            intervals,
            chains,
        }
    }

    /// What holds at a port.
    pub fn find(&self, port: Option<u16>) -> ChainId {
        match port {
            None => self.any,
            Some(port) => self.chains[self.intervals.find(u32::from(port) << 16)],
        }
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.intervals.bytes() + self.chains.capacity() * size_of::<ChainId>()
    }
}

/// A range as numbers that begin with the same bits: the first of them, and how many bits.
fn prefixes(range: RangeInclusive<u16>) -> impl Iterator<Item = (u16, u8)> {
    let (mut at, end) = (u32::from(*range.start()), u32::from(*range.end()));
    std::iter::from_fn(move || {
        if at > end {
            return None;
        }
        // As many as may begin here, and are left.
        let fits = (end - at + 1).ilog2().min(at.trailing_zeros()).min(16);
        let prefix = (at as u16, 16 - fits as u8);
        at += 1 << fits;
        Some(prefix)
    })
}

/// Policies by names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<Box<str>, ChainId>,
    below: HashMap<Box<str>, ChainId>,
    /// How many labels the names in `below` have: the bits of those numbers.
    depths: u128,
    /// What holds for every name.
    any: Option<ChainId>,
}

/// How many labels a name has: at most 127, which is what 253 bytes have room for.
fn labels(name: &str) -> u32 {
    let dots = name.bytes().filter(|&byte| byte == b'.').count();
    (dots as u32 + 1).min(127)
}

impl Names {
    /// Makes a table of patterns.
    pub fn new(patterns: &[(&Pattern, Meant)], builder: &mut Builder) -> Names {
        let hasher = DefaultHashBuilder::default();
        // Those above before those below them. Equal ones stand together, and are told by their hashes before their texts.
        let mut sorted: Vec<(u32, u64, &Pattern, Meant)> = Vec::with_capacity(patterns.len());
        for &(pattern, meant) in patterns {
            let depth = match pattern {
                Pattern::Any => 0,
                Pattern::Exact(name) | Pattern::Below(name) => labels(name),
            };
            sorted.push((depth, hasher.hash_one(pattern), pattern, meant));
        }
        sorted.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
        let mut names = Names::default();
        for same in sorted.chunk_by(|a, b| a.2 == b.2) {
            let meant = same.iter().map(|it| it.3);
            match same[0].2 {
                Pattern::Any => names.any = Some(builder.nest(NOTHING, meant)),
                Pattern::Exact(name) => {
                    let chain = builder.nest(names.above(name), meant);
                    names.exact.insert(name.as_str().into(), chain);
                }
                Pattern::Below(name) => {
                    let chain = builder.nest(names.above(name), meant);
                    names.below.insert(name.as_str().into(), chain);
                    names.depths |= 1 << labels(name);
                }
            }
        }
        names
    }

    /// What holds for a name.
    pub fn find(&self, name: &str) -> ChainId {
        match self.exact.get(name) {
            Some(&chain) => chain,
            None => self.above(name),
        }
    }

    /// What the patterns of names above this one say.
    fn above(&self, name: &str) -> ChainId {
        let mut rest = name;
        if self.depths != 0 {
            let mut depth = labels(name);
            while let Some((_, above)) = rest.split_once('.') {
                (rest, depth) = (above, depth.saturating_sub(1));
                if self.depths >> depth & 1 == 1
                    && let Some(&chain) = self.below.get(rest)
                {
                    return chain;
                }
            }
        }
        self.any.unwrap_or(NOTHING)
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.is_none()
    }

    /// Whether a name is among the exact ones.
    pub fn has_exact(&self, name: &str) -> bool {
        self.exact.contains_key(name)
    }

    /// The exact names, in no order.
    pub fn exact(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(|name| &**name)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        let names = self.exact.keys().chain(self.below.keys());
        let texts: usize = names.map(|name| name.len()).sum();
        texts + self.exact.allocation_size() + self.below.allocation_size()
    }
}

/// Policies by words: codes of locations, categories of threats.
#[derive(Debug, Default)]
pub(crate) struct Words(HashMap<Box<str>, ChainId>);

impl Words {
    /// Makes a table of words and the places of the policies that mean them.
    pub fn new(meant: HashMap<&str, Vec<u32>>, builder: &mut Builder) -> Words {
        let chains = meant.into_iter().map(|(word, mut places)| {
            places.dedup();
            (word.into(), builder.with(NOTHING, &places))
        });
        Words(chains.collect())
    }

    /// Adds what holds for a word to what was found.
    pub fn collect(&self, word: &str, chains: &Chains, found: &mut Found) {
        if let Some(&chain) = self.0.get(word) {
            chains.collect(chain, found);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|word| &**word)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.0.keys().map(|word| word.len()).sum::<usize>() + self.0.allocation_size()
    }
}
