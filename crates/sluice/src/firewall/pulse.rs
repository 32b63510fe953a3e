//! What the engine is told and asked each second: the time of day, and the names that sessions have told.

use super::Services;
use crate::error::Error;
use crate::gateway::Plane;
use crate::periodic::Periodic;
use std::sync::Arc;
use std::time::Duration;

const BEAT: Duration = Duration::from_secs(1);

/// The thread that does it.
pub struct Pulse(Periodic);

impl Pulse {
    /// Starts it; the first beat has been when this returns.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(crate) fn start(plane: Arc<Plane>, services: Arc<Services>) -> Result<Pulse, Error> {
        beat(&plane, &services);
        let beats = Periodic::start("sluice-pulse", move |stop| {
            while !stop.within(BEAT) {
                beat(&plane, &services);
            }
        })?;
        Ok(Pulse(beats))
    }

    /// Ends it.
    pub fn stop(&self) {
        self.0.stop();
    }
}

fn beat(plane: &Plane, services: &Services) {
    let wall = datapath::wall();
    let told = plane.engine(move |engine, now| {
        engine.set_wall(wall, now);
        engine.unresolved_names()
    });
    services.told(told.unwrap_or_default());
}
