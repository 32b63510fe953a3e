//! Interfaces that Sluice has not made: taps, LANs with many hosts, an uplink that the host uses too.

use lab::servers::{Web, fetch, get};
use lab::site::{CLIENT, SERVER};
use lab::{Host, Lab, Site, config, in_both_hooks};

/// An instance behind an interface of the gateway's host.
fn attached(id: &str, address: &str, device: &str) -> String {
    config::instance(id, "vsw-1", address) + &format!("device = \"{device}\"\n")
}

in_both_hooks! {
    /// A container's veth: the test makes it, Sluice attaches.
    fn a_veth_that_exists(hook) {
        let lab = Lab::new("veth");
        let site = Site::new(&lab, hook);
        let guest = lab.host("guest");
        lab.link((&site.gw, "ve0", ""), (&guest, "eth0", "192.168.1.30/24"));
        if hook == "xdp" {
            guest.face_xdp("eth0");
        }
        guest.default_route("192.168.1.253");
        let gateway = site.gateway(&(site.standard()
            + &config::dnat("eip-1", "tcp", "80", "guest", "80")
            + &attached("guest", "192.168.1.30", "ve0")));
        reached_both_ways(&site, &guest, "203.0.113.11");
        let web_1 = gateway.instance("web-1");
        let _web = Web::start(&guest, &[80]);
        assert_eq!(get(&web_1, "http://192.168.1.30/"), "guest 80 192.168.1.10\n");
        guest.ok("ping -c 1 -W 1 192.168.1.10");
    }

    /// Many hosts behind one interface, found by ARP: a LAN.
    fn a_lan_with_many_hosts(hook) {
        let lab = Lab::new("lan");
        let site = Site::new(&lab, hook);
        let switch = lab.host("switch");
        switch.ip("link add lan type bridge");
        switch.ip("link set dev lan up");
        lab.link((&site.gw, "lan0", ""), (&switch, "gw", ""));
        switch.ip("link set dev gw master lan");
        let hosts: Vec<Host> = (1..=3)
            .map(|n| {
                let host = lab.host(&format!("pc-{n}"));
                let port = format!("p{n}");
                lab.link((&switch, &port, ""), (&host, "eth0", &format!("192.168.1.{}/24", 128 + n)));
                switch.ip(&format!("link set dev {port} master lan"));
                host.default_route("192.168.1.253");
                host
            })
            .collect();
        if hook == "xdp" {
            switch.face_xdp("gw");
        }
        let gateway = site.gateway(&(site.standard()
            + "\n[[nat_gateway.dnat]]\neip = \"eip-2\"\nprotocol = \"tcp\"\nexternal_port = 80\n\
               internal = \"192.168.1.130\"\n"
            + &attached("lan", "192.168.1.128", "lan0")
            + "hosts = [\"192.168.1.129/32\", \"192.168.1.130/31\"]\n"));
        let _outside = Web::start(&site.server, &[80]);
        for host in &hosts {
            assert_eq!(get(host, &format!("http://{SERVER}/")), "server 80 203.0.113.11\n");
            host.ok("ping -c 1 -W 1 192.168.1.253");
        }
        let _web = Web::start(&hosts[1], &[80]);
        assert_eq!(get(&site.client, "http://203.0.113.12/"), format!("pc-2 80 {CLIENT}\n"));
        let web_2 = gateway.instance("web-2");
        assert_eq!(get(&web_2, "http://192.168.1.130/"), "pc-2 80 192.168.2.10\n");
        // Hosts of the LAN talk to each other without us.
        let before = gateway.stats().sessions;
        assert_eq!(get(&hosts[0], "http://192.168.1.130/"), "pc-2 80 192.168.1.129\n");
        assert_eq!(gateway.stats().sessions, before);
        // Somebody there who was not announced is nobody.
        hosts[2].ip("address replace 192.168.1.140/24 dev eth0");
        hosts[2].fails(&format!("ping -c 1 -W 1 -I 192.168.1.140 {SERVER}"));
        assert!(gateway.drops("spoofed") >= 1);
        // A host whose card was changed is found again.
        hosts[1].ip("link set dev eth0 address 02:00:00:00:07:07");
        lab::wait_for("the new address to be learned", 40.0, || {
            site.client.run("curl -sS -m 1 http://203.0.113.12/").success()
        });
    }

    /// The host has the interface too: what is not for an EIP is its own, and goes by untouched.
    fn an_uplink_shared_with_the_host(hook) {
        let lab = Lab::new("shared");
        let site = Site::new(&lab, hook);
        site.gw.address("wan", "203.0.113.2/24");
        site.gw.default_route("203.0.113.1");
        let config = site.standard() + &config::dnat("eip-1", "tcp", "80", "web-1", "80");
        let config = config.replace("device = \"wan\"\n", "device = \"wan\"\nmode = \"shared\"\n");
        let hosts_own = Web::start(&site.gw, &[80]);
        let outside = Web::start(&site.server, &[80]);
        let before = get(&site.client, "http://203.0.113.2/");
        let gateway = site.gateway(&config);
        reached_both_ways(&site, &gateway.instance("web-1"), "203.0.113.11");

        let content = hosts_own.publish("own", 1_000_000);
        fetch(&site.client, "http://203.0.113.2/files/own", &content);
        assert_eq!(get(&site.client, "http://203.0.113.2/"), before);
        assert_eq!(get(&site.gw, &format!("http://{SERVER}/")), "server 80 203.0.113.2\n");
        assert!(outside.log().iter().any(|line| line.starts_with("203.0.113.2:")));
        site.gw.ok(&format!("ping -c 1 -W 1 {SERVER}"));
        site.client.ok("ping -c 1 -W 1 203.0.113.2");
        site.client.ok("ping -c 1 -W 1 -s 4000 203.0.113.2");
        assert!(gateway.stats().packets.host > 20, "{:?}", gateway.stats().packets);
        // The host answers ARP for itself, Sluice for the EIPs, each once.
        for address in ["203.0.113.2", "203.0.113.11"] {
            let text = site.router.ok(&format!("arping -c 2 -w 3 -I up {address}"));
            assert!(text.contains("Received 2 response(s)"), "{text}");
        }
        // Nothing of all that is a session of ours but what went by the EIP.
        assert!(gateway.sessions().iter().all(|s| s.eni == "web-1"));
    }
}

