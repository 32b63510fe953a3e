//! Sessions that ask for names. While some policy looks at names, or the DNS firewall has policies, they stay behind
//! the [curtain](crate::curtain): the DNS firewall is asked about each question, and what clients are answered is
//! learned, for them and for as long as it counts.

use crate::curtain::Segment;
use crate::engine::{Arrival, Core};
use crate::explain::Recorder;
use crate::firewall::Dns;
use crate::io::{Output, Time, UPLINK_ZONE};
use crate::record::{Details, FirewallKind};
use crate::sessions::{SessionIx, Way};
use crate::snapshot::Snapshot;
use crate::tuple;
use crate::verdicts::{Ruling, Says};
use crate::wire::{self, Ipv4};
use flow::reason::Reason;
use flow::{Key, proto};
use inspect::dns::{self, Message};
use model::{App, DnsRefusal, EngineMode};
use policy::{Because, Identity, Subject, Verdict};
use std::net::IpAddr;

impl Core {
    /// Looks at a whole packet of a session that asks for names. An error is a packet that must not go on.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn look_at_names(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        frame: &[u8],
        packet: &Ipv4,
        out: &mut impl Output,
    ) -> Result<(), Reason> {
        if packet.proto == proto::TCP {
            let Some(segment) = Segment::read(frame, packet) else {
                return Err(Reason::Malformed);
            };
            let inside = self.sessions.session(ix).keys[0].zone != UPLINK_ZONE;
            let dns = &mut self.watch.dns;
            let taken = dns.take(ix, way, frame, packet, &segment, inside);
            let messages = match taken {
                // It asks for nothing; whether it may go on, other firewalls say.
                Err(Reason::DnsFirewall) if dns.is_foreign(ix) && s.firewalls.dns.is_none() => {
                    Vec::new()
                }
                taken => taken?,
            };
            for message in messages {
                if let Some(ruling) = self.name(s, ix, way, &message, packet, at.now) {
                    self.refuse(s, ix, ruling, at.now);
                    return Err(self.at_the_wall(s, at, ix, way, frame, packet, out));
                }
            }
            return Ok(());
        }
        let message = wire::udp_payload(frame, packet);
        let Some(ruling) = self.name(s, ix, way, message, packet, at.now) else {
            return Ok(());
        };
        self.watch.tally.refused_names += 1;
        let empty = s.firewalls.dns.as_ref().map(|dns| dns.refusal) == Some(DnsRefusal::Empty);
        if let Some(answer) = dns::refuse(message, empty) {
            let key = self.sessions.session(ix).keys[Way::Original as usize];
            let mut answer = wire::datagram(&tuple::reverse(&key, 0), &answer);
            self.answer(at, wire::source_mac(frame), &mut answer, out);
        }
        Err(ruling.reason())
    }

    /// Deals with a message: a question is put before the DNS firewall, an answer is learned. Gives the refusal, if it
    /// is refused.
    fn name(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        way: Way,
        message: &[u8],
        packet: &Ipv4,
        now: Time,
    ) -> Option<Ruling> {
        let message = Message::parse(message);
        let original = self.sessions.session(ix).keys[0];
        let client = tuple::ip(original.src);
        match (way, message) {
            (Way::Original, Some(question)) if !question.response => {
                let name = question.question.name;
                let ruling = s
                    .firewalls
                    .dns
                    .as_ref()
                    .map(|dns| self.ask_dns(s, dns, &original, Some(&name), now));
                self.note_name(s, ix, &name, ruling, packet, now);
                ruling.filter(Ruling::refuses)
            }
            // What is not a question goes nowhere while questions are looked at.
            (Way::Original, _) => {
                let dns = s.firewalls.dns.as_ref()?;
                let ruling = self.ask_dns(s, dns, &original, None, now);
                ruling.refuses().then_some(ruling)
            }
            (Way::Reply, Some(answer)) if answer.response => {
                self.note_answer(s, ix, way, &answer);
                if !s.firewalls.learns {
                    return None;
                }
                let wall = self.watch.wall(now);
                let seen_as = tuple::ip(self.sessions.session(ix).keys[1].dst);
                for it in &answer.addresses {
                    if let IpAddr::V4(address) = it.address {
                        let until = wall + u64::from(it.ttl.max(1));
                        let name = &answer.question.name;
                        self.watch.answers.learn(client, name, address, until);
                        if seen_as != client {
                            // The Internet border sees the client as its EIP.
                            self.watch.answers.learn(seen_as, name, address, until);
                        }
                    }
                }
                None
            }
            _ => None,
        }
    }

    /// What the DNS firewall says about a question.
    pub(crate) fn ask_dns(
        &self,
        s: &Snapshot,
        dns: &Dns,
        key: &Key,
        name: Option<&str>,
        now: Time,
    ) -> Ruling {
        let subject = Subject {
            source: tuple::ip(key.src),
            destination: tuple::ip(key.dst),
            protocol: key.proto,
            port: Some(u16::from_be(key.dport)),
            identity: match name {
                // Something that tells a name, whatever it is: policies about questions name no application.
                Some(_) => Identity::Known {
                    app: App::Http,
                    domain: name,
                },
                None => Identity::Unknown,
            },
        };
        let list = &s.firewalls.lists[dns.list as usize];
        let says = self.with_evidence(now, &[], |evidence| {
            match list
                .policies
                .check(&subject, &evidence.facts, EngineMode::Strict, dns.default)
            {
                Verdict::Decided { action, because } => match because {
                    Because::Policy(place) => Says::Policy(place, action),
                    _ => Says::Default(action),
                },
                Verdict::Pending(place, needs) => Says::Pending(place, needs),
            }
        });
        Ruling {
            kind: FirewallKind::Dns,
            list: dns.list,
            says,
            pre: None,
            threat: None,
            misnamed: false,
        }
    }

    /// Puts down what a session has asked for last, and what was said about it.
    fn note_name(
        &mut self,
        s: &Snapshot,
        ix: SessionIx,
        name: &str,
        ruling: Option<Ruling>,
        packet: &Ipv4,
        now: Time,
    ) {
        let wall = self.watch.wall(now);
        if let Some(ruling) = &ruling {
            self.watch.hits.decided_one(ruling, wall);
        }
        let Some(judged) = self.sessions.session(ix).judged else {
            return;
        };
        let name = self.watch.intern(&name.into());
        // A datagram that is refused leaves the session to go on: that it was refused would be forgotten.
        let over_udp = self.sessions.session(ix).keys[0].proto == proto::UDP;
        if let Some(ruling) = ruling.filter(|it| over_udp && it.refuses())
            && s.records.is_some()
        {
            return self.record_question(s, ix, name, ruling, packet.end as u64, now);
        }
        self.watch.get_mut(judged).asked(name, ruling);
        self.watch.keep_details(judged, Details::default());
    }

    /// What the DNS firewall would say, for a trace.
    pub(crate) fn trace_dns(
        &self,
        s: &Snapshot,
        key: &Key,
        name: Option<&str>,
        now: Time,
        rec: &mut impl Recorder,
    ) -> Option<Ruling> {
        let dns = s.firewalls.dns.as_ref()?;
        let asked = name?;
        let ruling = self.ask_dns(s, dns, key, Some(asked), now);
        rec.step("DNS firewall", || {
            let list = &s.firewalls.lists[dns.list as usize];
            let text = match ruling.says {
                Says::Policy(place, action) => {
                    let id = list.policy(place).map_or("?", |policy| policy.id.as_str());
                    format!("{asked}: policy {id} ({}): {action}", place + 1)
                }
                _ => format!("{asked}: no policy matches: {}", dns.default),
            };
            (None, text)
        });
        Some(ruling)
    }
}
