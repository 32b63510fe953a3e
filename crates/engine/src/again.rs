//! Deciding again about all sessions when the configuration has changed: some at a time, between packets.
//!
//! A new configuration is in force at once for all that the engine is asked: for sessions that begin, and for live ones
//! of which a packet comes here, since these are decided again first ([`Core::decided`]). The kernel forwards the others
//! as before until the sweep comes by, which goes round without a pause until it has been everywhere.
//!
//! Until then a session *waits*. What it says of resources and policies are places in the snapshot that it was decided by
//! last, so that is kept, and nothing else is done with the session before it is decided again, straight by the newest
//! configuration, however many have come meanwhile. It keeps what it holds: its tuples and its port are nobody else's. A
//! new session decides first about those that are in its way, and about all before it is refused for lack of room.
//!
//! Some changes are about all sessions, see [`Core::concerns_all`]: then none waits. Nor does any in a small table.

use crate::decide::Denied;
use crate::engine::Core;
use crate::hits::Moved;
use crate::io::Time;
use crate::nat::Outer;
use crate::sessions::{Session, SessionIx, Way};
use crate::snapshot::{Binding, Eip, GatewayIx, Snapshot};
use crate::sources::Sources;
use crate::sweep::Position;
use crate::verdicts::{Ruling, Rulings};
use flow::Key;
use flow::reason::Reason;
use hashbrown::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;

/// Number of a configuration: the present one and those of waiting sessions have different ones.
pub(crate) type Era = u8;

/// No session.
pub(crate) const NOBODY: SessionIx = SessionIx::MAX;

/// That of no configuration.
pub(crate) const NO_ERA: Era = 0;

/// Places of the slab that the sweep looks at in one call while sessions wait: about half a millisecond if a firewall
/// sees them.
const SLICE: u32 = 1024;
/// With so many places all sessions are decided again at once.
const FEW: u32 = 4096;
/// Sessions that are in the way of a new one and decided again for it alone.
const MOST_MET: u32 = 64;
/// Configurations that sessions may wait from.
const MOST: usize = 8;

/// A configuration that sessions were decided by which wait.
#[derive(Debug)]
struct Earlier {
    snapshot: Arc<Snapshot>,
    /// Where its policies are in the next one.
    moved: Moved,
    /// The next one's firewalls decide alike.
    alike: bool,
    /// Where the sweep is when none of its sessions waits any more.
    until: Position,
}

/// Which sessions wait.
#[derive(Debug)]
pub(crate) struct Again {
    /// Of the present configuration.
    era: Era,
    /// The configurations before it, oldest first, whose eras are those before its own.
    earlier: VecDeque<Earlier>,
    /// See [`SLICE`] and [`FEW`].
    slice: u32,
    few: u32,
}

impl Again {
    pub fn new() -> Again {
        Again {
            era: 1,
            earlier: VecDeque::new(),
            slice: SLICE,
            few: FEW,
        }
    }

    /// The present configuration's.
    #[inline]
    pub fn era(&self) -> Era {
        self.era
    }

    /// Whether sessions may wait.
    #[inline]
    pub fn is_under_way(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Whether a live session waits.
    #[inline]
    pub fn waits(&self, session: &Session) -> bool {
        session.era != self.era
    }

    /// Places of the slab that the sweep looks at in one call.
    pub fn slice(&self, usual: u32) -> u32 {
        match self.is_under_way() {
            true => self.slice,
            false => usual,
        }
    }

    /// Other bounds than [`SLICE`] and [`FEW`]: for tests.
    #[cfg(any(test, feature = "check"))]
    pub fn set_slice(&mut self, slice: Option<u32>) {
        (self.slice, self.few) = slice.map_or((SLICE, FEW), |slice| (slice, 0));
    }

    /// All sessions wait from now on, which were decided by `before` or wait already. The sweep is at `at`.
    fn begin(&mut self, before: Arc<Snapshot>, moved: Moved, alike: bool, at: Position) {
        self.earlier.push_back(Earlier {
            snapshot: before,
            moved,
            alike,
            until: at.next_round(),
        });
        self.era = match self.era {
            Era::MAX => 1,
            era => era + 1,
        };
    }

    /// The sweep has come to `at`. Says whether with that nothing waits any more.
    pub fn pass(&mut self, at: Position) -> bool {
        let before = self.earlier.len();
        while self.earlier.front().is_some_and(|it| it.until <= at) {
            self.earlier.pop_front();
        }
        before > 0 && self.earlier.is_empty()
    }

    /// The configurations from that of a waiting session's era on.
    fn since(&self, era: Era) -> impl Iterator<Item = &Earlier> {
        let ago = match self.era >= era {
            true => self.era - era,
            // After the largest comes 1.
            false => Era::MAX - era + self.era,
        };
        let all = self.earlier.len();
        let first = all.checked_sub(ago.into()).unwrap_or(all);
        self.earlier.range(first..)
    }

    /// What a session was decided by that waits.
    pub fn snapshot(&self, session: &Session) -> Option<&Arc<Snapshot>> {
        let mut since = self.since(session.era);
        since.next().map(|it| &it.snapshot)
    }

    /// Whether firewalls have decided alike ever since a session was decided.
    fn alike(&self, session: &Session) -> bool {
        self.since(session.era).all(|it| it.alike)
    }

    /// What a firewall has said about a session, in the numbers of the present configuration; none if list or policy is
    /// gone.
    pub fn moved(&self, era: Era, ruling: Ruling) -> Option<Ruling> {
        let mut since = self.since(era);
        since.try_fold(ruling, |ruling, it| it.moved.ruling(&ruling))
    }

    /// The same of all firewalls.
    pub fn all_moved(&self, era: Era, rulings: Rulings) -> Rulings {
        match era == self.era {
            true => rulings,
            false => rulings.map(|ruling| self.moved(era, ruling?)),
        }
    }

    /// A session's gateway, if its sources are watched now.
    pub fn gateway(&self, session: &Session, sources: &Sources) -> Option<GatewayIx> {
        if !self.waits(session) {
            return session.gateway;
        }
        let before = self.snapshot(session)?;
        sources.watched(&before.gateway(session.gateway?).id)
    }
}

impl Core {
    /// A new configuration is in force, instead of `before`: sessions wait, unless they must or may be decided again now.
    pub(crate) fn begin_again(
        &mut self,
        s: &Snapshot,
        before: Arc<Snapshot>,
        moved: Moved,
        now: Time,
    ) {
        let alike = s.firewalls.decide_alike(&before.firewalls);
        self.again
            .begin(before, moved, alike, self.sweep.position());
        if self.sessions.places() <= self.again.few || self.concerns_all(s) {
            self.decide_all(s, now);
        }
    }

