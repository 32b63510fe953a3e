//! IPv4 fragments (RFC 4787, REQ-14: also out of order).
//!
//! Only the first fragment has the ports, so the others follow it: they are remembered by source,
//! destination, identification and protocol. Those that come before the first one wait for it, for a
//! bounded time and in bounded memory. Nothing is reassembled, but for being looked at ([`crate::gather`]).

use crate::io::{Offload, Time};
use crate::wire::Ipv4;
use flow::Key;
use flow::reason::Reason;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::time::Duration;

/// Datagrams of which fragments are known.
const DATAGRAMS: usize = 8192;
/// Fragments of one datagram that may wait.
const WAITING_EACH: usize = 64;
/// Bytes of all fragments that wait.
const WAITING_BYTES: usize = 4 << 20;
/// How long the fragments of a datagram may take.
const LIFETIME: Duration = Duration::from_secs(10);

/// What the fragments of a datagram have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Datagram {
    pub zone: u16,
    pub src: u32,
    pub dst: u32,
    pub id: u16,
    pub proto: u8,
}

/// What the first fragment said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    /// The datagram's flow.
    pub key: Key,
    /// The identification that its fragments leave with, as in a packet: senders that share an EIP might
    /// have chosen the same one.
    pub id: u16,
}

/// A fragment that waits.
#[derive(Debug)]
pub(crate) struct Held {
    /// The whole frame.
    pub frame: Box<[u8]>,
    pub offload: Offload,
    /// It is counted already.
    pub counted: bool,
}

/// Fragments that wait.
pub(crate) type Waiting = Vec<Held>;

impl Datagram {
    /// That of a fragment that came in by a port of this zone.
    pub fn of(zone: u16, packet: &Ipv4) -> Datagram {
        Datagram {
            zone,
            src: packet.src,
            dst: packet.dst,
            id: packet.id,
            proto: packet.proto,
        }
    }
}

#[derive(Debug)]
struct State {
    known: Option<Known>,
    waiting: Waiting,
}

/// All datagrams of which fragments are known.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    datagrams: HashMap<Datagram, State>,
    /// When each is forgotten, ascending.
    expiry: VecDeque<(Time, Datagram)>,
    waiting_bytes: usize,
    next_id: u16,
}

impl Fragments {
    /// What is known of a datagram.
    pub fn known(&self, datagram: &Datagram) -> Option<Known> {
        self.datagrams.get(datagram)?.known
    }

    fn state(&mut self, datagram: Datagram, now: Time) -> Result<&mut State, Reason> {
        if !self.datagrams.contains_key(&datagram) {
            if self.datagrams.len() >= DATAGRAMS {
                return Err(Reason::FragmentLimit);
            }
            self.expiry.push_back((now + LIFETIME, datagram));
        }
        Ok(self.datagrams.entry(datagram).or_insert(State {
            known: None,
            waiting: Vec::new(),
        }))
    }

    /// Lets a fragment wait for others.
    pub fn hold(&mut self, datagram: Datagram, held: Held, now: Time) -> Result<(), Reason> {
        let bytes = held.frame.len();
        if self.waiting_bytes + bytes > WAITING_BYTES {
            return Err(Reason::FragmentLimit);
        }
        let state = self.state(datagram, now)?;
        if state.waiting.len() >= WAITING_EACH {
            return Err(Reason::FragmentLimit);
        }
        state.waiting.push(held);
        self.waiting_bytes += bytes;
        Ok(())
    }

    /// The fragments of a datagram that wait.
    pub fn waiting(&self, datagram: &Datagram) -> &[Held] {
        self.datagrams.get(datagram).map_or(&[], |it| &it.waiting)
    }

    /// Takes the fragments of a datagram that wait.
    pub fn take(&mut self, datagram: &Datagram) -> Waiting {
        let state = self.datagrams.get_mut(datagram);
        let waiting = state.map_or(Vec::new(), |it| std::mem::take(&mut it.waiting));
        self.waiting_bytes -= bytes(&waiting);
        waiting
    }

    /// An identification of ours for a datagram, as in a packet.
    pub fn new_id(&mut self) -> u16 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id.to_be()
    }

    /// The first fragment has come: from now on the datagram is known, with an identification of ours.
    /// Gives the fragments that waited. A first fragment of another flow is a new datagram's, whose
    /// sender uses the identification again.
    pub fn first(&mut self, datagram: Datagram, key: Key, now: Time) -> Result<Waiting, Reason> {
        let id = self.new_id();
        let state = self.state(datagram, now)?;
        if state.known.is_none_or(|known| known.key != key) {
            state.known = Some(Known { key, id });
        }
        let waiting = std::mem::take(&mut state.waiting);
        self.waiting_bytes -= bytes(&waiting);
        Ok(waiting)
    }

    /// Forgets datagrams whose time is over. Gives the number of fragments that waited in vain.
    pub fn tick(&mut self, now: Time) -> u64 {
        let mut dropped = 0;
        while let Some(&(at, datagram)) = self.expiry.front()
            && at <= now
        {
            self.expiry.pop_front();
            if let Some(state) = self.datagrams.remove(&datagram) {
                dropped += state.waiting.len() as u64;
                self.waiting_bytes -= bytes(&state.waiting);
            }
        }
        dropped
    }

    /// Checks that all datagrams will be forgotten and that memory is counted. Gives the number of
    /// fragments that wait.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self) -> u64 {
        assert_eq!(self.datagrams.len(), self.expiry.len());
        assert!(self.datagrams.len() <= DATAGRAMS);
        let waiting = || self.datagrams.values().map(|state| &state.waiting);
        assert_eq!(self.waiting_bytes, waiting().map(bytes).sum::<usize>());
        waiting().map(|waiting| waiting.len() as u64).sum()
    }
}

fn bytes(waiting: &Waiting) -> usize {
    waiting.iter().map(|held| held.frame.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(id: u16) -> Datagram {
        Datagram {
            zone: 2,
            src: 1,
            dst: 2,
            id,
            proto: 17,
        }
    }

    fn held(bytes: usize) -> Held {
        Held {
            frame: vec![0; bytes].into(),
            offload: Offload::NONE,
            counted: false,
        }
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let mut fragments = Fragments::default();
        let mut waiting = 0;
        let mut refused = 0;
        for id in 0..u16::MAX {
            match fragments.hold(datagram(id), held(1500), Time(0)) {
                Ok(()) => waiting += 1,
                Err(reason) => {
                    assert_eq!(reason, Reason::FragmentLimit);
                    refused += 1;
                }
            }
        }
        assert!(waiting * 1500 <= WAITING_BYTES && refused > 0);
        assert_eq!(fragments.tick(Time(0) + LIFETIME), waiting as u64);
        assert_eq!(fragments.waiting_bytes, 0);
        assert!(fragments.hold(datagram(1), held(1500), Time(0)).is_ok());
    }

    #[test]
    fn one_datagram_cannot_take_all() {
        let mut fragments = Fragments::default();
        for _ in 0..WAITING_EACH {
            assert!(fragments.hold(datagram(1), held(60), Time(0)).is_ok());
        }
        assert!(fragments.hold(datagram(1), held(60), Time(0)).is_err());
        assert!(fragments.hold(datagram(2), held(60), Time(0)).is_ok());
    }
}
