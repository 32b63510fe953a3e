//! What the gateway says itself: echo replies, ICMP errors, TCP resets.

use crate::decide::{self, Denied, From, Unreachable};
use crate::engine::{Arrival, Core, Fate};
use crate::explain::Silent;
use crate::intranet;
use crate::io::{Offload, Output};
use crate::limit::Bucket;
use crate::routing::{self, Target};
use crate::snapshot::{Binding, EniIx, GatewayIx, Local, Owner, Snapshot, Uplink};
use crate::tuple;
use crate::wire::{self, ERROR_MAX, IcmpError, Ipv4};
use flow::reason::Reason;
use flow::{Key, proto};
use model::OutOfState;
use std::net::Ipv4Addr;

/// ICMP errors and TCP resets that one port is sent a second, and at once.
const ERRORS_PER_PORT: (u32, u32) = (100, 50);

impl Core {
    /// Sends a frame that the engine made itself, back to where the frame it answers came from.
    pub(crate) fn answer(
        &mut self,
        at: Arrival,
        to: [u8; 6],
        frame: &mut [u8],
        out: &mut impl Output,
    ) {
        wire::set_macs(frame, to, at.port.link.mac);
        self.counters.originated += 1;
        out.transmit(at.port.link.ifindex, frame, Offload::NONE);
    }

    /// Whether a packet that comes in by a port is for an address of the gateway itself: from inside, that of a vSwitch of
    /// the VPC or of an uplink; from outside, that of this uplink.
    pub(crate) fn is_gateway(&self, s: &Snapshot, owner: Owner, key: &Key) -> bool {
        let dst = tuple::ip(key.dst);
        let is_at =
            |uplink: &Uplink| !uplink.shared && uplink.address.is_some_and(|net| net.addr() == dst);
        match owner {
            Owner::Eni(ix) => match s.vpc(s.eni(ix).vpc).local.get(dst) {
                Some(local) => local == Local::Gateway,
                None => s.uplinks.iter().any(is_at),
            },
            Owner::Uplink(ix) => is_at(s.uplink(ix)),
        }
    }

    /// A packet to the gateway itself: echo is answered, UDP is told that nobody listens (which ends a
    /// traceroute to the gateway), the rest is dropped.
    pub(crate) fn answer_for_gateway(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &mut [u8],
        packet: &Ipv4,
        key: &Key,
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        if !may_send(s, at.port.owner, key.src) {
            return Err(Reason::Spoofed);
        }
        match key.proto {
            proto::ICMP if key.dport == tuple::ECHO_REQUEST && !packet.is_fragment() => {
                self.echo(at, frame, packet, out);
                return Ok(Fate::Answered);
            }
            proto::UDP => {
                let error = IcmpError {
                    kind: 3,
                    code: 3,
                    mtu: 0,
                };
                self.send_error(at, Some(tuple::ip(key.dst)), s, error, frame, packet, out);
            }
            _ => {}
        }
        Err(Reason::GatewayUnanswered)
    }

    pub(crate) fn echo(
        &mut self,
        at: Arrival,
        frame: &mut [u8],
        packet: &Ipv4,
        out: &mut impl Output,
    ) {
        let to = wire::source_mac(frame);
        wire::echo_reply(frame, packet);
        self.answer(at, to, frame, out);
    }

