//! SNAT mappings: which external address and port an instance's address and port has.
//!
//! **Mapping** is endpoint-independent (RFC 4787, REQ-1): what an instance sends from one address and
//! port leaves by one EIP and port, whatever the destination. The source port is kept if it can be
//! (and always stays below or above 1024, REQ-3); a mapping lives as long as it has sessions.
//!
//! **Overloading.** A mapping owns its external port. When all ports of an EIP have owners, further
//! mappings share ports: a port serves any number of instances as long as no two of them talk to the
//! same destination address and port from it. So the limit is a number of sessions per EIP, protocol
//! *and destination*, not per EIP. A shared mapping is still used for later destinations where that
//! gives no conflict, and another port is taken where it does: mapping becomes dependent on the
//! endpoint only where ports have run out, or for gateways that are to map so: then each session has a
//! mapping of its own.
//!
//! **Filtering** is not decided here, but only a port's owner can be reached by unknown peers.

use crate::index::Index;
use crate::ports::Ports;
use crate::room;
use crate::snapshot::{Gateway, Snapshot};
use crate::tuple;
use flow::{Key, Seed, proto};
use hashbrown::{HashMap, HashTable};
use model::Filtering;
use std::net::Ipv4Addr;
use std::ops::{Range, RangeInclusive};

/// How many shared ports are tried for a new session before it is given up; a smaller range is tried as a
/// whole. While a tenth of the ports is free towards the destination, the chance to find none is 10⁻¹².
const TRIES: u32 = 256;

/// Index of a mapping.
pub(crate) type MappingIx = u32;

/// An instance's address and port on the private side. For ICMP the port is the identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inner {
    pub zone: u16,
    pub proto: u8,
    pub address: u32,
    pub port: u16,
}

impl Inner {
    pub fn of(key: &Key) -> Inner {
        Inner {
            zone: key.zone,
            proto: key.proto,
            address: key.src,
            port: key.sport,
        }
    }
}

/// An address on the outer side: an EIP, or a NAT IP of a VPC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Outer {
    /// As in a packet.
    pub address: u32,
    /// What tells the NAT IPs of VPCs apart that have the same addresses; 0: an EIP.
    realm: u32,
}

impl Outer {
    /// An address in a realm.
    pub fn new(address: Ipv4Addr, realm: u32) -> Outer {
        Outer {
            address: tuple::raw(address),
            realm,
        }
    }

    /// Both in one number, to be hashed.
    fn folded(self) -> u32 {
        self.address ^ self.realm
    }
}

/// A mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub inner: Inner,
    /// The external address.
    pub eip: Outer,
    /// The external port, as in a packet.
    pub port: u16,
    /// It owns the port: nobody else may become its owner, and it can be reached from outside.
    pub owner: bool,
    /// It is found for later destinations.
    listed: bool,
    sessions: u32,
}

/// An EIP's ports.
#[derive(Debug, Default)]
struct EipPorts {
    /// By protocol: TCP, UDP, ICMP.
    classes: [Ports; 3],
    sessions: u64,
    exhausted: u64,
}

/// The external port that a new session could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// That of a mapping that exists.
    Existing(MappingIx),
    /// A new mapping: EIP, port (as in a packet), whether it would own the port and whether later
    /// destinations may use it.
    New {
        eip: Outer,
        port: u16,
        owner: bool,
        listed: bool,
    },
}

/// All mappings.
#[derive(Debug)]
pub(crate) struct Nat {
    mappings: Vec<Mapping>,
    free: Vec<MappingIx>,
    by_inner: Index,
    /// Owners by external port, kept as long as somebody is let in by their ports.
    by_outer: Option<HashTable<MappingIx>>,
    eips: HashMap<Outer, EipPorts>,
    seed: Seed,
}

fn class(protocol: u8) -> usize {
    match protocol {
        proto::TCP => 0,
        proto::UDP => 1,
        _ => 2,
    }
}

impl Nat {
    /// With room for `expected` mappings: growing would rehash all of them while packets wait.
    pub fn new(seed: Seed, expected: u32) -> Nat {
        Nat {
            mappings: Vec::with_capacity(expected as usize),
            free: Vec::new(),
            by_inner: Index::with_capacity(expected as usize),
            by_outer: None,
            eips: HashMap::new(),
            seed,
        }
    }

