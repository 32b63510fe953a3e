//! The command line of firewalls.

use super::{Callee, Parameters};
use clap::{Args, Subcommand};

/// NAT firewalls and the Internet border: list, show, create, switch, modify, delete, and checks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice firewall precheck ngw-1               can it have a firewall, and if not, why
  sluice firewall create --nat-gateway-id ngw-1
  sluice firewall list
  sluice firewall switch proxy-nat1 off
  sluice firewall modify proxy-nat1 --strict-mode 1 --default-action drop
  sluice firewall bypass proxy-nat1            what goes around it
  sluice firewall protect 203.0.113.64         an EIP, at the Internet border

Parameters are those of the cloud's operation: `sluice call cloudfw CreateSecurityProxy --help` lists them.")]
pub struct Firewall {
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
    /// What to do.
    #[command(subcommand)]
    pub verb: FirewallVerb,
}

/// What to do with firewalls. Options come before parameters.
#[derive(Debug, Subcommand)]
pub enum FirewallVerb {
    /// List NAT firewalls
    List {
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Show a NAT firewall, with all its fields
    Show {
        /// Its identifier
        id: String,
    },
    /// Protect a NAT gateway: it takes the gateway's VPC and all its route tables, if nothing else is said
    #[command(after_help = "\
Examples:
  sluice firewall create --nat-gateway-id ngw-1
  sluice firewall create --nat-gateway-id ngw-1 --proxy-name shop_firewall --strict-mode 1 --inbound true
  sluice firewall create --nat-gateway-id ngw-1 --vswitch-auto false --vswitch-id vsw-2")]
    Create {
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Switch a NAT firewall on or off; sessions go on, if it lets them
    Switch {
        /// Its identifier
        id: String,
        /// on or off
        #[arg(value_parser = ["on", "off"])]
        to: String,
    },
    /// Change a NAT firewall
    Modify {
        /// Its identifier
        id: String,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Delete a NAT firewall; traffic goes to the gateway directly then
    Delete {
        /// Its identifier
        id: String,
    },
    /// Tell whether a NAT gateway can have a firewall, and what to do if not
    Precheck {
        /// The gateway's identifier
        gateway: String,
        /// For a firewall that protects what comes in by DNAT entries, too
        #[arg(long)]
        inbound: bool,
        /// Print JSON: one object
        #[arg(long)]
        json: bool,
    },
    /// Tell what reaches the Internet around a NAT firewall, and why
    Bypass {
        /// The firewall's identifier, or the gateway's
        id: String,
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
    },
    /// List EIPs, and whether the Internet border protects them
    Assets {
        /// Print JSON: one array
        #[arg(long)]
        json: bool,
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
    /// Have the Internet border protect EIPs
    Protect(Eips),
    /// Have the Internet border protect EIPs no more
    Unprotect(Eips),
    /// Have the Internet border protect EIPs from when they are allocated, or not
    AutoProtect {
        /// on or off
        #[arg(value_parser = ["on", "off"])]
        to: String,
    },
    /// Show the engine mode of the Internet border, or set it: for all EIPs, or for some
    #[command(after_help = "\
Examples:
  sluice firewall mode
  sluice firewall mode strict
  sluice firewall mode strict 203.0.113.64")]
    Mode {
        /// loose or strict
        #[arg(value_parser = ["loose", "strict"])]
        to: Option<String>,
        /// Addresses of EIPs; none: all of them
        addresses: Vec<String>,
    },
    /// Show what the Internet border and the DNS firewall do with what no policy matches, or set it
    Default {
        /// Of the Internet border: accept or drop
        #[arg(long, value_parser = ["accept", "drop"], value_name = "ACTION")]
        border: Option<String>,
        /// Of the DNS firewall
        #[arg(long, value_parser = ["accept", "drop"], value_name = "ACTION")]
        dns: Option<String>,
    },
    /// Show what was bought, or with parameters change it
    #[command(after_help = "\
Examples:
  sluice firewall license
  sluice firewall license --firewalls 2 --capacity 200 --over-capacity block
  sluice firewall license --expires 2027-01-31T00:00:00Z --auto-renew-days 365
  sluice firewall license --expires never")]
    License {
        /// The operation's.
        #[command(flatten)]
        params: Parameters,
    },
}

/// EIPs.
#[derive(Debug, Args)]
pub struct Eips {
    /// Their addresses
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub addresses: Vec<String>,
    /// All of them
    #[arg(long)]
    pub all: bool,
}
