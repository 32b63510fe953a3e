//! The client's hello.

use crate::bytes::Bytes;
use crate::name::{Host, text};
use crate::{Details, Identity};
use model::App;
use std::sync::Arc;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
/// Encrypted ClientHello, its drafts, and ESNI before it.
const ENCRYPTED: [u16; 7] = [0xfe0d, 0xfe08, 0xfe09, 0xfe0a, 0xfe0b, 0xfe0c, 0xffce];

/// What a client says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientHello {
    pub host: Host,
    pub alpn: Option<Arc<str>>,
    /// The highest version that it offers.
    pub version: u16,
    /// It hides a name in the encrypted part.
    pub hidden: bool,
    /// It would do without a certificate of the server.
    pub anonymous: bool,
}

impl ClientHello {
    /// Reads the body of the message; what is missing at its end is taken as not said.
    pub fn parse(body: &[u8]) -> ClientHello {
        let mut hello = ClientHello::default();
        let _ = hello.read(Bytes(body));
        hello
    }

    fn read(&mut self, mut left: Bytes) -> Option<()> {
        self.version = left.u16()?;
        let _random = left.take(32)?;
        let _session = left.vec8()?;
        let mut suites = Bytes(left.vec16()?);
        while let Some(suite) = suites.u16() {
            self.anonymous |= is_anonymous(suite);
        }
        let _compression = left.vec8()?;
        let len = left.u16()?;
        let mut extensions = Bytes(left.up_to(len.into()));
        loop {
            let (kind, len) = (extensions.u16()?, extensions.u16()?);
            let body = extensions.up_to(len.into());
            match kind {
                SERVER_NAME if self.host == Host::default() => {
                    self.host = server_name(body).unwrap_or_default();
                }
                ALPN if self.alpn.is_none() => self.alpn = alpn(body),
                SUPPORTED_VERSIONS => {
                    self.version = supported(body).unwrap_or(self.version);
                }
                kind => self.hidden |= ENCRYPTED.contains(&kind),
            }
        }
    }

    /// What this says of the stream.
    pub fn identity(self, app: App) -> Identity {
        Identity {
            domain: self.host.domain,
            hidden: self.hidden,
            details: Details {
                host: self.host.other,
                alpn: self.alpn,
                version: Some(version_name(self.version)),
                ..Details::default()
            },
            ..Identity::of(app)
        }
    }
}

fn server_name(body: &[u8]) -> Option<Host> {
    let mut body = Bytes(body);
    let len = body.u16()?;
    let mut names = Bytes(body.up_to(len.into()));
    loop {
        let (kind, name) = (names.u8()?, names.vec16()?);
        if kind == 0 {
            return Some(Host::name(name));
        }
    }
}

fn alpn(body: &[u8]) -> Option<Arc<str>> {
    let mut body = Bytes(body);
    let _len = body.u16()?;
    body.vec8().map(text)
}

/// The highest known version; others are there to keep servers tolerant (RFC 8701).
fn supported(body: &[u8]) -> Option<u16> {
    let mut versions = Bytes(Bytes(body).vec8()?);
    std::iter::from_fn(|| versions.u16())
        .filter(|version| (0x0300..=0x0304).contains(version))
        .max()
}

/// What a version is called.
pub(super) fn version_name(version: u16) -> Arc<str> {
    match version {
        0x0002 => "SSL 2".into(),
        0x0300 => "SSL 3".into(),
        0x0301 => "TLS 1.0".into(),
        0x0302 => "TLS 1.1".into(),
        0x0303 => "TLS 1.2".into(),
        0x0304 => "TLS 1.3".into(),
        other => format!("0x{other:04x}").into(),
    }
}

/// Whether a server shows no certificate with this cipher suite: Kerberos, anonymous Diffie-Hellman, a key that both
/// ends know (but not with RSA), SRP without a signature.
pub(super) fn is_anonymous(suite: u16) -> bool {
    matches!(
        suite,
        0x0017..=0x002d
            | 0x0034
            | 0x003a
            | 0x0046
            | 0x006c..=0x006d
            | 0x0089
            | 0x008a..=0x0091
            | 0x009b
            | 0x00a6..=0x00ab
            | 0x00ae..=0x00b5
            | 0x00bf
            | 0x00c5
            | 0xc015..=0xc01a
            | 0xc01d
            | 0xc020
            | 0xc033..=0xc03b
            | 0xc046..=0xc047
            | 0xc05a..=0xc05b
            | 0xc064..=0xc067
            | 0xc06a..=0xc06d
            | 0xc070..=0xc071
            | 0xc084..=0xc085
            | 0xc08e..=0xc091
            | 0xc094..=0xc097
            | 0xc09a..=0xc09b
            | 0xc0a4..=0xc0ab
            | 0xccab..=0xccad
            | 0xd001..=0xd005
    )
}
