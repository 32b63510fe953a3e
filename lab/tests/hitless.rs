//! Nobody notices when the daemon dies, is stopped, or is told something else.

use engine::SessionView;
use lab::servers::{Ssh, get};
use lab::site::SERVER;
use lab::sockets::{TcpEcho, UdpEcho, echoes, is_alive, tcp, udp};
use lab::steady::Steady;
use lab::{Gateway, Lab, Site, config, in_both_hooks, iperf, wait_for};
use nix::sys::signal::Signal;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Sessions beside those whose packets are counted.
const SESSIONS: u32 = 20_000;

/// What identifies a session, with its counters: packets from and to the opener.
fn bindings(gateway: &Gateway) -> Vec<(String, [u64; 2])> {
    let name = |s: &SessionView| {
        let SessionView {
            protocol,
            direction,
            eni,
            original,
            translated,
            ..
        } = s;
        format!(
            "{protocol} {direction} {eni} {original:?} {translated:?} {:?}",
            s.entry
        )
    };
    let mut all: Vec<_> = gateway
        .sessions()
        .iter()
        .map(|s| (name(s), [s.packets_out, s.packets_in]))
        .collect();
    all.sort();
    all
}

/// Stops the daemon by a signal under load, leaves the kernel alone for two seconds, and starts another.
fn survives(hook: &str, signal: Signal) {
    let lab = Lab::new("survives");
    let site = Site::new(&lab, hook);
    let config = site.no_nat()
        + "[nat_gateway.timeouts]\ntcp_transitory = 2\nudp = 30\n"
        + config::SNAT
        + &config::dnat("eip-2", "tcp", "22", "web-2", "22")
        + &config::dnat("eip-2", "udp", "7000", "web-2", "7000");
    let mut gateway = site.gateway(&config);
    let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));

    let _iperf = iperf::serve(&site.server, 5201);
    let _inside = UdpEcho::start(&web_2, "0.0.0.0:7000");
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
    let ssh = Ssh::start(&web_2);
    let load = iperf::start(&web_1, &format!("-c {SERVER} -t 14 -i 0.5 -b 500M"));
    let shell = site.client.spawn(&format!(
        "{} 'for i in $(seq 140); do echo tick $i; sleep 0.1; done'",
        ssh.client("203.0.113.12")
    ));
    let socket = udp(&site.client, "0.0.0.0:0");
    let quiet = tcp(&web_2, &format!("{SERVER}:7001")).unwrap();
    wait_for("everything to be under way", 5.0, || {
        shell.stdout().contains("tick 3") && gateway.sessions().len() >= 4
    });
    assert!(echoes(&socket, "203.0.113.12:7000", b"before"));
    assert!(is_alive(&quiet));
    std::thread::sleep(Duration::from_millis(500));

    let before = bindings(&gateway);
    let opened = gateway.stats().opened;
    match signal {
        Signal::SIGKILL => gateway.kill9(),
        _ => gateway.terminate(),
    }
    let ticks = shell.stdout().len();
    std::thread::sleep(Duration::from_secs(2));
    // Nobody is at home, and all of them go on.
    let said = shell.stdout();
    assert!(said.len() > ticks, "nothing came after {said}");
    assert!(!said.contains("tick 140"), "too slow to show anything");
    assert!(echoes(&socket, "203.0.113.12:7000", b"nobody home"));
    assert!(is_alive(&quiet));
    gateway.run();

    let after = bindings(&gateway);
    assert_eq!(before.len(), after.len(), "{before:#?}\n{after:#?}");
    for ((name, was), (again, is)) in before.iter().zip(&after) {
        assert_eq!(name, again);
        assert!(
            is[0] >= was[0] && is[1] >= was[1],
            "{name}: {was:?} then {is:?}"
        );
    }
    assert_eq!(gateway.stats().adopted, before.len() as u64);
    assert!(opened >= 4);

    // What the old daemon had given away the new one does not give to others.
    let taken = gateway.sessions_of("tcp", 7001)[0].translated.src_port;
    let again = web_1.ok(&format!(
        "curl -sS -m 5 --local-port {taken} http://{SERVER}:7001/ -o /dev/null --http0.9; true"
    ));
    assert_eq!(again, "");
    let ports: Vec<u16> = gateway
        .sessions_of("tcp", 7001)
        .iter()
        .map(|s| s.translated.src_port)
        .collect();
    assert_eq!(ports.len(), 2, "{ports:?}");
    assert_ne!(ports[0], ports[1]);

    assert!(is_alive(&quiet));
    let said = shell.wait(30.0).ok();
    assert!(
        said.ends_with("tick 140\n") && said.lines().count() == 140,
        "{said}"
    );
    let report = iperf::report(load.wait(30.0));
    println!("{hook}, {signal}: {report}");
    let standstill = report.intervals.iter().filter(|&&bytes| bytes == 0).count();
    assert_eq!(standstill, 0, "{:?}", report.intervals);

    // What ends under the new daemon is forgotten in time, though the old one saw it begin.
    drop(quiet);
    wait_for("the TCP sessions to end", 15.0, || {
        gateway.sessions().iter().all(|s| s.protocol != "tcp")
    });
    assert!(echoes(&socket, "203.0.113.12:7000", b"after"));
    let eips = gateway.stats().eips;
    assert!(eips.iter().all(|eip| eip.ports_used[0] == 0), "{eips:?}");
}

