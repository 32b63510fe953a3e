//! The mappings of instances to ports outside, and the sessions that each has.

use super::{Inner, Reference, Tuple};
use crate::common::*;
use model::*;

#[derive(Clone, Debug)]
pub struct Mapping {
    pub(super) id: usize,
    pub(super) inner: Inner,
    /// The EIP or NAT IP.
    pub(super) eip: Id,
    pub(super) port: u16,
    pub(super) owner: bool,
    pub(super) listed: bool,
    pub(super) sessions: usize,
}

impl Reference {
    pub(super) fn mapping_mut(&mut self, id: usize) -> &mut Mapping {
        self.mappings
            .iter_mut()
            .find(|m| m.id == id)
            .expect("a mapping")
    }

    /// Counts a session on the mapping that it has, which is made if it is not there.
    pub(super) fn adopt(&mut self, inner: Inner, eip: Id, port: u16) -> usize {
        let listed = self
            .mappings
            .iter()
            .find(|m| m.listed && m.inner == inner && m.eip == eip);
        if let Some(same) = listed.filter(|m| m.port == port) {
            let id = same.id;
            self.mapping_mut(id).sessions += 1;
            return id;
        }
        let listed = listed.is_none();
        let owner = !self
            .mappings
            .iter()
            .any(|m| m.owner && m.eip == eip && m.port == port && m.inner.proto == inner.proto);
        self.next += 1;
        self.mappings.push(Mapping {
            id: self.next,
            inner,
            eip,
            port,
            owner,
            listed,
            sessions: 1,
        });
        self.next
    }

    /// Counts a session on the mapping that it has already, or else on one.
    pub(super) fn adopt_again(
        &mut self,
        has: Option<usize>,
        key: &Tuple,
        gateway: &Id,
        out: &Tuple,
    ) -> usize {
        match has {
            Some(id) => {
                self.mapping_mut(id).sessions += 1;
                id
            }
            None => {
                let eip = self.outside(gateway, out.src).expect("an EIP").id;
                self.adopt(Inner::of(key), eip, out.sport)
            }
        }
    }

    pub(super) fn release(&mut self, id: usize) {
        self.mapping_mut(id).sessions -= 1;
        self.mappings.retain(|m| m.sessions > 0);
    }

    /// Ports of an EIP with owners: TCP, UDP, ICMP.
    pub fn ports_used(&self, eip: &str) -> [u32; 3] {
        [TCP, UDP, ICMP].map(|proto| {
            let mine = |m: &&Mapping| m.owner && m.eip == eip && m.inner.proto == proto;
            self.mappings.iter().filter(mine).count() as u32
        })
    }
}
