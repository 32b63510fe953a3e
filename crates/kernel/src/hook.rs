//! What differs between the two places in the kernel that a packet can be taken from.

use aya_ebpf::bindings::{
    __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action,
    xdp_md,
};
use aya_ebpf::helpers::{
    bpf_csum_update, bpf_l4_csum_replace, bpf_redirect, bpf_redirect_peer, bpf_skb_load_bytes,
    bpf_skb_pull_data, bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
};
use core::arch::asm;
use core::ptr::{addr_of, read_volatile};
use flow::header::{self, ETH, L4, PREFIX, TCP_PREFIX};
use flow::{Action, Key, proto};

/// A packet at a hook.
pub trait Hook {
    /// The verdict that leaves the packet to the host.
    const PASS: u32;
    /// The verdict that drops it.
    const DROP: u32;

    /// The interface that it came in by.
    fn ifindex(&self) -> u32;

    /// Whether the frame had a VLAN tag that is not in its bytes any more.
    fn tagged(&self) -> bool;

    /// The frame's length in bytes.
    fn len(&self) -> u32;

    /// The same of a frame that is an IPv4 packet, perhaps faster.
    ///
    /// # Safety
    /// `eth` must be what [`Hook::frame`] gave for PREFIX bytes.
    #[inline(always)]
    unsafe fn len_of_packet(&self, _eth: *const u8) -> u32 {
        self.len()
    }

    /// Payload bytes of each segment if the frame stands for several, else 0.
    fn gso_size(&self) -> u32;

    /// How many segments the frame stands for; 0 for an ordinary one.
    fn gso_segs(&self) -> u32;

    /// The frame, of which at least `WANT` bytes can be read and written; `None` if it is shorter.
    /// What an earlier call gave must not be used any more.
    fn frame<const WANT: usize>(&self) -> Option<*mut u8>;

    /// Copies the first `len` bytes of the frame to `to` and says whether that worked.
    ///
    /// # Safety
    /// `to` must have room for `len` bytes.
    unsafe fn copy(&self, to: *mut u8, len: u32) -> bool;

    /// Brings the transport checksum of a packet of `key` up to date with `action`. What [`Hook::frame`] gave
    /// must not be used any more.
    /// The frame must be an IPv4 packet without options.
    fn update_checksum(&self, key: &Key, action: &Action);

    /// Sends the frame by an interface and gives the verdict that does so. `peer`: rather let it arrive
    /// at the other end of that veth pair.
    fn redirect(&self, ifindex: u32, peer: bool) -> u32;
}

/// Reads a field of the context. Never from a copy, for helpers may have changed it.
macro_rules! field {
    // SAFETY: the kernel gives the program a valid context.
    ($ctx:expr, $name:ident) => {
        unsafe { read_volatile(addr_of!((*$ctx).$name)) }
    };
}

/// The packet's start if `WANT` bytes lie before its end.
///
/// The addition is an instruction that the compiler does not look into. It would merge comparisons for
/// several protocols into one with a variable, which the verifier does not follow.
#[inline(always)]
fn bounded<const WANT: usize>(data: u32, end: u32) -> Option<*mut u8> {
    let data = data as u64;
    let mut wanted = data;
    // SAFETY: one instruction that touches nothing but the register.
    unsafe {
        asm!(
            "{wanted} += {want}",
            wanted = inout(reg) wanted,
            want = const WANT,
            options(pure, nomem, nostack),
        );
    }
    (wanted <= end as u64).then_some(data as *mut u8)
}

/// Traffic control on ingress: the packet is a socket buffer, perhaps one that stands for many packets,
/// and the transport checksum may be left to hardware.
pub struct Tc(pub *mut __sk_buff);

impl Tc {
    #[inline(always)]
    fn linear<const WANT: usize>(&self) -> Option<*mut u8> {
        bounded::<WANT>(field!(self.0, data), field!(self.0, data_end))
    }

    /// Brings the checksum up to date in place, or has the kernel do so where only the kernel knows what it
    /// holds: its helper is several calls, a third of what a hit costs.
    #[inline(always)]
    fn update<const WANT: usize>(&self, proto: u8, flags: u32, key: &Key, action: &Action) {
        // Within a VPC nothing is translated.
        if action.addr_delta == 0 && action.port_delta == 0 {
            return;
        }
        if self.gso_size() == 0
            && let Some(eth) = self.linear::<WANT>()
        {
            // SAFETY: the transport header is in reach up to the end of its checksum.
            unsafe {
                if !header::may_be_partial(eth, L4, proto, key) {
                    let change = header::update_checksum(eth, L4, proto, action);
                    // If a card has summed up the whole frame (CHECKSUM_COMPLETE), its sum changes, too.
                    bpf_csum_update(self.0, change as u32);
                    return;
                }
            }
        }
        // The helper knows whether the field holds the sum of the pseudo-header only; the ports are
        // none of that.
        if let Some(offset) = header::checksum_offset(proto) {
            self.csum_replace(L4 + offset, action.addr_delta, flags | BPF_F_PSEUDO_HDR);
            self.csum_replace(L4 + offset, action.port_delta, flags);
        }
    }

