//! The whole of it: what the program opens, changes, asks and closes.

use crate::error::{Context, Error};
use crate::maps::{Adopted, Counters, Lock, Maps, Sizes};
use crate::netns::Home;
use crate::pin;
use crate::ports::{self, PortStatus, Ports, Prepared};
use crate::programs::Programs;
use crate::sender::{Recorder, SendCounters, Sender};
use crate::worker::{Worker, now, wall};
use engine::{Engine, Memory, Snapshot, Time};
use flow::table::{MIN_SLOTS, Table};
use model::{Config, UplinkMode};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where gateways pin their maps and programs, each in a directory of its name.
pub const PINS: &str = "/run/sluice/bpf";

/// The most entries that the kernel gives a flow table.
const MAX_SLOTS: u32 = 1 << 25;

/// A running data path. Dropping it stops the engine and leaves everything else in place: the kernel
/// goes on forwarding the sessions that there are, and the next [`Datapath::open`] takes them over.
pub struct Datapath {
    // First, since it is dropped first: the lock on the maps must outlive their writer.
    worker: Worker,
    state: Mutex<State>,
    sent: Arc<SendCounters>,
    adopted: Adopted,
    system: String,
    home: Home,
}

struct State {
    ports: Ports,
    programs: Programs,
    maps: Maps,
    /// The addresses in force.
    eips: BTreeSet<Ipv4Addr>,
    /// What was compiled last: what has not changed since need not be compiled again.
    compiled: Option<Arc<Snapshot>>,
}

impl Datapath {
    /// Brings a configuration that [`model`] has validated into force: takes over what an earlier data
    /// path of this name has left, makes the rest. `netns` is the network namespace that the uplinks and
    /// devices are in; without it, the process's.
    ///
    /// If it fails, whatever it made is undone.
    pub fn open(config: &Config, netns: Option<&str>) -> Result<Datapath, Error> {
        Datapath::open_recording(config, netns, Box::new(|_| ()))
    }

    /// The same, with somebody who takes the records of sessions, if the configuration wants them.
    pub fn open_recording(
        config: &Config,
        netns: Option<&str>,
        recorder: Recorder,
    ) -> Result<Datapath, Error> {
        let home = Home::open(netns)?;
        let system = config.system.name.clone();
        let (maps, adopted) = Maps::open(&pins(&system), Sizes::new(slots(config)))?;
        let started = home.run(|| start(config, &home, maps, recorder))?;
        let (worker, state, sent) = match (started, &adopted) {
            (Ok(started), _) => started,
            (Err(error), Adopted::Fresh) => {
                // The maps, too, which would hold their memory.
                if let Err(error) = remove_pins(&system) {
                    log::warn!("{error}");
                }
                return Err(error);
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Datapath {
            worker,
            state: Mutex::new(state),
            sent,
            adopted,
            system,
            home,
        })
    }

    /// What became of the maps of an earlier data path.
    pub fn adopted(&self) -> &Adopted {
        &self.adopted
    }

    /// Changes the running data path to another configuration: all of it, or with an error none.
    /// Sessions that it still allows lose no packet.
    ///
    /// The system's name must stay; the size of the flow table changes with the next start only.
    pub fn apply(&self, config: &Config) -> Result<(), Error> {
        if config.system.name != self.system {
            return Err(Error::Resource {
                resource: "system".into(),
                problem: format!(
                    "the running gateway is {}; stop it to start one with the name {}",
                    self.system, config.system.name
                ),
            });
        }
        let mut state = self.state();
        let state = &mut *state;
        self.home.run(|| {
            let (prepared, snapshot) = state.prepare(config, &self.home)?;
            let applied = self
                .worker
                .run(move |engine, out, now| engine.apply(snapshot, now, out));
            match applied {
                Ok(()) => {
                    state.commit(config, prepared);
                    Ok(())
                }
                Err(error) => {
                    state.abort(prepared);
                    Err(error)
                }
            }
        })?
    }

    /// Runs a task on the engine, between two packets. It should be short: packets wait meanwhile.
    pub fn engine<R: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Engine, &mut Sender, Time) -> R + Send + 'static,
    ) -> Result<R, Error> {
        self.worker.run(task)
    }

    /// The ports, as they are now.
    pub fn ports(&self) -> Result<Vec<PortStatus>, Error> {
        let mut state = self.state();
        let shares = state.maps.shares();
        state.ports.status(shares)
    }

    /// The kernel programs' counters. They go on over restarts.
    pub fn counters(&self) -> Result<Counters, Error> {
        Ok(self.state().maps.counters()?)
    }

    /// What became of the frames that the daemon sent, since it started.
    pub fn sent(&self) -> &SendCounters {
        &self.sent
    }

    /// Ends every session and removes everything: programs, maps, interfaces and namespaces that were
    /// made.
    pub fn remove(self) -> Result<(), Error> {
        let Datapath {
            worker,
            state,
            system,
            home,
            ..
        } = self;
        drop(worker);
        // Until the end, since it holds the lock.
        let _state = state;
        home.run(|| remove_all(&system))?
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic may have left half done, the next change puts right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what a data path that has stopped has left, if it has left anything. `netns` as for
/// [`Datapath::open`].
pub fn remove(system: &str, netns: Option<&str>) -> Result<(), Error> {
    let dir = pins(system);
    let _lock = match dir.exists() {
        true => Some(Lock::take(&dir)?),
        false => None,
    };
    Home::open(netns)?.run(|| remove_all(system))?
}

fn remove_all(system: &str) -> Result<(), Error> {
    remove_pins(system)?;
    ports::remove_all(system)
}

fn remove_pins(system: &str) -> Result<(), Error> {
    let dir = pins(system);
    let links = dir.join("links");
    for link in pin::names(&links)? {
        pin::detach(&links.join(link))?;
    }
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.context(|| format!("remove {}", dir.display())),
    }
}

