//! The memory shared with the kernel programs: created once, pinned by name in a directory of a bpf file
//! system, adopted by the next daemon.
//!
//! ```text
//! DIR/v1/CONFIG FLOWS HOPS METERS PORTS SHARES EIPS …    one set of maps for each version of the layout
//! DIR/links/…                                            the programs' attachments (see `programs`)
//! ```
//!
//! The daemon holds a lock on DIR as long as it lives, since the table has one writer.

use crate::object::{self, KernelError, Meaning, errno};
use crate::pin::{detach, names, remove};
use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, MapInfo, PerCpuArray, RingBuf};
use engine::{ACCOUNT_SLOTS, Account};
use flow::abi::{self, HOP_SLOTS, Hop, PORT_SLOTS, Port, Punt, VERSION, counter};
use flow::meter::{METER_SLOTS, Meter};
use flow::reason::Reason;
use flow::share::Share;
use flow::table::MIN_SLOTS;
use flow::{Entry, Seed};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// `BPF_F_MMAPABLE`: the memory of an array can be mapped.
const MMAPABLE: u32 = 1 << 10;

/// Bytes that are mapped into memory at once, a whole number of pages.
const PART: usize = 1 << 20;

/// Bytes of the queue of punted packets, unless somebody wants another size.
pub const DEFAULT_QUEUE: u32 = 1 << 24;

/// How large the maps are that have no fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Entries of the flow table: an even number, of which at most 90 % should be used. A session takes
    /// two.
    pub slots: u32,
    /// Bytes of the queue of punted packets: a power of two.
    pub queue: u32,
}

impl Sizes {
    /// A flow table of `slots` entries and the default queue.
    pub const fn new(slots: u32) -> Sizes {
        Sizes {
            slots,
            queue: DEFAULT_QUEUE,
        }
    }

    fn check(self) -> Result<(), KernelError> {
        // 2^25 entries are 2 GiB, the most that the kernel gives an array.
        if !(MIN_SLOTS..=1 << 25).contains(&self.slots) || !self.slots.is_multiple_of(2) {
            return Err(KernelError::Slots { slots: self.slots });
        }
        if !(1 << 18..=1 << 30).contains(&self.queue) || !self.queue.is_power_of_two() {
            return Err(KernelError::QueueSize { bytes: self.queue });
        }
        Ok(())
    }
}

/// Where the maps came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// There were none.
    Fresh,
    /// They are an earlier daemon's, with its flows.
    Same,
    /// An earlier daemon's did not fit. Its programs were detached and its flows are lost.
    Replaced(Misfit),
}

/// Why maps of an earlier daemon could not be adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// They have another layout.
    #[error("the pinned maps have layout version {0}, this program has {VERSION}")]
    Version(u32),
    /// The table has another size.
    #[error("the pinned flow table has {found} slots, {wanted} are wanted")]
    Slots {
        /// The pinned table's.
        found: u32,
        /// The configuration's.
        wanted: u32,
    },
    /// A map is missing or not what its name says.
    #[error("the pinned map {0} is missing or has another shape")]
    Damaged(&'static str),
}

/// The shared memory.
pub struct Maps {
    dir: PathBuf,
    config: abi::Config,
    sizes: Sizes,
    flows: &'static [Entry],
    hops: &'static [Hop],
    meters: &'static [Meter],
    accounts: &'static [Account],
    ports: &'static [Port],
    shares: &'static [Share],
    eips: HashMap<MapData, u32, u32>,
    counters: PerCpuArray<MapData, u64>,
    /// The object that the maps came with, until its programs are wanted.
    object: Mutex<Option<Ebpf>>,
    _lock: Lock,
}

