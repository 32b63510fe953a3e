//! The sessions: a slab. The flow table is its index: each slot has a session.

use crate::again::{Era, NO_ERA};
use crate::decide::{Direction, Entry};
use crate::nat::MappingIx;
use crate::room;
use crate::snapshot::{EniIx, GatewayIx, Ticks};
use crate::usage::Accounts;
use crate::watch::JudgedIx;
use flow::table::Table;
use flow::{Activity, Key, proto, seen};
use hashbrown::HashMap;
use std::ops::Range;

/// Index of a session.
pub(crate) type SessionIx = u32;

/// No slot of the flow table.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// A direction of a session: as opened, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Way {
    Original = 0,
    Reply = 1,
}

impl Way {
    pub const BOTH: [Way; 2] = [Way::Original, Way::Reply];

    pub fn other(self) -> Way {
        match self {
            Way::Original => Way::Reply,
            Way::Reply => Way::Original,
        }
    }
}

/// A session: two flows.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The keys of its packets as they come in, in both ways.
    pub keys: [Key; 2],
    /// Their slots in the flow table, or [`NO_SLOT`] if it has no room.
    pub slots: [u32; 2],
    /// Next hops in both ways, as indices of the table of next hops.
    pub hops: [u16; 2],
    /// The meters that its packets take from in both ways, or 0.
    pub meters: [u16; 2],
    /// What its packets count for: the EIPs at both ends.
    pub accounts: Accounts,
    /// What the slow path counts for a session that is not in the flow table.
    pub slow: Option<Box<[Activity; 2]>>,
    /// The SNAT mapping of its source.
    pub mapping: Option<MappingIx>,
    /// The SNAT mapping of another session that let it in.
    pub let_in_by: Option<MappingIx>,
    pub eni: EniIx,
    pub gateway: Option<GatewayIx>,
    pub entry: Option<Entry>,
    /// What firewalls say of it, if they see it.
    pub judged: Option<JudgedIx>,
    /// The second in which it began.
    pub start: u32,
    /// When it ends, in seconds since 1970 UTC, if it drains.
    pub drains: Option<u32>,
    pub direction: Direction,
    /// What its flows' actions have in common of [`flow::flags`].
    pub flags: u8,
    /// It counts against the limit of its source.
    pub limited: bool,
    /// The configuration that it was decided by last, or [`NO_ERA`] for a free place in the slab.
    pub era: Era,
}

/// The state of a session's protocol, from what was seen of it in both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not TCP.
    Active,
    /// The handshake is not complete.
    Opening,
    Established,
    /// One end has sent FIN.
    HalfClosed,
    /// Both ends have sent FIN.
    Closed,
    /// A reset went by and nothing came after it from its sender.
    Reset,
}

impl State {
    pub fn of(protocol: u8, original: u8, reply: u8) -> State {
        if protocol != proto::TCP {
            return State::Active;
        }
        let both = original & reply;
        let reset = |way: u8| way & (seen::RST | seen::AFTER_RST) == seen::RST;
        if reset(original) || reset(reply) {
            State::Reset
        } else if both & seen::FIN != 0 {
            State::Closed
        } else if (original | reply) & seen::FIN != 0 {
            State::HalfClosed
        } else if both & seen::DATA != 0
            || (original & seen::DATA != 0 && reply & seen::SYN_ACK != 0)
            || (reply & seen::DATA != 0 && original & seen::SYN_ACK != 0)
            || (both & seen::SYN != 0 && both & (seen::SYN_ACK | seen::DATA) != 0)
        {
            // Either end may have opened it, or both at once (RFC 5382, REQ-2).
            State::Established
        } else {
            State::Opening
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Opening => "syn_sent",
            State::Established => "established",
            State::HalfClosed => "half_closed",
            State::Closed => "closed",
            State::Reset => "reset",
        }
    }

    /// How long a session in this state may be idle, in ticks.
    pub fn timeout(self, protocol: u8, timeouts: &Ticks) -> u32 {
        match (self, protocol) {
            (State::Active, proto::UDP) => timeouts.udp,
            (State::Active, proto::ICMP) => timeouts.icmp,
            (State::Active, _) => timeouts.other,
            (State::Established | State::HalfClosed, _) => timeouts.tcp_established,
            (State::Opening | State::Closed | State::Reset, _) => timeouts.tcp_transitory,
        }
    }
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    slab: Vec<Session>,
    free: Vec<SessionIx>,
    /// By slot of the flow table: session times two, plus the way. Of a slot that was retired: the accounts of
    /// the session that had it. Of a free one it says anything.
    by_slot: Vec<u32>,
    /// The same for sessions that have no slots.
    slow: HashMap<Key, u32>,
}

impl Sessions {
    /// With room for `expected` sessions in a flow table with so many slots: growing would copy all of them
    /// while packets wait. The room costs memory only as it is used.
    pub fn new(slots: usize, expected: u32) -> Sessions {
        Sessions {
            slab: Vec::with_capacity(expected as usize),
            free: Vec::new(),
            by_slot: vec![0; slots],
            slow: HashMap::new(),
        }
    }

    /// The memory that sessions to come will be kept in.
    pub fn room(&self) -> [Range<usize>; 2] {
        [room::ahead(&self.slab), room::all(&self.by_slot)]
    }

