//! Policies as a list that is read from the top: what the matcher has to agree with.

use ipnet::Ipv4Net;
use model::{
    AddressBook, BookContent, ControlPolicy, DomainResolve, EngineMode, Id, Offset, PolicyAction,
    PolicyDestination, PolicyPorts, PolicySource, RepeatDays, Validity, domain::Pattern,
};
use policy::{Because, Facts, Identity, Needs, Subject, Verdict};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Policies that can be asked.
#[derive(Debug, Default)]
pub struct List {
    list: Vec<Arc<ControlPolicy>>,
    books: HashMap<Id, Arc<BookContent>>,
    services: HashMap<Id, Vec<Ipv4Net>>,
}

/// Whether a policy is about a session.
enum Match {
    Yes,
    No,
    Needs(Needs),
}

impl List {
    /// Compiles policies, in their order, with the books that they name. A book that there is not is empty.
    pub fn compile(
        policies: &[Arc<ControlPolicy>],
        books: &[AddressBook],
        services: &[(String, Vec<Ipv4Net>)],
    ) -> List {
        let books = books.iter().map(|it| (it.id.clone(), it.content.clone()));
        List {
            list: policies.to_vec(),
            books: books.collect(),
            services: services.iter().cloned().collect(),
        }
    }

    /// What the policies say. `default` happens to what none matches.
    pub fn check(
        &self,
        subject: &Subject,
        facts: &Facts,
        mode: EngineMode,
        default: PolicyAction,
    ) -> Verdict {
        for (place, policy) in (0..).zip(&self.list) {
            let because = match self.matches(policy, subject, facts) {
                Match::No => continue,
                Match::Yes => Because::Policy(place),
                Match::Needs(what) => match (subject.identity, mode) {
                    (Identity::Pending(_), _) => return Verdict::Pending(place, what),
                    (_, EngineMode::Strict) => continue,
                    (_, EngineMode::Loose) => Because::Unidentified(place, what),
                },
            };
            let action = match because {
                Because::Policy(_) => policy.action,
                _ => PolicyAction::Accept,
            };
            return Verdict::Decided { action, because };
        }
        Verdict::Decided {
            action: default,
            because: Because::Default,
        }
    }

    fn matches(&self, policy: &ControlPolicy, subject: &Subject, facts: &Facts) -> Match {
        let locate = |address, codes: &[String]| {
            let mut found = false;
            facts.locations.locate(address, &mut |code| {
                found |= codes.iter().any(|it| it == code)
            });
            found
        };
        let source = match &policy.source {
            PolicySource::Net(net) => net.contains(&subject.source),
            PolicySource::Book(id) => self.in_book(id, subject.source, facts),
            PolicySource::Location(codes) => locate(subject.source, codes),
        };
        let ports = match (&policy.ports, subject.port) {
            (PolicyPorts::Any, _) => true,
            (_, None) => false,
            (PolicyPorts::Range(range), Some(port)) => range.contains(&port),
            (PolicyPorts::Book(id), Some(port)) => match self.books.get(id).map(|it| &**it) {
                Some(BookContent::Port(ranges)) => ranges.iter().any(|it| it.contains(&port)),
                _ => false,
            },
        };
        let protocol = policy.protocol.is_none_or(|it| it == subject.protocol);
        if !policy.enabled || !source || !ports || !protocol || !valid(&policy.validity, facts.now)
        {
            return Match::No;
        }
        let mut category = None;
        let patterns: &[Pattern] = match &policy.destination {
            PolicyDestination::Net(net) if net.contains(&subject.destination) => &[],
            PolicyDestination::Net(_) => return Match::No,
            PolicyDestination::Location(codes) if locate(subject.destination, codes) => &[],
            PolicyDestination::Location(_) => return Match::No,
            PolicyDestination::Domain(pattern) => std::slice::from_ref(pattern),
            PolicyDestination::Book(id) => match self.books.get(id).map(|it| &**it) {
                Some(BookContent::Domain(patterns)) if patterns.is_empty() => return Match::No,
                Some(BookContent::Domain(patterns)) => patterns,
                _ if self.in_book(id, subject.destination, facts) => &[],
                // The domains of a category are as those of a book.
                Some(BookContent::Threat(id)) if facts.threats.has_domains(id) => {
                    category = Some(id.as_str());
                    &[]
                }
                _ => return Match::No,
            },
        };
        let by_name = category.is_some() || !patterns.is_empty();
        let app = match subject.identity {
            Identity::Pending(app) => app,
            Identity::Known { app, .. } | Identity::Nameless(app) => Some(app),
            Identity::Unknown => None,
        };
        let applications = &policy.applications;
        if let Some(app) = app
            && !applications.is_empty()
            && !applications.contains(&app)
        {
            return Match::No;
        }
        let needs_app = !applications.is_empty() && app.is_none();
        if !by_name {
            return match needs_app {
                true => Match::Needs(Needs::App),
                false => Match::Yes,
            };
        }
        let among = |name: &str| {
            patterns.iter().any(|it| it.matches(name))
                || category.is_some() && facts.threats.find_domain(name) == category
        };
        let mut by_dns = false;
        if policy.resolve != DomainResolve::Fqdn {
            let (client, address) = (subject.source, subject.destination);
            facts
                .names
                .names(client, address, &mut |name| by_dns |= among(name));
        }
        if by_dns {
            return match needs_app {
                true => Match::Needs(Needs::App),
                false => Match::Yes,
            };
        }
        if policy.resolve == DomainResolve::Dns {
            return Match::No;
        }
        // What tells no names is not meant by a policy that looks at them.
        if app.is_some_and(|app| !app.has_domain()) {
            return Match::No;
        }
        match subject.identity {
            Identity::Known {
                domain: Some(name), ..
            } if among(name) => Match::Yes,
            Identity::Known {
                domain: Some(_), ..
            }
            | Identity::Nameless(_) => Match::No,
            _ if needs_app => Match::Needs(Needs::App),
            _ => Match::Needs(Needs::Domain),
        }
    }

