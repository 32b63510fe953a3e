//! The flow table: against a model, full, in collision storms, and with readers at work.

use flow::table::{self, Full, Geometry, MAX_REACH, MIN_SLOTS, Table};
use flow::{Action, Activity, Entry, Key, Seed};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

const SEED: Seed = Seed(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);

fn memory(slots: u32) -> &'static [Entry] {
    Box::leak((0..slots).map(|_| Entry::default()).collect())
}

fn key(n: u32) -> Key {
    Key {
        src: n.wrapping_mul(0x9e37_79b1),
        dst: n,
        sport: n as u16,
        dport: (n >> 8) as u16,
        zone: 3,
        proto: 6,
    }
}

/// An action of which every field tells the key and the generation that it was made for.
fn action(n: u32, generation: u32) -> Action {
    Action {
        src: n,
        dst: generation,
        sport: n as u16,
        dport: generation as u16,
        addr_delta: (n ^ generation) as u16,
        port_delta: (n ^ generation >> 16) as u16,
        hop: (n.wrapping_add(generation)) as u16,
        meter: (n.wrapping_sub(generation)) as u16,
        flags: (n ^ generation) as u8,
    }
}

fn insert(table: &mut Table, n: u32) -> Result<u32, Full> {
    table.insert(&key(n), &action(n, 0), &Activity::default(), 0)
}

/// How many entries a lookup looks at.
fn cost(geometry: &Geometry, entries: &[Entry], key: &Key) -> usize {
    let looks = Cell::new(0);
    table::find(geometry, key, |slot| {
        looks.set(looks.get() + 1);
        entries.get(slot as usize)
    });
    looks.get()
}

#[test]
fn nine_tenths_full() {
    let slots = 1 << 16;
    let entries = memory(slots);
    let mut table = Table::new(entries, SEED);
    let wanted = slots / 10 * 9;
    let mut placed = Vec::new();
    for n in 0..wanted {
        if let Ok(slot) = insert(&mut table, n) {
            placed.push((n, slot));
        }
    }
    assert!(
        placed.len() as u32 >= wanted - 2,
        "{} of {wanted} found room",
        placed.len()
    );
    assert_eq!(table.len(), placed.len() as u32);
    for &(n, slot) in &placed {
        let (found, entry) = table.find(&key(n)).expect("what is in the table is found");
        assert_eq!((found, entry.action()), (slot, action(n, 0)));
    }
    assert!((wanted..2 * wanted).all(|n| table.find(&key(n)).is_none()));

    let looks: usize = placed
        .iter()
        .map(|&(n, _)| cost(table.geometry(), entries, &key(n)))
        .sum();
    let mean = looks as f64 / placed.len() as f64;
    assert!(mean < 6.0, "a hit looks at {mean} entries");

    for (_, slot) in placed {
        table.retire(slot);
        table.release(slot);
    }
    assert!(table.is_empty());
    assert!((0..wanted).all(|n| cost(table.geometry(), entries, &key(n)) == 1));
}

#[test]
fn half_full_most_hits_take_one_pair() {
    let slots = 1 << 16;
    let entries = memory(slots);
    let mut table = Table::new(entries, SEED);
    for n in 0..slots / 2 {
        insert(&mut table, n).unwrap();
    }
    let near = |n: &u32| cost(table.geometry(), entries, &key(*n)) <= 2;
    let near = (0..slots / 2).filter(near).count() as f64 / f64::from(slots / 2);
    assert!(near > 0.85, "{near} of the hits end in the first pair");
}

