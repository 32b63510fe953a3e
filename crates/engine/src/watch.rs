//! What is kept of the sessions that firewalls see: what the firewalls say of them, and what they were found to be.
//!
//! It lies beside the sessions, so that those that no firewall sees cost nothing more. When policies, threats or the
//! time change, live sessions are judged again by it: the forbidden are refused, the others' flows are not touched.

use crate::curtain::{Curtain, Mark};
use crate::firewall::Firewalls;
use crate::hits::{Hits, Moved};
use crate::inspection::Inspections;
use crate::io::Time;
use crate::neighbours::HopIx;
use crate::record::{AppState, Details, Identified, Record, Unknown};
use crate::talks::Talks;
use crate::verdicts::{Evidence, Known, Ruling, Rulings, STAGES};
use flow::reason::Reason;
use hashbrown::HashSet;
use model::App;
use policy::{Answers, Facts, Identity, Names, World};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Answers of DNS that are kept, of all clients together.
const ANSWERS: usize = 262_144;
/// Index of what is kept of a session, plus one.
pub(crate) type JudgedIx = NonZeroU32;

/// What firewalls say, as it is kept: nearly always there is one.
#[derive(Clone, Debug)]
enum Kept {
    None,
    /// In this place.
    One(u8, Ruling),
    Several(Box<Rulings>),
}

impl Kept {
    fn new(rulings: Rulings) -> Kept {
        let mut said = (0..).zip(rulings).filter_map(|(at, it)| Some((at, it?)));
        match (said.next(), said.next()) {
            (None, _) => Kept::None,
            (Some((at, ruling)), None) => Kept::One(at, ruling),
            _ => Kept::Several(Box::new(rulings)),
        }
    }
}

/// What is kept of a session that firewalls see.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    rulings: Kept,
    /// What the DNS firewall says about the name that it has asked for last.
    pub dns: Option<Box<Ruling>>,
    /// What it speaks, as far as it is known.
    pub app: Option<App>,
    /// Whether all is known that will be.
    pub complete: bool,
    pub state: AppState,
    pub identified: Option<Identified>,
    /// Why it was given up to find out what it is.
    pub unknown: Option<Unknown>,
    pub domain: Option<Arc<str>>,
    /// It tells an address instead of a domain.
    pub nameless: bool,
    /// The domain is the outer one of ECH.
    pub hidden: bool,
    pub details: Option<Arc<Details>>,
    /// The names that its destination had when it began.
    #[expect(
        clippy::box_collection,
        reason = "few sessions have names, and all have this field"
    )]
    pub names: Option<Box<Vec<Arc<str>>>>,
    pub curtain: Curtain,
    /// What the curtain says to a daemon that takes over.
    pub mark: Mark,
    /// While the curtain is drawn: where its packets really go.
    pub hops: [HopIx; 2],
    /// Why it is refused.
    pub refused: Reason,
    /// Both ends of the refused connection were told.
    pub told: bool,
    /// Its end is in the records.
    pub recorded: bool,
    /// It was found in the flow table, and what it was allowed by is not known any more, or what it has begun with.
    pub earlier: bool,
    /// What was known of the world when it was judged last.
    pub epoch: u32,
    /// The second in which it was told of last.
    pub reported: u32,
    /// Bytes that are counted for its policies.
    pub counted: u64,
}

impl Judged {
    pub fn new(rulings: Rulings, epoch: u32, now: Time) -> Judged {
        Judged {
            rulings: Kept::new(rulings),
            dns: None,
            app: None,
            complete: false,
            state: AppState::None,
            identified: None,
            unknown: None,
            domain: None,
            nameless: false,
            hidden: false,
            details: None,
            names: None,
            curtain: Curtain::Open,
            mark: Mark::Fresh,
            hops: [0; 2],
            refused: Reason::NatFirewall,
            told: false,
            recorded: false,
            earlier: false,
            epoch,
            reported: now.second(),
            counted: 0,
        }
    }

    /// What the firewalls say.
    pub fn rulings(&self) -> Rulings {
        let mut all = [None; STAGES];
        match &self.rulings {
            Kept::None => {}
            Kept::One(at, ruling) => all[*at as usize] = Some(*ruling),
            Kept::Several(rulings) => all = **rulings,
        }
        all
    }

    /// Whether some firewall has said something about it.
    pub fn is_seen(&self) -> bool {
        !matches!(self.rulings, Kept::None) || self.dns.is_some()
    }

