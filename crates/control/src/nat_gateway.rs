//! NAT gateways.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::eip::{Usage, not_protected};
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use crate::routes::DEFAULT;
use model::{DnatMapping, Id, limits};
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// A NAT gateway to be made.
#[derive(Clone, Debug)]
pub struct NewNatGateway {
    /// Name, tags and the like.
    pub meta: Meta,
    /// Its VPC.
    pub vpc: Id,
    /// Whether it is a VPC NAT gateway: it has a vSwitch, and its private address is its first NAT IP.
    pub intranet: bool,
    /// The vSwitch that it takes its private address from; one that is not enhanced can do without.
    pub vswitch: Option<Id>,
    /// The wanted private address; `None`: the lowest free one.
    pub address: Option<Ipv4Addr>,
    /// Whether an EIP may serve SNAT and DNAT at once.
    pub enhanced: bool,
    /// `MULTI_BINDED` or `NAT`.
    pub eip_bind_mode: String,
    /// Whether its EIPs answer ping where no entry takes it.
    pub icmp_reply: bool,
    /// What the cloud does not let one choose.
    pub nat: NatSettings,
}

impl Draft {
    /// Makes a NAT gateway. The first of a VPC that is for the Internet gets the default route of the VPC's
    /// system table.
    ///
    /// # Errors
    /// If VPC or vSwitch do not exist or do not go together, there are too many, no address is free, or the default
    /// route leads elsewhere.
    pub fn create_nat_gateway(&mut self, new: NewNatGateway) -> Result<NatGateway> {
        let vpc = &self.vpc(&new.vpc)?.id;
        let others = self.nat_gateways.iter();
        let others = others.filter(|it| it.vpc == *vpc && it.intranet == new.intranet);
        let others = others.count();
        self.room_for(Quota::NatGateways, &format!("The VPC {vpc} has"), others)?;
        check_settings(&new.nat)?;
        let private_address = match &new.vswitch {
            Some(vswitch) => Some(self.gateway_address(vpc, vswitch, new.address)?),
            None => None,
        };
        let gateway = NatGateway {
            id: self.new_id("ngw")?,
            meta: new.meta,
            vpc: new.vpc,
            intranet: new.intranet,
            vswitch: new.vswitch,
            private_address,
            eni: self.new_id("eni")?,
            snat_table: self.new_id("stb")?,
            forward_table: self.new_id("ftb")?,
            full_nat_table: self.new_id("fulltb")?,
            enhanced: new.enhanced,
            eip_bind_mode: new.eip_bind_mode,
            icmp_reply: new.icmp_reply,
            deletion_protection: false,
            ecs_metric: false,
            nat: new.nat,
        };
        if gateway.intranet {
            self.add_default_nat_ip(&gateway)?;
        } else if others == 0 {
            self.add_default_route(&gateway)?;
        }
        self.nat_gateways.put(gateway.clone());
        Ok(gateway)
    }

