//! Remote desktop (MS-RDPBCGR, MS-RDPEUDP): over TCP a client asks for a connection, over UDP it synchronises.

use crate::bytes::Bytes;
use crate::recognise::{Match, Seen, begins};
use model::App;

pub(crate) const PORT: u16 = 3389;

/// Of X.224: a connection request.
const REQUEST: u8 = 0xe0;

/// The TPKT header, the rest of the X.224 request.
const TPKT: usize = 4;
const FIXED: usize = 7;

pub(crate) fn recognise(seen: &Seen) -> Match {
    let client = seen.client;
    let fits = |at: usize, fits: fn(u8) -> bool| client.get(at).is_none_or(|byte| fits(*byte));
    if !fits(0, |it| it == 3)
        || !fits(1, |it| it == 0)
        || !fits(5, |it| it == REQUEST)
        || !fits(6, |it| it == 0)
    {
        return Match::No;
    }
    let (Some(head), Some(after)) = (client.get(..TPKT + FIXED), client.get(TPKT + FIXED..)) else {
        return Match::More;
    };
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let indicated = usize::from(head[4]) + 1 + TPKT;
    if len != indicated || len < TPKT + FIXED {
        return Match::No;
    }
    let variable = len - TPKT - FIXED;
    if variable == 0 {
        // S7 and others have requests without anything too.
        return Match::when(seen.port == PORT, App::Rdp);
    }
    match cookie(after.get(..variable).unwrap_or(after)) {
        Some(is) => Match::when(is, App::Rdp),
        None => Match::More,
    }
}

/// `Cookie: mstshash=…`, a routing token, or what security is asked for.
fn cookie(after: &[u8]) -> Option<bool> {
    const COOKIE: &[u8] = b"Cookie: ";
    const TOKEN: &[u8] = b"tsv://";
    if after.first() == Some(&1) {
        // Type, flags, a length of 8.
        let mut left = Bytes(after);
        let (_kind, _flags, len) = (left.u8()?, left.u8()?, left.u16()?);
        return Some(len == 0x0800);
    }
    for word in [COOKIE, TOKEN] {
        if begins(after, word) {
            return if after.len() < word.len() {
                None
            } else {
                Some(true)
            };
        }
    }
    Some(false)
}

/// What a client's datagram is: SYN, with sizes of packets that can be.
pub(crate) fn datagram(bytes: &[u8], port: u16) -> Match {
    const SYN: u16 = 1;
    const ACK: u16 = 4;
    let mut left = Bytes(bytes);
    let mut syn = || {
        let (acknowledged, _window, flags) = (left.u32()?, left.u16()?, left.u16()?);
        let (_number, up, down) = (left.u32()?, left.u16()?, left.u16()?);
        let sizes = [up, down].iter().all(|size| (1_132..=1_232).contains(size));
        Some(acknowledged == u32::MAX && flags & (SYN | ACK) == SYN && sizes)
    };
    Match::when(port == PORT && syn() == Some(true), App::Rdp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses};

    #[test]
    fn requests_are_of_four_kinds() {
        let cookie =
            b"\x03\0\0\x2b\x26\xe0\0\0\0\0\0Cookie: mstshash=user\r\n\x01\0\x08\0\x03\0\0\0";
        for end in 0..19 {
            assert_eq!(of(&cookie[..end], b"", 3390), Match::More);
        }
        assert_eq!(of(&cookie[..19], b"", 3390), Match::yes(App::Rdp));
        let asked = b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0";
        assert_eq!(of(asked, b"", 3390), Match::yes(App::Rdp));
        let bare = b"\x03\0\0\x0b\x06\xe0\0\0\0\0\0";
        assert_eq!(of(bare, b"", 3389), Match::yes(App::Rdp));
        assert!(refuses(recognise, bare, b"", 102));
        let s7 = b"\x03\0\0\x16\x11\xe0\0\0\0\x01\0\xc0\x01\x0a\xc1\x02\x01\0\xc2\x02\x01\x02";
        assert!(refuses(recognise, s7, b"", 3389));
    }

    #[test]
    fn a_datagram_synchronises() {
        let mut syn = b"\xff\xff\xff\xff\x04\0\x12\x01\x75\xb3\xe4\x57\x04\xd0\x04\xd0".to_vec();
        syn.resize(1232, 0);
        assert_eq!(datagram(&syn, 3389), Match::yes(App::Rdp));
        assert_eq!(datagram(&syn, 3390), Match::No);
        syn[0] = 0;
        assert_eq!(datagram(&syn, 3389), Match::No);
    }
}
