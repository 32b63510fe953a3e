//! What the engine tells about itself: sessions, counters, traces. For tables and JSON.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A tuple as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleView {
    /// Source address.
    pub src: Ipv4Addr,
    /// Source port or ICMP identifier.
    pub src_port: u16,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Destination port; for ICMP 0.
    pub dst_port: u16,
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// Protocol: `tcp`, `udp`, `icmp` or a number.
    pub protocol: String,
    /// `out` (instance to Internet), `in`, `hairpin` (through an EIP and back), `local`.
    pub direction: String,
    /// The VPC of the instance (the opener's, if both ends are instances).
    pub vpc: String,
    /// The network interface of the opener, or for `in` of the receiver.
    pub eni: String,
    /// The NAT gateway, if one took part.
    pub gateway: Option<String>,
    /// The SNAT or DNAT entry, or the EIP bound one to one, that decided the translation.
    pub entry: Option<String>,
    /// The tuple as the opener sends it.
    pub original: TupleView,
    /// The tuple as the receiver gets it.
    pub translated: TupleView,
    /// TCP state (`syn_sent`, `established`, `half_closed`, `closed`, `reset`) or `active`.
    pub state: String,
    /// Packets from the opener.
    pub packets_out: u64,
    /// Bytes from the opener.
    pub bytes_out: u64,
    /// Packets to the opener.
    pub packets_in: u64,
    /// Bytes to the opener.
    pub bytes_in: u64,
    /// Seconds since it began.
    pub age: u64,
    /// Seconds since the last packet.
    pub idle: u64,
    /// Seconds until it ends if no packet comes.
    pub expires: u64,
    /// Seconds until it ends all the same, if it drains: the SNAT entry that made it does not cover it any more.
    #[serde(default)]
    pub drains: Option<u64>,
    /// Whether the kernel forwards it (else the slow path does).
    pub offloaded: bool,
    /// What firewalls make of it: `inspected`, `refused`, `dns`; or nothing, if it just passes.
    #[serde(default)]
    pub firewall: Option<String>,
    /// What it speaks, if firewalls have found out.
    #[serde(default)]
    pub app: Option<String>,
    /// The domain that it is for, if it told one.
    #[serde(default)]
    pub domain: Option<String>,
    /// The name that it is for is hidden (ECH): the domain is the outer one.
    #[serde(default)]
    pub hidden: bool,
}

/// Use of one EIP's ports by SNAT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EipView {
    /// Identifier.
    pub eip: String,
    /// Address.
    pub address: Ipv4Addr,
    /// The NAT gateway or network interface that it is bound to.
    pub binding: Option<String>,
    /// Ports of TCP, UDP and ICMP identifiers that a mapping holds.
    pub ports_used: [u32; 3],
    /// Ports that SNAT may use.
    pub ports_total: u32,
    /// Live sessions translated with it.
    pub sessions: u64,
    /// New sessions that were dropped since every port towards their destination was in use.
    pub ports_exhausted: u64,
}

/// A bandwidth limit, and what did not keep to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthView {
    /// Whose it is: `EIP` or `bandwidth package`.
    pub kind: String,
    /// Its identifier.
    pub id: String,
    /// Mbit/s in each direction.
    pub bandwidth: u32,
    /// Packets that were dropped on their way in, also by the kernel.
    pub dropped_packets_in: u64,
    /// Their bytes.
    pub dropped_bytes_in: u64,
    /// Packets that were dropped on their way out, also by the kernel.
    pub dropped_packets_out: u64,
    /// Their bytes.
    pub dropped_bytes_out: u64,
}

/// A counted reason for drops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropView {
    /// The reason's name.
    pub reason: String,
    /// What it means.
    pub meaning: String,
    /// Packets.
    pub packets: u64,
}

/// Counters of the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatsView {
    /// Live sessions.
    pub sessions: u64,
    /// Sessions that there can be.
    pub max_sessions: u64,
    /// Sessions opened since start.
    pub opened: u64,
    /// Sessions ended since start.
    pub closed: u64,
    /// Of these, sessions that had drained: a changed SNAT entry did not cover them any more.
    #[serde(default)]
    pub drained: u64,
    /// Sessions taken over from an earlier daemon.
    pub adopted: u64,
    /// Live sessions that had no room in the flow table.
    pub not_offloaded: u64,
    /// Packets that the engine was given.
    pub packets: u64,
    /// Packets that it sent on.
    pub forwarded: u64,
    /// Packets to the gateway itself that it answered or took note of: ping, ARP.
    pub answered: u64,
    /// Packets and messages that it made itself: ARP, ICMP, resets.
    pub originated: u64,
    /// Packets that it drops, by reason; zero counts are left out.
    pub drops: Vec<DropView>,
    /// Use of EIPs.
    pub eips: Vec<EipView>,
    /// Bandwidth limits.
    pub bandwidth: Vec<BandwidthView>,
}

