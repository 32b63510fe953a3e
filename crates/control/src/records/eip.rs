//! What is kept of elastic IPs.

use super::{Meta, record};
use crate::table::Record;
use model::Id;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// An elastic IP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eip {
    /// Identifier, `eip-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its region.
    #[serde(default)]
    pub region: String,
    /// The public address.
    pub address: Ipv4Addr,
    /// The uplink that it is reached by.
    pub uplink: Id,
    /// Whether the uplink was asked for, as an address pool: then it is told back.
    #[serde(default)]
    pub of_pool: bool,
    /// Mbit/s each way while it shares no package; `None`: unlimited.
    pub bandwidth: Option<u32>,
    /// How traffic is charged: `PayByTraffic` or `PayByBandwidth`; nothing here depends on it.
    #[serde(default)]
    pub internet_charge_type: String,
    /// What it is bound to.
    pub binding: Option<EipBinding>,
    /// Whether the private address was named when it was bound: then it is told back.
    #[serde(default)]
    pub address_named: bool,
    /// The bandwidth package that it shares.
    #[serde(default)]
    pub package: Option<Id>,
    /// Mbit/s each way that it may have of the package's; `None`: all of it.
    #[serde(default)]
    pub package_bandwidth: Option<u32>,
    /// Whether the firewall of the Internet border protects it.
    #[serde(default)]
    pub protected: bool,
    /// Whether a file says so: then it stops when a later one does not.
    #[serde(default)]
    pub protected_of_file: bool,
    /// Whether it must not be released.
    #[serde(default)]
    pub deletion_protection: bool,
}
record!(Eip, "eip");

/// What an EIP is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "id", rename_all = "kebab-case")]
pub enum EipBinding {
    /// An instance's primary network interface, one to one.
    Instance(Id),
    /// A network interface, one to one.
    Eni(Id),
    /// A NAT gateway, for its entries.
    NatGateway(Id),
}

/// EIPs that share one bandwidth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BandwidthPackage {
    /// Identifier, `cbwp-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its region.
    #[serde(default)]
    pub region: String,
    /// Mbit/s each way, all together.
    pub bandwidth: u32,
    /// Whether it must not be deleted.
    #[serde(default)]
    pub deletion_protection: bool,
}
record!(BandwidthPackage, "bandwidth-package");
