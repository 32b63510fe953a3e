//! Whether a NAT gateway can have a firewall, and if not, what to do about it.

use crate::cloud::Cloud;
use crate::quota::Quota;
use crate::records::*;
use crate::routes::DEFAULT;
use ipnet::Ipv4Net;
use model::Id;
use std::collections::BTreeSet;

/// Which firewall is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Whether what comes in by DNAT entries is to go through it too: then such entries are in nobody's way.
    pub inbound: bool,
    /// The route tables that it is to divert; `None`: all that it could.
    pub tables: Option<&'a [Id]>,
    /// Whether a block for its vSwitch is to be found.
    pub room: bool,
    /// The time.
    pub now: Seconds,
}

/// Items that go together.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they are about.
    pub name: &'static str,
    /// They.
    pub items: Vec<Item>,
}

/// Something that was checked.
#[derive(Clone, Debug)]
pub struct Item {
    /// What.
    pub name: &'static str,
    /// The code of a refusal because of it.
    pub code: &'static str,
    /// Whether it is as it has to be.
    pub passed: bool,
    /// How it is.
    pub info: String,
    /// What to do about it; empty, if nothing is to be done.
    pub suggestion: String,
    /// Whether a firewall works without it.
    pub skippable: bool,
}

impl Group {
    /// How many items are not as they have to be.
    pub fn failed(&self) -> usize {
        self.items.iter().filter(|it| !it.passed).count()
    }
}

/// An item: what to do is only told if it is not as it has to be.
fn item(
    (name, code, skippable): (&'static str, &'static str, bool),
    passed: bool,
    info: String,
    suggestion: &str,
) -> Item {
    Item {
        name,
        code,
        passed,
        info,
        suggestion: match passed {
            true => String::new(),
            false => suggestion.into(),
        },
        skippable,
    }
}

impl Cloud {
    /// Checks whether a gateway can have a firewall: each item with what was found and what to do about it.
    pub fn precheck(&self, gateway: &NatGateway, options: Options) -> Vec<Group> {
        let group = |name, items| Group { name, items };
        vec![
            group("NatGateway", self.check_gateway(gateway, options)),
            group("Route", self.check_routes(gateway, options)),
            group("Resource", self.check_resources(gateway, options)),
        ]
    }

    fn check_gateway(&self, gateway: &NatGateway, options: Options) -> Vec<Item> {
        let id = &gateway.id;
        let region = self.vpcs.get(&gateway.vpc).map(|it| it.region.clone());
        let region = region.unwrap_or_default();
        let known = region.is_empty() || self.regions().iter().any(|it| it.id == region);
        let other = self.firewall_of_gateway(id);
        let eips = self.eips_of_gateway(id).count();
        let most = self.limit(Quota::FirewallEips);
        let snat = self.snat_of_gateway(id).count();
        let dnat = self.dnat_of_gateway(id).count();
        let dnat_info = match options.inbound {
            true => {
                format!("{id} has {dnat} DNAT entries; what comes in by them is protected, too.")
            }
            false => format!("{id} has {dnat} DNAT entries."),
        };
        vec![
            item(
                ("RegionSupported", "ErrorRegionNotSupported", false),
                known,
                match &*region {
                    "" => "The gateway is of a file, and in each region.".into(),
                    region => format!("The gateway is in the region {region}."),
                },
                "Add the region to the configuration file.",
            ),
            item(
                ("NatGatewayType", "ErrorNatGatewayType", false),
                !gateway.intranet,
                match gateway.intranet {
                    true => format!("{id} is a VPC NAT gateway."),
                    false => format!("{id} is an Internet NAT gateway."),
                },
                "Protect an Internet NAT gateway: VPC NAT gateways have no firewall.",
            ),
            item(
                ("NatFirewallExists", "ErrorNatFirewallExists", false),
                other.is_none(),
                match other {
                    Some(other) => format!("{id} has the NAT firewall {}.", other.id),
                    None => format!("{id} has no NAT firewall."),
                },
                "A gateway has one firewall: use that one, or delete it first.",
            ),
            item(
                ("EipCount", "ErrorNatFirewallEipCount", true),
                (1..=most as usize).contains(&eips),
                format!("{id} has {eips} EIPs: 1 to {most} are allowed."),
                "Bind EIPs to the gateway, or unbind some; or raise the quota eips-per-nat-firewall.",
            ),
            item(
                ("SnatEntry", "ErrorNatSnatEntryMissing", true),
                snat > 0,
                format!("{id} has {snat} SNAT entries."),
                "Add an SNAT entry: without one nothing leaves by the gateway.",
            ),
            item(
                ("DnatEntry", "ErrorNatDnatEntryExists", true),
                dnat == 0 || options.inbound,
                dnat_info,
                "Delete the DNAT entries, or protect what comes in by them, too, with Inbound=true.",
            ),
        ]
    }

