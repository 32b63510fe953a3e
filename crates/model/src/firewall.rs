//! The firewalls: what protects what, and the policies that decide.

use crate::domain::Pattern;
use crate::{App, Id, Offset, Policy};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// What a firewall does with sessions whose application or domain is needed and not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineMode {
    /// They are allowed.
    #[default]
    Loose,
    /// The policy that needs it is skipped, and those after it decide.
    Strict,
}

/// How a session ends that is refused after its handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrop {
    /// Both ends of a TCP connection get a reset.
    #[default]
    Reset,
    /// Its packets vanish.
    Silent,
}

/// Whether the name that a stream tells must stand for the address that it goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameCheck {
    /// It is not looked at.
    #[default]
    Off,
    /// A name that does not is recorded.
    Report,
    /// A session with a name that does not is dropped.
    Drop,
}

/// What a firewall does with what threat intelligence knows of a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThreatAction {
    /// It passes and is recorded.
    Alert,
    /// It is dropped.
    Drop,
}

/// A category of threat intelligence and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreatRule {
    /// The category's identifier, e.g. `IpOutThreatTorExit`.
    pub category: Id,
    /// What is done.
    pub action: ThreatAction,
}

/// What firewalls have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirewallSettings {
    /// What happens to the unidentified.
    pub mode: EngineMode,
    /// What happens to what no policy matches.
    pub default_action: Policy,
    /// How refused sessions end.
    pub on_drop: OnDrop,
    /// Whether told names are checked against addresses.
    pub name_check: NameCheck,
    /// What is done about threats, by category; a category that is not named is not looked at.
    pub threats: Vec<ThreatRule>,
}

impl Default for FirewallSettings {
    fn default() -> Self {
        FirewallSettings {
            mode: EngineMode::Loose,
            default_action: Policy::Accept,
            on_drop: OnDrop::Reset,
            name_check: NameCheck::Off,
            threats: Vec::new(),
        }
    }
}

impl FirewallSettings {
    /// Takes over what another firewall does about threats of which these settings say nothing.
    pub fn inherit_threats(&mut self, other: &FirewallSettings) {
        for rule in &other.threats {
            if self.threats.iter().all(|it| it.category != rule.category) {
                self.threats.push(rule.clone());
            }
        }
        self.threats.sort_by(|a, b| a.category.cmp(&b.category));
    }

    /// The same settings without what they could take over.
    #[must_use]
    pub fn without_inherited(&self, other: &FirewallSettings) -> FirewallSettings {
        let mut settings = self.clone();
        settings.threats.retain(|it| !other.threats.contains(it));
        settings
    }
}

/// A NAT firewall: sits between a VPC and its NAT gateway and sees private sources. What it protects is what is routed
/// to it ([`NextHop::NatFirewall`](crate::NextHop::NatFirewall)); a firewall that is off has no such routes.
#[derive(Clone, Debug, PartialEq)]
pub struct NatFirewall {
    /// Identifier, e.g. `proxy-nat…`.
    pub id: Id,
    /// The NAT gateway that it protects: one of the Internet, with one firewall.
    pub gateway: Id,
    /// Whether what comes in by DNAT entries goes through it too.
    pub inbound: bool,
    /// Mode, default and the like.
    pub settings: FirewallSettings,
}

/// Where a NAT firewall takes traffic from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// The firewall.
    pub firewall: Id,
    /// The route tables whose default route leads to it while it is on, and to its gateway while it is off.
    pub route_tables: Vec<Id>,
    /// The vSwitch that is shown as its own; it is empty.
    pub vswitch: Option<Id>,
}

/// The Internet border: protects EIPs, in and out, and sees public addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BorderFirewall {
    /// The EIPs that are protected.
    pub eips: Vec<Id>,
    /// EIPs whose mode is not that of the settings.
    pub strict_eips: Vec<Id>,
    /// Mode, default and the like.
    pub settings: FirewallSettings,
}

/// What a client gets for a name that it may not resolve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsRefusal {
    /// An answer with the code REFUSED.
    #[default]
    Refused,
    /// An answer without records.
    Empty,
}

/// The DNS firewall: looks at the names that protected sources ask for. It protects all sources while it has policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DnsFirewall {
    /// What a refused question is answered with.
    pub refusal: DnsRefusal,
    /// What happens to questions that no policy matches.
    pub default_action: Policy,
}

/// What a list of policies is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "firewall", content = "id")]
pub enum PolicyScope {
    /// What leaves by this NAT gateway.
    NatGateway(Id),
    /// What leaves by EIPs.
    BorderOut,
    /// What comes in by EIPs.
    BorderIn,
    /// The names that are asked for.
    Dns,
}