impl Maps {
    /// Opens the maps that are pinned in `dir`, or creates them. The parent of `dir` must be on a bpf
    /// file system; if it does not exist or is empty, one is mounted there.
    pub fn open(dir: &Path, sizes: Sizes) -> Result<(Maps, Adopted), KernelError> {
        sizes.check()?;
        let lock = lock(dir)?;
        // Older kernels count maps against this limit; newer ones do not care.
        let unlimited = nix::sys::resource::RLIM_INFINITY;
        let memlock = nix::sys::resource::Resource::RLIMIT_MEMLOCK;
        let _ = nix::sys::resource::setrlimit(memlock, unlimited, unlimited);

        let set = dir.join(format!("v{VERSION}"));
        let (config, adopted) = match survey(dir, &set, sizes)? {
            Ok(Some(config)) => (config, Adopted::Same),
            Ok(None) => (fresh(dir, sizes)?, Adopted::Fresh),
            Err(misfit) => (fresh(dir, sizes)?, Adopted::Replaced(misfit)),
        };
        fs::create_dir_all(&set).meaning(|| format!("create {}", set.display()))?;
        let mut ebpf = object::load(&set, &config, sizes)?;
        if adopted != Adopted::Same {
            // Written last: a set of maps with a configuration is complete.
            pin_config(&set, &config)?;
        }
        let maps = Maps {
            flows: map_memory(&ebpf, "FLOWS", sizes.slots)?,
            hops: map_memory(&ebpf, "HOPS", HOP_SLOTS)?,
            meters: map_memory(&ebpf, "METERS", METER_SLOTS)?,
            accounts: accounts(&set)?,
            ports: map_memory(&ebpf, "PORTS", PORT_SLOTS)?,
            shares: map_memory(&ebpf, "SHARES", PORT_SLOTS)?,
            eips: HashMap::try_from(take(&mut ebpf, "EIPS")?).meaning(|| "open map EIPS".into())?,
            counters: PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?)
                .meaning(|| "open map COUNTERS".into())?,
            dir: dir.to_path_buf(),
            config,
            sizes,
            object: Mutex::new(Some(ebpf)),
            _lock: lock,
        };
        Ok((maps, adopted))
    }

    /// The directory of the pins.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of this version's maps.
    pub(crate) fn set(&self) -> PathBuf {
        self.dir.join(format!("v{VERSION}"))
    }

    /// The object with its programs, for one who loads them. To parse one takes a twentieth of a second, for the loader
    /// reads the types of the whole kernel, so the one that the maps came with is given away first.
    pub(crate) fn object(&self) -> Result<Ebpf, KernelError> {
        let mut object = self.object.lock().unwrap_or_else(PoisonError::into_inner);
        match object.take() {
            Some(object) => Ok(object),
            None => object::load(&self.set(), &self.config, self.sizes),
        }
    }

    /// The table's size and secret.
    pub fn config(&self) -> &abi::Config {
        &self.config
    }

    /// The flow table's memory. [`flow::table::Table`] must be made of it once only.
    pub fn flows(&self) -> &'static [Entry] {
        self.flows
    }

    /// The next hops, by index.
    pub fn hops(&self) -> &'static [Hop] {
        self.hops
    }

    /// The meters, by index.
    pub fn meters(&self) -> &'static [Meter] {
        self.meters
    }

    /// The accounts, by index. The kernel programs know nothing of them.
    pub fn accounts(&self) -> &'static [Account] {
        self.accounts
    }

    /// The ports, by interface index modulo their number.
    pub fn ports(&self) -> &'static [Port] {
        self.ports
    }

    /// The slot of an interface's port.
    pub fn port(&self, ifindex: u32) -> &'static Port {
        &self.ports[(ifindex % PORT_SLOTS) as usize]
    }

    /// What ports have in the queue of punted packets.
    pub fn shares(&self) -> Shares {
        Shares(self.shares)
    }

    /// The queue of punted packets. There must be one reader at a time.
    pub fn punts(&self) -> Result<RingBuf<MapData>, KernelError> {
        let what = || "open map PUNTS".into();
        let data = MapData::from_pin(self.set().join("PUNTS")).meaning(what)?;
        let map = Map::RingBuf(data);
        RingBuf::try_from(map).meaning(what)
    }

    /// The addresses that we answer for on uplinks.
    pub fn eips(&self) -> Result<BTreeSet<Ipv4Addr>, KernelError> {
        let address = |key: Result<u32, _>| key.map(|key| Ipv4Addr::from(key.to_ne_bytes()));
        let keys = self.eips.keys().map(address);
        keys.collect::<Result<_, _>>()
            .meaning(|| "read map EIPS".into())
    }

    /// Makes `wanted` the addresses that we answer for on uplinks.
    pub fn set_eips(&mut self, wanted: &BTreeSet<Ipv4Addr>) -> Result<(), KernelError> {
        let what = || "change map EIPS".to_owned();
        let found = self.eips()?;
        for address in wanted.difference(&found) {
            let key = u32::from_ne_bytes(address.octets());
            self.eips.insert(key, 1, 0).meaning(what)?;
        }
        for address in found.difference(wanted) {
            let key = u32::from_ne_bytes(address.octets());
            self.eips.remove(&key).meaning(what)?;
        }
        Ok(())
    }

    /// Reads the kernel's counters, summed over CPUs.
    pub fn counters(&self) -> Result<Counters, KernelError> {
        let mut counters = Counters([0; counter::COUNT as usize]);
        for (index, sum) in counters.0.iter_mut().enumerate() {
            let values = self.counters.get(&(index as u32), 0);
            let values = values.meaning(|| "read map COUNTERS".into())?;
            *sum = values
                .iter()
                .fold(0, |sum: u64, value| sum.wrapping_add(*value));
        }
        Ok(counters)
    }
}

