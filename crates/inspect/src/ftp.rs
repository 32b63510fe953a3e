//! FTP (RFC 959, RFC 2428): control connections, and the data connections that they announce.

use crate::From;
use crate::dialogue::{MAX_LINE, first_word, greeting_says, greets};
use crate::recognise::{Match, Seen, among, lines, word};
use model::App;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

const PORT: u16 = 21;

/// Nobody announces more before the first of them begins.
const MAX_RELATED: usize = 16;

const COMMANDS: [&str; 24] = [
    "USER", "PASS", "AUTH", "FEAT", "SYST", "OPTS", "PBSZ", "PROT", "PASV", "EPSV", "PORT", "EPRT",
    "CLNT", "HOST", "TYPE", "LIST", "NLST", "RETR", "STOR", "CWD", "PWD", "LANG", "SITE", "ACCT",
];

/// Others have these too.
const COMMON: [&str; 4] = ["QUIT", "HELP", "NOOP", "STAT"];

pub(crate) fn recognise(seen: &Seen) -> Match {
    let greeted = greets(seen.server, b"220");
    let says = || match greeting_says(seen.server, "FTP") {
        Some(false) => Some(seen.port == PORT),
        says => says,
    };
    if seen.client.is_empty() {
        return match seen.closed {
            true => Match::when(greeted == Some(true) && says() == Some(true), App::Ftp),
            false => Match::More,
        };
    }
    let own = first_word(seen.client, &COMMANDS);
    match (own, first_word(seen.client, &COMMON)) {
        (Some(false), Some(false)) => return Match::No,
        (Some(true), _) | (_, Some(true)) => {}
        _ => return Match::More,
    }
    match greeted {
        Some(false) => Match::No,
        None if seen.closed && seen.server.is_empty() => {
            Match::when(own == Some(true) && seen.port == PORT, App::Ftp)
        }
        None => Match::More,
        Some(true) if own == Some(true) => Match::yes(App::Ftp),
        Some(true) => match says() {
            Some(says) => Match::when(says, App::Ftp),
            None => Match::More,
        },
    }
}

/// A data connection that a control connection has announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Related {
    /// Who announced it, and so listens: the server (PASV, EPSV) or the client (PORT, EPRT).
    pub from: From,
    /// Where it listens; None: at its address in the control connection (EPSV).
    pub address: Option<IpAddr>,
    /// The TCP port that it listens at.
    pub port: u16,
}

/// A control connection that is watched for announcements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    related: VecDeque<Related>,
    /// It has turned into TLS: nothing more will be seen.
    encrypted: bool,
}

impl Control {
    /// Reads the whole lines of one end; how many bytes they take.
    pub fn read(&mut self, from: From, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for (line, next) in lines(bytes) {
            taken = next;
            self.line(from, line);
        }
        // What is no line is not waited for.
        if bytes.len() - taken > MAX_LINE {
            bytes.len()
        } else {
            taken
        }
    }

    fn line(&mut self, from: From, line: &[u8]) {
        let (first, rest) = word(line);
        let place = match from {
            // AUTH TLS and AUTH SSL are agreed to with 234.
            From::Server if first == b"234" => {
                self.encrypted = true;
                None
            }
            From::Server if first == b"227" => {
                digits(rest).map(|(address, port)| (Some(address), port))
            }
            From::Server if first == b"229" => {
                extended(between(rest, b'(', b')').unwrap_or_default())
            }
            From::Client if among(first, &["PORT"]) => {
                digits(rest).map(|(address, port)| (Some(address), port))
            }
            From::Client if among(first, &["EPRT"]) => extended(rest.trim_ascii()),
            _ => None,
        };
        let Some((address, port)) = place.filter(|(_, port)| *port != 0) else {
            return;
        };
        self.related.push_back(Related {
            from,
            address,
            port,
        });
        if self.related.len() > MAX_RELATED {
            self.related.pop_front();
        }
    }

    pub fn encrypted(&self) -> bool {
        self.encrypted
    }

    pub fn related(&mut self) -> impl Iterator<Item = Related> + '_ {
        self.related.drain(..)
    }
}

