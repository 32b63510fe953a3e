//! The first packet of every session, and all packets that the kernel does not take.
mod io;
mod view;
pub use io::*;
pub use view::*;
