//! What is no call at all: garbage, halves, floods, clients that take their time.

use crate::support::{Answer, Draft, Running, run};
use api::wire::{Limits, MAX_BODY};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The limits of a server in a hurry.
fn hurried() -> Limits {
    Limits {
        head_time: Duration::from_millis(700),
        body_time: Duration::from_millis(700),
        write_time: Duration::from_millis(700),
        ..Limits::default()
    }
}

#[track_caller]
fn still_serves(running: &Running) {
    let answer = running.send(&Draft::new("DescribeVpcs", &[]).acs3());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// How long until the server ends a connection; what it said before that.
fn until_closed(mut stream: TcpStream) -> (Duration, Vec<u8>) {
    let begin = Instant::now();
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut said);
    (begin.elapsed(), said)
}

#[test]
fn garbage_ends_the_connection() {
    let running = run(Limits::default());
    let garbage: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = running.connect();
        let _ = stream.write_all(bytes);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let (_, said) = until_closed(stream);
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4"),
            "{bytes:?}: {said}"
        );
        assert!(!said.contains('<'), "no HTML: {said}");
    }
    still_serves(&running);
}

#[test]
fn halves_are_forgotten() {
    let running = run(Limits::default());
    let mut draft = Draft::new("DescribeVpcs", &[]);
    draft.form = crate::support::pairs(&[("A", "some text")]);
    let whole = draft.acs3().bytes();
    for end in (0..whole.len()).step_by(7) {
        let mut stream = running.connect();
        stream.write_all(&whole[..end]).unwrap();
    }
    still_serves(&running);
    let calls = running.service.calls.lock().unwrap();
    assert_eq!(calls.len(), 1, "no half was carried out");
}

#[test]
fn heads_are_bounded() {
    let running = run(Limits::default());
    let many = |count| "a: b\r\n".repeat(count);
    let heads = [
        format!("GET /?{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)),
        format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(200_000)),
        format!("GET / HTTP/1.1\r\n{}\r\n", many(101)),
        format!("GET / HTTP/1.1\r\n{}\r\n", many(100_000)),
    ];
    for head in heads {
        let mut stream = running.connect();
        let _ = stream.write_all(head.as_bytes());
        let (_, said) = until_closed(stream);
        let status = said.get(9..12);
        assert!(matches!(status, Some(b"414" | b"431") | None), "{status:?}");
    }
    still_serves(&running);
}

#[test]
fn bodies_are_bounded() {
    let running = run(Limits::default());
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    // Announced.
    let answer =
        running.send_bytes(format!("{post}Content-Length: {}\r\n\r\n", MAX_BODY + 1).as_bytes());
    assert_eq!(answer.error(), (413, "RequestTooLarge".into()));
    let answer =
        running.send_bytes(format!("{post}Content-Length: 99999999999999\r\n\r\n").as_bytes());
    assert_eq!(answer.error(), (413, "RequestTooLarge".into()));
    // Not announced.
    let mut chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..=MAX_BODY / 65_536 {
        chunked.extend(b"10000\r\n");
        chunked.extend([b'a'; 65_536]);
        chunked.extend(b"\r\n");
    }
    let answer = running.send_bytes(&chunked);
    assert_eq!(answer.error(), (413, "RequestTooLarge".into()));
    // As large as may be.
    let mut draft = Draft::new("DescribeVpcs", &[]);
    draft.form = crate::support::pairs(&[("A", &"a".repeat(MAX_BODY - 2))]);
    assert_eq!(running.send(&draft.acs3()).status, 200);
    // In pieces.
    draft.form = crate::support::pairs(&[("A", "in pieces")]);
    draft.nonce = crate::support::nonce();
    let message = draft.acs3();
    let mut bytes = String::from_utf8(message.bytes()).unwrap();
    let head = bytes.find("Content-Length").unwrap();
    bytes.truncate(head);
    bytes += "Transfer-Encoding: chunked\r\n\r\n";
    for byte in &message.body {
        bytes += &format!("1\r\n{}\r\n", char::from(*byte));
    }
    bytes += "0\r\n\r\n";
    let answer = running.send_bytes(bytes.as_bytes());
    assert_eq!(answer.json()["Params"]["A"], "in pieces");
}

#[test]
fn the_string_to_sign_is_not_told_when_it_is_huge() {
    let running = run(Limits::default());
    let mut draft = Draft::new("DescribeVpcs", &[]);
    draft.secret = "wrong".into();
    // Each byte would come back as nine.
    draft.form = crate::support::pairs(&[("A", &"\u{1}".repeat(MAX_BODY / 3 - 1_000))]);
    let answer = running.send(&draft.rpc(true));
    assert_eq!(answer.error(), (400, "SignatureDoesNotMatch".into()));
    assert!(answer.body.len() < 70_000, "{}", answer.body.len());
}

