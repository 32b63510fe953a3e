//! How Initial packets are protected (RFC 9001, section 5).

use super::packet::LongHeader;
use super::version::Salt;
use ring::aead::quic::HeaderProtectionKey;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use ring::hkdf::{self, HKDF_SHA256, Prk};

/// Where the sample begins that the header is protected with, counted from the packet's number.
const SAMPLE_AT: usize = 4;

/// The keys of one end's Initial packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub aead: [u8; 16],
    pub iv: [u8; 12],
    pub header: [u8; 16],
}

impl Keys {
    /// A client's. `destination` is what it chose first.
    pub fn client(salt: &Salt, destination: &[u8]) -> Option<Keys> {
        Keys::derive(salt, destination, "client in")
    }

    /// Those of the server that answers it.
    pub fn server(salt: &Salt, destination: &[u8]) -> Option<Keys> {
        Keys::derive(salt, destination, "server in")
    }

    fn derive(salt: &Salt, destination: &[u8], label: &str) -> Option<Keys> {
        let secret = hkdf::Salt::new(HKDF_SHA256, &salt.bytes).extract(destination);
        let mut end = [0; 32];
        expand(&secret, label, &mut end)?;
        let end = Prk::new_less_safe(HKDF_SHA256, &end);
        let key = |label, out: &mut [u8]| expand(&end, &format!("{} {label}", salt.prefix), out);
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

    /// Decrypts an Initial packet: its frames, and its number. `next` is one more than the largest number before.
    pub fn open(&self, header: &LongHeader, next: u64) -> Option<(Vec<u8>, u64)> {
        let at = header.number_at;
        let protection = HeaderProtectionKey::new(&quic::AES_128, &self.header).ok()?;
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
        let mut cut = 0;
        for (byte, mask) in head[at..].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
            cut = cut << 8 | u64::from(*byte);
        }
        let number = whole_number(cut, 8 * len as u32, next);
        let mut iv = self.iv;
        for (byte, number) in iv[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        let aead = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &self.aead).ok()?);
        let mut plain = payload.to_vec();
        let nonce = Nonce::assume_unique_for_key(iv);
        let len = aead
            .open_in_place(nonce, Aad::from(&head), &mut plain)
            .ok()?
            .len();
        plain.truncate(len);
        Some((plain, number))
    }
}

/// A packet's number, of which only the last bits are sent: the one closest to the `next` (RFC 9000, appendix A.3).
pub(super) fn whole_number(cut: u64, bits: u32, next: u64) -> u64 {
    let window = 1 << bits;
    let near = next & !(window - 1) | cut;
    if near + window / 2 <= next && near + window < 1 << 62 {
        near + window
    } else if near > next + window / 2 && near >= window {
        near - window
    } else {
        near
    }
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