    /// An address of a vSwitch for a gateway of a VPC.
    fn gateway_address(
        &self,
        vpc: &str,
        vswitch: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Ipv4Addr> {
        let vswitch = self.vswitch(vswitch)?;
        if vswitch.vpc != vpc {
            let why = format!("The vSwitch is of {}, not of {vpc}.", vswitch.vpc);
            return Err(Refusal::bad("OperationFailed.VswNotBelongToVpc", why));
        }
        self.pick_address(vswitch, wanted)
    }

    /// Leads the default route of the VPC's system table to its first gateway.
    fn add_default_route(&mut self, gateway: &NatGateway) -> Result<()> {
        let Some(table) = self.system_table(&gateway.vpc) else {
            let why = format!("{} has no system route table.", gateway.vpc);
            return Err(Refusal::internal(why));
        };
        let table = table.id.clone();
        if let Some(route) = self
            .routes
            .find(|it| it.table == table && it.destination == DEFAULT)
        {
            let why = format!(
                "The system route table {table} has the entry {} for 0.0.0.0/0, which would be the gateway's: \
                 delete it first.",
                route.id
            );
            return Err(Refusal::bad("RouterEntryConflict.Duplicated", why));
        }
        let route = Route {
            id: self.new_id("rte")?,
            meta: self.meta("", "Created with NAT gateway by system."),
            table,
            destination: DEFAULT,
            next_hop: NextHop::NatGateway(gateway.id.clone()),
        };
        self.routes.put(route);
        Ok(())
    }

    /// Sets what the cloud does not let one choose.
    ///
    /// # Errors
    /// If the gateway does not exist or a value is out of bounds.
    pub fn set_nat_settings(&mut self, id: &str, nat: NatSettings) -> Result<()> {
        self.nat_gateway(id)?;
        check_settings(&nat)?;
        if let Some(gateway) = self.nat_gateways.get_mut(id) {
            gateway.nat = nat;
        }
        Ok(())
    }

    /// Changes how a gateway's EIPs are shown: from `MULTI_BINDED` to `NAT` only.
    ///
    /// # Errors
    /// If the gateway does not exist, or for the way back.
    pub fn set_eip_bind_mode(&mut self, id: &str, mode: &str) -> Result<()> {
        let had = &self.nat_gateway(id)?.eip_bind_mode;
        if had == "NAT" && mode != "NAT" {
            let why = "The EIP bind mode NAT is for good.";
            return Err(Refusal::bad("OperationUnsupported.EipBindMode", why));
        }
        if let Some(gateway) = self.nat_gateways.get_mut(id) {
            gateway.eip_bind_mode = mode.into();
        }
        Ok(())
    }

    /// Makes a gateway an enhanced one, with a private address from a vSwitch.
    ///
    /// # Errors
    /// If it is one that has an address, or the vSwitch has none to give.
    pub fn enhance_nat_gateway(&mut self, id: &str, vswitch: &str) -> Result<()> {
        let gateway = self.nat_gateway(id)?;
        if gateway.enhanced && gateway.vswitch.is_some() {
            let why = format!("{id} is an enhanced NAT gateway.");
            return Err(Refusal::bad("OperationUnsupported.NatType", why));
        }
        let address = match &gateway.vswitch {
            Some(had) if had == vswitch => gateway.private_address,
            _ => Some(self.gateway_address(&gateway.vpc, vswitch, None)?),
        };
        if let Some(gateway) = self.nat_gateways.get_mut(id) {
            gateway.enhanced = true;
            gateway.vswitch = Some(vswitch.into());
            gateway.private_address = address;
        }
        Ok(())
    }

    /// Deletes a gateway with the default route that leads to it. With `force` its entries go with it, and its
    /// EIPs are unbound.
    ///
    /// # Errors
    /// `DependencyViolation.…` if there is something else; or if it is protected.
    pub fn delete_nat_gateway(&mut self, id: &str, force: bool) -> Result<()> {
        let gateway = self.nat_gateway(id)?;
        not_protected(id, gateway.deletion_protection)?;
        let depends = |kind: &str, other: Option<&Id>| match other {
            Some(other) => Err(Refusal::bad(
                format!("DependencyViolation.{kind}"),
                format!("The NAT gateway {id} cannot be deleted: {other} depends on it."),
            )),
            None => Ok(()),
        };
        let firewall = self.firewall_of_gateway(id).map(|it| &it.id);
        depends("NatFirewall", firewall)?;
        let table = self.system_table(&gateway.vpc).map(|it| &it.id);
        let hop = NextHop::NatGateway(id.into());
        let routes = self.routes.iter().filter(|it| it.next_hop == hop);
        let (own, others): (Vec<&Route>, Vec<&Route>) =
            routes.partition(|it| it.destination == DEFAULT && Some(&it.table) == table);
        depends("RouterEntry", others.first().map(|it| &it.id))?;
        let own: Vec<Id> = own.iter().map(|it| it.id.clone()).collect();
        let snat: Vec<Id> = self.snat_of_gateway(id).map(|it| it.id.clone()).collect();
        let dnat: Vec<Id> = self.dnat_of_gateway(id).map(|it| it.id.clone()).collect();
        let eips: Vec<Id> = self.eips_of_gateway(id).map(|it| it.id.clone()).collect();
        let nat_ips: Vec<Id> = self.nat_ips_of(id).map(|it| it.id.clone()).collect();
        let cidrs: Vec<Id> = self.nat_ip_cidrs_of(id).map(|it| it.id.clone()).collect();
        if !force {
            depends("SnatEntry", snat.first())?;
            depends("ForwardEntry", dnat.first())?;
            depends("EIPS", eips.first())?;
            let more = self.nat_ips_of(id).find(|it| !it.default);
            depends("NatIp", more.map(|it| &it.id))?;
            let more = self.nat_ip_cidrs_of(id).find(|it| !it.default);
            depends("NatIpCidr", more.map(|it| &it.id))?;
        }
        own.iter().for_each(|it| drop(self.routes.remove(it)));
        snat.iter().for_each(|it| drop(self.snat.remove(it)));
        dnat.iter().for_each(|it| drop(self.dnat.remove(it)));
        nat_ips.iter().for_each(|it| drop(self.nat_ips.remove(it)));
        cidrs
            .iter()
            .for_each(|it| drop(self.nat_ip_cidrs.remove(it)));
        for eip in eips {
            if let Some(eip) = self.eips.get_mut(&eip) {
                eip.binding = None;
            }
        }
        self.nat_gateways.remove(id);
        let scope = model::PolicyScope::NatGateway(id.into());
        self.policies.clear(&scope);
        Ok(())
    }
}

impl Cloud {
    /// What a gateway's entries use its EIPs, or NAT IPs, for; one that is not there is idle.
    pub fn usages(&self, gateway: &str) -> HashMap<&Id, Usage> {
        let mut usages: HashMap<&Id, Usage> = HashMap::new();
        for eip in self.snat_of_gateway(gateway).flat_map(|it| &it.eips) {
            usages.entry(eip).or_default().snat = true;
        }
        for entry in self.dnat_of_gateway(gateway) {
            let usage = usages.entry(&entry.eip).or_default();
            usage.dnat = true;
            usage.whole |= entry.mapping == DnatMapping::Any;
        }
        usages
    }

