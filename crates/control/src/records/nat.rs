//! What is kept of NAT gateways, their entries and NAT IPs.

use super::{Meta, record};
use crate::table::Record;
use ipnet::Ipv4Net;
use model::{DnatMapping, Drain, Filtering, Id, Mapping, OutOfState, Pooling, Timeouts};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatGateway {
    /// Identifier, `ngw-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its VPC, for life.
    pub vpc: Id,
    /// Whether it is a VPC NAT gateway: it translates to NAT IPs, not to EIPs.
    #[serde(default)]
    pub intranet: bool,
    /// The vSwitch that it takes its private address from, and that a VPC NAT gateway's packets go on from; a
    /// gateway of a file for the Internet may have none.
    pub vswitch: Option<Id>,
    /// Its private address; of a VPC NAT gateway its first NAT IP.
    pub private_address: Option<Ipv4Addr>,
    /// Its own network interface's identifier, `eni-…`; it is nothing but a name.
    #[serde(default)]
    pub eni: Id,
    /// Its SNAT table, `stb-…`.
    pub snat_table: Id,
    /// Its DNAT table, `ftb-…`.
    pub forward_table: Id,
    /// Its FullNAT table, `fulltb-…`.
    #[serde(default)]
    pub full_nat_table: Id,
    /// Whether an EIP serves SNAT and DNAT at once (`Enhanced`) or one of them (`Normal`).
    pub enhanced: bool,
    /// `MULTI_BINDED` or `NAT`: how its EIPs are shown; they work the same.
    #[serde(default)]
    pub eip_bind_mode: String,
    /// Whether its EIPs answer ping where no entry takes it.
    pub icmp_reply: bool,
    /// Whether it must not be deleted.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Whether traffic is counted for each private address.
    #[serde(default)]
    pub ecs_metric: bool,
    /// What the cloud does not let one choose.
    pub nat: NatSettings,
}
record!(NatGateway, "nat-gateway");

impl NatGateway {
    /// How EIPs are shown if nobody says otherwise.
    pub const BIND_MODE: &str = "MULTI_BINDED";
}

/// What may be chosen of a gateway's translation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NatSettings {
    /// How far an SNAT mapping serves.
    pub mapping: Mapping,
    /// Which inbound packets an SNAT mapping lets in.
    pub filtering: Filtering,
    /// When sessions end.
    pub timeouts: Timeouts,
    /// Sessions that one source address may have at once.
    pub max_sessions_per_source: Option<u32>,
    /// Ports that SNAT may use.
    pub snat_ports: RangeInclusive<u16>,
    /// What happens to TCP segments from inside that belong to no session.
    pub tcp_out_of_state: OutOfState,
    /// How long sessions go on that a changed SNAT entry does not cover any more.
    pub drain: Duration,
}

impl Default for NatSettings {
    fn default() -> Self {
        NatSettings {
            mapping: Mapping::default(),
            filtering: Filtering::default(),
            timeouts: Timeouts::default(),
            max_sessions_per_source: None,
            snat_ports: model::SNAT_PORTS,
            tcp_out_of_state: OutOfState::default(),
            drain: model::DRAIN,
        }
    }
}

/// An SNAT entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnatEntry {
    /// Identifier, `snat-…`.
    pub id: Id,
    /// Name.
    #[serde(default)]
    pub meta: Meta,
    /// Its NAT gateway.
    pub gateway: Id,
    /// Whose traffic it is for.
    pub source: SnatSource,
    /// The EIPs, or NAT IPs of a VPC NAT gateway, in the order they were given.
    pub eips: Vec<Id>,
    /// How it picks among them.
    pub pooling: Pooling,
    /// What it does not cover any more, and lets go on for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drains: Vec<Drain>,
}
record!(SnatEntry, "snat");

/// Whose traffic an SNAT entry is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "kebab-case")]
pub enum SnatSource {
    /// A vSwitch.
    VSwitch(Id),
    /// Any block: a VPC, an instance (/32), a part of one.
    Cidr(Ipv4Net),
}

/// A DNAT entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnatEntry {
    /// Identifier, `fwd-…`.
    pub id: Id,
    /// Name.
    #[serde(default)]
    pub meta: Meta,
    /// Its NAT gateway.
    pub gateway: Id,
    /// The EIP, or NAT IP of a VPC NAT gateway.
    pub eip: Id,
    /// Where to.
    pub internal: Ipv4Addr,
    /// What is mapped.
    pub mapping: DnatMapping,
    /// The protocol as its maker wrote it: it is told back in the same letters.
    #[serde(default)]
    pub protocol: String,
}
record!(DnatEntry, "dnat");

/// A NAT IP: an address that a VPC NAT gateway translates to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatIp {
    /// Identifier, `vpcnatip-…`.
    pub id: Id,
    /// Name, description.
    #[serde(default)]
    pub meta: Meta,
    /// Its NAT gateway.
    pub gateway: Id,
    /// The address: in the block of the gateway's vSwitch, or in another one of its [`NatIpCidr`]s.
    pub address: Ipv4Addr,
    /// Whether the gateway was made with it: it lives and dies with the gateway.
    #[serde(default)]
    pub default: bool,
}
record!(NatIp, "nat-ip");

/// A block that NAT IPs of a VPC NAT gateway are taken from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatIpCidr {
    /// Identifier, `vpcnatcidr-…`.
    pub id: Id,
    /// Name, description.
    #[serde(default)]
    pub meta: Meta,
    /// Its NAT gateway.
    pub gateway: Id,
    /// The block.
    pub cidr: Ipv4Net,
    /// Whether it is that of the gateway's vSwitch: it lives and dies with the gateway.
    #[serde(default)]
    pub default: bool,
}
record!(NatIpCidr, "nat-ip-cidr");
