//! Backups of policies: what the policies of all firewalls were at a time.

use super::policies::FiledPolicy;
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::{Seconds, record};
use crate::refusal::{Refusal, Result};
use crate::table::Record;
use model::{Id, PolicyScope};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many policies are kept in one record.
const PAGE: usize = 64;

/// A backup of the policies of all firewalls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyBackup {
    /// The time that it was given when it was made, in seconds since 1970: it is known by that.
    pub id: Id,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// How many policies are in it.
    pub count: usize,
    /// When it was made.
    pub created: Seconds,
}
record!(PolicyBackup, "policy-backup");

/// A part of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyBackupPage {
    /// The backup's identifier and a number.
    id: Id,
    /// The backup.
    backup: Id,
    /// Whose policies.
    scope: PolicyScope,
    /// They, in their order.
    policies: Vec<FiledPolicy>,
}
record!(PolicyBackupPage, "policy-backup-page");

impl Draft {
    /// Makes a backup of all policies under a time.
    ///
    /// # Errors
    /// If there is one of that time, or there are too many.
    pub fn create_policy_backup(&mut self, time: Seconds, description: &str) -> Result<()> {
        let id = time.to_string();
        if self.backups.contains(&id) {
            let why = format!("There is a backup of the time {time} already.");
            return Err(Refusal::bad("ErrorAclBackupExist", why));
        }
        self.room_for(Quota::PolicyBackups, "There are", self.backups.len())?;
        let mut pages: Vec<(PolicyScope, Vec<FiledPolicy>)> = Vec::new();
        for list in self.policies.lists() {
            let all: Vec<&FiledPolicy> = list.iter().collect();
            for some in all.chunks(PAGE) {
                let some = some.iter().map(|it| (*it).clone()).collect();
                pages.push((list.scope().clone(), some));
            }
        }
        let backup = PolicyBackup {
            description: description.into(),
            count: pages.iter().map(|(_, it)| it.len()).sum(),
            created: self.now,
            id: id.clone(),
        };
        self.backups.put(backup);
        for (n, (scope, policies)) in pages.into_iter().enumerate() {
            self.backup_pages.put(PolicyBackupPage {
                id: format!("{id}/{n:06}"),
                backup: id.clone(),
                scope,
                policies,
            });
        }
        Ok(())
    }

    /// Has all firewalls have the policies of a backup, and no others. Those of NAT gateways that are gone are passed
    /// over.
    ///
    /// # Errors
    /// If there is no such backup, or an address book that it needs is gone.
    pub fn use_policy_backup(&mut self, time: Seconds) -> Result<()> {
        let id = self.policy_backup(time)?;
        let mut lists: BTreeMap<PolicyScope, Vec<FiledPolicy>> = BTreeMap::new();
        // Those that have policies now and had none then.
        for list in self.policies.lists() {
            lists.insert(list.scope().clone(), Vec::new());
        }
        for page in self.backup_pages.iter().filter(|it| it.backup == id) {
            let gone = match &page.scope {
                PolicyScope::NatGateway(id) => !self.nat_gateways.contains(id),
                _ => false,
            };
            if !gone {
                let list = lists.entry(page.scope.clone()).or_default();
                list.extend(page.policies.iter().cloned());
            }
        }
        for policy in lists.values().flatten() {
            for (_, book) in policy.policy.books().into_iter().flatten() {
                self.address_book(book)?;
            }
        }
        for (scope, policies) in lists {
            self.policies.set(&scope, policies);
        }
        Ok(())
    }

    /// Deletes a backup.
    ///
    /// # Errors
    /// If there is no such backup.
    pub fn delete_policy_backup(&mut self, time: Seconds) -> Result<()> {
        let id = self.policy_backup(time)?;
        let pages = self.backup_pages.iter().filter(|it| it.backup == id);
        let pages: Vec<Id> = pages.map(|it| it.id.clone()).collect();
        pages
            .iter()
            .for_each(|it| drop(self.backup_pages.remove(it)));
        self.backups.remove(&id);
        Ok(())
    }

    fn policy_backup(&self, time: Seconds) -> Result<Id> {
        let id = time.to_string();
        if self.backups.contains(&id) {
            return Ok(id);
        }
        let why = format!("There is no backup of the time {time}.");
        Err(Refusal::not_found("ErrorAclBackupNotExist", why))
    }
}
