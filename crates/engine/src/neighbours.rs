//! Next hops: stations on our links, their MAC addresses, and the packets that wait for them.
//!
//! Each station that a session leads to has a slot in the table of next hops that kernel and daemon
//! share. Its MAC address is either known (the far end of a veth pair that we made) or asked for by ARP
//! (RFC 826). A hop whose station is not resolved takes no packets in the kernel, which then hands them
//! up; they wait here, a few for each station and all of them bounded.

use crate::curtain::Mark;
use crate::engine::Fate;
use crate::io::{Offload, Output, Time};
use crate::snapshot::Port;
use crate::split::split;
use crate::tuple;
use crate::wire::{self, Arp};
use flow::abi::{self, Hop};
use flow::header::ETH;
use flow::reason::Reason;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Packets that wait for one station.
const WAITING_EACH: usize = 16;
/// Bytes of all packets that wait.
const WAITING_BYTES: usize = 4 << 20;
/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Questions without an answer before a station counts as gone.
const ASK_TIMES: u8 = 3;
/// After this time an answer is asked for again.
const FRESH: Duration = Duration::from_secs(30);
/// A hop that no session uses is kept this long.
const UNUSED: Duration = Duration::from_secs(60);

/// Index of a next hop. 0 is none.
pub(crate) type HopIx = u16;

/// A packet that waits: the whole frame without its MAC addresses.
type Waiting = (Box<[u8]>, Offload);

/// The way to a station: what it has from its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Via {
    ifindex: u32,
    zone: u16,
    /// Our own MAC address there.
    mac: [u8; 6],
    /// The largest IP packet in bytes.
    mtu: u16,
    /// Flags of the hop.
    flags: u16,
    /// The MAC address of the only station there, if it is known.
    only: Option<[u8; 6]>,
    /// The address that we ask from.
    asker: Ipv4Addr,
}

impl Via {
    fn new(port: &Port, asker: Ipv4Addr, address: Ipv4Addr) -> Via {
        Via {
            ifindex: port.link.ifindex,
            zone: port.link.zone,
            mac: port.link.mac,
            mtu: port.mtu,
            flags: if port.link.peer { abi::hop::PEER } else { 0 },
            only: port.link.station.filter(|_| Mark::of(address).is_none()),
            asker,
        }
    }

    /// Puts a frame on the link, in fragments if it is too large (then it may be fragmented: whoever
    /// gives a packet away has seen to that).
    fn transmit(&self, to: [u8; 6], frame: &mut [u8], offload: Offload, out: &mut impl Output) {
        wire::set_macs(frame, to, self.mac);
        if offload.gso_size == 0 && frame.len() - ETH > self.mtu as usize {
            split(frame, self.mtu as usize, |part| {
                out.transmit(self.ifindex, part, Offload::NONE);
            });
        } else {
            out.transmit(self.ifindex, frame, offload);
        }
    }
}

#[derive(Debug)]
struct Station {
    via: Via,
    /// Its address; unspecified for the only station of a link.
    address: Ipv4Addr,
    mac: Option<[u8; 6]>,
    /// When it last answered.
    heard: Time,
    /// Questions since then.
    asked: u8,
    ask_at: Time,
    /// Sessions that lead here, in either way.
    sessions: u32,
    used: Time,
    /// Its link is gone. The slot is kept as long as sessions lead here.
    gone: bool,
    waiting: Vec<Waiting>,
}

impl Station {
    /// Shows the kernel what is known of the station.
    fn publish(&self, hop: &Hop) {
        let Some(mac) = self.mac else {
            // First closed, then changed.
            hop.suspend();
            return hop.set(&self.hop(0, [0; 6]));
        };
        hop.set(&self.hop(self.via.mtu, mac));
    }

    fn hop(&self, mtu: u16, mac: [u8; 6]) -> abi::Station {
        abi::Station {
            ifindex: self.via.ifindex,
            mtu,
            flags: self.via.flags,
            dst_mac: mac,
            src_mac: self.via.mac,
            addr: tuple::raw(self.address),
            zone: self.via.zone,
        }
    }
}

