//! Writes a configuration as TOML.
//!
//! Structures are taken apart field by field, so that a new field is an error here until it is written.

mod details;
mod firewall;
mod nat_firewall;

use crate::text::{ports, protocol_name};
use crate::*;
use std::fmt::Display;
use std::time::Duration;
use toml::Value;

/// The text of a file that [`parse`](super::parse) reads as this configuration. What has its default is left
/// out.
///
/// The order of network interfaces is the file's: instances first, then other interfaces.
pub fn write(config: &Config) -> String {
    let Config {
        system,
        regions,
        uplinks,
        vpcs,
        vswitches,
        route_tables,
        security_groups,
        enis,
        eips,
        bandwidth_packages,
        nat_gateways,
        nat_ips,
        peerings,
        firewalls,
        details,
    } = config;
    let mut out = Out {
        text: String::new(),
        details,
    };
    out.system(system);
    regions.iter().for_each(|it| out.region(it));
    uplinks.iter().for_each(|it| out.uplink(it));
    vpcs.iter().for_each(|it| out.vpc(it));
    vswitches.iter().for_each(|it| out.vswitch(it));
    security_groups.iter().for_each(|it| out.security_group(it));
    enis.iter().for_each(|it| out.eni(it));
    bandwidth_packages
        .iter()
        .for_each(|it| out.bandwidth_package(it));
    eips.iter().for_each(|it| out.eip(it));
    peerings.iter().for_each(|it| out.peering(it));
    nat_gateways.iter().for_each(|it| out.nat_gateway(it, eips));
    nat_ips.iter().for_each(|it| out.nat_ip(it));
    let blocks = details.nat_ip_cidrs.iter();
    blocks.for_each(|it| out.nat_ip_cidr(it));
    for table in route_tables {
        let mut gateways = nat_gateways.iter();
        let gateway = gateways.any(|it| it.vpc == table.vpc && it.vswitch().is_none());
        out.route_table(table, enis, gateway, firewalls);
    }
    out.nat_firewalls(firewalls);
    out.firewall_license(&firewalls.license);
    out.firewalls(firewalls);
    out.text
}

struct Out<'a> {
    text: String,
    /// What is said of resources besides what the engine is told.
    details: &'a Details,
}

