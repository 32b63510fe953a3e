//! The command line of what a running gateway is asked.

use super::{Callee, Daemon};
use crate::socket::protocol::Sort;
use crate::target::{Source, Target, TargetError, parse_protocol};
use clap::Args;
use std::net::Ipv4Addr;

/// List live sessions: who talks to whom, how it is translated, and how much.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice sessions --instance web-1 --protocol tcp
  sluice sessions --address 198.51.100.7
  sluice sessions --sort bytes --limit 10 --watch
  sluice sessions --json --limit 0 | jq length")]
pub struct Sessions {
    /// Only those of this network interface (an instance stands for its primary one)
    #[arg(long, visible_alias = "instance", value_name = "ID")]
    pub eni: Option<String>,
    /// Only those through this NAT gateway
    #[arg(long, value_name = "ID")]
    pub gateway: Option<String>,
    /// Only those of this protocol: tcp, udp, icmp, gre or a number
    #[arg(long, value_parser = protocol)]
    pub protocol: Option<u8>,
    /// Only those with this address at either end, before or after translation
    #[arg(long, value_name = "IP")]
    pub address: Option<Ipv4Addr>,
    /// At most so many; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// The greatest first
    #[arg(long, value_name = "BY")]
    pub sort: Option<Sort>,
    /// Print JSON: one array
    #[arg(long)]
    pub json: bool,
    /// Print again every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub watch: Option<u64>,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

fn protocol(text: &str) -> Result<u8, TargetError> {
    parse_protocol(text)
}

/// List the gateway's interfaces: uplinks and the network interfaces of instances.
#[derive(Debug, Args)]
pub struct Ports {
    /// Print JSON: one array
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Show counters: packets by the way they took, drops by reason, sessions, use of EIPs.
#[derive(Debug, Args)]
pub struct Stats {
    /// Print JSON: one object
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Show what was used: bytes, packets, sessions and highest rates of NAT gateways and EIPs.
///
/// Of one gateway or EIP by the hour, else in all. Hours are kept for 400 days. Rates are those of the highest
/// minute. A capacity unit is the largest of 1,000 new sessions a second, 10,000 sessions at once and 1 GB in an
/// hour.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice usage                                  of the last 24 hours
  sluice usage --gateway ngw-1                  the same by the hour
  sluice usage --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --json")]
pub struct Usage {
    /// Of this NAT gateway, by the hour
    #[arg(long, value_name = "ID", conflicts_with_all = ["eip", "nat_ip"])]
    pub gateway: Option<String>,
    /// Of this EIP, by the hour
    #[arg(long, value_name = "ID", conflicts_with = "nat_ip")]
    pub eip: Option<String>,
    /// Of this NAT IP of a VPC NAT gateway, by the hour
    #[arg(long, value_name = "ID")]
    pub nat_ip: Option<String>,
    /// From the hour of this time on, as 2026-11-21T00:00:00Z [default: 24 hours before the end]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// To this time [default: now]
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Print JSON: of one an array of hours, else an object with three arrays
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
}

/// Show how many there may be of what, and how many there are.
///
/// Of what is counted for each of several (the entries of a gateway), the most that one has is shown, and which one
/// that is. The table `[quotas]` of the configuration file sets them.
#[derive(Debug, Args)]
pub struct Quotas {
    /// Print JSON: one array
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
}

/// Tell what would happen to a packet, step by step, or why it would be dropped.
///
/// The packet is made up and walks the same engine as real ones; nothing is sent and nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice trace --from web-1 --to 198.51.100.7:443/tcp       from an instance to the Internet
  sluice trace --from 203.0.113.9:5555 --to eip-1:80/tcp    from the Internet to an EIP
  sluice trace --from web-1 --to 198.51.100.7/icmp          a ping
  sluice trace --from web-1 --to 198.51.100.7:443/tcp --app HTTPS --domain www.example.com")]
pub struct Trace {
    /// Where it comes from: an instance or a network interface, or an address of the Internet
    #[arg(long, value_name = "INSTANCE|IP[:PORT]")]
    pub from: Source,
    /// Where it goes: an address, or the name of an EIP or an instance
    #[arg(long, value_name = "IP|EIP|INSTANCE[:PORT][/PROTOCOL]")]
    pub to: Target,
    /// What it would turn out to speak, e.g. HTTPS: for firewalls
    #[arg(long, value_name = "APP")]
    pub app: Option<model::App>,
    /// The domain that it would turn out to be for
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// Print JSON: one object
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}
