//! Streams: whatever both ends send, in whatever order, a stream's state never goes back, what is kept of it is bounded,
//! and what it is does not depend on how it is cut.
//!
//! The input is: how it begins, the port, then segments, each behind four bytes: of whom, where it begins, its length.
#![no_main]

use inspect::{Flags, From, Limits, Progress, Stream};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const PORTS: [u16; 16] = [
    80, 443, 25, 110, 143, 21, 22, 53, 3306, 6379, 27017, 11211, 1883, 3389, 5900, 40000,
];

fuzz_target!(|data: &[u8]| {
    let [how, port, rest @ ..] = data else {
        return;
    };
    let port = PORTS[usize::from(*port) % PORTS.len()];
    let limits = Limits {
        bytes: 4096,
        ..Limits::default()
    };
    match how % 4 {
        0 => datagrams(Stream::udp(port, limits), rest),
        1 => {
            segments(Stream::midstream(port, limits), rest);
        }
        2 => {
            segments(Stream::tcp(port, limits), rest);
        }
        _ => cuts(port, limits, rest),
    }
});

fn parts(mut rest: &[u8]) -> Vec<(u8, u8, &[u8])> {
    let mut parts = Vec::new();
    while let [who, at, high, low, more @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([high & 3, *low])).min(more.len());
        let (payload, next) = more.split_at(len);
        parts.push((*who, *at, payload));
        rest = next;
    }
    parts
}

fn from(who: u8) -> From {
    if who & 1 == 0 {
        From::Client
    } else {
        From::Server
    }
}

fn check(before: &Progress, after: &Progress) {
    match (before, after) {
        (Progress::Done(before), Progress::Done(after)) => {
            assert_eq!((before.app, &before.domain), (after.app, &after.domain));
        }
        (Progress::Done(_), other) => panic!("known, then {other:?}"),
        (Progress::GaveUp(before), after) => assert_eq!(&Progress::GaveUp(*before), after),
        _ => {}
    }
    if let Progress::Done(identity) = after {
        let details = &identity.details;
        let texts = [
            &details.request,
            &details.host,
            &details.alpn,
            &details.version,
        ];
        assert!(
            texts
                .iter()
                .all(|text| text.as_ref().is_none_or(|text| text.len() <= 255))
        );
        assert!(details.certificate.len() <= 8);
        if let Some(domain) = &identity.domain {
            assert_eq!(model::domain::normalise(domain).as_deref(), Ok(&**domain));
        }
    }
}

fn segments(mut stream: Stream, rest: &[u8]) {
    let mut now = Duration::ZERO;
    for (who, at, payload) in parts(rest) {
        let before = stream.progress().clone();
        let flags = Flags {
            syn: who & 2 != 0,
            fin: who & 4 != 0,
        };
        now += Duration::from_millis(u64::from(who >> 4));
        let seq = u32::from(at).wrapping_mul(if who & 8 != 0 { 7 } else { 0x0101_0101 });
        let after = stream.segment(from(who), seq, flags, payload, now);
        check(&before, after);
        assert!(stream.related().count() <= 16);
    }
    let before = stream.progress().clone();
    check(&before, stream.end());
    assert!(matches!(
        stream.progress(),
        Progress::Done(_) | Progress::GaveUp(_)
    ));
}

fn datagrams(mut stream: Stream, rest: &[u8]) {
    for (who, _, payload) in parts(rest) {
        let (before, answered) = (stream.progress().clone(), stream.is_answered());
        let after = stream.datagram(from(who), payload, Duration::ZERO).clone();
        match (&before, &after) {
            // Before it is answered, a client may tell another name.
            (Progress::Done(before), Progress::Done(it)) if !answered => {
                assert_eq!(before.app, it.app);
                check(&after, &after);
            }
            _ => check(&before, &after),
        }
        assert!(stream.is_answered() || !answered);
        assert!(who & 1 == 0 || !stream.is_lost());
    }
    let before = stream.progress().clone();
    check(&before, stream.end());
    assert!(matches!(
        stream.progress(),
        Progress::Done(_) | Progress::GaveUp(_)
    ));
}

/// The same bytes in whole segments, one by one from the end, and as they are given.
fn cuts(port: u16, limits: Limits, rest: &[u8]) {
    let limits = Limits {
        packets: u32::MAX,
        ..limits
    };
    let parts = parts(rest);
    let mut bytes = [Vec::new(), Vec::new()];
    let mut given = Vec::new();
    for (who, _, payload) in parts {
        let side = usize::from(who & 1);
        given.push((who, bytes[side].len(), payload.len()));
        bytes[side].extend_from_slice(payload);
    }
    if bytes[0].len() + bytes[1].len() > limits.bytes as usize {
        return;
    }
    let whole = [(0, 0, bytes[0].len()), (1, 0, bytes[1].len())];
    let single = (0..2u8).flat_map(|who| {
        (0..bytes[usize::from(who)].len())
            .rev()
            .map(move |at| (who, at, 1))
    });
    let shown = [whole.to_vec(), single.collect(), given].map(|segments| {
        let mut stream = Stream::tcp(port, limits);
        let syn = Flags {
            syn: true,
            fin: false,
        };
        for who in 0..2 {
            stream.segment(from(who), u32::MAX, syn, &[], Duration::ZERO);
        }
        for (who, at, len) in segments {
            let payload = &bytes[usize::from(who & 1)][at..at + len];
            stream.segment(
                from(who),
                at as u32,
                Flags::default(),
                payload,
                Duration::ZERO,
            );
        }
        stream.end().clone()
    });
    assert_eq!(shown[0], shown[1], "byte by byte");
    assert_eq!(shown[0], shown[2], "as given");
}
