//! Next hops: stations on our links, their MAC addresses, and the packets that wait for them.
//!
//! Each station that a session leads to has a slot in the table of next hops that kernel and daemon
//! share. Its MAC address is either known (the far end of a veth pair that we made) or asked for by ARP
//! (RFC 826). A hop whose station is not resolved is unusable in the kernel, which then hands its
//! packets up; they wait here, a few for each station and all of them bounded.

use crate::io::{Link, Offload, Output, Time};
use crate::wire::{self, Arp};
use flow::abi::{self, Hop};
use flow::reason::Reason;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
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

#[derive(Debug)]
struct Station {
    ifindex: u32,
    /// Its address; unspecified for the only station of a link.
    address: Ipv4Addr,
    /// The address that we ask from.
    asker: Ipv4Addr,
    link_mac: [u8; 6],
    mac: Option<[u8; 6]>,
    /// Its MAC address needs no questions.
    fixed: bool,
    /// When it last answered.
    heard: Time,
    /// Questions since then.
    asked: u8,
    ask_at: Time,
    /// Sessions that lead here, in either way.
    sessions: u32,
    used: Time,
    waiting: Vec<Waiting>,
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
}

impl Neighbours {
    /// Takes over a table of next hops, which may have hops of an earlier daemon. `link` gives the link
    /// with an interface index and the address that ARP questions come from.
    pub fn new<'a>(
        hops: &'static [Hop],
        now: Time,
        link: impl Fn(u32) -> Option<(&'a Link, Ipv4Addr)>,
    ) -> Neighbours {
        use std::sync::atomic::Ordering::Relaxed;
        let mut all = Neighbours {
            hops,
            stations: Vec::new(),
            by_address: HashMap::new(),
            free: VecDeque::new(),
            waiting_bytes: 0,
        };
        for (ix, hop) in hops.iter().enumerate().take(usize::from(HopIx::MAX)) {
            let ifindex = hop.ifindex.load(Relaxed);
            let found = link(ifindex).filter(|_| ix != 0 && ifindex != 0);
            let Some((link, asker)) = found else {
                if ifindex != 0 {
                    hop.clear();
                }
                all.stations.push(None);
                if ix != 0 {
                    all.free.push_back(ix as HopIx);
                }
                continue;
            };
            let address = crate::tuple::ip(hop.addr.load(Relaxed));
            let mac = abi::mac_bytes(hop.dst_mac.load(Relaxed));
            all.stations.push(Some(Station {
                ifindex,
                address,
                asker,
                link_mac: link.mac,
                mac: Some(mac),
                fixed: link.station.is_some() && address.is_unspecified(),
                heard: now,
                asked: 0,
                ask_at: now,
                sessions: 0,
                used: now,
                waiting: Vec::new(),
            }));
            all.by_address.insert((ifindex, address), ix as HopIx);
        }
        all
    }

    /// The hop to a station, made if there is none. `None` if there is no slot left.
    pub fn hop(
        &mut self,
        link: &Link,
        mtu: u16,
        address: Ipv4Addr,
        asker: Ipv4Addr,
        now: Time,
    ) -> Option<HopIx> {
        let address = match link.station {
            Some(_) => Ipv4Addr::UNSPECIFIED,
            None => address,
        };
        if let Some(&ix) = self.by_address.get(&(link.ifindex, address)) {
            if let Some(station) = &mut self.stations[ix as usize] {
                station.used = now;
            }
            return Some(ix);
        }
        let ix = self.free.pop_front()?;
        self.stations[ix as usize] = Some(Station {
            ifindex: link.ifindex,
            address,
            asker,
            link_mac: link.mac,
            mac: None,
            fixed: link.station.is_some(),
            heard: now,
            asked: 0,
            ask_at: now,
            sessions: 0,
            used: now,
            waiting: Vec::new(),
        });
        self.by_address.insert((link.ifindex, address), ix);
        let hop = &self.hops[ix as usize];
        hop.mtu.store(mtu, std::sync::atomic::Ordering::Relaxed);
        if let Some(mac) = link.station {
            self.publish(ix, link, mtu, mac);
        }
        Some(ix)
    }

    /// Makes a hop usable for the kernel.
    fn publish(&mut self, ix: HopIx, link: &Link, mtu: u16, mac: [u8; 6]) {
        if let Some(station) = &mut self.stations[ix as usize] {
            station.mac = Some(mac);
            let flags = if link.peer { abi::hop::PEER } else { 0 };
            self.hops[ix as usize].set(&abi::Station {
                ifindex: link.ifindex,
                mtu,
                flags,
                dst_mac: mac,
                src_mac: link.mac,
                addr: crate::tuple::raw(station.address),
                zone: link.zone,
            });
        }
    }

