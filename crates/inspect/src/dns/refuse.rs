//! Answers that hold nothing.

use super::message::{Header, MAX_OPCODE, has_opt, question};
use crate::bytes::Bytes;

const REFUSED: u16 = 5;

/// An OPT record without options (RFC 6891, section 6.1.2): answers of up to 1,232 bytes are taken.
const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];

/// An answer to a query: REFUSED, or `empty`: no error and no record. None, if it is no query that can be answered.
///
/// Of TCP give and take messages without the length before them.
pub fn refuse(query: &[u8], empty: bool) -> Option<Vec<u8>> {
    let mut left = Bytes(query);
    let header = Header::read(&mut left)?;
    if header.response() || header.opcode() > MAX_OPCODE || header.questions != 1 {
        return None;
    }
    let (name, ..) = question(&mut left, query)?;
    let asked = query.get(Header::LEN..query.len() - left.0.len())?;
    // There is nothing before a question that its name could point to.
    let plain = if name.is_empty() { 1 } else { name.len() + 2 };
    if asked.len() != plain + 4 {
        return None;
    }
    let opt = has_opt(header, &mut left, query);
    let code = if empty { 0 } else { REFUSED };
    // An answer, of the same opcode, recursion desired as it was, available, checking disabled as it was.
    let flags = 0x8080 | (header.flags & 0x7910) | code;
    let mut answer = Vec::with_capacity(query.len());
    for field in [header.id, flags, 1, 0, 0, opt.into()] {
        answer.extend_from_slice(&field.to_be_bytes());
    }
    answer.extend_from_slice(asked);
    if opt {
        answer.extend_from_slice(&OPT);
    }
    Some(answer)
}
