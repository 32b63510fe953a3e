//! What private addresses behind NAT gateways do, by the minute.

use super::{Amounts, Error, Metering, Source};
use crate::records::Seconds;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

/// How long it is kept: 7 days.
pub const SOURCES_KEPT: Seconds = 7 * 86_400;
/// The most addresses that are kept of a gateway and minute: those with the most bytes.
pub const MAX_SOURCES: usize = 1_000;

/// The names of the series begin with this.
pub(super) const SERIES: &str = "sources/";

/// What a private address did in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceUse {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits a second that it received and sent.
    pub bits: (u64, u64),
    /// Packets a second that it received and sent.
    pub packets: (u64, u64),
    /// Sessions at the end of the minute.
    pub sessions: u64,
    /// Sessions that began, a second.
    pub opened: u64,
}

/// What is known of the minute that is open.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The totals of the last reading, by gateway and address.
    before: HashMap<String, HashMap<Ipv4Addr, Amounts>>,
    /// What came on top in this minute, and the sessions now.
    minute: BTreeMap<String, HashMap<Ipv4Addr, (Amounts, u64)>>,
}

impl Sources {
    /// Takes in what the totals have grown by. A gateway that was not there before begins with what it says.
    pub fn take(&mut self, reading: Vec<(String, Vec<Source>)>) {
        let mut now = HashMap::new();
        for (gateway, sources) in reading {
            let before = self.before.get(&gateway);
            let mut totals = HashMap::new();
            let minute = self.minute.entry(gateway.clone()).or_default();
            for source in sources {
                totals.insert(source.address, source.totals);
                let Some(before) = before else { continue };
                let had = before.get(&source.address).copied().unwrap_or_default();
                // Totals that have begun anew are less than those before.
                let grown = match source.totals.bytes() < had.bytes() {
                    true => source.totals,
                    false => source.totals.each(had, u64::saturating_sub),
                };
                if grown != Amounts::default() || source.live > 0 {
                    let used = minute.entry(source.address).or_default();
                    *used = (used.0.each(grown, u64::saturating_add), source.live);
                }
            }
            now.insert(gateway, totals);
        }
        self.before = now;
    }

    /// The open minute, which took so many seconds, as it is written.
    pub fn points(&self, time: Seconds, seconds: Seconds) -> Vec<(String, u64, String)> {
        let minutes = self.minute.iter().filter(|(_, it)| !it.is_empty());
        let points = minutes.map(|(gateway, sources)| {
            let mut rows: Vec<_> = sources.iter().collect();
            rows.sort_by_key(|(address, (used, _))| (std::cmp::Reverse(used.bytes()), **address));
            rows.truncate(MAX_SOURCES);
            let rows = rows.into_iter().map(|(address, (used, sessions))| {
                let a = used;
                let rate = |n: u64| n / seconds;
                serde_json::json!([
                    address,
                    rate(a.bytes_in.saturating_mul(8)),
                    rate(a.bytes_out.saturating_mul(8)),
                    rate(a.packets_in),
                    rate(a.packets_out),
                    sessions,
                    rate(a.opened),
                ])
            });
            let rows = serde_json::Value::Array(rows.collect());
            (format!("{SERIES}{gateway}"), time, rows.to_string())
        });
        points.collect()
    }

    /// The open minute was written.
    pub fn clear(&mut self) {
        self.minute.clear();
    }
}

fn parse(text: &str) -> Vec<SourceUse> {
    type Row = (Ipv4Addr, u64, u64, u64, u64, u64, u64);
    let rows: Vec<Row> = serde_json::from_str(text).unwrap_or_default();
    let rows = rows.into_iter();
    rows.map(
        |(address, rx, tx, rx_packets, tx_packets, sessions, opened)| SourceUse {
            address,
            bits: (rx, tx),
            packets: (rx_packets, tx_packets),
            sessions,
            opened,
        },
    )
    .collect()
}

impl Metering {
    /// What the private addresses behind a NAT gateway did in the minute of a moment, or in the last one that is over;
    /// with the time at which that minute began. At most [`MAX_SOURCES`], those with the most bytes; longer ago than
    /// [`SOURCES_KEPT`] there is nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn sources(
        &self,
        gateway: &str,
        moment: Option<Seconds>,
        now: Seconds,
    ) -> Result<(Seconds, Vec<SourceUse>), Error> {
        self.tick(now)?;
        let minute = moment.unwrap_or(now.saturating_sub(60)) / 60 * 60;
        let name = format!("{SERIES}{gateway}");
        let points = self.series.points(&name, minute..minute + 60, 1)?;
        let rows = points.first().map(|(_, text)| parse(text));
        Ok((minute, rows.unwrap_or_default()))
    }
}
