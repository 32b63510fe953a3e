//! An attempt to connect: the Initial packets of one client under one key, and whether the server has answered them.

use super::crypto::Keys;
use super::packet::{LongHeader, crypto_frames};
use super::version::{Salt, Version};
use super::{Heard, google};
use crate::bytes::Bytes;
use crate::name::Host;
use crate::reassembly::Half;
use crate::tls::ClientHello;
use crate::{Details, Identity};
use model::App;
use std::sync::Arc;
use std::time::Duration;

/// What was heard of one.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    version: Version,
    /// What the keys derive from: the destination that the client chose first.
    origin: Vec<u8>,
    keys: Keys,
    /// One more than the largest number of its packets.
    next: u64,
    hello: Half,
    /// Its hello is whole.
    whole: bool,
    /// When the last packet came.
    pub latest: Duration,
}

impl Attempt {
    /// One that a packet begins, and the packet's frames.
    pub fn begin(header: &LongHeader, salt: &Salt) -> Option<(Attempt, Vec<u8>)> {
        let keys = Keys::client(salt, header.destination)?;
        let (plain, number) = keys.open(header, 0)?;
        let attempt = Attempt {
            version: header.version,
            origin: header.destination.to_vec(),
            keys,
            next: number + 1,
            hello: Half::default(),
            whole: false,
            latest: Duration::ZERO,
        };
        Some((attempt, plain))
    }

    /// The frames of a packet, if it is one of this attempt.
    pub fn open(&mut self, header: &LongHeader) -> Option<Vec<u8>> {
        let (plain, number) = self.keys.open(header, self.next)?;
        self.next = self.next.max(number + 1);
        Some(plain)
    }

    /// Whether a packet that begins an attempt would have the same keys.
    pub fn has_keys_of(&self, header: &LongHeader) -> bool {
        self.version == header.version && self.origin == header.destination
    }

    /// How much memory its hello takes.
    pub fn len(&self) -> usize {
        self.hello.len()
    }

    #[cfg(test)]
    pub fn heard(&self) -> &[u8] {
        self.hello.prefix()
    }

    /// Takes a packet's frames, with so much room for what they say.
    pub fn hear(&mut self, plain: &[u8], room: usize) -> Heard {
        let most = self.hello.len() + room;
        for frame in crypto_frames(self.version, plain) {
            match frame {
                Some((offset, data)) => {
                    let room = most.saturating_sub(self.hello.len());
                    let place = i64::try_from(offset).unwrap_or(i64::MAX >> 1);
                    if self.hello.differs(place, data) || !self.hello.at(offset, data, room) {
                        return Heard::Nothing;
                    }
                }
                // Google's have others, too.
                None if self.version.crypto_frame() != 6 => break,
                None => return Heard::Nothing,
            }
        }
        match self.identity() {
            Some(identity) => {
                self.whole = true;
                Heard::Hello(identity)
            }
            None => Heard::Part,
        }
    }

    /// What the hello says, once it is whole.
    fn identity(&self) -> Option<Identity> {
        let hello = self.hello.prefix();
        let version = self.version.name();
        if !self.version.has_tls() {
            return Some(named(google::server_name(hello)?, version));
        }
        let mut left = Bytes(hello);
        if left.u8()? != 1 {
            return None;
        }
        let len = left.u24()? as usize;
        let mut identity = ClientHello::parse(left.take(len)?).identity(App::Quic);
        identity.details.version = Some(version);
        Some(identity)
    }

    /// Whether a server's Initial packet answers the hello: who has not heard it cannot make one (RFC 9001, section
    /// 5.2), and before the hello it has nothing to say. It may have chosen another version (RFC 9368).
    pub fn is_answered(&self, header: &LongHeader) -> bool {
        let answers = |salt: &Salt| {
            let keys = Keys::server(salt, &self.origin)?;
            let (plain, _) = keys.open(header, 0)?;
            Some(crypto_frames(header.version, &plain).any(|frame| frame.is_some()))
        };
        let salts = header.version.salts();
        self.whole && salts.iter().any(|salt| answers(salt) == Some(true))
    }
}

/// QUIC of a version, with the name that was told.
pub(super) fn named(host: Host, version: Arc<str>) -> Identity {
    Identity {
        domain: host.domain,
        details: Details {
            host: host.other,
            version: Some(version),
            ..Details::default()
        },
        ..Identity::of(App::Quic)
    }
}
