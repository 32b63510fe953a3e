//! What happens to a gateway in its life: links fail, namespaces vanish, settings change at a restart.

use lab::servers::{Web, get};
use lab::site::{CLIENT, SERVER};
use lab::sockets::{TcpEcho, is_alive, tcp};
use lab::{Lab, Site, config, wait_for};
use nix::sys::signal::Signal;
use std::path::Path;

/// The table is made once: another size at a restart means another table, which the log says.
#[test]
fn another_size_of_the_table_ends_the_sessions() {
    let lab = Lab::new("size");
    let site = Site::new(&lab, "auto");
    let config = site.standard();
    let mut gateway = site.gateway(&config);
    let instance = gateway.instance("web-1");
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
    let to = format!("{SERVER}:7001");
    let stream = tcp(&instance, &to).unwrap();
    assert!(is_alive(&stream));
    gateway.edit(&config.replace("65536", "131072"));
    gateway.restart(Signal::SIGTERM);
    let log = gateway.log();
    assert!(
        log.contains("sessions of the earlier gateway have ended"),
        "{log}"
    );
    assert_eq!(gateway.stats().max_sessions, 131_072);
    assert!(!is_alive(&stream));
    assert!(is_alive(&tcp(&instance, &to).unwrap()));
}

/// From TC to XDP and back at a restart.
#[test]
fn sessions_survive_another_hook() {
    let lab = Lab::new("hook");
    let site = Site::new(&lab, "xdp");
    let xdp = site.standard();
    let tc = xdp.replace("\"xdp\"", "\"tc\"");
    let mut gateway = site.gateway(&tc);
    let instance = gateway.instance("web-1");
    let _echo = TcpEcho::start(&site.server, "0.0.0.0:7001");
    let stream = tcp(&instance, &format!("{SERVER}:7001")).unwrap();
    for (config, hook) in [(&xdp, "xdp"), (&tc, "tc")] {
        gateway.edit(config);
        gateway.restart(Signal::SIGTERM);
        assert!(is_alive(&stream));
        assert!(gateway.ports().iter().all(|port| port.hook == hook));
        assert!(tcp(&instance, &format!("{SERVER}:7001")).is_ok());
    }
    for (config, hook) in [(&xdp, "xdp"), (&tc, "tc")] {
        gateway.apply(config);
        assert!(is_alive(&stream));
        assert!(gateway.ports().iter().all(|port| port.hook == hook));
        assert!(tcp(&instance, &format!("{SERVER}:7001")).is_ok());
    }
}

/// A cable that is pulled and plugged in again.
#[test]
fn links_go_down_and_come_up() {
    let lab = Lab::new("cable");
    let site = Site::new(&lab, "auto");
    site.router.ip("link set dev up down");
    let gateway =
        site.gateway(&(site.standard() + &config::dnat("eip-1", "tcp", "80", "web-1", "80")));
    let instance = gateway.instance("web-1");
    let _web = Web::start(&instance, &[80]);
    instance.fails(&format!("ping -c 1 -W 1 {SERVER}"));
    for _ in 0..2 {
        site.router.ip("link set dev up up");
        wait_for("the way out", 10.0, || {
            instance.run(&format!("ping -c 1 -W 1 {SERVER}")).success()
        });
        assert_eq!(
            get(&site.client, "http://203.0.113.11/"),
            format!("web-1 80 {CLIENT}\n")
        );
        site.router.ip("link set dev up down");
        instance.fails(&format!("ping -c 1 -W 1 {SERVER}"));
    }
}

/// What somebody takes away, the next change puts back.
#[test]
fn a_change_puts_back_what_is_gone() {
    let lab = Lab::new("back");
    let site = Site::new(&lab, "auto");
    let config = site.standard() + &config::dnat("eip-1", "tcp", "80", "web-1", "80");
    let gateway = site.gateway(&config);
    let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
    web_2.ok(&format!("ping -c 1 -W 1 {SERVER}"));

    // An instance's namespace.
    lab.run(&format!("ip netns delete {}", web_1.namespace()))
        .ok();
    wait_for("the namespace to be gone", 5.0, || {
        site.gw.ip("-o link show type veth").lines().count() == 2
    });
    gateway.apply(&config);
    let _web = Web::start(&web_1, &[80]);
    assert_eq!(
        get(&site.client, "http://203.0.113.11/"),
        format!("web-1 80 {CLIENT}\n")
    );
    // The uplink.
    site.gw.ip("link delete wan");
    web_2.fails(&format!("ping -c 1 -W 1 {SERVER}"));
    let message = gateway.try_apply(&config).unwrap_err();
    assert!(message.contains("wan"), "{message}");
    lab.link(
        (&site.gw, "wan", ""),
        (&site.router, "up", "203.0.113.1/24"),
    );
    site.router.ip("route replace default via 203.0.113.2");
    gateway.apply(&config);
    web_2.ok(&format!("ping -c 2 -W 1 {SERVER}"));
    assert_eq!(
        get(&site.client, "http://203.0.113.11/"),
        format!("web-1 80 {CLIENT}\n")
    );
    // Its address and its route.
    web_1.ip("address flush dev eth0");
    gateway.apply(&config);
    web_1.ok(&format!("ping -c 2 -W 1 {SERVER}"));
}

