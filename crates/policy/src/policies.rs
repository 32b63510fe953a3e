//! Policies, compiled: what decides about a session is found without reading them all.

use crate::chain::{Builder, Chains, Found};
use crate::draft::{Books, Draft, SideTables, Tables};
use crate::index::{Index, MOST};
use crate::schedule::{Now, Schedules};
use crate::sets::{Query, SetId, Sets};
use crate::subject::{Because, Facts, Identity, Needs, Subject, Verdict};
use model::{AddressBook, ControlPolicy, EngineMode, PolicyAction};
use smallvec::SmallVec;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What sets may take before those of networks within networks are kept apart instead of joined: so much, and so much
/// for each policy. See [`crate::chain`].
const BUDGET: usize = 64 << 20;
const BUDGET_EACH: usize = 512;

/// Policies that can be asked.
///
/// Each field of a session leads to the set of policies that mean it; the first that is in all of them decides. The sets
/// hold exactly what a list that is read from the top would say, so that the first one found is the answer: no policy
/// is looked at that does not decide. What such a check costs grows by a block of 512 policies at most, and not with
/// how many networks, domains and books they have nor with how those overlap. Policies from a network to a network,
/// most of all, are in no sets but in an [index](crate::index), where a check meets few, however many there are.
pub struct Policies {
    list: Vec<Arc<ControlPolicy>>,
    /// What a policy says, beside the list, where a check finds it in one step.
    says: Vec<Says>,
    /// Those that are found by a network or a port. The tables and sets have the others.
    index: Index,
    tables: Tables,
    sets: Sets,
    chains: Chains,
    schedules: Option<Schedules>,
}

#[derive(Clone, Copy)]
struct Says {
    action: PolicyAction,
    /// Whether it looks at the application.
    app: bool,
}

impl Default for Policies {
    fn default() -> Self {
        Policies::compile(&[], &[])
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies({})", self.list.len())
    }
}

impl Policies {
    /// Compiles policies, in their order, with the books that they name. A book that there is not is empty.
    pub fn compile(policies: &[Arc<ControlPolicy>], books: &[AddressBook]) -> Policies {
        let budget = BUDGET + BUDGET_EACH * policies.len();
        Policies::compile_within(policies, books, budget, MOST)
    }

    /// Compiles, with so many bytes for sets that are joined, and so many policies under one network or port of the index:
    /// for tests of what happens when they are not enough.
    #[doc(hidden)]
    pub fn compile_within(
        policies: &[Arc<ControlPolicy>],
        books: &[AddressBook],
        budget: usize,
        most: u32,
    ) -> Policies {
        let books: Books = books.iter().map(|it| (&it.id, &*it.content)).collect();
        let enabled = || (0..).zip(policies).filter(|(_, it)| it.enabled);
        let (index, taken) = Index::new(enabled().map(|(place, it)| (place, &**it)), most);
        let mut draft = Draft::default();
        let mut taken = taken.into_iter().peekable();
        for (place, policy) in enabled() {
            match taken.next_if_eq(&place) {
                Some(_) => draft.add_apps(place, policy),
                None => draft.add(place, policy, &books),
            }
        }
        let mut builder = Builder::new(policies.len(), budget);
        let tables = draft.finish(&books, &mut builder);
        let (sets, chains) = builder.finish();
        let validities = enabled().map(|(place, it)| (place, &it.validity));
        let says = policies.iter().map(|it| Says {
            action: it.action,
            app: !it.applications.is_empty(),
        });
        Policies {
            list: policies.to_vec(),
            says: says.collect(),
            index,
            schedules: Schedules::new(policies.len(), validities),
            tables,
            sets,
            chains,
        }
    }

    /// The policy in a place.
    pub fn get(&self, place: u32) -> Option<&Arc<ControlPolicy>> {
        self.list.get(place as usize)
    }

    /// How many there are, those that are not enabled included.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether some policy looks at the names that addresses stand for, so that DNS answers must be seen.
    pub fn by_dns(&self) -> bool {
        !self.tables.by_dns.is_empty()
    }

