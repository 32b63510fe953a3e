//! Metering with totals and time as the test likes them.

use control::metering::{Account, Amounts, Metering, Of, Reading, Totals, Use};
use std::path::Path;
use std::sync::{Arc, Mutex};
use store::Series;

/// A data path's totals.
#[derive(Clone, Default)]
struct Plane(Arc<Mutex<(Reading, Vec<u64>)>>);

impl Totals for Plane {
    fn read(&self, forget: &[u64]) -> Result<Reading, String> {
        let mut plane = self.0.lock().unwrap();
        plane.1.extend(forget);
        let (reading, forgotten) = &mut *plane;
        reading
            .accounts
            .retain(|it| it.configured || !forgotten.contains(&it.owner));
        let now = reading.clone();
        reading
            .accounts
            .iter_mut()
            .for_each(|it| it.peak_sessions = 0);
        Ok(now)
    }
}

impl Plane {
    /// So many bytes go out by an EIP, and half as many in, in sessions of their own.
    fn traffic(&self, owner: u64, bytes: u64) {
        let mut plane = self.0.lock().unwrap();
        let accounts = &mut plane.0.accounts;
        let account = match accounts.iter_mut().find(|it| it.owner == owner) {
            Some(account) => account,
            None => {
                accounts.push(Account {
                    owner,
                    eip: Some(format!("eip-{}", owner % 10)),
                    nat_ip: false,
                    gateway: Some(format!("ngw-{}", owner / 10)),
                    configured: true,
                    ..Account::default()
                });
                accounts.last_mut().unwrap()
            }
        };
        let t = &mut account.totals;
        t.packets_out += 2;
        t.bytes_out += bytes;
        t.packets_in += 1;
        t.bytes_in += bytes / 2;
        t.opened += 1;
        account.peak_sessions = 3;
    }

    fn change(&self, change: impl FnOnce(&mut Reading)) {
        change(&mut self.0.lock().unwrap().0);
    }

    fn forgotten(&self) -> Vec<u64> {
        self.0.lock().unwrap().1.clone()
    }
}

fn open(plane: &Plane, dir: &Path) -> Metering {
    let series = Series::open(dir.join("usage.db")).unwrap();
    Metering::open(series, Box::new(plane.clone())).unwrap()
}

/// 2026-01-01T00:00:00Z.
const START: u64 = 1_767_225_600;

const HOUR: u64 = 3_600;

fn hours(metering: &Metering, of: Of, id: &str, now: u64) -> Vec<(u64, Use)> {
    metering.hours(of, id, 0..u64::MAX, now).unwrap()
}

fn total(metering: &Metering, of: Of, id: &str, now: u64) -> Amounts {
    let mut sum = Use::default();
    for (_, used) in hours(metering, of, id, now) {
        sum.add(&used);
    }
    sum.amounts
}

#[test]
fn hours_are_the_sums_of_their_minutes_and_the_highest_of_their_rates() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::default();
    let metering = open(&plane, dir.path());
    metering.tick(START).unwrap();
    for minute in 1..=120 {
        plane.traffic(11, if minute == 30 { 90_000 } else { 600 });
        plane.traffic(12, 1_000);
        metering.tick(START + minute * 60).unwrap();
    }
    let now = START + 120 * 60;
    let eip = hours(&metering, Of::Eip, "eip-1", now);
    let times: Vec<u64> = eip.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [START, START + HOUR]);
    let first = eip[0].1;
    assert_eq!(first.amounts.bytes_out, 59 * 600 + 90_000);
    assert_eq!(first.amounts.packets_out, 120);
    assert_eq!(
        (first.peak_out, first.peak_in, first.peak_both),
        (90_000, 45_000, 135_000)
    );
    assert_eq!(
        (first.amounts.opened, first.peak_opened, first.peak_sessions),
        (60, 1, 3)
    );
    assert_eq!(eip[1].1.peak_out, 600);
    let gateway = hours(&metering, Of::Gateway, "ngw-1", now);
    assert_eq!(gateway[0].1.amounts.bytes_out, 59 * 600 + 90_000 + 60_000);
    assert_eq!(gateway[0].1.peak_out, 91_000);
    let known: Vec<String> = metering.known(Of::Eip, now).unwrap().into_iter().collect();
    assert_eq!(known, ["eip-1", "eip-2"]);
    let range = START + 1..START + 2 * HOUR;
    assert_eq!(
        metering.hours(Of::Eip, "eip-1", range, now).unwrap().len(),
        1
    );
}

#[test]
fn what_is_not_written_yet_is_told_and_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::default();
    let mut sent = 0;
    for round in 0..20 {
        // Each daemon is killed at another second, some before they have written anything.
        let metering = open(&plane, dir.path());
        let begin = START + round * 97;
        for step in 0..1 + round % 9 {
            plane.traffic(11, 100 + round);
            sent += 100 + round;
            let now = begin + step * 13;
            if step % 2 == 0 {
                metering.tick(now).unwrap();
            }
            assert_eq!(total(&metering, Of::Eip, "eip-1", now).bytes_out, sent);
        }
        // What goes by while no daemon runs.
        plane.traffic(11, 7);
        sent += 7;
    }
    let metering = open(&plane, dir.path());
    let now = START + 4000;
    assert_eq!(total(&metering, Of::Eip, "eip-1", now).bytes_out, sent);
    assert_eq!(total(&metering, Of::Gateway, "ngw-1", now).bytes_out, sent);
    metering.stop(now).unwrap();
    drop(metering);
    // The same minute goes on.
    let metering = open(&plane, dir.path());
    plane.traffic(11, 1);
    metering.tick(now + 1).unwrap();
    metering.tick(now + 100).unwrap();
    assert_eq!(
        total(&metering, Of::Eip, "eip-1", now + 100).bytes_out,
        sent + 1
    );
    let periods = metering
        .periods("eip-1", START..START + 6000, 6000, now + 100)
        .unwrap();
    let all: Vec<u64> = periods.values().map(|it| it.bytes_out).collect();
    assert_eq!(all, [sent + 1]);
}

