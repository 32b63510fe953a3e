//! What a configuration has, and to whom its outside addresses belong.

use super::Reference;
use model::*;
use std::net::Ipv4Addr;

pub(super) fn find<'a, T>(all: &'a [T], id: &Id, of: impl Fn(&T) -> &Id) -> &'a T {
    all.iter().find(|it| of(it) == id).expect(id)
}

/// An EIP or a NAT IP.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outside {
    pub(super) id: Id,
    pub(super) address: Ipv4Addr,
    pub(super) binding: Option<EipBinding>,
}

impl Reference {
    pub(super) fn eni(&self, id: &Id) -> &Eni {
        find(&self.config.enis, id, |e| &e.id)
    }

    pub(super) fn vswitch(&self, id: &Id) -> &VSwitch {
        find(&self.config.vswitches, id, |v| &v.id)
    }

    pub(super) fn gateway(&self, id: &Id) -> &NatGateway {
        find(&self.config.nat_gateways, id, |g| &g.id)
    }

    pub(super) fn vpc_of(&self, eni: &Eni) -> &Id {
        &self.vswitch(&eni.vswitch).vpc
    }

    pub(super) fn eip(&self, address: Ipv4Addr) -> Option<Outside> {
        let eip = self.config.eips.iter().find(|e| e.address == address)?;
        Some(Outside {
            id: eip.id.clone(),
            address,
            binding: eip.binding.clone(),
        })
    }

    pub(super) fn nat_ip(&self, nat_ip: &NatIp) -> Outside {
        Outside {
            id: nat_ip.id.clone(),
            address: nat_ip.address,
            binding: Some(EipBinding::NatGateway(nat_ip.gateway.clone())),
        }
    }

    /// The address of an EIP or a NAT IP.
    pub(super) fn eip_address(&self, id: &Id) -> Ipv4Addr {
        let nat_ip = self.config.nat_ips.iter().find(|it| it.id == *id);
        nat_ip.map_or_else(
            || find(&self.config.eips, id, |e| &e.id).address,
            |it| it.address,
        )
    }

    /// The EIP or NAT IP of a gateway that has an address.
    pub(super) fn outside(&self, gateway: &Id, address: Ipv4Addr) -> Option<Outside> {
        let nat_ips = self.config.nat_ips.iter().map(|it| self.nat_ip(it));
        let eips = self
            .config
            .eips
            .iter()
            .filter_map(|it| self.eip(it.address));
        let bound = Some(EipBinding::NatGateway(gateway.clone()));
        let mut all = nat_ips.chain(eips);
        all.find(|it| it.binding == bound && it.address == address)
    }

    pub(super) fn is_private(&self, gateway: &Id) -> bool {
        self.gateway(gateway).vswitch().is_some()
    }

    /// The route table that what a gateway has translated goes on by.
    pub(super) fn table_of(&self, gateway: &Id) -> Id {
        let gateway = self.gateway(gateway);
        let of_vswitch = gateway
            .vswitch()
            .and_then(|it| self.vswitch(it).route_table.clone());
        of_vswitch.unwrap_or_else(|| RouteTable::system_id(&gateway.vpc))
    }

    pub(super) fn own_eip(&self, eni: &Eni) -> Option<Ipv4Addr> {
        let bound = Some(EipBinding::Eni(eni.id.clone()));
        let found = self.config.eips.iter().find(|e| e.binding == bound);
        found.map(|e| e.address)
    }
}
