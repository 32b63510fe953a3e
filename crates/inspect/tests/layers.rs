//! Captures of every kind are read: file formats, link layers, tunnels, fragments. They are made here.

use inspect::Limits;
use inspect::capture::{Capture, Error, Flow, Protocol};
use model::App;

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [198, 51, 100, 7];
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;

const REQUEST: &[u8] =
    b"GET /index.html HTTP/1.1\r\nUser-Agent: a\r\nHost: www.example.com\r\n\r\n";
const QUERY: &[u8] = b"\x7c\x0d\x01\x20\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";

fn tcp(ports: (u16, u16), seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
    [
        &src[..],
        &dst,
        &seq.to_be_bytes(),
        &[0; 4],
        &[0x50, flags, 1, 0, 0, 0, 0, 0],
        payload,
    ]
    .concat()
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
    let len = (8 + payload.len() as u16).to_be_bytes();
    [&src[..], &dst, &len, &[0, 0], payload].concat()
}

/// A packet of IPv4; `part` is the field with the offset in units of 8 and the flag that more follows.
fn ip4(ends: ([u8; 4], [u8; 4]), protocol: u8, part: u16, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len() as u16).to_be_bytes();
    let part = part.to_be_bytes();
    [
        &[0x45, 0][..],
        &len,
        &[0, 9],
        &part,
        &[64, protocol, 0, 0],
        &ends.0,
        &ends.1,
        payload,
    ]
    .concat()
}

/// A packet of IPv6 from 2001:db8::1 to 2001:db8::2.
fn ip6(next: u8, payload: &[u8]) -> Vec<u8> {
    let address = |last| [&[0x20, 0x01, 0x0d, 0xb8][..], &[0; 11], &[last]].concat();
    let len = (payload.len() as u16).to_be_bytes();
    [
        &[0x60, 0, 0, 0][..],
        &len,
        &[next, 64],
        &address(1),
        &address(2),
        payload,
    ]
    .concat()
}

fn request() -> Vec<u8> {
    ip4((CLIENT, SERVER), 6, 0, &tcp((40_000, 80), 1, ACK, REQUEST))
}

fn ethernet(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes(), packet].concat()
}

/// A file of the older format, in little-endian order with microseconds.
fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [
        &0xa1b2_c3d4_u32.to_le_bytes()[..],
        &[2, 0, 4, 0],
        &[0; 8],
        &[0, 0, 4, 0],
        &link.to_le_bytes(),
    ]
    .concat();
    for (at, packet) in packets.iter().enumerate() {
        let len = (packet.len() as u32).to_le_bytes();
        file.extend([&(at as u32).to_le_bytes()[..], &[0; 4], &len, &len, packet].concat());
    }
    file
}

/// A block of the newer format.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let len = (12 + body.len() as u32).to_le_bytes();
    [&kind.to_le_bytes()[..], &len, &body, &len].concat()
}

/// A file of the newer format: two interfaces, the second with nanoseconds.
fn pcapng(packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let section = [
        &0x1a2b_3c4d_u32.to_le_bytes()[..],
        &[1, 0, 0, 0],
        &[0xff; 8],
    ]
    .concat();
    let mut file = block(0x0a0d_0d0a, &section);
    file.extend(block(1, &[101, 0, 0, 0, 0, 0, 4, 0]));
    file.extend(block(
        1,
        &[1, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0],
    ));
    file.extend(block(4, &[0; 8]));
    for (interface, packet) in packets {
        let len = (packet.len() as u32).to_le_bytes();
        file.extend(block(
            6,
            &[&interface.to_le_bytes()[..], &[0; 8], &len, &len, packet].concat(),
        ));
    }
    file
}

fn read(file: &[u8]) -> Vec<Flow> {
    let capture = Capture::read(file, Limits::default()).unwrap();
    assert!(!capture.truncated);
    capture.flows
}

