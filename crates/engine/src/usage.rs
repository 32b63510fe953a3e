//! Metering: what has gone by each EIP, and how many sessions.
//!
//! Nothing is counted here that is not counted anyway. The kernel counts in the entries of the flow table; what has
//! gone by an EIP is
//!
//! > what its ended sessions had counted + what is in the entries of its live ones.
//!
//! The first half lies in shared memory beside the flow table, an [`Account`] for each EIP and what it is
//! bound to, and is added to when a session ends. The second half is added up by the sweep, which looks at
//! every session anyway. So packets cost nothing, sessions four bytes, and a daemon that takes over finds both
//! halves, whenever the earlier one was killed. A session's counters are taken out of its entries *before* they
//! are added to the account: a kill between the two loses one session's, and nothing is ever counted twice.
//!
//! A round through the sessions takes several slices, and sessions end meanwhile. What is added to an account for
//! a session that was looked at in this round already is *late*: it counts from the next round on, and this
//! one takes the session as it was seen. So totals are those of the last complete round, about a second
//! old (with very many sessions several), and never go back.
//!
//! Packets that go from one EIP to another go out by the one and come in by the other. A NAT gateway's
//! numbers are the sums of its EIPs'. NAT IPs of VPC NAT gateways have accounts as EIPs have.

use crate::decide::{Direction, Entry};
use crate::engine::Core;
use crate::intranet;
#[cfg(any(test, feature = "check"))]
use crate::sessions::Session;
use crate::sessions::{NO_SLOT, SessionIx, Way};
use crate::snapshot::{Binding, EipIx, GatewayIx, Snapshot};
use crate::tuple;
use crate::view::{AccountView, GatewaySessions, UsageView};
use flow::{Activity, Key, flags};
use hashbrown::HashMap;
use model::Id;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// How many accounts there can be, less one: the first says which memory this is.
pub const ACCOUNT_SLOTS: u32 = 1 << 16;

/// What sessions that have ended have counted, as it lies in shared memory: one cache line. All zeroes is one
/// that is nobody's. The daemon alone writes it; it outlives the daemon as the flow table does.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Account {
    /// Whose it is, see [`owner`]. 0: nobody's. In the first of all: which memory this is.
    owner: AtomicU64,
    /// Sessions that were opened.
    opened: AtomicU64,
    /// Packets in and out.
    packets: [AtomicU64; 2],
    /// Bytes of frames in and out.
    bytes: [AtomicU64; 2],
    /// The EIP's address as in a packet, while the account is in the configuration; else 0.
    address: AtomicU64,
    spare: AtomicU64,
}

const _: () = assert!(size_of::<Account>() == 64);

impl Account {
    /// Says which memory this is: `number` is random, and not zero. Called on the first account of fresh memory.
    pub fn name_memory(&self, number: u64) {
        self.owner.store(number, Relaxed);
    }

    /// Whether this memory has been named: called on the first account.
    pub fn is_named(&self) -> bool {
        self.owner.load(Relaxed) != 0
    }

    /// Makes it nobody's, with nothing counted.
    pub fn clear(&self) {
        let Account {
            owner,
            opened,
            packets: [a, b],
            bytes: [c, d],
            address,
            ..
        } = self;
        for cell in [owner, opened, a, b, c, d, address] {
            cell.store(0, Relaxed);
        }
    }

    fn add(&self, t: Totals) {
        for n in [IN, OUT] {
            add(&self.packets[n], t.packets[n]);
            add(&self.bytes[n], t.bytes[n]);
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            packets: [IN, OUT].map(|n| self.packets[n].load(Relaxed)),
            bytes: [IN, OUT].map(|n| self.bytes[n].load(Relaxed)),
        }
    }
}

/// There is one writer. It wraps, as all sums here do: parts may be taken off before they were added.
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

/// Index of an account. 0 is none.
pub(crate) type AccountIx = u16;

/// The accounts that a session counts for: those of the EIP that its opener has, and of the EIP that it calls.
pub(crate) type Accounts = [AccountIx; 2];

const IN: usize = 0;
const OUT: usize = 1;

/// Packets and bytes, in and out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    packets: [u64; 2],
    bytes: [u64; 2],
}

