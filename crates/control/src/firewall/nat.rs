//! The life of a NAT firewall.

pub use super::diversion::NewDiversion;
use super::precheck::Options;
use crate::draft::Draft;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use crate::routes::DEFAULT;
use model::{FirewallSettings, Id};

/// A NAT firewall to be made.
#[derive(Clone, Debug)]
pub struct NewNatFirewall {
    /// Its name.
    pub name: String,
    /// The NAT gateway that it is to protect.
    pub gateway: Id,
    /// The route tables whose default route to the gateway it is to divert.
    pub tables: Vec<Id>,
    /// Where its vSwitch comes from.
    pub diversion: NewDiversion,
    /// Whether it is on at once.
    pub enabled: bool,
    /// Whether what comes in by DNAT entries goes through it too.
    pub inbound: bool,
    /// Mode, default and the like.
    pub settings: FirewallSettings,
    /// Whether what the precheck finds, and what one can do without, is passed over.
    pub skip_precheck: bool,
    /// See [`NatFirewall::service_mode`].
    pub service_mode: String,
    /// See [`NatFirewall::service_zones`].
    pub service_zones: Vec<String>,
}

/// What is to be another of a NAT firewall; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct NatFirewallChange {
    /// Its name.
    pub name: Option<String>,
    /// Whether what comes in by DNAT entries goes through it too.
    pub inbound: Option<bool>,
    /// Mode, default and the like.
    pub settings: Option<FirewallSettings>,
}

/// How a firewall is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// On.
    Normal,
    /// Off.
    Closed,
    /// On, but nothing is diverted to it: why.
    Abnormal(String),
}

impl Status {
    /// Its name in the cloud.
    pub fn name(&self) -> &'static str {
        match self {
            Status::Normal => "normal",
            Status::Closed => "closed",
            Status::Abnormal(_) => "abnormal",
        }
    }

    /// What is wrong; empty, if nothing is.
    pub fn detail(&self) -> &str {
        match self {
            Status::Abnormal(why) => why,
            _ => "",
        }
    }
}

impl crate::Cloud {
    /// How a firewall is.
    pub fn firewall_status(&self, firewall: &NatFirewall) -> Status {
        match firewall.enabled {
            false => Status::Closed,
            true if self.diverted_tables(firewall).next().is_some() => Status::Normal,
            true => Status::Abnormal(format!(
                "None of its route tables has a route for 0.0.0.0/0 to {}: nothing goes through the firewall.",
                firewall.gateway
            )),
        }
    }

    /// The tables of a firewall that have a default route to its gateway: only of these it can divert any.
    pub fn diverted_tables<'a>(
        &'a self,
        firewall: &'a NatFirewall,
    ) -> impl Iterator<Item = &'a Id> {
        let tables = firewall.tables.iter();
        tables.filter(|it| self.leads_to(it, &firewall.gateway))
    }

    /// Whether a table's default route is one to a gateway.
    pub(crate) fn leads_to(&self, table: &str, gateway: &str) -> bool {
        let leads = |it: &Route| {
            let hop = matches!(&it.next_hop, NextHop::NatGateway(id) if id == gateway);
            hop && it.table == table && it.destination == DEFAULT
        };
        self.routes.find(leads).is_some()
    }

    /// The tables that a firewall of a gateway could divert: those with a default route to the gateway that are not
    /// a firewall's own.
    pub fn divertible(&self, gateway: &str) -> Vec<Id> {
        let routes = self.routes.iter().filter(|it| {
            let hop = matches!(&it.next_hop, NextHop::NatGateway(id) if id == gateway);
            hop && it.destination == DEFAULT && self.firewall_of_table(&it.table).is_none()
        });
        routes.map(|it| it.table.clone()).collect()
    }
}

