//! `sluice exec`

use super::ask;
use crate::cli::Exec;
use crate::error::Error;
use crate::socket::protocol::{Request, Response};
use std::os::unix::process::CommandExt;

/// Puts the program in this process's place, so that its exit code, its signals and its terminal are its
/// own. Comes back only with an error.
pub fn run(args: &Exec) -> Error {
    match command(args) {
        Ok(mut command) => Error::Exec {
            program: args.command[0].to_string_lossy().into_owned(),
            error: command.exec(),
        },
        Err(error) => error,
    }
}

fn command(args: &Exec) -> Result<std::process::Command, Error> {
    let instance = args.instance.clone();
    let request = Request::Namespace { instance };
    let namespace = ask(&args.daemon.path(), &request, |response| match response {
        Response::Namespace { namespace } => Ok(namespace),
        other => Err(other),
    })?;
    let mut command = datapath::netns::command(&namespace, &args.command[0])?;
    command.args(&args.command[1..]);
    Ok(command)
}
