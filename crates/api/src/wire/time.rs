//! The time stamps of calls: `2026-11-21T19:08:37Z`, UTC, to the second.

use time::{Date, Month, Time, UtcDateTime};

/// How old a call may be, and how far in the future its time may lie, in seconds.
pub const WINDOW: u64 = 15 * 60;

/// Seconds since 1970 of a time stamp. None if it is not `YYYY-MM-DDThh:mm:ssZ`, no date of the calendar, or
/// before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    for (at, sign) in [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'Z'),
    ] {
        if bytes[at] != sign {
            return None;
        }
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0u16, |number, digit| {
            let digit = char::from(*digit).to_digit(10)?;
            Some(number * 10 + digit as u16)
        })
    };
    let two = |from| number(from, from + 2).map(|number| number as u8);
    let (year, month, day) = (number(0, 4)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let month = Month::try_from(month).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, day).ok()?;
    let time = Time::from_hms(hour, minute, second).ok()?;
    let seconds = UtcDateTime::new(date, time).unix_timestamp();
    u64::try_from(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1972-02-29T23:59:59Z", 68_255_999),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2026-11-21T19:08:37Z", 1_795_288_117),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T19:08:37",
            "2026-11-21T19:08:37z",
            "2026-11-21T19:08:37.0Z",
            "2026-11-21 19:08:37Z",
            "2026-11-21T19:08:+7Z",
            "2026-13-21T19:08:37Z",
            "2026-00-21T19:08:37Z",
            "2026-11-31T19:08:37Z",
            "2026-11-00T19:08:37Z",
            "2025-02-29T19:08:37Z",
            "2100-02-29T19:08:37Z",
            "2026-11-21T24:08:37Z",
            "2026-11-21T19:60:37Z",
            "2026-11-21T19:08:60Z",
            "1969-12-31T23:59:59Z",
            "２026-11-21T19:08:7Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
