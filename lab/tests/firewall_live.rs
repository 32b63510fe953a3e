//! The NAT firewall while it is used: toggled, changed, killed, overrun, and shown segments that no kernel sends.

use lab::names::{Names, curl};
use lab::puppet::{End, Puppet};
use lab::servers::Ssh;
use lab::site::{SERVER, SERVER_2};
use lab::sockets::{TcpEcho, is_alive, tcp};
use lab::{Gateway, Host, Lab, Site, config, in_both_hooks, iperf, wait_for};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

const DENY: &str = "domain = \"denied.test\"; protocol = \"tcp\"; action = \"drop\"";

fn firewall(site: &Site, keys: &str, policies: &[&str]) -> String {
    let policies: String = policies.iter().map(|it| config::policy(it)).collect();
    site.no_nat() + config::SHORT + config::SNAT + &config::firewall(keys) + &policies
}

/// A request for a name, as the bytes of a stream.
fn request(name: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// What a client says first, over HTTP or TLS, and how an answer to it begins.
type Opening = (u16, fn(&str) -> Vec<u8>, &'static [u8]);

const OPENINGS: [Opening; 2] = [
    (80, request, b"HTTP/1.1 200 OK"),
    (443, lab::quic::hello, &[22, 3, 3]),
];

#[test]
fn a_request_and_a_hello_in_pieces_of_one_byte_are_understood_in_any_order() {
    let lab = Lab::new("fw-pieces");
    let site = Site::new(&lab, "tc");
    let gateway = site.gateway(&firewall(&site, "mode = \"strict\"", &[DENY]));
    let _server = Names::start(&site.server, &["allowed.test", "denied.test"]);
    let instance = gateway.instance("web-1");
    let mut port = 30_000;
    // In order, from the end, the two halves from the end, and each twice.
    let orders: [fn(usize, usize) -> usize; 3] = [
        |n, _| n,
        |n, len| len - 1 - n,
        |n, len| {
            if n < len / 2 {
                len / 2 - 1 - n
            } else {
                len - 1 - (n - len / 2)
            }
        },
    ];
    for (order, (service, says, begins)) in orders
        .iter()
        .flat_map(|it| OPENINGS.map(|opening| (it, opening)))
    {
        let to = format!("{SERVER}:{service}");
        for twice in [false, true] {
            for (name, passes) in [("allowed.test", true), ("denied.test", false)] {
                port += 1;
                let from = format!("192.168.1.10:{port}");
                let mut client = Puppet::connect(&instance, &from, &to).expect("a connection");
                let bytes = says(name);
                let times = if twice { 2 } else { 1 };
                let pieces = (0..bytes.len()).flat_map(|n| {
                    let at = order(n, bytes.len());
                    std::iter::repeat_n((at, &bytes[at..at + 1]), times)
                });
                client.send(pieces);
                let (answer, end) = client.receive();
                let came = answer.starts_with(begins);
                let what = format!("{to} {name} {twice}: {answer:?} {end:?}");
                assert_eq!(came, passes, "{what}");
                assert_eq!(end == Some(End::Reset), !passes, "{what}");
            }
        }
    }
}

/// Segments of TCP that a host has sent again and whose first copy had not arrived either: what it sent again since an
/// acknowledgement was late, on a busy machine, its peer has told it (RFC 2883).
fn lost(host: &Host) -> i64 {
    let counter = |file: &str, name: &str| -> i64 {
        let text = host.run(&format!("cat /proc/net/{file}")).ok();
        let lines: Vec<Vec<&str>> = text.lines().map(|it| it.split(' ').collect()).collect();
        let table = lines.chunks(2).find(|it| it[0].contains(&name));
        let [names, values] = table.unwrap_or_else(|| panic!("no {name}: {text}")) else {
            panic!("{text}");
        };
        let at = names.iter().position(|it| *it == name).unwrap();
        values[at].parse().unwrap()
    };
    counter("snmp", "RetransSegs") - counter("netstat", "TCPDSACKRecvSegs")
}

/// What the gateway has dropped: of what TCP connections send, nothing is.
fn dropped(gateway: &Gateway) -> Vec<(String, u64)> {
    let drops = gateway.stats().drops.into_iter();
    let drops = drops.filter(|it| it.reason != "not_ipv4");
    drops.map(|it| (it.reason, it.packets)).collect()
}

/// Toggles the firewall while much is going on.
#[test]
fn toggling_fifty_times_costs_nobody_anything() {
    let lab = Lab::alone("fw-toggle");
    let site = Site::new(&lab, "tc");
    let off = site.standard();
    let on = firewall(&site, "", &[DENY]);
    let gateway = site.gateway(&off);
    let instance = gateway.instance("web-1");
    let _iperf = iperf::serve(&site.server, 5201);
    let ssh = Ssh::start(&site.server);
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
    let before = dropped(&gateway);
    // Other tests do not run now, but the machine may be busy with something else, and lose packets itself: not every
    // time.
    let calm = (0..3).any(|_| {
        let lost_before = [&instance, &site.server].map(lost);
        let load = iperf::start(&instance, &format!("-c {SERVER} -t 14 -b 200M"));
        let shell = instance.spawn(&format!(
            "{} 'for i in $(seq 120); do echo tick $i; sleep 0.1; done'",
            ssh.client(SERVER)
        ));
        let quiet = tcp(&instance, &format!("{SERVER}:7001")).unwrap();
        wait_for("the load to begin", 10.0, || {
            shell.stdout().contains("tick 3")
        });
        for n in 0..50 {
            gateway.apply(if n % 2 == 0 { &on } else { &off });
            assert!(is_alive(&quiet), "after toggle {n}");
        }
        let said = shell.wait(60.0).ok();
        assert!(
            said.ends_with("tick 120\n") && said.lines().count() == 120,
            "{said}"
        );
        let report = iperf::report(load.wait(60.0));
        println!("fifty toggles: {report}");
        assert_eq!(dropped(&gateway), before);
        let lost_now = [&instance, &site.server].map(lost);
        println!("lost: {lost_before:?}, {lost_now:?}");
        lost_now
            .iter()
            .zip(lost_before)
            .all(|(now, before)| *now <= before)
    });
    assert!(calm, "each time something was lost");
}

in_both_hooks! {
    fn a_changed_policy_ends_what_it_forbids_and_nothing_else(hook) {
        let lab = Lab::new("fw-change");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&firewall(&site, "", &[DENY]));
        let instance = gateway.instance("web-1");
        let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
        let _other = TcpEcho::start(&site.server, "0.0.0.0:7002");
        let [kept, ended] = [7001, 7002].map(|port| tcp(&instance, &format!("{SERVER}:{port}")).unwrap());
        assert!(is_alive(&kept) && is_alive(&ended));
        gateway.apply(&firewall(&site, "", &["protocol = \"tcp\"; ports = 7002; action = \"drop\""]));
        assert!(is_alive(&kept));
        assert!(!is_alive(&ended));
        assert!(tcp(&instance, &format!("{SERVER}:7002")).is_err());
        let reason = |text: &str| gateway.cli("records --json --limit 200").ok().lines().any(|it| it.contains("7002") && it.contains(text));
        wait_for("records of both", 10.0, || reason("\"kind\":\"ended\"") && reason("\"kind\":\"refused\""));
    }

    /// Killed with sessions in all states, with the firewall on.
    fn a_daemon_killed_under_load_is_followed_by_one_that_goes_on(hook) {
        let lab = Lab::new("fw-kill");
        let site = Site::new(&lab, hook);
        let mut gateway = site.gateway(&firewall(&site, "mode = \"strict\"", &[DENY]));
        let instance = gateway.instance("web-1");
        let _server = Names::start(&site.server, &["allowed.test", "denied.test"]);
        let _iperf = iperf::serve(&site.server, 5201);
        let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
        let quiet = tcp(&instance, &format!("{SERVER}:7001")).unwrap();
        assert!(is_alive(&quiet));
        // What is under inspection waits for the next daemon; what has been goes on without one.
        wait_for("the end of its inspection", 15.0, || {
            let sessions = gateway.sessions_of("tcp", 7001);
            sessions.iter().all(|it| it.offloaded && it.firewall.is_none())
        });
        let load = iperf::start(&instance, &format!("-c {SERVER} -t 6 -b 200M -i 1"));
        let line = curl("http", "allowed.test", SERVER, "-o /dev/null");
        let _asking = instance.spawn(&format!("for i in $(seq 200); do {line}; done"));
        // One that has said nothing yet: it is under inspection when the daemon dies.
        let mut silent = tcp(&instance, &format!("{SERVER}:80")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(800));
        gateway.kill9();
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(is_alive(&quiet), "nobody at home");
        gateway.run();
        assert!(is_alive(&quiet), "after the restart");
        let _ = silent.write_all(&request("denied.test"));
        let mut answer = String::new();
        let _ = silent.read_to_string(&mut answer);
        assert!(!answer.contains("200 OK"), "{answer}");
        let report = iperf::report(load.wait(40.0));
        println!("{hook}: killed: {report}");
        let output = instance.run(&curl("http", "allowed.test", SERVER, ""));
        assert!(output.success(), "{output}");
        assert!(!instance.run(&curl("http", "denied.test", SERVER, "")).success());
    }
}

/// The daemon's memory in kB.
fn memory(gateway: &Gateway) -> u64 {
    status(gateway, "VmRSS:")
}

/// What the kernel tells of the daemon, in kB.
fn status(gateway: &Gateway, name: &str) -> u64 {
    let version = gateway.cli("version --json").ok();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    let pid = version["gateway"]["pid"].as_u64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|it| it.parse().ok()).unwrap()
}

