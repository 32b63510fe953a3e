//! The programs, loaded, with everything around them that a test wants to set and to see.

use aya::maps::{MapData, RingBuf};
use aya::programs::TestRunOptions;
use datapath::maps::{Maps, Sizes};
use datapath::programs::{Hook, Programs};
use flow::abi::{PuntHeader, mac_word};
use flow::table::Table;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The interface that test packets come in by: every network namespace has it.
pub const LOOPBACK: u32 = 1;
/// Its MAC address, for the programs.
pub const MAC: [u8; 6] = [0x02, 0x51, 0x1c, 0, 0, 1];
/// The zone of what comes in there.
pub const ZONE: u16 = 17;

/// Fails, and says why, without root.
pub fn need_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test needs root: it loads eBPF programs; run it with sudo"
    );
}

/// A directory of pins of its own, removed at the end.
pub struct Pins(pub PathBuf);

impl Pins {
    pub fn new() -> Pins {
        need_root();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("slk{}x{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        Pins(Path::new("/run/sluice/bpf").join(name))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// The frame as the program left it.
    pub frame: Vec<u8>,
    /// What the daemon got.
    pub punts: Vec<(PuntHeader, Vec<u8>)>,
    /// The counters that went up, and by how much.
    pub counted: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Drop,
    Redirect,
}

impl Verdict {
    fn of(hook: Hook, code: u32) -> Verdict {
        match (hook, code) {
            // TCX_NEXT, TC_ACT_SHOT, TC_ACT_REDIRECT
            (Hook::Tc, u32::MAX) | (Hook::Xdp, 2) => Verdict::Pass,
            (Hook::Tc, 2) | (Hook::Xdp, 1) => Verdict::Drop,
            (Hook::Tc, 7) | (Hook::Xdp, 4) => Verdict::Redirect,
            _ => panic!("{hook:?} gave {code:#x}"),
        }
    }
}

/// The loaded programs.
pub struct Rig {
    pub maps: Maps,
    pub table: Table,
    programs: Programs,
    queue: RingBuf<MapData>,
    /// Leave the packets in the queue.
    pub hold: bool,
    _pins: Pins,
}

impl Rig {
    pub fn new(sizes: Sizes) -> Rig {
        let pins = Pins::new();
        let (maps, _) = Maps::open(&pins.0, sizes).unwrap();
        let programs = Programs::load(&maps).unwrap();
        let table = Table::new(maps.flows(), maps.config().seed);
        let queue = maps.punts().unwrap();
        let rig = Rig {
            maps,
            table,
            programs,
            queue,
            hold: false,
            _pins: pins,
        };
        rig.port(0);
        rig
    }

    /// Makes the loopback interface our port, with these flags.
    pub fn port(&self, flags: u16) {
        let port = self.maps.port(LOOPBACK);
        port.zone.store(ZONE, Relaxed);
        port.mac.store(mac_word(MAC), Relaxed);
        port.flags.store(flags, Relaxed);
        port.ifindex.store(LOOPBACK, Relaxed);
    }

    /// Runs a program on a frame. `gso`: for TC, payload bytes of each segment and how many they are.
    pub fn run(&mut self, hook: Hook, frame: &[u8], gso: (u16, u16)) -> Outcome {
        let before = self.maps.counters().unwrap();
        // struct __sk_buff: gso_segs at 164, gso_size at 176.
        let mut context = [0; 192];
        context[164..168].copy_from_slice(&u32::from(gso.1).to_ne_bytes());
        context[176..180].copy_from_slice(&u32::from(gso.0).to_ne_bytes());
        let mut out = vec![0; 1 << 17];
        let result = self
            .programs
            .test_run(
                hook,
                TestRunOptions {
                    data_in: Some(frame),
                    data_out: Some(&mut out),
                    ctx_in: (hook == Hook::Tc && gso != (0, 0)).then_some(&context[..]),
                    ..Default::default()
                },
            )
            .unwrap();
        out.truncate(result.data_size_out as usize);
        let after = self.maps.counters().unwrap();
        let counted = before.iter().zip(after.iter());
        let counted = counted
            .map(|((name, before), (_, after))| (name, after - before))
            .filter(|(_, more)| *more > 0)
            .collect();
        let mut punts = Vec::new();
        while !self.hold
            && let Some(record) = self.queue.next()
        {
            let (header, frame) = PuntHeader::split(&record).unwrap();
            self.maps
                .shares()
                .of(header.ifindex)
                .take(record.len() as u64);
            punts.push((header, frame.to_vec()));
        }
        Outcome {
            verdict: Verdict::of(hook, result.return_value),
            frame: out,
            punts,
            counted,
        }
    }
}
