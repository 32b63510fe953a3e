//! How long a packet takes through a gateway that is at half of what nftables forwards at most.

use crate::contender::{Contender, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::{Load, Pace, Profile};
use crate::race::{Effort, Lane, agreed, report, rounds, slice};
use crate::report::{Floor::Least, Report};
use crate::site::{Site, Way};
use crate::stats::median;
use lab::Lab;
use std::cell::RefCell;

const FLOWS: u32 = 1000;
const SHARES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// Latency from the generator to the sink, which both look at the clock in the kernel.
pub fn run(effort: Effort, out: &mut Report) {
    let rules = Rules {
        sessions: 65_536,
        dnat: 0,
        policies: None,
    };
    let contenders = [
        Contender::Plain,
        Contender::Nftables,
        Contender::Tc,
        Contender::Xdp,
        Contender::Nftables,
    ];
    let labs = contenders.map(|_| Lab::new("latency"));
    let sites = Site::all(&labs, &contenders, &rules);
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let load = Load::new(Way::Out, shuffled(FLOWS, Flow::outbound));
    for site in &sites {
        load.open(site, FLOWS.into());
    }
    let flat_out = Pace::flat_out(FLOWS.into());
    let takes: Vec<f64> = (0..5)
        .map(|_| slice(&sites[1], &load, Profile::Live, flat_out, effort.slice).each())
        .collect();
    let rate = (1e9 / median(&takes) / 2.0) as u64;
    let pace = Pace {
        stamp: true,
        ..Pace::steady(FLOWS.into(), rate)
    };
    // The other shares' samples, by contender.
    let others = RefCell::new(vec![[const { Vec::new() }; 2]; sites.len()]);
    let race = agreed(|| {
        others
            .borrow_mut()
            .iter_mut()
            .for_each(|of| of.iter_mut().for_each(Vec::clear));
        rounds(&names, effort.rounds, |at, _| {
            let site = &sites[at];
            site.to(Way::Out).sink.forget();
            slice(site, &load, Profile::Live, pace, effort.slice);
            let all = site
                .to(Way::Out)
                .sink
                .latencies(&SHARES.map(|(share, _)| share));
            for (n, &value) in all[1..].iter().enumerate() {
                others.borrow_mut()[at][n].push(value);
            }
            all[0]
        })
    });
    let (lanes, apart) = race;
    let others = others.into_inner();
    for (n, (_, share)) in SHARES.iter().enumerate() {
        let of_share = lanes.iter().enumerate().map(|(at, lane)| Lane {
            name: lane.name.clone(),
            samples: match n {
                0 => lane.samples.clone(),
                _ => others[at][n - 1].clone(),
            },
        });
        let race = (of_share.collect(), apart);
        let floors = [
            ("sluice tc", "nftables", Some(Least(1.0))),
            ("sluice xdp", "nftables", Some(Least(1.0))),
        ];
        let work = format!("latency at {} kpps, {share}", rate / 1000);
        report(out, &work, ("µs", 0.0), &race, &floors);
    }
}
