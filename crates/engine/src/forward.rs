//! Sending a packet along its session, as the kernel would.

use crate::engine::{Arrival, Engine};
use crate::fragments::Datagram;
use crate::io::{Offload, Output};
use crate::sessions::{NO_SLOT, Session, SessionIx, State, Way};
use crate::snapshot::Snapshot;
use crate::tuple;
use crate::wire::{self, IcmpError, Ipv4};
use flow::header::ETH;
use flow::reason::Reason;
use flow::{Action, Activity, checksum, flags, proto, seen};

impl Session {
    /// What is done with packets that go `way`.
    pub(crate) fn action(&self, way: Way) -> Action {
        let from = &self.keys[way as usize];
        // Packets leave as what the other way's packets answer.
        let to = tuple::reverse(&self.keys[way.other() as usize], 0);
        let mut bits = 0;
        if self.routed {
            bits |= flags::ROUTED;
        }
        if way == Way::Original {
            bits |= flags::ORIGINAL;
        }
        Action::new(from, &to, self.hops[way as usize], bits)
    }
}

impl Engine {
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

    /// Sends a packet on: checks TTL and size, counts, rewrites, and hands it to the next hop.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn forward(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        frame: &mut [u8],
        packet: &Ipv4,
        offload: Offload,
        out: &mut impl Output,
    ) -> Result<(), Reason> {
        let session = self.sessions.session(ix);
        if session.routed && packet.ttl <= 1 {
            self.time_exceeded(s, at, frame, packet, out);
            return Err(Reason::TtlExpired);
        }
        let hop = session.hops[way as usize];
        let action = session.action(way);
        let translated = action.src != packet.src;

        let mtu = self.neighbours.mtu(hop) as usize;
        let len = packet.end - ETH;
        let header = packet.l4 - ETH;
        let mut offload = offload;
        let mut split = false;
        if offload.gso_size != 0 {
            let transport = match packet.proto {
                proto::TCP => (frame[packet.l4 + 12] >> 4) as usize * 4,
                _ => 8,
            };
            if header + transport + offload.gso_size as usize > mtu {
                if packet.dont_fragment || mtu <= header + transport {
                    self.too_big(s, at, mtu, frame, packet, out);
                    return Err(Reason::FragmentationNeeded);
                }
                // Not yet on the wire: smaller segments do.
                offload.gso_size = (mtu - header - transport) as u16;
            }
        } else if len > mtu {
            if packet.dont_fragment || mtu < header + 8 {
                self.too_big(s, at, mtu, frame, packet, out);
                return Err(Reason::FragmentationNeeded);
            }
            split = true;
        }

        let bits = match packet.proto {
            proto::TCP if packet.offset == 0 => packet.tcp_flags(frame),
            _ => 0,
        };
        self.count(ix, way, at, frame.len(), offload, bits, packet);

        if packet.is_fragment() && translated {
            self.replace_id(at, frame, packet);
        }
        if split && offload.checksum == flow::header::Checksum::Partial {
            // Fragments are sent as they are, so the checksum has to be complete.
            complete_checksum(frame, packet);
            offload = Offload::NONE;
        }
        flow::header::rewrite(frame, &action, offload.checksum).map_err(|_| Reason::Malformed)?;
        if split {
            self.send_fragments(hop, mtu, frame, packet, at, out)?;
        } else {
            self.neighbours.send(hop, frame, offload, at.now, out)?;
        }
        self.counters.forwarded += 1;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what there is to count")]
    fn count(
        &mut self,
        ix: SessionIx,
        way: Way,
        at: Arrival,
        bytes: usize,
        offload: Offload,
        tcp_flags: u8,
        packet: &Ipv4,
    ) {
        let session = self.sessions.session_mut(ix);
        let packets = match offload.gso_size {
            0 => 1,
            size => ((packet.end - packet.l4) as u64).div_ceil(size as u64),
        };
        let tick = at.now.tick();
        let bits = |before| {
            if packet.proto == proto::TCP && packet.offset == 0 {
                seen::of(tcp_flags, before)
            } else {
                0
            }
        };
        match &mut session.slow {
            Some(slow) => {
                let activity = &mut slow[way as usize];
                activity.seen |= bits(activity.seen);
                activity.last_seen = tick;
                activity.packets += packets;
                activity.bytes += bytes as u64;
            }
            None => {
                let entry = self.table.entry(session.slots[way as usize]);
                entry.count(tick, packets, bytes as u64, bits(entry.activity().seen));
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

    /// Gives a fragment the identification that its datagram leaves with.
    fn replace_id(&self, at: Arrival, frame: &mut [u8], packet: &Ipv4) {
        let datagram = Datagram {
            zone: at.zone(),
            src: packet.src,
            dst: packet.dst,
            id: packet.id,
            proto: packet.proto,
        };
        if let Some(known) = self.fragments.known(&datagram) {
            let sum = u16::from_ne_bytes([frame[ETH + 10], frame[ETH + 11]]);
            let sum = checksum::update(sum, checksum::delta16(packet.id, known.id));
            frame[ETH + 4..ETH + 6].copy_from_slice(&known.id.to_ne_bytes());
            frame[ETH + 10..ETH + 12].copy_from_slice(&sum.to_ne_bytes());
        }
    }

    /// Sends a rewritten packet in parts of at most `mtu` bytes (RFC 791).
    fn send_fragments(
        &mut self,
        hop: u16,
        mtu: usize,
        frame: &[u8],
        packet: &Ipv4,
        at: Arrival,
        out: &mut impl Output,
    ) -> Result<(), Reason> {
        let payload = &frame[packet.l4..packet.end];
        // Options that are not copied into every fragment would have to be told apart; a packet with
        // options is rare, and all of them in every part is harmless.
        let header = packet.l4 - ETH;
        let room = (mtu - header) / 8 * 8;
        let mut part = Vec::with_capacity(ETH + header + room);
        let mut parts = payload.chunks(room).enumerate().peekable();
        while let Some((n, chunk)) = parts.next() {
            part.clear();
            part.extend_from_slice(&frame[..packet.l4]);
            part.extend_from_slice(chunk);
            let total = (header + chunk.len()) as u16;
            part[ETH + 2..ETH + 4].copy_from_slice(&total.to_be_bytes());
            let more = parts.peek().is_some() || packet.more_fragments;
            let offset = ((packet.offset + n * room) / 8) as u16 | if more { 0x2000 } else { 0 };
            part[ETH + 6..ETH + 8].copy_from_slice(&offset.to_be_bytes());
            wire::header_checksum(&mut part, ETH, packet.l4);
            self.neighbours
                .send(hop, &mut part, Offload::NONE, at.now, out)?;
        }
        Ok(())
    }

    /// Takes a session's flows out of the table.
    pub(crate) fn retire(&mut self, slots: [u32; 2]) {
        for slot in slots.into_iter().filter(|&slot| slot != NO_SLOT) {
            self.table.retire(slot);
            self.retired.push(slot);
        }
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
