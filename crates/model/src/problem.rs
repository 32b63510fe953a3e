//! What can be wrong with a configuration, and where.

use crate::text::quote;
use crate::validate::PolicyFault;
use crate::*;
use ipnet::Ipv4Net;
use std::fmt;
use std::net::Ipv4Addr;

/// The kinds of resources.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// The program's own settings.
    System,
    /// An interface to the outside.
    Uplink,
    /// A private network.
    Vpc,
    /// A subnet.
    VSwitch,
    /// A route table.
    RouteTable,
    /// A security group.
    SecurityGroup,
    /// An instance, that is its primary network interface.
    Instance,
    /// A network interface.
    Eni,
    /// An elastic IP.
    Eip,
    /// A shared bandwidth package.
    BandwidthPackage,
    /// A NAT gateway.
    NatGateway,
    /// A NAT IP of a VPC NAT gateway.
    NatIp,
    /// An SNAT entry.
    SnatEntry,
    /// A DNAT entry.
    DnatEntry,
    /// A VPC peer connection.
    Peering,
    /// A NAT firewall.
    NatFirewall,
    /// The Internet border.
    BorderFirewall,
    /// An address book.
    AddressBook,
    /// A policy of a firewall.
    Policy,
    /// A list of threat indicators.
    ThreatFeed,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::System => "system",
            Kind::Uplink => "uplink",
            Kind::Vpc => "VPC",
            Kind::VSwitch => "vSwitch",
            Kind::RouteTable => "route table",
            Kind::SecurityGroup => "security group",
            Kind::Instance => "instance",
            Kind::Eni => "ENI",
            Kind::Eip => "EIP",
            Kind::BandwidthPackage => "bandwidth package",
            Kind::NatGateway => "NAT gateway",
            Kind::NatIp => "NAT IP",
            Kind::SnatEntry => "SNAT entry",
            Kind::DnatEntry => "DNAT entry",
            Kind::Peering => "peering",
            Kind::NatFirewall => "NAT firewall",
            Kind::BorderFirewall => "border firewall",
            Kind::AddressBook => "address book",
            Kind::Policy => "policy",
            Kind::ThreatFeed => "threat feed",
        })
    }
}

/// A part of a [`Config`], by position: `Route(2, 0)` is `config.route_tables[2].routes[0]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "they are the fields of `Config`")]
pub enum Item {
    System,
    Uplink(usize),
    Vpc(usize),
    VSwitch(usize),
    RouteTable(usize),
    Route(usize, usize),
    SecurityGroup(usize),
    Rule(usize, usize),
    Eni(usize),
    Eip(usize),
    BandwidthPackage(usize),
    NatGateway(usize),
    NatIp(usize),
    Snat(usize, usize),
    Dnat(usize, usize),
    Peering(usize),
    NatFirewall(usize),
    Border,
    AddressBook(usize),
    Policy(usize, usize),
    ThreatFeed(usize),
}

/// Where in a [`Config`] something stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The part.
    pub item: Item,
    /// Its field, or `""` for all of it.
    pub field: &'static str,
    /// Which one of the field's elements, if it is a list; else 0.
    pub element: usize,
}

/// The name of a part of a [`Config`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The kind of the resource.
    pub kind: Kind,
    /// Its identifier; of `System` the name.
    pub id: Id,
    /// The rule or route in it, if it is about one.
    pub part: Option<String>,
}

