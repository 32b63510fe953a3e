//! Frames through a veth pair, seen by a packet socket, and by the network stack, at its far end.

use crate::common::Scratch;
use datapath::links::{Links, VethPair};
use datapath::{BATCH, Feature, Sender, netns};
use engine::{Offload, Output};
use flow::checksum;
use flow::header::{Checksum, ETH, IP, checksum_offset};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const NEAR: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FAR: [u8; 6] = [2, 0, 0, 0, 0, 2];
const MTU: u32 = 1500;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A sender, and a namespace at the other end of its veth pair.
struct Bench {
    sender: Sender,
    near: Links,
    ifindex: u32,
    far: Scratch,
    _near: Scratch,
}

impl Bench {
    fn new() -> Bench {
        let (near, far) = (Scratch::new(), Scratch::new());
        for scratch in [&near, &far] {
            // Nothing but our frames.
            scratch.inside(|| datapath::links::disable_ipv6("default").unwrap());
        }
        let mut here = Links::open_in(&near.0).unwrap();
        let mut there = Links::open_in(&far.0).unwrap();
        let pair = VethPair {
            name: "sld0",
            mac: NEAR,
            alias: "",
            far_name: "eth0",
            far_mac: FAR,
            mtu: MTU,
        };
        let ifindex = here
            .add_veth(&pair, &netns::open(&far.0).unwrap())
            .unwrap()
            .index;
        let end = there.find("eth0").unwrap().unwrap().index;
        there.set_up(end).unwrap();
        here.set_up(ifindex).unwrap();
        here.wait_operational(ifindex).unwrap();
        there
            .add_address(end, "192.168.1.5/24".parse().unwrap())
            .unwrap();
        Bench {
            sender: near.inside(|| Sender::open(Box::new(|_| ())).unwrap()),
            near: here,
            ifindex,
            far,
            _near: near,
        }
    }

    fn transmit(&mut self, frame: &[u8], offload: Offload) {
        self.sender.transmit(self.ifindex, frame, offload);
    }

    /// Lets the sender's kernel do what hardware would.
    fn without_hardware(&self) {
        self.near
            .set_offload("sld0", Feature::TxChecksum, false)
            .unwrap();
        self._near.run("ethtool -K sld0 tso off");
    }

    /// A packet socket at the far end.
    fn listen(&self) -> OwnedFd {
        self.far.inside(|| {
            let listener = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::empty(),
                SockProtocol::EthAll,
            )
            .unwrap();
            setsockopt(&listener, sockopt::RcvBufForce, &(8 << 20)).unwrap();
            setsockopt(&listener, sockopt::ReceiveTimeout, &TimeVal::seconds(10)).unwrap();
            listener
        })
    }

    fn count(&self, pick: impl Fn(&datapath::SendCounters) -> &AtomicU64) -> u64 {
        pick(self.sender.counters()).load(Relaxed)
    }
}

/// The next frame that came from the sender.
fn receive(listener: &OwnedFd) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 17];
    loop {
        let len = recv(listener.as_raw_fd(), &mut buffer, MsgFlags::empty())
            .expect("the frame should have arrived");
        if buffer[6..12] == NEAR {
            buffer.truncate(len);
            return buffer;
        }
    }
}

/// A TCP or UDP packet from 192.168.1.253 to 192.168.1.5, port 7, its checksum partial.
fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let l4_len = if protocol == TCP { 20 } else { 8 };
    let len = l4_len + payload.len();
    let mut frame = [&FAR[..], &NEAR, &[8, 0]].concat();
    frame.extend([0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend([192, 168, 1, 253, 192, 168, 1, 5]);
    frame[ETH + 2..ETH + 4].copy_from_slice(&((IP + len) as u16).to_be_bytes());
    let sum = !checksum::fold(checksum::sum(&frame[ETH..], 0));
    frame[ETH + 10..ETH + 12].copy_from_slice(&sum.to_ne_bytes());
    let mut l4 = vec![0; l4_len];
    l4[..4].copy_from_slice(&[0x10, 0x00, 0, 7]);
    match protocol {
        TCP => l4[12..16].copy_from_slice(&[0x50, 0x18, 0x20, 0]),
        _ => l4[4..6].copy_from_slice(&(len as u16).to_be_bytes()),
    }
    let at = checksum_offset(protocol).unwrap();
    let pseudo = checksum::fold(pseudo(&frame, protocol, len));
    l4[at..at + 2].copy_from_slice(&pseudo.to_ne_bytes());
    frame.extend(l4);
    frame.extend_from_slice(payload);
    frame
}

fn pseudo(frame: &[u8], protocol: u8, len: usize) -> u32 {
    let word = |at: usize| u32::from_ne_bytes(frame[at..at + 4].try_into().unwrap());
    checksum::pseudo(word(ETH + 12), word(ETH + 16), protocol, len as u16)
}

/// Whether the transport checksum covers the whole packet and is right.
fn is_complete(frame: &[u8]) -> bool {
    let l4 = &frame[ETH + IP..];
    checksum::fold(checksum::sum(l4, pseudo(frame, frame[ETH + 9], l4.len()))) == 0xffff
}

fn partial(gso_size: u16) -> Offload {
    Offload {
        checksum: Checksum::Partial,
        gso_size,
    }
}

/// Bytes of which no two stretches are alike.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9u32;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(len).collect()
}

