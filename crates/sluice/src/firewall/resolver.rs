//! What the names of policies stand for: asked again before an answer is too old.
//!
//! A name's addresses are those of its last answer, and those of earlier ones for [`HOLD`] longer than they were said
//! to be valid: names of large sites have other addresses in each answer, and who was given one goes on using it. If
//! nobody answers, the last addresses stay.

use super::lookup::{self, LookupError, MOST};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How long an address counts after the answer that it was in has become too old.
const HOLD: Duration = Duration::from_secs(300);
/// Names that are asked for at the same time.
const THREADS: usize = 4;
/// How long changed addresses wait for others at most before they are told.
const GATHER: Duration = Duration::from_millis(200);
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(10);
/// How long somebody waits who wants to know now.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Its addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// When the last answer came.
    pub at: Option<SystemTime>,
    /// Why there was none the last time, if there was none.
    pub error: Option<String>,
}

/// A name that is kept known.
#[derive(Default)]
struct Name {
    /// Its addresses, and until when each counts.
    addresses: BTreeMap<Ipv4Addr, Instant>,
    at: Option<SystemTime>,
    error: Option<String>,
    /// When it is asked for next; `None` is at once.
    due: Option<Instant>,
    /// Somebody asks for it.
    asked: bool,
    /// How often it was asked for.
    rounds: u64,
}

impl Name {
    fn resolution(&self) -> Resolution {
        Resolution {
            addresses: self.addresses.keys().copied().collect(),
            at: self.at,
            error: self.error.clone(),
        }
    }
}

#[derive(Default)]
struct State {
    settings: model::Resolver,
    names: BTreeMap<String, Name>,
    /// Since when something is not told yet.
    changed: Option<Instant>,
    stopping: bool,
}

/// Who is told all names with their addresses when one of them has others.
type Told = Box<dyn Fn(Vec<(String, Vec<Ipv4Addr>)>) + Send + Sync>;

