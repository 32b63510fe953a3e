//! Configurations: read, checked and written.

mod bad_files;
mod check;
mod hostile;
mod write;
