//! The command line of resources: `sluice vpc list` and so on.

use super::{Callee, Parameters};
use clap::{Args, Subcommand};

/// What to do with resources.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice vpc create --cidr-block 192.168.0.0/16 --vpc-name shop
  sluice vpc list
  sluice eip create --bandwidth 100
  sluice dnat list --forward-table-id ftb-1
  sluice route list --route-table-id vtb-1

Parameters are those of the cloud's operation: `sluice call vpc CreateVpc --help` lists them.")]
pub struct Resource {
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with resources. Options come before parameters.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List them
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Show one, with all its fields
    Show {
        /// Its identifier
        id: String,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Create one
    Create {
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Change one
    Modify {
        /// Its identifier
        id: String,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Delete one
    Delete {
        /// Its identifier
        id: String,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
}
