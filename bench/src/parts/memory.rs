//! Memory: a gateway with as many sessions as it was made for.

use crate::contender::{Contender, Firewall, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::Load;
use crate::machine;
use crate::report::{Floor::Most, Report, Row};
use crate::site::{Site, Way};
use lab::Lab;

/// Opens them by real packets, and adds up what daemon and kernel hold for them.
pub fn run(sessions: u32, out: &mut Report) {
    let rules = Rules {
        sessions,
        dnat: 0,
        firewall: Firewall::Off,
    };
    let lab = Lab::new("memory");
    let site = Site::new(&lab, Contender::Tc, "sluice tc", &rules);
    let load = Load::new(Way::Out, shuffled(sessions, Flow::outbound));
    load.open(&site, sessions.into());
    let live = site.sessions();
    let process = site.sluice(|gateway| gateway.pid());
    let (daemon, kernel) = (machine::resident(process), machine::map_memory(process));
    let each = (daemon + kernel) as f64 / live as f64;
    let mut row = Row::new(
        format!("memory, {live} sessions"),
        "sluice tc",
        each,
        "bytes a session",
    );
    row.note = Some(format!(
        "daemon {} MiB, kernel {} MiB",
        daemon >> 20,
        kernel >> 20
    ));
    out.push(row.floor(Most(500.0)));
}
