//! Operations on policies.

use super::policies::FiledPolicy;
use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::quota::Quota;
use crate::refusal::{Refusal, Result};
use model::text::TCP;
use model::validate::PolicyFault;
use model::{ControlPolicy, Id, PolicyDestination, PolicyPorts, PolicyScope, PolicySource};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Where a policy is to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// At this place, from 1.
    At(usize),
    /// Behind all others.
    Last,
}

impl Order {
    /// The order that a number stands for: 1 is the first place, -1 the last.
    ///
    /// # Errors
    /// `ErrorParametersNewOrder`.
    pub fn of(number: i64) -> Result<Order> {
        match usize::try_from(number) {
            Ok(0) => {}
            Ok(place) => return Ok(Order::At(place)),
            Err(_) if number == -1 => return Ok(Order::Last),
            Err(_) => {}
        }
        let why = format!("{number} is no place: 1 is the first, -1 the last.");
        Err(Refusal::bad("ErrorParametersNewOrder", why))
    }
}

impl Draft {
    /// Makes a policy, and gives it an identifier. Behind the last place is the last place.
    ///
    /// # Errors
    /// If it cannot be, or there are too many.
    pub fn create_policy(
        &mut self,
        scope: &PolicyScope,
        order: Order,
        policy: ControlPolicy,
    ) -> Result<Id> {
        self.check_scope(scope)?;
        self.check_policy(scope, &policy)?;
        let used = self.policy_count(scope);
        let whose = format!("The firewall {scope} has");
        self.room_for(Quota::FirewallPolicies, &whose, used)?;
        let id = self.new_uuid()?;
        let filed = FiledPolicy {
            policy: Arc::new(ControlPolicy {
                id: id.clone(),
                ..policy
            }),
            created: self.now,
            modified: 0,
            of_file: false,
        };
        let position = match order {
            Order::Last => used,
            Order::At(place) => place.saturating_sub(1).min(used),
        };
        self.policies.insert(scope, position, filed);
        self.room_for_spread()?;
        Ok(id)
    }

    /// Has a policy say something else. It keeps its identifier and its place.
    ///
    /// # Errors
    /// If there is no such policy, or it cannot be.
    pub fn modify_policy(
        &mut self,
        scope: &PolicyScope,
        id: &str,
        policy: ControlPolicy,
    ) -> Result<()> {
        let (position, had) = self.policy(scope, id)?;
        let had = had.clone();
        self.check_policy(scope, &policy)?;
        let policy = ControlPolicy {
            id: id.into(),
            ..policy
        };
        if *had.policy == policy {
            return Ok(());
        }
        let filed = FiledPolicy {
            policy: Arc::new(policy),
            modified: self.now,
            ..had
        };
        self.policies.replace(scope, position, filed);
        self.room_for_spread()
    }

    /// Moves a policy to a place that there is.
    ///
    /// # Errors
    /// If there is no such policy or no such place.
    pub fn move_policy(&mut self, scope: &PolicyScope, id: &str, order: Order) -> Result<()> {
        let (position, _) = self.policy(scope, id)?;
        let last = self.policy_count(scope);
        let place = match order {
            Order::Last => last,
            Order::At(place) => place,
        };
        if !(1..=last).contains(&place) {
            let why = format!("There is no place {place}: policies have the places 1 to {last}.");
            return Err(Refusal::bad("ErrorParametersNewOrder", why));
        }
        if place - 1 != position
            && let Some(policy) = self.policies.remove(scope, position)
        {
            self.policies.insert(scope, place - 1, policy);
        }
        Ok(())
    }

    /// Deletes policies, all of them or none.
    ///
    /// # Errors
    /// If there is one not.
    pub fn delete_policies(&mut self, scope: &PolicyScope, ids: &[&str]) -> Result<()> {
        if let [id] = ids {
            let (position, _) = self.policy(scope, id)?;
            self.policies.remove(scope, position);
            return Ok(());
        }
        let list = self.policies_of(scope);
        let known: HashSet<&str> = list.iter().map(|it| &*it.policy.id).collect();
        if let Some(id) = ids.iter().find(|id| !known.contains(*id)) {
            return Err(no_policy(scope, id));
        }
        let gone: HashSet<&str> = ids.iter().copied().collect();
        let rest = list.into_iter().filter(|it| !gone.contains(&*it.policy.id));
        let rest = rest.cloned().collect();
        self.policies.set(scope, rest);
        Ok(())
    }

    /// A number of 128 bits that nobody has drawn before, as the cloud names policies.
    pub(crate) fn new_uuid(&self) -> Result<Id> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Refusal::internal(format!("no random numbers: {error}")))?;
        let number = u128::from_be_bytes(random) & !(0xf << 76) & !(0b11 << 62);
        let hex = format!("{:032x}", number | 4 << 76 | 0b10 << 62);
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        Ok(parts.join("-"))
    }

    fn room_for_spread(&self) -> Result<()> {
        let limit = self.limit(Quota::PolicySpread);
        if limit == Quota::PolicySpread.default_limit() {
            return Ok(());
        }
        match self.spread() <= u64::from(limit) {
            true => Ok(()),
            false => {
                let spread = usize::try_from(self.spread()).unwrap_or(usize::MAX);
                self.room_for(Quota::PolicySpread, "There would be", spread)
            }
        }
    }
}

