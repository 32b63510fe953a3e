//! The engine with links and stations around it.

use super::kernel::{self, KernelPort, Verdict};
use super::links::{ethernet, links_of, make_partial};
use super::memory::{Shared, given, memory};
use super::packet::{Packet, Transport};
use engine::record::Record;
use engine::{
    Engine, Input, Link, Offload, Output, PortRef, SessionFilter, SessionView, Snapshot, StatsView,
    Time,
};
use flow::Seed;
use flow::header::Checksum;
use flow::reason::Reason;
use flow::table::Geometry;
use model::Config;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// A packet that came out at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The network interface or uplink.
    pub at: String,
    pub packet: Packet,
    pub offload: Offload,
    /// Whether the kernel sent it, not the engine.
    pub fast: bool,
}

/// An ARP message that came out at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpSeen {
    pub ifindex: u32,
    pub reply: bool,
    pub mac: [u8; 6],
    pub sender: Ipv4Addr,
    pub target: Ipv4Addr,
}

/// Counters of the kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelCounters {
    pub hits: u64,
    pub punts: u64,
    pub drops: HashMap<Reason, u64>,
}

#[derive(Default)]
struct Sent(Vec<(u32, Vec<u8>, Offload)>, Vec<Record>);

impl Output for Sent {
    fn transmit(&mut self, ifindex: u32, frame: &[u8], offload: Offload) {
        self.0.push((ifindex, frame.to_vec(), offload));
    }

    fn record(&mut self, record: Record) {
        self.1.push(record);
    }
}

pub(super) const SEED: Seed = Seed(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);

/// When the engine decides again about sessions after a change of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// With all at once, as it does while there are few.
    AtOnce,
    /// One after the other, as it does while there are many, before anything else happens.
    Driven,
    /// One after the other as time goes by or [`World::step`]s are made.
    Lazy,
}

/// The engine, its kernel, its links.
pub struct World {
    pub engine: Engine,
    pub config: Config,
    pub links: Vec<Link>,
    pub now: Time,
    pub kernel: KernelCounters,
    /// Stations that do not answer ARP.
    pub silent: HashSet<Ipv4Addr>,
    /// Stations that have another MAC address than the usual one.
    pub moved: HashMap<Ipv4Addr, [u8; 6]>,
    /// ARP messages that came out.
    pub arps: Vec<ArpSeen>,
    /// Whether every step ends with a check of the engine's own books.
    pub checked: bool,
    /// Whether what goes in is right, so that what comes out must be.
    pub clean: bool,
    /// Whether records are asked for, and those that came.
    pub recording: bool,
    /// When the engine decides again about sessions after a change of the configuration.
    pace: Pace,
    records: Vec<Record>,
    memory: Shared,
    known_links: Vec<Link>,
    seen: Vec<Seen>,
    retired: Vec<u32>,
    /// Frames on their way to us.
    pub(super) queue: VecDeque<(u32, Vec<u8>, Offload)>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.memory.give_back();
    }
}

impl World {
    /// A world with a configuration in TOML.
    pub fn new(toml: &str) -> World {
        World::with_slots(toml, 16_384)
    }

    pub fn with_slots(toml: &str, slots: usize) -> World {
        World::of(parse(toml), slots)
    }

    pub fn of(config: Config, slots: usize) -> World {
        let memory = memory(slots);
        let mut known_links = Vec::new();
        let links = links_of(&config, &mut known_links);
        let now = Time(1_000_000_000_000);
        let snapshot = Snapshot::build(&config, &links).expect("a snapshot");
        let engine = Engine::new(given(memory), Arc::new(snapshot), now);
        let mut world = World {
            engine,
            config,
            links,
            now,
            kernel: KernelCounters::default(),
            silent: HashSet::new(),
            moved: HashMap::new(),
            arps: Vec::new(),
            checked: true,
            clean: true,
            recording: false,
            pace: Pace::AtOnce,
            records: Vec::new(),
            memory,
            known_links,
            seen: Vec::new(),
            retired: Vec::new(),
            queue: VecDeque::new(),
        };
        world.set_pace(Pace::Driven);
        world
    }

