//! The path of a session's first packet: source check, security group, route, translation, egress. What goes
//! through VPC NAT gateways is in [`crate::intranet`].
//!
//! [`decide`] reads the snapshot and the mappings and changes nothing; the port that SNAT gives is
//! chosen afterwards ([`crate::open`]). So the same function serves new sessions, sessions that are
//! decided again under a new configuration, and traces.

use crate::explain::{Recorder, Silent};
use crate::firewall::FirewallIx;
use crate::inbound::inbound;
use crate::intranet;
use crate::nat::{MappingIx, Nat};
use crate::routing::{self, Target, station, uplink_hop};
use crate::security::{Rules, Subject, Verdict};
use crate::snapshot::{EipIx, Eni, EniIx, GatewayIx, Local, Owner, Snapshot, UplinkIx, VpcIx};
use crate::source;
use crate::tuple;
use flow::reason::Reason;
use flow::{Key, flags, proto};
use std::net::Ipv4Addr;

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Eni(EniIx),
    Uplink(UplinkIx),
}

impl From {
    pub fn of(owner: Owner) -> From {
        match owner {
            Owner::Eni(ix) => From::Eni(ix),
            Owner::Uplink(ix) => From::Uplink(ix),
        }
    }
}

/// What a session is, seen from the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Direction {
    /// An instance to the Internet.
    Out,
    /// The Internet to an instance.
    In,
    /// An instance to an instance, through an EIP.
    Hairpin,
    /// An instance to an instance, inside private networks.
    Local,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Direction::Out => "out",
            Direction::In => "in",
            Direction::Hairpin => "hairpin",
            Direction::Local => "local",
        }
    }
}

/// What decided a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Snat(GatewayIx, u32),
    Dnat(GatewayIx, u32),
    Eip(EipIx),
}

/// What becomes of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It stays.
    Keep,
    /// It becomes an EIP, one to one.
    Fixed(EipIx),
    /// It becomes an EIP of an SNAT entry's pool, with a port: the first one that the pool has for it, if that has a
    /// port.
    Pool {
        gateway: GatewayIx,
        snat: u32,
        first: EipIx,
    },
}

/// Where packets leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By a port, to a station there.
    Port { port: usize, next: Ipv4Addr },
    /// By the uplink of the EIP that the source becomes.
    Uplink,
}

/// What is to be done with a session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub direction: Direction,
    /// The destination as the receiver sees it, as in a packet.
    pub dst: u32,
    pub dport: u16,
    pub source: Source,
    pub exit: Exit,
    /// Where answers go: back to the opener.
    pub back: Exit,
    /// Whether a router is crossed.
    pub routed: bool,
    /// The network interface on our side: the opener's, or for `In` the receiver's.
    pub eni: EniIx,
    pub gateway: Option<GatewayIx>,
    /// The NAT firewall that it passes on its way to the gateway.
    pub firewall: Option<FirewallIx>,
    /// What decided the translation: of the source, or where that stays of the destination.
    pub entry: Option<Entry>,
    /// The mapping that lets the packet in, with endpoint-independent filtering.
    pub let_in_by: Option<MappingIx>,
    /// When the session ends, in seconds since 1970 UTC, if it drains: nothing would make it any more.
    pub drains: Option<u32>,
}

impl Plan {
    /// What the actions of the session's flows have in common.
    pub fn flags(&self) -> u8 {
        let routed = if self.routed { flags::ROUTED } else { 0 };
        let mapped = self.let_in_by.map_or(0, |_| flags::MAPPED);
        routed | mapped
    }

    /// How many sessions its source may have (RFC 6888, REQ-4), if the source is translated by a gateway
    /// that limits them. Only such sessions are counted.
    pub fn limit(&self, s: &Snapshot) -> Option<u32> {
        match (self.source, self.entry) {
            (Source::Keep, _) => None,
            (_, Some(Entry::Snat(g, _) | Entry::Dnat(g, _))) => s.gateway(g).max_per_source,
            _ => None,
        }
    }
}

/// The packet goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub reason: Reason,
    /// What its sender is told, if it is one of ours.
    pub notify: Option<Unreachable>,
}

/// Codes of ICMP "destination unreachable" (RFC 792, RFC 1812).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Unreachable {
    Net = 0,
    Host = 1,
    Prohibited = 13,
}

pub(crate) fn deny<T>(reason: Reason, notify: Option<Unreachable>) -> Result<T, Denied> {
    Err(Denied { reason, notify })
}

/// Decides about the first packet of a session. `had` is the address that the session's source is seen as
/// already, as in a packet, if it is decided again.
pub(crate) fn decide(
    s: &Snapshot,
    nat: &Nat,
    from: From,
    key: &Key,
    had: Option<u32>,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let plan = match from {
        From::Eni(eni) => from_eni(s, nat, eni, key, had, rec),
        From::Uplink(uplink) => from_uplink(s, nat, uplink, key, had.is_some(), rec),
    };
    if let Err(denied) = &plan {
        rec.step("drop", || (None, denied.reason.meaning().to_owned()));
    }
    plan
}

