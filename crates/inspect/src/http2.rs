//! HTTP/2 without TLS, with prior knowledge (RFC 9113, section 3.3).

use crate::bytes::Bytes;
use crate::name::{Host, text};
use crate::recognise::{Match, Seen};
use crate::{Details, Identity};
use loona_hpack::Decoder;
use model::App;

/// What every connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest frame before both ends have agreed on larger ones.
const MAX_FRAME: u32 = 16_384;

/// The most frames that are looked at.
const MAX_FRAMES: usize = 64;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

pub(crate) fn recognise(seen: &Seen) -> Match {
    let len = seen.client.len().min(PREFACE.len());
    if seen.client[..len] != PREFACE[..len] {
        return Match::No;
    }
    let Some(frames) = seen.client.get(PREFACE.len()..) else {
        return Match::More;
    };
    match header_block(Bytes(frames)) {
        Block::Whole(block) => identity(&block),
        Block::Cut => Match::App(App::Http),
        Block::Bad => Match::yes(App::Http),
    }
}

/// The first block of headers.
enum Block {
    Whole(Vec<u8>),
    Cut,
    Bad,
}

fn header_block(mut left: Bytes) -> Block {
    let mut block: Option<Vec<u8>> = None;
    for _ in 0..MAX_FRAMES {
        let Some((kind, flags, payload)) = frame(&mut left) else {
            return match left.0 {
                [a, b, c, ..] if u32::from_be_bytes([0, *a, *b, *c]) > MAX_FRAME => Block::Bad,
                _ => Block::Cut,
            };
        };
        match (kind, &mut block) {
            (HEADERS, None) => match unpadded(flags, payload) {
                Some(fragment) => block = Some(fragment.to_vec()),
                None => return Block::Bad,
            },
            (CONTINUATION, Some(block)) => block.extend_from_slice(payload),
            (HEADERS | CONTINUATION, _) | (_, Some(_)) => return Block::Bad,
            (_, None) => continue,
        }
        if let (Some(block), true) = (&mut block, flags & END_HEADERS != 0) {
            return Block::Whole(std::mem::take(block));
        }
    }
    Block::Bad
}

/// A frame's type, flags and payload, if it is whole.
fn frame<'a>(left: &mut Bytes<'a>) -> Option<(u8, u8, &'a [u8])> {
    let mut bytes = *left;
    let len = bytes.u24().filter(|len| *len <= MAX_FRAME)?;
    let (kind, flags, _stream) = (bytes.u8()?, bytes.u8()?, bytes.u32()?);
    let payload = bytes.take(len as usize)?;
    *left = bytes;
    Some((kind, flags, payload))
}

/// The headers in a HEADERS frame.
fn unpadded(flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let mut bytes = Bytes(payload);
    let padding = if flags & PADDED != 0 { bytes.u8()? } else { 0 };
    if flags & PRIORITY != 0 {
        bytes.take(5)?;
    }
    let len = bytes.0.len().checked_sub(padding.into())?;
    bytes.take(len)
}

fn identity(block: &[u8]) -> Match {
    let (mut authority, mut host, mut method, mut path) = (None, None, None, None);
    // What comes before a mistake counts.
    let _ = Decoder::new().decode_with_cb(block, |name, value| {
        let field = match &*name {
            b":authority" => &mut authority,
            b":method" => &mut method,
            b":path" => &mut path,
            b"host" => &mut host,
            _ => return,
        };
        field.get_or_insert_with(|| value.into_owned());
    });
    let host = Host::parse(&authority.or(host).unwrap_or_default());
    let request = method
        .zip(path)
        .map(|(method, path)| [&method[..], b" ", &path[..]].concat());
    Match::Yes(Identity {
        domain: host.domain,
        details: Details {
            request: request.map(|request| text(&request)),
            alpn: Some("h2c".into()),
            host: host.other,
            ..Details::default()
        },
        ..Identity::of(App::Http)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(client: &[u8]) -> Match {
        recognise(&Seen {
            client,
            server: &[],
            port: 80,
            closed: false,
        })
    }

    fn stream(frames: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        for (kind, flags, payload) in frames {
            bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
            bytes.extend_from_slice(&[*kind, *flags, 0, 0, 0, 1]);
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    // RFC 7541, appendix C.4.1: www.example.com, Huffman coded.
    const REQUEST: &[u8] = &[
        0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90,
        0xf4, 0xff,
    ];

    #[test]
    fn the_authority_is_the_domain() {
        let mut padded = vec![2, 0, 0, 0, 0, 7];
        padded.extend_from_slice(REQUEST);
        padded.extend_from_slice(&[0, 0]);
        for bytes in [
            stream(&[(4, 0, &[0; 12]), (1, 4, REQUEST)]),
            stream(&[(1, 4 | 8 | 0x20, &padded)]),
            stream(&[
                (1, 0, &REQUEST[..5]),
                (9, 0, &REQUEST[5..7]),
                (9, 4, &REQUEST[7..]),
            ]),
        ] {
            for end in 0..bytes.len() {
                let expected = if end < PREFACE.len() {
                    Match::More
                } else {
                    Match::App(App::Http)
                };
                assert_eq!(of(&bytes[..end]), expected);
            }
            match of(&bytes) {
                Match::Yes(identity) => {
                    assert_eq!(identity.domain.as_deref(), Some("www.example.com"));
                    assert_eq!(identity.details.request.as_deref(), Some("GET /"));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_after_the_preface_is_http_still() {
        for bytes in [
            stream(&[(9, 4, REQUEST)]),
            stream(&[(1, 8, &[200, 0])]),
            stream(&[(1, 4, &[0x41, 0xff, 0xff])]),
            [PREFACE, &[0xff; 9]].concat(),
        ] {
            match of(&bytes) {
                Match::Yes(identity) => assert_eq!(identity.domain, None),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(of(b"PRI * HTTP/1.1\r\n"), Match::No);
    }
}
