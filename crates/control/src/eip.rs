//! EIPs: where their addresses come from and what they are bound to.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use model::Id;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// How traffic is charged; here it only bounds the bandwidth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChargeType {
    /// By what could flow.
    #[default]
    Bandwidth,
    /// By what has flowed.
    Traffic,
}

impl ChargeType {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            ChargeType::Bandwidth => "PayByBandwidth",
            ChargeType::Traffic => "PayByTraffic",
        }
    }

    /// The bandwidths that an EIP may have with it, in Mbit/s.
    pub fn bounds(self) -> RangeInclusive<u32> {
        match self {
            ChargeType::Bandwidth => 1..=500,
            ChargeType::Traffic => 1..=200,
        }
    }

    fn of(eip: &Eip) -> ChargeType {
        match &*eip.internet_charge_type {
            "PayByTraffic" => ChargeType::Traffic,
            _ => ChargeType::Bandwidth,
        }
    }
}

/// An EIP to be allocated.
#[derive(Clone, Debug)]
pub struct NewEip {
    /// Name, tags and the like.
    pub meta: Meta,
    /// Its region.
    pub region: String,
    /// Mbit/s each way.
    pub bandwidth: u32,
    /// How its traffic is charged.
    pub charge_type: ChargeType,
    /// The wanted address; `None`: the lowest free one.
    pub address: Option<Ipv4Addr>,
    /// The uplink whose pool it shall come from; `None`: any.
    pub pool: Option<Id>,
}

/// What the entries of NAT gateways use an EIP for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// An SNAT entry goes out by it.
    pub snat: bool,
    /// A DNAT entry comes in by it.
    pub dnat: bool,
    /// An IP mapping has it for itself.
    pub whole: bool,
}

impl Draft {
    /// Allocates an EIP.
    ///
    /// # Errors
    /// If the bandwidth is out of bounds, there are too many, or no address can be had.
    pub fn allocate_eip(&mut self, new: NewEip) -> Result<Eip> {
        check_bandwidth(new.bandwidth, new.charge_type)?;
        self.room_for(Quota::Eips, "There are", self.eips.len())?;
        let (address, uplink) = self.pick_eip_address(new.address, new.pool.as_deref())?;
        let eip = Eip {
            id: self.new_id("eip")?,
            meta: new.meta,
            region: new.region,
            address,
            uplink,
            of_pool: new.pool.is_some(),
            bandwidth: Some(new.bandwidth),
            internet_charge_type: new.charge_type.name().into(),
            binding: None,
            address_named: false,
            package: None,
            package_bandwidth: None,
            protected: self.protects_new_eips(self.now),
            protected_of_file: false,
            deletion_protection: false,
        };
        self.eips.put(eip.clone());
        Ok(eip)
    }

    /// Sets the bandwidth that an EIP has while it shares no package, in Mbit/s each way.
    ///
    /// # Errors
    /// If it does not exist or the bandwidth is out of bounds.
    pub fn set_eip_bandwidth(&mut self, id: &str, bandwidth: u32) -> Result<()> {
        check_bandwidth(bandwidth, ChargeType::of(self.eip(id)?))?;
        if let Some(eip) = self.eips.get_mut(id) {
            eip.bandwidth = Some(bandwidth);
        }
        Ok(())
    }

    /// Binds an EIP. `private` is the address of the network interface that the caller means.
    ///
    /// # Errors
    /// If it is bound, if the other side does not exist, is elsewhere, or can take no (more) EIP.
    pub fn associate_eip(
        &mut self,
        id: &str,
        target: EipBinding,
        private: Option<Ipv4Addr>,
    ) -> Result<()> {
        let eip = self.eip(id)?;
        if let Some(binding) = &eip.binding {
            let why = format!("The EIP is bound to {}: unbind it first.", binding.id());
            return Err(Refusal::bad("IncorrectEipStatus", why));
        }
        let vpc = match &target {
            EipBinding::Instance(instance) => {
                let eni = &self.instance(instance)?.eni;
                self.check_eni(self.eni(eni)?, private)?
            }
            EipBinding::Eni(eni) => self.check_eni(self.eni(eni)?, private)?,
            EipBinding::NatGateway(gateway) => {
                let NatGateway { vpc, intranet, .. } = self.nat_gateway(gateway)?;
                if *intranet {
                    let why = format!("{gateway} is a VPC NAT gateway: it has NAT IPs, not EIPs.");
                    return Err(Refusal::bad("OperationUnsupported.NetworkType", why));
                }
                let bound = self.eips_of_gateway(gateway).count();
                let whose = format!("The NAT gateway {gateway} has");
                self.room_for(Quota::GatewayEips, &whose, bound)?;
                vpc
            }
        };
        let region = &self.vpc(vpc)?.region;
        if !eip.region.is_empty() && !region.is_empty() && eip.region != *region {
            let why = format!("The EIP is in {}, {} in {region}.", eip.region, target.id());
            return Err(Refusal::bad("InvalidParameter.Mismatch", why));
        }
        if let Some(eip) = self.eips.get_mut(id) {
            eip.binding = Some(target);
            eip.address_named = private.is_some();
        }
        Ok(())
    }