#[test]
fn ten_thousand_sessions_under_inspection_take_bounded_memory() {
    let lab = Lab::new("fw-many");
    let site = Site::new(&lab, "tc");
    let gateway = site.gateway(&firewall(&site, "", &[DENY]));
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["allowed.test", "denied.test"]);
    for host in [&instance, &site.server] {
        host.sysctl("net.core.somaxconn", "16384");
    }
    instance.sysctl("net.ipv4.ip_local_port_range", "1024 65535");
    lift_open_files();
    let before = memory(&gateway);
    let to = format!("{SERVER}:80");
    let open = |_| TcpStream::connect(&to).unwrap();
    let mut streams: Vec<TcpStream> = instance.inside(|| (0..10_000).map(open).collect());
    // They have said nothing yet: all of them are under inspection, and stay so.
    assert_eq!(gateway.stats().firewall.inspected, 10_000);
    // Each begins a request, and does not end it: the name is not told yet.
    let begun = &request("denied.test")[..20];
    for stream in &mut streams {
        stream.write_all(begun).unwrap();
    }
    let stats = gateway.stats().firewall;
    let grown = memory(&gateway).saturating_sub(before);
    println!("10,000 sessions under inspection: {grown} kB more, {stats:?}");
    assert_eq!((stats.sessions, stats.given_up), (10_000, 0));
    assert!(grown < 100_000, "{grown} kB");
    // One more ends as it should.
    let mut last = instance.inside(|| open(0));
    last.write_all(&request("denied.test")).unwrap();
    let mut answer = Vec::new();
    let _ = last.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
}