/// What ports have in the queue of punted packets.
#[derive(Clone, Copy, Debug)]
pub struct Shares(&'static [Share]);

impl Shares {
    /// An interface's.
    pub fn of(self, ifindex: u32) -> &'static Share {
        &self.0[(ifindex % PORT_SLOTS) as usize]
    }

    /// The queue is empty: nothing of any port waits.
    pub fn settle(self) {
        self.0.iter().for_each(Share::settle);
    }
}

/// The kernel's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters([u64; counter::COUNT as usize]);

impl Counters {
    /// Packets that met a flow of the table and were sent on.
    pub fn hit(&self) -> u64 {
        self.0[counter::HIT as usize]
    }

    /// Packets left to the host's own network stack.
    pub fn pass(&self) -> u64 {
        self.0[counter::PASS as usize]
    }

    /// Packets handed to the daemon for `reason`.
    pub fn punt(&self, reason: Punt) -> u64 {
        self.0[counter::punt(reason) as usize]
    }

    /// Packets that the kernel programs dropped for `reason`.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.0[counter::drop(reason) as usize]
    }

    /// Every counter under its name: `hit`, `pass`, `punt_…`, `drop_…`.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let punts = Punt::ALL.iter();
        let drops = Reason::ALL.iter();
        [
            ("hit".to_owned(), self.hit()),
            ("pass".to_owned(), self.pass()),
        ]
        .into_iter()
        .chain(punts.map(|&p| (format!("punt_{}", p.name()), self.punt(p))))
        .chain(drops.map(|&r| (format!("drop_{}", r.name()), self.dropped(r))))
    }
}

/// Makes sure that `dir` is on a bpf file system, and locks it.
fn lock(dir: &Path) -> Result<Lock, KernelError> {
    let parent = dir.parent().unwrap_or(dir);
    fs::create_dir_all(parent).meaning(|| format!("create {}", parent.display()))?;
    if !is_bpffs(parent)? {
        let mut inside = fs::read_dir(parent).meaning(|| format!("read {}", parent.display()))?;
        if inside.next().is_some() {
            return Err(KernelError::NoBpffs {
                parent: parent.to_path_buf(),
            });
        }
        mount(
            Some("bpf"),
            parent,
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=0700"),
        )
        .meaning(|| format!("mount a bpf file system on {}", parent.display()))?;
    }
    fs::create_dir_all(dir).meaning(|| format!("create {}", dir.display()))?;
    Lock::take(dir)
}

