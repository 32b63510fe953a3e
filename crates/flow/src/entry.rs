//! One entry of the flow table: one cache line.

use crate::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};
use crate::checksum;
use crate::key::{Key, proto};
use core::sync::atomic::Ordering::Relaxed;

/// Bits of an entry's flags, set by the daemon.
pub mod flags {
    /// The flow crosses a router: TTL is decremented.
    pub const ROUTED: u8 = 1 << 0;
    /// This is the direction that the session was opened in.
    pub const ORIGINAL: u8 = 1 << 1;
    /// The session was let in by another one's SNAT mapping: for the daemon that adopts the table.
    pub const MAPPED: u8 = 1 << 2;
}

/// What the kernel has seen of a TCP flow in one direction, one bit each.
pub mod seen {
    /// SYN without ACK.
    pub const SYN: u8 = 1 << 0;
    /// SYN with ACK.
    pub const SYN_ACK: u8 = 1 << 1;
    /// A segment without SYN and RST.
    pub const DATA: u8 = 1 << 2;
    /// FIN.
    pub const FIN: u8 = 1 << 3;
    /// RST.
    pub const RST: u8 = 1 << 4;
    /// A segment without RST after one with it (RFC 7857, section 2.2: a reset that both ends ignore).
    pub const AFTER_RST: u8 = 1 << 5;

    /// The bits for a segment with these TCP flags, given what was seen before.
    #[inline(always)]
    pub const fn of(tcp_flags: u8, before: u8) -> u8 {
        let rst = if before & RST != 0 { AFTER_RST } else { 0 };
        match tcp_flags {
            f if f & 0x04 != 0 => RST,
            f if f & 0x12 == 0x02 => SYN | rst,
            f if f & 0x12 == 0x12 => SYN_ACK | rst,
            f if f & 0x01 != 0 => FIN | DATA | rst,
            _ => DATA | rst,
        }
    }
}

/// What is done with the packets of a flow: new addresses and ports, and where they go.
///
/// Addresses and ports are in network byte order in memory. For ICMP echo `sport` is the new
/// identifier and `dport` is unused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Action {
    /// New source address.
    pub src: u32,
    /// New destination address.
    pub dst: u32,
    /// New source port or ICMP identifier.
    pub sport: u16,
    /// New destination port.
    pub dport: u16,
    /// What the address change does to a checksum over both addresses; 0 if nothing.
    pub addr_delta: u16,
    /// What the port change does to a checksum over the ports; 0 if nothing.
    pub port_delta: u16,
    /// Index of the next hop in the table of next hops.
    pub hop: u16,
    /// Index of the [`Meter`](crate::meter::Meter) that the flow takes from; 0 is none.
    pub meter: u16,
    /// [`flags`].
    pub flags: u8,
}

impl Action {
    /// The action that turns packets of `key` into packets of `new` (whose zone is not used) and sends
    /// them to `hop`, with the checksum differences worked out.
    #[inline(always)]
    pub const fn new(key: &Key, new: &Key, hop: u16, flags: u8) -> Action {
        let addr_delta = neutral(checksum::add(
            checksum::delta32(key.src, new.src),
            checksum::delta32(key.dst, new.dst),
        ));
        let port_delta = match key.proto {
            proto::TCP | proto::UDP => checksum::add(
                checksum::delta16(key.sport, new.sport),
                checksum::delta16(key.dport, new.dport),
            ),
            proto::ICMP => checksum::delta16(key.sport, new.sport),
            _ => 0,
        };
        Action {
            src: new.src,
            dst: new.dst,
            sport: new.sport,
            dport: new.dport,
            addr_delta,
            port_delta: neutral(port_delta),
            hop,
            meter: 0,
            flags,
        }
    }
}

/// A difference of which no change has one representation only, that does nothing to any checksum: 0.
const fn neutral(delta: u16) -> u16 {
    if delta == 0xffff { 0 } else { delta }
}

/// What the kernel has written into an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Activity {
    /// [`seen`] bits.
    pub seen: u8,
    /// The tick of the last packet.
    pub last_seen: u32,
    /// Packets; a segment that stands for several on the wire counts as several.
    pub packets: u64,
    /// Bytes of frames without the Ethernet trailer, as interfaces count them.
    pub bytes: u64,
}