impl Totals {
    fn plus(self, other: Totals) -> Totals {
        let sum = |a: [u64; 2], b: [u64; 2]| [IN, OUT].map(|n| a[n].wrapping_add(b[n]));
        Totals {
            packets: sum(self.packets, other.packets),
            bytes: sum(self.bytes, other.bytes),
        }
    }

    fn minus(self, other: Totals) -> Totals {
        let less = |a: [u64; 2], b: [u64; 2]| [IN, OUT].map(|n| a[n].wrapping_sub(b[n]));
        Totals {
            packets: less(self.packets, other.packets),
            bytes: less(self.bytes, other.bytes),
        }
    }

    /// What a session's packets are to one of its accounts: the opener's (0) or that of the EIP it calls (1).
    fn of(side: usize, [original, reply]: &[Activity; 2]) -> Totals {
        // What the opener sends goes out by its EIP, and comes in by the one that it calls.
        let (comes, goes) = match side {
            0 => (reply, original),
            _ => (original, reply),
        };
        Totals {
            packets: [comes.packets, goes.packets],
            bytes: [comes.bytes, goes.bytes],
        }
    }
}

/// Live sessions, and the most at once since the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Live {
    now: u32,
    peak: u32,
}

impl Live {
    fn add(&mut self, by: i32) {
        self.now = self.now.saturating_add_signed(by);
        self.peak = self.peak.max(self.now);
    }

    fn take_peak(&mut self) -> u32 {
        std::mem::replace(&mut self.peak, self.now)
    }
}

/// What the daemon has beside an account.
#[derive(Debug, Default)]
struct Book {
    /// The EIP and the NAT gateway; `None` if it is an earlier daemon's, and nobody has it now.
    name: Option<(Id, Option<Id>)>,
    /// It is a NAT IP's.
    nat_ip: bool,
    /// It is in the configuration.
    configured: bool,
    /// The gateway's place in [`Usage::gateways`].
    gateway: Option<GatewayIx>,
    /// Of this round: what live sessions have.
    sum: Totals,
    /// Of this round: what was added for sessions that are in `sum`.
    late: Totals,
    /// As of the last complete round.
    total: Totals,
    live: Live,
}

/// The accounts, and whose they are.
#[derive(Debug)]
pub(crate) struct Usage {
    memory: &'static [Account],
    /// By index of the account, as far as they were ever used.
    books: Vec<Book>,
    by_owner: HashMap<u64, AccountIx>,
    free: Vec<AccountIx>,
    /// The accounts that an earlier daemon had in its configuration, by the address of the EIP. 0: several have it, as
    /// NAT IPs of two VPCs may; a session finds its own when it is decided again.
    found: HashMap<u32, AccountIx>,
    /// The accounts of the snapshot's EIPs, 0 of those that are not bound.
    by_eip: Vec<AccountIx>,
    /// The sessions of the snapshot's NAT gateways.
    gateways: Vec<(Id, Live)>,
}

impl Usage {
    /// Over memory that may be an earlier daemon's.
    pub fn new(memory: &'static [Account]) -> Usage {
        let slots = memory.len().min(ACCOUNT_SLOTS as usize);
        let mut usage = Usage {
            memory,
            books: Vec::new(),
            by_owner: HashMap::new(),
            free: Vec::new(),
            found: HashMap::new(),
            by_eip: Vec::new(),
            gateways: Vec::new(),
        };
        for ix in (1..slots).rev() {
            let owner = memory[ix].owner.load(Relaxed);
            if owner != 0 && usage.by_owner.insert(owner, ix as AccountIx).is_none() {
                usage
                    .books
                    .resize_with(usage.books.len().max(ix + 1), Book::default);
                match memory[ix].address.load(Relaxed) {
                    0 => {}
                    address => {
                        let found = usage.found.entry(address as u32);
                        found.and_modify(|it| *it = 0).or_insert(ix as AccountIx);
                    }
                }
            } else {
                memory[ix].clear();
                usage.free.push(ix as AccountIx);
            }
        }
        usage
    }

