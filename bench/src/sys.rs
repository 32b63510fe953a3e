//! The system calls that have no safe wrapper. All `unsafe` of this crate is here.

use nix::sys::socket::{setsockopt, sockopt};
use nix::time::ClockId;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;

const BPF_MAP_CREATE: i32 = 0;
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_TEST_RUN: i32 = 10;
const BPF_LINK_CREATE: i32 = 28;
const ARRAY: u64 = 2;
const RINGBUF: u64 = 27;
const MMAPABLE: u64 = 1 << 10;
const LIVE_FRAMES: u64 = 1 << 1;

/// The beginning of `union bpf_attr`, large enough for every command here.
type Attributes = [u64; 16];

/// Two neighbouring fields of 32 bits.
const fn pair(low: u64, high: u64) -> u64 {
    low | high << 32
}

fn bpf(command: i32, attributes: &mut Attributes) -> io::Result<i32> {
    let size = size_of::<Attributes>();
    // SAFETY: the attributes are what the command takes; what they point at lives in the callers' arguments and is as
    // long as they say.
    match unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result as i32),
    }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: a descriptor that a system call has just made, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Makes a ring buffer map of so many bytes.
pub fn ring(bytes: u32) -> io::Result<OwnedFd> {
    let mut attributes = [0; 16];
    attributes[0] = pair(RINGBUF, 0);
    attributes[1] = pair(0, bytes.into());
    bpf(BPF_MAP_CREATE, &mut attributes).map(owned)
}

/// The clock of the current thread's CPU time, which other threads of this process can read.
pub fn thread_clock() -> io::Result<ClockId> {
    let mut clock = 0;
    // SAFETY: the current thread exists, and `clock` outlives the call.
    match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) } {
        0 => Ok(ClockId::from_raw(clock)),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Memory that is shared with kernel programs: an array map of one value.
#[derive(Debug)]
pub struct Shared {
    fd: OwnedFd,
    at: *const AtomicU64,
    words: usize,
}

// SAFETY: it is memory of atomic words, which any thread may use.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Makes memory of so many words, all 0.
    pub fn new(words: usize) -> io::Result<Shared> {
        let bytes = (words * 8) as u64;
        let mut attributes = [0; 16];
        attributes[0] = pair(ARRAY, 4);
        attributes[1] = pair(bytes, 1);
        attributes[2] = MMAPABLE;
        let fd = owned(bpf(BPF_MAP_CREATE, &mut attributes)?);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                words * 8,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Shared {
            fd,
            at: at.cast(),
            words,
        })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has as many words and lives as long as `self`; whoever writes there writes whole words.
        unsafe { std::slice::from_raw_parts(self.at, self.words) }
    }

    /// The map's descriptor, for programs.
    pub fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the slices of it are gone.
        unsafe { libc::munmap(self.at.cast_mut().cast(), self.words * 8) };
    }
}

/// The kinds of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At traffic control.
    Tc = 3,
    /// At XDP.
    Xdp = 6,
}

/// A loaded program.
#[derive(Debug)]
pub struct Program(OwnedFd, Kind);

