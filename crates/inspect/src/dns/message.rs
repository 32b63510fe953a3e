//! Reading messages.

use crate::bytes::Bytes;
use crate::name::text;
use std::net::IpAddr;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const IN: u16 = 1;

/// The last kind of message that there is: UPDATE.
pub(super) const MAX_OPCODE: u16 = 5;

/// The most answers that are looked at.
const MAX_RECORDS: u16 = 128;

/// Answers of a message that are read.
pub const MAX_ANSWERS: u16 = 512;

/// The most CNAMEs that are followed.
const MAX_ALIASES: usize = 16;

/// The most bytes of a name (RFC 1035, section 3.1).
const MAX_NAME: usize = 255;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, as [`model::domain::normalise`] gives it; if it is no domain, as it stands, in lower case.
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
    /// For how many seconds: the least of its record and of the CNAMEs before it.
    pub ttl: u32,
}

/// The fixed part that a message begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub id: u16,
    pub flags: u16,
    pub questions: u16,
    pub answers: u16,
    pub authorities: u16,
    pub additional: u16,
}

impl Header {
    pub const LEN: usize = 12;

    pub fn read(left: &mut Bytes) -> Option<Header> {
        Some(Header {
            id: left.u16()?,
            flags: left.u16()?,
            questions: left.u16()?,
            answers: left.u16()?,
            authorities: left.u16()?,
            additional: left.u16()?,
        })
    }

    pub fn response(self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub fn opcode(self) -> u16 {
        (self.flags >> 11) & 15
    }
}

/// A name, its labels one after the other with a dot between them.
type Name = Vec<u8>;

impl Message {
    /// Reads a message as it is in a UDP datagram. Of answers that are broken, those before the first broken one count.
    pub fn parse(message: &[u8]) -> Option<Message> {
        let mut left = Bytes(message);
        let header = Header::read(&mut left)?;
        if header.questions == 0 || header.opcode() > MAX_OPCODE {
            return None;
        }
        let (name, kind, _class) = question(&mut left, message)?;
        for _ in 1..header.questions.min(MAX_RECORDS) {
            question(&mut left, message)?;
        }
        let mut records = Records::default();
        for _ in 0..header.answers.min(MAX_ANSWERS) {
            if records.read(&mut left, message).is_none() {
                break;
            }
        }
        let text = text(&name).to_string();
        Some(Message {
            id: header.id,
            response: header.response(),
            code: (header.flags & 15) as u8,
            truncated: header.flags & 0x0200 != 0,
            question: Question {
                name: model::domain::normalise(&text).unwrap_or(text),
                kind,
            },
            addresses: records.of(name),
        })
    }
}

/// Whether a message begins as one does: with a question, or with records only, as some answers do.
pub(super) fn has_header(message: &[u8]) -> bool {
    Header::read(&mut Bytes(message)).is_some_and(|header| {
        let records = [header.answers, header.authorities, header.additional];
        let some = records.iter().all(|count| *count <= MAX_RECORDS) && header.flags & 0x0040 == 0;
        let asks = header.questions == 1
            || header.questions == 0 && header.response() && records != [0; 3];
        some && asks && header.opcode() <= MAX_OPCODE
    })
}

/// Whether a message is a query as resolvers send it, and nothing but that.
pub(super) fn is_plain_query(message: &[u8]) -> bool {
    let mut left = Bytes(message);
    let mut plain = || {
        let header = Header::read(&mut left)?;
        // Of the flags, recursion desired, authentic data and checking disabled may be set.
        let fits = header.flags & !0x0130 == 0
            && (header.questions, header.answers, header.authorities) == (1, 0, 0)
            && header.additional <= 1;
        let (name, kind, class) = question(&mut left, message).filter(|_| fits)?;
        let known = class == IN && (1..=260).contains(&kind);
        let valid = model::domain::normalise(std::str::from_utf8(&name).ok()?).is_ok();
        if header.additional == 1 {
            let (owner, kind, _) = question(&mut left, message)?;
            let _ttl = left.u32()?;
            left.vec16().filter(|_| owner.is_empty() && kind == OPT)?;
        }
        Some(known && valid)
    };
    plain() == Some(true) && left.0.is_empty()
}

/// Reads a question: its name, type and class.
pub(super) fn question<'a>(left: &mut Bytes<'a>, message: &'a [u8]) -> Option<(Name, u16, u16)> {
    Some((name(left, message)?, left.u16()?, left.u16()?))
}

