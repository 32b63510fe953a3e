//! Lists of one indicator a line: plain, hosts files, CSV.

use super::{FeedError, Sink, Why, category, indicator};
use crate::threats::Indicator;
use model::FeedFormat;
use std::borrow::Cow;
use std::io::{self, BufRead};

/// The most bytes of a line.
pub const LONGEST: usize = 64 << 10;

/// Reads lines and gives what is in them to `sink`.
pub(super) fn read(
    from: &mut impl BufRead,
    format: FeedFormat,
    sink: &mut Sink,
) -> Result<(), FeedError> {
    let mut line = Vec::new();
    let mut number = 0;
    while let Some(whole) = next_line(from, &mut line)? {
        number += 1;
        if !whole {
            sink.skip(number, Why::TooLong);
            continue;
        }
        let Ok(text) = str::from_utf8(&line) else {
            sink.skip(number, Why::NotText);
            continue;
        };
        let text = if number == 1 {
            text.trim_start_matches('\u{feff}')
        } else {
            text
        };
        match format {
            FeedFormat::Hosts => hosts(text, number, sink)?,
            FeedFormat::Csv => csv(text, number, sink)?,
            FeedFormat::Plain | FeedFormat::Stix => plain(text, number, sink)?,
        }
    }
    Ok(())
}

/// Reads a line without its end, and says whether it is whole: of a line that is too long the rest is passed over.
/// `None` is the end.
fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut whole = true;
    let mut any = false;
    loop {
        let available = match from.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(any.then_some(whole));
        }
        any = true;
        let end = available.iter().position(|&byte| byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        whole &= line.len() + part.len() <= LONGEST;
        if whole {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

/// A line without its comment: what follows a `#` or `;` at its beginning or behind a space, or a `//` at its beginning.
fn without_comment(text: &str) -> &str {
    if text.trim_start().starts_with("//") {
        return "";
    }
    let comment = text.char_indices().find(|&(at, char)| {
        matches!(char, '#' | ';')
            && text[..at]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace)
    });
    text[..comment.map_or(text.len(), |(at, _)| at)].trim()
}

fn plain(text: &str, number: u64, sink: &mut Sink) -> Result<(), FeedError> {
    let Some(word) = without_comment(text).split_whitespace().next() else {
        return Ok(());
    };
    // "192.0.2.0/24;SBL123" is how some lists write it.
    let word = word.split(';').next().unwrap_or(word);
    match indicator(word) {
        Ok(Indicator::Domain(name) | Indicator::Host(name)) if !sink.names => {
            sink.skip(number, Why::Name(name));
        }
        Ok(indicator) => sink.found(indicator, None)?,
        Err(why) => sink.skip(number, why),
    }
    Ok(())
}

/// Names that hosts files have for the machine itself.
const OWN: [&str; 4] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
];

fn hosts(text: &str, number: u64, sink: &mut Sink) -> Result<(), FeedError> {
    let mut words = without_comment(text).split_whitespace();
    let Some(address) = words.next() else {
        return Ok(());
    };
    if address.parse::<std::net::IpAddr>().is_err() {
        sink.skip(number, Why::Nothing(address.chars().take(80).collect()));
        return Ok(());
    }
    let own = |name: &str| {
        OWN.contains(&name) || name.starts_with("ip6-") || name.parse::<std::net::IpAddr>().is_ok()
    };
    for name in words.filter(|name| !own(name)) {
        match indicator(name) {
            // A hosts file means a name and none below it.
            Ok(Indicator::Domain(name)) => sink.found(Indicator::Host(name), None)?,
            Ok(_) => sink.skip(number, Why::Nothing(name.chars().take(80).collect())),
            Err(why) => sink.skip(number, why),
        }
    }
    Ok(())
}

fn csv(text: &str, number: u64, sink: &mut Sink) -> Result<(), FeedError> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with(['#', ';']) || trimmed.starts_with("//") {
        return Ok(());
    }
    let mut found = None;
    let mut said = None;
    let mut first = None;
    for field in Fields(Some(trimmed)) {
        said = said.or_else(|| category(&field));
        match indicator(&field) {
            Ok(indicator) if found.is_none() => found = Some(indicator),
            Err(why) if first.is_none() && found.is_none() => first = Some(why),
            _ => {}
        }
    }
    match (found, first) {
        (Some(indicator), _) => sink.found(indicator, said)?,
        // A line of headings is what the first line of such a list may be.
        (None, Some(Why::Nothing(_))) if number == 1 => {}
        (None, why) => sink.skip(number, why.unwrap_or(Why::Nothing(String::new()))),
    }
    Ok(())
}

/// What stands between the fields of a line.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// The fields of a line of CSV (RFC 4180, where a field does not go on in the next line): between commas, semicolons or
/// tabs; in quotes or not; within quotes, two stand for one.
struct Fields<'a>(Option<&'a str>);

impl<'a> Iterator for Fields<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let rest = self.0.take()?;
        let start = rest.trim_start_matches(' ');
        if let Some(quoted) = start.strip_prefix('"') {
            let mut at = 0;
            let end = loop {
                let Some(quote) = quoted[at..].find('"').map(|found| at + found) else {
                    break quoted.len();
                };
                match quoted[quote + 1..].starts_with('"') {
                    true => at = quote + 2,
                    false => break quote,
                }
            };
            let after = quoted.get(end + 1..).unwrap_or_default();
            self.0 = after.find(SEPARATORS).map(|at| &after[at + 1..]);
            let field = &quoted[..end];
            return Some(match field.contains("\"\"") {
                true => Cow::Owned(field.replace("\"\"", "\"")),
                false => Cow::Borrowed(field),
            });
        }
        let (field, after) = match rest.split_once(SEPARATORS) {
            Some((field, after)) => (field, Some(after)),
            None => (rest, None),
        };
        self.0 = after;
        Some(Cow::Borrowed(field))
    }
}
