//! The arguments of the commands that tell what firewalls have done, and what they go by.

use super::policy::IntelVerb;
use super::{Callee, Daemon};
use clap::Args;
use std::path::PathBuf;

/// Show records of sessions: who talked to whom, what it was, and which policy decided.
///
/// Records are those of sessions that a firewall saw, one when it ends and one a minute while it goes on. They are
/// read from the files of the running gateway, or from a directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice records --limit 20
  sluice records --follow --verdict drop
  sluice records --domain www.example.com --app HTTPS
  sluice records --instance web-1 --json | jq .domain
  sluice records --directory /var/log/sluice       without a running gateway")]
pub struct Records {
    /// The last so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Go on with those to come, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only those of this application, e.g. HTTPS
    #[arg(long, value_name = "APP")]
    pub app: Option<model::App>,
    /// Only those for this domain, e.g. www.example.com or *.example.com
    #[arg(long, value_name = "PATTERN")]
    pub domain: Option<model::domain::Pattern>,
    /// Only those with this end: allow, alert or drop
    #[arg(long, value_name = "VERDICT")]
    pub verdict: Option<Verdict>,
    /// Only those of this instance or network interface
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Only those through this NAT gateway
    #[arg(long, value_name = "ID")]
    pub gateway: Option<String>,
    /// Only those that this policy decided, or met first
    #[arg(long, value_name = "ID")]
    pub policy: Option<String>,
    /// Only those with this address at either end, before or after translation
    #[arg(long, value_name = "IP")]
    pub address: Option<std::net::Ipv4Addr>,
    /// Print JSON: one object a line, as it is in the file
    #[arg(long)]
    pub json: bool,
    /// Read the files of this directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["name", "socket"])]
    pub directory: Option<PathBuf>,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verdict {
    /// It passed.
    Allow,
    /// It passed, and somebody wanted to know.
    Alert,
    /// It was refused.
    Drop,
}

impl Verdict {
    /// Its word in a record.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Alert => "alert",
            Verdict::Drop => "drop",
        }
    }
}

/// Show what firewalls go by beside policies: threat lists, resolved names, locations.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice intel
  sluice intel --refresh            fetch all threat lists now
  sluice intel --refresh feed-1
  sluice intel --resolve www.example.com
  sluice intel list                 categories of threats, and what is done about each
  sluice intel set IpOutThreatTorExit drop")]
pub struct Intel {
    /// Fetch a threat list now, or all
    #[arg(long, value_name = "FEED", num_args = 0..=1, default_missing_value = "")]
    pub refresh: Option<String>,
    /// Ask the name servers for a name now
    #[arg(long, value_name = "NAME", conflicts_with = "refresh")]
    pub resolve: Option<String>,
    /// Print JSON: one object
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
    /// What to do about categories of threats.
    #[command(subcommand)]
    pub verb: Option<IntelVerb>,
}

/// Show what policies would have done with the sessions in a capture: a dry run.
///
/// Reads pcap and pcapng, and needs no gateway. The policies are those of a configuration file, or of a file with nothing
/// but [[policy]] and [[address_book]] (`firewall = "border-out"` needs nothing else). Times are those of the capture; what
/// names stand for is what clients were answered in it, over UDP; threats and locations are those of the files that the
/// policies' file names. The DNS firewall sees questions only, of a session the first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice replay dump.pcap --policy policies.toml
  sluice replay dump.pcap --policy gateway.toml --firewall ngw-1 --mode strict
  sluice replay dump.pcap --policy policies.toml --json | jq -r .verdict")]
pub struct Replay {
    /// The capture; `-`: standard input
    #[arg(value_name = "CAPTURE")]
    pub capture: PathBuf,
    /// The file with the policies
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// Whose policies: a NAT gateway, border-out, border-in or dns; of a file with those of one, these
    #[arg(long, value_name = "FIREWALL")]
    pub firewall: Option<String>,
    /// The engine mode, loose or strict [default: that of the file's firewall, else loose]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<model::EngineMode>,
    /// Print JSON: one line for each session
    #[arg(long)]
    pub json: bool,
}