    pub fn set_rulings(&mut self, rulings: Rulings) {
        self.rulings = Kept::new(rulings);
    }

    /// All is known of what it speaks.
    pub fn found(&mut self, app: App, identified: Identified) {
        self.app = Some(app);
        self.complete = true;
        self.state = AppState::Success;
        self.identified = Some(identified);
    }

    /// The session has asked for a name, and this was said about it.
    pub fn asked(&mut self, name: Arc<str>, ruling: Option<Ruling>) {
        self.found(App::Dns, Identified::Payload);
        self.domain = Some(name);
        self.dns = ruling.map(Box::new);
    }

    /// It is decided though not all is known: what is known now is all that will be. A mail session that is allowed as
    /// SMTP stays that, whatever it turns into.
    pub fn settle(&mut self) {
        if self.curtain == Curtain::Inspect && self.app.is_some() && !self.complete {
            self.complete = true;
            self.state = AppState::Success;
            self.identified = Some(Identified::Payload);
        }
    }

    /// What it was found to be counts no more: it may have said that for show.
    pub fn doubt(&mut self) {
        self.app = None;
        self.domain = None;
        self.nameless = false;
        self.hidden = false;
        self.identified = None;
        self.state = AppState::Analysing;
    }

    /// By what it is judged. What an earlier daemon has let pass, and cannot be known any more, stays allowed as long as
    /// the firewalls decide `alike`.
    pub fn known(&self, alike: bool) -> Known<'_> {
        let identity = self.identity();
        let pending = matches!(identity, Identity::Pending(_));
        let earlier = self.earlier && alike && !pending;
        Known {
            identity: match identity {
                // It has told already.
                Identity::Unknown if earlier => Identity::Pending(None),
                known => known,
            },
            earlier,
        }
    }

    /// What is known of the session's content.
    pub fn identity(&self) -> Identity<'_> {
        match self.app {
            Some(app) if self.complete && self.nameless => Identity::Nameless(app),
            Some(app) if self.complete => Identity::Known {
                app,
                domain: self.domain.as_deref(),
            },
            app if self.curtain == Curtain::Inspect && !self.complete => Identity::Pending(app),
            _ => Identity::Unknown,
        }
    }
}

/// Numbers of the firewalls, since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Sessions that were refused after they had begun.
    pub refused: u64,
    /// First packets that were refused.
    pub refused_first: u64,
    /// Sessions whose inspection was given up since there were too many.
    pub given_up: u64,
    /// New sessions for which there was no capacity.
    pub over_capacity: u64,
    /// Questions for names that were refused.
    pub refused_names: u64,
    /// Records that were lost since there were too many at once.
    pub records_lost: u64,
}

/// What firewalls know of sessions and of the world.
#[derive(Debug)]
pub(crate) struct Watch {
    places: Vec<Option<Judged>>,
    free: Vec<u32>,
    pub hits: Hits,
    pub inspections: Inspections,
    pub dns: Talks,
    pub world: World,
    pub answers: Answers,
    /// Names that are told by sessions and that nobody has resolved yet.
    pub unresolved: HashSet<Arc<str>>,
    domains: HashSet<Arc<str>>,
    /// How much memory is taken by what sessions have told.
    pub details_bytes: usize,
    /// Seconds since 1970 UTC at the origin of the engine's clock.
    pub origin: u64,
    /// When the engine last did what is due.
    pub latest: Time,
    /// Counts changes of what is known of the world.
    pub epoch: u32,
    /// When policies begin or cease to count, in seconds since 1970 UTC.
    pub next_change: Option<u64>,
    /// Whether sessions are being found in the flow table.
    pub adopting: bool,
    /// Whether the firewalls decide as before about what an earlier daemon had allowed. It is not so only while a session
    /// is decided again that they may decide otherwise about.
    pub alike: bool,
    pub tally: Tally,
    pub capacity: Capacity,
    /// For who takes them.
    pub records: Vec<Record>,
}

/// How much the firewalls process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capacity {
    /// Bytes in this round.
    pub bytes: u64,
    since: Time,
    /// Bits a second in the last one.
    pub rate: u64,
    /// Whether that is more than is allowed.
    pub over: bool,
}

