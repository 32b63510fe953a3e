//! DNAT entries, EIPs of instances, precedence, hairpins.

use lab::servers::{Web, cannot_get, get};
use lab::site::{CLIENT, OTHER, SERVER, SERVER_2};
use lab::sockets::{UdpEcho, echoes, receive, udp};
use lab::{Lab, Site, config, in_both_hooks, wait_for};

in_both_hooks! {
    fn a_port_a_range_and_a_whole_address_are_mapped(hook) {
        let lab = Lab::new("dnat");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&(site.standard()
            + &config::dnat("eip-1", "tcp", "8080", "web-1", "80")
            + &config::dnat("eip-1", "tcp", "\"8100-8109\"", "web-2", "\"9100-9109\"")
            + &config::dnat("eip-1", "udp", "\"8100-8109\"", "web-1", "\"9100-9109\"")
            + &config::dnat_any("eip-2", "web-2")));
        let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _web_1 = Web::start(&web_1, &[80]);
        let _web_2 = Web::start(&web_2, &[80, 9100, 9105, 9109, 10000]);
        let page = |at: &str| get(&site.client, &format!("http://{at}/"));

        assert_eq!(page("203.0.113.11:8080"), format!("web-1 80 {CLIENT}\n"));
        for n in [0, 5, 9] {
            let expected = format!("web-2 {} {CLIENT}\n", 9100 + n);
            assert_eq!(page(&format!("203.0.113.11:{}", 8100 + n)), expected);
        }
        assert_eq!(page("203.0.113.12:80"), format!("web-2 80 {CLIENT}\n"));
        assert_eq!(page("203.0.113.12:9105"), format!("web-2 9105 {CLIENT}\n"));
        site.client.ok("ping -c 1 -W 1 203.0.113.12");
        // The same external port of another protocol leads elsewhere.
        let _echo = UdpEcho::start(&web_1, "0.0.0.0:9103");
        let socket = udp(&site.client, "0.0.0.0:0");
        assert!(echoes(&socket, "203.0.113.11:8103", b"range"));

        // What is beside a mapping is dropped and counted, and so is what the security group minds.
        for port in [80, 8099, 8110] {
            cannot_get(&site.client, &format!("http://203.0.113.11:{port}/"));
        }
        assert!(gateway.drops("not_mapped") >= 3);
        cannot_get(&site.client, "http://203.0.113.12:10000/");
        assert!(gateway.drops("security_group_in") >= 1);
        cannot_get(&site.client, "http://203.0.113.13/");
    }

    fn an_instance_reaches_others_and_itself_through_an_eip(hook) {
        let lab = Lab::new("hairpin");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&(site.standard()
            + &config::dnat("eip-1", "tcp", "8080", "web-1", "80")
            + &config::dnat("eip-1", "udp", "7000", "web-1", "9000")
            + &config::dnat_any("eip-2", "web-2")));
        let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _web_1 = Web::start(&web_1, &[80]);
        let _web_2 = Web::start(&web_2, &[80]);
        for (host, url, page) in [
            // From one to the other, seen as the EIP; and each to itself.
            (&web_1, "203.0.113.12", "web-2 80 203.0.113.11\n"),
            (&web_2, "203.0.113.11:8080", "web-1 80 203.0.113.12\n"),
            (&web_1, "203.0.113.11:8080", "web-1 80 203.0.113.11\n"),
            (&web_2, "203.0.113.12", "web-2 80 203.0.113.12\n"),
        ] {
            assert_eq!(get(host, &format!("http://{url}/")), page, "{} to {url}", host.name());
        }
        for host in [&web_1, &web_2] {
            host.ok("ping -c 2 -i 0.1 -W 1 203.0.113.12");
        }
        let _echo = UdpEcho::start(&web_1, "0.0.0.0:9000");
        for host in [&web_1, &web_2] {
            let socket = udp(host, "0.0.0.0:0");
            for length in [10, 3_000] {
                assert!(echoes(&socket, "203.0.113.11:7000", &vec![7; length]), "{}", host.name());
            }
        }
        let hairpins = gateway.sessions();
        assert!(hairpins.iter().filter(|s| s.direction == "hairpin").count() >= 4);
        // Nothing of that left by the uplink.
        assert_eq!(site.router.counter("Ip.ForwDatagrams"), 0);
    }

    /// Without an SNAT entry nothing goes out, but what the gateway's EIPs lead to is reached, by oneself too.
    fn an_eip_is_reached_without_an_snat_entry(hook) {
        let lab = Lab::new("hairpin-only");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&(site.no_nat()
            + &config::dnat("eip-1", "tcp", "8080", "web-1", "80")
            + &config::dnat("eip-1", "udp", "\"7000-7009\"", "web-1", "\"9000-9009\"")));
        let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let _web = Web::start(&web_1, &[80]);
        let _echo = UdpEcho::start(&web_1, "0.0.0.0:9005");
        for host in [&web_1, &web_2] {
            assert_eq!(get(host, "http://203.0.113.11:8080/"), "web-1 80 203.0.113.11\n");
            let socket = udp(host, "0.0.0.0:0");
            for length in [10, 3_000] {
                assert!(echoes(&socket, "203.0.113.11:7005", &vec![7; length]), "{}", host.name());
            }
            host.ok("ping -c 1 -W 1 203.0.113.11");
            host.fails(&format!("ping -c 1 -W 1 {SERVER}"));
        }
        assert_eq!(gateway.drops("no_snat"), 2);
    }
}

