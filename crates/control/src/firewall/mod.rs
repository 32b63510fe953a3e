//! Firewalls: what they are made of, their life, their policies and address books.
//!
//! A NAT firewall has no routes of its own: what it diverts are the default routes to its gateway in the route tables
//! that it names. Their entries stay as they were made; [`Cloud::diverts`](crate::Cloud::diverts) says which of them
//! lead to the firewall now. So switching changes one word of one record, nothing is to be put back when a firewall
//! goes, and a configuration file that sets the routes anew takes nothing from it. In the same way the SNAT entries of
//! the firewall are derived from its gateway's EIPs.

pub mod backups;
pub mod books;
mod border;
pub mod bypass;
pub mod checks;
mod diversion;
mod guard;
mod import;
mod import_policies;
mod license;
pub mod nat;
pub mod policies;
pub mod policy;
pub mod precheck;
pub mod records;
mod render;
pub mod settings;
mod shown;
