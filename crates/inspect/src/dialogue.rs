//! Protocols of lines that may turn into TLS: SMTP, POP3, IMAP.

use crate::recognise::{Match, among, lines, word};
use crate::tls::{self, Client};
use model::App;

/// The longest line of a command.
pub(crate) const MAX_LINE: usize = 1_024;

/// What a client's line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is no command.
    Foreign,
    /// It may turn into TLS still.
    On,
    /// It stays in the clear.
    Settled,
    /// TLS comes next, if the server agrees.
    StartTls,
}

/// A protocol of lines.
pub(crate) struct Dialogue {
    /// What it is called in the clear.
    pub plain: App,
    /// What it is called once it has turned into TLS.
    pub secure: App,
    /// What a line of the client says.
    pub step: fn(&[u8]) -> Step,
}

impl Dialogue {
    /// Follows a client's lines; the first has to be a command.
    pub fn follow(&self, client: &[u8], closed: bool) -> Match {
        let mut known = false;
        let (mut start, mut rest) = (0, client);
        for (line, next) in lines(client) {
            let long = next - start > MAX_LINE + 1;
            (start, rest) = (next, &client[next..]);
            match (self.step)(line) {
                _ if long => {
                    return if known {
                        Match::yes(self.plain)
                    } else {
                        Match::No
                    };
                }
                Step::Foreign if !known => return Match::No,
                Step::Foreign | Step::On => {}
                Step::Settled => return Match::yes(self.plain),
                Step::StartTls => match tls::client(rest, closed) {
                    // The server has refused.
                    Client::No if !rest.is_empty() => {}
                    Client::No | Client::More => return Match::App(self.plain),
                    Client::Begun => return Match::App(self.secure),
                    Client::Old => return Match::yes(self.secure),
                    Client::Hello(hello) => return Match::Yes(hello.identity(self.secure)),
                },
            }
            known = true;
        }
        match known {
            true if rest.len() > MAX_LINE => Match::yes(self.plain),
            true => Match::App(self.plain),
            false if rest.len() > MAX_LINE => Match::No,
            false => Match::More,
        }
    }
}

/// Whether the first line of a client is one of these commands; None, if it may become one.
pub(crate) fn first_word(client: &[u8], words: &[&str]) -> Option<bool> {
    let (line, whole) = match lines(client).next() {
        Some((line, _)) => (line, true),
        None => (client.strip_suffix(b"\r").unwrap_or(client), false),
    };
    let (first, _) = word(line);
    if whole || first.len() < line.len() {
        return Some(among(first, words));
    }
    let begins = |it: &&str| {
        it.len() >= first.len() && it.as_bytes()[..first.len()].eq_ignore_ascii_case(first)
    };
    if words.iter().any(begins) {
        None
    } else {
        Some(false)
    }
}

/// Whether a server's first line begins so; None, if it may.
pub(crate) fn greets(server: &[u8], with: &[u8]) -> Option<bool> {
    let len = server.len().min(with.len());
    match server[..len] == with[..len] {
        false => Some(false),
        true if len < with.len() => None,
        true => Some(true),
    }
}

/// Whether a server's first line has a word in it; None, if it may.
pub(crate) fn greeting_says(server: &[u8], what: &str) -> Option<bool> {
    let line = &server[..server.len().min(MAX_LINE)];
    let end = line.iter().position(|byte| *byte == b'\n');
    if end.is_none() && line.len() < MAX_LINE {
        return None;
    }
    let mut words = line[..end.unwrap_or(line.len())].windows(what.len());
    Some(words.any(|it| it.eq_ignore_ascii_case(what.as_bytes())))
}
