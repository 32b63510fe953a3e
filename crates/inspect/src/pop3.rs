//! POP3 (RFC 1939), and STLS in it (RFC 2595).

use crate::dialogue::{Dialogue, Step, first_word, greets};
use crate::recognise::{Match, Seen, among, word};
use crate::redis;
use model::App;

const PORT: u16 = 110;

const COMMANDS: [&str; 12] = [
    "USER", "PASS", "APOP", "AUTH", "CAPA", "STLS", "QUIT", "STAT", "NOOP", "LIST", "UIDL", "XTND",
];

const POP3: Dialogue = Dialogue {
    plain: App::Pop3,
    secure: App::Pops,
    step,
};

fn step(line: &[u8]) -> Step {
    let (command, arguments) = word(line);
    match () {
        _ if among(command, &["STLS"]) => Step::StartTls,
        // Without arguments it asks what there is.
        _ if among(command, &["CAPA", "NOOP"]) => Step::On,
        _ if among(command, &["AUTH"]) && arguments.trim_ascii().is_empty() => Step::On,
        _ if among(command, &COMMANDS) => Step::Settled,
        _ => Step::Foreign,
    }
}

pub(crate) fn recognise(seen: &Seen) -> Match {
    if seen.client.is_empty() {
        return match seen.closed {
            true => Match::when(
                seen.server.starts_with(b"+OK") && seen.port != redis::PORT,
                App::Pop3,
            ),
            false => Match::More,
        };
    }
    match first_word(seen.client, &COMMANDS) {
        Some(false) => Match::No,
        // There one logs in with AUTH too, and the answer is +OK too.
        Some(true) if seen.port == redis::PORT => Match::No,
        None => Match::More,
        Some(true) => match greets(seen.server, b"+OK") {
            Some(true) => POP3.follow(seen.client, seen.closed),
            Some(false) => Match::No,
            None if seen.closed && seen.server.is_empty() && seen.port == PORT => {
                POP3.follow(seen.client, seen.closed)
            }
            None => Match::More,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{client_hello, of, refuses, server_only, yes};

    #[test]
    fn stls_turns_it_into_tls() {
        let client = [
            &b"AUTH\r\nCAPA\r\nSTLS\r\n"[..],
            &client_hello("pop.example.com"),
        ]
        .concat();
        assert_eq!(of(&client[..6], b"+OK\r\n", 110), Match::App(App::Pop3));
        assert_eq!(of(&client[..18], b"+OK\r\n", 110), Match::App(App::Pop3));
        assert_eq!(of(&client, b"", 110), Match::More);
        let identity = yes(of(&client, b"+OK ready\r\n-ERR\r\n", 110));
        assert_eq!(identity.app, App::Pops);
        assert_eq!(identity.domain.as_deref(), Some("pop.example.com"));
    }

    #[test]
    fn logging_in_keeps_it_in_the_clear() {
        assert_eq!(of(b"user x\r\n", b"+OK\r\n", 1100), Match::yes(App::Pop3));
        assert_eq!(
            of(b"AUTH PLAIN x\r\n", b"+OK\r\n", 110),
            Match::yes(App::Pop3)
        );
        assert!(refuses(recognise, b"USER x\r\n", b"220 ftp\r\n", 110));
        assert!(refuses(recognise, b"AUTH x\r\n", b"+OK\r\n", 6379));
        assert_eq!(
            server_only(b"+OK <1896.697@a.example>\r\n", 110),
            Match::yes(App::Pop3)
        );
    }
}