    /// The memory that kernel and engine share.
    pub fn shared(&self) -> Shared {
        self.memory
    }

    // ---- what happens -------------------------------------------------------------------------

    /// An instance's interface sends a packet to its gateway. Gives what came out anywhere.
    pub fn from(&mut self, eni: &str, packet: Packet) -> Vec<Seen> {
        self.send(eni, packet, Offload::NONE)
    }

    /// As [`World::from`], with something left to hardware.
    pub fn send(&mut self, eni: &str, packet: Packet, offload: Offload) -> Vec<Seen> {
        let link = self.link(eni).clone();
        let frame = self.frame(&link, packet.src, &packet, offload);
        self.inject(link.ifindex, frame, offload)
    }

    /// A packet comes from outside.
    pub fn net(&mut self, packet: Packet) -> Vec<Seen> {
        self.send("wan", packet, Offload::NONE)
    }

    /// The frame in which a station sends a packet to us.
    pub fn frame(&self, link: &Link, src: Ipv4Addr, packet: &Packet, offload: Offload) -> Vec<u8> {
        let from = self.mac_of(link, self.next_hop(link, src));
        let mut frame = ethernet(link.mac, from, 0x0800);
        frame.extend(packet.bytes());
        if offload.checksum == Checksum::Partial {
            make_partial(&mut frame, packet);
        }
        frame
    }

    /// A frame comes in. Gives what came out.
    pub fn inject(&mut self, ifindex: u32, frame: Vec<u8>, offload: Offload) -> Vec<Seen> {
        self.queue.push_back((ifindex, frame, offload));
        self.settle();
        self.take()
    }

