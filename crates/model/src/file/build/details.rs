//! What a table says besides what the engine is told: names, tags and the like.

use super::super::schema::{Flag, Tags};
use super::*;
use crate::names;
use crate::problem::Known;
use std::net::Ipv4Addr;

/// What tables of resources have in common.
pub(super) struct Labels<'a> {
    pub name: &'a Text,
    pub description: &'a Text,
    pub tags: &'a Tags,
    pub resource_group: &'a Text,
}

/// The labels of a table that has all of them.
macro_rules! labels {
    ($raw:expr) => {
        $crate::file::build::details::Labels {
            name: &$raw.name,
            description: &$raw.description,
            tags: &$raw.tags,
            resource_group: &$raw.resource_group,
        }
    };
}
/// The labels of a table that has a name, and a description if it is given.
macro_rules! named {
    ($raw:expr) => {
        $crate::file::build::details::Labels {
            name: &$raw.name,
            description: &None,
            tags: &None,
            resource_group: &None,
        }
    };
    ($raw:expr, $description:expr) => {
        $crate::file::build::details::Labels {
            description: $description,
            ..$crate::file::build::details::named!($raw)
        }
    };
}
pub(super) use {labels, named};

/// The most secondary addresses of an interface.
const MAX_SECONDARY: usize = 49;
const CHARGE_TYPES: [&str; 2] = ["PayByBandwidth", "PayByTraffic"];
const LINK_TYPES: [&str; 2] = ["Gold", "Platinum"];
const BIND_MODES: [&str; 2] = ["MULTI_BINDED", "NAT"];

/// The rules of the two kinds of names: networks may be called by one character.
fn short_name(text: &str) -> Result<Id, String> {
    match text {
        "" => Ok(Id::new()),
        text => names::name(text, 1).map(|()| text.into()),
    }
}

fn long_name(text: &str) -> Result<Id, String> {
    match text {
        "" => Ok(Id::new()),
        text => names::name(text, 2).map(|()| text.into()),
    }
}

pub(super) fn description(text: &str) -> Result<String, String> {
    names::description(text).map(|()| text.into())
}

fn host_name(text: &str) -> Result<String, String> {
    names::host_name(text).map(|()| text.into())
}

impl Entry {
    /// A yes or no if there is one.
    fn flag(&self, value: &Flag) -> Option<bool> {
        value.as_ref().map(|it| *it.get_ref())
    }

    /// The name, description, tags and resource group of a table.
    pub(super) fn labels(&mut self, kind: Kind, raw: Labels<'_>) -> Detail {
        // As the API has it.
        let short = matches!(
            kind,
            Kind::Vpc | Kind::VSwitch | Kind::RouteTable | Kind::Eip
        );
        let name = if short { short_name } else { long_name };
        Detail {
            name: self.read("name", raw.name, name),
            description: self.read("description", raw.description, description),
            tags: raw.tags.as_ref().map(|tags| {
                let at = tags.span().start;
                let tags = tags.get_ref();
                for (key, value) in tags {
                    if let Err(why) = names::tag_key(key) {
                        self.fail(at, format!("the tag key {} {why}", quote(key)));
                    }
                    if let Err(why) = names::tag_value(value) {
                        let key = quote(key);
                        self.fail(at, format!("the value of tag {key} {why}"));
                    }
                }
                if let Err(why) = names::tag_count(tags) {
                    self.fail(at, format!("tags: {why}"));
                }
                tags.clone()
            }),
            resource_group: self.read("resource_group", raw.resource_group, any),
            ..Detail::default()
        }
    }

    /// One of several texts if there is one.
    fn one_of(
        &mut self,
        key: &'static str,
        value: &Text,
        words: &[&'static str],
    ) -> Option<String> {
        let text = self.read(key, value, any)?;
        if !words.contains(&&*text) {
            let what = format!("{key} {} is none of {}", quote(&text), words.join(", "));
            self.fail(place(value).unwrap_or(self.start), what);
        }
        Some(text)
    }
}

impl Builder {
    pub(super) fn vpc_detail(&mut self, entry: &mut Entry, raw: &schema::Vpc) -> Detail {
        let user_cidrs = raw.user_cidrs.as_ref();
        Detail {
            region: self.region_of(entry, &raw.region),
            user_cidrs: user_cidrs.and_then(|it| entry.list("user_cidrs", it, block)),
            ..entry.labels(Kind::Vpc, labels!(raw))
        }
    }

