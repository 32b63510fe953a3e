//! `sluice version`

use super::ask;
use crate::cli::Version;
use crate::error::Error;
use crate::output::{self, units};
use crate::socket::client::ClientError;
use crate::socket::protocol::{Request, Response, VersionView};
use serde::Serialize;
use std::io::Write;

/// The versions, as JSON.
#[derive(Serialize)]
struct Versions {
    /// Of this program.
    version: &'static str,
    /// Of the running gateway; `null` if none runs.
    gateway: Option<VersionView>,
}

pub fn run(args: &Version, out: &mut impl Write) -> Result<(), Error> {
    let gateway = match ask(
        &args.daemon.path(),
        &Request::Version,
        |response| match response {
            Response::Version(view) => Ok(view),
            other => Err(other),
        },
    ) {
        Ok(view) => Some(view),
        Err(Error::Client(ClientError::NotRunning(_) | ClientError::NotAllowed(_)))
            if args.daemon.given().is_none() =>
        {
            None
        }
        Err(error) => return Err(error),
    };
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        return output::json(out, &Versions { version, gateway }).map_err(Error::Output);
    }
    let mut text = format!("sluice {version}\n");
    if let Some(gateway) = gateway {
        text += &format!(
            "gateway {}: sluice {}, process {}, up {}\n",
            gateway.name,
            gateway.version,
            gateway.pid,
            units::seconds(gateway.uptime)
        );
    }
    out.write_all(text.as_bytes()).map_err(Error::Output)
}
