//! What the tests of recognisers share.

use crate::Identity;
use crate::recognise::{Candidates, Match, Seen};

/// What all recognisers together make of these bytes.
pub(crate) fn of(client: &[u8], server: &[u8], port: u16) -> Match {
    Candidates::ALL.clone().ask(&Seen {
        client,
        server,
        port,
        closed: false,
    })
}

/// What they make of a stream that has ended before the client has said anything.
pub(crate) fn server_only(server: &[u8], port: u16) -> Match {
    assert_eq!(of(b"", server, port), Match::More);
    Candidates::ALL.clone().ask(&Seen {
        client: b"",
        server,
        port,
        closed: true,
    })
}

pub(crate) fn yes(found: Match) -> Identity {
    match found {
        Match::Yes(identity) => identity,
        other => panic!("{other:?}"),
    }
}

/// The body of a ClientHello with these extensions.
pub(crate) fn hello_body(suites: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend(vec16(
        &suites
            .iter()
            .flat_map(|suite| suite.to_be_bytes())
            .collect::<Vec<_>>(),
    ));
    body.extend_from_slice(&[1, 0]);
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &vec16(body)].concat())
        .collect();
    body.extend(vec16(&extensions));
    body
}

/// The extension that names a server.
pub(crate) fn server_name(name: &str) -> (u16, Vec<u8>) {
    (0, vec16(&[&[0][..], &vec16(name.as_bytes())].concat()))
}

/// A handshake message.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

/// A record.
pub(crate) fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1][..], &vec16(payload)].concat()
}

/// A record with a ClientHello for this name.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    let body = hello_body(&[0xc02f], &[server_name(name)]);
    record(22, &message(1, &body))
}

pub(crate) fn vec16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// Whether one recogniser says no to these bytes.
pub(crate) fn refuses(
    recognise: fn(&Seen) -> Match,
    client: &[u8],
    server: &[u8],
    port: u16,
) -> bool {
    recognise(&Seen {
        client,
        server,
        port,
        closed: false,
    }) == Match::No
}
