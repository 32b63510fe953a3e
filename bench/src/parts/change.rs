//! Changes of the configuration under load.

use crate::contender::{Contender, Firewall, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::{Load, Pace, Profile};
use crate::report::{Floor::Most, Report, Row};
use crate::site::{Site, Way, settle};
use crate::stats::{median, middle_half};
use lab::Lab;
use sluice::socket::client::Client;
use sluice::socket::protocol::Request;
use std::path::Path;
use std::time::{Duration, Instant};

/// Flows that are open.
pub const FLOWS: u32 = 1000;
/// Packets a second.
pub const RATE: u64 = 20_000;

/// Changes one DNAT entry of many: what open flows lose, and how long until packets are treated by it.
pub fn run(quick: bool, out: &mut Report) {
    let entries = 10_000;
    let rules = Rules {
        sessions: 65_536,
        dnat: entries,
        firewall: Firewall::Off,
    };
    let (changes, probes) = if quick { (2, 2) } else { (10, 10) };
    let lab = Lab::new("change");
    for contender in [Contender::Tc, Contender::Xdp] {
        let lab = lab.another("change");
        let site = Site::new(&lab, contender, contender.name(), &rules);
        let socket = site.sluice(|gateway| gateway.socket());
        let config = site.sluice(|gateway| gateway.config());
        let more = rules.with_another(&config);
        let load = Load::new(Way::Out, shuffled(FLOWS, Flow::outbound));
        load.open(&site, FLOWS.into());
        let before = site.count(Way::Out).packets;
        load.run(
            &site,
            Profile::Skb,
            Pace::steady(FLOWS.into(), RATE),
            || {
                for n in 0..changes {
                    apply(&socket, if n % 2 == 0 { &more } else { &config });
                    std::thread::sleep(Duration::from_millis(50));
                }
            },
        );
        settle();
        let arrived = site.count(Way::Out).packets - before;
        let lost = load.sent().saturating_sub(arrived);
        let work = format!("{changes} changes of {entries} DNAT entries, packets lost");
        let mut row = Row::new(work, &site.name, lost as f64, "packets");
        row.note = Some(format!("of {}", load.sent()));
        out.push(row.floor(Most(0.0)));

        let to = Rules::entry(entries)[0];
        let knock = Load::new(Way::In, vec![Flow::inbound(0, to)]);
        let mut times = Vec::new();
        for _ in 0..probes {
            apply(&socket, &config);
            let sink = &site.to(Way::In).sink;
            knock.run(&site, Profile::Skb, Pace::steady(1, 10_000), || {
                std::thread::sleep(Duration::from_millis(50));
                let before = sink.packets();
                let start = Instant::now();
                std::thread::scope(|scope| {
                    scope.spawn(|| apply(&socket, &more));
                    while sink.packets() == before {
                        assert!(start.elapsed() < Duration::from_secs(10), "no effect");
                        std::thread::sleep(Duration::from_micros(100));
                    }
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                });
            });
        }
        let work = format!("a change of {entries} DNAT entries, time to effect");
        let mut row = Row::new(work, &site.name, median(&times), "ms");
        row.spread = Some(middle_half(&times));
        out.push(row.floor(Most(100.0)));
    }
}

/// Has a gateway apply a file, and waits until it is in force.
pub fn apply(socket: &Path, text: &str) {
    let request = Request::Apply {
        text: text.into(),
        check: false,
    };
    let answer = Client::connect(socket).and_then(|mut client| client.ask(&request));
    answer.unwrap_or_else(|error| panic!("apply: {error}"));
}
