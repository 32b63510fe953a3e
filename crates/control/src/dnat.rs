//! DNAT entries; the API calls them forward entries.

use crate::cloud::{Cloud, found};
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use model::{DnatMapping, Id};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// A DNAT entry to be made.
#[derive(Clone, Debug)]
pub struct NewDnatEntry {
    /// Name.
    pub meta: Meta,
    /// The DNAT table that it goes into.
    pub table: Id,
    /// The address of the EIP.
    pub external: Ipv4Addr,
    /// Where to.
    pub internal: Ipv4Addr,
    /// What is mapped.
    pub mapping: DnatMapping,
    /// The protocol as its maker wrote it.
    pub protocol: String,
}

/// What is to be another of a DNAT entry; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct DnatChange {
    /// Its name.
    pub name: Option<String>,
    /// The address of the EIP.
    pub external: Option<Ipv4Addr>,
    /// Where to.
    pub internal: Option<Ipv4Addr>,
    /// What is mapped, and the protocol as it was written.
    pub mapping: Option<(DnatMapping, String)>,
}

impl Draft {
    /// Makes a DNAT entry.
    ///
    /// # Errors
    /// If the table does not exist or is full, if what comes in would not meet the gateway's firewall, or the entry
    /// cannot be beside the others.
    pub fn create_dnat_entry(&mut self, new: NewDnatEntry) -> Result<DnatEntry> {
        let gateway = self.gateway_of_forward_table(&new.table)?;
        self.not_around_firewall(gateway)?;
        let used = self.dnat_of_gateway(&gateway.id).count();
        let whose = format!("The NAT gateway {} has", gateway.id);
        self.room_for(Quota::ForwardEntries, &whose, used)?;
        let entry = DnatEntry {
            id: self.new_id("fwd")?,
            meta: new.meta,
            gateway: gateway.id.clone(),
            eip: self.dnat_eip(gateway, new.external)?,
            internal: new.internal,
            mapping: new.mapping,
            protocol: new.protocol,
        };
        self.check_dnat(&entry)?;
        self.dnat.put(entry.clone());
        Ok(entry)
    }

    /// Changes a DNAT entry in place.
    ///
    /// # Errors
    /// If it does not exist, or what it becomes cannot be beside the others.
    pub fn modify_dnat_entry(&mut self, table: &str, id: &str, change: DnatChange) -> Result<()> {
        let gateway = self.gateway_of_forward_table(table)?;
        let mut entry = self.dnat_entry(table, id)?.clone();
        if let Some(external) = change.external {
            entry.eip = self.dnat_eip(gateway, external)?;
        }
        entry.internal = change.internal.unwrap_or(entry.internal);
        if let Some((mapping, protocol)) = change.mapping {
            entry.mapping = mapping;
            entry.protocol = protocol;
        }
        entry.meta.name = change.name.unwrap_or(entry.meta.name);
        self.check_dnat(&entry)?;
        self.dnat.put(entry);
        Ok(())
    }

    /// Deletes a DNAT entry.
    ///
    /// # Errors
    /// If the table has none with this identifier.
    pub fn delete_dnat_entry(&mut self, table: &str, id: &str) -> Result<()> {
        self.dnat_entry(table, id)?;
        self.dnat.remove(id);
        Ok(())
    }

    fn dnat_eip(&self, gateway: &NatGateway, external: Ipv4Addr) -> Result<Id> {
        let eip = self.outer_id(gateway, external, "InvalidIp.NotInNatgw")?;
        Ok(eip.clone())
    }

    /// Whether an entry can be beside the others.
    fn check_dnat(&self, entry: &DnatEntry) -> Result<()> {
        let gateway = self.nat_gateway(&entry.gateway)?;
        self.check_ports(&entry.mapping)?;
        self.check_internal(gateway, entry)?;
        let any = entry.mapping == DnatMapping::Any;
        if any || !gateway.enhanced {
            let mut snat = self.snat_of_gateway(&gateway.id);
            if let Some(snat) = snat.find(|it| it.uses(&entry.eip)) {
                let what = match any {
                    true => "An IP mapping has its EIP for itself",
                    false => "An EIP of a standard NAT gateway is for SNAT or for DNAT",
                };
                let why = format!("{what}, and the SNAT entry {} uses it.", snat.id);
                return Err(Refusal::bad("Forbidden.ExternalIp.UsedInSnatTable", why));
            }
        }
        let others = self.dnat_of_gateway(&gateway.id);
        for other in others.filter(|it| it.id != entry.id) {
            let (a, b) = (&entry.mapping, &other.mapping);
            let taken = |code, what: &str| {
                let why = format!("{what} taken by the DNAT entry {}.", other.id);
                Err(Refusal::bad(code, why))
            };
            if entry.eip == other.eip && clash(a, b, DnatMapping::external_ports, true) {
                return taken("Forbidden.ExternalPort.Duplicated", "The external port is");
            }
            if entry.internal == other.internal && clash(a, b, DnatMapping::internal_ports, false) {
                return taken("Forbidden.InternalPort.Duplicated", "The internal port is");
            }
        }
        Ok(())
    }

