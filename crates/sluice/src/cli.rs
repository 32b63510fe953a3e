//! The command line.

pub mod access;
pub mod firewall;
pub mod policy;
pub mod records;
mod resource;

pub use resource::{Resource, Verb};

use crate::error::Error;
use crate::remote::{self, Profile};
use crate::socket::{self, protocol::Sort};
use crate::target::{Source, Target, TargetError, parse_protocol};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// NAT gateway and NAT firewall of a public cloud, as one program.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  sluice demo                                   see it work, in network namespaces
  sluice serve --config /etc/sluice/gateway.toml
  sluice apply new.toml                         change the running gateway
  sluice sessions --instance web-1
  sluice trace --from web-1 --to 198.51.100.7:443/tcp

`sluice COMMAND --help` tells more about a command."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "each is described, for the help too, at the type of the same name"
)]
pub enum Command {
    Serve(Serve),
    Apply(Apply),
    Down(Down),
    Export(Export),
    Backup(Backup),
    Restore(Restore),
    Sessions(Sessions),
    Ports(Ports),
    Stats(Stats),
    Usage(Usage),
    Quotas(Quotas),
    Trace(Trace),
    Records(records::Records),
    Intel(records::Intel),
    Replay(records::Replay),
    Inspect(Inspect),
    Exec(Exec),
    Call(Call),
    /// Virtual private clouds: list, show, create, modify, delete
    Vpc(Resource),
    /// vSwitches: list, show, create, modify, delete
    Vswitch(Resource),
    /// Elastic IPs: list, show, create (allocate), modify, delete (release)
    Eip(Resource),
    /// NAT gateways: list, show, create, modify, delete
    Nat(Resource),
    /// SNAT entries: list, show, create, modify, delete
    Snat(Resource),
    /// DNAT entries: list, show, create, modify, delete
    Dnat(Resource),
    /// Route entries: list, show, create, modify, delete
    Route(Resource),
    /// Security groups: list, show, create, modify, delete
    Sg(Resource),
    /// Instances: list, show, create (run), modify, delete
    Instance(Resource),
    Firewall(firewall::Firewall),
    Policy(policy::Policy),
    /// Address books: list, show, create, modify, delete
    #[command(after_help = "\
Examples:
  sluice book create --group-type ip --group-name office --description 'The office' --address-list '192.0.2.0/24 office'
  sluice book create --group-type domain --group-name social --description Social --address-list '*.social.example'
  sluice book list
  sluice book modify 0b81… --modify-mode Append --address-list 198.51.100.7
  sluice book delete 0b81…

Parameters are those of the cloud's operation: `sluice call cloudfw AddAddressBook --help` lists them.")]
    Book(Resource),
    Key(access::Key),
    User(access::User),
    Access(access::Access),
    Audit(access::Audit),
    Demo(Demo),
    Completion(Completion),
    Version(Version),
}

/// Which gateway is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct Daemon {
    /// The gateway's name [default: the only one that runs, else `sluice`]
    #[arg(
        short,
        long,
        global = true,
        env = "SLUICE_NAME",
        conflicts_with = "socket"
    )]
    pub name: Option<String>,
    /// The gateway's control socket
    #[arg(long, global = true, env = "SLUICE_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

impl Daemon {
    /// The control socket that was asked for; `None` if none was.
    pub fn given(&self) -> Option<PathBuf> {
        match (&self.socket, &self.name) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(name)) => Some(socket::socket_path(name)),
            (None, None) => None,
        }
    }

    /// The control socket.
    pub fn path(&self) -> PathBuf {
        self.given().unwrap_or_else(|| {
            let entries = fs::read_dir(socket::RUN_DIR).into_iter().flatten();
            let mut sockets = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|it| it == "sock"));
            match (sockets.next(), sockets.next()) {
                (Some(only), None) => only,
                _ => socket::socket_path("sluice"),
            }
        })
    }
}

