//! IMAP (RFC 9051), and STARTTLS in it.

use crate::dialogue::{Dialogue, MAX_LINE, Step, greets};
use crate::recognise::{Match, Seen, among, lines, word};
use model::App;

/// The longest tag of a command.
const MAX_TAG: usize = 32;

/// With these it may turn into TLS still.
const BEFORE: [&str; 4] = ["CAPABILITY", "ID", "NOOP", "ENABLE"];
const OTHERS: [&str; 8] = [
    "LOGIN",
    "AUTHENTICATE",
    "LOGOUT",
    "SELECT",
    "EXAMINE",
    "LIST",
    "STATUS",
    "IDLE",
];

const IMAP: Dialogue = Dialogue {
    plain: App::Imap,
    secure: App::Imaps,
    step,
};

fn step(line: &[u8]) -> Step {
    let (tag, rest) = word(line);
    let (command, _) = word(rest);
    match () {
        _ if !is_tag(tag) => Step::Foreign,
        _ if among(command, &["STARTTLS"]) => Step::StartTls,
        _ if among(command, &BEFORE) => Step::On,
        _ if among(command, &OTHERS) => Step::Settled,
        _ => Step::Foreign,
    }
}

fn is_tag(tag: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_$#".contains(byte);
    (1..=MAX_TAG).contains(&tag.len()) && tag.iter().all(fits)
}

pub(crate) fn recognise(seen: &Seen) -> Match {
    let greeted = greets(seen.server, b"* ");
    if seen.client.is_empty() {
        let says = |word: &str| {
            seen.server
                .get(2..)
                .is_some_and(|it| it.starts_with(word.as_bytes()))
        };
        return match seen.closed {
            true => Match::when(
                greeted == Some(true) && (says("OK") || says("PREAUTH")),
                App::Imap,
            ),
            false => Match::More,
        };
    }
    match may_begin(seen.client) {
        Some(false) => return Match::No,
        None => return Match::More,
        Some(true) => {}
    }
    match greeted {
        Some(false) => Match::No,
        None if !(seen.closed && seen.server.is_empty()) => Match::More,
        _ => IMAP.follow(seen.client, seen.closed),
    }
}

/// Whether the first line is a command; None, if it may become one.
fn may_begin(client: &[u8]) -> Option<bool> {
    match lines(client).next() {
        Some((line, next)) => Some(next <= MAX_LINE + 1 && step(line) != Step::Foreign),
        None => {
            let (tag, _) = word(client);
            if is_tag(tag) && client.len() <= MAX_LINE {
                None
            } else {
                Some(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{client_hello, of, refuses, server_only, yes};

    const GREETING: &[u8] = b"* OK IMAP4rev1 ready\r\n";

    #[test]
    fn starttls_turns_it_into_tls() {
        let start = b"a1 CAPABILITY\r\na2 STARTTLS\r\n";
        assert_eq!(of(&start[..5], GREETING, 143), Match::More);
        assert_eq!(of(start, GREETING, 143), Match::App(App::Imap));
        let identity = yes(of(
            &[&start[..], &client_hello("imap.example.com")].concat(),
            GREETING,
            143,
        ));
        assert_eq!(identity.app, App::Imaps);
        assert_eq!(identity.domain.as_deref(), Some("imap.example.com"));
    }

    #[test]
    fn logging_in_keeps_it_in_the_clear() {
        assert_eq!(
            of(b"a1 login x y\r\n", GREETING, 143),
            Match::yes(App::Imap)
        );
        assert_eq!(of(b"a1 login x y\r\n", b"", 143), Match::More);
        assert!(refuses(recognise, b"a1 login x y\r\n", b"220 x\r\n", 143));
        assert!(refuses(recognise, b"GET / HTTP/1.1\r\n", GREETING, 143));
        assert_eq!(server_only(GREETING, 143), Match::yes(App::Imap));
    }
}
