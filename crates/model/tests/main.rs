//! Configurations: read, checked and written.

mod bad_files;
mod check;
mod check_after;
mod hostile;
mod write;
