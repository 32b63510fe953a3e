//! UDP sessions.

use crate::quic::Quic;
use crate::recognise::Match;
use crate::stream::{Heard, side};
use crate::{From, Identity, Limits, Progress, Unknown, dns, memcache, rdp};

/// A UDP session whose application is not known, or not all of it.
#[derive(Clone, Debug)]
pub(crate) struct Udp {
    port: u16,
    heard: Heard,
    datagrams: u32,
    quic: Quic,
}

impl Udp {
    pub fn new(port: u16) -> Udp {
        Udp {
            port,
            heard: Heard::default(),
            datagrams: 0,
            quic: Quic::default(),
        }
    }

    pub fn datagram(
        &mut self,
        from: From,
        payload: &[u8],
        limits: &Limits,
        progress: &mut Progress,
    ) {
        if payload.is_empty() {
            return;
        }
        let first = !self.heard.payload.contains(&true);
        self.heard.payload[side(from)] = true;
        self.datagrams += 1;
        let mut found = self.quic.client(payload);
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
                *progress = Progress::GaveUp(Unknown::NotRecognised);
            }
            Match::No | Match::More => {}
        }
        if self.datagrams >= limits.packets {
            self.end(progress);
        }
    }

    pub fn end(&mut self, progress: &mut Progress) {
        match *progress {
            Progress::Analysing => *progress = Progress::GaveUp(self.heard.unknown()),
            Progress::App(app) => self.done(Identity::of(app), progress),
            Progress::Done(_) | Progress::GaveUp(_) => {}
        }
    }

    fn done(&mut self, identity: Identity, progress: &mut Progress) {
        self.quic = Quic::default();
        *progress = Progress::Done(identity);
    }
}
