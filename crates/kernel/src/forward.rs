//! The body of both programs.

use crate::clock;
use crate::hook::Hook;
use crate::maps::{EIPS, FLOWS, HOPS, METERS, PORTS, config, count};
use crate::punt::punt;
use core::sync::atomic::Ordering::Relaxed;
use flow::abi::{PORT_SLOTS, Port, Punt, counter, hop, port};
use flow::header::{
    self, ETH, ETHERTYPE_ARP, ETHERTYPE_IPV4, IP, L4, PREFIX, TCP_PREFIX, destination_mac,
    ethertype,
};
use flow::meter;
use flow::reason::Reason;
use flow::table::{self, Geometry};
use flow::{Entry, Key, flags, proto, seen};

/// What becomes of a packet.
enum Verdict {
    /// The host's own network stack gets it.
    Pass,
    /// It ends here.
    Drop(Reason),
    /// The daemon gets it.
    Punt(Punt),
    /// The daemon gets a copy, the host the packet.
    Share(Punt),
    /// It goes on by another interface, with this verdict.
    Sent(u32),
}

/// What to do with a packet that is not for us: the host may be meant, if it uses the interface too.
#[inline(always)]
fn foreign(flags: u16, reason: Reason) -> Verdict {
    if flags & port::SHARED != 0 {
        Verdict::Pass
    } else {
        Verdict::Drop(reason)
    }
}

/// Takes a packet and gives the hook's verdict on it.
#[inline(always)]
pub fn run<H: Hook>(hook: H) -> u32 {
    let (reason, verdict) = match decide(&hook) {
        Verdict::Sent(verdict) => return verdict,
        Verdict::Pass => {
            count(counter::PASS);
            return H::PASS;
        }
        Verdict::Drop(reason) => {
            count(counter::drop(reason));
            return H::DROP;
        }
        Verdict::Punt(reason) => (reason, H::DROP),
        Verdict::Share(reason) => (reason, H::PASS),
    };
    if punt(&hook, reason) {
        count(counter::punt(reason));
    } else {
        count(counter::drop(Reason::QueueFull));
    }
    if verdict == H::PASS {
        count(counter::PASS);
    }
    verdict
}

#[inline(always)]
fn decide<H: Hook>(hook: &H) -> Verdict {
    let ifindex = hook.ifindex();
    let Some(port) = PORTS.get(ifindex % PORT_SLOTS) else {
        return Verdict::Pass;
    };
    if port.ifindex.load(Relaxed) != ifindex {
        return Verdict::Pass;
    }
    let flags = port.flags.load(Relaxed);
    let Some(eth) = hook.frame::<PREFIX>() else {
        return short(hook, port, flags);
    };
    // SAFETY: PREFIX bytes are in reach.
    let key = unsafe {
        if let Some(verdict) = not_for_ip(hook, eth, port, flags) {
            return verdict;
        }
        header::key(eth, port.zone.load(Relaxed))
    };
    // IPv6 takes its way here, by the EtherType, once it has a key and a table of its own.
    let found = match key {
        Ok(key) => {
            let config = config();
            let geometry = Geometry {
                slots: config.slots,
                seed: config.seed,
            };
            match table::find(&geometry, &key, |slot| FLOWS.get(slot)) {
                Some((_, entry)) => return hit(hook, &key, entry),
                None => Punt::Miss,
            }
        }
        Err(reason) => reason,
    };
    // SAFETY: PREFIX bytes are in reach.
    unsafe { unknown(eth, flags, found) }
}

/// The verdict on a frame that is no IPv4 packet for this port, if it is none.
///
/// # Safety
/// `eth` must point at ETH readable bytes.
#[inline(always)]
unsafe fn not_for_ip<H: Hook>(
    hook: &H,
    eth: *const u8,
    port: &Port,
    flags: u16,
) -> Option<Verdict> {
    if hook.tagged() {
        // A frame of some VLAN, of which nothing but the tag, which was taken off, says so.
        return Some(foreign(flags, Reason::NotIpv4));
    }
    // SAFETY: within ETH.
    let (kind, mac) = unsafe { (ethertype(eth), destination_mac(eth)) };
    if kind != ETHERTYPE_IPV4 {
        return Some(match kind {
            ETHERTYPE_ARP if flags & port::SHARED != 0 => Verdict::Share(Punt::Arp),
            ETHERTYPE_ARP => Verdict::Punt(Punt::Arp),
            _ => foreign(flags, Reason::NotIpv4),
        });
    }
    if mac != port.mac.load(Relaxed) {
        return Some(foreign(flags, Reason::NotForUs));
    }
    None
}

