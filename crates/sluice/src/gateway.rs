//! The running gateway: what answers on the control socket.

use crate::changes;
use crate::clock::Clock;
use crate::error::Error;
use crate::firewall::{self, Counters, Live, Pulse, Recording, Services};
use crate::metering::{Meter, reading};
use crate::output::units;
use crate::socket::protocol::*;
use crate::socket::server::{Gateway, SessionPage};
use crate::state::{StateDir, hash};
use crate::tracer::Tracer;
use api::{Caller, Cloud, Params, Principal, Sealer, Service};
use control::audit::{Actor, Event};
use control::metering::{Reading, Totals};
use control::{Control, DataPlane, Draft, Refusal, StartError};
use datapath::maps::Adopted;
use datapath::{Datapath, PortStatus};
use engine::{DropView, Engine, PortRef, SessionFilter, Time, TraceView};
use flow::abi::Punt;
use flow::reason::Reason;
use model::{Config, Driver};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use store::{Sqlite, Store};

/// Who calls over the control socket.
const LOCAL: &str = "control-socket";

/// Where the hash of the configuration file is stored that the resources were taken from last.
const FILE_HASH: &str = "/file/sha256";

/// A gateway: its data path, and the control plane over it.
pub struct Daemon {
    name: String,
    started: Instant,
    control: Arc<Control>,
    cloud: Arc<Cloud>,
    plane: Arc<Plane>,
    tracer: Tracer,
    store: Arc<Sqlite>,
    meter: Meter,
    counters: Counters,
    clock: Clock,
    services: Arc<Services>,
    recording: Arc<Recording>,
    pulse: Pulse,
    state: StateDir,
}

/// The data path, until it is stopped.
pub(crate) struct Plane(RwLock<Option<Datapath>>);

impl Plane {
    /// Works with what runs.
    fn with<T>(&self, work: impl FnOnce(&Datapath) -> Result<T, String>) -> Result<T, String> {
        let running = self.0.read().unwrap_or_else(PoisonError::into_inner);
        work(running.as_ref().ok_or(STOPPING)?)
    }

    /// Asks the engine, between two packets.
    pub(crate) fn engine<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Engine, Time) -> T + Send + 'static,
    ) -> Result<T, String> {
        self.with(|datapath| {
            let answer = datapath.engine(|engine, _, now| question(engine, now));
            answer.map_err(|error| error.to_string())
        })
    }
}

/// What the control plane holds of the data path.
struct Applier {
    plane: Arc<Plane>,
    services: Arc<Services>,
    recording: Arc<Recording>,
}

impl DataPlane for Applier {
    fn apply(&self, config: &Config) -> Result<(), String> {
        self.plane
            .with(|datapath| datapath.apply(config).map_err(|error| error.to_string()))?;
        self.recording.configure(config);
        self.services.configure(config);
        Ok(())
    }
}

/// What the metering holds of the data path.
struct Reader(Arc<Plane>);

impl Totals for Reader {
    fn read(&self, forget: &[u64]) -> Result<Reading, String> {
        let forget = forget.to_vec();
        let usage = self.0.engine(move |engine, _| {
            engine.forget_usage(&forget);
            engine.usage()
        });
        usage.map(reading)
    }
}

