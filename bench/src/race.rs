//! Contenders against each other: rounds that alternate, with the order reversed each time, so that drift cancels.

use crate::load::{Load, Pace, Profile};
use crate::report::{Against, Floor, Report, Row};
use crate::site::{Count, Site};
use crate::stats::{median, middle_half, ratio};
use std::thread::sleep;
use std::time::Duration;

/// How far twins may be apart.
const TWINS: f64 = 0.05;
/// How often a race is run until its twins agree.
const ATTEMPTS: usize = 2;
/// How long to send before a slice begins.
const WARM_UP: Duration = Duration::from_millis(10);

/// How long and how often is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of a race.
    pub rounds: usize,
    /// Length of a slice.
    pub slice: Duration,
}

/// A contender's part in a race: how it is called, and its samples.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// What it took, in each round.
    pub samples: Vec<f64>,
}

/// Runs rounds over so many contenders: `sample` measures what one takes in a round.
pub fn rounds(
    names: &[&str],
    rounds: usize,
    mut sample: impl FnMut(usize, usize) -> f64,
) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = names
        .iter()
        .map(|name| Lane {
            name: (*name).into(),
            samples: Vec::new(),
        })
        .collect();
    for round in 0..rounds {
        for place in 0..lanes.len() {
            let at = match round % 2 {
                0 => place,
                _ => lanes.len() - 1 - place,
            };
            let value = sample(at, round);
            lanes[at].samples.push(value);
        }
    }
    lanes
}

/// Repeats a race until its twins, which are called `NAME` and `NAME (twin)`, agree; says how far they are apart.
pub fn agreed(mut race: impl FnMut() -> Vec<Lane>) -> (Vec<Lane>, f64) {
    let mut best: Option<(Vec<Lane>, f64)> = None;
    for _ in 0..ATTEMPTS {
        let lanes = race();
        let apart = apart(&lanes);
        if best.as_ref().is_none_or(|(_, before)| apart < *before) {
            best = Some((lanes, apart));
        }
        if apart <= TWINS {
            break;
        }
        eprintln!("rejected: the twins are {:.1} % apart", apart * 100.0);
    }
    best.expect("at least one attempt")
}

fn apart(lanes: &[Lane]) -> f64 {
    let twins = lanes.iter().filter_map(|twin| {
        let name = twin.name.strip_suffix(TWIN)?;
        let of = lanes.iter().find(|lane| lane.name == name)?;
        Some((ratio(&of.samples, &twin.samples).0 - 1.0).abs())
    });
    twins.fold(0.0, f64::max)
}

/// What the name of a twin ends with.
pub const TWIN: &str = " (twin)";

/// How often a slice is measured in which a gateway got no turn.
const TRIES: usize = 5;
/// With how few packets that is so.
const FEWEST: u64 = 20;

/// What a gateway does in a slice under a load that goes on.
pub fn slice(site: &Site, load: &Load, profile: Profile, pace: Pace, length: Duration) -> Count {
    for _ in 0..TRIES {
        let count = load.run(site, profile, pace, || {
            sleep(WARM_UP);
            let before = site.count(load.way());
            sleep(length);
            site.count(load.way()) - before
        });
        if count.packets >= FEWEST && count.kernel > 0 {
            if count.lost * 50 > count.packets {
                eprintln!(
                    "{}: {} of {} packets lost behind it",
                    site.name, count.lost, count.packets
                );
            }
            return count;
        }
    }
    panic!("{} lets nothing through", site.name);
}

/// A comparison: who, against whom, and what the ratio must be.
pub type Comparison<'a> = (&'a str, &'a str, Option<Floor>);

/// Reports lanes of nanoseconds for each piece of work, and compares them. `unit` is a unit, and how many of it a
/// second of which pieces take a nanosecond are; 0: it is microseconds that are told.
pub fn report(
    report: &mut Report,
    work: &str,
    unit: (&'static str, f64),
    (lanes, apart): &(Vec<Lane>, f64),
    comparisons: &[Comparison],
) {
    let note = (*apart > TWINS).then(|| format!("twins {:.0} % apart", apart * 100.0));
    let value = |lane: &Lane| {
        let rates = lane.samples.iter().map(|ns| match unit.1 {
            0.0 => ns / 1e3,
            factor => factor / ns,
        });
        let rates: Vec<f64> = rates.collect();
        let mut row = Row::new(work, &lane.name, median(&rates), unit.0);
        row.spread = Some(middle_half(&rates));
        row.note.clone_from(&note);
        row
    };
    let mut told = Vec::new();
    for (who, whom, floor) in comparisons {
        let find = |name: &str| lanes.iter().find(|lane| lane.name == name);
        let (Some(ours), Some(theirs)) = (find(who), find(whom)) else {
            continue;
        };
        let (ratio, spread) = ratio(&theirs.samples, &ours.samples);
        let mut row = value(ours);
        row.against = Some(Against {
            whom: (*whom).into(),
            ratio,
            spread,
        });
        row.floor = *floor;
        report.push(row);
        told.push(*who);
    }
    for lane in lanes
        .iter()
        .filter(|lane| !told.contains(&lane.name.as_str()))
    {
        report.push(value(lane));
    }
}
