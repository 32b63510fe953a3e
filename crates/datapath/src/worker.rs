//! The thread that owns the engine: the single writer of the flow table.
//!
//! It drains the queue of punted packets into the engine, sends in batches what comes out, calls the
//! engine when time has passed, and between packets runs short tasks that other threads hand it. A panic
//! in it ends the process: the kernel goes on forwarding, and a new daemon can take over, which is better
//! than a gateway that only looks alive.

use crate::error::{Context, Error};
use crate::grace::Grace;
use crate::maps::Shares;
use crate::populate::Populate;
use crate::sender::Sender;
use crate::vnet;
use aya::maps::{MapData, RingBuf};
use engine::{Engine, Input, Time};
use flow::abi::PuntHeader;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::time::{ClockId, clock_gettime};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Packets between two looks at the clock and at tasks.
const ROUND: usize = 256;
/// How long to go on looking for packets before sleeping, where that pays: about what a sleep and its wake-up cost.
const SPIN: Duration = Duration::from_micros(20);
/// It pays if the last sleep was not longer than this, wake-up included: packets come one after the other, not in
/// bursts or seldom.
const SHORT: Duration = Duration::from_micros(40);
/// The longest sleep.
const SLEEP: Duration = Duration::from_millis(500);
/// Frames that are taken from the queue at once, so that what all of them need of the flow table is on its way from
/// memory before the first is dealt with.
const BATCH: usize = 16;
/// Bytes after which no further frame is taken.
const BATCH_BYTES: usize = 1 << 16;
/// The largest frame: an Ethernet header and the largest IPv4 packet.
const LARGEST: usize = 14 + 65535;

type Task = Box<dyn FnOnce(&mut Engine, &mut Sender, Time) + Send>;

/// The moment now, of the clock that the kernel programs read too.
pub fn now() -> Time {
    // The clock always exists.
    let now =
        clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    Time(Duration::from(now).as_nanos() as u64)
}

/// The time of day, in seconds since 1970 UTC; 0 if the clock stands before.
pub fn wall() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A handle on the thread. Dropping it stops the thread.
pub struct Worker {
    thread: Option<JoinHandle<()>>,
    tasks: std::sync::mpsc::Sender<Task>,
    wake: Arc<EventFd>,
}

impl Worker {
    /// Starts the thread. `sender` sends in the network namespace that it was opened in. `shares` are those of the
    /// ports in the queue of `punts`.
    pub fn start(
        engine: Engine,
        punts: RingBuf<MapData>,
        shares: Shares,
        sender: Sender,
    ) -> Result<Worker, Error> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_value_and_flags(0, flags).context(|| "make an eventfd".into())?;
        let wake = Arc::new(wake);
        let grace = Grace::start().context(|| "start a thread".into())?;
        let (tasks, queue) = channel();
        let mut thread = Loop {
            engine,
            punts,
            shares,
            sender,
            grace,
            populate: Populate::start().context(|| "start a thread".into())?,
            queue,
            wake: Arc::clone(&wake),
            frames: Vec::with_capacity(BATCH_BYTES + LARGEST),
            batch: Vec::with_capacity(BATCH),
        };
        let thread = std::thread::Builder::new()
            .name("sluice-worker".into())
            .spawn(move || {
                let guard = AbortOnPanic;
                thread.run();
                std::mem::forget(guard);
            })
            .context(|| "start a thread".into())?;
        Ok(Worker {
            thread: Some(thread),
            tasks,
            wake,
        })
    }

    /// Runs a task between two packets and gives its result. It should be short: packets wait meanwhile.
    pub fn run<R: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Engine, &mut Sender, Time) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let (done, result) = sync_channel(1);
        let task: Task = Box::new(move |engine, sender, now| {
            // Who asked may have gone.
            let _ = done.send(task(engine, sender, now));
        });
        self.tasks.send(task).map_err(|_| Error::Stopped)?;
        self.wake.write(1).context(|| "wake the worker".into())?;
        result.recv().map_err(|_| Error::Stopped)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let (closed, _) = channel();
        self.tasks = closed;
        // The thread sees the closed channel at the latest when it next looks at the clock.
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ends the process if it is dropped, which happens only when a panic passes by.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}

struct Loop {
    engine: Engine,
    punts: RingBuf<MapData>,
    shares: Shares,
    sender: Sender,
    grace: Grace,
    populate: Populate<4>,
    queue: Receiver<Task>,
    wake: Arc<EventFd>,
    /// The frames at hand, one behind the other: the ring's memory cannot be written.
    frames: Vec<u8>,
    batch: Vec<Punted>,
}

