//! TLS and SSL over TCP (RFC 5246, RFC 8446): what the client's hello says, and what the server shows.

mod certificate;
mod hello;
mod records;
mod server;

pub(crate) use hello::ClientHello;
pub(crate) use records::midstream;

use crate::Identity;
use crate::bytes::Bytes;
use crate::recognise::{Match, Seen, lines};
use model::App;
use records::{Handshake, handshake};
use server::Shown;

const CLIENT_HELLO: u8 = 1;

pub(crate) fn recognise(seen: &Seen) -> Match {
    let app = App::tls(seen.port);
    if seen.client.is_empty() {
        let server = seen.closed && midstream(seen.server, true) == Some(true);
        return if server { Match::yes(app) } else { Match::More };
    }
    match client(seen.client, seen.closed) {
        Client::No => Match::No,
        Client::More => Match::More,
        Client::Begun => Match::App(app),
        Client::Old => Match::yes(app),
        Client::Hello(client) if client.anonymous => {
            // Its server may have no certificate.
            let shown = Shown::parse(seen.server);
            match shown.hello {
                Some(hello) if hello.anonymous() => Match::Yes(client.identity(App::SslNoCert)),
                None if !seen.closed && !shown.complete => Match::App(app),
                _ => Match::Yes(client.identity(app)),
            }
        }
        Client::Hello(hello) => Match::Yes(hello.identity(app)),
    }
}

/// What a client begins with.
#[derive(Debug)]
pub(crate) enum Client {
    /// Nothing of TLS.
    No,
    /// Too little to tell.
    More,
    /// A hello that has not come to its end.
    Begun,
    /// A hello of SSL 2, which has no names.
    Old,
    /// A hello.
    Hello(Box<ClientHello>),
}

/// Looks at the first bytes of a client; at the end (`closed`) a hello that is cut short has to do.
pub(crate) fn client(bytes: &[u8], closed: bool) -> Client {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return old(bytes);
    }
    match handshake(bytes, CLIENT_HELLO) {
        Handshake::No => Client::No,
        Handshake::More => Client::More,
        Handshake::Part(body) if closed => Client::Hello(Box::new(ClientHello::parse(&body))),
        Handshake::Part(_) => Client::Begun,
        Handshake::Whole(body) => Client::Hello(Box::new(ClientHello::parse(&body))),
    }
}

/// The hello of SSL 2, with which also clients of later versions began once (RFC 5246, appendix E.2).
fn old(bytes: &[u8]) -> Client {
    if bytes.get(2).is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Client::No;
    }
    let mut left = Bytes(bytes);
    let mut fields = || {
        let (len, _kind, version) = (left.u16()? & 0x7fff, left.u8()?, left.u16()?);
        let (suites, session, challenge) = (left.u16()?, left.u16()?, left.u16()?);
        let fits = matches!(version, 0x0002 | 0x0300..=0x0303)
            && suites > 0
            && suites % 3 == 0
            && matches!(session, 0 | 16)
            && (16..=32).contains(&challenge)
            && u32::from(len) == 9 + u32::from(suites) + u32::from(session) + u32::from(challenge);
        Some(if fits { Client::Old } else { Client::No })
    };
    fields().unwrap_or(Client::More)
}

/// Adds what the server has shown; whether it will show no more.
pub(crate) fn add_details(identity: &mut Identity, server: &[u8]) -> bool {
    // After STARTTLS, behind lines of text.
    let begins = |at: &usize| server.get(*at).is_none_or(|byte| *byte < b' ');
    let start = match begins(&0) {
        true => Some(0),
        false => lines(server).map(|(_, next)| next).find(begins),
    };
    let shown = Shown::parse(
        server
            .get(start.unwrap_or(server.len())..)
            .unwrap_or_default(),
    );
    if let Some(hello) = shown.hello {
        identity.details.version = Some(hello::version_name(hello.version));
    }
    if !shown.certificate.is_empty() {
        identity.details.certificate = shown.certificate;
    }
    shown.complete
}

#[cfg(test)]
mod tests;
