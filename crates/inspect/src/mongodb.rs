//! MongoDB's wire protocol: a header of four numbers, then what its code says.

use crate::bytes::Bytes;
use crate::recognise::{Match, Seen};
use model::App;

/// The longest message that servers take.
const MAX_LEN: u32 = 48_000_000;

const UPDATE: u32 = 2001;
const INSERT: u32 = 2002;
const QUERY: u32 = 2004;
const DELETE: u32 = 2006;
const COMPRESSED: u32 = 2012;
const MSG: u32 = 2013;

pub(crate) fn recognise(seen: &Seen) -> Match {
    let client = seen.client;
    // A length in the order of bytes that others do not use, and no answer: 0 in the third number.
    let fits = |at: usize, fits: fn(u8) -> bool| client.get(at).is_none_or(|byte| fits(*byte));
    let answer = (8..12).all(|at| fits(at, |byte| byte == 0))
        || (8..12).all(|at| fits(at, |byte| byte == 0xff));
    if !fits(3, |high| high <= 2)
        || !answer
        || !fits(13, |code| code == 7)
        || !fits(14, |code| code == 0)
    {
        return Match::No;
    }
    let mut left = Bytes(client);
    let mut header = || {
        Some((
            left.u32_le()?,
            left.u32_le()?,
            left.u32_le()?,
            left.u32_le()?,
        ))
    };
    let Some((len, _request, _answer, code)) = header() else {
        return Match::More;
    };
    if !(21..=MAX_LEN).contains(&len) {
        return Match::No;
    }
    let is = match code {
        MSG => message(left),
        QUERY | INSERT | UPDATE | DELETE => collection(left),
        COMPRESSED => compressed(left),
        _ => Some(false),
    };
    match is {
        Some(is) => Match::when(is, App::MongoDb),
        None => Match::More,
    }
}

/// Flags, of which three are in use, and the kind of the first section.
fn message(mut left: Bytes) -> Option<bool> {
    let flags = left.u32_le()?;
    Some(flags & !0x0001_0003 == 0 && left.u8()? <= 1)
}

/// Flags, and the name of a collection: `admin.$cmd`.
fn collection(mut left: Bytes) -> Option<bool> {
    left.u32_le()?;
    let name = left.up_to(128);
    let end = name.iter().position(|byte| *byte == 0);
    let text = &name[..end.unwrap_or(name.len())];
    match end {
        _ if text.iter().any(|byte| *byte < b' ') => Some(false),
        Some(_) => Some(text.contains(&b'.')),
        None if name.len() == 128 => Some(false),
        None => None,
    }
}

/// The code and length of what is compressed, and how: not, snappy, zlib, zstd.
fn compressed(mut left: Bytes) -> Option<bool> {
    let (code, len, how) = (left.u32_le()?, left.u32_le()?, left.u8()?);
    Some((UPDATE..=MSG).contains(&code) && len <= MAX_LEN && how <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses};

    /// `hello`, as drivers send it: over OP_QUERY, and over OP_MSG.
    const QUERIED: &[u8] =
        b"\x3a\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0\0\0\0\0admin.$cmd\0\0\0\0\0\xff\xff\xff\xff";
    const SENT: &[u8] =
        b"\x3a\0\0\0\x02\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x25\0\0\0\x10hello\0\x01\0\0\0";

    #[test]
    fn it_does_not_depend_on_how_much_is_there() {
        for (bytes, enough) in [(QUERIED, 31), (SENT, 21)] {
            for end in 0..=bytes.len() {
                let expected = if end < enough {
                    Match::More
                } else {
                    Match::yes(App::MongoDb)
                };
                assert_eq!(of(&bytes[..end], b"", 27018), expected, "{end}");
            }
        }
    }

    #[test]
    fn other_numbers_are_not_it() {
        for (at, byte) in [
            (3, 3),
            (8, 1),
            (12, 0xd0),
            (13, 8),
            (0, 20),
            (16, 4),
            (20, 2),
        ] {
            let mut bytes = SENT.to_vec();
            bytes[at] = byte;
            assert!(refuses(recognise, &bytes, b"", 27017), "{at}");
        }
    }
}
