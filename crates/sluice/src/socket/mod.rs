//! The control socket: how the commands talk to a running gateway.
//!
//! A Unix stream socket, `/run/sluice/NAME.sock`, that only its owner may open. A client writes
//! [`protocol::Request`]s, one JSON object a line, and gets for each one or more
//! [`protocol::Response`]s, one JSON object a line. Any program can do that:
//!
//! ```text
//! $ echo '{"request":"stats"}' | socat - UNIX-CONNECT:/run/sluice/sluice.sock
//! ```

pub mod client;
pub mod line;
pub mod protocol;
pub mod server;
mod sessions;

use std::path::{Path, PathBuf};

/// Where the sockets of all gateways of a machine are.
pub const RUN_DIR: &str = "/run/sluice";

/// The socket of the gateway `name`.
pub fn socket_path(name: &str) -> PathBuf {
    Path::new(RUN_DIR).join(format!("{name}.sock"))
}
