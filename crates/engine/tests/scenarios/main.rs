//! What the gateway promises, one test a promise: packets through the engine and a simulated kernel, with
//! time as the test likes it.

#[path = "../common/mod.rs"]
mod common;

mod dnat;
mod inside;
mod snat;
