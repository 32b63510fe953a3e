//! The tables of EIPs, bandwidth packages, NAT gateways and NAT IPs.

use super::*;
use crate::problem::Known;
use crate::text::{TCP, UDP, ports, protocol_name};
use std::net::Ipv4Addr;
use std::time::Duration;

impl Builder {
    pub(super) fn eip(
        &mut self,
        table: &Spanned<schema::Eip>,
        uplinks: &[Spanned<schema::Uplink>],
    ) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::Eip, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let address = entry.need("address", &raw.address, address);
        let uplink = match (&raw.uplink, uplinks) {
            (None, [only]) => only.get_ref().id.as_ref().map(|id| id.get_ref().clone()),
            (None, []) => {
                let what = "there is no uplink to reach it by: declare one as [[uplink]]";
                entry.fail(entry.start, what);
                None
            }
            (None, _) => {
                let what = format!("uplink is missing, and there are {}", uplinks.len());
                entry.fail(entry.start, what);
                None
            }
            (Some(_), _) => entry.read("uplink", &raw.uplink, any),
        };
        let mut binding = None;
        let given = [("instance", &raw.instance), ("eni", &raw.eni)];
        if given.iter().any(|(_, value)| value.is_some())
            && let Some(key) = entry.choice(&given.map(|(key, value)| (key, place(value))))
        {
            let value = match key {
                "eni" => &raw.eni,
                _ => &raw.instance,
            };
            let id = entry.read_as("binding", key, value, any);
            binding = id.map(EipBinding::Eni);
        }
        let bandwidth = entry.number("bandwidth", &raw.bandwidth, limits::BANDWIDTH);
        let package = entry.read("package", &raw.package, any);
        let key = "package_bandwidth";
        let package_bandwidth = entry.number(key, &raw.package_bandwidth, limits::BANDWIDTH);
        let detail = self.eip_detail(&mut entry, raw);
        let sound = self.sound(&mut entry, Kind::Eip, &raw.id);
        // An uplink without an identifier has been complained about.
        let (true, Some(id), Some(address)) = (sound, id, address) else {
            return;
        };
        let Some(uplink) = uplink else {
            self.broken.insert((Kind::Eip, id));
            return;
        };
        self.place(Item::Eip(self.config.eips.len()), &entry);
        self.config.details.say(Kind::Eip, &id, detail);
        self.config.eips.push(Eip {
            id,
            address,
            uplink,
            binding,
            bandwidth,
            package,
            package_bandwidth,
        });
    }

    pub(super) fn bandwidth_package(&mut self, table: &Spanned<schema::BandwidthPackage>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::BandwidthPackage, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        if raw.bandwidth.is_none() {
            entry.missing("bandwidth");
        }
        let bandwidth = entry.number("bandwidth", &raw.bandwidth, limits::BANDWIDTH);
        let detail = self.package_detail(&mut entry, raw);
        let sound = self.sound(&mut entry, Kind::BandwidthPackage, &raw.id);
        let (true, Some(id), Some(bandwidth)) = (sound, id, bandwidth) else {
            return;
        };
        let n = self.config.bandwidth_packages.len();
        self.place(Item::BandwidthPackage(n), &entry);
        let details = &mut self.config.details;
        details.say(Kind::BandwidthPackage, &id, detail);
        self.config
            .bandwidth_packages
            .push(BandwidthPackage { id, bandwidth });
    }

    pub(super) fn nat_gateway(&mut self, table: &Spanned<schema::NatGateway>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::NatGateway, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let vpc = entry.need("vpc", &raw.vpc, any);
        let network = read_network(&mut entry, raw);
        let mapping = entry.read("mapping", &raw.mapping, word);
        let filtering = entry.read("filtering", &raw.filtering, word);
        let limit = limits::SESSIONS_PER_SOURCE;
        let max_sessions_per_source = entry.number(
            "max_sessions_per_source",
            &raw.max_sessions_per_source,
            limit,
        );
        let snat_ports = entry.ports("snat_ports", &raw.snat_ports);
        let icmp_reply = raw.icmp_reply.as_ref().is_none_or(|it| *it.get_ref());
        let tcp_out_of_state = entry.read("tcp_out_of_state", &raw.tcp_out_of_state, word);
        let drain = entry.number("drain_seconds", &raw.drain_seconds, limits::DRAIN);
        let mut timeouts = Timeouts::default();
        if let Some(table) = &raw.timeouts {
            let raw = table.get_ref();
            for (key, value, timeout) in [
                (
                    "tcp_established",
                    &raw.tcp_established,
                    &mut timeouts.tcp_established,
                ),
                (
                    "tcp_transitory",
                    &raw.tcp_transitory,
                    &mut timeouts.tcp_transitory,
                ),
                ("udp", &raw.udp, &mut timeouts.udp),
                ("icmp", &raw.icmp, &mut timeouts.icmp),
                ("other", &raw.other, &mut timeouts.other),
            ] {
                if let Some(seconds) = entry.number(key, value, limits::TIMEOUT) {
                    *timeout = Duration::from_secs(seconds);
                }
            }
        }
        let detail = self.gateway_detail(&mut entry, raw, network.as_ref());
        let sound = self.sound(&mut entry, Kind::NatGateway, &raw.id);
        if let Some(id) = &id {
            self.bind(&mut entry, id, &raw.eips);
        }
        let (true, Some(id), Some(vpc)) = (sound, id, vpc) else {
            return;
        };

        let n = self.config.nat_gateways.len();
        self.place(Item::NatGateway(n), &entry);
        self.config.details.say(Kind::NatGateway, &id, detail);
        let mut gateway = NatGateway {
            id,
            vpc,
            network: network.unwrap_or_default(),
            snat: Vec::with_capacity(raw.snat.len()),
            dnat: Vec::with_capacity(raw.dnat.len()),
            mapping: mapping.unwrap_or_default(),
            filtering: filtering.unwrap_or_default(),
            timeouts,
            max_sessions_per_source,
            snat_ports: snat_ports.unwrap_or(SNAT_PORTS),
            icmp_reply,
            tcp_out_of_state: tcp_out_of_state.unwrap_or_default(),
            source_metrics: raw.source_metrics.as_ref().is_some_and(|it| *it.get_ref()),
            drain: drain.map_or(DRAIN, Duration::from_secs),
        };
        let mut ids = HashSet::new();
        for table in &raw.snat {
            let mut entry = inner(&gateway, Kind::SnatEntry, &table.get_ref().id, table.span());
            let raw = table.get_ref();
            let entries = self.snat(&mut entry, &gateway, raw);
            let detail = Detail {
                vswitch: raw.vswitch.as_ref().map(|it| it.get_ref().clone()),
                ..entry.labels(Kind::SnatEntry, named!(raw))
            };
            self.sound(&mut entry, Kind::SnatEntry, &None);
            for (source, mut snat) in entries.into_iter().flatten() {
                if snat.id.is_empty() {
                    self.made.insert(Item::Snat(n, gateway.snat.len()));
                    snat.id = unused(&mut ids, format!("{}/{source}", gateway.id));
                }
                self.place(Item::Snat(n, gateway.snat.len()), &entry);
                let details = &mut self.config.details;
                details.say(Kind::SnatEntry, &snat.id, detail.clone());
                gateway.snat.push(snat);
            }
        }
        let mut ids = HashSet::new();
        for table in &raw.dnat {
            let mut entry = inner(&gateway, Kind::DnatEntry, &table.get_ref().id, table.span());
            let raw = table.get_ref();
            let dnat = self.dnat(&mut entry, &gateway, raw);
            let detail = entry.labels(Kind::DnatEntry, named!(raw));
            let sound = self.sound(&mut entry, Kind::DnatEntry, &None);
            let (true, Some(mut dnat)) = (sound, dnat) else {
                continue;
            };
            if dnat.id.is_empty() {
                self.made.insert(Item::Dnat(n, gateway.dnat.len()));
                let what = match &dnat.mapping {
                    DnatMapping::Any => "any".into(),
                    DnatMapping::Ports {
                        protocol, external, ..
                    } => format!("{}/{}", protocol_name(*protocol), ports(external)),
                };
                dnat.id = unused(&mut ids, format!("{}/{}/{what}", gateway.id, dnat.eip));
            }
            self.place(Item::Dnat(n, gateway.dnat.len()), &entry);
            let details = &mut self.config.details;
            details.say(Kind::DnatEntry, &dnat.id, detail);
            gateway.dnat.push(dnat);
        }
        self.config.nat_gateways.push(gateway);
    }

    pub(super) fn nat_ip(&mut self, table: &Spanned<schema::NatIp>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::NatIp, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        if raw.nat_gateway.is_none() {
            entry.missing("nat_gateway");
        }
        let gateway = entry.read_as("gateway", "nat_gateway", &raw.nat_gateway, any);
        let address = entry.need("address", &raw.address, address);
        let detail = entry.labels(Kind::NatIp, named!(raw, &raw.description));
        let sound = self.sound(&mut entry, Kind::NatIp, &raw.id);
        let (true, Some(id), Some(gateway), Some(address)) = (sound, id, gateway, address) else {
            return;
        };
        self.place(Item::NatIp(self.config.nat_ips.len()), &entry);
        self.config.details.say(Kind::NatIp, &id, detail);
        self.config.nat_ips.push(NatIp {
            id,
            gateway,
            address,
        });
    }

    /// Binds EIPs to a gateway.
    fn bind(&mut self, entry: &mut Entry, gateway: &Id, eips: &Texts) {
        let mut listed = HashSet::new();
        for value in eips {
            let (id, at) = (value.get_ref(), value.span().start);
            if !listed.insert(id) {
                let (kind, id) = (Kind::Eip, id.clone());
                entry.fail(at, Fault::ListedTwice { kind, id });
                continue;
            }
            let position = self.config.eips.iter().position(|eip| eip.id == *id);
            let Some(n) = position else {
                let known = Known::new(self.config.eips.iter().map(|eip| &eip.id));
                self.unknown(entry, Kind::Eip, id, known, at);
                continue;
            };
            let eip = &mut self.config.eips[n];
            match &eip.binding {
                None => {
                    eip.binding = Some(EipBinding::NatGateway(gateway.clone()));
                    let place = Place {
                        item: Item::Eip(n),
                        field: "binding",
                        element: 0,
                    };
                    self.stands(place, at);
                }
                Some(binding) => {
                    let id = quote(id);
                    entry.fail(at, format!("EIP {id} is bound to {binding} already"));
                }
            }
        }
        self.found.append(&mut entry.found);
    }

    /// Says that something does not exist, unless it could only not be read.
    pub(super) fn unknown(&self, entry: &mut Entry, kind: Kind, id: &Id, known: Known, at: usize) {
        let fault = Fault::Unknown {
            kind,
            id: id.clone(),
            known,
        };
        if !self.is_consequence(&fault) {
            entry.fail(at, fault);
        }
    }

    /// The SNAT entries of one table, several if a VPC has several blocks. The identifier is empty if
    /// one has to be made.
    fn snat(
        &self,
        entry: &mut Entry,
        gateway: &NatGateway,
        raw: &schema::Snat,
    ) -> Option<Vec<(Ipv4Net, SnatEntry)>> {
        let id = entry.read("id", &raw.id, any);
        let eips = match (&raw.eips[..], &raw.nat_ips[..]) {
            (_, []) => entry.list("eips", &raw.eips, any),
            ([], _) => entry.list_as("eips", "nat_ips", &raw.nat_ips, any),
            (_, [nat_ip, ..]) => {
                let what = "there is eips and nat_ips: only one of them can be";
                entry.fail(nat_ip.span().start, what);
                return None;
            }
        };
        let eips = eips.unwrap_or_default();
        let pooling = entry.read("pooling", &raw.pooling, word);
        let whole = raw.vpc.as_ref().filter(|it| *it.get_ref());
        let choice = entry.choice(&[
            ("source", place(&raw.source)),
            ("vswitch", place(&raw.vswitch)),
            ("instance", place(&raw.instance)),
            ("vpc", whole.map(|it| it.span().start)),
        ])?;
        let sources = match choice {
            "source" => vec![entry.read("source", &raw.source, block)?],
            "vswitch" => {
                let id = raw.vswitch.as_ref()?;
                entry.mark("source", 0, id);
                vec![self.vswitch_block(entry, gateway, id)?]
            }
            "instance" => {
                let id = raw.instance.as_ref()?;
                entry.mark("source", 0, id);
                vec![self.instance_address(entry, gateway, id)?.into()]
            }
            _ => {
                let mut vpcs = self.config.vpcs.iter();
                // An unknown VPC has been complained about, or will be.
                vpcs.find(|vpc| vpc.id == gateway.vpc)?.cidrs.clone()
            }
        };
        let entry = |(n, source): (usize, Ipv4Net)| {
            let id = match &id {
                Some(id) if n > 0 => format!("{id}/{source}"),
                id => id.clone().unwrap_or_default(),
            };
            let snat = SnatEntry {
                id,
                source,
                eips: eips.clone(),
                pooling: pooling.unwrap_or_default(),
                drains: Vec::new(),
            };
            (source, snat)
        };
        Some(sources.into_iter().enumerate().map(entry).collect())
    }

    /// A DNAT entry. The identifier is empty if one has to be made.
    fn dnat(
        &self,
        entry: &mut Entry,
        gateway: &NatGateway,
        raw: &schema::Dnat,
    ) -> Option<DnatEntry> {
        let id = entry.read("id", &raw.id, any).unwrap_or_default();
        let eip = match raw.nat_ip {
            None => entry.need("eip", &raw.eip, any),
            Some(_) => {
                entry.choice(&[("eip", place(&raw.eip)), ("nat_ip", place(&raw.nat_ip))])?;
                entry.read_as("eip", "nat_ip", &raw.nat_ip, any)
            }
        };
        let mapping = read_mapping(entry, raw);
        let choice = entry.choice(&[
            ("internal", place(&raw.internal)),
            ("instance", place(&raw.instance)),
        ])?;
        let internal = match choice {
            "internal" => entry.read("internal", &raw.internal, address),
            _ => {
                let id = raw.instance.as_ref()?;
                entry.mark("internal", 0, id);
                self.instance_address(entry, gateway, id)
            }
        };
        Some(DnatEntry {
            id,
            eip: eip?,
            internal: internal?,
            mapping: mapping?,
        })
    }

    /// The block of a vSwitch that a gateway serves.
    fn vswitch_block(
        &self,
        entry: &mut Entry,
        gateway: &NatGateway,
        id: &Spanned<String>,
    ) -> Option<Ipv4Net> {
        let at = id.span().start;
        let mut vswitches = self.config.vswitches.iter();
        let Some(vswitch) = vswitches.find(|it| it.id == *id.get_ref()) else {
            let known = Known::new(self.config.vswitches.iter().map(|it| &it.id));
            self.unknown(entry, Kind::VSwitch, id.get_ref(), known, at);
            return None;
        };
        self.served(entry, gateway, Kind::VSwitch, id, &vswitch.vpc);
        Some(vswitch.cidr)
    }

    /// The address of an instance that a gateway serves.
    fn instance_address(
        &self,
        entry: &mut Entry,
        gateway: &NatGateway,
        id: &Spanned<String>,
    ) -> Option<Ipv4Addr> {
        let at = id.span().start;
        let Some(eni) = self.config.enis.iter().find(|it| it.id == *id.get_ref()) else {
            let known = Known::new(self.config.enis.iter().map(|it| &it.id));
            self.unknown(entry, Kind::Eni, id.get_ref(), known, at);
            return None;
        };
        let mut vswitches = self.config.vswitches.iter();
        if let Some(vswitch) = vswitches.find(|it| it.id == eni.vswitch) {
            self.served(entry, gateway, Kind::Instance, id, &vswitch.vpc);
        }
        Some(eni.address)
    }

    /// Reports a resource of a VPC that is neither the gateway's nor peered with it.
    fn served(
        &self,
        entry: &mut Entry,
        gateway: &NatGateway,
        kind: Kind,
        id: &Spanned<String>,
        vpc: &Id,
    ) {
        let peered =
            |peering: &Peering| peering.vpcs.contains(vpc) && peering.vpcs.contains(&gateway.vpc);
        let unread = self.broken.iter().any(|(kind, _)| *kind == Kind::Peering);
        if *vpc != gateway.vpc && !self.config.peerings.iter().any(peered) && !unread {
            let what = format!(
                "{kind} {} is in VPC {}, which is neither VPC {} nor peered with it",
                quote(id.get_ref()),
                quote(vpc),
                quote(&gateway.vpc),
            );
            entry.fail(id.span().start, what);
        }
    }
}