fn between(text: &[u8], open: u8, close: u8) -> Option<&[u8]> {
    let start = text.iter().position(|byte| *byte == open)? + 1;
    let len = text[start..].iter().position(|byte| *byte == close)?;
    Some(&text[start..start + len])
}

/// `h1,h2,h3,h4,p1,p2`, in parentheses or not, as servers and clients write it.
fn digits(text: &[u8]) -> Option<(IpAddr, u16)> {
    let start = text.iter().position(u8::is_ascii_digit)?;
    let fits = |byte: &u8| byte.is_ascii_digit() || *byte == b',';
    let len = text[start..].iter().take_while(|byte| fits(byte)).count();
    let text = std::str::from_utf8(&text[start..start + len]).ok()?;
    let mut numbers = text.split(',').map(|number| number.parse::<u8>().ok());
    let mut number = || numbers.next().flatten();
    let address = Ipv4Addr::new(number()?, number()?, number()?, number()?);
    let port = u16::from_be_bytes([number()?, number()?]);
    numbers.next().is_none().then_some((address.into(), port))
}

/// `|1|192.0.2.1|6446|`, `|||6446|`, with any delimiter.
fn extended(text: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let text = std::str::from_utf8(text).ok()?;
    let delimiter = text.chars().next()?;
    let mut fields = text.split(delimiter).skip(1);
    let (_family, address, port) = (fields.next()?, fields.next()?, fields.next()?);
    let address = match address {
        "" => None,
        address => Some(address.parse().ok()?),
    };
    Some((address, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{of, refuses, server_only};

    #[test]
    fn greeting_and_command_tell_it_from_smtp() {
        let greeting = b"220 ProFTPD ready\r\n";
        assert_eq!(of(b"USER x\r\n", greeting, 2121), Match::yes(App::Ftp));
        assert_eq!(of(b"QUIT\r\n", greeting, 2121), Match::yes(App::Ftp));
        assert!(refuses(recognise, b"QUIT\r\n", b"220 x\r\n", 2121));
        assert_eq!(of(b"QUIT\r\n", b"220 x\r\n", 21), Match::yes(App::Ftp));
        assert_eq!(of(b"USER x\r\n", b"22", 21), Match::More);
        assert_eq!(of(b"EHLO x\r\n", greeting, 21), Match::App(App::Smtp));
        assert_eq!(of(b"AUTH TLS\r\n", greeting, 21), Match::yes(App::Ftp));
        assert_eq!(server_only(greeting, 2121), Match::yes(App::Ftp));
    }

    #[test]
    fn data_connections_are_announced_in_four_ways() {
        let mut control = Control::default();
        let address = |text: &str| Some(text.parse().unwrap());
        let server =
            b"227 Entering Passive Mode (192,0,2,1,4,1).\r\n229 Entering (|||6446|)\r\n227 x\r\n22";
        assert_eq!(control.read(From::Server, server), server.len() - 2);
        let client = b"PORT 192,0,2,2,4,2\r\nEPRT |2|2001:db8::1|5282|\r\nport 1,2,3,4,5,256\r\nPORT 1,2,3,4,0,0\r\n";
        assert_eq!(control.read(From::Client, client), client.len());
        let found: Vec<_> = control
            .related()
            .map(|it| (it.from, it.address, it.port))
            .collect();
        assert_eq!(
            found,
            [
                (From::Server, address("192.0.2.1"), 1025),
                (From::Server, None, 6446),
                (From::Client, address("192.0.2.2"), 1026),
                (From::Client, address("2001:db8::1"), 5282),
            ]
        );
        assert_eq!(control.related().count(), 0);
        assert!(!control.encrypted());
        control.read(From::Server, b"234 AUTH TLS OK\r\n");
        assert!(control.encrypted());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut control = Control::default();
        for _ in 0..100 {
            control.read(From::Client, b"PORT 192,0,2,2,4,2\r\n");
        }
        assert_eq!(control.related().count(), MAX_RELATED);
        assert_eq!(control.read(From::Client, &[b'x'; 2_000]), 2_000);
    }
}
