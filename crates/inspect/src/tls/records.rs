//! Records, and the handshake messages in them.

use crate::bytes::Bytes;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// The most bytes in a record: more than the 16,384 of plain text, by what encryption and compression may add.
const MAX_RECORD: u16 = 16_384 + 2_048;

/// The longest handshake message that is taken for one.
const MAX_MESSAGE: u32 = 256 * 1024;

/// A record, or as much of it as is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub kind: u8,
    pub payload: &'a [u8],
}

/// A record's type and length, if this is the head of one.
fn head(left: &mut Bytes) -> Option<(u8, u16)> {
    let (kind, version, len) = (left.u8()?, left.u16()?, left.u16()?);
    let fits = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind)
        && (0x0300..=0x0304).contains(&version)
        && (1..=MAX_RECORD).contains(&len);
    fits.then_some((kind, len))
}

/// The records that bytes begin with; the last may be cut.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut left = Bytes(bytes);
    std::iter::from_fn(move || {
        let (kind, len) = head(&mut left)?;
        let payload = left.up_to(len.into());
        Some(Record { kind, payload })
    })
}

/// Whether bytes begin with a record of this type, or the first bytes of one.
pub(super) fn begins_record(bytes: &[u8], kind: u8) -> bool {
    let mut left = Bytes(bytes);
    let fits = bytes.iter().zip([kind, 3]).all(|(byte, it)| *byte == it);
    fits && (bytes.len() < 5 || head(&mut left).is_some())
}

/// Whether bytes from the middle of a stream are records, one after the other, up to their end or into another.
/// None: more bytes will tell.
pub(crate) fn midstream(bytes: &[u8], closed: bool) -> Option<bool> {
    if bytes.len() < 5 {
        return if closed { Some(false) } else { None };
    }
    let Some((kind, len)) = head(&mut Bytes(bytes)) else {
        return Some(false);
    };
    // Alerts are short, also encrypted ones; of a handshake the first messages are plain, the last is not.
    let fits = match kind {
        CHANGE_CIPHER_SPEC => len == 1,
        ALERT => len <= 256,
        _ => true,
    };
    let next = 5 + usize::from(len);
    match bytes.get(next..) {
        _ if !fits => Some(false),
        None if closed => Some(kind == HANDSHAKE || kind == APPLICATION_DATA),
        None => None,
        Some([]) => Some(true),
        Some(rest) if rest.len() < 5 => Some(begins_record(rest, rest[0])),
        Some(rest) => Some(head(&mut Bytes(rest)).is_some()),
    }
}

/// A handshake message at the beginning of a stream.
pub(super) enum Handshake {
    /// It is none, or not this one.
    No,
    /// Too little to tell.
    More,
    /// It begins so.
    Part(Vec<u8>),
    /// Its body.
    Whole(Vec<u8>),
}

/// The first handshake message, that may be in several records.
pub(super) fn handshake(bytes: &[u8], kind: u8) -> Handshake {
    if !begins_record(bytes, HANDSHAKE) {
        return Handshake::No;
    }
    if bytes.len() < 6 {
        return Handshake::More;
    }
    let message = message_bytes(bytes);
    let mut left = Bytes(&message);
    if left.u8() != Some(kind) {
        return Handshake::No;
    }
    match left.u24() {
        None => Handshake::Part(Vec::new()),
        Some(len) if len > MAX_MESSAGE => Handshake::No,
        Some(len) => match left.take(len as usize) {
            Some(body) => Handshake::Whole(body.to_vec()),
            None => Handshake::Part(left.0.to_vec()),
        },
    }
}

/// What is in the handshake records that a stream begins with.
pub(super) fn message_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for record in records(bytes).take_while(|record| record.kind == HANDSHAKE) {
        message.extend_from_slice(record.payload);
    }
    message
}