/// A frame at hand.
struct Punted {
    /// Where it ends among the frames.
    end: usize,
    ifindex: u32,
    gso_size: u16,
}

impl Loop {
    fn run(&mut self) {
        let mut next = now();
        let mut idle_since = now();
        let mut patience = SPIN;
        let mut settled = false;
        loop {
            let mut at = now();
            let packets = self.packets(at);
            match self.tasks(at) {
                Ok(0) if packets == 0 => {}
                Ok(tasks) => {
                    at = now();
                    idle_since = at;
                    // A task may have given the engine something to do.
                    if tasks > 0 {
                        next = at;
                    }
                }
                Err(Closed) => return,
            }
            while let Some(slots) = self.grace.over() {
                self.engine.release(&slots);
            }
            if at >= next {
                self.engine.set_wall(wall(), at);
                next = self.engine.tick(at, &mut self.sender);
            }
            self.grace.retire(self.engine.take_retired());
            self.populate.soon(self.engine.room());
            self.sender.flush();
            if packets == 0 && at.since(idle_since) >= patience && next > at {
                if !settled {
                    self.shares.settle();
                    settled = true;
                }
                self.sleep(next.since(at).min(SLEEP));
                idle_since = now();
                patience = match idle_since.since(at) <= SHORT {
                    true => SPIN,
                    false => Duration::ZERO,
                };
            }
        }
    }

    /// Deals with the packets that wait, at most a round of them.
    fn packets(&mut self, at: Time) -> usize {
        let mut count = 0;
        while count < ROUND {
            let taken = self.take();
            if taken == 0 {
                break;
            }
            count += taken;
            let mut rest = &mut self.frames[..];
            let mut start = 0;
            for punted in self.batch.drain(..) {
                let (frame, others) = rest.split_at_mut(punted.end - start);
                (rest, start) = (others, punted.end);
                let offload = vnet::offload(frame, punted.gso_size);
                let input = Input {
                    ifindex: punted.ifindex,
                    frame,
                    offload,
                };
                self.engine.frame(input, at, &mut self.sender);
            }
        }
        count
    }

    /// Takes a batch of frames from the queue. Gives how many records it took.
    fn take(&mut self) -> usize {
        let mut taken = 0;
        // By whose packets how many bytes have become free: mostly many of one port follow each other.
        let (mut port, mut bytes_of_it) = (0, 0);
        let shares = self.shares;
        let leave = |ifindex: u32, bytes: u64| {
            if bytes > 0 {
                shares.of(ifindex).take(bytes);
            }
        };
        self.frames.clear();
        while taken < BATCH
            && self.frames.len() < BATCH_BYTES
            && let Some(record) = self.punts.next()
        {
            taken += 1;
            let Some((header, bytes)) = PuntHeader::split(&record) else {
                continue;
            };
            if header.ifindex != port {
                leave(port, bytes_of_it);
                (port, bytes_of_it) = (header.ifindex, 0);
            }
            bytes_of_it += record.len() as u64;
            if bytes.len() > LARGEST {
                continue;
            }
            self.frames.extend_from_slice(bytes);
            self.batch.push(Punted {
                end: self.frames.len(),
                ifindex: header.ifindex,
                gso_size: header.gso_size,
            });
        }
        leave(port, bytes_of_it);
        let mut start = 0;
        self.engine.expect(self.batch.iter().map(|punted| {
            let frame = &self.frames[start..punted.end];
            start = punted.end;
            (punted.ifindex, frame)
        }));
        taken
    }

    fn tasks(&mut self, at: Time) -> Result<usize, Closed> {
        let mut count = 0;
        loop {
            match self.queue.try_recv() {
                Ok(task) => task(&mut self.engine, &mut self.sender, at),
                Err(TryRecvError::Empty) => return Ok(count),
                Err(TryRecvError::Disconnected) => return Err(Closed),
            }
            count += 1;
        }
    }

    /// Sleeps until a packet or a task comes, or the time is over.
    fn sleep(&self, time: Duration) {
        let mut wanted = [
            PollFd::new(self.punts.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
        ];
        // Rounded up, or the last millisecond would be spun away.
        let millis = time.as_nanos().div_ceil(1_000_000) as u16;
        // A signal is as good a reason to look around as any.
        let _ = poll(&mut wanted, PollTimeout::from(millis));
        let _ = self.wake.read();
    }
}

/// Nobody can hand in tasks any more: the handle was dropped.
struct Closed;
