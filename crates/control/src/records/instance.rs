//! What is kept of instances and their network interfaces.

use super::{Meta, Seconds, record};
use crate::table::Record;
use ipnet::Ipv4Net;
use model::{Driver, Id};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// An instance. Its address, vSwitch and security groups are those of its primary network interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Identifier, `i-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its zone.
    #[serde(default)]
    pub zone: String,
    /// Its primary network interface.
    pub eni: Id,
    /// Whether it runs; one that is stopped has no network.
    pub running: bool,
    /// Its host name; empty: its identifier.
    #[serde(default)]
    pub host_name: String,
    /// The image that it was made of, as its maker named it.
    #[serde(default)]
    pub image: String,
    /// The type, as its maker named it.
    #[serde(default)]
    pub instance_type: String,
    /// When it was started last.
    #[serde(default)]
    pub started: Seconds,
    /// Whether it must not be deleted.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Its system disk.
    #[serde(default)]
    pub disk: SystemDisk,
    /// Its user data, sealed; nothing here runs it.
    #[serde(default)]
    pub user_data: String,
}
record!(Instance, "instance");

/// What is told of an instance's system disk, as its maker said it: an instance brings its own, and nothing depends
/// on it. It is called by the identifier of its instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemDisk {
    /// For people; may be empty.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// GiB.
    pub size: u32,
    /// The kind of disk.
    pub category: String,
    /// How fast it is, of kinds that say so.
    pub performance_level: String,
}

impl Default for SystemDisk {
    fn default() -> SystemDisk {
        SystemDisk {
            name: String::new(),
            description: String::new(),
            size: 40,
            category: "cloud_essd".into(),
            performance_level: "PL1".into(),
        }
    }
}

/// An elastic network interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eni {
    /// Identifier, `eni-…`.
    pub id: Id,
    /// Name, tags and the like.
    #[serde(default)]
    pub meta: Meta,
    /// Its vSwitch.
    pub vswitch: Id,
    /// The instance that it belongs to, if it is attached to one.
    pub instance: Option<Id>,
    /// Whether it is its instance's primary one: it lives and dies with the instance.
    pub primary: bool,
    /// Its primary address.
    pub address: Ipv4Addr,
    /// Its secondary addresses.
    #[serde(default)]
    pub secondary: Vec<Ipv4Addr>,
    /// Networks behind it: a LAN with many hosts, a router's networks.
    #[serde(default)]
    pub hosts: Vec<Ipv4Net>,
    /// Its security groups: at least one.
    pub security_groups: Vec<Id>,
    /// How it is brought to Linux.
    pub driver: Driver,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Whether it goes when its instance goes.
    #[serde(default)]
    pub delete_on_release: bool,
}
record!(Eni, "eni");
