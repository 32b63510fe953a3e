//! What the demo builds: names, addresses, and the files that say so.
//!
//! ```text
//!  sluice-demo-web-1   sluice-demo-web-2         sluice-demo-gw      sluice-demo-router  sluice-demo-net
//!  192.168.1.10        192.168.2.20       VPC    203.0.113.2         203.0.113.1         198.51.100.7 server
//!  vsw-1 ──────────────vsw-2──────────────────── uplink0 ─────────── 198.51.100.1 ────── 198.51.100.9 client
//!                                                203.0.113.10 eip-1
//!                                                203.0.113.11 eip-2
//! ```

use model::Hook;
use std::path::{Path, PathBuf};

/// The gateway's name: of its socket, its kernel objects and its instances' namespaces.
pub const NAME: &str = "sluice-demo";

/// What the names of all namespaces begin with.
pub const PREFIX: &str = "sluice-demo-";

/// The namespace that the gateway runs in.
pub const GATEWAY: &str = "sluice-demo-gw";

/// Where the demo's files are.
pub const DIR: &str = "/run/sluice/demo";

/// The gateway's configuration, in [`DIR`].
pub const CONFIG: &str = "/run/sluice/demo/gateway.toml";

/// What the gateway logs, in [`DIR`].
pub const LOG: &str = "/run/sluice/demo/gateway.log";

/// Bytes of the file that the server of the Internet has to offer.
pub const DOWNLOAD: u64 = 32 << 20;

/// The commands that make the Internet: a router, and a network with one server and one client behind it.
pub const INTERNET: &[&str] = &[
    "ip netns add sluice-demo-gw",
    "ip netns add sluice-demo-router",
    "ip netns add sluice-demo-net",
    "ip -n sluice-demo-gw link add uplink0 type veth peer name to-gateway netns sluice-demo-router",
    "ip -n sluice-demo-net link add eth0 type veth peer name to-net netns sluice-demo-router",
    "ip -n sluice-demo-gw link set uplink0 up",
    "ip -n sluice-demo-router address add 203.0.113.1/24 dev to-gateway",
    "ip -n sluice-demo-router address add 198.51.100.1/24 dev to-net",
    "ip -n sluice-demo-router link set to-gateway up",
    "ip -n sluice-demo-router link set to-net up",
    "ip netns exec sluice-demo-router sysctl -qw net.ipv4.ip_forward=1",
    "ip -n sluice-demo-net address add 198.51.100.9/24 dev eth0",
    "ip -n sluice-demo-net address add 198.51.100.7/24 dev eth0",
    "ip -n sluice-demo-net link set lo up",
    "ip -n sluice-demo-net link set eth0 up",
    "ip -n sluice-demo-net route add default via 198.51.100.1",
];

/// What XDP needs besides on a veth pair: that the far end computes its checksums itself, and can take
/// what is redirected to it.
pub const XDP: &[&str] = &["ip netns exec sluice-demo-router ethtool -K to-gateway tx off gro on"];

/// The gateway's configuration.
pub fn config(hook: Hook) -> String {
    format!(
        r#"[system]
name = "{NAME}"
hook = "{hook}"

[[uplink]]
id = "wan"
device = "uplink0"
address = "203.0.113.2/24"
gateway = "203.0.113.1"

[[vpc]]
id = "vpc"
cidr = "192.168.0.0/16"

[[vswitch]]
id = "vsw-1"
vpc = "vpc"
cidr = "192.168.1.0/24"

[[vswitch]]
id = "vsw-2"
vpc = "vpc"
cidr = "192.168.2.0/24"

[[security_group]]
id = "sg-web"
vpc = "vpc"

[[security_group.rule]]
direction = "ingress"
protocol = "tcp"
ports = 80
cidr = "0.0.0.0/0"

[[security_group.rule]]
direction = "ingress"
protocol = "tcp"
ports = "9000-9009"
cidr = "0.0.0.0/0"

[[security_group.rule]]
direction = "ingress"
protocol = "icmp"
cidr = "0.0.0.0/0"

[[instance]]
id = "web-1"
vswitch = "vsw-1"
address = "192.168.1.10"
security_groups = ["sg-web"]

[[instance]]
id = "web-2"
vswitch = "vsw-2"
address = "192.168.2.20"
security_groups = ["sg-web"]

[[eip]]
id = "eip-1"
address = "203.0.113.10"

[[eip]]
id = "eip-2"
address = "203.0.113.11"

[[nat_gateway]]
id = "ngw"
vpc = "vpc"
eips = ["eip-1", "eip-2"]

# Whoever has no EIP of his own goes out as eip-1.
[[nat_gateway.snat]]
id = "snat-vpc"
vpc = true
eips = ["eip-1"]

# One port, ten ports, and everything that comes to eip-2.
[[nat_gateway.dnat]]
id = "dnat-port"
eip = "eip-1"
protocol = "tcp"
external_port = 80
instance = "web-1"
internal_port = 80

[[nat_gateway.dnat]]
id = "dnat-range"
eip = "eip-1"
protocol = "tcp"
external_port = "8000-8009"
instance = "web-2"
internal_port = "9000-9009"

[[nat_gateway.dnat]]
id = "dnat-any"
eip = "eip-2"
protocol = "any"
instance = "web-2"

# What leaves by the gateway is looked at: everything may but what is for names below ads.example.
[[nat_firewall]]
id = "fw"
nat_gateway = "ngw"

[[policy]]
id = "no-ads"
firewall = "ngw"
protocol = "tcp"
ports = 80
domain = "*.ads.example"
action = "drop"
"#
    )
}