/// The only flow is the request.
fn check(file: &[u8]) {
    let flows = read(file);
    let [flow] = &flows[..] else {
        panic!("{flows:?}");
    };
    assert_eq!(flow.application(), Some(App::Http));
    assert_eq!(flow.domain(), Some("www.example.com"));
    assert_eq!((flow.client.1, flow.server.1), (40_000, 80));
}

#[test]
fn link_layers() {
    let packet = request();
    let ppp = [&[0xff, 0x03, 0, 0x21][..], &packet].concat();
    let vlan = [&[0, 5, 0x81, 0, 0, 6, 8, 0][..], &packet].concat();
    let mpls = [&[0, 1, 0, 64, 0, 1, 1, 64][..], &packet].concat();
    let pppoe = [&[0x11, 0, 0, 1, 0, 0, 0, 0x21][..], &packet].concat();
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &packet].concat();
    for (link, frame) in [
        (1, ethernet(0x0800, &packet)),
        (1, ethernet(0x88a8, &vlan)),
        (1, ethernet(0x8847, &mpls)),
        (1, ethernet(0x8864, &pppoe)),
        (1, ethernet(100, &snap)),
        // What pads a short frame is no payload.
        (1, ethernet(0x0800, &[&packet[..], b"padding"].concat())),
        (101, packet.clone()),
        (12, packet.clone()),
        (228, packet.clone()),
        (0, [&[2, 0, 0, 0][..], &packet].concat()),
        (108, [&[0, 0, 0, 2][..], &packet].concat()),
        (9, ppp.clone()),
        (50, ppp),
        (113, [&[0; 14][..], &[8, 0], &packet].concat()),
        (276, [&[8, 0][..], &[0; 18], &packet].concat()),
    ] {
        check(&pcap(link, &[frame]));
    }
}

#[test]
fn tunnels_and_extension_headers() {
    let (packet, ends) = (request(), ([10, 0, 0, 1], [10, 0, 0, 2]));
    let segment = tcp((40_000, 80), 1, ACK, REQUEST);
    let gre = [&[0x20, 0, 8, 0, 0, 0, 0, 7][..], &packet].concat();
    let hop = [
        &[60, 0, 1, 4, 0, 0, 0, 0][..],
        &[6, 0, 1, 4, 0, 0, 0, 0],
        &segment,
    ]
    .concat();
    for packet in [
        ip4(ends, 4, 0, &packet),
        ip4(ends, 47, 0, &gre),
        ip6(4, &packet),
        ip4(ends, 41, 0, &ip6(6, &segment)),
        ip6(0, &hop),
    ] {
        check(&pcap(101, &[packet]));
    }
    // Tunnels in tunnels come to an end.
    let deep = (0..10).fold(packet, |packet, _| ip4(ends, 4, 0, &packet));
    assert!(read(&pcap(101, &[deep])).is_empty());
}

#[test]
fn fragments_are_put_together() {
    let datagram = udp((5000, 53), QUERY);
    let part = |at: usize, len: usize, more: u16| {
        ip4(
            (CLIENT, SERVER),
            17,
            (at / 8) as u16 | more,
            &datagram[at..at + len],
        )
    };
    let (a, b, c) = (
        part(0, 16, 0x2000),
        part(16, 8, 0x2000),
        part(24, datagram.len() - 24, 0),
    );
    let fragment6 = |at: usize, len: usize, more: u8| {
        let head = [17, 0, (at >> 8) as u8, at as u8 | more, 0, 0, 0, 7];
        ip6(44, &[&head[..], &datagram[at..at + len]].concat())
    };
    let six = [fragment6(16, datagram.len() - 16, 0), fragment6(0, 16, 1)];
    for packets in [
        vec![a.clone(), b.clone(), c.clone()],
        vec![c, a.clone(), a, b],
        six.to_vec(),
    ] {
        let flows = read(&pcap(101, &packets));
        assert_eq!(flows.len(), 1);
        assert_eq!(flows[0].query(), Some("www.example.com"));
        assert_eq!((flows[0].domain(), flows[0].packets), (None, 1));
    }
    // Of what never becomes whole the beginning is looked at in the end.
    let segment = tcp((40_000, 80), 1, ACK, &[REQUEST, b"the body"].concat());
    let first = ip4(
        (CLIENT, SERVER),
        6,
        0x2000,
        &segment[..segment.len() / 8 * 8],
    );
    check(&pcap(101, &[first]));
}

