//! The memory shared with the daemon, which pins every map by its name.

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use flow::abi::{Config, HOP_SLOTS, Hop, PORT_SLOTS, Port, VERSION, counter};
use flow::meter::{METER_SLOTS, Meter};
use flow::share::Share;
use flow::table::MIN_SLOTS;
use flow::{Entry, Seed};

/// The flow table's size and secret, constants of the loaded program. The loader writes it, and gives
/// [`FLOWS`] as many entries.
#[unsafe(no_mangle)]
static CONFIG: Global<Config> = Global::new(Config {
    version: VERSION,
    slots: MIN_SLOTS,
    seed: Seed(0, 0),
});

/// The configuration that the loader gave.
#[inline(always)]
pub fn config() -> Config {
    CONFIG.load()
}

/// The flow table.
#[map]
pub static FLOWS: Array<Entry> = Array::pinned(MIN_SLOTS, BPF_F_MMAPABLE);

/// Next hops, by the index in an entry's action.
#[map]
pub static HOPS: Array<Hop> = Array::pinned(HOP_SLOTS, BPF_F_MMAPABLE);

/// Ports, by interface index modulo their number.
#[map]
pub static PORTS: Array<Port> = Array::pinned(PORT_SLOTS, BPF_F_MMAPABLE);

/// Meters, by the index in an entry's action.
#[map]
pub static METERS: Array<Meter> = Array::pinned(METER_SLOTS, BPF_F_MMAPABLE);

/// The addresses that we answer for on uplinks, as they stand in a packet.
#[map]
pub static EIPS: HashMap<u32, u32> = HashMap::pinned(1 << 17, BPF_F_NO_PREALLOC);

/// [`flow::abi::counter`].
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::pinned(counter::COUNT, 0);

/// Packets for the daemon. The loader sets the size in bytes, [`QUEUE`].
#[map]
pub static PUNTS: RingBuf = RingBuf::pinned(1 << 24, 0);

/// Bytes of [`PUNTS`]: a constant of the loaded program, which the loader writes.
#[unsafe(no_mangle)]
static QUEUE: Global<u64> = Global::new(1 << 24);

/// How large the queue is, in bytes.
#[inline(always)]
pub fn queue() -> u64 {
    QUEUE.load()
}

/// What ports have in [`PUNTS`], by the slots of [`PORTS`].
#[map]
pub static SHARES: Array<Share> = Array::pinned(PORT_SLOTS, BPF_F_MMAPABLE);

/// Counts one packet.
#[inline(always)]
pub fn count(counter: u32) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter) {
        // SAFETY: the value is this CPU's own, and nothing else runs on it meanwhile that counts.
        unsafe { *value += 1 };
    }
}
