//! The resources and their fields.

use crate::{Details, Firewalls, Kind, Services};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A resource's identifier, e.g. `vpc-1`. Unique among all resources of its kind.
pub type Id = String;

/// Everything that a gateway is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The program's own settings.
    pub system: System,
    /// The regions of the cloud API; empty: [`Region::default`] alone.
    pub regions: Vec<Region>,
    /// Interfaces to the outside.
    pub uplinks: Vec<Uplink>,
    /// Private networks.
    pub vpcs: Vec<Vpc>,
    /// Subnets.
    pub vswitches: Vec<VSwitch>,
    /// Route tables, the system tables included.
    pub route_tables: Vec<RouteTable>,
    /// Security groups.
    pub security_groups: Vec<SecurityGroup>,
    /// Elastic network interfaces, the primary ones of the instances included.
    pub enis: Vec<Eni>,
    /// Elastic IPs.
    pub eips: Vec<Eip>,
    /// Bandwidth packages that EIPs share.
    pub bandwidth_packages: Vec<BandwidthPackage>,
    /// NAT gateways with their SNAT and DNAT entries.
    pub nat_gateways: Vec<NatGateway>,
    /// NAT IPs of VPC NAT gateways.
    pub nat_ips: Vec<NatIp>,
    /// VPC peer connections.
    pub peerings: Vec<Peering>,
    /// Firewalls, their policies and what these refer to.
    pub firewalls: Firewalls,
    /// What a file says of resources besides: the engine is not told, and has nothing here.
    pub details: Details,
}

impl Config {
    /// Whether records of sessions are wanted: if nothing else is said, while there is a firewall.
    pub fn records(&self) -> bool {
        let enabled = self.system.services.records.enabled;
        enabled.unwrap_or_else(|| self.firewalls.any())
    }
}

/// Where in the kernel the programs hook in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// XDP on interfaces whose driver has it natively and that are neither veth, tap, bridge nor
    /// virtio; TC on all others.
    #[default]
    Auto,
    /// TC ingress (TCX).
    Tc,
    /// XDP.
    Xdp,
}

/// The program's own settings.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// Names namespaces, pinned maps and the control socket, so that several gateways can run on
    /// one machine. Letters, digits and `-`, at most 32.
    pub name: String,
    /// Where the programs hook in.
    pub hook: Hook,
    /// How many sessions there can be at once, 1,024 to 100,000,000. Takes effect at start: the
    /// flow table is made once.
    pub max_sessions: u32,
    /// How many there may be of what, by the name of the [`Quota`](crate::Quota), where it is not the default.
    pub quotas: BTreeMap<String, u32>,
    /// What the daemon does beside moving packets.
    pub services: Services,
}

impl Default for System {
    fn default() -> Self {
        System {
            name: "sluice".into(),
            hook: Hook::Auto,
            max_sessions: 262_144,
            quotas: BTreeMap::new(),
            services: Services::default(),
        }
    }
}

impl System {
    /// The name of the network namespace of an instance that is brought to Linux as
    /// [`Driver::Netns`]. At most 161 characters, so it fits a file's name.
    pub fn namespace(&self, instance: &str) -> String {
        format!("{}-{instance}", self.name)
    }
}

/// A region of the cloud API: names that calls must give, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Identifier, e.g. `cn-hangzhou`.
    pub id: Id,
    /// The identifiers of its zones: at least one.
    pub zones: Vec<Id>,
}

impl Default for Region {
    fn default() -> Self {
        let zones = ["cn-hangzhou-h", "cn-hangzhou-i", "cn-hangzhou-j"];
        Region {
            id: "cn-hangzhou".into(),
            zones: zones.map(str::to_owned).into(),
        }
    }
}

/// Who else uses an uplink's interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UplinkMode {
    /// Nobody: everything that comes in is for us.
    #[default]
    Own,
    /// The host: only what is for our EIPs is taken.
    Shared,
}

/// An interface to the outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Uplink {
    /// Identifier.
    pub id: Id,
    /// Name of the Linux interface.
    pub device: String,
    /// Who else uses it.
    pub mode: UplinkMode,
    /// The gateway's address there, with the prefix that is directly reachable. It answers ping if the
    /// uplink is ours, and is the source of ICMP errors. `None`: errors come from the EIP concerned.
    pub address: Option<Ipv4Net>,
    /// The next router. `None`: only what is directly reachable is reached.
    pub gateway: Option<Ipv4Addr>,
    /// Largest IP packet in bytes. `None`: the interface's.
    pub mtu: Option<u16>,
    /// The addresses that the cloud API takes new EIPs from.
    pub pool: Vec<Ipv4Net>,
}

