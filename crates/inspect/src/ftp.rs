//! FTP (RFC 959, RFC 2428): control connections, and the data connections that they announce.

use crate::From;
use std::net::IpAddr;

/// A data connection that a control connection has announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Related {
    /// Who announced it, and so listens: the server (PASV, EPSV) or the client (PORT, EPRT).
    pub from: From,
    /// Where it listens; None: at its address in the control connection (EPSV).
    pub address: Option<IpAddr>,
    /// The TCP port that it listens at.
    pub port: u16,
}
