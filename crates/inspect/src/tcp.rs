//! TCP sessions.

use crate::ftp::Control;
use crate::midstream::Borders;
use crate::reassembly::Half;
use crate::recognise::{Candidates, Match, Seen};
use crate::stream::{Flags, Heard, side};
use crate::{From, Identity, Limits, Progress, tls};
use model::App;

/// What one packet holds at most, as [`Limits::packets`] are counted.
const PACKET: usize = 1_400;

/// Bytes that are read of a stream in all, those that are read again with each further segment included. So a stream in
/// segments of one byte costs no more than that: its first 2,896 bytes are understood, and it is not the square of all
/// that it may send.
const MAX_READ: usize = 4 << 20;

/// The most bytes of either end that are kept of a control connection.
const MAX_WATCHED: usize = 4_096;

/// A TCP session.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    port: u16,
    heard: Heard,
    halves: [Half; 2],
    /// Something found no room: it cannot go on.
    full: bool,
    /// Bytes that were read, again and again.
    read: usize,
    turns: Turns,
    candidates: Candidates,
    /// Of a stream that was joined in the middle.
    middle: Option<Middle>,
    watch: Watch,
}

/// What is tried besides, if nobody knows how the stream began.
#[derive(Clone, Debug)]
struct Middle {
    /// With client and server the other way round.
    reversed: Candidates,
    borders: Borders,
}

/// What is of interest once the application is known.
#[derive(Clone, Debug, Default)]
enum Watch {
    #[default]
    Nothing,
    Certificate,
    Control(Control),
}

/// Counts packets as if each end filled them: how a stream is cut must not matter.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    last: Option<From>,
    bytes: usize,
    packets: u32,
}

impl Turns {
    fn add(&mut self, from: From, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if self.last != Some(from) || self.bytes + bytes > PACKET {
            self.packets += 1;
            self.bytes = 0;
        }
        self.last = Some(from);
        self.bytes += bytes;
    }
}

impl Tcp {
    pub fn new(port: u16, midstream: bool) -> Tcp {
        Tcp {
            port,
            heard: Heard {
                midstream,
                ..Heard::default()
            },
            halves: [Half::default(), Half::default()],
            full: false,
            read: 0,
            turns: Turns::default(),
            candidates: Candidates::ALL,
            middle: midstream.then(|| Middle {
                reversed: Candidates::ALL,
                borders: Borders::default(),
            }),
            watch: Watch::Nothing,
        }
    }

    /// One that is known already to be a control connection of FTP.
    pub fn ftp_control(port: u16, progress: &mut Progress) -> Tcp {
        let mut tcp = Tcp::new(port, false);
        tcp.done(Identity::of(App::Ftp), progress);
        tcp
    }

    pub fn contradicts(&self, from: From, seq: u32, payload: &[u8]) -> bool {
        self.halves[side(from)].contradicts(seq, payload)
    }

    pub fn segment(
        &mut self,
        from: From,
        seq: u32,
        flags: Flags,
        payload: &[u8],
        limits: &Limits,
        progress: &mut Progress,
    ) {
        if let Watch::Control(_) = self.watch {
            return self.control_segment(from, seq, payload);
        }
        let before = self.halves[side(from)].prefix().len();
        self.keep(from, seq, flags, payload, limits);
        let half = &self.halves[side(from)];
        let new = half.prefix().len().saturating_sub(before);
        self.turns.add(from, new);
        if new > 0 {
            let bytes: usize = self.halves.iter().map(|it| it.prefix().len()).sum();
            // From each border on, and with client and server the other way round.
            let times = self.middle.as_ref().map_or(1, |it| 2 + it.borders.len());
            self.read += bytes * times;
            match progress {
                Progress::Done(identity) => self.details(identity),
                _ => self.recognise(false, progress),
            }
        }
        let ended = self.halves.iter().all(Half::is_finished);
        let spent = self.turns.packets >= limits.packets || self.read > MAX_READ;
        if self.full || spent || ended {
            self.end(progress);
        }
    }

