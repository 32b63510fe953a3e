//! Sending a packet along its session, as the kernel would.

use crate::engine::{Arrival, Core, Fate};
use crate::fragments::Datagram;
use crate::io::{Offload, Output};
use crate::sessions::{NO_SLOT, Session, SessionIx, State, Way};
use crate::snapshot::Snapshot;
use crate::tuple;
use crate::usage::Accounts;
use crate::wire::{IcmpError, Ipv4};
use flow::header::{Checksum, ETH};
use flow::reason::Reason;
use flow::{Action, Activity, checksum, flags, proto, seen};

impl Session {
    /// What is done with packets that go `way`.
    #[inline]
    pub(crate) fn action(&self, way: Way) -> Action {
        let from = &self.keys[way as usize];
        // Packets leave as what the other way's packets answer.
        let to = tuple::reverse(&self.keys[way.other() as usize], 0);
        let original = match way {
            Way::Original => flags::ORIGINAL,
            Way::Reply => 0,
        };
        Action {
            meter: self.meters[way as usize],
            ..Action::new(from, &to, self.hops[way as usize], self.flags | original)
        }
    }
}

impl Core {
    /// What was seen of a session's packets, in both ways.
    pub(crate) fn activity(&self, session: &Session) -> [Activity; 2] {
        match &session.slow {
            Some(slow) => **slow,
            None => session.slots.map(|slot| self.table.entry(slot).activity()),
        }
    }

    /// Whether a TCP session has ended, but for its timeout.
    pub(crate) fn is_over(&self, ix: SessionIx) -> bool {
        let session = self.sessions.session(ix);
        let [original, reply] = self.activity(session);
        let state = State::of(session.keys[0].proto, original.seen, reply.seen);
        matches!(state, State::Closed | State::Reset)
    }

    /// Sends a packet on: checks TTL, size and bandwidth, counts it unless it is counted, rewrites it, and
    /// hands it to the next hop.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn forward(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        frame: &mut [u8],
        packet: &Ipv4,
        mut offload: Offload,
        counted: bool,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let session = self.sessions.session(ix);
        if session.flags & flags::ROUTED != 0 && packet.ttl <= 1 {
            self.time_exceeded(s, at, frame, packet, out);
            return Err(Reason::TtlExpired);
        }
        let hop = self.way_out(session, way);
        let action = match session.slow {
            None => self.table.entry(session.slots[way as usize]).action(),
            Some(_) => session.action(way),
        };
        let translated = (action.src, action.dst) != (packet.src, packet.dst);

        let mtu = self.neighbours.mtu(hop) as usize;
        let headers = packet.l4 - ETH + transport_header(frame, packet);
        if packet.is_fragment() {
            offload.gso_size = 0;
        }
        let fits = match offload.gso_size as usize {
            0 => packet.end - ETH <= mtu,
            size => headers + size <= mtu,
        };
        // Segments of TCP that are not yet on the wire can be made smaller. Datagrams cannot.
        let smaller = offload.gso_size != 0 && packet.proto == proto::TCP && mtu > headers;
        let splits = offload.gso_size == 0 && mtu >= packet.l4 - ETH + 8;
        if !fits && (packet.dont_fragment || !(smaller || splits)) {
            self.too_big(s, at, mtu, frame, packet, out);
            return Err(Reason::FragmentationNeeded);
        }
        let meter = session.meters[way as usize];
        let mut activity = activity(at, frame, packet, offload);
        let packets = activity.packets as usize;
        let bytes = packet.end - ETH + packets.saturating_sub(1) * headers;
        let passes = self
            .meters
            .take(meter, at.now, packets as u32, bytes as u32);
        if passes.is_err() {
            // It keeps the session alive all the same, for it is in use.
            activity = Activity {
                last_seen: activity.last_seen,
                ..Activity::default()
            };
        }
        if !counted {
            self.count(ix, way, &activity);
        }
        passes?;

