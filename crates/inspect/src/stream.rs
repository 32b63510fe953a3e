//! A stream under inspection.

use crate::reassembly::Half;
use crate::{From, Limits, Progress, Related, Unknown};
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
    client: Half,
    server: Half,
}

impl Stream {
    /// A TCP session that begins.
    pub fn tcp(server_port: u16, limits: Limits) -> Stream {
        let _ = server_port;
        Stream {
            limits,
            progress: Progress::Analysing,
            client: Half::default(),
            server: Half::default(),
        }
    }

    /// A TCP session whose first packets went by unseen. Which end is the client may be wrong.
    pub fn midstream(server_port: u16, limits: Limits) -> Stream {
        Stream::tcp(server_port, limits)
    }

    /// A UDP session.
    pub fn udp(server_port: u16, limits: Limits) -> Stream {
        Stream::tcp(server_port, limits)
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
        let room =
            (self.limits.bytes as usize).saturating_sub(self.client.len() + self.server.len());
        let half = match from {
            From::Client => &mut self.client,
            From::Server => &mut self.server,
        };
        if flags.syn {
            half.syn(seq, room);
        }
        half.insert(seq.wrapping_add(flags.syn.into()), payload, room);
        let _ = now;
        &self.progress
    }

    /// Takes a UDP datagram.
    pub fn datagram(&mut self, from: From, payload: &[u8], now: Duration) -> &Progress {
        let _ = (from, payload, now);
        &self.progress
    }

    /// Gives up if its time is over by now. (Packets tell the time too; this is for sessions that are silent.)
    pub fn timeout(&mut self, now: Duration) -> &Progress {
        let _ = now;
        &self.progress
    }

    /// The session is over: what is not known by now never will be.
    pub fn end(&mut self) -> &Progress {
        self.progress = Progress::GaveUp(Unknown::NoPayload);
        &self.progress
    }

    /// What is known so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether packets are of interest still, though what it is, is known: FTP's control connections name their data
    /// connections at any time ([`related`](Stream::related)), and servers of TLS show their certificate after the
    /// client has named its domain, which adds [details](crate::Details).
    pub fn watches(&self) -> bool {
        false
    }

    /// The connections that this one has announced since this was last asked.
    pub fn related(&mut self) -> impl Iterator<Item = Related> + '_ {
        std::iter::empty()
    }
}
