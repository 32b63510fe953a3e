//! Lists of threat indicators, as feeds write them, and of the networks of cloud services, as providers do. Hostile input:
//! bounded in memory whatever a list holds.

mod lines;
mod published;
mod stix;

use crate::categories::category_of;
use crate::threats::Indicator;
use ipnet::Ipv4Net;
use model::{CloudService, FeedFormat, domain};
use std::io::{self, Read};
use std::net::Ipv4Addr;

/// The most bytes of a list.
pub const MAX_BYTES: u64 = 512 << 20;
/// The most indicators of a list.
pub const MAX_INDICATORS: u64 = 4_000_000;
/// The most networks of a list of cloud services.
pub const MAX_NETWORKS: u64 = 1_000_000;
/// Of how many lines that are no indicator it is told which.
const TOLD: usize = 20;
/// Networks of more addresses than this prefix has are no indicator: a slip in a list would cut off the world.
const WIDEST: u8 = 8;

/// What was in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many indicators.
    pub indicators: u64,
    /// How many lines, or objects of a bundle, should be indicators and are none.
    pub skipped: u64,
    /// The first of them.
    pub first_skipped: Vec<Skipped>,
    /// When something in it begins or ceases to be valid next, in seconds since 1970 UTC.
    pub changes: Option<u64>,
}

/// A line that is no indicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Which line, from 1; of a STIX bundle, which object; of networks in JSON, which of them.
    pub line: u64,
    /// Why.
    pub why: Why,
}

/// Why a line is no indicator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is something else.
    #[error("{} is no IPv4 address, network or domain name", model::text::quote(.0))]
    Nothing(String),
    /// IPv6 is not looked at.
    #[error("{0} is IPv6")]
    Ipv6(String),
    /// It would be a good part of the Internet.
    #[error("{0} is too much to be an indicator")]
    TooWide(String),
    /// It is a name, and cloud services are addresses.
    #[error("{0} is a name: only addresses and networks are wanted")]
    Name(String),
    /// It is longer than any line needs to be.
    #[error("it has more than {} bytes", lines::LONGEST)]
    TooLong,
    /// It is not in UTF-8.
    #[error("it is not in UTF-8")]
    NotText,
    /// It says since when or until when it is valid, and that is no time.
    #[error("{} is no time", model::text::quote(.0))]
    Time(String),
    /// A STIX pattern of a kind that says nothing by itself.
    #[error("the pattern {} is more than a list of addresses, domains and URLs", model::text::quote(.0))]
    Pattern(String),
}

/// A list that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The reader fails.
    #[error("reading fails: {0}")]
    Io(#[from] io::Error),
    /// It has too many bytes.
    #[error("there are more than {MAX_BYTES} bytes")]
    TooLong,
    /// It has too many indicators.
    #[error("there are more than {MAX_INDICATORS} indicators")]
    TooMany,
    /// A bundle is no JSON, or no bundle.
    #[error("this is no STIX 2.1 bundle: {0}")]
    Stix(#[from] serde_json::Error),
    /// It begins as JSON, and is none.
    #[error("this is no JSON: {0}")]
    Json(serde_json::Error),
    /// It has too many networks.
    #[error("there are more than {MAX_NETWORKS} networks")]
    TooManyNetworks,
    /// There is nothing in it.
    #[error("it has no IPv4 network of the services and regions that are wanted")]
    NoNetwork,
    /// It says nothing of services.
    #[error("it is plain text: no services or regions are named in it")]
    Unnamed,
}

/// Reads a list and gives `each` its indicators, and their category where the list says one that there is
/// ([`CATEGORIES`](crate::CATEGORIES)).
///
/// Indicators that are revoked, or that at this time (`now`, in seconds since 1970 UTC) are not valid yet or any more, are none.
/// What should be an indicator and is none is counted and told, and the rest is read. Names of one label, networks larger
/// than a /8, and the names that hosts files have for the machine itself are no indicators.
///
/// # Errors
/// If the list cannot be read to its end. What was given until then is no list.
pub fn read(
    from: impl Read,
    format: FeedFormat,
    now: u64,
    each: &mut dyn FnMut(Indicator, Option<&'static str>),
) -> Result<Report, FeedError> {
    let mut limited = from.take(MAX_BYTES + 1);
    let mut sink = Sink {
        each,
        report: Report::default(),
        names: true,
    };
    match format {
        FeedFormat::Stix => stix::read(&mut limited, now, &mut sink)?,
        _ => lines::read(&mut io::BufReader::new(&mut limited), format, &mut sink)?,
    }
    match limited.limit() {
        0 => Err(FeedError::TooLong),
        _ => Ok(sink.report),
    }
}

/// Reads a list and gives `each` the networks of a cloud service: in JSON, as providers publish them, those of the services and regions
/// that are wanted; or one a line. Which it is, is seen by how it begins.
///
/// What is IPv6, or larger than a /8, is counted and told, and so is a line that is no network.
///
/// # Errors
/// If the list cannot be read to its end, or if it is JSON and there is nothing in it.
pub fn read_networks(
    from: impl Read,
    service: &CloudService,
    each: &mut dyn FnMut(Ipv4Net),
) -> Result<Report, FeedError> {
    let mut limited = from.take(MAX_BYTES + 1);
    let mut sink = Sink {
        each: &mut |indicator, _| match indicator {
            Indicator::Net(net) => each(net),
            // The sink lets no names pass.
            Indicator::Domain(_) | Indicator::Host(_) => {}
        },
        report: Report::default(),
        names: false,
    };
    published::read(&mut io::BufReader::new(&mut limited), service, &mut sink)?;
    match limited.limit() {
        0 => Err(FeedError::TooLong),
        _ if sink.report.indicators > MAX_NETWORKS => Err(FeedError::TooManyNetworks),
        _ => Ok(sink.report),
    }
}

/// Where what is read goes to.
struct Sink<'a> {
    each: &'a mut dyn FnMut(Indicator, Option<&'static str>),
    report: Report,
    /// Whether names are wanted, too.
    names: bool,
}

