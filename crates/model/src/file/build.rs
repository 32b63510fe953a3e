//! From what the file says to a checked [`Config`]: what is said once for all tables, and the tables
//! of uplinks and networks. Those of instances are in [`instances`], those of gateways in [`nat`], those of
//! firewalls in [`nat_firewall`] and [`firewall`]. What the engine is not told of is in [`details`].

mod details;
mod firewall;
mod instances;
mod nat;
mod nat_firewall;
mod services;

use self::details::{labels, named};
use self::firewall::Lists;
pub use self::firewall::{FilePolicy, read_policies};
use super::entry::{Entry, Found, address, any, block, place, word};
use super::schema::{self, Number, Text, Texts, Value};
use super::{Error, Line, Lines, MOST};
use crate::text::{protocol_number, quote};
use crate::*;
use hashbrown::{HashMap, HashSet};
use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use toml::Spanned;

/// All of an item.
const fn whole(item: Item) -> Place {
    Place {
        item,
        field: "",
        element: 0,
    }
}

/// Where something stands: the element, else its field, else the table.
fn offset(places: &HashMap<Place, usize>, place: Place) -> usize {
    let field = Place {
        element: 0,
        ..place
    };
    let table = Place { field: "", ..field };
    let mut wanted = [place, field, table].into_iter();
    wanted
        .find_map(|place| places.get(&place).copied())
        .unwrap_or(0)
}

/// Reads the values, fills in what was left out and checks the whole.
pub fn build(file: &schema::File, lines: Lines<'_>) -> Result<Config, Error> {
    let mut builder = Builder::read(file);
    builder.policies(file.policy.as_deref().unwrap_or_default());
    builder.finish(lines)
}

/// The same for a file whose policies were read apart, if nothing is wrong with it.
pub fn build_plain(file: &schema::File, policies: Vec<FilePolicy>) -> Option<Config> {
    let mut builder = Builder::read(file);
    let mut lists = Lists::default();
    for policy in policies {
        lists.add(policy);
    }
    builder.config.firewalls.policies = lists.finish();
    let sound = builder.found.is_empty() && validate::check(&builder.config).is_empty();
    sound.then_some(builder.config)
}

/// A configuration in the making.
#[derive(Default)]
struct Builder {
    config: Config,
    /// Where in the file the fields of the items of `config` stand. Of several the first counts. Nobody looks unless
    /// something is wrong.
    places: Vec<(Place, usize)>,
    /// What counts before those. Of several the last counts.
    stands: Vec<(Place, usize)>,
    /// What was filled in, and beside what in the file it stands.
    beside: Vec<(Item, Item)>,
    /// What is wrong.
    found: Vec<Found>,
    /// What is in the file but could not be read. Instances and ENIs are [`Kind::Eni`].
    broken: HashSet<(Kind, Id)>,
    /// What was filled in, or has an identifier that was made of others.
    made: HashSet<Item>,
    /// VPCs whose system tables shall get no default route.
    undirected: HashSet<Id>,
}

impl Builder {
    /// Everything but policies.
    fn read(file: &schema::File) -> Builder {
        let mut builder = Builder::default();
        // What others look up comes before them.
        if let Some(system) = &file.system {
            builder.system(system);
        }
        builder.quotas(&file.quotas);
        builder.services(file);
        file.region.iter().for_each(|it| builder.region(it));
        file.uplink.iter().for_each(|it| builder.uplink(it));
        file.vpc.iter().for_each(|it| builder.vpc(it));
        file.vswitch.iter().for_each(|it| builder.vswitch(it));
        let groups = &file.security_group;
        groups.iter().for_each(|it| builder.security_group(it));
        file.instance.iter().for_each(|it| builder.instance(it));
        file.eni.iter().for_each(|it| builder.eni(it));
        builder.default_groups();
        let uplinks = &file.uplink;
        file.eip.iter().for_each(|it| builder.eip(it, uplinks));
        let packages = &file.bandwidth_package;
        packages.iter().for_each(|it| builder.bandwidth_package(it));
        file.peering.iter().for_each(|it| builder.peering(it));
        let gateways = &file.nat_gateway;
        gateways.iter().for_each(|it| builder.nat_gateway(it));
        file.nat_ip.iter().for_each(|it| builder.nat_ip(it));
        let blocks = &file.nat_ip_cidr;
        blocks.iter().for_each(|it| builder.nat_ip_cidr(it));
        let tables = &file.route_table;
        tables.iter().for_each(|it| builder.route_table(it));
        builder.system_tables(tables);
        builder.default_routes();
        builder.nat_firewalls(&file.nat_firewall);
        if let Some(license) = &file.firewall_license {
            builder.firewall_license(license);
        }
        builder.firewalls(file);
        builder.inherit_threats();
        builder
    }

