//! What the private addresses behind NAT gateways do: sessions, packets and bytes of each, for gateways that are told
//! to watch them.
//!
//! As in [`crate::usage`] nothing is counted that is not counted anyway: the sweep adds up what is in the entries of
//! live sessions, and sessions that end leave what they had. Where no gateway watches, neither costs anything. Numbers
//! begin with the daemon, so an adopted session brings along what it has counted before.

use crate::decide::Direction;
use crate::sessions::Session;
use crate::snapshot::{GatewayIx, Snapshot};
use crate::tuple;
use crate::view::{GatewaySources, SourceView};
use flow::Activity;
use hashbrown::HashMap;
use model::Id;

/// The most addresses of which something is kept. Those that come on top are not told of until others have gone.
const MAX_SOURCES: usize = 65_536;

/// Packets and bytes, sent by the private address and received.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    sent: (u64, u64),
    received: (u64, u64),
}

impl Sums {
    fn add(&mut self, other: Sums) {
        let add = |to: &mut (u64, u64), n: (u64, u64)| *to = (to.0 + n.0, to.1 + n.1);
        add(&mut self.sent, other.sent);
        add(&mut self.received, other.received);
    }

    /// What a session's packets are to its private address.
    fn of(direction: Direction, [original, reply]: &[Activity; 2]) -> Sums {
        let (sent, received) = match direction {
            Direction::In => (reply, original),
            _ => (original, reply),
        };
        Sums {
            sent: (sent.packets, sent.bytes),
            received: (received.packets, received.bytes),
        }
    }
}

#[derive(Debug, Default)]
struct Book {
    opened: u64,
    /// Of sessions that have ended.
    ended: Sums,
    /// Of those that the round under way has looked at before they ended: they are in `round` too.
    late: Sums,
    /// Live sessions of the round under way.
    round: (u32, Sums),
    /// As of the last complete round.
    live: u32,
    total: Sums,
    /// It has been told of since anything happened.
    told: bool,
}

/// The private addresses behind the gateways that watch them.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The gateways that watch: by index in the snapshot, their identifiers.
    watched: HashMap<GatewayIx, Id>,
    by_id: HashMap<Id, GatewayIx>,
    /// By gateway and address as in a packet.
    books: HashMap<(GatewayIx, u32), Book>,
}

impl Sources {
    /// A new configuration: gateways have other indices, and others watch.
    pub fn configure(&mut self, s: &Snapshot) {
        let before = std::mem::take(&mut self.watched);
        let watching = (0..).zip(&s.gateways).filter(|(_, it)| it.watches_sources);
        self.watched = watching.map(|(ix, it)| (ix, it.id.clone())).collect();
        if before != self.watched {
            let watched = self.watched.iter();
            self.by_id = watched.map(|(ix, id)| (id.clone(), *ix)).collect();
            let now = &self.by_id;
            let books = std::mem::take(&mut self.books).into_iter();
            self.books = books
                .filter_map(|((ix, address), book)| {
                    Some(((*now.get(&before[&ix])?, address), book))
                })
                .collect();
        }
    }

    /// The place of a gateway, if it watches.
    pub fn watched(&self, gateway: &Id) -> Option<GatewayIx> {
        self.by_id.get(gateway).copied()
    }

    /// The book of a session's private address, if its gateway watches.
    fn book(&mut self, session: &Session) -> Option<&mut Book> {
        if self.watched.is_empty() {
            return None;
        }
        let gateway = session.gateway?;
        let [original, reply] = &session.keys;
        let address = match session.direction {
            Direction::In => reply.src,
            _ => original.src,
        };
        let key = (gateway, address);
        let known = self.watched.contains_key(&gateway)
            && (self.books.len() < MAX_SOURCES || self.books.contains_key(&key));
        known.then(|| self.books.entry(key).or_default())
    }

    /// A session has begun.
    pub fn open(&mut self, session: &Session) {
        if let Some(book) = self.book(session) {
            book.opened += 1;
            book.told = false;
        }
    }

    /// A session has ended with this. `seen`: it was looked at in this round.
    pub fn end(&mut self, session: &Session, activity: &[Activity; 2], seen: bool) {
        let sums = Sums::of(session.direction, activity);
        if let Some(book) = self.book(session) {
            match seen {
                true => book.late.add(sums),
                false => book.ended.add(sums),
            }
            book.told = false;
        }
    }

    /// A live session is looked at.
    pub fn see(&mut self, session: &Session, activity: &[Activity; 2]) {
        let sums = Sums::of(session.direction, activity);
        if let Some(book) = self.book(session) {
            book.round.0 += 1;
            book.round.1.add(sums);
            book.told = false;
        }
    }

    /// Whether any gateway watches.
    pub fn watch(&self) -> bool {
        !self.watched.is_empty()
    }

    /// All sessions have been looked at.
    pub fn end_round(&mut self) {
        for book in self.books.values_mut() {
            let (live, sums) = std::mem::take(&mut book.round);
            book.live = live;
            book.total = book.ended;
            book.total.add(sums);
            book.ended.add(std::mem::take(&mut book.late));
        }
    }

    /// What there is, as of the last round, by gateway. An address that has been told of and does nothing any more is
    /// forgotten.
    pub fn view(&mut self) -> Vec<GatewaySources> {
        self.books.retain(|_, book| book.live > 0 || !book.told);
        let mut by_gateway: HashMap<GatewayIx, Vec<SourceView>> = HashMap::new();
        for (&(gateway, address), book) in &mut self.books {
            book.told = true;
            let view = SourceView {
                address: tuple::ip(address),
                live: book.live,
                opened: book.opened,
                packets_sent: book.total.sent.0,
                bytes_sent: book.total.sent.1,
                packets_received: book.total.received.0,
                bytes_received: book.total.received.1,
            };
            by_gateway.entry(gateway).or_default().push(view);
        }
        let gateways = self.watched.iter();
        gateways
            .map(|(ix, id)| GatewaySources {
                gateway: id.clone(),
                sources: by_gateway.remove(ix).unwrap_or_default(),
            })
            .collect()
    }
}
