//! What is known beside the configuration.

use crate::{CloudServices, Locations, Resolved, Threats};
use std::fmt;
use std::sync::Arc;

/// What is known of the world: swapped whole when something of it changes.
#[derive(Clone, Default)]
pub struct World {
    /// What is known to be bad.
    pub threats: Arc<Threats>,
    /// The addresses of cloud services.
    pub services: Arc<CloudServices>,
    /// What names stand for, as our own resolver found it.
    pub resolved: Arc<Resolved>,
    /// Where addresses are, if there is a table.
    pub locations: Option<Arc<dyn Locations + Send + Sync>>,
}

impl World {
    /// Where addresses are; nowhere if there is no table.
    pub fn locations(&self) -> &dyn Locations {
        match &self.locations {
            Some(locations) => &**locations,
            None => &(),
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("threats", &self.threats)
            .field("services", &self.services)
            .field("resolved", &self.resolved)
            .field("locations", &self.locations.is_some())
            .finish()
    }
}
