//! Address books, policies, and what else firewalls are told.

use super::super::time;
use super::*;

impl Out<'_> {
    pub(super) fn firewalls(&mut self, firewalls: &Firewalls) {
        let Firewalls {
            nat: _,
            nat_off: _,
            diversions: _,
            border,
            dns,
            policies,
            books,
            feeds,
            license: _,
        } = firewalls;
        if *border != BorderFirewall::default() {
            self.border(border);
        }
        if *dns != DnsFirewall::default() {
            let DnsFirewall {
                refusal,
                default_action,
            } = dns;
            self.table("[dns_firewall]");
            self.unless("refusal", *refusal, DnsRefusal::default());
            self.unless("default_action", *default_action, Policy::default());
        }
        books.iter().for_each(|it| self.book(it));
        for PolicyList { scope, policies } in policies {
            policies.iter().for_each(|it| self.policy(scope, it));
        }
        feeds.iter().for_each(|it| self.feed(it));
    }

    fn border(&mut self, border: &BorderFirewall) {
        let BorderFirewall {
            eips,
            strict_eips,
            settings,
        } = border;
        self.table("[border_firewall]");
        self.list("eips", eips);
        if !strict_eips.is_empty() {
            self.list("strict_eips", strict_eips);
        }
        self.settings(settings);
    }

    /// What firewalls have in common.
    pub(super) fn settings(&mut self, settings: &FirewallSettings) {
        let FirewallSettings {
            mode,
            default_action,
            on_drop,
            name_check,
            threats,
        } = settings;
        self.unless("mode", *mode, EngineMode::default());
        self.unless("default_action", *default_action, Policy::default());
        self.unless("on_drop", *on_drop, OnDrop::default());
        self.unless("name_check", *name_check, NameCheck::default());
        if !threats.is_empty() {
            let rules = threats.iter().map(|ThreatRule { category, action }| {
                (category.clone(), Value::String(action.to_string()))
            });
            self.value("threats", Value::Table(rules.collect()));
        }
    }

    fn book(&mut self, book: &AddressBook) {
        let AddressBook { id, name, content } = book;
        self.table("[[address_book]]");
        self.set("id", id);
        self.unless("name", name, id);
        self.detail(Kind::AddressBook, id);
        match &**content {
            BookContent::Ip(list) => self.list("ip", list),
            BookContent::Ipv6(list) => self.list("ipv6", list),
            BookContent::Domain(list) => self.list("domains", list),
            BookContent::Port(list) => self.list("ports", list.iter().map(ports)),
            BookContent::Tag(list) => self.list("tagged", list),
            BookContent::Threat(category) => self.set("threat", category),
            BookContent::Cloud(service) => self.service(service),
        }
    }

    fn service(&mut self, service: &CloudService) {
        let CloudService {
            location,
            services,
            regions,
            refresh,
        } = service;
        self.set("cloud", location);
        for (key, list) in [("services", services), ("regions", regions)] {
            if !list.is_empty() {
                self.list(key, list);
            }
        }
        self.number("refresh", seconds(refresh));
    }

    fn policy(&mut self, scope: &PolicyScope, policy: &ControlPolicy) {
        let ControlPolicy {
            id,
            description,
            source,
            destination,
            protocol,
            ports: range,
            applications,
            action,
            enabled,
            validity,
            resolve,
        } = policy;
        self.table("[[policy]]");
        self.set("firewall", scope);
        self.set("id", id);
        self.unless("description", &**description, "");
        match source {
            PolicySource::Net(net) if net.prefix_len() == 0 => {}
            PolicySource::Net(net) => self.set("source", net),
            PolicySource::Book(id) => self.set("source_book", id),
            PolicySource::Location(codes) => self.list("source_location", codes),
        }
        match destination {
            PolicyDestination::Net(net) if net.prefix_len() == 0 => {}
            PolicyDestination::Net(net) => self.set("destination", net),
            PolicyDestination::Book(id) => self.set("destination_book", id),
            PolicyDestination::Domain(pattern) => self.set("domain", pattern),
            PolicyDestination::Location(codes) => self.list("destination_location", codes),
        }
        protocol
            .iter()
            .for_each(|it| self.set("protocol", protocol_name(*it)));
        match range {
            PolicyPorts::Any => {}
            PolicyPorts::Range(range) => self.set("ports", ports(range)),
            PolicyPorts::Book(id) => self.set("port_book", id),
        }
        if !applications.is_empty() {
            self.list("applications", applications);
        }
        self.set("action", action);
        if !enabled {
            self.flag("enabled", false);
        }
        self.unless("resolve", *resolve, DomainResolve::default());
        if *validity != Validity::Permanent {
            self.value("validity", Value::Table(table_of(validity)));
        }
    }

    fn feed(&mut self, feed: &ThreatFeed) {
        let ThreatFeed {
            id,
            location,
            category,
            format,
            refresh,
        } = feed;
        self.table("[[threat_feed]]");
        self.set("id", id);
        self.set("location", location);
        self.set("category", category);
        self.unless("format", *format, FeedFormat::default());
        self.number("refresh", seconds(refresh));
    }
}

fn table_of(validity: &Validity) -> toml::Table {
    let mut table = toml::Table::new();
    let mut set = |key: &str, value: Value| drop(table.insert(key.into(), value));
    let moment = |seconds: u64| Value::Datetime(time::datetime(seconds));
    match validity {
        Validity::Permanent => {}
        Validity::Once { from, until } => {
            set("repeat", Value::String("once".into()));
            set("from", moment(*from));
            set("until", moment(*until));
        }
        Validity::Repeated {
            from,
            until,
            days,
            start,
            end,
            offset,
        } => {
            let (repeat, days) = match days {
                RepeatDays::Daily => ("daily", None),
                RepeatDays::Weekly(days) => ("weekly", Some(days)),
                RepeatDays::Monthly(days) => ("monthly", Some(days)),
            };
            set("repeat", Value::String(repeat.into()));
            if let Some(days) = days {
                let days = days.iter().map(|day| Value::Integer((*day).into()));
                set("days", Value::Array(days.collect()));
            }
            set("start", Value::String(time::of_day(*start)));
            set("end", Value::String(time::of_day(*end)));
            match offset {
                Offset::Minutes(0) => {}
                Offset::Minutes(_) => set("offset", Value::String(offset.to_string())),
                Offset::Zone(zone) => set("zone", Value::String(zone.name().into())),
            }
            for (key, at) in [("from", from), ("until", until)] {
                at.iter().for_each(|at| set(key, moment(*at)));
            }
        }
    }
    table
}
