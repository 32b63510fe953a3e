//! Bare punt: what every gateway that decides about first packets in user space does with them, without the decision. A
//! kernel program copies each packet into a ring buffer, and a thread takes them out and sends them on. Both halves do it as
//! Sluice does.

use crate::flows::FRAME;
use crate::machine;
use crate::programs;
use crate::site::INSIDE;
use crate::sys::{self, BATCH, Kind, Link, PacketSocket, Program, VNET};
use aya::maps::{Map, MapData, RingBuf};
use lab::Host;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::ClockId;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

/// Bytes of the ring buffer.
const RING: u32 = 1 << 24;
/// The longest sleep, in milliseconds.
const SLEEP: u16 = 500;

/// One at work. It ends when this is dropped.
#[derive(Debug)]
pub struct Punt {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    clock: ClockId,
    _program: (Program, Link),
}

impl Punt {
    /// Starts one on a host: from one interface to another, where frames begin with `macs`.
    pub fn start(
        gateway: &Host,
        kind: Kind,
        [from, to]: [&str; 2],
        macs: [[u8; 6]; 2],
    ) -> io::Result<Punt> {
        let ring = sys::ring(RING)?;
        let (program, socket) = gateway.inside(|| {
            let program = programs::punt(kind, ring.as_fd())?;
            let link = program.attach(machine::ifindex(from))?;
            let socket = PacketSocket::like_sluice(machine::ifindex(to))?;
            io::Result::Ok(((program, link), socket))
        })?;
        let ring = MapData::from_fd(ring).and_then(|map| RingBuf::try_from(Map::RingBuf(map)));
        let ring = ring.map_err(io::Error::other)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, clock) = channel();
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                machine::pin(0, INSIDE);
                let _ = tell.send(sys::thread_clock());
                relay(ring, &socket, macs, &stop);
            }
        });
        Ok(Punt {
            stop,
            thread: Some(thread),
            clock: clock.recv().map_err(io::Error::other)??,
            _program: program,
        })
    }

    /// The CPU time of its thread, in nanoseconds.
    pub fn cpu_time(&self) -> u64 {
        machine::read(self.clock)
    }
}

impl Drop for Punt {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn relay(mut ring: RingBuf<MapData>, socket: &PacketSocket, macs: [[u8; 6]; 2], stop: &AtomicBool) {
    let mut batch = [[0; VNET + FRAME]; BATCH];
    while !stop.load(Relaxed) {
        let mut count = 0;
        while count < BATCH
            && let Some(frame) = ring.next()
        {
            let (_, copy) = batch[count].split_at_mut(VNET);
            copy.copy_from_slice(&frame);
            copy[..12].copy_from_slice(macs.as_flattened());
            count += 1;
        }
        if count == 0 {
            let mut wanted = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut wanted, PollTimeout::from(SLEEP));
        }
        let mut rest = &mut batch[..count];
        while !rest.is_empty() {
            // One that is refused is left out.
            let sent = socket.send(rest).max(1);
            rest = &mut rest[sent..];
        }
    }
}
