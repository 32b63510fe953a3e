//! The store, by what it promises. What starts programs has binaries of its own (`crash`, `files`), since a program
//! that is just being started holds the files that are open here, and their locks.

mod damage;
mod model;
mod series;
mod transactions;
mod watches;
