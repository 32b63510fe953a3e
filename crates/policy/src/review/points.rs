//! Which policies mean a session, by its addresses, its protocol and its port: all of them, in their order.

use crate::chain::{Builder, ChainId, Chains, Found};
use crate::draft::{Books, Draft, Tables};
use crate::sets::{Query, Sets};
use model::{AddressBook, ControlPolicy};
use std::sync::Arc;

/// A session without a name or an application.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub source: u32,
    pub destination: u32,
    pub protocol: u8,
    pub port: Option<u16>,
}

/// Policies by the sessions that they mean. Those that look at names, locations or threats are not among those found.
pub(super) struct Points {
    tables: Tables,
    sets: Sets,
    chains: Chains,
}

/// What the sets may take; see [`crate::chain`].
const BUDGET: usize = 64 << 20;

impl Points {
    /// Of the policies that count.
    pub fn new(
        policies: &[Arc<ControlPolicy>],
        books: &[AddressBook],
        counts: impl Fn(usize) -> bool,
    ) -> Points {
        let books: Books = books.iter().map(|it| (&it.id, &*it.content)).collect();
        let mut draft = Draft::default();
        for (place, policy) in policies.iter().enumerate() {
            if counts(place) {
                draft.add(place as u32, policy, &books);
            }
        }
        let mut builder = Builder::new(policies.len(), BUDGET);
        let tables = draft.finish(&books, &mut builder);
        let (sets, chains) = builder.finish();
        Points {
            tables,
            sets,
            chains,
        }
    }

    /// The policies before a place that mean a session, in their order.
    pub fn at(&self, point: Point, before: usize) -> impl Iterator<Item = usize> + '_ {
        let found = |chain: ChainId| {
            let mut found = Found::new();
            self.chains.collect(chain, &mut found);
            found
        };
        let tables = &self.tables;
        let sides = [
            (&tables.source, point.source),
            (&tables.destination, point.destination),
        ];
        let [sources, destinations] = sides.map(|(side, it)| found(side.addresses.find(it.into())));
        let ports = found(tables.ports.find(point.port));
        let protocol = [tables.protocols[usize::from(point.protocol)]];
        let mut from = 0;
        std::iter::from_fn(move || {
            let query = Query {
                in_one: [&sources, &destinations, &ports],
                in_all: &protocol,
                valid: None,
                kept: None,
                before: before as u32,
            };
            let place = self.sets.next(&query, from)?;
            from = place + 1;
            Some(place as usize)
        })
    }
}