    /// Unbinds an EIP. With `force` the entries of its NAT gateway lose it: an SNAT entry that has no other, and
    /// a DNAT entry, go.
    ///
    /// # Errors
    /// If it is not bound, or entries use it.
    pub fn unassociate_eip(&mut self, id: &str, force: bool) -> Result<()> {
        let eip = self.eip(id)?;
        if eip.binding.is_none() {
            let why = "The EIP is not bound to anything.";
            return Err(Refusal::bad("IncorrectEipStatus", why));
        }
        if !force {
            let used = |code, kind, entry: &Id| {
                let why =
                    format!("The {kind} entry {entry} uses the EIP: delete it, or use Force.");
                Err(Refusal::bad(code, why))
            };
            if let Some(entry) = self.snat.find(|it| it.uses(id)) {
                return used("InvalidIpStatus.HasBeenUsedBySnatTable", "SNAT", &entry.id);
            }
            if let Some(entry) = self.dnat.find(|it| it.eip == id) {
                let code = "InvalidIpStatus.HasBeenUsedByForwardEntry";
                return used(code, "DNAT", &entry.id);
            }
        }
        self.take_from_entries(id);
        if let Some(eip) = self.eips.get_mut(id) {
            eip.binding = None;
        }
        self.let_go_of_drains();
        Ok(())
    }

    /// Takes an EIP from all entries.
    fn take_from_entries(&mut self, eip: &str) {
        let snat = self.snat.iter().filter(|it| it.uses(eip));
        let snat: Vec<Id> = snat.map(|it| it.id.clone()).collect();
        for id in snat {
            let left = self.snat.get_mut(&id).map(|entry| {
                entry.eips.retain(|it| it != eip);
                entry.eips.len()
            });
            if left == Some(0) {
                self.snat.remove(&id);
            }
        }
        let dnat = self.dnat.iter().filter(|it| it.eip == eip);
        let dnat: Vec<Id> = dnat.map(|it| it.id.clone()).collect();
        for id in dnat {
            self.dnat.remove(&id);
        }
    }

    /// Releases an EIP. It leaves its package by that.
    ///
    /// # Errors
    /// If it is bound or protected.
    pub fn release_eip(&mut self, id: &str) -> Result<()> {
        let eip = self.eip(id)?;
        if let Some(binding) = &eip.binding {
            let why = format!("The EIP is bound to {}: unbind it first.", binding.id());
            return Err(Refusal::bad("IncorrectEipStatus", why));
        }
        not_protected(id, eip.deletion_protection)?;
        self.eips.remove(id);
        Ok(())
    }

    /// An interface can take an EIP if it has none and no DNAT entry leads to it; its VPC.
    fn check_eni<'a>(&'a self, eni: &'a Eni, private: Option<Ipv4Addr>) -> Result<&'a Id> {
        if let Some(private) = private
            && private != eni.address
        {
            let why = format!(
                "An EIP is bound to the primary address of {}, which is {}, not to {private}.",
                eni.id, eni.address
            );
            return Err(Refusal::bad("InvalidPrivateIpAddress.NotPrimary", why));
        }
        if let Some(other) = self.eip_of_eni(eni) {
            let why = format!("{} has the EIP {}.", eni.id, other.id);
            return Err(Refusal::bad("InvalidAssociation.Duplicated", why));
        }
        let vpc = &self.vswitch(&eni.vswitch)?.vpc;
        let reaches = |entry: &DnatEntry| {
            let gateway = self.nat_gateways.get(&entry.gateway);
            gateway.is_some_and(|it| !it.intranet && self.reach(&it.vpc).contains(&vpc))
        };
        if let Some(entry) = self
            .dnat
            .find(|it| eni.has_address(it.internal) && reaches(it))
        {
            let why = format!("The DNAT entry {} leads to {}.", entry.id, entry.internal);
            let code = "BIND_INSTANCE_HAVE_PORTMAP_OR_BIND_EIP";
            return Err(Refusal::bad(code, why));
        }
        Ok(vpc)
    }
}

impl Cloud {
    /// The EIP with an address.
    pub fn eip_at(&self, address: Ipv4Addr) -> Option<&Eip> {
        self.eips.find(|it| it.address == address)
    }

    /// The EIP that a network interface has.
    pub fn eip_of_eni(&self, eni: &Eni) -> Option<&Eip> {
        self.eips.find(|it| match &it.binding {
            Some(EipBinding::Eni(id)) => *id == eni.id,
            Some(EipBinding::Instance(id)) => eni.primary && eni.instance.as_ref() == Some(id),
            _ => false,
        })
    }

