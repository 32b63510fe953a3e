//! The sessions in a capture.

use super::file::Packet;
use super::fragments::Fragments;
use super::ip::{Datagram, Ip, Transport};
use super::link;
use crate::dns::Message;
use crate::{Flags, From, Identity, Limits, Progress, Stream, Unknown};
use model::App;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The most sessions that are under inspection at a time; of more the oldest are taken as ended.
const MAX_ACTIVE: usize = 16_384;

/// The most packets within packets.
const MAX_TUNNELS: usize = 4;

/// Ports of UDP services, by which the server is known if it speaks first.
const SERVICES: [u16; 4] = [53, 443, 3389, 11_211];

/// The port of DNS, and the most answers of it that are kept.
const DNS: u16 = 53;
const MAX_ANSWERS: usize = 1_000_000;

/// That a client was answered which address a name has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How many sessions had begun before.
    pub flows: usize,
    /// When, since 1970 UTC.
    pub time: Duration,
    /// Whom.
    pub client: IpAddr,
    /// The name that it had asked for, as [`model::domain::normalise`] gives it.
    pub name: Arc<str>,
    /// An address of that name.
    pub address: IpAddr,
    /// For how many seconds.
    pub ttl: u32,
}

/// What a session runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its name, in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        }
    }
}

/// A session.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What it runs over.
    pub protocol: Protocol,
    /// Who has sent the first packet that was captured.
    pub client: (IpAddr, u16),
    /// The other end.
    pub server: (IpAddr, u16),
    /// When its first packet was captured, since 1970 UTC; 0, if the capture does not tell.
    pub start: Duration,
    /// How many packets it has.
    pub packets: u64,
    /// How many of them it took until all was known; None, if it was only given up at the end.
    pub packets_needed: Option<u64>,
    /// What is known of it.
    pub progress: Progress,
    /// It is a data connection that an FTP control connection has announced.
    pub related: bool,
}

impl Flow {
    /// What is known of it, if it is known.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.progress {
            Progress::Done(identity) => Some(identity),
            _ => None,
        }
    }

    /// What it speaks.
    pub fn application(&self) -> Option<App> {
        self.identity().map(|identity| identity.app)
    }

    /// Whom it is for, of applications that policies can tell by it; an address, if the client gave one for a name.
    pub fn domain(&self) -> Option<&str> {
        let identity = self.identity().filter(|it| it.app.has_domain())?;
        identity
            .domain
            .as_deref()
            .or(identity.details.host.as_deref())
    }

    /// Of DNS the name asked for.
    pub fn query(&self) -> Option<&str> {
        let identity = self.identity().filter(|it| it.app == App::Dns)?;
        identity.domain.as_deref()
    }

    /// Whether it is identified, or why not, as a word.
    pub fn state(&self) -> &'static str {
        match &self.progress {
            Progress::Done(_) => "identified",
            _ if self.related => "related",
            Progress::GaveUp(why) => match why {
                Unknown::NoPayload => "no_payload",
                Unknown::HandshakeOnly => "handshake_only",
                Unknown::NotRecognised => "not_recognised",
                Unknown::OneSideOnly => "one_side_only",
                Unknown::Midstream => "midstream",
            },
            Progress::Analysing | Progress::App(_) => "analysing",
        }
    }
}

/// Both ends, the lesser first.
type Key = (Protocol, (IpAddr, u16), (IpAddr, u16));

/// A session with what is under way.
#[derive(Debug)]
struct Active {
    flow: Flow,
    stream: Stream,
    /// Who is the client in the stream; it may be the other than the flow's, which only was the first to be seen.
    opener: (IpAddr, u16),
    /// The sequence number of its SYN.
    syn: Option<u32>,
}

/// The sessions of a capture.
#[derive(Debug)]
pub(super) struct Flows {
    limits: Limits,
    fragments: Fragments,
    index: HashMap<Key, usize>,
    flows: Vec<Active>,
    /// The oldest first.
    active: VecDeque<usize>,
    /// Where data connections of FTP are expected.
    expected: HashSet<(IpAddr, u16)>,
    answers: Vec<Answered>,
    now: Duration,
}

impl Flows {
    pub fn new(limits: Limits) -> Flows {
        Flows {
            limits,
            fragments: Fragments::default(),
            index: HashMap::new(),
            flows: Vec::new(),
            active: VecDeque::new(),
            expected: HashSet::new(),
            answers: Vec::new(),
            now: Duration::ZERO,
        }
    }

    pub fn packet(&mut self, packet: Packet) {
        self.now = packet.time;
        if let Some(ip) = link::ip(packet.link, packet.bytes).and_then(Ip::parse) {
            self.ip(ip, 0);
        }
    }

    fn ip(&mut self, ip: Ip, depth: usize) {
        if ip.fragment.is_some() {
            if let Some(whole) = self.fragments.add(&ip) {
                self.ip(whole.ip(), depth);
            }
        } else if let Some(datagram) = ip.datagram() {
            self.datagram(&datagram);
        } else if let Some(inner) = ip.inner().filter(|_| depth < MAX_TUNNELS) {
            self.ip(inner, depth + 1);
        }
    }

