//! The gateway as lists: rules, routes, mappings and sessions are searched from end to end. What may be
//! chosen (a port, an EIP of a pool) is not predicted, but the choice is checked.

mod changes;
mod decision;
mod mappings;
mod packets;
mod ports;
mod resources;
mod routes;
mod security_groups;
mod session;
mod tuple;

pub use decision::Plan;
pub use packets::Expected;
pub use session::Session;
pub use tuple::Tuple;

use decision::Source;
use mappings::Mapping;
use model::*;
use resources::{Outside, find};
use routes::{Local, Target, longest};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use tuple::Inner;

pub struct Reference {
    pub config: Config,
    pub sessions: Vec<Session>,
    mappings: Vec<Mapping>,
    next: usize,
    /// The EIP that was first picked, by entry and what the pick depends on.
    picks: HashMap<(Id, Ipv4Addr, u8, u16), Id>,
}

impl Reference {
    pub fn new(config: Config) -> Reference {
        Reference {
            config,
            sessions: Vec::new(),
            mappings: Vec::new(),
            next: 0,
            picks: HashMap::new(),
        }
    }
}
