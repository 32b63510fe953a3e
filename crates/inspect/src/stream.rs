//! A stream under inspection.

use crate::ftp::Related;
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::{From, Limits, Progress, Unknown};
use std::time::Duration;

/// What of a TCP header matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// SYN: the sequence number is the one before the first byte.
    pub syn: bool,
    /// FIN or RST: the sender has no more to say.
    pub fin: bool,
}

/// One TCP or UDP session under inspection, from its first packet on.
///
/// Show it every packet of both ends with [`segment`](Stream::segment) or [`datagram`](Stream::datagram), until
/// [`progress`](Stream::progress) is [`Progress::Done`] or [`Progress::GaveUp`] and it does not
/// [watch](Stream::watches) on.
#[derive(Clone, Debug)]
pub struct Stream {
    limits: Limits,
    progress: Progress,
    /// When the first payload came.
    begun: Option<Duration>,
    transport: Transport,
}

#[derive(Clone, Debug)]
enum Transport {
    Tcp(Box<Tcp>),
    Udp(Box<Udp>),
}

impl Stream {
    /// A TCP session that begins. The port is of the server, and tells HTTPS from other TLS, for example.
    pub fn tcp(server_port: u16, limits: Limits) -> Stream {
        Stream::new(
            Transport::Tcp(Box::new(Tcp::new(server_port, false))),
            limits,
        )
    }

    /// A TCP session whose first packets went by unseen. Which end is the client may be wrong.
    pub fn midstream(server_port: u16, limits: Limits) -> Stream {
        Stream::new(
            Transport::Tcp(Box::new(Tcp::new(server_port, true))),
            limits,
        )
    }

    /// A control connection of FTP that is known to be one, whose first packets went by unseen.
    pub fn ftp_control(server_port: u16, limits: Limits) -> Stream {
        let mut progress = Progress::Analysing;
        let tcp = Tcp::ftp_control(server_port, &mut progress);
        Stream {
            progress,
            ..Stream::new(Transport::Tcp(Box::new(tcp)), limits)
        }
    }

    /// A UDP session.
    pub fn udp(server_port: u16, limits: Limits) -> Stream {
        Stream::new(Transport::Udp(Box::new(Udp::new(server_port))), limits)
    }

    fn new(transport: Transport, limits: Limits) -> Stream {
        Stream {
            limits,
            progress: Progress::Analysing,
            begun: None,
            transport,
        }
    }

    /// Takes a TCP segment: in any order, repeated or not. Of bytes that come twice the first count.
    pub fn segment(
        &mut self,
        from: From,
        seq: u32,
        flags: Flags,
        payload: &[u8],
        now: Duration,
    ) -> &Progress {
        if self.is_wanted(payload, now)
            && let Transport::Tcp(tcp) = &mut self.transport
        {
            tcp.segment(from, seq, flags, payload, &self.limits, &mut self.progress);
        }
        &self.progress
    }

    /// Whether a TCP segment has other bytes where some came before, as far as these are remembered. Which of them its
    /// receiver takes, it alone knows: who must not be deceived does not let it pass.
    pub fn contradicts(&self, from: From, seq: u32, payload: &[u8]) -> bool {
        match &self.transport {
            Transport::Tcp(tcp) => tcp.contradicts(from, seq, payload),
            Transport::Udp(_) => false,
        }
    }

    /// Takes a UDP datagram.
    pub fn datagram(&mut self, from: From, payload: &[u8], now: Duration) -> &Progress {
        if self.is_wanted(payload, now)
            && let Transport::Udp(udp) = &mut self.transport
        {
            udp.datagram(from, payload, &self.limits, now, &mut self.progress);
        }
        &self.progress
    }

    /// Whether the other end has answered what tells what a UDP session is. A client may say one thing for show, so that
    /// it is lost on its way, and then another: until this is so, each of its datagrams counts, and changes what is
    /// [known](Stream::progress).
    ///
    /// Of TCP its acknowledgements tell the same, and applications that have no answer that can be told are answered.
    pub fn is_answered(&self) -> bool {
        match &self.transport {
            Transport::Tcp(_) => true,
            Transport::Udp(udp) => udp.is_answered(),
        }
    }

    /// Whether the client's last datagram may have said something that is not known, after something that is, and before
    /// that was answered: who must not be deceived does not let it pass.
    pub fn is_lost(&self) -> bool {
        match &self.transport {
            Transport::Tcp(_) => false,
            Transport::Udp(udp) => udp.is_lost(),
        }
    }

    /// Gives up if its time is over by now. Packets tell the time too; this is for sessions that are silent.
    pub fn timeout(&mut self, now: Duration) -> &Progress {
        let late = |begun: Duration| now.saturating_sub(begun) > self.limits.time;
        if self.begun.is_some_and(late) {
            self.end();
        }
        &self.progress
    }

    /// The session is over, or its time: what is not known by now never will be.
    pub fn end(&mut self) -> &Progress {
        match &mut self.transport {
            Transport::Tcp(tcp) => tcp.end(&mut self.progress),
            Transport::Udp(udp) => udp.end(&mut self.progress),
        }
        &self.progress
    }

    /// Gives back the memory: nothing more will be shown.
    pub fn forget(&mut self) {
        match &mut self.transport {
            Transport::Tcp(tcp) => tcp.forget(),
            Transport::Udp(udp) => udp.forget(),
        }
    }

    /// What is known so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether packets are of interest still, though what it is, is known: FTP's control connections name their data
    /// connections at any time ([`related`](Stream::related)), and servers of TLS show their certificate after the
    /// client has named its domain, which adds [details](crate::Details).
    ///
    /// To stop showing them is no mistake: what they would tell is not known then.
    pub fn watches(&self) -> bool {
        match &self.transport {
            Transport::Tcp(tcp) => tcp.watches(),
            Transport::Udp(_) => false,
        }
    }

    /// The connections that this one has announced since this was last asked.
    pub fn related(&mut self) -> impl Iterator<Item = Related> + '_ {
        let control = match &mut self.transport {
            Transport::Tcp(tcp) => tcp.control(),
            Transport::Udp(_) => None,
        };
        control.into_iter().flat_map(|control| control.related())
    }

    /// Whether a packet has to be looked at. Ends what has lasted too long.
    fn is_wanted(&mut self, payload: &[u8], now: Duration) -> bool {
        match self.progress {
            Progress::GaveUp(_) => return false,
            Progress::Done(_) => return self.watches() || !self.is_answered(),
            Progress::Analysing | Progress::App(_) => {}
        }
        if !payload.is_empty() {
            self.begun.get_or_insert(now);
        }
        matches!(self.timeout(now), Progress::Analysing | Progress::App(_))
    }
}

/// Why nothing is known of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    /// Which ends have opened the stream.
    pub syn: [bool; 2],
    /// Which ends have said something.
    pub payload: [bool; 2],
    /// Its first packets were not seen.
    pub midstream: bool,
}

impl Heard {
    pub fn unknown(self) -> Unknown {
        match (self.payload, self.syn) {
            ([false, false], [true, true]) => Unknown::HandshakeOnly,
            ([false, false], _) => Unknown::NoPayload,
            _ if self.midstream => Unknown::Midstream,
            ([true, true], _) => Unknown::NotRecognised,
            _ => Unknown::OneSideOnly,
        }
    }
}

/// The place of an end in what is kept of both.
pub(crate) fn side(from: From) -> usize {
    match from {
        From::Client => 0,
        From::Server => 1,
    }
}
