//! A world for the engine: a kernel that does what the eBPF programs do, links with stations that
//! answer ARP and verify every frame that they receive, and packets as values.
#![allow(dead_code, missing_docs)]

mod firewall;
mod kernel;
mod packet;
mod world;

pub use firewall::*;
pub use packet::*;
pub use world::*;

/// Two vSwitches with an instance each, a NAT gateway with two EIPs, an SNAT entry for the VPC, DNAT
/// entries: what most tests begin with.
pub const BASE: &str = r#"
[system]
max_sessions = 4096

[[uplink]]
id = "wan"
device = "eth1"
address = "203.0.113.2/24"
gateway = "203.0.113.1"

[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"

[[vswitch]]
id = "vsw-a"
vpc = "vpc"
cidr = "10.0.1.0/24"

[[vswitch]]
id = "vsw-b"
vpc = "vpc"
cidr = "10.0.2.0/24"

[[security_group]]
id = "open"
vpc = "vpc"

[[security_group.rule]]
direction = "ingress"
cidr = "0.0.0.0/0"

[[instance]]
id = "a"
vswitch = "vsw-a"
address = "10.0.1.10"
security_groups = ["open"]

[[instance]]
id = "b"
vswitch = "vsw-b"
address = "10.0.2.10"
security_groups = ["open"]

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

[[nat_gateway.snat]]
vpc = true
eips = ["eip-1"]

[[nat_gateway.dnat]]
eip = "eip-1"
protocol = "tcp"
external_port = 80
instance = "b"
internal_port = 8080
"#;

/// Addresses of [`BASE`], and one outside.
pub const A: &str = "10.0.1.10";
pub const B: &str = "10.0.2.10";
pub const EIP1: &str = "203.0.113.10";
pub const EIP2: &str = "203.0.113.11";
pub const SERVER: &str = "198.51.100.7";

/// [`BASE`] with some lines replaced: pairs of what is there and what comes instead.
pub fn base(changes: &[(&str, &str)]) -> String {
    let mut text = BASE.to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "{old:?} is not in the configuration");
        text = text.replacen(old, new, 1);
    }
    text
}
