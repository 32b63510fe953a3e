//! The path of a session's first packet: source check, security group, route, translation, egress.
//!
//! [`decide`] reads the snapshot and the mappings and changes nothing; the port that SNAT gives is
//! chosen afterwards ([`crate::open`]). So the same function serves new sessions, sessions that are
//! decided again under a new configuration, and traces.

use crate::explain::Recorder;
use crate::nat::{MappingIx, Nat};
use crate::security::{Rules, Subject, Verdict};
use crate::snapshot::{
    Binding, EipIx, Eni, EniIx, GatewayIx, Hop, Local, Snapshot, UplinkIx, VpcIx,
};
use crate::tuple;
use flow::reason::Reason;
use flow::{Key, proto};
use model::{Filtering, Pooling};
use std::net::Ipv4Addr;

/// VPCs that a packet may cross. More is a circle of peer routes.
const MAX_VPCS: usize = 8;

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Eni(EniIx),
    Uplink(UplinkIx),
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
    /// An instance to an instance, directly.
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
    /// It becomes an EIP of an SNAT entry's pool, with a port.
    Pool { gateway: GatewayIx, snat: u32 },
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
    /// What decided the translation: of the source, or where that stays of the destination.
    pub entry: Option<Entry>,
    /// The mapping that let the packet in, with endpoint-independent filtering.
    pub mapping: Option<MappingIx>,
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

fn deny<T>(reason: Reason, notify: Option<Unreachable>) -> Result<T, Denied> {
    Err(Denied { reason, notify })
}

/// What an instance's packet meets behind its route.
enum Target {
    Eni {
        eni: EniIx,
        next: Ipv4Addr,
        routed: bool,
    },
    Nat(GatewayIx),
    /// No route, but the interface has an EIP of its own.
    OwnEip,
}

