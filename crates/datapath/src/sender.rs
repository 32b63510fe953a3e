//! Sending frames: a raw packet socket (packet(7)) that many frames leave by with one system call.
//!
//! The socket receives nothing (its protocol is 0), works on every interface of its network namespace,
//! and takes with each frame what is left to hardware: a checksum to complete, segments to cut.
//!
//! Frames go through the interface's queueing discipline, not past it (`PACKET_QDISC_BYPASS`), though the
//! option exists for senders like this one. Past it, a frame that stands for several is dropped wherever
//! the driver cannot cut it itself, and every frame is while the transmit ring is full; the host's
//! shaping of an uplink that it shares with us would not hold. A veth has no queueing discipline to save.

use crate::error::{Context, Error};
use crate::vnet;
use engine::record::Record;
use engine::{Offload, Output};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Frames that are collected before they are sent.
pub const BATCH: usize = 64;
/// Bytes that are collected before they are sent: some of the largest frames that there are.
const ARENA: usize = 8 * (1 << 16);
/// The largest frame that there can be: an Ethernet header and the largest IPv4 packet.
const LARGEST: usize = 14 + 65535;
/// Bytes that may be on their way: the kernel counts each frame until it has left.
const SEND_BUFFER: usize = 16 << 20;

/// What became of frames given to a [`Sender`].
#[derive(Debug, Default)]
pub struct SendCounters {
    /// Taken by a driver.
    pub sent: AtomicU64,
    /// Dropped: the interface's queue or the socket's buffer was full.
    pub no_room: AtomicU64,
    /// Dropped: larger than the interface takes.
    pub too_long: AtomicU64,
    /// Dropped: the interface is down or gone.
    pub no_interface: AtomicU64,
    /// Dropped: refused for another reason.
    pub refused: AtomicU64,
}

impl SendCounters {
    /// All that were dropped ([`flow::reason::Reason::SendFailed`]).
    pub fn failed(&self) -> u64 {
        [
            &self.no_room,
            &self.too_long,
            &self.no_interface,
            &self.refused,
        ]
        .iter()
        .map(|counter| counter.load(Relaxed))
        .sum()
    }

    fn of(&self, errno: i32) -> &AtomicU64 {
        match errno {
            libc::ENOBUFS | libc::EAGAIN | libc::ENOMEM => &self.no_room,
            libc::EMSGSIZE => &self.too_long,
            libc::ENETDOWN | libc::ENXIO | libc::ENODEV => &self.no_interface,
            _ => &self.refused,
        }
    }
}

/// A frame in the arena, behind its header.
struct Queued {
    start: usize,
    end: usize,
    ifindex: u32,
    ethertype: u16,
}

/// Collects frames and sends them in batches. After [`Sender::open`] it allocates nothing.
pub struct Sender {
    socket: OwnedFd,
    arena: Vec<u8>,
    queue: Vec<Queued>,
    counters: Arc<SendCounters>,
    recorder: Recorder,
}

/// Takes the records of sessions. It runs on the thread that moves packets and must not wait.
pub type Recorder = Box<dyn FnMut(Record) + Send>;

impl Sender {
    /// Opens the socket in the current thread's network namespace, where it stays.
    pub fn open(recorder: Recorder) -> Result<Sender, Error> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)
            .context(|| "open a packet socket".into())?;
        enable(&socket, libc::PACKET_VNET_HDR)
            .context(|| "let a packet socket take offloads".into())?;
        setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER)
            .context(|| "enlarge the packet socket's buffer".into())?;
        Ok(Sender {
            socket,
            arena: Vec::with_capacity(ARENA),
            queue: Vec::with_capacity(BATCH),
            counters: Arc::default(),
            recorder,
        })
    }

    /// What became of the frames so far.
    pub fn counters(&self) -> &Arc<SendCounters> {
        &self.counters
    }

    /// Sends what was collected.
    pub fn flush(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let mut addresses = [const { MaybeUninit::uninit() }; BATCH];
        let mut parts = [const { MaybeUninit::uninit() }; BATCH];
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
        for (at, frame) in self.queue.iter().enumerate() {
            let bytes = &mut self.arena[frame.start..frame.end];
            let part = parts[at].write(libc::iovec {
                iov_base: bytes.as_mut_ptr().cast(),
                iov_len: bytes.len(),
            });
            let address = addresses[at].write(libc::sockaddr_ll {
                sll_family: libc::AF_PACKET as u16,
                sll_protocol: frame.ethertype,
                sll_ifindex: frame.ifindex as i32,
                sll_hatype: 0,
                sll_pkttype: 0,
                sll_halen: 6,
                sll_addr: [0; 8],
            });
            // SAFETY: plain data, for which zeroes are valid.
            let message = messages[at].write(unsafe { std::mem::zeroed() });
            message.msg_hdr.msg_name = (&raw mut *address).cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
            message.msg_hdr.msg_iov = &raw mut *part;
            message.msg_hdr.msg_iovlen = 1;
        }
        let count = self.queue.len();
        // SAFETY: the first `count` messages were written.
        let messages = unsafe { messages[..count].assume_init_mut() };
        self.send(messages);
        self.queue.clear();
        self.arena.clear();
    }

    /// Sends messages in order. One that is refused is counted and left out.
    fn send(&self, mut messages: &mut [libc::mmsghdr]) {
        let mut waited = false;
        while !messages.is_empty() {
            // SAFETY: the messages, and the names and parts that they point at, live on the stack of
            // `flush`, the parts' bytes in the arena; none is changed meanwhile.
            let sent = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    messages.as_mut_ptr(),
                    messages.len() as u32,
                    0,
                )
            };
            let done = match sent {
                -1 => match io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or_default()
                {
                    libc::EINTR => 0,
                    // The socket's buffer is full: drivers have up to a millisecond to empty it.
                    libc::EAGAIN if !waited => {
                        waited = true;
                        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                        let _ = poll(&mut ready, PollTimeout::from(1u8));
                        0
                    }
                    errno => {
                        self.counters.of(errno).fetch_add(1, Relaxed);
                        1
                    }
                },
                sent => {
                    self.counters.sent.fetch_add(sent as u64, Relaxed);
                    sent as usize
                }
            };
            messages = &mut messages[done..];
        }
    }
}

impl Output for Sender {
    fn transmit(&mut self, ifindex: u32, frame: &[u8], offload: Offload) {
        if frame.len() < flow::header::ETH || frame.len() > LARGEST {
            let errno = if frame.len() > LARGEST {
                libc::EMSGSIZE
            } else {
                libc::EINVAL
            };
            self.counters.of(errno).fetch_add(1, Relaxed);
            return;
        }
        let need = vnet::LEN + frame.len();
        if self.queue.len() == BATCH || self.arena.len() + need > ARENA {
            self.flush();
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(&vnet::header(frame, offload));
        self.arena.extend_from_slice(frame);
        self.queue.push(Queued {
            start,
            end: self.arena.len(),
            ifindex,
            ethertype: u16::from_ne_bytes([frame[12], frame[13]]),
        });
    }

    fn record(&mut self, record: Record) {
        (self.recorder)(record);
    }
}

fn enable(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int, and `on` outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