/// Its web pages are reached from outside, it reaches those outside, and files of some size pass.
fn reached_both_ways(site: &Site, host: &Host, eip: &str) {
    let outside = Web::start(&site.server, &[8080]);
    let inside = Web::start(host, &[80]);
    let page = get(host, &format!("http://{SERVER}:8080/"));
    assert_eq!(page, format!("server 8080 {eip}\n"));
    let page = get(&site.client, &format!("http://{eip}/"));
    assert_eq!(page, format!("{} 80 {CLIENT}\n", host.name()));
    let content = outside.publish("file", 1_000_000);
    fetch(host, &format!("http://{SERVER}:8080/files/file"), &content);
    let content = inside.publish("file", 1_000_000);
    fetch(&site.client, &format!("http://{eip}/files/file"), &content);
}

/// A tap, as a virtual machine has it. The machine is another tap in a namespace, with a program between
/// that carries the frames.
#[test]
fn a_tap_of_a_virtual_machine() {
    let lab = Lab::new("tap");
    let site = Site::new(&lab, "auto");
    let guest = lab.host("vm");
    let wire = lab.dir().join("wire");
    let tap = |address: &str| format!("TUN{address},tun-type=tap,iff-no-pi,iff-up");
    let machine = guest.spawn(&format!(
        "socat -b 65536 {},tun-name=eth0 UNIX-LISTEN:{},type=5",
        tap(":192.168.1.30/24"),
        wire.display()
    ));
    lab::wait_for("the virtual machine", 5.0, || wire.exists());
    let monitor = site.gw.spawn(&format!(
        "socat -b 65536 {},tun-name=tap0 UNIX-CONNECT:{},type=5",
        tap(""),
        wire.display()
    ));
    lab::wait_for("the taps", 5.0, || {
        assert!(
            machine.ended().is_none() && monitor.ended().is_none(),
            "{}{}",
            machine.stderr(),
            monitor.stderr()
        );
        [(&guest, "eth0"), (&site.gw, "tap0")]
            .iter()
            .all(|(host, device)| {
                host.run(&format!("ip link show {device} up"))
                    .stdout
                    .contains("LOWER_UP")
            })
    });
    guest.default_route("192.168.1.253");
    let gateway = site.gateway(
        &(site.standard()
            + &config::dnat("eip-1", "tcp", "80", "vm", "80")
            + &attached("vm", "192.168.1.30", "tap0")),
    );
    reached_both_ways(&site, &guest, "203.0.113.11");
    let port = gateway
        .ports()
        .into_iter()
        .find(|port| port.id == "vm")
        .unwrap();
    assert_eq!((&*port.device, &*port.hook), ("tap0", "tc"));
    guest.ok("ping -c 1 -W 1 -s 4000 198.51.100.10");
}

