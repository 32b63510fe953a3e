//! Sending packets to a gateway, in two ways that are never averaged.

use crate::flows::{FRAME, Flow};
use crate::machine;
use crate::programs::Generator;
use crate::site::{OUTSIDE, Site, Way, settle};
use crate::sys::{BATCH, PacketSocket, Program};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use signal_hook::consts::SIGUSR1;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As a network card's driver hands frames to XDP: the kernel's test run makes them and sends them on. Who waits for
    /// an RCU grace period meanwhile waits long, for the test run is one reader.
    Live,
    /// As a virtual machine or a container sends: a socket buffer for each, from a packet socket.
    Skb,
}

impl Profile {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Live => "live frames",
            Profile::Skb => "skbs",
        }
    }
}

/// How fast, how many, and which of the flows in turn.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The flow to begin with.
    pub first: u64,
    /// How many flows take turns, the first ones of the load.
    pub flows: u64,
    /// How many packets there are at most.
    pub budget: u64,
    /// Nanoseconds between two bursts; 0: as fast as can be.
    pub interval: u64,
    /// Packets of a burst: a power of two.
    pub burst: u64,
    /// Whether each carries the time (live frames only).
    pub stamp: bool,
}

impl Pace {
    /// As fast as can be, with so many flows.
    pub const fn flat_out(flows: u64) -> Pace {
        Pace {
            first: 0,
            flows,
            budget: u64::MAX,
            interval: 0,
            burst: 1,
            stamp: false,
        }
    }

    /// So many packets, each of the next flow, in bursts, so many a second.
    pub const fn each_once(first: u64, budget: u64, rate: u64) -> Pace {
        Pace {
            first,
            flows: u64::MAX,
            budget,
            interval: BATCH as u64 * 1_000_000_000 / rate,
            burst: BATCH as u64,
            stamp: false,
        }
    }

    /// Packets of so many flows, one at a time, so many a second.
    pub const fn steady(flows: u64, rate: u64) -> Pace {
        Pace {
            first: 0,
            flows,
            budget: u64::MAX,
            interval: 1_000_000_000 / rate,
            burst: 1,
            stamp: false,
        }
    }
}

/// Frames of one call of the test run: it goes on until a signal ends it, since each takes milliseconds to begin and
/// to end.
const ENDLESS: u32 = 1 << 30;

/// New sessions a second when some are opened in advance, and how often those are sent again that were lost.
const OPENING: u64 = 200_000;
const ATTEMPTS: usize = 10;

/// Packets of many flows.
#[derive(Debug)]
pub struct Load {
    way: Way,
    flows: Vec<Flow>,
    frames: OnceCell<Vec<[u8; FRAME]>>,
    generator: Generator,
    programs: RefCell<HashMap<u32, Program>>,
    sent: AtomicU64,
}

impl Load {
    /// Packets of these flows.
    pub fn new(way: Way, flows: Vec<Flow>) -> Load {
        let (to, from) = way.macs();
        let first = flows[0].frame(&to, &from);
        let header = std::array::from_fn(|n| first[n]);
        Load {
            way,
            generator: Generator::new(&flows, &header).expect("memory for the generator"),
            flows,
            frames: OnceCell::new(),
            programs: RefCell::default(),
            sent: AtomicU64::new(0),
        }
    }

    /// How many flows it has.
    pub fn flows(&self) -> u64 {
        self.flows.len() as u64
    }

    /// Which way they go.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Packets that were sent in the last run.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Sends to a gateway until `work` is done.
    pub fn run<R>(&self, site: &Site, profile: Profile, pace: Pace, work: impl FnOnce() -> R) -> R {
        let pace = Pace {
            flows: pace.flows.min(self.flows()),
            ..pace
        };
        let end = site.from(self.way);
        let mut programs = self.programs.borrow_mut();
        let program = programs.entry(end.ifindex).or_insert_with(|| {
            let program = self.generator.program(end.ifindex);
            program.expect("the generator's program")
        });
        let stop = AtomicBool::new(false);
        self.sent.store(0, Relaxed);
        // Before anybody asks how many it has sent.
        self.generator.begin(pace);
        let (to, from) = self.way.macs();
        let frame = |flow: &Flow| flow.frame(&to, &from);
        let frames = match profile {
            Profile::Live => &vec![frame(&self.flows[0])],
            Profile::Skb => self
                .frames
                .get_or_init(|| self.flows.iter().map(frame).collect()),
        };
        let program = &*program;
        let (generator, sent) = (&self.generator, &self.sent);
        thread::scope(|scope| {
            let (tell, who) = channel();
            let (stop, frames) = (&stop, &*frames);
            let sender = scope.spawn(move || {
                end.host.inside(|| {
                    machine::pin(0, OUTSIDE);
                    let _ = tell.send(pthread_self());
                    match profile {
                        Profile::Live => live(generator, program, &frames[0], pace, sent, stop),
                        Profile::Skb => skbs(frames, end.ifindex, pace, sent, stop),
                    }
                });
            });
            // Also a panic in `work` ends the sender.
            let _end = EndOnDrop {
                stop,
                thread: who.recv().expect("the sender's thread"),
                sender,
            };
            work()
        })
    }

