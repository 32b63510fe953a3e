//! Dates and times of day.

use toml::value::{Date, Datetime, Offset, Time};

const DAY: i64 = 86_400;

/// Seconds since 1970 of a date with a time and an offset, as `2026-12-01T08:00:00Z`.
pub fn seconds(given: &Datetime) -> Result<u64, String> {
    let wrong = || format!("{given} is no date with time and offset, like 2026-12-01T08:00:00Z");
    let (Some(date), Some(time), Some(offset)) = (given.date, given.time, given.offset) else {
        return Err(wrong());
    };
    let offset = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes) * 60,
    };
    // The last second of a day may be a 61st: it is the first of the next minute.
    let clock = i64::from(time.hour) * 3_600
        + i64::from(time.minute) * 60
        + i64::from(time.second.unwrap_or(0));
    let days = days(
        i64::from(date.year),
        i64::from(date.month),
        i64::from(date.day),
    );
    u64::try_from(days * DAY + clock - offset).map_err(|_| wrong())
}

/// The date and time of seconds since 1970, in UTC. Later than the year 9999 it is that year's end.
pub fn datetime(seconds: u64) -> Datetime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let seconds = seconds.min(days(10_000, 1, 1) * DAY - 1);
    let (year, month, day) = date(seconds / DAY);
    let clock = seconds % DAY;
    let part = |it: i64| u8::try_from(it).unwrap_or(0);
    Datetime {
        date: Some(Date {
            year: u16::try_from(year).unwrap_or(9999),
            month: part(month),
            day: part(day),
        }),
        time: Some(Time {
            hour: part(clock / 3_600),
            minute: part(clock / 60 % 60),
            second: Some(part(clock % 60)),
            nanosecond: None,
        }),
        offset: Some(Offset::Z),
    }
}

/// Days since 1970 of a date, in years that begin with March so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

/// The date that is so many days after 1970-01-01.
fn date(since: i64) -> (i64, i64, i64) {
    let mut year = 1970 + since / 366;
    while days(year + 1, 1, 1) <= since {
        year += 1;
    }
    let mut month = 12;
    while days(year, month, 1) > since {
        month -= 1;
    }
    (year, month, since - days(year, month, 1) + 1)
}

/// Minutes of a day, `18:30`.
pub fn minutes(text: &str) -> Result<u16, String> {
    let wrong = || format!("{text:?} is no time of day, like 18:30");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let part = |part: &str, most: u16| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
        let number = part.parse().ok().filter(|_| digits);
        number.filter(|it: &u16| *it <= most)
    };
    match (part(hour, 23), part(minute, 59)) {
        (Some(hour), Some(minute)) => Ok(hour * 60 + minute),
        _ => Err(wrong()),
    }
}

/// Minutes east of UTC, `+08:00`.
pub fn offset(text: &str) -> Result<i16, String> {
    let wrong = |_| format!("{text:?} is no time zone, like +08:00");
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(wrong(String::new())),
    };
    let minutes = minutes(rest).map_err(wrong)?;
    Ok(sign * i16::try_from(minutes).unwrap_or(0))
}

/// As [`minutes`] reads it.
pub fn of_day(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;

    #[test]
    fn dates_are_what_others_say() {
        for (seconds_, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_288_117, "2026-11-21T19:08:37Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(datetime(seconds_).to_string(), text);
            assert_eq!(seconds(&text.parse().unwrap()), Ok(seconds_));
        }
        let east = "2026-12-01T08:00:00+08:00".parse().unwrap();
        let utc = "2026-12-01T00:00:00Z".parse().unwrap();
        assert_eq!(seconds(&east), seconds(&utc));
        assert!(seconds(&"2026-12-01".parse().unwrap()).is_err());
        assert!(seconds(&"1969-12-31T23:59:59Z".parse().unwrap()).is_err());
        assert_eq!(datetime(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn times_of_day_and_zones() {
        assert_eq!(minutes("18:30"), Ok(1_110));
        assert_eq!(minutes("0:00"), Ok(0));
        for wrong in ["", "24:00", "1:60", "18", "+1:00", "1:2:3"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(offset("-03:30"), Ok(-210));
        assert_eq!(Offset::Minutes(-210).to_string(), "-03:30");
        assert!(offset("08:00").is_err());
        assert!(offset("é").is_err());
    }
}
