//! Metering: what has gone by each EIP, each NAT IP and each NAT gateway, kept by the minute and by the hour.
//!
//! The data path has totals that only grow ([`Reading`]). What they have grown by since the last reading goes
//! into the minute that is open. When that is over it is written: the minutes of EIPs, the hours of EIPs, NAT IPs
//! and gateways, and with them, in the same transaction, the totals up to which that counts. So after a kill the next
//! daemon goes on from what was written last, since the data path's totals outlive the daemon, and nothing is
//! lost or counted twice.
//!
//! What private addresses behind a gateway do is kept by the minute in [`sources`].
//!
//! What goes by while no daemon runs is put down to the minute in which the next one begins; for the highest rate
//! it is spread over the time.

mod sources;

pub use sources::{MAX_SOURCES, SOURCES_KEPT, SourceUse};

use crate::records::Seconds;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::{Batch, Series};

/// How long minutes are kept: 30 days.
pub const MINUTES_KEPT: Seconds = 30 * DAY;
/// How long hours are kept: 400 days.
pub const HOURS_KEPT: Seconds = 400 * DAY;

const DAY: Seconds = 24 * HOUR;
const HOUR: Seconds = 3_600;
const MINUTE: Seconds = 60;

/// What reads the data path's totals.
pub trait Totals: Send + Sync {
    /// The totals now. `forget` are accounts of earlier readings that are not in the configuration any more; what
    /// they said has been written.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn read(&self, forget: &[u64]) -> Result<Reading, String>;
}

/// The data path's totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Which memory they lie in: those of another one have nothing to do with these.
    pub memory: u64,
    /// An account for each EIP and what it is bound to, and for each NAT IP.
    pub accounts: Vec<Account>,
    /// The most sessions at once since the last reading, of each NAT gateway.
    pub gateways: Vec<(String, u64)>,
    /// The private addresses behind the NAT gateways that watch them.
    pub sources: Vec<(String, Vec<Source>)>,
}

/// The totals of a private address since some moment. They may begin anew at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address.
    pub address: Ipv4Addr,
    /// Sessions now.
    pub live: u64,
    /// What has gone by, seen from the address: what it received came in.
    pub totals: Amounts,
}

/// The totals of an EIP while it is bound to one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Names the account for good.
    pub owner: u64,
    /// The EIP; `None` if it went while no daemon ran.
    pub eip: Option<String>,
    /// Whether it is no EIP but a NAT IP of a VPC NAT gateway.
    pub nat_ip: bool,
    /// The NAT gateway that it is bound to.
    pub gateway: Option<String>,
    /// Whether EIP and binding are in the configuration.
    pub configured: bool,
    /// The most sessions at once since the last reading.
    pub peak_sessions: u64,
    /// What has gone by.
    pub totals: Amounts,
}

/// What has gone by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Packets that came in.
    pub packets_in: u64,
    /// Bytes of their frames.
    pub bytes_in: u64,
    /// Packets that went out.
    pub packets_out: u64,
    /// Bytes of their frames.
    pub bytes_out: u64,
    /// Sessions that began.
    pub opened: u64,
}

impl Amounts {
    fn each(self, other: Amounts, f: impl Fn(u64, u64) -> u64) -> Amounts {
        Amounts {
            packets_in: f(self.packets_in, other.packets_in),
            bytes_in: f(self.bytes_in, other.bytes_in),
            packets_out: f(self.packets_out, other.packets_out),
            bytes_out: f(self.bytes_out, other.bytes_out),
            opened: f(self.opened, other.opened),
        }
    }

    /// Bytes in both directions.
    pub fn bytes(&self) -> u64 {
        self.bytes_in.saturating_add(self.bytes_out)
    }
}

/// The use of an EIP, a NAT IP or a NAT gateway in some time. The highest rates are those of the highest minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// What has gone by.
    pub amounts: Amounts,
    /// The most sessions at once.
    pub peak_sessions: u64,
    /// The most bytes that came in in a minute.
    pub peak_in: u64,
    /// The most bytes that went out in a minute.
    pub peak_out: u64,
    /// The most bytes in both directions in a minute.
    pub peak_both: u64,
    /// The most sessions that began in a minute.
    pub peak_opened: u64,
}