#[test]
fn both_formats() {
    let frame = ethernet(0x0800, &request());
    check(&pcapng(&[(1, frame.clone())]));
    check(&pcapng(&[(0, request())]));
    // An interface that is not described.
    assert!(read(&pcapng(&[(7, frame.clone())])).is_empty());
    let mut big_endian = [
        &0xa1b2_3c4d_u32.to_be_bytes()[..],
        &[0, 2, 0, 4],
        &[0; 8],
        &[0, 4, 0, 0],
        &[0, 0, 0, 1],
    ]
    .concat();
    let len = (frame.len() as u32).to_be_bytes();
    big_endian.extend([&[0; 8][..], &len, &len, &frame].concat());
    check(&big_endian);
}

#[test]
fn what_is_broken_is_refused_and_what_is_cut_is_said() {
    let file = pcap(
        1,
        &[ethernet(0x0800, &request()), ethernet(0x0800, &request())],
    );
    let of = |file: &[u8]| Capture::read(file, Limits::default());
    assert!(matches!(of(b""), Err(Error::Empty)));
    assert!(matches!(of(&[7; 100]), Err(Error::NotACapture)));
    assert!(matches!(of(&file[..10]), Err(Error::NotACapture)));
    assert!(matches!(
        of(&pcap(147, &[vec![0; 60]])),
        Err(Error::LinkLayer(147))
    ));
    let cut = of(&file[..file.len() - 1]).unwrap();
    assert!(cut.truncated && cut.packets == 1 && cut.flows.len() == 1);
    let mut broken = pcapng(&[(0, request())]);
    let len = broken.len();
    broken[len - 4..].fill(0xff);
    assert!(of(&broken).is_err());
}

#[test]
fn sessions_are_told_apart() {
    let there = |seq, flags, payload: &[u8]| {
        ip4(
            (CLIENT, SERVER),
            6,
            0,
            &tcp((40_000, 80), seq, flags, payload),
        )
    };
    let back = |seq, flags, payload: &[u8]| {
        ip4(
            (SERVER, CLIENT),
            6,
            0,
            &tcp((80, 40_000), seq, flags, payload),
        )
    };
    // A request in two segments that come the wrong way round.
    let (a, b) = REQUEST.split_at(30);
    let flows = read(&pcap(
        101,
        &[
            there(0, SYN, b""),
            back(100, SYN_ACK, b""),
            there(31, ACK, b),
            there(1, ACK, a),
            back(101, ACK, b"HTTP/1.1 200 OK\r\n\r\n"),
        ],
    ));
    assert_eq!(flows.len(), 1);
    assert_eq!(
        (flows[0].state(), flows[0].packets_needed, flows[0].packets),
        ("identified", Some(4), 5)
    );

    // The same ports again, after an attempt that came to nothing.
    let flows = read(&pcap(
        101,
        &[
            there(0, SYN, b""),
            back(9, 0x14, b""),
            there(5_000, SYN, b""),
            back(7, SYN_ACK, b""),
            there(5_001, ACK, REQUEST),
        ],
    ));
    assert_eq!(
        (flows.len(), flows[0].domain()),
        (1, Some("www.example.com"))
    );

    // One that begins with the server's answer: the flow's client is who was seen first.
    let flows = read(&pcap(
        101,
        &[back(100, SYN_ACK, b""), there(1, ACK, REQUEST)],
    ));
    assert_eq!(
        (flows[0].client.1, flows[0].domain()),
        (80, Some("www.example.com"))
    );
    // In the middle: an answer, then the next request.
    let flows = read(&pcap(
        101,
        &[
            back(100, ACK, b"HTTP/1.1 200 OK\r\n\r\n"),
            there(1, ACK, REQUEST),
        ],
    ));
    assert_eq!(flows[0].domain(), Some("www.example.com"));

    for (packets, state) in [
        (vec![there(0, SYN, b"")], "no_payload"),
        (
            vec![
                there(0, SYN, b""),
                back(9, SYN_ACK, b""),
                there(1, ACK, b""),
            ],
            "handshake_only",
        ),
        (
            vec![
                there(0, SYN, b""),
                back(9, SYN_ACK, b""),
                back(10, ACK, b"hello"),
            ],
            "one_side_only",
        ),
        (
            vec![
                there(0, SYN, b""),
                back(9, SYN_ACK, b""),
                there(1, ACK, b"\x05\x01\0"),
                back(10, ACK, b"\x05\0"),
            ],
            "not_recognised",
        ),
        (
            vec![there(7, ACK, b"what"), back(9, ACK, b"that")],
            "midstream",
        ),
    ] {
        let flows = read(&pcap(101, &packets));
        assert_eq!((flows.len(), flows[0].state()), (1, state));
    }
}