/// Which gateway is called: one of this machine over its control socket, or one elsewhere over HTTP.
#[derive(Clone, Debug, Default, Args)]
pub struct Callee {
    /// One of this machine.
    #[command(flatten)]
    pub daemon: Daemon,
    /// One elsewhere: a profile of ~/.config/sluice/profiles.toml
    #[arg(
        long,
        global = true,
        env = "SLUICE_PROFILE",
        conflicts_with_all = ["name", "socket"]
    )]
    pub profile: Option<String>,
}

impl Callee {
    /// The gateway that is called.
    ///
    /// # Errors
    /// If the profile that is asked for is not there or wrong.
    pub fn find(&self) -> Result<Gateway, Error> {
        if let Some(socket) = self.daemon.given() {
            return Ok(Gateway::Socket(socket));
        }
        let profile = remote::profile(self.profile.as_deref())?;
        Ok(match profile {
            Some(profile) => Gateway::Remote(profile),
            None => Gateway::Socket(self.daemon.path()),
        })
    }
}

/// A gateway that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// Over its control socket.
    Socket(PathBuf),
    /// Over HTTP.
    Remote(Profile),
}

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

/// Print what a shell needs to complete this program's commands and options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice completion bash > /etc/bash_completion.d/sluice
  sluice completion zsh > ~/.zfunc/_sluice")]
