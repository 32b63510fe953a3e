//! What is kept of each resource.
//!
//! Records are written as JSON. A field that is added later has a default, so that what an earlier version
//! wrote can still be read.

mod access;
mod eip;
mod instance;
mod nat;
mod network;
mod security_group;

pub use crate::firewall::records::*;
pub use access::*;
pub use eip::*;
pub use instance::*;
pub use nat::*;
pub use network::*;
pub use security_group::*;

use crate::table::Record;
use model::{Hook, Id};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seconds since 1970-01-01 UTC.
pub type Seconds = u64;

/// The resource group of what names none.
pub const DEFAULT_RESOURCE_GROUP: &str = "rg-default";

/// What every resource has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// For people; may be empty.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// When it was made.
    pub created: Seconds,
    /// Its resource group; empty: [`DEFAULT_RESOURCE_GROUP`].
    pub resource_group: String,
    /// Tags: key and value.
    pub tags: BTreeMap<String, String>,
    /// A configuration file has named it: when a later file does not, it goes.
    pub of_file: bool,
}

impl Meta {
    /// Its resource group.
    pub fn resource_group(&self) -> &str {
        match &*self.resource_group {
            "" => DEFAULT_RESOURCE_GROUP,
            group => group,
        }
    }
}

macro_rules! record {
    ($name:ident, $kind:literal) => {
        impl Record for $name {
            const KIND: &'static str = $kind;

            fn id(&self) -> &Id {
                &self.id
            }
        }
    };
}

pub(crate) use record;

/// The program's own settings: there is one such record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// Always [`System::ID`].
    pub id: Id,
    /// See [`model::System`].
    pub name: String,
    /// See [`model::System`].
    pub hook: Hook,
    /// See [`model::System`].
    pub max_sessions: u32,
    /// The regions; empty: [`model::Region::default`] alone.
    #[serde(default)]
    pub regions: Vec<model::Region>,
    /// How many there may be of what, by name, where it is not the default; see [`crate::quota::Quota`].
    #[serde(default)]
    pub quotas: BTreeMap<String, u32>,
    /// What the daemon does beside moving packets.
    #[serde(default)]
    pub services: model::Services,
}
record!(System, "system");

impl System {
    /// The identifier of the only record.
    pub const ID: &'static str = "system";
}

/// The answer to a call with a client token, kept for a day: the same call again gets the same answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Caller, operation and token.
    pub id: Id,
    /// A hash of the call's parameters.
    pub parameters: String,
    /// What was answered, as JSON.
    pub answer: String,
    /// When.
    pub created: Seconds,
}
record!(Token, "token");
