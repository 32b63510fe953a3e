//! Domain names and patterns of them, in one form: lower case, ASCII (IDNA), without the dot at the end.

use crate::text::quote;
use std::fmt;
use std::str::FromStr;

/// The most bytes that a name has (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 253;

/// A text that is no domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no domain name like www.example.com{}", quote(.0), if *.1 { " and no pattern like *.example.com" } else { "" })]
pub struct BadDomain(pub String, bool);

/// Brings a domain name into the one form that names are compared in: IDNA (UTS 46, as browsers do it), lower case,
/// no dot at the end. Labels may have underscores, as service names do; an address is no name.
///
/// # Errors
/// If it is no domain name: empty, too long (253 bytes, 63 in a label), or with characters that none has.
pub fn normalise(name: &str) -> Result<String, BadDomain> {
    let bad = || BadDomain(name.into(), false);
    if name.len() > 4 * MAX_NAME {
        return Err(bad());
    }
    let ascii = idna::domain_to_ascii(name).map_err(|_| bad())?;
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let address = ascii.parse::<std::net::Ipv4Addr>().is_ok();
    if ascii.is_empty() || ascii.len() > MAX_NAME || address || !ascii.split('.').all(label) {
        return Err(bad());
    }
    Ok(ascii.to_owned())
}

/// A domain name, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Every name (`*`).
    Any,
    /// This name.
    Exact(String),
    /// The names below this one, at any depth, but not itself (`*.example.com`).
    Below(String),
}

impl Pattern {
    /// Whether a name in the form of [`normalise`] is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(exact) => name == exact,
            Pattern::Below(parent) => name
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

impl FromStr for Pattern {
    type Err = BadDomain;

    fn from_str(given: &str) -> Result<Pattern, BadDomain> {
        let bad = |_| BadDomain(given.into(), true);
        match given.strip_prefix("*.") {
            _ if given == "*" => Ok(Pattern::Any),
            Some(parent) => normalise(parent).map(Pattern::Below).map_err(bad),
            None => normalise(given).map(Pattern::Exact).map_err(bad),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Any => f.pad("*"),
            Pattern::Exact(name) => f.pad(name),
            Pattern::Below(parent) => f.pad(&format!("*.{parent}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        for (given, form) in [
            ("WWW.Example.COM.", "www.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("_dmarc.example.com", "_dmarc.example.com"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(normalise(given).as_deref(), Ok(form));
        }
        let long = "a".repeat(64);
        for bad in ["", ".", "a..b", "a b", "192.0.2.1", &long, "*.x", "x/y"] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_mean_what_they_say() {
        let matches = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().matches(name);
        assert!(matches("example.com", "example.com"));
        assert!(!matches("example.com", "www.example.com"));
        assert!(matches("*.example.com", "www.example.com"));
        assert!(matches("*.Example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "badexample.com"));
        assert!(matches("*", "anything"));
        assert!("a.*.com".parse::<Pattern>().is_err());
    }
}
