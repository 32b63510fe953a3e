//! Private networks: isolation, peering, route tables, network interfaces.

use lab::servers::{Web, cannot_get, get};
use lab::site::{CLIENT, SERVER};
use lab::{Lab, Site, config, in_both_hooks};

in_both_hooks! {
    /// Two VPCs with the same addresses, each with its own gateway: both work, neither sees the other.
    fn vpcs_with_the_same_addresses_are_apart(hook) {
        let lab = Lab::new("same");
        let site = Site::new(&lab, hook);
        // Everything of the standard configuration once more, under names that end in `b`.
        let second = [
            config::NETWORK,
            config::GROUP,
            config::INSTANCES,
            config::GATEWAY,
        ]
        .concat()
        .replace("vsw-", "vsw-b")
        .replace("\"vpc\"", "\"vpc-b\"")
        .replace("\"sg\"", "\"sg-b\"")
        .replace("web-", "web-b")
        .replace("ngw", "ngw-b")
        .replace("[\"eip-1\", \"eip-2\", \"eip-3\"]", "[\"eip-3\"]");
        let config = site.standard().replace(", \"eip-3\"]", "]")
            + &config::dnat("eip-1", "tcp", "80", "web-1", "80")
            + &config::instance("only-a", "vsw-1", "192.168.1.77")
            + &second
            + &config::snat("snat-b", "vpc = true", "[\"eip-3\"]")
            + &config::dnat("eip-3", "tcp", "80", "web-b1", "80");
        let gateway = site.gateway(&config);
        let [a1, a2, b1, b2] = ["web-1", "web-2", "web-b1", "web-b2"].map(|id| gateway.instance(id));
        let _outside = Web::start(&site.server, &[80]);
        let _webs = [&a1, &a2, &b1, &b2].map(|host| Web::start(host, &[80]));

        for (host, eip) in [(&a1, 11), (&a2, 11), (&b1, 13), (&b2, 13)] {
            let page = get(host, &format!("http://{SERVER}/"));
            assert_eq!(
                page,
                format!("server 80 203.0.113.{eip}\n"),
                "{}",
                host.name()
            );
        }
        assert_eq!(
            get(&site.client, "http://203.0.113.11/"),
            format!("web-1 80 {CLIENT}\n")
        );
        assert_eq!(
            get(&site.client, "http://203.0.113.13/"),
            format!("web-b1 80 {CLIENT}\n")
        );
        // The same address is somebody else in each.
        assert_eq!(get(&a1, "http://192.168.2.10/"), "web-2 80 192.168.1.10\n");
        assert_eq!(get(&b1, "http://192.168.2.10/"), "web-b2 80 192.168.1.10\n");
        // What only one has is not found from the other; by its EIP, as from anywhere, it is.
        a1.ok("ping -c 1 -W 1 192.168.1.77");
        b1.fails("ping -c 1 -W 1 192.168.1.77");
        assert_eq!(get(&b1, "http://203.0.113.11/"), "web-1 80 203.0.113.13\n");
    }
}

/// A VPC without a gateway goes out by that of its peer.
#[test]
fn a_gateway_serves_peered_vpcs() {
    let lab = Lab::new("peer");
    let site = Site::new(&lab, "auto");
    let peer = r#"
[[vpc]]
id = "peer"
cidr = "172.16.0.0/16"

[[vswitch]]
id = "vsw-peer"
vpc = "peer"
cidr = "172.16.1.0/24"

[[security_group]]
id = "sg-peer"
vpc = "peer"
rule = [{ direction = "ingress", cidr = "0.0.0.0/0" }]

[[instance]]
id = "peer-1"
vswitch = "vsw-peer"
address = "172.16.1.10"
security_groups = ["sg-peer"]

[[peering]]
id = "pcx"
vpcs = ["vpc", "peer"]

[[route_table]]
vpc = "peer"
system = true
route = [{ destination = "0.0.0.0/0", peering = "pcx" }]

[[route_table]]
vpc = "vpc"
system = true
route = [{ destination = "172.16.0.0/16", peering = "pcx" }]
"#;
    let gateway = site.gateway(
        &(site.standard()
            + &config::snat("snat-peer", "source = \"172.16.0.0/16\"", "[\"eip-2\"]")
            + &config::dnat("eip-2", "tcp", "80", "peer-1", "80")
            + peer),
    );
    let [web_1, peer_1] = ["web-1", "peer-1"].map(|id| gateway.instance(id));
    let _outside = Web::start(&site.server, &[80]);
    let _webs = [&web_1, &peer_1].map(|host| Web::start(host, &[80]));

    assert_eq!(
        get(&web_1, &format!("http://{SERVER}/")),
        "server 80 203.0.113.11\n"
    );
    assert_eq!(
        get(&peer_1, &format!("http://{SERVER}/")),
        "server 80 203.0.113.12\n"
    );
    assert_eq!(
        get(&site.client, "http://203.0.113.12/"),
        format!("peer-1 80 {CLIENT}\n")
    );
    assert_eq!(
        get(&web_1, "http://172.16.1.10/"),
        "peer-1 80 192.168.1.10\n"
    );
    assert_eq!(
        get(&peer_1, "http://192.168.1.10/"),
        "web-1 80 172.16.1.10\n"
    );
    // A hairpin across the peering.
    assert_eq!(
        get(&web_1, "http://203.0.113.12/"),
        "peer-1 80 203.0.113.11\n"
    );

    // Without its entry the peer has no way out, but its own DNAT entry still answers.
    gateway.apply(&(site.standard() + &config::dnat("eip-2", "tcp", "80", "peer-1", "80") + peer));
    cannot_get(&peer_1, &format!("http://{SERVER}/"));
    assert!(gateway.drops("no_snat") >= 1);
    assert_eq!(
        get(&site.client, "http://203.0.113.12/"),
        format!("peer-1 80 {CLIENT}\n")
    );
}

