//! SNAT entries.

use crate::cloud::{Cloud, found};
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use crate::vpc::overlap;
use ipnet::Ipv4Net;
use model::{DnatMapping, Id, Pooling};
use std::net::Ipv4Addr;
use std::time::Duration;

/// An SNAT entry to be made.
#[derive(Clone, Debug)]
pub struct NewSnatEntry {
    /// Name.
    pub meta: Meta,
    /// The SNAT table that it goes into.
    pub table: Id,
    /// Whose traffic it is for.
    pub source: SnatSource,
    /// The addresses of its EIPs.
    pub addresses: Vec<Ipv4Addr>,
    /// How it picks among them.
    pub pooling: Pooling,
}

/// What is to be another of an SNAT entry; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct SnatChange {
    /// Its name.
    pub name: Option<String>,
    /// Whose traffic it is for.
    pub source: Option<SnatSource>,
    /// The addresses of its EIPs.
    pub addresses: Option<Vec<Ipv4Addr>>,
    /// How it picks among them.
    pub pooling: Option<Pooling>,
    /// How long sessions go on that it does not cover any more, in place of what its gateway says. Those that drain
    /// already go on no longer than that, either.
    pub drain: Option<Duration>,
}

impl Draft {
    /// Makes an SNAT entry.
    ///
    /// # Errors
    /// If the table does not exist or is full, or the entry cannot be beside the others.
    pub fn create_snat_entry(&mut self, new: NewSnatEntry) -> Result<SnatEntry> {
        let gateway = self.gateway_of_snat_table(&new.table)?;
        let used = self.snat_of_gateway(&gateway.id).count();
        let whose = format!("The NAT gateway {} has", gateway.id);
        self.room_for(Quota::SnatEntries, &whose, used)?;
        let entry = SnatEntry {
            id: self.new_id("snat")?,
            meta: new.meta,
            gateway: gateway.id.clone(),
            source: new.source,
            eips: self.snat_eips(gateway, &new.addresses)?,
            pooling: new.pooling,
            drains: Vec::new(),
        };
        self.check_snat(&entry)?;
        self.snat.put(entry.clone());
        Ok(entry)
    }

    /// Changes an SNAT entry in place. Sessions that the changed entry would also have made stay; others
    /// drain.
    ///
    /// # Errors
    /// If it does not exist, or what it becomes cannot be beside the others.
    pub fn modify_snat_entry(&mut self, table: &str, id: &str, change: SnatChange) -> Result<()> {
        let gateway = self.gateway_of_snat_table(table)?;
        self.not_shown(gateway, id)?;
        let before = self.snat_entry(table, id)?;
        let mut entry = before.clone();
        if let Some(addresses) = &change.addresses {
            entry.eips = self.snat_eips(gateway, addresses)?;
        }
        entry.source = change.source.unwrap_or(entry.source);
        entry.pooling = change.pooling.unwrap_or(entry.pooling);
        entry.meta.name = change.name.unwrap_or(entry.meta.name);
        self.check_snat(&entry)?;
        let time = change.drain.unwrap_or(gateway.nat.drain);
        entry.drains = self.drains(before, &entry, time, change.drain);
        self.snat.put(entry);
        Ok(())
    }

    /// Deletes an SNAT entry.
    ///
    /// # Errors
    /// If the table has none with this identifier.
    pub fn delete_snat_entry(&mut self, table: &str, id: &str) -> Result<()> {
        self.not_shown(self.gateway_of_snat_table(table)?, id)?;
        self.snat_entry(table, id)?;
        self.snat.remove(id);
        Ok(())
    }

    /// The EIPs of a gateway, or NAT IPs of a VPC NAT gateway, with these addresses.
    fn snat_eips(&self, gateway: &NatGateway, addresses: &[Ipv4Addr]) -> Result<Vec<Id>> {
        let mut eips: Vec<Id> = Vec::new();
        for address in addresses {
            let eip = self.outer_id(gateway, *address, "EIP_NOT_IN_GATEWAY")?;
            if eips.contains(eip) {
                let why = format!("{address} is given twice.");
                return Err(Refusal::bad("InvalidSnatIp.Duplicated", why));
            }
            eips.push(eip.clone());
        }
        let bounds = model::limits::SNAT_EIPS;
        if !bounds.contains(&eips.len()) {
            let why = format!(
                "{} addresses are given: {} to {} are allowed.",
                eips.len(),
                bounds.start(),
                bounds.end()
            );
            return Err(Refusal::bad("SNAT_IP_POOL_COUNT_TOO_MANY", why));
        }
        Ok(eips)
    }

