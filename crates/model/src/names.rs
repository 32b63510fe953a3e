//! What names, descriptions, tags and host names may be. What is wrong is told as the end of a sentence about the text.

use std::collections::BTreeMap;

/// The most tags that a resource has.
pub const MAX_TAGS: usize = 20;

/// Checks a name: `shortest` to 128 characters, the first a letter, not beginning with `http://` or `https://`, then
/// letters, digits, `_`, `-`, `.`, `:` and spaces.
///
/// # Errors
/// What is wrong.
pub fn name(text: &str, shortest: usize) -> Result<(), String> {
    let length = text.chars().count();
    if !(shortest..=128).contains(&length) {
        return Err(format!(
            "has {length} characters: {shortest} to 128 are allowed"
        ));
    }
    if is_url(text) {
        return Err("begins with http:// or https://, which is not allowed".into());
    }
    if !text.chars().next().is_some_and(char::is_alphabetic) {
        return Err("does not begin with a letter".into());
    }
    match text
        .chars()
        .find(|&it| !it.is_alphanumeric() && !"_-.: ".contains(it))
    {
        Some(other) => Err(format!(
            "holds {other:?}: letters, digits, `_`, `-`, `.`, `:` and spaces are allowed"
        )),
        None => Ok(()),
    }
}

/// Checks a description: up to 256 characters, not beginning with `http://` or `https://`, without control
/// characters.
///
/// # Errors
/// What is wrong.
pub fn description(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if length > 256 {
        return Err(format!("has {length} characters: up to 256 are allowed"));
    }
    if is_url(text) {
        return Err("begins with http:// or https://, which is not allowed".into());
    }
    match text
        .chars()
        .any(|it| it.is_control() && it != '\n' && it != '\t')
    {
        true => Err("holds control characters".into()),
        false => Ok(()),
    }
}

/// Checks the name of a NAT firewall: 4 to 50 letters, digits and `_`, not beginning with `_`; or none.
///
/// # Errors
/// What is wrong.
pub fn firewall(text: &str) -> Result<(), String> {
    let fits = (4..=50).contains(&text.chars().count())
        && !text.starts_with('_')
        && text.chars().all(|it| it.is_alphanumeric() || it == '_');
    match fits || text.is_empty() {
        true => Ok(()),
        false => Err("has not 4 to 50 letters, digits and `_`, or begins with `_`".into()),
    }
}

/// Checks the key of a tag: 1 to 128 characters, beginning with neither `aliyun` nor `acs:`, no `http://` or `https://`.
///
/// # Errors
/// What is wrong.
pub fn tag_key(key: &str) -> Result<(), String> {
    let reserved = key.starts_with("aliyun") || key.starts_with("acs:");
    match !(1..=128).contains(&key.chars().count()) || reserved || has_url(key) {
        true => Err(
            "must have 1 to 128 characters, no http:// or https://, and begin with neither `aliyun` nor `acs:`"
                .into(),
        ),
        false => Ok(()),
    }
}

/// Checks the value of a tag: up to 128 characters, no `http://` or `https://`.
///
/// # Errors
/// What is wrong.
pub fn tag_value(value: &str) -> Result<(), String> {
    match value.chars().count() > 128 || has_url(value) {
        true => Err("must have at most 128 characters and no http:// or https://".into()),
        false => Ok(()),
    }
}

/// Checks how many tags a resource has: at most [`MAX_TAGS`].
///
/// # Errors
/// What is wrong.
pub fn tag_count(tags: &BTreeMap<String, String>) -> Result<(), String> {
    match tags.len() {
        0..=MAX_TAGS => Ok(()),
        many => Err(format!(
            "There are {many} tags: at most {MAX_TAGS} are allowed"
        )),
    }
}

/// Checks a host name: 2 to 64 letters and digits, with single `.` and `-` between them.
///
/// # Errors
/// What is wrong.
pub fn host_name(text: &str) -> Result<(), String> {
    let mut parts = text.split(['.', '-']);
    let whole = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_alphanumeric());
    match (2..=64).contains(&text.len()) && parts.all(whole) {
        true => Ok(()),
        false => Err(
            "has not 2 to 64 characters, letters and digits, and single `.` and `-` between them"
                .into(),
        ),
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn has_url(text: &str) -> bool {
    text.contains("http://") || text.contains("https://")
}
