//! What starts programs: see `../main.rs`.

#[path = "../support/mod.rs"]
mod support;

mod https;
mod restart;
