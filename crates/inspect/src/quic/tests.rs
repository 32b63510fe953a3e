use super::crypto::Keys;
use super::version::Version;
use super::*;
use crate::testing::{hello_body, message, server_name, yes};
use ring::aead::quic::{AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const V1: u32 = 1;
const V2: u32 = 0x6b33_43cf;
/// The destination of the examples in RFC 9001, appendix A, and RFC 9369, appendix A.
const DESTINATION: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

fn hex<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
}

fn varint(value: usize) -> [u8; 2] {
    (0x4000 | value as u16).to_be_bytes()
}

/// A CRYPTO frame.
fn crypto(kind: u8, offset: usize, data: &[u8]) -> Vec<u8> {
    [&[kind][..], &varint(offset), &varint(data.len()), data].concat()
}

/// An Initial packet as a client sends it.
fn initial(version: u32, destination: &[u8], number: u8, frames: &[u8]) -> Vec<u8> {
    let known = Version::encrypted(version).unwrap();
    let keys = Keys::client(&known.salts()[0], destination).unwrap();
    let kind = if version == V2 { 0xd0 } else { 0xc0 };
    let mut packet = vec![kind];
    packet.extend_from_slice(&version.to_be_bytes());
    packet.push(destination.len() as u8);
    packet.extend_from_slice(destination);
    // No source, no token.
    packet.extend_from_slice(&[0, 0]);
    let mut frames = frames.to_vec();
    frames.resize(frames.len().max(300), 0);
    packet.extend_from_slice(&varint(1 + frames.len() + 16));
    let number_at = packet.len();
    packet.push(number);

    let mut nonce = keys.iv;
    nonce[11] ^= number;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &keys.aead).unwrap());
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(&packet), &mut frames)
        .unwrap();
    packet.extend_from_slice(&frames);
    let protection = HeaderProtectionKey::new(&AES_128, &keys.header).unwrap();
    let mask = protection.new_mask(&packet[number_at + 4..][..16]).unwrap();
    packet[0] ^= mask[0] & 0x0f;
    packet[number_at] ^= mask[1];
    packet
}

fn hello() -> Vec<u8> {
    let alpn = (16, vec![0, 3, 2, b'h', b'3']);
    let padding = (21, vec![0; 700]);
    message(
        1,
        &hello_body(&[0x1301], &[padding, server_name("www.example.com"), alpn]),
    )
}

fn check(found: Match, version: &str) {
    let identity = yes(found);
    assert_eq!(identity.app, App::Quic);
    assert_eq!(identity.domain.as_deref(), Some("www.example.com"));
    assert_eq!(identity.details.alpn.as_deref(), Some("h3"));
    assert_eq!(identity.details.version.as_deref(), Some(version));
}

#[test]
fn keys_are_those_of_the_standards_examples() {
    let of = |version| {
        Keys::client(
            &Version::encrypted(version).unwrap().salts()[0],
            &DESTINATION,
        )
        .unwrap()
    };
    assert_eq!(
        of(V1),
        Keys {
            aead: hex("1f369613dd76d5467730efcbe3b1a22d"),
            iv: hex("fa044b2f42a3fd3b46fb255c"),
            header: hex("9f50449e04a0e810283a1e9933adedd2"),
        }
    );
    assert_eq!(
        of(V2),
        Keys {
            aead: hex("8b1a0bc121284290a29e0971b5cd045d"),
            iv: hex("91f73e2351d8fa91660e909f"),
            header: hex("45b95e15235d6f45a6b19cbcb0294ba9"),
        }
    );
}