/// All next hops.
#[derive(Debug)]
pub(crate) struct Neighbours {
    hops: &'static [Hop],
    /// By hop index.
    stations: Vec<Option<Station>>,
    by_address: HashMap<(u32, Ipv4Addr), HopIx>,
    /// Longest unused first.
    free: VecDeque<HopIx>,
    waiting_bytes: usize,
    /// ARP questions asked.
    asked: u64,
}

impl Neighbours {
    /// Takes over a table of next hops, which may have hops of an earlier daemon. `port` gives the port
    /// with an interface index and the address that ARP questions come from.
    pub fn new<'a>(
        hops: &'static [Hop],
        now: Time,
        port: impl Fn(u32) -> Option<(&'a Port, Ipv4Addr)>,
    ) -> Neighbours {
        let mut all = Neighbours {
            hops,
            stations: Vec::new(),
            by_address: HashMap::new(),
            free: VecDeque::new(),
            waiting_bytes: 0,
            asked: 0,
        };
        for (ix, hop) in hops.iter().enumerate().take(usize::from(HopIx::MAX)) {
            let ifindex = hop.ifindex.load(Relaxed);
            let address = tuple::ip(hop.addr.load(Relaxed));
            let known =
                (hop.mtu.load(Relaxed) != 0).then(|| abi::mac_bytes(hop.dst_mac.load(Relaxed)));
            let found = port(ifindex)
                .filter(|_| ix != 0 && ifindex != 0)
                .map(|(port, asker)| Via::new(port, asker, address))
                .filter(|via| via.only.is_some() == address.is_unspecified())
                .filter(|_| !all.by_address.contains_key(&(ifindex, address)));
            let station = found.map(|via| Station {
                via,
                address,
                mac: via.only.or(known),
                // Nobody has listened since: who is known is asked soon, though not all at once.
                heard: Time(0),
                asked: 0,
                ask_at: match known {
                    Some(_) => now + Duration::from_millis(ix as u64),
                    None => now,
                },
                sessions: 0,
                used: now,
                gone: false,
                waiting: Vec::new(),
            });
            match &station {
                Some(station) => {
                    station.publish(hop);
                    all.by_address.insert((ifindex, address), ix as HopIx);
                }
                None => {
                    hop.clear();
                    if ix != 0 {
                        all.free.push_back(ix as HopIx);
                    }
                }
            }
            all.stations.push(station);
        }
        all
    }

    /// The hop to a station, made if there is none. `None` if there is no slot left.
    pub fn hop(
        &mut self,
        port: &Port,
        address: Ipv4Addr,
        asker: impl FnOnce() -> Ipv4Addr,
        now: Time,
    ) -> Option<HopIx> {
        let only = port.link.station;
        let address = match only {
            Some(_) => Ipv4Addr::UNSPECIFIED,
            None => address,
        };
        let key = (port.link.ifindex, address);
        if let Some(&ix) = self.by_address.get(&key) {
            if let Some(station) = &mut self.stations[ix as usize] {
                station.used = now;
            }
            return Some(ix);
        }
        self.make(Via::new(port, asker(), address), address, now)
    }

    /// The curtain with this mark of the link that a hop leads to, made if there is none.
    pub fn curtain(&mut self, beside: HopIx, mark: Mark, now: Time) -> Option<HopIx> {
        let via = Via {
            only: None,
            ..self.station(beside).filter(|station| !station.gone)?.via
        };
        let address = mark.address();
        match self.by_address.get(&(via.ifindex, address)) {
            Some(&ix) => Some(ix),
            None => self.make(via, address, now),
        }
    }

    /// The mark of a hop, if it is a curtain.
    pub fn mark(&self, ix: HopIx) -> Option<Mark> {
        Mark::of(self.station(ix)?.address)
    }

