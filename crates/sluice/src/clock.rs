//! What the passing of time asks of the control plane: licenses end or are renewed.

use crate::error::Error;
use control::Control;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often it is looked whether something is due.
const PERIOD: Duration = Duration::from_secs(10);

/// Looks again and again until it is stopped.
pub struct Clock {
    stop: Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Clock {
    /// Looks at once, and then every ten seconds.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(control: Arc<Control>) -> Result<Clock, Error> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("sluice-clock".into())
            .spawn(move || {
                loop {
                    tick(&control);
                    if stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
            })
            .map_err(Error::io("start a thread"))?;
        Ok(Clock {
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Ends, after what is being done.
    pub fn stop(&self) {
        let _ = self.stop.send(());
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

fn tick(control: &Control) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |it| it.as_secs());
    let id = || Ok(api::new_request_id()?);
    match control.expire(now, id) {
        Ok(released) if released.is_empty() => {}
        Ok(released) => tracing::warn!(
            "the license of the firewalls has ended: {} were released, and their traffic goes by its original routes",
            released.join(", ")
        ),
        Err(error) => {
            tracing::warn!(
                "the license of the firewalls has ended, but cannot be acted on: {error}"
            );
        }
    }
}
