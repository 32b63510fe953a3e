//! Maps: created, adopted, replaced, and never shared by two daemons.

use super::rig::{Pins, need_root};
use datapath::maps::{Adopted, Maps, Misfit, Sizes};
use datapath::object::KernelError;
use datapath::programs::Programs;
use flow::table::Table;
use flow::{Action, Activity, Key};
use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;

const KEY: Key = Key {
    src: 1,
    dst: 2,
    sport: 3,
    dport: 4,
    zone: 5,
    proto: 17,
};

fn put(maps: &Maps) {
    let mut table = Table::new(maps.flows(), maps.config().seed);
    let action = Action::new(&KEY, &KEY, 7, 0);
    let activity = Activity {
        packets: 11,
        ..Activity::default()
    };
    table.insert(&KEY, &action, &activity, 0).unwrap();
}

fn packets(maps: &Maps) -> Option<u64> {
    let table = Table::new(maps.flows(), maps.config().seed);
    table.find(&KEY).map(|(_, entry)| entry.activity().packets)
}

#[test]
fn the_next_daemon_adopts_flows_and_secret() {
    let pins = Pins::new();
    let (maps, adopted) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    assert_eq!(adopted, Adopted::Fresh);
    let config = *maps.config();
    put(&maps);
    drop(maps);

    let (maps, adopted) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    assert_eq!(adopted, Adopted::Same);
    assert_eq!(*maps.config(), config);
    assert_eq!(packets(&maps), Some(11));
    Programs::load(&maps).unwrap();
}

#[test]
fn each_set_has_a_secret_of_its_own() {
    let (one, two) = (Pins::new(), Pins::new());
    let seed = |pins: &Pins| Maps::open(&pins.0, Sizes::new(64)).unwrap().0.config().seed;
    assert_ne!(seed(&one), seed(&two));
}

#[test]
fn another_size_replaces_the_set_and_says_so() {
    let pins = Pins::new();
    put(&Maps::open(&pins.0, Sizes::new(4096)).unwrap().0);
    let (maps, adopted) = Maps::open(&pins.0, Sizes::new(8192)).unwrap();
    let misfit = Misfit::Slots {
        found: 4096,
        wanted: 8192,
    };
    assert_eq!(adopted, Adopted::Replaced(misfit));
    assert_eq!(maps.flows().len(), 8192);
    assert_eq!(packets(&maps), None);
}

#[test]
fn another_layout_replaces_the_set_and_says_so() {
    let pins = Pins::new();
    put(&Maps::open(&pins.0, Sizes::new(4096)).unwrap().0);
    let current = pins.0.join(format!("v{}", flow::abi::VERSION));
    fs::rename(&current, pins.0.join("v900")).unwrap();
    let (maps, adopted) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    assert_eq!(adopted, Adopted::Replaced(Misfit::Version(900)));
    assert_eq!(packets(&maps), None);
    assert!(!pins.0.join("v900").exists());
}

#[test]
fn a_damaged_set_is_replaced() {
    let pins = Pins::new();
    put(&Maps::open(&pins.0, Sizes::new(4096)).unwrap().0);
    let set = pins.0.join(format!("v{}", flow::abi::VERSION));
    fs::remove_file(set.join("HOPS")).unwrap();
    let (_, adopted) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    assert_eq!(adopted, Adopted::Replaced(Misfit::Damaged("HOPS")));
}

#[test]
fn a_set_that_was_never_finished_is_made_anew() {
    let pins = Pins::new();
    put(&Maps::open(&pins.0, Sizes::new(4096)).unwrap().0);
    let set = pins.0.join(format!("v{}", flow::abi::VERSION));
    fs::remove_file(set.join("CONFIG")).unwrap();
    let (maps, adopted) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    assert_eq!(adopted, Adopted::Fresh);
    assert_eq!(packets(&maps), None, "its secret is not known");
}

#[test]
fn another_queue_costs_no_flow() {
    let pins = Pins::new();
    put(&Maps::open(&pins.0, Sizes::new(4096)).unwrap().0);
    let sizes = Sizes {
        slots: 4096,
        queue: 1 << 20,
    };
    let (maps, adopted) = Maps::open(&pins.0, sizes).unwrap();
    assert_eq!(adopted, Adopted::Same);
    assert_eq!(packets(&maps), Some(11));
}

/// As after a version that had no meters.
#[test]
fn missing_meters_cost_no_flow() {
    let pins = Pins::new();
    put(&Maps::open(&pins.0, Sizes::new(4096)).unwrap().0);
    let set = pins.0.join(format!("v{}", flow::abi::VERSION));
    fs::remove_file(set.join("METERS")).unwrap();
    let (maps, adopted) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    assert_eq!(adopted, Adopted::Same);
    assert_eq!(packets(&maps), Some(11));
    assert_eq!(maps.meters().len(), 1 << 16);
}

/// As after a version that did not meter.
#[test]
fn missing_accounts_cost_no_flow_and_are_another_memory() {
    let pins = Pins::new();
    let (maps, _) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    put(&maps);
    let memory = |maps: &Maps| format!("{:?}", maps.accounts()[0]);
    let first = memory(&maps);
    drop(maps);
    let (maps, _) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    assert_eq!(memory(&maps), first);
    drop(maps);
    let set = pins.0.join(format!("v{}", flow::abi::VERSION));
    fs::remove_file(set.join("ACCOUNTS")).unwrap();
    let (maps, adopted) = Maps::open(&pins.0, Sizes::new(4096)).unwrap();
    assert_eq!(adopted, Adopted::Same);
    assert_eq!(packets(&maps), Some(11));
    assert!(maps.accounts()[0].is_named());
    assert_ne!(memory(&maps), first);
}