/// An interface that goes away takes nothing else with it; when it is there again, an `apply` of the same
/// file takes it up.
#[test]
fn an_interface_that_goes_away_and_comes_back() {
    let lab = Lab::new("gone");
    let site = Site::new(&lab, "auto");
    let guest = lab.host("guest");
    let plug = || {
        lab.link((&site.gw, "ve0", ""), (&guest, "eth0", "192.168.1.30/24"));
        guest.default_route("192.168.1.253");
    };
    plug();
    let config = site.standard() + &attached("guest", "192.168.1.30", "ve0");
    let gateway = site.gateway(&config);
    let web_1 = gateway.instance("web-1");
    guest.ok(&format!("ping -c 1 -W 1 {SERVER}"));
    guest.ip("link delete eth0");
    web_1.ok(&format!("ping -c 1 -W 1 {SERVER}"));
    plug();
    gateway.apply(&config);
    guest.ok(&format!("ping -c 2 -W 1 {SERVER}"));
    web_1.ok(&format!("ping -c 1 -W 1 {SERVER}"));
}

/// An interface of another gateway is not taken from it, be it that its daemon runs or not.
#[test]
fn an_interface_of_another_gateway_is_refused() {
    let lab = Lab::new("theirs");
    let site = Site::new(&lab, "auto");
    let mut gateway = site.gateway(&site.standard());
    let web_1 = gateway.instance("web-1");
    let (name, other) = (lab.name(), format!("{}b", lab.name()));
    let theirs = lab.dir().join("other.toml");
    let text = gateway.config().replacen(name, &other, 1);
    std::fs::write(&theirs, text).unwrap();
    let (binary, namespace, dir) = (lab::binary(), site.gw.namespace(), lab.dir());
    let [binary, dir, theirs] = [binary, dir, &*theirs].map(|it| it.display().to_string());
    let serve = format!(
        "timeout 20 {binary} serve --netns {namespace} --config {theirs} --state {dir}/other --socket {dir}/other.sock"
    );
    let refused = |lab: &Lab| {
        let output = lab.run(&serve);
        assert!(!output.success());
        let told = format!("interface wan is one of the gateway {name}");
        assert!(output.stderr.contains(&told), "{}", output.stderr);
    };
    refused(&lab);
    web_1.ok(&format!("ping -c 1 -W 1 {SERVER}"));
    gateway.kill9();
    refused(&lab);
    gateway.run();
    web_1.ok(&format!("ping -c 1 -W 1 {SERVER}"));
}

/// EIPs are announced by ARP: routers that knew another owner learn of the new one.
#[test]
fn eips_are_announced() {
    let lab = Lab::new("announced");
    let site = Site::new(&lab, "auto");
    let stale = "lladdr 02:00:00:00:00:99 dev up nud reachable";
    for address in ["203.0.113.2", "203.0.113.11", "203.0.113.12"] {
        site.router
            .ip(&format!("neighbour replace {address} {stale}"));
    }
    let gateway = site.gateway(&site.standard());
    let mac = gateway.ports().remove(0).mac;
    for address in ["203.0.113.2", "203.0.113.11", "203.0.113.12"] {
        lab::wait_for("the router to learn of it", 5.0, || {
            let entry = site.router.ip(&format!("neighbour show {address} dev up"));
            entry.contains(&mac)
        });
    }
}

