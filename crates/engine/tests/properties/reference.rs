//! The gateway as lists: rules, routes, mappings and sessions are searched from end to end. What may be
//! chosen (a port, an EIP of a pool) is not predicted, but the choice is checked.

use crate::common::*;
use ipnet::Ipv4Net;
use model::*;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What tells flows apart: the port that a packet comes in by, addresses and ports. For ICMP echo the
/// source port is the identifier and the destination port the type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub at: String,
    pub proto: u8,
    pub src: Ipv4Addr,
    pub sport: u16,
    pub dst: Ipv4Addr,
    pub dport: u16,
}

impl Tuple {
    pub fn of(at: &str, packet: &Packet) -> Tuple {
        Tuple {
            at: at.to_owned(),
            proto: packet.proto(),
            src: packet.src,
            sport: packet.sport(),
            dst: packet.dst,
            dport: match packet.body {
                Body::Icmp { kind, .. } => kind.into(),
                _ => packet.dport(),
            },
        }
    }

    /// That of packets which answer, as they come in at `at`.
    pub fn reverse(&self, at: &str) -> Tuple {
        let (sport, dport) = match self.proto {
            ICMP => (self.sport, 8 - self.dport),
            _ => (self.dport, self.sport),
        };
        Tuple {
            at: at.to_owned(),
            proto: self.proto,
            src: self.dst,
            sport,
            dst: self.src,
            dport,
        }
    }
}

/// An instance's address and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inner {
    at: String,
    proto: u8,
    address: Ipv4Addr,
    port: u16,
}

