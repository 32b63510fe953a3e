//! What is this stream: its application and the domain that it is for, from its first bytes.
//!
//! Pure: segments and the time go in, an answer comes out. No I/O, no clock, no `unsafe`, no panic whatever comes, and
//! memory is bounded for each stream by [`Limits`].

#![forbid(unsafe_code)]

mod bytes;
pub mod capture;
mod dialogue;
pub mod dns;
mod ftp;
mod http;
mod http2;
mod imap;
mod memcache;
mod midstream;
mod mongodb;
mod mqtt;
mod mysql;
mod name;
mod pop3;
mod quic;
mod rdp;
mod reassembly;
mod recognise;
mod redis;
mod smtp;
mod ssh;
mod stream;
mod tcp;
#[cfg(test)]
mod testing;
mod tls;
mod udp;
mod vnc;

pub use ftp::Related;
pub use stream::{Flags, Stream};

use model::App;
use std::sync::Arc;
use std::time::Duration;

/// From whom a segment comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum From {
    /// Who opened the stream.
    Client,
    /// The other end.
    Server,
}

/// What is looked at before it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Packets with payload, of both ends together.
    pub packets: u32,
    /// Bytes of payload that are kept, of both ends together.
    pub bytes: u32,
    /// From the first payload on.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            packets: 24,
            bytes: 32 * 1024,
            time: Duration::from_secs(5),
        }
    }
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it speaks.
    pub app: App,
    /// The name that it is for (Host, SNI, QUIC SNI; of DNS the name asked for), as [`model::domain::normalise`] gives it.
    pub domain: Option<Arc<str>>,
    /// The client hides the name that it is for (ECH); `domain` is the outer one.
    pub hidden: bool,
    /// What else was seen, for records: method and path, ALPN, version, names of the certificate.
    pub details: Details,
}

impl Identity {
    /// Whether it tells an address, or something else that is no domain, instead of a name.
    pub fn is_nameless(&self) -> bool {
        self.domain.is_none() && self.details.host.is_some()
    }

    /// An application without a domain.
    pub(crate) fn of(app: App) -> Identity {
        Identity {
            app,
            domain: None,
            hidden: false,
            details: Details::default(),
        }
    }
}

/// What else was seen of a stream. Each is bounded to 255 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Of HTTP the method and path, e.g. `GET /index.html`.
    pub request: Option<Arc<str>>,
    /// Of HTTP the Host, of TLS and QUIC the server name, where it is no domain: mostly an address.
    pub host: Option<Arc<str>>,
    /// Of TLS and QUIC the first protocol that the client offers, e.g. `h2`.
    pub alpn: Option<Arc<str>>,
    /// Of TLS and QUIC the version, e.g. `TLS 1.3`.
    pub version: Option<Arc<str>>,
    /// Of TLS the names in the server's certificate, where it can be seen; at most 8.
    pub certificate: Vec<Arc<str>>,
}

/// Why a stream stays unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// There was no payload.
    NoPayload,
    /// Only a handshake was seen.
    HandshakeOnly,
    /// It is none of what is known here.
    NotRecognised,
    /// Only one end was seen to speak, and what it said does not suffice.
    OneSideOnly,
    /// It is joined in the middle: its first bytes went by unseen.
    Midstream,
}

/// What is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is needed.
    Analysing,
    /// The application is known, what its domain is not yet (e.g. a ClientHello over several packets, an HTTP request
    /// whose Host is to come). It may become another one still: a mail session is SMTP, IMAP or POP3 until it turns into
    /// TLS (STARTTLS), and then SMTPS, IMAPS or POPS; who decides by the first is not told the second.
    App(App),
    /// All is known that will be.
    Done(Identity),
    /// It is given up.
    GaveUp(Unknown),
}
