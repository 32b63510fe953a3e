//! What the engine is told and asked each second: the time of day, and the names that sessions have told.

use super::Services;
use crate::gateway::Plane;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const BEAT: Duration = Duration::from_secs(1);

/// The thread that does it.
pub struct Pulse {
    stop: Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Pulse {
    /// Starts it; the first beat has been when this returns.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(crate) fn start(plane: Arc<Plane>, services: Arc<Services>) -> std::io::Result<Pulse> {
        let (stop, stopped) = channel();
        beat(&plane, &services);
        let thread = std::thread::Builder::new()
            .name("sluice-pulse".into())
            .spawn(move || {
                while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                    beat(&plane, &services);
                }
            })?;
        Ok(Pulse {
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Ends it.
    pub fn stop(&self) {
        let _ = self.stop.send(());
        if let Some(thread) = super::lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

fn beat(plane: &Plane, services: &Services) {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall = wall.map_or(0, |it| it.as_secs());
    let told = plane.engine(move |engine, now| {
        engine.set_wall(wall, now);
        engine.unresolved_names()
    });
    services.told(told.unwrap_or_default());
}
