//! What is kept of each resource.
//!
//! Records are written as JSON. A field that is added later has a default, so that what an earlier version
//! wrote can still be read.

use crate::table::Record;
use ipnet::Ipv4Net;
use model::{
    Direction, DnatMapping, Drain, Driver, Filtering, Hook, Id, Mapping, OutOfState, Policy,
    Pooling, RulePeer, SecurityGroupKind, Timeouts, UplinkMode,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Seconds since 1970-01-01 UTC.
pub type Seconds = u64;

/// The resource group of what names none.
pub const DEFAULT_RESOURCE_GROUP: &str = "rg-default";

/// What every resource has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// For people; may be empty.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// When it was made.
    pub created: Seconds,
    /// Its resource group; empty: [`DEFAULT_RESOURCE_GROUP`].
    pub resource_group: String,
    /// Tags: key and value.
    pub tags: BTreeMap<String, String>,
    /// A configuration file has named it: when a later file does not, it goes.
    pub of_file: bool,
}

impl Meta {
    /// Its resource group.
    pub fn resource_group(&self) -> &str {
        match &*self.resource_group {
            "" => DEFAULT_RESOURCE_GROUP,
            group => group,
        }
    }
}

pub use crate::firewall::records::*;

macro_rules! record {
    ($name:ident, $kind:literal) => {
        impl Record for $name {
            const KIND: &'static str = $kind;

            fn id(&self) -> &Id {
                &self.id
            }
        }
    };
}

/// The program's own settings: there is one such record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// Always [`System::ID`].
    pub id: Id,
    /// See [`model::System`].
    pub name: String,
    /// See [`model::System`].
    pub hook: Hook,
    /// See [`model::System`].
    pub max_sessions: u32,
    /// The regions; empty: [`model::Region::default`] alone.
    #[serde(default)]
    pub regions: Vec<model::Region>,
    /// How many there may be of what, by name, where it is not the default; see [`crate::quota::Quota`].
    #[serde(default)]
    pub quotas: BTreeMap<String, u32>,
    /// What the daemon does beside moving packets.
    #[serde(default)]
    pub services: model::Services,
}
pub(crate) use record;

record!(System, "system");

impl System {
    /// The identifier of the only record.
    pub const ID: &'static str = "system";
}

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

/// A security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Identifier, `sg-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its VPC.
    pub vpc: Id,
    /// Whether members reach each other unless a rule says otherwise.
    pub kind: SecurityGroupKind,
    /// Whether they do not although the kind says that they do.
    #[serde(default)]
    pub isolated: bool,
    /// Its rules.
    pub rules: Vec<SecurityRule>,
}
record!(SecurityGroup, "security-group");

/// A rule of a security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityRule {
    /// Identifier, `sgr-…`.
    pub id: Id,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// When it was made.
    #[serde(default)]
    pub created: Seconds,
    /// Which way it looks.
    pub direction: Direction,
    /// What it says.
    pub policy: Policy,
    /// 1 to 100, the smaller goes first.
    pub priority: u8,
    /// IP protocol; `None` is any.
    pub protocol: Option<u8>,
    /// Ports of the receiving side; `None`: all.
    pub ports: Option<RangeInclusive<u16>>,
    /// The other end.
    pub peer: RulePeer,
}

/// An instance. Its address, vSwitch and security groups are those of its primary network interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Identifier, `i-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its zone.
    #[serde(default)]
    pub zone: String,
    /// Its primary network interface.
    pub eni: Id,
    /// Whether it runs; one that is stopped has no network.
    pub running: bool,
    /// Its host name; empty: its identifier.
    #[serde(default)]
    pub host_name: String,
    /// The image that it was made of, as its maker named it.
    #[serde(default)]
    pub image: String,
    /// The type, as its maker named it.
    #[serde(default)]
    pub instance_type: String,
    /// When it was started last.
    #[serde(default)]
    pub started: Seconds,
    /// Whether it must not be deleted.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Its system disk.
    #[serde(default)]
    pub disk: SystemDisk,
    /// Its user data, sealed; nothing here runs it.
    #[serde(default)]
    pub user_data: String,
}
record!(Instance, "instance");

/// What is told of an instance's system disk, as its maker said it: an instance brings its own, and nothing depends
/// on it. It is called by the identifier of its instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemDisk {
    /// For people; may be empty.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// GiB.
    pub size: u32,
    /// The kind of disk.
    pub category: String,
    /// How fast it is, of kinds that say so.
    pub performance_level: String,
}

impl Default for SystemDisk {
    fn default() -> SystemDisk {
        SystemDisk {
            name: String::new(),
            description: String::new(),
            size: 40,
            category: "cloud_essd".into(),
            performance_level: "PL1".into(),
        }
    }
}

/// An elastic network interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eni {
    /// Identifier, `eni-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its vSwitch.
    pub vswitch: Id,
    /// The instance that it belongs to, if it is attached to one.
    pub instance: Option<Id>,
    /// Whether it is its instance's primary one: it lives and dies with the instance.
    pub primary: bool,
    /// Its primary address.
    pub address: Ipv4Addr,
    /// Its secondary addresses.
    #[serde(default)]
    pub secondary: Vec<Ipv4Addr>,
    /// Networks behind it: a LAN with many hosts, a router's networks.
    #[serde(default)]
    pub hosts: Vec<Ipv4Net>,
    /// Its security groups: at least one.
    pub security_groups: Vec<Id>,
    /// How it is brought to Linux.
    pub driver: Driver,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Whether it goes when its instance goes.
    #[serde(default)]
    pub delete_on_release: bool,
}
record!(Eni, "eni");

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

/// The answer to a call with a client token, kept for a day: the same call again gets the same answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Caller, operation and token.
    pub id: Id,
    /// A hash of the call's parameters.
    pub parameters: String,
    /// What was answered, as JSON.
    pub answer: String,
    /// When.
    pub created: Seconds,
}
record!(Token, "token");

/// An access key: who signs calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Identifier, `LTAI…`.
    pub id: Id,
    /// Name and the like: whose it is.
    #[serde(default)]
    pub meta: Meta,
    /// The secret, sealed with a key that is not in the store; in hexadecimal.
    pub sealed: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// The user whose it is; empty: the account's own, which may do everything.
    #[serde(default)]
    pub user: Id,
}
record!(AccessKey, "access-key");

/// A user of the API: may do what its policies allow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub id: Id,
    /// Its display name, comments as description.
    #[serde(default)]
    pub meta: Meta,
    /// Its number, which no user after it has.
    pub number: String,
    /// For people.
    #[serde(default)]
    pub email: String,
    /// For people.
    #[serde(default)]
    pub mobile_phone: String,
    /// The policies that are attached to it.
    #[serde(default)]
    pub policies: Vec<Attachment>,
}
record!(User, "user");

/// A policy that is attached to a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Whether it is one of the program's own ([`crate::access::builtin`]), or one that was made.
    pub builtin: bool,
    /// Its name.
    pub policy: Id,
    /// Since when.
    #[serde(default)]
    pub attached: Seconds,
}

/// An access policy that was made: what it is attached to may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessPolicy {
    /// Its name.
    pub id: Id,
    /// Description and the like.
    #[serde(default)]
    pub meta: Meta,
    /// See [`crate::access::Document`].
    pub document: String,
}
record!(AccessPolicy, "access-policy");
