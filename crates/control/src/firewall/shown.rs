//! What is shown of a firewall and carries no traffic here: the addresses of its interfaces in its vSwitch, and an SNAT
//! entry for each EIP of its gateway.
//!
//! In the cloud these keep the EIPs that clients have. Here packets go on from the firewall as they came, so the
//! gateway's own entries keep them; but tools that count entries and addresses find what they expect.

use crate::cloud::Cloud;
use crate::records::*;
use model::{DnatMapping, Id, Pooling};
use std::net::Ipv4Addr;

impl Cloud {
    /// The EIPs that a firewall has an SNAT entry for: those of its gateway that no IP mapping has for itself.
    fn shown_eips(&self, firewall: &NatFirewall) -> Vec<&Eip> {
        let mapped = |eip: &Eip| {
            let mut entries = self.dnat_of_gateway(&firewall.gateway);
            entries.any(|it| it.eip == eip.id && it.mapping == DnatMapping::Any)
        };
        let eips = self.eips_of_gateway(&firewall.gateway);
        eips.filter(|it| !mapped(it)).collect()
    }

    /// The addresses of a firewall's interfaces in its vSwitch: one that traffic comes in by, and one for each EIP, as
    /// far as there is room.
    pub fn shown_addresses(&self, firewall: &NatFirewall) -> Vec<Ipv4Addr> {
        let vswitch = firewall.vswitch.as_ref();
        let Some(vswitch) = vswitch.and_then(|it| self.vswitches.get(it)) else {
            return Vec::new();
        };
        let block = model::VSwitch {
            id: vswitch.id.clone(),
            vpc: vswitch.vpc.clone(),
            cidr: vswitch.cidr,
            route_table: None,
        };
        let hosts = vswitch.cidr.hosts().filter(|it| !block.is_reserved(*it));
        hosts.take(1 + self.shown_eips(firewall).len()).collect()
    }

    /// The SNAT entries of a firewall: one for each EIP.
    pub fn shown_snat(&self, firewall: &NatFirewall) -> Vec<SnatEntry> {
        let addresses = self.shown_addresses(firewall);
        let eips = self.shown_eips(firewall);
        let entries = eips.into_iter().zip(addresses.into_iter().skip(1));
        let entries = entries.map(|(eip, address)| SnatEntry {
            id: format!("snat-{}-{}", tail(&firewall.id), tail(&eip.id)),
            meta: Meta {
                name: "Cloud_Firewall_SNAT".into(),
                created: firewall.meta.created,
                ..Meta::default()
            },
            gateway: firewall.gateway.clone(),
            source: SnatSource::Cidr(address.into()),
            eips: vec![eip.id.clone()],
            pooling: Pooling::Hash,
            drains: Vec::new(),
        });
        entries.collect()
    }
}

/// An identifier without the prefix of its kind.
fn tail(id: &Id) -> &str {
    id.rsplit_once('-').map_or(id, |(_, tail)| tail)
}
