//! What is shown while something takes long: a line on the terminal that tells for how long, and goes when it is over.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is over sooner than this is not worth a line.
const PATIENCE: Duration = Duration::from_millis(700);
/// Between two looks of the line.
const STEP: Duration = Duration::from_millis(200);

/// Shows the line until it is dropped.
pub struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Shows on the standard error, if that is a terminal, that `what` goes on.
    pub fn show(what: impl Into<String>) -> Progress {
        match io::stderr().is_terminal() {
            true => Progress::on(what.into(), io::stderr()),
            false => Progress(None),
        }
    }

    fn on(what: String, mut terminal: impl Write + Send + 'static) -> Progress {
        let (over, is_over) = channel::<()>();
        let begun = Instant::now();
        let thread = std::thread::spawn(move || {
            let mut wait = PATIENCE;
            let mut shown = false;
            while is_over.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let dots = ".".repeat(1 + begun.elapsed().as_millis() as usize / 200 % 3);
                let seconds = begun.elapsed().as_secs();
                // Back to the line's beginning, and nothing behind what is written.
                let _ = write!(terminal, "\r{what}{dots:<3} {seconds} s\x1b[K");
                let _ = terminal.flush();
                shown = true;
                wait = STEP;
            }
            if shown {
                let _ = write!(terminal, "\r\x1b[K");
                let _ = terminal.flush();
            }
        });
        Progress(Some((over, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.0.take() {
            drop(over);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Terminal(Arc<Mutex<Vec<u8>>>);

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_takes_long_is_shown_and_cleared_away() {
        let terminal = Terminal::default();
        let progress = Progress::on("Copying".into(), terminal.clone());
        while terminal.0.lock().unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(progress);
        let written = String::from_utf8(terminal.0.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with("\rCopying."), "{written:?}");
        assert!(written.ends_with("\r\x1b[K"), "{written:?}");
    }

    #[test]
    fn what_is_over_at_once_leaves_the_terminal_alone() {
        let terminal = Terminal::default();
        drop(Progress::on("Copying".into(), terminal.clone()));
        assert!(terminal.0.lock().unwrap().is_empty());
    }
}
