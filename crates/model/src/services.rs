//! What the daemon does beside moving packets.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Records of sessions, own resolution of names, locations of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Services {
    /// Records of sessions.
    pub records: Records,
    /// Own resolution of the names that policies look at by DNS.
    pub resolver: Resolver,
    /// The file (MaxMind's format, `.mmdb`) that says where addresses are.
    pub locations: Option<PathBuf>,
}

/// Whether records are written, where to, and how much is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Records {
    /// Whether they are written; `None`: while there is a firewall.
    pub enabled: Option<bool>,
    /// The directory; `None`: `records` in the daemon's state directory.
    pub directory: Option<PathBuf>,
    /// MiB of a file before it is put aside.
    pub max_size: u32,
    /// Files that are kept besides the one that is written.
    pub keep: u32,
}

impl Records {
    /// Bounds of [`Records::max_size`].
    pub const MAX_SIZE: RangeInclusive<u32> = 1..=65_536;
    /// Bounds of [`Records::keep`].
    pub const KEEP: RangeInclusive<u32> = 0..=10_000;
}

impl Default for Records {
    fn default() -> Self {
        Records {
            enabled: None,
            directory: None,
            max_size: 64,
            keep: 8,
        }
    }
}

/// Who is asked for names, and for how long answers are believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolver {
    /// The servers, in the order in which they are asked; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Seconds that an answer is believed at least.
    pub min_ttl: u32,
    /// Seconds that an answer is believed at most.
    pub max_ttl: u32,
}

impl Resolver {
    /// Bounds of both times: a day at most.
    pub const TTL: RangeInclusive<u32> = 1..=86_400;
    /// Servers at most.
    pub const SERVERS: usize = 8;
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver {
            servers: Vec::new(),
            min_ttl: 30,
            max_ttl: 3_600,
        }
    }
}