pub struct Completion {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// List live sessions: who talks to whom, how it is translated, and how much.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice sessions --instance web-1 --protocol tcp
  sluice sessions --address 198.51.100.7
  sluice sessions --sort bytes --limit 10 --watch
  sluice sessions --json --limit 0 | jq length")]
pub struct Sessions {
    /// Only those of this network interface (an instance stands for its primary one)
    #[arg(long, visible_alias = "instance", value_name = "ID")]
    pub eni: Option<String>,
    /// Only those through this NAT gateway
    #[arg(long, value_name = "ID")]
    pub gateway: Option<String>,
    /// Only those of this protocol: tcp, udp, icmp, gre or a number
    #[arg(long, value_parser = protocol)]
    pub protocol: Option<u8>,
    /// Only those with this address at either end, before or after translation
    #[arg(long, value_name = "IP")]
    pub address: Option<Ipv4Addr>,
    /// At most so many; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// The greatest first
    #[arg(long, value_name = "BY")]
    pub sort: Option<Sort>,
    /// Print JSON: one array
    #[arg(long)]
    pub json: bool,
    /// Print again every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub watch: Option<u64>,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

fn protocol(text: &str) -> Result<u8, TargetError> {
    parse_protocol(text)
}

/// List the gateway's interfaces: uplinks and the network interfaces of instances.
#[derive(Debug, Args)]
pub struct Ports {
    /// Print JSON: one array
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Show counters: packets by the way they took, drops by reason, sessions, use of EIPs.
#[derive(Debug, Args)]
pub struct Stats {
    /// Print JSON: one object
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Show what was used: bytes, packets, sessions and highest rates of NAT gateways and EIPs.
///
/// Of one gateway or EIP by the hour, else in all. Hours are kept for 400 days. Rates are those of the highest
/// minute. A capacity unit is the largest of 1,000 new sessions a second, 10,000 sessions at once and 1 GB in an
/// hour.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice usage                                  of the last 24 hours
  sluice usage --gateway ngw-1                  the same by the hour
  sluice usage --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --json")]
pub struct Usage {
    /// Of this NAT gateway, by the hour
    #[arg(long, value_name = "ID", conflicts_with_all = ["eip", "nat_ip"])]
    pub gateway: Option<String>,
    /// Of this EIP, by the hour
    #[arg(long, value_name = "ID", conflicts_with = "nat_ip")]
    pub eip: Option<String>,
    /// Of this NAT IP of a VPC NAT gateway, by the hour
    #[arg(long, value_name = "ID")]
    pub nat_ip: Option<String>,
    /// From the hour of this time on, as 2026-11-21T00:00:00Z [default: 24 hours before the end]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// To this time [default: now]
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Print JSON: of one an array of hours, else an object with three arrays
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
}

/// Show how many there may be of what, and how many there are.
///
/// Of what is counted for each of several (the entries of a gateway), the most that one has is shown, and which one
/// that is. The table `[quotas]` of the configuration file sets them.
#[derive(Debug, Args)]
pub struct Quotas {
    /// Print JSON: one array
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
}

/// Tell what would happen to a packet, step by step, or why it would be dropped.
///
/// The packet is made up and walks the same engine as real ones; nothing is sent and nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice trace --from web-1 --to 198.51.100.7:443/tcp       from an instance to the Internet
  sluice trace --from 203.0.113.9:5555 --to eip-1:80/tcp    from the Internet to an EIP
  sluice trace --from web-1 --to 198.51.100.7/icmp          a ping
  sluice trace --from web-1 --to 198.51.100.7:443/tcp --app HTTPS --domain www.example.com")]
pub struct Trace {
    /// Where it comes from: an instance or a network interface, or an address of the Internet
    #[arg(long, value_name = "INSTANCE|IP[:PORT]")]
    pub from: Source,
    /// Where it goes: an address, or the name of an EIP or an instance
    #[arg(long, value_name = "IP|EIP|INSTANCE[:PORT][/PROTOCOL]")]
    pub to: Target,
    /// What it would turn out to speak, e.g. HTTPS: for firewalls
    #[arg(long, value_name = "APP")]
    pub app: Option<model::App>,
    /// The domain that it would turn out to be for
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// Print JSON: one object
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Tell what the sessions in a capture are: application and domain, as the NAT firewall would see them.
///
/// Reads pcap and pcapng; needs no gateway. Prints a table for people, or JSON, one line for each session, if asked to or
/// if the output is no terminal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice inspect dump.pcap                              a table
  sluice inspect --json dump.pcap                       a line of JSON for each session
  tcpdump -i eth0 -c 1000 -w - | sluice inspect -       what passes right now")]
pub struct Inspect {
    /// The capture; `-`: standard input
    #[arg(value_name = "CAPTURE")]
    pub capture: PathBuf,
    /// Print JSON: one line for each session
    #[arg(long, conflicts_with = "table")]
    pub json: bool,
    /// Print a table, also if the output is no terminal
    #[arg(long)]
    pub table: bool,
    /// Give a session up after so many packets with payload
    #[arg(long, value_name = "N", default_value_t = inspect::Limits::default().packets)]
    pub packets: u32,
    /// Give a session up after so many bytes
    #[arg(long, value_name = "N", default_value_t = inspect::Limits::default().bytes,
          value_parser = clap::value_parser!(u32).range(..=1 << 20))]
    pub bytes: u32,
    /// Give a session up so many seconds after its first payload
    #[arg(long, value_name = "SECONDS", default_value_t = inspect::Limits::default().time.as_secs())]
    pub seconds: u64,
}

/// Run a program in an instance's network namespace. Its exit code is passed on.
///
/// As with `ip netns exec`, the files of /etc/netns/NAMESPACE take the place of those in /etc.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice exec web-1 -- curl http://198.51.100.7/
  sluice exec web-1 -- bash")]
pub struct Exec {
    /// The instance
    pub instance: String,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub command: Vec<OsString>,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Call any operation of the cloud API.
///
/// Parameters are named as in the API, or in small letters with dashes. On the gateway's own machine the call goes over
/// the control socket and needs no access key; with a profile it goes over HTTP, signed with the profile's key.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
Examples:
  sluice call vpc                                       which operations there are
  sluice call vpc CreateForwardEntry --help             which parameters an operation has
  sluice call vpc CreateVpc --CidrBlock 192.168.0.0/16 --Tag.1.Key env --Tag.1.Value test
  sluice call ecs DescribeInstances --instance-name web
  sluice call --profile edge vpc DescribeVpcs           a gateway elsewhere"
)]
pub struct Call {
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Callee,
    /// Print help: of this command, or of the operation that is named
    #[arg(short, long)]
    pub help: bool,
    /// The product: vpc, ecs, vpcpeer, ram, actiontrail or cloudfw
    #[arg(required_unless_present = "help")]
    pub product: Option<String>,
    /// The operation
    pub action: Option<String>,
    /// Its parameters: --Name value
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PARAMETERS"
    )]
    pub params: Vec<String>,
}

