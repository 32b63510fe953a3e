//! Packets with a long header (RFC 9000, section 17.2), and the frames in them.

use super::version::{Kind, Version};
use crate::bytes::Bytes;

/// The longest connection id.
const MAX_ID: usize = 20;

/// A packet as it is on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongHeader<'a> {
    pub version: Version,
    pub initial: bool,
    pub destination: &'a [u8],
    /// All of it.
    pub packet: &'a [u8],
    /// Where its number begins.
    pub number_at: usize,
    /// What follows it in the datagram.
    pub rest: &'a [u8],
}

impl<'a> LongHeader<'a> {
    /// Reads the packet that bytes begin with.
    pub fn parse(bytes: &'a [u8]) -> Option<LongHeader<'a>> {
        let mut left = Bytes(bytes);
        let first = left.u8()?;
        let version = Version::encrypted(left.u32()?)?;
        let destination = left.vec8().filter(|id| id.len() <= MAX_ID)?;
        let _source = left.vec8().filter(|id| id.len() <= MAX_ID)?;
        let kind = version.kind(first);
        if first & 0x80 == 0 || kind == Kind::Retry {
            return None;
        }
        if kind == Kind::Initial {
            let token = left.varint()?;
            left.take(usize::try_from(token).ok()?)?;
        }
        let len = usize::try_from(left.varint()?).ok()?;
        let number_at = bytes.len() - left.0.len();
        left.take(len)?;
        let (packet, rest) = bytes.split_at(number_at + len);
        Some(LongHeader {
            version,
            initial: kind == Kind::Initial,
            destination,
            packet,
            number_at,
            rest,
        })
    }
}

/// The CRYPTO frames in a packet: their offset and data. `None` is a frame that has no place in an Initial packet, or
/// cannot be read: it is the last.
pub(super) fn crypto_frames(
    version: Version,
    plain: &[u8],
) -> impl Iterator<Item = Option<(u64, &[u8])>> {
    let mut left = Bytes(plain);
    std::iter::from_fn(move || {
        while !left.0.is_empty() {
            match frame(version, &mut left, plain) {
                Some(None) => {}
                Some(found) => return Some(found),
                None => {
                    left.0 = &[];
                    return Some(None);
                }
            }
        }
        None
    })
}

/// The next frame, if it is one of CRYPTO.
fn frame<'a>(
    version: Version,
    left: &mut Bytes<'a>,
    plain: &[u8],
) -> Option<Option<(u64, &'a [u8])>> {
    match left.u8()? {
        // PADDING, PING.
        0 | 1 => {}
        2 | 3 if version.crypto_frame() == 6 => acknowledgement(left, plain)?,
        kind if kind == version.crypto_frame() => {
            let (offset, len) = (left.varint()?, left.varint()?);
            let data = left.take(usize::try_from(len).ok()?)?;
            return Some(Some((offset, data)));
        }
        // CONNECTION_CLOSE (section 19.19).
        0x1c if version.crypto_frame() == 6 => {
            let (_code, _frame, len) = (left.varint()?, left.varint()?, left.varint()?);
            left.take(usize::try_from(len).ok()?)?;
        }
        _ => return None,
    }
    Some(None)
}

/// Passes over an ACK frame (RFC 9000, section 19.3).
fn acknowledgement(left: &mut Bytes, plain: &[u8]) -> Option<()> {
    let at = plain.len() - left.0.len();
    let counts = plain.get(at.checked_sub(1)?) == Some(&3);
    let (_largest, _delay, ranges, _first) = (
        left.varint()?,
        left.varint()?,
        left.varint()?,
        left.varint()?,
    );
    let numbers = ranges
        .checked_mul(2)?
        .checked_add(if counts { 3 } else { 0 })?;
    for _ in 0..numbers {
        left.varint()?;
    }
    Some(())
}
