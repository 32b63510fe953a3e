//! Which tables and keys there are, and of which type. Values are read by [`build`](super::build), which
//! knows whose they are when it has to complain.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;

/// A text that may be left out.
pub type Text = Option<Spanned<String>>;
/// A number that may be left out.
pub type Number = Option<Spanned<i64>>;
/// A yes or no that may be left out.
pub type Flag = Option<Spanned<bool>>;
/// A number or a text that may be left out.
pub type Scalar = Option<Spanned<Value>>;
/// Limits by name, and `preset`.
pub type Quotas = BTreeMap<String, Spanned<Value>>;
/// Keys and values that may be left out.
pub type Tags = Option<Spanned<BTreeMap<String, String>>>;
/// Words by name.
pub type Threats = BTreeMap<String, Spanned<String>>;
/// A date with a time that may be left out.
pub type Time = Option<Spanned<toml::value::Datetime>>;
/// A list of texts.
pub type Texts = Vec<Spanned<String>>;

/// A number or a text: `80`, `"8000-8099"`, `"tcp"`.
#[derive(Debug)]
pub enum Value {
    Number(i64),
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a string")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Number(number))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A table of the file: keys that are not named here are refused, keys that are can be left out as far
/// as the reader goes.
macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident { $($key:ident: $kind:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $table { $(#[serde(default)] pub $key: $kind),+ }
    )+};
}

tables! {
    /// The file.
    File {
        system: Option<Spanned<System>>,
        quotas: Quotas,
        records: Option<Spanned<Records>>,
        resolver: Option<Spanned<Resolver>>,
        locations: Option<Spanned<Locations>>,
        region: Vec<Spanned<Region>>,
        uplink: Vec<Spanned<Uplink>>,
        vpc: Vec<Spanned<Vpc>>,
        vswitch: Vec<Spanned<VSwitch>>,
        route_table: Vec<Spanned<RouteTable>>,
        security_group: Vec<Spanned<SecurityGroup>>,
        instance: Vec<Spanned<Instance>>,
        eni: Vec<Spanned<Eni>>,
        eip: Vec<Spanned<Eip>>,
        bandwidth_package: Vec<Spanned<BandwidthPackage>>,
        nat_gateway: Vec<Spanned<NatGateway>>,
        nat_ip: Vec<Spanned<NatIp>>,
        nat_ip_cidr: Vec<Spanned<NatIpCidr>>,
        peering: Vec<Spanned<Peering>>,
        nat_firewall: Vec<Spanned<NatFirewall>>,
        firewall_license: Option<Spanned<FirewallLicense>>,
        address_book: Vec<Spanned<AddressBook>>,
        policy: Option<Vec<Spanned<Policy>>>,
        border_firewall: Option<Spanned<BorderFirewall>>,
        dns_firewall: Option<Spanned<DnsFirewall>>,
        threat_feed: Vec<Spanned<ThreatFeed>>,
    }
    /// Nothing but policies: a part of a file.
    PolicyFile { policy: Vec<Spanned<Policy>> }
    /// `[system]`
    System { name: Text, hook: Text, max_sessions: Number }
    /// `[records]`
    Records { enabled: Flag, directory: Text, max_size: Number, keep: Number }
    /// `[resolver]`
    Resolver { servers: Texts, min_ttl: Number, max_ttl: Number }
    /// `[locations]`
    Locations { path: Text }
    /// `[[uplink]]`
    Uplink { id: Text, device: Text, mode: Text, address: Text, gateway: Text, mtu: Number, pool: Texts }
    /// `[[region]]`
    Region { id: Text, zones: Texts }
    /// `[[vpc]]`
    Vpc {
        id: Text,
        cidr: Text,
        secondary_cidrs: Texts,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        region: Text,
        user_cidrs: Option<Texts>,
    }
    /// `[[vswitch]]`
    VSwitch {
        id: Text,
        vpc: Text,
        cidr: Text,
        route_table: Text,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        zone: Text,
    }
    /// `[[route_table]]`
    RouteTable {
        id: Text,
        vpc: Text,
        system: Flag,
        default_route: Flag,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        route: Vec<Spanned<Route>>,
    }
    /// `[[route_table.route]]`
    Route {
        destination: Text,
        instance: Text,
        eni: Text,
        nat_gateway: Text,
        peering: Text,
        blackhole: Flag,
        name: Text,
        description: Text,
    }
    /// `[[security_group]]`
    SecurityGroup {
        id: Text,
        vpc: Text,
        kind: Text,
        isolated: Flag,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        rule: Vec<Spanned<Rule>>,
    }
    /// `[[security_group.rule]]`
    Rule {
        direction: Text,
        policy: Text,
        priority: Number,
        protocol: Scalar,
        ports: Scalar,
        cidr: Text,
        group: Text,
        description: Text,
    }
    /// `[[instance]]`
    Instance {
        id: Text,
        vswitch: Text,
        address: Text,
        security_groups: Texts,
        driver: Text,
        device: Text,
        hosts: Texts,
        mtu: Number,
        secondary_addresses: Option<Texts>,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        zone: Text,
        running: Flag,
        host_name: Text,
        image: Text,
        r#type: Text,
        deletion_protection: Flag,
        interface: Option<Spanned<Interface>>,
    }
    /// `[instance.interface]`
    Interface { name: Text, description: Text, tags: Tags, resource_group: Text }
    /// `[[eni]]`
    Eni {
        id: Text,
        instance: Text,
        vswitch: Text,
        address: Text,
        security_groups: Texts,
        driver: Text,
        device: Text,
        hosts: Texts,
        mtu: Number,
        secondary_addresses: Option<Texts>,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        delete_with_instance: Flag,
    }
    /// `[[eip]]`
    Eip {
        id: Text,
        address: Text,
        uplink: Text,
        instance: Text,
        eni: Text,
        bandwidth: Number,
        package: Text,
        package_bandwidth: Number,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        region: Text,
        charge_type: Text,
        deletion_protection: Flag,
    }
    /// `[[bandwidth_package]]`
    BandwidthPackage {
        id: Text,
        bandwidth: Number,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        region: Text,
        deletion_protection: Flag,
    }
    /// `[[nat_gateway]]`
    NatGateway {
        id: Text,
        vpc: Text,
        network: Text,
        vswitch: Text,
        eips: Texts,
        mapping: Text,
        filtering: Text,
        max_sessions_per_source: Number,
        snat_ports: Scalar,
        icmp_reply: Flag,
        tcp_out_of_state: Text,
        source_metrics: Flag,
        drain_seconds: Number,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        r#type: Text,
        bind_mode: Text,
        private_address: Text,
        deletion_protection: Flag,
        timeouts: Option<Spanned<Timeouts>>,
        snat: Vec<Spanned<Snat>>,
        dnat: Vec<Spanned<Dnat>>,
    }
    /// `[nat_gateway.timeouts]`
    Timeouts {
        tcp_established: Number,
        tcp_transitory: Number,
        udp: Number,
        icmp: Number,
        other: Number,
    }
    /// `[[nat_gateway.snat]]`
    Snat {
        id: Text,
        source: Text,
        vswitch: Text,
        instance: Text,
        vpc: Flag,
        eips: Texts,
        nat_ips: Texts,
        pooling: Text,
        name: Text,
    }
    /// `[[nat_gateway.dnat]]`
    Dnat {
        id: Text,
        eip: Text,
        nat_ip: Text,
        protocol: Text,
        external_port: Scalar,
        internal: Text,
        instance: Text,
        internal_port: Scalar,
        name: Text,
    }
    /// `[[nat_ip]]`
    NatIp { id: Text, nat_gateway: Text, address: Text, name: Text, description: Text }
    /// `[[nat_ip_cidr]]`
    NatIpCidr { id: Text, nat_gateway: Text, cidr: Text, name: Text, description: Text }
    /// `[[peering]]`
    Peering {
        id: Text,
        vpcs: Texts,
        name: Text,
        description: Text,
        tags: Tags,
        resource_group: Text,
        accepted: Flag,
        accepting_account: Number,
        bandwidth: Number,
        link_type: Text,
        deletion_protection: Flag,
    }
    /// `[[nat_firewall]]`
    NatFirewall {
        id: Text,
        name: Text,
        nat_gateway: Text,
        enabled: Flag,
        inbound: Flag,
        route_tables: Option<Texts>,
        vswitch: Text,
        mode: Text,
        default_action: Text,
        on_drop: Text,
        name_check: Text,
        threats: Threats,
    }
    /// `[firewall_license]`
    FirewallLicense {
        firewalls: Number,
        capacity: Number,
        over_capacity: Text,
        expires: Time,
        auto_renew: Number,
    }
    /// `[[address_book]]`
    AddressBook {
        id: Text,
        name: Text,
        description: Text,
        ip: Option<Texts>,
        ipv6: Option<Texts>,
        domains: Option<Texts>,
        ports: Option<Vec<Spanned<Value>>>,
        tagged: Option<Texts>,
        threat: Text,
        cloud: Text,
        services: Option<Texts>,
        regions: Option<Texts>,
        refresh: Number,
    }
    /// `[[policy]]`
    Policy {
        firewall: Text,
        id: Text,
        description: Text,
        source: Text,
        source_book: Text,
        source_location: Option<Texts>,
        destination: Text,
        domain: Text,
        destination_book: Text,
        destination_location: Option<Texts>,
        protocol: Text,
        ports: Scalar,
        port_book: Text,
        applications: Texts,
        action: Text,
        enabled: Flag,
        resolve: Text,
        validity: Option<Spanned<Validity>>,
    }
    /// `[policy.validity]`
    Validity {
        repeat: Text,
        from: Time,
        until: Time,
        days: Vec<Spanned<i64>>,
        start: Text,
        end: Text,
        offset: Text,
        zone: Text,
    }
    /// `[border_firewall]`
    BorderFirewall {
        eips: Texts,
        strict_eips: Texts,
        mode: Text,
        default_action: Text,
        on_drop: Text,
        name_check: Text,
        threats: Threats,
    }
    /// `[dns_firewall]`
    DnsFirewall { refusal: Text, default_action: Text }
    /// `[[threat_feed]]`
    ThreatFeed { id: Text, location: Text, category: Text, format: Text, refresh: Number }
}
