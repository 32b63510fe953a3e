//! Reading a flow's key from a frame, and the header rewrite.
//!
//! The `unsafe` functions work on raw pointers, since that is what the kernel's verifier follows; the
//! caller has compared them with the end of the packet. User space calls [`rewrite`], which checks
//! lengths itself.

use crate::abi::Punt;
use crate::checksum;
use crate::entry::{Action, flags};
use crate::key::{Key, proto};
use core::ptr::{read_unaligned, write_unaligned};

/// Bytes of an Ethernet header.
pub const ETH: usize = 14;
/// Bytes of an IPv4 header without options.
pub const IP: usize = 20;
/// Where the transport header begins behind an IPv4 header without options.
pub const L4: usize = ETH + IP;
/// Bytes that must be readable for [`key`], and writable for [`rewrite_l3`] and [`rewrite_ports`].
pub const PREFIX: usize = L4 + 8;
/// Bytes that must be accessible for the flags and checksum of TCP.
pub const TCP_PREFIX: usize = L4 + 20;

/// EtherType IPv4, in memory order.
pub const ETHERTYPE_IPV4: u16 = 0x0800u16.to_be();
/// EtherType ARP, in memory order.
pub const ETHERTYPE_ARP: u16 = 0x0806u16.to_be();

#[inline(always)]
unsafe fn get<T: Copy>(base: *const u8, at: usize) -> T {
    // SAFETY: the caller of every function here vouches for the bytes up to the prefix it names.
    unsafe { read_unaligned(base.add(at).cast()) }
}

#[inline(always)]
unsafe fn put<T: Copy>(base: *mut u8, at: usize, value: T) {
    // SAFETY: as for `get`.
    unsafe { write_unaligned(base.add(at).cast(), value) }
}

/// The EtherType, in memory order.
///
/// # Safety
/// `eth` must point at [`ETH`] readable bytes.
#[inline(always)]
pub unsafe fn ethertype(eth: *const u8) -> u16 {
    // SAFETY: within ETH.
    unsafe { get(eth, 12) }
}

/// The destination MAC address as [`crate::abi::mac_word`] makes it.
///
/// # Safety
/// `eth` must point at [`ETH`] readable bytes.
#[inline(always)]
pub unsafe fn destination_mac(eth: *const u8) -> u64 {
    // SAFETY: within ETH.
    unsafe { get::<u32>(eth, 0) as u64 | (get::<u16>(eth, 4) as u64) << 32 }
}

/// The key of an IPv4 frame, or why it needs the slow path: options, a fragment, an ICMP message
/// other than echo.
///
/// # Safety
/// `eth` must point at [`PREFIX`] readable bytes.
#[inline(always)]
pub unsafe fn key(eth: *const u8, zone: u16) -> Result<Key, Punt> {
    // SAFETY: every offset is below PREFIX.
    unsafe {
        if get::<u8>(eth, ETH) != 0x45 {
            return Err(Punt::Header);
        }
        if get::<u16>(eth, ETH + 6) & 0x3fffu16.to_be() != 0 {
            return Err(Punt::Fragment);
        }
        let mut key = Key {
            src: get(eth, ETH + 12),
            dst: get(eth, ETH + 16),
            sport: 0,
            dport: 0,
            zone,
            proto: get(eth, ETH + 9),
        };
        match key.proto {
            proto::TCP | proto::UDP => {
                key.sport = get(eth, L4);
                key.dport = get(eth, L4 + 2);
            }
            proto::ICMP => {
                // Echo request 8/0 and echo reply 0/0.
                let kind: u16 = get(eth, L4);
                if kind & !0x0800u16.to_be() != 0 {
                    return Err(Punt::Icmp);
                }
                key.sport = get(eth, L4 + 4);
                key.dport = kind;
            }
            _ => {}
        }
        Ok(key)
    }
}

