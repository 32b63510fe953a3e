//! When policies count, through the API: each kind of repetition, to the minute, in its time zone.

use crate::common::firewall::{Site, site};
use crate::common::text;
use crate::policies;
use api::ApiError;
use model::{Offset, PolicyScope, RepeatDays, Validity, Zone};
use serde_json::{Value, json};

/// 2026-12-01 and 2027-01-01, both 00:00 UTC.
const FROM: u64 = 1_796_083_200;
const UNTIL: u64 = 1_798_761_600;

/// Names and values of parameters.
type Params<'a> = &'a [(&'a str, &'a str)];

fn create(site: &Site, more: &[(&str, &str)]) -> Result<String, ApiError> {
    let made = site.cfw(
        "CreateNatFirewallControlPolicy",
        &policies::params(&site.gateway, more),
    )?;
    Ok(text(&made, "/AclUuid"))
}

fn shown(site: &Site, id: &str) -> Value {
    let params = [
        ("NatGatewayId", &*site.gateway),
        ("Direction", "out"),
        ("AclUuid", id),
    ];
    let told = site
        .cfw("DescribeNatFirewallControlPolicy", &params)
        .unwrap();
    told["Policys"][0].clone()
}

/// What the engine is told.
fn in_force(site: &Site, id: &str) -> Validity {
    let config = site.world.control.config();
    let scope = PolicyScope::NatGateway(site.gateway.clone());
    let mut policies = config.firewalls.policies(&scope).iter();
    let policy = policies.find(|it| it.id == id).unwrap();
    policy.validity.clone()
}

fn repeated(days: RepeatDays, start: u16, end: u16, offset: i16) -> Validity {
    zoned(days, start, end, Offset::Minutes(offset))
}

fn zoned(days: RepeatDays, start: u16, end: u16, offset: Offset) -> Validity {
    Validity::Repeated {
        from: None,
        until: None,
        days,
        start,
        end,
        offset,
    }
}

#[test]
fn a_policy_counts_once_or_again_and_again() {
    let site = site(1);
    let (from, until) = (FROM.to_string(), UNTIL.to_string());
    let once = [
        ("RepeatType", "None"),
        ("StartTime", &*from),
        ("EndTime", &until),
    ];
    let daily = [
        ("RepeatType", "Daily"),
        ("RepeatStartTime", "22:15"),
        ("RepeatEndTime", "06:45"),
        ("RepeatTimeZone", "+08:00"),
    ];
    let weekly = [
        ("RepeatType", "Weekly"),
        ("RepeatDays.1", "0"),
        ("RepeatDays.2", "6"),
        ("RepeatStartTime", "08:00"),
        ("RepeatEndTime", "18:01"),
    ];
    let monthly = [
        ("RepeatType", "Monthly"),
        ("RepeatDays", "1, 31"),
        ("RepeatStartTime", "00:00"),
        ("RepeatEndTime", "12:00"),
        ("RepeatTimeZone", "-03:30"),
    ];
    let minute = |hour: u16, minute: u16| hour * 60 + minute;
    let in_berlin = [
        ("RepeatType", "Weekly"),
        ("RepeatDays.1", "1"),
        ("RepeatStartTime", "08:00"),
        ("RepeatEndTime", "18:00"),
        ("RepeatTimeZone", "europe/berlin"),
    ];
    let berlin = || Offset::Zone(Zone::named("Europe/Berlin").unwrap());
    let cases: [(Params, Validity, Value); 5] = [
        (
            &in_berlin,
            zoned(
                RepeatDays::Weekly(vec![1]),
                minute(8, 0),
                minute(18, 0),
                berlin(),
            ),
            json!([0, 0, "08:00", "18:00", "Europe/Berlin", [1]]),
        ),
        (
            &once,
            Validity::Once {
                from: FROM,
                until: UNTIL,
            },
            json!([FROM, UNTIL, "", "", "", []]),
        ),
        (
            &daily,
            repeated(RepeatDays::Daily, minute(22, 15), minute(6, 45), 480),
            json!([0, 0, "22:15", "06:45", "+08:00", []]),
        ),
        (
            &weekly,
            repeated(
                RepeatDays::Weekly(vec![0, 6]),
                minute(8, 0),
                minute(18, 1),
                0,
            ),
            json!([0, 0, "08:00", "18:01", "+00:00", [0, 6]]),
        ),
        (
            &monthly,
            repeated(RepeatDays::Monthly(vec![1, 31]), 0, minute(12, 0), -210),
            json!([0, 0, "00:00", "12:00", "-03:30", [1, 31]]),
        ),
    ];
    for (says, validity, fields) in cases {
        let id = create(&site, says).unwrap();
        assert_eq!(in_force(&site, &id), validity, "{says:?}");
        let told = shown(&site, &id);
        let names = [
            "StartTime",
            "EndTime",
            "RepeatStartTime",
            "RepeatEndTime",
            "RepeatTimeZone",
            "RepeatDays",
        ];
        assert_eq!(told["RepeatType"], says[0].1);
        assert_eq!(json!(names.map(|it| &told[it])), fields, "{says:?}");
        // Another word stays what it is, and within a time it goes on as it was.
        let change = [
            ("NatGatewayId", &*site.gateway),
            ("AclUuid", &id),
            ("AclAction", "log"),
            ("StartTime", &from),
            ("EndTime", &until),
        ];
        site.cfw("ModifyNatFirewallControlPolicy", &change).unwrap();
        let within = match validity {
            Validity::Repeated {
                days,
                start,
                end,
                offset,
                ..
            } => Validity::Repeated {
                from: Some(FROM),
                until: Some(UNTIL),
                days,
                start,
                end,
                offset,
            },
            other => other,
        };
        assert_eq!(in_force(&site, &id), within, "{says:?}");
    }
}

#[test]
fn times_that_cannot_be_are_refused() {
    let site = site(1);
    let daily = [("RepeatType", "Daily"), ("RepeatStartTime", "08:00")];
    let weekly = [
        ("RepeatType", "Weekly"),
        ("RepeatStartTime", "08:00"),
        ("RepeatEndTime", "09:00"),
    ];
    let monthly = [("RepeatType", "Monthly"), weekly[1], weekly[2]];
    let cases: [(Params, Params); 7] = [
        (&daily, &[("RepeatEndTime", "24:00")]),
        (
            &daily,
            &[
                ("RepeatEndTime", "09:00"),
                ("RepeatTimeZone", "Asia/Nowhere"),
            ],
        ),
        (
            &daily,
            &[("RepeatEndTime", "09:00"), ("RepeatTimeZone", "+19:00")],
        ),
        (&weekly, &[]),
        (&weekly, &[("RepeatDays.1", "7")]),
        (&monthly, &[("RepeatDays.1", "0")]),
        (&monthly, &[("RepeatDays.1", "32")]),
    ];
    for (says, more) in cases {
        let refusal = create(&site, &[says, more].concat()).unwrap_err();
        let code = refusal.code;
        let known = [
            "InvalidParameter",
            "ErrorParametersRepeat",
            "MissingParameter",
        ];
        assert!(known.contains(&&*code), "{says:?} {more:?}: {code}");
    }
}
