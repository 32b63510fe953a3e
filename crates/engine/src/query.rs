//! What the engine tells about itself.

use crate::again::NOBODY;
use crate::answers::{eip_answers, may_send};
use crate::decide::{self, Denied, Entry, From};
use crate::engine::{Core, Engine};
use crate::explain::Recorder;
use crate::io::Time;
use crate::sessions::{Session, Way};
use crate::snapshot::{Binding, Owner, Snapshot, Uplink};
use crate::tuple;
use crate::view::{DropView, EipView, SessionView, StatsView, StepView, TraceView, UsageView};
use crate::walk::Told;
use flow::reason::Reason;
use flow::{Key, proto};
use model::App;
use std::cell::Cell;
use std::net::Ipv4Addr;
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
    /// What it would turn out to speak, if that is to be thought of, too.
    #[serde(default)]
    pub app: Option<App>,
    /// The domain that it would turn out to be for; of DNS the name asked for.
    #[serde(default)]
    pub domain: Option<String>,
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
        let places = self.core.sessions.places();
        let looked_at = u32::try_from(limit.saturating_mul(16).max(1)).unwrap_or(u32::MAX);
        let last = places.min(cursor.saturating_add(looked_at));
        for ix in cursor..last {
            if found.len() >= limit {
                return (found, Some(ix));
            }
            if let Some(session) = self.core.sessions.get(ix)
                && self.fits(session, filter)
            {
                found.push(self.session_view(session, now));
            }
        }
        (found, (last < places).then_some(last))
    }

    /// What a session was decided by.
    fn snapshot_of(&self, session: &Session) -> &Snapshot {
        let again = &self.core.again;
        let before = again.snapshot(session).filter(|_| again.waits(session));
        before.unwrap_or(&self.snapshot)
    }

    fn fits(&self, session: &Session, filter: &SessionFilter) -> bool {
        let s = self.snapshot_of(session);
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
        let s = self.snapshot_of(session);
        let eni = s.eni(session.eni);
        let (state, idle, timeout) = self.core.idleness(s, session, now);
        let [original, reply] = self.core.activity(session);
        let judged = session.judged.map(|judged| self.core.watch.get(judged));
        let curtain = judged.and_then(|it| it.curtain.name());
        let wall = self.core.watch.wall(now);
        let drains = session
            .drains
            .map(|until| u64::from(until).saturating_sub(wall));
        let expires = seconds(timeout.saturating_sub(idle));
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
            expires: drains.map_or(expires, |drains| drains.min(expires)),
            drains,
            offloaded: session.slow.is_none() && curtain.is_none(),
            firewall: curtain.map(Into::into),
            app: judged.and_then(|it| it.app).map(|app| app.name().into()),
            domain: judged.and_then(|it| it.domain.as_deref()).map(Into::into),
            hidden: judged.is_some_and(|it| it.hidden),
        }
    }

    /// The engine's counters.
    pub fn stats(&self) -> StatsView {
        let s = &self.snapshot;
        let c = &self.core.counters;
        let drops = Reason::ALL.iter().filter_map(|&reason| {
            let packets = c.drops[reason as usize];
            (packets > 0).then(|| DropView {
                reason: reason.name().into(),
                meaning: reason.meaning().into(),
                packets,
            })
        });
        let eips = s.eips.iter().map(|eip| {
            let (ports_used, sessions, ports_exhausted) = self.core.nat.usage(eip.outer);
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
            sessions: self.core.sessions.len() as u64,
            max_sessions: s.max_sessions as u64,
            opened: c.opened,
            closed: c.closed,
            drained: c.drained,
            adopted: c.adopted,
            not_offloaded: self.core.sessions.not_offloaded() as u64,
            packets: c.packets,
            forwarded: c.forwarded,
            answered: c.answered,
            originated: c.originated + self.core.neighbours.asked(),
            drops: drops.collect(),
            eips: eips.collect(),
            bandwidth: self.core.meters.view(s),
        }
    }

    /// What has gone by the EIPs. The highest numbers of sessions are those since the last call.
    pub fn usage(&mut self) -> UsageView {
        UsageView {
            sources: self.core.sources.view(),
            ..self.core.usage.view()
        }
    }

    /// Gives back accounts of EIPs that are gone, or bound to something else now: who called
    /// [`usage`](Engine::usage) has kept what they said.
    pub fn forget_usage(&mut self, owners: &[u64]) {
        self.core.usage.forget(owners);
    }

    /// What would happen to a packet, step by step. Nothing changes.
    pub fn trace(&self, probe: &Probe) -> Result<TraceView, TraceError> {
        let (owner, key) = self.imagine(probe)?;
        let mut steps: Vec<StepView> = Vec::new();
        let told = Told::of(probe);
        let (verdict, translated) =
            match self
                .core
                .walk(&self.snapshot, owner, &key, told, &mut steps)
            {
                Ok(Some(translated)) => ("forwarded", Some(tuple::view(&translated))),
                Ok(None) => ("answered", None),
                Err(reason) => (reason.name(), None),
            };
        Ok(TraceView {
            steps,
            verdict: verdict.into(),
            translated,
        })
    }

    /// The port that a probe would come in by, and its key.
    fn imagine(&self, probe: &Probe) -> Result<(Owner, Key), TraceError> {
        let s = &self.snapshot;
        let (owner, src, port) = match &probe.from {
            ProbeFrom::Eni(id) => {
                let ix = s.enis.iter().position(|eni| eni.id == *id);
                let ix = ix.ok_or_else(|| TraceError::UnknownEni(id.clone()))?;
                let eni = &s.enis[ix];
                (Owner::Eni(ix as u32), eni.address, eni.port)
            }
            ProbeFrom::Address(address) => {
                let own =
                    |uplink: &Uplink| uplink.address.is_some_and(|net| net.addr() == probe.to);
                let ix = match s.by_eip.get(&probe.to) {
                    Some(&eip) => s.eip(eip).uplink.map(|ix| ix as usize),
                    None => s.uplinks.iter().position(own),
                };
                let ix = ix.unwrap_or(0);
                let uplink = s.uplinks.get(ix).ok_or(TraceError::NoUplink)?;
                (Owner::Uplink(ix as u32), *address, uplink.port)
            }
        };
        let (sport, dport) = match probe.protocol {
            proto::ICMP => (probe.src_port.to_be(), tuple::ECHO_REQUEST),
            proto::TCP | proto::UDP => (probe.src_port.to_be(), probe.dst_port.to_be()),
            _ => (0, 0),
        };
        let key = Key {
            src: tuple::raw(src),
            dst: tuple::raw(probe.to),
            sport,
            dport,
            zone: s.ports[port].link.zone,
            proto: probe.protocol,
        };
        Ok((owner, key))
    }
}

