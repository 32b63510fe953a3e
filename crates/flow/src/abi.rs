//! The other records that kernel and daemon share: ports, next hops, punted packets, counters.

use crate::atomic::{AtomicU16, AtomicU32, AtomicU64};
use crate::key::Seed;
use crate::reason::Reason;
use core::sync::atomic::Ordering::{Relaxed, Release};

/// The layout's version. Pinned maps of another version are not adopted.
pub const VERSION: u32 = 1;

/// How many ports can be attached at once: the index is the interface's, modulo this.
pub const PORT_SLOTS: u32 = 1 << 16;

/// How many next hops there can be.
pub const HOP_SLOTS: u32 = 1 << 16;

/// What the programs must know before anything else: the one element of the map `CONFIG`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// [`VERSION`].
    pub version: u32,
    /// Slots of the flow table.
    pub slots: u32,
    /// The secret of its hash.
    pub seed: Seed,
}

/// Bits of a port's flags.
pub mod port {
    /// The port faces the outside: what is not in the table must be for an EIP.
    pub const UPLINK: u16 = 1 << 0;
    /// The interface is shared with the host: what is not for an EIP is the host's.
    pub const SHARED: u16 = 1 << 1;
}

/// A network interface with our programs on it. Slot: interface index modulo [`PORT_SLOTS`].
#[repr(C)]
#[derive(Debug, Default)]
pub struct Port {
    /// The interface index; 0 if the slot is free.
    pub ifindex: AtomicU32,
    /// The zone of what comes in here.
    pub zone: AtomicU16,
    /// [`port`] bits.
    pub flags: AtomicU16,
    /// The interface's own MAC address, see [`mac_word`].
    pub mac: AtomicU64,
}

/// Bits of a next hop's flags.
pub mod hop {
    /// The interface is our end of a veth pair into a namespace: TC may hand packets to the far end
    /// directly (`bpf_redirect_peer`).
    pub const PEER: u16 = 1 << 0;
}

/// Where packets go: an interface, and the station there.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Hop {
    /// The interface index; 0 if there is no such hop (any more).
    pub ifindex: AtomicU32,
    /// The largest IP packet that the link takes, in bytes. 0 as long as the station's MAC address is not
    /// known: then every packet is too large and goes to the daemon.
    pub mtu: AtomicU16,
    /// [`hop`] bits.
    pub flags: AtomicU16,
    /// The station's MAC address, see [`mac_word`].
    pub dst_mac: AtomicU64,
    /// The MAC address that we send from.
    pub src_mac: AtomicU64,
    /// The station's IP address, as in a packet: for the daemon that adopts the table.
    pub addr: AtomicU32,
    /// The zone of the port: for the daemon that adopts the table.
    pub zone: AtomicU16,
    /// Not used; zero.
    pub spare: AtomicU16,
}

impl Hop {
    /// Writes a hop, which takes packets with the last store.
    pub fn set(&self, to: &Station) {
        self.flags.store(to.flags, Relaxed);
        self.dst_mac.store(mac_word(to.dst_mac), Relaxed);
        self.src_mac.store(mac_word(to.src_mac), Relaxed);
        self.addr.store(to.addr, Relaxed);
        self.zone.store(to.zone, Relaxed);
        self.ifindex.store(to.ifindex, Release);
        self.mtu.store(to.mtu, Release);
    }

    /// Lets the hop take no more packets, since its station's MAC address is not known any more.
    pub fn suspend(&self) {
        self.mtu.store(0, Relaxed);
    }

    /// Makes the hop unusable.
    pub fn clear(&self) {
        self.suspend();
        self.ifindex.store(0, Relaxed);
    }
}

/// What a [`Hop`] says, as plain values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// The interface index.
    pub ifindex: u32,
    /// The largest IP packet that the link takes, in bytes; 0 if the station's MAC address is not known.
    pub mtu: u16,
    /// [`hop`] bits.
    pub flags: u16,
    /// The station's MAC address.
    pub dst_mac: [u8; 6],
    /// The MAC address that we send from.
    pub src_mac: [u8; 6],
    /// The station's IP address, as in a packet.
    pub addr: u32,
    /// The zone of the port.
    pub zone: u16,
}

