//! Checks of policies: what was found wrong with them, and what has become of it.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::records::{Seconds, record};
use crate::refusal::{Refusal, Result};
use crate::table::Record;
use model::{Id, Policy, PolicyScope};
use policy::Resolved;
use policy::review::{Flaw, Review, review};
use serde::{Deserialize, Serialize};

/// The most findings of a check that are kept.
const MOST: usize = 1_000;

/// Whose policies are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checked {
    /// Those of the Internet border.
    Internet,
    /// Those of NAT firewalls.
    Nat,
    /// Those of the DNS firewall.
    Dns,
    /// All.
    All,
}

impl Checked {
    /// All of them.
    pub const ALL: [Checked; 4] = [Checked::Internet, Checked::Nat, Checked::Dns, Checked::All];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Checked::Internet => "internet",
            Checked::Nat => "nat",
            Checked::Dns => "dns",
            Checked::All => "all",
        }
    }

    fn has(self, scope: &PolicyScope) -> bool {
        match self {
            Checked::All => true,
            Checked::Internet => matches!(scope, PolicyScope::BorderIn | PolicyScope::BorderOut),
            Checked::Nat => matches!(scope, PolicyScope::NatGateway(_)),
            Checked::Dns => *scope == PolicyScope::Dns,
        }
    }
}

/// What a check has found. A later check of the same takes its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyCheck {
    /// Its identifier.
    pub id: Id,
    /// Whose policies were looked at.
    pub checked: Checked,
    /// What was looked for: the word of a [`Flaw`].
    pub flaw: String,
    /// When.
    pub time: Seconds,
    /// How many policies have it.
    pub count: usize,
    /// The first thousand.
    pub findings: Vec<Found>,
}
record!(PolicyCheck, "policy-check");

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The firewall.
    pub scope: PolicyScope,
    /// The policy; empty if it is about all policies of the firewall.
    pub policy: Id,
    /// One sentence for people.
    pub explanation: String,
    /// What has become of it.
    #[serde(default)]
    pub status: FoundStatus,
}

/// What has become of something that was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FoundStatus {
    /// Nobody has said anything.
    #[default]
    Pending,
    /// It is to stay as it is.
    Ignored,
    /// It has been dealt with.
    Handled,
}

impl Draft {
    /// Looks policies over. `hits` tells how often a policy was hit, where that is known. The checks' identifiers.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn check_policies(
        &mut self,
        checked: Checked,
        flaws: &[Flaw],
        hits: &dyn Fn(&PolicyScope, &Id) -> Option<u64>,
    ) -> Result<Vec<Id>> {
        let config = self.config().firewalls;
        let mut all: Vec<(Flaw, Found)> = Vec::new();
        for list in config.policies.iter().filter(|it| checked.has(&it.scope)) {
            let scope = &list.scope;
            let found = review(&Review {
                policies: &list.policies,
                books: &config.books,
                default_action: default_action(&config, scope),
                hits: &|id| hits(scope, id),
                resolved: &Resolved::default(),
            });
            all.extend(found.into_iter().map(|it| {
                let found = Found {
                    scope: scope.clone(),
                    policy: it.policies.into_iter().next().unwrap_or_default(),
                    explanation: it.explanation,
                    status: FoundStatus::Pending,
                };
                (it.flaw, found)
            }));
        }
        let mut ids = Vec::with_capacity(flaws.len());
        for flaw in flaws {
            let findings = all.iter().filter(|(it, _)| it == flaw).map(|(_, it)| it);
            let count = findings.clone().count();
            let check = PolicyCheck {
                id: self.new_uuid()?,
                checked,
                flaw: flaw.name().into(),
                time: self.now,
                count,
                findings: findings.take(MOST).cloned().collect(),
            };
            let same = |it: &PolicyCheck| it.checked == checked && it.flaw == flaw.name();
            if let Some(had) = self.policy_checks.find(same).map(|it| it.id.clone()) {
                self.policy_checks.remove(&had);
            }
            ids.push(check.id.clone());
            self.policy_checks.put(check);
        }
        Ok(ids)
    }

    /// Says what has become of something that a check has found about a policy.
    ///
    /// # Errors
    /// If there is no such check, or it has found nothing about the policy.
    pub fn set_found_status(
        &mut self,
        check: &str,
        policy: &str,
        status: FoundStatus,
    ) -> Result<()> {
        self.policy_check(check)?;
        let check = self.policy_checks.get_mut(check);
        let mut of_policy: Vec<&mut Found> = check
            .into_iter()
            .flat_map(|it| &mut it.findings)
            .filter(|it| it.policy == policy)
            .collect();
        if of_policy.is_empty() {
            let why = format!("The check has found nothing about the policy {policy:?}.");
            return Err(Refusal::not_found("ErrorAclNotExist", why));
        }
        of_policy.iter_mut().for_each(|it| it.status = status);
        Ok(())
    }
}

impl Cloud {
    /// A check.
    ///
    /// # Errors
    /// `ErrorAclCheckNotExist`.
    pub fn policy_check(&self, id: &str) -> Result<&PolicyCheck> {
        let code = "ErrorAclCheckNotExist";
        crate::cloud::found(&self.policy_checks, id, "check of policies", code)
    }
}

/// What a firewall does with what no policy matches.
fn default_action(config: &model::Firewalls, scope: &PolicyScope) -> Policy {
    match scope {
        PolicyScope::BorderIn | PolicyScope::BorderOut => config.border.settings.default_action,
        PolicyScope::Dns => config.dns.default_action,
        PolicyScope::NatGateway(id) => {
            let mut firewalls = config.nat.iter().chain(&config.nat_off);
            let firewall = firewalls.find(|it| it.gateway == *id);
            firewall.map_or(Policy::Accept, |it| it.settings.default_action)
        }
    }
}
