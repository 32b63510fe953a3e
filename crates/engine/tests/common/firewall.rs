//! Firewalls for the configuration of [`BASE`](super::BASE), and TCP connections with both of their ends.

use super::expect::*;
use super::packet::*;
use super::world::*;
use model::{
    App, BorderFirewall, Config, ControlPolicy, DomainResolve, EngineMode, FirewallSettings,
    NatFirewall, NextHop, PolicyAction, PolicyDestination, PolicyList, PolicyPorts, PolicyScope,
    PolicySource, Validity,
};
use std::sync::Arc;

/// A policy about everything.
pub fn policy(id: &str, action: PolicyAction) -> ControlPolicy {
    ControlPolicy {
        id: id.into(),
        description: String::new(),
        source: PolicySource::Net("0.0.0.0/0".parse().unwrap()),
        destination: PolicyDestination::Net("0.0.0.0/0".parse().unwrap()),
        protocol: None,
        ports: PolicyPorts::Any,
        applications: Vec::new(),
        action,
        enabled: true,
        validity: Validity::Permanent,
        resolve: DomainResolve::Fqdn,
    }
}

pub fn accept(id: &str) -> ControlPolicy {
    policy(id, PolicyAction::Accept)
}

pub fn refuse(id: &str) -> ControlPolicy {
    policy(id, PolicyAction::Drop)
}

/// What policies are narrowed by.
pub trait Narrow {
    fn source(self, net: &str) -> Self;
    fn towards(self, net: &str) -> Self;
    fn named(self, domain: &str) -> Self;
    fn port(self, port: u16) -> Self;
    fn apps(self, apps: &[App]) -> Self;
    fn by(self, resolve: DomainResolve) -> Self;
}

impl Narrow for ControlPolicy {
    fn source(mut self, net: &str) -> Self {
        self.source = PolicySource::Net(net.parse().unwrap());
        self
    }

    fn towards(mut self, net: &str) -> Self {
        self.destination = PolicyDestination::Net(net.parse().unwrap());
        self
    }

    fn named(mut self, domain: &str) -> Self {
        self.destination = PolicyDestination::Domain(domain.parse().unwrap());
        self
    }

    fn port(mut self, port: u16) -> Self {
        self.ports = PolicyPorts::Range(port..=port);
        self
    }

    fn apps(mut self, apps: &[App]) -> Self {
        self.applications = apps.to_vec();
        self
    }

    fn by(mut self, resolve: DomainResolve) -> Self {
        self.resolve = resolve;
        self
    }
}

pub fn scope() -> PolicyScope {
    PolicyScope::NatGateway("ngw".into())
}

/// Puts policies in the place of those of a scope.
pub fn set_policies(config: &mut Config, scope: PolicyScope, policies: Vec<ControlPolicy>) {
    let lists = &mut config.firewalls.policies;
    lists.retain(|list| list.scope != scope);
    lists.push(PolicyList {
        scope,
        policies: Arc::new(policies.into_iter().map(Arc::new).collect()),
    });
}

/// Leads what goes to the gateway through the firewall before it, or past it.
pub fn divert(config: &mut Config, on: bool) {
    for route in config.route_tables.iter_mut().flat_map(|it| &mut it.routes) {
        match (&route.next_hop, on) {
            (NextHop::NatGateway(_), true) => {
                route.next_hop = NextHop::NatFirewall("fw".into());
            }
            (NextHop::NatFirewall(_), false) => {
                route.next_hop = NextHop::NatGateway("ngw".into());
            }
            _ => {}
        }
    }
    config.firewalls.nat.retain(|_| on);
}

/// A configuration in TOML with a NAT firewall.
pub fn protect(toml: &str, mode: EngineMode, policies: Vec<ControlPolicy>) -> Config {
    let mut config = parse(toml);
    add_firewall(&mut config, mode);
    set_policies(&mut config, scope(), policies);
    config
}

pub fn add_firewall(config: &mut Config, mode: EngineMode) {
    config.firewalls.nat.push(NatFirewall {
        id: "fw".into(),
        gateway: "ngw".into(),
        inbound: false,
        settings: FirewallSettings {
            mode,
            ..FirewallSettings::default()
        },
    });
    divert(config, true);
}

