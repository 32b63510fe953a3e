//! NAT IPs of VPC NAT gateways, and the blocks that they are taken from.

use crate::cloud::{Cloud, found};
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use crate::vpc::overlap;
use ipnet::Ipv4Net;
use model::Id;
use std::net::Ipv4Addr;

/// The blocks that private networks may use (RFC 1918, section 3).
const PRIVATE: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];

impl Draft {
    /// The first NAT IP of a new VPC NAT gateway, which is its private address, and the block of its vSwitch.
    pub(crate) fn add_default_nat_ip(&mut self, gateway: &NatGateway) -> Result<()> {
        let (Some(vswitch), Some(address)) = (&gateway.vswitch, gateway.private_address) else {
            let why = "A VPC NAT gateway lies in a vSwitch.";
            return Err(Refusal::bad("MissingParameter", why));
        };
        let cidr = NatIpCidr {
            id: self.new_id("vpcnatcidr")?,
            meta: self.meta("", ""),
            gateway: gateway.id.clone(),
            cidr: self.vswitch(vswitch)?.cidr,
            default: true,
        };
        let nat_ip = NatIp {
            id: self.new_id("vpcnatip")?,
            meta: self.meta("", ""),
            gateway: gateway.id.clone(),
            address,
            default: true,
        };
        self.nat_ip_cidrs.put(cidr);
        self.nat_ips.put(nat_ip);
        Ok(())
    }

    /// Gives a VPC NAT gateway another block for NAT IPs.
    ///
    /// # Errors
    /// If it is none that the gateway may have besides those that it has.
    pub fn create_nat_ip_cidr(
        &mut self,
        gateway: &str,
        cidr: Ipv4Net,
        meta: Meta,
    ) -> Result<NatIpCidr> {
        let gateway = self.vpc_nat_gateway(gateway)?;
        let vpc = self.vpc(&gateway.vpc)?;
        let wrong = |code: &'static str, why: String| Err(Refusal::bad(code, why));
        let private = PRIVATE.iter().chain(&vpc.user_cidrs);
        if cidr.prefix_len() < 16 || !private.into_iter().any(|it| it.contains(&cidr)) {
            let why = format!(
                "{cidr} is none: a block of NAT IPs is private, or lies in a user block of the VPC, and has a \
                 mask from /16 to /32."
            );
            return wrong("InvalidParameter.NatIpCidr", why);
        }
        if let Some(block) = vpc.cidrs.iter().find(|it| overlap(**it, cidr)) {
            let why = format!("{cidr} overlaps {block} of the VPC {}.", vpc.id);
            return wrong("OperationUnsupported.NatIpCidrConflict", why);
        }
        // NAT IPs are local in the VPC, whichever gateway they are of.
        let gateways = self.nat_gateways.iter().filter(|it| it.vpc == vpc.id);
        let other = gateways
            .flat_map(|it| self.nat_ip_cidrs_of(&it.id))
            .find(|it| overlap(it.cidr, cidr));
        if let Some(other) = other {
            let why = format!(
                "{cidr} overlaps {} of the NAT gateway {}.",
                other.cidr, other.gateway
            );
            return wrong("OperationUnsupported.NatIpCidrConflict", why);
        }
        let used = self.nat_ip_cidrs_of(&gateway.id).count();
        let whose = format!("The NAT gateway {} has", gateway.id);
        self.room_for(Quota::NatIpCidrs, &whose, used)?;
        let record = NatIpCidr {
            id: self.new_id("vpcnatcidr")?,
            meta,
            gateway: gateway.id.clone(),
            cidr,
            default: false,
        };
        self.nat_ip_cidrs.put(record.clone());
        Ok(record)
    }

    /// Takes a block from a VPC NAT gateway.
    ///
    /// # Errors
    /// If the gateway has no such block, was made with it, or has NAT IPs of it.
    pub fn delete_nat_ip_cidr(&mut self, gateway: &str, cidr: Ipv4Net) -> Result<()> {
        let record = self.nat_ip_cidr(gateway, cidr)?;
        if record.default {
            let why = format!("{cidr} is that of the gateway's vSwitch and goes with the gateway.");
            return Err(Refusal::bad("OperationDenied.DefaultNatIpCidr", why));
        }
        let of_it = |it: &&NatIp| cidr.contains(&it.address);
        if let Some(nat_ip) = self.nat_ips_of(gateway).find(of_it) {
            let why = format!("The NAT IP {} lies in {cidr}: delete it first.", nat_ip.id);
            return Err(Refusal::bad("DependencyViolation.NatIp", why));
        }
        let id = record.id.clone();
        self.nat_ip_cidrs.remove(&id);
        Ok(())
    }

    /// Gives a VPC NAT gateway a NAT IP of one of its blocks: the wanted address, or the lowest free one.
    ///
    /// # Errors
    /// If the gateway has no such block or its fill of NAT IPs, or the address cannot be had.
    pub fn create_nat_ip(
        &mut self,
        gateway: &str,
        cidr: Ipv4Net,
        wanted: Option<Ipv4Addr>,
        meta: Meta,
    ) -> Result<NatIp> {
        let gateway = self.vpc_nat_gateway(gateway)?;
        let block = self.nat_ip_cidr(&gateway.id, cidr)?;
        let used = self.nat_ips_of(&gateway.id).count();
        let whose = format!("The NAT gateway {} has", gateway.id);
        self.room_for(Quota::NatIps, &whose, used)?;
        let address = match (&gateway.vswitch, block.default) {
            (Some(vswitch), true) => self.pick_address(self.vswitch(vswitch)?, wanted)?,
            _ => self.pick_nat_ip(&gateway.vpc, cidr, wanted)?,
        };
        let record = NatIp {
            id: self.new_id("vpcnatip")?,
            meta,
            gateway: gateway.id.clone(),
            address,
            default: false,
        };
        self.nat_ips.put(record.clone());
        Ok(record)
    }

