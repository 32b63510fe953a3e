//! The engine: what becomes of a frame.

use crate::decide::{self, Denied, From, Unreachable};
use crate::explain::Silent;
use crate::forward;
use crate::fragments::{Datagram, Fragments};
use crate::io::{Offload, Output, Time};
use crate::limit::Bucket;
use crate::nat::Nat;
use crate::neighbours::Neighbours;
use crate::sessions::{SessionIx, Sessions, Way};
use crate::snapshot::{Binding, Local, Owner, Port, Snapshot};
use crate::tuple;
use crate::wire::{self, ERROR_MAX, IcmpError, Ipv4};
use flow::abi::{Hop, Punt};
use flow::header::{ETHERTYPE_ARP, ETHERTYPE_IPV4};
use flow::reason::Reason;
use flow::table::Table;
use flow::{Key, proto};
use hashbrown::HashMap;
use model::OutOfState;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// ICMP errors and TCP resets that one port is sent a second, and at once.
const ERRORS_PER_PORT: (u32, u32) = (100, 50);

/// The memory that kernel and engine share.
#[derive(Debug)]
pub struct Memory {
    /// The flow table.
    pub table: Table,
    /// Next hops.
    pub hops: &'static [Hop],
}

/// A frame that came in.
#[derive(Debug)]
pub struct Input<'a> {
    /// The interface that it came in by.
    pub ifindex: u32,
    /// The frame, from the Ethernet header on. It is rewritten in place.
    pub frame: &'a mut [u8],
    /// What its sender left to hardware.
    pub offload: Offload,
}

/// Counters of the engine, since it was made.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    pub opened: u64,
    pub closed: u64,
    pub adopted: u64,
    pub packets: u64,
    pub forwarded: u64,
    pub answered: u64,
    pub originated: u64,
    pub drops: [u64; Reason::COUNT],
}

/// Decides about packets that the kernel does not take, and keeps the sessions.
///
/// The engine is the single writer of the flow table. It has no clock and does no I/O: every call is
/// given the time, which must not go back, and an [`Output`] for frames.
#[derive(Debug)]
pub struct Engine {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) table: Table,
    pub(crate) sessions: Sessions,
    pub(crate) nat: Nat,
    pub(crate) neighbours: Neighbours,
    pub(crate) fragments: Fragments,
    pub(crate) counters: Counters,
    /// Sessions by source that count against a limit.
    pub(crate) per_source: HashMap<(u16, u32), u32>,
    /// Rate limits of what ports are sent, by interface index.
    pub(crate) limits: HashMap<u32, Bucket>,
    /// Slots of the flow table that await a grace period.
    pub(crate) retired: Vec<u32>,
    pub(crate) sweep: crate::sweep::Sweep,
}

/// What becomes of a frame that is not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was sent on.
    Sent,
    /// It waits: for its first fragment or its next hop's address.
    Held,
    /// It was for us: it was answered, or taken note of.
    Answered,
}

/// Where a frame came in, for the functions that deal with it.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub port: &'a Port,
    pub now: Time,
}

impl Arrival<'_> {
    pub fn zone(&self) -> u16 {
        self.port.link.zone
    }

    pub fn from(&self) -> From {
        From::of(self.port.owner)
    }
}

impl Engine {
    /// Deals with a frame.
    pub fn frame(&mut self, input: Input<'_>, now: Time, out: &mut impl Output) {
        self.counters.packets += 1;
        let snapshot = Arc::clone(&self.snapshot);
        let Some(&port) = snapshot.by_ifindex.get(&input.ifindex) else {
            return self.account(Err(Reason::NotForUs));
        };
        let at = Arrival {
            port: &snapshot.ports[port],
            now,
        };
        let result = match wire::ethertype(input.frame) {
            Some(ETHERTYPE_IPV4) => self.ipv4(&snapshot, at, input.frame, input.offload, out),
            Some(ETHERTYPE_ARP) => self.arp(&snapshot, at, input.frame, out),
            Some(_) => Err(Reason::NotIpv4),
            None => Err(Reason::Malformed),
        };
        self.account(result);
    }

    /// A hint that this frame comes next, by the interface with this index. What it will need of the flow
    /// table is fetched from memory while the frame before it is dealt with.
    pub fn expect(&self, ifindex: u32, frame: &[u8]) {
        if let Some(&port) = self.snapshot.by_ifindex.get(&ifindex)
            && wire::ethertype(frame) == Some(ETHERTYPE_IPV4)
            && let Ok(packet) = Ipv4::parse(frame)
            && let Ok(key) = packet.key(frame, self.snapshot.ports[port].link.zone)
        {
            self.table.prefetch(&key);
        }
    }

    /// The session that packets with this key belong to, and which way they go.
    pub(crate) fn find(&self, key: &Key) -> Option<(SessionIx, Way)> {
        self.sessions.find(&self.table, key)
    }

