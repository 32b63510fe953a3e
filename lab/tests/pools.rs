//! Pools of EIPs, and what happens when their ports run out.

use lab::site::{OTHER, SERVER, SERVER_2};
use lab::sockets::{TcpEcho, UdpEcho, echoes, is_alive, receive, tcp, udp};
use lab::{Host, Lab, Site, config};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The EIPs that a server sees when a host sends from many ports.
fn seen_as(host: &Host, echo: &UdpEcho, to: &str) -> BTreeSet<Ipv4Addr> {
    let before = echo.seen().len();
    for n in 0..60 {
        let socket = udp(host, "0.0.0.0:0");
        assert!(echoes(&socket, to, b"hello"), "{n}");
    }
    let new = &echo.seen()[before..];
    new.iter().map(|from| *from.ip()).collect()
}

#[test]
fn a_pool_is_spread_as_it_says() {
    let lab = Lab::new("pool");
    let site = Site::new(&lab, "auto");
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
    // Connections of one client spread over the pool.
    for host in &hosts {
        let (echo, to) = &echoes[0];
        assert_eq!(seen_as(host, echo, &format!("{to}:7000")).len(), 3);
    }
    // A client keeps its EIP towards a destination.
    gateway.apply(&pool("affinity"));
    for host in &hosts {
        for (echo, to) in &echoes {
            assert_eq!(seen_as(host, echo, &format!("{to}:7000")).len(), 1);
        }
    }
    // A client keeps its EIP.
    gateway.apply(&pool("paired"));
    for host in &hosts {
        let all = echoes
            .iter()
            .flat_map(|(echo, to)| seen_as(host, echo, &format!("{to}:7000")));
        assert_eq!(all.collect::<BTreeSet<_>>().len(), 1);
    }
}

/// Four ports for five clients: the fifth has none towards the same destination, and is told so by a
/// counter; the other four do not notice.
#[test]
fn exhausted_ports_are_counted_and_break_nothing() {
    let lab = Lab::new("exhausted");
    let site = Site::new(&lab, "auto");
    let few = "snat_ports = \"2000-2003\"\n";
    let gateway = site.gateway(&(site.no_nat() + few + config::SNAT));
    let instance = gateway.instance("web-1");
    let echo = UdpEcho::start(&site.server, "0.0.0.0:7000");
    let to = format!("{SERVER}:7000");
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
    assert!(echoes(&fifth, &format!("{SERVER_2}:7000"), b"hello"));
    assert_eq!(echo.peers().len(), 4);
    // TCP has ports of its own.
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7000");
    let streams: Vec<_> = (0..4).map(|_| tcp(&instance, &to).unwrap()).collect();
    assert!(tcp(&instance, &to).is_err());
    assert!(streams.iter().all(is_alive));
    assert!(gateway.stats().eips[0].ports_exhausted >= 2);
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
