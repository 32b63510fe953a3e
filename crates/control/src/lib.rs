//! The cloud's resources as they are kept, and the operations on them.
//!
//! * [`records`] says what is kept of each resource, [`Cloud`] holds all records; a copy of it costs nothing.
//! * An operation is a method of a [`Draft`]: it changes the draft's records or refuses, and knows neither
//!   store nor data path. Each kind of resource has its file.
//! * [`Control::change`] takes a draft through: what has changed is checked as a whole, brought into force in
//!   the data path and made durable, all of it or nothing; only then others see it.
//! * [`Cloud::config`] is what the engine is told. It depends on nothing but the records, so a running
//!   gateway and one that starts from the store are told the same.
//!
//! What it does not do: it knows no HTTP, no signatures and no packets.

pub mod access;
pub mod audit;
mod cloud;
pub mod control;
mod details;
pub mod dnat;
mod draft;
pub mod drain;
pub mod eip;
pub mod eni;
pub mod firewall;
mod import;
pub mod instance;
mod let_go;
pub mod metering;
pub mod names;
pub mod nat_gateway;
pub mod nat_ip;
pub mod package;
pub mod peering;
pub mod quota;
pub mod records;
mod refusal;
mod render;
pub mod routes;
pub mod security_group;
pub mod snat;
mod table;
pub mod tags;
pub mod vpc;
mod written;

pub use cloud::Cloud;
pub use control::{Control, DataPlane, StartError};
pub use draft::Draft;
pub use metering::Metering;
pub use refusal::{Refusal, Result};
pub use table::{Record, Table};