impl Daemon {
    /// Brings the stored resources into force; first those of the configuration file, whose text is `text`, if
    /// it is another than the one that they were taken from last.
    ///
    /// # Errors
    /// If the store cannot be read or written, or the data path cannot be brought up.
    pub fn start(state: StateDir, path: &Path, text: &str, file: Config) -> Result<Daemon, Error> {
        let name = file.system.name.clone();
        let store = Arc::new(Sqlite::open(state.database()).map_err(StartError::Store)?);
        let plane = Arc::new(Plane(RwLock::new(None)));
        let recording = Arc::new(Recording::new(state.path()));
        let services = Services::start(state.path(), Arc::clone(&plane));
        let services = Arc::new(services.map_err(Error::io("start a thread"))?);
        let hash = hash(text);
        let known = store.get(FILE_HASH).map_err(StartError::Store)?;
        let open = |config: &Config| -> Result<Box<dyn DataPlane>, Error> {
            recording.configure(config);
            let datapath = Datapath::open_recording(config, None, recording.recorder())
                .map_err(|error| Error::NotInForce(located(text, &error.to_string())))?;
            match datapath.adopted() {
                Adopted::Fresh => {}
                Adopted::Same => {
                    let adopted = datapath.engine(|engine, _, _| engine.stats().adopted)?;
                    let sessions = units::plural(adopted, "session");
                    tracing::info!("{sessions} of an earlier gateway go on");
                }
                Adopted::Replaced(why) => {
                    tracing::warn!("{why}: the sessions of the earlier gateway have ended");
                }
            }
            let mut running = plane.0.write().unwrap_or_else(PoisonError::into_inner);
            *running = Some(datapath);
            drop(running);
            services.configure(config);
            Ok(Box::new(Applier {
                plane: Arc::clone(&plane),
                services: Arc::clone(&services),
                recording: Arc::clone(&recording),
            }))
        };
        let first = |draft: &mut Draft| -> Result<(), Error> {
            let path = path.display();
            match known {
                Some(known) if known.value == hash.as_bytes() => {
                    tracing::info!("the stored resources go on: {path} has not changed");
                    return Ok(());
                }
                Some(_) => tracing::info!("{path} was edited: it is applied"),
                None => {}
            }
            draft.import(&file).map_err(StartError::Refused)?;
            let event = applied(Actor::Start, &hash).map_err(StartError::Refused)?;
            draft.put_on_record(event);
            draft.write_beside(FILE_HASH.into(), hash.into_bytes());
            Ok(())
        };
        let sealing = state.api_dir()?.join("secrets.key");
        let sealed = sealing.exists();
        let sealer = Sealer::open(&sealing)?;
        let control = Arc::new(Control::start(
            store.clone(),
            datapath::wall(),
            first,
            open,
        )?);
        let keys = control.cloud().access_keys.len();
        if !sealed && keys > 0 {
            tracing::warn!(
                "{} was not there and is made anew: {} that were made before can sign nothing more, \
                 unless a copy of the file is brought back",
                sealing.display(),
                units::plural(keys as u64, "access key"),
            );
        }
        let meter = Meter::start(&state.usage(), Box::new(Reader(Arc::clone(&plane))))?;
        let counters = Counters::start(&state.hits(), Arc::clone(&plane))?;
        let tracer = Tracer::new(Arc::clone(&control), Arc::clone(&plane));
        let cloud = Cloud::new(Arc::clone(&control), sealer)
            .metered(meter.metering())
            .with_tracer(Box::new(tracer.clone()))
            .with_firewalls(Box::new(Live::new(
                Arc::clone(&plane),
                Arc::clone(&services),
            )));
        let pulse = Pulse::start(Arc::clone(&plane), Arc::clone(&services))?;
        Ok(Daemon {
            name,
            started: Instant::now(),
            cloud: Arc::new(cloud),
            tracer,
            clock: Clock::start(Arc::clone(&control))?,
            control,
            meter,
            counters,
            plane,
            services,
            recording,
            pulse,
            store,
            state,
        })
    }

    /// The state directory.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// The cloud API over it.
    pub fn cloud(&self) -> Arc<Cloud> {
        Arc::clone(&self.cloud)
    }

    /// Stops it since its start could not be finished: what this start has made is removed, what an earlier one has left
    /// stays.
    pub fn give_up(&self) {
        let running = self.plane.0.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = running
            .as_ref()
            .is_some_and(|it| matches!(it.adopted(), Adopted::Fresh));
        drop(running);
        if let Err(error) = self.stop(fresh) {
            tracing::warn!("{error}");
        }
    }

    /// Stops the data path, after the request that is being worked on. What is in the kernel stays,
    /// unless it is to be removed.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn stop(&self, remove: bool) -> Result<(), Error> {
        self.clock.stop();
        self.pulse.stop();
        self.services.stop();
        self.meter.stop();
        self.counters.stop();
        let mut running = self.plane.0.write().unwrap_or_else(PoisonError::into_inner);
        let stopped = match running.take() {
            Some(datapath) if remove => Ok(datapath.remove()?),
            _ => Ok(()),
        };
        // What was recorded up to the end is written.
        self.recording.stop();
        stopped
    }
}