/// A web server of the demo.
pub struct WebServer {
    /// What it calls itself, and its files.
    pub name: &'static str,
    /// Where it runs: what comes before `nginx` on the command line.
    pub place: &'static str,
    /// What it listens on, as nginx writes it.
    listen: &'static [&'static str],
}

/// The web servers. That on port 8080 is not for the Internet.
pub const WEB_SERVERS: [WebServer; 3] = [
    WebServer {
        name: "web-1",
        place: "sluice exec web-1 --",
        listen: &["80"],
    },
    WebServer {
        name: "web-2",
        place: "sluice exec web-2 --",
        listen: &["80", "8080", "9000-9009"],
    },
    WebServer {
        name: "internet",
        place: "ip netns exec sluice-demo-net",
        listen: &["198.51.100.7:80"],
    },
];

impl WebServer {
    /// One of its files: `conf`, `pid`, `log` …
    pub fn file(&self, what: &str) -> PathBuf {
        Path::new(DIR).join(format!("{}.{what}", self.name))
    }

    /// Its configuration: it answers with its name, the port, and the address that it sees.
    pub fn config(&self) -> String {
        let mut listen = String::new();
        for on in self.listen {
            listen += &format!("        listen {on};\n");
        }
        let mut temporary = String::new();
        for what in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            temporary += &format!("    {what}_temp_path {};\n", self.file(what).display());
        }
        format!(
            r#"worker_processes 1;
pid {pid};
error_log {log};
events {{ worker_connections 256; }}
http {{
    access_log off;
{temporary}    server {{
{listen}        default_type text/plain;
        location = /download {{ root {DIR}; }}
        location / {{ return 200 "{name} port $server_port sees $remote_addr\n"; }}
    }}
}}
"#,
            pid = self.file("pid").display(),
            log = self.file("log").display(),
            name = self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_valid_and_has_the_names_that_the_demo_uses() {
        for hook in [Hook::Auto, Hook::Tc, Hook::Xdp] {
            let config =
                model::file::parse(&config(hook)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(config.system.hook, hook);
            assert_eq!(config.system.name, NAME);
            assert_eq!(config.system.namespace("web-1"), format!("{PREFIX}web-1"));
            assert_eq!(config.enis.len(), 2);
            assert_eq!(config.nat_gateways[0].dnat.len(), 3);
        }
    }

    #[test]
    fn every_name_of_the_scenario_can_be_found_again_for_removal() {
        assert!(GATEWAY.starts_with(PREFIX));
        for command in INTERNET.iter().chain(XDP) {
            let words: Vec<&str> = command.split_whitespace().collect();
            assert_eq!(words[0], "ip");
            let names = words.iter().filter(|word| word.starts_with("sluice"));
            assert!(
                names.clone().count() > 0,
                "{command} is outside of every namespace"
            );
            assert!(
                names.clone().all(|name| name.starts_with(PREFIX)),
                "{command}"
            );
        }
        for path in [CONFIG.into(), LOG.into(), WEB_SERVERS[0].file("conf")] {
            assert!(path.starts_with(DIR));
        }
    }
}