    fn check_ports(&self, mapping: &DnatMapping) -> Result<()> {
        let DnatMapping::Ports { external, .. } = mapping else {
            return Ok(());
        };
        if *external.start() == 0 || external.is_empty() {
            let why = "External ports are 1 to 65535.";
            return Err(Refusal::bad("InvalidExternalPort.Malformed", why));
        }
        match mapping.internal_ports() {
            Some(internal) if *internal.start() > 0 => Ok(()),
            _ => {
                let why = "Internal ports are 1 to 65535, as many as external ones.";
                Err(Refusal::bad("InvalidInternalPort.Malformed", why))
            }
        }
    }

    /// The internal address is in reach and not the external one. For the Internet it has no EIP of its own, which
    /// would go before the entry.
    fn check_internal(&self, gateway: &NatGateway, entry: &DnatEntry) -> Result<()> {
        let internal = entry.internal;
        if self.outer_address(gateway, &entry.eip) == Some(internal) {
            let why = format!("{internal} is the external address.");
            return Err(Refusal::bad("InvalidInternalIp.Malformed", why));
        }
        let vpcs = self.reach(&gateway.vpc);
        let mut blocks = vpcs.iter().filter_map(|id| self.vpcs.get(id));
        if !blocks.any(|vpc| vpc.cidrs.iter().any(|it| it.contains(&internal))) {
            let why = format!(
                "{internal} lies neither in the VPC {} nor in one that is peered with it.",
                gateway.vpc
            );
            return Err(Refusal::bad("Forbidden.InternalIpOutOfVpcCIDR", why));
        }
        let eni = self.enis.find(|eni| {
            let vswitch = self.vswitches.get(&eni.vswitch);
            eni.has_address(internal) && vswitch.is_some_and(|it| vpcs.contains(&&it.vpc))
        });
        if let Some(eni) = eni.filter(|_| !gateway.intranet)
            && let Some(eip) = self.eip_of_eni(eni)
        {
            let why = format!(
                "{internal} is an address of {}, which has the EIP {} of its own: unbind that first.",
                eni.id, eip.id
            );
            return Err(Refusal::bad("Forbindden", why));
        }
        Ok(())
    }
}

/// Whether two mappings have a port in common on one side. An IP mapping has all ports there; whether that is
/// in the way of port mappings, `whole` says.
fn clash(
    a: &DnatMapping,
    b: &DnatMapping,
    side: fn(&DnatMapping) -> Option<RangeInclusive<u16>>,
    whole: bool,
) -> bool {
    let (
        DnatMapping::Ports { protocol: one, .. },
        DnatMapping::Ports {
            protocol: other, ..
        },
    ) = (a, b)
    else {
        return whole || a == b;
    };
    let (Some(x), Some(y)) = (side(a), side(b)) else {
        return false;
    };
    one == other && x.start() <= y.end() && y.start() <= x.end()
}

impl Cloud {
    /// The gateway that a DNAT table belongs to.
    ///
    /// # Errors
    /// `InvalidForwardTableId.NotFound`.
    pub fn gateway_of_forward_table(&self, table: &str) -> Result<&NatGateway> {
        let missing = || {
            let why = format!("There is no DNAT table {table:?}.");
            Refusal::not_found("InvalidForwardTableId.NotFound", why)
        };
        let gateway = self.nat_gateways.find(|it| it.forward_table == table);
        gateway.ok_or_else(missing)
    }

    /// An entry of a DNAT table.
    ///
    /// # Errors
    /// `InvalidForwardTableId.NotFound` or `InvalidForwardEntryId.NotFound`.
    pub fn dnat_entry(&self, table: &str, id: &str) -> Result<&DnatEntry> {
        let gateway = self.gateway_of_forward_table(table)?;
        let code = "InvalidForwardEntryId.NotFound";
        let entry = found(&self.dnat, id, "DNAT entry", code)?;
        if entry.gateway == gateway.id {
            return Ok(entry);
        }
        let why = format!("The DNAT entry {id} is not in the table {table}.");
        Err(Refusal::not_found(code, why))
    }

    /// The DNAT entries of a gateway.
    pub fn dnat_of_gateway(&self, gateway: &str) -> impl Iterator<Item = &DnatEntry> {
        self.dnat.iter().filter(move |it| it.gateway == gateway)
    }
}
