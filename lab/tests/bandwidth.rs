//! The bandwidth of EIPs and packages, measured.

use lab::iperf::{self, Report};
use lab::site::SERVER;
use lab::{Gateway, Host, Lab, Site, config, in_both_hooks, wait_for};
use std::time::{Duration, Instant};

/// The time that a rate is held against, in seconds.
const TIME: f64 = 10.0;
/// What one may be off by: a full bucket at the start is the greater part of it.
const TOLERANCE: f64 = 0.05;
/// Bytes of a datagram, and what it is as an IP packet.
const DATAGRAM: (f64, f64) = (1400.0, 1428.0);
/// Bytes of a full TCP segment (with time stamps), and what it is as an IP packet.
const SEGMENT: (f64, f64) = (1448.0, 1500.0);

/// `web-1` goes out as `eip-1` and `web-2` as `eip-2`; more keys of each EIP follow its address.
fn standard(site: &Site, eips: [&str; 2]) -> String {
    let eip = |n: usize| format!("address = \"203.0.113.1{n}\"");
    let text = site.no_nat()
        + &config::snat("one", "instance = \"web-1\"", "[\"eip-1\"]")
        + &config::snat("two", "instance = \"web-2\"", "[\"eip-2\"]");
    let text = text.replace(&eip(1), &format!("{}\n{}", eip(1), eips[0]));
    text.replace(&eip(2), &format!("{}\n{}", eip(2), eips[1]))
}

/// A client that runs for [`TIME`]: from which instance, to which port of the server, with what else on its
/// command line.
type Load<'a> = (&'a Host, u16, &'a str);

/// Runs clients beside each other.
fn measure(loads: &[Load]) -> Vec<Report> {
    measure_while(loads, || {})
}

/// The same, while something happens.
fn measure_while(loads: &[Load], meanwhile: impl FnOnce()) -> Vec<Report> {
    let start = |(host, port, arguments): &Load| {
        iperf::start(
            host,
            &format!("-c {SERVER} -p {port} -t {TIME} {arguments}"),
        )
    };
    let clients: Vec<_> = loads.iter().map(start).collect();
    meanwhile();
    let report = |client: lab::Program| iperf::report(client.wait(TIME + 20.0));
    clients.into_iter().map(report).collect()
}

/// What arrived as a part of what may: bits of IP packets by a rate in Mbit/s.
fn share(report: &Report, (payload, packet): (f64, f64), rate: f64) -> f64 {
    report.received as f64 * packet / payload * 8.0 / TIME / (rate * 1e6)
}

/// So full that the first packets find a whole bucket, as promised.
fn let_buckets_fill() {
    std::thread::sleep(Duration::from_millis(500));
}

/// Packets that a limit has dropped: in, out.
fn dropped(gateway: &Gateway, id: &str) -> [u64; 2] {
    let stats = gateway.stats();
    let limit = stats.bandwidth.iter().find(|limit| limit.id == id);
    let limit = limit.unwrap_or_else(|| panic!("{id} has no limit"));
    [limit.dropped_packets_in, limit.dropped_packets_out]
}

/// Applies configurations, each so many seconds after the one before. Gives from when to when each was in force, in
/// seconds since `start`, and before them what was there; the last one until `end`.
fn apply_after(
    gateway: &Gateway,
    start: Instant,
    steps: &[(f64, String)],
    end: f64,
) -> Vec<(f64, f64)> {
    let mut from = 0.0;
    let mut spans = Vec::new();
    for (seconds, text) in steps {
        std::thread::sleep(Duration::from_secs_f64(*seconds));
        spans.push((from, start.elapsed().as_secs_f64()));
        gateway.apply(text);
        from = start.elapsed().as_secs_f64();
    }
    spans.push((from, end));
    spans
}

/// That datagrams, told of in intervals of half a second, came at these rates, from when to when.
fn expect_speeds(hook: &str, report: &Report, spans: &[(f64, f64)], rates: &[f64]) {
    let speeds: Vec<f64> = report
        .intervals
        .iter()
        .map(|&bytes| bytes as f64 * DATAGRAM.1 / DATAGRAM.0 * 8.0 / 0.5 / 1e6)
        .collect();
    println!("{hook}: {speeds:.0?}");
    for (&(from, to), &rate) in spans.iter().zip(rates) {
        // Where a rate has been in force for a second, and not for the last quarter of one.
        let [from, to] = [from + 1.0, to - 0.25].map(|at| (at / 0.5).ceil() as usize);
        let part = &speeds[from..to];
        let speed = part.iter().sum::<f64>() / part.len() as f64;
        assert!(
            (speed / rate - 1.0).abs() < 0.1,
            "{speed} instead of {rate}: {speeds:.0?}"
        );
    }
}