#[test]
fn a_hello_may_come_in_several_frames_and_packets_in_any_order() {
    let hello = hello();
    let (a, b, c) = (&hello[..100], &hello[100..500], &hello[500..]);
    for (version, name) in [
        (V1, "QUIC v1"),
        (V2, "QUIC v2"),
        (0xff00_001d, "QUIC draft-29"),
        (0xff00_001b, "QUIC draft-27"),
        (u32::from_be_bytes(*b"T051"), "QUIC T051"),
    ] {
        let kind = Version::encrypted(version).unwrap().crypto_frame();
        let frame = |offset, data| crypto(kind, offset, data);
        let whole = initial(version, &DESTINATION, 0, &frame(0, &hello));
        check(Quic::default().client(&whole), name);

        let mixed = [frame(500, c), vec![0, 1, 0], frame(0, a), frame(100, b)].concat();
        check(
            Quic::default().client(&initial(version, &DESTINATION, 0, &mixed)),
            name,
        );

        let second = initial(
            version,
            &DESTINATION,
            1,
            &[frame(100, b), frame(0, a)].concat(),
        );
        let first = initial(version, &DESTINATION, 0, &frame(500, c));
        let mut quic = Quic::default();
        assert_eq!(quic.client(&first), Match::App(App::Quic));
        assert_eq!(quic.client(&first), Match::App(App::Quic));
        check(quic.client(&second), name);
        // Both in one datagram.
        check(Quic::default().client(&[second, first].concat()), name);
    }
}

#[test]
fn after_a_retry_the_keys_are_others() {
    let hello = hello();
    let mut quic = Quic::default();
    let first = initial(V1, &DESTINATION, 0, &crypto(6, 0, &hello[..50]));
    assert_eq!(quic.client(&first), Match::App(App::Quic));
    check(
        quic.client(&initial(V1, b"retried", 1, &crypto(6, 0, &hello))),
        "QUIC v1",
    );
}

#[test]
fn acknowledgements_are_passed_over() {
    let frames = [
        &[2, 5, 1, 1, 0, 1, 1][..],
        &[3, 5, 1, 0, 0, 1, 1, 1],
        &crypto(6, 0, &hello()),
    ]
    .concat();
    check(
        Quic::default().client(&initial(V1, &DESTINATION, 0, &frames)),
        "QUIC v1",
    );
}

#[test]
fn what_cannot_be_decrypted_is_quic_still() {
    let mut packet = initial(V1, &DESTINATION, 0, &crypto(6, 0, &hello()));
    *packet.last_mut().unwrap() ^= 1;
    assert_eq!(Quic::default().client(&packet), Match::App(App::Quic));
    assert_eq!(
        Quic::default().client(&packet[..packet.len() - 1]),
        Match::No
    );
    packet[4] = 0x77;
    assert_eq!(Quic::default().client(&packet), Match::No);
    assert_eq!(Quic::default().client(&[]), Match::No);
}

/// Google's message, with a padding before the name, as Chrome sent it.
fn chlo(name: &str) -> Vec<u8> {
    let mut message = b"CHLO\x02\0\0\0PAD\0\x10\0\0\0SNI\0".to_vec();
    message.extend_from_slice(&(16 + name.len() as u32).to_le_bytes());
    message.extend_from_slice(&[b'-'; 16]);
    message.extend_from_slice(name.as_bytes());
    message
}

#[test]
fn googles_own_names_the_server_in_the_clear() {
    let public = [
        &b"\x0d12345678Q043\x01"[..],
        &[7; 12],
        b"\xa0\x01\x04\0",
        &chlo("www.example.com"),
    ]
    .concat();
    let long = [
        &b"\xc3Q046\x5012345678\0\0\0\x01"[..],
        &[7; 12],
        b"\xa0\x01\x04\0",
        &chlo("www.example.com"),
    ]
    .concat();
    for (datagram, version) in [(public, "QUIC Q043"), (long, "QUIC Q046")] {
        let identity = yes(Quic::default().client(&datagram));
        assert_eq!(identity.domain.as_deref(), Some("www.example.com"));
        assert_eq!(identity.details.version.as_deref(), Some(version));
        // A message that is cut before the name.
        let cut = &datagram[..datagram.len() - 1];
        assert_eq!(Quic::default().client(cut), Match::App(App::Quic));
    }
    let q050 = u32::from_be_bytes(*b"Q050");
    let packet = initial(
        q050,
        &DESTINATION,
        0,
        &crypto(8, 0, &chlo("www.example.com")),
    );
    assert_eq!(
        yes(Quic::default().client(&packet)).domain.as_deref(),
        Some("www.example.com")
    );
}
