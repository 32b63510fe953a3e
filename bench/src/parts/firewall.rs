//! A NAT firewall: what it costs new sessions and packets of flows that are open, by how many policies it has. None of
//! them matches, so each session is held against all of them.

use crate::contender::{Contender, Firewall, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::{Load, Pace, Profile};
use crate::race::{Comparison, Effort, TWIN, agreed, report, rounds, slice};
use crate::report::{Floor::Least, Report};
use crate::site::{Site, Way};
use lab::Lab;

/// Flows that are open.
const LIVE: u32 = 1000;
/// New sessions a second.
const RATE: u64 = 100_000;

/// Without a firewall, and with one that has so many policies.
pub fn run(effort: Effort, quick: bool, out: &mut Report) {
    let sizes = match quick {
        true => [10, 100, 1000, 2000],
        false => [10, 1000, 10_000, 100_000],
    };
    let effort = Effort {
        rounds: effort.rounds.min(12),
        ..effort
    };
    let new = RATE * (effort.slice.as_millis() as u64 + 20) / 1000 * 4 * effort.rounds as u64;
    let flows = LIVE + new as u32;
    let load = Load::new(Way::Out, shuffled(flows, Flow::outbound));
    let mut who = vec![Firewall::Off];
    who.extend(sizes.map(Firewall::Addresses));
    who.push(Firewall::Off);
    let labs: Vec<Lab> = who.iter().map(|_| Lab::new("firewall")).collect();
    let mut sites: Vec<Site> = Vec::new();
    for (lab, &firewall) in labs.iter().zip(&who) {
        let mut name = match firewall {
            Firewall::Off => "no firewall".to_owned(),
            Firewall::Addresses(policies) | Firewall::Names(policies) => {
                format!("{policies} policies")
            }
        };
        if sites.iter().any(|site| site.name == name) {
            name += TWIN;
        }
        let rules = Rules {
            sessions: flows + 1024,
            dnat: 0,
            firewall,
        };
        sites.push(Site::new(lab, Contender::Tc, &name, &rules));
    }
    for site in &sites {
        load.open(site, LIVE.into());
    }
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let with = sizes.map(|size| format!("{size} policies"));
    let race = agreed(|| {
        rounds(&names, effort.rounds, |at, _| {
            let pace = Pace::flat_out(LIVE.into());
            slice(&sites[at], &load, Profile::Live, pace, effort.slice).each()
        })
    });
    let flat: [Comparison; 4] = [
        (&with[0], names[0], None),
        (&with[1], &with[0], Some(Least(0.95))),
        (&with[2], &with[0], Some(Least(0.95))),
        (&with[3], &with[0], Some(Least(0.95))),
    ];
    let work = "NAT firewall, packets of open flows";
    report(out, work, ("Mpps", 1e3), &race, &flat);

    let mut next = vec![u64::from(LIVE); sites.len()];
    let race = agreed(|| {
        rounds(&names, effort.rounds, |at, _| {
            let pace = Pace::each_once(next[at], load.flows() - next[at], RATE);
            let count = slice(&sites[at], &load, Profile::Live, pace, effort.slice);
            next[at] += load.sent();
            count.each()
        })
    });
    let compared: [Comparison; 4] = [
        (&with[0], names[0], None),
        (&with[1], names[0], None),
        (&with[2], names[0], Some(Least(0.8))),
        (&with[3], names[0], None),
    ];
    let work = "NAT firewall, new sessions";
    report(out, work, ("thousand/s", 1e6), &race, &compared);
}