/// A MAC address as one word, in memory order, the upper two bytes zero.
pub const fn mac_word(mac: [u8; 6]) -> u64 {
    u64::from_ne_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0])
}

/// The reverse of [`mac_word`].
pub const fn mac_bytes(word: u64) -> [u8; 6] {
    let b = word.to_ne_bytes();
    [b[0], b[1], b[2], b[3], b[4], b[5]]
}

/// Why the kernel hands a packet to the daemon.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Punt {
    /// No flow of the table takes it.
    Miss = 0,
    /// A TCP SYN: the daemon decides whether it opens a new session on an old tuple.
    Syn = 1,
    /// A fragment.
    Fragment = 2,
    /// An ICMP message other than echo.
    Icmp = 3,
    /// The IP header has options or is not one.
    Header = 4,
    /// The time to live runs out here.
    Ttl = 5,
    /// Larger than the next link takes.
    Mtu = 6,
    /// ARP.
    Arp = 7,
}

impl Punt {
    /// Every reason, in the order of the counters.
    pub const ALL: [Punt; 8] = [
        Punt::Miss,
        Punt::Syn,
        Punt::Fragment,
        Punt::Icmp,
        Punt::Header,
        Punt::Ttl,
        Punt::Mtu,
        Punt::Arp,
    ];

    /// The reason's name, as counters print it.
    pub const fn name(self) -> &'static str {
        match self {
            Punt::Miss => "miss",
            Punt::Syn => "syn",
            Punt::Fragment => "fragment",
            Punt::Icmp => "icmp",
            Punt::Header => "header",
            Punt::Ttl => "ttl",
            Punt::Mtu => "mtu",
            Punt::Arp => "arp",
        }
    }
}

/// What precedes a packet's bytes in the ring buffer from kernel to daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PuntHeader {
    /// Bytes of the frame that follows.
    pub len: u32,
    /// The interface that it came in by.
    pub ifindex: u32,
    /// Payload bytes of each segment if the frame stands for several, else 0.
    pub gso_size: u16,
    /// How many segments it stands for; 0 or 1 for an ordinary frame.
    pub gso_segs: u16,
    /// [`Punt`].
    pub reason: u8,
    /// Not used; zero.
    pub spare: [u8; 3],
}

impl PuntHeader {
    /// Bytes of the header in the ring buffer.
    pub const LEN: usize = size_of::<PuntHeader>();

    /// Splits a record of the ring buffer into header and frame. A record may be longer than the frame
    /// in it. `None` if it is shorter than it says.
    pub fn split(record: &[u8]) -> Option<(PuntHeader, &[u8])> {
        let (head, rest) = record.split_at_checked(Self::LEN)?;
        let u32_at =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let u16_at = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
        let header = PuntHeader {
            len: u32_at(0),
            ifindex: u32_at(4),
            gso_size: u16_at(8),
            gso_segs: u16_at(10),
            reason: head[12],
            spare: [0; 3],
        };
        Some((header, rest.get(..header.len as usize)?))
    }
}

/// The kernel's counters: a per-CPU array of `u64` under these indices.
pub mod counter {
    use super::{Punt, Reason};

    /// Packets that met a flow of the table and were sent on.
    pub const HIT: u32 = 0;
    /// Packets left to the host's own network stack.
    pub const PASS: u32 = 1;
    const PUNT: u32 = 2;
    const DROP: u32 = PUNT + Punt::ALL.len() as u32;
    /// How many counters there are.
    pub const COUNT: u32 = DROP + Reason::COUNT as u32;

    /// Packets handed to the daemon for `reason`.
    pub const fn punt(reason: Punt) -> u32 {
        PUNT + reason as u32
    }

    /// Packets dropped for `reason`.
    pub const fn drop(reason: Reason) -> u32 {
        DROP + reason as u32
    }
}

const _: () = assert!(size_of::<Hop>() == 32 && size_of::<Port>() == 16 && PuntHeader::LEN == 16);