    /// Counts a frame under what became of it.
    fn account(&mut self, result: Result<Fate, Reason>) {
        match result {
            Ok(Fate::Sent) => self.counters.forwarded += 1,
            Ok(Fate::Held) => {}
            Ok(Fate::Answered) => self.counters.answered += 1,
            Err(reason) => self.counters.drops[reason as usize] += 1,
        }
    }

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

    fn ipv4(
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
        let mut found = self.find(key);
        if let Some((ix, way)) = found
            && key.proto == proto::TCP
            && opens
            && self.is_over(ix)
            && !self.reopen(s, at, ix, way, key)
        {
            found = None;
        }
        if let Some((ix, way)) = found {
            return self.forward(s, at, ix, way, frame, packet, offload, false, out);
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
        match self.open(s, at, packet, key, first) {
            Ok(ix) => self.forward(s, at, ix, Way::Original, frame, packet, offload, true, out),
            Err(denied) if eip_answers(s, key, denied.reason) && !packet.is_fragment() => {
                self.echo(at, frame, packet, out);
                Ok(Fate::Answered)
            }
            Err(denied) => {
                self.notify(s, at, frame, packet, &denied, out);
                Err(denied.reason)
            }
        }
    }

    /// Whether a packet that comes in by a port is for an address of the gateway itself.
    pub(crate) fn is_gateway(&self, s: &Snapshot, owner: Owner, key: &Key) -> bool {
        let dst = tuple::ip(key.dst);
        match owner {
            Owner::Eni(ix) => matches!(s.vpc(s.eni(ix).vpc).local.get(dst), Some(Local::Gateway)),
            Owner::Uplink(ix) => {
                let uplink = s.uplink(ix);
                !uplink.shared && uplink.address.is_some_and(|net| net.addr() == dst)
            }
        }
    }

    /// A packet to the gateway itself: echo is answered, UDP is told that nobody listens (which ends a
    /// traceroute to the gateway), the rest is dropped.
    fn answer_for_gateway(
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

    fn echo(&mut self, at: Arrival, frame: &mut [u8], packet: &Ipv4, out: &mut impl Output) {
        let to = wire::source_mac(frame);
        wire::echo_reply(frame, packet);
        self.answer(at, to, frame, out);
    }

    /// Answers a TCP segment from inside that belongs to no session, if the gateway that it would go
    /// through says so: its sender need not wait on a session that has ended.
    #[expect(clippy::too_many_arguments, reason = "a packet and its context")]
    fn out_of_state(
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
        if matches!(at.port.owner, Owner::Uplink(_)) || tcp_flags & reset != 0 {
            return;
        }
        let Ok(plan) = decide::decide(s, &self.nat, at.from(), key, None, &mut Silent) else {
            return;
        };
        let answers = plan
            .gateway
            .is_none_or(|g| s.gateway(g).out_of_state == OutOfState::Reset);
        if answers && self.may_answer(at) {
            let mut buffer = [0; ERROR_MAX];
            let len = wire::tcp_reset(&mut buffer, frame, packet);
            self.answer(at, wire::source_mac(frame), &mut buffer[..len], out);
        }
    }

    /// Tells the sender of a packet from inside why it was dropped.
    fn notify(
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
    fn may_answer(&mut self, at: Arrival) -> bool {
        let (rate, burst) = ERRORS_PER_PORT;
        self.limits
            .entry(at.port.link.ifindex)
            .or_insert_with(|| Bucket::new(rate, burst))
            .take(at.now)
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
        let datagram = Datagram {
            zone: at.zone(),
            src: packet.src,
            dst: packet.dst,
            id: packet.id,
            proto: packet.proto,
        };
        if packet.offset != 0 {
            return match self.fragments.known(&datagram) {
                Some(known) => self.later_fragment(s, at, frame, packet, offload, &known.key, out),
                None => self
                    .fragments
                    .hold(datagram, frame, offload, at.now)
                    .map(|()| Fate::Held),
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
        for (mut frame, offload) in waiting {
            let result = match Ipv4::parse(&frame) {
                _ if first.is_err() => first,
                Ok(packet) => self.later_fragment(s, at, &mut frame, &packet, offload, &key, out),
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
        let (ix, way) = self.find(key).ok_or(Reason::FragmentTimeout)?;
        self.forward(s, at, ix, way, frame, packet, offload, false, out)
    }
}

/// Whether packets with this source address may come in by a port.
pub(crate) fn may_send(s: &Snapshot, owner: Owner, src: u32) -> bool {
    match owner {
        Owner::Eni(ix) => s.eni(ix).owns(tuple::ip(src)),
        Owner::Uplink(_) => decide::comes_from_outside(s, tuple::ip(src)),
    }
}

/// Whether an EIP answers this echo request itself, since nothing else takes it.
pub(crate) fn eip_answers(s: &Snapshot, key: &Key, denied: Reason) -> bool {
    let Some(&eip) = s.by_eip.get(&tuple::ip(key.dst)) else {
        return false;
    };
    denied == Reason::NotMapped
        && key.proto == proto::ICMP
        && key.dport == tuple::ECHO_REQUEST
        && matches!(s.eip(eip).binding, Binding::Gateway(g) if s.gateway(g).icmp_reply)
}
