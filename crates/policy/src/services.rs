//! Cloud services: which of them an address belongs to.

use crate::intervals::{Intervals, Prefix, cut};
use hashbrown::HashMap;
use ipnet::Ipv4Net;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The networks of cloud services, by their address books. Immutable: when a list has changed, it is built anew and takes the
/// old one's place.
#[derive(Default)]
pub struct CloudServices {
    books: Vec<(Box<str>, Arc<[Ipv4Net]>)>,
    table: Option<Table>,
}

/// Services may have addresses in common, so that an interval has a set of them.
struct Table {
    intervals: Intervals,
    /// Of each interval: which of the sets.
    values: Vec<u32>,
    /// Places of books; the first set is empty.
    sets: Vec<Box<[u32]>>,
}

impl CloudServices {
    /// Takes address books, each with the networks of its service. A book is given once.
    pub fn new<B: AsRef<str>>(
        services: impl IntoIterator<Item = (B, Vec<Ipv4Net>)>,
    ) -> CloudServices {
        let mut books = Vec::new();
        let mut nets = Vec::new();
        for (book, list) in services {
            let value = books.len() as u32;
            let list: Arc<[Ipv4Net]> = Ipv4Net::aggregate(&list).into();
            nets.extend(list.iter().map(|net| Prefix {
                start: net.network().into(),
                len: net.prefix_len(),
                value,
            }));
            books.push((book.as_ref().into(), list));
        }
        let table = (!nets.is_empty()).then(|| Table::new(nets));
        CloudServices { books, table }
    }

    /// Gives `each` the books that have an address.
    pub fn find(&self, address: Ipv4Addr, each: &mut dyn FnMut(&str)) {
        let Some(table) = &self.table else { return };
        let interval = table.intervals.find(address.into());
        for place in &table.sets[table.values[interval] as usize] {
            each(&self.books[*place as usize].0);
        }
    }

    /// The networks of a book, the fewest that are its addresses, ascending; none of a book that is not known.
    pub fn networks(&self, book: &str) -> Arc<[Ipv4Net]> {
        let known = self.books.iter().find(|(it, _)| **it == *book);
        known.map(|(_, list)| Arc::clone(list)).unwrap_or_default()
    }
}

impl Table {
    fn new(nets: Vec<Prefix<u32>>) -> Table {
        let mut sets: Vec<Box<[u32]>> = vec![Box::default()];
        let mut known: HashMap<Box<[u32]>, u32> = HashMap::new();
        let (intervals, values) = cut(nets, 0, |around, same| {
            let mut set = sets[around as usize].to_vec();
            set.extend(same.iter().map(|it| it.value));
            set.sort_unstable();
            set.dedup();
            let set: Box<[u32]> = set.into();
            *known.entry(set).or_insert_with_key(|set| {
                sets.push(set.clone());
                sets.len() as u32 - 1
            })
        });
        Table {
            intervals,
            values,
            sets,
        }
    }
}

impl fmt::Debug for CloudServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudServices({} books)", self.books.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<Ipv4Net> {
        list.iter().map(|it| it.parse().unwrap()).collect()
    }

    #[test]
    fn an_address_belongs_to_every_service_that_has_it() {
        let services = CloudServices::new([
            ("all", nets(&["192.0.2.0/24", "198.51.100.0/25"])),
            ("storage", nets(&["192.0.2.64/26", "192.0.2.64/26"])),
            ("queues", nets(&["192.0.2.64/27", "203.0.113.9/32"])),
            ("none", nets(&[])),
        ]);
        let find = |text: &str| {
            let mut found = Vec::new();
            services.find(text.parse().unwrap(), &mut |it| found.push(it.to_owned()));
            found
        };
        assert_eq!(find("192.0.2.63"), ["all"]);
        assert_eq!(find("192.0.2.64"), ["all", "storage", "queues"]);
        assert_eq!(find("192.0.2.96"), ["all", "storage"]);
        assert_eq!(find("192.0.2.128"), ["all"]);
        assert_eq!(find("203.0.113.9"), ["queues"]);
        for outside in ["0.0.0.0", "192.0.3.0", "198.51.100.128", "255.255.255.255"] {
            assert_eq!(find(outside), [""; 0], "{outside}");
        }
        CloudServices::default().find(Ipv4Addr::LOCALHOST, &mut |_| panic!("nothing is known"));
    }

    #[test]
    fn a_book_has_the_fewest_networks_that_are_its_addresses() {
        let given = [
            "192.0.2.128/25",
            "192.0.2.7/32",
            "192.0.2.0/25",
            "10.0.0.0/8",
        ];
        let services = CloudServices::new([("it", nets(&given))]);
        assert_eq!(
            *services.networks("it"),
            nets(&["10.0.0.0/8", "192.0.2.0/24"])[..]
        );
        assert!(services.networks("other").is_empty());
    }
}