    /// The memory that mappings to come will be kept in.
    pub fn room(&self) -> [Range<usize>; 2] {
        [room::ahead(&self.mappings), self.by_inner.room()]
    }

    /// Takes a new configuration into account. Ports of DNAT entries are not given to SNAT any more;
    /// mappings that have one already keep it.
    pub fn configure(&mut self, snapshot: &Snapshot) {
        let open = |g: &Gateway| g.filtering == Filtering::EndpointIndependent;
        if !snapshot.gateways.iter().any(open) {
            self.by_outer = None;
        } else if self.by_outer.is_none() {
            self.by_outer = Some(HashTable::with_capacity(self.mappings.capacity()));
            for ix in 0..self.mappings.len() as MappingIx {
                let mapping = &self.mappings[ix as usize];
                if mapping.sessions > 0 && mapping.owner {
                    self.list_outer(ix);
                }
            }
        }
        self.eips.retain(|_, eip| {
            eip.classes.iter_mut().for_each(Ports::unreserve_all);
            eip.sessions > 0 || eip.exhausted > 0
        });
        for eip in &snapshot.eips {
            let known = self.eips.entry(eip.outer).or_default();
            for forward in &eip.forwards {
                let ports = &mut known.classes[class(forward.protocol)];
                for port in forward.external.clone() {
                    ports.reserve(port);
                }
            }
        }
    }

    /// A number that depends on the parts and the secret: for spreading over EIPs and ports.
    pub fn spread(&self, a: u32, b: u32, c: u16) -> u64 {
        Key {
            src: a,
            dst: b,
            sport: c,
            ..Key::default()
        }
        .hash(self.seed)
    }

    fn find(&self, inner: &Inner, eip: Outer) -> Option<MappingIx> {
        self.by_inner
            .find(inner_key(inner, eip).hash(self.seed), |ix| {
                let m = &self.mappings[ix as usize];
                m.inner == *inner && m.eip == eip
            })
    }

    /// Has the processor fetch where the mapping of `inner` on `eip` is found, for use soon.
    #[inline]
    pub fn prefetch(&self, inner: &Inner, eip: Outer) {
        self.by_inner
            .prefetch(inner_key(inner, eip).hash(self.seed));
    }

    /// The mapping that owns an external port, if a gateway of the configuration filters independently of
    /// the endpoint.
    pub fn owner(&self, protocol: u8, eip: Outer, port: u16) -> Option<MappingIx> {
        self.by_outer
            .as_ref()?
            .find(outer_key(protocol, eip, port).hash(self.seed), |&ix| {
                let m = &self.mappings[ix as usize];
                m.inner.proto == protocol && m.eip == eip && m.port == port
            })
            .copied()
    }

    /// Whether strangers may be let in by mappings.
    pub fn lets_in(&self) -> bool {
        self.by_outer.is_some()
    }

    /// A mapping.
    pub fn mapping(&self, ix: MappingIx) -> &Mapping {
        &self.mappings[ix as usize]
    }

    /// The external port for a new session of `inner` on `eip`. `usable` says whether no session has the
    /// tuple that a port (as in a packet) would give. `None`: every port is in use towards this
    /// destination.
    pub fn choose(
        &self,
        inner: &Inner,
        eip: Outer,
        mapping: model::Mapping,
        range: &RangeInclusive<u16>,
        usable: impl Fn(u16) -> bool,
    ) -> Option<Choice> {
        let existing = self.find(inner, eip);
        let serves_all = mapping == model::Mapping::EndpointIndependent;
        if let Some(ix) = existing.filter(|_| serves_all)
            && usable(self.mappings[ix as usize].port)
        {
            return Some(Choice::Existing(ix));
        }
        // A second mapping of the same instance and port serves this destination only.
        let listed = existing.is_none();
        let new = |port: u16, owner| {
            Some(Choice::New {
                eip,
                port: port.to_be(),
                owner,
                listed,
            })
        };
        let ports = self.eips.get(&eip).map(|e| &e.classes[class(inner.proto)]);
        let busy = |port: u16| ports.is_some_and(|p| p.is_busy(port));

        let wanted = u16::from_be(inner.port);
        let range = &range_for(inner, range);
        if range.contains(&wanted) && !busy(wanted) && usable(inner.port) {
            return new(wanted, true);
        }
        // A port of its own, from a place on that depends on who asks. That it has no owner does not mean
        // that no session has the tuple: the owner may be gone, and others still share the port.
        let (low, high) = (*range.start() as u32, *range.end() as u32);
        let span = high - low + 1;
        let mut at = low + (inner_key(inner, eip).hash(self.seed) >> 32) as u32 % span;
        for _ in 0..TRIES.min(span) {
            let free = match ports {
                Some(ports) => ports.first_free(range, at as u16),
                None => Some(at as u16),
            };
            let Some(port) = free else { break };
            if usable(port.to_be()) {
                return new(port, true);
            }
            at = if port as u32 == high {
                low
            } else {
                port as u32 + 1
            };
        }
        // A port that others have, too: any, independently of each other, so that no part of the ports
        // is full before the others.
        let ports = ports?;
        let start = inner_key(inner, eip).hash(self.seed) as u32 % span;
        for n in 0..TRIES.min(span) {
            let offset = match span {
                ..=TRIES => (start + n) % span,
                _ => self.spread(start, n, 0) as u32 % span,
            };
            let port = (low + offset) as u16;
            if ports.is_shareable(port) && usable(port.to_be()) {
                return new(port, false);
            }
        }
        None
    }

