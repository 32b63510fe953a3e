//! The end-to-end tests, as root. Each has a lab of its own; they run side by side.

mod harness;
