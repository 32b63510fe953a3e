//! Network interfaces: making, finding and changing them, their addresses and routes.

use crate::error::{Context, Error};
use crate::ethtool::{Ethtool, Feature};
use crate::netlink::{Netlink, errno};
use crate::netns;
use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    State,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The routing table that routes are in if nothing else is said.
pub const MAIN_TABLE: u32 = 254;

/// How long an end of a veth pair may take to become operational. The kernel looks once a second.
const OPERATIONAL: Duration = Duration::from_secs(10);

/// Packets and bytes that went through an interface, as the host counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received and dropped by the driver or for want of memory.
    pub rx_dropped: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets to be sent and dropped.
    pub tx_dropped: u64,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index in its network namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind, e.g. `veth`, `bridge`, `tun`; empty for hardware.
    pub kind: String,
    /// Its MAC address; `None` if it is not an Ethernet interface.
    pub mac: Option<[u8; 6]>,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether the link below works.
    pub carrier: bool,
    /// Whether it takes packets to send (RFC 2863: `ifOperStatus` is `up`). This comes some time after
    /// `carrier`, and from drivers of some kinds never.
    pub operational: bool,
    /// What `ip link set … alias` says; empty if nothing.
    pub alias: String,
    /// Index of the other end (in its own namespace) if it is one of a pair.
    pub peer: Option<u32>,
    /// What went through.
    pub counters: Counters,
}

/// A veth pair to be made: one end here, the other in another namespace.
#[derive(Clone, Copy, Debug)]
pub struct VethPair<'a> {
    /// Name of this end, at most 15 bytes.
    pub name: &'a str,
    /// MAC address of this end.
    pub mac: [u8; 6],
    /// Alias of this end.
    pub alias: &'a str,
    /// Name of the far end.
    pub far_name: &'a str,
    /// MAC address of the far end.
    pub far_mac: [u8; 6],
    /// Largest IP packet in bytes, of both.
    pub mtu: u32,
}

/// The interfaces of one network namespace.
pub struct Links {
    netlink: Netlink,
    ethtool: Ethtool,
}

impl Links {
    /// Those of the current thread's namespace.
    pub fn open() -> Result<Links, Error> {
        Ok(Links {
            netlink: Netlink::open().context(|| "open an rtnetlink socket".into())?,
            ethtool: Ethtool::open().context(|| "open a socket for ethtool".into())?,
        })
    }

    /// Those of a named namespace.
    pub fn open_in(namespace: &str) -> Result<Links, Error> {
        netns::in_namespace(namespace, Links::open)?
    }

