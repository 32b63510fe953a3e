//! The command line of the gateway's life: serve, apply, down, and its state in files.

use super::Daemon;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run the gateway until SIGTERM or SIGINT.
///
/// Established sessions do not notice when the gateway stops: kernel programs, interfaces and namespaces
/// stay, and the next `serve` takes them over. `sluice down` or `--remove-on-exit` removes them.
///
/// A configuration that was changed with `sluice apply` is kept in the state directory and goes on after
/// a restart, unless the file has been edited in the meantime: then the file wins.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice serve --config /etc/sluice/gateway.toml
  RUST_LOG=debug sluice serve --config gateway.toml --state ./state --remove-on-exit
  sluice serve --config gateway.toml --netns edge     in the namespace of `ip netns add edge`")]
pub struct Serve {
    /// The configuration: a TOML file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where the running configuration is kept, in a directory of the gateway's name
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sluice")]
    pub state: PathBuf,
    /// Run in this network namespace: a name under /run/netns
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,
    /// The control socket [default: /run/sluice/NAME.sock]
    #[arg(long, env = "SLUICE_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// On SIGTERM and SIGINT end all sessions and remove everything, as `sluice down` does
    #[arg(long)]
    pub remove_on_exit: bool,
    /// Where the cloud API is served.
    #[command(flatten)]
    pub api: Api,
}

/// Where the cloud API is served: nowhere, if nothing is said.
#[derive(Debug, Args)]
pub struct Api {
    /// Serve the cloud API by HTTP: a port of 127.0.0.1, or ADDRESS:PORT
    #[arg(long = "api", value_name = "PORT", value_parser = listen)]
    pub http: Vec<SocketAddr>,
    /// Serve the cloud API by HTTPS: a port of 127.0.0.1, or ADDRESS:PORT
    #[arg(long = "api-https", value_name = "PORT", value_parser = listen)]
    pub https: Vec<SocketAddr>,
    /// The certificate for HTTPS with its chain, in PEM [default: one that is made at the first start]
    #[arg(
        long = "api-certificate",
        value_name = "FILE",
        requires = "private_key"
    )]
    pub certificate: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(
        long = "api-private-key",
        value_name = "FILE",
        requires = "certificate"
    )]
    pub private_key: Option<PathBuf>,
}

/// `8080` or `192.0.2.1:8080`.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let port = text
        .parse::<u16>()
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    port.or_else(|_| text.parse())
        .map_err(|_| "write a port, or an address with a port like 192.0.2.1:8080".into())
}

/// Change the running gateway to a file's state, all of it or nothing.
///
/// Sessions that the new configuration still allows lose no packet. When the command returns, the change
/// is on disk and survives a crash. The gateway is the one that the file names (`system.name`), if no
/// other is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice apply gateway.toml
  sluice apply --check gateway.toml        what is wrong with it, or what it would change")]
pub struct Apply {
    /// The configuration: a TOML file; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only say what is wrong or what would change; needs no running gateway
    #[arg(long)]
    pub check: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Remove what a stopped gateway has left: interfaces, namespaces, kernel programs and sessions.
///
/// The running configuration in the state directory stays.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluice down --config /etc/sluice/gateway.toml")]
pub struct Down {
    /// The configuration that the gateway was started with
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where the running configuration is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sluice")]
    pub state: PathBuf,
    /// The network namespace that the gateway ran in
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,
}

/// Print the running configuration as the TOML file that `apply` and `serve` read.
///
/// What the API has made is in it, too. What a file has no words for is named in comments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice export > gateway.toml
  sluice apply --check gateway.toml        would change nothing")]
pub struct Export {
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Copy the database of a running gateway, as it is at one moment.
///
/// The copy is checked before it takes its place. The key that the secrets of access keys are sealed with
/// (STATE/NAME/api/secrets.key) is not in it: keep a copy of that apart.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluice backup /var/backups/gateway.db")]
pub struct Backup {
    /// Where to: what is there is replaced
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Put a backup in the place of the database of a gateway that is stopped.
///
/// What the database held is lost. The backup is checked first; if something fails, all is as before.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sluice restore /var/backups/gateway.db --config /etc/sluice/gateway.toml")]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The configuration that the gateway is started with: it says its name
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where the running configuration is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sluice")]
    pub state: PathBuf,
}