fn from_eni(
    s: &Snapshot,
    nat: &Nat,
    ix: EniIx,
    key: &Key,
    had: Option<u32>,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let (plan, eip) = match outward(s, nat, ix, key, had, rec)? {
        Outward::Arrives(plan) => return Ok(plan),
        Outward::Leaves(plan, eip) => (plan, eip),
    };
    let dst = tuple::ip(key.dst);
    if let Some(&to) = s.by_eip.get(&dst) {
        let seen_as = s.eip(eip).address;
        let inbound = inbound(s, nat, to, key, seen_as, had.is_some(), rec)?;
        return Ok(Plan {
            direction: Direction::Hairpin,
            gateway: plan.gateway.or(inbound.gateway),
            dst: inbound.dst,
            dport: inbound.dport,
            exit: inbound.exit,
            let_in_by: inbound.let_in_by,
            drains: earlier(plan.drains, inbound.drains),
            ..plan
        });
    }
    routing::eip_hop(s, eip, dst, rec)?;
    Ok(plan)
}

/// The way out of a packet from inside, and the EIP that it is seen as there; whatever its destination is.
pub(crate) fn way_out(s: &Snapshot, nat: &Nat, eni: EniIx, key: &Key) -> Option<(Plan, EipIx)> {
    match outward(s, nat, eni, key, None, &mut Silent) {
        Ok(Outward::Leaves(plan, eip)) => Some((plan, eip)),
        _ => None,
    }
}

/// How far a packet from inside comes by itself.
enum Outward {
    /// To its receiver, inside.
    Arrives(Plan),
    /// Out, as this EIP, unless its destination is one of ours.
    Leaves(Plan, EipIx),
}

fn outward(
    s: &Snapshot,
    nat: &Nat,
    ix: EniIx,
    key: &Key,
    had: Option<u32>,
    rec: &mut impl Recorder,
) -> Result<Outward, Denied> {
    let eni = s.eni(ix);
    let (src, dst) = (tuple::ip(key.src), tuple::ip(key.dst));
    if !s.owns(ix, src) {
        rec.step("port", || {
            (
                Some(eni.id.clone()),
                format!("{src} is not an address of this interface"),
            )
        });
        return deny(Reason::Spoofed, None);
    }
    rec.step("port", || {
        (Some(eni.id.clone()), format!("{src} may send here"))
    });
    if dst.is_multicast() || dst.is_broadcast() || dst.is_loopback() || dst.is_unspecified() {
        rec.step("port", || {
            (
                Some(eni.id.clone()),
                format!("{dst} is not a unicast address"),
            )
        });
        return deny(Reason::NoRoute, None);
    }

    let subject = Subject {
        address: dst,
        groups: match eni.outbound.asks_groups {
            true => groups_of(s, eni.vpc, dst),
            false => &[],
        },
        protocol: key.proto,
        port: port_of(key.proto, key.dport),
    };
    ask(
        s,
        &eni.outbound,
        &subject,
        "security group out",
        rec,
        Reason::SecurityGroupOut,
    )?;

    let table = s.vswitch_of(eni).table;
    let back = Exit::Port {
        port: eni.port,
        next: station(s, eni, src),
    };
    let (gateway, firewall) = match routing::route(s, Some(eni), eni.vpc, table, dst, rec)? {
        Target::Eni {
            eni: to,
            next,
            routed,
        } => {
            let receiver = s.eni(to);
            let groups = if receiver.vpc == eni.vpc && src == eni.address {
                &eni.groups[..]
            } else {
                &[]
            };
            let_in(s, receiver, key.proto, key.dport, src, groups, rec)?;
            rec.step("egress", || {
                (Some(receiver.id.clone()), format!("to {next}"))
            });
            return Ok(Outward::Arrives(Plan {
                direction: Direction::Local,
                dst: key.dst,
                dport: key.dport,
                source: Source::Keep,
                exit: Exit::Port {
                    port: receiver.port,
                    next,
                },
                back,
                routed,
                eni: ix,
                gateway: None,
                firewall: None,
                entry: None,
                let_in_by: None,
                drains: None,
            }));
        }
        Target::NatIp(to) => {
            let plan = intranet::to_nat_ip(s, nat, ix, to, back, key, had.is_some(), rec);
            return plan.map(Outward::Arrives);
        }
        Target::Nat(g, _) if s.gateway(g).private => {
            let plan = intranet::through_gateway(s, nat, ix, g, back, key, had, rec);
            return plan.map(Outward::Arrives);
        }
        Target::Nat(gateway, firewall) => (Some(gateway), firewall),
        Target::OwnEip => (None, None),
    };

    let translated = source::translate(s, nat, eni, gateway, key, had, rec)?;
    let (entry, eip) = (translated.entry, translated.eip);
    // The gateway takes no part in what leaves by the interface's own EIP.
    let gateway = gateway.filter(|_| !matches!(entry, Entry::Eip(_)));
    let plan = Plan {
        direction: Direction::Out,
        dst: key.dst,
        dport: key.dport,
        source: translated.source,
        exit: Exit::Uplink,
        back,
        routed: true,
        eni: ix,
        gateway,
        firewall: firewall.filter(|_| gateway.is_some()),
        entry: Some(entry),
        let_in_by: None,
        drains: translated.drains,
    };
    Ok(Outward::Leaves(plan, eip))
}

