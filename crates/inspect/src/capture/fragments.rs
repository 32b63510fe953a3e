//! Packets that come in fragments.

use super::ip::Ip;
use crate::reassembly::Half;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// The most packets that are put together at a time.
const MAX_PACKETS: usize = 64;

/// The most bytes that a packet has.
const MAX_LEN: usize = 65_535;

type Key = (IpAddr, IpAddr, u8, u32);

/// A packet whose fragments come in.
#[derive(Debug, Default)]
struct Parts {
    bytes: Half,
    len: Option<usize>,
}

/// The packets that are not whole yet.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    packets: HashMap<Key, Parts>,
    /// The oldest first.
    order: VecDeque<Key>,
}

/// What a packet carried, put together.
#[derive(Debug)]
pub(super) struct Whole {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub payload: Vec<u8>,
}

impl Whole {
    fn new((src, dst, protocol, _): Key, parts: &Parts) -> Whole {
        Whole {
            src,
            dst,
            protocol,
            payload: parts.bytes.prefix().to_vec(),
        }
    }

    pub fn ip(&self) -> Ip<'_> {
        Ip {
            src: self.src,
            dst: self.dst,
            protocol: self.protocol,
            fragment: None,
            payload: &self.payload,
        }
    }
}

impl Fragments {
    /// Takes a fragment; the packet, if it is whole now.
    pub fn add(&mut self, ip: &Ip) -> Option<Whole> {
        let fragment = ip.fragment?;
        let key = (ip.src, ip.dst, ip.protocol, fragment.id);
        let parts = self.packets.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Parts::default()
        });
        let room = MAX_LEN - parts.bytes.len().min(MAX_LEN);
        parts.bytes.at(fragment.offset.into(), ip.payload, room);
        if !fragment.more {
            parts.len = Some(usize::from(fragment.offset) + ip.payload.len());
        }
        let whole = (parts.len == Some(parts.bytes.prefix().len())).then(|| Whole::new(key, parts));
        if whole.is_some() {
            self.packets.remove(&key);
            self.order.retain(|it| *it != key);
        } else if self.order.len() > MAX_PACKETS {
            return self.oldest();
        }
        whole
    }

    /// What there is of the oldest packet, which is waited for no longer.
    pub fn oldest(&mut self) -> Option<Whole> {
        let key = self.order.pop_front()?;
        let parts = self.packets.remove(&key)?;
        Some(Whole::new(key, &parts))
    }
}