    /// Whether another configuration than `s` may come while sessions wait. Else they are decided again first.
    pub(crate) fn make_room(&mut self, s: &Snapshot, next: &Snapshot, now: Time) {
        let full = self.again.earlier.len() >= MOST || !self.meters.have_room(next);
        if self.again.is_under_way() && full {
            self.decide_all(s, now);
        }
    }

    /// Whether what becomes of a new session depends on every session that is there: where strangers are let in by
    /// mappings of sessions, or sessions count against a limit that they have not counted against; or where the packets
    /// of one network interface could be taken for those of another.
    fn concerns_all(&self, s: &Snapshot) -> bool {
        let mut earlier = self.again.earlier.iter();
        self.nat.lets_in()
            || earlier.any(|it| limits_more(s, &it.snapshot) || zones_change(s, &it.snapshot))
    }

    /// The session that packets with this key belong to, and which way they go. If it waits, it is decided again.
    #[inline]
    pub(crate) fn decided(
        &mut self,
        s: &Snapshot,
        key: &Key,
        now: Time,
    ) -> Option<(SessionIx, Way)> {
        let (ix, way) = self.find(key)?;
        self.decide_waiting(s, ix, now).then_some((ix, way))
    }

    /// Decides again about a live session, if it waits. Gives whether it is still there.
    #[inline]
    pub(crate) fn decide_waiting(&mut self, s: &Snapshot, ix: SessionIx, now: Time) -> bool {
        !self.again.waits(self.sessions.session(ix)) || self.decide_again(s, ix, now)
    }

    #[cold]
    fn decide_again(&mut self, s: &Snapshot, ix: SessionIx, now: Time) -> bool {
        let session = self.sessions.session(ix);
        let Some(before) = self.again.snapshot(session).map(Arc::clone) else {
            return true;
        };
        self.watch.alike = self.again.alike(session);
        self.record_over(&before, ix, now);
        let refitted = self.refit(s, ix, now);
        self.watch.alike = true;
        match refitted {
            Ok(()) => self.sessions.session_mut(ix).era = self.again.era,
            Err(close) => self.end(&before, ix, close, now),
        }
        refitted.is_ok()
    }

    /// Decides again about all sessions that wait, at once.
    fn decide_all(&mut self, s: &Snapshot, now: Time) {
        for ix in 0..self.sessions.places() {
            if self.sessions.get(ix).is_some() {
                self.decide_waiting(s, ix, now);
            }
        }
        self.again.earlier.clear();
        self.meters.settle();
    }

    /// A new session was refused: if that is for want of something which sessions that wait may have, they are decided again.
    /// Says whether they were.
    pub(crate) fn decide_rest(&mut self, s: &Snapshot, denied: &Denied, now: Time) -> bool {
        let wants = matches!(
            denied.reason,
            Reason::SessionLimit
                | Reason::SourceLimit
                | Reason::PortsExhausted
                | Reason::TupleConflict
        );
        let decides = wants && self.again.is_under_way();
        if decides {
            self.decide_all(s, now);
        }
        decides
    }

    /// A session that waits is in the way of a new one: it is decided again. If others are in the way after it, all are.
    #[cold]
    pub(crate) fn make_way(&mut self, s: &Snapshot, ix: SessionIx, others: &mut u32, now: Time) {
        self.decide_waiting(s, ix, now);
        *others += 1;
        if *others == MOST_MET {
            self.decide_all(s, now);
        }
    }
}

/// Whether sessions of `before` may count against the limit of a source that did not.
fn limits_more(s: &Snapshot, before: &Snapshot) -> bool {
    let limited = |s: &Snapshot, eip: &Eip| match eip.binding {
        Binding::Gateway(g) => s.gateway(g).max_per_source.is_some(),
        _ => false,
    };
    if s.gateways.iter().all(|it| it.max_per_source.is_none()) {
        return false;
    }
    let free = before.eips.iter();
    let free = free.filter(|eip| eip.binding != Binding::None && !limited(before, eip));
    let free: HashSet<Outer> = free.map(|eip| eip.outer).collect();
    let mut eips = s.eips.iter();
    eips.any(|eip| limited(s, eip) && free.contains(&eip.outer))
}

/// Whether a zone is that of another network interface than in `before`.
fn zones_change(s: &Snapshot, before: &Snapshot) -> bool {
    s.by_zone.iter().any(|(zone, &eni)| {
        let was = before.by_zone.get(zone);
        was.is_some_and(|&was| before.eni(was).id != s.eni(eni).id)
    })
}