    /// The largest IP packet that a hop's link takes, in bytes.
    pub fn mtu(&self, ix: HopIx) -> u16 {
        self.hops[ix as usize]
            .mtu
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The zone of a hop's port, if there is such a hop.
    pub fn zone(&self, ix: HopIx) -> Option<u16> {
        self.stations.get(ix as usize)?.as_ref()?;
        Some(
            self.hops[ix as usize]
                .zone
                .load(std::sync::atomic::Ordering::Relaxed),
        )
    }

    /// A session begins (or ceases, with `by` -1) to use a hop.
    pub fn count(&mut self, ix: HopIx, by: i32) {
        if let Some(station) = self.stations.get_mut(ix as usize).and_then(Option::as_mut) {
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
    ) -> Result<(), Reason> {
        let Some(station) = self.stations.get_mut(ix as usize).and_then(Option::as_mut) else {
            return Err(Reason::HopGone);
        };
        station.used = now;
        if let Some(mac) = station.mac {
            wire::set_macs(frame, mac, station.link_mac);
            out.transmit(station.ifindex, frame, offload);
            return Ok(());
        }
        if station.waiting.len() >= WAITING_EACH || self.waiting_bytes + frame.len() > WAITING_BYTES
        {
            return Err(Reason::NeighbourQueueFull);
        }
        self.waiting_bytes += frame.len();
        station.waiting.push((frame.into(), offload));
        if station.asked == 0 && station.ask_at <= now {
            ask(station, now, out);
        }
        Ok(())
    }

    /// Somebody said that `address` is at `mac`. Only stations that are in use are remembered. Gives the
    /// number of packets that could be sent on.
    pub fn heard(
        &mut self,
        link: &Link,
        mtu: u16,
        address: Ipv4Addr,
        mac: [u8; 6],
        now: Time,
        out: &mut impl Output,
    ) -> u64 {
        let Some(&ix) = self.by_address.get(&(link.ifindex, address)) else {
            return 0;
        };
        let Some(station) = self.stations[ix as usize]
            .as_mut()
            .filter(|station| !station.fixed)
        else {
            return 0;
        };
        station.heard = now;
        station.asked = 0;
        let waiting = std::mem::take(&mut station.waiting);
        if station.mac != Some(mac) {
            self.publish(ix, link, mtu, mac);
        }
        let sent = waiting.len() as u64;
        for (mut frame, offload) in waiting {
            self.waiting_bytes -= frame.len();
            wire::set_macs(&mut frame, mac, link.mac);
            out.transmit(link.ifindex, &frame, offload);
        }
        sent
    }

    /// Links may have changed: hops by links that are gone become unusable, the others get the links'
    /// present MAC address, MTU and station.
    pub fn relink<'a>(&mut self, link: impl Fn(u32) -> Option<(&'a Link, u16, Ipv4Addr)>) {
        for ix in 0..self.stations.len() {
            let Some(station) = &mut self.stations[ix] else {
                continue;
            };
            match link(station.ifindex) {
                Some((link, mtu, asker)) => {
                    station.asker = asker;
                    station.link_mac = link.mac;
                    let mac = if station.fixed {
                        link.station
                    } else {
                        station.mac
                    };
                    if let Some(mac) = mac {
                        self.publish(ix as HopIx, link, mtu, mac);
                    }
                }
                None => {
                    self.hops[ix].clear();
                    station.mac = None;
                }
            }
        }
    }

    /// Asks again, gives up, forgets. Gives the number of packets that were dropped because their
    /// station did not answer, and of questions sent.
    pub fn tick(&mut self, now: Time, out: &mut impl Output) -> (u64, u64) {
        let (mut dropped, mut asked) = (0, 0);
        for ix in 1..self.stations.len() {
            let Some(station) = &mut self.stations[ix] else {
                continue;
            };
            if station.sessions == 0
                && station.waiting.is_empty()
                && now.since(station.used) > UNUSED
            {
                self.by_address.remove(&(station.ifindex, station.address));
                self.stations[ix] = None;
                self.hops[ix].clear();
                self.free.push_back(ix as HopIx);
                continue;
            }
            let wanted = match station.mac {
                Some(_) => station.sessions > 0 && now.since(station.heard) > FRESH,
                None => !station.waiting.is_empty(),
            };
            if station.fixed || !wanted || now < station.ask_at {
                continue;
            }
            if station.asked < ASK_TIMES {
                ask(station, now, out);
                asked += 1;
                continue;
            }
            // Gone. The kernel hands packets for it up again, and the next one asks anew.
            station.mac = None;
            station.asked = 0;
            self.hops[ix].clear();
            for (frame, _) in station.waiting.drain(..) {
                self.waiting_bytes -= frame.len();
                dropped += 1;
            }
        }
        (dropped, asked)
    }
}

/// Asks for a station's MAC address.
fn ask(station: &mut Station, now: Time, out: &mut impl Output) {
    let question = Arp::build(
        false,
        station.link_mac,
        station.asker,
        [0; 6],
        station.address,
    );
    out.transmit(station.ifindex, &question, Offload::NONE);
    station.asked += 1;
    station.ask_at = now + ASK_EVERY;
}
