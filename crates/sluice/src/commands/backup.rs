//! `sluice backup` and `sluice restore`

use super::ask;
use crate::cli::{Backup, Restore};
use crate::error::Error;
use crate::output::progress::Progress;
use crate::output::units;
use crate::socket::protocol::{Request, Response};
use crate::state::{StateDir, read_config};
use std::io::Write;

pub fn backup(args: &Backup, out: &mut impl Write) -> Result<(), Error> {
    // The daemon's working directory is another.
    let path = std::path::absolute(&args.file).map_err(Error::io("find the working directory"))?;
    let request = Request::Backup { path: path.clone() };
    let bytes = ask(&args.daemon.path(), &request, |response| match response {
        Response::BackedUp { bytes } => Ok(bytes),
        other => Err(other),
    })?;
    let size = units::bytes(bytes);
    writeln!(out, "{}: {size}, checked.", path.display()).map_err(Error::Output)
}

pub fn restore(args: &Restore, out: &mut impl Write) -> Result<(), Error> {
    let text = read_config(&args.config)?;
    let config = model::file::parse(&text).map_err(|error| Error::Config {
        path: args.config.clone(),
        error,
    })?;
    // Locked: no gateway uses it, nor starts meanwhile.
    let state = StateDir::open(&args.state, &config.system.name)?;
    let database = state.database();
    let progress = Progress::show("Checking and copying");
    store::restore(&args.file, &database).map_err(|error| Error::Other(error.to_string()))?;
    drop(progress);
    writeln!(
        out,
        "{} holds what {} held. `sluice serve` goes on from there.",
        database.display(),
        args.file.display()
    )
    .map_err(Error::Output)
}