/// The right to the maps of a directory. It ends with this value, at the latest with the process.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes it, or says that another daemon has it.
    pub fn take(dir: &Path) -> Result<Lock, KernelError> {
        let file = File::open(dir).meaning(|| format!("open {}", dir.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(KernelError::Busy {
                dir: dir.to_path_buf(),
            }),
            Err(TryLockError::Error(error)) => {
                Err(error).meaning(|| format!("lock {}", dir.display()))
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process between fork and exec has it open too.
        let _ = self.0.unlock();
    }
}

fn is_bpffs(dir: &Path) -> Result<bool, KernelError> {
    let fs = statfs(dir).meaning(|| format!("look at {}", dir.display()))?;
    Ok(fs.filesystem_type() == BPF_FS_MAGIC)
}

/// Looks at what is pinned: the configuration of maps that can be adopted, `None` if there are no maps,
/// or why those that there are do not fit.
///
/// Maps that hold no flows are not worth losing flows for: if only they have another shape, they are
/// unpinned here and made anew.
fn survey(
    dir: &Path,
    set: &Path,
    sizes: Sizes,
) -> Result<Result<Option<abi::Config>, Misfit>, KernelError> {
    for name in names(dir)? {
        let version = name
            .strip_prefix('v')
            .and_then(|number| number.parse().ok());
        if let Some(version) = version.filter(|&version| version != VERSION) {
            return Ok(Err(Misfit::Version(version)));
        }
    }
    let Some(config) = pinned_config(set)? else {
        // Either nothing, or what a daemon left that was stopped while it created the maps.
        return Ok(Ok(None));
    };
    if config.version != VERSION {
        return Ok(Err(Misfit::Version(config.version)));
    }
    if config.slots != sizes.slots {
        return Ok(Err(Misfit::Slots {
            found: config.slots,
            wanted: sizes.slots,
        }));
    }
    let shape = |name| -> Option<(u32, u32)> {
        let info = MapInfo::from_pin(set.join(name)).ok()?;
        Some((info.value_size(), info.max_entries()))
    };
    let lasting = [
        ("FLOWS", (size_of::<Entry>() as u32, sizes.slots)),
        ("HOPS", (size_of::<Hop>() as u32, HOP_SLOTS)),
        ("PORTS", (size_of::<Port>() as u32, PORT_SLOTS)),
    ];
    for (name, wanted) in lasting {
        if shape(name) != Some(wanted) {
            return Ok(Err(Misfit::Damaged(name)));
        }
    }
    let passing = [
        ("COUNTERS", (size_of::<u64>() as u32, counter::COUNT)),
        ("PUNTS", (0, sizes.queue)),
        ("SHARES", (size_of::<Share>() as u32, PORT_SLOTS)),
        ("METERS", (size_of::<Meter>() as u32, METER_SLOTS)),
        ("ACCOUNTS", (size_of::<Account>() as u32, ACCOUNT_SLOTS)),
    ];
    for (name, wanted) in passing {
        if shape(name) != Some(wanted) {
            remove(&set.join(name))?;
        }
    }
    Ok(Ok(Some(config)))
}

/// Takes everything away that is pinned, attachments first, and makes a new configuration.
fn fresh(dir: &Path, sizes: Sizes) -> Result<abi::Config, KernelError> {
    let links = dir.join("links");
    for link in names(&links)? {
        detach(&links.join(link))?;
    }
    for set in names(dir)?.iter().map(|name| dir.join(name)) {
        if set != links && set.is_dir() {
            for map in names(&set)? {
                remove(&set.join(map))?;
            }
            fs::remove_dir(&set).meaning(|| format!("remove {}", set.display()))?;
        }
    }
    let mut seed = [0; 16];
    fill(&mut seed, "make the flow table's secret")?;
    let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| seed[at + i]));
    Ok(abi::Config {
        version: VERSION,
        slots: sizes.slots,
        seed: Seed(word(0), word(8)),
    })
}

fn fill(random: &mut [u8], what: &str) -> Result<(), KernelError> {
    getrandom::fill(random).map_err(|error| KernelError::Failed {
        what: what.into(),
        problem: error.to_string(),
    })
}

/// The accounts. They lie in an array that the programs' object does not have, for no program uses them.
fn accounts(set: &Path) -> Result<&'static [Account], KernelError> {
    const NAME: &str = "ACCOUNTS";
    let what = || format!("open map {NAME}");
    let path = set.join(NAME);
    let data = match MapData::from_pin(&path) {
        Err(error) if errno(&error) == Some(libc::ENOENT) => {
            let made = Array::<_, [u8; size_of::<Account>()]>::create(ACCOUNT_SLOTS, MMAPABLE);
            made.meaning(what)?.pin(&path).meaning(what)?;
            MapData::from_pin(&path)
        }
        found => found,
    };
    let accounts: &[Account] = memory(&data.meaning(what)?, NAME, ACCOUNT_SLOTS)?;
    if let Some(first) = accounts.first().filter(|first| !first.is_named()) {
        let mut number = [0; 8];
        fill(&mut number, "name the accounts")?;
        first.name_memory(u64::from_ne_bytes(number).max(1));
    }
    Ok(accounts)
}

