//! What is different between two configurations.

use crate::socket::protocol::Change;
use hashbrown::HashMap;
use model::{Config, Detail, Kind, NatGateway};

/// What a change from `old` to `new` adds, removes and changes: one [`Change`] for each kind of resource
/// with a difference. The order of resources does not matter.
pub fn between(old: &Config, new: &Config) -> Vec<Change> {
    let both = [old, new];
    let changes = [
        compare(Kind::System, both, |c| [("settings", &c.system)]),
        compare(Kind::Uplink, both, |c| {
            c.uplinks.iter().map(|it| (&*it.id, it))
        }),
        compare(Kind::Vpc, both, |c| {
            let all = c.vpcs.iter();
            all.map(|it| (&*it.id, (it, c.details.of(Kind::Vpc, &it.id))))
        }),
        compare(Kind::VSwitch, both, |c| {
            let all = c.vswitches.iter();
            all.map(|it| (&*it.id, (it, c.details.of(Kind::VSwitch, &it.id))))
        }),
        compare(Kind::Peering, both, |c| {
            let all = c.peerings.iter();
            all.map(|it| (&*it.id, (it, c.details.of(Kind::Peering, &it.id))))
        }),
        compare(Kind::RouteTable, both, |c| {
            c.route_tables.iter().map(|it| {
                let routes = it.routes.iter();
                let routes = routes.map(|route| c.details.of_route(&it.id, route.destination));
                let routes: Vec<&Detail> = routes.collect();
                let says = c.details.of(Kind::RouteTable, &it.id);
                (&*it.id, (it, says, routes))
            })
        }),
        compare(Kind::SecurityGroup, both, |c| {
            let all = c.security_groups.iter();
            all.map(|it| (&*it.id, (it, c.details.of(Kind::SecurityGroup, &it.id))))
        }),
        // An instance is its primary network interface.
        compare(Kind::Instance, both, |c| {
            let primary = c.enis.iter().filter(|it| c.details.is_instance(it));
            primary.map(|it| {
                let says = [Kind::Instance, Kind::Eni].map(|kind| c.details.of(kind, &it.id));
                (&*it.id, (it, says))
            })
        }),
        compare(Kind::Eni, both, |c| {
            let others = c.enis.iter().filter(|it| !c.details.is_instance(it));
            others.map(|it| (&*it.id, (it, c.details.of(Kind::Eni, &it.id))))
        }),
        compare(Kind::Eip, both, |c| {
            let all = c.eips.iter();
            all.map(|it| (&*it.id, (it, c.details.of(Kind::Eip, &it.id))))
        }),
        compare(Kind::BandwidthPackage, both, |c| {
            let all = c.bandwidth_packages.iter();
            all.map(|it| (&*it.id, (it, c.details.of(Kind::BandwidthPackage, &it.id))))
        }),
        // Without its entries: these are told one by one.
        compare(Kind::NatGateway, both, |c| {
            let all = c.nat_gateways.iter();
            all.map(|it| (&*it.id, (bare(it), c.details.of(Kind::NatGateway, &it.id))))
        }),
        compare(Kind::NatIp, both, |c| {
            let all = c.nat_ips.iter();
            all.map(|it| (&*it.id, (it, c.details.of(Kind::NatIp, &it.id))))
        }),
        compare("block for NAT IPs", both, |c| {
            let blocks = c.details.nat_ip_cidrs.iter();
            blocks.map(|it| (&*it.id, it))
        }),
        compare(Kind::SnatEntry, both, |c| {
            let gateways = c.nat_gateways.iter();
            gateways.flat_map(|gateway| {
                let entries = gateway.snat.iter();
                entries.map(|it| {
                    let says = c.details.of(Kind::SnatEntry, &it.id);
                    (&*it.id, (&gateway.id, it, says))
                })
            })
        }),
        compare(Kind::DnatEntry, both, |c| {
            let gateways = c.nat_gateways.iter();
            gateways.flat_map(|gateway| {
                let entries = gateway.dnat.iter();
                entries.map(|it| {
                    let says = c.details.of(Kind::DnatEntry, &it.id);
                    (&*it.id, (&gateway.id, it, says))
                })
            })
        }),
        compare(Kind::NatFirewall, both, |c| {
            let on = c.firewalls.nat.iter().map(|it| (true, it));
            let off = c.firewalls.nat_off.iter().map(|it| (false, it));
            on.chain(off).map(|(on, it)| {
                let mut diversions = c.firewalls.diversions.iter();
                let diversion = diversions.find(|other| other.firewall == it.id);
                let says = c.details.of(Kind::NatFirewall, &it.id);
                (&*it.id, (on, it, diversion, says))
            })
        }),
        compare("firewall license", both, |c| {
            [("settings", &c.firewalls.license)]
        }),
        compare(Kind::BorderFirewall, both, |c| {
            [("settings", &c.firewalls.border)]
        }),
        compare("DNS firewall", both, |c| [("settings", &c.firewalls.dns)]),
        compare(Kind::AddressBook, both, |c| {
            let all = c.firewalls.books.iter();
            all.map(|it| (&*it.id, (it, c.details.of(Kind::AddressBook, &it.id))))
        }),
        // Their order counts.
        compare(Kind::Policy, both, |c| {
            let lists = c.firewalls.policies.iter();
            lists.flat_map(|list| {
                let policies = list.policies.iter().enumerate();
                policies.map(|(n, it)| (&*it.id, (&list.scope, n, it)))
            })
        }),
        compare(Kind::ThreatFeed, both, |c| {
            c.firewalls.feeds.iter().map(|it| (&*it.id, it))
        }),
    ];
    changes.into_iter().flatten().collect()
}

