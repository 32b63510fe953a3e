//! The recognisers, and what they make of a TCP stream together.
//!
//! Each is a function of the first bytes of both ends, and nothing else: how they were cut into segments, and in which
//! order these came, cannot matter. For that to hold of all of them together, each keeps to this: what it has once
//! answered with [`Match::No`] or [`Match::Yes`] it would answer to more bytes too, and before the client has said
//! anything it answers neither. The first in the list that does not say no has the word.

use crate::{Identity, dns, ftp, http, http2, imap, memcache, mongodb, mqtt, mysql, pop3, rdp};
use crate::{redis, smtp, ssh, tls, vnc};
use model::App;

/// What is known of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// The first bytes of the client.
    pub client: &'a [u8],
    /// The first bytes of the server.
    pub server: &'a [u8],
    /// The server's port.
    pub port: u16,
    /// No more will be known: the answer has to be given on this.
    pub closed: bool,
}

/// What a recogniser makes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// It is something else.
    No,
    /// More bytes will tell.
    More,
    /// It is this; its domain, or what it turns into, is to come.
    App(App),
    /// All is known.
    Yes(Identity),
}

impl Match {
    /// It is this, and has no domain.
    pub fn yes(app: App) -> Match {
        Match::Yes(Identity::of(app))
    }

    /// Yes, if so; else no.
    pub fn when(is: bool, app: App) -> Match {
        if is { Match::yes(app) } else { Match::No }
    }
}

const RECOGNISERS: [fn(&Seen) -> Match; 16] = [
    http::recognise,
    http2::recognise,
    tls::recognise,
    ssh::recognise,
    smtp::recognise,
    ftp::recognise,
    imap::recognise,
    pop3::recognise,
    mysql::recognise,
    redis::recognise,
    mongodb::recognise,
    memcache::recognise,
    mqtt::recognise,
    rdp::recognise,
    vnc::recognise,
    dns::recognise,
];

/// The recognisers that have not said no.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates(u16);

impl Candidates {
    /// All.
    pub const ALL: Candidates = Candidates(u16::MAX >> (16 - RECOGNISERS.len()));

    /// Asks those that are left.
    pub fn ask(&mut self, seen: &Seen) -> Match {
        let mut answer = None;
        for (at, recognise) in RECOGNISERS.iter().enumerate() {
            let bit = 1 << at;
            if self.0 & bit == 0 {
                continue;
            }
            match recognise(seen) {
                Match::No => self.0 &= !bit,
                Match::More if seen.closed => self.0 &= !bit,
                // Those behind are asked all the same: who says no need not be asked again.
                found => answer = answer.or(Some(found)),
            }
        }
        match answer {
            None => Match::No,
            Some(Match::App(app)) if seen.closed => Match::yes(app),
            Some(found) => found,
        }
    }
}

/// Whether bytes begin with a word, as far as they go.
pub(crate) fn begins(bytes: &[u8], word: &[u8]) -> bool {
    let len = bytes.len().min(word.len());
    bytes[..len].eq_ignore_ascii_case(&word[..len])
}

/// Lines that are whole, without their end, and where the next begins.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        at += end + 1;
        let line = &rest[..end];
        Some((line.strip_suffix(b"\r").unwrap_or(line), at))
    })
}

/// The first word of a line, and the rest.
pub(crate) fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ');
    match end {
        Some(end) => (&line[..end], &line[end + 1..]),
        None => (line, &[]),
    }
}

/// Whether a word is among these, in upper or lower case.
pub(crate) fn among(word: &[u8], words: &[&str]) -> bool {
    words
        .iter()
        .any(|it| it.as_bytes().eq_ignore_ascii_case(word))
}
