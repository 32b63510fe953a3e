//! The firewalls of a configuration, compiled: what they protect, and the policies that they ask.

use crate::snapshot::{GatewayIx, SnapshotError};
use model::{
    AddressBook, BookContent, Config, ControlPolicy, DnsRefusal, EngineMode, FirewallSettings, Id,
    NameCheck, OnDrop, OverCapacity, Policy, PolicyAction, PolicyScope,
};
use policy::Policies;
use std::collections::HashMap;
use std::sync::Arc;

/// Index of a NAT firewall.
pub(crate) type FirewallIx = u32;
/// Index of a list of policies.
pub(crate) type ListIx = u16;

/// Policies as a configuration has them: shared with it.
pub(crate) type PolicyVec = Arc<Vec<Arc<ControlPolicy>>>;

/// The policies of one scope.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub scope: PolicyScope,
    pub policies: Arc<Policies>,
    /// Whether some of them look at what is known of the world: names, locations, threats.
    pub worldly: bool,
    /// What they were compiled from.
    source: PolicyVec,
}

impl List {
    /// The policy in a place.
    pub fn policy(&self, place: u32) -> Option<&Arc<ControlPolicy>> {
        self.source.get(place as usize)
    }
}

/// A NAT firewall.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NatFirewall {
    pub id: Arc<str>,
    pub gateway: GatewayIx,
    pub inbound: bool,
    pub settings: FirewallSettings,
    pub list: ListIx,
}

/// The Internet border.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Border {
    pub settings: FirewallSettings,
    pub leaving: ListIx,
    pub entering: ListIx,
    /// The EIPs that are protected, by identifier, and the mode of each.
    eips: HashMap<Id, EngineMode>,
}

/// The DNS firewall: there is one if there are policies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dns {
    pub refusal: DnsRefusal,
    pub default: PolicyAction,
    pub list: ListIx,
}

/// All firewalls.
#[derive(Debug, Default)]
pub(crate) struct Firewalls {
    pub lists: Vec<List>,
    /// The policies of firewalls that are off, which nobody asks.
    asleep: Vec<(PolicyScope, PolicyVec)>,
    pub nat: Vec<NatFirewall>,
    pub border: Option<Border>,
    pub dns: Option<Dns>,
    /// Bits a second that they process together.
    pub capacity: Option<u64>,
    pub over_capacity: OverCapacity,
    /// Whether what clients are answered by DNS has to be seen.
    pub learns: bool,
    /// Whether told names are checked against addresses.
    pub checks_names: bool,
    books: Vec<AddressBook>,
}

/// Those of no firewall.
static NO_SETTINGS: FirewallSettings = FirewallSettings {
    mode: EngineMode::Loose,
    default_action: Policy::Accept,
    on_drop: OnDrop::Reset,
    name_check: NameCheck::Off,
    threats: Vec::new(),
};

/// What is done if no policy matches.
pub(crate) fn default_action(policy: Policy) -> PolicyAction {
    match policy {
        Policy::Accept => PolicyAction::Accept,
        Policy::Drop => PolicyAction::Drop,
    }
}

impl Firewalls {
    /// Compiles the firewalls of a configuration. What `before` has compiled already is not compiled again.
    pub fn compile(
        config: &Config,
        gateway: impl Fn(&str) -> Result<GatewayIx, SnapshotError>,
        before: Option<&Firewalls>,
    ) -> Result<Firewalls, SnapshotError> {
        let from = &config.firewalls;
        let same_books = before.is_some_and(|before| same_books(&before.books, &from.books));
        let before = before.filter(|_| same_books);
        let mut all = Firewalls {
            capacity: from.license.capacity.map(|it| u64::from(it) * 1_000_000),
            over_capacity: from.license.over_capacity,
            books: from.books.clone(),
            ..Firewalls::default()
        };
        for it in &from.nat {
            let list = all.list(config, before, PolicyScope::NatGateway(it.gateway.clone()));
            all.nat.push(NatFirewall {
                id: it.id.as_str().into(),
                gateway: gateway(&it.gateway)?,
                inbound: it.inbound,
                settings: it.settings.clone(),
                list,
            });
        }
        let border = &from.border;
        if !border.eips.is_empty() {
            let mode = |id: &Id| match border.strict_eips.contains(id) {
                true => EngineMode::Strict,
                false => border.settings.mode,
            };
            all.border = Some(Border {
                settings: border.settings.clone(),
                leaving: all.list(config, before, PolicyScope::BorderOut),
                entering: all.list(config, before, PolicyScope::BorderIn),
                eips: border
                    .eips
                    .iter()
                    .map(|id| (id.clone(), mode(id)))
                    .collect(),
            });
        }
        if !from.policies(&PolicyScope::Dns).is_empty() {
            all.dns = Some(Dns {
                refusal: from.dns.refusal,
                default: default_action(from.dns.default_action),
                list: all.list(config, before, PolicyScope::Dns),
            });
        }
        let asleep = from
            .policies
            .iter()
            .filter(|it| all.find(&it.scope).is_none());
        all.asleep = asleep
            .map(|it| (it.scope.clone(), Arc::clone(&it.policies)))
            .collect();
        let checks_names = all.settings().any(|it| it.name_check != NameCheck::Off);
        all.checks_names = checks_names;
        all.learns = all.checks_names || all.lists.iter().any(|list| list.policies.by_dns());
        Ok(all)
    }

