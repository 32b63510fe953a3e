//! ARP (RFC 826): answering for the gateway and its networks, and learning next hops.
//!
//! On an instance's port we answer for the gateway, for NAT IPs and for every address of the vSwitch that is
//! elsewhere (proxy ARP, RFC 1027): all traffic between instances comes through here, and instances
//! never see each other's link. On an uplink we answer for EIPs and, if it is ours alone, for its
//! address.

use crate::engine::{Arrival, Core, Fate};
use crate::io::Output;
use crate::snapshot::{Local, Owner, Snapshot};
use crate::wire::Arp;
use flow::reason::Reason;
use std::net::Ipv4Addr;

impl Core {
    pub(crate) fn arp(
        &mut self,
        s: &Snapshot,
        at: Arrival,
        frame: &[u8],
        out: &mut impl Output,
    ) -> Result<Fate, Reason> {
        let arp = Arp::parse(frame).map_err(|_| Reason::Malformed)?;
        let link = &at.port.link;
        if arp.sender_mac == link.mac {
            return Err(Reason::ArpIgnored);
        }
        if !may_speak(s, at, arp.sender) {
            return Err(Reason::Spoofed);
        }
        if !arp.sender.is_unspecified() {
            let (ifindex, mac) = (link.ifindex, arp.sender_mac);
            self.counters.forwarded += self.neighbours.heard(ifindex, arp.sender, mac, at.now, out);
        }
        // A question about one's own address is an announcement or a test whether it is free.
        let answered = !arp.reply && arp.sender != arp.target && answers(s, at, &arp);
        if answered {
            let mut reply = Arp::build(true, link.mac, arp.target, arp.sender_mac, arp.sender);
            self.answer(at, arp.sender_mac, &mut reply, out);
            return Ok(Fate::Answered);
        }
        // Questions for others are everyday business on a shared link; only replies are news.
        if arp.reply {
            Ok(Fate::Answered)
        } else {
            Err(Reason::ArpIgnored)
        }
    }
}

/// Whether a station on this port may call an address its own.
fn may_speak(s: &Snapshot, at: Arrival, sender: Ipv4Addr) -> bool {
    match at.port.owner {
        Owner::Eni(ix) => sender.is_unspecified() || s.owns(ix, sender),
        Owner::Uplink(ix) => {
            let ours = s.uplink(ix).address.is_some_and(|net| net.addr() == sender);
            !s.by_eip.contains_key(&sender) && (!ours || s.uplink(ix).shared)
        }
    }
}

/// Whether we have the address that is asked for, seen from this port.
fn answers(s: &Snapshot, at: Arrival, arp: &Arp) -> bool {
    match at.port.owner {
        Owner::Eni(ix) => {
            let eni = s.eni(ix);
            let vswitch = s.vswitch_of(eni);
            if !vswitch.cidr.contains(&arp.target) {
                return false;
            }
            // A test whether an address is free must find it so unless another interface has it.
            match s.vpc(eni.vpc).local.get(arp.target) {
                Some(Local::Gateway | Local::NatIp(_)) => true,
                Some(Local::Eni(other) | Local::Behind(other)) => other != ix,
                Some(Local::Nobody) | None => false,
            }
        }
        Owner::Uplink(ix) => {
            let uplink = s.uplink(ix);
            let eip = s
                .by_eip
                .get(&arp.target)
                .is_some_and(|&eip| s.eip(eip).uplink == Some(ix));
            let own = !uplink.shared && uplink.address.is_some_and(|net| net.addr() == arp.target);
            eip || own
        }
    }
}