    /// Puts a segment where it belongs.
    fn keep(&mut self, from: From, seq: u32, flags: Flags, payload: &[u8], limits: &Limits) {
        let kept: usize = self.halves.iter().map(Half::len).sum();
        let room = (limits.bytes as usize).saturating_sub(kept);
        let half = &mut self.halves[side(from)];
        let seq = if flags.syn {
            self.heard.syn[side(from)] = true;
            half.syn(seq, room);
            seq.wrapping_add(1)
        } else {
            seq
        };
        if payload.is_empty() {
            half.next(seq);
        } else {
            self.heard.payload[side(from)] = true;
            if let Some(middle) = &mut self.middle {
                middle.borders.add(from, seq);
            }
            self.full |= !half.insert(seq, payload, room);
        }
        if flags.fin {
            half.finish(seq.wrapping_add(payload.len() as u32));
        }
    }

    fn recognise(&mut self, closed: bool, progress: &mut Progress) {
        let [client, server] = &self.halves;
        let seen = Seen {
            client: client.prefix(),
            server: server.prefix(),
            port: self.port,
            closed,
        };
        let mut found = self.candidates.ask(&seen);
        if let Some(middle) = &mut self.middle {
            let reversed = Seen {
                client: seen.server,
                server: seen.client,
                ..seen
            };
            let other = middle.reversed.ask(&reversed);
            found = match (found, other) {
                (found @ Match::Yes(_), _) | (_, found @ Match::Yes(_)) => found,
                (found @ Match::App(_), _) | (_, found @ Match::App(_)) => found,
                _ => middle.borders.look(&self.halves, self.port, closed),
            };
        }
        match found {
            Match::Yes(identity) => self.done(identity, progress),
            Match::App(app) => *progress = Progress::App(app),
            Match::More => {}
            Match::No => {
                let why = match (self.heard.unknown(), closed) {
                    // It was enough to see that it is none of them.
                    (crate::Unknown::OneSideOnly, false) => crate::Unknown::NotRecognised,
                    (why, _) => why,
                };
                *progress = Progress::GaveUp(why);
                self.forget();
            }
        }
    }

    fn done(&mut self, identity: Identity, progress: &mut Progress) {
        self.watch = match identity.app {
            App::Ftp => Watch::Control(Control::default()),
            App::Https | App::Imaps | App::Pops | App::Smtps | App::Ssl | App::SslNoCert => {
                Watch::Certificate
            }
            _ => Watch::Nothing,
        };
        if self.heard.midstream {
            self.watch = Watch::Nothing;
        }
        let mut identity = identity;
        match self.watch {
            Watch::Nothing => self.known(),
            Watch::Certificate => self.details(&mut identity),
            Watch::Control(_) => self.read_control(),
        }
        *progress = Progress::Done(identity);
    }

    pub fn end(&mut self, progress: &mut Progress) {
        if let Progress::Analysing | Progress::App(_) = progress {
            self.recognise(true, progress);
        }
        match self.watch {
            Watch::Control(_) => {}
            Watch::Nothing | Watch::Certificate => self.known(),
        }
    }

    /// All is known. What the client has said stays, so that it cannot be taken back.
    fn known(&mut self) {
        self.watch = Watch::Nothing;
        self.halves[side(From::Server)] = Half::default();
        self.middle = None;
    }

    /// Gives the memory back.
    pub fn forget(&mut self) {
        self.watch = Watch::Nothing;
        self.halves = [Half::default(), Half::default()];
        self.middle = None;
    }

    pub fn watches(&self) -> bool {
        !matches!(self.watch, Watch::Nothing)
    }

    pub fn control(&mut self) -> Option<&mut Control> {
        match &mut self.watch {
            Watch::Control(control) => Some(control),
            _ => None,
        }
    }

    /// Adds what the server has shown by now.
    fn details(&mut self, identity: &mut Identity) {
        if tls::add_details(identity, self.halves[1].prefix()) {
            self.known();
        }
    }

    fn control_segment(&mut self, from: From, seq: u32, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let half = &mut self.halves[side(from)];
        if !half.insert(seq, payload, MAX_WATCHED.saturating_sub(half.len())) {
            // Something is missing that does not come again: what came now is read instead.
            half.clear();
            half.insert(seq, payload, MAX_WATCHED);
        }
        self.read_control();
    }

    fn read_control(&mut self) {
        let Watch::Control(control) = &mut self.watch else {
            return;
        };
        for from in [From::Client, From::Server] {
            let half = &mut self.halves[side(from)];
            let taken = control.read(from, half.prefix());
            half.consume(taken);
        }
        if control.encrypted() {
            // What was announced before that can be asked for still.
            self.halves = [Half::default(), Half::default()];
        }
    }
}
