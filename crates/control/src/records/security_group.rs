//! What is kept of security groups.

use super::{Meta, Seconds, record};
use crate::table::Record;
use model::{Direction, Id, Policy, RulePeer, SecurityGroupKind};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// A security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Identifier, `sg-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its VPC.
    pub vpc: Id,
    /// Whether members reach each other unless a rule says otherwise.
    pub kind: SecurityGroupKind,
    /// Whether they do not although the kind says that they do.
    #[serde(default)]
    pub isolated: bool,
    /// Its rules.
    pub rules: Vec<SecurityRule>,
}
record!(SecurityGroup, "security-group");

/// A rule of a security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityRule {
    /// Identifier, `sgr-…`.
    pub id: Id,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// When it was made.
    #[serde(default)]
    pub created: Seconds,
    /// Which way it looks.
    pub direction: Direction,
    /// What it says.
    pub policy: Policy,
    /// 1 to 100, the smaller goes first.
    pub priority: u8,
    /// IP protocol; `None` is any.
    pub protocol: Option<u8>,
    /// Ports of the receiving side; `None`: all.
    pub ports: Option<RangeInclusive<u16>>,
    /// The other end.
    pub peer: RulePeer,
}
