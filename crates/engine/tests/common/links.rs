//! Links and the stations on them: who is where, and how they send to us.

use super::packet::Packet;
use super::world::{ArpSeen, World};
use engine::{Link, Offload, PortRef, UPLINK_ZONE};
use model::{Config, Driver};
use std::net::Ipv4Addr;

/// The MAC address of a station.
fn usual_mac(ifindex: u32, address: Ipv4Addr) -> [u8; 6] {
    let [_, b, c, d] = address.octets();
    [2, ifindex as u8, 1, b, c, d]
}

impl World {
    pub(super) fn mtu_of(&self, link: &Link) -> u16 {
        let configured = match &link.port {
            PortRef::Uplink(id) => self
                .config
                .uplinks
                .iter()
                .find(|u| u.id == *id)
                .and_then(|u| u.mtu),
            PortRef::Eni(id) => self.config.enis.iter().find(|e| e.id == *id).map(|e| e.mtu),
        };
        configured.unwrap_or(link.mtu).min(link.mtu)
    }

    /// The station that a packet to `dst` is for, on a link.
    pub(super) fn next_hop(&self, link: &Link, dst: Ipv4Addr) -> Ipv4Addr {
        match &link.port {
            PortRef::Uplink(id) => {
                let uplink = self.config.uplinks.iter().find(|u| u.id == *id).unwrap();
                let on_link = uplink.address.is_some_and(|net| net.contains(&dst));
                match uplink.gateway {
                    Some(gateway) if !on_link => gateway,
                    _ => dst,
                }
            }
            PortRef::Eni(id) => {
                let eni = self.config.enis.iter().find(|e| e.id == *id).unwrap();
                let vswitch = self.config.vswitches.iter().find(|v| v.id == eni.vswitch);
                if vswitch.unwrap().cidr.contains(&dst) {
                    dst
                } else {
                    eni.address
                }
            }
        }
    }

    /// Whether a station with this address is on a link.
    fn is_at(&self, link: &Link, address: Ipv4Addr) -> bool {
        match &link.port {
            PortRef::Uplink(_) => {
                let ours = self.config.eips.iter().any(|eip| eip.address == address);
                !ours && self.next_hop(link, address) == address
            }
            PortRef::Eni(id) => {
                let eni = self.config.enis.iter().find(|e| e.id == *id).unwrap();
                eni.address == address || eni.hosts.iter().any(|net| net.contains(&address))
            }
        }
    }

    pub fn mac_of(&self, link: &Link, address: Ipv4Addr) -> [u8; 6] {
        let moved = self.moved.get(&address).copied();
        link.station
            .or(moved)
            .unwrap_or_else(|| usual_mac(link.ifindex, address))
    }

    pub(super) fn deliver_arp(&mut self, link: &Link, frame: &[u8]) {
        let address =
            |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
        let arp = ArpSeen {
            ifindex: link.ifindex,
            reply: frame[21] == 2,
            mac: frame[22..28].try_into().unwrap(),
            sender: address(28),
            target: address(38),
        };
        assert_eq!(frame.len(), 42);
        assert_eq!(arp.mac, link.mac);
        self.arps.push(arp);
        let asks = !arp.reply && arp.sender != arp.target;
        if asks && self.is_at(link, arp.target) && !self.silent.contains(&arp.target) {
            let reply = self.arp_frame(link, arp.target, true, arp.sender);
            self.queue.push_back((link.ifindex, reply, Offload::NONE));
        }
    }

    /// The ARP message in which a station says where it is, or asks for somebody.
    pub fn arp_frame(
        &self,
        link: &Link,
        sender: Ipv4Addr,
        reply: bool,
        target: Ipv4Addr,
    ) -> Vec<u8> {
        let mac = self.mac_of(link, sender);
        let to = if reply { link.mac } else { [0xff; 6] };
        let mut frame = ethernet(to, mac, 0x0806);
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1 + reply as u8]);
        frame.extend(mac);
        frame.extend(sender.octets());
        frame.extend(if reply { link.mac } else { [0; 6] });
        frame.extend(target.octets());
        frame
    }
}

pub(super) fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16) -> Vec<u8> {
    let mut frame = [to, from].concat();
    frame.extend(kind.to_be_bytes());
    frame
}

/// Leaves the transport checksum to hardware.
pub(super) fn make_partial(frame: &mut [u8], packet: &Packet) {
    let at = 34 + packet.options.len() + if packet.proto() == super::TCP { 16 } else { 6 };
    let len = frame.len() - 34 - packet.options.len();
    let mut pseudo = [packet.src.octets(), packet.dst.octets()].concat();
    pseudo.extend([0, packet.proto()]);
    pseudo.extend((len as u16).to_be_bytes());
    let sum = !super::checksum(&[&pseudo]);
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The links of a configuration. A link that was known before is the same.
pub(super) fn links_of(config: &Config, known: &mut Vec<Link>) -> Vec<Link> {
    let enis = config.enis.iter().map(|eni| {
        let alone = eni.driver == Driver::Netns;
        (PortRef::Eni(eni.id.clone()), alone)
    });
    let uplinks = config
        .uplinks
        .iter()
        .map(|uplink| (PortRef::Uplink(uplink.id.clone()), false));
    let mut links = Vec::new();
    for (port, alone) in enis.chain(uplinks) {
        let same = |link: &&Link| link.port == port && link.ifindex != 0;
        if let Some(link) = known.iter().find(same) {
            links.push(link.clone());
            continue;
        }
        let n = known.len() as u32 + 1;
        let link = Link {
            zone: match port {
                PortRef::Eni(_) => 100 + n as u16,
                PortRef::Uplink(_) => UPLINK_ZONE,
            },
            port,
            ifindex: 10 + n,
            mac: [2, 0, 0, 0, 0, n as u8],
            station: alone.then_some([2, 0, 0, 0, 1, n as u8]),
            mtu: 9216,
            peer: alone,
        };
        known.push(link.clone());
        links.push(link);
    }
    links
}