#[test]
fn the_next_daemon_adopts_meters() {
    let pins = Pins::new();
    let (maps, _) = Maps::open(&pins.0, Sizes::new(64)).unwrap();
    maps.meters()[5].set_rate(1_000_000);
    assert!(maps.meters()[5].take(1 << 40, 1, 1 << 20));
    drop(maps);
    let (maps, _) = Maps::open(&pins.0, Sizes::new(64)).unwrap();
    assert!(!maps.meters()[5].take(1 << 40, 1, 1));
}

#[test]
fn two_daemons_at_once_are_impossible() {
    let pins = Pins::new();
    let (maps, _) = Maps::open(&pins.0, Sizes::new(64)).unwrap();
    let error = Maps::open(&pins.0, Sizes::new(64)).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, KernelError::Busy { dir } if *dir == pins.0),
        "{error}"
    );
    assert!(
        error.to_string().contains("another daemon is running"),
        "{error}"
    );
    drop(maps);
    Maps::open(&pins.0, Sizes::new(64)).unwrap();
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    need_root();
    let pins = Pins::new();
    for slots in [0, 62, 65, (1 << 25) + 2] {
        let error = Maps::open(&pins.0, Sizes::new(slots))
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(error, KernelError::Slots { slots: s } if s == slots),
            "{error}"
        );
    }
    for queue in [0, 1 << 17, (1 << 20) + 4096, 1 << 31] {
        let sizes = Sizes { slots: 64, queue };
        let error = Maps::open(&pins.0, sizes).map(|_| ()).unwrap_err();
        assert!(
            matches!(error, KernelError::QueueSize { bytes } if bytes == queue),
            "{error}"
        );
    }
    assert!(!pins.0.exists(), "nothing was made");
}

#[test]
fn no_file_system_is_mounted_over_what_is_there() {
    need_root();
    let parent = std::env::temp_dir().join(format!("slk{}", std::process::id()));
    fs::create_dir_all(parent.join("something")).unwrap();
    let error = Maps::open(&parent.join("pins"), Sizes::new(64))
        .map(|_| ())
        .unwrap_err();
    fs::remove_dir_all(&parent).unwrap();
    assert!(
        matches!(&error, KernelError::NoBpffs { parent: p } if *p == parent),
        "{error}"
    );
}

#[test]
fn a_bpf_file_system_is_mounted_where_there_is_none() {
    need_root();
    let parent = std::env::temp_dir().join(format!("slkm{}", std::process::id()));
    let result = Maps::open(&parent.join("pins"), Sizes::new(64));
    let opened = result.map(|(_, adopted)| adopted);
    fs::remove_dir_all(parent.join("pins")).unwrap();
    // A program that another test starts may be about to close what it got of ours.
    nix::mount::umount2(&parent, nix::mount::MntFlags::MNT_DETACH).unwrap();
    fs::remove_dir(&parent).unwrap();
    assert_eq!(opened.unwrap(), Adopted::Fresh);
}

#[test]
fn eips_are_exactly_what_was_wanted() {
    let pins = Pins::new();
    let (mut maps, _) = Maps::open(&pins.0, Sizes::new(64)).unwrap();
    let set = |from: u32, to: u32| -> BTreeSet<_> { (from..to).map(|n| n.into()).collect() };
    for wanted in [set(0, 100), set(50, 3000), set(0, 0), set(7, 8)] {
        maps.set_eips(&wanted).unwrap();
        let found = maps.eips().unwrap();
        assert_eq!(found, wanted);
    }
}

#[test]
fn the_largest_table_that_is_allowed_can_be_had() {
    // 2 GiB of memory are not there everywhere; a quarter is.
    let pins = Pins::new();
    let (maps, _) = Maps::open(&pins.0, Sizes::new(1 << 23)).unwrap();
    assert_eq!(maps.flows().len(), 1 << 23);
    put(&maps);
    assert_eq!(packets(&maps), Some(11));
}

/// The kernel lets no packet through on the processor on which it enters a mapping's pages.
#[test]
fn a_large_table_is_mapped_in_small_parts_and_is_one_table() {
    let pins = Pins::new();
    let (maps, _) = Maps::open(&pins.0, Sizes::new(100_000)).unwrap();
    let flows = maps.flows();
    for (slot, entry) in flows.iter().enumerate() {
        entry.last_seen.store(slot as u32, Relaxed);
    }
    let table = flows.as_ptr_range();
    let table = table.start as usize..table.end as usize;
    let text = fs::read_to_string("/proc/self/maps").unwrap();
    let parts: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let (start, rest) = line.split_once('-')?;
            let end = rest.split_once(' ')?.0;
            let address = |text| usize::from_str_radix(text, 16).unwrap();
            Some(address(start)..address(end))
        })
        .filter(|part| part.start < table.end && table.start < part.end)
        .collect();
    assert!(parts.iter().all(|part| part.len() <= 1 << 20), "{parts:x?}");
    let mapped: usize = parts.iter().map(ExactSizeIterator::len).sum();
    assert!(mapped >= table.len(), "{parts:x?}");
    drop(maps);

    // Another mapping, by the next daemon, shows the same everywhere.
    let (maps, adopted) = Maps::open(&pins.0, Sizes::new(100_000)).unwrap();
    assert_eq!(adopted, Adopted::Same);
    for (slot, entry) in maps.flows().iter().enumerate() {
        assert_eq!(entry.last_seen.load(Relaxed), slot as u32);
    }
}
