//! VPCs and vSwitches.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use ipnet::Ipv4Net;
use model::Id;
use std::net::Ipv4Addr;

/// Blocks that no VPC may have a part of: shared address space of the provider, this network, loopback,
/// link-local, multicast and above.
const FORBIDDEN: [(Ipv4Addr, u8); 6] = [
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The most user blocks of a VPC.
const MAX_USER_CIDRS: usize = 3;

/// Whether two blocks have an address in common.
pub fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// A VPC to be made.
#[derive(Clone, Debug)]
pub struct NewVpc {
    /// Name, tags and the like.
    pub meta: Meta,
    /// Its region.
    pub region: String,
    /// Its primary block.
    pub cidr: Ipv4Net,
    /// Its user blocks.
    pub user_cidrs: Vec<Ipv4Net>,
    /// Whether it is the default VPC of its region.
    pub default: bool,
}

/// A vSwitch to be made.
#[derive(Clone, Debug)]
pub struct NewVSwitch {
    /// Name, tags and the like.
    pub meta: Meta,
    /// Its VPC.
    pub vpc: Id,
    /// Its zone.
    pub zone: String,
    /// Its block.
    pub cidr: Ipv4Net,
    /// Whether it is the default vSwitch of its zone.
    pub default: bool,
}

impl Draft {
    /// Makes a VPC with its router and system route table.
    ///
    /// # Errors
    /// If the block is none that a VPC may have.
    pub fn create_vpc(&mut self, new: NewVpc) -> Result<Vpc> {
        check_vpc_block(new.cidr)?;
        self.room_for(Quota::Vpcs, "There are", self.vpcs.len())?;
        if new.user_cidrs.len() > MAX_USER_CIDRS {
            let why = format!("A VPC has at most {MAX_USER_CIDRS} user blocks.");
            return Err(Refusal::bad("InvalidUserCidr.Malformed", why));
        }
        if new.default
            && let Some(other) = self.vpcs.find(|it| it.default && it.region == new.region)
        {
            let why = format!("The region has a default VPC: {}.", other.id);
            return Err(Refusal::bad("OperationFailed.DefaultVpcExist", why));
        }
        let vpc = Vpc {
            id: self.new_id("vpc")?,
            router: self.new_id("vrt")?,
            router_meta: self.meta("", ""),
            meta: new.meta,
            region: new.region,
            cidrs: vec![new.cidr],
            user_cidrs: new.user_cidrs,
            default: new.default,
        };
        let table = RouteTable {
            id: self.new_id("vtb")?,
            meta: self.meta("", ""),
            vpc: vpc.id.clone(),
            system: true,
        };
        self.route_tables.put(table);
        self.vpcs.put(vpc.clone());
        Ok(vpc)
    }

    /// Adds a secondary block to a VPC.
    ///
    /// # Errors
    /// If the block is none that the VPC may have besides those that it has.
    pub fn add_vpc_cidr(&mut self, id: &str, cidr: Ipv4Net) -> Result<()> {
        check_vpc_block(cidr)?;
        let vpc = self.vpc(id)?;
        if let Some(other) = vpc.cidrs.iter().find(|it| overlap(**it, cidr)) {
            let why = format!("{cidr} overlaps {other}, which the VPC has.");
            return Err(Refusal::bad("InvalidCidrBlock.Overlapped", why));
        }
        let most = *model::limits::VPC_CIDRS.end();
        if vpc.cidrs.len() >= most {
            let why = format!("A VPC has at most {most} blocks.");
            return Err(Refusal::bad("QuotaExceeded.SecondaryCidrBlock", why));
        }
        if let Some(vpc) = self.vpcs.get_mut(id) {
            vpc.cidrs.push(cidr);
        }
        Ok(())
    }

    /// Takes a secondary block from a VPC.
    ///
    /// # Errors
    /// If it is not one of its secondary blocks, or a vSwitch lies in it.
    pub fn remove_vpc_cidr(&mut self, id: &str, cidr: Ipv4Net) -> Result<()> {
        let vpc = self.vpc(id)?;
        if !vpc.cidrs.iter().skip(1).any(|it| *it == cidr) {
            let why = format!("{cidr} is not a secondary block of {id}.");
            return Err(Refusal::not_found("InvalidCidrBlock.NotFound", why));
        }
        if let Some(vswitch) = self
            .vswitches
            .find(|it| it.vpc == id && overlap(it.cidr, cidr))
        {
            let why = format!(
                "The vSwitch {} lies in {cidr}: delete it first.",
                vswitch.id
            );
            return Err(Refusal::bad("DependencyViolation.VSwitch", why));
        }
        let reaches = |entry: &DnatEntry| {
            let gateway = self.nat_gateways.get(&entry.gateway);
            gateway.is_some_and(|it| self.reach(&it.vpc).contains(&&vpc.id))
        };
        if let Some(entry) = self
            .dnat
            .find(|it| cidr.contains(&it.internal) && reaches(it))
        {
            let why = format!("The DNAT entry {} leads into {cidr}.", entry.id);
            return Err(Refusal::bad("DependencyViolation.ForwardEntry", why));
        }
        if let Some(vpc) = self.vpcs.get_mut(id) {
            vpc.cidrs.retain(|it| *it != cidr);
        }
        Ok(())
    }

    /// Deletes a VPC with its system route table. With `force` its security groups go with it.
    ///
    /// # Errors
    /// `DependencyViolation.…` if something else is in it.
    pub fn delete_vpc(&mut self, id: &str, force: bool) -> Result<()> {
        self.vpc(id)?;
        let depends = |kind: &str, other: Option<&Id>| match other {
            Some(other) => Err(Refusal::bad(
                format!("DependencyViolation.{kind}"),
                format!("The VPC {id} cannot be deleted: {other} is in it."),
            )),
            None => Ok(()),
        };
        depends(
            "VSwitch",
            self.vswitches.find(|it| it.vpc == id).map(|it| &it.id),
        )?;
        depends(
            "NatGateway",
            self.nat_gateways.find(|it| it.vpc == id).map(|it| &it.id),
        )?;
        let table = self.route_tables.find(|it| it.vpc == id && !it.system);
        depends("RouteTable", table.map(|it| &it.id))?;
        let peering = self
            .peerings
            .find(|it| it.vpc == id || it.accepting_vpc == id);
        depends("VpcPeer", peering.map(|it| &it.id))?;
        let groups = self.security_groups.iter().filter(|it| it.vpc == id);
        let groups: Vec<Id> = groups.map(|it| it.id.clone()).collect();
        let of_file = |group: &Id| *group == model::SecurityGroup::default_id(id);
        for group in groups {
            if !force && !of_file(&group) {
                depends("SecurityGroup", Some(&group))?;
            }
            self.security_groups.remove(&group);
        }
        let tables = self.route_tables.iter().filter(|it| it.vpc == id);
        let tables: Vec<Id> = tables.map(|it| it.id.clone()).collect();
        for table in tables {
            self.drop_route_table(&table);
        }
        self.vpcs.remove(id);
        Ok(())
    }

    /// Makes a vSwitch.
    ///
    /// # Errors
    /// If the VPC or the zone does not exist, or the block does not fit.
    pub fn create_vswitch(&mut self, new: NewVSwitch) -> Result<VSwitch> {
        let vpc = self.vpc(&new.vpc)?;
        let cidr = new.cidr;
        if !model::limits::VSWITCH_PREFIX.contains(&cidr.prefix_len()) {
            let why = format!("{cidr} is none: a vSwitch's block has a mask from /16 to /29.");
            return Err(Refusal::bad("InvalidCidrBlock.Malformed", why));
        }
        if !vpc.cidrs.iter().any(|it| it.contains(&cidr)) {
            let why = format!("{cidr} does not lie in a block of the VPC {}.", vpc.id);
            return Err(Refusal::bad("InvalidCidrBlock.NotInVpc", why));
        }
        let zones = self.zones(&vpc.region);
        if !zones.contains(&new.zone) {
            let why = format!(
                "There is no zone {:?} here, but {}.",
                new.zone,
                zones.join(", ")
            );
            return Err(Refusal::not_found("InvalidZoneId.NotFound", why));
        }
        if let Some(other) = self
            .vswitches
            .find(|it| it.vpc == new.vpc && overlap(it.cidr, cidr))
        {
            let why = format!(
                "{cidr} overlaps {} of the vSwitch {}.",
                other.cidr, other.id
            );
            return Err(Refusal::bad("InvalidCidrBlock.Overlapped", why));
        }
        if let Some(route) = self
            .routes_of_vpc(&new.vpc)
            .find(|it| it.destination == cidr)
        {
            let why = format!("{cidr} is the destination of the route entry {}.", route.id);
            return Err(Refusal::bad("InvalidCidrBlock.ConflictsWithRoute", why));
        }
        let used = self.vswitches.iter().filter(|it| it.vpc == new.vpc).count();
        self.room_for(Quota::VSwitches, &format!("The VPC {} has", new.vpc), used)?;
        let Some(table) = self.system_table(&new.vpc) else {
            return Err(Refusal::internal(format!(
                "{} has no system route table.",
                new.vpc
            )));
        };
        let vswitch = VSwitch {
            id: self.new_id("vsw")?,
            meta: new.meta,
            vpc: new.vpc,
            zone: new.zone,
            cidr,
            route_table: table.id.clone(),
            default: new.default,
        };
        self.vswitches.put(vswitch.clone());
        Ok(vswitch)
    }

    /// Deletes a vSwitch.
    ///
    /// # Errors
    /// `DependencyViolation.…` if something is in it.
    pub fn delete_vswitch(&mut self, id: &str) -> Result<()> {
        self.vswitch(id)?;
        self.not_diversion(id)?;
        let depends = |kind: &str, other: Option<&Id>| match other {
            Some(other) => Err(Refusal::bad(
                format!("DependencyViolation.{kind}"),
                format!("The vSwitch {id} cannot be deleted: {other} depends on it."),
            )),
            None => Ok(()),
        };
        let eni = self.enis.find(|it| it.vswitch == id);
        depends("NetworkInterface", eni.map(|it| &it.id))?;
        let gateway = self
            .nat_gateways
            .find(|it| it.vswitch.as_deref() == Some(id));
        depends("NatGateway", gateway.map(|it| &it.id))?;
        let source = SnatSource::VSwitch(id.into());
        let entry = self.snat.find(|it| it.source == source);
        depends("SnatEntry", entry.map(|it| &it.id))?;
        self.vswitches.remove(id);
        Ok(())
    }
}

impl Cloud {
    /// The zones of a region; of a VPC of a file, which has none, those of the first.
    pub fn zones(&self, region: &str) -> Vec<String> {
        let regions = self.regions();
        let named = regions.iter().find(|it| it.id == region);
        named
            .or(regions.first())
            .map(|it| it.zones.clone())
            .unwrap_or_default()
    }

    /// The zone of a vSwitch; one of a file has none and is in the first.
    pub fn zone_of(&self, vswitch: &VSwitch) -> String {
        if !vswitch.zone.is_empty() {
            return vswitch.zone.clone();
        }
        let region = self.vpcs.get(&vswitch.vpc).map(|it| &*it.region);
        let zones = self.zones(region.unwrap_or_default());
        zones.into_iter().next().unwrap_or_default()
    }

    /// All custom routes of a VPC's tables.
    pub fn routes_of_vpc(&self, vpc: &str) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| {
            let table = self.route_tables.get(&route.table);
            table.is_some_and(|table| table.vpc == vpc)
        })
    }

    /// The addresses of a vSwitch that are in use.
    pub fn used_addresses(&self, vswitch: &VSwitch) -> impl Iterator<Item = Ipv4Addr> {
        let (vswitch, block) = (&vswitch.id, vswitch.cidr);
        let enis = self.enis.iter().filter(move |it| it.vswitch == *vswitch);
        let enis =
            enis.flat_map(|it| std::iter::once(it.address).chain(it.secondary.iter().copied()));
        let gateways = self.nat_gateways.iter();
        let gateways = gateways.filter(move |it| it.vswitch.as_ref() == Some(vswitch));
        // The default NAT IP is the gateway's private address.
        let nat_ips = self.nat_ips.iter().filter(move |it| {
            let gateway = self.nat_gateways.get(&it.gateway);
            let here = gateway.is_some_and(|it| it.vswitch.as_ref() == Some(vswitch));
            here && !it.default && block.contains(&it.address)
        });
        let firewall = self.firewall_of_vswitch(vswitch);
        let firewall = firewall.map(|it| self.shown_addresses(it));
        enis.chain(gateways.filter_map(|it| it.private_address))
            .chain(nat_ips.map(|it| it.address))
            .chain(firewall.unwrap_or_default())
    }

    /// How many addresses of a vSwitch are free: those that are neither reserved nor in use.
    pub fn free_addresses(&self, vswitch: &VSwitch) -> u32 {
        let size = 1u32 << (32 - u32::from(vswitch.cidr.prefix_len()));
        let used = self.used_addresses(vswitch).count();
        size.saturating_sub(RESERVED).saturating_sub(used as u32)
    }

    /// An address of a vSwitch: the one that is wanted, or the lowest free one.
    ///
    /// # Errors
    /// If the wanted one does not lie in the block, is reserved or in use; or if none is free.
    pub fn pick_address(&self, vswitch: &VSwitch, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr> {
        self.not_diversion(&vswitch.id)?;
        let block = model::VSwitch {
            id: vswitch.id.clone(),
            vpc: vswitch.vpc.clone(),
            cidr: vswitch.cidr,
            route_table: None,
        };
        let used: std::collections::HashSet<Ipv4Addr> = self.used_addresses(vswitch).collect();
        // Networks behind an interface are in use, too, whoever has an address there.
        let behind = self.enis.iter().filter(|it| it.vswitch == vswitch.id);
        let behind: Vec<Ipv4Net> = behind.flat_map(|it| it.hosts.iter().copied()).collect();
        let used = |it: &Ipv4Addr| used.contains(it) || behind.iter().any(|net| net.contains(it));
        let Some(wanted) = wanted else {
            let free = vswitch
                .cidr
                .hosts()
                .find(|it| !block.is_reserved(*it) && !used(it));
            let none = || {
                let why = format!("The vSwitch {} has no free address.", vswitch.id);
                Refusal::bad("InvalidVSwitchId.IpNotEnough", why)
            };
            return free.ok_or_else(none);
        };
        let wrong = |code: &'static str, why: String| Err(Refusal::bad(code, why));
        if !vswitch.cidr.contains(&wanted) {
            let why = format!(
                "{wanted} does not lie in {} of the vSwitch {}.",
                vswitch.cidr, vswitch.id
            );
            return wrong("InvalidIpAddress.NotInVSwitch", why);
        }
        if block.is_reserved(wanted) {
            let why = format!(
                "{wanted} is reserved: the first and the last three addresses of a block are."
            );
            return wrong("InvalidIpAddress.Reserved", why);
        }
        if used(&wanted) {
            return wrong(
                "InvalidIpAddress.AlreadyUsed",
                format!("{wanted} is in use."),
            );
        }
        Ok(wanted)
    }
}

/// The first and the last three addresses of a vSwitch.
const RESERVED: u32 = 4;

fn check_vpc_block(cidr: Ipv4Net) -> Result<()> {
    let wrong = |why: String| Err(Refusal::bad("InvalidCidrBlock.Malformed", why));
    if !model::limits::VPC_PREFIX.contains(&cidr.prefix_len()) {
        let bounds = model::limits::VPC_PREFIX;
        return wrong(format!(
            "{cidr} is none: a VPC's block has a mask from /{} to /{}.",
            bounds.start(),
            bounds.end()
        ));
    }
    for (address, prefix) in FORBIDDEN {
        let forbidden = Ipv4Net::new_assert(address, prefix);
        if overlap(forbidden, cidr) {
            return wrong(format!(
                "{cidr} overlaps {forbidden}, which no VPC may use."
            ));
        }
    }
    Ok(())
}