/// The [`key`] of a frame in user space, if it has one.
#[inline]
pub fn key_of(frame: &[u8], zone: u16) -> Option<Key> {
    let eth = frame.first_chunk::<PREFIX>()?.as_ptr();
    // SAFETY: `frame` has PREFIX bytes.
    unsafe { (ethertype(eth) == ETHERTYPE_IPV4).then(|| key(eth, zone).ok())? }
}

/// The time to live.
///
/// # Safety
/// `eth` must point at [`PREFIX`] readable bytes.
#[inline(always)]
pub unsafe fn ttl(eth: *const u8) -> u8 {
    // SAFETY: below PREFIX.
    unsafe { get(eth, ETH + 8) }
}

/// What the IP header says of the packet's length, itself included. Nobody has checked that.
///
/// # Safety
/// `eth` must point at [`PREFIX`] readable bytes.
#[inline(always)]
pub unsafe fn packet_len(eth: *const u8) -> u16 {
    // SAFETY: below PREFIX.
    u16::from_be(unsafe { get(eth, ETH + 2) })
}

/// The flags of a TCP header behind an IPv4 header without options.
///
/// # Safety
/// `eth` must point at [`TCP_PREFIX`] readable bytes.
#[inline(always)]
pub unsafe fn tcp_flags(eth: *const u8) -> u8 {
    // SAFETY: below TCP_PREFIX.
    unsafe { get(eth, L4 + 13) }
}

/// Writes the MAC addresses, given as [`crate::abi::mac_word`] makes them.
///
/// # Safety
/// `eth` must point at [`ETH`] writable bytes.
#[inline(always)]
pub unsafe fn rewrite_macs(eth: *mut u8, dst: u64, src: u64) {
    // SAFETY: within ETH.
    unsafe {
        put(eth, 0, dst as u32);
        put(eth, 4, (dst >> 32) as u16);
        put(eth, 6, src as u32);
        put(eth, 10, (src >> 32) as u16);
    }
}

/// Writes addresses, time to live and the header's checksum.
///
/// # Safety
/// `eth` must point at [`PREFIX`] writable bytes.
#[inline(always)]
pub unsafe fn rewrite_l3(eth: *mut u8, action: &Action) {
    // SAFETY: below PREFIX.
    unsafe {
        let mut delta = action.addr_delta;
        if action.flags & flags::ROUTED != 0 {
            put(eth, ETH + 8, get::<u8>(eth, ETH + 8).wrapping_sub(1));
            // The word of TTL and protocol falls by 0x0100, its sum's complement rises by it.
            delta = checksum::add(delta, !0x0100u16.to_be());
        }
        let field: u16 = get(eth, ETH + 10);
        put(eth, ETH + 10, checksum::update(field, delta));
        put(eth, ETH + 12, action.src);
        put(eth, ETH + 16, action.dst);
    }
}

/// Writes the ports, or the identifier of an ICMP echo, but no checksum. `l4` is where the transport
/// header begins.
///
/// # Safety
/// `eth` must point at `l4` + 8 writable bytes.
#[inline(always)]
pub unsafe fn rewrite_ports(eth: *mut u8, l4: usize, proto: u8, action: &Action) {
    // SAFETY: within the first 8 bytes of the transport header.
    unsafe {
        match proto {
            proto::TCP | proto::UDP => {
                put(eth, l4, action.sport);
                put(eth, l4 + 2, action.dport);
            }
            proto::ICMP => put(eth, l4 + 4, action.sport),
            _ => {}
        }
    }
}

/// Where in the transport header its checksum is.
#[inline(always)]
pub const fn checksum_offset(proto: u8) -> Option<usize> {
    match proto {
        proto::TCP => Some(16),
        proto::UDP => Some(6),
        proto::ICMP => Some(2),
        _ => None,
    }
}

/// What an action does to the transport checksum's sum.
#[inline(always)]
pub const fn transport_delta(proto: u8, action: &Action) -> u16 {
    match proto {
        // ICMP has no pseudo-header.
        proto::ICMP => action.port_delta,
        _ => checksum::add(action.addr_delta, action.port_delta),
    }
}