impl Draft {
    /// Makes a NAT firewall. It protects its gateway at once, if it is made to be on.
    ///
    /// # Errors
    /// What the precheck finds, see [`Cloud::precheck`](crate::Cloud::precheck); or what is wrong with the vSwitch.
    pub fn create_nat_firewall(&mut self, new: NewNatFirewall) -> Result<NatFirewall> {
        check_name(&new.name)?;
        let gateway = self.nat_gateway(&new.gateway)?.clone();
        let mut tables: Vec<Id> = Vec::new();
        for table in new.tables {
            let of = &self.route_table(&table)?.vpc;
            if *of != gateway.vpc {
                let why = format!(
                    "The route table {table} is of {of}, not of {}.",
                    gateway.vpc
                );
                return Err(Refusal::bad("ErrorRouteTableNotInVpc", why));
            }
            if !self.leads_to(&table, &gateway.id) {
                let why = format!(
                    "The route table {table} has no entry for 0.0.0.0/0 that leads to {}.",
                    gateway.id
                );
                return Err(Refusal::bad("ErrorDefaultRouteConflicts", why));
            }
            self.not_of_firewall(&table)?;
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        let options = Options {
            inbound: new.inbound,
            tables: Some(&tables),
            room: new.diversion
                == NewDiversion::Automatic {
                    cidr: None,
                    zone: None,
                },
            now: self.now,
        };
        let groups = self.precheck(&gateway, options);
        let items = groups.iter().flat_map(|it| &it.items);
        let mut failed = items.filter(|it| !(it.passed || new.skip_precheck && it.skippable));
        if let Some(item) = failed.next() {
            let why = format!("{} {}", item.info, item.suggestion);
            return Err(Refusal::bad(item.code, why));
        }
        let (vswitch, own_vswitch) = self.divert(&gateway, new.diversion)?;
        let firewall = NatFirewall {
            // `proxy-nat…`, as the cloud has it.
            id: self.new_id("proxy")?.replacen("proxy-", "proxy-nat", 1),
            meta: self.meta(new.name, ""),
            gateway: gateway.id,
            enabled: new.enabled,
            inbound: new.inbound,
            settings: new.settings,
            tables,
            vswitch: Some(vswitch),
            own_vswitch,
            eni: self.new_id("eni")?,
            service_mode: new.service_mode,
            service_zones: new.service_zones,
        };
        self.nat_firewalls.put(firewall.clone());
        Ok(firewall)
    }

    /// Switches a firewall on or off. Sessions go on, if the firewall lets them.
    ///
    /// # Errors
    /// If it does not exist; or to switch on: if none of its tables leads to the gateway any more, or what was
    /// bought has ended.
    pub fn switch_nat_firewall(&mut self, id: &str, on: bool) -> Result<()> {
        let firewall = self.nat_firewall(id)?;
        if on {
            self.bought()?;
            if self.diverted_tables(firewall).next().is_none() {
                let why = format!(
                    "None of the route tables {} has an entry for 0.0.0.0/0 that leads to {}.",
                    firewall.tables.join(", "),
                    firewall.gateway
                );
                return Err(Refusal::bad("MissingNatRouteEntryList", why));
            }
        }
        if let Some(firewall) = self.nat_firewalls.get_mut(id) {
            firewall.enabled = on;
        }
        Ok(())
    }

    /// Changes a firewall.
    ///
    /// # Errors
    /// If it does not exist, the name is none, or it is not to protect what comes in any more by DNAT entries that
    /// there are.
    pub fn modify_nat_firewall(&mut self, id: &str, change: NatFirewallChange) -> Result<()> {
        let had = self.nat_firewall(id)?;
        let dnat = self.dnat_of_gateway(&had.gateway).count();
        if had.inbound && change.inbound == Some(false) && dnat > 0 {
            let why = format!(
                "{} has {dnat} DNAT entries: delete them first, or let the firewall protect what comes in by them.",
                had.gateway
            );
            return Err(Refusal::bad("ErrorNatDnatEntryExists", why));
        }
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        if let Some(firewall) = self.nat_firewalls.get_mut(id) {
            firewall.meta.name = change.name.unwrap_or_else(|| firewall.meta.name.clone());
            firewall.inbound = change.inbound.unwrap_or(firewall.inbound);
            firewall.settings = change.settings.unwrap_or_else(|| firewall.settings.clone());
        }
        Ok(())
    }

    /// Sets which route tables a firewall diverts.
    ///
    /// # Errors
    /// If one of them is not of its VPC or does not lead to its gateway, or there is none.
    pub fn set_diverted_tables(&mut self, id: &str, tables: Vec<Id>) -> Result<()> {
        let firewall = self.nat_firewall(id)?;
        for table in &tables {
            self.route_table(table)?;
            self.not_of_firewall(table)?;
            if !self.leads_to(table, &firewall.gateway) {
                let why = format!(
                    "The route table {table} has no entry for 0.0.0.0/0 that leads to {}.",
                    firewall.gateway
                );
                return Err(Refusal::bad("ErrorDefaultRouteConflicts", why));
            }
        }
        if tables.is_empty() {
            let why = "A NAT firewall diverts at least one route table.";
            return Err(Refusal::bad("MissingNatRouteEntryList", why));
        }
        if let Some(firewall) = self.nat_firewalls.get_mut(id) {
            firewall.tables.clear();
            for table in tables {
                if !firewall.tables.contains(&table) {
                    firewall.tables.push(table);
                }
            }
        }
        Ok(())
    }

    /// Deletes a firewall, on or off. What was made for it goes with it, and traffic goes by the routes as they are.
    /// The policies are the gateway's and stay.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn delete_nat_firewall(&mut self, id: &str) -> Result<()> {
        self.nat_firewall(id)?;
        self.drop_nat_firewall(id);
        Ok(())
    }

    /// Removes a firewall with what was made for it.
    pub(crate) fn drop_nat_firewall(&mut self, id: &str) {
        if let Some(firewall) = self.nat_firewalls.remove(id) {
            self.undivert(&firewall);
        }
    }
}

/// 4 to 50 letters, digits and `_`, not beginning with `_`.
fn check_name(name: &str) -> Result<()> {
    if !name.is_empty() && model::names::firewall(name).is_ok() {
        return Ok(());
    }
    let shown: String = name.chars().take(60).collect();
    let why = format!(
        "The specified parameter \"ProxyName\" is not valid: {shown:?} is none. A name has 4 to 50 letters, digits and \
         `_`, and does not begin with `_`."
    );
    Err(Refusal::bad("InvalidParameter", why))
}