in_both_hooks! {
    fn datagrams_keep_to_the_rate_in_both_directions(hook) {
        let lab = Lab::alone("rate-udp");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&standard(&site, ["bandwidth = 20", "bandwidth = 100"]));
        let [one, two] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _servers = [5201, 5202, 5203, 5204].map(|port| iperf::serve(&site.server, port));
        let_buckets_fill();
        let reports = measure(&[
            (&one, 5201, "-u -l 1400 -b 30M"),
            (&one, 5202, "-u -l 1400 -b 30M -R"),
            (&two, 5203, "-u -l 1400 -b 150M"),
            (&two, 5204, "-u -l 1400 -b 150M -R"),
        ]);
        for (report, rate) in reports.iter().zip([20.0, 20.0, 100.0, 100.0]) {
            let share = share(report, DATAGRAM, rate);
            println!("{hook}: {:.1} % of {rate} Mbit/s; {report}", share * 100.0);
            assert!((share - 1.0).abs() <= TOLERANCE, "{share} of {rate} Mbit/s; {report}");
        }
        // What is missing was dropped for this, in the direction where it was.
        for (id, reports) in [("eip-1", &reports[..2]), ("eip-2", &reports[2..])] {
            let [inward, outward] = dropped(&gateway, id);
            for (dropped, report) in [(outward, &reports[0]), (inward, &reports[1])] {
                let off = dropped.abs_diff(report.lost);
                assert!(off * 20 <= report.lost, "{id}: {dropped} dropped; {report}");
            }
        }
        assert!(gateway.drops("rate_limit") > 0);
        assert_eq!(gateway.stats().closed, 0);
    }

    fn tcp_makes_use_of_the_rate_in_both_directions(hook) {
        let lab = Lab::alone("rate-tcp");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&standard(&site, ["bandwidth = 20", "bandwidth = 100"]));
        let [one, two] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _servers = [5201, 5202].map(|port| iperf::serve(&site.server, port));
        for (out, back) in [(&one, &two), (&two, &one)] {
            // How much TCP makes of it depends on how busy the machine is. More there never is.
            let used = (0..3).any(|_| {
                let_buckets_fill();
                let reports = measure(&[(out, 5201, ""), (back, 5202, "-R")]);
                let of = |host: &Host| if host.name() == "web-1" { 20.0 } else { 100.0 };
                let least = [out, back].into_iter().zip(&reports).map(|(host, report)| {
                    let share = share(report, SEGMENT, of(host));
                    println!("{hook}: {:.1} % of {}; {report}", share * 100.0, of(host));
                    assert!(share <= 1.0 + TOLERANCE, "{share} of {}; {report}", of(host));
                    share
                });
                least.fold(1.0, f64::min) >= 1.0 - TOLERANCE
            });
            assert!(used, "TCP never had 95 % of the rate");
        }
    }

    fn a_package_is_shared(hook) {
        let lab = Lab::alone("package");
        let site = Site::new(&lab, hook);
        let package = "\n[[bandwidth_package]]\nid = \"cbwp\"\nbandwidth = 40\n";
        // A limit of its own does not count in a package.
        let member = ["bandwidth = 1\npackage = \"cbwp\"", "package = \"cbwp\""];
        let gateway = site.gateway(&(standard(&site, member) + package));
        let [one, two] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _servers = [5201, 5202, 5203, 5204].map(|port| iperf::serve(&site.server, port));
        let_buckets_fill();
        let reports = measure(&[
            (&one, 5201, "-u -l 1400 -b 50M"),
            (&two, 5202, "-u -l 1400 -b 50M"),
            (&one, 5203, "-u -l 1400 -b 50M -R"),
            (&two, 5204, "-u -l 1400 -b 50M -R"),
        ]);
        for pair in reports.chunks(2) {
            let shares = [0, 1].map(|n| share(&pair[n], DATAGRAM, 40.0));
            println!("{hook}: {shares:?}");
            let all: f64 = shares.iter().sum();
            assert!((all - 1.0).abs() <= TOLERANCE, "{shares:?}");
            assert!(shares.iter().all(|&share| share > 0.1), "{shares:?}");
        }
    }

    /// What one EIP is held to within a package it has, the other what is left; also while there is no daemon.
    fn an_eip_is_held_to_less_than_its_package_has(hook) {
        let lab = Lab::alone("within");
        let site = Site::new(&lab, hook);
        let package = "\n[[bandwidth_package]]\nid = \"cbwp\"\nbandwidth = 40\n";
        let member = ["package = \"cbwp\"\npackage_bandwidth = 10", "package = \"cbwp\""];
        let mut gateway = site.gateway(&(standard(&site, member) + package));
        let [one, two] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _servers = [5201, 5202, 5203, 5204].map(|port| iperf::serve(&site.server, port));
        let loads = [
            (&one, 5201, "-u -l 1400 -b 50M"),
            (&two, 5202, "-u -l 1400 -b 50M"),
            (&one, 5203, "-u -l 1400 -b 50M -R"),
            (&two, 5204, "-u -l 1400 -b 50M -R"),
        ];
        let_buckets_fill();
        let reports = measure_while(&loads, || {
            for port in 5201..=5204 {
                wait_for("datagrams", 5.0, || gateway.sessions_of("udp", port).len() == 1);
            }
            gateway.kill9();
            std::thread::sleep(Duration::from_secs(3));
            gateway.run();
        });
        for pair in reports.chunks(2) {
            let shares = [(0, 10.0), (1, 30.0)].map(|(n, rate)| share(&pair[n], DATAGRAM, rate));
            println!("{hook}: {shares:?} of 10 and 30 Mbit/s; {}; {}", pair[0], pair[1]);
            assert!(shares.iter().all(|share| (share - 1.0).abs() <= TOLERANCE), "{shares:?}");
        }
        for id in ["eip-1", "cbwp"] {
            assert!(dropped(&gateway, id).into_iter().all(|packets| packets > 0), "{id}");
        }
        assert_eq!(gateway.stats().closed, 0);
    }

    /// What an EIP is held to within its package changes while datagrams come, and their session goes on.
    fn another_limit_within_a_package_costs_no_session(hook) {
        let lab = Lab::alone("re-within");
        let site = Site::new(&lab, hook);
        let package = "\n[[bandwidth_package]]\nid = \"cbwp\"\nbandwidth = 40\n";
        let with = |limit: &str| {
            let member = format!("package = \"cbwp\"\n{limit}");
            standard(&site, [&member, "package = \"cbwp\""]) + package
        };
        let gateway = site.gateway(&with(""));
        let one = gateway.instance("web-1");
        let _server = iperf::serve(&site.server, 5201);
        let load = format!("-c {SERVER} -p 5201 -u -l 1400 -b 60M -t 13 -i 0.5 -R");
        let load = iperf::start(&one, &load);
        wait_for("datagrams to come", 5.0, || gateway.sessions_of("udp", 5201).len() == 1);
        let start = Instant::now();
        let before = gateway.sessions();
        let limits = [(3.0, "package_bandwidth = 10"), (2.5, "package_bandwidth = 20"), (2.5, "")];
        let steps = limits.map(|(after, limit)| (after, with(limit)));
        let spans = apply_after(&gateway, start, &steps, 12.0);
        let after = gateway.sessions();
        for session in &before {
            let same = after.iter().find(|s| s.original == session.original);
            let same = same.unwrap_or_else(|| panic!("{session:?} is gone"));
            assert_eq!((&same.translated, &same.entry), (&session.translated, &session.entry));
        }
        assert_eq!(gateway.stats().closed, 0);
        let report = iperf::report(load.wait(30.0));
        expect_speeds(hook, &report, &spans, &[40.0, 10.0, 20.0, 40.0]);
    }

    /// The rate changes while connections are at it, and each of them goes on. They have an EIP each: what is told about
    /// one would be lost with the datagrams of the other that are too many.
    fn another_rate_costs_no_session(hook) {
        let lab = Lab::alone("re-rate");
        let site = Site::new(&lab, hook);
        let both = |key: &str| standard(&site, [key, key]);
        let gateway = site.gateway(&both("bandwidth = 20"));
        let [one, two] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _servers = [5201, 5202].map(|port| iperf::serve(&site.server, port));
        let load = "-u -l 1400 -b 100M -t 13 -i 0.5 -R";
        let udp = iperf::start(&one, &format!("-c {SERVER} -p 5201 {load}"));
        wait_for("datagrams to come", 5.0, || gateway.sessions_of("udp", 5201).len() == 1);
        let start = Instant::now();
        let tcp = iperf::start(&two, &format!("-c {SERVER} -p 5202 -t 10 -i 0.5"));
        wait_for("TCP to be under way", 5.0, || gateway.sessions_of("tcp", 5202).len() == 2);
        let before = gateway.sessions();

        let package = |n| format!("\n[[bandwidth_package]]\nid = \"cbwp-{n}\"\nbandwidth = 10\n");
        let packages = package(1) + &package(2);
        let in_packages = standard(&site, ["package = \"cbwp-1\"", "package = \"cbwp-2\""]);
        let steps = [
            (3.0, both("bandwidth = 50")),
            (2.5, in_packages + &packages),
            (2.5, both("")),
        ];
        let spans = apply_after(&gateway, start, &steps, 12.0);
        let after = gateway.sessions();
        for session in &before {
            let same = after.iter().find(|s| s.original == session.original);
            let same = same.unwrap_or_else(|| panic!("{session:?} is gone"));
            assert_eq!((&same.translated, &same.entry), (&session.translated, &session.entry));
            assert!(same.packets_in >= session.packets_in);
        }
        assert_eq!(gateway.stats().closed, 0);

        let report = iperf::report(udp.wait(30.0));
        expect_speeds(hook, &report, &spans, &[20.0, 50.0, 10.0, 100.0]);
        let report = iperf::report(tcp.wait(30.0));
        println!("{hook}: {report}, {:?}", report.intervals);
        assert!(report.received > 10_000_000, "{report}");
    }

    /// Without a daemon the kernel keeps to the rate, and the next one fills no bucket.
    fn a_killed_daemon_is_no_way_around_it(hook) {
        let lab = Lab::alone("rate-kill");
        let site = Site::new(&lab, hook);
        let mut gateway = site.gateway(&standard(&site, ["bandwidth = 20", ""]));
        let instance = gateway.instance("web-1");
        let _server = iperf::serve(&site.server, 5201);
        let_buckets_fill();
        let load = format!("-c {SERVER} -p 5201 -u -l 1400 -b 40M -t {TIME} -R");
        let load = iperf::start(&instance, &load);
        wait_for("datagrams to come", 5.0, || gateway.sessions_of("udp", 5201).len() == 1);
        for _ in 0..3 {
            std::thread::sleep(Duration::from_secs(1));
            let before = dropped(&gateway, "eip-1")[0];
            gateway.kill9();
            std::thread::sleep(Duration::from_secs(1));
            gateway.run();
            assert!(dropped(&gateway, "eip-1")[0] > before + 500);
        }
        let report = iperf::report(load.wait(TIME + 20.0));
        let share = share(&report, DATAGRAM, 20.0);
        println!("{hook}: {:.1} %; {report}", share * 100.0);
        assert!((share - 1.0).abs() <= TOLERANCE, "{share}; {report}");
    }
}

