//! From the packets to the file: a bounded queue and the thread that empties it.

use crate::file::{Limits, Rotated};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records that wait to be written at most.
pub const CAPACITY: usize = 16_384;
/// Bytes that are written at once, about.
const BATCH: usize = 256 << 10;
/// How long after a failure nothing is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What has become of records.
#[derive(Debug, Default)]
pub struct Counters {
    written: AtomicU64,
    overrun: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    /// Records that are in the files.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Records that were lost since the queue was full.
    pub fn overrun(&self) -> u64 {
        self.overrun.load(Relaxed)
    }

    /// Records that were lost since the file could not be written: the disk is full, say.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// Takes records, and never blocks: what finds no room is lost and counted.
#[derive(Debug)]
pub struct Recorder<T> {
    queue: SyncSender<T>,
    counters: Arc<Counters>,
}

impl<T> Clone for Recorder<T> {
    fn clone(&self) -> Recorder<T> {
        Recorder {
            queue: self.queue.clone(),
            counters: Arc::clone(&self.counters),
        }
    }
}

impl<T> Recorder<T> {
    /// Hands a record on.
    pub fn record(&self, record: T) {
        match self.queue.try_send(record) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counters.overrun.fetch_add(1, Relaxed);
            }
        }
    }
}

/// The thread that writes. It ends when all [`Recorder`]s are gone and their records are written.
#[derive(Debug)]
pub struct Writer {
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Opens the files in a directory and starts the thread. `line` writes a record as a line without its end, on that
    /// thread.
    ///
    /// # Errors
    /// If the directory or its file cannot be made or opened.
    pub fn start<T: Send + 'static>(
        directory: &Path,
        limits: Limits,
        line: impl Fn(&T, &mut Vec<u8>) -> serde_json::Result<()> + Send + 'static,
    ) -> io::Result<(Recorder<T>, Writer)> {
        let file = Rotated::open(directory, limits)?;
        let (queue, waiting) = sync_channel(CAPACITY);
        let counters = Arc::<Counters>::default();
        let thread = std::thread::Builder::new()
            .name("sluice-records".into())
            .spawn({
                let counters = Arc::clone(&counters);
                move || run(file, &waiting, &counters, line)
            })?;
        let recorder = Recorder {
            queue,
            counters: Arc::clone(&counters),
        };
        let thread = Some(thread);
        Ok((recorder, Writer { counters, thread }))
    }

    /// What has become of records.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Waits until all is written: the recorders have to be gone.
    pub fn finish(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run<T>(
    mut file: Rotated,
    waiting: &Receiver<T>,
    counters: &Counters,
    line: impl Fn(&T, &mut Vec<u8>) -> serde_json::Result<()>,
) {
    let mut batch = Vec::with_capacity(BATCH + 4096);
    let mut broken: Option<Instant> = None;
    while let Ok(first) = waiting.recv() {
        let mut count = 0;
        batch.clear();
        let mut next = Some(first);
        while let Some(record) = next {
            // Writing to memory cannot fail, and what is written has no maps with keys that are no texts.
            if line(&record, &mut batch).is_ok() {
                batch.push(b'\n');
                count += 1;
            }
            next = match batch.len() < BATCH {
                true => waiting.try_recv().ok(),
                false => None,
            };
        }
        if broken.is_some_and(|since| since.elapsed() < PAUSE) {
            counters.failed.fetch_add(count, Relaxed);
            continue;
        }
        match file.append(&batch) {
            Ok(()) => {
                if broken.take().is_some() {
                    log::info!("session records are written again");
                }
                counters.written.fetch_add(count, Relaxed);
            }
            Err(error) => {
                if broken.is_none() {
                    let file = file.path().display();
                    log::warn!("session records are lost until this is better: {file}: {error}");
                }
                broken = Some(Instant::now());
                counters.failed.fetch_add(count, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::CURRENT;

    const LIMITS: Limits = Limits {
        max_size: 1 << 20,
        keep: 2,
    };

    fn number(n: &u32, to: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(to, n)
    }

    #[test]
    fn what_is_recorded_is_written_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let (recorder, writer) = Writer::start(dir.path(), LIMITS, number).unwrap();
        (0..1000).for_each(|n| recorder.record(n));
        drop(recorder);
        let counters = writer.counters();
        writer.finish();
        assert_eq!((counters.written(), counters.overrun()), (1000, 0));
        let text = std::fs::read_to_string(dir.path().join(CURRENT)).unwrap();
        let lines: Vec<u32> = text.lines().map(|it| it.parse().unwrap()).collect();
        assert_eq!(lines, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_queue_loses_counts_and_does_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let line = move |n: &u32, to: &mut Vec<u8>| {
            let _ = held.recv();
            number(n, to)
        };
        let (recorder, writer) = Writer::start(dir.path(), LIMITS, line).unwrap();
        // The writer has taken one at most, and holds on to it.
        let sent = CAPACITY + 100;
        (0..sent as u32).for_each(|n| recorder.record(n));
        let counters = writer.counters();
        assert!((99..=100).contains(&counters.overrun()), "{counters:?}");
        drop(hold);
        drop(recorder);
        writer.finish();
        assert_eq!(counters.written() + counters.overrun(), sent as u64);
    }

    #[test]
    fn a_full_disk_is_counted_and_survived() {
        // Writes to this device fail as those to a full disk do.
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join(CURRENT)).unwrap();
        let (recorder, writer) = Writer::start(dir.path(), LIMITS, number).unwrap();
        (0..10).for_each(|n| recorder.record(n));
        drop(recorder);
        let counters = writer.counters();
        writer.finish();
        assert_eq!((counters.written(), counters.failed()), (0, 10));
    }
}
