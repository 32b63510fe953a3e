//! The cloud API: what the official SDKs send is verified, dispatched and answered.
//!
//! `wire` is the protocol: HTTP, both signatures, nonces, rates, the form of answers and errors. It hands
//! a [`Request`] whose sender is known to a [`Service`] and writes what that answers. [`Cloud`] is that service:
//! it checks a call by the tables in [`spec`] and gives it to the operation, which asks or changes the records of
//! the control plane.

mod access;
mod audit;
mod call;
mod error;
pub mod firewall;
mod keys;
mod ops;
mod params;
mod request;
mod service;
pub mod spec;
pub mod trace;
pub mod wire;

pub use error::ApiError;
pub use keys::{KeyFileError, Sealer};
pub use params::Params;
pub use request::{Caller, Principal, Request, Service, new_request_id};
pub use service::Cloud;

/// Whether there is such an operation here: the tables have more than are supported.
pub fn answers(version: &str, action: &str) -> bool {
    ops::find(version, action).is_some()
}
