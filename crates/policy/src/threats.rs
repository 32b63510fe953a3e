//! What is known to be bad: addresses, networks and domains, by category.

use crate::intervals::{Intervals, Prefix, cut};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use ipnet::Ipv4Net;
use std::fmt;
use std::hash::BuildHasher;
use std::net::Ipv4Addr;

/// Something that is known to be bad.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Indicator {
    /// An address, or a network of them.
    Net(Ipv4Net),
    /// A name and all names below it, in the form of [`model::domain::normalise`].
    Domain(String),
    /// A name alone, as hosts files mean it.
    Host(String),
}

/// Indicators that can be asked. Immutable: a list that has changed is built anew and takes the old one's place.
#[derive(Default)]
pub struct Threats {
    /// Names of categories, and whether there are domains of them.
    categories: Vec<(Box<str>, bool)>,
    addresses: Option<(Intervals, Vec<u16>)>,
    names: Names,
    len: usize,
}

/// Stands for no category.
const NONE: u16 = u16::MAX;

impl Threats {
    /// Takes indicators and their categories. Where several know an address, the narrowest network says the category;
    /// of equal indicators the first does. There are no more than 65,535 categories: what has another is left out.
    pub fn new<C: AsRef<str>>(indicators: impl IntoIterator<Item = (Indicator, C)>) -> Threats {
        let mut threats = Threats::default();
        let mut places: HashMap<Box<str>, u16> = HashMap::new();
        let mut nets = Vec::new();
        for (indicator, category) in indicators {
            let category = category.as_ref();
            let place = match places.get(category) {
                Some(&place) => place,
                None if places.len() == usize::from(NONE) => continue,
                None => {
                    let place = places.len() as u16;
                    places.insert(category.into(), place);
                    threats.categories.push((category.into(), false));
                    place
                }
            };
            if !matches!(indicator, Indicator::Net(_)) {
                threats.categories[usize::from(place)].1 = true;
            }
            match indicator {
                Indicator::Net(net) => nets.push(Prefix {
                    start: net.network().into(),
                    len: net.prefix_len(),
                    value: place,
                }),
                Indicator::Domain(name) => threats.names.insert(&name, true, place),
                Indicator::Host(name) => threats.names.insert(&name, false, place),
            }
        }
        threats.len = nets.len() + threats.names.table.len();
        if !nets.is_empty() {
            threats.addresses = Some(cut(nets, NONE, |_, same| same[0].value));
        }
        threats.names.shrink();
        threats
    }

    /// The category of an address, if it is known to be bad.
    pub fn find_address(&self, address: Ipv4Addr) -> Option<&str> {
        let (intervals, values) = self.addresses.as_ref()?;
        self.category(values[intervals.find(address.into())])
    }

    /// The category of a name, if it or a name above it is known to be bad. The name is in the form of
    /// [`model::domain::normalise`].
    pub fn find_domain(&self, name: &str) -> Option<&str> {
        self.category(self.names.find(name)?)
    }

    /// Whether there are domains of a category.
    pub fn has_domains(&self, category: &str) -> bool {
        let mut all = self.categories.iter();
        all.any(|it| it.1 && *it.0 == *category)
    }

    /// How many indicators there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The categories that there are indicators of.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.iter().map(|it| &*it.0)
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        let addresses = self.addresses.as_ref().map_or(0, |(intervals, values)| {
            intervals.bytes() + 2 * values.capacity()
        });
        addresses + self.names.bytes()
    }

    fn category(&self, place: u16) -> Option<&str> {
        self.categories.get(usize::from(place)).map(|it| &*it.0)
    }
}

impl fmt::Debug for Threats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threats({} indicators)", self.len)
    }
}

/// Names, one behind the other in one block, and a table of where each is: half the memory of a map of strings.
#[derive(Default)]
struct Names {
    /// Of each: length, category (two bytes), whether names below it are meant, the name.
    block: Vec<u8>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

struct Entry<'a> {
    name: &'a [u8],
    category: u16,
    below: bool,
}

