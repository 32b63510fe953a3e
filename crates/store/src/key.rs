//! Keys, key ranges, revisions.

use std::fmt;

use crate::Error;

/// Longest key in bytes. A key has at least one.
pub const MAX_KEY: usize = 1024;

/// A moment in the store's life: the number of the last transaction that changed something.
///
/// An empty store is at revision 1, as in etcd, and each transaction that changes something adds one.
/// 0 is the revision of what does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one: where to watch from after a list.
    pub fn next(self) -> Revision {
        Revision(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key with its value and its place in the store's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// 1 to [`MAX_KEY`] bytes of UTF-8, ordered by bytes.
    pub key: String,
    /// At most [`MAX_VALUE`](crate::MAX_VALUE) bytes, never interpreted.
    pub value: Vec<u8>,
    /// When the key was last created.
    pub create_revision: Revision,
    /// When the key was last put.
    pub mod_revision: Revision,
    /// How often it was put since it was created, from 1.
    pub version: u64,
}

/// A half-open range of keys in byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    start: String,
    /// The first key beyond; `None` is the end of all keys.
    end: Option<String>,
}

impl Range {
    /// This key alone.
    pub fn key(key: impl Into<String>) -> Range {
        let start = key.into();
        let end = Some(after(&start));
        Range { start, end }
    }

    /// All keys that begin with this, all keys at all if it is empty.
    pub fn prefix(prefix: impl Into<String>) -> Range {
        let start = prefix.into();
        let end = beyond(&start);
        Range { start, end }
    }

    /// The keys from `start` on, before `end`. Empty if `end` is not above `start`.
    pub fn between(start: impl Into<String>, end: impl Into<String>) -> Range {
        Range {
            start: start.into(),
            end: Some(end.into()),
        }
    }

    /// Every key.
    pub fn all() -> Range {
        Range::prefix("")
    }

    /// The first key that may be in the range.
    pub fn start(&self) -> &str {
        &self.start
    }

    /// The first key beyond the range; `None` if it goes to the end of all keys.
    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Whether this key is in the range.
    pub fn contains(&self, key: &str) -> bool {
        key >= self.start.as_str() && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// The part of the range above this key.
    pub(crate) fn above(mut self, key: &str) -> Range {
        let next = after(key);
        if next > self.start {
            self.start = next;
        }
        self
    }

    /// The part of the range below this key.
    pub(crate) fn below(mut self, key: &str) -> Range {
        if self.end.as_deref().is_none_or(|end| key < end) {
            self.end = Some(key.to_owned());
        }
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        // One byte more than a key, for the bound just after the longest one.
        match self
            .start
            .len()
            .max(self.end.as_ref().map_or(0, String::len))
        {
            bytes if bytes > MAX_KEY + 1 => Err(Error::KeyLength { bytes }),
            _ => Ok(()),
        }
    }
}

pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        1..=MAX_KEY => Ok(()),
        bytes => Err(Error::KeyLength { bytes }),
    }
}

/// The least string above this one.
fn after(key: &str) -> String {
    let mut next = String::with_capacity(key.len() + 1);
    next.push_str(key);
    next.push('\0');
    next
}

/// The least string above all that begin with this prefix. UTF-8 orders as its characters do, so it is
/// the prefix with its last character raised, or dropped if there is none above.
fn beyond(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            char::MAX => continue,
            // The surrogates above are not characters.
            '\u{d7ff}' => '\u{e000}',
            _ => char::from_u32(u32::from(last) + 1)?,
        };
        text.push(next);
        return Some(text);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_begins_with_it() {
        let names = [
            "",
            "a",
            "a/",
            "a/b",
            "a/\u{10ffff}",
            "a0",
            "b",
            "\u{d7ff}",
            "\u{d7ff}x",
            "\u{e000}",
            "\u{10ffff}",
            "\u{10ffff}z",
        ];
        for prefix in names {
            for name in names {
                assert_eq!(
                    Range::prefix(prefix).contains(name),
                    name.starts_with(prefix),
                    "{prefix:?} {name:?}"
                );
            }
        }
    }

    #[test]
    fn a_key_holds_itself_only() {
        let range = Range::key("a");
        assert!(range.contains("a"));
        assert!(!range.contains("a\0") && !range.contains("a/") && !range.contains(""));
    }

    #[test]
    fn above_and_below_only_narrow() {
        let range = Range::between("b", "d");
        assert_eq!(range.clone().above("a"), range);
        assert_eq!(range.clone().below("e"), range);
        assert!(!range.clone().above("b").contains("b"));
        assert!(range.clone().above("b").contains("b\0"));
        assert!(!range.clone().below("c").contains("c"));
        assert!(range.below("c").contains("bz"));
        assert!(!Range::all().below("c").contains("c"));
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(check_key("").is_err());
        assert!(check_key(&"k".repeat(MAX_KEY)).is_ok());
        assert!(check_key(&"k".repeat(MAX_KEY + 1)).is_err());
        assert!(Range::key("k".repeat(MAX_KEY)).check().is_ok());
        assert!(Range::prefix("k".repeat(MAX_KEY + 2)).check().is_err());
    }
}
