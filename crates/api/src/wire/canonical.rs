//! The canonical form of parameters and headers, which signatures are over.
//!
//! What is on the wire is not canonical: one SDK writes a space as `+` and another as `%20`, one encodes
//! `*` and another doesn't. So everything is decoded first, and encoded again in the one canonical way:
//! RFC 3986, with `A-Z a-z 0-9 - _ . ~` left as they are.

use super::refusal;
use crate::ApiError;
use std::collections::BTreeMap;

/// Parameters by name, in the order of the bytes of their names, which is the canonical one.
pub type Pairs = BTreeMap<String, String>;

/// The most parameters of a call, query and form together.
pub const MAX_PARAMETERS: usize = 2_000;

/// Reads `name=value&name=value`, a query or a form: `+` is a space, `%` and two digits a byte.
///
/// # Errors
/// `InvalidParameter` if a name comes twice or is empty, if there are more than [`MAX_PARAMETERS`], or if
/// something is wrongly encoded or not UTF-8.
pub fn parse(text: &[u8]) -> Result<Pairs, ApiError> {
    let mut pairs = Pairs::new();
    for piece in text.split(|&byte| byte == b'&') {
        if piece.is_empty() {
            continue;
        }
        let equals = piece.iter().position(|&byte| byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&piece[..at], &piece[at + 1..]),
            None => (piece, &[][..]),
        };
        let name = decode(name)?;
        let value = decode(value)?;
        if name.is_empty() {
            return Err(refusal::invalid_parameter(
                "A parameter has no name: write name=value.",
            ));
        }
        if pairs.len() == MAX_PARAMETERS {
            return Err(too_many());
        }
        if pairs.contains_key(&name) {
            let name = refusal::shown(&name);
            return Err(refusal::invalid_parameter(format!(
                "The parameter {name} is given twice: give it once."
            )));
        }
        pairs.insert(name, value);
    }
    Ok(pairs)
}

/// The parameters of query and form together; the form's win.
///
/// # Errors
/// `InvalidParameter` if there are more than [`MAX_PARAMETERS`].
pub fn merge(mut query: Pairs, form: Pairs) -> Result<Pairs, ApiError> {
    query.extend(form);
    match query.len() <= MAX_PARAMETERS {
        true => Ok(query),
        false => Err(too_many()),
    }
}

fn too_many() -> ApiError {
    refusal::invalid_parameter(format!(
        "There are more than {MAX_PARAMETERS} parameters: split the call."
    ))
}

fn decode(text: &[u8]) -> Result<String, ApiError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest.split_at_checked(2).and_then(|(digits, after)| {
                    let high = char::from(digits[0]).to_digit(16)?;
                    let low = char::from(digits[1]).to_digit(16)?;
                    Some(((high * 16 + low) as u8, after))
                });
                let Some((byte, after)) = digits else {
                    return Err(refusal::invalid_parameter(
                        "A % in query or form is not followed by two hexadecimal digits: \
                         write a percent sign as %25.",
                    ));
                };
                bytes.push(byte);
                rest = after;
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| refusal::invalid_parameter("Query or form is not UTF-8 once decoded."))
}

/// Adds `text` to `to`, encoded.
pub fn encode(text: &str, to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push(char::from(DIGITS[usize::from(byte >> 4)]));
            to.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// `name=value` joined by `&`, names and values encoded, without the parameter `except`.
///
/// SDKs leave names as they are, which is the same for the names that there are. Encoding them keeps a name
/// with `&` in it from meaning two parameters.
pub fn query(pairs: &Pairs, except: Option<&str>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if Some(&**name) == except {
            continue;
        }
        if !text.is_empty() {
            text.push('&');
        }
        encode(name, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

/// The canonical value of a header that may have come several times: each without white space around it,
/// sorted, joined by commas. None if it has not come.
pub fn header(headers: &[(&str, &[u8])], name: &str) -> Option<Vec<u8>> {
    let mut values: Vec<&[u8]> = headers
        .iter()
        .filter(|(other, _)| *other == name)
        .map(|(_, value)| value.trim_ascii())
        .collect();
    values.sort_unstable();
    (!values.is_empty()).then(|| values.join(&b','))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).unwrap().into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn wire_encodings_of_one_value_are_the_same() {
        let want = [pair("a", "x y*(z)/ü")];
        assert_eq!(parsed("a=x+y%2A%28z%29%2F%C3%BC"), want);
        assert_eq!(parsed("a=x%20y*(z)/%c3%bc"), want);
        let pairs = parse(b"a=x+y*(z)/%c3%bc").unwrap();
        assert_eq!(query(&pairs, None), "a=x%20y%2A%28z%29%2F%C3%BC");
    }

    #[test]
    fn empty_pieces_are_nothing_and_empty_values_stay() {
        assert_eq!(parsed(""), []);
        assert_eq!(
            parsed("&a=&&b&"),
            [pair("a", ""), pair("b", "")],
            "a name alone is an empty value"
        );
        assert_eq!(query(&parse(b"b&a=").unwrap(), None), "a=&b=");
        assert_eq!(parsed("a=b=c"), [pair("a", "b=c")]);
    }

    #[test]
    fn what_is_ambiguous_or_broken_is_refused() {
        for text in [
            &b"a=1&a=2"[..],
            b"a=1&%61=2",
            b"=1",
            b"a=%",
            b"a=%4",
            b"a=%zz",
            b"a=%+1",
            b"a=%ff",
            b"a=\xff",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.status, &*error.code), (400, "InvalidParameter"));
        }
    }

    #[test]
    fn the_number_of_parameters_is_bounded() {
        let of = |count: usize, begin: &str| {
            let names: Vec<_> = (0..count).map(|it| format!("{begin}{it}=")).collect();
            parse(names.join("&").as_bytes())
        };
        assert_eq!(of(MAX_PARAMETERS, "a").unwrap().len(), MAX_PARAMETERS);
        assert!(of(MAX_PARAMETERS + 1, "a").is_err());
        let (half, more) = (MAX_PARAMETERS / 2, MAX_PARAMETERS / 2 + 1);
        assert!(merge(of(half, "a").unwrap(), of(half, "b").unwrap()).is_ok());
        assert!(merge(of(half, "a").unwrap(), of(more, "b").unwrap()).is_err());
    }

    #[test]
    fn a_name_cannot_pretend_to_be_two_parameters() {
        let one = parse(b"a%3D1%26b=2").unwrap();
        let two = parse(b"a=1&b=2").unwrap();
        assert_ne!(query(&one, None), query(&two, None));
    }

    #[test]
    fn the_form_wins() {
        let merged = merge(parse(b"a=1&b=2").unwrap(), parse(b"b=3").unwrap()).unwrap();
        assert_eq!(query(&merged, None), "a=1&b=3");
        assert_eq!(query(&merged, Some("b")), "a=1");
    }

    #[test]
    fn headers_are_trimmed_sorted_and_joined() {
        let headers: &[(&str, &[u8])] = &[("x", b" b "), ("y", b"1"), ("x", b"a\t")];
        assert_eq!(header(headers, "x").unwrap(), b"a,b");
        assert_eq!(header(headers, "z"), None);
    }
}
