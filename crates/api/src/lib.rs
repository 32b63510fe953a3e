//! The cloud API: what the official SDKs send is verified, dispatched and answered.
//!
//! `wire` is the protocol: HTTP, both signatures, nonces, rates, the form of answers and errors. It hands
//! a [`Request`] whose sender is known to a [`Service`] and writes what that answers.

mod error;
mod params;
mod request;
pub mod wire;

pub use error::ApiError;
pub use params::Params;
pub use request::{Caller, Request, Service};
