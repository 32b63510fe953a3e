use super::*;
use crate::testing::{
    client_hello, hello_body, message, of, record, server_name, server_only, vec16, yes,
};

/// What a server says, up to TLS 1.2.
fn server_hello(suite: u16, extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[9; 32]);
    body.push(0);
    body.extend_from_slice(&suite.to_be_bytes());
    body.push(0);
    body.extend(vec16(extensions));
    message(2, &body)
}

/// A certificate for `www.example.com` and `example.com`, signed by itself.
const CERTIFICATE: &[u8] = include_bytes!("certificate.der");

fn certificate() -> Vec<u8> {
    let len = |bytes: usize| [0, (bytes >> 8) as u8, bytes as u8];
    let one = [&len(CERTIFICATE.len())[..], CERTIFICATE].concat();
    message(11, &[&len(one.len())[..], &one].concat())
}

#[test]
fn the_port_names_it_and_the_hello_its_domain() {
    let hello = client_hello("WWW.Example.com");
    for (port, app) in [
        (443, App::Https),
        (465, App::Smtps),
        (993, App::Imaps),
        (995, App::Pops),
        (8443, App::Ssl),
    ] {
        let identity = yes(of(&hello, b"", port));
        assert_eq!(identity.app, app);
        assert_eq!(identity.domain.as_deref(), Some("www.example.com"));
        assert!(!identity.hidden);
    }
    for end in 0..hello.len() {
        let expected = if end < 6 {
            Match::More
        } else {
            Match::App(App::Https)
        };
        assert_eq!(of(&hello[..end], b"", 443), expected, "{end}");
    }
}

#[test]
fn a_hello_may_be_cut_into_records() {
    let body = hello_body(&[0x1301], &[server_name("a.example")]);
    let message = message(1, &body);
    let records: Vec<u8> = message
        .chunks(7)
        .flat_map(|part| record(22, part))
        .collect();
    assert_eq!(
        yes(of(&records, b"", 443)).domain.as_deref(),
        Some("a.example")
    );
    let bytes: Vec<u8> = message
        .iter()
        .flat_map(|byte| record(22, &[*byte]))
        .collect();
    assert_eq!(
        yes(of(&bytes, b"", 443)).domain.as_deref(),
        Some("a.example")
    );
}

#[test]
fn alpn_version_and_a_hidden_name_are_noted() {
    let extensions = [
        (43, vec![6, 0x5a, 0x5a, 3, 4, 3, 3]),
        (16, vec![0, 6, 2, b'h', b'2', 2, b'x', b'y']),
        (0xfe0d, vec![0; 40]),
        server_name("outer.example"),
    ];
    let hello = record(22, &message(1, &hello_body(&[0x1301], &extensions)));
    let identity = yes(of(&hello, b"", 443));
    assert!(identity.hidden);
    assert_eq!(identity.domain.as_deref(), Some("outer.example"));
    assert_eq!(identity.details.alpn.as_deref(), Some("h2"));
    assert_eq!(identity.details.version.as_deref(), Some("TLS 1.3"));
}

#[test]
fn a_name_that_is_none_is_no_domain() {
    let identity = yes(of(&client_hello("192.0.2.1"), b"", 443));
    assert_eq!(
        (identity.domain, identity.details.host.as_deref()),
        (None, Some("192.0.2.1"))
    );
    assert_eq!(
        yes(of(&record(22, &message(1, &[3, 3])), b"", 443)).domain,
        None
    );
}

#[test]
fn at_the_end_a_cut_hello_has_to_do() {
    let extensions = [server_name("a.example"), (21, vec![0; 500])];
    let hello = record(22, &message(1, &hello_body(&[0x1301], &extensions)));
    let seen = Seen {
        client: &hello[..200],
        server: b"",
        port: 443,
        closed: true,
    };
    assert_eq!(yes(recognise(&seen)).domain.as_deref(), Some("a.example"));
}

#[test]
fn a_server_without_certificate_is_told_by_its_choice() {
    // ECDH_anon and one with a certificate.
    let hello = record(
        22,
        &message(
            1,
            &hello_body(&[0xc018, 0xc02f], &[server_name("a.example")]),
        ),
    );
    assert_eq!(of(&hello, b"", 443), Match::App(App::Https));
    let without = yes(of(&hello, &record(22, &server_hello(0xc018, &[])), 443));
    assert_eq!(
        (without.app, without.domain.as_deref()),
        (App::SslNoCert, Some("a.example"))
    );
    assert_eq!(
        yes(of(&hello, &record(22, &server_hello(0xc02f, &[])), 443)).app,
        App::Https
    );
    assert_eq!(yes(of(&hello, &record(21, &[2, 40]), 443)).app, App::Https);
}

#[test]
fn the_server_shows_version_and_certificate() {
    let mut identity = Identity::of(App::Https);
    let hello = server_hello(0xc02f, &[]);
    assert!(!add_details(&mut identity, &record(22, &hello)));
    assert_eq!(identity.details.version.as_deref(), Some("TLS 1.2"));
    let flight = [&hello[..], &certificate()].concat();
    let records: Vec<u8> = flight
        .chunks(100)
        .flat_map(|part| record(22, part))
        .collect();
    // Behind the lines before STARTTLS too.
    for before in [&b""[..], b"220 mx ESMTP\r\n250 STARTTLS\r\n220 go\r\n"] {
        let server = [before, &records].concat();
        let mut identity = Identity::of(App::Https);
        assert!(!add_details(&mut identity, &server[..server.len() - 1]));
        assert!(add_details(&mut identity, &server));
        let names: Vec<_> = identity
            .details
            .certificate
            .iter()
            .map(|name| &**name)
            .collect();
        assert_eq!(names, ["www.example.com", "example.com"]);
    }
    let hello = server_hello(0x1301, &[0, 43, 0, 2, 3, 4]);
    assert!(add_details(&mut identity, &record(22, &hello)));
    assert_eq!(identity.details.version.as_deref(), Some("TLS 1.3"));
}

#[test]
fn the_hello_of_ssl_2_has_no_name() {
    let hello = [&[0x80, 0x2e, 1, 3, 1, 0, 21, 0, 0, 0, 16][..], &[0; 37]].concat();
    for end in 1..11 {
        assert_eq!(of(&hello[..end], b"", 443), Match::More);
    }
    assert_eq!(yes(of(&hello, b"", 443)), Identity::of(App::Https));
}

#[test]
fn other_bytes_are_not_it() {
    let of = |client: &[u8]| {
        recognise(&Seen {
            client,
            server: b"",
            port: 443,
            closed: false,
        })
    };
    for other in [
        &b"\x16\x04\x01\0\x05\x01"[..],
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\0\x05\x02",
        b"\x17\x03\x03\0\x05\x01",
        b"\x80\x2e\x02",
    ] {
        assert_eq!(of(other), Match::No, "{other:x?}");
    }
}

#[test]
fn records_in_the_middle_of_a_stream() {
    let data = record(23, &[5; 50]);
    assert_eq!(midstream(&data, false), Some(true));
    assert_eq!(midstream(&data[..30], false), None);
    assert_eq!(midstream(&data[..30], true), Some(true));
    assert_eq!(
        midstream(&[&data[..], &data[..3]].concat(), false),
        Some(true)
    );
    assert_eq!(
        midstream(&[&data[..], b"xyzxyz"].concat(), false),
        Some(false)
    );
    assert_eq!(midstream(b"GET / HTTP/1.1", false), Some(false));
    assert_eq!(
        yes(server_only(&record(22, &server_hello(0xc02f, &[])), 443)).app,
        App::Https
    );
}
