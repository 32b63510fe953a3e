//! The command line of resources: `sluice vpc list` and so on.

use super::Callee;
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
        /// Which of them: --name value
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "PARAMETERS"
        )]
        params: Vec<String>,
    },
    /// Show one, with all its fields
    Show {
        /// Its identifier
        id: String,
        /// What else the operation needs: --name value
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "PARAMETERS"
        )]
        params: Vec<String>,
    },
    /// Create one
    Create {
        /// What it is to be: --name value
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "PARAMETERS"
        )]
        params: Vec<String>,
    },
    /// Change one
    Modify {
        /// Its identifier
        id: String,
        /// What it is to be: --name value
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "PARAMETERS"
        )]
        params: Vec<String>,
    },
    /// Delete one
    Delete {
        /// Its identifier
        id: String,
        /// How: --name value
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "PARAMETERS"
        )]
        params: Vec<String>,
    },
}
