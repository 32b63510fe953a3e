//! What the kernel programs do with a frame, in a few slow lines.

use super::memory::Shared;
use super::packet::{ICMP, TCP, UDP};
use engine::{Offload, Time};
use flow::abi::Punt;
use flow::reason::Reason;
use flow::table::{Geometry, find};
use flow::{Key, flags, seen};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;

/// A port as the kernel knows it.
pub struct KernelPort<'a> {
    pub zone: u16,
    pub mac: [u8; 6],
    pub uplink: bool,
    /// Destinations that are taken on an uplink.
    pub ours: &'a dyn Fn(Ipv4Addr) -> bool,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Drop(Reason),
    Punt(Punt),
    Sent(u32),
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([frame[at], frame[at + 1]])
}

fn key(frame: &[u8], zone: u16) -> Result<Key, Punt> {
    if frame[14] != 0x45 {
        return Err(Punt::Header);
    }
    if frame[20] & 0x3f != 0 || frame[21] != 0 {
        return Err(Punt::Fragment);
    }
    let long = |at: usize| u32::from_ne_bytes(frame[at..at + 4].try_into().unwrap());
    let (sport, dport) = match frame[23] {
        TCP | UDP => (word(frame, 34), word(frame, 36)),
        ICMP if frame[34] & !8 != 0 || frame[35] != 0 => return Err(Punt::Icmp),
        ICMP => (word(frame, 38), word(frame, 34)),
        _ => (0, 0),
    };
    Ok(Key {
        src: long(26),
        dst: long(30),
        sport,
        dport,
        zone,
        proto: frame[23],
    })
}

/// Takes a frame. If it is sent on, it has been rewritten.
pub fn run(
    memory: &Shared,
    geometry: &Geometry,
    port: &KernelPort,
    frame: &mut [u8],
    offload: Offload,
    now: Time,
) -> Verdict {
    if frame.len() < 14 {
        return Verdict::Drop(Reason::Malformed);
    }
    match (frame[12], frame[13]) {
        (8, 0) => {}
        (8, 6) if frame.len() < 42 => return Verdict::Drop(Reason::Malformed),
        (8, 6) => return Verdict::Punt(Punt::Arp),
        _ => return Verdict::Drop(Reason::NotIpv4),
    }
    if frame[..6] != port.mac {
        return Verdict::Drop(Reason::NotForUs);
    }
    if frame.len() < 34 {
        return Verdict::Drop(Reason::Malformed);
    }
    let unknown = |reason| {
        let dst = Ipv4Addr::new(frame[30], frame[31], frame[32], frame[33]);
        if port.uplink && !(port.ours)(dst) {
            return Verdict::Drop(Reason::NotOurAddress);
        }
        Verdict::Punt(reason)
    };
    if frame.len() < 42 {
        return unknown(Punt::Header);
    }
    let key = match key(frame, port.zone) {
        Ok(key) => key,
        Err(punt) => return unknown(punt),
    };
    let Some((_, entry)) = find(geometry, &key, |slot| memory.entries.get(slot as usize)) else {
        return unknown(Punt::Miss);
    };

    let action = entry.action();
    let mut bits = 0;
    let mut headers = 28;
    if key.proto == TCP {
        if frame.len() < 54 {
            return Verdict::Drop(Reason::Malformed);
        }
        bits = seen::of(frame[47], entry.seen.load(Relaxed));
        if bits & seen::SYN != 0 {
            return Verdict::Punt(Punt::Syn);
        }
        headers = 20 + (frame[46] >> 4) as usize * 4;
    }
    if action.flags & flags::ROUTED != 0 && frame[22] <= 1 {
        return Verdict::Punt(Punt::Ttl);
    }
    let hop = &memory.hops[action.hop as usize];
    let ifindex = hop.ifindex.load(Relaxed);
    if ifindex == 0 {
        return Verdict::Drop(Reason::HopGone);
    }
    let mtu = hop.mtu.load(Relaxed) as usize;
    let mut packets = 1;
    if frame.len() - 14 > mtu {
        let size = offload.gso_size as usize;
        if size == 0 || size + headers > mtu {
            return Verdict::Punt(Punt::Mtu);
        }
        packets = (frame.len() - 14 - headers).div_ceil(size) as u64;
    }
    let bytes = frame.len() - 14 + (packets as usize - 1) * headers;
    let meters = |ix| memory.meters.get(ix as usize);
    let (packets32, bytes) = (packets as u32, bytes as u32);
    if !flow::meter::take(meters, action.meter.into(), now.0, packets32, bytes) {
        entry.count(now.tick(), 0, 0, 0);
        return Verdict::Drop(Reason::RateLimit);
    }
    entry.count(now.tick(), packets, frame.len() as u64, bits);
    flow::header::rewrite(frame, &action, offload.checksum).expect("the headers are there");
    let mac = |word: u64| flow::abi::mac_bytes(word);
    frame[..6].copy_from_slice(&mac(hop.dst_mac.load(Relaxed)));
    frame[6..12].copy_from_slice(&mac(hop.src_mac.load(Relaxed)));
    Verdict::Sent(ifindex)
}
