//! What operations read their parameters with, and common parts of answers.
//!
//! When an operation sees a call, its parameters have been checked by [`crate::spec`]: what must be given is given,
//! and a number is a number.

use crate::spec::{invalid, missing, parse_bool, shown};
use crate::{ApiError, Caller, Params};
use control::records::{Meta, Seconds};
use control::{Refusal, names};
use ipnet::Ipv4Net;
use model::Id;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What an operation answers with, or why not.
pub(crate) type Answer = Result<Value, ApiError>;

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        ApiError::new(refusal.status, refusal.code, refusal.message)
    }
}

/// A call as an operation sees it.
pub(crate) struct Call<'a> {
    pub params: &'a Params,
    pub caller: &'a Caller,
    /// The region that it is for.
    pub region: &'a str,
}

impl<'a> Call<'a> {
    /// A text, if it is given.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    /// A text that must be given.
    pub fn need(&self, name: &str) -> Result<&'a str, ApiError> {
        self.text(name).ok_or_else(|| missing(name))
    }

    /// A whole number, if it is given.
    pub fn int(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = text.parse().map(Some);
        number.map_err(|_| invalid(name, format!("{} is not a whole number.", shown(text))))
    }

    /// A truth value, if it is given.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let wrong = || invalid(name, format!("{} is neither true nor false.", shown(text)));
        parse_bool(text).map(Some).ok_or_else(wrong)
    }

    /// An IPv4 address, if it is given.
    pub fn address(&self, name: &str) -> Result<Option<Ipv4Addr>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let address = text.parse().map(Some);
        address.map_err(|_| invalid(name, format!("{} is not an IPv4 address.", shown(text))))
    }

    /// An IPv4 block without host bits, if it is given.
    pub fn cidr(&self, name: &str) -> Result<Option<Ipv4Net>, ApiError> {
        self.text(name)
            .map(|text| parse_cidr(name, text))
            .transpose()
    }

    /// One of several words, in any case, if it is given: its position.
    pub fn word(
        &self,
        name: &str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let known = words.iter().find(|word| word.eq_ignore_ascii_case(text));
        let wrong = || {
            invalid(
                name,
                format!("{} is none of {}.", shown(text), words.join(", ")),
            )
        };
        known.copied().map(Some).ok_or_else(wrong)
    }

    /// The texts of a list. Some clients send a list of one as a plain text: that is taken, too.
    pub fn list(&self, name: &str) -> Vec<&'a str> {
        match self.text(name) {
            Some(text) => vec![text],
            None => self.params.list(name),
        }
    }

    /// The texts of a parameter that holds a JSON array of texts, as `InstanceIds` of ECS does.
    pub fn json_list(&self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let list: Result<Vec<String>, _> = serde_json::from_str(text);
        let list = list.map_err(|_| {
            invalid(
                name,
                format!("{} is not a JSON array of texts.", shown(text)),
            )
        })?;
        match list.len() {
            0..=100 => Ok(Some(list)),
            many => Err(invalid(
                name,
                format!("It holds {many} elements: at most 100 are allowed."),
            )),
        }
    }

    /// A name, if it is given, of at least `shortest` characters.
    pub fn name(&self, name: &str, shortest: usize) -> Result<Option<String>, ApiError> {
        let checked = self.text(name).map(|text| {
            names::name(text, shortest, "InvalidParameter").map_err(|refusal| named(name, refusal))
        });
        checked.transpose()
    }

    /// A description, if it was sent: an empty one clears it.
    pub fn description(&self, name: &str) -> Result<Option<String>, ApiError> {
        let checked = self.params.sent(name).map(|text| {
            names::description(text, "InvalidParameter").map_err(|refusal| named(name, refusal))
        });
        checked.transpose()
    }

    /// The tags in `Tag.N.Key` and `Tag.N.Value`.
    pub fn tags(&self) -> Result<BTreeMap<String, String>, ApiError> {
        let objects = self.params.objects("Tag");
        let pairs: Vec<(&str, &str)> = objects
            .iter()
            .map(|object| {
                let field = |field| {
                    self.params
                        .get(&format!("{object}.{field}"))
                        .unwrap_or_default()
                };
                (field("Key"), field("Value"))
            })
            .collect();
        Ok(names::tags(pairs)?)
    }

    /// Whether something meets the call's conditions that all lists have in common: tags, resource group.
    pub fn matches(&self, meta: &Meta) -> bool {
        self.matches_tags("Tag", meta)
    }

    /// The same where the parameter with the tags has another name.
    pub fn matches_tags(&self, name: &str, meta: &Meta) -> bool {
        self.is("ResourceGroupId", meta.resource_group()) && self.has_tags(name, meta)
    }

    /// Whether something has the tags that a call asks for by a parameter.
    pub fn has_tags(&self, name: &str, meta: &Meta) -> bool {
        self.params.objects(name).iter().all(|tag| {
            let key = self.params.get(&format!("{tag}.Key"));
            let value = self.params.get(&format!("{tag}.Value"));
            let has = key.and_then(|key| meta.tags.get(key));
            key.is_none() || has.is_some_and(|has| value.is_none_or(|value| value == has))
        })
    }

    /// Whether a parameter is left out or is this text.
    pub fn is(&self, name: &str, text: &str) -> bool {
        self.text(name).is_none_or(|wanted| wanted == text)
    }

    /// Whether a parameter is left out or one of a comma-separated list of texts is this one.
    pub fn is_one(&self, name: &str, text: &str) -> bool {
        self.text(name)
            .is_none_or(|wanted| wanted.split(',').any(|wanted| wanted.trim() == text))
    }

    /// Cuts the page out of a list that the call asks for by `PageNumber` and `PageSize`, and says where it is
    /// from: `TotalCount`, `PageNumber`, `PageSize`.
    pub fn page<T>(&self, all: Vec<T>, largest: i64) -> Result<(Vec<T>, Value), ApiError> {
        let (page, [count, number, size]) = self.page_of("PageNumber", all, largest)?;
        let position = json!({"TotalCount": count, "PageNumber": number, "PageSize": size});
        Ok((page, position))
    }

    /// The same where the parameter with the page's number has another name: the page, how many there are in all, the
    /// page's number and size.
    pub fn page_of<T>(
        &self,
        name: &str,
        all: Vec<T>,
        largest: i64,
    ) -> Result<(Vec<T>, [i64; 3]), ApiError> {
        let number = self.int(name)?.unwrap_or(1);
        let size = self.int("PageSize")?.unwrap_or(10);
        if number < 1 {
            return Err(invalid(name, format!("{number} is less than 1.")));
        }
        if !(1..=largest).contains(&size) {
            return Err(invalid(
                "PageSize",
                format!("{size} is not between 1 and {largest}."),
            ));
        }
        let position = [all.len() as i64, number, size];
        let skip = (number - 1).saturating_mul(size);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let page = all.into_iter().skip(skip).take(size as usize);
        Ok((page.collect(), position))
    }

    /// Cuts the page out of a list, ordered by `key`, that the call asks for by `NextToken` and the parameter `most`
    /// (`MaxResults` or `MaxResult`). Returns it with the token of the next page; an empty one says that this was
    /// the last. A token names the last element before its page, so a page misses nothing and repeats nothing
    /// when elements come and go meanwhile.
    pub fn page_after<T>(
        &self,
        most: &str,
        default: i64,
        largest: i64,
        all: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> Result<(Vec<T>, String, i64), ApiError> {
        let size = self.int(most)?.unwrap_or(default);
        if !(1..=largest).contains(&size) {
            return Err(invalid(
                most,
                format!("{size} is not between 1 and {largest}."),
            ));
        }
        let after = match self.text("NextToken") {
            None => String::new(),
            Some(token) => unhex(token).ok_or_else(|| {
                invalid(
                    "NextToken",
                    format!("{} is no token that was given out.", shown(token)),
                )
            })?,
        };
        let mut rest: Vec<T> = all
            .into_iter()
            .filter(|it| after.is_empty() || key(it) > after)
            .collect();
        rest.sort_by_cached_key(&key);
        let more = rest.len() > size as usize;
        rest.truncate(size as usize);
        let token = match rest.last() {
            Some(last) if more => key(last)
                .bytes()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            _ => String::new(),
        };
        Ok((rest, token, size))
    }
}