    fn datagram(&mut self, datagram: &Datagram) {
        let protocol = match datagram.transport {
            Transport::Tcp { .. } => Protocol::Tcp,
            Transport::Udp => Protocol::Udp,
        };
        let (src, dst) = (datagram.src, datagram.dst);
        let key = (protocol, src.min(dst), src.max(dst));
        let at = match self.index.get(&key) {
            Some(at) => *at,
            None => {
                let related = self.expected.contains(&dst) || self.expected.contains(&src);
                self.flows.push(Active::new(
                    protocol,
                    datagram,
                    related,
                    self.limits,
                    self.now,
                ));
                self.index.insert(key, self.flows.len() - 1);
                self.active.push_back(self.flows.len() - 1);
                self.flows.len() - 1
            }
        };
        let active = &mut self.flows[at];
        active.take(datagram, self.limits, self.now);
        if protocol == Protocol::Udp && src.1 == DNS && active.opener == dst {
            self.answered(dst.0, datagram.payload);
        }
        let active = &mut self.flows[at];
        let ends = [
            active.opener,
            if active.opener == active.flow.client {
                active.flow.server
            } else {
                active.flow.client
            },
        ];
        for related in active.stream.related() {
            let own = match related.from {
                From::Client => ends[0].0,
                From::Server => ends[1].0,
            };
            self.expected
                .insert((related.address.unwrap_or(own), related.port));
        }
        while self.active.len() > MAX_ACTIVE
            && let Some(oldest) = self.active.pop_front()
        {
            self.flows[oldest].end();
        }
    }

    /// Notes what a client was answered.
    fn answered(&mut self, client: IpAddr, message: &[u8]) {
        let Some(message) = Message::parse(message).filter(|it| it.response) else {
            return;
        };
        let name: Arc<str> = message.question.name.into();
        let room = MAX_ANSWERS.saturating_sub(self.answers.len());
        let addresses = message.addresses.iter().take(room);
        self.answers.extend(addresses.map(|it| Answered {
            flows: self.flows.len(),
            time: self.now,
            client,
            name: Arc::clone(&name),
            address: it.address,
            ttl: it.ttl,
        }));
    }

    /// All sessions, with what is known of them at the end, and what clients were answered.
    pub fn finish(mut self) -> (Vec<Flow>, Vec<Answered>) {
        while let Some(part) = self.fragments.oldest() {
            self.ip(part.ip(), 0);
        }
        let flows = self.flows.into_iter();
        let flows = flows.map(|mut active| {
            active.end();
            active.flow
        });
        (flows.collect(), self.answers)
    }
}

impl Active {
    fn new(
        protocol: Protocol,
        first: &Datagram,
        related: bool,
        limits: Limits,
        now: Duration,
    ) -> Active {
        let (src, dst) = (first.src, first.dst);
        let reversed = match first.transport {
            Transport::Tcp { flags, .. } => flags & (SYN | ACK) == SYN | ACK,
            Transport::Udp => SERVICES.contains(&src.1) && !SERVICES.contains(&dst.1),
        };
        // TLS is called after the port of the flow's server, whoever that is.
        let stream = match first.transport {
            Transport::Tcp { flags, .. } if flags & SYN != 0 => Stream::tcp(dst.1, limits),
            Transport::Tcp { .. } => Stream::midstream(dst.1, limits),
            Transport::Udp => Stream::udp(if reversed { src.1 } else { dst.1 }, limits),
        };
        Active {
            flow: Flow {
                protocol,
                client: src,
                server: dst,
                start: now,
                packets: 0,
                packets_needed: None,
                progress: Progress::Analysing,
                related,
            },
            stream,
            opener: if reversed { dst } else { src },
            syn: None,
        }
    }

    fn take(&mut self, datagram: &Datagram, limits: Limits, now: Duration) {
        self.flow.packets += 1;
        let from = match datagram.src == self.opener {
            true => From::Client,
            false => From::Server,
        };
        let progress = match datagram.transport {
            Transport::Udp => self.stream.datagram(from, datagram.payload, now),
            Transport::Tcp { seq, flags } => {
                self.reopen(from, seq, flags, limits);
                let flags = Flags {
                    syn: flags & SYN != 0,
                    fin: flags & (FIN | RST) != 0,
                };
                self.stream.segment(from, seq, flags, datagram.payload, now)
            }
        };
        if let Progress::Done(_) | Progress::GaveUp(_) = progress {
            self.flow.packets_needed.get_or_insert(self.flow.packets);
        }
    }

    /// The same ports again: a session that came to nothing gives way to the next.
    fn reopen(&mut self, from: From, seq: u32, flags: u8, limits: Limits) {
        if from != From::Client || flags & (SYN | ACK) != SYN {
            return;
        }
        let known = matches!(self.stream.progress(), Progress::Done(_) | Progress::App(_));
        if !known && self.syn.is_some_and(|syn| syn != seq) {
            self.stream = Stream::tcp(self.flow.server.1, limits);
            self.flow.packets_needed = None;
        }
        self.syn = Some(seq);
    }

    fn end(&mut self) {
        self.flow.progress = self.stream.end().clone();
        self.stream.forget();
    }
}
