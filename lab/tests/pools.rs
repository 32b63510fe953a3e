//! Pools of EIPs, and what happens when their ports run out.

use lab::raw::{self, Packet};
use lab::site::{OTHER, SERVER, SERVER_2};
use lab::sockets::{TcpEcho, UdpEcho, echoes, is_alive, receive, tcp, udp};
use lab::{Host, Lab, Site, config, in_both_hooks};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The EIPs that a server sees when a host sends from 60 ports, beginning with `first`.
fn seen_as(host: &Host, echo: &UdpEcho, to: &str, first: u16) -> BTreeSet<Ipv4Addr> {
    let before = echo.seen().len();
    for n in 0..60 {
        let socket = udp(host, &format!("0.0.0.0:{}", first + n));
        assert!(echoes(&socket, to, b"hello"), "{n}");
    }
    let new = &echo.seen()[before..];
    new.iter().map(|from| *from.ip()).collect()
}

in_both_hooks! {
    fn a_pool_is_spread_as_it_says(hook) {
        let lab = Lab::new("pool");
        let site = Site::new(&lab, hook);
        let pool = |way: &str| {
            let eips = format!("[\"eip-1\", \"eip-2\", \"eip-3\"]\npooling = \"{way}\"");
            site.no_nat() + &config::snat("snat", "vpc = true", &eips)
        };
        let gateway = site.gateway(&pool("hash"));
        let hosts = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let echoes = [
            (UdpEcho::start(&site.server, "0.0.0.0:7000"), SERVER),
            (UdpEcho::start(&site.other, "0.0.0.0:7000"), OTHER),
        ];
        // Ports that were not used before: a mapping does not change its EIP.
        let mut first = 10_000;
        let mut seen_as = |host, (echo, to): &(UdpEcho, &str)| {
            first += 100;
            seen_as(host, echo, &format!("{to}:7000"), first)
        };
        // Connections of one client spread over the pool.
        for host in &hosts {
            assert_eq!(seen_as(host, &echoes[0]).len(), 3);
        }
        // A client keeps its EIP towards a destination.
        gateway.apply(&pool("affinity"));
        for host in &hosts {
            for echo in &echoes {
                assert_eq!(seen_as(host, echo).len(), 1);
            }
        }
        // A client keeps its EIP.
        gateway.apply(&pool("paired"));
        for host in &hosts {
            let all = echoes.iter().flat_map(|echo| seen_as(host, echo));
            assert_eq!(all.collect::<BTreeSet<_>>().len(), 1);
        }
    }
}

in_both_hooks! {
    /// Four ports for five clients: the fifth has none towards the same destination, and is told so by a
    /// counter; the other four do not notice.
    fn exhausted_ports_are_counted_and_break_nothing(hook) {
        let lab = Lab::new("exhausted");
        let site = Site::new(&lab, hook);
        let few = "snat_ports = \"2000-2003\"\n";
        let gateway = site.gateway(&(site.no_nat() + few + config::SNAT));
        let instance = gateway.instance("web-1");
        let to = format!("{SERVER}:7000");
        let echo = UdpEcho::start(&site.server, &to);
        let sockets: Vec<_> = (0..4).map(|_| udp(&instance, "0.0.0.0:0")).collect();
        for socket in &sockets {
            assert!(echoes(socket, &to, b"hello"));
        }
        let ports: BTreeSet<u16> = echo.peers().iter().map(|peer| peer.port()).collect();
        assert_eq!(ports, (2000..=2003).collect());

        let fifth = udp(&instance, "0.0.0.0:0");
        assert!(!echoes(&fifth, &to, b"hello"));
        assert_eq!(gateway.drops("ports_exhausted"), 1);
        let eip = gateway.stats().eips.remove(0);
        assert_eq!(
            (eip.ports_exhausted, eip.ports_total, eip.ports_used[1]),
            (1, 4, 4)
        );
        for socket in &sockets {
            assert!(echoes(socket, &to, b"still there"));
        }
        // Towards another destination a port is shared.
        let second = UdpEcho::start(&site.server, &format!("{SERVER_2}:7000"));
        assert!(echoes(&fifth, &format!("{SERVER_2}:7000"), b"hello"));
        assert!(second.peers().is_subset(&echo.peers()));
        // TCP has ports of its own.
        let _echo = TcpEcho::start(&site.server, "0.0.0.0:7000");
        let streams: Vec<_> = (0..4).map(|_| tcp(&instance, &to).unwrap()).collect();
        assert!(tcp(&instance, &to).is_err());
        assert!(streams.iter().all(is_alive));
        assert!(gateway.stats().eips[0].ports_exhausted >= 2);
    }
}

