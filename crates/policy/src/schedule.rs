//! When policies count.

use crate::sets::Plain;
use hashbrown::{DefaultHashBuilder, HashTable};
use model::{RepeatDays, Validity};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const DAY: i128 = 86_400;
/// Of how many days the first or last minute is looked at for a change: days of the month come again within 62, and where
/// clocks are put forward the one after may count.
const LOOK_AHEAD: i128 = 128;

/// Whether a policy counts at a moment.
pub(crate) fn counts(validity: &Validity, now: u64) -> bool {
    match validity {
        Validity::Permanent => true,
        Validity::Once { from, until } => (*from..*until).contains(&now),
        Validity::Repeated {
            from,
            until,
            days,
            start,
            end,
            offset,
        } => {
            let begun = from.is_none_or(|from| from <= now);
            let over = until.is_some_and(|until| until <= now);
            begun && !over && repeats(days, *start, *end, offset.local(now).0)
        }
    }
}

fn repeats(days: &RepeatDays, start: u16, end: u16, local: i128) -> bool {
    let (day, minute) = (local.div_euclid(DAY), local.rem_euclid(DAY) / 60);
    let (start, end) = (i128::from(start), i128::from(end));
    // A period that goes past midnight is that of the day on which it began.
    let day = match start < end {
        true if (start..end).contains(&minute) => day,
        false if minute >= start => day,
        false if minute < end => day - 1,
        _ => return false,
    };
    match days {
        RepeatDays::Daily => true,
        // 1970-01-01 was a Thursday.
        RepeatDays::Weekly(days) => days.contains(&((day + 4).rem_euclid(7) as u8)),
        RepeatDays::Monthly(days) => days.contains(&day_of_month(day)),
    }
}

/// The day of the month of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn day_of_month(day: i128) -> u8 {
    let of_era = (day + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    (of_year - (153 * month + 2) / 5 + 1) as u8
}

/// When, after a moment, it next changes whether a policy counts.
pub(crate) fn next_change(validity: &Validity, now: u64) -> Option<u64> {
    let is = counts(validity, now);
    let changes = |at: &u64| *at > now && counts(validity, *at) != is;
    match validity {
        Validity::Permanent => None,
        Validity::Once { from, until } => [*from, *until].into_iter().filter(changes).min(),
        Validity::Repeated {
            from,
            until,
            start,
            end,
            offset,
            ..
        } => {
            let base = from.map_or(now, |from| from.max(now));
            let last_day = offset.local(base).0.div_euclid(DAY) + LOOK_AHEAD;
            let ends = from.iter().chain(until).copied();
            let minutes = [0, *start.min(end), *start.max(end)];
            // From one moment in which clocks are put forward or back until the next.
            let mut since = Some(base);
            let in_days = std::iter::from_fn(|| {
                let begin = since?;
                let (local, put) = offset.local(begin);
                let day = local.div_euclid(DAY);
                since = put.filter(|_| day < last_day);
                let ahead = local - i128::from(begin);
                // Between these moments of a day nothing changes.
                let moments = (day..last_day).flat_map(move |day| {
                    minutes.map(|minute| day * DAY + i128::from(minute.min(1_440)) * 60 - ahead)
                });
                let moments = moments.filter_map(|at| u64::try_from(at).ok());
                let moments = moments.take_while(move |at| put.is_none_or(|put| *at < put));
                Some(moments.chain(put))
            });
            let in_days = in_days.flatten().find(changes);
            ends.filter(changes).chain(in_days).min()
        }
    }
}

/// The schedules of a list of policies, and which policies count at the moment.
#[derive(Debug)]
pub(crate) struct Schedules {
    /// Those that always count.
    permanent: Plain,
    /// The others, by schedule.
    rules: Vec<(Validity, Vec<u32>)>,
    now: RwLock<Now>,
}

/// Which policies count from a moment until another.
#[derive(Debug)]
pub(crate) struct Now {
    from: u64,
    /// `None`: for ever.
    until: Option<u64>,
    valid: Plain,
    /// When each schedule next changes what counts.
    changes: Vec<Option<u64>>,
}

