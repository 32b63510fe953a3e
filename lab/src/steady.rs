//! UDP flows of which each datagram is counted.

use crate::host::Host;
use crate::sockets::{Service, udp};
use crate::wait::wait_for;
use nix::sys::socket::{setsockopt, sockopt};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Flows of one source, a socket each.
const FLOWS: usize = 16;
/// Between two datagrams of a flow. All of a source fit many times into the queues on their way.
const EVERY: Duration = Duration::from_millis(10);
/// Bytes of datagrams that may wait for who counts them.
const ROOM: usize = 4 << 20;
/// How long opening the flows may take, in seconds.
const OPENING: f64 = 20.0;
/// How long the last datagrams may be on their way.
const ON_THE_WAY: Duration = Duration::from_secs(5);
/// The number of a datagram that only opens its flow.
const NO_NUMBER: u32 = u32::MAX;

/// What has arrived of a flow.
#[derive(Debug, Default)]
struct Flow {
    open: bool,
    /// How often each datagram has arrived, by its number.
    times: Vec<u32>,
}

/// What became of the datagrams that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many were sent.
    pub sent: usize,
    /// How many of them have not arrived.
    pub lost: usize,
    /// How many have arrived more than once.
    pub doubled: usize,
}

/// A host that sends steadily, and another that counts what arrives.
#[derive(Debug)]
pub struct Steady {
    source: Service,
    _sink: Service,
    /// Datagrams that each flow has sent.
    sent: Arc<AtomicU32>,
    flows: Arc<Mutex<[Flow; FLOWS]>>,
}

impl Steady {
    /// Opens flows from a host to `to`, where `sink` listens at the address `at`, and begins to count when all are open.
    #[track_caller]
    pub fn start(source: &Host, to: &str, sink: &Host, at: &str) -> Steady {
        let sockets: Vec<UdpSocket> = (0..FLOWS)
            .map(|_| {
                let socket = udp(source, "0.0.0.0:0");
                socket.connect(to).unwrap();
                socket
            })
            .collect();
        let socket = udp(sink, at);
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM).unwrap();
        let short = Some(Duration::from_millis(50));
        socket.set_read_timeout(short).unwrap();
        let flows = Arc::<Mutex<[Flow; FLOWS]>>::default();
        let count = Arc::clone(&flows);
        let sink = Service::start(move || take(&socket, &count));
        wait_for("the flows to open", OPENING, || {
            send(&sockets, NO_NUMBER);
            lock(&flows).iter().all(|flow| flow.open)
        });
        let sent = Arc::<AtomicU32>::default();
        let number = Arc::clone(&sent);
        let source = Service::start(move || {
            send(&sockets, number.load(Relaxed));
            number.fetch_add(1, Relaxed);
            thread::sleep(EVERY);
        });
        Steady {
            source,
            _sink: sink,
            sent,
            flows,
        }
    }

    /// Stops sending, and tells what has arrived.
    pub fn end(self) -> Tally {
        drop(self.source);
        let sent = self.sent.load(Relaxed) as usize;
        let deadline = Instant::now() + ON_THE_WAY;
        loop {
            let flows = lock(&self.flows);
            let arrived = |times: &&u32| **times > 0;
            let came = flows
                .iter()
                .map(|flow| flow.times.iter().filter(arrived).count());
            let tally = Tally {
                sent: sent * FLOWS,
                lost: sent * FLOWS - came.sum::<usize>(),
                doubled: flows
                    .iter()
                    .flat_map(|flow| &flow.times)
                    .filter(|times| **times > 1)
                    .count(),
            };
            drop(flows);
            if tally.lost == 0 || Instant::now() > deadline {
                return tally;
            }
            thread::sleep(EVERY);
        }
    }
}

/// Sends a datagram of each flow.
fn send(sockets: &[UdpSocket], number: u32) {
    for (flow, socket) in (0u32..).zip(sockets) {
        let datagram = u64::from(flow) << 32 | u64::from(number);
        socket.send(&datagram.to_be_bytes()).unwrap();
    }
}

/// Counts a datagram, if one comes.
fn take(socket: &UdpSocket, flows: &Mutex<[Flow; FLOWS]>) {
    let mut datagram = [0; 8];
    if !matches!(socket.recv(&mut datagram), Ok(8)) {
        return;
    }
    let datagram = u64::from_be_bytes(datagram);
    let (flow, number) = ((datagram >> 32) as usize, datagram as u32);
    let flow = &mut lock(flows)[flow];
    flow.open = true;
    if number != NO_NUMBER {
        let number = number as usize;
        flow.times.resize(flow.times.len().max(number + 1), 0);
        flow.times[number] += 1;
    }
}

fn lock(flows: &Mutex<[Flow; FLOWS]>) -> MutexGuard<'_, [Flow; FLOWS]> {
    flows.lock().unwrap()
}
