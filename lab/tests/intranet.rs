//! VPC NAT gateways, with real packets.

use lab::servers::{Web, cannot_get, fetch, get};
use lab::{Lab, Site};

/// A VPC 10.0.0.0/16 with an instance in it, and in a second block a VPC NAT gateway and another instance.
pub fn side(name: &str, block: &str, other: &str) -> String {
    format!(
        r#"
[[vpc]]
id = "{name}"
cidr = "10.0.0.0/16"
secondary_cidrs = ["{block}.0/24"]

[[vswitch]]
id = "{name}-apps"
vpc = "{name}"
cidr = "10.0.1.0/24"

[[vswitch]]
id = "{name}-nat"
vpc = "{name}"
cidr = "{block}.0/24"
route_table = "{name}-beyond"

[[route_table]]
vpc = "{name}"
system = true
route = [{{ destination = "{other}.0/24", nat_gateway = "{name}-gw" }}]

[[route_table]]
id = "{name}-beyond"
vpc = "{name}"
route = [{{ destination = "{other}.0/24", peering = "pcc" }}]

[[security_group]]
id = "{name}-open"
vpc = "{name}"
rule = [{{ direction = "ingress", cidr = "0.0.0.0/0" }}]

[[instance]]
id = "{name}-app"
vswitch = "{name}-apps"
address = "10.0.1.10"
security_groups = ["{name}-open"]

[[instance]]
id = "{name}-edge"
vswitch = "{name}-nat"
address = "{block}.50"
security_groups = ["{name}-open"]

[[nat_gateway]]
id = "{name}-gw"
vpc = "{name}"
network = "intranet"
vswitch = "{name}-nat"

[[nat_gateway.snat]]
source = "10.0.0.0/16"
nat_ips = ["{name}-ip"]

[[nat_gateway.dnat]]
nat_ip = "{name}-ip"
protocol = "tcp"
external_port = 80
instance = "{name}-app"
internal_port = 8080

[[nat_ip]]
id = "{name}-ip"
nat_gateway = "{name}-gw"
address = "{block}.10"
"#
    )
}

/// Two VPCs with the same addresses talk to each other by NAT IPs.
fn the_same_addresses_meet(hook: &str) {
    let lab = Lab::new(&format!("sli-{hook}"));
    let site = Site::new(&lab, hook);
    let config = site.system()
        + &side("left", "172.16.1", "172.16.2")
        + &side("right", "172.16.2", "172.16.1")
        + "[[peering]]\nid = \"pcc\"\nvpcs = [\"left\", \"right\"]\n";
    let mut gateway = site.gateway(&config);
    let ids = ["left-app", "right-app", "left-edge", "right-edge"];
    let [left, right, left_edge, right_edge] = ids.map(|id| gateway.instance(id));
    let _left_web = Web::start(&left, &[8080]);
    let right_web = Web::start(&right, &[8080]);
    let _edge_web = Web::start(&right_edge, &[80]);

    // Through both gateways, from 10.0.1.10 to 10.0.1.10, and the other way round.
    let page = get(&left, "http://172.16.2.10/");
    assert_eq!(page, "right-app 8080 172.16.1.10\n");
    let page = get(&right, "http://172.16.1.10/");
    assert_eq!(page, "left-app 8080 172.16.2.10\n");
    // Through one: the network is seen as one address.
    let page = get(&left, "http://172.16.2.50/");
    assert_eq!(page, "right-edge 80 172.16.1.10\n");
    left.ok("ping -c 3 -i 0.2 -W 2 172.16.2.50");
    // In one's own network: the NAT IP is a neighbour.
    let page = get(&left_edge, "http://172.16.1.10/");
    assert_eq!(page, "left-app 8080 172.16.1.50\n");
    left_edge.ok("ping -c 1 -W 2 172.16.1.10");
    // Nothing else is there.
    cannot_get(&left, "http://172.16.2.10:81/");

    // The kernel forwards it, in large packets, and goes on when the daemon is gone.
    let content = right_web.publish("large", 5_000_000);
    fetch(&left, "http://172.16.2.10/files/large", &content);
    assert!(gateway.sessions_of("tcp", 80).iter().all(|it| it.offloaded));
    let trace = gateway.trace("left-app", "172.16.2.10:80/tcp");
    assert_eq!(trace.verdict, "forwarded", "{trace:#?}");
    let steps: Vec<&str> = trace.steps.iter().map(|it| &*it.step).collect();
    for step in ["snat", "dnat"] {
        assert!(steps.contains(&step), "{trace:#?}");
    }
    let sessions = gateway.sessions().len();
    gateway.kill9();
    gateway.run();
    assert_eq!(gateway.sessions().len(), sessions);
    let page = get(&left, "http://172.16.2.10/");
    assert_eq!(page, "right-app 8080 172.16.1.10\n");

    // Without the entry the address answers ping only.
    let dnat = side("right", "172.16.2", "172.16.1");
    gateway.apply(&config.replacen(
        &dnat,
        &dnat.replacen("external_port = 80", "external_port = 88", 1),
        1,
    ));
    cannot_get(&left, "http://172.16.2.10/");
    left.ok("ping -c 1 -W 2 172.16.2.10");
    let page = get(&left, "http://172.16.2.10:88/");
    assert_eq!(page, "right-app 8080 172.16.1.10\n");
}

#[test]
fn networks_with_the_same_addresses_meet_by_nat_ips_through_tc() {
    the_same_addresses_meet("tc");
}

#[test]
fn networks_with_the_same_addresses_meet_by_nat_ips_through_xdp() {
    the_same_addresses_meet("xdp");
}