    fn make(&mut self, via: Via, address: Ipv4Addr, now: Time) -> Option<HopIx> {
        let ix = self.free.pop_front()?;
        let key = (via.ifindex, address);
        let station = Station {
            via,
            address,
            mac: via.only,
            heard: now,
            asked: 0,
            ask_at: now,
            sessions: 0,
            used: now,
            gone: false,
            waiting: Vec::new(),
        };
        station.publish(&self.hops[ix as usize]);
        self.stations[ix as usize] = Some(station);
        self.by_address.insert(key, ix);
        Some(ix)
    }

    fn station(&self, ix: HopIx) -> Option<&Station> {
        self.stations.get(ix as usize)?.as_ref()
    }

    fn station_mut(&mut self, ix: HopIx) -> Option<&mut Station> {
        self.stations.get_mut(ix as usize)?.as_mut()
    }

    /// The largest IP packet that a hop's link takes, in bytes.
    pub fn mtu(&self, ix: HopIx) -> u16 {
        self.station(ix).map_or(0, |station| station.via.mtu)
    }

    /// The zone of a hop's port, if there is such a hop.
    pub fn zone(&self, ix: HopIx) -> Option<u16> {
        self.station(ix).map(|station| station.via.zone)
    }

    /// A session begins (or ceases, with `by` -1) to use a hop.
    pub fn count(&mut self, ix: HopIx, by: i32) {
        if let Some(station) = self.station_mut(ix) {
            station.sessions = station.sessions.saturating_add_signed(by);
        }
    }

    /// Sends a frame to a hop's station, or lets it wait until the station has answered. The frame's MAC
    /// addresses are written here.
    pub fn send(
        &mut self,
        ix: HopIx,
        frame: &mut [u8],
        offload: Offload,
        now: Time,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let waiting_bytes = self.waiting_bytes + frame.len();
        let Some(station) = self.station_mut(ix).filter(|station| !station.gone) else {
            return Err(Reason::HopGone);
        };
        station.used = now;
        if let Some(mac) = station.mac {
            station.via.transmit(mac, frame, offload, out);
            return Ok(Fate::Sent);
        }
        if station.waiting.len() >= WAITING_EACH || waiting_bytes > WAITING_BYTES {
            return Err(Reason::NeighbourQueueFull);
        }
        station.waiting.push((frame.into(), offload));
        if station.asked == 0 && station.ask_at <= now {
            ask(station, now, out);
            self.asked += 1;
        }
        self.waiting_bytes = waiting_bytes;
        Ok(Fate::Held)
    }

    /// Somebody on a port said that `address` is at `mac`. Only stations that are in use are remembered.
    /// Gives the number of packets that waited for this and have been sent on.
    pub fn heard(
        &mut self,
        ifindex: u32,
        address: Ipv4Addr,
        mac: [u8; 6],
        now: Time,
        out: &mut impl Output,
    ) -> u64 {
        let Some(&ix) = self.by_address.get(&(ifindex, address)) else {
            return 0;
        };
        let Some(station) = self.stations[ix as usize]
            .as_mut()
            .filter(|station| station.via.only.is_none() && Mark::of(address).is_none())
        else {
            return 0;
        };
        station.heard = now;
        station.asked = 0;
        if station.mac != Some(mac) {
            station.mac = Some(mac);
            station.publish(&self.hops[ix as usize]);
        }
        let mut sent = 0;
        for (mut frame, offload) in station.waiting.drain(..) {
            self.waiting_bytes -= frame.len();
            station.via.transmit(mac, &mut frame, offload, out);
            sent += 1;
        }
        sent
    }

