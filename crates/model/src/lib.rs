//! The cloud's resources: what there is, what it is called, what is allowed. No I/O.
//!
//! * [`Config`] holds all resources of a gateway; it is what the engine compiles into its snapshot.
//! * [`validate::check`] checks a `Config` as a whole; each [`Problem`] names the resource and the field.
//! * [`file::parse`] reads one from TOML and says for every error in which line it is.
//! * [`text`] reads and writes the words, ports and protocols that people use.
//!
//! What it promises: neither function panics, whatever it is given, and what `file::parse` returns has
//! passed `validate::check`. What it does not do: it knows nothing of the machine, so whether an
//! interface exists is for the data path to say.
mod app;
mod details;
pub mod domain;
pub mod file;
mod firewall;
pub mod limits;
pub mod mac;
pub mod names;
mod problem;
mod quota;
mod resources;
mod services;
pub mod text;
pub mod validate;
mod zone;

pub use app::App;
pub use details::{Detail, Details, NatIpCidr};
pub use firewall::*;
pub use problem::{Fault, Item, Kind, Place, Problem, Subject};
pub use quota::Quota;
pub use resources::*;
pub use services::*;
pub use zone::{Offset, Zone};
