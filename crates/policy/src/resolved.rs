//! What names stand for, as our own resolver found it.

use hashbrown::HashMap;
use std::net::Ipv4Addr;

/// Names and their addresses, both ways. Immutable: built anew after each resolution.
#[derive(Debug, Default)]
pub struct Resolved {
    names: HashMap<Box<str>, Box<[Ipv4Addr]>>,
    /// By address: its names.
    addresses: HashMap<Ipv4Addr, Vec<Box<str>>>,
}

impl Resolved {
    /// Takes names in the form of [`model::domain::normalise`] with the addresses that they stand for. Of a name that is
    /// given twice, the later counts.
    pub fn new(found: impl IntoIterator<Item = (String, Vec<Ipv4Addr>)>) -> Resolved {
        let mut resolved = Resolved::default();
        for (name, mut addresses) in found {
            addresses.sort_unstable();
            addresses.dedup();
            resolved.names.insert(name.into(), addresses.into());
        }
        for (name, addresses) in &resolved.names {
            for address in addresses {
                let names = resolved.addresses.entry(*address).or_default();
                names.push(name.clone());
            }
        }
        for names in resolved.addresses.values_mut() {
            names.sort_unstable();
        }
        resolved
    }

    /// What a name stands for, if it was found; empty if it was found to stand for nothing.
    pub fn addresses(&self, name: &str) -> Option<&[Ipv4Addr]> {
        self.names.get(name).map(|it| &**it)
    }

    /// Gives `each` every name that an address stands for.
    pub fn names(&self, address: Ipv4Addr, each: &mut dyn FnMut(&str)) {
        for name in self.addresses.get(&address).into_iter().flatten() {
            each(name);
        }
    }
}