/// A frame shorter than [`PREFIX`]: perhaps the last bytes of a fragmented packet.
#[inline(always)]
fn short<H: Hook>(hook: &H, port: &Port, flags: u16) -> Verdict {
    let Some(eth) = hook.frame::<ETH>() else {
        return foreign(flags, Reason::Malformed);
    };
    // SAFETY: ETH bytes are in reach.
    match unsafe { not_for_ip(hook, eth, port, flags) } {
        None => {}
        Some(Verdict::Punt(_)) => return Verdict::Drop(Reason::Malformed),
        Some(Verdict::Share(_)) => return Verdict::Pass,
        Some(verdict) => return verdict,
    }
    let Some(eth) = hook.frame::<L4>() else {
        return foreign(flags, Reason::Malformed);
    };
    // SAFETY: L4 bytes are in reach.
    unsafe { unknown(eth, flags, Punt::Header) }
}

/// An IPv4 packet that no flow of the table takes. From outside, only what is for an EIP is ours.
///
/// # Safety
/// `eth` must point at L4 readable bytes.
#[inline(always)]
unsafe fn unknown(eth: *const u8, flags: u16, reason: Punt) -> Verdict {
    if flags & port::UPLINK != 0 {
        // SAFETY: the destination is within L4; the map's value is not used.
        let known = unsafe {
            let destination = eth.add(ETH + 16).cast::<u32>().read_unaligned();
            EIPS.get(destination).is_some()
        };
        if !known {
            return foreign(flags, Reason::NotOurAddress);
        }
    }
    Verdict::Punt(reason)
}

/// Does what the entry says.
#[inline(always)]
fn hit<H: Hook>(hook: &H, key: &Key, entry: &Entry) -> Verdict {
    let action = entry.action();
    let before = entry.seen.load(Relaxed);
    let mut after = before;
    let mut headers = IP + 8;
    if key.proto == proto::TCP {
        let Some(eth) = hook.frame::<TCP_PREFIX>() else {
            return Verdict::Drop(Reason::Malformed);
        };
        // SAFETY: TCP_PREFIX bytes are in reach.
        let (tcp_flags, words) = unsafe { (header::tcp_flags(eth), *eth.add(L4 + 12) >> 4) };
        let bits = seen::of(tcp_flags, before);
        if bits & seen::SYN != 0 {
            return Verdict::Punt(Punt::Syn);
        }
        after |= bits;
        headers = IP + words as usize * 4;
    }
    let Some(eth) = hook.frame::<PREFIX>() else {
        return Verdict::Drop(Reason::Malformed);
    };
    // SAFETY: PREFIX bytes are in reach.
    if action.flags & flags::ROUTED != 0 && unsafe { header::ttl(eth) } <= 1 {
        return Verdict::Punt(Punt::Ttl);
    }
    let Some(hop) = HOPS.get(action.hop as u32) else {
        return Verdict::Drop(Reason::HopGone);
    };
    let ifindex = hop.ifindex.load(Relaxed);
    if ifindex == 0 {
        return Verdict::Drop(Reason::HopGone);
    }
    // SAFETY: PREFIX bytes are in reach.
    let len = unsafe { hook.len_of_packet(eth) };
    let mtu = hop.mtu.load(Relaxed) as u32;
    // What fits the link counts as one packet: whether a small frame stands for several is written in a
    // cache line of its own.
    let mut packets = 1;
    if len - ETH as u32 > mtu {
        let gso_size = hook.gso_size();
        if gso_size == 0 || gso_size + headers as u32 > mtu {
            return Verdict::Punt(Punt::Mtu);
        }
        packets = match hook.gso_segs() {
            // What a virtual machine or a packet socket has sent: nobody has counted.
            0 => (len - ETH as u32).saturating_sub(headers as u32).div_ceil(gso_size),
            segments => segments,
        };
    }

    let now = clock::now();
    let tick = (now >> 20) as u32;
    if entry.last_seen.load(Relaxed) != tick {
        entry.last_seen.store(tick, Relaxed);
    }
    // What is dropped here keeps the session alive all the same, for it is in use.
    let bytes = len - ETH as u32 + (packets - 1) * headers as u32;
    if !meter::take(|ix| METERS.get(ix), action.meter as u32, now, packets, bytes) {
        return Verdict::Drop(Reason::RateLimit);
    }
    if after != before {
        entry.seen.store(after, Relaxed);
    }
    // SAFETY: PREFIX bytes are in reach.
    unsafe {
        header::rewrite_macs(eth, hop.dst_mac.load(Relaxed), hop.src_mac.load(Relaxed));
        header::rewrite_l3(eth, &action);
        header::rewrite_ports(eth, L4, key.proto, &action);
        hook.update_checksum(key, &action);
    }
    count(counter::HIT);
    let peer = hop.flags.load(Relaxed) & hop::PEER != 0;
    let verdict = Verdict::Sent(hook.redirect(ifindex, peer));
    // Last, for the processor does nothing ahead of an atomic addition, and the entry's cache line may
    // still be on its way: 15 % of the time at a million flows.
    entry.packets.fetch_add(packets as u64, Relaxed);
    entry.bytes.fetch_add(len as u64, Relaxed);
    verdict
}