/// Stops the daemon by a signal and starts it again, while flows go in and out beside many open ones. Each of their
/// packets arrives.
fn loses_nothing(hook: &str, signal: Signal) {
    let lab = Lab::alone("lossless");
    let site = Site::new(&lab, hook);
    let config = site.no_nat()
        + "[nat_gateway.timeouts]\nudp = 900\n"
        + config::SNAT
        + &config::dnat("eip-2", "udp", "7000", "web-2", "7000");
    let mut gateway = site.gateway(&config);
    let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
    // A network that swallows what is sent there, and says nothing.
    site.router.ip("route add blackhole 192.0.2.0/24");
    let many = udp(&web_1, "0.0.0.0:0");
    wait_for("many sessions", 60.0, || {
        for n in 0..SESSIONS {
            let to = (
                Ipv4Addr::new(192, 0, 2, (n % 250) as u8),
                (1 + n / 250) as u16,
            );
            many.send_to(b"open", to).unwrap();
            if n % 64 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        gateway.stats().sessions >= u64::from(SESSIONS)
    });

    let out = Steady::start(
        &web_1,
        &format!("{SERVER}:9000"),
        &site.server,
        "0.0.0.0:9000",
    );
    let inward = Steady::start(&site.client, "203.0.113.12:7000", &web_2, "0.0.0.0:7000");
    let punted = |gateway: &Gateway| {
        let punted = gateway.stats().packets.punted;
        let missed = punted.iter().filter(|it| it.reason == "miss");
        missed.map(|it| it.packets).sum::<u64>()
    };
    let before = punted(&gateway);
    match signal {
        Signal::SIGKILL => gateway.kill9(),
        _ => gateway.terminate(),
    }
    std::thread::sleep(Duration::from_millis(300));
    gateway.run();
    assert!(gateway.stats().adopted > u64::from(SESSIONS));
    std::thread::sleep(Duration::from_millis(300));
    for (way, flows) in [("out", out), ("in", inward)] {
        let tally = flows.end();
        println!("{hook}, {signal}: {way}: {tally:?}");
        assert_eq!((tally.lost, tally.doubled), (0, 0), "{way}: {tally:?}");
        assert!(tally.sent > 0);
    }
    // They have gone by without the daemon.
    assert_eq!(punted(&gateway), before);
}

in_both_hooks! {
    fn sessions_survive_a_killed_daemon(hook) {
        survives(hook, Signal::SIGKILL);
    }

    fn sessions_survive_a_restart(hook) {
        survives(hook, Signal::SIGTERM);
    }

    fn no_packet_is_lost_when_the_daemon_is_killed(hook) {
        loses_nothing(hook, Signal::SIGKILL);
    }

    fn no_packet_is_lost_when_the_daemon_is_stopped(hook) {
        loses_nothing(hook, Signal::SIGTERM);
    }

    /// Changes that have nothing to do with a session cost it no packet.
    fn an_unrelated_change_costs_no_packet(hook) {
        let lab = Lab::alone("change");
        let site = Site::new(&lab, hook);
        let one = site.standard() + &config::dnat("eip-1", "udp", "5201", "web-1", "5201")
            + &config::dnat("eip-1", "tcp", "5201", "web-1", "5201");
        let two = one.clone()
            + &config::dnat("eip-3", "tcp", "\"9000-9999\"", "web-2", "\"9000-9999\"")
            + &config::instance("web-3", "vsw-2", "192.168.2.30");
        let gateway = site.gateway(&one);
        let instance = gateway.instance("web-1");
        let _outside = iperf::serve(&site.server, 5201);
        let _inside = iperf::serve(&instance, 5201);
        // Other tests keep the machine busy, so a queue may run over now and then. Not every time.
        let calm = (0..5).any(|_| {
            let out = iperf::start(&instance, &format!("-c {SERVER} -t 3 -b 100M"));
            let inward = iperf::start(&site.client, "-c 203.0.113.11 -u -l 1200 -b 20M -t 3");
            wait_for("the load to begin", 5.0, || {
                gateway.sessions().iter().filter(|s| s.state != "closed").count() >= 4
            });
            for n in 0..8 {
                std::thread::sleep(Duration::from_millis(250));
                gateway.apply(if n % 2 == 0 { &two } else { &one });
            }
            let reports = [out, inward].map(|load| iperf::report(load.wait(15.0)));
            println!("{hook}: {}; {}", reports[0], reports[1]);
            assert!(reports.iter().all(|report| report.intervals.iter().all(|&bytes| bytes > 0)));
            (reports[0].retransmits, reports[1].lost) == (0, 0)
        });
        assert!(calm, "each time something was lost");
    }
}

/// Every state that a daemon can be killed in, also while it changes something, is one that the next can
/// begin with.
#[test]
fn a_daemon_killed_again_and_again_leaves_a_working_gateway() {
    let lab = Lab::new("again");
    let site = Site::new(&lab, "auto");
    let one = site.standard() + &config::dnat("eip-1", "tcp", "80", "web-1", "80");
    let two = one.clone() + &config::instance("web-3", "vsw-2", "192.168.2.30");
    let mut gateway = site.gateway(&one);
    let instance = gateway.instance("web-1");
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
    let stream = tcp(&instance, &format!("{SERVER}:7001")).unwrap();
    assert!(is_alive(&stream));
    let path = site.gw.write("changes.toml", &two);
    for n in 0..8 {
        let changing = lab.spawn(&gateway.cli_line(&format!("apply {}", path.display())));
        std::thread::sleep(Duration::from_millis(n * 4));
        gateway.kill9();
        drop(changing);
        gateway.run();
        assert!(is_alive(&stream), "after kill {n}");
        assert_eq!(gateway.sessions().len(), 1, "after kill {n}");
        gateway.apply(&one);
    }
    let _web = lab::servers::Web::start(&instance, &[80]);
    assert!(get(&site.client, "http://203.0.113.11/").starts_with("web-1 80"));
}