const STOPPING: &str = "the gateway is stopping";

/// The audit trail's event of a configuration file that is applied, named by the hash of its text.
fn applied(actor: Actor, hash: &str) -> control::Result<Event> {
    let operation = ["Sluice", env!("CARGO_PKG_VERSION"), "Apply"];
    let mut event = Event::new(api::new_request_id()?, datapath::wall(), actor, operation);
    event.params.insert("Sha256".into(), hash.into());
    Ok(event)
}

/// The most resources that the event of a file names.
const MAX_NAMED: usize = 64;

impl Daemon {
    /// Takes in what a configuration file says; what is to go on record of that; nothing, if it is only to be said
    /// what would change.
    fn take(&self, text: &str, event: Option<Event>) -> Result<Applied, String> {
        let begin = Instant::now();
        let check = event.is_none();
        let file = model::file::parse(text).map_err(|error| error.to_string())?;
        let old = self.control.cloud().file();
        let mut applied = Applied {
            check,
            changes: Vec::new(),
            notes: notes(&old, &file)?,
            micros: 0,
        };
        let changed = self.control.change(datapath::wall(), |draft| {
            draft.import(&file)?;
            draft.dry_run = check;
            draft.renew = true;
            applied.changes = changes::between(&old, &draft.file());
            if let Some(mut event) = event {
                let changes = applied.changes.iter();
                let named =
                    changes.flat_map(|it| it.added.iter().chain(&it.changed).chain(&it.removed));
                event.resources = named.take(MAX_NAMED).cloned().collect();
                draft.put_on_record(event);
            }
            Ok(())
        });
        match changed {
            Err(refusal) if check && refusal.is_dry_run() => {}
            changed => changed.map_err(|refusal| located(text, &refusal.message))?,
        }
        applied.micros = begin.elapsed().as_micros() as u64;
        if !check {
            let time = units::micros(applied.micros);
            let kinds = applied.changes.iter().map(|change| &*change.kind);
            let kinds = kinds.collect::<Vec<_>>().join(", ");
            match &*kinds {
                "" => tracing::info!("configuration applied in {time}; nothing has changed"),
                kinds => tracing::info!("configuration applied in {time}; changed: {kinds}"),
            }
        }
        Ok(applied)
    }
}

impl Gateway for Daemon {
    fn version(&self) -> VersionView {
        VersionView {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime: self.started.elapsed().as_secs(),
        }
    }

    fn apply(&self, uid: u32, text: &str, check: bool) -> Result<Applied, String> {
        if check {
            return self.take(text, None);
        }
        let event = applied(Actor::Local { uid }, &hash(text)).map_err(|it| it.message)?;
        self.take(text, Some(event.clone())).inspect_err(|why| {
            let refused = event.refused(&Refusal::bad("OperationFailed.Apply", why.clone()));
            if let Err(error) = self.control.record(&refused) {
                tracing::error!("{error}");
            }
        })
    }

    fn sessions(&self, cursor: u32, query: &SessionQuery) -> Result<SessionPage, String> {
        let filter = SessionFilter {
            eni: query.eni.clone(),
            gateway: query.gateway.clone(),
            protocol: query.protocol,
            address: query.address,
        };
        let config = self.control.config();
        let Config {
            enis, nat_gateways, ..
        } = &*config;
        if let Some(id) = &query.eni
            && !enis.iter().any(|eni| eni.id == *id)
        {
            return Err(format!("there is no instance or network interface {id:?}"));
        }
        if let Some(id) = &query.gateway
            && !nat_gateways.iter().any(|gateway| gateway.id == *id)
        {
            return Err(format!("there is no NAT gateway {id:?}"));
        }
        let page = move |engine: &mut Engine, now| engine.sessions(cursor, PAGE, &filter, now);
        self.plane.engine(page)
    }

    fn live_sessions(&self) -> Result<u64, String> {
        let stats = self.plane.engine(|engine, _| engine.stats())?;
        Ok(stats.sessions)
    }

    fn ports(&self) -> Result<Vec<PortView>, String> {
        let config = self.control.config();
        self.plane.with(|datapath| {
            let ports = datapath.ports().map_err(|it| it.to_string())?;
            Ok(ports
                .into_iter()
                .map(|port| port_view(&config, port))
                .collect())
        })
    }

