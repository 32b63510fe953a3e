//! Schedules in time zones, about the days on which clocks are put forward or back.

use super::list;
use model::{
    ControlPolicy, EngineMode, Offset, PolicyAction, PolicyDestination, PolicyPorts, PolicySource,
    RepeatDays, Validity, Zone,
};
use policy::{
    Answers, Because, Facts, Identity, KnownNames, Policies, Subject, Threats, Verdict, World,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A zone, and moments in which its clocks are put forward or back, in minutes since 1970.
const CHANGES: [(&str, [u64; 3]); 3] = [
    // 2026-03-29 01:00, 2026-10-25 01:00, 2027-03-28 01:00.
    ("Europe/Berlin", [29_579_100, 29_881_500, 30_103_260]),
    // 2026-03-08 07:00, 2026-11-01 06:00, 2027-03-14 07:00.
    ("America/New_York", [29_549_220, 29_891_880, 30_083_460]),
    // 2026-04-04 15:00, 2026-10-03 15:30, 2027-04-03 15:00.
    ("Australia/Lord_Howe", [29_588_580, 29_850_690, 30_112_740]),
];

fn case() -> impl Strategy<Value = (Validity, u64)> {
    let days = prop_oneof![
        Just(RepeatDays::Daily),
        vec(0u8..7, 1..4).prop_map(RepeatDays::Weekly),
        vec(1u8..32, 1..8).prop_map(RepeatDays::Monthly)
    ];
    // Most begin and end where clocks jump.
    let minute = || prop_oneof![3 => 55u16..190, 1 => 0u16..1_440];
    let zone = select(&CHANGES[..]);
    (zone, 0usize..3, days, minute(), minute()).prop_map(|((name, at), n, days, start, end)| {
        let validity = Validity::Repeated {
            from: None,
            until: None,
            days,
            start,
            end: if start == end { (end + 1) % 1_440 } else { end },
            offset: Offset::Zone(Zone::named(name).unwrap()),
        };
        (validity, at[n] * 60)
    })
}

fn compiled(validity: &Validity) -> Policies {
    let policy = ControlPolicy {
        id: "it".parse().unwrap(),
        description: String::new(),
        source: PolicySource::Net("0.0.0.0/0".parse().unwrap()),
        destination: PolicyDestination::Net("0.0.0.0/0".parse().unwrap()),
        protocol: None,
        ports: PolicyPorts::Any,
        applications: Vec::new(),
        action: PolicyAction::Accept,
        enabled: true,
        validity: validity.clone(),
        resolve: model::DomainResolve::Fqdn,
    };
    Policies::compile(&[Arc::new(policy)], &[])
}

fn counts(policies: &Policies, now: u64) -> bool {
    let (answers, world) = (Answers::new(1), World::default());
    let names = KnownNames {
        answers: &answers,
        resolved: &world.resolved,
        now,
    };
    let facts = Facts {
        names: &names,
        locations: world.locations(),
        threats: &Threats::default(),
        services: &policy::CloudServices::default(),
        now,
    };
    let subject = Subject {
        source: Ipv4Addr::LOCALHOST,
        destination: Ipv4Addr::LOCALHOST,
        protocol: 17,
        port: Some(1),
        identity: Identity::Unknown,
    };
    let verdict = policies.check(&subject, &facts, EngineMode::Strict, PolicyAction::Drop);
    matches!(
        verdict,
        Verdict::Decided {
            because: Because::Policy(0),
            ..
        }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Minute by minute, two days before and after; and each change is told when it comes.
    #[test]
    fn a_schedule_is_what_clocks_on_the_wall_say((validity, change) in case()) {
        let policies = compiled(&validity);
        let (begin, end) = (change - 2 * 86_400, change + 2 * 86_400);
        let mut next = policies.next_change(begin);
        let mut before = list::valid(&validity, begin);
        for now in (begin..end).step_by(60) {
            let naive = list::valid(&validity, now);
            prop_assert_eq!(counts(&policies, now), naive, "{}", now);
            prop_assert_eq!(naive != before, next == Some(now) && now != begin, "{}", now);
            if next == Some(now) {
                next = policies.next_change(now);
            }
            prop_assert!(next.is_some_and(|next| next > now), "{:?}", next);
            before = naive;
        }
    }

    /// From whenever it is asked, the next change is the first one.
    #[test]
    fn the_next_change_is_the_first((validity, change) in case(), hours in 0u64..80) {
        let policies = compiled(&validity);
        let mut now = change - hours * 3_600;
        for _ in 0..4 {
            let next = policies.next_change(now).unwrap();
            prop_assert_eq!(next % 60, 0);
            let is = list::valid(&validity, now);
            let step = ((next - now) / 2_000 / 60).max(1) * 60;
            for between in (now..next).step_by(step as usize).chain([next - 1]) {
                prop_assert_eq!(list::valid(&validity, between), is);
            }
            prop_assert_eq!(list::valid(&validity, next), !is);
            now = next;
        }
    }
}

/// What a clock does not show does not count, and what it shows twice counts twice.
#[test]
fn a_time_that_is_not_there_or_there_twice() {
    let validity = Validity::Repeated {
        from: None,
        until: None,
        days: RepeatDays::Weekly(vec![0]),
        start: 135,
        end: 165,
        offset: Offset::Zone(Zone::named("Europe/Berlin").unwrap()),
    };
    let policies = compiled(&validity);
    let [spring, autumn, _] = CHANGES[0].1.map(|minute| minute * 60);
    let counting = |from: u64| {
        let minutes = (from..from + 86_400).step_by(60);
        minutes
            .filter(|&now| counts(&policies, now))
            .collect::<Vec<_>>()
    };
    assert!(counting(spring - 12 * 3_600).is_empty());
    let twice = counting(autumn - 12 * 3_600);
    assert_eq!(
        (twice.len(), twice[0], twice[30]),
        (60, autumn - 45 * 60, autumn + 15 * 60)
    );
}
