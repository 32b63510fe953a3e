//! STIX 2.1 bundles: indicators whose patterns are lists of addresses, domains and URLs.

use super::{FeedError, Sink, Why, category, indicator};
use model::text::moment;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{BufReader, Read};

/// Of a pattern no more is read than this.
const LONGEST: usize = 1 << 20;

/// Reads a bundle, one object after the other, and gives what is in it to `sink`.
pub(super) fn read(from: &mut impl Read, now: u64, sink: &mut Sink) -> Result<(), FeedError> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(from));
    let mut failed = None;
    let bundle = Bundle {
        sink,
        now,
        failed: &mut failed,
    };
    let read = bundle.deserialize(&mut json).and_then(|()| json.end());
    match failed {
        Some(failed) => Err(failed),
        None => Ok(read?),
    }
}

/// An object of a bundle, as far as it is looked at.
#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    pattern: String,
    #[serde(default)]
    pattern_type: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    indicator_types: Vec<String>,
    #[serde(default)]
    revoked: bool,
    #[serde(default)]
    valid_from: Option<String>,
    #[serde(default)]
    valid_until: Option<String>,
}

impl Object {
    /// Whether it counts at this time: it is not revoked, and valid already and still (STIX 2.1, section 4.7).
    fn counts(&self, now: u64, sink: &mut Sink) -> Result<bool, Why> {
        let at = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match moment(text) {
                Some(at) => Ok(Some(at)),
                None => Err(Why::Time(text.chars().take(80).collect())),
            },
        };
        let (from, until) = (at(&self.valid_from)?, at(&self.valid_until)?);
        if self.revoked {
            return Ok(false);
        }
        // What ends before it begins never counts.
        let is_over = until.is_some_and(|until| until <= now || from.is_some_and(|it| it >= until));
        let to_come = [from, until].into_iter().flatten().filter(|it| *it > now);
        if !is_over && let Some(next) = to_come.min() {
            sink.changes(next);
        }
        Ok(!is_over && from.is_none_or(|from| from <= now))
    }
}

struct Bundle<'a, 'b> {
    sink: &'a mut Sink<'b>,
    now: u64,
    failed: &'a mut Option<FeedError>,
}

impl<'de> DeserializeSeed<'de> for Bundle<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Bundle<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a bundle with objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Bundle { sink, now, failed } = self;
        let mut bundle = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => bundle = map.next_value::<String>()? == "bundle",
                "objects" => map.next_value_seed(Objects {
                    sink: &mut *sink,
                    now,
                    failed: &mut *failed,
                })?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match bundle {
            true => Ok(()),
            false => Err(A::Error::custom("its type is not \"bundle\"")),
        }
    }
}

struct Objects<'a, 'b> {
    sink: &'a mut Sink<'b>,
    now: u64,
    failed: &'a mut Option<FeedError>,
}

impl<'de> DeserializeSeed<'de> for Objects<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(object) = seq.next_element::<Object>()? {
            number += 1;
            if object.kind == "indicator"
                && let Err(error) = take(&object, number, self.now, self.sink)
            {
                *self.failed = Some(error);
                return Err(A::Error::custom("no more is read"));
            }
        }
        Ok(())
    }
}

/// Takes the indicators of an object.
fn take(object: &Object, number: u64, now: u64, sink: &mut Sink) -> Result<(), FeedError> {
    match object.counts(now, sink) {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(why) => {
            sink.skip(number, why);
            return Ok(());
        }
    }
    let shown = || object.pattern.chars().take(80).collect::<String>();
    let stix = object.pattern_type.as_deref().is_none_or(|it| it == "stix");
    let values = match stix && object.pattern.len() <= LONGEST {
        true => values(&object.pattern),
        false => None,
    };
    let Some(values) = values else {
        sink.skip(number, Why::Pattern(shown()));
        return Ok(());
    };
    let mut said = object.labels.iter().chain(&object.indicator_types);
    let said = said.find_map(|word| category(word));
    for value in values {
        match indicator(&value) {
            Ok(indicator) => sink.found(indicator, said)?,
            Err(why) => sink.skip(number, why),
        }
    }
    Ok(())
}

/// The values of a pattern that is a list of them: comparisons `object:value = 'text'`, `IN ('text', …)` or
/// `ISSUBSET 'network'`, joined by OR, within brackets or between them (STIX 2.1, section 9). A pattern that asks for more
/// (AND, NOT, FOLLOWEDBY, qualifiers) or for something else is none: its parts alone are not bad.
fn values(pattern: &str) -> Option<Vec<String>> {
    let mut tokens = Tokens(pattern);
    let mut values = Vec::new();
    let mut depth = 0u32;
    loop {
        // Where a comparison begins.
        match tokens.next()? {
            Token::Mark('[' | '(') => {
                depth += 1;
                continue;
            }
            Token::Word(path) if depth > 0 && known(path) => {}
            _ => return None,
        }
        match tokens.next()? {
            Token::Mark('=') => values.push(tokens.text()?),
            Token::Word(word) if word.eq_ignore_ascii_case("ISSUBSET") => {
                values.push(tokens.text()?);
            }
            Token::Word(word) if word.eq_ignore_ascii_case("IN") => {
                if tokens.next()? != Token::Mark('(') {
                    return None;
                }
                loop {
                    values.push(tokens.text()?);
                    match tokens.next()? {
                        Token::Mark(',') => {}
                        Token::Mark(')') => break,
                        _ => return None,
                    }
                }
            }
            _ => return None,
        }
        // Where it has ended.
        loop {
            match tokens.next() {
                Some(Token::Mark(']' | ')')) => depth = depth.checked_sub(1)?,
                Some(Token::Word(word)) if word.eq_ignore_ascii_case("OR") => break,
                None if depth == 0 => return Some(values),
                _ => return None,
            }
        }
    }
}

/// Whether a path of a pattern is that of an indicator.
fn known(path: &str) -> bool {
    matches!(path, "ipv4-addr:value" | "domain-name:value" | "url:value")
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Mark(char),
    Word(&'a str),
    Text(String),
}

struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    fn text(&mut self) -> Option<String> {
        match self.next()? {
            Token::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.0.trim_start();
        let mut chars = rest.chars();
        let first = chars.next()?;
        if first == '\'' {
            let mut text = String::new();
            loop {
                match chars.next() {
                    Some('\\') => text.extend(chars.next()),
                    Some('\'') => break,
                    Some(char) => text.push(char),
                    // It does not end: no pattern.
                    None => {
                        self.0 = "";
                        return Some(Token::Mark('\''));
                    }
                }
            }
            self.0 = chars.as_str();
            return Some(Token::Text(text));
        }
        let word = |char: char| char.is_ascii_alphanumeric() || "-:._".contains(char);
        let end = rest.find(|char| !word(char)).unwrap_or(rest.len());
        if end == 0 {
            self.0 = chars.as_str();
            return Some(Token::Mark(first));
        }
        self.0 = &rest[end..];
        Some(Token::Word(&rest[..end]))
    }
}
