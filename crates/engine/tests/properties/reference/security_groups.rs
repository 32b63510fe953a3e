//! What security groups let pass.

use super::{Reference, Tuple, find};
use crate::common::*;
use model::*;
use std::net::Ipv4Addr;

impl Reference {
    /// Whether the groups of `eni` let a packet pass, whose other end is `peer` with these groups.
    pub(super) fn allows(
        &self,
        eni: &Eni,
        direction: Direction,
        key: &Tuple,
        dport: u16,
        peer: Ipv4Addr,
        peer_groups: &[Id],
    ) -> bool {
        let mut best: Option<(u8, bool)> = None;
        let groups = eni.security_groups.iter();
        let groups: Vec<_> = groups
            .map(|id| find(&self.config.security_groups, id, |g| &g.id))
            .collect();
        for rule in groups.iter().flat_map(|g| &g.rules) {
            let ports = rule.ports.as_ref();
            let matches = rule.direction == direction
                && rule.protocol.is_none_or(|p| p == key.proto)
                && ports.is_none_or(|r| matches!(key.proto, TCP | UDP) && r.contains(&dport))
                && match &rule.peer {
                    RulePeer::Cidr(net) => net.contains(&peer),
                    RulePeer::Group(id) => peer_groups.contains(id),
                };
            let rank = (rule.priority, rule.policy == Policy::Accept);
            if matches && best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        }
        match best {
            Some((_, accept)) => accept,
            None if direction == Direction::Egress => true,
            None => groups
                .iter()
                .any(|g| g.kind == SecurityGroupKind::Normal && peer_groups.contains(&g.id)),
        }
    }

    pub(super) fn let_in(
        &self,
        to: &Eni,
        key: &Tuple,
        dport: u16,
        from: Ipv4Addr,
        groups: &[Id],
    ) -> Result<(), &'static str> {
        match self.allows(to, Direction::Ingress, key, dport, from, groups) {
            true => Ok(()),
            false => Err("security_group_in"),
        }
    }
}
