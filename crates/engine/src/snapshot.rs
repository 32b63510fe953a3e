//! The configuration as the engine uses it: resources by index, routes and entries as tables.
//!
//! A snapshot is immutable and swapped in whole. Building one does not touch the engine.

use crate::drain::Drain;
use crate::firewall::{FirewallIx, Firewalls};
use crate::io::{Link, PortRef};
use crate::lpm::Lpm;
use crate::nat::Outer;
use crate::records::RecordNames;
use crate::security::Rules;
use hashbrown::HashMap;
use ipnet::Ipv4Net;
use model::{EngineMode, Filtering, Id, Kind, Mapping, OutOfState, Pooling};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// Index of a network interface.
pub(crate) type EniIx = u32;
/// Index of a VPC.
pub(crate) type VpcIx = u32;
/// Index of an EIP.
pub(crate) type EipIx = u32;
/// Index of a NAT gateway.
pub(crate) type GatewayIx = u32;
/// Index of a bandwidth limit.
pub(crate) type LimitIx = u32;
/// Index of an uplink.
pub(crate) type UplinkIx = u32;

/// A port: where frames come in and go out.
#[derive(Debug)]
pub(crate) struct Port {
    pub link: Link,
    pub owner: Owner,
    /// The largest IP packet that is sent there.
    pub mtu: u16,
}

/// What a port belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Eni(EniIx),
    Uplink(UplinkIx),
}

#[derive(Debug)]
pub(crate) struct Uplink {
    pub id: Id,
    pub port: usize,
    pub shared: bool,
    pub address: Option<Ipv4Net>,
    pub gateway: Option<Ipv4Addr>,
}

#[derive(Debug)]
pub(crate) struct Vpc {
    pub id: Id,
    pub local: Lpm<Local>,
    /// The system route table.
    pub table: usize,
}

/// What an address of a VPC is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Local {
    /// A network interface's own address.
    Eni(EniIx),
    /// A host behind a network interface.
    Behind(EniIx),
    /// The gateway of a vSwitch.
    Gateway,
    /// A NAT IP of a VPC NAT gateway.
    NatIp(EipIx),
    /// An address of a vSwitch that nobody has.
    Nobody,
}

#[derive(Debug)]
pub(crate) struct VSwitch {
    pub id: Id,
    pub vpc: VpcIx,
    pub cidr: Ipv4Net,
    pub gateway: Ipv4Addr,
    pub table: usize,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub id: Id,
    pub routes: Lpm<Hop>,
    /// The destinations of the routes, for people.
    pub destinations: Vec<Ipv4Net>,
}

impl Table {
    /// The destination of the route to an address: the longest prefix.
    pub fn destination(&self, address: Ipv4Addr) -> Option<Ipv4Net> {
        let all = self.destinations.iter().copied();
        all.filter(|net| net.contains(&address))
            .max_by_key(Ipv4Net::prefix_len)
    }
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hop {
    Local,
    Eni(EniIx),
    Nat(GatewayIx),
    /// Through a NAT firewall to its gateway.
    Firewall(FirewallIx),
    Vpc(VpcIx),
    Blackhole,
}

#[derive(Debug)]
pub(crate) struct Eni {
    pub id: Id,
    pub instance: Id,
    pub vpc: VpcIx,
    pub vswitch: u32,
    pub address: Ipv4Addr,
    pub port: usize,
    pub groups: Vec<u32>,
    pub inbound: Rules,
    pub outbound: Rules,
    pub eip: Option<EipIx>,
}

/// An EIP, or a NAT IP of a VPC NAT gateway, which is the same with private networks outside.
#[derive(Debug)]
pub(crate) struct Eip {
    pub id: Id,
    pub address: Ipv4Addr,
    /// Its address among all of them.
    pub outer: Outer,
    /// The uplink that an EIP is reached by; a NAT IP has none.
    pub uplink: Option<UplinkIx>,
    pub binding: Binding,
    /// Ports of DNAT entries, ascending by protocol and first port.
    pub forwards: Vec<Forward>,
    /// The DNAT entry that maps the whole address.
    pub any: Option<(Ipv4Addr, u32)>,
    /// Its own, which in a package is that within the package; else its package's.
    pub limit: Option<LimitIx>,
    /// The mode in which the Internet border protects it, if it does.
    pub border: Option<EngineMode>,
}

/// A bandwidth limit: of a package, or of an EIP.
#[derive(Debug)]
pub(crate) struct Limit {
    pub kind: Kind,
    pub id: Id,
    /// In Mbit/s.
    pub bandwidth: u32,
    /// The package's, which comes before it, if it is that of an EIP within a package.
    pub within: Option<LimitIx>,
}

/// What an EIP is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    None,
    Eni(EniIx),
    Gateway(GatewayIx),
}

/// A port mapping of a DNAT entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Forward {
    pub protocol: u8,
    pub external: RangeInclusive<u16>,
    pub internal: Ipv4Addr,
    pub first: u16,
    /// Index of the entry in its gateway.
    pub entry: u32,
}

impl Eip {
    /// The port mapping that takes what comes to `port`.
    pub fn forward(&self, protocol: u8, port: u16) -> Option<&Forward> {
        let after = self
            .forwards
            .partition_point(|f| (f.protocol, *f.external.start()) <= (protocol, port));
        let found = &self.forwards[after.checked_sub(1)?];
        (found.protocol == protocol && found.external.contains(&port)).then_some(found)
    }
}