    fn check_routes(&self, gateway: &NatGateway, options: Options) -> Vec<Item> {
        let id = &gateway.id;
        let all = self.divertible(id);
        let tables = options.tables.unwrap_or(&all);
        let customs: Vec<BTreeSet<(Ipv4Net, String)>> =
            tables.iter().map(|it| self.customs(it)).collect();
        let differ = customs.iter().position(|it| Some(it) != customs.first());
        vec![
            item(
                ("DefaultRoute", "MissingNatRouteEntryList", false),
                !tables.is_empty(),
                match tables {
                    [] => format!("No route table has an entry for 0.0.0.0/0 that leads to {id}."),
                    some => format!("0.0.0.0/0 leads to {id} in {}.", some.join(", ")),
                },
                "Add a route entry for 0.0.0.0/0 to the gateway.",
            ),
            item(
                ("CustomRoutes", "ErrorNatCustomRouteEntryDifferent", true),
                differ.is_none(),
                match (differ, tables) {
                    (Some(n), [first, ..]) => format!(
                        "The route tables {first} and {} have different custom entries.",
                        tables[n]
                    ),
                    _ => "The route tables have the same custom entries.".into(),
                },
                "Give the tables the same entries, or let the firewall divert one of them only.",
            ),
        ]
    }

    /// The custom entries of a table that lead elsewhere than everything else does.
    fn customs(&self, table: &str) -> BTreeSet<(Ipv4Net, String)> {
        let routes = self.routes.iter();
        let routes = routes.filter(|it| it.table == table && it.destination != DEFAULT);
        routes
            .map(|it| (it.destination, format!("{:?}", it.next_hop)))
            .collect()
    }

    fn check_resources(&self, gateway: &NatGateway, options: Options) -> Vec<Item> {
        let license = self.license();
        let used = self.nat_firewalls.len();
        let expired = self.has_expired(options.now);
        let ended = item(
            ("License", "not buy user", false),
            !expired,
            match expired {
                true => "What was bought of Cloud Firewall has ended.".into(),
                false => "Cloud Firewall was bought.".into(),
            },
            "Renew the license.",
        );
        let quota = item(
            ("FirewallQuota", "ErrorNatFirewallQuotaExceeded", false),
            used < license.firewalls as usize,
            format!("{used} of {} NAT firewalls are in use.", license.firewalls),
            "Delete a NAT firewall that is not needed, or extend the license.",
        );
        let mut items = vec![ended, quota];
        if !options.room {
            return items;
        }
        let vpc = &gateway.vpc;
        let eips = self.eips_of_gateway(&gateway.id).count();
        let block = self.vpcs.get(vpc).and_then(|it| self.free_block(it, eips));
        items.push(item(
            ("VSwitchRoom", "ErrorVSwitchCidrNotEnough", false),
            block.is_some(),
            match block {
                Some(block) => format!("The vSwitch of the firewall could have {block}."),
                None => format!("{vpc} has no room for a vSwitch with {eips} addresses and more."),
            },
            "Add a secondary block to the VPC, or give the firewall a vSwitch that is there.",
        ));
        let vswitches = self.vswitches.iter().filter(|it| it.vpc == *vpc).count();
        let most = self.limit(Quota::VSwitches);
        items.push(item(
            ("VSwitchQuota", "QuotaExceeded.VSwitch", false),
            vswitches < most as usize,
            format!("{vpc} has {vswitches} of {most} vSwitches."),
            "Delete a vSwitch, or raise the quota vswitches-per-vpc.",
        ));
        let tables = self.route_tables.iter();
        let tables = tables.filter(|it| it.vpc == *vpc && !it.system).count();
        let most = self.limit(Quota::RouteTables);
        items.push(item(
            ("RouteTableQuota", "QuotaExceeded.RouteTable", false),
            tables < most as usize,
            format!("{vpc} has {tables} of {most} custom route tables."),
            "Delete a route table, or raise the quota route-tables-per-vpc.",
        ));
        items
    }
}