    /// Live sessions.
    pub fn len(&self) -> u32 {
        (self.slab.len() - self.free.len()) as u32
    }

    /// Those that the flow table had no room for.
    pub fn not_offloaded(&self) -> u32 {
        self.slow.len() as u32 / 2
    }

    /// Places in the slab, live or not: the bound of [`Sessions::get`].
    pub fn places(&self) -> u32 {
        self.slab.len() as u32
    }

    /// The session in a place, if one lives there.
    pub fn get(&self, ix: SessionIx) -> Option<&Session> {
        self.slab
            .get(ix as usize)
            .filter(|session| session.era != NO_ERA)
    }

    /// A live session.
    pub fn session(&self, ix: SessionIx) -> &Session {
        &self.slab[ix as usize]
    }

    /// A live session.
    pub fn session_mut(&mut self, ix: SessionIx) -> &mut Session {
        &mut self.slab[ix as usize]
    }

    /// The session that packets with this key belong to, and which way they go.
    pub fn find(&self, table: &Table, key: &Key) -> Option<(SessionIx, Way)> {
        let found = match table.find(key) {
            Some((slot, _)) => self.by_slot[slot as usize],
            None if self.slow.is_empty() => return None,
            None => *self.slow.get(key)?,
        };
        let (ix, way) = (found / 2, Way::BOTH[found as usize % 2]);
        let session = self.get(ix)?;
        (session.keys[way as usize] == *key).then_some((ix, way))
    }

    /// Adds a session. It can be found when it has been [placed](Sessions::place).
    #[inline(always)]
    pub fn add(&mut self, session: Session) -> SessionIx {
        debug_assert!(session.era != NO_ERA && session.keys[0] != session.keys[1]);
        match self.free.pop() {
            Some(ix) => {
                self.slab[ix as usize] = session;
                ix
            }
            None => {
                self.slab.push(session);
                self.slab.len() as u32 - 1
            }
        }
    }

    /// A session has these slots in the flow table.
    pub fn place(&mut self, ix: SessionIx, slots: [u32; 2]) {
        self.unplace(ix);
        let session = &mut self.slab[ix as usize];
        session.slots = slots;
        for (way, slot) in slots.into_iter().enumerate() {
            self.by_slot[slot as usize] = ix * 2 + way as u32;
        }
    }

    /// A session has no room in the flow table: its packets are counted here.
    pub fn place_slow(&mut self, ix: SessionIx, activity: [Activity; 2]) {
        let session = &mut self.slab[ix as usize];
        session.slots = [NO_SLOT; 2];
        session.slow = Some(Box::new(activity));
        for (way, key) in session.keys.into_iter().enumerate() {
            self.slow.insert(key, ix * 2 + way as u32);
        }
    }

    /// The slot, which is taken out of the flow table, was that of a session with these accounts.
    pub fn leave(&mut self, slot: u32, [opener, called]: Accounts) {
        self.by_slot[slot as usize] = u32::from(opener) | u32::from(called) << 16;
    }

    /// The accounts of the session that had a slot which was taken out of the flow table.
    pub fn left(&self, slot: u32) -> Accounts {
        let accounts = self.by_slot[slot as usize];
        [accounts as u16, (accounts >> 16) as u16]
    }

    fn unplace(&mut self, ix: SessionIx) {
        let session = &mut self.slab[ix as usize];
        if session.slow.take().is_some() {
            for key in session.keys {
                self.slow.remove(&key);
            }
        }
    }

    /// Takes a live session out. Its slots are for the caller to retire.
    pub fn remove(&mut self, ix: SessionIx) -> Session {
        self.unplace(ix);
        self.free.push(ix);
        let session = &mut self.slab[ix as usize];
        let removed = session.clone();
        session.era = NO_ERA;
        removed
    }

    /// Checks that slab and counts agree.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self) {
        let live = || self.slab.iter().filter(|session| session.era != NO_ERA);
        assert_eq!(live().count() as u32, self.len());
        let slow = live().filter(|session| session.slow.is_some()).count();
        assert_eq!(slow * 2, self.slow.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_states_follow_what_was_seen() {
        use seen::*;
        let state = |original, reply| State::of(proto::TCP, original, reply);
        assert_eq!(state(SYN, 0), State::Opening);
        assert_eq!(state(SYN, SYN_ACK), State::Opening);
        assert_eq!(state(SYN | DATA, SYN_ACK), State::Established);
        assert_eq!(state(SYN, SYN | SYN_ACK), State::Opening);
        assert_eq!(state(SYN | SYN_ACK, SYN | SYN_ACK), State::Established);
        assert_eq!(state(SYN | DATA | FIN, SYN_ACK | DATA), State::HalfClosed);
        assert_eq!(state(SYN | DATA | FIN, SYN_ACK | DATA | FIN), State::Closed);
        assert_eq!(state(SYN, RST), State::Reset);
        assert_eq!(state(SYN | DATA, SYN_ACK | DATA | RST), State::Reset);
        // A reset that its own sender contradicts was forged (RFC 7857, section 2.2).
        assert_eq!(
            state(SYN | DATA, SYN_ACK | DATA | RST | AFTER_RST),
            State::Established
        );
        assert_eq!(State::of(proto::UDP, 0, 0), State::Active);
    }
}
