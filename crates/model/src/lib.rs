//! The cloud's resources: what there is, what it is called, what is allowed. No I/O.
//!
//! * [`Config`] holds all resources of a gateway; it is what the engine compiles into its snapshot.
//! * [`validate`] checks a `Config` as a whole.
//! * [`file`] reads one from TOML and says for every error in which line it is.
mod resources;

pub use resources::*;
