//! The kernel programs as they are loaded: on made-up packets, and on interfaces. Needs root.

mod attach;
mod maps;
mod packets;
mod rig;
mod wire;