impl Core {
    /// Does as [`Engine::frame`] would, without doing it. Gives the translated tuple; `None` if the packet
    /// would be answered.
    fn walk(
        &self,
        s: &Snapshot,
        owner: Owner,
        key: &Key,
        told: Told,
        steps: &mut Vec<StepView>,
    ) -> Result<Option<Key>, Reason> {
        let from = From::of(owner);
        if let Some(translated) = self.walk_session(s, from, key, steps) {
            return Ok(Some(translated));
        }
        if self.is_gateway(s, owner, key) {
            steps.step("gateway", || (None, "is asked itself".into()));
            return match key.proto {
                _ if !may_send(s, owner, key.src) => Err(Reason::Spoofed),
                proto::ICMP => Ok(None),
                _ => Err(Reason::GatewayUnanswered),
            };
        }
        let plan = match decide::decide(s, &self.nat, from, key, None, steps) {
            Ok(plan) => plan,
            Err(denied) => {
                let now = self.watch.latest;
                let refusal = self.firewalls_refuse(s, from, key, &denied, now, steps);
                return match refusal {
                    Some(refusal) => Err(refusal.ruling.reason()),
                    None if eip_answers(s, from, key, denied.reason) => Ok(None),
                    None => Err(denied.reason),
                };
            }
        };
        let translation = self
            .admit(s, &plan, key)
            .map_err(Denied::from)
            .and_then(|()| self.translate(s, &plan, key, &Cell::new(NOBODY), steps));
        let reply = match translation {
            Ok(translation) => translation.reply,
            Err(denied) => {
                steps.step("drop", || (None, denied.reason.meaning().into()));
                return Err(denied.reason);
            }
        };
        let keys = [*key, reply];
        self.walk_firewalls(s, &plan, &keys, told, steps)?;
        let translated = tuple::reverse(&reply, 0);
        if translated != (Key { zone: 0, ..*key }) {
            steps.step("translation", || {
                let entry = plan.entry.map(|entry| entry_id(s, entry));
                (entry, arrow(&translated))
            });
        }
        Ok(Some(translated))
    }

    /// What a live session with this key says: how its packets leave.
    fn walk_session(
        &self,
        s: &Snapshot,
        from: From,
        key: &Key,
        steps: &mut Vec<StepView>,
    ) -> Option<Key> {
        let (ix, way) = self.find(key)?;
        let session = self.sessions.session(ix);
        let entry = match self.again.waits(session) {
            // It would be decided again first.
            true => self.plan_again(s, ix)?.entry,
            false => session.entry,
        };
        let zone = session.keys[way.other() as usize].zone;
        let translated = tuple::reverse(&session.keys[way.other() as usize], 0);
        let had = Some(translated.src);
        // A SYN on the tuple of a connection that is over opens another one, if that is allowed.
        let over = self.is_over(ix);
        let stays = match way {
            Way::Original => {
                decide::decide(s, &self.nat, from, key, had, steps).is_ok_and(|plan| {
                    plan.drains.is_none() && decide::still_fits(s, &plan, key, &translated, zone)
                })
            }
            Way::Reply => self.may_turn(s, from, ix, key) != Some(false),
        };
        if over && !stays {
            steps.clear();
            return None;
        }
        steps.step("session", || {
            let entry = entry.map(|entry| entry_id(s, entry));
            (entry, format!("is there already: {}", arrow(&translated)))
        });
        Some(translated)
    }
}

/// A tuple in one line.
fn arrow(key: &Key) -> String {
    let v = tuple::view(key);
    format!("{}:{} -> {}:{}", v.src, v.src_port, v.dst, v.dst_port)
}

fn entry_id(s: &Snapshot, entry: Entry) -> String {
    match entry {
        Entry::Snat(g, ix) => s.gateway(g).entries[ix as usize].id.clone(),
        Entry::Dnat(g, ix) => s.gateway(g).dnat[ix as usize].clone(),
        Entry::Eip(ix) => s.eip(ix).id.clone(),
    }
}
