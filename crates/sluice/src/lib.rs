//! The program: the gateway as a service, its control socket, its commands and the demo.
pub mod changes;
pub mod control;
pub mod output;
pub mod state;
pub mod target;