    /// Takes over what a table found wrong; whether that was nothing. If not, the resource is left out.
    fn sound(&mut self, entry: &mut Entry, kind: Kind, id: &Text) -> bool {
        let sound = entry.found.is_empty();
        self.found.append(&mut entry.found);
        if let (false, Some(id)) = (sound, id) {
            self.broken.insert((kind, id.get_ref().clone()));
        }
        sound
    }

    /// Writes down where the fields of an item stand.
    fn place(&mut self, item: Item, entry: &Entry) {
        let places = entry.places.iter();
        self.places.extend(places.map(|&(field, element, offset)| {
            let place = Place {
                item,
                field,
                element,
            };
            (place, offset)
        }));
    }

    /// Writes down where something stands, whatever was written down before.
    fn stands(&mut self, place: Place, offset: usize) {
        self.stands.push((place, offset));
    }

    /// Checks the whole, and tells everything that is wrong in the order of the lines.
    fn finish(mut self, lines: Lines<'_>) -> Result<Config, Error> {
        let problems = validate::check(&self.config);
        if problems.is_empty() && self.found.is_empty() {
            return Ok(self.config);
        }
        let places = self.places.iter().rev().chain(&self.stands);
        let mut places: HashMap<Place, usize> = places.copied().collect();
        for &(item, other) in &self.beside {
            let there = offset(&places, whole(other));
            places.insert(whole(item), there);
        }
        for problem in problems {
            // An identifier made of others can only be too long by itself.
            let made = self.made.contains(&problem.place.item);
            let made_badly = made && problem.subject.id.len() <= *limits::ID.end();
            let bad_id = problem.fault == Fault::BadId && made_badly;
            if bad_id || self.is_consequence(&problem.fault) {
                continue;
            }
            let offset = offset(&places, problem.place);
            let line = |item| {
                let there = self::offset(&places, whole(item));
                format!(" (line {})", lines.number(there))
            };
            let other = problem.other.map(line).unwrap_or_default();
            self.found.push((offset, format!("{problem}{other}")));
        }
        if self.found.is_empty() {
            return Ok(self.config);
        }
        self.found.sort();
        self.found.dedup();
        let more = self.found.len().saturating_sub(MOST);
        self.found.truncate(MOST);
        let line = |(offset, message)| Line {
            line: lines.number(offset),
            message,
        };
        Err(Error {
            lines: self.found.into_iter().map(line).collect(),
            more,
        })
    }

    /// Whether a problem may come from something that was left out and has been complained about.
    fn is_consequence(&self, fault: &Fault) -> bool {
        let left_out = |kinds: &[Kind]| self.broken.iter().any(|(kind, _)| kinds.contains(kind));
        match fault {
            Fault::Unknown { kind, id, .. } => {
                let kind = match kind {
                    Kind::Instance => Kind::Eni,
                    kind => *kind,
                };
                self.broken.contains(&(kind, id.clone()))
            }
            Fault::InternalOutside { .. } => left_out(&[Kind::Vpc, Kind::Peering]),
            Fault::SystemTables { .. } => left_out(&[Kind::RouteTable]),
            _ => false,
        }
    }