    /// Sends to a gateway until the pace's budget is used up.
    pub fn run_all(&self, site: &Site, profile: Profile, pace: Pace) {
        let bursts = pace.budget / pace.burst;
        let patience = Duration::from_nanos(bursts * pace.interval * 3) + Duration::from_secs(5);
        self.run(site, profile, pace, || {
            let start = Instant::now();
            let sent = || match profile {
                Profile::Live => self.generator.sent(),
                Profile::Skb => self.sent(),
            };
            while sent() < pace.budget && start.elapsed() < patience {
                thread::sleep(Duration::from_millis(1));
            }
        });
        settle();
    }

    /// Opens the first `flows` at a gateway: sends of each until it has as many sessions, with others that it may have.
    pub fn open(&self, site: &Site, flows: u64) {
        if !site.contender.has_sessions() {
            return;
        }
        for _ in 0..ATTEMPTS {
            if site.sessions() >= flows {
                return;
            }
            self.run_all(site, Profile::Live, Pace::each_once(0, flows, OPENING));
            thread::sleep(Duration::from_millis(100));
        }
        let sessions = site.sessions();
        assert!(
            sessions >= flows,
            "{} opened {sessions} of {flows} sessions",
            site.name
        );
    }
}

/// Ends the sender's thread when it is dropped.
struct EndOnDrop<'a> {
    stop: &'a AtomicBool,
    thread: Pthread,
    sender: ScopedJoinHandle<'a, ()>,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        while !self.sender.is_finished() {
            let _ = pthread_kill(self.thread, Signal::SIGUSR1);
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Lets the signal that ends a sender's system call do nothing else.
pub fn prepare() {
    let ignored = signal_hook::flag::register(SIGUSR1, Arc::default());
    ignored.expect("a signal handler");
}

fn live(
    generator: &Generator,
    program: &Program,
    frame: &[u8],
    pace: Pace,
    sent: &AtomicU64,
    stop: &AtomicBool,
) {
    // Frames are sent on when a batch is full, and would wait for it.
    let batch = if pace.burst == 1 && pace.interval != 0 {
        1
    } else {
        BATCH
    };
    while !stop.load(Relaxed) {
        let _ = program.run_live(frame, ENDLESS, batch as u32);
    }
    sent.store(generator.sent(), Relaxed);
}

fn skbs(frames: &[[u8; FRAME]], ifindex: u32, pace: Pace, sent: &AtomicU64, stop: &AtomicBool) {
    let socket = PacketSocket::open(ifindex).expect("a packet socket");
    let mut batch = [[0; FRAME]; BATCH];
    let (mut next, start) = (pace.first, Instant::now());
    // How many it has sent, and how many it was late for and left out.
    let (mut done, mut skipped) = (0, 0);
    while !stop.load(Relaxed) {
        let mut due = pace.budget - done;
        if let Some(bursts) = (start.elapsed().as_nanos() as u64).checked_div(pace.interval) {
            let late = (bursts * pace.burst).saturating_sub(done + skipped);
            // Who was kept from sending does not make up for it: queues are short.
            skipped += late.saturating_sub(BATCH as u64);
            due = due.min(late).min(BATCH as u64);
        }
        let count = due.min(BATCH as u64) as usize;
        if count == 0 {
            std::hint::spin_loop();
            continue;
        }
        for frame in &mut batch[..count] {
            *frame = frames[next as usize];
            next = if next + 1 < pace.flows { next + 1 } else { 0 };
        }
        socket.send(&mut batch[..count]);
        done += count as u64;
        sent.store(done, Relaxed);
    }
}