/// A NAT gateway without its entries, for comparison.
fn bare(gateway: &NatGateway) -> impl PartialEq {
    let NatGateway {
        id: _,
        vpc,
        network,
        snat: _,
        dnat: _,
        mapping,
        filtering,
        timeouts,
        max_sessions_per_source,
        snat_ports,
        icmp_reply,
        tcp_out_of_state,
        source_metrics,
        drain,
    } = gateway;
    let translation = (mapping, filtering);
    let sessions = (timeouts, max_sessions_per_source, snat_ports);
    let packets = (icmp_reply, tcp_out_of_state, source_metrics, drain);
    (vpc, network, translation, sessions, packets)
}

/// Compares the resources of one kind, each with its identifier, in two configurations; `None` if they
/// are the same.
fn compare<'a, T: PartialEq, I: IntoIterator<Item = (&'a str, T)>>(
    kind: impl ToString,
    [old, new]: [&'a Config; 2],
    resources: impl Fn(&'a Config) -> I,
) -> Option<Change> {
    let mut change = Change {
        kind: kind.to_string(),
        ..Change::default()
    };
    let mut before: HashMap<&str, T> = resources(old).into_iter().collect();
    for (id, resource) in resources(new) {
        match before.remove(id) {
            None => change.added.push(id.to_owned()),
            Some(was) if was != resource => change.changed.push(id.to_owned()),
            Some(_) => {}
        }
    }
    // What is left of them; told in their order.
    if !before.is_empty() {
        let gone = resources(old).into_iter().map(|(id, _)| id);
        let gone = gone.filter(|id| before.contains_key(id));
        change.removed = gone.map(str::to_owned).collect();
    }
    let same = [&change.added, &change.removed, &change.changed].map(Vec::is_empty);
    (same != [true; 3]).then_some(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"
        [[uplink]]
        id = "wan"
        device = "eth1"
        address = "203.0.113.2/24"
        [[vpc]]
        id = "vpc"
        cidr = "192.168.0.0/16"
        [[vswitch]]
        id = "vsw"
        vpc = "vpc"
        cidr = "192.168.1.0/24"
        [[instance]]
        id = "web-1"
        vswitch = "vsw"
        address = "192.168.1.10"
        [[eip]]
        id = "eip-1"
        address = "203.0.113.10"
        [[nat_gateway]]
        id = "ngw"
        vpc = "vpc"
        eips = ["eip-1"]
        [[nat_gateway.dnat]]
        id = "dnat-web"
        eip = "eip-1"
        protocol = "tcp"
        external_port = 80
        instance = "web-1"
    "#;

    fn config(text: &str) -> Config {
        model::file::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Each change as `kind +added -removed ~changed`.
    fn told(old: &str, new: &str) -> Vec<String> {
        let lines = between(&config(old), &config(new))
            .into_iter()
            .map(|change| {
                let mut line = change.kind;
                for (sign, ids) in [
                    ('+', change.added),
                    ('-', change.removed),
                    ('~', change.changed),
                ] {
                    for id in ids {
                        line += &format!(" {sign}{id}");
                    }
                }
                line
            });
        lines.collect()
    }

    #[test]
    fn nothing_is_different_from_itself() {
        assert!(told(BASE, BASE).is_empty());
        let example = include_str!("../../../docs/example.toml");
        assert!(told(example, example).is_empty());
    }

    #[test]
    fn resources_come_and_go() {
        let more = BASE.replace(
            "[[eip]]",
            "[[instance]]\nid = \"web-2\"\nvswitch = \"vsw\"\naddress = \"192.168.1.11\"\n[[eip]]",
        );
        assert_eq!(told(BASE, &more), ["instance +web-2"]);
        assert_eq!(told(&more, BASE), ["instance -web-2"]);
    }

    #[test]
    fn a_changed_field_is_a_change_of_its_resource_alone() {
        let moved = BASE.replace("eth1", "eth2");
        assert_eq!(told(BASE, &moved), ["uplink ~wan"]);
        let named = format!("[system]\nmax_sessions = 2048\n{BASE}");
        assert_eq!(told(BASE, &named), ["system ~settings"]);
    }

    #[test]
    fn entries_are_told_apart_from_their_gateway() {
        let other_port = BASE.replace("external_port = 80", "external_port = 81");
        assert_eq!(told(BASE, &other_port), ["DNAT entry ~dnat-web"]);
        let of_eip = "address = \"203.0.113.10\"";
        let limited = BASE.replace(of_eip, &format!("{of_eip}\nbandwidth = 5"));
        assert_eq!(told(BASE, &limited), ["EIP ~eip-1"]);
        let package = format!("{BASE}\n[[bandwidth_package]]\nid = \"cbwp-1\"\nbandwidth = 20");
        assert_eq!(told(BASE, &package), ["bandwidth package +cbwp-1"]);
        let snat =
            format!("{BASE}\n[[nat_gateway.snat]]\nid = \"all\"\nvpc = true\neips = [\"eip-1\"]");
        assert_eq!(told(BASE, &snat), ["SNAT entry +all"]);
        let timeouts = BASE.replace(
            "eips = [\"eip-1\"]",
            "eips = [\"eip-1\"]\ntimeouts = { udp = 30 }",
        );
        assert_eq!(told(BASE, &timeouts), ["NAT gateway ~ngw"]);
    }
}