/// New sessions a second, sessions at once, and bytes in an hour that are one capacity unit.
const UNIT: (f64, f64, f64) = (1_000.0, 10_000.0, 1e9);

impl Use {
    /// Takes in what was used at another time.
    pub fn add(&mut self, other: &Use) {
        self.amounts = self.amounts.each(other.amounts, u64::saturating_add);
        self.peak_sessions = self.peak_sessions.max(other.peak_sessions);
        self.peak_in = self.peak_in.max(other.peak_in);
        self.peak_out = self.peak_out.max(other.peak_out);
        self.peak_both = self.peak_both.max(other.peak_both);
        self.peak_opened = self.peak_opened.max(other.peak_opened);
    }

    /// The capacity units of an hour with this use: the largest of new sessions a second (in the highest
    /// minute) by 1,000, sessions at once by 10,000, and bytes in both directions by 10⁹.
    pub fn capacity_units(&self) -> f64 {
        let (opened, sessions, bytes) = UNIT;
        let opened = self.peak_opened as f64 / MINUTE as f64 / opened;
        let sessions = self.peak_sessions as f64 / sessions;
        opened
            .max(sessions)
            .max(self.amounts.bytes() as f64 / bytes)
    }

    fn is_nothing(&self) -> bool {
        *self == Use::default()
    }

    /// With the rates of a minute of so many seconds.
    fn rated(mut self, seconds: Seconds) -> Use {
        let rate = |n: u64| match seconds {
            0..=MINUTE => n,
            _ => (u128::from(n) * u128::from(MINUTE) / u128::from(seconds)) as u64,
        };
        self.peak_in = rate(self.amounts.bytes_in);
        self.peak_out = rate(self.amounts.bytes_out);
        self.peak_both = rate(self.amounts.bytes());
        self.peak_opened = rate(self.amounts.opened);
        self
    }

    /// As it is written: numbers, to which later versions may add some.
    fn text(&self) -> String {
        let a = &self.amounts;
        let numbers = [
            a.packets_in,
            a.bytes_in,
            a.packets_out,
            a.bytes_out,
            a.opened,
            self.peak_sessions,
            self.peak_in,
            self.peak_out,
            self.peak_both,
            self.peak_opened,
        ];
        serde_json::json!(numbers).to_string()
    }

    fn parse(text: &str) -> Use {
        let numbers: Vec<u64> = serde_json::from_str(text).unwrap_or_default();
        let n = |at: usize| numbers.get(at).copied().unwrap_or(0);
        Use {
            amounts: Amounts {
                packets_in: n(0),
                bytes_in: n(1),
                packets_out: n(2),
                bytes_out: n(3),
                opened: n(4),
            },
            peak_sessions: n(5),
            peak_in: n(6),
            peak_out: n(7),
            peak_both: n(8),
            peak_opened: n(9),
        }
    }
}

/// Whose use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// EIPs.
    Eip,
    /// NAT IPs of VPC NAT gateways.
    NatIp,
    /// NAT gateways: the sums of their EIPs, or their NAT IPs.
    Gateway,
}

impl Of {
    fn name(self, id: &str) -> String {
        match self {
            Of::Eip => format!("eip/{id}"),
            Of::NatIp => format!("nat-ip/{id}"),
            Of::Gateway => format!("gateway/{id}"),
        }
    }
}

/// Why something cannot be metered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was kept cannot be read, or cannot be written.
    #[error(transparent)]
    Series(#[from] store::Error),
    /// The data path does not tell its totals.
    #[error("the totals cannot be read: {0}")]
    Totals(String),
}

/// Up to where an account has been counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    eip: String,
    #[serde(default)]
    nat_ip: bool,
    gateway: Option<String>,
    totals: Amounts,
}