    /// The names that policies need resolved, as they tell them by their addresses: each once, in no order. Names below
    /// others (`*.example.com`) are not among them: only clients' own answers tell which there are.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.tables.by_dns.names.exact()
    }

    /// When policies next begin or cease to count, in seconds since 1970 UTC: what was decided before may change then.
    pub fn next_change(&self, now: u64) -> Option<u64> {
        self.schedules.as_ref()?.next_change(now)
    }

    /// How many bytes they take, the policies themselves not counted.
    pub fn bytes(&self) -> usize {
        let list = self.list.capacity() * size_of::<Arc<ControlPolicy>>();
        let says = self.says.capacity() * size_of::<Says>();
        let schedules = self.schedules.as_ref().map_or(0, Schedules::bytes);
        list + says
            + schedules
            + self.index.bytes()
            + self.tables.bytes()
            + self.sets.bytes()
            + self.chains.bytes()
    }

    /// What the policies say. `default` happens to what none matches.
    pub fn check(
        &self,
        subject: &Subject,
        facts: &Facts,
        mode: EngineMode,
        default: PolicyAction,
    ) -> Verdict {
        let Some((place, needs)) = self.first(subject, facts, mode) else {
            return Verdict::Decided {
                action: default,
                because: Because::Default,
            };
        };
        match needs {
            None => Verdict::Decided {
                action: self.says[place as usize].action,
                because: Because::Policy(place),
            },
            Some(needs) if matches!(subject.identity, Identity::Pending(_)) => {
                Verdict::Pending(place, needs)
            }
            Some(needs) => Verdict::Decided {
                action: PolicyAction::Accept,
                because: Because::Unidentified(place, needs),
            },
        }
    }

    /// The first policy that matches, or would if more were known: then also what.
    fn first(
        &self,
        subject: &Subject,
        facts: &Facts,
        mode: EngineMode,
    ) -> Option<(u32, Option<Needs>)> {
        let (app, name, pending) = match subject.identity {
            Identity::Pending(app) => (app, None, true),
            Identity::Known { app, domain } => (Some(app), domain, false),
            Identity::Nameless(app) => (Some(app), None, false),
            Identity::Unknown => (None, None, false),
        };
        // Policies that need what cannot be known do not count.
        let strict = mode == EngineMode::Strict && !pending;
        let by_fqdn = &self.tables.by_fqdn;

        let sources = self.by_address(&self.tables.source, subject.source, facts);
        let mut ports = Found::new();
        let port = self.tables.ports.find(subject.port);
        self.chains.collect(port, &mut ports);
        let protocol = self.tables.protocols[usize::from(subject.protocol)];
        let by_app = match (&self.tables.apps, app) {
            (Some(apps), Some(app)) => Some(apps.of(app)),
            (Some(apps), None) if strict => Some(apps.any),
            _ => None,
        };
        let in_all: SmallVec<[SetId; 2]> = [protocol].into_iter().chain(by_app).collect();
        let counting = self.schedules.as_ref().map(|it| it.now(facts.now));
        let search = |destinations: &[SetId], before: u32| {
            self.sets.first(&Query {
                in_one: [&sources, destinations, &ports],
                in_all: &in_all,
                valid: counting.as_deref().map(Now::valid),
                before,
            })
        };

        // What streams of this application tell, as far as is known.
        let nameless = matches!(subject.identity, Identity::Nameless(_));
        let tells = app.is_none_or(|app| app.has_domain()) && !by_fqdn.is_empty() && !nameless;
        let mut destinations =
            self.by_address(&self.tables.destination, subject.destination, facts);
        if let Some(name) = name.filter(|_| tells) {
            self.chains
                .collect(by_fqdn.names.find(name), &mut destinations);
            if !by_fqdn.threats.is_empty()
                && let Some(category) = facts.threats.find_domain(name)
            {
                let threats = &by_fqdn.threats;
                threats.collect(category, &self.chains, &mut destinations);
            }
        }
        let fits = |place| {
            by_app.is_none_or(|set| self.sets.has(set, place))
                && counting.as_deref().is_none_or(|it| it.valid().has(place))
        };
        let indexed = self.index.first(subject, fits);
        let mut matches = search(&destinations, indexed.unwrap_or(u32::MAX)).or(indexed);

        // Policies that would match by a name that is not told, or not yet.
        let mut may_match = None;
        if tells && name.is_none() && !strict {
            let mut destinations = Found::new();
            destinations.push(by_fqdn.all);
            for category in by_fqdn.threats.words() {
                if facts.threats.has_domains(category) {
                    let threats = &by_fqdn.threats;
                    threats.collect(category, &self.chains, &mut destinations);
                }
            }
            may_match = search(&destinations, matches.unwrap_or(u32::MAX));
        }

        // Policies by the names that the address stands for, as far as they would come first. One that might match by
        // its name as well matches.
        let before = match (matches, may_match) {
            (_, Some(place)) => place + 1,
            (Some(place), None) => place,
            (None, None) => u32::MAX,
        };
        if self.by_dns()
            && let Some(found) = self.first_by_dns(subject, facts, |sets| search(sets, before))
        {
            (matches, may_match) = (Some(found), None);
        }

        let app_needed = |place: u32| app.is_none() && self.says[place as usize].app;
        match (may_match, matches) {
            (Some(place), _) if app_needed(place) => Some((place, Some(Needs::App))),
            (Some(place), _) => Some((place, Some(Needs::Domain))),
            (None, Some(place)) if app_needed(place) => Some((place, Some(Needs::App))),
            (None, Some(place)) => Some((place, None)),
            (None, None) => None,
        }
    }

    fn first_by_dns(
        &self,
        subject: &Subject,
        facts: &Facts,
        search: impl Fn(&[SetId]) -> Option<u32>,
    ) -> Option<u32> {
        let tables = &self.tables.by_dns;
        let mut found = Found::new();
        found.push(tables.all);
        for category in tables.threats.words() {
            tables.threats.collect(category, &self.chains, &mut found);
        }
        // Names are not asked for unless one of these policies would come first.
        search(&found)?;
        found.clear();
        let (client, address) = (subject.source, subject.destination);
        facts.names.names(client, address, &mut |name| {
            self.chains.collect(tables.names.find(name), &mut found);
            if !tables.threats.is_empty()
                && let Some(category) = facts.threats.find_domain(name)
            {
                tables.threats.collect(category, &self.chains, &mut found);
            }
        });
        search(&found)
    }

    /// The policies that mean an address.
    fn by_address(&self, side: &SideTables, address: Ipv4Addr, facts: &Facts) -> Found {
        let mut found = Found::new();
        let chain = side.addresses.find(address);
        self.chains.collect(chain, &mut found);
        if !side.locations.is_empty() {
            let locate = &mut |code: &str| {
                side.locations.collect(code, &self.chains, &mut found);
            };
            facts.locations.locate(address, locate);
        }
        if !side.threats.is_empty()
            && let Some(category) = facts.threats.find_address(address)
        {
            side.threats.collect(category, &self.chains, &mut found);
        }
        found
    }
}
