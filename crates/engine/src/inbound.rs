//! What comes to an EIP, from outside or by hairpin, or to a NAT IP: DNAT entries, SNAT mappings, EIPs bound one
//! to one.

use crate::decide::{Denied, Direction, Entry, Exit, Plan, Source, deny, let_in};
use crate::explain::{Recorder, Silent};
use crate::nat::{MappingIx, Nat};
use crate::routing::{self, Target, station};
use crate::snapshot::{Binding, Eip, EipIx, EniIx, GatewayIx, Snapshot};
use crate::tuple;
use flow::reason::Reason;
use flow::{Key, proto};
use model::Filtering;
use std::net::Ipv4Addr;

/// Whom a packet to an EIP is for.
struct Receiver {
    address: Ipv4Addr,
    /// As in a packet.
    port: u16,
    /// The network interface, if it does not follow from the routes.
    eni: Option<EniIx>,
    gateway: Option<GatewayIx>,
    entry: Entry,
    let_in_by: Option<MappingIx>,
    drains: Option<u32>,
}

/// Decides about a packet to an EIP. `seen_as` is the source that the receiver sees. `again`: the packet's session is
/// there already, and may drain. Where answers go is for the caller to say.
pub(crate) fn inbound(
    s: &Snapshot,
    nat: &Nat,
    ix: EipIx,
    key: &Key,
    seen_as: Ipv4Addr,
    again: bool,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let to = receiver(s, nat, ix, key, again, rec)?;
    let (eni, next) = match (to.eni, to.gateway) {
        (None, Some(gateway)) => {
            let gateway = s.gateway(gateway);
            match routing::route(s, None, gateway.vpc, gateway.table, to.address, rec)? {
                Target::Eni { eni, next, .. } => (eni, next),
                _ => return deny(Reason::RouteLoop, None),
            }
        }
        (Some(eni), _) => (eni, station(s, s.eni(eni), to.address)),
        (None, None) => return deny(Reason::NotMapped, None),
    };
    let receiver = s.eni(eni);
    let_in(s, receiver, key.proto, to.port, seen_as, &[], rec)?;
    rec.step("egress", || {
        (Some(receiver.id.clone()), format!("to {next}"))
    });
    Ok(Plan {
        direction: Direction::In,
        dst: tuple::raw(to.address),
        dport: to.port,
        source: Source::Keep,
        exit: Exit::Port {
            port: receiver.port,
            next,
        },
        back: Exit::Uplink,
        routed: true,
        eni,
        gateway: to.gateway,
        firewall: None,
        entry: Some(to.entry),
        let_in_by: to.let_in_by,
        drains: to.drains,
    })
}

/// The entry that takes a packet to an EIP.
pub(crate) fn entry(
    s: &Snapshot,
    nat: &Nat,
    ix: EipIx,
    key: &Key,
    again: bool,
) -> Result<Entry, Denied> {
    receiver(s, nat, ix, key, again, &mut Silent).map(|to| to.entry)
}

fn receiver(
    s: &Snapshot,
    nat: &Nat,
    ix: EipIx,
    key: &Key,
    again: bool,
    rec: &mut impl Recorder,
) -> Result<Receiver, Denied> {
    let eip = s.eip(ix);
    let g = match eip.binding {
        Binding::None => {
            rec.step("eip", || {
                (Some(eip.id.clone()), "is not bound to anything".into())
            });
            return deny(Reason::NotMapped, None);
        }
        Binding::Eni(eni) => {
            let address = s.eni(eni).address;
            rec.step("eip", || {
                (
                    Some(eip.id.clone()),
                    format!("is that of {}: to {address}", s.eni(eni).id),
                )
            });
            return Ok(Receiver {
                address,
                port: key.dport,
                eni: Some(eni),
                gateway: None,
                entry: Entry::Eip(ix),
                let_in_by: None,
                drains: None,
            });
        }
        Binding::Gateway(g) => g,
    };
    let gateway = s.gateway(g);
    let dnat = |address, port, entry| Receiver {
        address,
        port,
        eni: None,
        gateway: Some(g),
        entry: Entry::Dnat(g, entry),
        let_in_by: None,
        drains: None,
    };
    if let Some((internal, entry)) = eip.any {
        rec.step("dnat", || {
            (
                Some(gateway.dnat[entry as usize].clone()),
                format!("IP mapping to {internal}"),
            )
        });
        return Ok(dnat(internal, key.dport, entry));
    }
    let port = u16::from_be(key.dport);
    if let Some(f) = eip.forward(key.proto, port) {
        let to = f.first + (port - f.external.start());
        rec.step("dnat", || {
            (
                Some(gateway.dnat[f.entry as usize].clone()),
                format!("to {}:{to}", f.internal),
            )
        });
        return Ok(dnat(f.internal, to.to_be(), f.entry));
    }
    if let Some(to) = mapped(s, nat, g, eip, key, again) {
        rec.step("snat", || {
            (
                Some(gateway.id.clone()),
                format!("mapping of {}:{}", to.address, u16::from_be(to.port)),
            )
        });
        return Ok(to);
    }
    rec.step("dnat", || {
        let protocol = tuple::protocol(key.proto);
        (
            Some(gateway.id.clone()),
            format!("nothing takes {protocol} port {port}"),
        )
    });
    deny(Reason::NotMapped, None)
}

/// Whom a packet is for that an SNAT mapping lets in (RFC 4787, section 5: endpoint-independent filtering).
fn mapped(
    s: &Snapshot,
    nat: &Nat,
    g: GatewayIx,
    eip: &Eip,
    key: &Key,
    again: bool,
) -> Option<Receiver> {
    let gateway = s.gateway(g);
    if gateway.filtering != Filtering::EndpointIndependent || key.proto == proto::ICMP {
        return None;
    }
    let mapping = nat.owner(key.proto, eip.outer, key.dport)?;
    let inner = nat.mapping(mapping).inner;
    let address = tuple::ip(inner.address);
    let holder = gateway.holder(address, eip.address)?;
    if holder.drains.is_some() && !again {
        return None;
    }
    Some(Receiver {
        address,
        port: inner.port,
        eni: Some(*s.by_zone.get(&inner.zone)?),
        gateway: Some(g),
        entry: Entry::Snat(g, holder.entry),
        let_in_by: Some(mapping),
        drains: holder.drains,
    })
}
