//! Initial packets of QUIC version 1, as RFC 9000 and RFC 9001 have them.

use ring::aead::quic::{AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

const SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];

/// A packet of a connection whose client has first chosen this destination.
#[derive(Clone, Copy, Debug)]
pub struct Initial {
    origin: [u8; 8],
    number: u8,
    offset: u8,
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(secret: &Prk, label: &str) -> [u8; N] {
    let label = format!("tls13 {label}");
    let info = [&[0, N as u8, label.len() as u8][..], label.as_bytes(), &[0]];
    let mut out = [0; N];
    let key = secret.expand(&info, Len(N)).unwrap();
    key.fill(&mut out).unwrap();
    out
}

impl Initial {
    pub fn of(origin: &[u8; 8]) -> Initial {
        Initial {
            origin: *origin,
            number: 0,
            offset: 0,
        }
    }

    pub fn number(self, number: u8) -> Initial {
        Initial { number, ..self }
    }

    /// Where in its stream it says something.
    pub fn at(self, offset: u8) -> Initial {
        assert!(offset < 64);
        Initial { offset, ..self }
    }

    /// One of the client that says this.
    pub fn says(self, hello: &[u8]) -> Vec<u8> {
        let len = (0x4000 | hello.len() as u16).to_be_bytes();
        let frames = [&[6, self.offset][..], &len, hello].concat();
        self.seal("client in", &self.origin, &frames)
    }

    /// One of the server, with frames.
    pub fn answers(self, frames: &[u8]) -> Vec<u8> {
        self.seal("server in", b"a client", frames)
    }

    fn seal(self, label: &str, destination: &[u8; 8], frames: &[u8]) -> Vec<u8> {
        let secret = Salt::new(HKDF_SHA256, &SALT).extract(&self.origin);
        let secret = Prk::new_less_safe(HKDF_SHA256, &expand::<32>(&secret, label));
        let mut frames = frames.to_vec();
        frames.resize(frames.len().max(40), 0);
        let len = (0x4000 | (1 + frames.len() + 16) as u16).to_be_bytes();
        let mut packet = [&[0xc0, 0, 0, 0, 1, 8][..], destination, &[0, 0], &len].concat();
        let number_at = packet.len();
        packet.push(self.number);
        let mut nonce: [u8; 12] = expand(&secret, "quic iv");
        nonce[11] ^= self.number;
        let key = UnboundKey::new(&AES_128_GCM, &expand::<16>(&secret, "quic key")).unwrap();
        let nonce = Nonce::assume_unique_for_key(nonce);
        LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, Aad::from(&packet), &mut frames)
            .unwrap();
        packet.extend(frames);
        let key = HeaderProtectionKey::new(&AES_128, &expand::<16>(&secret, "quic hp")).unwrap();
        let mask = key.new_mask(&packet[number_at + 4..][..16]).unwrap();
        packet[0] ^= mask[0] & 0x0f;
        packet[number_at] ^= mask[1];
        packet
    }
}
