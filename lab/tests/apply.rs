//! Changing a running gateway: all of it or nothing.

use lab::servers::{Web, cannot_get, get};
use lab::site::{CLIENT, SERVER};
use lab::sockets::{TcpEcho, is_alive, tcp};
use lab::{Lab, Site, config, wait_for};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

#[test]
fn what_is_wrong_changes_nothing_and_names_the_line() {
    let lab = Lab::new("wrong");
    let site = Site::new(&lab, "auto");
    let good = site.standard() + &config::dnat("eip-1", "tcp", "80", "web-1", "80");
    let gateway = site.gateway(&good);
    let instance = gateway.instance("web-1");
    let _web = Web::start(&instance, &[80]);
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
    let stream = tcp(&instance, &format!("{SERVER}:7001")).unwrap();

    let line_of = |text: &str, what: &str| {
        let line = text.lines().position(|line| line.contains(what)).unwrap();
        format!("line {}:", line + 1)
    };
    let unknown = good.replace("eips = [\"eip-1\"]", "eips = [\"eip-9\"]");
    let twice = good.clone() + &config::dnat("eip-1", "tcp", "80", "web-2", "80");
    let not_toml = good.clone() + "[[vpc\n";
    let key = good.replace("external_port", "external_prot");
    let name = good.replace(lab.name(), "somebody-else");
    for (text, line, part) in [
        (&unknown, line_of(&unknown, "eip-9"), "eip-9"),
        (&twice, format!("line {}:", twice.lines().count() - 2), "80"),
        (&not_toml, format!("line {}:", not_toml.lines().count()), ""),
        (&key, line_of(&key, "external_prot"), "external_prot"),
        (&name, String::new(), "somebody-else"),
    ] {
        let message = gateway.try_apply(text).unwrap_err();
        assert!(
            message.contains(&line) && message.contains(part),
            "{line} {part}: {message}"
        );
        assert_eq!(
            get(&site.client, "http://203.0.113.11/"),
            format!("web-1 80 {CLIENT}\n")
        );
        assert!(is_alive(&stream));
    }
    // Right in itself, but there is no such interface: found out while it is done, so undone.
    let device = good.clone()
        + &config::instance("web-3", "vsw-2", "192.168.2.30")
        + &config::instance("lost", "vsw-2", "192.168.2.40")
        + "device = \"not-there\"\n"
        + &config::dnat("eip-2", "tcp", "80", "web-2", "80");
    let message = gateway.try_apply(&device).unwrap_err();
    assert!(message.contains("not-there"), "{message}");
    let ports: Vec<String> = gateway.ports().into_iter().map(|port| port.id).collect();
    assert_eq!(ports, ["wan", "web-1", "web-2"]);
    let namespaces = lab.run("ip netns list").ok();
    assert!(
        !namespaces.contains(&format!("{}-web-3", lab.name())),
        "{namespaces}"
    );
    assert!(is_alive(&stream));
    // And the check of a file that is right only says what it would do.
    let path = site.gw.write(
        "check.toml",
        good.clone() + &config::dnat("eip-2", "tcp", "81", "web-2", "80"),
    );
    let text = gateway
        .cli(&format!("apply --check {}", path.display()))
        .ok();
    assert!(text.contains("ngw"), "{text}");
    cannot_get(&site.client, "http://203.0.113.12:81/");
}

/// Sessions that a change forbids end at once; those that it allows go on.
#[test]
fn a_change_ends_what_it_forbids() {
    let lab = Lab::new("forbids");
    let site = Site::new(&lab, "auto");
    let both = site.no_nat()
        + &config::snat("one", "vswitch = \"vsw-1\"", "[\"eip-1\"]")
        + &config::snat("two", "vswitch = \"vsw-2\"", "[\"eip-2\"]")
        + &config::dnat("eip-3", "tcp", "9000", "web-1", "9000");
    let gateway = site.gateway(&both);
    let hosts = ["web-1", "web-2"].map(|id| gateway.instance(id));
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
    let _inside = TcpEcho::start(&hosts[0], "0.0.0.0:9000");
    let open = || {
        (
            tcp(&hosts[0], &format!("{SERVER}:7001")).unwrap(),
            tcp(&hosts[1], &format!("{SERVER}:7001")).unwrap(),
            tcp(&site.client, "203.0.113.13:9000").unwrap(),
        )
    };

    // The entry of one goes.
    let (one, two, inward) = open();
    assert!(is_alive(&one) && is_alive(&two) && is_alive(&inward));
    gateway.apply(&both.replace(
        &config::snat("two", "vswitch = \"vsw-2\"", "[\"eip-2\"]"),
        "",
    ));
    assert!(is_alive(&one) && is_alive(&inward));
    assert!(!is_alive(&two));
    assert!(gateway.sessions().iter().all(|s| s.eni != "web-2"));

    // The security group closes a port, and forbids an address.
    gateway.apply(&both);
    let (one, two, inward) = open();
    let tight = both
        .replace("ports = \"9000-9999\"", "ports = \"9001-9999\"")
        .replace(
            "rule = [",
            "rule = [\n{ direction = \"egress\", policy = \"drop\", cidr = \"198.51.100.10/32\" },",
        );
    gateway.apply(&tight);
    assert!(!is_alive(&one) && !is_alive(&two) && !is_alive(&inward));
    wait_for("the sessions to end", 2.0, || gateway.sessions().is_empty());

    // Another EIP for the same clients: those that have the old one keep it as long as the gateway has
    // it, new ones get the other.
    gateway.apply(&both);
    let (one, two, inward) = open();
    let other = both.replace("[\"eip-2\"]", "[\"eip-3\"]");
    gateway.apply(&other);
    assert!(is_alive(&one) && is_alive(&two) && is_alive(&inward));
    let again = tcp(&hosts[1], &format!("{SERVER}:7001")).unwrap();
    assert!(is_alive(&again));
    let sessions = gateway.sessions();
    let seen_as = sessions
        .iter()
        .filter(|s| s.eni == "web-2")
        .map(|s| s.translated.src);
    let eips = ["203.0.113.12", "203.0.113.13"].map(|eip| eip.parse().unwrap());
    assert_eq!(seen_as.collect::<BTreeSet<Ipv4Addr>>(), eips.into());
    gateway.apply(&other.replace("\"eip-2\", ", ""));
    assert!(is_alive(&one) && is_alive(&again) && is_alive(&inward));
    assert!(!is_alive(&two));
}