#[test]
fn storm_on_a_few_homes() {
    let entries = memory(4096);
    let mut table = Table::new(entries, SEED);
    let geometry = *table.geometry();
    let homes = [5, 1000, 1001];
    let stormy: Vec<u32> = (0u32..)
        .filter(|n| homes.contains(&geometry.home(&key(*n))))
        .take(1000)
        .collect();
    let mut inside = HashMap::new();
    let mut refused = 0;
    for &n in &stormy {
        match insert(&mut table, n) {
            Ok(slot) => assert_eq!(inside.insert(n, slot), None),
            Err(Full) => refused += 1,
        }
    }
    // Each home has a sequence of its own, but the sequences of 1000 and 1001 are one.
    let room = u32::from(MAX_REACH) + 1;
    assert!(
        (2 * room - 4..=2 * room).contains(&table.len()),
        "{} have room",
        table.len()
    );
    assert_eq!(refused + inside.len(), stormy.len());
    for n in &stormy {
        let found = table.find(&key(*n)).map(|(slot, _)| slot);
        assert_eq!(found, inside.get(n).copied());
    }

    // A place that becomes free serves the next.
    let (&gone, &slot) = inside.iter().next().unwrap();
    let home = geometry.home(&key(gone));
    let waiting = stormy
        .iter()
        .find(|n| !inside.contains_key(n) && geometry.home(&key(**n)) == home);
    let waiting = *waiting.expect("some were refused at every home");
    assert_eq!(insert(&mut table, waiting), Err(Full));
    table.retire(slot);
    assert_eq!(
        insert(&mut table, waiting),
        Err(Full),
        "a retired slot is not free yet"
    );
    table.release(slot);
    assert_eq!(insert(&mut table, waiting), Ok(slot));
    assert!(table.find(&key(gone)).is_none());

    inside.remove(&gone);
    inside.insert(waiting, slot);
    for (_, slot) in inside {
        table.retire(slot);
        table.release(slot);
    }
    assert!(
        stormy
            .iter()
            .all(|&n| cost(&geometry, entries, &key(n)) == 1),
        "reach shrank"
    );
}

#[test]
fn every_sequence_visits_as_many_slots_as_it_can() {
    for slots in [64u32, 66, 1000, 4096] {
        let geometry = Geometry { slots, seed: SEED };
        for n in 0..2000 {
            let mut probe = geometry.probe(&key(n));
            let mut seen = std::collections::HashSet::new();
            for _ in 0..=MAX_REACH {
                assert!(probe.slot() < slots);
                seen.insert(probe.slot());
                probe = probe.next();
            }
            let most = slots.min(u32::from(MAX_REACH) + 1);
            if slots.is_power_of_two() {
                assert_eq!(seen.len() as u32, most, "{slots} slots, key {n}");
            } else {
                // Steps that share a factor with an odd number of pairs go round sooner.
                assert!(seen.len() >= 4, "{slots} slots, key {n}: {}", seen.len());
            }
        }
    }
}

