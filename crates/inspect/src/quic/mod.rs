//! QUIC (RFC 9000, RFC 9001, RFC 9369), its drafts, and Google's own before it.
//!
//! A client's Initial packets are encrypted with keys that everyone can derive from what is in them. Their CRYPTO frames,
//! of one or several packets in any order, are put together to the client's hello.
//!
//! Whether a hello arrives, nobody between the ends knows before the server has answered it. Until then each further
//! one counts as the first did, and what cannot be followed is told of: a client may go on with it that has said the
//! first for show.

mod attempt;
mod crypto;
mod google;
mod packet;
mod version;

use crate::Identity;
use crate::recognise::Match;
use attempt::{Attempt, named};
use model::App;
use packet::LongHeader;
use std::time::Duration;
use version::Version;

/// The most attempts to connect that are followed at once: with another version, after a Retry, several by one port.
const MAX_ATTEMPTS: usize = 8;

/// For how long one is remembered when there is no room: a server has given it up long before.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The most Initial packets of one datagram.
const MAX_COALESCED: usize = 4;

/// What is known of the hellos of a client that no server has answered yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quic {
    attempts: Vec<Attempt>,
    /// The version of a hello in the clear.
    plain: Option<Version>,
    lost: bool,
    answered: bool,
}

/// What an Initial packet says.
enum Heard {
    /// Nothing that can be known, or something else than what came before.
    Nothing,
    /// Not all yet.
    Part,
    Hello(Identity),
}

impl Quic {
    /// Takes a client's datagram, with so much room for what it says.
    pub fn client(&mut self, datagram: &[u8], room: usize, now: Duration) -> Match {
        let known = self.is_known();
        self.lost = false;
        if let Some((version, chlo)) = google::plain(datagram) {
            self.plain = Some(version);
            let host = google::server_name(chlo);
            self.lost = known && host.is_none();
            return host.map_or(Match::App(App::Quic), |host| {
                Match::Yes(named(host, version.name()))
            });
        }
        let mut found = Match::No;
        let mut rest = datagram;
        let mut first: Option<&[u8]> = None;
        let mut lost = false;
        // Several packets may share a datagram (RFC 9000, section 12.2), to one destination.
        for _ in 0..MAX_COALESCED {
            let Some(header) = LongHeader::parse(rest) else {
                break;
            };
            rest = header.rest;
            lost |= *first.get_or_insert(header.destination) != header.destination;
            let heard = match header.initial {
                true => self.initial(&header, room, now),
                false => Heard::Part,
            };
            match heard {
                Heard::Hello(identity) => found = Match::Yes(identity),
                Heard::Nothing => lost = true,
                Heard::Part => {}
            }
            if found == Match::No {
                found = Match::App(App::Quic);
            }
        }
        // What has no long header comes after the answer; behind the packets it is padding.
        let more = rest.first().is_some_and(|first| first & 0x80 != 0);
        self.lost = self.is_known() && (lost || more || found == Match::No);
        found
    }

    /// Takes a server's.
    pub fn server(&mut self, datagram: &[u8]) {
        let plain = |version| google::is_answer(version, datagram);
        let mut answered = self.plain.is_some_and(plain);
        let mut rest = datagram;
        for _ in 0..MAX_COALESCED {
            let Some(header) = LongHeader::parse(rest).filter(|_| !answered) else {
                break;
            };
            rest = header.rest;
            answered = header.initial && self.attempts.iter().any(|it| it.is_answered(&header));
        }
        if answered {
            *self = Quic {
                answered,
                ..Quic::default()
            };
        }
    }

    /// Whether something was heard that a server may answer.
    pub fn is_known(&self) -> bool {
        self.plain.is_some() || !self.attempts.is_empty()
    }

    /// Whether a server has answered it.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Whether the client's last datagram may have said something that could not be followed, after something that could.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    fn initial(&mut self, header: &LongHeader, room: usize, now: Duration) -> Heard {
        let used: usize = self.attempts.iter().map(Attempt::len).sum();
        let room = room.saturating_sub(used);
        let known = self.attempts.iter_mut();
        let known = known.filter_map(|it| it.open(header).map(|plain| (it, plain)));
        if let Some((attempt, plain)) = { known }.next() {
            attempt.latest = now;
            return attempt.hear(&plain, room);
        }
        if self.attempts.iter().any(|it| it.has_keys_of(header)) {
            return Heard::Nothing;
        }
        // The first packet, or another attempt: with another version, or after a Retry.
        let salts = header.version.salts().iter();
        let new = { salts }.find_map(|salt| Attempt::begin(header, salt));
        let Some((mut attempt, plain)) = new else {
            return Heard::Nothing;
        };
        if self.attempts.len() >= MAX_ATTEMPTS {
            self.attempts
                .retain(|it| now.saturating_sub(it.latest) < REMEMBERED);
        }
        if self.attempts.len() >= MAX_ATTEMPTS {
            return Heard::Nothing;
        }
        attempt.latest = now;
        let heard = attempt.hear(&plain, room);
        self.attempts.push(attempt);
        heard
    }
}

#[cfg(test)]
mod tests;
