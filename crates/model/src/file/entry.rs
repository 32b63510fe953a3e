//! Reads the values of one table of the file.

use super::schema::{Number, Scalar, Text, Texts};
use crate::text::{UnknownWord, parse_ports, quote};
use crate::{Fault, Id, Kind};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use toml::Spanned;

/// What is wrong, and with the byte of the file where.
pub type Found = (usize, String);

/// A table that is being read: remembers what was wrong with it and where its fields stand. A value
/// that is missing or cannot be read is `None`.
pub struct Entry {
    /// What the table declares, for messages.
    pub name: String,
    /// Its first byte.
    pub start: usize,
    /// What is wrong with it.
    pub found: Vec<Found>,
    /// Where the elements of its fields stand: field of the model, element, byte.
    pub places: Vec<(&'static str, usize, usize)>,
}

impl Entry {
    /// A table that declares a resource.
    pub fn new(kind: Kind, id: &Text, span: Range<usize>) -> Entry {
        let name = match id {
            Some(id) => format!("{kind} {}", quote(id.get_ref())),
            None => kind.to_string(),
        };
        Entry::named(name, span)
    }

    /// A table that declares something with this name.
    pub fn named(name: String, span: Range<usize>) -> Entry {
        let start = span.start;
        Entry {
            name,
            start,
            found: Vec::new(),
            places: vec![("", 0, start)],
        }
    }

    /// Writes down what is wrong at a byte.
    pub fn fail(&mut self, offset: usize, what: impl std::fmt::Display) {
        self.found.push((offset, format!("{}: {what}", self.name)));
    }

    /// Writes down where a field stands.
    pub fn mark<T>(&mut self, field: &'static str, element: usize, value: &Spanned<T>) {
        self.places.push((field, element, value.span().start));
    }

    /// A value if there is one, read by `read`; what that returns as an error follows the key.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        value: &Text,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read_as(key, key, value, read)
    }

    /// The same for a key that the model has as another field.
    pub fn read_as<T>(
        &mut self,
        field: &'static str,
        key: &'static str,
        value: &Text,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = value.as_ref()?;
        self.mark(field, 0, value);
        self.value(key, value, read)
    }

    /// A value that must be there.
    pub fn need<T>(
        &mut self,
        key: &'static str,
        value: &Text,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if value.is_none() {
            self.missing(key);
        }
        self.read(key, value, read)
    }

    /// Says that a key is missing.
    pub fn missing(&mut self, key: &str) {
        self.fail(self.start, format!("{key} is missing"));
    }

    /// Values of a list, or `None` if any of them cannot be read.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        values: &Texts,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.list_as(key, key, values, read)
    }

    /// The same for a key that the model has as another field.
    pub fn list_as<T>(
        &mut self,
        field: &'static str,
        key: &'static str,
        values: &Texts,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let mut list = Vec::with_capacity(values.len());
        for (n, value) in values.iter().enumerate() {
            self.mark(field, n, value);
            list.push(self.value(key, value, read));
        }
        list.into_iter().collect()
    }

    fn value<T>(
        &mut self,
        key: &str,
        value: &Spanned<String>,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let result = read(value.get_ref());
        result
            .map_err(|error| self.fail(value.span().start, format!("{key} {error}")))
            .ok()
    }

    /// A number if there is one. The bounds are those that a message tells; here only numbers are
    /// refused that the type cannot hold.
    pub fn number<T>(
        &mut self,
        key: &'static str,
        value: &Number,
        bounds: RangeInclusive<T>,
    ) -> Option<T>
    where
        T: TryFrom<i64> + Into<u64>,
    {
        let value = value.as_ref()?;
        self.mark(key, 0, value);
        let number = T::try_from(*value.get_ref()).ok();
        if number.is_none() {
            let (min, max) = bounds.into_inner();
            let fault = Fault::OutOfRange {
                what: key,
                value: *value.get_ref(),
                min: min.into(),
                max: max.into(),
            };
            self.fail(value.span().start, fault);
        }
        number
    }

    /// A port or a range of ports if there is one.
    pub fn ports(&mut self, key: &'static str, value: &Scalar) -> Option<RangeInclusive<u16>> {
        let value = value.as_ref()?;
        self.mark(key, 0, value);
        parse_ports(&value.get_ref().to_string())
            .map_err(|error| self.fail(value.span().start, format!("{key} {error}")))
            .ok()
    }

    /// Which one of several keys is there: exactly one must be. `present` are the keys with the byte
    /// where their value stands.
    pub fn choice(&mut self, present: &[(&'static str, Option<usize>)]) -> Option<&'static str> {
        let mut given = present.iter().filter_map(|&(key, at)| Some((key, at?)));
        let (first, second) = (given.next(), given.next());
        if let (Some((key, _)), None) = (first, second) {
            return Some(key);
        }
        let keys: Vec<&str> = present.iter().map(|(key, _)| *key).collect();
        let keys = keys.join(", ");
        match (first, second) {
            (Some((first, _)), Some((second, at))) => {
                let what = format!("there is {first} and {second}: only one of {keys} can be");
                self.fail(at, what);
            }
            _ => self.fail(self.start, format!("one of {keys} is missing")),
        }
        None
    }
}

/// Where a value stands, if there is one.
pub fn place<T>(value: &Option<Spanned<T>>) -> Option<usize> {
    value.as_ref().map(|value| value.span().start)
}

/// Any text.
pub fn any(text: &str) -> Result<Id, String> {
    Ok(text.into())
}

/// An IPv4 address.
pub fn address(text: &str) -> Result<Ipv4Addr, String> {
    text.parse()
        .map_err(|_| format!("{} is no IPv4 address, like 192.0.2.1", quote(text)))
}

/// An address block. Whether it has host bits is checked where it is used.
pub fn block(text: &str) -> Result<Ipv4Net, String> {
    text.parse()
        .map_err(|_| format!("{} is no address block, like 192.0.2.0/24", quote(text)))
}

/// One of the words of an enumeration.
pub fn word<T: FromStr<Err = UnknownWord>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: UnknownWord| error.to_string())
}