    fn system(&mut self, table: &Spanned<schema::System>) {
        let raw = table.get_ref();
        let mut entry = Entry::named(Kind::System.to_string(), table.span());
        let default = System::default();
        let bounds = limits::MAX_SESSIONS;
        let system = System {
            name: entry.read("name", &raw.name, any).unwrap_or(default.name),
            hook: entry.read("hook", &raw.hook, word).unwrap_or(default.hook),
            max_sessions: entry
                .number("max_sessions", &raw.max_sessions, bounds)
                .unwrap_or(default.max_sessions),
            ..default
        };
        self.sound(&mut entry, Kind::System, &None);
        self.place(Item::System, &entry);
        self.config.system = system;
    }

    fn uplink(&mut self, table: &Spanned<schema::Uplink>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::Uplink, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let device = entry.need("device", &raw.device, any);
        let mode = entry.read("mode", &raw.mode, word).unwrap_or_default();
        let address_there = entry.read("address", &raw.address, |text| {
            block(text).map_err(|_| {
                let text = quote(text);
                format!("{text} is no address with a prefix length, like 192.0.2.1/24")
            })
        });
        let gateway = entry.read("gateway", &raw.gateway, address);
        let mtu = entry.number("mtu", &raw.mtu, limits::MTU);
        let pool = entry.list("pool", &raw.pool, block);
        let sound = self.sound(&mut entry, Kind::Uplink, &raw.id);
        let (true, Some(id), Some(device), Some(pool)) = (sound, id, device, pool) else {
            return;
        };
        self.place(Item::Uplink(self.config.uplinks.len()), &entry);
        self.config.uplinks.push(Uplink {
            id,
            device,
            mode,
            address: address_there,
            gateway,
            mtu,
            pool,
        });
    }

    fn quotas(&mut self, table: &schema::Quotas) {
        let mut limits = BTreeMap::new();
        let mut fail = |value: &Spanned<Value>, what: String| {
            self.found
                .push((value.span().start, format!("quotas: {what}")));
        };
        if let Some(preset) = table.get("preset") {
            match preset.get_ref() {
                Value::Text(word) if word == "cloud" => limits = Quota::of_the_cloud(),
                Value::Text(word) if word == "default" => {}
                other => fail(
                    preset,
                    format!("preset is \"default\" or \"cloud\", not {other}"),
                ),
            }
        }
        for (name, value) in table.iter().filter(|(name, _)| *name != "preset") {
            if Quota::by_name(name).is_none() {
                let names = Quota::ALL.map(Quota::name).join(", ");
                fail(value, format!("there is no {}, but {names}", quote(name)));
                continue;
            }
            let number = match value.get_ref() {
                Value::Number(number) => u32::try_from(*number).ok(),
                Value::Text(_) => None,
            };
            match number {
                Some(number) => drop(limits.insert(name.clone(), number)),
                None => fail(
                    value,
                    format!(
                        "{name} is a number from 0 to {}, not {}",
                        u32::MAX,
                        value.get_ref()
                    ),
                ),
            }
        }
        let is_default =
            |name: &str, limit| Quota::by_name(name).map(Quota::default_limit) == Some(limit);
        limits.retain(|name, limit| !is_default(name, *limit));
        self.config.system.quotas = limits;
    }

    fn region(&mut self, table: &Spanned<schema::Region>) {
        let raw = table.get_ref();
        let name = raw.id.as_ref().map(|id| quote(id.get_ref()));
        let name = format!("region {}", name.unwrap_or_default());
        let mut entry = Entry::named(name, table.span());
        let id = entry.need("id", &raw.id, any);
        let zones = entry.list("zones", &raw.zones, any).unwrap_or_default();
        if zones.is_empty() {
            entry.fail(
                table.span().start,
                "it has no zones: name at least one, as `zones = [\"a\"]`",
            );
        }
        if self
            .config
            .regions
            .iter()
            .any(|it| Some(&it.id) == id.as_ref())
        {
            entry.fail(table.span().start, "there is another region with this id");
        }
        self.found.append(&mut entry.found);
        self.config
            .regions
            .extend(id.map(|id| Region { id, zones }));
    }