impl Sink<'_> {
    fn found(
        &mut self,
        indicator: Indicator,
        category: Option<&'static str>,
    ) -> Result<(), FeedError> {
        if self.report.indicators >= MAX_INDICATORS {
            return Err(FeedError::TooMany);
        }
        self.report.indicators += 1;
        (self.each)(indicator, category);
        Ok(())
    }

    /// Takes note of a time at which something changes.
    fn changes(&mut self, at: u64) {
        let changes = &mut self.report.changes;
        *changes = Some(changes.map_or(at, |it| it.min(at)));
    }

    fn skip(&mut self, line: u64, why: Why) {
        self.report.skipped += 1;
        if self.report.first_skipped.len() < TOLD {
            self.report.first_skipped.push(Skipped { line, why });
        }
    }
}

/// Reads an indicator: an address, with a port or not; a network; a domain, with `*.` or a dot before it or not; a URL.
fn indicator(text: &str) -> Result<Indicator, Why> {
    let text = text.trim();
    let shown = || text.chars().take(80).collect::<String>();
    let host = match text.split_once("://") {
        Some((_, rest)) => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            host.rsplit('@').next().unwrap_or_default()
        }
        // Obfuscated, as people write to each other: `evil[.]example`.
        None => text,
    };
    let plain = host.replace("[.]", ".");
    if plain.parse::<std::net::Ipv6Addr>().is_ok()
        || plain.starts_with('[')
        || plain.parse::<ipnet::Ipv6Net>().is_ok()
    {
        return Err(Why::Ipv6(shown()));
    }
    let plain = match plain.split_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) => return Err(Why::Nothing(shown())),
        None => &plain,
    };
    let net = plain.parse::<Ipv4Net>().ok();
    let address = || plain.parse::<Ipv4Addr>().ok().map(Ipv4Net::from);
    if let Some(net) = net.or_else(address) {
        return match net.prefix_len() {
            len if len < WIDEST => Err(Why::TooWide(shown())),
            _ => Ok(Indicator::Net(net.trunc())),
        };
    }
    let name = plain.strip_prefix("*.").unwrap_or(plain);
    let name = name.strip_prefix('.').unwrap_or(name);
    let Ok(name) = domain::normalise(name) else {
        return Err(Why::Nothing(shown()));
    };
    match name.contains('.') {
        // What ends in a number is an address gone wrong, and no top-level domain is one.
        true if name.ends_with(|last: char| last.is_ascii_digit()) => Err(Why::Nothing(shown())),
        true => Ok(Indicator::Domain(name)),
        false if host == text && !text.contains(['.', '*']) => Err(Why::Nothing(shown())),
        false => Err(Why::TooWide(shown())),
    }
}

/// A category that a list names.
fn category(word: &str) -> Option<&'static str> {
    category_of(word.trim()).map(|it| it.id)
}

#[cfg(test)]
mod tests;
