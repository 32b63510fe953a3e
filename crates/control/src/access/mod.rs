//! Who may do what: users, their access keys, and policies.
//!
//! An access key is the account's own, which may do everything, or a user's, which may do what the policies
//! allow that are attached to the user. At least one enabled key of an administrator stays, so that nobody can lock
//! everybody out by mistake.

mod arn;
pub mod builtin;
mod document;

pub use arn::{ACCOUNT, Arn};
pub use document::{Document, DocumentError, MAX_DOCUMENT, Verdict};

use crate::cloud::{Cloud, found};
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use std::sync::Arc;

/// A policy, whoever made it.
#[derive(Clone, Copy, Debug)]
pub enum Policy<'a> {
    /// One that is always there.
    Builtin(&'static builtin::Builtin),
    /// One that was made.
    Custom(&'a AccessPolicy),
}

impl<'a> Policy<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        match self {
            Policy::Builtin(it) => it.name,
            Policy::Custom(it) => &it.id,
        }
    }

    /// What it is for.
    pub fn description(self) -> &'a str {
        match self {
            Policy::Builtin(it) => it.description,
            Policy::Custom(it) => &it.meta.description,
        }
    }

    /// See [`Document`].
    pub fn document(self) -> &'a str {
        match self {
            Policy::Builtin(it) => it.document,
            Policy::Custom(it) => &it.document,
        }
    }

    /// Whether it is always there.
    pub fn is_builtin(self) -> bool {
        matches!(self, Policy::Builtin(_))
    }

    /// When it was made; 0 if it was always there.
    pub fn created(self) -> Seconds {
        match self {
            Policy::Builtin(_) => 0,
            Policy::Custom(it) => it.meta.created,
        }
    }
}

impl Cloud {
    /// A user.
    ///
    /// # Errors
    /// `EntityNotExist.User`.
    pub fn user(&self, name: &str) -> Result<&User> {
        found(&self.users, name, "user", "EntityNotExist.User")
    }

    /// A policy.
    ///
    /// # Errors
    /// `EntityNotExist.Policy`.
    pub fn access_policy(&self, builtin: bool, name: &str) -> Result<Policy<'_>> {
        let code = "EntityNotExist.Policy";
        if builtin {
            let why = || format!("There is no system policy {name:?}.");
            let found = builtin::find(name).map(Policy::Builtin);
            return found.ok_or_else(|| Refusal::not_found(code, why()));
        }
        found(&self.access_policies, name, "custom policy", code).map(Policy::Custom)
    }

    /// The keys of a user; those of the account, if the name is empty.
    pub fn keys_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a AccessKey> {
        self.access_keys.iter().filter(move |it| it.user == user)
    }

    /// The users that a policy is attached to.
    pub fn users_of<'a>(&'a self, policy: Policy<'a>) -> impl Iterator<Item = &'a User> {
        self.users
            .iter()
            .filter(move |it| it.attachment(policy).is_some())
    }

    /// What the policies of a user say to an action on a resource; the resource is given by all that it is and
    /// lies in. Also the policy that decided, if one did.
    pub fn permission(
        &self,
        user: &User,
        action: &str,
        resource: &[Arn],
    ) -> (Verdict, Option<&str>) {
        let mut permission = (Verdict::Silent, None);
        for (policy, document) in self.documents(user) {
            match document.verdict(action, resource) {
                Verdict::Denied => return (Verdict::Denied, Some(policy.name())),
                Verdict::Allowed => permission = (Verdict::Allowed, Some(policy.name())),
                Verdict::Silent => {}
            }
        }
        permission
    }

    /// The policies of a user.
    fn documents(&self, user: &User) -> impl Iterator<Item = (Policy<'_>, Document)> {
        let policies = user.policies.iter();
        let policies = policies.filter_map(|it| self.access_policy(it.builtin, &it.policy).ok());
        // They were checked when they were made.
        policies.filter_map(|it| Some((it, Document::parse(it.document()).ok()?)))
    }

    /// Whether a key may do everything.
    fn administers(&self, key: &AccessKey) -> bool {
        if key.user.is_empty() {
            return key.enabled;
        }
        let Some(user) = self.users.get(&key.user) else {
            return false;
        };
        let documents: Vec<Document> = self.documents(user).map(|(_, it)| it).collect();
        key.enabled
            && documents.iter().any(Document::allows_everything)
            && !documents.iter().any(Document::denies)
    }

    fn is_administered(&self) -> bool {
        self.access_keys.iter().any(|key| self.administers(key))
    }
}

impl User {
    /// The attachment of a policy.
    pub fn attachment(&self, policy: Policy) -> Option<&Attachment> {
        let mut attached = self.policies.iter();
        attached.find(|it| it.builtin == policy.is_builtin() && it.policy == policy.name())
    }
}

