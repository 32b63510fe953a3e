//! What the engine tells about itself.

use crate::decide::{self, Entry, From, Source};
use crate::engine::Engine;
use crate::explain::Recorder;
use crate::io::Time;
use crate::sessions::Session;
use crate::snapshot::{Binding, Snapshot};
use crate::tuple;
use crate::view::{DropView, EipView, SessionView, StatsView, StepView, TraceView};
use flow::reason::Reason;
use flow::{Key, proto};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// Which sessions are wanted. Everything that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionFilter {
    /// Those of this network interface.
    pub eni: Option<String>,
    /// Those through this NAT gateway.
    pub gateway: Option<String>,
    /// Those of this IP protocol.
    pub protocol: Option<u8>,
    /// Those with this address at either end, before or after translation.
    pub address: Option<Ipv4Addr>,
}

/// A packet that somebody thinks of.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Probe {
    /// Where it comes from.
    pub from: ProbeFrom,
    /// Its source port; for ICMP echo the identifier.
    pub src_port: u16,
    /// Its destination.
    pub to: Ipv4Addr,
    /// Its destination port; not used for ICMP echo.
    pub dst_port: u16,
    /// IP protocol. TCP stands for a SYN, ICMP for an echo request.
    pub protocol: u8,
}

/// Where a probe comes from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFrom {
    /// A network interface (for an instance: its primary one), with its own address.
    Eni(model::Id),
    /// An address outside.
    Address(Ipv4Addr),
}

/// The probe cannot be traced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// There is no such network interface.
    #[error("there is no instance or network interface {0:?}")]
    UnknownEni(model::Id),
    /// Nothing comes from outside without an uplink.
    #[error("there is no uplink that a packet from outside could come in by")]
    NoUplink,
}

fn seconds(ticks: u32) -> u64 {
    Duration::from_nanos((ticks as u64) << 20).as_secs()
}

impl Engine {
    /// A page of the live sessions: at most `limit` that fit, looking at no more than 16 times as many.
    /// The second value is where the next page begins, if there is one.
    pub fn sessions(
        &self,
        cursor: u32,
        limit: usize,
        filter: &SessionFilter,
        now: Time,
    ) -> (Vec<SessionView>, Option<u32>) {
        let mut found = Vec::new();
        let places = self.sessions.places();
        let last = places.min(cursor.saturating_add(limit.saturating_mul(16).max(1) as u32));
        for ix in cursor..last {
            if found.len() >= limit {
                return (found, Some(ix));
            }
            if let Some(session) = self.sessions.get(ix)
                && self.fits(session, filter)
            {
                found.push(self.session_view(session, now));
            }
        }
        (found, (last < places).then_some(last))
    }

    fn fits(&self, session: &Session, filter: &SessionFilter) -> bool {
        let s = &self.snapshot;
        let gateway = || session.gateway.map(|g| &s.gateway(g).id);
        let touches = |address: Ipv4Addr| {
            let raw = tuple::raw(address);
            session
                .keys
                .iter()
                .any(|key| key.src == raw || key.dst == raw)
        };
        filter
            .eni
            .as_ref()
            .is_none_or(|eni| s.eni(session.eni).id == *eni)
            && filter
                .gateway
                .as_ref()
                .is_none_or(|id| gateway() == Some(id))
            && filter
                .protocol
                .is_none_or(|protocol| session.keys[0].proto == protocol)
            && filter.address.is_none_or(touches)
    }

    fn session_view(&self, session: &Session, now: Time) -> SessionView {
        let s = &self.snapshot;
        let eni = s.eni(session.eni);
        let (state, idle, timeout) = self.idleness(session, now);
        let [original, reply] = self.activity(session);
        SessionView {
            protocol: tuple::protocol(session.keys[0].proto),
            direction: session.direction.name().into(),
            vpc: s.vpc(eni.vpc).id.clone(),
            eni: eni.id.clone(),
            gateway: session.gateway.map(|g| s.gateway(g).id.clone()),
            entry: session.entry.map(|entry| entry_id(s, entry)),
            original: tuple::view(&session.keys[0]),
            translated: tuple::view(&tuple::reverse(&session.keys[1], 0)),
            state: state.name().into(),
            packets_out: original.packets,
            bytes_out: original.bytes,
            packets_in: reply.packets,
            bytes_in: reply.bytes,
            age: now.second().saturating_sub(session.start) as u64,
            idle: seconds(idle),
            expires: seconds(timeout.saturating_sub(idle)),
            offloaded: session.slow.is_none(),
        }
    }

