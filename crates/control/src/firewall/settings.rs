//! What the Internet border and the DNS firewall are told besides policies, and threat intelligence.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::records::{Meta, record};
use crate::refusal::{Refusal, Result};
use crate::table::Record;
use model::{DnsRefusal, EngineMode, FirewallSettings, Id, Policy, ThreatAction, ThreatRule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// The settings of firewalls that there is one of: one record, or none while they are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedSettings {
    /// Always [`SharedSettings::ID`].
    pub id: Id,
    /// Of the Internet border; what it does about threats holds for NAT firewalls, too.
    #[serde(default)]
    pub border: FirewallSettings,
    /// EIPs in strict mode although the others are not.
    #[serde(default)]
    pub strict_eips: Vec<Id>,
    /// Whether the border protects EIPs from when they are allocated.
    #[serde(default)]
    pub auto_protect: bool,
    /// What the DNS firewall answers what it refuses.
    #[serde(default)]
    pub dns_refusal: DnsRefusal,
    /// What the DNS firewall does with what no policy matches.
    #[serde(default)]
    pub dns_default: Policy,
    /// Whether a file has set what concerns the border.
    #[serde(default)]
    pub border_of_file: bool,
    /// Whether a file has set what concerns the DNS firewall.
    #[serde(default)]
    pub dns_of_file: bool,
}
record!(SharedSettings, "firewall-settings");

impl SharedSettings {
    /// The identifier of the only record.
    pub const ID: &'static str = "firewall-settings";
}

impl Default for SharedSettings {
    fn default() -> Self {
        SharedSettings {
            id: Self::ID.into(),
            border: FirewallSettings::default(),
            strict_eips: Vec::new(),
            auto_protect: false,
            dns_refusal: DnsRefusal::default(),
            dns_default: Policy::default(),
            border_of_file: false,
            dns_of_file: false,
        }
    }
}

/// A list of threat indicators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreatFeed {
    /// Identifier.
    pub id: Id,
    /// Since when, and whether a file names it.
    #[serde(default)]
    pub meta: Meta,
    /// See [`model::ThreatFeed`].
    pub location: String,
    /// See [`model::ThreatFeed`].
    pub category: Id,
    /// See [`model::ThreatFeed`].
    pub format: model::FeedFormat,
    /// See [`model::ThreatFeed`].
    pub refresh: Duration,
}
record!(ThreatFeed, "threat-feed");

/// What is done about a category of threats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreatSwitch {
    /// The category.
    pub category: Id,
    /// Its name, for people.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// What is done if anything is.
    pub action: ThreatAction,
    /// Whether anything is.
    pub enabled: bool,
}

impl Cloud {
    /// The settings of firewalls that there is one of.
    pub fn shared_settings(&self) -> SharedSettings {
        let record = self.firewall_settings.get(SharedSettings::ID);
        record.cloned().unwrap_or_default()
    }

    /// All categories of threats that are known, and what is done about each: by a NAT firewall, or by the Internet border
    /// and the NAT firewalls that say nothing else.
    ///
    /// # Errors
    /// If there is no such NAT firewall.
    pub fn threat_switches(&self, firewall: Option<&str>) -> Result<Vec<ThreatSwitch>> {
        let border = self.shared_settings().border;
        let rules = match firewall {
            None => border.threats,
            Some(id) => {
                let mut settings = self.nat_firewall(id)?.settings.clone();
                settings.inherit_threats(&border);
                settings.threats
            }
        };
        let mut categories: BTreeSet<&str> = policy::CATEGORIES.iter().map(|it| it.id).collect();
        categories.extend(self.feeds.iter().map(|it| &*it.category));
        categories.extend(rules.iter().map(|it| &*it.category));
        let switch = |category: &str| {
            let known = policy::CATEGORIES.iter().find(|it| it.id == category);
            let rule = rules.iter().find(|it| it.category == category);
            ThreatSwitch {
                category: category.into(),
                name: known.map_or(category, |it| it.name).into(),
                description: known.map_or("", |it| it.description).into(),
                action: match (rule, known) {
                    (Some(rule), _) => rule.action,
                    (None, Some(category)) => category.action,
                    (None, None) => ThreatAction::Alert,
                },
                enabled: rule.is_some(),
            }
        };
        Ok(categories.into_iter().map(switch).collect())
    }
}

