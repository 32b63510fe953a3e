//! ICMP: echo, what routers say, and what the gateway says itself.

use lab::site::{SERVER, SERVER_2};
use lab::sockets::{receive, retry, tcp, udp};
use lab::{Host, Lab, Site, config, in_both_hooks, wait_for};

/// The hops that a traceroute shows.
fn hops(host: &Host, arguments: &str) -> Vec<String> {
    let text = host.ok(&format!("traceroute -n -q 1 -w 2 {arguments}"));
    let lines = text.lines().skip(1);
    lines
        .map(|line| line.split_whitespace().nth(1).unwrap_or("?").to_owned())
        .collect()
}

/// What one ping, not answered, is told; with who tells it.
fn told(host: &Host, arguments: &str) -> String {
    let text = host.fails(&format!("ping -n -c 1 -W 1 {arguments}"));
    let line = text.lines().find(|line| line.starts_with("From "));
    line.unwrap_or_else(|| panic!("nobody said anything: {text}"))
        .to_owned()
}

in_both_hooks! {
    fn ping_and_traceroute_work_both_ways(hook) {
        let lab = Lab::new("icmp");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&(site.standard() + &config::dnat_any("eip-2", "web-2")));
        let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));

        web_1.ok(&format!("ping -c 5 -i 0.05 -W 1 {SERVER}"));
        site.client.ok("ping -c 5 -i 0.05 -W 1 203.0.113.12");
        // The instance really got them: six with the one that comes first in the next line.
        let echoes = web_2.counter("Icmp.InEchos");
        assert_eq!(echoes, 5);
        // The gateway's own addresses, and an EIP that nothing takes a ping for.
        for address in ["192.168.1.253", "192.168.2.253", "203.0.113.2"] {
            web_1.ok(&format!("ping -c 1 -W 1 {address}"));
        }
        for address in ["203.0.113.2", "203.0.113.11"] {
            site.client.ok(&format!("ping -c 1 -W 1 {address}"));
        }
        assert_eq!(web_1.counter("Icmp.InEchos"), 0);

        let out = ["192.168.1.253", "203.0.113.1", SERVER];
        for method in ["", "-I", "-T -p 80"] {
            assert_eq!(hops(&web_1, &format!("{method} {SERVER}")), out, "{method}");
        }
        let inward = ["198.51.100.1", "203.0.113.2", "203.0.113.12"];
        assert_eq!(hops(&site.client, "-I 203.0.113.12"), inward);
    }
}

/// The errors that come back from where packets go find the socket that sent them.
#[test]
fn errors_reach_the_sender() {
    let lab = Lab::new("errors");
    let site = Site::new(&lab, "tc");
    let dnat = config::dnat("eip-1", "udp", "7000", "web-1", "9000");
    let gateway = site.gateway(&(site.standard() + &dnat));
    let instance = gateway.instance("web-1");

    // Nobody listens there: the host itself says so.
    let web_2 = gateway.instance("web-2");
    for (host, to) in [
        (&instance, format!("{SERVER}:9")),
        (&site.client, "203.0.113.11:7000".into()),
        (&instance, "203.0.113.11:7000".into()),
        (&web_2, "203.0.113.11:7000".into()),
        (&web_2, "192.168.1.10:9000".into()),
    ] {
        let socket = udp(host, "0.0.0.0:0");
        socket.connect(&to).unwrap();
        socket.send(b"anyone?").unwrap();
        let error = retry(|| socket.recv(&mut [0; 16])).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{to}");
    }
    // A router outside says that it knows no way. It is shown as it is.
    site.router.ip("route add unreachable 192.0.2.0/24");
    let text = told(&instance, "192.0.2.7");
    assert!(text.starts_with("From 203.0.113.1 "), "{text}");
    assert!(text.contains("Destination Host Unreachable"), "{text}");
    // A reset passes too.
    let error = tcp(&instance, &format!("{SERVER}:81")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// What the gateway itself says about packets that it does not send on.
#[test]
fn the_gateway_says_why() {
    let lab = Lab::new("says");
    let site = Site::new(&lab, "tc");
    let more = r#"
[[route_table]]
vpc = "vpc"
system = true
route = [{ destination = "198.18.0.0/15", blackhole = true }]

[[security_group]]
id = "sg-tight"
vpc = "vpc"
rule = [{ direction = "egress", policy = "drop", protocol = "icmp", cidr = "198.51.100.11/32" }]

[[instance]]
id = "web-3"
vswitch = "vsw-2"
address = "192.168.2.30"
security_groups = ["sg-tight"]
"#;
    let entries = config::snat("snat", "vswitch = \"vsw-2\"", "[\"eip-2\"]");
    let gateway = site.gateway(&(site.no_nat() + &entries + more));
    let [web_2, web_3] = ["web-2", "web-3"].map(|id| gateway.instance(id));
    let by = "From 192.168.2.253 ";

    for (host, to, what, reason) in [
        (
            &web_2,
            "192.168.1.77",
            "Destination Host Unreachable",
            "no_host",
        ),
        (&web_3, SERVER_2, "Packet filtered", "security_group_out"),
        (
            &web_2,
            "-t 1 198.51.100.10",
            "Time to live exceeded",
            "ttl_expired",
        ),
    ] {
        let text = told(host, &format!("-W 5 {to}"));
        assert!(text.starts_with(by) && text.contains(what), "{to}: {text}");
        assert!(
            gateway.drops(reason) >= 1,
            "{to}: {:?}",
            gateway.stats().drops
        );
    }
    web_3.ok(&format!("ping -c 1 -W 1 {SERVER}"));
    // A source that no entry covers.
    let web_1 = gateway.instance("web-1");
    let text = told(&web_1, SERVER);
    assert!(
        text.starts_with("From 192.168.1.253 ") && text.contains("Packet filtered"),
        "{text}"
    );
    assert_eq!(gateway.drops("no_snat"), 1);
    // A neighbour outside that does not answer.
    web_2.fails("ping -n -c 1 -W 1 203.0.113.77");
    wait_for("the neighbour to be given up", 5.0, || {
        gateway.drops("neighbour_unreachable") == 1
    });
    // A blackhole is silent.
    let text = web_2.fails("ping -n -c 1 -W 1 198.18.0.1");
    assert!(!text.contains("From "), "{text}");
    assert_eq!(gateway.drops("blackhole"), 1);
}

/// Errors are for whoever can be shown a way out: a flood of bad packets is not answered in kind.
#[test]
fn errors_are_rate_limited() {
    let lab = Lab::new("limited");
    let site = Site::new(&lab, "tc");
    let gateway = site.gateway(&site.standard());
    let instance = gateway.instance("web-1");
    let socket = udp(&instance, "0.0.0.0:0");
    socket.set_ttl(1).unwrap();
    let sent = 20_000;
    for port in 0..sent {
        let to = format!("{SERVER}:{}", 10_000 + port % 100);
        // What was told about an earlier one is an error of the socket.
        let _ = socket.send_to(b"too short a life", to);
    }
    wait_for("the packets to be dropped", 5.0, || {
        gateway.drops("ttl_expired") >= sent / 2
    });
    let told = instance.counter("Icmp.InTimeExcds");
    assert!(
        (1..sent / 4).contains(&told),
        "{told} errors for {sent} packets"
    );
    drop(receive(&socket));
}
