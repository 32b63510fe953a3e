//! Pieces of a configuration file, to be put together.
//!
//! The constants are a VPC 192.168.0.0/16 with two vSwitches, an instance in each, `web-1` (192.168.1.10)
//! and `web-2` (192.168.2.10), three EIPs, `eip-1` to `eip-3` (203.0.113.11 to .13), and a NAT gateway.

/// The VPC and its vSwitches.
pub const NETWORK: &str = r#"
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
"#;

/// A security group: TCP and UDP ports 21, 22, 80, 5201, 7000 and 9000 to 9999, and ICMP.
pub const GROUP: &str = r#"
[[security_group]]
id = "sg"
vpc = "vpc"
rule = [
    { direction = "ingress", protocol = "tcp", ports = "21-22", cidr = "0.0.0.0/0" },
    { direction = "ingress", protocol = "tcp", ports = 80, cidr = "0.0.0.0/0" },
    { direction = "ingress", protocol = "tcp", ports = 5201, cidr = "0.0.0.0/0" },
    { direction = "ingress", protocol = "udp", ports = 5201, cidr = "0.0.0.0/0" },
    { direction = "ingress", protocol = "udp", ports = 7000, cidr = "0.0.0.0/0" },
    { direction = "ingress", protocol = "tcp", ports = "9000-9999", cidr = "0.0.0.0/0" },
    { direction = "ingress", protocol = "udp", ports = "9000-9999", cidr = "0.0.0.0/0" },
    { direction = "ingress", protocol = "icmp", cidr = "0.0.0.0/0" },
]
"#;

/// The instances, one in each vSwitch.
pub const INSTANCES: &str = r#"
[[instance]]
id = "web-1"
vswitch = "vsw-1"
address = "192.168.1.10"
security_groups = ["sg"]

[[instance]]
id = "web-2"
vswitch = "vsw-2"
address = "192.168.2.10"
security_groups = ["sg"]
"#;

/// Three EIPs.
pub const EIPS: &str = r#"
[[eip]]
id = "eip-1"
address = "203.0.113.11"

[[eip]]
id = "eip-2"
address = "203.0.113.12"

[[eip]]
id = "eip-3"
address = "203.0.113.13"
"#;

/// The NAT gateway with all EIPs. Its entries, and the table of its timeouts, can follow.
pub const GATEWAY: &str = r#"
[[nat_gateway]]
id = "ngw"
vpc = "vpc"
eips = ["eip-1", "eip-2", "eip-3"]
"#;

/// An SNAT entry: everything in the VPC goes out as `eip-1`.
pub const SNAT: &str = r#"
[[nat_gateway.snat]]
id = "snat"
vpc = true
eips = ["eip-1"]
"#;

/// An instance in a namespace, in the security group `sg`. Keys of its own may follow.
pub fn instance(id: &str, vswitch: &str, address: &str) -> String {
    format!(
        "\n[[instance]]\nid = \"{id}\"\nvswitch = \"{vswitch}\"\naddress = \"{address}\"\n\
         security_groups = [\"sg\"]\n"
    )
}

/// An SNAT entry for some sources: `source` is a key and its value, `eips` a list.
pub fn snat(id: &str, source: &str, eips: &str) -> String {
    format!("\n[[nat_gateway.snat]]\nid = \"{id}\"\n{source}\neips = {eips}\n")
}

/// A DNAT entry for a port or a range, like `80` or `"8000-8009"`, to as many ports of an instance.
pub fn dnat(eip: &str, protocol: &str, external: &str, instance: &str, internal: &str) -> String {
    format!(
        "\n[[nat_gateway.dnat]]\neip = \"{eip}\"\nprotocol = \"{protocol}\"\nexternal_port = {external}\n\
         instance = \"{instance}\"\ninternal_port = {internal}\n"
    )
}

/// A DNAT entry for all that comes to an EIP.
pub fn dnat_any(eip: &str, instance: &str) -> String {
    format!(
        "\n[[nat_gateway.dnat]]\neip = \"{eip}\"\nprotocol = \"any\"\ninstance = \"{instance}\"\n"
    )
}

/// The gateway's timeouts, for tests that wait for sessions to end; follows [`GATEWAY`].
pub const SHORT: &str = "
[nat_gateway.timeouts]
tcp_transitory = 2
udp = 10
";

/// A NAT firewall for the gateway; keys of its own may be given.
pub fn firewall(keys: &str) -> String {
    format!("\n[[nat_firewall]]\nid = \"fw\"\nnat_gateway = \"ngw\"\n{keys}\n")
}

/// A policy of the gateway's firewall: keys and values, separated by `;`.
pub fn policy(keys: &str) -> String {
    policy_of("ngw", keys)
}

/// A policy of a firewall.
pub fn policy_of(firewall: &str, keys: &str) -> String {
    let keys = keys.replace("; ", "\n");
    format!("\n[[policy]]\nfirewall = \"{firewall}\"\n{keys}\n")
}