    /// Gives every bound EIP of a new configuration its account. Those of others stay until they are
    /// [forgotten](Usage::forget).
    pub fn configure(&mut self, s: &Snapshot) {
        let mut before: HashMap<Id, Live> =
            std::mem::take(&mut self.gateways).into_iter().collect();
        let gateways = s.gateways.iter();
        self.gateways = gateways
            .map(|g| (g.id.clone(), before.remove(&g.id).unwrap_or_default()))
            .collect();
        for (account, book) in self.memory.iter().zip(&mut self.books).skip(1) {
            account.address.store(0, Relaxed);
            book.configured = false;
            book.gateway = None;
        }
        self.by_eip.clear();
        for eip in &s.eips {
            let (gateway, bound_to) = match eip.binding {
                Binding::None => {
                    self.by_eip.push(0);
                    continue;
                }
                Binding::Gateway(g) => (Some(g), &s.gateway(g).id),
                Binding::Eni(eni) => (None, &s.eni(eni).id),
            };
            let ix = self.account(owner(&eip.id, gateway.is_some(), bound_to));
            if ix != 0 {
                let book = &mut self.books[ix as usize];
                book.name = Some((eip.id.clone(), gateway.map(|_| bound_to.clone())));
                book.nat_ip = eip.uplink.is_none();
                book.configured = true;
                book.gateway = gateway;
                let address = u64::from(tuple::raw(eip.address));
                self.memory[ix as usize].address.store(address, Relaxed);
            }
            self.by_eip.push(ix);
        }
        for (_, live) in &mut self.gateways {
            live.now = 0;
        }
        for book in &self.books {
            if let Some(gateway) = book.gateway {
                self.gateways[gateway as usize].1.now += book.live.now;
            }
        }
        for (_, live) in &mut self.gateways {
            live.add(0);
        }
    }

    /// The account of an owner, which is made if there is none; 0 if there is no room.
    fn account(&mut self, owner: u64) -> AccountIx {
        if let Some(&ix) = self.by_owner.get(&owner) {
            return ix;
        }
        let Some(ix) = self.free.pop() else { return 0 };
        self.by_owner.insert(owner, ix);
        let places = self.books.len().max(ix as usize + 1);
        self.books.resize_with(places, Book::default);
        self.books[ix as usize] = Book::default();
        self.memory[ix as usize].owner.store(owner, Relaxed);
        ix
    }

    /// The accounts of a session. `entry` is what decided its translation.
    pub fn of(
        &self,
        s: &Snapshot,
        direction: Direction,
        keys: &[Key; 2],
        entry: Option<Entry>,
    ) -> Accounts {
        let account = |address: u32| match s.by_eip.get(&tuple::ip(address)) {
            Some(&eip) => self.by_eip[eip as usize],
            None => 0,
        };
        let [original, reply] = keys;
        match direction {
            Direction::Out => [account(reply.dst), 0],
            Direction::In => [0, account(original.dst)],
            Direction::Hairpin => [account(reply.dst), account(original.dst)],
            Direction::Local => match entry {
                Some(Entry::Snat(g, _) | Entry::Dnat(g, _)) => self.of_nat_ips(s, g, keys, entry),
                _ => [0; 2],
            },
        }
    }

    /// The accounts of a session through VPC NAT gateways: that of the NAT IP that its opener is seen as, if one of
    /// gateway `g` is, and that of the NAT IP that it calls.
    fn of_nat_ips(
        &self,
        s: &Snapshot,
        g: GatewayIx,
        keys: &[Key; 2],
        entry: Option<Entry>,
    ) -> Accounts {
        let [original, reply] = keys;
        let account = |eip: EipIx| self.by_eip[eip as usize];
        let translated = matches!(entry, Some(Entry::Snat(..))) || reply.dst != original.src;
        let own = s.gateway(g).eips.get(&tuple::ip(reply.dst));
        let own = own.filter(|_| translated).copied();
        let from = s.origin(original);
        let called = from.and_then(|from| intranet::called(s, from, original));
        [own.map_or(0, account), called.map_or(0, account)]
    }

    /// The accounts that a session of an earlier daemon counted for.
    pub fn found(&self, [original, reply]: &[Key; 2]) -> Accounts {
        let account = |address: u32, translated: bool| match translated {
            true => self.found.get(&address).copied().unwrap_or(0),
            false => 0,
        };
        [
            account(reply.dst, reply.dst != original.src),
            account(original.dst, original.dst != reply.src),
        ]
    }

    /// A session of these accounts has been opened.
    pub fn open(&mut self, accounts: Accounts) {
        for ix in accounts.into_iter().filter(|&ix| ix != 0) {
            add(&self.memory[ix as usize].opened, 1);
        }
    }