/// Decides about the first packet of a session. `eip` is the EIP that the session's source has
/// already, if it is decided again.
pub(crate) fn decide(
    s: &Snapshot,
    nat: &Nat,
    from: From,
    key: &Key,
    eip: Option<EipIx>,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let plan = match from {
        From::Eni(eni) => from_eni(s, nat, eni, key, eip, rec),
        From::Uplink(uplink) => from_uplink(s, nat, uplink, key, rec),
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
    had: Option<EipIx>,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let eni = s.eni(ix);
    let (src, dst) = (tuple::ip(key.src), tuple::ip(key.dst));
    if !eni.owns(src) {
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
        groups: groups_of(s, eni.vpc, dst),
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
    let gateway = match route(s, Some(eni), eni.vpc, table, dst, rec)? {
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
            return Ok(Plan {
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
                entry: None,
                mapping: None,
            });
        }
        Target::Nat(gateway) => Some(gateway),
        Target::OwnEip => None,
    };

    let (source, entry, eip) = translate_source(s, nat, eni, gateway, key, had, rec)?;
    let plan = Plan {
        direction: Direction::Out,
        dst: key.dst,
        dport: key.dport,
        source,
        exit: Exit::Uplink,
        back,
        routed: true,
        eni: ix,
        gateway,
        entry: Some(entry),
        mapping: None,
    };
    if let Some(&to) = s.by_eip.get(&dst) {
        let seen_as = s.eip(eip).address;
        let inbound = inbound(s, nat, to, key, seen_as, rec)?;
        return Ok(Plan {
            direction: Direction::Hairpin,
            gateway: plan.gateway.or(inbound.gateway),
            mapping: None,
            ..Plan {
                dst: inbound.dst,
                dport: inbound.dport,
                exit: inbound.exit,
                ..plan
            }
        });
    }
    uplink_hop(s, s.eip(eip).uplink, dst, rec)?;
    Ok(plan)
}

fn from_uplink(
    s: &Snapshot,
    nat: &Nat,
    uplink: UplinkIx,
    key: &Key,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let (src, dst) = (tuple::ip(key.src), tuple::ip(key.dst));
    let id = || Some(s.uplink(uplink).id.clone());
    if src.is_multicast()
        || src.is_broadcast()
        || src.is_loopback()
        || src.octets()[0] == 0
        || s.by_eip.contains_key(&src)
    {
        rec.step("port", || (id(), format!("{src} cannot come from outside")));
        return deny(Reason::Spoofed, None);
    }
    let Some(&eip) = s.by_eip.get(&dst) else {
        rec.step("port", || (id(), format!("{dst} is none of our EIPs")));
        return deny(Reason::NotOurAddress, None);
    };
    rec.step("port", || (id(), format!("{dst} is EIP {}", s.eip(eip).id)));
    let inbound = inbound(s, nat, eip, key, src, rec)?;
    let (port, next) = uplink_hop(s, uplink, src, rec)?;
    Ok(Plan {
        back: Exit::Port { port, next },
        ..inbound
    })
}

/// What comes to an EIP, from outside or by hairpin. `seen_as` is the source that the receiver sees.
fn inbound(
    s: &Snapshot,
    nat: &Nat,
    ix: EipIx,
    key: &Key,
    seen_as: Ipv4Addr,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let eip = s.eip(ix);
    let not_mapped = |rec: &mut dyn FnMut(String)| {
        rec(format!(
            "nothing takes {} port {}",
            tuple::protocol(key.proto),
            u16::from_be(key.dport)
        ));
        deny(Reason::NotMapped, None)
    };
    let port = u16::from_be(key.dport);
    let mut mapping = None;
    // The network interface, the address, the port; for an interface that is known already.
    let (eni, internal, dport, gateway, entry) = match eip.binding {
        Binding::None => {
            rec.step("eip", || {
                (Some(eip.id.clone()), "is not bound to anything".into())
            });
            return deny(Reason::NotMapped, None);
        }
        Binding::Eni(eni) => {
            let to = s.eni(eni).address;
            rec.step("eip", || {
                (
                    Some(eip.id.clone()),
                    format!("is that of {}: to {to}", s.eni(eni).id),
                )
            });
            (Some(eni), to, key.dport, None, Entry::Eip(ix))
        }
        Binding::Gateway(g) => {
            let gateway = s.gateway(g);
            if let Some((internal, entry)) = eip.any {
                rec.step("dnat", || {
                    (
                        Some(gateway.dnat[entry as usize].clone()),
                        format!("IP mapping to {internal}"),
                    )
                });
                (None, internal, key.dport, Some(g), Entry::Dnat(g, entry))
            } else if let Some(f) = eip.forward(key.proto, port) {
                let to = f.first + (port - f.external.start());
                rec.step("dnat", || {
                    (
                        Some(gateway.dnat[f.entry as usize].clone()),
                        format!("to {}:{to}", f.internal),
                    )
                });
                (
                    None,
                    f.internal,
                    to.to_be(),
                    Some(g),
                    Entry::Dnat(g, f.entry),
                )
            } else {
                let owner = match gateway.filtering {
                    Filtering::EndpointIndependent if key.proto != proto::ICMP => {
                        nat.owner(key.proto, tuple::raw(eip.address), key.dport)
                    }
                    _ => None,
                };
                let inner = owner.map(|ix| nat.mapping(ix).inner);
                let eni = inner.and_then(|inner| s.by_zone.get(&inner.zone).copied());
                let (Some(inner), Some(eni)) = (inner, eni) else {
                    return not_mapped(&mut |text| {
                        rec.step("dnat", || (Some(gateway.id.clone()), text))
                    });
                };
                let to = tuple::ip(inner.address);
                rec.step("snat", || {
                    (
                        Some(gateway.id.clone()),
                        format!("mapping of {to}:{}", u16::from_be(inner.port)),
                    )
                });
                mapping = owner;
                let Some(snat) = gateway.snat.get(to) else {
                    return not_mapped(&mut |text| {
                        rec.step("snat", || (Some(gateway.id.clone()), text))
                    });
                };
                (Some(eni), to, inner.port, Some(g), Entry::Snat(g, snat))
            }
        }
    };
    let (eni, next) = match (eni, gateway) {
        (Some(eni), _) => (eni, station(s, s.eni(eni), internal)),
        (None, Some(g)) => {
            let vpc = s.gateway(g).vpc;
            match route(s, None, vpc, s.vpc(vpc).table, internal, rec)? {
                Target::Eni { eni, next, .. } => (eni, next),
                _ => return deny(Reason::RouteLoop, None),
            }
        }
        (None, None) => return deny(Reason::NotMapped, None),
    };
    let receiver = s.eni(eni);
    let_in(s, receiver, key.proto, dport, seen_as, &[], rec)?;
    rec.step("egress", || {
        (Some(receiver.id.clone()), format!("to {next}"))
    });
    Ok(Plan {
        direction: Direction::In,
        dst: tuple::raw(internal),
        dport,
        source: Source::Keep,
        exit: Exit::Port {
            port: receiver.port,
            next,
        },
        back: Exit::Uplink,
        routed: true,
        eni,
        gateway,
        entry: Some(entry),
        mapping,
    })
}

/// The source translation of what an instance sends out: its own EIP, else an IP mapping, else the SNAT
/// entry with the longest prefix. Gives an EIP that the packet may be seen as, too.
fn translate_source(
    s: &Snapshot,
    nat: &Nat,
    eni: &Eni,
    gateway: Option<GatewayIx>,
    key: &Key,
    had: Option<EipIx>,
    rec: &mut impl Recorder,
) -> Result<(Source, Entry, EipIx), Denied> {
    let src = tuple::ip(key.src);
    if let Some(eip) = eni.eip.filter(|_| src == eni.address) {
        rec.step("eip", || {
            (
                Some(s.eip(eip).id.clone()),
                format!("{src} leaves as {}", s.eip(eip).address),
            )
        });
        return Ok((Source::Fixed(eip), Entry::Eip(eip), eip));
    }
    let Some(g) = gateway else {
        return deny(Reason::NoRoute, Some(Unreachable::Net));
    };
    let gateway = s.gateway(g);
    if let Some(&(eip, entry)) = gateway.whole.get(&src) {
        rec.step("dnat", || {
            let id = gateway.dnat[entry as usize].clone();
            (
                Some(id),
                format!("IP mapping: {src} leaves as {}", s.eip(eip).address),
            )
        });
        return Ok((Source::Fixed(eip), Entry::Dnat(g, entry), eip));
    }
    let Some(snat) = gateway.snat.get(src) else {
        rec.step("snat", || {
            (
                Some(gateway.id.clone()),
                format!("no SNAT entry covers {src}"),
            )
        });
        return deny(Reason::NoSnat, Some(Unreachable::Prohibited));
    };
    let entry = &gateway.entries[snat as usize];
    if !tuple::has_ports(key.proto) {
        rec.step("snat", || {
            let what = format!("protocol {} has no ports to translate", key.proto);
            (Some(entry.id.clone()), what)
        });
        return deny(
            Reason::ProtocolNotTranslatable,
            Some(Unreachable::Prohibited),
        );
    }
    let Some(first) = pool(s, nat, g, snat, key).next() else {
        return deny(Reason::NoSnat, Some(Unreachable::Prohibited));
    };
    let eip = match had {
        Some(had) if s.eip(had).binding == Binding::Gateway(g) => had,
        _ => first,
    };
    rec.step("snat", || {
        let address = s.eip(eip).address;
        let of = match entry.eips.len() {
            1 => String::new(),
            n => format!(", picked from {n} by {}", pooling_name(entry.pooling)),
        };
        (
            Some(entry.id.clone()),
            format!("{src} leaves as {address}{of}"),
        )
    });
    Ok((Source::Pool { gateway: g, snat }, Entry::Snat(g, snat), eip))
}

fn pooling_name(pooling: Pooling) -> &'static str {
    match pooling {
        Pooling::Hash => "hash of source address and port",
        Pooling::Affinity => "hash of source and destination address",
        Pooling::Paired => "hash of the source address",
    }
}

