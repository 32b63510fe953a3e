//! Waiting for what takes a moment.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Waits until `attempt` gives something. Panics after `seconds`, naming what was waited for.
pub fn wait_some<T>(what: &str, seconds: f64, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {seconds} s in vain for {what}"
        );
        sleep(STEP);
    }
}

/// Waits until a condition holds. Panics after `seconds`, naming what was waited for.
pub fn wait_for(what: &str, seconds: f64, mut condition: impl FnMut() -> bool) {
    wait_some(what, seconds, || condition().then_some(()));
}