impl Draft {
    fn set_shared(&mut self, settings: SharedSettings) {
        match settings == SharedSettings::default() {
            true => drop(self.firewall_settings.remove(SharedSettings::ID)),
            false => self.firewall_settings.put(settings),
        }
    }

    /// Changes the settings of firewalls that there is one of.
    pub(super) fn change_shared(&mut self, change: impl FnOnce(&mut SharedSettings)) {
        let mut settings = self.shared_settings();
        change(&mut settings);
        if settings != self.shared_settings() {
            self.set_shared(settings);
        }
    }

    /// Sets what the Internet border and the DNS firewall do with what no policy matches; `None` stays as it is.
    pub fn set_defaults(&mut self, border: Option<Policy>, dns: Option<Policy>) {
        self.change_shared(|settings| {
            let had = &mut settings.border.default_action;
            *had = border.unwrap_or(*had);
            settings.dns_default = dns.unwrap_or(settings.dns_default);
        });
    }

    /// Sets the engine mode of the Internet border: of all EIPs, or of some. What is loose for one is not for those
    /// that there are besides.
    ///
    /// # Errors
    /// If there is no such EIP, by identifier or address.
    pub fn set_border_mode(&mut self, mode: EngineMode, eips: &[&str]) -> Result<()> {
        let mut ids = BTreeSet::new();
        for named in eips {
            let by_address = || self.eips.find(|it| it.address.to_string() == **named);
            let eip = self.eips.get(named).or_else(by_address);
            let missing = || {
                let why = format!("There is no EIP {named:?}.");
                Refusal::not_found("InvalidAllocationId.NotFound", why)
            };
            ids.insert(eip.ok_or_else(missing)?.id.clone());
        }
        let others: Vec<Id> = self.eips.iter().map(|it| it.id.clone()).collect();
        self.change_shared(|settings| {
            if ids.is_empty() {
                settings.border.mode = mode;
                settings.strict_eips.clear();
                return;
            }
            if settings.border.mode == EngineMode::Strict {
                settings.border.mode = EngineMode::Loose;
                settings.strict_eips = others;
            }
            settings.strict_eips.retain(|it| !ids.contains(it));
            if mode == EngineMode::Strict {
                settings.strict_eips.extend(ids);
            }
        });
        Ok(())
    }

    /// Switches what is done about a category of threats; `None` takes an action or a state as it is. A NAT firewall that
    /// is to do nothing of its own does what the Internet border does.
    ///
    /// # Errors
    /// If nothing knows the category, or there is no such NAT firewall.
    pub fn switch_threat(
        &mut self,
        firewall: Option<&str>,
        category: &str,
        action: Option<ThreatAction>,
        enabled: Option<bool>,
    ) -> Result<()> {
        let switches = self.threat_switches(firewall)?;
        let known = switches.iter().find(|it| it.category == category);
        let missing = || {
            let why = format!("There is no category {category:?} of threat intelligence.");
            Refusal::not_found("ErrorThreatCategoryNotExist", why)
        };
        let had = known.ok_or_else(missing)?;
        let enabled = enabled.unwrap_or(had.enabled);
        let action = action.unwrap_or(had.action);
        let change = |threats: &mut Vec<ThreatRule>| {
            threats.retain(|it| it.category != category);
            if enabled {
                threats.push(ThreatRule {
                    category: category.into(),
                    action,
                });
            }
            threats.sort_by(|a, b| a.category.cmp(&b.category));
        };
        match firewall {
            None => self.change_shared(|settings| change(&mut settings.border.threats)),
            Some(id) => {
                let firewall = self.nat_firewalls.get_mut(id);
                firewall
                    .into_iter()
                    .for_each(|it| change(&mut it.settings.threats));
            }
        }
        Ok(())
    }
}
