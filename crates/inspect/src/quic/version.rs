//! Versions, and what of them differs here.

use std::sync::Arc;

/// From what the keys of Initial packets derive, besides the destination.
#[derive(Debug)]
pub(super) struct Salt {
    pub bytes: [u8; 20],
    /// Before the labels of keys.
    pub prefix: &'static str,
}

macro_rules! salt {
    ($prefix:literal, $($byte:literal)+) => { Salt { bytes: [$($byte),+], prefix: $prefix } };
}

const V1: Salt = salt!("quic", 0x38 0x76 0x2c 0xf7 0xf5 0x59 0x34 0xb3 0x4d 0x17 0x9a 0xe6 0xa4 0xc8 0x0c 0xad 0xcc 0xbb 0x7f 0x0a);
const V2: Salt = salt!("quicv2", 0x0d 0xed 0xe3 0xde 0xf7 0x00 0xa6 0xdb 0x81 0x93 0x81 0xbe 0x6e 0x26 0x9d 0xcb 0xf9 0xbd 0x2e 0xd9);
const V2_DRAFT: Salt = salt!("quicv2", 0xa7 0x07 0xc2 0x03 0xa5 0x9b 0x47 0x18 0x4a 0x1d 0x62 0xca 0x57 0x04 0x06 0xea 0x7a 0xe3 0xe5 0xd3);
const DRAFT_22: Salt = salt!("quic", 0x7f 0xbc 0xdb 0x0e 0x7c 0x66 0xbb 0xe9 0x19 0x3a 0x96 0xcd 0x21 0x51 0x9e 0xbd 0x7a 0x02 0x64 0x4a);
const DRAFT_23: Salt = salt!("quic", 0xc3 0xee 0xf7 0x12 0xc7 0x2e 0xbb 0x5a 0x11 0xa7 0xd2 0x43 0x2b 0xb4 0x63 0x65 0xbe 0xf9 0xf5 0x02);
const DRAFT_29: Salt = salt!("quic", 0xaf 0xbf 0xec 0x28 0x99 0x93 0xd2 0x4c 0x9e 0x97 0x86 0xf1 0x9c 0x61 0x11 0xe0 0x43 0x90 0xa8 0x99);
const Q050: Salt = salt!("quic", 0x50 0x45 0x74 0xef 0xd0 0x66 0xfe 0x2f 0x9d 0x94 0x5c 0xfc 0xdb 0xd3 0xa7 0xf0 0xd3 0xb5 0x6b 0x45);
const T050: Salt = salt!("quic", 0x7f 0xf5 0x79 0xe5 0xac 0xd0 0x72 0x91 0x55 0x80 0x30 0x4c 0x43 0xa2 0x36 0x7c 0x60 0x48 0x83 0x10);
const T051: Salt = salt!("quic", 0x7a 0x4e 0xde 0xf4 0xe7 0xcc 0xee 0x5f 0xa4 0x50 0x6c 0x19 0x12 0x4f 0xc8 0xcc 0xda 0x6e 0x03 0x3d);

/// A version that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version(u32);

const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;
const VERSION_2_DRAFT: u32 = 0x709a_50c4;

impl Version {
    /// One whose Initial packets have the long header and encryption of RFC 9001.
    pub fn encrypted(number: u32) -> Option<Version> {
        let version = Version(number);
        (!version.salts().is_empty()).then_some(version)
    }

    /// One of Google's whose first packets are in the clear: Q001 to Q048.
    pub fn plain(number: u32) -> Option<Version> {
        let [b'Q', b'0', tens @ b'0'..=b'4', ones @ b'0'..=b'9'] = number.to_be_bytes() else {
            return None;
        };
        ((tens, ones) <= (b'4', b'8')).then_some(Version(number))
    }

    /// Whether its packets have a long header, though they are in the clear: from Q044 on.
    pub fn is_long(self) -> bool {
        self.0 >= u32::from_be_bytes(*b"Q044")
    }

    /// What its keys may derive from.
    pub fn salts(self) -> &'static [Salt] {
        match self.0 {
            VERSION_1 => &[V1],
            VERSION_2 => &[V2],
            VERSION_2_DRAFT => &[V2_DRAFT],
            0xff00_0001..=0xff00_0016 => &[DRAFT_22],
            0xff00_0017..=0xff00_001c => &[DRAFT_23],
            0xff00_001d..=0xff00_0020 => &[DRAFT_29],
            0xff00_0021..=0xff00_00ff => &[V1],
            // Facebook's own, and those that force a negotiation (RFC 9000, section 15), do not tell.
            0xface_b000..=0xface_bfff => &[V1, DRAFT_29, DRAFT_23, DRAFT_22],
            other if other & 0x0f0f_0f0f == 0x0a0a_0a0a => &[V1, DRAFT_29, DRAFT_23],
            other => match &other.to_be_bytes() {
                b"Q050" => &[Q050],
                b"T050" => &[T050],
                b"T051" => &[T051],
                _ => &[],
            },
        }
    }

    /// Whether the hello is one of TLS, not Google's CHLO.
    pub fn has_tls(self) -> bool {
        self.0.to_be_bytes()[0] != b'Q'
    }

    /// The type of CRYPTO frames.
    pub fn crypto_frame(self) -> u8 {
        match &self.0.to_be_bytes() {
            b"Q050" | b"T050" | b"T051" => 8,
            _ => 6,
        }
    }

    /// What a long header's two bits of type say.
    pub fn kind(self, first: u8) -> Kind {
        let second = matches!(self.0, VERSION_2 | VERSION_2_DRAFT);
        match ((first >> 4) & 3, second) {
            (0, false) | (1, true) => Kind::Initial,
            (3, false) | (0, true) => Kind::Retry,
            _ => Kind::Other,
        }
    }

    /// What it is called.
    pub fn name(self) -> Arc<str> {
        match self.0 {
            VERSION_1 => "QUIC v1".into(),
            VERSION_2 => "QUIC v2".into(),
            VERSION_2_DRAFT => "QUIC v2 draft".into(),
            0xff00_0000..=0xff00_00ff => format!("QUIC draft-{}", self.0 & 0xff).into(),
            other => match std::str::from_utf8(&other.to_be_bytes()) {
                Ok(name) if other >> 24 == u32::from(b'Q') || other >> 24 == u32::from(b'T') => {
                    format!("QUIC {name}").into()
                }
                _ => format!("QUIC 0x{other:08x}").into(),
            },
        }
    }
}

/// What a packet with a long header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    Retry,
    /// 0-RTT, Handshake.
    Other,
}