impl Now {
    /// Those that count.
    pub fn valid(&self) -> &Plain {
        &self.valid
    }

    fn covers(&self, now: u64) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

impl Schedules {
    /// Of the policies that count at all, by place; `None` if all of them always do.
    pub fn new<'a>(
        len: usize,
        policies: impl IntoIterator<Item = (u32, &'a Validity)>,
    ) -> Option<Schedules> {
        let mut permanent = Plain::new(len);
        let mut rules: Vec<(Validity, Vec<u32>)> = Vec::new();
        let mut known: HashTable<usize> = HashTable::new();
        let hasher = DefaultHashBuilder::default();
        for (place, validity) in policies {
            if *validity == Validity::Permanent {
                permanent.insert(place);
                continue;
            }
            let hash = |validity: &Validity| {
                let mut hasher = hasher.build_hasher();
                hash(validity, &mut hasher);
                hasher.finish()
            };
            let found = known.find(hash(validity), |&rule| rules[rule].0 == *validity);
            match found.copied() {
                Some(rule) => rules[rule].1.push(place),
                None => {
                    let rehash = |&rule: &usize| hash(&rules[rule].0);
                    known.insert_unique(hash(validity), rules.len(), rehash);
                    rules.push((validity.clone(), vec![place]));
                }
            }
        }
        if rules.is_empty() {
            return None;
        }
        let mut schedules = Schedules {
            now: RwLock::new(Now {
                from: 0,
                until: None,
                valid: Plain::default(),
                changes: Vec::new(),
            }),
            permanent,
            rules,
        };
        schedules.now = RwLock::new(schedules.at(0));
        Some(schedules)
    }

    /// Which policies count at a moment. It is worked out again when a schedule has changed it, or for another time.
    pub fn now(&self, now: u64) -> RwLockReadGuard<'_, Now> {
        let known = self.now.read().unwrap_or_else(PoisonError::into_inner);
        if known.covers(now) {
            return known;
        }
        drop(known);
        let mut known = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if now < known.from {
            *known = self.at(now);
        } else if !known.covers(now) {
            self.go_on(&mut known, now);
        }
        RwLockWriteGuard::downgrade(known)
    }

    /// When it next changes which policies count.
    pub fn next_change(&self, now: u64) -> Option<u64> {
        self.now(now).until
    }

    fn at(&self, now: u64) -> Now {
        let mut new = Now {
            from: now,
            until: None,
            valid: self.permanent.clone(),
            // All of them are due.
            changes: vec![Some(now); self.rules.len()],
        };
        self.go_on(&mut new, now);
        new
    }

    /// Works out again what the schedules say that have changed by then.
    fn go_on(&self, known: &mut Now, now: u64) {
        let Now { changes, valid, .. } = known;
        for ((validity, places), change) in self.rules.iter().zip(changes.iter_mut()) {
            if change.is_none_or(|at| at > now) {
                continue;
            }
            match counts(validity, now) {
                true => places.iter().for_each(|&place| valid.insert(place)),
                false => places.iter().for_each(|&place| valid.remove(place)),
            }
            *change = next_change(validity, now);
        }
        known.until = known.changes.iter().flatten().min().copied();
        known.from = now;
    }

    /// How many bytes they take, about.
    pub fn bytes(&self) -> usize {
        let places = self.rules.iter().map(|it| 4 * it.1.capacity());
        let rules = self.rules.capacity() * size_of::<(Validity, Vec<u32>)>();
        let changes = self.rules.len() * size_of::<Option<u64>>();
        2 * self.permanent.bytes() + rules + changes + places.sum::<usize>()
    }
}

fn hash(validity: &Validity, hasher: &mut impl Hasher) {
    match validity {
        Validity::Permanent => {}
        Validity::Once { from, until } => (from, until).hash(hasher),
        Validity::Repeated {
            from,
            until,
            days,
            start,
            end,
            offset,
        } => {
            (from, until, start, end, offset).hash(hasher);
            match days {
                RepeatDays::Daily => {}
                RepeatDays::Weekly(days) => (7, days).hash(hasher),
                RepeatDays::Monthly(days) => (31, days).hash(hasher),
            }
        }
    }
}
