//! Zones: the identity of an interface in the keys of the flow table.
//!
//! They are kept in the pinned map of ports, so that the next daemon gives an interface the zone that the
//! flows of the last one have.

use engine::UPLINK_ZONE;
use flow::abi::{PORT_SLOTS, Port, mac_word};
use std::collections::HashSet;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// The map of ports, by interface index modulo their number.
pub(crate) type PortMap = [Port];

/// What stands in the map for an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub ifindex: u32,
    pub zone: u16,
    /// [`flow::abi::port`] bits.
    pub flags: u16,
    pub mac: [u8; 6],
}

/// Gives zones to interfaces: each the one that it has, or a free one. Of these the next after that which was given last:
/// flows of an interface that has just gone may still have its zone.
pub(crate) struct Zones<'a> {
    map: &'a PortMap,
    taken: HashSet<u16>,
    last: u16,
}

impl<'a> Zones<'a> {
    /// Zones in the map count as taken, also those of interfaces that are gone: flows may still have
    /// them.
    pub fn new(map: &'a PortMap, last: u16) -> Zones<'a> {
        let live = map.iter().filter(|port| port.ifindex.load(Relaxed) != 0);
        Zones {
            map,
            taken: live.map(|port| port.zone.load(Relaxed)).collect(),
            last,
        }
    }

    /// The zone of an interface that is no uplink; `None` if all are taken.
    pub fn of(&mut self, ifindex: u32) -> Option<u16> {
        let port = slot(self.map, ifindex);
        let zone = port.zone.load(Relaxed);
        if port.ifindex.load(Relaxed) == ifindex && zone > UPLINK_ZONE {
            return Some(zone);
        }
        let after = self.last.checked_add(1).unwrap_or(0).max(UPLINK_ZONE + 1);
        let mut all = (after..=u16::MAX).chain(UPLINK_ZONE + 1..after);
        let free = all.find(|zone| !self.taken.contains(zone))?;
        self.taken.insert(free);
        self.last = free;
        Some(free)
    }

    /// The one that was given last to an interface that had none.
    pub fn last(&self) -> u16 {
        self.last
    }
}

fn slot(map: &PortMap, ifindex: u32) -> &Port {
    &map[(ifindex % PORT_SLOTS) as usize % map.len()]
}

/// Makes the map say what `entries` say and nothing else. The kernel programs act on it at once.
pub(crate) fn write(map: &PortMap, entries: &[Entry]) {
    let wanted: HashSet<u32> = entries.iter().map(|entry| entry.ifindex).collect();
    for port in map {
        let ifindex = port.ifindex.load(Relaxed);
        if ifindex != 0 && !wanted.contains(&ifindex) {
            port.ifindex.store(0, Relaxed);
        }
    }
    for entry in entries {
        let port = slot(map, entry.ifindex);
        port.zone.store(entry.zone, Relaxed);
        port.flags.store(entry.flags, Relaxed);
        port.mac.store(mac_word(entry.mac), Relaxed);
        // Last: with it the rest becomes valid.
        port.ifindex.store(entry.ifindex, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> Vec<Port> {
        (0..PORT_SLOTS).map(|_| Port::default()).collect()
    }

    fn entry(ifindex: u32, zone: u16) -> Entry {
        let mac = [2, 0, 0, 0, 0, ifindex as u8];
        let flags = 0;
        Entry {
            ifindex,
            zone,
            flags,
            mac,
        }
    }

    #[test]
    fn an_interface_keeps_its_zone_and_a_new_one_gets_a_free_one() {
        let map = map();
        write(&map, &[entry(7, 1), entry(8, 3), entry(9, 2)]);
        let mut zones = Zones::new(&map, 0);
        assert_eq!((zones.of(9), zones.of(8)), (Some(2), Some(3)));
        assert_eq!((zones.of(10), zones.of(11)), (Some(4), Some(5)));
        // What was an uplink and is none any more does not keep the uplinks' zone.
        assert_eq!(zones.of(7), Some(6));

        // A zone is free only after its interface has gone from the map, and then it is not the next one's.
        write(&map, &[entry(8, 3), entry(10, 4)]);
        let mut zones = Zones::new(&map, zones.last());
        assert_eq!((zones.of(8), zones.of(12)), (Some(3), Some(7)));
        let mut zones = Zones::new(&map, u16::MAX);
        assert_eq!((zones.of(12), zones.of(13)), (Some(2), Some(5)));
    }

    #[test]
    fn zones_end() {
        let map = map();
        let all: Vec<Entry> = (2..=u16::MAX)
            .map(|zone| entry(zone as u32, zone))
            .collect();
        write(&map, &all);
        let mut zones = Zones::new(&map, 0);
        assert_eq!(zones.of(5), Some(5));
        assert_eq!(zones.of(PORT_SLOTS + 1), None);
        write(&map, &all[1..]);
        assert_eq!(Zones::new(&map, 9).of(PORT_SLOTS + 1), Some(2));
    }
}