/// An entry as it lies in shared memory: 64 bytes, one cache line.
///
/// Every field is an atomic, since kernel and daemon use it at once. The daemon alone writes key,
/// action and flags; the kernel alone writes what [`Activity`] holds, while the entry lives. `reach`
/// does not belong to the flow in the entry: it says how far flows whose home is here may lie
/// (see [`crate::table`]).
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Entry {
    addrs: AtomicU64,
    ident: AtomicU64,
    new_addrs: AtomicU64,
    new_ports: AtomicU64,
    hop: AtomicU16,
    meter: AtomicU16,
    flags: AtomicU8,
    reach: AtomicU8,
    /// [`seen`] bits, set by the kernel.
    pub seen: AtomicU8,
    spare: AtomicU8,
    /// The tick of the last packet, set by the kernel.
    pub last_seen: AtomicU32,
    /// The second in which the session began, set by the daemon.
    pub start: AtomicU32,
    /// Packets, counted by the kernel.
    pub packets: AtomicU64,
    /// Bytes, counted by the kernel.
    pub bytes: AtomicU64,
}

/// An entry's life: free, in use, or taken out and not to be reused before every reader has gone.
pub(crate) mod state {
    pub const FREE: u8 = 0;
    pub const LIVE: u8 = 1;
    pub const RETIRED: u8 = 2;
}

impl Entry {
    /// Whether this is the live entry of `key`.
    #[inline(always)]
    pub fn is(&self, key: &Key) -> bool {
        // `ident` holds the state and is written last, so it is read first.
        self.ident.load(Relaxed) == key.ident(state::LIVE)
            && self.addrs.load(Relaxed) == key.addrs()
    }

    /// The state and, for a live or retired entry, its key.
    #[inline(always)]
    pub(crate) fn state(&self) -> u8 {
        (self.ident.load(Relaxed) >> 56) as u8
    }

    /// The key of a live entry.
    pub fn key(&self) -> Option<Key> {
        let ident = self.ident.load(Relaxed);
        ((ident >> 56) as u8 == state::LIVE)
            .then(|| Key::from_words(self.addrs.load(Relaxed), ident))
    }

    /// What to do with the flow's packets.
    #[inline(always)]
    pub fn action(&self) -> Action {
        let addrs = self.new_addrs.load(Relaxed);
        let ports = self.new_ports.load(Relaxed);
        Action {
            src: addrs as u32,
            dst: (addrs >> 32) as u32,
            sport: ports as u16,
            dport: (ports >> 16) as u16,
            addr_delta: (ports >> 32) as u16,
            port_delta: (ports >> 48) as u16,
            hop: self.hop.load(Relaxed),
            meter: self.meter.load(Relaxed),
            flags: self.flags.load(Relaxed),
        }
    }

    /// What the kernel has written so far.
    pub fn activity(&self) -> Activity {
        Activity {
            seen: self.seen.load(Relaxed),
            last_seen: self.last_seen.load(Relaxed),
            packets: self.packets.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    /// Has the flow take from another meter; 0 is none. Takes effect with the next packet.
    pub fn set_meter(&self, meter: u16) {
        self.meter.store(meter, Relaxed);
    }

    /// Points the flow to another next hop. Takes effect with the next packet.
    pub fn set_hop(&self, hop: u16) {
        self.hop.store(hop, Relaxed);
    }

    #[cfg(not(target_arch = "bpf"))]
    /// Counts a packet that the daemon itself forwards or that a test plays the kernel for.
    pub fn count(&self, now: u32, packets: u64, bytes: u64, seen: u8) {
        self.last_seen.store(now, Relaxed);
        self.packets.fetch_add(packets, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.seen.fetch_or(seen, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn reach(&self) -> u8 {
        self.reach.load(Relaxed)
    }

    pub(crate) fn set_reach(&self, reach: u8) {
        self.reach.store(reach, Relaxed);
    }

    /// Fills a free entry and makes it visible: the word that readers match on is written last.
    pub(crate) fn publish(&self, key: &Key, action: &Action, activity: &Activity, start: u32) {
        self.addrs.store(key.addrs(), Relaxed);
        self.new_addrs
            .store(action.src as u64 | (action.dst as u64) << 32, Relaxed);
        self.new_ports.store(
            action.sport as u64
                | (action.dport as u64) << 16
                | (action.addr_delta as u64) << 32
                | (action.port_delta as u64) << 48,
            Relaxed,
        );
        self.hop.store(action.hop, Relaxed);
        self.meter.store(action.meter, Relaxed);
        self.flags.store(action.flags, Relaxed);
        self.seen.store(activity.seen, Relaxed);
        self.last_seen.store(activity.last_seen, Relaxed);
        self.start.store(start, Relaxed);
        self.packets.store(activity.packets, Relaxed);
        self.bytes.store(activity.bytes, Relaxed);
        self.ident.store(
            key.ident(state::LIVE),
            core::sync::atomic::Ordering::Release,
        );
    }

    pub(crate) fn set_state(&self, state: u8) {
        let ident = self.ident.load(Relaxed) & !(0xff << 56) | (state as u64) << 56;
        self.ident
            .store(ident, core::sync::atomic::Ordering::Release);
    }
}

const _: () = assert!(size_of::<Entry>() == 64);
