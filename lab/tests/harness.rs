//! The lab itself, with the Linux kernel as its gateway: what the other tests rely on.

use lab::site::{CLIENT, SERVER, SERVER_2};
use lab::{Host, Lab, Site, iperf, raw, servers, sockets};
use std::process::Command;
use std::time::Duration;

/// An instance behind the Linux kernel as NAT gateway.
fn plain(site: &Site, lab: &Lab) -> Host {
    let instance = lab.host("web-1");
    lab.link(
        (&site.gw, "web-1", "192.168.1.253/24"),
        (&instance, "eth0", "192.168.1.10/24"),
    );
    instance.default_route("192.168.1.253");
    site.gw.forward();
    for address in ["203.0.113.2/24", "203.0.113.11/24"] {
        site.gw.address("wan", address);
    }
    site.gw.default_route("203.0.113.1");
    site.gw.ok("nft add table ip nat");
    site.gw
        .ok("nft 'add chain ip nat out { type nat hook postrouting priority 100; }'");
    site.gw
        .ok("nft 'add chain ip nat in { type nat hook prerouting priority -100; }'");
    site.gw
        .ok("nft add rule ip nat out oifname wan snat to 203.0.113.11");
    let forward = "ip daddr 203.0.113.11 meta l4proto { tcp, udp, icmp } dnat to 192.168.1.10";
    site.gw
        .ok(&format!("nft 'add rule ip nat in iifname wan {forward}'"));
    instance
}

#[test]
fn programs_talk_across_the_site() {
    let lab = Lab::new("plain");
    let site = Site::new(&lab, "tc");
    let instance = plain(&site, &lab);

    let web = servers::Web::start(&site.server, &[80, 8080]);
    let page = instance.ok(&format!("curl -sS http://{SERVER}:8080/"));
    assert_eq!(page, "server 8080 203.0.113.11\n");
    assert!(web.log()[0].starts_with("203.0.113.11:"), "{:?}", web.log());
    let content = web.publish("a", 100_000);
    instance.ok(&format!(
        "curl -sS -o {} http://{SERVER}/files/a",
        instance.file("a").display()
    ));
    assert_eq!(std::fs::read(instance.file("a")).unwrap(), content);

    instance.ok(&format!("ping -c 1 -W 2 {SERVER_2}"));
    let hops = instance.ok(&format!("traceroute -n -q 1 -w 1 {SERVER}"));
    assert_eq!(hops.lines().count(), 4, "{hops}");

    let _server = iperf::serve(&site.server, 5201);
    let report = iperf::run(&instance, &format!("-c {SERVER} -t 1"));
    assert!(report.received > 1_000_000, "{report}");

    let _ftp = servers::ftp(&site.server, SERVER, 7100, 7110, b"hello");
    assert_eq!(
        instance.ok(&format!("curl -sS ftp://{SERVER}/pub/file")),
        "hello"
    );

    let _stun = servers::stun(&site.server, [SERVER, SERVER_2]);
    let seen = instance.ok(&format!("turnutils_stunclient {SERVER}"));
    assert!(seen.contains("203.0.113.11"), "{seen}");

    let ssh = servers::Ssh::start(&instance);
    let answer = site
        .client
        .ok(&format!("{} echo hello", ssh.client("203.0.113.11")));
    assert_eq!(answer, "hello\n");
}

#[test]
fn packets_made_by_hand_arrive() {
    let lab = Lab::new("raw");
    let site = Site::new(&lab, "tc");
    let socket = sockets::udp(&site.server, "0.0.0.0:7000");
    let from = format!("{CLIENT}:9").parse().unwrap();
    let to = format!("{SERVER}:7000").parse().unwrap();
    let data: Vec<u8> = (0..4000u32).map(|n| n as u8).collect();
    let mut pieces = raw::Packet::udp(from, to, &data).fragments(1480);
    pieces.reverse();
    raw::send(&site.client, &pieces);
    assert_eq!(sockets::receive(&socket), Some((data, from)));
    assert_eq!(site.server.counter("Ip.ReasmOKs"), 1);
}

#[test]
fn a_bad_checksum_fails_the_test() {
    let lab = Lab::new("bad");
    let host = lab.host("a");
    let addr = "127.0.0.1:7000".parse().unwrap();
    let mut packet = raw::Packet::udp(addr, addr, b"data");
    packet.payload[6] ^= 1;
    let _socket = sockets::udp(&host, "127.0.0.1:7000");
    raw::send(&host, [&packet.whole()]);
    lab::wait_for("the bad packet to be counted", 2.0, || {
        host.counter("Udp.InCsumErrors") == 1
    });
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(lab)));
    let message = end.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("a: Udp.InCsumErrors = 1"), "{message}");
}

#[test]
fn nothing_is_left_of_a_lab_that_failed() {
    let lab = Lab::new("fails");
    let name = lab.name().to_owned();
    let host = lab.host("a");
    let sleeper = host.spawn("sleep 1000");
    let pid = sleeper.pid();
    // A program that its owner forgets: the namespace's end is its end too.
    std::mem::forget(sleeper);
    let work = || {
        let lab = lab;
        panic!("{}", lab.name());
    };
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
    assert!(failed);
    let names = Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert!(!String::from_utf8(names.stdout).unwrap().contains(&name));
    assert!(!std::env::temp_dir().join(&name).exists());
    lab::wait_for("the program to be killed", 5.0, || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    });
}

#[test]
fn a_program_that_takes_too_long_is_killed() {
    let lab = Lab::new("slow");
    let host = lab.host("a");
    let program = host.spawn("echo begun; sleep 1000");
    lab::wait_for("a line", 5.0, || program.stdout() == "begun\n");
    assert!(program.ended().is_none());
    program.kill();
    assert!(program.ended().is_some());
    let late = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        host.spawn("sleep 1000").wait(0.1)
    }));
    assert!(late.is_err());
    assert!(
        host.fails("ping -c 1 -W 0.2 192.0.2.1")
            .contains("unreachable")
    );
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(host.ok("ip netns identify").trim(), host.namespace());
}