/// A private network.
#[derive(Clone, Debug, PartialEq)]
pub struct Vpc {
    /// Identifier.
    pub id: Id,
    /// Its address blocks: the first is the primary, the others are secondary.
    pub cidrs: Vec<Ipv4Net>,
}

impl Vpc {
    /// Whether an address lies in one of its blocks.
    pub fn contains(&self, addr: Ipv4Addr) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(&addr))
    }
}

/// A subnet of a VPC.
#[derive(Clone, Debug, PartialEq)]
pub struct VSwitch {
    /// Identifier.
    pub id: Id,
    /// Its VPC.
    pub vpc: Id,
    /// Its address block.
    pub cidr: Ipv4Net,
    /// Its route table. `None`: the VPC's system table.
    pub route_table: Option<Id>,
}

impl VSwitch {
    /// The gateway's address: the last but two of the block, as in the cloud (.253 of a /24).
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.cidr.broadcast()).saturating_sub(2))
    }

    /// Whether the cloud keeps this address of the block for itself: the first and the last three.
    pub fn is_reserved(&self, addr: Ipv4Addr) -> bool {
        addr == self.cidr.network() || addr >= self.gateway()
    }
}

/// A route table.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTable {
    /// Identifier. A system table that was not declared has the identifier `VPC/system`.
    pub id: Id,
    /// Its VPC.
    pub vpc: Id,
    /// Whether it is the VPC's system table: there is exactly one.
    pub system: bool,
    /// Custom entries. The blocks of the VPC are local in every table without an entry.
    pub routes: Vec<Route>,
}

impl RouteTable {
    /// The identifier of the system table of a VPC that declares none.
    pub fn system_id(vpc: &str) -> Id {
        format!("{vpc}/system")
    }
}

/// A custom route entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Destination.
    pub destination: Ipv4Net,
    /// Where it leads.
    pub next_hop: NextHop,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq)]
pub enum NextHop {
    /// A network interface (for an instance: its primary one).
    Eni(Id),
    /// A NAT gateway.
    NatGateway(Id),
    /// A NAT firewall: through it to its NAT gateway.
    NatFirewall(Id),
    /// The VPC at the other end of a peer connection.
    Peering(Id),
    /// Nowhere: packets are dropped.
    Blackhole,
}

/// Whether members of a security group reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecurityGroupKind {
    /// They do, unless a rule says otherwise.
    #[default]
    Normal,
    /// They do not, unless a rule says so.
    Enterprise,
}

/// A security group.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityGroup {
    /// Identifier.
    pub id: Id,
    /// Its VPC.
    pub vpc: Id,
    /// Whether members reach each other.
    pub kind: SecurityGroupKind,
    /// Its rules.
    pub rules: Vec<SecurityRule>,
}

impl SecurityGroup {
    /// The identifier of the group of those network interfaces of a VPC that name none.
    pub fn default_id(vpc: &str) -> Id {
        format!("{vpc}/default")
    }
}

/// Which way a rule looks, seen from the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the instance.
    Ingress,
    /// From the instance.
    Egress,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Let it pass.
    #[default]
    Accept,
    /// Drop it.
    Drop,
}

/// A rule of a security group.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityRule {
    /// Which way it looks.
    pub direction: Direction,
    /// What it says.
    pub policy: Policy,
    /// 1 to 100; a smaller number goes first, and among equals drop goes before accept.
    pub priority: u8,
    /// IP protocol; `None` is any.
    pub protocol: Option<u8>,
    /// Ports of the receiving side; only for TCP and UDP.
    pub ports: Option<RangeInclusive<u16>>,
    /// The other end.
    pub peer: RulePeer,
}

/// The other end in a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RulePeer {
    /// Addresses.
    Cidr(Ipv4Net),
    /// The members of a security group.
    Group(Id),
}

/// How a network interface is brought to Linux.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// We make a network namespace and a veth pair into it.
    Netns,
    /// An interface that exists: a tap of a virtual machine, a container's veth, a LAN interface.
    Device {
        /// Its name.
        device: String,
    },
}

/// An elastic network interface: an instance's leg in a vSwitch.
#[derive(Clone, Debug, PartialEq)]
pub struct Eni {
    /// Identifier; the primary interface of an instance has the instance's.
    pub id: Id,
    /// The instance that it belongs to.
    pub instance: Id,
    /// Its vSwitch.
    pub vswitch: Id,
    /// Its address.
    pub address: Ipv4Addr,
    /// More addresses behind it (a LAN with many hosts, a router's networks). They are found by ARP if
    /// they lie in the vSwitch's block, else through `address`.
    pub hosts: Vec<Ipv4Net>,
    /// Its security groups: at least one.
    pub security_groups: Vec<Id>,
    /// How it is brought to Linux.
    pub driver: Driver,
    /// Largest IP packet in bytes.
    pub mtu: u16,
}