struct Shared {
    state: Mutex<State>,
    news: Condvar,
    told: Told,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resolver of a running gateway.
pub struct Resolver {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Resolver {
    /// Starts it, with no names.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn start(told: Told) -> std::io::Result<Resolver> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            news: Condvar::new(),
            told,
        });
        let threads = (0..THREADS).map(|_| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("sluice-resolver".into());
            thread.spawn(move || run(&shared))
        });
        let threads = Mutex::new(threads.collect::<Result<_, _>>()?);
        Ok(Resolver { shared, threads })
    }

    /// Keeps these names known, in the form of [`model::domain::normalise`], and forgets others.
    pub fn keep(&self, settings: &model::Resolver, names: &BTreeSet<String>) {
        let mut state = self.shared.state();
        if state.settings != *settings {
            state.settings = settings.clone();
            // Other servers may say something else.
            state.names.values_mut().for_each(|name| name.due = None);
        }
        let before = state.names.len();
        state.names.retain(|name, _| names.contains(name));
        if state.names.len() < before {
            state.changed.get_or_insert_with(Instant::now);
        }
        for name in names {
            state.names.entry(name.clone()).or_default();
        }
        drop(state);
        self.shared.news.notify_all();
    }

    /// Asks for a name now, kept or not.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn now(&self, name: &str) -> Result<Resolution, String> {
        let mut state = self.shared.state();
        let Some(known) = state.names.get_mut(name) else {
            let servers = servers(&state.settings);
            drop(state);
            let found = lookup::lookup(&servers, name).map_err(|error| error.to_string())?;
            return Ok(Resolution {
                addresses: found.addresses,
                at: Some(SystemTime::now()),
                error: None,
            });
        };
        // What is being asked for may have been asked before the change that the caller knows of.
        let wanted = known.rounds + if known.asked { 2 } else { 1 };
        known.due = None;
        self.shared.news.notify_all();
        let pending = |state: &mut State| {
            let name = state.names.get_mut(name);
            name.is_some_and(|it| {
                // The one that is under way puts its own time.
                if !it.asked && it.rounds < wanted {
                    it.due = None;
                }
                it.rounds < wanted
            })
        };
        let wait = self
            .shared
            .news
            .wait_timeout_while(state, PATIENCE, pending);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        let found = state.names.get(name).map(Name::resolution);
        let found = found.unwrap_or_default();
        match found.error.clone() {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    /// Asks for a name that is kept without waiting for the answer.
    pub fn soon(&self, name: &str) {
        if let Some(known) = self.shared.state().names.get_mut(name) {
            known.due = None;
        }
        self.shared.news.notify_all();
    }

    /// What is known of a name that is kept.
    pub fn known(&self, name: &str) -> Option<Resolution> {
        let state = self.shared.state();
        state.names.get(name).map(Name::resolution)
    }

    /// All names that are kept.
    pub fn all(&self) -> Vec<(String, Resolution)> {
        let state = self.shared.state();
        let names = state.names.iter();
        names
            .map(|(name, it)| (name.clone(), it.resolution()))
            .collect()
    }

    /// Ends it.
    pub fn stop(&self) {
        self.shared.state().stopping = true;
        self.shared.news.notify_all();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The servers that are asked.
fn servers(settings: &model::Resolver) -> Vec<std::net::SocketAddr> {
    match settings.servers.is_empty() {
        false => settings.servers.clone(),
        true => {
            let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            lookup::servers(&text)
        }
    }
}

fn run(shared: &Shared) {
    let mut state = shared.state();
    while !state.stopping {
        let now = Instant::now();
        let due = |name: &Name| name.due.unwrap_or(now);
        let next = state
            .names
            .iter()
            .filter(|(_, it)| !it.asked)
            .min_by_key(|(_, it)| due(it))
            .map(|(name, it)| (name.clone(), due(it)));
        let overdue = next.as_ref().is_some_and(|(_, due)| *due <= now);
        let gathered = |since: Instant| !overdue || now.duration_since(since) >= GATHER;
        if state.changed.is_some_and(gathered) {
            state.changed = None;
            let all = state.names.iter();
            let all = all.map(|(name, it)| (name.clone(), it.addresses.keys().copied().collect()));
            // With the state held, so that what is told later is newer.
            (shared.told)(all.collect());
            continue;
        }
        match next {
            Some((name, due)) if due <= now => {
                if let Some(it) = state.names.get_mut(&name) {
                    it.asked = true;
                }
                let settings = state.settings.clone();
                drop(state);
                let found = lookup::lookup(&servers(&settings), &name);
                state = shared.state();
                note(&mut state, &name, &settings, found);
                shared.news.notify_all();
            }
            next => {
                let until = next.map_or(Duration::from_secs(3600), |(_, due)| due - now);
                let wait = shared.news.wait_timeout(state, until);
                (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Takes an answer in.
fn note(
    state: &mut State,
    name: &str,
    settings: &model::Resolver,
    found: Result<lookup::Answer, LookupError>,
) {
    // Nobody may want it any more.
    let Some(known) = state.names.get_mut(name) else {
        return;
    };
    let now = Instant::now();
    known.asked = false;
    known.rounds += 1;
    match found {
        Ok(answer) => {
            let before: Vec<Ipv4Addr> = known.addresses.keys().copied().collect();
            let ttl = answer.ttl.clamp(settings.min_ttl, settings.max_ttl);
            let ttl = Duration::from_secs(ttl.into());
            if answer.addresses.is_empty() {
                known.addresses.clear();
            }
            known.addresses.retain(|_, until| *until > now);
            for address in answer.addresses {
                known.addresses.insert(address, now + ttl + HOLD);
            }
            // The ones that were answered last stay.
            while known.addresses.len() > MOST {
                let oldest = known.addresses.iter().min_by_key(|(_, until)| **until);
                let Some((&oldest, _)) = oldest else { break };
                known.addresses.remove(&oldest);
            }
            known.at = Some(SystemTime::now());
            known.error = None;
            // Before it is too old, by a tenth.
            known.due = Some(now + ttl * 9 / 10);
            if !known.addresses.keys().eq(&before) {
                state.changed.get_or_insert(now);
            }
        }
        Err(error) => {
            let error = error.to_string();
            if known.error.as_ref() != Some(&error) {
                tracing::warn!("{name} cannot be resolved, and what is known of it stays: {error}");
            }
            known.error = Some(error);
            known.due = Some(now + RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    /// A server that answers every query with 192.0.2.N, and with failures while N is 0.
    fn server(n: Arc<AtomicU8>) -> model::Resolver {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let mut answer = buffer[..length].to_vec();
                answer[2] = 0x81;
                match n.load(Ordering::Relaxed) {
                    0 => answer[3] = 0x82,
                    n => {
                        answer[3] = 0x80;
                        answer[7] = 1;
                        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, n]);
                    }
                }
                let _ = socket.send_to(&answer, from);
            }
        });
        model::Resolver {
            servers: vec![address],
            ..model::Resolver::default()
        }
    }

    type All = Vec<(String, Vec<Ipv4Addr>)>;

    fn resolver() -> (Resolver, Receiver<All>) {
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let resolver = Resolver::start(Box::new(move |all| {
            let _ = tell.lock().unwrap().send(all);
        }));
        (resolver.unwrap(), told)
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&it| it.into()).collect()
    }

    #[test]
    fn what_changes_is_told_and_what_fails_stays() {
        let n = Arc::new(AtomicU8::new(1));
        let settings = server(Arc::clone(&n));
        let (resolver, told) = resolver();
        let next = || told.recv_timeout(Duration::from_secs(5)).unwrap();
        let one = Ipv4Addr::new(192, 0, 2, 1);
        resolver.keep(&settings, &names(&["a.test"]));
        assert_eq!(next(), [("a.test".to_owned(), vec![one])]);
        // The same again is no news.
        assert_eq!(resolver.now("a.test").unwrap().addresses, [one]);
        n.store(0, Ordering::Relaxed);
        assert!(resolver.now("a.test").unwrap_err().contains("error 2"));
        let known = resolver.known("a.test").unwrap();
        assert_eq!(known.addresses, [one]);
        assert!(known.at.is_some() && known.error.is_some());
        // An address more; the one before counts as long as it was said to, and some more.
        n.store(2, Ordering::Relaxed);
        let two = Ipv4Addr::new(192, 0, 2, 2);
        assert_eq!(resolver.now("a.test").unwrap().addresses, [one, two]);
        assert_eq!(next(), [("a.test".to_owned(), vec![one, two])]);
        // One that is not kept is asked for all the same.
        assert_eq!(resolver.now("b.test").unwrap().addresses, [two]);
        assert_eq!(resolver.known("b.test"), None);
        resolver.keep(&settings, &names(&[]));
        assert_eq!(next(), []);
        assert!(told.try_recv().is_err());
        resolver.stop();
    }

    #[test]
    fn many_names_are_told_together() {
        let settings = server(Arc::new(AtomicU8::new(7)));
        let (resolver, told) = resolver();
        let many: BTreeSet<String> = (0..500).map(|n| format!("n{n}.test")).collect();
        resolver.keep(&settings, &many);
        let mut times = 0;
        loop {
            let all = told.recv_timeout(Duration::from_secs(20)).unwrap();
            times += 1;
            if all.len() == 500 && all.iter().all(|(_, found)| found.len() == 1) {
                break;
            }
        }
        assert!(times < 100, "{times}");
        resolver.stop();
    }
}