        if !fits && smaller {
            offload.gso_size = (mtu - headers) as u16;
        }
        if !fits && splits && offload.checksum == Checksum::Partial {
            // Fragments are sent as they are, so the checksum has to be complete.
            complete_checksum(frame, packet);
            offload = Offload::NONE;
        }
        if translated && (packet.is_fragment() || (!fits && splits)) {
            self.replace_id(at, frame, packet);
        }
        flow::header::rewrite(frame, &action, offload.checksum).map_err(|_| Reason::Malformed)?;
        self.neighbours.send(hop, frame, offload, at.now, out)
    }

    /// Counts a packet of a session.
    pub(crate) fn count(&mut self, ix: SessionIx, way: Way, packet: &Activity) {
        let session = self.sessions.session_mut(ix);
        let seen = |before: u8| match packet.seen {
            0 => 0,
            // What was seen before a segment matters for what it means.
            bits if before & seen::RST != 0 && bits & seen::RST == 0 => bits | seen::AFTER_RST,
            bits => bits,
        };
        match &mut session.slow {
            Some(slow) => {
                let (packets, bytes) = (packet.packets, packet.bytes);
                self.usage.packet(session.accounts, way, packets, bytes);
                let activity = &mut slow[way as usize];
                activity.seen |= seen(activity.seen);
                activity.last_seen = packet.last_seen;
                activity.packets += packet.packets;
                activity.bytes += packet.bytes;
            }
            None => {
                let entry = self.table.entry(session.slots[way as usize]);
                let seen = seen(entry.activity().seen);
                entry.count(packet.last_seen, packet.packets, packet.bytes, seen);
            }
        }
    }

    fn too_big(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        mtu: usize,
        frame: &[u8],
        packet: &Ipv4,
        out: &mut impl Output,
    ) {
        let error = IcmpError {
            kind: 3,
            code: 4,
            mtu: mtu as u16,
        };
        self.send_error(at, None, s, error, frame, packet, out);
    }

    /// Gives a fragment the identification that its datagram leaves with, and a packet that will be
    /// fragmented one of ours: behind one address the senders' own would meet.
    fn replace_id(&mut self, at: Arrival, frame: &mut [u8], packet: &Ipv4) {
        let datagram = Datagram::of(at.zone(), packet);
        let id = match self.fragments.known(&datagram) {
            Some(known) if packet.is_fragment() => known.id,
            _ => self.fragments.new_id(),
        };
        let sum = u16::from_ne_bytes([frame[ETH + 10], frame[ETH + 11]]);
        let sum = checksum::update(sum, checksum::delta16(packet.id, id));
        frame[ETH + 4..ETH + 6].copy_from_slice(&id.to_ne_bytes());
        frame[ETH + 10..ETH + 12].copy_from_slice(&sum.to_ne_bytes());
    }

    /// Takes a session's flows out of the table. Their counters were [taken](Core::take_counters).
    pub(crate) fn retire(&mut self, slots: [u32; 2], accounts: Accounts) {
        for slot in slots.into_iter().filter(|&slot| slot != NO_SLOT) {
            self.sessions.leave(slot, accounts);
            self.table.retire(slot);
            self.retired.push(slot);
        }
    }
}

/// What a packet adds to its flow's activity.
pub(crate) fn activity(at: Arrival, frame: &[u8], packet: &Ipv4, offload: Offload) -> Activity {
    let headers = packet.l4 - ETH + transport_header(frame, packet);
    let payload = (packet.end - ETH).saturating_sub(headers);
    Activity {
        seen: match packet.proto {
            proto::TCP if packet.offset == 0 => seen::of(packet.tcp_flags(frame), 0),
            _ => 0,
        },
        last_seen: at.now.tick(),
        packets: match offload.gso_size {
            0 => 1,
            size => payload.div_ceil(size as usize) as u64,
        },
        bytes: packet.end as u64,
    }
}

/// Bytes of the transport header, as far as segments repeat it.
fn transport_header(frame: &[u8], packet: &Ipv4) -> usize {
    match packet.proto {
        proto::TCP if packet.offset == 0 => (frame[packet.l4 + 12] >> 4) as usize * 4,
        _ => 8,
    }
}

/// Completes a transport checksum that was left to hardware.
fn complete_checksum(frame: &mut [u8], packet: &Ipv4) {
    let Some(offset) = flow::header::checksum_offset(packet.proto) else {
        return;
    };
    let at = packet.l4 + offset;
    if at + 2 > packet.end {
        return;
    }
    let len = (packet.end - packet.l4) as u16;
    frame[at..at + 2].fill(0);
    let pseudo = checksum::pseudo(packet.src, packet.dst, packet.proto, len);
    let mut sum = !(checksum::sum(&frame[packet.l4..packet.end], pseudo) as u16);
    if packet.proto == proto::UDP && sum == 0 {
        sum = 0xffff;
    }
    frame[at..at + 2].copy_from_slice(&sum.to_ne_bytes());
}
