//! Words, ports and protocols as people write and read them.

use crate::*;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// The IP protocol number of TCP.
pub const TCP: u8 = 6;
/// The IP protocol number of UDP.
pub const UDP: u8 = 17;
/// The IP protocol number of GRE.
pub const GRE: u8 = 47;

/// The protocols that have a name here.
const PROTOCOLS: [(&str, u8); 4] = [("tcp", TCP), ("udp", UDP), ("icmp", ICMP), ("gre", GRE)];

/// The number of a named protocol: `tcp`, `udp`, `icmp` or `gre`.
pub fn protocol_number(name: &str) -> Option<u8> {
    PROTOCOLS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, number)| number)
}

/// The name of a protocol, or its number if it has none here.
pub fn protocol_name(number: u8) -> String {
    PROTOCOLS
        .iter()
        .find(|&&(_, known)| known == number)
        .map_or_else(|| number.to_string(), |(name, _)| (*name).into())
}

/// A text that is no port and no range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is neither a port nor a range of ports from 1 to 65535, like 80 or 8000-8099",
    quote(.0)
)]
pub struct BadPorts(pub String);

/// Reads a port (`80`) or a range of ports, both ends included (`8000-8099`, or `8000/8099` as the
/// cloud writes it). Ports are 1 to 65535.
pub fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, BadPorts> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let port = if digits { text.parse().ok() } else { None };
        port.filter(|&port: &u16| port > 0)
    };
    let (start, end) = text.split_once(['-', '/']).unwrap_or((text, text));
    match (port(start), port(end)) {
        (Some(start), Some(end)) if start <= end => Ok(start..=end),
        _ => Err(BadPorts(text.into())),
    }
}

/// Writes a range of ports as [`parse_ports`] reads it: `80`, `8000-8099`.
pub fn ports(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

/// Seconds since 1970 of a date with a time and an offset, as `2026-12-01T08:00:00Z` (RFC 3339); parts of a second do not count.
/// `None` if it is none, or before 1970.
pub fn moment(text: &str) -> Option<u64> {
    let given: toml::value::Datetime = text.parse().ok()?;
    crate::file::time::seconds(&given).ok()
}

/// Puts a text of unknown origin in quotes for a message: control characters escaped, not too long.
pub fn quote(text: &str) -> String {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A word that means nothing where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is none of {}", quote(given), expected.join(", "))]
pub struct UnknownWord {
    /// The word.
    pub given: String,
    /// The words that mean something there.
    pub expected: &'static [&'static str],
}

/// `Display` and `FromStr` for enumerations of words: the same words as in their serde form.
macro_rules! words {
    ($($kind:ident { $($variant:ident = $word:literal),+ })+) => {$(
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($kind::$variant => $word),+ })
            }
        }

        impl FromStr for $kind {
            type Err = UnknownWord;
            fn from_str(given: &str) -> Result<Self, UnknownWord> {
                match given {
                    $($word => Ok($kind::$variant),)+
                    _ => Err(UnknownWord { given: given.into(), expected: &[$($word),+] }),
                }
            }
        }
    )+};
}

words! {
    Hook { Auto = "auto", Tc = "tc", Xdp = "xdp" }
    UplinkMode { Own = "own", Shared = "shared" }
    SecurityGroupKind { Normal = "normal", Enterprise = "enterprise" }
    Direction { Ingress = "ingress", Egress = "egress" }
    Policy { Accept = "accept", Drop = "drop" }
    Mapping {
        EndpointIndependent = "endpoint-independent",
        AddressAndPortDependent = "address-and-port-dependent"
    }
    Filtering {
        AddressAndPortDependent = "address-and-port-dependent",
        EndpointIndependent = "endpoint-independent"
    }
    Pooling { Hash = "hash", Affinity = "affinity", Paired = "paired" }
    OutOfState { Reset = "reset", Drop = "drop" }
    EngineMode { Loose = "loose", Strict = "strict" }
    OnDrop { Reset = "reset", Silent = "silent" }
    NameCheck { Off = "off", Report = "report", Drop = "drop" }
    ThreatAction { Alert = "alert", Drop = "drop" }
    DnsRefusal { Refused = "refused", Empty = "empty" }
    PolicyAction { Accept = "accept", Drop = "drop", Log = "log" }
    DomainResolve { Fqdn = "fqdn", Dns = "dns", Both = "both" }
    FeedFormat { Plain = "plain", Hosts = "hosts", Csv = "csv", Stix = "stix" }
    OverCapacity { Degrade = "degrade", Block = "block" }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHop::Eni(id) => write!(f, "{} {id}", Kind::Eni),
            NextHop::NatGateway(id) => write!(f, "{} {id}", Kind::NatGateway),
            NextHop::NatFirewall(id) => write!(f, "{} {id}", Kind::NatFirewall),
            NextHop::Peering(id) => write!(f, "{} {id}", Kind::Peering),
            NextHop::Blackhole => f.write_str("blackhole"),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.destination, self.next_hop)
    }
}