impl Cloud {
    /// The policies of a firewall in their order, as they are kept.
    pub fn policies_of(&self, scope: &PolicyScope) -> Vec<&FiledPolicy> {
        let list = self.policies.get(scope);
        list.into_iter().flat_map(|it| it.iter()).collect()
    }

    /// How many policies a firewall has.
    pub fn policy_count(&self, scope: &PolicyScope) -> usize {
        self.policies.get(scope).map_or(0, |it| it.len())
    }

    /// A policy of a firewall, and where it stands, from 0.
    ///
    /// # Errors
    /// `ErrorAclNotExist`.
    pub fn policy(&self, scope: &PolicyScope, id: &str) -> Result<(usize, &FiledPolicy)> {
        let list = self.policies.get(scope);
        let found = list.and_then(|list| {
            let position = list.position(id)?;
            Some((position, list.get(position)?))
        });
        found.ok_or_else(|| no_policy(scope, id))
    }

    /// The firewall that a policy is of, among several.
    ///
    /// # Errors
    /// `ErrorAclNotExist`.
    pub fn scope_of(&self, id: &str, among: &[PolicyScope]) -> Result<PolicyScope> {
        let has = |scope: &&PolicyScope| self.policy(scope, id).is_ok();
        let found = among.iter().find(has).cloned();
        found.ok_or_else(|| {
            let why = format!("There is no policy {id:?}.");
            Refusal::not_found("ErrorAclNotExist", why)
        })
    }

    /// A firewall can have policies: that of a NAT gateway only if the gateway is one of the Internet.
    ///
    /// # Errors
    /// `InvalidNatGatewayId.NotFound`, `ErrorNatGatewayType`.
    pub fn check_scope(&self, scope: &PolicyScope) -> Result<()> {
        let PolicyScope::NatGateway(id) = scope else {
            return Ok(());
        };
        match self.nat_gateway(id)?.intranet {
            false => Ok(()),
            true => Err(Refusal::bad(
                "ErrorNatGatewayType",
                format!("{id} is a VPC NAT gateway: firewalls protect those of the Internet."),
            )),
        }
    }

    /// A policy can be.
    fn check_policy(&self, scope: &PolicyScope, policy: &ControlPolicy) -> Result<()> {
        if let Some((field, fault)) = policy.fault(scope) {
            return Err(Refusal::bad(code(field), capitalised(&fault.to_string())));
        }
        for (field, book) in policy.books().into_iter().flatten() {
            let found = self.address_book(book)?;
            if let Some(wanted) = found.content.misfit(field, scope) {
                let name = &found.meta.name;
                let holds = found.content.holds();
                let why =
                    format!("The address book {name:?} holds {holds}, where {wanted} are needed.");
                return Err(Refusal::bad(code(field), why));
            }
            if found.is_of_cloud() && policy.protocol != Some(TCP) {
                let fault = PolicyFault::CloudProtocol(found.meta.name.clone());
                let why = capitalised(&fault.to_string());
                return Err(Refusal::bad(code("protocol"), why));
            }
        }
        Ok(())
    }

    /// How many policies those of all firewalls would be if each had one source, destination, application and range
    /// of ports: what the cloud's quota counts.
    pub fn spread(&self) -> u64 {
        let sizes: HashMap<&str, u64> = self
            .books
            .iter()
            .map(|book| (&*book.id, self.addresses_in(book) as u64))
            .collect();
        let size = |id: &Id| sizes.get(&**id).copied().unwrap_or(0);
        let lists = self.policies.lists();
        let all = lists.flat_map(|it| it.policies().iter());
        all.fold(0, |sum, it| sum.saturating_add(spread(it, size)))
    }

    /// The same of one policy.
    pub fn spread_of(&self, policy: &ControlPolicy) -> u64 {
        let size = |id: &Id| {
            let book = self.books.get(id);
            book.map_or(0, |it| self.addresses_in(it) as u64)
        };
        spread(policy, size)
    }
}

fn spread(policy: &ControlPolicy, size: impl Fn(&Id) -> u64) -> u64 {
    let sources = match &policy.source {
        PolicySource::Net(_) => 1,
        PolicySource::Book(id) => size(id),
        PolicySource::Location(codes) => codes.len() as u64,
    };
    let destinations = match &policy.destination {
        PolicyDestination::Net(_) | PolicyDestination::Domain(_) => 1,
        PolicyDestination::Book(id) => size(id),
        PolicyDestination::Location(codes) => codes.len() as u64,
    };
    let ports = match &policy.ports {
        PolicyPorts::Any | PolicyPorts::Range(_) => 1,
        PolicyPorts::Book(id) => size(id),
    };
    let applications = policy.applications.len().max(1) as u64;
    [destinations, ports, applications]
        .iter()
        .fold(sources, |all, it| all.saturating_mul(*it))
}

fn no_policy(scope: &PolicyScope, id: &str) -> Refusal {
    let why = format!("The firewall {scope} has no policy {id:?}.");
    Refusal::not_found("ErrorAclNotExist", why)
}

/// The code of a policy with something wrong in a field.
fn code(field: &str) -> &'static str {
    match field {
        "source" => "ErrorParametersSource",
        "destination" => "ErrorParametersDestination",
        "protocol" => "ErrorParametersProto",
        "ports" => "ErrorParametersDestPort",
        "applications" => "ErrorParametersApplicationName",
        "validity" => "ErrorParametersRepeat",
        _ => "ErrorParameters",
    }
}

/// A fault as a sentence.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}
