//! How Initial packets are protected (RFC 9001, section 5).

use super::packet::LongHeader;
use super::version::Salt;
use ring::aead::quic::HeaderProtectionKey;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use ring::hkdf::{self, HKDF_SHA256, Prk};

/// Where the sample begins that the header is protected with, counted from the packet's number.
const SAMPLE_AT: usize = 4;

/// The keys of a client's Initial packets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub aead: [u8; 16],
    pub iv: [u8; 12],
    pub header: [u8; 16],
}

impl Keys {
    pub fn client(salt: &Salt, destination: &[u8]) -> Option<Keys> {
        let secret = hkdf::Salt::new(HKDF_SHA256, &salt.bytes).extract(destination);
        let mut client = [0; 32];
        expand(&secret, "client in", &mut client)?;
        let client = Prk::new_less_safe(HKDF_SHA256, &client);
        let key = |label, out: &mut [u8]| expand(&client, &format!("{} {label}", salt.prefix), out);
        let mut keys = Keys {
            aead: [0; 16],
            iv: [0; 12],
            header: [0; 16],
        };
        key("key", &mut keys.aead)?;
        key("iv", &mut keys.iv)?;
        key("hp", &mut keys.header)?;
        Some(keys)
    }
}

/// Decrypts a client's Initial packet: its frames.
pub(super) fn open(salt: &Salt, destination: &[u8], header: &LongHeader) -> Option<Vec<u8>> {
    let Keys {
        aead,
        mut iv,
        header: protection,
    } = Keys::client(salt, destination)?;
    let at = header.number_at;
    let protection = HeaderProtectionKey::new(&quic::AES_128, &protection).ok()?;
    let sample = header
        .packet
        .get(at + SAMPLE_AT..)?
        .get(..protection.algorithm().sample_len())?;
    let mask = protection.new_mask(sample).ok()?;
    let first = header.packet.first()? ^ (mask[0] & 0x0f);
    let len = usize::from(first & 3) + 1;
    let (head, payload) = header.packet.split_at_checked(at + len)?;
    let mut head = head.to_vec();
    head[0] = first;
    let mut number = 0;
    for (byte, mask) in head[at..].iter_mut().zip(&mask[1..]) {
        *byte ^= mask;
        number = number << 8 | u32::from(*byte);
    }

    for (byte, number) in iv[8..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= number;
    }
    let aead = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &aead).ok()?);
    let mut plain = payload.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let len = aead
        .open_in_place(nonce, Aad::from(&head), &mut plain)
        .ok()?
        .len();
    plain.truncate(len);
    Some(plain)
}

/// HKDF-Expand-Label (RFC 8446, section 7.1).
fn expand(secret: &Prk, label: &str, out: &mut [u8]) -> Option<()> {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let len = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_len = [u8::try_from(6 + label.len()).ok()?];
    let info = [&len[..], &label_len, b"tls13 ", label.as_bytes(), &[0]];
    secret.expand(&info, Len(out.len())).ok()?.fill(out).ok()
}
