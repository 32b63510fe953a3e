//! Names and other texts as they come from the wire.

use std::net::IpAddr;
use std::sync::Arc;

/// Longer texts are cut.
const MAX_TEXT: usize = 255;

/// Whom a stream is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// The domain, if it is one.
    pub domain: Option<Arc<str>>,
    /// What was given, if it is none.
    pub other: Option<Arc<str>>,
}

impl Host {
    /// Reads `name`, `name:port`, `address`, `address:port`, `[address]` or `[address]:port`.
    pub fn parse(given: &[u8]) -> Host {
        let given = given.trim_ascii();
        let name = match given.strip_prefix(b"[") {
            Some(rest) => rest.split(|byte| *byte == b']').next().unwrap_or_default(),
            None => match given.iter().rposition(|byte| *byte == b':') {
                // Several colons: an address without the brackets that it should have.
                Some(colon) if !given[..colon].contains(&b':') => &given[..colon],
                _ => given,
            },
        };
        Host::name(name)
    }

    /// Reads a name.
    pub fn name(given: &[u8]) -> Host {
        if given.is_empty() {
            return Host::default();
        }
        let name = std::str::from_utf8(given).ok();
        let address = name.is_some_and(|name| name.parse::<IpAddr>().is_ok());
        let domain = name.and_then(|name| model::domain::normalise(name).ok());
        match domain {
            Some(domain) if !address => Host {
                domain: Some(domain.into()),
                other: None,
            },
            _ => Host {
                domain: None,
                other: Some(text(given)),
            },
        }
    }
}

/// A text for people: what cannot be shown is replaced, what is too long is cut.
pub(crate) fn text(bytes: &[u8]) -> Arc<str> {
    let cut = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    let mut text = String::with_capacity(cut.len());
    for c in String::from_utf8_lossy(cut).chars() {
        let c = if is_shown(c) { c } else { '.' };
        if text.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        text.push(c);
    }
    text.into()
}

/// Whether a character can be shown and does nothing to those around it: it does not control a terminal, turn the
/// direction of the text or hide in it.
fn is_shown(c: char) -> bool {
    let hides = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !hides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_brackets_are_stripped() {
        for (given, domain, other) in [
            ("Example.COM", Some("example.com"), None),
            (" example.com.:8080 ", Some("example.com"), None),
            ("bücher.example", Some("xn--bcher-kva.example"), None),
            ("192.0.2.1:80", None, Some("192.0.2.1")),
            ("[2001:db8::1]:80", None, Some("2001:db8::1")),
            ("2001:db8::1", None, Some("2001:db8::1")),
            ("a b", None, Some("a b")),
            ("", None, None),
        ] {
            let host = Host::parse(given.as_bytes());
            assert_eq!(host.domain.as_deref(), domain, "{given}");
            assert_eq!(host.other.as_deref(), other, "{given}");
        }
    }

    #[test]
    fn texts_are_bounded_and_can_be_shown() {
        assert_eq!(&*text(b"a\x00b\xff"), "a.b\u{fffd}");
        let hostile = "\x1b[2J\u{9b}1m\u{202e}gpj.\u{feff}";
        assert_eq!(&*text(hostile.as_bytes()), ".[2J.1m.gpj..");
        assert!(text(&[0xff; 1000]).len() <= MAX_TEXT);
    }
}
