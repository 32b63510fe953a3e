//! `sluice export`

use super::ask;
use crate::cli::Export;
use crate::error::Error;
use crate::socket::protocol::{Request, Response};
use std::io::Write;

pub fn run(args: &Export, out: &mut impl Write) -> Result<(), Error> {
    let text = ask(
        &args.daemon.path(),
        &Request::Export,
        |response| match response {
            Response::Exported { text } => Ok(text),
            other => Err(other),
        },
    )?;
    out.write_all(text.as_bytes()).map_err(Error::Output)
}