/// Readers look up keys while the writer puts them in, takes them out and reuses their slots. A slot
/// is released when every reader that was at work at its retirement has ended that lookup.
#[test]
fn readers_never_see_another_flows_action() {
    const READERS: usize = 3;
    const KEYS: u32 = 96;
    const STAYING: u32 = 8;
    const IDLE: u64 = u64::MAX;

    let entries = memory(MIN_SLOTS);
    let mut table = Table::new(entries, SEED);
    let geometry = *table.geometry();
    for n in 0..STAYING {
        insert(&mut table, n).unwrap();
    }
    let epoch = AtomicU64::new(0);
    let inside: [AtomicU64; READERS] = std::array::from_fn(|_| AtomicU64::new(IDLE));
    let stop = AtomicBool::new(false);
    let hits = AtomicU64::new(0);

    std::thread::scope(|scope| {
        for (reader, inside) in inside.iter().enumerate() {
            let (epoch, stop, hits) = (&epoch, &stop, &hits);
            scope.spawn(move || {
                let mut random = reader as u64 + 1;
                let mut found = 0u64;
                while !stop.load(Relaxed) {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let n = (random >> 33) as u32 % KEYS;
                    inside.store(epoch.load(SeqCst), SeqCst);
                    let entry = table::find(&geometry, &key(n), |slot| entries.get(slot as usize));
                    if let Some((_, entry)) = entry {
                        let seen = entry.action();
                        // Time for the writer to do harm.
                        if found.is_multiple_of(64) {
                            std::thread::yield_now();
                        }
                        let again = entry.action();
                        assert_eq!(seen, action(n, seen.dst), "a torn or foreign action");
                        assert_eq!(seen, again, "the action changed under a reader");
                        found += 1;
                        hits.fetch_add(1, Relaxed);
                    }
                    inside.store(IDLE, SeqCst);
                    assert!(n >= STAYING || entry.is_some(), "key {n} is always there");
                }
            });
        }

        let mut random = 99u64;
        let mut live: Vec<(u32, u32)> = Vec::new();
        let mut retired: VecDeque<(u64, u32)> = VecDeque::new();
        let mut reused = 0;
        let start = Instant::now();
        let mut generation = 0;
        // Until both have met often enough, whenever the readers are given a processor.
        let enough = |reused| reused >= 20_000 && hits.load(Relaxed) > 10_000;
        while !enough(reused) && start.elapsed() < Duration::from_secs(60) {
            generation += 1;
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let n = STAYING + (random >> 33) as u32 % (KEYS - STAYING);
            if let Some(at) = live.iter().position(|&(m, _)| m == n) {
                let (_, slot) = live.swap_remove(at);
                table.retire(slot);
                retired.push_back((epoch.fetch_add(1, SeqCst), slot));
            } else if let Ok(slot) =
                table.insert(&key(n), &action(n, generation), &Activity::default(), 0)
            {
                live.push((n, slot));
            }
            if retired.len() > 32 {
                // A reader sleeps with an entry in its hand; let it go on.
                std::thread::yield_now();
            }
            // Readers that began at or before an epoch may hold what was retired in it.
            let oldest = inside
                .iter()
                .map(|reader| reader.load(SeqCst))
                .min()
                .unwrap();
            while let Some((_, slot)) = retired.pop_front_if(|(at, _)| *at < oldest) {
                table.release(slot);
                reused += 1;
            }
        }
        stop.store(true, Relaxed);
        assert!(reused >= 20_000, "only {reused} slots were reused");
    });
    assert!(
        hits.load(Relaxed) > 10_000,
        "the readers found only {hits:?}"
    );
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32),
    Retire(u32),
    Release,
    Adopt,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u32..90).prop_map(Op::Insert),
        4 => (0u32..90).prop_map(Op::Retire),
        3 => Just(Op::Release),
        1 => Just(Op::Adopt),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_map(seed: (u64, u64), ops in proptest::collection::vec(op(), 1..400)) {
        let seed = Seed(seed.0, seed.1);
        let entries = memory(MIN_SLOTS);
        let mut table = Table::new(entries, seed);
        let mut model: HashMap<u32, u32> = HashMap::new();
        let mut retired = VecDeque::new();
        for op in ops {
            match op {
                Op::Insert(n) if !model.contains_key(&n) => match insert(&mut table, n) {
                    Ok(slot) => {
                        prop_assert!(!model.values().any(|&taken| taken == slot));
                        prop_assert!(!retired.contains(&slot));
                        model.insert(n, slot);
                    }
                    // With 64 slots every sequence goes everywhere.
                    Err(Full) => prop_assert_eq!(model.len() + retired.len(), 64),
                },
                Op::Retire(n) => {
                    if let Some(slot) = model.remove(&n) {
                        table.retire(slot);
                        retired.push_back(slot);
                    }
                }
                Op::Release => {
                    if let Some(slot) = retired.pop_front() {
                        table.release(slot);
                    }
                }
                Op::Adopt => {
                    table = Table::new(entries, seed);
                    retired.clear();
                }
                Op::Insert(_) => {}
            }
            prop_assert_eq!(table.len() as usize, model.len());
            for n in 0..90 {
                let found = table.find(&key(n)).map(|(slot, entry)| (slot, entry.action()));
                prop_assert_eq!(found, model.get(&n).map(|&slot| (slot, action(n, 0))));
            }
        }
        let live = table.iter().filter_map(|(slot, entry)| Some((entry.key()?, slot)));
        let expected: HashMap<Key, u32> = model.iter().map(|(&n, &slot)| (key(n), slot)).collect();
        prop_assert_eq!(live.collect::<HashMap<_, _>>(), expected);
    }
}

#[test]
#[should_panic(expected = "even number of entries")]
fn an_odd_size_is_refused() {
    Table::new(memory(65), SEED);
}

#[test]
fn a_full_table_of_the_least_size_refuses_and_recovers() {
    let mut table = Table::new(memory(MIN_SLOTS), SEED);
    let slots: Vec<u32> = (0..MIN_SLOTS)
        .map(|n| insert(&mut table, n).unwrap())
        .collect();
    assert_eq!(insert(&mut table, MIN_SLOTS), Err(Full));
    table.retire(slots[7]);
    table.release(slots[7]);
    assert_eq!(insert(&mut table, MIN_SLOTS), Ok(slots[7]));
}
