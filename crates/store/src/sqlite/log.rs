//! Keeping SQLite's log short.
//!
//! A commit is durable when it is in the log. Left to itself, SQLite brings what is in the log into the database within
//! the commit that makes it long, which after a large transaction takes as long as the commit did, and nobody waits for it. So
//! that is done a moment later, by a thread, or with the next transaction if that comes before: the log is not longer
//! for it than the longest transaction makes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::writer::Writer;

/// From so many pages on a log is long: as SQLite has it.
const LONG: i32 = 1_000;

/// How long those who have just been answered have the processor to themselves.
const MOMENT: Duration = Duration::from_millis(100);

/// The log of the connection that writes.
pub struct Log {
    long: Arc<AtomicBool>,
}

/// Tells each time that a commit has left the log long, until it is watched no more.
pub type News = Receiver<()>;

impl Log {
    /// Has SQLite leave the log as it is, and say when it is long.
    pub fn watch(connection: &mut Connection) -> rusqlite::Result<(Log, News)> {
        let log = Log {
            long: Arc::default(),
        };
        let long = Arc::clone(&log.long);
        let (tell, news) = sync_channel(1);
        connection.wal_hook(Some(move |_: &mut Wal, pages: i32| {
            if pages >= LONG {
                long.store(true, Ordering::Relaxed);
                // One that has not been heard yet says it as well.
                let _ = tell.try_send(());
            }
            Ok(())
        }))?;
        Ok((log, news))
    }

    /// Watches it no more.
    pub fn leave(connection: &mut Connection) -> rusqlite::Result<()> {
        connection.wal_hook(None::<fn(&mut Wal, i32) -> rusqlite::Result<()>>)
    }

    /// Brings the log into the database if it is long, so that the next commit begins it again. What fails is in the
    /// log still, and tried again after the next commit.
    pub fn shorten(&self, connection: &Connection) {
        if self.long.swap(false, Ordering::Relaxed) {
            let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    }
}

/// Starts the thread, which ends when the log is watched no more.
pub fn keep_short(writer: Arc<Writer>, news: News) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("store-log".into())
        .spawn(move || {
            while news.recv().is_ok() {
                match news.recv_timeout(MOMENT) {
                    Err(RecvTimeoutError::Disconnected) => return,
                    _ => writer.shorten_log(),
                }
            }
        })
}
