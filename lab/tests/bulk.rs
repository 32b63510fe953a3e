//! Much of it: throughput both ways, and many flows.

use lab::site::SERVER;
use lab::sockets::{UdpEcho, receive, udp};
use lab::{Host, Lab, Site, config, in_both_hooks, iperf};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Bytes a packet, on average, that a host got by a device.
fn packet_size(host: &Host, device: &str) -> u64 {
    let read = |what: &str| -> u64 {
        let text = host.ip(&format!("-s -j link show {device}"));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json[0]["stats64"]["rx"][what].as_u64().unwrap()
    };
    read("bytes") / read("packets")
}

in_both_hooks! {
    fn tcp_in_bulk_both_ways(hook) {
        let lab = Lab::alone("bulk");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "tcp", "5201", "web-1", "5201");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");
        let _outside = iperf::serve(&site.server, 5201);
        let _inside = iperf::serve(&instance, 5201);
        for (what, host, arguments) in [
            ("instance to Internet", &instance, format!("-c {SERVER} -t 1")),
            ("and back", &instance, format!("-c {SERVER} -t 1 -R")),
            ("Internet to instance", &site.client, "-c 203.0.113.11 -t 1".into()),
            ("and back", &site.client, "-c 203.0.113.11 -t 1 -R".into()),
        ] {
            let report = iperf::run(host, &arguments);
            println!("{hook}, {what}: {report}");
            assert!(report.received > 5_000_000, "{what}: {report}");
        }
        // At TC large segments stay what they are, all the way.
        if hook == "tc" {
            for (host, device) in [(&site.server, "eth0"), (&instance, "eth0")] {
                let size = packet_size(host, device);
                assert!(size > 2_000, "{} got {size} bytes a packet", host.name());
            }
        }
    }

    fn udp_in_bulk_both_ways(hook) {
        let lab = Lab::alone("bulk-udp");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "tcp", "5201", "web-1", "5201")
            + &config::dnat("eip-1", "udp", "5201", "web-1", "5201");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");
        let _outside = iperf::serve(&site.server, 5201);
        let _inside = iperf::serve(&instance, 5201);
        let mut sent = 0;
        for (host, to) in [(&instance, SERVER), (&site.client, "203.0.113.11")] {
            for way in ["", "-R"] {
                let report = iperf::run(host, &format!("-c {to} -u -b 50M -l 1400 -t 1 {way}"));
                println!("{hook}, to {to} {way}: {report}");
                assert!(report.datagrams > 3_000, "{report}");
                // A receiver that is not given the processor for a while loses some by itself.
                assert!(report.lost * 10 <= report.datagrams, "{report}");
                sent += report.datagrams;
            }
        }
        // The gateway has sent all of them on.
        let sessions = gateway.sessions_of("udp", 5201);
        let passed: u64 = sessions.iter().map(|s| s.packets_out + s.packets_in).sum();
        assert!(passed >= sent, "{passed} of {sent}");
        assert!(gateway.stats().drops.iter().all(|drop| drop.packets == 0));
    }

    fn five_thousand_udp_flows_at_once(hook) {
        let lab = Lab::new("flows");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&site.standard());
        let instance = gateway.instance("web-1");
        let echo = UdpEcho::start(&site.server, "0.0.0.0:7000");
        let to = format!("{SERVER}:7000");
        let sockets: Vec<_> = (0..5_000)
            .map(|n| {
                let socket = udp(&instance, "0.0.0.0:0");
                for round in 0..3u32 {
                    let data = [n as u32, round].map(u32::to_be_bytes).concat();
                    socket.send_to(&data, &to).unwrap();
                    let (answer, _) = receive(&socket).unwrap_or_else(|| panic!("flow {n} lost {round}"));
                    assert_eq!(answer, data);
                }
                socket
            })
            .collect();
        assert_eq!(gateway.stats().sessions, 5_000);
        // Each has a port of its own, which it kept.
        assert_eq!(echo.seen().len(), 15_000);
        assert_eq!(echo.peers().len(), 5_000);
        let mut sessions = gateway.sessions();
        assert_eq!(sessions.len(), 5_000);
        sessions.retain(|s| (s.packets_out, s.packets_in, s.offloaded) == (3, 3, true));
        assert_eq!(sessions.len(), 5_000);
        drop(sockets);
    }

    /// An instance sends what no flow takes, more of it than the queue to the daemon holds; another one's first packets, which
    /// come after that, are not lost.
    fn one_that_floods_keeps_no_other_from_the_daemon(hook) {
        let lab = Lab::new("flood");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&site.standard());
        let [flooder, other] = ["web-1", "web-2"].map(|name| gateway.instance(name));
        let _echo = UdpEcho::start(&site.server, "0.0.0.0:7000");
        let to = format!("{SERVER}:7000");
        let sockets: Vec<_> = (0..100).map(|_| udp(&other, "0.0.0.0:0")).collect();
        // Both know the gateway's MAC address.
        for host in [&flooder, &other] {
            let socket = udp(host, "0.0.0.0:0");
            socket.send_to(b"first", &to).unwrap();
            receive(&socket).expect("an answer");
        }
        // It reads nothing meanwhile: then what is lost does not depend on how fast it is.
        let daemon = Pid::from_raw(gateway.pid() as i32);
        kill(daemon, Signal::SIGSTOP).unwrap();
        let flood = udp(&flooder, "0.0.0.0:0");
        for n in 0..180_000u32 {
            // Each to another port: none has a flow.
            let to = std::net::SocketAddrV4::new(SERVER.parse().unwrap(), 10_000 + (n % 40_000) as u16);
            // What its own socket cannot hold goes nowhere.
            let _ = flood.send_to(b"flood", to);
        }
        for socket in &sockets {
            socket.send_to(b"other", &to).unwrap();
        }
        kill(daemon, Signal::SIGCONT).unwrap();
        for (n, socket) in sockets.iter().enumerate() {
            receive(socket).unwrap_or_else(|| panic!("socket {n} has no answer"));
        }
        let ports = gateway.ports();
        let full = |id: &str| ports.iter().find(|it| it.id == id).unwrap().queue_full;
        assert!(full("web-1") > 10_000, "{ports:?}");
        assert_eq!(full("web-2"), 0, "{ports:?}");
        assert_eq!(gateway.drops("queue_full"), full("web-1"));
    }
}
