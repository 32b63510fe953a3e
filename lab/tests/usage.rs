//! Metering: what the gateway says has gone by is what the interfaces have counted, to the byte.

use crate::intranet::side;
use lab::servers::{Web, fetch, get};
use lab::site::{CLIENT, SERVER};
use lab::{Gateway, Host, Lab, Site, config, in_both_hooks, iperf, wait_for};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Bytes of an ARP frame, and of an Ethernet header.
const ARP: u64 = 42;
const ETHERNET: u64 = 14;

/// Sessions end soon.
const TIMEOUTS: &str = "
[nat_gateway.timeouts]
tcp_transitory = 3
udp = 3
icmp = 3
";

/// What has gone by in one direction: packets and bytes of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    packets: u64,
    bytes: u64,
}

/// The link between gateway and router, where nothing goes by but the EIPs' traffic and ARP.
struct Link<'a> {
    site: &'a Site<'a>,
    xdp: bool,
    before: [Counted; 2],
}

impl<'a> Link<'a> {
    fn new(site: &'a Site<'a>, hook: &str) -> Link<'a> {
        let rules = "
            add table netdev link
            add chain netdev link in { type filter hook ingress device up priority 0; }
            add chain netdev link out { type filter hook egress device up priority 0; }
            add rule netdev link in ether type arp counter
            add rule netdev link in ether type != { arp, ip } counter
            add rule netdev link out ether type arp counter
            add rule netdev link out ether type != { arp, ip } counter
        ";
        site.router.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
        site.gw.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
        let file = site.router.write("link.nft", rules);
        site.router.ok(&format!("nft -f {}", file.display()));
        let mut link = Link {
            site,
            xdp: hook == "xdp",
            before: [Counted {
                packets: 0,
                bytes: 0,
            }; 2],
        };
        link.before = ["in", "out"].map(|way| link.interface(way));
        link
    }

    /// What the router's interface has counted: in to the gateway, or out of it.
    fn interface(&self, way: &str) -> Counted {
        let side = if way == "in" { "tx" } else { "rx" };
        let shown = self.site.router.ip("-s -j link show dev up");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let read = |what: &str| shown[0]["stats64"][side][what].as_u64().unwrap();
        let (packets, bytes) = (read("packets"), read("bytes"));
        // What comes to a veth that has XDP is counted there, without Ethernet headers.
        let bare = if self.xdp && way == "in" { packets } else { 0 };
        let bytes = bytes + ETHERNET * bare;
        Counted { packets, bytes }
    }

    /// The same without ARP, since the beginning.
    fn carried(&self, way: &str) -> Counted {
        let side = if way == "in" { "out" } else { "in" };
        let rules = format!("nft -j list chain netdev link {side}");
        let rules: Value = serde_json::from_str(&self.site.router.ok(&rules)).unwrap();
        let rules = rules["nftables"].as_array().unwrap().iter();
        let counters = rules.filter_map(|it| it.pointer("/rule/expr/1/counter/packets")?.as_u64());
        let [arp, other] = counters.collect::<Vec<_>>()[..] else {
            panic!("two counters were wanted");
        };
        assert_eq!(other, 0, "frames that are neither IPv4 nor ARP");
        let now = self.interface(way);
        let before = self.before[usize::from(way == "out")];
        Counted {
            packets: now.packets - before.packets - arp,
            bytes: now.bytes - before.bytes - arp * ARP,
        }
    }
}

/// What the gateway says in all: in, out.
fn told(gateway: &Gateway, kind: &str) -> [Counted; 2] {
    let json = gateway.cli("usage --json").ok();
    let usage: Value = serde_json::from_str(&json).unwrap();
    let rows = usage[kind].as_array().unwrap();
    let sum = |name: &str| rows.iter().map(|it| it[name].as_u64().unwrap()).sum();
    ["In", "Out"].map(|way| Counted {
        packets: sum(&format!("Packets{way}")),
        bytes: sum(&format!("Bytes{way}")),
    })
}