#[test]
fn data_connections_of_ftp_are_related() {
    let there = |seq, flags, payload: &[u8]| {
        ip4(
            (CLIENT, SERVER),
            6,
            0,
            &tcp((40_000, 21), seq, flags, payload),
        )
    };
    let back = |seq, flags, payload: &[u8]| {
        ip4(
            (SERVER, CLIENT),
            6,
            0,
            &tcp((21, 40_000), seq, flags, payload),
        )
    };
    let data = |port| ip4((CLIENT, SERVER), 6, 0, &tcp((40_001, port), 0, SYN, b""));
    let flows = read(&pcap(
        101,
        &[
            there(0, SYN, b""),
            back(0, SYN_ACK, b""),
            back(1, ACK, b"220 ready\r\n"),
            there(1, ACK, b"USER x\r\n"),
            back(
                12,
                ACK,
                b"229 Entering Extended Passive Mode (|||6446|)\r\n",
            ),
            data(6446),
            back(59, ACK, b"227 Entering Passive Mode (198,51,100,7,4,1)\r\n"),
            data(1025),
            data(1026),
        ],
    ));
    let found: Vec<_> = flows
        .iter()
        .map(|flow| (flow.server.1, flow.state(), flow.related))
        .collect();
    assert_eq!(
        found,
        [
            (21, "identified", false),
            (6446, "related", true),
            (1025, "related", true),
            (1026, "no_payload", false)
        ]
    );
    assert!(flows.iter().all(|flow| flow.protocol == Protocol::Tcp));
}

#[test]
fn what_clients_are_answered_is_told_with_its_place() {
    let answer = [
        b"\x7c\x0d\x81\x80\0\x01\0\x01\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01" as &[u8],
        b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x33\x64\x07",
    ]
    .concat();
    let there = |from, to, payload: &[u8]| ip4((CLIENT, SERVER), 17, 0, &udp((from, to), payload));
    let back = |from, to, payload: &[u8]| ip4((SERVER, CLIENT), 17, 0, &udp((from, to), payload));
    let packets = [
        request(),
        there(40_000, 53, QUERY),
        back(53, 40_000, &answer),
        // Not what anybody was answered: a question, and another port.
        back(53, 40_000, QUERY),
        there(40_001, 54, QUERY),
        back(54, 40_001, &answer),
        ip4((CLIENT, SERVER), 6, 0, &tcp((40_002, 80), 1, ACK, REQUEST)),
    ];
    let capture = Capture::read(&pcap(101, &packets)[..], Limits::default()).unwrap();
    let starts: Vec<u64> = capture.flows.iter().map(|it| it.start.as_secs()).collect();
    assert_eq!(starts, [0, 1, 4, 6]);
    let [only] = &capture.answers[..] else {
        panic!("{:?}", capture.answers)
    };
    assert_eq!((only.flows, only.time.as_secs(), only.ttl), (2, 2, 60));
    assert_eq!(
        (only.client, &*only.name),
        (CLIENT.into(), "www.example.com")
    );
    assert_eq!(only.address, std::net::IpAddr::from(SERVER));
}