/// A custom table leads a vSwitch elsewhere than the rest of its VPC; an instance can be a router.
#[test]
fn custom_routes_and_an_instance_as_a_router() {
    let lab = Lab::new("routes");
    let site = Site::new(&lab, "auto");
    let tables = r#"
[[route_table]]
id = "vtb"
vpc = "vpc"
route = [
    { destination = "10.99.0.0/16", instance = "appliance" },
    { destination = "10.99.7.0/24", blackhole = true },
]
"#;
    let config = site.standard().replace(
        "cidr = \"192.168.2.0/24\"",
        "cidr = \"192.168.2.0/24\"\nroute_table = \"vtb\"",
    ) + tables
        + &config::instance("appliance", "vsw-1", "192.168.1.30")
        + "hosts = [\"10.99.0.0/16\"]\n";
    let gateway = site.gateway(&config);
    let [web_1, web_2, router] = ["web-1", "web-2", "appliance"].map(|id| gateway.instance(id));
    router.address("lo", "10.99.1.1/32");
    let _web = Web::start(&router, &[80]);
    let _outside = Web::start(&site.server, &[80]);

    assert_eq!(
        get(&web_2, "http://10.99.1.1/"),
        "appliance 80 192.168.2.10\n"
    );
    web_2.fails("ping -c 1 -W 1 10.99.7.1");
    assert_eq!(gateway.drops("blackhole"), 1);
    // Its table has no way out; that of the other vSwitch has, but does not know the router's network.
    cannot_get(&web_2, &format!("http://{SERVER}/"));
    assert!(gateway.drops("no_route") >= 1);
    assert_eq!(
        get(&web_1, &format!("http://{SERVER}/")),
        "server 80 203.0.113.11\n"
    );
    cannot_get(&web_1, "http://10.99.1.1/");
    // The router sends for its networks, and for nobody else.
    router.ok("ping -c 1 -W 1 -I 10.99.1.1 192.168.2.10");
    router.address("lo", "10.98.1.1/32");
    router.fails("ping -c 1 -W 1 -I 10.98.1.1 192.168.2.10");
    assert!(gateway.drops("spoofed") >= 1);
}

/// An instance with two network interfaces, each with an EIP, is reached by both and answers by the one
/// that it was asked by.
#[test]
fn an_instance_with_two_network_interfaces() {
    let lab = Lab::new("eni");
    let site = Site::new(&lab, "auto");
    let more = r#"
[[eni]]
id = "second"
instance = "web-1"
vswitch = "vsw-2"
address = "192.168.2.50"
security_groups = ["sg"]

[[eip]]
id = "eip-eni"
address = "203.0.113.20"
eni = "second"
"#;
    let dnat = config::dnat("eip-1", "tcp", "80", "web-1", "80");
    let gateway = site.gateway(&(site.standard() + &dnat + more));
    let web_1 = gateway.instance("web-1");
    let _web = Web::start(&web_1, &[80]);
    for eip in ["203.0.113.11", "203.0.113.20"] {
        let page = get(&site.client, &format!("http://{eip}/"));
        assert_eq!(page, format!("web-1 80 {CLIENT}\n"), "{eip}");
    }
    let _outside = Web::start(&site.server, &[80]);
    for (from, eip) in [("192.168.1.10", 11), ("192.168.2.50", 20)] {
        let page = get(&web_1, &format!("--interface {from} http://{SERVER}/"));
        assert_eq!(page, format!("server 80 203.0.113.{eip}\n"));
    }
}