    /// What came out and was not taken yet.
    pub fn take(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    fn settle(&mut self) {
        while let Some((ifindex, mut frame, offload)) = self.queue.pop_front() {
            self.receive(ifindex, &mut frame, offload);
        }
        if self.checked {
            self.engine.check();
        }
    }

    fn receive(&mut self, ifindex: u32, frame: &mut [u8], offload: Offload) {
        let Some(link) = self.links.iter().find(|l| l.ifindex == ifindex).cloned() else {
            return;
        };
        let uplink = match &link.port {
            PortRef::Uplink(id) => self.config.uplinks.iter().find(|u| u.id == *id),
            PortRef::Eni(_) => None,
        };
        let ours = |dst: Ipv4Addr| {
            self.config.eips.iter().any(|eip| eip.address == dst)
                || uplink.is_some_and(|u| u.address.is_some_and(|net| net.addr() == dst))
        };
        let port = KernelPort {
            zone: link.zone,
            mac: link.mac,
            uplink: uplink.is_some(),
            ours: &ours,
        };
        let geometry = self.geometry();
        match kernel::run(&self.memory, &geometry, &port, frame, offload, self.now) {
            Verdict::Drop(reason) => *self.kernel.drops.entry(reason).or_default() += 1,
            Verdict::Sent(out) => {
                self.kernel.hits += 1;
                self.deliver(out, frame, offload, true);
            }
            Verdict::Punt(_) => {
                self.kernel.punts += 1;
                let mut sent = Sent::default();
                let input = Input {
                    ifindex,
                    frame,
                    offload,
                };
                self.engine.frame(input, self.now, &mut sent);
                self.deliver_all(sent);
            }
        }
        self.retired.extend(self.engine.take_retired());
    }

    /// A frame goes to the engine without the kernel looking at it.
    pub fn punt(&mut self, ifindex: u32, mut frame: Vec<u8>, offload: Offload) -> Vec<Seen> {
        let mut sent = Sent::default();
        let input = Input {
            ifindex,
            frame: &mut frame,
            offload,
        };
        self.engine.frame(input, self.now, &mut sent);
        self.deliver_all(sent);
        self.settle();
        self.retired.extend(self.engine.take_retired());
        self.take()
    }

    fn deliver_all(&mut self, sent: Sent) {
        self.records.extend(sent.1);
        for (ifindex, frame, offload) in sent.0 {
            self.deliver(ifindex, &frame, offload, false);
        }
    }

    /// A station receives a frame, verifies it, and answers if it is an ARP question.
    fn deliver(&mut self, ifindex: u32, frame: &[u8], offload: Offload, fast: bool) {
        let link = self.links.iter().find(|l| l.ifindex == ifindex);
        let link = link
            .unwrap_or_else(|| panic!("sent by interface {ifindex}, which is gone"))
            .clone();
        assert_eq!(frame[6..12], link.mac, "the sender's MAC address");
        if frame[12..14] == [8, 6] {
            return self.deliver_arp(&link, frame);
        }
        assert_eq!(frame[12..14], [8, 0], "the EtherType");
        if !self.clean {
            let header = (frame[14] & 0x0f) as usize * 4;
            let sum = super::checksum(&[&frame[14..14 + header]]);
            assert!(fast || sum == 0, "the header's checksum is wrong");
            if let Ok(packet) = Packet::parse(&frame[14..], Transport::Ignored) {
                self.see(&link, packet, offload, fast);
            }
            return;
        }
        let transport = match offload.checksum {
            Checksum::Complete => Transport::Complete,
            Checksum::Partial => Transport::Partial,
        };
        let packet = Packet::parse(&frame[14..], transport)
            .unwrap_or_else(|error| panic!("a bad packet to {:?}: {error}", link.port));
        let next = self.next_hop(&link, packet.dst);
        assert_eq!(
            frame[..6],
            self.mac_of(&link, next),
            "the MAC address of {next}, to which {packet:?} was sent"
        );
        assert!(packet.ttl > 0, "{packet:?} has no time to live");
        let size = match offload.gso_size {
            0 => frame.len() - 14,
            segment => segment as usize + 40,
        };
        let mtu = self.mtu_of(&link);
        assert!(size <= mtu as usize, "{size} bytes by a link with {mtu}");
        self.see(&link, packet, offload, fast);
    }

    fn see(&mut self, link: &Link, packet: Packet, offload: Offload, fast: bool) {
        self.seen.push(Seen {
            at: name(&link.port).to_owned(),
            packet,
            offload,
            fast,
        });
    }

    /// A station asks for an address. Gives the answers.
    pub fn ask(&mut self, eni: &str, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<ArpSeen> {
        let link = self.link(eni).clone();
        let frame = self.arp_frame(&link, sender, false, target);
        let before = self.arps.len();
        self.inject(link.ifindex, frame, Offload::NONE);
        self.arps[before..]
            .iter()
            .filter(|arp| arp.reply)
            .copied()
            .collect()
    }

    /// Lets time go by, with everything that the engine wants to do in it.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let next = self.step();
            if next > self.now && self.now == end {
                return;
            }
            self.now = next.min(end).max(self.now);
        }
    }

    /// Lets the engine do one piece of what it wants to do. Gives when it wants to do the next.
    pub fn step(&mut self) -> Time {
        let mut sent = Sent::default();
        let next = self.engine.tick(self.now, &mut sent);
        self.deliver_all(sent);
        self.settle();
        let retired = std::mem::take(&mut self.retired);
        self.engine.release(&retired);
        self.retired = self.engine.take_retired();
        next
    }

