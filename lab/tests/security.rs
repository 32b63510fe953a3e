//! Security groups, and who may send what.

use lab::raw::{self, Packet};
use lab::servers::{Web, cannot_get, get};
use lab::site::{CLIENT, SERVER};
use lab::sockets::{TcpEcho, is_alive, receive, tcp, udp};
use lab::{Lab, Site, config, in_both_hooks, wait_for};

/// A group with these rules, with an instance in it.
fn group(id: &str, kind: &str, address: &str, rules: &[&str]) -> String {
    let list: String = rules
        .iter()
        .map(|rule| format!("    {{ {rule} }},\n"))
        .collect();
    format!(
        "\n[[security_group]]\nid = \"sg-{id}\"\nvpc = \"vpc\"\nkind = \"{kind}\"\nrule = [\n{list}]\n"
    ) + &config::instance(id, "vsw-1", address).replace("\"sg\"", &format!("\"sg-{id}\""))
}

#[test]
fn groups_let_in_what_they_say() {
    let lab = Lab::new("groups");
    let site = Site::new(&lab, "auto");
    let gateway = site.gateway(&(site.standard()
        // Nobody from outside, only its own members.
        + &group("a", "normal", "192.168.1.20", &[])
        + &config::instance("a-2", "vsw-2", "192.168.2.20").replace("\"sg\"", "\"sg-a\"")
        // Members of another group, and a part of the Internet less one address.
        + &group("b", "normal", "192.168.1.30", &[
            "direction = \"ingress\", group = \"sg-a\"",
            "direction = \"ingress\", protocol = \"tcp\", ports = 80, priority = 2, cidr = \"198.51.100.0/24\"",
            "direction = \"ingress\", policy = \"drop\", priority = 1, cidr = \"198.51.100.21/32\"",
        ])
        // Not even its own members; and nothing out to port 81.
        + &group("c", "enterprise", "192.168.1.40", &[
            "direction = \"egress\", policy = \"drop\", protocol = \"tcp\", ports = 81, cidr = \"0.0.0.0/0\"",
        ])
        + &config::instance("c-2", "vsw-2", "192.168.2.40").replace("\"sg\"", "\"sg-c\"")
    ).replace("[[nat_gateway.snat]]", &(config::dnat_any("eip-2", "b") + &config::dnat_any("eip-3", "a") + "\n[[nat_gateway.snat]]")));
    let hosts = ["a", "a-2", "b", "c", "c-2"].map(|id| gateway.instance(id));
    let _webs = hosts.each_ref().map(|host| Web::start(host, &[80, 81]));
    let [a, a_2, b, c, c_2] = &hosts;

    let allowed = [
        (a_2, "192.168.1.20", "a"),
        (a, "192.168.2.20", "a-2"),
        (a, "192.168.1.30", "b"),
        (a_2, "192.168.1.30:81", "b"),
        (&site.client, "203.0.113.12", "b"),
    ];
    for (host, to, page) in allowed {
        let text = get(host, &format!("http://{to}/"));
        assert!(
            text.starts_with(&format!("{page} ")),
            "{} to {to}: {text}",
            host.name()
        );
    }
    let refused = [
        (b, "192.168.1.20"),
        (c, "192.168.1.20"),
        (c, "192.168.1.30"),
        (c, "192.168.2.40"),
        (c_2, "192.168.1.40"),
        (&site.client, "203.0.113.12:81"),
        (&site.other, "203.0.113.12"),
        (&site.client, "203.0.113.13"),
    ];
    for (host, to) in refused {
        let before = gateway.drops("security_group_in");
        cannot_get(host, &format!("http://{to}/"));
        assert!(
            gateway.drops("security_group_in") > before,
            "{} to {to}",
            host.name()
        );
    }
    let _outside = Web::start(&site.server, &[80, 81]);
    assert_eq!(
        get(c, &format!("http://{SERVER}/")),
        "server 80 203.0.113.11\n"
    );
    let text = cannot_get(c, &format!("http://{SERVER}:81/"));
    assert!(gateway.drops("security_group_out") >= 1, "{text}");
}

in_both_hooks! {
    /// A source address that is not the sender's own goes nowhere, and is counted.
    fn false_source_addresses_are_dropped(hook) {
        let lab = Lab::new("spoof");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "udp", "7000", "web-1", "7000");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");
        let outside = udp(&site.server, "0.0.0.0:7000");
        let inside = udp(&instance, "0.0.0.0:7000");
        let server = format!("{SERVER}:7000").parse().unwrap();
        let send = |host, from: &str, to| {
            let packet = Packet::udp(format!("{from}:7000").parse().unwrap(), to, b"who?");
            raw::send(host, [&packet.whole()]);
        };
        let mut expected = 0;
        for from in ["192.168.1.11", "192.168.2.10", "203.0.113.11", "8.8.8.8"] {
            send(&instance, from, server);
            expected += 1;
            wait_for("the packet to be counted", 2.0, || gateway.drops("spoofed") == expected);
        }
        assert_eq!(receive(&outside), None);
        // From outside nobody is one of our own, nor an address of the VPC, whoever has it.
        site.client.sysctl("net.ipv4.conf.all.rp_filter", "0");
        let eip = "203.0.113.11:7000".parse().unwrap();
        for from in ["203.0.113.12", "192.168.2.10", "192.168.77.7"] {
            send(&site.client, from, eip);
            expected += 1;
            wait_for("the packet to be counted", 2.0, || gateway.drops("spoofed") == expected);
        }
        assert_eq!(receive(&inside), None);
        // And what is true passes.
        send(&instance, "192.168.1.10", server);
        assert!(receive(&outside).is_some());
        send(&site.client, CLIENT, eip);
        assert!(receive(&inside).is_some());
    }
}

/// A segment that belongs to no connection gets a reset, or nothing, as the gateway is told; it never
/// becomes a session.
#[test]
fn segments_without_a_connection_open_nothing() {
    let lab = Lab::new("state");
    let site = Site::new(&lab, "auto");
    let quick = "[nat_gateway.timeouts]\ntcp_established = 2\ntcp_transitory = 1\n";
    let gateway = site.gateway(&(site.no_nat() + quick + config::SNAT));
    let instance = gateway.instance("web-1");
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7000");
    let stream = tcp(&instance, &format!("{SERVER}:7000")).unwrap();
    assert!(is_alive(&stream));
    wait_for("the idle session to end", 6.0, || {
        gateway.sessions().is_empty()
    });
    // Its end that still believes in it is told, and does not wait in vain.
    let begin = std::time::Instant::now();
    assert!(!is_alive(&stream));
    // Waiting in vain takes two seconds.
    assert!(begin.elapsed().as_millis() < 1_900);
    assert!(gateway.sessions().is_empty());
    assert_eq!(gateway.drops("tcp_out_of_state"), 1);
    assert!(instance.counter("Tcp.EstabResets") >= 1);
}
