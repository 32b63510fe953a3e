//! What goes around a NAT firewall, and why.

use crate::cloud::Cloud;
use crate::records::*;
use crate::routes::DEFAULT;
use ipnet::Ipv4Net;
use model::Id;
use std::net::Ipv4Addr;

/// How traffic gets past a firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The firewall is off.
    Off,
    /// A more specific entry in a diverted table.
    SpecificRoute,
    /// A table leads to the gateway and is not diverted.
    OtherTable,
    /// A table leads to the Internet elsewhere.
    OtherExit,
    /// An interface has an EIP of its own.
    OwnEip,
}

impl Way {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Way::Off => "FirewallOff",
            Way::SpecificRoute => "SpecificRoute",
            Way::OtherTable => "OtherTable",
            Way::OtherExit => "OtherExit",
            Way::OwnEip => "OwnEip",
        }
    }
}

/// Something that goes around a firewall.
#[derive(Clone, Debug)]
pub struct Bypass {
    /// How.
    pub way: Way,
    /// The route table, if it is by a route.
    pub table: Option<Id>,
    /// The route entry.
    pub route: Option<Id>,
    /// Its destination.
    pub destination: Option<Ipv4Net>,
    /// What it leads to: a gateway, an interface, an EIP.
    pub target: Id,
    /// The vSwitches whose traffic it is.
    pub vswitches: Vec<Id>,
    /// What happens, and why.
    pub reason: String,
    /// What to do about it.
    pub suggestion: String,
}

/// Blocks that are not the Internet.
const INSIDE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

impl Cloud {
    /// What of a gateway's VPC reaches the Internet without going through the gateway's firewall. What is dropped, and
    /// what stays in private networks, does not.
    pub fn bypasses(&self, firewall: &NatFirewall) -> Vec<Bypass> {
        let Some(gateway) = self.nat_gateways.get(&firewall.gateway) else {
            return Vec::new();
        };
        if !firewall.enabled {
            return vec![Bypass {
                way: Way::Off,
                table: None,
                route: None,
                destination: None,
                target: gateway.id.clone(),
                vswitches: Vec::new(),
                reason: format!(
                    "The firewall is off: all traffic goes to {} directly.",
                    gateway.id
                ),
                suggestion: "Switch it on.".into(),
            }];
        }
        let Some(vpc) = self.vpcs.get(&gateway.vpc) else {
            return Vec::new();
        };
        let mut found: Vec<Bypass> = self
            .routes_of_vpc(&vpc.id)
            .filter(|it| self.firewall_of_table(&it.table).is_none() && self.diverts(it).is_none())
            .filter_map(|it| self.bypass_by_route(firewall, vpc, it))
            .collect();
        found.extend(self.bypasses_by_eip(vpc));
        found
    }

    fn bypass_by_route(&self, firewall: &NatFirewall, vpc: &Vpc, route: &Route) -> Option<Bypass> {
        let (target, leads) = match &route.next_hop {
            NextHop::Blackhole => return None,
            NextHop::NatGateway(id) => {
                // A VPC NAT gateway leads to private networks.
                self.nat_gateways.get(id).filter(|it| !it.intranet)?;
                (id, format!("to the NAT gateway {id}"))
            }
            NextHop::Instance(id) => (id, format!("to the instance {id}")),
            NextHop::Eni(id) => (id, format!("to the network interface {id}")),
            NextHop::Peering(id) => (id, format!("through the peer connection {id}")),
        };
        let destination = route.destination;
        let inside = vpc.cidrs.iter().chain(&vpc.user_cidrs).chain(&INSIDE);
        if inside.into_iter().any(|it| it.contains(&destination)) {
            return None;
        }
        let diverted = firewall.tables.contains(&route.table);
        let to_gateway = *target == firewall.gateway;
        let table = &route.table;
        let (way, reason, suggestion) = match (destination == DEFAULT, diverted, to_gateway) {
            (false, true, _) => (
                Way::SpecificRoute,
                format!(
                    "{destination} is more specific than 0.0.0.0/0, which is diverted: in {table} it leads {leads} \
                     and around the firewall."
                ),
                "Delete the route entry, unless what goes there needs no protection.".to_owned(),
            ),
            (true, _, true) => (
                Way::OtherTable,
                format!("The firewall does not divert {table}: 0.0.0.0/0 leads {leads} directly."),
                format!("Let the firewall divert {table}, too: `sluice firewall modify {} --route-table-ids …`.", firewall.id),
            ),
            (true, ..) => (
                Way::OtherExit,
                format!("In {table} 0.0.0.0/0 leads {leads}, not to the firewall."),
                "Lead it to the gateway and let the firewall divert it, or protect the other way out.".to_owned(),
            ),
            (false, false, _) => (
                Way::OtherExit,
                format!("In {table}, which the firewall does not divert, {destination} leads {leads}."),
                "Delete the route entry, unless what goes there needs no protection.".to_owned(),
            ),
        };
        let vswitches = self.vswitches.iter().filter(|it| it.route_table == *table);
        Some(Bypass {
            way,
            table: Some(table.clone()),
            route: Some(route.id.clone()),
            destination: Some(destination),
            target: target.clone(),
            vswitches: vswitches.map(|it| it.id.clone()).collect(),
            reason,
            suggestion,
        })
    }

    /// Interfaces with an EIP of their own leave by that.
    fn bypasses_by_eip(&self, vpc: &Vpc) -> impl Iterator<Item = Bypass> {
        self.eips.iter().filter_map(|eip| {
            let (target, eni) = match eip.binding.as_ref()? {
                EipBinding::NatGateway(_) => return None,
                EipBinding::Instance(id) => (id, self.primary_eni(id)?),
                EipBinding::Eni(id) => (id, self.enis.get(id)?),
            };
            let vswitch = self.vswitches.get(&eni.vswitch)?;
            if vswitch.vpc != vpc.id || eip.protected {
                return None;
            }
            Some(Bypass {
                way: Way::OwnEip,
                table: None,
                route: None,
                destination: None,
                target: eip.id.clone(),
                vswitches: vec![vswitch.id.clone()],
                reason: format!(
                    "{target} has the EIP {} ({}) of its own, and leaves by that instead of by the NAT gateway.",
                    eip.id, eip.address
                ),
                suggestion: format!(
                    "Unbind it, or protect it at the Internet border: `sluice firewall protect {}`.",
                    eip.address
                ),
            })
        })
    }
}