    /// Answers a TCP segment from inside that belongs to no session, if the gateway that it would go
    /// through says so: its sender need not wait on a session that has ended.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    pub(crate) fn out_of_state(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &[u8],
        packet: &Ipv4,
        key: &Key,
        tcp_flags: u8,
        out: &mut impl Output,
    ) {
        let reset = 0x04;
        let Owner::Eni(eni) = at.port.owner else {
            return;
        };
        if tcp_flags & reset != 0 {
            return;
        }
        let gateway = match decide::decide(s, &self.nat, at.from(), key, None, &mut Silent) {
            Ok(plan) => plan.gateway,
            // An SNAT entry may have covered it until now.
            Err(denied) if denied.reason == Reason::NoSnat => gateway_towards(s, eni, key),
            Err(_) => return,
        };
        let answers = gateway.is_none_or(|g| s.gateway(g).out_of_state == OutOfState::Reset);
        if answers && self.may_answer(at) {
            let mut buffer = [0; ERROR_MAX];
            let len = wire::tcp_reset(&mut buffer, frame, packet);
            self.answer(at, wire::source_mac(frame), &mut buffer[..len], out);
        }
    }

    /// Tells the sender of a packet from inside why it was dropped.
    pub(crate) fn notify(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &[u8],
        packet: &Ipv4,
        denied: &Denied,
        out: &mut impl Output,
    ) {
        let inside = matches!(at.port.owner, Owner::Eni(_));
        match (denied.reason, denied.notify) {
            (Reason::TtlExpired, _) => self.time_exceeded(s, at, frame, packet, out),
            (_, Some(code)) if inside => self.unreachable(s, at, frame, packet, code, out),
            _ => {}
        }
    }

    fn unreachable(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &[u8],
        packet: &Ipv4,
        code: Unreachable,
        out: &mut impl Output,
    ) {
        let error = IcmpError {
            kind: 3,
            code: code as u8,
            mtu: 0,
        };
        self.send_error(at, None, s, error, frame, packet, out);
    }

    pub(crate) fn time_exceeded(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &[u8],
        packet: &Ipv4,
        out: &mut impl Output,
    ) {
        let error = IcmpError {
            kind: 11,
            code: 0,
            mtu: 0,
        };
        self.send_error(at, None, s, error, frame, packet, out);
    }

    /// Sends an ICMP error about a packet to its sender, by the port that it came in by; from `src`, or
    /// else from the gateway's address there.
    #[expect(
        clippy::too_many_arguments,
        reason = "a packet, its context and the answer"
    )]
    pub(crate) fn send_error(
        &mut self,
        at: Arrival,
        src: Option<Ipv4Addr>,
        s: &Snapshot,
        error: IcmpError,
        frame: &[u8],
        packet: &Ipv4,
        out: &mut impl Output,
    ) {
        // No errors about errors, about fragments but the first, or to what is no single host
        // (RFC 1122, section 3.2.2).
        let sender = tuple::ip(packet.src);
        let about_error =
            packet.proto == proto::ICMP && !matches!(frame.get(packet.l4), Some(0 | 8));
        if about_error
            || packet.offset != 0
            || sender.is_multicast()
            || sender.is_broadcast()
            || sender.is_unspecified()
        {
            return;
        }
        let src = src.unwrap_or_else(|| match at.port.owner {
            Owner::Eni(ix) => s.vswitch_of(s.eni(ix)).gateway,
            Owner::Uplink(ix) => match s.uplink(ix).address {
                Some(net) => net.addr(),
                None => tuple::ip(packet.dst),
            },
        });
        if self.may_answer(at) {
            let mut buffer = [0; ERROR_MAX];
            let len = wire::icmp_error(&mut buffer, src, error, frame, packet);
            self.answer(at, wire::source_mac(frame), &mut buffer[..len], out);
        }
    }

    /// Takes from the rate limit of a port.
    pub(crate) fn may_answer(&mut self, at: Arrival) -> bool {
        let (rate, burst) = ERRORS_PER_PORT;
        self.limits
            .entry(at.port.link.ifindex)
            .or_insert_with(|| Bucket::new(rate, burst))
            .take(at.now)
    }
}

/// Whether packets with this source address may come in by a port.
pub(crate) fn may_send(s: &Snapshot, owner: Owner, src: u32) -> bool {
    match owner {
        Owner::Eni(ix) => s.owns(ix, tuple::ip(src)),
        Owner::Uplink(_) => decide::comes_from_outside(s, tuple::ip(src)),
    }
}

/// Whether an EIP or a NAT IP answers this echo request itself, since nothing else takes it.
pub(crate) fn eip_answers(s: &Snapshot, from: From, key: &Key, denied: Reason) -> bool {
    let answers = |eip| match s.eip(eip).binding {
        Binding::Gateway(g) => s.gateway(g).icmp_reply,
        _ => false,
    };
    denied == Reason::NotMapped
        && key.proto == proto::ICMP
        && key.dport == tuple::ECHO_REQUEST
        && intranet::called(s, from, key).is_some_and(answers)
}

/// The gateway that the routes lead to, from an interface to where a packet goes.
fn gateway_towards(s: &Snapshot, ix: EniIx, key: &Key) -> Option<GatewayIx> {
    let eni = s.eni(ix);
    let table = s.vswitch_of(eni).table;
    match routing::route(
        s,
        Some(eni),
        eni.vpc,
        table,
        tuple::ip(key.dst),
        &mut Silent,
    ) {
        Ok(Target::Nat(gateway, _)) => Some(gateway),
        _ => None,
    }
}