/// The note that says up to where an account has been counted, by its owner.
const MARK: &str = "mark/";
/// The note that says which memory the accounts lie in.
const MEMORY: &str = "memory";
/// The note that says when was read last.
const READ: &str = "read";

#[derive(Debug, Default)]
struct State {
    memory: u64,
    marks: HashMap<u64, Mark>,
    /// Marks that are to be written.
    changed: BTreeSet<u64>,
    /// Accounts that are not in the configuration, and those that were not when a minute was written last.
    leaving: BTreeSet<u64>,
    left: BTreeSet<u64>,
    /// Those of both that nothing was added to meanwhile.
    forget: Vec<u64>,
    /// When was read last.
    read: Seconds,
    /// The minute that is open, in minutes since 1970; 0 if none is.
    minute: u64,
    /// How long it is open: longer than a minute after a time without a daemon.
    seconds: Seconds,
    minutes: BTreeMap<String, Use>,
    /// The hour of the minutes that were written last.
    hour: u64,
    hours: BTreeMap<String, Use>,
    /// Something of this minute and this hour may have been written by an earlier daemon.
    resumed: (u64, u64),
    /// The hour in which the old was removed last.
    pruned: u64,
    sources: sources::Sources,
}

/// Keeps what has gone by.
pub struct Metering {
    series: Series,
    totals: Box<dyn Totals>,
    state: Mutex<State>,
}

