//! The commands: those that talk to a running gateway, and those that need none.

mod access;
mod apply;
mod audit;
mod backup;
mod call;
mod exec;
mod export;
mod firewall;
mod inspect;
mod intel;
mod policy;
mod ports;
mod quotas;
mod records;
mod replay;
mod resource;
mod sessions;
mod stats;
mod trace;
mod usage;
mod version;

use crate::cli::{Cli, Command};
use crate::error::Error;
use crate::output::progress::Progress;
use crate::socket::client::Client;
use crate::socket::protocol::{Request, Response};
use clap::CommandFactory;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Runs a command and prints to `out`.
///
/// # Errors
/// Whatever keeps it from doing what was asked, as a sentence for people.
pub fn run(command: Command, out: &mut impl Write) -> Result<ExitCode, Error> {
    match command {
        Command::Serve(args) => crate::serve::serve(&args)?,
        Command::Down(args) => crate::serve::down(&args)?,
        Command::Demo(args) => return crate::demo::run(&args, out),
        Command::Apply(args) => apply::run(&args, out)?,
        Command::Export(args) => export::run(&args, out)?,
        Command::Backup(args) => backup::backup(&args, out)?,
        Command::Restore(args) => backup::restore(&args, out)?,
        Command::Completion(args) => completion(args.shell, out)?,
        Command::Sessions(args) => sessions::run(&args, out)?,
        Command::Ports(args) => ports::run(&args, out)?,
        Command::Stats(args) => stats::run(&args, out)?,
        Command::Quotas(args) => quotas::run(&args, out)?,
        Command::Usage(args) => usage::run(&args, out)?,
        Command::Trace(args) => trace::run(&args, out)?,
        Command::Records(args) => records::run(&args, out)?,
        Command::Intel(args) => intel::run(&args, out)?,
        Command::Replay(args) => replay::run(&args, out)?,
        Command::Inspect(args) => inspect::run(&args, out)?,
        Command::Version(args) => version::run(&args, out)?,
        Command::Call(args) => call::run(&args, out)?,
        Command::Vpc(args) => resource::run("vpc", &args, out)?,
        Command::Vswitch(args) => resource::run("vswitch", &args, out)?,
        Command::Eip(args) => resource::run("eip", &args, out)?,
        Command::Nat(args) => resource::run("nat", &args, out)?,
        Command::Snat(args) => resource::run("snat", &args, out)?,
        Command::Dnat(args) => resource::run("dnat", &args, out)?,
        Command::Route(args) => resource::run("route", &args, out)?,
        Command::Sg(args) => resource::run("sg", &args, out)?,
        Command::Instance(args) => resource::run("instance", &args, out)?,
        Command::Firewall(args) => firewall::run(&args, out)?,
        Command::Policy(args) => policy::run(&args, out)?,
        Command::Book(args) => resource::run("book", &args, out)?,
        Command::Key(args) => access::key(&args, out)?,
        Command::User(args) => access::user(&args, out)?,
        Command::Access(args) => access::access(&args, out)?,
        Command::Audit(args) => audit::run(&args, out)?,
        Command::Exec(args) => return Err(exec::run(&args)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what a shell needs to complete this program's words.
fn completion(shell: clap_complete::Shell, out: &mut impl Write) -> Result<(), Error> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sluice", &mut text);
    out.write_all(&text).map_err(Error::Output)
}

/// Asks the gateway at `socket` one thing and takes the answer out of the response.
fn ask<T>(
    socket: &Path,
    request: &Request,
    answer: impl FnOnce(Response) -> Result<T, Response>,
) -> Result<T, Error> {
    let mut client = Client::connect(socket)?;
    let _progress = Progress::show("Waiting for the gateway");
    let response = client.ask(request)?;
    answer(response).map_err(|other| client.unexpected(&other).into())
}
