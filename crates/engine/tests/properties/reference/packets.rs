//! What should become of a packet that a session has, that opens one, or that is an ICMP error about another.

use super::{Local, Outside, Plan, Reference, Target, Tuple};
use crate::common::*;
use model::*;
use std::net::Ipv4Addr;

/// What should become of a packet.
#[derive(Clone, Debug)]
pub enum Expected {
    Drop(&'static str),
    Answered,
    /// It belongs to the session with this index and goes this way.
    Known(usize, usize),
    New(Box<Plan>),
}

impl Reference {
    /// What should become of a whole packet, other than an ICMP error. Sessions that make room for a new
    /// connection are gone afterwards.
    pub fn expect(&mut self, at: &str, packet: &Packet) -> Expected {
        let key = Tuple::of(at, packet);
        let opens = match key.proto {
            TCP => packet.flags() & (FIN | SYN | RST | ACK) == SYN,
            ICMP => key.dport == 8,
            _ => true,
        };
        let own = Ipv4Addr::new(203, 0, 113, 2);
        if at == "wan" && self.eip(key.dst).is_none() && key.dst != own {
            return Expected::Drop("not_our_address");
        }
        let mut found = self.position(&key);
        if let Some((n, way)) = found
            && key.proto == TCP
            && opens
            && self.sessions[n].over()
        {
            let out = self.sessions[n].leaves(way);
            let mut plan = self.decide(&key, Some(out.src), true);
            let drains = plan.as_ref().is_ok_and(|plan| plan.drains.is_some());
            if drains && way == 0 {
                self.end(n);
                found = None;
            } else if drains {
                plan = self.decide(&key, None, false);
                if plan.is_ok() {
                    self.end(n);
                    found = None;
                }
            } else if plan.as_ref().is_ok_and(|plan| self.fits(plan, &key, &out)) {
                let session = &mut self.sessions[n];
                session.history.clear();
                session.packets = [0, 0];
            } else if plan.is_ok() {
                self.end(n);
                found = None;
            }
        }
        if let Some((n, way)) = found {
            return match self.sessions[n].plan.routed && packet.ttl <= 1 {
                true => Expected::Drop("ttl_expired"),
                false => Expected::Known(n, way),
            };
        }
        let gateway = match at {
            "wan" => key.dst == own,
            eni => {
                let vpc = self.vpc_of(self.eni(&eni.to_owned()));
                match self.local(vpc, key.dst) {
                    None => key.dst == own,
                    local => local == Some(Local::Gateway),
                }
            }
        };
        if gateway {
            return match () {
                _ if !self.may_send(at, key.src) => Expected::Drop("spoofed"),
                _ if key.proto == ICMP && opens => Expected::Answered,
                _ => Expected::Drop("gateway_unanswered"),
            };
        }
        if !opens {
            return Expected::Drop(if key.proto == TCP {
                "tcp_out_of_state"
            } else {
                "icmp_unmatched"
            });
        }
        let plan = match self.decide(&key, None, false) {
            Ok(plan) => plan,
            Err("not_mapped") if key.proto == ICMP && self.eip_answers(&key) => {
                return Expected::Answered;
            }
            Err(reason) => return Expected::Drop(reason),
        };
        if plan.routed && packet.ttl <= 1 {
            return Expected::Drop("ttl_expired");
        }
        let mine = self.sessions.iter().filter(|s| {
            let k = &s.keys[0];
            s.plan.limit.is_some() && (&k.at, k.src) == (&key.at, key.src)
        });
        match plan.limit {
            Some(limit) if mine.count() >= limit as usize => Expected::Drop("source_limit"),
            _ => Expected::New(Box::new(plan)),
        }
    }

    fn eip_answers(&self, key: &Tuple) -> bool {
        let binding = self.called(key).and_then(|eip| eip.binding);
        matches!(binding, Some(EipBinding::NatGateway(id)) if self.gateway(&id).icmp_reply)
    }

    /// The EIP or NAT IP that a packet is for.
    fn called(&self, key: &Tuple) -> Option<Outside> {
        if key.at == "wan" {
            return self.eip(key.dst);
        }
        let eni = self.eni(&key.at);
        let vswitch = self.vswitch(&eni.vswitch);
        let system = RouteTable::system_id(&vswitch.vpc);
        let table = vswitch.route_table.as_ref().unwrap_or(&system);
        let mut target = self.route(Some(eni), &vswitch.vpc, table, key.dst).ok()?;
        if let Target::Nat(gateway) = &target
            && self.is_private(gateway)
        {
            let (vpc, table) = (&self.gateway(gateway).vpc, self.table_of(gateway));
            target = self.route(None, vpc, &table, key.dst).ok()?;
        }
        match target {
            Target::NatIp(nat_ip) => Some(nat_ip),
            Target::Eni(..) => None,
            Target::Nat(_) | Target::OwnEip => self.eip(key.dst),
        }
    }

    /// What should become of an ICMP error about `packet`, which came out at `at`: the port that it leaves by, its
    /// source and destination, and the tuple that is quoted.
    pub fn expect_error(
        &self,
        at: &str,
        from: Ipv4Addr,
        packet: &Packet,
    ) -> Result<(Ipv4Addr, Tuple), &'static str> {
        if !self.may_send(at, from) {
            return Err("spoofed");
        }
        let answers = Tuple::of(at, packet).reverse(at);
        let (n, back) = self.position(&answers).ok_or("icmp_unmatched")?;
        let session = &self.sessions[n];
        let new = session.leaves(back);
        let translated = new.src != answers.src;
        let src = match from == answers.src || (at != "wan" && translated) {
            true => new.src,
            false => from,
        };
        Ok((src, session.keys[1 - back].clone()))
    }
}