    /// From now on the engine decides again about sessions like this.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.engine.decide_slowly(match pace {
            Pace::AtOnce => None,
            Pace::Driven | Pace::Lazy => Some(1),
        });
    }

    /// How many sessions wait to be decided again.
    pub fn waiting(&self) -> usize {
        self.engine.waiting().iter().filter(|waits| **waits).count()
    }

    pub fn seconds(&mut self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// Puts another configuration in force.
    pub fn apply(&mut self, toml: &str) {
        self.apply_config(parse(toml));
    }

    pub fn apply_config(&mut self, config: Config) {
        self.config = config;
        self.links = links_of(&self.config, &mut self.known_links);
        let snapshot = Snapshot::build(&self.config, &self.links).expect("a snapshot");
        let snapshot = snapshot.recording(self.recording);
        let mut sent = Sent::default();
        self.engine.apply(Arc::new(snapshot), self.now, &mut sent);
        self.deliver_all(sent);
        self.settle();
        while self.pace == Pace::Driven && self.waiting() > 0 {
            self.step();
        }
        self.retired.extend(self.engine.take_retired());
    }

    /// The daemon dies and another one begins over the same memory, with the same configuration.
    pub fn restart(&mut self) {
        let config = self.config.clone();
        self.restart_with(config);
    }

    pub fn restart_with(&mut self, config: Config) {
        self.config = config;
        self.links = links_of(&self.config, &mut self.known_links);
        let snapshot = Snapshot::build(&self.config, &self.links).expect("a snapshot");
        let snapshot = snapshot.recording(self.recording);
        self.engine = Engine::new(given(self.memory), Arc::new(snapshot), self.now);
        self.set_pace(self.pace);
        self.retired = self.engine.take_retired();
        self.queue.clear();
        self.settle();
    }

    /// Asks for records from now on.
    pub fn record(&mut self) {
        self.recording = true;
        self.apply_config(self.config.clone());
    }

    /// The records that came and were not taken yet.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// Tells the engine what is known of the world.
    pub fn know(&mut self, known: policy::World) {
        self.engine.know(known);
    }

    // ---- what there is ------------------------------------------------------------------------

    pub fn geometry(&self) -> Geometry {
        Geometry {
            slots: self.memory.entries.len() as u32,
            seed: SEED,
        }
    }

    /// The link of a network interface or uplink.
    pub fn link(&self, id: &str) -> &Link {
        let found = self.links.iter().find(|link| name(&link.port) == id);
        found.unwrap_or_else(|| panic!("no link {id}"))
    }

    /// The link is made anew when the next configuration is put in force.
    pub fn forget_link(&mut self, id: &str) {
        let link = self.link(id).clone();
        let known = self.known_links.iter_mut().find(|known| **known == link);
        known.unwrap().ifindex = 0;
    }

    pub fn stats(&self) -> StatsView {
        self.engine.stats()
    }

    /// Packets dropped by the engine and the kernel, by reason.
    pub fn drops(&self) -> BTreeMap<String, u64> {
        let engine = self.stats().drops.into_iter();
        let kernel = self
            .kernel
            .drops
            .iter()
            .map(|(r, &n)| (r.name().to_owned(), n));
        let mut all = BTreeMap::new();
        for (reason, n) in engine.map(|d| (d.reason, d.packets)).chain(kernel) {
            *all.entry(reason).or_default() += n;
        }
        all
    }

    pub fn dropped(&self, reason: Reason) -> u64 {
        self.drops().get(reason.name()).copied().unwrap_or(0)
    }

    pub fn sessions(&self) -> Vec<SessionView> {
        let filter = SessionFilter::default();
        let (mut all, mut cursor) = (Vec::new(), Some(0));
        while let Some(at) = cursor {
            let (page, next) = self.engine.sessions(at, 100, &filter, self.now);
            all.extend(page);
            cursor = next;
        }
        all
    }

    /// The only session.
    pub fn session(&self) -> SessionView {
        let mut all = self.sessions();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// Ports that SNAT mappings of an EIP hold: TCP, UDP, ICMP.
    pub fn ports_used(&self, eip: &str) -> [u32; 3] {
        let stats = self.stats();
        let found = stats.eips.iter().find(|e| e.eip == eip);
        found.unwrap_or_else(|| panic!("no EIP {eip}")).ports_used
    }

    /// What the flow table holds: slot, key, action, packets.
    pub fn flows(&self) -> Vec<(usize, flow::Key, flow::Action, u64)> {
        let entries = self.memory.entries.iter().enumerate();
        entries
            .filter_map(|(slot, e)| Some((slot, e.key()?, e.action(), e.activity().packets)))
            .collect()
    }
}

pub fn parse(toml: &str) -> Config {
    model::file::parse(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

pub fn name(port: &PortRef) -> &str {
    match port {
        PortRef::Eni(id) | PortRef::Uplink(id) => id,
    }
}
