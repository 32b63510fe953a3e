//! What keeps the metering going: the engine's totals are read at the beginning of each minute.

use crate::error::Error;
use crate::periodic::{Periodic, Stop};
use control::metering::{Account, Amounts, Metering, Reading, Source, Totals};
use engine::UsageView;
use std::path::Path;
use std::sync::Arc;
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

/// The database at `path`, of what was counted so far: one that is damaged is put aside, and the counting begins anew.
///
/// # Errors
/// If it cannot be opened.
pub(crate) fn counted(path: &Path) -> Result<Series, store::Error> {
    let (series, wrong) = Series::open_or_begin_anew(path)?;
    if let Some(wrong) = wrong {
        tracing::warn!(
            "what was counted so far is lost, and kept as {}.damaged: {wrong}",
            path.display()
        );
    }
    Ok(series)
}

/// The metering of a running gateway.
pub struct Meter {
    metering: Arc<Metering>,
    ticks: Periodic,
}

impl Meter {
    /// Goes on with what is in the database at `path`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn start(path: &Path, totals: Box<dyn Totals>) -> Result<Meter, Error> {
        let series = counted(path).map_err(control::metering::Error::Series)?;
        let metering = Arc::new(Metering::open(series, totals)?);
        let ticks = Periodic::start("sluice-metering", {
            let metering = Arc::clone(&metering);
            move |stop| run(&metering, stop)
        })?;
        Ok(Meter { metering, ticks })
    }

    /// What tells what has gone by.
    pub fn metering(&self) -> Arc<Metering> {
        Arc::clone(&self.metering)
    }

    /// Writes what there is, and ends.
    pub fn stop(&self) {
        self.ticks.stop();
    }
}

fn run(metering: &Metering, stop: &Stop) {
    loop {
        if let Err(error) = metering.tick(datapath::wall()) {
            tracing::warn!(
                "nothing is metered until this is better, and made up for then: {error}"
            );
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let into = now.map_or(Duration::ZERO, |it| {
            Duration::from_millis((it.as_millis() % MINUTE.as_millis()) as u64)
        });
        if stop.within(MINUTE - into) {
            break;
        }
    }
    if let Err(error) = metering.stop(datapath::wall()) {
        tracing::warn!("the last minute's metering is made up for by the next daemon: {error}");
    }
}