impl Eni {
    /// Whether it is the primary interface of its instance.
    pub fn is_primary(&self) -> bool {
        self.id == self.instance
    }
}

/// An elastic IP.
#[derive(Clone, Debug, PartialEq)]
pub struct Eip {
    /// Identifier.
    pub id: Id,
    /// The public address.
    pub address: Ipv4Addr,
    /// The uplink that it is reached by.
    pub uplink: Id,
    /// What it is bound to.
    pub binding: Option<EipBinding>,
    /// The most that it carries in either direction, in Mbit/s (10⁶ bits a second). `None`: no limit
    /// of its own. While it is in a package, the package's limit takes the place of this one.
    pub bandwidth: Option<u32>,
    /// The bandwidth package that it is in.
    pub package: Option<Id>,
    /// The most that it carries of what the package has, in Mbit/s. `None`: no limit but the package's.
    pub package_bandwidth: Option<u32>,
}

impl Eip {
    /// The limit that is its own and no other EIP's, in Mbit/s.
    pub fn own_limit(&self) -> Option<u32> {
        match self.package {
            Some(_) => self.package_bandwidth,
            None => self.bandwidth,
        }
    }
}

/// A shared bandwidth package: its EIPs together carry no more than this in either direction.
#[derive(Clone, Debug, PartialEq)]
pub struct BandwidthPackage {
    /// Identifier.
    pub id: Id,
    /// The most that its EIPs carry together in either direction, in Mbit/s (10⁶ bits a second).
    pub bandwidth: u32,
}

/// What an EIP is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EipBinding {
    /// A network interface: one to one, all protocols.
    Eni(Id),
    /// A NAT gateway, for its SNAT and DNAT entries.
    NatGateway(Id),
}

/// How far an SNAT mapping serves (RFC 4787, section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// What an instance sends from one address and port leaves by one EIP and port, whatever the destination.
    #[default]
    EndpointIndependent,
    /// Each destination address and port sees another port.
    AddressAndPortDependent,
}

/// Which inbound packets an SNAT mapping lets in (RFC 4787, section 5; RFC 5382, REQ-3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// Only from addresses and ports that the instance has sent to.
    #[default]
    AddressAndPortDependent,
    /// From anywhere, if the security group allows it.
    EndpointIndependent,
}

/// How an SNAT entry picks among several EIPs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// By source address and port: connections of one client spread over the pool.
    #[default]
    Hash,
    /// By source and destination address: a client keeps its EIP towards a destination
    /// (`EipAffinity` of the cloud).
    Affinity,
    /// By source address: a client keeps its EIP (RFC 4787, REQ-2: "paired").
    Paired,
}

/// When a session without packets ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// TCP, open in both directions.
    pub tcp_established: Duration,
    /// TCP, opening, closing or reset.
    pub tcp_transitory: Duration,
    /// UDP.
    pub udp: Duration,
    /// ICMP echo.
    pub icmp: Duration,
    /// Other protocols.
    pub other: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            tcp_established: Duration::from_secs(900),
            tcp_transitory: Duration::from_secs(60),
            udp: Duration::from_secs(60),
            icmp: Duration::from_secs(30),
            other: Duration::from_secs(60),
        }
    }
}

/// What happens to a TCP segment from inside that belongs to no session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutOfState {
    /// Its sender gets a reset, so that it does not wait on a session that has timed out.
    #[default]
    Reset,
    /// It is dropped in silence.
    Drop,
}

/// What lies outside of a NAT gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The Internet: it translates to EIPs.
    #[default]
    Internet,
    /// Private networks: it translates to NAT IPs, and what it has translated goes on by the route table of
    /// this vSwitch of its VPC.
    Intranet(Id),
}

