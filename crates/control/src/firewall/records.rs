//! What is kept of firewalls.

use crate::records::{Meta, Seconds, record};
use crate::table::Record;
use model::{FirewallLicense, FirewallSettings, Id};
use serde::{Deserialize, Serialize};

pub use super::backups::{PolicyBackup, PolicyBackupPage};
pub use super::books::{AddressBook, AssetKind, AssetRule, TagRule};
pub use super::checks::PolicyCheck;
pub use super::policies::FiledPolicy;
pub use super::settings::{SharedSettings, ThreatFeed};

/// A NAT firewall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatFirewall {
    /// Identifier, `proxy-nat…`.
    pub id: Id,
    /// Name and the like.
    #[serde(default)]
    pub meta: Meta,
    /// The NAT gateway that it protects: one of the Internet, with one firewall.
    pub gateway: Id,
    /// Whether it is on.
    pub enabled: bool,
    /// Whether what comes in by DNAT entries goes through it too.
    #[serde(default)]
    pub inbound: bool,
    /// Mode, default and the like.
    #[serde(default)]
    pub settings: FirewallSettings,
    /// The route tables whose default route to the gateway it diverts.
    pub tables: Vec<Id>,
    /// Its vSwitch; a firewall of a file may have none. It is empty, and its route table the firewall's own.
    #[serde(default)]
    pub vswitch: Option<Id>,
    /// Whether vSwitch and route table were made for it: they go with it.
    #[serde(default)]
    pub own_vswitch: bool,
    /// The identifier of the network interface that diverted routes are shown to lead to; it is nothing but a name.
    pub eni: Id,
    /// `PrimaryStandby` or `MultiPrimary`, as its maker has named it; it is told back.
    #[serde(default)]
    pub service_mode: String,
    /// Zones, as its maker has named them; they are told back.
    #[serde(default)]
    pub service_zones: Vec<String>,
}
record!(NatFirewall, "nat-firewall");

/// What was bought of the firewalls: there is one such record, or none while nobody has said anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct License {
    /// Always [`License::ID`].
    pub id: Id,
    /// Since when, and whether a file says so.
    #[serde(default)]
    pub meta: Meta,
    /// What it allows.
    pub license: FirewallLicense,
    /// When it was renewed last; 0: never.
    #[serde(default)]
    pub renewed: Seconds,
}
record!(License, "firewall-license");

impl License {
    /// The identifier of the only record.
    pub const ID: &'static str = "firewall-license";
}
