//! Sluice's eBPF programs.
//!
//! They know nothing of VPCs, rules or NAT: a packet's flow is looked up in the table that the daemon
//! writes, and what its entry says is done. Everything else goes to the daemon.
//!
//! * [`forward`]: the one body of both programs: which port, which flow, what to do;
//! * [`hook`]: what differs between TC and XDP;
//! * [`punt`]: handing a packet to the daemon;
//! * [`clock`]: what time it is;
//! * [`maps`]: the memory shared with the daemon.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod clock;
mod forward;
mod hook;
mod maps;
mod punt;

use aya_ebpf::bindings::{__sk_buff, xdp_action, xdp_md};

/// Traffic control, on ingress (TCX).
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub extern "C" fn sluice_tc(ctx: *mut __sk_buff) -> u32 {
    forward::run(hook::Tc(ctx))
}

/// XDP, for packets in one buffer or several.
#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp.frags")]
pub extern "C" fn sluice_xdp(ctx: *mut xdp_md) -> u32 {
    forward::run(hook::Xdp(ctx))
}

/// Sets the programs' clock. The loader runs it, on no packet of anybody's.
#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
pub extern "C" fn sluice_clock(_: *mut xdp_md) -> u32 {
    clock::set();
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier refuses a program in which this could be reached.
    loop {}
}

/// Some helpers may be called by programs under a licence compatible with the GPL only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