/// The EIPs of an SNAT entry in the order in which this packet prefers them (rendezvous hashing: a
/// change of the pool moves as few as it can).
pub(crate) fn pool<'a>(
    s: &'a Snapshot,
    nat: &Nat,
    gateway: GatewayIx,
    snat: u32,
    key: &Key,
) -> impl Iterator<Item = EipIx> + use<'a> {
    let entry = &s.gateway(gateway).entries[snat as usize];
    let by = match entry.pooling {
        Pooling::Hash => nat.spread(key.src, key.proto as u32, key.sport),
        Pooling::Affinity => nat.spread(key.src, key.dst, 0),
        Pooling::Paired => nat.spread(key.src, 0, 0),
    };
    let score = move |eip: EipIx| {
        let address = tuple::raw(s.eip(eip).address) as u64;
        let mixed = (by ^ address).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (
            (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9),
            eip,
        )
    };
    // The next best each time: the first is nearly always the last that is asked for.
    let mut last: Option<(u64, EipIx)> = None;
    std::iter::from_fn(move || {
        last = entry
            .eips
            .iter()
            .map(|&eip| score(eip))
            .filter(|&score| last.is_none_or(|last| score < last))
            .max();
        last.map(|(_, eip)| eip)
    })
}

/// Follows the routes from a table of `vpc` to an interface or a NAT gateway.
fn route(
    s: &Snapshot,
    sender: Option<&Eni>,
    mut vpc: VpcIx,
    mut table: usize,
    dst: Ipv4Addr,
    rec: &mut impl Recorder,
) -> Result<Target, Denied> {
    for _ in 0..MAX_VPCS {
        let t = &s.tables[table];
        let hop = t.routes.get(dst);
        rec.step("route", || {
            let text = match hop {
                Some(Hop::Local) => format!("{dst} is local in {}", s.vpc(vpc).id),
                Some(Hop::Eni(eni)) => format!("{dst} by interface {}", s.eni(eni).id),
                Some(Hop::Nat(g)) => format!("{dst} by NAT gateway {}", s.gateway(g).id),
                Some(Hop::Vpc(vpc)) => format!("{dst} by peer {}", s.vpc(vpc).id),
                Some(Hop::Blackhole) => format!("{dst} into a blackhole"),
                None => format!("no route to {dst}"),
            };
            (Some(t.id.clone()), text)
        });
        match hop {
            Some(Hop::Local) => {
                return match s.vpc(vpc).local.get(dst) {
                    Some(Local::Eni(ix) | Local::Behind(ix)) => {
                        let eni = s.eni(ix);
                        Ok(Target::Eni {
                            eni: ix,
                            next: station(s, eni, dst),
                            routed: sender.is_none_or(|sender| sender.vswitch != eni.vswitch),
                        })
                    }
                    Some(Local::Gateway) => deny(Reason::GatewayUnanswered, None),
                    Some(Local::Nobody) | None => deny(Reason::NoHost, Some(Unreachable::Host)),
                };
            }
            Some(Hop::Eni(ix)) => {
                return Ok(Target::Eni {
                    eni: ix,
                    next: s.eni(ix).address,
                    routed: true,
                });
            }
            Some(Hop::Nat(gateway)) => return Ok(Target::Nat(gateway)),
            Some(Hop::Vpc(peer)) => {
                vpc = peer;
                table = s.vpc(peer).table;
            }
            Some(Hop::Blackhole) => return deny(Reason::Blackhole, None),
            None if sender.is_some_and(|sender| sender.eip.is_some()) => return Ok(Target::OwnEip),
            None => return deny(Reason::NoRoute, Some(Unreachable::Net)),
        }
    }
    deny(Reason::RouteLoop, Some(Unreachable::Net))
}