impl Metering {
    /// Goes on with what was kept in `series`.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn open(series: Series, totals: Box<dyn Totals>) -> Result<Metering, Error> {
        let mut state = State::default();
        for (name, value) in series.notes()? {
            let number = || value.parse().unwrap_or(0);
            match &*name {
                MEMORY => state.memory = number(),
                READ => state.read = number(),
                name => {
                    let owner = name.strip_prefix(MARK).and_then(|it| it.parse().ok());
                    let mark = serde_json::from_str(&value).ok();
                    state.marks.extend(owner.zip(mark));
                }
            }
        }
        Ok(Metering {
            series,
            totals,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the totals; if the open minute is over, it is written. To be called at the beginning of each minute.
    ///
    /// # Errors
    /// If they cannot be read, or written: then it is tried again with the next minute.
    pub fn tick(&self, now: Seconds) -> Result<(), Error> {
        self.read(&mut self.state(), now)
    }

    /// Reads and writes what there is: before the end.
    ///
    /// # Errors
    /// As [`Metering::tick`].
    pub fn stop(&self, now: Seconds) -> Result<(), Error> {
        let mut state = self.state();
        self.read(&mut state, now)?;
        self.write(&mut state)?;
        state.resumed = (state.minute, state.hour);
        Ok(())
    }

    fn read(&self, state: &mut State, now: Seconds) -> Result<(), Error> {
        let reading = self.totals.read(&state.forget).map_err(Error::Totals)?;
        state.forget.clear();
        if state.minute == 0 {
            state.minute = now / MINUTE;
            state.hour = now / HOUR;
            state.resumed = (state.minute, state.hour);
        }
        let since = now.saturating_sub(state.read);
        state.seconds += if state.read == 0 { 0 } else { since };
        state.read = now;
        state.take(reading);
        if now / MINUTE > state.minute {
            self.write(state)?;
            state.minute = now / MINUTE;
        }
        Ok(())
    }

    /// Writes the open minute.
    fn write(&self, state: &mut State) -> Result<(), Error> {
        let mut batch = Batch::default();
        let hour = state.minute * MINUTE / HOUR;
        let mut hours = match hour == state.hour {
            true => state.hours.clone(),
            false => BTreeMap::new(),
        };
        for (name, used) in &state.minutes {
            let used = used.rated(state.seconds);
            if used.is_nothing() {
                continue;
            }
            let series = format!("hour/{name}");
            let total = match hours.get_mut(name) {
                Some(total) => total,
                None => {
                    let resumes = hour == state.resumed.1;
                    let had = self.had(resumes, &series, hour * HOUR)?;
                    hours.entry(name.clone()).or_insert(had)
                }
            };
            total.add(&used);
            batch.points.push((series, hour * HOUR, total.text()));
            if name.starts_with("eip/") && used.amounts != Amounts::default() {
                let series = format!("minute/{name}");
                let time = state.minute * MINUTE;
                let mut total = self.had(state.minute == state.resumed.0, &series, time)?;
                total.add(&used);
                batch.points.push((series, time, total.text()));
            }
        }
        let seconds = state.seconds.max(1);
        batch
            .points
            .extend(state.sources.points(state.minute * MINUTE, seconds));
        for owner in &state.changed {
            let mark = state.marks.get(owner);
            let mark = mark.map(|mark| serde_json::json!(mark).to_string());
            batch.notes.push((format!("{MARK}{owner}"), mark));
        }
        batch
            .notes
            .push((MEMORY.into(), Some(state.memory.to_string())));
        batch
            .notes
            .push((READ.into(), Some(state.read.to_string())));
        if state.pruned != hour {
            let end = (state.minute + 1) * MINUTE;
            batch.prune = vec![
                ("minute/".into(), end.saturating_sub(MINUTES_KEPT)),
                ("hour/".into(), end.saturating_sub(HOURS_KEPT)),
                (sources::SERIES.into(), end.saturating_sub(SOURCES_KEPT)),
            ];
        }
        self.series.write(&batch)?;
        state.hours = hours;
        state.hour = hour;
        state.pruned = hour;
        state.minutes.clear();
        state.sources.clear();
        state.seconds = 0;
        let both = state.leaving.intersection(&state.left);
        let unchanged = both.filter(|it| !state.changed.contains(it));
        state.forget = unchanged.copied().collect();
        state.left = state.leaving.clone();
        state.changed.clear();
        Ok(())
    }

    /// What an earlier daemon may have written of a time.
    fn had(&self, resumes: bool, series: &str, time: u64) -> Result<Use, Error> {
        if !resumes {
            return Ok(Use::default());
        }
        let points = self.series.points(series, time..time + 1, 1)?;
        Ok(points
            .first()
            .map_or(Use::default(), |(_, text)| Use::parse(text)))
    }

    /// The use by the hour, up to now: of the hours that begin in `time`, those in which there was any.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn hours(
        &self,
        of: Of,
        id: &str,
        time: Range<Seconds>,
        now: Seconds,
    ) -> Result<Vec<(Seconds, Use)>, Error> {
        let mut state = self.state();
        self.read(&mut state, now)?;
        self.hours_of(&state, &of.name(id), time)
    }

    /// The use of several in the hours that begin in `time`, up to now: a sum for each, in their order.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn sums(
        &self,
        of: Of,
        ids: &[&str],
        time: Range<Seconds>,
        now: Seconds,
    ) -> Result<Vec<Use>, Error> {
        let mut state = self.state();
        self.read(&mut state, now)?;
        let sum = |id: &&str| {
            let mut sum = Use::default();
            for (_, used) in self.hours_of(&state, &of.name(id), time.clone())? {
                sum.add(&used);
            }
            Ok(sum)
        };
        ids.iter().map(sum).collect()
    }

    fn hours_of(
        &self,
        state: &State,
        name: &str,
        time: Range<Seconds>,
    ) -> Result<Vec<(Seconds, Use)>, Error> {
        let points = self
            .series
            .points(&format!("hour/{name}"), time.clone(), usize::MAX)?;
        let points = points.into_iter();
        let mut hours: Vec<_> = points.map(|(at, text)| (at, Use::parse(&text))).collect();
        let open = state.minute * MINUTE / HOUR * HOUR;
        if let Some(used) = state.minutes.get(name)
            && time.contains(&open)
        {
            let used = used.rated(state.seconds);
            match hours.last_mut() {
                Some((at, total)) if *at == open => total.add(&used),
                _ => hours.push((open, used)),
            }
        }
        Ok(hours)
    }