    /// The engine's counters.
    pub fn stats(&self) -> StatsView {
        let s = &self.snapshot;
        let c = &self.counters;
        let drops = Reason::ALL.iter().filter_map(|&reason| {
            let packets = c.drops[reason as usize];
            (packets > 0).then(|| DropView {
                reason: reason.name().into(),
                meaning: reason.meaning().into(),
                packets,
            })
        });
        let eips = s.eips.iter().map(|eip| {
            let (ports_used, sessions, ports_exhausted) = self.nat.usage(eip.address);
            let (binding, ports) = match eip.binding {
                Binding::None => (None, None),
                Binding::Eni(eni) => (Some(s.eni(eni).id.clone()), None),
                Binding::Gateway(g) => {
                    let gateway = s.gateway(g);
                    (Some(gateway.id.clone()), Some(&gateway.ports))
                }
            };
            EipView {
                eip: eip.id.clone(),
                address: eip.address,
                binding,
                ports_used,
                ports_total: ports.map_or(0, |range| range.len() as u32),
                sessions,
                ports_exhausted,
            }
        });
        StatsView {
            sessions: self.sessions.len() as u64,
            max_sessions: s.max_sessions as u64,
            opened: c.opened,
            closed: c.closed,
            adopted: c.adopted,
            not_offloaded: self.not_offloaded as u64,
            packets: c.packets,
            forwarded: c.forwarded,
            originated: c.originated,
            drops: drops.collect(),
            eips: eips.collect(),
        }
    }

    /// What would happen to a packet, step by step. Nothing changes.
    pub fn trace(&self, probe: &Probe) -> Result<TraceView, TraceError> {
        let s = Arc::clone(&self.snapshot);
        let (from, src, zone) = match &probe.from {
            ProbeFrom::Eni(id) => {
                let ix = s.enis.iter().position(|eni| eni.id == *id);
                let ix = ix.ok_or_else(|| TraceError::UnknownEni(id.clone()))?;
                let eni = &s.enis[ix];
                (
                    From::Eni(ix as u32),
                    eni.address,
                    s.ports[eni.port].link.zone,
                )
            }
            ProbeFrom::Address(address) => {
                let uplink = match s.by_eip.get(&probe.to) {
                    Some(&eip) => s.eip(eip).uplink,
                    None if s.uplinks.is_empty() => return Err(TraceError::NoUplink),
                    None => 0,
                };
                (From::Uplink(uplink), *address, crate::io::UPLINK_ZONE)
            }
        };
        let key = Key {
            src: tuple::raw(src),
            dst: tuple::raw(probe.to),
            sport: if tuple::has_ports(probe.protocol) {
                probe.src_port.to_be()
            } else {
                0
            },
            dport: match probe.protocol {
                proto::ICMP => tuple::ECHO_REQUEST,
                proto::TCP | proto::UDP => probe.dst_port.to_be(),
                _ => 0,
            },
            zone,
            proto: probe.protocol,
        };
        let mut steps: Vec<StepView> = Vec::new();
        let answer = |steps, reason: Option<Reason>, translated: Option<&Key>| TraceView {
            steps,
            verdict: reason.map_or("forwarded", Reason::name).into(),
            translated: translated.map(tuple::view),
        };
        if let Some((ix, _)) = self.sessions.find(&key) {
            let entry = self.sessions.session(ix).entry;
            steps.step("session", || {
                let id = entry.map(|entry| entry_id(&s, entry));
                (
                    id,
                    "a live session has this tuple and decides; a new one would go like this"
                        .into(),
                )
            });
        }
        let plan = match decide::decide(&s, &self.nat, from, &key, None, &mut steps) {
            Ok(plan) => plan,
            Err(denied) => return Ok(answer(steps, Some(denied.reason), None)),
        };
        match self.translate(&s, &plan, &key, &mut steps) {
            Ok(translation) => {
                let translated = tuple::reverse(&translation.reply, 0);
                if matches!(plan.source, Source::Pool { .. })
                    || translated != (Key { zone: 0, ..key })
                {
                    steps.step("translation", || {
                        let v = tuple::view(&translated);
                        let text = format!("{}:{} -> {}:{}", v.src, v.src_port, v.dst, v.dst_port);
                        (plan.entry.map(|entry| entry_id(&s, entry)), text)
                    });
                }
                Ok(answer(steps, None, Some(&translated)))
            }
            Err(denied) => {
                steps.step("drop", || (None, denied.reason.meaning().into()));
                Ok(answer(steps, Some(denied.reason), None))
            }
        }
    }
}

fn entry_id(s: &Snapshot, entry: Entry) -> String {
    match entry {
        Entry::Snat(g, ix) => s.gateway(g).entries[ix as usize].id.clone(),
        Entry::Dnat(g, ix) => s.gateway(g).dnat[ix as usize].clone(),
        Entry::Eip(ix) => s.eip(ix).id.clone(),
    }
}