/// For what an instance sends out its own EIP comes first, then an IP mapping, then the SNAT entry with
/// the longest prefix.
#[test]
fn the_closest_translation_wins() {
    let lab = Lab::new("first");
    let site = Site::new(&lab, "auto");
    let eips = "\n[[eip]]\nid = \"eip-any\"\naddress = \"203.0.113.21\"\n";
    let config = site
        .no_nat()
        .replace("\"eip-3\"]", "\"eip-3\", \"eip-any\"]")
        + &config::snat("all", "vpc = true", "[\"eip-1\"]")
        + &config::snat("switch", "vswitch = \"vsw-2\"", "[\"eip-2\"]")
        + &config::snat("two", "source = \"192.168.2.32/31\"", "[\"eip-3\"]")
        + &config::dnat_any("eip-any", "mapped")
        + eips
        + &config::instance("one", "vsw-2", "192.168.2.33")
        + &config::instance("mapped", "vsw-2", "192.168.2.32")
        + &config::instance("bound", "vsw-2", "192.168.2.40")
        + "\n[[eip]]\nid = \"eip-bound\"\naddress = \"203.0.113.20\"\ninstance = \"bound\"\n";
    let gateway = site.gateway(&config);
    let _web = Web::start(&site.server, &[80]);
    for (id, eip) in [
        ("web-1", "203.0.113.11"),
        ("web-2", "203.0.113.12"),
        ("one", "203.0.113.13"),
        ("mapped", "203.0.113.21"),
        ("bound", "203.0.113.20"),
    ] {
        let page = get(&gateway.instance(id), &format!("http://{SERVER}/"));
        assert_eq!(page, format!("server 80 {eip}\n"), "{id}");
    }
    // The bound EIP works inwards too, for all protocols.
    let bound = gateway.instance("bound");
    let _web = Web::start(&bound, &[80]);
    assert_eq!(
        get(&site.client, "http://203.0.113.20/"),
        format!("bound 80 {CLIENT}\n")
    );
    site.client.ok("ping -c 1 -W 1 203.0.113.20");
    assert_eq!(
        get(&bound, "http://203.0.113.20/"),
        "bound 80 203.0.113.20\n"
    );
}

