//! The command line.

pub mod access;
pub mod firewall;
pub mod policy;
mod query;
pub mod records;
mod resource;
mod service;

pub use query::{Ports, Quotas, Sessions, Stats, Trace, Usage};
pub use resource::{Resource, Verb};
pub use service::{Api, Apply, Backup, Down, Export, Restore, Serve};

use crate::error::Error;
use crate::remote::{self, Profile};
use crate::socket;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::fs;
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

/// What an operation of the cloud API is given. It comes last.
#[derive(Debug, Default, Args)]
pub struct Parameters {
    /// Parameters of the operation: --name value
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PARAMETERS"
    )]
    pub words: Vec<String>,
}

/// A gateway that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// Over its control socket.
    Socket(PathBuf),
    /// Over HTTP.
    Remote(Profile),
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
    /// The operation's.
    #[command(flatten)]
    pub params: Parameters,
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
    use std::net::Ipv4Addr;

    fn parse(line: &str) -> Result<Command, String> {
        let words = std::iter::once("sluice").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(cli.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// What has the name of an option that holds for all verbs of a command would be taken for that.
    #[test]
    fn no_argument_is_taken_for_an_option_of_the_command_above() {
        fn look(command: &clap::Command, mut above: Vec<clap::Id>) {
            for argument in command.get_arguments() {
                let (id, name) = (argument.get_id(), command.get_name());
                assert!(!above.contains(id), "{id} of {name}");
            }
            let global = command.get_arguments().filter(|it| it.is_global_set());
            above.extend(global.map(|it| it.get_id().clone()));
            command
                .get_subcommands()
                .for_each(|it| look(it, above.clone()));
        }
        look(&Cli::command(), Vec::new());
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