    /// Makes a choice come true and counts a session on its mapping.
    pub fn commit(&mut self, inner: &Inner, choice: Choice) -> MappingIx {
        match choice {
            Choice::Existing(ix) => self.share(ix),
            Choice::New {
                eip,
                port,
                owner,
                listed,
            } => self.add(inner, eip, port, owner, listed),
        }
    }

    /// Counts a session more on a mapping.
    pub fn share(&mut self, ix: MappingIx) -> MappingIx {
        let mapping = &mut self.mappings[ix as usize];
        mapping.sessions += 1;
        self.eips.entry(mapping.eip).or_default().sessions += 1;
        ix
    }

    /// Takes over a session's mapping from an earlier daemon.
    pub fn adopt(&mut self, inner: &Inner, eip: Outer, port: u16) -> MappingIx {
        let choice = match self.find(inner, eip) {
            Some(ix) if self.mappings[ix as usize].port == port => Choice::Existing(ix),
            other => {
                let known = self.eips.get(&eip);
                let taken = known.is_some_and(|eip| {
                    let ports = &eip.classes[class(inner.proto)];
                    ports.is_owned(u16::from_be(port))
                });
                Choice::New {
                    eip,
                    port,
                    owner: !taken,
                    listed: other.is_none(),
                }
            }
        };
        self.commit(inner, choice)
    }

    /// Adds a mapping with one session.
    fn add(
        &mut self,
        inner: &Inner,
        eip: Outer,
        port: u16,
        owner: bool,
        listed: bool,
    ) -> MappingIx {
        let mapping = Mapping {
            inner: *inner,
            eip,
            port,
            owner,
            listed,
            sessions: 1,
        };
        let ix = match self.free.pop() {
            Some(ix) => {
                self.mappings[ix as usize] = mapping;
                ix
            }
            None => {
                self.mappings.push(mapping);
                self.mappings.len() as u32 - 1
            }
        };
        let known = self.eips.entry(eip).or_default();
        known.sessions += 1;
        if owner {
            known.classes[class(inner.proto)].own(u16::from_be(port));
            self.list_outer(ix);
        }
        if listed {
            let hash = inner_key(inner, eip).hash(self.seed);
            self.by_inner.insert(hash, ix);
        }
        ix
    }

    fn list_outer(&mut self, ix: MappingIx) {
        if let Some(by_outer) = &mut self.by_outer {
            let (mappings, seed) = (&self.mappings, self.seed);
            let hash = |&ix: &MappingIx| {
                let m = &mappings[ix as usize];
                outer_key(m.inner.proto, m.eip, m.port).hash(seed)
            };
            by_outer.insert_unique(hash(&ix), ix, hash);
        }
    }

