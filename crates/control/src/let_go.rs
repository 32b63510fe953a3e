//! Letting go of what is no longer there.
//!
//! Operations refuse to remove what something else depends on. A configuration file removes what it no longer
//! names, and what was made otherwise may have hung on to that: it is let go, so that no record names one that is
//! not there.

use crate::draft::Draft;
use crate::records::*;
use model::Id;

impl Draft {
    /// Lets go of what is not there: interfaces are detached, EIPs unbound, routes lead nowhere, entries of NAT
    /// gateways go.
    pub(crate) fn let_go(&mut self) {
        let attached = |it: &&Eni| {
            let instance = it.instance.as_ref();
            instance.is_some_and(|it| !self.instances.contains(it))
        };
        for id in ids(self.enis.iter().filter(attached), |it| &it.id) {
            if let Some(eni) = self.enis.get_mut(&id) {
                eni.instance = None;
            }
        }
        let bound = |it: &&Eip| match &it.binding {
            None => false,
            Some(EipBinding::Instance(id)) => !self.instances.contains(id),
            Some(EipBinding::Eni(id)) => !self.enis.contains(id),
            Some(EipBinding::NatGateway(id)) => !self.nat_gateways.contains(id),
        };
        for id in ids(self.eips.iter().filter(bound), |it| &it.id) {
            if let Some(eip) = self.eips.get_mut(&id) {
                eip.binding = None;
            }
        }
        let leads = |it: &&Route| match &it.next_hop {
            NextHop::Blackhole => false,
            NextHop::Instance(id) => !self.instances.contains(id),
            NextHop::Eni(id) => !self.enis.contains(id),
            NextHop::NatGateway(id) => !self.nat_gateways.contains(id),
            NextHop::Peering(id) => !self.peerings.contains(id),
        };
        for id in ids(self.routes.iter().filter(leads), |it| &it.id) {
            if let Some(route) = self.routes.get_mut(&id) {
                route.next_hop = NextHop::Blackhole;
            }
        }
        let of_none = |it: &&SnatEntry| !self.nat_gateways.contains(&it.gateway);
        for id in ids(self.snat.iter().filter(of_none), |it| &it.id) {
            self.snat.remove(&id);
        }
        let of_none = |it: &&NatIp| !self.nat_gateways.contains(&it.gateway);
        for id in ids(self.nat_ips.iter().filter(of_none), |it| &it.id) {
            self.nat_ips.remove(&id);
        }
        let of_none = |it: &&NatIpCidr| !self.nat_gateways.contains(&it.gateway);
        for id in ids(self.nat_ip_cidrs.iter().filter(of_none), |it| &it.id) {
            self.nat_ip_cidrs.remove(&id);
        }
        let of_none = |it: &&DnatEntry| !self.nat_gateways.contains(&it.gateway);
        for id in ids(self.dnat.iter().filter(of_none), |it| &it.id) {
            self.dnat.remove(&id);
        }
        self.let_go_of_drains();
        self.let_go_of_firewalls();
    }
}

fn ids<'a, T: 'a>(records: impl Iterator<Item = &'a T>, id: fn(&T) -> &Id) -> Vec<Id> {
    records.map(|it| id(it).clone()).collect()
}