    /// The EIPs that are bound to a NAT gateway.
    pub fn eips_of_gateway(&self, gateway: &str) -> impl Iterator<Item = &Eip> {
        self.eips.iter().filter(
            move |it| matches!(&it.binding, Some(EipBinding::NatGateway(id)) if id == gateway),
        )
    }

    /// An address of a pool for a new EIP, with its uplink: the wanted one or the lowest free one of the first
    /// pool that has one.
    fn pick_eip_address(
        &self,
        wanted: Option<Ipv4Addr>,
        pool: Option<&str>,
    ) -> Result<(Ipv4Addr, Id)> {
        if let Some(pool) = pool
            && self.uplinks.get(pool).is_none_or(|it| it.pool.is_empty())
        {
            let why = format!("There is no uplink {pool:?} with a pool of addresses.");
            return Err(Refusal::not_found(
                "ResourceNotFound.PublicIpAddressPool",
                why,
            ));
        }
        let mut used: HashSet<Ipv4Addr> = self.eips.iter().map(|it| it.address).collect();
        for uplink in self.uplinks.iter() {
            used.extend(uplink.gateway);
            used.extend(uplink.address.map(|it| it.addr()));
        }
        let free = |uplink: &Uplink, address: &Ipv4Addr| {
            // Of a prefix of 31 bits both are hosts (RFC 3021).
            let edge = uplink
                .address
                .filter(|it| it.prefix_len() < 31)
                .is_some_and(|it| *address == it.network() || *address == it.broadcast());
            !edge && !used.contains(address) && is_unicast(*address)
        };
        let pools = || {
            let uplinks = self.uplinks.iter();
            let uplinks = uplinks.filter(|it| pool.is_none_or(|pool| it.id == pool));
            uplinks.flat_map(|uplink| uplink.pool.iter().map(move |block| (uplink, *block)))
        };
        match wanted {
            Some(wanted) => {
                let mut pools = pools().filter(|(_, block)| block.contains(&wanted));
                let Some((uplink, _)) = pools.next() else {
                    let why = format!("{wanted} does not lie in a pool of an uplink.");
                    let code = match pool {
                        Some(_) => "Mismatch.IpAndPublicIpAddressPool",
                        None => "ResourceNotFound.Ip",
                    };
                    return Err(Refusal::bad(code, why));
                };
                if !free(uplink, &wanted) {
                    let why = format!("{wanted} is in use, or the uplink's own.");
                    return Err(Refusal::bad("Ip.Allocated", why));
                }
                Ok((wanted, uplink.id.clone()))
            }
            None => {
                let mut found = pools().filter_map(|(uplink, block)| {
                    let mut all = u32::from(block.network())..=u32::from(block.broadcast());
                    let address = all.find(|it| free(uplink, &Ipv4Addr::from(*it)))?;
                    Some((Ipv4Addr::from(address), uplink.id.clone()))
                });
                let none = || {
                    let why = match pools().next() {
                        Some(_) => "Every address of the uplinks' pools is in use.",
                        None => "No uplink has a pool of addresses for EIPs: configure one.",
                    };
                    let code = match pool {
                        Some(_) => "ResourceNotEnough.PublicIpAddressPool",
                        None => "OperationFailed.InsufficientEIP",
                    };
                    Refusal::bad(code, why)
                };
                found.next().ok_or_else(none)
            }
        }
    }
}

impl EipBinding {
    /// The identifier of what it is bound to.
    pub fn id(&self) -> &Id {
        match self {
            EipBinding::Instance(id) | EipBinding::Eni(id) | EipBinding::NatGateway(id) => id,
        }
    }
}

impl Eni {
    /// Whether an address is its primary or one of its secondary ones.
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        self.address == address || self.secondary.contains(&address)
    }
}

fn check_bandwidth(bandwidth: u32, charge_type: ChargeType) -> Result<()> {
    let bounds = charge_type.bounds();
    if bounds.contains(&bandwidth) {
        return Ok(());
    }
    let why = format!(
        "The bandwidth of an EIP that is {} is {} to {} Mbit/s, not {bandwidth}.",
        charge_type.name(),
        bounds.start(),
        bounds.end()
    );
    Err(Refusal::bad("InvalidBandwidth.Malformed", why))
}

/// Refuses to delete what is protected.
pub(crate) fn not_protected(id: &str, protected: bool) -> Result<()> {
    if !protected {
        return Ok(());
    }
    let why = format!("{id} is protected: switch its deletion protection off first.");
    Err(Refusal::bad("InvalidOperation.DeletionProtection", why))
}

/// Neither this network, loopback, link-local, multicast nor reserved (RFC 6890, section 2.2.2).
fn is_unicast(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first) && !address.is_loopback() && !address.is_link_local()
}