impl Watch {
    pub fn new() -> Watch {
        Watch {
            places: Vec::new(),
            free: Vec::new(),
            hits: Hits::default(),
            inspections: Inspections::default(),
            dns: Talks::default(),
            world: World::default(),
            answers: Answers::new(ANSWERS),
            unresolved: HashSet::new(),
            domains: HashSet::new(),
            details_bytes: 0,
            origin: 0,
            latest: Time(0),
            epoch: 0,
            next_change: None,
            adopting: false,
            alike: true,
            tally: Tally::default(),
            capacity: Capacity::default(),
            records: Vec::new(),
        }
    }

    /// Seconds since 1970 UTC.
    pub fn wall(&self, now: Time) -> u64 {
        self.origin + u64::from(now.second())
    }

    /// Sets the time of day. Says whether that is another one than before.
    pub fn set_wall(&mut self, seconds: u64, now: Time) -> bool {
        let origin = seconds.saturating_sub(u64::from(now.second()));
        // Two clocks whose seconds begin at different moments differ by one now and then.
        let changed = origin.abs_diff(self.origin) > 1;
        if changed {
            self.origin = origin;
        }
        self.latest = self.latest.max(now);
        changed
    }

    pub fn get(&self, ix: JudgedIx) -> &Judged {
        self.places[ix.get() as usize - 1]
            .as_ref()
            .expect("what a session refers to is there")
    }

    pub fn get_mut(&mut self, ix: JudgedIx) -> &mut Judged {
        self.places[ix.get() as usize - 1]
            .as_mut()
            .expect("what a session refers to is there")
    }

    pub fn add(&mut self, judged: Judged) -> JudgedIx {
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(judged);
                place
            }
            None => {
                self.places.push(Some(judged));
                self.places.len() as u32 - 1
            }
        };
        NonZeroU32::MIN.saturating_add(place)
    }

    pub fn remove(&mut self, ix: JudgedIx) -> Option<Judged> {
        let place = ix.get() - 1;
        self.free.push(place);
        let judged = self.places[place as usize].take()?;
        self.details_bytes -= judged.details.as_ref().map_or(0, |it| it.bytes());
        Some(judged)
    }

    /// How many sessions firewalls see or have seen.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// One copy of a domain for all sessions.
    pub fn intern(&mut self, name: &Arc<str>) -> Arc<str> {
        self.domains.get_or_insert_with(name, Arc::clone).clone()
    }

    pub fn evidence<'a>(&'a self, names: &'a dyn Names, now: u64) -> Evidence<'a> {
        Evidence {
            facts: Facts {
                names,
                locations: self.world.locations(),
                threats: &self.world.threats,
                services: &self.world.services,
                now,
            },
            resolved: &self.world.resolved,
        }
    }

    /// Follows a new configuration. Gives where the policies of `before` are now.
    pub fn configure(&mut self, s: &Firewalls, before: Option<&Firewalls>, now: Time) -> Moved {
        self.schedule(s, now);
        self.hits.configure(s, before, self.len() > 0)
    }

    /// Finds out when policies begin or cease to count.
    pub fn schedule(&mut self, s: &Firewalls, now: Time) {
        let wall = self.wall(now);
        let lists = s.lists.iter();
        self.next_change = lists.filter_map(|it| it.policies.next_change(wall)).min();
    }

    /// A round through the sessions is over: what went by in it says how much there is.
    pub fn end_round(&mut self, s: &Firewalls, now: Time) {
        let nanos = now.since(self.capacity.since).as_nanos();
        let bits = u128::from(self.capacity.bytes) * 8 * 1_000_000_000;
        if let Some(rate) = bits.checked_div(nanos) {
            self.capacity.rate = rate as u64;
        }
        self.capacity.bytes = 0;
        self.capacity.since = now;
        self.capacity.over = s.capacity.is_some_and(|most| self.capacity.rate > most);
        self.domains.retain(|name| Arc::strong_count(name) > 1);
        self.answers.expire(self.wall(now));
    }

    /// Checks that there is one session for each.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self, sessions: &[JudgedIx]) {
        let mut seen = HashSet::new();
        for judged in sessions {
            assert!(seen.insert(*judged), "two sessions have {judged}");
        }
        let details = sessions
            .iter()
            .filter_map(|ix| self.get(*ix).details.as_ref());
        assert_eq!(
            details.map(|it| it.bytes()).sum::<usize>(),
            self.details_bytes
        );
        assert_eq!(seen.len(), self.len(), "what is kept of sessions");
    }
}
