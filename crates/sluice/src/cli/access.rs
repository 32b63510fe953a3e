//! The command line of keys, users, access policies and the audit trail.

use super::Callee;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Access keys of the cloud API: list, create, enable, disable, delete.
///
/// A key of a user may do what the user's policies allow; a key of no user may do everything.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice key create --user alice           its secret is shown once
  sluice key list
  sluice key disable LTAI5tExample")]
pub struct Key {
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
    /// What to do.
    #[command(subcommand)]
    pub verb: KeyVerb,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// List all keys, with whose they are
    List {
        /// Only those of this user
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
    },
    /// Make a key, and print its secret: it is not shown again
    Create {
        /// The user whose it is to be; without one it is the account's own, which may do everything
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Print JSON: one object
        #[arg(long)]
        json: bool,
    },
    /// Let a key be used again
    Enable {
        /// Its identifier
        id: String,
    },
    /// Let a key be used no more
    Disable {
        /// Its identifier
        id: String,
    },
    /// Delete a key
    Delete {
        /// Its identifier
        id: String,
    },
}

/// Users of the cloud API: list, create, delete.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice user create alice
  sluice user list")]
pub struct User {
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
    /// What to do.
    #[command(subcommand)]
    pub verb: UserVerb,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List all users, with their policies
    List {
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
    },
    /// Make a user, who may do nothing yet
    Create {
        /// Its name: letters, digits, `.`, `_`, `-`
        user: String,
    },
    /// Delete a user who has neither keys nor policies
    Delete {
        /// Its name
        user: String,
    },
}

/// Access policies: list, show, create, delete, attach to users, detach.
///
/// A policy is a document in the form of the cloud's RAM.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice access list
  sluice access show ReadOnlyAccess
  sluice access create one-vpc policy.json
  sluice access attach one-vpc alice
  sluice access detach one-vpc alice")]
pub struct Access {
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
    /// What to do.
    #[command(subcommand)]
    pub verb: AccessVerb,
}

/// What to do with access policies.
#[derive(Debug, Subcommand)]
pub enum AccessVerb {
    /// List all policies
    List {
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
    },
    /// Print a policy's document
    Show {
        /// The policy
        policy: String,
    },
    /// Make a policy
    Create {
        /// Its name: letters, digits, `-`
        policy: String,
        /// The document: a JSON file
        file: PathBuf,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Delete a policy that is attached to nobody
    Delete {
        /// The policy
        policy: String,
    },
    /// Let a user do what a policy allows
    Attach {
        /// The policy
        policy: String,
        /// The user
        user: String,
    },
    /// Take a policy from a user
    Detach {
        /// The policy
        policy: String,
        /// The user
        user: String,
    },
}

/// Tell who changed what, from where, and what became of it.
///
/// Each call that changed something, or was to, is told: by the API, over the control socket, by `sluice
/// apply`. The newest come first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice audit
  sluice audit --user alice --failed
  sluice audit --resource vpc-1 --since 2026-11-21T00:00:00Z --json")]
pub struct Audit {
    /// Only calls of this user; `root`: by keys of the account, `local`: over the control socket
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Only calls by this access key
    #[arg(long, value_name = "ID")]
    pub key: Option<String>,
    /// Only calls of this operation
    #[arg(long, value_name = "NAME")]
    pub action: Option<String>,
    /// Only calls about this resource
    #[arg(long, value_name = "ID")]
    pub resource: Option<String>,
    /// Only calls that were refused
    #[arg(long)]
    pub failed: bool,
    /// Since when [default: a week ago]
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// At most so many; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Print JSON: one array
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
}
