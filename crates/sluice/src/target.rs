//! The ends of a traced packet as they are written: `web-1`, `203.0.113.9:5555`, `198.51.100.7:443/tcp`.

use model::text::{ICMP, TCP, UDP, protocol_name, protocol_number, quote};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Why the text is no end of a packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing before the port.
    #[error("the address or the name is missing: write e.g. 198.51.100.7:443/tcp")]
    NoHost,
    /// Looks like an address, but is none.
    #[error("{} is not an IPv4 address", quote(.0))]
    BadAddress(String),
    /// Neither an address nor a resource's name.
    #[error(
        "`{0}` is neither an IPv4 address nor the name of a resource (letters, digits, `-`, `_`, `.`)"
    )]
    BadName(String),
    /// Not a port.
    #[error("{} is not a port: 1 to 65535", quote(.0))]
    BadPort(String),
    /// Not a protocol.
    #[error("{} is not a protocol: tcp, udp, icmp, gre or a number from 0 to 255", quote(.0))]
    BadProtocol(String),
    /// A protocol that has ports, without one.
    #[error("{0} needs a port: write e.g. 198.51.100.7:443/{0}")]
    PortMissing(String),
    /// A protocol without ports, with one.
    #[error("protocol {0} has no ports: leave `:{1}` out")]
    PortNotAllowed(String, u16),
    /// A source with a protocol.
    #[error("a source has no protocol: write it with the destination, --to ADDRESS:PORT/{0}")]
    ProtocolInSource(String),
}

/// An address, or the name of an instance, a network interface or an EIP. In JSON a string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Host {
    /// An address.
    Address(Ipv4Addr),
    /// A name.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => f.pad(name),
        }
    }
}

impl From<Host> for String {
    fn from(host: Host) -> String {
        host.to_string()
    }
}

impl TryFrom<String> for Host {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Host, TargetError> {
        text.parse()
    }
}

impl FromStr for Host {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Host, TargetError> {
        if text.is_empty() {
            return Err(TargetError::NoHost);
        }
        if let Ok(address) = text.parse() {
            return Ok(Host::Address(address));
        }
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(TargetError::BadAddress(text.to_owned()));
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        {
            return Err(TargetError::BadName(text.to_owned()));
        }
        Ok(Host::Name(text.to_owned()))
    }
}

/// Where a traced packet comes from: `HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The sender.
    pub host: Host,
    /// Its port, if that matters.
    pub port: Option<u16>,
}

impl FromStr for Source {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Source, TargetError> {
        // A name may have a `/` in it, a port may not.
        if let Some((_, port)) = text.split_once(':')
            && let Some((_, protocol)) = port.split_once('/')
        {
            return Err(TargetError::ProtocolInSource(protocol.to_owned()));
        }
        let (host, port) = host_and_port(text)?;
        Ok(Source { host, port })
    }
}

/// Where a traced packet goes: `HOST[:PORT][/PROTOCOL]`. Without a protocol it is TCP if there is a
/// port, else ICMP echo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The receiver.
    pub host: Host,
    /// Its port; `None` for protocols without ports.
    pub port: Option<u16>,
    /// The IP protocol's number.
    pub protocol: u8,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let (end, protocol) = match text.rsplit_once('/') {
            Some((end, protocol)) => (end, Some(parse_protocol(protocol)?)),
            None => (text, None),
        };
        let (host, port) = host_and_port(end)?;
        let protocol = protocol.unwrap_or(if port.is_some() { TCP } else { ICMP });
        match (protocol, port) {
            (TCP | UDP, None) => Err(TargetError::PortMissing(protocol_name(protocol))),
            (TCP | UDP, Some(_)) | (_, None) => Ok(Target {
                host,
                port,
                protocol,
            }),
            (_, Some(port)) => Err(TargetError::PortNotAllowed(protocol_name(protocol), port)),
        }
    }
}

fn host_and_port(text: &str) -> Result<(Host, Option<u16>), TargetError> {
    let Some((host, port)) = text.split_once(':') else {
        return Ok((text.parse()?, None));
    };
    match port.parse() {
        Ok(0) | Err(_) => Err(TargetError::BadPort(port.to_owned())),
        Ok(number) => Ok((host.parse()?, Some(number))),
    }
}

/// The number of a protocol given by name or number.
///
/// # Errors
/// [`TargetError::BadProtocol`] if it is neither.
pub fn parse_protocol(text: &str) -> Result<u8, TargetError> {
    protocol_number(&text.to_ascii_lowercase())
        .or_else(|| text.parse().ok())
        .ok_or_else(|| TargetError::BadProtocol(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Host {
        Host::Address(text.parse().unwrap())
    }

    fn name(text: &str) -> Host {
        Host::Name(text.to_owned())
    }

    #[test]
    fn targets() {
        for (text, host, port, protocol) in [
            (
                "198.51.100.7:443/tcp",
                address("198.51.100.7"),
                Some(443),
                TCP,
            ),
            ("198.51.100.7:443", address("198.51.100.7"), Some(443), TCP),
            (
                "198.51.100.7:53/UDP",
                address("198.51.100.7"),
                Some(53),
                UDP,
            ),
            ("198.51.100.7/icmp", address("198.51.100.7"), None, ICMP),
            ("198.51.100.7", address("198.51.100.7"), None, ICMP),
            ("198.51.100.7/47", address("198.51.100.7"), None, 47),
            ("eip-1:80/tcp", name("eip-1"), Some(80), TCP),
            ("web_1.a:65535/17", name("web_1.a"), Some(65535), UDP),
            ("shop/web:80/tcp", name("shop/web"), Some(80), TCP),
        ] {
            assert_eq!(
                text.parse(),
                Ok(Target {
                    host,
                    port,
                    protocol
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn false_targets_say_what_is_wrong() {
        use TargetError::*;
        for (text, error) in [
            ("", NoHost),
            (":80/tcp", NoHost),
            ("/tcp", NoHost),
            ("198.51.100.256:80", BadAddress("198.51.100.256".into())),
            ("198.51.100:80", BadAddress("198.51.100".into())),
            ("we b:80", BadName("we b".into())),
            ("\u{202e}web", BadName("\u{202e}web".into())),
            ("web:0", BadPort("0".into())),
            ("web:65536/tcp", BadPort("65536".into())),
            ("web:", BadPort("".into())),
            ("web:80:81", BadPort("80:81".into())),
            ("2001:db8::1", BadPort("db8::1".into())),
            ("web:80/sctp", BadProtocol("sctp".into())),
            ("web:80/", BadProtocol("".into())),
            ("web/256", BadProtocol("256".into())),
            ("web/tcp", PortMissing("tcp".into())),
            ("web/udp", PortMissing("udp".into())),
            ("web:80/icmp", PortNotAllowed("icmp".into(), 80)),
        ] {
            assert_eq!(text.parse::<Target>(), Err(error), "{text}");
        }
    }

    #[test]
    fn sources() {
        assert_eq!(
            "203.0.113.9:5555".parse(),
            Ok(Source {
                host: address("203.0.113.9"),
                port: Some(5555)
            })
        );
        assert_eq!(
            "web-1".parse(),
            Ok(Source {
                host: name("web-1"),
                port: None
            })
        );
        assert_eq!(
            "web-1:80/tcp".parse::<Source>(),
            Err(TargetError::ProtocolInSource("tcp".into()))
        );
    }
}
