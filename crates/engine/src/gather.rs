//! Fragments of sessions that are looked at: they wait until their datagram is whole, so that what is looked at is what
//! its receiver will put together. Then all of them go on as they came, or none.
//!
//! What overlaps is not passed on: which of two overlapping parts counts is for the receiver to say, so nobody before
//! it can know. A datagram that does not become whole in time goes nowhere.

use crate::curtain::Curtain;
use crate::engine::{Arrival, Core, Fate};
use crate::fragments::{Datagram, Held};
use crate::heard;
use crate::io::{Offload, Output};
use crate::sessions::{SessionIx, Way};
use crate::snapshot::Snapshot;
use crate::wire::Ipv4;
use flow::reason::Reason;

impl Core {
    /// A fragment of a session behind a curtain that is looked at.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn gather(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        frame: &mut [u8],
        packet: &Ipv4,
        offload: Offload,
        counted: bool,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let datagram = Datagram::of(at.zone(), packet);
        if let Some(overlap) = self.overlap(&datagram, frame, packet) {
            if overlap == Overlap::Other {
                let dropped = self.fragments.take(&datagram);
                for _ in dropped {
                    self.account(Err(Reason::FragmentMalformed));
                }
            }
            return Err(Reason::FragmentMalformed);
        }
        let held = Held {
            frame: (&*frame).into(),
            offload,
            counted,
        };
        self.fragments.hold(datagram, held, at.now)?;
        let Some((joined, whole)) = join(self.fragments.waiting(&datagram)) else {
            return Ok(Fate::Held);
        };
        let parts = self.fragments.take(&datagram);
        let looked = self.look(s, at, ix, way, &joined, &whole, Offload::NONE, out);
        let mut last = Ok(Fate::Held);
        for (n, mut part) in (1..).zip(parts) {
            if n > 1 {
                self.account(last);
            }
            last = looked.and_then(|()| self.pass_on(s, at, ix, way, &mut part, out));
        }
        last
    }

    /// A fragment of a session that nothing is looked at any more: those that waited go before it.
    pub(crate) fn release_gathered(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        packet: &Ipv4,
        out: &mut impl Output,
    ) {
        let datagram = Datagram::of(at.zone(), packet);
        for mut part in self.fragments.take(&datagram) {
            let result = self.pass_on(s, at, ix, way, &mut part, out);
            self.account(result);
        }
    }

    fn pass_on(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        part: &mut Held,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let packet = Ipv4::parse(&part.frame).map_err(|_| Reason::Malformed)?;
        let (offload, counted) = (part.offload, part.counted);
        let frame = &mut part.frame;
        self.forward(s, at, ix, way, frame, &packet, offload, counted, out)
    }

    /// Looks at a whole packet of a session behind a curtain. An error is one that must not go on.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn look(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        ix: SessionIx,
        way: Way,
        frame: &[u8],
        packet: &Ipv4,
        offload: Offload,
        out: &mut impl Output,
    ) -> Result<(), Reason> {
        match self.curtain(ix) {
            Curtain::Open => Ok(()),
            // What its receiver does not take must not be taken for what it is told.
            Curtain::Inspect | Curtain::Dns if !heard::is_heard(frame, packet, offload) => {
                Err(Reason::Malformed)
            }
            Curtain::Inspect => {
                self.inspect(s, at, ix, way, frame, packet, offload, out)?;
                match self.asks(s, ix) {
                    true => self.look_at_names(s, at, ix, way, frame, packet, out),
                    false => Ok(()),
                }
            }
            Curtain::Dns => self.look_at_names(s, at, ix, way, frame, packet, out),
            Curtain::Refused => Err(self.at_the_wall(s, at, ix, way, frame, packet, out)),
        }
    }

    /// Whether a fragment overlaps one that waits.
    fn overlap(&self, datagram: &Datagram, frame: &[u8], packet: &Ipv4) -> Option<Overlap> {
        let end = |packet: &Ipv4| packet.offset + (packet.end - packet.l4);
        self.fragments.waiting(datagram).iter().find_map(|held| {
            let other = Ipv4::parse(&held.frame).ok()?;
            let apart = end(&other) <= packet.offset || end(packet) <= other.offset;
            // Two ends of one datagram, or something behind its end.
            let beyond = |last: &Ipv4, it: &Ipv4| !last.more_fragments && end(it) > end(last);
            let same = other.offset == packet.offset
                && other.more_fragments == packet.more_fragments
                && held.frame[other.l4..other.end] == frame[packet.l4..packet.end];
            match () {
                () if same => Some(Overlap::Same),
                () if !apart || beyond(packet, &other) || beyond(&other, packet) => {
                    Some(Overlap::Other)
                }
                () => None,
            }
        })
    }
}

/// How two fragments overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    /// They are the same.
    Same,
    /// They say two things about the same place.
    Other,
}

/// Puts fragments together that do not overlap, if they are all there.
fn join(parts: &[Held]) -> Option<(Vec<u8>, Ipv4)> {
    let mut parts: Vec<(Ipv4, &[u8])> = parts
        .iter()
        .filter_map(|held| Some((Ipv4::parse(&held.frame).ok()?, &*held.frame)))
        .collect();
    parts.sort_unstable_by_key(|(packet, _)| packet.offset);
    let (first, frame) = *parts.first()?;
    let mut joined = frame.get(..first.l4)?.to_vec();
    let mut more = true;
    for (packet, frame) in &parts {
        let there = joined.len() - first.l4;
        if packet.offset != there || !more {
            return None;
        }
        joined.extend_from_slice(frame.get(packet.l4..packet.end)?);
        more = packet.more_fragments;
    }
    let whole = Ipv4 {
        end: joined.len(),
        more_fragments: false,
        ..first
    };
    (!more).then_some((joined, whole))
}
