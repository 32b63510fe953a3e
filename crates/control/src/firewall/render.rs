//! What the engine is told of firewalls.

use crate::cloud::Cloud;
use crate::records::{AddressBook, NatFirewall, Route, ThreatFeed};
use crate::routes::DEFAULT;
use hashbrown::HashMap;
use model::{Diversion, FirewallSettings, Id};

impl Cloud {
    /// The firewalls that the records stand for.
    pub(crate) fn firewalls(&self) -> model::Firewalls {
        let (on, off): (Vec<&NatFirewall>, Vec<&NatFirewall>) =
            self.nat_firewalls.iter().partition(|it| it.enabled);
        let all = self.nat_firewalls.iter();
        let diversions = all.map(|firewall| Diversion {
            firewall: firewall.id.clone(),
            // A file can only have those diverted that there are.
            route_tables: match firewall.enabled {
                true => self.diverted_tables(firewall).cloned().collect(),
                false => firewall.tables.clone(),
            },
            vswitch: firewall.vswitch.clone(),
        });
        let protected = self.eips.iter().filter(|it| it.protected);
        let mut shared = self.shared_settings();
        shared.strict_eips.retain(|it| self.eips.contains(it));
        let nat = on.into_iter().map(nat_firewall);
        model::Firewalls {
            nat: nat.map(|it| with_threats(it, &shared.border)).collect(),
            nat_off: off.into_iter().map(nat_firewall).collect(),
            diversions: diversions.collect(),
            border: model::BorderFirewall {
                eips: protected.map(|it| it.id.clone()).collect(),
                strict_eips: shared.strict_eips,
                settings: shared.border,
            },
            dns: model::DnsFirewall {
                refusal: shared.dns_refusal,
                default_action: shared.dns_default,
            },
            policies: self.policies.render(),
            books: self.books.iter().map(|it| self.book(it)).collect(),
            feeds: self.feeds.iter().map(feed).collect(),
            license: self.license(),
        }
    }

    fn book(&self, book: &AddressBook) -> model::AddressBook {
        model::AddressBook {
            id: book.id.clone(),
            name: book.meta.name.clone(),
            content: self.content(book),
        }
    }

    /// The firewalls that are on, by the route tables that they divert.
    pub(crate) fn diverted(&self) -> Diverted<'_> {
        let mut tables: HashMap<&Id, Vec<&NatFirewall>> = HashMap::new();
        for firewall in self.nat_firewalls.iter().filter(|it| it.enabled) {
            for table in &firewall.tables {
                tables.entry(table).or_default().push(firewall);
            }
        }
        Diverted(tables)
    }
}

/// The firewalls that are on, by the route tables that they divert: as [`Cloud::diverts`], for all routes at once.
pub(crate) struct Diverted<'a>(HashMap<&'a Id, Vec<&'a NatFirewall>>);

impl Diverted<'_> {
    /// The firewall that a route entry leads to now.
    pub(crate) fn by(&self, route: &Route) -> Option<&Id> {
        let crate::records::NextHop::NatGateway(gateway) = &route.next_hop else {
            return None;
        };
        let firewalls = self.0.get(&route.table)?;
        let firewall = firewalls.iter().find(|it| it.gateway == *gateway)?;
        (route.destination == DEFAULT).then_some(&firewall.id)
    }
}

fn nat_firewall(firewall: &NatFirewall) -> model::NatFirewall {
    model::NatFirewall {
        id: firewall.id.clone(),
        gateway: firewall.gateway.clone(),
        inbound: firewall.inbound,
        settings: firewall.settings.clone(),
    }
}

/// A firewall does about threats what the Internet border does, unless it says otherwise.
fn with_threats(mut firewall: model::NatFirewall, border: &FirewallSettings) -> model::NatFirewall {
    firewall.settings.inherit_threats(border);
    firewall
}

fn feed(feed: &ThreatFeed) -> model::ThreatFeed {
    model::ThreatFeed {
        id: feed.id.clone(),
        location: feed.location.clone(),
        category: feed.category.clone(),
        format: feed.format,
        refresh: feed.refresh,
    }
}