/// A mapping does not depend on where packets go, and keeps the port where it can; ports of DNAT entries
/// stay clear of it.
#[test]
fn a_mapping_is_endpoint_independent_and_keeps_its_port() {
    let lab = Lab::new("mapping");
    let site = Site::new(&lab, "auto");
    let dnat = config::dnat("eip-1", "udp", "4002", "web-2", "9000");
    let gateway = site.gateway(&(site.standard() + &dnat));
    let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
    let first = UdpEcho::start(&site.server, &format!("{SERVER}:7000"));
    let second = UdpEcho::start(&site.server, &format!("{SERVER_2}:7001"));
    let third = UdpEcho::start(&site.other, "0.0.0.0:7002");
    let say = |host, from: &str| {
        let socket = udp(host, from);
        let addresses = [
            format!("{SERVER}:7000"),
            format!("{SERVER_2}:7001"),
            format!("{OTHER}:7002"),
        ];
        for to in addresses {
            assert!(echoes(&socket, &to, b"hello"), "{from} to {to}");
        }
        socket
    };

    let _kept = say(&web_1, "0.0.0.0:4001");
    let expected = vec!["203.0.113.11:4001".parse().unwrap()];
    for echo in [&first, &second, &third] {
        assert_eq!(echo.seen(), expected);
    }
    // Another instance with the same port gets another one, one with the port of a DNAT entry too.
    for (host, from) in [(&web_2, "0.0.0.0:4001"), (&web_1, "0.0.0.0:4002")] {
        let before = first.seen().len();
        let _socket = say(host, from);
        let new = first.seen()[before];
        assert_eq!(new.ip().to_string(), "203.0.113.11");
        assert!(
            new.port() != 4001 && new.port() != 4002 && new.port() >= 1024,
            "{new}"
        );
        assert_eq!(second.seen()[before], new);
        assert_eq!(third.seen()[before], new);
    }
}

/// What an instance has not asked for does not get in by its mapping, unless the gateway is told so.
#[test]
fn filtering_is_address_and_port_dependent_or_endpoint_independent() {
    let lab = Lab::new("filtering");
    let site = Site::new(&lab, "auto");
    let open = config::GATEWAY.to_owned() + "filtering = \"endpoint-independent\"\n";
    let closed = site.standard();
    let open = closed.replace(config::GATEWAY, &open);
    let gateway = site.gateway(&closed);
    let instance = gateway.instance("web-1");
    let _server = UdpEcho::start(&site.server, &format!("{SERVER}:7000"));
    let stranger = udp(&site.other, "0.0.0.0:0");
    let knocks = || {
        let inside = udp(&instance, "0.0.0.0:9000");
        assert!(echoes(&inside, &format!("{SERVER}:7000"), b"hello"));
        stranger.send_to(b"knock", "203.0.113.11:9000").unwrap();
        receive(&inside)
    };
    assert_eq!(knocks(), None);
    assert_eq!(gateway.drops("not_mapped"), 1);
    gateway.apply(&open);
    let (data, from) = knocks().expect("the knock gets in");
    assert_eq!(
        (&data[..], from.ip().to_string()),
        (&b"knock"[..], OTHER.into())
    );
    // The security group is asked all the same: it does not mention this port.
    let inside = udp(&instance, "0.0.0.0:8999");
    assert!(echoes(&inside, &format!("{SERVER}:7000"), b"hello"));
    stranger.send_to(b"knock", "203.0.113.11:8999").unwrap();
    assert_eq!(receive(&inside), None);
    assert_eq!(gateway.drops("security_group_in"), 1);
}

/// Sessions end when they have been idle, and what they held is free again.
#[test]
fn idle_sessions_end() {
    let lab = Lab::new("idle");
    let site = Site::new(&lab, "auto");
    let timeouts = "[nat_gateway.timeouts]\nudp = 2\nicmp = 1\n";
    let gateway = site.gateway(&(site.no_nat() + timeouts + config::SNAT));
    let instance = gateway.instance("web-1");
    let echo = UdpEcho::start(&site.server, "0.0.0.0:7000");
    let to = format!("{SERVER}:7000");
    let socket = udp(&instance, "0.0.0.0:4001");
    assert!(echoes(&socket, &to, b"hello"));
    instance.ok(&format!("ping -c 1 -W 1 {SERVER}"));
    assert_eq!(gateway.sessions().len(), 2);
    // The kernel alone keeps it alive: only the first packet went another way.
    for _ in 0..8 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(echoes(&socket, &to, b"still there"));
    }
    let sessions = gateway.sessions();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!((sessions[0].packets_out, sessions[0].packets_in), (9, 9));
    wait_for("the session to end", 6.0, || gateway.sessions().is_empty());
    let stats = gateway.stats();
    assert_eq!(stats.eips[0].ports_used, [0; 3]);
    // What comes late finds nothing.
    let late = udp(&site.client, "0.0.0.0:0");
    late.send_to(b"late", "203.0.113.11:4001").unwrap();
    assert_eq!(receive(&socket), None);
    assert!(echoes(&socket, &to, b"again"));
    assert_eq!(echo.peers().len(), 1);
}
