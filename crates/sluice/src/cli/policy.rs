//! The command line of policies.

use super::{Callee, Parameters};
use clap::{Args, Subcommand};

/// Policies of firewalls: list, show, create, modify, move, delete, and what is wrong with them
///
/// A firewall is named by its NAT gateway, or as `border-out`, `border-in` (the Internet border, what leaves and what
/// comes in) or `dns`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice policy create ngw-1 --acl-action drop --destination '*.social.example' --application-name-list HTTPS
  sluice policy create ngw-1 --acl-action accept --source 192.168.1.0/24 --proto TCP --dest-port 443
  sluice policy create border-in --acl-action drop --source 198.51.100.0/24 --new-order 1
  sluice policy create dns --acl-action drop --destination '*.ads.example'
  sluice policy list ngw-1
  sluice policy move 3f0c… 1
  sluice policy check
  sluice policy backup before-the-change

Parameters are those of the cloud's operation: `sluice call cloudfw CreateNatFirewallControlPolicy --help` lists them.")]
pub struct Policy {
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
    /// What to do.
    #[command(subcommand)]
    pub verb: PolicyVerb,
}

/// What to do with policies. Options come before parameters.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// List policies in their order: of one firewall, or of all
    List {
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
        /// The firewall
        firewall: Option<String>,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Show a policy, with all its fields
    Show {
        /// Its identifier
        id: String,
    },
    /// Create a policy: behind all others, about everything, if nothing else is said
    Create {
        /// The firewall
        firewall: String,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Have a policy say something else
    Modify {
        /// Its identifier
        id: String,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Move a policy to another place
    Move {
        /// Its identifier
        id: String,
        /// The place: 1 is the first, -1 the last
        #[arg(allow_hyphen_values = true)]
        place: i64,
    },
    /// Delete policies
    Delete {
        /// Their identifiers
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Count the hits of a policy anew
    Reset {
        /// Its identifier
        id: String,
    },
    /// Keep the policies of all firewalls as they are now
    Backup {
        /// What for
        #[arg(default_value = "")]
        description: String,
    },
    /// List what was kept
    Backups {
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
    },
    /// Have all firewalls have the policies that were kept, and no others
    Restore {
        /// The time of the backup, as the list tells it
        time: u64,
    },
    /// Delete what was kept
    DeleteBackup {
        /// The time of the backup, as the list tells it
        time: u64,
    },
    /// List the applications that policies can name
    Apps {
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
    },
    /// Tell what is wrong with policies: shadowed, conflicting, duplicate, never hit, too broad …
    Check {
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
        /// Whose
        #[arg(value_parser = ["all", "nat", "internet", "dns"], default_value = "all")]
        whose: String,
    },
}

/// What to do about threats.
#[derive(Debug, Subcommand)]
pub enum IntelVerb {
    /// List the categories of threats, and what firewalls do about each
    List {
        /// What this NAT firewall does; none: the Internet border
        #[arg(long, value_name = "ID")]
        firewall: Option<String>,
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
    },
    /// Say what firewalls do about a category of threats
    #[command(after_help = "\
Examples:
  sluice intel set IpOutThreatTorExit drop
  sluice intel set DomainOutThreatMining off
  sluice intel set IpOutThreatTorExit alert --firewall proxy-nat1

A NAT firewall of which nothing is said, and one that is set to off, does what the Internet border does.")]
    Set {
        /// Of this NAT firewall; none: of the Internet border, and of NAT firewalls of which nothing else is said
        #[arg(long, value_name = "ID")]
        firewall: Option<String>,
        /// The category
        category: String,
        /// drop, alert (let it pass and record it) or off
        #[arg(value_parser = ["drop", "alert", "off"])]
        action: String,
    },
}
