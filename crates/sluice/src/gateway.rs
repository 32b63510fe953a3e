//! The running gateway: what answers on the control socket.

use crate::changes;
use crate::control::protocol::*;
use crate::control::server::{Gateway, SessionPage};
use crate::error::Error;
use crate::output::units;
use crate::state::{Record, Staged, StateDir, StateError};
use crate::target::Host;
use datapath::maps::Adopted;
use datapath::{Datapath, PortStatus};
use engine::{DropView, Engine, PortRef, Probe, ProbeFrom, SessionFilter, Time, TraceView};
use flow::abi::Punt;
use flow::reason::Reason;
use model::{Config, Driver};
use std::net::Ipv4Addr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

/// A source port for traced packets that name none: of the range that Linux takes for clients.
const ANY_PORT: u16 = 40_000;

/// A gateway: its data path, and the configuration in force.
pub struct Daemon {
    name: String,
    started: Instant,
    state: StateDir,
    running: RwLock<Option<Running>>,
}

struct Running {
    config: Config,
    record: Record,
    datapath: Datapath,
}

impl Running {
    /// Asks the engine, between two packets.
    fn engine<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Engine, Time) -> T + Send + 'static,
    ) -> Result<T, String> {
        self.datapath
            .engine(|engine, _, now| question(engine, now))
            .map_err(|error| error.to_string())
    }
}

impl Daemon {
    /// Brings up the data path and records the configuration as the running one.
    ///
    /// # Errors
    /// If the data path cannot be brought up or the record cannot be written.
    pub fn start(
        state: StateDir,
        config_hash: String,
        text: String,
        config: Config,
    ) -> Result<Daemon, Error> {
        let record = Record { config_hash, text };
        let staged = state.stage(&record)?;
        let datapath = Datapath::open(&config, None)
            .map_err(|error| Error::NotInForce(located(&record.text, &error)))?;
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
        staged.commit()?;
        Ok(Daemon {
            name: config.system.name.clone(),
            started: Instant::now(),
            state,
            running: RwLock::new(Some(Running {
                config,
                record,
                datapath,
            })),
        })
    }