impl Subject {
    /// The name of a part. One that does not exist has an empty identifier.
    pub fn of(config: &Config, item: Item) -> Subject {
        let (kind, id, part) = match item {
            Item::System => (Kind::System, Some(&config.system.name), None),
            Item::Uplink(n) => (Kind::Uplink, config.uplinks.get(n).map(|it| &it.id), None),
            Item::Vpc(n) => (Kind::Vpc, config.vpcs.get(n).map(|it| &it.id), None),
            Item::VSwitch(n) => (
                Kind::VSwitch,
                config.vswitches.get(n).map(|it| &it.id),
                None,
            ),
            Item::RouteTable(n) | Item::Route(n, _) => {
                let table = config.route_tables.get(n);
                let route = match item {
                    Item::Route(_, k) => table.and_then(|it| it.routes.get(k)),
                    _ => None,
                };
                let part = route.map(|route| format!("route {}", route.destination));
                (Kind::RouteTable, table.map(|it| &it.id), part)
            }
            Item::SecurityGroup(n) | Item::Rule(n, _) => {
                let group = config.security_groups.get(n);
                let rule = match item {
                    Item::Rule(_, k) => group.and_then(|it| it.rules.get(k)),
                    _ => None,
                };
                let part = rule.map(|rule| format!("rule {}", quote(&rule.to_string())));
                (Kind::SecurityGroup, group.map(|it| &it.id), part)
            }
            Item::Eni(n) => {
                let eni = config.enis.get(n);
                let kind = match eni {
                    Some(eni) if config.details.is_instance(eni) => Kind::Instance,
                    _ => Kind::Eni,
                };
                (kind, eni.map(|it| &it.id), None)
            }
            Item::Eip(n) => (Kind::Eip, config.eips.get(n).map(|it| &it.id), None),
            Item::BandwidthPackage(n) => (
                Kind::BandwidthPackage,
                config.bandwidth_packages.get(n).map(|it| &it.id),
                None,
            ),
            Item::NatGateway(n) => (
                Kind::NatGateway,
                config.nat_gateways.get(n).map(|it| &it.id),
                None,
            ),
            Item::NatIp(n) => (Kind::NatIp, config.nat_ips.get(n).map(|it| &it.id), None),
            Item::Snat(n, k) => {
                let gateway = config.nat_gateways.get(n);
                let entry = gateway.and_then(|it| it.snat.get(k));
                (Kind::SnatEntry, entry.map(|it| &it.id), None)
            }
            Item::Dnat(n, k) => {
                let gateway = config.nat_gateways.get(n);
                let entry = gateway.and_then(|it| it.dnat.get(k));
                (Kind::DnatEntry, entry.map(|it| &it.id), None)
            }
            Item::Peering(n) => (Kind::Peering, config.peerings.get(n).map(|it| &it.id), None),
            Item::NatFirewall(n) => (
                Kind::NatFirewall,
                {
                    let firewalls = &config.firewalls;
                    let mut all = firewalls.nat.iter().chain(&firewalls.nat_off);
                    all.nth(n).map(|it| &it.id)
                },
                None,
            ),
            Item::Border => (Kind::BorderFirewall, None, None),
            Item::AddressBook(n) => (
                Kind::AddressBook,
                config.firewalls.books.get(n).map(|it| &it.id),
                None,
            ),
            Item::Policy(n, k) => {
                let list = config.firewalls.policies.get(n);
                let policy = list.and_then(|it| it.policies.get(k));
                (Kind::Policy, policy.map(|it| &it.id), None)
            }
            Item::ThreatFeed(n) => (
                Kind::ThreatFeed,
                config.firewalls.feeds.get(n).map(|it| &it.id),
                None,
            ),
        };
        Subject {
            kind,
            id: id.cloned().unwrap_or_default(),
            part,
        }
    }
}

/// `instance "web-1"`, `security group "sg", rule "accept ingress all from 0.0.0.0/0"`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if !matches!(self.kind, Kind::System | Kind::BorderFirewall) {
            write!(f, " {}", quote(&self.id))?;
        }
        match &self.part {
            Some(part) => write!(f, ", {part}"),
            None => Ok(()),
        }
    }
}

/// Something wrong with a [`Config`]. Displayed it names the resource, what is wrong with it and what
/// would be right.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{subject}: {fault}")]
pub struct Problem {
    /// The resource.
    pub subject: Subject,
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub fault: Fault,
    /// The other part that it does not go together with.
    pub other: Option<Item>,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "each variant's message says what its fields are"
)]
pub enum Fault {
    // Names and numbers.
    #[error("an identifier is 1 to 128 letters, digits, '_', '-', '.' and '/'")]
    BadId,
    #[error("there are two of this name: each identifier is used once")]
    DuplicateId,
    #[error("name {} is not 1 to 32 letters, digits and '-'", quote(.0))]
    SystemName(String),
    #[error("{what} {value} is not in {min} to {max}")]
    OutOfRange {
        what: &'static str,
        value: i64,
        min: u64,
        max: u64,
    },

