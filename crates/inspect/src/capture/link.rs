//! Link layers: where the IP packet begins.

use crate::bytes::Bytes;

const NULL: i32 = 0;
const ETHERNET: i32 = 1;
const PPP: i32 = 9;
const RAW_BSD: [i32; 2] = [12, 14];
const PPP_HDLC: i32 = 50;
const RAW: i32 = 101;
const LOOP: i32 = 108;
const LINUX_SLL: i32 = 113;
const IPV4: i32 = 228;
const IPV6: i32 = 229;
const LINUX_SLL2: i32 = 276;

/// The most tags and labels in a row.
const MAX_TAGS: usize = 8;

/// Whether packets of this link type can be read.
pub(super) fn is_known(link: i32) -> bool {
    let others = [
        NULL, ETHERNET, PPP, PPP_HDLC, RAW, LOOP, LINUX_SLL, IPV4, IPV6, LINUX_SLL2,
    ];
    others.contains(&link) || RAW_BSD.contains(&link)
}

/// The IP packet in a frame, if there is one.
pub(super) fn ip(link: i32, frame: &[u8]) -> Option<&[u8]> {
    let mut left = Bytes(frame);
    match link {
        ETHERNET => {
            left.take(12)?;
            let kind = left.u16()?;
            of_type(kind, left)
        }
        LINUX_SLL => {
            left.take(14)?;
            let kind = left.u16()?;
            of_type(kind, left)
        }
        LINUX_SLL2 => {
            let kind = left.u16()?;
            left.take(18)?;
            of_type(kind, left)
        }
        // The family is in the order of the machine's bytes: the packet tells its version itself.
        NULL | LOOP => {
            left.take(4)?;
            versioned(left.0)
        }
        PPP | PPP_HDLC => {
            if left.0.starts_with(&[0xff, 0x03]) {
                left.take(2)?;
            }
            ppp(left)
        }
        _ => versioned(left.0),
    }
}

fn of_type(mut kind: u16, mut left: Bytes<'_>) -> Option<&[u8]> {
    for _ in 0..MAX_TAGS {
        match kind {
            0x0800 | 0x86dd => return versioned(left.0),
            // VLAN, and VLAN in VLAN.
            0x8100 | 0x88a8 | 0x9100 => {
                left.take(2)?;
                kind = left.u16()?;
            }
            // MPLS: the last label has a mark.
            0x8847 | 0x8848 => {
                if left.u32()? & 0x100 != 0 {
                    return versioned(left.0);
                }
            }
            // PPPoE.
            0x8864 => {
                left.take(6)?;
                return ppp(left);
            }
            // A length: LLC and SNAP.
            0..1_501 if left.0.starts_with(&[0xaa, 0xaa, 0x03, 0, 0, 0]) => {
                left.take(6)?;
                kind = left.u16()?;
            }
            _ => return None,
        }
    }
    None
}

fn ppp(mut left: Bytes<'_>) -> Option<&[u8]> {
    // The protocol may be shortened to one byte.
    let protocol = match left.u8()? {
        short if short & 1 == 1 => short.into(),
        high => u16::from_be_bytes([high, left.u8()?]),
    };
    matches!(protocol, 0x21 | 0x57)
        .then_some(left.0)
        .and_then(versioned)
}

/// Bytes that begin as a packet of IPv4 or IPv6 does.
pub(super) fn versioned(bytes: &[u8]) -> Option<&[u8]> {
    matches!(bytes.first()? >> 4, 4 | 6).then_some(bytes)
}

/// The IP packet behind a GRE header (RFC 2784, RFC 2890).
pub(super) fn gre(payload: &[u8]) -> Option<&[u8]> {
    let mut left = Bytes(payload);
    let (flags, kind) = (left.u16()?, left.u16()?);
    let version = flags & 7;
    for (flag, len) in [(0x8000, 4), (0x2000, 4), (0x1000, 4)] {
        if flags & flag != 0 {
            left.take(len)?;
        }
    }
    match (version, kind) {
        (0, 0x6558) => ip(ETHERNET, left.0),
        (0, kind) => of_type(kind, left),
        // PPTP: an acknowledgement number, then PPP.
        (1, 0x880b) => {
            if flags & 0x0080 != 0 {
                left.take(4)?;
            }
            if left.0.starts_with(&[0xff, 0x03]) {
                left.take(2)?;
            }
            ppp(left)
        }
        _ => None,
    }
}
