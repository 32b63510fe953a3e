//! Where packets go: who has an address in a VPC, and what its route tables say.

use super::{Outside, Reference, find};
use ipnet::Ipv4Net;
use model::*;
use std::net::Ipv4Addr;

/// The longest prefix that holds an address; of equal ones the first.
pub(super) fn longest<T: Clone>(routes: &[(Ipv4Net, T)], address: Ipv4Addr) -> Option<T> {
    let mut best: Option<&(Ipv4Net, T)> = None;
    for route in routes.iter().filter(|(net, _)| net.contains(&address)) {
        if best.is_none_or(|best| route.0.prefix_len() > best.0.prefix_len()) {
            best = Some(route);
        }
    }
    best.map(|(_, value)| value.clone())
}

fn host(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::from(address)
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Local {
    Eni(Id),
    Behind(Id),
    NatIp(Outside),
    Gateway,
    Nobody,
}

pub(super) enum Target {
    Eni(Id, bool),
    Nat(Id),
    NatIp(Outside),
    OwnEip,
}

impl Reference {
    pub(super) fn local(&self, vpc: &Id, address: Ipv4Addr) -> Option<Local> {
        let mut all = Vec::new();
        for eni in self.config.enis.iter().filter(|e| self.vpc_of(e) == vpc) {
            all.push((host(eni.address), Local::Eni(eni.id.clone())));
            for net in &eni.hosts {
                all.push((*net, Local::Behind(eni.id.clone())));
            }
        }
        for nat_ip in &self.config.nat_ips {
            if self.gateway(&nat_ip.gateway).vpc == *vpc {
                all.push((host(nat_ip.address), Local::NatIp(self.nat_ip(nat_ip))));
            }
        }
        for vswitch in self.config.vswitches.iter().filter(|v| v.vpc == *vpc) {
            all.push((host(vswitch.gateway()), Local::Gateway));
            all.push((vswitch.cidr, Local::Nobody));
        }
        longest(&all, address)
    }

    pub(super) fn may_send(&self, at: &str, src: Ipv4Addr) -> bool {
        if at == "wan" {
            let own = src == Ipv4Addr::new(203, 0, 113, 2);
            let odd = src.is_multicast() || src.is_broadcast() || src.is_loopback();
            return !(own || odd || src.octets()[0] == 0 || self.eip(src).is_some());
        }
        let eni = self.eni(&at.to_owned());
        let behind = Some(Local::Behind(eni.id.clone()));
        src == eni.address || self.local(self.vpc_of(eni), src) == behind
    }

    /// Whether the routes lead to an address inside, from an interface.
    pub(super) fn is_inside(&self, eni: &Eni, address: Ipv4Addr) -> bool {
        let vpc = self.vpc_of(eni);
        let system = RouteTable::system_id(vpc);
        let table = self.vswitch(&eni.vswitch).route_table.as_ref();
        match self.route(None, vpc, table.unwrap_or(&system), address) {
            Ok(Target::Eni(id, _)) => self.may_send(&id, address),
            Ok(Target::NatIp(_)) => true,
            Ok(_) => false,
            Err(reason) => ["no_host", "gateway_unanswered"].contains(&reason),
        }
    }

    pub(super) fn route(
        &self,
        sender: Option<&Eni>,
        vpc: &Id,
        table: &Id,
        dst: Ipv4Addr,
    ) -> Result<Target, &'static str> {
        #[derive(Clone)]
        enum Hop {
            Local,
            By(NextHop),
        }
        let (mut vpc, mut table) = (vpc.clone(), table.clone());
        for _ in 0..8 {
            let mut all = Vec::new();
            for vswitch in self.config.vswitches.iter().filter(|v| v.vpc == vpc) {
                all.push((vswitch.cidr, Hop::Local));
            }
            for route in &find(&self.config.route_tables, &table, |t| &t.id).routes {
                all.push((route.destination, Hop::By(route.next_hop.clone())));
            }
            for cidr in &find(&self.config.vpcs, &vpc, |v| &v.id).cidrs {
                all.push((*cidr, Hop::Local));
            }
            for nat_ip in &self.config.nat_ips {
                if self.gateway(&nat_ip.gateway).vpc == vpc {
                    all.push((host(nat_ip.address), Hop::Local));
                }
            }
            match longest(&all, dst) {
                Some(Hop::Local) => {
                    return match self.local(&vpc, dst) {
                        Some(Local::Eni(id) | Local::Behind(id)) => {
                            let near = sender.is_some_and(|s| s.vswitch == self.eni(&id).vswitch);
                            Ok(Target::Eni(id, !near))
                        }
                        Some(Local::NatIp(nat_ip)) => Ok(Target::NatIp(nat_ip)),
                        Some(Local::Gateway) => Err("gateway_unanswered"),
                        _ => Err("no_host"),
                    };
                }
                Some(Hop::By(NextHop::Eni(id))) => return Ok(Target::Eni(id, true)),
                // None of the generated networks has firewalls.
                Some(Hop::By(NextHop::NatFirewall(_))) => unreachable!(),
                Some(Hop::By(NextHop::NatGateway(id))) => {
                    let bound = Some(EipBinding::NatGateway(id.clone()));
                    return match self.local(&vpc, dst) {
                        Some(Local::NatIp(it)) if it.binding == bound => Ok(Target::NatIp(it)),
                        _ => Ok(Target::Nat(id)),
                    };
                }
                Some(Hop::By(NextHop::Blackhole)) => return Err("blackhole"),
                Some(Hop::By(NextHop::Peering(id))) => {
                    let [a, b] = &find(&self.config.peerings, &id, |p| &p.id).vpcs;
                    vpc = if *a == vpc { b.clone() } else { a.clone() };
                    table = RouteTable::system_id(&vpc);
                }
                None if sender.is_some_and(|s| self.own_eip(s).is_some()) => {
                    return Ok(Target::OwnEip);
                }
                None => return Err("no_route"),
            }
        }
        Err("route_loop")
    }
}