/// A vSwitch is named exactly if the network is `intranet`; naming one is enough to say so.
fn read_network(entry: &mut Entry, raw: &schema::NatGateway) -> Option<Network> {
    let vswitch = entry.read("vswitch", &raw.vswitch, any);
    let network = raw.network.as_ref().map(|it| it.get_ref().as_str());
    match (network, vswitch) {
        (None | Some("intranet"), Some(vswitch)) => Some(Network::Intranet(vswitch)),
        (None | Some("internet"), None) => Some(Network::Internet),
        // It is shown in it, and that is all.
        (Some("internet"), Some(_)) => Some(Network::Internet),
        (Some("intranet"), None) => {
            let at = place(&raw.network).unwrap_or(entry.start);
            let what = "network \"intranet\" needs vswitch = \"VSWITCH\": the one that it lies in";
            entry.fail(at, what);
            None
        }
        (Some(other), _) => {
            let at = place(&raw.network).unwrap_or(entry.start);
            let what = format!("network {} is none of internet, intranet", quote(other));
            entry.fail(at, what);
            None
        }
    }
}

/// An entry of a gateway, named by its identifier if it has one.
fn inner(gateway: &NatGateway, kind: Kind, id: &Text, span: std::ops::Range<usize>) -> Entry {
    match id {
        Some(_) => Entry::new(kind, id, span),
        None => {
            let name = format!("{} {}, {kind}", Kind::NatGateway, quote(&gateway.id));
            Entry::named(name, span)
        }
    }
}

