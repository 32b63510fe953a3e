//! Time zones: what clocks show, and when they are put forward and back.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Debug, Display, Formatter};
use std::hash::{Hash, Hasher};

/// How far clocks are ahead of UTC.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Offset {
    /// Always by so many minutes.
    Minutes(i16),
    /// As they are in a zone.
    Zone(Zone),
}

impl Offset {
    /// What clocks show at a moment, and when, after it, they are next put forward or back. All are seconds since 1970,
    /// of UTC and of the clocks.
    pub fn local(&self, now: u64) -> (i128, Option<u64>) {
        match self {
            Offset::Minutes(minutes) => (i128::from(now) + i128::from(*minutes) * 60, None),
            Offset::Zone(zone) => zone.local(now),
        }
    }
}

impl Default for Offset {
    fn default() -> Offset {
        Offset::Minutes(0)
    }
}

// What is known of a policy by this form was told by numbers before there were zones.
impl Debug for Offset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Offset::Minutes(minutes) => Debug::fmt(minutes, f),
            Offset::Zone(zone) => Debug::fmt(zone, f),
        }
    }
}

/// As people write it: `+08:00`, `Europe/Berlin`.
impl Display for Offset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Offset::Minutes(minutes) => {
                let (sign, all) = (if *minutes < 0 { '-' } else { '+' }, minutes.unsigned_abs());
                write!(f, "{sign}{:02}:{:02}", all / 60, all % 60)
            }
            Offset::Zone(zone) => f.write_str(zone.name()),
        }
    }
}

/// A zone of the IANA time zone database, as this program was built with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of a name, in upper or lower case.
    pub fn named(name: &str) -> Option<Zone> {
        let zone = TimeZone::get(name).ok()?;
        zone.iana_name().is_some().then_some(Zone(zone))
    }

    /// Its name, as the database has it.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }

    fn local(&self, now: u64) -> (i128, Option<u64>) {
        // Behind the last moment that has a date, clocks stay as they are then.
        let moment = i64::try_from(now).ok();
        let moment = moment.and_then(|now| Timestamp::from_second(now).ok());
        let moment = moment.unwrap_or(Timestamp::MAX);
        let next = self.0.following(moment).next();
        let next = next.and_then(|it| u64::try_from(it.timestamp().as_second()).ok());
        let ahead = self.0.to_offset(moment).seconds();
        (
            i128::from(now) + i128::from(ahead),
            next.filter(|&next| next > now),
        )
    }
}

impl Debug for Zone {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Debug::fmt(self.name(), f)
    }
}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Zone, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || serde::de::Error::custom(format!("{name:?} is no time zone"));
        Zone::named(&name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Validity;

    #[test]
    fn clocks_are_put_forward_and_back() {
        let berlin = Offset::Zone(Zone::named("europe/berlin").unwrap());
        assert_eq!(berlin.to_string(), "Europe/Berlin");
        // 2026-03-29 and 2026-10-25, 01:00 UTC.
        let (spring, autumn) = (1_774_746_000, 1_792_890_000);
        for (at, ahead, next) in [
            (spring - 1, 3_600, spring),
            (spring, 7_200, autumn),
            (autumn - 1, 7_200, autumn),
        ] {
            let (local, change) = berlin.local(at);
            assert_eq!((local - i128::from(at), change), (ahead, Some(next)));
        }
        let end = u64::MAX;
        assert_eq!(berlin.local(end).1, None);
        for none in ["", "Nowhere/Land", "+08:00", "\u{e9}", "../etc/passwd"] {
            assert_eq!(Zone::named(none), None, "{none}");
        }
        for offset in [0, 480, -210] {
            assert_eq!(format!("{:?}", Offset::Minutes(offset)), offset.to_string());
        }
    }

    /// What was stored before there were zones is read, and told by the same form.
    #[test]
    fn what_is_stored_is_read() {
        let stored = |offset| {
            format!(
                r#"{{"repeated":{{"from":null,"until":null,"days":"daily","start":1,"end":2,"offset":{offset}}}}}"#
            )
        };
        let berlin = Offset::Zone(Zone::named("Europe/Berlin").unwrap());
        for (text, offset, form) in [
            ("480", Offset::Minutes(480), "480"),
            ("-210", Offset::Minutes(-210), "-210"),
            (r#""Europe/Berlin""#, berlin, r#""Europe/Berlin""#),
        ] {
            let validity: Validity = serde_json::from_str(&stored(text)).unwrap();
            assert!(format!("{validity:?}").ends_with(&format!("offset: {form} }}")));
            assert_eq!(serde_json::to_string(&validity).unwrap(), stored(text));
            let Validity::Repeated { offset: read, .. } = validity else {
                panic!("{validity:?}")
            };
            assert_eq!(read, offset);
        }
        for text in ["40000", "null", r#""Nowhere/Land""#] {
            assert!(serde_json::from_str::<Validity>(&stored(text)).is_err());
        }
    }
}
