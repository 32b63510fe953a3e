//! What becomes of an IPv4 packet: of a whole one, of a fragment.

use crate::answers::eip_answers;
use crate::engine::{Arrival, Core, Fate};
use crate::forward;
use crate::fragments::{Datagram, Held};
use crate::io::{Offload, Output};
use crate::sessions::Way;
use crate::snapshot::Snapshot;
use crate::tuple;
use crate::wire::Ipv4;
use flow::abi::Punt;
use flow::reason::Reason;
use flow::{Key, proto};

impl Core {
    /// An IPv4 frame.
    pub(crate) fn ipv4(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &mut [u8],
        offload: Offload,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let packet = Ipv4::parse(frame).map_err(|_| Reason::Malformed)?;
        let frame = &mut frame[..packet.end];
        if packet.is_fragment() {
            return self.fragment(s, at, frame, &packet, offload, out);
        }
        match packet.key(frame, at.zone()) {
            Ok(key) => self.packet(s, at, frame, &packet, &key, offload, out),
            Err(Punt::Icmp) => self.icmp(s, at, frame, &packet, out),
            Err(_) => Err(Reason::Malformed),
        }
    }

    /// A whole packet or a first fragment.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    fn packet(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &mut [u8],
        packet: &Ipv4,
        key: &Key,
        offload: Offload,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let tcp_flags = if key.proto == proto::TCP {
            packet.tcp_flags(frame)
        } else {
            0
        };
        let opens = match key.proto {
            proto::TCP => tcp_flags & 0x17 == 0x02,
            proto::ICMP => key.dport == tuple::ECHO_REQUEST,
            _ => true,
        };
        let mut found = self.decided(s, key, at.now);
        if let Some((ix, way)) = found
            && key.proto == proto::TCP
            && opens
            && self.is_over(ix)
            && !self.reopen(s, at, ix, way, key)
        {
            found = None;
        }
        if let Some((ix, way)) = found {
            return self.along(s, at, ix, way, frame, packet, offload, false, out);
        }
        if self.is_gateway(s, at.port.owner, key) {
            return self.answer_for_gateway(s, at, frame, packet, key, out);
        }
        if !opens {
            return match key.proto {
                proto::TCP => {
                    self.out_of_state(s, at, frame, packet, key, tcp_flags, out);
                    Err(Reason::TcpOutOfState)
                }
                _ => Err(Reason::IcmpUnmatched),
            };
        }
        let first = forward::activity(at, frame, packet, offload);
        let opened = loop {
            match self.open(s, at, packet, key, first) {
                Err(denied) if self.decide_rest(s, &denied, at.now) => {}
                opened => break opened,
            }
        };
        match opened.map_err(|denied| self.refused_before(s, at, key, denied, first)) {
            Ok(ix) => self.along(s, at, ix, Way::Original, frame, packet, offload, true, out),
            Err(denied)
                if eip_answers(s, at.from(), key, denied.reason) && !packet.is_fragment() =>
            {
                self.echo(at, frame, packet, out);
                Ok(Fate::Answered)
            }
            Err(denied) => {
                self.notify(s, at, frame, packet, &denied, out);
                Err(denied.reason)
            }
        }
    }

    /// A fragment: the first one like a whole packet, the others after it.
    fn fragment(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &mut [u8],
        packet: &Ipv4,
        offload: Offload,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let payload = packet.end - packet.l4;
        // The largest packet has 65,535 bytes; a middle part is a multiple of eight (RFC 791); a part
        // that would overlay a TCP header is an attack (RFC 1858).
        if packet.offset + payload + 20 > 65_535
            || (packet.more_fragments && (!payload.is_multiple_of(8) || payload == 0))
            || (packet.proto == proto::TCP && packet.offset == 8)
        {
            return Err(Reason::FragmentMalformed);
        }
        let datagram = Datagram::of(at.zone(), packet);
        if packet.offset != 0 {
            return match self.fragments.known(&datagram) {
                Some(known) => self.later_fragment(s, at, frame, packet, offload, &known.key, out),
                None => {
                    let held = Held {
                        frame: (&*frame).into(),
                        offload,
                        counted: false,
                    };
                    let waits = self.fragments.hold(datagram, held, at.now);
                    waits.map(|()| Fate::Held)
                }
            };
        }
        let key = match packet.key(frame, at.zone()) {
            Ok(key) => key,
            Err(Punt::Icmp) => return Err(Reason::IcmpUnsupported),
            Err(_) => return Err(Reason::FragmentMalformed),
        };
        // Known before it is sent, so that its identification is replaced like the others'.
        let waiting = self.fragments.first(datagram, key, at.now)?;
        let first = self.packet(s, at, frame, packet, &key, offload, out);
        for mut held in waiting {
            let (frame, offload) = (&mut held.frame, held.offload);
            let result = match Ipv4::parse(frame) {
                _ if first.is_err() => first,
                Ok(packet) => self.later_fragment(s, at, frame, &packet, offload, &key, out),
                Err(_) => Err(Reason::Malformed),
            };
            self.account(result);
        }
        first
    }

    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    fn later_fragment(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &mut [u8],
        packet: &Ipv4,
        offload: Offload,
        key: &Key,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let (ix, way) = self
            .decided(s, key, at.now)
            .ok_or(Reason::FragmentTimeout)?;
        self.along(s, at, ix, way, frame, packet, offload, false, out)
    }
}
