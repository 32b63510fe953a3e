//! New sessions: each packet is a new flow.

use crate::contender::{Contender, Firewall, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::{Load, Pace, Profile};
use crate::race::{Effort, agreed, report, rounds, slice};
use crate::report::{Floor::Least, Report};
use crate::site::{Site, Way};
use lab::Lab;

/// New sessions a second, less than a core can open, so that none is lost and no time is wasted on it.
const RATE: u64 = 100_000;

/// How many sessions a second a core opens: all CPU time that one takes, of the kernel and the daemon.
pub fn run(effort: Effort, many: u32, out: &mut Report) {
    // Of each race no more than this, so that few are few.
    let rounds_each = effort.rounds.min(15);
    let each_slice = RATE * (effort.slice.as_millis() as u64 + 20) / 1000;
    let new = each_slice * rounds_each as u64 * 6;
    let flows = many + new as u32;
    let rules = Rules {
        sessions: flows,
        dnat: 0,
        firewall: Firewall::Off,
    };
    let contenders = [
        Contender::Nftables,
        Contender::Tc,
        Contender::Xdp,
        Contender::PuntTc,
        Contender::PuntXdp,
        Contender::Tc,
    ];
    let labs = contenders.map(|_| Lab::new("sessions"));
    let sites = Site::all(&labs, &contenders, &rules);
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let load = Load::new(Way::Out, shuffled(flows, Flow::outbound));
    // The first ones are those that will be open; new ones come after them.
    let mut next = vec![u64::from(many); sites.len()];
    for (what, live, floor) in [("empty", 0, 1.0), ("", many, 2.0)] {
        for site in &sites {
            load.open(site, live.into());
        }
        let race = agreed(|| {
            rounds(&names, rounds_each, |at, _| {
                let pace = Pace::each_once(next[at], load.flows() - next[at], RATE);
                let count = slice(&sites[at], &load, Profile::Live, pace, effort.slice);
                next[at] += load.sent();
                count.each()
            })
        });
        let what = match what {
            "" => format!("{live} live"),
            _ => what.to_owned(),
        };
        let floors = [
            ("sluice tc", "nftables", Some(Least(floor))),
            ("sluice xdp", "nftables", Some(Least(floor))),
            ("sluice tc", "bare punt tc", Some(Least(0.5))),
            ("sluice xdp", "bare punt xdp", Some(Least(0.5))),
        ];
        report(
            out,
            &format!("new sessions, {what}"),
            ("thousand/s", 1e6),
            &race,
            &floors,
        );
    }
}
