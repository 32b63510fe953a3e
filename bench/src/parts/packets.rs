//! Small packets of flows that are open: UDP with 64 bytes on the wire.

use crate::contender::{Contender, Firewall, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::{Load, Pace, Profile};
use crate::race::{Comparison, Effort, agreed, report, rounds, slice};
use crate::report::{Floor::Least, Report};
use crate::site::{Site, Way};
use lab::Lab;

/// How many packets a second a core forwards.
pub fn run(effort: Effort, many: u32, out: &mut Report) {
    let rules = Rules {
        sessions: many + 1024,
        dnat: 0,
        firewall: Firewall::Off,
    };
    let contenders = [
        Contender::Plain,
        Contender::Nftables,
        Contender::Tc,
        Contender::Xdp,
        Contender::RedirectTc,
        Contender::RedirectXdp,
        Contender::Tc,
    ];
    let labs = contenders.map(|_| Lab::new("packets"));
    let sites = Site::all(&labs, &contenders, &rules);
    let load = Load::new(Way::Out, shuffled(many, Flow::outbound));
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    for (step, flows) in [1, 1000, many].into_iter().enumerate() {
        for site in &sites {
            load.open(site, flows.into());
        }
        for profile in [Profile::Live, Profile::Skb] {
            let race = agreed(|| {
                rounds(&names, effort.rounds, |at, _| {
                    let pace = Pace::flat_out(flows.into());
                    slice(&sites[at], &load, profile, pace, effort.slice).each()
                })
            });
            let work = format!("UDP 64 B, {}, {flows} flows", profile.name());
            report(
                out,
                &work,
                ("Mpps", 1e3),
                &race,
                &comparisons(profile, step),
            );
        }
    }
}

/// The floors, for few, some and many flows.
fn comparisons(profile: Profile, step: usize) -> Vec<Comparison<'static>> {
    let at = |floors: [f64; 3]| Some(Least(floors[step]));
    let live = profile == Profile::Live;
    vec![
        (
            "sluice tc",
            "nftables",
            at(if live {
                [1.6, 1.6, 2.2]
            } else {
                [1.3, 1.3, 1.6]
            }),
        ),
        (
            "sluice xdp",
            "nftables",
            if live { at([3.0, 3.0, 3.6]) } else { None },
        ),
        (
            "sluice tc",
            "redirect tc",
            if live { at([0.85, 0.85, 0.75]) } else { None },
        ),
        (
            "sluice xdp",
            "redirect xdp",
            if live { at([0.80, 0.80, 0.60]) } else { None },
        ),
        ("sluice tc", "plain", None),
        ("nftables", "plain", None),
    ]
}
