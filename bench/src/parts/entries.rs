//! Many DNAT entries: what they cost packets of flows that are open, and new sessions.

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
const RATE: u64 = 50_000;

/// From outside to the client, by as many entries as there are.
pub fn run(effort: Effort, quick: bool, out: &mut Report) {
    let sizes = if quick {
        [10, 100, 1000]
    } else {
        [10, 1000, 100_000]
    };
    let effort = Effort {
        rounds: effort.rounds.min(12),
        ..effort
    };
    let new = RATE * (effort.slice.as_millis() as u64 + 20) / 1000 * 4 * effort.rounds as u64;
    let flows = LIVE + new as u32;
    let loads = sizes.map(|size| {
        let flow = |n: u32| {
            let [entry, _] = Rules::entry(n % size);
            Flow::inbound(n, entry)
        };
        Load::new(Way::In, shuffled(flows, flow))
    });
    let mut who = Vec::new();
    for contender in [Contender::Nftables, Contender::Iptables, Contender::Tc] {
        who.extend(
            sizes
                .iter()
                .enumerate()
                .map(|(n, &size)| (contender, n, size)),
        );
    }
    who.push((Contender::Tc, 0, sizes[0]));
    let labs: Vec<Lab> = who.iter().map(|_| Lab::new("entries")).collect();
    let mut sites: Vec<Site> = Vec::new();
    for (lab, (contender, _, size)) in labs.iter().zip(&who) {
        let mut name = format!("{}, {size}", contender.name());
        if sites.iter().any(|site| site.name == name) {
            name += TWIN;
        }
        let rules = Rules {
            sessions: flows + 1024,
            dnat: *size,
            firewall: Firewall::Off,
        };
        sites.push(Site::new(lab, *contender, &name, &rules));
    }
    let load = |at: usize| &loads[who[at].1];
    for (at, site) in sites.iter().enumerate() {
        load(at).open(site, LIVE.into());
    }
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let race = agreed(|| {
        rounds(&names, effort.rounds, |at, _| {
            let pace = Pace::flat_out(LIVE.into());
            slice(&sites[at], load(at), Profile::Live, pace, effort.slice).each()
        })
    });
    let ours = sizes.map(|size| format!("sluice tc, {size}"));
    let theirs = sizes.map(|size| format!("nftables, {size}"));
    let flat: [Comparison; 2] = [
        (&ours[1], &ours[0], Some(Least(0.95))),
        (&ours[2], &ours[0], Some(Least(0.95))),
    ];
    let work = "DNAT entries, packets of open flows";
    report(out, work, ("Mpps", 1e3), &race, &flat);

    let mut next = vec![u64::from(LIVE); sites.len()];
    let race = agreed(|| {
        rounds(&names, effort.rounds.min(5), |at, _| {
            let load = load(at);
            let pace = Pace::each_once(next[at], load.flows() - next[at], RATE);
            let count = slice(&sites[at], load, Profile::Live, pace, effort.slice);
            next[at] += load.sent();
            count.each()
        })
    });
    let compared: [Comparison; 3] = std::array::from_fn(|n| (&*ours[n], &*theirs[n], None));
    let work = "DNAT entries, new sessions";
    report(out, work, ("thousand/s", 1e6), &race, &compared);
}