#[test]
fn the_time_without_a_daemon_is_no_peak() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::default();
    let metering = open(&plane, dir.path());
    metering.tick(START).unwrap();
    plane.traffic(11, 600);
    metering.tick(START + 60).unwrap();
    drop(metering);
    plane.traffic(11, 60_000);
    let metering = open(&plane, dir.path());
    let now = START + 60 + 600;
    metering.tick(now).unwrap();
    metering.tick(now + 60).unwrap();
    let hour = hours(&metering, Of::Eip, "eip-1", now + 60)[0].1;
    assert_eq!(hour.amounts.bytes_out, 60_600);
    assert_eq!(hour.peak_out, 60_000 * 60 / 660);
}

#[test]
fn another_memory_begins_at_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::default();
    let metering = open(&plane, dir.path());
    plane.change(|it| it.memory = 1);
    plane.traffic(11, 5_000);
    metering.stop(START).unwrap();
    drop(metering);
    // The machine was started anew.
    plane.change(|it| {
        it.memory = 2;
        it.accounts.clear();
    });
    plane.traffic(11, 300);
    let metering = open(&plane, dir.path());
    assert_eq!(
        total(&metering, Of::Eip, "eip-1", START + 90).bytes_out,
        5_300
    );
    plane.traffic(11, 20);
    assert_eq!(
        total(&metering, Of::Eip, "eip-1", START + 99).bytes_out,
        5_320
    );
}

#[test]
fn accounts_that_are_left_are_forgotten_when_all_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::default();
    let metering = open(&plane, dir.path());
    plane.traffic(11, 100);
    metering.tick(START).unwrap();
    plane.change(|it| {
        it.accounts[0].configured = false;
        it.accounts[0].eip = None;
    });
    let mut minute = START;
    let mut tick = |traffic: bool| {
        if traffic {
            plane.traffic(11, 50);
        }
        minute += 60;
        metering.tick(minute).unwrap();
        plane.forgotten()
    };
    assert_eq!(tick(false), [0; 0]);
    // The last packets of its sessions.
    assert_eq!(tick(true), [0; 0]);
    assert_eq!(tick(false), [0; 0]);
    assert_eq!(tick(false), [11]);
    assert_eq!(total(&metering, Of::Eip, "eip-1", minute).bytes_out, 150);
    // It is made again, and begins at nothing.
    plane.0.lock().unwrap().1.clear();
    plane.traffic(11, 30);
    assert_eq!(
        total(&metering, Of::Gateway, "ngw-1", minute).bytes_out,
        180
    );
}

#[test]
fn what_is_old_goes() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::default();
    let metering = open(&plane, dir.path());
    plane.traffic(11, 100);
    metering.tick(START).unwrap();
    metering.tick(START + 60).unwrap();
    let day = 24 * HOUR;
    let kept = |now: u64| {
        plane.traffic(12, 1);
        metering.tick(now).unwrap();
        metering.tick(now + 60).unwrap();
        let minutes = metering
            .periods("eip-1", START..START + HOUR, 60, now + 60)
            .unwrap();
        let hours = hours(&metering, Of::Eip, "eip-1", now + 60);
        (minutes.len(), hours.len())
    };
    assert_eq!(kept(START + 30 * day - HOUR), (1, 1));
    assert_eq!(kept(START + 30 * day + HOUR), (0, 1));
    assert_eq!(kept(START + 400 * day - HOUR), (0, 1));
    assert_eq!(kept(START + 400 * day + HOUR), (0, 0));
    let known = metering.known(Of::Eip, START + 400 * day + HOUR).unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), ["eip-2"]);
}

#[test]
fn periods_are_sums_of_minutes() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::default();
    let metering = open(&plane, dir.path());
    metering.tick(START).unwrap();
    for minute in 1..=12 {
        plane.traffic(11, 100 * minute);
        metering.tick(START + minute * 60).unwrap();
    }
    let now = START + 12 * 60;
    let read = |from: u64, to: u64, period: u64| {
        let time = START + from..START + to;
        let periods = metering.periods("eip-1", time, period, now).unwrap();
        periods
            .into_iter()
            .map(|(at, it)| (at - START, it.bytes_out))
            .collect::<Vec<_>>()
    };
    assert_eq!(read(0, 180, 60), [(0, 100), (60, 200), (120, 300)]);
    assert_eq!(read(0, 720, 300), [(0, 1500), (300, 4000), (600, 2300)]);
    assert_eq!(read(60, 361, 300), [(60, 2000), (360, 700)]);
}

#[test]
fn capacity_units_are_those_of_the_largest_dimension() {
    let mut used = Use::default();
    used.amounts.bytes_in = 500_000_000;
    used.amounts.bytes_out = 250_000_000;
    assert_eq!(used.capacity_units(), 0.75);
    used.peak_sessions = 20_000;
    assert_eq!(used.capacity_units(), 2.0);
    used.peak_opened = 60 * 3_500;
    assert_eq!(used.capacity_units(), 3.5);
}
