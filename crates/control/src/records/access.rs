//! What is kept of those who call the API.

use super::{Meta, Seconds, record};
use crate::table::Record;
use model::Id;
use serde::{Deserialize, Serialize};

/// An access key: who signs calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Identifier, `LTAI…`.
    pub id: Id,
    /// Name and the like: whose it is.
    #[serde(default)]
    pub meta: Meta,
    /// The secret, sealed with a key that is not in the store; in hexadecimal.
    pub sealed: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// The user whose it is; empty: the account's own, which may do everything.
    #[serde(default)]
    pub user: Id,
}
record!(AccessKey, "access-key");

/// A user of the API: may do what its policies allow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub id: Id,
    /// Its display name, comments as description.
    #[serde(default)]
    pub meta: Meta,
    /// Its number, which no user after it has.
    pub number: String,
    /// For people.
    #[serde(default)]
    pub email: String,
    /// For people.
    #[serde(default)]
    pub mobile_phone: String,
    /// The policies that are attached to it.
    #[serde(default)]
    pub policies: Vec<Attachment>,
}
record!(User, "user");

/// A policy that is attached to a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Whether it is one of the program's own ([`crate::access::builtin`]), or one that was made.
    pub builtin: bool,
    /// Its name.
    pub policy: Id,
    /// Since when.
    #[serde(default)]
    pub attached: Seconds,
}

/// An access policy that was made: what it is attached to may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessPolicy {
    /// Its name.
    pub id: Id,
    /// Description and the like.
    #[serde(default)]
    pub meta: Meta,
    /// See [`crate::access::Document`].
    pub document: String,
}
record!(AccessPolicy, "access-policy");