/// Instances come and go with the configuration, and with them what they are made of.
#[test]
fn instances_come_and_go() {
    let lab = Lab::new("come");
    let site = Site::new(&lab, "auto");
    let few = site.standard();
    let more = few.clone() + &config::instance("web-3", "vsw-2", "192.168.2.30");
    let gateway = site.gateway(&few);
    for _ in 0..3 {
        gateway.apply(&more);
        let web_3 = gateway.instance("web-3");
        web_3.ok(&format!("ping -c 1 -W 1 {SERVER}"));
        assert_eq!(gateway.ports().len(), 4);
        gateway.apply(&few);
        assert_eq!(gateway.ports().len(), 3);
        let namespaces = lab.run("ip netns list").ok();
        assert!(!namespaces.contains(web_3.namespace()), "{namespaces}");
        assert_eq!(site.gw.ip("-o link show type veth").lines().count(), 3);
    }
    // A new address and a new size for one that stays.
    gateway.apply(&few.replace("192.168.1.10", "192.168.1.99"));
    let web_1 = gateway.instance("web-1");
    web_1.ok(&format!("ping -c 1 -W 1 {SERVER}"));
    assert!(web_1.ip("-4 address show eth0").contains("192.168.1.99/24"));
    assert!(!web_1.ip("-4 address show eth0").contains("192.168.1.10/24"));
}

/// What was applied last goes on after a restart, unless somebody has edited the file since.
#[test]
fn the_last_word_counts_after_a_restart() {
    let lab = Lab::new("last");
    let site = Site::new(&lab, "auto");
    let port = |port: &str| site.standard() + &config::dnat("eip-1", "tcp", port, "web-1", "80");
    let (first, second, third) = (port("8001"), port("8002"), port("8003"));
    let mut gateway = site.gateway(&first);
    let instance = gateway.instance("web-1");
    let _web = Web::start(&instance, &[80]);
    let open = || {
        let ports = 8001..=8003u16;
        let answers = |port: &u16| {
            let url = format!("http://203.0.113.11:{port}/");
            site.client.run(&format!("curl -sS -m 0.5 {url}")).success()
        };
        ports.filter(answers).collect::<Vec<u16>>()
    };

    assert_eq!(open(), [8001]);
    gateway.apply(&second);
    assert_eq!(open(), [8002]);
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        gateway.restart(signal);
        assert_eq!(open(), [8002], "{signal}");
    }
    gateway.edit(&third);
    gateway.restart(Signal::SIGTERM);
    assert_eq!(open(), [8003]);
    gateway.restart(Signal::SIGKILL);
    assert_eq!(open(), [8003]);
}

/// One name, one daemon. The first does not notice that a second was tried.
#[test]
fn a_second_daemon_is_refused() {
    let lab = Lab::new("second");
    let site = Site::new(&lab, "auto");
    let gateway =
        site.gateway(&(site.standard() + &config::dnat("eip-1", "tcp", "80", "web-1", "80")));
    let instance = gateway.instance("web-1");
    let _web = Web::start(&instance, &[80]);
    let line = gateway.command();
    let other_socket = line.replace("control.sock", "control-2.sock");
    for (line, part) in [
        // With the same files, and with none in common but the name.
        (&other_socket, "runs already"),
        (
            &other_socket.replace("/state", "/state-2"),
            "another daemon is running",
        ),
        (
            &line.replace("/state", "/state-2"),
            "another daemon is running",
        ),
    ] {
        let message = lab.run(line).fails();
        assert!(message.contains(part), "{message}");
        assert_eq!(
            get(&site.client, "http://203.0.113.11/"),
            format!("web-1 80 {CLIENT}\n")
        );
        assert!(gateway.sessions().iter().any(|s| s.direction == "in"));
    }
}