    pub(super) fn vswitch_detail(&mut self, entry: &mut Entry, raw: &schema::VSwitch) -> Detail {
        Detail {
            zone: self.zone_of(entry, &raw.zone),
            ..entry.labels(Kind::VSwitch, labels!(raw))
        }
    }

    pub(super) fn instance_detail(&mut self, entry: &mut Entry, raw: &schema::Instance) -> Detail {
        Detail {
            zone: self.zone_of(entry, &raw.zone),
            running: entry.flag(&raw.running),
            host_name: entry.read("host_name", &raw.host_name, host_name),
            image: entry.read("image", &raw.image, any),
            instance_type: entry.read("type", &raw.r#type, any),
            deletion_protection: entry.flag(&raw.deletion_protection),
            ..entry.labels(Kind::Instance, labels!(raw))
        }
    }

    /// What is said of the primary interface of an instance.
    pub(super) fn interface_detail(&mut self, entry: &mut Entry, raw: &schema::Instance) -> Detail {
        let Some(table) = &raw.interface else {
            return Detail::default();
        };
        let name = format!("{}, interface", entry.name);
        let mut inner = Entry::named(name, table.span());
        let detail = inner.labels(Kind::Eni, labels!(table.get_ref()));
        entry.found.append(&mut inner.found);
        detail
    }

    pub(super) fn eni_detail(&mut self, entry: &mut Entry, raw: &schema::Eni) -> Detail {
        Detail {
            delete_with_instance: entry.flag(&raw.delete_with_instance),
            detached: raw.instance.is_none(),
            ..entry.labels(Kind::Eni, labels!(raw))
        }
    }

    /// The secondary addresses of an interface: in the block of its vSwitch.
    pub(super) fn secondary_addresses(
        &self,
        entry: &mut Entry,
        values: &Texts,
        vswitch: Option<&Id>,
    ) -> Vec<Ipv4Addr> {
        let addresses = entry.list_as("hosts", "secondary_addresses", values, address);
        let addresses = addresses.unwrap_or_default();
        if addresses.len() > MAX_SECONDARY {
            let many = addresses.len();
            let what =
                format!("secondary_addresses lists {many}: at most {MAX_SECONDARY} are allowed");
            entry.fail(values[0].span().start, what);
        }
        let mut vswitches = self.config.vswitches.iter();
        if let Some(vswitch) = vswitches.find(|it| Some(&it.id) == vswitch) {
            for (address, value) in addresses.iter().zip(values) {
                if !vswitch.cidr.contains(address) {
                    let what = format!(
                        "{address} is not in the block of vSwitch {} ({})",
                        quote(&vswitch.id),
                        vswitch.cidr
                    );
                    entry.fail(value.span().start, what);
                }
            }
        }
        addresses
    }

    pub(super) fn eip_detail(&mut self, entry: &mut Entry, raw: &schema::Eip) -> Detail {
        Detail {
            region: self.region_of(entry, &raw.region),
            charge_type: entry.one_of("charge_type", &raw.charge_type, &CHARGE_TYPES),
            deletion_protection: entry.flag(&raw.deletion_protection),
            ..entry.labels(Kind::Eip, labels!(raw))
        }
    }

    pub(super) fn package_detail(
        &mut self,
        entry: &mut Entry,
        raw: &schema::BandwidthPackage,
    ) -> Detail {
        Detail {
            region: self.region_of(entry, &raw.region),
            deletion_protection: entry.flag(&raw.deletion_protection),
            ..entry.labels(Kind::BandwidthPackage, labels!(raw))
        }
    }

    /// `network`: what lies outside of the gateway, if that could be read.
    pub(super) fn gateway_detail(
        &mut self,
        entry: &mut Entry,
        raw: &schema::NatGateway,
        network: Option<&Network>,
    ) -> Detail {
        let kind = entry.one_of("type", &raw.r#type, &["enhanced", "standard"]);
        let mut vswitch = None;
        if network == Some(&Network::Internet) {
            vswitch = raw.vswitch.as_ref().map(|it| it.get_ref().clone());
        }
        if let (Some(id), Some(value)) = (&vswitch, &raw.vswitch) {
            let at = value.span().start;
            match self.config.vswitches.iter().find(|it| it.id == *id) {
                None => {
                    let known = Known::new(self.config.vswitches.iter().map(|it| &it.id));
                    self.unknown(entry, Kind::VSwitch, id, known, at);
                }
                Some(it) if raw.vpc.as_ref().is_some_and(|vpc| *vpc.get_ref() != it.vpc) => {
                    let what = format!("vSwitch {} is in VPC {}", quote(id), quote(&it.vpc));
                    entry.fail(at, what);
                }
                Some(_) => {}
            }
        }
        let private_address = entry.read("private_address", &raw.private_address, address);
        if let (Some(private), Some(value)) = (private_address, &raw.private_address) {
            let lies_in = raw.vswitch.as_ref().map(|it| it.get_ref());
            let mut vswitches = self.config.vswitches.iter();
            let found = vswitches.find(|it| Some(&it.id) == lies_in);
            if lies_in.is_none() {
                entry.fail(
                    value.span().start,
                    "private_address needs vswitch = \"VSWITCH\"",
                );
            } else if let Some(it) = found
                && (!it.cidr.contains(&private) || it.is_reserved(private))
            {
                let what = format!(
                    "private_address {private} is not a free one of vSwitch {} ({})",
                    quote(&it.id),
                    it.cidr
                );
                entry.fail(value.span().start, what);
            }
        }
        Detail {
            standard: kind.map(|it| it == "standard"),
            bind_mode: entry.one_of("bind_mode", &raw.bind_mode, &BIND_MODES),
            vswitch,
            private_address,
            deletion_protection: entry.flag(&raw.deletion_protection),
            ..entry.labels(Kind::NatGateway, labels!(raw))
        }
    }

    pub(super) fn peering_detail(&mut self, entry: &mut Entry, raw: &schema::Peering) -> Detail {
        Detail {
            accepted: entry.flag(&raw.accepted),
            accepting_account: entry.number(
                "accepting_account",
                &raw.accepting_account,
                0..=i64::MAX as u64,
            ),
            bandwidth: entry.number("bandwidth", &raw.bandwidth, limits::BANDWIDTH),
            link_type: entry.one_of("link_type", &raw.link_type, &LINK_TYPES),
            deletion_protection: entry.flag(&raw.deletion_protection),
            ..entry.labels(Kind::Peering, labels!(raw))
        }
    }

    pub(super) fn nat_ip_cidr(&mut self, table: &Spanned<schema::NatIpCidr>) {
        let raw = table.get_ref();
        let name = raw.id.as_ref().map(|id| quote(id.get_ref()));
        let name = format!("block for NAT IPs {}", name.unwrap_or_default());
        let mut entry = Entry::named(name.trim_end().into(), table.span());
        let id = entry.need("id", &raw.id, any);
        let gateway = entry.need("nat_gateway", &raw.nat_gateway, any);
        let cidr = entry.need("cidr", &raw.cidr, block);
        let detail = entry.labels(Kind::NatIp, named!(raw, &raw.description));
        if let (Some(gateway), Some(value)) = (&gateway, &raw.nat_gateway) {
            let at = value.span().start;
            match self.config.nat_gateways.iter().find(|it| it.id == *gateway) {
                None => {
                    let known = Known::new(self.config.nat_gateways.iter().map(|it| &it.id));
                    self.unknown(&mut entry, Kind::NatGateway, gateway, known, at);
                }
                Some(it) if it.vswitch().is_none() => {
                    let gateway = quote(gateway);
                    entry.fail(at, format!("NAT gateway {gateway} is no VPC NAT gateway"));
                }
                Some(it) => self.block_for_nat_ips(&mut entry, &it.vpc, cidr, &raw.cidr),
            }
        }
        let others = &self.config.details.nat_ip_cidrs;
        if others.iter().any(|it| Some(&it.id) == id.as_ref()) {
            entry.fail(entry.start, "there is another one with this id");
        }
        let vpc_of = |gateway: &Id| {
            let mut gateways = self.config.nat_gateways.iter();
            gateways.find(|it| it.id == *gateway).map(|it| &it.vpc)
        };
        // NAT IPs are local in the VPC, whichever gateway they are of.
        let vpc = gateway.as_ref().and_then(vpc_of);
        let of_vpc = others.iter().filter(|it| vpc_of(&it.gateway) == vpc);
        let overlaps = |a: &Ipv4Net, b: &Ipv4Net| a.contains(b) || b.contains(a);
        if let (Some(cidr), Some(at)) = (&cidr, place(&raw.cidr))
            && let Some(other) = of_vpc.map(|it| &it.cidr).find(|it| overlaps(it, cidr))
        {
            entry.fail(
                at,
                format!("{cidr} overlaps {other}, another such block of the VPC"),
            );
        }
        let sound = entry.found.is_empty();
        self.found.append(&mut entry.found);
        if let (true, Some(id), Some(gateway), Some(cidr)) = (sound, id, gateway, cidr) {
            self.config.details.nat_ip_cidrs.push(NatIpCidr {
                id,
                gateway,
                cidr,
                detail,
            });
        }
    }

    /// A block for NAT IPs lies outside of the VPC.
    fn block_for_nat_ips(&self, entry: &mut Entry, vpc: &Id, cidr: Option<Ipv4Net>, value: &Text) {
        let (Some(cidr), Some(at)) = (cidr, place(value)) else {
            return;
        };
        if cidr != cidr.trunc() {
            let what = format!(
                "{cidr} has bits set after the prefix: write {}",
                cidr.trunc()
            );
            entry.fail(at, what);
        }
        let mut vpcs = self.config.vpcs.iter();
        let blocks = vpcs.find(|it| it.id == *vpc).map(|it| &it.cidrs);
        let mut blocks = blocks.into_iter().flatten();
        if let Some(block) = blocks.find(|it| it.contains(&cidr) || cidr.contains(*it)) {
            let vpc = quote(vpc);
            let what =
                format!("{cidr} overlaps {block} of VPC {vpc}: NAT IPs of the VPC need none");
            entry.fail(at, what);
        }
    }

    /// A region that there is.
    fn region_of(&self, entry: &mut Entry, value: &Text) -> Option<Id> {
        let id = entry.read("region", value, any)?;
        let regions = self.regions();
        if !id.is_empty() && !regions.iter().any(|it| it.id == id) {
            let known: Vec<&str> = regions.iter().map(|it| &*it.id).collect();
            let what = format!("there is no region {}: {}", quote(&id), known.join(", "));
            entry.fail(place(value).unwrap_or(entry.start), what);
        }
        Some(id)
    }

    /// A zone that there is in any region.
    fn zone_of(&self, entry: &mut Entry, value: &Text) -> Option<Id> {
        let id = entry.read("zone", value, any)?;
        let regions = self.regions();
        let known: Vec<&str> = regions
            .iter()
            .flat_map(|it| it.zones.iter().map(|zone| &**zone))
            .collect();
        if !id.is_empty() && !known.contains(&&*id) {
            let what = format!("there is no zone {}: {}", quote(&id), known.join(", "));
            entry.fail(place(value).unwrap_or(entry.start), what);
        }
        Some(id)
    }

    fn regions(&self) -> std::borrow::Cow<'_, [Region]> {
        match &self.config.regions[..] {
            [] => vec![Region::default()].into(),
            regions => regions.into(),
        }
    }
}
