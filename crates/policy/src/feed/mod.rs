//! Lists of threat indicators, as feeds write them. Hostile input: bounded in memory whatever a list holds.

mod lines;
mod stix;

use crate::categories::category_of;
use crate::threats::Indicator;
use ipnet::Ipv4Net;
use model::{FeedFormat, domain};
use std::io::{self, Read};
use std::net::Ipv4Addr;

/// The most bytes of a list.
pub const MAX_BYTES: u64 = 512 << 20;
/// The most indicators of a list.
pub const MAX_INDICATORS: u64 = 4_000_000;
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
}

/// A line that is no indicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Which line, from 1; of a STIX bundle, which object.
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
    /// It is longer than any line needs to be.
    #[error("it has more than {} bytes", lines::LONGEST)]
    TooLong,
    /// It is not in UTF-8.
    #[error("it is not in UTF-8")]
    NotText,
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
}

/// Reads a list and gives `each` its indicators, and their category where the list says one that there is
/// ([`CATEGORIES`](crate::CATEGORIES)).
///
/// What should be an indicator and is none is counted and told, and the rest is read. Names of one label, networks larger
/// than a /8, and the names that hosts files have for the machine itself are no indicators.
///
/// # Errors
/// If the list cannot be read to its end. What was given until then is no list.
pub fn read(
    from: impl Read,
    format: FeedFormat,
    each: &mut dyn FnMut(Indicator, Option<&'static str>),
) -> Result<Report, FeedError> {
    let mut limited = from.take(MAX_BYTES + 1);
    let mut sink = Sink {
        each,
        report: Report::default(),
    };
    match format {
        FeedFormat::Stix => stix::read(&mut limited, &mut sink)?,
        _ => lines::read(&mut io::BufReader::new(&mut limited), format, &mut sink)?,
    }
    match limited.limit() {
        0 => Err(FeedError::TooLong),
        _ => Ok(sink.report),
    }
}

/// Where what is read goes to.
struct Sink<'a> {
    each: &'a mut dyn FnMut(Indicator, Option<&'static str>),
    report: Report,
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
