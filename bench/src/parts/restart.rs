//! A daemon that is killed and started again under load.

use crate::contender::{Contender, Firewall, Rules};
use crate::flows::{Flow, shuffled};
use crate::load::{Load, Pace, Profile};
use crate::machine;
use crate::report::{Floor::Most, Report, Row};
use crate::site::{INSIDE, Site, Way, settle};
use crate::stats::{median, middle_half};
use crate::sys::PacketSocket;
use lab::Lab;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Flows that the load is of, and its packets a second.
const FLOWS: u64 = 1000;
const RATE: u64 = 20_000;
/// How often each is started again.
const TIMES: usize = 3;

/// What open flows lose, and how long until the new daemon opens a session.
pub fn run(sessions: u32, out: &mut Report) {
    let rules = Rules {
        sessions: sessions + 65_536,
        dnat: 10,
        firewall: Firewall::Off,
    };
    let lab = Lab::new("restart");
    for contender in [Contender::Tc, Contender::Xdp] {
        let lab = lab.another("restart");
        let site = Site::new(&lab, contender, contender.name(), &rules);
        let load = Load::new(Way::Out, shuffled(sessions, Flow::outbound));
        load.open(&site, sessions.into());
        let (mut times, mut lost, mut sent) = (Vec::new(), 0, 0);
        for time in 0..TIMES {
            let before = site.count(Way::Out).packets;
            let pace = Pace::steady(FLOWS, RATE);
            let took = load.run(&site, Profile::Skb, pace, || {
                site.sluice(|gateway| gateway.kill9());
                // Nobody is at home for a while.
                thread::sleep(Duration::from_millis(300));
                start(&site, time)
            });
            times.push(took.as_secs_f64() * 1e3);
            settle();
            let arrived = site.count(Way::Out).packets - before;
            lost += load.sent().saturating_sub(arrived);
            sent += load.sent();
        }
        let work = format!("{TIMES} x kill -9 and restart, {sessions} sessions, packets lost");
        let mut row = Row::new(work, &site.name, lost as f64, "packets");
        row.note = Some(format!("of {sent}"));
        out.push(row.floor(Most(0.0)));
        let adopted = site.sluice(|gateway| gateway.stats().adopted);
        let work = format!("restart, {sessions} sessions, first new session");
        let mut row = Row::new(work, &site.name, median(&times), "ms");
        row.spread = Some(middle_half(&times));
        row.note = Some(format!("{adopted} sessions taken over"));
        out.push(row.floor(Most(1000.0)));
    }
}

/// Starts the daemon and gives the time until a packet of a session that it must open has come through.
fn start(site: &Site, time: usize) -> Duration {
    let (from, sink) = (site.from(Way::In), &site.to(Way::In).sink);
    let came = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        let knock = scope.spawn(|| {
            from.host.inside(|| {
                let socket = PacketSocket::open(from.ifindex).expect("a packet socket");
                let (to, mac) = Way::In.macs();
                let before = sink.packets();
                // None of the ports that an earlier time has used.
                let mut n = (time as u32) << 16;
                while sink.packets() == before {
                    if start.elapsed() > Duration::from_secs(20) {
                        return None;
                    }
                    // Each time another, for those that were lost might be answered late.
                    let flow = Flow::inbound(n, Rules::entry(0)[0]);
                    socket.send(&mut [flow.frame(&to, &mac)]);
                    n += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                came.store(true, Relaxed);
                Some(start.elapsed())
            })
        });
        site.sluice(|gateway| {
            gateway.run();
            machine::pin_all(gateway.pid(), INSIDE);
        });
        let time = knock.join().expect("the thread that knocks");
        time.expect("a new session within 20 s")
    })
}