    /// Links may have changed: hops by links that are gone become unusable, the others get the links'
    /// present MAC address, MTU and station. Gives the number of packets that waited in vain.
    pub fn relink<'a>(&mut self, port: impl Fn(u32) -> Option<(&'a Port, Ipv4Addr)>) -> u64 {
        let mut dropped = 0;
        for (ix, place) in self.stations.iter_mut().enumerate() {
            let Some(station) = place.as_mut().filter(|station| !station.gone) else {
                continue;
            };
            let via = port(station.via.ifindex)
                .map(|(port, asker)| Via::new(port, asker, station.address));
            match via.filter(|via| via.only.is_some() == station.via.only.is_some()) {
                Some(via) if via != station.via => {
                    station.via = via;
                    station.mac = via.only.or(station.mac);
                    station.publish(&self.hops[ix]);
                }
                Some(_) => {}
                None => {
                    dropped += station.waiting.len() as u64;
                    self.waiting_bytes -= bytes(&station.waiting);
                    station.waiting.clear();
                    station.gone = true;
                    self.by_address
                        .remove(&(station.via.ifindex, station.address));
                    self.hops[ix].clear();
                }
            }
        }
        dropped
    }

    /// Asks again, gives up, forgets. Gives the number of packets that were dropped because their
    /// station did not answer.
    pub fn tick(&mut self, now: Time, out: &mut impl Output) -> u64 {
        let mut dropped = 0;
        for (ix, place) in self.stations.iter_mut().enumerate() {
            let Some(station) = place else { continue };
            if station.sessions == 0
                && station.waiting.is_empty()
                && now.since(station.used) > UNUSED
            {
                if !station.gone {
                    self.by_address
                        .remove(&(station.via.ifindex, station.address));
                }
                self.hops[ix].clear();
                self.free.push_back(ix as HopIx);
                *place = None;
                continue;
            }
            let wanted = match station.mac {
                Some(_) => station.sessions > 0 && now.since(station.heard) > FRESH,
                None => !station.waiting.is_empty(),
            };
            if station.via.only.is_some() || !wanted || now < station.ask_at {
                continue;
            }
            if station.asked < ASK_TIMES {
                ask(station, now, out);
                self.asked += 1;
                continue;
            }
            // Gone. The kernel hands packets for it up again, and the next one asks anew.
            station.mac = None;
            station.asked = 0;
            station.publish(&self.hops[ix]);
            dropped += station.waiting.len() as u64;
            self.waiting_bytes -= bytes(&station.waiting);
            station.waiting.clear();
        }
        dropped
    }

    /// Checks that stations have as many sessions as `uses` says, and that the kernel sees what is known.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self, uses: &HashMap<HopIx, u32>) {
        let mut waiting_bytes = 0;
        for (ix, place) in self.stations.iter().enumerate() {
            let hop = &self.hops[ix];
            let ix = ix as HopIx;
            let uses = uses.get(&ix).copied().unwrap_or(0);
            let Some(station) = place else {
                assert_eq!((hop.ifindex.load(Relaxed), uses), (0, 0), "hop {ix}");
                assert!(ix == 0 || self.free.contains(&ix), "hop {ix} is lost");
                continue;
            };
            assert_eq!(station.sessions, uses, "hop {ix}: {station:?}");
            waiting_bytes += bytes(&station.waiting);
            let shown = (hop.ifindex.load(Relaxed), hop.mtu.load(Relaxed));
            let mtu = station.mac.map_or(0, |_| station.via.mtu);
            if station.gone {
                assert_eq!(shown, (0, 0), "hop {ix}");
            } else {
                assert_eq!(shown, (station.via.ifindex, mtu), "hop {ix}");
                let key = (station.via.ifindex, station.address);
                assert_eq!(self.by_address.get(&key), Some(&ix));
            }
        }
        assert_eq!(self.waiting_bytes, waiting_bytes);
    }

    /// Packets that wait.
    #[cfg(any(test, feature = "check"))]
    pub fn held(&self) -> u64 {
        let stations = self.stations.iter().flatten();
        stations.map(|station| station.waiting.len() as u64).sum()
    }

    /// ARP questions asked so far.
    pub fn asked(&self) -> u64 {
        self.asked
    }
}

fn bytes(waiting: &[Waiting]) -> usize {
    waiting.iter().map(|(frame, _)| frame.len()).sum()
}

/// Asks for a station's MAC address.
fn ask(station: &mut Station, now: Time, out: &mut impl Output) {
    let via = &station.via;
    let question = Arp::build(false, via.mac, via.asker, [0; 6], station.address);
    out.transmit(via.ifindex, &question, Offload::NONE);
    station.asked += 1;
    station.ask_at = now + ASK_EVERY;
}