#[derive(Debug)]
pub(crate) struct Gateway {
    pub id: Id,
    pub vpc: VpcIx,
    /// Whether it is a VPC NAT gateway.
    pub private: bool,
    /// The route table that what it has translated goes on by: of a VPC NAT gateway its vSwitch's, else the
    /// VPC's system table, for what comes in.
    pub table: usize,
    /// Its EIPs or NAT IPs by address.
    pub eips: HashMap<Ipv4Addr, EipIx>,
    /// From source to the index in `entries`.
    pub snat: Lpm<u32>,
    pub entries: Vec<Snat>,
    /// What SNAT entries do not cover any more.
    pub drains: Vec<Drain>,
    /// Identifiers of the DNAT entries.
    pub dnat: Vec<Id>,
    /// IP mappings by internal address: the EIP and the DNAT entry.
    pub whole: HashMap<Ipv4Addr, (EipIx, u32)>,
    pub mapping: Mapping,
    pub filtering: Filtering,
    pub timeouts: Ticks,
    pub max_per_source: Option<u32>,
    pub ports: RangeInclusive<u16>,
    pub icmp_reply: bool,
    pub watches_sources: bool,
    pub out_of_state: OutOfState,
    /// The NAT firewall that protects it.
    pub firewall: Option<FirewallIx>,
}

#[derive(Debug)]
pub(crate) struct Snat {
    pub id: Id,
    pub source: Ipv4Net,
    /// The pool: addresses as in a packet, side by side, since each new session is compared with all of them.
    pub eips: Vec<(u32, EipIx)>,
    pub pooling: Pooling,
}

/// Timeouts in ticks ([`crate::Time::tick`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    pub tcp_established: u32,
    pub tcp_transitory: u32,
    pub udp: u32,
    pub icmp: u32,
    pub other: u32,
}

impl From<&model::Timeouts> for Ticks {
    fn from(t: &model::Timeouts) -> Ticks {
        use crate::io::Time;
        Ticks {
            tcp_established: Time::ticks(t.tcp_established),
            tcp_transitory: Time::ticks(t.tcp_transitory),
            udp: Time::ticks(t.udp),
            icmp: Time::ticks(t.icmp),
            other: Time::ticks(t.other),
        }
    }
}

/// The configuration as the engine uses it.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) ports: Vec<Port>,
    pub(crate) by_ifindex: HashMap<u32, usize>,
    /// Network interfaces by their zone.
    pub(crate) by_zone: HashMap<u16, EniIx>,
    pub(crate) uplinks: Vec<Uplink>,
    pub(crate) vpcs: Vec<Vpc>,
    pub(crate) vswitches: Vec<VSwitch>,
    pub(crate) tables: Vec<Table>,
    pub(crate) groups: Vec<Id>,
    pub(crate) enis: Vec<Eni>,
    pub(crate) eips: Vec<Eip>,
    /// EIPs by address. NAT IPs are found in their VPCs.
    pub(crate) by_eip: HashMap<Ipv4Addr, EipIx>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) firewalls: Firewalls,
    pub(crate) max_sessions: u32,
    /// Timeouts of sessions that no NAT gateway takes part in.
    pub(crate) timeouts: Ticks,
    /// Whether records are made of sessions that firewalls see.
    pub(crate) records: Option<RecordNames>,
}

/// The configuration does not fit together. A configuration that [`model`] has validated and whose
/// links are all there never gives one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A reference leads nowhere.
    #[error("{kind} {id:?} does not exist")]
    Missing {
        /// What kind of resource.
        kind: &'static str,
        /// Its identifier.
        id: Id,
    },
    /// A network interface or uplink has no link.
    #[error("no link for {0:?}")]
    NoLink(PortRef),
}

impl Snapshot {
    /// Asks for records of sessions that firewalls see.
    pub fn recording(mut self, records: bool) -> Snapshot {
        self.records = records.then(|| RecordNames::new(&self));
        self
    }

    pub(crate) fn eni(&self, ix: EniIx) -> &Eni {
        &self.enis[ix as usize]
    }

    /// Whether packets from this address may come in by a network interface.
    pub(crate) fn owns(&self, ix: EniIx, address: Ipv4Addr) -> bool {
        let eni = self.eni(ix);
        let behind = || self.vpc(eni.vpc).local.get(address) == Some(Local::Behind(ix));
        eni.address == address || behind()
    }

    pub(crate) fn vpc(&self, ix: VpcIx) -> &Vpc {
        &self.vpcs[ix as usize]
    }

    pub(crate) fn eip(&self, ix: EipIx) -> &Eip {
        &self.eips[ix as usize]
    }

    pub(crate) fn gateway(&self, ix: GatewayIx) -> &Gateway {
        &self.gateways[ix as usize]
    }

    pub(crate) fn uplink(&self, ix: UplinkIx) -> &Uplink {
        &self.uplinks[ix as usize]
    }

    pub(crate) fn vswitch_of(&self, eni: &Eni) -> &VSwitch {
        &self.vswitches[eni.vswitch as usize]
    }
}