    #[inline(always)]
    fn csum_replace(&self, offset: usize, delta: u16, flags: u32) {
        if delta != 0 {
            // SAFETY: the context is valid. With a size of 0, `to` is the difference. It fails only if
            // memory runs out; then the checksum is wrong and the receiver drops the packet.
            unsafe { bpf_l4_csum_replace(self.0, offset as u32, 0, delta as u64, flags as u64) };
        }
    }
}

impl Hook for Tc {
    // The next program of the interface gets it, if there is one.
    const PASS: u32 = TC_ACT_UNSPEC as u32;
    const DROP: u32 = TC_ACT_SHOT as u32;

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        field!(self.0, ifindex)
    }

    #[inline(always)]
    fn tagged(&self) -> bool {
        field!(self.0, vlan_present) != 0
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        field!(self.0, len)
    }

    #[inline(always)]
    fn gso_size(&self) -> u32 {
        field!(self.0, gso_size)
    }

    #[inline(always)]
    fn gso_segs(&self) -> u32 {
        field!(self.0, gso_segs)
    }

    #[inline(always)]
    fn frame<const WANT: usize>(&self) -> Option<*mut u8> {
        if let Some(eth) = self.linear::<WANT>() {
            return Some(eth);
        }
        let len = self.len();
        if len < WANT as u32 {
            return None;
        }
        // The headers lie outside of the linear part.
        // SAFETY: the context is valid.
        unsafe { bpf_skb_pull_data(self.0, core::cmp::min(len, TCP_PREFIX as u32)) };
        self.linear::<WANT>()
    }

    #[inline(always)]
    unsafe fn copy(&self, to: *mut u8, len: u32) -> bool {
        // SAFETY: the context is valid; the caller vouches for `to`.
        unsafe { bpf_skb_load_bytes(self.0.cast(), 0, to.cast(), len) == 0 }
    }

    #[inline(always)]
    fn update_checksum(&self, key: &Key, action: &Action) {
        match key.proto {
            proto::TCP => self.update::<TCP_PREFIX>(proto::TCP, 0, key, action),
            proto::UDP => self.update::<PREFIX>(proto::UDP, BPF_F_MARK_MANGLED_0, key, action),
            proto::ICMP => self.csum_replace(L4 + 2, action.port_delta, 0),
            _ => {}
        }
    }

    #[inline(always)]
    fn redirect(&self, ifindex: u32, peer: bool) -> u32 {
        // SAFETY: the helpers take any interface index.
        (unsafe {
            if peer {
                bpf_redirect_peer(ifindex, 0)
            } else {
                bpf_redirect(ifindex, 0)
            }
        }) as u32
    }
}

/// XDP: the packet as the driver has it, always one, its checksum complete.
pub struct Xdp(pub *mut xdp_md);

impl Xdp {
    #[inline(always)]
    fn update<const WANT: usize>(&self, proto: u8, action: &Action) {
        if let Some(eth) = self.frame::<WANT>() {
            // SAFETY: the transport header is in reach up to the end of its checksum.
            unsafe { header::update_checksum(eth, L4, proto, action) };
        }
    }
}

impl Hook for Xdp {
    const PASS: u32 = xdp_action::XDP_PASS;
    const DROP: u32 = xdp_action::XDP_DROP;

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        field!(self.0, ingress_ifindex)
    }

    #[inline(always)]
    fn tagged(&self) -> bool {
        false
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        // SAFETY: the context is valid.
        (unsafe { bpf_xdp_get_buff_len(self.0) }) as u32
    }

    #[inline(always)]
    unsafe fn len_of_packet(&self, eth: *const u8) -> u32 {
        // A call is saved if the packet ends in the first buffer.
        let first = field!(self.0, data_end) - field!(self.0, data);
        // SAFETY: the caller vouches for `eth`.
        let packet = unsafe { header::packet_len(eth) };
        if ETH as u32 + packet as u32 <= first {
            first
        } else {
            self.len()
        }
    }

    #[inline(always)]
    fn gso_size(&self) -> u32 {
        0
    }

    #[inline(always)]
    fn gso_segs(&self) -> u32 {
        0
    }

    #[inline(always)]
    fn frame<const WANT: usize>(&self) -> Option<*mut u8> {
        bounded::<WANT>(field!(self.0, data), field!(self.0, data_end))
    }

    #[inline(always)]
    unsafe fn copy(&self, to: *mut u8, len: u32) -> bool {
        // SAFETY: the context is valid; the caller vouches for `to`.
        unsafe { bpf_xdp_load_bytes(self.0, 0, to.cast(), len) == 0 }
    }

    #[inline(always)]
    fn update_checksum(&self, key: &Key, action: &Action) {
        // One call for each protocol, for the verifier keeps no note of what a protocol is not.
        match key.proto {
            proto::TCP => self.update::<TCP_PREFIX>(proto::TCP, action),
            proto::UDP => self.update::<PREFIX>(proto::UDP, action),
            proto::ICMP => self.update::<PREFIX>(proto::ICMP, action),
            _ => {}
        }
    }

    #[inline(always)]
    fn redirect(&self, ifindex: u32, _: bool) -> u32 {
        // SAFETY: the helper takes any interface index.
        (unsafe { bpf_redirect(ifindex, 0) }) as u32
    }
}