    /// The interface of this name.
    pub fn find(&mut self, name: &str) -> Result<Option<Interface>, Error> {
        // A longer name would be refused as malformed: there can be no such interface.
        if name.is_empty() || name.len() > 15 {
            return Ok(None);
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        self.get(message, || format!("look up interface {name}"))
    }

    /// The interface with this index.
    pub fn by_index(&mut self, index: u32) -> Result<Option<Interface>, Error> {
        self.get(of(index), || format!("look up interface {index}"))
    }

    fn get(
        &mut self,
        message: LinkMessage,
        what: impl FnOnce() -> String,
    ) -> Result<Option<Interface>, Error> {
        match self.netlink.request(Message::GetLink(message), 0) {
            Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(None),
            answers => Ok(answers.context(what)?.into_iter().find_map(interface)),
        }
    }

    /// All interfaces.
    pub fn list(&mut self) -> Result<Vec<Interface>, Error> {
        let answers = self.netlink.dump(Message::GetLink(LinkMessage::default()));
        let answers = answers.context(|| "list interfaces".into())?;
        Ok(answers.into_iter().filter_map(interface).collect())
    }

    /// Makes a veth pair, both ends down. An error leaves nothing behind.
    pub fn add_veth(&mut self, pair: &VethPair<'_>, far: &OwnedFd) -> Result<Interface, Error> {
        let what = || format!("make veth pair {}", pair.name);
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(pair.far_name.into()),
            LinkAttribute::Address(pair.far_mac.to_vec()),
            LinkAttribute::Mtu(pair.mtu),
            LinkAttribute::NetNsFd(far.as_raw_fd()),
        ];
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(pair.name.into()),
            LinkAttribute::Address(pair.mac.to_vec()),
            LinkAttribute::Mtu(pair.mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        self.netlink
            .request(Message::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .context(what)?;
        let made = self.find(pair.name)?.ok_or_else(|| Error::System {
            what: what(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        // The kernel takes no alias while it makes an interface.
        if let Err(error) = self.set_alias(made.index, pair.alias) {
            let _ = self.delete(made.index);
            return Err(error);
        }
        Ok(Interface {
            alias: pair.alias.into(),
            ..made
        })
    }

    /// Deletes an interface; of a pair, both ends. One that is gone already is no error.
    pub fn delete(&mut self, index: u32) -> Result<(), Error> {
        match self.netlink.request(Message::DelLink(of(index)), 0) {
            Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(()),
            done => done
                .map(drop)
                .context(|| format!("delete interface {index}")),
        }
    }

    /// Switches an interface on.
    pub fn set_up(&mut self, index: u32) -> Result<(), Error> {
        let mut message = of(index);
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.set(message, || format!("set interface {index} up"))
    }

    /// Waits until an end of a veth pair takes packets to send. The kernel gets to that in its own time
    /// after both ends are up, and drops what is sent before, in silence.
    pub fn wait_operational(&mut self, index: u32) -> Result<(), Error> {
        let deadline = Instant::now() + OPERATIONAL;
        while Instant::now() < deadline {
            match self.by_index(index)? {
                Some(interface) if interface.operational => return Ok(()),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        Err(io::Error::from(io::ErrorKind::TimedOut))
            .context(|| format!("wait for interface {index} to become operational"))
    }

    /// Sets what `ip link` shows as alias; at most 255 bytes.
    pub fn set_alias(&mut self, index: u32, alias: &str) -> Result<(), Error> {
        let mut message = of(index);
        message
            .attributes
            .push(LinkAttribute::IfAlias(alias.into()));
        self.set(message, || format!("set the alias of interface {index}"))
    }

    /// Sets the largest IP packet, in bytes.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), Error> {
        let mut message = of(index);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.set(message, || {
            format!("set the MTU of interface {index} to {mtu}")
        })
    }

    /// Sets the MAC address.
    pub fn set_mac(&mut self, index: u32, mac: [u8; 6]) -> Result<(), Error> {
        let mut message = of(index);
        message
            .attributes
            .push(LinkAttribute::Address(mac.to_vec()));
        self.set(message, || {
            format!("set the MAC address of interface {index}")
        })
    }

    fn set(&mut self, message: LinkMessage, what: impl FnOnce() -> String) -> Result<(), Error> {
        let done = self.netlink.request(Message::SetLink(message), 0);
        done.map(drop).context(what)
    }

    /// The IPv4 addresses of an interface, each with its prefix.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<Ipv4Net>, Error> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let answers = self.netlink.dump(Message::GetAddress(message));
        let answers = answers.context(|| format!("list the addresses of interface {index}"))?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                Message::NewAddress(address) if address.header.index == index => Some(address),
                _ => None,
            })
            .filter_map(|address| {
                let local = address
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        AddressAttribute::Local(IpAddr::V4(local)) => Some(*local),
                        _ => None,
                    })?;
                Ipv4Net::new(local, address.header.prefix_len).ok()
            })
            .collect())
    }

    /// Gives an interface an address. The network of its prefix becomes reachable by it.
    pub fn add_address(&mut self, index: u32, address: Ipv4Net) -> Result<(), Error> {
        let message = Message::NewAddress(address_message(index, address));
        let done = self.netlink.request(message, NLM_F_CREATE | NLM_F_REPLACE);
        done.map(drop)
            .context(|| format!("add address {address} to interface {index}"))
    }

    /// Takes an address from an interface.
    pub fn delete_address(&mut self, index: u32, address: Ipv4Net) -> Result<(), Error> {
        let message = Message::DelAddress(address_message(index, address));
        let done = self.netlink.request(message, 0);
        done.map(drop)
            .context(|| format!("delete address {address} from interface {index}"))
    }

