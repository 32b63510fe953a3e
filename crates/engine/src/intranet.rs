//! VPC NAT gateways: the same translation, with private networks outside.
//!
//! Such a gateway lies in a vSwitch. What is routed to it is seen as one of its NAT IPs and goes on by the route table of
//! that vSwitch; what comes to a NAT IP goes to whom a DNAT entry names. One packet may meet two of them, one
//! on its way out of its network and one on its way into another: so networks with the same addresses talk to each
//! other.

use crate::decide::{
    Denied, Direction, Exit, From, Plan, Source, Unreachable, deny, earlier, let_in,
};
use crate::explain::{Recorder, Silent};
use crate::inbound::inbound;
use crate::nat::Nat;
use crate::routing::{self, Target};
use crate::snapshot::{EipIx, EniIx, GatewayIx, Snapshot};
use crate::source;
use crate::tuple;
use flow::Key;
use flow::reason::Reason;

/// Decides about what an interface sends to a NAT IP. `again` is as for [`inbound`].
#[expect(clippy::too_many_arguments, reason = "a packet and its context")]
pub(crate) fn to_nat_ip(
    s: &Snapshot,
    nat: &Nat,
    sender: EniIx,
    to: EipIx,
    back: Exit,
    key: &Key,
    again: bool,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let inbound = inbound(s, nat, to, key, tuple::ip(key.src), again, rec)?;
    Ok(Plan {
        direction: Direction::Local,
        back,
        eni: sender,
        ..inbound
    })
}

/// Decides about what an interface sends through a VPC NAT gateway. `had` is as in [`crate::decide::decide`].
#[expect(clippy::too_many_arguments, reason = "a packet and its context")]
pub(crate) fn through_gateway(
    s: &Snapshot,
    nat: &Nat,
    sender: EniIx,
    g: GatewayIx,
    back: Exit,
    key: &Key,
    had: Option<u32>,
    rec: &mut impl Recorder,
) -> Result<Plan, Denied> {
    let dst = tuple::ip(key.dst);
    let translated = source::translate(s, nat, s.eni(sender), Some(g), key, had, rec)?;
    let (gateway, seen_as) = (s.gateway(g), s.eip(translated.eip).address);
    let onward = match routing::route(s, None, gateway.vpc, gateway.table, dst, rec)? {
        Target::Eni { eni, next, .. } => {
            let receiver = s.eni(eni);
            let_in(s, receiver, key.proto, key.dport, seen_as, &[], rec)?;
            rec.step("egress", || {
                (Some(receiver.id.clone()), format!("to {next}"))
            });
            Plan {
                direction: Direction::Local,
                dst: key.dst,
                dport: key.dport,
                source: Source::Keep,
                exit: Exit::Port {
                    port: receiver.port,
                    next,
                },
                back,
                routed: true,
                eni: sender,
                gateway: None,
                firewall: None,
                entry: None,
                let_in_by: None,
                drains: None,
            }
        }
        Target::NatIp(to) => inbound(s, nat, to, key, seen_as, had.is_some(), rec)?,
        // One packet is not translated by two gateways on its way out: the first one would be invisible.
        Target::Nat(..) | Target::OwnEip => {
            rec.step("route", || {
                let why = "its route table leads to another gateway, or back to it";
                (Some(gateway.id.clone()), why.into())
            });
            return deny(Reason::RouteLoop, Some(Unreachable::Net));
        }
    };
    Ok(Plan {
        direction: Direction::Local,
        source: translated.source,
        back,
        eni: sender,
        gateway: Some(g),
        entry: Some(translated.entry),
        drains: earlier(translated.drains, onward.drains),
        ..onward
    })
}

/// The EIP or NAT IP that a packet is for, if it is for one.
pub(crate) fn called(s: &Snapshot, from: From, key: &Key) -> Option<EipIx> {
    let dst = tuple::ip(key.dst);
    let From::Eni(ix) = from else {
        return s.by_eip.get(&dst).copied();
    };
    let eni = s.eni(ix);
    let table = s.vswitch_of(eni).table;
    let mut target = routing::route(s, Some(eni), eni.vpc, table, dst, &mut Silent).ok()?;
    if let Target::Nat(g, _) = target
        && s.gateway(g).private
    {
        let gateway = s.gateway(g);
        target = routing::route(s, None, gateway.vpc, gateway.table, dst, &mut Silent).ok()?;
    }
    match target {
        Target::NatIp(eip) => Some(eip),
        Target::Eni { .. } => None,
        Target::Nat(..) | Target::OwnEip => s.by_eip.get(&dst).copied(),
    }
}
