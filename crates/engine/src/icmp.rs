//! ICMP errors about translated packets (RFC 5508).
//!
//! An error quotes the packet that it is about as that packet arrived where the error arose, that is,
//! translated. Its receiver must find the packet as it sent it, so the quotation is translated back.
//! Errors neither open nor refresh sessions, and none is answered with an error.

use crate::answers::may_send;
use crate::engine::{Arrival, Core, Fate};
use crate::io::{Offload, Output};
use crate::snapshot::{Owner, Snapshot};
use crate::tuple;
use crate::wire::{self, Ipv4};
use flow::header::{self, ETH};
use flow::reason::Reason;
use flow::{Action, Key, checksum, flags, proto};

/// Destination unreachable, time exceeded, parameter problem.
const ERRORS: [u8; 3] = [3, 11, 12];

impl Core {
    /// An ICMP message other than echo.
    pub(crate) fn icmp(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &mut [u8],
        packet: &Ipv4,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        if packet.end - packet.l4 < 8 {
            return Err(Reason::Malformed);
        }
        if !ERRORS.contains(&frame[packet.l4]) {
            return Err(Reason::IcmpUnsupported);
        }
        if !may_send(s, at.port.owner, packet.src) {
            return Err(Reason::Spoofed);
        }
        // RFC 5508, REQ-3: what is not intact is not passed on.
        if checksum::sum(&frame[packet.l4..packet.end], 0) != 0xffff {
            return Err(Reason::Malformed);
        }
        let quote = packet.l4 + 8;
        let quoted =
            Ipv4::parse_at(&frame[..packet.end], quote, false).map_err(|_| Reason::Malformed)?;
        let key = quoted
            .quoted_key(frame, at.zone())
            .ok_or(Reason::IcmpUnmatched)?;

        // The quoted packet left by this port, so packets that answer it come in here.
        let (ix, way) = self
            .decided(s, &tuple::reverse(&key, at.zone()), at.now)
            .ok_or(Reason::IcmpUnmatched)?;
        let session = self.sessions.session(ix);
        let action = session.action(way);
        let hop = self.way_out(session, way);
        let arriving = session.keys[way as usize];
        let sent = session.keys[way.other() as usize];
        let routed = session.flags & flags::ROUTED != 0;
        let meter = session.meters[way as usize];
        let accounts = session.accounts;

        if let Some(reason) = self.is_refused(session) {
            return Err(reason);
        }
        if routed && packet.ttl <= 1 {
            return Err(Reason::TtlExpired);
        }
        // An error has 576 bytes at most (RFC 1812, section 4.3.2.3): every link takes it.
        if packet.end - ETH > self.neighbours.mtu(hop) as usize {
            return Err(Reason::FragmentationNeeded);
        }
        self.meters
            .take(meter, at.now, 1, (packet.end - ETH) as u32)?;
        self.usage.packet(accounts, way, 1, packet.end as u64);
        // The end that answers is translated like its packets. Routers outside keep their address;
        // those inside a translated network are not shown (RFC 5508, REQ-4 and REQ-5).
        let translated = action.src != arriving.src;
        let inside = matches!(at.port.owner, Owner::Eni(_));
        let src = match packet.src == arriving.src || (inside && translated) {
            true => action.src,
            false => packet.src,
        };
        unquote(&mut frame[quote..quoted.end], &quoted, quote, &key, &sent);

        frame[ETH + 12..ETH + 16].copy_from_slice(&src.to_ne_bytes());
        frame[ETH + 16..ETH + 20].copy_from_slice(&sent.src.to_ne_bytes());
        frame[ETH + 8] -= routed as u8;
        wire::header_checksum(frame, ETH, packet.l4);
        frame[packet.l4 + 2..packet.l4 + 4].fill(0);
        let sum = !(checksum::sum(&frame[packet.l4..packet.end], 0) as u16);
        frame[packet.l4 + 2..packet.l4 + 4].copy_from_slice(&sum.to_ne_bytes());

        self.neighbours.send(hop, frame, Offload::NONE, at.now, out)
    }
}

/// Translates a quoted packet, which begins at `quote` of the frame, back to `sent`. Checksums are
/// brought up to date as far as they are quoted.
fn unquote(packet: &mut [u8], quoted: &Ipv4, quote: usize, seen: &Key, sent: &Key) {
    let action = Action::new(seen, sent, 0, 0);
    let update = |packet: &mut [u8], at: usize, delta: u16| {
        if let Some(field) = packet.get_mut(at..at + 2) {
            let old = u16::from_ne_bytes([field[0], field[1]]);
            let udp_without = quoted.proto == proto::UDP && at > 19 && old == 0;
            if !udp_without {
                field.copy_from_slice(&checksum::update(old, delta).to_ne_bytes());
            }
        }
    };
    update(packet, 10, action.addr_delta);
    packet[12..16].copy_from_slice(&sent.src.to_ne_bytes());
    packet[16..20].copy_from_slice(&sent.dst.to_ne_bytes());
    let l4 = quoted.l4 - quote;
    match quoted.proto {
        proto::TCP | proto::UDP => {
            packet[l4..l4 + 2].copy_from_slice(&sent.sport.to_ne_bytes());
            packet[l4 + 2..l4 + 4].copy_from_slice(&sent.dport.to_ne_bytes());
        }
        proto::ICMP => packet[l4 + 4..l4 + 6].copy_from_slice(&sent.sport.to_ne_bytes()),
        _ => {}
    }
    if let Some(offset) = header::checksum_offset(quoted.proto) {
        update(
            packet,
            l4 + offset,
            header::transport_delta(quoted.proto, &action),
        );
    }
}
