//! MySQL: the server greets with its version, the client answers with what it can.

use crate::recognise::{Match, Seen};
use model::App;

/// The longest version text that is taken for one.
const MAX_VERSION: usize = 128;

pub(crate) fn recognise(seen: &Seen) -> Match {
    match seen.client {
        [] if !seen.closed => return Match::More,
        [] => {}
        // The length of a login is less than 64 KiB; its number in the exchange is 1.
        [_, _, high, ..] if *high != 0 => return Match::No,
        [low, high, _, number, ..] if *number != 1 || (*low, *high) < (4, 0) && *high == 0 => {
            return Match::No;
        }
        _ => {}
    }
    match greeting(seen.server) {
        Some(false) => Match::No,
        Some(true) if seen.client.len() >= 4 || seen.closed => Match::yes(App::MySql),
        _ => Match::More,
    }
}

/// Whether it is a greeting: a packet numbered 0, the protocol's version 10 (or 9), the server's; or an error.
fn greeting(server: &[u8]) -> Option<bool> {
    let fits = |at: usize, fits: fn(u8) -> bool| server.get(at).is_none_or(|byte| fits(*byte));
    if !fits(2, |high| high == 0)
        || !fits(3, |number| number == 0)
        || !fits(4, |it| matches!(it, 9 | 10 | 0xff))
    {
        return Some(false);
    }
    let (head, body) = server.split_at_checked(5)?;
    let len = usize::from(u16::from_le_bytes([head[0], head[1]]));
    if head[4] == 0xff {
        // A number and a text: `Host … is not allowed to connect`.
        let whole = body.get(..len.saturating_sub(1))?;
        return Some(len > 3 && whole[2..].iter().all(|byte| (b' '..0x7f).contains(byte)));
    }
    let version = &body[..body.len().min(MAX_VERSION)];
    let end = version.iter().position(|byte| *byte == 0);
    let text = &version[..end.unwrap_or(version.len())];
    let shown = text.iter().all(|byte| (b' '..0x7f).contains(byte));
    match end {
        _ if !shown => Some(false),
        // Such as 8.4.3, 5.5.5-10.6.12-MariaDB.
        Some(end) => Some(text.first().is_some_and(u8::is_ascii_digit) && len > end + 12),
        None if version.len() == MAX_VERSION => Some(false),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses, server_only};

    const GREETING: &[u8] = b"\x4a\0\0\0\x0a8.4.3\0\x0b\0\0\0\x12\x52\x36\x5e\x3c\x43\x7b\x1e\0\xff\xff\xff\x02\0\xff\xdf\x15";
    const LOGIN: &[u8] = b"\xb6\0\0\x01\x8d\xa2\xbf\x09\0\0\0\x01\xff\0";

    #[test]
    fn greeting_and_login_tell() {
        assert_eq!(of(LOGIN, GREETING, 3307), Match::yes(App::MySql));
        assert_eq!(of(&LOGIN[..3], GREETING, 3307), Match::More);
        assert_eq!(of(LOGIN, &GREETING[..9], 3307), Match::More);
        assert!(refuses(recognise, LOGIN, b"\x4a\0\0\0\x0b", 3307));
        assert!(refuses(recognise, b"\xb6\0\0\x02", GREETING, 3307));
        assert_eq!(server_only(GREETING, 3307), Match::yes(App::MySql));
        let error = b"\x1a\0\0\0\xff\x69\x04Host 'a' is not allowed";
        assert_eq!(server_only(error, 3306), Match::yes(App::MySql));
    }
}
