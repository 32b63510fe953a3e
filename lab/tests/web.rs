//! Web requests: what most people want from a gateway.

use lab::servers::{Web, fetch, get};
use lab::site::{CLIENT, SERVER};
use lab::{Host, Lab, Site, config, in_both_hooks};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

in_both_hooks! {
    fn requests_go_out_as_the_eip_and_come_in_by_it(hook) {
        let lab = Lab::new("web");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "tcp", "8080", "web-1", "80");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");
        let outside = Web::start(&site.server, &[80]);
        let inside = Web::start(&instance, &[80]);

        assert_eq!(get(&instance, &format!("http://{SERVER}/")), "server 80 203.0.113.11\n");
        assert!(outside.log()[0].starts_with("203.0.113.11:"), "{:?}", outside.log());
        assert_eq!(get(&site.client, "http://203.0.113.11:8080/"), format!("web-1 80 {CLIENT}\n"));
        assert!(inside.log()[0].starts_with(&format!("{CLIENT}:")), "{:?}", inside.log());

        let content = outside.publish("file", 5_000_000);
        fetch(&instance, &format!("http://{SERVER}/files/file"), &content);
        let content = inside.publish("file", 5_000_000);
        fetch(&site.client, "http://203.0.113.11:8080/files/file", &content);

        // All but the first packets are the kernel's.
        let stats = gateway.stats();
        assert!(stats.packets.kernel > 100, "{:?}", stats.packets);
        assert!(stats.packets.slow_path < 100, "{:?}", stats.packets);
        assert!(gateway.ports().iter().all(|port| port.hook == hook), "{:?}", gateway.ports());
    }

    fn ten_thousand_short_connections_succeed(hook) {
        let lab = Lab::new("short");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "tcp", "80", "web-1", "80");
        let timeouts = "[nat_gateway.timeouts]\ntcp_transitory = 2\n";
        let gateway = site.gateway(&(site.no_nat() + timeouts + config::SNAT + &dnat));
        let instance = gateway.instance("web-1");
        let _outside = Web::start(&site.server, &[80]);
        let _inside = Web::start(&instance, &[80]);

        requests(&instance, &format!("{SERVER}:80"), 5_000, "server 80 203.0.113.11\n");
        requests(&site.client, "203.0.113.11:80", 5_000, &format!("web-1 80 {CLIENT}\n"));
        let stats = gateway.stats();
        assert!(stats.opened >= 10_000, "{stats:?}");
        // They were closed, so they are forgotten soon, and their ports are free again.
        lab::wait_for("the sessions to end", 15.0, || gateway.stats().sessions == 0);
        let stats = gateway.stats();
        assert_eq!((stats.opened, stats.opened), (stats.closed, 10_000));
        assert!(stats.eips.iter().all(|eip| eip.ports_used == [0; 3]), "{:?}", stats.eips);
    }
}

/// Makes so many requests, 8 at a time, each by a connection of its own; each must succeed.
fn requests(host: &Host, to: &str, count: usize, answer: &str) {
    let to: SocketAddr = to.parse().unwrap();
    let request = || -> std::io::Result<String> {
        let patience = Duration::from_secs(10);
        let mut stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let work = || {
        for n in 0..count / 8 {
            let text = request().unwrap_or_else(|error| panic!("request {n}: {error}"));
            assert!(text.ends_with(answer), "{text}");
        }
    };
    host.inside(|| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(work);
            }
        });
    });
}