    /// The VPCs whose addresses a gateway of a VPC reaches: its own, and those that are peered with it.
    pub fn reach(&self, vpc: &Id) -> Vec<&Id> {
        let peers = self.peerings.iter().filter(|it| it.accepted);
        let peers = peers.filter_map(|it| match (&it.vpc, &it.accepting_vpc) {
            (a, b) if a == vpc => Some(b),
            (a, b) if b == vpc => Some(a),
            _ => None,
        });
        let own = self.vpcs.get(vpc).map(|it| &it.id);
        own.into_iter().chain(peers).collect()
    }

    /// The EIP, or NAT IP, of a gateway that has an address.
    ///
    /// # Errors
    /// `code`, if the gateway has none with it.
    pub(crate) fn outer_id(
        &self,
        gateway: &NatGateway,
        address: Ipv4Addr,
        code: &'static str,
    ) -> Result<&Id> {
        let (found, what) = if gateway.intranet {
            let mut nat_ips = self.nat_ips_of(&gateway.id);
            let found = nat_ips.find(|it| it.address == address);
            (found.map(|it| &it.id), "a NAT IP of")
        } else {
            let mut eips = self.eips_of_gateway(&gateway.id);
            let found = eips.find(|it| it.address == address);
            (
                found.map(|it| &it.id),
                "the address of an EIP that is bound to",
            )
        };
        found.ok_or_else(|| {
            let why = format!("{address} is not {what} the NAT gateway {}.", gateway.id);
            Refusal::bad(code, why)
        })
    }

    /// The address of an EIP, or of a NAT IP, as an entry of a gateway names it.
    pub fn outer_address(&self, gateway: &NatGateway, id: &str) -> Option<Ipv4Addr> {
        match gateway.intranet {
            true => self.nat_ips.get(id).map(|it| it.address),
            false => self.eips.get(id).map(|it| it.address),
        }
    }
}

fn check_settings(nat: &NatSettings) -> Result<()> {
    let wrong = |name: &str, why: String| {
        let message = format!("The specified parameter \"{name}\" is not valid: {why}");
        Err(Refusal::bad("InvalidParameter", message))
    };
    let timeouts = [
        ("TcpEstablishedTimeout", nat.timeouts.tcp_established),
        ("TcpTransitoryTimeout", nat.timeouts.tcp_transitory),
        ("UdpTimeout", nat.timeouts.udp),
        ("IcmpTimeout", nat.timeouts.icmp),
        ("OtherTimeout", nat.timeouts.other),
    ];
    for (name, timeout) in timeouts {
        let (seconds, bounds) = (timeout.as_secs(), limits::TIMEOUT);
        if !bounds.contains(&seconds) {
            let why = format!(
                "{seconds} is not between {} and {} seconds.",
                bounds.start(),
                bounds.end()
            );
            return wrong(name, why);
        }
    }
    let (seconds, bounds) = (nat.drain.as_secs(), limits::DRAIN);
    if !bounds.contains(&seconds) {
        let why = format!("{seconds} is not between 0 and {} seconds.", bounds.end());
        return wrong("DrainSeconds", why);
    }
    let ports = &nat.snat_ports;
    if *ports.start() == 0 || ports.is_empty() {
        let why = "It is a range of ports such as 1024/65535.";
        return wrong("SnatPorts", why.into());
    }
    match nat.max_sessions_per_source {
        Some(0) => wrong("MaxSessionsPerSource", "A limit is 1 or more.".into()),
        _ => Ok(()),
    }
}
