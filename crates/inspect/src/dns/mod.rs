//! DNS messages (RFC 1035): what is asked, what is answered, and how a query is refused.

mod message;
mod refuse;

pub use message::{Address, MAX_ANSWERS, Message, Question};
pub use refuse::refuse;

use crate::Identity;
use crate::bytes::Bytes;
use crate::recognise::{Match, Seen};
use message::Header;
use model::App;

const PORT: u16 = 53;

/// Ports of protocols whose messages look the same: NetBIOS names, mDNS, LLMNR.
const OTHERS: [u16; 3] = [137, 5353, 5355];

/// The messages in the first bytes of one end of a TCP stream: those that are whole, and how many bytes they take.
pub fn split(stream: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut messages = Vec::new();
    let mut left = Bytes(stream);
    let mut taken = 0;
    while let Some(message) = left.vec16() {
        messages.push(message);
        taken = stream.len() - left.0.len();
    }
    (messages, taken)
}

pub(crate) fn recognise(seen: &Seen) -> Match {
    let mut left = Bytes(seen.client);
    if left.0.is_empty() {
        return Match::More;
    }
    let Some(len) = left.u16() else {
        return Match::More;
    };
    if usize::from(len) < Header::LEN {
        return Match::No;
    }
    // The header's fields as they come, so that nothing else has to wait for this.
    let fits = |at: usize, fits: fn(u8) -> bool| left.0.get(at).is_none_or(|byte| fits(*byte));
    if !fits(2, |flags| flags & 0xf8 == 0) || !fits(4, |high| high == 0) || !fits(5, |low| low == 1)
    {
        return Match::No;
    }
    match left.take(len.into()) {
        Some(message) => datagram(message, seen.port, true),
        None => Match::More,
    }
}

/// What a datagram to or from a port is; at other ports than its own only the `first` counts.
pub(crate) fn datagram(message: &[u8], port: u16, first: bool) -> Match {
    let parsed = match port {
        PORT => match Message::parse(message) {
            // What is asked for cannot be read, but it is asked for.
            None if message::has_header(message) => return Match::yes(App::Dns),
            parsed => parsed,
        },
        port if OTHERS.contains(&port) || !first => None,
        _ => Message::parse(message).filter(|it| !it.response && message::is_plain_query(message)),
    };
    let Some(message) = parsed else {
        return Match::No;
    };
    let domain = model::domain::normalise(&message.question.name).ok();
    Match::Yes(Identity {
        domain: domain.map(Into::into),
        ..Identity::of(App::Dns)
    })
}

/// Whether a datagram answers a query.
pub(crate) fn is_answer(datagram: &[u8]) -> bool {
    let header = Header::read(&mut Bytes(datagram));
    message::has_header(datagram) && header.is_some_and(Header::response)
}

#[cfg(test)]
mod tests;
