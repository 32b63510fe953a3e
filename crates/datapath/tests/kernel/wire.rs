//! The programs on real interfaces, with packets as made-up ones cannot be: in pieces, with a checksum
//! that is left to hardware, standing for many, with a VLAN tag beside them.
//!
//! ```text
//!  in2 ----> in1  the program  out1 ----> out2, in a namespace of its own
//! ```

use super::attach::{Namespace, index, ip};
use super::rig::Pins;
use aya::maps::{MapData, RingBuf};
use datapath::maps::{Maps, Sizes};
use datapath::programs::{Attached, Hook, Programs};
use flow::abi::{Punt, PuntHeader, Station, hop, mac_word, port};
use flow::header::{Checksum, rewrite};
use flow::table::Table;
use flow::{Action, Activity, Key, checksum, flags, proto};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THERE: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ZONE: u16 = 5;
const PATIENCE: Duration = Duration::from_secs(20);

/// `struct virtio_net_hdr`, as packet sockets take and give it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

const VNET: usize = 10;
const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;

impl VnetHeader {
    fn bytes(self) -> [u8; VNET] {
        let mut bytes = [self.flags, self.gso_type, 0, 0, 0, 0, 0, 0, 0, 0];
        let words = [
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
        ];
        for (i, word) in words.into_iter().enumerate() {
            bytes[2 + 2 * i..4 + 2 * i].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> VnetHeader {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        VnetHeader {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        }
    }
}

/// A packet socket on an interface, which sends and receives frames with their offloads.
struct Wire(OwnedFd);

impl Wire {
    fn open(interface: &str) -> Wire {
        let all = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let on: libc::c_int = 1;
        // SAFETY: plain system calls; the structures outlive them and have the sizes that are given.
        unsafe {
            let fd = libc::socket(libc::AF_PACKET, kind, i32::from(all));
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            let wire = Wire(OwnedFd::from_raw_fd(fd));
            let (level, name) = (libc::SOL_PACKET, libc::PACKET_VNET_HDR);
            let result = libc::setsockopt(fd, level, name, (&raw const on).cast(), 4);
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = all;
            address.sll_ifindex = index(interface) as i32;
            let size = size_of::<libc::sockaddr_ll>() as u32;
            let result = libc::bind(fd, (&raw const address).cast(), size);
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
            wire
        }
    }

    fn send(&self, header: VnetHeader, frame: &[u8]) {
        let message = [&header.bytes(), frame].concat();
        let (fd, at, len) = (self.0.as_raw_fd(), message.as_ptr(), message.len());
        // SAFETY: the buffer is `len` bytes long.
        let sent = unsafe { libc::send(fd, at.cast(), len, 0) };
        assert_eq!(sent, len as isize, "{}", std::io::Error::last_os_error());
    }

    /// The next frame to `THERE`.
    fn receive(&self) -> (VnetHeader, Vec<u8>) {
        let end = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 1 << 17];
        while Instant::now() < end {
            let (fd, at, len) = (self.0.as_raw_fd(), buffer.as_mut_ptr(), buffer.len());
            // SAFETY: the buffer is `len` bytes long.
            let got = unsafe { libc::recv(fd, at.cast(), len, libc::MSG_DONTWAIT) };
            match usize::try_from(got) {
                Ok(got) if got > VNET + 14 && buffer[VNET..VNET + 6] == THERE => {
                    return (VnetHeader::read(&buffer), buffer[VNET..got].to_vec());
                }
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        panic!("nothing came");
    }
}

/// Two cables with the program between them and a flow in the table.
struct Bench {
    maps: Maps,
    table: Table,
    slot: u32,
    action: Action,
    queue: RingBuf<MapData>,
    into: Wire,
    out: Wire,
    _far: Namespace,
    _programs: Programs,
    _pins: Pins,
}

const OLD: Key = Key {
    src: u32::from_ne_bytes([192, 168, 7, 9]),
    dst: u32::from_ne_bytes([203, 0, 113, 77]),
    sport: 4711u16.to_be(),
    dport: 443u16.to_be(),
    zone: ZONE,
    proto: proto::UDP,
};

/// Waits until an interface's queue is at work: a moment after its cable is, when the kernel comes to it.
fn wait_until_up(interface: &str) {
    let end = Instant::now() + PATIENCE;
    while !ip(&format!("-o link show dev {interface}")).contains("state UP") {
        assert!(Instant::now() < end, "{interface} does not come up");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Bench {
    fn new(hook: Hook, proto: u8, peer: bool) -> Bench {
        let far = Namespace::new();
        ip("link add name in1 mtu 9000 type veth peer name in2 mtu 9000");
        let to = format!("mtu 9000 netns {}", far.name());
        ip(&format!(
            "link add name out1 mtu 9000 type veth peer name out2 {to}"
        ));
        for end in ["in1", "in2", "out1"] {
            ip(&format!("link set dev {end} up"));
        }
        let out = far.inside(|| {
            ip("link set dev out2 up");
            // XDP hands frames only to a veth whose far end has a receive queue of its own.
            let links = datapath::links::Links::open().unwrap();
            let gro = datapath::Feature::Gro;
            links.set_offload("out2", gro, hook == Hook::Xdp).unwrap();
            Wire::open("out2")
        });
        // Until then the kernel loses what is sent, without a word.
        for end in ["in1", "in2", "out1"] {
            wait_until_up(end);
        }
        far.inside(|| wait_until_up("out2"));
        let pins = Pins::new();
        let (maps, _) = Maps::open(&pins.0, Sizes::new(64)).unwrap();
        let mut programs = Programs::load(&maps).unwrap();
        let inside = index("in1");
        let expected = if hook == Hook::Tc {
            Attached::Tc
        } else {
            Attached::XdpDriver
        };
        assert_eq!(programs.attach(inside, hook).unwrap(), expected);

        let place = maps.port(inside);
        place.zone.store(ZONE, Relaxed);
        place.mac.store(mac_word(OURS), Relaxed);
        place.ifindex.store(inside, Relaxed);
        maps.hops()[3].set(&Station {
            ifindex: index("out1"),
            mtu: 9000,
            flags: if peer { hop::PEER } else { 0 },
            dst_mac: THERE,
            src_mac: OURS,
            addr: 0,
            zone: 0,
        });
        let old = Key { proto, ..OLD };
        let new = Key {
            src: u32::from_ne_bytes([198, 51, 100, 3]),
            sport: 40000u16.to_be(),
            ..old
        };
        let action = Action::new(&old, &new, 3, flags::ROUTED);
        let mut table = Table::new(maps.flows(), maps.config().seed);
        let slot = table
            .insert(&old, &action, &Activity::default(), 0)
            .unwrap();
        Bench {
            table,
            slot,
            action,
            queue: maps.punts().unwrap(),
            into: Wire::open("in2"),
            out,
            _far: far,
            maps,
            _programs: programs,
            _pins: pins,
        }
    }

    fn expected(&self, frame: &[u8], checksum: Checksum) -> Vec<u8> {
        let mut frame = frame.to_vec();
        rewrite(&mut frame, &self.action, checksum).unwrap();
        frame[..6].copy_from_slice(&THERE);
        frame[6..12].copy_from_slice(&OURS);
        frame
    }

    fn activity(&self) -> Activity {
        self.table.entry(self.slot).activity()
    }

    fn punted(&mut self) -> (PuntHeader, Vec<u8>) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(record) = self.queue.next() {
                let (header, frame) = PuntHeader::split(&record).unwrap();
                // The stack itself speaks on a cable that is new.
                if frame[..6] == OURS {
                    return (header, frame.to_vec());
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("nothing was punted");
    }
}

/// A frame of the flow with `payload` bytes, its transport checksum complete or the pseudo-header's.
fn frame(proto: u8, payload: usize, partial: bool) -> Vec<u8> {
    let header = if proto == proto::TCP { 20 } else { 8 };
    let len = header + payload;
    let mut frame = vec![0; 34 + header];
    frame.extend((0..payload).map(|n| (n * 7) as u8));
    frame[..6].copy_from_slice(&OURS);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[16..18].copy_from_slice(&(20 + len as u16).to_be_bytes());
    frame[22..24].copy_from_slice(&[64, proto]);
    frame[26..30].copy_from_slice(&OLD.src.to_ne_bytes());
    frame[30..34].copy_from_slice(&OLD.dst.to_ne_bytes());
    let sum = !checksum::sum(&frame[14..34], 0) as u16;
    frame[24..26].copy_from_slice(&sum.to_ne_bytes());
    frame[34..36].copy_from_slice(&OLD.sport.to_ne_bytes());
    frame[36..38].copy_from_slice(&OLD.dport.to_ne_bytes());
    let at = if proto == proto::TCP {
        frame[46..48].copy_from_slice(&[5 << 4, 0x10]);
        50
    } else {
        frame[38..40].copy_from_slice(&(len as u16).to_be_bytes());
        40
    };
    let pseudo = checksum::pseudo(OLD.src, OLD.dst, proto, len as u16);
    let field = match partial {
        true => checksum::fold(pseudo),
        false => !checksum::sum(&frame[34..], checksum::fold(pseudo).into()) as u16,
    };
    frame[at..at + 2].copy_from_slice(&field.to_ne_bytes());
    frame
}

#[test]
fn a_frame_of_one_piece() {
    for (hook, peer) in [(Hook::Tc, false), (Hook::Tc, true), (Hook::Xdp, false)] {
        Namespace::new().inside(move || {
            let bench = Bench::new(hook, proto::UDP, peer);
            let frame = frame(proto::UDP, 500, false);
            bench.into.send(VnetHeader::default(), &frame);
            let (_, got) = bench.out.receive();
            assert_eq!(
                got,
                bench.expected(&frame, Checksum::Complete),
                "{hook:?} {peer}"
            );
            assert_eq!((bench.activity().packets, bench.activity().bytes), (1, 542));
        });
    }
}

/// Longer than a page, and for TC with nothing but the Ethernet header in its first piece: the program
/// has to fetch the headers.
#[test]
fn a_frame_in_pieces() {
    for hook in [Hook::Tc, Hook::Xdp] {
        in_pieces(hook);
    }
}

fn in_pieces(hook: Hook) {
    Namespace::new().inside(|| {
        let mut bench = Bench::new(hook, proto::UDP, true);
        let frame = frame(proto::UDP, 6000, false);
        bench.into.send(VnetHeader::default(), &frame);
        let (_, got) = bench.out.receive();
        assert_eq!(got, bench.expected(&frame, Checksum::Complete));

        let mut other = frame.clone();
        other[37] ^= 1;
        bench.into.send(VnetHeader::default(), &other);
        let (header, got) = bench.punted();
        assert_eq!((header.reason, got), (Punt::Miss as u8, other));
    });
}

#[test]
fn a_checksum_that_is_left_to_hardware_stays_so() {
    for peer in [false, true] {
        for (proto, offset) in [(proto::UDP, 6), (proto::TCP, 16)] {
            Namespace::new().inside(move || {
                let bench = Bench::new(Hook::Tc, proto, peer);
                let frame = frame(proto, 900, true);
                let partial = VnetHeader {
                    flags: NEEDS_CSUM,
                    csum_start: 34,
                    csum_offset: offset,
                    ..VnetHeader::default()
                };
                bench.into.send(partial, &frame);
                let (header, got) = bench.out.receive();
                assert_eq!(got, bench.expected(&frame, Checksum::Partial));
                assert_eq!((header.flags, header.csum_start), (NEEDS_CSUM, 34));
            });
        }
    }
}

/// One complete checksum in 65,535 is the same number as the pseudo-header's sum.
#[test]
fn a_complete_checksum_that_looks_as_if_it_were_left_to_hardware() {
    for (proto, header) in [(proto::UDP, 8), (proto::TCP, 20)] {
        Namespace::new().inside(move || {
            let bench = Bench::new(Hook::Tc, proto, false);
            let mut frame = frame(proto, 900, false);
            let (payload, field) = (34 + header, 34 + if header == 8 { 6 } else { 16 });
            frame[payload..payload + 2].fill(0);
            frame[field..field + 2].fill(0);
            let pseudo = checksum::fold(checksum::pseudo(
                OLD.src,
                OLD.dst,
                proto,
                header as u16 + 900,
            ));
            let sum = checksum::fold(checksum::sum(&frame[34..], pseudo.into()));
            let word = checksum::add(!pseudo, !sum);
            frame[payload..payload + 2].copy_from_slice(&word.to_ne_bytes());
            frame[field..field + 2].copy_from_slice(&pseudo.to_ne_bytes());
            let all = checksum::sum(&frame[34..], pseudo.into());
            assert_eq!(all, 0xffff, "the checksum is complete");
            bench.into.send(VnetHeader::default(), &frame);
            let (_, got) = bench.out.receive();
            assert_eq!(got, bench.expected(&frame, Checksum::Complete));
        });
    }
}

#[test]
fn a_frame_that_stands_for_many_goes_on_as_one() {
    for peer in [false, true] {
        Namespace::new().inside(move || {
            let mut bench = Bench::new(Hook::Tc, proto::TCP, peer);
            let frame = frame(proto::TCP, 60_000, true);
            let many = VnetHeader {
                flags: NEEDS_CSUM,
                gso_type: GSO_TCPV4,
                hdr_len: 54,
                gso_size: 1000,
                csum_start: 34,
                csum_offset: 16,
            };
            bench.into.send(many, &frame);
            let (header, got) = bench.out.receive();
            assert_eq!(got, bench.expected(&frame, Checksum::Partial));
            assert_eq!((header.gso_type, header.gso_size), (GSO_TCPV4, 1000));
            assert_eq!(bench.activity().packets, 60);
            assert_eq!(bench.activity().bytes, 60_054);

            // To the daemon it goes as one, too.
            let mut other = frame.clone();
            other[37] ^= 1;
            bench.into.send(many, &other);
            let (header, got) = bench.punted();
            assert_eq!((header.gso_size, header.gso_segs), (1000, 60));
            assert_eq!(header.reason, Punt::Miss as u8);
            assert_eq!(got.len(), other.len());
            assert!(got == other);

            // Its segments are too large for the next link.
            bench.maps.hops()[3].mtu.store(1039, Relaxed);
            bench.into.send(many, &frame);
            let (header, _) = bench.punted();
            assert_eq!((header.reason, header.gso_size), (Punt::Mtu as u8, 1000));
        });
    }
}

/// The tag is beside the frame when the program sees it, and the rest looks like one of ours.
#[test]
fn a_frame_of_a_vlan_is_not_ours() {
    for shared in [false, true] {
        Namespace::new().inside(move || {
            let bench = Bench::new(Hook::Tc, proto::UDP, true);
            let flags = if shared {
                port::UPLINK | port::SHARED
            } else {
                0
            };
            bench.maps.port(index("in1")).flags.store(flags, Relaxed);
            let count = || {
                let counters = bench.maps.counters().unwrap();
                match shared {
                    true => counters.pass(),
                    false => counters.dropped(flow::reason::Reason::NotIpv4),
                }
            };
            let before = count();
            let mut tagged = frame(proto::UDP, 100, false);
            tagged.splice(12..12, [0x81, 0, 0, 42]);
            bench.into.send(VnetHeader::default(), &tagged);
            let end = Instant::now() + PATIENCE;
            while count() == before {
                assert!(Instant::now() < end, "not counted");
                std::thread::sleep(Duration::from_millis(2));
            }
            assert_eq!(bench.activity().packets, 0);
            assert_eq!(bench.maps.counters().unwrap().hit(), 0);
        });
    }
}
