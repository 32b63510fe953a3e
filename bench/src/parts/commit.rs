//! Many policies of a NAT firewall in one change: how long until all of them are in force and durable, and what open flows
//! lose meanwhile.

use super::change::{FLOWS, RATE, apply};
use crate::contender::{Contender, Firewall, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::{Load, Pace, Profile};
use crate::report::{Floor::Most, Report, Row};
use crate::site::{Site, Way, settle};
use crate::stats::{median, middle_half};
use lab::Lab;
use std::time::Instant;

/// From a firewall without policies to one with so many, none of which matches the flows that are open.
pub fn run(quick: bool, out: &mut Report) {
    let sizes = [(10_000, 100.0, 5), (100_000, 1000.0, 3)];
    let rules = Rules {
        sessions: 65_536,
        dnat: 0,
        firewall: Firewall::Addresses(0),
    };
    let lab = Lab::new("commit");
    let site = Site::new(&lab, Contender::Tc, Contender::Tc.name(), &rules);
    let socket = site.sluice(|gateway| gateway.socket());
    let without = site.sluice(|gateway| gateway.config());
    let load = Load::new(Way::Out, shuffled(FLOWS, Flow::outbound));
    load.open(&site, FLOWS.into());
    for (policies, most, rounds) in sizes {
        let with = Rules::with_policies(&without, policies);
        let mut times = Vec::new();
        let before = site.count(Way::Out).packets;
        let pace = Pace::steady(FLOWS.into(), RATE);
        load.run(&site, Profile::Skb, pace, || {
            for _ in 0..if quick { 1 } else { rounds } {
                let start = Instant::now();
                apply(&socket, &with);
                times.push(start.elapsed().as_secs_f64() * 1e3);
                apply(&socket, &without);
            }
        });
        settle();
        let arrived = site.count(Way::Out).packets - before;
        let lost = load.sent().saturating_sub(arrived);
        let work = format!("a commit of {policies} policies, time in force");
        let mut row = Row::new(work, &site.name, median(&times), "ms");
        row.spread = Some(middle_half(&times));
        out.push(row.floor(Most(most)));
        let work = format!(
            "{} commits of {policies} policies, packets lost",
            times.len()
        );
        let mut row = Row::new(work, &site.name, lost as f64, "packets");
        row.note = Some(format!("of {}", load.sent()));
        out.push(row.floor(Most(0.0)));
    }
}
