//! Handing a packet to the daemon: a copy of the frame behind a [`PuntHeader`], in a ring buffer.

use crate::hook::Hook;
use crate::maps::{PUNTS, SHARES, queue};
use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;
use flow::abi::{PORT_SLOTS, Punt, PuntHeader};
use flow::share::Share;

/// A record with room for a frame of `N` bytes. The verifier wants the size of a reservation to be a
/// constant, so there are classes of sizes.
#[repr(C, align(8))]
struct Record<const N: usize> {
    header: PuntHeader,
    frame: [MaybeUninit<u8>; N],
}

/// Room for what connections begin with and for small datagrams, in two cache lines with what precedes it.
const SMALL: usize = 104;

/// Room for the largest IPv4 packet.
const LARGEST: usize = 65536 + 32;

/// Bytes that wait in the ring buffer (`BPF_RB_AVAIL_DATA`).
const WAITING: u64 = 0;

/// Copies the frame into the ring buffer. `false` if there was no room, or not for this port.
#[inline(always)]
pub fn punt<H: Hook>(hook: &H, reason: Punt) -> bool {
    let Some(share) = SHARES.get(hook.ifindex() % PORT_SLOTS) else {
        return false;
    };
    let taken = share.has_room(PUNTS.query(WAITING), queue())
        && match hook.len() as usize {
            0 => false,
            len @ ..=SMALL => record::<H, SMALL>(hook, share, reason, len),
            len @ ..=240 => record::<H, 240>(hook, share, reason, len),
            len @ ..=2032 => record::<H, 2032>(hook, share, reason, len),
            len @ ..=16368 => record::<H, 16368>(hook, share, reason, len),
            len @ ..=LARGEST => record::<H, LARGEST>(hook, share, reason, len),
            _ => false,
        };
    if !taken {
        share.refuse();
    }
    taken
}

#[inline(always)]
fn record<H: Hook, const N: usize>(hook: &H, share: &Share, reason: Punt, len: usize) -> bool {
    let Some(mut slot) = PUNTS.reserve::<Record<N>>(0) else {
        return false;
    };
    let record: *mut Record<N> = slot.as_mut_ptr();
    let header = PuntHeader {
        len: len as u32,
        ifindex: hook.ifindex(),
        gso_size: hook.gso_size() as u16,
        gso_segs: hook.gso_segs() as u16,
        reason: reason as u8,
        spare: [0; 3],
    };
    // SAFETY: the record is ours until it is submitted, and has room for N bytes, of which `len` are
    // written.
    let copied = unsafe {
        addr_of_mut!((*record).header).write(header);
        hook.copy(
            addr_of_mut!((*record).frame).cast(),
            within::<N>(len) as u32,
        )
    };
    if copied {
        // Before the daemon can take it out.
        share.put(size_of::<Record<N>>() as u64);
        slot.submit(0);
    } else {
        slot.discard(0);
    }
    copied
}

/// `len`, which is from 1 to `N`, so that the verifier sees it: the compiler, which knows it already,
/// would leave a comparison out or make it on another register.
#[inline(always)]
fn within<const N: usize>(len: usize) -> usize {
    let mut len = len as u64;
    // SAFETY: three instructions that touch nothing but the register.
    unsafe {
        asm!(
            "if {len} s> {max} goto +1",
            "if {len} s> 0 goto +1",
            "{len} = 1",
            len = inout(reg) len,
            max = const N,
            options(pure, nomem, nostack),
        );
    }
    len as usize
}