#[test]
fn frames_arrive_bit_exact_and_in_order() {
    let mut bench = Bench::new();
    let listener = bench.listen();
    let frames: Vec<Vec<u8>> = (0..3 * BATCH + 5)
        .map(|n| {
            let mut frame = [&FAR[..], &NEAR, &[0x88, 0xb5]].concat();
            frame.extend(noise(46 + n * 1454 / (3 * BATCH + 4)));
            frame[ETH] = n as u8;
            frame
        })
        .collect();
    for frame in &frames {
        bench.transmit(frame, Offload::NONE);
    }
    bench.sender.flush();
    for (n, frame) in frames.iter().enumerate() {
        assert!(&receive(&listener) == frame, "frame {n}");
    }
    assert_eq!(bench.count(|c| &c.sent), frames.len() as u64);
    assert_eq!(bench.sender.counters().failed(), 0);
}

#[test]
fn a_partial_checksum_is_completed() {
    let mut bench = Bench::new();
    bench.without_hardware();
    let listener = bench.listen();
    for protocol in [TCP, UDP] {
        let frame = packet(protocol, b"complete me");
        assert!(!is_complete(&frame));
        bench.transmit(&frame, partial(0));
        bench.sender.flush();
        let arrived = receive(&listener);
        assert!(is_complete(&arrived), "protocol {protocol}");
        assert!(arrived.ends_with(b"complete me"));
    }
    // And one that is complete already is not touched.
    let frame = packet(UDP, b"leave me");
    bench.transmit(&frame, Offload::NONE);
    bench.sender.flush();
    assert_eq!(receive(&listener), frame);
}

#[test]
fn a_large_tcp_frame_arrives_whole_or_in_right_segments() {
    let mut bench = Bench::new();
    let listener = bench.listen();
    let mss = 1460;
    // The most that the kernel takes for one frame is 64 KiB, Ethernet header included.
    let frame = packet(TCP, &noise(65535 - ETH - 40));
    bench.transmit(&frame, partial(mss));
    bench.sender.flush();
    assert!(receive(&listener) == frame);

    bench.without_hardware();
    let payload = noise(65535 - 40);
    let frame = packet(TCP, &payload);
    bench.transmit(&frame, partial(mss));
    bench.sender.flush();
    let mut assembled = Vec::new();
    while assembled.len() < payload.len() {
        let segment = receive(&listener);
        assert!(segment.len() <= ETH + MTU as usize && is_complete(&segment));
        let sequence = u32::from_be_bytes(segment[38..42].try_into().unwrap());
        assert_eq!(sequence as usize, assembled.len());
        assembled.extend_from_slice(&segment[54..]);
    }
    assert!(assembled == payload);
    assert_eq!(bench.sender.counters().failed(), 0);
}

#[test]
fn a_large_udp_frame_reaches_a_socket_as_datagrams() {
    let mut bench = Bench::new();
    let server = bench.far.inside(|| {
        let server = UdpSocket::bind("192.168.1.5:7").unwrap();
        server
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        server
    });
    let payload = noise(40_000);
    bench.transmit(&packet(UDP, b"alone"), partial(0));
    bench.transmit(&packet(UDP, &payload), partial(1200));
    bench.sender.flush();
    let mut buffer = [0; 2000];
    assert_eq!(server.recv(&mut buffer).unwrap(), 5);
    for datagram in payload.chunks(1200) {
        let len = server.recv(&mut buffer).unwrap();
        assert!(&buffer[..len] == datagram);
    }
}

#[test]
fn what_cannot_be_sent_is_counted_and_keeps_nothing_up() {
    let mut bench = Bench::new();
    let listener = bench.listen();
    let good = packet(UDP, b"good");
    let long = packet(UDP, &noise(3000));
    bench.transmit(&long, Offload::NONE);
    bench.transmit(&good, partial(0));
    bench.sender.transmit(9999, &good, partial(0));
    bench.transmit(&good, partial(0));
    bench.transmit(&[0; 13], Offload::NONE);
    bench.transmit(&[0; 65550], Offload::NONE);
    bench.sender.flush();
    assert_eq!(receive(&listener), good);
    assert_eq!(receive(&listener), good);
    assert_eq!(bench.count(|c| &c.sent), 2);
    assert_eq!(bench.count(|c| &c.too_long), 2);
    assert_eq!(bench.count(|c| &c.no_interface), 1);
    assert_eq!(bench.count(|c| &c.refused), 1);
    assert_eq!(bench.sender.counters().failed(), 4);

    bench._near.run("ip link set sld0 down");
    bench.transmit(&good, partial(0));
    bench.sender.flush();
    assert_eq!(bench.count(|c| &c.no_interface), 2);
}
