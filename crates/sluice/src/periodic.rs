//! Work that is done again and again, on a thread of its own.

use crate::error::Error;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The thread that does it.
pub(crate) struct Periodic {
    stop: Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Tells the work when it is to end.
pub(crate) struct Stop(Receiver<()>);

impl Stop {
    /// Waits as long as the work rests, unless it is to end before that: whether it is.
    pub(crate) fn within(&self, rest: Duration) -> bool {
        self.0.recv_timeout(rest) != Err(RecvTimeoutError::Timeout)
    }
}

impl Periodic {
    /// Starts work that goes on until it is told to end, on a thread of this name.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(
        name: &str,
        work: impl FnOnce(&Stop) + Send + 'static,
    ) -> Result<Periodic, Error> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || work(&Stop(stopped)))
            .map_err(Error::io("start a thread"))?;
        Ok(Periodic {
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Has it end, and waits until it has.
    pub(crate) fn stop(&self) {
        let _ = self.stop.send(());
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    #[test]
    fn it_goes_on_until_it_is_stopped_and_what_comes_last_is_waited_for() {
        let (rounds, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (begun, has_begun) = channel();
        let work = Periodic::start("sluice-test", {
            let (rounds, ended) = (Arc::clone(&rounds), Arc::clone(&ended));
            move |stop| {
                while !stop.within(Duration::ZERO) {
                    if rounds.fetch_add(1, SeqCst) == 2 {
                        begun.send(()).unwrap();
                    }
                }
                ended.fetch_add(1, SeqCst);
            }
        })
        .unwrap();
        has_begun.recv().unwrap();
        work.stop();
        assert!(rounds.load(SeqCst) >= 3);
        assert_eq!(ended.load(SeqCst), 1);
        // Once more does nothing.
        work.stop();
        assert_eq!(ended.load(SeqCst), 1);
    }

    #[test]
    fn it_rests_no_longer_than_until_it_is_stopped() {
        let (told, ended) = channel();
        let work = Periodic::start("sluice-test", move |stop| {
            told.send(stop.within(Duration::MAX)).unwrap();
        })
        .unwrap();
        work.stop();
        assert_eq!(ended.recv(), Ok(true));
    }
}