    /// So many sessions of these accounts are live more, or with a negative number less.
    pub fn live(&mut self, accounts: Accounts, by: i32) {
        for ix in accounts.into_iter().filter(|&ix| ix != 0) {
            let book = &mut self.books[ix as usize];
            book.live.add(by);
            if let Some(gateway) = book.gateway {
                self.gateways[gateway as usize].1.add(by);
            }
        }
    }

    /// What is not in the entries of a live session counts for its accounts. `seen`: the session was looked at in
    /// this round.
    pub fn add(&mut self, accounts: Accounts, activity: &[Activity; 2], seen: bool) {
        for (side, ix) in each(accounts) {
            let totals = Totals::of(side, activity);
            self.memory[ix as usize].add(totals);
            if seen {
                let book = &mut self.books[ix as usize];
                book.late = book.late.plus(totals);
            }
        }
    }

    /// What was [added](Usage::add) is in the entries of a live session again.
    pub fn take_off(&mut self, accounts: Accounts, activity: &[Activity; 2], seen: bool) {
        for (side, ix) in each(accounts) {
            let less = Totals::default().minus(Totals::of(side, activity));
            self.memory[ix as usize].add(less);
            if seen {
                let book = &mut self.books[ix as usize];
                book.late = book.late.plus(less);
            }
        }
    }

    /// A live session counts for other accounts from now on.
    pub fn turn(&mut self, old: Accounts, new: Accounts, activity: &[Activity; 2], seen: bool) {
        for side in 0..old.len() {
            let only = |accounts: Accounts| {
                let mut one = [0; 2];
                one[side] = accounts[side];
                one
            };
            if old[side] == new[side] {
                continue;
            }
            self.add(only(old), activity, seen);
            self.live(only(old), -1);
            if old[side] != 0 {
                // What it had before is not the new account's.
                self.take_off(only(new), activity, seen);
            }
            self.live(only(new), 1);
        }
    }

    /// A packet that no entry counts.
    pub fn packet(&mut self, accounts: Accounts, way: Way, packets: u64, bytes: u64) {
        let mut activity = [Activity::default(); 2];
        activity[way as usize].packets = packets;
        activity[way as usize].bytes = bytes;
        self.add(accounts, &activity, false);
    }

    /// A live session is looked at.
    pub fn see(&mut self, accounts: Accounts, activity: &[Activity; 2]) {
        for (side, ix) in each(accounts) {
            let book = &mut self.books[ix as usize];
            book.sum = book.sum.plus(Totals::of(side, activity));
        }
    }

    /// All sessions have been looked at.
    pub fn end_round(&mut self) {
        for (account, book) in self.memory.iter().zip(&mut self.books) {
            book.total = account.totals().minus(book.late).plus(book.sum);
            book.sum = Totals::default();
            book.late = Totals::default();
        }
    }

    /// What there is, as of the last round. The highest numbers of sessions are those since the last call.
    pub fn view(&mut self) -> UsageView {
        let mut accounts = Vec::with_capacity(self.by_owner.len());
        for (&owner, &ix) in &self.by_owner {
            let book = &mut self.books[ix as usize];
            let (eip, gateway) = book.name.clone().unzip();
            accounts.push(AccountView {
                owner,
                eip,
                nat_ip: book.nat_ip,
                gateway: gateway.flatten(),
                configured: book.configured,
                opened: self.memory[ix as usize].opened.load(Relaxed),
                live: book.live.now,
                peak: book.live.take_peak(),
                packets_in: book.total.packets[IN],
                bytes_in: book.total.bytes[IN],
                packets_out: book.total.packets[OUT],
                bytes_out: book.total.bytes[OUT],
            });
        }
        let gateways = self.gateways.iter_mut();
        let gateways = gateways.map(|(id, live)| GatewaySessions {
            gateway: id.clone(),
            live: live.now,
            peak: live.take_peak(),
        });
        UsageView {
            memory: self.memory.first().map_or(0, |it| it.owner.load(Relaxed)),
            gateways: gateways.collect(),
            accounts,
            sources: Vec::new(),
        }
    }