/// The policies of a firewall, in their order: the first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyList {
    /// What they are for.
    pub scope: PolicyScope,
    /// They: shared, since there may be 100,000, and a change elsewhere is not to copy or compare them.
    pub policies: Arc<Vec<Arc<ControlPolicy>>>,
}

/// An access control policy. Kept without what nearly all of them leave as it is: there may be 100,000.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPolicy {
    /// Identifier (the cloud's `AclUuid`).
    pub id: Id,
    /// For people.
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: String,
    /// Where it comes from.
    pub source: PolicySource,
    /// Where it goes to.
    pub destination: PolicyDestination,
    /// IP protocol (1, 6 or 17); `None` is any.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: Option<u8>,
    /// Destination ports.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ports: PolicyPorts,
    /// The applications that are meant, at most five; empty: any.
    #[serde(default, skip_serializing_if = "is_default")]
    pub applications: Vec<App>,
    /// What happens.
    pub action: PolicyAction,
    /// Whether it counts at all.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// When it counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub validity: Validity,
    /// How destinations that are domains are told from others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resolve: DomainResolve,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

impl ControlPolicy {
    /// The address books that it uses, each with the field that does.
    pub fn books(&self) -> [Option<(&'static str, &Id)>; 3] {
        [
            match &self.source {
                PolicySource::Book(id) => Some(("source", id)),
                _ => None,
            },
            match &self.destination {
                PolicyDestination::Book(id) => Some(("destination", id)),
                _ => None,
            },
            match &self.ports {
                PolicyPorts::Book(id) => Some(("ports", id)),
                _ => None,
            },
        ]
    }
}

impl fmt::Display for PolicyScope {
    /// As a file names it: a gateway by its identifier.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            PolicyScope::NatGateway(id) => id,
            PolicyScope::BorderOut => "border-out",
            PolicyScope::BorderIn => "border-in",
            PolicyScope::Dns => "dns",
        })
    }
}

impl From<&str> for PolicyScope {
    /// The firewall that a file means: what is none of its words is a NAT gateway.
    fn from(word: &str) -> PolicyScope {
        match word {
            "border-out" => PolicyScope::BorderOut,
            "border-in" => PolicyScope::BorderIn,
            "dns" => PolicyScope::Dns,
            id => PolicyScope::NatGateway(id.into()),
        }
    }
}

/// What a policy says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyAction {
    /// It passes.
    #[default]
    Accept,
    /// It is dropped.
    Drop,
    /// It passes and is recorded as a match (the console's "monitor").
    Log,
}

/// The sources of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicySource {
    /// Addresses.
    Net(Ipv4Net),
    /// The addresses of a book.
    Book(Id),
    /// Addresses in these locations: ISO 3166 codes of countries, or those of subdivisions, e.g. `CN`, `US-CA`.
    Location(Vec<String>),
}

/// The destinations of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyDestination {
    /// Addresses.
    Net(Ipv4Net),
    /// What is in a book: addresses or domains.
    Book(Id),
    /// A domain.
    #[serde(with = "as_text")]
    Domain(Pattern),
    /// Addresses in these locations.
    Location(Vec<String>),
}

/// The ports of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyPorts {
    /// All, and protocols without ports.
    #[default]
    Any,
    /// From the first to the last.
    Range(RangeInclusive<u16>),
    /// The ports of a book.
    Book(Id),
}

/// How a destination that is a domain is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainResolve {
    /// By the name that the stream tells (Host, SNI).
    #[default]
    Fqdn,
    /// By the addresses that the name stands for: what the client was answered, and our own resolution.
    Dns,
    /// By either.
    Both,
}

/// When a policy counts. Times of day and days are those of the time zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validity {
    /// Always.
    #[default]
    Permanent,
    /// Once, from and until these seconds since 1970 UTC.
    Once {
        /// From then on.
        from: u64,
        /// Before then.
        until: u64,
    },
    /// Again and again.
    Repeated {
        /// Not before these seconds since 1970 UTC, if given.
        from: Option<u64>,
        /// Not from these seconds on, if given.
        until: Option<u64>,
        /// The days.
        days: RepeatDays,
        /// From this minute of the day on.
        start: u16,
        /// Before this minute of the day; if it is not after `start`, of the next day.
        end: u16,
        /// The time zone.
        offset: Offset,
    },
}

/// On which days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepeatDays {
    /// Every day.
    Daily,
    /// On these days of the week, 0 (Sunday) to 6.
    Weekly(Vec<u8>),
    /// On these days of the month, 1 to 31.
    Monthly(Vec<u8>),
}

