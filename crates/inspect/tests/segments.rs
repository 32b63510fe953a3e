//! What a stream is does not depend on how it is cut into segments, nor on their order, nor on what comes twice.

use inspect::{Flags, From, Identity, Limits, Progress, Stream, Unknown};
use model::App;
use proptest::prelude::*;
use std::time::Duration;

/// What both ends say.
struct Talk {
    port: u16,
    client: Vec<u8>,
    server: Vec<u8>,
    /// What it is, and its domain.
    is: Option<(App, Option<&'static str>)>,
}

fn talk(port: u16, client: &[u8], server: &[u8], app: App, domain: Option<&'static str>) -> Talk {
    Talk {
        port,
        client: client.to_vec(),
        server: server.to_vec(),
        is: Some((app, domain)),
    }
}

fn nothing(port: u16, client: &[u8], server: &[u8]) -> Talk {
    Talk {
        is: None,
        ..talk(port, client, server, App::Dns, None)
    }
}

/// A ClientHello for `www.example.com`; with anonymous Diffie-Hellman, if so, and in records of so many bytes.
fn client_hello(anonymous: bool, record: usize) -> Vec<u8> {
    let name = b"www.example.com";
    let len16 = |len: usize| (len as u16).to_be_bytes();
    let names = [&[0][..], &len16(name.len()), name].concat();
    let list = [&len16(names.len())[..], &names].concat();
    let extensions = [&[0, 0][..], &len16(list.len()), &list].concat();
    let suites: &[u8] = if anonymous {
        &[0xc0, 0x18, 0xc0, 0x2f]
    } else {
        &[0xc0, 0x2f]
    };
    let mut body = [&[3, 3][..], &[7; 32], &[0]].concat();
    body.extend([&len16(suites.len())[..], suites, &[1, 0]].concat());
    body.extend([&len16(extensions.len())[..], &extensions].concat());
    let message = [&[1, 0][..], &len16(body.len()), &body].concat();
    let records = message.chunks(record);
    records
        .flat_map(|part| [&[22, 3, 1][..], &len16(part.len()), part].concat())
        .collect()
}

/// A ServerHello that chooses this suite.
fn server_hello(suite: [u8; 2]) -> Vec<u8> {
    let body = [&[3, 3][..], &[9; 32], &[0], &suite, &[0]].concat();
    let message = [&[2, 0, 0, body.len() as u8][..], &body, &[14, 0, 0, 0]].concat();
    [&[22, 3, 3, 0, message.len() as u8][..], &message].concat()
}

fn talks() -> Vec<Talk> {
    let domain = Some("www.example.com");
    let greeting = b"220 mx.example.com ESMTP ready\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n";
    let mail = [
        &b"EHLO a.example\r\nSTARTTLS\r\n"[..],
        &client_hello(false, 4000),
    ]
    .concat();
    let pop = [&b"AUTH\r\nCAPA\r\nSTLS\r\n"[..], &client_hello(false, 20)].concat();
    let imap = [
        &b"a1 CAPABILITY\r\na2 STARTTLS\r\n"[..],
        &client_hello(false, 4000),
    ]
    .concat();
    let h2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x11\x01\x04\0\0\0\x01\x82\x86\x84\x41\x8c\
        \xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    let query = b"\0\x21\x7c\x0d\x01\x20\0\x01\0\0\0\0\0\0\x03www\x07Example\x03com\0\0\x01\0\x01";
    let mongo =
        b"\x3a\0\0\0\x02\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x25\0\0\0\x10hello\0\x01\0\0\0";
    let mysql = b"\x4a\0\0\0\x0a8.4.3\0\x0b\0\0\0\x12\x52\x36\x5e\x3c\x43\x7b\x1e\0\xff\xff\xff\x02\0\xff\xdf\x15";
    let tls = client_hello(false, 4000);
    vec![
        talk(
            80,
            b"GET /a HTTP/1.1\r\nAccept: */*\r\nHost: www.example.com\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            App::Http,
            domain,
        ),
        talk(
            80,
            b"GET http://www.example.com/ HTTP/1.1\r\nHost: other.example\r\n\r\n",
            b"",
            App::Http,
            domain,
        ),
        talk(80, h2, b"\0\0\0\x04\0\0\0\0\0", App::Http, domain),
        talk(443, &tls, &server_hello([0xc0, 0x2f]), App::Https, domain),
        talk(
            8443,
            &client_hello(false, 1),
            &server_hello([0xc0, 0x2f]),
            App::Ssl,
            domain,
        ),
        talk(
            443,
            &client_hello(true, 50),
            &server_hello([0xc0, 0x18]),
            App::SslNoCert,
            domain,
        ),
        talk(
            443,
            &client_hello(true, 50),
            &server_hello([0xc0, 0x2f]),
            App::Https,
            domain,
        ),
        talk(25, &mail, greeting, App::Smtps, domain),
        talk(
            25,
            b"EHLO a\r\nMAIL FROM:<a@a.example>\r\n",
            greeting,
            App::Smtp,
            None,
        ),
        talk(25, b"QUIT\r\n", greeting, App::Smtp, None),
        talk(
            110,
            &pop,
            b"+OK ready\r\n-ERR\r\n+OK\r\n.\r\n+OK\r\n",
            App::Pops,
            domain,
        ),
        talk(
            110,
            b"USER x\r\nPASS y\r\n",
            b"+OK ready\r\n+OK\r\n+OK\r\n",
            App::Pop3,
            None,
        ),
        talk(
            143,
            &imap,
            b"* OK ready\r\na1 OK\r\na2 OK\r\n",
            App::Imaps,
            domain,
        ),
        talk(
            143,
            b"a1 LOGIN x y\r\n",
            b"* OK ready\r\na1 OK\r\n",
            App::Imap,
            None,
        ),
        talk(
            21,
            b"USER x\r\nPASS y\r\nPASV\r\n",
            b"220 ready\r\n331 pass\r\n230 in\r\n227 (192,0,2,1,4,1)\r\n",
            App::Ftp,
            None,
        ),
        talk(22, b"SSH-2.0-a\r\nxyz", b"SSH-2.0-b\r\nxyz", App::Ssh, None),
        talk(
            3306,
            b"\x20\0\0\x01\x8d\xa2\xbf\x09\0\0\0\x01\xff\0",
            mysql,
            App::MySql,
            None,
        ),
        talk(
            6379,
            b"*1\r\n$4\r\nPING\r\n",
            b"+PONG\r\n",
            App::Redis,
            None,
        ),
        talk(6379, b"PING\r\n", b"+PONG\r\n", App::Redis, None),
        talk(27017, mongo, b"", App::MongoDb, None),
        talk(11211, b"get key\r\n", b"END\r\n", App::Memcache, None),
        talk(1111, b"stats\r\n", b"STAT pid 1\r\n", App::Memcache, None),
        talk(
            1883,
            b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03abc",
            b"\x20\x02\0\0",
            App::Mqtt,
            None,
        ),
        talk(
            3389,
            b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0",
            b"\x03\0\0\x13",
            App::Rdp,
            None,
        ),
        talk(5900, b"RFB 003.008\n", b"RFB 003.008\n", App::Vnc, None),
        talk(53, query, b"", App::Dns, domain),
        talk(5300, query, b"", App::Dns, domain),
        nothing(80, b"\x05\x01\0", b"\x05\0"),
        talk(
            1111,
            b"stats\r\nSTATS x\r\n",
            b"STAT pid 1\r\n",
            App::Memcache,
            None,
        ),
        nothing(
            443,
            b"\x16\x03\x01\0\x05\x02\0\0\x01\0",
            b"\x15\x03\x01\0\x02\x02\x28",
        ),
        nothing(
            80,
            b"INVITE sip:a@b.example SIP/2.0\r\nHost: a.example\r\n\r\n",
            b"",
        ),
        nothing(22, b"\x13BitTorrent protocol", b"\x13BitTorrent protocol"),
        nothing(
            21,
            b"hello\r\nworld\r\nhello again and again\r\n",
            b"welcome\r\n",
        ),
    ]
}

/// A segment: of whom, from where, how long.
type Segment = (From, usize, usize);

/// Shows a talk in these segments, with SYNs before them and the end after.
fn show(talk: &Talk, numbers: [u32; 2], segments: &[Segment]) -> Progress {
    let limits = Limits {
        packets: 10_000,
        ..Limits::default()
    };
    let mut stream = Stream::tcp(talk.port, limits);
    let syn = Flags {
        syn: true,
        fin: false,
    };
    stream.segment(From::Client, numbers[0], syn, &[], Duration::ZERO);
    stream.segment(From::Server, numbers[1], syn, &[], Duration::ZERO);
    for (from, start, len) in segments {
        let (bytes, first) = match from {
            From::Client => (&talk.client, numbers[0]),
            From::Server => (&talk.server, numbers[1]),
        };
        let seq = first.wrapping_add(1 + *start as u32);
        let payload = &bytes[*start..start + len];
        stream.segment(*from, seq, Flags::default(), payload, Duration::ZERO);
    }
    stream.end().clone()
}

fn is(progress: &Progress) -> Option<(App, Option<&str>)> {
    match progress {
        Progress::Done(Identity { app, domain, .. }) => Some((*app, domain.as_deref())),
        Progress::GaveUp(Unknown::NotRecognised | Unknown::OneSideOnly) => None,
        other => panic!("{other:?}"),
    }
}

/// Segments that cover both ends' bytes, cut after `cuts`.
fn cut(talk: &Talk, cuts: &[(bool, prop::sample::Index)]) -> Vec<Segment> {
    let mut segments = Vec::new();
    for (from, len) in [
        (From::Client, talk.client.len()),
        (From::Server, talk.server.len()),
    ] {
        let mut ends: Vec<usize> = cuts
            .iter()
            .filter(|(client, _)| *client == (from == From::Client))
            .map(|(_, at)| at.index(len + 1))
            .chain([0, len])
            .collect();
        ends.sort_unstable();
        ends.dedup();
        segments.extend(
            ends.windows(2)
                .map(|pair| (from, pair[0], pair[1] - pair[0])),
        );
    }
    segments
}

#[test]
fn each_is_what_it_is_in_whole_segments_and_byte_by_byte() {
    for talk in talks() {
        let whole = [
            (From::Client, 0, talk.client.len()),
            (From::Server, 0, talk.server.len()),
        ];
        let bytes: Vec<Segment> = (0..talk.client.len())
            .map(|at| (From::Client, at, 1))
            .chain((0..talk.server.len()).map(|at| (From::Server, at, 1)))
            .collect();
        let backwards: Vec<Segment> = bytes.iter().rev().copied().collect();
        for segments in [&whole[..], &bytes, &backwards] {
            let found = show(&talk, [0, u32::MAX - 3], segments);
            assert_eq!(
                is(&found),
                talk.is,
                "{:?}",
                String::from_utf8_lossy(&talk.client)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_cut_order_and_repetition_gives_the_same(
        which in any::<prop::sample::Index>(),
        numbers in any::<[u32; 2]>(),
        cuts in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..12),
        again in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
        order in any::<u64>(),
    ) {
        let talks = talks();
        let talk = which.get(&talks);
        let mut segments = cut(talk, &cuts);
        // What comes twice is cut otherwise the second time.
        for (segment, longer) in again {
            if segments.is_empty() {
                break;
            }
            let (from, start, len) = segments[segment.index(segments.len())];
            let end = match from {
                From::Client => talk.client.len(),
                From::Server => talk.server.len(),
            };
            segments.push((from, start, len + longer.index(end - start - len + 1)));
        }
        // Some order, that the number decides.
        let mut state = order | 1;
        for at in (1..segments.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            segments.swap(at, (state >> 33) as usize % (at + 1));
        }
        let found = show(talk, numbers, &segments);
        prop_assert_eq!(is(&found), talk.is);
        // Not only application and domain: all that is known.
        let whole = [(From::Client, 0, talk.client.len()), (From::Server, 0, talk.server.len())];
        if talk.is.is_some() {
            prop_assert_eq!(found, show(talk, numbers, &whole));
        }
    }
}

/// What is read again with each segment is bounded: a stream in single bytes ends the inspection long before it has
/// used up what may be kept of it, and a hello or a request of usual length is understood before that.
#[test]
fn streams_in_single_bytes_are_not_read_for_ever() {
    let limits = Limits {
        packets: u32::MAX,
        bytes: 1 << 20,
        time: Duration::MAX,
    };
    let needs = |mut stream: Stream, bytes: &[u8]| {
        let one = |(at, byte): (usize, &u8)| {
            let (seq, flags) = (1 + at as u32, Flags::default());
            let progress = stream.segment(
                From::Client,
                seq,
                flags,
                std::slice::from_ref(byte),
                Duration::ZERO,
            );
            matches!(progress, Progress::Done(_) | Progress::GaveUp(_))
        };
        let mut all = bytes.iter().enumerate();
        all.position(one).expect("an end") + 1
    };
    let headers = [b"GET / HTTP/1.1\r\n", &b"a: b\r\n".repeat(10_000)[..]].concat();
    let records = [1, 0, 0xff, 0xff]
        .iter()
        .chain(std::iter::repeat_n(&0, 60_000));
    let records: Vec<u8> = records.flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    let mail = [b"EHLO x\r\n", &b"NOOP\r\n".repeat(10_000)[..]].concat();
    for bytes in [headers, records, mail] {
        assert_eq!(needs(Stream::tcp(443, limits), &bytes), 2_896);
        let middle = needs(Stream::midstream(443, limits), &bytes);
        assert!(middle <= 2_896, "{middle}");
    }
    let padded = format!(
        "GET / HTTP/1.1\r\nA: {}\r\nHost: a.example\r\n",
        "b".repeat(2_800)
    );
    assert_eq!(
        needs(Stream::tcp(80, limits), padded.as_bytes()),
        padded.len()
    );
}