    fn vpc(&mut self, table: &Spanned<schema::Vpc>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::Vpc, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let primary = entry.need("cidr", &raw.cidr, block);
        let secondary = entry.list("secondary_cidrs", &raw.secondary_cidrs, block);
        // In the model they are one list.
        for (n, value) in raw.cidr.iter().chain(&raw.secondary_cidrs).enumerate() {
            entry.mark("cidrs", n, value);
        }
        let count = 1 + raw.secondary_cidrs.len();
        if !limits::VPC_CIDRS.contains(&count) {
            entry.fail(entry.start, Fault::CidrCount { count });
        }
        let detail = self.vpc_detail(&mut entry, raw);
        let sound = self.sound(&mut entry, Kind::Vpc, &raw.id);
        let (true, Some(id), Some(primary), Some(secondary)) = (sound, id, primary, secondary)
        else {
            return;
        };
        self.place(Item::Vpc(self.config.vpcs.len()), &entry);
        let cidrs = std::iter::once(primary).chain(secondary).collect();
        self.config.details.say(Kind::Vpc, &id, detail);
        self.config.vpcs.push(Vpc { id, cidrs });
    }

    fn vswitch(&mut self, table: &Spanned<schema::VSwitch>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::VSwitch, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let vpc = entry.need("vpc", &raw.vpc, any);
        let cidr = entry.need("cidr", &raw.cidr, block);
        let route_table = entry.read("route_table", &raw.route_table, any);
        let detail = self.vswitch_detail(&mut entry, raw);
        let sound = self.sound(&mut entry, Kind::VSwitch, &raw.id);
        let (true, Some(id), Some(vpc), Some(cidr)) = (sound, id, vpc, cidr) else {
            return;
        };
        self.place(Item::VSwitch(self.config.vswitches.len()), &entry);
        self.config.details.say(Kind::VSwitch, &id, detail);
        self.config.vswitches.push(VSwitch {
            id,
            vpc,
            cidr,
            route_table,
        });
    }