/// A NAT IP: a private address that a VPC NAT gateway translates to. It lies in the gateway's vSwitch, or
/// outside of all blocks of the VPC; either way it is local in the VPC.
#[derive(Clone, Debug, PartialEq)]
pub struct NatIp {
    /// Identifier.
    pub id: Id,
    /// Its gateway.
    pub gateway: Id,
    /// The address.
    pub address: Ipv4Addr,
}

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct NatGateway {
    /// Identifier.
    pub id: Id,
    /// Its VPC.
    pub vpc: Id,
    /// What lies outside of it.
    pub network: Network,
    /// SNAT entries.
    pub snat: Vec<SnatEntry>,
    /// DNAT entries.
    pub dnat: Vec<DnatEntry>,
    /// How far an SNAT mapping serves.
    pub mapping: Mapping,
    /// Which inbound packets an SNAT mapping lets in.
    pub filtering: Filtering,
    /// When sessions end.
    pub timeouts: Timeouts,
    /// Sessions that one source address may have at once (RFC 6888, REQ-4). `None`: no limit.
    pub max_sessions_per_source: Option<u32>,
    /// Ports that SNAT may use on its EIPs. Ports of DNAT entries are skipped.
    pub snat_ports: RangeInclusive<u16>,
    /// Whether its EIPs answer ping where no DNAT entry takes it.
    pub icmp_reply: bool,
    /// What happens to TCP segments from inside that belong to no session.
    pub tcp_out_of_state: OutOfState,
    /// Whether it is kept by the minute what each private address behind it does.
    pub source_metrics: bool,
    /// How long sessions go on that a changed SNAT entry does not cover any more.
    pub drain: Duration,
}

/// How long sessions drain by default.
pub const DRAIN: Duration = Duration::from_secs(300);

/// The ports that SNAT uses by default.
pub const SNAT_PORTS: RangeInclusive<u16> = 1024..=65535;

impl NatGateway {
    /// The vSwitch that it lies in, if it is a VPC NAT gateway.
    pub fn vswitch(&self) -> Option<&Id> {
        match &self.network {
            Network::Internet => None,
            Network::Intranet(vswitch) => Some(vswitch),
        }
    }

    /// What it translates to: EIPs, or NAT IPs if it is a VPC NAT gateway.
    pub fn outside(&self) -> Kind {
        match &self.network {
            Network::Internet => Kind::Eip,
            Network::Intranet(_) => Kind::NatIp,
        }
    }
}

/// An SNAT entry: these sources go out through these EIPs. Among entries that overlap the longest
/// prefix wins.
#[derive(Clone, Debug, PartialEq)]
pub struct SnatEntry {
    /// Identifier.
    pub id: Id,
    /// The sources.
    pub source: Ipv4Net,
    /// The EIPs: 1 to 64, all bound to the gateway. Of a VPC NAT gateway its NAT IPs.
    pub eips: Vec<Id>,
    /// How it picks among them.
    pub pooling: Pooling,
    /// What it has covered before it was changed, and lets go on for a while. A file does not say that.
    pub drains: Vec<Drain>,
}

/// What an SNAT entry does not cover any more: sessions go on, new ones are not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The sources.
    pub source: Ipv4Net,
    /// The EIPs, or NAT IPs, that sessions of these sources may go on with.
    pub eips: Vec<Id>,
    /// When they end, in seconds since 1970 UTC.
    pub until: u64,
}

/// A DNAT entry.
#[derive(Clone, Debug, PartialEq)]
pub struct DnatEntry {
    /// Identifier.
    pub id: Id,
    /// The EIP, bound to the gateway. Of a VPC NAT gateway its NAT IP.
    pub eip: Id,
    /// Where to.
    pub internal: Ipv4Addr,
    /// What is mapped.
    pub mapping: DnatMapping,
}

/// What a DNAT entry maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnatMapping {
    /// Ports of TCP or UDP: external port `external.start() + n` to internal port `internal + n`.
    Ports {
        /// TCP (6) or UDP (17), as IP protocol number.
        protocol: u8,
        /// External ports.
        external: RangeInclusive<u16>,
        /// First internal port.
        internal: u16,
    },
    /// The whole address, all protocols: an IP mapping ("Any").
    Any,
}

impl DnatMapping {
    /// The external ports. `None`: all of them.
    pub fn external_ports(&self) -> Option<RangeInclusive<u16>> {
        match self {
            DnatMapping::Any => None,
            DnatMapping::Ports { external, .. } => Some(external.clone()),
        }
    }

    /// The internal ports, as many as external ones. `None`: all of them, or the range is empty or
    /// ends above 65535.
    pub fn internal_ports(&self) -> Option<RangeInclusive<u16>> {
        match self {
            DnatMapping::Any => None,
            DnatMapping::Ports {
                external, internal, ..
            } => {
                let more = external.end().checked_sub(*external.start())?;
                Some(*internal..=internal.checked_add(more)?)
            }
        }
    }
}

/// A VPC peer connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Peering {
    /// Identifier.
    pub id: Id,
    /// Its two VPCs.
    pub vpcs: [Id; 2],
}