/// Between two EIPs of the gateway the packets are outgoing ones of the EIP that they leave by.
#[test]
fn from_one_eip_to_another() {
    let lab = Lab::alone("rate-hairpin");
    let site = Site::new(&lab, "tc");
    let text = standard(&site, ["bandwidth = 20", "bandwidth = 10"])
        + &config::dnat("eip-2", "tcp", "\"9001-9002\"", "web-2", "\"9001-9002\"")
        + &config::dnat("eip-2", "udp", "\"9001-9002\"", "web-2", "\"9001-9002\"");
    let gateway = site.gateway(&text);
    let [one, two] = ["web-1", "web-2"].map(|id| gateway.instance(id));
    let _servers = [9001, 9002].map(|port| iperf::serve(&two, port));
    let_buckets_fill();
    let load = "-u -l 1400 -b 40M";
    let clients = [(9001, ""), (9002, "-R")].map(|(port, way)| {
        let line = format!("-c 203.0.113.12 -p {port} {load} -t {TIME} {way}");
        iperf::start(&one, &line)
    });
    for (client, rate) in clients.into_iter().zip([20.0, 10.0]) {
        let report = iperf::report(client.wait(TIME + 20.0));
        let share = share(&report, DATAGRAM, rate);
        println!("{:.1} % of {rate} Mbit/s; {report}", share * 100.0);
        assert!((share - 1.0).abs() <= TOLERANCE, "{share}; {report}");
    }
    let [one, two] = ["eip-1", "eip-2"].map(|id| dropped(&gateway, id));
    assert!(one[0] == 0 && one[1] > 0 && two[0] == 0 && two[1] > 0);
}
