//! Redis (RESP): the client sends arrays of strings, or plain words to its own port.

use crate::dialogue::first_word;
use crate::recognise::{Match, Seen, lines};
use model::App;

pub(crate) const PORT: u16 = 6379;

const WORDS: [&str; 12] = [
    "PING", "INFO", "AUTH", "QUIT", "GET", "SET", "KEYS", "SELECT", "HELLO", "COMMAND", "MONITOR",
    "CONFIG",
];

pub(crate) fn recognise(seen: &Seen) -> Match {
    match seen.client {
        [] => Match::More,
        [b'*', ..] => array(seen.client),
        _ if seen.port == PORT => match first_word(seen.client, &WORDS) {
            Some(true) => match seen.server.first() {
                Some(first) => Match::when(b"+-:$*%".contains(first), App::Redis),
                None if seen.closed => Match::yes(App::Redis),
                None => Match::More,
            },
            Some(false) => Match::No,
            None => Match::More,
        },
        _ => Match::No,
    }
}

/// `*2`, `$4`: how many strings, how long the first is.
fn array(client: &[u8]) -> Match {
    let mut lines = lines(client);
    let mut start = 0;
    for mark in [b'*', b'$'] {
        let line = lines.next();
        let text = match line {
            Some((line, _)) => line,
            None => {
                let rest = &client[start..];
                rest.strip_suffix(b"\r").unwrap_or(rest)
            }
        };
        let digits = text.get(1..).unwrap_or_default();
        let fits = text.first().is_none_or(|first| *first == mark)
            && digits.len() <= 9
            && digits.iter().all(u8::is_ascii_digit);
        match line {
            _ if !fits => return Match::No,
            None => return Match::More,
            Some(_) if digits.is_empty() => return Match::No,
            Some((_, next)) => start = next,
        }
    }
    Match::yes(App::Redis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses};

    #[test]
    fn arrays_tell() {
        let ping = b"*1\r\n$4\r\nPING\r\n";
        for end in 0..8 {
            assert_eq!(of(&ping[..end], b"", 6380), Match::More, "{end}");
        }
        assert_eq!(of(&ping[..8], b"", 6380), Match::yes(App::Redis));
        for other in [
            &b"*x\r\n"[..],
            b"*1\r\n+OK\r\n",
            b"*\r\n",
            b"*1234567890",
            b"* OK IMAP",
        ] {
            assert!(refuses(recognise, other, b"", 6379));
        }
    }

    #[test]
    fn words_tell_at_its_own_port() {
        assert_eq!(of(b"PING\r\n", b"+PONG\r\n", 6379), Match::yes(App::Redis));
        assert_eq!(of(b"PING\r\n", b"", 6379), Match::More);
        assert!(refuses(recognise, b"PING\r\n", b"+PONG\r\n", 6380));
        assert_eq!(of(b"AUTH x\r\n", b"+OK\r\n", 6379), Match::yes(App::Redis));
    }
}
