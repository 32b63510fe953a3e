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
        tcp_out_of_state = "drop"
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