    // References.
    #[error("there is no {} {}{known}", sought(*kind), quote(id))]
    Unknown { kind: Kind, id: Id, known: Known },
    #[error(
        "{kind} {} is in VPC {}, not in VPC {}",
        quote(id),
        quote(vpc),
        quote(expected)
    )]
    OtherVpc {
        kind: Kind,
        id: Id,
        vpc: Id,
        expected: Id,
    },
    #[error("{kind} {} is listed twice", quote(id))]
    ListedTwice { kind: Kind, id: Id },

    // Address blocks.
    #[error("{0} has bits set after its prefix: write {trunc}", trunc = .0.trunc())]
    HostBits(Ipv4Net),
    #[error("{cidr} is too large or too small: its prefix length must be {min} to {max}")]
    PrefixLength { cidr: Ipv4Net, min: u8, max: u8 },
    #[error(
        "{cidr} overlaps {block}, which is {purpose}: take one of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"
    )]
    SpecialBlock {
        cidr: Ipv4Net,
        block: Ipv4Net,
        purpose: &'static str,
    },
    #[error("{cidr} overlaps {other_cidr} of {other}")]
    Overlap {
        cidr: Ipv4Net,
        other_cidr: Ipv4Net,
        other: String,
    },
    #[error("{count} address blocks: a VPC has 1 to 64")]
    CidrCount { count: usize },
    #[error("{cidr} is not in a block of VPC {} ({blocks})", quote(vpc))]
    OutsideVpc {
        cidr: Ipv4Net,
        vpc: Id,
        blocks: String,
    },

    // Routes and peerings.
    #[error("VPC {} has {count} system route tables instead of one", quote(vpc))]
    SystemTables { vpc: Id, count: usize },
    #[error("there are two routes to {0} in this table")]
    DuplicateRoute(Ipv4Net),
    #[error(
        "{destination} lies in vSwitch {} ({cidr}), which is always local: only a less specific route can be added",
        quote(vswitch)
    )]
    RouteInVSwitch {
        destination: Ipv4Net,
        vswitch: Id,
        cidr: Ipv4Net,
    },
    #[error("peering {} does not connect VPC {}", quote(peering), quote(vpc))]
    NotPeered { peering: Id, vpc: Id },
    #[error("it connects VPC {} with itself: name two VPCs", quote(.0))]
    SelfPeering(Id),
    #[error("{other} connects the same VPCs")]
    DuplicatePeering { other: String },

    // Security groups.
    #[error("ports are for TCP and UDP only: leave them out or set the protocol to one of these")]
    PortsWithoutProtocol,
    #[error(
        "ports {start} to {end} are no range: it goes from a port of at least 1 to one not smaller"
    )]
    EmptyPorts { start: u16, end: u16 },

    // Network interfaces.
    #[error("address {address} is not in vSwitch {} ({cidr})", quote(vswitch))]
    NotInVSwitch {
        address: Ipv4Addr,
        vswitch: Id,
        cidr: Ipv4Net,
    },
    #[error(
        "address {address} is reserved: the first and the last three of vSwitch {} ({cidr}) are",
        quote(vswitch)
    )]
    Reserved {
        address: Ipv4Addr,
        vswitch: Id,
        cidr: Ipv4Net,
    },
    #[error("address {address} is taken by {other}")]
    AddressTaken { address: Ipv4Addr, other: String },
    #[error("an instance is in at least one security group")]
    NoSecurityGroup,
    #[error("{} is no name of an interface: 1 to 15 printable characters without space, '/', ':' and '%'", quote(.0))]
    BadDevice(String),
    #[error("interface {} is taken by {other}", quote(device))]
    DeviceTaken { device: String, other: String },
    #[error("its namespace is named for instance {}, and '/' cannot be in that name", quote(.0))]
    NamespaceName(Id),

    // Uplinks and EIPs.
    #[error("{0} is not an address that a host can have")]
    NotUnicast(Ipv4Addr),
    #[error("{address} is the first or last address of {prefix}, which no host can have")]
    NotHost { address: Ipv4Addr, prefix: Ipv4Net },
    #[error("gateway {gateway} is not in {prefix}: it must be directly reachable")]
    GatewayOutside { gateway: Ipv4Addr, prefix: Ipv4Net },
    #[error("gateway {0} is the uplink's own address")]
    GatewayIsSelf(Ipv4Addr),
    #[error("address {address} is the {role} of {uplink}")]
    UplinkAddress {
        address: Ipv4Addr,
        role: &'static str,
        uplink: String,
    },
    #[error("{target} has an EIP already, {other}: an interface has one at most")]
    SecondEip { target: String, other: String },
    #[error(
        "this is bandwidth limit {count}: a gateway enforces {most}, one for each package and each \
         EIP with a limit of its own"
    )]
    TooManyLimits { count: usize, most: usize },
    #[error("package_bandwidth is for an EIP in a package, and this one is in none")]
    NoPackage,
    #[error(
        "package_bandwidth {bandwidth} is more than the {most} that bandwidth package {} has",
        quote(package)
    )]
    AbovePackage {
        bandwidth: u32,
        package: Id,
        most: u32,
    },

    // NAT.
    #[error("{kind} {} is not bound to NAT gateway {}", quote(eip), quote(gateway))]
    NotBound { kind: Kind, eip: Id, gateway: Id },
    #[error("NAT gateway {} is a VPC NAT gateway: it has NAT IPs, not EIPs", quote(.0))]
    NoEips(Id),
    #[error("NAT gateway {} is for the Internet: it has EIPs, and only VPC NAT gateways have NAT IPs", quote(.0))]
    NoNatIps(Id),
    #[error("{count} {kind}s: an SNAT entry has 1 to 64")]
    EipCount { kind: Kind, count: usize },
    #[error("{other} has the same source {source_cidr}")]
    SameSource { source_cidr: Ipv4Net, other: String },
    #[error(
        "an IP mapping takes all of {kind} {}, but {other} uses it too",
        quote(eip)
    )]
    AnyShared { kind: Kind, eip: Id, other: String },
    #[error("protocol {0} has no ports: map TCP or UDP, or the whole address")]
    NoPorts(u8),
    #[error("{count} ports from internal port {start} on end above 65535")]
    InternalOverflow { start: u16, count: u32 },
    #[error(
        "{protocol} port {ports} of {kind} {} is mapped by {other} too",
        quote(eip)
    )]
    ExternalTaken {
        kind: Kind,
        protocol: String,
        ports: String,
        eip: Id,
        other: String,
    },
    #[error("{protocol} port {ports} of {address} is the target of {other} too")]
    InternalTaken {
        protocol: String,
        ports: String,
        address: Ipv4Addr,
        other: String,
    },
    #[error("{address} has an IP mapping already, {other}: an address has one at most")]
    SecondAny { address: Ipv4Addr, other: String },
    #[error(
        "{address} is neither in VPC {} ({blocks}) nor in one peered with it",
        quote(vpc)
    )]
    InternalOutside {
        address: Ipv4Addr,
        vpc: Id,
        blocks: String,
    },

    // Firewalls.
    #[error(
        "NAT gateway {} has {other}: it has one firewall at most",
        quote(gateway)
    )]
    SecondFirewall { gateway: Id, other: String },
    #[error("NAT firewall {} is off: nothing leads to it", quote(.0))]
    FirewallOff(Id),
    #[error(transparent)]
    Policy(#[from] PolicyFault),
}

/// What a reference to an interface may name.
fn sought(kind: Kind) -> String {
    match kind {
        Kind::Eni => "instance or ENI".into(),
        _ => kind.to_string(),
    }
}

/// The identifiers that would have been right, the first few of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known(Vec<Id>, bool);

impl Known {
    /// How many are named.
    const MOST: usize = 4;

    /// Takes the first few.
    pub(crate) fn new<'a>(ids: impl Iterator<Item = &'a Id>) -> Known {
        let mut ids: Vec<Id> = ids.take(Self::MOST + 1).cloned().collect();
        let more = ids.len() > Self::MOST;
        ids.truncate(Self::MOST);
        Known(ids, more)
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Known(ids, more) = self;
        if ids.is_empty() {
            return f.write_str(": none is declared");
        }
        let ids: Vec<String> = ids.iter().map(|id| quote(id)).collect();
        let more = if *more { ", …" } else { "" };
        write!(f, ": declared are {}{more}", ids.join(", "))
    }
}
