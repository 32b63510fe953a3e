//! What names, descriptions and tags may be, and the codes that refuse others. The rules are in [`model::names`].

use crate::refusal::{Refusal, Result};
use model::names;
use std::collections::BTreeMap;

pub use model::names::MAX_TAGS;

/// Checks a name, see [`names::name`].
///
/// # Errors
/// `code`, with what is wrong.
pub fn name(text: &str, shortest: usize, code: &'static str) -> Result<String> {
    match names::name(text, shortest) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => {
            let shown: String = text.chars().take(40).collect();
            Err(Refusal::bad(code, format!("The name {shown:?} {why}.")))
        }
    }
}

/// Checks a description, see [`names::description`].
///
/// # Errors
/// `code`, with what is wrong.
pub fn description(text: &str, code: &'static str) -> Result<String> {
    match names::description(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(Refusal::bad(code, format!("The description {why}."))),
    }
}

/// Checks tags: at most [`MAX_TAGS`], keys as [`tag_key`] says and values as [`names::tag_value`] does, no key twice.
///
/// # Errors
/// `InvalidTagKey.Malformed`, `InvalidTagValue.Malformed`, `Duplicate.TagKey` or `NumberExceed.Tags`.
pub fn tags<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for (key, value) in pairs {
        tag_key(key)?;
        names::tag_value(value).map_err(|why| {
            let why = format!("The value of tag {key:?} {why}.");
            Refusal::bad("InvalidTagValue.Malformed", why)
        })?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            let why = format!("The tag key {key:?} is given twice.");
            return Err(Refusal::bad("Duplicate.TagKey", why));
        }
    }
    match names::tag_count(&tags) {
        Ok(()) => Ok(tags),
        Err(why) => Err(Refusal::bad("NumberExceed.Tags", format!("{why}."))),
    }
}

/// Checks the key of a tag, see [`names::tag_key`].
///
/// # Errors
/// `InvalidTagKey.Malformed`.
pub fn tag_key(key: &str) -> Result<()> {
    names::tag_key(key).map_err(|why| {
        let why = format!("The tag key {key:?} {why}.");
        Refusal::bad("InvalidTagKey.Malformed", why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["ab", "Web-1", "web_1.a", "äöü", "中文-1", "a b"] {
            assert_eq!(name(good, 2, "E").as_deref(), Ok(good));
        }
        let long = "a".repeat(129);
        for bad in ["", "a", "1a", "-a", "http://x", "a/b", "a\u{7}b", &*long] {
            assert_eq!(name(bad, 2, "E").unwrap_err().code, "E", "{bad}");
        }
        assert_eq!(name("a", 1, "E").as_deref(), Ok("a"));
    }

    #[test]
    fn tags_are_bounded_and_unique() {
        assert_eq!(tags([("a", "1"), ("b", "")]).unwrap().len(), 2);
        let code = |pairs: &[(&str, &str)]| tags(pairs.iter().copied()).unwrap_err().code;
        assert_eq!(code(&[("", "x")]), "InvalidTagKey.Malformed");
        assert_eq!(code(&[("acs:x", "x")]), "InvalidTagKey.Malformed");
        assert_eq!(code(&[("a", "https://x")]), "InvalidTagValue.Malformed");
        assert_eq!(code(&[("a", "1"), ("a", "2")]), "Duplicate.TagKey");
        let many: Vec<String> = (0..21).map(|n| format!("k{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|key| (&**key, "")).collect();
        assert_eq!(code(&many), "NumberExceed.Tags");
    }
}
