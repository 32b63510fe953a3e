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

const ROOM: usize = 16 * 1024;

fn says(quic: &mut Quic, datagram: &[u8]) -> Match {
    quic.client(datagram, ROOM, Duration::ZERO)
}

/// An Initial packet as a client sends it.
fn initial(version: u32, destination: &[u8], number: u8, frames: &[u8]) -> Vec<u8> {
    let known = Version::encrypted(version).unwrap();
    let keys = Keys::client(&known.salts()[0], destination).unwrap();
    seal(version, &keys, destination, number.into(), frames)
}

/// One as the server sends it that has heard of `origin`.
fn reply(version: u32, origin: &[u8], frames: &[u8]) -> Vec<u8> {
    let known = Version::encrypted(version).unwrap();
    let keys = Keys::server(&known.salts()[0], origin).unwrap();
    seal(version, &keys, b"client", 0, frames)
}

/// One with a number of which the last byte is sent.
fn seal(version: u32, keys: &Keys, destination: &[u8], number: u64, frames: &[u8]) -> Vec<u8> {
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
    packet.push(number as u8);

    let mut nonce = keys.iv;
    for (byte, number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= number;
    }
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
    hello_to("www.example.com")
}

fn hello_to(name: &str) -> Vec<u8> {
    let alpn = (16, vec![0, 3, 2, b'h', b'3']);
    let padding = (21, vec![0; 700]);
    let extensions = [padding, server_name(name), alpn];
    message(1, &hello_body(&[0x1301], &extensions))
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
        check(says(&mut Quic::default(), &whole), name);

        let mixed = [frame(500, c), vec![0, 1, 0], frame(0, a), frame(100, b)].concat();
        check(
            says(
                &mut Quic::default(),
                &initial(version, &DESTINATION, 0, &mixed),
            ),
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
        assert_eq!(says(&mut quic, &first), Match::App(App::Quic));
        assert_eq!(says(&mut quic, &first), Match::App(App::Quic));
        check(says(&mut quic, &second), name);
        // Both in one datagram.
        check(says(&mut Quic::default(), &[second, first].concat()), name);
    }
}

#[test]
fn after_a_retry_the_keys_are_others() {
    let hello = hello();
    let mut quic = Quic::default();
    let first = initial(V1, &DESTINATION, 0, &crypto(6, 0, &hello[..50]));
    assert_eq!(says(&mut quic, &first), Match::App(App::Quic));
    check(
        says(
            &mut quic,
            &initial(V1, b"retried", 1, &crypto(6, 0, &hello)),
        ),
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
        says(&mut Quic::default(), &initial(V1, &DESTINATION, 0, &frames)),
        "QUIC v1",
    );
}

#[test]
fn what_cannot_be_decrypted_is_quic_still() {
    let mut packet = initial(V1, &DESTINATION, 0, &crypto(6, 0, &hello()));
    *packet.last_mut().unwrap() ^= 1;
    assert_eq!(says(&mut Quic::default(), &packet), Match::App(App::Quic));
    assert_eq!(
        says(&mut Quic::default(), &packet[..packet.len() - 1]),
        Match::No
    );
    packet[4] = 0x77;
    assert_eq!(says(&mut Quic::default(), &packet), Match::No);
    assert_eq!(says(&mut Quic::default(), &[]), Match::No);
}

/// Google's message, with a padding before the name, as Chrome sent it.
fn chlo(name: &str) -> Vec<u8> {
    let mut message = b"CHLO\x02\0\0\0PAD\0\x10\0\0\0SNI\0".to_vec();
    message.extend_from_slice(&(16 + name.len() as u32).to_le_bytes());
    message.extend_from_slice(&[b'-'; 16]);
    message.extend_from_slice(name.as_bytes());
    message
}

/// It in a datagram with the public header, Q043, and in one with a long header, Q046.
fn googles(name: &str) -> [Vec<u8>; 2] {
    [
        &b"\x0d12345678Q043\x01"[..],
        b"\xc3Q046\x5012345678\0\0\0\x01",
    ]
    .map(|header| [header, &[7; 12], b"\xa0\x01\x04\0", &chlo(name)].concat())
}