/// The station to hand a packet for `dst` to, on an interface: the host itself if it is on the
/// interface's link, else the interface's own address as a router.
fn station(s: &Snapshot, eni: &Eni, dst: Ipv4Addr) -> Ipv4Addr {
    if s.vswitch_of(eni).cidr.contains(&dst) {
        dst
    } else {
        eni.address
    }
}

/// The port and the station for a destination outside.
pub(crate) fn uplink_hop(
    s: &Snapshot,
    ix: UplinkIx,
    dst: Ipv4Addr,
    rec: &mut impl Recorder,
) -> Result<(usize, Ipv4Addr), Denied> {
    let uplink = s.uplink(ix);
    let on_link = uplink.address.is_some_and(|net| net.contains(&dst));
    let next = if on_link { Some(dst) } else { uplink.gateway };
    rec.step("uplink", || {
        let text = match next {
            Some(next) if next == dst => format!("{dst} is on its link"),
            Some(next) => format!("{dst} by router {next}"),
            None => format!("no router leads to {dst}"),
        };
        (Some(uplink.id.clone()), text)
    });
    match next {
        Some(next) => Ok((uplink.port, next)),
        None => deny(Reason::NoRoute, Some(Unreachable::Net)),
    }
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
fn let_in(
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
        Source::Pool { gateway, .. } => s.by_eip.get(&source).is_some_and(|&eip| {
            s.eip(eip).binding == Binding::Gateway(gateway) && s.eip(eip).any.is_none()
        }),
    };
    let exit_zone = match plan.exit {
        Exit::Port { port, .. } => s.ports[port].link.zone,
        Exit::Uplink => crate::io::UPLINK_ZONE,
    };
    source_fits && plan.dst == translated.dst && plan.dport == translated.dport && exit_zone == zone
}