#[test]
fn slow_heads_are_cut_off() {
    let running = run(hurried());
    // One after the other says nothing, half, a byte now and then.
    let silent = running.connect();
    let mut half = running.connect();
    half.write_all(b"GET / HTTP/1.1\r\nHos").unwrap();
    let mut trickle = running.connect();
    let dripping = trickle.try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        let begin = Instant::now();
        for byte in b"GET / HTTP/1.1\r\nHost: abcdefghijklmnopqrstuvwxyz"
            .iter()
            .cycle()
        {
            if trickle.write_all(&[*byte]).is_err() || begin.elapsed() > Duration::from_secs(20) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        begin.elapsed()
    });
    for stream in [silent, half, dripping] {
        let (time, _) = until_closed(stream);
        assert!(time < Duration::from_secs(5), "{time:?}");
    }
    assert!(drip.join().unwrap() < Duration::from_secs(5));
    still_serves(&running);
}

#[test]
fn idle_connections_are_closed() {
    let running = run(hurried());
    let mut stream = running.connect();
    let message = Draft::new("DescribeVpcs", &[]).acs3();
    stream.write_all(&message.bytes()).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    assert_eq!(Answer::read(&mut reader).unwrap().status, 200);
    let (time, said) = until_closed(stream);
    assert!(
        time > Duration::from_millis(500) && time < Duration::from_secs(5),
        "{time:?}"
    );
    assert!(said.is_empty());
}

#[test]
fn slow_bodies_are_cut_off() {
    let running = run(hurried());
    let mut stream = running.connect();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\na=";
    stream.write_all(head.as_bytes()).unwrap();
    let begin = Instant::now();
    let mut dripping = stream.try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        while begin.elapsed() < Duration::from_secs(20) && dripping.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let answer = Answer::read(&mut BufReader::new(&stream)).unwrap();
    assert_eq!(answer.error(), (408, "RequestTimeout".into()));
    let (_, said) = until_closed(stream);
    assert!(said.is_empty());
    drip.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    still_serves(&running);
}

#[test]
fn who_does_not_read_is_cut_off() {
    let draft = || Draft::new("Large", &[("Size", "50000000")]).acs3();
    let running = run(hurried());
    // A busy machine may take a while until it writes at all.
    let cut_off = [4, 15, 40].into_iter().any(|seconds| {
        let mut stream = running.connect();
        stream.write_all(&draft().bytes()).unwrap();
        std::thread::sleep(Duration::from_secs(seconds));
        until_closed(stream).1.len() < 50_000_000
    });
    assert!(cut_off);
    // Who reads gets all, if he is not himself too slow for the machine.
    let running = run(Limits {
        write_time: Duration::from_secs(10),
        ..hurried()
    });
    assert!(running.send(&draft()).body.len() > 50_000_000);
}

#[test]
fn connections_are_bounded() {
    let running = run(Limits {
        connections: 6,
        connections_per_address: 4,
        ..Limits::default()
    });
    let held: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = running.connect();
            stream
                .write_all(&Draft::new("DescribeVpcs", &[]).acs3().bytes())
                .unwrap();
            let answer = Answer::read(&mut BufReader::new(stream.try_clone().unwrap()));
            assert_eq!(answer.unwrap().status, 200);
            stream
        })
        .collect();
    // One more from here is closed at once.
    let (time, said) = until_closed(running.connect());
    assert!(time < Duration::from_secs(5) && said.is_empty());
    // Another address has its own share.
    let elsewhere = || {
        let from: std::net::SocketAddr = "127.0.0.2:0".parse().unwrap();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&running.server.http()[0].into()).unwrap();
        TcpStream::from(socket)
    };
    let answered = |stream: &mut TcpStream, patience: u64| {
        let time = Duration::from_millis(patience);
        stream.set_read_timeout(Some(time)).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).map(|()| first)
    };
    let call = || Draft::new("DescribeVpcs", &[]).acs3().bytes();
    let mut others = [elsewhere(), elsewhere(), elsewhere()];
    for stream in &mut others {
        stream.write_all(&call()).unwrap();
    }
    assert_eq!(&answered(&mut others[0], 10_000).unwrap(), b"HTTP/1.1 200");
    assert_eq!(&answered(&mut others[1], 10_000).unwrap(), b"HTTP/1.1 200");
    // All places are taken: the third waits until one is free.
    assert!(answered(&mut others[2], 300).is_err());
    drop(held);
    assert_eq!(&answered(&mut others[2], 10_000).unwrap(), b"HTTP/1.1 200");
    still_serves(&running);
}

#[test]
fn plain_http_on_the_https_port_and_silence_there_end() {
    let running = run(hurried());
    let address = running.server.https()[0];
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let silent = TcpStream::connect(address).unwrap();
    for stream in [plain, silent] {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        assert!(until_closed(stream).0 < Duration::from_secs(5));
    }
    still_serves(&running);
}
