//! A NAT firewall that looks into sessions: short connections whose name it must know before it decides, over HTTP and
//! over TLS. Each shakes hands, says what it wants, and is over, so this is the most that inspection can cost.

use super::http;
use crate::contender::{Contender, Firewall};
use crate::race::TWIN;
use crate::report::Report;
use crate::road::Road;
use crate::site::SERVER;
use lab::Lab;
use lab::names::Names;

/// What the server is called.
const NAME: &str = "www.bench.example";

/// Requests a second of wrk to nginx, without a firewall and with two.
pub fn run(quick: bool, out: &mut Report) {
    let (many, times) = if quick { (100, 2) } else { (10_000, 4) };
    let addresses = format!("{many} policies for addresses");
    let names = format!("{many} policies for names");
    let off = "no firewall";
    let who = [
        (off.to_owned(), Firewall::Off),
        (addresses.clone(), Firewall::Addresses(many)),
        (names.clone(), Firewall::Names(many)),
        (off.to_owned() + TWIN, Firewall::Off),
    ];
    let labs = who.each_ref().map(|_| Lab::new("inspection"));
    let roads = labs.iter().zip(who);
    let roads: Vec<Road> = roads
        .map(|(lab, (name, firewall))| Road::new(lab, Contender::Tc, name, firewall))
        .collect();
    let servers = roads.iter().map(|road| Names::start(&road.server, &[NAME]));
    let _servers: Vec<_> = servers.collect();
    for (work, scheme) in [("HTTP", "http"), ("HTTPS, a handshake", "https")] {
        // Nobody but this program is to know the name.
        let race = http::race(&roads, times, |road| {
            let hosts = road.client.write("hosts", format!("{SERVER} {NAME}\n"));
            let wrk = http::wrk(&format!("{scheme}://{NAME}/"));
            let script = format!("mount --bind {} /etc/hosts\nexec {wrk}\n", hosts.display());
            let script = road.client.write(scheme, script);
            format!("unshare --mount sh -e {}", script.display())
        });
        let compared = [(addresses.as_str(), off, None), (names.as_str(), off, None)];
        let work = format!("NAT firewall, {work} for each request");
        crate::race::report(out, &work, ("requests/s", 1e9), &race, &compared);
    }
}
