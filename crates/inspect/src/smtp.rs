//! SMTP (RFC 5321), and STARTTLS in it (RFC 3207).

use crate::dialogue::{Dialogue, Step, first_word, greeting_says, greets};
use crate::recognise::{Match, Seen, among, word};
use model::App;

const PORTS: [u16; 4] = [25, 465, 587, 2525];

/// No other protocol has these.
const HELLO: [&str; 2] = ["EHLO", "HELO"];
const OTHERS: [&str; 9] = [
    "STARTTLS", "MAIL", "AUTH", "RSET", "NOOP", "QUIT", "HELP", "VRFY", "EXPN",
];

const SMTP: Dialogue = Dialogue {
    plain: App::Smtp,
    secure: App::Smtps,
    step,
};

fn step(line: &[u8]) -> Step {
    let (command, _) = word(line);
    match () {
        _ if among(command, &["STARTTLS"]) => Step::StartTls,
        _ if among(command, &["MAIL", "AUTH", "QUIT", "VRFY", "EXPN"]) => Step::Settled,
        _ if among(command, &HELLO) || among(command, &OTHERS) => Step::On,
        _ => Step::Foreign,
    }
}

pub(crate) fn recognise(seen: &Seen) -> Match {
    if seen.client.is_empty() {
        let greeting = greets(seen.server, b"220") == Some(true)
            && (greeting_says(seen.server, "SMTP") == Some(true) || PORTS.contains(&seen.port));
        return match seen.closed {
            true => Match::when(greeting, App::Smtp),
            false => Match::More,
        };
    }
    match (
        first_word(seen.client, &HELLO),
        first_word(seen.client, &OTHERS),
    ) {
        (Some(true), _) => SMTP.follow(seen.client, seen.closed),
        // Others have these commands too.
        (_, Some(true)) => match greets(seen.server, b"220") {
            None if seen.closed && seen.server.is_empty() && PORTS.contains(&seen.port) => {
                SMTP.follow(seen.client, seen.closed)
            }
            None => Match::More,
            Some(false) => Match::No,
            Some(true) => match greeting_says(seen.server, "SMTP") {
                None => Match::More,
                Some(says) if says || PORTS.contains(&seen.port) => {
                    SMTP.follow(seen.client, seen.closed)
                }
                Some(_) => Match::No,
            },
        },
        (None, _) | (_, None) => Match::More,
        (Some(false), Some(false)) => Match::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses, server_only, yes};

    const GREETING: &[u8] = b"220 mx.example.com ESMTP\r\n";

    #[test]
    fn it_is_smtp_until_it_turns_into_tls() {
        let hello = crate::testing::client_hello("mx.example.com");
        let start = b"EHLO a.example\r\nSTARTTLS\r\n";
        assert_eq!(of(b"EH", GREETING, 25), Match::More);
        assert_eq!(
            of(b"EHLO a.example\r\n", GREETING, 25),
            Match::App(App::Smtp)
        );
        assert_eq!(of(start, GREETING, 25), Match::App(App::Smtp));
        let bytes = [&start[..], &hello].concat();
        assert_eq!(
            of(&bytes[..bytes.len() - 1], b"", 25),
            Match::App(App::Smtps)
        );
        let identity = yes(of(&bytes, GREETING, 25));
        assert_eq!(identity.app, App::Smtps);
        assert_eq!(identity.domain.as_deref(), Some("mx.example.com"));
    }

    #[test]
    fn it_stays_smtp_if_the_server_refuses_or_the_client_goes_on() {
        for client in [
            &b"EHLO a\r\nMAIL FROM:<a@a.example>\r\n"[..],
            b"EHLO a\r\nSTARTTLS\r\nMAIL FROM:<a@a.example>\r\n",
            b"helo a\r\nauth plain xyz\r\n",
        ] {
            assert_eq!(of(client, b"", 25), Match::yes(App::Smtp));
        }
    }

    #[test]
    fn commands_that_others_have_too_need_the_greeting() {
        assert_eq!(of(b"QUIT\r\n", b"", 25), Match::More);
        assert_eq!(of(b"QUIT\r\n", GREETING, 2500), Match::yes(App::Smtp));
        assert!(refuses(recognise, b"QUIT\r\n", b"220 ftp\r\n", 2500));
        assert!(refuses(recognise, b"QUIT\r\n", b"+OK\r\n", 25));
        assert!(refuses(recognise, b"GET / HTTP/1.1\r\n", GREETING, 25));
        assert_eq!(server_only(GREETING, 26), Match::yes(App::Smtp));
    }
}