    /// Stops the data path, after the request that is being worked on. What is in the kernel stays,
    /// unless it is to be removed.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn stop(&self, remove: bool) -> Result<(), Error> {
        match self.write().take() {
            Some(running) if remove => Ok(running.datapath.remove()?),
            _ => Ok(()),
        }
    }

    /// Goes back to the configuration before a change that could not be recorded, and says how that went.
    fn undo(&self, running: &Running, why: &StateError) -> String {
        let restored = self.state.stage(&running.record).and_then(Staged::commit);
        match (running.datapath.apply(&running.config), restored) {
            (Ok(()), Ok(())) => why.to_string(),
            (Ok(()), Err(_)) => {
                format!("{why}; the change is undone, but may come back with a restart")
            }
            (Err(undo), _) => format!("{why}; the change is in force and cannot be undone: {undo}"),
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Running>> {
        self.running.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Running>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with what runs.
    fn with<T>(&self, work: impl FnOnce(&Running) -> Result<T, String>) -> Result<T, String> {
        match &*self.read() {
            Some(running) => work(running),
            None => Err(STOPPING.into()),
        }
    }
}

const STOPPING: &str = "the gateway is stopping";

impl Gateway for Daemon {
    fn version(&self) -> VersionView {
        VersionView {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime: self.started.elapsed().as_secs(),
        }
    }

    fn apply(&self, text: &str, check: bool) -> Result<Applied, String> {
        let begin = Instant::now();
        let config = model::file::parse(text).map_err(|error| error.to_string())?;
        let mut running = self.write();
        let running = running.as_mut().ok_or(STOPPING)?;
        let mut applied = Applied {
            check,
            changes: changes::between(&running.config, &config),
            notes: notes(&running.config, &config)?,
            micros: 0,
        };
        if !check {
            let record = Record {
                config_hash: running.record.config_hash.clone(),
                text: text.to_owned(),
            };
            // Whatever can fail comes before the packets see the change; then it is made durable.
            let staged = self.state.stage(&record).map_err(|it| it.to_string())?;
            running
                .datapath
                .apply(&config)
                .map_err(|error| located(text, &error))?;
            if let Err(error) = staged.commit() {
                return Err(self.undo(running, &error));
            }
            running.config = config;
            running.record = record;
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

    fn sessions(&self, cursor: u32, query: &SessionQuery) -> Result<SessionPage, String> {
        let filter = SessionFilter {
            eni: query.eni.clone(),
            gateway: query.gateway.clone(),
            protocol: query.protocol,
            address: query.address,
        };
        self.with(|running| {
            let Config {
                enis, nat_gateways, ..
            } = &running.config;
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
            running.engine(page)
        })
    }

    fn live_sessions(&self) -> Result<u64, String> {
        self.with(|running| {
            let stats = running.engine(|engine, _| engine.stats())?;
            Ok(stats.sessions)
        })
    }

    fn ports(&self) -> Result<Vec<PortView>, String> {
        self.with(|running| {
            let ports = running.datapath.ports().map_err(|it| it.to_string())?;
            let view = |port| port_view(&running.config, port);
            Ok(ports.into_iter().map(view).collect())
        })
    }

    fn stats(&self) -> Result<StatsReport, String> {
        self.with(|running| {
            let engine = running.engine(|engine, _| engine.stats())?;
            let kernel = running.datapath.counters().map_err(|it| it.to_string())?;
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
                    Reason::SendFailed => running.datapath.sent().failed(),
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
            })
        })
    }

    fn trace(&self, query: &TraceQuery) -> Result<TraceView, String> {
        self.with(|running| {
            let probe = Probe {
                from: origin(&running.config, &query.from)?,
                src_port: query.from_port.unwrap_or(ANY_PORT),
                to: destination(&running.config, &query.to)?,
                dst_port: query.to_port.unwrap_or(0),
                protocol: query.protocol,
            };
            let trace = running.engine(move |engine, _| engine.trace(&probe))?;
            trace.map_err(|error| error.to_string())
        })
    }

    fn namespace(&self, instance: &str) -> Result<String, String> {
        self.with(|running| namespace(&running.config, instance))
    }
}

/// An error of the data path, with the line of the configuration that it is about, if that is known.
fn located(text: &str, error: &datapath::Error) -> String {
    use datapath::Error::{NoDevice, UnfitDevice};
    let (NoDevice { device, .. } | UnfitDevice { device, .. }) = error else {
        return error.to_string();
    };
    let quoted = format!("\"{device}\"");
    let mut lines = text.lines();
    match lines.position(|line| line.contains("device") && line.contains(&quoted)) {
        Some(line) => format!("line {}: {error}", line + 1),
        None => error.to_string(),
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
    }
}

/// Where a traced packet comes from.
fn origin(config: &Config, host: &Host) -> Result<ProbeFrom, String> {
    match host {
        Host::Address(address) => Ok(ProbeFrom::Address(*address)),
        Host::Name(name) if config.enis.iter().any(|eni| eni.id == *name) => {
            Ok(ProbeFrom::Eni(name.clone()))
        }
        Host::Name(name) => Err(format!(
            "there is no instance or network interface {name:?} that a packet could come from"
        )),
    }
}

/// Where a traced packet goes.
fn destination(config: &Config, host: &Host) -> Result<Ipv4Addr, String> {
    let name = match host {
        Host::Address(address) => return Ok(*address),
        Host::Name(name) => name,
    };
    let eip = config.eips.iter().find(|eip| eip.id == *name);
    let eni = config.enis.iter().find(|eni| eni.id == *name);
    match (eip, eni) {
        (Some(eip), None) => Ok(eip.address),
        (None, Some(eni)) => Ok(eni.address),
        (None, None) => Err(format!(
            "there is no EIP, instance or network interface {name:?}"
        )),
        (Some(eip), Some(eni)) => Err(format!(
            "{name:?} is both an EIP ({}) and an instance ({}): give the address",
            eip.address, eni.address
        )),
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

    fn name(name: &str) -> Host {
        Host::Name(name.into())
    }

    #[test]
    fn ends_of_a_traced_packet_are_found_by_name() {
        let config = config();
        let address = Ipv4Addr::new(203, 0, 113, 9);
        assert_eq!(
            origin(&config, &Host::Address(address)),
            Ok(ProbeFrom::Address(address))
        );
        for eni in ["web-1", "db-backup"] {
            assert_eq!(origin(&config, &name(eni)), Ok(ProbeFrom::Eni(eni.into())));
        }
        assert!(
            origin(&config, &name("eip-1"))
                .unwrap_err()
                .contains("eip-1")
        );
        for (host, address) in [
            (Host::Address(address), [203, 0, 113, 9]),
            (name("eip-1"), [203, 0, 113, 10]),
            (name("web-2"), [192, 168, 1, 11]),
            (name("db-backup"), [10, 20, 1, 20]),
        ] {
            assert_eq!(destination(&config, &host), Ok(Ipv4Addr::from(address)));
        }
        assert!(
            destination(&config, &name("nobody"))
                .unwrap_err()
                .contains("nobody")
        );
    }

    #[test]
    fn a_name_of_two_resources_is_not_guessed_at() {
        let mut config = config();
        config.eips[0].id = "web-1".into();
        let error = destination(&config, &name("web-1")).unwrap_err();
        assert!(
            error.contains("203.0.113.10") && error.contains("192.168.1.10"),
            "{error}"
        );
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
        let told = located(text, &error);
        let begin = format!("line {}: uplink wan: ", line.unwrap() + 1);
        assert!(told.starts_with(&begin), "{told}");
        assert_eq!(located("", &error), error.to_string());
        let other = datapath::Error::Stopped;
        assert_eq!(located(text, &other), other.to_string());
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