fn pinned_config(set: &Path) -> Result<Option<abi::Config>, KernelError> {
    let what = || "read the pinned map CONFIG".to_owned();
    let data = match MapData::from_pin(set.join("CONFIG")) {
        Err(error) if errno(&error) == Some(libc::ENOENT) => return Ok(None),
        data => data.meaning(what)?,
    };
    let array = match Array::<_, object::Config>::try_from(Map::Array(data)) {
        // An older layout's, with a configuration of another size.
        Err(_) => return Ok(None),
        Ok(array) => array,
    };
    Ok(Some(array.get(&0, 0).meaning(what)?.0))
}

fn pin_config(set: &Path, config: &abi::Config) -> Result<(), KernelError> {
    let what = || "create the map CONFIG".to_owned();
    let mut array = Array::<_, object::Config>::create(1, 0).meaning(what)?;
    array.set(0, object::Config(*config), 0).meaning(what)?;
    array.pin(set.join("CONFIG")).meaning(what)
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, KernelError> {
    ebpf.take_map(name).ok_or_else(|| undefined(name))
}

fn undefined(name: &str) -> KernelError {
    KernelError::Failed {
        what: format!("open map {name}"),
        problem: "the programs' object does not define it".into(),
    }
}

/// Maps an array of the programs' object into this process, for good.
fn map_memory<T: Shared>(
    ebpf: &Ebpf,
    name: &'static str,
    len: u32,
) -> Result<&'static [T], KernelError> {
    match ebpf.map(name).ok_or_else(|| undefined(name))? {
        Map::Array(data) => memory(data, name, len),
        _ => Err(io::Error::from(ErrorKind::InvalidData))
            .meaning(|| format!("map {name} into memory")),
    }
}

/// Maps an array into this process, for good.
fn memory<T: Shared>(
    data: &MapData,
    name: &'static str,
    len: u32,
) -> Result<&'static [T], KernelError> {
    let what = || format!("map {name} into memory");
    let info = data.info().meaning(what)?;
    if (info.value_size(), info.max_entries()) != (size_of::<T>() as u32, len) {
        return Err(io::Error::from(ErrorKind::InvalidData)).meaning(what);
    }
    let memory = map_parts(data.fd().as_fd(), size_of::<T>() * len as usize).meaning(what)?;
    // SAFETY: the mapping has `len` elements of T's size, begins at a page, is never unmapped, and every
    // bit pattern is a T, which others may change at any time (`Shared`).
    Ok(unsafe { std::slice::from_raw_parts(memory.as_ptr().cast(), len as usize) })
}

/// Maps the first `bytes` of an array into this process, a part at a time. The kernel enters all pages of a mapping
/// at once and lets nothing else run on that processor meanwhile: with 200 MB for 13 ms, in which packets of open
/// flows would overflow the queues of network cards.
fn map_parts(array: BorrowedFd<'_>, bytes: usize) -> nix::Result<NonNull<c_void>> {
    let size = NonZeroUsize::new(bytes).ok_or(Errno::EINVAL)?;
    let (none, anonymous) = (ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE);
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let start = unsafe { mmap_anonymous(None, size, none, anonymous) }?;
    for at in (0..bytes).step_by(PART) {
        let here = NonZeroUsize::new(start.as_ptr() as usize + at);
        let part = NonZeroUsize::new(PART.min(bytes - at)).ok_or(Errno::EINVAL)?;
        // SAFETY: the place is within the mapping above, which nobody else knows.
        unsafe {
            mmap(
                here,
                part,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
                array,
                at as libc::off_t,
            )
        }?;
    }
    Ok(start)
}

/// What can lie in memory that the kernel writes to.
///
/// # Safety
/// The type consists of atomics only and has no padding; every bit pattern is valid.
unsafe trait Shared {}

// SAFETY: atomics only, without padding; their sizes are checked where they are defined.
unsafe impl Shared for Entry {}
// SAFETY: as above.
unsafe impl Shared for Hop {}
// SAFETY: as above.
unsafe impl Shared for Meter {}
// SAFETY: as above.
unsafe impl Shared for Account {}
// SAFETY: as above.
unsafe impl Shared for Port {}
// SAFETY: as above.
unsafe impl Shared for Share {}