/// [`BASE`](super::BASE) with a NAT firewall in loose mode.
pub fn loose(policies: Vec<ControlPolicy>) -> Config {
    protect(super::BASE, EngineMode::Loose, policies)
}

/// The same in strict mode.
pub fn strict(policies: Vec<ControlPolicy>) -> Config {
    protect(super::BASE, EngineMode::Strict, policies)
}

/// [`BASE`](super::BASE) with its EIPs protected by the Internet border.
pub fn border(out: Vec<ControlPolicy>, inward: Vec<ControlPolicy>) -> Config {
    let mut config = parse(super::BASE);
    config.firewalls.border = BorderFirewall {
        eips: vec!["eip-1".into(), "eip-2".into()],
        ..BorderFirewall::default()
    };
    set_policies(&mut config, PolicyScope::BorderOut, out);
    set_policies(&mut config, PolicyScope::BorderIn, inward);
    config
}

pub fn world(config: Config) -> World {
    World::of(config, 16_384)
}

/// A TCP connection of instance `a` with a server outside, with what each end has said and heard.
pub struct Connection {
    client: (String, u16),
    server: (String, u16),
    /// As the server sees the client.
    pub seen_as: Option<(String, u16)>,
    pub client_next: u32,
    pub server_next: u32,
}

impl Connection {
    pub fn new(sport: u16, server: &str, port: u16) -> Connection {
        Connection {
            client: (super::A.into(), sport),
            server: (server.into(), port),
            seen_as: None,
            client_next: 5_000,
            server_next: 90_000,
        }
    }

    /// One with a complete handshake, which passes.
    #[track_caller]
    pub fn open(world: &mut World, sport: u16, server: &str, port: u16) -> Connection {
        let mut it = Connection::new(sport, server, port);
        let syn = it.client_says(SYN, b"");
        let out = at("wan", world.from("a", syn));
        it.seen_as = Some((out.src.to_string(), out.sport()));
        let syn_ack = it.server_says(SYN | ACK, b"");
        at("a", world.net(syn_ack));
        let ack = it.client_says(ACK, b"");
        at("wan", world.from("a", ack));
        it
    }

    /// The client's next segment.
    pub fn client_says(&mut self, flags: u8, data: &[u8]) -> Packet {
        let client = (self.client.0.as_str(), self.client.1);
        let server = (self.server.0.as_str(), self.server.1);
        let packet = segment(
            client,
            server,
            flags,
            data,
            self.client_next,
            self.server_next,
        );
        self.client_next += data.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        packet
    }

    /// The server has heard all that the client has said.
    #[track_caller]
    pub fn acknowledge(&mut self, world: &mut World) {
        let ack = self.server_says(ACK, b"");
        at("a", world.net(ack));
    }

    /// The server's next segment.
    pub fn server_says(&mut self, flags: u8, data: &[u8]) -> Packet {
        let client = self.seen_as.clone().expect("the server has seen a packet");
        let client = (client.0.as_str(), client.1);
        let server = (self.server.0.as_str(), self.server.1);
        let packet = segment(
            server,
            client,
            flags,
            data,
            self.server_next,
            self.client_next,
        );
        self.server_next += data.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        packet
    }
}

fn segment(
    from: (&str, u16),
    to: (&str, u16),
    tcp_flags: u8,
    bytes: &[u8],
    number: u32,
    acknowledged: u32,
) -> Packet {
    let mut packet = Packet::tcp(from, to, tcp_flags);
    if let Body::Tcp { seq, ack, data, .. } = &mut packet.body {
        *seq = number;
        *ack = acknowledged;
        *data = bytes.to_vec();
    }
    packet
}

/// Sequence and acknowledgement number of a segment.
pub fn numbers(packet: &Packet) -> (u32, u32) {
    match packet.body {
        Body::Tcp { seq, ack, .. } => (seq, ack),
        _ => panic!("no TCP: {packet:?}"),
    }
}