/// Starts everything on the maps, in the gateway's network namespace.
fn start(
    config: &Config,
    home: &Home,
    maps: Maps,
    recorder: Recorder,
) -> Result<(Worker, State, Arc<SendCounters>), Error> {
    let mut state = State {
        ports: Ports::open(&config.system.name)?,
        programs: Programs::load(&maps)?,
        eips: maps.eips()?,
        maps,
        compiled: None,
    };
    let sender = Sender::open(recorder)?;
    let sent = Arc::clone(sender.counters());
    let punts = state.maps.punts()?;
    let (prepared, snapshot) = state.prepare(config, home)?;
    let memory = Memory {
        table: Table::new(state.maps.flows(), state.maps.config().seed),
        hops: state.maps.hops(),
        meters: state.maps.meters(),
        accounts: state.maps.accounts(),
    };
    let engine = Engine::new_at(memory, snapshot, now(), wall());
    match Worker::start(engine, punts, state.maps.shares(), sender) {
        Ok(worker) => {
            state.commit(config, prepared);
            Ok((worker, state, sent))
        }
        Err(error) => {
            state.abort(prepared);
            Err(error)
        }
    }
}

impl State {
    fn prepare(
        &mut self,
        config: &Config,
        home: &Home,
    ) -> Result<(Prepared, Arc<Snapshot>), Error> {
        let (programs, map) = (&mut self.programs, self.maps.ports());
        let prepared = self.ports.prepare(config, home, programs, map)?;
        let ready = Snapshot::build_after(config, &prepared.links(), self.compiled.as_deref())
            .map_err(Error::from)
            .and_then(|snapshot| {
                // The new addresses beside the old ones: from now on both are ours.
                let mut all = addresses(config);
                all.extend(&self.eips);
                self.maps.set_eips(&all)?;
                Ok(Arc::new(snapshot.recording(config.records())))
            });
        match ready {
            Ok(snapshot) => {
                self.compiled = Some(Arc::clone(&snapshot));
                Ok((prepared, snapshot))
            }
            Err(error) => {
                self.abort(prepared);
                Err(error)
            }
        }
    }

    fn commit(&mut self, config: &Config, prepared: Prepared) {
        let map = self.maps.ports();
        self.ports.commit(prepared, &mut self.programs, map);
        self.eips = addresses(config);
        self.settle_eips();
    }

    fn abort(&mut self, prepared: Prepared) {
        self.ports.abort(prepared, &mut self.programs);
        self.settle_eips();
    }

    /// Only takes addresses away, which fails only if the map is gone.
    fn settle_eips(&mut self) {
        if let Err(error) = self.maps.set_eips(&self.eips) {
            log::warn!("{error}");
        }
    }
}

/// The addresses that uplinks answer for: the EIPs, and of uplinks that are ours alone their own.
fn addresses(config: &Config) -> BTreeSet<Ipv4Addr> {
    let own = config
        .uplinks
        .iter()
        .filter(|uplink| uplink.mode == UplinkMode::Own)
        .filter_map(|uplink| Some(uplink.address?.addr()));
    config
        .eips
        .iter()
        .map(|eip| eip.address)
        .chain(own)
        .collect()
}

fn pins(system: &str) -> PathBuf {
    Path::new(PINS).join(system)
}

/// Slots of the flow table: a session takes two, and at two thirds of the table in use nearly every
/// lookup ends in the first cache line. Sessions beyond what the kernel gives go the slow path.
fn slots(config: &Config) -> u32 {
    let slots = config.system.max_sessions.saturating_mul(3);
    slots.next_multiple_of(2).clamp(MIN_SLOTS, MAX_SLOTS)
}