/// A second uplink, and EIPs that are not in the network of theirs but routed there: each is reached by its
/// own, and its sessions leave by it.
#[test]
fn each_eip_has_its_uplink() {
    let lab = Lab::new("uplinks");
    let site = Site::new(&lab, "auto");
    lab.link(
        (&site.gw, "wan2", ""),
        (&site.router, "up2", "192.0.2.1/24"),
    );
    site.router.ip("route add 198.18.0.8/29 via 192.0.2.2");
    let more = r#"
[[uplink]]
id = "wan2"
device = "wan2"
address = "192.0.2.2/24"
gateway = "192.0.2.1"

[[eip]]
id = "eip-far"
address = "198.18.0.9"
uplink = "wan2"
instance = "web-2"

[[eip]]
id = "eip-near"
address = "192.0.2.10"
uplink = "wan2"
"#;
    let config = site
        .no_nat()
        .replace("\n[[eip]]\n", "\n[[eip]]\nuplink = \"wan\"\n")
        .replace("\"eip-3\"]", "\"eip-3\", \"eip-near\"]")
        + &config::snat("one", "instance = \"web-1\"", "[\"eip-near\"]")
        + &config::dnat("eip-1", "tcp", "80", "web-1", "80")
        + &config::dnat("eip-near", "tcp", "8080", "web-2", "80")
        + more;
    let gateway = site.gateway(&config);
    let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
    let _outside = Web::start(&site.server, &[80]);
    let _webs = [&web_1, &web_2].map(|host| Web::start(host, &[80]));
    for (host, eip) in [(&web_1, "192.0.2.10"), (&web_2, "198.18.0.9")] {
        let page = get(host, &format!("http://{SERVER}/"));
        assert_eq!(page, format!("server 80 {eip}\n"));
    }
    for (at, name) in [
        ("203.0.113.11", "web-1"),
        ("198.18.0.9", "web-2"),
        ("192.0.2.10:8080", "web-2"),
    ] {
        let page = get(&site.client, &format!("http://{at}/"));
        assert_eq!(page, format!("{name} 80 {CLIENT}\n"));
    }
    // What leaves by the second uplink has not been seen on the first.
    let sent = |device: &str| -> u64 {
        let text = site.router.ip(&format!("-s -j link show {device}"));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json[0]["stats64"]["rx"]["packets"].as_u64().unwrap()
    };
    let before = sent("up");
    for _ in 0..50 {
        get(&web_1, &format!("http://{SERVER}/"));
    }
    assert!(sent("up2") > 200, "{}", sent("up2"));
    assert!(sent("up") < before + 10, "{} then {}", before, sent("up"));
    // Hairpin between EIPs of different uplinks.
    assert_eq!(get(&web_1, "http://198.18.0.9/"), "web-2 80 192.0.2.10\n");
    assert_eq!(get(&web_2, "http://203.0.113.11/"), "web-1 80 198.18.0.9\n");
}

/// Routers are replaced, by hand or by VRRP: with another MAC address at the same place, traffic goes on.
#[test]
fn a_router_with_another_mac_address_is_found() {
    let lab = Lab::new("router");
    let site = Site::new(&lab, "auto");
    let gateway = site.gateway(&site.standard());
    let instance = gateway.instance("web-1");
    instance.ok(&format!("ping -c 1 -W 1 {SERVER}"));
    site.router.ip("link set dev up address 02:00:00:00:00:77");
    // It says so itself, as VRRP does; nobody should have to wait for a timeout.
    site.router.ok("arping -c 1 -U -I up 203.0.113.1");
    lab::wait_for("the way out", 5.0, || {
        instance
            .run(&format!("ping -c 1 -W 0.2 {SERVER}"))
            .success()
    });
    // And without a word, it takes a little longer.
    site.router.ip("link set dev up address 02:00:00:00:00:78");
    lab::wait_for("the way out", 40.0, || {
        instance
            .run(&format!("ping -c 1 -W 0.2 {SERVER}"))
            .success()
    });
}