/// Whether there is an OPT record among the additional ones of a query (RFC 6891).
pub(super) fn has_opt<'a>(header: Header, left: &mut Bytes<'a>, message: &'a [u8]) -> bool {
    let others = u32::from(header.answers) + u32::from(header.authorities);
    for at in 0..(others + u32::from(header.additional)).min(MAX_RECORDS.into()) {
        let Some((_, kind, _)) = question(left, message) else {
            return false;
        };
        if at >= others && kind == OPT {
            return true;
        }
        if left.take(4).and_then(|_| left.vec16()).is_none() {
            return false;
        }
    }
    false
}

/// Reads a name, compressed or not, into lower case.
fn name<'a>(left: &mut Bytes<'a>, message: &'a [u8]) -> Option<Name> {
    let mut name = Name::new();
    let mut at = *left;
    // Whether a pointer was followed: what comes after the name is behind the first.
    let mut elsewhere = false;
    let mut limit = message.len();
    loop {
        let len = usize::from(at.u8()?);
        match len >> 6 {
            0 if len == 0 => {
                if !elsewhere {
                    *left = at;
                }
                return Some(name);
            }
            0 => {
                let label = at.take(len)?;
                if !name.is_empty() {
                    name.push(b'.');
                }
                if name.len() + len > MAX_NAME {
                    return None;
                }
                name.extend(label.iter().map(u8::to_ascii_lowercase));
            }
            3 => {
                let target = (len & 0x3f) << 8 | usize::from(at.u8()?);
                // Always towards the beginning, or it would not end.
                if target >= limit {
                    return None;
                }
                limit = target;
                if !elsewhere {
                    *left = at;
                }
                elsewhere = true;
                at = Bytes(message.get(target..)?);
            }
            _ => return None,
        }
    }
}

/// The answers that count.
#[derive(Default)]
struct Records {
    aliases: Vec<(Name, Name, u32)>,
    addresses: Vec<(Name, Address)>,
}

impl Records {
    fn read<'a>(&mut self, left: &mut Bytes<'a>, message: &'a [u8]) -> Option<()> {
        let (owner, kind, class) = question(left, message)?;
        let ttl = left.u32()?;
        // Negative ones count as none (RFC 2181, section 8).
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        let data = left.vec16()?;
        let address: Option<IpAddr> = match kind {
            A => <[u8; 4]>::try_from(data).ok().map(Into::into),
            AAAA => <[u8; 16]>::try_from(data).ok().map(Into::into),
            _ => None,
        };
        match address {
            _ if class != IN => {}
            Some(address) => self.addresses.push((owner, Address { address, ttl })),
            None if kind == CNAME => {
                let target = name(&mut Bytes(data), message)?;
                self.aliases.push((owner, target, ttl));
            }
            None => {}
        }
        Some(())
    }

    /// The addresses of a name.
    fn of(mut self, mut name: Name) -> Vec<Address> {
        let mut ttl = u32::MAX;
        for _ in 0..MAX_ALIASES {
            let Some(at) = self.aliases.iter().position(|(owner, ..)| *owner == name) else {
                break;
            };
            let (_, target, its) = self.aliases.swap_remove(at);
            (name, ttl) = (target, ttl.min(its));
        }
        let own = self
            .addresses
            .into_iter()
            .filter(|(owner, _)| *owner == name);
        own.map(|(_, address)| Address {
            ttl: address.ttl.min(ttl),
            ..address
        })
        .collect()
    }
}
