//! What keeps the metering going: the engine's totals are read at the beginning of each minute.

use crate::error::Error;
use control::metering::{Account, Amounts, Metering, Reading, Source, Totals};
use engine::UsageView;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::Series;

/// How long to wait for the next look, if the clock tells nonsense.
const MINUTE: Duration = Duration::from_secs(60);

/// The engine's totals as the metering takes them.
pub fn reading(usage: UsageView) -> Reading {
    let accounts = usage.accounts.into_iter().map(|it| Account {
        owner: it.owner,
        eip: it.eip,
        nat_ip: it.nat_ip,
        gateway: it.gateway,
        configured: it.configured,
        peak_sessions: it.peak.into(),
        totals: Amounts {
            packets_in: it.packets_in,
            bytes_in: it.bytes_in,
            packets_out: it.packets_out,
            bytes_out: it.bytes_out,
            opened: it.opened,
        },
    });
    let gateways = usage.gateways.into_iter();
    Reading {
        memory: usage.memory,
        accounts: accounts.collect(),
        gateways: gateways.map(|it| (it.gateway, it.peak.into())).collect(),
        sources: usage.sources.into_iter().map(sources).collect(),
    }
}

fn sources(of: engine::GatewaySources) -> (String, Vec<Source>) {
    let sources = of.sources.into_iter().map(|it| Source {
        address: it.address,
        live: it.live.into(),
        totals: Amounts {
            packets_in: it.packets_received,
            bytes_in: it.bytes_received,
            packets_out: it.packets_sent,
            bytes_out: it.bytes_sent,
            opened: it.opened,
        },
    });
    (of.gateway, sources.collect())
}

/// The metering of a running gateway.
pub struct Meter {
    metering: Arc<Metering>,
    stop: Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Meter {
    /// Goes on with what is in the database at `path`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn start(path: &Path, totals: Box<dyn Totals>) -> Result<Meter, Error> {
        let series = Series::open(path).map_err(control::metering::Error::Series)?;
        let metering = Arc::new(Metering::open(series, totals)?);
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("sluice-metering".into())
            .spawn({
                let metering = Arc::clone(&metering);
                move || run(&metering, &stopped)
            })
            .map_err(Error::io("start a thread"))?;
        Ok(Meter {
            metering,
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// What tells what has gone by.
    pub fn metering(&self) -> Arc<Metering> {
        Arc::clone(&self.metering)
    }

    /// Writes what there is, and ends.
    pub fn stop(&self) {
        let _ = self.stop.send(());
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(metering: &Metering, stopped: &Receiver<()>) {
    loop {
        if let Err(error) = metering.tick(seconds()) {
            tracing::warn!(
                "nothing is metered until this is better, and made up for then: {error}"
            );
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let into = now.map_or(Duration::ZERO, |it| {
            Duration::from_millis((it.as_millis() % MINUTE.as_millis()) as u64)
        });
        if stopped.recv_timeout(MINUTE - into) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    if let Err(error) = metering.stop(seconds()) {
        tracing::warn!("the last minute's metering is made up for by the next daemon: {error}");
    }
}

/// Seconds since 1970; 0 if the clock stands before.
fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |it| it.as_secs())
}