impl Draft {
    /// Makes a user without keys and policies. The name has 1 to 64 letters, digits, `.`, `_` and `-`.
    ///
    /// # Errors
    /// `InvalidParameter.UserName.…`, `EntityAlreadyExists.User`, `LimitExceeded.User`.
    pub fn create_user(&mut self, user: User) -> Result<&User> {
        word("UserName", &user.id, 64, "._-")?;
        if self.users.contains(&user.id) {
            let why = format!("There is a user {:?} already.", user.id);
            return Err(conflict("EntityAlreadyExists.User", why));
        }
        self.room(Quota::Users, "There are", self.users.len())?;
        let name = user.id.clone();
        self.users.put(user);
        self.user(&name)
    }

    /// Removes a user that has neither keys nor policies.
    ///
    /// # Errors
    /// `EntityNotExist.User`, `DeleteConflict.User.AccessKey`, `DeleteConflict.User.Policy`.
    pub fn delete_user(&mut self, name: &str) -> Result<()> {
        let user = self.user(name)?;
        if let Some(key) = self.keys_of(name).next() {
            let why = format!("The user has the access key {}: delete it first.", key.id);
            return Err(conflict("DeleteConflict.User.AccessKey", why));
        }
        if let Some(policy) = user.policies.first() {
            let why = format!(
                "The user has the policy {}: detach it first.",
                policy.policy
            );
            return Err(conflict("DeleteConflict.User.Policy", why));
        }
        self.users.remove(name);
        Ok(())
    }

    /// Makes a policy. The name has 1 to 128 letters, digits and `-`.
    ///
    /// # Errors
    /// `InvalidParameter.PolicyName.…`, `MalformedPolicyDocument`, `EntityAlreadyExists.Policy`,
    /// `LimitExceeded.Policy`.
    pub fn create_access_policy(&mut self, policy: AccessPolicy) -> Result<()> {
        word("PolicyName", &policy.id, 128, "-")?;
        Document::parse(&policy.document).map_err(|error| match error {
            DocumentError::Length(_) => {
                let code = "InvalidParameter.PolicyDocument.Length";
                Refusal::bad(code, format!("The policy cannot be made: {error}."))
            }
            _ => Refusal::bad(
                "MalformedPolicyDocument",
                format!("The policy cannot be made: {error}."),
            ),
        })?;
        if self.access_policies.contains(&policy.id) || builtin::find(&policy.id).is_some() {
            let why = format!("There is a policy {:?} already.", policy.id);
            return Err(conflict("EntityAlreadyExists.Policy", why));
        }
        self.room(
            Quota::AccessPolicies,
            "There are",
            self.access_policies.len(),
        )?;
        self.access_policies.put(policy);
        Ok(())
    }

    /// Removes a policy that was made and is attached to nobody, or with `detach` from those it is attached to.
    ///
    /// # Errors
    /// `EntityNotExist.Policy`, `DeleteConflict.Policy.User`, `DeleteConflict.LastAdministrator`.
    pub fn delete_access_policy(&mut self, name: &str, detach: bool) -> Result<()> {
        let policy = self.access_policy(false, name)?;
        let users: Vec<_> = self.users_of(policy).map(|it| it.id.clone()).collect();
        if let (false, Some(user)) = (detach, users.first()) {
            let why = format!("The policy is attached to the user {user}: detach it first.");
            return Err(conflict("DeleteConflict.Policy.User", why));
        }
        self.administered(|draft| {
            for user in users {
                draft.detach(&user, false, name)?;
            }
            draft.access_policies.remove(name);
            Ok(())
        })
    }

    /// Attaches a policy to a user.
    ///
    /// # Errors
    /// `EntityNotExist.…`, `EntityAlreadyExists.User.Policy`, `LimitExceeded.User.Policy`, and
    /// `DeleteConflict.LastAdministrator` if it denies something to the last administrator.
    pub fn attach_policy(&mut self, user: &str, builtin: bool, policy: &str) -> Result<()> {
        let had = self.user(user)?;
        if had
            .attachment(self.access_policy(builtin, policy)?)
            .is_some()
        {
            let why = format!("The user {user} has the policy {policy} already.");
            return Err(conflict("EntityAlreadyExists.User.Policy", why));
        }
        let whose = format!("The user {user} has");
        self.room(Quota::UserPolicies, &whose, had.policies.len())?;
        let attachment = Attachment {
            builtin,
            policy: policy.into(),
            attached: self.now,
        };
        self.administered(|draft| {
            if let Some(user) = draft.users.get_mut(user) {
                user.policies.push(attachment);
            }
            Ok(())
        })
    }