/// An identifier that was not made before: two entries may say the same, which is complained about,
/// but not as two of the same name.
fn unused(made: &mut HashSet<Id>, id: Id) -> Id {
    let unique = match made.contains(&id) {
        true => format!("{id}-{}", made.len()),
        false => id,
    };
    made.insert(unique.clone());
    unique
}

/// What a DNAT entry maps. Internal ports are the external ones if they are left out.
fn read_mapping(entry: &mut Entry, raw: &schema::Dnat) -> Option<DnatMapping> {
    let protocol = entry.need("protocol", &raw.protocol, |text| match text {
        "any" => Ok(None),
        "tcp" => Ok(Some(TCP)),
        "udp" => Ok(Some(UDP)),
        other => Err(format!("{} is none of tcp, udp, any", quote(other))),
    })?;
    let Some(protocol) = protocol else {
        if let Some(at) = place(&raw.external_port).or(place(&raw.internal_port)) {
            let what = "protocol \"any\" maps the whole address: leave out the ports";
            entry.fail(at, what);
        }
        return Some(DnatMapping::Any);
    };
    if raw.external_port.is_none() {
        entry.missing("external_port");
    }
    let external = entry.ports("external_port", &raw.external_port)?;
    let internal = match &raw.internal_port {
        None => external.clone(),
        given => entry.ports("internal_port", given)?,
    };
    if internal.len() != external.len() {
        let what = format!(
            "internal_port {} and external_port {} are not equally long",
            ports(&internal),
            ports(&external)
        );
        entry.fail(place(&raw.internal_port).unwrap_or(entry.start), what);
        return None;
    }
    Some(DnatMapping::Ports {
        protocol,
        external,
        internal: *internal.start(),
    })
}
