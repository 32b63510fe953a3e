//! Routes: from a route table to an interface, a NAT gateway or a NAT IP, and from there to a station.

use crate::decide::{Denied, Unreachable, deny};
use crate::explain::{Recorder, Silent};
use crate::firewall::FirewallIx;
use crate::snapshot::{
    Binding, EipIx, Eni, EniIx, GatewayIx, Hop, Local, Snapshot, UplinkIx, VpcIx,
};
use flow::reason::Reason;
use std::net::Ipv4Addr;

/// VPCs that a packet may cross. More is a circle of peer routes.
const MAX_VPCS: usize = 8;

/// Where the routes lead.
pub(crate) enum Target {
    Eni {
        eni: EniIx,
        next: Ipv4Addr,
        routed: bool,
    },
    /// A gateway, perhaps through the firewall before it.
    Nat(GatewayIx, Option<FirewallIx>),
    /// A NAT IP of a VPC NAT gateway.
    NatIp(EipIx),
    /// No route, but the sender's interface has an EIP of its own.
    OwnEip,
}

/// Follows the routes from a table of `vpc` to an interface or a NAT gateway.
pub(crate) fn route(
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
                Some(Hop::Firewall(f)) => {
                    let firewall = &s.firewalls.nat[f as usize];
                    let gateway = &s.gateway(firewall.gateway).id;
                    format!("{dst} by NAT firewall {} to {gateway}", firewall.id)
                }
                Some(Hop::Vpc(vpc)) => format!("{dst} by peer {}", s.vpc(vpc).id),
                Some(Hop::Blackhole) => format!("{dst} into a blackhole"),
                None => format!("no route to {dst}"),
            };
            let text = match t.destination(dst) {
                Some(destination) => format!("{text} ({destination})"),
                None => text,
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
                    Some(Local::NatIp(eip)) => Ok(Target::NatIp(eip)),
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
            Some(Hop::Nat(gateway)) => {
                // A route may lead to a VPC NAT gateway with its own NAT IPs in mind.
                return match s.vpc(vpc).local.get(dst) {
                    Some(Local::NatIp(ix)) if s.eip(ix).binding == Binding::Gateway(gateway) => {
                        Ok(Target::NatIp(ix))
                    }
                    _ => Ok(Target::Nat(gateway, None)),
                };
            }
            Some(Hop::Firewall(firewall)) => {
                let gateway = s.firewalls.nat[firewall as usize].gateway;
                return Ok(Target::Nat(gateway, Some(firewall)));
            }
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

/// Whether an interface's routes lead to this address inside: to one of a VPC, or to a host behind an interface.
pub(crate) fn is_inside(s: &Snapshot, eni: &Eni, address: Ipv4Addr) -> bool {
    let table = s.vswitch_of(eni).table;
    match route(s, None, eni.vpc, table, address, &mut Silent) {
        Ok(Target::Eni { eni, .. }) => s.owns(eni, address),
        Ok(Target::NatIp(_)) => true,
        Ok(Target::Nat(..) | Target::OwnEip) => false,
        Err(denied) => matches!(denied.reason, Reason::NoHost | Reason::GatewayUnanswered),
    }
}

/// The station to hand a packet for `dst` to, on an interface: the host itself if it is on the
/// interface's link, else the interface's own address as a router.
pub(crate) fn station(s: &Snapshot, eni: &Eni, dst: Ipv4Addr) -> Ipv4Addr {
    if s.vswitch_of(eni).cidr.contains(&dst) {
        dst
    } else {
        eni.address
    }
}

/// The port and the station for a destination outside, by the uplink of an EIP.
pub(crate) fn eip_hop(
    s: &Snapshot,
    ix: EipIx,
    dst: Ipv4Addr,
    rec: &mut impl Recorder,
) -> Result<(usize, Ipv4Addr), Denied> {
    match s.eip(ix).uplink {
        Some(uplink) => uplink_hop(s, uplink, dst, rec),
        None => deny(Reason::NoRoute, Some(Unreachable::Net)),
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
