//! What names, descriptions and tags may be.

use crate::refusal::{Refusal, Result};
use std::collections::BTreeMap;

/// The most tags that a resource has.
pub const MAX_TAGS: usize = 20;

/// Checks a name: 1 or 2 to 128 characters as `shortest` says, the first a letter, not beginning with
/// `http://` or `https://`, then letters, digits, `_`, `-`, `.`, `:` and spaces.
///
/// # Errors
/// `code`, with what is wrong.
pub fn name(text: &str, shortest: usize, code: &'static str) -> Result<String> {
    let length = text.chars().count();
    let wrong = |why: String| {
        let shown: String = text.chars().take(40).collect();
        Err(Refusal::bad(code, format!("The name {shown:?} {why}.")))
    };
    if !(shortest..=128).contains(&length) {
        return wrong(format!(
            "has {length} characters: {shortest} to 128 are allowed"
        ));
    }
    if is_url(text) {
        return wrong("begins with http:// or https://, which is not allowed".into());
    }
    if !text.chars().next().is_some_and(char::is_alphabetic) {
        return wrong("does not begin with a letter".into());
    }
    match text
        .chars()
        .find(|&it| !it.is_alphanumeric() && !"_-.: ".contains(it))
    {
        Some(other) => wrong(format!(
            "holds {other:?}: letters, digits, `_`, `-`, `.`, `:` and spaces are allowed"
        )),
        None => Ok(text.to_owned()),
    }
}

/// Checks a description: up to 256 characters, not beginning with `http://` or `https://`, without control
/// characters.
///
/// # Errors
/// `code`, with what is wrong.
pub fn description(text: &str, code: &'static str) -> Result<String> {
    let length = text.chars().count();
    let wrong = |why: String| Err(Refusal::bad(code, format!("The description {why}.")));
    if length > 256 {
        return wrong(format!("has {length} characters: up to 256 are allowed"));
    }
    if is_url(text) {
        return wrong("begins with http:// or https://, which is not allowed".into());
    }
    if text
        .chars()
        .any(|it| it.is_control() && it != '\n' && it != '\t')
    {
        return wrong("holds control characters".into());
    }
    Ok(text.to_owned())
}

/// Checks tags: at most [`MAX_TAGS`]; keys of 1 to 128 characters that begin with neither `aliyun` nor `acs:`,
/// values of up to 128, no `http://` or `https://` in either, no key twice.
///
/// # Errors
/// `InvalidTagKey.Malformed`, `InvalidTagValue.Malformed`, `Duplicate.TagKey` or `NumberExceed.Tags`.
pub fn tags<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for (key, value) in pairs {
        tag_key(key)?;
        if value.chars().count() > 128 || has_url(value) {
            let why = format!(
                "The value of tag {key:?} must have at most 128 characters and no http:// or https://."
            );
            return Err(Refusal::bad("InvalidTagValue.Malformed", why));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            let why = format!("The tag key {key:?} is given twice.");
            return Err(Refusal::bad("Duplicate.TagKey", why));
        }
    }
    match tags.len() {
        0..=MAX_TAGS => Ok(tags),
        many => Err(Refusal::bad(
            "NumberExceed.Tags",
            format!("There are {many} tags: at most {MAX_TAGS} are allowed."),
        )),
    }
}

/// Checks the key of a tag, see [`tags`].
///
/// # Errors
/// `InvalidTagKey.Malformed`.
pub fn tag_key(key: &str) -> Result<()> {
    let reserved = key.starts_with("aliyun") || key.starts_with("acs:");
    if !(1..=128).contains(&key.chars().count()) || reserved || has_url(key) {
        let why = format!(
            "The tag key {key:?} must have 1 to 128 characters, no http:// or https://, and begin with neither \
             `aliyun` nor `acs:`."
        );
        return Err(Refusal::bad("InvalidTagKey.Malformed", why));
    }
    Ok(())
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn has_url(text: &str) -> bool {
    text.contains("http://") || text.contains("https://")
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