impl Inner {
    fn of(key: &Tuple) -> Inner {
        Inner {
            at: key.at.clone(),
            proto: key.proto,
            address: key.src,
            port: key.sport,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Mapping {
    id: usize,
    inner: Inner,
    /// The EIP or NAT IP.
    eip: Id,
    port: u16,
    owner: bool,
    listed: bool,
    sessions: usize,
}

#[derive(Clone, Debug)]
pub struct Session {
    /// As opened, and of the answers.
    pub keys: [Tuple; 2],
    plan: Plan,
    /// The mapping of its source, and the one that let it in.
    mapping: Option<usize>,
    let_in_by: Option<usize>,
    /// TCP flags, with the way that they went.
    history: Vec<(usize, u8)>,
    pub packets: [u64; 2],
    last: Duration,
}

impl Session {
    /// How packets that go `way` leave: the port, and the tuple as seen there.
    pub fn leaves(&self, way: usize) -> Tuple {
        let back = &self.keys[1 - way];
        back.reverse(&back.at)
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn saw(&self, way: usize, wanted: impl Fn(u8) -> bool) -> bool {
        self.history
            .iter()
            .any(|&(w, flags)| w == way && wanted(flags))
    }

    /// A reset that nothing of its own sender came after.
    fn reset(&self, way: usize) -> bool {
        let mine = self.history.iter().filter(|(w, _)| *w == way);
        let mut after = mine.skip_while(|(_, flags)| flags & RST == 0).peekable();
        after.peek().is_some() && after.all(|(_, flags)| flags & RST != 0)
    }

    pub fn state(&self) -> &'static str {
        if self.keys[0].proto != TCP {
            return "active";
        }
        let fin = |way| self.saw(way, |f| f & RST == 0 && f & SYN == 0 && f & FIN != 0);
        let data = |way| self.saw(way, |f| f & (RST | SYN) == 0);
        let syn = |way| self.saw(way, |f| f & RST == 0 && f & (SYN | ACK) == SYN);
        let syn_ack = |way| self.saw(way, |f| f & RST == 0 && f & (SYN | ACK) == SYN | ACK);
        match () {
            _ if self.reset(0) || self.reset(1) => "reset",
            _ if fin(0) && fin(1) => "closed",
            _ if fin(0) || fin(1) => "half_closed",
            _ if data(0) && (data(1) || syn_ack(1)) => "established",
            _ if data(1) && syn_ack(0) => "established",
            _ if syn(0) && syn(1) && syn_ack(0) && syn_ack(1) => "established",
            _ => "syn_sent",
        }
    }

    fn over(&self) -> bool {
        matches!(self.state(), "closed" | "reset")
    }

    fn timeout(&self, config: &Config) -> Duration {
        let default = Timeouts::default();
        let gateway = self.plan.gateway.as_ref();
        let of = gateway.map(|id| &find(&config.nat_gateways, id, |g| &g.id).timeouts);
        let t = of.unwrap_or(&default);
        match (self.keys[0].proto, self.state()) {
            (TCP, "established" | "half_closed") => t.tcp_established,
            (TCP, _) => t.tcp_transitory,
            (UDP, _) => t.udp,
            (ICMP, _) => t.icmp,
            _ => t.other,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Keep,
    Fixed(Ipv4Addr),
    Pool { gateway: Id, entry: Id },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub direction: &'static str,
    dst: Ipv4Addr,
    dport: u16,
    source: Source,
    /// The port that packets leave by.
    exit: String,
    pub routed: bool,
    /// The network interface on our side.
    pub eni: Id,
    pub gateway: Option<Id>,
    limit: Option<u32>,
    /// The mapping that lets it in.
    pub let_in_by: Option<usize>,
    /// When it ends, in seconds, if it drains.
    pub drains: Option<u64>,
}

/// What should become of a packet.
#[derive(Clone, Debug)]
pub enum Expected {
    Drop(&'static str),
    Answered,
    /// It belongs to the session with this index and goes this way.
    Known(usize, usize),
    New(Box<Plan>),
}

pub struct Reference {
    pub config: Config,
    pub sessions: Vec<Session>,
    mappings: Vec<Mapping>,
    next: usize,
    /// The EIP that was first picked, by entry and what the pick depends on.
    picks: HashMap<(Id, Ipv4Addr, u8, u16), Id>,
}

fn find<'a, T>(all: &'a [T], id: &Id, of: impl Fn(&T) -> &Id) -> &'a T {
    all.iter().find(|it| of(it) == id).expect(id)
}

/// The longest prefix that holds an address; of equal ones the first.
fn longest<T: Clone>(routes: &[(Ipv4Net, T)], address: Ipv4Addr) -> Option<T> {
    let mut best: Option<&(Ipv4Net, T)> = None;
    for route in routes.iter().filter(|(net, _)| net.contains(&address)) {
        if best.is_none_or(|best| route.0.prefix_len() > best.0.prefix_len()) {
            best = Some(route);
        }
    }
    best.map(|(_, value)| value.clone())
}

fn host(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::from(address)
}

#[derive(Clone, Debug, PartialEq)]
enum Local {
    Eni(Id),
    Behind(Id),
    NatIp(Outside),
    Gateway,
    Nobody,
}

/// An EIP or a NAT IP.
#[derive(Clone, Debug, PartialEq)]
struct Outside {
    id: Id,
    address: Ipv4Addr,
    binding: Option<EipBinding>,
}

enum Target {
    Eni(Id, bool),
    Nat(Id),
    NatIp(Outside),
    OwnEip,
}

impl Reference {
    pub fn new(config: Config) -> Reference {
        Reference {
            config,
            sessions: Vec::new(),
            mappings: Vec::new(),
            next: 0,
            picks: HashMap::new(),
        }
    }

    // ---- resources ------------------------------------------------------------------------------

    fn eni(&self, id: &Id) -> &Eni {
        find(&self.config.enis, id, |e| &e.id)
    }

    fn vswitch(&self, id: &Id) -> &VSwitch {
        find(&self.config.vswitches, id, |v| &v.id)
    }

    fn gateway(&self, id: &Id) -> &NatGateway {
        find(&self.config.nat_gateways, id, |g| &g.id)
    }

    fn vpc_of(&self, eni: &Eni) -> &Id {
        &self.vswitch(&eni.vswitch).vpc
    }

    fn eip(&self, address: Ipv4Addr) -> Option<Outside> {
        let eip = self.config.eips.iter().find(|e| e.address == address)?;
        Some(Outside {
            id: eip.id.clone(),
            address,
            binding: eip.binding.clone(),
        })
    }

    fn nat_ip(&self, nat_ip: &NatIp) -> Outside {
        Outside {
            id: nat_ip.id.clone(),
            address: nat_ip.address,
            binding: Some(EipBinding::NatGateway(nat_ip.gateway.clone())),
        }
    }

    /// The address of an EIP or a NAT IP.
    fn eip_address(&self, id: &Id) -> Ipv4Addr {
        let nat_ip = self.config.nat_ips.iter().find(|it| it.id == *id);
        nat_ip.map_or_else(
            || find(&self.config.eips, id, |e| &e.id).address,
            |it| it.address,
        )
    }

    /// The EIP or NAT IP of a gateway that has an address.
    fn outside(&self, gateway: &Id, address: Ipv4Addr) -> Option<Outside> {
        let nat_ips = self.config.nat_ips.iter().map(|it| self.nat_ip(it));
        let eips = self
            .config
            .eips
            .iter()
            .filter_map(|it| self.eip(it.address));
        let bound = Some(EipBinding::NatGateway(gateway.clone()));
        let mut all = nat_ips.chain(eips);
        all.find(|it| it.binding == bound && it.address == address)
    }

    fn is_private(&self, gateway: &Id) -> bool {
        self.gateway(gateway).vswitch().is_some()
    }

    /// The route table that what a gateway has translated goes on by.
    fn table_of(&self, gateway: &Id) -> Id {
        let gateway = self.gateway(gateway);
        let of_vswitch = gateway
            .vswitch()
            .and_then(|it| self.vswitch(it).route_table.clone());
        of_vswitch.unwrap_or_else(|| RouteTable::system_id(&gateway.vpc))
    }

    fn local(&self, vpc: &Id, address: Ipv4Addr) -> Option<Local> {
        let mut all = Vec::new();
        for eni in self.config.enis.iter().filter(|e| self.vpc_of(e) == vpc) {
            all.push((host(eni.address), Local::Eni(eni.id.clone())));
            for net in &eni.hosts {
                all.push((*net, Local::Behind(eni.id.clone())));
            }
        }
        for nat_ip in &self.config.nat_ips {
            if self.gateway(&nat_ip.gateway).vpc == *vpc {
                all.push((host(nat_ip.address), Local::NatIp(self.nat_ip(nat_ip))));
            }
        }
        for vswitch in self.config.vswitches.iter().filter(|v| v.vpc == *vpc) {
            all.push((host(vswitch.gateway()), Local::Gateway));
            all.push((vswitch.cidr, Local::Nobody));
        }
        longest(&all, address)
    }

    fn may_send(&self, at: &str, src: Ipv4Addr) -> bool {
        if at == "wan" {
            let own = src == Ipv4Addr::new(203, 0, 113, 2);
            let odd = src.is_multicast() || src.is_broadcast() || src.is_loopback();
            return !(own || odd || src.octets()[0] == 0 || self.eip(src).is_some());
        }
        let eni = self.eni(&at.to_owned());
        let behind = Some(Local::Behind(eni.id.clone()));
        src == eni.address || self.local(self.vpc_of(eni), src) == behind
    }

    // ---- security groups ------------------------------------------------------------------------

    /// Whether the groups of `eni` let a packet pass, whose other end is `peer` with these groups.
    fn allows(
        &self,
        eni: &Eni,
        direction: Direction,
        key: &Tuple,
        dport: u16,
        peer: Ipv4Addr,
        peer_groups: &[Id],
    ) -> bool {
        let mut best: Option<(u8, bool)> = None;
        let groups = eni.security_groups.iter();
        let groups: Vec<_> = groups
            .map(|id| find(&self.config.security_groups, id, |g| &g.id))
            .collect();
        for rule in groups.iter().flat_map(|g| &g.rules) {
            let ports = rule.ports.as_ref();
            let matches = rule.direction == direction
                && rule.protocol.is_none_or(|p| p == key.proto)
                && ports.is_none_or(|r| matches!(key.proto, TCP | UDP) && r.contains(&dport))
                && match &rule.peer {
                    RulePeer::Cidr(net) => net.contains(&peer),
                    RulePeer::Group(id) => peer_groups.contains(id),
                };
            let rank = (rule.priority, rule.policy == Policy::Accept);
            if matches && best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        }
        match best {
            Some((_, accept)) => accept,
            None if direction == Direction::Egress => true,
            None => groups
                .iter()
                .any(|g| g.kind == SecurityGroupKind::Normal && peer_groups.contains(&g.id)),
        }
    }

    fn let_in(
        &self,
        to: &Eni,
        key: &Tuple,
        dport: u16,
        from: Ipv4Addr,
        groups: &[Id],
    ) -> Result<(), &'static str> {
        match self.allows(to, Direction::Ingress, key, dport, from, groups) {
            true => Ok(()),
            false => Err("security_group_in"),
        }
    }

    // ---- routes ---------------------------------------------------------------------------------

    fn route(
        &self,
        sender: Option<&Eni>,
        vpc: &Id,
        table: &Id,
        dst: Ipv4Addr,
    ) -> Result<Target, &'static str> {
        #[derive(Clone)]
        enum Hop {
            Local,
            By(NextHop),
        }
        let (mut vpc, mut table) = (vpc.clone(), table.clone());
        for _ in 0..8 {
            let mut all = Vec::new();
            for vswitch in self.config.vswitches.iter().filter(|v| v.vpc == vpc) {
                all.push((vswitch.cidr, Hop::Local));
            }
            for route in &find(&self.config.route_tables, &table, |t| &t.id).routes {
                all.push((route.destination, Hop::By(route.next_hop.clone())));
            }
            for cidr in &find(&self.config.vpcs, &vpc, |v| &v.id).cidrs {
                all.push((*cidr, Hop::Local));
            }
            for nat_ip in &self.config.nat_ips {
                if self.gateway(&nat_ip.gateway).vpc == vpc {
                    all.push((host(nat_ip.address), Hop::Local));
                }
            }
            match longest(&all, dst) {
                Some(Hop::Local) => {
                    return match self.local(&vpc, dst) {
                        Some(Local::Eni(id) | Local::Behind(id)) => {
                            let near = sender.is_some_and(|s| s.vswitch == self.eni(&id).vswitch);
                            Ok(Target::Eni(id, !near))
                        }
                        Some(Local::NatIp(nat_ip)) => Ok(Target::NatIp(nat_ip)),
                        Some(Local::Gateway) => Err("gateway_unanswered"),
                        _ => Err("no_host"),
                    };
                }
                Some(Hop::By(NextHop::Eni(id))) => return Ok(Target::Eni(id, true)),
                // None of the generated networks has firewalls.
                Some(Hop::By(NextHop::NatFirewall(_))) => unreachable!(),
                Some(Hop::By(NextHop::NatGateway(id))) => {
                    let bound = Some(EipBinding::NatGateway(id.clone()));
                    return match self.local(&vpc, dst) {
                        Some(Local::NatIp(it)) if it.binding == bound => Ok(Target::NatIp(it)),
                        _ => Ok(Target::Nat(id)),
                    };
                }
                Some(Hop::By(NextHop::Blackhole)) => return Err("blackhole"),
                Some(Hop::By(NextHop::Peering(id))) => {
                    let [a, b] = &find(&self.config.peerings, &id, |p| &p.id).vpcs;
                    vpc = if *a == vpc { b.clone() } else { a.clone() };
                    table = RouteTable::system_id(&vpc);
                }
                None if sender.is_some_and(|s| self.own_eip(s).is_some()) => {
                    return Ok(Target::OwnEip);
                }
                None => return Err("no_route"),
            }
        }
        Err("route_loop")
    }

    fn own_eip(&self, eni: &Eni) -> Option<Ipv4Addr> {
        let bound = Some(EipBinding::Eni(eni.id.clone()));
        let found = self.config.eips.iter().find(|e| e.binding == bound);
        found.map(|e| e.address)
    }

    // ---- decisions ------------------------------------------------------------------------------

    /// Decides about the first packet of a session, or `again` about one that is there. `had` is the source that it
    /// left with.
    fn decide(
        &self,
        key: &Tuple,
        had: Option<Ipv4Addr>,
        again: bool,
    ) -> Result<Plan, &'static str> {
        if !self.may_send(&key.at, key.src) {
            return Err("spoofed");
        }
        if key.at == "wan" {
            return match self.eip(key.dst) {
                Some(eip) => self.inbound(&eip, key, key.src, again),
                None => Err("not_our_address"),
            };
        }
        let dst = key.dst;
        if dst.is_multicast() || dst.is_broadcast() || dst.is_loopback() || dst.is_unspecified() {
            return Err("no_route");
        }
        let eni = self.eni(&key.at);
        let vpc = self.vpc_of(eni).clone();
        let groups = match self.local(&vpc, dst) {
            Some(Local::Eni(id)) => self.eni(&id).security_groups.clone(),
            _ => Vec::new(),
        };
        if !self.allows(eni, Direction::Egress, key, key.dport, dst, &groups) {
            return Err("security_group_out");
        }
        let vswitch = self.vswitch(&eni.vswitch);
        let system = RouteTable::system_id(&vpc);
        let table = vswitch.route_table.as_ref().unwrap_or(&system);
        let gateway = match self.route(Some(eni), &vpc, table, dst)? {
            Target::Eni(to, routed) => {
                let to = self.eni(&to);
                let same = *self.vpc_of(to) == vpc && key.src == eni.address;
                let groups = if same { &eni.security_groups[..] } else { &[] };
                self.let_in(to, key, key.dport, key.src, groups)?;
                return Ok(Plan {
                    direction: "local",
                    dst,
                    dport: key.dport,
                    source: Source::Keep,
                    exit: to.id.clone(),
                    routed,
                    eni: eni.id.clone(),
                    gateway: None,
                    limit: None,
                    let_in_by: None,
                    drains: None,
                });
            }
            Target::NatIp(nat_ip) => {
                let to = self.inbound(&nat_ip, key, key.src, again)?;
                return Ok(Plan {
                    direction: "local",
                    eni: eni.id.clone(),
                    ..to
                });
            }
            Target::Nat(gateway) if self.is_private(&gateway) => {
                return self.through(eni, &gateway, key, had, again);
            }
            Target::Nat(gateway) => Some(gateway),
            Target::OwnEip => None,
        };
        let (source, seen_as, by_gateway, drains) = self.source(eni, gateway.as_ref(), key, had)?;
        let gateway = gateway.filter(|_| by_gateway);
        let limit = gateway
            .as_ref()
            .and_then(|g| self.gateway(g).max_sessions_per_source);
        let mut plan = Plan {
            direction: "out",
            dst,
            dport: key.dport,
            source,
            exit: "wan".into(),
            routed: true,
            eni: eni.id.clone(),
            gateway,
            limit,
            let_in_by: None,
            drains,
        };
        if let Some(eip) = self.eip(dst) {
            // Of a pool any EIP may be seen: they are all alike to the rules here.
            let to = self.inbound(&eip, key, seen_as, again)?;
            plan.direction = "hairpin";
            plan.dst = to.dst;
            plan.dport = to.dport;
            plan.exit = to.exit;
            plan.gateway = plan.gateway.or(to.gateway);
            plan.let_in_by = to.let_in_by;
            plan.drains = drains.into_iter().chain(to.drains).min();
        }
        Ok(plan)
    }

    /// Decides about what goes through a VPC NAT gateway.
    fn through(
        &self,
        eni: &Eni,
        gateway: &Id,
        key: &Tuple,
        had: Option<Ipv4Addr>,
        again: bool,
    ) -> Result<Plan, &'static str> {
        let (source, seen_as, _, drains) = self.source(eni, Some(gateway), key, had)?;
        let (vpc, table) = (&self.gateway(gateway).vpc, self.table_of(gateway));
        let onward = match self.route(None, vpc, &table, key.dst)? {
            Target::Eni(to, _) => {
                let to = self.eni(&to);
                self.let_in(to, key, key.dport, seen_as, &[])?;
                Plan {
                    direction: "local",
                    dst: key.dst,
                    dport: key.dport,
                    source: Source::Keep,
                    exit: to.id.clone(),
                    routed: true,
                    eni: eni.id.clone(),
                    gateway: None,
                    limit: None,
                    let_in_by: None,
                    drains: None,
                }
            }
            Target::NatIp(nat_ip) => self.inbound(&nat_ip, key, seen_as, again)?,
            Target::Nat(_) | Target::OwnEip => return Err("route_loop"),
        };
        Ok(Plan {
            direction: "local",
            source,
            eni: eni.id.clone(),
            gateway: Some(gateway.clone()),
            limit: self.gateway(gateway).max_sessions_per_source,
            drains: drains.into_iter().chain(onward.drains).min(),
            ..onward
        })
    }

