//! Google's QUIC before TLS: the CHLO message, and packets that carry it in the clear.

use super::version::Version;
use crate::bytes::Bytes;
use crate::name::Host;

/// How far behind the header a CHLO begins at most: behind a hash, flags, an acknowledgement, the head of a frame.
const MAX_BEFORE: usize = 64;

/// The most tags that a message has.
const MAX_TAGS: usize = 128;

/// A packet with a CHLO in the clear: its version and where the message begins.
pub(super) fn plain(datagram: &[u8]) -> Option<(Version, &[u8])> {
    let mut left = Bytes(datagram);
    let first = left.u8()?;
    let version = if first & 0x80 != 0 {
        let version = Version::plain(left.u32()?).filter(|version| version.is_long())?;
        // The lengths of two connection ids, less three each.
        let lens = left.u8()?;
        for len in [lens >> 4, lens & 15] {
            left.take(if len == 0 { 0 } else { usize::from(len) + 3 })?;
        }
        version
    } else {
        // The public header: a version, a connection id of 8 bytes.
        if first & 0x01 == 0 || first & 0x08 == 0 {
            return None;
        }
        left.take(8)?;
        Version::plain(left.u32()?).filter(|version| !version.is_long())?
    };
    let near = left.0.get(..MAX_BEFORE + 4).unwrap_or(left.0);
    let at = near.windows(4).position(|tag| tag == b"CHLO")?;
    Some((version, &left.0[at..]))
}

/// Whether a server's datagram is one of a connection of such a version, and not one that knows of none.
pub(super) fn is_answer(version: Version, datagram: &[u8]) -> bool {
    let mut left = Bytes(datagram);
    let Some(first) = left.u8() else {
        return false;
    };
    if version.is_long() {
        let other = left.u32().and_then(Version::plain);
        return first & 0x80 != 0 && other == Some(version);
    }
    // Neither a list of versions nor a reset, nor a packet of later versions.
    first & 0xc3 == 0
}

/// The server name in a CHLO, once it is there; an empty one, if it has none.
pub(super) fn server_name(message: &[u8]) -> Option<Host> {
    let mut left = Bytes(message);
    if left.take(4)? != b"CHLO" {
        return None;
    }
    let count = usize::from(left.u16()?.swap_bytes());
    left.u16()?;
    if count > MAX_TAGS {
        return Some(Host::default());
    }
    let mut tags = Bytes(left.take(8 * count)?);
    let mut start = 0;
    for _ in 0..count {
        let (tag, end) = (tags.take(4)?, tags.u32_le()? as usize);
        if tag == b"SNI\0" {
            return match end.checked_sub(start) {
                Some(_) => left.0.get(start..end).map(Host::name),
                None => Some(Host::default()),
            };
        }
        start = end;
    }
    Some(Host::default())
}