/// An IPv4 block without host bits.
pub(crate) fn parse_cidr(name: &str, text: &str) -> Result<Ipv4Net, ApiError> {
    let block: Ipv4Net = text.parse().map_err(|_| {
        invalid(
            name,
            format!(
                "{} is not an IPv4 block such as 192.168.0.0/16.",
                shown(text)
            ),
        )
    })?;
    match block.addr() == block.network() {
        true => Ok(block),
        false => Err(invalid(
            name,
            format!("{block} has host bits: write {}.", block.trunc()),
        )),
    }
}

fn named(name: &str, refusal: Refusal) -> ApiError {
    invalid(name, refusal.message)
}

fn unhex(token: &str) -> Option<String> {
    if !token.len().is_multiple_of(2) || token.len() > 512 {
        return None;
    }
    let byte = |at| {
        token
            .get(at..at + 2)
            .and_then(|it| u8::from_str_radix(it, 16).ok())
    };
    let bytes: Option<Vec<u8>> = (0..token.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

/// A point in time as the API writes it: `2026-11-21T19:08:37Z`.
pub(crate) fn stamp(seconds: Seconds) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|it| time::OffsetDateTime::from_unix_timestamp(it).ok());
    time.and_then(|it| {
        it.format(&time::format_description::well_known::Rfc3339)
            .ok()
    })
    .unwrap_or_default()
}