    /// What becomes of the source, what the receiver may see, whether a gateway does it, and until when.
    fn source(
        &self,
        eni: &Eni,
        gateway: Option<&Id>,
        key: &Tuple,
        had: Option<Ipv4Addr>,
    ) -> Result<(Source, Ipv4Addr, bool, Option<u64>), &'static str> {
        let private = gateway.is_some_and(|it| self.is_private(it));
        let own = self.own_eip(eni).filter(|_| !private);
        if let Some(eip) = own.filter(|_| key.src == eni.address) {
            return Ok((Source::Fixed(eip), eip, false, None));
        }
        let gateway = self.gateway(gateway.ok_or("no_route")?);
        let whole = |d: &&DnatEntry| d.mapping == DnatMapping::Any && d.internal == key.src;
        if let Some(entry) = gateway.dnat.iter().find(whole) {
            let eip = self.eip_address(&entry.eip);
            return Ok((Source::Fixed(eip), eip, true, None));
        }
        let sources: Vec<_> = gateway.snat.iter().map(|s| (s.source, s)).collect();
        let held = had.and_then(|had| Some((had, self.held(gateway, key.src, had)?)));
        let first = longest(&sources, key.src);
        if held.is_none() && first.is_none() {
            return Err("no_snat");
        }
        if !matches!(key.proto, TCP | UDP | ICMP) {
            return Err("protocol_not_translatable");
        }
        let (entry, seen_as, drains) = match (held, first) {
            (Some((had, drains)), first) => (first.map(|it| &it.id), had, drains),
            (None, first) => {
                let entry = first.ok_or("no_snat")?;
                (Some(&entry.id), self.eip_address(&entry.eips[0]), None)
            }
        };
        let source = Source::Pool {
            gateway: gateway.id.clone(),
            entry: entry.cloned().unwrap_or_default(),
        };
        Ok((source, seen_as, true, drains))
    }

    /// Whether a gateway's SNAT entries let a source that is seen as `eip` go on; and until when, if it drains.
    fn held(&self, gateway: &NatGateway, source: Ipv4Addr, eip: Ipv4Addr) -> Option<Option<u64>> {
        let eip = self.outside(&gateway.id, eip)?;
        let covers = |it: &SnatEntry| it.source.contains(&source) && it.eips.contains(&eip.id);
        if gateway.snat.iter().any(covers) {
            return Some(None);
        }
        let drains = gateway.snat.iter().flat_map(|it| &it.drains);
        let mine = drains.filter(|it| it.source.contains(&source) && it.eips.contains(&eip.id));
        mine.map(|it| it.until).max().map(Some)
    }

    fn inbound(
        &self,
        eip: &Outside,
        key: &Tuple,
        seen_as: Ipv4Addr,
        again: bool,
    ) -> Result<Plan, &'static str> {
        let (mut let_in_by, mut drains) = (None, None);
        let mut gateway = None;
        let (eni, dst, dport) = match &eip.binding {
            None => return Err("not_mapped"),
            Some(EipBinding::Eni(id)) => (Some(id.clone()), self.eni(id).address, key.dport),
            Some(EipBinding::NatGateway(id)) => {
                gateway = Some(id.clone());
                let g = self.gateway(id);
                let entry =
                    g.dnat
                        .iter()
                        .filter(|d| d.eip == eip.id)
                        .find_map(|d| match &d.mapping {
                            DnatMapping::Any => Some((d.internal, key.dport)),
                            DnatMapping::Ports {
                                protocol,
                                external,
                                internal,
                            } => (*protocol == key.proto && external.contains(&key.dport))
                                .then(|| (d.internal, internal + (key.dport - external.start()))),
                        });
                match entry {
                    Some((dst, dport)) => (None, dst, dport),
                    None => {
                        let open = self.open_mapping(g, eip, key, again);
                        let (m, until) = open.ok_or("not_mapped")?;
                        drains = until;
                        let_in_by = Some(m.id);
                        (Some(m.inner.at.clone()), m.inner.address, m.inner.port)
                    }
                }
            }
        };
        let eni = match (eni, &gateway) {
            (Some(eni), _) => eni,
            (None, Some(gateway)) => {
                let vpc = &self.gateway(gateway).vpc;
                match self.route(None, vpc, &self.table_of(gateway), dst)? {
                    Target::Eni(eni, _) => eni,
                    _ => return Err("route_loop"),
                }
            }
            (None, None) => return Err("not_mapped"),
        };
        self.let_in(self.eni(&eni), key, dport, seen_as, &[])?;
        Ok(Plan {
            direction: "in",
            dst,
            dport,
            source: Source::Keep,
            exit: eni.clone(),
            routed: true,
            eni,
            gateway,
            limit: None,
            let_in_by,
            drains,
        })
    }

    /// The mapping that lets a packet in from anywhere, and until when it does if it drains: that lets only those in
    /// that were there `again`.
    fn open_mapping(
        &self,
        gateway: &NatGateway,
        eip: &Outside,
        key: &Tuple,
        again: bool,
    ) -> Option<(&Mapping, Option<u64>)> {
        if gateway.filtering != Filtering::EndpointIndependent || key.proto == ICMP {
            return None;
        }
        let owner = self.mappings.iter().find(|m| {
            m.owner && m.eip == eip.id && m.port == key.dport && m.inner.proto == key.proto
        })?;
        let drains = self.held(gateway, owner.inner.address, eip.address)?;
        let there = self.config.enis.iter().any(|e| e.id == owner.inner.at);
        (there && (again || drains.is_none())).then_some((owner, drains))
    }

    // ---- packets --------------------------------------------------------------------------------

    pub fn position(&self, key: &Tuple) -> Option<(usize, usize)> {
        let mut found = self.sessions.iter().enumerate().flat_map(|(n, s)| {
            (0..2)
                .filter(|&way| s.keys[way] == *key)
                .map(move |way| (n, way))
        });
        let first = found.next();
        assert_eq!(found.next(), None, "two sessions have {key:?}");
        first
    }

    /// What should become of a whole packet, other than an ICMP error. Sessions that make room for a new
    /// connection are gone afterwards.
    pub fn expect(&mut self, at: &str, packet: &Packet) -> Expected {
        let key = Tuple::of(at, packet);
        let opens = match key.proto {
            TCP => packet.flags() & (FIN | SYN | RST | ACK) == SYN,
            ICMP => key.dport == 8,
            _ => true,
        };
        let own = Ipv4Addr::new(203, 0, 113, 2);
        if at == "wan" && self.eip(key.dst).is_none() && key.dst != own {
            return Expected::Drop("not_our_address");
        }
        let mut found = self.position(&key);
        if let Some((n, way)) = found
            && key.proto == TCP
            && opens
            && self.sessions[n].over()
        {
            let out = self.sessions[n].leaves(way);
            let mut plan = self.decide(&key, Some(out.src), true);
            let drains = plan.as_ref().is_ok_and(|plan| plan.drains.is_some());
            if drains && way == 0 {
                self.end(n);
                found = None;
            } else if drains {
                plan = self.decide(&key, None, false);
                if plan.is_ok() {
                    self.end(n);
                    found = None;
                }
            } else if plan.as_ref().is_ok_and(|plan| self.fits(plan, &key, &out)) {
                let session = &mut self.sessions[n];
                session.history.clear();
                session.packets = [0, 0];
            } else if plan.is_ok() {
                self.end(n);
                found = None;
            }
        }
        if let Some((n, way)) = found {
            return match self.sessions[n].plan.routed && packet.ttl <= 1 {
                true => Expected::Drop("ttl_expired"),
                false => Expected::Known(n, way),
            };
        }
        let gateway = match at {
            "wan" => key.dst == own,
            eni => {
                let vpc = self.vpc_of(self.eni(&eni.to_owned()));
                self.local(vpc, key.dst) == Some(Local::Gateway)
            }
        };
        if gateway {
            return match () {
                _ if !self.may_send(at, key.src) => Expected::Drop("spoofed"),
                _ if key.proto == ICMP && opens => Expected::Answered,
                _ => Expected::Drop("gateway_unanswered"),
            };
        }
        if !opens {
            return Expected::Drop(if key.proto == TCP {
                "tcp_out_of_state"
            } else {
                "icmp_unmatched"
            });
        }
        let plan = match self.decide(&key, None, false) {
            Ok(plan) => plan,
            Err("not_mapped") if key.proto == ICMP && self.eip_answers(&key) => {
                return Expected::Answered;
            }
            Err(reason) => return Expected::Drop(reason),
        };
        if plan.routed && packet.ttl <= 1 {
            return Expected::Drop("ttl_expired");
        }
        let mine = self.sessions.iter().filter(|s| {
            let k = &s.keys[0];
            s.plan.limit.is_some() && (&k.at, k.src) == (&key.at, key.src)
        });
        match plan.limit {
            Some(limit) if mine.count() >= limit as usize => Expected::Drop("source_limit"),
            _ => Expected::New(Box::new(plan)),
        }
    }

    fn eip_answers(&self, key: &Tuple) -> bool {
        let binding = self.called(key).and_then(|eip| eip.binding);
        matches!(binding, Some(EipBinding::NatGateway(id)) if self.gateway(&id).icmp_reply)
    }

    /// The EIP or NAT IP that a packet is for.
    fn called(&self, key: &Tuple) -> Option<Outside> {
        if key.at == "wan" {
            return self.eip(key.dst);
        }
        let eni = self.eni(&key.at);
        let vswitch = self.vswitch(&eni.vswitch);
        let system = RouteTable::system_id(&vswitch.vpc);
        let table = vswitch.route_table.as_ref().unwrap_or(&system);
        let mut target = self.route(Some(eni), &vswitch.vpc, table, key.dst).ok()?;
        if let Target::Nat(gateway) = &target
            && self.is_private(gateway)
        {
            let (vpc, table) = (&self.gateway(gateway).vpc, self.table_of(gateway));
            target = self.route(None, vpc, &table, key.dst).ok()?;
        }
        match target {
            Target::NatIp(nat_ip) => Some(nat_ip),
            Target::Eni(..) => None,
            Target::Nat(_) | Target::OwnEip => self.eip(key.dst),
        }
    }

    /// A packet of a session has passed.
    pub fn passed(&mut self, n: usize, way: usize, packet: &Packet, parts: u64, now: Duration) {
        let session = &mut self.sessions[n];
        session.last = now;
        session.packets[way] += parts;
        if packet.proto() == TCP {
            session.history.push((way, packet.flags()));
        }
    }

    /// Whether a session could have this tuple for its answers.
    fn usable(&self, key: &Tuple, reply: &Tuple) -> bool {
        reply != key && self.position(reply).is_none()
    }

    /// A new session should be opened and was: `seen` came out at `port`. Checks what was chosen.
    pub fn opened(&mut self, plan: Plan, key: &Tuple, port: &str, seen: &Packet) {
        let out = Tuple {
            dport: match key.proto {
                ICMP => key.dport,
                _ => seen.dport(),
            },
            ..Tuple::of(port, seen)
        };
        assert_eq!((port, seen.dst), (plan.exit.as_str(), plan.dst), "{plan:?}");
        if matches!(key.proto, TCP | UDP) {
            assert_eq!(seen.dport(), plan.dport, "{plan:?}");
        }
        let reply = out.reverse(port);
        assert!(
            self.usable(key, &reply),
            "{reply:?} belongs to another session"
        );
        let mapping = match &plan.source {
            Source::Pool { gateway, entry } => {
                self.check_pick(gateway, entry, key, &out, &plan);
                let eip = self.outside(gateway, out.src).expect("an EIP").id;
                Some(self.adopt(Inner::of(key), eip, out.sport))
            }
            source => {
                let src = match source {
                    Source::Fixed(eip) => *eip,
                    _ => key.src,
                };
                assert_eq!(out.src, src);
                let kept = Tuple {
                    sport: key.sport,
                    ..out.clone()
                };
                if out.sport != key.sport {
                    let taken = !self.usable(key, &kept.reverse(port));
                    assert!(taken, "the source port was changed without need");
                }
                None
            }
        };
        let let_in_by = plan
            .let_in_by
            .inspect(|&id| self.mapping_mut(id).sessions += 1);
        self.sessions.push(Session {
            keys: [key.clone(), reply],
            plan,
            mapping,
            let_in_by,
            history: Vec::new(),
            packets: [0, 0],
            last: Duration::ZERO,
        });
    }

    /// A new session should have been opened and was not.
    pub fn refused(&mut self, plan: &Plan, key: &Tuple, reason: &str) {
        match &plan.source {
            Source::Pool { gateway, entry } => {
                assert_eq!(reason, "ports_exhausted");
                let gateway = self.gateway(gateway);
                let entry = find(&gateway.snat, entry, |s| &s.id);
                for eip in &entry.eips {
                    assert!(
                        !self.has_port(gateway, eip, key, plan),
                        "{eip} has free ports"
                    );
                }
            }
            _ => {
                assert_eq!(reason, "tuple_conflict");
                assert!(!matches!(key.proto, TCP | UDP | ICMP), "{key:?}");
            }
        }
    }

    fn reserved(&self, gateway: &NatGateway, eip: &Id, proto: u8, port: u16) -> bool {
        gateway.dnat.iter().any(|d| {
            matches!(&d.mapping, DnatMapping::Ports { protocol, external, .. }
                if *protocol == proto && external.contains(&port))
                && d.eip == *eip
        })
    }

    /// The ports that a sender may get.
    fn range(gateway: &NatGateway, proto: u8, port: u16) -> std::ops::RangeInclusive<u16> {
        let (low, high) = gateway.snat_ports.clone().into_inner();
        match (proto, port) {
            (ICMP, _) => 0..=65535,
            _ if low >= 1024 || high < 1024 => low..=high,
            (_, ..1024) => low..=1023,
            _ => 1024..=high,
        }
    }

    fn reply(key: &Tuple, plan: &Plan, eip: Ipv4Addr, port: u16) -> Tuple {
        let out = Tuple {
            at: plan.exit.clone(),
            proto: key.proto,
            src: eip,
            sport: port,
            dst: plan.dst,
            dport: plan.dport,
        };
        out.reverse(&plan.exit)
    }

    /// Whether some port of an EIP could have served.
    fn has_port(&self, gateway: &NatGateway, eip: &Id, key: &Tuple, plan: &Plan) -> bool {
        let address = self.eip_address(eip);
        let mut range = Reference::range(gateway, key.proto, key.sport);
        range.any(|port| {
            !self.reserved(gateway, eip, key.proto, port)
                && self.usable(key, &Reference::reply(key, plan, address, port))
        })
    }

    /// Whether an EIP of the pool and its port were rightly chosen.
    fn check_pick(&mut self, gateway: &Id, entry: &Id, key: &Tuple, out: &Tuple, plan: &Plan) {
        let g = self.gateway(gateway);
        let entry = find(&g.snat, entry, |s| &s.id);
        assert!(
            entry.eips.iter().any(|id| self.eip_address(id) == out.src),
            "{} is not in the pool of {}",
            out.src,
            entry.id
        );
        let (eip, port) = (
            self.outside(gateway, out.src).expect("an EIP").id,
            out.sport,
        );
        let inner = Inner::of(key);
        let can = |port: u16| self.usable(key, &Reference::reply(key, plan, out.src, port));
        let existing = self
            .mappings
            .iter()
            .find(|m| m.listed && m.inner == inner && m.eip == eip);
        let owned = |port: u16| {
            let same = |m: &&Mapping| m.owner && m.eip == eip && m.port == port;
            self.mappings
                .iter()
                .filter(same)
                .any(|m| m.inner.proto == key.proto)
        };
        let range = Reference::range(g, key.proto, key.sport);
        if let Some(existing) = existing.filter(|m| can(m.port)) {
            assert_eq!(port, existing.port, "the mapping of {inner:?} was not used");
        } else {
            assert!(range.contains(&port), "{port} is not in {range:?}");
            assert!(
                !self.reserved(g, &eip, key.proto, port),
                "{port} is a DNAT entry's"
            );
            let keep = key.sport;
            let could = range.contains(&keep) && !self.reserved(g, &eip, key.proto, keep);
            if could && !owned(keep) && can(keep) {
                assert_eq!(port, keep, "the source port could have been kept");
            }
            if owned(port) {
                let mut others = range.clone();
                let free =
                    others.any(|p| !owned(p) && !self.reserved(g, &eip, key.proto, p) && can(p));
                assert!(!free, "{port} is shared although others are free");
            }
        }
        // The same sender gets the same EIP, as long as that has ports.
        let depends = match entry.pooling {
            Pooling::Hash => (entry.id.clone(), key.src, key.proto, key.sport),
            Pooling::Paired => (entry.id.clone(), key.src, 0, 0),
            Pooling::Affinity => {
                let towards = u32::from(key.dst);
                (format!("{} {towards}", entry.id), key.src, 0, 0)
            }
        };
        match self.picks.get(&depends) {
            Some(first) if *first != eip => {
                assert!(
                    !self.has_port(g, first, key, plan),
                    "{first} was left for {eip}"
                );
            }
            Some(_) => {}
            None => {
                let alone = entry
                    .eips
                    .iter()
                    .all(|id| *id == eip || self.has_port(g, id, key, plan));
                // Only if no other EIP can have been preferred in vain.
                if alone {
                    self.picks.insert(depends, eip);
                }
            }
        }
    }

    // ---- mappings -------------------------------------------------------------------------------

    fn mapping_mut(&mut self, id: usize) -> &mut Mapping {
        self.mappings
            .iter_mut()
            .find(|m| m.id == id)
            .expect("a mapping")
    }

    /// Counts a session on the mapping that it has, which is made if it is not there.
    fn adopt(&mut self, inner: Inner, eip: Id, port: u16) -> usize {
        let listed = self
            .mappings
            .iter()
            .find(|m| m.listed && m.inner == inner && m.eip == eip);
        if let Some(same) = listed.filter(|m| m.port == port) {
            let id = same.id;
            self.mapping_mut(id).sessions += 1;
            return id;
        }
        let listed = listed.is_none();
        let owner = !self
            .mappings
            .iter()
            .any(|m| m.owner && m.eip == eip && m.port == port && m.inner.proto == inner.proto);
        self.next += 1;
        self.mappings.push(Mapping {
            id: self.next,
            inner,
            eip,
            port,
            owner,
            listed,
            sessions: 1,
        });
        self.next
    }

    /// Counts a session on the mapping that it has already, or else on one.
    fn adopt_again(&mut self, has: Option<usize>, key: &Tuple, gateway: &Id, out: &Tuple) -> usize {
        match has {
            Some(id) => {
                self.mapping_mut(id).sessions += 1;
                id
            }
            None => {
                let eip = self.outside(gateway, out.src).expect("an EIP").id;
                self.adopt(Inner::of(key), eip, out.sport)
            }
        }
    }

    fn release(&mut self, id: usize) {
        self.mapping_mut(id).sessions -= 1;
        self.mappings.retain(|m| m.sessions > 0);
    }

    /// Ports of an EIP with owners: TCP, UDP, ICMP.
    pub fn ports_used(&self, eip: &str) -> [u32; 3] {
        [TCP, UDP, ICMP].map(|proto| {
            let mine = |m: &&Mapping| m.owner && m.eip == eip && m.inner.proto == proto;
            self.mappings.iter().filter(mine).count() as u32
        })
    }

    // ---- time and change ------------------------------------------------------------------------

    fn end(&mut self, n: usize) {
        let session = self.sessions.remove(n);
        for mapping in [session.mapping, session.let_in_by].into_iter().flatten() {
            self.release(mapping);
        }
    }

    /// Whether packets with this key, which leave with the tuple `out`, may go on under a plan.
    fn fits(&self, plan: &Plan, key: &Tuple, out: &Tuple) -> bool {
        let source = match &plan.source {
            Source::Keep => out.src == key.src,
            Source::Fixed(eip) => out.src == *eip,
            Source::Pool { gateway, .. } => self.outside(gateway, out.src).is_some_and(|eip| {
                let whole = |d: &DnatEntry| d.eip == eip.id && d.mapping == DnatMapping::Any;
                let gateway = self.gateway(gateway);
                self.held(gateway, key.src, out.src).is_some() && !gateway.dnat.iter().any(whole)
            }),
        };
        let dport = key.proto == ICMP || out.dport == plan.dport;
        source && out.dst == plan.dst && dport && out.at == plan.exit
    }

    /// Decides about a session again: whether it may go on.
    fn refit(&mut self, n: usize, now: Duration) -> bool {
        let session = self.sessions[n].clone();
        let key = &session.keys[0];
        let known = key.at == "wan" || self.config.enis.iter().any(|e| e.id == key.at);
        let out = session.leaves(0);
        let exists = out.at == "wan" || self.config.enis.iter().any(|e| e.id == out.at);
        if !known || !exists {
            return false;
        }
        let Ok(plan) = self.decide(key, Some(out.src), true) else {
            return false;
        };
        let drained = plan.drains.is_some_and(|until| until <= now.as_secs());
        if drained || !self.fits(&plan, key, &out) {
            return false;
        }
        let mapping = match &plan.source {
            Source::Pool { gateway, .. } => {
                Some(self.adopt_again(session.mapping, key, gateway, &out))
            }
            _ => None,
        };
        let let_in_by = plan
            .let_in_by
            .inspect(|&id| self.mapping_mut(id).sessions += 1);
        for old in [session.mapping, session.let_in_by].into_iter().flatten() {
            self.release(old);
        }
        let session = &mut self.sessions[n];
        session.plan = plan;
        session.mapping = mapping;
        session.let_in_by = let_in_by;
        true
    }

    /// Another configuration: which sessions should go on, in the order in which they are looked at.
    pub fn apply(
        &mut self,
        config: Config,
        order: &[Tuple],
        now: Duration,
        really: impl Fn(&Tuple) -> bool,
    ) {
        self.config = config;
        self.picks.clear();
        for key in order {
            let (n, _) = self.position(key).expect("a session");
            let goes_on = self.refit(n, now);
            assert_eq!(goes_on, really(key), "{:?}", self.sessions[n]);
            if !goes_on {
                self.end(n);
            }
        }
    }

    /// Another daemon, which finds the sessions in this order: all of them but those that have drained. Mappings that
    /// let sessions in come first.
    pub fn restart(&mut self, order: &[Tuple], now: Duration) {
        self.sessions.retain(|session| {
            let there = order.contains(&session.keys[0]);
            let drained = session.plan.drains.is_some_and(|it| it <= now.as_secs());
            assert_eq!(there, !drained, "{session:?}");
            there
        });
        let had = std::mem::take(&mut self.mappings);
        let eip_of = |id: usize| {
            let mapping = had.iter().find(|it| it.id == id);
            mapping.expect("a mapping").eip.clone()
        };
        let position = |key| self.position(key).expect("a session").0;
        let order: Vec<usize> = order.iter().map(position).collect();
        for &n in &order {
            let session = self.sessions[n].clone();
            let (key, out) = (&session.keys[0], session.leaves(0));
            if let Some(let_in_by) = session.let_in_by {
                let inner = Inner {
                    at: out.at,
                    proto: out.proto,
                    address: out.dst,
                    port: out.dport,
                };
                let id = self.adopt(inner, eip_of(let_in_by), key.dport);
                self.sessions[n].let_in_by = Some(id);
                self.sessions[n].plan.let_in_by = Some(id);
            }
        }
        for &n in &order {
            let session = self.sessions[n].clone();
            let (key, out) = (&session.keys[0], session.leaves(0));
            if let Some(mapping) = session.mapping {
                let mapping = self.adopt(Inner::of(key), eip_of(mapping), out.sport);
                self.sessions[n].mapping = Some(mapping);
            }
        }
    }

    /// Time has gone by: sessions that are not `there` any more must have been idle for their timeout, and
    /// the others must not have been for much longer.
    pub fn expire(&mut self, now: Duration, there: impl Fn(&Tuple) -> bool) {
        let slack = Duration::from_millis(2500);
        for n in (0..self.sessions.len()).rev() {
            let session = &self.sessions[n];
            let (idle, timeout) = (now - session.last, session.timeout(&self.config));
            let drains = session.plan.drains.map(Duration::from_secs);
            if there(&session.keys[0]) {
                assert!(idle <= timeout + slack, "idle for {idle:?}: {session:?}");
                let late = drains.is_some_and(|until| now > until + slack);
                assert!(!late, "drains at {now:?}: {session:?}");
            } else {
                let drained = drains.is_some_and(|until| now >= until);
                let ended = idle > timeout || drained;
                assert!(ended, "ended after {idle:?}: {session:?}");
                self.end(n);
            }
        }
    }

    /// What should become of an ICMP error about `packet`, which came out at `at`: the port that it leaves by, its
    /// source and destination, and the tuple that is quoted.
    pub fn expect_error(
        &self,
        at: &str,
        from: Ipv4Addr,
        packet: &Packet,
    ) -> Result<(Ipv4Addr, Tuple), &'static str> {
        if !self.may_send(at, from) {
            return Err("spoofed");
        }
        let answers = Tuple::of(at, packet).reverse(at);
        let (n, back) = self.position(&answers).ok_or("icmp_unmatched")?;
        let session = &self.sessions[n];
        let new = session.leaves(back);
        let translated = new.src != answers.src;
        let src = match from == answers.src || (at != "wan" && translated) {
            true => new.src,
            false => from,
        };
        Ok((src, session.keys[1 - back].clone()))
    }
}
