//! Short HTTP connections: each request has one of its own.

use crate::contender::Contender;
use crate::race::{Lane, agreed, report, rounds};
use crate::report::{Floor::Least, Report};
use crate::road::Road;
use crate::site::SERVER;
use lab::Lab;
use lab::servers::Web;

/// Requests a second of wrk to nginx.
pub fn run(quick: bool, out: &mut Report) {
    let contenders = [
        Contender::Plain,
        Contender::Nftables,
        Contender::Tc,
        Contender::Xdp,
        Contender::Nftables,
    ];
    let labs = contenders.map(|_| Lab::new("http"));
    let roads = Road::all(&labs, &contenders);
    let servers = roads.iter().map(|road| Web::start(&road.server, &[80]));
    let _servers: Vec<_> = servers.collect();
    let times = if quick { 2 } else { 6 };
    let race = race(&roads, times, |_| wrk(&format!("http://{SERVER}/")));
    let floors = [
        ("sluice tc", "nftables", Some(Least(1.0))),
        ("sluice xdp", "nftables", None),
        ("nftables", "plain", None),
    ];
    let work = "HTTP, a connection for each request";
    report(out, work, ("requests/s", 1e9), &race, &floors);
}

/// The command line of a client that asks for one page again and again, with a connection for each time.
pub fn wrk(url: &str) -> String {
    format!("wrk -t 1 -c 32 -d 1s -H 'Connection: close' {url}")
}

/// A race of so many rounds between clients with these command lines: nanoseconds for a request.
pub fn race(roads: &[Road], times: usize, command: impl Fn(&Road) -> String) -> (Vec<Lane>, f64) {
    let commands: Vec<String> = roads.iter().map(command).collect();
    let names: Vec<&str> = roads.iter().map(|road| road.name.as_str()).collect();
    agreed(|| {
        rounds(&names, times, |at, _| {
            let text = roads[at].client.ok(&commands[at]);
            let rate = text
                .lines()
                .find_map(|line| line.strip_prefix("Requests/sec:"))
                .and_then(|rate| rate.trim().parse::<f64>().ok());
            let rate = rate.unwrap_or_else(|| panic!("wrk prints no rate: {text}"));
            assert!(!text.contains("Non-2xx"), "{}: {text}", roads[at].name);
            1e9 / rate
        })
    })
}
