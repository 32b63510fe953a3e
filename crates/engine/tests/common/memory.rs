//! The memory that kernel and engine share, given from one test to the next.

use super::world::SEED;
use engine::{Account, Memory};
use flow::Entry;
use flow::abi::Hop;
use flow::meter::Meter;
use flow::table::Table;
use std::cell::RefCell;

/// The memory that kernel and engine share.
#[derive(Clone, Copy)]
pub struct Shared {
    pub entries: &'static [Entry],
    pub hops: &'static [Hop],
    pub meters: &'static [Meter],
    pub accounts: &'static [Account],
}

impl Shared {
    /// It is for other tests now.
    pub fn give_back(self) {
        POOL.with_borrow_mut(|pool| pool.push(self));
    }
}

thread_local! {
    /// Memory of worlds that are gone, for the next ones.
    static POOL: RefCell<Vec<Shared>> = const { RefCell::new(Vec::new()) };
}

/// Memory with so many slots, empty.
pub(super) fn memory(slots: usize) -> Shared {
    let known = POOL.with_borrow_mut(|pool| {
        let at = pool
            .iter()
            .position(|memory| memory.entries.len() == slots)?;
        Some(pool.swap_remove(at))
    });
    let Some(memory) = known else {
        fn cells<T: Default>(count: usize) -> &'static [T] {
            (0..count).map(|_| T::default()).collect::<Vec<T>>().leak()
        }
        return Shared {
            entries: cells(slots),
            hops: cells(64),
            meters: cells(64),
            accounts: cells(64),
        };
    };
    let mut table = Table::new(memory.entries, SEED);
    for (slot, entry) in table.iter() {
        if entry.key().is_some() {
            table.retire(slot);
            table.release(slot);
        }
    }
    memory.hops.iter().for_each(Hop::clear);
    memory.meters.iter().for_each(Meter::clear);
    memory.accounts.iter().for_each(Account::clear);
    memory
}

/// The memory as an engine gets it.
pub(super) fn given(memory: Shared) -> Memory {
    Memory {
        table: Table::new(memory.entries, SEED),
        hops: memory.hops,
        meters: memory.meters,
        accounts: memory.accounts,
    }
}
