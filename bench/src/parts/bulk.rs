//! TCP in bulk: a gate, not a race, for on veth every contender that keeps large segments is about as fast.

use crate::contender::Contender;
use crate::race::{agreed, report, rounds};
use crate::report::{Floor::Least, Report};
use crate::road::Road;
use crate::site::SERVER;
use lab::{Lab, iperf};

/// Bits a second of one stream and of four, from the client to the server.
pub fn run(quick: bool, out: &mut Report) {
    let contenders = [
        Contender::Plain,
        Contender::Nftables,
        Contender::Tc,
        Contender::Xdp,
    ];
    let labs = contenders.map(|_| Lab::new("bulk"));
    let roads = Road::all(&labs, &contenders);
    let names: Vec<&str> = roads.iter().map(|road| road.name.as_str()).collect();
    let servers = roads.iter().map(|road| iperf::serve(&road.server, 5201));
    let _servers: Vec<_> = servers.collect();
    let times = if quick { 2 } else { 5 };
    for streams in [1, 4] {
        let race = agreed(|| {
            rounds(&names, times, |at, _| {
                let words = format!("-c {SERVER} -t 1 -P {streams}");
                let report = iperf::run(&roads[at].client, &words);
                // Nanoseconds a gigabit.
                1e18 / report.speed
            })
        });
        let floors = [
            ("sluice tc", "plain", Some(Least(0.95))),
            ("sluice xdp", "plain", None),
            ("nftables", "plain", None),
        ];
        let work = format!("TCP bulk, streams: {streams}");
        report(out, &work, ("Gbit/s", 1e9), &race, &floors);
    }
}
