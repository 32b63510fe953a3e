//! What would happen to a packet: asked of the engine, for the command line and for the API.

use crate::gateway::Plane;
use crate::socket::protocol::TraceQuery;
use crate::target::Host;
use api::trace::{Flow, Step, Trace};
use control::Control;
use engine::{Probe, ProbeFrom, TraceView};
use model::Config;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// A source port for traced packets that name none: of the range that Linux takes for clients.
const ANY_PORT: u16 = 40_000;

/// What the engine says of a packet that it forwards.
const FORWARDED: &str = "forwarded";

/// What asks the engine about packets.
#[derive(Clone)]
pub(crate) struct Tracer {
    control: Arc<Control>,
    plane: Arc<Plane>,
}

impl Tracer {
    pub(crate) fn new(control: Arc<Control>, plane: Arc<Plane>) -> Tracer {
        Tracer { control, plane }
    }

    /// What would happen to a packet.
    ///
    /// # Errors
    /// If there is no such end, or no data path any more.
    pub(crate) fn ask(&self, query: &TraceQuery) -> Result<TraceView, String> {
        let config = self.control.config();
        let probe = Probe {
            from: origin(&config, &query.from)?,
            src_port: query.from_port.unwrap_or(ANY_PORT),
            to: destination(&config, &query.to)?,
            dst_port: query.to_port.unwrap_or(0),
            protocol: query.protocol,
            app: query.app,
            domain: query.domain.clone(),
        };
        let trace = self.plane.engine(move |engine, _| engine.trace(&probe))?;
        trace.map_err(|error| error.to_string())
    }
}

impl api::trace::Tracer for Tracer {
    fn trace(&self, flow: &Flow) -> Result<Trace, String> {
        let host = |text: &str| text.parse::<Host>().map_err(|error| error.to_string());
        let trace = self.ask(&TraceQuery {
            from: host(&flow.from)?,
            from_port: flow.from_port,
            to: host(&flow.to)?,
            to_port: flow.to_port,
            protocol: flow.protocol,
            app: None,
            domain: None,
        })?;
        Ok(told(trace))
    }
}

/// A trace as the API tells it.
fn told(trace: TraceView) -> Trace {
    let steps = trace.steps.into_iter().map(|it| Step {
        step: it.step,
        resource: it.resource,
        result: it.result,
    });
    Trace {
        steps: steps.collect(),
        forwarded: trace.verdict == FORWARDED,
        verdict: trace.verdict,
        arrives_as: trace.translated.map(|it| {
            let source = SocketAddrV4::new(it.src, it.src_port);
            (source, SocketAddrV4::new(it.dst, it.dst_port))
        }),
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
}