fn from_uplink(
    s: &Snapshot,
    nat: &Nat,
    uplink: UplinkIx,
    key: &Key,
    again: bool,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let (src, dst) = (tuple::ip(key.src), tuple::ip(key.dst));
    let id = || Some(s.uplink(uplink).id.clone());
    if !comes_from_outside(s, src) {
        rec.step("port", || (id(), format!("{src} cannot come from outside")));
        return deny(Reason::Spoofed, None);
    }
    let Some(&eip) = s.by_eip.get(&dst) else {
        rec.step("port", || (id(), format!("{dst} is none of our EIPs")));
        return deny(Reason::NotOurAddress, None);
    };
    rec.step("port", || (id(), format!("{dst} is EIP {}", s.eip(eip).id)));
    let inbound = inbound(s, nat, eip, key, src, again, rec)?;
    let receiver = s.eni(inbound.eni);
    if routing::is_inside(s, receiver, src) {
        rec.step("port", || {
            let text = format!(
                "{src} is inside for {}: it cannot come from outside",
                receiver.id
            );
            (id(), text)
        });
        return deny(Reason::Spoofed, None);
    }
    let (port, next) = uplink_hop(s, uplink, src, rec)?;
    Ok(Plan {
        back: Exit::Port { port, next },
        ..inbound
    })
}

/// The earlier of two moments at which a session ends.
pub(crate) fn earlier(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    a.into_iter().chain(b).min()
}

/// Whether an address can be the source of a packet from outside: a single host's, and not ours (RFC 1812,
/// section 5.3.7).
pub(crate) fn comes_from_outside(s: &Snapshot, src: Ipv4Addr) -> bool {
    let host = !(src.is_multicast() || src.is_broadcast() || src.is_loopback());
    let mut own = s.uplinks.iter().filter(|uplink| !uplink.shared);
    host && src.octets()[0] != 0
        && !s.by_eip.contains_key(&src)
        && !own.any(|uplink| uplink.address.is_some_and(|net| net.addr() == src))
}

/// The groups of the interface with this address in this VPC.
fn groups_of(s: &Snapshot, vpc: VpcIx, address: Ipv4Addr) -> &[u32] {
    match s.vpc(vpc).local.get(address) {
        Some(Local::Eni(ix)) => &s.eni(ix).groups,
        _ => &[],
    }
}

fn port_of(protocol: u8, dport: u16) -> Option<u16> {
    matches!(protocol, proto::TCP | proto::UDP).then_some(u16::from_be(dport))
}

/// Asks the receiver's security groups.
pub(crate) fn let_in(
    s: &Snapshot,
    receiver: &Eni,
    protocol: u8,
    dport: u16,
    from: Ipv4Addr,
    groups: &[u32],
    rec: &mut impl Recorder,
) -> Result<(), Denied> {
    let subject = Subject {
        address: from,
        groups,
        protocol,
        port: port_of(protocol, dport),
    };
    ask(
        s,
        &receiver.inbound,
        &subject,
        "security group in",
        rec,
        Reason::SecurityGroupIn,
    )
}

fn ask(
    s: &Snapshot,
    rules: &Rules,
    subject: &Subject,
    step: &'static str,
    rec: &mut impl Recorder,
    reason: Reason,
) -> Result<(), Denied> {
    let Verdict { allowed, rule } = rules.check(subject);
    rec.step(step, || {
        let word = if allowed { "accept" } else { "drop" };
        match rule {
            Some((group, number)) => {
                let group = s.groups[group as usize].clone();
                (Some(group), format!("rule {number}: {word}"))
            }
            None => (None, format!("no rule matches: {word}")),
        }
    });
    if allowed {
        Ok(())
    } else {
        deny(reason, Some(Unreachable::Prohibited))
    }
}

/// Whether a session that was translated to `translated` may go on under `plan`.
pub(crate) fn still_fits(
    s: &Snapshot,
    plan: &Plan,
    original: &Key,
    translated: &Key,
    zone: u16,
) -> bool {
    let source = tuple::ip(translated.src);
    let source_fits = match plan.source {
        Source::Keep => translated.src == original.src,
        Source::Fixed(eip) => s.eip(eip).address == source,
        Source::Pool { first, .. } => s.eip(first).address == source && s.eip(first).any.is_none(),
    };
    let exit_zone = match plan.exit {
        Exit::Port { port, .. } => s.ports[port].link.zone,
        Exit::Uplink => crate::io::UPLINK_ZONE,
    };
    source_fits && plan.dst == translated.dst && plan.dport == translated.dport && exit_zone == zone
}
