//! What becomes of a flow: where it goes, and what is translated by whom.

use super::{Local, Mapping, Outside, Reference, Target, Tuple, longest};
use crate::common::*;
use model::*;
use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Keep,
    Fixed(Ipv4Addr),
    Pool { gateway: Id, entry: Id },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub direction: &'static str,
    pub(super) dst: Ipv4Addr,
    pub(super) dport: u16,
    pub(super) source: Source,
    /// The port that packets leave by.
    pub(super) exit: String,
    pub routed: bool,
    /// The network interface on our side.
    pub eni: Id,
    pub gateway: Option<Id>,
    pub(super) limit: Option<u32>,
    /// The mapping that lets it in.
    pub let_in_by: Option<usize>,
    /// When it ends, in seconds, if it drains.
    pub drains: Option<u64>,
}

impl Reference {
    /// Decides about the first packet of a session, or `again` about one that is there. `had` is the source that it
    /// left with.
    pub(super) fn decide(
        &self,
        key: &Tuple,
        had: Option<Ipv4Addr>,
        again: bool,
    ) -> Result<Plan, &'static str> {
        if !self.may_send(&key.at, key.src) {
            return Err("spoofed");
        }
        if key.at == "wan" {
            let eip = self.eip(key.dst).ok_or("not_our_address")?;
            let plan = self.inbound(&eip, key, key.src, again)?;
            return match self.is_inside(self.eni(&plan.eni), key.src) {
                true => Err("spoofed"),
                false => Ok(plan),
            };
        }
        let dst = key.dst;
        if dst.is_multicast() || dst.is_broadcast() || dst.is_loopback() || dst.is_unspecified() {
            return Err("no_route");
        }
        let eni = self.eni(&key.at);
        let vpc = self.vpc_of(eni).clone();
        let groups = match self.local(&vpc, dst) {
            Some(Local::Eni(id)) => self.eni(&id).security_groups.clone(),
            _ => Vec::new(),
        };
        if !self.allows(eni, Direction::Egress, key, key.dport, dst, &groups) {
            return Err("security_group_out");
        }
        let vswitch = self.vswitch(&eni.vswitch);
        let system = RouteTable::system_id(&vpc);
        let table = vswitch.route_table.as_ref().unwrap_or(&system);
        let gateway = match self.route(Some(eni), &vpc, table, dst)? {
            Target::Eni(to, routed) => {
                let to = self.eni(&to);
                let same = *self.vpc_of(to) == vpc && key.src == eni.address;
                let groups = if same { &eni.security_groups[..] } else { &[] };
                self.let_in(to, key, key.dport, key.src, groups)?;
                return Ok(Plan {
                    direction: "local",
                    dst,
                    dport: key.dport,
                    source: Source::Keep,
                    exit: to.id.clone(),
                    routed,
                    eni: eni.id.clone(),
                    gateway: None,
                    limit: None,
                    let_in_by: None,
                    drains: None,
                });
            }
            Target::NatIp(nat_ip) => {
                let to = self.inbound(&nat_ip, key, key.src, again)?;
                return Ok(Plan {
                    direction: "local",
                    eni: eni.id.clone(),
                    ..to
                });
            }
            Target::Nat(gateway) if self.is_private(&gateway) => {
                return self.through(eni, &gateway, key, had, again);
            }
            Target::Nat(gateway) => Some(gateway),
            Target::OwnEip => None,
        };
        let (source, seen_as, by_gateway, drains) = self.source(eni, gateway.as_ref(), key, had)?;
        let gateway = gateway.filter(|_| by_gateway);
        let limit = gateway
            .as_ref()
            .and_then(|g| self.gateway(g).max_sessions_per_source);
        let mut plan = Plan {
            direction: "out",
            dst,
            dport: key.dport,
            source,
            exit: "wan".into(),
            routed: true,
            eni: eni.id.clone(),
            gateway,
            limit,
            let_in_by: None,
            drains,
        };
        if let Some(eip) = self.eip(dst) {
            // Of a pool any EIP may be seen: they are all alike to the rules here.
            let to = self.inbound(&eip, key, seen_as, again)?;
            plan.direction = "hairpin";
            plan.dst = to.dst;
            plan.dport = to.dport;
            plan.exit = to.exit;
            plan.gateway = plan.gateway.or(to.gateway);
            plan.let_in_by = to.let_in_by;
            plan.drains = drains.into_iter().chain(to.drains).min();
        }
        Ok(plan)
    }

    /// Decides about what goes through a VPC NAT gateway.
    fn through(
        &self,
        eni: &Eni,
        gateway: &Id,
        key: &Tuple,
        had: Option<Ipv4Addr>,
        again: bool,
    ) -> Result<Plan, &'static str> {
        let (source, seen_as, _, drains) = self.source(eni, Some(gateway), key, had)?;
        let (vpc, table) = (&self.gateway(gateway).vpc, self.table_of(gateway));
        let onward = match self.route(None, vpc, &table, key.dst)? {
            Target::Eni(to, _) => {
                let to = self.eni(&to);
                self.let_in(to, key, key.dport, seen_as, &[])?;
                Plan {
                    direction: "local",
                    dst: key.dst,
                    dport: key.dport,
                    source: Source::Keep,
                    exit: to.id.clone(),
                    routed: true,
                    eni: eni.id.clone(),
                    gateway: None,
                    limit: None,
                    let_in_by: None,
                    drains: None,
                }
            }
            Target::NatIp(nat_ip) => self.inbound(&nat_ip, key, seen_as, again)?,
            Target::Nat(_) | Target::OwnEip => return Err("route_loop"),
        };
        Ok(Plan {
            direction: "local",
            source,
            eni: eni.id.clone(),
            gateway: Some(gateway.clone()),
            limit: self.gateway(gateway).max_sessions_per_source,
            drains: drains.into_iter().chain(onward.drains).min(),
            ..onward
        })
    }

    /// What becomes of the source, what the receiver may see, whether a gateway does it, and until when.
    fn source(
        &self,
        eni: &Eni,
        gateway: Option<&Id>,
        key: &Tuple,
        had: Option<Ipv4Addr>,
    ) -> Result<(Source, Ipv4Addr, bool, Option<u64>), &'static str> {
        let private = gateway.is_some_and(|it| self.is_private(it));
        let own = self.own_eip(eni).filter(|_| !private);
        if let Some(eip) = own.filter(|_| key.src == eni.address) {
            return Ok((Source::Fixed(eip), eip, false, None));
        }
        let gateway = self.gateway(gateway.ok_or("no_route")?);
        let whole = |d: &&DnatEntry| d.mapping == DnatMapping::Any && d.internal == key.src;
        if let Some(entry) = gateway.dnat.iter().find(whole) {
            let eip = self.eip_address(&entry.eip);
            return Ok((Source::Fixed(eip), eip, true, None));
        }
        let sources: Vec<_> = gateway.snat.iter().map(|s| (s.source, s)).collect();
        let held = had.and_then(|had| Some((had, self.held(gateway, key.src, had)?)));
        let first = longest(&sources, key.src);
        if first.is_none() {
            let bound = Some(EipBinding::NatGateway(gateway.id.clone()));
            let called = self.eip(key.dst).filter(|it| it.binding == bound);
            let called = called.map(|it| it.address);
            if let Some(called) = called.filter(|called| had.is_none_or(|had| had == *called)) {
                return Ok((Source::Fixed(called), called, true, None));
            }
        }
        if held.is_none() && first.is_none() {
            return Err("no_snat");
        }
        if !matches!(key.proto, TCP | UDP | ICMP) {
            return Err("protocol_not_translatable");
        }
        let (entry, seen_as, drains) = match (held, first) {
            (Some((had, drains)), first) => (first.map(|it| &it.id), had, drains),
            (None, first) => {
                let entry = first.ok_or("no_snat")?;
                (Some(&entry.id), self.eip_address(&entry.eips[0]), None)
            }
        };
        let source = Source::Pool {
            gateway: gateway.id.clone(),
            entry: entry.cloned().unwrap_or_default(),
        };
        Ok((source, seen_as, true, drains))
    }

    /// Whether a gateway's SNAT entries let a source that is seen as `eip` go on; and until when, if it drains.
    pub(super) fn held(
        &self,
        gateway: &NatGateway,
        source: Ipv4Addr,
        eip: Ipv4Addr,
    ) -> Option<Option<u64>> {
        let eip = self.outside(&gateway.id, eip)?;
        let covers = |it: &SnatEntry| it.source.contains(&source) && it.eips.contains(&eip.id);
        if gateway.snat.iter().any(covers) {
            return Some(None);
        }
        let drains = gateway.snat.iter().flat_map(|it| &it.drains);
        let mine = drains.filter(|it| it.source.contains(&source) && it.eips.contains(&eip.id));
        mine.map(|it| it.until).max().map(Some)
    }

    fn inbound(
        &self,
        eip: &Outside,
        key: &Tuple,
        seen_as: Ipv4Addr,
        again: bool,
    ) -> Result<Plan, &'static str> {
        let (mut let_in_by, mut drains) = (None, None);
        let mut gateway = None;
        let (eni, dst, dport) = match &eip.binding {
            None => return Err("not_mapped"),
            Some(EipBinding::Eni(id)) => (Some(id.clone()), self.eni(id).address, key.dport),
            Some(EipBinding::NatGateway(id)) => {
                gateway = Some(id.clone());
                let g = self.gateway(id);
                let entry =
                    g.dnat
                        .iter()
                        .filter(|d| d.eip == eip.id)
                        .find_map(|d| match &d.mapping {
                            DnatMapping::Any => Some((d.internal, key.dport)),
                            DnatMapping::Ports {
                                protocol,
                                external,
                                internal,
                            } => (*protocol == key.proto && external.contains(&key.dport))
                                .then(|| (d.internal, internal + (key.dport - external.start()))),
                        });
                match entry {
                    Some((dst, dport)) => (None, dst, dport),
                    None => {
                        let open = self.open_mapping(g, eip, key, again);
                        let (m, until) = open.ok_or("not_mapped")?;
                        drains = until;
                        let_in_by = Some(m.id);
                        (Some(m.inner.at.clone()), m.inner.address, m.inner.port)
                    }
                }
            }
        };
        let eni = match (eni, &gateway) {
            (Some(eni), _) => eni,
            (None, Some(gateway)) => {
                let vpc = &self.gateway(gateway).vpc;
                match self.route(None, vpc, &self.table_of(gateway), dst)? {
                    Target::Eni(eni, _) => eni,
                    _ => return Err("route_loop"),
                }
            }
            (None, None) => return Err("not_mapped"),
        };
        self.let_in(self.eni(&eni), key, dport, seen_as, &[])?;
        Ok(Plan {
            direction: "in",
            dst,
            dport,
            source: Source::Keep,
            exit: eni.clone(),
            routed: true,
            eni,
            gateway,
            limit: None,
            let_in_by,
            drains,
        })
    }

    /// The mapping that lets a packet in from anywhere, and until when it does if it drains: that lets only those in
    /// that were there `again`.
    fn open_mapping(
        &self,
        gateway: &NatGateway,
        eip: &Outside,
        key: &Tuple,
        again: bool,
    ) -> Option<(&Mapping, Option<u64>)> {
        if gateway.filtering != Filtering::EndpointIndependent || key.proto == ICMP {
            return None;
        }
        let owner = self.mappings.iter().find(|m| {
            m.owner && m.eip == eip.id && m.port == key.dport && m.inner.proto == key.proto
        })?;
        let drains = self.held(gateway, owner.inner.address, eip.address)?;
        let there = self.config.enis.iter().any(|e| e.id == owner.inner.at);
        (there && (again || drains.is_none())).then_some((owner, drains))
    }
}