    fn route_table(&mut self, table: &Spanned<schema::RouteTable>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::RouteTable, &raw.id, table.span());
        let system = raw.system.as_ref().is_some_and(|system| *system.get_ref());
        let vpc = entry.need("vpc", &raw.vpc, any);
        let id = match (&raw.id, &vpc) {
            (None, Some(vpc)) if system => Some(RouteTable::system_id(vpc)),
            _ => entry.need("id", &raw.id, any),
        };
        raw.system
            .iter()
            .for_each(|value| entry.mark("system", 0, value));
        if let Some(default) = &raw.default_route {
            if !system {
                let what = "default_route is only for the system table";
                entry.fail(default.span().start, what);
            }
            if let (false, Some(vpc)) = (*default.get_ref(), &vpc) {
                self.undirected.insert(vpc.clone());
            }
        }
        let detail = entry.labels(Kind::RouteTable, labels!(raw));
        let sound = self.sound(&mut entry, Kind::RouteTable, &raw.id);
        let (true, Some(id), Some(vpc)) = (sound, id, vpc) else {
            return;
        };
        let n = self.config.route_tables.len();
        self.place(Item::RouteTable(n), &entry);
        self.config.details.say(Kind::RouteTable, &id, detail);
        let mut routes = Vec::with_capacity(raw.route.len());
        for route in &raw.route {
            let mut inner = Entry::named(format!("{}, route", entry.name), route.span());
            let raw = route.get_ref();
            let route = read_route(&mut inner, raw);
            let detail = inner.labels(Kind::RouteTable, named!(raw, &raw.description));
            if let (true, Some(route)) = (self.sound(&mut inner, Kind::RouteTable, &None), route) {
                self.place(Item::Route(n, routes.len()), &inner);
                let details = &mut self.config.details;
                details.say_of_route(&id, route.destination, detail);
                routes.push(route);
            }
        }
        self.config.route_tables.push(RouteTable {
            id,
            vpc,
            system,
            routes,
        });
    }

    /// Gives each VPC that declares no system route table one.
    fn system_tables(&mut self, tables: &[Spanned<schema::RouteTable>]) {
        let is_system = |table: &schema::RouteTable| {
            let system = table.system.as_ref();
            system.is_some_and(|system| *system.get_ref())
        };
        let mut served: HashSet<Id> = tables
            .iter()
            .map(Spanned::get_ref)
            .filter(|table| is_system(table))
            .filter_map(|table| Some(table.vpc.as_ref()?.get_ref().clone()))
            .collect();
        for n in 0..self.config.vpcs.len() {
            let vpc = self.config.vpcs[n].id.clone();
            if !served.insert(vpc.clone()) {
                continue;
            }
            let item = Item::RouteTable(self.config.route_tables.len());
            self.belongs_to(item, Item::Vpc(n));
            self.config.route_tables.push(RouteTable {
                id: RouteTable::system_id(&vpc),
                vpc,
                system: true,
                routes: Vec::new(),
            });
        }
    }

    /// Leads everything else to the first gateway of a VPC that is for the Internet if its system table does not say otherwise.
    fn default_routes(&mut self) {
        let mut served = self.undirected.clone();
        for n in 0..self.config.nat_gateways.len() {
            let gateway = &self.config.nat_gateways[n];
            let NatGateway { id, vpc, .. } = gateway;
            if gateway.vswitch().is_some() || !served.insert(vpc.clone()) {
                continue;
            }
            let mut tables = self.config.route_tables.iter_mut().enumerate();
            let Some((m, table)) = tables.find(|(_, table)| table.system && table.vpc == *vpc)
            else {
                continue;
            };
            let everything = Ipv4Net::default();
            if table.routes.iter().all(|it| it.destination != everything) {
                let item = Item::Route(m, table.routes.len());
                table.routes.push(Route {
                    destination: everything,
                    next_hop: NextHop::NatGateway(id.clone()),
                });
                self.belongs_to(item, Item::NatGateway(n));
            }
        }
    }

    /// Something that was filled in stands where that stands which it was filled in for.
    fn belongs_to(&mut self, item: Item, other: Item) {
        self.beside.push((item, other));
        self.made.insert(item);
    }

    fn peering(&mut self, table: &Spanned<schema::Peering>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::Peering, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let vpcs = entry.list("vpcs", &raw.vpcs, any);
        let vpcs: Option<[Id; 2]> = vpcs.and_then(|vpcs| vpcs.try_into().ok());
        if vpcs.is_none() {
            let count = raw.vpcs.len();
            let what = format!("vpcs lists {count}: a peering connects two VPCs");
            let at = raw.vpcs.first().map_or(entry.start, |it| it.span().start);
            entry.fail(at, what);
        }
        let detail = self.peering_detail(&mut entry, raw);
        let sound = self.sound(&mut entry, Kind::Peering, &raw.id);
        let (true, Some(id), Some(vpcs)) = (sound, id, vpcs) else {
            return;
        };
        self.place(Item::Peering(self.config.peerings.len()), &entry);
        self.config.details.say(Kind::Peering, &id, detail);
        self.config.peerings.push(Peering { id, vpcs });
    }
}

fn read_route(entry: &mut Entry, raw: &schema::Route) -> Option<Route> {
    let destination = entry.need("destination", &raw.destination, block);
    if let Some(destination) = destination {
        entry.name = format!("{} {destination}", entry.name);
    }
    let blackhole = raw.blackhole.as_ref().filter(|it| *it.get_ref());
    let choice = entry.choice(&[
        ("instance", place(&raw.instance)),
        ("eni", place(&raw.eni)),
        ("nat_gateway", place(&raw.nat_gateway)),
        ("peering", place(&raw.peering)),
        ("blackhole", blackhole.map(|it| it.span().start)),
    ])?;
    let mut hop = |value, next_hop: fn(Id) -> NextHop| {
        let id = entry.read_as("next_hop", choice, value, any);
        id.map(next_hop)
    };
    let next_hop = match choice {
        "instance" => hop(&raw.instance, NextHop::Eni),
        "eni" => hop(&raw.eni, NextHop::Eni),
        "nat_gateway" => hop(&raw.nat_gateway, NextHop::NatGateway),
        "peering" => hop(&raw.peering, NextHop::Peering),
        _ => Some(NextHop::Blackhole),
    };
    Some(Route {
        destination: destination?,
        next_hop: next_hop?,
    })
}
