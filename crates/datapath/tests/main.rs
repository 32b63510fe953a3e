//! The data path, as root: its parts with real interfaces, and all of it with real packets.

mod common;

mod kernel;
mod links;
mod netns;
mod ports;
mod sender;
mod traffic;
