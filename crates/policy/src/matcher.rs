//! What decides about a session without reading all policies.

use crate::chain::{Builder, Chains, Found};
use crate::draft::{Books, Draft, SideTables, Tables};
use crate::index::Index;
use crate::schedule::{Now, Schedules};
use crate::sets::{Plain, Query, SetId, Sets};
use crate::subject::{Facts, Identity, Needs, Subject};
use model::{ControlPolicy, EngineMode, PolicyAction};
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Policies, compiled. Each field of a session leads to the set of policies that mean it; the first that is in all of them decides.
/// The sets hold exactly what a list that is read from the top would say, so that the first one found is the answer: no policy
/// is looked at that does not decide. What such a check costs grows by a block of 512 policies at most, and not with
/// how many networks, domains and books they have nor with how those overlap. Policies from a network to a network,
/// most of all, are in no sets but in an [index](crate::index), where a check meets few, however many there are.
pub(crate) struct Matcher {
    /// What a policy says, where a check finds it in one step.
    says: Vec<Says>,
    /// Those that are found by a network or a port. The tables and sets have the others.
    index: Index,
    tables: Tables,
    sets: Sets,
    chains: Chains,
    schedules: Option<Schedules>,
}

/// A policy that decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    /// Its place.
    pub place: u32,
    /// What must be known so that it matches.
    pub needs: Option<Needs>,
    /// What it says.
    pub action: PolicyAction,
}

#[derive(Clone, Copy)]
struct Says {
    action: PolicyAction,
    /// Whether it looks at the application.
    app: bool,
}

impl Matcher {
    /// Compiles policies, in their order. Sets are joined until they take so many bytes. Under one network or port of the
    /// index there are at most so many.
    pub fn new(
        policies: &[Arc<ControlPolicy>],
        books: &Books<'_>,
        budget: usize,
        most: u32,
    ) -> Matcher {
        let enabled = || (0..).zip(policies).filter(|(_, it)| it.enabled);
        let (index, taken) = Index::new(enabled().map(|(place, it)| (place, &**it)), most);
        let mut draft = Draft::default();
        let mut taken = taken.into_iter().peekable();
        for (place, policy) in enabled() {
            match taken.next_if_eq(&place) {
                Some(_) => draft.add_apps(place, policy),
                None => draft.add(place, policy, books),
            }
        }
        let mut builder = Builder::new(policies.len(), budget);
        let tables = draft.finish(books, &mut builder);
        let (sets, chains) = builder.finish();
        let validities = enabled().map(|(place, it)| (place, &it.validity));
        let says = policies.iter().map(|it| Says {
            action: it.action,
            app: !it.applications.is_empty(),
        });
        Matcher {
            says: says.collect(),
            index,
            schedules: Schedules::new(policies.len(), validities),
            tables,
            sets,
            chains,
        }
    }

    /// Whether some policy looks at the names that addresses stand for, so that DNS answers must be seen.
    pub fn by_dns(&self) -> bool {
        !self.tables.by_dns.is_empty()
    }

    /// Whether some policy looks at locations, threats or cloud services, or at the names that addresses stand for.
    pub fn is_worldly(&self) -> bool {
        let Tables {
            source,
            destination,
            by_fqdn,
            ..
        } = &self.tables;
        let side = source.is_worldly() || destination.is_worldly();
        self.by_dns() || side || !by_fqdn.threats.is_empty()
    }

    /// See [`Policies`](crate::Policies).
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.tables.by_dns.names.exact()
    }

    /// Whether a name is among these.
    pub fn has_domain(&self, name: &str) -> bool {
        self.tables.by_dns.names.has_exact(name)
    }

    /// See [`Policies`](crate::Policies).
    pub fn next_change(&self, now: u64) -> Option<u64> {
        self.schedules.as_ref()?.next_change(now)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        let says = self.says.capacity() * size_of::<Says>();
        let schedules = self.schedules.as_ref().map_or(0, Schedules::bytes);
        says + schedules
            + self.index.bytes()
            + self.tables.bytes()
            + self.sets.bytes()
            + self.chains.bytes()
    }

    /// The first policy that matches, or would if more were known: then also what. Only those count that are `kept`.
    pub fn first(
        &self,
        subject: &Subject,
        facts: &Facts,
        mode: EngineMode,
        kept: Option<&Plain>,
    ) -> Option<Match> {
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
                kept,
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
                && kept.is_none_or(|it| it.has(place))
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

        let place = may_match.or(matches)?;
        let says = self.says[place as usize];
        let app_needed = app.is_none() && says.app;
        Some(Match {
            place,
            needs: match may_match {
                _ if app_needed => Some(Needs::App),
                Some(_) => Some(Needs::Domain),
                None => None,
            },
            action: says.action,
        })
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
        if !side.services.is_empty() {
            facts.services.find(address, &mut |book| {
                side.services.collect(book, &self.chains, &mut found);
            });
        }
        found
    }
}