/// A million threat indicators, half addresses and half domains, take little memory, also while they are read and while
/// another list takes their place; and sessions go on.
#[test]
fn a_million_indicators_take_bounded_memory() {
    let lab = Lab::new("fw-million");
    let site = Site::new(&lab, "tc");
    let random = |n: u32| n.wrapping_mul(2_654_435_761);
    let write = |round: u32| {
        let mut list = format!("{SERVER_2}\nbad.test\n");
        for n in 0..500_000 {
            // Nobody is there: 10.0.0.0/8 is no part of the lab.
            let address = 0x0a00_0000 | random(n + round) >> 8;
            let name = format!("{:x}.site-{}.example", random(n) as u16, n + round);
            writeln!(list, "{}\n{name}", Ipv4Addr::from(address)).unwrap();
        }
        site.gw.write("list", list)
    };
    let list = write(0);
    let feed = format!(
        "\n[[threat_feed]]\nid = \"list\"\nlocation = \"{}\"\ncategory = \"IpOutThreatMining\"\n",
        list.display()
    );
    let keys = "threats = { IpOutThreatMining = \"drop\" }";
    let gateway = site.gateway(&firewall(&site, keys, &[]));
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["allowed.test", "bad.test"]);
    let page = |name: &str, to: &str| instance.run(&curl("http", name, to, "-m 3")).success();
    assert!(page("allowed.test", SERVER_2) && page("bad.test", SERVER));
    let before = memory(&gateway);
    gateway.apply(&(firewall(&site, keys, &[]) + &feed));
    for round in 0..2 {
        if round > 0 {
            write(round);
        }
        let told = gateway.cli("intel --json --refresh list").ok();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            told["feeds"][0]["indicators"], 1_000_002,
            "{}",
            told["feeds"]
        );
        assert!(page("allowed.test", SERVER));
        assert!(!page("allowed.test", SERVER_2) && !page("bad.test", SERVER));
        let grown = memory(&gateway).saturating_sub(before);
        let most = status(&gateway, "VmHWM:").saturating_sub(before);
        println!("a million indicators: {grown} kB more, {most} kB at most");
        assert!(most < 200_000, "{most} kB");
    }
}

/// As many open files as the system lets a process have.
fn lift_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    assert!(most >= 12_000, "{most} open files are not enough");
}

#[test]
fn what_is_over_capacity_passes_unseen_or_not_at_all() {
    let lab = Lab::new("fw-capacity");
    let site = Site::new(&lab, "tc");
    let config = |over: &str| {
        firewall(&site, "", &[DENY])
            + &format!("\n[firewall_license]\ncapacity = 10\nover_capacity = \"{over}\"\n")
    };
    let gateway = site.gateway(&config("degrade"));
    let instance = gateway.instance("web-1");
    let _server = Names::start(&site.server, &["allowed.test", "denied.test"]);
    let _iperf = iperf::serve(&site.server, 5201);
    let denied = || {
        instance
            .run(&curl("http", "denied.test", SERVER, ""))
            .success()
    };
    assert!(!denied());
    let load = iperf::start(&instance, &format!("-c {SERVER} -t 20 -b 60M"));
    wait_for("the load to be more than was bought", 10.0, || {
        gateway.stats().firewall.bits_per_second > 20_000_000
    });
    assert!(denied(), "unseen");
    gateway.apply(&config("block"));
    wait_for("new sessions to be refused", 5.0, || {
        !instance
            .run(&curl("http", "allowed.test", SERVER, ""))
            .success()
    });
    assert!(gateway.stats().firewall.over_capacity > 0);
    load.kill();
    wait_for("room", 10.0, || {
        instance
            .run(&curl("http", "allowed.test", SERVER, ""))
            .success()
    });
    assert!(!denied());
}