/// [`checksum::may_be_partial`] of a frame of a key, without IP options.
///
/// # Safety
/// The transport header at `l4` must be readable up to the end of its checksum field.
#[inline(always)]
pub unsafe fn may_be_partial(eth: *const u8, l4: usize, proto: u8, key: &Key) -> bool {
    let Some(offset) = checksum_offset(proto) else {
        return false;
    };
    // SAFETY: the field is in the readable part.
    let (field, len): (u16, u16) = unsafe { (get(eth, l4 + offset), packet_len(eth)) };
    let len = len.wrapping_sub(IP as u16);
    checksum::may_be_partial(field, key.src, key.dst, proto, len)
}

/// Brings a complete transport checksum up to date. A UDP checksum of zero says that there is none
/// and stays (RFC 768); one that becomes zero is written as all ones. Gives what this and the action's ports
/// together do to the sum of the whole frame.
///
/// # Safety
/// The transport header at `l4` must be writable up to the end of its checksum field.
#[inline(always)]
pub unsafe fn update_checksum(eth: *mut u8, l4: usize, proto: u8, action: &Action) -> u16 {
    let Some(offset) = checksum_offset(proto) else {
        return 0;
    };
    // SAFETY: the field is in the writable part.
    unsafe {
        let field: u16 = get(eth, l4 + offset);
        if proto == proto::UDP && field == 0 {
            return action.port_delta;
        }
        let mut new = checksum::update(field, transport_delta(proto, action));
        if proto == proto::UDP && new == 0 {
            new = 0xffff;
        }
        put(eth, l4 + offset, new);
    }
    // The field outweighs the ports, and the addresses, which the IP header's own checksum has outweighed.
    match proto {
        proto::ICMP => 0,
        _ => !action.addr_delta,
    }
}

/// What the transport checksum field of a packet holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// The checksum of the whole (or a UDP zero).
    Complete,
    /// The sum of the pseudo-header only: hardware, or the receiver, will do the rest
    /// (`CHECKSUM_PARTIAL`).
    Partial,
}

/// The frame is too short for the headers that it should have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooShort;

/// Applies `action` to an IPv4 frame in user space: addresses, time to live, ports, checksums; the
/// Ethernet header is left alone. IP options are allowed. In a fragment other than the first only the
/// IP header is touched.
pub fn rewrite(frame: &mut [u8], action: &Action, checksum: Checksum) -> Result<(), TooShort> {
    if frame.len() < L4 {
        return Err(TooShort);
    }
    let l4 = ETH + (frame[ETH] & 0x0f) as usize * 4;
    let proto = frame[ETH + 9];
    let first = u16::from_be_bytes([frame[ETH + 6], frame[ETH + 7]]) & 0x1fff == 0;
    let touched = match checksum_offset(proto) {
        Some(offset) if first => l4 + core::cmp::max(8, offset + 2),
        _ => l4,
    };
    if l4 < L4 || frame.len() < touched {
        return Err(TooShort);
    }
    let eth = frame.as_mut_ptr();
    // SAFETY: `frame` has L4 bytes; `rewrite_l3` stays within the IP header's first 20.
    unsafe { rewrite_l3(eth, action) };
    let Some(offset) = checksum_offset(proto).filter(|_| first) else {
        return Ok(());
    };
    // SAFETY: `frame` has the 8 bytes from `l4` on and the checksum field.
    unsafe { rewrite_ports(eth, l4, proto, action) };
    match checksum {
        // SAFETY: as above.
        Checksum::Complete => unsafe {
            update_checksum(eth, l4, proto, action);
        },
        Checksum::Partial if proto != proto::ICMP => {
            let at = l4 + offset;
            let field = u16::from_ne_bytes([frame[at], frame[at + 1]]);
            let new = checksum::add(field, action.addr_delta);
            frame[at..at + 2].copy_from_slice(&new.to_ne_bytes());
        }
        Checksum::Partial => {}
    }
    Ok(())
}