#[test]
fn googles_own_names_the_server_in_the_clear() {
    let [public, long] = googles("www.example.com");
    for (datagram, version) in [(public, "QUIC Q043"), (long, "QUIC Q046")] {
        let identity = yes(says(&mut Quic::default(), &datagram));
        assert_eq!(identity.domain.as_deref(), Some("www.example.com"));
        assert_eq!(identity.details.version.as_deref(), Some(version));
        // A message that is cut before the name.
        let cut = &datagram[..datagram.len() - 1];
        assert_eq!(says(&mut Quic::default(), cut), Match::App(App::Quic));
    }
    let q050 = u32::from_be_bytes(*b"Q050");
    let packet = initial(
        q050,
        &DESTINATION,
        0,
        &crypto(8, 0, &chlo("www.example.com")),
    );
    assert_eq!(
        yes(says(&mut Quic::default(), &packet)).domain.as_deref(),
        Some("www.example.com")
    );
}

/// A client whose hello was heard; the server has not answered.
fn heard(version: u32) -> Quic {
    let mut quic = Quic::default();
    yes(says(
        &mut quic,
        &initial(version, &DESTINATION, 0, &crypto(6, 0, &hello())),
    ));
    assert!(!quic.is_lost() && !quic.is_answered());
    quic
}

#[test]
fn a_servers_hello_answers_the_clients() {
    for (version, answered_in) in [(V1, V1), (V2, V2), (V1, V2), (0xff00_001d, 0xff00_001d)] {
        let answer = reply(answered_in, &DESTINATION, &crypto(6, 0, b"hello"));
        let mut quic = heard(version);
        quic.server(&answer);
        assert!(quic.is_answered());
        // With something else in the same datagram, before a part of the hello, and of another version.
        let mut quic = heard(version);
        quic.server(&[reply(answered_in, &DESTINATION, &[1]), answer].concat());
        assert!(quic.is_answered());
    }
}

#[test]
fn what_anyone_could_say_is_no_answer() {
    let mut quic = heard(V1);
    let answer = reply(V1, &DESTINATION, &crypto(6, 0, b"hello"));
    let own = initial(V1, &DESTINATION, 0, &crypto(6, 0, &hello()));
    let negotiation = b"\xc0\0\0\0\0\x06client\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\0\0\0\x01";
    let broken = [&answer[..answer.len() - 1], &[answer[answer.len() - 1] ^ 1]].concat();
    for datagram in [
        // An acknowledgement needs no hello.
        &reply(V1, &DESTINATION, &[2, 0, 0, 0, 0])[..],
        &reply(V1, b"another", &crypto(6, 0, b"hello")),
        &broken,
        &own,
        negotiation,
        // A reset.
        &[0x55; 40],
        b"",
    ] {
        quic.server(datagram);
        assert!(!quic.is_answered());
    }
    quic.server(&answer);
    assert!(quic.is_answered());
    // Before the hello is whole, none is an answer to it.
    let mut quic = Quic::default();
    says(
        &mut quic,
        &initial(V1, &DESTINATION, 0, &crypto(6, 0, &hello()[..50])),
    );
    quic.server(&answer);
    assert!(!quic.is_answered());
}

#[test]
fn another_hello_counts_as_the_first_did() {
    let mut quic = heard(V1);
    let other = initial(
        V1,
        b"another",
        0,
        &crypto(6, 0, &hello_to("www.other.example")),
    );
    let identity = yes(says(&mut quic, &other));
    assert_eq!(identity.domain.as_deref(), Some("www.other.example"));
    assert!(!quic.is_lost());
    // Again, and what honest clients send besides: early data, the end of the connection.
    yes(says(&mut quic, &other));
    let early = [&[0xd0, 0, 0, 0, 1][..], b"\x07another\0\x1e", &[7; 30]].concat();
    let close = initial(V1, b"another", 1, &[0x1c, 0, 0, 2, b'n', b'o']);
    let padded = [&close[..], &[0; 100]].concat();
    for datagram in [&early, &[&other[..], &early].concat(), &close, &padded] {
        says(&mut quic, datagram);
        assert!(!quic.is_lost());
    }
}

