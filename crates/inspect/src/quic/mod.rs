//! QUIC (RFC 9000, RFC 9001, RFC 9369), its drafts, and Google's own before it.
//!
//! A client's Initial packets are encrypted with keys that everyone can derive from what is in them. Their CRYPTO frames,
//! of one or several packets in any order, are put together to the client's hello.

mod crypto;
mod google;
mod packet;
mod version;

use crate::name::Host;
use crate::reassembly::Half;
use crate::recognise::Match;
use crate::tls::ClientHello;
use crate::{Details, Identity};
use model::App;
use packet::{LongHeader, crypto_frames};
use std::sync::Arc;
use version::Salt;

/// The most bytes of a hello that are put together.
const MAX_HELLO: usize = 16 * 1024;

/// The most Initial packets of a stream that are decrypted.
const MAX_PACKETS: u32 = 32;

/// What is known of a client's hello.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quic {
    /// What the keys derive from: the destination that the client chose first.
    origin: Option<(&'static Salt, Vec<u8>)>,
    packets: u32,
    hello: Half,
}

impl Quic {
    /// Takes a client's datagram.
    pub fn client(&mut self, datagram: &[u8]) -> Match {
        if let Some((version, chlo)) = google::plain(datagram) {
            return match google::server_name(chlo) {
                Some(host) => identity(host, version.name()),
                None => Match::App(App::Quic),
            };
        }
        let mut found = Match::No;
        let mut rest = datagram;
        // Several packets may share a datagram (RFC 9000, section 12.2).
        while let Some(header) = LongHeader::parse(rest) {
            found = Match::App(App::Quic);
            if header.initial
                && let Some(known) = self.initial(&header)
            {
                return known;
            }
            rest = header.rest;
        }
        found
    }

    /// Takes an Initial packet: what is known, once the hello is whole.
    fn initial(&mut self, header: &LongHeader) -> Option<Match> {
        self.packets += 1;
        if self.packets > MAX_PACKETS {
            return None;
        }
        let plain = self.open(header)?;
        for (offset, data) in crypto_frames(header.version, &plain) {
            self.hello.at(offset, data, MAX_HELLO - self.hello.len());
        }
        let hello = self.hello.prefix();
        let version = header.version.name();
        if !header.version.has_tls() {
            return Some(identity(google::server_name(hello)?, version));
        }
        let [1, a, b, c, body @ ..] = hello else {
            return None;
        };
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let mut identity = ClientHello::parse(body.get(..len)?).identity(App::Quic);
        identity.details.version = Some(version);
        Some(Match::Yes(identity))
    }

    fn open(&mut self, header: &LongHeader) -> Option<Vec<u8>> {
        let known = self.origin.as_ref();
        let known = known.and_then(|(salt, origin)| crypto::open(salt, origin, header));
        if known.is_some() {
            return known;
        }
        // The first packet, or another attempt: with another version, or after a Retry.
        for salt in header.version.salts() {
            if let Some(plain) = crypto::open(salt, header.destination, header) {
                self.origin = Some((salt, header.destination.to_vec()));
                self.hello.clear();
                return Some(plain);
            }
        }
        None
    }
}

fn identity(host: Host, version: Arc<str>) -> Match {
    Match::Yes(Identity {
        domain: host.domain,
        details: Details {
            host: host.other,
            version: Some(version),
            ..Details::default()
        },
        ..Identity::of(App::Quic)
    })
}

#[cfg(test)]
mod tests;
