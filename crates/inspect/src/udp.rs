//! UDP sessions.

use crate::quic::Quic;
use crate::recognise::Match;
use crate::stream::{Heard, side};
use crate::{From, Identity, Limits, Progress, Unknown, dns, memcache, rdp};
use model::App;
use std::time::Duration;

/// A UDP session whose application is not known, or not all of it, or whose client was not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Udp {
    port: u16,
    heard: Heard,
    datagrams: u32,
    quic: Quic,
    answered: bool,
    /// The client's last datagram may have said something that is not known.
    lost: bool,
}

impl Udp {
    pub fn new(port: u16) -> Udp {
        Udp {
            port,
            heard: Heard::default(),
            datagrams: 0,
            quic: Quic::default(),
            answered: false,
            lost: false,
        }
    }

    pub fn datagram(
        &mut self,
        from: From,
        payload: &[u8],
        limits: &Limits,
        now: Duration,
        progress: &mut Progress,
    ) {
        self.lost = false;
        if payload.is_empty() {
            return;
        }
        if let Progress::Done(identity) = progress {
            return match (from, identity.app) {
                (From::Server, app) => self.answer(app, payload),
                (From::Client, App::Quic) => self.quic(payload, limits, now, progress),
                (From::Client, _) => {
                    self.lost = dns::datagram(payload, self.port, true) == Match::No;
                }
            };
        }
        let first = !self.heard.payload.contains(&true);
        self.heard.payload[side(from)] = true;
        self.datagrams += 1;
        let mut found = match from {
            From::Server if self.quic.is_known() => {
                self.quic.server(payload);
                self.answered = self.quic.is_answered();
                Match::More
            }
            _ => self.quic.client(payload, limits.bytes as usize, now),
        };
        self.lost = from == From::Client && self.quic.is_lost();
        if found == Match::No && *progress == Progress::Analysing {
            found = dns::datagram(payload, self.port, first);
        }
        if found == Match::No && first {
            found = rdp::datagram(payload, self.port);
        }
        if found == Match::No && first {
            found = memcache::datagram(payload, self.port);
        }
        match found {
            Match::Yes(identity) => self.done(identity, progress),
            Match::App(app) => *progress = Progress::App(app),
            // Each datagram of a client says by itself what it is.
            Match::No if from == From::Client && *progress == Progress::Analysing => {
                self.answered = true;
                *progress = Progress::GaveUp(Unknown::NotRecognised);
            }
            Match::No | Match::More => {}
        }
        if self.datagrams >= limits.packets {
            self.end(progress);
        }
    }

    /// Whether the server has answered what tells what this is, or nothing tells that.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Whether the client's last datagram may have said something that is not known, after something that is.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    pub fn end(&mut self, progress: &mut Progress) {
        match *progress {
            Progress::Analysing => {
                self.answered = true;
                *progress = Progress::GaveUp(self.heard.unknown());
            }
            Progress::App(app) => self.done(Identity::of(app), progress),
            Progress::Done(_) | Progress::GaveUp(_) => {}
        }
    }

    /// Gives the memory back.
    pub fn forget(&mut self) {
        self.quic = Quic::default();
    }

    fn done(&mut self, identity: Identity, progress: &mut Progress) {
        // Of others no answer is known, and a hello that is not whole has none.
        self.answered |= match identity.app {
            App::Quic => !self.quic.is_known(),
            App::Dns => false,
            _ => true,
        };
        *progress = Progress::Done(identity);
    }

    /// What a client says after its first hello: another one counts as that did.
    fn quic(&mut self, payload: &[u8], limits: &Limits, now: Duration, progress: &mut Progress) {
        let found = self.quic.client(payload, limits.bytes as usize, now);
        self.lost = self.quic.is_lost();
        if let Match::Yes(identity) = found {
            *progress = Progress::Done(identity);
        }
    }

    fn answer(&mut self, app: App, payload: &[u8]) {
        if app == App::Quic {
            self.quic.server(payload);
            self.answered |= self.quic.is_answered();
        } else {
            self.answered |= dns::is_answer(payload);
        }
    }
}
