//! How long a packet takes through a gateway: at half of what nftables forwards at most, and at half of what the gateway
//! itself does.

use crate::contender::{Contender, Firewall, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::{Load, Pace, Profile};
use crate::race::{Effort, Lane, agreed, report, rounds, slice};
use crate::report::{Floor, Floor::Least, Report};
use crate::site::{Site, Way};
use crate::stats::median;
use lab::Lab;
use std::cell::RefCell;

const FLOWS: u32 = 1000;
const SHARES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// Latency from the generator to the sink, which both look at the clock in the kernel.
pub fn run(effort: Effort, out: &mut Report) {
    let effort = Effort {
        rounds: effort.rounds.min(10),
        ..effort
    };
    let rules = Rules {
        sessions: 65_536,
        dnat: 0,
        firewall: Firewall::Off,
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
    let load = Load::new(Way::Out, shuffled(FLOWS, Flow::outbound));
    for site in &sites {
        load.open(site, FLOWS.into());
    }
    let flat_out = Pace::flat_out(FLOWS.into());
    // Half of what a gateway forwards at most, in packets a second.
    let half = |site: &Site| {
        let take = |_| slice(site, &load, Profile::Live, flat_out, effort.slice).each();
        let takes: Vec<f64> = (0..5).map(take).collect();
        (1e9 / median(&takes) / 2.0) as u64
    };
    let halves: Vec<u64> = sites.iter().map(half).collect();
    let same = halves[1];
    let same_load = vec![same; sites.len()];
    let work = format!("latency at {} kpps", same / 1000);
    measure(
        effort,
        &sites,
        &load,
        &same_load,
        &work,
        Some(Least(1.0)),
        out,
    );
    // Each its own load, so there is nothing that one must be.
    let work = "latency at half of its own load";
    measure(effort, &sites, &load, &halves, work, None, out);
}

/// Measures all of them, each at its rate in packets a second.
fn measure(
    effort: Effort,
    sites: &[Site],
    load: &Load,
    rates: &[u64],
    work: &str,
    floor: Option<Floor>,
    out: &mut Report,
) {
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    // The other shares' samples, by contender.
    let others = RefCell::new(vec![[const { Vec::new() }; 2]; sites.len()]);
    let (lanes, apart) = agreed(|| {
        others
            .borrow_mut()
            .iter_mut()
            .for_each(|of| of.iter_mut().for_each(Vec::clear));
        rounds(&names, effort.rounds, |at, _| {
            let site = &sites[at];
            let pace = Pace {
                stamp: true,
                ..Pace::steady(FLOWS.into(), rates[at])
            };
            site.to(Way::Out).sink.forget();
            slice(site, load, Profile::Live, pace, effort.slice);
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
            ("sluice tc", "nftables", floor),
            ("sluice xdp", "nftables", floor),
        ];
        report(
            out,
            &format!("{work}, {share}"),
            ("µs", 0.0),
            &race,
            &floors,
        );
    }
}
