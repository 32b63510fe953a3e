//! What the firewalls of a running gateway need beside the configuration: the addresses of names, lists of threats and of
//! cloud services, where addresses are, and where records go.
//!
//! Each is fetched on a thread of its own and handed to the engine between two packets, whole.

mod counters;
mod feeds;
mod lists;
mod live;
mod locations;
mod lookup;
mod pulse;
mod recording;
mod resolver;

pub use counters::Counters;
pub use feeds::Feed;
pub(crate) use live::Live;
pub(crate) use locations::Table;
#[cfg(test)]
pub(crate) use locations::tests::table as table_for_tests;
pub use pulse::Pulse;
pub use recording::{Recorded, Recording};
pub use resolver::{Resolution, Resolver};

use crate::gateway::Plane;
use crate::socket::protocol::{FeedView, IntelView, LocationsView, NameView, ServiceView};
use feeds::Feeds;
use ipnet::Ipv4Net;
pub(crate) use lists::{Kind as ListKind, List};
use locations::Watched;
use model::{BookContent, Config, DomainResolve, PolicyDestination, domain::Pattern};
use policy::World;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long somebody waits who wants lists fetched now.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a name is kept known that a session has told.
const KEEP_TOLD: Duration = Duration::from_secs(3_600);
/// Names that sessions have told at most.
const MOST_TOLD: usize = 5_000;
/// How often the file of locations is looked at.
const LOOK: Duration = Duration::from_secs(5);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the engine is told of the world.
struct Knowledge {
    plane: Arc<Plane>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    world: World,
    /// Whether the engine has it: there is none before the data path is up.
    told: bool,
}

impl Knowledge {
    /// Changes something of it. The engine gets the worlds in the order in which they were made.
    fn change(&self, change: impl FnOnce(&mut World)) {
        let mut held = lock(&self.held);
        change(&mut held.world);
        self.tell(&mut held);
    }

    /// Tells an engine that has not been told yet.
    fn make_up(&self) {
        let mut held = lock(&self.held);
        if !held.told {
            self.tell(&mut held);
        }
    }

    fn tell(&self, held: &mut Held) {
        let world = held.world.clone();
        let told = self.plane.engine(move |engine, _| engine.know(world));
        held.told = told.is_ok();
    }
}

/// Threat lists, cloud services and locations.
#[derive(Default)]
struct Intel {
    state: Mutex<IntelState>,
    news: Condvar,
}

#[derive(Default)]
struct IntelState {
    feeds: Option<Feeds>,
    /// Lists that have come or gone: the table is built before anything is fetched.
    changed: bool,
    locations: Option<PathBuf>,
    watched: Watched,
    indicators: usize,
    stopping: bool,
}