    /// Detaches a policy from a user.
    ///
    /// # Errors
    /// `EntityNotExist.…`, `DeleteConflict.LastAdministrator`.
    pub fn detach_policy(&mut self, user: &str, builtin: bool, policy: &str) -> Result<()> {
        self.administered(|draft| draft.detach(user, builtin, policy))
    }

    fn detach(&mut self, user: &str, builtin: bool, policy: &str) -> Result<()> {
        let had = self.user(user)?;
        if had
            .attachment(self.access_policy(builtin, policy)?)
            .is_none()
        {
            let why = format!("The user {user} does not have the policy {policy}.");
            return Err(Refusal::not_found("EntityNotExist.User.Policy", why));
        }
        if let Some(user) = self.users.get_mut(user) {
            user.policies
                .retain(|it| it.builtin != builtin || it.policy != policy);
        }
        Ok(())
    }

    /// Adds an access key.
    ///
    /// # Errors
    /// `EntityNotExist.User`, `LimitExceeded.User.AccessKey`.
    pub fn add_access_key(&mut self, key: AccessKey) -> Result<()> {
        let whose = match &*key.user {
            "" => "The account has".into(),
            user => format!("The user {} has", self.user(user)?.id),
        };
        let used = self.keys_of(&key.user).count();
        self.room(Quota::AccessKeys, &whose, used)?;
        self.access_keys.put(key);
        Ok(())
    }

    /// Enables or disables an access key of a user, or of the account.
    ///
    /// # Errors
    /// `EntityNotExist.User.AccessKey`, `DeleteConflict.LastAdministrator`.
    pub fn enable_access_key(&mut self, user: &str, id: &str, enabled: bool) -> Result<()> {
        self.access_key(user, id)?;
        self.administered(|draft| {
            if let Some(key) = draft.access_keys.get_mut(id) {
                key.enabled = enabled;
            }
            Ok(())
        })
    }

    /// Removes an access key of a user, or of the account.
    ///
    /// # Errors
    /// `EntityNotExist.User.AccessKey`, `DeleteConflict.LastAdministrator`.
    pub fn delete_access_key(&mut self, user: &str, id: &str) -> Result<Arc<AccessKey>> {
        self.access_key(user, id)?;
        self.administered(|draft| {
            let removed = draft.access_keys.remove(id);
            removed.ok_or_else(|| no_key(user, id))
        })
    }

    fn access_key(&self, user: &str, id: &str) -> Result<&AccessKey> {
        if !user.is_empty() {
            self.user(user)?;
        }
        let key = self.access_keys.get(id).filter(|it| it.user == user);
        key.ok_or_else(|| no_key(user, id))
    }

    /// Does something that may take an administrator his rights, unless he is the last.
    fn administered<T>(&mut self, work: impl FnOnce(&mut Draft) -> Result<T>) -> Result<T> {
        let before = self.is_administered();
        let done = work(self)?;
        if before && !self.is_administered() {
            let why =
                "No enabled access key of an administrator would be left: make another one first.";
            return Err(conflict("DeleteConflict.LastAdministrator", why.into()));
        }
        Ok(done)
    }

    /// [`Draft::room_for`], with the status that RAM has for it.
    fn room(&self, quota: Quota, whose: &str, used: usize) -> Result<()> {
        self.room_for(quota, whose, used)
            .map_err(|refusal| Refusal {
                status: 409,
                ..refusal
            })
    }
}

fn no_key(user: &str, id: &str) -> Refusal {
    let whose = match user {
        "" => "The account".into(),
        user => format!("The user {user}"),
    };
    let why = format!("{whose} has no access key {id:?}.");
    Refusal::not_found("EntityNotExist.User.AccessKey", why)
}

fn conflict(code: &'static str, message: String) -> Refusal {
    Refusal {
        status: 409,
        ..Refusal::bad(code, message)
    }
}

/// Checks a name of letters, digits and some other characters.
fn word(parameter: &str, text: &str, longest: usize, others: &str) -> Result<()> {
    if text.is_empty() || text.len() > longest {
        let code = format!("InvalidParameter.{parameter}.Length");
        let why = format!(
            "The {parameter} has {} characters: 1 to {longest} are allowed.",
            text.len()
        );
        return Err(Refusal::bad(code, why));
    }
    match text
        .chars()
        .find(|it| !it.is_ascii_alphanumeric() && !others.contains(*it))
    {
        None => Ok(()),
        Some(other) => {
            let code = format!("InvalidParameter.{parameter}.InvalidChars");
            let why = format!(
                "The {parameter} holds {other:?}: letters, digits and {others:?} are allowed."
            );
            Err(Refusal::bad(code, why))
        }
    }
}
