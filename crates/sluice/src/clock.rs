//! What the passing of time asks of the control plane: licenses end or are renewed.

use crate::error::Error;
use crate::periodic::Periodic;
use control::Control;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether something is due.
const PERIOD: Duration = Duration::from_secs(10);

/// Looks again and again until it is stopped.
pub struct Clock(Periodic);

impl Clock {
    /// Looks at once, and then every ten seconds.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(control: Arc<Control>) -> Result<Clock, Error> {
        let looks = Periodic::start("sluice-clock", move |stop| {
            loop {
                tick(&control);
                if stop.within(PERIOD) {
                    break;
                }
            }
        })?;
        Ok(Clock(looks))
    }

    /// Ends, after what is being done.
    pub fn stop(&self) {
        self.0.stop();
    }
}

fn tick(control: &Control) {
    let now = datapath::wall();
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