/// A step of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// What was asked: `port`, `security group`, `route`, `snat`, `dnat`, `egress` …
    pub step: String,
    /// The resource that answered, if one did.
    pub resource: Option<String>,
    /// The answer.
    pub result: String,
}

/// What would happen to a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceView {
    /// The steps in order.
    pub steps: Vec<StepView>,
    /// `forwarded`, `answered` (by the gateway itself), or the name of the reason for the drop.
    pub verdict: String,
    /// The tuple as the receiver would get it, if it is forwarded.
    pub translated: Option<TupleView>,
}

/// What has gone by the EIPs, as of the last round through the sessions: at most some seconds ago.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageView {
    /// Which memory the accounts lie in: totals of another one have nothing to do with these.
    pub memory: u64,
    /// An account for each EIP and what it is bound to, in no order.
    pub accounts: Vec<AccountView>,
    /// The sessions of each NAT gateway.
    pub gateways: Vec<GatewaySessions>,
    /// The private addresses behind NAT gateways that watch them.
    pub sources: Vec<GatewaySources>,
}

/// The private addresses behind a NAT gateway that watches them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaySources {
    /// Its identifier.
    pub gateway: String,
    /// The addresses, in no order.
    pub sources: Vec<SourceView>,
}

/// What a private address has done by a NAT gateway since the daemon began. An address that does nothing for a while
/// is forgotten and begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// The address.
    pub address: Ipv4Addr,
    /// Live sessions.
    pub live: u32,
    /// Sessions that began.
    pub opened: u64,
    /// Packets that it sent.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Packets that it received.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

/// What has gone by an EIP, or a NAT IP of a VPC NAT gateway, while it was bound to one and the same thing. Totals only grow; bytes are those of
/// frames without the Ethernet trailer, as interfaces count them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Names the account for good: it stands for the EIP and what that is bound to.
    pub owner: u64,
    /// The EIP; `None` if it went while no daemon ran.
    pub eip: Option<String>,
    /// Whether it is no EIP but a NAT IP.
    pub nat_ip: bool,
    /// The NAT gateway that it is bound to, if it is one.
    pub gateway: Option<String>,
    /// Whether EIP and binding are in the configuration. If not, the account can be forgotten when it has been read.
    pub configured: bool,
    /// Sessions that were opened.
    pub opened: u64,
    /// Live sessions.
    pub live: u32,
    /// The most live sessions at once since the last reading.
    pub peak: u32,
    /// Packets that came in by the EIP.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets that went out by the EIP.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// The sessions of a NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaySessions {
    /// Its identifier.
    pub gateway: String,
    /// Live sessions.
    pub live: u32,
    /// The most at once since the last reading.
    pub peak: u32,
}

/// How often a policy has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyHits {
    /// Its identifier.
    pub policy: String,
    /// Sessions, and first packets that it refused.
    pub hits: u64,
    /// Bytes of these sessions, both ways.
    pub bytes: u64,
    /// When it last decided, in seconds since 1970 UTC.
    pub last: Option<u64>,
}

/// Numbers of the firewalls, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallView {
    /// Live sessions that firewalls see, or have seen before they were switched off.
    pub sessions: u64,
    /// Those of them whose application or domain is being found out.
    pub inspected: u64,
    /// Sessions that were refused after they had begun.
    pub refused: u64,
    /// First packets that were refused.
    pub refused_first: u64,
    /// Questions for names that were refused.
    pub refused_names: u64,
    /// Sessions whose inspection was given up since there were too many.
    pub given_up: u64,
    /// New sessions for which there was no capacity.
    pub over_capacity: u64,
    /// Records that were lost since there were too many at once.
    pub records_lost: u64,
    /// Addresses that clients were answered for names, and that count still.
    pub learned_names: u64,
    /// What went by in the last round, in bits a second.
    pub bits_per_second: u64,
}
