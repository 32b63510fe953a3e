//! What a server shows before it encrypts: its hello, and up to TLS 1.2 its certificate.

use super::certificate::names;
use super::hello::is_anonymous;
use super::records::{HANDSHAKE, message_bytes, records};
use crate::bytes::Bytes;
use std::sync::Arc;

const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const SUPPORTED_VERSIONS: u16 = 43;

/// What is seen of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub hello: Option<ServerHello>,
    /// The names in its certificate.
    pub certificate: Vec<Arc<str>>,
    /// It will show no more.
    pub complete: bool,
}

/// What a server has chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerHello {
    pub version: u16,
    pub suite: u16,
}

impl Shown {
    /// Reads the first bytes of a server.
    pub fn parse(bytes: &[u8]) -> Shown {
        let mut shown = Shown::default();
        let message = message_bytes(bytes);
        let refused = bytes.first().is_some_and(|first| *first != HANDSHAKE);
        shown.complete = refused || records(bytes).any(|record| record.kind != HANDSHAKE);
        let _ = shown.read(Bytes(&message));
        shown
    }

    fn read(&mut self, mut left: Bytes) -> Option<()> {
        loop {
            let (kind, len) = (left.u8()?, left.u24()? as usize);
            let whole = left.0.len() >= len;
            let body = Bytes(left.up_to(len));
            match kind {
                SERVER_HELLO if whole => {
                    let hello = server_hello(body)?;
                    self.hello = Some(hello);
                    self.complete |= hello.version >= 0x0304;
                }
                // The first certificate is the server's own.
                CERTIFICATE => {
                    self.certificate = names(first(body)?);
                    self.complete = true;
                }
                // Before it there is the hello only.
                _ => self.complete |= whole,
            }
            if self.complete {
                return None;
            }
        }
    }
}

fn server_hello(mut left: Bytes) -> Option<ServerHello> {
    let mut version = left.u16()?;
    let _random = left.take(32)?;
    let _session = left.vec8()?;
    let suite = left.u16()?;
    let _compression = left.u8()?;
    let mut extensions = Bytes(left.vec16().unwrap_or_default());
    while let Some((kind, body)) = extensions.u16().zip(extensions.vec16()) {
        if kind == SUPPORTED_VERSIONS {
            version = Bytes(body).u16()?;
        }
    }
    Some(ServerHello { version, suite })
}

/// The first certificate of the message, once it is there.
fn first(mut left: Bytes<'_>) -> Option<&[u8]> {
    let _all = left.u24()?;
    let len = left.u24()?;
    left.take(len as usize)
}

impl ServerHello {
    /// It shows no certificate.
    pub fn anonymous(self) -> bool {
        self.version < 0x0304 && is_anonymous(self.suite)
    }
}