    /// Whether an entry can be beside the others.
    fn check_snat(&self, entry: &SnatEntry) -> Result<()> {
        let gateway = self.nat_gateway(&entry.gateway)?;
        let block = self.check_source(gateway, &entry.source)?;
        let mut others = self.snat_of_gateway(&gateway.id);
        if let Some(other) =
            others.find(|it| it.id != entry.id && self.source_block(&it.source) == Some(block))
        {
            let why = format!("The SNAT entry {} is for {block}, too.", other.id);
            let code = match entry.source {
                SnatSource::VSwitch(_) => "Forbidden.SourceVSwitchId.Duplicated",
                SnatSource::Cidr(_) => "OperationUnsupported.CidrConflict",
            };
            return Err(Refusal::bad(code, why));
        }
        for dnat in self.dnat_of_gateway(&gateway.id) {
            let alone = dnat.mapping == DnatMapping::Any || !gateway.enhanced;
            if alone && entry.eips.contains(&dnat.eip) {
                let what = match dnat.mapping {
                    DnatMapping::Any => "An IP mapping has its EIP for itself",
                    _ => "An EIP of a standard NAT gateway is for SNAT or for DNAT",
                };
                let why = format!("{what}, and the DNAT entry {} uses {}.", dnat.id, dnat.eip);
                return Err(Refusal::bad("Forbidden.IpUsedInForwardTable", why));
            }
        }
        Ok(())
    }

    /// A source is in reach of its gateway's VPC; its block.
    fn check_source(&self, gateway: &NatGateway, source: &SnatSource) -> Result<Ipv4Net> {
        match source {
            SnatSource::VSwitch(id) => {
                let vswitch = self.vswitch(id)?;
                if vswitch.vpc == gateway.vpc {
                    return Ok(vswitch.cidr);
                }
                let why = format!("The vSwitch is of {}, not of {}.", vswitch.vpc, gateway.vpc);
                Err(Refusal::bad("InvalidVSwitchId.NotInSameVpc", why))
            }
            SnatSource::Cidr(cidr) => {
                let vpcs = self.reach(&gateway.vpc);
                let in_vpc = vpcs.iter().filter_map(|id| self.vpcs.get(id)).any(|vpc| {
                    let mut blocks = vpc.cidrs.iter().chain(&vpc.user_cidrs);
                    blocks.any(|it| overlap(*it, *cidr))
                });
                // Networks behind an interface: a LAN, a router's networks.
                let behind = || {
                    self.enis.find(|eni| {
                        let vswitch = self.vswitches.get(&eni.vswitch);
                        vswitch.is_some_and(|it| vpcs.contains(&&it.vpc))
                            && eni.hosts.iter().any(|it| overlap(*it, *cidr))
                    })
                };
                if in_vpc || behind().is_some() {
                    return Ok(*cidr);
                }
                let why = format!("{cidr} has no address of the VPC {} in it.", gateway.vpc);
                Err(Refusal::bad("InvalidSourceCIDR.NotInVpc", why))
            }
        }
    }
}

impl Cloud {
    /// The gateway that an SNAT table belongs to.
    ///
    /// # Errors
    /// `InvalidSnatTableId.NotFound`.
    pub fn gateway_of_snat_table(&self, table: &str) -> Result<&NatGateway> {
        let missing = || {
            let why = format!("There is no SNAT table {table:?}.");
            Refusal::not_found("InvalidSnatTableId.NotFound", why)
        };
        let gateway = self.nat_gateways.find(|it| it.snat_table == table);
        gateway.ok_or_else(missing)
    }

    /// An entry of an SNAT table.
    ///
    /// # Errors
    /// `InvalidSnatTableId.NotFound` or `InvalidSnatEntryId.NotFound`.
    pub fn snat_entry(&self, table: &str, id: &str) -> Result<&SnatEntry> {
        let gateway = self.gateway_of_snat_table(table)?;
        let code = "InvalidSnatEntryId.NotFound";
        let entry = found(&self.snat, id, "SNAT entry", code)?;
        if entry.gateway == gateway.id {
            return Ok(entry);
        }
        let why = format!("The SNAT entry {id} is not in the table {table}.");
        Err(Refusal::not_found(code, why))
    }

    /// The SNAT entries of a gateway.
    pub fn snat_of_gateway(&self, gateway: &str) -> impl Iterator<Item = &SnatEntry> {
        self.snat.iter().filter(move |it| it.gateway == gateway)
    }

    /// The addresses that a source stands for.
    pub fn source_block(&self, source: &SnatSource) -> Option<Ipv4Net> {
        match source {
            SnatSource::Cidr(cidr) => Some(*cidr),
            SnatSource::VSwitch(id) => Some(self.vswitches.get(id)?.cidr),
        }
    }
}

impl SnatEntry {
    /// Whether it goes out by an EIP.
    pub fn uses(&self, eip: &str) -> bool {
        self.eips.iter().any(|it| it == eip)
    }
}
