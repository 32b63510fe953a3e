//! Waiting for what takes a moment.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(10);

/// By how much longer everything may take on a machine that is busy with something else. Waiting ends as soon as what is
/// waited for is there, so patience costs time only where something is wrong.
const BUSY: f64 = 4.0;

/// Waits until `attempt` gives something. Panics after a multiple of `seconds`, which is what it may take on a machine
/// that has nothing else to do, naming what was waited for.
pub fn wait_some<T>(what: &str, seconds: f64, mut attempt: impl FnMut() -> Option<T>) -> T {
    let seconds = seconds * BUSY;
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

/// Waits until a condition holds, as [`wait_some`] does.
pub fn wait_for(what: &str, seconds: f64, mut condition: impl FnMut() -> bool) {
    wait_some(what, seconds, || condition().then_some(()));
}
