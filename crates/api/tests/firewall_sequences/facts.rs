//! A naive model of firewalls: what there is, what may be done to it, and what is there afterwards.

use super::op::{BORDER, NOBODY, Op, Source};
use control::Cloud;
use control::records::NextHop;
use control::routes::DEFAULT;
use model::{BookContent, EngineMode, PolicyAction, PolicyScope, PolicySource};
use std::collections::{BTreeMap, BTreeSet};

type Map<T> = BTreeMap<String, T>;

/// Blocks that books have.
pub const NETS: [&str; 3] = ["192.0.2.0/24", "198.51.100.0/25", "10.1.0.0/16"];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub gateways: Map<Gateway>,
    /// The VPC of each route table.
    pub tables: Map<String>,
    /// The gateway that a table's default route leads to.
    pub defaults: Map<String>,
    pub vswitches: BTreeSet<String>,
    /// vSwitches with a route table of their own that a firewall can be given, and those tables.
    pub spare: BTreeSet<String>,
    pub firewalls: Map<Firewall>,
    /// Gateway and port.
    pub dnat: Map<(String, u16)>,
    pub policies: Map<Vec<Policy>>,
    pub books: Map<Book>,
    pub backups: BTreeMap<u64, Map<Vec<Policy>>>,
    /// Whether each is protected.
    pub eips: Map<bool>,
    pub auto_protect: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gateway {
    pub vpc: String,
    pub snat_table: String,
    pub forward_table: String,
    pub dnat_address: String,
    pub eips: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Firewall {
    pub gateway: String,
    pub diverts: Vec<String>,
    pub on: bool,
    pub inbound: bool,
    pub strict: bool,
    pub vswitch: String,
    pub made: bool,
    /// The route table of its vSwitch.
    pub table: String,
    /// The SNAT entries that are shown as its.
    pub snat: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub id: String,
    pub drop: bool,
    /// The book that is its source.
    pub book: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    pub name: String,
    pub nets: BTreeSet<String>,
}

impl Facts {
    /// What the records say. `known` are the backups: what is in them nobody tells.
    pub fn of(cloud: &Cloud, known: &Facts) -> Facts {
        let mut facts = Facts {
            spare: known.spare.clone(),
            backups: known.backups.clone(),
            auto_protect: cloud.shared_settings().auto_protect,
            ..Facts::default()
        };
        for it in cloud.nat_gateways.iter() {
            let eips = || cloud.eips_of_gateway(&it.id);
            let last = eips().map(|it| it.address).max();
            let gateway = Gateway {
                vpc: it.vpc.clone(),
                snat_table: it.snat_table.clone(),
                forward_table: it.forward_table.clone(),
                dnat_address: last.map(|it| it.to_string()).unwrap_or_default(),
                eips: eips().count(),
            };
            facts.gateways.insert(it.id.clone(), gateway);
        }
        for it in cloud.route_tables.iter() {
            facts.tables.insert(it.id.clone(), it.vpc.clone());
        }
        for it in cloud.routes.iter() {
            assert_eq!(it.destination, DEFAULT, "nobody made another one");
            let NextHop::NatGateway(gateway) = &it.next_hop else {
                panic!("nobody made a route to {:?}", it.next_hop);
            };
            let twice = facts.defaults.insert(it.table.clone(), gateway.clone());
            assert_eq!(twice, None);
        }
        facts.vswitches = cloud.vswitches.iter().map(|it| it.id.clone()).collect();
        for it in cloud.nat_firewalls.iter() {
            let shown = cloud.shown_snat(it);
            let firewall = Firewall {
                gateway: it.gateway.clone(),
                diverts: it.tables.clone(),
                on: it.enabled,
                inbound: it.inbound,
                strict: it.settings.mode == EngineMode::Strict,
                vswitch: it.vswitch.clone().expect("each has one"),
                made: it.own_vswitch,
                table: cloud.own_table(it).expect("its vSwitch has one").into(),
                snat: shown.into_iter().map(|it| it.id).collect(),
            };
            assert_eq!(firewall.snat.len(), facts.gateways[&it.gateway].eips);
            facts.firewalls.insert(it.id.clone(), firewall);
        }
        for it in cloud.dnat.iter() {
            let model::DnatMapping::Ports { internal, .. } = it.mapping else {
                panic!("nobody made an IP mapping");
            };
            facts
                .dnat
                .insert(it.id.clone(), (it.gateway.clone(), internal));
        }
        for list in cloud.policies.lists() {
            let policies = list.iter().map(|it| Policy {
                id: it.policy.id.clone(),
                drop: it.policy.action == PolicyAction::Drop,
                book: match &it.policy.source {
                    PolicySource::Book(id) => Some(id.clone()),
                    _ => None,
                },
            });
            facts
                .policies
                .insert(list.scope().to_string(), policies.collect());
        }
        for it in cloud.books.iter() {
            let BookContent::Ip(nets) = &*it.content else {
                panic!("nobody made a book of something else");
            };
            let book = Book {
                name: it.meta.name.clone(),
                nets: nets.iter().map(ToString::to_string).collect(),
            };
            facts.books.insert(it.id.clone(), book);
        }
        for it in cloud.eips.iter() {
            facts.eips.insert(it.address.to_string(), it.protected);
        }
        let times: Vec<String> = cloud.backups.iter().map(|it| it.id.clone()).collect();
        // Of one that was just made, what there was is in it.
        for time in &times {
            let time = time.parse().expect("a number");
            let now = facts.policies.clone();
            facts.backups.entry(time).or_insert(now);
        }
        facts
            .backups
            .retain(|time, _| times.contains(&time.to_string()));
        facts
    }

    /// Why an operation is to be refused, if it is.
    pub fn refuses(&self, op: &Op) -> Option<String> {
        self.try_allow(op).err()
    }

    fn firewall_of(&self, gateway: &str) -> Option<&Firewall> {
        self.firewalls.values().find(|it| it.gateway == gateway)
    }

    /// The firewall whose own a route table is.
    fn owner(&self, table: &str) -> Option<&Firewall> {
        self.firewalls.values().find(|it| it.table == table)
    }

    fn leads(&self, table: &str, gateway: &str) -> bool {
        self.defaults.get(table).is_some_and(|it| it == gateway)
    }

    fn dnat_of(&self, gateway: &str) -> usize {
        self.dnat.values().filter(|it| it.0 == gateway).count()
    }

    fn book(&self, name: &str) -> Option<&String> {
        self.books
            .iter()
            .find(|(_, it)| it.name == name)
            .map(|it| it.0)
    }

    fn try_allow(&self, op: &Op) -> Result<(), String> {
        let scope_known = |scope: &str| match scope {
            BORDER => Ok(()),
            gateway => known(&self.gateways, gateway).map(drop),
        };
        let policy = |scope: &str, id: &str| {
            let list = self.policies.get(scope).ok_or("it has none")?;
            unless(!list.iter().any(|it| it.id == *id), "no such policy")
        };
        let source_known = |source: &Source| match source {
            Source::Net => Ok(()),
            Source::Book(name) => unless(self.book(name).is_none(), "no such book"),
        };
        match op {
            Op::Create {
                gateway,
                tables,
                vswitch,
                inbound,
                ..
            } => {
                let its = known(&self.gateways, gateway)?;
                unless(self.firewall_of(gateway).is_some(), "it has a firewall")?;
                unless(tables.is_empty(), "nothing to divert")?;
                for table in tables {
                    let vpc = known(&self.tables, table)?;
                    unless(*vpc != its.vpc, "a table of another VPC")?;
                    unless(!self.leads(table, gateway), "it leads elsewhere")?;
                    unless(self.owner(table).is_some(), "a firewall's own table")?;
                }
                let dnat = self.dnat_of(gateway);
                unless(dnat > 0 && !inbound, "it has DNAT entries")?;
                let Some(vswitch) = vswitch else {
                    return Ok(());
                };
                unless(!self.vswitches.contains(vswitch), "no such vSwitch")?;
                let mut others = self.firewalls.values();
                unless(
                    others.any(|it| it.vswitch == *vswitch),
                    "it has another firewall",
                )?;
                let table = self.spare_table(vswitch);
                unless(self.tables[&table] != its.vpc, "it is of another VPC")?;
                unless(self.defaults.contains_key(&table), "it has a default route")
            }
            Op::Switch { firewall, on } => {
                let it = known(&self.firewalls, firewall)?;
                let mut diverted = it.diverts.iter();
                let some = diverted.any(|table| self.leads(table, &it.gateway));
                unless(*on && !some, "nothing to divert")
            }
            Op::Update {
                firewall,
                inbound,
                tables,
                ..
            } => {
                let it = known(&self.firewalls, firewall)?;
                let dnat = self.dnat_of(&it.gateway) > 0;
                unless(
                    it.inbound && *inbound == Some(false) && dnat,
                    "it has DNAT entries",
                )?;
                tables.iter().try_for_each(|table| {
                    known(&self.tables, table)?;
                    unless(self.owner(table).is_some(), "a firewall's own table")?;
                    unless(!self.leads(table, &it.gateway), "it leads elsewhere")
                })
            }
            Op::Delete { firewall } => known(&self.firewalls, firewall).map(drop),
            Op::CreateRoute { table, gateway } => {
                let vpc = known(&self.tables, table)?;
                let its = known(&self.gateways, gateway)?;
                unless(*vpc != its.vpc, "the gateway is of another VPC")?;
                unless(self.owner(table).is_some(), "a firewall's own table")?;
                unless(self.defaults.contains_key(table), "there is one")
            }
            Op::DeleteRoute { table, gateway } => {
                known(&self.tables, table)?;
                unless(!self.leads(table, gateway), "there is none")?;
                unless(self.owner(table).is_some(), "a firewall's own table")?;
                let diverts =
                    |it: &Firewall| it.on && it.gateway == *gateway && it.diverts.contains(table);
                unless(
                    self.firewalls.values().any(diverts),
                    "a firewall diverts it",
                )
            }
            // Nobody but the firewall takes away what is its.
            Op::DeleteVSwitch { .. } | Op::DeleteTable { .. } | Op::DeleteSnat { .. } => {
                Err("it is a firewall's, or is not there".into())
            }
            Op::CreateDnat { gateway, port } => {
                known(&self.gateways, gateway)?;
                let firewall = self.firewall_of(gateway);
                unless(firewall.is_some_and(|it| !it.inbound), "past a firewall")?;
                let same = (gateway.clone(), *port);
                unless(
                    self.dnat.values().any(|it| *it == same),
                    "the port is taken",
                )
            }
            Op::DeleteDnat { id, .. } => known(&self.dnat, id).map(drop),
            Op::AddPolicy {
                scope,
                order,
                source,
                ..
            } => {
                scope_known(scope)?;
                unless(*order == 0, "no place")?;
                source_known(source)
            }
            Op::ModifyPolicy {
                scope, id, source, ..
            } => {
                policy(scope, id)?;
                source_known(source)
            }
            Op::MovePolicy { scope, id, order } => {
                policy(scope, id)?;
                let many = self.policies[scope].len() as i64;
                unless(*order != -1 && !(1..=many).contains(order), "no place")
            }
            Op::DeletePolicies { scope, ids } => ids.iter().try_for_each(|id| policy(scope, id)),
            Op::AddBook { name, .. } => unless(self.book(name).is_some(), "the name is taken"),
            Op::Append { book, .. } => known(&self.books, book).map(drop),
            Op::DeleteBook { book } => {
                known(&self.books, book)?;
                let mut users = self.policies.values().flatten();
                unless(users.any(|it| it.book.as_ref() == Some(book)), "it is used")
            }
            Op::Backup { time } => unless(self.backups.contains_key(time), "there is one"),
            Op::DeleteBackup { time } => unless(!self.backups.contains_key(time), "none"),
            Op::UseBackup { time } => {
                let backup = self.backups.get(time).ok_or("none")?;
                let mut books = backup.values().flatten().filter_map(|it| it.book.as_ref());
                unless(
                    books.any(|it| !self.books.contains_key(it)),
                    "a book is gone",
                )
            }
            Op::Protect { address, on } => {
                // Enabling tells what is not there, beside doing the rest.
                unless(!on && address == NOBODY, "no such EIP")
            }
            Op::AutoProtect { .. } | Op::Allocate => Ok(()),
        }
    }

    /// The route table of a vSwitch that a firewall can be given. There is one in the first VPC.
    fn spare_table(&self, vswitch: &str) -> String {
        assert!(self.spare.contains(vswitch));
        let spare = self.spare.iter().find(|it| self.tables.contains_key(*it));
        spare.expect("its table is beside it").clone()
    }

    /// What is there after an operation that was not refused. What it has drawn, identifiers, `seen` tells.
    pub fn after(&self, op: &Op, seen: &Facts) -> Facts {
        let mut facts = self.clone();
        match op.clone() {
            Op::Create {
                gateway,
                tables,
                vswitch,
                on,
                inbound,
            } => {
                let id = new(&self.firewalls, &seen.firewalls);
                let (made, vswitch, table) = match vswitch {
                    Some(vswitch) => (false, vswitch.clone(), self.spare_table(&vswitch)),
                    None => {
                        let mut new_vswitches = seen.vswitches.difference(&self.vswitches);
                        let vswitch = new_vswitches.next().expect("one is made").clone();
                        let table = new(&self.tables, &seen.tables);
                        facts.vswitches.insert(vswitch.clone());
                        let vpc = self.gateways[&gateway].vpc.clone();
                        facts.tables.insert(table.clone(), vpc);
                        (true, vswitch, table)
                    }
                };
                facts.defaults.insert(table.clone(), gateway.clone());
                let firewall = Firewall {
                    gateway,
                    diverts: each_once(tables),
                    on,
                    inbound,
                    strict: false,
                    vswitch,
                    made,
                    table,
                    snat: seen
                        .firewalls
                        .get(&id)
                        .map_or(Vec::new(), |it| it.snat.clone()),
                };
                facts.firewalls.insert(id, firewall);
            }
            Op::Switch { firewall, on } => {
                let it = facts.firewalls.get_mut(&firewall).expect("it is there");
                it.on = on;
            }
            Op::Update {
                firewall,
                inbound,
                strict,
                tables,
            } => {
                let it = facts.firewalls.get_mut(&firewall).expect("it is there");
                it.inbound = inbound.unwrap_or(it.inbound);
                it.strict = strict;
                if !tables.is_empty() {
                    it.diverts = each_once(tables);
                }
            }
            // All is as it was before there was one.
            Op::Delete { firewall } => {
                let it = facts.firewalls.remove(&firewall).expect("it is there");
                facts.defaults.remove(&it.table);
                if it.made {
                    facts.tables.remove(&it.table);
                    facts.vswitches.remove(&it.vswitch);
                }
            }
            Op::CreateRoute { table, gateway } => drop(facts.defaults.insert(table, gateway)),
            Op::DeleteRoute { table, .. } => drop(facts.defaults.remove(&table)),
            Op::DeleteVSwitch { .. } | Op::DeleteTable { .. } | Op::DeleteSnat { .. } => {}
            Op::CreateDnat { gateway, port } => {
                facts
                    .dnat
                    .insert(new(&self.dnat, &seen.dnat), (gateway, port));
            }
            Op::DeleteDnat { id, .. } => drop(facts.dnat.remove(&id)),
            Op::AddPolicy {
                scope,
                order,
                source,
                drop,
            } => {
                let empty = Vec::new();
                let [had, has] = [self, seen].map(|it| it.policies.get(&scope).unwrap_or(&empty));
                let mut new = has
                    .iter()
                    .filter(|it| had.iter().all(|had| had.id != it.id));
                let policy = Policy {
                    id: new.next().map_or(String::new(), |it| it.id.clone()),
                    drop,
                    book: self.source(&source),
                };
                let list = facts.policies.entry(scope).or_default();
                let place = match order {
                    -1 => list.len(),
                    place => (place as usize - 1).min(list.len()),
                };
                list.insert(place, policy);
            }
            Op::ModifyPolicy {
                scope,
                id,
                source,
                drop,
            } => {
                let book = self.source(&source);
                let list = facts.policies.get_mut(&scope).expect("it has some");
                let policy = list.iter_mut().find(|it| it.id == id).expect("it is there");
                (policy.drop, policy.book) = (drop, book);
            }
            Op::MovePolicy { scope, id, order } => {
                let list = facts.policies.get_mut(&scope).expect("it has some");
                let at = list.iter().position(|it| it.id == id).expect("it is there");
                let policy = list.remove(at);
                let place = match order {
                    -1 => list.len(),
                    place => place as usize - 1,
                };
                list.insert(place, policy);
            }
            Op::DeletePolicies { scope, ids } => {
                let list = facts.policies.get_mut(&scope).expect("it has some");
                list.retain(|it| !ids.contains(&it.id));
                if list.is_empty() {
                    facts.policies.remove(&scope);
                }
            }
            Op::AddBook { name, net } => {
                let book = Book {
                    name: name.into(),
                    nets: BTreeSet::from([net.into()]),
                };
                facts.books.insert(new(&self.books, &seen.books), book);
            }
            Op::Append { book, net, .. } => {
                let book = facts.books.get_mut(&book).expect("it is there");
                book.nets.insert(net.into());
            }
            Op::DeleteBook { book } => drop(facts.books.remove(&book)),
            Op::Backup { time } => drop(facts.backups.insert(time, self.policies.clone())),
            Op::UseBackup { time } => facts.policies = self.backups[&time].clone(),
            Op::DeleteBackup { time } => drop(facts.backups.remove(&time)),
            Op::Protect { address, on } => {
                if let Some(protected) = facts.eips.get_mut(&address) {
                    *protected = on;
                }
            }
            Op::AutoProtect { on } => facts.auto_protect = on,
            Op::Allocate => {
                facts
                    .eips
                    .insert(new(&self.eips, &seen.eips), self.auto_protect);
            }
        }
        facts
    }

    fn source(&self, source: &Source) -> Option<String> {
        match source {
            Source::Net => None,
            Source::Book(name) => self.book(name).cloned(),
        }
    }
}

/// The scope that a word means.
pub fn scope(word: &str) -> PolicyScope {
    PolicyScope::from(word)
}

fn each_once(mut tables: Vec<String>) -> Vec<String> {
    let mut had = BTreeSet::new();
    tables.retain(|it| had.insert(it.clone()));
    tables
}

/// The one that is in `seen` only; nothing, if there is none.
fn new<T>(had: &Map<T>, seen: &Map<T>) -> String {
    let mut new = seen.keys().filter(|it| !had.contains_key(*it));
    new.next().cloned().unwrap_or_default()
}

fn known<'a, T>(map: &'a Map<T>, id: &str) -> Result<&'a T, String> {
    map.get(id).ok_or_else(|| format!("there is no {id}"))
}

fn unless(bad: bool, why: &str) -> Result<(), String> {
    match bad {
        true => Err(why.into()),
        false => Ok(()),
    }
}