    /// Deletes a NAT IP.
    ///
    /// # Errors
    /// If it does not exist, entries use it, or its gateway was made with it.
    pub fn delete_nat_ip(&mut self, id: &str) -> Result<()> {
        let nat_ip = self.nat_ip(id)?;
        if nat_ip.default {
            let why = format!("{id} is the default NAT IP and goes with its gateway.");
            return Err(Refusal::bad("OperationDenied.DefaultNatIp", why));
        }
        let used = |kind: &str, entry: &Id| {
            let why = format!("The entry {entry} uses the NAT IP {id}: delete it first.");
            Err(Refusal::bad(format!("DependencyViolation.{kind}"), why))
        };
        if let Some(entry) = self.snat_of_gateway(&nat_ip.gateway).find(|it| it.uses(id)) {
            return used("SnatEntry", &entry.id);
        }
        if let Some(entry) = self
            .dnat_of_gateway(&nat_ip.gateway)
            .find(|it| it.eip == id)
        {
            return used("ForwardEntry", &entry.id);
        }
        self.nat_ips.remove(id);
        self.let_go_of_drains();
        Ok(())
    }

    /// An address of a block outside of the VPC.
    fn pick_nat_ip(&self, vpc: &str, cidr: Ipv4Net, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr> {
        let used = |address: &Ipv4Addr| {
            let of_vpc = |it: &NatIp| {
                let gateway = self.nat_gateways.get(&it.gateway);
                gateway.is_some_and(|it| it.vpc == vpc)
            };
            let behind = |it: &Eni| {
                let vswitch = self.vswitches.get(&it.vswitch);
                vswitch.is_some_and(|it| it.vpc == vpc)
                    && it.hosts.iter().any(|host| host.contains(address))
            };
            let taken = self.nat_ips.find(|it| it.address == *address && of_vpc(it));
            taken.is_some() || self.enis.find(behind).is_some()
        };
        match wanted {
            Some(wanted) if !is_host(cidr, wanted) => {
                let why = format!("{wanted} is not an address that a host can have in {cidr}.");
                Err(Refusal::bad("InvalidIpAddress.NotInNatIpCidr", why))
            }
            Some(wanted) if used(&wanted) => {
                let why = format!("{wanted} is in use.");
                Err(Refusal::bad("InvalidIpAddress.AlreadyUsed", why))
            }
            Some(wanted) => Ok(wanted),
            None => cidr.hosts().find(|it| !used(it)).ok_or_else(|| {
                let why = format!("{cidr} has no free address.");
                Refusal::bad("OperationFailed.NatIpNotEnough", why)
            }),
        }
    }
}

impl Cloud {
    /// A NAT gateway that has NAT IPs.
    ///
    /// # Errors
    /// `InvalidNatGatewayId.NotFound`, or that it is one for the Internet.
    pub fn vpc_nat_gateway(&self, id: &str) -> Result<&NatGateway> {
        let gateway = self.nat_gateway(id)?;
        if gateway.intranet {
            return Ok(gateway);
        }
        let why =
            format!("{id} is a NAT gateway for the Internet: only VPC NAT gateways have NAT IPs.");
        Err(Refusal::bad("OperationUnsupported.NetworkType", why))
    }

    /// A NAT IP.
    ///
    /// # Errors
    /// `ResourceNotFound.NatIp`.
    pub fn nat_ip(&self, id: &str) -> Result<&NatIp> {
        found(&self.nat_ips, id, "NAT IP", "ResourceNotFound.NatIp")
    }

    /// A block of NAT IPs of a gateway.
    ///
    /// # Errors
    /// `ResourceNotFound.NatIpCidr`.
    pub fn nat_ip_cidr(&self, gateway: &str, cidr: Ipv4Net) -> Result<&NatIpCidr> {
        self.vpc_nat_gateway(gateway)?;
        let missing = || {
            let why = format!("The NAT gateway {gateway} has no block {cidr} of NAT IPs.");
            Refusal::not_found("ResourceNotFound.NatIpCidr", why)
        };
        let mut cidrs = self.nat_ip_cidrs_of(gateway);
        cidrs.find(|it| it.cidr == cidr).ok_or_else(missing)
    }

    /// The NAT IPs of a gateway.
    pub fn nat_ips_of(&self, gateway: &str) -> impl Iterator<Item = &NatIp> {
        self.nat_ips.iter().filter(move |it| it.gateway == gateway)
    }

    /// The blocks of NAT IPs of a gateway.
    pub fn nat_ip_cidrs_of(&self, gateway: &str) -> impl Iterator<Item = &NatIpCidr> {
        let cidrs = self.nat_ip_cidrs.iter();
        cidrs.filter(move |it| it.gateway == gateway)
    }
}

/// Whether a host can have an address in a block: of a prefix of 31 bits or more all are hosts (RFC 3021).
fn is_host(block: Ipv4Net, address: Ipv4Addr) -> bool {
    let edge = address == block.network() || address == block.broadcast();
    block.contains(&address) && (!edge || block.prefix_len() >= 31)
}