/// What runs beside the data path.
pub struct Services {
    knowledge: Arc<Knowledge>,
    resolver: Resolver,
    names: Mutex<Names>,
    intel: Arc<Intel>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Services {
    /// Starts them, with nothing to do. Files are kept in the state directory.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(crate) fn start(state: &Path, plane: Arc<Plane>) -> std::io::Result<Services> {
        let knowledge = Arc::new(Knowledge {
            plane,
            held: Mutex::default(),
        });
        let resolver = Resolver::start({
            let knowledge = Arc::clone(&knowledge);
            Box::new(move |all| {
                let resolved = Arc::new(policy::Resolved::new(all));
                knowledge.change(|world| world.resolved = resolved);
            })
        })?;
        let intel = Arc::<Intel>::default();
        lock(&intel.state).feeds = Some(Feeds::new(state.join("feeds")));
        let thread = std::thread::Builder::new()
            .name("sluice-intel".into())
            .spawn({
                let (intel, knowledge) = (Arc::clone(&intel), Arc::clone(&knowledge));
                move || gather(&intel, &knowledge)
            })?;
        Ok(Services {
            knowledge,
            resolver,
            names: Mutex::default(),
            intel,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Goes on as a configuration says.
    pub fn configure(&self, config: &Config) {
        self.knowledge.make_up();
        let services = &config.system.services;
        let mut names = lock(&self.names);
        names.settings.clone_from(&services.resolver);
        names.policies = of_policies(config);
        self.keep(&mut names);
        drop(names);
        let mut intel = lock(&self.intel.state);
        intel.locations.clone_from(&services.locations);
        intel.keep(&List::of(config));
        drop(intel);
        self.intel.news.notify_all();
    }

    /// Keeps names known that sessions have told, for some time.
    fn told(&self, told: Vec<String>) {
        let now = Instant::now();
        let mut names = lock(&self.names);
        let before = names.told.len();
        names.told.retain(|_, until| *until > now);
        if told.is_empty() && names.told.len() == before {
            return;
        }
        for name in told {
            if names.told.len() < MOST_TOLD || names.told.contains_key(&name) {
                names.told.insert(name, now + KEEP_TOLD);
            }
        }
        self.keep(&mut names);
    }

    /// Has a name resolved, and keeps it known for some time. The answer is not waited for.
    pub fn resolve_soon(&self, name: String) {
        self.told(vec![name.clone()]);
        self.resolver.soon(&name);
    }

    fn keep(&self, names: &mut Names) {
        let told = names.told.keys();
        let all = names.policies.iter().chain(told).cloned().collect();
        self.resolver.keep(&names.settings, &all);
    }

    /// What resolves names.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The networks of a cloud service, by its address book, as they are in force.
    pub fn cloud_service(&self, book: &str) -> Arc<[Ipv4Net]> {
        let services = Arc::clone(&lock(&self.knowledge.held).world.services);
        services.networks(book)
    }

    /// Fetches a list now, or all, and waits until that is done, some seconds at most.
    fn refresh(&self, id: Option<&str>) -> Result<(), String> {
        let mut state = lock(&self.intel.state);
        let wanted = state.feeds.as_mut().map_or(0, |it| it.refresh(id));
        if let (0, Some(id)) = (wanted, id) {
            return Err(format!("there is no threat list or cloud service {id:?}"));
        }
        self.intel.news.notify_all();
        let pending = |state: &mut IntelState| {
            let feeds = state.feeds.as_ref();
            !state.stopping && feeds.is_some_and(Feeds::busy)
        };
        let wait = self.intel.news.wait_timeout_while(state, PATIENCE, pending);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// What is known, for people; after lists that are to be fetched now were.
    ///
    /// # Errors
    /// If there is no such list.
    pub fn view(&self, refresh: Option<&str>) -> Result<IntelView, String> {
        if let Some(id) = refresh {
            self.refresh(Some(id).filter(|id| !id.is_empty()))?;
        }
        let intel = lock(&self.intel.state);
        let feeds = intel.feeds.as_ref().map(Feeds::all).unwrap_or_default();
        let mut view = IntelView::default();
        for it in feeds {
            let fetched = it.at.map(rfc3339);
            match it.list {
                List::Threats(feed) => view.feeds.push(FeedView {
                    id: feed.id,
                    category: feed.category,
                    location: feed.location,
                    indicators: it.indicators,
                    skipped: it.skipped,
                    fetched,
                    error: it.error,
                }),
                List::Service(book, service) => view.services.push(ServiceView {
                    book,
                    location: service.location,
                    networks: it.indicators,
                    skipped: it.skipped,
                    fetched,
                    error: it.error,
                }),
            }
        }
        let locations = intel.locations.clone().map(|path| {
            let (made, error) = match intel.watched.status.clone() {
                Some(Ok(made)) => (Some(records::rfc3339(made)), None),
                Some(Err(error)) => (None, Some(error)),
                None => (None, None),
            };
            LocationsView { path, made, error }
        });
        let names = self.resolver.all().into_iter();
        Ok(IntelView {
            indicators: intel.indicators as u64,
            names: names.map(|(name, it)| name_view(name, it)).collect(),
            locations,
            ..view
        })
    }

    /// Ends them.
    pub fn stop(&self) {
        self.resolver.stop();
        lock(&self.intel.state).stopping = true;
        self.intel.news.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl IntelState {
    fn keep(&mut self, lists: &[List]) {
        if let Some(known) = &mut self.feeds {
            self.changed |= known.keep(lists);
        }
    }
}

/// Keeps lists and locations as the configuration says, until it is to stop.
fn gather(intel: &Intel, knowledge: &Knowledge) {
    let mut state = lock(&intel.state);
    // Before the first configuration there is nothing to do.
    while !state.stopping {
        let path = state.locations.clone();
        if let Some(table) = state.watched.look(path.as_deref()) {
            knowledge.change(|world| {
                world.locations = table.map(|it| it as Arc<dyn policy::Locations + Send + Sync>);
            });
        }
        let IntelState {
            feeds: Some(feeds),
            changed,
            ..
        } = &mut *state
        else {
            return;
        };
        let due = feeds.due();
        let plan = match *changed || due.is_empty() {
            true => feeds.plan(),
            false => None,
        };
        // Others may ask and tell while lists are read and fetched.
        if let Some(plan) = plan {
            drop(state);
            let (table, outcomes) = plan.build(datapath::wall());
            let tell = table.tell();
            let mut indicators = 0;
            knowledge.change(|world| {
                tell(world);
                indicators = world.threats.len();
            });
            state = lock(&intel.state);
            state.indicators = indicators;
            if let Some(feeds) = &mut state.feeds {
                feeds.built(outcomes);
            }
            intel.news.notify_all();
            continue;
        }
        *changed = false;
        let idle = feeds.idle().unwrap_or(LOOK).min(LOOK);
        match due.first() {
            Some(first) => {
                let directory = feeds.directory().to_owned();
                drop(state);
                let fetched = feeds::fetch(first.location());
                let now = datapath::wall();
                for list in &due {
                    let content = fetched.as_ref().map_err(String::clone);
                    let prepared = content.and_then(|it| feeds::prepare(&directory, list, it, now));
                    if let Some(feeds) = &mut lock(&intel.state).feeds {
                        feeds.fetched(list, prepared, now);
                    }
                }
                // Somebody may wait for it, though no table becomes another by it.
                intel.news.notify_all();
                state = lock(&intel.state);
            }
            None => {
                let wait = intel.news.wait_timeout(state, idle);
                (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// What a name stands for, for people.
pub fn name_view(name: String, found: Resolution) -> NameView {
    NameView {
        name,
        addresses: found.addresses,
        answered: found.at.map(rfc3339),
        error: found.error,
    }
}

fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH);
    records::rfc3339(since.map_or(0, |it| it.as_secs()))
}

/// The names that are kept known.
#[derive(Default)]
struct Names {
    settings: model::Resolver,
    /// Those that policies look at by DNS.
    policies: BTreeSet<String>,
    /// Those that sessions have told or somebody has asked for, and until when each is kept.
    told: BTreeMap<String, Instant>,
}

/// The names whose addresses policies look at.
fn of_policies(config: &Config) -> BTreeSet<String> {
    let firewalls = &config.firewalls;
    let mut names = BTreeSet::new();
    let mut add = |pattern: &Pattern| {
        if let Pattern::Exact(name) = pattern {
            names.insert(name.clone());
        }
    };
    let policies = firewalls.policies.iter().flat_map(|it| it.policies.iter());
    for policy in policies.filter(|it| it.enabled && it.resolve != DomainResolve::Fqdn) {
        match &policy.destination {
            PolicyDestination::Domain(pattern) => add(pattern),
            PolicyDestination::Book(id) => {
                let book = firewalls.books.iter().find(|it| it.id == *id);
                if let Some(BookContent::Domain(patterns)) = book.map(|it| &*it.content) {
                    patterns.iter().for_each(&mut add);
                }
            }
            _ => {}
        }
    }
    names
}