    /// Gives back accounts that are not in the configuration: whoever reads them has what they say.
    pub fn forget(&mut self, owners: &[u64]) {
        for owner in owners {
            let Some(&ix) = self.by_owner.get(owner) else {
                continue;
            };
            let book = &mut self.books[ix as usize];
            if !book.configured && book.live.now == 0 {
                *book = Book::default();
                self.by_owner.remove(owner);
                self.memory[ix as usize].clear();
                self.free.push(ix);
            }
        }
    }

    /// Checks that live sessions are counted where they belong, and totals are what the accounts and entries say.
    #[cfg(any(test, feature = "check"))]
    pub fn check<'a>(&self, sessions: impl Iterator<Item = &'a Session>) {
        let mut live: HashMap<AccountIx, u32> = HashMap::new();
        for (_, ix) in sessions.flat_map(|session| each(session.accounts)) {
            *live.entry(ix).or_default() += 1;
        }
        for (ix, book) in self.books.iter().enumerate() {
            let expected = live.get(&(ix as AccountIx)).copied().unwrap_or(0);
            assert_eq!(book.live.now, expected, "sessions of {:?}", book.name);
        }
        for (gateway, (id, of)) in self.gateways.iter().enumerate() {
            let books = self.books.iter();
            let books = books.filter(|book| book.gateway == Some(gateway as GatewayIx));
            let sum: u32 = books.map(|book| book.live.now).sum();
            assert_eq!(of.now, sum, "sessions of {id}");
        }
        let mut all: Vec<AccountIx> = self.free.clone();
        all.extend(self.by_owner.values());
        all.sort_unstable();
        assert!(all.iter().copied().eq(1..self.memory.len() as AccountIx));
    }
}

impl Core {
    /// Whether the sweep has looked at a session in this round.
    pub(crate) fn was_seen(&self, ix: SessionIx) -> bool {
        ix < self.sweep.next()
    }

    /// Takes the counters out of entries, for somebody else to keep.
    pub(crate) fn take_counters(&self, slots: [u32; 2]) -> [Activity; 2] {
        slots.map(|slot| match slot {
            NO_SLOT => Activity::default(),
            slot => {
                let entry = self.table.entry(slot);
                Activity {
                    packets: entry.packets.swap(0, Relaxed),
                    bytes: entry.bytes.swap(0, Relaxed),
                    ..entry.activity()
                }
            }
        })
    }

    /// A slot that was retired is used by no kernel program any more: what has been counted in it since
    /// counts for the accounts of the session that had it.
    pub(crate) fn settle(&mut self, slot: u32) {
        let entry = self.table.entry(slot);
        let activity = entry.activity();
        if activity.packets != 0 {
            let way = match entry.action().flags & flags::ORIGINAL {
                0 => Way::Reply,
                _ => Way::Original,
            };
            let accounts = self.sessions.left(slot);
            self.usage
                .packet(accounts, way, activity.packets, activity.bytes);
        }
    }

    /// Looks at all sessions at once.
    pub(crate) fn see_all(&mut self) {
        for ix in 0..self.sessions.places() {
            self.fetch_ahead(ix);
            self.see(ix);
        }
        self.usage.end_round();
        self.sources.end_round();
    }

    /// Looks at a session. Those that are not in the flow table have their accounts count each packet.
    pub(crate) fn see(&mut self, ix: SessionIx) {
        let Some(session) = self.sessions.get(ix) else {
            return;
        };
        if self.sources.watch() && session.gateway.is_some() {
            let activity = self.activity(session);
            self.sources.see(session, &activity);
        }
        if session.accounts != [0; 2] && session.slow.is_none() {
            let activity = session.slots.map(|slot| self.table.entry(slot).activity());
            self.usage.see(session.accounts, &activity);
        }
    }
}

/// The sides of a session that have an account.
fn each(accounts: Accounts) -> impl Iterator<Item = (usize, AccountIx)> {
    accounts.into_iter().enumerate().filter(|&(_, ix)| ix != 0)
}

/// What an account says of its owner: FNV-1a of the EIP's identifier and of what it is bound to. It finds the accounts
/// of an earlier daemon again.
fn owner(eip: &str, gateway: bool, bound_to: &str) -> u64 {
    let kind = [0xff, u8::from(gateway)];
    let bytes = eip.bytes().chain(kind).chain(bound_to.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.max(1)
}
