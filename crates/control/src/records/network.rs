//! What is kept of networks: uplinks, VPCs, vSwitches, routes and peer connections.

use super::{Meta, Seconds, record};
use crate::table::Record;
use ipnet::Ipv4Net;
use model::{Id, UplinkMode};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// An interface to the outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uplink {
    /// Identifier.
    pub id: Id,
    /// Name of the Linux interface.
    pub device: String,
    /// Who else uses it.
    pub mode: UplinkMode,
    /// The gateway's address there.
    pub address: Option<Ipv4Net>,
    /// The next router.
    pub gateway: Option<Ipv4Addr>,
    /// Largest IP packet in bytes.
    pub mtu: Option<u16>,
    /// The addresses that new EIPs are taken from.
    #[serde(default)]
    pub pool: Vec<Ipv4Net>,
}
record!(Uplink, "uplink");

/// A VPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vpc {
    /// Identifier, `vpc-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its region.
    #[serde(default)]
    pub region: String,
    /// Its router, `vrt-…`: a name for the sum of its route tables.
    pub router: Id,
    /// The router's name and description.
    #[serde(default)]
    pub router_meta: Meta,
    /// Its address blocks: the first is the primary, the others are secondary.
    pub cidrs: Vec<Ipv4Net>,
    /// Further blocks that its routes may name although they are not private.
    #[serde(default)]
    pub user_cidrs: Vec<Ipv4Net>,
    /// The one that `CreateDefaultVpc` made.
    #[serde(default)]
    pub default: bool,
}
record!(Vpc, "vpc");

/// A vSwitch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VSwitch {
    /// Identifier, `vsw-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its VPC.
    pub vpc: Id,
    /// Its zone.
    #[serde(default)]
    pub zone: String,
    /// Its address block.
    pub cidr: Ipv4Net,
    /// Its route table: the VPC's system table, or a custom one.
    pub route_table: Id,
    /// The one that `CreateDefaultVSwitch` made.
    #[serde(default)]
    pub default: bool,
}
record!(VSwitch, "vswitch");

/// A route table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Identifier, `vtb-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its VPC.
    pub vpc: Id,
    /// Whether it is the VPC's system table: there is exactly one.
    pub system: bool,
}
record!(RouteTable, "route-table");

/// A custom route entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Identifier, `rte-…`.
    pub id: Id,
    /// Name, description.
    #[serde(default)]
    pub meta: Meta,
    /// Its route table.
    pub table: Id,
    /// Destination: one entry for each in a table.
    pub destination: Ipv4Net,
    /// Where it leads.
    pub next_hop: NextHop,
}
record!(Route, "route");

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "id", rename_all = "kebab-case")]
pub enum NextHop {
    /// The primary interface of an instance.
    Instance(Id),
    /// A network interface.
    Eni(Id),
    /// A NAT gateway.
    NatGateway(Id),
    /// The VPC at the other end of a peer connection.
    Peering(Id),
    /// Nowhere.
    Blackhole,
}

/// A VPC peer connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peering {
    /// Identifier, `pcc-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// The VPC that asked for it.
    pub vpc: Id,
    /// The other one.
    pub accepting_vpc: Id,
    /// Whether the other side has agreed: only then it carries traffic.
    pub accepted: bool,
    /// Whether the other side has refused: then it can only be deleted.
    #[serde(default)]
    pub rejected: bool,
    /// The account of the other side, as its maker has named it; it is told back.
    #[serde(default)]
    pub accepting_account: u64,
    /// Mbit/s between regions, as its maker has named it; 0: not named. It is told back.
    #[serde(default)]
    pub bandwidth: u32,
    /// `Gold` or `Platinum` between regions, as its maker has named it; it is told back.
    #[serde(default)]
    pub link_type: String,
    /// When it was changed last; 0: never.
    #[serde(default)]
    pub modified: Seconds,
    /// Whether it must not be deleted.
    #[serde(default)]
    pub deletion_protection: bool,
}
record!(Peering, "peering");
