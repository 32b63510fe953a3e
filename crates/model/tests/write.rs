//! What is written is read as what it was written of.

use model::file::{parse, write};
use model::{Config, Driver, Hook};

/// As the writer orders it.
fn ordered(mut config: Config) -> Config {
    config
        .enis
        .sort_by_key(|it| (!it.is_primary(), it.id.clone()));
    config
}

#[track_caller]
fn same(config: Config) {
    let text = write(&config);
    let read = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(ordered(read), ordered(config), "{text}");
}

const NETWORK: &str = r#"
[[uplink]]
id = "wan"
device = "eth1"
[[vpc]]
id = "v"
cidr = "192.168.0.0/16"
[[vswitch]]
id = "s"
vpc = "v"
cidr = "192.168.1.0/24"
[[instance]]
id = "web"
vswitch = "s"
address = "192.168.1.10"
[[nat_gateway]]
id = "n"
vpc = "v"
"#;

fn with(more: &str) -> Config {
    parse(&format!("{NETWORK}{more}")).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_tour_of_everything() {
    same(parse(include_str!("../../../docs/example.toml")).unwrap());
}

#[test]
fn nothing_and_little() {
    same(Config::default());
    same(with(""));
}

#[test]
fn what_the_tour_leaves_out() {
    same(with(
        r#"
        snat_ports = "2000-2999"
        icmp_reply = false
        source_metrics = true
        drain_seconds = 0
        tcp_out_of_state = "drop"
        mapping = "address-and-port-dependent"
        filtering = "endpoint-independent"
        timeouts = { udp = 5, tcp_established = 604800 }
        [[region]]
        id = "r"
        zones = ["a", "b"]
        [[security_group]]
        id = "g"
        vpc = "v"
        kind = "enterprise"
        [[security_group.rule]]
        direction = "egress"
        policy = "drop"
        protocol = 50
        priority = 100
        group = "g"
        [[security_group.rule]]
        direction = "ingress"
        protocol = "udp"
        ports = "53-54"
        cidr = "0.0.0.0/0"
        "#,
    ));
    // Firewalls, on and off, that divert what they name, all there is, or nothing.
    for firewalls in [
        "[[nat_firewall]]\nid = \"fw\"\nnat_gateway = \"n\"",
        "[[nat_firewall]]\nid = \"fw\"\nnat_gateway = \"n\"\nenabled = false\nmode = \"strict\"",
        "[[nat_firewall]]\nid = \"fw\"\nnat_gateway = \"n\"\nroute_tables = []\ninbound = true",
        "[firewall_license]\nfirewalls = 0\ncapacity = 10\nover_capacity = \"block\"\nauto_renew = 1",
    ] {
        same(with(firewalls));
    }
    let mut config = with("");
    config.system.hook = Hook::Xdp;
    config.system.max_sessions = 100_000_000;
    config.system.name = "edge-2".into();
    config.enis[0].driver = Driver::Device {
        device: "a\"b\\\t".into(),
    };
    let text = write(&config);
    assert!(text.contains("hook = \"xdp\""), "{text}");
    // Such a name is refused, but it is read as it was.
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.contains(r#"a\"b\\\t"#), "{error}");
}

#[test]
fn a_vpc_without_a_default_route_does_not_get_one() {
    let mut config = with("");
    for table in &mut config.route_tables {
        assert_eq!(table.routes.len(), 1);
        table.routes.clear();
    }
    assert!(write(&config).contains("default_route = false"));
    same(config);
    let error = parse(
        "[[vpc]]\nid = \"v\"\ncidr = \"10.0.0.0/8\"\n[[route_table]]\nid = \"t\"\nvpc = \"v\"\ndefault_route = true\n",
    );
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "line 7: route table \"t\": default_route is only for the system table"
    );
}

#[test]
fn firewalls() {
    same(with(
        r#"
        [[eip]]
        id = "e"
        address = "203.0.113.10"
        [border_firewall]
        eips = ["e"]
        strict_eips = ["e"]
        default_action = "drop"
        on_drop = "silent"
        name_check = "report"
        threats = { IpOutThreatTorExit = "drop", mining = "alert" }
        [dns_firewall]
        refusal = "empty"
        [[address_book]]
        id = "office"
        name = "The office"
        ip = ["192.0.2.0/24", "198.51.100.7"]
        [[address_book]]
        id = "six"
        ipv6 = ["2001:db8::/32"]
        [[address_book]]
        id = "shops"
        domains = ["*.Shop.example", "bücher.example"]
        [[address_book]]
        id = "web"
        ports = [80, "8000-8099"]
        [[address_book]]
        id = "prod"
        tagged = ["192.168.1.10"]
        [[address_book]]
        id = "bad"
        threat = "mining"
        [[address_book]]
        id = "storage"
        cloud = "https://ranges.example/ip-ranges.json"
        services = ["S3"]
        regions = ["eu-west-1", "eu-west-2"]
        refresh = 600
        [[address_book]]
        id = "hooks"
        description = "Who calls us"
        cloud = "/etc/hooks.json"
        [[policy]]
        firewall = "n"
        description = "shops only"
        source_book = "prod"
        destination_book = "shops"
        protocol = "tcp"
        port_book = "web"
        applications = ["HTTP", "https"]
        action = "accept"
        resolve = "both"
        [[policy]]
        firewall = "border-in"
        id = "in-1"
        source_location = ["CN", "US-CA"]
        action = "log"
        enabled = false
        [[policy]]
        firewall = "n"
        domain = "*"
        resolve = "dns"
        ports = "1-1024"
        action = "drop"
        validity = { repeat = "weekly", days = [1, 5], start = "22:00", end = "06:00", offset = "-03:30", until = 2030-01-01T00:00:00Z }
        [[policy]]
        firewall = "n"
        destination_location = ["DE"]
        action = "drop"
        validity = { repeat = "daily", start = "22:00", end = "06:00", zone = "Europe/Berlin" }
        [[policy]]
        firewall = "n"
        destination_location = ["FR"]
        action = "drop"
        validity = { repeat = "once", from = 2026-12-01T08:00:00+08:00, until = 2026-12-02T00:00:00Z }
        [[policy]]
        firewall = "dns"
        domain = "*.example"
        action = "drop"
        [[threat_feed]]
        id = "f"
        location = "https://feeds.example/list.csv"
        category = "mining"
        format = "csv"
        refresh = 600
        "#,
    ));
}

#[test]
fn a_policy_without_an_identifier_keeps_the_one_that_is_made_for_it_wherever_it_stands() {
    let one = "[[policy]]\nfirewall = \"n\"\nprotocol = \"tcp\"\naction = \"drop\"\n";
    let other = "[[policy]]\nfirewall = \"n\"\nprotocol = \"udp\"\naction = \"drop\"\n";
    let ids = |config: &Config| -> Vec<String> {
        let policies = config.firewalls.policies[0].policies.iter();
        policies.map(|it| it.id.clone()).collect()
    };
    let alone = ids(&with(one));
    let elsewhere = one.replace("\"n\"", "\"border-out\"");
    let last = ids(&with(&format!("{other}{one}{elsewhere}{one}{one}")));
    assert_eq!(alone[0], last[1]);
    assert_eq!(last[2], format!("{}-2", alone[0]));
    assert_eq!(last[3], format!("{}-3", alone[0]));
    assert_ne!(last[0], last[1]);
}