    /// Whether there are none, so that no session need be shown to them.
    pub fn is_empty(&self) -> bool {
        self.nat.is_empty() && self.border.is_none() && self.dns.is_none()
    }

    /// The mode in which the Internet border protects an EIP, if it does.
    pub fn protects(&self, eip: &str) -> Option<EngineMode> {
        self.border.as_ref()?.eips.get(eip).copied()
    }

    /// The NAT firewall that protects a gateway.
    pub fn of_gateway(&self, gateway: GatewayIx) -> Option<FirewallIx> {
        let ix = self.nat.iter().position(|it| it.gateway == gateway)?;
        Some(ix as FirewallIx)
    }

    /// The policies of a scope.
    pub fn find(&self, scope: &PolicyScope) -> Option<&List> {
        self.lists.iter().find(|list| list.scope == *scope)
    }

    /// All policies that are counted, by scope: those that are asked, by the index of their list, then the others.
    pub fn counted(&self) -> impl Iterator<Item = (&PolicyScope, &PolicyVec)> {
        let asked = self.lists.iter().map(|it| (&it.scope, &it.source));
        let asleep = self.asleep.iter().map(|(scope, all)| (scope, all));
        asked.chain(asleep)
    }

    /// The settings of the firewall that asks a list.
    pub fn settings_of(&self, list: ListIx) -> &FirewallSettings {
        // Those of NAT firewalls come first.
        let nat = self.nat.get(list as usize).map(|it| &it.settings);
        let border = || self.border.as_ref().map(|it| &it.settings);
        nat.or_else(border).unwrap_or(&NO_SETTINGS)
    }

    /// Whether `other` decides the same about every session.
    pub fn decide_alike(&self, other: &Firewalls) -> bool {
        let lists = |of: &Firewalls| of.lists.len();
        lists(self) == lists(other)
            && self
                .lists
                .iter()
                .zip(&other.lists)
                .all(|(a, b)| a.scope == b.scope && Arc::ptr_eq(&a.policies, &b.policies))
            && self.nat == other.nat
            && self.border == other.border
    }

    fn settings(&self) -> impl Iterator<Item = &FirewallSettings> {
        let nat = self.nat.iter().map(|it| &it.settings);
        nat.chain(self.border.iter().map(|it| &it.settings))
    }

    /// The index of the list of a scope, which is compiled if `before` has not done it.
    fn list(&mut self, config: &Config, before: Option<&Firewalls>, scope: PolicyScope) -> ListIx {
        let given = config
            .firewalls
            .policies
            .iter()
            .find(|it| it.scope == scope);
        let source = given.map(|it| Arc::clone(&it.policies)).unwrap_or_default();
        let before = before.and_then(|before| before.find(&scope));
        let same = |list: &&List| Arc::ptr_eq(&list.source, &source) || list.source == source;
        let policies = match before.filter(same) {
            Some(list) => Arc::clone(&list.policies),
            None => {
                let books = &config.firewalls.books;
                let before = before.map(|list| &*list.policies);
                Arc::new(Policies::compile_after(Arc::clone(&source), books, before))
            }
        };
        self.lists.push(List {
            scope,
            worldly: policies.is_worldly(),
            policies,
            source,
        });
        (self.lists.len() - 1) as ListIx
    }
}

fn same_books(a: &[AddressBook], b: &[AddressBook]) -> bool {
    let same = |a: &Arc<BookContent>, b: &Arc<BookContent>| Arc::ptr_eq(a, b) || a == b;
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.id == b.id && same(&a.content, &b.content))
}