/// Tags as most answers have them.
pub(crate) fn tag_list(meta: &Meta) -> Value {
    let tags = meta
        .tags
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}));
    json!({"Tag": tags.collect::<Vec<_>>()})
}

/// Tags as NAT gateways and ECS have them.
pub(crate) fn tag_key_list(meta: &Meta) -> Value {
    let tags = meta
        .tags
        .iter()
        .map(|(key, value)| json!({"TagKey": key, "TagValue": value}));
    json!({"Tag": tags.collect::<Vec<_>>()})
}

/// Joins the fields of two objects.
pub(crate) fn join(mut a: Value, b: Value) -> Value {
    if let (Value::Object(a), Value::Object(b)) = (&mut a, b) {
        a.extend(b);
    }
    a
}

/// Identifiers of records that fit.
pub(crate) fn ids<'a, T: 'a>(
    records: impl IntoIterator<Item = &'a T>,
    fits: impl Fn(&T) -> bool,
    id: impl Fn(&T) -> &Id,
) -> Vec<Id> {
    let fitting = records.into_iter().filter(|it| fits(it));
    fitting.map(|it| id(it).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<R>(pairs: &[(&str, &str)], ask: impl FnOnce(Call) -> R) -> R {
        let params: Params = pairs.iter().copied().collect();
        let caller = Caller {
            principal: crate::Principal::Local { uid: 0 },
            address: [127, 0, 0, 1].into(),
            user_agent: String::new(),
        };
        ask(Call {
            params: &params,
            caller: &caller,
            region: "r",
        })
    }

    #[test]
    fn times() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(stamp(1_795_288_117), "2026-11-21T19:08:37Z");
    }

    #[test]
    fn pages_by_number() {
        let all: Vec<u32> = (0..25).collect();
        let (page, position) =
            call(&[("PageNumber", "3")], |call| call.page(all.clone(), 50)).unwrap();
        assert_eq!(page, [20, 21, 22, 23, 24]);
        assert_eq!(position["TotalCount"], 25);
        for wrong in [("PageNumber", "0"), ("PageSize", "51"), ("PageSize", "0")] {
            assert!(call(&[wrong], |call| call.page(all.clone(), 50)).is_err());
        }
    }

    #[test]
    fn pages_by_token_survive_removal_of_the_element_they_name() {
        let mut all: Vec<String> = (10..30).map(|n| format!("id-{n}")).collect();
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let pairs = [("MaxResults", "6"), ("NextToken", &*token)];
            let (page, next, _) = call(&pairs, |call| {
                call.page_after("MaxResults", 10, 100, all.clone(), String::clone)
            })
            .unwrap();
            if let Some(last) = page.last() {
                all.retain(|it| it != last);
            }
            seen.extend(page);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        let expected: Vec<String> = (10..30).map(|n| format!("id-{n}")).collect();
        assert_eq!(seen, expected);
        let wrong = [("NextToken", "zz")];
        assert!(
            call(&wrong, |call| call.page_after(
                "MaxResults",
                1,
                9,
                vec![1],
                u32::to_string
            ))
            .is_err()
        );
    }
}