/// An EIP carries at least 55,000 sessions to one destination.
#[test]
fn an_eip_carries_55_000_sessions_to_one_destination() {
    let lab = Lab::new("many");
    let site = Site::new(&lab, "auto");
    let mut gateway = site.gateway(&site.standard());
    let instance = gateway.instance("web-1");
    let echo = UdpEcho::start(&site.server, "0.0.0.0:7000");
    let to: SocketAddrV4 = format!("{SERVER}:7000").parse().unwrap();
    // Two instances with the same source ports: half of them must become others.
    let senders = [("web-1", "192.168.1.10"), ("web-2", "192.168.2.10")].map(|(id, address)| {
        let packet = |port| {
            let from = SocketAddrV4::new(address.parse().unwrap(), port);
            Packet::udp(from, to, &port.to_be_bytes()).whole()
        };
        let packets: Vec<Vec<u8>> = (20_000..47_500).map(packet).collect();
        (gateway.instance(id), packets)
    });
    // Buffers are small and the machine is busy with other tests: what is lost comes again.
    for _ in 0..10 {
        for (host, packets) in &senders {
            for some in packets.chunks(250) {
                raw::send(host, some);
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        if echo.peers().len() >= 55_000 {
            break;
        }
    }
    assert_eq!(echo.peers().len(), 55_000);
    let stats = gateway.stats();
    assert_eq!(
        (stats.eips[0].sessions, stats.eips[0].ports_exhausted),
        (55_000, 0)
    );
    assert!(
        echo.peers()
            .iter()
            .all(|peer| peer.ip().to_string() == "203.0.113.11")
    );
    // And the first of them is still what it was, under another daemon too.
    gateway.restart(Signal::SIGKILL);
    assert_eq!(gateway.stats().adopted, 55_000);
    let first: SocketAddrV4 = "203.0.113.11:20000".parse().unwrap();
    let from_first = || echo.seen().iter().filter(|&&from| from == first).count();
    let before = from_first();
    let socket = udp(&instance, "0.0.0.0:20000");
    assert!(echoes(&socket, &to.to_string(), b"hello"));
    assert!(from_first() > before);
    assert_eq!(gateway.stats().sessions, 55_000);
}

/// RFC 6888, REQ-4: one instance does not use up what belongs to all.
#[test]
fn a_source_has_so_many_sessions_and_no_more() {
    let lab = Lab::new("limit");
    let site = Site::new(&lab, "auto");
    let limit = "max_sessions_per_source = 10\n";
    let gateway = site.gateway(&(site.no_nat() + limit + config::SNAT));
    let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
    let _echo = UdpEcho::start(&site.server, "0.0.0.0:7000");
    let to = format!("{SERVER}:7000");
    let sockets: Vec<_> = (0..10).map(|_| udp(&web_1, "0.0.0.0:0")).collect();
    assert!(sockets.iter().all(|socket| echoes(socket, &to, b"hello")));
    let one_more = udp(&web_1, "0.0.0.0:0");
    one_more.send_to(b"hello", &to).unwrap();
    assert_eq!(receive(&one_more), None);
    assert_eq!(gateway.drops("source_limit"), 1);
    assert!(
        sockets
            .iter()
            .all(|socket| echoes(socket, &to, b"still there"))
    );
    assert!(echoes(&udp(&web_2, "0.0.0.0:0"), &to, b"hello"));
}