    fn in_book(&self, id: &Id, address: Ipv4Addr, facts: &Facts) -> bool {
        match self.books.get(id).map(|it| &**it) {
            Some(BookContent::Ip(nets)) => nets.iter().any(|net| net.contains(&address)),
            Some(BookContent::Tag(addresses)) => addresses.contains(&address),
            Some(BookContent::Threat(id)) => {
                facts.threats.find_address(address) == Some(id.as_str())
            }
            Some(BookContent::Cloud(_)) => {
                let nets = self.services.get(id);
                nets.is_some_and(|it| it.iter().any(|net| net.contains(&address)))
            }
            _ => false,
        }
    }
}

/// By how many minutes clocks are ahead of UTC. Of zones, those that the tests use, as they are from 2008 to 2030.
fn ahead(offset: &Offset, now: u64) -> i16 {
    let zone = match offset {
        Offset::Minutes(minutes) => return *minutes,
        Offset::Zone(zone) => zone.name(),
    };
    // Clocks are put forward on a Sunday of a month, and back on one of another; counted from its end.
    let sunday = |month: i64, last_day: i64, hour: i64, minute: i64| {
        let year = (1_970..).take_while(|&year| days_until(year, 1, 1) * 86_400 <= now as i64);
        let last = days_until(year.last().unwrap(), month, last_day);
        let day = last - (last + 4).rem_euclid(7);
        (day * 24 + hour) * 3_600 + minute * 60 <= now as i64
    };
    match zone {
        // 02:00 becomes 03:00 and 03:00 becomes 02:00, by what is 01:00 UTC.
        "Europe/Berlin" => 60 + 60 * i16::from(sunday(3, 31, 1, 0) && !sunday(10, 31, 1, 0)),
        // On the second Sunday of March and the first of November, at 02:00.
        "America/New_York" => 60 * i16::from(sunday(3, 14, 7, 0) && !sunday(11, 7, 6, 0)) - 300,
        // In the south it is the other way round, and half an hour.
        "Australia/Lord_Howe" => {
            let winter = sunday(4, 7, -9, 0) && !sunday(10, 7, -9, 30);
            630 + 30 * i16::from(!winter)
        }
        "Asia/Shanghai" => 480,
        other => panic!("{other}"),
    }
}

/// Days from 1970 until a date.
fn days_until(year: i64, month: i64, day: i64) -> i64 {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let years: i64 = (1_970..year).map(|it| 365 + i64::from(leap(it))).sum();
    let february = 28 + i64::from(leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + months.iter().take(month as usize - 1).sum::<i64>() + day - 1
}

/// Whether a policy counts at a moment.
pub fn valid(validity: &Validity, now: u64) -> bool {
    let within = |from: Option<u64>, until: Option<u64>| {
        from.is_none_or(|from| from <= now) && until.is_none_or(|until| now < until)
    };
    match validity {
        Validity::Permanent => true,
        Validity::Once { from, until } => within(Some(*from), Some(*until)),
        Validity::Repeated {
            from,
            until,
            days,
            start,
            end,
            offset,
        } => {
            let local = now as i64 + i64::from(ahead(offset, now)) * 60;
            let (day, minute) = (local.div_euclid(86_400), local.rem_euclid(86_400) / 60);
            let (start, end) = (i64::from(*start), i64::from(*end));
            // A period that goes past midnight is that of the day on which it began.
            let day = match start < end {
                true if (start..end).contains(&minute) => day,
                false if minute >= start => day,
                false if minute < end => day - 1,
                _ => return false,
            };
            let on = match days {
                RepeatDays::Daily => true,
                // 1970-01-01 was a Thursday.
                RepeatDays::Weekly(days) => days.contains(&((day + 4).rem_euclid(7) as u8)),
                RepeatDays::Monthly(days) => days.contains(&day_of_month(day)),
            };
            on && within(*from, *until)
        }
    }
}

/// The day of the month of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn day_of_month(day: i64) -> u8 {
    let z = day + 719_468;
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    (of_year - (153 * month + 2) / 5 + 1) as u8
}