    /// A session of the mapping has ended; with the last one the mapping ends and its port is free.
    pub fn release(&mut self, ix: MappingIx) {
        let mapping = &mut self.mappings[ix as usize];
        mapping.sessions -= 1;
        let mapping = *mapping;
        if let Some(eip) = self.eips.get_mut(&mapping.eip) {
            eip.sessions -= 1;
            if mapping.sessions == 0 && mapping.owner {
                eip.classes[class(mapping.inner.proto)].disown(u16::from_be(mapping.port));
            }
        }
        if mapping.sessions > 0 {
            return;
        }
        if let Some(by_outer) = self.by_outer.as_mut().filter(|_| mapping.owner) {
            let hash = outer_key(mapping.inner.proto, mapping.eip, mapping.port).hash(self.seed);
            if let Ok(found) = by_outer.find_entry(hash, |&other| other == ix) {
                found.remove();
            }
        }
        if mapping.listed {
            let hash = inner_key(&mapping.inner, mapping.eip).hash(self.seed);
            self.by_inner.remove(hash, ix);
        }
        self.free.push(ix);
    }

    /// Counts a session that got no port.
    pub fn count_exhausted(&mut self, eip: Outer) {
        self.eips.entry(eip).or_default().exhausted += 1;
    }

    /// Ports with owners (TCP, UDP, ICMP), sessions and sessions without a port of an EIP.
    pub fn usage(&self, eip: Outer) -> ([u32; 3], u64, u64) {
        match self.eips.get(&eip) {
            Some(eip) => (
                eip.classes.each_ref().map(Ports::owned),
                eip.sessions,
                eip.exhausted,
            ),
            None => ([0; 3], 0, 0),
        }
    }

    /// Checks that mappings have as many sessions as `uses` says, and that everything else agrees with them.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self, uses: &HashMap<MappingIx, u32>) {
        let mut ports: HashMap<(Outer, usize), u32> = HashMap::new();
        let mut sessions: HashMap<Outer, u64> = HashMap::new();
        let (mut owners, mut listed) = (0, 0);
        for (&ix, &count) in uses {
            let m = self.mapping(ix);
            assert_eq!(m.sessions, count, "{m:?}");
            *sessions.entry(m.eip).or_default() += count as u64;
            if m.owner {
                owners += 1;
                let found = self.owner(m.inner.proto, m.eip, m.port);
                assert_eq!(found, self.by_outer.as_ref().map(|_| ix), "{m:?}");
                let class = class(m.inner.proto);
                *ports.entry((m.eip, class)).or_default() += 1;
                let known = &self.eips[&m.eip].classes[class];
                assert!(known.is_owned(u16::from_be(m.port)), "{m:?}");
            }
            if m.listed {
                listed += 1;
                assert_eq!(self.find(&m.inner, m.eip), Some(ix), "{m:?}");
            }
        }
        assert_eq!(self.mappings.len() - self.free.len(), uses.len());
        assert!(
            self.by_outer
                .as_ref()
                .is_none_or(|index| index.len() == owners)
        );
        assert_eq!(self.by_inner.len(), listed);
        for (eip, known) in &self.eips {
            assert_eq!(known.sessions, sessions.get(eip).copied().unwrap_or(0));
            for (class, known) in known.classes.iter().enumerate() {
                let owned = ports.get(&(*eip, class)).copied().unwrap_or(0);
                assert_eq!(known.owned(), owned);
            }
        }
    }
}

/// An external address and port, in the form that is hashed.
fn outer_key(protocol: u8, eip: Outer, port: u16) -> Key {
    Key {
        dst: eip.folded(),
        dport: port,
        proto: protocol,
        ..Key::default()
    }
}

/// An internal address and port on an EIP, in the form that is hashed.
fn inner_key(inner: &Inner, eip: Outer) -> Key {
    Key {
        src: inner.address,
        dst: eip.folded(),
        sport: inner.port,
        dport: 0,
        zone: inner.zone,
        proto: inner.proto,
    }
}

/// The part of the gateway's ports for this sender: a well-known source port stays one and any
/// other does not become one, as far as the gateway's range has both kinds (RFC 4787, REQ-3a).
/// ICMP identifiers are all alike: the whole space.
fn range_for(inner: &Inner, range: &RangeInclusive<u16>) -> RangeInclusive<u16> {
    let (low, high) = (*range.start(), *range.end());
    if inner.proto == proto::ICMP {
        return 0..=u16::MAX;
    }
    if low >= 1024 || high < 1024 {
        return low..=high;
    }
    if u16::from_be(inner.port) < 1024 {
        low..=1023
    } else {
        1024..=high
    }
}