/// An address book. Policies name it by its identifier; people and the cloud's API by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressBook {
    /// Identifier.
    pub id: Id,
    /// Its name: unique.
    pub name: String,
    /// What is in it.
    pub content: Arc<BookContent>,
}

/// What is in an address book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BookContent {
    /// IPv4 addresses.
    Ip(Vec<Ipv4Net>),
    /// IPv6 addresses.
    Ipv6(Vec<Ipv6Net>),
    /// Domains.
    #[serde(with = "as_texts")]
    Domain(Vec<Pattern>),
    /// Ports.
    Port(Vec<RangeInclusive<u16>>),
    /// The addresses of the instances with certain tags, as they are now.
    Tag(Vec<Ipv4Addr>),
    /// What threat intelligence knows of a category.
    Threat(Id),
    /// The addresses of a cloud service, as its provider publishes them.
    Cloud(CloudService),
}

/// Where the addresses of a cloud service are read, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudService {
    /// A path, or an `http://` or `https://` address.
    pub location: String,
    /// Only what the list has for one of these services; all, if none is named.
    pub services: Vec<String>,
    /// Only what the list has for one of these regions; all, if none is named.
    pub regions: Vec<String>,
    /// How often it is read.
    pub refresh: Duration,
}

/// A list of threat indicators that is read again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreatFeed {
    /// Identifier.
    pub id: Id,
    /// A path, or an `http://` or `https://` address.
    pub location: String,
    /// The category of what is in it, where the list does not say.
    pub category: Id,
    /// How it is written.
    pub format: FeedFormat,
    /// How often it is read.
    pub refresh: Duration,
}

/// How a list of threat indicators is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedFormat {
    /// One indicator a line, with comments behind `#` or `;`.
    #[default]
    Plain,
    /// `0.0.0.0 name`, as a hosts file.
    Hosts,
    /// Fields with commas; the first that is an indicator counts.
    Csv,
    /// A STIX 2.1 bundle.
    Stix,
}

/// What was bought, as the cloud sells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallLicense {
    /// How many NAT firewalls there may be.
    pub firewalls: u32,
    /// What the firewalls process together, in Mbit/s. `None`: no limit.
    pub capacity: Option<u32>,
    /// What happens to new sessions above it.
    pub over_capacity: OverCapacity,
    /// When it ends, in seconds since 1970 UTC. `None`: never.
    pub expires: Option<u64>,
    /// By how many days it is renewed by itself when it ends. `None`: it is not.
    pub auto_renew: Option<u32>,
}

impl Default for FirewallLicense {
    fn default() -> Self {
        FirewallLicense {
            firewalls: 1_000,
            capacity: None,
            over_capacity: OverCapacity::Degrade,
            expires: None,
            auto_renew: None,
        }
    }
}

/// What happens to sessions for which there is no capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverCapacity {
    /// They pass unseen, as the cloud documents it.
    #[default]
    Degrade,
    /// They are dropped.
    Block,
}

/// The firewalls and what they decide by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Firewalls {
    /// NAT firewalls that are on.
    pub nat: Vec<NatFirewall>,
    /// NAT firewalls that are off: nothing is routed to them.
    pub nat_off: Vec<NatFirewall>,
    /// What NAT firewalls, on or off, divert. The data path goes by the routes.
    pub diversions: Vec<Diversion>,
    /// The Internet border.
    pub border: BorderFirewall,
    /// The DNS firewall.
    pub dns: DnsFirewall,
    /// Policies by firewall: at most one list for a scope.
    pub policies: Vec<PolicyList>,
    /// Address books.
    pub books: Vec<AddressBook>,
    /// Lists of threat indicators.
    pub feeds: Vec<ThreatFeed>,
    /// What was bought.
    pub license: FirewallLicense,
}

impl Firewalls {
    /// Whether any of them protects something.
    pub fn any(&self) -> bool {
        let dns = !self.policies(&PolicyScope::Dns).is_empty();
        dns || !self.nat.is_empty() || !self.border.eips.is_empty()
    }

    /// The policies of a firewall.
    pub fn policies(&self, scope: &PolicyScope) -> &[Arc<ControlPolicy>] {
        let list = self.policies.iter().find(|list| list.scope == *scope);
        list.map_or(&[], |list| &list.policies)
    }
}

/// A pattern as its text.
mod as_text {
    use super::Pattern;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(pattern: &Pattern, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(pattern)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Pattern, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Patterns as their texts.
mod as_texts {
    use super::Pattern;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(patterns: &[Pattern], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(patterns.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Pattern>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let patterns = texts.iter().map(|text| text.parse());
        patterns.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}