impl fmt::Display for RulePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RulePeer::Cidr(cidr) => write!(f, "{cidr}"),
            RulePeer::Group(id) => write!(f, "group {id}"),
        }
    }
}

/// Without its priority: `accept ingress tcp 80 from 0.0.0.0/0`.
impl fmt::Display for SecurityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.map_or_else(|| "all".into(), protocol_name);
        write!(f, "{} {} {protocol}", self.policy, self.direction)?;
        if let Some(range) = &self.ports {
            write!(f, " {}", ports(range))?;
        }
        let towards = match self.direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        write!(f, " {towards} {}", self.peer)
    }
}

impl fmt::Display for EipBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EipBinding::Eni(id) => write!(f, "{} {id}", Kind::Eni),
            EipBinding::NatGateway(id) => write!(f, "{} {id}", Kind::NatGateway),
        }
    }
}

impl fmt::Display for DnatMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnatMapping::Any => f.write_str("any"),
            DnatMapping::Ports {
                protocol, external, ..
            } => {
                let internal = self.internal_ports().unwrap_or(0..=0);
                let protocol = protocol_name(*protocol);
                write!(f, "{protocol} {} -> {}", ports(external), ports(&internal))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::{DeserializeOwned, IntoDeserializer, value};

    /// Every word means the same in text and in serde.
    fn agree<T>(words: &[&'static str])
    where
        T: FromStr<Err = UnknownWord> + DeserializeOwned + PartialEq + fmt::Debug + ToString,
    {
        let expected = "?".parse::<T>().unwrap_err().expected;
        assert_eq!(expected, words);
        for &word in words {
            let read: T = word.parse().unwrap();
            let serde: Result<T, value::Error> = T::deserialize(word.into_deserializer());
            assert_eq!(Ok(&read), serde.as_ref());
            assert_eq!(read.to_string(), word);
        }
    }

    #[test]
    fn words_are_those_of_serde() {
        agree::<Hook>(&["auto", "tc", "xdp"]);
        agree::<UplinkMode>(&["own", "shared"]);
        agree::<SecurityGroupKind>(&["normal", "enterprise"]);
        agree::<Direction>(&["ingress", "egress"]);
        agree::<Policy>(&["accept", "drop"]);
        agree::<Mapping>(&["endpoint-independent", "address-and-port-dependent"]);
        agree::<Filtering>(&["address-and-port-dependent", "endpoint-independent"]);
        agree::<Pooling>(&["hash", "affinity", "paired"]);
        agree::<OutOfState>(&["reset", "drop"]);
        let error = "both".parse::<UplinkMode>().unwrap_err();
        assert_eq!(error.to_string(), r#""both" is none of own, shared"#);
    }

    #[test]
    fn ports_as_people_write_them() {
        assert_eq!(parse_ports("80"), Ok(80..=80));
        assert_eq!(parse_ports("8000-8099"), Ok(8000..=8099));
        assert_eq!(parse_ports("8000/8099"), Ok(8000..=8099));
        assert_eq!(parse_ports("1-65535"), Ok(1..=65535));
        for bad in [
            "", "0", "0-5", "65536", "9-8", "-1/-1", "+80", " 80", "80-", "1-2-3", "٣",
        ] {
            assert_eq!(parse_ports(bad), Err(BadPorts(bad.into())), "{bad:?}");
        }
    }

    #[test]
    fn protocols_by_name() {
        for name in ["tcp", "udp", "icmp", "gre"] {
            assert_eq!(protocol_name(protocol_number(name).unwrap()), name);
        }
        assert_eq!(protocol_number("sctp"), None);
        assert_eq!(protocol_name(132), "132");
    }

    #[test]
    fn quotes_are_short_and_printable() {
        assert_eq!(quote("a\n"), r#""a\n""#);
        assert_eq!(quote(&"ä".repeat(1000)), format!("\"{}\"…", "ä".repeat(64)));
    }

    #[test]
    fn rules_and_mappings_read_well() {
        let mut rule = SecurityRule {
            direction: Direction::Ingress,
            policy: Policy::Accept,
            priority: 1,
            protocol: Some(TCP),
            ports: Some(80..=81),
            peer: RulePeer::Cidr("10.0.0.0/8".parse().unwrap()),
        };
        assert_eq!(rule.to_string(), "accept ingress tcp 80-81 from 10.0.0.0/8");
        rule.direction = Direction::Egress;
        rule.protocol = None;
        rule.ports = None;
        rule.peer = RulePeer::Group("sg".into());
        assert_eq!(rule.to_string(), "accept egress all to group sg");
        let mapping = DnatMapping::Ports {
            protocol: UDP,
            external: 8000..=8099,
            internal: 9000,
        };
        assert_eq!(mapping.to_string(), "udp 8000-8099 -> 9000-9099");
        assert_eq!(NextHop::NatGateway("n".into()).to_string(), "NAT gateway n");
    }

    proptest! {
        #[test]
        fn ports_read_what_they_write(start in 1u16.., length: u16) {
            let range = start..=start.saturating_add(length);
            prop_assert_eq!(parse_ports(&ports(&range)), Ok(range));
        }
    }
}