/// Waits until the gateway has looked at all sessions, and holds what it says against the interface.
fn agree(gateway: &Gateway, link: &Link, when: &str) {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let numbers = told(gateway, "gateways");
        let carried = ["in", "out"].map(|way| link.carried(way));
        let equal = |(a, b): (&Counted, &Counted)| {
            // Without XDP an interface counts a large segment as one packet.
            a.bytes == b.bytes && (a.packets == b.packets || !link.xdp && a.packets > b.packets)
        };
        if numbers.iter().zip(&carried).all(equal) {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{when}: {numbers:?} was told, {carried:?} has gone by"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(told(gateway, "eips"), told(gateway, "gateways"), "{when}");
}

in_both_hooks! {
    fn usage_is_what_the_interfaces_counted(hook) {
        let lab = Lab::new(&format!("usage-{hook}"));
        let site = Site::new(&lab, hook);
        let link = Link::new(&site, hook);
        let config = site.no_nat()
            + TIMEOUTS
            + config::SNAT
            + &config::dnat("eip-2", "tcp", "80", "web-1", "80")
            + &config::dnat("eip-3", "udp", "5201", "web-2", "5201")
            + &config::dnat("eip-3", "tcp", "5201", "web-2", "5201");
        let mut gateway = site.gateway(&config);
        let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));

        // SNAT: pings, a download and an upload.
        web_1.ok(&format!("ping -c 5 -i 0.1 -s 1000 {SERVER}"));
        let server = Web::start(&site.server, &[80]);
        let content = server.publish("large", 3_000_000);
        fetch(&web_2, &format!("http://{SERVER}/files/large"), &content);
        agree(&gateway, &link, "SNAT");

        // DNAT: web pages, datagrams.
        let _web = Web::start(&web_1, &[80]);
        for _ in 0..20 {
            assert_eq!(get(&site.client, "http://203.0.113.12/"), format!("web-1 80 {CLIENT}\n"));
        }
        let _iperf = iperf::serve(&web_2, 5201);
        iperf::run(&site.client, "-c 203.0.113.13 -u -b 20M -l 1000 -t 1");
        agree(&gateway, &link, "DNAT");

        // A stream that goes on while the daemon is killed, and is not there for a while.
        let _sink = iperf::serve(&site.server, 5202);
        let stream = iperf::start(&web_1, &format!("-c {SERVER} -p 5202 -b 100M -t 8"));
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(1_200));
            gateway.kill9();
            std::thread::sleep(Duration::from_millis(400));
            gateway.run();
        }
        let report = iperf::report(stream.wait(30.0));
        assert!(report.received > 50_000_000, "{report}");
        agree(&gateway, &link, "over kills");

        // Sessions end, and the daemon with them.
        wait_for("sessions to end", 20.0, || gateway.stats().sessions == 0);
        agree(&gateway, &link, "when all has ended");
        gateway.terminate();
        gateway.run();
        agree(&gateway, &link, "after another start");
        let used = gateway.cli("usage --gateway ngw").ok();
        assert_eq!(used.lines().count(), 1 + told_hours(&gateway), "{used}");
    }
}

/// How many hours the gateway tells of.
fn told_hours(gateway: &Gateway) -> usize {
    let json = gateway.cli("usage --gateway ngw --json").ok();
    let hours: Value = serde_json::from_str(&json).unwrap();
    let hours = hours.as_array().unwrap();
    let sessions: u64 = hours
        .iter()
        .map(|it| it["NewSessions"].as_u64().unwrap())
        .sum();
    assert!(sessions >= 24, "{hours:?}");
    assert!(
        hours
            .iter()
            .all(|it| it["CapacityUnits"].as_f64() > Some(0.0))
    );
    hours.len()
}

/// An instance with one interface, by which nothing goes but what is counted, and ARP. Large segments would be counted
/// before they are taken apart, or after they are put together: nothing sends any.
struct End<'a> {
    host: &'a Host,
}

