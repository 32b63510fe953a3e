//! Does what the passing of time asks for: the firewalls' licence ends, or is renewed.

use control::Control;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// The thread that looks.
pub struct Clock {
    stop: Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Clock {
    /// Starts it.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn start(control: Arc<Control>) -> std::io::Result<Clock> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("sluice-clock".into())
            .spawn(move || {
                let mut told = None;
                while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    tick(&control, &mut told);
                }
            })?;
        Ok(Clock {
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Ends it.
    pub fn stop(&self) {
        let _ = self.stop.send(());
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

/// `told` is the error that was told last: it is not told each second.
fn tick(control: &Control, told: &mut Option<String>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |it| it.as_secs());
    match control.expire(now, || Ok(api::new_request_id()?)) {
        Ok(released) => {
            *told = None;
            if !released.is_empty() {
                let released = released.join(", ");
                tracing::warn!("the firewalls' licence has ended: {released} released");
            }
        }
        Err(refusal) => {
            let error = refusal.message;
            if told.as_ref() != Some(&error) {
                tracing::error!(
                    "the firewalls' licence has ended, which cannot be seen to: {error}"
                );
            }
            *told = Some(error);
        }
    }
}