    fn stats(&self) -> Result<StatsReport, String> {
        let engine = self.plane.engine(|engine, _| engine.stats())?;
        self.plane.with(|datapath| {
            let kernel = datapath.counters().map_err(|it| it.to_string())?;
            let punted = Punt::ALL.iter().map(|&punt| PuntView {
                reason: punt.name().into(),
                packets: kernel.punt(punt),
            });
            let drops = Reason::ALL.iter().map(|&reason| {
                let decided = engine
                    .drops
                    .iter()
                    .find(|drop| drop.reason == reason.name());
                let sending = match reason {
                    Reason::SendFailed => datapath.sent().failed(),
                    _ => 0,
                };
                let decided = decided.map_or(0, |drop| drop.packets);
                DropView {
                    reason: reason.name().into(),
                    meaning: reason.meaning().into(),
                    packets: kernel.dropped(reason) + decided + sending,
                }
            });
            Ok(StatsReport {
                sessions: engine.sessions,
                max_sessions: engine.max_sessions,
                opened: engine.opened,
                closed: engine.closed,
                drained: engine.drained,
                adopted: engine.adopted,
                not_offloaded: engine.not_offloaded,
                packets: PacketsView {
                    kernel: kernel.hit(),
                    host: kernel.pass(),
                    punted: punted.filter(|it| it.packets > 0).collect(),
                    slow_path: engine.packets,
                    forwarded: engine.forwarded,
                    answered: engine.answered,
                    originated: engine.originated,
                },
                drops: drops.filter(|it| it.packets > 0).collect(),
                eips: engine.eips,
                bandwidth: engine.bandwidth,
                records: self.records(),
                firewall: self.plane.engine(|engine, _| engine.firewall_stats())?,
            })
        })
    }

    fn trace(&self, query: &TraceQuery) -> Result<TraceView, String> {
        self.tracer.ask(query)
    }

    fn records(&self) -> RecordsView {
        let recorded = self.recording.recorded();
        RecordsView {
            directory: recorded.directory,
            written: recorded.written,
            overrun: recorded.overrun,
            failed: recorded.failed,
        }
    }

    fn intel(&self, refresh: Option<&str>) -> Result<IntelView, String> {
        self.services.view(refresh)
    }

    fn resolve(&self, name: &str) -> Result<NameView, String> {
        let name = model::domain::normalise(name).map_err(|error| error.to_string())?;
        let found = self.services.resolver().now(&name)?;
        Ok(firewall::name_view(name, found))
    }

    fn call(
        &self,
        uid: u32,
        version: String,
        action: String,
        params: Vec<(String, String)>,
    ) -> Result<serde_json::Map<String, serde_json::Value>, String> {
        let mut params: Params = params.into_iter().collect();
        let regions = self.control.cloud().regions();
        if let (None, Some(region)) = (params.get("RegionId"), regions.first()) {
            params.insert("RegionId", &*region.id);
        }
        let request = api::Request {
            id: api::new_request_id().map_err(|error| error.to_string())?,
            version,
            action,
            params,
            caller: Caller {
                principal: Principal::Local { uid },
                address: Ipv4Addr::LOCALHOST.into(),
                user_agent: LOCAL.into(),
            },
        };
        let mut answer = self.cloud.answer(&request).map_err(|it| it.to_string())?;
        answer.insert("RequestId".into(), request.id.into());
        Ok(answer)
    }

    fn export(&self) -> Result<String, String> {
        crate::export::text(&self.control.cloud())
    }

    fn backup(&self, path: &Path) -> Result<u64, String> {
        if !path.is_absolute() {
            return Err(format!("{} is not an absolute path", path.display()));
        }
        self.store.backup(path).map_err(|error| error.to_string())?;
        let copy =
            std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(copy.len())
    }

    fn namespace(&self, instance: &str) -> Result<String, String> {
        namespace(&self.control.config(), instance)
    }
}

/// An error about an interface, with the line of the configuration that names it, if there is one.
fn located(text: &str, error: &str) -> String {
    let names = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let device = value.trim().strip_prefix('"')?.split('"').next()?;
        (key.trim() == "device" && error.contains(&format!(" {device} "))).then_some(())
    };
    match text.lines().position(|line| names(line).is_some()) {
        Some(line) => format!("line {}: {error}", line + 1),
        None => error.to_owned(),
    }
}