/// Without `--netns` it runs in the namespace that it is started in.
#[test]
fn it_runs_where_it_is_started() {
    let lab = Lab::new("where");
    let site = Site::new(&lab, "auto");
    let path = site.gw.write("config.toml", site.standard());
    let line = format!(
        "{} serve --config {} --state {} --socket {}",
        lab::binary().display(),
        path.display(),
        lab.dir().join("state").display(),
        lab.dir().join("here.sock").display(),
    );
    let daemon = site.gw.spawn(&line);
    wait_for("the gateway to answer", 30.0, || {
        assert!(daemon.ended().is_none(), "{}", daemon.stderr());
        let line = format!(
            "{} version --socket {}",
            lab::binary().display(),
            lab.dir().join("here.sock").display()
        );
        lab.run(&line).success()
    });
    lab.existing("web-1")
        .ok(&format!("ping -c 1 -W 1 {SERVER}"));
}

/// Two gateways on one host, with an uplink that they share with it and with each other.
#[test]
fn two_gateways_share_an_uplink() {
    let lab = Lab::new("two");
    let site = Site::new(&lab, "auto");
    let other_lab = lab.another("two-b");
    site.gw.address("wan", "203.0.113.2/24");
    site.gw.default_route("203.0.113.1");
    let shared = |text: String| {
        text.replace(
            "device = \"wan\"\n",
            "device = \"wan\"\nmode = \"shared\"\n",
        )
    };
    let one = shared(site.standard() + &config::dnat("eip-1", "tcp", "80", "web-1", "80"));
    let two = one
        .replace(lab.name(), other_lab.name())
        .replace("\"203.0.113.1", "\"203.0.113.2")
        .replace("gateway = \"203.0.113.2\"", "gateway = \"203.0.113.1\"");
    let first = site.gateway(&one);
    let second = lab::Gateway::start(&other_lab, &site.gw, &two);
    let (a, b) = (first.instance("web-1"), second.instance("web-1"));
    let _webs = [&a, &b].map(|host| Web::start(host, &[80]));
    let _outside = Web::start(&site.server, &[80]);
    for (host, eip) in [(&a, "203.0.113.11"), (&b, "203.0.113.21")] {
        assert_eq!(
            get(host, &format!("http://{SERVER}/")),
            format!("server 80 {eip}\n")
        );
        assert_eq!(
            get(&site.client, &format!("http://{eip}/")),
            format!("web-1 80 {CLIENT}\n")
        );
    }
    site.gw.ok(&format!("ping -c 1 -W 1 {SERVER}"));
    drop((first, second));
}

/// A first start that fails leaves nothing: neither maps, which hold memory, nor namespaces, and shows no key.
#[test]
fn a_start_that_fails_leaves_nothing() {
    let lab = Lab::new("failed");
    let site = Site::new(&lab, "auto");
    let pins = Path::new("/run/sluice/bpf").join(lab.name());
    let starts = [
        (
            site.standard()
                .replace("device = \"wan\"", "device = \"lan\""),
            "",
            "no interface lan",
        ),
        (site.standard(), "--api 192.0.2.77:8080", "192.0.2.77:8080"),
        (
            site.standard(),
            "--socket /dev/null/control.sock",
            "/dev/null",
        ),
    ];
    for (config, more, why) in starts {
        let path = site.gw.write("config.toml", config);
        let line = format!(
            "timeout 20 {} serve --netns {} --config {} --state {} {more}",
            lab::binary().display(),
            site.gw.namespace(),
            path.display(),
            lab.dir().join("state").display(),
        );
        let output = lab.run(&line);
        assert!(output.stderr.contains(why), "{}", output.stderr);
        assert!(!output.success() && output.stdout.is_empty());
        assert!(!pins.exists());
        let namespace = format!("/run/netns/{}-web-1", lab.name());
        assert!(!Path::new(&namespace).exists());
    }
    // Of a running gateway a start that fails takes nothing.
    let mut gateway = site.gateway(&site.standard());
    let web_1 = gateway.instance("web-1");
    gateway.kill9();
    let line = gateway.command() + " --api 192.0.2.77:8080";
    assert!(!lab.run(&line).success());
    web_1.ok("ip link show eth0");
    assert!(pins.exists());
    gateway.run();
    web_1.ok(&format!("ping -c 1 -W 1 {SERVER}"));
}
