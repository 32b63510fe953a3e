//! DNS messages (RFC 1035): what is asked, what is answered, and how a query is refused.

use std::net::IpAddr;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, as [`model::domain::normalise`] gives it; if it is none, as it stands, in lower case.
    pub name: String,
    /// The type of record: 1 for A, 28 for AAAA …
    pub kind: u16,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Pairs query and answer.
    pub id: u16,
    /// It is an answer.
    pub response: bool,
    /// The answer's code: 0 for no error, 3 for no such domain.
    pub code: u8,
    /// It was cut short.
    pub truncated: bool,
    /// What is asked for; the first question, if there are several.
    pub question: Question,
    /// The addresses that the name asked for has, CNAMEs followed.
    pub addresses: Vec<Address>,
}

/// An address that a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// For how many seconds: the least of the record and of the CNAMEs before it.
    pub ttl: u32,
}

impl Message {
    /// Reads a message as it is in a UDP datagram.
    pub fn parse(message: &[u8]) -> Option<Message> {
        let _ = message;
        None
    }
}

/// The messages in the first bytes of a TCP stream: those that are whole, and how many bytes they take.
pub fn split(stream: &[u8]) -> (Vec<&[u8]>, usize) {
    let _ = stream;
    (Vec::new(), 0)
}

/// An answer to a query: REFUSED, or `empty`: no error and no record. Of a TCP stream give and take messages without
/// their length.
pub fn refuse(query: &[u8], empty: bool) -> Option<Vec<u8>> {
    let _ = (query, empty);
    None
}