impl<'a> End<'a> {
    fn new(host: &'a Host) -> End<'a> {
        host.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
        let rules = "
            add table ip counted
            add chain ip counted in { type filter hook input priority 0; }
            add chain ip counted out { type filter hook output priority 0; }
            add rule ip counted in iifname eth0 counter
            add rule ip counted out oifname eth0 counter
        ";
        let file = host.write("counted.nft", rules);
        host.ok(&format!("nft -f {}", file.display()));
        End { host }
    }

    /// What has come in, or gone out: packets, and bytes of frames.
    fn counted(&self, way: &str) -> Counted {
        let rules = format!("nft -j list chain ip counted {way}");
        let rules: Value = serde_json::from_str(&self.host.ok(&rules)).unwrap();
        let rules = rules["nftables"].as_array().unwrap();
        let mut counters = rules
            .iter()
            .filter_map(|it| it.pointer("/rule/expr/1/counter"));
        let counter = counters.next().expect("a counter");
        let read = |what: &str| counter[what].as_u64().unwrap();
        let packets = read("packets");
        Counted {
            packets,
            bytes: read("bytes") + ETHERNET * packets,
        }
    }
}

/// What the gateway says of one NAT IP: in, out.
fn of_nat_ip(gateway: &Gateway, id: &str) -> [Counted; 2] {
    let json = gateway.cli(&format!("usage --nat-ip {id} --json")).ok();
    let hours: Value = serde_json::from_str(&json).unwrap();
    let hours = hours.as_array().unwrap();
    let sum = |name: &str| hours.iter().map(|it| it[name].as_u64().unwrap()).sum();
    ["In", "Out"].map(|way| Counted {
        packets: sum(&format!("Packets{way}")),
        bytes: sum(&format!("Bytes{way}")),
    })
}

/// Waits until the NAT IPs have what the instances behind them have received and sent.
fn nat_ips_agree(gateway: &Gateway, ends: &[(&str, End); 2], when: &str) {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let told = ends.each_ref().map(|(id, _)| of_nat_ip(gateway, id));
        let counted = ends
            .each_ref()
            .map(|(_, end)| ["in", "out"].map(|way| end.counted(way)));
        if told == counted {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{when}: {told:?} was told, {counted:?} has gone by"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(
        told(gateway, "nat_ips"),
        told(gateway, "gateways"),
        "{when}"
    );
}

in_both_hooks! {
    fn usage_of_nat_ips_is_what_the_instances_counted(hook) {
        let lab = Lab::new(&format!("usage-ip-{hook}"));
        let site = Site::new(&lab, hook);
        let sides = [("left", "172.16.1", "172.16.2"), ("right", "172.16.2", "172.16.1")];
        let sides = sides.map(|(name, block, other)| {
            let side = side(name, block, other);
            side.replacen("[[nat_gateway.snat]]", &format!("{TIMEOUTS}\n[[nat_gateway.snat]]"), 1)
        });
        let config = site.system()
            + &sides.concat()
            + "[[peering]]\nid = \"pcc\"\nvpcs = [\"left\", \"right\"]\n";
        let mut gateway = site.gateway(&config);
        let hosts = ["left-app", "right-app"].map(|id| gateway.instance(id));
        let [left, right] = &hosts;
        let ends = [("left-ip", End::new(left)), ("right-ip", End::new(right))];

        // Through both gateways, one way and the other.
        let _webs = hosts.each_ref().map(|host| Web::start(host, &[8080]));
        let pages = || {
            for _ in 0..20 {
                assert_eq!(get(left, "http://172.16.2.10/"), "right-app 8080 172.16.1.10\n");
            }
            assert_eq!(get(right, "http://172.16.1.10/"), "left-app 8080 172.16.2.10\n");
        };
        pages();
        nat_ips_agree(&gateway, &ends, "through both");
        // Through one: the other side has no part in it.
        left.ok("ping -c 40 -i 0.02 -s 1400 172.16.2.50");
        nat_ips_agree(&gateway, &ends, "through one");

        // A kill of the daemon loses nothing, nor does the end of the sessions.
        gateway.kill9();
        gateway.run();
        pages();
        nat_ips_agree(&gateway, &ends, "over a kill");
        wait_for("sessions to end", 20.0, || gateway.stats().sessions == 0);
        nat_ips_agree(&gateway, &ends, "when all has ended");

        // The command shows the NAT IP by the hour, and knows no other.
        let table = gateway.cli("usage --nat-ip right-ip").ok();
        let heading = table.lines().next().unwrap_or_default();
        assert!(heading.starts_with("HOUR (UTC)"), "{table}");
        assert!(table.lines().count() >= 2, "{table}");
        let all = gateway.cli("usage").ok();
        assert!(all.contains("NAT IP") && all.contains("left-ip"), "{all}");
        let why = gateway.cli("usage --nat-ip nobody").fails();
        assert!(why.contains("ResourceNotFound.NatIp"), "{why}");
    }
}