/// A program on an interface, as long as this lives.
#[derive(Debug)]
pub struct Link(#[expect(dead_code, reason = "it is there to be dropped")] OwnedFd);

impl Program {
    /// Loads a program. The error tells what the verifier said.
    pub fn load(kind: Kind, instructions: &[u64]) -> io::Result<Program> {
        let mut log = vec![0u8; 1 << 16];
        let mut attributes = [0; 16];
        attributes[0] = pair(kind as u64, instructions.len() as u64);
        attributes[1] = instructions.as_ptr() as u64;
        attributes[2] = c"GPL".as_ptr() as u64;
        attributes[3] = pair(1, log.len() as u64);
        attributes[4] = log.as_mut_ptr() as u64;
        match bpf(BPF_PROG_LOAD, &mut attributes) {
            Ok(fd) => Ok(Program(owned(fd), kind)),
            Err(error) => {
                let end = log.iter().position(|&byte| byte == 0).unwrap_or(0);
                let log = String::from_utf8_lossy(&log[..end]);
                Err(io::Error::new(error.kind(), format!("{error}\n{log}")))
            }
        }
    }

    /// Puts it on an interface of this thread's network namespace: on ingress, or into the driver.
    pub fn attach(&self, ifindex: u32) -> io::Result<Link> {
        let (place, flags) = match self.1 {
            Kind::Tc => (46, 0),
            Kind::Xdp => (37, 1 << 2),
        };
        let mut attributes = [0; 16];
        attributes[0] = pair(self.0.as_raw_fd() as u64, ifindex.into());
        attributes[1] = pair(place, flags);
        Ok(Link(owned(bpf(BPF_LINK_CREATE, &mut attributes)?)))
    }

    /// Runs it on `count` frames, which then go where it says, in batches.
    pub fn run_live(&self, frame: &[u8], count: u32, batch: u32) -> io::Result<()> {
        let mut attributes = [0; 16];
        attributes[0] = self.0.as_raw_fd() as u64;
        attributes[1] = frame.len() as u64;
        attributes[2] = frame.as_ptr() as u64;
        attributes[4] = count.into();
        attributes[8] = LIVE_FRAMES;
        attributes[9] = batch.into();
        bpf(BPF_PROG_TEST_RUN, &mut attributes).map(drop)
    }
}

/// Frames that are sent with one system call.
pub const BATCH: usize = 64;
/// Bytes of the header before a frame that says what is left to hardware; all zeroes: nothing.
pub const VNET: usize = 10;
/// Bytes that may be on their way from Sluice's socket.
const SEND_BUFFER: usize = 16 << 20;

/// A packet socket that sends.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    /// What each frame is sent to, if the socket is not bound.
    to: Option<libc::sockaddr_ll>,
}

impl PacketSocket {
    /// Opens one on an interface of this thread's network namespace, past whose queueing discipline it sends.
    pub fn open(ifindex: u32) -> io::Result<PacketSocket> {
        let fd = PacketSocket::make()?;
        let address = address(ifindex, 0);
        let size = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the address is of the size that is said.
        if unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size) } < 0 {
            return Err(io::Error::last_os_error());
        }
        enable(&fd, libc::PACKET_QDISC_BYPASS)?;
        Ok(PacketSocket { fd, to: None })
    }

    /// Opens one as Sluice does: it is told with each IPv4 frame, before which a header of [`VNET`] bytes stands, that it
    /// is for the interface, and sends by its queueing discipline.
    pub fn like_sluice(ifindex: u32) -> io::Result<PacketSocket> {
        let fd = PacketSocket::make()?;
        enable(&fd, libc::PACKET_VNET_HDR)?;
        setsockopt(&fd, sockopt::SndBufForce, &SEND_BUFFER)?;
        let to = Some(address(ifindex, (libc::ETH_P_IP as u16).to_be()));
        Ok(PacketSocket { fd, to })
    }

    fn make() -> io::Result<OwnedFd> {
        // SAFETY: makes a descriptor.
        match unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) } {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(owned(fd)),
        }
    }

    /// Sends frames, a batch of them at most, and says how many the kernel took.
    pub fn send<const LEN: usize>(&self, frames: &mut [[u8; LEN]]) -> usize {
        // SAFETY: plain data, for which zeroes are valid.
        let mut parts: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        for ((frame, part), message) in frames.iter_mut().zip(&mut parts).zip(&mut messages) {
            part.iov_base = frame.as_mut_ptr().cast();
            part.iov_len = LEN;
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            if let Some(to) = &self.to {
                // The kernel only reads it.
                message.msg_hdr.msg_name = (&raw const *to).cast_mut().cast();
                message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
            }
            count += 1;
        }
        // SAFETY: the messages, their names and parts, and the frames live until the end of the call.
        let sent = unsafe {
            libc::sendmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        sent.max(0) as usize
    }
}

/// An interface as frames of a protocol are sent to it.
fn address(ifindex: u32, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol,
        sll_ifindex: ifindex as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    }
}

/// Switches an option of a packet socket on.
fn enable(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (level, size) = (libc::SOL_PACKET, size_of::<libc::c_int>() as u32);
    // SAFETY: the option's value is an int, and `on` outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