#[test]
fn what_cannot_be_followed_is_told() {
    let keys = Keys::client(&Version::encrypted(V1).unwrap().salts()[0], b"another").unwrap();
    let other = hello_to("www.other.example");
    let begun = || {
        let mut quic = heard(V1);
        says(
            &mut quic,
            &initial(V1, b"another", 0, &crypto(6, 0, &other[..400])),
        );
        for number in [100, 200, 290] {
            says(&mut quic, &seal(V1, &keys, b"another", number, &[1]));
            assert!(!quic.is_lost());
        }
        quic
    };
    let first = initial(V1, &DESTINATION, 1, &crypto(6, 0, &hello()));
    let mut unknown = first.clone();
    unknown[1..5].fill(0x77);
    for (datagram, lost) in [
        // Other bytes in a place where some were.
        (initial(V1, &DESTINATION, 1, &crypto(6, 0, &other)), true),
        (initial(V1, b"another", 1, &crypto(6, 390, &[1; 20])), true),
        // More than there is room for.
        (
            initial(V1, b"another", 1, &crypto(6, 16_000, &[0; 999])),
            true,
        ),
        // What no Initial packet has.
        (initial(V1, &DESTINATION, 1, &[8, 0]), true),
        // The keys are known, the number is not what is sent of it.
        (
            seal(V1, &keys, b"another", 300, &crypto(6, 400, &other[400..])),
            false,
        ),
        (
            seal(V1, &keys, b"another", 900, &crypto(6, 400, &other[400..])),
            true,
        ),
        // Who has missed the others would take this one's for its number.
        (
            initial(V1, b"another", 1, &crypto(6, 400, &other[400..])),
            true,
        ),
        // Two destinations in one datagram, a version that nobody knows, none at all.
        ([&first[..], &initial(V1, b"new", 0, &[1])].concat(), true),
        (unknown.clone(), true),
        ([&first[..], &unknown].concat(), true),
        (first.repeat(MAX_COALESCED + 1), true),
        (b"\x45 after the answer".to_vec(), true),
        (first.repeat(MAX_COALESCED), false),
    ] {
        let mut quic = begun();
        says(&mut quic, &datagram);
        assert_eq!(quic.is_lost(), lost, "{datagram:02x?}");
    }
}

/// Too many attempts are not followed; those that nobody answers are forgotten in time.
#[test]
fn attempts_are_bounded() {
    let mut quic = Quic::default();
    let attempt = |n: u8| initial(V1, &[n; 8], 0, &crypto(6, 0, &hello()));
    for n in 0..20 {
        says(&mut quic, &attempt(n));
        assert_eq!(quic.is_lost(), usize::from(n) >= MAX_ATTEMPTS);
    }
    assert_eq!(quic.attempts.len(), MAX_ATTEMPTS);
    quic.client(&attempt(20), ROOM, REMEMBERED);
    assert!(!quic.is_lost() && quic.attempts.len() == 1);
    // Nor is there more memory for several.
    let mut quic = Quic::default();
    for n in 0..8 {
        let part = initial(V1, &[n; 8], 0, &crypto(6, 3_000, &[0; 100]));
        says(&mut quic, &part);
        assert_eq!(quic.is_lost(), n >= 5);
    }
    assert!(quic.attempts.iter().map(Attempt::len).sum::<usize>() <= ROOM);
}

#[test]
fn numbers_are_made_whole_as_receivers_do() {
    use super::crypto::whole_number;
    // The example of RFC 9000, appendix A.3.
    assert_eq!(whole_number(0x9b32, 16, 0xa82f_30ea + 1), 0xa82f_9b32);
    for (cut, next, whole) in [
        (200, 0, 200),
        (44, 201, 300),
        (255, 256, 255),
        (0, 255, 256),
    ] {
        assert_eq!(whole_number(cut, 8, next), whole);
    }
    assert_eq!(whole_number(0, 32, (1 << 62) - 1), (1 << 62) - (1 << 32));
}

#[test]
fn googles_own_is_answered_by_the_same_version_only() {
    let hellos = googles("a.example");
    let answers: [(&[u8], [bool; 2]); 5] = [
        (b"\x0c12345678\x01...", [true, false]),
        (b"\xc3Q046\x0512345678...", [false, true]),
        (b"\xc3\0\0\0\0\x0512345678...", [false, false]),
        (b"\x0d12345678Q043", [false, false]),
        (&[0x55; 30], [false, false]),
    ];
    for (answer, is_one) in answers {
        for (hello, is_one) in hellos.iter().zip(is_one) {
            let mut quic = Quic::default();
            yes(says(&mut quic, hello));
            quic.server(answer);
            assert_eq!(quic.is_answered(), is_one, "{answer:02x?}");
        }
    }
}

proptest::proptest! {
    /// Whatever is in packets, it is heard in bounded memory, and what is heard is not taken back.
    #[test]
    fn whatever_is_in_packets_is_bounded(
        packets in proptest::collection::vec(
            proptest::collection::vec(proptest::num::u8::ANY, 0..400), 1..8,
        ),
    ) {
        let mut quic = Quic::default();
        let mut heard = Vec::new();
        for (number, frames) in (0..).zip(packets) {
            says(&mut quic, &initial(V1, &DESTINATION, number, &frames));
            quic.server(&reply(V1, &DESTINATION, &frames));
            let now = quic.attempts[0].heard().to_vec();
            assert!(now.len() <= ROOM && now.starts_with(&heard) && !quic.is_answered());
            heard = now;
        }
    }
}