    /// The gateway and interface of the default route in a routing table.
    pub fn default_route(&mut self, table: u32) -> Result<Option<(Ipv4Addr, u32)>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let answers = self.netlink.dump(Message::GetRoute(message));
        let answers = answers.context(|| "list routes".into())?;
        Ok(answers.into_iter().find_map(|answer| match answer {
            Message::NewRoute(route) if route.header.destination_prefix_length == 0 => {
                let (mut gateway, mut interface, mut of) = (None, None, route.header.table as u32);
                for attribute in route.attributes {
                    match attribute {
                        RouteAttribute::Gateway(RouteAddress::Inet(via)) => gateway = Some(via),
                        RouteAttribute::Oif(index) => interface = Some(index),
                        RouteAttribute::Table(table) => of = table,
                        _ => {}
                    }
                }
                (of == table).then_some((gateway?, interface?))
            }
            _ => None,
        }))
    }

    /// Makes `gateway` the default route of a routing table, in place of what was there.
    pub fn set_default_route(
        &mut self,
        index: u32,
        gateway: Ipv4Addr,
        table: u32,
    ) -> Result<(), Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)),
            RouteAttribute::Oif(index),
            RouteAttribute::Table(table),
        ];
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        let done = self.netlink.request(Message::NewRoute(message), flags);
        done.map(drop)
            .context(|| format!("set the default route of table {table} to {gateway}"))
    }

    /// The sources that look up a routing table of their own, each with the table.
    pub fn source_rules(&mut self) -> Result<Vec<(Ipv4Addr, u32)>, Error> {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        let answers = self.netlink.dump(Message::GetRule(message));
        let answers = answers.context(|| "list routing rules".into())?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                Message::NewRule(rule) => Some(rule),
                _ => None,
            })
            .filter_map(|rule| {
                let (mut source, mut of) = (None, rule.header.table as u32);
                for attribute in rule.attributes {
                    match attribute {
                        RuleAttribute::Source(IpAddr::V4(from)) => source = Some(from),
                        RuleAttribute::Table(table) => of = table,
                        _ => {}
                    }
                }
                Some((source?, of))
            })
            .collect())
    }

    /// Lets what comes from `source` be routed by `table`.
    pub fn add_source_rule(&mut self, source: Ipv4Addr, table: u32) -> Result<(), Error> {
        let message = Message::NewRule(rule_message(source, table));
        let done = self.netlink.request(message, NLM_F_CREATE | NLM_F_EXCL);
        done.map(drop)
            .context(|| format!("add a routing rule from {source} to table {table}"))
    }

    /// Undoes [`Links::add_source_rule`].
    pub fn delete_source_rule(&mut self, source: Ipv4Addr, table: u32) -> Result<(), Error> {
        let message = Message::DelRule(rule_message(source, table));
        let done = self.netlink.request(message, 0);
        done.map(drop)
            .context(|| format!("delete the routing rule from {source} to table {table}"))
    }

    /// Whether an offload of an interface is on.
    pub fn offload(&self, name: &str, feature: Feature) -> Result<bool, Error> {
        let is = self.ethtool.get(name, feature);
        is.context(|| format!("read {feature:?} of interface {name}"))
    }

    /// Switches an offload of an interface.
    pub fn set_offload(&self, name: &str, feature: Feature, on: bool) -> Result<(), Error> {
        let done = self.ethtool.set(name, feature, on);
        done.context(|| format!("switch {feature:?} of interface {name} to {on}"))
    }

    /// The name of an interface's driver; empty for interfaces that have none to name.
    pub fn driver(&self, name: &str) -> String {
        self.ethtool.driver(name).unwrap_or_default()
    }
}

/// Keeps IPv6 off an interface of the current thread's network namespace, so that the host's own
/// router and neighbour discovery does not go out by it. A kernel without IPv6 has none to keep off.
pub fn disable_ipv6(name: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    match std::fs::write(&path, "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.context(|| format!("write {path}")),
    }
}

fn of(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn address_message(index: u32, address: Ipv4Net) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = address.prefix_len();
    message.header.index = index;
    message.header.scope = AddressScope::Universe;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address.addr())),
        AddressAttribute::Address(IpAddr::V4(address.addr())),
        AddressAttribute::Broadcast(address.broadcast()),
    ];
    message
}

fn rule_message(source: Ipv4Addr, table: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.src_len = 32;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Source(IpAddr::V4(source)),
        RuleAttribute::Table(table),
    ];
    message
}

fn interface(message: Message) -> Option<Interface> {
    let Message::NewLink(link) = message else {
        return None;
    };
    let ethernet = link.header.link_layer_type == LinkLayerType::Ether;
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        kind: String::new(),
        mac: None,
        mtu: 0,
        up: link.header.flags.contains(LinkFlags::Up),
        carrier: link.header.flags.contains(LinkFlags::LowerUp),
        operational: false,
        alias: String::new(),
        peer: None,
        counters: Counters::default(),
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::IfAlias(alias) => interface.alias = alias,
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::OperState(state) => interface.operational = state == State::Up,
            LinkAttribute::Link(peer) => interface.peer = Some(peer),
            LinkAttribute::Address(mac) if ethernet => interface.mac = mac.try_into().ok(),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        interface.kind = kind.to_string();
                    }
                }
            }
            LinkAttribute::Stats64(stats) => {
                interface.counters = Counters {
                    rx_packets: stats.rx_packets,
                    rx_bytes: stats.rx_bytes,
                    rx_dropped: stats.rx_dropped,
                    tx_packets: stats.tx_packets,
                    tx_bytes: stats.tx_bytes,
                    tx_dropped: stats.tx_dropped,
                }
            }
            _ => {}
        }
    }
    Some(interface)
}
