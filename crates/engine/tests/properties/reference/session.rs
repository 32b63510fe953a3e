//! Sessions: how they are found, the state that their packets have brought them to, and how they end.

use super::{Plan, Reference, Tuple, find};
use crate::common::*;
use model::*;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Session {
    /// As opened, and of the answers.
    pub keys: [Tuple; 2],
    pub(super) plan: Plan,
    /// The mapping of its source, and the one that let it in.
    pub(super) mapping: Option<usize>,
    pub(super) let_in_by: Option<usize>,
    /// TCP flags, with the way that they went.
    pub(super) history: Vec<(usize, u8)>,
    pub packets: [u64; 2],
    /// The configuration has changed, and it was not decided about again.
    pub waits: bool,
    pub(super) last: Duration,
}

impl Session {
    /// How packets that go `way` leave: the port, and the tuple as seen there.
    pub fn leaves(&self, way: usize) -> Tuple {
        let back = &self.keys[1 - way];
        back.reverse(&back.at)
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn saw(&self, way: usize, wanted: impl Fn(u8) -> bool) -> bool {
        self.history
            .iter()
            .any(|&(w, flags)| w == way && wanted(flags))
    }

    /// A reset that nothing of its own sender came after.
    fn reset(&self, way: usize) -> bool {
        let mine = self.history.iter().filter(|(w, _)| *w == way);
        let mut after = mine.skip_while(|(_, flags)| flags & RST == 0).peekable();
        after.peek().is_some() && after.all(|(_, flags)| flags & RST != 0)
    }

    pub fn state(&self) -> &'static str {
        if self.keys[0].proto != TCP {
            return "active";
        }
        let fin = |way| self.saw(way, |f| f & RST == 0 && f & SYN == 0 && f & FIN != 0);
        let data = |way| self.saw(way, |f| f & (RST | SYN) == 0);
        let syn = |way| self.saw(way, |f| f & RST == 0 && f & (SYN | ACK) == SYN);
        let syn_ack = |way| self.saw(way, |f| f & RST == 0 && f & (SYN | ACK) == SYN | ACK);
        match () {
            _ if self.reset(0) || self.reset(1) => "reset",
            _ if fin(0) && fin(1) => "closed",
            _ if fin(0) || fin(1) => "half_closed",
            _ if data(0) && (data(1) || syn_ack(1)) => "established",
            _ if data(1) && syn_ack(0) => "established",
            _ if syn(0) && syn(1) && syn_ack(0) && syn_ack(1) => "established",
            _ => "syn_sent",
        }
    }

    pub(super) fn over(&self) -> bool {
        matches!(self.state(), "closed" | "reset")
    }

    fn timeout(&self, config: &Config) -> Duration {
        let default = Timeouts::default();
        let gateway = self.plan.gateway.as_ref();
        let of = gateway.map(|id| &find(&config.nat_gateways, id, |g| &g.id).timeouts);
        let t = of.unwrap_or(&default);
        match (self.keys[0].proto, self.state()) {
            (TCP, "established" | "half_closed") => t.tcp_established,
            (TCP, _) => t.tcp_transitory,
            (UDP, _) => t.udp,
            (ICMP, _) => t.icmp,
            _ => t.other,
        }
    }
}

impl Reference {
    pub fn position(&self, key: &Tuple) -> Option<(usize, usize)> {
        let mut found = self.sessions.iter().enumerate().flat_map(|(n, s)| {
            (0..2)
                .filter(|&way| s.keys[way] == *key)
                .map(move |way| (n, way))
        });
        let first = found.next();
        assert_eq!(found.next(), None, "two sessions have {key:?}");
        first
    }

    /// A packet of a session has passed.
    pub fn passed(&mut self, n: usize, way: usize, packet: &Packet, parts: u64, now: Duration) {
        let session = &mut self.sessions[n];
        session.last = now;
        session.packets[way] += parts;
        if packet.proto() == TCP {
            session.history.push((way, packet.flags()));
        }
    }

    /// Whether a session could have this tuple for its answers.
    pub(super) fn usable(&self, key: &Tuple, reply: &Tuple) -> bool {
        reply != key && self.position(reply).is_none()
    }

    pub(super) fn end(&mut self, n: usize) {
        let session = self.sessions.remove(n);
        for mapping in [session.mapping, session.let_in_by].into_iter().flatten() {
            self.release(mapping);
        }
    }

    /// Time has gone by: sessions that are not `there` any more must have been idle for their timeout, and
    /// the others must not have been for much longer.
    pub fn expire(&mut self, now: Duration, there: impl Fn(&Tuple) -> bool) {
        let slack = Duration::from_millis(2500);
        for n in (0..self.sessions.len()).rev() {
            let session = &self.sessions[n];
            if session.waits {
                continue;
            }
            let (idle, timeout) = (now - session.last, session.timeout(&self.config));
            let drains = session.plan.drains.map(Duration::from_secs);
            if there(&session.keys[0]) {
                assert!(idle <= timeout + slack, "idle for {idle:?}: {session:?}");
                let late = drains.is_some_and(|until| now > until + slack);
                assert!(!late, "drains at {now:?}: {session:?}");
            } else {
                let drained = drains.is_some_and(|until| now >= until);
                let ended = idle > timeout || drained;
                assert!(ended, "ended after {idle:?}: {session:?}");
                self.end(n);
            }
        }
    }
}