/// Build a gateway with everything around it, prove that it works, remove it.
///
/// A VPC with two instances that run web servers, a NAT gateway with two EIPs, SNAT and DNAT entries, a
/// security group, and an Internet behind a router: all in network namespaces, nothing touches the
/// machine's own network. Each step is printed with the commands that do the same, and proven with real
/// clients. Needs root.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluice demo                  about half a minute; exit code 1 if a proof fails
  sluice demo --keep           leave it standing to play with
  sluice demo --remove         remove what --keep has left")]
pub struct Demo {
    /// Leave it standing, and say how to play with it
    #[arg(long)]
    pub keep: bool,
    /// Only remove what an earlier demo has left
    #[arg(long, conflicts_with_all = ["keep", "tc", "xdp"])]
    pub remove: bool,
    /// Hook the programs in at TC
    #[arg(long, conflicts_with = "xdp")]
    pub tc: bool,
    /// Hook the programs in at XDP
    #[arg(long)]
    pub xdp: bool,
}

/// Print the version of this program and of the running gateway.
#[derive(Debug, Args)]
pub struct Version {
    /// Print JSON: one object
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub daemon: Daemon,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Host;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, String> {
        let words = std::iter::once("sluice").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(cli.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_in_the_help_is_understood() {
        let root = Cli::command();
        let helps = std::iter::once(&root).chain(root.get_subcommands());
        let text: String = helps
            .filter_map(|command| Some(command.get_after_help()?.to_string() + "\n"))
            .collect();
        let mut examples = 0;
        for line in text.lines() {
            let line = line.trim_start_matches(|c: char| c.is_whitespace());
            let line = line.strip_prefix("RUST_LOG=debug ").unwrap_or(line);
            let Some(rest) = line.strip_prefix("sluice ") else {
                continue;
            };
            // What follows several spaces is a comment, what follows a bar another program.
            let example = rest
                .split("  ")
                .next()
                .unwrap()
                .split(['|', '>'])
                .next()
                .unwrap()
                .trim_end();
            // Quotes are the shell's.
            let example = &example.replace('\'', "");
            assert!(parse(example).is_ok(), "{example}: {:?}", parse(example));
            examples += 1;
        }
        assert!(examples > 20, "{examples}");
    }

    #[test]
    fn trace_takes_its_ends_apart() {
        match parse("trace --from 203.0.113.9:5555 --to eip-1:80/tcp") {
            Ok(Command::Trace(trace)) => {
                let address = Ipv4Addr::new(203, 0, 113, 9);
                assert_eq!(trace.from.host, Host::Address(address));
                assert_eq!(trace.from.port, Some(5555));
                assert_eq!(trace.to.host, Host::Name("eip-1".into()));
                assert_eq!((trace.to.port, trace.to.protocol), (Some(80), 6));
            }
            other => panic!("{other:?}"),
        }
        let error = parse("trace --from web-1 --to 198.51.100.7/tcp").unwrap_err();
        assert!(error.contains("tcp needs a port"), "{error}");
    }

    #[test]
    fn exec_leaves_the_programs_arguments_alone() {
        for line in [
            "exec web-1 -- curl -s --json x",
            "exec web-1 curl -s --json x",
            "exec --name gw web-1 -- curl -s --json x",
        ] {
            match parse(line) {
                Ok(Command::Exec(exec)) => {
                    assert_eq!(exec.instance, "web-1");
                    assert_eq!(exec.command, ["curl", "-s", "--json", "x"]);
                }
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(parse("exec web-1").is_err());
    }

    #[test]
    fn sessions_watch_and_limit_have_defaults() {
        match parse("sessions --watch --instance web-1") {
            Ok(Command::Sessions(sessions)) => {
                assert_eq!((sessions.watch, sessions.limit), (Some(2), 100));
                assert_eq!(sessions.eni.as_deref(), Some("web-1"));
            }
            other => panic!("{other:?}"),
        }
        assert!(parse("sessions --watch 0").is_err());
        assert!(parse("sessions --protocol sctp").is_err());
        assert!(parse("sessions --sort name").is_err());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "demo --tc --xdp",
            "demo --keep --remove",
            "stats --name a --socket b",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
