//! Memcached: its text protocol, over UDP too, and the binary one.

use crate::bytes::Bytes;
use crate::dialogue::first_word;
use crate::recognise::{Match, Seen, begins, lines, word};
use model::App;

pub(crate) const PORT: u16 = 11_211;

/// The longest line: that of a `gets` with many keys is cut.
const MAX_LINE: usize = 2_048;

const COMMANDS: [&str; 23] = [
    "get",
    "gets",
    "gat",
    "gats",
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "delete",
    "incr",
    "decr",
    "touch",
    "stats",
    "version",
    "flush_all",
    "verbosity",
    "mg",
    "ms",
    "md",
    "ma",
    "mn",
];

/// What a server answers with.
const ANSWERS: [&str; 18] = [
    "VALUE ",
    "END",
    "STORED",
    "NOT_STORED",
    "EXISTS",
    "NOT_FOUND",
    "DELETED",
    "TOUCHED",
    "OK",
    "STAT ",
    "VERSION ",
    "ERROR",
    "CLIENT_ERROR",
    "SERVER_ERROR",
    "HD",
    "VA ",
    "EN",
    "MN",
];

pub(crate) fn recognise(seen: &Seen) -> Match {
    match seen.client {
        [] => Match::More,
        [0x80, ..] => binary(seen.client),
        _ => text(seen),
    }
}

fn text(seen: &Seen) -> Match {
    match first_word(seen.client, &COMMANDS) {
        Some(false) => return Match::No,
        None => return Match::More,
        Some(true) => {}
    }
    match lines(seen.client).next() {
        None if seen.client.len() > MAX_LINE => return Match::No,
        None => return Match::More,
        Some((line, next)) if next > MAX_LINE + 1 || !is_command(line) => return Match::No,
        Some(_) if seen.port == PORT => return Match::yes(App::Memcache),
        Some(_) => {}
    }
    // Elsewhere the answer has to fit too.
    let mut may = false;
    for answer in ANSWERS {
        match begins(seen.server, answer.as_bytes()) {
            true if seen.server.len() >= answer.len() => return Match::yes(App::Memcache),
            fits => may |= fits,
        }
    }
    let number = seen.server.iter().position(|byte| !byte.is_ascii_digit());
    match number {
        Some(1..=20) if seen.server[number.unwrap_or(0)] == b'\r' => Match::yes(App::Memcache),
        None if seen.server.len() <= 20 => Match::More,
        _ if may => Match::More,
        _ => Match::No,
    }
}

/// Whether a line has what its command needs.
fn is_command(line: &[u8]) -> bool {
    let (command, rest) = word(line);
    let arguments: Vec<_> = rest
        .split(|byte| *byte == b' ')
        .filter(|it| !it.is_empty())
        .collect();
    let number = |at: usize| {
        let digits = arguments
            .get(at)
            .is_some_and(|it| it.iter().all(u8::is_ascii_digit));
        digits && arguments[at].len() <= 20
    };
    let key = arguments
        .first()
        .is_some_and(|key| key.len() <= 250 && key.iter().all(|byte| *byte > b' '));
    match command {
        // In small letters only.
        _ if command.iter().any(u8::is_ascii_uppercase) => false,
        b"stats" | b"version" | b"flush_all" | b"verbosity" | b"mn" => arguments.len() <= 2,
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => {
            key && number(1) && number(3)
        }
        b"incr" | b"decr" | b"touch" => key && number(1),
        b"gat" | b"gats" => number(0) && arguments.len() >= 2,
        _ => key,
    }
}

/// A request's header: which operation, and lengths that fit into each other.
fn binary(client: &[u8]) -> Match {
    let mut left = Bytes(client);
    let mut header = || {
        let (_magic, operation, key) = (left.u8()?, left.u8()?, left.u16()?);
        let (extras, kind, _bucket, body) = (left.u8()?, left.u8()?, left.u16()?, left.u32()?);
        let fits = u32::from(key) + u32::from(extras) <= body;
        Some(
            operation <= 0x22 && key <= 250 && extras <= 20 && kind == 0 && fits && body <= 1 << 20,
        )
    };
    let is = header();
    let sane = |at: usize, most: u8| client.get(at).is_none_or(|byte| *byte <= most);
    match is {
        Some(is) => Match::when(is, App::Memcache),
        None if sane(1, 0x22) && sane(2, 0) && sane(4, 20) && sane(5, 0) => Match::More,
        None => Match::No,
    }
}

/// What a client's datagram is: eight bytes that number it, then text.
pub(crate) fn datagram(bytes: &[u8], port: u16) -> Match {
    let Some(([_, _, 0, 0, 0, 1, 0, 0], client)) = bytes.split_first_chunk() else {
        return Match::No;
    };
    if port != PORT {
        return Match::No;
    }
    let seen = Seen {
        client,
        server: &[],
        port,
        closed: true,
    };
    text(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses};

    #[test]
    fn a_command_is_enough_at_its_own_port() {
        assert_eq!(of(b"get key", b"", PORT), Match::More);
        assert_eq!(of(b"get key\r\n", b"", PORT), Match::yes(App::Memcache));
        assert_eq!(
            of(b"set k 0 60 5\r\nhello\r\n", b"", PORT),
            Match::yes(App::Memcache)
        );
        for other in [
            &b"get\r\n"[..],
            b"set k x\r\n",
            b"GET k\r\n",
            b"hi\r\n",
            b"stats a b c\r\n",
        ] {
            assert!(refuses(recognise, other, b"", PORT));
        }
    }

    #[test]
    fn elsewhere_the_answer_has_to_fit() {
        assert_eq!(of(b"stats\r\n", b"", 1111), Match::More);
        assert_eq!(of(b"stats\r\n", b"ST", 1111), Match::More);
        assert_eq!(
            of(b"stats\r\n", b"STAT pid 1\r\n", 1111),
            Match::yes(App::Memcache)
        );
        assert_eq!(
            of(b"incr k 1\r\n", b"42\r\n", 1111),
            Match::yes(App::Memcache)
        );
        assert!(refuses(recognise, b"stats\r\n", b"+OK\r\n", 1111));
    }

    #[test]
    fn the_binary_protocol_has_a_header() {
        let get = b"\x80\0\0\x05\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0Hello";
        for end in 1..12 {
            assert_eq!(of(&get[..end], b"", 1111), Match::More);
        }
        assert_eq!(of(get, b"", 1111), Match::yes(App::Memcache));
        assert!(refuses(
            recognise,
            b"\x80\0\0\x05\0\0\0\0\0\0\0\x04",
            b"",
            1111
        ));
    }

    #[test]
    fn datagrams_are_numbered() {
        assert_eq!(
            datagram(b"\0\x01\0\0\0\x01\0\0stats\r\n", PORT),
            Match::yes(App::Memcache)
        );
        assert_eq!(
            datagram(b"\0\x01\0\0\0\x01\0\0nothing\r\n", PORT),
            Match::No
        );
        assert_eq!(datagram(b"stats\r\n", PORT), Match::No);
    }
}