fn entry(block: &[u8], at: u32) -> Entry<'_> {
    let entry = &block[at as usize..];
    Entry {
        name: &entry[4..4 + usize::from(entry[0])],
        category: u16::from_le_bytes([entry[1], entry[2]]),
        below: entry[3] != 0,
    }
}

impl Names {
    /// Takes a name; of one that is there already, all that is meant by either. What is longer than a name may be, and
    /// what does not fit into four gigabytes, is left out.
    fn insert(&mut self, name: &str, below: bool, category: u16) {
        let (name, at) = (name.as_bytes(), self.block.len());
        let (Ok(len), Ok(place)) = (u8::try_from(name.len()), u32::try_from(at)) else {
            return;
        };
        let Names {
            block,
            table,
            hasher,
        } = self;
        let hash = hasher.hash_one(name);
        if let Some(&at) = table.find(hash, |&at| entry(block, at).name == name) {
            block[at as usize + 3] |= u8::from(below);
            return;
        }
        let [low, high] = category.to_le_bytes();
        block.extend([len, low, high, u8::from(below)]);
        block.extend(name);
        table.insert_unique(hash, place, |&at| hasher.hash_one(entry(block, at).name));
    }

    fn find(&self, name: &str) -> Option<u16> {
        if self.table.is_empty() {
            return None;
        }
        let mut rest = name;
        loop {
            let bytes = rest.as_bytes();
            let hash = self.hasher.hash_one(bytes);
            let found = self
                .table
                .find(hash, |&at| entry(&self.block, at).name == bytes)
                .map(|&at| entry(&self.block, at))
                .filter(|it| it.below || rest.len() == name.len());
            if let Some(found) = found {
                return Some(found.category);
            }
            rest = rest.split_once('.')?.1;
        }
    }

    fn shrink(&mut self) {
        let Names {
            block,
            table,
            hasher,
        } = self;
        block.shrink_to_fit();
        table.shrink_to_fit(|&at| hasher.hash_one(entry(block, at).name));
    }

    fn bytes(&self) -> usize {
        self.block.capacity() + self.table.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_network_says_the_category() {
        let net = |text: &str| Indicator::Net(text.parse().unwrap());
        let threats = Threats::new([
            (net("192.0.2.0/24"), "wide"),
            (net("192.0.2.7/32"), "narrow"),
            (net("192.0.2.7/32"), "late"),
        ]);
        let find = |text: &str| threats.find_address(text.parse().unwrap());
        assert_eq!(find("192.0.2.6"), Some("wide"));
        assert_eq!(find("192.0.2.7"), Some("narrow"));
        assert_eq!(find("192.0.2.8"), Some("wide"));
        assert_eq!(find("192.0.3.7"), None);
        assert_eq!(threats.len(), 3);
    }

    #[test]
    fn a_domain_is_all_below_it_and_a_host_is_not() {
        let threats = Threats::new([
            (Indicator::Domain("bad.test".into()), "a"),
            (Indicator::Host("www.shared.test".into()), "b"),
            (Indicator::Host("twice.test".into()), "c"),
            (Indicator::Domain("twice.test".into()), "d"),
        ]);
        assert_eq!(threats.find_domain("bad.test"), Some("a"));
        assert_eq!(threats.find_domain("x.y.bad.test"), Some("a"));
        assert_eq!(threats.find_domain("notbad.test"), None);
        assert_eq!(threats.find_domain("www.shared.test"), Some("b"));
        assert_eq!(threats.find_domain("a.www.shared.test"), None);
        assert_eq!(threats.find_domain("shared.test"), None);
        assert_eq!(threats.find_domain("a.twice.test"), Some("c"));
        assert_eq!(Threats::default().find_domain("bad.test"), None);
    }
}