    /// The identifiers of all that anything is kept of, also of what is gone.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn known(&self, of: Of, now: Seconds) -> Result<BTreeSet<String>, Error> {
        let mut state = self.state();
        self.read(&mut state, now)?;
        let prefix = of.name("");
        let kept = self.series.names(&format!("hour/{prefix}"))?;
        let kept = kept.iter().filter_map(|it| it.strip_prefix("hour/"));
        let open = state.minutes.keys().map(|it| &**it);
        let names = kept.chain(open).filter_map(|it| it.strip_prefix(&*prefix));
        Ok(names.map(str::to_owned).collect())
    }

    /// What has gone by an EIP in each period of so many seconds, a multiple of 60, that begins in `time`; periods
    /// in which nothing went by are left out. Longer ago than [`MINUTES_KEPT`] there is nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn periods(
        &self,
        eip: &str,
        time: Range<Seconds>,
        period: Seconds,
        now: Seconds,
    ) -> Result<BTreeMap<Seconds, Amounts>, Error> {
        let mut state = self.state();
        self.read(&mut state, now)?;
        let name = Of::Eip.name(eip);
        let points = self
            .series
            .points(&format!("minute/{name}"), time.clone(), usize::MAX)?;
        let points = points
            .iter()
            .map(|(at, text)| (*at, Use::parse(text).amounts));
        let open = state
            .minutes
            .get(&name)
            .map(|it| (state.minute * MINUTE, it.amounts));
        let mut periods: BTreeMap<Seconds, Amounts> = BTreeMap::new();
        for (at, amounts) in points.chain(open.filter(|(at, _)| time.contains(at))) {
            let begin = at - (at - time.start) % period.max(1);
            let sum = periods.entry(begin).or_default();
            *sum = sum.each(amounts, u64::saturating_add);
        }
        Ok(periods)
    }
}

impl State {
    /// Takes in what the totals have grown by.
    fn take(&mut self, reading: Reading) {
        self.sources.take(reading.sources);
        if self.memory != reading.memory {
            self.changed
                .extend(self.marks.drain().map(|(owner, _)| owner));
            self.memory = reading.memory;
        }
        let present: BTreeSet<u64> = reading.accounts.iter().map(|it| it.owner).collect();
        let gone = self.marks.keys().filter(|owner| !present.contains(owner));
        let gone: Vec<u64> = gone.copied().collect();
        for owner in gone {
            self.marks.remove(&owner);
            self.changed.insert(owner);
        }
        self.leaving.clear();
        for account in reading.accounts {
            let known = self.marks.get(&account.owner);
            let (eip, nat_ip, gateway) = match (account.eip, known) {
                (Some(eip), _) => (eip, account.nat_ip, account.gateway),
                (None, Some(mark)) => (mark.eip.clone(), mark.nat_ip, mark.gateway.clone()),
                // It was never written whose it is: it can only have been there for less than a minute.
                (None, None) => {
                    self.leaving.insert(account.owner);
                    continue;
                }
            };
            let before = known.map(|it| it.totals).unwrap_or_default();
            let used = Use {
                amounts: account.totals.each(before, u64::saturating_sub),
                peak_sessions: account.peak_sessions,
                ..Use::default()
            };
            if !account.configured {
                self.leaving.insert(account.owner);
            }
            if known.is_none() || before != account.totals {
                self.changed.insert(account.owner);
            }
            let of = if nat_ip { Of::NatIp } else { Of::Eip };
            self.add(of.name(&eip), used);
            if let Some(gateway) = &gateway {
                // How many sessions a gateway had at once does not follow from how many its EIPs had.
                let used = Use {
                    peak_sessions: 0,
                    ..used
                };
                self.add(Of::Gateway.name(gateway), used);
            }
            let totals = account.totals;
            let mark = Mark {
                eip,
                nat_ip,
                gateway,
                totals,
            };
            self.marks.insert(account.owner, mark);
        }
        for (gateway, peak_sessions) in reading.gateways {
            let used = Use {
                peak_sessions,
                ..Use::default()
            };
            self.add(Of::Gateway.name(&gateway), used);
        }
    }

    fn add(&mut self, name: String, used: Use) {
        if !used.is_nothing() {
            self.minutes.entry(name).or_default().add(&used);
        }
    }
}