impl Out<'_> {
    /// Begins a table.
    fn table(&mut self, header: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(header);
        self.text.push('\n');
    }

    fn value(&mut self, key: &str, value: Value) {
        self.text.push_str(&format!("{key} = {value}\n"));
    }

    fn set(&mut self, key: &str, value: impl Display) {
        self.value(key, Value::String(value.to_string()));
    }

    fn number(&mut self, key: &str, value: impl Into<i64>) {
        self.value(key, Value::Integer(value.into()));
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.value(key, Value::Boolean(value));
    }

    fn list<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        let values = values.into_iter().map(|it| Value::String(it.to_string()));
        self.value(key, Value::Array(values.collect()));
    }

    /// A value that is left out if it is the default.
    fn unless<T: Display + PartialEq>(&mut self, key: &str, value: T, default: T) {
        if value != default {
            self.set(key, value);
        }
    }

    fn system(&mut self, system: &System) {
        let System {
            name,
            hook,
            max_sessions,
            quotas,
            services,
        } = system;
        self.table("[system]");
        self.set("name", name);
        self.unless("hook", *hook, Hook::default());
        self.number("max_sessions", *max_sessions);
        if !quotas.is_empty() {
            self.table("[quotas]");
        }
        for (name, limit) in quotas {
            self.number(name, *limit);
        }
        self.services(services);
    }

    fn region(&mut self, region: &Region) {
        let Region { id, zones } = region;
        self.table("[[region]]");
        self.set("id", id);
        self.list("zones", zones);
    }

    fn services(&mut self, services: &Services) {
        let Services {
            records,
            resolver,
            locations,
        } = services;
        if *records != Records::default() {
            let Records {
                enabled,
                directory,
                max_size,
                keep,
            } = records;
            self.table("[records]");
            enabled.iter().for_each(|it| self.flag("enabled", *it));
            let path = directory.iter();
            path.for_each(|it| self.set("directory", it.display()));
            self.number("max_size", *max_size);
            self.number("keep", *keep);
        }
        if *resolver != Resolver::default() {
            let Resolver {
                servers,
                min_ttl,
                max_ttl,
            } = resolver;
            self.table("[resolver]");
            self.list("servers", servers);
            self.number("min_ttl", *min_ttl);
            self.number("max_ttl", *max_ttl);
        }
        if let Some(path) = locations {
            self.table("[locations]");
            self.set("path", path.display());
        }
    }

    fn uplink(&mut self, uplink: &Uplink) {
        let Uplink {
            id,
            device,
            mode,
            address,
            gateway,
            mtu,
            pool,
        } = uplink;
        self.table("[[uplink]]");
        self.set("id", id);
        self.set("device", device);
        self.unless("mode", *mode, UplinkMode::default());
        address.iter().for_each(|it| self.set("address", it));
        gateway.iter().for_each(|it| self.set("gateway", it));
        mtu.iter().for_each(|it| self.number("mtu", *it));
        if !pool.is_empty() {
            self.list("pool", pool);
        }
    }

    fn vpc(&mut self, vpc: &Vpc) {
        let Vpc { id, cidrs } = vpc;
        self.table("[[vpc]]");
        self.set("id", id);
        if let Some((primary, secondary)) = cidrs.split_first() {
            self.set("cidr", primary);
            if !secondary.is_empty() {
                self.list("secondary_cidrs", secondary);
            }
        }
        self.detail(Kind::Vpc, id);
    }

    fn vswitch(&mut self, vswitch: &VSwitch) {
        let VSwitch {
            id,
            vpc,
            cidr,
            route_table,
        } = vswitch;
        self.table("[[vswitch]]");
        self.set("id", id);
        self.set("vpc", vpc);
        self.set("cidr", cidr);
        route_table
            .iter()
            .for_each(|it| self.set("route_table", it));
        self.detail(Kind::VSwitch, id);
    }

    /// `gateway`: whether its VPC has a NAT gateway for the Internet.
    fn route_table(
        &mut self,
        table: &RouteTable,
        enis: &[Eni],
        gateway: bool,
        firewalls: &Firewalls,
    ) {
        let RouteTable {
            id,
            vpc,
            system,
            routes,
        } = table;
        self.table("[[route_table]]");
        self.set("id", id);
        self.set("vpc", vpc);
        if *system {
            self.flag("system", true);
            let everything = |it: &Route| it.destination.prefix_len() == 0;
            if gateway && !routes.iter().any(everything) {
                self.flag("default_route", false);
            }
        }
        self.detail(Kind::RouteTable, id);
        for Route {
            destination,
            next_hop,
        } in routes
        {
            self.table("[[route_table.route]]");
            self.set("destination", destination);
            match next_hop {
                NextHop::Eni(id) => self.set(self.leg(id, enis), id),
                NextHop::NatGateway(id) => self.set("nat_gateway", id),
                // The firewall says that it diverts it.
                NextHop::NatFirewall(id) => {
                    let firewall = firewalls.nat.iter().find(|it| it.id == *id);
                    self.set("nat_gateway", firewall.map_or(id, |it| &it.gateway));
                }
                NextHop::Peering(id) => self.set("peering", id),
                NextHop::Blackhole => self.flag("blackhole", true),
            }
            self.labels(self.details.of_route(id, *destination));
        }
    }

    fn security_group(&mut self, group: &SecurityGroup) {
        let SecurityGroup {
            id,
            vpc,
            kind,
            rules,
        } = group;
        self.table("[[security_group]]");
        self.set("id", id);
        self.set("vpc", vpc);
        let detail = self.details.of(Kind::SecurityGroup, id);
        if detail.isolated != Some(true) {
            self.unless("kind", *kind, SecurityGroupKind::default());
        }
        self.detail(Kind::SecurityGroup, id);
        let descriptions = detail.rules.iter().map(Some);
        let descriptions = descriptions.chain(std::iter::repeat(None));
        for (rule, description) in rules.iter().zip(descriptions) {
            let SecurityRule {
                direction,
                policy,
                priority,
                protocol,
                ports: range,
                peer,
            } = rule;
            self.table("[[security_group.rule]]");
            self.set("direction", direction);
            self.unless("policy", *policy, Policy::default());
            self.number("priority", *priority);
            match protocol.map(|it| (it, protocol_name(it))) {
                None => {}
                // A number has no name.
                Some((number, name)) if name == number.to_string() => {
                    self.number("protocol", number)
                }
                Some((_, name)) => self.set("protocol", name),
            }
            range.iter().for_each(|it| self.set("ports", ports(it)));
            match peer {
                RulePeer::Cidr(cidr) => self.set("cidr", cidr),
                RulePeer::Group(id) => self.set("group", id),
            }
            let description = description.filter(|it| !it.is_empty());
            description
                .iter()
                .for_each(|it| self.set("description", it));
        }
    }

    fn eni(&mut self, eni: &Eni) {
        let Eni {
            id,
            instance,
            vswitch,
            address,
            hosts,
            security_groups,
            driver,
            mtu,
        } = eni;
        let is_instance = self.details.is_instance(eni);
        match is_instance {
            true => self.table("[[instance]]"),
            false => self.table("[[eni]]"),
        }
        self.set("id", id);
        if !eni.is_primary() {
            self.set("instance", instance);
        }
        self.set("vswitch", vswitch);
        self.set("address", address);
        self.list("security_groups", security_groups);
        match driver {
            Driver::Netns => {}
            Driver::Device { device } => self.set("device", device),
        }
        let detail = self.details.of(Kind::Eni, id);
        let secondary = detail.secondary_addresses.as_deref().unwrap_or_default();
        if !secondary.is_empty() {
            self.list("secondary_addresses", secondary);
        }
        let hosts = hosts.get(secondary.len()..).unwrap_or_default();
        if !hosts.is_empty() {
            self.list("hosts", hosts);
        }
        self.number("mtu", *mtu);
        match is_instance {
            false => self.detail(Kind::Eni, id),
            true => {
                self.detail(Kind::Instance, id);
                self.interface(detail);
            }
        }
    }

    fn eip(&mut self, eip: &Eip) {
        let Eip {
            id,
            address,
            uplink,
            binding,
            bandwidth,
            package,
            package_bandwidth,
        } = eip;
        self.table("[[eip]]");
        self.set("id", id);
        self.set("address", address);
        self.set("uplink", uplink);
        match binding {
            // The reader takes both for any interface.
            Some(EipBinding::Eni(id)) => self.set("eni", id),
            // That one names its EIPs.
            Some(EipBinding::NatGateway(_)) | None => {}
        }
        bandwidth
            .iter()
            .for_each(|it| self.number("bandwidth", *it));
        package.iter().for_each(|it| self.set("package", it));
        package_bandwidth
            .iter()
            .for_each(|it| self.number("package_bandwidth", *it));
        self.detail(Kind::Eip, id);
    }

    fn bandwidth_package(&mut self, package: &BandwidthPackage) {
        let BandwidthPackage { id, bandwidth } = package;
        self.table("[[bandwidth_package]]");
        self.set("id", id);
        self.number("bandwidth", *bandwidth);
        self.detail(Kind::BandwidthPackage, id);
    }

    fn peering(&mut self, peering: &Peering) {
        let Peering { id, vpcs } = peering;
        self.table("[[peering]]");
        self.set("id", id);
        self.list("vpcs", vpcs);
        self.detail(Kind::Peering, id);
    }

    fn nat_ip(&mut self, nat_ip: &NatIp) {
        let NatIp {
            id,
            gateway,
            address,
        } = nat_ip;
        self.table("[[nat_ip]]");
        self.set("id", id);
        self.set("nat_gateway", gateway);
        self.set("address", address);
        self.detail(Kind::NatIp, id);
    }

    fn nat_gateway(&mut self, gateway: &NatGateway, eips: &[Eip]) {
        let NatGateway {
            id,
            vpc,
            network,
            snat,
            dnat,
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
        self.table("[[nat_gateway]]");
        self.set("id", id);
        self.set("vpc", vpc);
        let (many, one) = match network {
            Network::Internet => {
                let bound = EipBinding::NatGateway(id.clone());
                let bound = eips.iter().filter(|it| it.binding.as_ref() == Some(&bound));
                self.list("eips", bound.map(|it| &it.id));
                ("eips", "eip")
            }
            Network::Intranet(vswitch) => {
                self.set("network", "intranet");
                self.set("vswitch", vswitch);
                ("nat_ips", "nat_ip")
            }
        };
        self.unless("mapping", *mapping, Mapping::default());
        self.unless("filtering", *filtering, Filtering::default());
        max_sessions_per_source
            .iter()
            .for_each(|it| self.number("max_sessions_per_source", *it));
        if *snat_ports != SNAT_PORTS {
            self.set("snat_ports", ports(snat_ports));
        }
        if !icmp_reply {
            self.flag("icmp_reply", false);
        }
        self.unless("tcp_out_of_state", *tcp_out_of_state, OutOfState::default());
        if *source_metrics {
            self.flag("source_metrics", true);
        }
        if *drain != DRAIN {
            self.number("drain_seconds", seconds(drain));
        }
        self.gateway_detail(id, network);
        let Timeouts {
            tcp_established,
            tcp_transitory,
            udp,
            icmp,
            other,
        } = timeouts;
        if *timeouts != Timeouts::default() {
            self.table("[nat_gateway.timeouts]");
            for (key, timeout) in [
                ("tcp_established", tcp_established),
                ("tcp_transitory", tcp_transitory),
                ("udp", udp),
                ("icmp", icmp),
                ("other", other),
            ] {
                self.number(key, seconds(timeout));
            }
        }
        for SnatEntry {
            id,
            source,
            eips,
            pooling,
            drains: _,
        } in snat
        {
            self.table("[[nat_gateway.snat]]");
            self.set("id", id);
            let detail = self.details.of(Kind::SnatEntry, id);
            match &detail.vswitch {
                Some(vswitch) => self.set("vswitch", vswitch),
                None => self.set("source", source),
            }
            self.list(many, eips);
            self.unless("pooling", *pooling, Pooling::default());
            self.labels(detail);
        }
        for entry in dnat {
            let DnatEntry {
                id,
                eip,
                internal,
                mapping,
            } = entry;
            self.table("[[nat_gateway.dnat]]");
            self.set("id", id);
            self.set(one, eip);
            match mapping {
                DnatMapping::Any => self.set("protocol", "any"),
                DnatMapping::Ports {
                    protocol, external, ..
                } => {
                    self.set("protocol", protocol_name(*protocol));
                    self.set("external_port", ports(external));
                }
            }
            self.set("internal", internal);
            mapping
                .internal_ports()
                .iter()
                .for_each(|it| self.set("internal_port", ports(it)));
            self.labels(self.details.of(Kind::DnatEntry, id));
        }
    }

    /// The key that a route names an interface by.
    fn leg(&self, id: &Id, enis: &[Eni]) -> &'static str {
        match enis.iter().find(|it| it.id == *id) {
            Some(eni) if self.details.is_instance(eni) => "instance",
            _ => "eni",
        }
    }
}

/// Whole seconds of a time, as a file has them.
fn seconds(time: &Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