/// What the user must know about a change, or why it cannot be made while the gateway runs.
fn notes(old: &Config, new: &Config) -> Result<Vec<String>, String> {
    if old.system.name != new.system.name {
        return Err(format!(
            "system: name {:?} is another gateway's: this is {:?}. A name cannot change: start a new gateway, \
             or say which one is meant with --name",
            new.system.name, old.system.name
        ));
    }
    let mut notes = Vec::new();
    if old.system.max_sessions != new.system.max_sessions {
        notes.push(
            "max_sessions takes effect when the gateway is started next; sessions end then".into(),
        );
    }
    Ok(notes)
}

fn port_view(config: &Config, port: PortStatus) -> PortView {
    let (kind, id, address) = match port.port {
        PortRef::Eni(id) => {
            let eni = config.enis.iter().find(|eni| eni.id == id);
            ("eni", id, eni.map(|eni| eni.address.to_string()))
        }
        PortRef::Uplink(id) => {
            let uplink = config.uplinks.iter().find(|uplink| uplink.id == id);
            let address = uplink.and_then(|uplink| uplink.address);
            ("uplink", id, address.map(|address| address.to_string()))
        }
    };
    PortView {
        id,
        kind: kind.into(),
        address,
        device: port.device,
        ifindex: port.ifindex,
        driver: port.driver,
        mac: port.mac.map(|byte| format!("{byte:02x}")).join(":"),
        mtu: port.mtu,
        hook: port.hook.name().into(),
        up: port.up,
        namespace: port.namespace,
        rx_packets: port.counters.rx_packets,
        rx_bytes: port.counters.rx_bytes,
        rx_dropped: port.counters.rx_dropped,
        tx_packets: port.counters.tx_packets,
        tx_bytes: port.counters.tx_bytes,
        tx_dropped: port.counters.tx_dropped,
        queue_full: port.queue_full,
    }
}

/// The network namespace that an instance runs in.
fn namespace(config: &Config, instance: &str) -> Result<String, String> {
    let mut enis = config.enis.iter().filter(|eni| eni.instance == instance);
    match enis.clone().next().map(|eni| &eni.driver) {
        _ if enis.any(|eni| eni.driver == Driver::Netns) => Ok(config.system.namespace(instance)),
        Some(Driver::Device { device }) => Err(format!(
            "instance {instance:?} is what is connected to the interface {device}: \
             no program can be run there from here"
        )),
        _ => Err(format!("there is no instance {instance:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = include_str!("../../../docs/example.toml");
        model::file::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn only_instances_with_a_namespace_of_ours_can_run_programs() {
        let config = config();
        assert_eq!(namespace(&config, "web-1"), Ok("sluice-web-1".into()));
        assert!(namespace(&config, "db").unwrap_err().contains("tap0"));
        assert!(
            namespace(&config, "db-backup")
                .unwrap_err()
                .contains("no instance")
        );
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error_with_its_line() {
        let text = include_str!("../../../docs/example.toml");
        let error = datapath::Error::NoDevice {
            resource: "uplink wan".into(),
            device: "eth1".into(),
        };
        let line = text.lines().position(|line| line == "device = \"eth1\"");
        let told = located(text, &error.to_string());
        let begin = format!("line {}: uplink wan: ", line.unwrap() + 1);
        assert!(told.starts_with(&begin), "{told}");
        assert_eq!(located("", &error.to_string()), error.to_string());
        let other = datapath::Error::Stopped;
        assert_eq!(located(text, &other.to_string()), other.to_string());
    }

    #[test]
    fn a_name_cannot_change_and_the_size_of_the_table_only_at_the_next_start() {
        let old = config();
        assert_eq!(notes(&old, &old), Ok(vec![]));
        let mut new = old.clone();
        new.system.max_sessions *= 2;
        assert_eq!(notes(&old, &new).unwrap().len(), 1);
        new.system.name = "other".into();
        let error = notes(&old, &new).unwrap_err();
        assert!(
            error.contains("other") && error.contains("sluice"),
            "{error}"
        );
    }
}
