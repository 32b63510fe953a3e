//! Links that take less than others: path MTU discovery (RFC 1191), and who does without.

use lab::servers::{Web, fetch};
use lab::site::SERVER;
use lab::{Host, Lab, Site, config, in_both_hooks};

/// A host behind a second router, which is reached by a link that takes 1400 bytes.
///
/// ```text
///    router ── narrow (192.0.2.1/30), 1400 bytes ── second router ── far (198.18.5.10/24)
/// ```
fn far(lab: &Lab, site: &Site) -> Host {
    let [second, far] = ["second", "far"].map(|name| lab.host(name));
    second.forward();
    lab.link(
        (&site.router, "narrow", "192.0.2.1/30"),
        (&second, "narrow", "192.0.2.2/30"),
    );
    lab.link(
        (&second, "lan", "198.18.5.1/24"),
        (&far, "eth0", "198.18.5.10/24"),
    );
    for host in [&site.router, &second] {
        host.ip("link set dev narrow mtu 1400");
    }
    site.router.ip("route add 198.18.5.0/24 via 192.0.2.2");
    second.default_route("192.0.2.1");
    far.default_route("198.18.5.1");
    far
}

/// What one ping that is too large is told.
fn too_large(host: &Host, arguments: &str) -> String {
    let text = host.fails(&format!("ping -n -c 1 -W 1 -M do {arguments}"));
    let line = text.lines().find(|line| line.contains("Frag needed"));
    line.unwrap_or_else(|| panic!("nobody said that it is too large: {text}"))
        .to_owned()
}

in_both_hooks! {
    /// A router outside says how much it takes; the instance hears it and heeds it.
    fn a_narrow_link_outside(hook) {
        let lab = Lab::new("outside");
        let site = Site::new(&lab, hook);
        let far = far(&lab, &site);
        let dnat = config::dnat("eip-1", "tcp", "80", "web-1", "80");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");

        let web = Web::start(&instance, &[80]);
        let content = web.publish("file", 2_000_000);
        fetch(&far, "http://203.0.113.11/files/file", &content);
        let route = instance.ip("route get 198.18.5.10");
        assert!(route.contains("mtu 1400"), "{route}");

        let web_2 = gateway.instance("web-2");
        let text = too_large(&web_2, "-s 1373 198.18.5.10");
        assert!(text.contains("From 203.0.113.1 ") && text.contains("mtu = 1400"), "{text}");
        web_2.ok("ping -n -c 1 -W 1 -M do -s 1372 198.18.5.10");

        let web = Web::start(&far, &[80]);
        let content = web.publish("file", 2_000_000);
        fetch(&instance, "http://198.18.5.10/files/file", &content);
    }

    /// The uplink itself takes less: the gateway says so, for GSO packets too.
    fn a_narrow_uplink(hook) {
        let lab = Lab::new("uplink");
        let site = Site::new(&lab, hook);
        for (host, device) in [(&site.gw, "wan"), (&site.router, "up")] {
            host.ip(&format!("link set dev {device} mtu 1400"));
        }
        let dnat = config::dnat("eip-1", "tcp", "80", "web-1", "80");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let [instance, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));

        let text = too_large(&web_2, &format!("-s 1373 {SERVER}"));
        assert!(text.contains("From 192.168.2.253 ") && text.contains("mtu = 1400"), "{text}");
        web_2.ok(&format!("ping -n -c 1 -W 1 -M do -s 1372 {SERVER}"));

        let web = Web::start(&instance, &[80]);
        let content = web.publish("file", 2_000_000);
        fetch(&site.client, "http://203.0.113.11/files/file", &content);
        let route = instance.ip("route get 198.51.100.20");
        assert!(route.contains("mtu 1400"), "{route}");

        // What may be fragmented is, both ways.
        web_2.ok(&format!("ping -n -c 2 -i 0.1 -W 1 -M dont -s 1472 {SERVER}"));
        web_2.ok(&format!("ping -n -c 2 -i 0.1 -W 1 -M dont -s 4000 {SERVER}"));
    }

    /// An instance that takes less: whoever sends it more from outside is told so.
    fn a_narrow_instance(hook) {
        let lab = Lab::new("narrow");
        let site = Site::new(&lab, hook);
        let small = config::instance("small", "vsw-1", "192.168.1.20") + "mtu = 1300\n";
        let gateway = site.gateway(&(site.standard() + &config::dnat_any("eip-2", "small") + &small));
        let instance = gateway.instance("small");
        let link = instance.ip("link show eth0");
        assert!(link.contains("mtu 1300"), "{link}");

        let text = too_large(&site.client, "-s 1273 203.0.113.12");
        assert!(text.contains("mtu = 1300"), "{text}");
        site.client.ok("ping -n -c 1 -W 1 -M do -s 1272 203.0.113.12");
        // Those inside are told too, directly and through the EIP.
        for (id, by) in [("web-1", "192.168.1.253"), ("web-2", "192.168.2.253")] {
            let host = gateway.instance(id);
            for to in ["192.168.1.20", "203.0.113.12"] {
                let text = too_large(&host, &format!("-s 1273 {to}"));
                assert!(text.contains(&format!("From {by} ")) && text.contains("mtu = 1300"), "{id} to {to}: {text}");
                host.ok(&format!("ping -n -c 1 -W 1 -M do -s 1272 {to}"));
                host.ok(&format!("ping -n -c 1 -W 1 -M dont -s 4000 {to}"));
            }
        }
        site.other.ok("ping -n -c 2 -i 0.1 -W 1 -M dont -s 1472 203.0.113.12");

        let web = Web::start(&site.server, &[80]);
        let content = web.publish("file", 2_000_000);
        fetch(&instance, &format!("http://{SERVER}/files/file"), &content);
        let web = Web::start(&instance, &[80]);
        let content = web.publish("file", 2_000_000);
        fetch(&site.client, "http://203.0.113.12/files/file", &content);
    }
}
