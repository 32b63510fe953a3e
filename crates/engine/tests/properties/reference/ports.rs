//! The EIP and the port that a new session leaves with: whether they were rightly chosen, or rightly refused.

use super::{Inner, Mapping, Plan, Reference, Session, Source, Tuple, find};
use crate::common::*;
use model::*;
use std::net::Ipv4Addr;
use std::time::Duration;

impl Reference {
    /// A new session should be opened and was: `seen` came out at `port`. Checks what was chosen.
    pub fn opened(&mut self, plan: Plan, key: &Tuple, port: &str, seen: &Packet) {
        let out = Tuple {
            dport: match key.proto {
                ICMP => key.dport,
                _ => seen.dport(),
            },
            ..Tuple::of(port, seen)
        };
        assert_eq!((port, seen.dst), (plan.exit.as_str(), plan.dst), "{plan:?}");
        if matches!(key.proto, TCP | UDP) {
            assert_eq!(seen.dport(), plan.dport, "{plan:?}");
        }
        let reply = out.reverse(port);
        assert!(
            self.usable(key, &reply),
            "{reply:?} belongs to another session"
        );
        let mapping = match &plan.source {
            Source::Pool { gateway, entry } => {
                self.check_pick(gateway, entry, key, &out, &plan);
                let eip = self.outside(gateway, out.src).expect("an EIP").id;
                Some(self.adopt(Inner::of(key), eip, out.sport))
            }
            source => {
                let src = match source {
                    Source::Fixed(eip) => *eip,
                    _ => key.src,
                };
                assert_eq!(out.src, src);
                let kept = Tuple {
                    sport: key.sport,
                    ..out.clone()
                };
                if out.sport != key.sport {
                    let taken = !self.usable(key, &kept.reverse(port));
                    assert!(taken, "the source port was changed without need");
                }
                None
            }
        };
        let let_in_by = plan
            .let_in_by
            .inspect(|&id| self.mapping_mut(id).sessions += 1);
        self.sessions.push(Session {
            keys: [key.clone(), reply],
            plan,
            mapping,
            let_in_by,
            history: Vec::new(),
            packets: [0, 0],
            waits: false,
            last: Duration::ZERO,
        });
    }

    /// A new session should have been opened and was not.
    pub fn refused(&mut self, plan: &Plan, key: &Tuple, reason: &str) {
        match &plan.source {
            Source::Pool { gateway, entry } => {
                assert_eq!(reason, "ports_exhausted");
                let gateway = self.gateway(gateway);
                let entry = find(&gateway.snat, entry, |s| &s.id);
                for eip in &entry.eips {
                    assert!(
                        !self.has_port(gateway, eip, key, plan),
                        "{eip} has free ports"
                    );
                }
            }
            _ => {
                assert_eq!(reason, "tuple_conflict");
                assert!(!matches!(key.proto, TCP | UDP | ICMP), "{key:?}");
            }
        }
    }

    fn reserved(&self, gateway: &NatGateway, eip: &Id, proto: u8, port: u16) -> bool {
        gateway.dnat.iter().any(|d| {
            matches!(&d.mapping, DnatMapping::Ports { protocol, external, .. }
                if *protocol == proto && external.contains(&port))
                && d.eip == *eip
        })
    }

    /// The ports that a sender may get.
    fn range(gateway: &NatGateway, proto: u8, port: u16) -> std::ops::RangeInclusive<u16> {
        let (low, high) = gateway.snat_ports.clone().into_inner();
        match (proto, port) {
            (ICMP, _) => 0..=65535,
            _ if low >= 1024 || high < 1024 => low..=high,
            (_, ..1024) => low..=1023,
            _ => 1024..=high,
        }
    }

    fn reply(key: &Tuple, plan: &Plan, eip: Ipv4Addr, port: u16) -> Tuple {
        let out = Tuple {
            at: plan.exit.clone(),
            proto: key.proto,
            src: eip,
            sport: port,
            dst: plan.dst,
            dport: plan.dport,
        };
        out.reverse(&plan.exit)
    }

    /// Whether some port of an EIP could have served.
    fn has_port(&self, gateway: &NatGateway, eip: &Id, key: &Tuple, plan: &Plan) -> bool {
        let address = self.eip_address(eip);
        let mut range = Reference::range(gateway, key.proto, key.sport);
        range.any(|port| {
            !self.reserved(gateway, eip, key.proto, port)
                && self.usable(key, &Reference::reply(key, plan, address, port))
        })
    }

    /// Whether an EIP of the pool and its port were rightly chosen.
    fn check_pick(&mut self, gateway: &Id, entry: &Id, key: &Tuple, out: &Tuple, plan: &Plan) {
        let g = self.gateway(gateway);
        let entry = find(&g.snat, entry, |s| &s.id);
        assert!(
            entry.eips.iter().any(|id| self.eip_address(id) == out.src),
            "{} is not in the pool of {}",
            out.src,
            entry.id
        );
        let (eip, port) = (
            self.outside(gateway, out.src).expect("an EIP").id,
            out.sport,
        );
        let inner = Inner::of(key);
        let can = |port: u16| self.usable(key, &Reference::reply(key, plan, out.src, port));
        let existing = self
            .mappings
            .iter()
            .find(|m| m.listed && m.inner == inner && m.eip == eip);
        let owned = |port: u16| {
            let same = |m: &&Mapping| m.owner && m.eip == eip && m.port == port;
            self.mappings
                .iter()
                .filter(same)
                .any(|m| m.inner.proto == key.proto)
        };
        let range = Reference::range(g, key.proto, key.sport);
        if let Some(existing) = existing.filter(|m| can(m.port)) {
            assert_eq!(port, existing.port, "the mapping of {inner:?} was not used");
        } else {
            assert!(range.contains(&port), "{port} is not in {range:?}");
            assert!(
                !self.reserved(g, &eip, key.proto, port),
                "{port} is a DNAT entry's"
            );
            let keep = key.sport;
            let could = range.contains(&keep) && !self.reserved(g, &eip, key.proto, keep);
            if could && !owned(keep) && can(keep) {
                assert_eq!(port, keep, "the source port could have been kept");
            }
            if owned(port) {
                let mut others = range.clone();
                let free =
                    others.any(|p| !owned(p) && !self.reserved(g, &eip, key.proto, p) && can(p));
                assert!(!free, "{port} is shared although others are free");
            }
        }
        // The same sender gets the same EIP, as long as that has ports.
        let depends = match entry.pooling {
            Pooling::Hash => (entry.id.clone(), key.src, key.proto, key.sport),
            Pooling::Paired => (entry.id.clone(), key.src, 0, 0),
            Pooling::Affinity => {
                let towards = u32::from(key.dst);
                (format!("{} {towards}", entry.id), key.src, 0, 0)
            }
        };
        match self.picks.get(&depends) {
            Some(first) if *first != eip => {
                assert!(
                    !self.has_port(g, first, key, plan),
                    "{first} was left for {eip}"
                );
            }
            Some(_) => {}
            None => {
                let alone = entry
                    .eips
                    .iter()
                    .all(|id| *id == eip || self.has_port(g, id, key, plan));
                // Only if no other EIP can have been preferred in vain.
                if alone {
                    self.picks.insert(depends, eip);
                }
            }
        }
    }
}
